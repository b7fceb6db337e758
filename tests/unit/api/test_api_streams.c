/* Imports and exports over a real socket: bodies in any pieces, a node that waits and refuses,
 * clients that vanish or read nothing, each allocation failing. */
#include "tests/unit/api/world.h"

#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { TEXT_BYTES = 4 * 1024 * 1024, WAIT_MS = 60000 };

static const char IMPORT[] = "/api/v1/collections/c/import";

static void rest_ms(long ms)
{
    struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};

    (void)nanosleep(&t, NULL);
}

static void open_world(struct world *w)
{
    struct api_options o = world_options();

    world_open(w, &o);
    make_collection(w, "l2");
}

/* Of the fake node, which is a plain array, no more than a few hundred documents are wanted: lines
 * are long, and ids come again. */
static void put_lines(struct buf *out, size_t count)
{
    enum { IDS = 500, TEXT = 400 };

    for (size_t i = 0; i < count; i++)
        buf_printf(out, "{\"doc_id\":%zu,\"vector\":[%zu,2,3],\"payload\":{\"n\":\"%0*zu\"}}\n",
                   i % IDS, i % IDS, TEXT, i);
}

static void send_head(int fd, const char *path, const char *framing)
{
    char head[512];

    (void)snprintf(head, sizeof head, "POST %s HTTP/1.1\r\nHost: t\r\n%s\r\n\r\n", path, framing);
    client_send_text(fd, head);
}

static void send_length(int fd, const char *path, const struct buf *body)
{
    char framing[64];

    (void)snprintf(framing, sizeof framing, "Content-Length: %zu", body->bytes);
    send_head(fd, path, framing);
}

static void check_says(struct answer *a, int http_status, const char *words)
{
    if (a->status != http_status || strstr(a->body, words) == NULL)
        fail_msg("%d %s, wanted %d with %s", a->status, a->body, http_status, words);
    answer_free(a);
}

static void read_says(int fd, int http_status, const char *words)
{
    struct answer a = client_read(fd, false);

    check_says(&a, http_status, words);
}

static void ask_says(struct world *w, const char *method, const char *path, const char *body,
                     int http_status, const char *words)
{
    struct answer a = ask(w, method, path, body);

    check_says(&a, http_status, words);
}

/* Until what GET .../import says has these words. */
static void comes_to_say(struct world *w, const char *words)
{
    for (int i = 0; i < WAIT_MS / 10; i++) {
        struct answer a = ask(w, "GET", IMPORT, NULL);
        bool there = a.status == 200 && strstr(a.body, words) != NULL;

        answer_free(&a);
        if (there)
            return;
        rest_ms(10);
    }
    fail_msg("the imports never say %s", words);
}

static void comes_to_no_pins(struct world *w)
{
    for (int i = 0; i < WAIT_MS / 10 && fake_node_pins(w->node) > 0; i++)
        rest_ms(10);
    assert_int_equal(fake_node_pins(w->node), 0);
}

/* All that comes until `end` was seen or the other side closes. The caller frees it. Plain malloc:
 * that of the node may be about to fail. */
static char *read_until(int fd, const char *end)
{
    enum { ROOM = 4 * 1024 * 1024 };
    char *got = calloc(1, ROOM);
    size_t bytes = 0;

    for (;;) {
        struct pollfd wait = {.fd = fd, .events = POLLIN};
        ssize_t n;

        if (poll(&wait, 1, WAIT_MS) <= 0)
            fail_msg("no answer came");
        n = recv(fd, got + bytes, ROOM - 1 - bytes, 0);
        if (n <= 0)
            break;
        bytes += (size_t)n;
        if (bytes >= strlen(end) && memcmp(got + bytes - strlen(end), end, strlen(end)) == 0)
            break;
    }
    return got;
}

/* What the chunks behind the head hold; NULL when there is no whole answer. */
static char *unchunked(char *answer)
{
    char *from = strstr(answer, "\r\n\r\n");
    char *to = answer;

    if (from == NULL)
        return NULL;
    for (from += 4;;) {
        size_t bytes = strtoul(from, &from, 16);

        if (strncmp(from, "\r\n", 2) != 0)
            return NULL;
        from += 2;
        if (bytes == 0)
            break;
        memmove(to, from, bytes);
        to += bytes;
        from += bytes + 2;
    }
    *to = '\0';
    return answer;
}

