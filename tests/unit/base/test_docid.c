#include "base/docid.h"

#include "base/mem.h"

#include <setjmp.h>
#include <stdlib.h>

#include <cmocka.h>

static struct docid id_of(const char *text)
{
    struct docid id;
    struct err err;

    if (docid_parse(text, strlen(text), true, &id, &err) != ST_OK)
        fail_msg("%s: %s", text, err.text);
    return id;
}

static char longest[DOCID_BYTES_MAX + 1]; /* of the letter z */

/* In the order ids have. */
static const char *const in_order[] = {
    "0",
    "1",
    "9",
    "10",
    "255",
    "256",
    "9223372036854775808",
    "18446744073709551615",
    "00000000-0000-0000-0000-000000000000",
    "00000000-0000-0000-0000-000000000001",
    "01000000-0000-0000-0000-000000000000",
    "ffffffff-ffff-ffff-ffff-ffffffffffff",
    "007",
    "A",
    "AA",
    "B",
    "a",
    "ab",
    "abc",
    "b",
    longest,
    "\u00e9",
};

static void ids_are_ordered_by_kind_and_then_by_value(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(in_order); i++)
        for (size_t j = 0; j < COUNT_OF(in_order); j++) {
            struct docid a = id_of(in_order[i]);
            struct docid b = id_of(in_order[j]);
            int order = docid_compare(&a, &b);

            assert_int_equal((order > 0) - (order < 0), (i > j) - (i < j));
            assert_int_equal(docid_equal(&a, &b), i == j);
            assert_int_equal(docid_hash(&a) == docid_hash(&b), i == j);
        }
}

static void each_id_has_its_kind_and_its_text(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(in_order); i++) {
        struct docid id = id_of(in_order[i]);
        char text[DOCID_TEXT_BYTES];

        assert_int_equal(id.kind, i < 8 ? DOCID_U64 : i < 12 ? DOCID_UUID : DOCID_BYTES);
        assert_int_equal(docid_format(&id, text), strlen(in_order[i]));
        assert_string_equal(text, in_order[i]);
    }
    assert_true(id_of("18446744073709551615").u64 == UINT64_MAX);
    assert_true(docid_u64(7).u64 == 7);
}

static void all_spellings_of_a_uuid_are_one_id(void **state)
{
    struct docid a = id_of("01234567-89ab-cdef-fedc-ba9876543210");
    struct docid b = id_of("URN:UUID:0123456789ABCDEFFEDCBA9876543210");

    (void)state;
    assert_true(docid_equal(&a, &b));
}

static void what_is_no_id_is_refused(void **state)
{
    const struct {
        const char *text;
        bool with_strings; /* an id there */
    } cases[] = {
        {"", false},
        {"18446744073709551616", true},
        {"-1", true},
        {"+1", true},
        {" 1", true},
        {"1.0", true},
        {"007", true},
        {"x", true},
        {"01234567-89ab-cdef-fedc-ba987654321", true},
        {"\xFF", false},
        {"a\xC3", false},
        {"\xED\xA0\x80", false}, /* a surrogate */
    };
    struct docid id = docid_u64(99);
    char text[DOCID_BYTES_MAX + 2];

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        size_t bytes = strlen(cases[i].text);
        struct err err = {0};

        assert_int_equal(docid_parse(cases[i].text, bytes, false, &id, &err), ST_INVALID);
        assert_true(strlen(err.text) > 0);
        assert_true(id.kind == DOCID_U64 && id.u64 == 99);
        if (!cases[i].with_strings) {
            assert_int_equal(docid_parse(cases[i].text, bytes, true, &id, &err), ST_INVALID);
            continue;
        }
        assert_int_equal(id_of(cases[i].text).kind, DOCID_BYTES);
    }
    memset(text, 'x', sizeof text);
    assert_int_equal(docid_parse(text, DOCID_BYTES_MAX + 1, true, &id, NULL), ST_INVALID);
    assert_int_equal(docid_parse(text, DOCID_BYTES_MAX, true, &id, NULL), ST_OK);
    assert_int_equal(docid_parse("a\0b", 3, true, &id, NULL), ST_OK);
    assert_int_equal(id.bytes.bytes, 3);
}

