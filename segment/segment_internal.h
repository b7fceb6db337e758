/* segment_internal.h - the layout of docs/formats/segment.md, for writer and reader. */
#ifndef SEGMENT_SEGMENT_INTERNAL_H
#define SEGMENT_SEGMENT_INTERNAL_H

#include "segment/container_items.h"
#include "segment/container_memory.h"
#include "segment/segment.h"

#include <assert.h>

enum {
    SEGMENT_SECTION_HEAD = 1,
    SEGMENT_SECTION_ROWS = 2,
    SEGMENT_SECTION_IDS = 3,
    SEGMENT_SECTION_TOMBSTONES = 4,

    SEGMENT_HEAD_AT_START = 0,
    SEGMENT_HEAD_AT_MIN = 8,
    SEGMENT_HEAD_AT_MAX = 16,
    SEGMENT_HEAD_AT_ROWS = 24,
    SEGMENT_HEAD_AT_TOMBSTONES = 28,
    SEGMENT_HEAD_BYTES = 32,

    SEGMENT_ROW_PREFIX_BYTES = 20, /* u32 bytes that follow, u64 lsn, u64 inserted_at */
    SEGMENT_ID_PREFIX_BYTES = 8,   /* u32 row, u32 offset */
    SEGMENT_LSN_BYTES = 8,
    SEGMENT_ROW_BYTES_MIN = SEGMENT_ROW_PREFIX_BYTES + 7,
    SEGMENT_ID_BYTES_MIN = SEGMENT_ID_PREFIX_BYTES + 3,
    SEGMENT_TOMBSTONE_BYTES_MIN = SEGMENT_LSN_BYTES + 3,
    /* what units, table and trailer may take of SEGMENT_BYTES_MAX */
    SEGMENT_OVERHEAD_BYTES = 64 * 1024,
};
static_assert(SEGMENT_HEAD_AT_TOMBSTONES + 4 == SEGMENT_HEAD_BYTES, "docs/formats/segment.md");

struct segment {
    struct container_memory_source source;
    struct container *container;
    struct segment_head head;
};

struct segment_at { /* where a row lies */
    uint32_t row;
    uint32_t offset; /* in the section's payload */
};
typedef status segment_walk_fn(void *arg, struct segment_at at, const struct segment_row *row,
                               struct err *err);
NODISCARD
status segment_walk_rows(struct segment *s, segment_walk_fn *fn, void *arg, struct err *err);

/* Ids in their order, one id's by lsn. */
static inline int segment_compare(const struct docid *a, uint64_t a_lsn, const struct docid *b,
                                  uint64_t b_lsn)
{
    int ids = docid_compare(a, b);

    return ids != 0 ? ids : (a_lsn > b_lsn) - (a_lsn < b_lsn);
}

#endif
