/* Small documents by path. */
#include "base/json.h"
#include "base/mem.h"

#include <setjmp.h>

#include <cmocka.h>

static const char text[] =
    "{\"name\":\"docs\",\"hnsw\":{\"m\":16,\"x.y\":1},\"nodes\":[{\"id\":\"a\"},"
    "{\"id\":\"b\"},3.5],\"twice\":1,\"twice\":2,\"none\":null}";

static void values_are_found_by_path(void **state)
{
    struct json_small *j = NULL;
    double number = 0;

    (void)state;
    assert_int_equal(json_small_parse(slice_text(text), &j, NULL), ST_OK);
    assert_string_equal(json_small_text(j, "name"), "docs");
    assert_string_equal(json_small_text(j, "nodes.1.id"), "b");
    assert_true(json_small_number(j, "hnsw.m", &number));
    assert_true(number == 16);
    assert_true(json_small_number(j, "nodes.2", &number));
    assert_true(number == 3.5);
    assert_true(json_small_number(j, "twice", &number));
    assert_true(number == 2);
    json_small_free(j);
}

static void what_is_not_there_is_not_found(void **state)
{
    static const char *const paths[] = {"",
                                        ".",
                                        "nam",
                                        "names",
                                        "Name",
                                        "name.x",
                                        "hnsw",
                                        "hnsw.",
                                        "none",
                                        "nodes",
                                        "nodes.3",
                                        "nodes.-1",
                                        "nodes.1x",
                                        "nodes.",
                                        "nodes..id",
                                        "hnsw.m.",
                                        "nodes.99999999999999999999",
                                        "nodes.4294967296.id",
                                        "nodes.+1.id"};
    struct json_small *j = NULL;
    double number;

    (void)state;
    assert_int_equal(json_small_parse(slice_text(text), &j, NULL), ST_OK);
    for (size_t i = 0; i < COUNT_OF(paths); i++) {
        if (json_small_text(j, paths[i]) != NULL || json_small_number(j, paths[i], &number))
            fail_msg("path %s is found", paths[i]);
    }
    assert_false(json_small_number(j, "name", &number));
    assert_null(json_small_text(j, "hnsw.m"));
    json_small_free(j);
    json_small_free(NULL);
}

/* Unpatched versions of the library cut a number after 63 characters. */
static void long_numbers_are_read_whole(void **state)
{
    char digits[102];
    struct json_small *j = NULL;
    double number = 0;

    (void)state;
    memset(digits, '1', sizeof digits);
    digits[0] = '[';
    digits[sizeof digits - 1] = ']';
    assert_int_equal(json_small_parse(slice_make(digits + 1, sizeof digits - 2), &j, NULL),
                     ST_INVALID);
    digits[2] = '.';
    assert_int_equal(json_small_parse(slice_make(digits, sizeof digits), &j, NULL), ST_OK);
    assert_true(json_small_number(j, "0", &number));
    assert_true(number == 1.1111111111111112);
    json_small_free(j);
}

static void bad_documents_are_refused(void **state)
{
    struct json_small *j = NULL;
    struct err err;

    (void)state;
    assert_int_equal(json_small_parse(slice_text(""), &j, &err), ST_INVALID);
    assert_int_equal(json_small_parse(slice_text("{} x"), &j, &err), ST_INVALID);
    assert_string_equal(err.text, "malformed JSON at byte 3: text after the end of the document");
    assert_int_equal(json_small_parse(slice_text("\"\xFF\""), &j, &err), ST_INVALID);
    for (size_t bytes = 0; bytes < strlen(text); bytes++)
        assert_int_equal(json_small_parse(slice_make(text, bytes), &j, &err), ST_INVALID);
}

static void each_allocation_may_fail(void **state)
{
    bool reached = true;
    int64_t n = 0;

    (void)state;
    for (; reached; n++) {
        struct json_small *j = NULL;
        status st;

        mem_test_fail_after(n);
        st = json_small_parse(slice_text(text), &j, NULL);
        reached = mem_test_count() > n;
        mem_test_fail_after(-1);
        assert_int_equal(st, reached ? ST_NOMEM : ST_OK);
        json_small_free(j);
    }
    assert_true(n > 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_are_found_by_path),
        cmocka_unit_test(what_is_not_there_is_not_found),
        cmocka_unit_test(long_numbers_are_read_whole),
        cmocka_unit_test(bad_documents_are_refused),
        cmocka_unit_test(each_allocation_may_fail),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
