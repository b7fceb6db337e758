/* Graph images under good checksums that are not what they say: each lie alone is found. */
#include "segment/pack.h"
#include "segment/segment.h"
#include "tests/unit/segment/crafted.h"

#include <stdlib.h>

static const uint8_t DOCS[16] = {0x33, 1};
enum { HEAD, SLOTS, NODES };
enum { FIRST = 10, END = 20, SLOTS_END = 100, BITS = 7 };
enum { NODE_BYTES = 5 + 2 + 3, SLOT_BYTES = 6 };

static void put_node(struct buf *b, uint32_t slot, uint8_t level, uint16_t links)
{
    uint32_t link[3000];
    uint8_t packed[3000 * BITS / 8 + 1];

    buf_put_u32(b, slot);
    buf_put_u8(b, level);
    for (unsigned l = 0; l <= level; l++)
        buf_put_u16(b, l == 0 ? links : 0);
    for (unsigned i = 0; i < links; i++)
        link[i] = i % SLOTS_END;
    link_pack(link, links, BITS, packed);
    buf_put(b, packed, link_packed_bytes(links, BITS));
}

static void put_slot(struct buf *b, uint64_t skipped, int64_t lsn)
{
    buf_put_varint(b, skipped * 2);
    buf_put_varint(b, zigzag(lsn));
    buf_put_u32(b, 0xABCD);
}

/* Slots 11 and 14; nodes 10, 12 and 19 with three links each. */
static void make(struct crafted *c)
{
    struct buf *b;

    *c = (struct crafted){0};
    b = crafted_add(c, 2);
    buf_put_u16(b, 3);
    buf_put_u8(b, BITS);
    buf_put_u8(b, 0);
    buf_put_u32(b, FIRST);
    buf_put_u32(b, END);
    buf_put_u32(b, SLOTS_END);
    buf_put_u32(b, 2);
    buf_put_u32(b, 3);
    buf_put_u64(b, 50);
    b = crafted_add(c, 3);
    put_slot(b, 1, 40);
    put_slot(b, 2, -3);
    assert_int_equal(b->bytes, 2 * SLOT_BYTES);
    b = crafted_add(c, 4);
    put_node(b, 10, 0, 3);
    put_node(b, 12, 0, 3);
    put_node(b, 19, 0, 3);
    assert_int_equal(b->bytes, 3 * NODE_BYTES);
}

static uint8_t *at(struct crafted *c, unsigned part, size_t offset)
{
    assert_true(offset < c->parts[part].bytes.bytes);
    return c->parts[part].bytes.data + offset;
}

static const char *lie_of_the_head(struct crafted *c, unsigned which)
{
    switch (which) {
    case 0:
        *at(c, HEAD, 2) = BITS + 1;
        return "more bits than slots need";
    case 1:
        *at(c, HEAD, 3) = 1;
        return "a byte that should be zero";
    case 2:
        le_put_u32(at(c, HEAD, 4), END);
        return "a part without slots";
    case 3:
        le_put_u32(at(c, HEAD, 8), SLOTS_END + 1);
        return "an end behind the image's";
    case 4:
        le_put_u32(at(c, HEAD, 16), 11);
        return "more entries than slots";
    case 5:
        le_put_u32(at(c, HEAD, 20), 11);
        return "more nodes than slots";
    case 6:
        le_put_u32(at(c, HEAD, 16), 3);
        return "more entries than bytes";
    case 7:
        le_put_u32(at(c, HEAD, 20), 5);
        return "more nodes than bytes";
    case 8:
        buf_put_u8(&c->parts[HEAD].bytes, 0);
        return "a head that is too long";
    case 9:
        c->parts[HEAD].bytes.bytes--;
        return "a head that is too short";
    case 10:
    case 11:
    case 12:
        c->parts[which - 10].section = 0;
        return "a section that is missing";
    case 13:
        buf_put_text(crafted_add(c, 1), "the graph of a local checkpoint");
        return NULL; /* unsupported: asked for below */
    default:
        return NULL;
    }
}

static const char *lie_of_the_slots(struct crafted *c, unsigned which)
{
    struct buf *b = &c->parts[SLOTS].bytes;

    switch (which) {
    case 0:
        *at(c, SLOTS, 0) = (END - FIRST) * 2;
        return "a slot behind the end";
    case 1:
        b->bytes = SLOT_BYTES;
        put_slot(b, UINT64_MAX / 2, 1);
        return "a slot that wraps around";
    case 2:
        *at(c, SLOTS, 1) = 0;
        return "a slot without an lsn";
    case 3:
        *at(c, SLOTS, SLOT_BYTES + 1) = (uint8_t)zigzag(-40);
        return "an lsn that falls to 0";
    case 4:
        *at(c, SLOTS, 0) |= 0x80;
        crafted_insert(b, 1, 0);
        return "a number in more bytes than it needs";
    case 5:
        b->bytes = SLOT_BYTES;
        put_slot(b, 2, -3000); /* a byte longer */
        b->bytes--;
        return "an entry that is cut short";
    case 6:
        buf_put_u8(b, 0);
        return "a byte behind the entries";
    case 7:
        le_put_u32(at(c, HEAD, 16), 1);
        return "an entry more than it says";
    default:
        return NULL;
    }
}

