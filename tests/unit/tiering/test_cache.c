/* What is kept, what goes, and what a read asks the bucket for, when nothing goes wrong. */
#include "tests/unit/tiering/cache_case.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

static void a_block_is_fetched_once_and_then_a_hit(void **state)
{
    struct cache_case c;

    (void)state;
    case_open(&c, 10 * CASE_COST);
    assert_false(case_touch(&c, 0, 3));
    for (unsigned i = 0; i < 5; i++)
        assert_true(case_touch(&c, 0, 3));
    assert_false(case_touch(&c, 1, 3)); /* the same place of another object */
    assert_int_equal(case_gets(&c), 2);
    assert_int_equal(c.account.hits, 5);
    assert_int_equal(c.account.misses, 2);
    assert_int_equal(c.account.gets, 2);
    assert_int_equal(c.account.get_bytes, 2 * CASE_BLOCK);
    assert_int_equal(c.account.resident_bytes, 2 * CASE_COST);
    assert_int_equal(case_bytes(&c), 2 * CASE_COST);
    case_close(&c);
}

/* Joined ones come in one GET each run, and are blocks of their own afterwards. */
static void what_adjoins_comes_in_one_get(void **state)
{
    struct cache_want wants[8];
    struct cache_terms terms;
    struct cache_case c;

    (void)state;
    case_open(&c, 20 * CASE_COST);
    terms = case_terms(&c);
    assert_false(case_touch(&c, 0, 2));
    for (unsigned i = 0; i < 8; i++) {
        wants[i] = case_want(0, i < 6 ? i : i + 1); /* 0 .. 5, 7, 8; 2 is there */
        wants[i].joined = i > 0;
    }
    assert_int_equal(cache_read(c.cache, &terms, wants, 8, NULL), ST_OK);
    assert_int_equal(case_gets(&c), 1 + 3);
    for (unsigned i = 0; i < 8; i++) {
        case_check_body(&wants[i]);
        assert_int_equal(wants[i].hit, i == 2);
    }
    cache_give_back(c.cache, wants, 8);
    assert_int_equal(case_bytes(&c), 8 * CASE_COST);
    for (unsigned i = 0; i < 6; i++)
        assert_true(case_touch(&c, 0, i));
    assert_int_equal(case_gets(&c), 4);
    case_close(&c);
}

/* What lies between is read over, not kept, and not asked for where one side is there. */
static void a_gap_is_read_over_between_two_that_are_missing(void **state)
{
    struct cache_want wants[5];
    struct cache_terms terms;
    struct cache_case c;

    (void)state;
    case_open(&c, 20 * CASE_COST);
    terms = case_terms(&c);
    for (unsigned round = 0; round < 2; round++) {
        for (unsigned i = 0; i < 5; i++) {
            wants[i] = case_want(0, i);
            wants[i].joined = i > 0;
            wants[i].gap = i % 2 == 1;
            wants[i].class = wants[i].gap ? CACHE_SCAN : CACHE_ROWS;
        }
        assert_int_equal(cache_read(c.cache, &terms, wants, 5, NULL), ST_OK);
        for (unsigned i = 0; i < 5; i += 2)
            case_check_body(&wants[i]);
        assert_false(case_has(&c, 0, 1)); /* nobody has checked it */
        cache_give_back(c.cache, wants, 5);
        assert_int_equal(case_gets(&c), 1);
        assert_int_equal(case_bytes(&c), 3 * CASE_COST);
    }
    (void)cache_forget(c.cache, wants[0].object);
    assert_false(case_touch(&c, 0, 2));
    assert_int_equal(cache_read(c.cache, &terms, wants, 5, NULL), ST_OK); /* 0; 4 */
    cache_give_back(c.cache, wants, 5);
    assert_int_equal(case_gets(&c), 4);
    assert_int_equal(c.account.get_bytes, 8 * CASE_BLOCK);
    case_close(&c);
}

/* Who planned its GETs before somebody else brought a block of their middle does not send more of
 * them for it, be the block there, or beside a gap. */
