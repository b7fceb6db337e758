/* One collection's stream into the bucket as the node sees it: what the log tells it, who waits for
 * it, what is remembered of it, and whether it lets writes in.
 *
 * The log is trimmed only up to a hint that LMDB has: at the next start the stream compares what
 * lies behind it with the bucket before it goes on (docs/protocol.md, "Ownership"). */
#include "node/node_internal.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>

/* --- callbacks of the stream, on the ship thread --- */

static bool phase_refuses(enum stream_phase phase)
{
    return phase == STREAM_FOREIGN || phase == STREAM_FENCED || phase == STREAM_DIVERGED ||
           phase == STREAM_DROPPED;
}

/* What no upload can mend: one letter a collection, until it is published again. */
static void put_root_letter(struct collection *c, enum stream_phase phase, const char *reason)
{
    struct letter letter = {
        .kind = LETTER_MANIFEST_COMMIT,
        .state = LETTER_PARKED,
        .http_status = phase == STREAM_ROOT_LOST ? 404 : 0,
        .attempts = 1,
        .first_failed_ns = clock_wall_ns(c->node->options.clock),
        .blocking = true,
    };
    struct err err = {0};
    uint64_t id;

    letter.last_failed_ns = letter.first_failed_ns;
    memcpy(letter.collection, c->id, sizeof letter.collection);
    objkey_root(c->id, letter.key);
    (void)snprintf(
        letter.class, sizeof letter.class, "%s",
        objstore_class_name(phase == STREAM_ROOT_LOST ? OBJSTORE_PERMANENT : OBJSTORE_INTEGRITY));
    (void)snprintf(letter.message, sizeof letter.message, "%s", reason == NULL ? "" : reason);
    if (dlq_put(c->node->dlq, &letter, &id, &err) != ST_OK)
        log_error("a dead letter could not be kept", "collection_id=%s err=%s", c->id_text,
                  err.text);
}

static void letters_of_kind_out(struct collection *c, enum letter_kind kind, const char *key)
{
    const struct dlq_filter filter = {.collection = c->id, .kind = (int)kind};
    struct letter letter;
    uint64_t after = 0;

    while (dlq_list(c->node->dlq, &filter, after, &letter, 1, NULL) == 1) {
        after = letter.id;
        if ((key == NULL || strcmp(letter.key, key) == 0) &&
            dlq_remove(c->node->dlq, letter.id, NULL) == ST_OK)
            log_info("a dead letter leaves", "collection_id=%s letter=%" PRIu64, c->id_text,
                     letter.id);
    }
}

/* It is ours: the root is there and was written, and every group that taking looks at was read. */
static void trouble_is_over(struct collection *c)
{
    char key[OBJKEY_BYTES];

    objkey_root(c->id, key);
    letters_of_kind_out(c, LETTER_MANIFEST_COMMIT, key);
    letters_of_kind_out(c, LETTER_RESTORE_FETCH, NULL);
}

static void on_phase(void *arg, enum stream_phase phase, const char *reason)
{
    struct collection *c = arg;
    bool refuses = phase_refuses(phase);
    bool changed;

    if (phase == STREAM_TAKING || phase == STREAM_CREATING)
        return; /* nothing is known yet: writes are taken or refused as before */
    lock_take(&c->seq.lock);
    changed = c->seq.fenced != refuses;
    c->seq.fenced = refuses;
    (void)snprintf(c->seq.fence_reason, sizeof c->seq.fence_reason, "%.170s%s",
                   reason == NULL ? "" : reason,
                   phase == STREAM_FOREIGN || phase == STREAM_FENCED
                       ? "; if that one is gone for good, --take-ownership makes this one the owner"
                       : "");
    lock_drop(&c->seq.lock);
    lock_take(&c->bucket.lock);
    c->bucket.root_lost = phase == STREAM_ROOT_LOST;
    if ((refuses || phase == STREAM_OWNED) && c->bucket.marks.foreign != refuses) {
        c->bucket.marks.foreign = refuses;
        c->bucket.dirty = true;
    }
    lock_drop(&c->bucket.lock);
    if (changed)
        ship_remember(c);
    if (phase == STREAM_ROOT_LOST || phase == STREAM_HALTED)
        put_root_letter(c, phase, reason);
    if (phase == STREAM_OWNED)
        trouble_is_over(c);
    ship_waits_close(c, refuses || phase == STREAM_ROOT_LOST || phase == STREAM_HALTED);
    if (changed && refuses && phase != STREAM_DROPPED)
        log_warn("writes are refused: the bucket has another owner",
                 "collection_id=%s phase=%s reason=%s", c->id_text, stream_phase_name(phase),
                 reason);
    else if (changed && !refuses)
        log_info("writes are taken again", "collection_id=%s phase=%s", c->id_text,
                 stream_phase_name(phase));
}

