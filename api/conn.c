/* conn.c - one connection: bytes in, one request at a time to the workers, answers out in order.
 *
 * While a request is under way the bytes behind it are kept (one read of them at most, then reading
 * stops), so pipelined requests are answered in order and a client cannot make us hold more. */
#include "api/qdrant_door.h"
#include "api/server_internal.h"

#include "base/hash.h"
#include "base/mem.h"

/* --- lifetime --- */

static void on_handle_closed(uv_handle_t *handle)
{
    struct conn *c = handle->data;
    struct server *s = c->server;

    if (--c->handles > 0)
        return;
    http1_fini(&c->http);
    buf_free(&c->pending);
    buf_free(&c->out);
    atomic_fetch_sub_explicit(&s->api->reply_bytes, c->out_charged, memory_order_relaxed);
    if (c->prev != NULL)
        c->prev->next = c->next;
    else
        s->conns = c->next;
    if (c->next != NULL)
        c->next->prev = c->prev;
    if (c->refusal)
        s->refusals--;
    else
        atomic_fetch_sub_explicit(&s->conn_count, 1, memory_order_relaxed);
    mem_free(c);
    server_check_quiet(s);
}

/* A request that is with a worker goes on without us; one that was still being read ends here. */
static void let_go(struct conn *c)
{
    struct request *req = c->req;

    c->req = NULL;
    if (req == NULL)
        return;
    if (c->state != CONN_BUSY && c->state != CONN_STREAMING) {
        if (req->download != NULL) { /* it ends between two pieces */
            req->http_status = HTTP_CLIENT_GONE;
            conn_account(c->server, req);
        }
        server_request_free(c->server, req);
        return;
    }
    req->conn = NULL;
    atomic_store_explicit(&req->gone, true, memory_order_relaxed);
    if (req->upload != NULL)
        upload_finish(req->upload, UPLOAD_CUT);
}

void conn_close(struct conn *c)
{
    if (c->state == CONN_CLOSING)
        return;
    let_go(c);
    c->state = CONN_CLOSING;
    uv_close((uv_handle_t *)&c->tcp, on_handle_closed);
    uv_close((uv_handle_t *)&c->timer, on_handle_closed);
}

void conn_drain(struct conn *c)
{
    if (c->state == CONN_IDLE || (c->state == CONN_LINGER && c->sends_on))
        conn_close(c);
    else if (c->state == CONN_STREAMING)
        conn_upload_end(c, UPLOAD_DRAINING);
}

/* --- timeouts --- */

/* A request in the place of the one under way, which goes on without a client; NULL when the
 * connection had to be closed. */
static struct request *stand_in(struct conn *c)
{
    struct request *late = conn_request_new(c);
    struct request *req = c->req;

    if (late == NULL) {
        conn_close(c);
        return NULL;
    }
    memcpy(late->id, req->id, sizeof late->id);
    late->method = req->method;
    late->match.route = req->match.route;
    late->qdrant = req->qdrant;
    late->start_ns = req->start_ns;
    req->told_late = true;
    let_go(c);
    c->req = late;
    c->state = CONN_READING;
    return late;
}

/* The work cannot be called back, but the client need not wait for it. */
void conn_answer_late(struct conn *c)
{
    const struct request *late = stand_in(c);

    if (late == NULL)
        return;
    conn_refuse(c,
                late->match.route != NULL && (late->match.route->kind == ROUTE_WRITE ||
                                              late->match.route->kind == ROUTE_UPLOAD)
                    ? PROBLEM_OUTCOME_UNKNOWN
                    : PROBLEM_DEADLINE,
                "the request was still under way after its deadline");
}

/* The time a client wants to wait for its write has passed: it is told so as soon as node has the
 * write, and then no longer waited for. Once node has answered it waits for that answer. */
static void look_at_wait(struct conn *c)
{
    enum { LOOK_AGAIN_MS = 50 };
    const struct request *req = c->req; /* freed by this thread alone */
    struct request *late;

    if (!request_is_under_way(c->req)) {
        conn_arm(c, LOOK_AGAIN_MS);
        return;
    }
    late = stand_in(c);
    if (late == NULL)
        return;
    qd_put_wait_timeout(&late->out, req);
    late->http_status = late->out.failed ? 503 : 200;
    late->content_type = "application/json";
    c->keep_alive = false;
    conn_answer(late);
}

