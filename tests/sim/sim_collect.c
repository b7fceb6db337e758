/* A node publishes, and collects what nothing needs any more: the shell around snapshot/collect.h.
 * One thing at a time, as one thread does both. */
#include "sim.h"

#include "base/mem.h"

#include <inttypes.h>
#include <string.h>

enum { UPLOAD_MS = 1500, NS_PER_MS = 1000000 };

/* --- publishing --- */

static bool gathers(const struct sim_node *n)
{
    return n->collect.at != COLLECT_AT_REST && n->collect.at != COLLECT_AT_CHECK &&
           n->collect.at != COLLECT_AT_DELETE;
}

static void segments_new(struct sim *w, struct sim_manifest *m)
{
    m->segment_count = 1 + (size_t)sim_below(w, 2);
    for (size_t i = 0; i < m->segment_count; i++)
        m->segments[i] = w->segment_next++;
}

/* What the root names now, where no base is written. */
static void inherit(struct sim *w, const struct sim_node *n, struct sim_manifest *m)
{
    const struct sim_manifest *old =
        n->stream.root.has_manifest ? gc_manifest(w, gc_id(n->stream.root.manifest.uuid)) : NULL;

    if (old == NULL)
        return;
    m->base_lsn = old->base_lsn;
    memcpy(m->base, old->base, sizeof m->base);
    memcpy(m->segments, old->segments, sizeof m->segments);
    m->segment_count = old->segment_count;
    memcpy(m->lineages, old->lineages, sizeof m->lineages);
    m->lineage_count = old->lineage_count;
    m->parent_revision = n->stream.root.manifest_revision;
}

void publish_begin(struct sim *w, size_t node)
{
    struct sim_node *n = &w->node[node];
    const struct root *root = &n->stream.root;
    struct sim_publish *p = &n->publish;
    struct sim_manifest *m;
    struct log_floor floor;

    if (!n->up || !n->streams || n->stream.phase != STREAM_OWNED || n->commit_id != 0 || p->on ||
        gathers(n) || n->paused_until_ms > w->now_ms || w->manifest_count == SIM_MANIFESTS ||
        w->segment_next + 2 > SIM_SEGMENTS || !stream_floor(&n->stream, &floor))
        return;
    m = &w->manifests[w->manifest_count];
    memset(m, 0, sizeof *m);
    memset(p, 0, sizeof *p);
    inherit(w, n, m);
    m->floor = root->floor;
    p->commit = (struct stream_event){.kind = STREAM_COMMIT};
    if (root->state == ROOT_SWITCHING || sim_chance(w, 500)) {
        p->commit.floor = m->floor = floor;
        p->commit.base_complete = true;
        if (w->cold && !fold_begin(w, node, m))
            return;
        if (!w->cold) {
            m->base_lsn = floor.lsn;
            memcpy(m->base, n->hist, (floor.lsn + 1) * sizeof m->base[0]);
            segments_new(w, m);
            p->segments = m->segment_count;
        }
    } else if (!root->has_manifest && root->floor.lsn > 0) {
        return;
    }
    m->id = ++w->manifest_count;
    m->revision = root->revision + 1;
    if (root->lineage_count > 1 && m->lineage_count < ROOT_LINEAGES_MAX / 2)
        p->commit.lineages_absorbed = (size_t)sim_below(w, root->lineage_count);
    for (size_t i = 0; i < p->commit.lineages_absorbed; i++)
        m->lineages[m->lineage_count++] = root->lineages[i];
    memcpy(p->commit.manifest.uuid, &m->id, sizeof m->id);
    p->commit.manifest.bytes = 1;
    p->commit.manifest_revision = m->revision;
    p->on = true;
    p->manifest = m->id;
    if (!w->settling && sim_chance(w, 400)) /* whoever pins now is in the way of what comes next */
        reader_begin(w, true);
    sim_say(w, "node %zu publishes manifest %" PRIu64 "-%" PRIu64, node, m->revision, m->id);
    (void)sim_at(w, w->now_ms + 1 + sim_below(w, UPLOAD_MS), EV_PUBLISH, node);
}

