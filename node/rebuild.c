/* Graphs follow what the catalog asks for: another m, ef_construction or quantization of a field
 * that serves.
 *
 * What is wanted lies in the catalog and beside each field; what there is the index knows, also
 * after a load, as an image says with what its graph was made. So it does not matter how the two
 * came to differ: by a PATCH, by the bucket's catalog, by a crash in the middle, by a restore of an
 * older image. The upkeep thread compares them at each tick and takes the next step
 * (index/vindex.h); linkers do the work between the steps. A PATCH alone asks for memory first. */
#include "node/fields.h"

#include <inttypes.h>
#include <stdatomic.h>

static struct vgraph wanted(const struct collection_field *f)
{
    return (struct vgraph){.m = atomic_load(&f->m),
                           .ef_construction = atomic_load(&f->ef_construction),
                           .quantization = (enum vquantization)atomic_load(&f->quantization)};
}

static bool same_links(struct vgraph a, struct vgraph b)
{
    return a.m == b.m && a.ef_construction == b.ef_construction;
}

static bool same(struct vgraph a, struct vgraph b)
{
    return same_links(a, b) && a.quantization == b.quantization;
}

static bool has_rows(const struct collection *c)
{
    enum collection_state state = atomic_load_explicit(&c->seq.state, memory_order_acquire);

    return state == COLLECTION_SERVING || state == COLLECTION_READ_ONLY;
}

/* --- memory ahead of time; the meta thread --- */

void rebuild_settle(struct collection *c, struct rebuild_room *room, bool is_wanted)
{
    for (size_t i = 0; i < c->field_count; i++)
        if (room->held[i])
            vindex_rebuild_settle(c->fields[i].vindex, is_wanted ? 0 : room->added[i]);
    *room = (struct rebuild_room){0};
}

/* What is wanted already has its memory, or waits for it. */
static status reserve_field(const struct collection_field *f, struct vgraph want, bool *held,
                            uint64_t *added, struct err *err)
{
    status st = ST_OK;

    if (same(want, wanted(f)))
        return ST_OK;
    st = vindex_rebuild_reserve(f->vindex, &want, added, err);
    *held = st == ST_OK;
    return st;
}

status rebuild_reserve(struct collection *c, const struct catalog_collection *entry,
                       struct rebuild_room *out, struct err *err)
{
    status st = ST_OK;

    *out = (struct rebuild_room){0};
    if (!has_rows(c))
        return ST_OK;
    for (size_t i = 0; st == ST_OK && i < c->field_count; i++) {
        const struct catalog_field *to = &entry->fields[i];

        st = reserve_field(&c->fields[i],
                           (struct vgraph){.m = to->m,
                                           .ef_construction = to->ef_construction,
                                           .quantization = schema_quantization(to->quantization)},
                           &out->held[i], &out->added[i], err);
    }
    if (st != ST_OK)
        rebuild_settle(c, out, false);
    return st;
}

/* --- steps; the upkeep thread --- */

static void begun(struct collection *c, struct collection_field *f, struct vgraph before,
                  struct vgraph want)
{
    atomic_store(&f->rebuild_waits, false);
    atomic_store(&f->rebuild_wall_ns, clock_wall_ns(c->node->options.clock));
    f->rebuild_mono_ns = clock_mono_ns(c->node->options.clock);
    log_info("a graph is made anew beside the one that serves",
             "collection_id=%s vector=%s m=%u ef_construction=%u quantization=%s m_before=%u "
             "ef_construction_before=%u quantization_before=%s rows=%u bytes=%" PRIu64,
             c->id_text, f->info.name, want.m, want.ef_construction,
             vquantization_name(want.quantization), before.m, before.ef_construction,
             vquantization_name(before.quantization), vindex_rows(f->vindex),
             vindex_bytes(f->vindex));
}

static void done(struct collection *c, struct collection_field *f, struct vgraph want,
                 bool other_links)
{
    double seconds = (double)(clock_mono_ns(c->node->options.clock) - f->rebuild_mono_ns) * 1e-9;

    if (other_links)
        atomic_store(&c->graph_news, true);
    atomic_fetch_add(&c->graphs_made, 1);
    atomic_store(&f->rebuild_wall_ns, 0); /* behind the news */
    stats_observe(c->node->rebuild_seconds, seconds);
    log_info("a graph that was made anew serves",
             "collection_id=%s vector=%s m=%u ef_construction=%u quantization=%s rows=%u linked=%u "
             "pending=%u seconds=%.1f bytes=%" PRIu64,
             c->id_text, f->info.name, want.m, want.ef_construction,
             vquantization_name(want.quantization), vindex_rows(f->vindex),
             vindex_linked(f->vindex), vindex_pending(f->vindex), seconds, vindex_bytes(f->vindex));
}

