/* What the node asks of the root: to name a manifest, to carry a mark, to be made, to be dropped.
 */
#include "tiering/stream_internal.h"

#include <stdio.h>
#include <string.h>

static void answer(struct stream_effects *out, enum stream_effect_kind kind,
                   enum objstore_class class, const char *text)
{
    struct stream_effect *effect = stream_emit(out, kind);

    effect->class = class;
    effect->text = text;
}

/* --- commit --- */

void commit_refuse(struct stream *s, struct stream_effects *out, enum objstore_class class,
                   const char *text)
{
    if (!s->core.commit_wanted)
        return;
    s->core.commit_wanted = false;
    answer(out, STREAM_DO_COMMITTED, class, text);
}

void commit_wanted(struct stream *s, const struct stream_event *e, struct stream_effects *out)
{
    struct stream_private *c = &s->core;

    if (c->commit_wanted) {
        answer(out, STREAM_DO_COMMITTED, OBJSTORE_CONFLICT, "a commit is under way");
        return;
    }
    c->commit_wanted = true;
    c->commit = (struct stream_commit){.manifest = e->manifest,
                                       .revision = e->manifest_revision,
                                       .floor = e->floor,
                                       .absorbed = e->lineages_absorbed,
                                       .base_complete = e->base_complete};
    if (s->phase != STREAM_IDLE && s->phase != STREAM_CREATING && s->phase != STREAM_TAKING &&
        s->phase != STREAM_OWNED)
        commit_refuse(s, out, OBJSTORE_PRECONDITION, s->reason);
}

static const char *commit_problem(const struct stream *s)
{
    const struct stream_commit *c = &s->core.commit;
    const struct root *r = &s->root;

    if (c->absorbed > 0 && c->absorbed >= r->lineage_count)
        return "the root keeps its newest lineage";
    if (c->revision == 0 || c->revision > r->revision + 1)
        return "the manifest has a revision the root has not come to";
    if (c->floor.epoch == 0)
        return NULL;
    if (c->floor.lsn < r->floor.lsn || c->floor.epoch < r->floor.epoch)
        return "the log's floor would go back";
    if (c->floor.lsn > s->shipped_lsn || c->floor.epoch > r->epoch)
        return "the log's floor lies behind what is in the bucket";
    return NULL;
}

static void lineages_leave(struct root *r, size_t count)
{
    r->lineage_count -= count;
    memmove(r->lineages, r->lineages + count, r->lineage_count * sizeof r->lineages[0]);
}

void commit_advance(struct stream *s, struct stream_effects *out)
{
    const struct stream_commit *c = &s->core.commit;
    struct root *next = &s->core.op.next;
    const char *problem;

    if (!s->core.commit_wanted || s->core.stopped || !op_idle(s))
        return;
    problem = commit_problem(s);
    if (problem != NULL) {
        commit_refuse(s, out, OBJSTORE_PERMANENT, problem);
        return;
    }
    if (c->revision <= s->core.taken_revision ||
        (c->floor.epoch != 0 && c->floor.epoch < s->root.epoch)) {
        commit_refuse(s, out, OBJSTORE_CONFLICT,
                      "the collection was taken anew since the manifest was begun");
        return;
    }
    *next = s->root;
    lineages_leave(next, c->absorbed);
    next->has_manifest = true;
    next->manifest = c->manifest;
    next->manifest_revision = c->revision;
    if (c->floor.epoch != 0)
        next->floor = c->floor;
    while (next->lineage_count > 1 && next->lineages[0].epoch < next->floor.epoch)
        lineages_leave(next, 1);
    if (c->base_complete)
        next->state = ROOT_LIVE;
    op_write(s, OP_COMMIT);
}

void commit_done(struct stream *s, struct stream_effects *out, bool won)
{
    bool ours = owner_root_is_ours(s);

    if (won) {
        s->core.commit_wanted = false;
        answer(out, STREAM_DO_COMMITTED, OBJSTORE_OK, NULL);
    }
    if (stream_twin(s, STREAM_TWIN_409_AS_412) && !won && ours)
        commit_refuse(s, out, OBJSTORE_PRECONDITION, "someone else was first");
    if (!ours || s->root.state == ROOT_DROPPED)
        owner_fenced(s, out);
    /* Not won and ours: someone changed something else, it is made anew from there. */
}

/* --- mark --- */

void mark_refuse(struct stream *s, struct stream_effects *out, enum objstore_class class,
                 const char *text)
{
    if (!s->core.mark_wanted)
        return;
    s->core.mark_wanted = false;
    answer(out, STREAM_DO_MARKED, class, text);
}

void mark_wanted(struct stream *s, const struct stream_event *e, struct stream_effects *out)
{
    struct stream_private *c = &s->core;

    if (c->mark_wanted) {
        answer(out, STREAM_DO_MARKED, OBJSTORE_CONFLICT, "a mark is under way");
        return;
    }
    c->mark_wanted = true;
    c->mark_revision = e->manifest_revision;
    if (s->phase != STREAM_IDLE && s->phase != STREAM_CREATING && s->phase != STREAM_TAKING &&
        s->phase != STREAM_OWNED)
        mark_refuse(s, out, OBJSTORE_PRECONDITION, s->reason);
}

