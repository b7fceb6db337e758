/* Whose it is: foreign, fenced, taken by command, and what is left behind. */
#include "stream_case.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
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

/* Another process took it: a new epoch, ours open until it is closed. */
static void taken_over(void)
{
    c.bucket.open[c.bucket.open_count++] = c.bucket.epoch++;
    (void)snprintf(c.bucket.node_id, sizeof c.bucket.node_id, "b");
    memset(c.bucket.session, 4, sizeof c.bucket.session);
    (void)snprintf(c.etag, sizeof c.etag, "taken");
}

static void closed_at(uint64_t end_seq, uint64_t last_lsn)
{
    c.bucket.open_count = 0;
    c.bucket.lineages[c.bucket.lineage_count++] =
        (struct lineage){c.s.core.own_epoch, end_seq, last_lsn, case_chain(last_lsn)};
    (void)snprintf(c.etag, sizeof c.etag, "closed");
}

static void another_nodes_root_is_left_alone(void **state)
{
    (void)state;
    case_bucket(&c, "b");
    case_open(&c, 0, 0);
    case_step(&c, (struct stream_event){.kind = STREAM_OWN});
    case_answer_root(&c);
    assert_int_equal(c.s.phase, STREAM_FOREIGN);
    assert_non_null(strstr(c.s.reason, "node b"));
    case_forget(&c);
    for (int i = 0; i < 100; i++)
        case_tick(&c, 60000);
    assert_int_equal(c.log_count, 0);
}

static void another_nodes_root_is_taken_with_the_flag(void **state)
{
    (void)state;
    case_bucket(&c, "b");
    c.options.take_ownership = true;
    case_open(&c, 0, 0);
    case_step(&c, (struct stream_event){.kind = STREAM_OWN});
    case_own(&c);
    assert_string_equal(c.bucket.node_id, "a");
    assert_memory_equal(c.bucket.session, c.options.session, 16);
}

static void another_nodes_root_is_taken_by_command(void **state)
{
    (void)state;
    case_bucket(&c, "b");
    case_open(&c, 0, 0);
    case_step(&c, (struct stream_event){.kind = STREAM_OWN});
    case_answer_root(&c);
    case_step(&c, (struct stream_event){.kind = STREAM_TAKE});
    case_own(&c);
    assert_int_equal(c.bucket.epoch, 2);
}

/* It starts with records of its own behind the hint, and another node owns the root: nobody will
 * ship them. Those that become durable later too. */
static void a_foreign_node_raises_what_it_had_not_shipped(void **state)
{
    (void)state;
    case_bucket(&c, "b");
    case_open(&c, 12, 9);
    case_tick(&c, 1);
    case_answer_root(&c);
    assert_int_equal(c.s.phase, STREAM_FOREIGN);
    assert_int_equal(case_effect(&c, STREAM_DO_DIVERGED)->first_lsn, 10);
    assert_int_equal(case_effect(&c, STREAM_DO_DIVERGED)->last_lsn, 12);
    case_log(&c, 14, 200);
    assert_int_equal(case_effect(&c, STREAM_DO_DIVERGED)->first_lsn, 13);
    assert_int_equal(case_effect(&c, STREAM_DO_DIVERGED)->last_lsn, 14);
}

static void a_foreign_node_without_records_raises_nothing(void **state)
{
    (void)state;
    case_bucket(&c, "b");
    case_open(&c, 20, 20);
    case_step(&c, (struct stream_event){.kind = STREAM_OWN});
    case_answer_root(&c);
    assert_int_equal(case_count(&c, STREAM_DO_DIVERGED), 0);
    case_log(&c, 21, 10);
    assert_int_equal(case_effect(&c, STREAM_DO_DIVERGED)->first_lsn, 21);
}

/* A write waits for the bucket; its group is stored; the root read shows another epoch. */
static void fence_while_remote_waits(void)
{
    struct stream_effect put;

    case_owned(&c);
    case_seal(&c, 5, &put);
    case_step(&c, (struct stream_event){.kind = STREAM_WANT_REMOTE, .lsn = 5});
    case_put(&c, &put, OBJSTORE_OK);
    taken_over();
    case_answer_root(&c);
}

