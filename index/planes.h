/* planes.h - arrays over slots that grow in pieces and never move.
 *
 * Piece 0 holds a few rows (about PLANE_FIRST_BYTES), each next piece doubles the plane until it
 * has PLANE_CHUNK_ROWS rows, and from there on every piece is a chunk of that many. A small
 * collection so costs a few KiB and no mapping of its own; large pieces are mapped with huge pages
 * asked for, and cost memory only where they are written. New rows are zero.
 *
 * Threads    plane_grow() under its owner's lock; plane_row() from any thread, for rows below what
 *            some plane_grow() that happened before was asked for. Nobody waits.
 * Ownership  plane_fini() frees everything. What is charged to a budget is the owner's to say. */
#ifndef INDEX_PLANES_H
#define INDEX_PLANES_H

#include "base/mem.h"

#include <stdatomic.h>

enum {
    PLANE_CHUNK_SHIFT = 16,
    PLANE_CHUNK_ROWS = 1 << PLANE_CHUNK_SHIFT,
    PLANE_FIRST_BYTES = 2048,
    PLANE_MAP_BYTES_MIN = 256 * 1024,       /* smaller pieces come from the heap */
    PLANE_HUGE_BYTES_MIN = 2 * 1024 * 1024, /* huge pages are asked for from here on */
};

/* Replaced by a larger copy when full; the older ones stay for readers until plane_fini(). */
struct plane_table {
    struct plane_table *older;
    uint32_t room;
    _Atomic uintptr_t base[]; /* where row 0 would be if the piece began there */
};

struct plane {
    /* Set by plane_init(). */
    size_t row_bytes;
    uint32_t first_shift; /* log2 of the rows of piece 0 */
    /* Release by plane_grow(), acquire by plane_row(). */
    _Atomic(struct plane_table *) table;
    /* guarded by the owner's lock */
    uint32_t pieces;
};

void plane_init(struct plane *plane, size_t row_bytes);
void plane_fini(struct plane *plane);
/* Room for every row below `rows`. ST_NOMEM: what was there stays. */
NODISCARD
status plane_grow(struct plane *plane, uint32_t rows, struct err *err);

/* Without a branch: rows of a walk come from all pieces in no order. */
static inline uint32_t plane_piece(const struct plane *plane, uint32_t row)
{
    uint32_t doublings =
        63u - (uint32_t)__builtin_clzll((uint64_t)(row >> plane->first_shift) << 1 | 1);
    uint32_t most = PLANE_CHUNK_SHIFT - plane->first_shift;

    return (doublings < most ? doublings : most) + (row >> PLANE_CHUNK_SHIFT);
}

static inline void *plane_row(const struct plane *plane, uint32_t row)
{
    const struct plane_table *table = atomic_load_explicit(&plane->table, memory_order_acquire);
    uintptr_t base =
        atomic_load_explicit(&table->base[plane_piece(plane, row)], memory_order_acquire);

    return (void *)(base + row * plane->row_bytes);
}

/* Rows from `row` on that lie one behind the other in the same piece. */
static inline uint32_t plane_run(const struct plane *plane, uint32_t row)
{
    if (row >= PLANE_CHUNK_ROWS)
        return PLANE_CHUNK_ROWS - row % PLANE_CHUNK_ROWS;
    return (1u << (plane->first_shift + plane_piece(plane, row))) - row;
}

/* A plane of u64 words used as a bitmap over slots. */
static inline _Atomic uint64_t *plane_word(const struct plane *plane, uint32_t slot)
{
    return plane_row(plane, slot >> 6);
}

static inline bool plane_bit(const struct plane *plane, uint32_t slot)
{
    uint64_t word = atomic_load_explicit(plane_word(plane, slot), memory_order_acquire);

    return (word >> (slot & 63) & 1) != 0;
}

/* True if the bit was clear. */
static inline bool plane_bit_set(const struct plane *plane, uint32_t slot)
{
    uint64_t bit = (uint64_t)1 << (slot & 63);

    return (atomic_fetch_or_explicit(plane_word(plane, slot), bit, memory_order_acq_rel) & bit) ==
           0;
}

/* True if the bit was set. */
static inline bool plane_bit_clear(const struct plane *plane, uint32_t slot)
{
    uint64_t bit = (uint64_t)1 << (slot & 63);

    return (atomic_fetch_and_explicit(plane_word(plane, slot), ~bit, memory_order_acq_rel) & bit) !=
           0;
}

#endif
