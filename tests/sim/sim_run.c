/* One seed: a collection is made, things happen to it; then all faults end and everything has to
 * come together. */
#include "sim.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

enum {
    PLAN_MS_MIN = 30000,
    PLAN_MS_MORE = 120000,
    STEPS_MAX = 60000,
    FAILURES_A_SECOND = 40,
};

/* --- the clock --- */

/* An outage is not answered with a storm. */
static void count_failure(struct sim *w, size_t node)
{
    struct sim_node *n = &w->node[node];

    if (n->second != w->now_ms / 1000) {
        n->second = w->now_ms / 1000;
        n->second_failures = 0;
    }
    if (++n->second_failures > FAILURES_A_SECOND)
        sim_fail(w, "node %zu: more than %d requests failed in a second", node, FAILURES_A_SECOND);
}

static void answer(struct sim *w, struct sim_request *r)
{
    struct stream_event e = r->answer;
    bool stale = w->node[r->node].gen != r->gen;
    bool lost = !r->replace && !r->applied;

    if (r->collects) {
        collect_answer(w, r);
        store_forget(w, r);
        return;
    }
    if (r->replace) {
        struct stream_event other = {.kind = e.kind, .token = e.token};

        e = other;
        e.class = r->class;
        e.maybe_applied = r->maybe;
        e.retry_after_ms = r->retry_after_ms;
    } else if (e.class == OBJSTORE_OK && e.kind == STREAM_ROOT_READ) {
        e.root = &r->answer_root;
    }
    e.etag = r->answer_etag;
    if (lost)
        sim_fail(w, "a request was answered before it was applied");
    send_answered(w, r, e.class);
    if (!stale) {
        if (objstore_class_retries(e.class) || e.class == OBJSTORE_PERMANENT)
            count_failure(w, r->node);
        if (e.kind == STREAM_ROOT_DONE && e.class == OBJSTORE_PRECONDITION &&
            memcmp(w->root.nonce, r->root.nonce, 16) == 0)
            w->seen[SEEN_COMMIT_RESOLVED] = true;
        node_step(w, r->node, e);
    }
    send_pump(w, r->node);
    store_forget(w, r);
}

static void happen(struct sim *w, struct sim_event *e)
{
    struct sim_node *n = &w->node[e->node];
    bool process = e->kind != EV_APPLY && e->kind != EV_START && e->kind != EV_PLAN &&
                   e->kind != EV_SPACE && e->kind != EV_READER;

    if (process && n->up && e->gen == n->gen && n->paused_until_ms > w->now_ms) {
        struct sim_event *later = sim_at(w, n->paused_until_ms, e->kind, e->node);

        e->at_ms = later->at_ms; /* in the order they came in */
        *later = *e;
        return;
    }
    if (process && e->kind != EV_ANSWER && e->gen != n->gen)
        return;
    switch (e->kind) {
    case EV_APPLY:
        store_apply(w, &w->requests[e->request]);
        store_forget(w, &w->requests[e->request]);
        break;
    case EV_ANSWER:
        answer(w, &w->requests[e->request]);
        break;
    case EV_TICK:
        node_step(w, e->node, (struct stream_event){.kind = STREAM_TICK});
        break;
    case EV_SYNC:
        disk_write(w, e->node);
        break;
    case EV_LOGGED:
        node_logged(w, e->node);
        break;
    case EV_IDLE:
        disk_idle(w, e->node);
        break;
    case EV_SPACE:
        disk_well(w, e->node);
        break;
    case EV_PUBLISH_BEGIN:
        publish_begin(w, e->node);
        break;
    case EV_COLLECT_BEGIN:
        collect_begin(w, e->node);
        break;
    case EV_GIVE_UP:
        fold_give_up(w, e->node, e->lsn);
        break;
    case EV_PUBLISH:
        publish_step(w, e->node);
        break;
    case EV_COLLECT:
        collect_tick(w, e->node);
        break;
    case EV_MARKED:
        collect_marked(w, e->node, e->local.class);
        break;
    case EV_READER:
        reader_step(w, e->request);
        break;
    case EV_PUMP:
        send_pump(w, e->node);
        break;
    case EV_TAIL:
        node_tails(w, e->node);
        break;
    case EV_LOCAL:
        node_step(w, e->node, e->local);
        break;
    case EV_HINT:
        node_hint(w, e->node, e->lsn, e->chain);
        break;
    case EV_START:
        node_start(w, e->node, sim_chance(w, 150));
        break;
    case EV_LOAD:
        node_load(w, e->node);
        break;
    case EV_PLAN:
        plan_one(w);
        break;
    }
}

