/* Answers no store should give: cut, lying, endless, slow, of somebody else. None is taken for a
 * success, for an absence, or for bytes of an object; and none ends the process. */
#include "tests/unit/objstore/s3_try.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define XML_ERROR(code) "<Error><Code>" code "</Code><Message>why</Message></Error>"

static struct objstore_req get(void)
{
    return (struct objstore_req){.op = OBJSTORE_GET, .key = "k"};
}

static struct objstore_req put(void)
{
    return (struct objstore_req){.op = OBJSTORE_PUT, .key = "k", .body = slice_text("body")};
}

static void check_line(const struct http_line *line, struct objstore_req req,
                       enum objstore_class want, bool maybe_applied)
{
    enum objstore_class got = s3_try_once(line, &req);

    if (got != want)
        fail_msg("%s instead of %s: %s", objstore_class_name(got), objstore_class_name(want),
                 req.result.err.text);
    assert_int_equal(req.result.maybe_applied, maybe_applied);
    if (want != OBJSTORE_OK) {
        assert_int_equal(req.result.body.bytes, 0);
        assert_null(strstr(req.result.err.text, "S3CRET"));
    }
    objstore_result_fini(&req.result);
}

static void check(const char *answer, struct objstore_req req, enum objstore_class want,
                  bool maybe_applied)
{
    const struct http_line line = {.answer = answer, .end = HTTP_CLOSE};

    check_line(&line, req, want, maybe_applied);
}

static void a_body_that_is_cut_is_no_object(void **state)
{
    (void)state;
    check(HTTP_OK "Content-Length: 10\r\n\r\n01234", get(), OBJSTORE_TRANSIENT, false);
    check(HTTP_OK "Content-Length: 10\r\n\r\n", get(), OBJSTORE_TRANSIENT, false);
    check(HTTP_OK "Transfer-Encoding: chunked\r\n\r\n5\r\n01234\r\n", get(), OBJSTORE_TRANSIENT,
          false);
    check(HTTP_OK "Transfer-Encoding: chunked\r\n\r\nzz\r\n01234\r\n", get(), OBJSTORE_TRANSIENT,
          false);
    check(HTTP_OK "\r\n01234", get(), OBJSTORE_TRANSIENT, false); /* where does it end? */
    check_line(
        &(struct http_line){.answer = HTTP_OK "Content-Length: 10\r\n\r\n01234", .end = HTTP_RESET},
        get(), OBJSTORE_TRANSIENT, false);
    check(HTTP_OK "Content-Length: 5\r\n\r\n01234", get(), OBJSTORE_OK, false);
    check(HTTP_OK "Transfer-Encoding: chunked\r\n\r\n5\r\n01234\r\n0\r\n\r\n", get(), OBJSTORE_OK,
          false);
}

static void a_range_has_to_be_the_one_that_was_asked_for(void **state)
{
    static const struct {
        const char *answer;
        enum objstore_class want;
    } cases[] = {
#define PARTIAL(range, length)                                                                     \
    "HTTP/1.1 206 Partial Content\r\nETag: \"e\"\r\nContent-Range: bytes " range                   \
    "\r\nContent-Length: " length "\r\n\r\n"
        {PARTIAL("2-4/10", "3") "234", OBJSTORE_OK},
        {PARTIAL("2-3/4", "2") "23", OBJSTORE_OK}, /* the object ends there */
        {PARTIAL("1-3/10", "3") "123", OBJSTORE_INTEGRITY},
        {PARTIAL("2-5/10", "4") "2345", OBJSTORE_INTEGRITY},
        {PARTIAL("2-3/10", "2") "23", OBJSTORE_INTEGRITY},
        {PARTIAL("2-4/10", "4") "2345", OBJSTORE_INTEGRITY},
        {PARTIAL("2-4/*", "3") "234", OBJSTORE_INTEGRITY},
        {PARTIAL("4-2/10", "3") "234", OBJSTORE_INTEGRITY},
        {PARTIAL("2-4/3", "3") "234", OBJSTORE_INTEGRITY},
        {PARTIAL("2-4/99999999999999999999", "3") "234", OBJSTORE_INTEGRITY},
        {PARTIAL("2-4/10", "3") "23", OBJSTORE_TRANSIENT},
        {"HTTP/1.1 206 Partial Content\r\nETag: \"e\"\r\nContent-Length: 3\r\n\r\n234",
         OBJSTORE_INTEGRITY},
        {HTTP_OK "Content-Length: 10\r\n\r\n0123456789", OBJSTORE_INTEGRITY},
        {HTTP_OK "Content-Length: 3\r\nContent-Range: bytes 2-4/10\r\n\r\n234", OBJSTORE_OK},
    };
    struct objstore_req whole = get();

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct objstore_req req = get();

        req.range_offset = 2;
        req.range_bytes = 3;
        check(cases[i].answer, req, cases[i].want, false);
    }
    /* Left out where it is the whole object; but never a part for the whole. */
    whole.range_bytes = 10;
    check(HTTP_OK "Content-Length: 3\r\n\r\n012", whole, OBJSTORE_OK, false);
    check(HTTP_OK "Content-Length: 11\r\n\r\n01234567890", whole, OBJSTORE_INTEGRITY, false);
    check(PARTIAL("0-2/10", "3") "012", get(), OBJSTORE_INTEGRITY, false);
    check(HTTP_OK "Content-Range: bytes 0-2/10\r\nContent-Length: 3\r\n\r\n012", get(),
          OBJSTORE_INTEGRITY, false);
}

