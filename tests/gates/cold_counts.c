/* cold_counts - real rows through the real fold into a bucket in memory, and queries over the cold
 * set of it: what the store is asked for, counted at the store, what is found, what stays resident.
 *
 *   cold_counts BASE.npy QUERY.npy cosine|dot|l2 SCRATCH_DIRECTORY [name=value...]
 *
 * Each gate is one line; one that is missed ends it with 1. Values are those of issue 7's list, or
 * narrower ones of a set that allows them. No gate is a time. */
#include "bench/npy.h"

#include "base/mem.h"
#include "index/cells.h"
#include "index/codes.h"
#include "index/rabitq.h"
#include "index/vindex.h"
#include "objstore/memory.h"
#include "tests/support/cold_fold.h"
#include "tiering/cold_set.h"

#include <inttypes.h>
#include <malloc.h>
#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TOP_K = 10, SETTLES = 64 };

/* --- a store that counts --- */
struct counted {
    struct objstore store;
    struct objstore *inner;
    _Atomic uint64_t ops[OBJSTORE_OPS], bytes;
};

static void submit(struct objstore *s, struct objstore_req *req)
{
    struct counted *c = (struct counted *)(void *)s;

    atomic_fetch_add(&c->ops[req->op], 1);
    if (req->op == OBJSTORE_GET)
        atomic_fetch_add(&c->bytes, req->range_bytes);
    objstore_submit(c->inner, req);
}

static void cancel(struct objstore *s, struct objstore_req *req)
{
    objstore_cancel(((struct counted *)(void *)s)->inner, req);
}

static void close_nothing(struct objstore *s)
{
    (void)s;
}

/* --- the gates --- */
static bool missed;

static void gate(bool holds, const char *what, double is, const char *than, double wanted)
{
    (void)printf("%s  %-44s %8.4g, %s %.4g\n", holds ? "holds " : "MISSED", what, is, than, wanted);
    missed = missed || !holds;
}

static void at_most(const char *what, double is, double most)
{
    gate(is <= most, what, is, "at most", most);
}

static void at_least(const char *what, double is, double least)
{
    gate(is >= least, what, is, "at least", least);
}

struct gates {
    struct npy base, query;
    struct catalog_field field;
    struct counted counted;
    struct rand_seeded rand;
    struct manifest manifest;
    uint8_t collection[16];
    uint32_t *truth;
    struct cache *cache;
    struct cache_account account;
    struct cold_set *set;
};

