/* A store in trouble: outages make no letters and lose nothing, refusals become letters that a
 * person can act on, lost answers are counted once, and memory has a bound. */
#include "tests/unit/tiering/ship_world.h"

#include <stdio.h>

static struct ship_world w;
static const struct ship_fault DOWN = {SHIP_ANY, SHIP_ANY, OBJSTORE_TRANSIENT, SHIP_FOR_EVER,
                                       false};
static const struct ship_fault DENIED = {OBJSTORE_PUT, OBJKEY_IS_GROUP, OBJSTORE_PERMANENT,
                                         SHIP_FOR_EVER, false};

static int setup(void **state)
{
    (void)state;
    ship_world_init(&w, 2);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    ship_world_fini(&w);
    return 0;
}

static struct dlq_counts letters(struct ship_node *n)
{
    struct dlq_counts counts;

    dlq_count(n->dlq, w.collection, &counts);
    return counts;
}

static void expect_all(struct ship_node *n, uint64_t last_lsn)
{
    struct ship_content got;

    ship_read_bucket(&w, n, &got);
    assert_int_equal(got.last_lsn, last_lsn);
    assert_int_equal(got.records, last_lsn);
    assert_int_equal(got.gaps, 0);
}

/* Ten minutes without a store while writes go on: the lag is true, few requests go out, no letter
 * is made; then it comes back, and everything is there. */
static void an_outage_is_waited_out(void **state)
{
    struct ship_node *n = ship_node(&w, "one");
    struct tier_status all;
    struct pressure pressure;
    uint64_t before;

    (void)state;
    n->options.unshipped_bytes_max = 350 * 1000;
    ship_create(n);
    ship_append(n, 10);
    ship_run(&w, 7000, 100);
    ship_store_fail(w.store, &DOWN);
    before = ship_store_counts(w.store).all;
    for (int i = 0; i < 600; i++) {
        ship_append(n, 5);
        ship_run(&w, 1000, 250);
        if (i % 100 == 99)
            assert_in_range(ship_status(n).lag_ms, (uint64_t)(i + 1) * 1000 - 250,
                            (uint64_t)(i + 1) * 1000 + 50);
    }
    tier_status(n->tier, &all);
    assert_int_not_equal(all.breaker, BREAKER_CLOSED);
    assert_non_null(strstr(all.trouble, "fault: transient"));
    assert_int_equal(all.unshipped_records, 3000);
    assert_int_equal(tier_pressure(n->tier, 0, 0, &pressure), PRESSURE_RED);
    assert_int_equal(letters(n).letters, 0);
    /* one at a time, one to two seconds apart: base 100 ms, at most 2 s, with jitter */
    assert_true(ship_store_counts(w.store).all - before < 1300);
    assert_int_equal(ship_status(n).phase, STREAM_OWNED);
    assert_true(ship_status(n).trouble[0] != '\0');
    ship_store_heal(w.store);
    ship_run(&w, 20000, 100);
    tier_status(n->tier, &all);
    assert_int_equal(all.breaker, BREAKER_CLOSED);
    assert_string_equal(all.trouble, "");
    assert_string_equal(ship_status(n).trouble, "");
    assert_int_equal(ship_status(n).lag_ms, 0);
    assert_int_equal(tier_pressure(n->tier, 0, 0, &pressure), PRESSURE_GREEN);
    expect_all(n, 3010);
    assert_int_equal(ship_status(n).uploads, ship_store_counts(w.store).groups_stored);
}

/* The answer to a PUT is lost: it is sent again, found there, compared; one upload, one retry. */
static void a_lost_answer_is_one_upload(void **state)
{
    struct ship_node *n = ship_node(&w, "one");
    const struct ship_fault lost = {OBJSTORE_PUT, OBJKEY_IS_GROUP, OBJSTORE_TRANSIENT, 1, true};
    struct tier_stream_status now;
    struct ship_counts c;

    (void)state;
    ship_create(n);
    ship_store_fail(w.store, &lost);
    ship_append(n, 3);
    ship_run(&w, 10000, 100);
    now = ship_status(n);
    c = ship_store_counts(w.store);
    assert_int_equal(c.group_puts, 2);
    assert_int_equal(c.group_gets, 1);
    assert_int_equal(c.groups_stored, 1);
    assert_int_equal(c.fresh, 1); /* the second PUT, and nothing behind it */
    assert_int_equal(now.uploads, 1);
    assert_int_equal(now.retries, 1);
    assert_int_equal(now.permanent_failures, 0);
    expect_all(n, 3);
}

