/* cold.h - a cold segment: rows as an immutable object that queries read in a few ranges,
 * `g/<uuid>`, named by a manifest. docs/formats/cold-segment.md.
 *
 * The writer makes one pass in the order of sections; what comes at random lies in the caller's
 * scratch file. Readers fetch ranges themselves: this file says where things lie, checks what came
 * and decodes it.
 *
 * Threads    none of it is shared; a decoded footer is constant.
 * Ownership  the writer streams through a container_sink; decoded structs borrow from the bytes
 *            unless said.
 * Failure    any flipped bit or cut is ST_CORRUPT that names section and position; a newer version
 *            ST_UNSUPPORTED. Nothing read is believed: ordinals, cells and offsets meet their
 *            bounds here. */
#ifndef SEGMENT_COLD_H
#define SEGMENT_COLD_H

#include "segment/container.h"
#include "segment/manifest.h"
#include "segment/record.h"

struct cells;
struct cold_indexes;

enum {
    COLD_FIELDS_MAX = RECORD_FIELDS_MAX,
    COLD_WORTH = 64,
    COLD_ID_BLOCK_BYTES = 4096,
    COLD_ID_INLINE_MIN = 16, /* bytes of an id of form COLD_ID_MIXED that lie in the record */
    COLD_ID_INLINE_MAX = 64,
    COLD_PAYLOAD_BLOCK_BYTES = 16 * 1024, /* what a writer aims at, before compression */
    COLD_PAYLOAD_BLOCK_BYTES_MAX = RECORD_PAYLOAD_BYTES_MAX + 4096,
};
/* How ids lie in records. Mixed: of any kind; byte ids longer than there is room for as hash and
 * block of the id index. */
enum cold_id_form { COLD_ID_U64 = 1, COLD_ID_UUID = 2, COLD_ID_MIXED = 3 };

struct cold_field { /* routing data of one field: the arrays of index/cells.h */
    uint16_t field;
    uint32_t dim;
    uint8_t metric; /* as the catalog has it */
    uint8_t short_bits;
    uint32_t rows; /* that have this vector: positions 0 .. rows - 1 */
    uint32_t coarse, fine;
    uint32_t record_bytes;
    const uint8_t *signs;
    const float *mean;
    const uint8_t *coarse_codes, *fine_codes;
    const uint16_t *fine_rows, *fine_spread, *worth;
    const uint32_t *coarse_first_fine, *coarse_first_row; /* + 1 */
    /* Offsets in the object; codes_at: of the first block. Found out by decode. */
    uint64_t records_at, codes_at, vectors_at;
};
struct cold_footer {
    uint8_t collection[16];
    uint32_t salt;
    uint32_t header_crc; /* of the container: runs into every checksum */
    uint32_t rows;
    uint64_t lsn_min, lsn_max;
    enum cold_id_form id_form;
    uint8_t id_bytes; /* of a record */
    uint16_t field_count;
    struct cold_field fields[COLD_FIELDS_MAX]; /* by position in the catalog's list as it was when
                                                * this was written: go by .field */
    /* id index: ask cold_id_may() and cold_id_block() */
    uint64_t ids_at;
    uint32_t id_blocks;
    const uint32_t *id_fence_at; /* + 1 */
    const uint8_t *id_fences;
    const uint8_t *id_filter;
    uint32_t id_filter_blocks;
    /* payload blocks */
    uint64_t payload_at;
    uint32_t payload_blocks;
    const uint32_t *payload_first;   /* ordinal; + 1: rows */
    const uint64_t *payload_offsets; /* from payload_at; + 1: their end */
    bool no_external_ids;            /* no row has one; false: some may */
    struct cold_indexes *indexes;    /* payload indexes (cold_index.h); NULL: none */
    void *own;                       /* arrays that are not as they lie */
    uint64_t own_bytes;
};
/* bytes: all of the footer's section, kept by the caller as long as the footer; they need not be
 * aligned. named: what the manifest says of it (footer_bytes, crc, rows, lsns, offsets are held
 * against it); NULL without a manifest. */
NODISCARD
status cold_footer_decode(struct slice bytes, const uint8_t collection[16],
                          const struct manifest_cold *named, struct cold_footer *out,
                          struct err *err);
void cold_footer_free(struct cold_footer *f); /* fine on a zeroed one */
/* The routing data as index/cells.h has them; borrowed. */
void cold_field_cells(const struct cold_field *f, struct cells *out);
/* Without a manifest: trailer, table, footer. bytes: initialised; buf_free() after the footer. */
NODISCARD
status cold_footer_find(struct container_source *source, const uint8_t collection[16],
                        struct buf *bytes, struct cold_footer *out, struct err *err);
