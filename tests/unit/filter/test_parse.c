/* What is no filter is refused: what is wrong, and where. */
#include "ask.h"

#include <stdio.h>
#include <stdlib.h>

static int tear_down(void **state)
{
    (void)state;
    ask_free();
    return 0;
}

struct refusal {
    const char *filter, *says;
};

static void check(const struct refusal *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const char *said = ask_refused(rows[i].filter);

        if (strstr(said, rows[i].says) == NULL)
            fail_msg("%s\nsays %s\nnot %s", rows[i].filter, said, rows[i].says);
    }
}

#define ON(condition) "{\"must\":[{\"key\":\"a\"," condition "}]}"

static void refusals_say_what_and_where(void **state)
{
    static const struct refusal rows[] = {
        {"7", "invalid: filter: a filter {must, should, must_not, min_should} is needed, not an "
              "integer"},
        {"[]", "filter: a filter {must, should, must_not, min_should} is needed, not an array"},
        {"{\"key\":\"a\",\"match\":{\"value\":1}}", "filter: `key` is no member of a filter"},
        {"{\"nust\":[]}", "filter: `nust` is no member of a filter"},
        {"{\"must\":1}", "filter.must: a condition is needed, not an integer"},
        {"{\"must\":[{},null]}", "filter.must[1]: a condition is needed, not null"},
        {"{\"must\":[[]]}", "filter.must[0]: a condition is needed, not an array"},
        {"{\"must\":[{\"kay\":\"a\"}]}", "filter.must[0]: `kay` is no member of a condition"},
        {"{\"must\":[{\"key\":\"a\"}]}", "filter.must[0]: a condition is of one kind"},
        {ON("\"match\":{\"value\":1},\"range\":{\"lt\":1}"),
         "filter.must[0]: a condition is of one"},
        {ON("\"match\":{\"value\":1},\"must\":[]"), "filter.must[0]: a condition is of one kind"},
        {ON("\"has_id\":[1]"), "filter.must[0]: `key` does not go with `has_id`"},
        {ON("\"nested\":{}"), "filter.must[0]: `key` does not go with `nested`"},
        {"{\"must\":{\"match\":{\"value\":1}}}", "filter.must: `key` is missing"},
        {"{\"must\":{\"is_empty\":true}}", "filter.must: `key` is missing"},
        {"{\"must\":{\"key\":7,\"match\":{\"value\":1}}}",
         "filter.must.key: a path as a string is needed, not an integer"},
        {"{\"must\":{\"key\":\"\",\"match\":{\"value\":1}}}", "filter.must.key: a path is empty"},
        {"{\"must\":{\"key\":\"a[\",\"match\":{\"value\":1}}}", "filter.must.key: path 'a[': '['"},
        {ON("\"match\":{}"), "filter.must[0].match: a match has one of"},
        {ON("\"match\":{\"value\":null}"), "filter.must[0].match: a match has one of"},
        {ON("\"match\":{\"value\":1,\"any\":[1]}"), "filter.must[0].match: a match has one of"},
        {ON("\"match\":1"), "filter.must[0].match: a match {value"},
        {ON("\"match\":{\"prefix\":1}"), "match.prefix: a string is needed, not an integer"},
        {ON("\"match\":{\"suffix\":\"x\"}"), "filter.must[0].match: `suffix` is no member of"},
        {ON("\"match\":{\"value\":1.0}"), "filter.must[0].match.value: a float cannot be matched"},
        {ON("\"match\":{\"value\":[1]}"),
         "match.value: an integer, a string or a boolean is needed"},
        {ON("\"match\":{\"value\":{}}"),
         "match.value: an integer, a string or a boolean is needed"},
        {ON("\"match\":{\"any\":1}"), "filter.must[0].match.any: a list is needed, not an integer"},
        {ON("\"match\":{\"any\":[1,null]}"), "filter.must[0].match.any[1]: an integer"},
        {ON("\"match\":{\"except\":[1,[1]]}"), "filter.must[0].match.except[1]: an integer"},
        {ON("\"match\":{\"text\":1}"), "match.text: a string is needed, not an integer"},
        {ON("\"match\":{\"phrase\":[\"x\"]}"), "match.phrase: a string is needed, not an array"},
        {ON("\"range\":1"), "filter.must[0].range: a range {lt, lte, gt, gte} is needed"},
        {ON("\"range\":{\"lt\":true}"), "filter.must[0].range.lt: a number, or a time as a string"},
        {ON("\"range\":{\"below\":1}"), "filter.must[0].range: `below` is no member of a range"},
        {ON("\"range\":{\"gte\":\"soon\"}"), "filter.must[0].range.gte: `soon` is no time"},
        {ON("\"range\":{\"gte\":\"2024-01-01\",\"lt\":7}"),
         "range.lt: a time as a string is needed"},
        {ON("\"values_count\":{\"lt\":-1}"),
         "values_count.lt: a whole number from 0 is needed, not -1"},
        {ON("\"values_count\":{\"lt\":1.0}"), "values_count.lt: a whole number from 0 is needed"},
        {ON("\"values_count\":{\"lt\":\"1\"}"), "values_count.lt: a whole number from 0 is needed"},
        {ON("\"is_empty\":1"), "filter.must[0].is_empty: true or false is needed, not an integer"},
        {ON("\"is_null\":{\"key\":\"a\"}"), "filter.must[0].is_null: true or false is needed"},
        {"{\"must\":{\"is_null\":{}}}", "filter.must.is_null: `key` is missing"},
        {"{\"must\":{\"is_null\":{\"key\":\"a\",\"x\":1}}}", "is_null: `x` is no member"},
        {"{\"must\":{\"is_empty\":{\"key\":\"a.\"}}}", "filter.must.is_empty.key: path 'a.'"},
        {"{\"must\":{\"has_id\":1}}", "filter.must.has_id: a list of ids is needed"},
        {"{\"must\":{\"has_id\":[1,-1]}}", "has_id[1]: an unsigned integer or a UUID is needed"},
        {"{\"must\":{\"has_id\":[1.0]}}", "has_id[0]: an unsigned integer or a UUID is needed"},
        {"{\"must\":{\"has_id\":[\"12\"]}}",
         "filter.must.has_id[0]: value \"12\" is not a valid point ID, valid values are either an "
         "unsigned integer or a UUID"},
        {"{\"must\":{\"has_vector\":1}}", "filter.must.has_vector: a string is needed"},
        {"{\"must\":{\"nested\":{\"key\":\"a\"}}}", "filter.must.nested: `filter` is missing"},
        {"{\"must\":{\"nested\":{\"filter\":{}}}}", "filter.must.nested: `key` is missing"},
        {"{\"must\":{\"nested\":{\"key\":\"a\",\"filter\":{\"must\":{\"key\":\"b\"}}}}}",
         "filter.must.nested.filter.must: a condition is of one kind"},
        {"{\"min_should\":[]}", "filter.min_should: min_should {conditions, min_count} is needed"},
        {"{\"min_should\":{\"min_count\":1}}", "filter.min_should: `conditions` is missing"},
        {"{\"min_should\":{\"conditions\":[]}}", "filter.min_should: `min_count` is missing"},
        {"{\"min_should\":{\"conditions\":[],\"min_count\":1.0}}",
         "min_count: a whole number is needed"},
        {"{\"min_should\":{\"conditions\":[],\"min_count\":0}}",
         "limit: filter.min_should.min_count: min_count is 1 or more"},
        {"{\"min_should\":{\"conditions\":[],\"min_count\":-1}}",
         "limit: filter.min_should.min_count: min_count is 1 or more"},
        {"{\"must\":{\"slice\":{\"total\":2,\"index\":0}}}", "`slice` is no member of a condition"},
    };

    (void)state;
    check(rows, COUNT_OF(rows));
}

