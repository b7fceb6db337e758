/* Loading a checkpoint: the live file leads, block by block; the block's rows file gives the
 * bodies; then the graphs. Memory beside what is loaded is one block's liveness and one unit a
 * file. */
#include "base/mem.h"
#include "snapshot/checkpoint_internal.h"

#include <inttypes.h>

struct loader {
    const struct checkpoint_state *state;
    struct ckpt_manifest m;
    float *vector;         /* of the largest dimension */
    struct ckpt_live live; /* of the current block; states of rows that were taken become 0 */
    const struct ckpt_file *live_file;
};

static status out_of_memory(struct err *err)
{
    return err_set(err, ST_NOMEM, "out of memory for loading a checkpoint");
}

static status loader_room(struct loader *l, struct err *err)
{
    uint32_t dim = 1;

    for (size_t i = 0; i < l->state->field_count; i++)
        if (l->state->fields[i].dim > dim)
            dim = l->state->fields[i].dim;
    l->vector = mem_alloc_array(dim, sizeof *l->vector);
    return l->vector == NULL ? out_of_memory(err) : ST_OK;
}

static void loader_free(struct loader *l)
{
    mem_free(l->vector);
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

/* The index is to have room for the slots that there are and no more, so room is made row by row.
 */
static status load_vectors(struct loader *l, const struct body *b, struct err *err)
{
    for (size_t i = 0; i < l->state->field_count; i++) {
        const struct checkpoint_field *f = &l->state->fields[i];
        status st = vindex_reserve(f->vindex, b->slot + 1, err);

        if (st != ST_OK)
            return st;
        st = record_row_vector(&b->row, f->id, l->vector, f->dim, err);
        if (st == ST_OK)
            vindex_fill(f->vindex, b->slot, l->vector);
        else if (st != ST_NOT_FOUND)
            return err_wrap(err, st, "row slot=%" PRIu32, b->slot);
    }
    return ST_OK;
}

/* Takes the row if it is the one that the live file means. */
static status load_body(struct loader *l, const struct body *b, struct err *err)
{
    uint32_t at = b->slot - l->live.first;
    const struct row row = {.id = b->row.id,
                            .lsn = b->lsn,
                            .inserted_at_ns = b->inserted_at_ns,
                            .external_id = b->row.external_id,
                            .payload = b->row.payload};
    status st;

    if (l->live.states[at] == 0 || l->live.lsns[at] != b->lsn)
        return ST_OK;
    st = slots_load(l->state->slots, b->slot, l->live.states[at] == SLOT_DEAD, &row, err);
    if (st == ST_OK)
        st = load_vectors(l, b, err);
    l->live.states[at] = 0;
    return st;
}

static status load_rows(struct loader *l, const struct ckpt_file *file, struct container *c,
                        struct err *err)
{
    const uint16_t known[] = {CKPT_SECTION_ROWS};
    struct container_stream s = {0};
    uint32_t next = l->live.first;
    status st = container_check_sections(c, known, COUNT_OF(known), err);

    if (st == ST_OK)
        st = container_stream_open(c, CKPT_SECTION_ROWS, &s, err);
    for (uint32_t i = 0; st == ST_OK && i < file->items; i++) {
        struct body b = {0};

        st = read_body(&s, &b, err);
        if (st == ST_OK && (b.slot < next || b.slot - l->live.first >= l->m.block_slots))
            st = err_set(err, ST_CORRUPT, "row out of range or order slot=%" PRIu32, b.slot);
        if (st == ST_OK)
            st = load_body(l, &b, err);
        next = b.slot + 1;
    }
    if (st == ST_OK)
        st = container_stream_end(&s, err);
    container_stream_close(&s);
    return st == ST_NOT_FOUND ? ST_CORRUPT : st;
}

/* What is left of the block's entries must be newer than the start lsn: replay brings it. */
static status check_left(const struct loader *l, struct err *err)
{
    for (uint32_t at = 0; at < l->live.slots; at++)
        if (l->live.states[at] != 0 && l->live.lsns[at] <= l->m.start_lsn)
            return err_set(err, ST_CORRUPT,
                           "row of slot %" PRIu32 " with lsn %" PRIu64 " is in no rows file",
                           l->live.first + at, l->live.lsns[at]);
    return ST_OK;
}

static status load_block(struct loader *l, struct err *err)
{
    const struct ckpt_file *file = ckpt_manifest_find(&l->m, CKPT_ROWS, l->live.block);
    const struct checkpoint_state *s = l->state;
    struct ckpt_in in = {0};
    status st = ST_OK;

    if (file != NULL) {
        st = ckpt_in_open(s->fs, s->dir, s->collection_id, file, &in, err);
        if (st == ST_OK)
            st = load_rows(l, file, in.container, err);
        ckpt_in_close(&in);
        if (st != ST_OK)
            return ckpt_name_file(file, st, err);
    }
    st = check_left(l, err);
    return st == ST_OK ? ST_OK : ckpt_name_file(l->live_file, st, err);
}

static status load_all_rows(struct loader *l, struct err *err)
{
    const struct checkpoint_state *s = l->state;
    struct ckpt_in in = {0};
    status block = ST_OK;
    status st;

    l->live_file = ckpt_manifest_find(&l->m, CKPT_LIVE, 0);
    st = ckpt_in_open(s->fs, s->dir, s->collection_id, l->live_file, &in, err);
    if (st == ST_OK)
        st = ckpt_live_open(&l->live, in.container, &l->m, err);
    while (st == ST_OK && block == ST_OK) {
        st = ckpt_live_next(&l->live, err);
        if (st == ST_OK)
            block = load_block(l, err);
    }
    if (st == ST_NOT_FOUND)
        st = ST_OK;
    if (st != ST_OK)
        st = ckpt_name_file(l->live_file, st, err);
    if (st == ST_OK)
        st = block;
    ckpt_live_close(&l->live);
    ckpt_in_close(&in);
    return st != ST_OK ? st : slots_load_finish(s->slots, err);
}

static bool is_loaded(const struct slots *slots, const struct vindex *v, uint32_t slot)
{
    enum slot_state state = slot < slots_end(slots) ? slots_state(slots, slot) : SLOT_FREE;

    return (state == SLOT_LIVE || state == SLOT_DEAD) && vindex_filled(v, slot);
}

static status load_nodes(struct loader *l, const struct checkpoint_field *f,
                         const struct ckpt_file *file, struct container *c, struct err *err)
{
    struct ckpt_graph g = {0};
    status st = ckpt_graph_open(&g, c, &l->m, file, err);

    while (st == ST_OK) {
        struct vnode node = {0};

        st = ckpt_graph_next(&g, &node, err);
        if (st == ST_OK && is_loaded(l->state->slots, f->vindex, node.slot))
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

    if (file != NULL) {
        st = ckpt_in_open(s->fs, s->dir, s->collection_id, file, &in, err);
        if (st == ST_OK)
            st = load_nodes(l, f, file, in.container, err);
        ckpt_in_close(&in);
        if (st != ST_OK)
            return ckpt_name_file(file, st, err);
    }
    return vindex_import_finish(f->vindex, err);
}

/* The rename of the manifest may not be durable yet; before what an older manifest names is removed
 * it is made so. A leftover costs nothing but its bytes, so failures are left to the next time. */
static void remove_leftovers(const struct checkpoint_state *s, const struct ckpt_manifest *m)
{
    if (fs_sync_dir(s->fs, s->dir, NULL) == ST_OK)
        ckpt_remove_unnamed(s->fs, s->dir, m, 0);
}

status checkpoint_load(const struct checkpoint_state *state, bool read_only,
                       struct checkpoint_info *out, struct err *err)
{
    struct loader l = {.state = state};
    status st = ckpt_manifest_read(state->fs, state->dir, state->collection_id, &l.m, err);

    if (st != ST_OK)
        return st;
    assert(slots_end(state->slots) == 0);
    st = check_fields(&l, err);
    if (st == ST_OK)
        st = loader_room(&l, err);
    for (size_t i = 0; st == ST_OK && i < state->field_count; i++)
        st = take_graph(&l, &state->fields[i], err);
    if (st == ST_OK)
        st = load_all_rows(&l, err);
    for (size_t i = 0; st == ST_OK && i < state->field_count; i++)
        st = load_graph(&l, &state->fields[i], err);
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

static status verify_units(struct container *c, struct err *err)
{
    status st = ST_OK;

    for (size_t i = 0; st == ST_OK && i < container_section_count(c); i++) {
        struct container_section_info info;
        struct container_cursor cursor;
        struct slice payload;

        container_section_at(c, i, &info);
        st = container_seek(c, info.section, &cursor, err);
        while (st == ST_OK)
            st = container_next(&cursor, &payload, err);
        if (st == ST_NOT_FOUND)
            st = ST_OK;
    }
    return st;
}

status checkpoint_verify(struct fs *fs, const char *dir, const uint8_t collection_id[16],
                         struct checkpoint_info *out, struct err *err)
{
    struct ckpt_manifest m = {0};
    status st = ckpt_manifest_read(fs, dir, collection_id, &m, err);

    for (size_t i = 0; st == ST_OK && i < m.file_count; i++) {
        struct ckpt_in in = {0};

        st = ckpt_in_open(fs, dir, collection_id, &m.files[i], &in, err);
        if (st == ST_OK)
            st = verify_units(in.container, err);
        ckpt_in_close(&in);
        if (st != ST_OK)
            st = ckpt_name_file(&m.files[i], st, err);
    }
    if (st == ST_OK)
        ckpt_manifest_info(&m, out);
    ckpt_manifest_free(&m);
    return st;
}
