/* Filters on a cold segment, with and without payload indexes inside: what is read, and how long it
 * takes, for filters that let through 0.1, 1, 10 and 50 %. docs/decisions/cold-filters.md.
 * bench_cold_filter [rows [bytes of padding in a payload]] */
#include "base/json.h"
#include "base/mem.h"
#include "objstore/faults.h"
#include "objstore/memory.h"
#include "segment/cold_index.h"
#include "snapshot/fold_internal.h"
#include "tests/support/cold_make.h"
#include "tiering/cold_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { SPECS = 9, DIM = 64, QUERIES = 5 };
static const struct {
    const char *path;
    enum pindex_type type;
} INDEXED[SPECS] = {
    {"n", PINDEX_INTEGER},    {"even", PINDEX_BOOL},   {"word", PINDEX_KEYWORD},
    {"of", PINDEX_INTEGER},   {"price", PINDEX_FLOAT}, {"tags[]", PINDEX_KEYWORD},
    {"day", PINDEX_DATETIME}, {"at", PINDEX_GEO},      {"text", PINDEX_TEXT},
};
static const struct {
    const char *name, *filter;
} FILTERS[] = {
    {"0.1 %", "{\"must\":[{\"key\":\"price\",\"range\":{\"gte\":100,\"lt\":110}}]}"},
    {"1 %", "{\"must\":[{\"key\":\"of\",\"match\":{\"value\":7}}]}"},
    {"10 %", "{\"must\":[{\"key\":\"of\",\"range\":{\"lt\":10}}]}"},
    {"50 %", "{\"must\":[{\"key\":\"of\",\"range\":{\"lt\":50}}]}"},
};

struct world {
    struct objstore *store;
    struct cache *cache;
    struct rand_seeded rand;
    struct cache_account account;
    struct manifest manifest;
    uint8_t collection[16];
};
static struct catalog_field field = {
    .name = (char *)(uintptr_t) "", .dim = DIM, .metric = VMETRIC_L2};
static struct pindex_spec specs[SPECS];
static struct arena paths;
static struct cold_rows rows;

static void must(status st, const struct err *err)
{
    if (st == ST_OK)
        return;
    (void)fprintf(stderr, "%s: %s\n", status_name(st), err->text);
    exit(1);
}

