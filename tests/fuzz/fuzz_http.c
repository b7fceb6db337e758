/* Requests of one connection, pipelined as they come: how the bytes are cut changes nothing. The
 * first byte and the length choose the cuts; whole, byte by byte and cut say the same. */
#include "api/http1.h"
#include "api/router.h"
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>

enum { HEADER_MAX = 2048, BODY_MAX = 4096, ROOM = 1 << 22, EVENTS_MAX = 1 << 16 };

struct said {
    struct buf text;
    struct buf body;
    size_t events;
};

static void note_head(struct said *s, const struct http1_head *head)
{
    FUZZ_CHECK(head->method.bytes > 0 && head->method.bytes <= HTTP1_METHOD_BYTES_MAX);
    FUZZ_CHECK(head->path.bytes > 0 && (head->path.data[0] == '/' || head->path.data[0] == '*'));
    FUZZ_CHECK(head->header_count <= HTTP1_HEADERS_MAX);
    FUZZ_CHECK(!(head->chunked && head->has_length));
    FUZZ_CHECK(!head->has_length || head->content_length <= BODY_MAX);
    buf_put_text(&s->text, "[");
    buf_put_slice(&s->text, head->method);
    buf_put_slice(&s->text, head->path);
    buf_put_slice(&s->text, head->query);
    buf_printf(&s->text, " %d%d%d%d%d", head->version_1_0, head->keep_alive, head->expect_continue,
               head->chunked, head->has_length);
    for (size_t i = 0; i < head->header_count; i++) {
        struct slice v = head->headers[i].value;

        FUZZ_CHECK(head->headers[i].name.bytes > 0);
        for (size_t b = 0; b < v.bytes; b++)
            FUZZ_CHECK(v.data[b] == '\t' || v.data[b] >= 0x20);
        buf_put_slice(&s->text, head->headers[i].name);
        buf_put_text(&s->text, "=");
        buf_put_slice(&s->text, v);
    }
    buf_put_text(&s->text, "]");
}

/* False once the reader refused. */
static bool feed(struct http1 *h, struct said *s, const uint8_t *data, size_t bytes)
{
    for (;;) {
        struct slice piece = {0};
        size_t used = 0;
        uint8_t *copy = fuzz_copy(data, bytes);
        enum http1_event event = http1_next(h, copy, bytes, &used, &piece);

        FUZZ_CHECK(used <= bytes && s->events++ < EVENTS_MAX);
        if (event == HTTP1_BODY)
            buf_put_slice(&s->body, piece);
        if (event == HTTP1_HEAD)
            note_head(s, &h->head);
        free(copy);
        data += used;
        bytes -= used;
        if (event == HTTP1_END) {
            FUZZ_CHECK(s->body.bytes <= BODY_MAX);
            buf_printf(&s->text, "{%zu:", s->body.bytes);
            buf_put_slice(&s->text, buf_slice(&s->body));
            buf_put_text(&s->text, "}");
            buf_reset(&s->body);
            http1_reset(h);
            FUZZ_CHECK(http1_idle(h));
        }
        if (event == HTTP1_BAD) {
            FUZZ_CHECK(h->bad_status >= 400 && h->bad_status < 600);
            FUZZ_CHECK(h->bad_reason != NULL && h->bad_reason[0] != '\0');
            fuzz_printable(h->bad_reason);
            buf_printf(&s->text, "<%d %s>", h->bad_status, h->bad_reason);
            return false;
        }
        if (event == HTTP1_MORE) {
            FUZZ_CHECK(bytes == 0);
            return true;
        }
    }
}

/* step(random) is the length of the next piece. */
static struct buf read_in_pieces(const uint8_t *data, size_t bytes, size_t piece_max, uint32_t seed)
{
    struct said s = {0};
    struct http1 h;
    bool going = true;

    buf_init(&s.text, ROOM);
    buf_init(&s.body, ROOM);
    http1_init(&h, HEADER_MAX, BODY_MAX);
    for (size_t at = 0; going && at < bytes;) {
        size_t n;

        seed = seed * 1103515245u + 12345u;
        n = seed == 0 || piece_max == 1 ? piece_max : 1 + seed / 65536 % piece_max;
        if (piece_max == bytes)
            n = bytes;
        if (n > bytes - at)
            n = bytes - at;
        going = feed(&h, &s, data + at, n);
        at += n;
    }
    /* what has come of a body that is not whole */
    buf_put_slice(&s.text, buf_slice(&s.body));
    FUZZ_CHECK(!s.text.failed && !s.body.failed);
    http1_fini(&h);
    buf_free(&s.body);
    return s.text;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct buf whole, bytewise, cut;

    if (bytes < 2)
        return 0;
    whole = read_in_pieces(data + 1, bytes - 1, bytes - 1, 1);
    bytewise = read_in_pieces(data + 1, bytes - 1, 1, 1);
    cut = read_in_pieces(data + 1, bytes - 1, 1 + data[0] % 64u, data[0] * 2654435761u + 1);
    FUZZ_CHECK(slice_equal(buf_slice(&whole), buf_slice(&bytewise)));
    FUZZ_CHECK(slice_equal(buf_slice(&whole), buf_slice(&cut)));
    buf_free(&whole);
    buf_free(&bytewise);
    buf_free(&cut);
    return 0;
}
