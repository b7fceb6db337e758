/* What is written reads back to the same value, in as few digits as that takes. */
#include "base/json.h"
#include "base/json_internal.h"
#include "base/mem.h"
#include "json_gen.h"

#include <inttypes.h>
#include <math.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#ifdef __SANITIZE_ADDRESS__
enum { PATTERNS = 100000 };
#else
enum { PATTERNS = 1000000 };
#endif

static const char *text_of(struct buf *b)
{
    buf_put_u8(b, 0);
    assert_false(b->failed);
    return (const char *)b->data;
}

static void check_f32(struct buf *b, uint32_t bits)
{
    float v;
    float back;
    double wide;
    char shorter[64];
    const char *text;
    int digits = 0;

    memcpy(&v, &bits, sizeof v);
    buf_reset(b);
    json_put_f32(b, v);
    text = text_of(b);
    if (!isfinite(v)) {
        assert_string_equal(text, "null");
        return;
    }
    back = strtof(text, NULL);
    wide = strtod(text, NULL);
    if (memcmp(&back, &v, sizeof v) != 0 || (float)wide != v)
        fail_msg("float 0x%08" PRIx32 " is written as %s", bits, text);
    for (const char *p = text; *p != '\0' && *p != 'e'; p++)
        digits += *p >= '0' && *p <= '9';
    /* With one digit less it would be another number. A fixed form may have zeros to fill. */
    if (strchr(text, 'e') == NULL || digits < 2)
        return;
    (void)snprintf(shorter, sizeof shorter, "%.*e", digits - 2, (double)v);
    back = strtof(shorter, NULL);
    if (memcmp(&back, &v, sizeof v) == 0 && (float)strtod(shorter, NULL) == v)
        fail_msg("float 0x%08" PRIx32 " is written as %s, but %s does", bits, text, shorter);
}

static void check_f64(struct buf *b, uint64_t bits)
{
    double v;
    double back;
    const char *text;

    memcpy(&v, &bits, sizeof v);
    buf_reset(b);
    json_put_f64(b, v);
    text = text_of(b);
    if (!isfinite(v)) {
        assert_string_equal(text, "null");
        return;
    }
    back = strtod(text, NULL);
    if (memcmp(&back, &v, sizeof v) != 0 || strpbrk(text, ".e") == NULL)
        fail_msg("double 0x%016" PRIx64 " is written as %s", bits, text);
}

static void floats_of_any_bits_read_back(void **state)
{
    struct rand_seeded r;
    struct buf b;

    (void)state;
    rand_seeded_init(&r, json_gen_seed());
    buf_init(&b, 1024);
    for (unsigned i = 0; i < PATTERNS; i++) {
        check_f32(&b, (uint32_t)rand_u64(&r.source));
        check_f64(&b, rand_u64(&r.source));
    }
    for (uint32_t exponent = 0; exponent < 256;
         exponent++) /* each power of two and its neighbours */
        for (uint32_t near = 0; near < 3; near++) {
            check_f32(&b, (exponent << 23) + near - 1);
            check_f32(&b, (1u << 31 | exponent << 23) + near - 1);
        }
    check_f32(&b, 0x15AE43FD);
    check_f32(&b, 0x95AE43FD);
    buf_free(&b);
}

/* All 2^32 floats, about ten minutes: only when asked for. */
static void every_float_reads_back(void **state)
{
    (void)state;
    if (getenv("TIERVEC_TEST_ALL_FLOATS") == NULL)
        skip();
    for (uint64_t bits = 0; bits <= UINT32_MAX; bits++) {
        uint32_t narrow = (uint32_t)bits;
        char text[JSON_CHARS_MAX + 1];
        float v;

        memcpy(&v, &narrow, sizeof v);
        if (!isfinite(v))
            continue;
        text[json_chars_f32(text, v)] = '\0';
        if ((float)strtod(text, NULL) != v || strtof(text, NULL) != v)
            fail_msg("float 0x%08" PRIx32 " is written as %s", narrow, text);
    }
}

static void known_numbers_look_like_this(void **state)
{
    static const struct {
        double v;
        const char *f32;
        const char *f64;
    } cases[] = {
        {0, "0", "0.0"},          {-0.0, "-0", "-0.0"},       {1, "1", "1.0"},
        {0.1, "0.1", "0.1"},      {-2.5, "-2.5", "-2.5"},     {16777216, "16777216", "16777216.0"},
        {1e21, "1e+21", "1e+21"}, {1e-7, "1e-07", "1e-07"},   {3.0e8, "3e+08", "3e+08"},
        {NAN, "null", "null"},    {INFINITY, "null", "null"}, {-INFINITY, "null", "null"},
    };
    struct buf b;

    (void)state;
    buf_init(&b, 1024);
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        buf_reset(&b);
        json_put_f32(&b, (float)cases[i].v);
        assert_string_equal(text_of(&b), cases[i].f32);
        buf_reset(&b);
        json_put_f64(&b, cases[i].v);
        assert_string_equal(text_of(&b), cases[i].f64);
    }
    buf_free(&b);
}

