/* The marks against a list of every record: the oldest age is never said too young, and too old by
 * a thirtieth of the span at most; memory is the same after an outage of any length. Random, the
 * seed is printed.
 */
#include "tests/support/alloc_sweep.h"
#include "tiering/tier_lag.h"

#include "base/rand.h"

#include <stdio.h>
#include <stdlib.h>

static uint64_t seed = 20261121;

static void the_oldest_is_exact_while_marks_are_few(void **state)
{
    struct lag l;

    (void)state;
    lag_init(&l);
    assert_true(lag_since(&l) == LAG_NONE);
    lag_add(&l, 1, -500); /* written before this boot */
    lag_add(&l, 2, 1000);
    lag_add(&l, 3, 1020);
    lag_add(&l, 4, 2000);
    assert_int_equal(lag_since(&l), -500);
    lag_drop(&l, 1);
    assert_int_equal(lag_since(&l), 1000);
    lag_drop(&l, 2); /* 3 shares the mark of 2: 20 ms too old, never too young */
    assert_int_equal(lag_since(&l), 1000);
    lag_drop(&l, 3);
    assert_int_equal(lag_since(&l), 2000);
    lag_drop(&l, 9);
    assert_true(lag_since(&l) == LAG_NONE);
}

static void what_came_earlier_goes_in_front(void **state)
{
    struct lag now;
    struct lag earlier;

    (void)state;
    lag_init(&now);
    lag_init(&earlier);
    lag_add(&now, 11, 5000);
    lag_add(&earlier, 1, 100);
    lag_add(&earlier, 10, 3000);
    lag_prepend(&now, &earlier);
    assert_int_equal(lag_since(&now), 100);
    lag_drop(&now, 1);
    assert_int_equal(lag_since(&now), 3000);
    lag_drop(&now, 10);
    assert_int_equal(lag_since(&now), 5000);
}

enum { RECORDS = 20000 };

/* Writers that are quick, slow, and now and then asleep for minutes. */
static int64_t pause_of(struct rand_source *r)
{
    if (rand_below(r, 1000) == 0)
        return (int64_t)rand_below(r, 200000);
    return (int64_t)rand_below(r, rand_below(r, 2) == 0 ? 5 : 400);
}

static void ages_are_never_too_young_and_hardly_too_old(void **state)
{
    struct rand_seeded r;
    int64_t *at = malloc(sizeof *at * (RECORDS + 1));
    struct lag l;
    int64_t now = 0;
    int64_t longest = 0; /* span since anything was dropped for the last time */
    uint64_t shipped = 0;

    (void)state;
    assert_non_null(at);
    rand_seeded_init(&r, seed);
    lag_init(&l);
    for (uint64_t lsn = 1; lsn <= RECORDS; lsn++) {
        int64_t since;

        now += pause_of(&r.source);
        at[lsn] = now;
        lag_add(&l, lsn, now);
        assert_true(l.count <= LAG_MARKS_MAX);
        if (now - lag_since(&l) > longest)
            longest = now - lag_since(&l);
        if (rand_below(&r.source, 400) == 0)
            shipped += rand_below(&r.source, lsn - shipped + 1);
        lag_drop(&l, shipped);
        since = lag_since(&l);
        if (shipped == lsn) {
            assert_true(since == LAG_NONE);
            longest = 0;
            continue;
        }
        if (since > at[shipped + 1] || at[shipped + 1] - since > LAG_GRAIN_MS + longest / 30)
            fail_msg("seed=%llu lsn=%llu shipped=%llu since=%lld true=%lld span=%lld",
                     (unsigned long long)seed, (unsigned long long)lsn, (unsigned long long)shipped,
                     (long long)since, (long long)at[shipped + 1], (long long)longest);
    }
    free(at);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_oldest_is_exact_while_marks_are_few),
        cmocka_unit_test(what_came_earlier_goes_in_front),
        cmocka_unit_test(ages_are_never_too_young_and_hardly_too_old),
    };

    if (argc > 1)
        seed = strtoull(argv[1], NULL, 0);
    return cmocka_run_group_tests_name("tier_lag", tests, NULL, NULL);
}
