/* The shell with a real log over a bucket in memory: what is written comes to the bucket in order,
 * is counted as the store saw it, and nothing is sent without need. */
#include "tests/unit/tiering/ship_world.h"

static struct ship_world w;

static int setup(void **state)
{
    (void)state;
    ship_world_init(&w, 1);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    ship_world_fini(&w);
    return 0;
}

static void all_that_is_written_lies_in_the_bucket_in_order(void **state)
{
    struct ship_node *n = ship_node(&w, "one");
    struct ship_content got;
    struct tier_stream_status now;

    (void)state;
    ship_create(n);
    for (int i = 0; i < 20; i++) {
        ship_append(n, 37);
        ship_run(&w, 400, 20);
    }
    ship_run(&w, 8000, 100);
    ship_read_bucket(&w, n, &got);
    assert_int_equal(got.last_lsn, 740);
    assert_int_equal(got.records, 740);
    assert_int_equal(got.root.epoch, 1);
    now = ship_status(n);
    assert_int_equal(now.phase, STREAM_OWNED);
    assert_string_equal(now.owner, "one");
    assert_int_equal(now.shipped_lsn, 740);
    assert_int_equal(now.remote_lsn, 740);
    assert_int_equal(now.unshipped_bytes, 0);
    assert_int_equal(now.unshipped_records, 0);
    assert_int_equal(now.lag_ms, 0);
    assert_int_equal(now.uploads, got.groups);
    assert_int_equal(now.uploads, ship_store_counts(w.store).group_puts);
    assert_int_equal(now.retries, 0);
    assert_int_equal(now.shipped.lsn, 740);
    assert_int_equal(now.shipped.seq, got.groups + 1);
    assert_int_equal(n->hint_lsn, 740);
    assert_int_equal(n->remote_lsn, 740);
    assert_int_equal(n->said_too_early, 0);
    assert_null(n->stream->ship.seals); /* nothing is kept of what is stored */
    assert_int_equal(n->tier->ship.flight_bytes, 0);
}

/* A steady writer, then an hour of nothing: a PUT a group, a root read every five seconds while
 * there is something, and not one request more. */
static void requests_are_few_and_an_idle_hour_has_none(void **state)
{
    struct ship_node *n = ship_node(&w, "one");
    struct ship_counts before;
    struct ship_counts c;
    struct ship_content got;

    (void)state;
    ship_create(n);
    before = ship_store_counts(w.store);
    for (int i = 0; i < 300; i++) { /* 30 s */
        ship_append(n, 5);
        ship_run(&w, 100, 50);
    }
    ship_run(&w, 7000, 100);
    c = ship_store_counts(w.store);
    ship_read_bucket(&w, n, &got);
    assert_int_equal(got.last_lsn, 1500);
    assert_int_equal(c.group_puts - before.group_puts, got.groups);
    assert_in_range(got.groups, 28, 33);
    assert_in_range(c.root_reads - before.root_reads, 6, 8);
    assert_int_equal(c.lists, 0);
    assert_int_equal(c.heads, 0);
    assert_int_equal(c.unchanged, c.root_reads); /* without a body */
    assert_int_equal(c.root_writes, before.root_writes);
    assert_int_equal(c.group_gets + c.other + c.orphan_puts, 0);
    assert_int_equal(c.all - before.all,
                     c.group_puts - before.group_puts + c.root_reads - before.root_reads);
    ship_run(&w, 3600 * 1000, 30 * 1000);
    assert_int_equal(ship_store_counts(w.store).all, c.all);
}

static void a_node_that_starts_with_nothing_to_ship_sends_nothing(void **state)
{
    struct ship_node *n = ship_node(&w, "one");
    uint64_t all;

    (void)state;
    ship_create(n);
    ship_append(n, 10);
    ship_run(&w, 8000, 100);
    assert_int_equal(n->hint_lsn, 10);
    ship_close(n);
    ship_restart_log(n);
    all = ship_store_counts(w.store).all;
    ship_open(n);
    ship_run(&w, 3600 * 1000, 60 * 1000);
    assert_int_equal(ship_store_counts(w.store).all, all);
    assert_int_equal(ship_status(n).phase, STREAM_IDLE);
}

