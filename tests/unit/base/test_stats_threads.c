/* Threads add while others print, make and drop: nothing is lost, no print goes backwards. */
#include "base/lock.h"
#include "base/stats.h"

#include <setjmp.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

enum { ADDERS = 3, ROUNDS = 20000 };

static const char *const by_name[] = {"name", NULL};
static const double bounds[] = {1, 2, 4};

static struct stats *stats;
static struct stats_metric *counter;
static struct stats_metric *histogram;
static _Atomic bool stop;

static void add(void *arg)
{
    (void)arg;
    for (unsigned i = 0; i < ROUNDS; i++) {
        stats_add(counter, 2);
        stats_observe(histogram, i % 6);
    }
}

static void make_and_drop(void *arg)
{
    struct stats_family *f = stats_family(stats, "churn", STATS_COUNTER, "C.", by_name, NULL, 0);

    for (unsigned i = 0; !atomic_load(&stop); i++) {
        struct stats_metric *m[3];
        char name[32];

        for (unsigned k = 0; k < COUNT_OF(m); k++) {
            (void)snprintf(name, sizeof name, "%s-%u-%u", (const char *)arg, i, k);
            m[k] = stats_metric(f, (const char *[]){name});
            stats_add(m[k], 1);
        }
        for (unsigned k = 0; k < COUNT_OF(m); k++)
            stats_metric_drop(m[k]);
    }
}

static uint64_t number_behind(const char *text, const char *series)
{
    const char *at = strstr(text, series);

    assert_non_null(at);
    return strtoull(at + strlen(series), NULL, 10);
}

static void check_print(uint64_t seen[2])
{
    struct buf out;
    const char *text;
    uint64_t now[2];

    buf_init(&out, 1 << 20);
    stats_print(stats, &out);
    buf_put_u8(&out, 0);
    assert_false(out.failed);
    text = (const char *)out.data;
    now[0] = number_behind(text, "\nadded ");
    now[1] = number_behind(text, "\nseen_count ");
    assert_true(now[0] >= seen[0] && now[1] >= seen[1]);
    assert_int_equal(number_behind(text, "\nseen_bucket{le=\"+Inf\"} "), now[1]);
    assert_true(number_behind(text, "\nseen_bucket{le=\"4\"} ") <= now[1]);
    seen[0] = now[0];
    seen[1] = now[1];
    buf_free(&out);
}

static void nothing_is_lost_between_threads(void **state)
{
    struct thread adders[ADDERS] = {0};
    struct thread churners[2] = {0};
    char *names[2] = {(char[]){"a"}, (char[]){"b"}};
    uint64_t seen[2] = {0};

    (void)state;
    assert_int_equal(stats_create(&stats, NULL), ST_OK);
    counter = stats_metric(stats_family(stats, "added", STATS_COUNTER, "A.", NULL, NULL, 0), NULL);
    histogram =
        stats_metric(stats_family(stats, "seen", STATS_HISTOGRAM, "S.", NULL, bounds, 3), NULL);
    for (size_t i = 0; i < COUNT_OF(churners); i++)
        assert_int_equal(
            thread_start(&churners[i], "churn", THREAD_NORMAL, make_and_drop, names[i], NULL),
            ST_OK);
    for (size_t i = 0; i < ADDERS; i++)
        assert_int_equal(thread_start(&adders[i], "add", THREAD_NORMAL, add, NULL, NULL), ST_OK);
    for (unsigned i = 0; i < 100; i++)
        check_print(seen);
    for (size_t i = 0; i < ADDERS; i++)
        thread_join(&adders[i]);
    atomic_store(&stop, true);
    for (size_t i = 0; i < COUNT_OF(churners); i++)
        thread_join(&churners[i]);
    check_print(seen);
    assert_int_equal(seen[0], 2 * ADDERS * ROUNDS);
    assert_int_equal(seen[1], ADDERS * ROUNDS);
    assert_true(stats_value(histogram) == ADDERS * ROUNDS);
    stats_destroy(stats);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_lost_between_threads),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
