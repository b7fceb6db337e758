/* The collector of snapshot/collect.h, in the process of the node that owns. It has one request
 * under way at a time; a listing and what is read because of it are one step, as manifests and pins
 * never change. Deletes of a batch take effect one by one, in any order; those of a process that
 * crashed, any time later or never. */
#include "explore.h"

#include "segment/manifest.h"
#include "snapshot/collect.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

enum { ROOM = 32, STEPS = 64 };

static struct { /* the heap of the one that is stepped */
    struct collect c;
    struct collect_manifest manifests[ROOM];
    struct collect_pin pins[ROOM];
    struct collect_span spans[ROOM];
    struct objkey plan[ROOM];
} run;

static struct ex_place place_of(struct collect_place p)
{
    return (struct ex_place){p.epoch == UINT64_MAX ? UINT8_MAX : (uint8_t)p.epoch,
                             p.seq == UINT64_MAX ? UINT8_MAX : (uint8_t)p.seq};
}

static struct collect_place to_place(struct ex_place p)
{
    return (struct collect_place){p.epoch == UINT8_MAX ? UINT64_MAX : p.epoch,
                                  p.seq == UINT8_MAX ? UINT64_MAX : p.seq};
}

/* --- between struct collect and what a state keeps of it --- */

static void options(const struct ex_world *w, size_t node, struct collect_options *out)
{
    *out = (struct collect_options){.keep_versions = 1,
                                    .batch = w->bounds->batch,
                                    .twins = w->bounds->twins >> EX_TWIN_COLLECT_SHIFT};
    memcpy(out->collection, "explore", 8);
    out->session[0] = code_session(node, w->node[node].session);
}

static void thaw_lists(const struct ex_collector *from, struct collect *c)
{
    c->manifests = run.manifests;
    c->pins = run.pins;
    c->spans = run.spans;
    c->plan = run.plan;
    c->manifest_room = c->pin_room = c->span_room = c->plan_room = ROOM;
    for (size_t i = 0; i < from->manifest_count; i++) {
        const struct ex_kept *m = &from->manifests[i];

        run.manifests[i] = (struct collect_manifest){.revision = m->revision,
                                                     .uuid = {m->id},
                                                     .kept = m->kept,
                                                     .pinned = m->pinned,
                                                     .read = m->read,
                                                     .parent_revision = m->parent,
                                                     .floor = to_place(m->floor)};
    }
    for (size_t i = 0; i < from->pin_count; i++)
        run.pins[i] = (struct collect_pin){.uuid = {1},
                                           .manifest_revision = from->pins[i].revision,
                                           .manifest_uuid = {from->pins[i].id},
                                           .to = to_place(from->pins[i].to)};
    for (size_t i = 0; i < from->span_count; i++)
        run.spans[i] =
            (struct collect_span){to_place(from->spans[i].from), to_place(from->spans[i].to)};
    for (size_t i = 0; i < from->plan_count; i++) {
        const struct ex_name *n = &from->plan[i];

        run.plan[i] =
            (struct objkey){.kind = n->manifest > 0 ? OBJKEY_IS_MANIFEST : OBJKEY_IS_GROUP,
                            .epoch = n->place.epoch,
                            .seq = n->place.seq,
                            .revision = n->revision,
                            .uuid = {n->manifest}};
    }
    c->manifest_count = from->manifest_count;
    c->pin_count = from->pin_count;
    c->span_count = from->span_count;
    c->plan_count = from->plan_count;
}

static void thaw(const struct ex_world *w)
{
    const struct ex_collector *from = &w->collector;
    struct collect_options o;
    struct collect *c = &run.c;

    options(w, from->node, &o);
    collect_init(c, &o);
    c->at = from->at;
    c->epoch = from->epoch;
    c->gc_mark = from->gc_mark;
    c->manifest_revision = from->manifest_revision;
    c->manifest_uuid[0] = from->manifest;
    c->floor = to_place(from->floor);
    c->open_count = from->open_count;
    for (size_t i = 0; i < from->open_count; i++)
        c->open[i] = from->open[i];
    c->lineage_count = from->lineage_count;
    for (size_t i = 0; i < from->lineage_count; i++)
        c->lineages[i] =
            (struct lineage){.epoch = from->lineages[i].epoch, .end_seq = from->lineages[i].seq};
    c->mark = from->mark;
    c->level = from->level;
    c->versions = from->versions;
    c->next = 0;
    thaw_lists(from, c);
}