static void a_restart_goes_on_and_sends_no_record_again(void **state)
{
    struct ship_node *n = ship_node(&w, "one");
    struct ship_counts before;
    struct ship_counts c;
    struct ship_content got;
    uint64_t groups;

    (void)state;
    ship_create(n);
    ship_append(n, 50);
    ship_run(&w, 8000, 100);
    ship_append(n, 20); /* durable, never seen by a shell */
    ship_close(n);
    ship_restart_log(n);
    ship_append(n, 7);
    before = ship_store_counts(w.store);
    groups = before.groups_stored;
    ship_open(n);
    ship_run(&w, 10000, 100);
    c = ship_store_counts(w.store);
    ship_read_bucket(&w, n, &got);
    assert_int_equal(got.last_lsn, 77);
    assert_int_equal(got.records, 77);
    assert_int_equal(got.root.epoch, 2);
    assert_int_equal(got.groups, groups + (c.group_puts - before.group_puts));
    assert_int_equal(c.group_puts - before.group_puts, 1); /* what was behind the hint, in one */
    assert_int_equal(c.root_writes - before.root_writes, 2);
    assert_int_equal(c.lists - before.lists, 1);
}

/* The hint may be old: what the bucket has counts, nothing is sent twice. */
static void an_old_hint_is_only_a_hint(void **state)
{
    struct ship_node *n = ship_node(&w, "one");
    const struct ship_fault down = {SHIP_ANY, SHIP_ANY, OBJSTORE_TRANSIENT, SHIP_FOR_EVER, false};
    struct ship_content got;

    (void)state;
    ship_create(n);
    ship_append(n, 50);
    ship_run(&w, 8000, 100);
    ship_append(n, 50);
    ship_run(&w, 8000, 100);
    ship_close(n);
    ship_restart_log(n);
    n->hint_lsn = n->hint_chain = 0;
    ship_append(n, 1);
    ship_store_fail(w.store, &down);
    ship_open(n);
    assert_int_equal(ship_status(n).unshipped_records, 101);
    ship_store_heal(w.store);
    ship_run(&w, 8000, 100);
    ship_read_bucket(&w, n, &got);
    assert_int_equal(got.last_lsn, 101);
    assert_int_equal(got.records, 101);
    assert_int_equal(ship_status(n).unshipped_bytes, 0);
}

/* A disk that lied about a sync: the log ends before what the bucket confirmed, and its lsns are
 * written again before anybody could ask. Those are other records. */
static void a_log_that_ends_before_its_hint_has_diverged_in_what_is_written_next(void **state)
{
    struct ship_node *n = ship_node(&w, "one");
    const struct ship_fault down = {SHIP_ANY, SHIP_ANY, OBJSTORE_TRANSIENT, SHIP_FOR_EVER, false};

    (void)state;
    ship_create(n);
    ship_append(n, 15);
    ship_run(&w, 8000, 100);
    fs_sim_sync_lies(n->sim, true);
    ship_append(n, 5);
    ship_run(&w, 8000, 100);
    assert_int_equal(n->hint_lsn, 20);
    ship_close(n);
    fs_sim_power_cut(n->sim, NULL);
    fs_sim_sync_lies(n->sim, false);
    ship_restart_log(n);
    assert_int_equal(wal_durable_lsn(n->wal), 15);
    ship_store_fail(w.store, &down);
    ship_open(n);
    ship_append(n, 7);
    ship_store_heal(w.store);
    ship_run(&w, 20000, 100);
    assert_int_equal(ship_status(n).phase, STREAM_DIVERGED);
    assert_int_equal(n->diverged, 1);
    assert_int_equal(n->diverged_first, 16);
    assert_int_equal(n->diverged_last, 22);
}

