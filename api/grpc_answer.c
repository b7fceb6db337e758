/* grpc_answer.c - the way back of a call: finish() on a worker, then head, message and trailers. */
#include "api/grpc_call.h"
#include "api/grpc_internal.h"
#include "api/qdrant_door.h"

#include "base/log.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

/* --- on any thread --- */

static void finish(struct request *req)
{
    log_context_set(req->id, NULL);
    req->grpc->method->finish(req);
    log_context_set(NULL, NULL);
    server_reply(req->api->server, req);
}

static task_state run_finish(struct task *task)
{
    finish((struct request *)task);
    return TASK_DONE;
}

/* Small answers of a worker are turned into a message where they are; nothing is on the commit
 * thread, and what is large takes its turn with all else. */
void grpc_given_back(struct request *req)
{
    enum { TURN_NS = 5000, TURN_BYTE_NS = 4, HERE_BYTES_MAX = 16 * 1024 };
    uint64_t key = req->task.fair_key;

    if (atomic_load_explicit(&req->gone, memory_order_relaxed)) {
        server_reply(req->api->server, req);
        return;
    }
    if (exec_worker_index() >= 0 && req->out.bytes <= HERE_BYTES_MAX) {
        finish(req);
        return;
    }
    req->task = (struct task){
        .run = run_finish,
        .fair_key = key,
        .cost_ns = TURN_NS + TURN_BYTE_NS * (uint64_t)req->out.bytes,
    };
    exec_resubmit(req->api->options.exec, &req->task);
}

/* --- meters --- */

static const char *route_of(const struct grpc_stream *g)
{
    return g->method != NULL ? g->method->path : g->own != NULL ? g->own->path : METRICS_NO_METHOD;
}

static void meter(struct server *s, const char *route, const char *id, enum grpc_status code,
                  uint64_t start_ns, size_t bytes_in, size_t bytes_out)
{
    struct api *api = s->api;
    uint64_t now = clock_mono_ns(api->options.clock);
    double seconds = start_ns == 0 ? 0.0 : (double)(now - start_ns) / 1e9;

    metrics_grpc(api->metrics, route, code, seconds);
    if (api->options.log_requests)
        log_info("request",
                 "request_id=%s method=%s route=%s status=%s ms=%.3f bytes_in=%zu bytes_out=%zu",
                 id, "GRPC", route, grpc_status_name(code), seconds * 1e3, bytes_in, bytes_out);
}

void grpc_account(struct grpc_stream *g, enum grpc_status code)
{
    if (g->accounted)
        return;
    g->accounted = true;
    meter(g->conn->server, route_of(g), g->id, code, g->start_ns, g->bytes_in, g->bytes_out);
}

/* --- what all answers have --- */

enum { PUSHBACK_BYTES = 16, ENCODED_BYTES = 3 * ERR_TEXT_BYTES };

struct fields {
    struct h2_field at[10];
    size_t count;
    char retry_s[PUSHBACK_BYTES], retry_ms[PUSHBACK_BYTES];
    char number[4];
    char text[ENCODED_BYTES];
};

static void put(struct fields *f, const char *name, const char *value)
{
    f->at[f->count++] = (struct h2_field){slice_text(name), slice_text(value)};
}

static void put_head(struct fields *f, const struct grpc_stream *g)
{
    put(f, ":status", "200");
    put(f, "content-type", "application/grpc");
    put(f, "x-request-id", g->id);
}

static void put_status(struct fields *f, const struct grpc_stream *g)
{
    (void)snprintf(f->number, sizeof f->number, "%u", (unsigned)g->status % 100u);
    put(f, "grpc-status", f->number);
    if (g->status == GRPC_OK)
        return;
    if (grpc_message_encode(g->text, f->text, sizeof f->text) > 0)
        put(f, "grpc-message", f->text);
    if (g->is_encoded)
        put(f, "grpc-accept-encoding", "identity");
    if (g->retry_after_s == 0)
        return;
    (void)snprintf(f->retry_s, sizeof f->retry_s, "%" PRIu32, g->retry_after_s);
    (void)snprintf(f->retry_ms, sizeof f->retry_ms, "%" PRIu64, (uint64_t)g->retry_after_s * 1000u);
    put(f, "retry-after", f->retry_s);
    put(f, "grpc-retry-pushback-ms", f->retry_ms);
}

/* All of it is handed over: who does not read it in time is left. */
static void answered(struct grpc_stream *g)
{
    g->state = GRPC_STREAM_ANSWERED;
    grpc_drop_message(g);
    g->due_ms = uv_now(&g->conn->server->loop) + g->conn->server->api->options.timeout_ms;
    h2_conn_want(g->conn, g->due_ms);
    h2_conn_touch(g->conn);
    grpc_account(g, g->status);
}

