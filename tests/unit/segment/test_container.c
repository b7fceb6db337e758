/* The container: what comes back, the released bytes, and that no damage goes unnoticed. */
#include "base/crc32c.h"
#include "base/mem.h"
#include "base/rand.h"
#include "segment/container.h"
#include "tests/support/golden.h"

#include <setjmp.h>
#include <stdlib.h>

#include <cmocka.h>

enum { FIRST = 10, EMPTY = 11, LARGE = 12, HEADER = 32, ENTRY = 40, TRAILER = 64 };
static uint64_t seed = 20240603;
static const uint8_t OWNER[16] = {1, 2, 3, 4, 5};
static const uint8_t STRANGER[16] = {9};

struct memory_sink {
    struct container_sink sink;
    struct buf bytes;
    int64_t fail_at; /* the n-th write fails; negative: none */
};

static status sink_write(struct container_sink *sink, struct slice bytes, struct err *err)
{
    struct memory_sink *m = (struct memory_sink *)sink;

    if (m->fail_at >= 0 && m->fail_at-- == 0)
        return err_set(err, ST_NOSPACE, "full");
    buf_put_slice(&m->bytes, bytes);
    return buf_status(&m->bytes, err);
}

static struct memory_sink memory_sink(void)
{
    struct memory_sink m = {.sink = {.write = sink_write}, .fail_at = -1};

    buf_init(&m.bytes, 64u << 20);
    return m;
}

struct memory_source {
    struct container_source source;
    const uint8_t *data;
};

static status source_read(struct container_source *source, uint64_t offset, void *out, size_t bytes,
                          struct err *err)
{
    struct memory_source *m = (struct memory_source *)source;

    (void)err;
    assert_true(offset <= source->bytes && bytes <= source->bytes - offset); /* never outside */
    memcpy(out, m->data + offset, bytes);
    return ST_OK;
}

static struct memory_source memory_source(const uint8_t *data, size_t bytes)
{
    return (struct memory_source){.source = {.read = source_read, .bytes = bytes}, .data = data};
}

/* Section FIRST: two short units by a cut; EMPTY: none; LARGE: `large` bytes, optional. */
static status write_container(struct memory_sink *m, size_t large, uint8_t salt, uint32_t *crc)
{
    uint8_t *bytes = malloc(large + 1);
    struct container_writer *w = NULL;
    uint64_t size = 0;
    status st;

    assert_non_null(bytes);
    for (size_t i = 0; i < large; i++)
        bytes[i] = (uint8_t)(i * 31 + i / 251 + salt);
    st = container_create(&m->sink, CONTAINER_IMAGE, OWNER, &w, NULL);
    if (st == ST_OK)
        st = container_section(w, FIRST, 0, NULL);
    if (st == ST_OK)
        st = container_write(w, slice_text("one unit"), NULL);
    if (st == ST_OK)
        st = container_cut(w, NULL);
    if (st == ST_OK)
        st = container_cut(w, NULL); /* of nothing: no unit */
    if (st == ST_OK)
        st = container_write(w, slice_text("and more"), NULL);
    if (st == ST_OK)
        st = container_section(w, EMPTY, 0, NULL);
    if (st == ST_OK)
        st = container_section(w, LARGE, CONTAINER_SECTION_OPTIONAL, NULL);
    for (size_t at = 0; st == ST_OK && at < large; at += 7777)
        st =
            container_write(w, slice_make(bytes + at, large - at < 7777 ? large - at : 7777), NULL);
    if (st == ST_OK)
        st = container_finish(w, &size, crc, NULL);
    if (st == ST_OK)
        assert_int_equal(size, m->bytes.bytes);
    container_writer_destroy(w);
    free(bytes);
    return st;
}

static status read_section(struct container *c, uint16_t section)
{
    struct container_cursor cursor;
    struct slice payload;
    status st = container_seek(c, section, &cursor, NULL);

    while (st == ST_OK)
        st = container_next(&cursor, &payload, NULL);
    return st == ST_NOT_FOUND ? ST_OK : st;
}

static status read_everything(const uint8_t *data, size_t bytes)
{
    struct memory_source m = memory_source(data, bytes);
    struct container *c;
    status st = container_open(&m.source, CONTAINER_IMAGE, OWNER, &c, NULL);

    if (st != ST_OK)
        return st;
    for (size_t i = 0; st == ST_OK && i < container_section_count(c); i++) {
        struct container_section_info info;

        container_section_at(c, i, &info);
        st = read_section(c, info.section);
    }
    container_close(c);
    return st;
}

static struct memory_sink written(size_t large)
{
    struct memory_sink m = memory_sink();
    uint32_t crc;

    assert_int_equal(write_container(&m, large, 0, &crc), ST_OK);
    return m;
}

