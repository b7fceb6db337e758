/* h2_send.c - answers on their way out of an HTTP/2 session. */
#include "api/h2_internal.h"

static void regain(struct h2_purse *p, uint32_t more)
{
    p->left = more >= p->full - p->left ? p->full : p->left + more;
}

int h2_on_sent(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    struct h2 *h = user;
    struct h2_stream *st;

    switch (frame->hd.type) {
    case NGHTTP2_HEADERS:
    case NGHTTP2_DATA:
        regain(&h->controls, H2_CONTROLS_PER_ANSWER);
        break;
    case NGHTTP2_RST_STREAM: /* a client that makes us reset streams costs us what resetting does */
        if (frame->rst_stream.error_code != NGHTTP2_NO_ERROR)
            h2_spend(h, &h->resets, "flood of requests that are none");
        return 0;
    default:
        return 0;
    }
    if ((frame->hd.flags & NGHTTP2_FLAG_END_STREAM) == 0)
        return 0;
    regain(&h->resets, 1); /* who is answered as often as it gives up is a client in a hurry */
    /* Answered before the client said all it has: it may stop. Not earlier, or the answer would be
     * dropped with the stream. */
    st = h2_stream_of(h, frame->hd.stream_id);
    if (st != NULL && !st->client_ended &&
        nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, st->id, NGHTTP2_NO_ERROR) != 0)
        h->dead = true;
    return 0;
}

static size_t copy_out(struct h2_stream *st, uint8_t *to, size_t room)
{
    size_t lead = st->lead_bytes - st->lead_at;
    size_t left = st->body.bytes - st->body_at;

    if (lead > room)
        lead = room;
    memcpy(to, st->lead + st->lead_at, lead);
    st->lead_at = (uint8_t)(st->lead_at + lead);
    if (left > room - lead)
        left = room - lead;
    if (left > 0)
        memcpy(to + lead, st->body.data + st->body_at, left);
    st->body_at += left;
    return lead + left;
}

static ssize_t read_body(nghttp2_session *session, int32_t id, uint8_t *to, size_t room,
                         uint32_t *flags, nghttp2_data_source *source, void *user)
{
    struct h2 *h = user;
    struct h2_stream *st = source->ptr;
    size_t bytes = copy_out(st, to, room);

    (void)session;
    (void)id;
    if (st->lead_at < st->lead_bytes || st->body_at < st->body.bytes)
        return (ssize_t)bytes;
    buf_free(&st->body);
    st->body_at = 0;
    if (st->ended)
        *flags |= NGHTTP2_DATA_FLAG_EOF | NGHTTP2_DATA_FLAG_NO_END_STREAM;
    h->owner.drained(h->owner.arg, st);
    return bytes > 0 || st->ended ? (ssize_t)bytes : NGHTTP2_ERR_DEFERRED;
}

static void failed(struct h2_stream *st, int code)
{
    if (code == 0)
        return;
    if (nghttp2_is_fatal(code))
        st->h2->dead = true;
    else
        h2_reset(st, H2_INTERNAL_ERROR);
}

enum { SEND_FIELDS_MAX = 12 };

static size_t fields_out(const struct h2_field *fields, size_t count,
                         nghttp2_nv out[SEND_FIELDS_MAX])
{
    if (count > SEND_FIELDS_MAX)
        count = SEND_FIELDS_MAX;
    for (size_t i = 0; i < count; i++)
        out[i] = (nghttp2_nv){.name = (uint8_t *)(uintptr_t)fields[i].name.data,
                              .namelen = fields[i].name.bytes,
                              .value = (uint8_t *)(uintptr_t)fields[i].value.data,
                              .valuelen = fields[i].value.bytes,
                              .flags = NGHTTP2_NV_FLAG_NONE};
    return count;
}

void h2_head(struct h2_stream *st, const struct h2_field *fields, size_t count, bool last)
{
    nghttp2_nv out[SEND_FIELDS_MAX];
    nghttp2_data_provider body = {.source.ptr = st, .read_callback = read_body};

    if (st->closed || st->answered)
        return;
    st->answered = true;
    count = fields_out(fields, count, out);
    failed(st, nghttp2_submit_response(st->h2->session, st->id, out, count, last ? NULL : &body));
}

static void go_on(struct h2_stream *st)
{
    int code = nghttp2_session_resume_data(st->h2->session, st->id);

    if (nghttp2_is_fatal(code)) /* any other: it was not waiting */
        st->h2->dead = true;
}

bool h2_body(struct h2_stream *st, const uint8_t lead[H2_LEAD_BYTES], struct buf *body)
{
    bool first = st->lead_at == st->lead_bytes && st->body.bytes == 0;

    if (st->closed || st->ended) {
        buf_free(body);
        return false;
    }
    if (first) {
        if (lead != NULL)
            memcpy(st->lead, lead, H2_LEAD_BYTES);
        st->lead_at = 0;
        st->lead_bytes = lead != NULL ? H2_LEAD_BYTES : 0;
        st->body = *body;
        st->body_at = 0;
    } else {
        st->body.bytes_max = SIZE_MAX;
        if (lead != NULL)
            buf_put(&st->body, lead, H2_LEAD_BYTES);
        buf_put_slice(&st->body, buf_slice(body));
        buf_free(body);
    }
    if (first)
        buf_init(body, 0);
    if (st->body.failed) {
        h2_reset(st, H2_INTERNAL_ERROR);
        return false;
    }
    go_on(st);
    return true;
}

void h2_end(struct h2_stream *st)
{
    if (st->closed || st->ended)
        return;
    st->ended = true;
    go_on(st);
}

void h2_trailers(struct h2_stream *st, const struct h2_field *fields, size_t count)
{
    nghttp2_nv out[SEND_FIELDS_MAX];

    if (st->closed)
        return;
    count = fields_out(fields, count, out);
    failed(st, nghttp2_submit_trailer(st->h2->session, st->id, out, count));
}

void h2_reset(struct h2_stream *st, enum h2_code code)
{
    if (nghttp2_submit_rst_stream(st->h2->session, NGHTTP2_FLAG_NONE, st->id, (uint32_t)code) != 0)
        st->h2->dead = true;
}

void h2_took(struct h2_stream *st, size_t bytes)
{
    if (bytes > 0 && !st->closed && !st->client_ended &&
        nghttp2_session_consume_stream(st->h2->session, st->id, bytes) != 0)
        st->h2->dead = true;
}

bool h2_take(struct h2 *h, struct buf *out, size_t bytes_max)
{
    while (!h->dead && out->bytes < bytes_max) {
        const uint8_t *data;
        ssize_t bytes = nghttp2_session_mem_send(h->session, &data);

        if (bytes == 0)
            break;
        if (bytes < 0)
            h->dead = true;
        else
            buf_put(out, data, (size_t)bytes);
    }
    return !h->dead && !out->failed;
}
