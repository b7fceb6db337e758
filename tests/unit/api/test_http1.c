/* The framing of HTTP/1.1: what is accepted, what is refused and why, and that the way the bytes
 * were cut changes nothing. */
#include "api/http1.h"

#include "base/mem.h"
#include "base/rand.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

enum { HEADER_MAX = 1024, BODY_MAX = 4096, LOG_BYTES = 1 << 20 };

/* What the reader said about a run of bytes, as one text. */
struct transcript {
    struct buf text;
    struct buf body;
};

static void note_head(struct transcript *t, const struct http1_head *head)
{
    buf_printf(&t->text, "[%.*s %.*s?%.*s %s%s%s%s", (int)head->method.bytes,
               (const char *)head->method.data, (int)head->path.bytes,
               (const char *)head->path.data, (int)head->query.bytes,
               head->query.bytes > 0 ? (const char *)head->query.data : "",
               head->version_1_0 ? "1.0" : "1.1", head->keep_alive ? " keep" : " close",
               head->expect_continue ? " expect" : "", head->chunked ? " chunked" : "");
    for (size_t i = 0; i < head->header_count; i++)
        buf_printf(&t->text, " %.*s=%.*s", (int)head->headers[i].name.bytes,
                   (const char *)head->headers[i].name.data, (int)head->headers[i].value.bytes,
                   (const char *)head->headers[i].value.data);
    buf_put_text(&t->text, "]");
}

/* False once the reader refused. */
static bool feed(struct http1 *h, struct transcript *t, const uint8_t *data, size_t bytes)
{
    for (;;) {
        struct slice piece = {0};
        size_t used = 0;
        /* An allocation of exactly these bytes: reading past them is found by the sanitizer. */
        uint8_t *copy = malloc(bytes == 0 ? 1 : bytes);
        enum http1_event event;

        if (bytes > 0)
            memcpy(copy, data, bytes);
        event = http1_next(h, copy, bytes, &used, &piece);
        assert_true(used <= bytes);
        if (event == HTTP1_BODY)
            buf_put_slice(&t->body, piece);
        if (event == HTTP1_HEAD)
            note_head(t, &h->head);
        free(copy);
        data += used;
        bytes -= used;
        if (event == HTTP1_END) {
            buf_printf(&t->text, "{%.*s}", (int)t->body.bytes,
                       t->body.bytes > 0 ? (const char *)t->body.data : "");
            buf_reset(&t->body);
            http1_reset(h);
        }
        if (event == HTTP1_BAD) {
            buf_printf(&t->text, "<%d %s>", h->bad_status, h->bad_reason);
            return false;
        }
        if (event == HTTP1_MORE) {
            assert_int_equal(bytes, 0);
            return true;
        }
    }
}

/* Reads text in pieces: cuts[] are offsets in rising order. The caller frees the answer. */
static char *read_cut(const char *text, size_t bytes, const size_t *cuts, size_t cut_count)
{
    struct transcript t;
    struct http1 h;
    size_t at = 0;
    bool going = true;

    buf_init(&t.text, LOG_BYTES);
    buf_init(&t.body, BODY_MAX);
    http1_init(&h, HEADER_MAX, BODY_MAX);
    for (size_t i = 0; i <= cut_count && going; i++) {
        size_t end = i < cut_count ? cuts[i] : bytes;

        going = feed(&h, &t, (const uint8_t *)text + at, end - at);
        at = end;
    }
    buf_put_u8(&t.text, 0);
    assert_false(t.text.failed || t.body.failed);
    http1_fini(&h);
    buf_free(&t.body);
    return (char *)t.text.data;
}

static char *read_bytewise(const char *text, size_t bytes)
{
    size_t *cuts = calloc(bytes + 1, sizeof *cuts);
    char *said;

    for (size_t i = 0; i < bytes; i++)
        cuts[i] = i;
    said = read_cut(text, bytes, cuts, bytes);
    free(cuts);
    return said;
}

