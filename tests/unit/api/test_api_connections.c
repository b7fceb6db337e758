/* What connections do to the door: cut, pipeline, stall, flood, vanish, and what it does to them.
 */
#include "tests/unit/api/world.h"

#include "base/mem.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { TRIES_MAX = 20 };

static const char INSERT[] = "{\"doc_id\":7,\"vector\":[1,2,3]}";

static void rest_ms(long ms)
{
    struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};

    (void)nanosleep(&t, NULL);
}

/* Waits until a count of the fake node is reached; what is waited for happens soon or never. */
static bool comes_to(struct node *n, unsigned (*count)(struct node *), unsigned want)
{
    for (int i = 0; i < 6000; i++) {
        if (count(n) >= want)
            return true;
        rest_ms(10);
    }
    return false;
}

static unsigned pins_given_back(struct node *n)
{
    return fake_node_pins(n) == 0 ? 1 : 0;
}

static void read_status(int fd, int want)
{
    struct answer a = client_read(fd, false);

    if (a.status != want)
        fail_msg("%d %s, wanted %d", a.status, a.body == NULL ? "" : a.body, want);
    answer_free(&a);
}

static void post(int fd, const char *path, const char *body)
{
    char text[1024];

    (void)snprintf(text, sizeof text,
                   "POST %s HTTP/1.1\r\nHost: t\r\nContent-Length: %zu\r\n\r\n%s", path,
                   strlen(body), body);
    client_send_text(fd, text);
}

static void a_hundred_pipelined_requests_are_answered_in_order(void **state)
{
    struct api_options o = world_options();
    struct world w;
    struct buf text;
    int fd;

    (void)state;
    world_open(&w, &o);
    make_collection(&w, "l2");
    buf_init(&text, 1 << 20);
    for (int i = 0; i < 100; i++) {
        char body[64];

        (void)snprintf(body, sizeof body, "{\"doc_id\":%d,\"vector\":[1,2,3]}", i);
        buf_printf(&text,
                   "POST /api/v1/collections/c/insert HTTP/1.1\r\nHost: t\r\nX-Request-Id: r%d\r\n"
                   "Content-Length: %zu\r\n\r\n%s",
                   i, strlen(body), body);
        if (i % 10 == 9)
            buf_put_text(&text, "GET /nowhere HTTP/1.1\r\nHost: t\r\n\r\n");
    }
    fd = client_connect(&w);
    client_send(fd, text.data, text.bytes);
    for (int i = 0; i < 100; i++) {
        struct answer a = client_read(fd, false);
        char want[64];

        assert_int_equal(a.status, 200);
        (void)snprintf(want, sizeof want, "{\"doc_id\":%d,\"lsn\":%d,", i, i + 1);
        assert_non_null(strstr(a.body, want));
        (void)snprintf(want, sizeof want, "X-Request-Id: r%d\r\n", i);
        assert_true(answer_has_header(&a, want));
        answer_free(&a);
        if (i % 10 == 9)
            read_status(fd, 404);
    }
    client_close(fd);
    buf_free(&text);
    world_close(&w);
}

/* More than a connection may hold waits in the socket, and none of it is lost. */
static void a_long_pipeline_behind_a_slow_request_waits(void **state)
{
    enum { BEHIND = 4000 };
    static const char get[] = "GET /livez HTTP/1.1\r\nHost: t\r\n\r\n";
    struct api_options o = world_options();
    struct world w;
    struct buf text;
    int fd;

    (void)state;
    world_open(&w, &o);
    make_collection(&w, "l2");
    buf_init(&text, 1 << 20);
    for (int i = 0; i < BEHIND; i++)
        buf_put_text(&text, get);
    fake_node_hold(w.node, true);
    fd = client_connect(&w);
    post(fd, "/api/v1/collections/c/insert", INSERT);
    assert_true(comes_to(w.node, fake_node_writes, 1));
    client_send(fd, text.data, text.bytes);
    rest_ms(50);
    fake_node_hold(w.node, false);
    for (int i = 0; i <= BEHIND; i++)
        read_status(fd, 200);
    client_close(fd);
    buf_free(&text);
    world_close(&w);
}

