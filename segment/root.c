#include "segment/root.h"

#include "base/utf8.h"
#include "segment/frame.h"
#include "segment/root_internal.h"

#include <inttypes.h>

enum { FLAG_MANIFEST = 1 };
static const struct frame_kind KIND = {
    .name = "root", .magic = "TVRT", .version = 1, .bytes_max = ROOT_BYTES_MAX};

/* NULL, or what breaks the rules of docs/formats/root.md, "When a root is valid". */
static const char *owner_problem(const struct root *r)
{
    size_t bytes = strnlen(r->node_id, sizeof r->node_id);

    if (bytes == 0 || bytes == sizeof r->node_id || !utf8_valid(r->node_id, bytes))
        return "node id";
    for (size_t i = 0; i < bytes; i++)
        if ((unsigned char)r->node_id[i] < 0x20 || r->node_id[i] == 0x7F)
            return "node id";
    return r->epoch == 0 ? "epoch" : NULL;
}

static const char *open_problem(const struct root *r)
{
    uint64_t before = r->lineage_count > 0 ? r->lineages[r->lineage_count - 1].epoch : 0;

    for (size_t i = 0; i < r->open_count; i++) {
        if (r->open[i] <= before || r->open[i] >= r->epoch)
            return "open epochs";
        before = r->open[i];
    }
    return before >= r->epoch ? "lineages" : NULL;
}

static const char *manifest_problem(const struct root *r)
{
    if (!r->has_manifest)
        return NULL;
    if (r->manifest_revision == 0 || r->manifest_revision > r->revision || r->manifest.bytes == 0)
        return "manifest";
    return NULL;
}

static const char *root_problem(const struct root *r)
{
    const char *problem;

    if (r->state < ROOT_LIVE || r->state > ROOT_DROPPED)
        return "state";
    if (r->revision == 0)
        return "revision";
    if (r->nonce_count > ROOT_NONCES_MAX || r->open_count > ROOT_OPEN_MAX ||
        r->lineage_count > ROOT_LINEAGES_MAX)
        return "a count";
    if (!lineages_ok(r->lineages, r->lineage_count))
        return "lineages";
    if (!log_floor_ok(&r->floor) || r->floor.epoch > r->epoch)
        return "log floor";
    if (r->gc_mark > r->revision)
        return "gc mark";
    if (r->state != ROOT_DROPPED && r->dropped_at_ns != 0)
        return "dropped at";
    problem = owner_problem(r);
    if (problem == NULL)
        problem = open_problem(r);
    return problem != NULL ? problem : manifest_problem(r);
}

static status root_check(const struct root *r, status code, struct err *err)
{
    const char *problem = root_problem(r);

    if (problem == NULL)
        return ST_OK;
    return err_set(err, code, "root: %s out of range revision=%" PRIu64 " epoch=%" PRIu64, problem,
                   r->revision, r->epoch);
}

bool lineages_ok(const struct lineage *l, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (l[i].epoch == 0 || l[i].end_seq == 0 || l[i].last_lsn == 0)
            return false;
        if (i > 0 && (l[i].epoch <= l[i - 1].epoch || l[i].last_lsn <= l[i - 1].last_lsn))
            return false;
    }
    return true;
}

bool log_floor_ok(const struct log_floor *f)
{
    return (f->epoch == 0) == (f->seq == 0);
}

void put_lineage(struct buf *out, const struct lineage *l)
{
    buf_put_u64(out, l->epoch);
    buf_put_u64(out, l->end_seq);
    buf_put_u64(out, l->last_lsn);
    buf_put_u64(out, l->chain);
}

void rd_lineage(struct rd *r, struct lineage *l)
{
    l->epoch = rd_u64(r);
    l->end_seq = rd_u64(r);
    l->last_lsn = rd_u64(r);
    l->chain = rd_u64(r);
}

void put_log_floor(struct buf *out, const struct log_floor *f)
{
    buf_put_u64(out, f->lsn);
    buf_put_u64(out, f->epoch);
    buf_put_u64(out, f->seq);
    buf_put_u64(out, f->chain);
}

void rd_log_floor(struct rd *r, struct log_floor *f)
{
    f->lsn = rd_u64(r);
    f->epoch = rd_u64(r);
    f->seq = rd_u64(r);
    f->chain = rd_u64(r);
}

void put_object_ref(struct buf *out, const struct object_ref *o)
{
    buf_put(out, o->uuid, sizeof o->uuid);
    buf_put_u64(out, o->bytes);
    buf_put_u32(out, o->crc);
}

void rd_object_ref(struct rd *r, struct object_ref *o)
{
    frame_rd_id(r, o->uuid);
    o->bytes = rd_u64(r);
    o->crc = rd_u32(r);
}

static void put_lists(struct buf *out, const struct root *r)
{
    for (size_t i = 0; i < r->nonce_count; i++)
        buf_put(out, r->nonces[i], sizeof r->nonces[i]);
    for (size_t i = 0; i < r->open_count; i++)
        buf_put_u64(out, r->open[i]);
    for (size_t i = 0; i < r->lineage_count; i++)
        put_lineage(out, &r->lineages[i]);
    if (r->has_manifest) {
        buf_put_u64(out, r->manifest_revision);
        put_object_ref(out, &r->manifest);
    }
}