static const struct {
    const char *text;
    const char *want;
} CASES[] = {
    {"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "[GET /? 1.1 keep Host=a]{}"},
    {"\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", "[GET /? 1.1 keep Host=a]{}"},
    {"GET /p/q?a=1&b HTTP/1.1\r\nhost:a:80\r\nConnection: x, Close\r\n\r\n",
     "[GET /p/q?a=1&b 1.1 close host=a:80 Connection=x, Close]{}"},
    {"GET http://h:1/p?q HTTP/1.1\r\nHost: \r\n\r\n", "[GET /p?q 1.1 keep Host=]{}"},
    {"GET http://h HTTP/1.1\r\nHost: h\r\n\r\n", "[GET /? 1.1 keep Host=h]{}"},
    {"OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n", "[OPTIONS *? 1.1 keep Host=h]{}"},
    {"GET / HTTP/1.0\r\n\r\n", "[GET /? 1.0 close]{}"},
    {"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n",
     "[GET /? 1.0 keep Connection=Keep-Alive]{}"},
    {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabcGET / HTTP/1.0\r\n\r\n",
     "[POST /? 1.1 keep Host=a Content-Length=3]{abc}[GET /? 1.0 close]{}"},
    {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\nGET / HTTP/1.0\r\n\r\n",
     "[POST /? 1.1 keep Host=a Content-Length=0]{}[GET /? 1.0 close]{}"},
    {"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-Continue\r\nContent-Length: 1\r\n\r\nx",
     "[POST /? 1.1 keep expect Host=a Expect=100-Continue Content-Length=1]{x}"},
    {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n"
     "3;x=\"y\"\r\nabc\r\n0A\r\n0123456789\r\n0\r\nX-T: 1\r\n\r\nGET / HTTP/1.0\r\n\r\n",
     "[POST /? 1.1 keep chunked Host=a Transfer-Encoding=Chunked]{abc0123456789}[GET /? 1.0 "
     "close]{}"},
    {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
     "[POST /? 1.1 keep chunked Host=a Transfer-Encoding=chunked]{}"},
    /* a request that is not whole yet */
    {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nab",
     "[POST /? 1.1 keep Host=a Content-Length=3]"},

    /* where two readers could disagree */
    {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: "
     "chunked\r\n\r\n0\r\n\r\n",
     "<400 Content-Length and Transfer-Encoding are both given>"},
    {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: "
     "3\r\n\r\n0\r\n\r\n",
     "<400 Content-Length and Transfer-Encoding are both given>"},
    {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
     "<400 Content-Length is given twice>"},
    {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3, 3\r\n\r\nabc",
     "<400 Content-Length is no number of 1 to 19 digits>"},
    {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +3\r\n\r\nabc",
     "<400 Content-Length is no number of 1 to 19 digits>"},
    {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
     "<400 Content-Length is no number of 1 to 19 digits>"},
    {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\n",
     "<400 Content-Length is no number of 1 to 19 digits>"},
    {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 18446744073709551617\r\n\r\n",
     "<400 Content-Length is no number of 1 to 19 digits>"},
    {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9999999999999999999\r\n\r\n",
     "<413 Content-Length is over the limit of a body>"},
    {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4097\r\n\r\n",
     "<413 Content-Length is over the limit of a body>"},
    {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
     "<400 a header name holds a byte that is no token>"},
    {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: "
     "chunked\r\n\r\n",
     "<400 Transfer-Encoding is given twice>"},
    {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
     "<400 Transfer-Encoding may only be chunked>"},
    {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n",
     "<400 Transfer-Encoding may only be chunked>"},
    {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\n\r\n",
     "<400 Transfer-Encoding may only be chunked>"},
    {"POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
     "<400 HTTP/1.0 has no Transfer-Encoding>"},
    {"GET / HTTP/1.1\nHost: a\n\n", "<400 a line of the head does not end with CR LF>"},
    {"GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n", "<400 a line of the head does not end with CR LF>"},
    {"GET / HTTP/1.1\r\nHost: a\r\n\n", "<400 a line of the head does not end with CR LF>"},
    {"GET / HTTP/1.1\r\nHost: a\rX: b\r\n\r\n", "<400 a header value holds a control character>"},
    {"GET / HTTP/1.1\r\nHost: a\r\nX: b\r\n c\r\n\r\n",
     "<400 a header is folded over two lines, which RFC 9112 forbids>"},
    {"GET / HTTP/1.1\r\n Host: a\r\n\r\n",
     "<400 a header is folded over two lines, which RFC 9112 forbids>"},
    {"GET / HTTP/1.1\r\nHost: a\r\nHo st: b\r\n\r\n",
     "<400 a header name holds a byte that is no token>"},
    {"GET / HTTP/1.1\r\nHost: a\r\nnocolon\r\n\r\n", "<400 a header line has no name and colon>"},
    {"GET / HTTP/1.1\r\nHost: a\r\n: v\r\n\r\n", "<400 a header line has no name and colon>"},
    {"GET / HTTP/1.1\r\nHost: a\r\nX: \x01\r\n\r\n",
     "<400 a header value holds a control character>"},
    {"GET / HTTP/1.1\r\n\r\n", "<400 the Host header is missing>"},
    {"GET / HTTP/1.1\r\nHost: a\r\nhOST: a\r\n\r\n", "<400 Host is given twice>"},
    {"GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", "<400 Host is no host name>"},
    {"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", "<400 Host is no host name>"},

    /* request lines */
    {"GET /\r\n\r\n", "<400 the request line is not `method target version`>"},
    {"GET\r\n\r\n", "<400 the request line is not `method target version`>"},
    {"GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
     "<400 the request target holds a byte that must be percent-encoded>"},
    {"GET / HTTP/1.1 \r\nHost: a\r\n\r\n", "<400 the request line does not end with an HTTP "
                                           "version>"},
    {"GET / http/1.1\r\nHost: a\r\n\r\n", "<400 the request line does not end with an HTTP "
                                          "version>"},
    {"GET / HTTP/1.x\r\nHost: a\r\n\r\n", "<400 the request line does not end with an HTTP "
                                          "version>"},
    {"PRI * HTTP/2.0\r\n\r\n", "<400 the HTTP version is not one this port speaks (1.1 and 1.0)>"},
    {"GET p HTTP/1.1\r\nHost: a\r\n\r\n",
     "<400 the request target must be a path that begins with />"},
    {"CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n",
     "<400 the request target must be a path that begins with />"},
    {"GET /\x7f HTTP/1.1\r\nHost: a\r\n\r\n",
     "<400 the request target holds a byte that must be percent-encoded>"},
    {"GET /\xc3\xa4 HTTP/1.1\r\nHost: a\r\n\r\n",
     "<400 the request target holds a byte that must be percent-encoded>"},
    {"GET /#x HTTP/1.1\r\nHost: a\r\n\r\n",
     "<400 the request target holds a byte that must be percent-encoded>"},
    {"G(T / HTTP/1.1\r\nHost: a\r\n\r\n", "<400 the method is no token>"},
    {"ABCDEFGHIJKLMNOPQ / HTTP/1.1\r\nHost: a\r\n\r\n",
     "<400 the method is longer than any this server knows>"},
    {"\x16\x03\x01\x02", "<400 this is not HTTP; the port speaks plain HTTP/1.1>"},
    {"\r\n\r\n\r\n\r\n\r\nGET / HTTP/1.0\r\n\r\n",
     "<400 blank lines where a request line belongs>"},
    {"GET / HTTP/1.1\r\nHost: a\r\nExpect: magic\r\n\r\n", "<417 Expect may only be 100-continue>"},
};

static const char CHUNKED[] = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
static const char CHUNKED_HEAD[] = "[POST /? 1.1 keep chunked Host=a Transfer-Encoding=chunked]";
static const struct {
    const char *body;
    const char *want;
} CHUNK_CASES[] = {
    {"\r\n", "<400 a chunk does not begin with its size in hex digits>"},
    {"x\r\n", "<400 a chunk does not begin with its size in hex digits>"},
    {" 3\r\nabc\r\n", "<400 a chunk does not begin with its size in hex digits>"},
    {"3 \r\nabc\r\n", "<400 a chunk does not begin with its size in hex digits>"},
    {"0x3\r\nabc\r\n", "<400 a chunk does not begin with its size in hex digits>"},
    {"-3\r\nabc\r\n", "<400 a chunk does not begin with its size in hex digits>"},
    {"3\nabc\r\n", "<400 a line of the chunked body does not end with CR LF>"},
    {"3;a\rb\r\nabc\r\n", "<400 a chunk extension holds a control character>"},
    {"3\r\nabcd\r\n", "<400 a chunk is longer than its size says>"},
    {"3\r\nabc\n", "<400 a line of the chunked body does not end with CR LF>"},
    {"fffffffffffffffff\r\n", "<400 a chunk size has more than 15 digits>"},
    {"fffffffffffffff\r\n", "<413 the chunks are over the limit of a body>"},
    {"1001\r\n", "<413 the chunks are over the limit of a body>"},
    {"1\r\na\r\n1000\r\n", "<413 the chunks are over the limit of a body>"},
    {"0\r\nContent-Length: 3\r\n\r\n", "<400 a trailer may not say how the request is framed>"},
    {"0\r\nbad\r\n\r\n", "<400 a header line has no name and colon>"},
    {"0\r\nX: 1\n\r\n", "<400 a line of the chunked body does not end with CR LF>"},
};

static void check_every_cut(const char *text, size_t bytes, const char *want)
{
    char *said = read_cut(text, bytes, NULL, 0);

    assert_string_equal(said, want);
    free(said);
    said = read_bytewise(text, bytes);
    assert_string_equal(said, want);
    free(said);
    for (size_t cut = 0; cut <= bytes; cut++) {
        said = read_cut(text, bytes, &cut, 1);
        assert_string_equal(said, want);
        free(said);
    }
}

static void cuts_change_nothing(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(CASES); i++)
        check_every_cut(CASES[i].text, strlen(CASES[i].text), CASES[i].want);
}

