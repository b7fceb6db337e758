/* Requests of fetches: sent while there is room and the store is not known to be away, sent once
 * more when they are slow, answered on the store's thread. */
#include "tiering/cache_internal.h"

#include "base/mem.h"

#include <inttypes.h>

enum {
    AWAY_MS = 1000,       /* so long a fetch waits for a store that does not answer */
    ASK_BREAKER_MS = 20,  /* how often, while a probe is under way */
    THROTTLED_MS = 10000, /* so long nothing is hedged */
};

bool cache_legs_out(const struct cache_flight *f)
{
    return f->legs[0].out || f->legs[1].out;
}

void cache_flight_wake(struct cache_flight *f)
{
    for (uint32_t i = 0; i < f->count; i++) {
        struct cache_want *w = f->parts[i].block != NULL ? f->parts[i].block->waiting : NULL;

        for (; w != NULL; w = w->next)
            cond_signal(&((struct cache_reader *)w->reader)->cond);
    }
}

/* A range that ends beyond its object comes shorter. */
static void note_length(const struct cache_flight *f, struct objstore_result *r)
{
    if (r->class != OBJSTORE_OK || r->body.bytes == f->bytes)
        return;
    r->class = OBJSTORE_INTEGRITY;
    (void)err_set(&r->err, ST_CORRUPT, "get %s: %zu bytes instead of %" PRIu64, f->key,
                  r->body.bytes, f->bytes);
}

static void note_answer(struct cache *c, struct cache_flight *f, struct flight_leg *leg)
{
    const struct objstore_result *r = &leg->req.result;
    uint64_t now_ns = clock_mono_ns(c->clock);

    breaker_answer(&c->breaker, r->class, r->retry_after_ms, now_ns / 1000000);
    if (c->breaker.state != BREAKER_CLOSED && r->class != OBJSTORE_CANCELLED)
        c->trouble = r->err;
    if (r->class == OBJSTORE_THROTTLE)
        c->throttled_until_ns = now_ns + (uint64_t)THROTTLED_MS * 1000000;
    if (r->class == OBJSTORE_OK)
        objstore_retry_budget_success(&c->budget);
    if (r->class != OBJSTORE_OK || f->state != FLIGHT_OUT)
        return;
    cache_hedge_took(&c->hedge, f->bytes, now_ns - f->sent_ns);
    if (f->account != NULL)
        f->account->get_bytes += r->body.bytes;
}

static void on_done(struct objstore_req *req)
{
    struct flight_leg *leg = req->arg;
    struct cache_flight *f = leg->flight;
    struct cache *c = f->cache;

    lock_take(&c->lock);
    leg->out = false;
    leg->answered = true;
    c->out--;
    c->out_bytes -= f->bytes;
    note_length(f, &req->result);
    note_answer(c, f, leg);
    if (f->state == FLIGHT_ENDED) {
        objstore_result_fini(&req->result);
        if (!cache_legs_out(f))
            cache_flight_free(c, f);
    } else {
        cache_flight_wake(f);
    }
    cache_send_queued(c);
    lock_drop(&c->lock);
}

static void submit(struct cache *c, struct cache_flight *f, struct flight_leg *leg, bool fresh)
{
    objstore_result_fini(&leg->req.result);
    leg->flight = f;
    leg->out = true;
    leg->answered = false;
    leg->req = (struct objstore_req){.op = OBJSTORE_GET,
                                     .pool = f->pool,
                                     .key = f->key,
                                     .range_offset = f->offset,
                                     .range_bytes = f->bytes,
                                     .bytes_max = (size_t)f->bytes,
                                     .fresh_connection = fresh,
                                     .done = on_done,
                                     .arg = leg};
    c->out++;
    c->out_bytes += f->bytes;
    if (f->account != NULL)
        f->account->gets++;
    objstore_submit(c->store, &leg->req);
}

static bool may_send(const struct cache *c, uint64_t bytes)
{
    return c->out == 0 || (c->out < c->gets_max && c->out_bytes + bytes <= c->wave_bytes_max);
}

static void send_first(struct cache *c, struct cache_flight *f, uint64_t now_ns)
{
    uint64_t after = f->hedges ? cache_hedge_after_ns(&c->hedge, f->bytes) : UINT64_MAX;

    f->state = FLIGHT_OUT;
    f->sent_ns = now_ns;
    f->hedge_ns = after == UINT64_MAX ? UINT64_MAX : now_ns + after;
    f->refused_ns = 0;
    f->legs[1].answered = false; /* of an attempt before */
    cache_hedge_earn(&c->hedge);
    submit(c, f, &f->legs[0], f->fresh || ask_fresh(&c->ask, &f->tries));
}

/* A store that is away is asked by one probe at a time; the others wait a moment for what it comes
 * to, and not at all where the next is far off. */
static void refused(struct cache *c, struct cache_flight *f, uint64_t now_ns)
{
    uint64_t next_ms = breaker_next_ms(&c->breaker);
    uint64_t now_ms = now_ns / 1000000;

    if (f->refused_ns == 0)
        f->refused_ns = now_ns;
    if ((next_ms != UINT64_MAX && next_ms > now_ms + AWAY_MS) ||
        now_ns - f->refused_ns >= (uint64_t)AWAY_MS * 1000000) {
        struct err why;

        f->state = FLIGHT_PAUSED;
        cache_flight_fail(c, f,
                          err_set(&why, ST_UNAVAILABLE, "get %s: the bucket is away: %s", f->key,
                                  c->trouble.text),
                          &why);
        return;
    }
    f->state = FLIGHT_PAUSED;
    f->err = c->trouble;
    f->err.code = ST_UNAVAILABLE;
    if (next_ms == UINT64_MAX || next_ms < now_ms + ASK_BREAKER_MS)
        next_ms = now_ms + ASK_BREAKER_MS;
    f->next_try_ns = next_ms * 1000000;
    cache_flight_wake(f);
}

void cache_send_queued(struct cache *c)
{
    while (c->queue_first != NULL && may_send(c, c->queue_first->bytes)) {
        struct cache_flight *f = c->queue_first;
        uint64_t now_ns = clock_mono_ns(c->clock);

        c->queue_first = f->next;
        if (c->queue_first == NULL)
            c->queue_last = &c->queue_first;
        if (breaker_admit(&c->breaker, now_ns / 1000000))
            send_first(c, f, now_ns);
        else
            refused(c, f, now_ns);
    }
}

void cache_send_again(struct cache *c, struct cache_flight *f, struct cache_budget *budget)
{
    uint64_t now_ns = clock_mono_ns(c->clock);

    f->hedge_ns = UINT64_MAX;
    if (c->breaker.state != BREAKER_CLOSED || now_ns < c->throttled_until_ns || c->out == 0 ||
        c->out >= c->gets_max ||
        (budget != NULL && (budget->gets == 0 || budget->bytes < f->bytes)) ||
        !cache_hedge_spend(&c->hedge))
        return;
    cache_budget_take(budget, f->bytes);
    if (f->account != NULL)
        f->account->hedges++;
    if (!f->hedged) {
        cache_count(c, f->bytes, true);
        f->counted += f->bytes;
        f->hedged = true;
    }
    submit(c, f, &f->legs[1], false);
}

void cache_legs_cancel(struct cache *c, struct cache_flight *f)
{
    for (size_t i = 0; i < COUNT_OF(f->legs); i++)
        if (f->legs[i].out)
            objstore_cancel(c->store, &f->legs[i].req);
}
