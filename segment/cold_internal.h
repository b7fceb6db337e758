/* cold_internal.h - the layout of docs/formats/cold-segment.md, for writer, readers and check. */
#ifndef SEGMENT_COLD_INTERNAL_H
#define SEGMENT_COLD_INTERNAL_H

#include "index/rabitq.h"
#include "segment/cold.h"

#include <assert.h>
#include <inttypes.h>

enum {
    COLD_VERSION = 1,

    COLD_SECTION_FOOTER = 0x0001,
    COLD_SECTION_RECORDS = 0x0100, /* + field, as the next two */
    COLD_SECTION_CODES = 0x0200,
    COLD_SECTION_VECTORS = 0x0300,
    COLD_SECTION_PAYLOAD = 0x0400,
    COLD_SECTION_IDS = 0x0500,
    COLD_SECTION_INDEXES = 0x0600, /* optional */

    BLOCK_AT_BYTES = 0, /* of the footer */
    BLOCK_AT_KIND = 4,
    BLOCK_AT_FIELD = 6,
    BLOCK_AT_CRC = 8,
    BLOCK_HEADER_BYTES = 12,
    BLOCK_HEAD = 1,
    BLOCK_ROTATION = 2,
    BLOCK_COARSE = 3,
    BLOCK_FINE = 4,
    BLOCK_CELLS = 5,
    BLOCK_WORTH = 6,
    BLOCK_ID_FILTER = 7,
    BLOCK_ID_FENCES = 8,
    BLOCK_FRAMES = 9,
    BLOCK_OPTIONAL = 0x8000,
    BLOCK_INDEXES = 0x8001,
    BLOCK_NO_EXTERNAL_IDS = 0x8002, /* of no bytes */
    FIELD_BLOCKS = BLOCK_WORTH - BLOCK_ROTATION + 1,

    HEAD_AT_VERSION = 0,
    HEAD_AT_FIELDS = 2,
    HEAD_AT_SALT = 4,
    HEAD_AT_ROWS = 8,
    HEAD_AT_FORM = 12,
    HEAD_AT_ID_BYTES = 13,
    HEAD_AT_ZERO = 14,
    HEAD_AT_LSN_MIN = 16,
    HEAD_AT_LSN_MAX = 24,
    HEAD_AT_ID_BLOCKS = 32,
    HEAD_AT_PAYLOAD_BLOCKS = 36,
    HEAD_BYTES = 40,
    HEAD_FIELD_BYTES = 20, /* and as much for each field */

    RECORD_AT_LSN = 4,
    RECORD_AT_ID = 12,
    RECORD_ORDINAL_BYTES = 4,
    ID_HASHED = 0x80 | DOCID_BYTES, /* kind of an id that is not there whole */
    ID_HASHED_BYTES = 12,
    ID_PREFIX_BYTES = 2, /* kind, length; form COLD_ID_MIXED */

    CODES_HEADER_BYTES = 8,
    VECTOR_HEADER_BYTES = 4,

    PAYLOAD_AT_BYTES = 0,
    PAYLOAD_AT_CRC = 4,
    PAYLOAD_AT_ROWS = 8,
    PAYLOAD_AT_FORM = 10,
    PAYLOAD_AT_ZERO = 11,
    PAYLOAD_AT_FIRST = 12,
    PAYLOAD_AT_UNPACKED = 16,
    PAYLOAD_HEADER_BYTES = 20,
    PAYLOAD_PLAIN = 0,
    PAYLOAD_ZSTD = 1,

    IDS_AT_ENTRIES = 4,
    IDS_AT_USED = 6,
    IDS_HEADER_BYTES = 8,
    IDS_ROOM = COLD_ID_BLOCK_BYTES - IDS_HEADER_BYTES,
    ID_ENTRY_REST_BYTES = 12, /* ordinal, lsn */

