/* bench_curves - what filters and churn do to the graph: recall and time beside the query without a
 * filter, beside the scan, and beside a fresh build.
 *
 *     bench_curves filter BASE.npy QUERY.npy l2|cosine|dot [rows] [queries]
 *     bench_curves churn  BASE.npy QUERY.npy l2|cosine|dot [rows] [queries]
 *
 * filter: the rows that match are random ones, the nearest to the query, or the farthest from it;
 * each share of rows with ef 100 and k 10, one thread, a query's time is the best of three.
 * churn: ten rounds, each of which gives half of the ids the vector of a random other row and
 * repairs; the rows of the file are twice those of the index. m 16, ef_construction 200. */
#include "base/clock.h"
#include "base/lock.h"
#include "bench/npy.h"
#include "tests/unit/index/vrows.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { K = 10, EF = 100, LINKERS = 2, ROUNDS = 10, REPEATS = 3 };

static void die(const char *what)
{
    fprintf(stderr, "bench_curves: %s\n", what);
    exit(1);
}

static void *must_alloc(size_t bytes)
{
    void *p = calloc(1, bytes);

    if (p == NULL)
        die("memory");
    return p;
}

static double now_us(void)
{
    return (double)clock_mono_ns(clock_real()) / 1e3;
}

static void link_some(void *arg)
{
    while (vindex_link(arg, 256) > 0)
        ;
}

static void link_all(struct vrows *r)
{
    struct thread threads[LINKERS] = {0};
    struct err err;

    while (vindex_to_link(r->index) > 0) {
        for (int i = 0; i < LINKERS; i++)
            if (thread_start(&threads[i], "link", THREAD_NORMAL, link_some, r->index, &err) !=
                ST_OK)
                die(err.text);
        for (int i = 0; i < LINKERS; i++)
            thread_join(&threads[i]);
    }
}

struct set {
    struct npy base, query;
    enum vmetric metric;
};

static void set_open(struct set *s, char **argv, uint32_t rows, uint32_t queries)
{
    struct err err;

    if (!vmetric_parse(argv[4], &s->metric))
        die("no such metric");
    if (npy_read(argv[2], rows, &s->base, &err) != ST_OK ||
        npy_read(argv[3], queries, &s->query, &err) != ST_OK)
        die(err.text);
    for (uint32_t i = 0; s->metric == VMETRIC_COSINE && i < s->base.rows; i++)
        (void)vindex_normalise(s->base.values + (size_t)i * s->base.dim, s->base.dim);
    for (uint32_t i = 0; s->metric == VMETRIC_COSINE && i < s->query.rows; i++)
        (void)vindex_normalise(s->query.values + (size_t)i * s->base.dim, s->base.dim);
}

static const float *row_of(const struct set *s, uint32_t i)
{
    return s->base.values + (size_t)i * s->base.dim;
}

static void index_open(struct vrows *r, const struct set *s)
{
    struct vindex_options o = {.dim = s->base.dim,
                               .metric = s->metric,
                               .m = 16,
                               .ef_construction = 200,
                               .ef_search = EF,
                               .threshold = 0,
                               .seed = 1};

    vrows_init(r, o, 1, 1);
}

struct ranked {
    float key;
    uint32_t slot;
};

static int by_key(const void *a, const void *b)
{
    const struct ranked *x = a, *y = b;

    if (x->key != y->key)
        return x->key < y->key ? -1 : 1;
    return (x->slot > y->slot) - (x->slot < y->slot);
}

/* All slots of the index, nearest first. */
static void rank(const struct vrows *r, const float *query, struct ranked *out, uint32_t rows)
{
    for (uint32_t i = 0; i < rows; i++)
        out[i] = (struct ranked){.key = vindex_distance(r->index, query, i), .slot = i};
    qsort(out, rows, sizeof *out, by_key);
}

struct cell { /* of the table */
    double us, exact_us, found, wanted, graph, short_of;
};

static double timed(struct vrows *r, const struct vsearch *s, struct vhit *hits, uint32_t *count,
                    struct vsearch_stats *stats)
{
    double best = 1e18;
    struct err err;