static const char *lie_of_the_nodes(struct crafted *c, unsigned which)
{
    struct buf *b = &c->parts[NODES].bytes;

    switch (which) {
    case 0:
        le_put_u32(at(c, NODES, 0), FIRST - 1);
        return "a node before the first slot";
    case 1:
        le_put_u32(at(c, NODES, (size_t)2 * NODE_BYTES), END);
        return "a node behind the end";
    case 2:
        le_put_u32(at(c, NODES, NODE_BYTES), 10);
        return "a node twice";
    case 3:
        le_put_u32(at(c, NODES, NODE_BYTES), 19);
        le_put_u32(at(c, NODES, (size_t)2 * NODE_BYTES), 12);
        return "nodes out of order";
    case 4:
        *at(c, NODES, NODE_BYTES - 1) |= 0x20;
        return "bits behind the links";
    case 5:
        *at(c, NODES, 7) = 100;
        return "a link that leads outside";
    case 6:
        *at(c, NODES, 4) = IMAGE_LEVEL_MAX + 1;
        return "a level that is too high";
    case 7:
        b->bytes = (size_t)2 * NODE_BYTES;
        put_node(b, 19, 0, IMAGE_NODE_LINKS_MAX + 1);
        return "more links than can be";
    case 8:
        b->bytes--;
        return "links that are cut short";
    case 9:
        buf_put_u8(b, 0);
        return "a byte behind the nodes";
    case 10:
        le_put_u32(at(c, HEAD, 20), 2);
        return "a node more than it says";
    default:
        return NULL;
    }
}

static status pass_slot(void *arg, const struct image_slot *slot, struct err *err)
{
    (void)arg;
    (void)slot;
    (void)err;
    return ST_OK;
}

static status pass_node(void *arg, const struct image_node *node, struct err *err)
{
    (void)arg;
    (void)node;
    (void)err;
    return ST_OK;
}

struct outcome {
    status open, slots, nodes;
};

static struct outcome read_all(const struct crafted *c)
{
    struct buf b = crafted_build(c, CONTAINER_IMAGE, DOCS);
    struct outcome o = {0};
    struct image *i = NULL;

    o.open = image_open(buf_slice(&b), DOCS, &i, NULL);
    if (o.open == ST_OK) {
        o.slots = image_each_slot(i, pass_slot, NULL, NULL);
        o.nodes = image_each_node(i, pass_node, NULL, NULL);
    }
    image_close(i);
    buf_free(&b);
    return o;
}

typedef const char *lie_fn(struct crafted *c, unsigned which);

static unsigned each_lie(lie_fn *lie, struct outcome want)
{
    for (unsigned which = 0;; which++) {
        struct crafted c;
        struct outcome o;
        const char *what;

        make(&c);
        what = lie(&c, which);
        o = read_all(&c);
        crafted_free(&c);
        if (what == NULL)
            return which;
        if (o.open != want.open || o.slots != want.slots || o.nodes != want.nodes)
            fail_msg("%s: open %s, slots %s, nodes %s", what, status_name(o.open),
                     status_name(o.slots), status_name(o.nodes));
    }
}

static void what_is_crafted_well_is_read(void **state)
{
    struct crafted c;
    struct outcome o;

    (void)state;
    make(&c);
    o = read_all(&c);
    assert_int_equal(o.open, ST_OK);
    assert_int_equal(o.slots, ST_OK);
    assert_int_equal(o.nodes, ST_OK);
    c.parts[NODES].bytes.bytes = (size_t)2 * NODE_BYTES;
    put_node(&c.parts[NODES].bytes, 19, IMAGE_LEVEL_MAX, IMAGE_NODE_LINKS_MAX);
    assert_int_equal(read_all(&c).nodes, ST_OK); /* the largest there is */
    crafted_free(&c);
}

static void lies_of_the_head_are_found(void **state)
{
    (void)state;
    assert_int_equal(each_lie(lie_of_the_head, (struct outcome){.open = ST_CORRUPT}), 13);
}

static void lies_of_the_slots_are_found_by_reading_them(void **state)
{
    (void)state;
    assert_int_equal(each_lie(lie_of_the_slots, (struct outcome){.slots = ST_CORRUPT}), 8);
}

static void lies_of_the_nodes_are_found_by_reading_them(void **state)
{
    (void)state;
    assert_int_equal(each_lie(lie_of_the_nodes, (struct outcome){.nodes = ST_CORRUPT}), 11);
}

static void a_graph_of_a_local_checkpoint_is_no_image(void **state)
{
    struct crafted c;

    (void)state;
    make(&c);
    (void)lie_of_the_head(&c, 13);
    assert_int_equal(read_all(&c).open, ST_UNSUPPORTED);
    crafted_free(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_crafted_well_is_read),
        cmocka_unit_test(lies_of_the_head_are_found),
        cmocka_unit_test(lies_of_the_slots_are_found_by_reading_them),
        cmocka_unit_test(lies_of_the_nodes_are_found_by_reading_them),
        cmocka_unit_test(a_graph_of_a_local_checkpoint_is_no_image),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
