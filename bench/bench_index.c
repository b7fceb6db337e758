/* bench_index - builds an index from .npy files and prints build time, bytes a vector, and a table
 * of recall@10 against queries per second.
 *
 *   bench_index BASE QUERY cosine|dot|l2|l1 [--peer] [--threads N] [--rows N] [--queries N]
 *               [--m N] [--ef-construction N] [--passes N]
 *
 * With --peer hnswlib is built from the same rows with the same settings, both answer the same
 * queries in turns, pass by pass, and the ratio of their speeds at equal recall is printed
 * (interpolated between the neighbouring values of ef; the speed is the best pass of each).
 * Searching is on one thread, pinned to the first CPU there is. QPS is by that thread's CPU time,
 * so that a neighbour on the machine costs less truth; latencies are by the clock on the wall. */
#include "bench/ann_engine.h"
#include "bench/npy.h"

#include "index/codes.h"

#include <math.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { TOP_K = 10, EF_COUNT = 15, ENGINES_MAX = 2 };
static const uint32_t ef_of[EF_COUNT] = {10, 12, 16,  20,  24,  32,  40, 48,
                                         64, 80, 100, 128, 192, 256, 400};

struct options {
    const char *base, *query;
    struct ann_spec spec;
    unsigned threads, passes;
    uint32_t rows, queries;
    bool peer;
};
struct curve {
    const struct ann_engine *engine;
    void *index;
    double recall[EF_COUNT];
    double best_s[EF_COUNT]; /* for all queries */
    double p50_us[EF_COUNT], p99_us[EF_COUNT];
};

