/* The ship thread: what wakes it, and a turn of its loop. It steps cores, reads logs and encodes
 * groups; what waits for the network is a request that comes back as a message. */
#include "tiering/tier_internal.h"

#include "base/mem.h"

#include <assert.h>
#include <stdio.h>

enum { NS_PER_MS = 1000000, WORK_A_TURN = 4 };

uint64_t tier_now_ms(const struct tier *t)
{
    return clock_mono_ns(t->options.clock) / NS_PER_MS;
}

/* ---- what wakes it ---- */

void tier_post(struct tier *t, struct tier_msg *msg)
{
    msg->next = NULL;
    lock_take(&t->lock);
    if (t->shared.last != NULL)
        t->shared.last->next = msg;
    else
        t->shared.first = msg;
    t->shared.last = msg;
    cond_signal(&t->wakes); /* with the lock: the thread may end as soon as it is dropped */
    lock_drop(&t->lock);
}

void tier_attend(struct tier_stream *s)
{
    struct tier *t = s->tier;

    lock_take(&t->lock);
    if (!s->linked) {
        s->linked = true;
        s->attention_next = t->shared.attention;
        t->shared.attention = s;
        cond_signal(&t->wakes);
    }
    lock_drop(&t->lock);
}

void tier_wake(struct tier *t)
{
    lock_take(&t->lock);
    t->shared.poked = true;
    cond_signal(&t->wakes);
    lock_drop(&t->lock);
}

bool tier_is_quiet(struct tier *t)
{
    bool quiet;

    lock_take(&t->lock);
    quiet = t->shared.waiting && !t->shared.poked && t->shared.first == NULL &&
            t->shared.attention == NULL && !t->shared.reload && atomic_load(&t->in_flight) == 0;
    lock_drop(&t->lock);
    return quiet;
}

void tier_set_trouble(struct tier *t, const char *text)
{
    lock_take(&t->lock);
    (void)snprintf(t->shared.trouble, sizeof t->shared.trouble, "%s", text);
    lock_drop(&t->lock);
}

/* ---- a turn ---- */

struct turn {
    struct tier_msg *msgs;
    bool reload, stop;
};

void tier_timed(struct tier_stream *s)
{
    struct tier *t = s->tier;

    if (s->ship.timed)
        return;
    s->ship.timed = true;
    s->ship.timed_before = NULL;
    s->ship.timed_after = t->ship.timed;
    if (t->ship.timed != NULL)
        t->ship.timed->ship.timed_before = s;
    t->ship.timed = s;
}

void tier_untimed(struct tier_stream *s)
{
    struct tier *t = s->tier;

    if (!s->ship.timed)
        return;
    s->ship.timed = false;
    *(s->ship.timed_before != NULL ? &s->ship.timed_before->ship.timed_after : &t->ship.timed) =
        s->ship.timed_after;
    if (s->ship.timed_after != NULL)
        s->ship.timed_after->ship.timed_before = s->ship.timed_before;
}

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t due_of(const struct tier_stream *s)
{
    if (!s->ship.ready)
        return 0; /* its log is being read */
    return least(s->ship.timer_ms, least(s->ship.look_ms, s->ship.tail_ms));
}

static uint64_t next_due(const struct tier *t, uint64_t pump_ms)
{
    uint64_t due = pump_ms;

    if (t->ship.work.first != NULL)
        return 0;
    if (t->ship.totals_due)
        due = least(due, t->ship.totals_ms + TIER_TOTALS_MS);
    for (const struct tier_stream *s = t->ship.timed; s != NULL; s = s->ship.timed_after)
        due = least(due, due_of(s));
    return due;
}

static void wait_until_locked(struct tier *t, uint64_t due_ms)
{
    uint64_t now_ns = clock_mono_ns(t->options.clock);

    if (due_ms != TIER_NEVER && due_ms * NS_PER_MS <= now_ns)
        return;
    t->shared.waiting = true;
    if (due_ms == TIER_NEVER)
        cond_wait(&t->wakes, &t->lock);
    else
        (void)cond_wait_ns(&t->wakes, &t->lock, due_ms * NS_PER_MS - now_ns);
    t->shared.waiting = false;
}

static struct turn collect(struct tier *t, uint64_t due_ms)
{
    struct turn turn;

