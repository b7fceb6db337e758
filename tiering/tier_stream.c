/* What any thread may ask of a stream, and how a stream begins and ends on the ship thread. */
#include "tiering/tier_internal.h"

#include "base/mem.h"
#include "segment/record.h"

#include <assert.h>
#include <stdio.h>

enum { NS_PER_MS = 1000000 };

/* ---- from any thread ---- */

static void fill(struct tier_stream *s, struct tier *t, const struct tier_stream_options *o)
{
    s->tier = t;
    s->options = *o;
    (void)snprintf(s->id, sizeof s->id, "%s", o->collection_id);
    (void)snprintf(s->name, sizeof s->name, "%s", o->name);
    s->options.collection_id = s->id;
    s->options.name = s->name;
    s->open_msg = (struct tier_msg){.kind = TIER_MSG_OPEN, .stream = s};
    s->close_msg = (struct tier_msg){.kind = TIER_MSG_CLOSE, .stream = s};
    lock_init(&s->lock, LOCK_RANK_TIER, "tier stream");
    lag_init(&s->view.lag);
    s->view.scan_since_ms = LAG_NONE;
    s->view.durable_lsn = o->durable_lsn;
    s->view.status.durable_lsn = o->durable_lsn;
    s->view.status.shipped_lsn = o->shipped_hint;
    s->view.status.remote_lsn = o->shipped_hint;
    atomic_init(&s->remote_lsn, o->shipped_hint);
    s->ship.timer_ms = s->ship.look_ms = s->ship.tail_ms = TIER_NEVER;
}

status tier_stream_open(struct tier *tier, const struct tier_stream_options *options,
                        struct tier_stream **out, struct err *err)
{
    struct tier_stream *s = mem_zero(sizeof *s);

    if (s == NULL)
        return err_set(err, ST_NOMEM, "out of memory for shipping collection %s",
                       options->collection_id);
    fill(s, tier, options);
    tier_post(tier, &s->open_msg);
    *out = s;
    return ST_OK;
}

void tier_stream_close(struct tier_stream *s)
{
    struct tier *t;

    if (s == NULL)
        return;
    t = s->tier;
    tier_post(t, &s->close_msg);
    lock_take(&t->lock);
    while (!s->closed)
        cond_wait(&t->closed, &t->lock);
    lock_drop(&t->lock);
    lock_fini(&s->lock);
    mem_free(s);
}

/* What is counted live and what the tier's totals hold of this stream are moved together. */
static void recount_locked(struct tier_stream *s)
{
    struct tier *t = s->tier;
    const struct tier_stream_status *v = &s->view.status;
    uint64_t bytes =
        s->view.durable_bytes > v->shipped_bytes ? s->view.durable_bytes - v->shipped_bytes : 0;
    uint64_t records =
        s->view.durable_lsn > v->shipped_lsn ? s->view.durable_lsn - v->shipped_lsn : 0;

    if (records == 0)
        bytes = 0;
    atomic_fetch_add(&t->unshipped_bytes, bytes - s->view.counted_bytes);
    atomic_fetch_add(&t->unshipped_records, records - s->view.counted_records);
    s->view.counted_bytes = bytes;
    s->view.counted_records = records;
}

void tier_stream_log(struct tier_stream *s, uint64_t lsn, uint64_t payload_bytes)
{
    int64_t now_ms = (int64_t)tier_now_ms(s->tier);

    lock_take(&s->lock);
    if (lsn > s->view.durable_lsn) {
        s->view.durable_lsn = lsn;
        s->view.durable_bytes += payload_bytes;
        lag_add(&s->view.lag, lsn, now_ms);
        recount_locked(s);
    }
    lock_drop(&s->lock);
    if (!atomic_exchange(&s->attended, true))
        tier_attend(s);
}

void tier_stream_want_remote(struct tier_stream *s, uint64_t lsn)
{
    uint64_t wanted = atomic_load(&s->wanted_lsn);

    while (wanted < lsn && !atomic_compare_exchange_weak(&s->wanted_lsn, &wanted, lsn))
        ;
    if (!atomic_exchange(&s->urgent, true))
        tier_attend(s);
}

