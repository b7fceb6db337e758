/* Large bodies, which are read in slices: they answer as small ones do, and let those pass. */
#include "tests/unit/api/world.h"

#include "base/mem.h"

#include <stdio.h>

enum { BODY_BYTES_MAX = 32 * 1024 * 1024, DOCUMENTS = 3000, TRIES_MAX = 20 };

static struct api_options options(void)
{
    struct api_options o = world_options();

    o.body_bytes_max = BODY_BYTES_MAX;
    o.batch_max = DOCUMENTS;
    o.timeout_ms = 60000;
    return o;
}

/* `numbers` in each payload, in front of `tail`. */
static void put_documents(struct buf *b, unsigned count, unsigned numbers, const char *tail)
{
    buf_init(b, BODY_BYTES_MAX);
    buf_put_text(b, "{\"documents\":[");
    for (unsigned i = 0; i < count; i++) {
        buf_printf(b, "%s{\"doc_id\":%u,\"vector\":[%u,1,2],\"payload\":{\"n\":[0",
                   i > 0 ? "," : "", i + 1, i);
        for (unsigned n = 1; n < numbers; n++)
            buf_printf(b, ",%u", n);
        buf_put_text(b, "]}}");
    }
    buf_put_text(b, tail);
    assert_false(b->failed);
}

static void send_insert(int fd, const struct buf *body)
{
    char head[256]; /* no allocation: some are made to fail meanwhile */

    (void)snprintf(head, sizeof head,
                   "POST /api/v1/collections/c/insert HTTP/1.1\r\nHost: t\r\n"
                   "Content-Length: %zu\r\n\r\n",
                   body->bytes);
    client_send_text(fd, head);
    client_send(fd, body->data, body->bytes);
}

/* What a large list of documents with that end is answered. */
static void expect_insert(const struct world *w, unsigned count, const char *tail, int http_status,
                          const char *part)
{
    struct answer a;
    struct buf body;
    int fd = client_connect(w);

    put_documents(&body, count, 40, tail);
    assert_true(body.bytes > (size_t)64 * 1024); /* else it would not be sliced */
    send_insert(fd, &body);
    a = client_read(fd, false);
    if (a.status != http_status || strstr(a.body, part) == NULL)
        fail_msg("%d %s, not %d %s", a.status, a.body, http_status, part);
    answer_free(&a);
    client_close(fd);
    buf_free(&body);
}

static void large_lists_are_taken_whole_or_not_at_all(void **state)
{
    struct api_options o = options();
    struct answer a;
    struct world w;

    (void)state;
    world_open(&w, &o);
    make_collection(&w, "l2");
    expect_insert(&w, 1000, ",{\"vector\":[1,2]}]}", 400, "documents[1000]: `vector` has 2 values");
    expect_insert(&w, 1000, ",{\"vec\":[1,2,3]}]}", 400, "documents[1000]: `vec` is not a member");
    expect_insert(&w, 1000, ",{\"doc_id\":7}]}", 400, "documents[1000]: `vector` is missing");
    expect_insert(&w, 1000, ",7]}", 400, "documents[1000]: the document is of type integer");
    expect_insert(&w, 1000, ",]}", 400, "malformed JSON at byte");
    expect_insert(&w, 1000, ",{\"vector\":[1,2,3}]}", 400, "malformed JSON at byte");
    expect_insert(&w, 1000, "]", 400, "malformed JSON at byte");
    expect_insert(&w, 1000, "],\"vector\":[1,2,3]}", 400, "`vector` may not stand beside");
    expect_insert(&w, 1000, "],\"filter\":{}}", 400, "`filter` is not a member");
    expect_insert(&w, DOCUMENTS, ",{\"vector\":[1,2,3]}]}", 413, "has 3001 elements");
    assert_int_equal(fake_node_writes(w.node), 0);
    expect_insert(&w, DOCUMENTS, "]}", 200, "\"inserted\":3000,");
    expect_insert(&w, 1000, "] , \"payload\" : null }", 200, "\"inserted\":1000,");
    expect_insert(&w, 1000, ",{\"vector\":[1,2,3]}]}", 200, "\"doc_ids\":[1,2,");
    a = ask(&w, "GET", "/api/v1/collections/c/docs/999", NULL);
    assert_int_equal(a.status, 200);
    assert_non_null(strstr(a.body, "\"vector\":[998,1,2],\"payload\":{\"n\":[0,1,2,3,"));
    answer_free(&a);
    world_close(&w);
}