    lock_take(&t->lock);
    if (t->shared.first == NULL && t->shared.attention == NULL && !t->shared.reload &&
        !t->shared.poked && (!t->shared.stop || t->ship.stopping))
        wait_until_locked(t, due_ms);
    turn = (struct turn){t->shared.first, t->shared.reload, t->shared.stop};
    t->ship.attention = t->shared.attention;
    for (struct tier_stream *s = t->shared.attention; s != NULL; s = s->attention_next) {
        s->ship.attention_next = s->attention_next;
        s->linked = false;
    }
    t->shared.first = t->shared.last = NULL;
    t->shared.attention = NULL;
    t->shared.reload = t->shared.poked = false;
    lock_drop(&t->lock);
    return turn;
}

static void handle(struct tier_msg *msg)
{
    switch (msg->kind) {
    case TIER_MSG_OPEN:
        tier_stream_opened(msg->stream);
        break;
    case TIER_MSG_CLOSE:
        tier_stream_ended(msg->stream);
        break;
    case TIER_MSG_OP:
        tier_op_begin(msg->stream, (struct tier_op *)msg);
        break;
    case TIER_MSG_IO:
        tier_io_done((struct tier_io *)msg);
        break;
    }
}

/* After the messages: who asked for a root before telling of a record has it in this order. A
 * stream that was closed by one of them is out of the list (tier_stream_ended()). */
static void attend_to_all(struct tier *t)
{
    while (t->ship.attention != NULL) {
        struct tier_stream *s = t->ship.attention;

        t->ship.attention = s->ship.attention_next;
        s->ship.attention_next = NULL;
        tier_stream_look(s, true);
    }
}

static void run_timers(struct tier *t, uint64_t now_ms)
{
    struct tier_stream *s = t->ship.timed;

    while (s != NULL) {
        struct tier_stream *after = s->ship.timed_after;

        if (!s->ship.ready)
            tier_stream_scan(s);
        else if (due_of(s) <= now_ms)
            tier_stream_due(s, now_ms);
        if (s->ship.ready && due_of(s) == TIER_NEVER)
            tier_untimed(s);
        s = after;
    }
}

static void retry_all(struct tier *t)
{
    for (struct tier_stream *s = t->ship.streams; s != NULL; s = s->ship.after) {
        struct stream_event event = {.kind = STREAM_RETRY};

        if (s->ship.ready)
            tier_feed(s, &event);
    }
}

/* The age of what the bucket lacks, over all streams. */
static void refresh_totals(struct tier *t, uint64_t now_ms)
{
    int64_t since = LAG_NONE;
    uint32_t queued = 0;

    if (!t->ship.totals_due ||
        (t->ship.totals_ms != 0 && now_ms < t->ship.totals_ms + TIER_TOTALS_MS))
        return;
    t->ship.totals_due = false;
    t->ship.totals_ms = now_ms;
    for (struct tier_stream *s = t->ship.streams; s != NULL; s = s->ship.after) {
        int64_t own;

        lock_take(&s->lock);
        own = tier_since_locked(s);
        queued += s->view.status.queued;
        lock_drop(&s->lock);
        if (own < since)
            since = own;
    }
    atomic_store(&t->since_ms, since);
    atomic_store(&t->queued, queued);
}

static void ship_main(void *arg)
{
    struct tier *t = arg;
    uint64_t pump_ms = TIER_NEVER;

    for (;;) {
        struct turn turn = collect(t, next_due(t, pump_ms));

        while (turn.msgs != NULL) {
            struct tier_msg *msg = turn.msgs;

            turn.msgs = msg->next;
            handle(msg);
        }
        attend_to_all(t);
        if (turn.reload)
            retry_all(t);
        if (turn.stop && !t->ship.stopping) {
            t->ship.stopping = true;
            tier_io_cancel_orphans(t);
        }
        if (t->ship.stopping && t->ship.ios == 0)
            break;
        run_timers(t, tier_now_ms(t));
        for (int i = 0; i < WORK_A_TURN && t->ship.work.first != NULL; i++)
            tier_io_work(t);
        pump_ms = tier_io_pump(t);
        refresh_totals(t, tier_now_ms(t));
    }
    assert(t->ship.streams == NULL);
}

/* ---- opening, closing ---- */

static void free_tier(struct tier *t)
{
    mem_free(t->data_dir);
    mem_free(t->node_id);
    cond_fini(&t->closed);
    cond_fini(&t->wakes);
    lock_fini(&t->lock);
    mem_free(t);
}

