#include "base/mem.h"
#include "segment/image_internal.h"

#include <inttypes.h>

struct image {
    struct container_memory_source source;
    struct container *container;
    struct image_head head;
    unsigned bits;
};

static bool fits(const struct image *i, uint16_t section, uint64_t count, uint64_t bytes_min)
{
    struct container_section_info info;

    return container_find(i->container, section, &info, NULL) == ST_OK &&
           count * bytes_min <= info.bytes;
}

static status read_head(struct image *i, struct err *err)
{
    uint8_t head[IMAGE_HEAD_BYTES];
    struct image_head *h = &i->head;
    status st = items_read_head(i->container, IMAGE_SECTION_HEAD, head, sizeof head, err);

    if (st != ST_OK)
        return st;
    h->field = le_u16(head + IMAGE_HEAD_AT_FIELD);
    h->slot_first = le_u32(head + IMAGE_HEAD_AT_FIRST);
    h->slot_end = le_u32(head + IMAGE_HEAD_AT_END);
    h->slots_end = le_u32(head + IMAGE_HEAD_AT_SLOTS_END);
    h->entries = le_u32(head + IMAGE_HEAD_AT_ENTRIES);
    h->nodes = le_u32(head + IMAGE_HEAD_AT_NODES);
    h->start_lsn = le_u64(head + IMAGE_HEAD_AT_START);
    i->bits = link_bits(h->slots_end);
    if (head[IMAGE_HEAD_AT_BITS] != i->bits || head[IMAGE_HEAD_AT_ZERO] != 0 ||
        h->slot_first >= h->slot_end || h->slot_end > h->slots_end ||
        h->entries > h->slot_end - h->slot_first || h->nodes > h->slot_end - h->slot_first ||
        !fits(i, IMAGE_SECTION_SLOTS, h->entries, IMAGE_SLOT_BYTES_MIN) ||
        !fits(i, IMAGE_SECTION_NODES, h->nodes, IMAGE_NODE_BYTES_MIN))
        return err_set(err, ST_CORRUPT,
                       "image head out of range: slots %" PRIu32 " to %" PRIu32 " of %" PRIu32,
                       h->slot_first, h->slot_end, h->slots_end);
    return ST_OK;
}

status image_open(struct slice bytes, const uint8_t collection[16], struct image **out,
                  struct err *err)
{
    static const uint16_t known[] = {IMAGE_SECTION_HEAD, IMAGE_SECTION_SLOTS, IMAGE_SECTION_NODES};
    struct image *i;
    status st;

    if (bytes.bytes > SEGMENT_BYTES_MAX)
        return err_set(err, ST_CORRUPT, "image is too large bytes=%zu", bytes.bytes);
    i = mem_zero(sizeof *i);
    if (i == NULL)
        return err_set(err, ST_NOMEM, "out of memory for an image");
    memcpy(i->head.collection, collection, sizeof i->head.collection);
    container_memory_source_init(&i->source, bytes);
    st = container_open(&i->source.source, CONTAINER_IMAGE, collection, &i->container, err);
    if (st == ST_OK)
        st = container_check_sections(i->container, known, COUNT_OF(known), err);
    if (st == ST_OK)
        st = read_head(i, err);
    if (st != ST_OK) {
        image_close(i);
        return st;
    }
    *out = i;
    return ST_OK;
}

void image_close(struct image *i)
{
    if (i == NULL)
        return;
    container_close(i->container);
    mem_free(i);
}

const struct image_head *image_head(const struct image *i)
{
    return &i->head;
}

/* `next` and `lsn` are those of the slot before; moved on. */
static status take_slot(struct container_stream *s, const struct image_head *h, uint64_t *next,
                        uint64_t *lsn, struct image_slot *out, struct err *err)
{
    uint64_t skipped = 0;
    uint64_t delta = 0;
    struct slice hash;
    status st = items_take_varint(s, &skipped, err);

    if (st == ST_OK)
        st = items_take_varint(s, &delta, err);
    if (st == ST_OK)
        st = container_stream_take(s, 4, &hash, err);
    if (st != ST_OK)
        return st;
    if (*next >= h->slot_end || skipped / 2 >= h->slot_end - *next)
        return err_set(err, ST_CORRUPT, "image: its slot map leads outside");
    *out = (struct image_slot){.slot = (uint32_t)(*next + skipped / 2),
                               .dead = (skipped & 1) != 0,
                               .lsn = *lsn + (uint64_t)unzigzag(delta),
                               .id_hash = le_u32(hash.data)};
    if (out->lsn == 0)
        return err_set(err, ST_CORRUPT, "image: slot %" PRIu32 " without an lsn", out->slot);
    *next = (uint64_t)out->slot + 1;
    *lsn = out->lsn;
    return ST_OK;
}

