/* qdrant_query.c - the routes that answer with points by score: query, search, and many in one.
 *
 * The first step parses all queries into the arena, so that the worker's JSON document is free
 * again. Cheap work is then done at once; work whose estimate is more than interactive goes through
 * the queue once more under its true cost, and runs in slices between the steps of its levels. */
#include "api/qdrant_query.h"

#include "base/log.h"

#include <inttypes.h>

struct querying {
    struct plan *plans;
    size_t count, next; /* next: the first not yet printed */
    bool many, older;
    struct read_limits limits;
    struct arena scratch; /* of one query */
    struct query_run run;
    bool begun, done;
    uint32_t printed; /* of its results */
};

/* --- what other routes share --- */

void query_print_scored(struct buf *out, const struct collection *c, const struct scored *s,
                        const struct qd_want *want)
{
    buf_put_text(out, "{\"id\":");
    qd_print_id(out, &s->id);
    buf_put_text(out, ",\"version\":");
    json_put_u64(out, s->lsn);
    buf_put_text(out, ",\"score\":");
    json_put_f32(out, s->score);
    buf_put_text(out, ",\"payload\":");
    payload_print(out, s->payload, &want->payload);
    buf_put_text(out, ",");
    qd_print_vectors(out, c, s->vectors, want->vectors);
    if (s->order != NULL) {
        buf_put_text(out, ",\"order_value\":");
        points_print_value(out, s->order);
    }
    buf_put_text(out, "}");
}

task_state query_fail(struct request *req, struct arena *scratch, status st, const struct err *err)
{
    bool too_large = scratch->bytes > REQUEST_ARENA_BYTES_MAX / 2;

    arena_free(scratch);
    if (st == ST_NOMEM && too_large)
        reply_problem(req, PROBLEM_ANSWER_TOO_LARGE, "the results are over the limit of an answer");
    else
        qd_fail_status(req, st, err);
    return TASK_DONE;
}

status query_in_time(const struct request *req, const struct read_limits *limits, struct err *err)
{
    if (atomic_load_explicit(&req->gone, memory_order_relaxed))
        return err_set(err, ST_TIMEOUT, "nobody waits for the answer");
    if (clock_mono_ns(req->api->options.clock) > limits->deadline_ns)
        return err_set(err, ST_TIMEOUT, "the deadline passed while searching");
    return ST_OK;
}

task_state query_start(struct request *req, uint64_t cost_ns, task_fn *slice)
{
    uint64_t retry_after_ns = 0;
    struct err err = {0};
    status st;

    req->task.fair_key = collection_fair_key(req->collection);
    req->task.run = slice;
    if (cost_ns <= EXEC_INTERACTIVE_NS)
        return slice(&req->task);
    req->task.cost_ns = cost_ns;
    st = exec_submit(req->api->options.exec, &req->task, &retry_after_ns, &err);
    if (st != ST_OK) /* refused: the request is still ours */
        reply_retry(req, st, &err, retry_after_ns);
    return TASK_DONE;
}

/* --- printing --- */

static void print_begin(struct request *req, const struct querying *q)
{
    buf_put_text(&req->out, q->next > 0 ? "," : "");
    buf_put_text(&req->out, q->older ? "[" : "{\"points\":[");
}

/* A few of the results; true after the last. */
static bool print_some(struct request *req, struct querying *q)
{
    enum { RESULTS_A_LOOK = 16 }; /* at the clock */
    const struct plan *plan = &q->plans[q->next];
    const struct scored_list *results = &query_last(plan)->result;

    if (q->printed == 0)
        print_begin(req, q);
    for (uint32_t n = 0; n < RESULTS_A_LOOK && q->printed < results->count; n++) {
        if (q->printed > 0)
            buf_put_text(&req->out, ",");
        query_print_scored(&req->out, req->collection, &results->items[q->printed++], &plan->want);
    }
    if (q->printed < results->count)
        return false;
    buf_put_text(&req->out, q->older ? "]" : "]}");
    return true;
}

static void note_slow(struct request *req, const struct querying *q)
{
    uint64_t took_ns = clock_mono_ns(req->api->options.clock) - req->start_ns;

    if (q->count == 0 || req->api->options.slow_query_ms == 0 ||
        took_ns < (uint64_t)req->api->options.slow_query_ms * 1000000u)
        return;
    log_warn("slow query",
             "request_id=%s collection_id=%s ms=%.3f queries=%zu levels=%zu limit=%" PRIu64,
             req->id, collection_id_text(req->collection), (double)took_ns / 1e6, q->count,
             q->plans[0].count, query_last(&q->plans[0])->limit);
}