static void bytes_one_at_a_time_are_one_request(void **state)
{
    static const char text[] =
        "POST /api/v1/collections/c/insert HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: "
        "chunked\r\n\r\n"
        "10\r\n{\"doc_id\":7,\"vec\r\nd\r\ntor\":[1,2,3]}\r\n0\r\nX: y\r\n\r\n";
    struct api_options o = world_options();
    struct world w;
    int fd;

    (void)state;
    world_open(&w, &o);
    make_collection(&w, "l2");
    fd = client_connect(&w);
    for (size_t i = 0; i < sizeof text - 1; i++)
        client_send(fd, text + i, 1);
    read_status(fd, 200);
    /* the same connection, a body with a length, cut in the middle */
    post(fd, "/api/v1/collections/c/insert", INSERT);
    read_status(fd, 200);
    client_send_text(fd, "POST /api/v1/collections/c/insert HTTP/1.1\r\nHost: t\r\nContent-Length: "
                         "29\r\n\r\n{\"doc_id\":7,");
    rest_ms(20);
    client_send_text(fd, "\"vector\":[1,2,3]}GET /livez HTTP/1.1\r\nHost: t\r\n\r\n");
    read_status(fd, 200);
    read_status(fd, 200);
    client_close(fd);
    assert_int_equal(fake_node_writes(w.node), 3);
    world_close(&w);
}

static void connections_close_when_they_are_asked_to(void **state)
{
    static const struct {
        const char *text;
        bool closes;
    } rows[] = {
        {"GET /health HTTP/1.1\r\nHost: t\r\n\r\n", false},
        {"GET /health HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n", true},
        {"GET /health HTTP/1.0\r\n\r\n", true},
        {"GET /health HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", false},
        {"GET /nowhere HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n", true},
    };
    struct api_options o = world_options();
    struct world w;

    (void)state;
    world_open(&w, &o);
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        int fd = client_connect(&w);
        struct answer a;

        client_send_text(fd, rows[i].text);
        a = client_read(fd, false);
        assert_true(answer_has_header(&a, rows[i].closes ? "Connection: close\r\n"
                                                         : "Connection: keep-alive\r\n"));
        if (rows[i].closes) {
            assert_true(client_at_end(fd));
        } else {
            client_send_text(fd, rows[i].text);
            read_status(fd, 200);
        }
        answer_free(&a);
        client_close(fd);
    }
    world_close(&w);
}

/* What refuses the next bytes is no answer to the HEAD before them: its body is sent. */
static void garbage_after_a_head_request_is_told_why(void **state)
{
    struct api_options o = world_options();
    struct world w;
    struct answer a;
    int fd;

    (void)state;
    world_open(&w, &o);
    fd = client_connect(&w);
    client_send_text(fd, "HEAD /health HTTP/1.1\r\nHost: t\r\n\r\n");
    a = client_read(fd, true);
    assert_int_equal(a.status, 200);
    answer_free(&a);
    client_send_text(fd, "GARBAGE\r\n\r\n");
    a = client_read(fd, false);
    assert_int_equal(a.status, 400);
    assert_non_null(strstr(a.body, "\"code\":\"malformed_http\""));
    answer_free(&a);
    client_close(fd);
    world_close(&w);
}

static void expect_100_is_answered_before_the_body(void **state)
{
    static const char head[] = "POST %s HTTP/1.1\r\nHost: t\r\nExpect: 100-continue\r\n"
                               "Content-Length: %d\r\n\r\n";
    struct api_options o = world_options();
    char text[256];
    char got[26] = "";
    struct world w;
    int fd;

    (void)state;
    world_open(&w, &o);
    make_collection(&w, "l2");
    fd = client_connect(&w);
    (void)snprintf(text, sizeof text, head, "/api/v1/collections/c/insert", (int)strlen(INSERT));
    client_send_text(fd, text);
    for (size_t i = 0; i < 25; i++)
        assert_int_equal(read(fd, &got[i], 1), 1);
    assert_string_equal(got, "HTTP/1.1 100 Continue\r\n\r\n");
    client_send_text(fd, INSERT);
    read_status(fd, 200);
    client_close(fd);
    /* refused before the body is sent */
    fd = client_connect(&w);
    (void)snprintf(text, sizeof text, head, "/nowhere", 10);
    client_send_text(fd, text);
    read_status(fd, 404);
    assert_true(client_at_end(fd));
    client_close(fd);
    fd = client_connect(&w);
    (void)snprintf(text, sizeof text, head, "/api/v1/collections/c/insert", 1024 * 1024 + 1);
    client_send_text(fd, text);
    read_status(fd, 413);
    client_close(fd);
    world_close(&w);
}

