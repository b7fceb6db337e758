/* A node's process: it starts, crashes, writes, and loads from the bucket. */
#include "sim.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { LOAD_MS = 400, OPERATOR_MS = 5000 };

bool node_takes_writes(const struct sim_node *n)
{
    enum stream_phase p = n->stream.phase;

    return n->up && n->streams && !n->loading && !n->stream.core.drop_wanted &&
           p != STREAM_FOREIGN && p != STREAM_FENCED && p != STREAM_DIVERGED && p != STREAM_DROPPED;
}

uint64_t node_chain(const struct sim *w, uint64_t before, uint64_t lsn, uint32_t value)
{
    uint8_t payload[4];

    (void)w;
    memcpy(payload, &value, sizeof payload);
    return group_chain(before, lsn, slice_make(payload, sizeof payload));
}

/* --- starting and crashing --- */

static uint64_t bytes_between(const struct sim_node *n, uint64_t from_lsn, uint64_t to_lsn)
{
    uint64_t sum = 0;

    for (uint64_t lsn = from_lsn + 1; lsn <= to_lsn; lsn++)
        sum += sim_bytes(n->hist[lsn]);
    return sum;
}

static void node_open(struct sim *w, size_t node, bool take_ownership)
{
    struct sim_node *n = &w->node[node];
    struct stream_options o = {.take_ownership = take_ownership,
                               .rpo_ms = 200 + sim_below(w, 1500),
                               .group_bytes = 400 + sim_below(w, 2500),
                               .max_in_flight = 1 + (uint32_t)sim_below(w, 5),
                               .max_retries = (uint32_t)sim_below(w, 4),
                               .base_backoff_ms = 100 + sim_below(w, 1000),
                               .max_backoff_ms = 8000,
                               .seed = sim_random(w),
                               .twins = w->twins & 0xFFFF};

    memcpy(o.collection, SIM_COLLECTION, sizeof o.collection);
    (void)snprintf(o.node_id, sizeof o.node_id, "%s", n->name);
    memcpy(o.session, &n->session, sizeof n->session);
    o.session[15] = (uint8_t)(node + 1);
    n->bytes_base_lsn = n->hint_lsn < n->durable_lsn ? n->hint_lsn : n->durable_lsn;
    n->end_lsn = n->durable_lsn;
    memset(n->remote, 0, sizeof n->remote);
    memset(n->letters, 0, sizeof n->letters);
    n->commit_id = 0;
    n->streams = true;
    fold_start(n);
    stream_init(&n->stream, &o, n->durable_lsn, bytes_between(n, n->bytes_base_lsn, n->durable_lsn),
                n->hint_lsn, w->now_ms);
    collect_open(w, node);
}

void node_start(struct sim *w, size_t node, bool take_ownership)
{
    struct sim_node *n = &w->node[node];

    if (n->up)
        return;
    n->up = true;
    n->gen++;
    n->session++;
    n->paused_until_ms = 0;
    n->crash_in = 0;
    breaker_init(&n->breaker, 100 + sim_below(w, 1000), 8000, sim_random(w));
    n->loading = n->streams = false;
    if (n->on_disk && !disk_open(w, node) &&
        w->dropper != node + 1) { /* served up to the break; who looks loads it anew */
        sim_say(w, "node %zu starts with a damaged log", node);
        n->loading = true;
        sim_at(w, w->now_ms + sim_below(w, OPERATOR_MS), EV_LOAD, node);
        return;
    }
    sim_say(w, "node %zu starts: durable %" PRIu64 " hint %" PRIu64 "%s", node, n->durable_lsn,
            n->hint_lsn, take_ownership ? " --take-ownership" : "");
    node_open(w, node, take_ownership);
    if (w->dropper == node + 1) { /* the start finds it among the dropped */
        node_step(w, node, (struct stream_event){.kind = STREAM_DROP, .wall_ns = 5});
    } else if (n->on_disk) {
        node_step(w, node, (struct stream_event){.kind = STREAM_TICK});
    } else if (n->created || node > 0) {
        n->loading = true;
        sim_at(w, w->now_ms + sim_below(w, LOAD_MS), EV_LOAD, node);
    }
}

void node_crash(struct sim *w, size_t node)
{
    struct sim_node *n = &w->node[node];
    enum sim_end how;

    if (!n->up)
        return;
    n->up = n->streams = false;
    send_forget(w, node);
    memset(n->tails, 0, sizeof n->tails);
    n->gen++;
    how = (enum sim_end)sim_below(w, 3);
    sim_say(w, "node %zu %s", node,
            how == END_STOP   ? "stops"
            : how == END_KILL ? "is killed"
                              : "loses its power");
    disk_close(w, node, how);
    if (n->on_disk && n->created && !w->settling && w->root.state != ROOT_SWITCHING &&
        sim_chance(w, 30))
        disk_rot(w, node);
    if (n->durable_lsn > 0 && w->root.state != ROOT_SWITCHING && sim_chance(w, 60)) {
        n->hint_lsn = 0; /* what is remembered is a cache */
        n->hint_chain = n->chain[0];
        n->hint_loaded = false;
    }
    sim_at(w, w->now_ms + sim_below(w, 6000), EV_START, node);
}

/* --- writes --- */

