/* The shell of a simulated node: carries the core's effects out as docs/protocol.md says. */
#include "sim.h"

#include "base/hash.h"

#include <inttypes.h>
#include <string.h>

enum { LOCAL_MS = 5, LOAD_MS = 400, TAIL_MS = 1000 };

static void local_answer(struct sim *w, size_t node, struct stream_event e)
{
    sim_at(w, w->now_ms + 1 + sim_below(w, LOCAL_MS), EV_LOCAL, node)->local = e;
}

static void do_encode(struct sim *w, size_t node, const struct stream_effect *effect)
{
    struct sim_node *n = &w->node[node];
    struct stream_event e = {
        .kind = STREAM_ENCODED, .token = effect->token, .first_lsn = effect->first_lsn};
    uint64_t chain = effect->chain_before;

    if (effect->first_lsn < n->log_first || effect->last_lsn > n->durable_lsn ||
        !disk_has(w, node, effect->first_lsn, effect->last_lsn)) {
        sim_fail(w, "node %zu is to encode %" PRIu64 "..%" PRIu64 ", which its log has not", node,
                 effect->first_lsn, effect->last_lsn);
        return;
    }
    if (sim_chance(w, w->faults.encode)) {
        e.class = OBJSTORE_INTEGRITY;
        local_answer(w, node, e);
        return;
    }
    e.last_lsn = effect->first_lsn - 1;
    while (e.last_lsn < effect->last_lsn &&
           e.last_lsn - effect->first_lsn + 1 < SIM_GROUP_RECORDS &&
           e.bytes < n->stream.options.group_bytes) {
        e.last_lsn++;
        e.bytes += sim_bytes(n->hist[e.last_lsn]);
        chain = node_chain(w, chain, e.last_lsn, n->hist[e.last_lsn]);
    }
    e.chain = chain;
    e.crc = (uint32_t)hash_u64(chain ^ e.last_lsn);
    local_answer(w, node, e);
}

/* The hint's chain taken on over the log to T (tiering/stream.h, enum stream_local); where that
 * cannot be, the last group's own records. */
static bool same_chain(struct sim *w, const struct sim_node *n, const struct stream_effect *effect)
{
    uint64_t from = n->hint_lsn, chain = n->hint_chain;
    bool by_group = from + 1 < n->log_first;

    for (uint64_t lsn = from + 1; lsn <= effect->last_lsn; lsn++)
        by_group = by_group || n->unreadable[lsn];
    if ((w->twins & SIM_TWIN_CHECK_REACHES) != 0)
        return true;
    if (by_group && (effect->seq == 0 || effect->first_lsn < n->log_first))
        return false;
    if (by_group) {
        from = effect->first_lsn - 1;
        chain = effect->chain_before;
        w->seen[SEEN_HINT_LOST] = w->seen[SEEN_HINT_LOST] || n->hint_lsn == 0;
    }
    for (uint64_t lsn = from + 1; lsn <= effect->last_lsn; lsn++) {
        if (effect->gap && n->unreadable[lsn] && lsn == effect->first_lsn &&
            chain == effect->chain_before)
            return true;
        chain = node_chain(w, chain, lsn, n->hist[lsn]);
    }
    return chain == effect->chain;
}

static void do_check_local(struct sim *w, size_t node, const struct stream_effect *effect)
{
    struct sim_node *n = &w->node[node];
    struct stream_event e = {.kind = STREAM_LOCAL_CHECKED, .token = effect->token};
    uint64_t end = effect->last_lsn;

    e.lsn = n->hint_lsn;
    if (end < n->hint_lsn && !n->hint_loaded) {
        e.local = STREAM_LOCAL_AHEAD;
    } else if (n->stream.remote_lsn < n->hint_lsn) { /* it had lost its end when it was opened */
        e.lsn = n->stream.remote_lsn;
        e.local = n->durable_lsn > e.lsn ? STREAM_LOCAL_DIVERGED : STREAM_LOCAL_BEHIND;
    } else if (end < n->hint_lsn)
        e.local = STREAM_LOCAL_DIVERGED;
    else if (n->durable_lsn < end)
        e.local = n->durable_lsn <= n->hint_lsn ? STREAM_LOCAL_BEHIND : STREAM_LOCAL_DIVERGED;
    else
        e.local = same_chain(w, n, effect) ? STREAM_LOCAL_SAME : STREAM_LOCAL_DIVERGED;
    sim_say(w, "node %zu compares with %" PRIu64 ": %d", node, end, (int)e.local);
    local_answer(w, node, e);
}

