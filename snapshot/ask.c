#include "snapshot/ask.h"

#include "base/lock.h"

#include <stdatomic.h>
#include <stdio.h>
#include <time.h>

bool ask_stopped(const struct ask *a)
{
    return a->stop != NULL && atomic_load_explicit(a->stop, memory_order_relaxed);
}

static uint64_t now_ms(const struct ask *a)
{
    return clock_mono_ns(a->clock) / 1000000;
}

bool ask_sleep(const struct ask *a, uint64_t ms)
{
    while (ms > 0 && !ask_stopped(a)) {
        uint64_t part = ms < ASK_SLICE_MS ? ms : ASK_SLICE_MS;
        struct timespec t = {.tv_nsec = (long)(part * 1000000)};

        (void)nanosleep(&t, NULL);
        ms -= part;
    }
    return !ask_stopped(a);
}

bool ask_again(const struct ask *a, struct ask_tries *tries, const struct objstore_result *r,
               uint64_t *wait_ms)
{
    enum objstore_class class = r->class;

    tries->attempts++;
    tries->by_class[class]++;
    if (objstore_class_retries(class) && a->give_up_ms > 0) {
        if (tries->since_ms == 0)
            tries->since_ms = now_ms(a) + 1; /* never 0 */
        if (now_ms(a) + 1 - tries->since_ms >= a->give_up_ms)
            return false;
    }
    if (a->budget != NULL && objstore_class_status(class) == ST_OK)
        objstore_retry_budget_success(a->budget);
    return objstore_retry_next(&a->policy, class, tries->by_class[class], r->retry_after_ms,
                               rand_u64(a->rand), wait_ms) &&
           (a->budget == NULL || objstore_retry_budget_take(a->budget, class));
}

bool ask_fresh(const struct ask *a, const struct ask_tries *tries)
{
    return a->fresh_connection || tries->by_class[OBJSTORE_TRANSIENT] > 0 ||
           tries->by_class[OBJSTORE_INTEGRITY] > 0;
}

struct waiter {
    struct lock lock; /* LOCK_RANK_QUEUE */
    struct cond cond;
    bool ended;
};

static void on_done(struct objstore_req *req)
{
    struct waiter *w = req->arg;

    lock_take(&w->lock);
    w->ended = true;
    cond_signal(&w->cond);
    lock_drop(&w->lock);
}

/* A request that is asked to end early ends by done() like any other, and perhaps with success. */
static void send_once(const struct ask *a, struct objstore_req *req)
{
    struct waiter w = {.ended = false};
    bool cancelled = false;

    lock_init(&w.lock, LOCK_RANK_QUEUE, "ask");
    cond_init(&w.cond);
    req->done = on_done;
    req->arg = &w;
    objstore_submit(a->store, req);
    lock_take(&w.lock);
    while (!w.ended) {
        (void)cond_wait_ns(&w.cond, &w.lock, (uint64_t)ASK_SLICE_MS * 1000000);
        if (w.ended || cancelled || !ask_stopped(a))
            continue;
        cancelled = true;
        lock_drop(&w.lock);
        objstore_cancel(a->store, req);
        lock_take(&w.lock);
    }
    lock_drop(&w.lock);
    cond_fini(&w.cond);
    lock_fini(&w.lock);
}

status ask_status(const struct objstore_req *req, struct err *err)
{
    const struct objstore_result *r = &req->result;
    status st = objstore_class_status(r->class);

    if (st == ST_OK)
        return ST_OK;
    if (strstr(r->err.text, req->key) != NULL) /* the store has said which request it was */
        return err_set(err, st, "%s", r->err.text);
    return err_set(err, st, "%s %s: %s", objstore_op_name(req->op), req->key,
                   r->err.text[0] != '\0' ? r->err.text : objstore_class_name(r->class));
}

status ask_send(const struct ask *a, struct objstore_req *req, struct ask_tries *tries,
                struct err *err)
{
    uint64_t wait_ms = 0;

    for (;;) {
        objstore_req_reset(req);
        if (ask_stopped(a))
            break;
        req->fresh_connection = ask_fresh(a, tries);
        send_once(a, req);
        if (!ask_again(a, tries, &req->result, &wait_ms))
            return ask_stopped(a) && req->result.class == OBJSTORE_CANCELLED
                       ? err_set(err, ST_CLOSED, "%s %s: stopped", objstore_op_name(req->op),
                                 req->key)
                       : ask_status(req, err);
        if (!ask_sleep(a, wait_ms))
            break;
    }
    return err_set(err, ST_CLOSED, "%s %s: stopped", objstore_op_name(req->op), req->key);
}

status ask_get(const struct ask *a, const char *key, size_t bytes_max, struct buf *out,
               char etag[OBJSTORE_ETAG_BYTES], struct err *err)
{
    struct objstore_req req = {
        .op = OBJSTORE_GET, .pool = OBJSTORE_BULK, .key = key, .bytes_max = bytes_max};
    struct ask_tries tries = {0};
    status st = ask_send(a, &req, &tries, err);

    if (st == ST_OK) {
        *out = req.result.body; /* the caller's from here on */
        req.result.body = (struct buf){0};
        if (etag != NULL)
            (void)snprintf(etag, OBJSTORE_ETAG_BYTES, "%s", req.result.etag);
    }
    objstore_result_fini(&req.result);
    return st;
}
