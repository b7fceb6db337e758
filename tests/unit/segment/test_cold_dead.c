/* Dead rows of a cold segment: there and back, released bytes, damage, lies. */
#include "base/crc32c.h"
#include "base/mem.h"
#include "segment/cold.h"
#include "tests/support/alloc_sweep.h"
#include "tests/support/golden.h"
#include "tests/unit/segment/attack.h"

static uint64_t seed = 20261122;
static const uint8_t DOCS[16] = {0x33, 1};
static const uint8_t SEGMENT[16] = {0x77, 9};

static struct buf encoded(const struct cold_dead *d, struct manifest_cold *named)
{
    struct buf b;

    buf_init(&b, 1 << 24);
    assert_int_equal(cold_dead_encode(d, DOCS, SEGMENT, &b, NULL), ST_OK);
    *named = (struct manifest_cold){.rows = d->rows, .dead_rows = d->dead};
    memcpy(named->object.uuid, SEGMENT, 16);
    named->dead.bytes = b.bytes;
    named->dead.crc = crc32c(0, b.data, b.bytes);
    return b;
}

static void what_was_written_is_read(void **state)
{
    static const uint32_t rows[] = {1, 63, 64, 65, 1000, 200000};

    (void)state;
    for (unsigned i = 0; i < COUNT_OF(rows); i++)
        for (unsigned every = 1; every < 300; every = every * 5 + 1) {
            struct cold_dead d, back;
            struct manifest_cold named;
            struct buf b;
            uint32_t count = 0;

            assert_int_equal(cold_dead_init(&d, rows[i], NULL), ST_OK);
            for (uint32_t o = rows[i] - 1; o < rows[i]; o -= every) {
                assert_true(cold_dead_add(&d, o));
                assert_false(cold_dead_add(&d, o));
                count++;
                if (o < every)
                    break;
            }
            assert_int_equal(d.dead, count);
            b = encoded(&d, &named);
            assert_int_equal(cold_dead_decode(buf_slice(&b), DOCS, &named, &back, NULL), ST_OK);
            assert_int_equal(back.rows, d.rows);
            assert_int_equal(back.dead, d.dead);
            for (uint32_t o = 0; o < rows[i]; o++)
                assert_int_equal(cold_dead_has(&back, o), cold_dead_has(&d, o));
            cold_dead_free(&back);
            cold_dead_free(&d);
            buf_free(&b);
        }
}

static struct cold_dead some(void)
{
    struct cold_dead d;

    assert_int_equal(cold_dead_init(&d, 1000, NULL), ST_OK);
    (void)cold_dead_add(&d, 0);
    (void)cold_dead_add(&d, 1);
    (void)cold_dead_add(&d, 500);
    (void)cold_dead_add(&d, 999);
    return d;
}

static struct manifest_cold named_now;
static bool reference_counts;

static status decode(struct slice bytes)
{
    struct manifest_cold named = named_now;
    struct cold_dead d;
    status st;

    if (!reference_counts) {
        named.dead.bytes = bytes.bytes;
        named.dead.crc = crc32c(0, bytes.data, bytes.bytes);
    }
    st = cold_dead_decode(bytes, DOCS, &named, &d, NULL);
    if (st == ST_OK)
        cold_dead_free(&d);
    return st;
}

static void released_bytes_are_read_and_written_again(void **state)
{
    struct cold_dead d = some();
    struct buf b = encoded(&d, &named_now);
    struct slice stored;

    (void)state;
    golden_check("cold-dead-v1.hex", buf_slice(&b));
    stored = golden_read("cold-dead-v1.hex");
    reference_counts = true;
    assert_int_equal(decode(stored), ST_OK);
    mem_free((void *)(uintptr_t)stored.data);
    cold_dead_free(&d);
    buf_free(&b);
}

static void damage_is_found_with_and_without_the_manifest_s_checksum(void **state)
{
    struct cold_dead d = some();
    struct buf b = encoded(&d, &named_now);

    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        reference_counts = i == 1;
        attack_cuts_and_flips(decode, buf_slice(&b));
    }
    reference_counts = false;
    (void)attack_edits(decode, seal_frame, buf_slice(&b), 16, 20000, seed);
    cold_dead_free(&d);
    buf_free(&b);
}

enum { AT_COLLECTION = 16, AT_SEGMENT = 32, AT_ROWS = 48, AT_DEAD = 52, AT_STEPS = 56 };

