/* Two ways for a row. One that the image names is loaded into its slot; any other takes a free one,
 * behind the image's, as a start does that replays a log. Which is live follows from the order of
 * lsns alone.
 *
 * A row that dies in a slot of the image stays, dead, because links lead through it; the node
 * repairs that later. One that dies elsewhere is in no graph yet, so it is taken out here: a log
 * that has written every row five times must not need five times the memory. */
#include "snapshot/restore_rows.h"

#include "base/mem.h"
#include "snapshot/replay.h"
#include "snapshot/slot_map.h"

#include <assert.h>
#include <inttypes.h>

enum {
    GRAPH_KEPT_PERCENT = 50, /* of an image's rows must be there for its graph to be of use */
    HOLES_MAX = 8,           /* slots an image may have for each of its rows */
    HOLES_FREE = 65536,      /* ... and that many more */
};

struct placer {
    const struct restore_rows *rows;
    const struct restore_plan *plan;
    struct replay replay;
    struct slot_map map;
    uint32_t map_end;   /* slots below are the image's, until its nodes are in */
    uint32_t map_slots; /* entries it had */
    bool mapped;        /* no more entries come */
    bool nodes_begun;
    bool imported;
    uint32_t *dead; /* RESTORE_DEAD_MAX; outside of the image's slots */
    uint32_t dead_count;
    uint64_t nodes[RECORD_FIELDS_MAX]; /* of each field */
    struct restore_into_report report;
};

/* --- rows that died --- */

static void reclaim(struct placer *p)
{
    if (p->rows->reclaim != NULL) {
        p->rows->reclaim(p->rows->arg);
        return;
    }
    epoch_synchronize(p->rows->epoch);
    while (epoch_collect(p->rows->epoch) > 0)
        ;
}

static bool take_out(struct placer *p, const uint32_t *dead, uint32_t count)
{
    for (size_t i = 0; i < p->rows->field_count; i++)
        if (vindex_repair(p->rows->fields[i].vindex, dead, count, NULL, NULL) != ST_OK)
            return false;
    for (uint32_t i = 0; i < count; i++)
        slots_retire(p->rows->slots, dead[i]);
    reclaim(p);
    return true;
}

static bool take_out_ours(struct placer *p)
{
    bool done = p->dead_count > 0 && take_out(p, p->dead, p->dead_count);

    if (done)
        p->dead_count = 0;
    return done;
}

/* Memory is full while slots wait for rows of the image, or hold its dead ones: better no graph
 * than no collection. What was loaded is pending now, the other slots are free, and every dead row
 * may go. */
static bool give_up_image(struct placer *p)
{
    if (p->imported || p->map_end == 0)
        return false;
    if (!p->nodes_begun && slots_load_finish(p->rows->slots, NULL) != ST_OK)
        return false;
    for (size_t i = 0; i < p->rows->field_count; i++)
        if (vindex_import_finish(p->rows->fields[i].vindex, NULL) != ST_OK)
            return false;
    slot_map_free(&p->map);
    p->report.graph_left_out = true;
    p->nodes_begun = true;
    p->imported = true;
    return true;
}

/* Once the nodes are in, or will not come, rows of the image may go too. */
static bool make_room(void *arg)
{
    struct placer *p = arg;
    bool made;
    uint32_t count;

    if (take_out_ours(p))
        return true;
    made = give_up_image(p);
    if (!p->imported)
        return made;
    count = slots_dead_list(p->rows->slots, p->dead, RESTORE_DEAD_MAX);
    p->dead_count = 0;
    return (count > 0 && take_out(p, p->dead, count)) || made;
}

static void on_dead(void *arg, uint32_t slot)
{
    struct placer *p = arg;

    if (slot < p->map_end)
        return;
    p->dead[p->dead_count++] = slot;
    /* Without memory for the repair they stay, which is no more than a start does. */
    if (p->dead_count == RESTORE_DEAD_MAX && !take_out_ours(p))
        p->dead_count = 0;
}

/* --- the image --- */

static status on_slot(void *arg, const struct image_slot *slot, struct err *err)
{
    struct placer *p = arg;

    if (slot->lsn == 0 || slot->slot >= SLOTS_MAX)
        return err_set(err, ST_CORRUPT, "slot map out of range slot=%" PRIu32, slot->slot);
    if (slot->slot >= p->map_end)
        p->map_end = slot->slot + 1;
    p->map_slots++;
    return slot_map_put(&p->map, slot->lsn, slot->id_hash, slot->slot, err);
}

/* After the last entry: the image's slots are set aside. One that is all holes is not worth its
 * memory. */
static status map_complete(struct placer *p, struct err *err)
{
    if (p->mapped)
        return ST_OK;
    p->mapped = true;
    if (p->map_end > (uint64_t)p->map_slots * HOLES_MAX + HOLES_FREE) {
        slot_map_free(&p->map);
        p->map_end = 0;
    }
    if (p->map_end == 0)
        return ST_OK;
    return slots_load_begin(p->rows->slots, p->map_end, err);
}

