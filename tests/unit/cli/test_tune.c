/* What `tiervec tune` proposes for given measurements, and what it refuses to begin with. */
#include "cli/commands.h"
#include "cli/tune.h"
#include "tests/unit/cli/cli_run.h"

#include "base/fs.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

/* --- the choice --- */

static struct tune_point point(double recall, double p50_us, double row_bytes)
{
    return (struct tune_point){.recall = recall, .p50_us = p50_us, .row_bytes = row_bytes};
}

static void choose(const struct tune_point *points, size_t count, enum tune_profile profile,
                   uint64_t memory_bytes, enum tune_verdict verdict, size_t want)
{
    const struct tune_wish wish = {.profile = profile, .rows = 1000, .memory_bytes = memory_bytes};
    size_t best = SIZE_MAX;
    enum tune_verdict got = tune_choose(points, count, &wish, &best);

    if (got != verdict || best != want)
        fail_msg("%s, budget %llu: verdict %d, point %zu; wanted %d, %zu",
                 tune_profile_name(profile), (unsigned long long)memory_bytes, (int)got, best,
                 (int)verdict, want);
}

static void the_fastest_that_finds_enough_is_proposed(void **state)
{
    const struct tune_point points[] = {point(0.85, 10, 500), point(0.92, 20, 500),
                                        point(0.96, 40, 500), point(0.991, 80, 500),
                                        point(0.999, 160, 500)};

    (void)state;
    choose(points, 5, TUNE_LOW_LATENCY, 0, TUNE_FINE, 1);
    choose(points, 5, TUNE_BALANCED, 0, TUNE_FINE, 2);
    choose(points, 5, TUNE_HIGH_RECALL, 0, TUNE_FINE, 3);
}

static void what_takes_less_memory_may_be_a_little_slower(void **state)
{
    const struct tune_point points[] = {point(0.995, 100, 900), point(0.995, 120, 500),
                                        point(0.995, 126, 100), point(0.9, 1, 50)};

    (void)state;
    choose(points, 4, TUNE_BALANCED, 0, TUNE_FINE, 1);
    choose(points, 4, TUNE_HIGH_RECALL, 0, TUNE_FINE, 1);
    choose(points, 3, TUNE_LOW_LATENCY, 0, TUNE_FINE, 0);
    choose(points, 4, TUNE_LOW_LATENCY, 0, TUNE_FINE, 3);
}

static void the_budget_is_for_all_rows(void **state)
{
    const struct tune_point points[] = {point(0.99, 10, 900), point(0.99, 90, 500),
                                        point(0.80, 5, 100)};

    (void)state;
    choose(points, 3, TUNE_BALANCED, 900000, TUNE_FINE, 0);
    choose(points, 3, TUNE_BALANCED, 899999, TUNE_FINE, 1);
    choose(points, 3, TUNE_BALANCED, 500000, TUNE_FINE, 1);
    choose(points, 3, TUNE_BALANCED, 499999, TUNE_BELOW, 2);
    choose(points, 3, TUNE_BALANCED, 100000, TUNE_BELOW, 2);
    choose(points, 3, TUNE_BALANCED, 99999, TUNE_TOO_BIG, 2);
    choose(points, 2, TUNE_BALANCED, 1, TUNE_TOO_BIG, 1);
}

static void below_the_floor_the_best_is_named(void **state)
{
    const struct tune_point points[] = {point(0.5, 10, 1), point(0.8, 30, 1), point(0.8, 20, 1)};

    (void)state;
    choose(points, 3, TUNE_LOW_LATENCY, 0, TUNE_BELOW, 2);
    choose(points, 1, TUNE_HIGH_RECALL, 0, TUNE_BELOW, 0);
}

/* The same figures in another order are the same proposal. */
static void the_order_does_not_count(void **state)
{
    struct tune_point points[6];
    const struct tune_wish wish = {.profile = TUNE_BALANCED, .rows = 10, .memory_bytes = 9000};

    (void)state;
    for (size_t turn = 0; turn < 6; turn++) {
        size_t best;

        for (size_t i = 0; i < 6; i++) {
            size_t k = (i + turn) % 6;

            points[i] = point(0.93 + 0.01 * (double)k, 10 + 3 * (double)k, 700 + 50 * (double)k);
        }
        assert_int_equal(tune_choose(points, 6, &wish, &best), TUNE_FINE);
        assert_int_equal(best, (2 + 6 - turn) % 6);
    }
}

