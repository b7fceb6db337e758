/* What goes over the wire, and when: the form of requests, connections, pools, what the store mends
 * by itself once, and how requests end early. */
#include "base/lock.h"
#include "objstore/aimd.h"
#include "objstore/meter.h"
#include "tests/unit/objstore/s3_try.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <time.h>

#include <cmocka.h>

static const struct http_line FINE = {.answer = HTTP_OK HTTP_EMPTY};

static enum objstore_class ask(struct s3_try *t, struct objstore_req *req)
{
    struct err err;

    if (objstore_wait(t->store, req, &err) != ST_OK)
        assert_string_equal(err.text, req->result.err.text);
    return req->result.class;
}

static enum objstore_class ask_free(struct s3_try *t, struct objstore_req req)
{
    enum objstore_class got = ask(t, &req);

    objstore_result_fini(&req.result);
    return got;
}

static const struct objstore_req PUT = {
    .op = OBJSTORE_PUT, .key = "k", .body = {(const uint8_t *)"body", 4}};
static const struct objstore_req GET = {.op = OBJSTORE_GET, .key = "k"};

static void check_has(const char *head, const char *part)
{
    if (strcasestr(head, part) == NULL)
        fail_msg("no \"%s\" in:\n%s", part, head);
}

static void check_lacks(const char *head, const char *part)
{
    if (strcasestr(head, part) != NULL)
        fail_msg("\"%s\" in:\n%s", part, head);
}

/* An empty body too has its length; nothing that is not signed but what HTTP needs. */
static void requests_have_the_form_that_was_signed(void **state)
{
    struct s3_try t;
    struct objstore_req req = PUT;
    const char *head;

    (void)state;
    s3_try_open(&t, &FINE, 1);
    req.condition = OBJSTORE_IF_ABSENT;
    assert_int_equal(ask_free(&t, req), OBJSTORE_OK);
    head = http_script_head(t.server, 0);
    assert_int_equal(strncmp(head, "PUT /bucket/p/k HTTP/1.1\r\n", 26), 0);
    check_has(head, "\r\nhost: 127.0.0.1:");
    check_has(head, "\r\nContent-Length: 4\r\n");
    check_has(head, "\r\nif-none-match: *\r\n");
    check_has(head, "SignedHeaders=host;if-none-match;x-amz-content-sha256;x-amz-date,");
    check_has(head, "\r\nUser-Agent: tiervec/");
    check_has(head, "230d8358dc8e8890b4c58deeb62912ee2f20357ae92a5cc861b98e68fe31acb5");
    check_lacks(head, "\r\nAccept");
    check_lacks(head, "\r\nExpect");
    check_lacks(head, "\r\nContent-Type");
    check_lacks(head, "\r\nTransfer-Encoding");
    check_lacks(head, "S3CRET");
    assert_int_equal(http_script_body_bytes(t.server, 0), 4);
    req = (struct objstore_req){.op = OBJSTORE_PUT, .key = "a/b"};
    assert_int_equal(ask_free(&t, req), OBJSTORE_OK);
    check_has(http_script_head(t.server, 1), "\r\nContent-Length: 0\r\n");
    req = (struct objstore_req){.op = OBJSTORE_UPLOAD_BEGIN, .key = "k"};
    (void)ask_free(&t, req);
    check_has(http_script_head(t.server, 2), "POST /bucket/p/k?uploads= HTTP/1.1\r\n");
    check_has(http_script_head(t.server, 2), "\r\nContent-Length: 0\r\n");
    req = (struct objstore_req){.op = OBJSTORE_LIST, .key = "c/", .start_after = "c/1"};
    (void)ask_free(&t, req);
    check_has(http_script_head(t.server, 3),
              "GET /bucket?encoding-type=url&list-type=2&max-keys=1000&prefix=p%2Fc%2F&"
              "start-after=p%2Fc%2F1 HTTP/1.1\r\n");
    req = GET;
    req.range_offset = 5;
    req.range_bytes = 10;
    (void)ask_free(&t, req);
    check_has(http_script_head(t.server, 4), "\r\nrange: bytes=5-14\r\n");
    req.range_suffix = true;
    (void)ask_free(&t, req);
    check_has(http_script_head(t.server, 5), "\r\nrange: bytes=-10\r\n");
    s3_try_close(&t);
}

