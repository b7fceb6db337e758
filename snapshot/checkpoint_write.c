/* Writing a checkpoint beside readers and writers. docs/formats/checkpoint.md has the proof that
 * what comes out, with the log behind it, is exact; this keeps the order that the proof needs:
 * pause reuse, note the end, blocks, liveness, graphs, sync, manifest, then remove. */
#include "base/mem.h"
#include "segment/pack.h"
#include "snapshot/checkpoint_internal.h"

#include <inttypes.h>
#include <stdatomic.h>

enum {
    BATCH_ROWS = 64,          /* rows or nodes copied in one epoch guard */
    BATCH_BYTES = 256 * 1024, /* a guard is left when so much was copied */
    LIVE_BATCH_SLOTS = 16384, /* slots looked at in one guard; nothing is copied but numbers */
};

status ckpt_step(struct ckpt_writer *w, struct err *err)
{
    if (w->tuning->step != NULL)
        w->tuning->step(w->tuning->arg);
    if (w->stop != NULL && atomic_load_explicit(w->stop, memory_order_relaxed))
        return err_set(err, ST_CLOSED, "the checkpoint was stopped");
    return ST_OK;
}

status ckpt_out_open(struct ckpt_writer *w, enum ckpt_file_kind kind, uint32_t number,
                     enum container_kind container_kind, uint16_t section, struct ckpt_out *out,
                     struct err *err)
{
    char path[FS_PATH_BYTES];
    status st;

    *out = (struct ckpt_out){.file = {.kind = (uint8_t)kind,
                                      .number = number,
                                      .generation = w->now.generation,
                                      .start_lsn = w->now.start_lsn}};
    st = ckpt_file_path(w->state->dir, &out->file, path, err);
    if (st == ST_OK)
        st = container_file_create(w->state->fs, path, &out->sink, err);
    if (st == ST_OK)
        st = container_create(&out->sink.sink, container_kind, w->state->collection_id,
                              &out->container, err);
    if (st == ST_OK)
        st = container_section(out->container, section, 0, err);
    return st;
}

status ckpt_out_finish(struct ckpt_writer *w, struct ckpt_out *out, struct err *err)
{
    status st = container_finish(out->container, &out->file.bytes, &out->file.crc, err);

    if (st == ST_OK)
        st = container_file_sync(&out->sink, err);
    if (st == ST_OK)
        st = ckpt_manifest_add(&w->now, &out->file, err);
    if (st == ST_OK)
        w->bytes_written += out->file.bytes;
    return st;
}

void ckpt_out_close(struct ckpt_out *out)
{
    container_writer_destroy(out->container);
    container_file_sink_close(&out->sink);
}

static bool is_row(const struct slots *slots, uint32_t slot)
{
    enum slot_state state = slots_state(slots, slot);

    return state == SLOT_LIVE || state == SLOT_DEAD;
}

/* One row behind the others in the batch. Inside a guard: what row and vectors point to stays. */
static status put_row(struct ckpt_writer *w, uint32_t slot, struct err *err)
{
    struct record_vector vectors[RECORD_FIELDS_MAX];
    struct buf *b = &w->batch;
    size_t at = b->bytes;
    uint16_t count = 0;
    const char *problem;
    struct row row;

    slots_row(w->state->slots, slot, &row);
    for (size_t i = 0; i < w->state->field_count; i++) {
        const struct checkpoint_field *f = &w->state->fields[i];

        if (vindex_filled(f->vindex, slot))
            vectors[count++] = (struct record_vector){
                .field = f->id, .dim = f->dim, .values = vindex_vector(f->vindex, slot)};
    }
    buf_put_u32(b, 0); /* bytes: below */
    buf_put_u32(b, slot);
    buf_put_u64(b, row.lsn);
    buf_put_u64(b, row.inserted_at_ns);
    problem = record_row_put(b, &row.id, row.external_id, row.payload, vectors, count);
    if (problem != NULL)
        return err_set(err, ST_BUG, "row cannot be written slot=%" PRIu32 ": %s", slot, problem);
    buf_set_u32(b, at, (uint32_t)(b->bytes - at - 4));
    return buf_status(b, err);
}

