/* bulk_rows.h - a document as import sends it and export prints it: one JSON object with doc_id,
 * external_id, vector and vectors, and payload.
 *
 * The compatible form is read too (id for doc_id, named vectors in `vector`); sparse vectors and
 * many under one name are refused with the words for it. A row without an id gets one made of its
 * line's number and bytes: the same line of the same file has the same id whenever it is sent.
 *
 * Threads    the caller's.  Failure    ST_INVALID with what is wrong with the row. */
#ifndef CLI_BULK_ROWS_H
#define CLI_BULK_ROWS_H

#include "base/json.h"

enum { BULK_FIELDS_MAX = 64, BULK_NAME_BYTES = 256 };

struct bulk_field {             /* one vector of a collection */
    char name[BULK_NAME_BYTES]; /* "" for the unnamed one */
    uint32_t dim;               /* 0: as the first one says */
    char metric[16];            /* "": not known */
};
struct bulk_rows {
    struct bulk_field *fields; /* of the collection, or those that came so far */
    size_t field_count;
    bool may_lack;    /* a document that says nothing of vectors has none */
    bool open;        /* there is no collection yet: it will have what comes */
    const char *take; /* NULL: all; else the vector that alone is taken of each document ... */
    struct bulk_field *into; /* ... into this one */
    bool string_ids;         /* any text may be an id */
    struct jdoc *doc;
    float *vector; /* scratch */
    struct buf blob;
};
NODISCARD
status bulk_rows_open(struct bulk_rows *w, struct err *err);
void bulk_rows_close(struct bulk_rows *w); /* fine on a zeroed one */

/* ST_INVALID: there is one of this name, or no room. *out may be NULL. */
NODISCARD
status bulk_field_add(struct bulk_rows *w, struct slice name, uint32_t dim, struct slice metric,
                      struct bulk_field **out, struct err *err);
struct bulk_field *bulk_field_called(const struct bulk_rows *w, struct slice name); /* or NULL */
/* The one that is meant by name; NULL: the unnamed one, or the only one. ST_INVALID names those
 * there are. */
NODISCARD
status bulk_field_meant(struct bulk_rows *w, const char *name, struct bulk_field **out,
                        struct err *err);
/* How many values all vectors of a document have; 0 while none is known. */
uint64_t bulk_fields_dim(const struct bulk_rows *w);

/* The members of a document. made: the id of one that has none; NULL: it must have one. */
NODISCARD
status bulk_put_document(struct bulk_rows *w, struct buf *out, struct jval v, const char *made,
                         struct err *err);
/* A line of NDJSON, the line_number-th. */
NODISCARD
status bulk_put_line(struct bulk_rows *w, struct buf *out, struct slice line, uint64_t line_number,
                     struct err *err);
/* Floats, little endian, that are a document's vector of this field. */
NODISCARD
status bulk_put_vector(struct bulk_rows *w, struct buf *out, struct bulk_field *field,
                       struct slice floats, uint64_t id, struct err *err);
/* The document's vector of this field as little-endian floats. */
NODISCARD
status bulk_put_floats(struct bulk_rows *w, struct buf *out, const struct bulk_field *field,
                       struct jval document, struct err *err);

#endif
