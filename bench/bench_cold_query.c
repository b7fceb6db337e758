/* bench_cold_query - queries over a cold segment of .npy rows in a bucket in memory that answers as
 * slowly as one does (profiles of objstore/faults.h): recall@10, GETs and bytes as they were sent,
 * wall and CPU time of one caller; with footers only, then with short codes resident.
 *
 *   bench_cold_query BASE QUERY cosine|dot|l2 [--rows N] [--queries N] [--segments N]
 *                    [--profile none|lan|s3] [--what "cold codes warm"]
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

enum { TOP_K = 10, RAM_BEST = 150 /* rows by code, as a query has them */ };

struct ram { /* a segment without a cache: its bytes, and its codes in groups as a cache has them */
    struct buf bytes;
    struct cold_footer footer;
    struct cells cells;
    uint8_t *codes;
};
enum { SEGMENTS_MAX = 16 };

struct bench {
    struct npy base, query;
    struct ram ram[SEGMENTS_MAX];
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

static void ram_make(struct bench *b, uint32_t number, const struct manifest_cold *named,
                     const struct buf *bytes)
{
    struct ram *r = &b->ram[number];
    struct rabitq_shape shape;
    size_t code;
    uint8_t *scratch;
    struct err err = {0};

    r->bytes = *bytes;
    must(cold_footer_decode(slice_make(bytes->data + named->footer_offset, named->footer_bytes),
                            b->collection, named, &r->footer, &err),
         &err);
    cold_field_cells(&r->footer.fields[0], &r->cells);
    shape = (struct rabitq_shape){r->cells.dim, r->cells.short_bits};
    code = rabitq_code_bytes(shape);
    r->codes = need(r->cells.rows, code);
    scratch = need(KERNEL_GROUP, code);
    for (uint32_t g = 0; g < r->cells.coarse; g++) {
        uint32_t first = r->cells.coarse_first_row[g];
        uint32_t rows = r->cells.coarse_first_row[g + 1] - first;
        uint64_t offset, length;

        cold_codes_range(&r->footer, 0, g, &offset, &length);
        memcpy(r->codes + first * code, bytes->data + offset + length - rows * code, rows * code);
        rabitq_group(shape, r->codes + first * code, rows, scratch);
    }
    free(scratch);
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
    ram_make(b, number, &named, &bytes);
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

struct asked { /* sums and the most of one query */
    struct cold_stats sum;
    uint32_t right, resident, gets_most;
    uint64_t bytes_most;
    double cpu;
};

/* A query and what is told of its winners, as the node asks. */
static void ask_one(struct bench *b, struct cold_set *set, uint32_t q, float recall, bool rest,
                    struct arena *arena, struct asked *a)
{
    struct cache_budget budget = cold_no_budget();
    struct cold_terms terms = {.budget = &budget};
    struct cold_query query = {.field = b->field.id,
                               .vector = b->query.values + (size_t)q * b->base.dim,
                               .limit = TOP_K,
                               .rest = rest ? TOP_K : 0,
                               .recall = recall};
    struct cold_row rows[TOP_K];
    struct cold_stats stats = {0};
    struct cold_hit *hits;
    double from = now_ms(CLOCK_MONOTONIC), began = now_ms(CLOCK_THREAD_CPUTIME_ID);
    struct err err = {0};
    uint32_t count;
    bool partial;

    must(cold_set_query(set, &query, &terms, arena, &hits, &count, &partial, &stats, &err), &err);
    for (uint32_t i = 0; i < count; i++)
        rows[i] = (struct cold_row){.id = hits[i].id,
                                    .lsn = hits[i].lsn,
                                    .segment = hits[i].segment,
                                    .ordinal = hits[i].ordinal};
    if (rest)
        must(cold_set_rows_at(set, rows, count, COLD_PAYLOAD, 0, &terms, arena, &stats, &err),
             &err);
    b->ms[q] = now_ms(CLOCK_MONOTONIC) - from;
    a->cpu += now_ms(CLOCK_THREAD_CPUTIME_ID) - began;
    a->right += right_of(b, q, hits, count);
    a->sum.gets += stats.gets;
    a->sum.bytes += stats.bytes;
    a->sum.waves += stats.waves;
    a->resident += stats.codes_resident;
    a->gets_most = stats.gets > a->gets_most ? stats.gets : a->gets_most;
    a->bytes_most = stats.bytes > a->bytes_most ? stats.bytes : a->bytes_most;
}

static void tell(struct bench *b, const char *what, const struct asked *a)
{
    uint32_t n = b->query.rows;

    qsort(b->ms, n, sizeof *b->ms, by_value);
    (void)printf(
        "| %-28s | %.3f | %5.1f, %2u | %6.2f, %5.2f | %.2f | %3.0f %% | %.2f / %.1f | %.3f |\n",
        what, (double)a->right / TOP_K / n, (double)a->sum.gets / n, a->gets_most,
        (double)a->sum.bytes / 1e6 / n, (double)a->bytes_most / 1e6, (double)a->sum.waves / n,
        100.0 * a->resident / n, b->ms[n / 2], b->ms[n - 1 - n / 100], a->cpu / n);
    (void)fflush(stdout);
}

enum { EACH_COLD = 1, WITH_REST = 2 }; /* everything is unloaded before each; winners are told */

static double ask_all(struct bench *b, struct cold_set *set, const char *what, float recall,
                      unsigned how)
{
    struct asked a = {0};
    struct arena arena;

    arena_init(&arena, SIZE_MAX);
    for (uint32_t q = 0; q < b->query.rows; q++) {
        if ((how & EACH_COLD) != 0)
            (void)cold_set_unload(set);
        ask_one(b, set, q, recall, (how & WITH_REST) != 0, &arena, &a);
        arena_reset(&arena);
    }
    arena_free(&arena);
    tell(b, what, &a);
    return a.cpu / b->query.rows;
}

struct opened {
    struct cache *cache;
    struct cache_account account;
    struct cold_set *set;
};

/* With a cache of its own. */
static void open_set(struct bench *b, uint64_t cache_bytes, struct opened *o)
{
    struct cache_options options = {.store = b->faults,
                                    .clock = clock_real(),
                                    .rand = &b->rand.source,
                                    .bytes_max = cache_bytes};
    struct cold_set_options open = {.account = &o->account, .manifest = &b->manifest};
    struct err err = {0};

    memcpy(open.collection, b->collection, sizeof open.collection);
    must(cache_open(&options, &o->cache, &err), &err);
    open.cache = o->cache;
    must(cold_set_open(&open, &o->set, &err), &err);
}

static void close_set(struct opened *o)
{
    cold_set_drop(o->set);
    cache_close(o->cache);
}

static void ask_cold(struct bench *b)
{
    struct opened o = {0};

    open_set(b, 3 * b->footers + (1 << 20), &o);
    (void)ask_all(b, o.set, "footers only", 0, 0);
    (void)ask_all(b, o.set, "footers only, told", 0, WITH_REST);
    (void)ask_all(b, o.set, "footers only, 0.96", 0.96f, 0);
    close_set(&o);
    o = (struct opened){0};
    open_set(b, 3 * b->footers + 4 * b->codes + (uint64_t)b->base.rows * b->base.dim * 2, &o);
    (void)ask_all(b, o.set, "each cold, codes along, told", 0, EACH_COLD | WITH_REST);
    close_set(&o);
}

static void ask_with_codes(struct bench *b)
{
    struct opened o = {0};

    open_set(b, 3 * b->footers + 4 * b->codes, &o);
    (void)ask_all(b, o.set, "while codes come, told", 0, WITH_REST);
    (void)ask_all(b, o.set, "codes resident", 0, 0);
    (void)ask_all(b, o.set, "codes resident, told", 0, WITH_REST);
    (void)ask_all(b, o.set, "codes resident, 0.99", 0.99f, 0);
    close_set(&o);
}

/* The same index without a cache: all codes, then the best rows by their 8-bit codes. */
static void ram_query(struct bench *b, const float *vector, uint32_t best, struct cold_hit *hits)
{
    struct cells_query *parts[SEGMENTS_MAX];
    struct cells_range *rows;
    struct err err = {0};
    size_t count;

    for (uint32_t s = 0; s < b->segments; s++) {
        const struct ram *r = &b->ram[s];
        size_t code = rabitq_code_bytes((struct rabitq_shape){r->cells.dim, r->cells.short_bits});

        must(cells_query_create(&r->cells, vector, &parts[s], &err), &err);
        must(cells_query_best_reset(parts[s], best, &err), &err);
        for (uint32_t g = 0; g < r->cells.coarse; g++) {
            uint32_t first = r->cells.coarse_first_row[g];
            uint32_t in = r->cells.coarse_first_row[g + 1] - first;

            cells_query_best_groups(parts[s], g, first, r->codes + first * code, in, 0, in, NULL,
                                    NULL);
        }
    }
    must(cells_best_rows(parts, b->segments, &rows, &count, &err), &err);
    for (uint32_t i = 0; i < TOP_K; i++)
        hits[i].key = INFINITY;
    for (size_t i = 0; i < count; i++) {
        const struct ram *r = &b->ram[rows[i].part];
        struct cold_record record;
        uint64_t offset, bytes;
        uint32_t at;
        float key;

        cold_records_range(&r->footer, 0, rows[i].first, 1, &offset, &bytes);
        cold_record_at(&r->footer, 0, rows[i].first,
                       slice_make(r->bytes.data + offset, (size_t)bytes), 0, &record);
        cells_keys(parts[rows[i].part], rows[i].first, record.code, (size_t)bytes, 1, &key);
        if (!(key < hits[TOP_K - 1].key))
            continue;
        for (at = TOP_K - 1; at > 0 && key < hits[at - 1].key; at--)
            hits[at] = hits[at - 1];
        hits[at] = (struct cold_hit){.id = record.id, .lsn = record.lsn, .key = key};
    }
    mem_free(rows);
    for (uint32_t s = 0; s < b->segments; s++)
        cells_query_destroy(parts[s]);
}

static double ask_ram(struct bench *b, uint32_t best)
{
    struct asked a = {.resident = b->query.rows};

    for (uint32_t q = 0; q < b->query.rows; q++) {
        struct cold_hit hits[TOP_K];
        double from = now_ms(CLOCK_MONOTONIC), began = now_ms(CLOCK_THREAD_CPUTIME_ID);

        ram_query(b, b->query.values + (size_t)q * b->base.dim, best, hits);
        b->ms[q] = now_ms(CLOCK_MONOTONIC) - from;
        a.cpu += now_ms(CLOCK_THREAD_CPUTIME_ID) - began;
        a.right += right_of(b, q, hits, TOP_K);
    }
    tell(b, "in RAM, no cache", &a);
    return a.cpu / b->query.rows;
}

static void ask_warm(struct bench *b)
{
    double warm, ram;

    struct cold_terms terms = {.newer = NULL};
    struct opened o = {0};
    struct err err = {0};
    uint64_t bytes;

    open_set(b, (uint64_t)b->base.rows * (4096 + 2 * b->base.dim), &o);
    must(cold_set_warm(o.set, &terms, &bytes, &err), &err);
    (void)ask_all(b, o.set, "warm, first told", 0, WITH_REST);
    (void)ask_all(b, o.set, "warm, told", 0, WITH_REST);
    (void)ask_ram(b, RAM_BEST);
    warm = ask_all(b, o.set, "warm", 0, 0);
    ram = ask_ram(b, RAM_BEST);
    (void)printf("\nfully cached / the same index in RAM: %.2f (CPU time)\n", warm / ram);
    close_set(&o);
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
            "[--segments N] [--profile none|lan|s3] [--what \"cold codes warm\"]");
    must(npy_read(argv[1], number(argc, argv, "--rows", "0"), &b->base, &err), &err);
    must(npy_read(argv[2], number(argc, argv, "--queries", "300"), &b->query, &err), &err);
    if (b->base.dim != b->query.dim || b->base.rows < TOP_K)
        die("the two files do not belong together");
    if (metric == VMETRIC_COSINE) {
        normalise(&b->base);
        normalise(&b->query);
    }
    b->segments = number(argc, argv, "--segments", "1");
    if (b->segments < 1 || b->segments > SEGMENTS_MAX)
        die("--segments: from 1 to 16");
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
    const char *what = text(argc, argv, "--what", "cold codes warm");

    begin(&b, argc, argv);
    (void)printf("| how | recall@10 | GETs, most | MB, most | waves | codes | P50 / P99 ms | CPU "
                 "ms |\n|---|---|---|---|---|---|---|---|\n");
    if (strstr(what, "cold") != NULL)
        ask_cold(&b);
    if (strstr(what, "codes") != NULL)
        ask_with_codes(&b);
    if (strstr(what, "warm") != NULL)
        ask_warm(&b);
    for (uint32_t s = 0; s < b.segments; s++) {
        cold_footer_free(&b.ram[s].footer);
        buf_free(&b.ram[s].bytes);
        free(b.ram[s].codes);
    }
    objstore_close(b.faults);
    objstore_memory_forget("bench");
    npy_free(&b.base);
    npy_free(&b.query);
    free(b.truth);
    free(b.ms);
    return 0;
}
