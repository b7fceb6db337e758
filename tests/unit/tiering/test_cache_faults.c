/* What a read comes to when the bucket answers late, wrongly or not at all. */
#include "tests/unit/tiering/cache_case.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#define MS UINT64_C(1000000)

static status read_one(struct cache_case *c, unsigned index, uint64_t deadline_ms, struct err *err)
{
    struct cache_want w = case_want(0, index);
    struct cache_terms terms = case_terms(c);
    status st;

    if (deadline_ms > 0)
        terms.deadline_ns = clock_mono_ns(clock_real()) + deadline_ms * MS;
    st = cache_read(c->cache, &terms, &w, 1, err);
    assert_int_equal(w.st, st);
    if (st == ST_OK)
        case_check_body(&w);
    cache_give_back(c->cache, &w, 1);
    return st;
}

static struct objstore_fault fault_of(enum objstore_fault_kind kind, uint32_t times)
{
    return (struct objstore_fault){.kind = kind, .ops = 1u << OBJSTORE_GET, .times = times};
}

static void a_lost_answer_is_asked_for_again_by_another_way(void **state)
{
    struct cache_case c;

    (void)state;
    case_open(&c, 10 * CASE_COST);
    case_fault(&c, fault_of(OBJSTORE_FAULT_LOSE, 1));
    assert_int_equal(read_one(&c, 0, 0, NULL), ST_OK);
    assert_int_equal(case_gets(&c), 2);
    assert_int_equal(c.fresh, 1);
    case_close(&c);
}

/* Retries are few beside what goes well, and what goes well earns them back. */
static void retries_are_earned_back(void **state)
{
    struct cache_case c;
    uint32_t tokens;

    (void)state;
    case_open(&c, 300 * CASE_COST);
    tokens = c.cache->budget.tokens;
    case_fault(&c, fault_of(OBJSTORE_FAULT_LOSE, 1));
    assert_int_equal(read_one(&c, 0, 0, NULL), ST_OK);
    assert_in_range(c.cache->budget.tokens, tokens - 20, tokens - 2);
    for (unsigned i = 1; i < 40; i++)
        assert_int_equal(read_one(&c, i, 0, NULL), ST_OK);
    assert_int_equal(c.cache->budget.tokens, tokens);
    case_close(&c);
}

static void damaged_or_cut_bytes_are_right_the_second_time(void **state)
{
    static const enum objstore_fault_kind kinds[] = {OBJSTORE_FAULT_CORRUPT,
                                                     OBJSTORE_FAULT_TRUNCATE};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(kinds); i++) {
        struct cache_case c;

        case_open(&c, 10 * CASE_COST);
        case_fault(&c, fault_of(kinds[i], 1));
        assert_int_equal(read_one(&c, 0, 0, NULL), ST_OK);
        assert_int_equal(case_gets(&c), 2);
        assert_int_equal(c.fresh, 1);
        assert_true(case_has(&c, 0, 0));
        case_close(&c);
    }
}

static void bytes_that_are_wrong_twice_are_corrupt_and_not_kept(void **state)
{
    static const enum objstore_fault_kind kinds[] = {OBJSTORE_FAULT_CORRUPT,
                                                     OBJSTORE_FAULT_TRUNCATE};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(kinds); i++) {
        struct cache_case c;
        struct err err = {0};

        case_open(&c, 10 * CASE_COST);
        case_fault(&c, fault_of(kinds[i], 2));
        assert_int_equal(read_one(&c, 0, 0, &err), ST_CORRUPT);
        assert_int_equal(case_gets(&c), 2);
        assert_true(strlen(err.text) > 0);
        assert_false(case_has(&c, 0, 0));
        assert_int_equal(case_bytes(&c), 0);
        assert_int_equal(read_one(&c, 0, 0, NULL), ST_OK); /* the next is asked anew */
        case_close(&c);
    }
}

/* One of a run is wrong: the others are there already when it is asked for again. */
static void one_wrong_block_of_a_run_does_not_spoil_the_others(void **state)
{
    struct cache_want wants[5];
    struct cache_terms terms;
    struct cache_case c;
    struct err err = {0};

    (void)state;
    case_open(&c, 10 * CASE_COST);
    terms = case_terms(&c);
    for (unsigned i = 0; i < 5; i++) {
        wants[i] = case_want(0, i);
        wants[i].joined = i > 0;
    }
    wants[3].check_arg = (void *)(uintptr_t)7; /* expects other bytes */
    assert_int_equal(cache_read(c.cache, &terms, wants, 5, &err), ST_CORRUPT);
    assert_int_equal(case_gets(&c), 2);
    for (unsigned i = 0; i < 5; i++) {
        assert_int_equal(wants[i].st, i == 3 ? ST_CORRUPT : ST_OK);
        if (i != 3)
            case_check_body(&wants[i]);
    }
    cache_give_back(c.cache, wants, 5);
    assert_int_equal(case_bytes(&c), 4 * CASE_COST);
    case_close(&c);
}

