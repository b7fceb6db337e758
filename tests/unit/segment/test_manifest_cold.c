/* Cold segments in a manifest: a required extension that older programs refuse; released bytes,
 * damage, rules. What a manifest without them looks like is test_manifest.c's. */
#include "base/mem.h"
#include "segment/manifest.h"
#include "tests/support/alloc_sweep.h"
#include "tests/support/golden.h"
#include "tests/unit/segment/attack.h"

static uint64_t seed = 20261122;
static const uint8_t DOCS[16] = {0x33, 1};
enum { HEADER_BYTES = 16, ENTRY_BYTES = 97, FLOOR_LSN = 500 };

static struct object_ref object_of(uint8_t fill, uint64_t bytes)
{
    struct object_ref o = {.bytes = bytes, .crc = 0xC0FFEE00u + fill};

    memset(o.uuid, fill, sizeof o.uuid);
    return o;
}

static struct manifest_cold cold_of(unsigned i)
{
    uint8_t fill = (uint8_t)(1 + 2 * i);
    struct manifest_cold c = {.object = object_of(fill, 100ull << 32),
                              .footer_offset = 99ull << 32,
                              .footer_bytes = 5000000 + i,
                              .footer_crc = 0xABCD0000u + i,
                              .lsn_min = 1 + i,
                              .lsn_max = FLOOR_LSN - i,
                              .rows = 1000000,
                              .level = (uint8_t)i};

    if (i % 2 == 0) {
        c.dead_rows = 17;
        c.dead = object_of((uint8_t)(fill + 1), 80);
    }
    return c;
}

static status make(struct manifest *m, unsigned colds)
{
    char name[] = "docs";
    struct catalog_collection schema = {.name = name,
                                        .policy = POLICY_S3_ONLY,
                                        .durability = DURABILITY_REMOTE,
                                        .created_at_ns = 7};
    status st;

    manifest_init(m);
    memcpy(m->collection, DOCS, 16);
    memcpy(schema.id, DOCS, 16);
    m->revision = 77;
    m->lsn = 510;
    m->floor = (struct log_floor){.lsn = FLOOR_LSN, .epoch = 2, .seq = 7, .chain = 0x3333};
    st = catalog_collection_copy(&schema, &m->schema, NULL);
    for (unsigned i = 0; st == ST_OK && i < colds; i++) {
        struct manifest_cold c = cold_of(i);

        st = manifest_add_cold(m, &c, NULL);
    }
    return st;
}

static struct buf encode(const struct manifest *m)
{
    struct buf b;

    buf_init(&b, MANIFEST_BYTES_MAX);
    assert_int_equal(manifest_encode(m, &b, NULL), ST_OK);
    return b;
}

static struct buf encoded(unsigned colds)
{
    struct manifest m;
    struct buf b;

    assert_int_equal(make(&m, colds), ST_OK);
    b = encode(&m);
    manifest_free(&m);
    return b;
}

/* What is accepted is encoded again to the same bytes, extensions that were skipped aside. */
static status decode(struct slice bytes)
{
    struct manifest m;
    status st = manifest_decode(bytes, DOCS, &m, NULL);

    if (st == ST_OK) {
        struct buf again = encode(&m);

        assert_true(again.bytes <= bytes.bytes);
        buf_free(&again);
        manifest_free(&m);
    }
    return st;
}

static bool same(const struct manifest_cold *a, const struct manifest_cold *b)
{
    return memcmp(a->object.uuid, b->object.uuid, 16) == 0 && a->object.bytes == b->object.bytes &&
           a->object.crc == b->object.crc && a->footer_offset == b->footer_offset &&
           a->footer_bytes == b->footer_bytes && a->footer_crc == b->footer_crc &&
           a->lsn_min == b->lsn_min && a->lsn_max == b->lsn_max && a->rows == b->rows &&
           a->dead_rows == b->dead_rows && memcmp(a->dead.uuid, b->dead.uuid, 16) == 0 &&
           a->dead.bytes == b->dead.bytes && a->dead.crc == b->dead.crc && a->level == b->level;
}

static void what_was_encoded_is_decoded_and_copied(void **state)
{
    struct buf b = encoded(5);
    struct manifest m;
    struct manifest copy;
    uint64_t bytes = 0;

    (void)state;
    assert_int_equal(manifest_decode(buf_slice(&b), DOCS, &m, NULL), ST_OK);
    assert_int_equal(manifest_copy(&m, &copy, NULL), ST_OK);
    manifest_free(&m);
    assert_int_equal(copy.cold_count, 5);
    for (unsigned i = 0; i < 5; i++) {
        struct manifest_cold want = cold_of(i);

        assert_true(same(&copy.colds[i], &want));
        bytes += want.object.bytes + want.dead.bytes;
    }
    assert_true(manifest_cold_bytes(&copy) == bytes);
    assert_int_equal(manifest_add_cold(&copy, &copy.colds[0], NULL), ST_OK);
    manifest_free(&copy);
    buf_free(&b);
}

static void released_bytes_are_read_and_written_again(void **state)
{
    struct buf b = encoded(2);
    struct slice stored;
    struct manifest m;
    struct buf again;

    (void)state;
    golden_check("manifest-v1-cold.hex", buf_slice(&b));
    stored = golden_read("manifest-v1-cold.hex");
    assert_int_equal(manifest_decode(stored, DOCS, &m, NULL), ST_OK);
    again = encode(&m);
    assert_true(slice_equal(buf_slice(&again), stored));
    manifest_free(&m);
    mem_free((void *)(uintptr_t)stored.data);
    buf_free(&again);
    buf_free(&b);
}