/* Until the base is published nothing can be restored, whatever of the log is there. */
static void on_remote(void *arg, uint64_t lsn)
{
    struct collection *c = arg;
    struct tier_stream_status s;

    if (ship_status(c, &s) && !s.switching)
        ship_waits_reached(c, lsn);
}

void ship_base_done(struct collection *c)
{
    struct tier_stream_status s;

    if (ship_status(c, &s) && !s.switching)
        ship_waits_reached(c, s.remote_lsn);
}

static void on_shipped(void *arg, uint64_t lsn, uint64_t chain)
{
    struct collection *c = arg;

    lock_take(&c->bucket.lock);
    c->bucket.marks.hint_lsn = lsn;
    c->bucket.marks.hint_chain = chain;
    c->bucket.marks.hint_loaded = false;
    c->bucket.dirty = true;
    lock_drop(&c->bucket.lock);
}

static void on_diverged(void *arg, uint64_t first_lsn, uint64_t last_lsn)
{
    (void)first_lsn; /* the shell said it with each letter */
    load_diverged(arg, last_lsn);
}

/* What came of it is told by on_phase(). */
static void on_asked(void *arg, status st, const struct err *err)
{
    (void)arg;
    (void)st;
    (void)err;
}

/* --- opening, closing --- */

/* A log that was begun behind what came from the bucket says nothing of it. */
static uint64_t durable_lsn(struct collection *c)
{
    struct wal *wal = collection_hold_log(c); /* a reset may be about to close it */
    uint64_t log_lsn = wal == NULL ? 0 : wal_durable_lsn(wal);
    uint64_t applied_lsn = atomic_load_explicit(&c->applied_lsn, memory_order_acquire);

    collection_release_log(c);
    return applied_lsn > log_lsn ? applied_lsn : log_lsn;
}

static status open_stream(struct collection *c, const struct bucket_marks *marks, uint64_t durable,
                          struct tier_stream **out, struct err *err)
{
    struct tier_stream_options options = {
        .collection_id = c->id_text,
        .wal = c->seq.wal,
        .durable_lsn = durable,
        .shipped_hint = marks->hint_lsn,
        .hint_chain = marks->hint_chain,
        .hint_loaded = marks->hint_loaded,
        .arg = c,
        .on_phase = on_phase,
        .on_remote = on_remote,
        .on_shipped = on_shipped,
        .on_diverged = on_diverged,
    };
    char name[CATALOG_NAME_BYTES_MAX + 1];

    ship_set_marks(c, marks);
    lock_take(&c->node->table.lock);
    memcpy(name, c->table.name, sizeof name);
    lock_drop(&c->node->table.lock);
    memcpy(options.collection, c->id, sizeof options.collection);
    options.name = name;
    ship_waits_close(c, false);
    return tier_stream_open(c->node->tier, &options, out, err);
}

void ship_refuse_writes(struct collection *c, const char *reason)
{
    lock_take(&c->seq.lock);
    c->seq.fenced = reason != NULL;
    (void)snprintf(c->seq.fence_reason, sizeof c->seq.fence_reason, "%s",
                   reason == NULL ? "" : reason);
    lock_drop(&c->seq.lock);
}

static void attach(struct collection *c, struct tier_stream *stream)
{
    lock_take(&c->seq.lock);
    c->seq.stream = stream;
    lock_drop(&c->seq.lock);
    /* What became durable since the stream was opened is told by lsn, not by count. */
    tier_stream_log(stream, durable_lsn(c), 0);
}

status ship_open(struct collection *c, struct err *err)
{
    bool take = c->node->options.take_ownership;
    struct tier_stream *stream = NULL;
    struct bucket_marks marks;
    status st;

    if (!policy_has_bucket(atomic_load(&c->policy)))
        return ST_OK;
    if (c->node->tier == NULL) {
        ship_refuse_writes(c,
                           "its policy is MemoryS3 and this node was started without a bucket: set "
                           "[storage] s3_bucket");
        return ST_OK;
    }
    ship_marks_read(c, &marks);
    /* Before the stream can say otherwise. */
    ship_refuse_writes(
        c, marks.foreign && !take ? "another node owned it when the bucket was last asked" : NULL);
    st = open_stream(c, &marks, durable_lsn(c), &stream, err);
    if (st != ST_OK)
        return st;
    if (marks.foreign || marks.switching || take)
        tier_stream_own(stream, on_asked, NULL);
    attach(c, stream);
    return ST_OK;
}