void tier_stream_take(struct tier_stream *s)
{
    atomic_store(&s->take, true);
    if (!atomic_exchange(&s->urgent, true))
        tier_attend(s);
}

uint64_t tier_stream_remote_lsn(const struct tier_stream *s)
{
    return atomic_load(&s->remote_lsn);
}

void tier_stream_status(struct tier_stream *s, struct tier_stream_status *out)
{
    int64_t now_ms = (int64_t)tier_now_ms(s->tier);
    int64_t since;

    lock_take(&s->lock);
    *out = s->view.status;
    out->durable_lsn = s->view.durable_lsn;
    out->unshipped_bytes = s->view.counted_bytes;
    out->unshipped_records = s->view.counted_records;
    since = tier_since_locked(s);
    lock_drop(&s->lock);
    out->lag_ms = since == LAG_NONE || since > now_ms ? 0 : (uint64_t)(now_ms - since);
}

int64_t tier_since_locked(const struct tier_stream *s)
{
    return s->view.scan_since_ms != LAG_NONE ? s->view.scan_since_ms : lag_since(&s->view.lag);
}

bool tier_stream_root(struct tier_stream *s, struct root *out)
{
    bool known;

    lock_take(&s->lock);
    known = s->view.has_root;
    if (known)
        *out = s->view.root;
    lock_drop(&s->lock);
    return known;
}

/* ---- what others see ---- */

void tier_publish(struct tier_stream *s)
{
    const struct stream *core = &s->ship.core;
    struct tier_stream_status *v = &s->view.status;

    lock_take(&s->lock);
    v->phase = core->phase;
    memcpy(v->reason, core->reason, sizeof v->reason);
    memcpy(v->trouble, core->trouble, sizeof v->trouble);
    v->has_root = core->has_root;
    v->epoch = core->has_root ? core->root.epoch : 0;
    v->manifest_revision =
        core->has_root && core->root.has_manifest ? core->root.manifest_revision : 0;
    v->switching = core->has_root && core->root.state == ROOT_SWITCHING;
    if (core->has_root && (!s->view.has_root || s->view.root.revision != core->root.revision ||
                           memcmp(s->view.root.nonce, core->root.nonce, 16) != 0)) {
        s->view.root = core->root;
        memcpy(v->owner, core->root.node_id, sizeof v->owner);
    }
    s->view.has_root = core->has_root;
    v->shipped_lsn = core->shipped_lsn;
    v->shipped_bytes = core->shipped_bytes;
    v->remote_lsn = core->remote_lsn;
    v->in_flight = v->parked = v->queued = 0;
    for (size_t i = 0; i < core->seal_count; i++) {
        v->in_flight += core->seals[i].state == SEAL_SENT;
        v->parked += core->seals[i].state == SEAL_PARKED;
        v->queued += core->seals[i].state != SEAL_STORED;
    }
    v->shipped = (struct log_floor){0};
    (void)stream_floor(core, &v->shipped);
    v->uploads = s->ship.uploads;
    v->retries = s->ship.retries;
    v->permanent_failures = s->ship.permanent_failures;
    lag_drop(&s->view.lag, core->shipped_lsn);
    recount_locked(s);
    lock_drop(&s->lock);
    s->tier->ship.totals_due = true;
}

/* ---- beginning ---- */

/* What lies behind the hint is counted before the core begins: how many bytes, and how old. The
 * age is that of the record's own inserted_at: the lag goes on over a restart. */
void tier_stream_opened(struct tier_stream *s)
{
    struct tier *t = s->tier;

    s->ship.after = t->ship.streams;
    if (t->ship.streams != NULL)
        t->ship.streams->ship.before = s;
    t->ship.streams = s;
    s->ship.hint_lsn = s->options.shipped_hint;
    s->ship.hint_chain = s->options.hint_chain;
    s->ship.scan.next_lsn = s->options.shipped_hint + 1;
    s->ship.scan.last_lsn = s->options.durable_lsn;
    lag_init(&s->ship.scan.lag);
    tier_timed(s);
    tier_stream_scan(s);
}

