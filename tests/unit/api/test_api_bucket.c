/* What operators ask of the bucket, over a real socket: tiers, snapshots, aliases, dead letters,
 * and what is said of a bucket that does not answer. */
#include "tests/unit/api/world.h"

#include "base/mem.h"

#include <stdio.h>

static struct world world;

static const struct node_status GREEN = {
    .has_bucket = true, .bucket = "file /b", .breaker = "closed", .pressure = "green"};
#define NEW_COLLECTION "\"dimension\":3,\"metric\":\"l2\"}"

static int open_world(void **state)
{
    struct api_options options = world_options();

    (void)state;
    world_open(&world, &options);
    fake_node_set_bucket(world.node, &GREEN);
    expect(
        &world, "POST", "/api/v1/collections",
        "{\"name\":\"c\",\"tiering_policy\":\"MemoryS3\",\"durability\":\"remote\"," NEW_COLLECTION,
        201);
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

static void a_collection_tells_its_side_in_the_bucket(void **state)
{
    (void)state;
    check("GET", "/api/v1/collections/c", NULL, 200,
          "\"tiering_policy\":\"MemoryS3\",\"durability\":\"remote\"");
    check(
        "GET", "/api/v1/collections/c", NULL, 200,
        "\"switching\":false,\"bucket\":{\"phase\":\"owned\",\"owner\":null,\"epoch\":0,\"shipped_"
        "lsn\":0,\"remote_lsn\":0,\"unshipped_bytes\":0,\"unshipped_records\":0,\"lag_ms\":0,"
        "\"published_lsn\":0,\"published_at\":null,\"segments\":0,\"bytes\":0,\"dlq\":0,"
        "\"trouble\":null}}}");
    expect(&world, "POST", "/api/v1/collections",
           "{\"name\":\"here\",\"tiering_policy\":\"Memory\"," NEW_COLLECTION, 201);
    check("GET", "/api/v1/collections/here", NULL, 200, "\"bucket\":null}}");
    check("GET", "/api/v1/collections/here", NULL, 200, "\"shipped_lsn\":null");
}

static void a_tier_is_switched_while_it_serves(void **state)
{
    (void)state;
    expect(&world, "POST", "/api/v1/collections", "{\"name\":\"here\"," NEW_COLLECTION, 201);
    check("GET", "/api/v1/collections/here/tier", NULL, 200,
          "\"tiering_policy\":\"Memory\",\"durability\":\"local\",\"state\":\"serving\",\"resident_"
          "bytes\":0,\"cache_"
          "hits\":"
          "0,\"cache_misses\":0,\"cold\":null,\"switching\":false,\"bucket\":null}}");
    check("POST", "/api/v1/collections/here/tier", "{\"tiering_policy\":\"MemoryS3\"}", 202,
          "\"switching\":true,\"bucket\":{\"phase\":\"creating\"");
    fake_node_fail_bucket(world.node, ST_CONFLICT);
    check("POST", "/admin/collections/here/snapshot", "{\"name\":\"n\"}", 409,
          "\"code\":\"not_restorable\"");
    fake_node_set_phase(world.node, "here", "owned", false);
    check("PATCH", "/api/v1/collections/here", "{\"durability\":\"remote\"}", 200,
          "\"durability\":\"remote\"");
    check("PATCH", "/api/v1/collections/here", "{\"tiering_policy\":\"Memory\"}", 200,
          "\"bucket\":null");
}

static void a_write_that_waits_in_vain_is_a_202(void **state)
{
    (void)state;
    check("POST", "/api/v1/collections/c/insert", "{\"doc_id\":1,\"vector\":[1,2,3]}", 200, "");
    fake_node_short_of_remote(world.node, true);
    check("POST", "/api/v1/collections/c/insert", "{\"doc_id\":2,\"vector\":[1,2,3]}", 202,
          "{\"doc_id\":2,\"lsn\":2,\"durability\":\"local\"");
    check("POST", "/api/v1/collections/c/insert", "{\"documents\":[{\"vector\":[1,2,3]}]}", 202,
          "\"durability\":\"local\"");
    check("DELETE", "/api/v1/collections/c/docs/2", NULL, 202, "{\"deleted\":1,");
    check("POST", "/api/v1/collections/c/delete", "{\"ids\":[1]}", 202, "{\"deleted\":1,");
}

static void snapshots_say_what_was_sent(void **state)
{
    (void)state;
    expect(&world, "POST", "/api/v1/collections/c/insert", "{\"vector\":[1,2,3]}", 200);
    check("POST", "/admin/collections/c/snapshot", NULL, 200,
          "\"lsn\":1,\"bytes\":4096,\"taken_at\":\"2023-11-14T22:13:21.000000000Z\",\"bucket\":{"
          "\"lsn\":1,\"objects\":2,\"bytes\":100,\"revision\":3,\"pin\":null}},\"latency_ms\":");
    check("POST", "/admin/collections/c/snapshot", "{\"name\":\"monday\"}", 200,
          "\"pin\":\"pin-of-monday\"");
    check("POST", "/admin/collections/c/compact?wait=true", NULL, 200, "\"revision\":3");
    check("POST", "/admin/collections/c/compact", NULL, 202, "{\"job_id\":\"");
}

static void aliases_stand_for_collections(void **state)
{
    (void)state;
    check("GET", "/api/v1/aliases", NULL, 200, "{\"aliases\":[]}");
    check("POST", "/api/v1/aliases", "{\"alias\":\"b\",\"collection\":\"c\"}", 200,
          "{\"alias\":\"b\",\"collection_id\":\"0");
    check("POST", "/api/v1/aliases", "{\"alias\":\"a\",\"collection\":\"b\"}", 200,
          "\"collection\":\"c\"}");
    check("GET", "/api/v1/collections/a", NULL, 200, "\"name\":\"c\"");
    for (int i = 0; i < 40; i++) { /* more than one page of them */
        char body[64];

        (void)snprintf(body, sizeof body, "{\"alias\":\"n%02d\",\"collection\":\"c\"}", i);
        expect(&world, "POST", "/api/v1/aliases", body, 200);
    }
    check("GET", "/api/v1/aliases", NULL, 200, "{\"aliases\":[{\"alias\":\"a\",");
    check("GET", "/api/v1/aliases", NULL, 200, "\"alias\":\"n39\"");
    check("DELETE", "/api/v1/aliases", "{\"alias\":\"a\"}", 200,
          "{\"deleted\":true,\"alias\":\"a\"}");
    check("GET", "/api/v1/collections/a", NULL, 404, "collection_not_found");
    fake_node_fail_bucket(world.node, ST_UNAVAILABLE);
    check("POST", "/api/v1/aliases", "{\"alias\":\"a\",\"collection\":\"c\"}", 503,
          "\"code\":\"store_unavailable\"");
}

static void ownership_is_told_and_taken(void **state)
{
    (void)state;
    fake_node_set_phase(world.node, "c", "foreign", false);
    check("GET", "/api/v1/collections/c/tier", NULL, 200,
          "\"phase\":\"foreign\",\"owner\":\"other\"");
    fake_node_fail_write(world.node, ST_DENIED);
    check("POST", "/api/v1/collections/c/insert", "{\"vector\":[1,2,3]}", 409,
          "\"code\":\"not_owner\"");
    fake_node_fail_bucket(world.node, ST_DENIED);
    check("POST", "/admin/collections/c/dlq/retry", NULL, 409, "\"code\":\"not_owner\"");
    fake_node_set_phase(world.node, "c", "diverged", false);
    check("POST", "/admin/collections/c/take-ownership", NULL, 202, "\"phase\":\"diverged\"");
    fake_node_set_phase(world.node, "c", "foreign", false);
    fake_node_fail_bucket(world.node, ST_UNAVAILABLE);
    check("POST", "/admin/collections/c/take-ownership", NULL, 503, "store_unavailable");
    check("POST", "/admin/collections/c/take-ownership", NULL, 200, "\"phase\":\"owned\"");
    fake_node_fail_write(world.node, ST_DENIED);
    check("POST", "/api/v1/collections/c/insert", "{\"vector\":[1,2,3]}", 403,
          "\"code\":\"denied\"");
}

static void refusals_name_the_bucket_where_it_is_the_cause(void **state)
{
    static const char insert[] = "/api/v1/collections/c/insert";
    struct node_status s = GREEN;
    struct answer a;

    (void)state;
    fake_node_fail_write(world.node, ST_LIMIT);
    check("POST", insert, "{\"vector\":[1,2,3]}", 429, "\"code\":\"too_many_requests\"");
    s.pressure = "orange";
    fake_node_set_bucket(world.node, &s);
    fake_node_fail_write(world.node, ST_LIMIT);
    a = ask(&world, "POST", insert, "{\"vector\":[1,2,3]}");
    assert_int_equal(a.status, 429);
    assert_non_null(strstr(a.body, "\"code\":\"backpressure\""));
    assert_true(answer_has_header(&a, "Retry-After: 5\r\n"));
    answer_free(&a);
    fake_node_fail_write(world.node, ST_NOSPACE);
    check("POST", insert, "{\"vector\":[1,2,3]}", 507, "\"code\":\"no_space\"");
    s.pressure = "red";
    fake_node_set_bucket(world.node, &s);
    fake_node_fail_write(world.node, ST_NOSPACE);
    check("POST", insert, "{\"vector\":[1,2,3]}", 507, "\"code\":\"unshipped_full\"");
    s.pressure_disk = true; /* the bucket has nothing to do with it */
    fake_node_set_bucket(world.node, &s);
    fake_node_fail_write(world.node, ST_NOSPACE);
    check("POST", insert, "{\"vector\":[1,2,3]}", 507, "\"code\":\"no_space\"");
    s.pressure = "orange";
    fake_node_set_bucket(world.node, &s);
    fake_node_fail_write(world.node, ST_LIMIT);
    check("POST", insert, "{\"vector\":[1,2,3]}", 429, "\"code\":\"disk_nearly_full\"");
    fake_node_fail_bucket(world.node, ST_UNAVAILABLE);
    a = ask(&world, "POST", "/api/v1/collections", "{\"name\":\"d\"," NEW_COLLECTION);
    assert_int_equal(a.status, 503);
    assert_non_null(strstr(a.body, "\"code\":\"store_unavailable\""));
    assert_true(answer_has_header(&a, "Retry-After: 5\r\n"));
    answer_free(&a);
}

static void a_log_that_takes_no_writes_is_no_shutdown(void **state)
{
    static const char insert[] = "/api/v1/collections/c/insert";
    struct answer a;

    (void)state;
    fake_node_fail_write(world.node, ST_CLOSED);
    check("POST", insert, "{\"vector\":[1,2,3]}", 503, "\"code\":\"shutting_down\"");
    fake_node_stop_log(world.node, "c");
    fake_node_fail_write(world.node, ST_CLOSED);
    a = ask(&world, "POST", insert, "{\"vector\":[1,2,3]}");
    assert_int_equal(a.status, 503);
    assert_non_null(strstr(a.body, "\"code\":\"log_stopped\""));
    assert_non_null(strstr(a.body, "restart the node"));
    assert_true(answer_has_header(&a, "Retry-After: 30\r\n"));
    answer_free(&a);
}

static void status_and_health_tell_of_the_bucket(void **state)
{
    struct node_status s = GREEN;

    (void)state;
    check("GET", "/api/v1/status", NULL, 200,
          "\"tiering_policies\":[\"Memory\",\"MemoryS3\"],\"readonly\":false");
    check("GET", "/admin/health", NULL, 200,
          "\"bucket\":{\"status\":\"healthy\",\"message\":\"answers\",\"details\":{\"bucket\":"
          "\"file /b\",\"breaker\":\"closed\"}},\"uploader\":{\"status\":\"healthy\",\"message\":"
          "\"everything is in the bucket\"");
    check("GET", "/admin/health", NULL, 200, "\"dlq\":{\"status\":\"healthy\"");
    s.pressure = "orange";
    s.breaker = "open";
    s.unshipped_bytes = 7000;
    s.unshipped_records = 70;
    s.lag_ms = 12345;
    s.uploads_in_flight = 2;
    s.uploads_queued = 3;
    s.dlq_total = 1;
    fake_node_set_bucket(world.node, &s);
    check(
        "GET", "/api/v1/status", NULL, 200,
        "\"durability_clock\":{\"oldest_unshipped_write_seconds\":12.345,\"bytes_at_risk\":7000,"
        "\"records_at_risk\":70},\"backpressure_level\":\"orange\",\"upload_queue\":3,\"uploads_in_"
        "flight\":2,\"dlq_total\":1,\"bucket\":{\"name\":\"file /b\",\"breaker\":\"open\","
        "\"trouble\":null,\"store_grade\":null,\"store_mode\":null}");
    check("GET", "/admin/health", NULL, 200, "circuit-breaker/reset tries at once");
    check("GET", "/admin/health", NULL, 200,
          "\"message\":\"7000 bytes of log wait for the bucket: writes are slowed with 429");
    check("GET", "/admin/health", NULL, 200, "\"message\":\"1 dead letter: `tiervec dlq list`");
    (void)snprintf(s.bucket_trouble, sizeof s.bucket_trouble, "403 AccessDenied");
    fake_node_set_bucket(world.node, &s);
    check("GET", "/admin/health", NULL, 200,
          "\"bucket\":{\"status\":\"degraded\",\"message\":\"403 AccessDenied\"");
    check("POST", "/admin/bucket/probe", "{\"accept\":true}", 200,
          "{\"grade\":\"A\",\"mode\":\"full\",\"server\":\"fake\",");
    check("POST", "/admin/bucket/probe", "{\"accept\":1}", 400, "accept");
    check("POST", "/admin/bucket/probe", "{\"except\":true}", 400, "except");
    check("POST", "/admin/circuit-breaker/reset", NULL, 200,
          "{\"before\":\"open\",\"after\":\"half_open\"}");
    s.has_bucket = false;
    fake_node_set_bucket(world.node, &s);
    check("GET", "/api/v1/status", NULL, 200, "\"oldest_unshipped_write_seconds\":null");
    check("GET", "/admin/health", NULL, 200, "\"dlq\":{\"status\":\"disabled\"");
    check("POST", "/admin/circuit-breaker/reset", "{}", 200, "{\"before\":null,\"after\":null}");
    check("POST", "/admin/bucket/probe", "{}", 400, "no bucket to probe");
}

static void a_vacuum_is_begun_and_looked_at(void **state)
{
    struct node_status s = GREEN;

    (void)state;
    s.has_bucket = false;
    fake_node_set_bucket(world.node, &s);
    check("GET", "/admin/bucket/vacuum", NULL, 200, "{\"vacuum\":null}");
    check("POST", "/admin/bucket/vacuum", NULL, 400, "this node has no bucket");
    s.has_bucket = true;
    fake_node_set_bucket(world.node, &s);
    check("POST", "/admin/bucket/vacuum", "{\"dry_run\":true}", 202,
          "\"state\":\"done\",\"dry_run\":true,\"started_at\":\"2023-11-14T22:13:20.000000000Z\"");
    check("GET", "/admin/bucket/vacuum", NULL, 200,
          "\"deleted\":0,\"goes\":{\"collections\":1,"
          "\"objects\":7,\"bytes\":4096},\"waits\":{\"collections\":0,");
    check("GET", "/admin/bucket/vacuum", NULL, 200,
          "\"collections\":[{\"collection_id\":\"00000000-0000-7000-8000-000000000001\","
          "\"fate\":\"goes\",\"objects\":7,\"bytes\":4096,\"pins\":0}],"
          "\"more_collections\":false}}");
    check("POST", "/admin/bucket/vacuum", NULL, 202, "\"dry_run\":false");
    check("GET", "/admin/bucket/vacuum", NULL, 200, "\"deleted\":7");
    check("POST", "/admin/bucket/vacuum", "{\"dry_run\":1}", 400, "dry_run");
    check("POST", "/admin/bucket/vacuum", "{\"dryrun\":true}", 400, "dryrun");
}

/* --- letters --- */

static uint64_t add(enum letter_kind kind, uint64_t first, uint64_t last, const char *class)
{
    struct letter l = {.kind = kind,
                       .state = LETTER_PARKED,
                       .epoch = 4,
                       .seq = 5,
                       .lsn_first = first,
                       .lsn_last = last,
                       .bytes = 99,
                       .key = "c/00/x/w/4/5",
                       .s3_code = "AccessDenied",
                       .http_status = 403,
                       .message = "put c/00/x/w/4/5: 403 AccessDenied",
                       .attempts = 6,
                       .first_failed_ns = 1700000000000000000u,
                       .last_failed_ns = 1700000001000000000u,
                       .blocking = true};

    (void)snprintf(l.class, sizeof l.class, "%s", class);
    return fake_node_add_letter(world.node, "c", l);
}

static void letters_are_listed_in_pages(void **state)
{
    (void)state;
    check("GET", "/admin/collections/c/dlq", NULL, 200,
          "{\"entries\":[],\"total\":0,\"next_cursor\":null}");
    for (uint64_t i = 0; i < 5; i++)
        assert_int_equal(add(i == 4 ? LETTER_DIVERGENT_TAIL : LETTER_WAL_GROUP, 10 * i + 1,
                             10 * i + 10, i == 0 ? "capacity" : "permanent"),
                         i + 1);
    check(
        "GET", "/admin/collections/c/dlq", NULL, 200,
        "{\"entries\":[{\"id\":\"1\",\"kind\":\"wal_group\",\"lsn_first\":1,\"lsn_last\":10,"
        "\"key\":"
        "\"c/00/x/w/4/5\",\"class\":\"capacity\",\"http_status\":403,\"s3_code\":\"AccessDenied\","
        "\"message\":\"put c/00/x/w/4/5: 403 AccessDenied\",\"attempts\":6,\"first_failed_at\":"
        "\"2023-11-14T22:13:20.000000000Z\",\"last_failed_at\":\"2023-11-14T22:13:21.000000000Z\","
        "\"blocking\":true,\"state\":\"parked\"},{\"id\":\"2\"");
    check("GET", "/admin/collections/c/dlq?limit=2", NULL, 200,
          "\"total\":5,\"next_cursor\":\"2\"}");
    check("GET", "/admin/collections/c/dlq?limit=2&cursor=2", NULL, 200,
          "{\"entries\":[{\"id\":\"3\"");
    check("GET", "/admin/collections/c/dlq?limit=2&cursor=4", NULL, 200,
          "\"total\":5,\"next_cursor\":null}");
    check("GET", "/admin/collections/c/dlq?class=capacity", NULL, 200, "\"total\":1,");
    check("GET", "/admin/collections/c/dlq?kind=divergent_tail", NULL, 200, "\"lsn_first\":41");
    check("GET", "/admin/collections/c/dlq/5", NULL, 200,
          "{\"entry\":{\"id\":\"5\",\"kind\":\"divergent_tail\"");
    check("GET", "/admin/collections/c/dlq/5", NULL, 200,
          "\"epoch\":4,\"seq\":5,\"bytes\":99,\"file\":null,\"s3_request_id\":null}}");
    expect(&world, "POST", "/api/v1/collections", "{\"name\":\"other\"," NEW_COLLECTION, 201);
    check("GET", "/admin/collections/other/dlq/5", NULL, 404, "\"code\":\"letter_not_found\"");
    check("GET", "/admin/collections/other/dlq", NULL, 200, "\"total\":0");
}

static void letters_are_retried_exported_and_replayed(void **state)
{
    struct answer a;

    (void)state;
    add(LETTER_WAL_GROUP, 1, 10, "throttle");
    add(LETTER_WAL_GROUP, 11, 20, "permanent");
    add(LETTER_DIVERGENT_TAIL, 21, 25, "");
    a = ask(&world, "GET", "/admin/collections/c/dlq/3/export", NULL);
    assert_int_equal(a.status, 200);
    assert_true(answer_has_header(&a, "Content-Type: application/x-ndjson\r\n"));
    assert_string_equal(a.body, "{\"op\":\"delete\",\"lsn\":7,\"doc_id\":1}\n");
    answer_free(&a);
    check("POST", "/admin/collections/c/dlq/retry", "{\"ids\":[\"1\",2]}", 200,
          "\"retried_count\":2,\"success_count\":1,\"failed_count\":1,\"message\":\"put "
          "c/00/x/w/4/5: "
          "403 AccessDenied\"}");
    check("POST", "/admin/collections/c/dlq/replay", "{\"ids\":[2]}", 400, "no divergent tail");
    check("POST", "/admin/collections/c/dlq/replay", "{\"ids\":[\"3\"]}", 200,
          "\"replayed_count\":5}");
    check("POST", "/admin/collections/c/dlq/retry", NULL, 200, "\"retried_count\":2,");
    fake_node_fail_bucket(world.node, ST_UNAVAILABLE);
    check("POST", "/admin/collections/c/dlq/retry", NULL, 503, "\"code\":\"store_unavailable\"");
}

/* Nothing goes by accident: not without the range, not with another one. */
static void a_discard_repeats_the_range(void **state)
{
    static const char path[] = "/admin/collections/c/dlq";

    (void)state;
    add(LETTER_WAL_GROUP, 0, 0, "permanent");
    check("DELETE", path, NULL, 409, "\"confirm\":{\"lsn_first\":0,\"lsn_last\":0}}");
    add(LETTER_WAL_GROUP, 11, 20, "permanent");
    check("DELETE", path, "{\"ids\":[2]}", 409, "\"code\":\"confirm_needed\"");
    check("DELETE", path, "{\"ids\":[2],\"confirm\":{\"lsn_first\":11,\"lsn_last\":21}}", 409,
          "\"confirm\":{\"lsn_first\":11,\"lsn_last\":20}}");
    check("GET", path, NULL, 200, "\"total\":2,");
    check("DELETE", path,
          "{\"ids\":[2],\"drop\":true,\"confirm\":{\"lsn_first\":11,\"lsn_last\":20}}", 200,
          "\"discarded\":{\"lsn_first\":11,\"lsn_last\":20,\"records\":10},\"export\":"
          "\"/data/dlq/dropped.ndjson\"}");
    check("GET", path, NULL, 200, "\"total\":1,");
    check("DELETE", path, "{\"confirm\":{\"lsn_first\":0,\"lsn_last\":0}}", 200,
          "\"export\":\"/data/dlq/kept.ndjson\"");
}

/* Each allocation fails once: the answer as ever, a 503 or a closed connection; nothing leaks. */
static void each_failed_allocation_is_survived(void **state)
{
    static const struct {
        const char *method, *path, *body;
        int http_status;
    } rows[] = {
        {"POST", "/admin/collections/c/snapshot", "{\"name\":\"n\"}", 200},
        {"POST", "/admin/collections/c/compact?wait=true", "{}", 200},
        {"POST", "/admin/collections/c/compact", "{}", 202},
        {"POST", "/api/v1/collections/c/tier", "{\"tiering_policy\":\"MemoryS3\"}", 202},
        {"POST", "/api/v1/aliases", "{\"alias\":\"a\",\"collection\":\"c\"}", 200},
        {"GET", "/api/v1/aliases", NULL, 200},
        {"GET", "/admin/collections/c/dlq?class=permanent&kind=wal_group&limit=5", NULL, 200},
        {"GET", "/admin/collections/c/dlq/1/export", NULL, 200},
        {"POST", "/admin/collections/c/dlq/retry", "{\"ids\":[\"1\"]}", 200},
        {"DELETE", "/admin/collections/c/dlq", "{\"ids\":[1]}", 409},
        {"GET", "/admin/health", NULL, 200},
    };

    (void)state;
    add(LETTER_WAL_GROUP, 1, 10, "permanent");
    for (size_t row = 0; row < COUNT_OF(rows); row++) {
        int64_t asked = 1;

        for (int64_t n = 0; n < asked; n++) {
            struct answer a;

            mem_test_fail_after(n);
            a = ask(&world, rows[row].method, rows[row].path, rows[row].body);
            asked = mem_test_count() > n ? n + 2 : 0; /* until none fails */
            mem_test_fail_after(-1);
            assert_true(asked < 100);
            if (a.status != 0 && a.status != rows[row].http_status && a.status != 503)
                fail_msg("%s %s, allocation %lld: %d %s", rows[row].method, rows[row].path,
                         (long long)n, a.status, a.body);
            answer_free(&a);
        }
        expect(&world, rows[row].method, rows[row].path, rows[row].body, rows[row].http_status);
    }
}

#define T(test) cmocka_unit_test_setup_teardown(test, open_world, close_world)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_collection_tells_its_side_in_the_bucket),
        T(a_tier_is_switched_while_it_serves),
        T(a_write_that_waits_in_vain_is_a_202),
        T(snapshots_say_what_was_sent),
        T(aliases_stand_for_collections),
        T(ownership_is_told_and_taken),
        T(refusals_name_the_bucket_where_it_is_the_cause),
        T(a_log_that_takes_no_writes_is_no_shutdown),
        T(status_and_health_tell_of_the_bucket),
        T(a_vacuum_is_begun_and_looked_at),
        T(letters_are_listed_in_pages),
        T(letters_are_retried_exported_and_replayed),
        T(a_discard_repeats_the_range),
        T(each_failed_allocation_is_survived),
    };

    return cmocka_run_group_tests_name("api bucket", tests, NULL, NULL);
}
