/* An answer of a store: lines of a head, an empty line, a body. The first byte says what was asked.
 * Whatever comes, the result is of a class, has a text a person can act on where it is no success,
 * and a success carries what S3 always says. */
#include "objstore/s3_answer.h"
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>

static const struct s3_target TARGET = {.endpoint = "http://h:9000",
                                        .host = "h:9000",
                                        .region = "us-east-1",
                                        .bucket = "bucket",
                                        .prefix = "p/"};

static struct slice read_head(struct slice text, struct s3_reply *reply)
{
    while (text.bytes > 0) {
        const uint8_t *end = memchr(text.data, '\n', text.bytes);
        size_t line = end == NULL ? text.bytes : (size_t)(end - text.data) + 1;
        bool empty = line == 1 || (line == 2 && text.data[0] == '\r');
        uint8_t *copy = fuzz_copy(text.data, line);

        s3_reply_line(reply, slice_make(copy, line));
        free(copy);
        text = slice_make(text.data + line, text.bytes - line);
        if (empty && reply->http_status >= 200)
            break;
    }
    FUZZ_CHECK(!reply->has_range ||
               (reply->range_first <= reply->range_last && reply->range_last < reply->range_total));
    fuzz_printable(reply->etag);
    fuzz_printable(reply->request_id);
    fuzz_printable(reply->region);
    return text;
}

static void check_result(struct objstore_req *req)
{
    struct objstore_result *r = &req->result;

    FUZZ_CHECK(r->class < OBJSTORE_CLASSES && r->class != OBJSTORE_CANCELLED);
    fuzz_printable(r->s3_code);
    fuzz_printable(r->request_id);
    fuzz_printable(r->etag);
    fuzz_printable(r->upload_id);
    if (r->class != OBJSTORE_OK && r->class != OBJSTORE_NOT_MODIFIED)
        FUZZ_CHECK(fuzz_said(objstore_class_status(r->class), &r->err) != ST_OK);
    else
        FUZZ_CHECK(!r->maybe_applied);
    if (r->class == OBJSTORE_OK && (req->op == OBJSTORE_PUT || req->op == OBJSTORE_UPLOAD_PART))
        FUZZ_CHECK(r->etag[0] != '\0');
    if (r->class == OBJSTORE_OK && req->op == OBJSTORE_UPLOAD_BEGIN)
        FUZZ_CHECK(r->upload_id[0] != '\0');
    if (req->op == OBJSTORE_GET || req->op == OBJSTORE_HEAD || req->op == OBJSTORE_LIST)
        FUZZ_CHECK(!r->maybe_applied);
    objstore_result_fini(r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct s3_reply reply = {0};
    struct s3_asked asked = {.target = &TARGET, .keys_source = "the environment", .now_s = 1000};
    struct objstore_req req = {.key = "k/1", .upload_id = "u", .etag = "\"e\""};
    uint64_t object = 0;
    struct slice body;
    uint8_t *copy;

    if (bytes == 0)
        return 0;
    req.op = (enum objstore_op)(data[0] % OBJSTORE_OPS);
    if (req.op == OBJSTORE_PUT || req.op == OBJSTORE_UPLOAD_COMPLETE)
        req.condition = (enum objstore_condition)(data[0] / 16 % 3);
    else if (req.op == OBJSTORE_GET && data[0] / 16 % 2 == 1)
        req.condition = OBJSTORE_IF_CHANGED;
    else if (req.op == OBJSTORE_GET && data[0] / 16 % 4 == 2)
        req.range_bytes = 100;
    body = read_head(slice_make(data + 1, bytes - 1), &reply);
    copy = fuzz_copy(body.data, body.bytes);
    if (req.op == OBJSTORE_GET && (reply.http_status == 200 || reply.http_status == 206)) {
        if (s3_body_begins(&req, &reply, &asked, &object))
            FUZZ_CHECK(req.result.class == OBJSTORE_OK);
        else
            check_result(&req);
    } else {
        (void)s3_answer(&req, &reply, slice_make(copy, body.bytes), &asked);
        check_result(&req);
        fuzz_printable(asked.region);
    }
    objstore_result_fini(&req.result);
    free(copy);
    return 0;
}