struct scanning {
    struct tier_stream *s;
    uint64_t bytes;
    int64_t now_ms;
    uint64_t wall_ns;
};

static status scan_one(void *arg, uint64_t lsn, struct slice payload, struct err *err)
{
    struct scanning *scanning = arg;
    struct tier_stream *s = scanning->s;
    struct record record;
    int64_t age_ms = 0;

    if (scanning->bytes >= TIER_SCAN_BYTES)
        return err_set(err, ST_LIMIT, "enough for one turn");
    if (record_open(payload, &record, NULL) == ST_OK && record.inserted_at_ns < scanning->wall_ns)
        age_ms = (int64_t)((scanning->wall_ns - record.inserted_at_ns) / NS_PER_MS);
    lag_add(&s->ship.scan.lag, lsn, scanning->now_ms - age_ms);
    scanning->bytes += payload.bytes;
    s->ship.scan.bytes += payload.bytes;
    s->ship.scan.next_lsn = lsn + 1;
    return ST_OK;
}

static void show_scan(struct tier_stream *s, bool done)
{
    lock_take(&s->lock);
    s->view.scan_since_ms = done ? LAG_NONE : lag_since(&s->ship.scan.lag);
    if (done) {
        lag_prepend(&s->view.lag, &s->ship.scan.lag);
        s->view.durable_bytes += s->ship.scan.bytes;
        recount_locked(s);
    }
    lock_drop(&s->lock);
    s->tier->ship.totals_due = true;
}

static void begin(struct tier_stream *s)
{
    struct tier *t = s->tier;
    struct stream_options o = {
        .take_ownership = t->options.take_ownership,
        .rpo_ms = t->options.rpo_ms,
        .group_bytes = t->options.group_bytes,
        .max_in_flight = t->options.max_in_flight,
        .max_retries = t->options.max_retries,
        .base_backoff_ms = t->options.base_backoff_ms,
        .max_backoff_ms = t->options.max_backoff_ms,
        .seed = rand_u64(t->options.rand),
    };
    struct stream_event tick = {.kind = STREAM_TICK};

    memcpy(o.collection, s->options.collection, sizeof o.collection);
    memcpy(o.session, t->options.session, sizeof o.session);
    (void)snprintf(o.node_id, sizeof o.node_id, "%s", t->options.node_id);
    stream_init(&s->ship.core, &o, s->options.durable_lsn, s->ship.scan.bytes,
                s->options.shipped_hint, tier_now_ms(t));
    s->ship.told_lsn = s->options.durable_lsn;
    s->ship.told_bytes = s->ship.scan.bytes;
    s->ship.ready = true;
    tier_feed(s, &tick);
    while (s->ship.early_first != NULL) {
        struct tier_op *op = s->ship.early_first;

        s->ship.early_first = op->next;
        tier_op_begin(s, op);
    }
    s->ship.early_last = NULL;
    tier_stream_look(s, true);
}

void tier_stream_scan(struct tier_stream *s)
{
    struct tier *t = s->tier;
    struct scanning scanning = {
        .s = s, .now_ms = (int64_t)tier_now_ms(t), .wall_ns = clock_wall_ns(t->options.clock)};
    uint64_t last = s->ship.scan.last_lsn;
    status st = ST_OK;
    struct err err;

    if (s->ship.scan.next_lsn <= last)
        st = wal_read(s->options.wal, s->ship.scan.next_lsn, last, scan_one, &scanning, &err);
    if (st == ST_LIMIT && scanning.bytes > 0) {
        show_scan(s, false);
        return;
    }
    if (st != ST_OK) /* what cannot be read now will say so when it is shipped */
        log_warn("what is not shipped cannot be counted", "collection_id=%s lsn=%llu err=%s", s->id,
                 (unsigned long long)s->ship.scan.next_lsn, err.text);
    show_scan(s, true);
    begin(s);
}

