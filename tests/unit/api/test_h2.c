/* HTTP/2 without a socket: a client of nghttp2 on the other side, or frames written by hand. */
#include "api/h2.h"

#include "tests/support/alloc_sweep.h"

#include <nghttp2/nghttp2.h>
#include <stdio.h>
#include <stdlib.h>

enum { STREAMS_MAX = 8, WINDOW = 1024 * 1024, HEAD_MAX = 1024, OUT_MAX = 64 * 1024 };

/* --- the server's side: answers each request with what it was sent --- */

struct side {
    struct h2 *h;
    char heard[4096];
    size_t heard_bytes;
    unsigned begun, heads, ends, closes, pongs;
    size_t data_bytes;
    bool holds;  /* gives no window back */
    bool silent; /* does not answer */
    bool stays;  /* answers and does not end */
};

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

static status side_open(struct side *s)
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

static void side_start(struct side *s)
{
    *s = (struct side){0};
    assert_int_equal(side_open(s), ST_OK);
}

static void side_end(struct side *s)
{
    h2_close(s->h);
    assert_int_equal(s->begun, s->closes);
}

/* --- the client's --- */

struct peer {
    nghttp2_session *session;
    struct buf said; /* what it heard, as text */
    const uint8_t *body;
    size_t body_bytes, body_at;
    unsigned closed, refused;
    uint32_t goaway_code;
    unsigned goaways;
    int32_t goaway_last;
};

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

static void peer_start(struct peer *p)
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

static void peer_end(struct peer *p)
{
    nghttp2_session_del(p->session);
    buf_free(&p->said);
}

#define NV(n, v)                                                                                   \
    {                                                                                              \
        (uint8_t *)(uintptr_t)(n), (uint8_t *)(uintptr_t)(v), strlen(n), strlen(v), 0              \
    }

static int32_t peer_ask(struct peer *p, const char *body)
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

static bool feed_in_pieces(struct side *s, const struct buf *in, size_t piece)
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
static void talk(struct side *s, struct peer *p, size_t piece)
{
    for (int round = 0; round < 100; round++) {
        struct buf in;
        size_t moved;

        buf_init(&in, 1 << 24);
        peer_take(p, &in);
        (void)feed_in_pieces(s, &in, piece);
        moved = in.bytes + give(s, p);
        buf_free(&in);
        if (moved == 0)
            return;
    }
    fail_msg("they talk for ever");
}

/* --- calls --- */

static const char heard_whole[] = ":method=POST;:scheme=http;:path=/a.B/C;:authority=x;te=trailers;"
                                  "[head]question[end]";
static const char said_whole[] =
    ":status=200;content-type=application/grpc;\0\0\0\0\6answergrpc-status=0;";

static void a_call_is_answered_however_its_bytes_are_cut(void **state)
{
    (void)state;
    for (size_t piece = 1; piece < 160; piece++) {
        struct side s;
        struct peer p;

        side_start(&s);
        peer_start(&p);
        (void)peer_ask(&p, "question");
        talk(&s, &p, piece);
        assert_int_equal(s.heard_bytes, sizeof heard_whole - 1);
        assert_memory_equal(s.heard, heard_whole, s.heard_bytes);
        assert_int_equal(p.said.bytes, sizeof said_whole - 1);
        assert_memory_equal(p.said.data, said_whole, p.said.bytes);
        assert_int_equal(p.closed, 1);
        assert_true(h2_settled(s.h));
        assert_false(h2_over(s.h));
        peer_end(&p);
        side_end(&s);
    }
}

static void a_thousand_calls_leave_nothing_behind(void **state)
{
    struct side s;
    struct peer p;

    (void)state;
    side_start(&s);
    peer_start(&p);
    for (int i = 0; i < 1000; i++) {
        (void)peer_ask(&p, "question");
        talk(&s, &p, 1000);
    }
    assert_int_equal(s.ends, 1000);
    assert_int_equal(s.closes, 1000);
    assert_int_equal(p.closed, 1000);
    assert_string_equal(h2_trouble(s.h), "");
    peer_end(&p);
    side_end(&s);
}

