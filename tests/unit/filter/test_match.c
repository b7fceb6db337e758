/* Every condition on a key that is missing, null, a scalar, an array, an array in an array. */
#include "ask.h"

static int tear_down(void **state)
{
    (void)state;
    ask_free();
    return 0;
}

static const char *const payloads[] = {
    "{}",
    "{\"a\":null}",
    "{\"a\":1}",
    "{\"a\":1.0}",
    "{\"a\":\"1\"}",
    "{\"a\":true}",
    "{\"a\":[]}",
    "{\"a\":[1,2]}",
    "{\"a\":[null,1]}",
    "{\"a\":[[1]]}",
    "{\"a\":{\"b\":1}}",
    "{\"a\":[{\"b\":1}]}",
    "{\"a\":[null]}",
    "{\"a\":[[null]]}",
    "{\"a\":[[]]}",
};

struct row {
    const char *filter;
    const char *matches; /* one digit a payload */
};

static void check(const struct row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(strlen(rows[i].matches), COUNT_OF(payloads));
        for (size_t j = 0; j < COUNT_OF(payloads); j++)
            if (ask(rows[i].filter, payloads[j]) != (rows[i].matches[j] == '1'))
                fail_msg("%s on %s is not %c", rows[i].filter, payloads[j], rows[i].matches[j]);
    }
}

#define MUST(condition)     "{\"must\":[" condition "]}"
#define MUST_NOT(condition) "{\"must_not\":[" condition "]}"
#define ON(path, condition) "{\"must\":[{\"key\":\"" path "\"," condition "}]}"

static void conditions_on_each_kind_of_value(void **state)
{
    static const struct row rows[] = {
        {ON("a", "\"match\":{\"value\":1}"), "001000011000000"},
        {ON("a", "\"match\":{\"value\":2}"), "000000010000000"},
        {ON("a", "\"match\":{\"value\":\"1\"}"), "000010000000000"},
        {ON("a", "\"match\":{\"value\":true}"), "000001000000000"},
        {ON("a", "\"match\":{\"value\":false}"), "000000000000000"},
        {ON("a", "\"match\":{\"any\":[1]}"), "001000011000000"},
        {ON("a", "\"match\":{\"any\":[\"1\",\"x\",1]}"), "001010011000000"},
        {ON("a", "\"match\":{\"any\":[9,8,7,6,5,2,3,true]}"), "000001010000000"},
        {ON("a", "\"match\":{\"any\":[]}"), "000000000000000"},
        {ON("a", "\"match\":{\"except\":[1]}"), "000111010111011"},
        {ON("a", "\"match\":{\"except\":[\"1\"]}"), "001101011111011"},
        {ON("a", "\"match\":{\"except\":[1,2]}"), "000111000111011"},
        {ON("a", "\"match\":{\"except\":[]}"), "001111011111011"},
        {ON("a", "\"match\":{\"text\":\"1\"}"), "000010000000000"},
        {ON("a", "\"match\":{\"text\":\"\"}"), "000000000000000"},
        {ON("a", "\"match\":{\"text_any\":\"2 1\"}"), "000010000000000"},
        {ON("a", "\"match\":{\"phrase\":\"1\"}"), "000010000000000"},
        {ON("a", "\"match\":{\"prefix\":\"\"}"), "000010000000000"},
        {ON("a", "\"match\":{\"prefix\":\"1\"}"), "000010000000000"},
        {ON("a", "\"range\":{\"gte\":1}"), "001100011000000"},
        {ON("a", "\"range\":{\"gt\":1}"), "000000010000000"},
        {ON("a", "\"range\":{\"lt\":1}"), "000000000000000"},
        {ON("a", "\"range\":{\"lte\":1.0}"), "001100011000000"},
        {ON("a", "\"range\":{\"gt\":1.5,\"lt\":2.5}"), "000000010000000"},
        {ON("a", "\"range\":{}"), "001100011000000"},
        {ON("a", "\"range\":{\"gte\":\"1970-01-01\"}"), "000000000000000"},
        {ON("a", "\"values_count\":{\"gte\":1}"), "001111011111111"},
        {ON("a", "\"values_count\":{\"lt\":1}"), "110000100000000"},
        {ON("a", "\"values_count\":{\"gt\":1}"), "000000011000000"},
        {ON("a", "\"values_count\":{\"gte\":2,\"lte\":2}"), "000000011000000"},
        {ON("a", "\"values_count\":{}"), "111111111111111"},
        {ON("a", "\"is_empty\":true"), "110000100000000"},
        {ON("a", "\"is_empty\":false"), "001111011111111"},
        {MUST("{\"is_empty\":{\"key\":\"a\"}}"), "110000100000000"},
        {ON("a", "\"is_null\":true"), "010000001000100"},
        {ON("a", "\"is_null\":false"), "101111110111011"},
        {MUST("{\"is_null\":{\"key\":\"a\"}}"), "010000001000100"},
    };

    (void)state;
    check(rows, COUNT_OF(rows));
}

