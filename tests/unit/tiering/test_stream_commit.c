/* Commits and marks: what the root names, what leaves it, what is refused. */
#include "stream_case.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct stream_case c;

/* Owned, with lineages of epochs 1 to 3 in the root. */
static int owned(void **state)
{
    (void)state;
    case_init(&c);
    case_bucket(&c, "a");
    c.bucket.epoch = 4;
    for (uint64_t i = 1; i <= 3; i++)
        c.bucket.lineages[c.bucket.lineage_count++] =
            (struct lineage){i, 2, i * 10, case_chain(i * 10)};
    case_open(&c, 30, 0);
    case_tick(&c, 1);
    case_answer_root(&c);
    case_answer_root(&c);
    case_step(&c, (struct stream_event){.kind = STREAM_LISTED,
                                        .token = case_effect(&c, STREAM_DO_LIST)->token});
    case_answer_root(&c);
    case_step(&c, (struct stream_event){.kind = STREAM_GROUP_READ,
                                        .token = case_effect(&c, STREAM_DO_READ_GROUP)->token,
                                        .first_lsn = 21,
                                        .last_lsn = 30,
                                        .chain = case_chain(30)});
    case_step(&c, (struct stream_event){.kind = STREAM_LOCAL_CHECKED,
                                        .token = case_effect(&c, STREAM_DO_CHECK_LOCAL)->token});
    assert_int_equal(c.s.phase, STREAM_OWNED);
    case_forget(&c);
    return 0;
}

static struct stream_event commit(void)
{
    return (struct stream_event){.kind = STREAM_COMMIT,
                                 .manifest = {.uuid = {9}, .bytes = 5, .crc = 6},
                                 .manifest_revision = c.s.root.revision + 1};
}

static void the_root_names_the_manifest(void **state)
{
    uint64_t revision = c.bucket.revision;

    (void)state;
    case_step(&c, commit());
    case_answer_root(&c);
    assert_int_equal(case_effect(&c, STREAM_DO_COMMITTED)->class, OBJSTORE_OK);
    assert_int_equal(c.bucket.revision, revision + 1);
    assert_int_equal(c.bucket.manifest.uuid[0], 9);
    assert_int_equal(c.bucket.manifest.crc, 6);
    assert_int_equal(c.bucket.manifest_revision, revision + 1);
    assert_int_equal(c.bucket.lineage_count, 3);
    assert_int_equal(c.bucket.floor.epoch, 1); /* stays where no other is given */
}

static void absorbed_lineages_leave(void **state)
{
    struct stream_event e = commit();

    (void)state;
    e.lineages_absorbed = 2;
    case_step(&c, e);
    case_answer_root(&c);
    assert_int_equal(c.bucket.lineage_count, 1);
    assert_int_equal(c.bucket.lineages[0].epoch, 3);
}

static void the_newest_lineage_stays(void **state)
{
    struct stream_event e = commit();

    (void)state;
    e.lineages_absorbed = 3;
    case_step(&c, e);
    assert_int_equal(case_effect(&c, STREAM_DO_COMMITTED)->class, OBJSTORE_PERMANENT);
    assert_int_equal(case_count(&c, STREAM_DO_PUT_ROOT), 0);
}

/* A base: the floor is where the log was shipped to when its first row was read. */
static void a_base_moves_the_floor_and_drops_what_lies_before(void **state)
{
    struct stream_event e = commit();
    struct stream_effect put;

    (void)state;
    case_seal(&c, 40, &put);
    case_put(&c, &put, OBJSTORE_OK);
    assert_true(stream_floor(&c.s, &e.floor));
    assert_int_equal(e.floor.lsn, 40);
    assert_int_equal(e.floor.epoch, 5);
    assert_int_equal(e.floor.seq, 2);
    assert_int_equal(e.floor.chain, case_chain(40));
    case_step(&c, e);
    case_answer_root(&c);
    assert_int_equal(c.bucket.floor.lsn, 40);
    assert_int_equal(c.bucket.lineage_count, 1);
}

