/* Paths, queries and cursors: what is found, what is refused. */
#include "api/router.h"

#include "base/rand.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static const struct route ROUTES[] = {
    {METHOD_GET, ROUTE_PROBE, "/health", NULL},
    {METHOD_GET, ROUTE_READ, "/c", NULL},
    {METHOD_POST, ROUTE_WRITE, "/c", NULL},
    {METHOD_GET, ROUTE_READ, "/c/{id}", NULL},
    {METHOD_PATCH, ROUTE_WRITE, "/c/{id}", NULL},
    {METHOD_DELETE, ROUTE_WRITE, "/c/{id}", NULL},
    {METHOD_POST, ROUTE_READ, "/c/{id}/query", NULL},
    {METHOD_GET, ROUTE_READ, "/c/{id}/docs/{doc_id}", NULL},
};

static const struct {
    enum http_method method;
    const char *path;
    status want;
    int route; /* index, -1 for none */
    const char *param;
} FINDS[] = {
    {METHOD_GET, "/health", ST_OK, 0, NULL},
    {METHOD_HEAD, "/health", ST_OK, 0, NULL},
    {METHOD_GET, "/health/", ST_OK, 0, NULL},
    {METHOD_GET, "/health//", ST_NOT_FOUND, -1, NULL},
    {METHOD_GET, "//health", ST_NOT_FOUND, -1, NULL},
    {METHOD_GET, "/Health", ST_NOT_FOUND, -1, NULL},
    {METHOD_GET, "/%68ealth", ST_OK, 0, NULL},
    {METHOD_GET, "/", ST_NOT_FOUND, -1, NULL},
    {METHOD_OPTIONS, "*", ST_NOT_FOUND, -1, NULL},
    {METHOD_GET, "/c", ST_OK, 1, NULL},
    {METHOD_POST, "/c", ST_OK, 2, NULL},
    {METHOD_GET, "/c/docs", ST_OK, 3, "docs"},
    {METHOD_GET, "/c/a%2Fb", ST_OK, 3, "a/b"},
    {METHOD_GET, "/c/a%20b/", ST_OK, 3, "a b"},
    {METHOD_GET, "/c/a+b", ST_OK, 3, "a+b"},
    {METHOD_GET, "/c/%c3%a4", ST_OK, 3, "\xc3\xa4"},
    {METHOD_GET, "/c/..", ST_OK, 3, ".."},
    {METHOD_GET, "/c/x/docs/", ST_NOT_FOUND, -1, NULL},
    {METHOD_GET, "/c//docs/1", ST_NOT_FOUND, -1, NULL},
    {METHOD_GET, "/c/x/docs/1", ST_OK, 7, "x"},
    {METHOD_PUT, "/c/x", ST_DENIED, -1, NULL},
    {METHOD_OTHER, "/c/x", ST_DENIED, -1, NULL},
    {METHOD_GET, "/c/x/query", ST_DENIED, -1, NULL},
    {METHOD_GET, "/c/%", ST_INVALID, -1, NULL},
    {METHOD_GET, "/c/%4", ST_INVALID, -1, NULL},
    {METHOD_GET, "/c/%zz", ST_INVALID, -1, NULL},
    {METHOD_GET, "/c/a%00b", ST_INVALID, -1, NULL},
    {METHOD_GET, "/c/1/2/3/4/5/6/7/8/9/10/11", ST_NOT_FOUND, -1, NULL},
};

static void paths_find_their_routes(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(FINDS); i++) {
        struct route_match match;
        struct arena arena;
        struct err err;
        status st;

        arena_init(&arena, 1 << 20);
        st = route_find(ROUTES, COUNT_OF(ROUTES), FINDS[i].method, slice_text(FINDS[i].path),
                        &arena, &match, &err);
        if (st != FINDS[i].want)
            fail_msg("%s gave %s", FINDS[i].path, status_name(st));
        if (FINDS[i].route >= 0)
            assert_ptr_equal(match.route, &ROUTES[FINDS[i].route]);
        else
            assert_null(match.route);
        if (FINDS[i].param != NULL)
            assert_true(slice_equal(match.params[0], slice_text(FINDS[i].param)));
        arena_free(&arena);
    }
}

static const struct route TWINS[] = {{METHOD_GET, ROUTE_READ, "/dlq/{entry}", NULL},
                                     {METHOD_POST, ROUTE_WRITE, "/dlq/retry", NULL}};