static void run_until(struct sim *w, uint64_t until_ms)
{
    struct sim_event e;

    while (!w->failed && sim_next(w, &e)) {
        if (e.at_ms > until_ms) {
            *sim_at(w, e.at_ms, e.kind, e.node) = e;
            break;
        }
        w->now_ms = e.at_ms;
        happen(w, &e);
        if (w->steps > STEPS_MAX)
            sim_fail(w, "more than %d steps", STEPS_MAX);
    }
    w->now_ms = until_ms;
}

/* --- the beginning and the end --- */

static void faults_begin(struct sim *w)
{
    uint32_t badness = (uint32_t)sim_below(w, 4); /* 0: a good network */

    w->faults = (struct sim_faults){.lost_before = badness * (uint32_t)sim_below(w, 25),
                                    .lost_after = badness * (uint32_t)sim_below(w, 40),
                                    .late = badness * (uint32_t)sim_below(w, 25),
                                    .twice = badness * (uint32_t)sim_below(w, 30),
                                    .error = badness * (uint32_t)sim_below(w, 40),
                                    .conflict = badness * (uint32_t)sim_below(w, 30),
                                    .miss = badness * (uint32_t)sim_below(w, 25),
                                    .bad = badness * (uint32_t)sim_below(w, 20),
                                    .encode = badness * (uint32_t)sim_below(w, 10),
                                    .partial = badness * (uint32_t)sim_below(w, 30)};
    if (sim_chance(w, 500))
        w->unshipped_bytes_max = 6000 + sim_below(w, 50000);
    w->segment_next = 1;
    w->keep_ms = sim_chance(w, 500) ? 0 : sim_below(w, 30000);
    w->keep_versions = 1 + (uint32_t)sim_below(w, 3);
    w->grace_ms = sim_chance(w, 300) ? 0 : sim_below(w, 10000);
    if (w->publishes > 10) {
        w->keep_ms = 0;
        w->keep_versions = 1;
        w->grace_ms /= 10;
    }
    if (sim_chance(w, 300)) {
        w->disk_reserve = 10000;
        w->disk_bytes = 60000 + sim_below(w, 200000);
    }
}

static void begin(struct sim *w)
{
    struct sim_node *n = &w->node[0];
    struct stream_event e = {.kind = STREAM_CREATE, .root_state = ROOT_LIVE};

    for (size_t i = 0; i < w->nodes; i++) {
        (void)snprintf(w->node[i].name, sizeof w->node[i].name, "%c",
                       w->same_name ? 'a' : (char)('a' + i));
        w->node[i].world = w;
        w->node[i].wall_off_ms = (int64_t)sim_below(w, 36000000) - 18000000;
        w->node[i].log_first = 1;
        w->node[i].chain[0] = group_chain_start(SIM_COLLECTION);
        w->node[i].hint_chain = w->node[i].chain[0];
    }
    disk_make(w, 0, 0);
    if (w->switching) {
        n->up = true;
        node_write(w, 0, 1 + sim_below(w, 6), false);
        disk_write(w, 0);
        node_logged(w, 0);
        n->up = false;
        w->event_count = 0;
        e.root_state = ROOT_SWITCHING;
        e.floor_lsn = n->durable_lsn;
        n->hint_lsn = n->durable_lsn;
        n->hint_chain = n->chain[n->durable_lsn];
    }
    disk_close(w, 0, END_STOP);
    e.chain = n->chain[n->durable_lsn];
    node_start(w, 0, false);
    node_step(w, 0, e);
    (void)sim_at(w, w->now_ms + 200, EV_PLAN, 0);
}

