/* Loading a checkpoint by several threads: the live file is read whole; then each takes a block or
 * a field's graph at a time. A block's rows file gives the bodies, in any order of blocks; nodes
 * may come before their rows. When all is there, what names no row is dropped. Memory beside what
 * is loaded is 9 bytes a slot, and one unit and one vector a thread. */
#include "base/lock.h"
#include "base/mem.h"
#include "snapshot/checkpoint_internal.h"
#include "snapshot/crew.h"

#include <inttypes.h>

enum {
    BLOCKS_PER_THREAD = 4,      /* less is not worth a thread */
    SLOTS_PER_PART = 4 * 16384, /* of the last pass over the graphs */
};

#define LSN_TAKEN UINT64_MAX /* of an entry whose row was taken */

struct block { /* what the live file says of one */
    uint32_t number, first, slots;
    uint64_t *lsns;
    uint8_t *states; /* SLOT_LIVE, SLOT_DEAD, or 0 for none */
};
struct loader {
    /* Set before the threads begin. */
    const struct checkpoint_state *state;
    struct ckpt_manifest m;
    const struct ckpt_file *live_file;
    uint32_t dim_max;
    struct block *blocks;
    size_t block_count;
    struct lock settle; /* LOCK_RANK_CHECKPOINT: rows become live, a block at a time */
    void (*pass)(struct vindex *v, uint32_t first, uint32_t end);
    uint32_t parts; /* of each field in that pass */
};
struct block_load { /* a block being loaded, by one thread */
    struct loader *l;
    struct block *b;
    float *vector; /* of the largest dimension */
};

static status out_of_memory(struct err *err)
{
    return err_set(err, ST_NOMEM, "out of memory for loading a checkpoint");
}

static void block_free(struct block *b)
{
    mem_free(b->lsns);
    mem_free(b->states);
    b->lsns = NULL;
    b->states = NULL;
}

static void loader_free(struct loader *l)
{
    for (size_t i = 0; i < l->block_count; i++)
        block_free(&l->blocks[i]);
    mem_free(l->blocks);
    lock_fini(&l->settle);
    ckpt_manifest_free(&l->m);
}

static const struct checkpoint_field *field_of(const struct checkpoint_state *state, uint16_t id)
{
    for (size_t i = 0; i < state->field_count; i++)
        if (state->fields[i].id == id)
            return &state->fields[i];
    return NULL;
}

/* A field that came after the checkpoint has no vectors in it; one that is in it must be known. */
static status check_fields(const struct loader *l, struct err *err)
{
    for (size_t i = 0; i < l->m.field_count; i++) {
        const struct checkpoint_field *f = field_of(l->state, l->m.fields[i].id);

        if (f == NULL || f->dim != l->m.fields[i].dim)
            return err_set(err, ST_CORRUPT,
                           "checkpoint has vector field %u of %" PRIu32
                           " dimensions, which the collection has not",
                           l->m.fields[i].id, l->m.fields[i].dim);
    }
    return ST_OK;
}

struct body { /* a row of a rows file */
    uint32_t slot;
    uint64_t lsn;
    uint64_t inserted_at_ns;
    struct record_row row;
};

static status read_body(struct container_stream *s, struct body *out, struct err *err)
{
    struct slice bytes;
    struct rd r;
    uint32_t length;
    status st = container_stream_take(s, 4, &bytes, err);

    if (st != ST_OK)
        return st;
    length = le_u32(bytes.data);
    if (length < CKPT_ROW_HEAD_BYTES || length > CKPT_ROW_BYTES_MAX)
        return err_set(err, ST_CORRUPT, "row length out of range bytes=%" PRIu32, length);
    st = container_stream_take(s, length, &bytes, err);
    if (st != ST_OK)
        return st;
    r = rd_make(bytes);
    out->slot = rd_u32(&r);
    out->lsn = rd_u64(&r);
    out->inserted_at_ns = rd_u64(&r);
    st = record_row_read(&r, &out->row, err);
    if (st == ST_OK && rd_left(&r) > 0)
        st = err_set(err, ST_CORRUPT, "bytes follow the row");
    return st != ST_OK ? err_wrap(err, st, "row slot=%" PRIu32, out->slot) : ST_OK;
}

static status load_vectors(const struct block_load *to, const struct body *b, struct err *err)
{
    const struct checkpoint_state *state = to->l->state;

    for (size_t i = 0; i < state->field_count; i++) {
        const struct checkpoint_field *f = &state->fields[i];
        status st = record_row_vector(&b->row, f->id, to->vector, f->dim, err);

        if (st == ST_OK)
            vindex_fill(f->vindex, b->slot, to->vector);
        else if (st != ST_NOT_FOUND)
            return err_wrap(err, st, "row slot=%" PRIu32, b->slot);
    }
    return ST_OK;
}

