/* The graph of the local checkpoint as image parts: for each slot which row is in it, and its
 * links.
 *
 * An image only says where a restore may put a row so that links fit: rows themselves, and which of
 * them are live, come from segments and log. So it needs no moment of its own and can be older or
 * newer than they are. The checkpoint names slots by lsn; the hash of the id, which tells the rows
 * of one record apart, comes from the slots of now: an entry whose slot has another row by now is
 * left out, and its node with it, as are rows above the start lsn (a restore links those itself).
 *
 * The checkpoint's files are opened at once and stay open, as a later checkpoint removes their
 * names. */
#include "base/mem.h"
#include "snapshot/checkpoint_internal.h"
#include "snapshot/publish_internal.h"

#include <inttypes.h>

enum { HASH_BATCH_SLOTS = 1024, OPEN_TRIES = 4 };

struct files { /* of the checkpoint, all open */
    struct ckpt_manifest m;
    struct ckpt_in live;
    struct ckpt_in graphs[RECORD_FIELDS_MAX];
    const struct ckpt_file *graph_files[RECORD_FIELDS_MAX];
    size_t graph_count;
};

struct parts { /* one field's image being written */
    struct publisher *p;
    const struct files *files;
    uint16_t field;
    struct ckpt_live live;
    struct ckpt_graph graph;
    struct vnode node; /* read, not written yet */
    bool has_node;
    uint32_t *hashes; /* of the block's slots */
    struct image_writer *writer;
    uint32_t slot_first; /* of the part */
    uint32_t slots;      /* in it */
};

static void files_close(struct files *f)
{
    ckpt_in_close(&f->live);
    for (size_t i = 0; i < f->graph_count; i++)
        ckpt_in_close(&f->graphs[i]);
    ckpt_manifest_free(&f->m);
    f->graph_count = 0;
}

static status files_open_once(const struct publish_options *o, struct files *f, bool *gone,
                              struct err *err)
{
    const struct ckpt_file *live;
    status st = ckpt_manifest_read(o->fs, o->checkpoint_dir, o->collection, &f->m, err);

    *gone = st == ST_NOT_FOUND;
    if (st != ST_OK)
        return st;
    live = ckpt_manifest_find(&f->m, CKPT_LIVE, 0);
    st = ckpt_in_open(o->fs, o->checkpoint_dir, o->collection, live, &f->live, err);
    *gone = f->live.missing;
    if (st != ST_OK)
        return ckpt_name_file(live, st, err);
    for (size_t i = 0; i < f->m.file_count; i++) {
        const struct ckpt_file *file = &f->m.files[i];
        struct ckpt_in *in = &f->graphs[f->graph_count];

        if (file->kind != CKPT_GRAPH || file->items == 0)
            continue;
        f->graph_files[f->graph_count++] = file;
        st = ckpt_in_open(o->fs, o->checkpoint_dir, o->collection, file, in, err);
        *gone = in->missing;
        if (st != ST_OK)
            return ckpt_name_file(file, st, err);
    }
    return ST_OK;
}

/* A checkpoint that ends between our reading of its manifest and our opening of its files takes
 * them away; the new one has others. */
static status files_open(const struct publish_options *o, struct files *f, struct err *err)
{
    status st = ST_OK;
    bool gone = true;

    for (unsigned i = 0; gone && i < OPEN_TRIES; i++) {
        files_close(f);
        *f = (struct files){.graph_count = 0};
        st = files_open_once(o, f, &gone, err);
    }
    if (gone)
        return err_set(err, ST_UNAVAILABLE, "there is no checkpoint in %s yet, or it changes",
                       o->checkpoint_dir);
    return st;
}

/* Entries that are not for the image become none. */
static void check_slots(struct parts *w, uint32_t first, uint32_t end)
{
    const struct publish_options *o = w->p->options;
    struct epoch_guard guard = epoch_enter(o->epoch);

    for (uint32_t at = first; at < end; at++) {
        uint32_t slot = w->live.first + at;
        enum slot_state state;
        struct row row;

        if (w->live.states[at] == 0)
            continue;
        state = slot < slots_end(o->slots) ? slots_state(o->slots, slot) : SLOT_FREE;
        if (w->live.lsns[at] > w->files->m.start_lsn ||
            (state != SLOT_LIVE && state != SLOT_DEAD)) {
            w->live.states[at] = 0;
            continue;
        }
        slots_row(o->slots, slot, &row);
        if (row.lsn != w->live.lsns[at])
            w->live.states[at] = 0;
        else
            w->hashes[at] = (uint32_t)docid_hash(&row.id);
    }
    epoch_leave(o->epoch, guard);
}

static status check_block(struct parts *w, struct err *err)
{
    status st = ST_OK;

    for (uint32_t at = 0; st == ST_OK && at < w->live.slots; at += HASH_BATCH_SLOTS) {
        uint32_t left = w->live.slots - at;

        check_slots(w, at, at + (left < HASH_BATCH_SLOTS ? left : HASH_BATCH_SLOTS));
        st = publish_step(w->p, err);
    }
    return st;
}