static void chunks_are_framed_strictly(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(CHUNK_CASES); i++) {
        char text[512];
        char want[512];

        (void)snprintf(text, sizeof text, "%s%s", CHUNKED, CHUNK_CASES[i].body);
        (void)snprintf(want, sizeof want, "%s%s", CHUNKED_HEAD, CHUNK_CASES[i].want);
        check_every_cut(text, strlen(text), want);
    }
}

/* A NUL ends no text here: it is a byte like others and refused in each part of the head. */
static void nul_bytes_are_refused(void **state)
{
    static const char good[] = "GET /p HTTP/1.1\r\nHost: a\r\nX-Y: z\r\n\r\n";

    (void)state;
    for (size_t at = 0; at < sizeof good - 1; at++) {
        char text[sizeof good];
        char *said;

        memcpy(text, good, sizeof good);
        text[at] = '\0';
        said = read_cut(text, sizeof good - 1, NULL, 0);
        assert_null(strstr(said, "{}"));
        free(said);
    }
}

static char *repeat(const char *head, const char *unit, size_t count, const char *tail)
{
    struct buf b;

    buf_init(&b, LOG_BYTES);
    buf_put_text(&b, head);
    for (size_t i = 0; i < count; i++)
        buf_put_text(&b, unit);
    buf_put_text(&b, tail);
    buf_put_u8(&b, 0);
    assert_false(b.failed);
    return (char *)b.data;
}