/* From 1 MiB on the store is asked first: a condition that fails costs no body. */
static void a_large_body_waits_for_the_stores_word(void **state)
{
    static const struct http_line lines[] = {
        {.answer = "HTTP/1.1 412 Precondition Failed\r\nConnection: close\r\n\r\n"
                   "<Error><Code>PreconditionFailed</Code></Error>",
         .before_body = true,
         .end = HTTP_CLOSE},
        {.answer = HTTP_OK HTTP_EMPTY, .says_continue = true}};
    enum { BYTES = 4 * 1024 * 1024 };
    uint8_t *bytes = calloc(1, BYTES);
    struct objstore_req req = PUT;
    struct s3_try t;

    (void)state;
    s3_try_open(&t, lines, COUNT_OF(lines));
    req.body = slice_make(bytes, BYTES);
    req.condition = OBJSTORE_IF_ABSENT;
    assert_int_equal(ask(&t, &req), OBJSTORE_PRECONDITION);
    check_has(http_script_head(t.server, 0), "\r\nExpect: 100-continue\r\n");
    assert_int_equal(req.result.sent_bytes, 0);
    objstore_req_reset(&req);
    assert_int_equal(ask(&t, &req), OBJSTORE_OK);
    assert_int_equal(http_script_body_bytes(t.server, 1), BYTES);
    assert_int_equal(req.result.sent_bytes, BYTES);
    objstore_result_fini(&req.result);
    s3_try_close(&t);
    free(bytes);
}

static void connections_are_kept(void **state)
{
    struct s3_try t;

    (void)state;
    s3_try_open(&t, &FINE, 1);
    for (int i = 0; i < 20; i++)
        assert_int_equal(ask_free(&t, i % 2 == 0 ? PUT : GET), OBJSTORE_OK);
    assert_int_equal(http_script_connections(t.server), 1);
    s3_try_close(&t);
}

/* A server that closes while a kept connection is used again: what was sent once is not sent again
 * behind the caller's back. */
static void a_write_is_sent_once(void **state)
{
    static const struct http_line lines[] = {{.answer = HTTP_OK HTTP_EMPTY}, {.end = HTTP_CLOSE}};
    const struct objstore_req empty = {
        .op = OBJSTORE_PUT, .key = "k", .condition = OBJSTORE_IF_ABSENT};

    (void)state;
    for (int round = 0; round < 20; round++) {
        struct s3_try t;
        struct objstore_req req = round % 2 == 0 ? PUT : empty;

        s3_try_open(&t, lines, COUNT_OF(lines));
        assert_int_equal(ask_free(&t, PUT), OBJSTORE_OK);
        assert_int_equal(ask(&t, &req), OBJSTORE_TRANSIENT);
        assert_true(req.result.maybe_applied);
        assert_int_equal(http_script_requests(t.server), 2);
        objstore_result_fini(&req.result);
        s3_try_close(&t);
    }
}

static void nothing_listens(void **state)
{
    struct objstore_req req = PUT;
    struct s3_try t;

    (void)state;
    s3_try_open(&t, &FINE, 1);
    http_script_stop(t.server);
    assert_int_equal(ask(&t, &req), OBJSTORE_TRANSIENT);
    assert_false(req.result.maybe_applied);
    assert_int_equal(req.result.http_status, 0);
    check_has(req.result.err.text, "put k: http://127.0.0.1:");
    check_has(req.result.err.text, "is the store running");
    objstore_result_fini(&req.result);
    objstore_close(t.store);
}

struct counter {
    struct lock lock; /* LOCK_RANK_LEAF */
    struct cond cond;
    size_t done;
};

static void count_done(struct objstore_req *req)
{
    struct counter *c = req->arg;

    lock_take(&c->lock);
    c->done++;
    cond_signal(&c->cond);
    lock_drop(&c->lock);
}

static void counter_init(struct counter *c)
{
    lock_init(&c->lock, LOCK_RANK_LEAF, "counter");
    cond_init(&c->cond);
    c->done = 0;
}

