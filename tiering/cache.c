/* Reading: hits under one lock, what is missing made into fetches, and waiting for them. */
#include "tiering/cache_internal.h"

#include "base/log.h"
#include "base/mem.h"

#include <inttypes.h>
#include <string.h>

enum {
    GETS_MAX = 64, /* what the store cannot send at once waits there */
    BREAKER_BASE_MS = 100,
    BREAKER_MAX_MS = 2000,
};
#define WAVE_BYTES_MAX ((uint64_t)256 * 1024 * 1024)

status cache_open(const struct cache_options *options, struct cache **out, struct err *err)
{
    struct cache *c = mem_zero(sizeof *c);
    status st;

    if (c == NULL)
        return err_set(err, ST_NOMEM, "out of memory for the cache");
    c->store = options->store;
    c->clock = options->clock;
    c->bytes_max = options->bytes_max;
    c->seen = options->seen;
    c->seen_arg = options->seen_arg;
    c->gets_max = options->gets_max > 0 ? options->gets_max : GETS_MAX;
    c->wave_bytes_max = options->wave_bytes_max > 0 ? options->wave_bytes_max : WAVE_BYTES_MAX;
    objstore_retry_budget_init(&c->budget);
    c->ask = (struct ask){.store = options->store,
                          .clock = options->clock,
                          .rand = options->rand,
                          .policy = objstore_retry_foreground(),
                          .budget = &c->budget};
    breaker_init(&c->breaker, BREAKER_BASE_MS, BREAKER_MAX_MS, rand_u64(options->rand));
    c->queue_last = &c->queue_first;
    st = cache_tables_make(c, err);
    if (st != ST_OK) {
        mem_free(c);
        return st;
    }
    lock_init(&c->lock, LOCK_RANK_CACHE, "cache");
    cond_init(&c->quiet);
    *out = c;
    return ST_OK;
}

void cache_close(struct cache *c)
{
    uint64_t held;

    if (c == NULL)
        return;
    lock_take(&c->lock);
    while (c->flights != NULL) /* those given up, until the store has let go of them */
        cond_wait(&c->quiet, &c->lock);
    c->bytes_max = 0;
    cache_evict(c);
    held = c->bytes - cache_tables_bytes(c);
    lock_drop(&c->lock);
    if (held > 0) {
        log_error("a cache stays open: what was borrowed of it was not given back",
                  "bytes=%" PRIu64, held);
        return;
    }
    cache_tables_free(c);
    cond_fini(&c->quiet);
    lock_fini(&c->lock);
    mem_free(c);
}

/* --- one call --- */

struct call {
    struct cache *cache;
    const struct cache_terms *terms;
    struct cache_want *wants;
    size_t count;
    bool loose; /* more than there is room for */
    struct cache_reader reader;
};

static void count_one(const struct call *call, const struct cache_want *w)
{
    struct cache_account *a = call->terms->account;
    struct cache_counts *counts = call->terms->counts;

    if (w->gap)
        return;
    if (counts != NULL && w->hit)
        counts->hits++;
    else if (counts != NULL)
        counts->misses++;
    if (w->class == CACHE_SCAN)
        return;
    if (call->cache->seen != NULL)
        call->cache->seen(call->cache->seen_arg, w);
    if (a == NULL)
        return;
    if (w->hit)
        a->hits++;
    else
        a->misses++;
}

static void join(struct call *call, struct cache_want *w, struct cache_block *b)
{
    cache_block_hold(call->cache, b);
    w->block = b;
    w->hit = b->ready;
    count_one(call, w);
    if (b->ready) {
        w->st = ST_OK;
        w->body = slice_make(b->data, (size_t)b->bytes);
        return;
    }
    w->reader = &call->reader;
    w->next = b->waiting;
    b->waiting = w;
    call->reader.left++;
}

/* Joins what is there or under way. */
static bool take_known(struct call *call, struct cache_want *w, uint64_t hash)
{
    struct cache_block *b = cache_find(call->cache, w, hash);

    if (b == NULL)
        return false;
    if (w->class != CACHE_SCAN && !call->loose)
        cache_block_adopt(call->cache, b);
    join(call, w, b);
    return true;
}

static bool follows(const struct cache_want *w, const struct cache_want *before)
{
    return w->joined && w->offset == before->offset + before->bytes &&
           memcmp(w->object, before->object, 16) == 0;
}