/* Every third request fails in one way or another for a while. */
static void a_store_that_fails_now_and_then_gets_every_record_once(void **state)
{
    struct ship_node *n = ship_node(&w, "one");
    struct tier_stream_status now;

    (void)state;
    n->options.group_bytes = 2000;
    ship_create(n);
    for (int i = 0; i < 60; i++) {
        const struct ship_fault fault = {
            SHIP_ANY, SHIP_ANY,
            (enum objstore_class[]){OBJSTORE_TRANSIENT, OBJSTORE_THROTTLE, OBJSTORE_CONFLICT,
                                    OBJSTORE_CAPACITY}[i % 4],
            1, i % 3 == 0};

        ship_store_heal(w.store);
        ship_store_fail(w.store, &fault);
        ship_append(n, 17);
        ship_run(&w, 1500, 50);
    }
    ship_store_heal(w.store);
    ship_run(&w, 20000, 100);
    expect_all(n, 60 * 17);
    now = ship_status(n);
    assert_int_equal(now.uploads, ship_store_counts(w.store).groups_stored);
    assert_int_equal(now.uploads + now.retries, ship_store_counts(w.store).group_puts);
    assert_int_equal(letters(n).letters, 0);
    assert_int_equal(n->said_too_early, 0);
}

/* Permissions are taken away: trouble is said with the first answer, the letter comes after
 * max_retries, writes go on. A retry is a real one. Given back, the letter leaves. */
static void a_refused_group_is_a_letter_until_it_is_stored(void **state)
{
    struct ship_node *n = ship_node(&w, "one");
    struct ship_answer refused = {0};
    struct ship_answer stored = {0};
    struct letter l;
    struct tier_status all;
    uint64_t puts;

    (void)state;
    ship_create(n);
    ship_append(n, 10);
    ship_run(&w, 7000, 100);
    ship_store_fail(w.store, &DENIED);
    ship_append(n, 4);
    ship_run(&w, 1050, 50);
    assert_non_null(strstr(ship_status(n).trouble, "fault: permanent"));
    tier_status(n->tier, &all);
    assert_non_null(strstr(all.trouble, "fault: permanent"));
    assert_int_equal(letters(n).letters, 0);
    ship_run(&w, 15000, 50);
    assert_int_equal(letters(n).letters, 1);
    assert_int_equal(letters(n).blocking, 1);
    assert_int_equal(dlq_list(n->dlq, NULL, 0, &l, 1, NULL), 1);
    assert_int_equal(l.kind, LETTER_WAL_GROUP);
    assert_int_equal(l.state, LETTER_PARKED);
    assert_int_equal(l.lsn_first, 11);
    assert_int_equal(l.lsn_last, 14);
    assert_int_equal(l.http_status, 403);
    assert_string_equal(l.s3_code, "AccessDenied");
    assert_string_equal(l.request_id, "REQ1");
    assert_string_equal(l.class, "permanent");
    assert_int_equal(l.attempts, 4);
    assert_int_equal(objkey_parse(l.key).kind, OBJKEY_IS_GROUP);
    assert_true(l.bytes > 4 * SHIP_VALUE_BYTES);
    assert_true(l.first_failed_ns < l.last_failed_ns);
    ship_append(n, 100); /* writes go on, nothing new is sealed */
    puts = ship_store_counts(w.store).group_puts;
    ship_run(&w, 60000, 1000);
    assert_int_equal(ship_store_counts(w.store).group_puts, puts);
    assert_int_equal(ship_status(n).parked, 1);
    assert_int_equal(ship_status(n).permanent_failures, 1);

    tier_stream_retry(n->stream, ship_answered, &refused);
    ship_settle(&w);
    assert_true(refused.done);
    assert_int_equal(refused.st, ST_DENIED);
    assert_non_null(strstr(refused.err.text, "fault: permanent"));
    assert_int_equal(ship_store_counts(w.store).group_puts, puts + 1);
    assert_int_equal(letters(n).letters, 1);
    assert_int_equal(dlq_list(n->dlq, NULL, 0, &l, 1, NULL), 1);
    assert_int_equal(l.state, LETTER_PARKED);
    assert_int_equal(l.attempts, 5);

    ship_store_heal(w.store);
    tier_stream_retry(n->stream, ship_answered, &stored);
    ship_settle(&w);
    assert_true(stored.done);
    assert_int_equal(stored.st, ST_OK);
    assert_int_equal(letters(n).letters, 0);
    ship_run(&w, 10000, 100);
    expect_all(n, 114);
    assert_int_equal(ship_status(n).permanent_failures, 1);
    tier_status(n->tier, &all);
    assert_string_equal(all.trouble, "");
}