static void check_export(struct world *w, const char *want)
{
    int fd = client_connect(w);
    char *got;

    client_send_text(fd, "GET /api/v1/collections/c/export HTTP/1.1\r\nHost: t\r\n\r\n");
    got = read_until(fd, "0\r\n\r\n");
    assert_non_null(unchunked(got));
    assert_string_equal(got, want);
    free(got);
    client_close(fd);
}

/* Byte by byte, in chunks of two and whole; the request behind it is answered on the same
 * connection. */
static void a_body_in_any_pieces_is_imported(void **state)
{
    static const char text[] =
        "{\"doc_id\":1,\"vector\":[1,2,3]}\n\n{\"doc_id\":2,\"vector\":[4,5,6],"
        "\"payload\":{\"a\":1}}";
    static const char want[] =
        "{\"doc_id\":1,\"vector\":[1,2,3]}\n{\"doc_id\":2,\"vector\":[4,5,6],"
        "\"payload\":{\"a\":1}}\n";
    struct world w;
    int fd;

    (void)state;
    open_world(&w);
    fd = client_connect(&w);
    for (int way = 0; way < 3; way++) {
        char framing[64] = "Transfer-Encoding: chunked";

        if (way != 1)
            (void)snprintf(framing, sizeof framing, "Content-Length: %zu", strlen(text));
        send_head(fd, IMPORT, framing);
        for (size_t at = 0; way == 0 && at < strlen(text); at++)
            client_send(fd, text + at, 1);
        for (size_t at = 0; way == 1 && at < strlen(text); at += 2) {
            char chunk[16];

            (void)snprintf(chunk, sizeof chunk, "%zx\r\n%.2s\r\n", strnlen(text + at, 2),
                           text + at);
            client_send_text(fd, chunk);
        }
        if (way == 1)
            client_send_text(fd, "0\r\n\r\n");
        if (way == 2)
            client_send_text(fd, text);
        client_send_text(fd, "GET /livez HTTP/1.1\r\nHost: t\r\n\r\n");
        read_says(fd, 200, "\"imported\":2,\"lines\":3,");
        read_says(fd, 200, "");
        check_export(&w, want);
    }
    client_close(fd);
    world_close(&w);
}

/* As many bytes as the sockets and the buffers take. */
static size_t send_until_full(int fd, const struct buf *piece, size_t bytes_max)
{
    size_t sent = 0;

    while (sent < bytes_max) {
        struct pollfd wait = {.fd = fd, .events = POLLOUT};
        ssize_t n;

        if (poll(&wait, 1, 500) <= 0)
            return sent;
        n = send(fd, piece->data + sent % piece->bytes, piece->bytes - sent % piece->bytes,
                 MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n > 0)
            sent += (size_t)n;
        else if (errno != EAGAIN)
            fail_msg("the connection was closed");
    }
    return sent;
}

static void a_node_that_waits_stops_the_client(void **state)
{
    enum { TIMES = 40 };
    struct world w;
    struct buf piece;
    char framing[64];
    size_t sent;
    int fd;

    (void)state;
    open_world(&w);
    buf_init(&piece, TEXT_BYTES);
    put_lines(&piece, 2500); /* about 1 MiB */
    fd = client_connect(&w);
    fake_node_hold(w.node, true);
    (void)snprintf(framing, sizeof framing, "Content-Length: %zu", TIMES * piece.bytes);
    send_head(fd, IMPORT, framing);
    sent = send_until_full(fd, &piece, TIMES * piece.bytes);
    assert_true(sent < TIMES * piece.bytes / 2);
    fake_node_hold(w.node, false);
    while (sent < TIMES * piece.bytes) {
        size_t at = sent % piece.bytes;

        client_send(fd, piece.data + at, piece.bytes - at);
        sent += piece.bytes - at;
    }
    read_says(fd, 200, "\"imported\":100000,\"lines\":100000,");
    client_close(fd);
    buf_free(&piece);
    world_close(&w);
}

