#include "tests/unit/tiering/ship_world.h"

#include "objstore/memory.h"
#include "segment/record.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { SETTLE_TRIES = 400000, NS_PER_MS = 1000000, PAUSE_NS = 50000 };

static void pause_a_little(void)
{
    const struct timespec pause = {.tv_nsec = PAUSE_NS};

    (void)nanosleep(&pause, NULL);
}

void ship_world_init(struct ship_world *w, uint64_t seed)
{
    memset(w, 0, sizeof *w);
    rand_seeded_init(&w->rand, seed);
    uuid_make_v4(&w->rand.source, w->collection);
    clock_manual_init(&w->clock, UINT64_C(100000) * NS_PER_MS, UINT64_C(1700000000000000000));
    (void)snprintf(w->bucket, sizeof w->bucket, "ship-%p", (void *)w);
    assert_int_equal(objstore_memory_open(w->bucket, &w->clock.clock, &w->memory, NULL), ST_OK);
    w->store = ship_store_create(w->memory);
}

void ship_world_fini(struct ship_world *w)
{
    for (size_t i = 0; i < w->node_count; i++) {
        struct ship_node *n = &w->nodes[i];

        ship_close(n);
        wal_close(n->wal);
        wal_engine_close(n->engine);
        dlq_close(n->dlq);
        fs_sim_destroy(n->sim);
    }
    objstore_close(w->memory);
    objstore_memory_forget(w->bucket);
    ship_store_destroy(w->store);
}

static void open_log(struct ship_node *n)
{
    struct wal_engine_options engine = {.fs = fs_sim_fs(n->sim),
                                        .clock = clock_real(),
                                        .rand = &n->world->rand.source,
                                        .file_bytes_first = 32 * 1024,
                                        .file_bytes_max = 128 * 1024};
    struct wal_options options = {.dir = "/node/wal"};
    struct wal_report report;
    struct err err;

    if (wal_engine_open(&engine, &n->engine, &err) != ST_OK)
        fail_msg("%s", err.text);
    options.engine = n->engine;
    memcpy(options.log_id, n->world->collection, 16);
    if (wal_open(&options, &n->wal, &report, &err) != ST_OK)
        fail_msg("%s", err.text);
}

struct ship_node *ship_node(struct ship_world *w, const char *node_id)
{
    struct ship_node *n = &w->nodes[w->node_count++];
    const struct dlq_options letters = {0};
    size_t damaged;

    n->world = w;
    (void)snprintf(n->node_id, sizeof n->node_id, "%s", node_id);
    assert_non_null(n->sim = fs_sim_create());
    assert_int_equal(fs_mkdir_all(fs_sim_fs(n->sim), "/node", NULL), ST_OK);
    open_log(n);
    assert_int_equal(dlq_open(&letters, &n->dlq, &damaged, NULL), ST_OK);
    n->options = (struct tier_options){
        .store = ship_store(w->store),
        .clock = &w->clock.clock,
        .rand = &w->rand.source,
        .dlq = n->dlq,
        .fs = fs_sim_fs(n->sim),
        .data_dir = "/node",
        .node_id = n->node_id,
        .rpo_ms = 1000,
        .group_bytes = 64 * 1024,
        .max_in_flight = 4,
        .max_retries = 3,
        .base_backoff_ms = 100,
        .max_backoff_ms = 2000,
        .unshipped_bytes_max = 1 << 20,
    };
    return n;
}

void ship_restart_log(struct ship_node *n)
{
    wal_close(n->wal);
    wal_engine_close(n->engine);
    open_log(n);
}

static void on_phase(void *arg, enum stream_phase phase, const char *reason)
{
    struct ship_node *n = arg;

    (void)reason;
    n->phase = (int)phase;
}

static void on_remote(void *arg, uint64_t lsn)
{
    struct ship_node *n = arg;

    if (lsn > ship_store_confirmed(n->world->store))
        n->said_too_early++;
    n->remote_lsn = lsn;
}

static void on_shipped(void *arg, uint64_t lsn, uint64_t chain)
{
    struct ship_node *n = arg;

    n->hint_lsn = lsn;
    n->hint_chain = chain;
    n->hints++;
}