/* Takes the row if it is the one that the live file means. Its state stays until it is settled. */
static status load_body(const struct block_load *to, const struct body *b, struct err *err)
{
    uint32_t at = b->slot - to->b->first;
    const struct row row = {.id = b->row.id,
                            .lsn = b->lsn,
                            .inserted_at_ns = b->inserted_at_ns,
                            .external_id = b->row.external_id,
                            .payload = b->row.payload};
    status st;

    if (at >= to->b->slots || to->b->states[at] == 0 || to->b->lsns[at] != b->lsn)
        return ST_OK;
    st = slots_load_fill(to->l->state->slots, b->slot, &row, err);
    if (st == ST_OK)
        st = load_vectors(to, b, err);
    to->b->lsns[at] = LSN_TAKEN;
    return st;
}

static status load_rows(const struct block_load *to, const struct ckpt_file *file,
                        struct container *c, struct err *err)
{
    const uint16_t known[] = {CKPT_SECTION_ROWS};
    struct container_stream s = {0};
    uint32_t next = to->b->first;
    status st = container_check_sections(c, known, COUNT_OF(known), err);

    if (st == ST_OK)
        st = container_stream_open(c, CKPT_SECTION_ROWS, &s, err);
    for (uint32_t i = 0; st == ST_OK && i < file->items; i++) {
        struct body b = {0};

        st = read_body(&s, &b, err);
        if (st == ST_OK && (b.slot < next || b.slot - to->b->first >= to->l->m.block_slots))
            st = err_set(err, ST_CORRUPT, "row out of range or order slot=%" PRIu32, b.slot);
        if (st == ST_OK)
            st = load_body(to, &b, err);
        next = b.slot + 1;
    }
    if (st == ST_OK)
        st = container_stream_end(&s, err);
    container_stream_close(&s);
    return st == ST_NOT_FOUND ? ST_CORRUPT : st;
}

/* What is left of the block's entries must be newer than the start lsn: replay brings it. */
static status check_left(const struct loader *l, const struct block *b, struct err *err)
{
    for (uint32_t at = 0; at < b->slots; at++)
        if (b->states[at] != 0 && b->lsns[at] <= l->m.start_lsn)
            return err_set(err, ST_CORRUPT,
                           "row of slot %" PRIu32 " with lsn %" PRIu64 " is in no rows file",
                           b->first + at, b->lsns[at]);
    return ST_OK;
}

static void settle_block(struct loader *l, struct block *b)
{
    bool *dead = (bool *)b->states; /* in place, front to back */

    for (uint32_t at = 0; at < b->slots; at++)
        dead[at] = b->states[at] == SLOT_DEAD;
    lock_take(&l->settle);
    slots_load_settle(l->state->slots, b->first, b->slots, dead);
    lock_drop(&l->settle);
}

static status load_block(const struct block_load *to, struct err *err)
{
    struct loader *l = to->l;
    const struct ckpt_file *file = ckpt_manifest_find(&l->m, CKPT_ROWS, to->b->number);
    const struct checkpoint_state *s = l->state;
    struct ckpt_in in = {0};
    status st = ST_OK;

    if (file != NULL) {
        st = ckpt_in_open(s->fs, s->dir, s->collection_id, file, &in, err);
        if (st == ST_OK)
            st = load_rows(to, file, in.container, err);
        ckpt_in_close(&in);
        if (st != ST_OK)
            return ckpt_name_file(file, st, err);
    }
    st = check_left(l, to->b, err);
    if (st != ST_OK)
        return ckpt_name_file(l->live_file, st, err);
    settle_block(l, to->b);
    return ST_OK;
}

/* Room for all blocks of the live file, at most. */
static status blocks_room(struct loader *l, struct err *err)
{
    size_t blocks = ((size_t)l->m.slots_end + l->m.block_slots - 1) / l->m.block_slots;

    l->blocks = mem_zero_array(blocks == 0 ? 1 : blocks, sizeof *l->blocks);
    return l->blocks == NULL ? out_of_memory(err) : ST_OK;
}

static status keep_block(struct loader *l, const struct ckpt_live *live, struct err *err)
{
    struct block *b = &l->blocks[l->block_count];

    *b = (struct block){.number = live->block, .first = live->first, .slots = live->slots};
    b->lsns = mem_alloc_array(b->slots, sizeof *b->lsns);
    b->states = mem_alloc_array(b->slots, sizeof *b->states);
    l->block_count++;
    if (b->lsns == NULL || b->states == NULL)
        return out_of_memory(err);
    memcpy(b->lsns, live->lsns, b->slots * sizeof *b->lsns);
    memcpy(b->states, live->states, b->slots * sizeof *b->states);
    return ST_OK;
}

