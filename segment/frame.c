#include "segment/frame.h"

#include "base/crc32c.h"

#include <assert.h>
#include <inttypes.h>

enum { /* docs/formats/frame.md */
       AT_MAGIC = 0,
       AT_VERSION = 4,
       AT_ZERO = 6,
       AT_BYTES = 8,
       AT_CRC = 12,
       TAG_REQUIRED = 0x8000,
};
static_assert(AT_CRC + 4 == FRAME_HEADER_BYTES, "docs/formats/frame.md, header");

size_t frame_begin(struct buf *out, const struct frame_kind *kind)
{
    size_t begin = out->bytes;

    buf_put(out, kind->magic, 4);
    buf_put_u16(out, kind->version);
    buf_put_u16(out, 0);
    buf_put_u64(out, 0); /* bytes, crc: frame_end() */
    return begin;
}

static uint32_t frame_crc(const uint8_t *data, size_t bytes)
{
    return crc32c(crc32c(0, data, AT_CRC), data + FRAME_HEADER_BYTES, bytes - FRAME_HEADER_BYTES);
}

status frame_end(struct buf *out, size_t begin, const struct frame_kind *kind, struct err *err)
{
    status st = buf_status(out, err);
    size_t bytes = out->bytes - begin;

    if (st != ST_OK)
        return st;
    if (bytes > kind->bytes_max)
        return err_set(err, ST_NOSPACE, "the %s is over %" PRIu32 " bytes", kind->name,
                       kind->bytes_max);
    buf_set_u32(out, begin + AT_BYTES, (uint32_t)bytes);
    buf_set_u32(out, begin + AT_CRC, frame_crc(out->data + begin, bytes));
    return ST_OK;
}

status frame_open(struct slice bytes, const struct frame_kind *kind, struct rd *body,
                  struct err *err)
{
    const uint8_t *at = bytes.data;

    if (bytes.bytes < FRAME_HEADER_BYTES || bytes.bytes > kind->bytes_max ||
        memcmp(at + AT_MAGIC, kind->magic, 4) != 0)
        return err_set(err, ST_CORRUPT, "not a %s bytes=%zu", kind->name, bytes.bytes);
    if (le_u32(at + AT_BYTES) != bytes.bytes)
        return err_set(err, ST_CORRUPT, "%s has %zu bytes, its header says %" PRIu32, kind->name,
                       bytes.bytes, le_u32(at + AT_BYTES));
    if (le_u32(at + AT_CRC) != frame_crc(at, bytes.bytes))
        return err_set(err, ST_CORRUPT, "%s crc mismatch", kind->name);
    if (le_u16(at + AT_VERSION) > kind->version)
        return err_set(err, ST_UNSUPPORTED,
                       "%s version %u is newer than this program, which reads up to %u", kind->name,
                       le_u16(at + AT_VERSION), kind->version);
    if (le_u16(at + AT_VERSION) == 0 || le_u16(at + AT_ZERO) != 0)
        return err_set(err, ST_CORRUPT, "%s header is not one", kind->name);
    *body = rd_make(bytes);
    rd_skip(body, FRAME_HEADER_BYTES);
    return ST_OK;
}

uint16_t frame_version(struct slice bytes)
{
    return le_u16(bytes.data + AT_VERSION);
}

void frame_put_no_extensions(struct buf *out)
{
    buf_put_u32(out, 0);
}

void frame_put_extensions(struct buf *out, const struct frame_extension *list, size_t count)
{
    size_t begin = out->bytes;

    buf_put_u32(out, 0);
    for (size_t i = 0; i < count; i++) {
        if (list[i].content.bytes == 0)
            continue;
        buf_put_u16(out, list[i].tag);
        buf_put_u32(out, (uint32_t)list[i].content.bytes);
        buf_put_slice(out, list[i].content);
    }
    if (!out->failed)
        buf_set_u32(out, begin, (uint32_t)(out->bytes - begin - 4));
}

/* Whether it was wanted, and so is known. */
static bool take_extension(struct frame_extension *wanted, size_t count, uint16_t tag,
                           struct slice content)
{
    for (size_t i = 0; i < count; i++)
        if (wanted[i].tag == tag) {
            wanted[i].content = content;
            return true;
        }
    return false;
}

status frame_find_extensions(struct rd *body, const struct frame_kind *kind,
                             struct frame_extension *wanted, size_t count, struct err *err)
{
    uint32_t bytes = rd_u32(body);
    int64_t before = -1;

    for (size_t i = 0; i < count; i++)
        wanted[i].content = (struct slice){0};
    if (body->bad || rd_left(body) != bytes)
        return err_set(err, ST_CORRUPT, "%s: its fields do not end where it does", kind->name);
    while (rd_left(body) > 0) {
        uint16_t tag = rd_u16(body);
        struct slice content = rd_bytes(body, rd_u32(body));

        if (body->bad || tag <= before)
            return err_set(err, ST_CORRUPT, "%s: extension %u is cut short or out of order",
                           kind->name, tag);
        if (!take_extension(wanted, count, tag, content) && (tag & TAG_REQUIRED) != 0)
            return err_set(err, ST_UNSUPPORTED, "%s: extension %u is newer than this program",
                           kind->name, tag);
        before = tag;
    }
    return ST_OK;
}

status frame_skip_extensions(struct rd *body, const struct frame_kind *kind, struct err *err)
{
    return frame_find_extensions(body, kind, NULL, 0, err);
}

void frame_put_text(struct buf *out, const char *text)
{
    size_t bytes = strlen(text);

    assert(bytes <= UINT16_MAX);
    buf_put_u16(out, (uint16_t)bytes);
    buf_put(out, text, bytes);
}

void frame_rd_id(struct rd *r, uint8_t out[16])
{
    struct slice id = rd_bytes(r, 16);

    if (!r->bad)
        memcpy(out, id.data, 16);
}

void frame_rd_text(struct rd *r, char *out, size_t capacity)
{
    struct slice text = rd_bytes(r, rd_u16(r));

    if (r->bad)
        return;
    if (text.bytes >= capacity || memchr(text.data, 0, text.bytes) != NULL) {
        r->bad = true;
        return;
    }
    memcpy(out, text.data, text.bytes);
    out[text.bytes] = '\0';
}