static void on_diverged(void *arg, uint64_t first_lsn, uint64_t last_lsn)
{
    struct ship_node *n = arg;

    n->diverged_first = first_lsn;
    n->diverged_last = last_lsn;
    n->diverged++;
}

void ship_open(struct ship_node *n)
{
    struct tier_stream_options o = {
        .collection_id = "the-collection",
        .name = "docs",
        .wal = n->wal,
        .durable_lsn = wal_durable_lsn(n->wal),
        .shipped_hint = n->hint_lsn,
        .hint_chain = n->hint_chain,
        .arg = n,
        .on_phase = on_phase,
        .on_remote = on_remote,
        .on_shipped = on_shipped,
        .on_diverged = on_diverged,
    };
    struct err err;

    n->phase = STREAM_IDLE;
    memcpy(o.collection, n->world->collection, 16);
    n->world->rand.source.fill(&n->world->rand.source, n->options.session, 16);
    if (tier_open(&n->options, &n->tier, &err) != ST_OK)
        fail_msg("%s", err.text);
    if (tier_stream_open(n->tier, &o, &n->stream, &err) != ST_OK)
        fail_msg("%s", err.text);
    ship_settle(n->world);
}

void ship_close(struct ship_node *n)
{
    tier_stream_close(n->stream);
    tier_close(n->tier);
    n->stream = NULL;
    n->tier = NULL;
}

void ship_answered(void *arg, status st, const struct err *err)
{
    struct ship_answer *a = arg;

    a->st = st;
    a->err = *err;
    a->done = true;
}

void ship_create(struct ship_node *n)
{
    struct ship_answer made = {0};

    ship_open(n);
    tier_stream_create(n->stream, 0, false, ship_answered, &made);
    ship_settle(n->world);
    assert_true(made.done);
    if (made.st != ST_OK)
        fail_msg("%s", made.err.text);
}

/* The same bytes for the same writer and lsn, but for when it was written. */
struct slice ship_record(struct ship_world *w, const char *who, uint64_t lsn, struct buf *out)
{
    struct record_writer r;
    char value[SHIP_VALUE_BYTES];

    (void)w;
    memset(value, 'v', sizeof value);
    (void)snprintf(value, sizeof value, "%s %" PRIu64, who, lsn);
    buf_init(out, 4096);
    record_begin(&r, out, RECORD_SETTINGS, UINT64_C(1700000000000000000) + lsn);
    record_put_setting(&r, slice_text("note"), slice_make(value, sizeof value));
    assert_int_equal(record_end(&r, NULL), ST_OK);
    return buf_slice(out);
}

static void stamp(struct ship_world *w, struct slice payload)
{
    uint8_t *at = (uint8_t *)(uintptr_t)payload.data + 8; /* docs/formats/record.md: inserted_at */

    le_put_u64(at, clock_wall_ns(&w->clock.clock));
}

void ship_append(struct ship_node *n, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        struct buf bytes;
        uint64_t lsn = wal_next_lsn(n->wal);
        struct slice payload = ship_record(n->world, n->node_id, lsn, &bytes);

        stamp(n->world, payload);
        assert_int_equal(wal_append_wait(n->wal, payload, &lsn, NULL), ST_OK);
        if (n->stream != NULL)
            tier_stream_log(n->stream, lsn, payload.bytes);
        buf_free(&bytes);
    }
}

static status copy_one(void *arg, uint64_t lsn, struct slice payload, struct err *err)
{
    (void)lsn;
    (void)err;
    buf_put_slice(arg, payload);
    return ST_OK;
}

void ship_copy_record(struct ship_node *n, uint64_t lsn, struct buf *out)
{
    assert_int_equal(wal_read(n->wal, lsn, lsn, copy_one, out, NULL), ST_OK);
    assert_false(out->failed);
}

void ship_wait(bool (*until)(void *arg), void *arg)
{
    for (int i = 0; !until(arg); i++) {
        if (i > SETTLE_TRIES)
            fail_msg("what was waited for does not come");
        pause_a_little();
    }
}

