/* server.c - the loop thread: listening, the way back from the workers, draining and closing. */
#include "api/grpc_internal.h"

#include "base/log.h"
#include "base/mem.h"

#include <inttypes.h>
#include <netdb.h>
#include <sched.h>
#include <stdio.h>
#include <time.h>

static status uv_err(struct err *err, int code, const char *what)
{
    status st = code == UV_EADDRINUSE ? ST_CONFLICT
                : code == UV_EACCES   ? ST_DENIED
                : code == UV_ENOMEM   ? ST_NOMEM
                                      : ST_IO;

    return err_set(err, st, "%s: %s (%s)", what, uv_strerror(code), uv_err_name(code));
}

uint16_t server_port(const struct server *s)
{
    return s->listeners[0].port;
}

uint16_t server_qdrant_port(const struct server *s)
{
    return s->listeners[1].port;
}

uint16_t server_grpc_port(const struct server *s)
{
    return s->listeners[2].open ? s->listeners[2].port : 0;
}

uint32_t server_connections(const struct server *s)
{
    return atomic_load_explicit(&s->conn_count, memory_order_relaxed);
}

const char *server_date(struct server *s)
{
    time_t now = (time_t)(clock_wall_ns(s->api->options.clock) / 1000000000u);
    struct tm tm;

    if (now != s->date_at || s->date[0] == '\0') {
        s->date_at = now;
        (void)gmtime_r(&now, &tm);
        (void)strftime(s->date, sizeof s->date, "%a, %d %b %Y %H:%M:%S GMT", &tm);
    }
    return s->date;
}

void server_request_free(struct server *s, struct request *req)
{
    if (req == NULL)
        return;
    if (req->collection != NULL) /* of an answer that ended between two pieces */
        node_collection_unpin(req->collection);
    if (req->upload != NULL)
        conn_upload_forget(s, req->upload);
    upload_destroy(req->upload);
    s->body_bytes -= req->body_charged;
    atomic_fetch_sub_explicit(&s->api->reply_bytes, req->out_charged, memory_order_relaxed);
    atomic_fetch_sub_explicit(&s->api->message_bytes, req->message_charged, memory_order_relaxed);
    buf_free(&req->head);
    buf_free(&req->body);
    buf_free(&req->payloads);
    buf_free(&req->out);
    arena_free(&req->arena);
    mem_free(req);
}

/* --- from other threads --- */

/* server_close() frees the server once nothing is under way, which may become true in the middle of
 * what follows the push or the last count: `callers` keeps it until this thread is out again. */
static void enter(struct server *s)
{
    atomic_fetch_add(&s->callers, 1);
}

static void wake_and_leave(struct server *s)
{
    (void)uv_async_send(&s->wake);
    atomic_fetch_sub(&s->callers, 1);
}

void server_reply(struct server *s, struct request *req)
{
    struct request *top = atomic_load_explicit(&s->reply_top, memory_order_relaxed);

    enter(s);
    do {
        req->reply_next = top;
    } while (!atomic_compare_exchange_weak_explicit(&s->reply_top, &top, req, memory_order_release,
                                                    memory_order_relaxed));
    /* Only who finds the queue empty wakes the loop: a burst of replies costs one wake-up. */
    if (top == NULL)
        wake_and_leave(s);
    else
        atomic_fetch_sub(&s->callers, 1);
}

void server_wake(struct server *s)
{
    enter(s);
    wake_and_leave(s);
}

void server_job_begin(struct server *s)
{
    atomic_fetch_add(&s->under_way, 1);
}

void server_job_end(struct server *s)
{
    enter(s);
    atomic_fetch_sub(&s->under_way, 1);
    wake_and_leave(s);
}

/* --- the loop --- */

static void take_replies(struct server *s)
{
    struct request *newest = atomic_exchange_explicit(&s->reply_top, NULL, memory_order_acquire);
    struct request *oldest = NULL;

    while (newest != NULL) { /* turn them round: first come, first answered */
        struct request *next = newest->reply_next;

        newest->reply_next = oldest;
        oldest = newest;
        newest = next;
    }
    while (oldest != NULL) {
        struct request *next = oldest->reply_next;

        atomic_fetch_sub(&s->under_way, 1);
        if (oldest->grpc != NULL)
            grpc_answer(oldest);
        else
            conn_answer(oldest);
        oldest = next;
    }
    grpc_open_windows(s);
    h2_flush(s);
}

static void close_listeners(struct server *s)
{
    for (size_t i = 0; i < SERVER_LISTENERS; i++) {
        struct listener *l = &s->listeners[i];

        if (l->open)
            uv_close((uv_handle_t *)&l->tcp, NULL);
        l->open = false;
    }
}

