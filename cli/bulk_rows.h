/* bulk_rows.h - a document as import sends it and export prints it: one JSON object with doc_id,
 * external_id, vector and payload.
 *
 * The native door knows one unnamed vector a document: named vectors, several or sparse ones, are
 * refused here with the words for it. A row without an id gets one made of its line's number and
 * bytes: the same line of the same file has the same id whenever it is sent.
 *
 * Threads    the caller's.  Failure    ST_INVALID with what is wrong with the row. */
#ifndef CLI_BULK_ROWS_H
#define CLI_BULK_ROWS_H

#include "base/json.h"

struct bulk_rows {
    uint32_t dim;            /* of every vector; 0: as the first one says */
    const char *vector_name; /* NULL: unnamed; else the one to take of named ones */
    bool string_ids;         /* any text may be an id */
    struct jdoc *doc;
    float *vector; /* scratch */
    struct buf blob;
};
NODISCARD
status bulk_rows_open(struct bulk_rows *w, struct err *err);
void bulk_rows_close(struct bulk_rows *w); /* fine on a zeroed one */

/* The members of a document, also in the compatible form (id for doc_id). made: the id of one that
 * has none; NULL: it must have one. */
NODISCARD
status bulk_put_document(struct bulk_rows *w, struct buf *out, struct jval v, const char *made,
                         struct err *err);
/* A line of NDJSON, the line_number-th. */
NODISCARD
status bulk_put_line(struct bulk_rows *w, struct buf *out, struct slice line, uint64_t line_number,
                     struct err *err);
/* dim floats, little endian. */
NODISCARD
status bulk_put_vector(struct bulk_rows *w, struct buf *out, struct slice floats, uint64_t id,
                       struct err *err);
/* The vector of a document as little-endian floats. */
NODISCARD
status bulk_put_floats(struct bulk_rows *w, struct buf *out, struct jval document, struct err *err);

#endif
