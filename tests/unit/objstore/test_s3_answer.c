/* The pure parts of S3: what each answer comes to, what headers say, where requests go and how they
 * look. No server. */
#include "objstore/s3_answer.h"
#include "objstore/s3_request.h"

#include "tests/support/alloc_sweep.h"

#include <stdio.h>
#include <stdlib.h>

static const struct s3_target TARGET = {.endpoint = "http://h:9000",
                                        .host = "h:9000",
                                        .region = "us-east-1",
                                        .bucket = "bucket",
                                        .prefix = "p/"};

static struct s3_asked asked(void)
{
    return (struct s3_asked){.target = &TARGET, .keys_source = "the environment", .now_s = 1000};
}

enum { PUT = OBJSTORE_PUT, GET = OBJSTORE_GET, HEAD = OBJSTORE_HEAD, DEL = OBJSTORE_DELETE };
enum { LIST = OBJSTORE_LIST, PART = OBJSTORE_UPLOAD_PART, END = OBJSTORE_UPLOAD_COMPLETE };
enum { ABORT = OBJSTORE_UPLOAD_ABORT, BEGIN = OBJSTORE_UPLOAD_BEGIN };
enum { ANY = OBJSTORE_ALWAYS, NEW = OBJSTORE_IF_ABSENT, SAME = OBJSTORE_IF_MATCH };

