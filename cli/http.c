#include "cli/http_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

enum { HOST_BYTES = 256, PORT_BYTES = 8, PIECE_BYTES = 64 * 1024 };

struct place {
    char host[HOST_BYTES], port[PORT_BYTES];
};

void http_answer_free(struct http_answer *a)
{
    buf_free(&a->body);
    *a = (struct http_answer){0};
}

void http_put_encoded(struct buf *out, const char *text)
{
    static const char plain[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";

    for (; *text != '\0'; text++) {
        if (strchr(plain, *text) != NULL)
            buf_put_u8(out, (uint8_t)*text);
        else
            buf_printf(out, "%%%02X", (unsigned)(unsigned char)*text);
    }
}

/* --- the URL --- */

static status bad_url(struct err *err)
{
    return err_set(err, ST_INVALID, "a node's URL is like http://127.0.0.1:8080");
}

static status place_of(const char *url, struct place *out, struct err *err)
{
    const char *host = url + strlen("http://");
    const char *end;
    size_t bytes;

    if (strncasecmp(url, "http://", strlen("http://")) != 0)
        return bad_url(err);
    end = host[0] == '[' ? strchr(++host, ']') : host + strcspn(host, ":/");
    bytes = end == NULL ? 0 : (size_t)(end - host);
    if (bytes == 0 || bytes >= sizeof out->host || memchr(host, '@', bytes) != NULL)
        return bad_url(err);
    memcpy(out->host, host, bytes);
    out->host[bytes] = '\0';
    end += *end == ']';
    memcpy(out->port, "8080", 5);
    if (*end == ':') {
        bytes = strspn(++end, "0123456789");
        if (bytes == 0 || bytes > 5)
            return bad_url(err);
        memcpy(out->port, end, bytes);
        out->port[bytes] = '\0';
        end += bytes;
    }
    return *end == '\0' || strcmp(end, "/") == 0 ? ST_OK : bad_url(err);
}

/* --- the socket --- */

static bool wait_for(int fd, short events, int wait_ms)
{
    struct pollfd p = {.fd = fd, .events = events};
    int got;

    do
        got = poll(&p, 1, wait_ms);
    while (got < 0 && errno == EINTR);
    return got == 1;
}

static bool connect_to(int fd, const struct addrinfo *at, int *errnum)
{
    socklen_t bytes = sizeof *errnum;

    *errnum = 0;
    if (connect(fd, at->ai_addr, at->ai_addrlen) == 0)
        return true;
    *errnum = errno;
    if (*errnum != EINPROGRESS)
        return false;
    *errnum = ETIMEDOUT;
    if (!wait_for(fd, POLLOUT, HTTP_CONNECT_MS))
        return false;
    return getsockopt(fd, SOL_SOCKET, SO_ERROR, errnum, &bytes) == 0 && *errnum == 0;
}

static status open_socket(const struct place *place, int *out, struct err *err)
{
    const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct addrinfo *list = NULL;
    int errnum = 0;
    int got = getaddrinfo(place->host, place->port, &hints, &list);

    if (got != 0)
        return err_set(err, ST_UNAVAILABLE, "%s: %s", place->host, gai_strerror(got));
    for (struct addrinfo *at = list; at != NULL; at = at->ai_next) {
        int fd = socket(at->ai_family, at->ai_socktype | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

        if (fd >= 0 && connect_to(fd, at, &errnum)) {
            freeaddrinfo(list);
            *out = fd;
            return ST_OK;
        }
        if (fd >= 0)
            (void)close(fd);
    }
    freeaddrinfo(list);
    return err_set(err, ST_UNAVAILABLE, "nobody answers at %s:%s (%s)", place->host, place->port,
                   strerror(errnum));
}

static status send_all(int fd, struct slice bytes, struct err *err)
{
    while (bytes.bytes > 0) {
        ssize_t sent = send(fd, bytes.data, bytes.bytes, MSG_NOSIGNAL);

        if (sent > 0) {
            bytes = slice_make(bytes.data + sent, bytes.bytes - (size_t)sent);
            continue;
        }
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0 && errno == EAGAIN && wait_for(fd, POLLOUT, HTTP_WAIT_MS))
            continue;
        return err_set(err, ST_UNAVAILABLE, "the node took the request only in part (%s)",
                       strerror(errno));
    }
    return ST_OK;
}

/* How many bytes the whole answer has, as far as its first bytes say: 0, as long as they do not. */
static size_t answer_bytes(const struct buf *raw);

status http_receive(int fd, struct buf *out, bool *end, struct err *err)
{
    *end = false;
    for (;;) {
        ssize_t got;

        if (!buf_reserve(out, PIECE_BYTES))
            return err_set(err, ST_LIMIT, "the answer is larger than %d MiB",
                           HTTP_BODY_BYTES_MAX >> 20);
        got = recv(fd, out->data + out->bytes, PIECE_BYTES, 0);
        if (got >= 0) {
            out->bytes += (size_t)got;
            *end = got == 0;
            return ST_OK;
        }
        if (errno == EAGAIN && !wait_for(fd, POLLIN, HTTP_WAIT_MS))
            return err_set(err, ST_UNAVAILABLE, "no answer for %d s", HTTP_WAIT_MS / 1000);
        if (errno != EAGAIN && errno != EINTR)
            return err_set(err, ST_UNAVAILABLE, "the answer was cut off (%s)", strerror(errno));
    }
}

/* Until the answer is whole, or the other side closes. */
static status receive_all(int fd, struct buf *out, struct err *err)
{
    size_t whole = 0;
    bool end = false;
    status st = ST_OK;

    while (st == ST_OK && !end && (whole == 0 || out->bytes < whole)) {
        st = http_receive(fd, out, &end, err);
        whole = st == ST_OK && whole == 0 ? answer_bytes(out) : whole;
    }
    return st;
}

/* --- the answer --- */

const char *http_find_header(const char *head, const char *name)
{
    const char *line = head;

    while ((line = strstr(line, "\r\n")) != NULL) {
        line += 2;
        if (strncasecmp(line, name, strlen(name)) == 0 && line[strlen(name)] == ':')
            return line + strlen(name) + 1 + strspn(line + strlen(name) + 1, " \t");
    }
    return NULL;
}

static bool length_of(const char *text, uint64_t *out)
{
    uint64_t n = 0;
    size_t digits = strspn(text, "0123456789");

    if (digits == 0 || digits > 18)
        return false;
    for (size_t i = 0; i < digits; i++)
        n = n * 10 + (uint64_t)(text[i] - '0');
    *out = n;
    return true;
}

static size_t answer_bytes(const struct buf *raw)
{
    const uint8_t *at = memmem(raw->data, raw->bytes, "\r\n\r\n", 4);
    size_t head_bytes = at == NULL ? 0 : (size_t)(at - raw->data) + 2;
    char head[HTTP_HEAD_BYTES_MAX + 1];
    const char *length;
    uint64_t bytes = 0;

    if (at == NULL || head_bytes > HTTP_HEAD_BYTES_MAX || memchr(raw->data, 0, head_bytes) != NULL)
        return 0;
    memcpy(head, raw->data, head_bytes);
    head[head_bytes] = '\0';
    length = http_find_header(head, "Content-Length");
    if (length == NULL || !length_of(length, &bytes) || bytes > HTTP_BODY_BYTES_MAX)
        return 0;
    return head_bytes + 2 + (size_t)bytes;
}

static status read_head(char *head, struct http_answer *out, uint64_t *length, struct err *err)
{
    const char *type = http_find_header(head, "Content-Type");
    const char *bytes = http_find_header(head, "Content-Length");
    const char *after = http_find_header(head, "Retry-After");
    const char *connection = http_find_header(head, "Connection");
    uint64_t seconds = 0;

    *length = UINT64_MAX;
    if (strncmp(head, "HTTP/1.", 7) != 0 || strspn(head + 9, "0123456789") != 3 ||
        http_find_header(head, "Transfer-Encoding") != NULL ||
        (bytes != NULL && !length_of(bytes, length)))
        return err_set(err, ST_CORRUPT, "who answers there speaks no HTTP we know");
    out->status = (head[9] - '0') * 100 + (head[10] - '0') * 10 + (head[11] - '0');
    if (type != NULL)
        (void)snprintf(out->content_type, sizeof out->content_type, "%.*s",
                       (int)strcspn(type, "\r;"), type);
    if (after != NULL && length_of(after, &seconds))
        out->retry_after_s =
            seconds > HTTP_RETRY_AFTER_S_MAX ? HTTP_RETRY_AFTER_S_MAX : (uint32_t)seconds;
    out->kept = *length != UINT64_MAX && strncmp(head, "HTTP/1.1", 8) == 0 &&
                (connection == NULL || strncasecmp(connection, "close", 5) != 0);
    return ST_OK;
}

static status take_answer(const struct buf *raw, struct http_answer *out, struct err *err)
{
    static const char end[] = "\r\n\r\n";
    const uint8_t *at = raw->bytes == 0 ? NULL : memmem(raw->data, raw->bytes, end, 4);
    char head[HTTP_HEAD_BYTES_MAX + 1];
    size_t head_bytes = at == NULL ? 0 : (size_t)(at - raw->data) + 2;
    uint64_t length;
    status st;

    if (at == NULL || head_bytes > HTTP_HEAD_BYTES_MAX || memchr(raw->data, 0, head_bytes) != NULL)
        return err_set(err, raw->bytes == 0 ? ST_UNAVAILABLE : ST_CORRUPT,
                       raw->bytes == 0 ? "the connection was closed without an answer"
                                       : "who answers there speaks no HTTP we know");
    memcpy(head, raw->data, head_bytes);
    head[head_bytes] = '\0';
    st = read_head(head, out, &length, err);
    if (st != ST_OK)
        return st;
    head_bytes += 2;
    if (length != UINT64_MAX && length > raw->bytes - head_bytes)
        return err_set(err, ST_UNAVAILABLE, "the answer was cut off");
    if (length == UINT64_MAX)
        length = raw->bytes - head_bytes;
    out->kept = out->kept && length == raw->bytes - head_bytes;
    buf_init(&out->body, HTTP_BODY_BYTES_MAX);
    buf_put(&out->body, raw->data + head_bytes, (size_t)length);
    return buf_status(&out->body, err);
}

status http_read_answer(int fd, struct http_answer *out, struct err *err)
{
    struct buf raw;
    status st;

    buf_init(&raw, HTTP_BODY_BYTES_MAX + HTTP_HEAD_BYTES_MAX);
    st = receive_all(fd, &raw, err);
    if (st == ST_OK)
        st = take_answer(&raw, out, err);
    buf_free(&raw);
    return st;
}

static status exchange(int fd, const struct buf *request, struct slice body,
                       struct http_answer *out, struct err *err)
{
    status st = send_all(fd, buf_slice(request), err);

    if (st == ST_OK)
        st = send_all(fd, body, err);
    return st == ST_OK ? http_read_answer(fd, out, err) : st;
}

static bool is_header(const char *line)
{
    for (; *line != '\0'; line++)
        if (*line < ' ' || *line > '~')
            return false;
    return true;
}

struct question {
    const char *method, *path, *header; /* header NULL: none */
    bool keep;
};

static status put_request(struct buf *out, const struct place *place, const struct question *q,
                          size_t bytes, struct err *err)
{
    const char *header = q->header == NULL ? "" : q->header;

    buf_init(out, 64 * 1024);
    if (!is_header(header))
        return err_set(err, ST_INVALID, "a header holds what none may");
    buf_printf(out,
               "%s %s HTTP/1.%d\r\nHost: %s:%s\r\nConnection: %s\r\n"
               "Content-Type: application/json\r\nContent-Length: %zu\r\n%s%s\r\n",
               q->method, q->path, q->keep, place->host, place->port,
               q->keep ? "keep-alive" : "close", bytes, header, header[0] == '\0' ? "" : "\r\n");
    return buf_status(out, err);
}

status http_send_head(const char *url, const char *method, const char *path, const char *header,
                      uint64_t body_bytes, int *fd, struct err *err)
{
    const struct question q = {method, path, header, true};
    struct place place;
    struct buf request;
    status st = place_of(url, &place, err);

    if (st != ST_OK)
        return st;
    st = put_request(&request, &place, &q, (size_t)body_bytes, err);
    if (st == ST_OK)
        st = open_socket(&place, fd, err);
    if (st == ST_OK) {
        st = send_all(*fd, buf_slice(&request), err);
        if (st != ST_OK)
            (void)close(*fd);
    }
    buf_free(&request);
    return st;
}

void http_line_close(struct http_line *line)
{
    if (line->open)
        (void)close(line->fd);
    line->open = false;
}

/* One request; line is open, or is opened. */
static status ask_on(struct http_line *line, const struct place *place, const struct buf *request,
                     struct slice body, struct http_answer *out, struct err *err)
{
    struct http_answer answer = {0};
    status st = ST_OK;

    if (!line->open)
        st = open_socket(place, &line->fd, err);
    if (st != ST_OK)
        return st;
    line->open = true;
    st = exchange(line->fd, request, body, &answer, err);
    if (st != ST_OK || !answer.kept)
        http_line_close(line);
    if (st == ST_OK)
        *out = answer;
    else
        http_answer_free(&answer);
    return st;
}

status http_line_ask(struct http_line *line, const char *url, const char *method, const char *path,
                     const char *header, struct slice body, struct http_answer *out,
                     struct err *err)
{
    const struct question q = {method, path, header, true};
    bool used = line->open;
    struct place place;
    struct buf request;
    status st = place_of(url, &place, err);

    if (st != ST_OK)
        return st;
    st = put_request(&request, &place, &q, body.bytes, err);
    if (st == ST_OK)
        st = ask_on(line, &place, &request, body, out, err);
    /* The other side may close what has been idle: once more, on a new one. */
    if (st == ST_UNAVAILABLE && used)
        st = ask_on(line, &place, &request, body, out, err);
    buf_free(&request);
    return st;
}

status http_ask(const char *url, const char *method, const char *path, struct slice body,
                struct http_answer *out, struct err *err)
{
    return http_ask_with(url, method, path, NULL, body, out, err);
}

/* HTTP/1.0: the answer comes in one piece. */
status http_ask_with(const char *url, const char *method, const char *path, const char *header,
                     struct slice body, struct http_answer *out, struct err *err)
{
    const struct question q = {method, path, header, false};
    struct http_line line = {0};
    struct place place;
    struct buf request;
    status st = place_of(url, &place, err);

    if (st != ST_OK)
        return st;
    st = put_request(&request, &place, &q, body.bytes, err);
    if (st == ST_OK)
        st = ask_on(&line, &place, &request, body, out, err);
    http_line_close(&line);
    buf_free(&request);
    return st;
}