/* Objects, then the manifest, then the root. */
void publish_step(struct sim *w, size_t node)
{
    struct sim_node *n = &w->node[node];
    struct sim_publish *p = &n->publish;
    struct sim_manifest *m = gc_manifest(w, p->manifest);

    if (!p->on || m == NULL || fold_crashes(w, node))
        return;
    if (!store_away(w) && p->done < p->segments) {
        w->segments[m->segments[p->done]].there = true;
        w->segments[m->segments[p->done++]].modified_ms = w->now_ms;
    } else if (!store_away(w) && !m->there) {
        m->there = true;
        m->modified_ms = w->now_ms;
    } else if (m->there) {
        n->commit_id = m->id;
        p->on = false;
        if (w->cold && (w->twins & SIM_TWIN_FOLD_EARLY) != 0)
            fold_done(w, node, m);
        node_step(w, node, p->commit);
        return;
    }
    (void)sim_at(w, w->now_ms + 1 + sim_below(w, UPLOAD_MS), EV_PUBLISH, node);
}

/* --- the collector --- */

void collect_open(struct sim *w, size_t node)
{
    struct sim_node *n = &w->node[node];
    struct collect_options o = {.keep_ms = w->keep_ms,
                                .keep_versions = w->keep_versions,
                                .grace_ms = w->grace_ms,
                                .dropped_too = true,
                                .keep_dropped_ms = 20000,
                                .batch = 1 + (uint32_t)sim_below(w, SIM_BATCH),
                                .twins = w->twins >> SIM_TWIN_COLLECT_SHIFT & 0x1F};

    memcpy(o.collection, SIM_COLLECTION, sizeof o.collection);
    memcpy(o.session, n->stream.options.session, sizeof o.session);
    collect_fini(&n->collect);
    collect_init(&n->collect, &o);
    n->publish.on = false;
}

static void ask(struct sim *w, size_t node, const struct collect_effect *effect)
{
    static const enum stream_effect_kind LIKE[] = {
        [COLLECT_READ_ROOT] = STREAM_DO_READ_ROOT, [COLLECT_LIST] = STREAM_DO_LIST,
        [COLLECT_READ_PIN] = STREAM_DO_READ_GROUP, [COLLECT_READ_MANIFEST] = STREAM_DO_READ_GROUP,
        [COLLECT_DELETE] = STREAM_DO_PUT_GROUP,
    };
    struct sim_node *n = &w->node[node];
    struct sim_request *r = send_make(w, node);

    if (r == NULL)
        return;
    r->collects = true;
    r->gc = *effect;
    r->effect.kind = LIKE[effect->kind];
    for (size_t i = 0; i < effect->count && effect->kind == COLLECT_DELETE; i++)
        r->names[r->name_count++] = n->collect.plan[effect->first + i];
    n->collect_order = r->order;
    store_send(w, r);
}

static void finished(struct sim *w, size_t node, const struct collect_effect *effect)
{
    const struct collect_report *r = &w->node[node].collect.report;

    w->node[node].collect_class = effect->class;
    sim_say(w, "node %zu has collected: %s %s; %" PRIu64 " planned, %" PRIu64 " deleted", node,
            objstore_class_name(effect->class), effect->text != NULL ? effect->text : "",
            r->planned, r->deleted);
    if (effect->class == OBJSTORE_OK && r->deleted > 0)
        w->seen[SEEN_COLLECTED] = true;
    if (effect->class == OBJSTORE_PRECONDITION)
        w->seen[SEEN_COLLECTOR_FENCED] = true;
    if (effect->class == OBJSTORE_OK && r->dead_pins > 0)
        w->seen[SEEN_DEAD_PIN] = true;
}

static void feed(struct sim *w, size_t node, struct collect_event *e)
{
    struct sim_node *n = &w->node[node];
    struct collect_effect effect;

    e->now_ms = w->now_ms;
    e->wall_ns = gc_date_ns(w, w->now_ms) + (uint64_t)(n->wall_off_ms * NS_PER_MS);
    w->steps++;
    sim_say(w, "  collector %zu at %s: %s, %zu pins, %zu manifests", node,
            collect_step_name(n->collect.at), objstore_class_name(e->class), n->collect.pin_count,
            n->collect.manifest_count);
    collect_step(&n->collect, e, &effect);
    if (effect.kind == COLLECT_LIST && n->collect.at != COLLECT_AT_MANIFESTS && !w->settling &&
        sim_chance(w, 60))
        plan_overtake(w, node);
    switch (effect.kind) {
    case COLLECT_TIMER:
        if (effect.at_ms != UINT64_MAX)
            (void)sim_at(w, effect.at_ms > w->now_ms ? effect.at_ms : w->now_ms + 1, EV_COLLECT,
                         node);
        break;
    case COLLECT_MARK:
        node_step(w, node,
                  (struct stream_event){.kind = STREAM_MARK, .manifest_revision = effect.revision});
        break;
    case COLLECT_READ_ROOT:
    case COLLECT_LIST:
    case COLLECT_READ_PIN:
    case COLLECT_READ_MANIFEST:
    case COLLECT_DELETE:
        ask(w, node, &effect);
        break;
    case COLLECT_FINISHED:
        finished(w, node, &effect);
        break;
    }
}