#define P(lat, lon) "{\"lat\":" #lat ",\"lon\":" #lon "}"

static void shapes_are_whole(void **state)
{
    static const struct refusal rows[] = {
        {ON("\"geo_radius\":{\"radius\":1}"), "filter.must[0].geo_radius: `center` is missing"},
        {ON("\"geo_radius\":{\"center\":" P(1, 2) "}"), "geo_radius: `radius` is missing"},
        {ON("\"geo_radius\":{\"center\":" P(1, 2) ",\"radius\":-1}"),
         "limit: filter.must[0].geo_radius.radius: a radius is not negative"},
        {ON("\"geo_radius\":{\"center\":" P(1, 2) ",\"radius\":\"1\"}"),
         "geo_radius.radius: a number of metres is needed, not a string"},
        {ON("\"geo_radius\":{\"center\":[1,2],\"radius\":1}"), "geo_radius.center: a point"},
        {ON("\"geo_radius\":{\"center\":{\"lat\":1},\"radius\":1}"), "center: `lon` is missing"},
        {ON("\"geo_radius\":{\"center\":{\"lat\":1,\"lng\":2},\"radius\":1}"),
         "center: `lng` is no member of a point"},
        {ON("\"geo_radius\":{\"center\":" P(90.5, 2) ",\"radius\":1}"),
         "limit: filter.must[0].geo_radius.center.lat: from -90 to 90 degrees"},
        {ON("\"geo_radius\":{\"center\":" P(1, -181) ",\"radius\":1}"),
         "limit: filter.must[0].geo_radius.center.lon: from -180 to 180 degrees"},
        {ON("\"geo_bounding_box\":{\"top_left\":" P(1, 2) "}"), "`bottom_right` is missing"},
        {ON("\"geo_bounding_box\":{\"top_left\":" P(1, true) ",\"bottom_right\":" P(1, 2) "}"),
         "geo_bounding_box.top_left.lon: a number of degrees is needed, not a boolean"},
        {ON("\"geo_polygon\":{}"), "geo_polygon: `exterior` is missing"},
        {ON("\"geo_polygon\":{\"exterior\":{}}"), "geo_polygon.exterior: `points` is missing"},
        {ON("\"geo_polygon\":{\"exterior\":{\"points\":[]}}"),
         "geo_polygon.exterior.points: a ring has at least 4 points"},
        {ON("\"geo_polygon\":{\"exterior\":{\"points\":[" P(0, 0) "," P(0, 1) "," P(1, 1) "," P(
             1, 0) "]}}"),
         "geo_polygon.exterior.points: a ring has at least 4 points, and the"},
        {ON("\"geo_polygon\":{\"exterior\":{\"points\":[" P(0, 0) "," P(0, 1) "," P(0, 0) "]}}"),
         "a ring has at least 4 points"},
        {ON("\"geo_polygon\":{\"exterior\":{\"points\":[" P(0, 0) "," P(0, 1) "," P(1, 1) "," P(
             0, 0) "]},\"interiors\":[{\"points\":[7]}]}"),
         "geo_polygon.interiors[0].points[0]: a point {lat, lon} is needed, not an integer"},
        {ON("\"geo_polygon\":{\"exterior\":{\"points\":[" P(0, 0) "," P(0, 1) "," P(1, 1) "," P(
             0, 0) "]},\"interiors\":{}}"),
         "interiors: a list of rings is needed"},
    };

    (void)state;
    check(rows, COUNT_OF(rows));
}