static double now_ms(clockid_t clock)
{
    struct timespec t;

    (void)clock_gettime(clock, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static void world_open(struct world *w, const char *name, size_t indexes)
{
    struct cold_make make = {.fields = &field,
                             .field_count = 1,
                             .seed = 9,
                             .rows = rows.rows,
                             .row_count = rows.count,
                             .indexes = specs,
                             .index_count = indexes};
    struct cache_options options = {.clock = clock_real(), .bytes_max = 64 << 20};
    struct objstore *memory;
    struct manifest_cold named;
    struct err err = {0};
    struct buf bytes;

    memset(w, 0, sizeof *w);
    rand_seeded_init(&w->rand, 3);
    memcpy(make.collection, w->collection, sizeof make.collection);
    must(objstore_memory_open(name, NULL, &memory, &err), &err);
    objstore_memory_forget(name);
    must(objstore_faults_open(memory, 1, &w->store, &err), &err);
    manifest_init(&w->manifest);
    w->manifest.schema.fields = &field;
    w->manifest.schema.field_count = 1;
    buf_init(&bytes, SIZE_MAX);
    must(cold_make_segment(&make, &bytes, &named, NULL, &err), &err);
    must(cold_make_put(memory, w->collection, named.object.uuid, buf_slice(&bytes), &err), &err);
    must(manifest_add_cold(&w->manifest, &named, &err), &err);
    buf_free(&bytes);
    options.store = w->store;
    options.rand = &w->rand.source;
    must(cache_open(&options, &w->cache, &err), &err);
}

static struct cold_set *open_set(struct world *w)
{
    struct cold_set_options options = {
        .cache = w->cache, .account = &w->account, .manifest = &w->manifest};
    struct cold_set *set;
    struct err err = {0};

    must(cold_set_open(&options, &set, &err), &err);
    return set;
}

static void say_sizes(struct world *w)
{
    struct cold_set *set = open_set(w);
    const struct cold_footer *f = &set->members[0].segment->footer;

    (void)printf("payloads %.1f bytes a row; indexes:",
                 (double)f->payload_offsets[f->payload_blocks] / f->rows);
    for (uint16_t i = 0; i < f->indexes->count; i++) {
        const struct cold_index *x = &f->indexes->items[i];

        (void)printf(
            " %.*s %.2f", (int)x->path.bytes, (const char *)x->path.data,
            (double)(f->indexes->offsets[x->first + x->blocks] - f->indexes->offsets[x->first]) /
                f->rows);
    }
    (void)printf(" bytes a row; %u blocks\n", f->indexes->blocks);
    cold_set_drop(set);
}

static status count_row(void *arg, const struct cold_row *row, struct err *err)
{
    (void)row;
    (void)err;
    ++*(uint64_t *)arg;
    return ST_OK;
}

struct measured {
    double ms;
    struct cold_stats stats;
    uint64_t rows;
};

static struct measured measure(struct world *w, const struct filter *filter, bool query)
{
    struct measured best = {.ms = 1e12};

    for (int i = 0; i < QUERIES; i++) {
        const struct cold_terms terms = {.newer = NULL};
        const struct cold_query q = {
            .vector = rows.rows[i].vectors[0], .limit = 10, .filter = filter};
        struct cold_set *set = open_set(w);
        struct measured m = {.rows = 0};
        struct cold_hit *hits;
        struct arena arena;
        struct err err = {0};
        uint32_t count = 0;
        bool partial;
        double from;

        (void)cold_set_unload(set);
        arena_init(&arena, SIZE_MAX);
        from = now_ms(CLOCK_MONOTONIC);
        if (query)
            must(cold_set_query(set, &q, &terms, &arena, &hits, &count, &partial, &m.stats, &err),
                 &err);
        else
            must(cold_set_each(set, filter, 0, 0, &terms, count_row, &m.rows, &m.stats, &err),
                 &err);
        m.ms = now_ms(CLOCK_MONOTONIC) - from;
        if (m.ms < best.ms)
            best = m;
        arena_free(&arena);
        cold_set_drop(set);
    }
    return best;
}

static void say(struct world *without, struct world *with)
{
    for (size_t i = 0; i < COUNT_OF(FILTERS); i++) {
        struct filter *filter;
        struct jdoc *json;
        struct jval root;
        struct arena arena;
        struct err err = {0};

        arena_init(&arena, SIZE_MAX);
        must(jdoc_create(&json, &err), &err);
        must(jdoc_parse(json, slice_text(FILTERS[i].filter), &root, &err), &err);
        must(filter_parse_qdrant(root, false, &arena, &filter, &err), &err);
        must(filter_bind(filter, &(struct filter_binding){.arg = NULL}, &arena, &err), &err);
        for (int query = 0; query < 2; query++)
            for (int indexed = 0; indexed < 2; indexed++) {
                struct measured m = measure(indexed ? with : without, filter, query);

                (void)printf("| %s | %s | %s | %u | %.2f | %.1f |\n", FILTERS[i].name,
                             query ? "query" : "rows", indexed ? "yes" : "no", m.stats.gets,
                             (double)m.stats.bytes / 1e6, m.ms);
            }
        arena_free(&arena);
        jdoc_destroy(json);
    }
}

/* What a fold does for them beside everything else. */
static void say_fold(void)
{
    const struct pindex_spec *s = specs;
    double from = now_ms(CLOCK_PROCESS_CPUTIME_ID);
    struct fold_index *x;
    struct err err = {0};

    must(fold_index_open(fs_real(), "/tmp", s, SPECS, 0, &x, &err), &err);
    for (uint32_t i = 0; i < rows.count; i++)
        must(fold_index_row(x, i, rows.rows[i].payload, &err), &err);
    (void)printf("fold: %.2f s of CPU to gather and sort\n",
                 (now_ms(CLOCK_PROCESS_CPUTIME_ID) - from) / 1e3);
    fold_index_close(x);
}

int main(int argc, char **argv)
{
    struct cold_rows_options draw = {.fields = &field,
                                     .field_count = 1,
                                     .count = argc > 1 ? (uint32_t)atol(argv[1]) : 100000,
                                     .seed = 5,
                                     .first_lsn = 1,
                                     .first_id = 1000,
                                     .rich = argc > 2 ? (uint32_t)atol(argv[2]) : 300};
    struct world without, with;
    struct err err = {0};

    arena_init(&paths, SIZE_MAX);
    for (size_t i = 0; i < SPECS; i++) {
        specs[i].type = INDEXED[i].type;
        must(path_parse(slice_text(INDEXED[i].path), &paths, &specs[i].path, &err), &err);
    }
    must(cold_rows_make(&draw, &rows, &err), &err);
    say_fold();
    world_open(&without, "without", 0);
    world_open(&with, "with", SPECS);
    say_sizes(&with);
    for (int slow = 0; slow < 2; slow++) {
        (void)printf("\n%s\n", slow ? "latencies of s3" : "a store in memory");
        if (slow) {
            objstore_faults_profile(without.store, OBJSTORE_PROFILE_S3);
            objstore_faults_profile(with.store, OBJSTORE_PROFILE_S3);
        }
        say(&without, &with);
    }
    return 0;
}
