/* When a request is made again: the tables of the study, ceilings, and who is told to wait. */
#include "objstore/retry.h"

#include "base/rand.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static uint64_t seed = 1;

/* The largest and smallest delay of many draws; false where it is not retried. */
static bool bounds(const struct objstore_retry_policy *p, enum objstore_class c, uint32_t attempt,
                   uint64_t retry_after_ms, uint64_t *low, uint64_t *high)
{
    struct rand_seeded rng;

    rand_seeded_init(&rng, seed);
    *low = UINT64_MAX;
    *high = 0;
    for (int i = 0; i < 20000; i++) {
        uint64_t delay = 0;

        if (!objstore_retry_next(p, c, attempt, retry_after_ms, rand_u64(&rng.source), &delay))
            return false;
        *low = delay < *low ? delay : *low;
        *high = delay > *high ? delay : *high;
    }
    return true;
}

static void expect(const struct objstore_retry_policy *p, enum objstore_class c, uint32_t attempt,
                   uint64_t ceiling)
{
    uint64_t low;
    uint64_t high;

    if (!bounds(p, c, attempt, 0, &low, &high))
        fail_msg("%s attempt %u is not retried", objstore_class_name(c), attempt);
    /* Full jitter: from nothing to the ceiling, which some of 20,000 draws come near. */
    if (high > ceiling || high < ceiling - ceiling / 20 || low > ceiling / 20)
        fail_msg("%s attempt %u: %" PRIu64 " to %" PRIu64 ", seed %" PRIu64, objstore_class_name(c),
                 attempt, low, high, seed);
}

static bool again(const struct objstore_retry_policy *p, enum objstore_class c, uint32_t attempt)
{
    uint64_t delay;

    return objstore_retry_next(p, c, attempt, 0, 7, &delay);
}

static void what_is_decided_is_never_made_again(void **state)
{
    static const enum objstore_class decided[] = {OBJSTORE_OK, OBJSTORE_NOT_MODIFIED,
                                                  OBJSTORE_NOT_FOUND, OBJSTORE_PRECONDITION,
                                                  OBJSTORE_CANCELLED};
    struct objstore_retry_policy foreground = objstore_retry_foreground();
    struct objstore_retry_policy background = objstore_retry_background(1000, 64000, 5);

    (void)state;
    for (size_t i = 0; i < COUNT_OF(decided); i++) {
        assert_false(again(&foreground, decided[i], 1));
        assert_false(again(&background, decided[i], 1));
    }
}

static void foreground_requests_have_the_short_table(void **state)
{
    struct objstore_retry_policy p = objstore_retry_foreground();

    (void)state;
    expect(&p, OBJSTORE_TRANSIENT, 1, 50);
    expect(&p, OBJSTORE_TRANSIENT, 2, 100);
    expect(&p, OBJSTORE_TRANSIENT, 3, 200);
    expect(&p, OBJSTORE_CONFLICT, 1, 50);
    expect(&p, OBJSTORE_THROTTLE, 1, 1000);
    expect(&p, OBJSTORE_THROTTLE, 3, 4000);
    assert_false(again(&p, OBJSTORE_TRANSIENT, 4));
    assert_false(again(&p, OBJSTORE_THROTTLE, 4));
    assert_false(again(&p, OBJSTORE_CAPACITY, 1));
    assert_false(again(&p, OBJSTORE_PERMANENT, 1));
    assert_false(again(&p, OBJSTORE_REFRESHABLE, 1));
    assert_true(again(&p, OBJSTORE_INTEGRITY, 1));
    assert_false(again(&p, OBJSTORE_INTEGRITY, 2));
}

static void background_requests_go_on_for_ever_but_for_what_becomes_a_letter(void **state)
{
    struct objstore_retry_policy p = objstore_retry_background(1000, 64000, 5);
    uint64_t low;
    uint64_t high;

    (void)state;
    expect(&p, OBJSTORE_TRANSIENT, 1, 1000);
    expect(&p, OBJSTORE_TRANSIENT, 4, 8000);
    expect(&p, OBJSTORE_TRANSIENT, 7, 64000);
    expect(&p, OBJSTORE_TRANSIENT, 8, 64000);
    expect(&p, OBJSTORE_TRANSIENT, UINT32_MAX - 1, 64000);
    expect(&p, OBJSTORE_THROTTLE, UINT32_MAX - 1, 64000);
    assert_true(again(&p, OBJSTORE_CONFLICT, UINT32_MAX - 1));
    for (uint32_t attempt = 1; attempt <= 5; attempt++)
        assert_true(again(&p, OBJSTORE_PERMANENT, attempt));
    assert_false(again(&p, OBJSTORE_PERMANENT, 6)); /* the first and five more */
    assert_false(again(&p, OBJSTORE_REFRESHABLE, 6));
    assert_true(bounds(&p, OBJSTORE_CAPACITY, 1000000, 0, &low, &high));
    assert_true(low >= 15000 && high <= 30000 && high > 29000 && low < 16000);
    p = objstore_retry_background(1000, 64000, 0);
    assert_false(again(&p, OBJSTORE_PERMANENT, 1));
}

static void the_store_s_wish_is_waited_for_at_least(void **state)
{
    struct objstore_retry_policy p = objstore_retry_foreground();
    uint64_t low;
    uint64_t high;

    (void)state;
    assert_true(bounds(&p, OBJSTORE_THROTTLE, 1, 7000, &low, &high));
    assert_true(low >= 7000 && low < 7050 && high <= 8000 && high > 7900);
    assert_true(bounds(&p, OBJSTORE_THROTTLE, 1, UINT64_MAX, &low, &high)); /* not for ever */
    assert_true(high <= 301000);
}

static void nothing_overflows(void **state)
{
    struct objstore_retry_policy p = objstore_retry_background(UINT64_MAX - 1, UINT64_MAX, 5);
    uint64_t delay = 0;

    (void)state;
    assert_true(objstore_retry_next(&p, OBJSTORE_TRANSIENT, 100, 0, UINT64_MAX, &delay));
    p = objstore_retry_background(0, 0, 5);
    assert_true(objstore_retry_next(&p, OBJSTORE_TRANSIENT, UINT32_MAX - 1, 0, 99, &delay));
    assert_int_equal(delay, 0);
}

static void retries_together_are_bounded(void **state)
{
    struct objstore_retry_budget budget;
    unsigned taken = 0;

    (void)state;
    objstore_retry_budget_init(&budget);
    while (objstore_retry_budget_take(&budget, OBJSTORE_TRANSIENT))
        taken++;
    assert_int_equal(taken, 500 / 14);
    assert_true(objstore_retry_budget_take(&budget, OBJSTORE_THROTTLE));
    for (int i = 0; i < 14; i++)
        objstore_retry_budget_success(&budget);
    assert_true(objstore_retry_budget_take(&budget, OBJSTORE_TRANSIENT));
    for (int i = 0; i < 10000; i++)
        objstore_retry_budget_success(&budget);
    assert_int_equal(budget.tokens, 500);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_decided_is_never_made_again),
        cmocka_unit_test(foreground_requests_have_the_short_table),
        cmocka_unit_test(background_requests_go_on_for_ever_but_for_what_becomes_a_letter),
        cmocka_unit_test(the_store_s_wish_is_waited_for_at_least),
        cmocka_unit_test(nothing_overflows),
        cmocka_unit_test(retries_together_are_bounded),
    };

    if (argc > 1)
        seed = strtoull(argv[1], NULL, 10);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