static void counter_fini(struct counter *c)
{
    lock_fini(&c->lock);
    cond_fini(&c->cond);
}

enum { MANY = 20 };

static void submit_many(struct s3_try *t, struct objstore_req *reqs, enum objstore_pool pool,
                        struct counter *c)
{
    for (size_t i = 0; i < MANY; i++) {
        reqs[i] = PUT;
        reqs[i].pool = pool;
        reqs[i].done = count_done;
        reqs[i].arg = c;
        objstore_submit(t->store, &reqs[i]);
    }
}

/* Bulk fills its connections and waits; a commit goes through on its own. */
static void bulk_does_not_starve_the_others(void **state)
{
    static const struct http_line lines[] = {
        {.end = HTTP_HANG}, {.end = HTTP_HANG}, {.end = HTTP_HANG}, {.answer = HTTP_OK HTTP_EMPTY}};
    struct objstore_options options = {.connections_max = {2, 1, 3}};
    struct objstore_req reqs[MANY];
    struct counter c;
    struct s3_try t;

    (void)state;
    counter_init(&c);
    s3_try_open_with(&t, lines, COUNT_OF(lines), &options);
    submit_many(&t, reqs, OBJSTORE_BULK, &c);
    http_script_wait(t.server, 3);
    for (int i = 0; i < 5; i++) {
        struct objstore_req req = PUT;

        req.pool = i % 2 == 0 ? OBJSTORE_LOG : OBJSTORE_FOREGROUND;
        assert_int_equal(ask_free(&t, req), OBJSTORE_OK);
    }
    assert_int_equal(http_script_requests(t.server), 8);
    objstore_close(t.store);
    assert_int_equal(c.done, MANY);
    for (size_t i = 0; i < MANY; i++) {
        assert_int_equal(reqs[i].result.class, OBJSTORE_CANCELLED);
        assert_int_equal(reqs[i].result.maybe_applied, i < 3); /* those that were under way */
        objstore_result_fini(&reqs[i].result);
    }
    http_script_stop(t.server);
    counter_fini(&c);
}

static void a_request_under_way_is_cancelled_at_once(void **state)
{
    static const struct http_line lines[] = {{.end = HTTP_HANG}, {.answer = HTTP_OK HTTP_EMPTY}};
    struct objstore_options options = {.connections_max = {1, 1, 1}};
    struct objstore_req waits = PUT;
    struct objstore_req behind = PUT;
    struct counter c;
    struct s3_try t;

    (void)state;
    counter_init(&c);
    s3_try_open_with(&t, lines, COUNT_OF(lines), &options);
    waits.done = behind.done = count_done;
    waits.arg = behind.arg = &c;
    objstore_submit(t.store, &waits);
    http_script_wait(t.server, 1);
    objstore_submit(t.store, &behind);
    objstore_cancel(t.store, &waits);
    lock_take(&c.lock);
    while (c.done < 2)
        cond_wait(&c.cond, &c.lock);
    lock_drop(&c.lock);
    assert_int_equal(waits.result.class, OBJSTORE_CANCELLED);
    assert_true(waits.result.maybe_applied);
    assert_int_equal(behind.result.class, OBJSTORE_OK); /* took its place */
    objstore_result_fini(&waits.result);
    objstore_result_fini(&behind.result);
    s3_try_close(&t);
    counter_fini(&c);
}

#define SKEWED_BODY "Content-Length: 50\r\n\r\n<Error><Code>RequestTimeTooSkewed</Code></Error>  "

/* A refusal by a store whose clock is so far ahead of ours. */
static const char *skewed(char out[256], int64_t ahead_s)
{
    time_t at = (time_t)((int64_t)(clock_wall_ns(clock_real()) / 1000000000) + ahead_s);
    struct tm tm;
    char date[64];

    (void)gmtime_r(&at, &tm);
    (void)strftime(date, sizeof date, "%a, %d %b %Y %H:%M:%S GMT", &tm);
    (void)snprintf(out, 256, "HTTP/1.1 403 Forbidden\r\nDate: %s\r\n" SKEWED_BODY, date);
    return out;
}