void mark_advance(struct stream *s, struct stream_effects *out)
{
    uint64_t revision = s->core.mark_revision;

    if (!s->core.mark_wanted || s->core.stopped || !op_idle(s))
        return;
    if (revision < s->root.gc_mark) {
        mark_refuse(s, out, OBJSTORE_PERMANENT, "the mark would go back");
        return;
    }
    if (revision > s->root.manifest_revision) {
        mark_refuse(s, out, OBJSTORE_PERMANENT, "the mark would pass the root's manifest");
        return;
    }
    if (revision == s->root.gc_mark) {
        mark_done(s, out, true);
        return;
    }
    s->core.op.next = s->root;
    s->core.op.next.gc_mark = revision;
    op_write(s, OP_MARK);
}

void mark_done(struct stream *s, struct stream_effects *out, bool won)
{
    if (won) {
        s->core.mark_wanted = false;
        answer(out, STREAM_DO_MARKED, OBJSTORE_OK, NULL);
    }
    if (!owner_root_is_ours(s) || s->root.state == ROOT_DROPPED)
        owner_fenced(s, out);
}

/* --- create --- */

void create_refuse(struct stream *s, struct stream_effects *out, enum objstore_class class,
                   const char *text)
{
    if (!s->core.create_wanted)
        return;
    s->core.create_wanted = false;
    answer(out, STREAM_DO_CREATED, class, text);
    if (s->phase == STREAM_CREATING)
        owner_halt(s, out, "the root could not be made: %.200s", text != NULL ? text : "");
}

static void first_root(const struct stream *s, const struct stream_event *e, struct root *r)
{
    uint64_t epoch = e->epoch > 0 ? e->epoch : 1;

    if (s->has_root && epoch <= s->root.epoch)
        epoch = s->root.epoch + 1;
    memset(r, 0, sizeof *r);
    memcpy(r->collection, s->options.collection, sizeof r->collection);
    r->state = e->root_state;
    (void)snprintf(r->node_id, sizeof r->node_id, "%s", s->options.node_id);
    memcpy(r->session, s->options.session, sizeof r->session);
    r->epoch = epoch;
    r->floor = (struct log_floor){.lsn = e->floor_lsn, .epoch = epoch, .seq = 1, .chain = e->chain};
}

void create_start(struct stream *s, const struct stream_event *e, struct stream_effects *out)
{
    bool may =
        s->phase == STREAM_IDLE || (e->kind == STREAM_RECREATE && s->phase == STREAM_ROOT_LOST);

    if (!may || s->core.drop_wanted) {
        answer(out, STREAM_DO_CREATED, OBJSTORE_PRECONDITION, "there is a root already");
        return;
    }
    op_stop(s);
    s->core.create_wanted = true;
    first_root(s, e, &s->core.op.next);
    op_write(s, OP_CREATE);
    stream_set_phase(s, out, STREAM_CREATING, "making the root in the bucket");
}

/* What an earlier try of this node left, cut short before anything came of it: never restorable,
 * and nobody else's. The new root takes its place, an epoch further. */
static bool left_by_us(const struct stream *s)
{
    return s->root.state == ROOT_SWITCHING && s->core.op.next.state == ROOT_SWITCHING &&
           strncmp(s->root.node_id, s->options.node_id, sizeof s->root.node_id) == 0;
}

static void replace_root(struct stream *s)
{
    struct root *next = &s->core.op.next;

    next->revision = s->root.revision;
    next->epoch = next->floor.epoch = s->root.epoch + 1;
    op_write(s, OP_REPLACE);
}

void create_done(struct stream *s, struct stream_effects *out, bool won)
{
    if (!won && left_by_us(s)) {
        replace_root(s);
        return;
    }
    if (!won) {
        create_refuse(s, out, OBJSTORE_PRECONDITION, "a root that is not ours stands there");
        return;
    }
    s->core.create_wanted = false;
    s->core.own_epoch = s->core.op.next.epoch;
    answer(out, STREAM_DO_CREATED, OBJSTORE_OK, NULL);
    if (!owner_root_is_ours(s) || s->root.state == ROOT_DROPPED)
        owner_fenced(s, out);
    else
        owner_owned(s, out, s->root.floor.lsn, s->root.floor.chain);
}

/* --- drop: whoever owns it; the catalog has decided --- */

void drop_start(struct stream *s, const struct stream_event *e, struct stream_effects *out)
{
    if (s->phase == STREAM_DROPPED) {
        answer(out, STREAM_DO_CREATED, OBJSTORE_OK, NULL);
        return;
    }
    s->core.drop_wanted = true;
    s->core.drop_ns = e->wall_ns;
    s->core.take.wait = (struct stream_wait){0};
    ship_reset(s, out);
    commit_refuse(s, out, OBJSTORE_PRECONDITION, "the collection is dropped");
    mark_refuse(s, out, OBJSTORE_PRECONDITION, "the collection is dropped");
    create_refuse(s, out, OBJSTORE_PRECONDITION, "the collection is dropped");
    op_read(s, OP_DROP_READ, s->core.now_ms);
}

static void drop_finish(struct stream *s, struct stream_effects *out)
{
    s->core.drop_wanted = false;
    stream_set_phase(s, out, STREAM_DROPPED, "dropped in the bucket");
    answer(out, STREAM_DO_CREATED, OBJSTORE_OK, NULL);
}

void drop_root_known(struct stream *s, struct stream_effects *out)
{
    struct root *next = &s->core.op.next;

    if (s->root.state == ROOT_DROPPED) {
        drop_finish(s, out);
        return;
    }
    *next = s->root;
    next->state = ROOT_DROPPED;
    next->dropped_at_ns = s->core.drop_ns;
    op_write(s, OP_DROP);
}

void drop_done(struct stream *s, struct stream_effects *out, bool won)
{
    if (won || s->root.state == ROOT_DROPPED)
        drop_finish(s, out);
    else
        drop_root_known(s, out);
}
