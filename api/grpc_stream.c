/* grpc_stream.c - one call as it arrives: its head, its message, and the way to a worker.
 *
 * The message is kept in the request's `head`, where the REST door has the head its slices point
 * into; `body` is what the method makes of it. */
#include "api/grpc_internal.h"

#include "base/hash.h"
#include "base/mem.h"

#include <stdio.h>

/* --- bytes of messages, within the bound on all bodies --- */

static void charge(struct grpc_stream *g)
{
    struct server *s = g->conn->server;
    uint64_t now = g->in.message.capacity;

    if (now > g->charged) {
        s->body_bytes += now - g->charged;
        g->charged = now;
    }
}

static void hunger(struct grpc_stream *g, bool on)
{
    struct server *s = g->conn->server;

    if (g->hungry == on)
        return;
    g->hungry = on;
    if (on) {
        g->hungry_prev = NULL;
        g->hungry_next = s->hungry;
        if (s->hungry != NULL)
            s->hungry->hungry_prev = g;
        s->hungry = g;
        return;
    }
    if (g->hungry_prev != NULL)
        g->hungry_prev->hungry_next = g->hungry_next;
    else
        s->hungry = g->hungry_next;
    if (g->hungry_next != NULL)
        g->hungry_next->hungry_prev = g->hungry_prev;
}

/* Three quarters of the bound are taken, and some of it by workers: it is worth waiting. Without
 * the second, those who wait would wait for each other. */
static bool is_tight(const struct server *s)
{
    return s->body_bytes > s->bodies_bytes_max / 4 * 3 && s->grpc_lent_bytes > 0;
}

static void open_window(struct grpc_stream *g)
{
    hunger(g, false);
    h2_took(g->h2, g->withheld);
    g->withheld = 0;
    h2_conn_touch(g->conn);
}

void grpc_open_windows(struct server *s)
{
    while (s->hungry != NULL && !is_tight(s))
        open_window(s->hungry);
}

void grpc_drop_message(struct grpc_stream *g)
{
    g->conn->server->body_bytes -= g->charged;
    g->charged = 0;
    grpc_reader_free(&g->in);
    if (g->hungry)
        open_window(g);
}

/* --- the head --- */

static bool begin(void *arg, struct h2_stream *h2)
{
    struct h2_conn *c = arg;
    struct grpc_stream *g = mem_zero(sizeof *g);
    uint64_t now = uv_now(&c->server->loop);

    if (g == NULL)
        return false;
    g->conn = c;
    g->h2 = h2;
    h2->user = g;
    g->timeout_ns = UINT64_MAX;
    g->begun_ms = now;
    g->next = c->streams;
    if (g->next != NULL)
        g->next->prev = g;
    c->streams = g;
    c->stream_count++;
    c->greeted = true;
    g->due_ms = now + c->server->api->options.timeout_ms;
    h2_conn_want(c, g->due_ms);
    return true;
}

static void take_path(struct grpc_stream *g, struct slice path)
{
    static const struct grpc_own *const own[] = {&GRPC_HEALTH_CHECK, &GRPC_HEALTH_WATCH,
                                                 &GRPC_REFLECTION, &GRPC_REFLECTION_ALPHA};
    static const char qdrant[] = "/qdrant.";
    size_t bytes = path.bytes < sizeof g->path ? path.bytes : sizeof g->path - 1;

    memcpy(g->path, path.data, bytes);
    g->path[bytes] = '\0';
    g->is_qdrant = strncmp(g->path, qdrant, sizeof qdrant - 1) == 0;
    g->method = grpc_method_find(path);
    for (size_t i = 0; i < COUNT_OF(own); i++)
        if (slice_equal(path, slice_text(own[i]->path)))
            g->own = own[i];
}

