#include "sim.h"

#include <string.h>

static const struct sim_manifest *manifest_of(const struct sim *w, const struct root *r)
{
    uint64_t id = 0;

    memcpy(&id, r->manifest.uuid, sizeof id);
    for (size_t i = 0; i < w->manifest_count; i++)
        if (w->manifests[i].id == id)
            return &w->manifests[i];
    return NULL;
}

static bool take_group(struct sim_content *c, const struct sim_group *g)
{
    if (g->first_lsn != c->last_lsn + 1 || g->chain_before != c->chain || g->last_lsn > SIM_LSNS) {
        c->problem = "a group does not follow the one before it";
        return false;
    }
    for (uint64_t lsn = g->first_lsn; lsn <= g->last_lsn; lsn++)
        c->values[lsn] = g->gap ? 0 : g->values[lsn - g->first_lsn];
    c->last_lsn = g->last_lsn;
    c->chain = g->chain;
    return true;
}

static uint64_t first_seq(const struct root *r, uint64_t epoch)
{
    return epoch == r->floor.epoch ? r->floor.seq : 1;
}

static void take_lineage(const struct sim *w, struct sim_content *c, const struct lineage *l)
{
    const struct sim_group *g;

    if (l->epoch < w->root.floor.epoch || c->problem != NULL)
        return;
    for (uint64_t seq = first_seq(&w->root, l->epoch); seq <= l->end_seq; seq++) {
        g = store_group(w, l->epoch, seq);
        if (g == NULL) {
            c->problem = "a closed lineage has a hole";
            return;
        }
        if (!take_group(c, g))
            return;
    }
    if (c->last_lsn != l->last_lsn || c->chain != l->chain)
        c->problem = "a lineage does not end where the root says";
}

static void take_run(const struct sim *w, struct sim_content *c, uint64_t epoch)
{
    const struct sim_group *g;

    for (uint64_t seq = first_seq(&w->root, epoch);
         c->problem == NULL && (g = store_group(w, epoch, seq)) != NULL; seq++)
        (void)take_group(c, g);
}

/* As docs/protocol.md says: segments, then every group behind the floor. */
void check_read(const struct sim *w, struct sim_content *c)
{
    const struct root *r = &w->root;
    const struct sim_manifest *m = r->has_manifest ? manifest_of(w, r) : NULL;

    memset(c, 0, sizeof *c);
    if (!w->has_root) {
        c->problem = "no root";
        return;
    }
    c->problem = gc_problem(w);
    if (c->problem != NULL)
        return;
    c->last_lsn = r->floor.lsn;
    c->chain = r->floor.chain;
    c->from_lsn = m != NULL ? 0 : r->floor.lsn;
    if (m != NULL && m->base_lsn != r->floor.lsn)
        c->from_lsn = r->floor.lsn;
    if (w->cold && m != NULL)
        c->problem = fold_content(w, m, c->values);
    for (uint64_t lsn = 1; !w->cold && m != NULL && lsn <= m->base_lsn; lsn++)
        c->values[lsn] = m->base[lsn];
    for (size_t i = 0; m != NULL && i < m->lineage_count; i++)
        take_lineage(w, c, &m->lineages[i]);
    for (size_t i = 0; i < r->lineage_count; i++)
        take_lineage(w, c, &r->lineages[i]);
    for (size_t i = 0; i < r->open_count; i++)
        take_run(w, c, r->open[i]);
    take_run(w, c, r->epoch);
}

static void check_twice(struct sim *w)
{
    static bool there[SIM_VALUES];
    const struct sim_content *c = &w->content;

    memset(there, 0, sizeof there);
    for (uint64_t lsn = c->from_lsn + 1; lsn <= c->last_lsn; lsn++) {
        if (c->values[lsn] != 0 && there[c->values[lsn]])
            sim_fail(w, "record %u is in the bucket twice", c->values[lsn]);
        there[c->values[lsn]] = true;
    }
}

void check_bucket(struct sim *w)
{
    const struct sim_content *c = &w->content;

    if (w->has_root && w->root.state == ROOT_DROPPED) /* what it had may go */
        return;
    check_read(w, &w->content);
    if (c->problem != NULL) {
        sim_fail(w, "the bucket cannot be restored: %s", c->problem);
        return;
    }
    for (uint32_t v = 1; v < w->next_value; v++) {
        const struct sim_record *r = &w->records[v];

        if (r->acked_remote && r->lsn > c->from_lsn &&
            (r->lsn > c->last_lsn || c->values[r->lsn] != v))
            sim_fail(w, "record %u, lsn %u, was acknowledged as remote and is not in the bucket", v,
                     r->lsn);
    }
    check_twice(w);
    fold_check_all(w);
}

static void check_closed(struct sim *w, const struct lineage *l)
{
    struct lineage *known;

    if (l->epoch >= SIM_EPOCHS)
        return;
    known = &w->closed[l->epoch];
    if (known->epoch == 0)
        *known = *l;
    else if (memcmp(known, l, sizeof *l) != 0)
        sim_fail(w, "the closed lineage of epoch %llu changed", (unsigned long long)l->epoch);
}

static void check_owner(struct sim *w, const struct root *r)
{
    if (r->epoch >= SIM_EPOCHS) {
        sim_fail(w, "the simulator has no room for more epochs");
        return;
    }
    if (w->epoch_known[r->epoch] &&
        memcmp(w->epoch_session[r->epoch], r->session, sizeof r->session) != 0)
        sim_fail(w, "epoch %llu has two owners", (unsigned long long)r->epoch);
    w->epoch_known[r->epoch] = true;
    memcpy(w->epoch_session[r->epoch], r->session, sizeof r->session);
}

