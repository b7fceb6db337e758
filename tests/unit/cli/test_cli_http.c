/* The client of the commands against whatever may answer at a port: whole answers, answers cut at
 * each byte, and what is no HTTP. */
#include "cli/http.h"
#include "cli/http_pieces.h"

#include "base/lock.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

/* One that takes a connection, reads a request and says what it was told to. */
struct server {
    struct thread thread;
    int listener;
    const char *says;
    size_t bytes;
    char url[64];
    char heard[8192];
};

static void serve(void *arg)
{
    struct server *s = arg;
    int fd = accept(s->listener, NULL, NULL);
    size_t got = 0;

    if (fd < 0)
        return;
    while (got < sizeof s->heard - 1) {
        ssize_t n = recv(fd, s->heard + got, sizeof s->heard - 1 - got, 0);

        if (n <= 0)
            break;
        got += (size_t)n;
        s->heard[got] = '\0';
        if (strstr(s->heard, "\r\n\r\n") != NULL && s->heard[got - 1] != 'x') /* "..x": more */
            break;
    }
    (void)send(fd, s->says, s->bytes, MSG_NOSIGNAL);
    (void)close(fd);
}

static void start(struct server *s, const char *says, size_t bytes)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t at_bytes = sizeof at;

    *s = (struct server){.says = says, .bytes = bytes};
    s->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(s->listener >= 0);
    assert_int_equal(bind(s->listener, (const struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(listen(s->listener, 1), 0);
    assert_int_equal(getsockname(s->listener, (struct sockaddr *)&at, &at_bytes), 0);
    (void)snprintf(s->url, sizeof s->url, "http://127.0.0.1:%u", (unsigned)ntohs(at.sin_port));
    assert_int_equal(thread_start(&s->thread, "test-http", THREAD_NORMAL, serve, s, NULL), ST_OK);
}

static void finish(struct server *s)
{
    thread_join(&s->thread);
    (void)close(s->listener);
}

static status ask(const char *says, size_t bytes, struct http_answer *out, struct err *err)
{
    struct server s;
    status st;

    start(&s, says, bytes);
    st = http_ask(s.url, "GET", "/x", (struct slice){0}, out, err);
    finish(&s);
    return st;
}

static const char WHOLE[] = "HTTP/1.1 404 Not Found\r\nContent-Type: application/problem+json\r\n"
                            "X-Request-Id: 1\r\ncontent-length:  5\r\n\r\nhello";

static void a_whole_answer_is_taken(void **state)
{
    struct http_answer a = {0};
    struct server s;

    (void)state;
    start(&s, WHOLE, sizeof WHOLE - 1);
    assert_int_equal(http_ask(s.url, "POST", "/a/b?c=d", slice_text("{\"n\":1}"), &a, NULL), ST_OK);
    finish(&s);
    assert_int_equal(a.status, 404);
    assert_string_equal(a.content_type, "application/problem+json");
    assert_true(slice_equal(buf_slice(&a.body), slice_text("hello")));
    assert_ptr_equal(strstr(s.heard, "POST /a/b?c=d HTTP/1.0\r\n"), s.heard);
    assert_non_null(strstr(s.heard, "Content-Length: 7\r\n"));
    http_answer_free(&a);
}

/* No cut is taken for an answer. */
static void a_cut_answer_is_an_error(void **state)
{
    (void)state;
    for (size_t cut = 0; cut < sizeof WHOLE - 1; cut++) {
        struct http_answer a = {0};
        struct err err;
        status st = ask(WHOLE, cut, &a, &err);

        if (st != ST_UNAVAILABLE && st != ST_CORRUPT)
            fail_msg("cut at %zu: %s", cut, status_name(st));
        assert_null(a.body.data);
    }
}

static void what_is_no_http_is_an_error(void **state)
{
    static const char *const others[] = {
        "220 mail.example ESMTP\r\n\r\n",
        "HTTP/2 200\r\n\r\n",
        "HTTP/1.1 20 OK\r\n\r\n",
        "HTTP/1.1 abc\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        "\r\n\r\n",
    };
    static char head[HTTP_HEAD_BYTES_MAX + 64];

    (void)state;
    for (size_t i = 0; i < COUNT_OF(others); i++) {
        struct http_answer a = {0};

        assert_int_equal(ask(others[i], strlen(others[i]), &a, NULL), ST_CORRUPT);
    }
    memset(head, 'a', sizeof head);
    memcpy(head, "HTTP/1.1 200 OK\r\nX: ", 20);
    memcpy(head + sizeof head - 4, "\r\n\r\n", 4);
    assert_int_equal(ask(head, sizeof head, &(struct http_answer){0}, NULL), ST_CORRUPT);
}

static void nobody_at_the_port_is_told(void **state)
{
    struct server s;
    struct err err;

    (void)state;
    start(&s, "", 0);
    assert_int_equal(http_ask(s.url, "GET", "/", (struct slice){0}, &(struct http_answer){0}, &err),
                     ST_UNAVAILABLE);
    finish(&s);
    assert_int_equal(http_ask(s.url, "GET", "/", (struct slice){0}, &(struct http_answer){0}, &err),
                     ST_UNAVAILABLE);
    assert_non_null(strstr(err.text, "nobody answers at 127.0.0.1:"));
}

static void urls_are_checked(void **state)
{
    static const char *const wrong[] = {"",
                                        "127.0.0.1:8080",
                                        "https://127.0.0.1",
                                        "ftp://h",
                                        "http://",
                                        "http://:80",
                                        "http://h:",
                                        "http://h:x",
                                        "http://h:123456",
                                        "http://h/path",
                                        "http://user:secret@h",
                                        "http://user@h:80",
                                        "http://[::1",
                                        "http://h:80x"};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(wrong); i++) {
        struct err err;

        if (http_ask(wrong[i], "GET", "/", (struct slice){0}, &(struct http_answer){0}, &err) !=
            ST_INVALID)
            fail_msg("%s", wrong[i]);
        assert_null(strstr(err.text, "secret"));
    }
}

static void names_are_encoded(void **state)
{
    struct buf out;

    (void)state;
    buf_init(&out, 256);
    http_put_encoded(&out, "a b/c?d%\xc3\xa9-._~9Z");
    assert_true(slice_equal(buf_slice(&out), slice_text("a%20b%2Fc%3Fd%25%C3%A9-._~9Z")));
    buf_free(&out);
}

static void a_header_that_ends_its_line_is_refused(void **state)
{
    struct err err = {0};

    (void)state;
    assert_int_equal(http_ask_with("http://127.0.0.1:1", "GET", "/", "api-key: a\r\nX: y",
                                   (struct slice){0}, &(struct http_answer){0}, &err),
                     ST_INVALID);
}

/* Answers two requests on each connection, then closes it without a word. */
struct keeper {
    struct server s;
    int connections;
};

static bool hear(int fd)
{
    char text[4096] = "";
    size_t got = 0;

    while (strstr(text, "\r\n\r\n") == NULL) {
        ssize_t n = recv(fd, text + got, sizeof text - 1 - got, 0);

        if (n <= 0)
            return false;
        got += (size_t)n;
        text[got] = '\0';
    }
    return true;
}

static void keep(void *arg)
{
    struct keeper *k = arg;

    for (; k->connections < 3; k->connections++) {
        int fd = accept(k->s.listener, NULL, NULL);

        if (fd < 0)
            return;
        for (int i = 0; i < 2 && hear(fd); i++)
            (void)send(fd, k->s.says, k->s.bytes, MSG_NOSIGNAL);
        (void)close(fd);
    }
}

static void a_connection_is_kept_and_opened_anew_when_it_was_closed(void **state)
{
    static const char says[] = "HTTP/1.1 429 Slow\r\nContent-Length: 2\r\nRetry-After: 600\r\n"
                               "Content-Type: application/json\r\n\r\n{}";
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t at_bytes = sizeof at;
    struct keeper k = {.s = {.says = says, .bytes = sizeof says - 1}};
    struct http_line line = {0};

    (void)state;
    k.s.listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(k.s.listener, (const struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(listen(k.s.listener, 4), 0);
    assert_int_equal(getsockname(k.s.listener, (struct sockaddr *)&at, &at_bytes), 0);
    (void)snprintf(k.s.url, sizeof k.s.url, "http://127.0.0.1:%u", (unsigned)ntohs(at.sin_port));
    assert_int_equal(thread_start(&k.s.thread, "test-http", THREAD_NORMAL, keep, &k, NULL), ST_OK);
    for (int i = 0; i < 6; i++) {
        struct http_answer a = {0};
        struct err err;

        if (http_line_ask(&line, k.s.url, "GET", "/x", NULL, (struct slice){0}, &a, &err) != ST_OK)
            fail_msg("request %d: %s", i, err.text);
        assert_true(a.kept && a.status == 429 && a.body.bytes == 2);
        assert_int_equal(a.retry_after_s, HTTP_RETRY_AFTER_S_MAX);
        http_answer_free(&a);
    }
    http_line_close(&line);
    finish(&k.s);
    assert_int_equal(k.connections, 3);
}

/* --- chunks --- */

/* All pieces together into text, whose capacity is enough. */
static status ask_pieces(const char *says, size_t bytes, char text[256], struct err *err)
{
    struct http_pieces p = {0};
    struct server s;
    bool end = false;
    status st;

    text[0] = '\0';
    start(&s, says, bytes);
    st = http_pieces_open(&p, s.url, "/x", NULL, err);
    while (st == ST_OK && p.status == 200 && !end) {
        struct slice piece;

        st = http_pieces_next(&p, &piece, &end, err);
        if (piece.bytes > 0)
            (void)strncat(text, (const char *)piece.data, piece.bytes);
    }
    if (st == ST_OK && p.status != 200)
        (void)snprintf(text, 256, "%d %u", p.status, p.retry_after_s);
    http_pieces_close(&p);
    finish(&s);
    return st;
}

static void chunks_come_as_pieces_and_a_cut_is_told(void **state)
{
    static const char whole[] =
        "HTTP/1.1 200 OK\r\ncontent-type: x\r\nTransfer-Encoding: chunked\r\n"
        "\r\n5\r\nhello\r\nA;x=y\r\n\r\n234567\r\n\r\n0\r\nT: x\r\n\r\n";
    struct err err;
    char text[256];

    (void)state;
    for (size_t bytes = 0; bytes < sizeof whole - 1; bytes++) {
        assert_int_equal(ask_pieces(whole, bytes, text, &err), ST_UNAVAILABLE);
        assert_int_equal(strncmp("hello\r\n234567\r\n", text, strlen(text)), 0);
    }
    assert_int_equal(ask_pieces(whole, sizeof whole - 1, text, &err), ST_OK);
    assert_string_equal(text, "hello\r\n234567\r\n");
}

static void what_are_no_chunks_is_refused(void **state)
{
    static const char *const bodies[] = {"x\r\n",
                                         "\r\n",
                                         "-1\r\n",
                                         "5\r\nhelloX\r\n",
                                         "5\nhello",
                                         "5\r\nhello\r\nq",
                                         "1000000000000000\r\n"};
    static const char plain[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab";
    static const char busy[] = "HTTP/1.1 503 No\r\nRetry-After: 7\r\nContent-Length: 2\r\n\r\nab";
    struct err err;
    char says[512];
    char text[256];

    (void)state;
    for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++) {
        status st;

        (void)snprintf(says, sizeof says,
                       "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%s\r\n\r\n",
                       bodies[i]);
        st = ask_pieces(says, strlen(says), text, &err);
        if (st != ST_CORRUPT)
            fail_msg("%s: %s", bodies[i], status_name(st));
    }
    assert_int_equal(ask_pieces(plain, sizeof plain - 1, text, &err), ST_CORRUPT);
    assert_int_equal(ask_pieces(busy, sizeof busy - 1, text, &err), ST_OK);
    assert_string_equal(text, "503 7");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_connection_is_kept_and_opened_anew_when_it_was_closed),
        cmocka_unit_test(a_header_that_ends_its_line_is_refused),
        cmocka_unit_test(a_whole_answer_is_taken),
        cmocka_unit_test(a_cut_answer_is_an_error),
        cmocka_unit_test(what_is_no_http_is_an_error),
        cmocka_unit_test(nobody_at_the_port_is_told),
        cmocka_unit_test(urls_are_checked),
        cmocka_unit_test(names_are_encoded),
        cmocka_unit_test(chunks_come_as_pieces_and_a_cut_is_told),
        cmocka_unit_test(what_are_no_chunks_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
