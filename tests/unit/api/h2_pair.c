#include "tests/unit/api/h2_pair.h"

#include <stdlib.h>

/* --- the server's side --- */

static bool on_begin(void *arg, struct h2_stream *st)
{
    struct side *s = arg;

    (void)st;
    s->begun++;
    return true;
}

static void hear(struct side *s, struct slice what)
{
    size_t n = sizeof s->heard - s->heard_bytes;

    if (n > what.bytes)
        n = what.bytes;
    if (n > 0)
        memcpy(s->heard + s->heard_bytes, what.data, n);
    s->heard_bytes += n;
}

static void on_field(void *arg, struct h2_stream *st, struct slice name, struct slice value)
{
    (void)st;
    hear(arg, name);
    hear(arg, slice_text("="));
    hear(arg, value);
    hear(arg, slice_text(";"));
}

static void on_head(void *arg, struct h2_stream *st)
{
    struct side *s = arg;

    s->heads++;
    hear(s, slice_text(st->head_over ? "[over]" : "[head]"));
}

static void on_data(void *arg, struct h2_stream *st, struct slice piece)
{
    struct side *s = arg;

    s->data_bytes += piece.bytes;
    hear(s, piece);
    if (!s->holds)
        h2_took(st, piece.bytes);
}

static void on_end(void *arg, struct h2_stream *st)
{
    static const uint8_t lead[H2_LEAD_BYTES] = {0, 0, 0, 0, 6};
    struct h2_field fields[] = {{slice_text(":status"), slice_text("200")},
                                {slice_text("content-type"), slice_text("application/grpc")}};
    struct side *s = arg;
    struct buf body;

    s->ends++;
    hear(s, slice_text("[end]"));
    if (s->silent)
        return;
    buf_init(&body, 64);
    buf_put_text(&body, "answer");
    h2_head(st, fields, COUNT_OF(fields), false);
    (void)h2_body(st, lead, &body);
    if (!s->stays)
        h2_end(st);
}

static void on_drained(void *arg, struct h2_stream *st)
{
    struct h2_field fields[] = {{slice_text("grpc-status"), slice_text("0")}};

    (void)arg;
    if (st->ended)
        h2_trailers(st, fields, 1);
}

static void on_closed(void *arg, struct h2_stream *st)
{
    struct side *s = arg;

    (void)st;
    s->closes++;
}

static void on_pong(void *arg)
{
    struct side *s = arg;

    s->pongs++;
}

status side_open(struct side *s)
{
    struct h2_options o = {
        .owner = {on_begin, on_field, on_head, on_data, on_end, on_drained, on_closed, on_pong, s},
        .streams_max = STREAMS_MAX,
        .head_bytes_max = HEAD_MAX,
        .window_bytes = WINDOW,
        .conn_window_bytes = 4 * WINDOW,
    };

    return h2_open(&o, &s->h, NULL);
}

void side_start(struct side *s)
{
    *s = (struct side){0};
    assert_int_equal(side_open(s), ST_OK);
}

void side_end(struct side *s)
{
    h2_close(s->h);
    assert_int_equal(s->begun, s->closes);
}

/* --- the client's --- */

static int peer_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                       size_t name_bytes, const uint8_t *value, size_t value_bytes, uint8_t flags,
                       void *user)
{
    struct peer *p = user;

    (void)session;
    (void)flags;
    (void)frame;
    buf_put(&p->said, name, name_bytes);
    buf_put_text(&p->said, "=");
    buf_put(&p->said, value, value_bytes);
    buf_put_text(&p->said, ";");
    return 0;
}

static int peer_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *data,
                     size_t bytes, void *user)
{
    struct peer *p = user;

    (void)session;
    (void)flags;
    (void)id;
    buf_put(&p->said, data, bytes);
    return 0;
}

static int peer_frame(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    struct peer *p = user;

    (void)session;
    if (frame->hd.type == NGHTTP2_GOAWAY) {
        p->goaways++;
        p->goaway_code = frame->goaway.error_code;
        p->goaway_last = frame->goaway.last_stream_id;
    }
    return 0;
}