static void streams_over_the_limit_are_refused_until_one_ends(void **state)
{
    struct side s;
    struct peer p;

    (void)state;
    side_start(&s);
    s.silent = true;
    peer_start(&p);
    /* before the client knows the limit */
    for (int i = 0; i < STREAMS_MAX + 3; i++)
        (void)peer_ask(&p, "");
    talk(&s, &p, 1000);
    assert_int_equal(s.begun, STREAMS_MAX);
    assert_int_equal(p.refused, 3);
    peer_end(&p);
    side_end(&s);
}

static void a_window_opens_as_the_owner_takes(void **state)
{
    enum { LONG = 3 * 1024 * 1024 };
    char *text = malloc(LONG + 1);
    struct side s;
    struct peer p;

    (void)state;
    assert_non_null(text);
    memset(text, 'x', LONG);
    text[LONG] = '\0';
    side_start(&s);
    s.holds = true;
    peer_start(&p);
    talk(&s, &p, 1000); /* the settings: the window is ours to say */
    (void)peer_ask(&p, text);
    talk(&s, &p, OUT_MAX);
    assert_int_equal(s.data_bytes, WINDOW);
    assert_int_equal(s.ends, 0);
    peer_end(&p);
    side_end(&s);

    side_start(&s);
    peer_start(&p);
    (void)peer_ask(&p, text);
    talk(&s, &p, OUT_MAX);
    assert_int_equal(s.data_bytes, LONG);
    assert_int_equal(s.ends, 1);
    peer_end(&p);
    side_end(&s);
    free(text);
}

static void a_head_too_long_is_told(void **state)
{
    char value[HEAD_MAX] = "";
    nghttp2_nv head[] = {NV(":method", "POST"), NV(":scheme", "http"), NV(":path", "/a.B/C"),
                         NV(":authority", "x"), NV("x-long", value)};
    struct side s;
    struct peer p;

    (void)state;
    memset(value, 'v', sizeof value - 1);
    value[sizeof value - 1] = '\0';
    head[4].valuelen = sizeof value - 1;
    side_start(&s);
    peer_start(&p);
    assert_true(nghttp2_submit_request(p.session, NULL, head, COUNT_OF(head), NULL, NULL) > 0);
    talk(&s, &p, 1000);
    assert_non_null(memmem(s.heard, s.heard_bytes, "[over][end]", 11));
    assert_null(memmem(s.heard, s.heard_bytes, "x-long", 6));
    peer_end(&p);
    side_end(&s);
}

static void an_answer_before_the_end_stops_the_client(void **state)
{
    struct h2_field fields[] = {{slice_text(":status"), slice_text("200")},
                                {slice_text("grpc-status"), slice_text("8")}};
    struct side s;
    struct peer p;
    nghttp2_nv head[] = {NV(":method", "POST"), NV(":scheme", "http"), NV(":path", "/a.B/C"),
                         NV(":authority", "x")};

    (void)state;
    side_start(&s);
    s.silent = true;
    peer_start(&p);
    talk(&s, &p, 1000);
    /* a head alone: the body comes never */
    assert_int_equal(nghttp2_submit_headers(p.session, 0, -1, NULL, head, COUNT_OF(head), NULL), 1);
    talk(&s, &p, 1000);
    assert_int_equal(s.heads, 1);
    assert_int_equal(s.ends, 0);
    assert_non_null(h2_first(s.h));
    h2_head(h2_first(s.h), fields, COUNT_OF(fields), true);
    talk(&s, &p, 1000);
    assert_non_null(memmem(p.said.data, p.said.bytes, "grpc-status=8;", 14));
    assert_int_equal(p.closed, 1);
    assert_int_equal(s.closes, 1);
    peer_end(&p);
    side_end(&s);
}