static void stop_listening(struct server *s)
{
    struct conn *next;

    if (!s->listening)
        return;
    s->listening = false;
    close_listeners(s);
    for (struct conn *c = s->conns; c != NULL; c = next) {
        next = c->next;
        conn_drain(c);
    }
    for (struct h2_conn *c = s->h2_conns, *after; c != NULL; c = after) {
        after = c->next;
        h2_conn_drain(c);
    }
}

void server_check_quiet(struct server *s)
{
    if (s->listening || s->conns != NULL || s->h2_conns != NULL || atomic_load(&s->under_way) > 0)
        return;
    lock_take(&s->drain.lock);
    s->drain.quiet = true;
    cond_broadcast(&s->drain.changed);
    lock_drop(&s->drain.lock);
    if (!atomic_load(&s->closing) || !s->wake_open)
        return;
    while (atomic_load(&s->callers) > 0)
        (void)sched_yield();
    s->wake_open = false;
    uv_close((uv_handle_t *)&s->wake, NULL);
    uv_close((uv_handle_t *)&s->tick, NULL);
}

static void on_wake(uv_async_t *wake)
{
    struct server *s = wake->data;

    take_replies(s);
    server_look_at_uploads(s);
    if (atomic_load(&s->closing) || atomic_load(&s->api->draining))
        stop_listening(s);
    if (atomic_load(&s->closing)) {
        struct conn *next;

        for (struct conn *c = s->conns; c != NULL; c = next) {
            next = c->next;
            conn_close(c);
        }
        for (struct h2_conn *c = s->h2_conns, *after; c != NULL; c = after) {
            after = c->next;
            h2_conn_close(c);
        }
    }
    server_check_quiet(s);
}

void server_accept(struct listener *l)
{
    if (l->grpc)
        h2_conn_accept(l);
    else
        conn_accept(l);
}

static void on_connection(uv_stream_t *listener, int code)
{
    static struct log_repeat repeat;
    uint64_t left_out;

    if (code == 0)
        server_accept(listener->data);
    else if (log_repeat(&repeat, &left_out))
        log_warn("a connection could not be accepted", "err=%s left_out=%" PRIu64,
                 uv_strerror(code), left_out);
}

static void run_loop(void *arg)
{
    struct server *s = arg;

    (void)uv_run(&s->loop, UV_RUN_DEFAULT);
}

/* --- open and close --- */

static status resolve(const char *host, uint16_t number, struct sockaddr_storage *out,
                      struct err *err)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    struct addrinfo *found = NULL;
    char port[8];
    int code;

    (void)snprintf(port, sizeof port, "%u", number);
    code = getaddrinfo(host, port, &hints, &found);
    if (code != 0)
        return err_set(err, ST_INVALID, "host %s: %s", host, gai_strerror(code));
    memcpy(out, found->ai_addr, found->ai_addrlen);
    freeaddrinfo(found);
    return ST_OK;
}

static status bind_listener(struct listener *l, const char *host, uint16_t port, struct err *err)
{
    struct sockaddr_storage address;
    struct sockaddr_storage bound;
    int bound_bytes = sizeof bound;
    status st = resolve(host, port, &address, err);
    int code;

    if (st != ST_OK)
        return st;
    code = uv_tcp_init(&l->server->loop, &l->tcp);
    l->open = code == 0;
    l->tcp.data = l;
    if (code == 0)
        code = uv_tcp_bind(&l->tcp, (const struct sockaddr *)&address, 0);
    if (code == 0)
        code = uv_listen((uv_stream_t *)&l->tcp, SERVER_BACKLOG, on_connection);
    if (code == 0)
        code = uv_tcp_getsockname(&l->tcp, (struct sockaddr *)&bound, &bound_bytes);
    if (code != 0)
        return uv_err(err, code, "listen");
    l->port = ntohs(bound.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&bound)->sin6_port
                                                : ((struct sockaddr_in *)&bound)->sin_port);
    return ST_OK;
}

/* A port nobody chose may be somebody else's: the node is of use without it. */
static status listen_grpc(struct server *s, struct err *err)
{
    const struct api_options *o = &s->api->options;
    struct listener *l = &s->listeners[2];
    status st;

    l->grpc = true;
    st = bind_listener(l, o->host, o->grpc_port, err);
    if (st != ST_CONFLICT)
        return st == ST_OK
                   ? ST_OK
                   : err_wrap(err, st, "[server] host %s grpc_port %u", o->host, o->grpc_port);
    if (!o->grpc_optional)
        return err_wrap(
            err, st, "[server] host %s grpc_port %u (another port, or grpc_port = 0 for no gRPC)",
            o->host, o->grpc_port);
    log_warn("the default port of gRPC is taken: this node starts without gRPC",
             "host=%s port=%u remedy=%s", o->host, o->grpc_port,
             "set [server] grpc_port to another port or to 0");
    if (l->open)
        uv_close((uv_handle_t *)&l->tcp, NULL);
    l->open = false;
    return ST_OK;
}