static void freeze_lists(const struct collect *c, struct ex_collector *to)
{
    bool planned = c->at == COLLECT_AT_CHECK || c->at == COLLECT_AT_DELETE;

    for (size_t i = 0; i < c->manifest_count && !planned; i++) {
        const struct collect_manifest *m = &c->manifests[i];

        assert(i < EX_KEPT);
        to->manifests[to->manifest_count++] =
            (struct ex_kept){.revision = (uint8_t)m->revision,
                             .id = m->uuid[0],
                             .kept = m->kept,
                             .pinned = m->pinned,
                             .read = m->read,
                             .parent = (uint8_t)m->parent_revision,
                             .floor = place_of(m->floor)};
    }
    for (size_t i = 0; i < c->pin_count && !planned; i++)
        to->pins[to->pin_count++] =
            (struct ex_pin){(uint8_t)c->pins[i].manifest_revision, c->pins[i].manifest_uuid[0],
                            place_of(c->pins[i].to)};
    for (size_t i = 0; i < c->span_count && !planned; i++) {
        assert(i < EX_SPANS);
        to->spans[to->span_count++] =
            (struct ex_span){place_of(c->spans[i].from), place_of(c->spans[i].to)};
    }
    for (size_t i = c->next; i < c->plan_count && planned; i++) {
        const struct objkey *k = &c->plan[i];

        assert(to->plan_count < EX_PLAN);
        to->plan[to->plan_count++] =
            (struct ex_name){.place = {(uint8_t)k->epoch, (uint8_t)k->seq},
                             .revision = (uint8_t)k->revision,
                             .manifest = k->kind == OBJKEY_IS_MANIFEST ? k->uuid[0] : 0};
    }
}

static void freeze(struct ex_world *w, uint8_t pending)
{
    const struct collect *c = &run.c;
    struct ex_collector *to = &w->collector;
    uint8_t node = to->node;

    memset(to, 0, sizeof *to);
    to->node = node;
    to->at = (uint8_t)c->at;
    to->pending = pending;
    if (c->at == COLLECT_AT_REST) {
        to->node = 0;
        return;
    }
    to->epoch = (uint8_t)c->epoch;
    to->mark = (uint8_t)c->mark;
    freeze_lists(c, to);
    if (c->at == COLLECT_AT_ROOT || c->at == COLLECT_AT_CHECK || c->at == COLLECT_AT_DELETE)
        return;
    to->gc_mark = (uint8_t)c->gc_mark;
    to->manifest_revision = (uint8_t)c->manifest_revision;
    to->manifest = c->manifest_uuid[0];
    to->level = (uint8_t)c->level;
    to->versions = (uint8_t)c->versions;
    if (c->at == COLLECT_AT_MANIFESTS || c->at == COLLECT_AT_MARK || c->at == COLLECT_AT_MARKED)
        return; /* the root is read again before they count */
    to->floor = place_of(c->floor);
    assert(c->open_count <= EX_OPEN && c->lineage_count <= EX_LINEAGES);
    to->open_count = (uint8_t)c->open_count;
    for (size_t i = 0; i < c->open_count; i++)
        to->open[i] = (uint8_t)c->open[i];
    to->lineage_count = (uint8_t)c->lineage_count;
    for (size_t i = 0; i < c->lineage_count; i++)
        to->lineages[i] =
            (struct ex_place){(uint8_t)c->lineages[i].epoch, (uint8_t)c->lineages[i].end_seq};
}

/* --- what its requests come to --- */

static bool pin_there(const struct ex_world *w)
{
    return w->reader.pins && (w->reader.step == READER_PINNED || w->reader.step == READER_HOLDS);
}

static void answer_list(const struct ex_world *w, enum collect_step_kind at,
                        struct collect_event *e)
{
    static char keys[ROOM * 2][OBJKEY_BYTES];
    static struct objstore_entry entries[ROOM * 2];
    const uint8_t *collection = run.c.options.collection, pin[16] = {1};
    size_t count = 0;

