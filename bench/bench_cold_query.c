/* bench_cold_query - queries over a cold segment of .npy rows in a bucket in memory that answers as
 * slowly as one does (profiles of objstore/faults.h): recall@10, GETs and bytes as they were sent,
 * wall and CPU time of one caller; with footers only, then with short codes resident.
 *
 *   bench_cold_query BASE QUERY cosine|dot|l2 [--rows N] [--queries N] [--segments N]
 *                    [--profile none|lan|s3]
 *
 * Segments: the first has 70 % of the rows where there are several, the others share the rest. The
 * cache holds footers and next to nothing, so that every query is one of a cold node; then footers
 * and codes, and a few rows. */
#include "bench/npy.h"

#include "base/mem.h"
#include "index/cells.h"
#include "index/codes.h"
#include "objstore/faults.h"
#include "objstore/memory.h"
#include "tests/support/cold_make.h"
#include "tiering/cold_set.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { TOP_K = 10 };

struct bench {
    struct npy base, query;
    struct catalog_field field;
    uint32_t segments;
    struct objstore *memory, *faults;
    struct rand_seeded rand;
    struct manifest manifest;
    uint8_t collection[16];
    uint32_t *truth;
    double *ms;
    uint64_t footers, codes;
};

static void die(const char *what)
{
    (void)fprintf(stderr, "bench_cold_query: %s\n", what);
    exit(1);
}

static void must(status st, const struct err *err)
{
    if (st != ST_OK)
        die(err->text);
}

static void *need(size_t count, size_t size)
{
    void *p = calloc(count > 0 ? count : 1, size);

    if (p == NULL)
        die("no memory");
    return p;
}

