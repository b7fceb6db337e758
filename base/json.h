/* json.h - reading and writing JSON.
 *
 * Two readers. Request bodies: jdoc (simdjson behind base/json_simd.cc): integers exact up to
 * 2^64-1, numbers keep their kind (unsigned, signed, float), float arrays go straight into float
 * buffers without a node each. Small trusted documents (configuration, admin): json_small_* on
 * cJSON. One writer: appends to a buf; floats are printed with the shortest decimal that reads back
 * to the same value.
 *
 * Threads    a jdoc belongs to one thread at a time; jvals are values that borrow from it.
 * Ownership  jdoc_destroy() frees; a parse invalidates the values of the one before.
 * Limits     a value stands at most JSON_DEPTH_MAX levels deep, the outermost being the first; a
 *            text has at most JSON_BYTES_MAX bytes, usually fewer by the caller's will. Parsing
 *            takes up to 14 times the text's size in memory (an array of one-digit numbers), which
 *            the jdoc keeps for the next text; beyond 1 MiB only until a smaller one comes.
 * Failure    malformed text is ST_INVALID, the text says what and at which byte offset. */
#ifndef BASE_JSON_H
#define BASE_JSON_H

#include "base/bytes.h"

enum {
    /* More than any filter of 64 levels takes, below prefetches, in a batch. */
    JSON_DEPTH_MAX = 512,
    JBIN_DEPTH_MAX = 128, /* of a payload's values, as docs/formats/payload.md has it */
    JSON_BYTES_MAX = 1 << 30,
    JSON_PADDING_BYTES = 64, /* room behind a text that lets it be parsed where it lies */
};

struct jdoc;
struct jval { /* opaque, by value */
    uint64_t w[2];
};
enum jtype { J_NULL, J_FALSE, J_TRUE, J_U64, J_I64, J_F64, J_STRING, J_ARRAY, J_OBJECT };
/* J_I64 is a negative integer, J_U64 a non-negative one, J_F64 was written with . or e. An integer
 * that does not fit 64 bits, or a number beyond a double, makes the text ST_INVALID. */

NODISCARD
status jdoc_create(struct jdoc **out, struct err *err);
void jdoc_destroy(struct jdoc *d);
/* What was parsed is not looked at any more: a parser that grew for a large text gives its memory
 * back, up to 14 times the text; one that has little keeps it, and what it read. */
void jdoc_trim(struct jdoc *d);
size_t jdoc_capacity(const struct jdoc *d); /* of text, without growing; 0: none */
NODISCARD
status jdoc_parse(struct jdoc *d, struct slice text, struct jval *root, struct err *err);

/* As jdoc_parse() of all of text, which is not copied when its memory has JSON_PADDING_BYTES behind
 * its bytes (buf_reserve() them). Either way no value borrows from the text. */
NODISCARD
status jdoc_parse_buf(struct jdoc *d, const struct buf *text, struct jval *root, struct err *err);

enum jtype jval_type(struct jval v);
const char *
jtype_name(enum jtype t); /* "null", "boolean", "integer", "number", "string", "array", "object" */
bool jval_bool(struct jval v);               /* of J_TRUE / J_FALSE */
bool jval_u64(struct jval v, uint64_t *out); /* J_U64 only */
bool jval_i64(struct jval v, int64_t *out);  /* J_I64, or J_U64 up to INT64_MAX */
bool jval_f64(struct jval v, double *out);   /* any number */
struct slice jval_string(struct jval v);     /* unescaped UTF-8, may hold NUL; of J_STRING */
size_t jval_count(struct jval v);            /* elements of an array, members of an object */

/* for (struct jiter it = jval_iter(array_or_object); jiter_next(&it);) it.key (objects) and
 * it.value */
struct jiter {
    struct jval value;
    struct slice key;
    uint64_t w[3]; /* opaque */
};
struct jiter jval_iter(struct jval v);
bool jiter_next(struct jiter *it);
/* Member by key; of doubled keys the last. False if absent or v is no object. A member of value
 * null is found (J_NULL). */
bool jval_member(struct jval v, const char *key, struct jval *out);
/* Array of numbers into out[0..count_max); *count is the array's length. ST_INVALID with the index
 * if an element is no number or is not finite as f32 (out is then partly written); also when longer
 * than count_max (*count is set). A number is read as a double, then narrowed. */
NODISCARD
status jval_floats(struct jval v, float *out, size_t count_max, size_t *count, struct err *err);

/* Writer: appends to b, whose `failed` sticks. */
void json_put_string(struct buf *b, struct slice text);  /* with quotes; invalid UTF-8 -> U+FFFD */
void json_put_escaped(struct buf *b, struct slice text); /* the same without quotes */
void json_put_u64(struct buf *b, uint64_t v);
void json_put_i64(struct buf *b, int64_t v);
/* The shortest that reads back; not finite: null. A double always has a . or an e (1.0). */
void json_put_f32(struct buf *b, float v);
void json_put_f64(struct buf *b, double v);
void json_put_floats(struct buf *b, const float *v, size_t count); /* [1,0.5] */

/* Payloads: one compact binary blob of JSON (docs/formats/payload.md), and back to text. Doubled
 * keys: the last wins. A value that is deeper than JBIN_DEPTH_MAX makes b fail. */
void jbin_put(struct buf *b, struct jval v);
/* Whether that is why: v counts as the first level. */
bool jbin_too_deep(struct jval v);
/* Checks a blob read from a file or bucket: lengths, kinds, depth, UTF-8. */
NODISCARD
status jbin_check(struct slice blob, struct err *err);
void jbin_print(struct buf *b, struct slice blob); /* of a checked blob */

/* Small documents, by cJSON: files we wrote ourselves, catalogs of tests, configuration. A path's
 * steps are member names, or indices of arrays: "nodes.0.name". Numbers are doubles. */
enum { JSON_SMALL_BYTES_MAX = 4 << 20 };
struct json_small;
NODISCARD
status json_small_parse(struct slice text, struct json_small **out, struct err *err);
void json_small_free(struct json_small *j);
const char *json_small_text(const struct json_small *j,
                            const char *dotted_path); /* NULL if absent */
bool json_small_number(const struct json_small *j, const char *dotted_path, double *out);

#endif
