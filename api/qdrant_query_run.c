/* qdrant_query_run.c - runs the levels of a plan, one after the other. */
#include "api/qdrant_query.h"

#include <inttypes.h>

void query_run_begin(struct query_run *run, struct request *req, struct plan *plan,
                     struct arena *scratch, const struct read_limits *limits)
{
    *run = (struct query_run){.req = req, .plan = plan, .scratch = scratch, .limits = *limits};
}

static status no_memory(struct err *err)
{
    return err_set(err, ST_NOMEM, "out of memory for the results");
}

status query_bounded(struct query_run *run, uint64_t count, uint64_t max, uint32_t *out,
                     struct err *err)
{
    struct collection_info info;

    if (count > VINDEX_K_MAX) {
        node_collection_info(run->req->collection, &info);
        if (count > info.document_count)
            count = info.document_count < VINDEX_K_MAX ? VINDEX_K_MAX : info.document_count;
    }
    if (count > max)
        return err_set(err, ST_INVALID,
                       "limit and offset are %" PRIu64 " together, at most %" PRIu64
                       " are given of a collection that has more: scroll reads all of it",
                       count, max);
    *out = (uint32_t)count;
    return ST_OK;
}

struct read_want query_want(const struct query_run *run)
{
    struct read_want want = {0};

    if (run->at + 1 < run->plan->count)
        return want;
    want = qd_read_want(&run->plan->want);
    want.payload = want.payload || run->plan->reads_payload;
    return want;
}

/* --- results --- */

static status make_list(struct query_run *run, size_t count, struct scored_list *out,
                        struct err *err)
{
    out->items = arena_array(run->scratch, count + 1, sizeof *out->items);
    if (out->items == NULL)
        return no_memory(err);
    memset(out->items, 0, (count + 1) * sizeof *out->items);
    out->count = (uint32_t)count;
    return ST_OK;
}

/* By position, also of a document that only tells the first field's. */
static status vectors_of(struct query_run *run, const struct document *d, const float *const **out,
                         struct err *err)
{
    const float **one;

    *out = (const float *const *)d->vectors;
    if (d->vectors != NULL || d->vector == NULL)
        return ST_OK;
    one = arena_zero(run->scratch,
                     (node_field_count(run->req->collection) + 1) * sizeof(const float *));
    if (one == NULL)
        return no_memory(err);
    one[0] = d->vector;
    *out = one;
    return ST_OK;
}

status query_take_document(struct query_run *run, const struct document *d, float score,
                           struct scored *out, struct err *err)
{
    *out = (struct scored){.id = d->id, .score = score, .lsn = d->lsn, .payload = d->payload};
    return vectors_of(run, d, &out->vectors, err);
}

static status take_documents(struct query_run *run, const struct document *documents,
                             uint32_t count, struct scored_list *out, struct err *err)
{
    status st = make_list(run, count, out, err);

    for (uint32_t i = 0; st == ST_OK && i < count; i++)
        st = query_take_document(run, &documents[i], 1, &out->items[i], err);
    return st;
}

static void drop_offset(struct scored_list *list, const struct level *level)
{
    uint64_t left = list->count > level->offset ? list->count - level->offset : 0;

    if (left > 0)
        list->items += level->offset;
    list->count = (uint32_t)(left < level->limit ? left : level->limit);
}

/* --- the forms that are one call --- */

static status take_matches(struct query_run *run, const struct query_result *r,
                           struct scored_list *out, struct err *err)
{
    status st = make_list(run, r->count, out, err);

    for (uint32_t i = 0; st == ST_OK && i < r->count; i++) {
        const struct match *m = &r->matches[i];
        const struct document d = {.vector = m->vector, .vectors = m->vectors};

        out->items[i] =
            (struct scored){.id = m->id, .score = m->score, .lsn = m->lsn, .payload = m->payload};
        st = vectors_of(run, &d, &out->items[i].vectors, err);
    }
    return st;
}

static status example_vector(struct query_run *run, const struct level *level,
                             const struct query_examples *e, float **out, struct err *err)
{
    const struct rank_examples examples = {
        .dim = node_field(run->req->collection, level->field)->dimension,
        .positive = (const float *const *)e->vectors,
        .positive_count = level->positive_count,
        .negative = (const float *const *)e->vectors + level->positive_count,
        .negative_count = level->example_count - level->positive_count};

    *out = e->vectors[0];
    if (level->form == LEVEL_NEAREST)
        return ST_OK;
    *out = arena_array(run->scratch, examples.dim, sizeof(float));
    if (*out == NULL)
        return no_memory(err);
    rank_average(&examples, *out);
    return ST_OK;
}

status query_nearest(struct query_run *run, const struct level *level, uint64_t k,
                     const struct read_want *want, struct scored_list *out, const float **query,
                     struct err *err)
{
    struct query_options options = {.ef_search = level->ef,
                                    .exact = level->exact,
                                    .with_payload = want->payload,
                                    .deadline_ns = run->limits.deadline_ns,
                                    .stop = run->limits.stop};
    struct point_query points = {.field = (uint32_t)level->field,
                                 .filter = level->filter,
                                 .has_threshold = level->has_threshold,
                                 .threshold = level->threshold,
                                 .vectors = want->vectors};
    struct query_examples examples;
    struct query_result result;
    struct docid *within = NULL;
    float *vector = NULL;
    status st;

