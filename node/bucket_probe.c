/* Whether this node writes to its bucket: the store is probed before the first write ever goes
 * there, and now and then again (docs/protocol.md, "What a store must do").
 *
 * Everything of the node that writes goes through a gate (objstore/gate.h); this file alone opens
 * it. A verdict is remembered, so that a node whose bucket is away at start waits for nothing: what
 * was trusted stays trusted until another probe says otherwise. The publish thread probes, reads
 * and writes meta/pinned; what everyone looks at is guarded by the bucket's lock. */
#include "node/node_internal.h"
#include "objstore/gate.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>

enum {
    PROBE_RETRY_MS_MIN = 1000,
    PROBE_RETRY_MS_MAX = 64000,
    PROBE_AGAIN_MS = 3600000, /* not sooner, whatever says that something changed */
    PINNED_WARN_MS = 3600000,
    PINNED_QUIET_MS = 5000, /* what a process that was killed had sent has arrived by then */
    MARKER_ATTEMPT_MS = 5000,
    PROBE_HOLD_MS = 8000, /* so long writes of a start wait for the verdict, and no longer */
};
#define PROBE_TTL_NS (UINT64_C(7 * 24 * 3600) * 1000000000)

static const char MEMORY_KEY[] = "store";

static uint64_t now_ms(struct node *node)
{
    return clock_mono_ns(node->options.clock) / 1000000;
}

static const char *or_empty(const char *text)
{
    return text == NULL ? "" : text;
}

/* --- what is known, and what follows --- */

static void say(struct node *node, enum store_mode mode, const char *text)
{
    if (mode == STORE_FULL)
        log_info("the store keeps the conditions of writes", "store=%s server=%s",
                 node->options.store->description, node->trust.memory.server);
    else if (mode == STORE_PINNED)
        log_warn("pinned-owner mode", "store=%s text=%s", node->options.store->description, text);
    else if (mode == STORE_REFUSED)
        log_error("nothing is written to the bucket", "store=%s text=%s",
                  node->options.store->description, text);
}

/* Opens or closes the gate by what is known now. */
static void apply(struct node *node)
{
    struct store_trust *t = &node->trust;
    const struct store_facts facts = {.grade = t->memory.grade,
                                      .verdict = t->memory.verdict,
                                      .distrusted = t->memory.distrusted,
                                      .marker_known = t->marker_known,
                                      .marker = t->marker,
                                      .pinned_owner = or_empty(node->options.pinned_owner),
                                      .node_id = node->owner_id};
    char text[STORE_TEXT_BYTES];
    enum store_mode mode = store_decide(&facts, text);
    uint64_t quiet_ms =
        node->options.pinned_quiet_ms != 0 ? node->options.pinned_quiet_ms : PINNED_QUIET_MS;
    bool quiet = mode == STORE_PINNED && now_ms(node) - t->began_ms < quiet_ms;
    bool open = (mode == STORE_FULL || mode == STORE_PINNED) && !quiet;
    bool changed;
    bool opened = open && !t->is_open;

    lock_take(&node->bucket.lock);
    changed = t->shown.mode != mode;
    t->shown.mode = mode;
    t->shown.grade = t->memory.grade;
    memcpy(t->shown.text, text, sizeof text);
    lock_drop(&node->bucket.lock);
    objstore_gate_set(node->options.store,
                      open                    ? OBJSTORE_GATE_OPEN
                      : mode == STORE_REFUSED ? OBJSTORE_GATE_REFUSE
                                              : OBJSTORE_GATE_WAIT,
                      quiet
                          ? "a start in pinned-owner mode waits until what was sent before it has "
                            "arrived"
                          : text);
    t->is_open = open;
    if (changed)
        say(node, mode, text);
    if (!opened || node->tier == NULL)
        return;
    tier_breaker_reset(node->tier, &(enum breaker_state){0}, &(enum breaker_state){0});
    tier_reload(node->tier);
}

