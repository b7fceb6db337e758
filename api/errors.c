#include "api/errors.h"

#include "base/json.h"
#include "base/utf8.h"

#include <assert.h>
#include <stdio.h>

static const struct problem_row ROWS[PROBLEM_COUNT] = {
    [PROBLEM_BAD_HTTP] = {400, "malformed_http", "Malformed HTTP request", false, 0,
                          "check the client or the proxy in front of this server"},
    [PROBLEM_BAD_PATH] = {400, "malformed_path", "Malformed path or query", false, 0,
                          "percent-encode what is not a letter, a digit or one of -._~"},
    [PROBLEM_NO_ROUTE] = {404, "no_such_route", "No such route", false, 0,
                          "docs/api.md lists the routes"},
    [PROBLEM_METHOD] = {405, "method_not_allowed", "Method not allowed", false, 0,
                        "the Allow header lists the methods of this path"},
    [PROBLEM_SLOW_REQUEST] = {408, "request_timeout", "Request came too slowly", true, 0,
                              "send the whole request within [server] timeout_seconds"},
    [PROBLEM_BODY_TOO_LARGE] = {413, "body_too_large", "Body too large", false, 0,
                                "send fewer documents a request, or raise [server] max_body_bytes"},
    [PROBLEM_TARGET_TOO_LONG] = {414, "target_too_long", "Request line too long", false, 0,
                                 "shorten the path and the query"},
    [PROBLEM_CONTENT_ENCODING] = {415, "content_encoding", "Content-Encoding not supported", false,
                                  0, "send the body as it is, without compression"},
    [PROBLEM_EXPECT] = {417, "expectation_failed", "Expectation failed", false, 0,
                        "send no Expect header, or Expect: 100-continue"},
    [PROBLEM_HEAD_TOO_LARGE] = {431, "head_too_large", "Request head too large", false, 0,
                                "send fewer or shorter headers"},
    [PROBLEM_TOO_MANY_CONNECTIONS] = {503, "too_many_connections", "Too many connections", true, 1,
                                      "keep connections and use them again, or raise [server] "
                                      "max_connections"},
    [PROBLEM_BODIES_FULL] = {503, "bodies_full", "Too many request bytes under way", true, 1,
                             "send fewer large requests at the same time"},
    [PROBLEM_REPLIES_FULL] = {503, "answers_full", "Too many answer bytes under way", true, 1,
                              "read answers faster, or ask for fewer large ones at the same time"},

    [PROBLEM_BAD_JSON] = {400, "malformed_json", "Malformed JSON", false, 0,
                          "the body must be one JSON object in UTF-8"},
    [PROBLEM_INVALID] = {400, "invalid_request", "Invalid request", false, 0,
                         "correct what detail names; sending the same again cannot help"},
    [PROBLEM_UNKNOWN_MEMBER] = {400, "unknown_member", "Unknown member", false, 0,
                                "docs/api.md lists the members of each request"},
    [PROBLEM_UNKNOWN_PARAMETER] = {400, "unknown_parameter", "Unknown query parameter", false, 0,
                                   "docs/api.md lists the query parameters of each route"},
    [PROBLEM_NOT_SUPPORTED] = {400, "not_supported_yet", "Not supported by this version", false, 0,
                               "docs/api.md lists what this version has"},
    [PROBLEM_BATCH_TOO_LARGE] = {413, "batch_too_large", "Batch too large", false, 0,
                                 "send fewer at once, or raise [server] max_batch"},
    [PROBLEM_ANSWER_TOO_LARGE] = {400, "answer_too_large", "Answer would be too large", false, 0,
                                  "ask for fewer matches, or without vectors and payloads"},
    [PROBLEM_ZERO_VECTOR] = {422, "zero_vector", "Zero vector", false, 0,
                             "a vector of zeros has no direction and thus no cosine; leave it out, "
                             "or use another metric"},
    [PROBLEM_NO_COLLECTION] = {404, "collection_not_found", "No such collection", false, 0,
                               "GET /api/v1/collections lists them; POST there creates one"},
    [PROBLEM_NO_DOCUMENT] = {404, "document_not_found", "No such document", false, 0,
                             "GET /api/v1/collections/{id}/docs lists what is there"},
    [PROBLEM_METRICS_OFF] = {404, "metrics_disabled", "Metrics are switched off", false, 0,
                             "set [features] metrics_enabled = true"},

    [PROBLEM_NO_LETTER] = {404, "letter_not_found", "No such dead letter", false, 0,
                           "GET /admin/collections/{id}/dlq lists them; a letter leaves when what "
                           "it stands for is stored"},
    [PROBLEM_CONFIRM] = {409, "confirm_needed", "The range must be repeated", false, 0,
                         "what goes is not in the bucket: repeat `confirm` of this answer to "
                         "discard exactly that"},

    [PROBLEM_KEY_BUSY] = {409, "idempotency_key_busy", "The first request is under way", true, 1,
                          "wait as long as Retry-After says, then send it again with the same key"},
    [PROBLEM_KEY_REUSED] = {422, "idempotency_key_reused", "The key came with another request",
                            false, 0, "a key stands for one request: make a new one for another"},

    [PROBLEM_NOT_OWNER] = {409, "not_owner", "Another node owns the collection", false, 0,
                           "send it to the owner, or, if that is gone for good, POST "
                           "/admin/collections/{id}/take-ownership here"},
    [PROBLEM_NOT_RESTORABLE] = {409, "not_restorable", "Not restorable yet", false, 0,
                                "the base of the collection is still on its way to the bucket; GET "
                                "/api/v1/collections/{id}/tier says when it is there"},
    [PROBLEM_STORE_UNAVAILABLE] = {503, "store_unavailable", "The bucket does not answer", true, 5,
                                   "nothing was done; try again later: GET /admin/health says "
                                   "whether something is wrong with the bucket"},
    [PROBLEM_STORE_REFUSED] = {409, "store_refused", "Nothing is written to this bucket", false, 0,
                               "nothing was done; `tiervec probe` says what the store does, and "
                               "docs/bucket.md what can be done"},
    [PROBLEM_BACKPRESSURE] = {429, "backpressure", "Writes wait for the bucket", true, 5,
                              "too much waits for the bucket; GET /admin/health says why it is "
                              "behind"},
    [PROBLEM_UNSHIPPED_FULL] = {507, "unshipped_full", "Too much waits for the bucket", true, 0,
                                "nothing was written; mend the bucket (GET /admin/health says what "
                                "is wrong) or raise [storage] unshipped_bytes_max"},
    [PROBLEM_DISK_LOW] = {429, "disk_nearly_full", "The disk is nearly full", true, 5,
                          "make room on the disk of the data directory; GET /api/v1/status says "
                          "how much is free"},
    [PROBLEM_LOG_STOPPED] = {503, "log_stopped", "The disk failed, the log takes no writes", true,
                             30,
                             "nothing was written, reads go on; mend the disk that detail names, "
                             "then restart the node"},

    [PROBLEM_NOT_FOUND] = {404, "not_found", "Not found", false, 0,
                           "detail says what was looked for"},
    [PROBLEM_EXISTS] = {409, "already_exists", "Already exists", false, 0,
                        "choose another name, or use what is there"},
    [PROBLEM_CONFLICT] = {409, "conflict", "Conflict", false, 0,
                          "read the present state, then decide again"},
    [PROBLEM_TOO_MANY_REQUESTS] = {429, "too_many_requests", "Too many requests", true, 1,
                                   "wait as long as Retry-After says, then send it again"},
    [PROBLEM_NO_SPACE] = {507, "no_space", "No space left", true, 0,
                          "nothing was written; free disk or memory, delete documents, or raise "
                          "[limits] memory_bytes"},
    [PROBLEM_DENIED] = {403, "denied", "Denied", false, 0,
                        "detail says why; POST /admin/readwrite ends a read-only state that an "
                        "operator set"},
    [PROBLEM_UNAVAILABLE] = {503, "unavailable", "Unavailable for now", true, 1,
                             "nothing was done; try again"},
    [PROBLEM_DEADLINE] = {504, "deadline_exceeded", "Deadline exceeded", true, 0,
                          "ask for less, or allow more with timeout_ms or [server] "
                          "timeout_seconds"},
    [PROBLEM_OUTCOME_UNKNOWN] =
        {503, "write_outcome_unknown", "Outcome of the write is unknown", false, 1,
         "it may or may not be there later: detail says on what it depends; "
         "read it back then, or send it again (a document with its doc_id)"},
    [PROBLEM_NO_MEMORY] = {503, "out_of_memory", "Out of memory for this request", true, 1,
                           "try again, or ask for less at once"},
    [PROBLEM_DRAINING] = {503, "shutting_down", "Shutting down", true, 1,
                          "nothing was done; send it to another node, or after the restart"},
    [PROBLEM_IO] = {500, "io_error", "Local disk failed", false, 0,
                    "see the node's log and GET /admin/health"},
    [PROBLEM_CORRUPT] = {500, "corrupt", "Stored bytes are corrupt", false, 0,
                         "see the node's log and GET /admin/health"},
    [PROBLEM_INTERNAL] = {500, "internal", "Internal error", false, 0,
                          "this is a bug of the server: please report it with the request_id"},
};