/* Into its slot. A row with the same id that is live already and older dies. */
static status load_row(struct placer *p, uint32_t slot, uint64_t lsn, uint64_t inserted_at_ns,
                       const struct record_row *row, struct err *err)
{
    const struct row loaded = {.id = row->id,
                               .lsn = lsn,
                               .inserted_at_ns = inserted_at_ns,
                               .external_id = row->external_id,
                               .payload = row->payload};
    bool has[RECORD_FIELDS_MAX];
    struct epoch_guard guard;
    uint32_t old;
    status st = replay_vectors(&p->replay, row, has, err);

    if (st != ST_OK)
        return st;
    guard = epoch_enter(p->rows->epoch);
    old = slots_find(p->rows->slots, &row->id);
    epoch_leave(p->rows->epoch, guard);
    st = replay_reserve(&p->replay, slot, err);
    if (st == ST_OK)
        st = slots_load(p->rows->slots, slot, false, &loaded, err);
    if (st != ST_OK)
        return st;
    replay_fill(&p->replay, slot, has);
    p->report.placed++;
    if (old != SLOT_NONE)
        on_dead(p, old);
    return ST_OK;
}

static status put_row(void *arg, uint64_t lsn, uint64_t inserted_at_ns,
                      const struct record_row *row, struct err *err)
{
    struct placer *p = arg;
    uint32_t slot = SLOT_NONE;
    status st;

    if (p->map.count > 0 && replay_live_lsn(&p->replay, &row->id) < lsn)
        slot = slot_map_take(&p->map, lsn, (uint32_t)docid_hash(&row->id));
    if (slot == SLOT_NONE)
        return replay_row(&p->replay, lsn, inserted_at_ns, row, err);
    st = load_row(p, slot, lsn, inserted_at_ns, row, err);
    if (st != ST_NOSPACE || !make_room(p))
        return st;
    return p->imported ? replay_row(&p->replay, lsn, inserted_at_ns, row, err)
                       : load_row(p, slot, lsn, inserted_at_ns, row, err);
}

static status on_row(void *arg, const struct segment_row *row, struct err *err)
{
    status st = map_complete(arg, err);

    return st == ST_OK ? put_row(arg, row->lsn, row->inserted_at_ns, &row->row, err) : st;
}

/* After the last node, before the next record. */
static status nodes_complete(struct placer *p, struct err *err)
{
    status st = ST_OK;

    if (!p->nodes_begun || p->imported)
        return ST_OK;
    p->imported = true;
    for (size_t i = 0; st == ST_OK && i < p->rows->field_count; i++)
        st = vindex_import_finish(p->rows->fields[i].vindex, err);
    return st;
}

static status on_delete(void *arg, uint64_t lsn, const struct docid *id, struct err *err)
{
    const struct restore_rows *rows = ((struct placer *)arg)->rows;

    return rows->on_delete(rows->arg, lsn, id, err);
}

static status on_record(void *arg, uint64_t lsn, struct slice payload, struct err *err)
{
    struct placer *p = arg;
    status st = nodes_complete(p, err);

    if (st == ST_OK)
        st = map_complete(p, err);
    if (st == ST_OK && p->rows->on_record != NULL)
        st = p->rows->on_record(p->rows->arg, lsn, payload, err);
    return st == ST_OK ? replay_record(&p->replay, lsn, payload, err) : st;
}

/* With what the image of a field was made; m 0: there is none, or it is not known. */
static struct vgraph made_of(const struct placer *p, uint16_t field)
{
    const struct manifest *m = &p->plan->manifest;

    for (size_t i = 0; i < m->image_count; i++)
        if (m->images[i].field == field)
            return (struct vgraph){.m = m->images[i].m,
                                   .ef_construction = m->images[i].ef_construction};
    return (struct vgraph){0};
}

/* Graphs of other making than the fields are for now come as they are. Known before the first row,
 * so that rows are charged with their links and no others. */
static status take_graphs(const struct placer *p, struct err *err)
{
    status st = ST_OK;

    for (size_t i = 0; st == ST_OK && i < p->rows->field_count; i++) {
        const struct checkpoint_field *f = &p->rows->fields[i];
        struct vgraph made = made_of(p, f->id);

        if (made.m != 0)
            st = vindex_graph_load(f->vindex, &made, err);
    }
    return st;
}

/* All rows at or below the image's lsn are there. What is left of the map will not come. */
static status on_nodes_begin(void *arg, struct err *err)
{
    struct placer *p = arg;
    status st = map_complete(p, err);

    if (st != ST_OK || p->nodes_begun)
        return st;
    p->nodes_begun = true;
    if (p->map_end > 0)
        st = slots_load_finish(p->rows->slots, err);
    p->report.graph_left_out = p->report.placed * 100 < (uint64_t)p->map_slots * GRAPH_KEPT_PERCENT;
    slot_map_free(&p->map);
    return st;
}

static const struct checkpoint_field *field_of(const struct placer *p, uint16_t id)
{
    for (size_t i = 0; i < p->rows->field_count; i++)
        if (p->rows->fields[i].id == id)
            return &p->rows->fields[i];
    return NULL;
}