status tier_open(const struct tier_options *options, struct tier **out, struct err *err)
{
    struct tier *t;
    status st = ST_OK;

    if (options->max_in_flight == 0 || options->group_bytes == 0 ||
        strlen(options->node_id) >= ROOT_NODE_ID_BYTES)
        return err_set(err, ST_INVALID,
                       "shipping needs max_in_flight, group_bytes and a node_id "
                       "of at most %d bytes",
                       ROOT_NODE_ID_BYTES - 1);
    t = mem_zero(sizeof *t);
    if (t == NULL)
        return err_set(err, ST_NOMEM, "out of memory for shipping");
    t->options = *options;
    if (t->options.max_in_flight > STREAM_FLIGHT_MAX)
        t->options.max_in_flight = STREAM_FLIGHT_MAX;
    if (t->options.flight_bytes_max == 0)
        t->options.flight_bytes_max = TIER_FLIGHT_BYTES_MAX;
    lock_init(&t->lock, LOCK_RANK_QUEUE, "tier");
    cond_init(&t->wakes);
    cond_init(&t->closed);
    atomic_init(&t->since_ms, LAG_NONE);
    t->ship.totals_ms = 0;
    breaker_init(&t->shared.breaker, options->base_backoff_ms, options->max_backoff_ms,
                 rand_u64(options->rand));
    t->data_dir = mem_strdup(options->data_dir);
    t->node_id = mem_strdup(options->node_id);
    if (t->data_dir == NULL || t->node_id == NULL)
        st = err_set(err, ST_NOMEM, "out of memory for shipping");
    t->options.data_dir = t->data_dir;
    t->options.node_id = t->node_id;
    if (st == ST_OK)
        st = thread_start(&t->thread, "ship", THREAD_NORMAL, ship_main, t, err);
    if (st != ST_OK) {
        free_tier(t);
        return st;
    }
    *out = t;
    return ST_OK;
}

void tier_close(struct tier *t)
{
    if (t == NULL)
        return;
    lock_take(&t->lock);
    t->shared.stop = true;
    cond_signal(&t->wakes);
    lock_drop(&t->lock);
    thread_join(&t->thread);
    free_tier(t);
}

/* ---- for the node ---- */

void tier_reload(struct tier *t)
{
    objstore_reload(t->options.store);
    lock_take(&t->lock);
    breaker_reset(&t->shared.breaker);
    t->shared.reload = true;
    cond_signal(&t->wakes);
    lock_drop(&t->lock);
}

void tier_breaker_reset(struct tier *t, enum breaker_state *before, enum breaker_state *after)
{
    lock_take(&t->lock);
    *before = t->shared.breaker.state;
    breaker_reset(&t->shared.breaker);
    *after = t->shared.breaker.state;
    t->shared.poked = true;
    cond_signal(&t->wakes);
    lock_drop(&t->lock);
}

static uint64_t lag_ms(const struct tier *t)
{
    int64_t since = atomic_load(&t->since_ms);
    int64_t now = (int64_t)tier_now_ms(t);

    return since == LAG_NONE || since > now ? 0 : (uint64_t)(now - since);
}

void tier_status(struct tier *t, struct tier_status *out)
{
    *out = (struct tier_status){
        .unshipped_bytes = atomic_load(&t->unshipped_bytes),
        .unshipped_records = atomic_load(&t->unshipped_records),
        .lag_ms = lag_ms(t),
        .uploads_in_flight = atomic_load(&t->uploading),
        .uploads_queued = atomic_load(&t->queued),
    };
    if (out->unshipped_records == 0)
        out->lag_ms = 0; /* the count is of now, the age of some moments ago */
    lock_take(&t->lock);
    out->breaker = t->shared.breaker.state;
    memcpy(out->trouble, t->shared.trouble, sizeof out->trouble);
    lock_drop(&t->lock);
}

enum pressure_level tier_pressure(struct tier *t, uint64_t disk_free, uint64_t disk_reserve,
                                  struct pressure *out)
{
    const struct pressure_facts facts = {
        .unshipped_bytes = atomic_load(&t->unshipped_bytes),
        .unshipped_bytes_max = t->options.unshipped_bytes_max,
        .disk_free = disk_free,
        .disk_reserve = disk_reserve,
        .lag_ms = lag_ms(t),
        .rpo_ms = t->options.rpo_ms,
    };

    pressure_level(&facts, out);
    return out->level;
}
