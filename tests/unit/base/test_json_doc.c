/* Request bodies: which kind each number has, what is refused and in which words, and that the
 * parser agrees with another one. */
#include "base/json.h"
#include "base/mem.h"
#include "json_gen.h"

#include <inttypes.h>
#include <math.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#include <cjson/cJSON.h>
#include <cmocka.h>

static struct jdoc *doc;
static struct err err;

static status parse_bytes(const void *text, size_t bytes, struct jval *root)
{
    /* An exact copy on the heap: a read past its end is seen by the sanitizer. */
    uint8_t *copy = mem_alloc(bytes);
    status st;

    assert_non_null(copy);
    if (bytes > 0)
        memcpy(copy, text, bytes);
    st = jdoc_parse(doc, slice_make(copy, bytes), root, &err);
    mem_free(copy);
    return st;
}

static struct jval parse_ok(const char *text)
{
    struct jval root = {0};

    if (parse_bytes(text, strlen(text), &root) != ST_OK)
        fail_msg("%s: %s", text, err.text);
    return root;
}

static int set_up(void **state)
{
    (void)state;
    return jdoc_create(&doc, &err) == ST_OK ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    jdoc_destroy(doc);
    doc = NULL;
    return 0;
}

static void integers_are_exact_and_numbers_keep_their_kind(void **state)
{
    static const struct {
        const char *text;
        enum jtype type;
        uint64_t u64;
        int64_t i64;
        bool fits_i64;
        double f64;
    } cases[] = {
        {"0", J_U64, 0, 0, true, 0},
        {"-0", J_U64, 0, 0, true, 0},
        {"1", J_U64, 1, 1, true, 1},
        {"-1", J_I64, 0, -1, true, -1},
        {"9007199254740993", J_U64, 9007199254740993, 9007199254740993, true, 9007199254740992},
        {"9223372036854775807", J_U64, INT64_MAX, INT64_MAX, true, 9223372036854775807.0},
        {"9223372036854775808", J_U64, 9223372036854775808u, 0, false, 9223372036854775808.0},
        {"18446744073709551615", J_U64, UINT64_MAX, 0, false, 18446744073709551616.0},
        {"-9223372036854775808", J_I64, 0, INT64_MIN, true, -9223372036854775808.0},
        {"1.0", J_F64, 0, 0, false, 1},
        {"1e0", J_F64, 0, 0, false, 1},
        {"-0.0", J_F64, 0, 0, false, -0.0},
        {"18446744073709551616.0", J_F64, 0, 0, false, 18446744073709551616.0},
        {"1e-400", J_F64, 0, 0, false, 0},
        {"5e-324", J_F64, 0, 0, false, 5e-324},
        {"1.7976931348623157e308", J_F64, 0, 0, false, 1.7976931348623157e308},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct jval v = parse_ok(cases[i].text);
        uint64_t u = 7;
        int64_t s = 7;
        double f = 7;

        if (jval_type(v) != cases[i].type)
            fail_msg("%s is read as %s", cases[i].text, jtype_name(jval_type(v)));
        assert_int_equal(jval_u64(v, &u), cases[i].type == J_U64);
        assert_true(u == (cases[i].type == J_U64 ? cases[i].u64 : 7));
        assert_int_equal(jval_i64(v, &s), cases[i].fits_i64);
        assert_true(s == (cases[i].fits_i64 ? cases[i].i64 : 7));
        assert_true(jval_f64(v, &f));
        if (f != cases[i].f64 || signbit(f) != signbit(cases[i].f64))
            fail_msg("%s is read as %a", cases[i].text, f);
    }
}