static void conditions_through_arrays(void **state)
{
    static const struct row rows[] = {
        {ON("a[]", "\"match\":{\"value\":1}"), "000000011100000"},
        {ON("a[]", "\"match\":{\"except\":[1]}"), "000000010001000"},
        {ON("a[1]", "\"match\":{\"value\":1}"), "000000001000000"},
        {ON("a[0]", "\"range\":{\"gte\":1}"), "000000010100000"},
        {ON("a[]", "\"values_count\":{\"gte\":1}"), "000000011101010"},
        {ON("a[]", "\"values_count\":{\"lt\":1}"), "111111101010101"},
        {ON("a[]", "\"is_empty\":true"), "111111100010101"},
        {ON("a[]", "\"is_null\":true"), "000000001000110"},
        {ON("a.b", "\"match\":{\"value\":1}"), "000000000010000"},
        {ON("a[].b", "\"match\":{\"value\":1}"), "000000000001000"},
        {ON("a.b", "\"is_empty\":true"), "111111111101111"},
        {ON("b", "\"is_empty\":true"), "111111111111111"},
        {ON("b", "\"is_null\":true"), "000000000000000"},
    };

    (void)state;
    check(rows, COUNT_OF(rows));
}

#define NESTED(path, filter) MUST("{\"nested\":{\"key\":\"" path "\",\"filter\":" filter "}}")

static void nested_conditions_on_each_kind_of_value(void **state)
{
    static const struct row rows[] = {
        {NESTED("a", ON("b", "\"match\":{\"value\":1}")), "000000000001000"},
        {NESTED("a[]", ON("b", "\"match\":{\"value\":1}")), "000000000001000"},
        {NESTED("a", ON("b", "\"match\":{\"value\":2}")), "000000000000000"},
        {NESTED("a", "{}"), "000000000001000"},
        {NESTED("a", MUST_NOT("{\"key\":\"b\",\"match\":{\"value\":1}}")), "000000000000000"},
        {NESTED("a", ON("c", "\"is_empty\":true")), "000000000001000"},
        {NESTED("a", MUST("{\"has_id\":[1]}")), "000000000000000"},
        {NESTED("a", MUST_NOT("{\"has_id\":[1]}")), "000000000001000"},
        {NESTED("a.b", "{}"), "000000000000000"},
        {MUST_NOT("{\"nested\":{\"key\":\"a\",\"filter\":{}}}"), "111111111110111"},
    };

    (void)state;
    check(rows, COUNT_OF(rows));
}