static void an_object_that_is_not_there_is_asked_for_three_times(void **state)
{
    struct cache_want wants[2];
    struct cache_terms terms;
    struct cache_case c;
    struct err err = {0};

    (void)state;
    case_open(&c, 10 * CASE_COST);
    terms = case_terms(&c);
    wants[0] = case_want(0, 0);
    wants[0].key = "g/absent";
    wants[1] = case_want(1, 0);
    assert_int_equal(cache_read(c.cache, &terms, wants, 2, &err), ST_NOT_FOUND);
    assert_non_null(strstr(err.text, "g/absent"));
    assert_int_equal(wants[0].st, ST_NOT_FOUND);
    case_check_body(&wants[1]); /* the rest of the wave is there */
    assert_int_equal(case_gets(&c), 3 + 1);
    cache_give_back(c.cache, wants, 2);
    case_close(&c);
}

static void an_object_that_ends_early_is_corrupt(void **state)
{
    struct cache_want w = case_want(0, CASE_BLOCKS);
    struct cache_terms terms;
    struct cache_case c;

    (void)state;
    case_open(&c, 10 * CASE_COST);
    terms = case_terms(&c);
    assert_int_equal(cache_read(c.cache, &terms, &w, 1, NULL), ST_CORRUPT);
    cache_give_back(c.cache, &w, 1);
    case_close(&c);
}

static void sizes_that_cannot_be_are_not_asked_for(void **state)
{
    struct cache_want wants[4];
    struct cache_terms terms;
    struct cache_case c;
    struct err err = {0};

    (void)state;
    case_open(&c, 10 * CASE_COST);
    terms = case_terms(&c);
    for (unsigned i = 0; i < 4; i++)
        wants[i] = case_want(0, i);
    wants[1].bytes = UINT64_MAX - 10;
    wants[2].bytes = 0; /* of a store it would be all */
    wants[2].joined = true;
    assert_int_equal(cache_read(c.cache, &terms, wants, 4, &err), ST_CORRUPT);
    assert_true(strlen(err.text) > 0);
    assert_int_equal(wants[1].st, ST_CORRUPT);
    assert_int_equal(wants[2].st, ST_OK);
    assert_int_equal(wants[2].body.bytes, 0);
    case_check_body(&wants[0]);
    case_check_body(&wants[3]);
    cache_give_back(c.cache, wants, 4);
    assert_int_equal(case_gets(&c), 2);
    assert_int_equal(case_bytes(&c), 2 * CASE_COST);
    case_close(&c);
}

static void what_a_person_must_mend_is_said_at_once(void **state)
{
    struct cache_case c;
    struct err err = {0};

    (void)state;
    case_open(&c, 10 * CASE_COST);
    case_fault(&c, objstore_fault_denied());
    assert_int_equal(read_one(&c, 0, 0, &err), ST_DENIED);
    assert_int_equal(case_gets(&c), 1);
    case_close(&c);
}

/* The bucket is away: said soon and without many requests; and it comes back by itself. */
static void a_bucket_that_is_away_is_unavailable_and_comes_back(void **state)
{
    struct cache_case c;
    struct err err = {0};
    uint64_t gets, from;

    (void)state;
    case_open(&c, 10 * CASE_COST);
    case_fault(&c, objstore_fault_outage());
    for (unsigned i = 0; i < 5; i++)
        assert_int_equal(read_one(&c, i, 0, &err), ST_UNAVAILABLE);
    gets = case_gets(&c);
    assert_true(gets <= 5 * 4);
    objstore_faults_clear(c.faults);
    from = clock_mono_ns(clock_real());
    while (read_one(&c, 0, 0, NULL) != ST_OK) { /* at its next probe */
        assert_true(clock_mono_ns(clock_real()) - from < 30000 * MS);
        (void)nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
    }
    case_close(&c);
}

/* No answer can be better in time: said at once what the last one was. */
static void a_pause_beyond_the_deadline_is_not_waited_for(void **state)
{
    struct cache_case c;
    uint64_t from;

    (void)state;
    case_open(&c, 10 * CASE_COST);
    case_fault(&c, objstore_fault_throttle(20000));
    from = clock_mono_ns(clock_real());
    assert_int_equal(read_one(&c, 0, 10000, NULL), ST_UNAVAILABLE);
    assert_true(clock_mono_ns(clock_real()) - from < 8000 * MS);
    assert_int_equal(case_gets(&c), 1);
    assert_int_equal(case_bytes(&c), 0);
    case_close(&c);
}

