/* One collection's stream into the bucket as the node sees it: what the log tells it, who waits for
 * it, what is remembered of it, and whether it lets writes in.
 *
 * The records behind the last group but one stay in the log: at the next start the stream compares
 * them with that group before it goes on (docs/protocol.md, "Ownership"). */
#include "node/node_internal.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>

static const char MARKS[] = "ship/";
enum { MARKS_KEY_BYTES = 5 + 16, MARKS_VERSION = 1, MARKS_BYTES_MAX = 256 };

/* --- what is remembered; a hint, never the truth --- */

static void marks_key(const uint8_t id[16], uint8_t key[MARKS_KEY_BYTES])
{
    memcpy(key, MARKS, 5);
    memcpy(key + 5, id, 16);
}

static void marks_write(struct collection *c)
{
    uint8_t key[MARKS_KEY_BYTES];
    struct bucket_marks m;
    struct kv_write write = {0};
    struct buf value;

    ship_marks(c, &m);
    marks_key(c->id, key);
    buf_init(&value, MARKS_BYTES_MAX);
    buf_put_u8(&value, MARKS_VERSION);
    buf_put_u64(&value, m.hint_lsn);
    buf_put_u64(&value, m.log_bytes);
    buf_put_u64(&value, m.segment_bytes);
    buf_put_u64(&value, m.object_bytes);
    buf_put_u64(&value, m.image_rows);
    buf_put_u64(&value, m.image_lsn);
    buf_put_u64(&value, m.changed_rows);
    buf_put_u64(&value, m.published_lsn);
    buf_put_u64(&value, m.published_at_ns);
    buf_put_u32(&value, m.segments);
    write.key = slice_make(key, sizeof key);
    write.value = buf_slice(&value);
    if (!value.failed)
        kv_writer_put(c->node->kv_writer, &write, 1);
    buf_free(&value);
}

static void marks_read(struct collection *c, struct bucket_marks *out)
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
            m.log_bytes = rd_u64(&r);
            m.segment_bytes = rd_u64(&r);
            m.object_bytes = rd_u64(&r);
            m.image_rows = rd_u64(&r);
            m.image_lsn = rd_u64(&r);
            m.changed_rows = rd_u64(&r);
            m.published_lsn = rd_u64(&r);
            m.published_at_ns = rd_u64(&r);
            m.segments = rd_u32(&r);
            if (!r.bad)
                *out = m;
        }
    }
    buf_free(&value);
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

/* --- those who wait --- */

static struct remote_wait *take_waits(struct collection *c, uint64_t up_to_lsn, uint64_t due_ns)
{
    struct remote_wait *taken = NULL;
    struct remote_wait **last = &taken;

    lock_take(&c->remote.lock);
    if (due_ns == 0 && up_to_lsn != UINT64_MAX && up_to_lsn > c->remote.reached_lsn)
        c->remote.reached_lsn = up_to_lsn;
    while (c->remote.first != NULL && c->remote.first->lsn <= up_to_lsn &&
           (due_ns == 0 || c->remote.first->deadline_ns <= due_ns)) {
        *last = c->remote.first;
        last = &c->remote.first->next;
        c->remote.first = c->remote.first->next;
        atomic_fetch_sub(&c->node->remote_waits, 1);
    }
    *last = NULL;
    if (c->remote.first == NULL)
        c->remote.last = &c->remote.first;
    lock_drop(&c->remote.lock);
    return taken;
}

static void answer_all(struct remote_wait *waits, bool remote)
{
    while (waits != NULL) {
        struct remote_wait *next = waits->next; /* answering gives it back */

        waits->answer(waits, remote);
        waits = next;
    }
}

void ship_wait(struct collection *c, struct remote_wait *wait)
{
    bool reached;
    bool now;

    wait->next = NULL;
    lock_take(&c->remote.lock);
    reached = c->remote.reached_lsn >= wait->lsn;
    now = reached || c->remote.closed;
    if (!now) {
        *c->remote.last = wait;
        c->remote.last = &wait->next;
        atomic_fetch_add(&c->node->remote_waits, 1);
    }
    lock_drop(&c->remote.lock);
    if (now)
        wait->answer(wait, reached);
}