static void do_put_group(struct sim *w, size_t node, const struct stream_effect *effect)
{
    struct sim_node *n = &w->node[node];
    uint32_t values[SIM_GROUP_RECORDS] = {0};

    if (!effect->gap) {
        if (effect->first_lsn < n->log_first)
            sim_fail(w, "node %zu is to put lsns its log has not any more", node);
        if (effect->last_lsn - effect->first_lsn >= SIM_GROUP_RECORDS) {
            sim_fail(w, "node %zu: a group of too many records", node);
            return;
        }
        for (uint64_t lsn = effect->first_lsn; lsn <= effect->last_lsn; lsn++)
            values[lsn - effect->first_lsn] = n->hist[lsn];
    }
    send_request(w, node, effect, values);
}

static void do_remote(struct sim *w, size_t node, const struct stream_effect *effect)
{
    struct sim_node *n = &w->node[node];
    struct sim_event *e;

    check_remote(w, node, effect->lsn);
    for (uint64_t lsn = 1; lsn <= effect->lsn; lsn++) {
        if (!n->remote[lsn])
            continue;
        n->remote[lsn] = false;
        w->records[n->hist[lsn]].acked_remote = true;
    }
    e = sim_at(w, w->now_ms + sim_below(w, 300), EV_HINT, node);
    e->lsn = effect->lsn;
    e->chain = effect->chain;
}

static struct sim_letter *letter_of(struct sim_node *n, const struct stream_effect *effect)
{
    for (size_t i = 0; i < SIM_LETTERS; i++)
        if (n->letters[i].used && n->letters[i].epoch == effect->epoch &&
            n->letters[i].seq == effect->seq)
            return &n->letters[i];
    return NULL;
}

static void do_letter(struct sim *w, size_t node, const struct stream_effect *effect)
{
    struct sim_node *n = &w->node[node];
    struct sim_letter *l = letter_of(n, effect);

    for (size_t i = 0; i < SIM_LETTERS && l == NULL; i++)
        if (!n->letters[i].used)
            l = &n->letters[i];
    if (effect->last_lsn == 0)
        return;
    if (l == NULL) {
        sim_fail(w, "the simulator has no room for more letters");
        return;
    }
    *l = (struct sim_letter){true, effect->epoch, effect->seq, effect->first_lsn, effect->last_lsn};
}

static void do_letter_out(struct sim *w, size_t node, const struct stream_effect *effect)
{
    struct sim_node *n = &w->node[node];
    struct sim_letter *l = letter_of(n, effect);

    if (l == NULL) {
        sim_fail(w, "node %zu: a letter that is not there goes out", node);
        return;
    }
    l->used = false;
    if (n->stream.phase == STREAM_OWNED && !effect->gap)
        w->seen[SEEN_PARKED_AND_STORED] = true;
}

static void do_diverged(struct sim *w, size_t node, const struct stream_effect *effect)
{
    struct sim_node *n = &w->node[node];

    w->seen[SEEN_DIVERGENT_TAIL] = true;
    sim_say(w, "node %zu: divergent tail %" PRIu64 "..%" PRIu64, node, effect->first_lsn,
            effect->last_lsn);
    if ((effect->first_lsn < n->log_first && n->hint_lsn != 0) || effect->last_lsn > n->durable_lsn)
        sim_fail(w, "node %zu: a letter for lsns the log has not", node);
    for (size_t i = 0; i < SIM_TAILS; i++) {
        if (n->tails[i].used)
            continue;
        n->tails[i] =
            (struct sim_letter){true, effect->epoch, 0, effect->first_lsn, effect->last_lsn};
        sim_at(w, w->now_ms + sim_below(w, TAIL_MS), EV_TAIL, node);
        return;
    }
    sim_fail(w, "the simulator has no room for more tails");
}

