/* Payload blobs, docs/formats/payload.md. One encoding a value, so that equal payloads are equal
 * bytes; body lengths, so that a reader can step over what it does not look for. Recursion is as
 * deep as JBIN_DEPTH_MAX lets it be: deeper values are not put, deeper blobs fail the check. */
#include "base/jbin.h"
#include "base/jbin_tags.h"
#include "base/mem.h"
#include "base/utf8.h"

#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

static_assert(JBIN_SHORT + JBIN_SHORT_BYTES_MAX == 0xFF, "docs/formats/payload.md, layout");

/* Below this many members each is held against those behind it; above they are sorted. */
enum { MEMBERS_COMPARED = 8 };

struct member {
    struct slice key;
    size_t index;
};

static void put_value(struct buf *b, struct jval v, unsigned level);

static void put_number(struct buf *b, struct jval v)
{
    uint64_t u = 0;
    int64_t i = 0;
    double f = 0;

    if (jval_u64(v, &u)) {
        buf_put_u8(b, JBIN_U64);
        buf_put_varint(b, u);
    } else if (jval_i64(v, &i)) {
        buf_put_u8(b, JBIN_NEGATIVE);
        buf_put_varint(b, ~(uint64_t)i); /* -1 - i */
    } else {
        (void)jval_f64(v, &f);
        buf_put_u8(b, JBIN_F64);
        buf_put_f64(b, f);
    }
}

static void put_member(struct buf *b, const struct jiter *it, unsigned level)
{
    jbin_put_key(b, it->key);
    put_value(b, it->value, level);
}

static bool key_comes_again(struct jiter it)
{
    struct slice key = it.key;

    while (jiter_next(&it))
        if (slice_equal(it.key, key))
            return true;
    return false;
}

static int by_key_then_index(const void *left, const void *right)
{
    const struct member *a = left;
    const struct member *b = right;
    size_t bytes = a->key.bytes < b->key.bytes ? a->key.bytes : b->key.bytes;
    int order = bytes == 0 ? 0 : memcmp(a->key.data, b->key.data, bytes);

    if (order != 0)
        return order;
    if (a->key.bytes != b->key.bytes)
        return a->key.bytes < b->key.bytes ? -1 : 1;
    return a->index < b->index ? -1 : a->index > b->index;
}

/* One flag a member: the same key comes again. NULL when memory is out. */
static bool *find_doubled(struct jval object, size_t count)
{
    struct member *members = mem_alloc_array(count, sizeof *members);
    bool *doubled = mem_zero_array(count, sizeof *doubled);
    size_t n = 0;

    if (members == NULL || doubled == NULL) {
        mem_free(members);
        mem_free(doubled);
        return NULL;
    }
    for (struct jiter it = jval_iter(object); jiter_next(&it); n++)
        members[n] = (struct member){it.key, n};
    qsort(members, n, sizeof *members, by_key_then_index);
    for (size_t i = 0; i + 1 < n; i++)
        doubled[members[i].index] = slice_equal(members[i].key, members[i + 1].key);
    mem_free(members);
    return doubled;
}

static void put_members(struct buf *b, struct jval object, unsigned level)
{
    size_t count = jval_count(object);
    bool *doubled = NULL;
    size_t index = 0;

    if (count > MEMBERS_COMPARED) {
        doubled = find_doubled(object, count);
        if (doubled == NULL) {
            b->failed = true;
            return;
        }
    }
    for (struct jiter it = jval_iter(object); jiter_next(&it); index++) {
        if (doubled != NULL ? doubled[index] : key_comes_again(it))
            continue;
        put_member(b, &it, level);
    }
    mem_free(doubled);
}

/* level: of what is inside */
static void put_container(struct buf *b, struct jval v, bool object, unsigned level)
{
    size_t opened = jbin_open(b, object);

    if (object)
        put_members(b, v, level);
    else
        for (struct jiter it = jval_iter(v); jiter_next(&it);)
            put_value(b, it.value, level);
    jbin_close(b, opened);
}

static void put_value(struct buf *b, struct jval v, unsigned level)
{
    if (level > JBIN_DEPTH_MAX) {
        b->failed = true;
        return;
    }
    switch (jval_type(v)) {
    case J_NULL:
        buf_put_u8(b, JBIN_NULL);
        break;
    case J_FALSE:
        buf_put_u8(b, JBIN_FALSE);
        break;
    case J_TRUE:
        buf_put_u8(b, JBIN_TRUE);
        break;
    case J_U64:
    case J_I64:
    case J_F64:
        put_number(b, v);
        break;
    case J_STRING:
        jbin_put_key(b, jval_string(v));
        break;
    case J_ARRAY:
        put_container(b, v, false, level + 1);
        break;
    case J_OBJECT:
        put_container(b, v, true, level + 1);
        break;
    }
}

void jbin_put(struct buf *b, struct jval v)
{
    buf_put_u8(b, JBIN_VERSION);
    put_value(b, v, 1);
}

static bool deeper_than(struct jval v, unsigned levels)
{
    if (levels == 0)
        return true;
    for (struct jiter it = jval_iter(v); jiter_next(&it);)
        if (deeper_than(it.value, levels - 1))
            return true;
    return false;
}

bool jbin_too_deep(struct jval v)
{
    return deeper_than(v, JBIN_DEPTH_MAX);
}

/* Check. Each function reads one thing and returns false with *why set when it is not valid. */

static bool check_value(struct rd *r, unsigned level, const char **why);

static bool bad(const char **why, const char *text)
{
    *why = text;
    return false;
}

static bool read_varint(struct rd *r, uint64_t *out, const char **why)
{
    const uint8_t *from = r->at;

    *out = rd_varint(r);
    if (r->bad)
        return bad(why, "an integer is cut short or over 64 bits");
    if (r->at - from > 1 && r->at[-1] == 0)
        return bad(why, "an integer is not in its shortest form");
    return true;
}

