/* Nodes go out as they come, as they are most of the bytes; the slot map is kept aside and written
 * behind them. */
#include "base/mem.h"
#include "segment/image_internal.h"

#include <inttypes.h>

struct image_writer {
    struct container_memory_sink sink;
    struct container_writer *container;
    struct image_head head;
    unsigned bits;
    struct buf slots; /* the slot map */
    struct buf node;  /* scratch */
    size_t nodes_bytes;
    uint64_t slot_next; /* the first slot that may follow, of each kind */
    uint64_t node_next;
    uint64_t lsn; /* of the slot before */
    bool finished;
};

status image_create(const struct image_head *head, struct image_writer **out, struct err *err)
{
    struct image_writer *w;
    status st;

    if (head->slot_first >= head->slots_end)
        return err_set(err, ST_INVALID, "image without slots: %" PRIu32 " to %" PRIu32,
                       head->slot_first, head->slots_end);
    w = mem_zero(sizeof *w);
    if (w == NULL)
        return err_set(err, ST_NOMEM, "out of memory for an image");
    w->head = *head;
    w->head.entries = 0;
    w->head.nodes = 0;
    w->bits = link_bits(head->slots_end);
    w->slot_next = head->slot_first;
    w->node_next = head->slot_first;
    container_memory_sink_init(&w->sink, SEGMENT_BYTES_MAX);
    buf_init(&w->slots, SEGMENT_BYTES_MAX);
    buf_init(&w->node, SEGMENT_BYTES_MAX);
    st = container_create(&w->sink.sink, CONTAINER_IMAGE, head->collection, &w->container, err);
    if (st == ST_OK)
        st = container_section(w->container, IMAGE_SECTION_NODES, 0, err);
    if (st != ST_OK) {
        image_writer_destroy(w);
        return st;
    }
    *out = w;
    return ST_OK;
}

void image_writer_destroy(struct image_writer *w)
{
    if (w == NULL)
        return;
    container_writer_destroy(w->container);
    buf_free(&w->sink.bytes);
    buf_free(&w->slots);
    buf_free(&w->node);
    mem_free(w);
}

size_t image_bytes(const struct image_writer *w)
{
    return w->nodes_bytes + w->slots.bytes;
}

static status check_usable(const struct image_writer *w, uint32_t slot, uint64_t next,
                           struct err *err)
{
    if (w->finished)
        return err_set(err, ST_BUG, "image was finished before");
    if (slot < next || slot >= w->head.slots_end)
        return err_set(err, ST_INVALID, "image: slot %" PRIu32 " is out of order or out of range",
                       slot);
    return ST_OK;
}

static status check_room(const struct image_writer *w, size_t bytes, struct err *err)
{
    if (image_bytes(w) + bytes > SEGMENT_BYTES_MAX - IMAGE_OVERHEAD_BYTES)
        return err_set(err, ST_NOSPACE, "image is full bytes=%zu", image_bytes(w));
    return ST_OK;
}

status image_add_slot(struct image_writer *w, const struct image_slot *slot, struct err *err)
{
    status st = check_usable(w, slot->slot, w->slot_next, err);

    if (st == ST_OK && slot->lsn == 0)
        st = err_set(err, ST_INVALID, "image: slot %" PRIu32 " without an lsn", slot->slot);
    if (st == ST_OK)
        st = check_room(w, IMAGE_SLOT_BYTES_MAX, err);
    if (st == ST_OK && !buf_reserve(&w->slots, IMAGE_SLOT_BYTES_MAX))
        st = buf_status(&w->slots, err);
    if (st != ST_OK)
        return st;
    buf_put_varint(&w->slots, (slot->slot - w->slot_next) * 2 + (slot->dead ? 1 : 0));
    buf_put_varint(&w->slots, zigzag((int64_t)(slot->lsn - w->lsn)));
    buf_put_u32(&w->slots, slot->id_hash);
    w->slot_next = (uint64_t)slot->slot + 1;
    w->lsn = slot->lsn;
    w->head.entries++;
    return ST_OK;
}