static void check_refused(char *text, const char *want_end)
{
    char *whole = read_cut(text, strlen(text), NULL, 0);
    char *bytewise = read_bytewise(text, strlen(text));

    assert_string_equal(whole, bytewise);
    assert_non_null(strstr(whole, want_end));
    free(whole);
    free(bytewise);
    free(text);
}

static void floods_meet_their_limits(void **state)
{
    (void)state;
    check_refused(repeat("GET /", "a", HEADER_MAX, ""), "<414 ");
    check_refused(repeat("GET /", "a", HEADER_MAX, " HTTP/1.1\r\nHost: a\r\n\r\n"), "<414 ");
    check_refused(repeat("GET / HTTP/1.1\r\nHost: a\r\nX: ", "a", HEADER_MAX, ""), "<431 ");
    check_refused(repeat("GET / HTTP/1.1\r\nHost: a\r\n", "X: y\r\n", HEADER_MAX, ""), "<431 ");
    check_refused(repeat("GET / HTTP/1.1\r\nHost: a\r\n", "X: y\r\n", HTTP1_HEADERS_MAX, "\r\n"),
                  "<431 there are more headers than the limit of 64>");
    check_refused(repeat(CHUNKED, "1;", 200, ""), "<400 a chunk line is longer than its limit>");
    check_refused(repeat(CHUNKED, "1;aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\nx\r\n", 100, ""),
                  "<400 the chunk lines are far longer than the body they carry>");
    check_refused(repeat(CHUNKED, "", 0, "0\r\nX: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"), "chunked");
    check_refused(repeat("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n",
                         "X: y\r\n", HEADER_MAX, "\r\n"),
                  "<431 the trailers are over the limit of a head>");
}

