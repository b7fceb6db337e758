/* docs/api.md names every route and every error code there is: one that is added without its line
 * there fails here. */
#include "api/api_internal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static char *read_doc(void)
{
    FILE *f = fopen(TV_API_DOC, "r");
    char *text = calloc(1, 1 << 20);

    assert_non_null(f);
    assert_non_null(text);
    assert_true(fread(text, 1, (1 << 20) - 1, f) > 0);
    (void)fclose(f);
    return text;
}

static void every_route_is_documented(void **state)
{
    char *doc = read_doc();

    (void)state;
    for (size_t i = 0; i < API_ROUTE_COUNT; i++) {
        char want[128];

        if (API_ROUTES[i].kind == ROUTE_UNSUPPORTED)
            continue;
        (void)snprintf(want, sizeof want, "`%s`", API_ROUTES[i].pattern);
        if (strstr(doc, want) == NULL)
            fail_msg("docs/api.md does not have %s", want);
    }
    free(doc);
}

static void every_code_is_documented_with_its_status(void **state)
{
    char *doc = read_doc();

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
