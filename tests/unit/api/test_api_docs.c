/* docs/api.md names every route and every error code there is, docs/qdrant.md every route of the
 * compatible dialect: one that is added without its line there fails here. */
#include "api/api_internal.h"
#include "api/openapi.h"
#include "api/qdrant_door.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include <cmocka.h>

static char *read_doc(const char *path)
{
    FILE *f = fopen(path, "r");
    char *text = calloc(1, 1 << 20);

    assert_non_null(f);
    assert_non_null(text);
    assert_true(fread(text, 1, (1 << 20) - 1, f) > 0);
    (void)fclose(f);
    return text;
}

static void check_routes(const char *path, const struct route *routes, size_t count)
{
    char *doc = read_doc(path);

    for (size_t i = 0; i < count; i++) {
        char want[128];

        if (routes[i].kind == ROUTE_UNSUPPORTED)
            continue;
        (void)snprintf(want, sizeof want, "`%s`", routes[i].pattern);
        if (strstr(doc, want) == NULL)
            fail_msg("%s does not have %s", path, want);
    }
    free(doc);
}

static void every_route_is_documented(void **state)
{
    (void)state;
    check_routes(TV_API_DOC, API_ROUTES, API_ROUTE_COUNT);
    check_routes(TV_QDRANT_DOC, QDRANT_ROUTES, QDRANT_ROUTE_COUNT);
}

static char *unescaped(struct slice text)
{
    char *copy = calloc(1, text.bytes + 1);

    assert_non_null(copy);
    memcpy(copy, text.data, text.bytes);
    return copy;
}

static bool is_a_route(struct slice path, const char *method)
{
    for (size_t i = 0; i < API_ROUTE_COUNT; i++) {
        const char *name = http_method_name(API_ROUTES[i].method);

        if (API_ROUTES[i].kind != ROUTE_UNSUPPORTED && strcasecmp(name, method) == 0 &&
            slice_equal(path, slice_text(API_ROUTES[i].pattern)))
            return true;
    }
    return false;
}

/* What GET /openapi.json answers has each route with its method, and no other. */
static void openapi_has_each_route_and_no_other(void **state)
{
    struct jdoc *doc = NULL;
    struct jval root;
    struct jval paths;
    size_t operations = 0;
    size_t routes = 0;

    (void)state;
    assert_int_equal(jdoc_create(&doc, NULL), ST_OK);
    assert_int_equal(jdoc_parse(doc, slice_make(OPENAPI_JSON, OPENAPI_JSON_BYTES), &root, NULL),
                     ST_OK);
    assert_true(jval_member(root, "paths", &paths));
    for (struct jiter path = jval_iter(paths); jiter_next(&path);) {
        for (struct jiter op = jval_iter(path.value); jiter_next(&op); operations++) {
            char *method = unescaped(op.key);

            if (!is_a_route(path.key, method))
                fail_msg("api/openapi.json has %s %.*s, which is no route", method,
                         (int)path.key.bytes, (const char *)path.key.data);
            free(method);
        }
    }
    for (size_t i = 0; i < API_ROUTE_COUNT; i++)
        routes += API_ROUTES[i].kind != ROUTE_UNSUPPORTED;
    assert_int_equal(operations, routes);
    jdoc_destroy(doc);
}

/* {"type": ..., "properties": {property: schema}} of a component. */
static struct jval property(struct jval root, const char *schema, const char *name)
{
    const char *const steps[] = {"components", "schemas", schema, "properties", name};

    for (size_t i = 0; i < COUNT_OF(steps); i++)
        if (!jval_member(root, steps[i], &root))
            fail_msg("api/openapi.json has no %s in %s", steps[i], schema);
    return root;
}

/* A collection that the compatible dialect made may have payloads only. */
static void openapi_knows_collections_without_vectors(void **state)
{
    static const char *const schemas[] = {"Listed", "Collection"};
    struct jdoc *doc = NULL;
    struct jval root, v;
    uint64_t least = 1;

    (void)state;
    assert_int_equal(jdoc_create(&doc, NULL), ST_OK);
    assert_int_equal(jdoc_parse(doc, slice_make(OPENAPI_JSON, OPENAPI_JSON_BYTES), &root, NULL),
                     ST_OK);
    for (size_t i = 0; i < COUNT_OF(schemas); i++) {
        bool none = false;

        assert_true(jval_member(property(root, schemas[i], "dimension"), "minimum", &v));
        assert_true(jval_u64(v, &least));
        assert_int_equal(least, 0);
        assert_true(jval_member(property(root, schemas[i], "metric"), "enum", &v));
        assert_int_equal(jval_count(v), 5);
        for (struct jiter it = jval_iter(v); jiter_next(&it);)
            none = none || slice_equal(jval_string(it.value), slice_text("none"));
        assert_true(none);
    }
    jdoc_destroy(doc);
}

static void every_code_is_documented_with_its_status(void **state)
{
    char *doc = read_doc(TV_API_DOC);

    (void)state;
    for (int p = 0; p < PROBLEM_COUNT; p++) {
        const struct problem_row *row = problem_row((enum problem)p);
        char want[160];

        (void)snprintf(want, sizeof want, "| %d | `%s` | %s | %s |", row->http_status, row->code,
                       row->title, row->retryable ? "yes" : "no");
        if (strstr(doc, want) == NULL)
            fail_msg("docs/api.md does not have the row %s", want);
    }
    free(doc);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_route_is_documented),
        cmocka_unit_test(openapi_has_each_route_and_no_other),
        cmocka_unit_test(openapi_knows_collections_without_vectors),
        cmocka_unit_test(every_code_is_documented_with_its_status),
    };

    return cmocka_run_group_tests_name("api docs", tests, NULL, NULL);
}
