/* Graph images: the slot map and the links come back; released bytes, damage, limits. */
#include "base/mem.h"
#include "segment/segment.h"
#include "tests/support/alloc_sweep.h"
#include "tests/support/golden.h"
#include "tests/unit/segment/attack.h"

static uint64_t seed = 20261127;
static const uint8_t DOCS[16] = {0x33, 1};
enum { FIRST = 100, END = 180, SLOTS_END = 300, LEVELS = 3 };

static const struct image_head HEAD = {.collection = {0x33, 1},
                                       .field = 3,
                                       .start_lsn = 5000,
                                       .slot_first = FIRST,
                                       .slots_end = SLOTS_END};

static bool has_slot(uint32_t slot)
{
    return slot % 7 != 3;
}
static bool has_node(uint32_t slot)
{
    return slot % 3 != 1;
}

static struct image_slot slot_of(uint32_t slot)
{
    return (struct image_slot){.slot = slot,
                               .dead = slot % 5 == 0,
                               .lsn = slot % 11 == 0 ? UINT64_MAX - slot : 4000 - 3 * slot,
                               .id_hash = slot * 2654435761u};
}

/* Lists of every length from none on, on one level to three. */
static struct image_node node_of(uint32_t slot, uint32_t links[64])
{
    struct image_node n = {.slot = slot, .level = (uint8_t)(slot % LEVELS)};

    for (unsigned l = 0; l <= n.level; l++) {
        n.counts[l] = (uint16_t)((slot / 2 + l) % 9);
        n.links[l] = links + l * 16;
        for (unsigned i = 0; i < n.counts[l]; i++)
            links[l * 16 + i] = (slot * 31 + l * 7 + i * 13) % SLOTS_END;
    }
    return n;
}

static status add(struct image_writer *w, uint32_t slot)
{
    struct image_slot s = slot_of(slot);
    uint32_t links[64];
    struct image_node n = node_of(slot, links);
    status st = has_slot(slot) ? image_add_slot(w, &s, NULL) : ST_OK;

    return st == ST_OK && has_node(slot) ? image_add_node(w, &n, NULL) : st;
}

static status write_image(uint32_t end, struct image_writer **out, struct image_head *head,
                          struct slice *bytes)
{
    struct image_writer *w = NULL;
    status st = image_create(&HEAD, &w, NULL);

    for (uint32_t slot = FIRST; st == ST_OK && slot < end; slot++)
        st = add(w, slot);
    if (st == ST_OK)
        st = image_finish(w, end, head, bytes, NULL);
    if (st != ST_OK) {
        image_writer_destroy(w);
        return st;
    }
    *out = w;
    return ST_OK;
}

static status see_slot(void *arg, const struct image_slot *slot, struct err *err)
{
    uint32_t *next = arg;
    struct image_slot want;

    (void)err;
    while (!has_slot(*next))
        ++*next;
    want = slot_of((*next)++);
    assert_int_equal(slot->slot, want.slot);
    assert_int_equal(slot->dead, want.dead);
    assert_true(slot->lsn == want.lsn);
    assert_int_equal(slot->id_hash, want.id_hash);
    return ST_OK;
}

static status see_node(void *arg, const struct image_node *node, struct err *err)
{
    uint32_t *next = arg;
    uint32_t links[64];
    struct image_node want;

    (void)err;
    while (!has_node(*next))
        ++*next;
    want = node_of((*next)++, links);
    assert_int_equal(node->slot, want.slot);
    assert_int_equal(node->level, want.level);
    for (unsigned l = 0; l <= want.level; l++) {
        assert_int_equal(node->counts[l], want.counts[l]);
        if (want.counts[l] > 0)
            assert_memory_equal(node->links[l], want.links[l], want.counts[l] * sizeof(uint32_t));
    }
    return ST_OK;
}

