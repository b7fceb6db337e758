/* cache.h - blocks of immutable objects in RAM, bounded in bytes, and the requests that fill it.
 *
 * A block is named by (object, offset, bytes) as the format cuts it: a reader asks for exactly the
 * ranges it wants, and each is fetched, checked and kept as one. Objects never change, so nothing
 * is ever invalidated; a dropped object's blocks are forgotten (cache_forget).
 *
 * One fetch serves all that wait for it; nobody's deadline or cancel ends it for the others, and it
 * is given up when the last of them leaves. What is missing of one call is sent together, as one
 * wave; blocks under way are not asked for twice. Blocks that adjoin and say so (`joined`) come in
 * one GET and are kept one by one. A GET that takes longer than the p95 of its kind is sent once
 * more over another connection, within CACHE_HEDGE_PERCENT of all GETs and never while the store
 * throttles or does not answer; the first answer wins, the other is cancelled.
 *
 * Classes    pinned (footers): counted, never evicted while pinned. Rows, codes, payload, ids: LRU,
 *            with a ghost list that says what twice the size would hit. Scans and hydration read
 *            through CACHE_SCAN: they use what is there, keep nothing, evict nothing.
 * Threads    any; cache_read() blocks its caller (cold threads, never workers) until all it asked
 *            for is there, its deadline, or *stop.
 * Memory     bytes_max for blocks with their bookkeeping, of all collections; what is being fetched
 *            counts as soon as it is asked for. A read of more than what is not pinned goes through
 *            uncached. Borrowed blocks stay until they are given back, also beyond the bound, and
 *            are counted.
 * Failure    ST_UNAVAILABLE: the bucket is away (retry after); ST_TIMEOUT: the deadline;
 * ST_CORRUPT: the check refused the bytes twice, the second time over a fresh connection;
 *            ST_NOT_FOUND: the object is not there (FETCH_MISSES times). Each block of a wave has
 *            its own status, so that a caller can go on with the rest. */
#ifndef TIERING_CACHE_H
#define TIERING_CACHE_H

#include "base/clock.h"
#include "base/rand.h"
#include "base/stats.h"
#include "objstore/objstore.h"

enum {
    CACHE_HEDGE_PERCENT = 5,
    CACHE_HEDGE_MIN_MS = 5,
    CACHE_KEY_BYTES = 192,
    CACHE_RUN_MAX = 1024,            /* blocks in one GET */
    CACHE_BLOCK_BYTES_MAX = 1 << 30, /* what is said to be larger is ST_CORRUPT */
};

struct cache;
struct cache_want;
struct cache_options {
    struct objstore *store;
    struct clock *clock;
    struct rand_source *rand;
    uint64_t bytes_max;
    uint32_t gets_max;       /* in flight, of all reads; 0: 64 */
    uint64_t wave_bytes_max; /* in flight, of all reads; 0: 256 MiB */
    /* Told of each block that is asked for and may stay, hit or not: traces. Under the cache's
     * lock, must not wait. NULL: nobody. */
    void (*seen)(void *arg, const struct cache_want *want);
    void *seen_arg;
};
NODISCARD
status cache_open(const struct cache_options *options, struct cache **out, struct err *err);
/* No reader inside; accepts NULL. While something is borrowed, pinned or charged still it is not
 * freed, so that nobody is left with memory that is gone: the log says so. */
void cache_close(struct cache *c);

enum cache_class { CACHE_PINNED, CACHE_CODES, CACHE_ROWS, CACHE_PAYLOAD, CACHE_IDS, CACHE_SCAN };

/* Whose hits and misses are counted; one a collection. */
struct cache_account {
    _Atomic uint64_t hits, misses; /* blocks, as storage_cache_hits and _misses have them */
    _Atomic uint64_t ghost_hits;   /* misses that twice the size would have hit */
    _Atomic uint64_t gets, get_bytes, hedges, resident_bytes;
};