static void a_deadline_is_kept_while_the_store_hangs(void **state)
{
    struct cache_want wants[3];
    struct cache_terms terms;
    struct cache_case c;
    struct objstore_fault hang = fault_of(OBJSTORE_FAULT_DELAY, OBJSTORE_FAULT_FOR_EVER);
    uint64_t from;

    (void)state;
    case_open(&c, 10 * CASE_COST);
    assert_false(case_touch(&c, 0, 1));
    hang.delay_ms = OBJSTORE_FAULT_HOLD;
    case_fault(&c, hang);
    terms = case_terms(&c);
    from = clock_mono_ns(clock_real());
    terms.deadline_ns = from + 60 * MS;
    for (unsigned i = 0; i < 3; i++)
        wants[i] = case_want(0, i);
    assert_int_equal(cache_read(c.cache, &terms, wants, 3, NULL), ST_TIMEOUT);
    assert_true(clock_mono_ns(clock_real()) - from >= 60 * MS);
    assert_true(clock_mono_ns(clock_real()) - from < 5000 * MS);
    assert_int_equal(wants[0].st, ST_TIMEOUT);
    case_check_body(&wants[1]);
    assert_int_equal(wants[2].st, ST_TIMEOUT);
    cache_give_back(c.cache, wants, 3);
    objstore_faults_clear(c.faults);
    (void)objstore_faults_release(c.faults);
    assert_false(case_touch(&c, 0, 0));
    case_close(&c); /* waits for what was given up */
}

static void who_is_told_to_stop_stops(void **state)
{
    struct cache_want w = case_want(0, 0);
    _Atomic bool stop = true;
    struct cache_terms terms;
    struct cache_case c;
    struct objstore_fault hang = fault_of(OBJSTORE_FAULT_DELAY, OBJSTORE_FAULT_FOR_EVER);

    (void)state;
    case_open(&c, 10 * CASE_COST);
    hang.delay_ms = OBJSTORE_FAULT_HOLD;
    case_fault(&c, hang);
    terms = case_terms(&c);
    terms.stop = &stop;
    assert_int_equal(cache_read(c.cache, &terms, &w, 1, NULL), ST_CLOSED);
    assert_int_equal(w.st, ST_CLOSED);
    cache_give_back(c.cache, &w, 1);
    case_close(&c);
}

/* --- hedges --- */

static void learn(struct cache_case *c, unsigned gets)
{
    for (unsigned i = 0; i < gets; i++) {
        assert_int_equal(read_one(c, i % CASE_BLOCKS, 0, NULL), ST_OK);
        (void)cache_forget(c->cache, case_want(0, 0).object);
    }
}

static void a_slow_get_is_sent_once_more_and_the_first_answer_wins(void **state)
{
    struct objstore_fault hang = fault_of(OBJSTORE_FAULT_DELAY, 1);
    struct cache_case c;
    uint64_t gets, hedges;

    (void)state;
    case_open(&c, 10 * CASE_COST);
    learn(&c, 100);
    gets = case_gets(&c);
    hedges = c.account.hedges;
    c.cache->hedge.tokens = 500; /* on a busy machine they may have gone already */
    hang.delay_ms = OBJSTORE_FAULT_HOLD;
    case_fault(&c, hang);
    assert_int_equal(read_one(&c, 3, 0, NULL), ST_OK);
    assert_int_equal(case_gets(&c), gets + 1);
    assert_true(c.account.hedges > hedges);
    case_close(&c);
}

/* A reader's budget has room for its GET, or for one more. */
static void nothing_is_hedged_beyond_the_budget(void **state)
{
    const struct cache_budget budgets[] = {{1, 100000}, {2, CASE_BLOCK}, {2, 2 * CASE_BLOCK}};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(budgets); i++) {
        struct objstore_fault slow = fault_of(OBJSTORE_FAULT_DELAY, 1);
        struct cache_budget left = budgets[i];
        struct cache_want w = case_want(0, 3);
        struct cache_terms terms;
        struct cache_case c;

        case_open(&c, 10 * CASE_COST);
        learn(&c, 100);
        c.cache->hedge.tokens = 500;
        c.account.hedges = 0;
        slow.delay_ms = i < 2 ? 300 : OBJSTORE_FAULT_HOLD;
        case_fault(&c, slow);
        terms = case_terms(&c);
        terms.budget = &left;
        assert_int_equal(cache_read(c.cache, &terms, &w, 1, NULL), ST_OK);
        cache_give_back(c.cache, &w, 1);
        assert_int_equal(c.account.hedges, i < 2 ? 0 : 1);
        assert_int_equal(left.gets, i == 1 ? 1 : 0);
        case_close(&c);
    }
}

