/* Manifests, pins and meta/format as values and as bytes: released bytes, damage, rules. */
#include "base/mem.h"
#include "segment/manifest.h"
#include "tests/support/alloc_sweep.h"
#include "tests/support/golden.h"
#include "tests/unit/segment/attack.h"

static uint64_t seed = 20261124;
static const uint8_t DOCS[16] = {0x33, 1};
enum { HEADER_BYTES = 16 };

static struct object_ref object_of(uint8_t fill)
{
    struct object_ref o = {.bytes = 1000u + fill, .crc = 0xC0FFEE00u + fill};

    memset(o.uuid, fill, sizeof o.uuid);
    return o;
}

static status add_lists(struct manifest *m)
{
    const struct lineage lineages[] = {{2, 14, 90, 0x1111}, {5, 3, 120, 0x2222}};
    const struct manifest_segment segments[] = {{object_of(1), 50, 1, 49, 1000, 0},
                                                {object_of(2), 55, 0, 0, 0, 3},
                                                {object_of(3), 50, 7, 60, 1, 0}};
    const struct manifest_image images[] = {{object_of(4), 0, 40, 0, 70000, 90000, 69000, 0, 0},
                                            {object_of(5), 0, 40, 70000, 90000, 90000, 20000, 0, 0},
                                            {object_of(6), 3, 45, 0, 1, 1, 0, 0, 0}};
    const struct manifest_gap gaps[] = {{60, 70, 2, 9, 1700000000000000001u, false},
                                        {71, 71, 5, 1, 1700000000000000002u, true}};
    status st = ST_OK;

    for (size_t i = 0; st == ST_OK && i < COUNT_OF(lineages); i++)
        st = manifest_add_lineage(m, &lineages[i], NULL);
    for (size_t i = 0; st == ST_OK && i < COUNT_OF(segments); i++)
        st = manifest_add_segment(m, &segments[i], NULL);
    for (size_t i = 0; st == ST_OK && i < COUNT_OF(images); i++)
        st = manifest_add_image(m, &images[i], NULL);
    for (size_t i = 0; st == ST_OK && i < COUNT_OF(gaps); i++)
        st = manifest_add_gap(m, &gaps[i], NULL);
    return st;
}

/* One of everything. */
static status make(struct manifest *m)
{
    char name[] = "docs";
    char empty[] = "";
    char image[] = "image";
    struct catalog_field fields[] = {{.id = 0,
                                      .name = empty,
                                      .dim = 384,
                                      .metric = 1,
                                      .m = 16,
                                      .ef_construction = 200,
                                      .ef_search = 100,
                                      .threshold = 10000,
                                      .quantization = QUANTIZATION_SCALAR},
                                     {.id = 3,
                                      .name = image,
                                      .dim = 8,
                                      .metric = 2,
                                      .m = 8,
                                      .ef_construction = 100,
                                      .ef_search = 50,
                                      .threshold = 0,
                                      .quantization = QUANTIZATION_SCALAR}};
    struct catalog_collection schema = {.name = name,
                                        .policy = POLICY_MEMORY_S3,
                                        .durability = DURABILITY_REMOTE,
                                        .created_at_ns = 7,
                                        .fields = fields,
                                        .field_count = 2};
    status st;

    manifest_init(m);
    memcpy(m->collection, DOCS, 16);
    memcpy(schema.id, DOCS, 16);
    m->revision = 77;
    m->parent_revision = 70;
    m->created_at_ns = 1700000000000000007u;
    m->lsn = 130;
    m->rows = 1001;
    m->floor = (struct log_floor){.lsn = 50, .epoch = 2, .seq = 7, .chain = 0x3333};
    st = catalog_collection_copy(&schema, &m->schema, NULL);
    return st == ST_OK ? add_lists(m) : st;
}

static int setup(void **state)
{
    struct manifest *m = calloc(1, sizeof *m);

    *state = m;
    return make(m) == ST_OK ? 0 : -1;
}

static int teardown(void **state)
{
    manifest_free(*state);
    free(*state);
    return 0;
}

static struct buf encode(const struct manifest *m)
{
    struct buf b;

    buf_init(&b, MANIFEST_BYTES_MAX);
    assert_int_equal(manifest_encode(m, &b, NULL), ST_OK);
    return b;
}