static void other_kinds_are_no_numbers_and_have_names(void **state)
{
    static const struct {
        const char *text;
        enum jtype type;
        const char *name;
    } cases[] = {
        {"null", J_NULL, "null"},        {"false", J_FALSE, "boolean"}, {"true", J_TRUE, "boolean"},
        {"\"1\"", J_STRING, "string"},   {"[1]", J_ARRAY, "array"},     {"{}", J_OBJECT, "object"},
        {" \r\n\t3 ", J_U64, "integer"}, {"-3", J_I64, "integer"},      {"3e0", J_F64, "number"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct jval v = parse_ok(cases[i].text);
        double f;

        assert_int_equal(jval_type(v), cases[i].type);
        assert_string_equal(jtype_name(jval_type(v)), cases[i].name);
        assert_int_equal(jval_f64(v, &f), i >= 6);
        assert_int_equal(jval_bool(v), i == 2);
        assert_int_equal(jval_count(v), i == 4);
        assert_int_equal(jval_string(v).bytes, i == 3);
    }
}

static void malformed_text_is_refused_with_what_and_where(void **state)
{
    static const struct {
        const char *text;
        const char *says;
    } cases[] = {
        {"", "at byte 0: the text is empty"},
        {" \n ", "at byte 3: the text is empty"},
        {"18446744073709551616", "at byte 0: an integer is out of range (beyond 64 bits)"},
        {"[1,-9223372036854775809]", "at byte 3: an integer is out of range (beyond 64 bits)"},
        {"1e400", "at byte 0: a number is out of range"},
        {"1.797693134862315808e308", "at byte 0: a number is out of range"},
        {"-0.00018e312", "at byte 0: a number is out of range"},
        {"[01]", "at byte 1: a number with a leading zero"},
        {"-", "at byte 0: a minus sign without a number"},
        {"[1.]", "at byte 1: a number has no digits after its point"},
        {"[1e+]", "at byte 4: a number's exponent has no digits"},
        {"[+1]", "at byte 1: expected a value"},
        {"NaN", "at byte 0: expected a value"},
        {"[nul]", "at byte 1: expected a value"},
        {"[1,]", "at byte 3: expected a value"},
        {"[,1]", "at byte 1: expected a value"},
        {"[1 2]", "at byte 3: expected ',' or ']'"},
        {"[1}", "at byte 2: expected ',' or ']'"},
        {"{\"a\":1]", "at byte 6: expected ',' or '}'"},
        {"{a:1}", "at byte 1: expected a key in quotes"},
        {"{\"a\":1,}", "at byte 7: expected a key in quotes"},
        {"{\"a\" 1}", "at byte 5: expected ':' after a key"},
        {"{\"a\"", "at byte 4: the text ends in an object that is not closed"},
        {"[[1]", "at byte 4: the text ends in an array that is not closed"},
        {"{\"a\":\"b", "at byte 5: a string is not closed"},
        {"\"\\", "at byte 1: a string is not closed"},
        {"\"\\x\"", "at byte 1: unknown escape in a string"},
        {"\"\\u12g4\"", "at byte 1: \\u needs four hexadecimal digits"},
        {"\"a\\ud800\"", "at byte 2: a high surrogate escape without its low one"},
        {"\"\\ud800\\u0041\"", "at byte 1: a high surrogate escape without its low one"},
        {"\"\\udc00\"", "at byte 1: a low surrogate escape without its high one"},
        {"\"a\nb\"", "at byte 2: a control character in a string must be escaped"},
        {"\"\xC3(\"", "at byte 1: invalid UTF-8"},
        {"\"\xED\xA0\x80\"", "at byte 1: invalid UTF-8"},
        {"[1] x", "at byte 4: text after the end of the document"},
        {"{}{}", "at byte 2: text after the end of the document"},
        {"\xEF\xBB\xBF[1]", "at byte 0: expected a value"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct jval root;

        if (parse_bytes(cases[i].text, strlen(cases[i].text), &root) != ST_INVALID)
            fail_msg("%s is taken", cases[i].text);
        if (strstr(err.text, cases[i].says) == NULL)
            fail_msg("%s: %s", cases[i].text, err.text);
    }
}

static void numbers_at_the_edge_of_a_double_are_taken(void **state)
{
    static const char *const texts[] = {"1.7976931348623157e308", "0.17976931348623157e309",
                                        "17976931348623157e292",  "0e999999999999999999999",
                                        "0.0000e99999",           "1.7976931348623158079e308"};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        double f = 0;

        assert_true(jval_f64(parse_ok(texts[i]), &f));
        assert_true(isfinite(f));
    }
}

static void nested(struct buf *b, const char *open, const char *inner, const char *close,
                   unsigned levels)
{
    buf_reset(b);
    for (unsigned i = 0; i < levels; i++)
        buf_put_text(b, open);
    buf_put_text(b, inner);
    for (unsigned i = 0; i < levels; i++)
        buf_put_text(b, close);
    assert_false(b->failed);
}

static void depth_ends_at_512_levels(void **state)
{
    static const char *const shapes[][3] = {
        {"[", "1", "]"}, {"[", "[]", "]"}, {"{\"a\":", "1", "}"}, {"{\"a\":", "{}", "}"}};
    struct jval root;
    struct buf b;

    (void)state;
    buf_init(&b, 8 << 20);
    for (size_t i = 0; i < COUNT_OF(shapes); i++) {
        nested(&b, shapes[i][0], shapes[i][1], shapes[i][2], JSON_DEPTH_MAX - 1);
        assert_int_equal(parse_bytes(b.data, b.bytes, &root), ST_OK);
        nested(&b, shapes[i][0], shapes[i][1], shapes[i][2], JSON_DEPTH_MAX);
        assert_int_equal(parse_bytes(b.data, b.bytes, &root), ST_INVALID);
        assert_non_null(strstr(err.text, "more than 512 levels deep"));
        nested(&b, shapes[i][0], "1", "", 300000);
        assert_int_equal(parse_bytes(b.data, b.bytes, &root), ST_INVALID);
    }
    buf_free(&b);
}

static void cut_at_every_byte_it_is_refused(void **state)
{
    static const char sample[] =
        "{\"vectors\":[[0.25,-1e-3,7],[]],\"ids\":[\"a\\u00e9\\ud83d\\ude00\",null,true],"
        "\"deep\":{\"x\":{\"\":[false,{}]}},\"n\":18446744073709551615}";
    struct jval root;

    (void)state;
    for (size_t bytes = 0; bytes < strlen(sample); bytes++)
        assert_int_equal(parse_bytes(sample, bytes, &root), ST_INVALID);
    (void)parse_ok(sample);
}

static void strings_are_unescaped_and_may_hold_nul(void **state)
{
    struct slice s = jval_string(parse_ok("\"a\\u0000b\\n\\u00e9\\ud83d\\ude00\\/\""));

    (void)state;
    assert_int_equal(s.bytes, 11);
    assert_memory_equal(s.data, "a\0b\n\xC3\xA9\xF0\x9F\x98\x80/", 11);
}

static void of_doubled_keys_the_last_is_found(void **state)
{
    struct jval root = parse_ok("{\"a\":1,\"b\":null,\"a\":{\"a\":2},\"a\":3}");
    struct jval v;
    uint64_t u = 0;

    (void)state;
    assert_int_equal(jval_count(root), 4);
    assert_true(jval_member(root, "a", &v));
    assert_true(jval_u64(v, &u));
    assert_int_equal(u, 3);
    assert_true(jval_member(root, "b", &v));
    assert_int_equal(jval_type(v), J_NULL);
    assert_false(jval_member(root, "c", &v));
    assert_false(jval_member(v, "a", &v));
    assert_false(jval_member(parse_ok("[1]"), "a", &v));
}

static void floats_go_into_a_buffer(void **state)
{
    struct jval v = parse_ok("[1, -2.5, 1e-50, 18446744073709551615, -3, 3.4028235e38]");
    float out[7] = {0};
    size_t count = 0;

    (void)state;
    out[6] = 9;
    assert_int_equal(jval_floats(v, out, 6, &count, &err), ST_OK);
    assert_int_equal(count, 6);
    assert_true(out[0] == 1 && out[1] == -2.5f && out[2] == 0 && out[3] == 18446744073709551616.0f);
    assert_true(out[4] == -3 && out[5] == 3.4028235e38f && out[6] == 9);
    assert_int_equal(jval_floats(v, out, 5, &count, &err), ST_INVALID);
    assert_int_equal(count, 6);
    assert_string_equal(err.text, "an array of 6 numbers, at most 5 are expected");
    assert_int_equal(jval_floats(parse_ok("[]"), NULL, 0, &count, &err), ST_OK);
    assert_int_equal(count, 0);
}

static void what_is_no_float_is_named_with_its_index(void **state)
{
    static const char *const cases[][2] = {
        {"[0,1,null]", "element 2: null is not a number"},
        {"[true]", "element 0: boolean is not a number"},
        {"[0,\"1\",2]", "element 1: string is not a number"},
        {"[1,[2,3],4]", "element 1: array is not a number"},
        {"[{\"a\":1,\"b\":2}]", "element 0: object is not a number"},
        {"[0,3.5e38]", "element 1: 3.5e+38 is beyond a 32-bit float"},
        {"[-1e39]", "element 0: -1e+39 is beyond a 32-bit float"},
        {"{\"a\":1}", "expected an array of numbers, not object"},
        {"7", "expected an array of numbers, not integer"},
    };
    float out[4];
    size_t count;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        assert_int_equal(jval_floats(parse_ok(cases[i][0]), out, 4, &count, &err), ST_INVALID);
        assert_string_equal(err.text, cases[i][1]);
    }
}