void grpc_drained(void *arg, struct h2_stream *h2)
{
    struct grpc_stream *g = h2->user;
    struct fields f = {.count = 0};

    (void)arg;
    grpc_uncharge(g);
    if (!h2->ended)
        return;
    put_status(&f, g);
    h2_trailers(h2, f.at, f.count);
}

void grpc_uncharge(struct grpc_stream *g)
{
    atomic_fetch_sub_explicit(&g->conn->server->api->reply_bytes, g->out_charged,
                              memory_order_relaxed);
    g->out_charged = 0;
}

/* --- without a message --- */

static void fail_now(struct grpc_stream *g)
{
    struct fields f = {.count = 0};

    if (g->h2->answered) {
        h2_end(g->h2);
    } else {
        put_head(&f, g);
        put_status(&f, g);
        h2_head(g->h2, f.at, f.count, true);
    }
    answered(g);
}

void grpc_fail(struct grpc_stream *g, enum grpc_status code, const char *format, ...)
{
    va_list args;

    if (g->state == GRPC_STREAM_ANSWERED)
        return;
    g->status = code;
    va_start(args, format);
    (void)vsnprintf(g->text, sizeof g->text, format, args);
    va_end(args);
    fail_now(g);
}

/* What is no gRPC at all is told so as HTTP has it; a client that is of gRPC reads the status. */
void grpc_fail_http(struct grpc_stream *g)
{
    struct fields f = {.count = 0};

    g->status = GRPC_UNKNOWN;
    (void)snprintf(g->text, sizeof g->text, "%s",
                   g->is_post ? "content-type has to be application/grpc or application/grpc+proto"
                              : "this port speaks gRPC: the method has to be POST");
    put(&f, ":status", g->is_post ? "415" : "405");
    put(&f, "content-type", "text/plain");
    put(&f, "x-request-id", g->id);
    if (!g->is_post)
        put(&f, "allow", "POST");
    put_status(&f, g);
    h2_head(g->h2, f.at, f.count, true);
    answered(g);
}

/* --- with one --- */

static void begin_answer(struct grpc_stream *g)
{
    struct fields f = {.count = 0};

    if (g->h2->answered)
        return;
    put_head(&f, g);
    h2_head(g->h2, f.at, f.count, false);
}

/* What waits for the client counts towards all answers, as theirs do; a few words are said however
 * many of others' answers wait, as those that ask for health must hear. */
static bool charge_said(struct grpc_stream *g, size_t bytes)
{
    struct api *api = g->conn->server->api;
    uint64_t all =
        atomic_fetch_add_explicit(&api->reply_bytes, bytes, memory_order_relaxed) + bytes;

    g->out_charged += bytes;
    if (g->out_charged <= GRPC_SAID_BYTES_MAX &&
        (g->out_charged <= GRPC_WORDS_BYTES || all <= api->options.replies_bytes_max))
        return true;
    metrics_refused(api->metrics);
    grpc_fail(g, GRPC_RESOURCE_EXHAUSTED, "what was answered is not read");
    return false;
}

/* All who watch are looked at in one go, however many they are. */
static void watch_again(struct grpc_stream *g)
{
    uint64_t now = uv_now(&g->conn->server->loop);

    g->due_ms = (now / GRPC_WATCH_MS + 1) * GRPC_WATCH_MS;
    h2_conn_want(g->conn, g->due_ms);
}

bool grpc_say(struct grpc_stream *g, struct slice message)
{
    uint8_t lead[H2_LEAD_BYTES];
    struct buf copy;

    if (!charge_said(g, message.bytes + sizeof lead))
        return false;
    buf_init(&copy, message.bytes);
    buf_put_slice(&copy, message);
    if (copy.failed) {
        buf_free(&copy);
        grpc_fail(g, GRPC_RESOURCE_EXHAUSTED, "out of memory for the answer");
        return false;
    }
    begin_answer(g);
    if (!g->own->streams) {
        g->state = GRPC_STREAM_WATCHING;
        watch_again(g);
    }
    grpc_prefix(lead, (uint32_t)message.bytes);
    g->bytes_out += message.bytes + sizeof lead;
    h2_conn_touch(g->conn);
    return h2_body(g->h2, lead, &copy);
}

void grpc_done(struct grpc_stream *g)
{
    g->status = GRPC_OK;
    begin_answer(g);
    h2_end(g->h2);
    answered(g);
}

/* The answer's memory counts from here until the client has read it, be it large or small: one
 * connection may have many. */
