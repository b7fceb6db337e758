/* The envelope of the compatible dialect around everything a client can be told. */
#include "tests/unit/api/world.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <sys/socket.h>

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
         "Format error in JSON body: distance: unknown variant `dot`"},
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
        {"PUT", V, "{\"metadata\":{\"tier\":\"ram\"}}", 400, "Wrong input: metadata.tier"},
        {"PUT", "/collections/a%3Ab", "{}", 422,
         "Validation error in JSON body: [collection_name: "},
        {"PUT", "/collections/a%2Fb", "{}", 422,
         "Validation error in JSON body: [collection_name: "},
        {"PUT", "/collections/a%00b", "{}", 422, "Validation error in JSON body: "},
        {"PUT", "/collections/a%1Fb", "{}", 422,
         "Validation error in JSON body: [collection_name: "},
        {"PUT", "/collections/x?timeout=0", "{}", 400,
         "Wrong input: Query parameter `timeout`: `0` is not a whole number from 1\""},
        {"PUT", "/collections/x?wait=yes", "{}", 400,
         "Wrong input: Query parameter `wait`: `yes` is not `true` or `false`\""},
        {"PUT", "/collections/x?ordering=any", "{}", 400,
         "Wrong input: Query parameter `ordering`: `any` is not `weak`, `medium` or `strong`\""},
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

/* --- every row of the table of errors --- */

static void each_status_of_the_node_has_its_row(void **state)
{
    static const struct {
        status st;
        int http_status;
        const char *text;
        bool retry_after;
    } rows[] = {{ST_INVALID, 400, "Wrong input: ", false},
                {ST_DENIED, 403, "Forbidden: ", false},
                {ST_NOT_FOUND, 404, "Not found: ", false},
                {ST_CONFLICT, 409, "Wrong input: ", false},
                {ST_LIMIT, 429, "Too many requests: ", true},
                {ST_BUG, 500, "Service internal error: ", false},
                {ST_IO, 500, "Service internal error: ", false},
                {ST_UNAVAILABLE, 503, "Service internal error: ", true},
                {ST_UNKNOWN, 503, "Service internal error: ", true},
                {ST_NOSPACE, 507, "Service internal error: ", false}};
    static const char points[] = "{\"points\":[{\"id\":1,\"vector\":[1,2,3]}]}";

    (void)state;
    expect(&w, "PUT", "/collections/rows", "{\"vectors\":{\"size\":3,\"distance\":\"Dot\"}}", 200);
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        const struct refusal want = {"PUT", "/collections/rows/points?wait=true", points,
                                     rows[i].http_status, rows[i].text};
        struct answer a;

        fake_node_fail_write(w.node, rows[i].st);
        check_refusal(&want);
        fake_node_fail_write(w.node, rows[i].st);
        a = ask(&w, want.method, want.path, want.body);
        assert_int_equal(a.status, rows[i].http_status);
        assert_int_equal(answer_has_header(&a, "Retry-After: 1\r"), rows[i].retry_after);
        answer_free(&a);
    }
}

static void texts_that_programs_test_for_stand_letter_for_letter(void **state)
{
    static const struct refusal refusals[] = {
        {"GET", "/collections/nowhere", NULL, 404,
         "Not found: Collection `nowhere` doesn't exist!\""},
        {"PUT", "/collections/texts", "{}", 409,
         "Wrong input: Collection `texts` already exists!\""},
        {"PUT", "/collections/texts/points", "{\"points\":[{\"id\":1,\"vector\":{\"no\":[1]}}]}",
         400, "Wrong input: Not existing vector name error: no\""},
        {"PUT", "/collections/texts/points", "{\"points\":[{\"id\":1,\"vector\":[1,2]}]}", 400,
         "Wrong input: Vector dimension error: expected dim: 3, got 2\""},
        {"PUT", "/collections/texts/points", "{\"points\":[{\"id\":\"12\",\"vector\":[1,2,3]}]}",
         400,
         "Format error in JSON body: value \\\"12\\\" is not a valid point ID, valid values are "
         "either an unsigned integer or a UUID\""},
    };

    (void)state;
    expect(&w, "PUT", "/collections/texts", "{\"vectors\":{\"size\":3,\"distance\":\"Dot\"}}", 200);
    for (size_t i = 0; i < COUNT_OF(refusals); i++) {
        struct answer a = ask(&w, refusals[i].method, refusals[i].path, refusals[i].body);

        if (a.status != refusals[i].http_status || strstr(a.body, refusals[i].text) == NULL)
            fail_msg("%zu: %d %s", i, a.status, a.body);
        answer_free(&a);
    }
}

static void a_request_keeps_its_id(void **state)
{
    int fd = client_connect(&w);
    struct answer a;

    (void)state;
    client_send_text(fd, "GET /collections/none HTTP/1.1\r\nHost: t\r\nX-Request-Id: mine-1\r\n\r\n"
                         "GET /collections HTTP/1.1\r\nHost: t\r\n\r\n"
                         "HEAD /collections HTTP/1.1\r\nHost: t\r\n\r\n");
    a = client_read(fd, false);
    assert_int_equal(a.status, 404);
    assert_true(answer_has_header(&a, "X-Request-Id: mine-1\r"));
    answer_free(&a);
    a = client_read(fd, false);
    assert_int_equal(a.status, 200);
    assert_true(answer_has_header(&a, "X-Request-Id: "));
    answer_free(&a);
    a = client_read(fd, true);
    assert_int_equal(a.status, 200);
    answer_free(&a);
    client_close(fd);
}

/* --- a listener, a limit and a time of its own --- */

static int connect_to(uint16_t port)
{
    struct sockaddr_in at = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)&at, sizeof at), 0);
    return fd;
}