/* The hour a request was signed for: "x-amz-date: 20130524T00". */
static void check_signed_for(const char *head, int64_t ahead_s)
{
    time_t at = (time_t)((int64_t)(clock_wall_ns(clock_real()) / 1000000000) + ahead_s);
    const char *found = strcasestr(head, "x-amz-date: ");
    struct tm tm = {0};
    int64_t off;

    assert_non_null(found);
    assert_non_null(strptime(found + 12, "%Y%m%dT%H%M%SZ", &tm));
    off = (int64_t)timegm(&tm) - (int64_t)at;
    assert_in_range((uint64_t)(off + 100), 0, 200);
}

enum { THREE_HOURS = 3 * 3600, YEAR = 365 * 86400 };

static void a_skewed_clock_is_mended_once(void **state)
{
    char ahead[256];
    char right[256];
    const struct http_line lines[] = {{.answer = skewed(ahead, THREE_HOURS)},
                                      {.answer = HTTP_OK HTTP_EMPTY},
                                      {.answer = HTTP_OK HTTP_EMPTY},
                                      {.answer = skewed(right, 0)},
                                      {.answer = HTTP_OK HTTP_EMPTY}};
    const struct http_line always[] = {{.answer = ahead}};
    struct objstore_req req = PUT;
    struct s3_try t;

    (void)state;
    s3_try_open(&t, lines, COUNT_OF(lines));
    assert_int_equal(ask_free(&t, PUT), OBJSTORE_OK);
    check_signed_for(http_script_head(t.server, 0), 0);
    check_signed_for(http_script_head(t.server, 1), THREE_HOURS);
    assert_int_equal(http_script_body_bytes(t.server, 1), 4);
    assert_int_equal(ask_free(&t, PUT), OBJSTORE_OK); /* it is remembered */
    check_signed_for(http_script_head(t.server, 2), THREE_HOURS);
    assert_int_equal(ask_free(&t, PUT), OBJSTORE_OK); /* our clock was set: corrected again */
    check_signed_for(http_script_head(t.server, 3), THREE_HOURS);
    check_signed_for(http_script_head(t.server, 4), 0);
    s3_try_close(&t);
    s3_try_open(&t, always, 1);
    assert_int_equal(ask(&t, &req), OBJSTORE_REFRESHABLE);
    assert_int_equal(http_script_requests(t.server), 2);
    check_has(req.result.err.text, "set the clock of this machine");
    objstore_result_fini(&req.result);
    s3_try_close(&t);
}

/* What is signed for next year could be sent again next year by whoever said it is next year. */
static void nothing_is_signed_for_another_day(void **state)
{
    char answer[256];
    struct objstore_req req = PUT;

    (void)state;
    for (int sign = -1; sign <= 1; sign += 2) {
        const struct http_line lines[] = {{.answer = skewed(answer, sign * YEAR)}};
        struct s3_try t;

        s3_try_open(&t, lines, 1);
        assert_int_equal(ask(&t, &req), OBJSTORE_REFRESHABLE);
        assert_int_equal(http_script_requests(t.server), 1);
        check_has(req.result.err.text, "set the clock of this machine");
        objstore_req_reset(&req);
        s3_try_close(&t);
    }
}

/* "123456789" has the crc32c 0xe3069283. */
#define NINE(crc) HTTP_OK "x-amz-checksum-crc32c: " crc "\r\nContent-Length: 9\r\n\r\n123456789"
#define NINE_CHUNKED(crc)                                                                          \
    HTTP_OK "x-amz-checksum-crc32c: " crc                                                          \
            "\r\nTransfer-Encoding: chunked\r\n\r\n9\r\n123456789\r\n0\r\n\r\n"

/* By the store's own sum: asked again over another connection, and wrong bytes when that says the
 * same. */
