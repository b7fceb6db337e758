/* The query routes of the compatible dialect, in front of a node in memory: what they read of a
 * body and print, that many queries run in slices, and that they end when nobody waits. What the
 * forms give is compared with a model by tests/integration/qdrant_query.py. */
#include "tests/unit/api/world.h"

#include "api/qdrant_query.h"
#include "base/mem.h"
#include "index/vindex.h"
#include "node/points.h"

#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

static struct api_options options(void)
{
    struct api_options o = world_options();

    o.body_bytes_max = 1 << 20;
    o.timeout_ms = 60000;
    o.batch_max = 500;
    return o;
}

static void on_made(void *arg, status st, const struct collection_info *info, const struct err *err)
{
    (void)info;
    (void)err;
    assert_int_equal(st, ST_OK);
    atomic_store((atomic_bool *)arg, true);
}

static void make(const struct world *w, const char *name, const struct field_info *fields,
                 size_t count)
{
    const struct collection_spec spec = {
        .name = name, .fields = fields, .field_count = count, .threshold = UINT32_MAX};
    atomic_bool made = false;

    node_collection_create(w->node, &spec, on_made, &made);
    while (!atomic_load(&made))
        (void)usleep(100);
}

/* "u": one unnamed vector of 2. "n": "a" of 2 by the product and "b" of 1 by distance, points 1 to
 * 4, the last without "b". "p": payloads only. */
static void open_all(struct world *w, const struct api_options *o, unsigned workers)
{
    static const struct field_info unnamed[] = {
        {.name = "", .dimension = 2, .metric = VMETRIC_DOT}};
    static const struct field_info named[] = {{.name = "a", .dimension = 2, .metric = VMETRIC_DOT},
                                              {.name = "b", .dimension = 1, .metric = VMETRIC_L2}};

    world_open_workers(w, o, workers);
    make(w, "u", unnamed, 1);
    make(w, "n", named, 2);
    make(w, "p", named, 0);
    expect(w, "PUT", "/collections/u/points?wait=true",
           "{\"points\":[{\"id\":1,\"vector\":[1,0],\"payload\":{\"g\":\"x\",\"n\":{\"k\":1}}},"
           "{\"id\":2,\"vector\":[0,1],\"payload\":{\"g\":[\"x\",7]}},"
           "{\"id\":3,\"vector\":[3,4],\"payload\":{\"g\":7}},"
           "{\"id\":4,\"vector\":[-1,0],\"payload\":{\"g\":[true,\"x\"]}}]}",
           200);
    expect(w, "PUT", "/collections/n/points?wait=true",
           "{\"points\":[{\"id\":1,\"vector\":{\"a\":[1,0],\"b\":[1]}},"
           "{\"id\":2,\"vector\":{\"a\":[0,1],\"b\":[5]}},"
           "{\"id\":3,\"vector\":{\"a\":[1,1],\"b\":[3]}},{\"id\":4,\"vector\":{\"a\":[2,2]}}]}",
           200);
    expect(w, "PUT", "/collections/p/points?wait=true", "{\"points\":[{\"id\":9,\"vector\":{}}]}",
           200);
}

struct
try {
    const char *path, *body;
    int status;
    const char *part; /* of the answer */
};

static void run_rows(const struct world *w, const struct try *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        char path[256];
        struct answer a;

        (void)snprintf(path, sizeof path, "/collections/%s", rows[i].path);
        a = ask(w, "POST", path, rows[i].body);
        if (a.status != rows[i].status || strstr(a.body, rows[i].part) == NULL)
            fail_msg("row %zu: %s %s\n%d %s\nnot %d %s", i, path, rows[i].body, a.status, a.body,
                     rows[i].status, rows[i].part);
        answer_free(&a);
    }
}

#define RUN(w, rows) run_rows(w, rows, sizeof(rows) / sizeof *(rows))
#define Q            "u/points/query"
#define N            "n/points/query"
/* A scored point of which nothing was read; all were written by the first record. */
#define POINT(id, score)                                                                           \
    "{\"id\":" #id ",\"version\":1,\"score\":" #score ",\"payload\":null,\"vector\":null}"
#define LAST "]},\"status\":\"ok\",\"time\":"

