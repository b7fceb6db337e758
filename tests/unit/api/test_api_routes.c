/* Every route over a real socket: what it answers, and each way of asking wrongly. */
#include "tests/unit/api/world.h"

#include "tests/unit/api/refusals.h"

#include <stdio.h>
#include <stdlib.h>

static struct world world;

static int open_world(void **state)
{
    struct api_options options = world_options();

    (void)state;
    world_open(&world, &options);
    return 0;
}

static int close_world(void **state)
{
    (void)state;
    world_close(&world);
    return 0;
}

static void check(const char *method, const char *path, const char *body, int http_status,
                  const char *want)
{
    struct answer a = ask(&world, method, path, body);

    if (a.status != http_status || strstr(a.body, want) == NULL)
        fail_msg("%s %s %s: %d %s\nwanted %d %s", method, path, body == NULL ? "" : body, a.status,
                 a.body, http_status, want);
    answer_free(&a);
}

static void collections_are_made_listed_changed_and_dropped(void **state)
{
    struct answer a;

    (void)state;
    check("GET", "/api/v1/collections", NULL, 200, "{\"collections\":[]}");
    a = ask(&world, "POST", "/api/v1/collections",
            "{\"name\":\"docs\",\"dimension\":384,\"metric\":\"cosine\",\"tiering_policy\":"
            "\"Memory\",\"durability\":\"local\",\"string_ids\":false,\"quantization\":null,"
            "\"hnsw\":{\"m\":16,\"ef_construction\":100,\"ef_search\":64,\"threshold\":0}}");
    assert_int_equal(a.status, 201);
    assert_true(answer_has_header(&a, "Content-Type: application/json\r\n"));
    assert_non_null(strstr(a.body, "\"collection_id\":\"00000000-0000-7000-8000-"));
    assert_non_null(strstr(a.body, "\"name\":\"docs\",\"dimension\":384,\"metric\":\"cosine\","
                                   "\"tiering_policy\":\"Memory\"}"));
    answer_free(&a);
    check("GET", "/api/v1/collections/docs", NULL, 200,
          "\"hnsw\":{\"m\":16,\"ef_construction\":100,\"ef_search\":64,\"threshold\":0}");
    check("GET", "/api/v1/collections/docs", NULL, 200, "\"quantization\":\"scalar\"");
    check("GET", "/api/v1/collections/docs", NULL, 200,
          "\"index_bytes\":{\"vectors\":0,\"codes\":0,\"links\":0}");
    check("PATCH", "/api/v1/collections/docs", "{\"quantization\":\"none\"}", 200,
          "\"quantization\":\"none\"");
    check("PATCH", "/api/v1/collections/docs", "{\"hnsw\":{\"ef_search\":60}}", 200,
          "\"quantization\":\"none\"");
    check("PATCH", "/api/v1/collections/docs",
          "{\"quantization\":\"none\",\"vectors\":{\"\":{\"quantization\":\"scalar\"}}}", 200,
          "\"quantization\":\"scalar\"");
    check("GET", "/api/v1/collections/docs", NULL, 200,
          "\"created_at\":\"2023-11-14T22:13:20.000000000Z\"");
    check("POST", "/api/v1/collections", "{\"name\":\"docs\",\"dimension\":3,\"metric\":\"l2\"}",
          409, "\"code\":\"already_exists\"");
    check("PATCH", "/api/v1/collections/docs", "{\"ef_search\":77,\"name\":\"papers\"}", 200,
          "\"ef_search\":77");
    check("GET", "/api/v1/collections/papers", NULL, 200, "\"rebuild\":null,");
    check("PATCH", "/api/v1/collections/papers", "{\"hnsw\":{\"m\":24}}", 200,
          "\"rebuild\":{\"state\":\"linking\",\"m\":24,\"ef_construction\":200,\"quantization\":"
          "\"scalar\",\"linked\":1,"
          "\"rows\":2,\"started_at\":null}");
    check("GET", "/api/v1/collections/papers", NULL, 200, "\"name\":\"papers\"");
    check("GET", "/api/v1/collections/docs", NULL, 404, "\"code\":\"collection_not_found\"");
    check("DELETE", "/api/v1/collections/papers", NULL, 200, "{\"deleted\":true,");
    check("GET", "/api/v1/collections", NULL, 200, "{\"collections\":[]}");
}