static void what_was_added_comes_back(void **state)
{
    uint32_t next_slot = FIRST;
    uint32_t next_node = FIRST;
    struct image_writer *w;
    struct image_head head;
    struct slice bytes;
    struct image *i;

    (void)state;
    assert_int_equal(write_image(END, &w, &head, &bytes), ST_OK);
    assert_int_equal(head.field, 3);
    assert_int_equal(head.start_lsn, 5000);
    assert_int_equal(head.slot_first, FIRST);
    assert_int_equal(head.slot_end, END);
    assert_int_equal(head.slots_end, SLOTS_END);
    assert_int_equal(head.entries, 68);
    assert_int_equal(head.nodes, 53);
    assert_true(image_bytes(w) < bytes.bytes && image_bytes(w) + 500 > bytes.bytes);
    assert_int_equal(image_open(bytes, DOCS, &i, NULL), ST_OK);
    assert_memory_equal(image_head(i), &head, sizeof head);
    assert_int_equal(image_each_slot(i, see_slot, &next_slot, NULL), ST_OK);
    assert_int_equal(next_slot, END);
    assert_int_equal(image_each_node(i, see_node, &next_node, NULL), ST_OK);
    assert_int_equal(next_node, END);
    image_close(i);
    image_writer_destroy(w);
}

/* All slots first and then all nodes, or one by one: the bytes are the same. */
static void both_kinds_come_in_any_interleaving(void **state)
{
    struct image_writer *a;
    struct image_writer *b;
    struct image_head head;
    uint32_t links[64];
    struct slice x;
    struct slice y;

    (void)state;
    assert_int_equal(write_image(END, &a, &head, &x), ST_OK);
    assert_int_equal(image_create(&HEAD, &b, NULL), ST_OK);
    for (uint32_t slot = FIRST; slot < END; slot++) {
        struct image_node n = node_of(slot, links);

        if (has_node(slot))
            assert_int_equal(image_add_node(b, &n, NULL), ST_OK);
    }
    for (uint32_t slot = FIRST; slot < END; slot++) {
        struct image_slot s = slot_of(slot);

        if (has_slot(slot))
            assert_int_equal(image_add_slot(b, &s, NULL), ST_OK);
    }
    assert_int_equal(image_finish(b, END, &head, &y, NULL), ST_OK);
    assert_true(slice_equal(x, y));
    image_writer_destroy(a);
    image_writer_destroy(b);
}

static status ignore_slot(void *arg, const struct image_slot *slot, struct err *err)
{
    (void)slot;
    (void)err;
    ++*(unsigned *)arg;
    return ST_OK;
}

static status ignore_node(void *arg, const struct image_node *node, struct err *err)
{
    uint32_t sum = 0;

    (void)err;
    for (unsigned l = 0; l <= node->level; l++)
        for (unsigned i = 0; i < node->counts[l]; i++)
            sum += node->links[l][i];
    ++*(unsigned *)arg;
    return sum == UINT32_MAX ? ST_BUG : ST_OK;
}

/* The largest node and the last slots there can be. */
static void limits_are_where_they_are_said_to_be(void **state)
{
    static uint32_t links[IMAGE_NODE_LINKS_MAX + 1];
    struct image_node node = {.slot = UINT32_MAX - 1, .level = IMAGE_LEVEL_MAX};
    struct image_slot slot = {.slot = UINT32_MAX - 1, .lsn = 1};
    struct image_head huge = HEAD;
    struct image_writer *w;
    struct image_head head;
    struct slice bytes;
    unsigned seen = 0;
    struct image *i;

    (void)state;
    huge.slot_first = 0;
    huge.slots_end = UINT32_MAX;
    for (unsigned k = 0; k < COUNT_OF(links); k++)
        links[k] = UINT32_MAX - 1 - k;
    for (unsigned l = 0; l <= IMAGE_LEVEL_MAX; l++) {
        node.counts[l] = l == 0 ? 256 : 128;
        node.links[l] = l == 0 ? links : links + 128 + (size_t)l * 128;
    }
    assert_int_equal(image_create(&huge, &w, NULL), ST_OK);
    assert_int_equal(image_add_slot(w, &slot, NULL), ST_OK);
    node.counts[15]++;
    assert_int_equal(image_add_node(w, &node, NULL), ST_INVALID);
    node.counts[15]--;
    links[0] = UINT32_MAX;
    assert_int_equal(image_add_node(w, &node, NULL), ST_INVALID);
    links[0] = 0;
    node.level++;
    assert_int_equal(image_add_node(w, &node, NULL), ST_INVALID);
    node.level--;
    assert_int_equal(image_add_node(w, &node, NULL), ST_OK);
    assert_int_equal(image_finish(w, UINT32_MAX - 1, &head, &bytes, NULL), ST_INVALID);
    assert_int_equal(image_finish(w, UINT32_MAX, &head, &bytes, NULL), ST_OK);
    assert_int_equal(image_open(bytes, DOCS, &i, NULL), ST_OK);
    assert_int_equal(image_each_slot(i, ignore_slot, &seen, NULL), ST_OK);
    assert_int_equal(image_each_node(i, ignore_node, &seen, NULL), ST_OK);
    assert_int_equal(seen, 2);
    image_close(i);
    image_writer_destroy(w);
}