static void what_came_meanwhile_does_not_part_a_get_that_was_planned(void **state)
{
    (void)state;
    for (unsigned gap = 0; gap < 2; gap++) {
        struct cache_budget left = {.gets = 3, .bytes = 100 * CASE_BLOCK};
        struct cache_want wants[7];
        struct cache_terms terms;
        struct cache_case c;

        case_open(&c, 20 * CASE_COST);
        terms = case_terms(&c);
        terms.budget = &left;
        assert_false(case_touch(&c, 0, 2));
        assert_false(case_touch(&c, 0, 6));
        for (unsigned i = 0; i < 7; i++) {
            wants[i] = case_want(0, i);
            wants[i].joined = i > 0;
            wants[i].gap = gap != 0 && (i == 1 || i == 3);
            wants[i].class = wants[i].gap ? CACHE_SCAN : CACHE_ROWS;
        }
        assert_int_equal(cache_read(c.cache, &terms, wants, 7, NULL), ST_OK);
        assert_int_equal(case_gets(&c), 2 + 1);
        assert_int_equal(c.account.get_bytes, (2 + 6) * CASE_BLOCK); /* not the last: it is there */
        assert_int_equal(left.gets, 2);
        assert_int_equal(left.bytes, 94 * CASE_BLOCK);
        for (unsigned i = 0; i < 7; i++) {
            if (!wants[i].gap)
                case_check_body(&wants[i]);
            assert_int_equal(wants[i].hit, i == 2 || i == 6);
        }
        cache_give_back(c.cache, wants, 7);
        assert_int_equal(case_bytes(&c), (gap ? 5 : 7) * CASE_COST);
        case_close(&c);
    }
}

static void the_longest_unused_goes_first(void **state)
{
    struct cache_case c;

    (void)state;
    case_open(&c, 3 * CASE_COST);
    for (unsigned i = 0; i < 3; i++)
        assert_false(case_touch(&c, 0, i));
    assert_true(case_touch(&c, 0, 0));
    assert_false(case_touch(&c, 0, 3)); /* 1 goes */
    assert_true(case_has(&c, 0, 0));
    assert_false(case_has(&c, 0, 1));
    assert_true(case_has(&c, 0, 2));
    assert_false(case_touch(&c, 0, 4)); /* 2 goes */
    assert_true(case_has(&c, 0, 0));
    assert_false(case_has(&c, 0, 2));
    assert_int_equal(c.account.ghost_hits, 0);
    assert_false(case_touch(&c, 0, 1)); /* was evicted a little ago */
    assert_int_equal(c.account.ghost_hits, 1);
    assert_int_equal(case_bytes(&c), 3 * CASE_COST);
    case_close(&c);
}

/* A ghost is of what twice the size would have kept. */
static void ghosts_are_of_twice_the_size(void **state)
{
    struct cache_case c;

    (void)state;
    case_open(&c, 10 * CASE_COST);
    c.cache->bytes_max -= 0;
    for (unsigned i = 0; i < 60; i++)
        assert_false(case_touch(&c, 0, i));
    assert_int_equal(c.cache->ghost_bytes <= c.cache->bytes_max, 1);
    assert_false(case_touch(&c, 0, 45)); /* among the ten before */
    assert_int_equal(c.account.ghost_hits, 1);
    assert_false(case_touch(&c, 0, 0));
    assert_int_equal(c.account.ghost_hits, 1);
    case_close(&c);
}

static void a_scan_uses_what_is_there_and_evicts_nothing(void **state)
{
    struct cache_want wants[20];
    struct cache_terms terms;
    struct cache_case c;

    (void)state;
    case_open(&c, 3 * CASE_COST);
    terms = case_terms(&c);
    for (unsigned i = 0; i < 3; i++)
        assert_false(case_touch(&c, 0, i));
    for (unsigned i = 0; i < 20; i++) {
        wants[i] = case_want(0, i);
        wants[i].class = CACHE_SCAN;
    }
    assert_int_equal(cache_read(c.cache, &terms, wants, 20, NULL), ST_OK);
    assert_int_equal(case_gets(&c), 3 + 17);
    assert_int_equal(case_bytes(&c), 20 * CASE_COST);
    cache_give_back(c.cache, wants, 20);
    assert_int_equal(case_bytes(&c), 3 * CASE_COST);
    for (unsigned i = 0; i < 3; i++)
        assert_true(case_has(&c, 0, i));
    assert_int_equal(c.account.hits, 0);
    assert_int_equal(c.account.misses, 3);
    case_close(&c);
}

static void what_is_pinned_or_borrowed_stays(void **state)
{
    struct cache_want pinned = case_want(0, 0), borrowed = case_want(0, 1);
    struct cache_block *block;
    struct cache_status now;
    struct cache_terms terms;
    struct cache_case c;

    (void)state;
    case_open(&c, 4 * CASE_COST);
    terms = case_terms(&c);
    assert_int_equal(cache_read(c.cache, &terms, &pinned, 1, NULL), ST_OK);
    block = pinned.block;
    cache_pin(c.cache, &pinned);
    cache_pin(c.cache, &pinned); /* counted */
    cache_give_back(c.cache, &pinned, 1);
    assert_int_equal(cache_read(c.cache, &terms, &borrowed, 1, NULL), ST_OK);
    for (unsigned i = 10; i < 50; i++)
        assert_false(case_touch(&c, 0, i));
    case_check_body(&borrowed);
    cache_status(c.cache, &now);
    assert_int_equal(now.pinned_bytes, CASE_COST);
    assert_int_equal(now.evictions, 38);
    assert_int_equal(case_bytes(&c), 4 * CASE_COST);
    cache_give_back(c.cache, &borrowed, 1);
    cache_resize(c.cache, 0);
    assert_int_equal(case_bytes(&c), CASE_COST);
    cache_unpin(c.cache, block);
    assert_int_equal(case_bytes(&c), CASE_COST);
    cache_unpin(c.cache, block);
    assert_int_equal(case_bytes(&c), 0);
    case_close(&c);
}