static void bad_bytes_get_an_answer_and_the_end(void **state)
{
    static const struct {
        const char *text;
        int http_status;
        const char *code;
    } rows[] = {
        {"\x16\x03\x01", 400, "malformed_http"},
        {"GET /health HTTP/1.1\r\n\r\n", 400, "malformed_http"},
        {"GET /health HTTP/1.1\r\nHost: t\r\nContent-Length: 1\r\nTransfer-Encoding: "
         "chunked\r\n\r\n",
         400, "malformed_http"},
        {"POST /health HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400,
         "malformed_http"},
        {"POST /health HTTP/1.1\r\nHost: t\r\nContent-Length: 1048577\r\n\r\n", 413,
         "body_too_large"},
        {"POST /health HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n100001\r\n", 413,
         "body_too_large"},
        {"GET /health HTTP/1.1\r\nHost: t\r\nExpect: tea\r\n\r\n", 417, "expectation_failed"},
        {"POST /health HTTP/1.1\r\nHost: t\r\nContent-Encoding: gzip\r\nConnection: close\r\n\r\n",
         405, "method_not_allowed"},
        {"POST /api/v1/collections HTTP/1.1\r\nHost: t\r\nContent-Encoding: gzip\r\nConnection: "
         "close\r\n\r\n",
         415, "content_encoding"},
        {"GET /health HTTP/1.1\r\nHost: t\r\nX-Tiervec-Database: a/b\r\nConnection: close\r\n\r\n",
         400, "not_supported_yet"},
    };
    struct api_options o = world_options();
    struct world w;

    (void)state;
    world_open(&w, &o);
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        int fd = client_connect(&w);
        struct answer a;
        char code[64];

        client_send_text(fd, rows[i].text);
        a = client_read(fd, false);
        if (a.status != rows[i].http_status || strcmp(answer_code(&a, code), rows[i].code) != 0)
            fail_msg("row %zu: %d %s", i, a.status, a.body);
        assert_true(answer_has_header(&a, "Connection: close\r\n"));
        assert_true(answer_has_header(&a, "X-Request-Id: "));
        assert_true(client_at_end(fd));
        answer_free(&a);
        client_close(fd);
    }
    world_close(&w);
}

/* The client is still sending when it is refused: the answer must not be lost in a reset. */
static void a_body_over_the_limit_hears_so_while_it_is_sent(void **state)
{
    struct api_options o = world_options();
    char *megabyte = calloc(1, 1 << 20);
    struct world w;

    (void)state;
    world_open(&w, &o);
    for (int chunked = 0; chunked < 2; chunked++) {
        int fd = client_connect(&w);

        client_send_text(fd, chunked ? "POST /api/v1/collections HTTP/1.1\r\nHost: t\r\n"
                                       "Transfer-Encoding: chunked\r\n\r\n200000\r\n"
                                     : "POST /api/v1/collections HTTP/1.1\r\nHost: t\r\n"
                                       "Content-Length: 2097152\r\n\r\n");
        client_send(fd, megabyte, 1 << 20);
        client_send(fd, megabyte, 1 << 20);
        read_status(fd, 413);
        client_close(fd);
    }
    free(megabyte);
    world_close(&w);
}