static void two_goaways_and_the_last_stream_is_served(void **state)
{
    struct side s;
    struct peer p;

    (void)state;
    side_start(&s);
    s.stays = true;
    peer_start(&p);
    (void)peer_ask(&p, "q");
    talk(&s, &p, 1000);
    h2_notice(s.h);
    talk(&s, &p, 1000);
    assert_int_equal(p.goaways, 1);
    assert_int_equal(p.goaway_last, INT32_MAX);
    assert_int_equal(s.pongs, 1);
    assert_false(h2_over(s.h));
    h2_goaway(s.h, H2_NO_ERROR, NULL);
    talk(&s, &p, 1000);
    assert_int_equal(p.goaways, 2);
    assert_int_equal(p.goaway_last, 1);
    assert_int_equal(p.goaway_code, 0);
    assert_false(h2_over(s.h)); /* its stream is open */
    h2_end(h2_first(s.h));
    talk(&s, &p, 1000);
    assert_non_null(memmem(p.said.data, p.said.bytes, "grpc-status=0;", 14));
    assert_true(h2_over(s.h));
    peer_end(&p);
    side_end(&s);
}

/* --- hostile --- */

static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

static void put_frame(struct buf *b, uint8_t type, uint8_t flags, uint32_t id, struct slice payload)
{
    uint8_t hd[9] = {(uint8_t)(payload.bytes >> 16),
                     (uint8_t)(payload.bytes >> 8),
                     (uint8_t)payload.bytes,
                     type,
                     flags,
                     (uint8_t)(id >> 24),
                     (uint8_t)(id >> 16),
                     (uint8_t)(id >> 8),
                     (uint8_t)id};

    buf_put(b, hd, sizeof hd);
    buf_put_slice(b, payload);
}

/* :method POST, :scheme http, :path / from the static table, :authority x. */
static const char small_head[] = "\203\206\204\101\1x";

enum {
    DATA_FRAME = 0,
    HEADERS = 1,
    PRIORITY = 2,
    RST = 3,
    SETTINGS = 4,
    PING = 6,
    WINDOW_UPDATE = 8,
    CONTINUATION = 9,
    END_HEADERS = 4,
    END_STREAM = 1
};

static void put_hello(struct buf *b)
{
    buf_put_text(b, preface);
    put_frame(b, SETTINGS, 0, 0, slice_make("", 0));
}

/* Feeds the same frame until the connection is given up; tells how many it took. */
static unsigned flood(struct side *s, const struct buf *frame, unsigned max)
{
    struct buf hello, out;
    unsigned n = 0;

    buf_init(&hello, 1024);
    buf_init(&out, 1 << 24);
    put_hello(&hello);
    assert_true(h2_feed(s->h, hello.data, hello.bytes, 1));
    buf_free(&hello);
    while (n < max && h2_feed(s->h, frame->data, frame->bytes, 1)) {
        n++;
        if (n % 100 == 0) /* a client that reads what we say */
            assert_true(h2_take(s->h, &out, SIZE_MAX));
        buf_reset(&out);
    }
    buf_free(&out);
    return n;
}

/* The client hears GOAWAY with ENHANCE_YOUR_CALM and the session is over. */
static void check_calmed(struct side *s, const char *trouble)
{
    struct buf out;
    bool found = false;

    buf_init(&out, 1 << 24);
    (void)h2_take(s->h, &out, SIZE_MAX);
    for (size_t at = 0; at + 17 <= out.bytes && !found;) {
        size_t n = (size_t)out.data[at] << 16 | (size_t)out.data[at + 1] << 8 | out.data[at + 2];

        found = out.data[at + 3] == 7 && out.data[at + 16] == H2_ENHANCE_YOUR_CALM;
        at += 9 + n;
    }
    buf_free(&out);
    assert_true(found);
    assert_string_equal(h2_trouble(s->h), trouble);
    assert_true(h2_over(s->h));
    assert_false(h2_feed(s->h, (const uint8_t *)"x", 1, 1));
}

