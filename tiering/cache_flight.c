/* The course of a fetch: queued, out, perhaps paused and queued again; its blocks checked by one of
 * those who wait; ended. Whoever waits does what is due. */
#include "tiering/cache_internal.h"

#include "base/mem.h"
#include "snapshot/fetch.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

enum { MISS_PAUSE_MS = 20 };

/* --- its life --- */

static void enqueue(struct cache *c, struct cache_flight *f)
{
    f->state = FLIGHT_QUEUED;
    f->next = NULL;
    *c->queue_last = f;
    c->queue_last = &f->next;
}

static void unqueue(struct cache *c, struct cache_flight *f)
{
    struct cache_flight **at = &c->queue_first;

    while (*at != f)
        at = &(*at)->next;
    *at = f->next;
    if (*at == NULL)
        c->queue_last = at;
}

struct cache_flight *cache_flight_make(struct cache *c, const struct cache_want *w,
                                       const struct cache_terms *terms, struct cache_block **blocks,
                                       uint32_t count)
{
    struct cache_flight *f = mem_zero(sizeof *f + count * sizeof f->parts[0]);

    if (f == NULL)
        return NULL;
    f->cache = c;
    (void)snprintf(f->key, sizeof f->key, "%s", w->key);
    f->offset = w->offset;
    f->count = count;
    for (uint32_t i = 0; i < count; i++) {
        f->parts[i] = (struct flight_part){.block = blocks[i], .bytes = blocks[i]->bytes};
        f->bytes += blocks[i]->bytes;
        blocks[i]->flight = f;
    }
    f->pool = terms->pool;
    f->hedges = terms->pool == OBJSTORE_FOREGROUND;
    f->account = terms->account;
    /* The body of one block is the block's; of several it lies beside them for a while. */
    f->counted = sizeof *f + count * sizeof f->parts[0] + (count > 1 ? f->bytes : 0);
    cache_count(c, f->counted, true);
    c->flying_bytes += f->bytes;
    f->next_flight = c->flights;
    c->flights = f;
    enqueue(c, f);
    return f;
}

void cache_flight_free(struct cache *c, struct cache_flight *f)
{
    struct cache_flight **at = &c->flights;

    for (size_t i = 0; i < COUNT_OF(f->legs); i++)
        objstore_result_fini(&f->legs[i].req.result);
    while (*at != f)
        at = &(*at)->next_flight;
    *at = f->next_flight;
    cache_uncount(c, f->counted, true);
    mem_free(f);
    if (c->flights == NULL)
        cond_broadcast(&c->quiet);
}

/* Its blocks have gone their way. */
static void end(struct cache *c, struct cache_flight *f)
{
    if (f->state == FLIGHT_QUEUED)
        unqueue(c, f);
    f->state = FLIGHT_ENDED;
    f->count = 0;
    c->flying_bytes -= f->bytes;
    if (cache_legs_out(f))
        cache_legs_cancel(c, f); /* their answers do the rest */
    else
        cache_flight_free(c, f);
}

/* --- those who wait --- */

static int rank_of(status st)
{
    static const status RISING[] = {ST_OK,    ST_CLOSED, ST_TIMEOUT,   ST_UNAVAILABLE, ST_NOSPACE,
                                    ST_NOMEM, ST_DENIED, ST_NOT_FOUND, ST_CORRUPT};

    for (size_t i = 0; i < COUNT_OF(RISING); i++)
        if (RISING[i] == st)
            return (int)i;
    return (int)COUNT_OF(RISING);
}

void cache_want_end(struct cache_want *w, status st, const struct err *why)
{
    struct cache_reader *r = w->reader;

    w->st = st;
    w->next = NULL;
    if (rank_of(st) > rank_of(r->st)) {
        r->st = st;
        if (why != NULL)
            r->err = *why;
    }
    w->reader = NULL;
    r->left--;
    cond_signal(&r->cond);
}

