/* handlers_query.c - searching, one query or many in one request.
 *
 * The first step parses all queries into the arena, so that the worker's JSON document is free
 * again. Cheap work is then done at once; work whose estimate is more than interactive goes through
 * the queue once more under its true cost, and runs in slices between queries. */
#include "api/document.h"
#include "api/handlers.h"

#include "base/log.h"
#include "index/vindex.h"
#include "node/cold_exec.h"
#include "node/points.h"

#include <inttypes.h>

static const char *const NO_PARAMETERS[] = {NULL};

enum { TOP_K_DEFAULT = 10, TIMEOUT_MS_MAX = 3600000 };

struct one_query {
    float *vector;
    size_t field;     /* the one that is searched, by position */
    uint64_t vectors; /* to give back, bit per position */
    struct point_query points;
    struct query_options options;
    bool explain;
};

struct search {
    struct one_query *queries;
    size_t count;
    size_t next; /* the first not yet done */
    bool many;
    struct arena scratch; /* results of one query */
    uint64_t visited, distances, scanned;
};

enum query_member {
    QUERY_VECTOR,
    QUERY_USING,
    QUERY_TOP_K,
    QUERY_EF_SEARCH,
    QUERY_EXACT,
    QUERY_WITH_VECTOR,
    QUERY_WITH_PAYLOAD,
    QUERY_EXPLAIN,
    QUERY_TIMEOUT_MS,
    QUERY_FILTER,
    QUERY_AS_OF,
    QUERY_QUERIES,
};
static const struct member MEMBERS[] = {[QUERY_VECTOR] = {"query_vector", false},
                                        [QUERY_USING] = {"using", false},
                                        [QUERY_TOP_K] = {"top_k", false},
                                        [QUERY_EF_SEARCH] = {"ef_search", false},
                                        [QUERY_EXACT] = {"exact", false},
                                        [QUERY_WITH_VECTOR] = {"with_vector", false},
                                        [QUERY_WITH_PAYLOAD] = {"with_payload", false},
                                        [QUERY_EXPLAIN] = {"explain", false},
                                        [QUERY_TIMEOUT_MS] = {"timeout_ms", false},
                                        [QUERY_FILTER] = {"filter", false},
                                        [QUERY_AS_OF] = {"as_of", true},
                                        [QUERY_QUERIES] = {"queries", false}};

/* --- parsing --- */

/* `query_vector` and `using` mean something together. */
struct asked {
    struct jval vector, using;
    bool has_vector, has_using;
};

static bool take_vector(struct request *req, struct parse *p, const struct asked *asked,
                        struct one_query *q)
{
    if (!asked->has_vector)
        return parse_fail(p, PROBLEM_INVALID, "`query_vector` is missing");
    if (!asked->has_using) {
        if (!document_field_unsaid(req, p, "query_vector", "using", &q->field))
            return false;
    } else if (jval_type(asked->using) != J_STRING) {
        return parse_fail(p, PROBLEM_INVALID, "`using` is of type %s, a vector's name is needed",
                          jtype_name(jval_type(asked->using)));
    } else if (!document_field(req, p, "using", jval_string(asked->using), &q->field)) {
        return false;
    }
    return document_vector(req, p, "query_vector", asked->vector, q->field, &q->vector);
}

/* A plain collection without a filter is asked by the shorter way. */
static void ask_for_points(const struct request *req, struct one_query *q)
{
    q->options.with_vector = q->vectors != 0;
    if (document_is_plain(req->collection) && q->points.filter == NULL)
        return;
    q->points.field = (uint32_t)q->field;
    q->points.vectors = q->vectors;
    q->options.with_vector = false;
    q->options.by_distance = true;
    q->options.points = &q->points;
}

/* timeout_ms can only shorten what the server allows. */
static bool take_timeout(struct request *req, struct parse *p, struct jval v, uint64_t *deadline_ns)
{
    uint64_t ms = 0;

    if (!parse_uint(p, "timeout_ms", v, 1, TIMEOUT_MS_MAX, &ms))
        return false;
    if (req->start_ns + ms * 1000000u < *deadline_ns)
        *deadline_ns = req->start_ns + ms * 1000000u;
    return true;
}

static bool take_member(struct request *req, struct parse *p, int which, struct jval v,
                        struct one_query *q, struct asked *asked)
{
    struct query_options *o = &q->options;
    uint64_t n = 0;

