/* The table of problems is whole: each row has a number with a reason, a code of its own, and the
 * members a client relies on. */
#include "api/errors.h"

#include "base/json.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void every_problem_can_be_told(void **state)
{
    (void)state;
    for (int p = 0; p < PROBLEM_COUNT; p++) {
        const struct problem_row *row = problem_row((enum problem)p);

        assert_non_null(row->code);
        assert_non_null(row->title);
        assert_non_null(row->hint);
        assert_string_not_equal(http_reason(row->http_status), "Unknown");
        assert_true(row->http_status >= 400);
        if (row->http_status == 429 || row->http_status == 503)
            assert_true(row->retry_after_s > 0);
        for (int q = 0; q < p; q++)
            assert_string_not_equal(row->code, problem_row((enum problem)q)->code);
    }
}

static void a_problem_is_json_with_all_members(void **state)
{
    (void)state;
    for (int p = 0; p < PROBLEM_COUNT; p++) {
        struct json_small *j = NULL;
        struct buf out;
        double n = 0;

        buf_init(&out, 4096);
        problem_print(&out, (enum problem)p, "a \"detail\"\n\xff", "id-1",
                      p % 2 == 0 ? NULL : "\"more\":\"yes\"");
        assert_false(out.failed);
        assert_int_equal(json_small_parse(buf_slice(&out), &j, NULL), ST_OK);
        assert_string_equal(json_small_text(j, "detail"), "a \"detail\"??");
        assert_string_equal(json_small_text(j, "request_id"), "id-1");
        assert_int_equal(json_small_text(j, "more") != NULL, p % 2);
        assert_string_equal(json_small_text(j, "code"), problem_row((enum problem)p)->code);
        assert_non_null(json_small_text(j, "type"));
        assert_non_null(json_small_text(j, "title"));
        assert_non_null(json_small_text(j, "hint"));
        assert_true(json_small_number(j, "status", &n));
        assert_int_equal((int)n, problem_row((enum problem)p)->http_status);
        json_small_free(j);
        buf_free(&out);
    }
}

/* It names what a client sent, and stands in terminals and logs. */
static void a_detail_can_always_be_printed(void **state)
{
    struct buf out;

    (void)state;
    buf_init(&out, 4096);
    problem_print(&out, PROBLEM_INVALID, "`a\n\x7f\x1b[1m\xc2\x9b` \xc3\xa9", "id", NULL);
    buf_put_u8(&out, 0);
    assert_non_null(strstr((const char *)out.data, "\"detail\":\"`a???[1m??` \xc3\xa9\""));
    buf_free(&out);
}

/* What input can bring about is never the server's fault. */
static void input_never_gets_a_5xx(void **state)
{
    static const status input[] = {ST_INVALID, ST_NOT_FOUND, ST_EXISTS,     ST_CONFLICT,
                                   ST_LIMIT,   ST_DENIED,    ST_UNSUPPORTED};
    static const int framing[] = {400, 413, 414, 417, 431};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(input); i++)
        assert_true(problem_row(problem_of_status(input[i]))->http_status < 500);
    for (size_t i = 0; i < COUNT_OF(framing); i++)
        assert_int_equal(problem_row(problem_of_http(framing[i]))->http_status, framing[i]);
}

static void transient_statuses_are_retryable(void **state)
{
    (void)state;
    for (int st = ST_OK + 1; st <= ST_BUG; st++)
        if (status_is_transient((status)st))
            assert_true(problem_row(problem_of_status((status)st))->retryable);
    assert_false(problem_row(problem_of_status(ST_INVALID))->retryable);
    assert_false(problem_row(problem_of_status(ST_UNKNOWN))->retryable);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_problem_can_be_told),
        cmocka_unit_test(a_problem_is_json_with_all_members),
        cmocka_unit_test(a_detail_can_always_be_printed),
        cmocka_unit_test(input_never_gets_a_5xx),
        cmocka_unit_test(transient_statuses_are_retryable),
    };

    return cmocka_run_group_tests_name("errors", tests, NULL, NULL);
}