static void waits_close(struct collection *c, bool closed)
{
    lock_take(&c->remote.lock);
    c->remote.closed = closed;
    lock_drop(&c->remote.lock);
    if (closed)
        answer_all(take_waits(c, UINT64_MAX, 0), false);
}

/* --- callbacks of the stream, on the ship thread --- */

static bool phase_refuses(enum stream_phase phase)
{
    return phase == STREAM_FOREIGN || phase == STREAM_FENCED || phase == STREAM_DIVERGED ||
           phase == STREAM_DROPPED;
}

static void on_phase(void *arg, enum stream_phase phase, const char *reason)
{
    struct collection *c = arg;
    bool refuses = phase_refuses(phase);
    bool changed;

    lock_take(&c->seq.lock);
    changed = c->seq.fenced != refuses;
    c->seq.fenced = refuses;
    (void)snprintf(c->seq.fence_reason, sizeof c->seq.fence_reason, "%s",
                   reason == NULL ? "" : reason);
    lock_drop(&c->seq.lock);
    lock_take(&c->bucket.lock);
    c->bucket.root_lost = phase == STREAM_ROOT_LOST;
    lock_drop(&c->bucket.lock);
    waits_close(c, refuses || phase == STREAM_ROOT_LOST || phase == STREAM_HALTED);
    if (changed && refuses)
        log_warn("writes are refused: the bucket has another owner",
                 "collection_id=%s phase=%s reason=%s", c->id_text, stream_phase_name(phase),
                 reason);
    else if (changed)
        log_info("writes are taken again", "collection_id=%s phase=%s", c->id_text,
                 stream_phase_name(phase));
}

static void on_remote(void *arg, uint64_t lsn)
{
    answer_all(take_waits(arg, lsn, 0), true);
}

static void on_shipped(void *arg, uint64_t lsn)
{
    struct collection *c = arg;

    lock_take(&c->bucket.lock);
    if (lsn > c->bucket.marks.hint_lsn) {
        /* One step behind: the last group's own records stay. */
        if (c->bucket.shipped_before != 0)
            atomic_store(&c->trim_limit, c->bucket.shipped_before);
        c->bucket.shipped_before = lsn;
        c->bucket.marks.hint_lsn = lsn;
        c->bucket.dirty = true;
    }
    lock_drop(&c->bucket.lock);
}

static void on_diverged(void *arg, uint64_t first_lsn, uint64_t last_lsn)
{
    struct collection *c = arg;

    log_warn("what this node had acknowledged and not shipped is kept as a dead letter",
             "collection_id=%s lsn_first=%" PRIu64 " lsn_last=%" PRIu64, c->id_text, first_lsn,
             last_lsn);
    load_diverged(c);
}

/* --- opening, closing --- */

status ship_open(struct collection *c, struct err *err)
{
    struct tier_stream_options options = {
        .collection_id = c->id_text,
        .arg = c,
        .on_phase = on_phase,
        .on_remote = on_remote,
        .on_shipped = on_shipped,
        .on_diverged = on_diverged,
    };
    char name[CATALOG_NAME_BYTES_MAX + 1];
    struct tier_stream *stream = NULL;
    struct bucket_marks marks;
    status st;

    if (!policy_has_bucket(atomic_load(&c->policy)))
        return ST_OK;
    if (c->node->tier == NULL) {
        lock_take(&c->seq.lock);
        c->seq.fenced = true;
        (void)snprintf(c->seq.fence_reason, sizeof c->seq.fence_reason,
                       "its policy is %s and this node was started without a bucket: set [storage] "
                       "s3_bucket",
                       node_policy_name(atomic_load(&c->policy)));
        lock_drop(&c->seq.lock);
        return ST_OK;
    }
    marks_read(c, &marks);
    ship_set_marks(c, &marks);
    c->bucket.shipped_before = 0;
    atomic_store(&c->trim_limit, 0);
    waits_close(c, false);
    lock_take(&c->node->table.lock);
    memcpy(name, c->table.name, sizeof name);
    lock_drop(&c->node->table.lock);
    memcpy(options.collection, c->id, sizeof options.collection);
    options.name = name;
    options.wal = c->seq.wal;
    options.durable_lsn = wal_durable_lsn(c->seq.wal);
    options.shipped_hint = marks.hint_lsn;
    st = tier_stream_open(c->node->tier, &options, &stream, err);
    if (st != ST_OK)
        return st;
    lock_take(&c->seq.lock);
    c->seq.stream = stream;
    lock_drop(&c->seq.lock);
    /* What became durable between the two is told by lsn, not by count. */
    tier_stream_log(stream, wal_durable_lsn(c->seq.wal), 0);
    return ST_OK;
}