static void sections_come_back_unit_by_unit(void **state)
{
    struct memory_sink m = memory_sink();
    struct memory_source src;
    struct container_section_info info;
    struct container_cursor cursor;
    struct container *c;
    struct slice payload;
    uint32_t crc;

    (void)state;
    assert_int_equal(write_container(&m, 300000, 0, &crc), ST_OK);
    src = memory_source(m.bytes.data, m.bytes.bytes);
    assert_int_equal(container_open(&src.source, CONTAINER_IMAGE, OWNER, &c, NULL), ST_OK);
    assert_int_equal(container_crc(c), crc);
    assert_int_equal(container_section_count(c), 3);

    assert_int_equal(container_find(c, FIRST, &info, NULL), ST_OK);
    assert_int_equal(info.units, 2);
    assert_int_equal(info.bytes, 16);
    assert_int_equal(container_seek(c, FIRST, &cursor, NULL), ST_OK);
    assert_int_equal(container_next(&cursor, &payload, NULL), ST_OK);
    assert_true(slice_equal(payload, slice_text("one unit")));
    assert_int_equal(container_next(&cursor, &payload, NULL), ST_OK);
    assert_true(slice_equal(payload, slice_text("and more")));
    assert_int_equal(container_next(&cursor, &payload, NULL), ST_NOT_FOUND);

    assert_int_equal(container_find(c, EMPTY, &info, NULL), ST_OK);
    assert_int_equal(info.units, 0);
    assert_int_equal(container_seek(c, EMPTY, &cursor, NULL), ST_OK);
    assert_int_equal(container_next(&cursor, &payload, NULL), ST_NOT_FOUND);

    assert_int_equal(container_find(c, LARGE, &info, NULL), ST_OK);
    assert_int_equal(info.units, 3);
    assert_int_equal(info.flags, CONTAINER_SECTION_OPTIONAL);
    assert_int_equal(container_find(c, 99, &info, NULL), ST_NOT_FOUND);
    assert_int_equal(container_seek(c, 99, &cursor, NULL), ST_NOT_FOUND);
    container_close(c);
    buf_free(&m.bytes);
}

static void a_stream_gives_items_that_run_over_units(void **state)
{
    struct memory_sink m = written(700000);
    struct memory_source src = memory_source(m.bytes.data, m.bytes.bytes);
    struct rand_seeded rand;
    struct container_stream s;
    struct container *c;
    struct slice item;
    size_t at = 0;

    (void)state;
    rand_seeded_init(&rand, seed);
    assert_int_equal(container_open(&src.source, CONTAINER_IMAGE, OWNER, &c, NULL), ST_OK);
    assert_int_equal(container_stream_open(c, LARGE, &s, NULL), ST_OK);
    while (container_stream_left(&s) > 0) {
        size_t want = rand_below(&rand.source, at < 300000 ? 3000 : 400000);

        if (want > container_stream_left(&s))
            want = container_stream_left(&s);
        assert_int_not_equal(container_stream_end(&s, NULL), ST_OK);
        assert_int_equal(container_stream_take(&s, want, &item, NULL), ST_OK);
        assert_int_equal(item.bytes, want);
        for (size_t i = 0; i < want; i++, at++)
            if (item.data[i] != (uint8_t)(at * 31 + at / 251))
                fail_msg("byte %zu seed=%llu", at, (unsigned long long)seed);
    }
    assert_int_equal(at, 700000);
    assert_int_equal(container_stream_end(&s, NULL), ST_OK);
    assert_int_equal(container_stream_take(&s, 0, &item, NULL), ST_OK);
    assert_int_equal(container_stream_take(&s, 1, &item, NULL), ST_CORRUPT);
    assert_int_equal(container_stream_take(&s, SIZE_MAX, &item, NULL), ST_CORRUPT);
    container_stream_close(&s);
    container_close(c);
    buf_free(&m.bytes);
}

static void released_bytes_are_read_and_written_again(void **state)
{
    struct memory_sink m = written(100);
    struct slice stored;

    (void)state;
    golden_check("container-v1.hex", buf_slice(&m.bytes));
    stored = golden_read("container-v1.hex");
    assert_int_equal(read_everything(stored.data, stored.bytes), ST_OK);
    mem_free((void *)(uintptr_t)stored.data);
    buf_free(&m.bytes);
}