/* Object-store study, 2.3 and 3.11, line by line. maybe: of a write. */
static const struct {
    int op, condition, http_status;
    const char *code;
    enum objstore_class want;
    bool maybe;
} TABLE[] = {
    {PUT, NEW, 412, "PreconditionFailed", OBJSTORE_PRECONDITION, false},
    {PUT, SAME, 412, "", OBJSTORE_PRECONDITION, false},
    {PUT, ANY, 412, "PreconditionFailed", OBJSTORE_PERMANENT, false},
    {PUT, SAME, 404, "NoSuchKey", OBJSTORE_PRECONDITION, false},
    {END, SAME, 404, "NoSuchKey", OBJSTORE_PRECONDITION, false},
    {PUT, NEW, 404, "NoSuchKey", OBJSTORE_PERMANENT, false},
    {PUT, SAME, 404, "NoSuchBucket", OBJSTORE_PERMANENT, false},
    {PUT, SAME, 404, "", OBJSTORE_PERMANENT, false},
    {PUT, NEW, 409, "ConditionalRequestConflict", OBJSTORE_CONFLICT, false},
    {PUT, NEW, 409, "SomethingElse", OBJSTORE_CONFLICT, false},
    {PUT, ANY, 409, "OperationAborted", OBJSTORE_CONFLICT, false},
    {PUT, ANY, 409, "InvalidBucketState", OBJSTORE_PERMANENT, false},
    {END, NEW, 412, "PreconditionFailed", OBJSTORE_PRECONDITION, false},
    {END, ANY, 200, "InternalError", OBJSTORE_TRANSIENT, true},
    {END, ANY, 200, "InvalidPart", OBJSTORE_PERMANENT, false},
    {END, NEW, 200, "PreconditionFailed", OBJSTORE_PRECONDITION, false},
    {END, ANY, 200, "Unheard", OBJSTORE_TRANSIENT, true},
    {END, ANY, 404, "NoSuchUpload", OBJSTORE_NOT_FOUND, false},
    {END, SAME, 404, "NoSuchUpload", OBJSTORE_NOT_FOUND, false},
    {PART, ANY, 404, "NoSuchUpload", OBJSTORE_NOT_FOUND, false},
    {PART, ANY, 404, "NoSuchKey", OBJSTORE_PERMANENT, false},
    {ABORT, ANY, 404, "NoSuchUpload", OBJSTORE_OK, false},
    {ABORT, ANY, 404, "NoSuchBucket", OBJSTORE_PERMANENT, false},
    {DEL, ANY, 404, "NoSuchKey", OBJSTORE_OK, false},
    {DEL, ANY, 404, "NoSuchBucket", OBJSTORE_PERMANENT, false},
    {DEL, ANY, 204, "", OBJSTORE_OK, false},
    {GET, ANY, 404, "NoSuchKey", OBJSTORE_NOT_FOUND, false},
    {GET, ANY, 404, "NoSuchBucket", OBJSTORE_PERMANENT, false},
    {GET, ANY, 404, "", OBJSTORE_PERMANENT, false},
    {GET, ANY, 416, "InvalidRange", OBJSTORE_PERMANENT, false},
    {HEAD, ANY, 404, "", OBJSTORE_NOT_FOUND, false},
    {HEAD, ANY, 403, "", OBJSTORE_PERMANENT, false},
    {LIST, ANY, 404, "NoSuchBucket", OBJSTORE_PERMANENT, false},
    {LIST, ANY, 404, "NoSuchKey", OBJSTORE_PERMANENT, false},
    {PUT, ANY, 400, "InvalidArgument", OBJSTORE_PERMANENT, false},
    {PUT, ANY, 400, "EntityTooLarge", OBJSTORE_PERMANENT, false},
    {PUT, ANY, 400, "RequestTimeout", OBJSTORE_TRANSIENT, false},
    {PUT, ANY, 400, "IncompleteBody", OBJSTORE_TRANSIENT, false},
    {PUT, ANY, 400, "BadDigest", OBJSTORE_INTEGRITY, false},
    {PUT, ANY, 400, "XAmzContentChecksumMismatch", OBJSTORE_INTEGRITY, false},
    {PUT, ANY, 400, "ExpiredToken", OBJSTORE_REFRESHABLE, false},
    {PUT, ANY, 400, "", OBJSTORE_PERMANENT, false},
    {PUT, ANY, 401, "", OBJSTORE_PERMANENT, false},
    {PUT, ANY, 403, "AccessDenied", OBJSTORE_PERMANENT, false},
    {PUT, ANY, 403, "InvalidAccessKeyId", OBJSTORE_PERMANENT, false},
    {PUT, ANY, 403, "SignatureDoesNotMatch", OBJSTORE_PERMANENT, false},
    {PUT, ANY, 403, "RequestTimeTooSkewed", OBJSTORE_REFRESHABLE, false},
    {PUT, ANY, 403, "InvalidObjectState", OBJSTORE_PERMANENT, false},
    {PUT, ANY, 405, "MethodNotAllowed", OBJSTORE_PERMANENT, false},
    {PUT, ANY, 408, "", OBJSTORE_TRANSIENT, false},
    {PUT, ANY, 411, "MissingContentLength", OBJSTORE_PERMANENT, false},
    {PUT, ANY, 429, "TooManyRequests", OBJSTORE_THROTTLE, false},
    {PUT, ANY, 429, "", OBJSTORE_THROTTLE, false},
    {PUT, ANY, 500, "InternalError", OBJSTORE_TRANSIENT, true},
    {PUT, ANY, 500, "", OBJSTORE_TRANSIENT, true},
    {GET, ANY, 500, "InternalError", OBJSTORE_TRANSIENT, false},
    {LIST, ANY, 502, "", OBJSTORE_TRANSIENT, false},
    {PUT, ANY, 501, "NotImplemented", OBJSTORE_PERMANENT, false},
    {PUT, ANY, 502, "", OBJSTORE_TRANSIENT, true},
    {PUT, ANY, 503, "SlowDown", OBJSTORE_THROTTLE, false},
    {PUT, ANY, 503, "SlowDownWrite", OBJSTORE_THROTTLE, false},
    {PUT, ANY, 400, "RequestLimitExceeded", OBJSTORE_THROTTLE, false},
    {PUT, ANY, 503, "SlowDownRead", OBJSTORE_THROTTLE, false},
    {PUT, ANY, 400, "KMS.DisabledException", OBJSTORE_PERMANENT, false},
    {PUT, ANY, 503, "ServiceUnavailable", OBJSTORE_THROTTLE, false},
    {PUT, ANY, 503, "", OBJSTORE_THROTTLE, true},
    {PUT, ANY, 503, "XMinioServerNotInitialized", OBJSTORE_TRANSIENT, false},
    {PUT, ANY, 504, "", OBJSTORE_TRANSIENT, true},
    {PUT, ANY, 507, "XMinioStorageFull", OBJSTORE_CAPACITY, false},
    {PUT, ANY, 507, "", OBJSTORE_CAPACITY, false},
    {PUT, ANY, 400, "XMinioAdminBucketQuotaExceeded", OBJSTORE_CAPACITY, false},
    {PUT, ANY, 403, "QuotaExceeded", OBJSTORE_CAPACITY, false},
    {PUT, ANY, 599, "", OBJSTORE_TRANSIENT, true},
    {PUT, ANY, 301, "PermanentRedirect", OBJSTORE_PERMANENT, false}, /* no region told */
    {BEGIN, ANY, 403, "AccessDenied", OBJSTORE_PERMANENT, false},
};

