/* The root as a value and as bytes: released bytes, damage, rules. */
#include "base/mem.h"
#include "segment/root.h"
#include "tests/support/alloc_sweep.h"
#include "tests/support/golden.h"
#include "tests/unit/segment/attack.h"

static uint64_t seed = 20261122;
static const uint8_t DOCS[16] = {0x33, 1};
enum { HEADER_BYTES = 16 };

/* One of everything. */
static struct root example(void)
{
    struct root r = {.state = ROOT_SWITCHING,
                     .revision = 77,
                     .nonce_count = 2,
                     .node_id = "caf\xC3\xA9-01234567",
                     .epoch = 9,
                     .open = {6, 8},
                     .open_count = 2,
                     .lineages = {{2, 14, 90, 0x1111}, {5, 3, 120, 0x2222}},
                     .lineage_count = 2,
                     .floor = {.lsn = 40, .epoch = 2, .seq = 7, .chain = 0x3333},
                     .has_manifest = true,
                     .manifest_revision = 70,
                     .manifest = {.bytes = 1000, .crc = 0xC0FFEE},
                     .gc_mark = 60};

    memcpy(r.collection, DOCS, 16);
    memset(r.nonce, 0xAB, 16);
    memset(r.nonces[0], 0xBC, 16);
    memset(r.nonces[1], 0xCD, 16);
    memset(r.session, 0xEE, 16);
    memset(r.manifest.uuid, 0x77, 16);
    return r;
}

static struct buf encode(const struct root *r)
{
    struct buf b;

    buf_init(&b, ROOT_BYTES_MAX);
    assert_int_equal(root_encode(r, &b, NULL), ST_OK);
    return b;
}

/* Encoding tells all of a root; what is accepted is encoded again to the same bytes, but for
 * extensions. */
static status decode(struct slice bytes)
{
    struct root r;
    status st = root_decode(bytes, DOCS, &r, NULL);

    if (st == ST_OK) {
        struct buf again = encode(&r);

        assert_true(again.bytes <= bytes.bytes);
        assert_memory_equal(again.data + HEADER_BYTES, bytes.data + HEADER_BYTES,
                            again.bytes - HEADER_BYTES - 4);
        buf_free(&again);
    }
    return st;
}

static void what_was_encoded_is_decoded(void **state)
{
    struct root want = example();
    struct buf b = encode(&want);
    struct root got;

    (void)state;
    assert_int_equal(root_decode(buf_slice(&b), DOCS, &got, NULL), ST_OK);
    assert_int_equal(got.state, ROOT_SWITCHING);
    assert_int_equal(got.revision, 77);
    assert_memory_equal(got.nonce, want.nonce, 16);
    assert_int_equal(got.nonce_count, 2);
    assert_memory_equal(got.nonces, want.nonces, 32);
    assert_string_equal(got.node_id, want.node_id);
    assert_memory_equal(got.session, want.session, 16);
    assert_int_equal(got.epoch, 9);
    assert_int_equal(got.open_count, 2);
    assert_memory_equal(got.open, want.open, sizeof want.open);
    assert_int_equal(got.lineage_count, 2);
    assert_memory_equal(got.lineages, want.lineages, sizeof want.lineages);
    assert_memory_equal(&got.floor, &want.floor, sizeof want.floor);
    assert_true(got.has_manifest);
    assert_int_equal(got.manifest_revision, 70);
    assert_memory_equal(got.manifest.uuid, want.manifest.uuid, 16);
    assert_int_equal(got.manifest.bytes, 1000);
    assert_int_equal(got.manifest.crc, 0xC0FFEE);
    assert_int_equal(got.gc_mark, 60);
    assert_int_equal(got.dropped_at_ns, 0);
    buf_free(&b);
}

static void a_fresh_root_and_a_full_one_are_encoded(void **state)
{
    struct root r = {.state = ROOT_LIVE, .revision = 1, .node_id = "n", .epoch = 1};
    struct buf b;

    (void)state;
    memcpy(r.collection, DOCS, 16);
    b = encode(&r);
    assert_int_equal(attack_copy(decode, b.data, b.bytes), ST_OK);
    buf_free(&b);

    r = example();
    memset(r.node_id, 'n', ROOT_NODE_ID_BYTES - 1);
    r.epoch = UINT64_MAX;
    r.nonce_count = ROOT_NONCES_MAX;
    r.lineage_count = ROOT_LINEAGES_MAX;
    for (size_t i = 0; i < ROOT_LINEAGES_MAX; i++)
        r.lineages[i] = (struct lineage){i + 1, 1, i + 1, 0};
    r.open_count = ROOT_OPEN_MAX;
    for (size_t i = 0; i < ROOT_OPEN_MAX; i++)
        r.open[i] = 1000 + i;
    r.state = ROOT_DROPPED;
    r.dropped_at_ns = 5;
    b = encode(&r);
    assert_int_equal(attack_copy(decode, b.data, b.bytes), ST_OK);
    buf_free(&b);
}

