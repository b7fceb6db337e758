/* A node's disk: the very log of wal/ over a file system that forgets what was not synced
 * (tests/support/fs_sim.h), and small cells that change as a whole or not at all, as LMDB's do: the
 * hint, how far the rows are in a checkpoint, letters. A crash leaves any part of what was not
 * synced; what a sync said is durable is there, unless a sector rots. */
#include "sim.h"

#include "base/bytes.h"
#include "base/hash.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { FILE_BYTES_FIRST = 8192, FILE_BYTES_MAX = 32768, PAYLOAD_MAX = 512 };

/* --- what a record looks like --- */

static size_t payload_fill(uint32_t value, uint8_t out[PAYLOAD_MAX])
{
    size_t bytes = (size_t)sim_bytes(value);

    memset(out, (int)(value * 167 & 0xFF), bytes);
    le_put_u32(out, value);
    return bytes;
}

static uint32_t payload_value(struct slice payload)
{
    uint8_t expected[PAYLOAD_MAX];
    uint32_t value;

    if (payload.bytes < sizeof value)
        return 0;
    value = (uint32_t)payload.data[0] | (uint32_t)payload.data[1] << 8 |
            (uint32_t)payload.data[2] << 16 | (uint32_t)payload.data[3] << 24;
    return payload_fill(value, expected) == payload.bytes &&
                   memcmp(expected, payload.data, payload.bytes) == 0
               ? value
               : 0;
}

/* --- opening --- */

struct replay {
    struct sim *w;
    size_t node;
    uint64_t first_lsn;
};

static status on_replay(void *arg, uint64_t lsn, struct slice payload, struct err *err)
{
    struct replay *r = arg;
    struct sim_node *n = &r->w->node[r->node];
    uint32_t value = payload_value(payload);

    if (value == 0 || value >= r->w->next_value || lsn > SIM_LSNS)
        return err_set(err, ST_CORRUPT, "lsn %" PRIu64 ": no record of this node", lsn);
    if (r->first_lsn == 0)
        r->first_lsn = lsn;
    if (r->w->records[value].refused)
        sim_fail(r->w, "node %zu: record %u was refused and came back", r->node, value);
    if (r->w->records[value].lsn != lsn)
        sim_fail(r->w, "node %zu: record %u was written as another lsn", r->node, value);
    if (lsn <= n->disk.sure_lsn && n->hist[lsn] != value)
        sim_fail(r->w, "node %zu: lsn %" PRIu64 " was durable, and is another record now", r->node,
                 lsn);
    n->hist[lsn] = value;
    n->chain[lsn] = node_chain(r->w, n->chain[lsn - 1], lsn, value);
    return ST_OK;
}

static void on_cut(void *arg, uint64_t cut_lsn)
{
    struct sim_node *n = arg;

    for (uint64_t lsn = cut_lsn + 1; lsn <= n->end_lsn; lsn++)
        n->hist[lsn] = 0;
    n->end_lsn = cut_lsn;
}

static void fs_new(struct sim *w, struct sim_node *n)
{
    fs_sim_destroy(n->disk.fs);
    n->disk.fs = fs_sim_create();
    n->disk.space_max = w->settling ? 0 : w->disk_bytes;
    fs_sim_space_limit(n->disk.fs, n->disk.space_max);
    rand_seeded_init(&n->disk.rand, sim_random(w));
    n->disk.engine = (struct wal_engine){
        .fs = fs_sim_fs(n->disk.fs),
        .rand = &n->disk.rand.source,
        .sync = (w->twins & SIM_TWIN_FORGET_SYNC) != 0 ? WAL_SYNC_TWIN_SKIP : WAL_SYNC_FDATASYNC,
        .sizes = {FILE_BYTES_FIRST, FILE_BYTES_MAX}};
}

/* Only what was durable is shipped: a log that ends before the hint has lost something. */
static uint64_t expected(const struct sim_node *n)
{
    return n->hint_lsn > n->disk.kept_lsn ? n->hint_lsn : n->disk.kept_lsn;
}

static bool open_log(struct sim *w, size_t node, struct replay *r, struct wal_report *report)
{
    struct sim_node *n = &w->node[node];
    struct wal_options o = {.engine = &n->disk.engine,
                            .dir = SIM_LOG_DIR,
                            .replay_from = n->disk.kept_lsn == 0 ? 0 : n->disk.kept_lsn + 1,
                            .expect_lsn = r != NULL ? expected(n) : 0,
                            .replay = on_replay,
                            .replay_arg = r,
                            .on_cut = on_cut,
                            .cut_arg = n};
    struct err err = {0};

    memcpy(o.log_id, SIM_COLLECTION, sizeof o.log_id);
    if (wal_open(&o, &n->disk.log, report, &err) == ST_OK)
        return true;
    sim_say(w, "node %zu: %s", node, err.text);
    return false;
}

