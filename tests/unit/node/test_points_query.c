/* node_query() with ids, thresholds and filters, against a plain loop over a model. Vectors have
 * small whole numbers, so that many scores are equal, to the bit. */
#include "tests/unit/node/npoints.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { DIM = 6, ROWS = 1200, NO_GRAPH = 100000 };

struct model {
    struct nworld w;
    struct collection *c;
    struct arena arena;
    enum vmetric metric;
    bool there[ROWS + 1];
    uint32_t version[ROWS + 1];
    float vectors[ROWS + 1][DIM];
};

static void whole_vector(uint64_t id, uint32_t version, float *out)
{
    uint64_t x = id * 2654435761u + version * 40503u + 12345;

    for (uint32_t i = 0; i < DIM; i++) {
        x = x * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        out[i] = (float)((int)(x >> 60) % 5 - 2);
    }
    if (id % 4 == 0) /* many the same */
        out[0] = out[1] = out[2] = out[3] = out[4] = out[5] = (float)(1 + id % 3);
}

static void put(struct model *m, uint64_t id, uint32_t version)
{
    float vector[DIM];
    char text[256];
    struct buf payload;
    struct write_row row = {.id = docid_u64(id), .vector = vector};
    struct err err = {0};

    whole_vector(id, version, m->vectors[id]);
    memcpy(vector, m->vectors[id], sizeof vector);
    (void)snprintf(text, sizeof text, "{\"n\":%u,\"v\":%u,\"tags\":[\"t%u\",\"u%u\"],\"x\":%u.5}",
                   (unsigned)id, version, (unsigned)(id % 10), version % 3, (unsigned)id);
    ppayload(text, &payload);
    row.payload = buf_slice(&payload);
    if (nwrite(m->c, &row, 1, NULL, &err) != ST_OK)
        fail_msg("%s", err.text);
    buf_free(&payload);
    m->there[id] = true;
    m->version[id] = version;
}

static void begin(struct model *m, enum vmetric metric, uint32_t threshold)
{
    memset(m, 0, sizeof *m);
    m->metric = metric;
    nworld_init(&m->w, true, 31);
    nworld_open(&m->w);
    assert_int_equal(ncreate(&m->w, "docs", DIM, metric, threshold, NULL), ST_OK);
    m->c = npin(&m->w, "docs");
    arena_init(&m->arena, 256 << 20);
    for (uint64_t id = 1; id <= ROWS; id++)
        put(m, id, 1);
    for (uint64_t id = 1; id <= ROWS; id += 5)
        put(m, id, 2);
    for (uint64_t id = 3; id <= ROWS; id += 11) {
        const struct docid key = docid_u64(id);

        assert_int_equal(ndelete(m->c, &key, 1, NULL, NULL), ST_OK);
        m->there[id] = false;
    }
}

static void end(struct model *m)
{
    arena_free(&m->arena);
    node_collection_unpin(m->c);
    nworld_fini(&m->w);
}

static double score(const struct model *m, const float *q, const float *x)
{
    double dot = 0, qq = 0, xx = 0, l1 = 0, l2 = 0;

    for (uint32_t i = 0; i < DIM; i++) {
        dot += (double)q[i] * (double)x[i];
        qq += (double)q[i] * (double)q[i];
        xx += (double)x[i] * (double)x[i];
        l1 += fabs((double)q[i] - (double)x[i]);
        l2 += ((double)q[i] - (double)x[i]) * ((double)q[i] - (double)x[i]);
    }
    switch (m->metric) {
    case VMETRIC_COSINE:
        return qq == 0 || xx == 0 ? 0 : dot / sqrt(qq * xx);
    case VMETRIC_DOT:
        return dot;
    case VMETRIC_L2:
        return sqrt(l2);
    case VMETRIC_L1:
        return l1;
    }
    return 0;
}

static bool higher(const struct model *m)
{
    return m->metric == VMETRIC_COSINE || m->metric == VMETRIC_DOT;
}

struct want {
    const char *filter;
    bool (*matches)(const struct model *m, uint64_t id);
    struct point_query points;
    uint32_t k;
    double score; /* of the last model answer; NaN without one */
};

static bool has(const struct docid *ids, size_t count, uint64_t id)
{
    for (size_t i = 0; i < count; i++)
        if (ids[i].kind == DOCID_U64 && ids[i].u64 == id)
            return true;
    return false;
}

struct scored {
    uint64_t id;
    double rank;
};

static int by_rank(const void *a, const void *b)
{
    const struct scored *x = a, *y = b;

    if (fabs(x->rank - y->rank) > 1e-9)
        return x->rank < y->rank ? -1 : 1;
    return x->id < y->id ? -1 : x->id > y->id;
}

/* What a plain loop finds, best first. */
static uint32_t plain(const struct model *m, const float *query, const struct want *w,
                      struct scored *out)
{
    uint32_t count = 0;

    for (uint64_t id = 1; id <= ROWS; id++) {
        double s = score(m, query, m->vectors[id]);

        if (!m->there[id] || (w->matches != NULL && !w->matches(m, id)))
            continue;
        if (w->points.within != NULL && !has(w->points.within, w->points.within_count, id))
            continue;
        if (has(w->points.without, w->points.without_count, id))
            continue;
        if (w->points.has_threshold && (higher(m) ? s < (double)w->points.threshold - 1e-6
                                                  : s > (double)w->points.threshold + 1e-6))
            continue;
        out[count++] = (struct scored){id, higher(m) ? -s : s};
    }
    qsort(out, count, sizeof *out, by_rank);
    return count;
}

