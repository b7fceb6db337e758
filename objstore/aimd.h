/* aimd.h - how many requests of a pool may be under way at a store that says "slow down": pure.
 *
 * The limit begins at its ceiling. An answer that throttles halves it, once for all that were sent
 * before the last cut; a window of successes raises it by one. At the floor there is nothing left
 * to halve: then a gap grows between one request and the next, and shrinks with each success, so
 * that a store which takes fewer than one connection can ask is not stormed either. What the store
 * wished for (Retry-After) is waited for by the whole pool, bounded.
 *
 * Threads    a value; its owner's. Times are monotonic ns of the caller's. */
#ifndef OBJSTORE_AIMD_H
#define OBJSTORE_AIMD_H

#include "objstore/objstore.h"

enum {
    AIMD_GAP_FIRST_MS = 10,
    AIMD_WINDOW = 32, /* successes, or as many as the limit: at a small limit one more is much */
    AIMD_WISH_MAX_MS = 30000, /* a longer Retry-After is waited for so long, then asked again */
};

struct aimd {
    /* Set by aimd_init(). */
    uint32_t limit_min, limit_max; /* 1 <= min <= max */
    uint64_t gap_max_ns;
    /* How it stands. */
    uint32_t limit;
    uint32_t successes; /* since the limit was last changed */
    uint64_t gap_ns;    /* between sending one and the next; 0: none */
    uint64_t next_ns;   /* none is sent before */
    uint64_t cut_ns;    /* when the limit was last cut */
};
/* 32, 8 and 8 connections, say. Of foreground reads a quarter is kept whatever comes, and their gap
 * stays short; a log is never stopped. */
void aimd_init(struct aimd *a, enum objstore_pool pool, uint32_t limit_max);
/* Whether one more may be sent beside `active`. */
bool aimd_may_send(const struct aimd *a, uint32_t active, uint64_t now_ns);
void aimd_sent(struct aimd *a, uint64_t now_ns);
/* What a request that was sent at sent_ns came to. random: 64 bits of the caller's, so that those
 * who were told the same wish do not come together. */
void aimd_answer(struct aimd *a, enum objstore_class c, uint64_t retry_after_ms, uint64_t sent_ns,
                 uint64_t now_ns, uint64_t random);
/* The cut alone: another pool of the same store was throttled. */
void aimd_yield(struct aimd *a, uint64_t sent_ns, uint64_t now_ns);

#endif