    switch (which) {
    case QUERY_VECTOR:
        asked->vector = v;
        asked->has_vector = true;
        return true;
    case QUERY_USING:
        asked->using = v;
        asked->has_using = true;
        return true;
    case QUERY_TOP_K:
        if (!parse_uint(p, "top_k", v, 1, VINDEX_K_MAX, &n))
            return false;
        o->top_k = (uint32_t)n;
        return true;
    case QUERY_EF_SEARCH:
        if (!parse_uint(p, "ef_search", v, 1, VINDEX_EF_MAX, &n))
            return false;
        o->ef_search = (uint32_t)n;
        return true;
    case QUERY_EXACT:
        return parse_bool(p, "exact", v, &o->exact);
    case QUERY_WITH_VECTOR:
        return document_want_vectors(req, p, v, &q->vectors);
    case QUERY_WITH_PAYLOAD:
        return parse_bool(p, "with_payload", v, &o->with_payload);
    case QUERY_EXPLAIN:
        return parse_bool(p, "explain", v, &q->explain);
    case QUERY_TIMEOUT_MS:
        return take_timeout(req, p, v, &o->deadline_ns);
    case QUERY_FILTER:
        return parse_filter(req, p, "filter", v, &q->points.filter);
    default: /* null counts as absent */
        return which >= 0;
    }
}

static bool take_query(struct request *req, struct parse *p, struct jval v, size_t member_count,
                       struct one_query *q)
{
    struct asked asked = {0};

    *q = (struct one_query){.options = {.top_k = TOP_K_DEFAULT,
                                        .with_payload = true,
                                        .with_stats = true,
                                        .deadline_ns = req->deadline_ns,
                                        .stop = &req->gone}};
    if (jval_type(v) != J_OBJECT)
        return parse_fail(p, PROBLEM_INVALID, "the query is of type %s, an object is needed",
                          jtype_name(jval_type(v)));
    for (struct jiter it = jval_iter(v); jiter_next(&it);)
        if (!take_member(req, p, parse_member(p, MEMBERS, member_count, &it), it.value, q, &asked))
            return false;
    if (!take_vector(req, p, &asked, q))
        return false;
    ask_for_points(req, q);
    return true;
}

static bool make_queries(struct request *req, struct parse *p, struct search *s, size_t count)
{
    s->count = count;
    s->queries = arena_array(&req->arena, count, sizeof *s->queries);
    return s->queries != NULL ||
           parse_fail(p, PROBLEM_NO_MEMORY, "out of memory for %zu queries", count);
}

static bool take_list(struct request *req, struct parse *p, struct jval root, struct jval list,
                      struct search *s)
{
    size_t count = jval_type(list) == J_ARRAY ? jval_count(list) : 0;

    for (struct jiter it = jval_iter(root); jiter_next(&it);) {
        int which = parse_member(p, MEMBERS, COUNT_OF(MEMBERS), &it);

        if (which < 0)
            return false;
        if (which == QUERY_TIMEOUT_MS) {
            if (!take_timeout(req, p, it.value, &req->deadline_ns))
                return false;
        } else if (which < QUERY_QUERIES) {
            return parse_fail(p, PROBLEM_INVALID, "`%s` may not stand beside `queries`",
                              MEMBERS[which].name);
        }
    }
    if (jval_type(list) != J_ARRAY)
        return parse_fail(p, PROBLEM_INVALID, "`queries` is of type %s, an array is needed",
                          jtype_name(jval_type(list)));
    if (count == 0)
        return parse_fail(p, PROBLEM_INVALID, "`queries` is empty");
    if (count > req->api->options.batch_max)
        return parse_fail(p, PROBLEM_BATCH_TOO_LARGE, "`queries` has %zu elements, the limit is %u",
                          count, req->api->options.batch_max);
    if (!make_queries(req, p, s, count))
        return false;
    p->list = "queries";
    p->index = 0;
    for (struct jiter it = jval_iter(list); jiter_next(&it); p->index++)
        if (!take_query(req, p, it.value, QUERY_QUERIES, &s->queries[p->index]))
            return false;
    return true;
}

/* --- printing --- */

static void print_match(struct buf *out, const struct match *m, const struct one_query *q,
                        const struct collection *c)
{
    const float *const one[1] = {m->vector};

    buf_put_text(out, "{\"doc_id\":");
    print_doc_id(out, &m->id, node_string_ids(c));
    print_external_id(out, m->external_id);
    print_key(out, false, "distance");
    json_put_f32(out, m->distance);
    print_key(out, false, "score");
    json_put_f32(out, m->score);
    if (q->options.with_payload)
        print_payload(out, m->payload);
    document_print_vectors(out, c, m->vectors != NULL ? (const float *const *)m->vectors : one,
                           q->vectors);
    buf_put_text(out, "}");
}

