/* Pins and meta/format: what comes back, released bytes, damage, who may read a bucket. */
#include "base/mem.h"
#include "segment/manifest.h"
#include "tests/support/alloc_sweep.h"
#include "tests/support/golden.h"
#include "tests/unit/segment/attack.h"

static uint64_t seed = 20261125;
enum { HEADER_BYTES = 16 };

static struct pin pin_example(void)
{
    struct pin p = {.name = "before caf\xC3\xA9",
                    .created_at_ns = 1700000000000000007u,
                    .root_revision = 80,
                    .manifest_revision = 77,
                    .manifest = {.bytes = 1000, .crc = 0xC0FFEE},
                    .lsn = 130,
                    .epoch = 9,
                    .seq = 4};

    memset(p.collection, 0x33, 16);
    memset(p.id, 0x44, 16);
    memset(p.manifest.uuid, 0x55, 16);
    return p;
}

static struct bucket_format format_example(void)
{
    struct bucket_format f = {
        .version = 1, .reader_min = 1, .writer_min = 1, .created_at_ns = 1700000000000000007u};

    memset(f.cluster_id, 0x66, 16);
    return f;
}

static struct buf encode_pin(const struct pin *p)
{
    struct buf b;

    buf_init(&b, 16384);
    assert_int_equal(pin_encode(p, &b, NULL), ST_OK);
    return b;
}

static struct buf encode_format(const struct bucket_format *f)
{
    struct buf b;

    buf_init(&b, 16384);
    assert_int_equal(bucket_format_encode(f, &b, NULL), ST_OK);
    return b;
}

static void assert_begins_as(struct slice bytes, struct buf again)
{
    assert_true(again.bytes <= bytes.bytes);
    assert_memory_equal(again.data + HEADER_BYTES, bytes.data + HEADER_BYTES,
                        again.bytes - HEADER_BYTES - 4);
    buf_free(&again);
}

static status decode_pin(struct slice bytes)
{
    struct pin p;
    status st = pin_decode(bytes, &p, NULL);

    if (st == ST_OK)
        assert_begins_as(bytes, encode_pin(&p));
    return st;
}

static status decode_format(struct slice bytes)
{
    struct bucket_format f;
    status st = bucket_format_decode(bytes, &f, NULL);

    if (st == ST_OK)
        assert_begins_as(bytes, encode_format(&f));
    return st;
}

static void what_was_encoded_is_decoded(void **state)
{
    struct bucket_format f = format_example();
    struct pin want = pin_example();
    struct buf b = encode_pin(&want);
    struct bucket_format back;
    struct pin p;

    (void)state;
    assert_int_equal(pin_decode(buf_slice(&b), &p, NULL), ST_OK);
    assert_memory_equal(p.collection, want.collection, 16);
    assert_memory_equal(p.id, want.id, 16);
    assert_string_equal(p.name, want.name);
    assert_int_equal(p.created_at_ns, want.created_at_ns);
    assert_int_equal(p.root_revision, 80);
    assert_int_equal(p.manifest_revision, 77);
    assert_memory_equal(p.manifest.uuid, want.manifest.uuid, 16);
    assert_int_equal(p.manifest.bytes, 1000);
    assert_int_equal(p.manifest.crc, 0xC0FFEE);
    assert_int_equal(p.lsn, 130);
    assert_int_equal(p.epoch, 9);
    assert_int_equal(p.seq, 4);
    buf_free(&b);

    b = encode_format(&f);
    assert_int_equal(bucket_format_decode(buf_slice(&b), &back, NULL), ST_OK);
    assert_int_equal(back.version, 1);
    assert_int_equal(back.reader_min, 1);
    assert_int_equal(back.writer_min, 1);
    assert_memory_equal(back.cluster_id, f.cluster_id, 16);
    assert_int_equal(back.created_at_ns, f.created_at_ns);
    buf_free(&b);
}

static void released_bytes_are_read_and_written_again(void **state)
{
    struct bucket_format f = format_example();
    struct pin p = pin_example();
    struct buf b = encode_pin(&p);
    struct slice stored;

    (void)state;
    golden_check("pin-v1.hex", buf_slice(&b));
    stored = golden_read("pin-v1.hex");
    assert_int_equal(decode_pin(stored), ST_OK);
    mem_free((void *)(uintptr_t)stored.data);
    buf_free(&b);
    b = encode_format(&f);
    golden_check("format-v1.hex", buf_slice(&b));
    stored = golden_read("format-v1.hex");
    assert_int_equal(decode_format(stored), ST_OK);
    mem_free((void *)(uintptr_t)stored.data);
    buf_free(&b);
}

