/* More answers no store should give: framing that contradicts itself, floods, pages of portals, and
 * a second answer hidden behind the first. Each comes to what is written beside it, and the next
 * request over the same store is answered by its own answer. */
#include "tests/unit/objstore/s3_try.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define CHUNKED HTTP_OK "Transfer-Encoding: chunked\r\n\r\n"
#define FIVE    "\r\n\r\n01234"

static const struct lie {
    const char *answer;
    enum objstore_op op;
    enum objstore_class want;
    bool maybe;
} LIES[] = {
    /* chunks */
    {CHUNKED "5;name=value\r\n01234\r\n0\r\n\r\n", OBJSTORE_GET, OBJSTORE_OK, false},
    {CHUNKED "00000005\r\n01234\r\n0\r\n\r\n", OBJSTORE_GET, OBJSTORE_OK, false},
    {CHUNKED "2\r\n01\r\n3\r\n234\r\n0\r\n\r\n", OBJSTORE_GET, OBJSTORE_OK, false},
    {CHUNKED "FFFFFFFFFFFFFFFFF\r\n01234\r\n", OBJSTORE_GET, OBJSTORE_TRANSIENT, false},
    {CHUNKED "-5\r\n01234\r\n0\r\n\r\n", OBJSTORE_GET, OBJSTORE_TRANSIENT, false},
    {CHUNKED "5\r\n01234X0\r\n\r\n", OBJSTORE_GET, OBJSTORE_TRANSIENT, false},
    {CHUNKED "5\r\n0123", OBJSTORE_GET, OBJSTORE_TRANSIENT, false},
    {CHUNKED "\r\n\r\n", OBJSTORE_GET, OBJSTORE_TRANSIENT, false},
    {CHUNKED "5\r\n01234\r\n0\r\nETag: \"other\"\r\nContent-Length: 9\r\n\r\n", OBJSTORE_GET,
     OBJSTORE_OK, false}, /* trailers are nobody's headers */
    {HTTP_OK "Transfer-Encoding: gzip\r\nContent-Length: 5" FIVE, OBJSTORE_GET, OBJSTORE_TRANSIENT,
     false},
    /* two lengths */
    {HTTP_OK "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n01234\r\n0\r\n\r\n",
     OBJSTORE_GET, OBJSTORE_OK, false},
    {HTTP_OK "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n01234\r\n0\r\n\r\n",
     OBJSTORE_GET, OBJSTORE_INTEGRITY, false}, /* more than was said */
    {HTTP_OK "Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n01234\r\n0\r\n\r\n",
     OBJSTORE_GET, OBJSTORE_TRANSIENT, false},
    {HTTP_OK "Content-Length: 5\r\nContent-Length: 5" FIVE, OBJSTORE_GET, OBJSTORE_OK, false},
    {HTTP_OK "Content-Length: 6\r\nContent-Length: 5" FIVE, OBJSTORE_GET, OBJSTORE_OK, false},
    {HTTP_OK "Content-Length: 5\r\nContent-Length: 6" FIVE, OBJSTORE_GET, OBJSTORE_TRANSIENT,
     false},
    /* lengths that are none */
    {HTTP_OK "Content-Length: 5, 5" FIVE, OBJSTORE_GET, OBJSTORE_TRANSIENT, false},
    {HTTP_OK "Content-Length: +5" FIVE, OBJSTORE_GET, OBJSTORE_TRANSIENT, false},
    {HTTP_OK "Content-Length: 0x5" FIVE, OBJSTORE_GET, OBJSTORE_TRANSIENT, false},
    {HTTP_OK "Content-Length: -5" FIVE, OBJSTORE_GET, OBJSTORE_TRANSIENT, false},
    {HTTP_OK "Content-Length: 99999999999999999999" FIVE, OBJSTORE_GET, OBJSTORE_TRANSIENT, false},
    /* other HTTPs */
    {"HTTP/1.0 200 OK\r\nETag: \"e\"\r\nContent-Length: 5" FIVE, OBJSTORE_GET, OBJSTORE_OK, false},
    {"HTTP/1.0 200 OK\r\nETag: \"e\"" FIVE, OBJSTORE_GET, OBJSTORE_TRANSIENT, false},
    {"01234 this is HTTP/0.9", OBJSTORE_GET, OBJSTORE_TRANSIENT, false},
    {"HTTP/3.14 200 OK\r\nContent-Length: 0\r\n\r\n", OBJSTORE_PUT, OBJSTORE_TRANSIENT, true},
    {"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\n", OBJSTORE_PUT, OBJSTORE_TRANSIENT,
     true},
    {"HTTP/1.1 103 Early Hints\r\nETag: \"x\"\r\n\r\n" HTTP_OK "Content-Length: 5" FIVE,
     OBJSTORE_GET, OBJSTORE_OK, false},
    {"HTTP/1.1 999 Odd\r\nContent-Length: 0\r\n\r\n", OBJSTORE_PUT, OBJSTORE_TRANSIENT, true},
    /* encodings, pages and successes that are none */
    {HTTP_OK "Content-Encoding: gzip\r\nContent-Length: 5" FIVE, OBJSTORE_GET, OBJSTORE_PERMANENT,
     false},
    {HTTP_OK "Content-Encoding: identity\r\nContent-Length: 5" FIVE, OBJSTORE_GET, OBJSTORE_OK,
     false},
    {HTTP_OK "Content-Type: text/html; charset=utf-8\r\nContent-Length: 5" FIVE, OBJSTORE_GET,
     OBJSTORE_PERMANENT, false},
    {HTTP_OK "Content-Type: text/html\r\nContent-Length: 0\r\n\r\n", OBJSTORE_PUT,
     OBJSTORE_PERMANENT, true},
    {HTTP_OK "Content-Type: text/html\r\nContent-Length: 5\r\n\r\n", OBJSTORE_HEAD,
     OBJSTORE_PERMANENT, false},
    {"HTTP/1.1 202 Accepted\r\nETag: \"e\"\r\nContent-Length: 0\r\n\r\n", OBJSTORE_PUT,
     OBJSTORE_PERMANENT, true},
    {"HTTP/1.1 203 Transformed\r\nETag: \"e\"\r\nContent-Length: 5" FIVE, OBJSTORE_GET,
     OBJSTORE_PERMANENT, false},
    {"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n", OBJSTORE_PUT,
     OBJSTORE_PERMANENT, false},
    {"HTTP/1.1 200 OK\r\nETag: \r\nContent-Length: 0\r\n\r\n", OBJSTORE_PUT, OBJSTORE_PERMANENT,
     true},
    {"HTTP/1.1 200 OK\r\nETag: \"a\tb\"\r\nContent-Length: 0\r\n\r\n", OBJSTORE_PUT,
     OBJSTORE_PERMANENT, true},
    {"HTTP/1.1 200 OK\r\nno colon\r\nETag: \"e\"\r\nContent-Length: 0\r\n\r\n", OBJSTORE_PUT,
     OBJSTORE_TRANSIENT, true},
    {"HTTP/1.1 200 OK\r\n: no name\r\nETag : \"x\"\r\nETag: \"e\"\r\nContent-Length: 0\r\n\r\n",
     OBJSTORE_PUT, OBJSTORE_OK, false},
    /* wishes */
    {"HTTP/1.1 503 Slow\r\nRetry-After: -1\r\nContent-Length: 0\r\n\r\n", OBJSTORE_GET,
     OBJSTORE_THROTTLE, false},
    {"HTTP/1.1 429 Slow\r\nRetry-After: 99999999999999999999\r\nContent-Length: 0\r\n\r\n",
     OBJSTORE_GET, OBJSTORE_THROTTLE, false},
    {"HTTP/1.1 503 Slow\r\nRetry-After: Fri, 24 May 2199 00:00:00 GMT\r\nContent-Length: 0\r\n\r\n",
     OBJSTORE_GET, OBJSTORE_THROTTLE, false},
    {"HTTP/1.1 503 Slow\r\nRetry-After: Fri, 24 May 1999 00:00:00 GMT\r\nContent-Length: 0\r\n\r\n",
     OBJSTORE_GET, OBJSTORE_THROTTLE, false},
};