static void each_answer_comes_to_its_class(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(TABLE); i++) {
        struct objstore_req req = {.op = (enum objstore_op)TABLE[i].op,
                                   .key = "k",
                                   .condition = (enum objstore_condition)TABLE[i].condition,
                                   .etag = "\"e\""};
        struct s3_reply reply = {.http_status = TABLE[i].http_status};
        struct s3_asked a = asked();
        char body[256] = "";

        if (TABLE[i].code[0] != '\0' && req.op != OBJSTORE_HEAD)
            (void)snprintf(body, sizeof body,
                           "<Error><Code>%s</Code><Message>words</Message></Error>", TABLE[i].code);
        (void)s3_answer(&req, &reply, slice_text(body), &a);
        if (req.result.class != TABLE[i].want || req.result.maybe_applied != TABLE[i].maybe)
            fail_msg("%s %d %s: %s, maybe applied %d", objstore_op_name(req.op),
                     TABLE[i].http_status, TABLE[i].code, objstore_class_name(req.result.class),
                     req.result.maybe_applied);
        assert_int_equal(req.result.http_status, TABLE[i].http_status);
        if (req.result.class != OBJSTORE_OK) {
            assert_int_equal(req.result.err.code, objstore_class_status(req.result.class));
            assert_non_null(strstr(req.result.err.text, "k: http://h:9000 bucket bucket: HTTP "));
            assert_string_equal(req.result.s3_code, body[0] != '\0' ? TABLE[i].code : "");
        }
        objstore_result_fini(&req.result);
    }
}

static void a_full_disk_is_found_in_the_words(void **state)
{
    struct objstore_req req = {.op = OBJSTORE_PUT, .key = "k"};
    struct s3_reply reply = {.http_status = 500};
    struct s3_asked a = asked();

    (void)state;
    (void)s3_answer(&req, &reply,
                    slice_text("<Error><Code>InternalError</Code>"
                               "<Message>write: No space left on device</Message></Error>"),
                    &a);
    assert_int_equal(req.result.class, OBJSTORE_CAPACITY);
    assert_true(req.result.maybe_applied);
}

/* What a person reads: where, what the store said, what to do, whose keys. */
static void texts_say_what_to_do(void **state)
{
    struct objstore_req req = {.op = OBJSTORE_PUT, .key = "c/00/root"};
    struct s3_reply reply = {.http_status = 403};
    struct s3_asked a = asked();

    (void)state;
    (void)s3_answer(&req, &reply,
                    slice_text("<Error><Code>AccessDenied</Code><Message>Access Denied.</Message>"
                               "<RequestId>R7</RequestId></Error>"),
                    &a);
    assert_string_equal(req.result.err.text,
                        "put c/00/root: http://h:9000 bucket bucket: HTTP 403 AccessDenied: Access "
                        "Denied. (keys from the environment); allow these keys to get, put, delete "
                        "and list in that bucket");
    assert_string_equal(req.result.request_id, "R7");
    reply.http_status = 404;
    (void)s3_answer(&req, &reply,
                    slice_text("<Error><Code>NoSuchBucket</Code><Message>No.</Message></Error>"),
                    &a);
    assert_string_equal(req.result.err.text,
                        "put c/00/root: http://h:9000 bucket bucket: HTTP 404 NoSuchBucket: No.; "
                        "create the bucket, or correct [storage] s3_bucket");
    reply = (struct s3_reply){.http_status = 403, .date_s = 5000};
    (void)s3_answer(&req, &reply, slice_text("<Error><Code>RequestTimeTooSkewed</Code></Error>"),
                    &a);
    assert_non_null(strstr(req.result.err.text, "RequestTimeTooSkewed (by -4000 s) (keys"));
}