static void answers_are_printed_as_they_are_wanted(void **state)
{
    static const struct try rows[] = {
        {Q, "{\"query\":[1,0],\"limit\":2}", 200,
         "{\"usage\":null,\"result\":{\"points\":[" POINT(3, 3) "," POINT(1, 1) LAST},
        {Q, "{\"query\":[1,0],\"offset\":2}", 200,
         "{\"points\":[" POINT(2, 0) "," POINT(4, -1) LAST},
        {Q, "{\"query\":{\"nearest\":[1,0]},\"score_threshold\":1}", 200,
         "[" POINT(3, 3) "," POINT(1, 1) LAST},
        {Q, "{\"query\":[1,0],\"limit\":1,\"offset\":18446744073709551615}", 200,
         "{\"points\":[" LAST},
        {Q, "{\"query\":[1,0],\"filter\":{\"must\":[{\"key\":\"g\",\"match\":{\"value\":7}}]}}",
         200, "[" POINT(3, 3) "," POINT(2, 0) LAST},
        {Q, "{\"query\":1,\"limit\":1,\"with_payload\":[\"n\"],\"with_vector\":true}", 200,
         "[{\"id\":3,\"version\":1,\"score\":3,\"payload\":{},\"vector\":[3,4]}" LAST},
        {Q, "{\"limit\":1,\"with_payload\":{\"exclude\":[\"g\"]}}", 200,
         "[{\"id\":1,\"version\":1,\"score\":0,\"payload\":{\"n\":{\"k\":1}},\"vector\":"
         "null}" LAST},
        {Q, "{}", 200, "[" POINT(1, 0) "," POINT(2, 0) "," POINT(3, 0) "," POINT(4, 0) LAST},
        {Q, "{\"query\":null,\"prefetch\":null,\"limit\":1,\"filter\":null}", 200,
         "[" POINT(1, 0) LAST},
        {Q, "{\"query\":{\"sample\":\"random\"},\"limit\":1,\"offset\":1}", 200,
         "[" POINT(2, 1) LAST},
        {"p/points/query", "{}", 200, "[" POINT(9, 0) LAST},
        {N, "{\"query\":[3],\"using\":\"b\",\"with_vector\":[\"b\"],\"limit\":1}", 200,
         "\"score\":0,\"payload\":null,\"vector\":{\"b\":[3]}}" LAST},
        {N, "{\"query\":[0],\"using\":\"b\"}", 200,
         "[" POINT(1, 1) "," POINT(3, 3) "," POINT(2, 5) LAST},
        {N, "{\"query\":[0],\"using\":\"b\",\"score_threshold\":3}", 200,
         "[" POINT(1, 1) "," POINT(3, 3) LAST},
        {"u/points/query/batch", "{\"searches\":[{\"query\":[1,0],\"limit\":1},{\"limit\":1}]}",
         200,
         "\"result\":[{\"points\":[" POINT(3, 3) "]},{\"points\":[" POINT(1, 0) "]}],\"status\""},
        {"u/points/query/batch", "{\"searches\":[]}", 200, "\"result\":[],\"status\""},
        {"u/points/query/batch", "{\"searches\":[{\"query\":[1]},{\"limit\":1}]}", 400,
         "expected dim: 2, got 1\""},
        {"u/points/query/batch", "{\"searches\":[{},{\"limit\":-1}]}", 400,
         "expected a non-negative one (searches[1])\""},
        {"u/points/query", "{\"query\":{\"nearst\":[1,0]}}", 400,
         "query: `nearst` is no kind of query, one of `nearest`, `recommend`, `fusion`, `rrf`, "
         "`order_by`, `sample` is needed\""},
        {"u/points/query", "{\"params\":{\"quantization\":{\"oversampling\":0.5}}}", 422,
         "[oversampling: value 0.5 invalid, must be 1.0 or larger]"},
        {"u/points/query", "{\"params\":{\"quantization\":{\"ignore\":1}}}", 400,
         "ignore: invalid type: integer, expected a boolean"},
        {"u/points/query", "{\"params\":{\"quantization\":{\"rescore\":\"x\"}}}", 400, "rescore: "},
        {"u/points/query",
         "{\"query\":[3,0],\"limit\":1,\"params\":{\"quantization\":{\"ignore\":true,"
         "\"rescore\":null,\"oversampling\":2}}}",
         200, "\"id\":"},
        {"u/points/query", "{\"prefetch\":[{},{}],\"query\":{\"rrf\":{\"weights\":[0,-0.5]}}}", 422,
         "[weights: value -0.5 invalid, must be 0.0 or larger]"},
        {"u/points/query", "{\"query\":{}}", 400, "expected a vector or a point ID"},
        {"u/points/search", "{\"vector\":[1,0],\"limit\":1}", 200,
         "\"result\":[" POINT(3, 3) "],\"status\""},
        {"n/points/search", "{\"vector\":{\"name\":\"b\",\"vector\":[0]},\"limit\":1}", 200,
         "\"result\":[" POINT(1, 1) "],\"status\""},
        {"u/points/search/batch", "{\"searches\":[{\"vector\":[1,0],\"limit\":1}]}", 200,
         "\"result\":[[" POINT(3, 3) "]],\"status\""},
    };
    struct api_options o = options();
    struct world w;

    (void)state;
    open_all(&w, &o, 2);
    RUN(&w, rows);
    world_close(&w);
}

