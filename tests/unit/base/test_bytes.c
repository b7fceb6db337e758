#include "base/bytes.h"

#include "tests/support/alloc_sweep.h"

#include <math.h>

static void everything_written_is_read_back(void **state)
{
    struct buf b;
    struct rd r;

    (void)state;
    buf_init(&b, 1000);
    buf_put_u8(&b, 0xAB);
    buf_put_u16(&b, 0xABCD);
    buf_put_u32(&b, 0xDEADBEEF);
    buf_put_u64(&b, 0x0123456789ABCDEF);
    buf_put_f32(&b, -1.5f);
    buf_put_f64(&b, M_PI);
    buf_put_text(&b, "text");
    buf_put_slice(&b, slice_text("slice"));
    buf_put_zeros(&b, 3);
    buf_printf(&b, "%d-%s", 42, "x");
    assert_int_equal(buf_status(&b, NULL), ST_OK);
    r = rd_make(buf_slice(&b));
    assert_int_equal(rd_u8(&r), 0xAB);
    assert_int_equal(rd_u16(&r), 0xABCD);
    assert_int_equal(rd_u32(&r), 0xDEADBEEF);
    assert_true(rd_u64(&r) == 0x0123456789ABCDEF);
    assert_true(rd_f32(&r) == -1.5f);
    assert_true(rd_f64(&r) == M_PI);
    assert_true(slice_equal(rd_bytes(&r, 9), slice_text("textslice")));
    rd_skip(&r, 2);
    assert_int_equal(rd_u8(&r), 0);
    assert_true(slice_equal(rd_bytes(&r, 4), slice_text("42-x")));
    assert_int_equal(rd_left(&r), 0);
    assert_false(r.bad);
    buf_free(&b);
    buf_free(&b);
}

static void integers_are_little_endian(void **state)
{
    const uint8_t want[] = {2, 1, 6, 5, 4, 3, 14, 13, 12, 11, 10, 9, 8, 7};
    uint8_t raw[14];
    struct buf b;

    (void)state;
    buf_init(&b, 100);
    buf_put_u16(&b, 0x0102);
    buf_put_u32(&b, 0x03040506);
    buf_put_u64(&b, 0x0708090A0B0C0D0E);
    assert_true(slice_equal(buf_slice(&b), slice_make(want, sizeof want)));
    le_put_u16(raw, 0x0102);
    le_put_u32(raw + 2, 0x03040506);
    le_put_u64(raw + 6, 0x0708090A0B0C0D0E);
    assert_memory_equal(raw, want, sizeof want);
    assert_int_equal(le_u16(raw), 0x0102);
    assert_int_equal(le_u32(raw + 2), 0x03040506);
    assert_true(le_u64(raw + 6) == 0x0708090A0B0C0D0E);
    buf_set_u32(&b, 2, 0xFFFFFFFF);
    buf_set_u64(&b, 6, 0);
    assert_int_equal(le_u32(b.data + 2), 0xFFFFFFFF);
    assert_true(le_u64(b.data + 6) == 0);
    assert_int_equal(le_u16(b.data), 0x0102);
    buf_free(&b);
}

/* Each number at the edge of a byte more, and cut at every byte. */
static void varints_take_seven_bits_a_byte(void **state)
{
    (void)state;
    for (unsigned shift = 0; shift <= 63; shift++)
        for (int delta = -1; delta <= 1; delta++) {
            uint64_t v = ((uint64_t)1 << shift) + (uint64_t)(int64_t)delta;
            unsigned bits = v == 0 ? 1 : 64 - (unsigned)__builtin_clzll(v);
            struct buf b;
            struct rd r;

            buf_init(&b, 10);
            buf_put_varint(&b, v);
            assert_int_equal(b.bytes, (bits + 6) / 7);
            r = rd_make(buf_slice(&b));
            assert_true(rd_varint(&r) == v);
            assert_false(r.bad);
            for (size_t cut = 0; cut < b.bytes; cut++) {
                r = rd_make(slice_make(b.data, cut));
                assert_true(rd_varint(&r) == 0);
                assert_true(r.bad);
            }
            buf_free(&b);
        }
}

static void a_varint_over_64_bits_is_bad(void **state)
{
    uint8_t raw[11];
    struct rd r;

    (void)state;
    memset(raw, 0xFF, sizeof raw);
    raw[9] = 1;
    r = rd_make(slice_make(raw, 10));
    assert_true(rd_varint(&r) == UINT64_MAX);
    assert_false(r.bad);
    raw[9] = 2;
    r = rd_make(slice_make(raw, 10));
    assert_true(rd_varint(&r) == 0);
    assert_true(r.bad);
    raw[9] = 0x81;
    r = rd_make(slice_make(raw, 11));
    (void)rd_varint(&r);
    assert_true(r.bad);
}

static void a_readers_failure_sticks(void **state)
{
    const uint8_t raw[] = {1, 2, 3, 4};
    struct rd r = rd_make(slice_make(raw, sizeof raw));

    (void)state;
    assert_int_equal(rd_u8(&r), 1);
    assert_int_equal(rd_u32(&r), 0);
    assert_true(r.bad);
    assert_int_equal(rd_left(&r), 0);
    assert_int_equal(rd_u8(&r), 0);
    assert_int_equal(rd_u16(&r), 0);
    assert_true(rd_u64(&r) == 0);
    assert_true(rd_f32(&r) == 0.0f);
    assert_true(rd_f64(&r) == 0.0);
    assert_true(rd_varint(&r) == 0);
    assert_null(rd_bytes(&r, 0).data);
    r = rd_make(slice_make(raw, sizeof raw));
    rd_skip(&r, SIZE_MAX);
    assert_true(r.bad);
    r = rd_make(slice_make(raw, sizeof raw));
    assert_int_equal(rd_bytes(&r, SIZE_MAX - 2).bytes, 0);
    assert_true(r.bad);
}