/* Encoding tells all of a manifest; what is accepted is encoded again to the same bytes, but for
 * extensions. */
static status decode(struct slice bytes)
{
    struct manifest m;
    status st = manifest_decode(bytes, DOCS, &m, NULL);

    if (st == ST_OK) {
        struct buf again = encode(&m);

        assert_true(again.bytes <= bytes.bytes);
        assert_memory_equal(again.data + HEADER_BYTES, bytes.data + HEADER_BYTES,
                            again.bytes - HEADER_BYTES - 4);
        buf_free(&again);
        manifest_free(&m);
    }
    return st;
}

static void what_was_encoded_is_decoded(void **state)
{
    const struct manifest *want = *state;
    struct buf b = encode(want);
    struct manifest m;

    assert_int_equal(manifest_decode(buf_slice(&b), DOCS, &m, NULL), ST_OK);
    assert_int_equal(m.revision, 77);
    assert_int_equal(m.parent_revision, 70);
    assert_int_equal(m.created_at_ns, 1700000000000000007u);
    assert_int_equal(m.lsn, 130);
    assert_int_equal(m.rows, 1001);
    assert_memory_equal(&m.floor, &want->floor, sizeof m.floor);
    assert_string_equal(m.schema.name, "docs");
    assert_int_equal(m.schema.durability, DURABILITY_REMOTE);
    assert_int_equal(m.schema.field_count, 2);
    assert_string_equal(m.schema.fields[1].name, "image");
    assert_int_equal(m.lineage_count, 2);
    assert_memory_equal(m.lineages, want->lineages, 2 * sizeof *m.lineages);
    assert_int_equal(m.segment_count, 3);
    assert_memory_equal(m.segments[2].object.uuid, want->segments[2].object.uuid, 16);
    assert_int_equal(m.segments[2].object.bytes, 1003);
    assert_int_equal(m.segments[2].object.crc, 0xC0FFEE03u);
    assert_int_equal(m.segments[2].lsn_min, 7);
    assert_int_equal(m.segments[2].lsn_max, 60);
    assert_int_equal(m.segments[1].level, 3);
    assert_int_equal(m.segments[0].rows, 1000);
    assert_int_equal(m.segments[0].start_lsn, 50);
    assert_int_equal(m.image_count, 3);
    assert_int_equal(m.images[1].slot_first, 70000);
    assert_int_equal(m.images[1].slot_end, 90000);
    assert_int_equal(m.images[1].slots_end, 90000);
    assert_int_equal(m.images[1].nodes, 20000);
    assert_int_equal(m.images[2].field, 3);
    assert_int_equal(m.images[2].start_lsn, 45);
    assert_int_equal(m.gap_count, 2);
    assert_int_equal(m.gaps[0].last_lsn, 70);
    assert_false(m.gaps[0].dropped);
    assert_true(m.gaps[1].dropped);
    assert_int_equal(m.gaps[1].epoch, 5);
    assert_int_equal(m.gaps[1].seq, 1);
    assert_int_equal(m.gaps[1].at_ns, 1700000000000000002u);
    manifest_free(&m);
    buf_free(&b);
}

static void a_copy_is_the_same_and_its_own(void **state)
{
    struct buf a = encode(*state);
    struct lineage one_more = {6, 1, 200, 0};
    struct manifest copy;
    struct buf b;

    assert_int_equal(manifest_copy(*state, &copy, NULL), ST_OK);
    b = encode(&copy);
    assert_true(slice_equal(buf_slice(&a), buf_slice(&b)));
    copy.schema.name[0] = 'D';
    assert_int_equal(manifest_add_lineage(&copy, &one_more, NULL), ST_OK);
    manifest_free(&copy);
    buf_free(&b);
    b = encode(*state);
    assert_true(slice_equal(buf_slice(&a), buf_slice(&b)));
    buf_free(&a);
    buf_free(&b);
}