static struct query_result ask(struct model *m, const float *query, struct want *w)
{
    float copy[DIM];
    struct query_options o = {.top_k = w->k, .points = &w->points};
    struct query_result r;
    struct err err = {0};

    memcpy(copy, query, sizeof copy);
    if (w->filter != NULL)
        w->points.filter = pfilter(m->c, w->filter, &m->arena);
    if (node_query(m->c, copy, &o, &m->arena, &r, &err) != ST_OK)
        fail_msg("%s", err.text);
    return r;
}

/* The whole answer is as the plain loop's: ids where scores are exact, scores within the tolerance
 * of the API, equal scores by rising id. */
static void check_exact(struct model *m, const float *query, struct want *w)
{
    static struct scored all[ROWS];
    uint32_t count = plain(m, query, w, all);
    struct query_result r = ask(m, query, w);

    if (r.count != (count < w->k ? count : w->k))
        fail_msg("metric %d filter %s: %u of %u, k %u plan %s", (int)m->metric,
                 w->filter == NULL ? "none" : w->filter, r.count, count, w->k, r.plan);
    for (uint32_t i = 0; i < r.count; i++) {
        double want = higher(m) ? -all[i].rank : all[i].rank;
        double got = (double)r.matches[i].score;

        if (fabs(got - want) > 1e-6 + 1e-4 * fabs(want))
            fail_msg("metric %d rank %u: score %g, not %g", (int)m->metric, i, got, want);
        if (m->metric != VMETRIC_COSINE && r.matches[i].id.u64 != all[i].id)
            fail_msg("metric %d rank %u: id %llu, not %llu", (int)m->metric, i,
                     (unsigned long long)r.matches[i].id.u64, (unsigned long long)all[i].id);
        if (i > 0 && r.matches[i].score == r.matches[i - 1].score)
            assert_true(r.matches[i].id.u64 > r.matches[i - 1].id.u64);
        assert_true(m->there[r.matches[i].id.u64]);
        assert_true(w->matches == NULL || w->matches(m, r.matches[i].id.u64));
    }
    arena_reset(&m->arena);
}

static const enum vmetric METRICS[] = {VMETRIC_COSINE, VMETRIC_DOT, VMETRIC_L2, VMETRIC_L1};

static void equal_scores_come_by_rising_id(void **state)
{
    static struct model m;
    static const uint32_t ks[] = {1, 3, 10, 17, 100, 299, 1000, ROWS, 3000};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(METRICS); i++) {
        begin(&m, METRICS[i], NO_GRAPH);
        for (size_t j = 0; j < COUNT_OF(ks); j++) {
            struct want w = {.k = ks[j]};
            float query[DIM] = {1, 1, 1, 1, 1, 1};

            check_exact(&m, query, &w);
            whole_vector(7 + j, 9, query);
            check_exact(&m, query, &w);
        }
        end(&m);
    }
}

static void thresholds_are_inclusive_on_all_metrics(void **state)
{
    static struct model m;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(METRICS); i++) {
        begin(&m, METRICS[i], NO_GRAPH);
        for (uint32_t j = 0; j < 8; j++) {
            static struct scored all[ROWS];
            struct want w = {.k = ROWS};
            struct query_result r, cut;
            float query[DIM];
            uint32_t count, in = 0;

            whole_vector(50 + j, 3, query);
            count = plain(&m, query, &w, all);
            r = ask(&m, query, &w);
            /* A score from an answer, as the threshold: all that have it are in. */
            w.points.has_threshold = true;
            w.points.threshold = r.matches[count * j / 8].score;
            cut = ask(&m, query, &w);
            while (in < count && (higher(&m) ? r.matches[in].score >= w.points.threshold
                                             : r.matches[in].score <= w.points.threshold))
                in++;
            assert_int_equal(cut.count, in);
            assert_true(in > count * j / 8);
            for (uint32_t n = 0; n < in; n++)
                assert_true(docid_equal(&cut.matches[n].id, &r.matches[n].id));
            if (METRICS[i] != VMETRIC_COSINE) /* equal cosines may differ in the last bit */
                check_exact(&m, query, &w);
            w.points.threshold = higher(&m) ? 1e9f : -1;
            check_exact(&m, query, &w);
            w.points.threshold = higher(&m) ? -1e9f : 1e9f;
            check_exact(&m, query, &w);
        }
        end(&m);
    }
}

static void ids_are_the_only_ones_or_left_out(void **state)
{
    static struct model m;
    static struct docid ids[ROWS + 5];

    (void)state;
    begin(&m, VMETRIC_L2, NO_GRAPH);
    for (size_t n = 0; n < 600; n += n < 4 ? 1 : 83) {
        struct want w = {.k = 10};
        float query[DIM];

        for (size_t i = 0; i < n; i++) /* some twice, some not there */
            ids[i] = docid_u64(1 + i * 7 % (ROWS + 20));
        whole_vector(n, 3, query);
        w.points.within = ids;
        w.points.within_count = n;
        check_exact(&m, query, &w);
        w.points.without = ids + n / 3;
        w.points.without_count = n - n / 3;
        check_exact(&m, query, &w);
        w.points.within = NULL;
        check_exact(&m, query, &w);
        w.points.without = ids;
        w.points.without_count = n;
        w.k = 500;
        check_exact(&m, query, &w);
    }
    end(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equal_scores_come_by_rising_id),
        cmocka_unit_test(thresholds_are_inclusive_on_all_metrics),
        cmocka_unit_test(ids_are_the_only_ones_or_left_out),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
