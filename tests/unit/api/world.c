#include "tests/unit/api/world.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { WAIT_MS = 60000 }; /* a hang, and no slow machine */

struct api_options world_options(void)
{
    return (struct api_options){
        .host = "127.0.0.1",
        .timeout_ms = 10000,
        .connections_max = 64,
        .header_bytes_max = 16 * 1024,
        .body_bytes_max = 1024 * 1024,
        .batch_max = 100,
        .slow_query_ms = 1,
        .metrics_enabled = true,
    };
}

void world_open(struct world *w, const struct api_options *options)
{
    world_open_workers(w, options, 3);
}

void world_open_workers(struct world *w, const struct api_options *options, unsigned workers)
{
    struct exec_options exec = {.workers = workers, .clock = clock_real()};
    struct api_options o = *options;
    struct err err = {0};

    assert_int_equal(exec_open(&exec, &w->exec, &err), ST_OK);
    assert_int_equal(stats_create(&w->stats, &err), ST_OK);
    w->node = fake_node_create();
    rand_seeded_init(&w->rand, 11);
    o.node = w->node;
    o.exec = w->exec;
    o.stats = w->stats;
    o.clock = clock_real();
    o.rand = &w->rand.source;
    if (api_open(&o, &w->api, &err) != ST_OK)
        fail_msg("%s", err.text);
}

void world_close(struct world *w)
{
    api_close(w->api);
    assert_int_equal(fake_node_pins(w->node), 0);
    assert_int_equal(fake_node_keys_owed(w->node), 0);
    exec_close(w->exec);
    fake_node_destroy(w->node);
    stats_destroy(w->stats);
}

int client_connect(const struct world *w)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(api_port(w->api))};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    int one = 1;

    assert_true(fd >= 0);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    return fd;
}

void client_close(int fd)
{
    (void)close(fd);
}

void client_reset(int fd)
{
    struct linger now = {.l_onoff = 1, .l_linger = 0};

    (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    (void)close(fd);
}

void client_send(int fd, const void *data, size_t bytes)
{
    const char *at = data;

    while (bytes > 0) {
        ssize_t n = send(fd, at, bytes, MSG_NOSIGNAL);

        if (n <= 0)
            return; /* the other side closed; the test sees it when it reads */
        at += n;
        bytes -= (size_t)n;
    }
}

void client_send_text(int fd, const char *text)
{
    client_send(fd, text, strlen(text));
}

/* Up to bytes; 0 at the end, or when nothing comes for too long. */
static size_t receive(int fd, void *to, size_t bytes)
{
    struct pollfd wait = {.fd = fd, .events = POLLIN};
    ssize_t n;

    if (poll(&wait, 1, WAIT_MS) <= 0)
        fail_msg("no answer came");
    n = recv(fd, to, bytes, 0);
    return n > 0 ? (size_t)n : 0;
}

bool client_at_end(int fd)
{
    char c;

    return receive(fd, &c, 1) == 0;
}

static void read_body(int fd, struct answer *a, bool head_only)
{
    const char *length = strstr(a->head, "\r\nContent-Length: ");
    size_t bytes = length == NULL || head_only ? 0 : strtoul(length + 18, NULL, 10);

    a->body = calloc(1, bytes + 1);
    while (a->body_bytes < bytes) {
        size_t n = receive(fd, a->body + a->body_bytes, bytes - a->body_bytes);

        if (n == 0) {
            a->status = 0;
            break;
        }
        a->body_bytes += n;
    }
}

struct answer client_read(int fd, bool head_only)
{
    struct answer a = {0};

    for (;;) {
        size_t at = 0;

        memset(a.head, 0, sizeof a.head);
        while (strstr(a.head, "\r\n\r\n") == NULL && at + 1 < sizeof a.head) {
            if (receive(fd, a.head + at, 1) == 0)
                return a;
            at++;
        }
        a.status = atoi(a.head + 9);
        if (a.status != 100)
            break;
    }
    read_body(fd, &a, head_only);
    return a;
}

void answer_free(struct answer *a)
{
    free(a->body);
    *a = (struct answer){0};
}

bool answer_has_header(const struct answer *a, const char *line_begin)
{
    char want[256];

    (void)snprintf(want, sizeof want, "\r\n%s", line_begin);
    return strstr(a->head, want) != NULL;
}

struct answer ask(const struct world *w, const char *method, const char *path, const char *body)
{
    int fd = client_connect(w);
    char head[1024];
    struct answer a;

    (void)snprintf(head, sizeof head, "%s %s HTTP/1.1\r\nHost: t\r\nContent-Length: %zu\r\n\r\n",
                   method, path, body == NULL ? 0 : strlen(body));
    client_send_text(fd, head);
    if (body != NULL)
        client_send_text(fd, body);
    a = client_read(fd, strcmp(method, "HEAD") == 0);
    client_close(fd);
    return a;
}

void expect(const struct world *w, const char *method, const char *path, const char *body,
            int http_status)
{
    struct answer a = ask(w, method, path, body);

    if (a.status != http_status)
        fail_msg("%s %s %s: %d %s", method, path, body == NULL ? "" : body, a.status, a.body);
    answer_free(&a);
}

const char *answer_code(const struct answer *a, char code[64])
{
    const char *at = a->body == NULL ? NULL : strstr(a->body, "\"code\":\"");

    code[0] = '\0';
    if (at != NULL)
        (void)sscanf(at, "\"code\":\"%63[^\"]", code);
    return code;
}

void make_collection(const struct world *w, const char *metric)
{
    char body[128];

    (void)snprintf(body, sizeof body, "{\"name\":\"c\",\"dimension\":3,\"metric\":\"%s\"}", metric);
    expect(w, "POST", "/api/v1/collections", body, 201);
}