static void remember(struct node *node)
{
    struct kv_write write = {.key = slice_text(MEMORY_KEY)};
    struct buf value;

    buf_init(&value, STORE_MEMORY_BYTES_MAX);
    store_memory_encode(&node->trust.memory, &value);
    write.value = buf_slice(&value);
    if (!value.failed)
        kv_writer_put(node->kv_writer, &write, 1);
    buf_free(&value);
}

static void recall(struct node *node)
{
    struct store_memory m;
    struct buf value;

    buf_init(&value, STORE_MEMORY_BYTES_MAX);
    if (kv_get(node->kv, slice_text(MEMORY_KEY), &value, NULL) == ST_OK &&
        store_memory_decode(buf_slice(&value), &m) &&
        strcmp(m.store, node->options.store->description) == 0)
        node->trust.memory = m;
    buf_free(&value);
}

static status check_options(struct node *node, struct err *err)
{
    const char *owner = or_empty(node->options.pinned_owner);

    if (owner[0] == '\0' || !node->options.take_ownership)
        return ST_OK;
    return err_set(err, ST_INVALID,
                   "[storage] pinned_owner is set, and --take-ownership asks to take collections "
                   "from another node: without conditions of writes nobody would notice that the "
                   "other still writes. Give this node the name %s ([server] node_id) once the "
                   "other is gone for good",
                   owner);
}

status bucket_probe_open(struct node *node, struct err *err)
{
    struct objstore *gate = NULL;
    status st = check_options(node, err);

    if (st != ST_OK || !node->options.probe_store)
        return st;
    st = objstore_gate_open(node->options.store, node->options.clock, PROBE_HOLD_MS, &gate, err);
    if (st != ST_OK)
        return st;
    node->trust.raw = node->options.store;
    node->options.store = gate;
    node->trust.began_ms = now_ms(node);
    recall(node);
    apply(node);
    return ST_OK;
}

void bucket_probe_close(struct node *node)
{
    if (node->trust.raw == NULL)
        return;
    objstore_close(node->options.store);
    node->options.store = node->trust.raw;
    node->trust.raw = NULL;
}

/* --- meta/pinned --- */

static void trouble(struct node *node, const char *text)
{
    lock_take(&node->bucket.lock);
    (void)snprintf(node->trust.shown.trouble, sizeof node->trust.shown.trouble, "%.255s", text);
    lock_drop(&node->bucket.lock);
}

static bool is_name(struct slice body)
{
    for (size_t i = 0; i < body.bytes; i++)
        if (body.data[i] <= 0x20 || body.data[i] > 0x7e)
            return false;
    return body.bytes > 0 && body.bytes < STORE_ID_BYTES;
}

/* One line: the node id. What cannot be read as one is somebody's, and not ours. */
static status read_marker(struct node *node, struct err *err)
{
    struct store_trust *t = &node->trust;
    struct objstore_req req = {.op = OBJSTORE_GET,
                               .pool = OBJSTORE_LOG,
                               .key = OBJKEY_PINNED,
                               .bytes_max = 4096,
                               .timeout_ms = MARKER_ATTEMPT_MS};
    status st = objstore_wait(t->raw, &req, err);
    struct slice body = buf_slice(&req.result.body);

    while (body.bytes > 0 && body.data[body.bytes - 1] == '\n')
        body.bytes--;
    if (st == ST_OK)
        (void)snprintf(t->marker, sizeof t->marker, "%.*s", is_name(body) ? (int)body.bytes : 1,
                       is_name(body) ? (const char *)body.data : "?");
    if (st == ST_NOT_FOUND) {
        t->marker[0] = '\0';
        st = ST_OK;
    }
    t->marker_known = st == ST_OK;
    objstore_result_fini(&req.result);
    return st == ST_OK ? ST_OK : err_wrap(err, st, "read the bucket's %s", OBJKEY_PINNED);
}