void node_write(struct sim *w, size_t node, size_t records, bool remote)
{
    struct sim_node *n = &w->node[node];
    uint64_t lsn;

    if (send_pressure(w, node) == PRESSURE_RED)
        return; /* refused, and told why */
    for (size_t i = 0; i < records; i++) {
        if (n->end_lsn >= SIM_LSNS - (w->settling ? 5u : 60u) || w->next_value >= SIM_VALUES ||
            !disk_submit(w, node, w->next_value, &lsn))
            return;
        if (lsn != n->end_lsn + 1)
            sim_fail(w, "node %zu: the log gave lsn %" PRIu64 " behind %" PRIu64, node, lsn,
                     n->end_lsn);
        n->end_lsn = lsn;
        n->hist[lsn] = w->next_value;
        n->remote[lsn] = remote;
        w->records[w->next_value++] =
            (struct sim_record){.node = (uint8_t)node, .lsn = (uint32_t)lsn};
        n->chain[lsn] = node_chain(w, n->chain[lsn - 1], lsn, n->hist[lsn]);
    }
}

void node_logged(struct sim *w, size_t node)
{
    struct sim_node *n = &w->node[node];
    uint64_t before = n->durable_lsn, remote_lsn = 0;

    disk_told(w, node);
    if (n->durable_lsn == before)
        return;
    for (uint64_t lsn = before + 1; lsn <= n->durable_lsn; lsn++)
        if (n->remote[lsn])
            remote_lsn = lsn;
    node_step(w, node,
              (struct stream_event){.kind = STREAM_LOG,
                                    .lsn = n->durable_lsn,
                                    .bytes = bytes_between(n, n->bytes_base_lsn, n->durable_lsn)});
    if (remote_lsn != 0)
        node_step(w, node, (struct stream_event){.kind = STREAM_WANT_REMOTE, .lsn = remote_lsn});
}

/* --- loading from the bucket --- */

static bool tails_wait(const struct sim_node *n)
{
    for (size_t i = 0; i < SIM_TAILS; i++)
        if (n->tails[i].used)
            return true;
    return false;
}

/* Their files and letters are on disk: as a whole, as LMDB does it. */
void node_tails(struct sim *w, size_t node)
{
    struct sim_node *n = &w->node[node];

    for (size_t i = 0; i < SIM_TAILS; i++) {
        for (uint64_t lsn = n->tails[i].first_lsn; n->tails[i].used && lsn <= n->tails[i].last_lsn;
             lsn++)
            w->records[n->hist[lsn]].lettered = (w->twins & SIM_TWIN_LOSE_TAIL) == 0;
        n->tails[i].used = false;
    }
}

/* Before a damaged log goes, what it still has and the bucket may lack is put aside. */
static void keep_damaged(struct sim *w, size_t node)
{
    struct sim_node *n = &w->node[node];

    for (uint64_t lsn = 1; lsn <= n->durable_lsn; lsn++)
        w->records[n->hist[lsn]].lettered = true;
    w->seen[SEEN_HEALED_FROM_BUCKET] = true;
}

void node_load(struct sim *w, size_t node)
{
    struct sim_node *n = &w->node[node];
    struct sim_content *c = &w->content;
    bool own;

    if (w->dropper == node + 1 && !n->streams) { /* a damaged log need not be whole to be dropped */
        node_open(w, node, false);
        node_step(w, node, (struct stream_event){.kind = STREAM_DROP, .wall_ns = 5});
    }
    if ((w->has_root && w->root.state == ROOT_DROPPED) || w->dropper == node + 1)
        return;
    if (!w->has_root || w->root.state == ROOT_SWITCHING || store_away(w) || tails_wait(n)) {
        sim_at(w, w->now_ms + 500 + sim_below(w, LOAD_MS), EV_LOAD, node);
        return;
    }
    check_read(w, c);
    if (c->problem != NULL) {
        sim_fail(w, "a restore found: %s", c->problem);
        return;
    }
    if (n->disk.damaged)
        keep_damaged(w, node);
    else if (n->on_disk)
        w->seen[SEEN_DIVERGED_RELOAD] = true;
    memcpy(n->hist, c->values, sizeof n->hist);
    disk_make(w, node, c->last_lsn);
    n->hint_lsn = c->last_lsn;
    n->hint_chain = c->chain;
    n->hint_loaded = true;
    memset(n->unreadable, 0, sizeof n->unreadable);
    n->head_kept =
        w->root.has_manifest ? gc_manifest(w, gc_id(w->root.manifest.uuid))->base_lsn : 0;
    n->chain[c->last_lsn] = c->chain;
    n->loading = false;
    sim_say(w, "node %zu loaded everything up to %" PRIu64, node, c->last_lsn);
    n->gen++; /* what was asked before is answered to nobody */
    send_forget(w, node);
    own = n->streams && n->stream.options.take_ownership;
    node_open(w, node, own);
    check_acked(w);
    if (strcmp(w->root.node_id, n->name) != 0 && !own && sim_chance(w, 700))
        node_step(w, node, (struct stream_event){.kind = STREAM_OWN});
}

void node_hint(struct sim *w, size_t node, uint64_t lsn, uint64_t chain)
{
    struct sim_node *n = &w->node[node];

    if (lsn < n->hint_lsn)
        return;
    n->hint_lsn = lsn;
    n->hint_chain = chain;
    n->hint_loaded = false;
    if (n->stream.root.state != ROOT_LIVE || !sim_chance(w, 400) || lsn < n->log_first || w->cold)
        return; /* under S3Only there is no checkpoint: folds trim the log */
    disk_trim(w, node, lsn);
    check_acked(w);
}