status image_each_slot(struct image *i, image_slot_fn *fn, void *arg, struct err *err)
{
    struct container_stream s = {0};
    uint64_t next = i->head.slot_first;
    uint64_t lsn = 0;
    struct image_slot slot;
    status st = items_open(i->container, IMAGE_SECTION_SLOTS, &s, err);

    for (uint32_t n = 0; st == ST_OK && n < i->head.entries; n++) {
        st = take_slot(&s, &i->head, &next, &lsn, &slot, err);
        if (st == ST_OK)
            st = fn(arg, &slot, err);
    }
    if (st == ST_OK)
        st = container_stream_end(&s, err);
    container_stream_close(&s);
    return st;
}

static status node_corrupt(uint32_t slot, const char *what, struct err *err)
{
    return err_set(err, ST_CORRUPT, "image: slot %" PRIu32 ": %s", slot, what);
}

static status take_counts(struct container_stream *s, struct image_node *node, size_t *total,
                          struct err *err)
{
    struct slice raw;
    status st = container_stream_take(s, (node->level + (size_t)1) * 2, &raw, err);

    *total = 0;
    for (unsigned l = 0; st == ST_OK && l <= node->level; l++) {
        node->counts[l] = le_u16(raw.data + (size_t)l * 2);
        *total += node->counts[l];
    }
    return st;
}

static status take_links(struct container_stream *s, const struct image *i, uint32_t slot,
                         size_t total, uint32_t *links, struct err *err)
{
    size_t bytes = link_packed_bytes(total, i->bits);
    unsigned used = (unsigned)(total * i->bits % 8);
    struct slice packed;
    status st = container_stream_take(s, bytes, &packed, err);

    if (st != ST_OK)
        return st;
    link_unpack(packed.data, total, i->bits, links);
    for (size_t k = 0; k < total; k++)
        if (links[k] >= i->head.slots_end)
            return node_corrupt(slot, "a link leads outside", err);
    if (used > 0 && packed.data[bytes - 1] >> used != 0)
        return node_corrupt(slot, "its links do not end in zeros", err);
    return ST_OK;
}

/* Links are put into `links`, which the node points into. */
static status take_node(struct container_stream *s, const struct image *i, uint64_t next,
                        struct image_node *node, uint32_t links[IMAGE_NODE_LINKS_MAX],
                        struct err *err)
{
    struct slice raw;
    size_t total = 0;
    status st = container_stream_take(s, IMAGE_NODE_PREFIX_BYTES, &raw, err);

    if (st != ST_OK)
        return st;
    node->slot = le_u32(raw.data);
    node->level = raw.data[4];
    if (node->slot < next || node->slot >= i->head.slot_end || node->level > IMAGE_LEVEL_MAX)
        return node_corrupt(node->slot, "it or its level is out of range", err);
    st = take_counts(s, node, &total, err);
    if (st == ST_OK && total > IMAGE_NODE_LINKS_MAX)
        st = node_corrupt(node->slot, "too many links", err);
    if (st == ST_OK)
        st = take_links(s, i, node->slot, total, links, err);
    if (st != ST_OK)
        return st;
    for (unsigned l = 0; l <= node->level; l++) {
        node->links[l] = links;
        links += node->counts[l];
    }
    return ST_OK;
}

status image_each_node(struct image *i, image_node_fn *fn, void *arg, struct err *err)
{
    uint32_t links[IMAGE_NODE_LINKS_MAX];
    struct container_stream s = {0};
    uint64_t next = i->head.slot_first;
    status st = items_open(i->container, IMAGE_SECTION_NODES, &s, err);

    for (uint32_t n = 0; st == ST_OK && n < i->head.nodes; n++) {
        struct image_node node = {0};

        st = take_node(&s, i, next, &node, links, err);
        if (st != ST_OK)
            break;
        next = (uint64_t)node.slot + 1;
        st = fn(arg, &node, err);
    }
    if (st == ST_OK)
        st = container_stream_end(&s, err);
    container_stream_close(&s);
    return st;
}
