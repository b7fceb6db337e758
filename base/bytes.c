#include "base/bytes.h"

#include "base/mem.h"

#include <assert.h>
#include <stdio.h>

enum { BUF_BYTES_FIRST = 256 };

bool slice_equal(struct slice a, struct slice b)
{
    return a.bytes == b.bytes && (a.bytes == 0 || memcmp(a.data, b.data, a.bytes) == 0);
}

void buf_init(struct buf *b, size_t bytes_max)
{
    *b = (struct buf){.bytes_max = bytes_max};
}

void buf_free(struct buf *b)
{
    mem_free(b->data);
    *b = (struct buf){.bytes_max = b->bytes_max};
}

void buf_reset(struct buf *b)
{
    b->bytes = 0;
    b->failed = false;
    b->over = false;
}

struct slice buf_slice(const struct buf *b)
{
    return slice_make(b->data, b->bytes);
}

bool buf_reserve(struct buf *b, size_t bytes)
{
    size_t need;
    size_t capacity;
    uint8_t *data;

    if (b->failed)
        return false;
    if (!size_add(b->bytes, bytes, &need) || need > b->bytes_max) {
        b->failed = true;
        b->over = true;
        return false;
    }
    if (need <= b->capacity)
        return true;
    capacity = b->capacity < BUF_BYTES_FIRST ? BUF_BYTES_FIRST : b->capacity;
    while (capacity < need)
        capacity = capacity > b->bytes_max / 2 ? b->bytes_max : capacity * 2;
    if (capacity > b->bytes_max)
        capacity = b->bytes_max;
    data = mem_resize(b->data, capacity);
    if (data == NULL) {
        b->failed = true;
        return false;
    }
    b->data = data;
    b->capacity = capacity;
    return true;
}

void buf_put(struct buf *b, const void *data, size_t bytes)
{
    if (bytes == 0 || !buf_reserve(b, bytes))
        return;
    memcpy(b->data + b->bytes, data, bytes);
    b->bytes += bytes;
}

void buf_put_slice(struct buf *b, struct slice s)
{
    buf_put(b, s.data, s.bytes);
}

void buf_put_text(struct buf *b, const char *text)
{
    buf_put(b, text, strlen(text));
}

void buf_put_u8(struct buf *b, uint8_t v)
{
    buf_put(b, &v, 1);
}

void buf_put_u16(struct buf *b, uint16_t v)
{
    uint8_t raw[2];

    le_put_u16(raw, v);
    buf_put(b, raw, sizeof raw);
}

void buf_put_u32(struct buf *b, uint32_t v)
{
    uint8_t raw[4];

    le_put_u32(raw, v);
    buf_put(b, raw, sizeof raw);
}

void buf_put_u64(struct buf *b, uint64_t v)
{
    uint8_t raw[8];

    le_put_u64(raw, v);
    buf_put(b, raw, sizeof raw);
}

void buf_put_f32(struct buf *b, float v)
{
    uint32_t bits;

    memcpy(&bits, &v, sizeof bits);
    buf_put_u32(b, bits);
}

void buf_put_f64(struct buf *b, double v)
{
    uint64_t bits;

    memcpy(&bits, &v, sizeof bits);
    buf_put_u64(b, bits);
}

void buf_put_varint(struct buf *b, uint64_t v)
{
    uint8_t raw[10];
    size_t bytes = 0;

    while (v >= 0x80) {
        raw[bytes++] = (uint8_t)(v | 0x80);
        v >>= 7;
    }
    raw[bytes++] = (uint8_t)v;
    buf_put(b, raw, bytes);
}

void buf_put_zeros(struct buf *b, size_t bytes)
{
    if (bytes == 0 || !buf_reserve(b, bytes))
        return;
    memset(b->data + b->bytes, 0, bytes);
    b->bytes += bytes;
}

void buf_printf(struct buf *b, const char *format, ...)
{
    char small[256];
    char *text = small;
    va_list args;
    int n;

    va_start(args, format);
    n = vsnprintf(small, sizeof small, format, args);
    va_end(args);
    /* The text is made elsewhere, since its NUL need not fit into b. */
    if (n >= (int)sizeof small && buf_reserve(b, (size_t)n)) {
        text = mem_alloc((size_t)n + 1);
        if (text != NULL) {
            va_start(args, format);
            (void)vsnprintf(text, (size_t)n + 1, format, args);
            va_end(args);
        }
    }
    if (n < 0 || text == NULL)
        b->failed = true;
    else if (!b->failed)
        buf_put(b, text, (size_t)n);
    if (text != small)
        mem_free(text);
}

