/* Each allocation of the shell, the log, the letters and the store fails once, in turn: nothing
 * stops, nothing is lost, and afterwards everything is in the bucket. */
#include "tests/unit/tiering/ship_world.h"

#include "base/mem.h"

enum { RUNS_MAX = 4000 };

static struct ship_world w;

static bool armed_run(int64_t nth, void (*part)(struct ship_node *n), struct ship_node *n)
{
    bool failed;

    mem_test_fail_after(nth);
    part(n);
    failed = mem_test_count() > nth;
    mem_test_fail_after(-1);
    return failed;
}

static void expect_everything(struct ship_node *n, int64_t nth, uint64_t last_lsn)
{
    struct ship_content got;
    struct dlq_counts counts;

    ship_run(&w, 30000, 500);
    ship_read_bucket(&w, NULL, &got);
    if (got.last_lsn != last_lsn || got.records != last_lsn)
        fail_msg("allocation %lld: %llu of %llu records in the bucket", (long long)nth,
                 (unsigned long long)got.records, (unsigned long long)last_lsn);
    dlq_count(n->dlq, NULL, &counts);
    assert_int_equal(counts.letters, 0);
    assert_int_equal(ship_status(n).unshipped_bytes, 0);
}

static void ship_a_little(struct ship_node *n)
{
    ship_run(&w, 100, 100);
    tier_stream_want_remote(n->stream, 5);
    ship_run(&w, 2000, 200);
}

static void shipping_survives_each_failed_allocation(void **state)
{
    int64_t nth = 0;

    (void)state;
    for (bool failed = true; failed && nth < RUNS_MAX; nth++) {
        struct ship_node *n;

        ship_world_init(&w, 4);
        n = ship_node(&w, "one");
        ship_create(n);
        ship_append(n, 5);
        failed = armed_run(nth, ship_a_little, n);
        expect_everything(n, nth, 5);
        ship_world_fini(&w);
    }
    assert_in_range(nth, 10, RUNS_MAX - 1);
}

static void take_and_ship(struct ship_node *n)
{
    struct tier_stream_options o = {
        .collection_id = "the-collection", .name = "docs", .wal = n->wal, .durable_lsn = 12};

    memcpy(o.collection, w.collection, 16);
    o.shipped_hint = n->hint_lsn;
    o.hint_chain = n->hint_chain;
    while (tier_open(&n->options, &n->tier, NULL) != ST_OK)
        ;
    while (tier_stream_open(n->tier, &o, &n->stream, NULL) != ST_OK)
        ;
    ship_run(&w, 4000, 200);
}

/* The hint is old, so that the last group is compared with the log. */
static void taking_survives_each_failed_allocation(void **state)
{
    int64_t nth = 0;

    (void)state;
    for (bool failed = true; failed && nth < RUNS_MAX; nth++) {
        struct ship_node *n;

        ship_world_init(&w, 5);
        n = ship_node(&w, "one");
        ship_create(n);
        ship_append(n, 8);
        ship_run(&w, 8000, 500);
        ship_append(n, 4);
        ship_close(n);
        n->hint_lsn = n->hint_chain = 0;
        failed = armed_run(nth, take_and_ship, n);
        expect_everything(n, nth, 12);
        ship_world_fini(&w);
    }
    assert_in_range(nth, 15, RUNS_MAX - 1);
}

static void park_and_retry(struct ship_node *n)
{
    struct ship_answer answer = {0};

    ship_run(&w, 12000, 200);
    ship_store_heal(w.store);
    tier_stream_retry(n->stream, ship_answered, &answer);
    ship_run(&w, 4000, 200);
    assert_true(answer.done);
}

static void letters_survive_each_failed_allocation(void **state)
{
    const struct ship_fault denied = {OBJSTORE_PUT, OBJKEY_IS_GROUP, OBJSTORE_PERMANENT,
                                      SHIP_FOR_EVER, false};
    int64_t nth = 0;

    (void)state;
    for (bool failed = true; failed && nth < RUNS_MAX; nth++) {
        struct ship_node *n;

        ship_world_init(&w, 6);
        n = ship_node(&w, "one");
        ship_create(n);
        ship_store_fail(w.store, &denied);
        ship_append(n, 5);
        failed = armed_run(nth, park_and_retry, n);
        ship_run(&w, 400000, 20000); /* a retry that was refused memory comes by itself */
        expect_everything(n, nth, 5);
        ship_world_fini(&w);
    }
    assert_in_range(nth, 15, RUNS_MAX - 1);
}

static void find_out(struct ship_node *n)
{
    (void)n;
    ship_run(&w, 12000, 200);
}

/* The tail is kept, or the node is not told to load anew. */
static void a_tail_survives_each_failed_allocation(void **state)
{
    int64_t nth = 0;

    (void)state;
    for (bool failed = true; failed && nth < RUNS_MAX; nth++) {
        struct ship_node *one;
        struct ship_node *two;
        struct letter l;
        const struct dlq_filter filter = {.kind = LETTER_DIVERGENT_TAIL};
        const struct ship_fault down = {SHIP_ANY, SHIP_ANY, OBJSTORE_TRANSIENT, SHIP_FOR_EVER,
                                        false};

        ship_world_init(&w, 7);
        one = ship_node(&w, "one");
        two = ship_node(&w, "two");
        ship_create(one);
        ship_append(one, 5);
        ship_run(&w, 8000, 500);
        ship_close(one);
        ship_append(two, 3);
        two->options.take_ownership = true;
        ship_store_fail(w.store, &down);
        ship_open(two);
        ship_store_heal(w.store);
        failed = armed_run(nth, find_out, two);
        ship_run(&w, 30000, 500);
        assert_int_equal(two->phase, STREAM_DIVERGED);
        assert_int_equal(two->diverged, 1);
        assert_int_equal(dlq_list(two->dlq, &filter, 0, &l, 1, NULL), 1);
        assert_int_equal(l.lsn_first, 1);
        assert_int_equal(l.lsn_last, 3);
        ship_world_fini(&w);
    }
    assert_in_range(nth, 15, RUNS_MAX - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shipping_survives_each_failed_allocation),
        cmocka_unit_test(taking_survives_each_failed_allocation),
        cmocka_unit_test(letters_survive_each_failed_allocation),
        cmocka_unit_test(a_tail_survives_each_failed_allocation),
    };

    return cmocka_run_group_tests_name("tier_memory", tests, NULL, NULL);
}