static void nothing_is_read_from_nothing(void **state)
{
    struct rd r = rd_make((struct slice){0});

    (void)state;
    assert_int_equal(rd_left(&r), 0);
    assert_int_equal(rd_bytes(&r, 0).bytes, 0);
    assert_false(r.bad);
    assert_int_equal(rd_u8(&r), 0);
    assert_true(r.bad);
}

/* Filled to the last byte in every way; one byte more fails and adds nothing. */
static void a_buffer_never_outgrows_its_bound(void **state)
{
    struct err err;

    (void)state;
    for (size_t bytes_max = 0; bytes_max < 700; bytes_max += 7) {
        struct buf b;

        buf_init(&b, bytes_max);
        for (size_t i = 0; i < bytes_max; i++)
            buf_put_u8(&b, (uint8_t)i);
        assert_int_equal(buf_status(&b, &err), ST_OK);
        assert_int_equal(b.bytes, bytes_max);
        assert_true(b.capacity <= bytes_max);
        buf_put(&b, NULL, 0);
        buf_put_zeros(&b, 0);
        assert_false(b.failed);
        buf_put_u8(&b, 1);
        assert_int_equal(buf_status(&b, &err), ST_NOSPACE);
        assert_int_equal(b.bytes, bytes_max);
        for (size_t i = 0; i < bytes_max; i++)
            assert_int_equal(b.data[i], (uint8_t)i);
        buf_free(&b);
    }
}

static void a_buffers_failure_sticks_until_it_is_reset(void **state)
{
    struct buf b;
    struct err err;

    (void)state;
    buf_init(&b, 10);
    buf_put_text(&b, "12345");
    buf_put_text(&b, "678901");
    assert_true(b.failed);
    buf_put_text(&b, "6");
    buf_set_u32(&b, 100, 1); /* ignored, not written out of bounds */
    assert_int_equal(b.bytes, 5);
    assert_false(buf_reserve(&b, 0));
    assert_int_equal(buf_status(&b, &err), ST_NOSPACE);
    buf_reset(&b);
    assert_int_equal(buf_status(&b, &err), ST_OK);
    assert_false(buf_reserve(&b, SIZE_MAX));
    buf_reset(&b);
    buf_put_text(&b, "1234567890");
    assert_int_equal(buf_status(&b, &err), ST_OK);
    buf_free(&b);
}

/* One write over the bound is no lack of memory, however little was there before it. */
static void over_the_bound_and_out_of_memory_are_told_apart(void **state)
{
    struct buf b;
    struct err err;

    (void)state;
    buf_init(&b, 100);
    buf_put_zeros(&b, 101);
    assert_int_equal(buf_status(&b, &err), ST_NOSPACE);
    assert_non_null(strstr(err.text, "100 bytes"));
    buf_reset(&b);
    mem_test_fail_after(0);
    buf_put_zeros(&b, 100);
    mem_test_fail_after(-1);
    assert_int_equal(buf_status(&b, &err), ST_NOMEM);
    buf_free(&b);
}

static void printed_text_fits_to_the_last_byte(void **state)
{
    char text[600];

    (void)state;
    for (size_t bytes = 0; bytes < sizeof text; bytes++) {
        struct buf b;

        memset(text, 'x', bytes);
        text[bytes] = '\0';
        buf_init(&b, bytes);
        buf_printf(&b, "%s", text);
        assert_int_equal(buf_status(&b, NULL), ST_OK);
        assert_true(slice_equal(buf_slice(&b), slice_text(text)));
        buf_printf(&b, "y");
        assert_int_equal(buf_status(&b, NULL), ST_NOSPACE);
        assert_int_equal(b.bytes, bytes);
        buf_free(&b);
    }
}

static status write_much(void *arg)
{
    struct buf b;
    status st;

    (void)arg;
    buf_init(&b, 100000);
    buf_printf(&b, "%300s", "long");
    for (unsigned i = 0; i < 1000; i++)
        buf_put_u64(&b, i);
    st = buf_status(&b, NULL);
    buf_free(&b);
    return st;
}

static void each_failed_allocation_is_reported(void **state)
{
    (void)state;
    assert_true(alloc_sweep(write_much, NULL) >= 3);
}

static void slices_compare_by_their_bytes(void **state)
{
    (void)state;
    assert_true(slice_equal(slice_text("ab"), slice_text("ab")));
    assert_false(slice_equal(slice_text("ab"), slice_text("ac")));
    assert_false(slice_equal(slice_text("ab"), slice_text("abc")));
    assert_true(slice_equal((struct slice){0}, slice_text("")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(everything_written_is_read_back),
        cmocka_unit_test(integers_are_little_endian),
        cmocka_unit_test(varints_take_seven_bits_a_byte),
        cmocka_unit_test(a_varint_over_64_bits_is_bad),
        cmocka_unit_test(a_readers_failure_sticks),
        cmocka_unit_test(nothing_is_read_from_nothing),
        cmocka_unit_test(a_buffer_never_outgrows_its_bound),
        cmocka_unit_test(a_buffers_failure_sticks_until_it_is_reset),
        cmocka_unit_test(over_the_bound_and_out_of_memory_are_told_apart),
        cmocka_unit_test(printed_text_fits_to_the_last_byte),
        cmocka_unit_test(each_failed_allocation_is_reported),
        cmocka_unit_test(slices_compare_by_their_bytes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