/* The tape's own count stops at 2^24 - 1. */
static void a_count_above_what_the_tape_holds_is_walked(void **state)
{
    size_t count = (1 << 24) + 5;
    struct buf b;
    struct jval root;

    (void)state;
    buf_init(&b, 64 << 20);
    assert_true(buf_reserve(&b, 2 * count + 1 + JSON_PADDING_BYTES));
    for (size_t i = 0; i < count; i++) {
        b.data[2 * i] = i == 0 ? '[' : ',';
        b.data[2 * i + 1] = '1';
    }
    b.data[2 * count] = ']';
    b.bytes = 2 * count + 1;
    assert_int_equal(jdoc_parse_buf(doc, &b, &root, &err), ST_OK);
    assert_int_equal(jval_count(root), count);
    /* The large parser's memory goes before the next small text, and can come again. */
    assert_int_equal(jval_count(parse_ok("[1,2]")), 2);
    assert_int_equal(jdoc_parse(doc, buf_slice(&b), &root, &err), ST_OK);
    assert_int_equal(jval_count(root), count);
    buf_free(&b);
}

/* In place when there is room behind the text, by a copy when there is not. */
static void a_buffer_is_parsed_with_and_without_room(void **state)
{
    (void)state;
    for (size_t room = 0; room <= JSON_PADDING_BYTES + 1; room++) {
        struct buf b;
        struct jval root;
        uint64_t u = 0;

        buf_init(&b, 6 + room);
        buf_put_text(&b, "123456");
        b.data = mem_resize(b.data, 6 + room);
        b.capacity = 6 + room;
        assert_int_equal(jdoc_parse_buf(doc, &b, &root, &err), ST_OK);
        buf_free(&b);
        assert_true(jval_u64(root, &u) && u == 123456);
    }
}