static void on_timer(uv_timer_t *timer)
{
    struct conn *c = timer->data;

    switch (c->state) {
    case CONN_READING:
        conn_refuse(c, PROBLEM_SLOW_REQUEST,
                    "the request was not whole within the time a request has");
        break;
    case CONN_STREAMING:
        conn_upload_timer(c);
        break;
    case CONN_BUSY:
        if (c->req->upload != NULL)
            conn_upload_timer(c);
        else if (c->req->download != NULL && c->req->download->begun)
            conn_close(c); /* part of it was sent: there is no other way to say it */
        else if (c->waits_less && uv_now(&c->server->loop) < c->late_ms)
            look_at_wait(c);
        else
            conn_answer_late(c);
        break;
    case CONN_WRITING:
        if (c->req != NULL && !conn_download_stuck(c))
            conn_arm(c, c->server->api->options.timeout_ms);
        else
            conn_close(c);
        break;
    case CONN_IDLE:
    case CONN_LINGER:
        conn_close(c);
        break;
    case CONN_CLOSING:
        break;
    }
}

void conn_arm(struct conn *c, uint64_t timeout_ms)
{
    (void)uv_timer_start(&c->timer, on_timer, timeout_ms, 0);
}

/* --- reading: when and into what --- */

/* Room for `more` bytes of body, within the bound on all bodies. */
static bool body_grow(struct conn *c, size_t more)
{
    struct server *s = c->server;
    struct buf *b = &c->req->body;
    size_t capacity = b->capacity;

    if (!buf_reserve(b, more + JSON_PADDING_BYTES))
        return false;
    c->req->body_charged += b->capacity - capacity;
    s->body_bytes += b->capacity - capacity;
    return s->body_bytes <= s->bodies_bytes_max;
}

/* A body of known length is read straight into its buffer, which grows as the bytes arrive: what a
 * client only announces costs nothing. */
static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *out)
{
    struct conn *c = handle->data;
    uint64_t left = c->state == CONN_READING ? http1_length_left(&c->http) : 0;

    (void)suggested;
    if (left > 0 && c->req->http_status == 0) {
        struct buf *b = &c->req->body;
        uint64_t room = b->bytes > SERVER_READ_BYTES ? b->bytes : SERVER_READ_BYTES;

        if (room > left)
            room = left;
        if (body_grow(c, (size_t)room)) {
            *out = uv_buf_init((char *)b->data + b->bytes, (unsigned)room);
            return;
        }
        b->failed = false; /* the bytes come through the scratch buffer, and are refused there */
    }
    *out = uv_buf_init((char *)c->server->scratch, SERVER_READ_BYTES);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *into);

void conn_reading(struct conn *c, bool on)
{
    if (c->reading == on || c->eof || c->state == CONN_CLOSING)
        return;
    c->reading = on;
    if (on)
        (void)uv_read_start((uv_stream_t *)&c->tcp, on_alloc, on_read);
    else
        (void)uv_read_stop((uv_stream_t *)&c->tcp);
}

/* --- one request --- */

struct request *conn_request_new(struct conn *c)
{
    struct request *req = mem_zero(sizeof *req);

    if (req == NULL)
        return NULL;
    req->api = c->server->api;
    req->conn = c;
    buf_init(&req->body, c->server->body_bytes_max + JSON_PADDING_BYTES);
    req->qdrant = c->qdrant;
    buf_init(&req->out, REPLY_BYTES_MAX);
    arena_init(&req->arena, REQUEST_ARENA_BYTES_MAX);
    return req;
}

static uint64_t body_bytes_max(const struct request *req)
{
    const struct api_options *o = &req->api->options;

    return req->qdrant ? o->qdrant_body_bytes_max : o->body_bytes_max;
}

void conn_say_continue(struct conn *c, bool more_is_here)
{
    static char text[] = "HTTP/1.1 100 Continue\r\n\r\n";
    uv_buf_t part = uv_buf_init(text, sizeof text - 1);

    /* Should it not fit, the client sends its body a little later anyway (RFC 9110 10.1.1). */
    if (!more_is_here)
        (void)uv_try_write((uv_stream_t *)&c->tcp, &part, 1);
}

/* The head is whole. A problem found here is answered when the body has come, so that the
 * connection can be kept; false when the connection was answered for good. */
