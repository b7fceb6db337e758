/* What a client of the gRPC door sends, behind a preface and SETTINGS that are fine or not: frames
 * in, streams and messages out. How the bytes are cut changes nothing: whole, byte by byte and cut
 * say the same and send the same. The first byte chooses the cuts and whether the preface is added.
 */
#include "api/grpc_frame.h"
#include "api/h2.h"
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>

enum {
    STREAMS_MAX = 8,
    HEAD_MAX = 2048,
    MESSAGE_MAX = 4096,
    WINDOW = 65535,
    ROOM = 1 << 22,
    SAID_MAX = 1 << 20, /* heads may be repeated by one byte each */
};

struct side {
    struct h2 *h;
    struct buf said;
    int open;
};

struct call {
    struct grpc_reader in;
    bool bad;
};

static void say(struct side *s, const char *what, const struct h2_stream *st, struct slice text)
{
    if (s->said.bytes > SAID_MAX)
        return;
    buf_printf(&s->said, "%s %d:", what, (int)st->id);
    buf_put_slice(&s->said, text);
    buf_put_text(&s->said, "\n");
}

static bool on_begin(void *arg, struct h2_stream *st)
{
    struct side *s = arg;
    struct call *c = calloc(1, sizeof *c);

    FUZZ_CHECK(c != NULL);
    FUZZ_CHECK(st->id > 0 && st->id % 2 == 1);
    grpc_reader_init(&c->in, MESSAGE_MAX);
    st->user = c;
    s->open++;
    FUZZ_CHECK(s->open <= STREAMS_MAX);
    return true;
}

static void on_field(void *arg, struct h2_stream *st, struct slice name, struct slice value)
{
    struct call *c = st->user;
    uint64_t ns;

    FUZZ_CHECK(!st->head_done && st->head_bytes <= HEAD_MAX && st->field_count <= H2_FIELDS_MAX);
    FUZZ_CHECK(name.bytes > 0 && c != NULL);
    (void)grpc_timeout_parse(value, &ns);
    (void)grpc_content_type(value);
    say(arg, "name", st, name);
    say(arg, "value", st, value);
}

static void on_head(void *arg, struct h2_stream *st)
{
    FUZZ_CHECK(st->head_done);
    say(arg, st->head_over ? "long head" : "head", st, slice_text(""));
}

static void on_data(void *arg, struct h2_stream *st, struct slice piece)
{
    struct call *c = st->user;
    size_t all = piece.bytes;

    FUZZ_CHECK(st->head_done && !st->client_ended);
    while (piece.bytes > 0 && !c->bad) {
        size_t used = 0;
        enum grpc_read got = grpc_read(&c->in, piece, &used);

        FUZZ_CHECK(used > 0 && used <= piece.bytes);
        FUZZ_CHECK(c->in.message.bytes <= MESSAGE_MAX);
        piece = slice_make(piece.data + used, piece.bytes - used);
        if (got == GRPC_READ_BAD) {
            FUZZ_CHECK(c->in.status != GRPC_OK && c->in.why[0] != '\0');
            fuzz_printable(c->in.why);
            say(arg, "bad", st, slice_text(c->in.why));
            c->bad = true;
        } else if (got == GRPC_READ_MESSAGE) {
            say(arg, "message", st, buf_slice(&c->in.message));
            grpc_reader_next(&c->in);
        }
    }
    h2_took(st, all);
}

static void on_end(void *arg, struct h2_stream *st)
{
    static const uint8_t lead[H2_LEAD_BYTES] = {0, 0, 0, 0, 2};
    struct h2_field fields[] = {{slice_text(":status"), slice_text("200")}};
    struct buf body;

    FUZZ_CHECK(st->client_ended && st->head_done);
    say(arg, "end", st, slice_text(""));
    buf_init(&body, 2);
    buf_put_text(&body, "ok");
    h2_head(st, fields, 1, st->head_over);
    if (!st->head_over) {
        (void)h2_body(st, lead, &body);
        h2_end(st);
    }
    buf_free(&body);
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
    struct call *c = st->user;

    say(s, "closed", st, slice_text(""));
    s->open--;
    grpc_reader_free(&c->in);
    free(c);
}

static void on_pong(void *arg)
{
    (void)arg;
}

/* Nothing is sent meanwhile: what has been sent when is not part of what is compared. */
static bool feed(struct side *s, struct slice bytes, size_t piece_max, uint32_t seed)
{
    for (size_t at = 0; at < bytes.bytes;) {
        size_t n;
        uint8_t *copy;
        bool fine;

        seed = seed * 1103515245u + 12345u;
        n = piece_max == 1 ? 1 : 1 + seed / 65536 % piece_max;
        if (piece_max >= bytes.bytes || n > bytes.bytes - at)
            n = piece_max >= bytes.bytes ? bytes.bytes : bytes.bytes - at;
        copy = fuzz_copy(bytes.data + at, n);
        fine = h2_feed(s->h, copy, n, 1);
        free(copy);
        if (!fine)
            return false;
        at += n;
    }
    return true;
}

/* What was heard; the answers are looked at for whole frames. */
static struct buf run(const uint8_t *data, size_t bytes, bool preface, size_t piece_max,
                      uint32_t seed)
{
    static const char hello[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0";
    struct side s = {0};
    struct h2_options o = {
        .owner = {on_begin, on_field, on_head, on_data, on_end, on_drained, on_closed, on_pong, &s},
        .streams_max = STREAMS_MAX,
        .head_bytes_max = HEAD_MAX,
        .window_bytes = WINDOW,
        .conn_window_bytes = WINDOW,
    };
    struct buf out;

    buf_init(&s.said, ROOM);
    buf_init(&out, ROOM);
    FUZZ_CHECK(h2_open(&o, &s.h, NULL) == ST_OK);
    if (!preface || feed(&s, slice_make(hello, sizeof hello - 1), SIZE_MAX, 1))
        if (!feed(&s, slice_make(data, bytes), piece_max, seed))
            fuzz_printable(h2_trouble(s.h));
    (void)h2_take(s.h, &out, SIZE_MAX);
    FUZZ_CHECK(!out.failed && !s.said.failed);
    for (size_t at = 0; at < out.bytes;) {
        size_t n = (size_t)out.data[at] << 16 | (size_t)out.data[at + 1] << 8 | out.data[at + 2];

        FUZZ_CHECK(n <= H2_FRAME_BYTES_MAX && at + 9 + n <= out.bytes);
        at += 9 + n;
    }
    h2_close(s.h);
    FUZZ_CHECK(s.open == 0);
    buf_free(&out);
    return s.said;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct buf whole, bytewise, cut;
    bool preface;

    if (bytes < 2)
        return 0;
    preface = data[0] < 224;
    whole = run(data + 1, bytes - 1, preface, SIZE_MAX, 1);
    bytewise = run(data + 1, bytes - 1, preface, 1, 1);
    cut = run(data + 1, bytes - 1, preface, 2 + data[0] % 64u, data[0] * 2654435761u + 1);
    FUZZ_CHECK(slice_equal(buf_slice(&whole), buf_slice(&bytewise)));
    FUZZ_CHECK(slice_equal(buf_slice(&whole), buf_slice(&cut)));
    buf_free(&whole);
    buf_free(&bytewise);
    buf_free(&cut);
    return 0;
}
