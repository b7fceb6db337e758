/* conn_download.c - the loop's side of an answer in pieces: each is one chunk, and the next is
 * asked for when the socket has taken it. */
#include "api/server_internal.h"

#include "base/log.h"

#include <linux/sockios.h>
#include <stdio.h>
#include <sys/ioctl.h>

static const char CHUNK_END[] = "\r\n";
static const char LAST_CHUNK_END[] = "\r\n0\r\n\r\n";

/* What the client has not taken yet: ours, and what waits in the kernel, which says that there is
 * room again only when a good part of it is gone. */
static size_t unsent_bytes(struct conn *c)
{
    size_t bytes = uv_stream_get_write_queue_size((const uv_stream_t *)&c->tcp);
    int kernel = 0;
    uv_os_fd_t fd;

    if (uv_fileno((const uv_handle_t *)&c->tcp, &fd) == 0 && ioctl(fd, SIOCOUTQ, &kernel) == 0)
        bytes += (size_t)kernel;
    return bytes;
}

void conn_download_piece(struct conn *c, struct request *req)
{
    struct download *d = req->download;
    bool first = !c->piece_sent;
    size_t head = 0;

    if (d->cut) {
        conn_account(c->server, req);
        c->req = NULL;
        server_request_free(c->server, req);
        conn_close(c);
        return;
    }
    if (first && (atomic_load_explicit(&req->api->draining, memory_order_relaxed) || c->eof))
        c->keep_alive = false;
    if (first)
        head = conn_print_head(c, req, "Transfer-Encoding: chunked");
    c->piece_sent = true;
    d->bytes += req->out.bytes;
    if (req->out.bytes > 0 && !c->head_only)
        head += (size_t)snprintf(c->out_head + head, sizeof c->out_head - head, "%zx\r\n",
                                 req->out.bytes);
    else if (!c->head_only)
        head += (size_t)snprintf(c->out_head + head, sizeof c->out_head - head, "0\r\n\r\n");
    c->out = req->out;
    c->out_charged = req->out_charged;
    c->out_tail = slice_text(d->last ? LAST_CHUNK_END : CHUNK_END);
    buf_init(&req->out, REPLY_BYTES_MAX);
    req->out_charged = 0;
    c->state = CONN_WRITING; /* the request is ours again: should the socket be gone, it ends */
    conn_write_out(c, head);
    if (c->state == CONN_WRITING && c->req == req)
        d->unsent = unsent_bytes(c);
}

void conn_download_sent(struct conn *c)
{
    struct server *s = c->server;
    const struct api_options *o = &s->api->options;
    struct request *req = c->req;

    if (req->download->last) {
        conn_account(s, req);
        c->req = NULL;
        c->piece_sent = false;
        server_request_free(s, req);
        conn_answered(c);
        return;
    }
    c->state = CONN_BUSY;
    req->deadline_ns = clock_mono_ns(o->clock) + o->timeout_ms * UINT64_C(1000000);
    conn_arm(c, o->timeout_ms + SERVER_LATE_MS);
    atomic_fetch_add(&s->under_way, 1);
    request_resubmit(req);
}

bool conn_download_stuck(struct conn *c)
{
    size_t unsent = unsent_bytes(c);
    bool stuck = unsent >= c->req->download->unsent;

    if (stuck)
        log_warn("the client of an export takes nothing", "request_id=%s unsent=%zu", c->req->id,
                 unsent);
    c->req->download->unsent = unsent;
    return stuck;
}