void disk_make(struct sim *w, size_t node, uint64_t lsn)
{
    struct sim_node *n = &w->node[node];
    struct wal_report report;

    disk_free(n);
    fs_new(w, n);
    n->disk.kept_lsn = lsn;
    n->disk.rotten = n->disk.damaged = false;
    if (!open_log(w, node, NULL, &report))
        sim_fail(w, "node %zu: a new log cannot be made", node);
    n->log_first = lsn + 1;
    n->durable_lsn = n->end_lsn = n->disk.sure_lsn = lsn;
    n->on_disk = true;
}

static status say_file(void *arg, const char *name, bool is_dir, struct err *err)
{
    (void)is_dir;
    (void)err;
    sim_say(arg, "  %s", name);
    return ST_OK;
}

/* Behind the break of a damaged log nothing is left of what this disk had. */
static void lost_to_damage(struct sim *w, size_t node, uint64_t last_lsn)
{
    struct sim_node *n = &w->node[node];

    for (uint64_t lsn = last_lsn + 1; lsn <= n->durable_lsn; lsn++)
        if (n->hist[lsn] != 0 && w->records[n->hist[lsn]].node == node)
            w->records[n->hist[lsn]].disk_lost = true;
}

bool disk_open(struct sim *w, size_t node)
{
    struct sim_node *n = &w->node[node];
    struct replay r = {.w = w, .node = node};
    struct wal_report report = {.last_lsn = n->disk.kept_lsn};
    bool opened;

    if (n->disk.rotten) /* above the old chain nothing is to be believed */
        w->seen[SEEN_BIT_ROT] = true;
    if (w->trace && fs_list(fs_sim_fs(n->disk.fs), SIM_LOG_DIR, say_file, w, NULL) != ST_OK)
        sim_say(w, "  no files");
    opened = open_log(w, node, &r, &report);
    if (opened && n->disk.log->shared.trim_blocked)
        w->seen[SEEN_TAIL_SETTLED] = true;
    if (!opened)
        report.corrupt = true;
    if (report.torn)
        w->seen[SEEN_TORN_TAIL] = true;
    if (report.corrupt)
        w->seen[SEEN_DAMAGED_LOG] = true;
    if (report.corrupt && report.last_lsn < n->hint_lsn)
        w->seen[SEEN_END_LOST] = true;
    if (report.corrupt && !n->disk.rotten)
        sim_fail(w, "node %zu: a log that no sector of rotted is damaged: %s", node, report.text);
    if (report.last_lsn < n->disk.sure_lsn && !n->disk.rotten)
        sim_fail(w, "node %zu: lsn %" PRIu64 " was durable, and the log ends at %" PRIu64, node,
                 n->disk.sure_lsn, report.last_lsn);
    if (report.last_lsn < n->disk.kept_lsn)
        report.last_lsn = n->disk.kept_lsn;
    lost_to_damage(w, node, report.last_lsn);
    sim_say(w, "node %zu: log opened up to %" PRIu64 "%s%s", node, report.last_lsn,
            report.torn ? ", torn" : "", report.corrupt ? ", damaged" : "");
    n->durable_lsn = n->end_lsn = n->disk.sure_lsn = report.last_lsn;
    n->disk.damaged = report.corrupt;
    n->disk.faults = 0;
    return opened && !report.corrupt;
}

/* --- closing --- */

/* Nothing reaches the disk any more; what is under way ends without anybody hearing of it. */
static void let_go(struct sim_node *n)
{
    for (int i = 0; i < 4 && n->disk.log != NULL; i++) {
        engine_write(&n->disk.engine, n->disk.log);
        engine_finish(&n->disk.engine);
    }
    wal_close(n->disk.log);
    n->disk.log = NULL;
    n->disk.engine.ready = false;
}

void disk_close(struct sim *w, size_t node, enum sim_end how)
{
    struct sim_node *n = &w->node[node];

    if (n->disk.fs == NULL)
        return;
    if (how != END_STOP)
        fs_sim_stop_after(n->disk.fs, 0);
    let_go(n);
    if (how == END_POWER) {
        struct rand_seeded rng;

        rand_seeded_init(&rng, sim_random(w));
        fs_sim_power_cut(n->disk.fs, &rng.source);
        w->seen[SEEN_POWER_CUT] = true;
    } else {
        fs_sim_process_crash(n->disk.fs);
    }
}

void disk_free(struct sim_node *n)
{
    if (n->disk.fs != NULL) {
        fs_sim_stop_after(n->disk.fs, 0);
        let_go(n);
    }
    fs_sim_destroy(n->disk.fs);
    n->disk.fs = NULL;
}

/* --- writing --- */

static void on_logged(void *arg, uint64_t lsn, status st, const struct err *err)
{
    struct sim_node *n = arg;
    struct sim *w = n->world;
    uint32_t value = n->hist[lsn];
    struct sim_record *r = &w->records[value];

    (void)err;
    if (!n->up) /* nobody is left to hear it */
        return;
    if (st == ST_OK) {
        r->acked = true;
        n->durable_lsn = n->disk.sure_lsn = lsn;
        if (n->disk.was_full)
            w->seen[SEEN_FULL_DISK_AND_BACK] = true;
        n->disk.was_full = false;
        return;
    }
    n->remote[lsn] = false;
    if (st == ST_UNKNOWN) {
        w->seen[SEEN_UNKNOWN_OUTCOME] = true;
        return;
    }
    r->refused = true;
    if (st == ST_NOSPACE)
        n->disk.was_full = true;
    else
        w->seen[SEEN_REFUSED_IN_FLIGHT] = true;
}