static void an_object_is_compared_with_the_stores_checksum(void **state)
{
    static const struct http_line once[][2] = {
        {{.answer = NINE("AAAAAA==")}, {.answer = NINE("4waSgw==")}},
        {{.answer = NINE_CHUNKED("AAAAAA==")}, {.answer = NINE_CHUNKED("4waSgw==")}},
        {{.answer = HTTP_OK "x-amz-checksum-crc32c: AAAAAQ==\r\n" HTTP_EMPTY},
         {.answer = HTTP_OK "x-amz-checksum-crc32c: AAAAAA==\r\n" HTTP_EMPTY}},
    };
    static const struct http_line of_parts = {.answer = NINE("4waSgg==-3")};
    static const struct http_line wrong = {.answer = NINE("4waSgg==")};
    struct objstore_req req = GET;
    struct s3_try t;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(once); i++) {
        s3_try_open(&t, once[i], 2);
        assert_int_equal(ask(&t, &req), OBJSTORE_OK);
        assert_int_equal(req.result.body.bytes, i < 2 ? 9 : 0);
        check_has(http_script_head(t.server, 0), "\r\nx-amz-checksum-mode: ENABLED\r\n");
        assert_int_equal(http_script_requests(t.server), 2);
        assert_int_equal(http_script_connections(t.server), 2);
        objstore_req_reset(&req);
        s3_try_close(&t);
    }
    s3_try_open(&t, &wrong, 1);
    assert_int_equal(ask(&t, &req), OBJSTORE_INTEGRITY);
    assert_int_equal(req.result.body.bytes, 0);
    assert_int_equal(http_script_requests(t.server), 2);
    assert_int_equal(http_script_connections(t.server), 2);
    check_has(req.result.err.text, "do not have the checksum the store keeps");
    objstore_req_reset(&req);
    req.range_offset = 1; /* it is no part's */
    assert_int_equal(ask(&t, &req), OBJSTORE_INTEGRITY);
    check_lacks(http_script_head(t.server, 2), "checksum");
    objstore_result_fini(&req.result);
    s3_try_close(&t);
    assert_int_equal(
        s3_try_once(&of_parts, &(struct objstore_req){.op = OBJSTORE_HEAD, .key = "k"}),
        OBJSTORE_OK);
}

static void who_asks_for_a_fresh_connection_gets_one(void **state)
{
    struct objstore_req req = PUT;
    struct s3_try t;

    (void)state;
    s3_try_open(&t, &FINE, 1);
    for (unsigned i = 0; i < 6; i++) {
        req.fresh_connection = i % 2 == 1;
        assert_int_equal(ask_free(&t, req), OBJSTORE_OK);
        assert_int_equal(http_script_connections(t.server), 1 + (i + 1) / 2);
    }
    s3_try_close(&t);
}

#define ELSEWHERE(region)                                                                          \
    "HTTP/1.1 301 Moved Permanently\r\nLocation: http://example.invalid/\r\n"                      \
    "x-amz-bucket-region: " region "\r\nContent-Length: 0\r\n\r\n"
#define MALFORMED                                                                                  \
    "HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n"                                        \
    "<Error><Code>AuthorizationHeaderMalformed</Code><Region>eu-west-3</Region></Error>"

static void the_wrong_region_is_mended_once(void **state)
{
    static const struct http_line moved[] = {{.answer = ELSEWHERE("eu-central-1")},
                                             {.answer = HTTP_OK HTTP_EMPTY}};
    static const struct http_line named[] = {{.answer = MALFORMED, .end = HTTP_CLOSE},
                                             {.answer = HTTP_OK HTTP_EMPTY}};
    static const struct http_line circle[] = {{.answer = ELSEWHERE("eu-1")},
                                              {.answer = ELSEWHERE("eu-2")}};
    static const struct http_line absurd[] = {{.answer = ELSEWHERE("a/b?c")}};
    struct s3_try t;

    (void)state;
    s3_try_open(&t, moved, COUNT_OF(moved));
    assert_int_equal(ask_free(&t, PUT), OBJSTORE_OK);
    check_has(http_script_head(t.server, 0), "/us-east-1/s3/aws4_request");
    check_has(http_script_head(t.server, 1), "/eu-central-1/s3/aws4_request");
    assert_int_equal(ask_free(&t, GET), OBJSTORE_OK); /* it is remembered */
    assert_int_equal(http_script_requests(t.server), 3);
    check_has(http_script_head(t.server, 2), "/eu-central-1/s3/aws4_request");
    s3_try_close(&t);
    s3_try_open(&t, named, COUNT_OF(named));
    assert_int_equal(ask_free(&t, GET), OBJSTORE_OK);
    check_has(http_script_head(t.server, 1), "/eu-west-3/s3/aws4_request");
    s3_try_close(&t);
    s3_try_open(&t, circle, COUNT_OF(circle));
    assert_int_equal(ask_free(&t, PUT), OBJSTORE_REFRESHABLE);
    assert_int_equal(http_script_requests(t.server), 2);
    s3_try_close(&t);
    s3_try_open(&t, absurd, 1);
    assert_int_equal(ask_free(&t, PUT), OBJSTORE_REFRESHABLE);
    assert_int_equal(http_script_requests(t.server), 1);
    s3_try_close(&t);
}

