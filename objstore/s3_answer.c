#include "objstore/s3_answer.h"

#include "objstore/s3_request.h"
#include "objstore/s3_xml.h"
#include "objstore/store.h"

#include <inttypes.h>
#include <stdio.h>
#include <strings.h>

static bool is_write(enum objstore_op op)
{
    return op != OBJSTORE_GET && op != OBJSTORE_HEAD && op != OBJSTORE_LIST;
}

/* "http://127.0.0.1:9000 bucket b: " goes in front of each text. */
static void answer(struct objstore_req *req, enum objstore_class c, int http_status,
                   const char *s3_code, const struct s3_asked *asked, const char *format, ...)
    PRINTF_LIKE(6, 7);
static void answer(struct objstore_req *req, enum objstore_class c, int http_status,
                   const char *s3_code, const struct s3_asked *asked, const char *format, ...)
{
    char text[ERR_TEXT_BYTES];
    va_list args;

    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    objstore_answer(req, c, http_status, s3_code, "%.100s bucket %s: %s", asked->target->endpoint,
                    asked->target->bucket, text);
}

/* What S3's own codes mean; what is not listed goes by the HTTP status. */
static const struct code {
    const char *name;
    enum objstore_class class;
    enum s3_mend mend;
    bool undecided; /* a write may have taken effect all the same */
    const char *advice;
} CODES[] = {
    {"AccessDenied", OBJSTORE_PERMANENT, S3_MEND_NONE, false,
     "allow these keys to get, put, delete and list in that bucket"},
    {"AllAccessDisabled", OBJSTORE_PERMANENT, S3_MEND_NONE, false, NULL},
    {"AuthorizationHeaderMalformed", OBJSTORE_REFRESHABLE, S3_MEND_REGION, false,
     "set [storage] s3_region to the bucket's"},
    {"BadDigest", OBJSTORE_INTEGRITY, S3_MEND_NONE, false, NULL},
    {"ConditionalRequestConflict", OBJSTORE_CONFLICT, S3_MEND_NONE, false, NULL},
    {"EntityTooSmall", OBJSTORE_PERMANENT, S3_MEND_NONE, false, NULL},
    {"ExpiredToken", OBJSTORE_REFRESHABLE, S3_MEND_KEYS, false, "give it a fresh session token"},
    {"IncompleteBody", OBJSTORE_TRANSIENT, S3_MEND_NONE, false, NULL},
    {"InsufficientStorage", OBJSTORE_CAPACITY, S3_MEND_NONE, false, "free space in the store"},
    {"InternalError", OBJSTORE_TRANSIENT, S3_MEND_NONE, true, NULL},
    {"InvalidAccessKeyId", OBJSTORE_PERMANENT, S3_MEND_KEYS, false,
     "the store does not know this access key"},
    {"InvalidDigest", OBJSTORE_INTEGRITY, S3_MEND_NONE, false, NULL},
    {"InvalidPart", OBJSTORE_PERMANENT, S3_MEND_NONE, false, NULL},
    {"InvalidPartOrder", OBJSTORE_PERMANENT, S3_MEND_NONE, false, NULL},
    {"InvalidRequest", OBJSTORE_PERMANENT, S3_MEND_NONE, false, NULL},
    {"InvalidToken", OBJSTORE_REFRESHABLE, S3_MEND_KEYS, false, "give it a fresh session token"},
    {"InvalidTokenId", OBJSTORE_REFRESHABLE, S3_MEND_KEYS, false, "give it a fresh session token"},
    {"MalformedXML", OBJSTORE_PERMANENT, S3_MEND_NONE, false, NULL},
    {"NoSuchBucket", OBJSTORE_PERMANENT, S3_MEND_NONE, false,
     "create the bucket, or correct [storage] s3_bucket"},
    {"NoSuchKey", OBJSTORE_NOT_FOUND, S3_MEND_NONE, false, NULL},
    {"NoSuchUpload", OBJSTORE_NOT_FOUND, S3_MEND_NONE, false, NULL},
    {"OperationAborted", OBJSTORE_CONFLICT, S3_MEND_NONE, false, NULL},
    {"PermanentRedirect", OBJSTORE_REFRESHABLE, S3_MEND_REGION, false,
     "set [storage] s3_region to the bucket's"},
    {"PreconditionFailed", OBJSTORE_PRECONDITION, S3_MEND_NONE, false, NULL},
    {"QuotaExceeded", OBJSTORE_CAPACITY, S3_MEND_NONE, false, "free space or raise the quota"},
    {"RequestLimitExceeded", OBJSTORE_THROTTLE, S3_MEND_NONE, false, NULL},
    {"RequestTimeTooSkewed", OBJSTORE_REFRESHABLE, S3_MEND_CLOCK, false,
     "set the clock of this machine"},
    {"RequestTimeout", OBJSTORE_TRANSIENT, S3_MEND_NONE, false, NULL},
    {"ServiceUnavailable", OBJSTORE_THROTTLE, S3_MEND_NONE, false, NULL},
    {"SignatureDoesNotMatch", OBJSTORE_PERMANENT, S3_MEND_NONE, false,
     "the secret key is not the one that belongs to the access key"},
    {"SlowDown", OBJSTORE_THROTTLE, S3_MEND_NONE, false, NULL},
    {"SlowDownRead", OBJSTORE_THROTTLE, S3_MEND_NONE, false, NULL},
    {"SlowDownWrite", OBJSTORE_THROTTLE, S3_MEND_NONE, false, NULL},
    {"StorageFull", OBJSTORE_CAPACITY, S3_MEND_NONE, false, "free space in the store"},
    {"TemporaryRedirect", OBJSTORE_REFRESHABLE, S3_MEND_REGION, false,
     "set [storage] s3_region to the bucket's"},
    {"ThrottlingException", OBJSTORE_THROTTLE, S3_MEND_NONE, false, NULL},
    {"TokenRefreshRequired", OBJSTORE_REFRESHABLE, S3_MEND_KEYS, false,
     "give it a fresh session token"},
    {"TooManyRequests", OBJSTORE_THROTTLE, S3_MEND_NONE, false, NULL},
    {"XAmzContentChecksumMismatch", OBJSTORE_INTEGRITY, S3_MEND_NONE, false, NULL},
    {"XAmzContentSHA256Mismatch", OBJSTORE_INTEGRITY, S3_MEND_NONE, false, NULL},
    {"XMinioAdminBucketQuotaExceeded", OBJSTORE_CAPACITY, S3_MEND_NONE, false,
     "free space or raise the quota"},
    {"XMinioServerNotInitialized", OBJSTORE_TRANSIENT, S3_MEND_NONE, false, NULL},
    {"XMinioStorageFull", OBJSTORE_CAPACITY, S3_MEND_NONE, false, "free space in the store"},
};