/* Said in the bucket, so that it is known to nodes that have another configuration, and to this one
 * on an empty disk. Read again afterwards: of two that write it at once the later one stands. */
static status write_marker(struct node *node, struct err *err)
{
    char text[STORE_ID_BYTES + 1];
    struct objstore_req req = {.op = OBJSTORE_PUT,
                               .pool = OBJSTORE_LOG,
                               .key = OBJKEY_PINNED,
                               .timeout_ms = MARKER_ATTEMPT_MS};
    status st;

    (void)snprintf(text, sizeof text, "%.255s\n", node->owner_id);
    req.body = slice_text(text);
    st = objstore_wait(node->trust.raw, &req, err);
    objstore_result_fini(&req.result);
    node->trust.marker_known = false;
    return st == ST_OK ? read_marker(node, err)
                       : err_wrap(err, st, "write the bucket's %s", OBJKEY_PINNED);
}

static bool pins_us(struct node *node)
{
    const char *owner = or_empty(node->options.pinned_owner);

    return owner[0] != '\0' && strcmp(owner, node->owner_id) == 0;
}

/* --- probing --- */

static status run_probe(struct node *node, struct probe_report *report, struct err *err)
{
    struct store_trust *t = &node->trust;
    char prefix[OBJKEY_BYTES];
    const struct probe_options options = {.store = t->raw,
                                          .clock = node->options.clock,
                                          .rand = node->options.rand,
                                          .prefix = prefix,
                                          .leftovers = OBJKEY_PROBES,
                                          .stop = &node->stopping,
                                          .attempt_ms = MARKER_ATTEMPT_MS};
    status st;

    objkey_prefix_probe(node->owner_id, prefix);
    st = objstore_probe(&options, report, err);
    if (st != ST_OK)
        return st;
    t->memory.grade = report->grade;
    t->memory.distrusted = t->memory.distrusted || report->grade != PROBE_GRADE_A;
    t->memory.probed_at_ns = clock_wall_ns(node->options.clock);
    memcpy(t->memory.server, report->server, sizeof t->memory.server);
    (void)snprintf(t->memory.store, sizeof t->memory.store, "%s", t->raw->description);
    probe_verdict(report, t->memory.verdict);
    t->probed_ms = now_ms(node);
    log_info("the store was probed",
             "store=%s server=%s requests=%" PRIu32 " took_ms=%" PRIu64 " verdict=%s",
             t->raw->description, report->server, report->requests, report->took_ms,
             t->memory.verdict);
    return ST_OK;
}

/* The marker goes first: no write of ours may come before it. */
static status prove(struct node *node, bool probe, struct err *err)
{
    struct probe_report report;
    status st = read_marker(node, err);

    if (st == ST_OK && probe) {
        st = run_probe(node, &report, err);
        if (st == ST_OK)
            remember(node);
    }
    if (st == ST_OK && pins_us(node) && node->trust.marker[0] == '\0' &&
        (node->trust.memory.grade == PROBE_GRADE_B || node->trust.memory.grade == PROBE_GRADE_C))
        st = write_marker(node, err);
    apply(node);
    return st;
}

static bool probe_is_due(struct node *node)
{
    const struct store_trust *t = &node->trust;
    uint64_t wall_ns = clock_wall_ns(node->options.clock);
    uint64_t seen = objstore_gate_server(node->options.store);
    uint64_t known = objstore_gate_hash(t->memory.server);

    if (t->memory.grade == PROBE_GRADE_NONE)
        return true;
    if (t->probed_ms != 0 && now_ms(node) - t->probed_ms < PROBE_AGAIN_MS)
        return false;
    return (seen != 0 && seen != known) || wall_ns < t->memory.probed_at_ns ||
           wall_ns - t->memory.probed_at_ns > PROBE_TTL_NS;
}