/* NULL, or what is wrong with the node's lists. */
static const char *links_problem(const struct image_writer *w, const struct image_node *node)
{
    size_t total = 0;

    if (node->level > IMAGE_LEVEL_MAX)
        return "level is out of range";
    for (unsigned l = 0; l <= node->level; l++) {
        total += node->counts[l];
        if (total > IMAGE_NODE_LINKS_MAX)
            return "too many links";
        for (size_t i = 0; i < node->counts[l]; i++)
            if (node->links[l][i] >= w->head.slots_end)
                return "a link leads outside";
    }
    return NULL;
}

static status encode_node(struct image_writer *w, const struct image_node *node, struct err *err)
{
    uint32_t links[IMAGE_NODE_LINKS_MAX];
    size_t count = 0;
    size_t bytes;

    buf_reset(&w->node);
    buf_put_u32(&w->node, node->slot);
    buf_put_u8(&w->node, node->level);
    for (unsigned l = 0; l <= node->level; l++) {
        buf_put_u16(&w->node, node->counts[l]);
        if (node->counts[l] > 0)
            memcpy(links + count, node->links[l], node->counts[l] * sizeof links[0]);
        count += node->counts[l];
    }
    bytes = link_packed_bytes(count, w->bits);
    if (buf_reserve(&w->node, bytes)) {
        link_pack(links, count, w->bits, w->node.data + w->node.bytes);
        w->node.bytes += bytes;
    }
    return buf_status(&w->node, err);
}

status image_add_node(struct image_writer *w, const struct image_node *node, struct err *err)
{
    status st = check_usable(w, node->slot, w->node_next, err);
    const char *problem;

    if (st != ST_OK)
        return st;
    problem = links_problem(w, node);
    if (problem != NULL)
        return err_set(err, ST_INVALID, "image: slot %" PRIu32 ": %s", node->slot, problem);
    st = encode_node(w, node, err);
    if (st == ST_OK)
        st = check_room(w, w->node.bytes, err);
    if (st == ST_OK)
        st = container_write(w->container, buf_slice(&w->node), err);
    if (st != ST_OK)
        return st;
    w->nodes_bytes += w->node.bytes;
    w->node_next = (uint64_t)node->slot + 1;
    w->head.nodes++;
    return ST_OK;
}

static status write_head(struct image_writer *w, struct err *err)
{
    uint8_t head[IMAGE_HEAD_BYTES] = {0};

    le_put_u16(head + IMAGE_HEAD_AT_FIELD, w->head.field);
    head[IMAGE_HEAD_AT_BITS] = (uint8_t)w->bits;
    le_put_u32(head + IMAGE_HEAD_AT_FIRST, w->head.slot_first);
    le_put_u32(head + IMAGE_HEAD_AT_END, w->head.slot_end);
    le_put_u32(head + IMAGE_HEAD_AT_SLOTS_END, w->head.slots_end);
    le_put_u32(head + IMAGE_HEAD_AT_ENTRIES, w->head.entries);
    le_put_u32(head + IMAGE_HEAD_AT_NODES, w->head.nodes);
    le_put_u64(head + IMAGE_HEAD_AT_START, w->head.start_lsn);
    return items_write_head(w->container, IMAGE_SECTION_HEAD, slice_make(head, sizeof head), err);
}

status image_finish(struct image_writer *w, uint32_t slot_end, struct image_head *head,
                    struct slice *bytes, struct err *err)
{
    uint64_t size;
    uint32_t crc;
    status st;

    if (w->finished)
        return err_set(err, ST_BUG, "image was finished before");
    if (slot_end <= w->head.slot_first || slot_end > w->head.slots_end || slot_end < w->slot_next ||
        slot_end < w->node_next)
        return err_set(err, ST_INVALID, "image: it does not end at slot %" PRIu32, slot_end);
    w->finished = true;
    w->head.slot_end = slot_end;
    st = container_section(w->container, IMAGE_SECTION_SLOTS, 0, err);
    if (st == ST_OK)
        st = container_write(w->container, buf_slice(&w->slots), err);
    if (st == ST_OK)
        st = write_head(w, err);
    if (st == ST_OK)
        st = container_finish(w->container, &size, &crc, err);
    if (st != ST_OK)
        return st;
    *head = w->head;
    *bytes = buf_slice(&w->sink.bytes);
    return ST_OK;
}
