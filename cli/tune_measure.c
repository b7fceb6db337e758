/* An index over the sample for each m and quantization, asked with rising ef_search until more of
 * it brings nothing. */
#include "cli/tune.h"

#include "base/mem.h"
#include "cli/ann_bench.h"

#include <math.h>

enum { PASSES = 3, K = ANN_BENCH_K };

static const double RECALL_ENOUGH = 0.999;
static const uint16_t EFS[] = {10, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768};
static const uint16_t MS[] = {8, 16, 32};

struct measuring {
    struct tune_command *c;
    float *limits; /* per query: how far the last of its neighbours is; NULL: not known yet */
    uint32_t expected;
};

/* By distance: where rows are as far as each other, any of them is right. */
static status know_limits(struct measuring *m, struct ann_bench *b, struct err *err)
{
    const struct tune_sample *s = &m->c->sample;
    const int32_t *ids;
    size_t count;
    status st;

    m->expected = s->count < K ? s->count : K;
    m->limits = mem_alloc_array(s->query_count, sizeof *m->limits);
    if (m->limits == NULL)
        return err_set(err, ST_NOMEM, "out of memory for the answers");
    st = ann_bench_exact(b, err);
    if (st != ST_OK)
        return st;
    ids = ann_bench_ids(b, &count);
    for (uint32_t q = 0; q < s->query_count; q++) {
        int32_t last = ids[q * K + m->expected - 1];

        if (last < 0)
            return err_set(err, ST_BUG, "a scan does not find all rows");
        m->limits[q] = ann_bench_distance(b, q, last);
    }
    return ST_OK;
}

static double recall_of(const struct measuring *m, const struct ann_bench *b)
{
    uint64_t found = 0;
    size_t count;
    const int32_t *ids = ann_bench_ids(b, &count);

    for (size_t i = 0; i < count; i++)
        if (ids[i] >= 0 && ann_bench_distance(b, (uint32_t)(i / K), ids[i]) <= m->limits[i / K])
            found++;
    return (double)found / ((double)m->c->sample.query_count * m->expected);
}

static status measure_ef(struct measuring *m, struct ann_bench *b, struct tune_graph graph,
                         double *recall, struct err *err)
{
    struct tune_command *c = m->c;
    struct ann_bench_figures f;
    status st = ann_bench_run(b, graph.ef_search, PASSES, &f, err);

    if (st != ST_OK || c->point_count == TUNE_POINTS_MAX)
        return st;
    *recall = recall_of(m, b);
    c->points[c->point_count++] =
        (struct tune_point){.graph = graph,
                            .recall = *recall,
                            .p50_us = f.p50_us,
                            .p99_us = f.p99_us,
                            .row_bytes = (double)ann_bench_index_bytes(b) / c->sample.count};
    return ST_OK;
}

static status measure_graph(struct measuring *m, struct tune_graph graph, struct err *err)
{
    struct tune_command *c = m->c;
    const struct tune_sample *s = &c->sample;
    const struct ann_bench_rows rows = {.base = s->rows + (size_t)s->query_count * c->field->dim,
                                        .queries = s->rows,
                                        .dim = c->field->dim,
                                        .count = s->count,
                                        .query_count = s->query_count};
    const struct ann_bench_settings settings = {.metric = c->metric,
                                                .quantization = graph.quantization,
                                                .m = graph.m,
                                                .ef_construction = graph.ef_construction,
                                                .threads = (uint16_t)c->threads};
    struct ann_bench *b = NULL;
    double recall = 0;
    bool enough = false;
    status st;

    tune_progress(c, "%s, m %u: building", vquantization_name(graph.quantization), graph.m);
    st = ann_bench_open_rows(&rows, &settings, &b, err);
    if (st == ST_OK && m->limits == NULL)
        st = know_limits(m, b, err);
    for (size_t i = 0; st == ST_OK && i < COUNT_OF(EFS) && !enough; i++) {
        graph.ef_search = EFS[i];
        tune_progress(c, "%s, m %u: ef_search %u", vquantization_name(graph.quantization), graph.m,
                      graph.ef_search);
        st = measure_ef(m, b, graph, &recall, err);
        enough = recall >= RECALL_ENOUGH;
    }
    if (st == ST_OK && graph.m == c->now.m && graph.quantization == c->now.quantization) {
        graph.ef_search = c->now.ef_search;
        st = measure_ef(m, b, graph, &recall, err);
    }
    ann_bench_close(b);
    return st;
}

static status measure_all(struct measuring *m, enum vquantization q, struct err *err)
{
    struct tune_graph graph = {.quantization = q, .ef_construction = m->c->now.ef_construction};
    bool own = true;
    status st = ST_OK;

    for (size_t i = 0; st == ST_OK && i < COUNT_OF(MS); i++) {
        own = own && MS[i] != m->c->now.m;
        graph.m = MS[i];
        st = measure_graph(m, graph, err);
    }
    if (st == ST_OK && own) {
        graph.m = m->c->now.m;
        st = measure_graph(m, graph, err);
    }
    return st;
}

int tune_measure(struct tune_command *c)
{
    static const enum vquantization kinds[] = {VQUANT_SCALAR, VQUANT_NONE, VQUANT_BINARY,
                                               VQUANT_PRODUCT};
    struct measuring m = {.c = c};
    struct err err;
    status st = ST_OK;

    for (size_t i = 0; st == ST_OK && i < COUNT_OF(kinds); i++)
        if (vquantization_check(kinds[i], NULL) == ST_OK)
            st = measure_all(&m, kinds[i], &err);
    mem_free(m.limits);
    return st == ST_OK ? CLI_OK
                       : cli_error(cli_exit_of(st), "tune", err.text,
                                   st == ST_NOMEM ? "a smaller --sample" : NULL);
}
