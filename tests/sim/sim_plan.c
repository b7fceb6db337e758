/* What people, clients and networks do. */
#include "sim.h"

#include <string.h>

/* A process that is stopped hears nothing. */
static void tell(struct sim *w, size_t at, struct stream_event e)
{
    if (w->node[at].paused_until_ms <= w->now_ms)
        node_step(w, at, e);
}

static size_t some_node(struct sim *w)
{
    return (size_t)sim_below(w, w->nodes);
}

/* --- what people do --- */

static bool parked_encoded(const struct sim_node *n, uint64_t seq)
{
    for (size_t i = 0; i < n->stream.seal_count; i++)
        if (n->stream.seals[i].seq == seq)
            return n->stream.seals[i].encoded;
    return true;
}

static void plan_discard(struct sim *w)
{
    for (size_t at = 0; at < w->nodes; at++) {
        struct sim_node *n = &w->node[at];

        for (size_t i = 0; i < SIM_LETTERS && n->up; i++) {
            struct sim_letter l = n->letters[i];

            if (!l.used || n->stream.phase != STREAM_OWNED || n->paused_until_ms > w->now_ms)
                continue;
            for (uint64_t lsn = l.first_lsn; lsn <= l.last_lsn; lsn++) {
                w->records[n->hist[lsn]].discarded = true;
                n->unreadable[lsn] = n->unreadable[lsn] || !parked_encoded(n, l.seq);
                n->remote[lsn] = false; /* who waits for it is answered: durable locally */
            }
            tell(w, at,
                 (struct stream_event){
                     .kind = STREAM_DISCARD, .first_lsn = l.first_lsn, .last_lsn = l.last_lsn});
            return;
        }
    }
}

static void plan_lose_disk(struct sim *w, size_t at)
{
    struct sim_node *n = &w->node[at];

    if (!n->created && at == 0)
        return;
    if (w->root.state == ROOT_SWITCHING)
        return;
    node_crash(w, at);
    for (uint32_t v = 1; v < w->next_value; v++)
        if (w->records[v].node == at && w->records[v].acked)
            w->records[v].disk_lost = true;
    disk_free(n);
    n->on_disk = false;
    n->hint_lsn = 0;
    n->durable_lsn = n->end_lsn = 0;
    n->log_first = 1;
    sim_say(w, "node %zu lost its disk", at);
}

static void plan_come_or_take(struct sim *w, size_t at)
{
    struct sim_node *n = &w->node[at];

    if (!n->up && !n->on_disk && w->node[0].created)
        node_start(w, at, sim_chance(w, 400));
    else if (n->up && !n->loading)
        tell(w, at, (struct stream_event){.kind = sim_chance(w, 500) ? STREAM_TAKE : STREAM_OWN});
}

static void plan_drop(struct sim *w, size_t at)
{
    if (!w->node[at].up || w->node[at].paused_until_ms > w->now_ms)
        return;
    sim_say(w, "node %zu drops the collection", at);
    w->dropper = at + 1;
    tell(w, at, (struct stream_event){.kind = STREAM_DROP, .wall_ns = 5});
}

static void plan_network(struct sim *w)
{
    uint64_t until = w->now_ms + 500 + sim_below(w, 15000);

    switch (sim_below(w, 7)) {
    case 0:
    case 1:
        w->outage_until_ms = until;
        break;
    case 3:
        w->throttle_until_ms = until;
        break;
    case 4:
        w->full_until_ms = until;
        break;
    case 5:
        w->slow_until_ms = until;
        break;
    case 2:
        w->deny_until_ms = until;
        w->deny_all = w->node[0].created && sim_chance(w, 200);
        break;
    default:
        if (sim_chance(w, 300))
            w->miss_until_ms = until;
        break;
    }
}

static void plan_zombie(struct sim *w, size_t at)
{
    struct sim_node *n = &w->node[at];

    if (!n->up)
        return;
    n->paused_until_ms = w->now_ms + 500 + sim_below(w, 30000);
    sim_say(w, "node %zu is stopped until %llu", at, (unsigned long long)n->paused_until_ms);
}

static void plan_write(struct sim *w, size_t at)
{
    struct sim_node *n = &w->node[at];

    if (node_takes_writes(n) && n->paused_until_ms <= w->now_ms && (n->created || at > 0))
        node_write(w, at, 1 + sim_below(w, 4), sim_chance(w, 300));
}

/* It stands still between two of its steps; another node takes. */
void plan_overtake(struct sim *w, size_t at)
{
    size_t other = (at + 1) % w->nodes;

    if (w->settling || w->node[at].collect.at == COLLECT_AT_REST) {
        collect_begin(w, at);
        return;
    }
    w->node[at].paused_until_ms = w->now_ms + 500 + sim_below(w, 10000);
    if (other != at && w->node[other].up && w->node[other].streams && !w->node[other].loading)
        tell(w, other, (struct stream_event){.kind = STREAM_TAKE});
}

static void plan_odd(struct sim *w, size_t at)
{
    struct sim_node *n = &w->node[at];

    switch (sim_below(w, 11)) {
    case 10:
        if (n->up && (n->created || at > 0))
            disk_trouble(w, at);
        break;
    case 0:
        if (n->created || at > 0)
            node_crash(w, at);
        break;
    case 1:
        if (n->created || at > 0)
            n->crash_in = 1 + sim_below(w, 12);
        break;
    case 2:
        plan_zombie(w, at);
        break;
    case 3:
        plan_come_or_take(w, at);
        break;
    case 4:
        plan_network(w);
        break;
    case 5:
        tell(w, at, (struct stream_event){.kind = STREAM_RETRY});
        break;
    case 6:
        plan_discard(w);
        break;
    case 7:
        plan_overtake(w, at);
        break;
    case 8:
        if (sim_chance(w, 100))
            plan_lose_disk(w, at);
        break;
    default:
        tell(w, at, (struct stream_event){.kind = STREAM_FLUSH});
        break;
    }
}

void plan_one(struct sim *w)
{
    size_t at = some_node(w);
    uint64_t what = sim_below(w, 100);

    if (w->settling)
        return;
    if (w->will_drop && w->dropper == 0 && w->node[0].created && sim_chance(w, 10))
        plan_drop(w, at);
    if (what < w->calm)
        plan_write(w, sim_chance(w, 700) ? 0 : at);
    else if (what < w->calm + w->publishes)
        publish_begin(w, at);
    else if (what < w->calm + 2 * w->publishes)
        collect_begin(w, at);
    else if (what < w->calm + 3 * w->publishes)
        reader_begin(w, sim_chance(w, 400));
    else
        plan_odd(w, at);
    check_acked(w);
    if (w->now_ms < w->end_ms)
        (void)sim_at(w, w->now_ms + 1 + sim_below(w, 700), EV_PLAN, 0);
}