static void what_is_out_of_order_is_refused(void **state)
{
    struct image_head empty = HEAD;
    struct image_slot slot = slot_of(120);
    uint32_t links[64];
    struct image_node node = node_of(120, links);
    struct image_writer *w;
    struct image_head head;
    struct slice bytes;

    (void)state;
    empty.slot_first = SLOTS_END;
    assert_int_equal(image_create(&empty, &w, NULL), ST_INVALID);
    assert_int_equal(image_create(&HEAD, &w, NULL), ST_OK);
    slot.lsn = 0;
    assert_int_equal(image_add_slot(w, &slot, NULL), ST_INVALID);
    slot = slot_of(FIRST - 1);
    assert_int_equal(image_add_slot(w, &slot, NULL), ST_INVALID);
    slot = slot_of(SLOTS_END);
    assert_int_equal(image_add_slot(w, &slot, NULL), ST_INVALID);
    slot = slot_of(120);
    assert_int_equal(image_add_slot(w, &slot, NULL), ST_OK);
    assert_int_equal(image_add_slot(w, &slot, NULL), ST_INVALID);
    assert_int_equal(image_add_node(w, &node, NULL), ST_OK);
    assert_int_equal(image_add_node(w, &node, NULL), ST_INVALID);
    assert_int_equal(image_finish(w, 120, &head, &bytes, NULL), ST_INVALID);
    node = node_of(125, links);
    assert_int_equal(image_add_node(w, &node, NULL), ST_OK);
    assert_int_equal(image_finish(w, 125, &head, &bytes, NULL), ST_INVALID);
    assert_int_equal(image_finish(w, SLOTS_END + 1, &head, &bytes, NULL), ST_INVALID);
    assert_int_equal(image_finish(w, 126, &head, &bytes, NULL), ST_OK);
    assert_int_equal(head.entries, 1);
    assert_int_equal(head.nodes, 2);
    assert_int_equal(image_add_slot(w, &slot, NULL), ST_BUG);
    assert_int_equal(image_add_node(w, &node, NULL), ST_BUG);
    assert_int_equal(image_finish(w, 126, &head, &bytes, NULL), ST_BUG);
    image_writer_destroy(w);
}

/* Full at 64 MiB; what is in it by then can be finished and read. */
static void a_full_image_refuses_nodes_and_is_finished(void **state)
{
    static uint32_t links[2048];
    struct image_head large = HEAD;
    struct image_writer *w;
    struct image_head head;
    struct slice bytes;
    unsigned seen = 0;
    struct image *i;
    status st = ST_OK;
    uint32_t slot = 0;

    (void)state;
    large.slot_first = 0;
    large.slots_end = UINT32_MAX;
    assert_int_equal(image_create(&large, &w, NULL), ST_OK);
    for (;;) {
        struct image_node node = {.slot = slot, .counts = {2048}, .links = {links}};
        struct image_slot s = {.slot = slot, .lsn = 1};

        st = image_add_node(w, &node, NULL);
        if (st == ST_OK)
            st = image_add_slot(w, &s, NULL);
        if (st != ST_OK)
            break;
        slot++;
    }
    assert_int_equal(st, ST_NOSPACE);
    assert_true(slot > 8000);
    assert_int_equal(image_finish(w, slot + 1, &head, &bytes, NULL), ST_OK);
    assert_true(bytes.bytes <= SEGMENT_BYTES_MAX);
    assert_int_equal(image_open(bytes, DOCS, &i, NULL), ST_OK);
    assert_int_equal(image_each_node(i, ignore_node, &seen, NULL), ST_OK);
    assert_true(seen >= slot);
    image_close(i);
    image_writer_destroy(w);
}