    *out = (struct scored_list){0};
    options.points = &points;
    st = query_examples(run, level, &examples, err);
    if (st == ST_OK && level->source_count > 0)
        st = query_within(run, level, &within, &points.within_count, err);
    if (st == ST_OK)
        st = query_bounded(run, k, VINDEX_K_MAX, &options.top_k, err);
    if (st == ST_OK)
        st = example_vector(run, level, &examples, &vector, err);
    if (st != ST_OK || (level->source_count > 0 && points.within_count == 0))
        return st;
    points.within = within;
    points.without = examples.leave_out;
    points.without_count = examples.leave_out_count;
    st = node_query(run->req->collection, vector, &options, run->scratch, &result, err);
    if (st == ST_OK && result.partial) /* this dialect has no word for it */
        st = err_set(err, ST_TIMEOUT,
                     "not all of the collection could be read in time; a longer timeout helps, or "
                     "warming it");
    if (st == ST_OK)
        st = take_matches(run, &result, out, err);
    if (st == ST_OK)
        rank_sort(out->items, out->count, query_low_is_best(run, level));
    *query = vector;
    return st;
}

status query_filter(struct query_run *run, const struct level *level, const struct filter **out,
                    bool *empty, struct err *err)
{
    struct docid *ids = NULL;
    size_t count = 0;
    status st;

    *out = level->filter;
    *empty = false;
    if (level->source_count == 0)
        return ST_OK;
    st = query_within(run, level, &ids, &count, err);
    *empty = count == 0;
    if (st == ST_OK && !query_with_ids(run->scratch, ids, count, false, out))
        return no_memory(err);
    return st;
}

static status run_order(struct query_run *run, const struct level *level, struct scored_list *out,
                        struct err *err)
{
    struct scroll ask = {.want = query_want(run),
                         .order_by = level->order.by,
                         .falling = level->order.falling,
                         .start_from = level->order.has_start ? &level->order.start : NULL,
                         .limits = run->limits};
    struct scrolled got = {0};
    bool empty = false;
    status st = query_filter(run, level, &ask.filter, &empty, err);

    if (st != ST_OK || empty)
        return st;
    st = query_bounded(run, query_wanted(level), UINT32_MAX, &ask.limit, err);
    if (st == ST_OK)
        st = node_scroll(run->req->collection, &ask, run->scratch, &got, err);
    if (st == ST_OK)
        st = take_documents(run, got.documents, got.count, out, err);
    for (uint32_t i = 0; st == ST_OK && i < got.count; i++)
        out->items[i].order = &got.order_values[i];
    return st;
}

static status run_sample(struct query_run *run, const struct level *level, struct scored_list *out,
                         struct err *err)
{
    const struct read_want want = query_want(run);
    const struct filter *filter = NULL;
    struct document *documents = NULL;
    uint32_t count = 0;
    bool empty = false;
    status st = query_filter(run, level, &filter, &empty, err);

    if (st != ST_OK || empty)
        return st;
    st = query_bounded(run, query_wanted(level), UINT32_MAX, &count, err);
    if (st == ST_OK)
        st = node_sample(run->req->collection, filter, count, &want, &run->limits, run->scratch,
                         &documents, &count, err);
    return st == ST_OK ? take_documents(run, documents, count, out, err) : st;
}

/* --- fusion --- */

static void cut_at_threshold(struct scored_list *list, const struct level *level)
{
    uint32_t kept = 0;

    while (level->has_threshold && kept < list->count &&
           list->items[kept].score >= level->threshold)
        kept++;
    if (level->has_threshold)
        list->count = kept;
}

static status run_fusion(struct query_run *run, const struct level *level, struct scored_list *out,
                         struct err *err)
{
    struct scored_list *lists =
        arena_array(run->scratch, level->source_count + 1, sizeof(struct scored_list));
    status st;

    if (lists == NULL)
        return no_memory(err);
    for (size_t i = 0; i < level->source_count; i++)
        lists[i] = level->sources[i]->result;
    st = level->form == LEVEL_DBSF ? rank_dbsf(run->scratch, lists, level->source_count, out, err)
                                   : rank_rrf(run->scratch, lists, level->source_count,
                                              level->rrf_k, level->rrf_weights, out, err);
    if (st == ST_OK)
        cut_at_threshold(out, level);
    return st;
}

/* --- what is printed of results that were made of others --- */