/* Whatever a list was before: made, copied, decoded, or made shorter by its owner. */
static void lists_grow_from_any_length(void **state)
{
    for (size_t count = 0; count < 40; count++) {
        struct manifest m;
        struct manifest copy;
        struct buf b;

        assert_int_equal(manifest_copy(*state, &m, NULL), ST_OK);
        m.lineage_count = 0;
        for (size_t i = 0; i < count; i++) {
            struct lineage l = {i + 1, 1, i + 1, i};

            assert_int_equal(manifest_add_lineage(&m, &l, NULL), ST_OK);
        }
        b = encode(&m);
        manifest_free(&m);
        assert_int_equal(manifest_decode(buf_slice(&b), DOCS, &m, NULL), ST_OK);
        assert_int_equal(manifest_copy(&m, &copy, NULL), ST_OK);
        copy.lineage_count /= 2;
        for (size_t i = copy.lineage_count; i < 70; i++) {
            struct lineage l = {i + 1, 1, i + 1, i};

            assert_int_equal(manifest_add_lineage(&copy, &l, NULL), ST_OK);
        }
        for (size_t i = 0; i < 70; i++)
            assert_int_equal(copy.lineages[i].epoch, i + 1);
        manifest_free(&copy);
        manifest_free(&m);
        buf_free(&b);
    }
}

/* As many as a manifest takes of each kind fit into its bytes; one more is refused. */
static void the_most_objects_fit(void **state)
{
    struct manifest m;
    struct manifest back;
    struct buf b;

    assert_int_equal(manifest_copy(*state, &m, NULL), ST_OK);
    m.lineage_count = 0;
    m.segment_count = 0;
    m.image_count = 0;
    m.gap_count = 0;
    for (uint32_t i = 0; i < MANIFEST_OBJECTS_MAX; i++) {
        struct lineage l = {i + 1, 1, i + 1, i};
        struct manifest_segment s = {object_of(1), 50, 1, 1, 1, 0};
        struct manifest_image p = {object_of(1), 3, 1, i, i + 1, MANIFEST_OBJECTS_MAX, 1, 0, 0};
        struct manifest_gap g = {i + 1, i + 1, 1, 1, 0, false};

        assert_int_equal(manifest_add_lineage(&m, &l, NULL), ST_OK);
        assert_int_equal(manifest_add_segment(&m, &s, NULL), ST_OK);
        assert_int_equal(manifest_add_image(&m, &p, NULL), ST_OK);
        assert_int_equal(manifest_add_gap(&m, &g, NULL), ST_OK);
    }
    assert_int_equal(manifest_add_lineage(&m, m.lineages, NULL), ST_NOSPACE);
    assert_int_equal(manifest_add_segment(&m, m.segments, NULL), ST_NOSPACE);
    assert_int_equal(manifest_add_image(&m, m.images, NULL), ST_NOSPACE);
    assert_int_equal(manifest_add_gap(&m, m.gaps, NULL), ST_NOSPACE);
    buf_init(&b, MANIFEST_BYTES_MAX + 1000);
    assert_int_equal(manifest_encode(&m, &b, NULL), ST_NOSPACE);
    m.gap_count = 0;
    buf_reset(&b);
    assert_int_equal(manifest_encode(&m, &b, NULL), ST_OK);
    assert_int_equal(manifest_decode(buf_slice(&b), DOCS, &back, NULL), ST_OK);
    assert_int_equal(back.image_count, MANIFEST_OBJECTS_MAX);
    manifest_free(&back);
    manifest_free(&m);
    buf_free(&b);
}

static void released_bytes_are_read_and_written_again(void **state)
{
    struct buf b = encode(*state);
    struct slice stored;

    golden_check("manifest-v1.hex", buf_slice(&b));
    stored = golden_read("manifest-v1.hex");
    assert_int_equal(decode(stored), ST_OK);
    mem_free((void *)(uintptr_t)stored.data);
    buf_free(&b);
}

static void a_cut_or_a_flipped_bit_is_corruption(void **state)
{
    struct buf b = encode(*state);

    attack_cuts_and_flips(decode, buf_slice(&b));
    buf_free(&b);
}

static void damage_under_a_good_checksum_never_leads_outside(void **state)
{
    struct buf b = encode(*state);

    assert_true(attack_edits(decode, seal_frame, buf_slice(&b), HEADER_BYTES, 20000, seed) > 100);
    buf_free(&b);
}