/* The encoding is copied to the heap at its exact size, so that a read too far is caught. */
static struct docid read_exactly(const uint8_t *data, size_t bytes, uint8_t **copy, struct rd *r)
{
    *copy = mem_alloc(bytes);
    assert_non_null(*copy);
    memcpy(*copy, data, bytes);
    *r = rd_make(slice_make(*copy, bytes));
    return rd_docid(r);
}

static void what_is_written_is_read_back_and_no_less(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(in_order); i++) {
        struct docid id = id_of(in_order[i]);
        struct docid back;
        struct buf b;
        struct rd r;
        uint8_t *copy;

        buf_init(&b, 600);
        buf_put_docid(&b, &id);
        back = read_exactly(b.data, b.bytes, &copy, &r);
        assert_false(r.bad);
        assert_int_equal(rd_left(&r), 0);
        assert_true(docid_equal(&id, &back));
        mem_free(copy);
        for (size_t cut = 0; cut < b.bytes; cut++) {
            (void)read_exactly(b.data, cut, &copy, &r);
            assert_true(r.bad);
            mem_free(copy);
        }
        buf_free(&b);
    }
}

static void encodings_are_as_the_format_says(void **state)
{
    const uint8_t number[] = {1, 8, 7, 6, 5, 4, 3, 2, 1};
    const uint8_t text[] = {3, 2, 'h', 'i'};
    struct docid id = docid_u64(0x0102030405060708);
    struct buf b;

    (void)state;
    buf_init(&b, 100);
    buf_put_docid(&b, &id);
    assert_true(slice_equal(buf_slice(&b), slice_make(number, sizeof number)));
    buf_reset(&b);
    id = id_of("hi");
    buf_put_docid(&b, &id);
    assert_true(slice_equal(buf_slice(&b), slice_make(text, sizeof text)));
    buf_reset(&b);
    id = id_of("01234567-89ab-cdef-fedc-ba9876543210");
    buf_put_docid(&b, &id);
    assert_int_equal(b.bytes, 17);
    assert_int_equal(b.data[0], 2);
    assert_memory_equal(b.data + 1, id.uuid, 16);
    buf_free(&b);
}

static bool reads_as_id(const uint8_t *data, size_t bytes)
{
    uint8_t *copy;
    struct rd r;
    struct docid id = read_exactly(data, bytes, &copy, &r);

    /* Whatever came out can be used. */
    (void)docid_hash(&id);
    assert_true(docid_equal(&id, &id));
    mem_free(copy);
    return !r.bad;
}

static void kinds_and_lengths_out_of_range_are_bad(void **state)
{
    uint8_t raw[600] = {DOCID_BYTES};

    (void)state;
    for (unsigned kind = 0; kind < 256; kind++) {
        raw[0] = (uint8_t)kind;
        raw[1] = 1;
        assert_int_equal(reads_as_id(raw, sizeof raw), kind >= 1 && kind <= 3);
    }
    raw[0] = DOCID_BYTES;
    raw[1] = 0;
    assert_false(reads_as_id(raw, sizeof raw));
    raw[1] = 0x80;
    raw[2] = 0x04; /* 512 */
    assert_true(reads_as_id(raw, sizeof raw));
    raw[1] = 0x81;
    assert_false(reads_as_id(raw, sizeof raw));
    memset(raw + 1, 0xFF, 9);
    raw[10] = 1; /* 2^64 - 1 */
    assert_false(reads_as_id(raw, sizeof raw));
}

static void no_flipped_bit_leads_out_of_the_bytes(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(in_order); i++) {
        struct docid id = id_of(in_order[i]);
        struct buf b;

        buf_init(&b, 600);
        buf_put_docid(&b, &id);
        for (size_t bit = 0; bit < b.bytes * 8; bit++) {
            b.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
            (void)reads_as_id(b.data, b.bytes);
            b.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        }
        buf_free(&b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ids_are_ordered_by_kind_and_then_by_value),
        cmocka_unit_test(each_id_has_its_kind_and_its_text),
        cmocka_unit_test(all_spellings_of_a_uuid_are_one_id),
        cmocka_unit_test(what_is_no_id_is_refused),
        cmocka_unit_test(what_is_written_is_read_back_and_no_less),
        cmocka_unit_test(encodings_are_as_the_format_says),
        cmocka_unit_test(kinds_and_lengths_out_of_range_are_bad),
        cmocka_unit_test(no_flipped_bit_leads_out_of_the_bytes),
    };

    memset(longest, 'z', DOCID_BYTES_MAX);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
