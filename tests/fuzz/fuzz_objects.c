/* Any bytes as the sections of a group, a segment and a graph image: must not read outside, must
 * end. The container around them is a good one, so that what is tried is what they say. */
#include "base/mem.h"
#include "segment/container_memory.h"
#include "segment/group.h"
#include "segment/segment.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static const uint8_t OWNER[16] = {1};

/* Sections first..last with each its u16 length and bytes; the last has what is left. */
static status build(struct container_memory_sink *sink, enum container_kind kind, uint16_t first,
                    uint16_t last, struct rd *r)
{
    struct container_writer *w = NULL;
    uint64_t bytes;
    uint32_t crc;
    status st = container_create(&sink->sink, kind, OWNER, &w, NULL);

    for (uint16_t section = first; st == ST_OK && section <= last; section++) {
        size_t n = section < last ? rd_u16(r) : rd_left(r);

        st = container_section(w, section, 0, NULL);
        if (n > rd_left(r))
            n = rd_left(r);
        if (st == ST_OK)
            st = container_write(w, rd_bytes(r, n), NULL);
    }
    if (st == ST_OK)
        st = container_finish(w, &bytes, &crc, NULL);
    container_writer_destroy(w);
    return st;
}

static status on_record(void *arg, uint64_t lsn, struct slice payload, struct err *err)
{
    (void)arg;
    (void)lsn;
    (void)err;
    return payload.bytes < 16 ? ST_BUG : ST_OK;
}

static void read_group(struct slice bytes, struct slice head)
{
    struct group *g;
    uint64_t epoch = head.bytes >= 24 ? le_u64(head.data + 8) : 1;
    uint64_t seq = head.bytes >= 24 ? le_u64(head.data + 16) : 1;

    if (group_open(bytes, OWNER, epoch, seq, &g, NULL) != ST_OK)
        return;
    if (group_each(g, on_record, NULL, NULL) != ST_OK)
        __builtin_trap();
    group_close(g);
}

static status on_row(void *arg, const struct segment_row *row, struct err *err)
{
    float values[4];

    (void)arg;
    (void)err;
    return record_row_vector(&row->row, 0, values, COUNT_OF(values), NULL) == ST_BUG ? ST_BUG
                                                                                     : ST_OK;
}

static status on_tombstone(void *arg, uint64_t lsn, const struct docid *id, struct err *err)
{
    (void)arg;
    (void)err;
    return lsn == 0 || docid_hash(id) == 1 ? ST_BUG : ST_OK;
}

static void read_segment(struct slice bytes)
{
    struct segment *s;
    status st;

    if (segment_open(bytes, OWNER, &s, NULL) != ST_OK)
        return;
    st = segment_check(s, NULL);
    if (segment_each_row(s, on_row, NULL, NULL) != ST_OK && st == ST_OK)
        __builtin_trap();
    if (segment_each_tombstone(s, on_tombstone, NULL, NULL) != ST_OK && st == ST_OK)
        __builtin_trap();
    segment_close(s);
}

static status on_slot(void *arg, const struct image_slot *slot, struct err *err)
{
    const struct image_head *h = arg;

    (void)err;
    if (slot->slot < h->slot_first || slot->slot >= h->slot_end || slot->lsn == 0)
        __builtin_trap();
    return ST_OK;
}

static status on_node(void *arg, const struct image_node *node, struct err *err)
{
    const struct image_head *h = arg;

    (void)err;
    for (unsigned l = 0; l <= node->level; l++)
        for (unsigned i = 0; i < node->counts[l]; i++)
            if (node->links[l][i] >= h->slots_end)
                __builtin_trap();
    return ST_OK;
}

static void read_image(struct slice bytes)
{
    struct image_head head;
    struct image *i;
    status st;

    if (image_open(bytes, OWNER, &i, NULL) != ST_OK)
        return;
    head = *image_head(i);
    st = image_each_slot(i, on_slot, &head, NULL);
    st = image_each_node(i, on_node, &head, NULL);
    (void)st;
    image_close(i);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static const struct {
        enum container_kind kind;
        uint16_t first, last;
    } shapes[] = {{CONTAINER_GROUP, 1, 2}, {CONTAINER_SEGMENT, 1, 4}, {CONTAINER_IMAGE, 2, 4}};
    struct container_memory_sink sink;
    struct rd r = rd_make(slice_make(data, bytes));
    unsigned which = rd_u8(&r) % COUNT_OF(shapes);

    if (bytes < 4)
        return 0;
    container_memory_sink_init(&sink, 1 << 24);
    if (build(&sink, shapes[which].kind, shapes[which].first, shapes[which].last, &r) == ST_OK) {
        if (which == 0)
            read_group(buf_slice(&sink.bytes), slice_make(data + 3, bytes - 3));
        else if (which == 1)
            read_segment(buf_slice(&sink.bytes));
        else
            read_image(buf_slice(&sink.bytes));
    }
    buf_free(&sink.bytes);
    return 0;
}