static status read_live(struct loader *l, struct err *err)
{
    const struct checkpoint_state *s = l->state;
    struct ckpt_live live = {0};
    struct ckpt_in in = {0};
    status st = blocks_room(l, err);

    l->live_file = ckpt_manifest_find(&l->m, CKPT_LIVE, 0);
    if (st == ST_OK)
        st = ckpt_in_open(s->fs, s->dir, s->collection_id, l->live_file, &in, err);
    if (st == ST_OK)
        st = ckpt_live_open(&live, in.container, &l->m, err);
    while (st == ST_OK) {
        st = ckpt_live_next(&live, err);
        if (st == ST_OK)
            st = keep_block(l, &live, err);
    }
    ckpt_live_close(&live);
    ckpt_in_close(&in);
    return st == ST_NOT_FOUND ? ST_OK : ckpt_name_file(l->live_file, st, err);
}

/* Behind the last entry: the last that may be a row. */
static uint32_t live_end(const struct loader *l)
{
    const struct block *last = l->block_count > 0 ? &l->blocks[l->block_count - 1] : NULL;
    uint32_t slots = last == NULL ? 0 : last->slots;

    while (slots > 0 && last->states[slots - 1] == 0)
        slots--;
    return slots == 0 ? 0 : last->first + slots;
}

/* Beyond the last row there are no nodes either. */
static status load_nodes(struct loader *l, const struct checkpoint_field *f,
                         const struct ckpt_file *file, struct container *c, struct err *err)
{
    uint32_t end = vindex_slot_end(f->vindex);
    struct ckpt_graph g = {0};
    status st = ckpt_graph_open(&g, c, &l->m, file, err);

    while (st == ST_OK) {
        struct vnode node = {0};

        st = ckpt_graph_next(&g, &node, err);
        if (st == ST_OK && node.slot < end)
            st = vindex_node_import(f->vindex, &node, err);
    }
    ckpt_graph_close(&g);
    return st == ST_NOT_FOUND ? ST_OK : st;
}

/* Where the file does not say it: room for its longest lists. The field may be for fewer links by
 * now than its graph was made with, which is no damage. */
static status made_at_least(struct ckpt_graph *g, struct vgraph *made, struct err *err)
{
    struct vnode node = {0};
    status st;

    while ((st = ckpt_graph_next(g, &node, err)) == ST_OK)
        for (uint32_t level = 0; level <= node.level; level++) {
            uint32_t m = level == 0 ? (node.counts[0] + 1u) / 2 : node.counts[level];

            m = m > VINDEX_M_MAX ? VINDEX_M_MAX : m; /* the import says what is wrong */
            made->m = m > made->m ? (uint16_t)m : made->m;
        }
    return st == ST_NOT_FOUND ? ST_OK : st;
}

/* A graph of other making than the field is for now comes as it is. Known before the first row, so
 * that rows are charged with its links and no others. */
static status take_graph(struct loader *l, const struct checkpoint_field *f, struct err *err)
{
    const struct ckpt_file *file = ckpt_manifest_find(&l->m, CKPT_GRAPH, f->id);
    const struct checkpoint_state *s = l->state;
    struct ckpt_graph g = {0};
    struct ckpt_in in = {0};
    struct vgraph made;
    status st;

    if (file == NULL)
        return ST_OK;
    st = ckpt_in_open(s->fs, s->dir, s->collection_id, file, &in, err);
    if (st == ST_OK)
        st = ckpt_graph_open(&g, in.container, &l->m, file, err);
    made = st == ST_OK && g.made.m != 0 ? g.made : vindex_graph(f->vindex);
    if (st == ST_OK && g.made.m == 0)
        st = made_at_least(&g, &made, err);
    if (st == ST_OK)
        st = vindex_graph_load(f->vindex, &made, err);
    ckpt_graph_close(&g);
    ckpt_in_close(&in);
    return st == ST_OK ? ST_OK : ckpt_name_file(file, st, err);
}

static status load_graph(struct loader *l, const struct checkpoint_field *f, struct err *err)
{
    const struct ckpt_file *file = ckpt_manifest_find(&l->m, CKPT_GRAPH, f->id);
    const struct checkpoint_state *s = l->state;
    struct ckpt_in in = {0};
    status st;

    if (file == NULL)
        return ST_OK;
    st = ckpt_in_open(s->fs, s->dir, s->collection_id, file, &in, err);
    if (st == ST_OK)
        st = load_nodes(l, f, file, in.container, err);
    ckpt_in_close(&in);
    return st == ST_OK ? ST_OK : ckpt_name_file(file, st, err);
}