static void headers_over_the_limit_are_refused(void **state)
{
    struct api_options o = world_options();
    struct world w;
    struct buf text;
    int fd;

    (void)state;
    world_open(&w, &o);
    buf_init(&text, 1 << 20);
    buf_put_text(&text, "GET /health HTTP/1.1\r\nHost: t\r\n");
    for (int i = 0; i < 20; i++) {
        buf_put_text(&text, "X: ");
        for (int j = 0; j < 1000; j++)
            buf_put_u8(&text, 'a');
        buf_put_text(&text, "\r\n");
    }
    fd = client_connect(&w);
    client_send(fd, text.data, text.bytes);
    read_status(fd, 431);
    assert_true(client_at_end(fd));
    client_close(fd);
    buf_free(&text);
    world_close(&w);
}

/* A connection whose first request came in two parts. A client that the machine kept waiting for
 * the whole time between them begins again. */
static int connect_and_ask(const struct world *w)
{
    for (int i = 0;; i++) {
        int fd = client_connect(w);
        struct answer a;
        bool fine;

        client_send_text(fd, "GET /livez HTTP/1.1\r\n");
        rest_ms(10);
        client_send_text(fd, "Host: t\r\n\r\n");
        a = client_read(fd, false);
        fine = a.status == 200;
        assert_true(fine || (a.status == 408 && i < TRIES_MAX));
        answer_free(&a);
        if (fine)
            return fd;
        client_close(fd);
    }
}

static void slow_requests_are_closed_with_408(void **state)
{
    static const char *const parts[] = {
        "G", "GET /health HTTP/1.1\r\nHost: t\r\n",
        "POST /api/v1/collections HTTP/1.1\r\nHost: t\r\nContent-Length: 10\r\n\r\n{",
        "POST /api/v1/collections HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{"};
    struct api_options o = world_options();
    struct world w;

    (void)state;
    o.timeout_ms = 150;
    world_open(&w, &o);
    for (size_t i = 0; i < 2 * COUNT_OF(parts); i++) {
        int fd = i >= COUNT_OF(parts) ? connect_and_ask(&w) : client_connect(&w);

        client_send_text(fd, parts[i % COUNT_OF(parts)]);
        read_status(fd, 408);
        assert_true(client_at_end(fd));
        client_close(fd);
    }
    world_close(&w);
}

/* A byte now and then does not move the deadline of the whole request. */
static void dripping_bytes_do_not_buy_time(void **state)
{
    struct api_options o = world_options();
    struct world w;
    int fd;

    (void)state;
    o.timeout_ms = 150;
    world_open(&w, &o);
    fd = client_connect(&w);
    client_send_text(fd, "GET /health HTTP/1.1\r\nX: ");
    for (int i = 0; i < 10; i++) {
        client_send_text(fd, "a");
        rest_ms(25);
    }
    read_status(fd, 408);
    client_close(fd);
    world_close(&w);
}

static void idle_connections_are_closed(void **state)
{
    struct api_options o = world_options();
    struct world w;
    int fd;

    (void)state;
    o.idle_ms = 500;
    world_open(&w, &o);
    fd = client_connect(&w);
    assert_true(client_at_end(fd));
    client_close(fd);
    fd = client_connect(&w);
    client_send_text(fd, "GET /health HTTP/1.1\r\nHost: t\r\n\r\n");
    read_status(fd, 200);
    assert_true(client_at_end(fd));
    client_close(fd);
    world_close(&w);
}

static void connections_over_the_limit_get_503(void **state)
{
    struct api_options o = world_options();
    struct answer a;
    struct world w;
    int fds[4];
    int fd;

    (void)state;
    o.connections_max = 4;
    world_open(&w, &o);
    for (int i = 0; i < 4; i++) {
        fds[i] = client_connect(&w);
        client_send_text(fds[i], "GET /health HTTP/1.1\r\nHost: t\r\n\r\n");
        read_status(fds[i], 200);
    }
    fd = client_connect(&w);
    a = client_read(fd, false);
    assert_int_equal(a.status, 503);
    assert_true(answer_has_header(&a, "Retry-After: 1\r\n"));
    assert_non_null(strstr(a.body, "the limit is 4"));
    assert_true(client_at_end(fd));
    answer_free(&a);
    client_close(fd);
    client_close(fds[0]);
    for (int i = 0; i < 100; i++) { /* the place is free as soon as the close was seen */
        fd = client_connect(&w);
        client_send_text(fd, "GET /health HTTP/1.1\r\nHost: t\r\n\r\n");
        a = client_read(fd, false);
        client_close(fd);
        if (a.status == 200)
            break;
        answer_free(&a);
        rest_ms(10);
    }
    assert_int_equal(a.status, 200);
    answer_free(&a);
    for (int i = 1; i < 4; i++)
        client_close(fds[i]);
    world_close(&w);
}

