/* bench_cold_trace - which blocks of a cold segment queries ask for, one after the other: a trace
 * for cache_policies.py.
 *
 *   bench_cold_trace BASE cosine|dot|l2 OUT [--rows N] [--asks N] [--zipf PERCENT] [--seed N]
 *
 * A query is a row and noise of a tenth of its length; rows are drawn evenly, or by a Zipf law of
 * exponent PERCENT / 100 over rows in random order. Short codes and all rows fit into the cache,
 * so that what is asked for does not hang on what is there. A line is a block of rows: the query's
 * number, offset, bytes. Codes are not told: each query asks for nearly all. */
#include "bench/npy.h"

#include "base/mem.h"
#include "index/vindex.h"
#include "objstore/memory.h"
#include "tests/support/cold_make.h"
#include "tiering/cold_set.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TOP_K = 10 };
#define CACHE_BYTES ((uint64_t)8 << 30)

struct bench {
    struct npy base;
    struct catalog_field field;
    struct objstore *memory;
    struct rand_seeded rand;
    struct manifest manifest;
    uint8_t collection[16];
    double *upto; /* of the law, rising to 1; NULL: even */
    uint32_t *order;
    float *vector;
    FILE *out;
    uint64_t asked;
};

static void die(const char *what)
{
    (void)fprintf(stderr, "bench_cold_trace: %s\n", what);
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

static void seen(void *arg, const struct cache_want *want)
{
    const struct bench *b = arg;

    if (want->class == CACHE_ROWS && b->asked > 0) /* warming is no asking */
        (void)fprintf(b->out, "%" PRIu64 " %" PRIu64 " %" PRIu64 "\n", b->asked, want->offset,
                      want->bytes);
}

static void make_segment(struct bench *b)
{
    struct cold_make_row *rows = need(b->base.rows, sizeof *rows);
    struct cold_make make = {
        .fields = &b->field, .field_count = 1, .seed = 1, .rows = rows, .row_count = b->base.rows};
    struct manifest_cold named;
    struct err err = {0};
    struct buf bytes;

    for (uint32_t i = 0; i < b->base.rows; i++)
        rows[i] = (struct cold_make_row){.id = docid_u64(i),
                                         .lsn = 1 + i,
                                         .vectors = {b->base.values + (size_t)i * b->base.dim}};
    buf_init(&bytes, SIZE_MAX);
    must(cold_make_segment(&make, &bytes, &named, NULL, &err), &err);
    must(cold_make_put(b->memory, b->collection, named.object.uuid, buf_slice(&bytes), &err), &err);
    must(manifest_add_cold(&b->manifest, &named, &err), &err);
    buf_free(&bytes);
    free(rows);
}

static void make_law(struct bench *b, double exponent)
{
    uint32_t n = b->base.rows;
    double sum = 0;

    b->upto = need(n, sizeof *b->upto);
    b->order = need(n, sizeof *b->order);
    for (uint32_t i = 0; i < n; i++) {
        sum += 1 / pow(i + 1, exponent);
        b->upto[i] = sum;
        b->order[i] = i;
    }
    for (uint32_t i = 0; i < n; i++) {
        uint32_t k = i + (uint32_t)rand_below(&b->rand.source, n - i), held = b->order[i];

        b->upto[i] /= sum;
        b->order[i] = b->order[k];
        b->order[k] = held;
    }
}

static uint32_t draw_row(struct bench *b)
{
    double u = (double)(rand_u64(&b->rand.source) >> 11) / 9007199254740992.0;
    uint32_t low = 0, high = b->base.rows - 1;

    if (b->upto == NULL)
        return (uint32_t)rand_below(&b->rand.source, b->base.rows);
    while (low < high) {
        uint32_t mid = low + (high - low) / 2;

        if (b->upto[mid] < u)
            low = mid + 1;
        else
            high = mid;
    }
    return b->order[low];
}

static void draw_query(struct bench *b)
{
    const float *from = b->base.values + (size_t)draw_row(b) * b->base.dim;
    double norm = 0;

    for (uint32_t d = 0; d < b->base.dim; d++)
        norm += (double)from[d] * from[d];
    norm = 0.1 * sqrt(3 * norm / b->base.dim); /* uniform in [-1, 1] has a variance of a third */
    for (uint32_t d = 0; d < b->base.dim; d++)
        b->vector[d] =
            from[d] + (float)(norm * ((double)rand_below(&b->rand.source, 20001) / 10000.0 - 1));
    if (b->field.metric == VMETRIC_COSINE)
        (void)vindex_normalise(b->vector, b->base.dim);
}

static void ask_all(struct bench *b, uint64_t asks)
{
    struct cache_options options = {.store = b->memory,
                                    .clock = clock_real(),
                                    .rand = &b->rand.source,
                                    .bytes_max = CACHE_BYTES,
                                    .seen = seen,
                                    .seen_arg = b};
    struct cache_account account = {0};
    struct cold_set_options open = {.account = &account, .manifest = &b->manifest};
    struct cold_terms terms = {.newer = NULL};
    struct cold_set *set;
    struct arena arena;
    struct err err = {0};
    uint64_t warmed;

    memcpy(open.collection, b->collection, sizeof open.collection);
    must(cache_open(&options, &open.cache, &err), &err);
    must(cold_set_open(&open, &set, &err), &err);
    must(cold_set_warm(set, &terms, &warmed, &err), &err);
    arena_init(&arena, SIZE_MAX);
    for (b->asked = 1; b->asked <= asks; b->asked++) {
        struct cold_query query = {
            .field = b->field.id, .vector = b->vector, .limit = TOP_K, .recall = 0};
        struct cold_hit *hits;
        uint32_t count;
        bool partial;

        draw_query(b);
        must(cold_set_query(set, &query, &terms, &arena, &hits, &count, &partial, NULL, &err),
             &err);
        arena_reset(&arena);
    }
    arena_free(&arena);
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

static uint64_t number(int argc, char **argv, const char *name, const char *usual)
{
    return strtoull(text(argc, argv, name, usual), NULL, 10);
}

int main(int argc, char **argv)
{
    static struct bench b;
    enum vmetric metric;
    struct err err = {0};

    if (argc < 4 || !vmetric_parse(argv[2], &metric))
        die("usage: bench_cold_trace BASE cosine|dot|l2 OUT [--rows N] [--asks N] [--zipf "
            "PERCENT] [--seed N]");
    must(npy_read(argv[1], (uint32_t)number(argc, argv, "--rows", "0"), &b.base, &err), &err);
    for (uint32_t i = 0; metric == VMETRIC_COSINE && i < b.base.rows; i++)
        (void)vindex_normalise(b.base.values + (size_t)i * b.base.dim, b.base.dim);
    b.field = (struct catalog_field){.dim = b.base.dim, .metric = (uint8_t)metric};
    b.vector = need(b.base.dim, sizeof *b.vector);
    rand_seeded_init(&b.rand, number(argc, argv, "--seed", "7"));
    manifest_init(&b.manifest);
    b.manifest.schema.fields = &b.field;
    b.manifest.schema.field_count = 1;
    must(objstore_memory_open("bench", NULL, &b.memory, &err), &err);
    b.out = fopen(argv[3], "w");
    if (b.out == NULL)
        die("the trace cannot be written");
    make_segment(&b);
    if (number(argc, argv, "--zipf", "0") > 0)
        make_law(&b, (double)number(argc, argv, "--zipf", "0") / 100);
    ask_all(&b, number(argc, argv, "--asks", "20000"));
    if (fclose(b.out) != 0)
        die("the trace cannot be written");
    objstore_close(b.memory);
    objstore_memory_forget("bench");
    npy_free(&b.base);
    return 0;
}