/* Copies rows from *slot on until the batch is full; moves *slot behind what was looked at. */
static status fill_batch(struct ckpt_writer *w, uint32_t *slot, uint32_t end, uint32_t *rows,
                         struct err *err)
{
    struct epoch_guard guard = epoch_enter(w->state->epoch);
    uint32_t count = 0;
    status st = ST_OK;

    buf_reset(&w->batch);
    while (st == ST_OK && *slot < end && count < w->tuning->batch_rows &&
           w->batch.bytes < BATCH_BYTES) {
        if (is_row(w->state->slots, *slot)) {
            st = put_row(w, *slot, err);
            count++;
        }
        (*slot)++;
    }
    epoch_leave(w->state->epoch, guard);
    *rows += count;
    return st;
}

static status write_block(struct ckpt_writer *w, uint32_t block, uint32_t first, uint32_t end,
                          struct err *err)
{
    struct ckpt_out out;
    uint32_t slot = first;
    status st = ckpt_out_open(w, CKPT_ROWS, block, CONTAINER_ROWS, CKPT_SECTION_ROWS, &out, err);

    while (st == ST_OK && slot < end) {
        st = fill_batch(w, &slot, end, &out.file.items, err);
        if (st == ST_OK)
            st = container_write(out.container, buf_slice(&w->batch), err);
        if (st == ST_OK)
            st = ckpt_step(w, err);
    }
    if (st == ST_OK)
        st = ckpt_out_finish(w, &out, err);
    ckpt_out_close(&out);
    w->blocks_written += st == ST_OK;
    return st;
}

/* Whether any slot of [first, end) has a row, and the largest lsn of one. */
static bool block_lsn_max(struct ckpt_writer *w, uint32_t first, uint32_t end, uint64_t *lsn_max)
{
    struct epoch_guard guard = epoch_enter(w->state->epoch);
    bool any = false;

    *lsn_max = 0;
    for (uint32_t slot = first; slot < end; slot++) {
        struct row row;

        if (!is_row(w->state->slots, slot))
            continue;
        slots_row(w->state->slots, slot, &row);
        any = true;
        if (row.lsn > *lsn_max)
            *lsn_max = row.lsn;
    }
    epoch_leave(w->state->epoch, guard);
    return any;
}

/* A file that is still whole by its size. */
static bool is_there(struct ckpt_writer *w, const struct ckpt_file *file)
{
    char path[FS_PATH_BYTES];
    struct fs_stat stat;

    return ckpt_file_path(w->state->dir, file, path, NULL) == ST_OK &&
           fs_stat(w->state->fs, path, &stat, NULL) == ST_OK && !stat.is_dir &&
           stat.bytes == file->bytes;
}

static status keep_or_write_block(struct ckpt_writer *w, uint32_t block, struct err *err)
{
    uint32_t first = block * w->now.block_slots;
    uint32_t left = w->now.slots_end - first;
    uint32_t end = first + (left < w->now.block_slots ? left : w->now.block_slots);
    const struct ckpt_file *old = ckpt_manifest_find(&w->before, CKPT_ROWS, block);
    uint64_t lsn_max;

    if (!block_lsn_max(w, first, end, &lsn_max))
        return ST_OK; /* no rows, no file */
    if (old != NULL && !w->state->keep_nothing && w->before.block_slots == w->now.block_slots &&
        lsn_max <= old->start_lsn && is_there(w, old)) {
        w->blocks_kept++;
        return ckpt_manifest_add(&w->now, old, err);
    }
    return write_block(w, block, first, end, err);
}

status ckpt_write_blocks(struct ckpt_writer *w, struct err *err)
{
    uint32_t blocks =
        (uint32_t)(((uint64_t)w->now.slots_end + w->now.block_slots - 1) / w->now.block_slots);
    status st = ST_OK;

    for (uint32_t block = 0; st == ST_OK && block < blocks; block++) {
        st = keep_or_write_block(w, block, err);
        if (st == ST_OK)
            st = ckpt_step(w, err);
    }
    return st;
}