static int peer_close(nghttp2_session *session, int32_t id, uint32_t code, void *user)
{
    struct peer *p = user;

    (void)session;
    (void)id;
    p->closed++;
    if (code == NGHTTP2_REFUSED_STREAM)
        p->refused++;
    return 0;
}

static ssize_t peer_read(nghttp2_session *session, int32_t id, uint8_t *to, size_t room,
                         uint32_t *flags, nghttp2_data_source *source, void *user)
{
    struct peer *p = user;
    size_t n = p->body_bytes - p->body_at < room ? p->body_bytes - p->body_at : room;

    (void)session;
    (void)id;
    (void)source;
    memcpy(to, p->body + p->body_at, n);
    p->body_at += n;
    if (p->body_at == p->body_bytes)
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    return (ssize_t)n;
}

void peer_start(struct peer *p)
{
    nghttp2_session_callbacks *callbacks;

    *p = (struct peer){0};
    buf_init(&p->said, 1 << 20);
    assert_int_equal(nghttp2_session_callbacks_new(&callbacks), 0);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, peer_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, peer_data);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, peer_frame);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, peer_close);
    assert_int_equal(nghttp2_session_client_new(&p->session, callbacks, p), 0);
    nghttp2_session_callbacks_del(callbacks);
    assert_int_equal(nghttp2_submit_settings(p->session, 0, NULL, 0), 0);
}

void peer_end(struct peer *p)
{
    nghttp2_session_del(p->session);
    buf_free(&p->said);
}

int32_t peer_ask(struct peer *p, const char *body)
{
    nghttp2_nv head[] = {NV(":method", "POST"), NV(":scheme", "http"), NV(":path", "/a.B/C"),
                         NV(":authority", "x"), NV("te", "trailers")};
    nghttp2_data_provider data = {.read_callback = peer_read};
    int32_t id;

    p->body = (const uint8_t *)body;
    p->body_bytes = strlen(body);
    p->body_at = 0;
    id = nghttp2_submit_request(p->session, NULL, head, COUNT_OF(head), &data, NULL);
    assert_true(id > 0);
    return id;
}

/* What the client has to say, all of it. */
static void peer_take(struct peer *p, struct buf *out)
{
    for (;;) {
        const uint8_t *data;
        ssize_t n = nghttp2_session_mem_send(p->session, &data);

        assert_true(n >= 0);
        if (n == 0)
            return;
        buf_put(out, data, (size_t)n);
    }
}

bool side_feed(struct side *s, const struct buf *in, size_t piece)
{
    for (size_t at = 0; at < in->bytes; at += piece) {
        size_t n = in->bytes - at < piece ? in->bytes - at : piece;
        uint8_t *copy = malloc(n);
        bool fine;

        assert_non_null(copy);
        memcpy(copy, in->data + at, n);
        fine = h2_feed(s->h, copy, n, 1);
        free(copy);
        if (!fine)
            return false;
    }
    return true;
}

static size_t give(struct side *s, struct peer *p)
{
    size_t bytes;
    struct buf out;

    buf_init(&out, 1 << 24);
    assert_true(h2_take(s->h, &out, SIZE_MAX));
    if (out.bytes > 0)
        assert_int_equal(nghttp2_session_mem_recv(p->session, out.data, out.bytes), out.bytes);
    bytes = out.bytes;
    buf_free(&out);
    return bytes;
}

/* Both sides until neither has more to say. */
void pair_talk(struct side *s, struct peer *p, size_t piece)
{
    for (int round = 0; round < 100; round++) {
        struct buf in;
        size_t moved;

        buf_init(&in, 1 << 24);
        peer_take(p, &in);
        (void)side_feed(s, &in, piece);
        moved = in.bytes + give(s, p);
        buf_free(&in);
        if (moved == 0)
            return;
    }
    fail_msg("they talk for ever");
}