static double now_ms(clockid_t which)
{
    struct timespec t;

    (void)clock_gettime(which, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

/* Ids are the rows' numbers. */
static void make_segment(struct bench *b, uint32_t number, uint32_t first, uint32_t count)
{
    struct cold_make_row *rows = need(count, sizeof *rows);
    struct cold_make make = {.fields = &b->field,
                             .field_count = 1,
                             .seed = number + 1,
                             .rows = rows,
                             .row_count = count};
    struct manifest_cold named;
    struct err err = {0};
    struct buf bytes;

    for (uint32_t i = 0; i < count; i++)
        rows[i] =
            (struct cold_make_row){.id = docid_u64(first + i),
                                   .lsn = 1 + first + i,
                                   .vectors = {b->base.values + (size_t)(first + i) * b->base.dim}};
    buf_init(&bytes, SIZE_MAX);
    must(cold_make_segment(&make, &bytes, &named, NULL, &err), &err);
    must(cold_make_put(b->memory, b->collection, named.object.uuid, buf_slice(&bytes), &err), &err);
    must(manifest_add_cold(&b->manifest, &named, &err), &err);
    b->footers += named.footer_bytes;
    buf_free(&bytes);
    free(rows);
}

static void make_all(struct bench *b)
{
    uint32_t first = 0, all = b->base.rows, large = all / 10 * 7;
    double from = now_ms(CLOCK_MONOTONIC);

    for (uint32_t s = 0; s < b->segments; s++) {
        uint32_t left = all - first, count = left;

        if (s + 1 < b->segments)
            count = s == 0 ? large : (all - large) / (b->segments - 1);
        make_segment(b, s, first, count);
        first += count;
    }
    b->codes = (uint64_t)all *
               rabitq_code_bytes((struct rabitq_shape){b->base.dim, cells_short_bits(b->base.dim)});
    (void)printf("%u segment(s) made in %.1f s; footers %.2f MB, short codes %.2f MB\n\n",
                 b->segments, (now_ms(CLOCK_MONOTONIC) - from) / 1e3, (double)b->footers / 1e6,
                 (double)b->codes / 1e6);
}

static void truth_make(struct bench *b)
{
    struct code_shape shape = code_shape(b->field.metric, b->base.dim);
    float *best = need((size_t)b->query.rows * TOP_K, sizeof *best);

    b->truth = need((size_t)b->query.rows * TOP_K, sizeof *b->truth);
    for (uint32_t i = 0; i < b->query.rows * TOP_K; i++)
        best[i] = INFINITY;
    for (uint32_t i = 0; i < b->base.rows; i++)
        for (uint32_t q = 0; q < b->query.rows; q++) {
            float key = full_key(&shape, kernels_get(), b->query.values + (size_t)q * b->base.dim,
                                 b->base.values + (size_t)i * b->base.dim);
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

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return x < y ? -1 : x > y;
}

static uint32_t right_of(const struct bench *b, uint32_t q, const struct cold_hit *hits,
                         uint32_t count)
{
    uint32_t right = 0;

    for (uint32_t i = 0; i < count; i++)
        for (uint32_t k = 0; k < TOP_K; k++)
            right += hits[i].id.u64 == b->truth[(size_t)q * TOP_K + k];
    return right;
}

static void ask_all(struct bench *b, struct cold_set *set, const char *what, float recall)
{
    struct cold_terms terms = {.newer = NULL};
    struct cold_stats sum = {0};
    uint32_t right = 0, resident = 0, n = b->query.rows;
    double cpu = 0;
    struct arena arena;
    struct err err = {0};

    arena_init(&arena, SIZE_MAX);
    for (uint32_t q = 0; q < n; q++) {
        struct cold_query query = {.field = b->field.id,
                                   .vector = b->query.values + (size_t)q * b->base.dim,
                                   .limit = TOP_K,
                                   .recall = recall};
        struct cold_stats stats = {0};
        struct cold_hit *hits;
        double from = now_ms(CLOCK_MONOTONIC), began = now_ms(CLOCK_THREAD_CPUTIME_ID);
        uint32_t count;
        bool partial;

        must(cold_set_query(set, &query, &terms, &arena, &hits, &count, &partial, &stats, &err),
             &err);
        b->ms[q] = now_ms(CLOCK_MONOTONIC) - from;
        cpu += now_ms(CLOCK_THREAD_CPUTIME_ID) - began;
        right += right_of(b, q, hits, count);
        sum.gets += stats.gets;
        sum.bytes += stats.bytes;
        sum.waves += stats.waves;
        resident += stats.codes_resident;
        arena_reset(&arena);
    }
    arena_free(&arena);
    qsort(b->ms, n, sizeof *b->ms, by_value);
    (void)printf("| %-24s | %.3f | %5.1f | %6.2f | %.2f | %3.0f %% | %.1f / %.0f | %.2f |\n", what,
                 (double)right / TOP_K / n, (double)sum.gets / n, (double)sum.bytes / 1e6 / n,
                 (double)sum.waves / n, 100.0 * resident / n, b->ms[n / 2], b->ms[n - 1 - n / 100],
                 cpu / n);
    (void)fflush(stdout);
}

/* With a cache of its own. */
static void ask_with(struct bench *b, uint64_t cache_bytes, const char *what, bool twice,
                     float recall)
{
    struct cache_options options = {.store = b->faults,
                                    .clock = clock_real(),
                                    .rand = &b->rand.source,
                                    .bytes_max = cache_bytes};
    struct cache_account account = {0};
    struct cold_set_options open = {.account = &account, .manifest = &b->manifest};
    struct cold_set *set;
    struct err err = {0};

    memcpy(open.collection, b->collection, sizeof open.collection);
    must(cache_open(&options, &open.cache, &err), &err);
    must(cold_set_open(&open, &set, &err), &err);
    if (twice)
        ask_all(b, set, "while codes come", recall);
    ask_all(b, set, what, recall);
    cold_set_drop(set);
    cache_close(open.cache);
}

static const char *text(int argc, char **argv, const char *name, const char *usual)
{
    for (int i = 4; i + 1 < argc; i++)
        if (strcmp(argv[i], name) == 0)
            return argv[i + 1];
    return usual;
}

static uint32_t number(int argc, char **argv, const char *name, const char *usual)
{
    return (uint32_t)strtoul(text(argc, argv, name, usual), NULL, 10);
}

static void normalise(struct npy *n)
{
    for (uint32_t i = 0; i < n->rows; i++)
        (void)vindex_normalise(n->values + (size_t)i * n->dim, n->dim);
}

static void begin(struct bench *b, int argc, char **argv)
{
    const char *profile = text(argc, argv, "--profile", "none");
    enum vmetric metric;
    struct err err = {0};

    if (argc < 4 || !vmetric_parse(argv[3], &metric))
        die("usage: bench_cold_query BASE QUERY cosine|dot|l2 [--rows N] [--queries N] "
            "[--segments N] [--profile none|lan|s3]");
    must(npy_read(argv[1], number(argc, argv, "--rows", "0"), &b->base, &err), &err);
    must(npy_read(argv[2], number(argc, argv, "--queries", "300"), &b->query, &err), &err);
    if (b->base.dim != b->query.dim || b->base.rows < TOP_K)
        die("the two files do not belong together");
    if (metric == VMETRIC_COSINE) {
        normalise(&b->base);
        normalise(&b->query);
    }
    b->segments = number(argc, argv, "--segments", "1");
    b->field = (struct catalog_field){.dim = b->base.dim, .metric = (uint8_t)metric};
    b->ms = need(b->query.rows, sizeof *b->ms);
    rand_seeded_init(&b->rand, 3);
    manifest_init(&b->manifest);
    b->manifest.schema.fields = &b->field;
    b->manifest.schema.field_count = 1;
    must(objstore_memory_open("bench", NULL, &b->memory, &err), &err);
    must(objstore_faults_open(b->memory, 5, &b->faults, &err), &err);
    (void)printf("%u x %u, %s, %u queries, profile %s\n", b->base.rows, b->base.dim,
                 vmetric_name(metric), b->query.rows, profile);
    make_all(b);
    truth_make(b);
    objstore_faults_profile(b->faults, strcmp(profile, "lan") == 0  ? OBJSTORE_PROFILE_LAN
                                       : strcmp(profile, "s3") == 0 ? OBJSTORE_PROFILE_S3
                                                                    : OBJSTORE_PROFILE_NONE);
}

int main(int argc, char **argv)
{
    static struct bench b;

    begin(&b, argc, argv);
    (void)printf("| how | recall@10 | GETs | MB | waves | codes | P50 / P99 ms | CPU ms |\n"
                 "|---|---|---|---|---|---|---|---|\n");
    ask_with(&b, 3 * b.footers + (1 << 20), "footers only", false, 0);
    ask_with(&b, 3 * b.footers + (1 << 20), "footers only, 0.96", false, 0.96f);
    ask_with(&b, 3 * b.footers + 4 * b.codes, "codes resident", true, 0);
    ask_with(&b, 3 * b.footers + 4 * b.codes, "codes resident, 0.99", true, 0.99f);
    objstore_close(b.faults);
    objstore_memory_forget("bench");
    npy_free(&b.base);
    npy_free(&b.query);
    free(b.truth);
    free(b.ms);
    return 0;
}