static void a_cut_or_a_flipped_bit_is_corruption(void **state)
{
    struct memory_sink m = written(600);

    (void)state;
    for (size_t cut = 0; cut < m.bytes.bytes; cut++)
        assert_int_equal(read_everything(m.bytes.data, cut), ST_CORRUPT);
    for (size_t bit = 0; bit < m.bytes.bytes * 8; bit++) {
        m.bytes.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        if (read_everything(m.bytes.data, m.bytes.bytes) != ST_CORRUPT)
            fail_msg("bit %zu of byte %zu", bit % 8, bit / 8);
        m.bytes.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    buf_put_u8(&m.bytes, 0);
    assert_int_equal(read_everything(m.bytes.data, m.bytes.bytes), ST_CORRUPT);
    buf_free(&m.bytes);
}

/* The two units of FIRST have one length: only their place tells them apart. */
static void swapped_units_are_corruption(void **state)
{
    struct memory_sink m = written(100);
    size_t unit = CONTAINER_UNIT_HEADER_BYTES + 8;
    uint8_t copy[CONTAINER_UNIT_HEADER_BYTES + 8];

    (void)state;
    memcpy(copy, m.bytes.data + HEADER, unit);
    memmove(m.bytes.data + HEADER, m.bytes.data + HEADER + unit, unit);
    memcpy(m.bytes.data + HEADER + unit, copy, unit);
    assert_int_equal(read_everything(m.bytes.data, m.bytes.bytes), ST_CORRUPT);
    buf_free(&m.bytes);
}

/* A unit of the same place in another file of the same collection passes its own crc; the section's
 * does not. */
static void a_unit_of_another_file_is_corruption(void **state)
{
    struct memory_sink a = memory_sink();
    struct memory_sink b = memory_sink();
    size_t at = HEADER + 2 * (CONTAINER_UNIT_HEADER_BYTES + 8);
    uint32_t crc_a;
    uint32_t crc_b;

    (void)state;
    assert_int_equal(write_container(&a, 100, 0, &crc_a), ST_OK);
    assert_int_equal(write_container(&b, 100, 1, &crc_b), ST_OK);
    assert_int_not_equal(crc_a, crc_b);
    memcpy(a.bytes.data + at, b.bytes.data + at, CONTAINER_UNIT_HEADER_BYTES + 100);
    assert_int_equal(read_everything(a.bytes.data, a.bytes.bytes), ST_CORRUPT);
    buf_free(&a.bytes);
    buf_free(&b.bytes);
}

static void a_stranger_s_container_is_refused(void **state)
{
    struct memory_sink m = written(100);
    struct memory_source src = memory_source(m.bytes.data, m.bytes.bytes);
    struct container *c;

    (void)state;
    assert_int_equal(container_open(&src.source, CONTAINER_IMAGE, STRANGER, &c, NULL), ST_CORRUPT);
    assert_int_equal(container_open(&src.source, CONTAINER_ROWS, OWNER, &c, NULL), ST_CORRUPT);
    buf_free(&m.bytes);
}

static void unknown_sections_are_skipped_only_if_optional(void **state)
{
    const uint16_t all[] = {FIRST, EMPTY, LARGE};
    const uint16_t without_optional[] = {EMPTY, FIRST};
    const uint16_t without_required[] = {FIRST, LARGE};
    struct memory_sink m = written(100);
    struct memory_source src = memory_source(m.bytes.data, m.bytes.bytes);
    struct container *c;

    (void)state;
    assert_int_equal(container_open(&src.source, CONTAINER_IMAGE, OWNER, &c, NULL), ST_OK);
    assert_int_equal(container_check_sections(c, all, 3, NULL), ST_OK);
    assert_int_equal(container_check_sections(c, without_optional, 2, NULL), ST_OK);
    assert_int_equal(container_check_sections(c, without_required, 2, NULL), ST_UNSUPPORTED);
    container_close(c);
    buf_free(&m.bytes);
}

/* The three checksums that lead from the trailer inwards, made right again over whatever is there.
 */
static void seal(uint8_t *data, size_t bytes)
{
    uint8_t *trailer = data + bytes - TRAILER;
    uint64_t table = le_u64(trailer + 8);
    uint64_t count = le_u32(trailer + 16);

    le_put_u32(data + 28, crc32c(0, data, 28));
    if (table <= bytes && count * ENTRY <= bytes - table)
        le_put_u32(trailer + 20, crc32c(0, data + table, count * ENTRY));
    le_put_u32(trailer + 60, crc32c(0, trailer, 60));
}

static void damage_under_good_checksums_never_leads_outside(void **state)
{
    struct memory_sink m = written(600);
    size_t bytes = m.bytes.bytes;
    struct rand_seeded rand;
    unsigned opened = 0;

    (void)state;
    rand_seeded_init(&rand, seed);
    for (unsigned round = 0; round < 10000; round++) {
        uint8_t *copy = malloc(bytes);
        uint64_t edits = 1 + rand_below(&rand.source, 3);
        status st;

        assert_non_null(copy);
        memcpy(copy, m.bytes.data, bytes);
        for (uint64_t e = 0; e < edits; e++) {
            size_t tail = 3 * ENTRY + TRAILER; /* most of it where the offsets are */
            size_t at = e > 0 ? rand_below(&rand.source, bytes)
                              : bytes - 1 - rand_below(&rand.source, tail);

            copy[at] ^= (uint8_t)rand_u64(&rand.source);
        }
        seal(copy, bytes);
        st = read_everything(copy, bytes);
        opened += st == ST_OK;
        if (st != ST_OK && st != ST_CORRUPT && st != ST_UNSUPPORTED)
            fail_msg("status %s seed=%llu round=%u", status_name(st), (unsigned long long)seed,
                     round);
        free(copy);
    }
    assert_true(opened > 0); /* edits of zero: the seal itself is right */
    buf_free(&m.bytes);
}

static void newer_versions_are_unsupported(void **state)
{
    struct memory_sink m = written(10);

    (void)state;
    m.bytes.data[4] = 2;
    seal(m.bytes.data, m.bytes.bytes);
    assert_int_equal(read_everything(m.bytes.data, m.bytes.bytes), ST_UNSUPPORTED);
    buf_free(&m.bytes);
}

/* A container with a hole is never finished, whichever write it was. */
static void a_failed_write_sticks(void **state)
{
    (void)state;
    for (int64_t n = 0;; n++) {
        struct memory_sink m = memory_sink();
        uint32_t crc;
        status st;

        m.fail_at = n;
        st = write_container(&m, 300000, 0, &crc);
        buf_free(&m.bytes);
        if (st == ST_OK) {
            assert_int_equal(n, 1 + 2 + 3 + 2); /* header, units, table, trailer */
            break;
        }
        assert_int_equal(st, ST_NOSPACE);
    }
}

static void after_a_failed_write_nothing_more_is_written(void **state)
{
    struct memory_sink m = memory_sink();
    struct container_writer *w;
    uint64_t bytes;
    uint32_t crc;

    (void)state;
    m.fail_at = 1;
    assert_int_equal(container_create(&m.sink, CONTAINER_IMAGE, OWNER, &w, NULL), ST_OK);
    assert_int_equal(container_section(w, FIRST, 0, NULL), ST_OK);
    assert_int_equal(container_write(w, slice_text("x"), NULL), ST_OK);
    assert_int_equal(container_cut(w, NULL), ST_NOSPACE);
    assert_int_equal(container_write(w, slice_text("x"), NULL), ST_NOSPACE);
    assert_int_equal(container_section(w, EMPTY, 0, NULL), ST_NOSPACE);
    assert_int_equal(container_finish(w, &bytes, &crc, NULL), ST_NOSPACE);
    assert_int_equal(m.bytes.bytes, HEADER);
    container_writer_destroy(w);
    buf_free(&m.bytes);
}

static status open_and_stream(const struct memory_sink *m)
{
    struct memory_source src = memory_source(m->bytes.data, m->bytes.bytes);
    struct container_stream s = {0};
    struct container *c = NULL;
    struct slice item;
    status st = container_open(&src.source, CONTAINER_IMAGE, OWNER, &c, NULL);

    if (st == ST_OK)
        st = container_stream_open(c, LARGE, &s, NULL);
    if (st == ST_OK)
        st = container_stream_take(&s, 300000, &item, NULL);
    container_stream_close(&s);
    container_close(c);
    return st;
}

static void each_allocation_may_fail(void **state)
{
    struct memory_sink whole = written(300000);

    (void)state;
    for (int64_t n = 0;; n++) {
        struct memory_sink m = memory_sink();
        uint32_t crc;
        int64_t asked;
        status st;

        mem_test_fail_after(n);
        st = write_container(&m, 300000, 0, &crc);
        if (st == ST_OK)
            st = open_and_stream(&whole);
        asked = mem_test_count();
        mem_test_fail_after(-1);
        buf_free(&m.bytes);
        assert_int_equal(st, asked > n ? ST_NOMEM : ST_OK);
        if (asked <= n)
            break;
    }
    buf_free(&whole.bytes);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sections_come_back_unit_by_unit),
        cmocka_unit_test(a_stream_gives_items_that_run_over_units),
        cmocka_unit_test(released_bytes_are_read_and_written_again),
        cmocka_unit_test(a_cut_or_a_flipped_bit_is_corruption),
        cmocka_unit_test(swapped_units_are_corruption),
        cmocka_unit_test(a_unit_of_another_file_is_corruption),
        cmocka_unit_test(a_stranger_s_container_is_refused),
        cmocka_unit_test(unknown_sections_are_skipped_only_if_optional),
        cmocka_unit_test(damage_under_good_checksums_never_leads_outside),
        cmocka_unit_test(newer_versions_are_unsupported),
        cmocka_unit_test(a_failed_write_sticks),
        cmocka_unit_test(after_a_failed_write_nothing_more_is_written),
        cmocka_unit_test(each_allocation_may_fail),
    };

    if (argc > 1)
        seed = strtoull(argv[1], NULL, 10);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
