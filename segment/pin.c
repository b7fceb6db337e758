/* Pins and meta/format. */
#include "base/utf8.h"
#include "segment/frame.h"
#include "segment/manifest.h"
#include "segment/root_internal.h"

#include <inttypes.h>

enum { SMALL_BYTES_MAX = 16 * 1024 };
static const struct frame_kind PIN_KIND = {
    .name = "pin", .magic = "TVPN", .version = 1, .bytes_max = SMALL_BYTES_MAX};
static const struct frame_kind FORMAT_KIND = {
    .name = "bucket format", .magic = "TVBF", .version = 1, .bytes_max = SMALL_BYTES_MAX};

static bool pin_name_ok(const struct pin *p)
{
    size_t bytes = strnlen(p->name, sizeof p->name);

    if (bytes == sizeof p->name || !utf8_valid(p->name, bytes))
        return false;
    for (size_t i = 0; i < bytes; i++)
        if ((unsigned char)p->name[i] < 0x20 || p->name[i] == 0x7F)
            return false;
    return true;
}

static status pin_check(const struct pin *p, status code, struct err *err)
{
    if (!pin_name_ok(p))
        return err_set(err, code,
                       "pin: a name has at most %d bytes of UTF-8 without control characters",
                       PIN_NAME_BYTES - 1);
    if (p->root_revision == 0 || p->manifest_revision > p->root_revision ||
        (p->manifest_revision == 0) != (p->manifest.bytes == 0))
        return err_set(err, code, "pin %s: root=%" PRIu64 " or manifest=%" PRIu64 " out of range",
                       p->name, p->root_revision, p->manifest_revision);
    if ((p->epoch == 0) != (p->seq == 0))
        return err_set(err, code, "pin %s: epoch=%" PRIu64 " or seq=%" PRIu64 " out of range",
                       p->name, p->epoch, p->seq);
    return ST_OK;
}

status pin_encode(const struct pin *p, struct buf *out, struct err *err)
{
    status st = pin_check(p, ST_INVALID, err);
    size_t begin;

    if (st != ST_OK)
        return st;
    begin = frame_begin(out, &PIN_KIND);
    buf_put(out, p->collection, sizeof p->collection);
    buf_put(out, p->id, sizeof p->id);
    buf_put_u64(out, p->created_at_ns);
    buf_put_u64(out, p->root_revision);
    buf_put_u64(out, p->manifest_revision);
    put_object_ref(out, &p->manifest);
    buf_put_u64(out, p->lsn);
    buf_put_u64(out, p->epoch);
    buf_put_u64(out, p->seq);
    frame_put_text(out, p->name);
    frame_put_no_extensions(out);
    return frame_end(out, begin, &PIN_KIND, err);
}

status pin_decode(struct slice bytes, struct pin *out, struct err *err)
{
    struct pin p = {0};
    struct rd r;
    status st = frame_open(bytes, &PIN_KIND, &r, err);

    if (st != ST_OK)
        return st;
    frame_rd_id(&r, p.collection);
    frame_rd_id(&r, p.id);
    p.created_at_ns = rd_u64(&r);
    p.root_revision = rd_u64(&r);
    p.manifest_revision = rd_u64(&r);
    rd_object_ref(&r, &p.manifest);
    p.lsn = rd_u64(&r);
    p.epoch = rd_u64(&r);
    p.seq = rd_u64(&r);
    frame_rd_text(&r, p.name, sizeof p.name);
    st = frame_skip_extensions(&r, &PIN_KIND, err);
    if (st == ST_OK)
        st = pin_check(&p, ST_CORRUPT, err);
    if (st == ST_OK)
        *out = p;
    return st;
}

static status format_check(const struct bucket_format *f, status code, struct err *err)
{
    if (f->reader_min >= 1 && f->reader_min <= f->writer_min && f->writer_min <= f->version)
        return ST_OK;
    return err_set(err, code,
                   "bucket format: version=%" PRIu32 " reader_min=%" PRIu32 " writer_min=%" PRIu32
                   " out of range",
                   f->version, f->reader_min, f->writer_min);
}

status bucket_format_encode(const struct bucket_format *f, struct buf *out, struct err *err)
{
    status st = format_check(f, ST_INVALID, err);
    size_t begin;

    if (st != ST_OK)
        return st;
    begin = frame_begin(out, &FORMAT_KIND);
    buf_put_u32(out, f->version);
    buf_put_u32(out, f->reader_min);
    buf_put_u32(out, f->writer_min);
    buf_put_u32(out, 0);
    buf_put(out, f->cluster_id, sizeof f->cluster_id);
    buf_put_u64(out, f->created_at_ns);
    frame_put_no_extensions(out);
    return frame_end(out, begin, &FORMAT_KIND, err);
}

status bucket_format_decode(struct slice bytes, struct bucket_format *out, struct err *err)
{
    struct bucket_format f = {0};
    uint32_t zero;
    struct rd r;
    status st = frame_open(bytes, &FORMAT_KIND, &r, err);

    if (st != ST_OK)
        return st;
    f.version = rd_u32(&r);
    f.reader_min = rd_u32(&r);
    f.writer_min = rd_u32(&r);
    zero = rd_u32(&r);
    frame_rd_id(&r, f.cluster_id);
    f.created_at_ns = rd_u64(&r);
    st = frame_skip_extensions(&r, &FORMAT_KIND, err);
    if (st == ST_OK && zero != 0)
        st = err_set(err, ST_CORRUPT, "bucket format: bytes that should be zero are not");
    if (st == ST_OK)
        st = format_check(&f, ST_CORRUPT, err);
    if (st == ST_OK && f.reader_min > BUCKET_FORMAT_VERSION)
        st = err_set(err, ST_UNSUPPORTED,
                     "the bucket needs format %" PRIu32 " to be read; this program knows %d",
                     f.reader_min, BUCKET_FORMAT_VERSION);
    if (st == ST_OK)
        *out = f;
    return st;
}