static bool is_there(const struct placer *p, const struct vindex *v, uint32_t slot)
{
    enum slot_state state = slot < p->map_end ? slots_state(p->rows->slots, slot) : SLOT_FREE;

    return (state == SLOT_LIVE || state == SLOT_DEAD) && vindex_filled(v, slot);
}

static status on_node(void *arg, uint16_t field, const struct image_node *node, struct err *err)
{
    struct placer *p = arg;
    const struct checkpoint_field *f = field_of(p, field);
    struct vnode in = {.slot = node->slot, .level = node->level};
    status st;

    if (f == NULL || p->report.graph_left_out || !is_there(p, f->vindex, node->slot))
        return ST_OK;
    if (node->level > VNODE_LEVEL_MAX)
        return err_set(err, ST_CORRUPT, "graph node level out of range slot=%" PRIu32, node->slot);
    for (uint32_t level = 0; level <= node->level; level++) {
        in.counts[level] = node->counts[level];
        in.links[level] = node->links[level];
    }
    st = vindex_node_import(f->vindex, &in, err);
    if (st == ST_OK)
        p->nodes[(size_t)(f - p->rows->fields)]++;
    return st;
}

static void on_progress(void *arg, uint64_t objects_done, uint64_t objects, uint64_t bytes_done)
{
    const struct restore_rows *rows = ((struct placer *)arg)->rows;

    if (rows->on_progress != NULL)
        rows->on_progress(rows->arg, objects_done, objects, bytes_done);
}

static void on_gap(void *arg, uint64_t first_lsn, uint64_t last_lsn)
{
    const struct restore_rows *rows = ((struct placer *)arg)->rows;

    if (rows->on_gap != NULL)
        rows->on_gap(rows->arg, first_lsn, last_lsn);
}

/* Rows of a field that the collection has not would be lost without a word. */
static status check_fields(const struct placer *p, const struct restore_plan *plan, struct err *err)
{
    const struct catalog_collection *schema = &plan->manifest.schema;

    for (size_t i = 0; plan->has_manifest && i < schema->field_count; i++) {
        const struct checkpoint_field *f = field_of(p, schema->fields[i].id);

        if (f == NULL || f->dim != schema->fields[i].dim)
            return err_set(err, ST_INVALID,
                           "the bucket has vector field %u of %" PRIu32
                           " dimensions, which the collection has not",
                           schema->fields[i].id, schema->fields[i].dim);
    }
    return ST_OK;
}

static status place_all(struct placer *p, const struct restore_options *options,
                        const struct restore_plan *plan, struct err *err)
{
    const struct restore_sink sink = {.arg = p,
                                      .on_slot = on_slot,
                                      .on_row = on_row,
                                      .on_nodes_begin = on_nodes_begin,
                                      .on_node = on_node,
                                      .on_record = on_record,
                                      .on_gap = on_gap,
                                      .on_progress = on_progress};
    status st = check_fields(p, plan, err);

    if (st == ST_OK && plan->has_manifest && !options->without_image)
        st = take_graphs(p, err);
    if (st == ST_OK)
        st = restore_run(options, plan, &sink, &p->report.bucket, err);
    if (st == ST_OK)
        st = nodes_complete(p, err);
    if (st == ST_OK)
        (void)take_out_ours(p); /* else the node does it */
    return st;
}

static uint64_t most_nodes(const struct placer *p)
{
    uint64_t most = 0;

    for (size_t i = 0; i < p->rows->field_count; i++)
        most = p->nodes[i] > most ? p->nodes[i] : most;
    return most;
}

status restore_into(const struct restore_options *options, const struct restore_plan *plan,
                    const struct restore_rows *rows, struct restore_into_report *out,
                    struct err *err)
{
    struct placer p = {.rows = rows,
                       .plan = plan,
                       .replay = {.slots = rows->slots,
                                  .epoch = rows->epoch,
                                  .fields = rows->fields,
                                  .field_count = rows->field_count,
                                  .make_room = make_room,
                                  .on_dead = on_dead,
                                  .on_delete = rows->on_delete == NULL ? NULL : on_delete,
                                  .put_row = put_row}};
    status st;

    assert(slots_end(rows->slots) == 0);
    p.replay.arg = &p;
    p.dead = mem_alloc_array(RESTORE_DEAD_MAX, sizeof *p.dead);
    st = p.dead == NULL ? err_set(err, ST_NOMEM, "out of memory for a restore")
                        : replay_init(&p.replay, err);
    if (st == ST_OK)
        st = place_all(&p, options, plan, err);
    if (st == ST_OK) {
        p.report.live = slots_live_count(rows->slots);
        p.report.nodes = most_nodes(&p);
        for (size_t i = 0; i < rows->field_count; i++)
            p.report.pending += vindex_pending(rows->fields[i].vindex);
        *out = p.report;
    }
    slot_map_free(&p.map);
    replay_fini(&p.replay);
    mem_free(p.dead);
    return st == ST_OK ? ST_OK : err_wrap(err, st, "restore from the bucket");
}