static void many_collections_are_listed_in_name_order(void **state)
{
    char *last = NULL;
    struct answer a;

    (void)state;
    for (int i = 99; i >= 0; i--) {
        char body[96];

        (void)snprintf(body, sizeof body, "{\"name\":\"n%02d\",\"dimension\":3,\"metric\":\"l1\"}",
                       i);
        expect(&world, "POST", "/api/v1/collections", body, 201);
    }
    a = ask(&world, "GET", "/api/v1/collections", NULL);
    for (int i = 0; i < 100; i++) {
        char want[32];
        char *at;

        (void)snprintf(want, sizeof want, "\"name\":\"n%02d\"", i);
        at = strstr(a.body, want);
        assert_true(at != NULL && (last == NULL || at > last));
        last = at;
    }
    answer_free(&a);
}

static void documents_come_back_as_they_went(void **state)
{
    struct answer a;

    (void)state;
    make_collection(&world, "l2");
    a = ask(&world, "POST", "/api/v1/collections/c/insert",
            "{\"doc_id\":18446744073709551615,\"external_id\":\"e\\u00e9\",\"vector\":[1,0.1,-2e0],"
            "\"payload\":{\"n\":9007199254740993,\"t\":\"x\"}}");
    assert_int_equal(a.status, 200);
    assert_non_null(strstr(a.body, "{\"doc_id\":18446744073709551615,\"lsn\":1,\"durability\":"
                                   "\"local\",\"latency_ms\":"));
    answer_free(&a);
    check("GET", "/api/v1/collections/c/docs/18446744073709551615", NULL, 200,
          "{\"document\":{\"doc_id\":18446744073709551615,\"external_id\":\"e\xc3\xa9\",\"vector\":"
          "[1,0.1,-2],\"payload\":{\"n\":9007199254740993,\"t\":\"x\"},\"inserted_at\":"
          "\"2023-11-14T22:13:22.000000000Z\",\"lsn\":1}}");
    check("POST", "/api/v1/collections/c/insert",
          "{\"doc_id\":\"00112233-4455-6677-8899-AABBCCDDEEFF\",\"vector\":[0,0,0],\"payload\":"
          "null,\"external_id\":null}",
          200, "{\"doc_id\":\"00112233-4455-6677-8899-aabbccddeeff\",");
    check("GET", "/api/v1/collections/c/docs/00112233445566778899aabbccddeeff", NULL, 200,
          "\"external_id\":null,\"vector\":[0,0,0],\"payload\":{},");
    check("POST", "/api/v1/collections/c/insert", "{\"vector\":[1,2,3]}", 200, "{\"doc_id\":\"0");
    check("GET", "/api/v1/collections/c", NULL, 200, "\"document_count\":3");
    check("DELETE", "/api/v1/collections/c/docs/18446744073709551615", NULL, 200,
          "{\"deleted\":1,\"lsn\":4,\"durability\":\"local\"");
    check("DELETE", "/api/v1/collections/c/docs/18446744073709551615", NULL, 404,
          "\"code\":\"document_not_found\"");
    check("GET", "/api/v1/collections/c/docs/18446744073709551615", NULL, 404,
          "\"code\":\"document_not_found\"");
}

static void batches_are_one_write(void **state)
{
    (void)state;
    make_collection(&world, "cosine");
    check("POST", "/api/v1/collections/c/insert",
          "{\"documents\":[{\"doc_id\":1,\"vector\":[1,0,0],\"payload\":{\"a\":[1,{\"b\":null}]}},"
          "{\"doc_id\":2,\"vector\":[0,1,0],\"external_id\":\"two\"},{\"doc_id\":3,\"vector\":"
          "[0,0,1],\"payload\":{\"third\":3}}]}",
          200, "{\"inserted\":3,\"lsn\":1,\"durability\":\"local\",\"latency_ms\":");
    assert_int_equal(fake_node_writes(world.node), 1);
    check("GET", "/api/v1/collections/c/docs/1", NULL, 200, "\"payload\":{\"a\":[1,{\"b\":null}]}");
    check("GET", "/api/v1/collections/c/docs/2", NULL, 200, "\"payload\":{}");
    check("GET", "/api/v1/collections/c/docs/3", NULL, 200, "\"payload\":{\"third\":3}");
    check("POST", "/api/v1/collections/c/insert",
          "{\"documents\":[{\"doc_id\":4,\"vector\":[1,0,0]},{\"vector\":[0,1,0]}]}", 200,
          "{\"inserted\":2,\"doc_ids\":[4,\"0");
    check("POST", "/api/v1/collections/c/delete", "{\"ids\":[1,2,77]}", 200,
          "{\"deleted\":2,\"lsn\":3,\"durability\":\"local\",\"latency_ms\":");
    check("POST", "/api/v1/collections/c/delete", "{\"ids\":[1,2,77]}", 200, "{\"deleted\":0,");
}