static void block_ready(struct cache *c, struct cache_block *b, uint8_t *data)
{
    struct cache_want *w = b->waiting;

    b->waiting = NULL;
    cache_block_ready(c, b, data);
    while (w != NULL) {
        struct cache_want *next = w->next;

        w->body = slice_make(b->data, w->gap ? 0 : (size_t)b->bytes);
        cache_want_end(w, ST_OK, NULL);
        w = next;
    }
}

void cache_block_abandon(struct cache *c, struct cache_block *b)
{
    cache_block_unlist(c, b);
    cache_block_hold(c, b);
    cache_block_drop(c, b);
}

static void block_fail(struct cache *c, struct cache_block *b, status st, const struct err *why)
{
    struct cache_want *w = b->waiting;

    b->waiting = NULL;
    b->refs = 0;
    cache_block_abandon(c, b);
    while (w != NULL) {
        struct cache_want *next = w->next;

        w->block = NULL;
        cache_want_end(w, st, why);
        w = next;
    }
}

void cache_flight_fail(struct cache *c, struct cache_flight *f, status st, const struct err *why)
{
    for (uint32_t i = 0; i < f->count; i++)
        if (f->parts[i].block != NULL)
            block_fail(c, f->parts[i].block, st, why);
    end(c, f);
}

static bool is_wanted(const struct cache_flight *f)
{
    for (uint32_t i = 0; i < f->count; i++)
        if (f->parts[i].block != NULL && f->parts[i].block->waiting != NULL)
            return true;
    return false;
}

void cache_flight_leave(struct cache *c, struct cache_want *w, status st, const struct err *why)
{
    struct cache_reader *r = w->reader;
    struct cache_want **at;
    struct cache_flight *f;

    while (w->reader != NULL && w->block->flight->state == FLIGHT_BUSY)
        cond_wait(&r->cond, &c->lock);
    if (w->reader == NULL)
        return;
    f = w->block->flight;
    at = &w->block->waiting;
    while (*at != w)
        at = &(*at)->next;
    *at = w->next;
    w->block->refs--;
    w->block = NULL;
    if (!is_wanted(f)) {
        for (uint32_t i = 0; i < f->count; i++)
            if (f->parts[i].block != NULL)
                cache_block_abandon(c, f->parts[i].block);
        end(c, f);
    }
    cache_want_end(w, st, why);
}

/* --- what came --- */

static void pause_for(struct cache *c, struct cache_flight *f, uint64_t wait_ms,
                      const struct err *why)
{
    f->state = FLIGHT_PAUSED;
    f->err = *why;
    f->next_try_ns = clock_mono_ns(c->clock) + wait_ms * 1000000;
    cache_flight_wake(f);
}

static void take_failure(struct cache *c, struct cache_flight *f, struct flight_leg *leg)
{
    struct objstore_req *req = &leg->req;
    uint64_t wait_ms = MISS_PAUSE_MS;
    struct err why = {0};
    status st = ask_status(req, &why);
    bool again;

    if (req->result.http_status == 416)
        st = err_set(&why, ST_CORRUPT, "get %s: shorter than its manifest says", f->key);
    if (req->result.class == OBJSTORE_NOT_FOUND)
        again = ++f->misses < FETCH_MISSES;
    else
        again = ask_again(&c->ask, &f->tries, &req->result, &wait_ms);
    if (again)
        pause_for(c, f, wait_ms, &why);
    else
        cache_flight_fail(c, f, st, &why);
}

/* A block's bytes out of the body, checked by somebody who waits for it. */
static status take_part(const struct cache_flight *f, struct slice bytes, struct buf *body,
                        const struct cache_want *w, uint8_t **data, struct err *why)
{
    if (f->count == 1) {
        *data = body->capacity > body->bytes ? mem_resize(body->data, body->bytes) : body->data;
        if (*data == NULL)
            return err_set(why, ST_NOMEM, "get %s: out of memory", f->key);
        *body = (struct buf){0};
    } else if (w->gap) {
        return ST_OK;
    } else {
        *data = mem_alloc(bytes.bytes);
        if (*data == NULL)
            return err_set(why, ST_NOMEM, "get %s: out of memory", f->key);
        memcpy(*data, bytes.data, bytes.bytes);
    }
    return w->check == NULL ? ST_OK : w->check(w->check_arg, *data, bytes.bytes, why);
}