static void what_node_refuses_for_now_is_written_again(void **state)
{
    struct world w;
    struct buf body;
    int fd;

    (void)state;
    open_world(&w);
    buf_init(&body, TEXT_BYTES);
    put_lines(&body, 3000);
    fd = client_connect(&w);
    fake_node_fail_write(w.node, ST_LIMIT); /* refused where it is asked */
    send_length(fd, IMPORT, &body);
    client_send(fd, body.data, body.bytes);
    read_says(fd, 200, "\"imported\":3000,\"lines\":3000,");
    fake_node_fail_write(w.node, ST_UNAVAILABLE); /* later, from another thread */
    send_length(fd, IMPORT, &body);
    client_send(fd, body.data, body.bytes);
    read_says(fd, 200, "\"imported\":3000,\"lines\":3000,");
    /* For good: nothing of the batch was written, and it is said so. */
    fake_node_fail_write(w.node, ST_NOSPACE);
    send_length(fd, IMPORT, &body);
    client_send(fd, body.data, body.bytes);
    read_says(fd, 507, "\"imported\":0,\"acknowledged_lines\":0,\"lsn\":0");
    client_close(fd);
    ask_says(&w, "GET", IMPORT, NULL, 200, "\"state\":\"no_space\"");
    buf_free(&body);
    world_close(&w);
}

/* Whoever goes away in the middle: the lines that came whole are written, nothing is held after. */
static void a_client_that_goes_away_leaves_nothing_behind(void **state)
{
    struct world w;
    struct buf body;

    (void)state;
    open_world(&w);
    buf_init(&body, TEXT_BYTES);
    put_lines(&body, 100);
    for (int way = 0; way < 4; way++) {
        int fd = client_connect(&w);

        fake_node_hold(w.node, way % 2 == 1);
        send_head(fd, IMPORT, "Content-Length: 1000000\r\nX-Request-Id: gone");
        client_send(fd, body.data, body.bytes - 3);
        comes_to_say(&w, "\"state\":\"running\"");
        if (way < 2)
            client_reset(fd);
        else
            client_close(fd);
        rest_ms(20);
        fake_node_hold(w.node, false);
        comes_to_no_pins(&w);
        comes_to_say(&w, "\"state\":\"malformed_http\"");
    }
    expect(&w, "POST", IMPORT, "{\"doc_id\":1,\"vector\":[1,2,3]}", 200);
    buf_free(&body);
    world_close(&w);
}

/* The door is closed while imports sleep, write and wait, and while exports wait for readers. */
static void the_door_closes_on_streams(void **state)
{
    (void)state;
    for (int round = 0; round < 6; round++) {
        struct world w;
        struct buf body;
        int fds[6];

        open_world(&w);
        buf_init(&body, TEXT_BYTES);
        put_lines(&body, 500);
        fds[0] = client_connect(&w);
        send_length(fds[0], IMPORT, &body);
        client_send(fds[0], body.data, body.bytes);
        read_says(fds[0], 200, "\"imported\":500");
        for (int i = 1; i < 3; i++) {
            fds[i] = client_connect(&w);
            send_head(fds[i], IMPORT, "Transfer-Encoding: chunked");
            if (i == 2)
                client_send_text(fds[i], "1e\r\n{\"doc_id\":7,\"vector\":[1,2,3]}\r\n1\r\n\n\r\n");
        }
        for (int i = 3; i < 6; i++) {
            fds[i] = client_connect(&w);
            client_send_text(fds[i],
                             "GET /api/v1/collections/c/export HTTP/1.1\r\nHost: t\r\n\r\n");
        }
        if (round % 2 == 1)
            fake_node_fail_write(w.node, ST_LIMIT);
        rest_ms(round * 7);
        if (round >= 4)
            api_drain(w.api, 50);
        world_close(&w);
        for (int i = 0; i < 6; i++)
            client_close(fds[i]);
        buf_free(&body);
    }
}