/* Whoever the root names goes on; if nobody of that name is left that may, a person decides. */
static size_t heir(struct sim *w)
{
    for (size_t i = 0; i < w->nodes; i++)
        if (w->node[i].up && memcmp(w->node[i].stream.options.session, w->root.session, 16) == 0)
            return i;
    for (size_t i = 0; i < w->nodes; i++)
        if (w->node[i].up && w->node[i].on_disk && strcmp(w->node[i].name, w->root.node_id) == 0)
            return i;
    return 0;
}

static void settle_faults(struct sim *w)
{
    w->settling = true;
    memset(&w->faults, 0, sizeof w->faults);
    w->outage_until_ms = w->throttle_until_ms = w->full_until_ms = w->slow_until_ms = 0;
    w->deny_until_ms = 0;
    w->unshipped_bytes_max = w->disk_reserve = 0;
    if (w->miss_until_ms > w->now_ms)
        w->miss_until_ms = w->now_ms;
    for (size_t i = 0; i < w->nodes; i++) {
        w->node[i].paused_until_ms = 0;
        w->node[i].crash_in = 0;
        disk_well(w, i);
    }
    sim_say(w, "faults end");
    run_until(w, w->now_ms + 200000); /* what is late arrives, what crashed starts */
}

static void settle_phase(struct sim *w, size_t at)
{
    struct sim_node *n = &w->node[at];

    if (n->stream.phase == STREAM_HALTED || n->stream.phase == STREAM_ROOT_LOST)
        node_step(w, at, (struct stream_event){.kind = STREAM_RETRY});
    else if (n->stream.phase == STREAM_FOREIGN || n->stream.phase == STREAM_FENCED)
        node_step(w, at, (struct stream_event){.kind = STREAM_TAKE});
    run_until(w, w->now_ms + 60000);
}

/* What nothing needs is gone in the end. */
static void collect_all(struct sim *w, size_t at)
{
    struct sim_node *n = &w->node[at];

    for (size_t i = 0; i < SIM_READERS; i++)
        w->readers[i].on = false;
    run_until(w, w->now_ms + w->keep_ms + 60000);
    if (w->root.state == ROOT_SWITCHING) /* nothing was replaced yet */
        return;
    n->collect_class = OBJSTORE_CANCELLED;
    for (int run = 0; run < 4 && !w->failed; run++) { /* one may have been under way, or crash */
        if (run > 1 && n->collect_class == OBJSTORE_OK)
            break;
        if (n->stream.phase == STREAM_IDLE)
            node_step(w, at, (struct stream_event){.kind = STREAM_OWN});
        run_until(w, w->now_ms + 60000);
        collect_begin(w, at);
        for (int i = 0; i < 60 && !w->failed && n->collect.at != COLLECT_AT_REST; i++)
            run_until(w, w->now_ms + 200000);
    }
    if (!w->failed && (n->collect.at != COLLECT_AT_REST || n->collect_class != OBJSTORE_OK))
        sim_fail(w, "at the end node %zu has not collected: %s, %s, %s", at,
                 collect_step_name(n->collect.at), objstore_class_name(n->collect_class),
                 n->collect.reason);
    if (!w->failed)
        gc_check_end(w);
}

