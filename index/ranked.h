/* ranked.h - the candidates of a walk in order, in words of 64 bits.
 *
 * A word has the key in its upper 31 bits, so that words order as keys do (the last bit of a key's
 * mantissa is lost) and equal keys by slot, then the slot, then whether it was expanded. New ones
 * come in batches: what is behind the place of one is moved once for all of them.
 *
 * Threads    one at a time. Ownership  the array is freed by ranked_fini(). */
#ifndef INDEX_RANKED_H
#define INDEX_RANKED_H

#include "index/cands.h"

enum { RANKED_EXPANDED = 1 }; /* the bit of a word */

struct ranked {
    uint64_t *words;
    uint32_t count;
    uint32_t cap;  /* how many are kept */
    uint32_t goal; /* at most cap: so many of the best are to be expanded */
    uint32_t next; /* all before it are expanded */
    uint32_t room; /* allocated */
};
void ranked_fini(struct ranked *r);
/* Room for `room` words. False: no memory, and what there was stays. */
NODISCARD
bool ranked_room(struct ranked *r, uint32_t room);
/* Empty, for the best `cap`; that may be raised up to the room there is. */
static inline void ranked_clear(struct ranked *r, uint32_t cap)
{
    r->count = 0;
    r->next = 0;
    r->cap = cap;
    r->goal = cap;
}
/* Takes the best of these in, which come in any order and are moved about. */
void ranked_merge(struct ranked *r, uint64_t *words, uint32_t count);

/* A key is never NaN. */
static inline uint64_t ranked_word(float key, uint32_t slot)
{
    uint32_t bits, flip;

    key += 0.0f; /* no -0 */
    memcpy(&bits, &key, sizeof(bits));
    flip = (uint32_t)((int32_t)bits >> 31) | 0x80000000u;
    return (uint64_t)((bits ^ flip) >> 1) << 33 | (uint64_t)slot << 1;
}
static inline uint32_t ranked_slot(uint64_t word)
{
    return (uint32_t)(word >> 1);
}
static inline float ranked_key(uint64_t word)
{
    uint32_t bits = (uint32_t)(word >> 33) << 1;
    float key;

    /* With the bit that was lost 0 in either case: infinity stays what it is. */
    bits ^= (bits & 0x80000000u) != 0 ? 0x80000000u : 0xfffffffeu;
    memcpy(&key, &bits, sizeof(key));
    return key;
}
/* What is above it is not taken in. */
static inline uint64_t ranked_bound(const struct ranked *r)
{
    return r->count < r->cap ? UINT64_MAX : r->words[r->count - 1];
}

#endif