/* A program that does not know the extension would take the rows for gone. */
static void an_older_program_refuses_it(void **state)
{
    struct buf with = encoded(1);
    struct buf without = encoded(0);
    size_t at = without.bytes;

    (void)state;
    assert_int_equal(with.bytes, without.bytes + 6 + ENTRY_BYTES);
    assert_true((le_u16(with.data + at) & 0x8000) != 0);
    with.data[at] ^= 0x40; /* a required one nobody knows */
    seal_frame(with.data, with.bytes);
    assert_int_equal(decode(buf_slice(&with)), ST_UNSUPPORTED);
    buf_free(&with);
    buf_free(&without);
}

static void damage_is_found_and_never_leads_outside(void **state)
{
    struct buf b = encoded(2);

    (void)state;
    attack_cuts_and_flips(decode, buf_slice(&b));
    assert_true(attack_edits(decode, seal_frame, buf_slice(&b), HEADER_BYTES, 10000, seed) > 100);
    buf_free(&b);
}

static void a_list_that_is_no_list_is_corruption(void **state)
{
    struct buf b = encoded(1);
    struct buf none = encoded(0);
    size_t extensions = none.bytes - 4;

    (void)state;
    buf_put_u8(&b, 0); /* a byte behind the entry */
    le_put_u32(b.data + extensions, 6 + ENTRY_BYTES + 1);
    le_put_u32(b.data + extensions + 6, ENTRY_BYTES + 1);
    seal_frame(b.data, b.bytes);
    assert_int_equal(decode(buf_slice(&b)), ST_CORRUPT);
    buf_free(&b);
    buf_free(&none);
}

static void as_many_as_there_may_be_and_no_more(void **state)
{
    struct manifest m;
    struct buf b;

    (void)state;
    assert_int_equal(make(&m, 0), ST_OK);
    for (unsigned i = 0; i <= MANIFEST_COLDS_MAX; i++) {
        struct manifest_cold c = cold_of(1);

        le_put_u32(c.object.uuid, i);
        assert_int_equal(manifest_add_cold(&m, &c, NULL),
                         i < MANIFEST_COLDS_MAX ? ST_OK : ST_NOSPACE);
    }
    b = encode(&m);
    assert_int_equal(decode(buf_slice(&b)), ST_OK);
    manifest_free(&m);
    buf_free(&b);
}

static const char *breach(struct manifest *m, unsigned which)
{
    struct manifest_cold *a = &m->colds[0];
    struct manifest_cold *b = &m->colds[2];

    switch (which) {
    case 0:
        a->rows = a->dead_rows = 0;
        a->dead = (struct object_ref){0};
        return "no rows";
    case 1:
        a->lsn_min = 0;
        return "a row of lsn 0";
    case 2:
        a->lsn_min = a->lsn_max + 1;
        return "lsns that fall";
    case 3:
        a->lsn_max = FLOOR_LSN + 1;
        return "a row that the log has too";
    case 4:
        a->rows = 16;
        return "more dead rows than rows";
    case 5:
        a->dead_rows = 0;
        return "an object of no dead rows";
    case 6:
        a->dead = (struct object_ref){0};
        return "dead rows nobody names";
    case 7:
        a->footer_bytes = 0;
        return "no footer";
    case 8:
        a->footer_offset = 31;
        return "a footer in the header";
    case 9:
        a->footer_offset = UINT64_MAX - 1;
        return "a footer that wraps around";
    case 10:
        a->object.bytes = a->footer_offset + a->footer_bytes - 1;
        return "a footer behind the end";
    case 11:
        b->object = a->object;
        return "an object named twice";
    case 12:
        b->dead = a->dead;
        return "dead rows named twice";
    case 13:
        memcpy(b->dead.uuid, a->dead.uuid, 16);
        b->dead.bytes++;
        return "dead rows named twice, once wrongly";
    default:
        return NULL;
    }
}

static void each_breach_of_a_rule_is_refused(void **state)
{
    (void)state;
    for (unsigned which = 0;; which++) {
        struct err err = {0};
        struct manifest m;
        const char *what;
        struct buf b;

        assert_int_equal(make(&m, 3), ST_OK);
        what = breach(&m, which);
        buf_init(&b, MANIFEST_BYTES_MAX);
        if (what != NULL && (manifest_encode(&m, &b, &err) != ST_INVALID || strlen(err.text) < 10))
            fail_msg("%s was encoded", what);
        assert_int_equal(b.bytes, 0);
        buf_free(&b);
        manifest_free(&m);
        if (what == NULL)
            break;
    }
}

static status everything(void *arg)
{
    struct manifest m;
    struct manifest copy;
    struct manifest back;
    struct buf b;
    status st = make(&m, 3);

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
    assert_true(alloc_sweep(everything, NULL) >= 10);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_encoded_is_decoded_and_copied),
        cmocka_unit_test(released_bytes_are_read_and_written_again),
        cmocka_unit_test(an_older_program_refuses_it),
        cmocka_unit_test(damage_is_found_and_never_leads_outside),
        cmocka_unit_test(a_list_that_is_no_list_is_corruption),
        cmocka_unit_test(as_many_as_there_may_be_and_no_more),
        cmocka_unit_test(each_breach_of_a_rule_is_refused),
        cmocka_unit_test(each_allocation_may_fail),
    };

    if (argc > 1)
        seed = strtoull(argv[1], NULL, 10);
    print_message("seed=%llu\n", (unsigned long long)seed);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
