/* Calls of tiering/tier.h that end in a callback, as calls that wait; not for workers. */
#include "node/node_internal.h"

#include <stdatomic.h>

struct ship_call {
    _Atomic int refs;
    struct lock lock;
    struct cond cond;
    bool done;
    status st;
    struct err err;
};

void ship_call_drop(struct ship_call *call)
{
    if (atomic_fetch_sub(&call->refs, 1) != 1)
        return;
    cond_fini(&call->cond);
    lock_fini(&call->lock);
    mem_free(call);
}

void ship_call_done(void *arg, status st, const struct err *err)
{
    struct ship_call *call = arg;

    lock_take(&call->lock);
    call->done = true;
    call->st = st;
    if (err != NULL)
        call->err = *err;
    cond_broadcast(&call->cond);
    lock_drop(&call->lock);
    ship_call_drop(call);
}

status ship_call_wait(struct ship_call *call, uint64_t timeout_ms, const _Atomic bool *stop,
                      struct err *err)
{
    uint64_t waited_ms = 0;
    status st;

    lock_take(&call->lock);
    while (!call->done && waited_ms < timeout_ms && !atomic_load(stop)) {
        if (!cond_wait_ns(&call->cond, &call->lock, (uint64_t)50 * 1000000))
            waited_ms += 50;
    }
    st = call->done ? call->st : err_set(err, ST_UNAVAILABLE, "the bucket did not answer in time");
    if (call->done && st != ST_OK && err != NULL)
        *err = call->err;
    lock_drop(&call->lock);
    return st;
}

status ship_call_create(struct ship_call **out, struct err *err)
{
    struct ship_call *call = mem_zero(sizeof *call);

    if (call == NULL)
        return err_set(err, ST_NOMEM, "out of memory");
    lock_init(&call->lock, LOCK_RANK_LEAF, "ship call");
    cond_init(&call->cond);
    atomic_init(&call->refs, 2);
    *out = call;
    return ST_OK;
}

/* What a stream in trouble knows more than its answer. */
status ship_explain(struct collection *c, status st, struct err *err)
{
    struct tier_stream_status s = {0};
    const char *why;

    if (st == ST_OK || err == NULL || !ship_status(c, &s))
        return st;
    why = s.trouble[0] != '\0' ? s.trouble : s.reason;
    if (err->text[0] == '\0')
        return err_set(err, st, "%s", why[0] != '\0' ? why : "the bucket refused it");
    if (st == ST_UNAVAILABLE && why[0] != '\0' && strstr(err->text, why) == NULL)
        return err_set(err, st, "the bucket did not answer as it should in time: %s", why);
    return st;
}

static status call_until(struct collection *c, ship_start_fn *start, const void *what,
                         uint64_t timeout_ms, const _Atomic bool *stop, struct err *err)
{
    struct ship_call *call = NULL;
    struct tier_stream *stream;
    status st = ship_call_create(&call, err);

    if (st != ST_OK)
        return st;
    lock_take(&c->seq.lock);
    stream = c->seq.stream;
    if (stream != NULL) /* under the lock: it cannot be closed meanwhile */
        start(stream, ship_call_done, call, what);
    lock_drop(&c->seq.lock);
    if (stream == NULL) {
        ship_call_drop(call);
        st = policy_has_bucket(atomic_load(&c->policy))
                 ? err_set(err, ST_UNAVAILABLE,
                           "the collection is being loaded from the bucket; try again")
                 : err_set(err, ST_INVALID, "the collection has no bucket: its policy is Memory");
    } else {
        st = ship_call_wait(call, timeout_ms, stop, err);
    }
    ship_call_drop(call);
    return ship_explain(c, st, err);
}

status ship_call(struct collection *c, ship_start_fn *start, const void *what, uint64_t timeout_ms,
                 struct err *err)
{
    return call_until(c, start, what, timeout_ms, &c->node->stopping, err);
}

static void start_flush(struct tier_stream *s, tier_done_fn *done, void *arg, const void *what)
{
    (void)what;
    tier_stream_flush(s, done, arg);
}

static void start_own(struct tier_stream *s, tier_done_fn *done, void *arg, const void *what)
{
    (void)what;
    tier_stream_own(s, done, arg);
}

status ship_own(struct collection *c, uint64_t timeout_ms, struct err *err)
{
    return ship_call(c, start_own, NULL, timeout_ms, err);
}

status ship_flush(struct collection *c, uint64_t timeout_ms, struct err *err)
{
    return ship_call(c, start_flush, NULL, timeout_ms, err);
}

status ship_flush_anyway(struct collection *c, uint64_t timeout_ms, struct err *err)
{
    static const _Atomic bool never = false;

    return call_until(c, start_flush, NULL, timeout_ms, &never, err);
}