static status fetch(struct query_run *run, struct scored_list *list, struct err *err)
{
    struct read_want want = query_want(run);
    struct docid *ids = arena_array(run->scratch, (size_t)list->count + 1, sizeof *ids);
    struct document *documents = NULL;
    uint32_t count = 0;
    uint32_t kept = 0;
    uint32_t at = 0;
    status st;

    if ((!want.payload && want.vectors == 0) || list->count == 0)
        return ST_OK;
    if (ids == NULL)
        return no_memory(err);
    want.limits = run->limits;
    for (uint32_t i = 0; i < list->count; i++)
        ids[i] = list->items[i].id;
    st = node_retrieve(run->req->collection, ids, list->count, &want, run->scratch, &documents,
                       &count, err);
    for (uint32_t i = 0; st == ST_OK && i < list->count && at < count; i++) {
        struct scored *s = &list->items[i];

        if (!docid_equal(&documents[at].id, &s->id))
            continue; /* deleted since */
        s->payload = documents[at].payload;
        s->lsn = documents[at].lsn;
        st = vectors_of(run, &documents[at++], &s->vectors, err);
        list->items[kept++] = *s;
    }
    list->count = kept;
    return st;
}

/* --- steps --- */

static bool is_scan(const struct level *level)
{
    return level->form == LEVEL_RECOMMEND && level->strategy != RECOMMEND_AVERAGE;
}

static status run_whole(struct query_run *run, struct level *level, struct err *err)
{
    const struct read_want want = query_want(run);
    const float *query = NULL;

    level->result = (struct scored_list){0};
    switch (level->form) {
    case LEVEL_NEAREST:
    case LEVEL_RECOMMEND:
        return query_nearest(run, level, query_wanted(level), &want, &level->result, &query, err);
    case LEVEL_ORDER:
        return run_order(run, level, &level->result, err);
    case LEVEL_BY_ID: /* has steps of its own */
        break;
    case LEVEL_SAMPLE:
        return run_sample(run, level, &level->result, err);
    case LEVEL_RRF:
    case LEVEL_DBSF:
        return run_fusion(run, level, &level->result, err);
    }
    return err_set(err, ST_BUG, "form of a query");
}

static status step_level(struct query_run *run, struct level *level, bool *done, struct err *err)
{
    *done = true;
    if (level->mmr)
        return query_step_mmr(run, level, done, err);
    if (is_scan(level))
        return query_step_scan(run, level, done, err);
    if (level->form == LEVEL_BY_ID)
        return query_step_pages(run, level, done, err);
    return run_whole(run, level, err);
}

/* They are sorted at a stretch. */
static status check_sources(const struct level *level, struct err *err)
{
    uint64_t count = 0;

    for (size_t i = 0; i < level->source_count; i++)
        count += level->sources[i]->result.count;
    if (count > QUERY_SOURCES_MAX)
        return err_set(err, ST_INVALID,
                       "the prefetches gave %" PRIu64
                       " points, at most %d are taken: lower their limits",
                       count, QUERY_SOURCES_MAX);
    return ST_OK;
}

static bool is_fetched_last(const struct level *level)
{
    return level->mmr || is_scan(level) || level->form == LEVEL_RRF || level->form == LEVEL_DBSF;
}

status query_run_step(struct query_run *run, bool *done, struct err *err)
{
    struct level *level = run->plan->levels[run->at];
    bool whole = false;
    status st = run->inside == NULL ? check_sources(level, err) : ST_OK;

    if (st == ST_OK)
        st = step_level(run, level, &whole, err);
    *done = false;
    if (st != ST_OK || !whole)
        return st;
    if (level->form != LEVEL_BY_ID)
        drop_offset(&level->result, level);
    if (is_fetched_last(level))
        st = fetch(run, &level->result, err);
    run->inside = NULL;
    run->at++;
    *done = run->at == run->plan->count;
    return st;
}

/* --- cost --- */

/* As a rule a page is full long before all rows were asked: enough to be queued once more, and no
 * more than that. */
uint64_t query_select_cost_ns(struct request *req, const struct filter *filter)
{
    if (!request_asks_rows(req, filter))
        return 0;
    req->task.slow = true;
    return EXEC_INTERACTIVE_NS + 1;
}

static uint64_t level_cost_ns(struct request *req, const struct level *level)
{
    enum { ROW_NS = 500 };
    const struct point_query points = {.field = (uint32_t)level->field, .filter = level->filter};
    struct query_options options = {
        .ef_search = level->ef, .exact = level->exact || is_scan(level), .points = &points};
    uint64_t count = query_wanted(level);
    uint64_t cost;

    if (level->mmr)
        count = level->candidates != 0 ? level->candidates : level->limit;
    options.top_k = count > VINDEX_K_MAX ? VINDEX_K_MAX : (uint32_t)count;
    if (level->form != LEVEL_NEAREST && level->form != LEVEL_RECOMMEND)
        return (uint64_t)options.top_k * ROW_NS + query_select_cost_ns(req, level->filter);
    cost = node_query_cost_ns(req->collection, &options) + query_select_cost_ns(req, level->filter);
    if (is_scan(level))
        cost *= level->example_count + 1; /* and each row is read */
    if (level->mmr)
        cost += (uint64_t)options.top_k * options.top_k *
                node_field(req->collection, level->field)->dimension / 8;
    return cost;
}

uint64_t query_cost_ns(struct request *req, const struct plan *plan)
{
    uint64_t cost = 0;

    for (size_t i = 0; i < plan->count; i++)
        cost += level_cost_ns(req, plan->levels[i]);
    return cost;
}