static void a_wrong_method_lists_the_right_ones(void **state)
{
    struct route_match match;
    struct arena arena;

    (void)state;
    arena_init(&arena, 1 << 20);
    assert_int_equal(
        route_find(ROUTES, COUNT_OF(ROUTES), METHOD_PUT, slice_text("/c/x"), &arena, &match, NULL),
        ST_DENIED);
    assert_string_equal(match.allow, "GET, HEAD, PATCH, DELETE");
    /* Of "/dlq/retry" and "/dlq/{entry}" the path is the first's. */
    assert_int_equal(route_find(TWINS, COUNT_OF(TWINS), METHOD_PUT, slice_text("/dlq/retry"),
                                &arena, &match, NULL),
                     ST_DENIED);
    assert_string_equal(match.allow, "POST");
    /* What the other would have answered is not told of the one that is found. */
    assert_int_equal(route_find(TWINS, COUNT_OF(TWINS), METHOD_POST, slice_text("/dlq/retry"),
                                &arena, &match, NULL),
                     ST_OK);
    assert_string_equal(match.allow, "");
    assert_int_equal(
        route_find(TWINS, COUNT_OF(TWINS), METHOD_PUT, slice_text("/dlq/7"), &arena, &match, NULL),
        ST_DENIED);
    assert_string_equal(match.allow, "GET, HEAD");
    arena_free(&arena);
}

static void queries_are_decoded(void **state)
{
    struct query_param params[ROUTE_QUERY_MAX];
    struct arena arena;
    struct err err;
    size_t count;

    (void)state;
    arena_init(&arena, 1 << 20);
    assert_int_equal(query_parse(&arena, slice_text("a=1&&b&c=x+y%26z=&=q"), params, &count, &err),
                     ST_OK);
    assert_int_equal(count, 4);
    assert_true(slice_equal(params[0].name, slice_text("a")));
    assert_true(slice_equal(params[0].value, slice_text("1")));
    assert_int_equal(params[1].value.bytes, 0);
    assert_true(slice_equal(params[2].value, slice_text("x y&z=")));
    assert_int_equal(params[3].name.bytes, 0);
    assert_int_equal(query_parse(&arena, slice_text("a=%4"), params, &count, &err), ST_INVALID);
    assert_int_equal(
        query_parse(&arena, slice_text("a&a&a&a&a&a&a&a&a&a&a&a&a&a&a&a&a"), params, &count, &err),
        ST_INVALID);
    assert_int_equal(query_parse(&arena, slice_text(""), params, &count, &err), ST_OK);
    assert_int_equal(count, 0);
    arena_free(&arena);
}

static void cursors_come_back_as_they_went(void **state)
{
    struct rand_seeded rand;

    (void)state;
    rand_seeded_init(&rand, 7);
    for (size_t bytes = 0; bytes < 64; bytes++) {
        uint8_t raw[64];
        struct arena arena;
        struct slice back;
        struct buf text;

        rand.source.fill(&rand.source, raw, sizeof raw);
        arena_init(&arena, 1 << 20);
        buf_init(&text, 1024);
        base64url_put(&text, slice_make(raw, bytes));
        assert_int_equal(base64url_decode(&arena, buf_slice(&text), &back, NULL), ST_OK);
        assert_true(slice_equal(back, slice_make(raw, bytes)));
        buf_free(&text);
        arena_free(&arena);
    }
}

static void broken_cursors_are_refused(void **state)
{
    static const char *const broken[] = {"A", "AAAAA", "A=", "AA==", "A+", "A/", "A A", "\xff\xff"};
    struct arena arena;
    struct slice out;

    (void)state;
    arena_init(&arena, 1 << 20);
    for (size_t i = 0; i < COUNT_OF(broken); i++)
        assert_int_equal(base64url_decode(&arena, slice_text(broken[i]), &out, NULL), ST_INVALID);
    arena_free(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(paths_find_their_routes),
        cmocka_unit_test(a_wrong_method_lists_the_right_ones),
        cmocka_unit_test(queries_are_decoded),
        cmocka_unit_test(cursors_come_back_as_they_went),
        cmocka_unit_test(broken_cursors_are_refused),
    };

    return cmocka_run_group_tests_name("router", tests, NULL, NULL);
}