static void check_flood(uint8_t type, uint8_t flags, struct slice payload, unsigned enough,
                        const char *trouble)
{
    struct side s;
    struct buf frame;
    unsigned n;

    side_start(&s);
    buf_init(&frame, 1 << 16);
    put_frame(&frame, type, flags, 0, payload);
    n = flood(&s, &frame, enough + 100);
    if (n > enough)
        fail_msg("%u frames of type %u were taken", n, type);
    assert_true(n >= 250);
    check_calmed(&s, trouble);
    buf_free(&frame);
    side_end(&s);
}

static void floods_of_frames_that_carry_nothing_end_the_connection(void **state)
{
    static const char controls[] = "flood of control frames";

    (void)state;
    check_flood(PING, 0, slice_make("12345678", 8), H2_CONTROLS, controls);
    check_flood(PING, 1, slice_make("12345678", 8), H2_CONTROLS, controls);
    check_flood(SETTINGS, 0, slice_make("", 0), H2_CONTROLS, controls);
    check_flood(WINDOW_UPDATE, 0, slice_make("\0\0\0\1", 4), H2_CONTROLS, controls);
}

/* Pings of a client that never reads our answers to them. */
static void acks_nobody_reads_are_bounded(void **state)
{
    struct side s;
    struct buf b;

    (void)state;
    side_start(&s);
    buf_init(&b, 1 << 20);
    put_hello(&b);
    for (int i = 0; i < 1000; i++)
        put_frame(&b, PING, 0, 0, slice_make("12345678", 8));
    assert_false(h2_feed(s.h, b.data, b.bytes, 1));
    check_calmed(&s, "flood of frames that are to be answered");
    buf_free(&b);
    side_end(&s);
}