/* A task: the graphs first, as each is one long file, then the blocks. */
static status load_part(void *arg, size_t number, struct err *err)
{
    struct loader *l = arg;
    struct block_load to = {.l = l};
    status st;

    if (number < l->state->field_count)
        return load_graph(l, &l->state->fields[number], err);
    to.b = &l->blocks[number - l->state->field_count];
    to.vector = mem_alloc_array(l->dim_max, sizeof *to.vector);
    st = to.vector == NULL ? out_of_memory(err) : load_block(&to, err);
    mem_free(to.vector);
    block_free(to.b);
    return st;
}

static status pass_part(void *arg, size_t number, struct err *err)
{
    struct loader *l = arg;
    struct vindex *v = l->state->fields[number / l->parts].vindex;
    uint64_t first = (uint64_t)(number % l->parts) * SLOTS_PER_PART;
    uint64_t end = vindex_slot_end(v);

    (void)err;
    if (first < end)
        l->pass(v, (uint32_t)first,
                (uint32_t)(end - first < SLOTS_PER_PART ? end : first + SLOTS_PER_PART));
    return ST_OK;
}

static status finish_graphs(struct loader *l, unsigned threads, struct err *err)
{
    size_t tasks;
    status st;

    l->parts = l->m.slots_end / SLOTS_PER_PART + 1;
    tasks = l->state->field_count * l->parts;
    l->pass = vindex_import_rows;
    st = crew_run(threads, tasks, pass_part, l, err);
    l->pass = vindex_import_links;
    return st == ST_OK ? crew_run(threads, tasks, pass_part, l, err) : st;
}

static status load_all(struct loader *l, unsigned threads, struct err *err)
{
    const struct checkpoint_state *s = l->state;
    status st = slots_load_begin(s->slots, live_end(l), err);

    l->dim_max = 1;
    for (size_t i = 0; st == ST_OK && i < s->field_count; i++) {
        l->dim_max = s->fields[i].dim > l->dim_max ? s->fields[i].dim : l->dim_max;
        st = vindex_reserve(s->fields[i].vindex, live_end(l), err);
    }
    if (threads > 1 + l->block_count / BLOCKS_PER_THREAD)
        threads = (unsigned)(1 + l->block_count / BLOCKS_PER_THREAD);
    if (st == ST_OK)
        st = crew_run(threads, s->field_count + l->block_count, load_part, l, err);
    if (st == ST_OK)
        st = slots_load_finish(s->slots, err);
    return st == ST_OK ? finish_graphs(l, threads, err) : st;
}

/* The rename of the manifest may not be durable yet; before what an older manifest names is removed
 * it is made so. A leftover costs nothing but its bytes, so failures are left to the next time. */
static void remove_leftovers(const struct checkpoint_state *s, const struct ckpt_manifest *m)
{
    if (fs_sync_dir(s->fs, s->dir, NULL) == ST_OK)
        ckpt_remove_unnamed(s->fs, s->dir, m, 0);
}

status ckpt_load(const struct checkpoint_state *state, bool read_only, unsigned threads,
                 struct checkpoint_info *out, struct err *err)
{
    struct loader l = {.state = state};
    status st = ckpt_manifest_read(state->fs, state->dir, state->collection_id, &l.m, err);

    if (st != ST_OK)
        return st;
    assert(slots_end(state->slots) == 0);
    lock_init(&l.settle, LOCK_RANK_CHECKPOINT, "checkpoint load");
    st = check_fields(&l, err);
    for (size_t i = 0; st == ST_OK && i < state->field_count; i++)
        st = take_graph(&l, &state->fields[i], err);
    if (st == ST_OK)
        st = read_live(&l, err);
    if (st == ST_OK)
        st = load_all(&l, threads, err);
    if (st == ST_OK && !read_only)
        remove_leftovers(state, &l.m);
    if (st == ST_OK) {
        ckpt_manifest_info(&l.m, out);
        out->rows = slots_live_count(state->slots);
    } else {
        (void)err_wrap(err, st, "load checkpoint of %s", state->dir);
    }
    loader_free(&l);
    return st;
}

status checkpoint_load(const struct checkpoint_state *state, bool read_only,
                       struct checkpoint_info *out, struct err *err)
{
    return ckpt_load(state, read_only, thread_cpu_count(), out, err);
}