    for (int i = 0; i < REPEATS; i++) {
        struct epoch_guard guard = epoch_enter(r->epoch);
        double begun = now_us(), spent;

        if (vindex_search(r->index, r->scratch, s, hits, count, stats, &err) != ST_OK)
            die(err.text);
        spent = now_us() - begun;
        best = spent < best ? spent : best;
        epoch_leave(r->epoch, guard);
    }
    return best;
}

static bool allowed(const uint64_t *allow, uint32_t slot)
{
    return (allow[slot >> 6] >> (slot & 63) & 1) != 0;
}

static void measure(struct vrows *r, const float *query, const struct ranked *order, uint32_t rows,
                    const uint64_t *allow, struct cell *c)
{
    struct vsearch s = {.query = query, .k = K, .ef = EF, .allow = allow, .allow_slots = rows};
    struct vsearch_stats stats;
    struct vhit hits[K], exact[K];
    uint32_t count, exact_count, wanted = 0;

    c->us += timed(r, &s, hits, &count, &stats);
    c->graph += stats.used_graph;
    s.exact = true;
    c->exact_us += timed(r, &s, exact, &exact_count, &stats);
    for (uint32_t i = 0; i < rows && wanted < K; i++) {
        if (!allowed(allow, order[i].slot))
            continue;
        wanted++;
        for (uint32_t k = 0; k < count; k++)
            c->found += hits[k].slot == order[i].slot;
    }
    c->wanted += wanted;
    c->short_of += count < wanted;
}

enum way { AT_RANDOM, NEAREST, FARTHEST, WAYS };

static void choose(enum way way, uint32_t some, uint32_t rows, const struct ranked *order,
                   const uint32_t *shuffled, uint64_t *allow)
{
    memset(allow, 0, (rows + 63) / 64 * sizeof *allow);
    for (uint32_t i = 0; i < some; i++) {
        uint32_t slot = way == AT_RANDOM ? shuffled[i]
                        : way == NEAREST ? order[i].slot
                                         : order[rows - 1 - i].slot;

        allow[slot >> 6] |= (uint64_t)1 << (slot & 63);
    }
}

static void filter_curves(const struct set *s)
{
    static const double shares[] = {0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 0.5, 0.9, 0.99, 1};
    static const char *const names[] = {"random", "nearest", "farthest"};
    struct cell cells[WAYS][COUNT_OF(shares)] = {0};
    uint32_t rows = s->base.rows;
    uint64_t *allow = must_alloc((rows + 63) / 64 * sizeof *allow);
    uint32_t *shuffled = must_alloc(rows * sizeof *shuffled);
    struct ranked *order = must_alloc(rows * sizeof *order);
    struct vrows r;

    index_open(&r, s);
    for (uint32_t i = 0; i < rows; i++)
        shuffled[vrows_put(&r, i, row_of(s, i))] = i;
    link_all(&r);
    for (uint32_t i = rows; i > 1; i--) {
        uint32_t j = (uint32_t)(vrows_random(&r) % i), x = shuffled[i - 1];

        shuffled[i - 1] = shuffled[j];
        shuffled[j] = x;
    }
    for (uint32_t q = 0; q < s->query.rows; q++) {
        const float *query = s->query.values + (size_t)q * s->base.dim;

        rank(&r, query, order, rows);
        for (int way = 0; way < WAYS; way++)
            for (size_t i = 0; i < COUNT_OF(shares); i++) {
                choose((enum way)way, (uint32_t)(shares[i] * rows), rows, order, shuffled, allow);
                measure(&r, query, order, rows, allow, &cells[way][i]);
            }
    }
    printf("| rows that match | %% | recall@10 | us | of that without a filter | us of the exact "
           "scan | by the graph | short |\n|---|---|---|---|---|---|---|---|\n");
    for (int way = 0; way < WAYS; way++)
        for (size_t i = 0; i < COUNT_OF(shares); i++) {
            const struct cell *c = &cells[way][i];
            double n = s->query.rows, whole = cells[0][COUNT_OF(shares) - 1].us;

            printf("| %s | %g | %.4f | %.0f | %.2f | %.0f | %.0f %% | %.0f |\n", names[way],
                   shares[i] * 100, c->found / c->wanted, c->us / n, c->us / whole, c->exact_us / n,
                   100 * c->graph / n, c->short_of);
        }
    vrows_fini(&r);
    free(allow);
    free(shuffled);
    free(order);
}