static void could_not(struct collection *c, struct collection_field *f, status st,
                      const struct err *err)
{
    if (st == ST_CONFLICT || atomic_exchange(&f->rebuild_waits, true))
        return;
    log_warn("a graph is not made anew yet, it is tried again until there is memory",
             "collection_id=%s vector=%s err=%s", c->id_text, f->info.name, err->text);
}

static uint64_t key_of(struct vgraph g)
{
    return (uint64_t)1 << 63 | (uint64_t)g.quantization << 32 | (uint64_t)g.m << 16 |
           g.ef_construction;
}

static bool take_step(struct collection *c, struct collection_field *f, uint64_t settled,
                      struct vgraph before, struct vgraph want);

/* A graph serves a while before the step that made it so has ended, and counted it. */
static bool step(struct collection *c, struct collection_field *f)
{
    uint64_t settled = vindex_rebuild_settled(f->vindex); /* a wish is shown before it is */
    struct vgraph want = wanted(f), before = vindex_graph(f->vindex);
    bool links;

    if (!same(before, want))
        atomic_store(&f->rebuild_ending, key_of(want));
    links = take_step(c, f, settled, before, want);
    atomic_store(&f->rebuild_ending, 0);
    return links;
}

/* True: other links serve, which images have to follow. */
static bool take_step(struct collection *c, struct collection_field *f, uint64_t settled,
                      struct vgraph before, struct vgraph want)
{
    struct vrebuild_progress shown;
    enum vrebuild now = VREBUILD_NONE;
    bool under_way = vindex_rebuild_shown(f->vindex, &shown) && same(shown.made, want);
    struct err err = {0};
    status st = vindex_rebuild_step(f->vindex, &want, settled, &now, &err);

    if (st != ST_OK) {
        could_not(c, f, st, &err);
        return false;
    }
    if (now == VREBUILD_NONE) {
        atomic_store(&f->rebuild_waits, false);
        atomic_store(&f->rebuild_wall_ns, 0);
        return false;
    }
    if (!under_way)
        begun(c, f, before, want);
    if (now == VREBUILD_DONE)
        done(c, f, want, !same_links(before, want));
    linkers_want(c);
    return now == VREBUILD_DONE && !same_links(before, want);
}

/* The image in the bucket is of the old graph: it is due as if there were none. */
static void forget_image(const void *arg, struct bucket_marks *marks)
{
    (void)arg;
    marks->image_rows = 0;
}

bool rebuild_tick(struct collection *c)
{
    bool news = false;

    for (size_t i = 0; i < c->field_count; i++)
        news = step(c, &c->fields[i]) || news;
    if (news && policy_has_bucket(atomic_load(&c->policy)))
        ship_change_marks(c, forget_image, NULL);
    return news;
}

/* --- what is told --- */

/* Codes that are learned from rows come once there are enough of them; nothing is under way. */
static bool waits_for_rows(const struct collection_field *f, struct vgraph want, struct vgraph now)
{
    struct vrebuild_progress shown;

    return same_links(want, now) && want.quantization == VQUANT_BINARY &&
           vindex_rows(f->vindex) < VQUANT_BINARY_ROWS_MIN &&
           !vindex_rebuild_shown(f->vindex, &shown);
}

static void add_field(const struct collection_field *f, struct rebuild_info *out)
{
    struct vgraph want = wanted(f), now = vindex_graph(f->vindex);
    struct vrebuild_progress shown;
    const char *state = "queued";

    if ((same(want, now) && atomic_load(&f->rebuild_ending) != key_of(want)) ||
        waits_for_rows(f, want, now))
        return;
    if (out->state == NULL) {
        out->m = want.m;
        out->ef_construction = want.ef_construction;
        out->quantization = vquantization_name(want.quantization);
        out->started_ns = atomic_load(&f->rebuild_wall_ns);
    }
    if (vindex_rebuild_shown(f->vindex, &shown) && same(shown.made, want)) {
        state = "linking";
        out->linked += shown.linked;
    } else if (same(want, now)) {
        state = "linking";
        out->linked += vindex_linked(f->vindex);
    } else if (atomic_load(&f->rebuild_waits)) {
        state = "waiting";
    }
    out->rows += vindex_rows(f->vindex);
    if (out->state == NULL || strcmp(state, "linking") == 0)
        out->state = state;
}

void rebuild_info_of(struct collection *c, struct rebuild_info *out)
{
    *out = (struct rebuild_info){0};
    for (size_t i = 0; i < c->field_count; i++)
        add_field(&c->fields[i], out);
}
