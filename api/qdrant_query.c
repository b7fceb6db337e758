/* qdrant_query.c - the routes that answer with points by score: query, search, and many in one.
 *
 * All queries are parsed into the arena first, so that the worker's JSON document is free again;
 * then they run one after the other, and each is printed before the next. */
#include "api/qdrant_query.h"

struct querying {
    struct query_job job;
    struct plan *plans;
    size_t count, next; /* next: the first not yet printed */
    bool many, older;
    struct query_run run;
    bool begun, done;
    uint32_t printed; /* of its results */
};

/* --- printing --- */

static void print_begin(struct request *req, const struct querying *q)
{
    buf_put_text(&req->out, q->next > 0 ? "," : "");
    buf_put_text(&req->out, q->older ? "[" : "{\"points\":[");
}

/* A few of the results; true after the last. */
static bool print_some(struct request *req, struct querying *q)
{
    enum { RESULTS_A_STEP = 16 };
    const struct plan *plan = &q->plans[q->next];
    const struct scored_list *results = &query_last(plan)->result;

    if (q->printed == 0)
        print_begin(req, q);
    for (uint32_t n = 0; n < RESULTS_A_STEP && q->printed < results->count; n++) {
        if (q->printed > 0)
            buf_put_text(&req->out, ",");
        query_print_scored(&req->out, req->collection, &results->items[q->printed++], &plan->want);
    }
    if (q->printed < results->count)
        return false;
    buf_put_text(&req->out, q->older ? "]" : "]}");
    return true;
}

/* --- running --- */

static status step(struct request *req, struct query_job *job, bool *done, struct err *err)
{
    struct querying *q = (struct querying *)job; /* its first member */

    if (q->next == q->count) {
        buf_put_text(&req->out, q->many ? "]" : "");
        *done = true;
        return ST_OK;
    }
    if (!q->begun) {
        query_run_begin(&q->run, req, &q->plans[q->next], &job->scratch, &job->limits);
        q->begun = true;
        q->done = false;
        q->printed = 0;
    }
    if (!q->done)
        return query_run_step(&q->run, &q->done, err);
    if (print_some(req, q)) {
        q->begun = false;
        q->next++;
        arena_reset(&job->scratch);
        job->idle = true;
    }
    return ST_OK;
}

/* --- parsing --- */

static bool take_list(struct qd_parse *p, struct request *req, struct jval root, struct querying *q)
{
    enum plan_of of = q->older ? PLAN_OF_SEARCH : PLAN_OF_QUERY;
    size_t count;
    struct jval list;

    if (!qd_member(root, "searches", &list))
        return points_missing(p, "searches");
    if (jval_type(list) != J_ARRAY)
        return points_wrong_type(p, "searches", list, "a list");
    count = jval_count(list);
    if (count > req->api->options.batch_max)
        return qd_bad(p, QD_INPUT,
                      "searches: %zu of them are over the limit of %u, send fewer at once", count,
                      req->api->options.batch_max);
    q->plans = arena_array(&req->arena, count + 1, sizeof *q->plans);
    if (q->plans == NULL)
        return qd_no_memory(p);
    for (struct jiter it = jval_iter(list); jiter_next(&it);)
        if (!plan_parse(p, req, it.value, of, &q->plans[q->count++]))
            return qd_bad_at(p, "searches", q->count - 1);
    return true;
}

static bool take_one(struct qd_parse *p, struct request *req, struct jval root, struct querying *q)
{
    enum plan_of of = q->older ? PLAN_OF_SEARCH : PLAN_OF_QUERY;

    q->plans = arena_array(&req->arena, 1, sizeof *q->plans);
    q->count = 1;
    return q->plans != NULL ? plan_parse(p, req, root, of, q->plans) : qd_no_memory(p);
}

static task_state handle(struct request *req, bool many, bool older)
{
    struct jval root;
    struct querying *q = query_job_make(req, sizeof *q, &root);
    struct qd_parse p = {0};
    uint64_t cost_ns = 0;
    bool fine;

    if (q == NULL)
        return TASK_DONE;
    q->job.step = step;
    q->many = many;
    q->older = older;
    fine = many ? take_list(&p, req, root, q) : take_one(&p, req, root, q);
    request_json_done(req);
    if (!fine)
        return qd_fail_parse(req, &p);
    for (size_t i = 0; i < q->count; i++)
        cost_ns += query_cost_ns(req, &q->plans[i]);
    buf_put_text(qd_begin(req), many ? "[" : "");
    return query_job_start(req, &q->job, cost_ns);
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