static void a_cut_or_a_flipped_bit_is_corruption(void **state)
{
    struct bucket_format f = format_example();
    struct pin p = pin_example();
    struct buf b = encode_pin(&p);

    (void)state;
    attack_cuts_and_flips(decode_pin, buf_slice(&b));
    buf_free(&b);
    b = encode_format(&f);
    attack_cuts_and_flips(decode_format, buf_slice(&b));
    buf_free(&b);
}

static void damage_under_a_good_checksum_never_leads_outside(void **state)
{
    struct bucket_format f = format_example();
    struct pin p = pin_example();
    struct buf b = encode_pin(&p);

    (void)state;
    assert_true(attack_edits(decode_pin, seal_frame, buf_slice(&b), HEADER_BYTES, 20000, seed) >
                100);
    buf_free(&b);
    b = encode_format(&f);
    assert_true(attack_edits(decode_format, seal_frame, buf_slice(&b), HEADER_BYTES, 20000, seed) >
                100);
    buf_free(&b);
}

static bool breach(struct pin *p, unsigned which)
{
    switch (which) {
    case 0:
        p->name[0] = '\n';
        return true;
    case 1:
        p->name[0] = (char)0xFF;
        return true;
    case 2:
        memset(p->name, 'n', sizeof p->name);
        return true;
    case 3:
        p->root_revision = 0;
        return true;
    case 4:
        p->manifest_revision = 81;
        return true;
    case 5:
        p->manifest_revision = 0;
        return true;
    case 6:
        p->manifest.bytes = 0;
        return true;
    case 7:
        p->epoch = 0;
        return true;
    default:
        return false;
    }
}

static void each_breach_of_a_pin_s_rules_is_refused(void **state)
{
    struct pin p = pin_example();
    struct buf b;

    (void)state;
    buf_init(&b, 16384);
    for (unsigned which = 0; breach(&p, which); which++) {
        if (pin_encode(&p, &b, NULL) != ST_INVALID)
            fail_msg("breach %u was encoded", which);
        p = pin_example();
    }
    buf_free(&b);
    /* No manifest, no group yet, no name: the collection as it was when it was made. */
    p.name[0] = '\0';
    p.manifest_revision = 0;
    p.manifest = (struct object_ref){0};
    p.epoch = 0;
    p.seq = 0;
    b = encode_pin(&p);
    assert_int_equal(decode_pin(buf_slice(&b)), ST_OK);
    buf_free(&b);
}

static void a_bucket_says_who_may_read_it(void **state)
{
    struct bucket_format f = format_example();
    struct bucket_format back;
    struct err err;
    struct buf b;

    (void)state;
    f.version = 5;
    f.writer_min = 3; /* old readers go on, old writers do not */
    b = encode_format(&f);
    assert_int_equal(bucket_format_decode(buf_slice(&b), &back, NULL), ST_OK);
    assert_int_equal(back.writer_min, 3);
    buf_free(&b);
    f.reader_min = 2;
    b = encode_format(&f);
    assert_int_equal(bucket_format_decode(buf_slice(&b), &back, &err), ST_UNSUPPORTED);
    assert_non_null(strstr(err.text, "needs format 2"));
    buf_free(&b);

    buf_init(&b, 16384);
    f.reader_min = 0;
    assert_int_equal(bucket_format_encode(&f, &b, NULL), ST_INVALID);
    f.reader_min = 4; /* above the writers' */
    assert_int_equal(bucket_format_encode(&f, &b, NULL), ST_INVALID);
    f.reader_min = 1;
    f.writer_min = 6; /* above the version */
    assert_int_equal(bucket_format_encode(&f, &b, NULL), ST_INVALID);
    buf_free(&b);
}

static status encode_both(void *arg)
{
    struct bucket_format f = format_example();
    struct pin p = pin_example();
    struct buf b;
    status st;

    (void)arg;
    buf_init(&b, 16384);
    st = pin_encode(&p, &b, NULL);
    buf_free(&b);
    if (st != ST_OK)
        return st;
    buf_init(&b, 16384);
    st = bucket_format_encode(&f, &b, NULL);
    buf_free(&b);
    return st;
}

static void each_allocation_may_fail(void **state)
{
    (void)state;
    assert_true(alloc_sweep(encode_both, NULL) >= 2);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_encoded_is_decoded),
        cmocka_unit_test(released_bytes_are_read_and_written_again),
        cmocka_unit_test(a_cut_or_a_flipped_bit_is_corruption),
        cmocka_unit_test(damage_under_a_good_checksum_never_leads_outside),
        cmocka_unit_test(each_breach_of_a_pin_s_rules_is_refused),
        cmocka_unit_test(a_bucket_says_who_may_read_it),
        cmocka_unit_test(each_allocation_may_fail),
    };

    if (argc > 1)
        seed = strtoull(argv[1], NULL, 10);
    print_message("seed=%llu\n", (unsigned long long)seed);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
