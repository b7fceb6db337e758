/* Loading a checkpoint: the live file leads, block by block; the block's rows file gives the
 * bodies; then the graphs. Memory beside what is loaded is one block's liveness and one unit a
 * file. */
#include "base/mem.h"
#include "snapshot/checkpoint_internal.h"

#include <inttypes.h>

struct in_file { /* an open file of the checkpoint */
    struct container_file_source source;
    struct container *container;
};

static void in_close(struct in_file *in)
{
    container_close(in->container);
    container_file_source_close(&in->source);
}

static enum container_kind container_kind_of(const struct ckpt_file *file)
{
    return file->kind == CKPT_GRAPH ? CONTAINER_IMAGE : CONTAINER_ROWS;
}

/* A file that the manifest names and that is not there is damage, not absence. `in` stays where it
 * is (the container points into it) and is closed by in_close() in any case. */
static status in_open(struct fs *fs, const char *dir, const uint8_t collection_id[16],
                      const struct ckpt_file *file, struct in_file *in, struct err *err)
{
    char path[FS_PATH_BYTES];
    status st = ckpt_file_path(dir, file, path, err);

    *in = (struct in_file){0};
    if (st == ST_OK)
        st = container_file_open(fs, path, &in->source, err);
    if (st == ST_NOT_FOUND)
        return ST_CORRUPT;
    if (st == ST_OK && in->source.source.bytes != file->bytes)
        st = err_set(err, ST_CORRUPT, "%" PRIu64 " bytes, the manifest says %" PRIu64,
                     in->source.source.bytes, file->bytes);
    if (st == ST_OK)
        st = container_open(&in->source.source, container_kind_of(file), collection_id,
                            &in->container, err);
    if (st == ST_OK && container_crc(in->container) != file->crc)
        st = err_set(err, ST_CORRUPT, "whole, but not the file that the manifest names");
    return st;
}

/* Puts the file's name in front. */
static status name_file(const struct ckpt_file *file, status st, struct err *err)
{
    char name[CKPT_NAME_BYTES];

    ckpt_file_name(file, name);
    return err_wrap(err, st, "checkpoint file %s", name);
}

struct loader {
    const struct checkpoint_state *state;
    struct ckpt_manifest m;
    uint64_t *lsns;  /* of the current block's slots */
    uint8_t *states; /* SLOT_LIVE, SLOT_DEAD, or 0 for none (or taken already) */
    float *vector;   /* of the largest dimension */
    uint32_t *links; /* CKPT_NODE_LINKS_MAX */
    struct container_stream live;
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
    l->lsns = mem_alloc_array(l->m.block_slots, sizeof *l->lsns);
    l->states = mem_alloc_array(l->m.block_slots, sizeof *l->states);
    l->vector = mem_alloc_array(dim, sizeof *l->vector);
    l->links = mem_alloc_array(CKPT_NODE_LINKS_MAX, sizeof *l->links);
    if (l->lsns == NULL || l->states == NULL || l->vector == NULL || l->links == NULL)
        return out_of_memory(err);
    return ST_OK;
}