static void queries_find_the_nearest(void **state)
{
    (void)state;
    make_collection(&world, "l2");
    expect(&world, "POST", "/api/v1/collections/c/insert",
           "{\"documents\":[{\"doc_id\":1,\"vector\":[0,0,0],\"payload\":{\"w\":\"zero\"}},"
           "{\"doc_id\":2,\"vector\":[3,4,0],\"external_id\":\"five\"},{\"doc_id\":3,\"vector\":"
           "[9,9,9]}]}",
           200);
    check("POST", "/api/v1/collections/c/query", "{\"query_vector\":[0,0,0],\"top_k\":2}", 200,
          "{\"matches\":[{\"doc_id\":1,\"external_id\":null,\"distance\":0,\"score\":1,\"payload\":"
          "{\"w\":\"zero\"}},{\"doc_id\":2,\"external_id\":\"five\",\"distance\":5,\"score\":-4,"
          "\"payload\":{}}],\"latency_ms\":");
    check("POST", "/api/v1/collections/c/query",
          "{\"query_vector\":[3,4,0],\"top_k\":1,\"with_payload\":false,\"with_vector\":true,"
          "\"ef_search\":50,\"exact\":true,\"timeout_ms\":5000,\"filter\":null}",
          200,
          "{\"matches\":[{\"doc_id\":2,\"external_id\":\"five\",\"distance\":0,\"score\":1,"
          "\"vector\":[3,4,0]}],\"latency_ms\":");
    check("POST", "/api/v1/collections/c/query", "{\"query_vector\":[3,4,0],\"explain\":true}", 200,
          "\"explain\":{\"using\":\"\",\"plan\":\"scan\",\"way\":\"scan\",\"candidates_"
          "considered\":3,"
          "\"nodes_visited\":0,\"layers_traversed\":0,\"distance_calculations\":3,"
          "\"vectors_scanned\":3,\"filter_selectivity\":");
    check(
        "POST", "/api/v1/collections/c/query",
        "{\"queries\":[{\"query_vector\":[0,0,0],\"top_k\":1},{\"query_vector\":[9,9,9],\"top_k\":"
        "1,\"with_payload\":false}],\"timeout_ms\":9000}",
        200,
        "{\"results\":[{\"matches\":[{\"doc_id\":1,\"external_id\":null,\"distance\":0,\"score\":"
        "1,\"payload\":{\"w\":\"zero\"}}]},{\"matches\":[{\"doc_id\":3,\"external_id\":null,"
        "\"distance\":0,\"score\":1}]}],\"latency_ms\":");
}

/* 40 queries of 2 ms are bulk: they go through the queue again and run in slices. */
static void heavy_searches_run_in_slices(void **state)
{
    struct buf body;
    struct answer a;
    size_t found = 0;

    (void)state;
    make_collection(&world, "l2");
    expect(&world, "POST", "/api/v1/collections/c/insert", "{\"doc_id\":1,\"vector\":[0,0,0]}",
           200);
    fake_node_query_ms(world.node, 2);
    buf_init(&body, 1 << 20);
    buf_put_text(&body, "{\"queries\":[");
    for (int i = 0; i < 40; i++)
        buf_printf(&body, "%s{\"query_vector\":[%d,0,0]}", i == 0 ? "" : ",", i);
    buf_put_text(&body, "]}");
    buf_put_u8(&body, 0);
    a = ask(&world, "POST", "/api/v1/collections/c/query", (const char *)body.data);
    assert_int_equal(a.status, 200);
    for (const char *at = a.body; (at = strstr(at, "\"matches\"")) != NULL; at++)
        found++;
    assert_int_equal(found, 40);
    answer_free(&a);
    buf_free(&body);
}

