/* cache_internal.h - what the cache's files share: blocks and their order, fetches under way, and
 * when a GET is sent once more.
 *
 * One lock, LOCK_RANK_CACHE, guards all of it; requests are submitted and cancelled under it, which
 * never waits; bodies are checked and copied without it. There is no thread: each reader drives the
 * fetches it waits for, and the store's thread says what came and sends what waited for room. */
#ifndef TIERING_CACHE_INTERNAL_H
#define TIERING_CACHE_INTERNAL_H

#include "base/lock.h"
#include "snapshot/ask.h"
#include "tiering/breaker.h"
#include "tiering/cache.h"

/* --- how long GETs take: cache_hedge.c, pure --- */
enum { HEDGE_KINDS = 5, HEDGE_STEPS = 96, HEDGE_SAMPLES_MIN = 32 };
struct cache_hedge {
    struct {
        uint32_t count[HEDGE_STEPS]; /* of durations, four steps an octave */
        uint32_t all;
    } kinds[HEDGE_KINDS]; /* by bytes */
    uint32_t tokens;      /* CACHE_HEDGE_PERCENT a GET, 100 a hedge */
};
void cache_hedge_took(struct cache_hedge *h, uint64_t bytes, uint64_t ns);
/* After how long a GET is sent once more; UINT64_MAX: not known yet. */
uint64_t cache_hedge_after_ns(const struct cache_hedge *h, uint64_t bytes);
void cache_hedge_earn(struct cache_hedge *h); /* a GET was sent */
bool cache_hedge_spend(struct cache_hedge *h);

/* One GET more; NULL: nobody counts. */
static inline void cache_budget_take(struct cache_budget *b, uint64_t bytes)
{
    if (b == NULL)
        return;
    b->gets -= b->gets > 0;
    b->bytes -= b->bytes < bytes ? b->bytes : bytes;
}

/* --- blocks: cache_blocks.c; the lock is held --- */
struct cache_flight;
struct cache_block {
    struct cache_block *chain;
    struct cache_block *newer, *older; /* while it is idle */
    uint64_t hash;
    uint64_t offset, bytes;
    uint8_t object[16];
    uint8_t *data; /* once it is ready */
    uint32_t refs; /* who borrows it or waits for it, and pins */
    uint32_t pins; /* bounded with refs */
    enum cache_class class;
    bool ready, listed, idle;
    bool loose;                  /* beside bytes_max: goes with the last who borrows it */
    struct cache_flight *flight; /* until it is ready */
    struct cache_want *waiting;
    struct cache_account *account;
};
struct cache_ghost {
    uint64_t hash, bytes;
    uint32_t chain; /* index + 1 */
};
struct cache {
    struct objstore *store;
    struct clock *clock;
    struct ask ask;
    struct objstore_retry_budget budget;
    uint32_t gets_max;
    uint64_t wave_bytes_max;
    struct lock lock; /* LOCK_RANK_CACHE */
    struct cond quiet;
    /* blocks */
    uint64_t bytes_max;
    uint64_t bytes; /* blocks with their bookkeeping, fetches, table and ghosts */
    uint64_t loose; /* of these, beside bytes_max */
    uint64_t idle;  /* of these, what may be evicted */
    uint64_t pinned, codes;
    uint64_t block_count, evictions;
    struct cache_block **table;
    size_t table_size;         /* a power of two */
    struct cache_block newest; /* the ring's head: newest.older is the youngest */
    struct cache_ghost *ghosts;
    uint32_t *ghost_table; /* ghost_max of both */
    uint32_t ghost_max, ghost_next, ghost_oldest;
    uint64_t ghost_bytes;
    /* fetches */
    struct cache_flight *queue_first, **queue_last;
    struct cache_flight *flights; /* all, by next_flight */
    uint32_t out;                 /* requests under way */
    uint64_t out_bytes, flying_bytes;
    void (*seen)(void *arg, const struct cache_want *want);
    void *seen_arg;
    struct cache_hedge hedge;
    struct breaker breaker;
    uint64_t throttled_until_ns;
    struct err trouble; /* of the last answer that opened the breaker */
};
uint64_t cache_hash(const uint8_t object[16], uint64_t offset, uint64_t bytes);
struct cache_block *cache_find(struct cache *c, const struct cache_want *w, uint64_t hash);
/* Listed, flying, with no one who waits. NULL: no memory. */
struct cache_block *cache_block_make(struct cache *c, const struct cache_want *w, uint64_t hash,
                                     bool loose, struct cache_account *account);