static void write_keys(const char *path, const char *access)
{
    char text[256];

    (void)snprintf(text, sizeof text,
                   "[default]\naws_access_key_id=%s\naws_secret_access_key=S3CRET\n"
                   "aws_session_token=TOKEN\n",
                   access);
    assert_int_equal(fs_write_file(fs_real(), path, slice_text(text), NULL), ST_OK);
}

/* Rotated files are found by who reads them again: on an expired token, once, and on reload. */
static void an_expired_token_is_mended_once(void **state)
{
    static const struct http_line lines[] = {
        {.answer = HTTP_OK HTTP_EMPTY},
        {.answer = "HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n"
                   "<Error><Code>ExpiredToken</Code></Error>",
         .end = HTTP_CLOSE},
        {.answer = HTTP_OK HTTP_EMPTY}};
    char path[] = "/tmp/tiervec-keys-XXXXXX";
    char variable[64];
    char *env[] = {variable, (char *)"AWS_CONFIG_FILE=/nowhere",
                   (char *)"AWS_EC2_METADATA_DISABLED=true", NULL};
    struct objstore_options options = {.env = env};
    struct s3_try t;
    int fd = mkstemp(path);

    (void)state;
    assert_true(fd >= 0);
    (void)snprintf(variable, sizeof variable, "AWS_SHARED_CREDENTIALS_FILE=%s", path);
    write_keys(path, "FIRST");
    s3_try_open_with(&t, lines, COUNT_OF(lines), &options);
    memset(variable, 'x', 10); /* texts are copied */
    assert_int_equal(ask_free(&t, PUT), OBJSTORE_OK);
    check_has(http_script_head(t.server, 0), "Credential=FIRST/");
    check_has(http_script_head(t.server, 0), "\r\nx-amz-security-token: TOKEN\r\n");
    write_keys(path, "SECOND");
    assert_int_equal(ask_free(&t, PUT), OBJSTORE_OK);
    check_has(http_script_head(t.server, 1), "Credential=FIRST/");
    check_has(http_script_head(t.server, 2), "Credential=SECOND/");
    write_keys(path, "THIRD");
    objstore_reload(t.store);
    assert_int_equal(ask_free(&t, PUT), OBJSTORE_OK);
    check_has(http_script_head(t.server, 3), "Credential=THIRD/");
    s3_try_close(&t);
    (void)remove(path);
}

static void without_keys_each_request_says_where_was_looked(void **state)
{
    char *env[] = {(char *)"AWS_SHARED_CREDENTIALS_FILE=/nowhere/keys",
                   (char *)"AWS_CONFIG_FILE=/nowhere/config",
                   (char *)"AWS_EC2_METADATA_DISABLED=true", NULL};
    struct objstore_options options = {.env = env};
    struct objstore_req req = PUT;
    struct s3_try t;

    (void)state;
    s3_try_open_with(&t, &FINE, 1, &options);
    assert_int_equal(ask(&t, &req), OBJSTORE_PERMANENT);
    check_has(req.result.err.text, "put k: no credentials; looked in the environment (AWS_ACCESS");
    check_has(req.result.err.text, "/nowhere/keys (no such file)");
    assert_int_equal(http_script_connections(t.server), 0);
    objstore_result_fini(&req.result);
    s3_try_close(&t);
}

