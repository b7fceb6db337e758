/* Paths: what they are written like, what they reach, and that no text breaks them. */
#include "filter/filter.h"

#include "jsons.h"
#include "tests/support/alloc_sweep.h"

#include <stdio.h>

static struct arena arena;
static struct buf blob, seen;

static int set_up(void **state)
{
    (void)state;
    arena_init(&arena, 1 << 20);
    buf_init(&blob, 1 << 20);
    buf_init(&seen, 1 << 20);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    arena_free(&arena);
    buf_free(&blob);
    buf_free(&seen);
    jsons_free();
    return 0;
}

static const struct path *parse(const char *text)
{
    const struct path *p = NULL;
    struct err err;

    if (path_parse(slice_text(text), &arena, &p, &err) != ST_OK)
        fail_msg("%s: %s", text, err.text);
    return p;
}

static bool note(void *arg, const struct jbin_value *v)
{
    size_t *left = arg;

    if (seen.bytes > 0)
        buf_put_text(&seen, " ");
    jbin_print_value(&seen, v->bytes);
    return --*left > 0;
}

static const char *reached(const char *path, const char *json, bool opened, size_t max)
{
    struct jbin_value root;
    size_t left = max;
    bool all;

    jsons_blob(&blob, json);
    root = jbin_root(buf_slice(&blob));
    buf_reset(&seen);
    all = opened ? filter_each_value(parse(path), &root, note, &left)
                 : path_each(parse(path), &root, note, &left);
    assert_int_equal(all, left > 0);
    buf_put_u8(&seen, 0);
    return (const char *)seen.data;
}

struct reach {
    const char *path, *json, *values, *opened;
};

static void a_path_reaches_what_it_names(void **state)
{
    static const struct reach cases[] = {
        {"a", "{\"a\":1}", "1", "1"},
        {"a", "{}", "", ""},
        {"a", "{\"b\":1,\"aa\":2,\"\":3}", "", ""},
        {"a", "{\"a\":null}", "null", "null"},
        {"a", "{\"a\":[]}", "[]", ""},
        {"a", "{\"a\":[1,[2,3],{\"b\":4}]}", "[1,[2,3],{\"b\":4}]", "1 [2,3] {\"b\":4}"},
        {"a[]", "{\"a\":[1,[2,3],{\"b\":4}]}", "1 [2,3] {\"b\":4}", "1 2 3 {\"b\":4}"},
        {"a[][]", "{\"a\":[1,[2,3],{\"b\":4},[[5]]]}", "2 3 [5]", "2 3 5"},
        {"a[1]", "{\"a\":[1,[2,3]]}", "[2,3]", "2 3"},
        {"a[1][0]", "{\"a\":[1,[2,3]]}", "2", "2"},
        {"a[0]", "{\"a\":[1]}", "1", "1"},
        {"a[1]", "{\"a\":[1]}", "", ""},
        {"a[4294967295]", "{\"a\":[1]}", "", ""},
        {"a[4294967296]", "{\"a\":[1]}", "", ""},
        {"a[18446744073709551616]", "{\"a\":[1]}", "", ""},
        {"a[]", "{\"a\":{\"b\":1}}", "", ""},
        {"a[]", "{\"a\":\"text\"}", "", ""},
        {"a[0]", "{\"a\":{\"0\":1}}", "", ""},
        {"a.b", "{\"a\":{\"b\":2}}", "2", "2"},
        {"a.b", "{\"a\":[{\"b\":2}]}", "", ""},
        {"a[].b", "{\"a\":[{\"b\":1},{\"c\":9},{\"b\":[2,3]},7]}", "1 [2,3]", "1 2 3"},
        {"a[].b.c[0][]", "{\"a\":[{\"b\":{\"c\":[[1,2],3]}},{\"b\":{\"c\":[4]}}]}", "1 2", "1 2"},
        {"a[].b[].c", "{\"a\":[{\"b\":[{\"c\":1},{\"c\":2}]},{\"b\":[{\"c\":3}]}]}", "1 2 3",
         "1 2 3"},
        {"\"odd.key\".x", "{\"odd.key\":{\"x\":5},\"odd\":{\"key\":{\"x\":6}}}", "5", "5"},
        {"\"\"", "{\"\":1}", "1", "1"},
        {"a.\"\".\" [0]\"", "{\"a\":{\"\":{\" [0]\":1}}}", "1", "1"},
        {"\"a\"[0].\"b\"", "{\"a\":[{\"b\":1}]}", "1", "1"},
        {"\xC3\xA9-_/$#\\", "{\"\xC3\xA9-_/$#\\\\\":1}", "1", "1"},
        {"a.b", "[{\"a\":{\"b\":1}}]", "", ""},
        {"a", "7", "", ""},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        assert_string_equal(reached(cases[i].path, cases[i].json, false, 100), cases[i].values);
        assert_string_equal(reached(cases[i].path, cases[i].json, true, 100), cases[i].opened);
    }
}

static void an_empty_payload_reaches_nothing(void **state)
{
    struct jbin_value root = jbin_root((struct slice){0});
    size_t left = 9;

    (void)state;
    buf_reset(&seen);
    assert_true(path_each(parse("a"), &root, note, &left));
    assert_int_equal(seen.bytes, 0);
}