/* ---- looking at the log ---- */

static bool tell_log(struct tier_stream *s)
{
    struct stream_event event = {.kind = STREAM_LOG};

    lock_take(&s->lock);
    event.lsn = s->view.durable_lsn;
    event.bytes = s->view.durable_bytes;
    lock_drop(&s->lock);
    if (event.lsn == s->ship.told_lsn)
        return false;
    s->ship.told_lsn = event.lsn;
    s->ship.told_bytes = event.bytes;
    tier_feed(s, &event);
    return true;
}

void tier_stream_tell_wishes(struct tier_stream *s)
{
    struct stream_event event = {.kind = STREAM_WANT_REMOTE};

    event.lsn = atomic_load(&s->wanted_lsn);
    if (event.lsn > s->ship.told_wanted) {
        s->ship.told_wanted = event.lsn;
        tier_feed(s, &event);
    }
    if (atomic_exchange(&s->take, false)) {
        event = (struct stream_event){.kind = STREAM_TAKE};
        tier_feed(s, &event);
    }
}

/* A busy log is looked at every TIER_LOOK_MS without anybody being woken: `attended` stays set
 * until a look finds nothing new. */
void tier_stream_look(struct tier_stream *s, bool urgent)
{
    bool moved;

    if (!s->ship.ready || s->ship.stopping)
        return;
    if (urgent)
        atomic_store(&s->urgent, false);
    moved = tell_log(s);
    tier_stream_tell_wishes(s);
    if (!moved && !urgent) {
        s->ship.look_ms = TIER_NEVER;
        atomic_store(&s->attended, false);
        moved = tell_log(s); /* one that came in between was not announced */
        if (moved)
            atomic_store(&s->attended, true);
    }
    if (moved || (urgent && atomic_load(&s->attended))) {
        s->ship.look_ms = tier_now_ms(s->tier) + TIER_LOOK_MS;
        tier_timed(s);
    }
}

void tier_stream_due(struct tier_stream *s, uint64_t now_ms)
{
    if (s->ship.look_ms <= now_ms)
        tier_stream_look(s, false);
    if (s->ship.tail_ms <= now_ms) {
        s->ship.tail_ms = TIER_NEVER;
        tier_tail_keep(s);
    }
    if (s->ship.timer_ms <= now_ms) {
        struct stream_event tick = {.kind = STREAM_TICK};

        s->ship.timer_ms = TIER_NEVER;
        tier_feed(s, &tick);
    }
}

/* ---- the end ---- */

static void inattend(struct tier_stream *s)
{
    struct tier_stream **at = &s->tier->ship.attention;

    while (*at != NULL && *at != s)
        at = &(*at)->ship.attention_next;
    if (*at == s)
        *at = s->ship.attention_next;
}

void tier_stream_ended(struct tier_stream *s)
{
    struct tier *t = s->tier;
    struct stream_event stop = {.kind = STREAM_STOP};

    if (s->ship.ready)
        tier_feed(s, &stop);
    s->ship.stopping = true;
    tier_io_abandon(s);
    tier_op_close(s);
    tier_seal_free_all(s);
    tier_untimed(s);
    inattend(s);
    *(s->ship.before != NULL ? &s->ship.before->ship.after : &t->ship.streams) = s->ship.after;
    if (s->ship.after != NULL)
        s->ship.after->ship.before = s->ship.before;
    lock_take(&s->lock);
    atomic_fetch_sub(&t->unshipped_bytes, s->view.counted_bytes);
    atomic_fetch_sub(&t->unshipped_records, s->view.counted_records);
    lock_drop(&s->lock);
    t->ship.totals_due = true;
    lock_take(&t->lock);
    s->closed = true;
    cond_broadcast(&t->closed);
    lock_drop(&t->lock);
}