/* Checked without the lock, by what the first of them asks: they stay, as the fetch is busy. What
 * is not right may be so by another connection: ST_CORRUPT. */
static status take_block(struct cache *c, struct cache_flight *f, struct flight_part *part,
                         struct slice bytes, struct buf *body, struct err *why)
{
    const struct cache_want *w = part->block->waiting;
    uint8_t *data = NULL;
    status st = ST_CLOSED; /* nobody waits, so nobody can say whether it is right */

    if (w != NULL) {
        lock_drop(&c->lock);
        st = take_part(f, bytes, body, w, &data, why);
        lock_take(&c->lock);
    }
    if (st == ST_OK) {
        block_ready(c, part->block, data);
    } else {
        mem_free(data);
        if (st == ST_CORRUPT)
            return st;
        block_fail(c, part->block, st, why);
    }
    part->block = NULL;
    return ST_OK;
}

static void take_body(struct cache *c, struct cache_flight *f, struct flight_leg *leg)
{
    struct buf body = leg->req.result.body;
    const uint8_t *at = body.data;
    struct objstore_result wrong = {.class = OBJSTORE_INTEGRITY};
    uint64_t wait_ms = 0;
    status st = ST_OK;
    struct err why = {0};

    leg->req.result.body = (struct buf){0};
    f->state = FLIGHT_BUSY;
    cache_legs_cancel(c, f);
    for (uint32_t i = 0; i < f->count; i++) {
        struct slice bytes = slice_make(at, (size_t)f->parts[i].bytes);

        at += bytes.bytes;
        if (f->parts[i].block != NULL &&
            take_block(c, f, &f->parts[i], bytes, &body, &why) != ST_OK)
            st = ST_CORRUPT;
    }
    buf_free(&body);
    if (st == ST_OK)
        end(c, f);
    else if (ask_again(&c->ask, &f->tries, &wrong, &wait_ms))
        pause_for(c, f, wait_ms, &why);
    else
        cache_flight_fail(c, f, ST_CORRUPT, &why);
}

static void take_answers(struct cache *c, struct cache_flight *f)
{
    struct flight_leg *failed = NULL;

    for (size_t i = 0; i < COUNT_OF(f->legs); i++) {
        struct flight_leg *leg = &f->legs[i];

        if (!leg->answered)
            continue;
        if (leg->req.result.class == OBJSTORE_OK) {
            leg->answered = false;
            take_body(c, f, leg);
            return;
        }
        if (failed == NULL || failed->req.result.class == OBJSTORE_CANCELLED)
            failed = leg;
    }
    f->hedge_ns = failed != NULL ? UINT64_MAX : f->hedge_ns;
    if (failed != NULL && !cache_legs_out(f))
        take_failure(c, f, failed);
}

static void soonest(uint64_t *until_ns, uint64_t ns)
{
    if (ns < *until_ns)
        *until_ns = ns;
}

void cache_flight_drive(struct cache *c, struct cache_flight *f, uint64_t now_ns,
                        struct cache_budget *budget, uint64_t *until_ns)
{
    if (f->state == FLIGHT_OUT) {
        if (now_ns >= f->hedge_ns && !f->legs[0].answered)
            cache_send_again(c, f, budget);
        soonest(until_ns, f->hedge_ns);
        take_answers(c, f); /* f may be gone */
        return;
    }
    if (f->state != FLIGHT_PAUSED || cache_legs_out(f))
        return;
    if (now_ns < f->next_try_ns) {
        soonest(until_ns, f->next_try_ns);
        return;
    }
    cache_budget_take(budget, f->bytes);
    enqueue(c, f);
    cache_send_queued(c);
}
