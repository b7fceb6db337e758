/* bench_cells - makes cells of .npy rows and counts what cold queries would read: recall@10 against
 * GETs and bytes, as bench/cold_layout.py does, with the code the node uses; and what planning,
 * scanning short codes and scoring records cost on one thread.
 *
 *   bench_cells BASE QUERY cosine|dot|l2 [--rows N] [--queries N] [--seed S] [--likely ROWS]
 *
 * --likely: how many rows of resident short codes are looked at (the likeliest cells; 0: all).
 * Bytes are those of records (code, 20 bytes of checksum, lsn and id) with what is read over. */
#include "bench/npy.h"

#include "index/cells.h"
#include "index/codes.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { TOP_K = 10, RECORD_TAIL = 20 };

struct bench {
    struct npy base, query;
    enum vmetric metric;
    uint64_t seed, likely;
    struct cells_build build;
    uint32_t *truth; /* numbers of rows */
    uint32_t *place; /* position of each row */
    uint8_t *records, *shorts;
    size_t row_bytes, short_bytes;
    float *keys;
};

static void die(const char *what)
{
    fprintf(stderr, "bench_cells: %s\n", what);
    exit(1);
}

static double now_s(void) /* of this thread, so that a neighbour on the machine costs less truth */
{
    struct timespec t;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void *need(size_t count, size_t size)
{
    void *p = calloc(count > 0 ? count : 1, size);

    if (p == NULL)
        die("no memory");
    return p;
}

static const float *row_at(void *arg, uint32_t row)
{
    const struct bench *b = arg;

    return b->base.values + (size_t)row * b->base.dim;
}

static const float *query_at(const struct bench *b, uint32_t q)
{
    return b->query.values + (size_t)q * b->query.dim;
}

/* The nearest of all rows; blocks of rows pass by all queries. */
static void truth_make(struct bench *b)
{
    struct code_shape shape = code_shape(b->metric, b->base.dim);
    float *best = need((size_t)b->query.rows * TOP_K, sizeof(*best));

    b->truth = need((size_t)b->query.rows * TOP_K, sizeof(*b->truth));
    for (uint32_t i = 0; i < b->query.rows * TOP_K; i++)
        best[i] = INFINITY;
    for (uint32_t i = 0; i < b->base.rows; i++)
        for (uint32_t q = 0; q < b->query.rows; q++) {
            float key = full_key(&shape, kernels_get(), query_at(b, q), row_at(b, i));
            float *keys = best + (size_t)q * TOP_K;
            uint32_t *rows = b->truth + (size_t)q * TOP_K, at;

            if (!(key < keys[TOP_K - 1]))
                continue;
            for (at = TOP_K - 1; at > 0 && key < keys[at - 1]; at--) {
                keys[at] = keys[at - 1];
                rows[at] = rows[at - 1];
            }
            keys[at] = key;
            rows[at] = i;
        }
    free(best);
}

static void encode_all(struct bench *b)
{
    const struct cells *c = &b->build.cells;
    struct cells_centroids *t;
    float *scratch = need(2 * (size_t)c->dim, sizeof(*scratch));

    b->row_bytes = rabitq_code_bytes((struct rabitq_shape){c->dim, CELLS_ROW_BITS}) + RECORD_TAIL;
    b->short_bytes = rabitq_code_bytes((struct rabitq_shape){c->dim, c->short_bits});
    b->records = need(c->rows, b->row_bytes);
    b->shorts = need(c->rows, b->short_bytes);
    b->place = need(c->rows, sizeof(*b->place));
    b->keys = need(c->rows, sizeof(*b->keys));
    if (cells_centroids(c, &t, NULL) != ST_OK)
        die("no memory");
    for (uint32_t g = 0; g < c->coarse; g++)
        for (uint32_t p = c->coarse_first_row[g]; p < c->coarse_first_row[g + 1]; p++) {
            b->place[b->build.order[p]] = p;
            cells_encode(c, t, g, row_at(b, b->build.order[p]), scratch,
                         b->records + p * b->row_bytes, b->shorts + p * b->short_bytes);
        }
    cells_centroids_free(t);
    free(scratch);
}

struct sums {
    double right, gets, bytes, plan_s, scan_s, keys_s, rows;
};

/* The ten nearest by key among the rows of the ranges, against the truth. */
static void score(struct bench *b, struct cells_query *q, uint32_t number,
                  const struct cells_range *ranges, size_t count, struct sums *s)
{
    float best[TOP_K];
    uint32_t at[TOP_K], have = 0;
    double from = now_s();

    for (size_t r = 0; r < count; r++) {
        cells_keys(q, ranges[r].first, b->records + ranges[r].first * b->row_bytes, b->row_bytes,
                   ranges[r].count, b->keys);
        for (uint32_t i = 0; i < ranges[r].count; i++) {
            uint32_t p;

            if (have == TOP_K && !(b->keys[i] < best[TOP_K - 1]))
                continue;
            for (p = have < TOP_K ? have++ : TOP_K - 1; p > 0 && b->keys[i] < best[p - 1]; p--) {
                best[p] = best[p - 1];
                at[p] = at[p - 1];
            }
            best[p] = b->keys[i];
            at[p] = ranges[r].first + i;
        }
        s->rows += ranges[r].count;
    }
    s->keys_s += now_s() - from;
    s->gets += (double)count;
    for (size_t r = 0; r < count; r++)
        s->bytes += (double)ranges[r].count * (double)b->row_bytes;
    for (uint32_t i = 0; i < have; i++)
        for (uint32_t j = 0; j < TOP_K; j++)
            s->right += at[i] == b->place[b->truth[(size_t)number * TOP_K + j]];
}

static void print_sums(const char *plan, uint32_t gets, double mb, const struct sums *s, uint32_t n)
{
    printf("| %-18s | %2u, %4.1f | %.3f | %5.1f | %6.2f | %8.0f | %8.0f | %6.1f |\n", plan, gets,
           mb, s->right / TOP_K / n, s->gets / n, s->bytes / n / 1e6, 1e6 * s->plan_s / n,
           1e6 * s->scan_s / n, s->rows > 0 ? 1e9 * s->keys_s / s->rows : 0);
    fflush(stdout);
}

static void footers(struct bench *b, uint32_t gets, double mb)
{
    struct cells_plan_options o = {.gets_max = gets,
                                   .bytes_max = (uint64_t)(mb * 1e6),
                                   .record_bytes = (uint32_t)b->row_bytes};
    struct sums s = {0};

    for (uint32_t i = 0; i < b->query.rows; i++) {
        const struct cells_range *ranges;
        struct cells_query *q;
        size_t count;
        double from = now_s();

        if (cells_query_create(&b->build.cells, query_at(b, i), &q, NULL) != ST_OK ||
            cells_plan(&q, 1, &o, &ranges, &count, NULL) != ST_OK)
            die("no memory");
        s.plan_s += now_s() - from;
        score(b, q, i, ranges, count, &s);
        cells_query_destroy(q);
    }
    print_sums("footers", gets, mb, &s, b->query.rows);
}

static void scan(struct bench *b, struct cells_query *q)
{
    const struct cells *c = &b->build.cells;
    struct cells_plan_options o = {0};
    const struct cells_range *runs, whole = {.count = c->rows};
    size_t count = 1;

    runs = &whole;
    if (b->likely > 0 && cells_plan_likely(&q, 1, b->likely, &o, &runs, &count, NULL) != ST_OK)
        die("no memory");
    for (size_t r = 0; r < count; r++)
        for (uint32_t at = runs[r].first, end = at + runs[r].count; at < end;) {
            uint32_t g = cells_coarse_of(c, at);
            uint32_t to = c->coarse_first_row[g + 1] < end ? c->coarse_first_row[g + 1] : end;

            cells_query_best_add(q, g, at, b->shorts + at * b->short_bytes, to - at, NULL, NULL);
            at = to;
        }
}

static void resident(struct bench *b, uint32_t best, uint32_t gets, double mb)
{
    struct cells_plan_options o = {.gets_max = gets,
                                   .bytes_max = (uint64_t)(mb * 1e6),
                                   .record_bytes = (uint32_t)b->row_bytes,
                                   .gap_bytes = 65536};
    struct sums s = {0};
    char name[32];

    for (uint32_t i = 0; i < b->query.rows; i++) {
        const struct cells_range *ranges;
        struct cells_query *q;
        size_t count;
        double from = now_s();

        if (cells_query_create(&b->build.cells, query_at(b, i), &q, NULL) != ST_OK ||
            cells_query_best_reset(q, best, NULL) != ST_OK)
            die("no memory");
        scan(b, q);
        s.scan_s += now_s() - from;
        from = now_s();
        if (cells_plan_best(&q, 1, &o, &ranges, &count, NULL) != ST_OK)
            die("no memory");
        s.plan_s += now_s() - from;
        score(b, q, i, ranges, count, &s);
        cells_query_destroy(q);
    }
    snprintf(name, sizeof(name), "codes, best %u", best);
    print_sums(name, gets, mb, &s, b->query.rows);
}

static void normalise(struct npy *n)
{
    for (uint32_t i = 0; i < n->rows; i++)
        (void)vindex_normalise(n->values + (size_t)i * n->dim, n->dim);
}

static uint32_t number(int argc, char **argv, const char *name, uint32_t usual)
{
    for (int i = 4; i + 1 < argc; i++)
        if (strcmp(argv[i], name) == 0)
            return (uint32_t)strtoul(argv[i + 1], NULL, 10);
    return usual;
}

static void build(struct bench *b)
{
    struct cells_options o = {
        .dim = b->base.dim, .metric = b->metric, .rows = b->base.rows, .seed = b->seed};
    struct cells_source source = {row_at, b};
    double from = now_s();
    struct err err;

    if (cells_build(&o, &source, &b->build, &err) != ST_OK)
        die(err.text);
    printf("%u coarse and %u fine cells made in %.1f s", b->build.cells.coarse, b->build.cells.fine,
           now_s() - from);
    if (cells_check(&b->build.cells, &err) != ST_OK)
        die(err.text);
    from = now_s();
    encode_all(b);
    printf(", rows coded in %.1f s; record %zu bytes, short code %zu\n", now_s() - from,
           b->row_bytes, b->short_bytes);
    fflush(stdout);
}

int main(int argc, char **argv)
{
    struct bench b = {0};
    struct err err;

    if (argc < 4 || !vmetric_parse(argv[3], &b.metric))
        die("usage: bench_cells BASE QUERY cosine|dot|l2 [--rows N] [--queries N] [--seed S] "
            "[--likely ROWS]");
    if (npy_read(argv[1], number(argc, argv, "--rows", 0), &b.base, &err) != ST_OK ||
        npy_read(argv[2], number(argc, argv, "--queries", 300), &b.query, &err) != ST_OK)
        die(err.text);
    if (b.base.dim != b.query.dim || b.base.rows < TOP_K)
        die("the two files do not belong together");
    b.seed = number(argc, argv, "--seed", 7);
    b.likely = number(argc, argv, "--likely", 0);
    if (b.metric == VMETRIC_COSINE) {
        normalise(&b.base);
        normalise(&b.query);
    }
    printf("%u x %u, %s, %u queries, kernels %s\n", b.base.rows, b.base.dim, vmetric_name(b.metric),
           b.query.rows, kernels_get()->name);
    build(&b);
    truth_make(&b);
    printf("| plan | GETs, MB at most | recall@10 | GETs | MB | plan us | scan us | ns a key |\n");
    printf("|---|---|---|---|---|---|---|---|\n");
    footers(&b, 16, 5);
    footers(&b, 24, 7.5);
    footers(&b, 32, 10);
    footers(&b, 32, 20);
    resident(&b, 50, 16, 1);
    resident(&b, 100, 32, 1);
    resident(&b, 100, 24, 1);
    cells_build_free(&b.build);
    npy_free(&b.base);
    npy_free(&b.query);
    free(b.truth);
    free(b.place);
    free(b.records);
    free(b.shorts);
    free(b.keys);
    return 0;
}
