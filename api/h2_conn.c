/* h2_conn.c - one connection of the gRPC door: the socket under an HTTP/2 session.
 *
 * What a session has to say is taken from it 64 KiB at a time, and nothing is read while the socket
 * does not take it: who does not read our answers cannot make us hold more of them. */
#include "api/grpc_internal.h"

#include "base/log.h"
#include "base/mem.h"

#include <inttypes.h>
#include <stdio.h>

static void on_timer(uv_timer_t *timer);

/* --- lifetime --- */

static void on_handle_closed(uv_handle_t *handle)
{
    struct h2_conn *c = handle->data;
    struct server *s = c->server;

    if (--c->handles > 0)
        return;
    if (c->prev != NULL)
        c->prev->next = c->next;
    else
        s->h2_conns = c->next;
    if (c->next != NULL)
        c->next->prev = c->prev;
    if (c->refusal)
        s->refusals--;
    else
        atomic_fetch_sub_explicit(&s->conn_count, 1, memory_order_relaxed);
    buf_free(&c->rest);
    mem_free(c);
    server_check_quiet(s);
}

static void leave_dirty(struct h2_conn *c)
{
    struct h2_conn **at = &c->server->h2_dirty;

    while (*at != NULL && *at != c)
        at = &(*at)->dirty_next;
    if (*at == c)
        *at = c->dirty_next;
    c->dirty = false;
}

/* Never from inside the session: that goes with it. */
void h2_conn_close(struct h2_conn *c)
{
    if (c->state == H2_CLOSING)
        return;
    c->state = H2_CLOSING;
    h2_close(c->h2);
    c->h2 = NULL;
    leave_dirty(c);
    uv_close((uv_handle_t *)&c->tcp, on_handle_closed);
    uv_close((uv_handle_t *)&c->timer, on_handle_closed);
}

void h2_conn_touch(struct h2_conn *c)
{
    if (c->dirty || c->state == H2_CLOSING)
        return;
    c->dirty = true;
    c->dirty_next = c->server->h2_dirty;
    c->server->h2_dirty = c;
}

void h2_conn_want(struct h2_conn *c, uint64_t at_ms)
{
    uint64_t now = uv_now(&c->server->loop);

    if (at_ms >= c->timer_ms || c->state == H2_CLOSING)
        return;
    c->timer_ms = at_ms;
    (void)uv_timer_start(&c->timer, on_timer, at_ms > now ? at_ms - now : 0, 0);
}

/* --- out --- */

static void on_shutdown(uv_shutdown_t *shutdown, int code)
{
    (void)shutdown;
    (void)code;
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *out);
static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *into);

static void reading(struct h2_conn *c, bool on)
{
    if (c->reading == on || c->state == H2_CLOSING)
        return;
    c->reading = on;
    if (on)
        (void)uv_read_start((uv_stream_t *)&c->tcp, on_alloc, on_read);
    else
        (void)uv_read_stop((uv_stream_t *)&c->tcp);
}

/* All was said; read on for a moment, so that it is not lost in a reset. */
static void linger(struct h2_conn *c)
{
    if (c->state == H2_LINGER || c->state == H2_CLOSING)
        return;
    c->state = H2_LINGER;
    c->state_ms = uv_now(&c->server->loop);
    h2_close(c->h2);
    c->h2 = NULL;
    (void)uv_shutdown(&c->shutdown, (uv_stream_t *)&c->tcp, on_shutdown);
    reading(c, true);
    h2_conn_want(c, c->state_ms + SERVER_LINGER_MS);
}

static void flush(struct h2_conn *c);

static void on_written(uv_write_t *write, int code)
{
    struct h2_conn *c = write->handle->data;

    if (c->state == H2_CLOSING)
        return;
    c->writing = false;
    buf_free(&c->rest);
    if (code != 0) {
        h2_conn_close(c);
        return;
    }
    reading(c, true);
    flush(c);
}

/* False when the connection had to be closed. */
static bool write_out(struct h2_conn *c, const struct buf *out)
{
    uv_buf_t part = uv_buf_init((char *)out->data, (unsigned)out->bytes);
    int n = uv_try_write((uv_stream_t *)&c->tcp, &part, 1);
    size_t sent = n > 0 ? (size_t)n : 0;

    if (n < 0 && n != UV_EAGAIN) {
        h2_conn_close(c);
        return false;
    }
    if (sent == out->bytes)
        return true;
    buf_init(&c->rest, out->bytes - sent);
    buf_put(&c->rest, out->data + sent, out->bytes - sent);
    part = uv_buf_init((char *)c->rest.data, (unsigned)c->rest.bytes);
    if (c->rest.failed || uv_write(&c->write, (uv_stream_t *)&c->tcp, &part, 1, on_written) != 0) {
        h2_conn_close(c);
        return false;
    }
    c->writing = true;
    c->write_ms = uv_now(&c->server->loop);
    reading(c, false);
    h2_conn_want(c, c->write_ms + c->server->api->options.timeout_ms);
    return true;
}