static void what_can_be_mended_is_told(void **state)
{
    struct objstore_req req = {.op = OBJSTORE_HEAD, .key = "k"};
    struct s3_reply reply = {.http_status = 400, .region = "eu-1"};
    struct s3_asked a = asked();

    (void)state;
    assert_int_equal(s3_answer(&req, &reply, slice_text(""), &a), S3_MEND_REGION);
    assert_string_equal(a.region, "eu-1");
    (void)snprintf(reply.region, sizeof reply.region, "us-east-1"); /* we are there already */
    assert_int_equal(s3_answer(&req, &reply, slice_text(""), &a), S3_MEND_NONE);
    req.op = OBJSTORE_PUT;
    reply.http_status = 307;
    assert_int_equal(s3_answer(&req, &reply, slice_text(""), &a), S3_MEND_NONE);
    assert_int_equal(req.result.class, OBJSTORE_PERMANENT);
    reply = (struct s3_reply){.http_status = 403, .date_s = 5};
    assert_int_equal(
        s3_answer(&req, &reply, slice_text("<Error><Code>RequestTimeTooSkewed</Code></Error>"), &a),
        S3_MEND_CLOCK);
    reply.date_s = 0;
    assert_int_equal(
        s3_answer(&req, &reply, slice_text("<Error><Code>RequestTimeTooSkewed</Code></Error>"), &a),
        S3_MEND_NONE);
    assert_int_equal(req.result.class, OBJSTORE_REFRESHABLE);
}

static void read_line(struct s3_reply *r, const char *line)
{
    s3_reply_line(r, slice_text(line));
}

static void headers_are_read(void **state)
{
    struct s3_reply r = {0};

    (void)state;
    read_line(&r, "HTTP/1.1 100 Continue\r\n");
    read_line(&r, "ETag: \"of another\"\r\n");
    read_line(&r, "HTTP/1.1 206 Partial Content\r\n");
    assert_int_equal(r.http_status, 206);
    assert_string_equal(r.etag, "");
    read_line(&r, "ETAG:  \"e\" \r\n");
    read_line(&r, "content-length: 18446744073709551600\r\n");
    read_line(&r, "Content-Range: bytes 5-9/100\r\n");
    read_line(&r, "Retry-After: 99999999\r\n");
    read_line(&r, "Date: Fri, 24 May 2013 00:00:00 GMT\r\n");
    read_line(&r, "X-Amz-Request-Id: 17\r\n");
    read_line(&r, "Transfer-Encoding: Chunked\r\n");
    read_line(&r, "\r\n");
    assert_string_equal(r.etag, "\"e\"");
    assert_true(r.has_length && r.has_range && r.is_chunked);
    assert_true(r.range_first == 5 && r.range_last == 9 && r.range_total == 100);
    assert_int_equal(r.retry_after_ms, 3600 * 1000);
    assert_int_equal(r.date_s, 1369353600);
    assert_string_equal(r.request_id, "17");
}

/* A date is told by the clock that the answer has beside it, or else by ours. */
static void a_wish_may_be_a_date(void **state)
{
    struct s3_reply r = {0};

    (void)state;
    read_line(&r, "Retry-After: Fri, 24 May 2013 00:01:00 GMT\r\n");
    assert_int_equal(s3_reply_wish_ms(&r, 1369353600 + 50), 10 * 1000);
    assert_int_equal(s3_reply_wish_ms(&r, 1369353600 + 60), 0);
    assert_int_equal(s3_reply_wish_ms(&r, 2000000000), 0);
    assert_int_equal(s3_reply_wish_ms(&r, 0), 3600 * 1000);
    read_line(&r, "Date: Fri, 24 May 2013 00:00:00 GMT\r\n");
    assert_int_equal(s3_reply_wish_ms(&r, 2000000000), 60 * 1000);
    read_line(&r, "Date: Fri, 24 May 2019 00:00:00 GMT\r\n");
    assert_int_equal(s3_reply_wish_ms(&r, 0), 0);
}

static void headers_that_are_none_are_passed_over(void **state)
{
    static const char *const lines[] = {"Content-Length: -1",
                                        "Content-Length: 1 2",
                                        "Content-Length:",
                                        "Content-Length: 99999999999999999999",
                                        "Content-Range: bytes 5-4/9",
                                        "Content-Range: bytes 5-9/9",
                                        "Content-Range: bytes */9",
                                        "Content-Range: lines 1-2/9",
                                        "Content-Range: bytes 1/2-3",
                                        "Retry-After: -5",
                                        "Retry-After: soon",
                                        "Retry-After: 1.5",
                                        "x-amz-checksum-crc32c: AAAAAA==-2",
                                        "x-amz-checksum-crc32c: AAA",
                                        "Content-Encoding: identity",
                                        "Date: yesterday",
                                        "ETag: \x01\"e\"",
                                        "ETag",
                                        ": x",
                                        "ETag: \xff"};
    struct s3_reply none = {0};
    char *longest = malloc(2000);
    struct s3_reply r = {0};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(lines); i++)
        read_line(&r, lines[i]);
    memset(longest, 'x', 2000);
    memcpy(longest, "etag: ", 6);
    s3_reply_line(&r, slice_make(longest, 2000));
    s3_reply_line(&r, slice_make("etag: a\0b", 9));
    assert_memory_equal(&r, &none, sizeof r);
    free(longest);
}