static status part_begin(struct parts *w, struct err *err)
{
    struct image_head head = {.field = w->field,
                              .start_lsn = w->files->m.start_lsn,
                              .slot_first = w->slot_first,
                              .slots_end = w->files->m.slots_end};

    memcpy(head.collection, w->p->options->collection, sizeof head.collection);
    w->slots = 0;
    return image_create(&head, &w->writer, err);
}

static status part_end(struct parts *w, uint32_t slot_end, struct err *err)
{
    struct manifest_image item = {
        .field = w->field, .m = w->graph.made.m, .ef_construction = w->graph.made.ef_construction};
    struct image_head head;
    struct slice bytes;
    status st = image_finish(w->writer, slot_end, &head, &bytes, err);

    if (st == ST_OK)
        st = publish_data(w->p, bytes, &item.object, err);
    if (st != ST_OK)
        return st;
    item.start_lsn = head.start_lsn;
    item.slot_first = head.slot_first;
    item.slot_end = head.slot_end;
    item.slots_end = head.slots_end;
    item.nodes = head.nodes;
    w->p->report.image_nodes += head.nodes;
    w->slot_first = slot_end;
    image_writer_destroy(w->writer);
    w->writer = NULL;
    return manifest_add_image(&w->p->now, &item, err);
}

static status next_node(struct parts *w, struct err *err)
{
    status st = ckpt_graph_next(&w->graph, &w->node, err);

    w->has_node = st == ST_OK;
    return st == ST_NOT_FOUND ? ST_OK : st;
}

/* The node of `slot`, if it has one; those of slots before it are not wanted. */
static status add_node(struct parts *w, uint32_t slot, struct err *err)
{
    struct image_node out;
    status st = ST_OK;

    while (st == ST_OK && w->has_node && w->node.slot < slot)
        st = next_node(w, err);
    if (st != ST_OK || !w->has_node || w->node.slot != slot)
        return st;
    out = (struct image_node){.slot = slot, .level = w->node.level};
    for (uint32_t level = 0; level <= w->node.level; level++) {
        out.counts[level] = w->node.counts[level];
        out.links[level] = w->node.links[level];
    }
    return image_add_node(w->writer, &out, err);
}

static status add_block(struct parts *w, struct err *err)
{
    status st = check_block(w, err);

    for (uint32_t at = 0; st == ST_OK && at < w->live.slots; at++) {
        struct image_slot slot = {.slot = w->live.first + at,
                                  .dead = w->live.states[at] == SLOT_DEAD,
                                  .lsn = w->live.lsns[at],
                                  .id_hash = w->hashes[at]};

        if (w->live.states[at] == 0)
            continue;
        if (w->slots > 0 && image_bytes(w->writer) >= w->p->tuning->object_bytes) {
            st = part_end(w, slot.slot, err);
            if (st == ST_OK)
                st = part_begin(w, err);
        }
        if (st == ST_OK)
            st = image_add_slot(w->writer, &slot, err);
        if (st == ST_OK)
            st = add_node(w, slot.slot, err);
        w->slots++;
    }
    return st;
}

static status write_parts(struct parts *w, struct err *err)
{
    status st = next_node(w, err);

    if (st == ST_OK)
        st = part_begin(w, err);
    while (st == ST_OK) {
        st = ckpt_live_next(&w->live, err);
        if (st == ST_OK)
            st = add_block(w, err);
    }
    return st == ST_NOT_FOUND ? part_end(w, w->files->m.slots_end, err) : st;
}

static status write_field(struct publisher *p, struct files *f, size_t graph, struct err *err)
{
    const struct ckpt_file *file = f->graph_files[graph];
    struct parts w = {.p = p, .files = f, .field = (uint16_t)file->number};
    status st = ckpt_live_open(&w.live, f->live.container, &f->m, err);

    if (st == ST_OK)
        st = ckpt_graph_open(&w.graph, f->graphs[graph].container, &f->m, file, err);
    w.hashes = mem_alloc_array(f->m.block_slots, sizeof *w.hashes);
    if (st == ST_OK && w.hashes == NULL)
        st = err_set(err, ST_NOMEM, "out of memory for a graph image");
    if (st == ST_OK)
        st = write_parts(&w, err);
    image_writer_destroy(w.writer);
    ckpt_live_close(&w.live);
    ckpt_graph_close(&w.graph);
    mem_free(w.hashes);
    return st == ST_OK ? ST_OK : err_wrap(err, st, "vector field %u", w.field);
}

/* An index that had no graph yet has no image either. */
status publish_image(struct publisher *p, struct err *err)
{
    struct files f = {.graph_count = 0};
    status st = files_open(p->options, &f, err);

    p->now.image_count = 0;
    for (size_t i = 0; st == ST_OK && i < f.graph_count; i++)
        st = write_field(p, &f, i, err);
    if (st == ST_OK && f.graph_count > 0)
        p->report.image_lsn = f.m.start_lsn;
    files_close(&f);
    return st == ST_OK ? ST_OK : err_wrap(err, st, "graph image");
}