static bool charge_answer(struct grpc_stream *g, struct request *req)
{
    struct api *api = g->conn->server->api;
    uint64_t capacity = req->out.capacity;

    atomic_fetch_sub_explicit(&api->reply_bytes, req->out_charged, memory_order_relaxed);
    req->out_charged = 0;
    g->out_charged = capacity;
    if (atomic_fetch_add_explicit(&api->reply_bytes, capacity, memory_order_relaxed) + capacity <=
        api->options.replies_bytes_max)
        return true;
    grpc_uncharge(g);
    metrics_refused(api->metrics);
    g->retry_after_s = problem_row(PROBLEM_REPLIES_FULL)->retry_after_s;
    grpc_fail(g, GRPC_RESOURCE_EXHAUSTED,
              "the answers under way and not read yet are over their bound");
    return false;
}

static void send_message(struct grpc_stream *g, struct request *req)
{
    uint8_t lead[H2_LEAD_BYTES];

    if (req->out.failed) {
        grpc_fail(g, GRPC_RESOURCE_EXHAUSTED, "the answer is too large, or there is no memory");
        return;
    }
    if (!charge_answer(g, req))
        return;
    begin_answer(g);
    grpc_prefix(lead, (uint32_t)req->out.bytes);
    g->bytes_out = req->out.bytes + sizeof lead;
    (void)h2_body(g->h2, lead, &req->out);
    h2_end(g->h2);
    answered(g);
}

void grpc_answer(struct request *req)
{
    struct server *s = req->api->server;
    struct grpc_call *call = req->grpc;
    struct grpc_stream *g = call->stream;

    s->grpc_lent_bytes -= req->body_charged;
    if (g == NULL) { /* nobody waits */
        if (!req->told_late)
            meter(s, call->method->path, req->id, GRPC_CANCELLED, req->start_ns,
                  call->message.bytes, 0);
        server_request_free(s, req);
        return;
    }
    g->req = NULL;
    g->status = call->status;
    g->retry_after_s = req->retry_after_s;
    (void)snprintf(g->text, sizeof g->text, "%s", call->text);
    if (g->status == GRPC_OK)
        send_message(g, req);
    else
        fail_now(g);
    server_request_free(s, req);
}

/* --- time --- */

static void leave(struct grpc_stream *g)
{
    g->req->told_late = true;
    g->req->grpc->stream = NULL;
    atomic_store_explicit(&g->req->gone, true, memory_order_relaxed);
    g->req = NULL;
}

/* The time a client wants to wait for its write has passed: it is told so as soon as node has the
 * write, as look_at_wait() of conn.c does. False: it is waited for no more at all. */
static bool look_at_wait(struct grpc_stream *g)
{
    uint64_t now = uv_now(&g->conn->server->loop);
    bool known = request_is_under_way(g->req);
    uint64_t wait_ms = known ? qd_wait_ms(g->req) : 0;
    struct request late = {.api = g->req->api};

    if (now >= g->late_ms)
        return false;
    if (known && wait_ms > 0 && now >= g->lent_ms + wait_ms) {
        buf_init(&late.out, REPLY_BYTES_MAX);
        if (!grpc_call_wait_timeout(g->req, &late.out)) {
            buf_free(&late.out);
            return false;
        }
        leave(g);
        send_message(g, &late);
        buf_free(&late.out);
        return true;
    }
    g->due_ms = !known ? now + GRPC_LOOK_MS : wait_ms > 0 ? g->lent_ms + wait_ms : g->late_ms;
    if (g->due_ms > g->late_ms)
        g->due_ms = g->late_ms;
    h2_conn_want(g->conn, g->due_ms);
    return true;
}

/* The work cannot be called back, but the client need not wait for it. */
static void answer_late(struct grpc_stream *g)
{
    leave(g);
    grpc_fail(g, GRPC_DEADLINE_EXCEEDED, "the request was still under way after its deadline%s",
              g->method->kind == ROUTE_WRITE ? "; whether it was done is not known" : "");
}

void grpc_stream_due(struct grpc_stream *g)
{
    switch (g->state) {
    case GRPC_STREAM_HEAD:
    case GRPC_STREAM_BODY:
        grpc_fail(g, GRPC_DEADLINE_EXCEEDED,
                  "the request was not whole within the time a request has");
        break;
    case GRPC_STREAM_LENT:
        if (!look_at_wait(g))
            answer_late(g);
        break;
    case GRPC_STREAM_WATCHING:
        watch_again(g);
        grpc_watch_look(g);
        break;
    case GRPC_STREAM_ANSWERED:
        g->due_ms = UINT64_MAX;
        h2_reset(g->h2, H2_CANCEL);
        h2_conn_touch(g->conn);
        break;
    }
}

void grpc_stream_drain(struct grpc_stream *g)
{
    if (g->state == GRPC_STREAM_WATCHING)
        grpc_watch_look(g);
    if (g->state == GRPC_STREAM_WATCHING || (g->own != NULL && g->own->streams))
        grpc_fail(g, GRPC_UNAVAILABLE, "this node is shutting down");
}