static void warn_hourly(struct node *node)
{
    struct store_trust *t = &node->trust;

    if (t->shown.mode != STORE_PINNED ||
        (t->warned_ms != 0 && now_ms(node) - t->warned_ms < PINNED_WARN_MS))
        return;
    if (t->warned_ms != 0)
        log_warn("pinned-owner mode: the store protects nothing, this node alone may write there",
                 "store=%s", t->raw->description);
    t->warned_ms = now_ms(node);
}

/* What the start could not write to an empty bucket. */
static void write_format(struct node *node)
{
    if (!node->trust.is_open || !atomic_exchange(&node->format_wanted, false))
        return;
    if (bucket_check_format(node, NULL) != ST_OK)
        atomic_store(&node->format_wanted, true);
}

void bucket_probe_step(struct node *node)
{
    struct store_trust *t = &node->trust;
    bool probe;
    struct err err = {0};
    status st;

    if (t->raw == NULL || atomic_load(&node->stopping))
        return;
    warn_hourly(node);
    if (t->shown.mode == STORE_PINNED && !t->is_open)
        apply(node); /* the quiet is over */
    write_format(node);
    probe = probe_is_due(node);
    if ((!probe && t->marker_known) || now_ms(node) < t->next_ms)
        return;
    st = prove(node, probe, &err);
    if (st == ST_OK) {
        t->failures = 0;
        trouble(node, "");
        return;
    }
    t->next_ms = now_ms(node) + (t->failures < 6 ? (uint64_t)PROBE_RETRY_MS_MIN << t->failures
                                                 : (uint64_t)PROBE_RETRY_MS_MAX);
    if (t->failures++ == 0 && st != ST_CLOSED)
        log_warn("the store could not be proven, it is tried again", "err=%s", err.text);
    trouble(node, err.text);
}

/* --- what others ask --- */

bool bucket_writes_pass(struct node *node)
{
    enum store_mode mode;

    if (node->trust.raw == NULL)
        return true;
    lock_take(&node->bucket.lock);
    mode = node->trust.shown.mode;
    lock_drop(&node->bucket.lock);
    return mode == STORE_FULL || mode == STORE_PINNED;
}

status bucket_check_trust(struct node *node, struct err *err)
{
    status st = ST_OK;

    if (node->trust.raw == NULL)
        return ST_OK;
    lock_take(&node->bucket.lock);
    if (node->trust.shown.mode == STORE_REFUSED)
        st = err_set(err, ST_UNSUPPORTED, "%s", node->trust.shown.text);
    lock_drop(&node->bucket.lock);
    return st;
}

status bucket_check_take(struct node *node, struct err *err)
{
    status st = bucket_check_trust(node, err);
    enum store_mode mode = STORE_FULL;

    if (st != ST_OK || node->trust.raw == NULL)
        return st;
    lock_take(&node->bucket.lock);
    mode = node->trust.shown.mode;
    lock_drop(&node->bucket.lock);
    if (mode != STORE_PINNED)
        return ST_OK;
    return err_set(err, ST_UNSUPPORTED,
                   "in pinned-owner mode no collection is taken from another node: without "
                   "conditions of writes nobody would notice that the other still writes. A node "
                   "that is to take its place is given its name, [server] node_id");
}

void bucket_trust_health(struct node *node, struct node_health *out)
{
    struct store_shown shown;
    char text[256];

    if (node->trust.raw == NULL)
        return;
    lock_take(&node->bucket.lock);
    shown = node->trust.shown;
    lock_drop(&node->bucket.lock);
    text[0] = '\0';
    if (shown.mode == STORE_UNPROVEN && shown.trouble[0] != '\0')
        (void)snprintf(text, sizeof text,
                       "the store could not be proven yet, nothing is written to it: %.170s",
                       shown.trouble);
    else if (shown.mode == STORE_PINNED || shown.mode == STORE_REFUSED)
        (void)snprintf(text, sizeof text, "%.255s", shown.text);
    if (text[0] != '\0')
        health_add(out, text);
}