static void released_bytes_are_read_and_written_again(void **state)
{
    struct root want = example();
    struct buf b = encode(&want);
    struct slice stored;

    (void)state;
    golden_check("root-v1.hex", buf_slice(&b));
    stored = golden_read("root-v1.hex");
    assert_int_equal(decode(stored), ST_OK);
    mem_free((void *)(uintptr_t)stored.data);
    buf_free(&b);
}

static void a_cut_or_a_flipped_bit_is_corruption(void **state)
{
    struct root r = example();
    struct buf b = encode(&r);

    (void)state;
    attack_cuts_and_flips(decode, buf_slice(&b));
    buf_free(&b);
}

static void damage_under_a_good_checksum_never_leads_outside(void **state)
{
    struct root r = example();
    struct buf b = encode(&r);

    (void)state;
    assert_true(attack_edits(decode, seal_frame, buf_slice(&b), HEADER_BYTES, 20000, seed) > 100);
    buf_free(&b);
}

static void another_collection_s_root_is_corruption(void **state)
{
    const uint8_t other[16] = {0x33, 2};
    struct root r = example();
    struct buf b = encode(&r);
    struct err err;

    (void)state;
    assert_int_equal(root_decode(buf_slice(&b), other, &r, &err), ST_CORRUPT);
    assert_non_null(strstr(err.text, "another collection"));
    buf_free(&b);
}

static status decode_with_extensions(const struct slice extensions, struct err *err)
{
    struct root r = example();
    struct buf b = encode(&r);
    status st;

    b.bytes -= 4;
    buf_put_u32(&b, (uint32_t)extensions.bytes);
    buf_put_slice(&b, extensions);
    seal_frame(b.data, b.bytes);
    st = root_decode(buf_slice(&b), DOCS, &r, err);
    if (st == ST_OK)
        assert_int_equal(r.gc_mark, 60);
    buf_free(&b);
    return st;
}

static void unknown_fields_are_skipped_unless_required(void **state)
{
    const uint8_t optional[] = {1, 0, 2, 0, 0, 0, 9, 9, 0xFF, 0x7F, 0, 0, 0, 0};
    const uint8_t required[] = {1, 0, 2, 0, 0, 0, 9, 9, 0, 0x80, 0, 0, 0, 0};
    const uint8_t falling[] = {2, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0};
    const uint8_t twice[] = {2, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0};
    const uint8_t long_one[] = {2, 0, 1, 0, 0, 0};
    const uint8_t half[] = {2, 0, 0};
    struct err err;

    (void)state;
    assert_int_equal(decode_with_extensions(slice_make(optional, sizeof optional), NULL), ST_OK);
    assert_int_equal(decode_with_extensions(slice_make(required, sizeof required), &err),
                     ST_UNSUPPORTED);
    assert_non_null(strstr(err.text, "newer"));
    assert_int_equal(decode_with_extensions(slice_make(falling, sizeof falling), NULL), ST_CORRUPT);
    assert_int_equal(decode_with_extensions(slice_make(twice, sizeof twice), NULL), ST_CORRUPT);
    assert_int_equal(decode_with_extensions(slice_make(long_one, sizeof long_one), NULL),
                     ST_CORRUPT);
    assert_int_equal(decode_with_extensions(slice_make(half, sizeof half), NULL), ST_CORRUPT);
}

static void a_newer_version_is_unsupported(void **state)
{
    struct root r = example();
    struct buf b = encode(&r);
    struct err err;

    (void)state;
    b.data[4] = 2;
    seal_frame(b.data, b.bytes);
    assert_int_equal(root_decode(buf_slice(&b), DOCS, &r, &err), ST_UNSUPPORTED);
    assert_non_null(strstr(err.text, "newer"));
    buf_free(&b);
}