/* Reads every byte and checks what the sections say about each other; named as above. Memory: the
 * footer and the largest block. */
NODISCARD
status cold_check(struct container_source *source, const uint8_t collection[16],
                  const struct manifest_cold *named, struct err *err);

/* --- reading what lies outside the footer ---
 * _range() says where; asserted: it is in bounds. _check() wants exactly those bytes. */
/* Rows [first, first + count) of a field: where, and checked (each record by itself). */
void cold_records_range(const struct cold_footer *f, uint16_t position, uint32_t first,
                        uint32_t count, uint64_t *offset, uint64_t *bytes);
NODISCARD
status cold_records_check(const struct cold_footer *f, uint16_t position, uint32_t first,
                          struct slice bytes, struct err *err);
struct cold_record {
    uint64_t lsn;
    struct docid id;   /* bytes borrow from the record. id_is_hash: unknown (kind 0) */
    bool id_is_hash;   /* too long for a record: form COLD_ID_MIXED alone */
    uint64_t id_hash;  /* docid_hash() */
    uint32_t id_place; /* the block of the id index that has it, with this ordinal */
    uint32_t ordinal;
    const uint8_t *code; /* 8 bits a component and factors; stride: record_bytes */
};
void cold_record_at(const struct cold_footer *f, uint16_t position, uint32_t first,
                    struct slice bytes, uint32_t index, struct cold_record *out);
/* Short codes of one coarse cell. */
void cold_codes_range(const struct cold_footer *f, uint16_t position, uint32_t coarse,
                      uint64_t *offset, uint64_t *bytes);
NODISCARD
status cold_codes_check(const struct cold_footer *f, uint16_t position, uint32_t coarse,
                        struct slice bytes, const uint8_t **codes, struct err *err);
/* Full vectors of positions [first, first + count): each is crc and dim floats. */
void cold_vectors_range(const struct cold_footer *f, uint16_t position, uint32_t first,
                        uint32_t count, uint64_t *offset, uint64_t *bytes);
NODISCARD
status cold_vectors_check(const struct cold_footer *f, uint16_t position, uint32_t first,
                          struct slice bytes, struct err *err);
void cold_vector_at(const struct cold_footer *f, uint16_t position, struct slice bytes,
                    uint32_t index, float *out);
/* Where an ordinal's vector lies in field 0: there the position is the ordinal, of ordinals below
 * its rows. Of other fields the payload row says. */

/* Payload block of an ordinal. */
uint32_t cold_payload_block(const struct cold_footer *f, uint32_t ordinal);
void cold_payload_range(const struct cold_footer *f, uint32_t block, uint64_t *offset,
                        uint64_t *bytes);
/* What is checked of a block before anybody looks into it: its checksum and header. */
NODISCARD
status cold_payload_check(const struct cold_footer *f, uint32_t block, struct slice bytes,
                          struct err *err);
NODISCARD
status cold_id_check(const struct cold_footer *f, uint32_t block, struct slice bytes,
                     struct err *err);
struct cold_payload_row {
    struct slice external_id, payload;
    uint64_t inserted_at_ns;
    uint64_t lsn;
    struct docid id;
    uint64_t fields;           /* bit per position: has a vector */
    const uint32_t *positions; /* by position of the field, UINT32_MAX: none. Reading: always there.
                                * Writing: NULL is fine where there is but one field */
};
/* Checks, unpacks (zstd) into out, and calls fn for each row of the block. */
typedef status cold_payload_fn(void *arg, uint32_t ordinal, const struct cold_payload_row *row,
                               struct err *err);
NODISCARD
status cold_payload_each(const struct cold_footer *f, uint32_t block, struct slice bytes,
                         struct buf *unpacked, cold_payload_fn *fn, void *arg, struct err *err);
/* Some rows of the block alone, ordinals rising: the others are passed over, and what lies behind
 * the last is not looked at. */
NODISCARD
status cold_payload_some(const struct cold_footer *f, uint32_t block, struct slice bytes,
                         const uint32_t *ordinals, size_t count, struct buf *unpacked,
                         cold_payload_fn *fn, void *arg, struct err *err);
/* Ids. May: false is certain. */
bool cold_id_may(const struct cold_footer *f, const struct docid *id);
uint32_t cold_id_block(const struct cold_footer *f,
                       const struct docid *id); /* the one that may have it */