static bool same(struct jval v, const cJSON *c);

static bool same_children(struct jval v, const cJSON *c)
{
    const cJSON *child = c->child;
    size_t count = 0;

    for (struct jiter it = jval_iter(v); jiter_next(&it); child = child->next, count++) {
        if (child == NULL || !same(it.value, child))
            return false;
        if (cJSON_IsObject(c) && !slice_equal(it.key, slice_text(child->string)))
            return false;
    }
    return child == NULL && count == jval_count(v);
}

static bool same(struct jval v, const cJSON *c)
{
    double f;

    switch (jval_type(v)) {
    case J_NULL:
        return cJSON_IsNull(c);
    case J_FALSE:
        return cJSON_IsFalse(c);
    case J_TRUE:
        return cJSON_IsTrue(c);
    case J_U64:
    case J_I64:
    case J_F64:
        return cJSON_IsNumber(c) && jval_f64(v, &f) && f == c->valuedouble;
    case J_STRING:
        return cJSON_IsString(c) && slice_equal(jval_string(v), slice_text(c->valuestring));
    case J_ARRAY:
        return cJSON_IsArray(c) && same_children(v, c);
    case J_OBJECT:
        return cJSON_IsObject(c) && same_children(v, c);
    }
    return false;
}

static void it_reads_what_cjson_reads(void **state)
{
    struct rand_seeded r;
    struct buf b;

    (void)state;
    rand_seeded_init(&r, json_gen_seed());
    buf_init(&b, 64 << 20);
    for (unsigned i = 0; i < 3000; i++) {
        struct jval root;
        cJSON *c;

        buf_reset(&b);
        json_gen(&b, &r.source, 6);
        assert_false(b.failed);
        c = cJSON_ParseWithLength((const char *)b.data, b.bytes);
        assert_non_null(c);
        if (parse_bytes(b.data, b.bytes, &root) != ST_OK || !same(root, c))
            fail_msg("seed %" PRIu64 " document %u: %.*s", json_gen_seed(), i, (int)b.bytes,
                     (const char *)b.data);
        cJSON_Delete(c);
    }
    buf_free(&b);
}