static bool breach(struct root *r, unsigned which)
{
    switch (which) {
    case 0:
        r->state = (enum root_state)0;
        return true;
    case 1:
        r->state = (enum root_state)4;
        return true;
    case 2:
        r->revision = 0;
        return true;
    case 3:
        r->epoch = 0;
        return true;
    case 4:
        r->node_id[0] = 0;
        return true;
    case 5:
        r->node_id[0] = '\n';
        return true;
    case 6:
        memset(r->node_id, 'n', sizeof r->node_id);
        return true;
    case 7:
        r->node_id[0] = (char)0xFF;
        return true;
    case 8:
        r->nonce_count = ROOT_NONCES_MAX + 1;
        return true;
    case 9:
        r->open_count = ROOT_OPEN_MAX + 1;
        return true;
    case 10:
        r->lineage_count = ROOT_LINEAGES_MAX + 1;
        return true;
    case 11:
        r->open[1] = 6;
        return true;
    case 12:
        r->open[1] = 9;
        return true;
    case 13:
        r->open[0] = 5;
        return true;
    case 14:
        r->lineages[1].epoch = 2;
        return true;
    case 15:
        r->lineages[0].end_seq = 0;
        return true;
    case 16:
        r->lineages[1].last_lsn = 90;
        return true;
    case 17:
        r->open_count = 0;
        r->epoch = 5; /* the newest lineage's */
        return true;
    case 18:
        r->floor.seq = 0;
        return true;
    case 19:
        r->floor.epoch = 10;
        return true;
    case 20:
        r->manifest_revision = 0;
        return true;
    case 21:
        r->manifest_revision = 78;
        return true;
    case 22:
        r->manifest.bytes = 0;
        return true;
    case 23:
        r->gc_mark = 78;
        return true;
    case 24:
        r->dropped_at_ns = 1;
        return true;
    case 25:
        r->lineages[0].epoch = 0;
        return true;
    default:
        return false;
    }
}

static void each_breach_of_a_rule_is_refused(void **state)
{
    struct root r = example();

    (void)state;
    for (unsigned which = 0; breach(&r, which); which++) {
        struct buf b;
        struct err err = {0};

        buf_init(&b, ROOT_BYTES_MAX);
        if (root_encode(&r, &b, &err) != ST_INVALID || strlen(err.text) < 10 || b.bytes != 0)
            fail_msg("breach %u was encoded", which);
        buf_free(&b);
        r = example();
    }
}

static void a_buf_that_is_too_small_is_no_space(void **state)
{
    struct root r = example();
    struct buf b;

    (void)state;
    buf_init(&b, 100);
    assert_int_equal(root_encode(&r, &b, NULL), ST_NOSPACE);
    buf_free(&b);
}

static void nonces_go_back_sixteen_writes(void **state)
{
    struct root r = {.revision = 1};
    uint8_t nonce[16] = {0};

    (void)state;
    for (uint8_t i = 1; i <= 40; i++) {
        nonce[0] = i;
        root_next(&r, nonce);
        assert_int_equal(r.revision, i + 1u);
        for (uint8_t k = 0; k <= 41; k++) {
            nonce[0] = k;
            assert_int_equal(root_has_nonce(&r, nonce), k <= i && i - k <= ROOT_NONCES_MAX);
        }
    }
    assert_int_equal(r.nonce_count, ROOT_NONCES_MAX);
}

static void the_end_is_the_newest_lineage_s_or_the_floor(void **state)
{
    struct root r = example();
    uint64_t lsn = 0;
    uint64_t chain = 0;

    (void)state;
    root_end(&r, &lsn, &chain);
    assert_int_equal(lsn, 120);
    assert_int_equal(chain, 0x2222);
    r.floor.lsn = 121;
    root_end(&r, &lsn, &chain);
    assert_int_equal(lsn, 121);
    assert_int_equal(chain, 0x3333);
    r.floor.lsn = 40;
    r.lineage_count = 0;
    root_end(&r, &lsn, &chain);
    assert_int_equal(lsn, 40);
    assert_int_equal(chain, 0x3333);
}

static status encode_once(void *arg)
{
    struct buf b;
    status st;

    buf_init(&b, ROOT_BYTES_MAX);
    st = root_encode(arg, &b, NULL);
    buf_free(&b);
    return st;
}

static void each_allocation_may_fail(void **state)
{
    struct root r = example();

    (void)state;
    assert_true(alloc_sweep(encode_once, &r) >= 1);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_encoded_is_decoded),
        cmocka_unit_test(a_fresh_root_and_a_full_one_are_encoded),
        cmocka_unit_test(released_bytes_are_read_and_written_again),
        cmocka_unit_test(a_cut_or_a_flipped_bit_is_corruption),
        cmocka_unit_test(damage_under_a_good_checksum_never_leads_outside),
        cmocka_unit_test(another_collection_s_root_is_corruption),
        cmocka_unit_test(unknown_fields_are_skipped_unless_required),
        cmocka_unit_test(a_newer_version_is_unsupported),
        cmocka_unit_test(each_breach_of_a_rule_is_refused),
        cmocka_unit_test(a_buf_that_is_too_small_is_no_space),
        cmocka_unit_test(nonces_go_back_sixteen_writes),
        cmocka_unit_test(the_end_is_the_newest_lineage_s_or_the_floor),
        cmocka_unit_test(each_allocation_may_fail),
    };

    if (argc > 1)
        seed = strtoull(argv[1], NULL, 10);
    print_message("seed=%llu\n", (unsigned long long)seed);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