static void flush(struct h2_conn *c)
{
    struct buf *out = &c->server->h2_out;

    if (c->h2 == NULL)
        return;
    while (!c->writing) {
        buf_reset(out);
        if (!h2_take(c->h2, out, H2_WRITE_BYTES)) {
            h2_conn_close(c);
            return;
        }
        if (out->bytes == 0)
            break;
        if (!write_out(c, out))
            return;
    }
    if (!c->writing && h2_over(c->h2))
        linger(c);
}

void h2_flush(struct server *s)
{
    while (s->h2_dirty != NULL) {
        struct h2_conn *c = s->h2_dirty;

        s->h2_dirty = c->dirty_next;
        c->dirty = false;
        flush(c);
    }
}

/* --- leaving --- */

static void leave(struct h2_conn *c, enum h2_code code, const char *why)
{
    if (c->h2 == NULL || c->state >= H2_LEAVING)
        return;
    c->state = H2_LEAVING;
    c->state_ms = uv_now(&c->server->loop);
    h2_goaway(c->h2, code, why);
    h2_conn_touch(c);
}

void h2_conn_drain(struct h2_conn *c)
{
    if (c->state != H2_OPEN)
        return;
    c->state = H2_NOTICED;
    c->state_ms = uv_now(&c->server->loop);
    h2_notice(c->h2);
    for (struct grpc_stream *g = c->streams, *next; g != NULL; g = next) {
        next = g->next;
        grpc_stream_drain(g);
    }
    h2_conn_want(c, c->state_ms + H2_NOTICE_MS);
    flush(c);
}

void h2_conn_pong(void *conn)
{
    struct h2_conn *c = conn;

    c->asked = false;
    if (c->state == H2_NOTICED)
        leave(c, H2_NO_ERROR, NULL);
}

/* --- in --- */

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *out)
{
    struct h2_conn *c = handle->data;

    (void)suggested;
    *out = uv_buf_init((char *)c->server->scratch, SERVER_READ_BYTES);
}

/* Not HTTP/2 at all: most likely REST on the wrong port, by a person who reads what comes back. */
static void say_wrong_port(struct h2_conn *c)
{
    static char text[] = "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\n"
                         "Connection: close\r\n\r\n"
                         "This port speaks gRPC: HTTP/2 without an upgrade. REST is on [server] "
                         "rest_port.\n";
    uv_buf_t part = uv_buf_init(text, sizeof text - 1);

    (void)uv_try_write((uv_stream_t *)&c->tcp, &part, 1);
    linger(c);
}

static void on_bytes(struct h2_conn *c, const uint8_t *data, size_t bytes)
{
    static struct log_repeat repeat;
    uint64_t left_out;

    c->heard_ms = uv_now(&c->server->loop);
    if (!h2_feed(c->h2, data, bytes, c->heard_ms) && log_repeat(&repeat, &left_out))
        log_warn("a gRPC connection is closed", "reason=%s left_out=%" PRIu64, h2_trouble(c->h2),
                 left_out);
    if (h2_bad_preface(c->h2))
        say_wrong_port(c);
    else
        flush(c);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *into)
{
    struct h2_conn *c = stream->data;

    if (n == 0 || c->state == H2_CLOSING)
        return;
    if (n < 0) {
        h2_conn_close(c);
    } else if (c->state == H2_LINGER) {
        c->linger_bytes += (uint64_t)n;
        if (c->linger_bytes > SERVER_LINGER_BYTES_MAX)
            h2_conn_close(c);
    } else {
        on_bytes(c, (const uint8_t *)into->base, (size_t)n);
        h2_flush(c->server);
    }
}

/* --- time --- */

static uint64_t hello_ms(const struct h2_conn *c)
{
    uint32_t timeout_ms = c->server->api->options.timeout_ms;

    return timeout_ms < H2_HELLO_MS ? timeout_ms : H2_HELLO_MS;
}

/* Not longer than a connection may idle. */
static uint64_t at_most_idle_ms(const struct h2_conn *c, uint64_t ms)
{
    return ms < c->server->idle_ms ? ms : c->server->idle_ms;
}

