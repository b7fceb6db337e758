/* conn_accept.c - new connections: taken, turned away over the limit, closed unheard without
 * memory. */
#include "api/server_internal.h"

#include "base/log.h"
#include "base/mem.h"

#include <inttypes.h>
#include <stdio.h>

static struct conn *conn_new(struct server *s)
{
    const struct api_options *o = &s->api->options;
    struct conn *c = mem_zero(sizeof *c);

    if (c == NULL)
        return NULL;
    c->server = s;
    c->keep_alive = true;
    http1_init(&c->http, o->header_bytes_max, s->body_bytes_max);
    c->http.any_length = conn_upload_any_length;
    buf_init(&c->pending, SERVER_READ_BYTES);
    c->tcp.data = c;
    c->timer.data = c;
    (void)uv_timer_init(&s->loop, &c->timer); /* neither makes anything that could fail */
    (void)uv_tcp_init(&s->loop, &c->tcp);
    c->handles = 2;
    c->next = s->conns;
    if (c->next != NULL)
        c->next->prev = c;
    s->conns = c;
    return c;
}

static void on_turned_away(uv_handle_t *spare)
{
    struct server *s = spare->data;

    s->spare_busy = false;
    for (size_t i = 0; i < SERVER_LISTENERS; i++)
        if (s->listeners[i].wanted && s->listeners[i].open)
            server_accept(&s->listeners[i]);
}

/* Without memory for a connection it must still be taken from the listener, which else would never
 * speak again. One spare handle does that. */
void conn_turn_away(struct listener *l)
{
    struct server *s = l->server;
    static struct log_repeat repeat;
    uint64_t left_out;

    l->wanted = s->spare_busy;
    if (s->spare_busy)
        return;
    if (log_repeat(&repeat, &left_out))
        log_warn("a connection was closed unheard", "err=out of memory left_out=%" PRIu64,
                 left_out);
    s->spare_busy = true;
    s->spare.data = s;
    (void)uv_tcp_init(&s->loop, &s->spare);
    (void)uv_accept((uv_stream_t *)&l->tcp, (uv_stream_t *)&s->spare);
    uv_close((uv_handle_t *)&s->spare, on_turned_away);
}

void conn_accept(struct listener *l)
{
    struct server *s = l->server;
    const struct api_options *o = &s->api->options;
    bool over = server_connections(s) >= o->connections_max;
    struct conn *c = conn_new(s);
    char detail[96];

    if (c == NULL) {
        conn_turn_away(l);
        return;
    }
    l->wanted = false;
    c->qdrant = l->qdrant;
    c->refusal = over;
    if (over)
        s->refusals++;
    else
        atomic_fetch_add_explicit(&s->conn_count, 1, memory_order_relaxed);
    if (uv_accept((uv_stream_t *)&l->tcp, (uv_stream_t *)&c->tcp) != 0 ||
        s->refusals > SERVER_REFUSALS_MAX) {
        conn_close(c);
        return;
    }
    (void)uv_tcp_nodelay(&c->tcp, 1);
    if (over) {
        metrics_refused(s->api->metrics);
        (void)snprintf(detail, sizeof detail,
                       "%" PRIu32 " connections are open, the limit is %" PRIu32,
                       server_connections(s), o->connections_max);
        c->state = CONN_READING;
        conn_refuse(c, PROBLEM_TOO_MANY_CONNECTIONS, detail);
        return;
    }
    conn_arm(c, s->idle_ms);
    conn_reading(c, true);
}