static void our_own_dialect_says_what_it_knows(void **state)
{
    static const struct refusal rows[] = {
        {"$[]", "invalid: filter: a filter as an object is needed, not an array"},
        {"${\"a\":{}}", "filter.a: an operator is missing"},
        {"${\"a\":[1]}", "filter.a: a scalar is needed, not an array; $in lists several"},
        {"${\"must\":[{\"key\":\"a\"}]}", "stands in {\"qdrant\": {...}}"},
        {"${\"a\":{\"b\":1}}", "filter.a: `b` is no operator"},
        {"${\"a\":{\"$regex\":\"x\"}}", "filter.a: `$regex` is no operator"},
        {"${\"a\":{\"$lt\":1,\"b\":1}}", "filter.a: `b` is no operator"},
        {"${\"a\":{\"$lt\":true}}", "filter.a.$lt: a number, or a time as a string, is needed"},
        {"${\"a\":{\"$lt\":null}}", "filter.a.$lt: a number, or a time as a string, is needed"},
        {"${\"a\":{\"$lt\":\"x\"}}", "filter.a.$lt: `x` is no time"},
        {"${\"a\":{\"$gt\":1,\"$lt\":\"2024-01-01\"}}", "filter.a.$gt: a time as a string"},
        {"${\"a\":{\"$in\":1}}", "filter.a.$in: a list is needed, not an integer"},
        {"${\"a\":{\"$in\":[1,{}]}}", "filter.a.$in[1]: a scalar is needed, not an object"},
        {"${\"a\":{\"$eq\":{}}}", "filter.a.$eq: a scalar is needed, not an object"},
        {"${\"a\":{\"$exists\":1}}", "filter.a.$exists: true or false is needed"},
        {"${\"a\":{\"$not\":1}}", "filter.a.$not: an object of operators is needed"},
        {"${\"$and\":{}}", "filter.$and: a list of filters is needed, not an object"},
        {"${\"$or\":[]}", "filter.$or: the list is empty"},
        {"${\"$or\":[{\"a\":1},7]}", "filter.$or[1]: a filter as an object is needed"},
        {"${\"$not\":[]}", "filter.$not: a filter as an object is needed, not an array"},
        {"${\"$nor\":[]}", "filter.$nor: a filter has paths, $and, $or and $not"},
        {"${\"a..b\":1}", "filter.a..b: path 'a..b': a key is missing"},
        {"${\"\":1}", "a path is empty"},
        {"${\"qdrant\":1}",
         "filter.qdrant: a filter {must, should, must_not, min_should} is needed"},
        {"${\"qdrant\":{\"must\":{\"key\":\"a\"}}}",
         "filter.qdrant.must: a condition is of one kind"},
    };

    (void)state;
    check(rows, COUNT_OF(rows));
    assert_true(ask("${\"\\\"$a\\\"\":1,\"\\\"qdrant\\\"\":2}", "{\"$a\":1,\"qdrant\":2}"));
}