static void a_run_of_many_groups_is_listed_by_pages(void **state)
{
    struct ship_node *n = ship_node(&w, "one");
    struct ship_counts before;
    struct ship_content got;

    (void)state;
    n->options.group_bytes = 500;
    ship_create(n);
    for (int i = 0; i < 23; i++) {
        ship_append(n, 4);
        ship_run(&w, 20, 20);
    }
    ship_run(&w, 8000, 100);
    ship_close(n);
    before = ship_store_counts(w.store);
    ship_append(n, 2);
    ship_open(n);
    ship_run(&w, 8000, 100);
    ship_read_bucket(&w, n, &got);
    assert_int_equal(got.last_lsn, 94);
    assert_int_equal(got.records, 94);
    assert_int_equal(ship_store_counts(w.store).lists - before.lists,
                     got.root.lineages[0].end_seq / SHIP_PAGE + 1);
    assert_true(got.root.lineages[0].end_seq > 3 * SHIP_PAGE);
}

/* Several groups travel at once, never more than allowed; the run moves only without holes. */
static bool four_are_held(void *arg)
{
    (void)arg;
    return ship_store_held(w.store) == 4;
}
static bool two_are_held(void *arg)
{
    (void)arg;
    return ship_store_held(w.store) == 2;
}
static bool is_waiting(void *arg)
{
    struct tier *t = arg;
    bool waiting;

    lock_take(&t->lock);
    waiting = t->shared.waiting && t->shared.first == NULL;
    lock_drop(&t->lock);
    return waiting;
}

static void groups_travel_together_and_count_in_order(void **state)
{
    struct ship_node *n = ship_node(&w, "one");
    struct ship_content got;
    struct tier_stream_status now;

    (void)state;
    n->options.group_bytes = 1000;
    ship_create(n);
    ship_store_hold(w.store, true);
    ship_append(n, 100);
    clock_manual_advance(&w.clock, UINT64_C(50000000));
    tier_wake(n->tier);
    ship_wait(four_are_held, NULL);
    ship_wait(is_waiting, n->tier);
    now = ship_status(n);
    assert_int_equal(now.in_flight, 4);
    assert_int_equal(now.shipped_lsn, 0);
    ship_store_let_go(w.store, 3); /* the fourth first: nothing moves */
    ship_store_let_go(w.store, 2);
    ship_wait(is_waiting, n->tier);
    assert_int_equal(ship_status(n).shipped_lsn, 0);
    ship_store_let_go(w.store, 0); /* the first: it counts, and the next may go */
    ship_wait(two_are_held, NULL);
    ship_wait(is_waiting, n->tier);
    now = ship_status(n);
    assert_true(now.shipped_lsn > 0 && now.shipped_lsn < 20);
    ship_store_hold(w.store, false);
    while (ship_store_held(w.store) > 0)
        ship_store_let_go(w.store, 0);
    ship_run(&w, 10000, 100);
    ship_read_bucket(&w, n, &got);
    assert_int_equal(got.last_lsn, 100);
    assert_true(got.groups >= 10);
    assert_int_equal(ship_store_most_in_flight(w.store), 4);
    assert_int_equal(ship_status(n).shipped_lsn, 100);
}

/* remote is said only when a root read that began after the PUT's answer has come back. */
static void remote_is_said_after_a_later_root_read_only(void **state)
{
    struct ship_node *n = ship_node(&w, "one");
    struct ship_counts before;
    struct ship_counts c;

    (void)state;
    ship_create(n);
    before = ship_store_counts(w.store);
    for (uint64_t i = 1; i <= 20; i++) {
        ship_append(n, 1);
        tier_stream_want_remote(n->stream, i);
        ship_settle(&w);
        assert_int_equal(n->remote_lsn, i); /* without any time passing */
        assert_int_equal(tier_stream_remote_lsn(n->stream), i);
    }
    c = ship_store_counts(w.store);
    assert_int_equal(c.group_puts - before.group_puts, 20);
    assert_int_equal(c.root_reads - before.root_reads, 20);
    assert_int_equal(n->said_too_early, 0);
    ship_store_hold(w.store, true); /* so that they wait together, however fast the store is */
    for (int i = 0; i < 50; i++) {
        ship_append(n, 1);
        tier_stream_want_remote(n->stream, 20 + (uint64_t)i + 1);
    }
    ship_store_hold(w.store, false);
    while (ship_store_held(w.store) > 0)
        ship_store_let_go(w.store, 0);
    ship_run(&w, 300, 50);
    assert_int_equal(n->remote_lsn, 70);
    assert_true(ship_store_counts(w.store).root_reads - c.root_reads < 10); /* one serves all */
    assert_int_equal(n->said_too_early, 0);
}

