#include "tests/support/http_script.h"

#include "base/clock.h"
#include "base/lock.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { CONNECTIONS_MAX = 64 };

struct seen {
    char head[HTTP_SCRIPT_TEXT_BYTES];
    char body[HTTP_SCRIPT_TEXT_BYTES];
    size_t body_bytes;
};

struct connection {
    struct http_script *script;
    struct thread thread;
    int fd;
};

struct http_script {
    const struct http_line *lines;
    size_t line_count;
    int listener;
    uint16_t port;
    struct thread thread;
    struct lock lock; /* LOCK_RANK_LEAF; all below */
    struct cond changed;
    struct seen seen[HTTP_SCRIPT_REQUESTS];
    size_t requests; /* whose head is here */
    size_t arrived;  /* whose body is too, where it is read */
    struct connection connections[CONNECTIONS_MAX];
    size_t connection_count;
    bool stopping;
    bool limited;
    unsigned per_second;
    double tokens;
    uint64_t filled_ns;
};

static bool send_all(int fd, const char *data, size_t bytes)
{
    while (bytes > 0) {
        ssize_t sent = send(fd, data, bytes, MSG_NOSIGNAL);

        if (sent <= 0)
            return false;
        data += sent;
        bytes -= (size_t)sent;
    }
    return true;
}

static void sleep_ms(uint32_t ms)
{
    struct timespec t = {ms / 1000, (long)(ms % 1000) * 1000000};

    (void)nanosleep(&t, NULL);
}

static bool is_stopping(struct http_script *h)
{
    bool stopping;

    lock_take(&h->lock);
    stopping = h->stopping;
    lock_drop(&h->lock);
    return stopping;
}

/* Byte by byte, so that nothing of the body is taken. */
static bool read_head(int fd, char head[HTTP_SCRIPT_TEXT_BYTES])
{
    size_t bytes = 0;

    while (bytes + 1 < HTTP_SCRIPT_TEXT_BYTES && recv(fd, head + bytes, 1, 0) == 1) {
        head[++bytes] = '\0';
        if (bytes >= 4 && strcmp(head + bytes - 4, "\r\n\r\n") == 0)
            return true;
    }
    return false;
}

static size_t read_body(int fd, const char *head, char kept[HTTP_SCRIPT_TEXT_BYTES])
{
    static const char name[] = "\r\ncontent-length:";
    const char *at = strcasestr(head, name);
    size_t left = at == NULL ? 0 : strtoul(at + sizeof name - 1, NULL, 10);
    size_t done = 0;
    char chunk[65536];

    while (left > 0) {
        ssize_t got = recv(fd, chunk, left < sizeof chunk ? left : sizeof chunk, 0);

        if (got <= 0)
            break;
        for (size_t i = 0; i < (size_t)got && done + i + 1 < HTTP_SCRIPT_TEXT_BYTES; i++)
            kept[done + i] = chunk[i];
        done += (size_t)got;
        left -= (size_t)got;
    }
    return done;
}

static bool play(struct http_script *h, int fd, const struct http_line *line)
{
    const char *answer = line->answer != NULL ? line->answer : "";
    const char *end = strstr(answer, "\r\n\r\n");
    size_t head = end == NULL || line->drip_ms == 0 ? strlen(answer) : (size_t)(end - answer) + 4;
    bool ok = send_all(fd, answer, head);

    for (answer += head; ok && *answer != '\0' && !is_stopping(h); answer++) {
        sleep_ms(line->drip_ms);
        ok = send_all(fd, answer, 1);
    }
    for (size_t i = 0; ok && i < line->repeats; i++)
        ok = send_all(fd, line->more, strlen(line->more));
    return ok;
}