static struct code by_status(int http_status, bool has_code)
{
    struct code c = {"", OBJSTORE_PERMANENT, S3_MEND_NONE, false, NULL};

    switch (http_status) {
    case 301:
    case 302:
    case 307:
    case 308:
        c.class = OBJSTORE_REFRESHABLE;
        c.mend = S3_MEND_REGION;
        c.advice = "redirects are not followed: give the endpoint and region it points to";
        break;
    case 404:
        c.advice = has_code ? NULL : "that is no answer of S3: is this the right endpoint?";
        break;
    case 408:
        c.class = OBJSTORE_TRANSIENT;
        break;
    case 412:
        c.class = OBJSTORE_PRECONDITION;
        break;
    case 429:
    case 503:
        c.class = OBJSTORE_THROTTLE;
        c.undecided = http_status == 503 && !has_code; /* by someone in between */
        break;
    case 501:
    case 505:
        break;
    case 507:
        c.class = OBJSTORE_CAPACITY;
        c.advice = "free space in the store";
        break;
    default:
        if (http_status >= 500 || http_status < 300) { /* below: a success that says it is none */
            c.class = OBJSTORE_TRANSIENT;
            c.undecided = true;
        }
    }
    return c;
}

static bool says_full(const char *message)
{
    return strcasestr(message, "no space left") != NULL || strcasestr(message, "disk full") != NULL;
}

