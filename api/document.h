/* document.h - a document of our own dialect: read from JSON into a row, and printed. Whatever
 * route takes or gives documents goes by these.
 *
 * `vector` is the unnamed vector, or that of a collection which has one alone, whatever its name;
 * `vectors` has them by name. A document may lack any of them: `"vectors":{}` is one without. What
 * is printed may be read again: a document without a vector has `"vectors":{}` too.
 *
 * Threads    a worker's, one request at a time.
 * Ownership  rows live in the request's arena, payloads in req->payloads, which moves while it
 *            grows: where each begins is told beside its row. */
#ifndef API_DOCUMENT_H
#define API_DOCUMENT_H

#include "api/members.h"
#include "api/request.h"

/* All vectors of a document, for which below. */
#define DOCUMENT_ALL_VECTORS UINT64_MAX

/* doc_id, external_id, vector, vectors and payload of v into *row, which is zeroed; a document
 * without a doc_id has kind 0 there. */
bool document_take(struct request *req, struct parse *p, struct jval v, struct write_row *row,
                   size_t *payload_at);
/* An id of the request's collection, in the arena. */
bool take_id(struct request *req, struct parse *p, struct jval v, struct docid *out);

/* The field that is meant where none is named: the unnamed one, or the only one. instead: what
 * names one, for the text. */
bool document_field_unsaid(const struct request *req, struct parse *p, const char *member,
                           const char *instead, size_t *position);
/* The field of this name; member is what named it. */
bool document_field(const struct request *req, struct parse *p, const char *member,
                    struct slice name, size_t *position);
/* The field that rows of vectors alone are, by the query parameter `vector`, else as where none is
 * named; with `lines`, which name theirs, the parameter may not be there. Answers the request
 * itself and returns false on a problem. */
bool document_field_of_rows(struct request *req, bool lines, size_t *position);
/* One vector of a field, in the arena; member names it. */
bool document_vector(struct request *req, struct parse *p, const char *member, struct jval v,
                     size_t position, float **out);
/* A row of this vector alone; false: out of memory. */
bool document_set_vector(struct request *req, struct write_row *row, size_t position,
                         float *vector);
/* `with_vector`: true, false, or a list of names; a bit for each position. */
bool document_want_vectors(const struct request *req, struct parse *p, struct jval v,
                           uint64_t *out);
/* Floats of the fields in which. */
uint64_t document_floats(const struct collection *c, uint64_t which);
/* The collection has one field, the unnamed one. */
bool document_is_plain(const struct collection *c);

/* The object. */
void document_print(struct buf *out, const struct collection *c, const struct document *doc,
                    uint64_t which);
/* `,"vector":[...]` and `,"vectors":{...}` of those in which, by position. */
void document_print_vectors(struct buf *out, const struct collection *c,
                            const float *const *vectors, uint64_t which);

#endif