/* The smallest chunks there are still pass: five bytes of framing for one of body. */
static void small_chunks_pass(void **state)
{
    char *text = repeat(CHUNKED, "1\r\nx\r\n", BODY_MAX, "0\r\n\r\n");
    char *said = read_cut(text, strlen(text), NULL, 0);

    (void)state;
    assert_int_equal(strlen(said), sizeof CHUNKED_HEAD - 1 + BODY_MAX + 2);
    free(said);
    free(text);
}

/* Whatever comes in, the reader neither reads past its bytes nor depends on how they were cut. */
static void random_bytes_are_read_alike_however_cut(void **state)
{
    const char *env = getenv("TEST_SEED");
    uint64_t seed = env != NULL ? strtoull(env, NULL, 0) : 20261120;
    struct rand_seeded rand;

    (void)state;
    rand_seeded_init(&rand, seed);
    for (unsigned round = 0; round < 4000; round++) {
        const char *base = CASES[rand_below(&rand.source, COUNT_OF(CASES))].text;
        const char *more = CHUNK_CASES[rand_below(&rand.source, COUNT_OF(CHUNK_CASES))].body;
        static const char alphabet[] = "\r\n :;0aA\t/%,HTP1.\x01\xff";
        char text[1024];
        int n = snprintf(text, sizeof text, "%s%s%s", base, round % 2 ? CHUNKED : "",
                         round % 2 ? more : "");
        size_t bytes = (size_t)n;
        char *whole;
        char *bytewise;

        for (uint64_t flips = rand_below(&rand.source, 4); flips > 0; flips--)
            text[rand_below(&rand.source, bytes)] =
                alphabet[rand_below(&rand.source, sizeof alphabet - 1)];
        whole = read_cut(text, bytes, NULL, 0);
        bytewise = read_bytewise(text, bytes);
        if (strcmp(whole, bytewise) != 0)
            fail_msg("seed %llu round %u: %s and %s", (unsigned long long)seed, round, whole,
                     bytewise);
        free(whole);
        free(bytewise);
    }
}

static void a_failed_allocation_is_a_503(void **state)
{
    struct http1 h;
    struct slice piece;
    size_t used;
    static const char text[] = "GET / HTTP/1.0\r\n\r\n";

    (void)state;
    http1_init(&h, HEADER_MAX, BODY_MAX);
    mem_test_fail_after(0);
    assert_int_equal(http1_next(&h, (const uint8_t *)text, sizeof text - 1, &used, &piece),
                     HTTP1_BAD);
    mem_test_fail_after(-1);
    assert_int_equal(h.bad_status, 503);
    http1_fini(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cuts_change_nothing),
        cmocka_unit_test(chunks_are_framed_strictly),
        cmocka_unit_test(nul_bytes_are_refused),
        cmocka_unit_test(floods_meet_their_limits),
        cmocka_unit_test(small_chunks_pass),
        cmocka_unit_test(random_bytes_are_read_alike_however_cut),
        cmocka_unit_test(a_failed_allocation_is_a_503),
    };

    return cmocka_run_group_tests_name("http1", tests, NULL, NULL);
}