static void levels_are_made_of_levels(void **state)
{
    static const struct try rows[] = {
        {Q,
         "{\"prefetch\":[{\"query\":[1,0],\"limit\":2},{\"query\":[0,1],\"limit\":2}],"
         "\"query\":{\"fusion\":\"rrf\"}}",
         200, "[" POINT(3, 1) "," POINT(1, 0.33333334) "," POINT(2, 0.33333334) LAST},
        {Q,
         "{\"prefetch\":[{\"query\":[1,0],\"limit\":2},{\"query\":[0,1],\"limit\":2}],"
         "\"query\":{\"rrf\":{\"k\":1,\"weights\":[0,1]}},\"score_threshold\":0.5,\"with_vector\":"
         "true}",
         200,
         "[{\"id\":3,\"version\":1,\"score\":1,\"payload\":null,\"vector\":[3,4]},{\"id\":2,"
         "\"version\":1,\"score\":0.5,\"payload\":null,\"vector\":[0,1]}" LAST},
        {Q, "{\"prefetch\":{\"query\":[1,0],\"limit\":1},\"query\":{\"fusion\":\"dbsf\"}}", 200,
         "[" POINT(3, 0.5) LAST},
        {Q,
         "{\"prefetch\":{\"prefetch\":{\"limit\":3},\"query\":[0,-1],\"limit\":2},\"query\":[1,0]}",
         200, "[" POINT(1, 1) "," POINT(2, 0) LAST},
        /* What is left out above does not use up a place below. */
        {Q, "{\"prefetch\":{\"limit\":1},\"query\":1}", 200, "[" POINT(2, 0) LAST},
        {Q,
         "{\"prefetch\":{\"limit\":1},\"query\":[1,0],\"filter\":{\"must_not\":{\"has_id\":[1]}}}",
         200, "[" POINT(2, 0) LAST},
        {Q, "{\"prefetch\":{\"limit\":1,\"filter\":{\"must\":{\"has_id\":[]}}},\"query\":[1,0]}",
         200, "\"points\":[" LAST},
        {Q,
         "{\"query\":{\"nearest\":[1,0.1],\"mmr\":{\"diversity\":1,\"candidates_limit\":3}},"
         "\"limit\":3}",
         200, "[" POINT(3, 3.4) "," POINT(1, 1) "," POINT(2, 0.1) LAST},
        {Q, "{\"query\":{\"recommend\":{\"positive\":[1],\"negative\":[4]}},\"limit\":1}", 200,
         "[" POINT(3, 9) LAST},
        {Q,
         "{\"query\":{\"recommend\":{\"positive\":[1,[0,1]],\"strategy\":\"sum_scores\"}},"
         "\"limit\":1}",
         200, "[" POINT(3, 7) LAST},
        {Q,
         "{\"query\":{\"recommend\":{\"positive\":[[1,0]],\"strategy\":\"best_score\"}},"
         "\"limit\":1,\"with_payload\":true}",
         200,
         "[{\"id\":3,\"version\":1,\"score\":0.875,\"payload\":{\"g\":7},\"vector\":null}" LAST},
        {N,
         "{\"query\":{\"recommend\":{\"positive\":[[1]],\"strategy\":\"sum_scores\"}},\"using\":"
         "\"b\"}",
         200, "[" POINT(1, 0) "," POINT(3, -4) "," POINT(2, -16) LAST},
        {N,
         "{\"query\":1,\"using\":\"a\",\"lookup_from\":{\"collection\":\"u\",\"vector\":\"\"},"
         "\"limit\":1}",
         200, "[" POINT(4, 2) LAST},
    };
    struct api_options o = options();
    struct world w;

    (void)state;
    open_all(&w, &o, 2);
    RUN(&w, rows);
    world_close(&w);
}

