/* bench_cold - a cold set over a bucket in memory that answers as slowly as one does (the lan and
 * s3 profiles of objstore/faults.h): opening, documents by id, pages, scans, queries, warming,
 * hits.
 *
 *   bench_cold [rows [dim [lan|s3|none|URL]]]
 *
 * A URL (objstore/open.h) is a store of its own, e.g. of `scripts/s3_servers run minio`: what it
 * names is written there.
 *
 * One segment of drawn rows, a payload of some 40 bytes. Times are wall times of one caller. */
#include "base/mem.h"
#include "index/vindex.h"
#include "objstore/faults.h"
#include "objstore/memory.h"
#include "objstore/open.h"
#include "tests/support/cold_make.h"
#include "tiering/cold_set.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { TRIES = 60, PAGE = 100, BATCH = 100, HITS = 2000 };

struct bench {
    struct objstore *memory, *faults;
    struct rand_seeded rand;
    struct cache *cache;
    struct cache_account account;
    struct manifest manifest;
    struct catalog_field field;
    struct cold_rows rows;
    uint8_t collection[16];
    struct cold_set *set;
    double ms[TRIES];
};

static void die(const char *what)
{
    (void)fprintf(stderr, "bench_cold: %s\n", what);
    exit(1);
}

static void must(status st, const struct err *err)
{
    if (st != ST_OK)
        die(err->text);
}

static double now_ms(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return x < y ? -1 : x > y;
}

static void report(struct bench *b, const char *what, unsigned tries, const struct cold_stats *s)
{
    qsort(b->ms, tries, sizeof b->ms[0], by_value);
    (void)printf("| %s | %.1f | %.1f | %.1f | %.3f | %.1f |\n", what, b->ms[tries / 2],
                 b->ms[tries - 1 - tries / 50], (double)s->gets / tries,
                 (double)s->bytes / 1e6 / tries, (double)s->waves / tries);
}

static void make_segment(struct bench *b, uint32_t rows, uint32_t dim)
{
    const struct cold_rows_options draw = {.fields = &b->field,
                                           .field_count = 1,
                                           .count = rows,
                                           .seed = 1,
                                           .first_lsn = 1,
                                           .first_id = 1};
    struct cold_make make = {.fields = &b->field, .field_count = 1, .seed = 1, .row_count = rows};
    struct manifest_cold named;
    struct buf bytes;
    struct err err = {0};
    double from = now_ms();

    b->field = (struct catalog_field){.dim = dim, .metric = VMETRIC_COSINE};
    must(cold_rows_make(&draw, &b->rows, &err), &err);
    make.rows = b->rows.rows;
    buf_init(&bytes, SIZE_MAX);
    must(cold_make_segment(&make, &bytes, &named, NULL, &err), &err);
    must(cold_make_put(b->memory, b->collection, named.object.uuid, buf_slice(&bytes), &err), &err);
    must(manifest_add_cold(&b->manifest, &named, &err), &err);
    (void)printf("%" PRIu32 " rows of %" PRIu32 ": %.1f MB, footer %.2f MB, made in %.1f s\n\n",
                 rows, dim, (double)bytes.bytes / 1e6, (double)named.footer_bytes / 1e6,
                 (now_ms() - from) / 1e3);
    buf_free(&bytes);
}

static void open_set(struct bench *b)
{
    struct cold_set_options options = {
        .cache = b->cache, .account = &b->account, .manifest = &b->manifest};
    struct cold_stats stats = {0};
    struct err err = {0};

    for (unsigned i = 0; i < 20; i++) {
        uint64_t gets = b->account.gets, bytes = b->account.get_bytes;
        double from = now_ms();

        must(cold_set_open(&options, &b->set, &err), &err);
        b->ms[i] = now_ms() - from;
        stats.gets += (uint32_t)(b->account.gets - gets);
        stats.bytes += b->account.get_bytes - bytes;
        stats.waves++;
        if (i < 19) {
            struct cold_set *set = b->set;

            cold_set_drop(set);
            (void)cache_forget(b->cache, b->manifest.colds[0].object.uuid);
        }
    }
    report(b, "open", 20, &stats);
}

static void get_some(struct bench *b, const char *what, size_t count, bool cold)
{
    struct cold_terms terms = {.newer = NULL};
    struct cold_row rows[BATCH];
    struct docid ids[BATCH];
    struct cold_stats stats = {0};
    struct err err = {0};
    struct arena arena;

    arena_init(&arena, SIZE_MAX);
    for (unsigned i = 0; i < TRIES; i++) {
        double from;

        for (size_t k = 0; k < count; k++)
            ids[k] = docid_u64(1 + rand_below(&b->rand.source, b->rows.count));
        if (cold)
            (void)cold_set_unload(b->set);
        from = now_ms();
        must(cold_set_get(b->set, ids, count, COLD_PAYLOAD, 1, &terms, &arena, rows, &stats, &err),
             &err);
        b->ms[i] = now_ms() - from;
        for (size_t k = 0; k < count; k++)
            if (!rows[k].found)
                die("a row is missing");
        arena_reset(&arena);
    }
    report(b, what, TRIES, &stats);
    arena_free(&arena);
}

static void page_some(struct bench *b)
{
    struct cold_terms terms = {.newer = NULL};
    struct cold_row rows[PAGE];
    struct cold_stats stats = {0};
    struct docid after = docid_u64(b->rows.count / 3);
    struct err err = {0};
    struct arena arena;
    uint32_t got;

    arena_init(&arena, SIZE_MAX);
    for (unsigned i = 0; i < TRIES; i++) {
        double from = now_ms();

        must(cold_set_page(b->set, &after, PAGE, &terms, &arena, rows, &got, &err), &err);
        must(cold_set_rows_at(b->set, rows, got, COLD_PAYLOAD, 0, &terms, &arena, &stats, &err),
             &err);
        b->ms[i] = now_ms() - from;
        after = docid_u64(rows[got - 1].id.u64);
        arena_reset(&arena);
    }
    report(b, "page of 100, payload (its ids beside)", TRIES, &stats);
    arena_free(&arena);
}