static bool is_known(const struct call *call, const struct cache_want *w)
{
    return w->block != NULL ||
           cache_find(call->cache, w, cache_hash(w->object, w->offset, w->bytes)) != NULL;
}

/* It is there, or under way, since the GETs were planned: read over, as its bytes were planned too
 * and one GET more was not. */
static bool is_over(const struct call *call, const struct cache_want *w)
{
    return w->gap || (w->block != NULL && call->terms->budget != NULL);
}

/* Whether the want at `at` goes into a GET that ends before it: it is missing, or read over on the
 * way to one that is. */
static bool goes_on(const struct call *call, size_t at, uint64_t bytes)
{
    for (; at < call->count; at++) {
        const struct cache_want *w = &call->wants[at];

        if (!follows(w, w - 1) || w->bytes == 0 || w->bytes > OBJSTORE_OBJECT_BYTES_MAX ||
            bytes + w->bytes > OBJSTORE_OBJECT_BYTES_MAX)
            return false;
        if (!w->gap && !is_known(call, w))
            return true;
        if (!is_over(call, w))
            return false;
        bytes += w->bytes;
    }
    return false;
}

static void no_memory(struct call *call, struct cache_want *w)
{
    w->st = ST_NOMEM;
    if (call->reader.st != ST_OK)
        return;
    call->reader.st = ST_NOMEM;
    (void)err_set(&call->reader.err, ST_NOMEM, "get %s: out of memory", w->key);
}

/* What is read over nobody checks, so nobody finds it either. */
static struct cache_block *make_gap(struct call *call, const struct cache_want *w, uint64_t hash)
{
    struct cache_block *b = cache_block_make(call->cache, w, hash, true, NULL);

    if (b != NULL)
        cache_block_unlist(call->cache, b);
    return b;
}

static struct cache_block *make_block(struct call *call, const struct cache_want *w, uint64_t hash)
{
    struct cache_account *a = call->terms->account;

    if (is_over(call, w))
        return make_gap(call, w, hash);
    if (w->class != CACHE_SCAN && cache_ghost_take(call->cache, hash) && a != NULL)
        a->ghost_hits++;
    return cache_block_make(call->cache, w, hash, call->loose || w->class == CACHE_SCAN, a);
}

/* The wants from `first` on that are one GET; returns how many, at least one. */
static size_t take_missing(struct call *call, size_t first)
{
    struct cache *c = call->cache;
    struct cache_block *blocks[CACHE_RUN_MAX];
    uint64_t bytes = 0, hash;
    uint32_t count = 0;

    while (count < CACHE_RUN_MAX && first + count < call->count) {
        struct cache_want *w = &call->wants[first + count];

        if (count > 0 && !goes_on(call, first + count, bytes))
            break;
        hash = cache_hash(w->object, w->offset, w->bytes);
        blocks[count] = make_block(call, w, hash);
        if (blocks[count] == NULL)
            break;
        bytes += w->bytes;
        count++;
    }
    if (count == 0 ||
        cache_flight_make(c, &call->wants[first], call->terms, blocks, count) == NULL) {
        for (uint32_t i = 0; i < count; i++)
            cache_block_abandon(c, blocks[i]);
        no_memory(call, &call->wants[first]);
        return 1;
    }
    if (call->terms->counts != NULL) {
        call->terms->counts->gets++;
        call->terms->counts->get_bytes += bytes;
    }
    cache_budget_take(call->terms->budget, bytes);
    for (uint32_t i = 0; i < count; i++)
        if (call->wants[first + i].block == NULL)
            join(call, &call->wants[first + i], blocks[i]);
    return count;
}

/* What no block is made of. */
static bool take_nothing(struct call *call, struct cache_want *w)
{
    if (w->bytes > CACHE_BLOCK_BYTES_MAX) {
        w->st = err_set(&call->reader.err, ST_CORRUPT, "get %s: %" PRIu64 " bytes in one piece",
                        w->key, w->bytes);
        call->reader.st = ST_CORRUPT;
        return true;
    }
    if (w->bytes > 0 && !w->gap)
        return false;
    w->st = ST_OK;
    return true;
}