bool disk_submit(struct sim *w, size_t node, uint32_t value, uint64_t *lsn)
{
    struct sim_node *n = &w->node[node];
    uint8_t payload[PAYLOAD_MAX];
    struct slice part = slice_make(payload, payload_fill(value, payload));
    bool ready = n->disk.engine.ready;
    struct err err = {0};

    if (n->disk.log == NULL || wal_submit(n->disk.log, &part, 1, on_logged, n, lsn, &err) != ST_OK)
        return false;
    if (!ready && n->disk.engine.ready)
        (void)sim_at(w, w->now_ms + 1 + sim_below(w, 12), EV_SYNC, node);
    return true;
}

/* The program's effects on its disk go as far as they go: then it is gone. */
static bool died(struct sim *w, size_t node)
{
    if (!fs_sim_stopped(w->node[node].disk.fs))
        return false;
    w->seen[SEEN_CRASH_IN_WRITE] = true;
    node_crash(w, node);
    return true;
}

void disk_write(struct sim *w, size_t node)
{
    struct sim_node *n = &w->node[node];

    if (n->disk.log == NULL)
        return;
    engine_write(&n->disk.engine, n->disk.log);
    n->disk.end_number = n->disk.log->sync.file.head.number;
    n->disk.end_offset = n->disk.log->sync.file.used;
    if (died(w, node))
        return;
    if (n->disk.engine.ready) /* submitted since: a batch of its own */
        (void)sim_at(w, w->now_ms + 1 + sim_below(w, 12), EV_SYNC, node);
    (void)sim_at(w, w->now_ms + sim_below(w, 3), EV_LOGGED, node);
}

void disk_told(struct sim *w, size_t node)
{
    struct sim_node *n = &w->node[node];

    if (n->disk.log == NULL)
        return;
    engine_finish(&n->disk.engine);
    n->disk.active_ms = w->now_ms;
    (void)sim_at(w, w->now_ms + WAL_MARKER_IDLE_MS, EV_IDLE, node);
}

void disk_idle(struct sim *w, size_t node)
{
    struct sim_node *n = &w->node[node];

    if (n->disk.log == NULL || n->disk.engine.ready || n->disk.active_ms + 100 > w->now_ms)
        return;
    engine_mark(&n->disk.engine, n->disk.log);
    (void)died(w, node);
}

/* Rows up to lsn are in a checkpoint, and the bucket has them: the log lets go what it can. */
void disk_trim(struct sim *w, size_t node, uint64_t lsn)
{
    struct sim_node *n = &w->node[node];
    struct err err = {0};

    if (n->disk.log != NULL && n->disk.engine.ready) /* it would be waited for */
        disk_write(w, node);
    if (n->disk.log == NULL || n->disk.engine.ready)
        return;
    if (wal_settle(n->disk.log, &err) != ST_OK) { /* no checkpoint then */
        sim_say(w, "node %zu: %s", node, err.text);
        (void)died(w, node);
        return;
    }
    sim_say(w, "node %zu trims its log up to %" PRIu64, node, lsn);
    n->disk.kept_lsn = lsn;
    n->log_first = lsn + 1;
    if (wal_trim(n->disk.log, lsn, &err) != ST_OK)
        sim_say(w, "node %zu: %s", node, err.text);
    (void)died(w, node);
}

bool disk_writable(const struct sim_node *n)
{
    return n->disk.log != NULL && wal_state(n->disk.log, NULL) == ST_OK;
}

/* --- reading --- */

static status on_read(void *arg, uint64_t lsn, struct slice payload, struct err *err)
{
    const struct sim_node *n = arg;

    if (payload_value(payload) != n->hist[lsn])
        return err_set(err, ST_CORRUPT, "lsn %" PRIu64 " is another record", lsn);
    return ST_OK;
}

/* What is shipped is what the log has: durable, and the same. */
bool disk_has(struct sim *w, size_t node, uint64_t first_lsn, uint64_t last_lsn)
{
    struct sim_node *n = &w->node[node];
    struct err err = {0};

    if (n->disk.log == NULL || last_lsn > wal_durable_lsn(n->disk.log))
        return false;
    if (wal_read(n->disk.log, first_lsn, last_lsn, on_read, n, &err) == ST_OK)
        return true;
    sim_say(w, "node %zu: %s", node, err.text);
    return false;
}

uint64_t disk_free_bytes(const struct sim_node *n)
{
    uint64_t used;

    if (n->disk.fs == NULL || n->disk.space_max == 0)
        return UINT64_MAX;
    used = fs_sim_space_used(n->disk.fs);
    return used < n->disk.space_max ? n->disk.space_max - used : 0;
}