const struct problem_row *problem_row(enum problem p)
{
    assert(p < PROBLEM_COUNT);
    return &ROWS[p];
}

enum problem problem_of_status(status st)
{
    switch (st) {
    case ST_INVALID:
        return PROBLEM_INVALID;
    case ST_NOT_FOUND:
        return PROBLEM_NOT_FOUND;
    case ST_EXISTS:
        return PROBLEM_EXISTS;
    case ST_CONFLICT:
        return PROBLEM_CONFLICT;
    case ST_LIMIT:
        return PROBLEM_TOO_MANY_REQUESTS;
    case ST_NOSPACE:
        return PROBLEM_NO_SPACE;
    case ST_DENIED:
        return PROBLEM_DENIED;
    case ST_UNAVAILABLE:
        return PROBLEM_UNAVAILABLE;
    case ST_TIMEOUT:
        return PROBLEM_DEADLINE;
    case ST_UNKNOWN:
        return PROBLEM_OUTCOME_UNKNOWN;
    case ST_IO:
        return PROBLEM_IO;
    case ST_NOMEM:
        return PROBLEM_NO_MEMORY;
    case ST_CORRUPT:
        return PROBLEM_CORRUPT;
    case ST_CLOSED:
        return PROBLEM_DRAINING;
    case ST_UNSUPPORTED:
        return PROBLEM_NOT_SUPPORTED;
    case ST_OK:
    case ST_BUG:
        break;
    }
    return PROBLEM_INTERNAL;
}