void ship_close(struct collection *c)
{
    struct tier_stream *stream;

    lock_take(&c->seq.lock);
    stream = c->seq.stream;
    c->seq.stream = NULL;
    lock_drop(&c->seq.lock);
    tier_stream_close(stream);
    waits_close(c, true);
    if (stream != NULL && atomic_load(&c->seq.state) != COLLECTION_DROPPED)
        marks_write(c);
}

/* --- writes --- */

void ship_logged_locked(struct collection *c, uint64_t lsn, uint64_t payload_bytes, uint64_t rows,
                        bool remote)
{
    atomic_store_explicit(&c->last_write_ns, clock_mono_ns(c->node->options.clock),
                          memory_order_relaxed);
    atomic_fetch_add_explicit(&c->ops_since_fold, rows, memory_order_relaxed);
    atomic_fetch_add_explicit(&c->bytes_since_fold, payload_bytes, memory_order_relaxed);
    if (c->seq.stream == NULL)
        return;
    lock_take(&c->bucket.lock);
    c->bucket.marks.log_bytes += payload_bytes;
    c->bucket.marks.changed_rows += rows;
    lock_drop(&c->bucket.lock);
    tier_stream_log(c->seq.stream, lsn, payload_bytes);
    if (remote)
        tier_stream_want_remote(c->seq.stream, lsn);
}

status ship_pressure(struct collection *c, struct err *err)
{
    struct node *node = c->node;
    status st;

    if (!policy_has_bucket(atomic_load_explicit(&c->policy, memory_order_relaxed)) ||
        atomic_load_explicit(&node->pressure, memory_order_relaxed) < PRESSURE_ORANGE)
        return ST_OK;
    lock_take(&node->bucket.lock);
    st = node->bucket.now.level == PRESSURE_RED
             ? err_set(err, ST_NOSPACE, "%s", node->bucket.now.text)
             : err_set(err, ST_LIMIT, "%s", node->bucket.now.text);
    lock_drop(&node->bucket.lock);
    return st;
}

/* --- now and then --- */

static void tick_pressure(struct node *node)
{
    struct fs_space space = {0};
    struct pressure now = {0};
    uint64_t reserve = NODE_DISK_RESERVE_BYTES;

    if (fs_space(node->options.fs, node->wal_dir, &space, NULL) != ST_OK)
        reserve = 0;
    else if (space.bytes_total / 50 < reserve) /* a small disk */
        reserve = space.bytes_total / 50;
    (void)tier_pressure(node->tier, space.bytes_free, reserve, &now);
    lock_take(&node->bucket.lock);
    node->bucket.now = now;
    lock_drop(&node->bucket.lock);
    if (atomic_exchange(&node->pressure, (int)now.level) != (int)now.level)
        log_info("backpressure", "level=%s reason=%s", pressure_level_name(now.level), now.text);
}

static void tick_collection(struct collection *c, uint64_t now_ms)
{
    bool write;

    lock_take(&c->bucket.lock);
    write = c->bucket.dirty && now_ms - c->bucket.written_ms >= NODE_HINT_MS;
    if (write) {
        c->bucket.dirty = false;
        c->bucket.written_ms = now_ms;
    }
    lock_drop(&c->bucket.lock);
    if (write)
        marks_write(c);
}

enum { SHIP_TICK_MS = 500 };

void ship_tick(struct node *node)
{
    uint64_t now_ns = clock_mono_ns(node->options.clock);
    struct collection **items = NULL;
    bool slow = now_ns / 1000000 - node->ship_ticked_ms >= SHIP_TICK_MS;
    size_t count = 0;

    if (node->tier == NULL || (!slow && atomic_load(&node->remote_waits) == 0))
        return;
    if (slow) {
        node->ship_ticked_ms = now_ns / 1000000;
        tick_pressure(node);
    }
    if (table_snapshot(node, &items, &count, NULL) != ST_OK)
        return;
    for (size_t i = 0; i < count; i++) {
        answer_all(take_waits(items[i], UINT64_MAX, now_ns), false);
        if (slow)
            tick_collection(items[i], now_ns / 1000000);
    }
    table_snapshot_free(items, count);
}