    for (size_t i = 0; i < w->group_count && at == COLLECT_AT_ALL; i++)
        objkey_group(collection, w->groups[i].epoch, w->groups[i].seq, keys[count++]);
    for (size_t i = 0; i < w->manifest_count && at != COLLECT_AT_PINS; i++) {
        uint8_t uuid[16] = {(uint8_t)(i + 1)};

        if (w->manifests[i].there)
            objkey_manifest(collection, w->manifests[i].revision, uuid, keys[count++]);
    }
    if (pin_there(w) && at != COLLECT_AT_MANIFESTS)
        objkey_pin(collection, pin, keys[count++]);
    if (at == COLLECT_AT_ALL)
        objkey_root(collection, keys[count++]);
    for (size_t i = 0; i < count; i++)
        entries[i] = (struct objstore_entry){.key = keys[i], .bytes = 1};
    e->entries = entries;
    e->entry_count = count;
}

static void answer_pin(const struct ex_world *w, struct collect_event *e)
{
    static struct pin pin;
    const struct ex_reader *r = &w->reader;
    struct ex_place to = reader_pinned_to(r);

    pin = (struct pin){.manifest_revision = r->root.manifest_revision,
                       .manifest = {.uuid = {r->root.manifest}},
                       .epoch = to.epoch,
                       .seq = to.seq};
    e->pin = &pin;
}

static void answer_manifest(const struct ex_world *w, struct collect_event *e)
{
    static struct manifest body;
    const struct ex_manifest *m = &w->manifests[run.c.manifests[run.c.next].uuid[0] - 1];

    if (!m->there) {
        e->class = OBJSTORE_NOT_FOUND;
        return;
    }
    body = (struct manifest){.revision = m->revision,
                             .parent_revision = m->parent,
                             .floor = {.epoch = m->floor.epoch, .seq = m->floor.seq}};
    e->body = &body;
}

static void answer_root(const struct ex_world *w, struct collect_event *e)
{
    static struct root root;

    code_to_root(&w->root, &root);
    e->root = &root;
}

/* What is asked next, answered at once; false: it is a choice of its own. A listing of manifests, a
 * pin and a manifest are read with what led to them, and so are the pins with the root that has
 * the mark: a run that reads the root later is the same, or ends. */
static bool answer_at_once(const struct ex_world *w, const struct collect_effect *out,
                           struct collect_event *e)
{
    *e = (struct collect_event){.kind = COLLECT_ANSWER, .now_ms = e->now_ms};
    if (out->kind == COLLECT_TIMER) {
        e->kind = COLLECT_TICK;
        e->now_ms = out->at_ms;
    } else if (out->kind == COLLECT_READ_PIN) {
        answer_pin(w, e);
    } else if (out->kind == COLLECT_READ_MANIFEST) {
        answer_manifest(w, e);
    } else if (out->kind == COLLECT_LIST && run.c.at != COLLECT_AT_ALL) {
        answer_list(w, run.c.at, e);
    } else if (out->kind == COLLECT_READ_ROOT && run.c.at == COLLECT_AT_ROOT) {
        answer_root(w, e);
    } else {
        return false;
    }
    return true;
}

/* Steps with e, and on through what does not depend on when it is asked. */
static void step_through(struct ex_world *w, struct collect_event e)
{
    struct collect_effect out;
    uint8_t pending = 0;
    unsigned steps = 0;

    do {
        assert(steps++ < STEPS);
        collect_step(&run.c, &e, &out);
    } while (answer_at_once(w, &out, &e));
    if (out.kind == COLLECT_DELETE)
        pending = (uint8_t)((1 << out.count) - 1);
    freeze(w, pending);
    if (out.kind == COLLECT_MARK) { /* the stream answers, maybe at once */
        w->collector.pending = 1;
        node_step(
            w, w->collector.node,
            (struct stream_event){.kind = STREAM_MARK, .manifest_revision = w->collector.mark});
    }
}

static void name_goes(struct ex_world *w, const struct ex_name *n)
{
    if (n->manifest > 0) {
        w->manifests[n->manifest - 1].there = false;
        return;
    }
    for (size_t i = 0; i < w->group_count; i++)
        if (w->groups[i].epoch == n->place.epoch && w->groups[i].seq == n->place.seq) {
            w->group_count--;
            memmove(&w->groups[i], &w->groups[i + 1], (w->group_count - i) * sizeof w->groups[0]);
            memset(&w->groups[w->group_count], 0, sizeof w->groups[0]);
            return;
        }
}

/* --- choices --- */