struct live_group { /* entries of one block, being written */
    uint32_t block;
    uint32_t entries;
    uint32_t next_slot; /* the first slot not yet looked at */
    uint64_t lsn;       /* of the entry before */
};

static void put_entry(struct ckpt_writer *w, struct live_group *g, uint32_t slot, bool dead,
                      uint64_t lsn)
{
    buf_put_varint(&w->batch, (uint64_t)(slot - g->next_slot) << 1 | dead);
    buf_put_varint(&w->batch, zigzag((int64_t)(lsn - g->lsn)));
    g->next_slot = slot + 1;
    g->lsn = lsn;
    g->entries++;
    if (dead)
        w->now.dead++;
    else
        w->now.live++;
    if (lsn > w->now.lsn_max)
        w->now.lsn_max = lsn;
}

static void scan_live(struct ckpt_writer *w, struct live_group *g, uint32_t first, uint32_t end)
{
    struct epoch_guard guard = epoch_enter(w->state->epoch);

    for (uint32_t slot = first; slot < end; slot++) {
        enum slot_state state = slots_state(w->state->slots, slot);
        struct row row;

        if (state != SLOT_LIVE && state != SLOT_DEAD)
            continue;
        slots_row(w->state->slots, slot, &row);
        put_entry(w, g, slot, state == SLOT_DEAD, row.lsn);
    }
    epoch_leave(w->state->epoch, guard);
}

static status write_live_group(struct ckpt_writer *w, struct ckpt_out *out, uint32_t block,
                               struct err *err)
{
    uint32_t first = block * w->now.block_slots;
    uint32_t left = w->now.slots_end - first;
    uint32_t end = first + (left < w->now.block_slots ? left : w->now.block_slots);
    uint32_t step = w->tuning->batch_rows < BATCH_ROWS ? w->tuning->batch_rows : LIVE_BATCH_SLOTS;
    struct live_group g = {.block = block, .next_slot = first};
    status st = ST_OK;

    buf_reset(&w->batch);
    buf_put_u32(&w->batch, block);
    buf_put_u64(&w->batch, 0); /* entries, bytes: below */
    for (uint32_t at = first; st == ST_OK && at < end; at += step) {
        scan_live(w, &g, at, end - at < step ? end : at + step);
        st = ckpt_step(w, err);
    }
    if (st != ST_OK || g.entries == 0)
        return st;
    buf_set_u32(&w->batch, 4, g.entries);
    buf_set_u32(&w->batch, 8, (uint32_t)(w->batch.bytes - CKPT_LIVE_HEAD_BYTES));
    st = buf_status(&w->batch, err);
    out->file.items += g.entries;
    return st == ST_OK ? container_write(out->container, buf_slice(&w->batch), err) : st;
}

status ckpt_write_live(struct ckpt_writer *w, struct err *err)
{
    uint32_t blocks =
        (uint32_t)(((uint64_t)w->now.slots_end + w->now.block_slots - 1) / w->now.block_slots);
    struct ckpt_out out;
    status st = ckpt_out_open(w, CKPT_LIVE, 0, CONTAINER_ROWS, CKPT_SECTION_LIVE, &out, err);

    w->now.lsn_max = w->now.start_lsn;
    for (uint32_t block = 0; st == ST_OK && block < blocks; block++)
        st = write_live_group(w, &out, block, err);
    if (st == ST_OK)
        st = ckpt_out_finish(w, &out, err);
    ckpt_out_close(&out);
    return st;
}

/* Links to what came after the end are no use: those rows are in the log. */
static uint32_t drop_beyond(struct vnode *node, uint32_t *links, uint32_t slots_end)
{
    uint32_t kept = 0;

    for (uint32_t level = 0; level <= node->level; level++) {
        uint16_t count = 0;

        for (uint16_t i = 0; i < node->counts[level]; i++) {
            uint32_t link = node->links[level][i];

            if (link < slots_end) {
                links[kept++] = link;
                count++;
            }
        }
        node->counts[level] = count;
    }
    return kept;
}