static void null_is_as_good_as_absent(void **state)
{
    (void)state;
    assert_true(ask("{\"must\":[{\"key\":\"a\",\"match\":{\"value\":1,\"any\":null},\"range\":null,"
                    "\"geo_radius\":null,\"has_id\":null,\"other\":null}],\"more\":null}",
                    "{\"a\":1}"));
    assert_true(ask("{\"must\":[{\"key\":\"a\",\"range\":{\"lt\":2,\"gt\":null}}]}", "{\"a\":1}"));
}

static void of_doubled_members_the_last_counts(void **state)
{
    (void)state;
    assert_false(ask("{\"must\":[{\"key\":\"a\",\"match\":{\"value\":1}}],\"must\":[{\"key\":\"a\","
                     "\"match\":{\"value\":2}}]}",
                     "{\"a\":1}"));
    assert_true(ask("{\"must\":{\"key\":\"a\",\"match\":{\"value\":2,\"value\":1}}}", "{\"a\":1}"));
    assert_true(ask("{\"must\":{\"key\":\"a\",\"match\":{\"value\":1}},\"must\":null}", "{}"));
}

/* depth filters in each other, in the form that needs the fewest levels of JSON. */
static char *nested_filter(const char *open, const char *innermost, size_t depth)
{
    size_t open_bytes = strlen(open);
    char *text = malloc(depth * (open_bytes + 2) + strlen(innermost) + 1);
    char *at = text;

    assert_non_null(text);
    for (size_t i = 0; i + 1 < depth; i++)
        at = memcpy(at, open, open_bytes), at += open_bytes;
    at = stpcpy(at, innermost);
    for (size_t i = 0; i + 1 < depth; i++)
        *at++ = '}';
    *at = '\0';
    return text;
}

static void filters_nest_so_deep_and_no_deeper(void **state)
{
    char *fits = nested_filter("{\"must_not\":", "{}", FILTER_DEPTH_MAX);
    char *deep = nested_filter("{\"must_not\":", "{}", FILTER_DEPTH_MAX + 1);
    char *own_fits = nested_filter("{\"$not\":", "{}", FILTER_DEPTH_MAX);
    char *own_deep = nested_filter("{\"$not\":", "{\"a\":1}", FILTER_DEPTH_MAX + 1);
    char own[4096];

    (void)state;
    assert_int_equal(ask(fits, "{}"), FILTER_DEPTH_MAX % 2 == 1);
    assert_non_null(strstr(ask_refused(deep), "...must_not.must_not"));
    assert_non_null(strstr(ask_refused(deep), "at most 64 levels deep"));
    (void)snprintf(own, sizeof own, "$%s", own_fits);
    assert_int_equal(ask(own, "{}"), FILTER_DEPTH_MAX % 2 == 1);
    (void)snprintf(own, sizeof own, "$%s", own_deep);
    assert_non_null(strstr(ask_refused(own), "at most 64 levels deep"));
    free(fits);
    free(deep);
    free(own_fits);
    free(own_deep);
}

/* depth filters in each other, `close` behind each but the innermost. */
static char *wrapped_filter(const char *open, const char *innermost, const char *close,
                            size_t depth)
{
    char *text = malloc((depth + 1) * (strlen(open) + strlen(close)) + strlen(innermost) + 1);
    char *at = text;

    assert_non_null(text);
    for (size_t i = 0; i + 1 < depth; i++)
        at = stpcpy(at, open);
    at = stpcpy(at, innermost);
    for (size_t i = 0; i + 1 < depth; i++)
        at = stpcpy(at, close);
    return text;
}