static void a_floor_that_goes_back_or_too_far_is_refused(void **state)
{
    struct stream_event e = commit();

    (void)state;
    e.floor = (struct log_floor){.lsn = 31, .epoch = 5, .seq = 2};
    case_step(&c, e);
    assert_int_equal(case_effect(&c, STREAM_DO_COMMITTED)->class, OBJSTORE_PERMANENT);
    e.floor = (struct log_floor){.lsn = 30, .epoch = 5, .seq = 1, .chain = case_chain(30)};
    case_step(&c, e);
    case_answer_root(&c);
    assert_int_equal(c.bucket.floor.lsn, 30);
    e = commit();
    e.floor = (struct log_floor){.lsn = 20, .epoch = 3, .seq = 1};
    case_step(&c, e);
    assert_int_equal(case_effect(&c, STREAM_DO_COMMITTED)->class, OBJSTORE_PERMANENT);
    assert_int_equal(c.bucket.floor.lsn, 30);
}

static void a_manifest_from_the_future_is_refused(void **state)
{
    struct stream_event e = commit();

    (void)state;
    e.manifest_revision = c.s.root.revision + 2;
    case_step(&c, e);
    assert_int_equal(case_effect(&c, STREAM_DO_COMMITTED)->class, OBJSTORE_PERMANENT);
}

static void one_commit_at_a_time(void **state)
{
    (void)state;
    case_step(&c, commit());
    case_step(&c, commit());
    assert_int_equal(case_effect(&c, STREAM_DO_COMMITTED)->class, OBJSTORE_CONFLICT);
    assert_int_equal(case_count(&c, STREAM_DO_PUT_ROOT), 1);
}

static void the_base_of_a_switch_makes_it_live(void **state)
{
    struct stream_event e = commit();

    (void)state;
    c.s.root.state = ROOT_SWITCHING;
    case_step(&c, e);
    case_answer_root(&c);
    assert_int_equal(c.bucket.state, ROOT_SWITCHING);
    e = commit();
    e.base_complete = true;
    case_step(&c, e);
    case_answer_root(&c);
    assert_int_equal(c.bucket.state, ROOT_LIVE);
}

/* It takes first, as a first record would. */
static struct stream_event mark(uint64_t revision)
{
    return (struct stream_event){.kind = STREAM_MARK, .manifest_revision = revision};
}

static int with_manifest(void **state)
{
    (void)owned(state);
    case_step(&c, commit());
    case_answer_root(&c);
    case_forget(&c);
    return 0;
}

static void the_root_carries_the_mark(void **state)
{
    uint64_t revision = c.bucket.revision;

    (void)state;
    case_step(&c, mark(revision));
    assert_int_equal(case_count(&c, STREAM_DO_MARKED), 0);
    case_answer_root(&c);
    assert_int_equal(case_effect(&c, STREAM_DO_MARKED)->class, OBJSTORE_OK);
    assert_int_equal(c.bucket.gc_mark, revision);
    assert_int_equal(c.bucket.revision, revision + 1);
}

static void a_mark_goes_neither_back_nor_beyond_the_manifest(void **state)
{
    uint64_t revision = c.bucket.revision;

    (void)state;
    case_step(&c, mark(revision + 1));
    assert_int_equal(case_effect(&c, STREAM_DO_MARKED)->class, OBJSTORE_PERMANENT);
    case_forget(&c);
    case_step(&c, mark(revision));
    case_answer_root(&c);
    case_forget(&c);
    case_step(&c, mark(revision - 1));
    assert_int_equal(case_effect(&c, STREAM_DO_MARKED)->class, OBJSTORE_PERMANENT);
    assert_int_equal(case_count(&c, STREAM_DO_PUT_ROOT), 0);
    assert_int_equal(c.bucket.gc_mark, revision);
}