static void loader_free(struct loader *l)
{
    mem_free(l->lsns);
    mem_free(l->states);
    mem_free(l->vector);
    mem_free(l->links);
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

static int64_t unzigzag(uint64_t v)
{
    return (int64_t)(v >> 1) ^ -(int64_t)(v & 1);
}

struct group {                    /* one block of the live file */
    uint32_t block, first, slots; /* slots: in this block and below slots end */
    uint32_t entries;
};

static status read_entries(struct loader *l, const struct group *g, struct rd *r, struct err *err)
{
    uint64_t at = 0;
    uint64_t lsn = 0;

    memset(l->states, 0, l->m.block_slots);
    for (uint32_t i = 0; i < g->entries; i++) {
        uint64_t gap = rd_varint(r);

        lsn += (uint64_t)unzigzag(rd_varint(r));
        if (r->bad || gap >> 1 >= g->slots - at || lsn > l->m.lsn_max)
            return err_set(err, ST_CORRUPT, "entry %" PRIu32 " of block %" PRIu32 " out of range",
                           i, g->block);
        at += gap >> 1;
        l->states[at] = (gap & 1) != 0 ? SLOT_DEAD : SLOT_LIVE;
        l->lsns[at] = lsn;
        at++;
    }
    if (rd_left(r) > 0)
        return err_set(err, ST_CORRUPT, "bytes follow the entries of block %" PRIu32, g->block);
    return ST_OK;
}

/* The next group of the live file; blocks rise. */
static status next_group(struct loader *l, int64_t block_before, struct group *out, struct err *err)
{
    struct group g;
    struct slice bytes;
    struct rd r;
    uint64_t first;
    uint32_t length;
    status st = container_stream_take(&l->live, CKPT_LIVE_HEAD_BYTES, &bytes, err);

    if (st != ST_OK)
        return st;
    g.block = le_u32(bytes.data);
    g.entries = le_u32(bytes.data + 4);
    length = le_u32(bytes.data + 8);
    first = (uint64_t)g.block * l->m.block_slots;
    if (g.block <= block_before || first >= l->m.slots_end || g.entries == 0)
        return err_set(err, ST_CORRUPT, "block %" PRIu32 " out of range or order", g.block);
    g.first = (uint32_t)first;
    g.slots = l->m.slots_end - g.first;
    if (g.slots > l->m.block_slots)
        g.slots = l->m.block_slots;
    st = container_stream_take(&l->live, length, &bytes, err);
    if (st != ST_OK)
        return st;
    r = rd_make(bytes);
    st = read_entries(l, &g, &r, err);
    if (st == ST_OK)
        *out = g;
    return st;
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
static status load_body(struct loader *l, const struct group *g, const struct body *b,
                        struct err *err)
{
    uint32_t at = b->slot - g->first;
    const struct row row = {.id = b->row.id,
                            .lsn = b->lsn,
                            .inserted_at_ns = b->inserted_at_ns,
                            .external_id = b->row.external_id,
                            .payload = b->row.payload};
    status st;

    if (l->states[at] == 0 || l->lsns[at] != b->lsn)
        return ST_OK;
    st = slots_load(l->state->slots, b->slot, l->states[at] == SLOT_DEAD, &row, err);
    if (st == ST_OK)
        st = load_vectors(l, b, err);
    l->states[at] = 0;
    return st;
}

static status load_rows(struct loader *l, const struct group *g, const struct ckpt_file *file,
                        struct container *c, struct err *err)
{
    const uint16_t known[] = {CKPT_SECTION_ROWS};
    struct container_stream s = {0};
    uint32_t next = g->first;
    status st = container_check_sections(c, known, COUNT_OF(known), err);

    if (st == ST_OK)
        st = container_stream_open(c, CKPT_SECTION_ROWS, &s, err);
    for (uint32_t i = 0; st == ST_OK && i < file->items; i++) {
        struct body b = {0};

        st = read_body(&s, &b, err);
        if (st == ST_OK && (b.slot < next || b.slot - g->first >= l->m.block_slots))
            st = err_set(err, ST_CORRUPT, "row out of range or order slot=%" PRIu32, b.slot);
        if (st == ST_OK)
            st = load_body(l, g, &b, err);
        next = b.slot + 1;
    }
    if (st == ST_OK)
        st = container_stream_end(&s, err);
    container_stream_close(&s);
    return st == ST_NOT_FOUND ? ST_CORRUPT : st;
}

/* What is left of the block's entries must be newer than the start lsn: replay brings it. */
static status check_left(const struct loader *l, const struct group *g, struct err *err)
{
    for (uint32_t at = 0; at < g->slots; at++)
        if (l->states[at] != 0 && l->lsns[at] <= l->m.start_lsn)
            return err_set(err, ST_CORRUPT,
                           "row of slot %" PRIu32 " with lsn %" PRIu64 " is in no rows file",
                           g->first + at, l->lsns[at]);
    return ST_OK;
}

static status load_block(struct loader *l, const struct group *g, struct err *err)
{
    const struct ckpt_file *file = ckpt_manifest_find(&l->m, CKPT_ROWS, g->block);
    const struct checkpoint_state *s = l->state;
    struct in_file in = {0};
    status st = ST_OK;

    if (file != NULL) {
        st = in_open(s->fs, s->dir, s->collection_id, file, &in, err);
        if (st == ST_OK)
            st = load_rows(l, g, file, in.container, err);
        in_close(&in);
        if (st != ST_OK)
            return name_file(file, st, err);
    }
    st = check_left(l, g, err);
    return st == ST_OK ? ST_OK : name_file(l->live_file, st, err);
}

static status load_groups(struct loader *l, struct err *err)
{
    int64_t block = -1;
    uint64_t entries = 0;
    status st = ST_OK;

    while (st == ST_OK && container_stream_left(&l->live) > 0) {
        struct group g = {0};

        st = next_group(l, block, &g, err);
        if (st != ST_OK)
            return name_file(l->live_file, st, err);
        entries += g.entries;
        block = g.block;
        st = load_block(l, &g, err);
    }
    if (st != ST_OK)
        return st;
    st = container_stream_end(&l->live, err);
    if (st == ST_OK && entries != l->live_file->items)
        st = err_set(err, ST_CORRUPT, "%" PRIu64 " entries, the manifest says %" PRIu32, entries,
                     l->live_file->items);
    return st == ST_OK ? ST_OK : name_file(l->live_file, st, err);
}

static status load_all_rows(struct loader *l, struct err *err)
{
    const uint16_t known[] = {CKPT_SECTION_LIVE};
    const struct checkpoint_state *s = l->state;
    struct in_file in = {0};
    status st;

    l->live_file = ckpt_manifest_find(&l->m, CKPT_LIVE, 0);
    st = in_open(s->fs, s->dir, s->collection_id, l->live_file, &in, err);
    if (st == ST_OK)
        st = container_check_sections(in.container, known, COUNT_OF(known), err);
    if (st == ST_OK)
        st = container_stream_open(in.container, CKPT_SECTION_LIVE, &l->live, err);
    if (st != ST_OK)
        st = name_file(l->live_file, st == ST_NOT_FOUND ? ST_CORRUPT : st, err);
    if (st == ST_OK)
        st = load_groups(l, err);
    container_stream_close(&l->live);
    in_close(&in);
    return st != ST_OK ? st : slots_load_finish(s->slots, err);
}

static status read_graph_head(struct loader *l, const struct checkpoint_field *f,
                              struct container_stream *s, struct err *err)
{
    struct slice head;
    status st = container_stream_take(s, CKPT_GRAPH_HEAD_BYTES, &head, err);

    if (st != ST_OK)
        return st;
    if (le_u16(head.data) != f->id || le_u16(head.data + 2) != 0 ||
        le_u32(head.data + 4) != l->m.slots_end || head.data[8] != ckpt_link_bits(l->m.slots_end))
        return err_set(err, ST_CORRUPT, "head does not fit the manifest");
    return ST_OK;
}

static status read_node(struct loader *l, struct container_stream *s, struct vnode *node,
                        struct err *err)
{
    unsigned bits = ckpt_link_bits(l->m.slots_end);
    uint32_t *links = l->links;
    struct slice bytes;
    uint32_t total = 0;
    status st = container_stream_take(s, CKPT_NODE_HEAD_BYTES, &bytes, err);

    if (st != ST_OK)
        return st;
    *node = (struct vnode){.slot = le_u32(bytes.data), .level = bytes.data[4]};
    if (node->level > VNODE_LEVEL_MAX || node->slot >= l->m.slots_end)
        return err_set(err, ST_CORRUPT, "node out of range slot=%" PRIu32 " level=%u", node->slot,
                       node->level);
    st = container_stream_take(s, ((size_t)node->level + 1) * 2, &bytes, err);
    if (st != ST_OK)
        return st;
    for (uint32_t level = 0; level <= node->level; level++) {
        node->counts[level] = le_u16(bytes.data + 2 * (size_t)level);
        if (node->counts[level] > CKPT_NODE_LINKS_MAX - total)
            return err_set(err, ST_CORRUPT, "node has too many links slot=%" PRIu32, node->slot);
        node->links[level] = links + total;
        total += node->counts[level];
    }
    st = container_stream_take(s, ckpt_packed_bytes(total, bits), &bytes, err);
    if (st == ST_OK)
        ckpt_unpack(bytes.data, total, bits, links);
    return st;
}

static bool is_loaded(const struct slots *slots, const struct vindex *v, uint32_t slot)
{
    enum slot_state state = slot < slots_end(slots) ? slots_state(slots, slot) : SLOT_FREE;

    return (state == SLOT_LIVE || state == SLOT_DEAD) && vindex_filled(v, slot);
}

static status load_nodes(struct loader *l, const struct checkpoint_field *f,
                         const struct ckpt_file *file, struct container *c, struct err *err)
{
    const uint16_t known[] = {CKPT_SECTION_GRAPH};
    struct container_stream s = {0};
    uint32_t next = 0;
    status st = container_check_sections(c, known, COUNT_OF(known), err);

    if (st == ST_OK)
        st = container_stream_open(c, CKPT_SECTION_GRAPH, &s, err);
    if (st == ST_OK)
        st = read_graph_head(l, f, &s, err);
    for (uint32_t i = 0; st == ST_OK && i < file->items; i++) {
        struct vnode node = {0};

        st = read_node(l, &s, &node, err);
        if (st == ST_OK && node.slot < next)
            st = err_set(err, ST_CORRUPT, "node out of order slot=%" PRIu32, node.slot);
        if (st == ST_OK && is_loaded(l->state->slots, f->vindex, node.slot))
            st = vindex_node_import(f->vindex, &node, err);
        next = node.slot + 1;
    }
    if (st == ST_OK)
        st = container_stream_end(&s, err);
    container_stream_close(&s);
    return st == ST_NOT_FOUND ? ST_CORRUPT : st;
}

static status load_graph(struct loader *l, const struct checkpoint_field *f, struct err *err)
{
    const struct ckpt_file *file = ckpt_manifest_find(&l->m, CKPT_GRAPH, f->id);
    const struct checkpoint_state *s = l->state;
    struct in_file in = {0};
    status st;

    if (file != NULL) {
        st = in_open(s->fs, s->dir, s->collection_id, file, &in, err);
        if (st == ST_OK)
            st = load_nodes(l, f, file, in.container, err);
        in_close(&in);
        if (st != ST_OK)
            return name_file(file, st, err);
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
        struct in_file in = {0};

        st = in_open(fs, dir, collection_id, &m.files[i], &in, err);
        if (st == ST_OK)
            st = verify_units(in.container, err);
        in_close(&in);
        if (st != ST_OK)
            st = name_file(&m.files[i], st, err);
    }
    if (st == ST_OK)
        ckpt_manifest_info(&m, out);
    ckpt_manifest_free(&m);
    return st;
}