static const char *lie(struct buf *b, unsigned which)
{
    switch (which) {
    case 0:
        b->data[AT_COLLECTION]++;
        return "another collection's";
    case 1:
        b->data[AT_SEGMENT]++;
        return "another segment's";
    case 2:
        le_put_u32(b->data + AT_ROWS, 1001);
        return "of other rows";
    case 3:
        le_put_u32(b->data + AT_DEAD, 5);
        return "one more than there are";
    case 4:
        le_put_u32(b->data + AT_DEAD, 3);
        return "one less than there are";
    case 5:
        b->data[AT_STEPS + 1] = 0;
        return "a row twice";
    case 6:
        b->data[b->bytes - 2]++;
        return "a row behind the last";
    case 7:
        buf_put_u8(b, 0);
        return "something behind it";
    default:
        return NULL;
    }
}

static void each_lie_is_found(void **state)
{
    (void)state;
    reference_counts = false;
    for (unsigned which = 0;; which++) {
        struct cold_dead d = some();
        struct buf b = encoded(&d, &named_now);
        const char *what = lie(&b, which);

        seal_frame(b.data, b.bytes);
        if (decode(buf_slice(&b)) != (what == NULL ? ST_OK : ST_CORRUPT))
            fail_msg("%s", what == NULL ? "nothing" : what);
        cold_dead_free(&d);
        buf_free(&b);
        if (what == NULL)
            break;
    }
}

/* Steps that together wrap around 32 bits, or 64. */
static void no_sum_wraps_around(void **state)
{
    struct cold_dead d = some();
    struct buf b = encoded(&d, &named_now);

    (void)state;
    reference_counts = false;
    b.bytes = AT_STEPS;
    buf_put_varint(&b, 1);
    buf_put_varint(&b, UINT32_MAX);
    buf_put_varint(&b, 1);
    buf_put_varint(&b, UINT64_MAX);
    seal_frame(b.data, b.bytes);
    assert_int_equal(decode(buf_slice(&b)), ST_CORRUPT);
    b.bytes = AT_STEPS;
    buf_put_varint(&b, 1);
    buf_put_varint(&b, UINT64_MAX);
    buf_put_varint(&b, 1);
    buf_put_varint(&b, 1);
    seal_frame(b.data, b.bytes);
    assert_int_equal(decode(buf_slice(&b)), ST_CORRUPT);
    cold_dead_free(&d);
    buf_free(&b);
}

static void none_is_not_written(void **state)
{
    struct cold_dead d;
    struct buf b;

    (void)state;
    buf_init(&b, 1000);
    assert_int_equal(cold_dead_init(&d, 10, NULL), ST_OK);
    assert_int_equal(cold_dead_encode(&d, DOCS, SEGMENT, &b, NULL), ST_INVALID);
    assert_int_equal(b.bytes, 0);
    cold_dead_free(&d);
}

static status there_and_back(void *arg)
{
    struct cold_dead d = {0};
    struct cold_dead back = {0};
    struct manifest_cold named = named_now;
    struct buf b;
    status st = cold_dead_init(&d, 1000, NULL);

    (void)arg;
    buf_init(&b, 1000);
    if (st == ST_OK) {
        (void)cold_dead_add(&d, 7);
        named.dead_rows = 1;
        st = cold_dead_encode(&d, DOCS, SEGMENT, &b, NULL);
    }
    named.dead.bytes = b.bytes;
    named.dead.crc = crc32c(0, b.data, b.bytes);
    if (st == ST_OK)
        st = cold_dead_decode(buf_slice(&b), DOCS, &named, &back, NULL);
    cold_dead_free(&d);
    cold_dead_free(&back);
    buf_free(&b);
    return st;
}

static void each_allocation_may_fail(void **state)
{
    struct cold_dead d = some();
    struct buf b = encoded(&d, &named_now);

    (void)state;
    assert_true(alloc_sweep(there_and_back, NULL) >= 3);
    cold_dead_free(&d);
    buf_free(&b);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_written_is_read),
        cmocka_unit_test(released_bytes_are_read_and_written_again),
        cmocka_unit_test(damage_is_found_with_and_without_the_manifest_s_checksum),
        cmocka_unit_test(each_lie_is_found),
        cmocka_unit_test(no_sum_wraps_around),
        cmocka_unit_test(none_is_not_written),
        cmocka_unit_test(each_allocation_may_fail),
    };

    if (argc > 1)
        seed = strtoull(argv[1], NULL, 10);
    print_message("seed=%llu\n", (unsigned long long)seed);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