/* Half of all are slow: no more than five in a hundred are sent twice. */
static void hedges_are_five_in_a_hundred_at_most(void **state)
{
    struct cache_case c;

    (void)state;
    case_open(&c, 10 * CASE_COST);
    learn(&c, 100);
    assert_int_equal(cache_hedge_after_ns(&c.cache->hedge, CASE_BLOCK) <= 1000 * MS, 1);
    for (unsigned i = 0; i < 100; i++) {
        struct objstore_fault slow = fault_of(OBJSTORE_FAULT_DELAY, 1);

        slow.delay_ms = 12;
        slow.nth = 1;
        if (i % 2 == 0)
            case_fault(&c, slow);
        assert_int_equal(read_one(&c, i, 0, NULL), ST_OK);
        (void)cache_forget(c.cache, case_want(0, 0).object);
        if (i % 32 == 31)
            objstore_faults_clear(c.faults);
    }
    print_message("%" PRIu64 " hedges of %" PRIu64 " GETs\n", c.account.hedges, case_gets(&c));
    assert_true(c.account.hedges * 100 <= case_gets(&c) * CACHE_HEDGE_PERCENT);
    case_close(&c);
}

static void nothing_is_hedged_while_the_store_throttles(void **state)
{
    struct objstore_fault throttle = objstore_fault_throttle(0);
    struct objstore_fault slow = fault_of(OBJSTORE_FAULT_DELAY, 1);
    struct cache_case c;

    (void)state;
    case_open(&c, 10 * CASE_COST);
    c.cache->ask.policy.throttle_base_ms = 1;
    learn(&c, 100);
    throttle.times = 1;
    case_fault(&c, throttle);
    assert_int_equal(read_one(&c, 0, 0, NULL), ST_OK);
    c.account.hedges = 0;
    slow.delay_ms = 100;
    case_fault(&c, slow);
    assert_int_equal(read_one(&c, 3, 0, NULL), ST_OK);
    assert_int_equal(c.account.hedges, 0);
    case_close(&c);
}

static void the_slow_twentieth_is_known_by_size(void **state)
{
    struct cache_hedge h = {0};

    (void)state;
    assert_true(cache_hedge_after_ns(&h, 1000) == UINT64_MAX);
    for (unsigned i = 0; i < 1000; i++) {
        cache_hedge_took(&h, 1000, i % 100 < 94 ? 20 * MS : 200 * MS);
        cache_hedge_took(&h, 1000000, 50 * MS);
    }
    assert_in_range(cache_hedge_after_ns(&h, 1000), 180 * MS, 270 * MS);
    assert_in_range(cache_hedge_after_ns(&h, 1000000), 45 * MS, 70 * MS);
    for (unsigned i = 0; i < 4000; i++) /* what was fades */
        cache_hedge_took(&h, 1000, i % 100 < 97 ? MS : 200 * MS);
    assert_int_equal(cache_hedge_after_ns(&h, 1000), CACHE_HEDGE_MIN_MS * MS);
    assert_true(cache_hedge_after_ns(&h, UINT64_C(1) << 40) == UINT64_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_lost_answer_is_asked_for_again_by_another_way),
        cmocka_unit_test(retries_are_earned_back),
        cmocka_unit_test(damaged_or_cut_bytes_are_right_the_second_time),
        cmocka_unit_test(bytes_that_are_wrong_twice_are_corrupt_and_not_kept),
        cmocka_unit_test(one_wrong_block_of_a_run_does_not_spoil_the_others),
        cmocka_unit_test(an_object_that_is_not_there_is_asked_for_three_times),
        cmocka_unit_test(an_object_that_ends_early_is_corrupt),
        cmocka_unit_test(sizes_that_cannot_be_are_not_asked_for),
        cmocka_unit_test(what_a_person_must_mend_is_said_at_once),
        cmocka_unit_test(a_bucket_that_is_away_is_unavailable_and_comes_back),
        cmocka_unit_test(a_pause_beyond_the_deadline_is_not_waited_for),
        cmocka_unit_test(a_deadline_is_kept_while_the_store_hangs),
        cmocka_unit_test(who_is_told_to_stop_stops),
        cmocka_unit_test(a_slow_get_is_sent_once_more_and_the_first_answer_wins),
        cmocka_unit_test(nothing_is_hedged_beyond_the_budget),
        cmocka_unit_test(hedges_are_five_in_a_hundred_at_most),
        cmocka_unit_test(nothing_is_hedged_while_the_store_throttles),
        cmocka_unit_test(the_slow_twentieth_is_known_by_size),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