static void print_cold(struct buf *out, const struct query_cold_stats *s)
{
    buf_put_text(out, ",\"cold\":{");
    print_u64(out, true, "gets", s->gets);
    print_u64(out, false, "waves", s->waves);
    print_u64(out, false, "bytes", s->bytes);
    print_u64(out, false, "cells", s->cells);
    print_u64(out, false, "cache_hits", s->hits);
    print_u64(out, false, "cache_misses", s->misses);
    print_u64(out, false, "rows_scored", s->rows);
    buf_put_text(out, "}");
}

/* The words of the guides: candidates considered, distance calculations, vectors scanned, what the
 * filter let through. */
static void print_explain(struct request *req, struct buf *out, const struct one_query *q,
                          const struct query_result *r, uint64_t search_ns)
{
    uint64_t estimate_ns = node_query_cost_ns(req->collection, &q->options);

    buf_put_text(out, ",\"explain\":{");
    print_text(out, true, "using", node_field(req->collection, q->field)->name);
    print_text(out, false, "plan", r->used_graph ? "index" : "scan");
    print_text(out, false, "way", r->plan != NULL ? r->plan : r->used_graph ? "graph" : "scan");
    print_u64(out, false, "candidates_considered", (uint64_t)r->visited + r->scanned);
    print_u64(out, false, "nodes_visited", r->visited);
    print_u64(out, false, "layers_traversed", r->layers);
    print_u64(out, false, "distance_calculations", r->distances);
    print_u64(out, false, "vectors_scanned", r->scanned);
    print_key(out, false, "filter_selectivity");
    json_put_f64(out, r->selectivity);
    print_u64(out, false, "filter_rows_examined", r->filter_rows);
    print_u64(out, false, "filter_indexes_used", r->filter_indexes);
    if (r->cold.asked)
        print_cold(out, &r->cold);
    buf_printf(out,
               ",\"cost_estimate_ms\":%.3f,\"parse_ms\":%.3f,\"filter_ms\":%.3f,"
               "\"search_ms\":%.3f}",
               (double)estimate_ns / 1e6, (double)(req->parsed_ns - req->start_ns) / 1e6,
               (double)r->filter_ns / 1e6, (double)(search_ns - r->filter_ns) / 1e6);
}

static void print_result(struct request *req, struct buf *out, const struct one_query *q,
                         const struct query_result *r, uint64_t search_ns)
{
    buf_put_text(out, "\"matches\":[");
    for (uint32_t i = 0; i < r->count; i++) {
        if (i > 0)
            buf_put_text(out, ",");
        print_match(out, &r->matches[i], q, req->collection);
    }
    buf_put_text(out, "]");
    if (r->partial)
        print_bool(out, "partial", true);
    if (q->explain)
        print_explain(req, out, q, r, search_ns);
}

/* --- running --- */

static void note_slow(struct request *req, const struct search *s)
{
    uint64_t took_ns = clock_mono_ns(req->api->options.clock) - req->start_ns;
    const struct query_options *o = &s->queries[0].options;

    if (req->api->options.slow_query_ms == 0 ||
        took_ns < (uint64_t)req->api->options.slow_query_ms * 1000000u)
        return;
    log_warn("slow query",
             "request_id=%s collection_id=%s ms=%.3f queries=%zu top_k=%u ef_search=%u exact=%d "
             "visited=%" PRIu64 " distances=%" PRIu64 " scanned=%" PRIu64,
             req->id, collection_id_text(req->collection), (double)took_ns / 1e6, s->count,
             o->top_k, o->ef_search, o->exact, s->visited, s->distances, s->scanned);
}

static task_state fail_query(struct request *req, struct search *s, status st,
                             const struct err *err)
{
    const struct one_query *q = &s->queries[s->next];
    uint64_t vector_bytes =
        q->options.top_k * document_floats(req->collection, q->vectors) * sizeof(float);
    bool too_large = s->scratch.bytes > REQUEST_ARENA_BYTES_MAX / 2 ||
                     vector_bytes > REQUEST_ARENA_BYTES_MAX / 2;

    arena_free(&s->scratch);
    log_context_set(NULL, NULL);
    if (st == ST_NOMEM && too_large)
        reply_problem(req, PROBLEM_ANSWER_TOO_LARGE, "the matches are over the limit of an answer");
    else
        reply_status(req, st, err);
    return TASK_DONE;
}