static void settle(struct sim *w)
{
    uint64_t effects, requests;
    struct sim_node *n;
    size_t at;

    settle_faults(w);
    if (w->root.state == ROOT_SWITCHING) {
        settle_phase(w, heir(w));
        node_write(w, heir(w), 1, false);
        run_until(w, w->now_ms + 60000);
        publish_begin(w, heir(w));
        run_until(w, w->now_ms + 60000);
    }
    run_until(w, w->now_ms + 400000); /* parked seals and lost roots are tried again */
    at = heir(w);
    n = &w->node[at];
    n->flushed = false;
    for (int i = 0; i < 5 && !w->failed && !(n->stream.phase == STREAM_OWNED && n->flushed); i++) {
        settle_phase(w, at);
        if (node_takes_writes(n))
            node_write(w, at, 3, true);
        run_until(w, w->now_ms + 5000);
        n->flushed = false;
        node_step(w, at, (struct stream_event){.kind = STREAM_FLUSH});
        run_until(w, w->now_ms + 60000);
    }
    if (!w->failed && (n->stream.phase != STREAM_OWNED || !n->flushed))
        sim_fail(w, "at the end node %zu is %s (%s; %s) and has%s flushed", at,
                 stream_phase_name(n->stream.phase), n->stream.reason, n->stream.trouble,
                 n->flushed ? "" : " not");
    if (w->failed)
        return;
    check_same(w, at);
    check_acked(w);
    for (size_t i = 0; i < SIM_LETTERS; i++)
        if (n->letters[i].used)
            sim_fail(w, "at the end node %zu has a letter for what is in the bucket", at);
    collect_all(w, at);
    run_until(w, w->now_ms + 400000);
    requests = w->request_count;
    effects = n->effects;
    run_until(w, w->now_ms + 1000000);
    if (w->request_count != requests || n->effects != effects)
        sim_fail(w, "nothing is to be done, and %llu requests were sent",
                 (unsigned long long)(w->request_count - requests));
}

/* Whatever happens meanwhile, and whoever owned it: in the end the root says so and stays so. */
static void drop(struct sim *w, size_t at)
{
    struct sim_node *n = &w->node[at];

    w->dropper = at + 1;
    for (int i = 0; i < 3 && w->root.state != ROOT_DROPPED; i++) {
        if (n->stream.phase == STREAM_DROPPED) /* it was not found: the next start looks again */
            node_crash(w, at);
        else if (!n->stream.core.drop_wanted)
            node_step(w, at, (struct stream_event){.kind = STREAM_DROP, .wall_ns = 5});
        run_until(w, w->now_ms + 200000);
    }
    run_until(w, w->now_ms + 60000);
    if (!w->failed && (w->root.state != ROOT_DROPPED || n->stream.phase != STREAM_DROPPED))
        sim_fail(w, "the collection was dropped, and its root says %d", (int)w->root.state);
    if (!w->failed)
        collect_all(w, at);
}

static void finish(struct sim *w)
{
    size_t at = (size_t)sim_below(w, w->nodes);

    if (w->dropper != 0) {
        w->seen[SEEN_DROPPED_UNDER_FAULTS] = true;
        settle_faults(w);
        drop(w, w->dropper - 1);
        return;
    }
    settle(w);
    if (!w->failed && w->node[at].up && w->has_root && sim_chance(w, 200))
        drop(w, at);
}

void sim_run(struct sim *w, const struct sim_options *options)
{
    bool seen[SEEN_COUNT];

    for (size_t i = 0; i < SIM_NODES; i++)
        disk_free(&w->node[i]), collect_fini(&w->node[i].collect);
    memcpy(seen, w->seen, sizeof seen);
    memset(w, 0, offsetof(struct sim, events));
    for (size_t i = 0; i < SIM_REQUESTS; i++)
        w->requests[i].used = w->requests[i].waits = false;
    memcpy(w->seen, seen, sizeof seen);
    w->seed = w->random = options->seed;
    w->twins = options->twins;
    w->trace = options->trace;
    w->crash_at = options->crash_at;
    w->cold = options->cold;
    w->now_ms = 1000;
    w->next_value = 1;
    w->nodes = 1 + (size_t)sim_below(w, SIM_NODES);
    w->same_name = sim_chance(w, 250);
    w->switching = sim_chance(w, 200);
    w->will_drop = sim_chance(w, 80);
    w->calm = 30 + sim_below(w, 60);
    w->publishes = 3;
    if (sim_chance(w, 300)) { /* much is replaced, and nothing kept for long */
        w->calm = 30;
        w->publishes = 16;
    }
    faults_begin(w);
    begin(w);
    w->end_ms = w->now_ms + PLAN_MS_MIN + sim_below(w, PLAN_MS_MORE);
    run_until(w, w->end_ms);
    if (!w->failed)
        finish(w);
}