/* A taker's first CAS, and a commit of the owner it replaces that is still under way. */
static void see_takeover(struct sim *w, const struct root *after)
{
    if (after->open_count > 1)
        w->seen[SEEN_TWO_OPEN_EPOCHS] = true;
    if (after->floor.epoch == after->open[after->open_count - 1] && after->floor.seq > 1)
        w->seen[SEEN_FLOOR_IN_OPEN_EPOCH] = true;
    for (size_t i = 0; i < w->nodes; i++) {
        const struct sim_node *n = &w->node[i];

        if (n->up && n->commit_id != 0 && n->stream.phase == STREAM_OWNED &&
            memcmp(n->stream.options.session, after->session, sizeof after->session) != 0)
            w->seen[SEEN_TAKEOVER_DURING_COMMIT] = true;
    }
}

void check_root_change(struct sim *w, const struct root *before, const struct root *after)
{
    check_owner(w, after);
    for (size_t i = 0; i < after->lineage_count; i++)
        check_closed(w, &after->lineages[i]);
    if (before == NULL)
        return;
    if (after->epoch < before->epoch || after->revision != before->revision + 1)
        sim_fail(w, "the root went back");
    if (before->state == ROOT_DROPPED)
        sim_fail(w, "a dropped root was changed");
    if (after->gc_mark < before->gc_mark)
        sim_fail(w, "the mark went back");
    if (after->gc_mark > before->gc_mark)
        gc_marked(w);
    if (after->epoch > before->epoch)
        see_takeover(w, after);
    for (size_t i = 0; i < w->manifest_count; i++) {
        struct sim_manifest *m = &w->manifests[i];

        if (!after->has_manifest || manifest_of(w, after) != m)
            continue;
        m->named = true;
        if (before->has_manifest && manifest_of(w, before) != m && manifest_of(w, before) != NULL)
            w->manifests[manifest_of(w, before)->id - 1].replaced_ms = m->modified_ms;
        if (m->refused)
            sim_fail(w, "a commit that was refused stands in the root");
    }
}

void check_run(struct sim *w, size_t node)
{
    const struct sim_node *n = &w->node[node];
    const struct stream *s = &n->stream;
    const struct sim_group *g;
    uint64_t end, chain;

    if (s->phase != STREAM_OWNED || s->core.drop_wanted)
        return;
    if (s->remote_lsn > s->shipped_lsn || s->shipped_lsn > s->sealed_lsn ||
        s->sealed_lsn > s->durable_lsn)
        sim_fail(w, "node %zu: lsns out of order", node);
    root_end(&s->root, &end, &chain);
    for (uint64_t seq = first_seq(&s->root, s->root.epoch);
         (g = store_group_ever(w, s->root.epoch, seq)) != NULL && g->first_lsn == end + 1; seq++)
        end = g->last_lsn;
    if (s->shipped_lsn > end)
        sim_fail(w, "node %zu: shipped_lsn %llu, but stored without a hole up to %llu", node,
                 (unsigned long long)s->shipped_lsn, (unsigned long long)end);
}

/* The node says that everything up to lsn is safe: so it must be, now. */
void check_remote(struct sim *w, size_t node, uint64_t lsn)
{
    const struct sim_node *n = &w->node[node];
    struct sim_content *c = &w->content;

    if (w->root.state == ROOT_DROPPED)
        return;
    check_read(w, c);
    if (c->problem != NULL || c->last_lsn < lsn) {
        sim_fail(w, "node %zu: remote up to %llu, but the bucket ends at %llu", node,
                 (unsigned long long)lsn, (unsigned long long)c->last_lsn);
        return;
    }
    for (uint64_t i = c->from_lsn + 1; i <= lsn; i++)
        if (c->values[i] != n->hist[i] && c->values[i] != 0 && n->hist[i] != 0) /* 0: a gap */
            sim_fail(w, "node %zu: lsn %llu is another record in the bucket", node,
                     (unsigned long long)i);
}

void check_acked(struct sim *w)
{
    const struct sim_content *c = &w->content;

    if (w->has_root && w->root.state == ROOT_DROPPED)
        return;
    check_read(w, &w->content);
    for (uint32_t v = 1; v < w->next_value; v++) {
        const struct sim_record *r = &w->records[v];
        const struct sim_node *n = &w->node[r->node];
        bool local = n->on_disk && r->lsn <= n->durable_lsn && r->lsn >= n->log_first &&
                     n->hist[r->lsn] == v;
        bool remote = c->problem == NULL && r->lsn > c->from_lsn && r->lsn <= c->last_lsn &&
                      c->values[r->lsn] == v;

        if (r->acked && !local && !remote && !r->lettered && !r->discarded && !r->disk_lost)
            sim_fail(w, "record %u, lsn %u of node %u, was acknowledged and is nowhere", v, r->lsn,
                     r->node);
    }
}

void check_same(struct sim *w, size_t node)
{
    const struct sim_node *n = &w->node[node];
    struct sim_content *c = &w->content;

    check_read(w, c);
    if (c->problem != NULL || c->last_lsn != n->durable_lsn) {
        sim_fail(w, "at the end node %zu has %llu and the bucket %llu", node,
                 (unsigned long long)n->durable_lsn, (unsigned long long)c->last_lsn);
        return;
    }
    check_remote(w, node, n->durable_lsn);
}
