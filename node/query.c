#include "node/cold.h"
#include "node/query_internal.h"

#include <inttypes.h>
#include <stdatomic.h>

static const struct point_query NO_POINTS;

static bool keep_match(struct querying *q, const struct hit *hit, struct match *out)
{
    const struct query_options *o = q->options;
    const struct collection *c = q->c;

    *out = (struct match){.distance = hit->distance, .score = hit->score, .lsn = hit->row.lsn};
    return keep_id(q->arena, &hit->row.id, &out->id) &&
           keep_bytes(q->arena, hit->row.external_id, &out->external_id) &&
           (!o->with_payload || keep_bytes(q->arena, hit->row.payload, &out->payload)) &&
           (!o->with_vector || keep_vector(q->arena, c, hit->slot, &out->vector)) &&
           keep_vectors(q->arena, c, hit->slot, q->points->vectors, &out->vectors);
}

static status keep_matches(struct querying *q)
{
    struct query_result *out = q->out;

    out->matches = arena_array(q->arena, q->count + 1, sizeof *out->matches);
    if (out->matches == NULL)
        return err_set(q->err, ST_NOMEM, "out of memory for %" PRIu32 " matches", q->count);
    for (uint32_t i = 0; i < q->count; i++)
        if (!keep_match(q, &q->hits[i], &out->matches[i]))
            return err_set(q->err, ST_NOMEM,
                           "out of memory for the payloads of %" PRIu32 " matches; ask for fewer",
                           q->count);
    out->count = q->count;
    return ST_OK;
}

static status take_ids(struct querying *q, const struct docid *ids, size_t count,
                       struct docid **out, size_t *out_count)
{
    *out_count = count;
    if (ids == NULL || count == 0)
        return ST_OK;
    *out = ids_sorted(q->arena, ids, out_count);
    return *out != NULL ? ST_OK : err_set(q->err, ST_NOMEM, "out of memory for %zu ids", count);
}

static status prepare(struct querying *q)
{
    static struct docid none;
    const struct point_query *p = q->points;
    status st = take_ids(q, p->within, p->within_count, &q->within, &q->within_count);

    if (p->within != NULL && q->within_count == 0)
        q->within = &none; /* of no ids: nothing matches */
    if (st == ST_OK)
        st = take_ids(q, p->without, p->without_count, &q->without, &q->without_count);
    /* Few are found and left out; so many that there is no room beside the answer are asked for. */
    q->ask_without =
        q->without_count > QUERY_WITHOUT_FEW || q->options->top_k + q->without_count > VINDEX_K_MAX;
    q->limits =
        (struct read_limits){.deadline_ns = q->options->deadline_ns, .stop = q->options->stop};
    asker_init(&q->asker, q->c, p->filter, &q->limits);
    return st;
}

static status search(struct querying *q)
{
    struct node *node = q->c->node;
    struct epoch_guard guard = epoch_enter(node->epoch);
    status st;

    q->moment = slots_moment(q->c->slots);
    st = query_search(q, q->options->top_k);
    if (st == ST_OK)
        st = keep_matches(q);
    epoch_leave(node->epoch, guard);
    q->out->visited = q->stats.visited;
    q->out->layers = q->stats.layers;
    q->out->distances = q->stats.distances;
    q->out->scanned = q->stats.scanned;
    q->out->used_graph = q->stats.used_graph;
    q->out->filter_rows = q->asker.rows;
    q->out->filter_indexes = q->known.indexes;
    stats_add(node->distance_computations, q->stats.distances);
    return st;
}

status query_head(struct querying *q)
{
    status st;

    q->scratch = scratch_take(q->c->node, q->err);
    if (q->scratch == NULL)
        return ST_NOMEM;
    st = search(q);
    scratch_drop(q->c->node, q->scratch);
    return st;
}

static void observe(struct collection *c, uint64_t started_ns)
{
    struct node *node = c->node;
    struct epoch_guard guard = epoch_enter(node->epoch);
    struct collection_stats *s = atomic_load_explicit(&c->stats, memory_order_acquire);

    stats_observe(cold_is(c) ? collection_stats_cold(c, s) : s->search_seconds,
                  (double)(clock_mono_ns(node->options.clock) - started_ns) * 1e-9);
    epoch_leave(node->epoch, guard);
}