static void our_own_operators_on_each_kind_of_value(void **state)
{
    static const struct row rows[] = {
        {"${\"a\":1}", "001100011000000"},
        {"${\"a\":{\"$eq\":1.0}}", "001100011000000"},
        {"${\"a\":1.5}", "000000000000000"},
        {"${\"a\":\"1\"}", "000010000000000"},
        {"${\"a\":true}", "000001000000000"},
        {"${\"a\":null}", "110000001000100"},
        {"${\"a\":{\"$ne\":null}}", "001111110111011"},
        {"${\"a\":{\"$ne\":1}}", "110011100111111"},
        {"${\"a\":{\"$in\":[2,\"1\"]}}", "000010010000000"},
        {"${\"a\":{\"$in\":[1,null]}}", "111100011000100"},
        {"${\"a\":{\"$in\":[]}}", "000000000000000"},
        {"${\"a\":{\"$nin\":[1]}}", "110011100111111"},
        {"${\"a\":{\"$nin\":[1,null]}}", "000011100111011"},
        {"${\"a\":{\"$nin\":[]}}", "111111111111111"},
        {"${\"a\":{\"$exists\":true}}", "011111111111111"},
        {"${\"a\":{\"$exists\":false}}", "100000000000000"},
        {"${\"a\":{\"$gt\":1}}", "000000010000000"},
        {"${\"a\":{\"$gte\":1,\"$lt\":2}}", "001100011000000"},
        {"${\"a\":{\"$not\":{\"$gte\":1}}}", "110011100111111"},
        {"${\"a\":{\"$gt\":0,\"$ne\":2}}", "001100001000000"},
        {"${\"$not\":{\"a\":1}}", "110011100111111"},
        {"${\"$or\":[{\"a\":\"1\"},{\"a\":true}]}", "000011000000000"},
        {"${\"$and\":[{\"a\":1},{\"a\":2}]}", "000000010000000"},
        {"${\"a\":1,\"a\":2}", "000000010000000"},
        {"${\"a.b\":1}", "000000000010000"},
        {"${\"a[].b\":1}", "000000000001000"},
        {"${\"qdrant\":" ON("a", "\"match\":{\"value\":1}") "}", "001000011000000"},
        {"${\"qdrant\":" ON("a", "\"match\":{\"value\":1}") ",\"a\":2}", "000000010000000"},
        {"${}", "111111111111111"},
        {"$null", "111111111111111"},
    };

    (void)state;
    check(rows, COUNT_OF(rows));
}

#define A "{\"key\":\"a\",\"match\":{\"value\":1}}" /* 001000011000000 */
#define B "{\"key\":\"a\",\"match\":{\"value\":2}}" /* 000000010000000 */
#define C "{\"is_empty\":{\"key\":\"a\"}}"          /* 110000100000000 */

static void clauses_hold_together(void **state)
{
    static const struct row rows[] = {
        {"{}", "111111111111111"},
        {"null", "111111111111111"},
        {"{\"must\":null,\"should\":null,\"must_not\":null,\"min_should\":null}",
         "111111111111111"},
        {"{\"must\":[],\"should\":[],\"must_not\":[]}", "111111111111111"},
        {"{\"must\":" A "}", "001000011000000"},
        {"{\"must\":[" A "," B "]}", "000000010000000"},
        {"{\"should\":" C "}", "110000100000000"},
        {"{\"should\":[" A "," C "]}", "111000111000000"},
        {"{\"must_not\":" A "}", "110111100111111"},
        {"{\"must_not\":[" A "," C "]}", "000111000111111"},
        {"{\"must\":" A ",\"must_not\":" B "}", "001000001000000"},
        {"{\"must\":" A ",\"should\":[" B "," C "]}", "000000010000000"},
        {"{\"min_should\":{\"conditions\":[" A "," B "," C "],\"min_count\":1}}",
         "111000111000000"},
        {"{\"min_should\":{\"conditions\":[" A "," B "," C "],\"min_count\":2}}",
         "000000010000000"},
        {"{\"min_should\":{\"conditions\":[" A "," B "," C "],\"min_count\":3}}",
         "000000000000000"},
        {"{\"min_should\":{\"conditions\":[" A "],\"min_count\":2}}", "000000000000000"},
        {"{\"min_should\":{\"conditions\":[],\"min_count\":1}}", "000000000000000"},
        {"{\"must\":{}}", "111111111111111"},
        {"{\"must_not\":{}}", "000000000000000"},
        {"{\"must\":[{\"should\":[" A "," C "]},{\"must_not\":" B "}]}", "111000101000000"},
        {"{\"must_not\":[{\"must_not\":[" A "]}]}", "001000011000000"},
        {"{\"should\":[{\"must\":[" A "," B "]},{\"must\":" C "}]}", "110000110000000"},
        {"{\"should\":[{}," A "]}", "111111111111111"},
        {"{\"must\":[" A ",{\"key\":\"a\",\"match\":{\"any\":[]}}]}", "000000000000000"},
    };

    (void)state;
    check(rows, COUNT_OF(rows));
}