static void ask(struct objstore *s, struct objstore_req *req)
{
    if (objstore_wait(s, req, NULL) != ST_OK)
        assert_true(req->result.err.text[0] != '\0');
}

static void each_comes_to_what_it_is(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(LIES); i++) {
        const struct lie *lie = &LIES[i];
        const struct http_line line = {.answer = lie->answer, .end = HTTP_CLOSE};
        struct objstore_req req = {.op = lie->op, .key = "k"};

        (void)s3_try_once(&line, &req);
        if (req.result.class != lie->want || req.result.maybe_applied != lie->maybe)
            fail_msg("%s, maybe %d: %s\n%s", objstore_class_name(req.result.class),
                     req.result.maybe_applied, req.result.err.text, lie->answer);
        if (lie->want == OBJSTORE_OK && lie->op == OBJSTORE_GET)
            assert_true(slice_equal(buf_slice(&req.result.body), slice_text("01234")));
        else
            assert_int_equal(req.result.body.bytes, 0);
        if (lie->want == OBJSTORE_OK)
            assert_string_equal(req.result.etag, "\"e\"");
        assert_true(req.result.retry_after_ms <= 3600 * 1000);
        objstore_result_fini(&req.result);
    }
}

/* Answers without end are not read to it. */
static void floods_are_cut_off(void **state)
{
    static char line[200001];
    const struct http_line floods[] = {
        {.answer = "", .more = "HTTP/1.1 100 Continue\r\n\r\n", .repeats = 1000000},
        {.answer = "", .more = "HTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\n", .repeats = 1000000},
        {.answer = "HTTP/1.1 200 OK\r\nX: ", .more = line, .repeats = 1000},
        {.answer = CHUNKED "5\r\n01234\r\n0\r\n",
         .more = "X-Trailer: 0123456789\r\n",
         .repeats = 1000000},
        {.answer = CHUNKED,
         .more = "1;0123456789012345678901234567890123456789\r\nx\r\n",
         .repeats = 1000000},
    };

    (void)state;
    memset(line, 'x', sizeof line - 1);
    for (size_t i = 0; i < COUNT_OF(floods); i++) {
        struct objstore_req req = {.op = OBJSTORE_GET, .key = "k", .bytes_max = 1000};

        (void)s3_try_once(&floods[i], &req);
        if (req.result.class != (i < 4 ? OBJSTORE_TRANSIENT : OBJSTORE_INTEGRITY))
            fail_msg("flood %zu: %s: %s", i, objstore_class_name(req.result.class),
                     req.result.err.text);
        assert_int_equal(req.result.body.bytes, 0);
        objstore_result_fini(&req.result);
    }
}