/* One query into the answer. */
static status run_one(struct request *req, struct search *s, struct err *err)
{
    struct one_query *q = &s->queries[s->next];
    struct query_result result = {0};
    uint64_t begun_ns = clock_mono_ns(req->api->options.clock);
    struct buf *out = &req->out;
    status st;

    if (begun_ns > q->options.deadline_ns)
        return err_set(err, ST_TIMEOUT, "the deadline passed before query %zu", s->next);
    st = node_query(req->collection, q->vector, &q->options, &s->scratch, &result, err);
    if (st != ST_OK)
        return st;
    if (s->many)
        buf_put_text(out, s->next == 0 ? "{" : ",{");
    print_result(req, out, q, &result, clock_mono_ns(req->api->options.clock) - begun_ns);
    if (s->many)
        buf_put_text(out, "}");
    s->visited += result.visited;
    s->distances += result.distances;
    s->scanned += result.scanned;
    return ST_OK;
}

/* Runs queries until the slice is used up. */
static task_state run_slice(struct task *task)
{
    struct request *req = (struct request *)task;
    struct search *s = req->state;
    uint64_t until = clock_mono_ns(req->api->options.clock) + EXEC_SLICE_NS;
    struct err err = {0};

    log_context_set(req->id, collection_id_text(req->collection));
    while (s->next < s->count) {
        status st = atomic_load_explicit(&req->gone, memory_order_relaxed)
                        ? err_set(&err, ST_TIMEOUT, "nobody waits for the answer")
                        : run_one(req, s, &err);

        if (st != ST_OK)
            return fail_query(req, s, st, &err);
        arena_reset(&s->scratch);
        s->next++;
        if (req->out.failed)
            break; /* reply_send() tells */
        if (s->next < s->count && clock_mono_ns(req->api->options.clock) >= until) {
            task->run = run_slice;
            arena_free(&s->scratch); /* many may wait like this one */
            log_context_set(NULL, NULL);
            return reply_grow(req) ? TASK_AGAIN : TASK_DONE;
        }
    }
    arena_free(&s->scratch);
    if (s->many)
        buf_put_text(&req->out, "]");
    reply_put_latency(req, &req->out);
    buf_put_text(&req->out, "}\n");
    note_slow(req, s);
    log_context_set(NULL, NULL);
    reply_send(req, 200);
    return TASK_DONE;
}

/* At once when cheap, else through the queue again under its true cost. */
static task_state run_search(struct request *req, struct search *s)
{
    uint64_t retry_after_ns = 0;
    struct err err = {0};
    uint64_t cost = 0;
    status st;

    for (size_t i = 0; i < s->count; i++) {
        const struct query_options *o = &s->queries[i].options;

        cost += node_query_cost_ns(req->collection, o);
        req->task.slow |= o->points != NULL && request_asks_rows(req, o->points->filter);
    }
    req->state = s;
    buf_put_text(reply_begin(req), s->many ? "{\"results\":[" : "{");
    if (cost <= EXEC_INTERACTIVE_NS || node_cold_thread())
        return run_slice(&req->task);
    req->task.cost_ns = cost;
    req->task.fair_key = collection_fair_key(req->collection);
    req->task.run = run_slice;
    st = exec_submit(req->api->options.exec, &req->task, &retry_after_ns, &err);
    if (st != ST_OK) /* refused: the request is still ours */
        reply_retry(req, st, &err, retry_after_ns);
    return TASK_DONE;
}

task_state handle_query(struct request *req)
{
    struct search *s = arena_zero(&req->arena, sizeof *s);
    struct parse p = {0};
    struct jval root;
    struct jval list;
    bool fine;

    if (s == NULL) {
        reply_problem(req, PROBLEM_NO_MEMORY, "out of memory for a query");
        return TASK_DONE;
    }
    arena_init(&s->scratch, REQUEST_ARENA_BYTES_MAX);
    if (!request_parameters(req, NO_PARAMETERS) || !request_pin_collection(req) ||
        !request_json(req, false, &root))
        return TASK_DONE;
    s->many = jval_member(root, "queries", &list);
    if (s->many)
        fine = take_list(req, &p, root, list, s);
    else
        fine = make_queries(req, &p, s, 1) &&
               take_query(req, &p, root, COUNT_OF(MEMBERS), &s->queries[0]);
    request_json_done(req);
    return fine ? run_search(req, s) : fail_parse(req, &p);
}
