/* members.h - reading the members of a request's JSON objects: each known by name, of the right
 * type and within its bounds, or a problem that names it.
 *
 * Ownership  nothing is kept; texts are borrowed from the document. */
#ifndef API_MEMBERS_H
#define API_MEMBERS_H

#include "api/errors.h"
#include "base/docid.h"
#include "base/json.h"

/* Where in the body one is, and what was found wrong there. */
struct parse {
    const char *list; /* "documents" inside documents[index], NULL at the top */
    size_t index;
    enum problem problem;
    char text[ERR_TEXT_BYTES];
};

/* Fills problem and text, `documents[3].` in front; returns false. */
bool parse_fail(struct parse *p, enum problem problem, const char *format, ...) PRINTF_LIKE(3, 4);

struct member {
    const char *name;
    bool later; /* documented, not in this version */
};
/* The index of key in known; -1 after parse_fail() for one that is unknown or of a later version.
 * A member of value null counts as absent, and gives `count`. */
int parse_member(struct parse *p, const struct member *known, size_t count,
                 const struct jiter *member);

bool parse_uint(struct parse *p, const char *name, struct jval v, uint64_t min, uint64_t max,
                uint64_t *out);
bool parse_bool(struct parse *p, const char *name, struct jval v, bool *out);
/* A string without NUL of 1 to bytes_max bytes. */
bool parse_text(struct parse *p, const char *name, struct jval v, size_t bytes_max,
                struct slice *out);
/* A non-negative integer or a UUID; with `strings` any text, which is borrowed from v then. */
bool parse_doc_id(struct parse *p, const char *name, struct jval v, bool strings,
                  struct docid *out);
/* dim finite numbers; with `nonzero` not all of them 0. */
bool parse_vector(struct parse *p, const char *name, struct jval v, uint32_t dim, bool nonzero,
                  float *out);
/* Before parse_vector(): that the array has dim elements, so that the floats may be allocated.
 * whose: what has this dimension, for the text. */
bool parse_vector_length(struct parse *p, const char *name, struct jval v, uint32_t dim,
                         const char *whose);

#endif