void collect_begin(struct sim *w, size_t node)
{
    struct sim_node *n = &w->node[node];
    bool dropped = n->stream.phase == STREAM_DROPPED;

    if (!n->up || !n->streams || (n->stream.phase != STREAM_OWNED && !dropped) ||
        n->commit_id != 0 || n->publish.on || n->paused_until_ms > w->now_ms ||
        n->collect.at != COLLECT_AT_REST)
        return;
    sim_say(w, "node %zu collects", node);
    feed(w, node, &(struct collect_event){.kind = COLLECT_BEGIN});
}

void collect_tick(struct sim *w, size_t node)
{
    feed(w, node, &(struct collect_event){.kind = COLLECT_TICK});
}

void collect_marked(struct sim *w, size_t node, enum objstore_class class)
{
    if (w->node[node].collect.at == COLLECT_AT_MARK)
        feed(w, node, &(struct collect_event){.kind = COLLECT_ANSWER, .class = class});
}

/* --- answers --- */

static void cold_body_of(const struct sim_manifest *m, struct manifest *out,
                         struct manifest_cold *colds)
{
    out->colds = colds;
    out->cold_count = m->segment_count;
    for (size_t i = 0; i < m->segment_count; i++) {
        memset(&colds[i], 0, sizeof colds[i]);
        memcpy(colds[i].object.uuid, &m->segments[i], sizeof m->segments[i]);
    }
}

static void body_of(const struct sim_manifest *m, struct manifest *out,
                    struct manifest_segment *segments)
{
    memset(out, 0, sizeof *out);
    out->revision = m->revision;
    out->parent_revision = m->parent_revision;
    out->floor = m->floor;
    out->segments = segments;
    out->segment_count = m->segment_count;
    for (size_t i = 0; i < m->segment_count; i++) {
        memset(&segments[i], 0, sizeof segments[i]);
        memcpy(segments[i].object.uuid, &m->segments[i], sizeof m->segments[i]);
    }
}

static void pin_body(const struct sim *w, const struct sim_pin *p, struct pin *out)
{
    memset(out, 0, sizeof *out);
    out->epoch = p->epoch;
    out->seq = p->seq;
    if (p->manifest == 0)
        return;
    out->manifest_revision = w->manifests[p->manifest - 1].revision;
    memcpy(out->manifest.uuid, &p->manifest, sizeof p->manifest);
}

void collect_answer(struct sim *w, struct sim_request *r)
{
    struct sim_node *n = &w->node[r->node];
    struct objkey key = objkey_parse(r->gc.key);
    struct manifest body;
    struct manifest_segment segments[SIM_BASE_SEGMENTS];
    struct manifest_cold colds[SIM_BASE_SEGMENTS];
    struct objstore_entry entries[SIM_PAGE];
    struct pin pin;
    struct collect_event e = {.kind = COLLECT_ANSWER,
                              .class = r->replace ? r->class : r->answer.class,
                              .retry_after_ms = r->retry_after_ms,
                              .date_ns = r->replace ? 0 : r->date_ns};

    if (n->gen != r->gen || !n->up || n->collect_order != r->order)
        return;
    if (e.class == OBJSTORE_OK && r->gc.kind == COLLECT_READ_ROOT)
        e.root = &r->answer_root;
    if (e.class == OBJSTORE_OK && r->gc.kind == COLLECT_READ_PIN) {
        pin_body(w, &w->pins[gc_id(key.uuid) - 1], &pin);
        e.pin = &pin;
    }
    if (e.class == OBJSTORE_OK && r->gc.kind == COLLECT_READ_MANIFEST) {
        body_of(gc_manifest(w, gc_id(key.uuid)), &body, segments);
        if (w->cold) {
            body.segment_count = 0;
            cold_body_of(gc_manifest(w, gc_id(key.uuid)), &body, colds);
        }
        e.body = &body;
    }
    if (e.class == OBJSTORE_OK && r->gc.kind == COLLECT_LIST) {
        for (size_t i = 0; i < n->page.count; i++)
            entries[i] = (struct objstore_entry){n->page.names[i].key, 1,
                                                 n->page.names[i].modified_ms == 0
                                                     ? 0
                                                     : gc_date_ns(w, n->page.names[i].modified_ms)};
        e.entries = entries;
        e.entry_count = n->page.count;
        e.truncated = n->page.truncated;
    }
    feed(w, r->node, &e);
}