static void field(void *arg, struct h2_stream *h2, struct slice name, struct slice value)
{
    struct grpc_stream *g = h2->user;

    (void)arg;
    if (slice_equal(name, slice_text(":path")))
        take_path(g, value);
    else if (slice_equal(name, slice_text(":method")))
        g->is_post = slice_equal(value, slice_text("POST"));
    else if (slice_equal(name, slice_text("content-type")))
        g->is_grpc = grpc_content_type(value);
    else if (slice_equal(name, slice_text("grpc-encoding")))
        g->is_encoded = !slice_equal(value, slice_text("identity"));
    else if (slice_equal(name, slice_text("grpc-timeout")))
        g->bad_timeout = !grpc_timeout_parse(value, &g->timeout_ns);
    else if (slice_equal(name, slice_text("x-request-id")))
        (void)request_clean_id(value, g->id);
}

static uint64_t body_bytes_max(const struct grpc_stream *g)
{
    const struct api_options *o = &g->conn->server->api->options;

    return g->is_qdrant ? o->qdrant_body_bytes_max : o->body_bytes_max;
}

/* What has to happen by the deadline of the client happens a little later here, so that who still
 * waits is told. */
static void set_due(struct grpc_stream *g)
{
    uint64_t own_ms = g->timeout_ns / 1000000u;
    uint64_t due;

    if (own_ms >= g->conn->server->api->options.timeout_ms)
        return;
    due = g->begun_ms + own_ms + 1;
    if (due < g->due_ms)
        g->due_ms = due;
    h2_conn_want(g->conn, g->due_ms);
}

static void head(void *arg, struct h2_stream *h2)
{
    struct grpc_stream *g = h2->user;
    struct server *s = g->conn->server;
    bool draining = atomic_load_explicit(&s->api->draining, memory_order_relaxed);

    (void)arg;
    g->state = GRPC_STREAM_BODY;
    g->start_ns = clock_mono_ns(s->api->options.clock);
    if (g->id[0] == '\0')
        request_make_id(s->api, g->id);
    grpc_reader_init(&g->in, body_bytes_max(g));
    set_due(g);
    if (h2->head_over)
        grpc_fail(g, GRPC_RESOURCE_EXHAUSTED, "the head is longer than %u bytes or %d fields",
                  s->api->options.header_bytes_max, H2_FIELDS_MAX);
    else if (!g->is_post || !g->is_grpc)
        grpc_fail_http(g);
    else if (g->bad_timeout)
        grpc_fail(g, GRPC_INVALID_ARGUMENT,
                  "grpc-timeout is 1 to 8 digits and one of H, M, S, m, u and n");
    else if (g->method == NULL && g->own == NULL)
        grpc_fail(g, GRPC_UNIMPLEMENTED, "there is no method %s", g->path);
    else if (g->is_encoded)
        grpc_fail(g, GRPC_UNIMPLEMENTED, "messages are taken uncompressed (identity)");
    else if (draining && g->own == NULL && g->method->kind < ROUTE_PROBE)
        grpc_fail(g, GRPC_UNAVAILABLE, "this node is shutting down; nothing was done");
}

/* --- the message --- */

static void too_much(struct grpc_stream *g)
{
    metrics_refused(g->conn->server->api->metrics);
    g->retry_after_s = problem_row(PROBLEM_BODIES_FULL)->retry_after_s;
    grpc_fail(g, GRPC_RESOURCE_EXHAUSTED,
              "the bodies of all requests under way are over their bound");
}