/* What is there first: room for the others is not made of it. */
static void take_all(struct call *call)
{
    for (size_t i = 0; i < call->count; i++) {
        struct cache_want *w = &call->wants[i];

        if (w->block == NULL && !take_nothing(call, w))
            (void)take_known(call, w, cache_hash(w->object, w->offset, w->bytes));
    }
    for (size_t i = 0; i < call->count;) {
        struct cache_want *w = &call->wants[i];

        if (w->block != NULL || w->st == ST_OK || w->st == ST_CORRUPT) {
            i++;
        } else if (take_known(call, w, cache_hash(w->object, w->offset, w->bytes))) {
            i++;
        } else {
            i += take_missing(call, i);
        }
    }
    if (call->reader.left > 0)
        cache_send_queued(call->cache);
}

/* --- waiting --- */

static void leave_all(struct call *call, status st, const char *text)
{
    struct err why;

    (void)err_set(&why, st, "%s", text);
    for (size_t i = 0; i < call->count; i++)
        if (call->wants[i].reader != NULL)
            cache_flight_leave(call->cache, &call->wants[i], st, &why);
}

/* Does what is due; returns until when nothing else is. */
static uint64_t turn(struct call *call, uint64_t now_ns)
{
    uint64_t until_ns = now_ns + (uint64_t)ASK_SLICE_MS * 1000000;
    const uint64_t deadline_ns = call->terms->deadline_ns;

    for (size_t i = 0; i < call->count; i++) {
        struct cache_want *w = &call->wants[i];
        struct cache_flight *f;

        if (w->reader == NULL)
            continue;
        f = w->block->flight;
        if (f->state == FLIGHT_PAUSED && deadline_ns > 0 && f->next_try_ns >= deadline_ns) {
            struct err why = f->err; /* no answer can be better in time */

            cache_flight_leave(call->cache, w, why.code, &why);
            continue;
        }
        cache_flight_drive(call->cache, f, now_ns, call->terms->budget, &until_ns);
    }
    if (deadline_ns > 0 && deadline_ns < until_ns)
        until_ns = deadline_ns;
    return until_ns;
}

static void wait_for_all(struct call *call)
{
    struct cache *c = call->cache;
    const struct cache_terms *t = call->terms;

    while (call->reader.left > 0) {
        uint64_t now_ns = clock_mono_ns(c->clock), until_ns;

        if (t->stop != NULL && *t->stop) {
            leave_all(call, ST_CLOSED, "stopped");
            return;
        }
        until_ns = turn(call, now_ns);
        if (call->reader.left == 0)
            return;
        now_ns = clock_mono_ns(c->clock);
        if (t->deadline_ns > 0 && now_ns >= t->deadline_ns) {
            leave_all(call, ST_TIMEOUT, "the bucket did not answer before the deadline");
            return;
        }
        if (until_ns > now_ns)
            (void)cond_wait_ns(&call->reader.cond, &c->lock, until_ns - now_ns);
    }
}

/* What is to be kept of it. */
static uint64_t wanted_bytes(const struct call *call)
{
    uint64_t bytes = 0;

    for (size_t i = 0; i < call->count; i++)
        if (call->wants[i].block == NULL && call->wants[i].class != CACHE_SCAN &&
            call->wants[i].bytes <= CACHE_BLOCK_BYTES_MAX)
            bytes += call->wants[i].bytes;
    return bytes;
}

static bool is_borrowed(const struct cache_want *w)
{
    return w->block != NULL && w->hit && w->st == ST_OK;
}

static void forget(struct cache_want *w)
{
    w->st = ST_UNAVAILABLE;
    w->body = (struct slice){0};
    w->block = NULL;
    w->hit = false;
    w->next = NULL;
    w->reader = NULL;
}

void cache_borrow(struct cache *c, const struct cache_terms *terms, struct cache_want *wants,
                  size_t count)
{
    struct call call = {.cache = c, .terms = terms, .wants = wants, .count = count};

    for (size_t i = 0; i < count; i++)
        forget(&wants[i]);
    lock_take(&c->lock);
    for (size_t i = 0; i < count; i++) {
        struct cache_want *w = &wants[i];
        struct cache_block *b = cache_find(c, w, cache_hash(w->object, w->offset, w->bytes));

        if (b != NULL && b->ready)
            join(&call, w, b);
    }
    lock_drop(&c->lock);
}

