/* Dead rows: what comes back, the very bytes CRoaring writes, damage, lies under good checksums. */
#include "base/bits.h"
#include "base/mem.h"
#include "segment/dead_rows.h"
#include "tests/support/alloc_sweep.h"
#include "tests/support/golden.h"
#include "tests/unit/segment/attack.h"

/* CRoaring's header has a container_write() too. */
typedef struct roaring_bitmap_s roaring_bitmap_t;
roaring_bitmap_t *roaring_bitmap_create_with_capacity(uint32_t containers);
void roaring_bitmap_free(const roaring_bitmap_t *r);
void roaring_bitmap_add(roaring_bitmap_t *r, uint32_t value);
bool roaring_bitmap_run_optimize(roaring_bitmap_t *r);
size_t roaring_bitmap_portable_size_in_bytes(const roaring_bitmap_t *r);
size_t roaring_bitmap_portable_serialize(const roaring_bitmap_t *r, char *out);

enum { HEADER_BYTES = 16, SET_AT = 60, MANY = 300000 };
static uint64_t seed = 20261122;
static const uint8_t COLLECTION[16] = "collection-0000";
static const uint8_t SEGMENT[16] = "segment-0000000";

struct set {
    uint32_t rows;
    uint64_t *bits;
    uint32_t dead;
};

static struct set set_make(uint32_t rows)
{
    struct set s = {.rows = rows};

    s.bits = mem_zero_array(dead_rows_words(rows) + 1, sizeof *s.bits);
    assert_non_null(s.bits);
    return s;
}

static void kill_row(struct set *s, uint32_t row)
{
    s->dead += !bits_get(s->bits, row);
    bits_set(s->bits, row);
}

/* Clumps, single rows, and stretches without any. */
static struct set set_random(struct rand_source *rand, uint32_t rows)
{
    struct set s = set_make(rows);
    uint64_t clumps = 1 + rand_below(rand, 6);

    for (uint64_t i = 0; i < clumps; i++) {
        uint64_t at = rand_below(rand, rows);
        uint64_t count = rand_below(rand, 20000);
        uint64_t step = 1 + rand_below(rand, 30);

        for (; count > 0 && at < rows; count--, at += step)
            kill_row(&s, (uint32_t)at);
    }
    kill_row(&s, (uint32_t)rand_below(rand, rows));
    return s;
}

static struct buf encode(const struct set *s)
{
    struct buf b;

    buf_init(&b, DEAD_ROWS_BYTES_MAX);
    assert_int_equal(dead_rows_encode(COLLECTION, SEGMENT, s->rows, s->bits, &b, NULL), ST_OK);
    return b;
}

static void assert_decodes(struct slice bytes, const struct set *want)
{
    struct set got = set_make(want->rows);

    assert_int_equal(
        dead_rows_decode(bytes, COLLECTION, SEGMENT, want->rows, got.bits, &got.dead, NULL), ST_OK);
    assert_int_equal(got.dead, want->dead);
    assert_memory_equal(got.bits, want->bits, dead_rows_words(want->rows) * 8);
    mem_free(got.bits);
}

static void assert_set_bytes(struct buf *b, roaring_bitmap_t *r)
{
    size_t bytes = roaring_bitmap_portable_size_in_bytes(r);
    char *want = malloc(bytes);

    assert_non_null(want);
    (void)roaring_bitmap_portable_serialize(r, want);
    assert_int_equal(le_u32(b->data + SET_AT - 4), bytes);
    assert_memory_equal(b->data + SET_AT, want, bytes);
    free(want);
}

static void what_was_encoded_is_decoded_and_is_what_croaring_writes(void **state)
{
    struct rand_seeded rand;

    (void)state;
    rand_seeded_init(&rand, seed);
    for (unsigned round = 0; round < 60; round++) {
        uint32_t rows = 1 + (uint32_t)rand_below(&rand.source, round % 2 == 0 ? 300 : MANY);
        struct set s = set_random(&rand.source, rows);
        roaring_bitmap_t *r = roaring_bitmap_create_with_capacity(0);
        struct buf b = encode(&s);

        for (uint32_t row = 0; row < rows; row++)
            if (bits_get(s.bits, row))
                roaring_bitmap_add(r, row);
        assert_set_bytes(&b, r);
        assert_decodes(buf_slice(&b), &s);
        roaring_bitmap_free(r);
        buf_free(&b);
        mem_free(s.bits);
    }
}