static void a_longer_body_than_is_wanted_is_not_read(void **state)
{
    static const char chunk[] = "10000\r\n";
    static char more[0x10000 + 3];
    struct http_line endless = {
        .answer = HTTP_OK "Content-Length: 1099511627776\r\n\r\n", .repeats = 64, .more = more};
    struct objstore_req small = get();

    (void)state;
    memset(more, 'x', sizeof more - 3);
    small.bytes_max = 100000;
    check_line(&endless, get(), OBJSTORE_INTEGRITY, false);
    check_line(&endless, small, OBJSTORE_INTEGRITY, false);
    endless.answer = HTTP_OK "Transfer-Encoding: chunked\r\n\r\n";
    memcpy(more, chunk, sizeof chunk - 1);
    memcpy(more + sizeof more - 3, "\r\n", 2);
    check_line(&endless, small, OBJSTORE_TRANSIENT, false); /* chunks that do not fit their sizes */
    check(HTTP_OK "Transfer-Encoding: chunked\r\n\r\n6\r\n012345\r\n0\r\n\r\n",
          (struct objstore_req){.op = OBJSTORE_GET, .key = "k", .bytes_max = 5}, OBJSTORE_INTEGRITY,
          false);
}

static void a_success_with_an_error_inside_is_an_error(void **state)
{
    const struct objstore_part part = {1, "\"e\""};
    struct objstore_req complete = {.op = OBJSTORE_UPLOAD_COMPLETE,
                                    .key = "k",
                                    .upload_id = "u",
                                    .parts = &part,
                                    .part_count = 1};

    (void)state;
    check(HTTP_OK "Connection: close\r\n\r\n \n\n" XML_ERROR("InternalError"), complete,
          OBJSTORE_TRANSIENT, true);
    check(HTTP_OK "Connection: close\r\n\r\n" XML_ERROR("SlowDown"), complete, OBJSTORE_THROTTLE,
          false);
    check(HTTP_OK "Connection: close\r\n\r\n" XML_ERROR("AccessDenied"), complete,
          OBJSTORE_PERMANENT, false);
    check(HTTP_OK "Connection: close\r\n\r\n<html>done</html>", complete, OBJSTORE_TRANSIENT, true);
    check(HTTP_OK HTTP_EMPTY, complete, OBJSTORE_TRANSIENT, true);
    check(HTTP_OK "Connection: close\r\n\r\n" XML_ERROR("InternalError"), put(), OBJSTORE_TRANSIENT,
          true);
    check(HTTP_OK "Connection: close\r\n\r\n"
                  "<CompleteMultipartUploadResult><ETag>\"e-1\"</ETag>"
                  "</CompleteMultipartUploadResult>",
          complete, OBJSTORE_OK, false);
}