static void bodies_under_way_are_bounded_together(void **state)
{
    struct api_options o = world_options();
    char *half = calloc(1, 1 << 19);
    struct pollfd polled[2];
    struct answer a;
    struct world w;
    int fds[2];
    int over;

    (void)state;
    o.bodies_bytes_max = 1024 * 1024;
    world_open(&w, &o);
    for (int i = 0; i < 2; i++) {
        fds[i] = client_connect(&w);
        client_send_text(fds[i], "POST /api/v1/collections HTTP/1.1\r\nHost: t\r\nContent-Length: "
                                 "1000000\r\n\r\n");
    }
    /* one holds more than half and waits, as a rule the first; the other goes over */
    client_send(fds[0], half, 1 << 19);
    rest_ms(100);
    client_send(fds[1], half, 1 << 19);
    for (int i = 0; i < 2; i++)
        polled[i] = (struct pollfd){.fd = fds[i], .events = POLLIN};
    assert_true(poll(polled, 2, 60000) > 0);
    over = polled[1].revents != 0;
    a = client_read(fds[over], false);
    assert_int_equal(a.status, 503);
    assert_non_null(strstr(a.body, "\"code\":\"bodies_full\""));
    assert_true(answer_has_header(&a, "Retry-After: "));
    answer_free(&a);
    client_close(fds[over]);
    /* what was charged is given back */
    client_close(fds[!over]);
    rest_ms(100);
    expect(&w, "POST", "/api/v1/collections", "{\"name\":\"c\",\"dimension\":3,\"metric\":\"l2\"}",
           201);
    free(half);
    world_close(&w);
}

/* The client is gone before the commit: the write happens, its answer goes nowhere. */
static void clients_that_vanish_break_nothing(void **state)
{
    struct api_options o = world_options();
    struct world w;

    (void)state;
    world_open(&w, &o);
    make_collection(&w, "l2");
    for (int how = 0; how < 3; how++) {
        unsigned writes = fake_node_writes(w.node);

        fake_node_hold(w.node, true);
        for (int i = 0; i < 20; i++) {
            int fd = client_connect(&w);

            post(fd, "/api/v1/collections/c/insert", INSERT);
            assert_true(comes_to(w.node, fake_node_writes, writes + (unsigned)i + 1));
            if (how == 0)
                client_reset(fd);
            else
                client_close(fd);
        }
        if (how < 2) {
            rest_ms(20);
            fake_node_hold(w.node, false);
            assert_true(comes_to(w.node, pins_given_back, 1));
        }
    }
    fake_node_hold(w.node, false);
    expect(&w, "GET", "/api/v1/collections/c/docs/7", NULL, 200);
    world_close(&w);
}

/* A search nobody waits for any more must not keep its worker. */
static void a_search_ends_when_its_client_vanishes(void **state)
{
    struct api_options o = world_options();
    struct world w;
    int fd;

    (void)state;
    world_open(&w, &o);
    make_collection(&w, "l2");
    fake_node_query_ms(w.node, 200000);
    fd = client_connect(&w);
    post(fd, "/api/v1/collections/c/query", "{\"query_vector\":[1,2,3]}");
    assert_true(comes_to(w.node, fake_node_queries, 1));
    client_reset(fd);
    assert_true(comes_to(w.node, pins_given_back, 1));
    world_close(&w);
}