static void check_sent(uint16_t port, const char *text, int http_status, const char *part)
{
    int fd = connect_to(port);
    struct answer a;

    client_send_text(fd, text);
    a = client_read(fd, false);
    if (a.status != http_status || strstr(a.body, part) == NULL)
        fail_msg("%s: %d %s", text, a.status, a.body);
    answer_free(&a);
    client_close(fd);
}

static void the_listener_of_its_own_speaks_the_dialect_first(void **state)
{
    struct api_options options = world_options();
    struct world two;
    uint16_t own;

    (void)state;
    options.qdrant_host = "127.0.0.1";
    world_open(&two, &options);
    own = api_qdrant_port(two.api);
    assert_true(own != 0 && own != api_port(two.api));
    check_sent(own, "GET /collections HTTP/1.1\r\nHost: t\r\n\r\n", 200, "\"collections\":[]");
    check_sent(own, "GET /readyz HTTP/1.1\r\nHost: t\r\n\r\n", 200, "all shards are ready");
    check_sent(own, "GET /api/v1/collections HTTP/1.1\r\nHost: t\r\n\r\n", 200,
               "{\"collections\":[]");
    check_sent(own, "GET /nowhere HTTP/1.1\r\nHost: t\r\n\r\n", 404, "{\"time\":0.0,\"status\":");
    check_sent(own, "rubbish\r\n\r\n", 400, "{\"time\":0.0,\"status\":");
    check_sent(api_port(two.api), "GET /nowhere HTTP/1.1\r\nHost: t\r\n\r\n", 404, "no_such_route");
    check_sent(api_port(two.api), "rubbish\r\n\r\n", 400, "malformed_http");
    api_drain(two.api, 1000);
    world_close(&two);
    assert_int_equal(api_qdrant_port(w.api), 0);
}

static void a_body_over_the_dialects_own_limit_is_413(void **state)
{
    struct api_options options = world_options();
    struct world small;
    static const char chunked[] = "POST /collections/aliases HTTP/1.1\r\nHost: t\r\n"
                                  "Transfer-Encoding: chunked\r\n\r\n3\r\n{}\n\r\n401\r\n";
    char body[1024 + 1];

    (void)state;
    memset(body, ' ', sizeof body);
    options.qdrant_body_bytes_max = 1024;
    world_open(&small, &options);
    check_sent(api_port(small.api),
               "POST /collections/aliases HTTP/1.1\r\nHost: t\r\nContent-Length: 1025\r\n\r\n", 413,
               "{\"time\":0.0,\"status\":{\"error\":\"Payload too large: ");
    check_sent(api_port(small.api),
               "POST /collections/aliases HTTP/1.1\r\nHost: t\r\nExpect: 100-continue\r\n"
               "Content-Length: 1025\r\n\r\n",
               413,
               "Payload too large: Content-Length is over the limit of a body: send fewer points a "
               "request, or "
               "raise compat.qdrant.max_body\"");
    check_sent(api_port(small.api),
               "POST /collections/aliases HTTP/1.1\r\nHost: t\r\nContent-Encoding: gzip\r\n"
               "Content-Length: 2\r\n\r\n{}",
               415,
               "Bad request: the body is compressed: send it as it is, without Content-Encoding\"");
    {
        int fd = connect_to(api_port(small.api));
        struct answer a;

        client_send_text(fd, chunked);
        client_send(fd, body, sizeof body);
        a = client_read(fd, false);
        assert_int_equal(a.status, 413);
        answer_free(&a);
        client_close(fd);
    }
    /* Our own routes keep theirs. */
    check_sent(api_port(small.api),
               "POST /api/v1/collections HTTP/1.1\r\nHost: t\r\nContent-Length: 1048577\r\n\r\n",
               413, "body_too_large");
    world_close(&small);
}

static void a_write_whose_client_waits_no_longer_is_told_so(void **state)
{
    static const char points[] = "{\"points\":[{\"id\":1,\"vector\":[1,2,3]}]}";
    struct answer a;

    (void)state;
    expect(&w, "PUT", "/collections/late", "{\"vectors\":{\"size\":3,\"distance\":\"Dot\"}}", 200);
    fake_node_hold(w.node, true);
    a = ask(&w, "PUT", "/collections/late/points?wait=true&timeout=1", points);
    fake_node_hold(w.node, false);
    assert_int_equal(a.status, 200);
    assert_non_null(strstr(a.body, "\"status\":\"wait_timeout\"},\"status\":\"ok\""));
    answer_free(&a);
    /* The write went on. */
    a = ask(&w, "PUT", "/collections/late/points?wait=true&timeout=9", points);
    assert_non_null(strstr(a.body, "\"status\":\"completed\""));
    answer_free(&a);
    a = ask(&w, "POST", "/collections/late/points/count", "{}");
    assert_non_null(strstr(a.body, "\"count\":1"));
    answer_free(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_the_loop_refuses_comes_in_the_envelope),
        cmocka_unit_test(what_a_create_body_may_not_say_is_refused),
        cmocka_unit_test(what_is_not_of_the_dialect_is_a_problem_document),
        cmocka_unit_test(the_root_says_who_is_there),
        cmocka_unit_test(each_status_of_the_node_has_its_row),
        cmocka_unit_test(texts_that_programs_test_for_stand_letter_for_letter),
        cmocka_unit_test(a_request_keeps_its_id),
        cmocka_unit_test(the_listener_of_its_own_speaks_the_dialect_first),
        cmocka_unit_test(a_body_over_the_dialects_own_limit_is_413),
        cmocka_unit_test(a_write_whose_client_waits_no_longer_is_told_so),
    };

    return cmocka_run_group_tests(tests, open_world, close_world);
}
