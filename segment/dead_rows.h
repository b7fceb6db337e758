/* dead_rows.h - which rows of a cold segment count no more: an object of its own, `g/<uuid>`, that
 * the manifest names beside the segment. Written once, never changed: more dead rows are another
 * object.
 *
 * Threads    pure.
 * Ownership  bits: words of 64 (base/bits.h), dead_rows_words() of them, the caller's.
 * On disk    docs/formats/dead-rows.md, version 1.
 * Failure    any flipped bit or cut is ST_CORRUPT; a newer version ST_UNSUPPORTED. */
#ifndef SEGMENT_DEAD_ROWS_H
#define SEGMENT_DEAD_ROWS_H

#include "base/bytes.h"

enum { DEAD_ROWS_BYTES_MAX = 60 * 1024 * 1024 };
static inline size_t dead_rows_words(uint32_t rows)
{
    return ((size_t)rows + 63) / 64;
}
/* ST_INVALID: none is dead, or one behind the last row. */
NODISCARD
status dead_rows_encode(const uint8_t collection[16], const uint8_t segment[16], uint32_t rows,
                        const uint64_t *bits, struct buf *out, struct err *err);
/* Of this segment, which has so many rows. Sets bits in zeroed words; *dead: how many. */
NODISCARD
status dead_rows_decode(struct slice bytes, const uint8_t collection[16], const uint8_t segment[16],
                        uint32_t rows, uint64_t *bits, uint32_t *dead, struct err *err);

#endif