/* Others may compress with runs: read, with and without the offsets that four containers have. */
static void runs_are_read(void **state)
{
    (void)state;
    for (uint32_t rows = 1000; rows <= 6 * 65536; rows *= 6) {
        struct set s = set_make(rows);
        roaring_bitmap_t *r = roaring_bitmap_create_with_capacity(0);
        struct buf b, with_runs;
        size_t bytes;

        for (uint32_t row = 100; row < rows - 7; row++)
            if (row % 5000 > 10)
                kill_row(&s, row);
        b = encode(&s);
        for (uint32_t row = 0; row < rows; row++)
            if (bits_get(s.bits, row))
                roaring_bitmap_add(r, row);
        assert_true(roaring_bitmap_run_optimize(r));
        bytes = roaring_bitmap_portable_size_in_bytes(r);
        buf_init(&with_runs, DEAD_ROWS_BYTES_MAX);
        buf_put(&with_runs, b.data, SET_AT);
        buf_put_zeros(&with_runs, bytes + 4);
        (void)roaring_bitmap_portable_serialize(r, (char *)with_runs.data + SET_AT);
        buf_set_u32(&with_runs, SET_AT - 4, (uint32_t)bytes);
        seal_frame(with_runs.data, with_runs.bytes);
        assert_decodes(buf_slice(&with_runs), &s);
        roaring_bitmap_free(r);
        buf_free(&with_runs);
        buf_free(&b);
        mem_free(s.bits);
    }
}

static struct set example(void)
{
    static const uint32_t dead[] = {0, 3, 63, 64, 65, 299};
    struct set s = set_make(300);

    for (size_t i = 0; i < sizeof dead / sizeof *dead; i++)
        kill_row(&s, dead[i]);
    return s;
}

static void released_bytes_are_read_and_written_again(void **state)
{
    struct set s = example();
    struct buf b = encode(&s);
    struct slice released;

    (void)state;
    golden_check("dead-rows-v1.hex", buf_slice(&b));
    released = golden_read("dead-rows-v1.hex");
    assert_decodes(released, &s);
    mem_free((void *)(uintptr_t)released.data);
    buf_free(&b);
    mem_free(s.bits);
}

static uint32_t attacked_rows;
static status decode(struct slice bytes)
{
    struct set got = set_make(attacked_rows);
    uint64_t count = 0;
    status st = dead_rows_decode(bytes, COLLECTION, SEGMENT, got.rows, got.bits, &got.dead, NULL);

    for (uint32_t row = 0; row < got.rows; row++)
        count += bits_get(got.bits, row);
    if (st == ST_OK)
        assert_int_equal(got.dead, count);
    assert_int_equal(got.bits[dead_rows_words(got.rows)], 0);
    mem_free(got.bits);
    return st;
}

static void any_damage_is_found(void **state)
{
    struct set s = example();
    struct buf b = encode(&s);

    (void)state;
    attacked_rows = s.rows;
    attack_cuts_and_flips(decode, buf_slice(&b));
    assert_true(attack_edits(decode, seal_frame, buf_slice(&b), HEADER_BYTES, 20000, seed) > 0);
    buf_free(&b);
    mem_free(s.bits);

    s = set_make(70000);
    for (uint32_t row = 0; row < 66000; row += 2)
        kill_row(&s, row);
    b = encode(&s);
    attacked_rows = s.rows;
    (void)attack_edits(decode, seal_frame, buf_slice(&b), HEADER_BYTES, 300, seed);
    buf_free(&b);
    mem_free(s.bits);
}

static void none_dead_a_row_too_many_and_another_segment_are_refused(void **state)
{
    struct set s = set_make(100);
    uint8_t other[16] = "another-0000000";
    struct buf b;
    uint32_t dead;

    (void)state;
    buf_init(&b, DEAD_ROWS_BYTES_MAX);
    assert_int_equal(dead_rows_encode(COLLECTION, SEGMENT, 100, s.bits, &b, NULL), ST_INVALID);
    bits_set(s.bits, 100);
    assert_int_equal(dead_rows_encode(COLLECTION, SEGMENT, 100, s.bits, &b, NULL), ST_INVALID);
    bits_clear(s.bits, 100);
    bits_set(s.bits, 99);
    assert_int_equal(dead_rows_encode(COLLECTION, SEGMENT, 100, s.bits, &b, NULL), ST_OK);
    assert_int_equal(dead_rows_decode(buf_slice(&b), other, SEGMENT, 100, s.bits, &dead, NULL),
                     ST_CORRUPT);
    assert_int_equal(dead_rows_decode(buf_slice(&b), COLLECTION, other, 100, s.bits, &dead, NULL),
                     ST_CORRUPT);
    assert_int_equal(dead_rows_decode(buf_slice(&b), COLLECTION, SEGMENT, 99, s.bits, &dead, NULL),
                     ST_CORRUPT);
    buf_free(&b);
    mem_free(s.bits);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_encoded_is_decoded_and_is_what_croaring_writes),
        cmocka_unit_test(runs_are_read),
        cmocka_unit_test(released_bytes_are_read_and_written_again),
        cmocka_unit_test(any_damage_is_found),
        cmocka_unit_test(none_dead_a_row_too_many_and_another_segment_are_refused),
    };

    if (argc > 1)
        seed = strtoull(argv[1], NULL, 0);
    print_message("seed=%llu\n", (unsigned long long)seed);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