static status start_listening(struct server *s, struct err *err)
{
    const struct api_options *o = &s->api->options;
    status st;

    for (size_t i = 0; i < SERVER_LISTENERS; i++)
        s->listeners[i].server = s;
    s->listeners[1].qdrant = true;
    st = bind_listener(&s->listeners[0], o->host, o->port, err);
    if (st != ST_OK)
        return err_wrap(err, st, "[server] host %s rest_port %u", o->host, o->port);
    if (o->qdrant_host != NULL && o->qdrant_host[0] != '\0')
        st = bind_listener(&s->listeners[1], o->qdrant_host, o->qdrant_port, err);
    if (st != ST_OK)
        return err_wrap(err, st, "[compat.qdrant] listen %s:%u", o->qdrant_host, o->qdrant_port);
    return o->grpc ? listen_grpc(s, err) : ST_OK;
}

/* The handles of a loop that never ran, or has ended, are closed by running it once more. */
static void close_loop(struct server *s)
{
    close_listeners(s);
    if (s->wake_open) {
        uv_close((uv_handle_t *)&s->wake, NULL);
        uv_close((uv_handle_t *)&s->tick, NULL);
    }
    (void)uv_run(&s->loop, UV_RUN_DEFAULT);
    (void)uv_loop_close(&s->loop);
}

static void set_bounds(struct server *s)
{
    const struct api_options *o = &s->api->options;

    s->body_bytes_max =
        o->body_bytes_max > o->qdrant_body_bytes_max ? o->body_bytes_max : o->qdrant_body_bytes_max;
    s->bodies_bytes_max = o->bodies_bytes_max != 0 ? o->bodies_bytes_max : 4 * s->body_bytes_max;
    buf_init(&s->h2_out, SIZE_MAX);
    s->idle_ms = o->idle_ms != 0 ? o->idle_ms : SERVER_IDLE_MS;
}

status server_open(struct api *api, struct server **out, struct err *err)
{
    struct server *s = mem_zero(sizeof *s);
    status st;
    int code;

    if (s == NULL)
        return err_set(err, ST_NOMEM, "out of memory for the REST server");
    s->api = api;
    set_bounds(s);
    code = uv_loop_init(&s->loop);
    if (code != 0) {
        mem_free(s);
        return uv_err(err, code, "start the event loop");
    }
    lock_init(&s->drain.lock, LOCK_RANK_API, "api drain");
    cond_init(&s->drain.changed);
    code = uv_async_init(&s->loop, &s->wake, on_wake);
    s->wake_open = code == 0;
    s->wake.data = s;
    s->tick.data = s;
    (void)uv_timer_init(&s->loop, &s->tick); /* makes nothing that could fail */
    st = code == 0 ? start_listening(s, err) : uv_err(err, code, "start the event loop");
    s->listening = st == ST_OK;
    if (st == ST_OK)
        st = thread_start(&s->thread, "api-loop-0", THREAD_NORMAL, run_loop, s, err);
    if (st != ST_OK) {
        close_loop(s);
        cond_fini(&s->drain.changed);
        lock_fini(&s->drain.lock);
        mem_free(s);
        return st;
    }
    *out = s;
    return ST_OK;
}

void server_drain(struct server *s, uint32_t drain_ms)
{
    struct clock *clock = clock_real();
    uint64_t until = clock_mono_ns(clock) + (uint64_t)drain_ms * 1000000u;

    (void)uv_async_send(&s->wake);
    lock_take(&s->drain.lock);
    while (!s->drain.quiet) {
        uint64_t now = clock_mono_ns(clock);

        if (now >= until)
            break;
        (void)cond_wait_ns(&s->drain.changed, &s->drain.lock, until - now);
    }
    lock_drop(&s->drain.lock);
}

void server_close(struct server *s)
{
    if (s == NULL)
        return;
    atomic_store(&s->closing, true);
    enter(s);
    wake_and_leave(s);
    thread_join(&s->thread);
    (void)uv_loop_close(&s->loop);
    buf_free(&s->h2_out);
    cond_fini(&s->drain.changed);
    lock_fini(&s->drain.lock);
    mem_free(s);
}