    INDEX_VERSION = 1, /* of the directory of payload indexes */
    INDEX_FENCE_BYTES_MAX = 64,
    FENCE_AT_LOOSE = 4, /* behind the bytes of the block */
    FENCE_AT_KEY_BYTES = 5,
    FENCE_AT_KEY = 6,
    INDEX_AT_BYTES = 0, /* of a block */
    INDEX_AT_CRC = 4,
    INDEX_AT_ENTRIES = 8,
    INDEX_AT_FORM = 10, /* as of payload blocks */
    INDEX_AT_ZERO = 11,
    INDEX_AT_UNPACKED = 12,
    INDEX_HEADER_BYTES = 16,

    FILTER_BLOCK_BYTES = 64,
    ID_KEY_BYTES_MAX = 1 + DOCID_BYTES_MAX,
};
static_assert(BLOCK_AT_CRC + 4 == BLOCK_HEADER_BYTES, "docs/formats/cold-segment.md, footer");
static_assert(HEAD_AT_PAYLOAD_BLOCKS + 4 == HEAD_BYTES, "docs/formats/cold-segment.md, head");
static_assert(PAYLOAD_AT_UNPACKED + 4 == PAYLOAD_HEADER_BYTES,
              "docs/formats/cold-segment.md, payload");
static_assert((int)COLD_ID_INLINE_MIN >= (int)ID_HASHED_BYTES,
              "a hash and a block fit where an id would");

static inline size_t cold_row_code_bytes(const struct cold_field *f)
{
    return rabitq_code_bytes((struct rabitq_shape){f->dim, 8});
}
static inline size_t cold_short_code_bytes(const struct cold_field *f)
{
    return rabitq_code_bytes((struct rabitq_shape){f->dim, f->short_bits});
}
static inline size_t cold_vector_bytes(const struct cold_field *f)
{
    return VECTOR_HEADER_BYTES + (size_t)f->dim * sizeof(float);
}

/* The rules a footer's head, its fields and their cells keep; `code` for a breach. The arrays are
 * there where a field has rows. */
NODISCARD
status cold_head_check(const struct cold_footer *f, status code, struct err *err);
NODISCARD
status cold_fields_check(const struct cold_footer *f, status code, struct err *err);
/* Lengths of records, and where each section lies; returns where the optional ones and the footer
 * may begin. Frames and counts are there. */
uint64_t cold_place_sections(struct cold_footer *f);

/* Ids as keys that compare as bytes. Returns the length. */
size_t cold_id_key(const struct docid *id, uint8_t out[ID_KEY_BYTES_MAX]);
bool cold_id_fits_form(enum cold_id_form form, const struct docid *id);
bool cold_id_form_ok(enum cold_id_form form, unsigned id_bytes);
size_t cold_id_entry_bytes(const struct docid *id);
uint32_t cold_filter_blocks(uint32_t rows);
void cold_filter_add(uint8_t *filter, uint32_t blocks, const struct docid *id);
/* Whether a lies before b, bytewise, the shorter first. */
bool cold_key_below(struct slice a, struct slice b);

/* The directory of payload indexes, of the optional block of the footer: f->indexes, unless it is
 * of a newer version. */
NODISCARD
status cold_indexes_decode(struct slice bytes, struct cold_footer *f, struct err *err);

/* The footer's bytes, block by block, into an open section of w. */
struct cold_footer_tail { /* what a reader has as arrays of its own */
    struct slice id_filter, id_fences, frames;
    struct slice indexes; /* empty: none */
};
NODISCARD
status cold_footer_write(struct container_writer *w, const struct cold_footer *f,
                         const struct cold_footer_tail *tail, uint32_t *footer_crc,
                         struct err *err);

static inline float cold_f32(const uint8_t *at)
{
    uint32_t bits = le_u32(at);
    float v;

    memcpy(&v, &bits, sizeof v);
    return v;
}
static inline void cold_put_f32(uint8_t *at, float v)
{
    uint32_t bits;

    memcpy(&bits, &v, sizeof bits);
    le_put_u32(at, bits);
}

#endif