void bucket_trust_status(struct node *node, struct node_status *out)
{
    out->store_grade = "none";
    out->store_mode = "full";
    if (node->trust.raw == NULL)
        return;
    lock_take(&node->bucket.lock);
    out->store_grade = probe_grade_name(node->trust.shown.grade);
    out->store_mode = store_mode_name(node->trust.shown.mode);
    lock_drop(&node->bucket.lock);
}

/* --- by command --- */

struct prove_job {
    struct meta_job job;
    struct node *node;
    bool accept;
    node_probe_fn *done;
    void *arg;
};

/* An operator says that the store is not the one that was found wanting: only where it has an A
 * now, and only of a pin that names this node. */
static status accept_store(struct node *node, struct err *err)
{
    struct store_trust *t = &node->trust;
    struct objstore_req req = {.op = OBJSTORE_DELETE,
                               .pool = OBJSTORE_LOG,
                               .key = OBJKEY_PINNED,
                               .timeout_ms = MARKER_ATTEMPT_MS};
    status st = ST_OK;

    if (t->memory.grade != PROBE_GRADE_A)
        return err_set(err, ST_UNSUPPORTED, "only a store of grade A is accepted: %.300s",
                       t->memory.verdict);
    if (t->marker[0] != '\0' && strcmp(t->marker, node->owner_id) != 0)
        return err_set(err, ST_UNSUPPORTED,
                       "the bucket's %s names %.100s: accept the store there, or remove the object "
                       "by hand if that node is gone for good",
                       OBJKEY_PINNED, t->marker);
    if (t->marker[0] != '\0') {
        st = objstore_wait(t->raw, &req, err);
        objstore_result_fini(&req.result);
    }
    if (st != ST_OK)
        return err_wrap(err, st, "remove the bucket's %s", OBJKEY_PINNED);
    t->marker[0] = '\0';
    t->memory.distrusted = false;
    remember(node);
    apply(node);
    log_info("the store is accepted by command", "store=%s", t->raw->description);
    return ST_OK;
}

static void run_prove(struct meta_job *base)
{
    struct prove_job *job = (struct prove_job *)(void *)base;
    struct node *node = job->node;
    struct node_probe_result result = {0};
    struct err err = {0};
    status st = ST_OK;

    if (node->trust.raw == NULL)
        st = err_set(&err, ST_INVALID, "this node has no bucket to probe");
    if (st == ST_OK)
        st = prove(node, true, &err);
    if (st == ST_OK && job->accept)
        st = accept_store(node, &err);
    if (st == ST_OK) {
        const struct store_trust *t = &node->trust;

        result.grade = probe_grade_name(t->memory.grade);
        result.mode = store_mode_name(t->shown.mode);
        memcpy(result.server, t->memory.server, sizeof result.server);
        memcpy(result.verdict, t->memory.verdict, sizeof result.verdict);
        memcpy(result.text, t->shown.text, sizeof result.text);
        memcpy(result.pinned, t->marker, sizeof result.pinned);
    }
    job->done(job->arg, st, st == ST_OK ? &result : NULL, &err);
    mem_free(job);
}

void node_probe_store(struct node *node, bool accept, node_probe_fn *done, void *arg)
{
    struct prove_job *job = mem_zero(sizeof *job);
    struct err err = {0};
    status st = job == NULL ? err_set(&err, ST_NOMEM, "out of memory") : ST_OK;

    if (st == ST_OK && node->tier == NULL)
        st = err_set(&err, ST_INVALID, "this node has no bucket to probe");
    if (st == ST_OK) {
        *job = (struct prove_job){
            .job = {.run = run_prove}, .node = node, .accept = accept, .done = done, .arg = arg};
        if (jobs_push(&node->publish, &job->job))
            return;
        st = err_set(&err, ST_UNAVAILABLE, "the node is stopping");
    }
    mem_free(job);
    done(arg, st, NULL, &err);
}
