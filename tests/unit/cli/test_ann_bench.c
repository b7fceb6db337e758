/* What `tiervec bench ann` measures: rows of a file are found under every metric, files that are
 * not what they should be are refused, the figures are of the queries that ran. */
#include "cli/ann_bench.h"

#include "base/fs.h"
#include "base/npy.h"
#include "base/rand.h"
#include "cli/commands.h"
#include "tests/support/alloc_sweep.h"
#include "tests/unit/cli/cli_run.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { ROWS = 600, QUERIES = 40, DIM = 12, K = ANN_BENCH_K };

static float base[ROWS][DIM];
static float query[QUERIES][DIM];

static void write_file(const char *path, struct slice bytes)
{
    FILE *f = fopen(path, "wb");

    assert_non_null(f);
    assert_int_equal(fwrite(bytes.data, 1, bytes.bytes, f), bytes.bytes);
    assert_int_equal(fclose(f), 0);
}

static void put_npy(struct buf *out, const float *rows, uint32_t count)
{
    buf_init(out, 1 << 20);
    npy_put_header(out, count, DIM);
    for (uint32_t i = 0; i < count * DIM; i++)
        buf_put_f32(out, rows[i]);
    assert_false(out->failed);
}

static void write_npy(const char *path, const float *rows, uint32_t count)
{
    struct buf b;

    put_npy(&b, rows, count);
    write_file(path, buf_slice(&b));
    buf_free(&b);
}

static struct ann_bench_settings settings(enum vmetric metric, uint16_t threads)
{
    return (struct ann_bench_settings){
        .metric = metric, .m = 8, .ef_construction = 100, .threads = threads};
}

static struct ann_bench *open_bench(enum vmetric metric, uint16_t threads)
{
    const struct ann_bench_settings s = settings(metric, threads);
    struct ann_bench *b = NULL;
    struct err err;

    if (ann_bench_open("base.npy", "query.npy", &s, &b, &err) != ST_OK)
        fail_msg("%s", err.text);
    return b;
}

static void refuse(const char *base_path, const char *query_path, status want, const char *text)
{
    const struct ann_bench_settings s = settings(VMETRIC_L2, 1);
    struct ann_bench *b = NULL;
    struct err err;
    status st = ann_bench_open(base_path, query_path, &s, &b, &err);

    assert_null(b);
    if (st != want || strstr(err.text, text) == NULL)
        fail_msg("%s: %s, wanted %s", status_name(st), err.text, text);
}

/* --- answers --- */

static double norm(const float *v)
{
    double sum = 0;

    for (int i = 0; i < DIM; i++)
        sum += (double)v[i] * (double)v[i];
    return sqrt(sum);
}

static double distance(enum vmetric metric, const float *a, const float *b)
{
    double dot = 0;
    double l2 = 0;
    double l1 = 0;

    for (int i = 0; i < DIM; i++) {
        double d = (double)a[i] - (double)b[i];

        dot += (double)a[i] * (double)b[i];
        l2 += d * d;
        l1 += fabs(d);
    }
    switch (metric) {
    case VMETRIC_COSINE:
        return 1 - dot / norm(a) / norm(b);
    case VMETRIC_DOT:
        return -dot;
    case VMETRIC_L2:
        return sqrt(l2);
    case VMETRIC_L1:
        break;
    }
    return l1;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;

    return x < y ? -1 : x > y;
}

/* Ids that are among the K nearest; ids are rows, in order, none twice. */
static int right_of(const struct ann_bench *b, enum vmetric metric, uint32_t q)
{
    size_t count;
    const int32_t *ids = ann_bench_ids(b, &count) + (size_t)q * K;
    double all[ROWS];
    double before = -INFINITY;
    int right = 0;

    assert_int_equal(count, QUERIES * K);
    for (int i = 0; i < ROWS; i++)
        all[i] = distance(metric, query[q], base[i]);
    qsort(all, ROWS, sizeof all[0], by_value);
    for (int i = 0; i < K; i++) {
        double d;

        assert_in_range(ids[i], 0, ROWS - 1);
        for (int j = 0; j < i; j++)
            assert_int_not_equal(ids[i], ids[j]);
        d = distance(metric, query[q], base[ids[i]]);
        assert_true(d >= before - 1e-5);
        before = d;
        right += d <= all[K - 1] + 1e-6;
    }
    return right;
}