static struct s3_target target_of(const char *endpoint, const char *bucket, const char *region,
                                  enum objstore_addressing addressing)
{
    struct objstore_options options = {.region = region, .addressing = addressing};
    struct objstore_url url = {.kind = endpoint == NULL ? OBJSTORE_URL_S3 : OBJSTORE_URL_HTTP};
    static struct credentials none;
    struct s3_target t;
    struct err err;

    (void)snprintf(url.bucket, sizeof url.bucket, "%s", bucket);
    if (endpoint != NULL)
        (void)snprintf(url.endpoint, sizeof url.endpoint, "%s", endpoint);
    assert_int_equal(s3_target_make(&options, &url, &none, &t, &err), ST_OK);
    return t;
}

static void the_bucket_stands_where_the_store_expects_it(void **state)
{
    static const struct {
        const char *endpoint, *bucket, *region;
        enum objstore_addressing addressing;
        const char *host;
        bool in_host;
    } cases[] = {
        {NULL, "abc", NULL, OBJSTORE_ADDRESS_AUTO, "abc.s3.us-east-1.amazonaws.com", true},
        {NULL, "abc", "eu-1", OBJSTORE_ADDRESS_AUTO, "abc.s3.eu-1.amazonaws.com", true},
        {NULL, "abc", "cn-n-1", OBJSTORE_ADDRESS_AUTO, "abc.s3.cn-n-1.amazonaws.com.cn", true},
        {NULL, "a.b", "eu-1", OBJSTORE_ADDRESS_AUTO, "s3.eu-1.amazonaws.com", false},
        {NULL, "abc", "eu-1", OBJSTORE_ADDRESS_PATH, "s3.eu-1.amazonaws.com", false},
        {"http://127.0.0.1:9000", "abc", NULL, OBJSTORE_ADDRESS_AUTO, "127.0.0.1:9000", false},
        {"http://127.0.0.1:9000", "abc", NULL, OBJSTORE_ADDRESS_VIRTUAL, "127.0.0.1:9000", false},
        {"http://[::1]:9000", "abc", NULL, OBJSTORE_ADDRESS_VIRTUAL, "[::1]:9000", false},
        {"http://minio:80", "abc", NULL, OBJSTORE_ADDRESS_AUTO, "minio", false},
        {"https://minio:443", "abc", NULL, OBJSTORE_ADDRESS_VIRTUAL, "abc.minio", true},
        {"https://minio:80", "abc", NULL, OBJSTORE_ADDRESS_VIRTUAL, "abc.minio:80", true},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct s3_target t =
            target_of(cases[i].endpoint, cases[i].bucket, cases[i].region, cases[i].addressing);

        assert_string_equal(t.host, cases[i].host);
        assert_int_equal(t.virtual_host, cases[i].in_host);
    }
}

/* AWS follows the region; an endpoint of one's own stays where it is. */
static void a_region_moves_the_host_of_aws_alone(void **state)
{
    struct s3_target aws = target_of(NULL, "abc", NULL, OBJSTORE_ADDRESS_AUTO);
    struct s3_target own = target_of("http://h", "abc", NULL, OBJSTORE_ADDRESS_AUTO);

    (void)state;
    assert_true(s3_target_set_region(&aws, "eu-2"));
    assert_string_equal(aws.host, "abc.s3.eu-2.amazonaws.com");
    assert_true(s3_target_set_region(&own, "eu-2"));
    assert_string_equal(own.host, "h");
    assert_string_equal(own.region, "eu-2");
    assert_false(s3_target_set_region(&aws, "evil.example/"));
    assert_false(s3_target_set_region(&aws, ""));
    assert_string_equal(aws.host, "abc.s3.eu-2.amazonaws.com");
}

static const struct credentials KEYS = {.found = true, .access = "AK", .secret = "S3CRET"};

