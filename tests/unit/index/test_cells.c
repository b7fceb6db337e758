/* Cells: how they are made, what is judged before it is believed, keys of rows, and what plans of
 * queries find and cost, on clustered rows from a seed. */
#include "index/cells.h"

#include "index/codes.h"
#include "tests/support/alloc_sweep.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint64_t first_seed = 11, state;

static uint64_t mix(void)
{
    uint64_t x = state += 0x9e3779b97f4a7c15u;

    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

static float uniform(void)
{
    return (float)((double)(mix() >> 11) * 0x1.0p-52 - 1.0);
}

/* --- rows --- */
struct rows {
    uint32_t count, dim;
    enum vmetric metric;
    float *values, *queries; /* QUERIES of these */
    struct cells_build build;
    uint8_t *records, *shorts;
    size_t record_bytes, short_bytes;
};
enum { QUERIES = 40, TOP_K = 10, RECORD_TAIL = 20 };

static const float *row_at(void *arg, uint32_t row)
{
    const struct rows *r = arg;

    assert_true(row < r->count);
    return r->values + (size_t)row * r->dim;
}

/* Centres of clusters, each with a few directions in which its rows spread. */
static void clustered(struct rows *r, float *out, uint32_t count, const float *centres,
                      uint32_t clusters)
{
    for (uint32_t i = 0; i < count; i++) {
        const float *c = centres + mix() % clusters * 5 * r->dim;
        float *v = out + (size_t)i * r->dim, by[4];

        for (int k = 0; k < 4; k++)
            by[k] = uniform();
        for (uint32_t d = 0; d < r->dim; d++) {
            v[d] = c[d] + 0.1f * uniform();
            for (uint32_t k = 0; k < 4; k++)
                v[d] += 0.4f * by[k] * c[(k + 1) * r->dim + d];
        }
        if (r->metric == VMETRIC_COSINE)
            (void)vindex_normalise(v, r->dim);
    }
}

static struct rows rows_make(uint32_t count, uint32_t dim, enum vmetric metric)
{
    struct rows r = {.count = count, .dim = dim, .metric = metric};
    uint32_t clusters = 30;
    float *centres = malloc((size_t)clusters * 5 * dim * sizeof(*centres));

    state = first_seed;
    r.values = malloc(((size_t)count + 1) * dim * sizeof(*r.values));
    r.queries = malloc((size_t)QUERIES * dim * sizeof(*r.queries));
    for (size_t i = 0; i < (size_t)clusters * 5 * dim; i++)
        centres[i] = uniform();
    clustered(&r, r.values, count, centres, clusters);
    clustered(&r, r.queries, QUERIES, centres, clusters);
    free(centres);
    return r;
}

static status build(struct rows *r, uint64_t seed, struct cells_build *out, struct err *err)
{
    struct cells_options o = {.dim = r->dim, .metric = r->metric, .rows = r->count, .seed = seed};
    struct cells_source source = {row_at, r};

    return cells_build(&o, &source, out, err);
}

static void rows_build(struct rows *r)
{
    struct cells_centroids *t;
    const struct cells *c = &r->build.cells;
    float *scratch = malloc(2 * r->dim * sizeof(*scratch));
    struct err err;

    if (build(r, 3, &r->build, &err) != ST_OK)
        fail_msg("%s", err.text);
    if (cells_check(c, &err) != ST_OK)
        fail_msg("%s", err.text);
    r->record_bytes =
        rabitq_code_bytes((struct rabitq_shape){r->dim, CELLS_ROW_BITS}) + RECORD_TAIL;
    r->short_bytes = rabitq_code_bytes((struct rabitq_shape){r->dim, c->short_bits});
    r->records = calloc(r->count + 1, r->record_bytes);
    r->shorts = malloc((r->count + 1) * r->short_bytes);
    assert_int_equal(cells_centroids(c, &t, NULL), ST_OK);
    for (uint32_t g = 0; g < c->coarse; g++)
        for (uint32_t p = c->coarse_first_row[g]; p < c->coarse_first_row[g + 1]; p++)
            cells_encode(c, t, g, row_at(r, r->build.order[p]), scratch,
                         r->records + p * r->record_bytes, r->shorts + p * r->short_bytes);
    cells_centroids_free(t);
    free(scratch);
}

static void rows_free(struct rows *r)
{
    cells_build_free(&r->build);
    free(r->values);
    free(r->queries);
    free(r->records);
    free(r->shorts);
}

/* --- building --- */
/* Every row has one position; cells are in order and none is empty; spreads are true. */
static void check_build(struct rows *r, const struct cells_build *b)
{
    const struct cells *c = &b->cells;
    bool *seen = calloc(r->count + 1, sizeof(*seen));
    uint32_t at = 0;
    struct err err;

    if (cells_check(c, &err) != ST_OK)
        fail_msg("%s", err.text);
    assert_int_equal(c->rows, r->count);
    for (uint32_t p = 0; p < r->count; p++) {
        assert_true(b->order[p] < r->count && !seen[b->order[p]]);
        seen[b->order[p]] = true;
    }
    for (uint32_t f = 0; f < c->fine; f++) {
        assert_int_equal(b->fine_first[f], at);
        at += c->fine_rows[f];
    }
    assert_int_equal(b->fine_first[c->fine], r->count);
    free(seen);
}

static void rows_are_all_in_cells(void **unused)
{
    static const uint32_t counts[] = {0, 1, 2, 3, 15, 16, 17, 31, 100, 999, 1000, 2500};
    static const uint32_t dims[] = {1, 2, 3, 17, 40};
    static const enum vmetric metrics[] = {VMETRIC_COSINE, VMETRIC_DOT, VMETRIC_L2, VMETRIC_L1};

    (void)unused;
    for (size_t i = 0; i < COUNT_OF(counts); i++)
        for (size_t d = 0; d < COUNT_OF(dims); d++) {
            struct rows r = rows_make(counts[i], dims[d], metrics[(i + d) % COUNT_OF(metrics)]);

            assert_int_equal(build(&r, 5, &r.build, NULL), ST_OK);
            check_build(&r, &r.build);
            assert_int_equal(r.build.cells.coarse, counts[i] == 0 ? 0 : counts[i] < 2000 ? 1 : 2);
            rows_free(&r);
        }
}

static void a_seed_makes_the_same_cells_again(void **unused)
{
    struct rows r = rows_make(3000, 20, VMETRIC_L2);
    struct cells_build again, other;

    (void)unused;
    assert_int_equal(build(&r, 5, &r.build, NULL), ST_OK);
    assert_int_equal(build(&r, 5, &again, NULL), ST_OK);
    assert_int_equal(build(&r, 6, &other, NULL), ST_OK);
    assert_int_equal(r.build.cells.fine, again.cells.fine);
    assert_memory_equal(r.build.order, again.order, 3000 * sizeof(uint32_t));
    assert_memory_equal(r.build.cells.worth, again.cells.worth, CELLS_WORTH * sizeof(uint16_t));
    assert_memory_equal(r.build.cells.signs, again.cells.signs, rabitq_signs_bytes(20));
    assert_memory_equal(r.build.cells.fine_codes, again.cells.fine_codes,
                        again.cells.fine *
                            rabitq_code_bytes((struct rabitq_shape){20, again.cells.short_bits}));
    assert_memory_not_equal(r.build.order, other.order, 3000 * sizeof(uint32_t));
    cells_build_free(&again);
    cells_build_free(&other);
    rows_free(&r);
}

/* Also more rows than a fine cell may have. */
static void rows_that_are_all_equal_have_cells(void **unused)
{
    static const uint32_t counts[] = {1, 40, 3000, 140000};

    (void)unused;
    for (size_t i = 0; i < COUNT_OF(counts); i++)
        for (int zero = 0; zero < 2; zero++) {
            struct rows r = {.count = counts[i], .dim = 2, .metric = VMETRIC_L2};

            if (counts[i] > 100000 && zero)
                continue;
            r.values = malloc((size_t)r.count * r.dim * sizeof(float));
            for (size_t v = 0; v < (size_t)r.count * r.dim; v++)
                r.values[v] = zero ? 0 : 2.5f;
            assert_int_equal(build(&r, 5, &r.build, NULL), ST_OK);
            check_build(&r, &r.build);
            rows_free(&r);
        }
}

static void huge_rows_have_cells(void **unused)
{
    struct rows r = rows_make(2100, 5, VMETRIC_L2);
    const struct cells_range *ranges;
    size_t count;
    struct cells_plan_options o = {.gets_max = 16, .bytes_max = 1000000, .record_bytes = 33};
    struct cells_query *q;

    (void)unused;
    for (uint32_t i = 0; i < r.count * r.dim; i++)
        r.values[i] *= i % 3 == 0 ? 1e38f : i % 3 == 1 ? 1e20f : 1e-40f;
    rows_build(&r);
    check_build(&r, &r.build);
    assert_int_equal(cells_query_create(&r.build.cells, r.values, &q, NULL), ST_OK);
    assert_int_equal(cells_plan(&q, 1, &o, &ranges, &count, NULL), ST_OK);
    assert_true(count > 0);
    for (size_t i = 0; i < count; i++) {
        float *keys = malloc(ranges[i].count * sizeof(*keys));

        cells_keys(q, ranges[i].first, r.records + ranges[i].first * r.record_bytes, r.record_bytes,
                   ranges[i].count, keys);
        for (uint32_t k = 0; k < ranges[i].count; k++)
            assert_true(isnan(keys[k]) == 0);
        free(keys);
    }
    cells_query_destroy(q);
    rows_free(&r);
}

static void a_row_of_65535_components_has_cells(void **unused)
{
    struct rows r = rows_make(20, 65535, VMETRIC_COSINE);
    struct cells_query *q;
    float keys[20];

    (void)unused;
    rows_build(&r);
    check_build(&r, &r.build);
    assert_int_equal(cells_query_create(&r.build.cells, r.queries, &q, NULL), ST_OK);
    cells_keys(q, 0, r.records, r.record_bytes, 20, keys);
    for (uint32_t i = 0; i < 20; i++) {
        float want = -kernels_scalar.dot_f32(r.queries, row_at(&r, r.build.order[i]), r.dim);

        assert_true(fabsf(keys[i] - want) < 1e-3f);
    }
    cells_query_destroy(q);
    rows_free(&r);
}

static void making_cells_can_be_stopped_and_is_bounded(void **unused)
{
    struct rows r = rows_make(3000, 20, VMETRIC_L2);
    _Atomic bool stop = true;
    struct mem_budget budget;
    struct cells_options o = {.dim = 20, .metric = VMETRIC_L2, .rows = 3000, .stop = &stop};
    struct cells_source source = {row_at, &r};
    struct cells_build b;

    (void)unused;
    assert_int_equal(cells_build(&o, &source, &b, NULL), ST_CLOSED);
    o.stop = NULL;
    mem_budget_init(&budget, NULL, 1000);
    o.budget = &budget;
    assert_int_equal(cells_build(&o, &source, &b, NULL), ST_NOSPACE);
    assert_int_equal(mem_budget_bytes(&budget), 0);
    mem_budget_init(&budget, NULL, 0);
    assert_int_equal(cells_build(&o, &source, &b, NULL), ST_OK);
    assert_true(mem_budget_bytes(&budget) > 3000 * 12);
    cells_build_free(&b);
    assert_int_equal(mem_budget_bytes(&budget), 0);
    rows_free(&r);
}

static status build_once(void *arg)
{
    struct cells_build b;
    status st = build(arg, 5, &b, NULL);

    if (st == ST_OK)
        cells_build_free(&b);
    return st;
}

static void making_cells_without_memory_says_so(void **unused)
{
    struct rows r = rows_make(14, 3, VMETRIC_L2);

    (void)unused;
    assert_true(alloc_sweep(build_once, &r) > 30);
    rows_free(&r);
}

/* --- what a reader was given --- */
/* Each field wrong in turn is ST_CORRUPT; the sanitizers see what is read beyond. */
static void refused(const struct cells *c, const char *what)
{
    if (cells_check(c, NULL) != ST_CORRUPT)
        fail_msg("%s: not refused", what);
}

#define WRONG(field, value)                                                                        \
    do {                                                                                           \
        struct cells hostile = r.build.cells;                                                      \
        hostile.field = value;                                                                     \
        refused(&hostile, #field " " #value);                                                      \
    } while (0)

#define SPOILED(array, count, type, at, value)                                                     \
    do {                                                                                           \
        struct cells hostile = r.build.cells;                                                      \
        type *own = malloc((count) * sizeof(type));                                                \
        memcpy(own, hostile.array, (count) * sizeof(type));                                        \
        own[at] = (value);                                                                         \
        hostile.array = own;                                                                       \
        refused(&hostile, #array "[" #at "] " #value);                                             \
        free(own);                                                                                 \
    } while (0)

/* Either factor of each code. */
static void spoil_factors(const struct cells *c, uint8_t bits, uint32_t count, size_t bytes)
{
    uint8_t *own = malloc(count * bytes);

    for (uint32_t i = 0; i < count; i++)
        for (size_t factor = 4; factor <= 8; factor += 4) {
            struct cells hostile = *c;
            float wild = i % 2 ? NAN : -INFINITY;

            memcpy(own, bits == 8 ? c->coarse_codes : c->fine_codes, count * bytes);
            memcpy(own + (i + 1) * bytes - factor, &wild, sizeof(wild));
            if (bits == 8)
                hostile.coarse_codes = own;
            else
                hostile.fine_codes = own;
            refused(&hostile, "a factor");
        }
    free(own);
}

static void a_field_that_no_row_has_needs_no_arrays(void **unused)
{
    struct cells c = {.dim = 3, .metric = VMETRIC_L2, .short_bits = 4};

    (void)unused;
    assert_int_equal(cells_check(&c, NULL), ST_OK);
    c.fine = 1;
    assert_int_equal(cells_check(&c, NULL), ST_CORRUPT);
    c.fine = 0;
    c.rows = 1;
    assert_int_equal(cells_check(&c, NULL), ST_CORRUPT);
}

static void hostile_cells_are_refused(void **unused)
{
    struct rows r = rows_make(3100, 9, VMETRIC_L2);
    const struct cells *c = &r.build.cells;
    size_t row = rabitq_code_bytes((struct rabitq_shape){9, 8}), shrt;

    (void)unused;
    rows_build(&r);
    shrt = r.short_bytes;
    assert_true(c->coarse == 3);
    WRONG(dim, 0);
    WRONG(dim, 65536);
    WRONG(metric, (enum vmetric)0);
    WRONG(metric, (enum vmetric)9);
    WRONG(short_bits, 0);
    WRONG(short_bits, 8);
    WRONG(short_bits, 3);
    WRONG(rows, 0);
    WRONG(rows, c->rows + 1);
    WRONG(rows, 2);
    WRONG(coarse, 0);
    WRONG(coarse, 2);
    WRONG(fine, c->fine - 1);
    WRONG(fine, 2);
    WRONG(signs, NULL);
    WRONG(mean, NULL);
    WRONG(coarse_codes, NULL);
    WRONG(fine_codes, NULL);
    WRONG(fine_rows, NULL);
    WRONG(fine_spread, NULL);
    WRONG(coarse_first_fine, NULL);
    WRONG(coarse_first_row, NULL);
    WRONG(worth, NULL);
    for (uint32_t g = 0; g <= 3; g++) {
        SPOILED(coarse_first_fine, 4, uint32_t, g, UINT32_MAX);
        SPOILED(coarse_first_fine, 4, uint32_t, g, own[g] + 1);
        SPOILED(coarse_first_row, 4, uint32_t, g, UINT32_MAX);
        SPOILED(coarse_first_row, 4, uint32_t, g, own[g] + 1);
        if (g > 0) {
            SPOILED(coarse_first_fine, 4, uint32_t, g, 0);
            SPOILED(coarse_first_row, 4, uint32_t, g, 0);
        }
    }
    for (uint32_t f = 0; f < c->fine; f += 13) {
        SPOILED(fine_rows, c->fine, uint16_t, f, 0);
        SPOILED(fine_rows, c->fine, uint16_t, f, 65535);
        SPOILED(fine_spread, c->fine, uint16_t, f, 0x7f80);
        SPOILED(fine_spread, c->fine, uint16_t, f, 0x8001);
    }
    spoil_factors(c, 8, 3, row);
    spoil_factors(c, c->short_bits, c->fine, shrt);
    SPOILED(mean, 9, float, 8, INFINITY);
    SPOILED(mean, 9, float, 0, NAN);
    SPOILED(worth, CELLS_WORTH, uint16_t, 0, 0x7fc0);
    SPOILED(worth, CELLS_WORTH, uint16_t, 63, 0x4180); /* rises */
    SPOILED(worth, CELLS_WORTH, uint16_t, 5, 0xbf80);
    rows_free(&r);
}

/* --- keys --- */
static void keys_are_those_of_the_rows(void **unused)
{
    static const enum vmetric metrics[] = {VMETRIC_COSINE, VMETRIC_DOT, VMETRIC_L2};
    static const uint32_t dims[] = {3, 40, 150, 384};

    (void)unused;
    for (size_t m = 0; m < COUNT_OF(metrics); m++)
        for (size_t d = 0; d < COUNT_OF(dims); d++) {
            struct rows r = rows_make(2300, dims[d], metrics[m]);
            struct code_shape shape = code_shape(metrics[m], dims[d]);
            float *keys = malloc(r.count * sizeof(*keys));

            if (metrics[m] != VMETRIC_COSINE) /* an offset of all rows costs nothing */
                for (uint32_t i = 0; i < r.count * r.dim; i++)
                    r.values[i] += metrics[m] == VMETRIC_L2 ? 50 : 3;
            rows_build(&r);
            for (uint32_t n = 0; n < 4; n++) {
                struct cells_query *q;
                const float *query = n % 2 ? r.queries + n * r.dim : row_at(&r, n);
                double sum = 0, scale = 0;

                assert_int_equal(cells_query_create(&r.build.cells, query, &q, NULL), ST_OK);
                cells_keys(q, 7, r.records + 7 * r.record_bytes, r.record_bytes, r.count - 7, keys);
                for (uint32_t p = 7; p < r.count; p++) {
                    float want =
                        full_key(&shape, &kernels_scalar, query, row_at(&r, r.build.order[p]));

                    sum += pow((double)(keys[p - 7] - want), 2);
                    scale += pow((double)want, 2);
                }
                if (sqrt(sum / scale) > (dims[d] < 64 ? 0.015 : 0.006))
                    fail_msg("metric %d, dim %u: error %g", metrics[m], dims[d], sqrt(sum / scale));
                cells_query_destroy(q);
            }
            free(keys);
            rows_free(&r);
        }
}

/* --- plans --- */
struct outcome {
    double recall, gets, bytes;
};

static bool in_ranges(const struct cells_range *ranges, size_t count, uint32_t position)
{
    for (size_t i = 0; i < count; i++)
        if (position >= ranges[i].first && position - ranges[i].first < ranges[i].count)
            return true;
    return false;
}

/* How many of the true ten lie in the ranges. */
static double reached(struct rows *r, const float *query, const struct cells_range *ranges,
                      size_t count)
{
    struct code_shape shape = code_shape(r->metric, r->dim);
    float *keys = malloc(r->count * sizeof(*keys));
    double found = 0;

    for (uint32_t p = 0; p < r->count; p++)
        keys[p] = full_key(&shape, kernels_get(), query, row_at(r, r->build.order[p]));
    for (int k = 0; k < TOP_K; k++) {
        uint32_t best = 0;

        for (uint32_t p = 1; p < r->count; p++)
            best = keys[p] < keys[best] ? p : best;
        keys[best] = INFINITY;
        found += in_ranges(ranges, count, best);
    }
    free(keys);
    return found / TOP_K;
}

static void check_caps(const struct rows *r, const struct cells_plan_options *o,
                       const struct cells_range *ranges, size_t count)
{
    uint64_t bytes = 0;

    assert_true(count <= o->gets_max);
    for (size_t i = 0; i < count; i++) {
        assert_true(ranges[i].count > 0);
        assert_true(i == 0 || ranges[i].first >= ranges[i - 1].first + ranges[i - 1].count);
        assert_true(ranges[i].first + ranges[i].count <= r->count);
        bytes += (uint64_t)ranges[i].count * o->record_bytes;
    }
    assert_true(bytes <= o->bytes_max);
}

static void add_outcome(struct rows *r, uint32_t n, const struct cells_plan_options *o,
                        const struct cells_range *ranges, size_t count, struct outcome *out)
{
    check_caps(r, o, ranges, count);
    out->recall += reached(r, r->queries + n * r->dim, ranges, count) / QUERIES;
    out->gets += (double)count / QUERIES;
    for (size_t i = 0; i < count; i++)
        out->bytes += (double)ranges[i].count * o->record_bytes / QUERIES;
}

static struct outcome footers(struct rows *r, struct cells_plan_options o)
{
    struct outcome out = {0};

    for (uint32_t n = 0; n < QUERIES; n++) {
        const struct cells_range *ranges;
        struct cells_query *q;
        size_t count;

        assert_int_equal(cells_query_create(&r->build.cells, r->queries + n * r->dim, &q, NULL),
                         ST_OK);
        assert_int_equal(cells_plan(&q, 1, &o, &ranges, &count, NULL), ST_OK);
        add_outcome(r, n, &o, ranges, count, &out);
        cells_query_destroy(q);
    }
    return out;
}

static void scan(struct rows *r, struct cells_query *q, uint64_t likely,
                 bool (*keep)(void *arg, uint32_t position))
{
    const struct cells *c = &r->build.cells;
    struct cells_plan_options o = {0};
    const struct cells_range *runs;
    size_t count;

    assert_int_equal(cells_plan_likely(&q, 1, likely, &o, &runs, &count, NULL), ST_OK);
    for (size_t i = 0; i < count; i++)
        for (uint32_t at = runs[i].first, end = at + runs[i].count; at < end;) {
            uint32_t g = cells_coarse_of(c, at);
            uint32_t to = c->coarse_first_row[g + 1] < end ? c->coarse_first_row[g + 1] : end;

            cells_query_best_add(q, g, at, r->shorts + at * r->short_bytes, to - at, keep, NULL);
            at = to;
        }
}

static struct outcome resident(struct rows *r, uint32_t best, uint64_t likely,
                               struct cells_plan_options o)
{
    struct outcome out = {0};

    for (uint32_t n = 0; n < QUERIES; n++) {
        const struct cells_range *ranges;
        struct cells_query *q;
        size_t count;

        assert_int_equal(cells_query_create(&r->build.cells, r->queries + n * r->dim, &q, NULL),
                         ST_OK);
        assert_int_equal(cells_query_best_reset(q, best, NULL), ST_OK);
        scan(r, q, likely, NULL);
        assert_int_equal(cells_plan_best(&q, 1, &o, &ranges, &count, NULL), ST_OK);
        add_outcome(r, n, &o, ranges, count, &out);
        cells_query_destroy(q);
    }
    return out;
}

static void say(const char *what, struct outcome o)
{
    print_message("%s: recall %.3f, %.1f GETs, %.0f bytes\n", what, o.recall, o.gets, o.bytes);
}

/* Of 8,000 rows the caps buy some 6 %; floors lie well below what seeds have. */
static void plans_find_what_is_near(void **unused)
{
    static const enum vmetric metrics[] = {VMETRIC_COSINE, VMETRIC_L2, VMETRIC_DOT};
    static const double floors[][3] = {{0.9, 0.95, 0.95}, {0.9, 0.95, 0.95}, {0.85, 0.9, 0.9}};

    (void)unused;
    for (size_t m = 0; m < COUNT_OF(metrics); m++) {
        struct rows r = rows_make(8000, 48, metrics[m]);
        struct cells_plan_options o = {.gets_max = 16, .gap_bytes = 0};
        struct outcome a, b, c;

        rows_build(&r);
        o.record_bytes = (uint32_t)r.record_bytes;
        o.bytes_max = 500 * r.record_bytes;
        a = footers(&r, o);
        o.gap_bytes = 4096;
        b = resident(&r, 50, r.count, o);
        c = resident(&r, 50, r.count / 4, o);
        say("footers", a);
        say("codes", b);
        say("codes of a quarter", c);
        assert_true(a.recall >= floors[m][0]);
        assert_true(b.recall >= floors[m][1]);
        assert_true(c.recall >= floors[m][2]);
        rows_free(&r);
    }
}

/* A plan that may read everything does; one that may read nothing reads nothing; a cell that is
 * larger than the cap is begun. */
static void caps_at_their_ends(void **unused)
{
    struct rows r = rows_make(2500, 8, VMETRIC_L2);
    struct cells_plan_options o = {.gets_max = 3000, .bytes_max = UINT64_MAX, .record_bytes = 36};
    const struct cells_range *ranges;
    struct cells_query *q;
    size_t count;
    uint32_t rows = 0;

    (void)unused;
    rows_build(&r);
    assert_int_equal(cells_query_create(&r.build.cells, r.queries, &q, NULL), ST_OK);
    assert_int_equal(cells_plan(&q, 1, &o, &ranges, &count, NULL), ST_OK);
    for (size_t i = 0; i < count; i++)
        rows += ranges[i].count;
    assert_int_equal(rows, 2500);
    o.bytes_max = 40;
    assert_int_equal(cells_plan(&q, 1, &o, &ranges, &count, NULL), ST_OK);
    assert_int_equal(count, 1);
    assert_int_equal(ranges[0].count, 1);
    o.bytes_max = 35;
    assert_int_equal(cells_plan(&q, 1, &o, &ranges, &count, NULL), ST_OK);
    assert_int_equal(count, 0);
    o.bytes_max = 36000;
    o.gets_max = 0;
    assert_int_equal(cells_plan(&q, 1, &o, &ranges, &count, NULL), ST_OK);
    assert_int_equal(count, 0);
    assert_int_equal(cells_plan_best(&q, 1, &o, &ranges, &count, NULL), ST_OK);
    assert_int_equal(count, 0);
    cells_query_destroy(q);
    rows_free(&r);
}

static bool only_low(void *arg, uint32_t part, uint32_t first, uint32_t count)
{
    (void)arg;
    (void)count;
    assert_int_equal(part, 0);
    return first < 300;
}

static bool keep_odd(void *arg, uint32_t position)
{
    (void)arg;
    return position % 2 == 1;
}

static void what_does_not_count_is_not_planned(void **unused)
{
    struct rows r = rows_make(2500, 8, VMETRIC_L2);
    struct cells_plan_options o = {
        .gets_max = 8, .bytes_max = 3600, .record_bytes = 36, .gap_bytes = 1, .any = only_low};
    const struct cells_range *ranges;
    struct cells_query *q;
    size_t count;

    (void)unused;
    rows_build(&r);
    assert_int_equal(cells_query_create(&r.build.cells, r.queries, &q, NULL), ST_OK);
    assert_int_equal(cells_plan(&q, 1, &o, &ranges, &count, NULL), ST_OK);
    assert_true(count > 0);
    for (size_t i = 0; i < count; i++)
        assert_true(ranges[i].first < 300);
    assert_int_equal(cells_query_best_reset(q, 8, NULL), ST_OK);
    scan(&r, q, r.count, keep_odd);
    o.gap_bytes = 0;
    assert_int_equal(cells_plan_best(&q, 1, &o, &ranges, &count, NULL), ST_OK);
    assert_int_equal(count, 8);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(ranges[i].first % 2, 1);
        assert_int_equal(ranges[i].count, 1);
    }
    cells_query_destroy(q);
    rows_free(&r);
}

/* Two halves as two segments: one plan over both, under the same caps, finds nearly as much. */
static void segments_share_the_caps(void **unused)
{
    struct rows all = rows_make(6000, 48, VMETRIC_L2), half[2];
    struct cells_plan_options o = {.gets_max = 24};
    double recall = 0;
    uint32_t both = 0;

    (void)unused;
    for (uint32_t h = 0; h < 2; h++) {
        half[h] = rows_make(3000, 48, VMETRIC_L2);
        memcpy(half[h].values, row_at(&all, h * 3000), 3000 * 48 * sizeof(float));
        rows_build(&half[h]);
    }
    o.record_bytes = (uint32_t)half[0].record_bytes;
    o.bytes_max = 600 * half[0].record_bytes;
    for (uint32_t n = 0; n < QUERIES; n++) {
        const float *query = all.queries + n * 48;
        const struct cells_range *ranges;
        struct cells_query *q[2];
        struct code_shape shape = code_shape(VMETRIC_L2, 48);
        float *keys = malloc(6000 * sizeof(*keys));
        uint64_t bytes = 0;
        size_t count, split = 0;

        for (uint32_t h = 0; h < 2; h++) {
            assert_int_equal(cells_query_create(&half[h].build.cells, query, &q[h], NULL), ST_OK);
            for (uint32_t p = 0; p < 3000; p++)
                keys[h * 3000 + p] = full_key(&shape, kernels_get(), query,
                                              row_at(&half[h], half[h].build.order[p]));
        }
        assert_int_equal(cells_plan(q, 2, &o, &ranges, &count, NULL), ST_OK);
        assert_true(count <= 24);
        for (size_t i = 0; i < count; i++) {
            bytes += (uint64_t)ranges[i].count * o.record_bytes;
            assert_true(ranges[i].part == 1 || split == i);
            split += ranges[i].part == 0;
        }
        assert_true(bytes <= o.bytes_max);
        both += split > 0 && split < count;
        for (int k = 0; k < TOP_K; k++) {
            uint32_t best = 0;

            for (uint32_t p = 1; p < 6000; p++)
                best = keys[p] < keys[best] ? p : best;
            keys[best] = INFINITY;
            recall += best < 3000 ? in_ranges(ranges, split, best)
                                  : in_ranges(ranges + split, count - split, best - 3000);
        }
        cells_query_destroy(q[0]);
        cells_query_destroy(q[1]);
        free(keys);
    }
    print_message("two segments: recall %.3f\n", recall / TOP_K / QUERIES);
    assert_true(both > QUERIES / 2);
    assert_true(recall / TOP_K / QUERIES >= 0.9);
    rows_free(&all);
    rows_free(&half[0]);
    rows_free(&half[1]);
}

static void cells_without_rows_answer_nothing(void **unused)
{
    struct rows r = rows_make(0, 8, VMETRIC_L2);
    struct cells_plan_options o = {.gets_max = 8, .bytes_max = 3600, .record_bytes = 36};
    const struct cells_range *ranges;
    struct cells_query *q;
    size_t count = 1;

    (void)unused;
    rows_build(&r);
    assert_int_equal(cells_query_create(&r.build.cells, r.queries, &q, NULL), ST_OK);
    assert_int_equal(cells_plan(&q, 1, &o, &ranges, &count, NULL), ST_OK);
    assert_int_equal(count, 0);
    assert_int_equal(cells_plan_likely(&q, 1, 10, &o, &ranges, &count, NULL), ST_OK);
    assert_int_equal(count, 0);
    cells_query_destroy(q);
    rows_free(&r);
}

static status ask_once(void *arg)
{
    struct rows *r = arg;
    struct cells_plan_options o = {.gets_max = 4, .bytes_max = 36000, .record_bytes = 36};
    const struct cells_range *ranges;
    struct cells_centroids *t;
    struct cells_query *q;
    size_t count;
    status st = cells_query_create(&r->build.cells, r->queries, &q, NULL);

    if (st != ST_OK)
        return st;
    st = cells_plan(&q, 1, &o, &ranges, &count, NULL);
    if (st == ST_OK)
        st = cells_plan_likely(&q, 1, 50, &o, &ranges, &count, NULL);
    if (st == ST_OK)
        st = cells_query_best_reset(q, 8, NULL);
    if (st == ST_OK) {
        cells_query_best_add(q, 0, 0, r->shorts, 50, NULL, NULL);
        st = cells_plan_best(&q, 1, &o, &ranges, &count, NULL);
    }
    cells_query_destroy(q);
    if (st == ST_OK)
        st = cells_centroids(&r->build.cells, &t, NULL);
    if (st == ST_OK)
        cells_centroids_free(t);
    return st;
}

static void asking_without_memory_says_so(void **unused)
{
    struct rows r = rows_make(200, 8, VMETRIC_L2);

    (void)unused;
    rows_build(&r);
    assert_true(alloc_sweep(ask_once, &r) > 20);
    rows_free(&r);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_are_all_in_cells),
        cmocka_unit_test(a_seed_makes_the_same_cells_again),
        cmocka_unit_test(rows_that_are_all_equal_have_cells),
        cmocka_unit_test(huge_rows_have_cells),
        cmocka_unit_test(a_row_of_65535_components_has_cells),
        cmocka_unit_test(making_cells_can_be_stopped_and_is_bounded),
        cmocka_unit_test(making_cells_without_memory_says_so),
        cmocka_unit_test(a_field_that_no_row_has_needs_no_arrays),
        cmocka_unit_test(hostile_cells_are_refused),
        cmocka_unit_test(keys_are_those_of_the_rows),
        cmocka_unit_test(plans_find_what_is_near),
        cmocka_unit_test(caps_at_their_ends),
        cmocka_unit_test(what_does_not_count_is_not_planned),
        cmocka_unit_test(segments_share_the_caps),
        cmocka_unit_test(cells_without_rows_answer_nothing),
        cmocka_unit_test(asking_without_memory_says_so),
    };

    if (argc > 1)
        first_seed = strtoull(argv[1], NULL, 10);
    print_message("seed %llu\n", (unsigned long long)first_seed);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