static void a_row_without_a_payload_is_an_empty_object(void **state)
{
    (void)state;
    assert_true(ask("{\"must\":" C "}", NULL));
    assert_false(ask("{\"must\":" A "}", NULL));
    assert_true(filter_match(NULL, &(struct filter_row){0}));
    assert_true(filter_is_all(NULL));
    assert_true(filter_is_all(ask_parse("{\"must\":[{}]}")));
    assert_false(filter_is_all(ask_parse("{\"must\":" A "}")));
    assert_int_equal(filter_cost_ns(NULL), 0);
    assert_int_equal(filter_cost_ns(ask_parse("{}")), 0);
    assert_true(filter_cost_ns(ask_parse("{\"must\":[" A "," B "]}")) >
                filter_cost_ns(ask_parse("{\"must\":" A "}")));
}

static void one_element_satisfies_a_nested_filter_as_a_whole(void **state)
{
    static const char both[] = NESTED("diet", "{\"must\":[{\"key\":\"food\",\"match\":{\"value\":"
                                              "\"meat\"}},{\"key\":\"likes\",\"match\":{\"value\":"
                                              "true}}]}");
    static const char apart[] =
        "{\"must\":[{\"key\":\"diet[].food\",\"match\":{\"value\":\"meat\"}},"
        "{\"key\":\"diet[].likes\",\"match\":{\"value\":true}}]}";
    static const char mixed[] = "{\"diet\":[{\"food\":\"leaves\",\"likes\":true},"
                                "{\"food\":\"meat\",\"likes\":false}]}";
    static const char fine[] = "{\"diet\":[7,{\"food\":\"leaves\",\"likes\":false},"
                               "{\"food\":\"meat\",\"likes\":true}]}";

    (void)state;
    assert_true(ask(apart, mixed));
    assert_false(ask(both, mixed));
    assert_true(ask(both, fine));
    assert_true(ask(NESTED("a[].b", ON("c", "\"match\":{\"value\":1}")),
                    "{\"a\":[{\"b\":[{\"c\":2}]},{\"b\":[{\"c\":3},{\"c\":1}]}]}"));
    assert_true(ask(NESTED("a", NESTED("b", ON("c", "\"match\":{\"value\":1}"))),
                    "{\"a\":[{\"b\":[{\"c\":2}]},{\"b\":[{\"c\":3},{\"c\":1}]}]}"));
}

static void ids_and_vectors_are_the_rows(void **state)
{
    static const uint8_t uuid[16] = {0xAB, [15] = 1};
    struct docid id = {.kind = DOCID_UUID};
    struct docid number = docid_u64(18446744073709551615u);
    struct filter *ids = ask_parse(
        MUST("{\"has_id\":[7,18446744073709551615,\"AB000000-0000-0000-0000-000000000001\",7]}"));
    struct filter *none = ask_parse(MUST("{\"has_id\":[]}"));
    struct filter *image = ask_parse(MUST("{\"has_vector\":\"image\"}"));

    (void)state;
    memcpy(id.uuid, uuid, sizeof uuid);
    assert_true(ask_row(ids, NULL, &id, 0));
    assert_true(ask_row(ids, NULL, &number, 0));
    number = docid_u64(7);
    assert_true(ask_row(ids, NULL, &number, 0));
    assert_false(ask_row(none, NULL, &number, 0));
    number = docid_u64(8);
    assert_false(ask_row(ids, NULL, &number, 0));
    id.uuid[0] = 0;
    assert_false(ask_row(ids, NULL, &id, 0));
    assert_false(ask_row(image, NULL, &id, UINT64_MAX)); /* not bound yet */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(conditions_on_each_kind_of_value),
        cmocka_unit_test(conditions_through_arrays),
        cmocka_unit_test(nested_conditions_on_each_kind_of_value),
        cmocka_unit_test(our_own_operators_on_each_kind_of_value),
        cmocka_unit_test(clauses_hold_together),
        cmocka_unit_test(a_row_without_a_payload_is_an_empty_object),
        cmocka_unit_test(one_element_satisfies_a_nested_filter_as_a_whole),
        cmocka_unit_test(ids_and_vectors_are_the_rows),
    };

    return cmocka_run_group_tests(tests, NULL, tear_down);
}
