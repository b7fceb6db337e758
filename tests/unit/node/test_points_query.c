/* node_query() with ids, thresholds and filters, against a plain loop over a model. Vectors have
 * small whole numbers, so that many scores are equal, to the bit. */
#include "tests/unit/node/npoints.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { DIM = 6, ROWS = 2000, NO_GRAPH = 100000 };

static bool indexed;        /* collections have payload indexes */
static struct nworld world; /* of all tests; each has collections of its own */

struct model {
    struct collection *c;
    struct arena arena;
    enum vmetric metric;
    bool smooth; /* vectors are all different */
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

/* Ids from, from + step, ... in one request. */
static void put(struct model *m, uint64_t from, uint64_t step, uint32_t version)
{
    static float vectors[ROWS][DIM];
    static struct write_row rows[ROWS];
    static struct buf payloads[ROWS];
    struct jdoc *doc = NULL;
    struct err err = {0};
    size_t n = 0;

    assert_int_equal(jdoc_create(&doc, NULL), ST_OK);
    for (uint64_t id = from; id <= ROWS; id += step, n++) {
        char text[256];

        if (m->smooth)
            nvector(id, version, DIM, m->vectors[id]);
        else
            whole_vector(id, version, m->vectors[id]);
        memcpy(vectors[n], m->vectors[id], sizeof vectors[n]);
        (void)snprintf(text, sizeof text,
                       "{\"n\":%u,\"v\":%u,\"tags\":[\"t%u\",\"u%u\"],\"x\":%u.5}", (unsigned)id,
                       version, (unsigned)(id % 10), version % 3, (unsigned)id);
        ppayload(doc, text, &payloads[n]);
        rows[n] = (struct write_row){
            .id = docid_u64(id), .vector = vectors[n], .payload = buf_slice(&payloads[n])};
        m->there[id] = true;
        m->version[id] = version;
    }
    if (nwrite(m->c, rows, n, NULL, &err) != ST_OK)
        fail_msg("%s", err.text);
    for (size_t i = 0; i < n; i++)
        buf_free(&payloads[i]);
    jdoc_destroy(doc);
}

static void begin(struct model *m, enum vmetric metric, uint32_t threshold)
{
    static struct docid ids[ROWS];
    static unsigned number;
    size_t gone = 0;
    char name[32];

    memset(m, 0, sizeof *m);
    m->metric = metric;
    m->smooth = threshold != NO_GRAPH;
    (void)snprintf(name, sizeof name, "docs-%u", number++);
    assert_int_equal(ncreate(&world, name, DIM, metric, threshold, NULL), ST_OK);
    m->c = npin(&world, name);
    arena_init(&m->arena, 256 << 20);
    put(m, 1, 1, 1);
    if (indexed) {
        pindexed(&world, m->c, "tags", PINDEX_KEYWORD);
        pindexed(&world, m->c, "n", PINDEX_INTEGER);
        pindexed(&world, m->c, "v", PINDEX_INTEGER);
    }
    put(m, 1, 5, 2);
    for (uint64_t id = 3; id <= ROWS; id += 11, gone++) {
        ids[gone] = docid_u64(id);
        m->there[id] = false;
    }
    assert_int_equal(ndelete(m->c, ids, gone, NULL, NULL), ST_OK);
}

static void end(struct model *m)
{
    arena_free(&m->arena);
    node_collection_unpin(m->c);
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
    uint32_t k, ef;
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
    struct query_options o = {.top_k = w->k, .ef_search = w->ef, .points = &w->points};
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

static bool tagged(const struct model *m, uint64_t id)
{
    (void)m;
    return id % 10 == 3;
}
static bool low(const struct model *m, uint64_t id)
{
    (void)m;
    return id < 1500;
}
static bool rewritten(const struct model *m, uint64_t id)
{
    return m->version[id] == 2;
}
static bool few(const struct model *m, uint64_t id)
{
    (void)m;
    return id >= 500 && id < 506;
}
static bool none(const struct model *m, uint64_t id)
{
    (void)m;
    (void)id;
    return false;
}
static bool named(const struct model *m, uint64_t id)
{
    (void)m;
    return id == 7 || id == 8 || id == 9 || id == 10;
}
static bool named_low(const struct model *m, uint64_t id)
{
    return named(m, id) && id < 9;
}

static const struct want FILTERS[] = {
    {.filter = "{\"must\":{\"key\":\"tags\",\"match\":{\"value\":\"t3\"}}}", .matches = tagged},
    {.filter = "{\"must\":{\"key\":\"n\",\"range\":{\"lt\":1500}}}", .matches = low},
    {.filter = "{\"must\":{\"key\":\"v\",\"match\":{\"value\":2}}}", .matches = rewritten},
    {.filter = "{\"must\":{\"key\":\"n\",\"range\":{\"gte\":500,\"lt\":506}}}", .matches = few},
    {.filter = "{\"must\":{\"key\":\"nothing\",\"match\":{\"value\":2}}}", .matches = none},
    {.filter = "{\"must\":{\"has_id\":[7,8,9,10,77777]}}", .matches = named},
    {.filter = "{\"must\":[{\"key\":\"n\",\"range\":{\"lt\":9}},{\"has_id\":[7,8,9,10]}]}",
     .matches = named_low},
    {.filter = "{}"},
};

/* Below the threshold everything is compared: exact, whatever the filter lets through. */
static void filtered_answers_below_the_threshold_are_exact(void **state)
{
    static struct model m;

    (void)state;
    for (size_t i = 0; i < 2 * COUNT_OF(METRICS); i++) {
        indexed = i >= COUNT_OF(METRICS);
        begin(&m, METRICS[i % COUNT_OF(METRICS)], NO_GRAPH);
        for (size_t j = 0; j < COUNT_OF(FILTERS) * 3; j++) {
            struct want w = FILTERS[j / 3];
            const struct docid out[] = {docid_u64(8), docid_u64(13), docid_u64(501)};
            float query[DIM];

            whole_vector(j, 5, query);
            w.k = j % 3 == 0 ? 1 : j % 3 == 1 ? 10 : 900;
            check_exact(&m, query, &w);
            w.points.without = out;
            w.points.without_count = COUNT_OF(out);
            check_exact(&m, query, &w);
            w.points.has_threshold = true;
            w.points.threshold = m.metric == VMETRIC_COSINE ? 0.4321f : 2.5f;
            check_exact(&m, query, &w);
        }
        end(&m);
    }
    indexed = false;
}

/* Far more rows than the threshold: the graph, with rows asked when they are about to count. If k
 * match, k come; all match; most are the nearest. And again while half of the rows are pending. */
static void check_beside_the_graph(void)
{
    static struct model m;
    uint32_t right = 0, all = 0, graph = 0, asked = 0;

    begin(&m, VMETRIC_L2, 20);
    neventually(ninfo(m.c).pending_rows == 0);
    for (uint32_t round = 0; round < 2; round++) {
        for (size_t j = 0; j < COUNT_OF(FILTERS) * 4; j++) {
            static struct scored expected[ROWS];
            struct want w = FILTERS[j % COUNT_OF(FILTERS)];
            struct query_result r;
            float query[DIM];
            uint32_t count;

            nvector(j, 77, DIM, query);
            w.k = 10;
            w.ef = 40;
            count = plain(&m, query, &w, expected);
            r = ask(&m, query, &w);
            assert_int_equal(r.count, count < 10 ? count : 10);
            graph += r.used_graph ? 1 : 0;
            asked += r.filter_indexes;
            assert_true(r.selectivity >= 0 && r.selectivity <= 1);
            if (w.matches != NULL && w.matches != none && !r.used_graph)
                assert_true(strcmp(r.plan, "matches") == 0 || strcmp(r.plan, "scan") == 0);
            for (uint32_t i = 0; i < r.count; i++) {
                assert_true(w.matches == NULL || w.matches(&m, r.matches[i].id.u64));
                right += fabs((double)r.matches[i].score - expected[i].rank) < 1e-4 ? 1 : 0;
            }
            all += r.count;
            arena_reset(&m.arena);
        }
        if (round == 0)
            put(&m, 2, 2, 2);
    }
    print_message("%u of %u, %u by the graph\n", right, all, graph);
    assert_true(right >= all * 95 / 100);
    assert_true(graph > 10);
    assert_true((asked > 0) == indexed);
    end(&m);
}

static void filtered_answers_beside_the_graph_are_complete(void **state)
{
    (void)state;
    check_beside_the_graph();
    indexed = true;
    check_beside_the_graph();
    indexed = false;
}

/* The deadline ends a filter that takes long; the node goes on. */
static void a_filter_stops_at_the_deadline(void **state)
{
    static struct model m;
    static const _Atomic bool stop = true;
    struct want w = FILTERS[0];
    struct query_options o = {.top_k = 10, .points = &w.points, .stop = &stop};
    struct query_result r;
    struct err err = {0};
    float query[DIM] = {1};

    (void)state;
    begin(&m, VMETRIC_L2, NO_GRAPH);
    w.points.filter = pfilter(m.c, w.filter, &m.arena);
    assert_int_equal(node_query(m.c, query, &o, &m.arena, &r, &err), ST_TIMEOUT);
    assert_non_null(strstr(err.text, "time"));
    o.stop = NULL;
    o.deadline_ns = clock_mono_ns(world.options.clock) - 1;
    assert_int_equal(node_query(m.c, query, &o, &m.arena, &r, &err), ST_TIMEOUT);
    o.deadline_ns = 0;
    assert_int_equal(node_query(m.c, query, &o, &m.arena, &r, &err), ST_OK);
    end(&m);
}

/* A filter nobody knows anything of costs a look at every row; an index tells of few. */
static void what_filters_cost_is_known_before(void **state)
{
    static struct model m;
    struct want w = FILTERS[3];
    const struct docid within[] = {docid_u64(1)};
    struct query_options o = {.top_k = 10};
    uint64_t plain_ns, unknown_ns, known_ns;

    (void)state;
    begin(&m, VMETRIC_L2, NO_GRAPH);
    plain_ns = node_query_cost_ns(m.c, &o);
    o.points = &w.points;
    w.points.filter = pfilter(m.c, w.filter, &m.arena);
    unknown_ns = node_query_cost_ns(m.c, &o);
    assert_true(unknown_ns > plain_ns + ROWS * 50);
    w.points.filter = pfilter(m.c, FILTERS[5].filter, &m.arena);
    assert_true(node_query_cost_ns(m.c, &o) < unknown_ns / 10);
    w.points.filter = NULL;
    w.points.within = within;
    w.points.within_count = 1;
    assert_true(node_query_cost_ns(m.c, &o) < unknown_ns / 10);
    end(&m);
    indexed = true;
    begin(&m, VMETRIC_L2, NO_GRAPH);
    w = FILTERS[3];
    o.points = &w.points;
    w.points.filter = pfilter(m.c, w.filter, &m.arena);
    known_ns = node_query_cost_ns(m.c, &o);
    assert_true(known_ns < unknown_ns / 10);
    end(&m);
    indexed = false;
}

/* A search is over one field: rows that lack it are no matches, however few there are. */
static void a_query_is_over_one_field(void **state)
{
    static const struct field_info fields[] = {
        {.name = "", .dimension = 2, .metric = VMETRIC_L2, .threshold = 10000},
        {.name = "b", .dimension = 3, .metric = VMETRIC_DOT, .threshold = 20},
    };
    const struct collection_spec spec = {.name = "fields", .fields = fields, .field_count = 2};
    static float vectors[300][2][3];
    static float *by_position[300][2];
    static struct write_row rows[300];
    struct collection *c;
    struct arena arena;
    struct call call;

    (void)state;
    call_init(&call);
    node_collection_create(world.node, &spec, call_admin_done, &call);
    call_wait(&call);
    assert_int_equal(call.st, ST_OK);
    c = npin(&world, "fields");
    arena_init(&arena, 64 << 20);
    for (uint32_t i = 0; i < 300; i++) {
        for (uint32_t f = 0; f < 2; f++) {
            vectors[i][f][0] = (float)i;
            vectors[i][f][1] = 1;
            by_position[i][f] = i % 3 == f ? NULL : vectors[i][f];
        }
        rows[i] = (struct write_row){.id = docid_u64(i + 1), .vectors = by_position[i]};
    }
    assert_int_equal(nwrite(c, rows, 300, NULL, NULL), ST_OK);
    for (uint32_t i = 0; i < 12; i++) {
        uint32_t f = i % 2, count = 0;
        struct point_query points = {.field = f, .vectors = i % 4};
        struct query_options o = {.top_k = 300, .points = &points, .exact = i % 3 == 0};
        float query[3] = {f == 0 ? 0.0f : 1.0f, 1, 0};
        struct query_result r;

        if (i >= 4)
            points.filter = pfilter(c,
                                    f == 0 ? "{\"must\":{\"has_vector\":\"b\"}}"
                                           : "{\"must_not\":{\"has_vector\":\"\"}}",
                                    &arena);
        assert_int_equal(node_query(c, query, &o, &arena, &r, NULL), ST_OK);
        for (uint32_t n = 0; n < 300; n++) {
            uint32_t row = f == 0 ? n : 299 - n;

            if (row % 3 == f || (i >= 4 && f == 0 && row % 3 == 1) ||
                (i >= 4 && f == 1 && row % 3 != 0))
                continue;
            assert_true(count < r.count);
            assert_int_equal(r.matches[count].id.u64, row + 1);
            for (uint32_t v = 0; v < 2 && (i % 4) != 0; v++) {
                const float *got = r.matches[count].vectors[v];

                if ((i % 4 >> v & 1) == 0 || row % 3 == v)
                    assert_null(got);
                else
                    assert_memory_equal(got, vectors[row][v], (v == 0 ? 2 : 3) * sizeof(float));
            }
            count++;
        }
        assert_int_equal(count, r.count);
    }
    arena_free(&arena);
    node_collection_unpin(c);
}

static int open_world(void **state)
{
    (void)state;
    nworld_init(&world, true, 31);
    nworld_open(&world);
    return 0;
}

static int close_world(void **state)
{
    (void)state;
    nworld_fini(&world);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equal_scores_come_by_rising_id),
        cmocka_unit_test(thresholds_are_inclusive_on_all_metrics),
        cmocka_unit_test(ids_are_the_only_ones_or_left_out),
        cmocka_unit_test(filtered_answers_below_the_threshold_are_exact),
        cmocka_unit_test(filtered_answers_beside_the_graph_are_complete),
        cmocka_unit_test(a_filter_stops_at_the_deadline),
        cmocka_unit_test(what_filters_cost_is_known_before),
        cmocka_unit_test(a_query_is_over_one_field),
    };

    return cmocka_run_group_tests(tests, open_world, close_world);
}