static void unknown_fields_are_skipped_unless_required(void **state)
{
    const uint8_t extension[] = {7, 0, 2, 0, 0, 0, 9, 9};
    struct buf b = encode(*state);
    struct manifest m;

    b.bytes -= 4;
    buf_put_u32(&b, sizeof extension);
    buf_put(&b, extension, sizeof extension);
    seal_frame(b.data, b.bytes);
    assert_int_equal(decode(buf_slice(&b)), ST_OK);
    b.data[b.bytes - sizeof extension + 1] = 0x80;
    seal_frame(b.data, b.bytes);
    assert_int_equal(decode(buf_slice(&b)), ST_UNSUPPORTED);
    buf_free(&b);

    b = encode(*state);
    b.data[4] = 2;
    seal_frame(b.data, b.bytes);
    assert_int_equal(manifest_decode(buf_slice(&b), DOCS, &m, NULL), ST_UNSUPPORTED);
    buf_free(&b);
}

static void make_known(struct manifest *m)
{
    for (size_t i = 0; i < m->image_count; i++) {
        m->images[i].m = m->images[i].field == 0 ? 16 : 128;
        m->images[i].ef_construction = m->images[i].field == 0 ? 200 : 1;
    }
}

/* With what the graphs were made: of all images, of one, and nonsense. */
static void the_making_of_a_graph_comes_back(void **state)
{
    const uint8_t of_no_image[] = {9, 0, 16, 0, 200, 0};
    struct manifest m, back;
    struct buf b = {0};

    (void)state;
    assert_int_equal(make(&m), ST_OK);
    make_known(&m);
    buf_init(&b, MANIFEST_BYTES_MAX);
    assert_int_equal(manifest_encode(&m, &b, NULL), ST_OK);
    assert_int_equal(manifest_decode(buf_slice(&b), DOCS, &back, NULL), ST_OK);
    for (size_t i = 0; i < m.image_count; i++) {
        assert_int_equal(back.images[i].m, m.images[i].m);
        assert_int_equal(back.images[i].ef_construction, m.images[i].ef_construction);
    }
    manifest_free(&back);
    attack_cuts_and_flips(decode, buf_slice(&b));
    assert_true(attack_edits(decode, seal_frame, buf_slice(&b), HEADER_BYTES, 5000, seed) > 100);
    memcpy(b.data + b.bytes - sizeof of_no_image, of_no_image, sizeof of_no_image);
    seal_frame(b.data, b.bytes);
    assert_int_equal(decode(buf_slice(&b)), ST_CORRUPT);

    m.images[2].m = 0; /* not known of field 3 */
    m.images[2].ef_construction = 0;
    buf_reset(&b);
    assert_int_equal(manifest_encode(&m, &b, NULL), ST_OK);
    assert_int_equal(manifest_decode(buf_slice(&b), DOCS, &back, NULL), ST_OK);
    assert_int_equal(back.images[1].m, 16);
    assert_int_equal(back.images[2].m, 0);
    manifest_free(&back);
    m.images[1].m = 17; /* parts of one image */
    assert_int_equal(manifest_encode(&m, &b, NULL), ST_INVALID);
    m.images[0].m = m.images[1].m = 129;
    assert_int_equal(manifest_encode(&m, &b, NULL), ST_INVALID);
    m.images[0].m = m.images[1].m = 16;
    m.images[0].ef_construction = m.images[1].ef_construction = 0;
    assert_int_equal(manifest_encode(&m, &b, NULL), ST_INVALID);
    manifest_free(&m);
    buf_free(&b);
}

static void another_collection_s_manifest_is_corruption(void **state)
{
    const uint8_t other[16] = {0x33, 2};
    struct buf b = encode(*state);
    struct manifest m;

    assert_int_equal(manifest_decode(buf_slice(&b), other, &m, NULL), ST_CORRUPT);
    buf_free(&b);
}