static struct code code_of(const struct objstore_req *req, int http_status,
                           const struct s3_error *e)
{
    struct code c = by_status(http_status, e->code[0] != '\0');

    for (size_t i = 0; i < COUNT_OF(CODES); i++)
        if (strcmp(CODES[i].name, e->code) == 0)
            c = CODES[i];
    if (http_status >= 500 && says_full(e->message)) {
        c.class = OBJSTORE_CAPACITY;
        c.advice = "free space in the store";
        c.undecided = true;
    }
    if (http_status == 404 && req->op == OBJSTORE_HEAD) /* has no body to say more */
        c.class = OBJSTORE_NOT_FOUND;
    if (http_status == 409 && req->condition != OBJSTORE_ALWAYS)
        c.class = OBJSTORE_CONFLICT;
    if (c.class == OBJSTORE_PRECONDITION && req->condition == OBJSTORE_ALWAYS)
        c.class = OBJSTORE_PERMANENT;
    return c;
}

/* What is absent means something else to each kind of request. */
static enum objstore_class absent_class(const struct objstore_req *req, const char *code)
{
    bool upload = strcmp(code, "NoSuchUpload") == 0;

    switch (req->op) {
    case OBJSTORE_GET:
    case OBJSTORE_HEAD:
        return upload ? OBJSTORE_PERMANENT : OBJSTORE_NOT_FOUND;
    case OBJSTORE_DELETE:
        return upload ? OBJSTORE_PERMANENT : OBJSTORE_OK;
    case OBJSTORE_UPLOAD_ABORT:
        return OBJSTORE_OK;
    case OBJSTORE_UPLOAD_PART:
        return upload ? OBJSTORE_NOT_FOUND : OBJSTORE_PERMANENT;
    case OBJSTORE_PUT:
    case OBJSTORE_UPLOAD_COMPLETE:
        if (upload)
            return OBJSTORE_NOT_FOUND;
        return req->condition == OBJSTORE_IF_MATCH ? OBJSTORE_PRECONDITION : OBJSTORE_PERMANENT;
    case OBJSTORE_LIST:
    case OBJSTORE_UPLOAD_BEGIN:
    case OBJSTORE_OPS:
        break;
    }
    return OBJSTORE_PERMANENT;
}

static enum s3_mend mend_of(const struct code *c, const struct s3_reply *reply,
                            const struct s3_error *e, struct s3_asked *asked)
{
    const char *region = reply->region[0] != '\0' ? reply->region : e->region;

    switch (c->mend) {
    case S3_MEND_CLOCK:
        return reply->date_s != 0 ? S3_MEND_CLOCK : S3_MEND_NONE;
    case S3_MEND_REGION:
        if (region[0] == '\0' || strcmp(region, asked->target->region) == 0)
            return S3_MEND_NONE;
        (void)snprintf(asked->region, sizeof asked->region, "%s", region);
        return S3_MEND_REGION;
    case S3_MEND_KEYS:
    case S3_MEND_BYTES:
    case S3_MEND_NONE:
        break;
    }
    return c->mend;
}

