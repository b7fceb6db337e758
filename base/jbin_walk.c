/* Stepping through payload blobs, and putting parts of them together anew. */
#include "base/jbin.h"

#include "base/jbin_tags.h"

static const uint8_t EMPTY_OBJECT[] = {JBIN_OBJECT, 0, 0, 0, 0};

static struct jbin_value bad_value(struct rd *r)
{
    r->bad = true;
    return (struct jbin_value){.type = JBIN_T_BAD};
}

static struct slice read_string(struct rd *r, uint8_t tag)
{
    uint64_t bytes = tag - (unsigned)JBIN_SHORT;

    if (tag == JBIN_STRING)
        bytes = rd_varint(r);
    else if (tag < JBIN_SHORT)
        r->bad = true;
    if (r->bad || bytes > rd_left(r)) {
        r->bad = true;
        return (struct slice){0};
    }
    return rd_bytes(r, (size_t)bytes);
}

static struct jbin_value read_tagged(struct rd *r, uint8_t tag)
{
    struct jbin_value v = {0};

    switch (tag) {
    case JBIN_NULL:
        v.type = JBIN_T_NULL;
        break;
    case JBIN_FALSE:
    case JBIN_TRUE:
        v.type = JBIN_T_BOOL;
        v.boolean = tag == JBIN_TRUE;
        break;
    case JBIN_U64:
        v.type = JBIN_T_U64;
        v.u64 = rd_varint(r);
        break;
    case JBIN_NEGATIVE:
        v.type = JBIN_T_I64;
        v.i64 = (int64_t)~rd_varint(r);
        break;
    case JBIN_F64:
        v.type = JBIN_T_F64;
        v.f64 = rd_f64(r);
        break;
    case JBIN_ARRAY:
    case JBIN_OBJECT:
        v.type = tag == JBIN_ARRAY ? JBIN_T_ARRAY : JBIN_T_OBJECT;
        v.body = rd_bytes(r, rd_u32(r));
        break;
    default:
        v.type = JBIN_T_STRING;
        v.text = read_string(r, tag);
    }
    return v;
}

struct jbin_value jbin_next(struct rd *r)
{
    const uint8_t *from = r->at;
    uint8_t tag = rd_u8(r);
    struct jbin_value v;

    if (r->bad)
        return bad_value(r);
    v = read_tagged(r, tag);
    if (r->bad)
        return bad_value(r);
    v.bytes = slice_make(from, (size_t)(r->at - from));
    return v;
}

struct jbin_value jbin_root(struct slice blob)
{
    struct rd r = rd_make(blob.bytes > 0 ? blob : slice_make(EMPTY_OBJECT, sizeof EMPTY_OBJECT));

    if (blob.bytes > 0 && rd_u8(&r) != JBIN_VERSION)
        return (struct jbin_value){.type = JBIN_T_BAD};
    return jbin_next(&r);
}

bool jbin_member(struct rd *r, struct slice *key, struct jbin_value *out)
{
    if (r->bad || rd_left(r) == 0)
        return false;
    *key = read_string(r, rd_u8(r));
    *out = jbin_next(r);
    return !r->bad;
}

bool jbin_element(struct rd *r, struct jbin_value *out)
{
    if (r->bad || rd_left(r) == 0)
        return false;
    *out = jbin_next(r);
    return !r->bad;
}

/* Behind a varint; NULL: it does not end. */
static const uint8_t *skip_varint(const uint8_t *at, const uint8_t *end)
{
    while (at < end && *at >= 0x80)
        at++;
    return at < end ? at + 1 : NULL;
}

/* Behind a string, whose tag is at `at`; NULL: it is none, or is cut short. */
static const uint8_t *skip_string(const uint8_t *at, const uint8_t *end, struct slice *text)
{
    struct rd r = {.at = at + 1, .end = end};

    if (*at >= JBIN_SHORT) {
        size_t bytes = *at - (size_t)JBIN_SHORT;

        if (bytes > (size_t)(end - at) - 1)
            return NULL;
        *text = slice_make(at + 1, bytes);
        return at + 1 + bytes;
    }
    *text = read_string(&r, *at);
    return r.bad ? NULL : r.at;
}

/* Behind a value, whose tag is at `at`; NULL: it is none, or is cut short. Short strings are most
 * values, so they go first. */
static const uint8_t *skip_value(const uint8_t *at, const uint8_t *end)
{
    size_t left = (size_t)(end - at) - 1;
    uint32_t body_bytes;
    struct slice text;

    if (*at >= JBIN_SHORT)
        return *at - (size_t)JBIN_SHORT > left ? NULL : at + 1 + (*at - JBIN_SHORT);
    switch (*at) {
    case JBIN_NULL:
    case JBIN_FALSE:
    case JBIN_TRUE:
        return at + 1;
    case JBIN_U64:
    case JBIN_NEGATIVE:
        return skip_varint(at + 1, end);
    case JBIN_F64:
        return left < 8 ? NULL : at + 9;
    case JBIN_ARRAY:
    case JBIN_OBJECT:
        if (left < 4)
            return NULL;
        body_bytes = le_u32(at + 1);
        return body_bytes > left - 4 ? NULL : at + 5 + body_bytes;
    default:
        return skip_string(at, end, &text);
    }
}

bool jbin_find(struct slice body, struct slice key, struct jbin_value *out)
{
    const uint8_t *at = body.data;
    const uint8_t *end = body.data + body.bytes;
    struct slice found;

    while (at != NULL && at < end) {
        at = skip_string(at, end, &found);
        if (at == NULL || at == end)
            return false;
        if (found.bytes == key.bytes &&
            (key.bytes == 0 || memcmp(found.data, key.data, key.bytes) == 0)) {
            struct rd r = {.at = at, .end = end};

            *out = jbin_next(&r);
            return !r.bad;
        }
        at = skip_value(at, end);
    }
    return false;
}

void jbin_put_version(struct buf *b)
{
    buf_put_u8(b, JBIN_VERSION);
}

void jbin_put_raw(struct buf *b, struct slice value_bytes)
{
    buf_put_slice(b, value_bytes);
}

void jbin_put_key(struct buf *b, struct slice key)
{
    if (key.bytes <= JBIN_SHORT_BYTES_MAX) {
        buf_put_u8(b, (uint8_t)(JBIN_SHORT + key.bytes));
    } else {
        buf_put_u8(b, JBIN_STRING);
        buf_put_varint(b, key.bytes);
    }
    buf_put_slice(b, key);
}

size_t jbin_open(struct buf *b, bool object)
{
    size_t opened = b->bytes + 1;

    buf_put_u8(b, object ? JBIN_OBJECT : JBIN_ARRAY);
    buf_put_u32(b, 0);
    return opened;
}

void jbin_close(struct buf *b, size_t opened)
{
    size_t bytes;

    if (b->failed)
        return;
    bytes = b->bytes - opened - 4;
    if (bytes > UINT32_MAX)
        b->failed = true;
    else
        buf_set_u32(b, opened, (uint32_t)bytes);
}
