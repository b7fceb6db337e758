/* Compressed blocks: what went in comes out, and nothing else does. */
#include "base/compress.h"
#include "base/mem.h"
#include "base/rand.h"
#include "tests/support/alloc_sweep.h"

#include <stdlib.h>

static uint64_t seed = 20261122;

static struct buf packed(struct slice in)
{
    struct compressor *c;
    struct buf out;

    buf_init(&out, 1 << 20);
    assert_int_equal(compressor_create(&c, NULL), ST_OK);
    assert_int_equal(compress_block(c, in, &out, NULL), ST_OK);
    compressor_destroy(c);
    return out;
}

static void what_went_in_comes_out(void **state)
{
    static uint8_t data[100000];
    struct rand_seeded rand;

    (void)state;
    rand_seeded_init(&rand, seed);
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = i % 7 < 5 ? (uint8_t)(i % 11) : (uint8_t)rand_u64(&rand.source);
    for (size_t bytes = 0; bytes <= sizeof data; bytes = bytes * 3 + 1) {
        struct buf in = packed(slice_make(data, bytes));
        struct buf out;

        buf_init(&out, bytes + 3);
        buf_put_text(&out, "abc"); /* it is appended */
        assert_int_equal(decompress_block(buf_slice(&in), bytes, &out, NULL), ST_OK);
        assert_int_equal(out.bytes, bytes + 3);
        assert_memory_equal(out.data + 3, data, bytes);
        buf_free(&out);
        buf_free(&in);
    }
}

static void other_bytes_than_promised_are_corruption(void **state)
{
    struct buf in = packed(slice_make("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab", 37));
    struct err err = {0};
    struct buf out;

    (void)state;
    buf_init(&out, 1 << 20);
    assert_int_equal(decompress_block(buf_slice(&in), 36, &out, &err), ST_CORRUPT);
    assert_int_equal(decompress_block(buf_slice(&in), 38, &out, &err), ST_CORRUPT);
    assert_int_equal(decompress_block(buf_slice(&in), SIZE_MAX, &out, &err), ST_CORRUPT);
    buf_put_u8(&in, 0);
    assert_int_equal(decompress_block(buf_slice(&in), 37, &out, &err), ST_CORRUPT);
    in.bytes--;
    for (size_t cut = 0; cut < in.bytes; cut++)
        assert_int_equal(decompress_block(slice_make(in.data, cut), 37, &out, &err), ST_CORRUPT);
    assert_int_equal(out.bytes, 0);
    assert_int_equal(decompress_block(buf_slice(&in), 37, &out, &err), ST_OK);
    buf_free(&in);
    buf_free(&out);
}

/* A flipped bit may give other bytes (the caller has a checksum), but no more of them. */
static void damage_never_leads_outside(void **state)
{
    uint8_t data[600];
    struct buf in;

    (void)state;
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (uint8_t)(i * i % 13);
    in = packed(slice_make(data, sizeof data));
    for (size_t bit = 0; bit < in.bytes * 8; bit++) {
        uint8_t *copy = malloc(in.bytes);
        struct buf out;
        status st;

        memcpy(copy, in.data, in.bytes);
        copy[bit / 8] ^= (uint8_t)(1u << bit % 8);
        buf_init(&out, sizeof data);
        st = decompress_block(slice_make(copy, in.bytes), sizeof data, &out, NULL);
        assert_true(st == ST_OK || st == ST_CORRUPT);
        assert_int_equal(out.bytes, st == ST_OK ? sizeof data : 0);
        buf_free(&out);
        free(copy);
    }
    buf_free(&in);
}

static void the_bound_of_a_buffer_holds(void **state)
{
    uint8_t data[100] = {0};
    struct compressor *c;
    struct buf in = packed(slice_make(data, sizeof data));
    struct buf out;

    (void)state;
    buf_init(&out, sizeof data - 1);
    assert_int_equal(decompress_block(buf_slice(&in), sizeof data, &out, NULL), ST_NOSPACE);
    buf_free(&out);
    buf_init(&out, 8);
    assert_int_equal(compressor_create(&c, NULL), ST_OK);
    assert_int_equal(compress_block(c, slice_make(data, sizeof data), &out, NULL), ST_NOSPACE);
    compressor_destroy(c);
    buf_free(&out);
    buf_free(&in);
}

static status there_and_back(void *arg)
{
    struct compressor *c = NULL;
    struct buf in, out;
    status st = compressor_create(&c, NULL);

    (void)arg;
    buf_init(&in, 1000);
    buf_init(&out, 1000);
    if (st == ST_OK)
        st = compress_block(c, slice_make("hello", 5), &in, NULL);
    if (st == ST_OK)
        st = decompress_block(buf_slice(&in), 5, &out, NULL);
    compressor_destroy(c);
    buf_free(&in);
    buf_free(&out);
    return st;
}

static void each_allocation_may_fail(void **state)
{
    (void)state;
    assert_true(alloc_sweep(there_and_back, NULL) >= 3);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_went_in_comes_out),
        cmocka_unit_test(other_bytes_than_promised_are_corruption),
        cmocka_unit_test(damage_never_leads_outside),
        cmocka_unit_test(the_bound_of_a_buffer_holds),
        cmocka_unit_test(each_allocation_may_fail),
    };

    if (argc > 1)
        seed = strtoull(argv[1], NULL, 10);
    print_message("seed=%llu\n", (unsigned long long)seed);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