/* The root is asked for before the stream hears of any record: else it would look for a root that
 * is not there yet. */
status ship_create(struct collection *c, uint64_t floor_lsn, bool switching, struct err *err)
{
    /* Nothing to do until it is told of the root, though others write meanwhile. */
    uint64_t durable = durable_lsn(c);
    struct bucket_marks marks = {.hint_lsn = durable, .switching = switching};
    struct tier_stream *stream = NULL;
    struct ship_call *call = NULL;
    status st = open_stream(c, &marks, durable, &stream, err);

    if (st != ST_OK)
        return st;
    st = ship_call_create(&call, err);
    if (st == ST_OK) {
        marks.hint_lsn = floor_lsn;
        ship_set_marks(c, &marks); /* before the stream can say more */
        tier_stream_create(stream, floor_lsn, switching, ship_call_done, call);
        attach(c, stream);
        st = ship_call_wait(call, NODE_BUCKET_WAIT_MS, &c->node->stopping, err);
        ship_call_drop(call);
        st = ship_explain(c, st, err);
    } else {
        tier_stream_close(stream);
    }
    return st == ST_OK ? ST_OK : err_wrap(err, st, "make its root in the bucket");
}

void ship_close(struct collection *c)
{
    struct tier_stream_status last = {0};
    struct tier_stream *stream;

    lock_take(&c->seq.lock);
    stream = c->seq.stream;
    c->seq.stream = NULL;
    if (stream != NULL)
        tier_stream_status(stream, &last);
    c->seq.shipped_before.uploads += last.uploads;
    c->seq.shipped_before.retries += last.retries;
    c->seq.shipped_before.permanent_failures += last.permanent_failures;
    lock_drop(&c->seq.lock);
    if (last.has_root && last.phase == STREAM_OWNED)
        ship_note_switching(c, last.switching);
    tier_stream_close(stream);
    ship_waits_close(c, true);
    if (stream != NULL && atomic_load(&c->seq.state) != COLLECTION_DROPPED)
        ship_remember(c);
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

/* Whether it is the turn of a write to be refused, of which `percent` in a hundred are: evenly. */
static bool turn_to_wait(struct node *node, uint32_t percent)
{
    uint32_t sum = atomic_fetch_add_explicit(&node->pressure_turns, percent, memory_order_relaxed);

    return sum % 100 + percent >= 100;
}

status ship_pressure(struct collection *c, size_t rows, struct err *err)
{
    struct node *node = c->node;
    status st = ST_OK;

    if (!policy_has_bucket(atomic_load_explicit(&c->policy, memory_order_relaxed)) ||
        atomic_load_explicit(&node->pressure, memory_order_relaxed) < PRESSURE_ORANGE)
        return ST_OK;
    lock_take(&node->bucket.lock);
    if (node->bucket.now.level == PRESSURE_RED)
        st = err_set(err, ST_NOSPACE, "%s", node->bucket.now.text);
    else if (node->bucket.now.level == PRESSURE_ORANGE &&
             (rows > 1 || turn_to_wait(node, node->bucket.now.refuse_percent)))
        st = err_set(err, ST_LIMIT, "%s", node->bucket.now.text);
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
        log_at(now.level >= PRESSURE_ORANGE ? LOG_WARN : LOG_INFO, "backpressure",
               "level=%s reason=%s", pressure_level_name(now.level), now.text);
}

static void tick_collection(struct collection *c, uint64_t now_ms)
{
    bool write;

    lock_take(&c->bucket.lock);
    write = c->bucket.dirty && now_ms - c->bucket.written_ms >= NODE_HINT_MS;
    if (write) {
        c->bucket.written_ms = now_ms;
    }
    lock_drop(&c->bucket.lock);
    if (!write)
        return;
    ship_look_switching(c);
    ship_remember(c);
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
        ship_waits_expire(items[i], now_ns);
        if (slow)
            tick_collection(items[i], now_ns / 1000000);
    }
    table_snapshot_free(items, count);
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

/* The node is stopping: this alone is still waited for. */
static void flush_told(struct collection *c, uint64_t timeout_ms)
{
    struct err err = {0};

    if (ship_flush_anyway(c, timeout_ms, &err) != ST_OK)
        log_info("what is not shipped yet is shipped after the next start",
                 "collection_id=%s err=%s", c->id_text, err.text);
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
            flush_told(items[i], until_ms - now_ms);
    }
    /* Nobody looks at deadlines any more: whatever a stream says now, nobody waits. */
    atomic_store(&node->waits_over, true);
    for (size_t i = 0; i < count; i++)
        ship_waits_close(items[i], true);
    table_snapshot_free(items, count);
}