static void groups_and_matrices(void **state)
{
    static const struct try rows[] = {
        {"u/points/query/groups", "{\"query\":[1,0],\"group_by\":\"g\",\"group_size\":1}", 200,
         "{\"groups\":[{\"id\":7,\"hits\":[" POINT(3, 3) "]},{\"id\":\"x\",\"hits\":[" POINT(
             1, 1) "]}" LAST},
        {"u/points/query/groups", "{\"query\":[1,0],\"group_by\":\"g\",\"limit\":1}", 200,
         "{\"groups\":[{\"id\":7,\"hits\":[" POINT(3, 3) "," POINT(2, 0) "]}" LAST},
        {"u/points/query/groups", "{\"group_by\":\"none\"}", 200, "{\"groups\":[" LAST},
        {"u/points/search/matrix/pairs", "{\"sample\":3,\"limit\":1}", 200,
         "{\"pairs\":[{\"a\":1,\"b\":3,\"score\":3},{\"a\":2,\"b\":3,\"score\":4},"
         "{\"a\":3,\"b\":2,\"score\":4}" LAST},
        {"n/points/search/matrix/offsets", "{\"using\":\"b\",\"limit\":2}", 200,
         "{\"offsets_row\":[0,0,1,1,2,2],\"offsets_col\":[2,1,2,0,0,1],\"scores\":[2,4,2,4,2,2],"
         "\"ids\":[1,2,3" LAST},
        {"p/points/search/matrix/offsets", "{}", 400, "Not existing vector name error: \""},
        {"u/points/search/matrix/offsets", "{\"filter\":{\"must\":{\"has_id\":[1]}}}", 200,
         "{\"offsets_row\":[],\"offsets_col\":[],\"scores\":[],\"ids\":[" LAST},
        {"u/points/query/groups", "{\"query\":[1,0]}", 400, "missing field `group_by`"},
        {"u/points/query/groups", "{\"group_by\":\"g\",\"with_lookup\":\"u\"}", 400,
         "not supported"},
    };
    struct api_options o = options();
    struct world w;

    (void)state;
    open_all(&w, &o, 2);
    RUN(&w, rows);
    world_close(&w);
}

/* {"prefetch": ... } inside one another, `depth` of them. */
static void put_nested(struct buf *b, unsigned depth)
{
    buf_reset(b);
    for (unsigned i = 0; i < depth; i++)
        buf_put_text(b, "{\"query\":[1,0],\"prefetch\":");
    buf_put_text(b, "{\"query\":[1,0]}");
    for (unsigned i = 0; i < depth; i++)
        buf_put_text(b, "}");
    buf_put_u8(b, 0);
}

static void put_wide(struct buf *b, unsigned count)
{
    buf_reset(b);
    buf_put_text(b, "{\"query\":{\"fusion\":\"rrf\"},\"prefetch\":[{}");
    for (unsigned i = 1; i < count; i++)
        buf_put_text(b, ",{}");
    buf_put_text(b, "]}");
    buf_put_u8(b, 0);
}

static void expect_body(const struct world *w, const char *path, const struct buf *b,
                        int http_status)
{
    struct answer a = ask(w, "POST", path, (const char *)b->data);

    if (a.status != http_status)
        fail_msg("%.60s: %d %s", (const char *)b->data, a.status, a.body);
    answer_free(&a);
}