static status check(struct collection *c, const struct query_options *options,
                    const struct point_query *points, uint64_t now_ns, struct err *err)
{
    status st = collection_check_readable(c, err);

    if (st != ST_OK)
        return st;
    if (options->deadline_ns != 0 && now_ns > options->deadline_ns)
        return err_set(err, ST_TIMEOUT,
                       "the deadline passed before the search began; the node is busy");
    if (options->top_k == 0 || options->top_k > VINDEX_K_MAX)
        return err_set(err, ST_INVALID, "top_k is %" PRIu32 ", 1 to %d is taken", options->top_k,
                       VINDEX_K_MAX);
    if (points->field >= node_field_count(c))
        return err_set(err, ST_INVALID, "the collection has no vector to search over");
    return ST_OK;
}

status node_query(struct collection *c, float *query, const struct query_options *options,
                  struct arena *arena, struct query_result *out, struct err *err)
{
    uint64_t started_ns = clock_mono_ns(c->node->options.clock);
    struct querying q = {.c = c,
                         .options = options,
                         .points = options->points != NULL ? options->points : &NO_POINTS,
                         .query = query,
                         .arena = arena,
                         .out = out,
                         .err = err};
    status st;

    *out = (struct query_result){.plan = "scan", .selectivity = 1};
    st = check(c, options, q.points, started_ns, err);
    if (st != ST_OK)
        return st;
    q.field = node_field(c, q.points->field);
    q.v = vectors_of(c, q.points->field);
    if (q.field->metric == VMETRIC_COSINE)
        (void)vindex_normalise(query, q.field->dimension);
    st = prepare(&q);
    if (st != ST_OK)
        return st;
    st = cold_is(c) ? query_cold(&q) : query_head(&q);
    observe(c, started_ns);
    return st;
}

static struct pindex_estimate estimate(struct collection *c, const struct filter *f, uint64_t live)
{
    struct pindex_estimate e = {.likely = select_ids_named(f)};

    e.known = e.likely <= live;
    if (!e.known && c->pindex != NULL)
        pindex_estimate(c->pindex, f, live, &e);
    e.known = e.known && e.likely <= live;
    return e;
}

/* Without an index nobody knows how many match before rows were asked: as if all had to be. */
static uint64_t filter_cost(struct collection *c, const struct filter *f, uint64_t search_ns,
                            uint64_t distance_ns, uint32_t threshold)
{
    uint64_t live = slots_live_count(c->slots);
    struct pindex_estimate e = estimate(c, f, live);

    if (!e.known)
        return search_ns + live * (filter_cost_ns(f) + QUERY_ROW_NS);
    if (e.likely <= threshold)
        return e.likely * distance_ns + live / 64;
    return search_ns * (live / (e.likely + 1) + 1);
}

uint64_t node_query_cost_ns(struct collection *c, const struct query_options *options)
{
    const struct vsearch s = {
        .k = options->top_k, .ef = options->ef_search, .exact = options->exact};
    const struct point_query *p = options->points != NULL ? options->points : &NO_POINTS;
    uint64_t distance_ns, search_ns;

    if (collection_check_readable(c, NULL) != ST_OK || p->field >= node_field_count(c))
        return 0;
    distance_ns = 20 + node_field(c, p->field)->dimension;
    if (p->within != NULL)
        return p->within_count * (distance_ns + QUERY_ROW_NS);
    search_ns = vindex_search_cost_ns(vectors_of(c, p->field), &s);
    return filter_is_all(p->filter) ? search_ns
                                    : filter_cost(c, p->filter, search_ns, distance_ns,
                                                  vindex_threshold(vectors_of(c, p->field)));
}

uint64_t node_select_cost_ns(struct collection *c, const struct filter *filter)
{
    struct pindex_estimate e;
    uint64_t live;

    if (filter_is_all(filter) || collection_check_readable(c, NULL) != ST_OK)
        return 0;
    live = slots_live_count(c->slots);
    e = estimate(c, filter, live);
    return (e.known ? e.likely : live) * (filter_cost_ns(filter) + QUERY_ROW_NS);
}