static void check_answers(enum vmetric metric, uint16_t threads)
{
    struct ann_bench *b = open_bench(metric, threads);
    struct ann_bench_figures f;
    struct err err;
    int right = 0;

    assert_true(ann_bench_build_ns(b) > 0);
    /* At least a vector in full and a code, and not a multiple of it. */
    assert_in_range(ann_bench_index_bytes(b), ROWS * DIM * 5, ROWS * 1024);
    assert_int_equal(ann_bench_run(b, 200, 2, &f, &err), ST_OK);
    for (uint32_t q = 0; q < QUERIES; q++)
        right += right_of(b, metric, q);
    if (right < QUERIES * K * 98 / 100)
        fail_msg("%s: %d of %d", vmetric_name(metric), right, QUERIES * K);
    assert_true(f.qps > 0 && f.p50_us > 0 && f.p50_us <= f.p95_us && f.p95_us <= f.p99_us);
    /* Of one pass: the slowest of all is at most the whole of it. */
    assert_true(f.p99_us * 1e-6 <= QUERIES / f.qps);
    ann_bench_close(b);
}

static void the_nearest_are_found_under_each_metric(void **state)
{
    (void)state;
    check_answers(VMETRIC_COSINE, 1);
    check_answers(VMETRIC_DOT, 1);
    check_answers(VMETRIC_L2, 2);
    check_answers(VMETRIC_L1, 3);
}

static void fewer_rows_than_asked_for_are_filled_up(void **state)
{
    const struct ann_bench_settings s = settings(VMETRIC_L2, 2);
    struct ann_bench_figures f;
    struct ann_bench *b = NULL;
    struct err err;
    const int32_t *ids;
    size_t count;

    (void)state;
    write_npy("few.npy", base[0], 3);
    assert_int_equal(ann_bench_open("few.npy", "query.npy", &s, &b, &err), ST_OK);
    assert_int_equal(ann_bench_run(b, 1, 1, &f, &err), ST_OK);
    ids = ann_bench_ids(b, &count);
    for (size_t i = 0; i < count; i++) {
        if (i % K < 3)
            assert_in_range(ids[i], 0, 2);
        else
            assert_int_equal(ids[i], -1);
    }
    ann_bench_close(b);
}

static void a_run_out_of_bounds_is_refused(void **state)
{
    struct ann_bench *b = open_bench(VMETRIC_L2, 1);
    struct ann_bench_figures f;
    struct err err;

    (void)state;
    assert_int_equal(ann_bench_run(b, 0, 1, &f, &err), ST_INVALID);
    assert_int_equal(ann_bench_run(b, VINDEX_EF_MAX + 1, 1, &f, &err), ST_INVALID);
    assert_int_equal(ann_bench_run(b, 10, 0, &f, &err), ST_INVALID);
    assert_int_equal(ann_bench_run(b, 10, ANN_BENCH_PASSES_MAX + 1, &f, &err), ST_INVALID);
    assert_int_equal(ann_bench_run(b, VINDEX_EF_MAX, 1, &f, &err), ST_OK);
    ann_bench_close(b);
}

/* --- files --- */

static void a_file_that_is_cut_or_goes_on_is_refused(void **state)
{
    struct buf whole;

    (void)state;
    put_npy(&whole, base[0], 4);
    for (size_t bytes = 0; bytes < whole.bytes; bytes++) {
        write_file("cut.npy", slice_make(whole.data, bytes));
        refuse("cut.npy", "query.npy", ST_INVALID, "cut.npy");
        refuse("base.npy", "cut.npy", ST_INVALID, "cut.npy");
    }
    buf_put_u8(&whole, 0);
    write_file("long.npy", buf_slice(&whole));
    refuse("long.npy", "query.npy", ST_INVALID, "it would have");
    buf_free(&whole);
}

static void files_that_do_not_belong_together_are_refused(void **state)
{
    float odd[2][DIM] = {{0}};
    struct buf b;

    (void)state;
    refuse("absent.npy", "query.npy", ST_NOT_FOUND, "absent.npy");
    refuse("base.npy", "absent.npy", ST_NOT_FOUND, "absent.npy");
    odd[1][5] = NAN;
    write_npy("nan.npy", odd[0], 2);
    refuse("nan.npy", "query.npy", ST_INVALID, "value 5 of row 1 is not finite");
    refuse("base.npy", "nan.npy", ST_INVALID, "value 5 of row 1 is not finite");
    buf_init(&b, 4096);
    npy_put_header(&b, 1, DIM + 1);
    buf_put(&b, (const uint8_t[4 * (DIM + 1)]){0}, (size_t)4 * (DIM + 1));
    write_file("wide.npy", buf_slice(&b));
    refuse("base.npy", "wide.npy", ST_INVALID, "rows of 13 values, the base of 12");
    b.bytes = 0;
    npy_put_header(&b, 0, DIM);
    write_file("none.npy", buf_slice(&b));
    refuse("none.npy", "query.npy", ST_INVALID, "it has no rows");
    b.bytes = 0;
    npy_put_header(&b, 900000000000000000, 65535);
    write_file("huge.npy", buf_slice(&b));
    refuse("huge.npy", "query.npy", ST_LIMIT, "more than");
    buf_free(&b);
}