/* Numbers that are stored in slot maps: they may never change. */
static void the_hash_of_an_id_is_what_it_was(void **state)
{
    struct docid integer = docid_u64(7);
    struct docid uuid = {.kind = DOCID_UUID,
                         .uuid = {0x01, 0x8f, 0x3a, 0x5c, 0x10, 0x20, 0x70, 0x30, 0x80, 0x40, 0xaa,
                                  0xbb, 0xcc, 0xdd, 0xee, 0xff}};
    struct docid text = {.kind = DOCID_BYTES, .bytes = slice_text("abc")};

    (void)state;
    assert_true(docid_hash(&integer) == 0x12ae30237b17df14u);
    assert_true(docid_hash(&uuid) == 0xfbb33687b4d93d84u);
    assert_true(docid_hash(&text) == 0xc098c3086bccefa0u);
    assert_int_equal(image_id_hash(&integer), 0x7b17df14u);
}

static status decode(struct slice bytes)
{
    unsigned seen = 0;
    struct image *i;
    status st = image_open(bytes, DOCS, &i, NULL);

    if (st != ST_OK)
        return st;
    st = image_each_slot(i, ignore_slot, &seen, NULL);
    if (st == ST_OK)
        st = image_each_node(i, ignore_node, &seen, NULL);
    if (st == ST_OK)
        assert_int_equal(seen, image_head(i)->entries + image_head(i)->nodes);
    image_close(i);
    return st;
}

static void released_bytes_are_read_and_written_again(void **state)
{
    struct image_writer *w;
    struct image_head head;
    struct slice stored;
    struct slice bytes;

    (void)state;
    assert_int_equal(write_image(115, &w, &head, &bytes), ST_OK);
    golden_check("image-v1.hex", bytes);
    stored = golden_read("image-v1.hex");
    assert_int_equal(decode(stored), ST_OK);
    mem_free((void *)(uintptr_t)stored.data);
    image_writer_destroy(w);
}

static void a_cut_or_a_flipped_bit_is_corruption(void **state)
{
    struct image_writer *w;
    struct image_head head;
    struct slice bytes;

    (void)state;
    assert_int_equal(write_image(115, &w, &head, &bytes), ST_OK);
    attack_cuts_and_flips(decode, bytes);
    image_writer_destroy(w);
}

static void damage_under_good_checksums_never_leads_outside(void **state)
{
    struct image_writer *w;
    struct image_head head;
    struct slice bytes;

    (void)state;
    assert_int_equal(write_image(115, &w, &head, &bytes), ST_OK);
    assert_true(attack_container_edits(decode, bytes, 30000, seed) > 100);
    image_writer_destroy(w);
}

static void another_collection_s_image_is_corruption(void **state)
{
    const uint8_t other[16] = {0x33, 2};
    struct image_writer *w;
    struct image_head head;
    struct slice bytes;
    struct image *i;

    (void)state;
    assert_int_equal(write_image(115, &w, &head, &bytes), ST_OK);
    assert_int_equal(image_open(bytes, other, &i, NULL), ST_CORRUPT);
    image_writer_destroy(w);
}

static status write_and_read(void *arg)
{
    struct image_writer *w = NULL;
    struct image_head head;
    struct slice bytes;
    status st = write_image(115, &w, &head, &bytes);

    (void)arg;
    if (st == ST_OK)
        st = decode(bytes);
    image_writer_destroy(w);
    return st;
}

static void each_allocation_may_fail(void **state)
{
    (void)state;
    assert_true(alloc_sweep(write_and_read, NULL) >= 8);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_added_comes_back),
        cmocka_unit_test(both_kinds_come_in_any_interleaving),
        cmocka_unit_test(limits_are_where_they_are_said_to_be),
        cmocka_unit_test(what_is_out_of_order_is_refused),
        cmocka_unit_test(a_full_image_refuses_nodes_and_is_finished),
        cmocka_unit_test(the_hash_of_an_id_is_what_it_was),
        cmocka_unit_test(released_bytes_are_read_and_written_again),
        cmocka_unit_test(a_cut_or_a_flipped_bit_is_corruption),
        cmocka_unit_test(damage_under_good_checksums_never_leads_outside),
        cmocka_unit_test(another_collection_s_image_is_corruption),
        cmocka_unit_test(each_allocation_may_fail),
    };

    if (argc > 1)
        seed = strtoull(argv[1], NULL, 10);
    print_message("seed=%llu\n", (unsigned long long)seed);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
