/* bytes.h - borrowed slices, owned bounded buffers, and readers and writers of little-endian bytes.
 *
 * A slice borrows (pointer and length, by value). A buf owns, and is made with the size it may not
 * outgrow. A reader's and a writer's failure sticks, so code runs straight down and asks once.
 *
 * Threads    none of it is shared.
 * Ownership  buf_free() frees the bytes; a slice taken from a buf dies at its next change. */
#ifndef BASE_BYTES_H
#define BASE_BYTES_H

#include "base/status.h"

#include <string.h>

struct slice {
    const uint8_t *data;
    size_t bytes;
};

static inline struct slice slice_make(const void *data, size_t bytes)
{
    return (struct slice){(const uint8_t *)data, bytes};
}
static inline struct slice slice_text(const char *text)
{
    return slice_make(text, strlen(text));
}
bool slice_equal(struct slice a, struct slice b);

struct buf {
    uint8_t *data;
    size_t bytes;
    size_t capacity;
    size_t bytes_max; /* never outgrown */
    bool failed;      /* out of memory or over bytes_max; sticks until buf_reset() */
    bool over;        /* with failed: it was bytes_max */
};

void buf_init(struct buf *b, size_t bytes_max);
void buf_free(struct buf *b);
void buf_reset(struct buf *b); /* empties, keeps the memory, clears failed */
struct slice buf_slice(const struct buf *b);
/* Room for `bytes` more; false (and failed) when that cannot be. */
bool buf_reserve(struct buf *b, size_t bytes);
/* Appends; on failure nothing is appended and `failed` is set. */
void buf_put(struct buf *b, const void *data, size_t bytes);
void buf_put_slice(struct buf *b, struct slice s);
void buf_put_text(struct buf *b, const char *text);
void buf_put_u8(struct buf *b, uint8_t v);
void buf_put_u16(struct buf *b, uint16_t v);
void buf_put_u32(struct buf *b, uint32_t v);
void buf_put_u64(struct buf *b, uint64_t v);
void buf_put_f32(struct buf *b, float v);
void buf_put_f64(struct buf *b, double v);
/* LEB128, at most 10 bytes. */
void buf_put_varint(struct buf *b, uint64_t v);
void buf_put_zeros(struct buf *b, size_t bytes);
void buf_printf(struct buf *b, const char *format, ...) PRINTF_LIKE(2, 3);
/* Overwrites bytes already there; at + 4 (8) <= b->bytes. */
void buf_set_u32(struct buf *b, size_t at, uint32_t v);
void buf_set_u64(struct buf *b, size_t at, uint64_t v);
/* ST_OK, or when `failed` stands ST_NOSPACE (over bytes_max) or ST_NOMEM. */
NODISCARD
status buf_status(const struct buf *b, struct err *err);

/* A bounded reader. Reading past the end, or a varint over 64 bits, gives zeros and sets bad. */
struct rd {
    const uint8_t *at;
    const uint8_t *end;
    bool bad;
};
struct rd rd_make(struct slice s);
size_t rd_left(const struct rd *r);
uint8_t rd_u8(struct rd *r);
uint16_t rd_u16(struct rd *r);
uint32_t rd_u32(struct rd *r);
uint64_t rd_u64(struct rd *r);
float rd_f32(struct rd *r);
double rd_f64(struct rd *r);
uint64_t rd_varint(struct rd *r);
struct slice rd_bytes(struct rd *r, size_t bytes);
void rd_skip(struct rd *r, size_t bytes);

/* Unaligned little-endian access to memory that is known to be there. */
uint16_t le_u16(const void *at);
uint32_t le_u32(const void *at);
uint64_t le_u64(const void *at);
void le_put_u16(void *at, uint16_t v);
void le_put_u32(void *at, uint32_t v);
void le_put_u64(void *at, uint64_t v);

#endif