status root_encode(const struct root *r, struct buf *out, struct err *err)
{
    status st = root_check(r, ST_INVALID, err);
    size_t begin;

    if (st != ST_OK)
        return st;
    begin = frame_begin(out, &KIND);
    buf_put(out, r->collection, sizeof r->collection);
    buf_put_u64(out, r->revision);
    buf_put(out, r->nonce, sizeof r->nonce);
    buf_put_u8(out, (uint8_t)r->state);
    buf_put_u8(out, r->has_manifest ? FLAG_MANIFEST : 0);
    buf_put_u8(out, (uint8_t)r->nonce_count);
    buf_put_u8(out, (uint8_t)r->open_count);
    buf_put_u16(out, (uint16_t)r->lineage_count);
    buf_put_u16(out, 0);
    buf_put(out, r->session, sizeof r->session);
    buf_put_u64(out, r->epoch);
    put_log_floor(out, &r->floor);
    buf_put_u64(out, r->gc_mark);
    buf_put_u64(out, r->dropped_at_ns);
    frame_put_text(out, r->node_id);
    put_lists(out, r);
    frame_put_no_extensions(out);
    return frame_end(out, begin, &KIND, err);
}

static void rd_lists(struct rd *b, struct root *r)
{
    for (size_t i = 0; i < r->nonce_count; i++)
        frame_rd_id(b, r->nonces[i]);
    for (size_t i = 0; i < r->open_count; i++)
        r->open[i] = rd_u64(b);
    for (size_t i = 0; i < r->lineage_count; i++)
        rd_lineage(b, &r->lineages[i]);
    if (r->has_manifest) {
        r->manifest_revision = rd_u64(b);
        rd_object_ref(b, &r->manifest);
    }
}

static status rd_root(struct rd *b, struct root *r, struct err *err)
{
    uint8_t state;
    uint8_t flags;
    uint16_t zero;

    frame_rd_id(b, r->collection);
    r->revision = rd_u64(b);
    frame_rd_id(b, r->nonce);
    state = rd_u8(b);
    flags = rd_u8(b);
    r->nonce_count = rd_u8(b);
    r->open_count = rd_u8(b);
    r->lineage_count = rd_u16(b);
    zero = rd_u16(b);
    if (state < ROOT_LIVE || state > ROOT_DROPPED || (flags & ~FLAG_MANIFEST) != 0 || zero != 0 ||
        r->nonce_count > ROOT_NONCES_MAX || r->open_count > ROOT_OPEN_MAX ||
        r->lineage_count > ROOT_LINEAGES_MAX)
        return err_set(err, ST_CORRUPT, "root: state=%u, flags=%u or a count out of range", state,
                       flags);
    r->state = (enum root_state)state;
    r->has_manifest = (flags & FLAG_MANIFEST) != 0;
    frame_rd_id(b, r->session);
    r->epoch = rd_u64(b);
    rd_log_floor(b, &r->floor);
    r->gc_mark = rd_u64(b);
    r->dropped_at_ns = rd_u64(b);
    frame_rd_text(b, r->node_id, sizeof r->node_id);
    rd_lists(b, r);
    return frame_skip_extensions(b, &KIND, err);
}

status root_decode(struct slice bytes, const uint8_t collection[16], struct root *out,
                   struct err *err)
{
    struct root r = {0};
    struct rd body;
    status st = frame_open(bytes, &KIND, &body, err);

    if (st == ST_OK)
        st = rd_root(&body, &r, err);
    if (st == ST_OK && memcmp(r.collection, collection, sizeof r.collection) != 0)
        st = err_set(err, ST_CORRUPT, "root belongs to another collection");
    if (st == ST_OK)
        st = root_check(&r, ST_CORRUPT, err);
    if (st == ST_OK)
        *out = r;
    return st;
}

bool root_has_nonce(const struct root *r, const uint8_t nonce[16])
{
    if (memcmp(r->nonce, nonce, sizeof r->nonce) == 0)
        return true;
    for (size_t i = 0; i < r->nonce_count; i++)
        if (memcmp(r->nonces[i], nonce, sizeof r->nonces[i]) == 0)
            return true;
    return false;
}

void root_next(struct root *r, const uint8_t nonce[16])
{
    if (r->nonce_count < ROOT_NONCES_MAX)
        r->nonce_count++;
    memmove(r->nonces[1], r->nonces[0], (r->nonce_count - 1) * sizeof r->nonces[0]);
    memcpy(r->nonces[0], r->nonce, sizeof r->nonce);
    memcpy(r->nonce, nonce, sizeof r->nonce);
    r->revision++;
}

void root_end(const struct root *r, uint64_t *last_lsn, uint64_t *chain)
{
    const struct lineage *newest = r->lineage_count > 0 ? &r->lineages[r->lineage_count - 1] : NULL;

    if (newest != NULL && newest->last_lsn < r->floor.lsn)
        newest = NULL;
    *last_lsn = newest != NULL ? newest->last_lsn : r->floor.lsn;
    *chain = newest != NULL ? newest->chain : r->floor.chain;
}