/* One worker. While it reads a large body, small requests are answered: how many. */
static unsigned small_requests_beside_a_large_insert(void)
{
    struct api_options o = options();
    unsigned passed = 0;
    struct answer a;
    struct buf body;
    struct world w;
    int fd;

    world_open_workers(&w, &o, 1);
    make_collection(&w, "l2");
    put_documents(&body, DOCUMENTS, 1000, "]}");
    fd = client_connect(&w);
    send_insert(fd, &body);
    while (fake_node_writes(w.node) == 0) {
        expect(&w, "GET", "/api/v1/collections/c", NULL, 200);
        passed++;
    }
    a = client_read(fd, false);
    assert_int_equal(a.status, 200);
    answer_free(&a);
    client_close(fd);
    buf_free(&body);
    world_close(&w);
    return passed;
}

/* A client that is itself kept waiting by the machine asks seldom: then once more. */
static void small_requests_pass_a_large_insert(void **state)
{
    unsigned tries = 0;

    (void)state;
    while (small_requests_beside_a_large_insert() < 15)
        assert_true(tries++ < TRIES_MAX);
}

/* Without memory at any place a large insert is refused with 503, or done. */
static void each_failed_allocation_of_a_large_insert_is_survived(void **state)
{
    struct api_options o = options();
    struct buf body;
    struct world w;
    int64_t asked = 0;

    (void)state;
    world_open_workers(&w, &o, 1);
    make_collection(&w, "l2");
    put_documents(&body, 200, 100, "]}");
    for (int64_t n = 0; n <= asked; n += 1 + asked / 100) {
        int fd = client_connect(&w);
        struct answer a;

        expect(&w, "GET", "/livez", NULL, 200);
        mem_test_fail_after(n);
        send_insert(fd, &body);
        a = client_read(fd, false);
        asked = asked > mem_test_count() ? asked : mem_test_count();
        mem_test_fail_after(-1);
        if (a.status != 0 && a.status != 200 && a.status != 503 && a.status != 507)
            fail_msg("after %lld allocations: %d %s", (long long)n, a.status, a.body);
        answer_free(&a);
        client_close(fd);
    }
    expect(&w, "GET", "/api/v1/collections/c", NULL, 200);
    buf_free(&body);
    world_close(&w);
}

/* An answer counts towards the bound on all answers while it grows, not only when it is whole. */
static void an_answer_that_grows_beyond_the_bound_is_given_up(void **state)
{
    static const char query[] = "{\"query_vector\":[1,2,3],\"top_k\":1000}";
    struct api_options o = options();
    unsigned queries;
    struct answer a;
    struct buf body;
    struct world w;
    int fd;

    (void)state;
    o.replies_bytes_max = 1024 * 1024;
    world_open(&w, &o);
    make_collection(&w, "l2");
    put_documents(&body, 1000, 100, "]}");
    fd = client_connect(&w);
    send_insert(fd, &body);
    a = client_read(fd, false);
    assert_int_equal(a.status, 200);
    answer_free(&a);
    client_close(fd);
    buf_reset(&body);
    buf_put_text(&body, "{\"queries\":[");
    for (unsigned i = 0; i < 100; i++)
        buf_printf(&body, "%s%s", i > 0 ? "," : "", query);
    buf_put_text(&body, "]}");
    buf_put_u8(&body, '\0');
    fake_node_query_ms(w.node, 1); /* so that they go in slices */
    a = ask(&w, "POST", "/api/v1/collections/c/query", (const char *)body.data);
    assert_int_equal(a.status, 503);
    assert_non_null(strstr(a.body, "\"code\":\"answers_full\""));
    answer_free(&a);
    queries = fake_node_queries(w.node);
    assert_in_range(queries, 1, 20);
    /* what it held is given back */
    expect(&w, "POST", "/api/v1/collections/c/query", query, 200);
    buf_free(&body);
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(large_lists_are_taken_whole_or_not_at_all),
        cmocka_unit_test(small_requests_pass_a_large_insert),
        cmocka_unit_test(an_answer_that_grows_beyond_the_bound_is_given_up),
        cmocka_unit_test(each_failed_allocation_of_a_large_insert_is_survived),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