static void a_mark_waits_for_the_commit_before_it(void **state)
{
    struct stream_effect put;

    (void)state;
    case_step(&c, commit());
    put = case_keep(&c, STREAM_DO_PUT_ROOT);
    case_step(&c, mark(1));
    assert_int_equal(case_count(&c, STREAM_DO_PUT_ROOT), 1);
    case_step(&c, mark(1));
    assert_int_equal(case_effect(&c, STREAM_DO_MARKED)->class, OBJSTORE_CONFLICT);
    c.bucket = *put.root;
    (void)snprintf(c.etag, sizeof c.etag, "committed");
    case_step(&c, (struct stream_event){
                      .kind = STREAM_ROOT_DONE, .token = put.token, .etag = "committed"});
    case_answer_root(&c);
    assert_int_equal(case_effect(&c, STREAM_DO_MARKED)->class, OBJSTORE_OK);
    assert_int_equal(c.bucket.gc_mark, 1);
    assert_int_equal(c.bucket.manifest.uuid[0], 9);
}

/* Another has taken the collection: its root is not marked by us. */
static void a_mark_against_a_new_owner_is_fenced(void **state)
{
    (void)state;
    case_step(&c, mark(1));
    c.bucket.open[c.bucket.open_count++] = c.bucket.epoch++;
    memset(c.bucket.session, 77, sizeof c.bucket.session);
    (void)snprintf(c.etag, sizeof c.etag, "taken");
    case_answer_root(&c);
    case_answer_root(&c);
    assert_int_equal(case_effect(&c, STREAM_DO_MARKED)->class, OBJSTORE_PRECONDITION);
    assert_int_equal(c.s.phase, STREAM_FENCED);
    assert_int_equal(c.bucket.gc_mark, 0);
}

static void a_commit_of_an_idle_stream_takes_first(void **state)
{
    (void)state;
    case_init(&c);
    case_bucket(&c, "a");
    case_open(&c, 0, 0);
    case_step(&c, (struct stream_event){.kind = STREAM_COMMIT,
                                        .manifest = {.bytes = 5},
                                        .manifest_revision = c.bucket.revision + 1});
    case_own(&c);
    case_answer_root(&c);
    assert_int_equal(case_effect(&c, STREAM_DO_COMMITTED)->class, OBJSTORE_OK);
}

/* Begun under an epoch that was lost since: what it inherits and where its floor lies is another
 * owner's to say. */
static void a_manifest_of_before_the_epoch_is_refused(void **state)
{
    (void)state;
    case_init(&c);
    case_bucket(&c, "a");
    case_open(&c, 0, 0);
    case_step(&c, (struct stream_event){.kind = STREAM_COMMIT,
                                        .manifest = {.bytes = 5},
                                        .manifest_revision = c.bucket.revision});
    case_own(&c);
    assert_int_equal(case_effect(&c, STREAM_DO_COMMITTED)->class, OBJSTORE_CONFLICT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(the_root_names_the_manifest, owned),
        cmocka_unit_test_setup(absorbed_lineages_leave, owned),
        cmocka_unit_test_setup(the_newest_lineage_stays, owned),
        cmocka_unit_test_setup(a_base_moves_the_floor_and_drops_what_lies_before, owned),
        cmocka_unit_test_setup(a_floor_that_goes_back_or_too_far_is_refused, owned),
        cmocka_unit_test_setup(a_manifest_from_the_future_is_refused, owned),
        cmocka_unit_test_setup(one_commit_at_a_time, owned),
        cmocka_unit_test_setup(the_base_of_a_switch_makes_it_live, owned),
        cmocka_unit_test_setup(the_root_carries_the_mark, with_manifest),
        cmocka_unit_test_setup(a_mark_goes_neither_back_nor_beyond_the_manifest, with_manifest),
        cmocka_unit_test_setup(a_mark_waits_for_the_commit_before_it, with_manifest),
        cmocka_unit_test_setup(a_mark_against_a_new_owner_is_fenced, with_manifest),
        cmocka_unit_test_setup(a_commit_of_an_idle_stream_takes_first, owned),
        cmocka_unit_test_setup(a_manifest_of_before_the_epoch_is_refused, owned),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