static void integers_are_written_to_the_last_digit(void **state)
{
    struct buf b;

    (void)state;
    buf_init(&b, 1024);
    json_put_u64(&b, 0);
    buf_put_text(&b, " ");
    json_put_u64(&b, UINT64_MAX);
    buf_put_text(&b, " ");
    json_put_i64(&b, INT64_MIN);
    buf_put_text(&b, " ");
    json_put_i64(&b, INT64_MAX);
    buf_put_text(&b, " ");
    json_put_i64(&b, -7);
    assert_string_equal(text_of(&b), "0 18446744073709551615 -9223372036854775808 "
                                     "9223372036854775807 -7");
    buf_free(&b);
}

static void strings_are_escaped_and_bad_bytes_replaced(void **state)
{
    static const char nul[] = "a\0b";
    static const struct {
        struct slice in;
        const char *out;
    } cases[] = {
        {{(const uint8_t *)"", 0}, "\"\""},
        {{(const uint8_t *)nul, 3}, "\"a\\u0000b\""},
        {{(const uint8_t *)"\"\\/\n\r\t\x1F\x7F", 8}, "\"\\\"\\\\/\\n\\r\\t\\u001f\\u007f\""},
        {{(const uint8_t *)"caf\xC3\xA9", 5}, "\"caf\xC3\xA9\""},
        {{(const uint8_t *)"\xC3", 1}, "\"\xEF\xBF\xBD\""},
        {{(const uint8_t *)"\xED\xA0\x80x", 4}, "\"\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBDx\""},
        {{(const uint8_t *)"\xF0\x9F\x98\x80\xFF", 5}, "\"\xF0\x9F\x98\x80\xEF\xBF\xBD\""},
    };
    struct buf b;

    (void)state;
    buf_init(&b, 1024);
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        buf_reset(&b);
        json_put_string(&b, cases[i].in);
        assert_string_equal(text_of(&b), cases[i].out);
    }
    buf_free(&b);
}

/* Random bytes of every length around the steps of the loop come out as a string that parses. */
static void any_bytes_become_a_string_that_parses(void **state)
{
    struct rand_seeded r;
    struct jdoc *doc;
    struct buf b;

    (void)state;
    rand_seeded_init(&r, json_gen_seed());
    buf_init(&b, 4096);
    assert_int_equal(jdoc_create(&doc, NULL), ST_OK);
    for (unsigned i = 0; i < 20000; i++) {
        uint8_t bytes[40];
        size_t count = (size_t)rand_below(&r.source, sizeof bytes);
        struct jval root;

        r.source.fill(&r.source, bytes, count);
        buf_reset(&b);
        json_put_string(&b, slice_make(bytes, count));
        assert_int_equal(jdoc_parse(doc, buf_slice(&b), &root, NULL), ST_OK);
        assert_int_equal(jval_type(root), J_STRING);
    }
    jdoc_destroy(doc);
    buf_free(&b);
}

static void vectors_read_back_as_the_same_floats(void **state)
{
    enum { COUNT = 200 }; /* several pieces, the last one short */
    struct rand_seeded r;
    struct jdoc *doc;
    struct buf b;

    (void)state;
    rand_seeded_init(&r, json_gen_seed());
    buf_init(&b, 64 << 10);
    assert_int_equal(jdoc_create(&doc, NULL), ST_OK);
    for (size_t count = 0; count <= COUNT; count++) {
        float in[COUNT];
        float out[COUNT];
        size_t n;
        struct jval root;

        for (size_t i = 0; i < count; i++)
            in[i] = (float)((double)(int64_t)rand_u64(&r.source) / 1e19);
        buf_reset(&b);
        json_put_floats(&b, in, count);
        assert_int_equal(jdoc_parse(doc, buf_slice(&b), &root, NULL), ST_OK);
        assert_int_equal(jval_floats(root, out, COUNT, &n, NULL), ST_OK);
        assert_int_equal(n, count);
        assert_memory_equal(in, out, count * sizeof in[0]);
    }
    jdoc_destroy(doc);
    buf_free(&b);
}

static void a_full_buffer_fails_and_keeps_what_it_had(void **state)
{
    const float v[3] = {1, 0.5f, -1e30f}; /* [1,0.5,-1e+30] */

    (void)state;
    for (size_t room = 0; room <= 14; room++) {
        struct buf b;

        buf_init(&b, room);
        json_put_floats(&b, v, 3);
        assert_int_equal(b.failed, room < 14);
        assert_true(b.bytes <= room);
        buf_free(&b);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(floats_of_any_bits_read_back),
        cmocka_unit_test(every_float_reads_back),
        cmocka_unit_test(known_numbers_look_like_this),
        cmocka_unit_test(integers_are_written_to_the_last_digit),
        cmocka_unit_test(strings_are_escaped_and_bad_bytes_replaced),
        cmocka_unit_test(any_bytes_become_a_string_that_parses),
        cmocka_unit_test(vectors_read_back_as_the_same_floats),
        cmocka_unit_test(a_full_buffer_fails_and_keeps_what_it_had),
    };

    json_gen_seed_init(argc, argv);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