void collector_begin(struct ex_world *w, size_t node)
{
    w->collectors--;
    w->collector.node = (uint8_t)node;
    thaw(w);
    step_through(w, (struct collect_event){.kind = COLLECT_BEGIN, .now_ms = EX_NOW_MS});
}

void collector_marked(struct ex_world *w, enum objstore_class class)
{
    thaw(w);
    step_through(
        w, (struct collect_event){.kind = COLLECT_ANSWER, .now_ms = EX_NOW_MS, .class = class});
}

void collector_step(struct ex_world *w)
{
    struct collect_event e = {.kind = COLLECT_ANSWER, .now_ms = EX_NOW_MS};

    thaw(w);
    if (w->collector.at == COLLECT_AT_ALL)
        answer_list(w, COLLECT_AT_ALL, &e);
    else
        answer_root(w, &e);
    step_through(w, e);
}

void collector_delete(struct ex_world *w, uint8_t which)
{
    struct ex_collector *at = &w->collector;

    name_goes(w, &at->plan[which]);
    at->pending = (uint8_t)(at->pending & ~(1 << which));
    if (at->pending != 0)
        return;
    thaw(w);
    step_through(w, (struct collect_event){.kind = COLLECT_ANSWER, .now_ms = EX_NOW_MS});
}

void collector_late(struct ex_world *w, uint8_t which)
{
    struct ex_name name = w->dead_deletes[which];

    w->dead_deletes[which] = w->dead_deletes[--w->dead_delete_count];
    name_goes(w, &name);
}

/* Its process is gone. */
void collector_dies(struct ex_world *w)
{
    struct ex_collector *c = &w->collector;

    for (uint8_t i = 0; i < EX_PLAN && c->at == COLLECT_AT_DELETE; i++)
        if ((c->pending & 1 << i) != 0) {
            assert(w->dead_delete_count < EX_DEAD);
            w->dead_deletes[w->dead_delete_count++] = c->plan[i];
        }
    memset(c, 0, sizeof *c);
}

static bool under_way(const struct ex_world *w, struct ex_place p)
{
    for (size_t i = 0; i < w->dead_group_count; i++)
        if (w->dead_groups[i].epoch == p.epoch && w->dead_groups[i].seq == p.seq)
            return true;
    for (size_t i = 0; i < EX_NODES; i++)
        for (size_t k = 0; k < w->node[i].req_count; k++) {
            const struct ex_request *r = &w->node[i].req[k];

            if (r->kind == STREAM_DO_PUT_GROUP && !r->applied && r->epoch == p.epoch &&
                r->seq == p.seq)
                return true;
        }
    return false;
}

/* What is not there, and cannot come again, needs no delete. */
static void forget_deletes(struct ex_world *w)
{
    size_t kept = 0;

    for (size_t i = 0; i < w->dead_delete_count; i++) {
        const struct ex_name *n = &w->dead_deletes[i];
        bool there = n->manifest > 0 ? w->manifests[n->manifest - 1].there
                                     : store_group(w, n->place.epoch, n->place.seq) != NULL ||
                                           under_way(w, n->place);

        if (there)
            w->dead_deletes[kept++] = *n;
    }
    memset(&w->dead_deletes[kept], 0, (EX_DEAD - kept) * sizeof w->dead_deletes[0]);
    w->dead_delete_count = kept;
}

/* One that has changed hands since is only to find out: it deletes nothing any more. */
void collector_forget(struct ex_world *w)
{
    const struct ex_collector *c = &w->collector;
    bool reads = c->at >= COLLECT_AT_MARKED && c->at != COLLECT_AT_DELETE;

    if (reads && w->root.epoch != c->epoch &&
        (w->bounds->twins >> EX_TWIN_COLLECT_SHIFT & COLLECT_TWIN_NO_REVALIDATION) == 0)
        collector_dies(w);
    forget_deletes(w);
}

bool collector_may_step(const struct ex_collector *c)
{
    return c->at != COLLECT_AT_REST && c->at != COLLECT_AT_DELETE && c->at != COLLECT_AT_MARK;
}

bool collector_lists(const struct ex_collector *c)
{
    return c->at != COLLECT_AT_REST && c->at != COLLECT_AT_CHECK && c->at != COLLECT_AT_DELETE;
}

const char *collector_at(const struct ex_collector *c)
{
    return collect_step_name(c->at);
}
