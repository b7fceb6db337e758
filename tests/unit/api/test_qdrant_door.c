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

/* A request part that would change an answer and is not there is refused, never dropped. */
static void what_a_create_body_may_not_say_is_refused(void **state)
{
    static const char V[] = "/collections/x";
    static const struct refusal refusals[] = {
        {"PUT", V, "{\"vectors\":", 400, "Format error in JSON body: "},
        {"PUT", V, "[]", 400, "Format error in JSON body: "},
        {"PUT", V, "{\"vectors\":[]}", 400, "Format error in JSON body: vectors: "},
        {"PUT", V, "{\"vectors\":{\"size\":4}}", 400,
         "Format error in JSON body: vectors: missing field `distance`"},
        {"PUT", V, "{\"vectors\":{\"distance\":\"Dot\"}}", 400,
         "Format error in JSON body: vectors: missing field `size`"},
        {"PUT", V, "{\"vectors\":{\"size\":4,\"distance\":\"dot\"}}", 400,
         "Format error in JSON body: unknown variant `dot`"},
        {"PUT", V, "{\"vectors\":{\"size\":\"4\",\"distance\":\"Dot\"}}", 400,
         "Format error in JSON body: size: "},
        {"PUT", V, "{\"vectors\":{\"size\":-1,\"distance\":\"Dot\"}}", 400,
         "Format error in JSON body: size: "},
        {"PUT", V, "{\"vectors\":{\"size\":0,\"distance\":\"Dot\"}}", 422,
         "Validation error in JSON body: [size: "},
        {"PUT", V, "{\"vectors\":{\"size\":65536,\"distance\":\"Dot\"}}", 422,
         "Validation error in JSON body: [size: "},
        {"PUT", V, "{\"vectors\":{\"a\":{\"size\":4,\"distance\":\"Dot\",\"datatype\":\"uint8\"}}}",
         400, "Wrong input: datatype `uint8` is not supported"},
        {"PUT", V,
         "{\"vectors\":{\"size\":4,\"distance\":\"Dot\",\"multivector_config\":{\"comparator\":"
         "\"max_sim\"}}}",
         400, "Wrong input: multivector_config is not supported"},
        {"PUT", V, "{\"sparse_vectors\":{\"t\":{}}}", 400, "Wrong input: sparse_vectors are not"},
        {"PUT", V, "{\"sharding_method\":\"custom\"}", 400, "Wrong input: sharding_method"},
        {"PUT", V, "{\"shard_number\":0}", 422, "Validation error in JSON body: [shard_number: "},
        {"PUT", V, "{\"init_from\":{\"collection\":\"y\"}}", 400, "Wrong input: init_from"},
        {"PUT", V, "{\"hnsw_config\":{\"m\":\"x\"}}", 400, "Format error in JSON body: m: "},
        {"PUT", V, "{\"optimizers_config\":1}", 400,
         "Format error in JSON body: optimizers_config"},
        {"PUT", V, "{\"metadata\":{\"tier\":\"s3_only\"}}", 400, "Wrong input: metadata.tier"},
        {"PUT", V, "{\"metadata\":{\"tier\":\"ram\"}}", 400, "Wrong input: metadata.tier"},
        {"PUT", "/collections/a%3Ab", "{}", 422,
         "Validation error in JSON body: [collection_name: "},
        {"PUT", "/collections/a%2Fb", "{}", 422,
         "Validation error in JSON body: [collection_name: "},
        {"PUT", "/collections/a%1Fb", "{}", 422,
         "Validation error in JSON body: [collection_name: "},
        {"PUT", "/collections/x?timeout=0", "{}", 400, "Wrong input: Query parameter `timeout`"},
        {"PUT", "/collections/x?wait=yes", "{}", 400, "Wrong input: Query parameter `wait`"},
        {"PUT", "/collections/x?ordering=any", "{}", 400,
         "Wrong input: Query parameter `ordering`"},
        {"GET", "/collections/none", NULL, 404, "Not found: Collection `none` doesn't exist!"},
        {"PATCH", "/collections/none", "{}", 404, "Not found: Collection `none` doesn't exist!"},
        {"GET", "/collections/none/aliases", NULL, 404, "Not found: Collection `none` doesn't"},
        {"PUT", "/collections/none/index", "{\"field_name\":\"a\",\"field_schema\":\"bool\"}", 404,
         "Not found: Collection `none` doesn't exist!"},
        {"GET", "/collections/none/snapshots", NULL, 404, "Not found: Collection `none` doesn't"},
        {"POST", "/collections/aliases", "{}", 400, "Format error in JSON body: missing field"},
        {"POST", "/collections/aliases", "{\"actions\":[{}]}", 400, "Format error in JSON body: "},
        {"POST", "/collections/aliases", "{\"actions\":[{\"move_alias\":{}}]}", 400,
         "Format error in JSON body: "},
        {"POST", "/collections/aliases",
         "{\"actions\":[{\"create_alias\":{\"collection_name\":\"c\",\"alias_name\":\"a:b\"}}]}",
         422, "Validation error in JSON body: [alias_name: "},
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
        cmocka_unit_test(what_a_create_body_may_not_say_is_refused),
        cmocka_unit_test(what_is_not_of_the_dialect_is_a_problem_document),
        cmocka_unit_test(the_root_says_who_is_there),
    };

    return cmocka_run_group_tests(tests, open_world, close_world);
}
