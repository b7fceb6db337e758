/* The envelope of the compatible dialect around everything a client can be told. */
#include "tests/unit/api/world.h"

#include <stdio.h>

static struct world w;

static int open_world(void **state)
{
    struct api_options options = world_options();

    (void)state;
    world_open(&w, &options);
    return 0;
}

static int close_world(void **state)
{
    (void)state;
    world_close(&w);
    return 0;
}

struct refusal {
    const char *method, *path, *body;
    int http_status;
    const char *text; /* the start of status.error */
};

static void check_refusal(const struct refusal *r)
{
    struct answer a = ask(&w, r->method, r->path, r->body);
    char front[512];
    bool fine;

    (void)snprintf(front, sizeof front, "{\"time\":0.0,\"status\":{\"error\":\"%s", r->text);
    fine = a.status == r->http_status && strncmp(a.body, front, strlen(front)) == 0 &&
           strstr(a.body, "\"},\"result\":null}") != NULL &&
           answer_has_header(&a, "Content-Type: application/json\r");
    if (!fine)
        print_error("%s %s: %d %s\nwanted %d %s\n", r->method, r->path, a.status, a.body,
                    r->http_status, r->text);
    answer_free(&a);
    assert_true(fine);
}

static void what_the_loop_refuses_comes_in_the_envelope(void **state)
{
    static const struct refusal refusals[] = {
        {"GET", "/collections/x/y/z", NULL, 404, "Not found: "},
        {"GET", "/issues/none", NULL, 404, "Not found: "},
        {"POST", "/collections/x", "{}", 405, "Method not allowed: "},
        {"DELETE", "/", NULL, 405, "Method not allowed: "},
        {"GET", "/collections/%zz", NULL, 400, "Wrong input: "},
        {"POST", "/collections/x/points/discover", "{}", 400, "Wrong input: Not supported"},
        {"GET", "/quotas", NULL, 400, "Wrong input: Not supported"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(refusals); i++)
        check_refusal(&refusals[i]);
}

static void what_is_not_of_the_dialect_is_a_problem_document(void **state)
{
    struct answer a = ask(&w, "GET", "/collection", NULL);

    (void)state;
    assert_int_equal(a.status, 404);
    assert_true(answer_has_header(&a, "Content-Type: application/problem+json"));
    answer_free(&a);
}

static void check_body(const char *path, int http_status, const char *part)
{
    struct answer a = ask(&w, "GET", path, NULL);

    if (a.status != http_status || strstr(a.body, part) == NULL)
        fail_msg("GET %s: %d %s\nwanted %d %s", path, a.status, a.body, http_status, part);
    answer_free(&a);
}

static void the_root_says_who_is_there(void **state)
{
    (void)state;
    check_body("/", 200, "{\"title\":");
    check_body("/", 200, "\"version\":\"1.19.0\"");
    check_body("/healthz", 200, "healthz check passed");
    check_body("/livez", 200, "healthz check passed");
    check_body("/readyz", 200, "all shards are ready");
    check_body("/telemetry", 200, "\"app\":{\"name\":\"tiervec\",\"version\":\"1.19.0\"}");
    check_body("/telemetry/", 200, "{\"usage\":null,\"result\":{");
    check_body("/cluster?whatever=1", 200,
               "\"result\":{\"status\":\"disabled\"},\"status\":\"ok\"");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_the_loop_refuses_comes_in_the_envelope),
        cmocka_unit_test(what_is_not_of_the_dialect_is_a_problem_document),
        cmocka_unit_test(the_root_says_who_is_there),
    };

    return cmocka_run_group_tests(tests, open_world, close_world);
}