static void a_deadline_ends_a_search(void **state)
{
    (void)state;
    make_collection(&world, "l2");
    fake_node_query_ms(world.node, 20);
    check("POST", "/api/v1/collections/c/query",
          "{\"queries\":[{\"query_vector\":[0,0,0],\"timeout_ms\":1},{\"query_vector\":[0,0,0],"
          "\"timeout_ms\":1}]}",
          504, "\"code\":\"deadline_exceeded\"");
}

static void pages_follow_each_other_in_id_order(void **state)
{
    char path[512] = "/api/v1/collections/c/docs?limit=7";
    unsigned seen = 0;

    (void)state;
    make_collection(&world, "l2");
    for (int i = 29; i >= 0; i--) {
        char body[64];

        (void)snprintf(body, sizeof body, "{\"doc_id\":%d,\"vector\":[1,2,3]}", i);
        expect(&world, "POST", "/api/v1/collections/c/insert", body, 200);
    }
    for (;;) {
        struct answer a = ask(&world, "GET", path, NULL);
        const char *at = a.body;
        char cursor[256];

        assert_int_equal(a.status, 200);
        assert_null(strstr(a.body, "\"vector\""));
        while ((at = strstr(at, "{\"doc_id\":")) != NULL) {
            assert_int_equal(atoi(at + 10), seen++);
            at++;
        }
        if (strstr(a.body, "\"next_cursor\":null") != NULL) {
            answer_free(&a);
            break;
        }
        assert_int_equal(
            sscanf(strstr(a.body, "\"next_cursor\":\""), "\"next_cursor\":\"%255[^\"]", cursor), 1);
        (void)snprintf(path, sizeof path, "/api/v1/collections/c/docs?limit=7&cursor=%s", cursor);
        answer_free(&a);
    }
    assert_int_equal(seen, 30);
    check("GET", "/api/v1/collections/c/docs?limit=1&with_vector=true", NULL, 200,
          "\"vector\":[1,2,3]");
}

static void health_and_readiness_say_how_it_is(void **state)
{
    (void)state;
    check("GET", "/health", NULL, 200, "{\"status\":\"healthy\",\"version\":\"");
    check("GET", "/livez", NULL, 200, "healthz check passed");
    check("GET", "/healthz", NULL, 200, "healthz check passed");
    check("GET", "/ready", NULL, 200, "{\"status\":\"ready\",\"progress\":1.0}");
    check("GET", "/readyz", NULL, 200, "all shards are ready");
    fake_node_set_ready(world.node, false);
    fake_node_set_degraded(world.node, "collection docs is read-only");
    check("GET", "/health", NULL, 200,
          "{\"status\":\"degraded\",\"version\":\"0.1.0\",\"reasons\":[\"collection docs is "
          "read-only\"]}");
    check("GET", "/ready", NULL, 503, "{\"status\":\"hydrating\",\"progress\":0.25}");
    check("GET", "/readyz", NULL, 503, "not ready");
    check("GET", "/livez", NULL, 200, "");
    check("GET", "/api/v1/status", NULL, 200, "\"node_id\":\"fake\"");
    check("GET", "/admin/health", NULL, 200,
          "\"components\":{\"storage\":{\"status\":\"degraded\"");
    check("GET", "/admin/health", NULL, 200, "\"wal\":{\"status\":\"healthy\"");
    fake_node_set_degraded(world.node, "the disk is full");
    check("GET", "/admin/health", NULL, 200, "\"wal\":{\"status\":\"degraded\"");
    check("GET", "/admin/health", NULL, 200, "\"disk\":{\"status\":\"degraded\"");
}