/* False when the stream was answered. */
static bool take_message(struct grpc_stream *g, struct slice piece)
{
    while (piece.bytes > 0 && g->state == GRPC_STREAM_BODY) {
        size_t used = 0;
        enum grpc_read got;

        if (g->whole) {
            grpc_fail(g, GRPC_UNIMPLEMENTED, "the method takes one message, a second one came");
            return false;
        }
        got = grpc_read(&g->in, piece, &used);
        charge(g);
        piece = slice_make(piece.data + used, piece.bytes - used);
        if (got == GRPC_READ_BAD) {
            grpc_fail(g, g->in.status, "%s", g->in.why);
            return false;
        }
        if (g->conn->server->body_bytes > g->conn->server->bodies_bytes_max) {
            too_much(g);
            return false;
        }
        if (got == GRPC_READ_MORE)
            continue;
        if (g->own == NULL || !g->own->streams) {
            g->whole = true;
            continue;
        }
        /* Each message has the time a request has. */
        g->due_ms = uv_now(&g->conn->server->loop) + g->conn->server->api->options.timeout_ms;
        g->own->message(g, buf_slice(&g->in.message));
        grpc_drop_message(g);
        grpc_reader_next(&g->in);
    }
    return g->state == GRPC_STREAM_BODY;
}

static void data(void *arg, struct h2_stream *h2, struct slice piece)
{
    struct grpc_stream *g = h2->user;

    (void)arg;
    g->bytes_in += piece.bytes;
    if (g->state != GRPC_STREAM_BODY || !take_message(g, piece)) {
        h2_took(h2, piece.bytes); /* answered already: what still comes is dropped */
        return;
    }
    g->withheld += piece.bytes;
    if (is_tight(g->conn->server))
        hunger(g, true);
    else
        open_window(g);
}

/* --- to a worker --- */

/* The first field of nearly all messages is the collection's name. What is guessed wrong costs
 * fairness alone. */
static uint64_t fair_key(struct slice message)
{
    struct rd r = rd_make(message);
    uint64_t tag = rd_varint(&r);
    uint64_t bytes = rd_varint(&r);

    if (r.bad || tag != (1 << 3 | 2) || bytes > rd_left(&r))
        return 0;
    return hash_bytes(r.at, (size_t)bytes, 0);
}

static struct request *request_new(struct grpc_stream *g)
{
    struct server *s = g->conn->server;
    struct request *req = mem_zero(sizeof *req);

    if (req == NULL)
        return NULL;
    req->api = s->api;
    buf_init(&req->body, s->body_bytes_max + JSON_PADDING_BYTES);
    buf_init(&req->out, REPLY_BYTES_MAX);
    arena_init(&req->arena, REQUEST_ARENA_BYTES_MAX);
    req->grpc = arena_zero(&req->arena, sizeof *req->grpc);
    if (req->grpc == NULL) {
        server_request_free(s, req);
        return NULL;
    }
    req->grpc->stream = g;
    req->grpc->method = g->method;
    req->grpc->message = buf_slice(&g->in.message);
    req->head = g->in.message;
    buf_init(&g->in.message, 0);
    req->body_charged = g->charged;
    g->charged = 0;
    req->method = METHOD_POST;
    req->qdrant = g->is_qdrant;
    memcpy(req->id, g->id, sizeof req->id);
    return req;
}

static void set_deadline(struct grpc_stream *g, struct request *req)
{
    struct server *s = g->conn->server;
    uint64_t spent_ms = uv_now(&s->loop) - g->begun_ms;
    uint64_t left_ms = s->api->options.timeout_ms;
    uint64_t left_ns;

    left_ms = spent_ms < left_ms ? left_ms - spent_ms : 1;
    left_ns = left_ms * 1000000u;
    if (g->timeout_ns < left_ns + spent_ms * 1000000u)
        left_ns = g->timeout_ns > spent_ms * 1000000u ? g->timeout_ns - spent_ms * 1000000u : 0;
    req->start_ns = clock_mono_ns(s->api->options.clock);
    req->deadline_ns = req->start_ns + left_ns;
    g->start_ns = req->start_ns;
    g->lent_ms = uv_now(&s->loop);
    g->late_ms = g->lent_ms + left_ns / 1000000u + SERVER_LATE_MS;
    g->due_ms = g->late_ms;
    /* What its client waits for at most is in the message, in whole seconds: look_at_wait(). */
    if (g->is_qdrant && g->method->kind == ROUTE_WRITE && g->late_ms > g->lent_ms + GRPC_WAIT_MS)
        g->due_ms = g->lent_ms + GRPC_WAIT_MS;
    h2_conn_want(g->conn, g->due_ms);
}