/* --- memory --- */

static status open_and_run(void *arg)
{
    const struct ann_bench_settings s = settings(VMETRIC_COSINE, 1);
    struct ann_bench_figures f;
    struct ann_bench *b = NULL;
    status st = ann_bench_open(arg, "query.npy", &s, &b, NULL);

    if (st == ST_OK)
        st = ann_bench_run(b, 20, 1, &f, NULL);
    else
        assert_null(b);
    ann_bench_close(b);
    return st;
}

static void each_allocation_may_fail(void **state)
{
    char path[] = "some.npy";

    (void)state;
    write_npy(path, base[0], 100);
    assert_true(alloc_sweep(open_and_run, path) >= 10);
}

/* --- the command --- */

#define FILES "bench ann base.npy query.npy "

static void settings_that_are_none_are_refused(void **state)
{
    (void)state;
    cli_check(cli_bench, "bench --help", 0, "READY build_seconds index_bytes");
    cli_check(cli_bench, "bench", 2, "usage: tiervec bench ann");
    cli_check(cli_bench, "bench api base.npy query.npy l2 16 100 1", 2, "usage: tiervec bench ann");
    cli_check(cli_bench, FILES "l2 16 100", 2, "usage: tiervec bench ann");
    cli_check(cli_bench, FILES "hamming 16 100 1", 2, "METRIC; it is l2, cosine, dot or l1");
    for (const char *const *m = (const char *const[]){"1", "129", "x", "16x", "-1", NULL}; *m;
         m++) {
        char line[128];

        (void)snprintf(line, sizeof line, FILES "l2 -- %s 100 1", *m);
        cli_check(cli_bench, line, 2, "M; it is a number from 2 to 128");
    }
    cli_check(cli_bench, FILES "l2 16 0 1", 2, "EF_CONSTRUCTION");
    cli_check(cli_bench, FILES "l2 16 32769 1", 2, "EF_CONSTRUCTION");
    cli_check(cli_bench, FILES "l2 16 99999999999999999999 1", 2, "EF_CONSTRUCTION");
    cli_check(cli_bench, FILES "l2 16 100 0", 2, "THREADS");
    cli_check(cli_bench, FILES "l2 16 100 33", 2, "THREADS");
    cli_check(cli_bench, FILES "l2 16 100 1 --compact", 0, "READY ");
    cli_check(cli_bench, FILES "l2 16 100 1 --compact --quantization none", 2,
              "--compact; it goes with --quantization scalar alone");
    cli_check(cli_bench, FILES "l2 16 100 1 --quantization product", 2,
              "no index has the quantization product");
    cli_check(cli_bench, FILES "l2 16 100 1 --quantization wide", 2, "it is none, scalar, binary");
    cli_check(cli_bench, "bench ann absent.npy query.npy l2 16 100 1", 3, "absent.npy");
    cli_check(cli_bench, FILES "l2 16 100 1", 0, "READY ");
    cli_check(cli_bench, FILES "l2 16 100 1 --quantization none", 0, "READY ");
    cli_check(cli_bench, FILES "l2 16 100 1 --quantization scalar", 0, "READY ");
    cli_check(cli_bench, FILES "l2 16 100 1 --quantization rabitq", 0, "READY ");
    cli_check(cli_bench, FILES "--quantization=none l2 2 1 32", 0, "READY ");
}

static int setup(void **state)
{
    static char folder[] = "/tmp/tv-ann-XXXXXX";
    struct rand_seeded rng;

    if (mkdtemp(folder) == NULL || chdir(folder) != 0)
        return -1;
    *state = folder;
    rand_seeded_init(&rng, 7);
    for (int i = 0; i < (ROWS + QUERIES) * DIM; i++) {
        float x = (float)(rand_u64(&rng.source) >> 40) / (float)(1 << 23) - 1.0F;

        if (i < ROWS * DIM)
            base[i / DIM][i % DIM] = x;
        else
            query[i / DIM - ROWS][i % DIM] = x;
    }
    write_npy("base.npy", base[0], ROWS);
    write_npy("query.npy", query[0], QUERIES);
    return 0;
}

static int teardown(void **state)
{
    return chdir("/") == 0 && fs_remove_all(fs_real(), *state, NULL) == ST_OK ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_nearest_are_found_under_each_metric),
        cmocka_unit_test(fewer_rows_than_asked_for_are_filled_up),
        cmocka_unit_test(a_run_out_of_bounds_is_refused),
        cmocka_unit_test(a_file_that_is_cut_or_goes_on_is_refused),
        cmocka_unit_test(files_that_do_not_belong_together_are_refused),
        cmocka_unit_test(each_allocation_may_fail),
        cmocka_unit_test(settings_that_are_none_are_refused),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
