/* What a stream asks of the bucket, counted: exactly so much for so many groups, nothing when there
 * is nothing to do. */
#include "stream_case.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static struct stream_case c;

static int fresh(void **state)
{
    (void)state;
    case_init(&c);
    case_bucket(&c, "a");
    return 0;
}

static void a_log_that_is_shipped_asks_nothing(void **state)
{
    (void)state;
    case_open(&c, 40, 40);
    for (int i = 0; i < 100; i++)
        case_tick(&c, 60000);
    assert_int_equal(c.log_count, 0);
    assert_int_equal(c.s.phase, STREAM_IDLE);
}

/* Taking an own collection without groups: read, CAS, list, CAS. */
static void taking_takes_four_requests(void **state)
{
    (void)state;
    case_open(&c, 0, 0);
    case_log(&c, 1, 10);
    case_own(&c);
    assert_int_equal(case_requests(&c), 4);
    assert_int_equal(c.bucket.epoch, 2);
    assert_int_equal(c.bucket.open_count, 0);
    assert_int_equal(c.bucket.lineage_count, 0);
}

/* Five groups: five PUTs, one root read behind the last, then silence. */
static void n_groups_take_n_puts_and_a_root_read(void **state)
{
    (void)state;
    case_open(&c, 0, 0);
    case_log(&c, 1, 10);
    case_own(&c);
    case_forget(&c);
    for (uint64_t i = 1; i <= 5; i++) {
        case_log(&c, i * 10, i * 1000);
        case_encoded(&c, case_effect(&c, STREAM_DO_ENCODE), i * 10, 1000);
        assert_int_equal(case_effect(&c, STREAM_DO_PUT_GROUP)->seq, i);
        case_put(&c, case_effect(&c, STREAM_DO_PUT_GROUP), OBJSTORE_OK);
        assert_int_equal(case_effect(&c, STREAM_DO_SHIPPED)->lsn, i * 10);
    }
    assert_int_equal(case_requests(&c), 5);
    case_run(&c, STREAM_FENCE_READ_MS);
    assert_true(case_effect(&c, STREAM_DO_READ_ROOT)->conditional);
    case_answer_root(&c);
    assert_int_equal(case_effect(&c, STREAM_DO_REMOTE)->lsn, 50);
    case_forget(&c);
    for (int i = 0; i < 100; i++)
        case_tick(&c, 60000);
    assert_int_equal(c.log_count, 0);
}

static void making_a_collection_takes_one_request(void **state)
{
    (void)state;
    memset(&c.bucket, 0, sizeof c.bucket);
    case_open(&c, 0, 0);
    case_step(&c, (struct stream_event){
                      .kind = STREAM_CREATE, .root_state = ROOT_LIVE, .chain = case_chain(0)});
    case_answer_root(&c);
    assert_int_equal(case_effect(&c, STREAM_DO_CREATED)->class, OBJSTORE_OK);
    assert_int_equal(c.s.phase, STREAM_OWNED);
    assert_int_equal(case_requests(&c), 1);
    assert_int_equal(c.bucket.epoch, 1);
    assert_int_equal(c.bucket.revision, 1);
}

/* A write that waits: its group, and one conditional read. */
static void a_remote_write_takes_a_put_and_a_read(void **state)
{
    (void)state;
    case_open(&c, 0, 0);
    case_log(&c, 1, 10);
    case_own(&c);
    case_run(&c, 2000);
    case_encoded(&c, case_effect(&c, STREAM_DO_ENCODE), 1, 10);
    case_put(&c, case_effect(&c, STREAM_DO_PUT_GROUP), OBJSTORE_OK);
    case_forget(&c);
    case_log(&c, 2, 20);
    case_step(&c, (struct stream_event){.kind = STREAM_WANT_REMOTE, .lsn = 2});
    case_encoded(&c, case_effect(&c, STREAM_DO_ENCODE), 2, 10);
    case_put(&c, case_effect(&c, STREAM_DO_PUT_GROUP), OBJSTORE_OK);
    case_answer_root(&c);
    assert_int_equal(case_effect(&c, STREAM_DO_REMOTE)->lsn, 2);
    assert_int_equal(case_requests(&c), 2);
}

static void a_commit_takes_one_request(void **state)
{
    (void)state;
    case_open(&c, 0, 0);
    case_log(&c, 1, 10);
    case_own(&c);
    case_forget(&c);
    case_step(&c, (struct stream_event){.kind = STREAM_COMMIT,
                                        .manifest = {.bytes = 5},
                                        .manifest_revision = c.s.root.revision + 1});
    case_answer_root(&c);
    assert_int_equal(case_effect(&c, STREAM_DO_COMMITTED)->class, OBJSTORE_OK);
    assert_true(c.bucket.has_manifest);
    assert_int_equal(case_requests(&c), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_log_that_is_shipped_asks_nothing, fresh),
        cmocka_unit_test_setup(taking_takes_four_requests, fresh),
        cmocka_unit_test_setup(n_groups_take_n_puts_and_a_root_read, fresh),
        cmocka_unit_test_setup(making_a_collection_takes_one_request, fresh),
        cmocka_unit_test_setup(a_remote_write_takes_a_put_and_a_read, fresh),
        cmocka_unit_test_setup(a_commit_takes_one_request, fresh),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
