/* The registry: what it prints, what labels may hold, where its limits are. */
#include "base/mem.h"
#include "base/stats.h"

#include <math.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static const char *const by_name[] = {"name", NULL};
static const char *const by_two[] = {"op", "status", NULL};

static struct stats *make(void)
{
    struct stats *s = NULL;

    assert_int_equal(stats_create(&s, NULL), ST_OK);
    return s;
}

static void expect_print(struct stats *s, const char *expected)
{
    struct buf out;

    buf_init(&out, 1 << 20);
    stats_print(s, &out);
    buf_put_u8(&out, 0);
    assert_string_equal((const char *)out.data, expected);
    buf_free(&out);
}

static void families_are_printed_by_name_with_help_and_type(void **state)
{
    struct stats *s = make();
    struct stats_family *ops =
        stats_family(s, "tv_ops_total", STATS_COUNTER, "Operations.", by_two, NULL, 0);
    struct stats_metric *get_ok = stats_metric(ops, (const char *[]){"get", "ok"});
    struct stats_metric *size =
        stats_metric(stats_family(s, "tv_bytes", STATS_GAUGE, "Bytes.", NULL, NULL, 0), NULL);
    struct stats_metric *seed =
        stats_metric(stats_family(s, "akidb_x", STATS_UNTYPED, "X.", NULL, NULL, 0), NULL);

    (void)state;
    (void)stats_family(s, "tv_empty", STATS_GAUGE, "Never used.", by_name, NULL, 0);
    stats_add(get_ok, 3);
    stats_add(stats_metric(ops, (const char *[]){"put", "ok"}), UINT64_MAX);
    stats_add(stats_metric(ops, (const char *[]){"get", "ok"}), 4);
    stats_set(size, -1.5);
    stats_add(seed, 7);
    expect_print(s, "# HELP akidb_x X.\n# TYPE akidb_x untyped\nakidb_x 7\n"
                    "# HELP tv_bytes Bytes.\n# TYPE tv_bytes gauge\ntv_bytes -1.5\n"
                    "# HELP tv_ops_total Operations.\n# TYPE tv_ops_total counter\n"
                    "tv_ops_total{op=\"get\",status=\"ok\"} 7\n"
                    "tv_ops_total{op=\"put\",status=\"ok\"} 18446744073709551615\n");
    assert_true(stats_value(get_ok) == 7);
    stats_set(seed, 0.5);
    assert_true(stats_value(seed) == 7.5);
    stats_destroy(s);
}

static void gauges_may_be_anything_a_double_is(void **state)
{
    static const struct {
        double v;
        const char *text;
    } cases[] = {{0, "0"},        {3, "3"},           {-0.25, "-0.25"},
                 {1e21, "1e+21"}, {INFINITY, "+Inf"}, {-INFINITY, "-Inf"},
                 {NAN, "NaN"}};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct stats *s = make();
        char expected[100];

        stats_set(stats_metric(stats_family(s, "g", STATS_GAUGE, "", NULL, NULL, 0), NULL),
                  cases[i].v);
        (void)snprintf(expected, sizeof expected, "# HELP g \n# TYPE g gauge\ng %s\n",
                       cases[i].text);
        expect_print(s, expected);
        stats_destroy(s);
    }
}

static void label_values_and_help_are_escaped(void **state)
{
    struct stats *s = make();
    struct stats_family *f =
        stats_family(s, "m", STATS_COUNTER, "a \"quote\" \\ and\nnext", by_name, NULL, 0);

    (void)state;
    stats_add(stats_metric(f, (const char *[]){"a\"b\\c\nd\"} 9\n# TYPE evil counter"}), 1);
    stats_add(stats_metric(f, (const char *[]){"caf\xC3\xA9 \xFF"}), 2);
    stats_add(stats_metric(f, (const char *[]){NULL}), 3);
    stats_add(stats_metric(f, (const char *[]){""}), 4);
    expect_print(s, "# HELP m a \"quote\" \\\\ and\\nnext\n# TYPE m counter\n"
                    "m{name=\"a\\\"b\\\\c\\nd\\\"} 9\\n# TYPE evil counter\"} 1\n"
                    "m{name=\"caf\xC3\xA9 \xEF\xBF\xBD\"} 2\n"
                    "m{name=\"\"} 7\n");
    stats_destroy(s);
}

