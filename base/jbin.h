/* jbin.h - stepping through payload blobs (docs/formats/payload.md) without making a tree of them.
 *
 * The blobs have been checked (jbin_check()); reading stays inside them even if they were not.
 *
 * Threads    any.
 * Ownership  everything borrows from the blob. */
#ifndef BASE_JBIN_H
#define BASE_JBIN_H

#include "base/json.h"

enum jbin_type {
    JBIN_T_NULL,
    JBIN_T_BOOL,
    JBIN_T_U64, /* a non-negative integer */
    JBIN_T_I64, /* a negative integer */
    JBIN_T_F64, /* written with . or e */
    JBIN_T_STRING,
    JBIN_T_ARRAY,
    JBIN_T_OBJECT,
    JBIN_T_BAD, /* not a value: a damaged blob */
};
struct jbin_value {
    enum jbin_type type;
    bool boolean;
    uint64_t u64;       /* of U64 */
    int64_t i64;        /* of I64 */
    double f64;         /* of F64 */
    struct slice text;  /* of STRING */
    struct slice body;  /* of ARRAY and OBJECT: elements or members, one behind the other */
    struct slice bytes; /* the whole value, tag included */
};
/* The value a blob holds; an empty blob is {}. */
struct jbin_value jbin_root(struct slice blob);
/* Reads the value at the front of r and moves behind it. */
struct jbin_value jbin_next(struct rd *r);
/* One step through a body: for (struct rd r = rd_make(v.body); jbin_member(&r, &key, &value);) */
bool jbin_member(struct rd *r, struct slice *key, struct jbin_value *out);
bool jbin_element(struct rd *r, struct jbin_value *out);
/* The value of the first member of that key in an object's body; steps over the others. */
bool jbin_find(struct slice body, struct slice key, struct jbin_value *out);
/* Writing, for what puts a changed payload together. A blob is JBIN version byte, then a value. */
void jbin_put_version(struct buf *b);
void jbin_put_raw(struct buf *b, struct slice value_bytes); /* a whole value, copied */
void jbin_put_key(struct buf *b, struct slice key);         /* a string: a key, or a value */
/* Opens an array or object; what is put until jbin_close() is its body, which
 * is at most 4 GiB: the buf fails beyond. */
size_t jbin_open(struct buf *b, bool object);
void jbin_close(struct buf *b, size_t opened);
/* Prints one value as JSON text. */
void jbin_print_value(struct buf *b, struct slice value_bytes);

#endif
