/* What is remembered of a collection's bucket side over a restart: a hint, never the truth.
 *
 * The log is trimmed only up to a hint that LMDB has: at the next start the stream compares what
 * lies behind it with the bucket before it goes on (docs/protocol.md, "Ownership"). */
#include "node/node_internal.h"

#include <stdatomic.h>

static const char MARKS[] = "ship/";
enum { MARKS_KEY_BYTES = 5 + 16, MARKS_VERSION = 1, MARKS_COLD_BYTES = 8, MARKS_BYTES_MAX = 256 };

static void marks_key(const uint8_t id[16], uint8_t key[MARKS_KEY_BYTES])
{
    memcpy(key, MARKS, 5);
    memcpy(key + 5, id, 16);
}

static void marks_encode(const struct bucket_marks *of, struct buf *out)
{
    struct bucket_marks m = *of;
    struct buf value;

    buf_init(&value, MARKS_BYTES_MAX);
    buf_put_u8(&value, MARKS_VERSION);
    buf_put_u64(&value, m.hint_lsn);
    buf_put_u64(&value, m.hint_chain);
    buf_put_u64(&value, m.log_bytes);
    buf_put_u64(&value, m.segment_bytes);
    buf_put_u64(&value, m.object_bytes);
    buf_put_u64(&value, m.image_rows);
    buf_put_u64(&value, m.image_lsn);
    buf_put_u64(&value, m.changed_rows);
    buf_put_u64(&value, m.published_lsn);
    buf_put_u64(&value, m.published_at_ns);
    buf_put_u32(&value, m.segments);
    buf_put_u8(&value, m.foreign);
    buf_put_u8(&value, m.hint_loaded);
    buf_put_u8(&value, m.switching);
    buf_put_u64(&value, m.cold_floor);
    *out = value;
}

/* The value is the caller's to free. */
static status marks_entry(struct collection *c, uint8_t key[MARKS_KEY_BYTES], struct buf *value,
                          struct kv_write *write, uint64_t *hint_lsn, struct err *err)
{
    struct bucket_marks m;

    ship_marks(c, &m);
    marks_key(c->id, key);
    marks_encode(&m, value);
    *hint_lsn = m.hint_lsn;
    *write = (struct kv_write){.key = slice_make(key, MARKS_KEY_BYTES), .value = buf_slice(value)};
    return buf_status(value, err);
}

static status marks_apply(struct collection *c, uint64_t *hint_lsn, struct err *err)
{
    uint8_t key[MARKS_KEY_BYTES];
    struct kv_write write;
    struct buf value;
    status st = marks_entry(c, key, &value, &write, hint_lsn, err);

    if (st == ST_OK)
        st = kv_writer_apply(c->node->kv_writer, &write, 1, err);
    buf_free(&value);
    return st;
}

status ship_store_marks(struct collection *c, struct err *err)
{
    uint64_t hint_lsn;

    return marks_apply(c, &hint_lsn, err);
}

/* The hint is on disk before the log goes behind it. */
uint64_t ship_trim_limit(struct collection *c)
{
    uint64_t hint_lsn;

    return marks_apply(c, &hint_lsn, NULL) == ST_OK ? hint_lsn : 0;
}

void ship_marks_read(struct collection *c, struct bucket_marks *out)
{
    uint8_t key[MARKS_KEY_BYTES];
    struct bucket_marks m = {0};
    struct buf value;
    struct rd r;

    *out = m;
    marks_key(c->id, key);
    buf_init(&value, MARKS_BYTES_MAX);
    if (kv_get(c->node->kv, slice_make(key, sizeof key), &value, NULL) == ST_OK) {
        r = rd_make(buf_slice(&value));
        if (rd_u8(&r) == MARKS_VERSION) {
            m.hint_lsn = rd_u64(&r);
            m.hint_chain = rd_u64(&r);
            m.log_bytes = rd_u64(&r);
            m.segment_bytes = rd_u64(&r);
            m.object_bytes = rd_u64(&r);
            m.image_rows = rd_u64(&r);
            m.image_lsn = rd_u64(&r);
            m.changed_rows = rd_u64(&r);
            m.published_lsn = rd_u64(&r);
            m.published_at_ns = rd_u64(&r);
            m.segments = rd_u32(&r);
            m.foreign = rd_u8(&r) != 0;
            m.hint_loaded = rd_u8(&r) != 0;
            m.switching = rd_u8(&r) != 0;
            if (rd_left(&r) >= MARKS_COLD_BYTES) /* of an earlier program: none */
                m.cold_floor = rd_u64(&r);
            if (!r.bad)
                *out = m;
        }
    }
    buf_free(&value);
}

void ship_remember(struct collection *c)
{
    uint8_t key[MARKS_KEY_BYTES];
    struct kv_write write;
    struct buf value;
    uint64_t hint_lsn;

    lock_take(&c->bucket.lock);
    c->bucket.dirty = false;
    lock_drop(&c->bucket.lock);
    if (marks_entry(c, key, &value, &write, &hint_lsn, NULL) == ST_OK)
        kv_writer_put(c->node->kv_writer, &write, 1);
    buf_free(&value);
}

void ship_note_switching(struct collection *c, bool switching)
{
    bool changed;

    lock_take(&c->bucket.lock);
    changed = c->bucket.marks.switching != switching;
    c->bucket.marks.switching = switching;
    lock_drop(&c->bucket.lock);
    if (changed)
        ship_remember(c);
}

/* As the root has it, once it was read. */
void ship_look_switching(struct collection *c)
{
    struct tier_stream_status s = {0};

    if (ship_status(c, &s) && s.has_root && s.phase == STREAM_OWNED)
        ship_note_switching(c, s.switching);
}

void ship_forget(struct node *node, const uint8_t id[16])
{
    uint8_t key[MARKS_KEY_BYTES];
    struct kv_write write = {.remove = true};

    marks_key(id, key);
    write.key = slice_make(key, sizeof key);
    kv_writer_put(node->kv_writer, &write, 1);
}

void ship_marks(struct collection *c, struct bucket_marks *out)
{
    lock_take(&c->bucket.lock);
    *out = c->bucket.marks;
    lock_drop(&c->bucket.lock);
}

void ship_set_marks(struct collection *c, const struct bucket_marks *marks)
{
    lock_take(&c->bucket.lock);
    c->bucket.marks = *marks;
    c->bucket.dirty = true;
    lock_drop(&c->bucket.lock);
}

void ship_change_marks(struct collection *c, marks_change_fn *change, const void *arg)
{
    lock_take(&c->bucket.lock);
    change(arg, &c->bucket.marks);
    c->bucket.dirty = true;
    lock_drop(&c->bucket.lock);
}