static void histograms_are_cumulative(void **state)
{
    static const double bounds[] = {0.5, 1, 2.5};
    struct stats *s = make();
    struct stats_metric *m = stats_metric(
        stats_family(s, "h", STATS_HISTOGRAM, "H.", by_name, bounds, 3), (const char *[]){"x"});

    (void)state;
    stats_observe(m, 0.25);
    stats_observe(m, 0.5); /* a bound belongs to its own bucket */
    stats_observe(m, 0.75);
    stats_observe(m, 3);
    stats_observe(m, -1);
    stats_observe(m, NAN);
    stats_observe(m, INFINITY);
    expect_print(s, "# HELP h H.\n# TYPE h histogram\n"
                    "h_bucket{name=\"x\",le=\"0.5\"} 3\n"
                    "h_bucket{name=\"x\",le=\"1\"} 4\n"
                    "h_bucket{name=\"x\",le=\"2.5\"} 4\n"
                    "h_bucket{name=\"x\",le=\"+Inf\"} 5\n"
                    "h_sum{name=\"x\"} 3.5\nh_count{name=\"x\"} 5\n");
    assert_true(stats_value(m) == 5);
    stats_destroy(s);
}

static void latency_buckets_rise_from_50_us_to_10_s(void **state)
{
    (void)state;
    assert_true(STATS_LATENCY_BUCKETS[0] == 50e-6);
    assert_true(STATS_LATENCY_BUCKETS[STATS_LATENCY_BUCKET_COUNT - 1] == 10);
    for (size_t i = 1; i < STATS_LATENCY_BUCKET_COUNT; i++)
        assert_true(STATS_LATENCY_BUCKETS[i - 1] < STATS_LATENCY_BUCKETS[i]);
}

static void the_same_name_and_labels_are_the_same_metric(void **state)
{
    struct stats *s = make();
    struct stats_family *f = stats_family(s, "m", STATS_COUNTER, "M.", by_name, NULL, 0);
    struct stats_metric *a = stats_metric(f, (const char *[]){"a"});

    (void)state;
    assert_ptr_equal(f, stats_family(s, "m", STATS_COUNTER, "M.", by_name, NULL, 0));
    assert_ptr_equal(a, stats_metric(f, (const char *[]){"a"}));
    assert_ptr_not_equal(a, stats_metric(f, (const char *[]){"b"}));
    stats_destroy(s);
}

static void a_counter_kept_elsewhere_is_set_to_its_total(void **state)
{
    struct stats *s = make();
    struct stats_family *f = stats_family(s, "m", STATS_COUNTER, "M.", NULL, NULL, 0);

    (void)state;
    stats_set(stats_metric(f, NULL), 1.5);
    stats_set(stats_metric(f, NULL), 2.5);
    expect_print(s, "# HELP m M.\n# TYPE m counter\nm 2.5\n");
    stats_destroy(s);
}

static void a_held_metric_stays_until_the_last_holder_drops_it(void **state)
{
    const char *const values[] = {"x", NULL};
    struct stats *s = make();
    struct stats_family *f = stats_family(s, "m", STATS_COUNTER, "M.", by_name, NULL, 0);
    struct stats_metric *first = stats_metric_hold(f, values);
    struct stats_metric *second = stats_metric_hold(f, values);

    (void)state;
    assert_ptr_equal(first, second);
    stats_add(first, 2);
    stats_metric_drop(first);
    stats_add(second, 3);
    assert_true(stats_value(second) == 5);
    stats_metric_drop(second);
    assert_true(stats_value(stats_metric_hold(f, values)) == 0);
    stats_destroy(s);
}

static void a_dropped_metric_is_gone_and_the_others_stay(void **state)
{
    struct stats *s = make();
    struct stats_family *f = stats_family(s, "m", STATS_COUNTER, "M.", by_name, NULL, 0);
    struct stats_metric *m[50];
    char name[16];

    (void)state;
    for (unsigned i = 0; i < 50; i++) {
        (void)snprintf(name, sizeof name, "n%u", i);
        m[i] = stats_metric(f, (const char *[]){name});
        stats_add(m[i], i);
    }
    for (unsigned i = 0; i < 50; i++) /* the oldest, the newest, all but one between */
        if (i != 7)
            stats_metric_drop(m[i]);
    expect_print(s, "# HELP m M.\n# TYPE m counter\nm{name=\"n7\"} 7\n");
    assert_ptr_equal(m[7], stats_metric(f, (const char *[]){"n7"}));
    assert_true(stats_value(stats_metric(f, (const char *[]){"n8"})) == 0); /* a new one */
    stats_metric_drop(m[7]);
    stats_metric_drop(stats_metric(f, (const char *[]){"n8"}));
    expect_print(s, "");
    stats_destroy(s);
}

static void beyond_the_limit_everything_is_other(void **state)
{
    struct stats *s = make();
    struct stats_family *f = stats_family(s, "m", STATS_COUNTER, "M.", by_two, NULL, 0);
    struct stats_metric *first = NULL;
    struct stats_metric *other;
    char name[16];

    (void)state;
    for (unsigned i = 0; i < STATS_SERIES_MAX; i++) {
        struct stats_metric *m;

        (void)snprintf(name, sizeof name, "n%u", i);
        m = stats_metric(f, (const char *[]){name, "x"});
        first = i == 0 ? m : first;
    }
    other = stats_metric(f, (const char *[]){"one", "more"});
    assert_ptr_equal(other, stats_metric(f, (const char *[]){"and", "another"}));
    assert_ptr_equal(other, stats_metric(f, (const char *[]){"other", "other"}));
    assert_ptr_equal(first, stats_metric(f, (const char *[]){"n0", "x"}));
    stats_metric_drop(other); /* stays: all may hold it */
    stats_add(other, 1);
    stats_metric_drop(first); /* makes room for one */
    assert_ptr_not_equal(other, stats_metric(f, (const char *[]){"one", "more"}));
    assert_ptr_equal(other, stats_metric(f, (const char *[]){"and", "another"}));
    stats_destroy(s);
}