static enum s3_mend answer_error(struct objstore_req *req, const struct s3_reply *reply,
                                 const struct s3_error *e, struct s3_asked *asked)
{
    struct code c = code_of(req, reply->http_status, e);
    enum s3_mend mend = mend_of(&c, reply, e, asked);
    char skew[64] = "";

    if (c.class == OBJSTORE_NOT_FOUND)
        c.class = absent_class(req, e->code);
    if (c.class == OBJSTORE_REFRESHABLE && c.mend == S3_MEND_REGION && mend == S3_MEND_NONE)
        c.class = OBJSTORE_PERMANENT;
    if (c.class == OBJSTORE_OK) {
        objstore_answer_ok(req, reply->http_status);
        return S3_MEND_NONE;
    }
    /* A HEAD's refusal has no body; the header may tell the region all the same. */
    if (req->op == OBJSTORE_HEAD && (reply->http_status == 400 || reply->http_status == 403) &&
        reply->region[0] != '\0' && strcmp(reply->region, asked->target->region) != 0) {
        c.class = OBJSTORE_REFRESHABLE;
        (void)snprintf(asked->region, sizeof asked->region, "%s", reply->region);
        mend = S3_MEND_REGION;
    }
    if (c.mend == S3_MEND_CLOCK && reply->date_s != 0)
        (void)snprintf(skew, sizeof skew, " (by %" PRId64 " s)", asked->now_s - reply->date_s);
    answer(req, c.class, reply->http_status, e->code, asked, "HTTP %d %s%s%.120s%s%s%.120s%s%s%s%s",
           reply->http_status, e->code, e->message[0] != '\0' ? ": " : "", e->message, skew,
           reply->http_status == 403 ? " (keys from " : "",
           reply->http_status == 403 ? asked->keys_source : "",
           reply->http_status == 403 ? ")" : "", c.advice != NULL ? "; " : "",
           c.advice != NULL ? c.advice : "",
           reply->http_status == 400 && e->code[0] == '\0' ? "; no answer of S3" : "");
    if (req->result.request_id[0] == '\0')
        (void)snprintf(req->result.request_id, sizeof req->result.request_id, "%s", e->request_id);
    req->result.maybe_applied = is_write(req->op) && c.undecided;
    return mend;
}

static bool take_etag(struct objstore_req *req, const struct s3_reply *reply,
                      const struct s3_asked *asked)
{
    if (reply->etag[0] == '\0') {
        answer(req, OBJSTORE_PERMANENT, reply->http_status, "", asked,
               "HTTP %d without an ETag, which S3 always gives: is this the right endpoint?",
               reply->http_status);
        req->result.maybe_applied = is_write(req->op);
        return false;
    }
    memcpy(req->result.etag, reply->etag, sizeof req->result.etag);
    return true;
}

static void answer_xml_fault(struct objstore_req *req, const struct s3_reply *reply, status st,
                             const struct err *why, const struct s3_asked *asked)
{
    /* A document that was damaged or cut in between may be whole the next time. */
    answer(req, OBJSTORE_TRANSIENT, reply->http_status, "", asked, "HTTP %d with %s",
           reply->http_status, st == ST_NOMEM ? "no memory to read it" : why->text);
    req->result.maybe_applied = is_write(req->op);
}

/* A portal or a proxy says 200 to everything, 202 or 203 to what it has made of it. */
static const char PAGE[] = "an HTML page: something else than the store answers; is this the right "
                           "endpoint, and does a proxy stand in between?";

static bool is_success(const struct objstore_req *req, const struct s3_reply *reply)
{
    if (req->op == OBJSTORE_GET)
        return reply->http_status == 200 || reply->http_status == 206;
    return !reply->is_page &&
           (reply->http_status == 200 || reply->http_status == 201 || reply->http_status == 204);
}