static void operators_may_refuse_writes(void **state)
{
    (void)state;
    make_collection(&world, "l2");
    check("POST", "/admin/readonly", NULL, 200, "{\"readonly\":true}");
    check("POST", "/api/v1/collections/c/insert", "{\"vector\":[1,2,3]}", 403,
          "\"code\":\"denied\"");
    check("POST", "/admin/readwrite", "{}", 200, "{\"readonly\":false}");
    check("POST", "/api/v1/collections/c/insert", "{\"vector\":[1,2,3]}", 200, "doc_id");
    check("POST", "/admin/reload", NULL, 200, "needs_restart");
    check("POST", "/admin/collections/c/snapshot", NULL, 200, "{\"snapshot\":{\"collection_id\":");
    check("POST", "/admin/collections/c/compact?wait=true", NULL, 200, "\"lsn\":1");
    check("POST", "/admin/collections/c/compact", NULL, 202, "{\"job_id\":\"");
}

static void metrics_count_what_was_asked(void **state)
{
    struct answer a;

    (void)state;
    expect(&world, "GET", "/health", NULL, 200);
    expect(&world, "GET", "/nowhere", NULL, 404);
    a = ask(&world, "GET", "/metrics", NULL);
    assert_int_equal(a.status, 200);
    assert_true(answer_has_header(&a, "Content-Type: text/plain; version=0.0.4"));
    assert_non_null(
        strstr(a.body, "tiervec_requests_total{endpoint=\"GET /health\",status=\"200\"} 1\n"));
    assert_non_null(strstr(a.body, "tiervec_requests_total{endpoint=\"none\",status=\"404\"} 1\n"));
    assert_non_null(strstr(a.body, "tiervec_request_duration_seconds_count{endpoint=\"GET "
                                   "/health\"} 1\n"));
    assert_non_null(strstr(a.body, "tiervec_active_connections "));
    assert_non_null(strstr(a.body, "tiervec_queue_depth{queue=\"workers\"} "));
    answer_free(&a);
}

static void request_ids_are_echoed_or_made(void **state)
{
    static const char get[] = "GET /health HTTP/1.1\r\nHost: t\r\nX-Request-Id: ";
    int fd = client_connect(&world);
    struct answer a;

    (void)state;
    client_send_text(fd, get);
    client_send_text(fd, "job-7.3:a/b\r\n\r\n");
    a = client_read(fd, false);
    assert_true(answer_has_header(&a, "X-Request-Id: job-7.3:a/b\r\n"));
    answer_free(&a);
    client_send_text(fd, get);
    client_send_text(fd, "x\"<>;\xff y\r\n\r\n");
    a = client_read(fd, false);
    assert_true(answer_has_header(&a, "X-Request-Id: xy\r\n"));
    answer_free(&a);
    client_send_text(fd, get);
    client_send_text(fd, "\"\"\r\n\r\n");
    a = client_read(fd, false);
    assert_int_equal(strspn(strstr(a.head, "X-Request-Id: ") + 14, "0123456789abcdef"), 16);
    answer_free(&a);
    client_close(fd);
}

static void head_has_no_body(void **state)
{
    struct answer a = ask(&world, "HEAD", "/health", NULL);

    (void)state;
    assert_int_equal(a.status, 200);
    assert_null(strstr(a.head, "Content-Length: 0"));
    answer_free(&a);
}

/* What the layers below say comes out under its number and code. */
static void statuses_of_the_node_have_their_answers(void **state)
{
    static const struct {
        status st;
        int http_status;
        const char *code;
        bool retry_after;
    } rows[] = {
        {ST_INVALID, 400, "invalid_request", false},
        {ST_NOT_FOUND, 404, "not_found", false},
        {ST_EXISTS, 409, "already_exists", false},
        {ST_CONFLICT, 409, "conflict", false},
        {ST_LIMIT, 429, "too_many_requests", true},
        {ST_NOSPACE, 507, "no_space", false},
        {ST_DENIED, 403, "denied", false},
        {ST_UNAVAILABLE, 503, "unavailable", true},
        {ST_TIMEOUT, 504, "deadline_exceeded", false},
        {ST_UNKNOWN, 503, "write_outcome_unknown", true},
        {ST_IO, 500, "io_error", false},
        {ST_NOMEM, 503, "out_of_memory", true},
        {ST_CORRUPT, 500, "corrupt", false},
        {ST_CLOSED, 503, "shutting_down", true},
        {ST_UNSUPPORTED, 400, "not_supported_yet", false},
        {ST_BUG, 500, "internal", false},
    };

    (void)state;
    make_collection(&world, "l2");
    for (size_t i = 0; i < COUNT_OF(rows) * 2; i++) {
        size_t row = i / 2;
        bool write = i % 2 == 0;
        char code[64];
        struct answer a;

        if (write)
            fake_node_fail_write(world.node, rows[row].st);
        else
            fake_node_fail_query(world.node, rows[row].st);
        a = ask(&world, "POST",
                write ? "/api/v1/collections/c/insert" : "/api/v1/collections/c/query",
                write ? "{\"vector\":[1,2,3]}" : "{\"query_vector\":[1,2,3]}");
        assert_int_equal(a.status, rows[row].http_status);
        assert_string_equal(answer_code(&a, code), rows[row].code);
        assert_true(answer_has_header(&a, "Content-Type: application/problem+json\r\n"));
        assert_int_equal(answer_has_header(&a, "Retry-After: "), rows[row].retry_after);
        answer_free(&a);
    }
}