/* A node that ends with something borrowed does not take it away from who has it. */
static void a_closed_cache_is_there_while_something_is_borrowed(void **state)
{
    struct cache_want w = case_want(0, 0);
    struct cache_block *block;
    struct cache_terms terms;
    struct cache_case c;

    (void)state;
    case_open(&c, 4 * CASE_COST);
    terms = case_terms(&c);
    assert_int_equal(cache_read(c.cache, &terms, &w, 1, NULL), ST_OK);
    block = w.block;
    cache_close(c.cache); /* borrowed */
    case_check_body(&w);
    cache_pin(c.cache, &w);
    cache_give_back(c.cache, &w, 1);
    cache_close(c.cache); /* pinned */
    cache_unpin(c.cache, block);
    cache_charge(c.cache, 1);
    cache_close(c.cache); /* charged */
    cache_uncharge(c.cache, 1);
    assert_int_equal(cache_read(c.cache, &terms, &w, 1, NULL), ST_OK);
    (void)cache_forget(c.cache, w.object);
    cache_close(c.cache); /* borrowed, and nobody finds it any more */
    case_check_body(&w);
    cache_give_back(c.cache, &w, 1);
    case_close(&c);
}

/* More than there is room for goes through and leaves the rest alone. */
static void a_read_of_more_than_there_is_goes_through_uncached(void **state)
{
    struct cache_want wants[10];
    struct cache_terms terms;
    struct cache_case c;

    (void)state;
    case_open(&c, 4 * CASE_COST);
    cache_resize(c.cache, c.fixed + 4 * CASE_COST);
    terms = case_terms(&c);
    for (unsigned i = 50; i < 54; i++)
        assert_false(case_touch(&c, 0, i));
    for (unsigned i = 0; i < 10; i++)
        wants[i] = case_want(0, i);
    assert_int_equal(cache_read(c.cache, &terms, wants, 10, NULL), ST_OK);
    for (unsigned i = 0; i < 10; i++)
        case_check_body(&wants[i]);
    cache_give_back(c.cache, wants, 10);
    assert_true(case_bytes(&c) <= 4 * CASE_COST);
    case_close(&c);
}

static void a_forgotten_object_leaves_what_is_borrowed(void **state)
{
    struct cache_want w = case_want(0, 5);
    struct cache_terms terms;
    struct cache_case c;

    (void)state;
    case_open(&c, 20 * CASE_COST);
    terms = case_terms(&c);
    for (unsigned i = 0; i < 4; i++) {
        assert_false(case_touch(&c, 0, i));
        assert_false(case_touch(&c, 1, i));
    }
    assert_int_equal(cache_read(c.cache, &terms, &w, 1, NULL), ST_OK);
    assert_int_equal(cache_forget(c.cache, w.object), 4 * CASE_BLOCK);
    case_check_body(&w);
    assert_int_equal(case_bytes(&c), 5 * CASE_COST);
    assert_false(case_has(&c, 0, 5)); /* who comes now asks anew */
    cache_give_back(c.cache, &w, 1);
    assert_int_equal(case_bytes(&c), 4 * CASE_COST);
    for (unsigned i = 0; i < 4; i++)
        assert_true(case_has(&c, 1, i));
    case_close(&c);
}

static void room_for_codes_is_half_of_what_is_not_pinned(void **state)
{
    struct cache_want w = case_want(0, 0), codes = case_want(0, 1);
    struct cache_block *block;
    struct cache_terms terms;
    struct cache_case c;
    uint64_t all;

    (void)state;
    case_open(&c, 20 * CASE_COST);
    terms = case_terms(&c);
    all = c.fixed + 20 * CASE_COST;
    assert_int_equal(cache_room(c.cache), all / 2);
    assert_int_equal(cache_read(c.cache, &terms, &w, 1, NULL), ST_OK);
    cache_pin(c.cache, &w);
    block = w.block;
    cache_give_back(c.cache, &w, 1);
    assert_int_equal(cache_room(c.cache), (all - CASE_COST) / 2);
    codes.class = CACHE_CODES;
    assert_int_equal(cache_read(c.cache, &terms, &codes, 1, NULL), ST_OK);
    cache_give_back(c.cache, &codes, 1);
    assert_int_equal(cache_room(c.cache), (all - CASE_COST) / 2 - CASE_COST);
    cache_unpin(c.cache, block);
    case_close(&c);
}

