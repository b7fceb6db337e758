/* Cutting a list into its elements: the cuts are those of the JSON reader, for any text. */
#include "api/split.h"

#include "base/json.h"
#include "base/rand.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

enum { ELEMENTS_MAX = 16 };

/* Elements of `text`, or -1 when it has another shape. */
static int split_all(const char *text, size_t bytes, struct slice out[ELEMENTS_MAX])
{
    struct slice element;
    struct split s;
    int count = 0;

    if (!split_begin(&s, slice_make(text, bytes), "documents"))
        return -1;
    for (;;) {
        enum split_step step = split_next(&s, &element);

        if (step == SPLIT_OTHER)
            return -1;
        if (step == SPLIT_END)
            return count;
        assert_true(count < ELEMENTS_MAX);
        out[count++] = element;
    }
}

static void lists_are_cut_where_their_elements_end(void **state)
{
    static const struct {
        const char *text;
        int count;
        const char *last;
    } rows[] = {
        {"{\"documents\":[]}", 0, NULL},
        {"{\"documents\":[{}]}", 1, "{}"},
        {" {\t\"documents\" :\n[ {\"a\":[1,{\"b\":2}]} ,\r\n{ } ] } \n", 2, "{ }"},
        {"{\"documents\":[{\"a\":\"]}\\\"}{\"},{\"b\":\"\\\\\"}]}", 2, "{\"b\":\"\\\\\"}"},
        {"{\"documents\":[{\"a\":\"\\\\\\\"},{\"}]}", 1, "{\"a\":\"\\\\\\\"},{\"}"},
        {"{\"documents\":[{},]}", -1, NULL},
        {"{\"documents\":[,{}]}", -1, NULL},
        {"{\"documents\":[{} {}]}", -1, NULL},
        {"{\"documents\":[{}]", -1, NULL},
        {"{\"documents\":[{}]}x", -1, NULL},
        {"{\"documents\":[{}],\"a\":1}", -1, NULL},
        {"{\"a\":1,\"documents\":[{}]}", -1, NULL},
        {"{\"documentsx\":[{}]}", -1, NULL},
        {"{\"document\":[{}]}", -1, NULL},
        {"{\"documents\":{}}", -1, NULL},
        {"{\"documents\":[1]}", -1, NULL},
        {"{\"documents\":[[]]}", -1, NULL},
        {"{\"documents\":[{]]}", -1, NULL},
        {"[{\"documents\":[{}]}]", -1, NULL},
        {"", -1, NULL},
    };
    struct slice got[ELEMENTS_MAX];

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        int count = split_all(rows[i].text, strlen(rows[i].text), got);

        if (count != rows[i].count)
            fail_msg("%s: %d elements, not %d", rows[i].text, count, rows[i].count);
        if (rows[i].last != NULL)
            assert_true(slice_equal(got[count - 1], slice_text(rows[i].last)));
    }
}

static void a_cut_text_never_ends_well(void **state)
{
    static const char text[] = "{\"documents\":[{\"a\":\"x\\\"y]}\",\"b\":[1,2]},{\"c\":{}}]}";
    struct slice got[ELEMENTS_MAX];

    (void)state;
    assert_int_equal(split_all(text, sizeof text - 1, got), 2);
    for (size_t bytes = 0; bytes < sizeof text - 1; bytes++) {
        char *copy = malloc(bytes + 1); /* the sanitizer sees what is read behind it */

        assert_non_null(copy);
        copy = realloc(copy, bytes == 0 ? 1 : bytes);
        memcpy(copy, text, bytes);
        assert_int_equal(split_all(copy, bytes, got), -1);
        free(copy);
    }
}

/* Random texts of the characters that matter: if each element is an object to the JSON reader, the
 * whole is JSON to it as well, and has those elements. */
static void what_is_cut_is_what_the_reader_sees(void **state)
{
    static const char *const parts[] = {"{",       "}", "[",  "]", ",",         ":",   "\"",  "\\",
                                        "\"a\":1", " ", "{}", "1", "\"a\":[1]", "},{", "\\\""};
    const uint64_t seed = 7;
    struct slice got[ELEMENTS_MAX];
    struct rand_seeded rand;
    struct jdoc *doc;
    unsigned cut = 0;

    (void)state;
    rand_seeded_init(&rand, seed);
    assert_int_equal(jdoc_create(&doc, NULL), ST_OK);
    for (int round = 0; round < 40000; round++) {
        char text[256] = "{\"documents\":[{";
        bool objects = true;
        struct jval root;
        struct jval list;
        int count;

        for (uint64_t n = rand_below(&rand.source, 9); n > 0; n--)
            strcat(text, parts[rand_below(&rand.source, COUNT_OF(parts))]);
        strcat(text, "}]}");
        count = split_all(text, strlen(text), got);
        for (int i = 0; i < count && objects; i++)
            objects = jdoc_parse(doc, got[i], &root, NULL) == ST_OK && jval_type(root) == J_OBJECT;
        if (count < 0 || !objects)
            continue;
        cut++;
        if (jdoc_parse(doc, slice_text(text), &root, NULL) != ST_OK ||
            !jval_member(root, "documents", &list) || jval_count(list) != (size_t)count)
            fail_msg("seed %llu: %s", (unsigned long long)seed, text);
    }
    assert_true(cut > 100);
    jdoc_destroy(doc);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lists_are_cut_where_their_elements_end),
        cmocka_unit_test(a_cut_text_never_ends_well),
        cmocka_unit_test(what_is_cut_is_what_the_reader_sees),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