/* When something has to be done about the connection itself. */
static uint64_t conn_due(const struct h2_conn *c)
{
    if (c->state == H2_LINGER)
        return c->state_ms + SERVER_LINGER_MS;
    if (c->writing)
        return c->write_ms + c->server->api->options.timeout_ms;
    if (c->state == H2_NOTICED)
        return c->state_ms + H2_NOTICE_MS;
    if (c->stream_count > 0)
        return c->heard_ms + at_most_idle_ms(c, H2_QUIET_MS) +
               (c->asked ? at_most_idle_ms(c, H2_PONG_MS) : 0);
    if (c->state == H2_LEAVING)
        return c->state_ms + SERVER_LINGER_MS;
    if (!c->greeted && !h2_settled(c->h2))
        return c->idle_ms + hello_ms(c);
    return c->idle_ms + c->server->idle_ms;
}

/* False when the connection is no more. */
static bool act(struct h2_conn *c)
{
    if (c->state == H2_NOTICED && !c->writing) {
        leave(c, H2_NO_ERROR, NULL);
        return true;
    }
    if (c->state == H2_LINGER || c->state == H2_LEAVING || c->writing || c->asked ||
        (!c->greeted && !h2_settled(c->h2))) {
        h2_conn_close(c);
        return false;
    }
    if (c->stream_count == 0) {
        leave(c, H2_NO_ERROR, "nothing was asked for a long time");
        return true;
    }
    c->asked = true;
    h2_ping(c->h2);
    h2_conn_touch(c);
    return true;
}

static void look_at_streams(struct h2_conn *c, uint64_t now)
{
    for (struct grpc_stream *g = c->streams, *next; g != NULL; g = next) {
        next = g->next;
        if (g->due_ms <= now)
            grpc_stream_due(g);
    }
}

static void on_timer(uv_timer_t *timer)
{
    struct h2_conn *c = timer->data;
    struct server *s = c->server;
    uint64_t now = uv_now(&s->loop);
    uint64_t due;

    c->timer_ms = UINT64_MAX;
    look_at_streams(c, now);
    if (conn_due(c) <= now && !act(c))
        return;
    flush(c);
    h2_flush(s);
    if (c->state == H2_CLOSING)
        return;
    due = conn_due(c);
    for (const struct grpc_stream *g = c->streams; g != NULL; g = g->next)
        due = g->due_ms < due ? g->due_ms : due;
    h2_conn_want(c, due);
}

/* --- accepting --- */

static struct h2_conn *conn_new(struct server *s)
{
    struct h2_conn *c = mem_zero(sizeof *c);
    struct h2_options options = {
        .streams_max = H2_STREAMS_MAX,
        .head_bytes_max = s->api->options.header_bytes_max,
        .window_bytes = H2_WINDOW_BYTES,
        .conn_window_bytes = H2_CONN_WINDOW_BYTES,
    };

    if (c == NULL)
        return NULL;
    c->server = s;
    options.owner = grpc_owner(c);
    if (h2_open(&options, &c->h2, NULL) != ST_OK) {
        mem_free(c);
        return NULL;
    }
    c->tcp.data = c;
    c->timer.data = c;
    (void)uv_timer_init(&s->loop, &c->timer); /* neither makes anything that could fail */
    (void)uv_tcp_init(&s->loop, &c->tcp);
    c->handles = 2;
    c->timer_ms = UINT64_MAX;
    c->idle_ms = c->heard_ms = c->state_ms = uv_now(&s->loop);
    c->next = s->h2_conns;
    if (c->next != NULL)
        c->next->prev = c;
    s->h2_conns = c;
    return c;
}

void h2_conn_accept(struct listener *l)
{
    struct server *s = l->server;
    const struct api_options *o = &s->api->options;
    bool over = server_connections(s) >= o->connections_max;
    struct h2_conn *c = conn_new(s);
    char detail[96];

    if (c == NULL) {
        conn_turn_away(l);
        return;
    }
    l->wanted = false;
    c->refusal = over;
    if (over)
        s->refusals++;
    else
        atomic_fetch_add_explicit(&s->conn_count, 1, memory_order_relaxed);
    if (uv_accept((uv_stream_t *)&l->tcp, (uv_stream_t *)&c->tcp) != 0 ||
        s->refusals > SERVER_REFUSALS_MAX) {
        h2_conn_close(c);
        return;
    }
    (void)uv_tcp_nodelay(&c->tcp, 1);
    if (over) {
        metrics_refused(s->api->metrics);
        (void)snprintf(detail, sizeof detail,
                       "%" PRIu32 " connections are open, the limit is %" PRIu32,
                       server_connections(s), o->connections_max);
        leave(c, H2_NO_ERROR, detail);
    }
    h2_conn_want(c, conn_due(c));
    reading(c, true);
    h2_flush(s);
}