void cache_block_hold(struct cache *c, struct cache_block *b);
void cache_block_drop(struct cache *c, struct cache_block *b); /* one who held it */
void cache_block_unlist(struct cache *c, struct cache_block *b);
/* What has come is kept within the bound after all, if there is room. */
void cache_block_adopt(struct cache *c, struct cache_block *b);
/* The other way: it goes with the last who has it, and nobody finds it any more. */
void cache_block_loosen(struct cache *c, struct cache_block *b);
void cache_block_ready(struct cache *c, struct cache_block *b, uint8_t *data);
void cache_block_pin(struct cache *c, struct cache_block *b);
void cache_block_unpin(struct cache *c, struct cache_block *b);
void cache_count(struct cache *c, uint64_t bytes, bool loose);
void cache_uncount(struct cache *c, uint64_t bytes, bool loose);
/* Evicts until so many bytes more are within the bound; false, and nothing evicted, if they cannot
 * be. */
bool cache_make_room(struct cache *c, uint64_t bytes);
void cache_evict(struct cache *c); /* down to the bound, as far as it goes */
bool cache_ghost_take(struct cache *c, uint64_t hash);
NODISCARD
status cache_tables_make(struct cache *c, struct err *err);
void cache_tables_free(struct cache *c);
uint64_t cache_tables_bytes(const struct cache *c);

/* --- fetches: cache_flight.c (their course), cache_send.c (requests) --- */
struct cache_reader { /* on the stack of cache_read() */
    struct cond cond;
    size_t left; /* wants that wait */
    status st;   /* the worst so far */
    struct err err;
};
enum flight_state { FLIGHT_QUEUED, FLIGHT_OUT, FLIGHT_PAUSED, FLIGHT_BUSY, FLIGHT_ENDED };
struct flight_leg {
    struct objstore_req req;
    struct cache_flight *flight;
    bool out, answered;
};
struct flight_part {
    struct cache_block *block; /* NULL: has gone its way */
    uint64_t bytes;
};
struct cache_flight {
    struct cache *cache;
    struct cache_flight *next_flight, *next; /* of all; of the queue */
    enum flight_state state;
    char key[CACHE_KEY_BYTES];
    uint64_t offset, bytes;
    enum objstore_pool pool;
    bool hedges; /* may be sent twice */
    struct cache_account *account;
    struct ask_tries tries;
    uint32_t misses;
    bool fresh;
    uint64_t refused_ns; /* since when the breaker has; 0: it has not */
    uint64_t next_try_ns, sent_ns, hedge_ns;
    struct err err; /* of the last answer, while paused */
    uint64_t counted;
    struct flight_leg legs[2];
    bool hedged; /* both bodies are counted */
    uint32_t count;
    struct flight_part parts[];
};
/* A fetch of `count` blocks that adjoin, queued; takes over nothing on failure. */
struct cache_flight *cache_flight_make(struct cache *c, const struct cache_want *w,
                                       const struct cache_terms *terms, struct cache_block **blocks,
                                       uint32_t count);
/* What is due for it now. Lowers *until_ns to when it should be asked again. May drop the lock and
 * take it again. */
void cache_flight_drive(struct cache *c, struct cache_flight *f, uint64_t now_ns,
                        struct cache_budget *budget, uint64_t *until_ns);
/* The want no longer waits: it ends with st. May wait for a check that is under way, and then end
 * as that has it. */
void cache_flight_leave(struct cache *c, struct cache_want *w, status st, const struct err *why);
void cache_want_end(struct cache_want *w, status st, const struct err *why);
void cache_block_abandon(struct cache *c, struct cache_block *b); /* nobody waits for it */
void cache_flight_fail(struct cache *c, struct cache_flight *f, status st, const struct err *why);
void cache_flight_free(struct cache *c, struct cache_flight *f); /* ended, and nothing is out */

void cache_send_queued(struct cache *c);
/* The hedge, if there is room for one. */
void cache_send_again(struct cache *c, struct cache_flight *f, struct cache_budget *budget);
void cache_legs_cancel(struct cache *c, struct cache_flight *f);
bool cache_legs_out(const struct cache_flight *f);
void cache_flight_wake(struct cache_flight *f);

#endif