static bool all_quiet(void *arg)
{
    struct ship_world *w = arg;

    for (size_t i = 0; i < w->node_count; i++)
        if (w->nodes[i].tier != NULL && !tier_is_quiet(w->nodes[i].tier))
            return false;
    return true;
}

void ship_settle(struct ship_world *w)
{
    ship_wait(all_quiet, w);
}

void ship_run(struct ship_world *w, uint64_t ms, uint64_t step_ms)
{
    for (uint64_t passed = 0; passed < ms; passed += step_ms) {
        clock_manual_advance(&w->clock, step_ms * NS_PER_MS);
        for (size_t i = 0; i < w->node_count; i++)
            if (w->nodes[i].tier != NULL)
                tier_wake(w->nodes[i].tier);
        ship_settle(w);
    }
}

struct tier_stream_status ship_status(struct ship_node *n)
{
    struct tier_stream_status now;

    tier_stream_status(n->stream, &now);
    return now;
}

/* ---- what the bucket holds ---- */

static bool fetch(struct ship_world *w, const char *key, struct buf *out)
{
    struct objstore_req req = {.op = OBJSTORE_GET, .key = key};
    status st = objstore_wait(w->memory, &req, NULL);

    if (st == ST_OK) {
        buf_init(out, OBJSTORE_OBJECT_BYTES_MAX);
        buf_put_slice(out, buf_slice(&req.result.body));
        assert_false(out->failed);
    }
    objstore_result_fini(&req.result);
    return st == ST_OK;
}

struct reading {
    struct ship_world *w;
    const struct ship_node *who;
    struct ship_content *out;
    uint64_t chain;
};

static status check_record(void *arg, uint64_t lsn, struct slice payload, struct err *err)
{
    struct reading *r = arg;
    struct buf want;

    (void)err;
    r->out->records++;
    if (r->who == NULL)
        return ST_OK;
    ship_record(r->w, r->who->node_id, lsn, &want);
    assert_int_equal(payload.bytes, want.bytes);
    assert_memory_equal(payload.data + 16, want.data + 16, want.bytes - 16);
    buf_free(&want);
    return ST_OK;
}

static bool read_group(struct reading *r, uint64_t epoch, uint64_t seq)
{
    char key[OBJKEY_BYTES];
    struct buf bytes;
    struct group *group;
    const struct group_head *head;
    struct err err;

    objkey_group(r->w->collection, epoch, seq, key);
    if (!fetch(r->w, key, &bytes))
        return false;
    if (group_open(buf_slice(&bytes), r->w->collection, epoch, seq, &group, &err) != ST_OK)
        fail_msg("%s: %s", key, err.text);
    head = group_head(group);
    assert_int_equal(head->first_lsn, r->out->last_lsn + 1);
    assert_int_equal(head->chain_before, r->chain);
    r->chain = head->chain;
    r->out->last_lsn = head->last_lsn;
    r->out->groups++;
    r->out->gaps += head->kind == GROUP_GAP;
    assert_int_equal(group_each(group, check_record, r, NULL), ST_OK);
    group_close(group);
    buf_free(&bytes);
    return true;
}

void ship_read_bucket(struct ship_world *w, const struct ship_node *who, struct ship_content *out)
{
    struct reading r = {.w = w, .who = who, .out = out};
    char key[OBJKEY_BYTES];
    struct buf bytes;

    memset(out, 0, sizeof *out);
    objkey_root(w->collection, key);
    assert_true(fetch(w, key, &bytes));
    assert_int_equal(root_decode(buf_slice(&bytes), w->collection, &out->root, NULL), ST_OK);
    buf_free(&bytes);
    out->last_lsn = out->root.floor.lsn;
    r.chain = out->root.floor.chain;
    for (size_t i = 0; i < out->root.lineage_count; i++)
        for (uint64_t seq = 1; seq <= out->root.lineages[i].end_seq; seq++)
            assert_true(read_group(&r, out->root.lineages[i].epoch, seq));
    for (uint64_t seq = 1; read_group(&r, out->root.epoch, seq); seq++)
        ;
}
