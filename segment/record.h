/* record.h - the payload of a log record: the same bytes in the WAL and in a group.
 *
 * One request is one record with one lsn and a row count. Records hold resolved ids and whole rows,
 * never filters. Framing, salt and durable_lsn belong to the WAL, not to this.
 *
 * Threads    none of it is shared.
 * Ownership  a decoded record borrows from the bytes it was read from.
 * On disk    docs/formats/record.md, version 1. */
#ifndef SEGMENT_RECORD_H
#define SEGMENT_RECORD_H

#include "base/docid.h"

enum record_kind { /* on disk, never renumbered */
                   RECORD_UPSERT = 1,
                   RECORD_DELETE = 2,
                   /* 3 payload patch, 4 vector patch: reserved for the compatible dialect */
                   RECORD_SETTINGS = 5, /* what a restore must reproduce: ef_search, name, ... as
                                           key = value texts */
};
enum {
    RECORD_ROWS_MAX = 1000000,
    RECORD_FIELDS_MAX = 64,
    RECORD_EXTERNAL_ID_BYTES_MAX = 1024,
    RECORD_PAYLOAD_BYTES_MAX = 16 * 1024 * 1024,
    RECORD_DIM_MAX = 65535,
    RECORD_KEY_BYTES_MAX = 255, /* of a setting */
    RECORD_VALUE_BYTES_MAX = 65536,
    RECORD_HEADER_BYTES = 16,
};

struct record_vector {
    uint16_t field; /* vector-field id, 0 is the unnamed one */
    uint32_t dim;
    const float *values; /* encoding: dim floats, 4-byte aligned; decoding: see record_row_vector */
};
struct record_row {
    struct docid id;
    struct slice external_id;
    struct slice payload; /* jbin blob */
    uint16_t vector_count;
    struct slice vectors; /* decoding: the encoded vectors, for record_row_vector() */
};

/* Encoding: begin, then rows (upsert), ids (delete) or settings, then end. The first failure sticks
 * until record_end(), which says what it was: ST_NOSPACE or ST_NOMEM of the buf, ST_INVALID for an
 * item over the limits above. The buf then holds half a record. */
struct record_writer {
    struct buf *out;
    size_t count_at;
    uint32_t rows;
    const char *problem; /* NULL, or which limit an item broke */
    enum record_kind kind;
};
/* No id twice in a record: the caller keeps the last. */
void record_begin(struct record_writer *w, struct buf *out, enum record_kind kind,
                  uint64_t inserted_at_ns);
void record_put_row(struct record_writer *w, const struct docid *id, struct slice external_id,
                    struct slice payload, const struct record_vector *vectors,
                    uint16_t vector_count);
void record_put_id(struct record_writer *w, const struct docid *id);
void record_put_setting(struct record_writer *w, struct slice key, struct slice value);
NODISCARD
status record_end(struct record_writer *w, struct err *err);

/* Decoding: every length is checked before it is believed; ST_CORRUPT says what and where. */
struct record {
    enum record_kind kind;
    uint64_t inserted_at_ns;
    uint32_t rows; /* items in the record */
    uint32_t row;  /* items read so far */
    size_t bytes;  /* of the whole record, for offsets in texts */
    struct rd body;
};
/* ST_UNSUPPORTED: a newer version or a reserved kind. */
NODISCARD
status record_open(struct slice bytes, struct record *out, struct err *err);
/* The next item, each for its kind alone; ST_NOT_FOUND after the last (without a text: it is the
 * end of a loop), ST_CORRUPT if bytes follow it. Payloads are checked blobs, vectors are in bounds
 * and their fields distinct. */
NODISCARD
status record_next_row(struct record *r, struct record_row *out, struct err *err);
NODISCARD
status record_next_id(struct record *r, struct docid *out, struct err *err);
NODISCARD
status record_next_setting(struct record *r, struct slice *key, struct slice *value,
                           struct err *err);
/* Copies the vector of `field` into out (dim_expected floats). ST_NOT_FOUND: the row has none;
 * ST_CORRUPT: another dimension, or a value that is not finite. */
NODISCARD
status record_row_vector(const struct record_row *row, uint16_t field, float *out,
                         uint32_t dim_expected, struct err *err);

/* One item of an upsert by itself, for formats that hold rows (docs/formats/checkpoint.md). NULL,
 * or which limit was broken; then nothing was put. */
NODISCARD
const char *record_row_put(struct buf *out, const struct docid *id, struct slice external_id,
                           struct slice payload, const struct record_vector *vectors,
                           uint16_t vector_count);
/* Moves r behind it. ST_CORRUPT, and r is where it was. */
NODISCARD
status record_row_read(struct rd *r, struct record_row *out, struct err *err);

#endif