/* A captive portal, a proxy, the wrong port: all say 200, or 404, to everything. */
static void another_server_is_not_taken_for_a_store(void **state)
{
#define PORTAL   "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 7\r\n\r\n<html/>"
#define NOT_HERE "HTTP/1.1 404 Not Found\r\nContent-Length: 9\r\n\r\nnot found"
    struct objstore_req list = {.op = OBJSTORE_LIST, .key = ""};
    struct objstore_req delete = {.op = OBJSTORE_DELETE, .key = "k"};
    struct objstore_req begin = {.op = OBJSTORE_UPLOAD_BEGIN, .key = "k"};
    struct objstore_req changed = get();

    (void)state;
    changed.condition = OBJSTORE_IF_CHANGED;
    changed.etag = "\"e\"";
    check(PORTAL, get(), OBJSTORE_PERMANENT, false);
    check(PORTAL, put(), OBJSTORE_PERMANENT, true);
    check(PORTAL, list, OBJSTORE_PERMANENT, false);
    check(PORTAL, delete, OBJSTORE_PERMANENT, true);
    check(PORTAL, begin, OBJSTORE_PERMANENT, true);
    check(NOT_HERE, get(), OBJSTORE_PERMANENT, false);
    check(NOT_HERE, put(), OBJSTORE_PERMANENT, false);
    check(NOT_HERE, list, OBJSTORE_PERMANENT, false);
    check(NOT_HERE, delete, OBJSTORE_PERMANENT, false);
    check("HTTP/1.1 304 Not Modified\r\n\r\n", get(), OBJSTORE_PERMANENT, false);
    check("HTTP/1.1 304 Not Modified\r\n\r\n", changed, OBJSTORE_NOT_MODIFIED, false);
    check("HTTP/1.1 204 No Content\r\nETag: \"e\"\r\n\r\n", get(), OBJSTORE_PERMANENT, false);
    check("SSH-2.0-OpenSSH_9.2p1\r\n", get(), OBJSTORE_TRANSIENT, false);
    check("HTTP/1.1 abc\r\n\r\n", put(), OBJSTORE_TRANSIENT, true);
    check("", put(), OBJSTORE_TRANSIENT, true);
    check("", get(), OBJSTORE_TRANSIENT, false);
}

static void an_error_without_end_is_not_read_to_it(void **state)
{
    static char more[65536];
    const struct http_line line = {.answer = "HTTP/1.1 403 Forbidden\r\n\r\n",
                                   .repeats = 16384, /* 1 GiB */
                                   .more = more,
                                   .end = HTTP_CLOSE};
    struct objstore_req req = put();

    (void)state;
    memset(more, 'x', sizeof more - 1);
    assert_int_equal(s3_try_once(&line, &req), OBJSTORE_PERMANENT);
    assert_int_equal(req.result.http_status, 403);
    assert_false(req.result.maybe_applied);
    assert_true(req.result.received_bytes < 4 * 1024 * 1024);
    objstore_result_fini(&req.result);
}

static void headers_without_end_are_not_read_to_it(void **state)
{
    static char more[65536];
    const struct http_line line = {
        .answer = "HTTP/1.1 200 OK\r\n", .repeats = 4096, .more = more, .end = HTTP_CLOSE};

    (void)state;
    for (size_t i = 0; i + 64 < sizeof more; i += 64)
        memcpy(more + i, "X-Header: 0123456789012345678901234567890123456789012345678901\r\n", 64);
    check_line(&line, get(), OBJSTORE_TRANSIENT, false);
}

static void a_drip_is_ended(void **state)
{
    const struct http_line line = {.answer =
                                       HTTP_OK "Content-Length: 100000\r\n\r\n"
                                               "01234567890123456789012345678901234567890123456789",
                                   .drip_ms = 100,
                                   .end = HTTP_HANG};

    (void)state;
    check_line(&line, get(), OBJSTORE_TRANSIENT, false);
    check_line(&(struct http_line){.end = HTTP_HANG}, put(), OBJSTORE_TRANSIENT, true);
}

static void a_timeout_of_its_own_ends_a_request(void **state)
{
    struct objstore_req req = put();

    (void)state;
    req.timeout_ms = 200;
    check_line(&(struct http_line){.end = HTTP_HANG}, req, OBJSTORE_TRANSIENT, true);
}

/* The request was read, the answer never came: it may have been done, and only for writes that
 * matters. */