/* What comes behind an answer's end belongs to no request: not to the next one over the kept
 * connection either. */
static void a_second_answer_behind_the_first_is_nobodys(void **state)
{
#define EVIL HTTP_OK "Content-Length: 4\r\n\r\nEVIL"
    static const struct {
        enum objstore_op op;
        const char *answer;
    } cases[] = {
        {OBJSTORE_GET, HTTP_OK "Content-Length: 5" FIVE EVIL},
        {OBJSTORE_GET, CHUNKED "5\r\n01234\r\n0\r\n\r\n" EVIL},
        {OBJSTORE_HEAD, HTTP_OK "Content-Length: 5" FIVE},
        {OBJSTORE_HEAD, HTTP_OK "Content-Length: 5\r\n\r\n" EVIL},
        {OBJSTORE_PUT, HTTP_OK "Content-Length: 0\r\n\r\n" EVIL},
        {OBJSTORE_DELETE, "HTTP/1.1 204 No Content\r\n\r\n" EVIL},
        {OBJSTORE_DELETE, "HTTP/1.1 204 No Content\r\nContent-Length: 99\r\n\r\n" EVIL},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        const struct http_line lines[] = {{.answer = cases[i].answer},
                                          {.answer = HTTP_OK "Content-Length: 5\r\n\r\nright"}};
        struct s3_try t;

        s3_try_open(&t, lines, COUNT_OF(lines));
        for (int k = 0; k < 3; k++) {
            struct objstore_req req = {.op = k == 0 ? cases[i].op : OBJSTORE_GET, .key = "k"};

            ask(t.store, &req);
            if (k > 0 && req.result.class == OBJSTORE_OK)
                assert_true(slice_equal(buf_slice(&req.result.body), slice_text("right")));
            else if (k > 0)
                fail_msg("case %zu: %s", i, req.result.err.text);
            objstore_result_fini(&req.result);
        }
        s3_try_close(&t);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_comes_to_what_it_is),
        cmocka_unit_test(floods_are_cut_off),
        cmocka_unit_test(a_second_answer_behind_the_first_is_nobodys),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