static void an_export_is_whole_however_it_is_read(void **state)
{
    struct world w;
    struct buf body;
    int fd;

    (void)state;
    open_world(&w);
    buf_init(&body, TEXT_BYTES);
    put_lines(&body, 500);
    fd = client_connect(&w);
    send_length(fd, IMPORT, &body);
    client_send(fd, body.data, body.bytes);
    read_says(fd, 200, "\"imported\":500");
    buf_put_u8(&body, 0);
    check_export(&w, (const char *)body.data);
    for (int round = 0; round < 20; round++) { /* gone in the middle */
        int other = client_connect(&w);
        char some[2000];

        client_send_text(other, "GET /api/v1/collections/c/export HTTP/1.1\r\nHost: t\r\n\r\n");
        for (int i = 0; i < round; i++)
            (void)recv(other, some, sizeof some, 0);
        if (round % 2 == 0)
            client_reset(other);
        else
            client_close(other);
    }
    comes_to_no_pins(&w);
    /* Two in a row on one connection, then something else. */
    for (int i = 0; i < 2; i++)
        client_send_text(fd,
                         "GET /api/v1/collections/c/export?after=490 HTTP/1.1\r\nHost: t\r\n\r\n");
    client_send_text(fd, "GET /livez HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n");
    {
        char *got = read_until(fd, "nothing ends like this");
        const char *first = strstr(got, "{\"doc_id\":491,");

        assert_non_null(first);
        assert_non_null(strstr(first + 1, "{\"doc_id\":491,"));
        assert_null(strstr(got, "{\"doc_id\":490,"));
        assert_non_null(strstr(got, "Connection: close"));
        free(got);
    }
    client_close(fd);
    buf_free(&body);
    world_close(&w);
}

/* Each allocation of an import and of an export fails once: an answer, a 503 or a closed
 * connection; what is acknowledged is there, and the next request is served. */
static void each_failed_allocation_is_survived(void **state)
{
    static const char import_text[] =
        "POST /api/v1/collections/c/import HTTP/1.1\r\nHost: t\r\nContent-Length: 75\r\n\r\n"
        "{\"vector\":[1,2,3]}\n{\"doc_id\":7,\"vector\":[1,2,3],\"payload\":{\"a\":[1,\"xyz\"]}}\n";
    static const char export_text[] = "GET /api/v1/collections/c/export HTTP/1.1\r\nHost: t\r\n"
                                      "Connection: close\r\n\r\n";
    struct world w;

    (void)state;
    open_world(&w);
    for (int which = 0; which < 2; which++) {
        int64_t asked = 1;

        for (int64_t n = 0; n < asked; n++) {
            int fd = client_connect(&w);
            char *got;
            bool whole;

            rest_ms(2); /* the accept is over before the hook is set */
            mem_test_fail_after(n);
            client_send_text(fd, which == 0 ? import_text : export_text);
            (void)shutdown(fd, SHUT_WR);
            got = read_until(fd, "nothing ends like this");
            asked = mem_test_count() > n ? n + 2 : 0; /* until none fails */
            mem_test_fail_after(-1);
            assert_true(asked < 200);
            whole = strstr(got, which == 0 ? "\"imported\":2," : "0\r\n\r\n") != NULL;
            if (asked == 0 && !whole)
                fail_msg("without a failure: %s", got);
            if (!whole && strncmp(got, "HTTP/1.1 503", 12) != 0 && got[0] != '\0' && which == 0)
                fail_msg("allocation %d: %s", (int)n, got);
            free(got);
            client_close(fd);
        }
    }
    ask_says(&w, "POST", IMPORT, "{\"doc_id\":1,\"vector\":[1,2,3]}", 200, "\"imported\":1,");
    comes_to_no_pins(&w);
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_body_in_any_pieces_is_imported),
        cmocka_unit_test(a_node_that_waits_stops_the_client),
        cmocka_unit_test(what_node_refuses_for_now_is_written_again),
        cmocka_unit_test(a_client_that_goes_away_leaves_nothing_behind),
        cmocka_unit_test(the_door_closes_on_streams),
        cmocka_unit_test(an_export_is_whole_however_it_is_read),
        cmocka_unit_test(each_failed_allocation_is_survived),
    };

    return cmocka_run_group_tests_name("api streams", tests, NULL, NULL);
}