static void a_lost_answer_is_neither_success_nor_failure(void **state)
{
    struct objstore_req list = {.op = OBJSTORE_LIST, .key = ""};
    struct objstore_req head = {.op = OBJSTORE_HEAD, .key = "k"};
    struct objstore_req delete = {.op = OBJSTORE_DELETE, .key = "k"};
    struct objstore_req upload = {.op = OBJSTORE_UPLOAD_PART,
                                  .key = "k",
                                  .upload_id = "u",
                                  .part_number = 1,
                                  .body = slice_text("x")};

    (void)state;
    for (int end = HTTP_CLOSE; end <= HTTP_RESET; end++) {
        const struct http_line line = {.end = (enum http_end)end};

        check_line(&line, put(), OBJSTORE_TRANSIENT, true);
        check_line(&line, upload, OBJSTORE_TRANSIENT, true);
        check_line(&line, delete, OBJSTORE_TRANSIENT, true);
        check_line(&line, get(), OBJSTORE_TRANSIENT, false);
        check_line(&line, list, OBJSTORE_TRANSIENT, false);
        check_line(&line, head, OBJSTORE_TRANSIENT, false);
    }
    check("HTTP/1.1 200 OK\r\nETag: \"e\"\r\nContent-Length: 5\r\n\r\n1", put(), OBJSTORE_TRANSIENT,
          true);
}

static void garbage_for_xml_is_borne(void **state)
{
    struct objstore_req list = {.op = OBJSTORE_LIST, .key = ""};

    (void)state;
    check(HTTP_OK "Connection: close\r\n\r\n<ListBucketResult><Contents>", list, OBJSTORE_TRANSIENT,
          false);
    check(HTTP_OK "Connection: close\r\n\r\n\xff\xfe\x00\x01<", list, OBJSTORE_TRANSIENT, false);
    check(HTTP_OK "Connection: close\r\n\r\n<!DOCTYPE a [<!ENTITY b \"c\">]><ListBucketResult/>",
          list, OBJSTORE_TRANSIENT, false);
    check("HTTP/1.1 404 Not Found\r\nConnection: close\r\n\r\n<Error><Code>NoSuchKey</Code", get(),
          OBJSTORE_PERMANENT, false);
    check("HTTP/1.1 404 Not Found\r\nConnection: close\r\n\r\n" XML_ERROR("NoSuchKey"), get(),
          OBJSTORE_NOT_FOUND, false);
    check("HTTP/1.1 503 Slow Down\r\nConnection: close\r\n\r\n" XML_ERROR("SlowDown"), put(),
          OBJSTORE_THROTTLE, false);
    check("HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\n\r\n<html/>", put(),
          OBJSTORE_THROTTLE, true);
}

/* The signature of a request is for one host. Where it points to is never asked. */
static void a_redirect_is_not_followed(void **state)
{
    static char answer[256];
    const struct http_line other = {.answer = HTTP_OK HTTP_EMPTY};
    struct http_script *elsewhere = http_script_start(&other, 1);

    (void)state;
    for (int code = 301; code <= 308; code++) {
        (void)snprintf(answer, sizeof answer,
                       "HTTP/1.1 %d Moved\r\nLocation: http://127.0.0.1:%u/bucket/p/k\r\n"
                       "Content-Length: 0\r\n\r\n",
                       code, (unsigned)http_script_port(elsewhere));
        if (code != 304)
            check(answer, put(), OBJSTORE_PERMANENT, false);
    }
    assert_int_equal(http_script_connections(elsewhere), 0);
    http_script_stop(elsewhere);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_body_that_is_cut_is_no_object),
        cmocka_unit_test(a_range_has_to_be_the_one_that_was_asked_for),
        cmocka_unit_test(a_longer_body_than_is_wanted_is_not_read),
        cmocka_unit_test(a_success_with_an_error_inside_is_an_error),
        cmocka_unit_test(another_server_is_not_taken_for_a_store),
        cmocka_unit_test(an_error_without_end_is_not_read_to_it),
        cmocka_unit_test(headers_without_end_are_not_read_to_it),
        cmocka_unit_test(a_drip_is_ended),
        cmocka_unit_test(a_timeout_of_its_own_ends_a_request),
        cmocka_unit_test(a_lost_answer_is_neither_success_nor_failure),
        cmocka_unit_test(garbage_for_xml_is_borne),
        cmocka_unit_test(a_redirect_is_not_followed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