static void credentials_that_are_read_again_try_what_is_parked(void **state)
{
    struct ship_node *n = ship_node(&w, "one");

    (void)state;
    ship_create(n);
    ship_store_fail(w.store, &DENIED);
    ship_append(n, 4);
    ship_run(&w, 15000, 50);
    assert_int_equal(letters(n).letters, 1);
    ship_store_heal(w.store);
    tier_reload(n->tier);
    ship_settle(&w);
    assert_int_equal(letters(n).letters, 0);
    ship_run(&w, 8000, 100);
    expect_all(n, 4);
}

/* A letter outlives the process; the next one stores the records, and then it leaves. */
static void a_letter_of_an_earlier_process_leaves_when_its_records_are_stored(void **state)
{
    struct ship_node *n = ship_node(&w, "one");
    struct ship_answer stored = {0};

    (void)state;
    ship_create(n);
    ship_store_fail(w.store, &DENIED);
    ship_append(n, 4);
    ship_run(&w, 15000, 50);
    assert_int_equal(letters(n).letters, 1);
    ship_close(n);
    ship_restart_log(n);
    assert_int_equal(letters(n).letters, 1);
    ship_store_heal(w.store);
    ship_open(n);
    tier_stream_retry(n->stream, ship_answered, &stored); /* does not wait five seconds for it */
    ship_settle(&w);
    assert_true(stored.done);
    assert_int_equal(stored.st, ST_OK);
    expect_all(n, 4);
    assert_int_equal(letters(n).letters, 0);
}

static void a_discarded_group_is_a_gap_and_the_log_goes_on(void **state)
{
    struct ship_node *n = ship_node(&w, "one");
    struct ship_answer wrong = {0};
    struct ship_answer gone = {0};
    struct ship_content got;

    (void)state;
    ship_create(n);
    ship_append(n, 5);
    ship_run(&w, 7000, 100);
    ship_store_fail(w.store, &DENIED);
    ship_append(n, 5);
    ship_run(&w, 15000, 50);
    assert_int_equal(letters(n).letters, 1);
    ship_store_heal(w.store);
    tier_stream_discard(n->stream, 6, 9, false, ship_answered, &wrong);
    ship_settle(&w);
    assert_true(wrong.done);
    assert_int_equal(wrong.st, ST_NOT_FOUND);
    tier_stream_discard(n->stream, 6, 10, false, ship_answered, &gone);
    ship_settle(&w);
    assert_true(gone.done);
    assert_int_equal(gone.st, ST_OK);
    ship_append(n, 5);
    ship_run(&w, 8000, 100);
    ship_read_bucket(&w, n, &got);
    assert_int_equal(got.last_lsn, 15);
    assert_int_equal(got.records, 10);
    assert_int_equal(got.gaps, 1);
    assert_int_equal(letters(n).letters, 0);
}

/* The group had been stored after all when it is discarded: nothing is lost, there is no gap. */
static void what_was_stored_after_all_is_not_discarded(void **state)
{
    struct ship_node *n = ship_node(&w, "one");
    const struct ship_fault stored_and_denied = {OBJSTORE_PUT, OBJKEY_IS_GROUP, OBJSTORE_PERMANENT,
                                                 SHIP_FOR_EVER, true};
    struct ship_answer gone = {0};

    (void)state;
    n->options.max_retries = 0;
    ship_create(n);
    ship_store_fail(w.store, &stored_and_denied);
    ship_append(n, 5);
    ship_run(&w, 3000, 50);
    assert_int_equal(letters(n).letters, 1);
    ship_store_heal(w.store);
    tier_stream_discard(n->stream, 1, 5, true, ship_answered, &gone);
    ship_settle(&w);
    assert_true(gone.done);
    assert_int_equal(gone.st, ST_OK);
    ship_append(n, 5);
    ship_run(&w, 8000, 100);
    expect_all(n, 10);
    assert_int_equal(letters(n).letters, 0);
}

/* Something else stands under the name: the stream halts, what stands there stays. */
static void foreign_bytes_under_our_name_halt_the_stream(void **state)
{
    struct ship_node *n = ship_node(&w, "one");
    char key[OBJKEY_BYTES];
    struct objstore_req put = {
        .op = OBJSTORE_PUT, .key = key, .body = slice_text("something else")};

    (void)state;
    ship_create(n);
    objkey_group(w.collection, 1, 1, key);
    assert_int_equal(objstore_wait(w.memory, &put, NULL), ST_OK);
    objstore_result_fini(&put.result);
    ship_append(n, 5);
    ship_run(&w, 5000, 50);
    assert_int_equal(n->phase, STREAM_HALTED);
    assert_int_equal(ship_status(n).shipped_lsn, 0);
}