static void a_flush_ends_when_all_is_confirmed(void **state)
{
    struct ship_node *n = ship_node(&w, "one");
    struct ship_answer flushed[2] = {0};
    struct ship_content got;

    (void)state;
    ship_create(n);
    ship_append(n, 3);
    tier_stream_flush(n->stream, ship_answered, &flushed[0]);
    tier_stream_flush(n->stream, ship_answered, &flushed[1]);
    ship_settle(&w);
    for (int i = 0; i < 2; i++) {
        assert_true(flushed[i].done);
        assert_int_equal(flushed[i].st, ST_OK);
    }
    ship_read_bucket(&w, n, &got);
    assert_int_equal(got.last_lsn, 3);
    assert_int_equal(n->remote_lsn, 3);
}

static void ownership_may_be_asked_for_without_anything_to_ship(void **state)
{
    struct ship_node *n = ship_node(&w, "one");
    struct ship_answer owned = {0};

    (void)state;
    ship_create(n);
    ship_append(n, 3);
    ship_run(&w, 8000, 100);
    ship_close(n);
    ship_open(n);
    assert_int_equal(ship_status(n).phase, STREAM_IDLE);
    tier_stream_own(n->stream, ship_answered, &owned);
    ship_settle(&w);
    assert_true(owned.done);
    assert_int_equal(owned.st, ST_OK);
    assert_int_equal(ship_status(n).phase, STREAM_OWNED);
    assert_int_equal(ship_status(n).epoch, 2);
}

static void a_manifest_is_committed_and_a_second_commit_waits_for_nobody(void **state)
{
    struct ship_node *n = ship_node(&w, "one");
    struct ship_answer first = {0};
    struct ship_answer second = {0};
    struct object_ref manifest = {.uuid = {7}, .bytes = 100, .crc = 5};
    struct log_floor stays = {0};
    struct root root;

    (void)state;
    ship_create(n);
    assert_true(tier_stream_root(n->stream, &root));
    tier_stream_commit(n->stream, root.revision, &manifest, &stays, 0, false, ship_answered,
                       &first);
    tier_stream_commit(n->stream, root.revision, &manifest, &stays, 0, false, ship_answered,
                       &second);
    ship_settle(&w);
    assert_true(first.done && second.done);
    assert_int_equal(first.st, ST_OK);
    assert_true(tier_stream_root(n->stream, &root));
    assert_true(root.has_manifest);
    assert_memory_equal(root.manifest.uuid, manifest.uuid, 16);
    assert_true(second.st == ST_OK || second.st == ST_CONFLICT);
}

/* A collection that was Memory has a log already, and its writers do not wait for the root. */
static void a_live_collection_gets_its_root_before_its_records_are_told(void **state)
{
    struct ship_node *n = ship_node(&w, "one");
    struct ship_answer made = {0};
    struct ship_content got;

    (void)state;
    ship_append(n, 20);
    n->hint_lsn = 20;
    ship_open(n);
    tier_stream_create(n->stream, 18, true, ship_answered, &made);
    ship_append(n, 5);
    ship_run(&w, 10000, 100);
    assert_true(made.done);
    if (made.st != ST_OK)
        fail_msg("%s", made.err.text);
    ship_read_bucket(&w, n, &got);
    assert_int_equal(got.root.state, ROOT_SWITCHING);
    assert_int_equal(got.root.floor.lsn, 18);
    assert_int_equal(got.last_lsn, 25);
    assert_int_equal(got.records, 7);
    assert_int_equal(ship_status(n).unshipped_records, 0);
    assert_int_equal(ship_store_counts(w.store).lists, 0);
}