void buf_set_u32(struct buf *b, size_t at, uint32_t v)
{
    if (b->failed)
        return;
    assert(at <= b->bytes && b->bytes - at >= 4);
    le_put_u32(b->data + at, v);
}

void buf_set_u64(struct buf *b, size_t at, uint64_t v)
{
    if (b->failed)
        return;
    assert(at <= b->bytes && b->bytes - at >= 8);
    le_put_u64(b->data + at, v);
}

status buf_status(const struct buf *b, struct err *err)
{
    if (!b->failed)
        return ST_OK;
    if (b->over)
        return err_set(err, ST_NOSPACE, "over the bound of %zu bytes", b->bytes_max);
    return err_set(err, ST_NOMEM, "out of memory for a buffer of %zu bytes and more", b->bytes);
}

struct rd rd_make(struct slice s)
{
    static const uint8_t nothing[1];
    const uint8_t *data = s.data == NULL ? nothing : s.data;

    return (struct rd){.at = data, .end = data + s.bytes};
}

size_t rd_left(const struct rd *r)
{
    return r->bad ? 0 : (size_t)(r->end - r->at);
}

/* The bytes read, or NULL and bad. */
static const uint8_t *take(struct rd *r, size_t bytes)
{
    const uint8_t *at = r->at;

    if (r->bad || (size_t)(r->end - r->at) < bytes) {
        r->bad = true;
        return NULL;
    }
    r->at += bytes;
    return at;
}

uint8_t rd_u8(struct rd *r)
{
    const uint8_t *at = take(r, 1);

    return at == NULL ? 0 : at[0];
}

uint16_t rd_u16(struct rd *r)
{
    const uint8_t *at = take(r, 2);

    return at == NULL ? 0 : le_u16(at);
}

uint32_t rd_u32(struct rd *r)
{
    const uint8_t *at = take(r, 4);

    return at == NULL ? 0 : le_u32(at);
}

uint64_t rd_u64(struct rd *r)
{
    const uint8_t *at = take(r, 8);

    return at == NULL ? 0 : le_u64(at);
}

float rd_f32(struct rd *r)
{
    uint32_t bits = rd_u32(r);
    float v;

    memcpy(&v, &bits, sizeof v);
    return v;
}

double rd_f64(struct rd *r)
{
    uint64_t bits = rd_u64(r);
    double v;

    memcpy(&v, &bits, sizeof v);
    return v;
}

uint64_t rd_varint(struct rd *r)
{
    uint64_t v = 0;

    for (unsigned shift = 0; shift < 64; shift += 7) {
        uint8_t byte = rd_u8(r);

        if (shift == 63 && byte > 1)
            break; /* more than 64 bits */
        v |= (uint64_t)(byte & 0x7F) << shift;
        if ((byte & 0x80) == 0)
            return r->bad ? 0 : v;
    }
    r->bad = true;
    return 0;
}

struct slice rd_bytes(struct rd *r, size_t bytes)
{
    const uint8_t *at = take(r, bytes);

    return at == NULL ? (struct slice){0} : slice_make(at, bytes);
}

void rd_skip(struct rd *r, size_t bytes)
{
    (void)take(r, bytes);
}

uint16_t le_u16(const void *at)
{
    const uint8_t *p = at;

    return (uint16_t)(p[0] | p[1] << 8);
}

uint32_t le_u32(const void *at)
{
    const uint8_t *p = at;

    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

uint64_t le_u64(const void *at)
{
    const uint8_t *p = at;

    return (uint64_t)le_u32(p) | (uint64_t)le_u32(p + 4) << 32;
}

void le_put_u16(void *at, uint16_t v)
{
    uint8_t *p = at;

    p[0] = (uint8_t)v;
    p[1] = (uint8_t)(v >> 8);
}

void le_put_u32(void *at, uint32_t v)
{
    uint8_t *p = at;

    for (unsigned i = 0; i < 4; i++)
        p[i] = (uint8_t)(v >> (8 * i));
}

void le_put_u64(void *at, uint64_t v)
{
    uint8_t *p = at;

    for (unsigned i = 0; i < 8; i++)
        p[i] = (uint8_t)(v >> (8 * i));
}