static void long_label_values_are_cut(void **state)
{
    struct stats *s = make();
    struct stats_family *f = stats_family(s, "m", STATS_COUNTER, "M.", by_two, NULL, 0);
    char value[1000];
    char longer[1000];

    (void)state;
    memset(value, '\n', sizeof value);
    value[sizeof value - 1] = '\0';
    memcpy(longer, value, sizeof longer);
    longer[256] = 'x';
    assert_ptr_equal(stats_metric(f, (const char *[]){value, "a"}),
                     stats_metric(f, (const char *[]){longer, "a"}));
    longer[255] = 'x';
    assert_ptr_not_equal(stats_metric(f, (const char *[]){value, "a"}),
                         stats_metric(f, (const char *[]){longer, "a"}));
    stats_destroy(s);
}

static void set_from_elsewhere(void *arg)
{
    struct stats *s = arg;
    struct stats_metric *m = /* a collector may make metrics */
        stats_metric(stats_family(s, "g", STATS_GAUGE, "G.", NULL, NULL, 0), NULL);

    stats_set(m, stats_value(m) + 1);
}

static void collectors_run_before_each_print(void **state)
{
    struct stats *s = make();

    (void)state;
    assert_int_equal(stats_on_collect(s, set_from_elsewhere, s, NULL), ST_OK);
    expect_print(s, "# HELP g G.\n# TYPE g gauge\ng 1\n");
    assert_int_equal(stats_on_collect(s, set_from_elsewhere, s, NULL), ST_OK);
    expect_print(s, "# HELP g G.\n# TYPE g gauge\ng 3\n");
    stats_destroy(s);
}

static void without_a_metric_nothing_happens(void **state)
{
    (void)state;
    assert_null(stats_metric(NULL, (const char *[]){"x"}));
    stats_add(NULL, 1);
    stats_set(NULL, 1);
    stats_observe(NULL, 1);
    stats_metric_drop(NULL);
    assert_true(stats_value(NULL) == 0);
    stats_destroy(NULL);
}

/* A registry that lacks memory gives NULL families or the overflow metric, and goes on. */
static bool use_with_failure_at(int64_t n)
{
    struct stats *s = NULL;
    bool reached;

    mem_test_fail_after(n);
    if (stats_create(&s, NULL) == ST_OK) {
        struct stats_family *f =
            stats_family(s, "m", STATS_HISTOGRAM, "M.", by_two, STATS_LATENCY_BUCKETS, 3);

        for (unsigned i = 0; i < 20; i++) {
            const char name[] = {(char)('a' + i), '\0'};

            stats_observe(stats_metric(f, (const char *[]){name, "x"}), 1);
        }
        stats_metric_drop(stats_metric(f, (const char *[]){"c", "x"}));
        if (stats_on_collect(s, set_from_elsewhere, s, NULL) == ST_OK && !(n >= 0 && f == NULL)) {
            struct buf out;

            buf_init(&out, 1 << 20);
            stats_print(s, &out);
            buf_free(&out);
        }
    }
    reached = mem_test_count() > n;
    mem_test_fail_after(-1);
    stats_destroy(s);
    return reached;
}

static void each_allocation_may_fail(void **state)
{
    int64_t n = 0;

    (void)state;
    while (use_with_failure_at(n))
        n++;
    assert_true(n > 60);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(families_are_printed_by_name_with_help_and_type),
        cmocka_unit_test(gauges_may_be_anything_a_double_is),
        cmocka_unit_test(label_values_and_help_are_escaped),
        cmocka_unit_test(histograms_are_cumulative),
        cmocka_unit_test(latency_buckets_rise_from_50_us_to_10_s),
        cmocka_unit_test(the_same_name_and_labels_are_the_same_metric),
        cmocka_unit_test(a_dropped_metric_is_gone_and_the_others_stay),
        cmocka_unit_test(a_counter_kept_elsewhere_is_set_to_its_total),
        cmocka_unit_test(a_held_metric_stays_until_the_last_holder_drops_it),
        cmocka_unit_test(beyond_the_limit_everything_is_other),
        cmocka_unit_test(long_label_values_are_cut),
        cmocka_unit_test(collectors_run_before_each_print),
        cmocka_unit_test(without_a_metric_nothing_happens),
        cmocka_unit_test(each_allocation_may_fail),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