/* The reader of JSON leaves all that a filter may be to the filter, however it is written: the form
 * that needs the most levels of JSON is below min_should and nested. */
static void filters_wrapped_in_lists_nest_as_deep(void **state)
{
    static const struct {
        const char *open, *close;
    } shapes[] = {
        {"{\"must\":[", "]}"},
        {"{\"min_should\":{\"min_count\":1,\"conditions\":[", "]}}"},
        {"{\"must\":[{\"nested\":{\"key\":\"a\",\"filter\":", "}}]}"},
        {"{\"min_should\":{\"min_count\":1,\"conditions\":[{\"nested\":{\"key\":\"a\",\"filter\":",
         "}}]}}"},
    };
    static const char leaf[] =
        "{\"must\":[{\"key\":\"a\",\"geo_polygon\":{\"exterior\":{\"points\":[{\"lat\":0,\"lon\":0}"
        ","
        "{\"lat\":0,\"lon\":1},{\"lat\":1,\"lon\":1},{\"lat\":0,\"lon\":0}]}}}]}";

    (void)state;
    for (size_t i = 0; i < COUNT_OF(shapes); i++) {
        char *fits = wrapped_filter(shapes[i].open, leaf, shapes[i].close, FILTER_DEPTH_MAX);
        char *deep = wrapped_filter(shapes[i].open, leaf, shapes[i].close, FILTER_DEPTH_MAX + 1);

        assert_false(ask(fits, "{}"));
        assert_non_null(strstr(ask_refused(deep), "at most 64 levels deep"));
        free(fits);
        free(deep);
    }
}

static char *many(const char *before, const char *one, size_t count, const char *after)
{
    char *text = malloc(strlen(before) + count * (strlen(one) + 1) + strlen(after) + 1);
    char *at;

    assert_non_null(text);
    at = stpcpy(text, before);
    for (size_t i = 0; i < count; i++) {
        if (i > 0)
            *at++ = ',';
        at = stpcpy(at, one);
    }
    (void)stpcpy(at, after);
    return text;
}

static void so_many_conditions_and_no_more(void **state)
{
    static const char one[] = "{\"key\":\"a\",\"match\":{\"value\":1}}";
    char *fits = many("{\"should\":[", one, FILTER_CONDITIONS_MAX, "]}");
    char *over = many("{\"should\":[", one, FILTER_CONDITIONS_MAX + 1, "]}");
    char *own = many("${\"$or\":[", "{\"a\":1}", FILTER_CONDITIONS_MAX, "]}");
    char *values = many("{\"must\":{\"key\":\"a\",\"match\":{\"any\":[", "1", 200000, "]}}}");

    (void)state;
    assert_true(ask(fits, "{\"a\":1}"));
    assert_false(ask(fits, "{}"));
    assert_non_null(strstr(ask_refused(over), "filter.should[10000]: a filter has at most 10000"));
    assert_non_null(strstr(ask_refused(own), "a filter has at most 10000 conditions"));
    assert_true(ask(values, "{\"a\":1}"));
    free(fits);
    free(over);
    free(own);
    free(values);
}

/* Words that differ, or not: doubled ones count as well. */
static void so_many_words_and_no_more(void **state)
{
    static const char before[] = "{\"must\":{\"key\":\"a\",\"match\":{\"phrase\":\"";
    char *fits = many(before, "w", FILTER_TEXT_WORDS_MAX, "\"}}}");
    char *over = many(before, "w", FILTER_TEXT_WORDS_MAX + 1, "\"}}}");

    (void)state;
    assert_false(ask(fits, "{\"a\":\"w w w\"}"));
    assert_string_equal(ask_refused(over), "invalid: filter.must.match.phrase: a text to look for "
                                           "has at most 1024 words");
    free(fits);
    free(over);
}

#define ORIGIN   "{\"lat\":0,\"lon\":0}"
#define TRIANGLE "{\"points\":[" ORIGIN ",{\"lat\":0,\"lon\":1},{\"lat\":1,\"lon\":1}," ORIGIN "]}"
#define SHAPE(s) "{\"key\":\"a\"," s "}"
#define MATCH(m) "{\"key\":\"a\",\"match\":{" m "}}"