static bool breach_of_a_list(struct manifest *m, unsigned which)
{
    switch (which) {
    case 0:
        m->lineages[1].epoch = 2;
        return true;
    case 1:
        m->lineages[0].end_seq = 0;
        return true;
    case 2:
        m->lineages[1].last_lsn = 90;
        return true;
    case 3:
        m->segments[0].object.bytes = 0;
        return true;
    case 4:
        m->segments[0].lsn_min = 50; /* above the largest */
        return true;
    case 5:
        m->segments[0].lsn_min = 0;
        return true;
    case 6:
        m->segments[1].rows = 1;
        return true;
    case 7:
        m->segments[0].start_lsn = 49; /* 50 would be lost */
        return true;
    case 8:
        m->images[0].object.bytes = 0;
        return true;
    case 9:
        m->images[0].slot_first = 1;
        return true;
    case 10:
        m->images[1].slot_first++;
        return true;
    case 11:
        m->images[1].slot_end--;
        return true;
    case 12:
        m->images[1].start_lsn++;
        return true;
    case 13:
        m->images[1].slots_end++;
        m->images[1].slot_end++;
        return true;
    case 14:
        m->images[2].field = 2; /* the collection has none */
        return true;
    case 15:
        m->images[1].nodes = 20001;
        return true;
    case 16:
        m->image_count = 1; /* half an image */
        return true;
    case 17:
        m->images[0] = m->images[2]; /* fields fall */
        return true;
    case 18:
        m->gaps[0].first_lsn = 0;
        return true;
    case 19:
        m->gaps[0].last_lsn = 59;
        return true;
    case 20:
        m->gaps[1].first_lsn = 70;
        return true;
    case 21:
        m->gaps[1].epoch = 0;
        return true;
    case 22:
        m->gaps[1].seq = 0;
        return true;
    case 23:
        m->images[2].slot_end = 0;
        return true;
    default:
        return false;
    }
}

static bool breach(struct manifest *m, unsigned which)
{
    switch (which) {
    case 0:
        m->revision = 0;
        return true;
    case 1:
        m->parent_revision = 77;
        return true;
    case 2:
        m->floor.seq = 0;
        return true;
    case 3:
        m->schema.id[0]++;
        return true;
    case 4:
        m->schema.policy = 9;
        return true;
    case 5:
        catalog_collection_free(&m->schema); /* never filled in */
        memcpy(m->schema.id, m->collection, 16);
        return true;
    default:
        return breach_of_a_list(m, which - 6);
    }
}

static void each_breach_of_a_rule_is_refused(void **state)
{
    for (unsigned which = 0;; which++) {
        struct err err = {0};
        struct manifest m;
        struct buf b;
        bool more;

        assert_int_equal(manifest_copy(*state, &m, NULL), ST_OK);
        more = breach(&m, which);
        buf_init(&b, MANIFEST_BYTES_MAX);
        if (more && (manifest_encode(&m, &b, &err) != ST_INVALID || strlen(err.text) < 10))
            fail_msg("breach %u was encoded", which);
        assert_int_equal(b.bytes, 0);
        buf_free(&b);
        manifest_free(&m);
        if (!more)
            break;
    }
}

static status everything(void *arg)
{
    struct manifest m;
    struct manifest copy;
    struct manifest back;
    struct buf b;
    status st = make(&m);

    (void)arg;
    buf_init(&b, MANIFEST_BYTES_MAX);
    manifest_init(&copy);
    manifest_init(&back);
    if (st == ST_OK)
        st = manifest_copy(&m, &copy, NULL);
    if (st == ST_OK)
        st = manifest_encode(&copy, &b, NULL);
    if (st == ST_OK)
        st = manifest_decode(buf_slice(&b), DOCS, &back, NULL);
    manifest_free(&back);
    manifest_free(&copy);
    manifest_free(&m);
    buf_free(&b);
    return st;
}

static void each_allocation_may_fail(void **state)
{
    (void)state;
    assert_true(alloc_sweep(everything, NULL) >= 20);
}

int main(int argc, char **argv)
{
#define WITH_MANIFEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        WITH_MANIFEST(what_was_encoded_is_decoded),
        WITH_MANIFEST(a_copy_is_the_same_and_its_own),
        WITH_MANIFEST(lists_grow_from_any_length),
        WITH_MANIFEST(the_most_objects_fit),
        WITH_MANIFEST(released_bytes_are_read_and_written_again),
        WITH_MANIFEST(a_cut_or_a_flipped_bit_is_corruption),
        WITH_MANIFEST(damage_under_a_good_checksum_never_leads_outside),
        WITH_MANIFEST(unknown_fields_are_skipped_unless_required),
        cmocka_unit_test(the_making_of_a_graph_comes_back),
        WITH_MANIFEST(another_collection_s_manifest_is_corruption),
        WITH_MANIFEST(each_breach_of_a_rule_is_refused),
        WITH_MANIFEST(each_allocation_may_fail),
    };

    if (argc > 1)
        seed = strtoull(argv[1], NULL, 10);
    print_message("seed=%llu\n", (unsigned long long)seed);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
