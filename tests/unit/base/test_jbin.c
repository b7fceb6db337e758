/* Payload blobs: what goes in comes out, and no blob that is damaged is taken or crashes anyone. */
#include "base/jbin.h"
#include "base/mem.h"
#include "json_gen.h"

#include <inttypes.h>
#include <setjmp.h>

#include <cmocka.h>

static const char sample[] =
    "{\"a\":[1,-1,1.0,-0.0,18446744073709551615,-9223372036854775808,127,128,1e300],"
    "\"text\":\"caf\\u00e9\\u0000\",\"\":{\"x\":null,\"y\":[true,false,[],{}]},"
    "\"long\":\"0123456789012345678901234567890123456789012345678901234567890123456789"
    "012345678901234567890123456789012345678901234567890123456789\"}";

static struct jdoc *doc;

static int set_up(void **state)
{
    (void)state;
    return jdoc_create(&doc, NULL) == ST_OK ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    jdoc_destroy(doc);
    return 0;
}

static void encode(struct buf *blob, const void *text, size_t bytes)
{
    struct jval root;
    struct err err;

    if (jdoc_parse(doc, slice_make(text, bytes), &root, &err) != ST_OK)
        fail_msg("%.*s: %s", (int)bytes, (const char *)text, err.text);
    buf_reset(blob);
    jbin_put(blob, root);
    assert_false(blob->failed);
}

static void expect_round_trip(const char *text, const char *back)
{
    struct buf blob;
    struct buf out;
    struct err err;

    buf_init(&blob, 1 << 20);
    buf_init(&out, 1 << 20);
    encode(&blob, text, strlen(text));
    if (jbin_check(buf_slice(&blob), &err) != ST_OK)
        fail_msg("%s: %s", text, err.text);
    jbin_print(&out, buf_slice(&blob));
    buf_put_u8(&out, 0);
    assert_string_equal((const char *)out.data, back);
    buf_free(&blob);
    buf_free(&out);
}