static void the_stores_wish_to_wait_is_passed_on(void **state)
{
    const struct http_line line = {
        .answer = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 503 Slow Down\r\nRetry-After: 7\r\n"
                  "x-amz-request-id: R1\r\nConnection: close\r\n\r\n"
                  "<Error><Code>SlowDown</Code><Message>slow\tdown</Message></Error>",
        .end = HTTP_CLOSE};
    struct objstore_req req = PUT;

    (void)state;
    assert_int_equal(s3_try_once(&line, &req), OBJSTORE_THROTTLE);
    assert_int_equal(req.result.retry_after_ms, 7000);
    assert_string_equal(req.result.request_id, "R1");
    assert_string_equal(req.result.s3_code, "SlowDown");
    check_has(req.result.err.text, "bucket bucket: HTTP 503 SlowDown: slow?down");
    objstore_result_fini(&req.result);
}

#define SLOW_DOWN                                                                                  \
    "HTTP/1.1 503 Slow Down\r\nRetry-After: 3\r\nConnection: close\r\n\r\n"                        \
    "<Error><Code>SlowDown</Code></Error>"

static uint64_t real_ms(void)
{
    return clock_mono_ns(clock_real()) / 1000000;
}

/* No other request of the pool goes before the time the store named either, and bulk goes on with
 * half its connections; what the others may do is theirs. */
static void who_is_throttled_slows_down(void **state)
{
    static const struct http_line lines[] = {{.answer = SLOW_DOWN, .end = HTTP_CLOSE},
                                             {.answer = HTTP_OK HTTP_EMPTY}};
    struct stats *stats = NULL;
    struct stats_metric *allowed[OBJSTORE_POOLS];
    struct objstore_options options = {.connections_max = {8, 4, 6}};
    struct objstore_req bulk = PUT;
    struct objstore_req log = PUT;
    struct objstore_req read = GET;
    uint64_t began = real_ms();
    struct s3_try t;

    (void)state;
    assert_int_equal(stats_create(&stats, NULL), ST_OK);
    options.stats = stats;
    objstore_meter_pools(stats, allowed);
    s3_try_open_with(&t, lines, COUNT_OF(lines), &options);
    assert_true(stats_value(allowed[OBJSTORE_LOG]) == 4);
    bulk.pool = OBJSTORE_BULK;
    log.pool = OBJSTORE_LOG;
    assert_int_equal(ask_free(&t, log), OBJSTORE_THROTTLE);
    assert_true(stats_value(allowed[OBJSTORE_LOG]) == 2);
    assert_true(stats_value(allowed[OBJSTORE_BULK]) == 3);
    assert_true(stats_value(allowed[OBJSTORE_FOREGROUND]) == 8);
    assert_int_equal(ask_free(&t, read), OBJSTORE_OK);
    assert_int_equal(ask_free(&t, bulk), OBJSTORE_OK);
    assert_true(real_ms() - began < 2900);
    assert_int_equal(ask_free(&t, log), OBJSTORE_OK);
    assert_true(real_ms() - began >= 3000);
    for (int i = 1; i < AIMD_WINDOW; i++)
        assert_int_equal(ask_free(&t, log), OBJSTORE_OK);
    assert_true(stats_value(allowed[OBJSTORE_LOG]) == 3);
    s3_try_close(&t);
    stats_destroy(stats);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_have_the_form_that_was_signed),
        cmocka_unit_test(a_large_body_waits_for_the_stores_word),
        cmocka_unit_test(connections_are_kept),
        cmocka_unit_test(a_write_is_sent_once),
        cmocka_unit_test(nothing_listens),
        cmocka_unit_test(bulk_does_not_starve_the_others),
        cmocka_unit_test(a_request_under_way_is_cancelled_at_once),
        cmocka_unit_test(a_skewed_clock_is_mended_once),
        cmocka_unit_test(nothing_is_signed_for_another_day),
        cmocka_unit_test(an_object_is_compared_with_the_stores_checksum),
        cmocka_unit_test(who_asks_for_a_fresh_connection_gets_one),
        cmocka_unit_test(the_wrong_region_is_mended_once),
        cmocka_unit_test(an_expired_token_is_mended_once),
        cmocka_unit_test(without_keys_each_request_says_where_was_looked),
        cmocka_unit_test(the_stores_wish_to_wait_is_passed_on),
        cmocka_unit_test(who_is_throttled_slows_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