static bool root_is_lost(const char *reason)
{
    return strstr(reason, "no root") != NULL;
}

static void do_phase(struct sim *w, size_t node)
{
    struct sim_node *n = &w->node[node];
    const struct stream *s = &n->stream;
    bool waits = false;

    sim_say(w, "node %zu is %s: %s", node, stream_phase_name(s->phase), s->reason);
    for (uint64_t lsn = 1; lsn <= n->end_lsn; lsn++)
        waits = waits || n->remote[lsn];
    if (s->phase == STREAM_OWNED)
        fold_open(w, node, &s->root);
    if (s->phase == STREAM_OWNED && !w->settling && sim_chance(w, 400))
        sim_at(w, w->now_ms + 1 + sim_below(w, 3000), EV_PUBLISH_BEGIN, node);
    if (s->phase == STREAM_FENCED && waits)
        w->seen[SEEN_FENCED_WHILE_REMOTE_WAITS] = true;
    if (s->phase == STREAM_FENCED && w->same_name)
        w->seen[SEEN_SAME_NAME_FENCED] = true;
    if (s->phase == STREAM_FOREIGN)
        w->seen[SEEN_FOREIGN] = true;
    if (s->phase == STREAM_OWNED && w->miss_until_ms != 0)
        w->seen[SEEN_ROOT_LOST_AND_FOUND] = true;
    if (s->phase == STREAM_HALTED) {
        if (strstr(s->reason, "bytes are wrong") == NULL)
            sim_fail(w, "node %zu halted: %s", node, s->reason);
        w->seen[SEEN_HALTED_BY_BAD_BYTES] = true;
    }
    if (s->phase == STREAM_DIVERGED) {
        n->loading = true;
        sim_at(w, w->now_ms + 50 + sim_below(w, LOAD_MS), EV_LOAD, node);
    }
}

static void do_committed(struct sim *w, size_t node, const struct stream_effect *effect)
{
    struct sim_node *n = &w->node[node];
    bool decided = (n->stream.phase == STREAM_OWNED || n->stream.phase == STREAM_FENCED) &&
                   !n->stream.core.drop_wanted;

    sim_say(w, "node %zu: committed: %s", node, objstore_class_name(effect->class));
    for (size_t i = 0; i < w->manifest_count; i++) {
        struct sim_manifest *m = &w->manifests[i];

        if (m->id != n->commit_id)
            continue;
        if (effect->class == OBJSTORE_OK && !m->named)
            sim_fail(w, "node %zu: a commit that never stood in the root was confirmed", node);
        if (effect->class == OBJSTORE_PRECONDITION && decided && !root_is_lost(n->stream.reason)) {
            bool told_too_late = n->stream.root.revision > m->revision + ROOT_NONCES_MAX;

            if (m->named && !told_too_late)
                sim_fail(w, "node %zu: a commit that stands in the root was refused", node);
            m->refused = !m->named;
        }
    }
    if (w->cold && (effect->class == OBJSTORE_OK || (w->twins & SIM_TWIN_FOLD_FENCED) != 0) &&
        gc_manifest(w, n->commit_id) != NULL)
        fold_done(w, node, gc_manifest(w, n->commit_id));
    else if (n->stream.phase == STREAM_OWNED) /* it may stand there all the same */
        fold_open(w, node, &n->stream.root);
    n->commit_id = 0;
    if (effect->class == OBJSTORE_OK && !w->settling && sim_chance(w, 500))
        sim_at(w, w->now_ms + 1 + sim_below(w, 3000), EV_COLLECT_BEGIN, node);
}