static void answer_ok(struct objstore_req *req, const struct s3_reply *reply, struct slice text,
                      const struct s3_asked *asked)
{
    struct objstore_result *r = &req->result;
    struct err why = {0};
    status st = ST_OK;

    if (!is_success(req, reply)) {
        answer(req, OBJSTORE_PERMANENT, reply->http_status, "", asked, "HTTP %d%s%s",
               reply->http_status, reply->is_page ? " and " : ", which S3 does not say to a ",
               reply->is_page ? PAGE : objstore_op_name(req->op));
        req->result.maybe_applied = is_write(req->op);
        return;
    }
    switch (req->op) {
    case OBJSTORE_PUT:
    case OBJSTORE_GET:
    case OBJSTORE_HEAD:
    case OBJSTORE_UPLOAD_PART:
        if (!take_etag(req, reply, asked))
            return;
        if (req->op == OBJSTORE_HEAD)
            r->object_bytes = reply->length;
        break;
    case OBJSTORE_DELETE:
    case OBJSTORE_UPLOAD_ABORT:
        if (text.bytes > 0)
            st = err_set(&why, ST_CORRUPT, "a body, which S3 does not send: is this S3?");
        break;
    case OBJSTORE_LIST:
        st = s3_xml_list(text, asked->target->prefix, r, &why);
        break;
    case OBJSTORE_UPLOAD_BEGIN:
        st = s3_xml_upload_id(text, r->upload_id, &why);
        break;
    case OBJSTORE_UPLOAD_COMPLETE:
        st = s3_xml_complete(text, r->etag, &why);
        if (st == ST_OK && r->etag[0] == '\0')
            memcpy(r->etag, reply->etag, sizeof r->etag);
        break;
    case OBJSTORE_OPS:
        break;
    }
    if (st != ST_OK)
        answer_xml_fault(req, reply, st, &why, asked);
    else
        objstore_answer_ok(req, reply->http_status);
}

enum s3_mend s3_answer(struct objstore_req *req, const struct s3_reply *reply, struct slice text,
                       struct s3_asked *asked)
{
    struct s3_error e;
    bool is_error = s3_xml_error(text, &e);

    req->result.http_status = reply->http_status;
    req->result.retry_after_ms = s3_reply_wish_ms(reply, asked->now_s);
    memcpy(req->result.request_id, reply->request_id, sizeof req->result.request_id);
    if (reply->http_status == 304 && req->condition == OBJSTORE_IF_CHANGED) {
        req->result.class = OBJSTORE_NOT_MODIFIED;
        return S3_MEND_NONE;
    }
    if (reply->http_status < 200 || reply->http_status > 299 ||
        (is_error && req->op != OBJSTORE_GET))
        return answer_error(req, reply, &e, asked);
    answer_ok(req, reply, text, asked);
    return S3_MEND_NONE;
}

static bool range_is_the_one(const struct objstore_req *req, const struct s3_reply *reply)
{
    uint64_t first = req->range_offset;
    uint64_t last = reply->range_total - 1;
    bool to_end = req->range_bytes == 0 || req->range_bytes == OBJSTORE_RANGE_ALL;

    if (req->range_suffix)
        first = req->range_bytes < reply->range_total ? reply->range_total - req->range_bytes : 0;
    else if (!to_end && req->range_bytes - 1 < last - first)
        last = first + req->range_bytes - 1;
    return reply->range_first == first && reply->range_last == last &&
           (!reply->has_length || reply->length == last - first + 1);
}

/* A store may leave the range out where it is the whole object anyway. */
static bool whole_is_the_range(const struct objstore_req *req, const struct s3_reply *reply)
{
    return reply->http_status == 200 && reply->has_length &&
           (req->range_suffix || req->range_offset == 0) && req->range_bytes != 0 &&
           reply->length <= req->range_bytes;
}

static bool refuse_body(struct objstore_req *req, enum objstore_class c,
                        const struct s3_reply *reply, const struct s3_asked *asked,
                        const char *what)
{
    answer(req, c, reply->http_status, "", asked, "HTTP %d, %s", reply->http_status, what);
    memcpy(req->result.request_id, reply->request_id, sizeof req->result.request_id);
    return false;
}

