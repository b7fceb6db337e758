/* A node's disk and process. What its disk has survives a crash, but for what was not synced; of
 * that a part may survive too. */
#include "sim.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { SYNC_MS = 12, LOAD_MS = 400 };

bool node_takes_writes(const struct sim_node *n)
{
    enum stream_phase p = n->stream.phase;

    return n->up && n->on_disk && !n->loading && !n->stream.core.drop_wanted &&
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
    stream_init(&n->stream, &o, n->durable_lsn, bytes_between(n, n->bytes_base_lsn, n->durable_lsn),
                n->hint_lsn, w->now_ms);
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
    n->loading = false;
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

static void append(struct sim *w, struct sim_node *n, uint64_t lsn)
{
    n->chain[lsn] = node_chain(w, n->chain[lsn - 1], lsn, n->hist[lsn]);
}

void node_crash(struct sim *w, size_t node)
{
    struct sim_node *n = &w->node[node];

    if (!n->up)
        return;
    n->up = false;
    n->gen++;
    if (n->end_lsn > n->durable_lsn) /* not acknowledged, and still there after the start */
        n->durable_lsn += sim_below(w, n->end_lsn - n->durable_lsn + 1);
    if (n->durable_lsn > 0 && w->root.state != ROOT_SWITCHING && sim_chance(w, 60)) {
        n->hint_lsn = 0; /* what is remembered is a cache */
        n->hint_chain = n->chain[0];
        n->hint_loaded = false;
    }
    sim_say(w, "node %zu crashes", node);
    sim_at(w, w->now_ms + sim_below(w, 6000), EV_START, node);
}

/* --- writes --- */

void node_write(struct sim *w, size_t node, size_t records, bool remote)
{
    struct sim_node *n = &w->node[node];
    struct sim_event *e;

    for (size_t i = 0; i < records; i++) {
        if (n->end_lsn >= SIM_LSNS - (w->settling ? 5u : 60u) || w->next_value >= SIM_VALUES)
            return;
        n->end_lsn++;
        n->hist[n->end_lsn] = w->next_value;
        n->remote[n->end_lsn] = remote;
        w->records[w->next_value++] =
            (struct sim_record){.node = (uint8_t)node, .lsn = (uint32_t)n->end_lsn};
        append(w, n, n->end_lsn);
    }
    e = sim_at(w, w->now_ms + 1 + sim_below(w, SYNC_MS), EV_SYNC, node);
    e->lsn = n->end_lsn;
    if (remote)
        node_step(w, node, (struct stream_event){.kind = STREAM_WANT_REMOTE, .lsn = n->end_lsn});
}

void node_sync(struct sim *w, size_t node, uint64_t lsn)
{
    struct sim_node *n = &w->node[node];

    if (lsn <= n->durable_lsn || lsn > n->end_lsn)
        return;
    for (uint64_t i = n->durable_lsn + 1; i <= lsn; i++)
        w->records[n->hist[i]].acked = true;
    n->durable_lsn = lsn;
    node_step(w, node,
              (struct stream_event){.kind = STREAM_LOG,
                                    .lsn = lsn,
                                    .bytes = bytes_between(n, n->bytes_base_lsn, lsn)});
}

/* --- loading from the bucket --- */

void node_load(struct sim *w, size_t node)
{
    struct sim_node *n = &w->node[node];
    struct sim_content *c = &w->content;
    bool own;

    if (w->has_root && w->root.state == ROOT_DROPPED)
        return;
    if (!w->has_root || w->root.state == ROOT_SWITCHING || store_away(w)) {
        sim_at(w, w->now_ms + 500 + sim_below(w, LOAD_MS), EV_LOAD, node);
        return;
    }
    check_read(w, c);
    if (c->problem != NULL) {
        sim_fail(w, "a restore found: %s", c->problem);
        return;
    }
    if (n->on_disk)
        w->seen[SEEN_DIVERGED_RELOAD] = true;
    memcpy(n->hist, c->values, sizeof n->hist);
    n->durable_lsn = c->last_lsn;
    n->log_first = c->last_lsn + 1;
    n->hint_lsn = c->last_lsn;
    n->hint_chain = c->chain;
    n->hint_loaded = true;
    memset(n->unreadable, 0, sizeof n->unreadable);
    n->chain[c->last_lsn] = c->chain;
    n->on_disk = true;
    n->loading = false;
    sim_say(w, "node %zu loaded everything up to %" PRIu64, node, c->last_lsn);
    n->gen++; /* what was asked before is answered to nobody */
    own = n->stream.options.take_ownership;
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
    if (n->stream.root.state != ROOT_LIVE || !sim_chance(w, 400) || lsn < n->log_first)
        return;
    n->log_first = lsn + 1;
    check_acked(w);
}
