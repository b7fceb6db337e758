/* qdrant_query_job.c - work in steps: at once when it is cheap, else through the queue once more
 * under its true cost, and in slices. */
#include "api/qdrant_query.h"

#include "base/log.h"
#include "node/cold_exec.h"

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
    qd_print_vectors(out, c, s->vectors, want->vectors, want->binary);
    if (s->order != NULL) {
        buf_put_text(out, ",\"order_value\":");
        points_print_order(out, s->order);
    }
    buf_put_text(out, "}");
}

void *query_job_make(struct request *req, size_t bytes, struct jval *root)
{
    struct query_job *job = arena_zero(&req->arena, bytes);
    struct qd_terms terms;

    if (job == NULL) {
        reply_problem(req, PROBLEM_NO_MEMORY, "out of memory for a query");
        return NULL;
    }
    if (!qd_terms(req, &terms) || !qd_collection(req) || !qd_body(req, root))
        return NULL;
    job->limits = points_limits(req, &terms);
    arena_init(&job->scratch, REQUEST_ARENA_BYTES_MAX);
    return job;
}

static status in_time(const struct request *req, const struct query_job *job, struct err *err)
{
    if (atomic_load_explicit(&req->gone, memory_order_relaxed))
        return err_set(err, ST_TIMEOUT, "nobody waits for the answer");
    if (clock_mono_ns(req->api->options.clock) > job->limits.deadline_ns)
        return err_set(err, ST_TIMEOUT, "the deadline passed while searching");
    return ST_OK;
}

static task_state fail(struct request *req, struct query_job *job, status st, const struct err *err)
{
    bool too_large = job->scratch.bytes > REQUEST_ARENA_BYTES_MAX / 2;

    arena_free(&job->scratch);
    if (st == ST_NOMEM && too_large)
        reply_problem(req, PROBLEM_ANSWER_TOO_LARGE,
                      "the results are over the limit of an answer: ask for fewer points, or for "
                      "less of each");
    else
        qd_fail_status(req, st, err);
    return TASK_DONE;
}

/* What waits between slices is bounded over all requests; false: go on at once. */
static bool hold(struct api *api, struct query_job *job)
{
    uint64_t bytes = job->scratch.bytes;

    if (atomic_fetch_add_explicit(&api->query_bytes, bytes, memory_order_relaxed) + bytes <=
        QUERY_PAUSED_BYTES_MAX) {
        job->held = bytes;
        return true;
    }
    atomic_fetch_sub_explicit(&api->query_bytes, bytes, memory_order_relaxed);
    return false;
}

static void let_go(struct api *api, struct query_job *job)
{
    atomic_fetch_sub_explicit(&api->query_bytes, job->held, memory_order_relaxed);
    job->held = 0;
}

static void note_slow(struct request *req)
{
    uint64_t took_ns = clock_mono_ns(req->api->options.clock) - req->start_ns;

    if (req->api->options.slow_query_ms > 0 &&
        took_ns >= (uint64_t)req->api->options.slow_query_ms * 1000000u)
        log_warn("slow query", "request_id=%s collection_id=%s ms=%.3f route=%s body_bytes=%zu",
                 req->id, collection_id_text(req->collection), (double)took_ns / 1e6,
                 req->match.route->pattern, req->body.bytes);
}

static task_state run(struct request *req)
{
    struct query_job *job = req->state;
    uint64_t until_ns = clock_mono_ns(req->api->options.clock) + EXEC_SLICE_NS;
    struct err err = {0};

    let_go(req->api, job);
    for (bool done = false; !done && !req->out.failed;) {
        struct arena scratch;
        status st = in_time(req, job, &err);

        job->idle = false;
        if (st == ST_OK)
            st = job->step(req, job, &done, &err);
        if (st != ST_OK)
            return fail(req, job, st, &err);
        if (done || clock_mono_ns(req->api->options.clock) < until_ns)
            continue;
        if (job->idle)
            arena_free(&job->scratch); /* many may wait like this one */
        scratch = job->scratch;
        if (!reply_grow(req)) { /* the request is gone, and what it held of the bound is nothing */
            arena_free(&scratch);
            return TASK_DONE;
        }
        if (hold(req->api, job))
            return TASK_AGAIN;
    }
    arena_free(&job->scratch);
    note_slow(req);
    qd_send(req); /* tells if it did not fit */
    return TASK_DONE;
}

static task_state slice(struct task *task)
{
    return request_slice(task, run);
}

task_state query_job_start(struct request *req, struct query_job *job, uint64_t cost_ns)
{
    uint64_t retry_after_ns = 0;
    struct err err = {0};
    status st;

    req->state = job;
    req->task.fair_key = collection_fair_key(req->collection);
    req->task.run = slice;
    if (req->waits)
        return request_wait_on(req, slice);
    if (cost_ns <= EXEC_INTERACTIVE_NS || node_cold_thread())
        return slice(&req->task);
    req->task.cost_ns = cost_ns;
    st = exec_submit(req->api->options.exec, &req->task, &retry_after_ns, &err);
    if (st != ST_OK) /* refused: the request is still ours */
        reply_retry(req, st, &err, retry_after_ns);
    return TASK_DONE;
}