static bool check_string(struct rd *r, uint8_t tag, const char **why)
{
    uint64_t bytes = tag - (unsigned)JBIN_SHORT;
    struct slice s;

    if (tag == JBIN_STRING) {
        if (!read_varint(r, &bytes, why))
            return false;
        if (bytes <= JBIN_SHORT_BYTES_MAX)
            return bad(why, "a string is not in its shortest form");
    } else if (tag < JBIN_SHORT) {
        return bad(why, "a key is not a string");
    }
    if (bytes > rd_left(r))
        return bad(why, "a string is cut short");
    s = rd_bytes(r, (size_t)bytes);
    if (!utf8_valid(s.data, s.bytes))
        return bad(why, "a string is not UTF-8");
    return true;
}

static bool check_body(struct rd *r, bool object, unsigned level, const char **why)
{
    uint32_t bytes = rd_u32(r);
    struct rd body;

    if (r->bad || bytes > rd_left(r))
        return bad(why, "an array or object is cut short");
    body = rd_make(rd_bytes(r, bytes));
    while (rd_left(&body) > 0) {
        if (object && !check_string(&body, rd_u8(&body), why))
            return false;
        if (!check_value(&body, level + 1, why))
            return false;
    }
    return true;
}

static bool check_value(struct rd *r, unsigned level, const char **why)
{
    uint8_t tag = rd_u8(r);
    uint64_t integer;

    if (r->bad)
        return bad(why, "a value is missing");
    if (level > JBIN_DEPTH_MAX)
        return bad(why, "values are nested too deep");
    switch (tag) {
    case JBIN_NULL:
    case JBIN_FALSE:
    case JBIN_TRUE:
        return true;
    case JBIN_U64:
        return read_varint(r, &integer, why);
    case JBIN_NEGATIVE:
        if (!read_varint(r, &integer, why))
            return false;
        return integer <= INT64_MAX || bad(why, "a negative integer is over 64 bits");
    case JBIN_F64:
        return (isfinite(rd_f64(r)) && !r->bad) || bad(why, "a number is cut short or not finite");
    case JBIN_ARRAY:
        return check_body(r, false, level, why);
    case JBIN_OBJECT:
        return check_body(r, true, level, why);
    default:
        if (tag != JBIN_STRING && tag < JBIN_SHORT)
            return bad(why, "unknown tag");
        return check_string(r, tag, why);
    }
}

status jbin_check(struct slice blob, struct err *err)
{
    struct rd r = rd_make(blob);
    uint8_t version = rd_u8(&r);
    const char *why = "";

    if (r.bad)
        return err_set(err, ST_CORRUPT, "payload is empty");
    if (version != JBIN_VERSION)
        return err_set(err, ST_CORRUPT, "payload has version %u, this program reads %d", version,
                       JBIN_VERSION);
    if (!check_value(&r, 1, &why))
        return err_set(err, ST_CORRUPT, "payload of %zu bytes: %s", blob.bytes, why);
    if (rd_left(&r) > 0)
        return err_set(err, ST_CORRUPT, "payload of %zu bytes: %zu bytes behind its value",
                       blob.bytes, rd_left(&r));
    return ST_OK;
}

/* Printing trusts the check, and stays inside the blob even without it. */

static void print_value(struct buf *b, struct rd *r, unsigned level);

static void print_string(struct buf *b, struct rd *r, uint8_t tag)
{
    uint64_t bytes = tag == JBIN_STRING ? rd_varint(r) : tag - (unsigned)JBIN_SHORT;

    json_put_string(b, rd_bytes(r, bytes > SIZE_MAX ? SIZE_MAX : (size_t)bytes));
}

static void print_body(struct buf *b, struct rd *r, bool object, unsigned level)
{
    struct rd body = rd_make(rd_bytes(r, rd_u32(r)));
    bool first = true;

    buf_put(b, object ? "{" : "[", 1);
    for (; rd_left(&body) > 0 && !b->failed; first = false) {
        if (!first)
            buf_put(b, ",", 1);
        if (object) {
            print_string(b, &body, rd_u8(&body));
            buf_put(b, ":", 1);
        }
        print_value(b, &body, level + 1);
    }
    buf_put(b, object ? "}" : "]", 1);
}

static void print_value(struct buf *b, struct rd *r, unsigned level)
{
    uint8_t tag = rd_u8(r);

    if (level > JBIN_DEPTH_MAX) { /* the check would have said so */
        b->failed = true;
        return;
    }
    switch (tag) {
    case JBIN_NULL:
        buf_put(b, "null", 4);
        break;
    case JBIN_FALSE:
        buf_put(b, "false", 5);
        break;
    case JBIN_TRUE:
        buf_put(b, "true", 4);
        break;
    case JBIN_U64:
        json_put_u64(b, rd_varint(r));
        break;
    case JBIN_NEGATIVE:
        json_put_i64(b, (int64_t)~rd_varint(r));
        break;
    case JBIN_F64:
        json_put_f64(b, rd_f64(r));
        break;
    case JBIN_ARRAY:
        print_body(b, r, false, level);
        break;
    case JBIN_OBJECT:
        print_body(b, r, true, level);
        break;
    default:
        print_string(b, r, tag);
    }
}

void jbin_print(struct buf *b, struct slice blob)
{
    struct rd r = rd_make(blob);

    (void)rd_u8(&r); /* version */
    print_value(b, &r, 1);
}

void jbin_print_value(struct buf *b, struct slice value_bytes)
{
    struct rd r = rd_make(value_bytes);

    print_value(b, &r, 1);
}