/* --- calls that wait --- */

struct ship_call {
    _Atomic int refs;
    struct lock lock;
    struct cond cond;
    bool done;
    status st;
    struct err err;
};

static void call_drop(struct ship_call *call)
{
    if (atomic_fetch_sub(&call->refs, 1) != 1)
        return;
    cond_fini(&call->cond);
    lock_fini(&call->lock);
    mem_free(call);
}

static void on_call_done(void *arg, status st, const struct err *err)
{
    struct ship_call *call = arg;

    lock_take(&call->lock);
    call->done = true;
    call->st = st;
    if (err != NULL)
        call->err = *err;
    cond_broadcast(&call->cond);
    lock_drop(&call->lock);
    call_drop(call);
}

static status call_wait(struct ship_call *call, uint64_t timeout_ms, const _Atomic bool *stop,
                        struct err *err)
{
    uint64_t waited_ms = 0;
    status st;

    lock_take(&call->lock);
    while (!call->done && waited_ms < timeout_ms && !atomic_load(stop)) {
        if (!cond_wait_ns(&call->cond, &call->lock, (uint64_t)50 * 1000000))
            waited_ms += 50;
    }
    st = call->done ? call->st
                    : err_set(err, ST_UNAVAILABLE,
                              "the bucket did not answer in time; it is tried "
                              "on in the background");
    if (call->done && st != ST_OK && err != NULL)
        *err = call->err;
    lock_drop(&call->lock);
    return st;
}

status ship_call(struct collection *c, ship_start_fn *start, uint64_t number, uint64_t timeout_ms,
                 struct err *err)
{
    static const _Atomic bool never = false;
    struct ship_call *call = mem_zero(sizeof *call);
    struct tier_stream *stream;
    status st;

    if (call == NULL)
        return err_set(err, ST_NOMEM, "out of memory");
    lock_init(&call->lock, LOCK_RANK_LEAF, "ship call");
    cond_init(&call->cond);
    atomic_init(&call->refs, 2);
    lock_take(&c->seq.lock);
    stream = c->seq.stream;
    if (stream != NULL) /* under the lock: it cannot be closed meanwhile */
        start(stream, on_call_done, call, number);
    lock_drop(&c->seq.lock);
    if (stream == NULL) {
        call_drop(call);
        st = err_set(err, ST_INVALID, "the collection has no bucket: its policy is %s",
                     node_policy_name(atomic_load(&c->policy)));
    } else {
        st = call_wait(call, timeout_ms, &never, err);
    }
    call_drop(call);
    return st;
}

bool ship_status(struct collection *c, struct tier_stream_status *out)
{
    bool has;

    lock_take(&c->seq.lock);
    has = c->seq.stream != NULL;
    if (has)
        tier_stream_status(c->seq.stream, out);
    lock_drop(&c->seq.lock);
    return has;
}

/* --- the end --- */

static void start_flush(struct tier_stream *s, tier_done_fn *done, void *arg, uint64_t number)
{
    (void)number;
    tier_stream_flush(s, done, arg);
}

status ship_flush(struct collection *c, uint64_t timeout_ms, struct err *err)
{
    return ship_call(c, start_flush, 0, timeout_ms, err);
}

/* A graceful stop ships what there is where the store answers; nothing depends on it. */
void ship_stop(struct node *node)
{
    uint64_t until_ms = clock_mono_ns(node->options.clock) / 1000000 + (uint64_t)NODE_STOP_FLUSH_MS;
    struct collection **items = NULL;
    size_t count = 0;

    if (node->tier == NULL || table_snapshot(node, &items, &count, NULL) != ST_OK)
        return;
    for (size_t i = 0; i < count; i++) {
        uint64_t now_ms = clock_mono_ns(node->options.clock) / 1000000;
        struct tier_stream_status s;

        if (now_ms < until_ms && ship_status(items[i], &s) && s.phase == STREAM_OWNED &&
            s.shipped_lsn < s.durable_lsn && s.trouble[0] == '\0')
            (void)ship_flush(items[i], until_ms - now_ms, NULL);
        waits_close(items[i], true);
    }
    table_snapshot_free(items, count);
}