static void a_remote_write_is_not_acknowledged_once_another_owns_it(void **state)
{
    (void)state;
    fence_while_remote_waits();
    assert_int_equal(c.s.phase, STREAM_FENCED);
    assert_int_equal(case_count(&c, STREAM_DO_REMOTE), 0);
    assert_int_equal(c.s.remote_lsn, 0);
    assert_int_equal(c.s.shipped_lsn, 5); /* stored, and it may not count */
}

/* Waits are 1 s, 2 s, ... 64 s; the letter begins where the epoch was closed. */
static void a_fenced_owner_waits_for_its_end(void **state)
{
    uint64_t wait = STREAM_FENCED_WAIT_MS;

    (void)state;
    fence_while_remote_waits();
    case_log(&c, 8, 1300);
    for (int i = 0; i < 9; i++) {
        case_tick(&c, wait - 1);
        assert_false(case_has(&c, STREAM_DO_READ_ROOT));
        case_tick(&c, 1);
        assert_int_equal(case_count(&c, STREAM_DO_DIVERGED), 0);
        if (i == 8)
            closed_at(1, 3);
        case_answer_root(&c);
        wait = wait * 2 > STREAM_FENCED_WAIT_MAX_MS ? STREAM_FENCED_WAIT_MAX_MS : wait * 2;
    }
    assert_int_equal(case_effect(&c, STREAM_DO_DIVERGED)->first_lsn, 4);
    assert_int_equal(case_effect(&c, STREAM_DO_DIVERGED)->last_lsn, 8);
    assert_int_equal(case_effect(&c, STREAM_DO_DIVERGED)->epoch, 2);
    case_forget(&c);
    for (int i = 0; i < 100; i++)
        case_tick(&c, 60000);
    assert_int_equal(c.log_count, 0);
    case_log(&c, 9, 1400);
    assert_int_equal(case_effect(&c, STREAM_DO_DIVERGED)->first_lsn, 9);
}

/* Our lineage went into a manifest before we looked: from what was confirmed, not from what was
 * stored. */
static void an_end_that_cannot_be_told_is_told_too_low(void **state)
{
    (void)state;
    fence_while_remote_waits();
    c.bucket.open_count = 0;
    c.bucket.lineages[c.bucket.lineage_count++] =
        (struct lineage){c.bucket.epoch, 2, 40, case_chain(40)};
    c.bucket.epoch += 1;
    (void)snprintf(c.etag, sizeof c.etag, "later");
    case_run(&c, 2000);
    case_answer_root(&c);
    assert_int_equal(case_effect(&c, STREAM_DO_DIVERGED)->first_lsn, 1);
    assert_int_equal(case_effect(&c, STREAM_DO_DIVERGED)->last_lsn, 5);
}

static void a_fenced_owner_with_nothing_left_raises_nothing(void **state)
{
    (void)state;
    fence_while_remote_waits();
    closed_at(1, 5);
    case_run(&c, 2000);
    case_answer_root(&c);
    assert_int_equal(case_count(&c, STREAM_DO_DIVERGED), 0);
    assert_int_equal(c.s.phase, STREAM_FENCED);
}

/* Two processes with one node id, both told to take: the older one does not take back by itself. */
static void a_fenced_owner_takes_again_by_command_alone(void **state)
{
    (void)state;
    c.options.take_ownership = true;
    fence_while_remote_waits();
    (void)snprintf(c.bucket.node_id, sizeof c.bucket.node_id, "a");
    closed_at(1, 5);
    case_run(&c, 2000);
    case_answer_root(&c);
    case_log(&c, 6, 1100);
    case_step(&c, (struct stream_event){.kind = STREAM_RETRY});
    case_step(&c, (struct stream_event){.kind = STREAM_OWN});
    for (int i = 0; i < 50; i++)
        case_tick(&c, 60000);
    assert_int_equal(c.s.phase, STREAM_FENCED);
    case_step(&c, (struct stream_event){.kind = STREAM_TAKE});
    case_answer_root(&c);
    case_answer_root(&c);
    assert_int_equal(c.s.phase, STREAM_TAKING);
    assert_memory_equal(c.bucket.session, c.options.session, 16);
}