enum problem problem_of_http(int http_status)
{
    switch (http_status) {
    case 400:
        return PROBLEM_BAD_HTTP;
    case 413:
        return PROBLEM_BODY_TOO_LARGE;
    case 414:
        return PROBLEM_TARGET_TOO_LONG;
    case 417:
        return PROBLEM_EXPECT;
    case 431:
        return PROBLEM_HEAD_TOO_LARGE;
    case 503:
        return PROBLEM_NO_MEMORY;
    default:
        return PROBLEM_INTERNAL;
    }
}

static void put_member(struct buf *out, const char *name, const char *text)
{
    buf_put_text(out, ",\"");
    buf_put_text(out, name);
    buf_put_text(out, "\":");
    json_put_string(out, slice_text(text));
}

/* It may hold names as a client sent them. */
static void put_detail(struct buf *out, const char *detail)
{
    char shown[2 * ERR_TEXT_BYTES];

    (void)snprintf(shown, sizeof shown, "%s", detail);
    utf8_make_printable(shown);
    put_member(out, "detail", shown);
}

void problem_print(struct buf *out, enum problem p, const char *detail, const char *request_id,
                   const char *members)
{
    const struct problem_row *row = problem_row(p);

    buf_put_text(out, "{\"type\":\"urn:tiervec:problem:");
    buf_put_text(out, row->code);
    buf_put_text(out, "\"");
    put_member(out, "title", row->title);
    buf_put_text(out, ",\"status\":");
    json_put_u64(out, (uint64_t)row->http_status);
    put_detail(out, detail);
    put_member(out, "code", row->code);
    put_member(out, "request_id", request_id);
    buf_put_text(out, row->retryable ? ",\"retryable\":true" : ",\"retryable\":false");
    put_member(out, "hint", row->hint);
    if (members != NULL) {
        buf_put_text(out, ",");
        buf_put_text(out, members);
    }
    buf_put_text(out, "}\n");
}

const char *http_reason(int http_status)
{
    static const struct {
        int http_status;
        const char *reason;
    } reasons[] = {
        {200, "OK"},
        {201, "Created"},
        {202, "Accepted"},
        {400, "Bad Request"},
        {403, "Forbidden"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {408, "Request Timeout"},
        {409, "Conflict"},
        {413, "Content Too Large"},
        {414, "URI Too Long"},
        {415, "Unsupported Media Type"},
        {417, "Expectation Failed"},
        {422, "Unprocessable Content"},
        {429, "Too Many Requests"},
        {431, "Request Header Fields Too Large"},
        {500, "Internal Server Error"},
        {503, "Service Unavailable"},
        {504, "Gateway Timeout"},
        {507, "Insufficient Storage"},
    };

    for (size_t i = 0; i < COUNT_OF(reasons); i++)
        if (reasons[i].http_status == http_status)
            return reasons[i].reason;
    return "Unknown";
}