bool s3_body_begins(struct objstore_req *req, const struct s3_reply *reply,
                    const struct s3_asked *asked, uint64_t *bytes)
{
    uint64_t bytes_max = req->bytes_max == 0 ? OBJSTORE_OBJECT_BYTES_MAX : req->bytes_max;
    uint64_t length = reply->has_length ? reply->length : UINT64_MAX;

    req->result.object_bytes = length;
    if (reply->is_page)
        return refuse_body(req, OBJSTORE_PERMANENT, reply, asked, PAGE);
    if (reply->is_encoded)
        return refuse_body(req, OBJSTORE_PERMANENT, reply, asked,
                           "and a Content-Encoding nobody asked for: something in between changes "
                           "objects, go round it");
    if (s3_wants_range(req) && reply->has_range) {
        if (!range_is_the_one(req, reply))
            return refuse_body(req, OBJSTORE_INTEGRITY, reply, asked,
                               "another range than the one asked for");
        length = reply->range_last - reply->range_first + 1;
        req->result.object_bytes = reply->range_total;
    } else if (s3_wants_range(req) && !whole_is_the_range(req, reply)) {
        return refuse_body(req, OBJSTORE_INTEGRITY, reply, asked,
                           "and no range, though one was asked for: a store that ignores ranges "
                           "cannot be used");
    } else if (!s3_wants_range(req) && (reply->http_status == 206 || reply->has_range)) {
        return refuse_body(req, OBJSTORE_INTEGRITY, reply, asked,
                           "a part of the object where all of it was asked for");
    }
    if (length == UINT64_MAX && !reply->is_chunked)
        return refuse_body(req, OBJSTORE_TRANSIENT, reply, asked,
                           "an answer that does not say where it ends");
    if (length != UINT64_MAX && length > bytes_max) {
        answer(req, OBJSTORE_INTEGRITY, reply->http_status, "", asked,
               "%" PRIu64 " bytes where at most %" PRIu64 " were expected", length, bytes_max);
        return false;
    }
    *bytes = length;
    return true;
}

enum s3_mend s3_answer_damaged(struct objstore_req *req, const struct s3_reply *reply,
                               const struct s3_asked *asked)
{
    (void)refuse_body(req, OBJSTORE_INTEGRITY, reply, asked,
                      "and the object's bytes do not have the checksum the store keeps of it");
    return S3_MEND_BYTES;
}

void s3_answer_broken(struct objstore_req *req, enum s3_break how, const char *what, bool sent,
                      const struct s3_asked *asked)
{
    const char *ca =
        asked->ca_file != NULL && asked->ca_file[0] != '\0' ? asked->ca_file : "the system's";
    static const struct {
        enum objstore_class class;
        const char *said;
        bool of_authorities; /* where from matters */
    } breaks[] = {
        [S3_BREAK_CONNECT] = {OBJSTORE_TRANSIENT, "no connection; is the store running, and the "
                                                  "address right?"},
        [S3_BREAK_TRUST] = {OBJSTORE_PERMANENT,
                            "its certificate is not trusted; put its authority's into a file and "
                            "name that in [storage] s3_ca_file or AWS_CA_BUNDLE",
                            true},
        [S3_BREAK_EXPIRED] = {OBJSTORE_PERMANENT,
                              "its certificate has expired or is not valid yet; give the store a "
                              "new one, or set the clock of this machine"},
        [S3_BREAK_NAME] = {OBJSTORE_PERMANENT,
                           "its certificate is for another name; use one that it has as the "
                           "endpoint, or give the store a certificate for this"},
        [S3_BREAK_CA_FILE] = {OBJSTORE_PERMANENT,
                              "the authorities cannot be read; correct [storage] s3_ca_file or "
                              "AWS_CA_BUNDLE",
                              true},
        [S3_BREAK_ADDRESS] = {OBJSTORE_PERMANENT, "the address cannot be used; correct it"},
        [S3_BREAK_TIMEOUT] = {OBJSTORE_TRANSIENT, "no answer in time"},
        [S3_BREAK_CUT] = {OBJSTORE_TRANSIENT, "the answer broke off"},
        [S3_BREAK_MEMORY] = {OBJSTORE_TRANSIENT, "no memory for the request"},
    };

    answer(req, breaks[how].class, req->result.http_status, "", asked, "%s (%.160s%s%.150s)",
           breaks[how].said, what, breaks[how].of_authorities ? "; authorities: " : "",
           breaks[how].of_authorities ? ca : "");
    req->result.maybe_applied = sent && is_write(req->op);
}