struct cache_block; /* counted */
struct cache_want {
    /* The caller's. */
    const uint8_t *object;  /* 16 bytes, the uuid of its key: names the object in the cache */
    const char *key;        /* of the store */
    uint64_t offset, bytes; /* 0: ST_OK, and nothing is read */
    enum cache_class class;
    bool joined; /* begins where the want before it ends, of the same object: one GET may have both.
                  * Small blocks are cheap to keep, GETs are not */
    bool gap;    /* nobody wants it: it is read over where one GET has what lies on both sides, else
                  * left out. ST_OK without a body */
    /* Checks (and may change in place, not in length) what came, before anybody sees it; ST_CORRUPT
     * says why not. On the caller's thread or another reader's. NULL: nothing to check. */
    status (*check)(void *arg, uint8_t *body, size_t bytes, struct err *err);
    void *check_arg;
    /* Filled. */
    status st;
    struct slice body; /* borrowed until cache_give_back() */
    struct cache_block *block;
    bool hit;
    /* The cache's. */
    struct cache_want *next;
    void *reader;
};
struct cache_counts { /* of one call: what it sent, first attempts alone */
    uint32_t gets;
    uint64_t get_bytes, hits, misses;
};
/* What one request may still ask of the store, over all its reads: each GET counts, hedges and
 * repeats too. No read is refused for it, but nothing is hedged where too little is left. */
struct cache_budget {
    uint32_t gets;
    uint64_t bytes;
};
struct cache_terms {
    struct cache_account *account; /* NULL: nobody counts */
    uint64_t deadline_ns;          /* monotonic; 0: none */
    const _Atomic bool *stop;      /* NULL: never */
    enum objstore_pool pool;
    struct cache_counts *counts; /* added to; NULL: not asked */
    struct cache_budget
        *budget; /* taken from; the caller's thread's alone. NULL: without a bound */
};
/* What is there already, under one lock, as cache_read() has it: st OK, hit, and the body. The
 * others have ST_UNAVAILABLE and no block, and count as nothing. All must be given back. */
void cache_borrow(struct cache *c, const struct cache_terms *terms, struct cache_want *wants,
                  size_t count);
/* All wants in one wave; those that are borrowed already stay as they are. ST_OK: each has st OK.
 * Else the worst of them, with its text; those that are OK can be used all the same. Every want
 * must be given back, whatever came. */
NODISCARD
status cache_read(struct cache *c, const struct cache_terms *terms, struct cache_want *wants,
                  size_t count, struct err *err);
void cache_give_back(struct cache *c, struct cache_want *wants, size_t count);
/* Keeps a block that is read now from being evicted until cache_unpin(want->block), beside being
 * borrowed by the want; counted. */
void cache_pin(struct cache *c, struct cache_want *want);
void cache_unpin(struct cache *c, struct cache_block *block);
/* Whether a block is there now, without touching its age. */
bool cache_has(struct cache *c, const uint8_t object[16], uint64_t offset, uint64_t bytes);
/* Drops what is not borrowed of an object; returns the bytes. */
uint64_t cache_forget(struct cache *c, const uint8_t object[16]);
/* Bytes that codes, or another large wish, may take without evicting half of the rest. */
uint64_t cache_room(struct cache *c);
struct cache_status {
    uint64_t bytes, bytes_max, pinned_bytes, in_flight_bytes;
    uint64_t blocks, evictions;
};
void cache_status(struct cache *c, struct cache_status *out);
/* Memory of the caller's that counts as pinned, as what is decoded of a pinned footer does. */
void cache_charge(struct cache *c, uint64_t bytes);
void cache_uncharge(struct cache *c, uint64_t bytes);
void cache_resize(struct cache *c, uint64_t bytes_max);
/* The account is not touched again: its collection goes. What it had stays, without an account. */
void cache_account_leave(struct cache *c, struct cache_account *account);

#endif