static void put_node(struct ckpt_writer *w, struct vnode *node, uint32_t *links, unsigned bits)
{
    uint32_t count = drop_beyond(node, links, w->now.slots_end);
    size_t bytes = link_packed_bytes(count, bits);

    buf_put_u32(&w->batch, node->slot);
    buf_put_u8(&w->batch, node->level);
    for (uint32_t level = 0; level <= node->level; level++)
        buf_put_u16(&w->batch, node->counts[level]);
    if (!buf_reserve(&w->batch, bytes))
        return;
    link_pack(links, count, bits, w->batch.data + w->batch.bytes);
    w->batch.bytes += bytes;
}

/* A node is copied whole, under its own seqlock; the guard keeps the upper lists that a repair
 * frees meanwhile. */
static void fill_nodes(struct ckpt_writer *w, const struct checkpoint_field *f, uint32_t *links,
                       uint32_t *slot, uint32_t *nodes)
{
    struct epoch_guard guard = epoch_enter(w->state->epoch);
    unsigned bits = link_bits(w->now.slots_end);
    uint32_t count = 0;

    buf_reset(&w->batch);
    while (*slot < w->now.slots_end && count < w->tuning->batch_rows &&
           w->batch.bytes < BATCH_BYTES) {
        struct vnode node;

        if (vindex_node_export(f->vindex, *slot, links, &node)) {
            put_node(w, &node, links, bits);
            count++;
        }
        (*slot)++;
    }
    epoch_leave(w->state->epoch, guard);
    *nodes += count;
}

static void put_graph_head(struct ckpt_writer *w, const struct checkpoint_field *f)
{
    struct vgraph made = vindex_graph(f->vindex);

    buf_reset(&w->batch);
    buf_put_u16(&w->batch, f->id);
    buf_put_u16(&w->batch, 0);
    buf_put_u32(&w->batch, w->now.slots_end);
    buf_put_u8(&w->batch, (uint8_t)link_bits(w->now.slots_end));
    buf_put_u8(&w->batch, (uint8_t)made.m);
    buf_put_u16(&w->batch, made.ef_construction);
    buf_put_zeros(&w->batch, 4);
}

static status write_graph(struct ckpt_writer *w, const struct checkpoint_field *f, struct err *err)
{
    uint32_t *links = mem_alloc_array(vindex_node_links_max(f->vindex), sizeof *links);
    struct ckpt_out out = {0};
    uint32_t slot = 0;
    status st = links != NULL ? ST_OK : err_set(err, ST_NOMEM, "out of memory for links");

    if (st == ST_OK)
        st = ckpt_out_open(w, CKPT_GRAPH, f->id, CONTAINER_IMAGE, CKPT_SECTION_GRAPH, &out, err);
    put_graph_head(w, f);
    while (st == ST_OK) {
        st = buf_status(&w->batch, err);
        if (st == ST_OK)
            st = container_write(out.container, buf_slice(&w->batch), err);
        if (st == ST_OK)
            st = ckpt_step(w, err);
        if (slot == w->now.slots_end)
            break;
        fill_nodes(w, f, links, &slot, &out.file.items);
    }
    if (st == ST_OK)
        st = ckpt_out_finish(w, &out, err);
    ckpt_out_close(&out);
    mem_free(links);
    return st;
}

/* In the manifest fields rise; the caller's list may not. */
static const struct checkpoint_field *next_field(const struct checkpoint_state *state,
                                                 const struct checkpoint_field *after)
{
    const struct checkpoint_field *next = NULL;

    for (size_t i = 0; i < state->field_count; i++) {
        const struct checkpoint_field *f = &state->fields[i];

        if ((after == NULL || f->id > after->id) && (next == NULL || f->id < next->id))
            next = f;
    }
    return next;
}

status ckpt_write_graphs(struct ckpt_writer *w, struct err *err)
{
    const struct checkpoint_field *f = NULL;
    status st = ST_OK;

    while (st == ST_OK && (f = next_field(w->state, f)) != NULL) {
        w->now.fields[w->now.field_count].id = f->id;
        w->now.fields[w->now.field_count++].dim = f->dim;
        st = write_graph(w, f, err);
    }
    return st;
}

/* What was there before, and the number of this one. A manifest that cannot be read keeps nothing:
 * then everything is written anew. */