static void requests_cut_anywhere_break_nothing(void **state)
{
    static const char text[] = "POST /api/v1/collections/c/insert HTTP/1.1\r\nHost: t\r\n"
                               "Content-Length: 29\r\n\r\n{\"doc_id\":7,\"vector\":[1,2,3]}";
    struct api_options o = world_options();
    struct world w;

    (void)state;
    o.connections_max = 512; /* they come faster than their ends are seen */
    world_open(&w, &o);
    make_collection(&w, "l2");
    for (size_t cut = 0; cut < sizeof text - 1; cut++) {
        int fd = client_connect(&w);

        client_send(fd, text, cut);
        if (cut % 2 == 0)
            client_reset(fd);
        else
            client_close(fd);
    }
    assert_int_equal(fake_node_writes(w.node), 0);
    expect(&w, "GET", "/api/v1/collections/c", NULL, 200);
    world_close(&w);
}

/* Who closes only the sending side still gets the answer. */
static void a_half_closed_client_is_answered(void **state)
{
    struct api_options o = world_options();
    struct world w;
    int fd;

    (void)state;
    world_open(&w, &o);
    make_collection(&w, "l2");
    fd = client_connect(&w);
    fake_node_hold(w.node, true);
    post(fd, "/api/v1/collections/c/insert", INSERT);
    assert_true(comes_to(w.node, fake_node_writes, 1));
    assert_int_equal(shutdown(fd, 1), 0);
    rest_ms(20);
    fake_node_hold(w.node, false);
    read_status(fd, 200);
    assert_true(client_at_end(fd));
    client_close(fd);
    world_close(&w);
}

static void a_write_after_its_deadline_is_of_unknown_outcome(void **state)
{
    struct api_options o = world_options();
    struct answer a;
    struct world w;
    int fd;

    (void)state;
    o.timeout_ms = 1000;
    world_open(&w, &o);
    make_collection(&w, "l2");
    fake_node_hold(w.node, true);
    fd = client_connect(&w);
    post(fd, "/api/v1/collections/c/insert", INSERT);
    a = client_read(fd, false);
    assert_int_equal(a.status, 503);
    assert_non_null(strstr(a.body, "\"code\":\"write_outcome_unknown\""));
    answer_free(&a);
    client_close(fd);
    fake_node_hold(w.node, false);
    assert_true(comes_to(w.node, pins_given_back, 1));
    world_close(&w);
}

/* Three workers held by searches of 300 ms: how many of six that come together are begun. */
static unsigned begun_of_six(void)
{
    struct api_options o = world_options();
    struct world w;
    unsigned begun;
    int fds[6];

    world_open(&w, &o);
    make_collection(&w, "l2");
    fake_node_query_ms(w.node, 300);
    for (size_t i = 0; i < COUNT_OF(fds); i++) {
        fds[i] = client_connect(&w);
        post(fds[i], "/api/v1/collections/c/query",
             "{\"query_vector\":[1,2,3],\"timeout_ms\":250}");
    }
    for (size_t i = 0; i < COUNT_OF(fds); i++) {
        struct answer a = client_read(fds[i], false);

        assert_true(a.status == 200 || a.status == 504);
        answer_free(&a);
        client_close(fds[i]);
    }
    begun = fake_node_queries(w.node);
    world_close(&w);
    return begun;
}

/* What waits longer than its deadline is not begun; where the machine lets them come one after the
 * other, they are sent once more. */
static void what_waits_too_long_is_not_begun(void **state)
{
    unsigned tries = 0;

    (void)state;
    while (begun_of_six() == 6)
        assert_true(tries++ < TRIES_MAX);
}

static void a_full_queue_answers_429(void **state)
{
    struct api_options o = world_options();
    enum { CLIENTS = 40 };
    int fds[CLIENTS];
    struct world w;
    int refused = 0;

    (void)state;
    world_open(&w, &o);
    make_collection(&w, "l2");
    fake_node_query_ms(w.node, 400); /* forty of these are 16 s of work: more than may wait */
    for (int i = 0; i < CLIENTS; i++) {
        fds[i] = client_connect(&w);
        post(fds[i], "/api/v1/collections/c/query",
             "{\"query_vector\":[1,2,3],\"timeout_ms\":500}");
    }
    for (int i = 0; i < CLIENTS; i++) {
        struct answer a = client_read(fds[i], false);

        if (a.status == 429) {
            refused++;
            assert_true(answer_has_header(&a, "Retry-After: "));
            assert_non_null(strstr(a.body, "\"code\":\"too_many_requests\""));
        }
        answer_free(&a);
        client_close(fds[i]);
    }
    assert_true(refused > 0);
    world_close(&w);
}