/* A crash after the root was made and before anything was remembered, or after groups were shipped
 * behind it: the log is still the collection's, its base is yet to come. */
static void a_crash_right_after_the_root_was_made_parts_nothing(void **state)
{
    struct ship_node *n = ship_node(&w, "one");
    struct ship_answer made = {0};
    struct ship_answer owned = {0};
    struct ship_content got;

    (void)state;
    ship_append(n, 20);
    n->hint_lsn = 20;
    ship_open(n);
    tier_stream_create(n->stream, 20, true, ship_answered, &made);
    ship_settle(&w);
    assert_true(made.done);
    for (unsigned round = 1; round <= 3; round++) {
        ship_close(n);
        ship_restart_log(n);
        n->hint_lsn = round == 2 ? 20 : 0;
        n->hint_chain = 0;
        owned.done = false;
        ship_open(n);
        tier_stream_own(n->stream, ship_answered, &owned);
        ship_settle(&w);
        assert_true(owned.done);
        if (owned.st != ST_OK)
            fail_msg("round %u: %s", round, owned.err.text);
        ship_append(n, 3);
        ship_run(&w, 3000, 100);
    }
    ship_read_bucket(&w, n, &got);
    assert_int_equal(got.last_lsn, 29);
    assert_int_equal(got.records, 9);
    assert_int_equal(n->diverged, 0);
}

static void a_root_that_is_lost_is_made_anew_by_command_above_all_epochs(void **state)
{
    struct ship_node *n = ship_node(&w, "one");
    struct ship_answer made = {0};
    struct objstore_req gone = {.op = OBJSTORE_DELETE};
    struct ship_content got;
    char key[OBJKEY_BYTES];

    (void)state;
    for (int i = 0; i < 3; i++) { /* epochs 1 to 3 have groups */
        if (i == 0)
            ship_create(n);
        else
            ship_open(n);
        ship_append(n, 5);
        ship_run(&w, 8000, 100);
        if (i < 2)
            ship_close(n);
    }
    objkey_root(w.collection, key);
    gone.key = key;
    assert_int_equal(objstore_wait(w.memory, &gone, NULL), ST_OK);
    objstore_result_fini(&gone.result);
    ship_append(n, 5);
    ship_run(&w, 20000, 200);
    assert_int_equal(n->phase, STREAM_ROOT_LOST);
    tier_stream_recreate(n->stream, 20, ship_answered, &made);
    ship_settle(&w);
    assert_true(made.done);
    if (made.st != ST_OK)
        fail_msg("%s", made.err.text);
    assert_int_equal(ship_status(n).phase, STREAM_OWNED);
    assert_true(ship_status(n).switching);
    ship_append(n, 4);
    ship_run(&w, 8000, 100);
    ship_read_bucket(&w, n, &got);
    assert_int_equal(got.root.epoch, 4);
    assert_int_equal(got.root.floor.lsn, 20);
    assert_int_equal(got.last_lsn, 24);
    assert_int_equal(got.records, 4);
}

static void a_drop_is_said_in_the_root(void **state)
{
    struct ship_node *n = ship_node(&w, "one");
    struct ship_answer dropped = {0};
    struct ship_content got;

    (void)state;
    ship_create(n);
    ship_append(n, 5);
    tier_stream_drop(n->stream, ship_answered, &dropped);
    ship_settle(&w);
    assert_true(dropped.done);
    assert_int_equal(dropped.st, ST_OK);
    assert_int_equal(n->phase, STREAM_DROPPED);
    ship_read_bucket(&w, n, &got);
    assert_int_equal(got.root.state, ROOT_DROPPED);
    assert_int_equal(got.root.dropped_at_ns, clock_wall_ns(&w.clock.clock));
}