static void a_dropped_root_ends_it(void **state)
{
    struct stream_effect put;

    (void)state;
    case_owned(&c);
    case_seal(&c, 5, &put);
    case_step(&c, (struct stream_event){.kind = STREAM_WANT_REMOTE, .lsn = 5});
    case_put(&c, &put, OBJSTORE_OK);
    c.bucket.state = ROOT_DROPPED;
    (void)snprintf(c.etag, sizeof c.etag, "dropped");
    case_answer_root(&c);
    assert_int_equal(c.s.phase, STREAM_DROPPED);
    assert_int_equal(case_count(&c, STREAM_DO_REMOTE), 0);
}

/* While groups fail to be stored the root is looked at too, every five seconds. */
static void an_owner_that_cannot_ship_notices_it_was_fenced(void **state)
{
    struct stream_effect put;

    (void)state;
    case_owned(&c);
    case_seal(&c, 5, &put);
    case_step(&c, (struct stream_event){.kind = STREAM_PUT_DONE,
                                        .token = put.token,
                                        .class = OBJSTORE_THROTTLE,
                                        .retry_after_ms = 600000});
    taken_over();
    case_tick(&c, STREAM_FENCE_READ_MS - 1);
    assert_false(case_has(&c, STREAM_DO_READ_ROOT));
    case_tick(&c, 1);
    case_answer_root(&c);
    assert_int_equal(c.s.phase, STREAM_FENCED);
}

static void a_root_that_went_back_halts(void **state)
{
    struct stream_effect put;

    (void)state;
    case_owned(&c);
    case_seal(&c, 5, &put);
    case_put(&c, &put, OBJSTORE_OK);
    c.bucket.epoch = 1;
    memset(c.bucket.session, 9, sizeof c.bucket.session);
    (void)snprintf(c.etag, sizeof c.etag, "old");
    case_run(&c, 6000);
    case_answer_root(&c);
    assert_int_equal(c.s.phase, STREAM_HALTED);
}

static void waiting_flushes_and_commits_hear_of_it(void **state)
{
    struct stream_effect put;

    (void)state;
    case_owned(&c);
    case_seal(&c, 5, &put);
    case_step(&c, (struct stream_event){.kind = STREAM_FLUSH});
    case_put(&c, &put, OBJSTORE_OK);
    case_step(&c, (struct stream_event){
                      .kind = STREAM_COMMIT, .manifest = {.bytes = 1}, .manifest_revision = 1});
    taken_over();
    case_step(&c, (struct stream_event){.kind = STREAM_ROOT_READ,
                                        .token = c.s.core.op.wait.token,
                                        .root = &c.bucket,
                                        .etag = c.etag});
    assert_int_equal(case_effect(&c, STREAM_DO_FLUSHED)->class, OBJSTORE_PRECONDITION);
    assert_int_equal(case_effect(&c, STREAM_DO_COMMITTED)->class, OBJSTORE_PRECONDITION);
    case_step(&c, (struct stream_event){.kind = STREAM_FLUSH});
    assert_int_equal(case_effect(&c, STREAM_DO_FLUSHED)->class, OBJSTORE_PRECONDITION);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(another_nodes_root_is_left_alone, fresh),
        cmocka_unit_test_setup(another_nodes_root_is_taken_with_the_flag, fresh),
        cmocka_unit_test_setup(another_nodes_root_is_taken_by_command, fresh),
        cmocka_unit_test_setup(a_foreign_node_raises_what_it_had_not_shipped, fresh),
        cmocka_unit_test_setup(a_foreign_node_without_records_raises_nothing, fresh),
        cmocka_unit_test_setup(a_remote_write_is_not_acknowledged_once_another_owns_it, fresh),
        cmocka_unit_test_setup(a_fenced_owner_waits_for_its_end, fresh),
        cmocka_unit_test_setup(an_end_that_cannot_be_told_is_told_too_low, fresh),
        cmocka_unit_test_setup(a_fenced_owner_with_nothing_left_raises_nothing, fresh),
        cmocka_unit_test_setup(a_fenced_owner_takes_again_by_command_alone, fresh),
        cmocka_unit_test_setup(a_dropped_root_ends_it, fresh),
        cmocka_unit_test_setup(an_owner_that_cannot_ship_notices_it_was_fenced, fresh),
        cmocka_unit_test_setup(a_root_that_went_back_halts, fresh),
        cmocka_unit_test_setup(waiting_flushes_and_commits_hear_of_it, fresh),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
