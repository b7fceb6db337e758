/* cands.h - the best so many candidates seen so far, and the marks of what was seen.
 *
 * Up to about CANDS_FLAT_MAX a flat array sorted by distance: a binary search and a short memmove
 * beat a heap there, and the next candidate to expand is found by walking on. Above it a max-heap.
 * Order is by distance, equal ones by slot, everywhere.
 *
 * Threads    one at a time. Ownership  the arrays are freed by _fini. */
#ifndef INDEX_CANDS_H
#define INDEX_CANDS_H

#include "base/mem.h"

#include <stdatomic.h>
#include <string.h>

enum { CANDS_FLAT_MAX = 1024 };

struct cand {
    float key;
    uint32_t slot;
    uint32_t expanded; /* by a graph walk */
};
static inline bool cand_before(float a_key, uint32_t a_slot, const struct cand *b)
{
    return a_key < b->key || (a_key == b->key && a_slot < b->slot);
}

struct cands {
    struct cand *items;
    uint32_t count;
    uint32_t cap;     /* how many are kept */
    uint32_t cap_max; /* a walk over a flat one may raise cap to this */
    uint32_t room;    /* allocated */
    bool heap;
};
void cands_fini(struct cands *c);
/* Empty, for the best `cap`, which may grow to `cap_max` >= cap. False: no memory. */
NODISCARD
bool cands_start(struct cands *c, uint32_t cap, uint32_t cap_max, bool heap);
/* The same with the form that suits the size. */
NODISCARD
static inline bool cands_start_top(struct cands *c, uint32_t cap)
{
    return cands_start(c, cap, cap, cap > CANDS_FLAT_MAX);
}

/* Whether a candidate would get in. */
static inline bool cands_wants(const struct cands *c, float key, uint32_t slot)
{
    if (c->count < c->cap)
        return true;
    return cand_before(key, slot, &c->items[c->heap ? 0 : c->count - 1]);
}
/* Puts in a candidate that is wanted. Returns its place in a flat array, 0 in a heap. */
uint32_t cands_put(struct cands *c, float key, uint32_t slot);
/* Best first from here on; nothing may be put in afterwards. */
void cands_sort(struct cands *c);

/* A min-heap that grows: what a walk may still expand. */
struct frontier {
    struct cand *items;
    uint32_t count;
    uint32_t room;
};
void frontier_fini(struct frontier *f);
NODISCARD
bool frontier_push(struct frontier *f, float key, uint32_t slot);
struct cand frontier_pop(struct frontier *f); /* of a frontier that is not empty */

/* One bit per slot, and a list of what was set so that clearing costs what marking did. Slots
 * beyond what visited_start() was told count as seen. */
enum { VISITED_LIST_MAX = 65536 };
struct visited {
    uint64_t *bits;
    uint32_t *list;
    uint32_t slots; /* now */
    size_t words;   /* allocated; all zero beyond what list says, unless overflown */
    uint32_t count;
    bool overflown;
};
void visited_fini(struct visited *v);
NODISCARD
bool visited_start(struct visited *v, uint32_t slots);
void visited_clear(struct visited *v);

/* True the first time a slot comes by. */
static inline bool visited_mark(struct visited *v, uint32_t slot)
{
    uint64_t bit = (uint64_t)1 << (slot & 63), before;

    if (slot >= v->slots)
        return false;
    before = v->bits[slot >> 6];
    v->bits[slot >> 6] = before | bit;
    /* The place behind the last one takes what is not to be remembered. */
    v->list[v->count] = slot >> 6;
    v->count += (before & bit) == 0;
    if (v->count > VISITED_LIST_MAX) {
        v->count = VISITED_LIST_MAX;
        v->overflown = true;
    }
    return (before & bit) == 0;
}

/* Marks what a list of at most `max` references names, up to the first 0, and copies the slots that
 * came by for the first time; `fresh` has room for all. Returns how many. Whether one did is as
 * good as a coin's toss to a processor, so nothing is branched on it. */
static inline uint32_t visited_mark_refs(struct visited *v, const _Atomic uint32_t *refs,
                                         uint32_t max, uint32_t *fresh)
{
    uint64_t *bits = v->bits;
    uint32_t *list = v->list, slots = v->slots, listed = v->count, count = 0;

    if (VISITED_LIST_MAX - listed < max) {
        v->overflown = true; /* nothing in the list counts from here on */
        listed = 0;
    }
    for (uint32_t i = 0; i < max; i++) {
        uint32_t ref = atomic_load_explicit(&refs[i], memory_order_acquire), slot = ref - 1;
        uint64_t before;
        uint32_t is_new;

        if (ref == 0)
            break;
        if (slot >= slots)
            continue;
        before = bits[slot >> 6];
        is_new = (uint32_t)(~before >> (slot & 63) & 1);
        bits[slot >> 6] = before | (uint64_t)1 << (slot & 63);
        list[listed] = slot >> 6;
        listed += is_new;
        fresh[count] = slot;
        count += is_new;
    }
    v->count = listed;
    return count;
}

#endif