static void wrong_requests_are_refused_by_name(void **state)
{
    (void)state;
    make_collection(&world, "cosine");
    for (size_t i = 0; i < COUNT_OF(REFUSALS); i++) {
        struct answer a = ask(&world, REFUSALS[i].method, REFUSALS[i].path, REFUSALS[i].body);
        char code[64];

        if (a.status != REFUSALS[i].status ||
            strcmp(answer_code(&a, code), REFUSALS[i].code) != 0 ||
            strstr(a.body, REFUSALS[i].detail) == NULL)
            fail_msg("%s %s %s: %d %s\nwanted %d %s %s", REFUSALS[i].method, REFUSALS[i].path,
                     REFUSALS[i].body == NULL ? "" : REFUSALS[i].body, a.status, a.body,
                     REFUSALS[i].status, REFUSALS[i].code, REFUSALS[i].detail);
        answer_free(&a);
    }
    assert_int_equal(fake_node_writes(world.node), 0);
    check("GET", "/api/v1/collections", NULL, 200, "\"document_count\":0");
}

static void a_batch_over_the_limit_is_refused(void **state)
{
    struct buf body;

    (void)state;
    make_collection(&world, "l2");
    buf_init(&body, 1 << 20);
    for (int kind = 0; kind < 3; kind++) {
        static const char *const open[] = {"{\"documents\":[", "{\"ids\":[", "{\"queries\":["};
        static const char *const item[] = {"{\"vector\":[1,2,3]}", "7",
                                           "{\"query_vector\":[1,2,3]}"};
        static const char *const path[] = {"/api/v1/collections/c/insert",
                                           "/api/v1/collections/c/delete",
                                           "/api/v1/collections/c/query"};

        for (unsigned count = 100; count <= 101; count++) {
            buf_reset(&body);
            buf_put_text(&body, open[kind]);
            for (unsigned i = 0; i < count; i++)
                buf_printf(&body, "%s%s", i == 0 ? "" : ",", item[kind]);
            buf_put_text(&body, "]}");
            buf_put_u8(&body, 0);
            check("POST", path[kind], (const char *)body.data, count == 100 ? 200 : 413,
                  count == 100 ? "" : "has 101 elements, the limit is 100");
        }
    }
    buf_free(&body);
}

#define T(test) cmocka_unit_test_setup_teardown(test, open_world, close_world)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(collections_are_made_listed_changed_and_dropped),
        T(many_collections_are_listed_in_name_order),
        T(documents_come_back_as_they_went),
        T(batches_are_one_write),
        T(queries_find_the_nearest),
        T(heavy_searches_run_in_slices),
        T(a_deadline_ends_a_search),
        T(pages_follow_each_other_in_id_order),
        T(health_and_readiness_say_how_it_is),
        T(operators_may_refuse_writes),
        T(metrics_count_what_was_asked),
        T(request_ids_are_echoed_or_made),
        T(head_has_no_body),
        T(statuses_of_the_node_have_their_answers),
        T(wrong_requests_are_refused_by_name),
        T(a_batch_over_the_limit_is_refused),
    };

    return cmocka_run_group_tests_name("api routes", tests, NULL, NULL);
}