static void draining_answers_what_is_under_way(void **state)
{
    struct api_options o = world_options();
    struct answer a;
    struct world w;
    int idle, busy;

    (void)state;
    world_open(&w, &o);
    make_collection(&w, "l2");
    idle = client_connect(&w);
    client_send_text(idle, "GET /health HTTP/1.1\r\nHost: t\r\n\r\n");
    read_status(idle, 200);
    busy = client_connect(&w);
    fake_node_hold(w.node, true);
    post(busy, "/api/v1/collections/c/insert", INSERT);
    assert_true(comes_to(w.node, fake_node_writes, 1));
    api_drain(w.api, 50); /* not quiet yet: a write is under way */
    assert_true(client_at_end(idle));
    client_close(idle);
    fake_node_hold(w.node, false);
    a = client_read(busy, false);
    assert_int_equal(a.status, 200);
    assert_true(answer_has_header(&a, "Connection: close\r\n"));
    answer_free(&a);
    client_close(busy);
    api_drain(w.api, 5000);
    world_close(&w);
}

static void closing_waits_for_what_node_still_holds(void **state)
{
    struct api_options o = world_options();
    struct world w;
    int fd;

    (void)state;
    world_open(&w, &o);
    make_collection(&w, "l2");
    fd = client_connect(&w);
    post(fd, "/api/v1/collections/c/insert", INSERT);
    client_send_text(fd, "POST /admin/collections/c/compact HTTP/1.1\r\nHost: t\r\n\r\n");
    world_close(&w); /* at once: nothing was waited for */
    client_close(fd);
}

/* Answers with Connection: close are on their way, or just sent, when the door closes. */
static void closing_meets_connections_that_are_ending(void **state)
{
    struct api_options o = world_options();

    (void)state;
    for (int round = 0; round < 20; round++) {
        struct world w;
        int fds[8];

        world_open(&w, &o);
        for (size_t i = 0; i < COUNT_OF(fds); i++) {
            fds[i] = client_connect(&w);
            client_send_text(fds[i], i % 2 == 0 ? "GET /health HTTP/1.0\r\n\r\n" : "bad\r\n\r\n");
        }
        if (round % 2 == 0)
            rest_ms(round / 4);
        world_close(&w);
        for (size_t i = 0; i < COUNT_OF(fds); i++)
            client_close(fds[i]);
    }
}

static void a_taken_port_is_told_by_name(void **state)
{
    struct api_options o = world_options();
    struct err err = {0};
    struct api *second;
    struct world w;

    (void)state;
    world_open(&w, &o);
    o = (struct api_options){.host = "127.0.0.1",
                             .port = api_port(w.api),
                             .node = w.node,
                             .exec = w.exec,
                             .stats = w.stats,
                             .clock = clock_real(),
                             .rand = &w.rand.source,
                             .connections_max = 1};
    assert_int_equal(api_open(&o, &second, &err), ST_CONFLICT);
    assert_non_null(strstr(err.text, "rest_port"));
    o.host = "256.1.1.1";
    assert_int_equal(api_open(&o, &second, &err), ST_INVALID);
    world_close(&w);
}

/* A client that does not read its answers: they are kept for a while, then it is closed. */
static void a_client_that_does_not_read_is_closed(void **state)
{
    struct api_options o = world_options();
    struct world w;
    struct buf text;
    int fd;

    (void)state;
    o.timeout_ms = 200;
    world_open(&w, &o);
    make_collection(&w, "l2");
    buf_init(&text, 1 << 20);
    buf_put_text(&text, "{\"documents\":[");
    for (int i = 0; i < 50; i++)
        buf_printf(&text, "%s{\"doc_id\":%d,\"vector\":[1,2,3],\"payload\":{\"t\":\"%0*d\"}}",
                   i == 0 ? "" : ",", i, 10000, i);
    buf_put_text(&text, "]}");
    buf_put_u8(&text, 0);
    expect(&w, "POST", "/api/v1/collections/c/insert", (const char *)text.data, 200);
    fd = client_connect(&w);
    for (int i = 0; i < 100; i++)
        client_send_text(fd, "GET /api/v1/collections/c/docs HTTP/1.1\r\nHost: t\r\n\r\n");
    rest_ms(600);
    expect(&w, "GET", "/livez", NULL, 200);
    client_close(fd);
    buf_free(&text);
    world_close(&w);
}