static double recall(struct vrows *r, const struct set *s, uint32_t ef, double *us)
{
    double found = 0;

    *us = 0;
    for (uint32_t q = 0; q < s->query.rows; q++) {
        struct vsearch v = {
            .query = s->query.values + (size_t)q * s->base.dim, .k = K, .ef = ef, .exact = true};
        struct vhit want[K], got[K];
        struct vsearch_stats stats;
        uint32_t wanted, count;

        (void)timed(r, &v, want, &wanted, &stats);
        v.exact = false;
        *us += timed(r, &v, got, &count, &stats) / s->query.rows;
        for (uint32_t i = 0; i < wanted; i++)
            for (uint32_t j = 0; j < count; j++)
                found += want[i].slot == got[j].slot;
    }
    return found / K / s->query.rows;
}

static void print_round(struct vrows *r, const struct set *s, const char *what, uint32_t round)
{
    static const uint32_t efs[] = {16, 48, 100};
    struct vindex_check check;
    struct err err;

    if (vindex_check(r->index, &check, &err) != ST_OK)
        die(err.text);
    printf("| %s %u |", what, round);
    for (size_t i = 0; i < COUNT_OF(efs); i++) {
        double us, found = recall(r, s, efs[i], &us);

        printf(" %.4f | %.0f |", found, us);
    }
    printf(" %u |\n", check.unreachable_live);
    (void)fflush(stdout);
}

/* A fresh index of the rows that the ids have now. */
static void print_fresh(const struct set *s, const uint32_t *has, uint32_t ids, uint32_t round)
{
    struct vrows r;

    index_open(&r, s);
    for (uint32_t i = 0; i < ids; i++)
        (void)vrows_put(&r, i, row_of(s, has[i]));
    link_all(&r);
    print_round(&r, s, "built anew of round", round);
    vrows_fini(&r);
}

static void churn(const struct set *s)
{
    uint32_t ids = s->base.rows / 2;
    uint32_t *has = must_alloc(s->base.rows * sizeof *has); /* behind `ids`: rows nobody has */
    struct vrows r;

    index_open(&r, s);
    for (uint32_t i = 0; i < s->base.rows; i++)
        has[i] = i;
    for (uint32_t i = 0; i < ids; i++)
        (void)vrows_put(&r, i, row_of(s, has[i]));
    link_all(&r);
    printf("| | ef 16 | us | ef 48 | us | ef 100 | us | not reachable "
           "|\n|---|---|---|---|---|---|---|---|\n");
    print_round(&r, s, "round", 0);
    for (uint32_t round = 1; round <= ROUNDS; round++) {
        for (uint32_t n = 0; n < ids / 2; n++) {
            uint32_t id = (2 * n + round % 2) % ids;
            uint32_t other = ids + (uint32_t)(vrows_random(&r) % (s->base.rows - ids));
            uint32_t x = has[id];

            has[id] = has[other];
            has[other] = x;
            (void)vrows_put(&r, id, row_of(s, has[id]));
            if (n % 1024 == 1023)
                link_all(&r); /* beside the dead, as while it serves */
        }
        link_all(&r);
        vrows_repair(&r);
        print_round(&r, s, "round", round);
        if (round % 5 == 0)
            print_fresh(s, has, ids, round);
    }
    vrows_fini(&r);
    free(has);
}

int main(int argc, char **argv)
{
    uint32_t rows = argc > 5 ? (uint32_t)strtoul(argv[5], NULL, 10) : 0;
    uint32_t queries = argc > 6 ? (uint32_t)strtoul(argv[6], NULL, 10) : 200;
    struct set s = {0};

    if (argc < 5 || (strcmp(argv[1], "filter") != 0 && strcmp(argv[1], "churn") != 0))
        die("usage: bench_curves filter|churn BASE.npy QUERY.npy METRIC [rows] [queries]");
    set_open(&s, argv, rows, queries);
    printf("%u rows, %u queries, %u dimensions, %s, %s\n\n", s.base.rows, s.query.rows, s.base.dim,
           vmetric_name(s.metric), vindex_kernel());
    if (strcmp(argv[1], "filter") == 0)
        filter_curves(&s);
    else
        churn(&s);
    npy_free(&s.base);
    npy_free(&s.query);
    return 0;
}