static void finish(struct http_script *h, int fd, enum http_end end)
{
    const struct linger reset = {1, 0};
    char byte;

    if (end == HTTP_RESET)
        (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    while (end == HTTP_HANG && !is_stopping(h) && recv(fd, &byte, 1, 0) > 0)
        continue;
}

/* A tenth of a second's worth may come at once. */
static const struct http_line *line_by_rate_locked(struct http_script *h)
{
    uint64_t now = clock_mono_ns(clock_real());
    double most = h->per_second / 10.0 + 1;

    h->tokens += (double)(now - h->filled_ns) / 1e9 * h->per_second;
    h->tokens = h->tokens > most ? most : h->tokens;
    h->filled_ns = now;
    if (h->per_second > 0 && h->tokens < 1)
        return &h->lines[1];
    h->tokens -= h->per_second > 0 ? 1 : 0;
    return &h->lines[0];
}

static void serve(void *arg)
{
    struct connection *c = arg;
    struct http_script *h = c->script;
    char head[HTTP_SCRIPT_TEXT_BYTES];
    enum http_end end = HTTP_KEEP;

    while (end == HTTP_KEEP && read_head(c->fd, head)) {
        const struct http_line *line;
        struct seen *seen;

        lock_take(&h->lock);
        assert(h->limited || h->requests < HTTP_SCRIPT_REQUESTS);
        line = h->limited
                   ? line_by_rate_locked(h)
                   : &h->lines[h->requests < h->line_count ? h->requests : h->line_count - 1];
        seen = &h->seen[h->requests++ % HTTP_SCRIPT_REQUESTS];
        memcpy(seen->head, head, sizeof head);
        lock_drop(&h->lock);
        if (line->says_continue)
            (void)send_all(c->fd, "HTTP/1.1 100 Continue\r\n\r\n", 25);
        if (!line->before_body) {
            char body[HTTP_SCRIPT_TEXT_BYTES] = "";
            size_t bytes = read_body(c->fd, head, body);

            lock_take(&h->lock);
            seen->body_bytes = bytes;
            memcpy(seen->body, body, sizeof body);
            lock_drop(&h->lock);
        }
        lock_take(&h->lock);
        h->arrived++;
        cond_broadcast(&h->changed);
        lock_drop(&h->lock);
        end = play(h, c->fd, line) ? line->end : HTTP_CLOSE;
        finish(h, c->fd, end);
    }
    lock_take(&h->lock);
    (void)close(c->fd);
    c->fd = -1;
    lock_drop(&h->lock);
}

static void accept_all(void *arg)
{
    struct http_script *h = arg;
    int fd;

    while ((fd = accept(h->listener, NULL, NULL)) >= 0) {
        struct connection *c;
        const int one = 1;

        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        lock_take(&h->lock);
        if (h->stopping || h->connection_count == CONNECTIONS_MAX) {
            (void)close(fd);
            lock_drop(&h->lock);
            continue;
        }
        c = &h->connections[h->connection_count++];
        c->script = h;
        c->fd = fd;
        lock_drop(&h->lock);
        if (thread_start(&c->thread, "http-conn", THREAD_NORMAL, serve, c, NULL) != ST_OK)
            abort();
    }
}

struct http_script *http_script_start(const struct http_line *lines, size_t count)
{
    struct http_script *h = calloc(1, sizeof *h);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t bytes = sizeof address;

    assert(h != NULL && count > 0);
    h->lines = lines;
    h->line_count = count;
    lock_init(&h->lock, LOCK_RANK_LEAF, "http script");
    cond_init(&h->changed);
    h->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (h->listener < 0 || bind(h->listener, (struct sockaddr *)&address, sizeof address) != 0 ||
        listen(h->listener, 64) != 0 ||
        getsockname(h->listener, (struct sockaddr *)&address, &bytes) != 0 ||
        thread_start(&h->thread, "http-script", THREAD_NORMAL, accept_all, h, NULL) != ST_OK)
        abort();
    h->port = ntohs(address.sin_port);
    return h;
}

void http_script_stop(struct http_script *h)
{
    lock_take(&h->lock);
    h->stopping = true;
    for (size_t i = 0; i < h->connection_count; i++)
        if (h->connections[i].fd >= 0)
            (void)shutdown(h->connections[i].fd, SHUT_RDWR);
    lock_drop(&h->lock);
    (void)shutdown(h->listener, SHUT_RDWR);
    thread_join(&h->thread);
    for (size_t i = 0; i < h->connection_count; i++)
        thread_join(&h->connections[i].thread);
    (void)close(h->listener);
    cond_fini(&h->changed);
    lock_fini(&h->lock);
    free(h);
}

void http_script_limit(struct http_script *h, unsigned per_second)
{
    lock_take(&h->lock);
    assert(h->line_count >= 2);
    h->limited = true;
    h->per_second = per_second;
    h->tokens = 0;
    h->filled_ns = clock_mono_ns(clock_real());
    lock_drop(&h->lock);
}

uint16_t http_script_port(const struct http_script *h)
{
    return h->port;
}

size_t http_script_requests(struct http_script *h)
{
    size_t count;

    lock_take(&h->lock);
    count = h->requests;
    lock_drop(&h->lock);
    return count;
}

size_t http_script_connections(struct http_script *h)
{
    size_t count;

    lock_take(&h->lock);
    count = h->connection_count;
    lock_drop(&h->lock);
    return count;
}

const char *http_script_head(struct http_script *h, size_t n)
{
    http_script_wait(h, n + 1);
    return h->seen[n].head;
}

size_t http_script_body_bytes(struct http_script *h, size_t n)
{
    size_t bytes;

    http_script_wait(h, n + 1);
    lock_take(&h->lock);
    bytes = h->seen[n].body_bytes;
    lock_drop(&h->lock);
    return bytes;
}

const char *http_script_body(struct http_script *h, size_t n)
{
    http_script_wait(h, n + 1);
    return h->seen[n].body;
}

void http_script_wait(struct http_script *h, size_t requests)
{
    lock_take(&h->lock);
    while (h->arrived < requests)
        if (!cond_wait_ns(&h->changed, &h->lock, UINT64_C(20000000000))) {
            (void)fprintf(stderr, "http script: %zu requests of %zu came\n", h->arrived, requests);
            abort();
        }
    lock_drop(&h->lock);
}