status cache_read(struct cache *c, const struct cache_terms *terms, struct cache_want *wants,
                  size_t count, struct err *err)
{
    struct call call = {.cache = c, .terms = terms, .wants = wants, .count = count};

    for (size_t i = 0; i < count; i++)
        if (!is_borrowed(&wants[i]))
            forget(&wants[i]);
    cond_init(&call.reader.cond);
    lock_take(&c->lock);
    call.loose =
        wanted_bytes(&call) > c->bytes_max - (c->pinned < c->bytes_max ? c->pinned : c->bytes_max);
    take_all(&call);
    wait_for_all(&call);
    lock_drop(&c->lock);
    cond_fini(&call.reader.cond);
    if (call.reader.st != ST_OK && err != NULL)
        *err = call.reader.err;
    return call.reader.st;
}

void cache_give_back(struct cache *c, struct cache_want *wants, size_t count)
{
    lock_take(&c->lock);
    for (size_t i = 0; i < count; i++) {
        if (wants[i].block == NULL)
            continue;
        cache_block_drop(c, wants[i].block);
        wants[i].block = NULL;
        wants[i].body = (struct slice){0};
    }
    lock_drop(&c->lock);
}

/* --- by hand --- */

void cache_pin(struct cache *c, struct cache_want *want)
{
    lock_take(&c->lock);
    cache_block_pin(c, want->block);
    lock_drop(&c->lock);
}

void cache_unpin(struct cache *c, struct cache_block *block)
{
    lock_take(&c->lock);
    cache_block_unpin(c, block);
    lock_drop(&c->lock);
}

bool cache_has(struct cache *c, const uint8_t object[16], uint64_t offset, uint64_t bytes)
{
    const struct cache_want w = {.object = object, .offset = offset, .bytes = bytes};
    const struct cache_block *b;
    bool has;

    lock_take(&c->lock);
    b = cache_find(c, &w, cache_hash(object, offset, bytes));
    has = b != NULL && b->ready;
    lock_drop(&c->lock);
    return has;
}

/* Borrowed blocks and those on their way go with whoever has them. */
static uint64_t forget_block(struct cache *c, struct cache_block *b)
{
    uint64_t bytes = b->bytes;

    if (b->pins > 0)
        return 0;
    if (b->idle) {
        cache_block_abandon(c, b);
        return bytes;
    }
    cache_block_loosen(c, b);
    return 0;
}

uint64_t cache_forget(struct cache *c, const uint8_t object[16])
{
    uint64_t bytes = 0;

    lock_take(&c->lock);
    for (size_t i = 0; i < c->table_size; i++)
        for (struct cache_block *b = c->table[i], *next; b != NULL; b = next) {
            next = b->chain;
            if (memcmp(b->object, object, sizeof b->object) == 0)
                bytes += forget_block(c, b);
        }
    lock_drop(&c->lock);
    return bytes;
}

uint64_t cache_room(struct cache *c)
{
    uint64_t half, room;

    lock_take(&c->lock);
    half = c->bytes_max > c->pinned ? (c->bytes_max - c->pinned) / 2 : 0;
    room = half > c->codes ? half - c->codes : 0;
    lock_drop(&c->lock);
    return room;
}

void cache_status(struct cache *c, struct cache_status *out)
{
    lock_take(&c->lock);
    *out = (struct cache_status){.bytes = c->bytes,
                                 .bytes_max = c->bytes_max,
                                 .pinned_bytes = c->pinned,
                                 .in_flight_bytes = c->flying_bytes,
                                 .blocks = c->block_count,
                                 .evictions = c->evictions};
    lock_drop(&c->lock);
}

void cache_charge(struct cache *c, uint64_t bytes)
{
    lock_take(&c->lock);
    cache_count(c, bytes, false);
    c->pinned += bytes;
    cache_evict(c);
    lock_drop(&c->lock);
}

void cache_uncharge(struct cache *c, uint64_t bytes)
{
    lock_take(&c->lock);
    cache_uncount(c, bytes, false);
    c->pinned -= bytes;
    lock_drop(&c->lock);
}

void cache_resize(struct cache *c, uint64_t bytes_max)
{
    lock_take(&c->lock);
    c->bytes_max = bytes_max;
    cache_evict(c);
    lock_drop(&c->lock);
}

void cache_account_leave(struct cache *c, struct cache_account *account)
{
    lock_take(&c->lock);
    for (size_t i = 0; i < c->table_size; i++)
        for (struct cache_block *b = c->table[i]; b != NULL; b = b->chain)
            if (b->account == account)
                b->account = NULL;
    for (struct cache_flight *f = c->flights; f != NULL; f = f->next_flight)
        if (f->account == account)
            f->account = NULL;
    lock_drop(&c->lock);
}