/* More is on its way than there is memory for: it goes out all the same, never more at once. */
static void memory_for_groups_on_their_way_has_a_bound(void **state)
{
    struct ship_node *n = ship_node(&w, "one");

    (void)state;
    n->options.group_bytes = 20000;
    n->options.max_in_flight = 16;
    n->options.flight_bytes_max = 60000;
    ship_create(n);
    ship_store_fail(w.store, &DOWN);
    ship_append(n, 3000);
    ship_run(&w, 20000, 200);
    assert_true(n->tier->ship.flight_bytes <= 60000);
    ship_store_heal(w.store);
    ship_run(&w, 20000, 100);
    expect_all(n, 3000);
    assert_true(ship_store_most_in_flight(w.store) <= 3);
    assert_int_equal(n->tier->ship.flight_bytes, 0);
}

/* Encoding again must give the same bytes; if it ever does not, nothing is sent and a person looks.
 */
static void a_group_that_encodes_to_other_bytes_is_not_sent(void **state)
{
    struct ship_node *n = ship_node(&w, "one");
    struct letter l;
    uint64_t puts;

    (void)state;
    n->options.flight_bytes_max = 1; /* no bytes are held */
    ship_create(n);
    ship_store_fail(w.store, &DOWN);
    ship_append(n, 5);
    ship_run(&w, 5000, 100);
    assert_int_equal(n->stream->ship.core.seal_count, 1);
    while (n->stream->ship.core.seals[0].token != 0) /* until it waits for its next try */
        ship_run(&w, 10, 10);
    n->stream->ship.core.seals[0].crc ^= 1; /* the thread is quiet */
    puts = ship_store_counts(w.store).group_puts;
    ship_store_heal(w.store);
    ship_run(&w, 10000, 100);
    assert_int_equal(ship_store_counts(w.store).group_puts, puts);
    assert_int_equal(letters(n).letters, 1);
    assert_int_equal(dlq_list(n->dlq, NULL, 0, &l, 1, NULL), 1);
    assert_string_equal(l.class, "integrity");
}

/* What waits for the breaker belongs to a stream that goes. */
static void closing_in_an_outage_leaves_nothing_waiting(void **state)
{
    struct ship_node *n = ship_node(&w, "one");

    (void)state;
    n->options.group_bytes = 500;
    ship_create(n);
    ship_append(n, 5);
    ship_run(&w, 8000, 100);
    ship_store_fail(w.store, &DOWN);
    ship_append(n, 50);
    ship_run(&w, 7000, 100);
    ship_close(n);
    ship_open(n); /* takes: the root's read waits */
    ship_run(&w, 20000, 300);
    assert_int_equal(ship_status(n).phase, STREAM_TAKING);
    ship_close(n);
    ship_store_heal(w.store);
    ship_open(n);
    ship_run(&w, 10000, 100);
    expect_all(n, 55);
}

static void the_breaker_may_be_closed_by_hand(void **state)
{
    struct ship_node *n = ship_node(&w, "one");
    enum breaker_state before;
    enum breaker_state after;

    (void)state;
    ship_create(n);
    ship_store_fail(w.store, &DOWN);
    ship_append(n, 3);
    ship_run(&w, 20000, 100);
    ship_store_heal(w.store);
    tier_breaker_reset(n->tier, &before, &after);
    assert_int_not_equal(before, BREAKER_CLOSED);
    assert_int_equal(after, BREAKER_CLOSED);
    ship_run(&w, 8000, 100);
    expect_all(n, 3);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(an_outage_is_waited_out),
        TEST(a_lost_answer_is_one_upload),
        TEST(a_store_that_fails_now_and_then_gets_every_record_once),
        TEST(a_refused_group_is_a_letter_until_it_is_stored),
        TEST(credentials_that_are_read_again_try_what_is_parked),
        TEST(a_letter_of_an_earlier_process_leaves_when_its_records_are_stored),
        TEST(a_discarded_group_is_a_gap_and_the_log_goes_on),
        TEST(what_was_stored_after_all_is_not_discarded),
        TEST(foreign_bytes_under_our_name_halt_the_stream),
        TEST(memory_for_groups_on_their_way_has_a_bound),
        TEST(a_group_that_encodes_to_other_bytes_is_not_sent),
        TEST(closing_in_an_outage_leaves_nothing_waiting),
        TEST(the_breaker_may_be_closed_by_hand),
    };

    return cmocka_run_group_tests_name("tier_faults", tests, NULL, NULL);
}