static bool begin(struct conn *c, bool more_is_here)
{
    const struct http1_head *head = &c->http.head;
    const struct http1_header *id = http1_header(head, "x-request-id");
    struct request *req = conn_request_new(c);
    bool body_comes = head->chunked || head->content_length > 0;

    if (req == NULL) {
        conn_close(c);
        return false;
    }
    if (c->state == CONN_IDLE)
        c->begun_ms = uv_now(&c->server->loop);
    c->state = CONN_READING;
    c->req = req;
    c->keep_alive = head->keep_alive;
    req->method = http_method_parse(head->method);
    req->version_1_0 = head->version_1_0;
    c->head_only = req->method == METHOD_HEAD;
    if (id == NULL || !request_clean_id(id->value, req->id))
        request_make_id(req->api, req->id);
    request_arrived(req, head);
    req->body.bytes_max = body_bytes_max(req) + JSON_PADDING_BYTES;
    req->head = http1_take_head(&c->http);
    if (req->match.route != NULL && req->match.route->kind == ROUTE_UPLOAD)
        return conn_upload_begin(c, more_is_here);
    if (head->content_length > body_bytes_max(req)) {
        conn_refuse(c, PROBLEM_BODY_TOO_LARGE, "Content-Length is over the limit of a body");
        return false;
    }
    if (!head->expect_continue || !body_comes)
        return true;
    if (req->http_status != 0) { /* the client waits for our word before it sends the body */
        c->keep_alive = false;
        conn_answer(req);
        return false;
    }
    conn_say_continue(c, more_is_here);
    return true;
}

static bool take_body(struct conn *c, struct slice piece)
{
    if (c->req->http_status != 0)
        return true; /* answered already: read and dropped */
    if (c->req->body.bytes + piece.bytes > body_bytes_max(c->req)) {
        conn_refuse(c, PROBLEM_BODY_TOO_LARGE, "the chunks are over the limit of a body");
        return false;
    }
    if (!body_grow(c, piece.bytes)) {
        conn_refuse(c, PROBLEM_BODIES_FULL,
                    "the bodies of all requests under way are over their bound");
        return false;
    }
    buf_put_slice(&c->req->body, piece);
    return true;
}

void conn_lend(struct conn *c, struct request *req)
{
    struct server *s = c->server;
    enum route_kind kind = req->match.route->kind;
    uint64_t retry_after_ns = 0;
    struct err err = {0};
    status st;

    c->state = CONN_BUSY;
    atomic_fetch_add(&s->under_way, 1);
    req->task.run = request_run;
    if (req->match.param_count > 0)
        req->task.fair_key = hash_bytes(req->match.params[0].data, req->match.params[0].bytes, 0);
    req->task.cost_ns = request_cost_ns(req);
    if (kind == ROUTE_LIVENESS) {
        req->match.route->run(req);
        return;
    }
    if (kind == ROUTE_PROBE) {
        exec_resubmit(s->api->options.exec, &req->task);
        return;
    }
    st = exec_submit(s->api->options.exec, &req->task, &retry_after_ns, &err);
    if (st == ST_OK)
        return;
    atomic_fetch_sub(&s->under_way, 1);
    metrics_refused(s->api->metrics);
    request_set_problem(req, problem_of_status(st), err.text);
    if (retry_after_ns > 0)
        req->retry_after_s = (uint32_t)((retry_after_ns + 999999999u) / 1000000000u);
    conn_answer(req);
}

/* The request is whole. */
static void dispatch(struct conn *c)
{
    struct server *s = c->server;
    const struct api_options *o = &s->api->options;
    struct request *req = c->req;
    uint64_t spent_ms = uv_now(&s->loop) - c->begun_ms;
    uint64_t left_ms = spent_ms < o->timeout_ms ? o->timeout_ms - spent_ms : 1;
    uint64_t wait_ms;

    http1_reset(&c->http);
    c->timed = false;
    left_ms = request_time_ms(req, left_ms);
    req->start_ns = clock_mono_ns(o->clock);
    req->deadline_ns = req->start_ns + left_ms * 1000000u;
    wait_ms = qd_wait_ms(req);
    c->late_ms = uv_now(&s->loop) + left_ms + SERVER_LATE_MS;
    c->waits_less = wait_ms > 0 && wait_ms < left_ms;
    conn_arm(c, c->waits_less ? wait_ms : left_ms + SERVER_LATE_MS);
    if (req->http_status == 0 && req->match.route->kind < ROUTE_PROBE &&
        atomic_load_explicit(&s->api->draining, memory_order_relaxed))
        request_set_problem(req, PROBLEM_DRAINING, "this node is shutting down");
    if (req->http_status != 0)
        conn_answer(req);
    else
        conn_lend(c, req);
}