/* Four PUTs whose answers never come, a flush, a write that waits: closing ends them all. */
static void closing_ends_what_is_under_way(void **state)
{
    struct ship_node *n = ship_node(&w, "one");
    struct ship_answer flushed = {0};
    struct ship_content got;

    (void)state;
    n->options.group_bytes = 1000;
    ship_create(n);
    ship_store_hold(w.store, true);
    ship_append(n, 100);
    tier_stream_want_remote(n->stream, 100);
    tier_stream_flush(n->stream, ship_answered, &flushed);
    ship_wait(four_are_held, NULL);
    ship_close(n);
    assert_true(flushed.done);
    assert_int_equal(flushed.st, ST_UNAVAILABLE);
    assert_int_equal(ship_store_held(w.store), 0);
    ship_store_hold(w.store, false);
    ship_open(n);
    ship_run(&w, 10000, 100);
    ship_read_bucket(&w, n, &got);
    assert_int_equal(got.last_lsn, 100);
    assert_int_equal(got.records, 100);
}

static void the_age_of_what_the_bucket_lacks_goes_on_over_a_restart(void **state)
{
    struct ship_node *n = ship_node(&w, "one");
    const struct ship_fault down = {SHIP_ANY, SHIP_ANY, OBJSTORE_TRANSIENT, SHIP_FOR_EVER, false};
    struct tier_status all;

    (void)state;
    ship_create(n);
    ship_store_fail(w.store, &down);
    ship_append(n, 5);
    ship_run(&w, 60000, 1000);
    ship_append(n, 5);
    assert_in_range(ship_status(n).lag_ms, 60000, 60100);
    ship_close(n);
    ship_restart_log(n);
    clock_manual_advance(&w.clock, UINT64_C(30000000000));
    ship_open(n);
    ship_run(&w, 100, 100);
    assert_in_range(ship_status(n).lag_ms, 90000, 90300);
    assert_int_equal(ship_status(n).unshipped_records, 10);
    assert_true(ship_status(n).unshipped_bytes > 10 * SHIP_VALUE_BYTES);
    tier_status(n->tier, &all);
    assert_int_equal(all.unshipped_records, 10);
    assert_in_range(all.lag_ms, 90000, 90400);
    ship_store_heal(w.store);
    ship_run(&w, 20000, 100);
    assert_int_equal(ship_status(n).lag_ms, 0);
    tier_status(n->tier, &all);
    assert_int_equal(all.unshipped_bytes, 0);
    assert_int_equal(all.lag_ms, 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(all_that_is_written_lies_in_the_bucket_in_order),
        TEST(requests_are_few_and_an_idle_hour_has_none),
        TEST(a_node_that_starts_with_nothing_to_ship_sends_nothing),
        TEST(a_restart_goes_on_and_sends_no_record_again),
        TEST(an_old_hint_is_only_a_hint),
        TEST(a_log_that_ends_before_its_hint_has_diverged_in_what_is_written_next),
        TEST(a_run_of_many_groups_is_listed_by_pages),
        TEST(groups_travel_together_and_count_in_order),
        TEST(remote_is_said_after_a_later_root_read_only),
        TEST(a_flush_ends_when_all_is_confirmed),
        TEST(ownership_may_be_asked_for_without_anything_to_ship),
        TEST(a_manifest_is_committed_and_a_second_commit_waits_for_nobody),
        TEST(a_live_collection_gets_its_root_before_its_records_are_told),
        TEST(a_crash_right_after_the_root_was_made_parts_nothing),
        TEST(a_root_that_is_lost_is_made_anew_by_command_above_all_epochs),
        TEST(a_drop_is_said_in_the_root),
        TEST(closing_ends_what_is_under_way),
        TEST(the_age_of_what_the_bucket_lacks_goes_on_over_a_restart),
    };

    return cmocka_run_group_tests_name("tier", tests, NULL, NULL);
}