/* --- words --- */

static void sizes_are_read(void **state)
{
    static const struct {
        const char *text;
        uint64_t bytes; /* 0: none */
    } cases[] = {{"1", 1},
                 {"4096B", 4096},
                 {"500MB", 500000000},
                 {"500M", 500000000},
                 {"2k", 2000},
                 {"4GiB", UINT64_C(4) << 30},
                 {"3Ti", UINT64_C(3) << 40},
                 {"1T", UINT64_C(1000000000000)},
                 {"18446744073709551615", 0}, /* near enough to be a slip */
                 {"99999999999T", 0},
                 {"", 0},
                 {"0", 0},
                 {"0GB", 0},
                 {"GB", 0},
                 {"-1", 0},
                 {"1.5GB", 0},
                 {"1 GB", 0},
                 {"1GBs", 0},
                 {"1iB", 0},
                 {"1P", 0}};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        uint64_t got = 0;
        bool fine = tune_parse_bytes(cases[i].text, &got);

        if (fine != (cases[i].bytes != 0) || got != cases[i].bytes)
            fail_msg("%s: %d %llu", cases[i].text, (int)fine, (unsigned long long)got);
    }
}

static void profiles_have_names_and_floors(void **state)
{
    enum tune_profile p;
    double before = 1;

    (void)state;
    for (int i = TUNE_HIGH_RECALL; i <= TUNE_LOW_LATENCY; i++) {
        assert_true(tune_profile_parse(tune_profile_name((enum tune_profile)i), &p));
        assert_int_equal(p, i);
        assert_true(tune_floor(p) < before);
        before = tune_floor(p);
    }
    assert_false(tune_profile_parse("fast", &p));
}

static void wrong_words_are_told(void **state)
{
    (void)state;
    cli_check(cli_tune, "tune --help", 0, "usage: tiervec tune --profile");
    cli_check(cli_tune, "tune --profile balanced", 2, "usage:");
    cli_check(cli_tune, "tune c", 2, "error: tune --profile; it is high-recall, balanced or low-");
    cli_check(cli_tune, "tune --profile fast c", 2, "error: tune --profile;");
    cli_check(cli_tune, "tune --profile balanced --memory-budget much c", 2,
              "error: tune --memory-budget; it is a size like 500MB or 4GiB;");
    cli_check(cli_tune, "tune --profile balanced --sample 99 c", 2, "--sample is 100 to 1000000");
    cli_check(cli_tune, "tune --profile balanced --queries 0 c", 2, "--queries 1 to 10000");
    cli_check(cli_tune, "tune --profile balanced --seed x c", 2, "error: tune;");
    cli_check(cli_tune, "tune --profile balanced --threads 33 c", 2, "--threads 1 to 32");
    cli_check(cli_tune, "tune --profile balanced --url nowhere c", 2, "error: tune c;");
}

static char folder[64];

static int open_folder(void **state)
{
    (void)state;
    (void)snprintf(folder, sizeof folder, "/tmp/test_tune.XXXXXX");
    return mkdtemp(folder) != NULL && chdir(folder) == 0 ? 0 : -1;
}

static int close_folder(void **state)
{
    (void)state;
    return chdir("/") == 0 && fs_remove_all(fs_real(), folder, NULL) == ST_OK ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_fastest_that_finds_enough_is_proposed),
        cmocka_unit_test(what_takes_less_memory_may_be_a_little_slower),
        cmocka_unit_test(the_budget_is_for_all_rows),
        cmocka_unit_test(below_the_floor_the_best_is_named),
        cmocka_unit_test(the_order_does_not_count),
        cmocka_unit_test(sizes_are_read),
        cmocka_unit_test(profiles_have_names_and_floors),
        cmocka_unit_test_setup_teardown(wrong_words_are_told, open_folder, close_folder),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