static void values_come_back_as_they_were_written(void **state)
{
    static const char *const cases[][2] = {
        {"null", "null"},
        {"1", "1"},
        {"1.0", "1.0"},
        {"-0", "0"},
        {"-0.0", "-0.0"},
        {"9007199254740993", "9007199254740993"},
        {"[18446744073709551615,-9223372036854775808]",
         "[18446744073709551615,-9223372036854775808]"},
        {" { \"b\" : [ ] , \"a\" : { } } ", "{\"b\":[],\"a\":{}}"},
        {"\"\\u0000\\u00e9\\/\"", "\"\\u0000\xC3\xA9/\""},
        {"{\"a\":1,\"b\":2,\"a\":3}", "{\"b\":2,\"a\":3}"},
        {"[{\"a\":{\"x\":1,\"x\":2},\"a\":{\"y\":1,\"y\":2}}]", "[{\"a\":{\"y\":2}}]"},
        {"{\"1\":1,\"2\":2,\"3\":3,\"4\":4,\"5\":5,\"6\":6,\"7\":7,\"8\":8,\"9\":9,\"1\":10,\"\":"
         "11,"
         "\"9\":12,\"\":13,\"11\":14}",
         "{\"2\":2,\"3\":3,\"4\":4,\"5\":5,\"6\":6,\"7\":7,\"8\":8,\"1\":10,\"9\":12,\"\":13,"
         "\"11\":14}"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        expect_round_trip(cases[i][0], cases[i][1]);
}

/* The bytes of docs/formats/payload.md, by hand. */
static void the_layout_is_that_of_the_page(void **state)
{
    static const uint8_t expected[] = {
        1,                                              /* version */
        0x08, 32,   0,    0,    0,                      /* object, its body */
        0x81, 'a',                                      /* "a" */
        0x07, 21,   0,    0,    0,                      /* array, its body */
        0x00, 0x01, 0x02,                               /* null, false, true */
        0x03, 0x00, 0x03, 0xAC, 0x02,                   /* 0, 300 */
        0x04, 0x00, 0x04, 0x7F,                         /* -1, -128 */
        0x05, 0,    0,    0,    0,    0, 0, 0xF8, 0xBF, /* -1.5 */
        0x80, 0x82, 0xC3, 0xA9,                         /* "": "\u00e9" */
    };
    static const char text[] = "{\"a\":[null,false,true,0,300,-1,-128,-1.5],\"\":\"\\u00e9\"}";
    struct buf blob;

    (void)state;
    buf_init(&blob, 1024);
    encode(&blob, text, strlen(text));
    assert_int_equal(blob.bytes, sizeof expected);
    assert_memory_equal(blob.data, expected, sizeof expected);
    buf_free(&blob);
}

static void generated_documents_survive_a_second_trip_unchanged(void **state)
{
    struct rand_seeded r;
    struct buf text;
    struct buf blob;
    struct buf again;

    (void)state;
    rand_seeded_init(&r, json_gen_seed());
    buf_init(&text, 64 << 20);
    buf_init(&blob, 64 << 20);
    buf_init(&again, 64 << 20);
    for (unsigned i = 0; i < 2000; i++) {
        buf_reset(&text);
        json_gen(&text, &r.source, 6);
        encode(&blob, text.data, text.bytes);
        assert_int_equal(jbin_check(buf_slice(&blob), NULL), ST_OK);
        buf_reset(&text);
        jbin_print(&text, buf_slice(&blob));
        encode(&again, text.data, text.bytes);
        if (!slice_equal(buf_slice(&blob), buf_slice(&again)))
            fail_msg("seed %" PRIu64 " document %u: %.*s", json_gen_seed(), i, (int)text.bytes,
                     (const char *)text.data);
    }
    buf_free(&text);
    buf_free(&blob);
    buf_free(&again);
}

/* On an exact copy, so that the sanitizer sees a step outside. What passes can be printed, and its
 * text is JSON. */
static bool taken_and_safe(const uint8_t *data, size_t bytes)
{
    uint8_t *copy = mem_alloc(bytes);
    struct jval root;
    struct buf out;
    bool taken;

    assert_non_null(copy);
    if (bytes > 0)
        memcpy(copy, data, bytes);
    taken = jbin_check(slice_make(copy, bytes), NULL) == ST_OK;
    buf_init(&out, 1 << 20);
    if (taken) {
        jbin_print(&out, slice_make(copy, bytes));
        assert_false(out.failed);
        assert_int_equal(jdoc_parse(doc, buf_slice(&out), &root, NULL), ST_OK);
    }
    buf_free(&out);
    mem_free(copy);
    return taken;
}

static void cut_at_every_byte_it_is_corrupt(void **state)
{
    struct buf blob;

    (void)state;
    buf_init(&blob, 4096);
    encode(&blob, sample, strlen(sample));
    assert_true(taken_and_safe(blob.data, blob.bytes));
    for (size_t bytes = 0; bytes < blob.bytes; bytes++)
        assert_false(taken_and_safe(blob.data, bytes));
    buf_put_u8(&blob, 0);
    assert_false(taken_and_safe(blob.data, blob.bytes)); /* and with a byte too many */
    buf_free(&blob);
}

static void every_flipped_bit_is_refused_or_harmless(void **state)
{
    struct buf blob;
    size_t taken = 0;

    (void)state;
    buf_init(&blob, 4096);
    encode(&blob, sample, strlen(sample));
    for (size_t bit = 0; bit < 8 * blob.bytes; bit++) {
        blob.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        taken += taken_and_safe(blob.data, blob.bytes);
        blob.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    assert_in_range(taken, 1, 8 * blob.bytes - 1); /* a letter may become another letter */
    buf_free(&blob);
}

static void random_bytes_are_refused_or_harmless(void **state)
{
    struct rand_seeded r;

    (void)state;
    rand_seeded_init(&r, json_gen_seed());
    for (unsigned i = 0; i < 50000; i++) {
        uint8_t bytes[24];
        size_t count = 1 + (size_t)rand_below(&r.source, sizeof bytes - 1);

        r.source.fill(&r.source, bytes, count);
        bytes[0] = 1;
        for (size_t at = 1; at < count; at++) /* small values reach further in */
            bytes[at] &= rand_below(&r.source, 3) == 0 ? 0xFF : 0x0F;
        (void)taken_and_safe(bytes, count);
    }
}

static void other_forms_of_a_value_are_corrupt(void **state)
{
    static const struct {
        uint8_t bytes[16];
        size_t count;
        const char *says;
    } cases[] = {
        {{0}, 0, "empty"},
        {{2, 0}, 2, "version 2"},
        {{1}, 1, "a value is missing"},
        {{1, 0, 0}, 3, "1 bytes behind its value"},
        {{1, 0x09}, 2, "unknown tag"},
        {{1, 0x7F}, 2, "unknown tag"},
        {{1, 0x03, 0x80, 0x00}, 4, "shortest form"},
        {{1, 0x03, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x02}, 12, "over 64 bits"},
        {{1, 0x04, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x01}, 12, "over 64 bits"},
        {{1, 0x05, 0, 0, 0, 0, 0, 0, 0xF0, 0x7F}, 10, "not finite"},
        {{1, 0x05, 0, 0, 0, 0, 0, 0, 0xF8, 0xFF}, 10, "not finite"},
        {{1, 0x06, 0x01, 'a'}, 4, "shortest form"},
        {{1, 0x81, 0xFF}, 3, "not UTF-8"},
        {{1, 0x07, 5, 0, 0, 0, 0}, 7, "cut short"},
        {{1, 0x07, 2, 0, 0, 0, 0x03, 0x80, 0x01}, 9, "cut short"},
        {{1, 0x08, 2, 0, 0, 0, 0x00, 0x00}, 8, "a key is not a string"},
        {{1, 0x08, 2, 0, 0, 0, 0x81, 'a'}, 8, "a value is missing"},
    };
    struct err err;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        assert_int_equal(jbin_check(slice_make(cases[i].bytes, cases[i].count), &err), ST_CORRUPT);
        if (strstr(err.text, cases[i].says) == NULL)
            fail_msg("case %zu: %s", i, err.text);
    }
}

/* Arrays in arrays, by hand: the parser would not make the deep one. */
static void put_nested(struct buf *b, unsigned levels)
{
    buf_reset(b);
    buf_put_u8(b, 1);
    for (unsigned left = levels; left > 0; left--) {
        buf_put_u8(b, 0x07);
        buf_put_u32(b, 5 * (left - 1));
    }
}

static void depth_ends_where_the_format_ends(void **state)
{
    struct buf b;

    (void)state;
    buf_init(&b, 8 << 20);
    put_nested(&b, JBIN_DEPTH_MAX);
    assert_true(taken_and_safe(b.data, b.bytes));
    put_nested(&b, JBIN_DEPTH_MAX + 1);
    assert_false(taken_and_safe(b.data, b.bytes));
    put_nested(&b, 1000000);
    assert_false(taken_and_safe(b.data, b.bytes));
    buf_free(&b);
}

/* What a blob cannot hold is not put, and told apart from memory that is out. */
static void what_is_nested_too_deep_is_not_put(void **state)
{
    char text[4 * (JBIN_DEPTH_MAX + 2)];
    struct jval v;
    struct buf b;

    (void)state;
    buf_init(&b, 1 << 20);
    for (size_t levels = JBIN_DEPTH_MAX; levels <= JBIN_DEPTH_MAX + 1; levels++) {
        bool fits = levels == JBIN_DEPTH_MAX;

        memset(text, '[', levels);
        memset(text + levels, ']', levels);
        assert_int_equal(jdoc_parse(doc, slice_make(text, 2 * levels), &v, NULL), ST_OK);
        buf_reset(&b);
        jbin_put(&b, v);
        assert_int_equal(b.failed, !fits);
        assert_int_equal(jbin_too_deep(v), !fits);
        if (fits)
            assert_int_equal(jbin_check(buf_slice(&b), NULL), ST_OK);
    }
    buf_free(&b);
}

/* Many members, all doubled: sorted, not each held against all. */
static void a_flood_of_doubled_keys_is_quick(void **state)
{
    enum { KEYS = 50000 };
    struct buf text;
    struct buf blob;
    struct buf out;
    struct jval root;

    (void)state;
    buf_init(&text, 16 << 20);
    buf_init(&blob, 16 << 20);
    buf_init(&out, 16 << 20);
    buf_put_text(&text, "{");
    for (unsigned i = 0; i < 2 * KEYS; i++)
        buf_printf(&text, "%s\"k%u\":%u", i == 0 ? "" : ",", i % KEYS, i);
    buf_put_text(&text, "}");
    encode(&blob, text.data, text.bytes);
    jbin_print(&out, buf_slice(&blob));
    assert_int_equal(jdoc_parse(doc, buf_slice(&out), &root, NULL), ST_OK);
    assert_int_equal(jval_count(root), KEYS);
    for (struct jiter it = jval_iter(root); jiter_next(&it);) {
        uint64_t v = 0;

        assert_true(jval_u64(it.value, &v));
        assert_true(v >= KEYS);
    }
    buf_free(&text);
    buf_free(&blob);
    buf_free(&out);
}

static void each_allocation_may_fail(void **state)
{
    static const char text[] = "{\"1\":1,\"2\":2,\"3\":3,\"4\":4,\"5\":5,\"6\":6,\"7\":7,\"8\":8,"
                               "\"9\":{\"1\":1,\"1\":[1,2,3],\"2\":\"x\"}}";
    struct jval root;
    int64_t n = 0;
    bool reached = true;

    (void)state;
    assert_int_equal(jdoc_parse(doc, slice_text(text), &root, NULL), ST_OK);
    for (; reached; n++) {
        struct buf blob;

        buf_init(&blob, 1 << 20);
        mem_test_fail_after(n);
        jbin_put(&blob, root);
        reached = mem_test_count() > n;
        mem_test_fail_after(-1);
        assert_int_equal(blob.failed, reached);
        buf_free(&blob);
    }
    assert_true(n > 3);
}

/* Each member as a walk meets it first; on copies cut at every byte nothing is found behind them.
 */
static void a_member_is_found_as_a_walk_finds_it(void **state)
{
    struct jbin_value root, walked, found;
    struct slice key, other;
    struct buf blob;

    (void)state;
    buf_init(&blob, 1 << 20);
    encode(&blob, sample, sizeof sample - 1);
    root = jbin_root(buf_slice(&blob));
    for (struct rd r = rd_make(root.body); jbin_member(&r, &key, &walked);) {
        assert_true(jbin_find(root.body, key, &found));
        assert_true(found.bytes.data == walked.bytes.data);
        assert_int_equal(found.bytes.bytes, walked.bytes.bytes);
        assert_int_equal(found.type, walked.type);
        for (size_t bytes = 0; bytes < root.body.bytes; bytes++) {
            uint8_t *copy = mem_alloc(bytes + 1);
            struct rd cut = rd_make(slice_make(copy, bytes));
            bool there = false;

            memcpy(copy, root.body.data, bytes);
            while (!there && jbin_member(&cut, &other, &walked))
                there = slice_equal(other, key);
            assert_int_equal(jbin_find(slice_make(copy, bytes), key, &found), there);
            mem_free(copy);
        }
    }
    assert_false(jbin_find(root.body, slice_text("b"), &found));
    assert_false(jbin_find(root.body, slice_text("aa"), &found));
    assert_false(jbin_find((struct slice){0}, slice_text("a"), &found));
    buf_free(&blob);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_come_back_as_they_were_written),
        cmocka_unit_test(the_layout_is_that_of_the_page),
        cmocka_unit_test(a_member_is_found_as_a_walk_finds_it),
        cmocka_unit_test(generated_documents_survive_a_second_trip_unchanged),
        cmocka_unit_test(cut_at_every_byte_it_is_corrupt),
        cmocka_unit_test(every_flipped_bit_is_refused_or_harmless),
        cmocka_unit_test(random_bytes_are_refused_or_harmless),
        cmocka_unit_test(other_forms_of_a_value_are_corrupt),
        cmocka_unit_test(depth_ends_where_the_format_ends),
        cmocka_unit_test(what_is_nested_too_deep_is_not_put),
        cmocka_unit_test(a_flood_of_doubled_keys_is_quick),
        cmocka_unit_test(each_allocation_may_fail),
    };

    json_gen_seed_init(argc, argv);
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