/* Each allocation of a request fails once: the answer is a success, a 503 or a closed connection,
 * and the next request is served. */
static void each_failed_allocation_is_survived(void **state)
{
    static const struct {
        const char *path, *body;
    } rows[] = {
        {"/api/v1/collections/c/insert", "{\"documents\":[{\"doc_id\":1,\"external_id\":\"x\","
                                         "\"vector\":[1,2,3],\"payload\":{\"a\":"
                                         "\"b\"}}]}"},
        {"/api/v1/collections/c/query", "{\"query_vector\":[1,2,3],\"with_vector\":true}"},
        {"/api/v1/collections/c/delete", "{\"ids\":[5,6]}"},
        {"/api/v1/collections/c/query%20", "{}"},
    };
    struct api_options o = world_options();
    struct world w;

    (void)state;
    world_open(&w, &o);
    make_collection(&w, "l2");
    for (size_t row = 0; row < COUNT_OF(rows); row++) {
        int64_t asked = 1;

        for (int64_t n = 0; n < asked; n++) {
            int fd = client_connect(&w);
            struct answer a;

            rest_ms(2); /* the accept is over before the hook is set */
            mem_test_fail_after(n);
            post(fd, rows[row].path, rows[row].body);
            a = client_read(fd, false);
            asked = mem_test_count() > n ? n + 2 : 0; /* until none fails */
            mem_test_fail_after(-1);
            assert_true(asked < 100);
            assert_true(a.status == 0 || a.status == 200 || a.status == 404 || a.status == 503);
            answer_free(&a);
            client_close(fd);
        }
    }
    expect(&w, "POST", rows[0].path, rows[0].body, 200);
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_hundred_pipelined_requests_are_answered_in_order),
        cmocka_unit_test(a_long_pipeline_behind_a_slow_request_waits),
        cmocka_unit_test(bytes_one_at_a_time_are_one_request),
        cmocka_unit_test(connections_close_when_they_are_asked_to),
        cmocka_unit_test(garbage_after_a_head_request_is_told_why),
        cmocka_unit_test(expect_100_is_answered_before_the_body),
        cmocka_unit_test(bad_bytes_get_an_answer_and_the_end),
        cmocka_unit_test(a_body_over_the_limit_hears_so_while_it_is_sent),
        cmocka_unit_test(headers_over_the_limit_are_refused),
        cmocka_unit_test(slow_requests_are_closed_with_408),
        cmocka_unit_test(dripping_bytes_do_not_buy_time),
        cmocka_unit_test(idle_connections_are_closed),
        cmocka_unit_test(connections_over_the_limit_get_503),
        cmocka_unit_test(bodies_under_way_are_bounded_together),
        cmocka_unit_test(clients_that_vanish_break_nothing),
        cmocka_unit_test(a_search_ends_when_its_client_vanishes),
        cmocka_unit_test(requests_cut_anywhere_break_nothing),
        cmocka_unit_test(a_half_closed_client_is_answered),
        cmocka_unit_test(a_write_after_its_deadline_is_of_unknown_outcome),
        cmocka_unit_test(what_waits_too_long_is_not_begun),
        cmocka_unit_test(a_full_queue_answers_429),
        cmocka_unit_test(draining_answers_what_is_under_way),
        cmocka_unit_test(closing_waits_for_what_node_still_holds),
        cmocka_unit_test(closing_meets_connections_that_are_ending),
        cmocka_unit_test(a_taken_port_is_told_by_name),
        cmocka_unit_test(a_client_that_does_not_read_is_closed),
        cmocka_unit_test(each_failed_allocation_is_survived),
    };

    return cmocka_run_group_tests_name("api connections", tests, NULL, NULL);
}