static status begin(struct ckpt_writer *w, uint64_t start_lsn, uint64_t created_at_ns,
                    struct err *err)
{
    const struct checkpoint_state *s = w->state;
    uint64_t generation;
    status st = fs_mkdir_all(s->fs, s->dir, err);

    if (st == ST_OK)
        st = ckpt_manifest_read(s->fs, s->dir, s->collection_id, &w->before, err);
    /* The first one here: nobody can say that the folder's own name is on disk. */
    if (st == ST_NOT_FOUND || st == ST_CORRUPT)
        st = fs_sync_above(s->fs, s->dir, err);
    if (st == ST_OK)
        st = ckpt_generation_max(s->fs, s->dir, &generation, err);
    if (st != ST_OK)
        return st;
    if (w->before.generation > generation)
        generation = w->before.generation;
    w->now.generation = generation + 1;
    w->now.start_lsn = start_lsn;
    w->now.lsn_max = start_lsn;
    w->now.created_at_ns = created_at_ns;
    w->now.block_slots = w->tuning->block_slots;
    memcpy(w->now.collection_id, s->collection_id, sizeof w->now.collection_id);
    return ST_OK;
}

static status write_files(struct ckpt_writer *w, struct err *err)
{
    status st;

    slots_reuse_pause(w->state->slots);
    w->now.slots_end = slots_end(w->state->slots);
    st = ckpt_write_blocks(w, err);
    if (st == ST_OK)
        st = ckpt_write_live(w, err);
    if (st == ST_OK)
        st = ckpt_write_graphs(w, err);
    slots_reuse_resume(w->state->slots);
    if (st == ST_OK)
        st = fs_sync_dir(w->state->fs, w->state->dir, err);
    if (st == ST_OK && w->state->settle_log != NULL)
        st = w->state->settle_log(w->state->settle_arg, w->now.lsn_max, err);
    if (st != ST_OK)
        ckpt_remove_unnamed(w->state->fs, w->state->dir, &w->before, w->now.generation);
    return st;
}

status ckpt_write(const struct checkpoint_state *state, uint64_t start_lsn, uint64_t created_at_ns,
                  const _Atomic bool *stop, const struct ckpt_tuning *tuning,
                  struct checkpoint_info *out, struct err *err)
{
    struct ckpt_writer w = {.state = state, .tuning = tuning, .stop = stop};
    uint64_t manifest_bytes = 0;
    status st;

    assert(tuning->block_slots > 0 && tuning->block_slots <= CKPT_BLOCK_SLOTS_MAX);
    assert(state->field_count <= RECORD_FIELDS_MAX);
    buf_init(&w.batch, CKPT_ROW_BYTES_MAX + BATCH_BYTES +
                           (size_t)CKPT_BLOCK_SLOTS_MAX * CKPT_LIVE_ENTRY_BYTES);
    st = begin(&w, start_lsn, created_at_ns, err);
    if (st == ST_OK)
        st = write_files(&w, err);
    /* From here on a failure leaves both sets of files: either manifest may be the one on disk. */
    if (st == ST_OK)
        st = ckpt_manifest_write(state->fs, state->dir, &w.now, &manifest_bytes, err);
    if (st == ST_OK) {
        ckpt_remove_unnamed(state->fs, state->dir, &w.now, 0);
        ckpt_manifest_info(&w.now, out);
        out->bytes_written = w.bytes_written + manifest_bytes;
        out->blocks_written = w.blocks_written;
        out->blocks_kept = w.blocks_kept;
    } else {
        (void)err_wrap(err, st, "write checkpoint in %s", state->dir);
    }
    ckpt_manifest_free(&w.before);
    ckpt_manifest_free(&w.now);
    buf_free(&w.batch);
    return st;
}

status checkpoint_write(const struct checkpoint_state *state, uint64_t start_lsn,
                        uint64_t created_at_ns, const _Atomic bool *stop,
                        struct checkpoint_info *out, struct err *err)
{
    const struct ckpt_tuning tuning = {.block_slots = CHECKPOINT_BLOCK_SLOTS,
                                       .batch_rows = BATCH_ROWS};

    return ckpt_write(state, start_lsn, created_at_ns, stop, &tuning, out, err);
}