static const char everything[] = "{\"must\":[" MATCH("\"value\":\"x\"") "," MATCH(
    "\"any\":[1,2]") ","
                     "{\"key\":\"a\",\"range\":{\"lt\":1}},{\"key\":\"a\",\"values_count\":{\"lt\":"
                     "1}},"
                     "{\"has_id\":[1,\"00000000-0000-0000-0000-000000000001\"]},{\"has_vector\":"
                     "\"v\"}],"
                     "\"should\":[" MATCH("\"text\":\"one two\"") "," MATCH(
                         "\"phrase\":\"one two\"") ","
                                                   "{\"nested\":{\"key\":\"a\",\"filter\":{"
                                                   "\"must\":{\"is_null\":{\"key\":\"b\"}}}}}],"
                                                   "\"must_not\":[{\"key\":\"a\",\"is_empty\":true}"
                                                   "," SHAPE(
                                                       "\"geo_polygon\":{"
                                                       "\"exterior\":" TRIANGLE ",\"interiors"
                                                       "\":"
                                                       "[" TRIANGLE
                                                       "]}") "," SHAPE("\"geo_radius\":{"
                                                                       "\"center\":" ORIGIN
                                                                       ",\"radius\":1}") "," SHAPE("\"geo_bounding_"
                                                                                                   "box\":{\"top_"
                                                                                                   "left\":" ORIGIN
                                                                                                   ",\"bottom_"
                                                                                                   "right\":" ORIGIN
                                                                                                   "}") "],"
                                                                                                        "\"min_"
                                                                                                        "should\":{"
                                                                                                        "\"min_"
                                                                                                        "count\":1,"
                                                                                                        "\"conditio"
                                                                                                        "ns\":[{},{"
                                                                                                        "}]}}";
static const char everything_of_ours[] =
    "${\"a\":{\"$gt\":1,\"$ne\":null,\"$in\":[1,null],\"$nin\":[\"x\"],\"$exists\":true,\"$not\":{"
    "\"$eq\":1}},\"$and\":[{\"b\":1},{\"c\":\"x\"}],\"$or\":[{\"b\":1},{\"c\":\"x\"}],\"$not\":{"
    "\"d\":1},"
    "\"qdrant\":{\"must_not\":{\"key\":\"e\",\"match\":{\"except\":[1]}}}}";

static bool some_words(void *arg, const struct path *path, struct filter_words *out)
{
    (void)arg;
    (void)path;
    *out = (struct filter_words){0};
    return true;
}

/* An arena that is smaller by a piece each time: allocations of the arena fail at each place, not
 * only at those where it asks the heap. */
static void memory_may_run_out_anywhere(void **state)
{
    static const char *const filters[] = {everything, everything_of_ours};
    const struct filter_binding binding = {.words_of = some_words};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(filters); i++)
        for (size_t skipped = 0;; skipped += 16) {
            struct arena arena;
            struct filter *f = NULL;
            struct err err = {0};
            status st;

            arena_init(&arena, (16 << 10) + 64);
            assert_non_null(arena_alloc(&arena, (16 << 10) - skipped));
            st = ask_parse_into(filters[i], &arena, &f, &err);
            assert_int_equal(st == ST_OK, f != NULL);
            if (st == ST_OK)
                st = filter_bind(f, &binding, &arena, &err);
            arena_free(&arena);
            if (st == ST_OK) {
                assert_true(skipped > 1000);
                break;
            }
            assert_int_equal(st, ST_NOMEM);
            assert_non_null(strstr(err.text, "out of memory for"));
            assert_true(skipped < (16 << 10) - 16);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refusals_say_what_and_where),
        cmocka_unit_test(shapes_are_whole),
        cmocka_unit_test(our_own_dialect_says_what_it_knows),
        cmocka_unit_test(null_is_as_good_as_absent),
        cmocka_unit_test(of_doubled_members_the_last_counts),
        cmocka_unit_test(filters_nest_so_deep_and_no_deeper),
        cmocka_unit_test(filters_wrapped_in_lists_nest_as_deep),
        cmocka_unit_test(so_many_conditions_and_no_more),
        cmocka_unit_test(so_many_words_and_no_more),
        cmocka_unit_test(memory_may_run_out_anywhere),
    };

    return cmocka_run_group_tests(tests, NULL, tear_down);
}
