/* arena.h - memory of one request: allocated piece by piece, freed at once.
 *
 * Threads    one at a time.
 * Ownership  everything an arena gave dies with arena_reset() or arena_free().
 * Limits     bytes_max over all pieces; beyond it allocations return NULL. */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include "base/status.h"

struct arena_block;
struct arena {
    struct arena_block *blocks;
    size_t bytes; /* taken from the heap so far */
    size_t bytes_max;
    bool full; /* something was refused for the bound, not for want of memory */
};

void arena_init(struct arena *a, size_t bytes_max);
void arena_free(struct arena *a);
/* Keeps the first block for the next request. */
void arena_reset(struct arena *a);
/* 16-byte aligned, not zeroed; NULL when memory is out or the bound is met. */
NODISCARD
void *arena_alloc(struct arena *a, size_t bytes);
NODISCARD
void *arena_zero(struct arena *a, size_t bytes);
NODISCARD
void *arena_array(struct arena *a, size_t count, size_t size);
NODISCARD
char *arena_strndup(struct arena *a, const char *text, size_t bytes);

#endif