static void empty_data_and_priority_on_a_stream_are_floods_too(void **state)
{
    static const struct {
        uint8_t type;
        struct slice payload;
        const char *trouble;
    } floods[] = {
        {DATA_FRAME, {(const uint8_t *)"", 0}, "flood of empty DATA"},
        {PRIORITY, {(const uint8_t *)"\0\0\0\0\1", 5}, "flood of control frames"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(floods); i++) {
        struct side s;
        struct buf b, out;
        unsigned n = 0;

        side_start(&s);
        buf_init(&b, 4096);
        buf_init(&out, 1 << 20);
        put_hello(&b);
        put_frame(&b, HEADERS, END_HEADERS, 1, slice_text(small_head));
        assert_true(h2_feed(s.h, b.data, b.bytes, 1));
        buf_reset(&b);
        put_frame(&b, floods[i].type, 0, 1, floods[i].payload);
        while (n <= H2_CONTROLS && h2_feed(s.h, b.data, b.bytes, 1))
            n++;
        assert_true(n <= H2_CONTROLS);
        check_calmed(&s, floods[i].trouble);
        buf_free(&b);
        buf_free(&out);
        side_end(&s);
    }
}

static void a_rapid_reset_ends_the_connection(void **state)
{
    struct side s;
    struct buf b, out;
    uint32_t id = 1;

    (void)state;
    side_start(&s);
    s.silent = true;
    buf_init(&b, 4096);
    buf_init(&out, 1 << 24);
    put_hello(&b);
    assert_true(h2_feed(s.h, b.data, b.bytes, 1));
    for (; id < 4 * H2_RESETS; id += 2) {
        buf_reset(&b);
        put_frame(&b, HEADERS, END_HEADERS | END_STREAM, id, slice_text(small_head));
        put_frame(&b, RST, 0, id, slice_make("\0\0\0\10", 4));
        if (!h2_feed(s.h, b.data, b.bytes, 1))
            break;
        assert_true(h2_take(s.h, &out, SIZE_MAX));
        buf_reset(&out);
    }
    assert_int_equal(id / 2, H2_RESETS);
    check_calmed(&s, "flood of resets");
    buf_free(&b);
    buf_free(&out);
    side_end(&s);
}

/* The client has us reset its streams, by requests that are none. */
static void resets_we_are_made_to_send_count_too(void **state)
{
    struct side s;
    struct buf b, out;
    uint32_t id = 1;

    (void)state;
    side_start(&s);
    buf_init(&b, 4096);
    buf_init(&out, 1 << 24);
    put_hello(&b);
    assert_true(h2_feed(s.h, b.data, b.bytes, 1));
    for (; id < 4 * H2_RESETS; id += 2) {
        buf_reset(&b);
        /* a head without a path */
        put_frame(&b, HEADERS, END_HEADERS | END_STREAM, id, slice_make("\203\206", 2));
        if (!h2_feed(s.h, b.data, b.bytes, 1))
            break;
        if (!h2_take(s.h, &out, SIZE_MAX))
            break;
        buf_reset(&out);
    }
    assert_true(id / 2 <= H2_RESETS + 2);
    assert_string_equal(h2_trouble(s.h), "flood of requests that are none");
    assert_int_equal(s.ends, 0);
    buf_free(&b);
    buf_free(&out);
    side_end(&s);
}

/* What is regained with time is enough for a client that cancels now and then. */
static void a_reset_now_and_then_is_fine(void **state)
{
    struct side s;
    struct buf b, out;

    (void)state;
    side_start(&s);
    s.silent = true;
    buf_init(&b, 4096);
    buf_init(&out, 1 << 24);
    put_hello(&b);
    assert_true(h2_feed(s.h, b.data, b.bytes, 1));
    for (uint32_t i = 0; i < 5 * H2_RESETS; i++) {
        buf_reset(&b);
        put_frame(&b, HEADERS, END_HEADERS | END_STREAM, 2 * i + 1, slice_text(small_head));
        put_frame(&b, RST, 0, 2 * i + 1, slice_make("\0\0\0\10", 4));
        assert_true(h2_feed(s.h, b.data, b.bytes, 1 + i * 1000 / H2_RESETS_PER_S));
        assert_true(h2_take(s.h, &out, SIZE_MAX));
        buf_reset(&out);
    }
    assert_int_equal(s.heads, 5 * H2_RESETS);
    assert_false(h2_over(s.h));
    buf_free(&b);
    buf_free(&out);
    side_end(&s);
}

/* As many calls are answered as are given up. */
static void a_client_in_a_hurry_is_no_flood(void **state)
{
    struct side s;
    struct buf b, out;

    (void)state;
    side_start(&s);
    buf_init(&b, 4096);
    buf_init(&out, 1 << 24);
    put_hello(&b);
    assert_true(h2_feed(s.h, b.data, b.bytes, 1));
    for (uint32_t i = 0; i < 5 * H2_RESETS; i++) {
        buf_reset(&b);
        s.silent = i % 2 == 0;
        put_frame(&b, HEADERS, END_HEADERS | END_STREAM, 2 * i + 1, slice_text(small_head));
        if (s.silent)
            put_frame(&b, RST, 0, 2 * i + 1, slice_make("\0\0\0\10", 4));
        assert_true(h2_feed(s.h, b.data, b.bytes, 1));
        assert_true(h2_take(s.h, &out, SIZE_MAX));
        buf_reset(&out);
        /* the client's windows, which our answers use up */
        put_frame(&out, WINDOW_UPDATE, 0, 0, slice_make("\0\0\0\100", 4));
        assert_true(h2_feed(s.h, out.data, out.bytes, 1));
        buf_reset(&out);
    }
    assert_int_equal(s.closes, 5 * H2_RESETS);
    buf_free(&b);
    buf_free(&out);
    side_end(&s);
}

static void continuation_without_end_is_given_up(void **state)
{
    struct side s;
    struct buf b;
    unsigned n = 0;

    (void)state;
    side_start(&s);
    buf_init(&b, 4096);
    put_hello(&b);
    put_frame(&b, HEADERS, END_STREAM, 1, slice_text(small_head));
    assert_true(h2_feed(s.h, b.data, b.bytes, 1));
    buf_reset(&b);
    put_frame(&b, CONTINUATION, 0, 1, slice_make("\0\1a\1b", 5));
    while (n < H2_CONTROLS && h2_feed(s.h, b.data, b.bytes, 1))
        n++;
    assert_true(n < 100);
    assert_int_equal(s.heads, 0);
    buf_free(&b);
    side_end(&s);
}

/* nghttp2 counts the reads in which its CONTINUATION frames come, not the frames. */
static void a_head_in_two_frames_may_come_byte_by_byte(void **state)
{
    struct side s;
    struct buf b;

    (void)state;
    side_start(&s);
    buf_init(&b, 4096);
    put_hello(&b);
    put_frame(&b, HEADERS, END_STREAM, 1, slice_make(small_head, 3));
    for (int i = 0; i < 6; i++)
        put_frame(&b, CONTINUATION, 0, 1, slice_make("", 0));
    put_frame(&b, CONTINUATION, END_HEADERS, 1, slice_text(small_head + 3));
    assert_true(feed_in_pieces(&s, &b, 1));
    assert_int_equal(s.ends, 1);
    buf_free(&b);
    side_end(&s);
}

static void what_is_not_http2_is_known_by_its_first_bytes(void **state)
{
    static const char *const texts[] = {"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "PRI * HTTP/1.1\r\n",
                                        "\x16\x03\x01", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\r"};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        struct side s;

        side_start(&s);
        assert_false(h2_feed(s.h, (const uint8_t *)texts[i], strlen(texts[i]), 1));
        assert_true(h2_bad_preface(s.h));
        assert_true(h2_over(s.h));
        side_end(&s);
    }
}

/* --- memory --- */

static status one_call(void *arg)
{
    const struct buf *bytes = arg;
    struct side s = {0};
    struct buf out;
    status st = side_open(&s);

    if (st != ST_OK)
        return st;
    buf_init(&out, 1 << 20);
    (void)h2_feed(s.h, bytes->data, bytes->bytes, 1);
    if (!h2_take(s.h, &out, SIZE_MAX) || memmem(out.data, out.bytes, "answer", 6) == NULL)
        st = ST_NOMEM;
    buf_free(&out);
    side_end(&s);
    return st;
}

static void a_call_without_memory_fails_alone(void **state)
{
    struct buf bytes;

    (void)state;
    buf_init(&bytes, 4096);
    put_hello(&bytes);
    put_frame(&bytes, HEADERS, END_HEADERS, 1, slice_text(small_head));
    put_frame(&bytes, DATA_FRAME, END_STREAM, 1, slice_text("question"));
    assert_true(alloc_sweep(one_call, &bytes) > 10);
    buf_free(&bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_call_is_answered_however_its_bytes_are_cut),
        cmocka_unit_test(a_thousand_calls_leave_nothing_behind),
        cmocka_unit_test(streams_over_the_limit_are_refused_until_one_ends),
        cmocka_unit_test(a_window_opens_as_the_owner_takes),
        cmocka_unit_test(a_head_too_long_is_told),
        cmocka_unit_test(an_answer_before_the_end_stops_the_client),
        cmocka_unit_test(two_goaways_and_the_last_stream_is_served),
        cmocka_unit_test(floods_of_frames_that_carry_nothing_end_the_connection),
        cmocka_unit_test(acks_nobody_reads_are_bounded),
        cmocka_unit_test(empty_data_and_priority_on_a_stream_are_floods_too),
        cmocka_unit_test(a_rapid_reset_ends_the_connection),
        cmocka_unit_test(resets_we_are_made_to_send_count_too),
        cmocka_unit_test(a_reset_now_and_then_is_fine),
        cmocka_unit_test(a_client_in_a_hurry_is_no_flood),
        cmocka_unit_test(continuation_without_end_is_given_up),
        cmocka_unit_test(a_head_in_two_frames_may_come_byte_by_byte),
        cmocka_unit_test(what_is_not_http2_is_known_by_its_first_bytes),
        cmocka_unit_test(a_call_without_memory_fails_alone),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