/* What comes behind the head of an upload. */
static void stream(struct conn *c, enum http1_event event, struct slice piece)
{
    if (event == HTTP1_BODY) {
        conn_upload_piece(c, piece);
        return;
    }
    if (event == HTTP1_BAD) {
        c->req->upload->http_status = c->http.bad_status;
        c->req->upload->why = c->http.bad_reason;
    } else {
        http1_reset(&c->http);
    }
    conn_upload_end(c, event == HTTP1_BAD ? UPLOAD_BROKEN : UPLOAD_WHOLE);
}

/* Reads until a request is lent out, the bytes are used up or the connection is done for. */
static size_t feed(struct conn *c, const uint8_t *data, size_t bytes)
{
    size_t at = 0;

    while (c->state == CONN_IDLE || c->state == CONN_READING || c->state == CONN_STREAMING) {
        struct slice piece = {0};
        size_t used = 0;
        enum http1_event event = http1_next(&c->http, data + at, bytes - at, &used, &piece);

        at += used;
        if (event == HTTP1_MORE)
            break;
        if (event == HTTP1_HEAD)
            (void)begin(c, at < bytes);
        else if (c->state == CONN_STREAMING)
            stream(c, event, piece);
        else if (event == HTTP1_BODY)
            (void)take_body(c, piece);
        else if (event == HTTP1_END)
            dispatch(c);
        else
            conn_refuse(c, problem_of_http(c->http.bad_status), c->http.bad_reason);
    }
    return at;
}

/* After feeding: a request that has begun and is not whole has its time running. */
static void note_begun(struct conn *c)
{
    struct server *s = c->server;

    if (c->state == CONN_IDLE && !http1_idle(&c->http)) {
        c->state = CONN_READING;
        c->begun_ms = uv_now(&s->loop);
    }
    if (c->state == CONN_READING && !c->timed) {
        c->timed = true;
        conn_arm(c, s->api->options.timeout_ms);
    }
}

/* Bytes that waited behind the last request; then the socket again. */
void conn_resume(struct conn *c)
{
    if (c->pumping)
        return; /* feed() below us goes on by itself */
    c->pumping = true;
    while (c->pending_at < c->pending.bytes && c->state == CONN_IDLE)
        c->pending_at += feed(c, c->pending.data + c->pending_at, c->pending.bytes - c->pending_at);
    c->pumping = false;
    if (c->state == CONN_CLOSING || c->state == CONN_LINGER)
        return;
    note_begun(c);
    if (c->pending_at < c->pending.bytes)
        return;
    buf_free(&c->pending);
    c->pending_at = 0;
    if (c->state != CONN_STREAMING || !c->paused)
        conn_reading(c, true);
}

static void on_eof(struct conn *c)
{
    conn_reading(c, false);
    c->eof = true;
    if (c->state == CONN_STREAMING)
        conn_upload_end(c, UPLOAD_CUT);
    /* Who closed only their sending side still gets the answer to what they sent. */
    if (c->state != CONN_BUSY && c->state != CONN_WRITING)
        conn_close(c);
}

static void on_bytes(struct conn *c, const uint8_t *data, size_t bytes)
{
    size_t used;

    c->pumping = true;
    used = feed(c, data, bytes);
    c->pumping = false;
    if (c->state == CONN_CLOSING || c->state == CONN_LINGER)
        return;
    note_begun(c);
    if (used == bytes)
        return;
    /* A request is under way: the rest waits, and reading with it. */
    buf_put(&c->pending, data + used, bytes - used);
    if (c->pending.failed)
        conn_close(c);
    conn_reading(c, false);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *into)
{
    struct conn *c = stream->data;

    if (n == 0 || c->state == CONN_CLOSING)
        return;
    if (n == UV_EOF) {
        on_eof(c);
        return;
    }
    if (n < 0) {
        conn_close(c);
        return;
    }
    if (c->state == CONN_LINGER) {
        c->linger_bytes += (uint64_t)n;
        if (c->linger_bytes > SERVER_LINGER_BYTES_MAX && !c->sends_on)
            conn_close(c);
        return;
    }
    if (c->state == CONN_STREAMING)
        conn_upload_touch(c);
    if (into->base == (char *)c->server->scratch) {
        on_bytes(c, c->server->scratch, (size_t)n);
        return;
    }
    c->req->body.bytes += (size_t)n;
    http1_length_took(&c->http, (uint64_t)n);
    on_bytes(c, c->server->scratch, 0);
}