static int64_t sweep(void)
{
    for (int64_t n = 0;; n++) {
        struct jdoc *d = NULL;
        struct jval root;
        status st;
        bool reached;

        mem_test_fail_after(n);
        st = jdoc_create(&d, &err);
        if (st == ST_OK)
            st = jdoc_parse(d, slice_text("{\"a\":[1,2]}"), &root, &err);
        reached = mem_test_count() > n;
        mem_test_fail_after(-1);
        assert_int_equal(st, reached ? ST_NOMEM : ST_OK);
        /* What failed once works the next time. */
        if (d != NULL)
            assert_int_equal(jdoc_parse(d, slice_text("[]"), &root, &err), ST_OK);
        jdoc_destroy(d);
        if (!reached)
            return n;
    }
}

static void each_allocation_may_fail(void **state)
{
    (void)state;
    assert_true(sweep() >= 2);
}

/* 32 MiB of JSON may cost 14 times that in its parser: not longer than it is looked at. */
static void a_trimmed_parser_keeps_little_and_parses_on(void **state)
{
    struct jval root;
    struct buf b;

    (void)state;
    buf_init(&b, 16 << 20);
    buf_put_text(&b, "[");
    for (unsigned i = 0; i < 2000000; i++)
        buf_put_text(&b, "1,");
    buf_put_text(&b, "1]");
    assert_int_equal(jdoc_parse_buf(doc, &b, &root, &err), ST_OK);
    assert_true(jdoc_capacity(doc) >= b.bytes);
    jdoc_trim(doc);
    assert_int_equal(jdoc_capacity(doc), 0);
    assert_int_equal(jdoc_parse(doc, slice_text("[7]"), &root, &err), ST_OK);
    assert_int_equal(jval_count(root), 1);
    jdoc_trim(doc); /* a small one is kept, and so is what it read */
    assert_true(jdoc_capacity(doc) > 0);
    assert_int_equal(jval_count(root), 1);
    buf_free(&b);
}

#ifndef __SANITIZE_ADDRESS__
/* The parser's own memory does not come from mem.h: here the kernel refuses it. */
static void a_parser_without_memory_says_so_and_recovers(void **state)
{
    struct rlimit before;
    struct rlimit tight;
    struct jval root;
    struct buf b;

    (void)state;
    buf_init(&b, 64 << 20);
    buf_put_text(&b, "[");
    for (unsigned i = 0; i < 8000000; i++)
        buf_put_text(&b, "1,");
    buf_put_text(&b, "1]");
    assert_true(buf_reserve(&b, JSON_PADDING_BYTES));
    assert_int_equal(getrlimit(RLIMIT_AS, &before), 0);
    tight = before;
    tight.rlim_cur = 128u << 20;
    assert_int_equal(setrlimit(RLIMIT_AS, &tight), 0);
    assert_int_equal(jdoc_parse_buf(doc, &b, &root, &err), ST_NOMEM);
    assert_int_equal(setrlimit(RLIMIT_AS, &before), 0);
    assert_int_equal(jdoc_parse_buf(doc, &b, &root, &err), ST_OK);
    assert_int_equal(jval_count(root), 8000001);
    assert_int_equal(jdoc_parse(doc, slice_text("[1]"), &root, &err), ST_OK);
    buf_free(&b);
}
#endif

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(integers_are_exact_and_numbers_keep_their_kind, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(other_kinds_are_no_numbers_and_have_names, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(malformed_text_is_refused_with_what_and_where, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(numbers_at_the_edge_of_a_double_are_taken, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(depth_ends_at_512_levels, set_up, tear_down),
        cmocka_unit_test_setup_teardown(cut_at_every_byte_it_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(strings_are_unescaped_and_may_hold_nul, set_up, tear_down),
        cmocka_unit_test_setup_teardown(of_doubled_keys_the_last_is_found, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_trimmed_parser_keeps_little_and_parses_on, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(floats_go_into_a_buffer, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_no_float_is_named_with_its_index, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_count_above_what_the_tape_holds_is_walked, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_buffer_is_parsed_with_and_without_room, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(it_reads_what_cjson_reads, set_up, tear_down),
        cmocka_unit_test(each_allocation_may_fail),
#ifndef __SANITIZE_ADDRESS__
        cmocka_unit_test_setup_teardown(a_parser_without_memory_says_so_and_recovers, set_up,
                                        tear_down),
#endif
    };

    json_gen_seed_init(argc, argv);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
