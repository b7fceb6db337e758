/* conn_answer.c - an answer on its way into the socket, and refusals of what was being read. */
#include "api/qdrant_door.h"
#include "api/server_internal.h"

#include "base/log.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

/* libuv calls it without asking when the handle is closed meanwhile. */
static void on_shutdown(uv_shutdown_t *shutdown, int code)
{
    (void)shutdown;
    (void)code;
}

static void linger(struct conn *c)
{
    if (c->eof) {
        conn_close(c);
        return;
    }
    c->state = CONN_LINGER;
    buf_free(&c->pending);
    c->pending_at = 0;
    (void)uv_shutdown(&c->shutdown, (uv_stream_t *)&c->tcp, on_shutdown);
    conn_reading(c, true);
    if (c->sends_on && !atomic_load_explicit(&c->server->api->draining, memory_order_relaxed))
        conn_arm(c, SERVER_UPLOAD_LINGER_MS);
    else
        conn_arm(c, SERVER_LINGER_MS);
}

void conn_answered(struct conn *c)
{
    buf_free(&c->out);
    atomic_fetch_sub_explicit(&c->server->api->reply_bytes, c->out_charged, memory_order_relaxed);
    c->out_charged = 0;
    c->out_tail = (struct slice){0};
    if (c->req != NULL) {
        conn_download_sent(c);
        return;
    }
    if (!c->keep_alive) {
        linger(c);
        return;
    }
    c->state = CONN_IDLE;
    c->head_only = false; /* what may be refused next has no head yet */
    conn_arm(c, c->server->idle_ms);
    conn_resume(c);
}

static void on_written(uv_write_t *write, int code)
{
    struct conn *c = write->handle->data;

    if (c->state == CONN_CLOSING)
        return;
    if (code != 0)
        conn_close(c);
    else
        conn_answered(c);
}

size_t conn_print_head(struct conn *c, const struct request *req, const char *framing)
{
    char *to = c->out_head;
    size_t room = sizeof c->out_head;
    int n = snprintf(to, room,
                     "HTTP/1.1 %d %s\r\nContent-Type: %s\r\n%s\r\n"
                     "X-Request-Id: %s\r\nDate: %s\r\n",
                     req->http_status, http_reason(req->http_status), req->content_type, framing,
                     req->id, server_date(c->server));

    if (req->retry_after_s > 0)
        n += snprintf(to + n, room - (size_t)n, "Retry-After: %" PRIu32 "\r\n", req->retry_after_s);
    if (req->replayed)
        n += snprintf(to + n, room - (size_t)n, "Idempotent-Replayed: true\r\n");
    if (req->allow != NULL)
        n += snprintf(to + n, room - (size_t)n, "Allow: %s\r\n", req->allow);
    n += snprintf(to + n, room - (size_t)n, "Connection: %s\r\n\r\n",
                  c->keep_alive ? "keep-alive" : "close");
    assert(n > 0 && (size_t)n < room); /* every part above has its own bound */
    return (size_t)n;
}

static size_t print_head(struct conn *c, const struct request *req)
{
    char framing[64];

    (void)snprintf(framing, sizeof framing, "Content-Length: %zu", req->out.bytes);
    return conn_print_head(c, req, framing);
}

/* Most answers leave at once, without a callback. */
void conn_write_out(struct conn *c, size_t head_bytes)
{
    uv_buf_t parts[3] = {
        uv_buf_init(c->out_head, (unsigned)head_bytes),
        uv_buf_init((char *)c->out.data, (unsigned)c->out.bytes),
        uv_buf_init((char *)(uintptr_t)c->out_tail.data, (unsigned)c->out_tail.bytes)};
    unsigned first = 0;
    unsigned count = c->head_only || c->out.bytes == 0 ? 1 : c->out_tail.bytes == 0 ? 2 : 3;
    int n = uv_try_write((uv_stream_t *)&c->tcp, parts, count);
    size_t sent = n > 0 ? (size_t)n : 0;

    if (n < 0 && n != UV_EAGAIN) {
        conn_close(c);
        return;
    }
    while (first < count && sent >= parts[first].len)
        sent -= parts[first++].len;
    if (first == count) {
        conn_answered(c);
        return;
    }
    parts[first].base += sent;
    parts[first].len -= sent;
    c->state = CONN_WRITING;
    conn_arm(c, c->server->api->options.timeout_ms);
    if (uv_write(&c->write, (uv_stream_t *)&c->tcp, parts + first, count - first, on_written) != 0)
        conn_close(c);
}

void conn_account(struct server *s, const struct request *req)
{
    struct api *api = s->api;
    uint64_t now = clock_mono_ns(api->options.clock);
    double seconds = req->start_ns == 0 ? 0.0 : (double)(now - req->start_ns) / 1e9;
    const struct route *route = req->match.route;

    metrics_request(api->metrics, route, req->http_status, seconds);
    if (api->options.log_requests)
        log_info("request",
                 "request_id=%s method=%s route=%s status=%d ms=%.3f bytes_in=%zu "
                 "bytes_out=%zu",
                 req->id, http_method_name(req->method), route == NULL ? "none" : route->pattern,
                 req->http_status, seconds * 1e3, req->body.bytes, req->out.bytes);
}

void conn_answer(struct request *req)
{
    struct server *s = req->api->server;
    struct conn *c = req->conn;
    size_t head_bytes;

    if (req->download != NULL && req->download->begun && c != NULL) {
        conn_download_piece(c, req);
        return;
    }
    if (!req->told_late)
        conn_account(s, req);
    if (c == NULL) { /* nobody waits */
        server_request_free(s, req);
        return;
    }
    c->sends_on = c->sends_on || c->state == CONN_STREAMING;
    if (atomic_load_explicit(&s->api->draining, memory_order_relaxed) || c->eof || c->sends_on)
        c->keep_alive = false;
    head_bytes = print_head(c, req);
    c->out = req->out;
    c->out_charged = req->out_charged;
    buf_init(&req->out, 0);
    req->out_charged = 0;
    c->req = NULL;
    server_request_free(s, req);
    conn_write_out(c, head_bytes);
}

/* Answers what was being read with a problem, and closes: where the next request would begin cannot
 * be known, or would have to be waited for. */
void conn_refuse(struct conn *c, enum problem p, const char *detail)
{
    if (c->req == NULL)
        c->req = conn_request_new(c);
    if (c->req == NULL) {
        conn_close(c);
        return;
    }
    if (c->req->id[0] == '\0') {
        const struct http1_header *sent = http1_header(&c->http.head, "x-request-id");

        if (sent == NULL || !request_clean_id(sent->value, c->req->id))
            request_make_id(c->server->api, c->req->id);
        if (c->http.head.path.bytes > 0)
            c->req->qdrant = c->qdrant || qd_owns(c->http.head.path);
    }
    c->keep_alive = false;
    request_set_problem(c->req, p, detail);
    conn_answer(c->req);
}
