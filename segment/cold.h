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
#include "segment/record.h"

enum { COLD_FIELDS_MAX = RECORD_FIELDS_MAX, COLD_WORTH = 64, COLD_ID_BLOCK_BYTES = 4096 };
enum cold_id_form { COLD_ID_U64 = 1, COLD_ID_UUID = 2, COLD_ID_MIXED = 3, COLD_ID_BYTES = 4 };

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
    uint64_t records_at, codes_at,
        vectors_at; /* offsets in the object; codes_at: of the first block */
};
struct cold_footer {
    uint8_t collection[16];
    uint32_t header_crc; /* of the container: runs into every checksum */
    uint32_t rows;
    uint64_t lsn_min, lsn_max;
    enum cold_id_form id_form;
    uint16_t field_count;
    struct cold_field fields[COLD_FIELDS_MAX]; /* by position in the catalog's list */
    /* id index */
    uint64_t ids_at;
    uint32_t id_blocks;
    const uint8_t *id_fences; /* 16 bytes a block */
    const uint8_t *id_filter;
    uint64_t id_filter_bytes;
    /* payload blocks */
    uint64_t payload_at;
    uint32_t payload_blocks;
    const uint32_t *payload_first;   /* ordinal; + 1: rows */
    const uint64_t *payload_offsets; /* from payload_at; + 1: their end */
    void *own;                       /* arrays that are not as they lie */
};
/* bytes: all of the footer's section, kept by the caller as long as the footer. */
NODISCARD
status cold_footer_decode(struct slice bytes, const uint8_t collection[16], struct cold_footer *out,
                          struct err *err);
void cold_footer_free(struct cold_footer *f);

/* --- reading what lies outside the footer --- */
/* Rows [first, first + count) of a field: where, and checked (each record by itself). */
void cold_records_range(const struct cold_footer *f, uint16_t position, uint32_t first,
                        uint32_t count, uint64_t *offset, uint64_t *bytes);
NODISCARD
status cold_records_check(const struct cold_footer *f, uint16_t position, uint32_t first,
                          struct slice bytes, struct err *err);
struct cold_record {
    uint64_t lsn;
    struct docid id; /* COLD_ID_BYTES forms: id_place says where it stands in the id index */
    bool id_is_hash;
    uint64_t id_hash;
    uint32_t id_place;
    uint32_t ordinal;
    const uint8_t *code; /* 8 bits a component and factors; stride: record_bytes */
    float norm;          /* |v|^2, dot alone */
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
/* Where an ordinal's vector lies: its position in that field, or UINT32_MAX. Position 0's field has
 * position = ordinal where it has all rows; other fields keep a table in the id entry (see page).
 */

/* Payload block of an ordinal. */
uint32_t cold_payload_block(const struct cold_footer *f, uint32_t ordinal);
void cold_payload_range(const struct cold_footer *f, uint32_t block, uint64_t *offset,
                        uint64_t *bytes);
struct cold_payload_row {
    struct slice external_id, payload;
    uint64_t inserted_at_ns;
    uint64_t lsn;
    struct docid id;
    uint64_t fields;           /* bit per position: has a vector */
    const uint32_t *positions; /* by position of the field; NULL: all are the ordinal */
};
/* Checks, unpacks (zstd) into out, and calls fn for each row of the block. */
typedef status cold_payload_fn(void *arg, uint32_t ordinal, const struct cold_payload_row *row,
                               struct err *err);
NODISCARD
status cold_payload_each(const struct cold_footer *f, uint32_t block, struct slice bytes,
                         struct buf *unpacked, cold_payload_fn *fn, void *arg, struct err *err);
/* Ids. May: false is certain. */
bool cold_id_may(const struct cold_footer *f, const struct docid *id);
uint32_t cold_id_block(const struct cold_footer *f,
                       const struct docid *id); /* the first that may have it */
void cold_id_range(const struct cold_footer *f, uint32_t block, uint64_t *offset, uint64_t *bytes);
/* Entries of a block in order: id, ordinal, lsn. */
typedef status cold_id_fn(void *arg, const struct docid *id, uint32_t ordinal, uint64_t lsn,
                          struct err *err);
NODISCARD
status cold_id_each(const struct cold_footer *f, uint32_t block, struct slice bytes, cold_id_fn *fn,
                    void *arg, struct err *err);

/* --- writing: sections in the order of the page --- */
struct cold_writer;
struct cold_writer_options {
    uint8_t collection[16];
    uint32_t rows;
    enum cold_id_form id_form;
    uint64_t lsn_min, lsn_max;
    uint16_t field_count;
    const struct cold_field *fields; /* offsets unset */
};
NODISCARD
status cold_writer_create(struct container_sink *sink, const struct cold_writer_options *options,
                          struct cold_writer **out, struct err *err);
/* For each field by position: all records, positions rising; then all codes; all vectors. Then
 * payload rows, ordinals rising; then ids, sorted. Out of turn: ST_INVALID. */
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
struct cold_written {
    uint64_t bytes, footer_offset;
    uint32_t footer_bytes, footer_crc, trailer_crc;
};
NODISCARD
status cold_writer_finish(struct cold_writer *w, struct cold_written *out, struct err *err);
void cold_writer_destroy(struct cold_writer *w);

#endif