static void an_account_that_leaves_is_not_touched_again(void **state)
{
    struct cache_want w = case_want(0, 0);
    struct cache_terms terms;
    struct cache_case c;

    (void)state;
    case_open(&c, 3 * CASE_COST);
    terms = case_terms(&c);
    assert_false(case_touch(&c, 0, 1));
    assert_int_equal(cache_read(c.cache, &terms, &w, 1, NULL), ST_OK);
    cache_account_leave(c.cache, &c.account);
    assert_int_equal(c.account.resident_bytes, 2 * CASE_COST);
    cache_give_back(c.cache, &w, 1);
    cache_resize(c.cache, 0);
    assert_int_equal(c.account.resident_bytes, 2 * CASE_COST);
    c.account.resident_bytes = 0;
    case_close(&c);
}

/* Limits of what is under way: all of it comes, a few at a time. */
static void no_more_is_under_way_than_allowed(void **state)
{
    struct cache_want wants[100];
    struct cache_terms terms;
    struct cache_case c;

    (void)state;
    case_open(&c, 200 * CASE_COST);
    terms = case_terms(&c);
    c.cache->gets_max = 3;
    case_fault(&c, (struct objstore_fault){.kind = OBJSTORE_FAULT_DELAY,
                                           .delay_ms = 1,
                                           .times = OBJSTORE_FAULT_FOR_EVER});
    for (unsigned i = 0; i < 100; i++)
        wants[i] = case_want(0, i);
    assert_int_equal(cache_read(c.cache, &terms, wants, 50, NULL), ST_OK);
    c.cache->gets_max = 64;
    c.cache->wave_bytes_max = 2 * CASE_BLOCK;
    assert_int_equal(cache_read(c.cache, &terms, wants + 50, 50, NULL), ST_OK);
    c.cache->wave_bytes_max = 1; /* less than one of them: one at a time */
    cache_give_back(c.cache, wants, 100);
    assert_false(case_touch(&c, 1, 1));
    assert_int_equal(case_gets(&c), 101);
    case_close(&c);
}

static void hits_are_cheap(void **state)
{
    enum { ROUNDS = 200000, WANTS = 16 };
    struct cache_want wants[WANTS];
    struct timespec from, to;
    struct cache_terms terms;
    struct cache_case c;
    double ns;

    (void)state;
    case_open(&c, 50 * CASE_COST);
    terms = case_terms(&c);
    for (unsigned i = 0; i < WANTS; i++)
        wants[i] = case_want(0, i);
    assert_int_equal(cache_read(c.cache, &terms, wants, WANTS, NULL), ST_OK);
    cache_give_back(c.cache, wants, WANTS);
    (void)clock_gettime(CLOCK_MONOTONIC, &from);
    for (unsigned i = 0; i < ROUNDS / WANTS; i++) {
        assert_int_equal(cache_read(c.cache, &terms, wants, WANTS, NULL), ST_OK);
        cache_give_back(c.cache, wants, WANTS);
    }
    (void)clock_gettime(CLOCK_MONOTONIC, &to);
    ns = ((double)(to.tv_sec - from.tv_sec) * 1e9 + (double)(to.tv_nsec - from.tv_nsec)) / ROUNDS;
    print_message("a hit in a wave of %d: %.0f ns\n", WANTS, ns);
    assert_int_equal(case_gets(&c), WANTS);
    case_close(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_block_is_fetched_once_and_then_a_hit),
        cmocka_unit_test(what_adjoins_comes_in_one_get),
        cmocka_unit_test(a_gap_is_read_over_between_two_that_are_missing),
        cmocka_unit_test(what_came_meanwhile_does_not_part_a_get_that_was_planned),
        cmocka_unit_test(the_longest_unused_goes_first),
        cmocka_unit_test(ghosts_are_of_twice_the_size),
        cmocka_unit_test(a_scan_uses_what_is_there_and_evicts_nothing),
        cmocka_unit_test(what_is_pinned_or_borrowed_stays),
        cmocka_unit_test(a_closed_cache_is_there_while_something_is_borrowed),
        cmocka_unit_test(a_read_of_more_than_there_is_goes_through_uncached),
        cmocka_unit_test(a_forgotten_object_leaves_what_is_borrowed),
        cmocka_unit_test(room_for_codes_is_half_of_what_is_not_pinned),
        cmocka_unit_test(an_account_that_leaves_is_not_touched_again),
        cmocka_unit_test(no_more_is_under_way_than_allowed),
        cmocka_unit_test(hits_are_cheap),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