static void lend(struct grpc_stream *g, struct request *req)
{
    struct server *s = g->conn->server;
    uint64_t retry_after_ns = 0;
    struct err err = {0};
    status st;

    g->req = req;
    g->state = GRPC_STREAM_LENT;
    atomic_fetch_add(&s->under_way, 1);
    s->grpc_lent_bytes += req->body_charged;
    req->task.run = request_run;
    req->task.fair_key = fair_key(req->grpc->message);
    req->task.cost_ns = request_cost_ns(req);
    if (g->method->kind >= ROUTE_PROBE) {
        exec_resubmit(s->api->options.exec, &req->task);
        return;
    }
    st = exec_submit(s->api->options.exec, &req->task, &retry_after_ns, &err);
    if (st == ST_OK)
        return;
    atomic_fetch_sub(&s->under_way, 1);
    s->grpc_lent_bytes -= req->body_charged;
    metrics_refused(s->api->metrics);
    g->req = NULL;
    g->state = GRPC_STREAM_BODY;
    g->retry_after_s = retry_after_ns > 0 ? (uint32_t)((retry_after_ns + 999999999u) / 1000000000u)
                                          : problem_row(problem_of_status(st))->retry_after_s;
    grpc_fail(g, grpc_status_of_http(problem_row(problem_of_status(st))->http_status), "%s",
              err.text);
    server_request_free(s, req);
}

static void end(void *arg, struct h2_stream *h2)
{
    struct grpc_stream *g = h2->user;
    struct request *req;

    (void)arg;
    if (g->state != GRPC_STREAM_BODY)
        return;
    if (g->hungry)
        open_window(g);
    if (!g->whole && !grpc_reader_idle(&g->in)) {
        grpc_fail(g, GRPC_INTERNAL, "the message was cut short");
        return;
    }
    if (g->own != NULL && g->own->streams) {
        grpc_done(g);
        return;
    }
    if (!g->whole) {
        grpc_fail(g, GRPC_UNIMPLEMENTED, "the method takes one message, none came");
        return;
    }
    if (g->own != NULL) {
        g->own->message(g, buf_slice(&g->in.message));
        grpc_drop_message(g);
        return;
    }
    req = request_new(g);
    if (req == NULL) {
        grpc_fail(g, GRPC_RESOURCE_EXHAUSTED, "out of memory for the request");
        return;
    }
    set_deadline(g, req);
    lend(g, req);
}

/* --- the end --- */

static void closed(void *arg, struct h2_stream *h2)
{
    struct h2_conn *c = arg;
    struct grpc_stream *g = h2->user;

    if (g->req != NULL) {
        g->req->grpc->stream = NULL;
        atomic_store_explicit(&g->req->gone, true, memory_order_relaxed);
    }
    hunger(g, false);
    grpc_drop_message(g);
    grpc_uncharge(g);
    if (h2->answered)
        grpc_account(g, GRPC_CANCELLED);
    if (g->prev != NULL)
        g->prev->next = g->next;
    else
        c->streams = g->next;
    if (g->next != NULL)
        g->next->prev = g->prev;
    if (--c->stream_count == 0) {
        c->idle_ms = uv_now(&c->server->loop);
        h2_conn_want(c, c->idle_ms + c->server->idle_ms);
    }
    mem_free(g);
}

struct h2_owner grpc_owner(struct h2_conn *c)
{
    return (struct h2_owner){
        .begin = begin,
        .field = field,
        .head = head,
        .data = data,
        .end = end,
        .drained = grpc_drained,
        .closed = closed,
        .pong = h2_conn_pong,
        .arg = c,
    };
}