static void the_number_of_levels_is_bounded(void **state)
{
    struct api_options o = options();
    struct world w;
    struct buf b;

    (void)state;
    open_all(&w, &o, 1);
    buf_init(&b, 1 << 20);
    put_nested(&b, 15);
    expect_body(&w, "/collections/u/points/query", &b, 200);
    put_nested(&b, 16);
    expect_body(&w, "/collections/u/points/query", &b, 400);
    put_wide(&b, 255);
    expect_body(&w, "/collections/u/points/query", &b, 200);
    put_wide(&b, 256);
    expect_body(&w, "/collections/u/points/query", &b, 400);
    buf_free(&b);
    world_close(&w);
}

/* --- time --- */

static void put_batch(struct buf *b, unsigned count)
{
    buf_init(b, 1 << 20);
    buf_put_text(b, "{\"searches\":[{\"query\":[1,0]}");
    for (unsigned i = 1; i < count; i++)
        buf_put_text(b, ",{\"query\":[1,0]}");
    buf_put_text(b, "]}");
    buf_put_u8(b, 0);
}

static void put_fusion(struct buf *b, unsigned count)
{
    buf_init(b, 1 << 20);
    buf_put_text(b, "{\"query\":{\"fusion\":\"rrf\"},\"prefetch\":[{\"query\":[1,0]}");
    for (unsigned i = 1; i < count; i++)
        buf_put_text(b, ",{\"query\":[1,0]}");
    buf_put_text(b, "]}");
    buf_put_u8(b, 0);
}

static void a_batch_ends_at_its_deadline(void **state)
{
    struct api_options o = options();
    struct answer a;
    struct world w;
    struct buf b;

    (void)state;
    open_all(&w, &o, 1);
    fake_node_query_ms(w.node, 100);
    put_batch(&b, 50);
    a = ask(&w, "POST", "/collections/u/points/query/batch?timeout=1", (const char *)b.data);
    assert_int_equal(a.status, 504);
    assert_non_null(strstr(a.body, "Service internal error: Timeout: "));
    assert_in_range(fake_node_queries(w.node), 1, 20);
    answer_free(&a);
    buf_free(&b);
    world_close(&w);
}

static void who_went_away_is_not_searched_for(void **state)
{
    struct api_options o = options();
    unsigned before;
    char head[256];
    struct world w;
    struct buf b;
    int fd;

    (void)state;
    open_all(&w, &o, 1);
    fake_node_query_ms(w.node, 20);
    put_batch(&b, 400);
    fd = client_connect(&w);
    (void)snprintf(head, sizeof head,
                   "POST /collections/u/points/query/batch HTTP/1.1\r\nHost: t\r\n"
                   "Content-Length: %zu\r\n\r\n",
                   b.bytes - 1);
    client_send_text(fd, head);
    client_send(fd, b.data, b.bytes - 1);
    while (fake_node_queries(w.node) < 3)
        (void)usleep(1000);
    client_reset(fd);
    while (fake_node_pins(w.node) > 0)
        (void)usleep(1000);
    before = fake_node_queries(w.node);
    assert_in_range(before, 3, 300);
    (void)usleep(100000);
    assert_int_equal(fake_node_queries(w.node), before);
    buf_free(&b);
    world_close(&w);
}

enum { TRIES_MAX = 20 };

/* A batch of a second on the one worker, or a query of as many prefetches, and a small request
 * beside it: how many searches had run when that was answered. */
static unsigned queries_before_a_small_request(const struct world *w, bool batch)
{
    const char *path = batch ? "query/batch" : "query";
    unsigned before;
    struct answer a;
    char head[256];
    struct buf b;
    int fd;

    fake_node_query_ms(w->node, 10);
    if (batch)
        put_batch(&b, 100);
    else
        put_fusion(&b, 100);
    fd = client_connect(w);
    (void)snprintf(head, sizeof head,
                   "POST /collections/u/points/%s HTTP/1.1\r\nHost: t\r\n"
                   "Content-Length: %zu\r\n\r\n",
                   path, b.bytes - 1);
    client_send_text(fd, head);
    client_send(fd, b.data, b.bytes - 1);
    while (fake_node_queries(w->node) < 3)
        (void)usleep(1000);
    expect(w, "POST", "/collections/u/points/count", "{}", 200);
    before = fake_node_queries(w->node);
    a = client_read(fd, false);
    assert_int_equal(a.status, 200);
    assert_int_equal(fake_node_queries(w->node), 100);
    answer_free(&a);
    client_close(fd);
    buf_free(&b);
    return before;
}