void cold_id_range(const struct cold_footer *f, uint32_t block, uint64_t *offset, uint64_t *bytes);
/* Entries of a block in order: id, ordinal, lsn. */
typedef status cold_id_fn(void *arg, const struct docid *id, uint32_t ordinal, uint64_t lsn,
                          struct err *err);
NODISCARD
status cold_id_each(const struct cold_footer *f, uint32_t block, struct slice bytes, cold_id_fn *fn,
                    void *arg, struct err *err);

/* --- writing: sections in the order of the page --- */
/* The form for a set of ids: note each, then ask. */
struct cold_ids_seen {
    bool u64, uuid, bytes;
    size_t longest; /* of byte ids */
};
void cold_ids_note(struct cold_ids_seen *seen, const struct docid *id);
void cold_ids_form(const struct cold_ids_seen *seen, enum cold_id_form *form, uint8_t *id_bytes);
/* Which byte ids need a place (and so the packer below before records are written). */
bool cold_id_needs_place(uint8_t id_bytes, const struct docid *id);
/* The block each id goes to, asked in the order of ids; zeroed at first. */
struct cold_id_packer {
    uint32_t block, used;
};
uint32_t cold_id_pack(struct cold_id_packer *p, const struct docid *id);

struct cold_writer;
struct cold_writer_options {
    uint8_t collection[16];
    uint32_t salt; /* random: no other segment's bytes pass for this one's */
    uint32_t rows; /* at least 1 */
    enum cold_id_form id_form;
    uint8_t id_bytes;
    uint64_t lsn_min, lsn_max;
    bool plain; /* payload blocks are not packed: the same bytes with any libzstd */
    uint16_t field_count;
    const struct cold_field *fields; /* offsets unset; the arrays are borrowed until finish */
};
NODISCARD
status cold_writer_create(struct container_sink *sink, const struct cold_writer_options *options,
                          struct cold_writer **out, struct err *err);
/* For each field by position: all records, positions rising; then all codes; all vectors. Then
 * payload rows, ordinals rising; then ids, sorted. Out of turn, or not what the options said:
 * ST_INVALID. After a failure of the sink nothing more is taken.
 * A record's id is always the whole id (id_is_hash and id_hash are found out); id_place where it
 * needs one; ordinal is not looked at for field 0. */
NODISCARD
status cold_writer_record(struct cold_writer *w, uint16_t position,
                          const struct cold_record *record, struct err *err);
NODISCARD
status cold_writer_code(struct cold_writer *w, uint16_t position, const uint8_t *code,
                        struct err *err);
NODISCARD
status cold_writer_vector(struct cold_writer *w, uint16_t position, const float *values,
                          struct err *err);
NODISCARD
status cold_writer_payload(struct cold_writer *w, const struct cold_payload_row *row,
                           struct err *err);
NODISCARD
status cold_writer_id(struct cold_writer *w, const struct docid *id, uint32_t ordinal, uint64_t lsn,
                      struct err *err);
/* Sets object.bytes and .crc, footer_*, lsns and rows of what the manifest is to say. */
NODISCARD
status cold_writer_finish(struct cold_writer *w, struct manifest_cold *out, struct err *err);
void cold_writer_destroy(struct cold_writer *w); /* accepts NULL */

/* --- dead rows: an object of its own beside the segment --- */
struct cold_dead {
    uint32_t rows, dead;
    uint64_t *bits; /* by ordinal, (rows + 63) / 64 words */
};
NODISCARD
status cold_dead_init(struct cold_dead *d, uint32_t rows, struct err *err);
void cold_dead_free(struct cold_dead *d); /* fine on a zeroed one */
static inline bool cold_dead_has(const struct cold_dead *d, uint32_t ordinal)
{
    return (d->bits[ordinal / 64] >> ordinal % 64 & 1) != 0;
}
bool cold_dead_add(struct cold_dead *d, uint32_t ordinal); /* false: it was dead already */
/* segment: the object it speaks of. */
NODISCARD
status cold_dead_encode(const struct cold_dead *d, const uint8_t collection[16],
                        const uint8_t segment[16], struct buf *out, struct err *err);
/* named: with rows, dead_rows and object of the segment; bytes and crc of named->dead are held
 * against it. */
NODISCARD
status cold_dead_decode(struct slice bytes, const uint8_t collection[16],
                        const struct manifest_cold *named, struct cold_dead *out, struct err *err);

#endif