static const char *header_of(const struct s3_wire *w, const char *name)
{
    for (size_t i = 0; i < w->header_count; i++)
        if (strcmp(w->headers[i].name, name) == 0)
            return w->headers[i].value;
    return NULL;
}

/* Over TLS the body goes unsigned, with its checksum for the store to compare. */
static void bodies_are_signed_or_checked(void **state)
{
    struct s3_target t = target_of("https://h", "abc", NULL, OBJSTORE_ADDRESS_VIRTUAL);
    struct objstore_req req = {.op = OBJSTORE_PUT, .key = "k", .body = slice_text("123456789")};
    struct s3_wire w;

    (void)state;
    s3_wire_init(&w);
    assert_int_equal(s3_wire_make(&w, &req, &t, &KEYS, 0, NULL), ST_OK);
    assert_string_equal((const char *)w.url.data, "https://abc.h/k");
    assert_string_equal(header_of(&w, "x-amz-content-sha256"), "UNSIGNED-PAYLOAD");
    assert_string_equal(header_of(&w, "x-amz-checksum-crc32c"), "4waSgw=="); /* e3069283 */
    assert_non_null(strstr((const char *)w.authorization.data, "x-amz-checksum-crc32c"));
    t.tls = false;
    assert_int_equal(s3_wire_make(&w, &req, &t, &KEYS, 0, NULL), ST_OK);
    assert_string_equal(header_of(&w, "x-amz-content-sha256"),
                        "15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225");
    assert_null(header_of(&w, "x-amz-checksum-crc32c"));
    t.tls = true;
    req.op = OBJSTORE_UPLOAD_PART;
    req.upload_id = "u/1";
    req.part_number = 3;
    assert_int_equal(s3_wire_make(&w, &req, &t, &KEYS, 0, NULL), ST_OK);
    assert_string_equal((const char *)w.url.data, "https://abc.h/k?partNumber=3&uploadId=u%2F1");
    assert_null(header_of(&w, "x-amz-checksum-crc32c"));
    req = (struct objstore_req){.op = OBJSTORE_LIST, .key = "a/"};
    assert_int_equal(s3_wire_make(&w, &req, &t, &KEYS, 0, NULL), ST_OK);
    assert_string_equal((const char *)w.url.data,
                        "https://abc.h/?encoding-type=url&list-type=2&max-keys=1000&prefix=a%2F");
    s3_wire_fini(&w);
}

static status make_once(void *arg)
{
    const struct objstore_part parts[] = {{1, "\"a\""}, {2, "\"b\""}};
    struct objstore_req req = {.op = OBJSTORE_UPLOAD_COMPLETE,
                               .key = "k",
                               .upload_id = "u",
                               .parts = parts,
                               .part_count = 2};
    struct s3_wire w;
    status st;

    (void)arg;
    s3_wire_init(&w);
    st = s3_wire_make(&w, &req, &TARGET, &KEYS, 0, NULL);
    s3_wire_fini(&w);
    return st;
}

static status open_once(void *arg)
{
    struct objstore_options options = {
        .url = "http://127.0.0.1:1/bucket/prefix", .env = arg, .connections_max = {1, 1, 1}};
    struct objstore *s = NULL;
    status st = objstore_open(&options, &s, NULL);

    objstore_close(s);
    return st;
}

static void each_allocation_may_fail(void **state)
{
    char *env[] = {(char *)"AWS_ACCESS_KEY_ID=a", (char *)"AWS_SECRET_ACCESS_KEY=b", NULL};

    (void)state;
    assert_true(alloc_sweep(make_once, NULL) > 5);
    assert_true(alloc_sweep(open_once, env) > 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_answer_comes_to_its_class),
        cmocka_unit_test(a_full_disk_is_found_in_the_words),
        cmocka_unit_test(texts_say_what_to_do),
        cmocka_unit_test(what_can_be_mended_is_told),
        cmocka_unit_test(headers_are_read),
        cmocka_unit_test(a_wish_may_be_a_date),
        cmocka_unit_test(headers_that_are_none_are_passed_over),
        cmocka_unit_test(the_bucket_stands_where_the_store_expects_it),
        cmocka_unit_test(a_region_moves_the_host_of_aws_alone),
        cmocka_unit_test(bodies_are_signed_or_checked),
        cmocka_unit_test(each_allocation_may_fail),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