static void small_requests_pass_large_ones(void **state)
{
    struct api_options o = options();
    struct world w;

    (void)state;
    for (unsigned kind = 0; kind < 2; kind++) {
        unsigned tries = 0;
        unsigned before;

        do { /* once more if the machine kept the client waiting */
            assert_true(tries++ < TRIES_MAX);
            open_all(&w, &o, 1);
            before = queries_before_a_small_request(&w, kind == 0);
            assert_int_equal(atomic_load(&w.api->query_bytes), 0);
            world_close(&w);
        } while (before > 90);
        assert_true(before >= 3);
    }
}

/* With results in hand that are over the bound of all that wait, none more waits. */
static void who_would_hold_too_much_does_not_wait(void **state)
{
    struct api_options o = options();
    struct world w;

    (void)state;
    open_all(&w, &o, 1);
    atomic_store(&w.api->query_bytes, QUERY_PAUSED_BYTES_MAX);
    assert_int_equal(queries_before_a_small_request(&w, false), 100);
    assert_int_equal(atomic_load(&w.api->query_bytes), QUERY_PAUSED_BYTES_MAX);
    world_close(&w);
}

/* --- memory --- */

/* Each allocation fails once: the answer as ever, a 503 or a closed connection; nothing leaks. */
static void each_failed_allocation_is_survived(void **state)
{
    static const struct {
        const char *path, *body;
    } rows[] = {
        {"/collections/u/points/query",
         "{\"prefetch\":[{\"query\":{\"recommend\":{\"positive\":[1],\"negative\":[4],"
         "\"strategy\":\"best_score\"}},\"filter\":{\"must\":{\"key\":\"g\",\"match\":{\"any\":[7,"
         "\"x\"]}}}},"
         "{\"query\":{\"nearest\":2,\"mmr\":{}},\"limit\":5},{\"limit\":3}],"
         "\"query\":{\"rrf\":{\"weights\":[1,2,3]}},\"with_payload\":true,\"with_vector\":true}"},
        {"/collections/u/points/query",
         "{\"prefetch\":{\"prefetch\":{},\"query\":{\"recommend\":{\"positive\":[1,[2,3]]}}},"
         "\"query\":1,\"lookup_from\":{\"collection\":\"u\"},\"with_payload\":[\"g\"]}"},
        {"/collections/u/points/query/batch", "{\"searches\":[{},{\"query\":[1,2]}]}"},
        {"/collections/u/points/query/groups", "{\"query\":[1,0],\"group_by\":\"g\"}"},
        {"/collections/n/points/search/matrix/offsets",
         "{\"using\":\"a\",\"filter\":{\"must\":{\"has_id\":[1,2,3]}}}"},
    };
    struct api_options o = options();
    struct world w;

    (void)state;
    open_all(&w, &o, 1);
    for (size_t row = 0; row < COUNT_OF(rows); row++) {
        int64_t asked = 1;

        expect(&w, "POST", rows[row].path, rows[row].body, 200);
        for (int64_t n = 0; n < asked; n++) {
            struct answer a;

            mem_test_fail_after(n);
            a = ask(&w, "POST", rows[row].path, rows[row].body);
            asked = mem_test_count() > n ? n + 2 : 0; /* until none fails */
            mem_test_fail_after(-1);
            assert_true(asked < 400);
            if (a.status != 0 && a.status != 200 && a.status != 503)
                fail_msg("%s, allocation %lld: %d %s", rows[row].body, (long long)n, a.status,
                         a.body);
            answer_free(&a);
        }
    }
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_are_printed_as_they_are_wanted),
        cmocka_unit_test(levels_are_made_of_levels),
        cmocka_unit_test(groups_and_matrices),
        cmocka_unit_test(the_number_of_levels_is_bounded),
        cmocka_unit_test(a_batch_ends_at_its_deadline),
        cmocka_unit_test(who_went_away_is_not_searched_for),
        cmocka_unit_test(small_requests_pass_large_ones),
        cmocka_unit_test(who_would_hold_too_much_does_not_wait),
        cmocka_unit_test(each_failed_allocation_is_survived),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
