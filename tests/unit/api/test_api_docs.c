/* docs/api.md names every route and every error code there is, docs/qdrant.md every route of the
 * compatible dialect: one that is added without its line there fails here. */
#include "api/api_internal.h"
#include "api/qdrant_door.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

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
        cmocka_unit_test(every_code_is_documented_with_its_status),
    };

    return cmocka_run_group_tests_name("api docs", tests, NULL, NULL);
}