static void do_discarded(struct sim *w, size_t node, const struct stream_effect *effect)
{
    sim_say(w, "node %zu: discarded %" PRIu64 "..%" PRIu64 ": %s gap %d", node, effect->first_lsn,
            effect->last_lsn, objstore_class_name(effect->class), effect->gap);
    if (effect->class == OBJSTORE_OK && !effect->gap)
        w->seen[SEEN_DISCARDED_BUT_STORED] = true;
}

static void do_request(struct sim *w, size_t node, const struct stream_effect *effect)
{
    if (effect->kind == STREAM_DO_PUT_GROUP)
        do_put_group(w, node, effect);
    else
        send_request(w, node, effect, NULL);
}

static void do_effect(struct sim *w, size_t node, const struct stream_effect *effect)
{
    struct sim_node *n = &w->node[node];

    switch (effect->kind) {
    case STREAM_DO_TIMER:
        if (effect->at_ms <= w->now_ms)
            sim_fail(w, "node %zu asks for a tick that is due already", node);
        sim_at(w, effect->at_ms, EV_TICK, node);
        break;
    case STREAM_DO_READ_ROOT:
    case STREAM_DO_PUT_ROOT:
    case STREAM_DO_LIST:
    case STREAM_DO_READ_GROUP:
    case STREAM_DO_PUT_GROUP:
    case STREAM_DO_COMPARE:
        do_request(w, node, effect);
        break;
    case STREAM_DO_CHECK_LOCAL:
        do_check_local(w, node, effect);
        break;
    case STREAM_DO_ENCODE:
        do_encode(w, node, effect);
        break;
    case STREAM_DO_SHIPPED:
        if ((w->twins & SIM_TWIN_TRIM_SHIPPED) != 0)
            node_hint(w, node, effect->lsn, effect->chain);
        break;
    case STREAM_DO_REMOTE:
        do_remote(w, node, effect);
        break;
    case STREAM_DO_LETTER:
        do_letter(w, node, effect);
        break;
    case STREAM_DO_LETTER_OUT:
        do_letter_out(w, node, effect);
        break;
    case STREAM_DO_PHASE:
        do_phase(w, node);
        break;
    case STREAM_DO_DIVERGED:
        do_diverged(w, node, effect);
        break;
    case STREAM_DO_COMMITTED:
        do_committed(w, node, effect);
        break;
    case STREAM_DO_MARKED: /* the collector steps when this step is over */
        sim_at(w, w->now_ms + 1, EV_MARKED, node)->local.class = effect->class;
        break;
    case STREAM_DO_CREATED:
        sim_say(w, "node %zu: created: %s", node, objstore_class_name(effect->class));
        if (effect->class == OBJSTORE_OK)
            n->created = true;
        else
            sim_fail(w, "node %zu: creating failed: %s", node, effect->text);
        break;
    case STREAM_DO_FLUSHED:
        n->flushed = effect->class == OBJSTORE_OK;
        break;
    case STREAM_DO_DISCARDED:
        do_discarded(w, node, effect);
        break;
    }
}

/* A crash may come between any two effects of a step. */
void node_step(struct sim *w, size_t node, struct stream_event e)
{
    struct sim_node *n = &w->node[node];
    static struct stream_effects out;
    uint64_t nonce[2] = {sim_random(w), sim_random(w)};

    if (!n->up || !n->streams || w->failed)
        return;
    e.now_ms = w->now_ms;
    w->steps++;
    stream_step(&n->stream, &e, (const uint8_t *)nonce, &out);
    check_run(w, node);
    for (size_t i = 0; i < out.count && !w->failed; i++) {
        bool crash = ++w->effect_count == w->crash_at && (n->created || node > 0);

        if (crash || (n->crash_in > 0 && --n->crash_in == 0)) {
            w->seen[SEEN_CRASH_BETWEEN_EFFECTS] = true;
            node_crash(w, node);
            return;
        }
        if (out.items[i].kind != STREAM_DO_TIMER)
            n->effects++;
        do_effect(w, node, &out.items[i]);
    }
}