static void the_walk_stops_when_told_to(void **state)
{
    (void)state;
    assert_string_equal(reached("a[]", "{\"a\":[1,2,3]}", false, 2), "1 2");
    assert_string_equal(reached("a", "{\"a\":[1,2,3]}", true, 2), "1 2");
    assert_string_equal(reached("a[].b[]", "{\"a\":[{\"b\":[1,2]},{\"b\":[3]}]}", false, 1), "1");
    assert_string_equal(reached("a[].b[]", "{\"a\":[{\"b\":[1,2]},{\"b\":[3]}]}", false, 3),
                        "1 2 3");
}

static void equal_paths_may_be_spelled_differently(void **state)
{
    static const char *const same[][2] = {{"a.b", "\"a\".\"b\""}, {"a[3]", "a[003]"}, {"x", "x"}};
    static const char *const other[][2] = {{"a", "b"},         {"a", "a.b"},     {"a[]", "a"},
                                           {"a[]", "a[0]"},    {"a[1]", "a[2]"}, {"a.b", "\"a.b\""},
                                           {"a.b[]", "a[].b"}, {"ab", "a"}};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(same); i++)
        assert_true(path_equal(parse(same[i][0]), parse(same[i][1])));
    for (size_t i = 0; i < COUNT_OF(other); i++) {
        assert_false(path_equal(parse(other[i][0]), parse(other[i][1])));
        assert_false(path_equal(parse(other[i][1]), parse(other[i][0])));
    }
}

static void what_is_no_path_is_refused_with_a_reason(void **state)
{
    static const char *const bad[][2] = {
        {"", "empty"},
        {".", "missing at byte 0"},
        {".a", "missing at byte 0"},
        {"a.", "missing at byte 2"},
        {"a..b", "missing at byte 2"},
        {"[0]", "missing at byte 0"},
        {"a.[0]", "missing at byte 2"},
        {"\"a", "not closed at byte 2"},
        {"a.\"", "not closed at byte 3"},
        {"a\"b\"", "double quotes at byte 1"},
        {"\"a\"b", "double quotes at byte 3"},
        {"a b", "double quotes at byte 1"},
        {" a", "double quotes at byte 0"},
        {"a\n", "double quotes at byte 1"},
        {"a]", "without its '[' at byte 1"},
        {"]", "double quotes at byte 0"},
        {"a[", "digits, if any, and ']' at byte 2"},
        {"a[1", "and ']' at byte 3"},
        {"a[-1]", "and ']' at byte 2"},
        {"a[x]", "and ']' at byte 2"},
        {"a[1 ]", "and ']' at byte 3"},
        {"a[]b", "double quotes at byte 3"},
        {"a\xFF", "UTF-8"},
        {"\xC3", "UTF-8"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        const struct path *p = NULL;
        struct err err = {0};

        assert_int_equal(path_parse(slice_text(bad[i][0]), &arena, &p, &err), ST_INVALID);
        assert_null(p);
        if (strstr(err.text, bad[i][1]) == NULL)
            fail_msg("'%s': %s", bad[i][0], err.text);
    }
}

static void a_path_has_its_limits(void **state)
{
    char text[PATH_BYTES_MAX + 2];
    const struct path *p = NULL;
    struct err err = {0};

    (void)state;
    memset(text, 'x', sizeof text);
    assert_int_equal(path_parse(slice_make(text, PATH_BYTES_MAX), &arena, &p, NULL), ST_OK);
    assert_int_equal(p->steps[0].key.bytes, PATH_BYTES_MAX);
    assert_int_equal(path_parse(slice_make(text, PATH_BYTES_MAX + 1), &arena, &p, &err),
                     ST_INVALID);
    assert_non_null(strstr(err.text, "1024 bytes, not 1025"));
    for (size_t i = 1; i < 2 * PATH_STEPS_MAX; i += 2)
        text[i] = '.';
    assert_int_equal(path_parse(slice_make(text, 2 * PATH_STEPS_MAX - 1), &arena, &p, NULL), ST_OK);
    assert_int_equal(p->count, PATH_STEPS_MAX);
    assert_int_equal(path_parse(slice_make(text, 2 * PATH_STEPS_MAX + 1), &arena, &p, &err),
                     ST_INVALID);
    assert_non_null(strstr(err.text, "32 steps"));
}

/* The text may go: the path has its own. */
static void a_path_outlives_its_text(void **state)
{
    char text[] = "ab.\"c d\"[2]";
    const struct path *p = NULL;

    (void)state;
    assert_int_equal(path_parse(slice_text(text), &arena, &p, NULL), ST_OK);
    memset(text, '#', sizeof text - 1);
    assert_true(path_equal(p, parse("ab.\"c d\"[2]")));
    assert_true(slice_equal(p->text, slice_text("ab.\"c d\"[2]")));
}

static status parse_one(void *arg)
{
    struct arena a;
    const struct path *p = NULL;
    status st;

    (void)arg;
    arena_init(&a, 1 << 16);
    st = path_parse(slice_text("a[].b"), &a, &p, NULL);
    assert_int_equal(st == ST_OK, p != NULL);
    arena_free(&a);
    return st;
}

static void memory_may_run_out(void **state)
{
    (void)state;
    assert_int_equal(alloc_sweep(parse_one, NULL), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_path_reaches_what_it_names),
        cmocka_unit_test(an_empty_payload_reaches_nothing),
        cmocka_unit_test(the_walk_stops_when_told_to),
        cmocka_unit_test(equal_paths_may_be_spelled_differently),
        cmocka_unit_test(what_is_no_path_is_refused_with_a_reason),
        cmocka_unit_test(a_path_has_its_limits),
        cmocka_unit_test(a_path_outlives_its_text),
        cmocka_unit_test(memory_may_run_out),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
