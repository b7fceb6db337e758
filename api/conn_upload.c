/* conn_upload.c - the loop's side of a body that goes to a worker while it comes.
 *
 * The request is lent out at its head. From then on the connection only hands pieces over, stops
 * reading while the buffer is full, and says how the body ended. A client has the time of a request
 * between two bytes, not for all of them; while the buffer is full that time is the worker's. */
#include "api/server_internal.h"

#include <inttypes.h>
#include <stdio.h>

/* Whether the route is one is only known when the head has been read; conn_upload_begin() and the
 * limits of other bodies look again. */
bool conn_upload_any_length(const struct http1_head *head)
{
    static const char *const ends[] = {"/import", "/snapshots/upload"};
    struct slice path = head->path;

    if (path.bytes > 0 && path.data[path.bytes - 1] == '/')
        path.bytes--;
    for (size_t i = 0; i < COUNT_OF(ends); i++) {
        size_t bytes = strlen(ends[i]);

        if (path.bytes >= bytes && memcmp(path.data + path.bytes - bytes, ends[i], bytes) == 0)
            return true;
    }
    return false;
}

static void list_put(struct server *s, struct upload *u)
{
    if (s->uploads == NULL)
        (void)uv_timer_start(&s->tick, server_on_tick, SERVER_TICK_MS, SERVER_TICK_MS);
    u->next = s->uploads;
    u->before = &s->uploads;
    if (u->next != NULL)
        u->next->before = &u->next;
    s->uploads = u;
}

void conn_upload_forget(struct server *s, struct upload *u)
{
    if (u->before == NULL)
        return;
    *u->before = u->next;
    if (u->next != NULL)
        u->next->before = u->before;
    u->before = NULL;
    if (s->uploads == NULL)
        (void)uv_timer_stop(&s->tick);
}

static bool turn_down(struct conn *c)
{
    c->sends_on = true;
    c->keep_alive = false;
    conn_answer(c->req);
    return false;
}

bool conn_upload_begin(struct conn *c, bool more_is_here)
{
    const struct http1_head *head = &c->http.head;
    const struct http1_header *type = http1_header(head, "content-type");
    const struct api_options *o = &c->server->api->options;
    struct request *req = c->req;

    if (req->http_status == 0 && atomic_load_explicit(&req->api->draining, memory_order_relaxed))
        request_set_problem(req, PROBLEM_DRAINING, "this node is shutting down");
    if (req->http_status != 0)
        return turn_down(c);
    req->upload = upload_create(req);
    if (req->upload == NULL) {
        request_set_problem(req, PROBLEM_NO_MEMORY, "out of memory for an upload");
        return turn_down(c);
    }
    if (type != NULL)
        req->upload->type = type->value;
    list_put(c->server, req->upload);
    req->start_ns = clock_mono_ns(o->clock);
    req->deadline_ns = req->start_ns + o->timeout_ms * UINT64_C(1000000);
    c->timed = false;
    c->paused = false;
    c->waits_less = false;
    if (head->expect_continue)
        conn_say_continue(c, more_is_here);
    conn_lend(c, req);
    if (c->state != CONN_BUSY)
        return false; /* the queue is full, and it was told so */
    c->state = CONN_STREAMING;
    conn_arm(c, o->timeout_ms);
    return true;
}

void conn_upload_piece(struct conn *c, struct slice piece)
{
    switch (upload_put(c->req->upload, piece)) {
    case UPLOAD_TAKEN:
        break;
    case UPLOAD_FULL:
        c->paused = true;
        conn_reading(c, false);
        conn_arm(c, c->server->api->options.timeout_ms + SERVER_LATE_MS);
        break;
    case UPLOAD_NO_MEMORY:
        c->req->upload->http_status = 503;
        c->req->upload->why = "out of memory for a piece of the body";
        conn_upload_end(c, UPLOAD_BROKEN);
        break;
    }
}

void conn_upload_end(struct conn *c, enum upload_end end)
{
    c->state = CONN_BUSY;
    c->paused = false;
    if (end != UPLOAD_WHOLE) { /* where the next request begins is not known */
        c->sends_on = true;
        c->keep_alive = false;
        conn_reading(c, false);
    }
    conn_arm(c, c->server->api->options.timeout_ms + SERVER_LATE_MS);
    upload_finish(c->req->upload, end);
}

void conn_upload_touch(struct conn *c)
{
    if (!c->paused)
        conn_arm(c, c->server->api->options.timeout_ms);
}

void conn_upload_timer(struct conn *c)
{
    struct upload *u = c->req->upload;
    uint32_t steps = atomic_load(&u->steps);

    if (c->state == CONN_STREAMING && !c->paused) {
        conn_upload_end(c, UPLOAD_STALLED);
        return;
    }
    if (steps == u->steps_seen) {
        c->sends_on = c->sends_on || c->state == CONN_STREAMING;
        conn_answer_late(c);
        return;
    }
    u->steps_seen = steps;
    conn_arm(c, c->server->api->options.timeout_ms + SERVER_LATE_MS);
}

/* There is room in the buffer again. */
static void go_on(struct conn *c)
{
    if (c == NULL || c->state != CONN_STREAMING || !c->paused)
        return;
    c->paused = false;
    conn_reading(c, true);
    conn_arm(c, c->server->api->options.timeout_ms);
}

void server_look_at_uploads(struct server *s)
{
    uint64_t now_ns = s->uploads == NULL ? 0 : clock_mono_ns(s->api->options.clock);

    for (struct upload *u = s->uploads; u != NULL; u = u->next) {
        uint64_t wake_at_ns = atomic_load(&u->wake_at_ns);

        if (atomic_exchange(&u->room, false))
            go_on(u->req->conn);
        if (wake_at_ns != 0 && now_ns >= wake_at_ns &&
            atomic_compare_exchange_strong(&u->wake_at_ns, &wake_at_ns, 0))
            upload_wake(u);
    }
}

void server_on_tick(uv_timer_t *tick)
{
    server_look_at_uploads(tick->data);
}