static void die(const char *what)
{
    (void)fprintf(stderr, "cold_counts: %s\n", what);
    exit(2);
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

/* --- what is true --- */
static void truth_put(float *keys, uint32_t *rows, float key, uint32_t row)
{
    uint32_t at;

    for (at = TOP_K - 1; at > 0 && key < keys[at - 1]; at--) {
        keys[at] = keys[at - 1];
        rows[at] = rows[at - 1];
    }
    keys[at] = key;
    rows[at] = row;
}

static void truth_make(struct gates *g)
{
    struct code_shape shape = code_shape(g->field.metric, g->base.dim);
    float *best = need((size_t)g->query.rows * TOP_K, sizeof *best);

    g->truth = need((size_t)g->query.rows * TOP_K, sizeof *g->truth);
    for (uint32_t i = 0; i < g->query.rows * TOP_K; i++)
        best[i] = INFINITY;
    for (uint32_t i = 0; i < g->base.rows; i++)
        for (uint32_t q = 0; q < g->query.rows; q++) {
            float key = full_key(&shape, kernels_get(), g->query.values + (size_t)q * g->base.dim,
                                 g->base.values + (size_t)i * g->base.dim);

            if (key < best[(size_t)q * TOP_K + TOP_K - 1])
                truth_put(best + (size_t)q * TOP_K, g->truth + (size_t)q * TOP_K, key, i);
        }
    free(best);
}

static uint32_t right_of(const struct gates *g, uint32_t q, const struct cold_hit *hits,
                         uint32_t count)
{
    uint32_t right = 0;

    for (uint32_t i = 0; i < count; i++)
        for (uint32_t k = 0; k < TOP_K; k++)
            right += hits[i].id.u64 == g->truth[(size_t)q * TOP_K + k];
    return right;
}

/* --- opening --- */
static size_t heap_bytes(void)
{
    struct mallinfo2 m = mallinfo2();

    return m.uordblks + m.hblkhd;
}

static void open_set(struct gates *g, uint64_t cache_bytes)
{
    struct cache_options options = {.store = &g->counted.store,
                                    .clock = clock_real(),
                                    .rand = &g->rand.source,
                                    .bytes_max = cache_bytes};
    struct cold_set_options open = {.account = &g->account, .manifest = &g->manifest};
    struct err err = {0};

    g->account = (struct cache_account){0};
    memcpy(open.collection, g->collection, sizeof open.collection);
    must(cache_open(&options, &g->cache, &err), &err);
    open.cache = g->cache;
    must(cold_set_open(&open, &g->set, &err), &err);
}

static void close_set(struct gates *g)
{
    cold_set_drop(g->set);
    cache_close(g->cache);
}

/* What a set that is opened costs: as the cache counts it, and as malloc does. */
static void resident(struct gates *g)
{
    struct cache_options options = {.store = &g->counted.store,
                                    .clock = clock_real(),
                                    .rand = &g->rand.source,
                                    .bytes_max = 64 << 20};
    struct cache_status empty, full;
    struct cache *cache;
    struct err err = {0};
    double rows = g->base.rows, heap;

    must(cache_open(&options, &cache, &err), &err);
    cache_status(cache, &empty);
    cache_close(cache);
    open_set(g, 64 << 20); /* what is made once is there */
    close_set(g);
    heap = -(double)heap_bytes();
    open_set(g, 64 << 20);
    heap += (double)heap_bytes() - (double)empty.bytes;
    cache_status(g->cache, &full);
    at_most("bytes a row after open, by the cache", (double)(full.bytes - empty.bytes) / rows, 6);
    at_most("bytes a row after open, by malloc", heap / rows, 6);
    close_set(g);
}

/* --- asking --- */
struct asked {
    const char *what;
    bool codes;  /* that they are resident is part of what is asked for */
    bool unload; /* before each query */
    float recall;
    double gets_max, bytes_max, recall_min;
};

struct seen {
    double gets, bytes, gets_max, bytes_max, untold, others;
    uint32_t right, waves, resident;
};

static uint64_t all_requests(const struct gates *g)
{
    uint64_t all = 0;

    for (int op = 0; op < OBJSTORE_OPS; op++)
        all += g->counted.ops[op];
    return all;
}

/* Nothing but footers is there, or codes alone: they come along with a query that is asked again
 * and again, whose rows are too many to be kept. */
static void make_cold(struct gates *g, const struct asked *a)
{
    struct cold_query settle = {.field = g->field.id, .vector = g->query.values, .limit = TOP_K};
    struct cold_stats stats = {0};
    struct cold_hit *hits;
    struct arena arena;
    struct err err = {0};
    uint32_t count;
    bool partial;

    if (a->unload)
        (void)cold_set_unload(g->set);
    arena_init(&arena, SIZE_MAX);
    for (int i = 0; a->codes && i < SETTLES && !stats.codes_resident; i++)
        must(cold_set_query(g->set, &settle, &(struct cold_terms){0}, &arena, &hits, &count,
                            &partial, &stats, &err),
             &err);
    arena_free(&arena);
}

static void ask_one(struct gates *g, const struct asked *a, uint32_t q, struct seen *s,
                    struct arena *arena)
{
    struct cold_terms terms = {.newer = NULL};
    struct cold_query query = {.field = g->field.id,
                               .vector = g->query.values + (size_t)q * g->base.dim,
                               .limit = TOP_K,
                               .recall = a->recall};
    struct cold_stats stats = {0};
    struct cold_hit *hits;
    struct err err = {0};
    uint64_t gets, hedges, all;
    uint32_t count;
    bool partial;

    make_cold(g, a);
    gets = g->counted.ops[OBJSTORE_GET];
    hedges = g->account.hedges;
    all = all_requests(g);
    must(cold_set_query(g->set, &query, &terms, arena, &hits, &count, &partial, &stats, &err),
         &err);
    if (partial)
        die("a partial answer of a store that answers");
    s->right += right_of(g, q, hits, count);
    s->gets += stats.gets;
    s->bytes += (double)stats.bytes;
    s->gets_max = stats.gets > s->gets_max ? stats.gets : s->gets_max;
    s->bytes_max = (double)stats.bytes > s->bytes_max ? (double)stats.bytes : s->bytes_max;
    s->waves = stats.waves > s->waves ? stats.waves : s->waves;
    s->resident += stats.codes_resident;
    gets = g->counted.ops[OBJSTORE_GET] - gets;
    hedges = g->account.hedges - hedges;
    s->untold += fabs((double)gets - (double)hedges - stats.gets);
    s->others += (double)(all_requests(g) - all - gets);
    arena_reset(arena);
}

/* The first query is the one that settles. */
static void ask_all(struct gates *g, const struct asked *a)
{
    struct seen s = {0};
    struct arena arena;
    uint32_t step = a->codes ? 2 : 1; /* half as many where each is begun anew with codes */
    double n = 0;

    arena_init(&arena, SIZE_MAX);
    for (uint32_t q = 1; q < g->query.rows; q += step, n++)
        ask_one(g, a, q, &s, &arena);
    arena_free(&arena);
    (void)printf("%s: GETs %.1f, at most %.0f; MB %.3f, at most %.3f\n", a->what, s.gets / n,
                 s.gets_max, s.bytes / n / 1e6, s.bytes_max / 1e6);
    at_least("recall@10", s.right / n / TOP_K, a->recall_min);
    at_most("GETs of the query that has most", s.gets_max, a->gets_max);
    at_most("bytes of the query that has most", s.bytes_max, a->bytes_max);
    at_most("waves", s.waves, 1);
    at_most("GETs at the store but those told, and hedges", s.untold, 0);
    at_most("requests but GETs", s.others, 0);
    if (a->codes)
        at_least("queries with codes resident", s.resident, n);
}

/* --- beginning --- */
static double option(int argc, char **argv, const char *name, double usual)
{
    size_t length = strlen(name);

    for (int i = 5; i < argc; i++)
        if (strncmp(argv[i], name, length) == 0 && argv[i][length] == '=')
            return strtod(argv[i] + length + 1, NULL);
    return usual;
}

static void normalise(struct npy *n)
{
    for (uint32_t i = 0; i < n->rows; i++)
        (void)vindex_normalise(n->values + (size_t)i * n->dim, n->dim);
}

static void begin(struct gates *g, int argc, char **argv)
{
    static const struct objstore_ops ops = {
        .submit = submit, .cancel = cancel, .close = close_nothing};
    struct cold_fold fold = {.field = &g->field, .scratch_dir = argc > 4 ? argv[4] : NULL};
    struct fold_report report;
    enum vmetric metric;
    struct err err = {0};

    if (argc < 5 || !vmetric_parse(argv[3], &metric))
        die("cold_counts BASE QUERY cosine|dot|l2 SCRATCH_DIRECTORY [name=value...]");
    must(npy_read(argv[1], (uint32_t)option(argc, argv, "rows", 0), &g->base, &err), &err);
    must(npy_read(argv[2], (uint32_t)option(argc, argv, "queries", 200), &g->query, &err), &err);
    if (g->base.dim != g->query.dim || g->base.rows < TOP_K)
        die("the two files do not belong together");
    if (metric == VMETRIC_COSINE) {
        normalise(&g->base);
        normalise(&g->query);
    }
    g->field = (struct catalog_field){.name = (char[]){""},
                                      .dim = g->base.dim,
                                      .metric = (uint8_t)metric,
                                      .m = 16,
                                      .ef_construction = 200,
                                      .ef_search = 100,
                                      .threshold = 1000,
                                      .quantization = QUANTIZATION_SCALAR};
    rand_seeded_init(&g->rand, (uint64_t)option(argc, argv, "seed", 7));
    must(objstore_memory_open("gates", NULL, &g->counted.inner, &err), &err);
    g->counted.store.ops = &ops;
    fold.store = &g->counted.store;
    fold.values = g->base.values;
    fold.rows = g->base.rows;
    fold.seed = (uint64_t)option(argc, argv, "seed", 7);
    uuid_make_v4(&g->rand.source, g->collection);
    memcpy(fold.collection, g->collection, sizeof fold.collection);
    must(cold_fold_run(&fold, &g->manifest, &report, &err), &err);
    (void)printf("%" PRIu32 " x %" PRIu32 " folded, %" PRIu32 " queries\n", g->base.rows,
                 g->base.dim, g->query.rows);
    at_most("HEADs and LISTs of the fold",
            (double)(g->counted.ops[OBJSTORE_HEAD] + g->counted.ops[OBJSTORE_LIST]), 0);
    truth_make(g);
}

static uint64_t codes_bytes(const struct gates *g)
{
    struct rabitq_shape shape = {g->base.dim, cells_short_bits(g->base.dim)};

    return (uint64_t)g->base.rows * rabitq_code_bytes(shape);
}

static void judge(struct gates *g, const struct asked *a, uint64_t room_for_codes)
{
    open_set(g, 3 * g->manifest.colds[0].footer_bytes + (1 << 20) + room_for_codes);
    ask_all(g, a);
    close_set(g);
}

int main(int argc, char **argv)
{
    static struct gates g;
    struct asked footers = {.what = "footers only", .gets_max = 32, .bytes_max = 10e6},
                 along = {.what = "cold, codes come along",
                          .unload = true,
                          .gets_max = 32,
                          .bytes_max = 10e6},
                 codes = {.what = "codes resident, rows cold",
                          .unload = true,
                          .codes = true,
                          .gets_max = 16,
                          .bytes_max = 1e6};

    begin(&g, argc, argv);
    footers.recall_min = option(argc, argv, "footers", 0.95);
    along.recall_min = footers.recall_min;
    codes.recall_min = option(argc, argv, "codes", 0.95);
    resident(&g);
    judge(&g, &footers, 0);
    judge(&g, &along, 5 * codes_bytes(&g));
    judge(&g, &codes, 5 * codes_bytes(&g));
    manifest_free(&g.manifest);
    objstore_close(g.counted.inner);
    objstore_memory_forget("gates");
    npy_free(&g.base);
    npy_free(&g.query);
    free(g.truth);
    return missed ? 1 : 0;
}