static status count_row(void *arg, const struct cold_row *row, struct err *err)
{
    (void)row;
    (void)err;
    ++*(uint64_t *)arg;
    return ST_OK;
}

static void scan(struct bench *b, const char *what, uint64_t vectors)
{
    struct cold_terms terms = {.newer = NULL};
    struct cold_stats stats = {0};
    struct err err = {0};
    uint64_t count = 0;
    double from = now_ms();

    must(
        cold_set_each(b->set, NULL, COLD_PAYLOAD, vectors, &terms, count_row, &count, &stats, &err),
        &err);
    b->ms[0] = now_ms() - from;
    if (count != b->rows.count)
        die("a row is missing");
    report(b, what, 1, &stats);
}

static void warm(struct bench *b)
{
    struct cold_terms terms = {.newer = NULL};
    struct cold_stats stats = {.waves = 1};
    struct err err = {0};
    uint64_t gets = b->account.gets, bytes = 0;
    double from = now_ms();

    must(cold_set_warm(b->set, &terms, &bytes, &err), &err);
    b->ms[0] = now_ms() - from;
    stats.gets = (uint32_t)(b->account.gets - gets);
    stats.bytes = bytes;
    report(b, "warm: codes and rows", 1, &stats);
}

static void query_some(struct bench *b, const char *what, bool cold)
{
    struct cold_terms terms = {.newer = NULL};
    struct cold_stats stats = {0};
    struct err err = {0};
    struct arena arena;

    arena_init(&arena, SIZE_MAX);
    for (unsigned i = 0; i < TRIES; i++) {
        const struct cold_query query = {
            .vector = b->rows.rows[rand_below(&b->rand.source, b->rows.count)].vectors[0],
            .limit = 10};
        struct cold_hit *hits = NULL;
        uint32_t count = 0;
        bool partial = false;
        double from;

        if (cold)
            (void)cold_set_unload(b->set);
        from = now_ms();
        must(cold_set_query(b->set, &query, &terms, &arena, &hits, &count, &partial, &stats, &err),
             &err);
        b->ms[i] = now_ms() - from;
        if (count != query.limit || partial)
            die("an answer is short");
        arena_reset(&arena);
    }
    report(b, what, TRIES, &stats);
    arena_free(&arena);
}

static void hit(struct bench *b)
{
    struct cold_terms terms = {.newer = NULL};
    struct docid id = docid_u64(7);
    struct err err = {0};
    uint64_t lsn;
    double from;

    must(cold_set_find(b->set, &id, 1, &terms, &lsn, &err), &err);
    from = now_ms();
    for (unsigned i = 0; i < HITS; i++)
        must(cold_set_find(b->set, &id, 1, &terms, &lsn, &err), &err);
    (void)printf("\nan id found in the cache: %.2f us\n", (now_ms() - from) * 1e3 / HITS);
}

int main(int argc, char **argv)
{
    static struct bench b;
    uint32_t rows = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 0) : 100000;
    uint32_t dim = argc > 2 ? (uint32_t)strtoul(argv[2], NULL, 0) : 384;
    const char *name = argc > 3 ? argv[3] : "s3";
    enum objstore_profile profile = strcmp(name, "lan") == 0  ? OBJSTORE_PROFILE_LAN
                                    : strcmp(name, "s3") == 0 ? OBJSTORE_PROFILE_S3
                                                              : OBJSTORE_PROFILE_NONE;
    struct cache_options options = {.clock = clock_real(), .bytes_max = UINT64_C(2) << 30};
    struct err err = {0};

    rand_seeded_init(&b.rand, 1);
    if (strchr(name, ':') != NULL) {
        must(objstore_open(&(struct objstore_options){.url = name}, &b.memory, &err), &err);
    } else {
        must(objstore_memory_open("bench", NULL, &b.memory, &err), &err);
        objstore_memory_forget("bench");
    }
    must(objstore_faults_open(b.memory, 1, &b.faults, &err), &err);
    manifest_init(&b.manifest);
    b.manifest.schema.fields = &b.field;
    b.manifest.schema.field_count = 1;
    make_segment(&b, rows, dim);
    objstore_faults_profile(b.faults, profile);
    options.store = b.faults;
    options.rand = &b.rand.source;
    must(cache_open(&options, &b.cache, &err), &err);
    (void)printf("| %s | P50 ms | P98 ms | GETs | MB | waves |\n|---|---|---|---|---|---|\n", name);
    open_set(&b);
    get_some(&b, "one by id, payload and vector", 1, true);
    get_some(&b, "100 by id, payload and vectors", BATCH, true);
    get_some(&b, "one by id again, cache as it is", 1, false);
    page_some(&b);
    scan(&b, "all, payload", 0);
    scan(&b, "all, payload and vectors", 1);
    query_some(&b, "query, nothing in the cache", true);
    query_some(&b, "query, cache as it is", false);
    warm(&b);
    query_some(&b, "query, warm", false);
    hit(&b);
    (void)printf("hedges: %" PRIu64 " of %" PRIu64 " GETs\n", b.account.hedges, b.account.gets);
    cold_set_drop(b.set);
    cache_close(b.cache);
    objstore_close(b.faults);
    cold_rows_free(&b.rows);
    b.manifest.schema.fields = NULL;
    b.manifest.schema.field_count = 0;
    manifest_free(&b.manifest);
    return 0;
}
