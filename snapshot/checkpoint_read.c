/* Reading the files of a checkpoint, for those who load it and for those who publish its graph. A
 * file that is open stays readable on the file systems we know, also when the next checkpoint
 * removes its name. */
#include "base/mem.h"
#include "segment/pack.h"
#include "snapshot/checkpoint_internal.h"

#include <inttypes.h>

void ckpt_in_close(struct ckpt_in *in)
{
    container_close(in->container);
    container_file_source_close(&in->source);
    *in = (struct ckpt_in){0};
}

static enum container_kind container_kind_of(const struct ckpt_file *file)
{
    return file->kind == CKPT_GRAPH ? CONTAINER_IMAGE : CONTAINER_ROWS;
}

status ckpt_in_open(struct fs *fs, const char *dir, const uint8_t collection_id[16],
                    const struct ckpt_file *file, struct ckpt_in *in, struct err *err)
{
    char path[FS_PATH_BYTES];
    status st = ckpt_file_path(dir, file, path, err);

    *in = (struct ckpt_in){0};
    if (st == ST_OK)
        st = container_file_open(fs, path, &in->source, err);
    if (st == ST_NOT_FOUND) {
        in->missing = true;
        return ST_CORRUPT;
    }
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

status ckpt_name_file(const struct ckpt_file *file, status st, struct err *err)
{
    char name[CKPT_NAME_BYTES];

    ckpt_file_name(file, name);
    return err_wrap(err, st, "checkpoint file %s", name);
}

/* --- the live file --- */

status ckpt_live_open(struct ckpt_live *l, struct container *c, const struct ckpt_manifest *m,
                      struct err *err)
{
    const uint16_t known[] = {CKPT_SECTION_LIVE};
    status st = container_check_sections(c, known, COUNT_OF(known), err);

    *l = (struct ckpt_live){.m = m, .block_before = -1};
    if (st == ST_OK)
        st = container_stream_open(c, CKPT_SECTION_LIVE, &l->stream, err);
    if (st == ST_NOT_FOUND)
        st = err_set(err, ST_CORRUPT, "the section is missing");
    if (st != ST_OK)
        return st;
    l->lsns = mem_alloc_array(m->block_slots, sizeof *l->lsns);
    l->states = mem_alloc_array(m->block_slots, sizeof *l->states);
    if (l->lsns == NULL || l->states == NULL)
        return err_set(err, ST_NOMEM, "out of memory for reading a checkpoint");
    return ST_OK;
}

void ckpt_live_close(struct ckpt_live *l)
{
    container_stream_close(&l->stream);
    mem_free(l->lsns);
    mem_free(l->states);
    *l = (struct ckpt_live){0};
}

static status read_entries(struct ckpt_live *l, struct rd *r, struct err *err)
{
    uint64_t at = 0;
    uint64_t lsn = 0;

    memset(l->states, 0, l->m->block_slots);
    for (uint32_t i = 0; i < l->entries; i++) {
        uint64_t gap = rd_varint(r);

        lsn += (uint64_t)unzigzag(rd_varint(r));
        if (r->bad || gap >> 1 >= l->slots - at || lsn > l->m->lsn_max)
            return err_set(err, ST_CORRUPT, "entry %" PRIu32 " of block %" PRIu32 " out of range",
                           i, l->block);
        at += gap >> 1;
        l->states[at] = (gap & 1) != 0 ? SLOT_DEAD : SLOT_LIVE;
        l->lsns[at] = lsn;
        at++;
    }
    if (rd_left(r) > 0)
        return err_set(err, ST_CORRUPT, "bytes follow the entries of block %" PRIu32, l->block);
    return ST_OK;
}

/* After the last block: that all of the file was read, and held what the manifest says. */
static status live_end(struct ckpt_live *l, struct err *err)
{
    const struct ckpt_file *file = ckpt_manifest_find(l->m, CKPT_LIVE, 0);
    status st = container_stream_end(&l->stream, err);

    if (st == ST_OK && l->entries_read != file->items)
        st = err_set(err, ST_CORRUPT, "%" PRIu64 " entries, the manifest says %" PRIu32,
                     l->entries_read, file->items);
    return st == ST_OK ? ST_NOT_FOUND : st;
}

status ckpt_live_next(struct ckpt_live *l, struct err *err)
{
    struct slice bytes;
    struct rd r;
    uint64_t first;
    uint32_t length;
    status st;

    if (container_stream_left(&l->stream) == 0)
        return live_end(l, err);
    st = container_stream_take(&l->stream, CKPT_LIVE_HEAD_BYTES, &bytes, err);
    if (st != ST_OK)
        return st;
    l->block = le_u32(bytes.data);
    l->entries = le_u32(bytes.data + 4);
    length = le_u32(bytes.data + 8);
    first = (uint64_t)l->block * l->m->block_slots;
    if (l->block <= l->block_before || first >= l->m->slots_end || l->entries == 0)
        return err_set(err, ST_CORRUPT, "block %" PRIu32 " out of range or order", l->block);
    l->first = (uint32_t)first;
    l->slots = l->m->slots_end - l->first;
    if (l->slots > l->m->block_slots)
        l->slots = l->m->block_slots;
    l->block_before = l->block;
    l->entries_read += l->entries;
    st = container_stream_take(&l->stream, length, &bytes, err);
    if (st != ST_OK)
        return st;
    r = rd_make(bytes);
    return read_entries(l, &r, err);
}

/* --- a graph file --- */

static status read_graph_head(struct ckpt_graph *g, uint16_t field, struct err *err)
{
    struct slice head;
    status st = container_stream_take(&g->stream, CKPT_GRAPH_HEAD_BYTES, &head, err);

    if (st != ST_OK)
        return st;
    if (le_u16(head.data) != field || le_u16(head.data + 2) != 0 ||
        le_u32(head.data + 4) != g->m->slots_end || head.data[8] != link_bits(g->m->slots_end))
        return err_set(err, ST_CORRUPT, "head does not fit the manifest");
    g->made = (struct vgraph){.m = head.data[9], .ef_construction = le_u16(head.data + 10)};
    if (g->made.m > VINDEX_M_MAX || (g->made.m < VINDEX_M_MIN && g->made.m != 0) ||
        g->made.ef_construction > VINDEX_EF_MAX ||
        (g->made.m == 0) != (g->made.ef_construction == 0))
        return err_set(err, ST_CORRUPT, "a graph of m %u and ef_construction %u", g->made.m,
                       g->made.ef_construction);
    return ST_OK;
}

status ckpt_graph_open(struct ckpt_graph *g, struct container *c, const struct ckpt_manifest *m,
                       const struct ckpt_file *file, struct err *err)
{
    const uint16_t known[] = {CKPT_SECTION_GRAPH};
    status st = container_check_sections(c, known, COUNT_OF(known), err);

    *g = (struct ckpt_graph){.m = m, .left = file->items};
    if (st == ST_OK)
        st = container_stream_open(c, CKPT_SECTION_GRAPH, &g->stream, err);
    if (st == ST_NOT_FOUND)
        st = err_set(err, ST_CORRUPT, "the section is missing");
    if (st != ST_OK)
        return st;
    g->links = mem_alloc_array(CKPT_NODE_LINKS_MAX, sizeof *g->links);
    if (g->links == NULL)
        return err_set(err, ST_NOMEM, "out of memory for reading a checkpoint");
    return read_graph_head(g, (uint16_t)file->number, err);
}

void ckpt_graph_close(struct ckpt_graph *g)
{
    container_stream_close(&g->stream);
    mem_free(g->links);
    *g = (struct ckpt_graph){0};
}

static status read_node(struct ckpt_graph *g, struct vnode *node, struct err *err)
{
    unsigned bits = link_bits(g->m->slots_end);
    struct slice bytes;
    uint32_t total = 0;
    status st = container_stream_take(&g->stream, CKPT_NODE_HEAD_BYTES, &bytes, err);

    if (st != ST_OK)
        return st;
    *node = (struct vnode){.slot = le_u32(bytes.data), .level = bytes.data[4]};
    if (node->level > VNODE_LEVEL_MAX || node->slot >= g->m->slots_end)
        return err_set(err, ST_CORRUPT, "node out of range slot=%" PRIu32 " level=%u", node->slot,
                       node->level);
    st = container_stream_take(&g->stream, ((size_t)node->level + 1) * 2, &bytes, err);
    if (st != ST_OK)
        return st;
    for (uint32_t level = 0; level <= node->level; level++) {
        node->counts[level] = le_u16(bytes.data + 2 * (size_t)level);
        if (node->counts[level] > CKPT_NODE_LINKS_MAX - total)
            return err_set(err, ST_CORRUPT, "node has too many links slot=%" PRIu32, node->slot);
        node->links[level] = g->links + total;
        total += node->counts[level];
    }
    st = container_stream_take(&g->stream, link_packed_bytes(total, bits), &bytes, err);
    if (st == ST_OK)
        link_unpack(bytes.data, total, bits, g->links);
    return st;
}

status ckpt_graph_next(struct ckpt_graph *g, struct vnode *out, struct err *err)
{
    status st;

    if (g->left == 0) {
        st = container_stream_end(&g->stream, err);
        return st == ST_OK ? ST_NOT_FOUND : st;
    }
    g->left--;
    st = read_node(g, out, err);
    if (st == ST_OK && out->slot < g->next_slot)
        st = err_set(err, ST_CORRUPT, "node out of order slot=%" PRIu32, out->slot);
    g->next_slot = out->slot + 1;
    return st;
}

/* --- all of them, for `verify` --- */

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