static double time_s(clockid_t which)
{
    struct timespec t;

    clock_gettime(which, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void die(const char *what)
{
    fprintf(stderr, "bench_index: %s\n", what);
    exit(1);
}

static void pin(bool one)
{
    static cpu_set_t all;
    cpu_set_t set;

    if (CPU_COUNT(&all) == 0)
        sched_getaffinity(0, sizeof(all), &all);
    set = all;
    if (one)
        for (size_t cpu = 0, seen = 0; cpu < CPU_SETSIZE; cpu++)
            if (CPU_ISSET(cpu, &set) && seen++ > 0)
                CPU_CLR(cpu, &set);
    sched_setaffinity(0, sizeof(set), &set);
}

static void options_parse(int argc, char **argv, struct options *o)
{
    *o = (struct options){.threads = 1, .passes = 3};
    o->spec.m = 16;
    o->spec.ef_construction = 200;
    if (argc < 4 || !vmetric_parse(argv[3], (enum vmetric *)&o->spec.metric))
        die("usage: bench_index BASE QUERY cosine|dot|l2|l1 [--peer] [--threads N] [--rows N] "
            "[--queries N] [--m N] [--ef-construction N] [--passes N]");
    o->base = argv[1];
    o->query = argv[2];
    for (int i = 4; i < argc; i++) {
        uint32_t value = i + 1 < argc ? (uint32_t)strtoul(argv[i + 1], NULL, 10) : 0;

        if (strcmp(argv[i], "--peer") == 0) {
            o->peer = true;
            continue;
        }
        if (value == 0)
            die("an option lacks its number");
        if (strcmp(argv[i], "--threads") == 0)
            o->threads = value;
        else if (strcmp(argv[i], "--rows") == 0)
            o->rows = value;
        else if (strcmp(argv[i], "--queries") == 0)
            o->queries = value;
        else if (strcmp(argv[i], "--m") == 0)
            o->spec.m = value;
        else if (strcmp(argv[i], "--ef-construction") == 0)
            o->spec.ef_construction = value;
        else if (strcmp(argv[i], "--passes") == 0)
            o->passes = value;
        else
            die("unknown option");
        i++;
    }
}

/* The exact TOP_K of each query, by full vectors. */
static uint32_t *truth_make(const struct ann_spec *spec, const struct npy *base,
                            const struct npy *query)
{
    struct code_shape shape = code_shape((enum vmetric)spec->metric, spec->dim);
    uint32_t *truth = malloc((size_t)query->rows * TOP_K * sizeof(*truth));

    if (truth == NULL)
        die("no memory");
    for (uint32_t q = 0; q < query->rows; q++) {
        float keys[TOP_K];
        uint32_t *best = truth + (size_t)q * TOP_K, count = 0;

        for (uint32_t i = 0; i < base->rows; i++) {
            float key = full_key(&shape, kernels_get(), query->values + (size_t)q * spec->dim,
                                 base->values + (size_t)i * spec->dim);
            uint32_t at;

            if (count == TOP_K && !(key < keys[TOP_K - 1]))
                continue;
            for (at = count < TOP_K ? count++ : TOP_K - 1; at > 0 && key < keys[at - 1]; at--) {
                keys[at] = keys[at - 1];
                best[at] = best[at - 1];
            }
            keys[at] = key;
            best[at] = i;
        }
    }
    return truth;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return x < y ? -1 : x > y;
}

static void one_pass(struct curve *c, uint32_t e, const struct npy *query, const uint32_t *truth)
{
    double *us = malloc(query->rows * sizeof(*us));
    double began = time_s(CLOCK_THREAD_CPUTIME_ID), took;
    uint64_t right = 0;
    uint32_t found[TOP_K];

    if (us == NULL)
        die("no memory");
    for (uint32_t q = 0; q < query->rows; q++) {
        double from = time_s(CLOCK_MONOTONIC);
        uint32_t count = c->engine->search(c->index, query->values + (size_t)q * query->dim, TOP_K,
                                           ef_of[e], found);

        us[q] = 1e6 * (time_s(CLOCK_MONOTONIC) - from);
        for (uint32_t i = 0; i < count; i++)
            for (uint32_t j = 0; j < TOP_K; j++)
                right += found[i] == truth[(size_t)q * TOP_K + j];
    }
    took = time_s(CLOCK_THREAD_CPUTIME_ID) - began;
    c->recall[e] = (double)right / TOP_K / query->rows;
    if (c->best_s[e] == 0 || took < c->best_s[e]) {
        c->best_s[e] = took;
        qsort(us, query->rows, sizeof(*us), by_value);
        c->p50_us[e] = us[query->rows / 2];
        c->p99_us[e] = us[query->rows * 99ul / 100];
    }
    free(us);
}

/* Queries per second at a recall; 0 if the curve does not reach it. */
static double speed_at(const struct curve *c, double recall, uint32_t queries)
{
    for (uint32_t e = 0; e < EF_COUNT; e++) {
        double here = queries / c->best_s[e], before, part;

        if (c->recall[e] < recall)
            continue;
        if (e == 0)
            return here;
        before = queries / c->best_s[e - 1];
        part = (recall - c->recall[e - 1]) / (c->recall[e] - c->recall[e - 1]);
        return exp(log(before) + part * (log(here) - log(before)));
    }
    return 0;
}

static void build(struct curve *c, const struct options *o, const struct npy *base)
{
    double from = time_s(CLOCK_MONOTONIC);

    pin(o->threads == 1);
    c->index = c->engine->build(&o->spec, base->values, o->threads);
    if (c->index == NULL)
        die("the index cannot be built");
    printf("%-8s built in %.1f s on %u thread(s), %.0f bytes a vector\n", c->engine->name,
           time_s(CLOCK_MONOTONIC) - from, o->threads, c->engine->bytes_per_row(c->index));
    fflush(stdout);
    pin(true);
}

static void print_curve(const struct curve *c, uint32_t queries)
{
    printf("%s\n    ef  recall@10       QPS    p50 us    p99 us\n", c->engine->name);
    for (uint32_t e = 0; e < EF_COUNT; e++)
        printf("%6u  %9.4f  %8.0f  %8.1f  %8.1f\n", ef_of[e], c->recall[e], queries / c->best_s[e],
               c->p50_us[e], c->p99_us[e]);
}

static void print_ratios(const struct curve *ours, const struct curve *peer, uint32_t queries)
{
    static const double recalls[] = {0.90, 0.95, 0.97, 0.99};

    for (size_t i = 0; i < COUNT_OF(recalls); i++) {
        double a = speed_at(ours, recalls[i], queries), b = speed_at(peer, recalls[i], queries);

        printf("at recall %.2f: %s %.0f QPS, %s %.0f QPS, ratio %.2f\n", recalls[i],
               ours->engine->name, a, peer->engine->name, b, b > 0 ? a / b : 0);
    }
}

static void normalise(struct npy *n)
{
    for (uint32_t i = 0; i < n->rows; i++)
        (void)vindex_normalise(n->values + (size_t)i * n->dim, n->dim);
}

static const struct ann_engine *peer_engine(void)
{
#if defined(HAVE_HNSWLIB)
    return &ann_hnswlib;
#else
    die("built without hnswlib: install libhnswlib-dev and configure again");
    return NULL;
#endif
}

int main(int argc, char **argv)
{
    struct curve curves[ENGINES_MAX] = {{.engine = &ann_tiervec}};
    struct npy base, query;
    struct options o;
    uint32_t engines = 1, *truth;
    struct err err;

    options_parse(argc, argv, &o);
    if (npy_read(o.base, o.rows, &base, &err) != ST_OK ||
        npy_read(o.query, o.queries, &query, &err) != ST_OK)
        die(err.text);
    if (base.dim != query.dim || base.rows < TOP_K)
        die("the two files do not belong together");
    if (o.spec.metric == ANN_COSINE) {
        normalise(&base);
        normalise(&query);
    }
    o.spec.dim = base.dim;
    o.spec.rows = base.rows;
    if (o.peer)
        curves[engines++].engine = peer_engine();
    printf("%u x %u, metric %s, %u queries, m %u, ef_construction %u, kernels %s\n", base.rows,
           base.dim, vmetric_name((enum vmetric)o.spec.metric), query.rows, o.spec.m,
           o.spec.ef_construction, vindex_kernel());
    truth = truth_make(&o.spec, &base, &query);
    for (uint32_t i = 0; i < engines; i++)
        build(&curves[i], &o, &base);
    for (uint32_t e = 0; e < EF_COUNT; e++)
        for (unsigned pass = 0; pass < o.passes; pass++)
            for (uint32_t i = 0; i < engines; i++)
                one_pass(&curves[i], e, &query, truth);
    for (uint32_t i = 0; i < engines; i++)
        print_curve(&curves[i], query.rows);
    if (o.peer)
        print_ratios(&curves[0], &curves[1], query.rows);
    for (uint32_t i = 0; i < engines; i++)
        curves[i].engine->destroy(curves[i].index);
    free(truth);
    npy_free(&base);
    npy_free(&query);
    return 0;
}