/* --- running --- */

/* One step of the query that is next. */
static status go_on(struct request *req, struct querying *q, struct err *err)
{
    if (!q->begun) {
        query_run_begin(&q->run, req, &q->plans[q->next], &q->scratch, &q->limits);
        q->begun = true;
        q->done = false;
        q->printed = 0;
    }
    if (!q->done)
        return query_run_step(&q->run, &q->done, err);
    if (print_some(req, q)) {
        q->begun = false;
        q->next++;
        arena_reset(&q->scratch);
    }
    return ST_OK;
}

static task_state run_querying(struct request *req, struct querying *q)
{
    uint64_t until_ns = clock_mono_ns(req->api->options.clock) + EXEC_SLICE_NS;
    struct err err = {0};

    while (q->next < q->count && !req->out.failed) {
        status st = query_in_time(req, &q->limits, &err);
        struct arena scratch;

        if (st == ST_OK)
            st = go_on(req, q, &err);
        if (st != ST_OK)
            return query_fail(req, &q->scratch, st, &err);
        if (q->next == q->count || clock_mono_ns(req->api->options.clock) < until_ns)
            continue;
        if (!q->begun)
            arena_free(&q->scratch); /* many may wait like this one */
        scratch = q->scratch;
        if (reply_grow(req))
            return TASK_AGAIN;
        arena_free(&scratch);
        return TASK_DONE;
    }
    arena_free(&q->scratch);
    if (q->many)
        buf_put_text(&req->out, "]");
    note_slow(req, q);
    qd_send(req); /* tells if it did not fit */
    return TASK_DONE;
}

static task_state slice(struct task *task)
{
    struct request *req = (struct request *)task;
    task_state state;

    log_context_set(req->id, collection_id_text(req->collection));
    state = run_querying(req, req->state);
    log_context_set(NULL, NULL);
    return state;
}

static bool take_list(struct qd_parse *p, struct request *req, struct jval root, struct querying *q)
{
    size_t count;
    struct jval list;

    if (!qd_member(root, "searches", &list))
        return points_missing(p, "searches");
    if (jval_type(list) != J_ARRAY)
        return points_wrong_type(p, "searches", list, "a list");
    count = jval_count(list);
    if (count > req->api->options.batch_max)
        return qd_bad(p, QD_INPUT, "searches: %zu of them are over the limit of %u", count,
                      req->api->options.batch_max);
    q->plans = arena_array(&req->arena, count + 1, sizeof *q->plans);
    if (q->plans == NULL)
        return qd_no_memory(p);
    for (struct jiter it = jval_iter(list); jiter_next(&it);)
        if (!plan_parse(p, req, it.value, q->older, &q->plans[q->count++]))
            return false;
    return true;
}

static bool take_one(struct qd_parse *p, struct request *req, struct jval root, struct querying *q)
{
    q->plans = arena_array(&req->arena, 1, sizeof *q->plans);
    q->count = 1;
    return q->plans != NULL ? plan_parse(p, req, root, q->older, q->plans) : qd_no_memory(p);
}

static task_state handle(struct request *req, bool many, bool older)
{
    struct querying *q = arena_zero(&req->arena, sizeof *q);
    struct qd_parse p = {0};
    struct qd_terms terms;
    uint64_t cost_ns = 0;
    struct jval root;
    bool fine;

    if (q == NULL) {
        reply_problem(req, PROBLEM_NO_MEMORY, "out of memory for a query");
        return TASK_DONE;
    }
    q->many = many;
    q->older = older;
    if (!qd_terms(req, &terms) || !qd_collection(req) || !qd_body(req, &root))
        return TASK_DONE;
    fine = many ? take_list(&p, req, root, q) : take_one(&p, req, root, q);
    request_json_done(req);
    if (!fine)
        return qd_fail_parse(req, &p);
    q->limits = points_limits(req, &terms);
    arena_init(&q->scratch, REQUEST_ARENA_BYTES_MAX);
    for (size_t i = 0; i < q->count; i++)
        cost_ns += query_cost_ns(req, &q->plans[i]);
    req->state = q;
    buf_put_text(qd_begin(req), many ? "[" : "");
    return query_start(req, cost_ns, slice);
}

task_state handle_qd_query(struct request *req)
{
    return handle(req, false, false);
}

task_state handle_qd_query_batch(struct request *req)
{
    return handle(req, true, false);
}

task_state handle_qd_search(struct request *req)
{
    return handle(req, false, true);
}

task_state handle_qd_search_batch(struct request *req)
{
    return handle(req, true, true);
}
