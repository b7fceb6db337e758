/* One transfer by libcurl: what is told to it, and what its callbacks make of the answer. */
#include "objstore/s3_internal.h"

#include "base/crc32c.h"
#include "base/crypto.h"
#include "objstore/store.h"

#include <inttypes.h>
#include <stdio.h>

enum {
    TEXT_BYTES_MAX = 64 * 1024,          /* of an error; what is longer is none of S3's */
    LISTING_BYTES_MAX = 8 * 1024 * 1024, /* OBJSTORE_LIST_MAX entries with the longest keys */
    EXPECT_BYTES_MIN = 1024 * 1024,      /* from here on the store may say no before the body */
    BUFFER_BYTES = 256 * 1024,
    HEADERS_BYTES_MAX = 256 * 1024, /* of all answers to one request: 100 Continue too */
    CONNECTION_IDLE_S = 25,         /* below what servers close after (MinIO: 30) */
    CONNECTION_LIFE_S = 120,        /* then new addresses of the name get their share */
    ADDRESSES_S = 30,
    AUTHORITIES_S = 300, /* then a file that was exchanged is read again */
};

const struct s3_timings S3_TIMINGS = {.connect_ms = 5000,
                                      .stall_s = 20,
                                      .stall_bytes_s = 1024,
                                      .base_ms = 30000,
                                      .bytes_per_s = 512 * 1024,
                                      .completion_ms = 300000};

status s3_call_init(struct s3_call *call, struct err *err)
{
    memset(call, 0, sizeof *call);
    s3_wire_init(&call->wire);
    buf_init(&call->text, LISTING_BYTES_MAX);
    call->easy = curl_easy_init();
    if (call->easy == NULL)
        return err_set(err, ST_NOMEM, "no memory for a connection");
    return ST_OK;
}

void s3_call_fini(struct s3_call *call)
{
    s3_call_reset(call);
    s3_wire_fini(&call->wire);
    buf_free(&call->text);
    curl_easy_cleanup(call->easy);
}

void s3_call_reset(struct s3_call *call)
{
    call->req = NULL;
    call->mended = 0;
    curl_slist_free_all(call->headers);
    call->headers = NULL;
    /* Megabytes of a listing or a completion are not kept for the small ones that follow. */
    if (call->text.capacity > TEXT_BYTES_MAX)
        buf_free(&call->text);
    if (call->wire.body.capacity > TEXT_BYTES_MAX)
        buf_free(&call->wire.body);
}

static bool is_object(const struct s3_call *call)
{
    return call->req->op == OBJSTORE_GET &&
           (call->reply.http_status == 200 || call->reply.http_status == 206);
}

static bool object_begins(struct s3_call *call)
{
    struct objstore_req *req = call->req;
    size_t bytes_max = req->bytes_max == 0 ? OBJSTORE_OBJECT_BYTES_MAX : req->bytes_max;

    call->began = true;
    if (!s3_body_begins(req, &call->reply, &call->asked, &call->expected)) {
        call->refused = true;
        return false;
    }
    if (call->expected != UINT64_MAX)
        bytes_max = (size_t)call->expected;
    buf_init(&req->result.body, bytes_max);
    if (call->expected != UINT64_MAX && !buf_reserve(&req->result.body, bytes_max)) {
        call->no_memory = true;
        return false;
    }
    return true;
}

static bool take_text(struct s3_call *call, const char *data, size_t bytes)
{
    bool listing = call->req->op == OBJSTORE_LIST && call->reply.http_status == 200;
    size_t bytes_max = listing ? LISTING_BYTES_MAX : TEXT_BYTES_MAX;

    if (bytes > bytes_max - call->text.bytes) {
        call->too_long = true;
        return false;
    }
    buf_put(&call->text, data, bytes);
    call->no_memory = call->text.failed;
    return !call->text.failed;
}

static bool is_compared(const struct s3_call *call)
{
    return call->reply.crc32c[0] != '\0' && !s3_wants_range(call->req);
}

/* Looked at with the last byte, so that a damaged object takes its connection with it. */
static bool is_damaged(struct s3_call *call)
{
    uint8_t bytes[4];
    char text[S3_CRC_TEXT_BYTES];

    if (!is_compared(call))
        return false;
    for (int i = 0; i < 4; i++)
        bytes[i] = (uint8_t)(call->crc >> (24 - 8 * i));
    crypto_base64(bytes, sizeof bytes, text);
    return strcmp(text, call->reply.crc32c) != 0;
}

static size_t on_body(char *data, size_t one, size_t count, void *arg)
{
    struct s3_call *call = arg;
    size_t bytes = one * count;
    struct buf *body = &call->req->result.body;

    call->headers_ended = true;
    if (!is_object(call))
        return take_text(call, data, bytes) ? bytes : 0;
    if (!call->began && !object_begins(call))
        return 0;
    buf_put(body, data, bytes);
    call->too_long = body->failed && body->over;
    call->no_memory = body->failed && !body->over;
    if (is_compared(call))
        call->crc = crc32c(call->crc, data, bytes);
    call->damaged = !body->failed && body->bytes == call->expected && is_damaged(call);
    return body->failed || call->damaged ? 0 : bytes;
}

static size_t on_header(char *data, size_t one, size_t count, void *arg)
{
    struct s3_call *call = arg;

    call->header_bytes += one * count;
    if (call->header_bytes > HEADERS_BYTES_MAX)
        return 0;
    if (!call->headers_ended) /* trailers come here too: who believes them can be told anything */
        s3_reply_line(&call->reply, slice_make(data, one * count));
    return one * count;
}

/* There is no way back: a body that was sent is not sent again behind our back, since a store may
 * have acted on the first. */
static size_t on_send(char *out, size_t one, size_t count, void *arg)
{
    struct s3_call *call = arg;
    size_t left = call->wire.sends.bytes - call->sent;
    size_t bytes = left < one * count ? left : one * count;

    if (bytes > 0)
        memcpy(out, call->wire.sends.data + call->sent, bytes);
    call->sent += bytes;
    return bytes;
}

static bool add_header(struct s3_call *call, const char *name, const char *value)
{
    struct buf line;
    struct curl_slist *longer = NULL;

    buf_init(&line, 32 * 1024);
    buf_put_text(&line, name);
    buf_put_text(&line, value[0] == '\0' ? ":" : ": ");
    buf_put_text(&line, value);
    buf_put_u8(&line, 0);
    if (!line.failed)
        longer = curl_slist_append(call->headers, (const char *)line.data);
    if (longer != NULL)
        call->headers = longer;
    buf_free(&line);
    return longer != NULL;
}

static bool make_headers(struct s3_call *call)
{
    const struct s3_wire *w = &call->wire;
    bool ok = add_header(call, "Authorization", (const char *)w->authorization.data);

    for (size_t i = 0; ok && i < w->header_count; i++)
        ok = add_header(call, w->headers[i].name, w->headers[i].value);
    /* An empty value takes away what curl would add. */
    ok = ok && add_header(call, "Accept", "");
    return ok && (w->sends.bytes >= EXPECT_BYTES_MIN || add_header(call, "Expect", ""));
}

static long timeout_of(const struct objstore_req *req, const struct s3_timings *t)
{
    uint64_t bytes = req->body.bytes;

    if (req->timeout_ms != 0)
        return req->timeout_ms < INT32_MAX ? (long)req->timeout_ms : (long)INT32_MAX;
    if (req->op == OBJSTORE_UPLOAD_COMPLETE)
        return (long)t->completion_ms;
    if (req->op == OBJSTORE_GET) {
        uint64_t bytes_max = req->bytes_max == 0 ? OBJSTORE_OBJECT_BYTES_MAX : req->bytes_max;

        bytes =
            req->range_bytes != 0 && req->range_bytes < bytes_max ? req->range_bytes : bytes_max;
    }
    bytes = bytes / t->bytes_per_s * 1000;
    return bytes < INT32_MAX - t->base_ms ? (long)(t->base_ms + bytes) : (long)INT32_MAX;
}

static bool is_loopback(const char *host)
{
    return strncmp(host, "127.", 4) == 0 || strncmp(host, "localhost", 9) == 0 ||
           strncmp(host, "[::1]", 5) == 0;
}

#define SET(option, value) ok = ok && curl_easy_setopt(call->easy, option, value) == CURLE_OK

static bool set_transport(struct s3_call *call, const struct s3_timings *t, const char *ca_file)
{
    bool ok = true;

    SET(CURLOPT_NOSIGNAL, 1L);
    SET(CURLOPT_PROTOCOLS_STR, "http,https");
    SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    SET(CURLOPT_FOLLOWLOCATION, 0L);
    SET(CURLOPT_PATH_AS_IS, 1L);
    SET(CURLOPT_TCP_KEEPALIVE, 1L);
    SET(CURLOPT_DNS_SHUFFLE_ADDRESSES, 1L);
    SET(CURLOPT_DNS_CACHE_TIMEOUT, (long)ADDRESSES_S);
    SET(CURLOPT_MAXAGE_CONN, (long)CONNECTION_IDLE_S);
    SET(CURLOPT_MAXLIFETIME_CONN, (long)CONNECTION_LIFE_S);
    SET(CURLOPT_BUFFERSIZE, (long)BUFFER_BYTES);
    SET(CURLOPT_UPLOAD_BUFFERSIZE, (long)BUFFER_BYTES);
    SET(CURLOPT_USERAGENT, "tiervec/" TIERVEC_VERSION);
    SET(CURLOPT_CONNECTTIMEOUT_MS, (long)t->connect_ms);
    SET(CURLOPT_TIMEOUT_MS, timeout_of(call->req, t));
    if (call->req->op != OBJSTORE_UPLOAD_COMPLETE) {
        SET(CURLOPT_LOW_SPEED_LIMIT, (long)t->stall_bytes_s);
        SET(CURLOPT_LOW_SPEED_TIME, (long)t->stall_s);
    }
    if (is_loopback(call->asked.target->host)) /* no proxy can get there */
        SET(CURLOPT_PROXY, "");
    SET(CURLOPT_CA_CACHE_TIMEOUT, (long)AUTHORITIES_S);
    if (ca_file != NULL && ca_file[0] != '\0')
        SET(CURLOPT_CAINFO, ca_file);
    return ok;
}

static bool set_request(struct s3_call *call)
{
    const struct s3_wire *w = &call->wire;
    bool sends = strcmp(w->method, "PUT") == 0 || strcmp(w->method, "POST") == 0;
    bool ok = make_headers(call);

    SET(CURLOPT_URL, (const char *)w->url.data);
    if (strcmp(w->method, "HEAD") == 0)
        SET(CURLOPT_NOBODY, 1L);
    else if (sends)
        SET(CURLOPT_UPLOAD, 1L);
    SET(CURLOPT_CUSTOMREQUEST, w->method);
    if (sends)
        SET(CURLOPT_INFILESIZE_LARGE, (curl_off_t)w->sends.bytes);
    /* On a kept connection that turns out to be closed curl sends again what has no body; of a
     * condition the second answer would be about the first effect. */
    if ((call->req->condition != OBJSTORE_ALWAYS && sends && w->sends.bytes == 0) ||
        call->req->fresh_connection || (call->mended & 1u << S3_MEND_BYTES) != 0)
        SET(CURLOPT_FRESH_CONNECT, 1L);
    SET(CURLOPT_HTTPHEADER, call->headers);
    SET(CURLOPT_READFUNCTION, on_send);
    SET(CURLOPT_READDATA, call);
    SET(CURLOPT_WRITEFUNCTION, on_body);
    SET(CURLOPT_WRITEDATA, call);
    SET(CURLOPT_HEADERFUNCTION, on_header);
    SET(CURLOPT_HEADERDATA, call);
    SET(CURLOPT_ERRORBUFFER, call->words);
    SET(CURLOPT_PRIVATE, call);
    return ok;
}

static void forget_answer(struct s3_call *call)
{
    memset(&call->reply, 0, sizeof call->reply);
    buf_reset(&call->text);
    call->sent = 0;
    call->expected = UINT64_MAX;
    call->header_bytes = 0;
    call->crc = 0;
    call->headers_ended = call->damaged = false;
    call->began = call->refused = call->too_long = call->no_memory = false;
    call->words[0] = '\0';
    curl_slist_free_all(call->headers);
    call->headers = NULL;
}

bool s3_call_prepare(struct s3_call *call, const struct credentials *keys,
                     const struct s3_timings *timings, const char *ca_file)
{
    struct objstore_req *req = call->req;
    struct err why = {0};

    call->asked.ca_file = ca_file;
    forget_answer(call);
    if (!keys->found) {
        if (keys->ended)
            objstore_answer(req, OBJSTORE_REFRESHABLE, 0, "", "%s", keys->source);
        else
            objstore_answer(req, OBJSTORE_PERMANENT, 0, "", "no credentials; looked in %s",
                            keys->source);
        return false;
    }
    curl_easy_reset(call->easy);
    if (s3_wire_make(&call->wire, req, call->asked.target, keys, call->asked.now_s, &why) !=
            ST_OK ||
        !set_transport(call, timings, ca_file) || !set_request(call)) {
        s3_answer_broken(req, S3_BREAK_MEMORY, why.text[0] != '\0' ? why.text : "libcurl", false,
                         &call->asked);
        return false;
    }
    return true;
}

static bool was_sent(struct s3_call *call)
{
    long bytes = 0;

    (void)curl_easy_getinfo(call->easy, CURLINFO_REQUEST_SIZE, &bytes);
    return bytes > 0;
}

/* Why a certificate was refused: OpenSSL's numbers (x509_vfy.h), which curl passes on; 1 is what it
 * says before it has one. */
static enum s3_break refusal_of(struct s3_call *call, CURLcode code)
{
    enum { FINE = 0, UNSPECIFIED = 1, NOT_YET_VALID = 9, HAS_EXPIRED = 10 };
    long verified = UNSPECIFIED;

    if (code == CURLE_SSL_CACERT_BADFILE || code == CURLE_SSL_CERTPROBLEM)
        return S3_BREAK_CA_FILE;
    (void)curl_easy_getinfo(call->easy, CURLINFO_SSL_VERIFYRESULT, &verified);
    if (verified == NOT_YET_VALID || verified == HAS_EXPIRED)
        return S3_BREAK_EXPIRED;
    return verified == FINE || verified == UNSPECIFIED ? S3_BREAK_NAME : S3_BREAK_TRUST;
}

static enum s3_break break_of(struct s3_call *call, CURLcode code, bool sent)
{
    /* Of the hundred codes those that are not simply a transfer that ended early. */
    if (code == CURLE_COULDNT_RESOLVE_HOST || code == CURLE_COULDNT_RESOLVE_PROXY ||
        code == CURLE_COULDNT_CONNECT || code == CURLE_SSL_CONNECT_ERROR)
        return S3_BREAK_CONNECT;
    if (code == CURLE_PEER_FAILED_VERIFICATION || code == CURLE_SSL_CACERT_BADFILE ||
        code == CURLE_SSL_ISSUER_ERROR || code == CURLE_SSL_CERTPROBLEM)
        return refusal_of(call, code);
    /* The second, once something was sent: what answers does not speak HTTP. */
    if (code == CURLE_URL_MALFORMAT || (code == CURLE_UNSUPPORTED_PROTOCOL && !sent))
        return S3_BREAK_ADDRESS;
    if (code == CURLE_OPERATION_TIMEDOUT)
        return S3_BREAK_TIMEOUT;
    return code == CURLE_OUT_OF_MEMORY ? S3_BREAK_MEMORY : S3_BREAK_CUT;
}

static void end_broken(struct s3_call *call, CURLcode code)
{
    const char *words = call->words[0] != '\0' ? call->words : curl_easy_strerror(code);

    if (call->no_memory)
        s3_answer_broken(call->req, S3_BREAK_MEMORY, "for the answer", true, &call->asked);
    else if (call->too_long && is_object(call))
        objstore_answer(call->req, OBJSTORE_INTEGRITY, call->reply.http_status, "",
                        "an object that goes on beyond the %zu bytes that were expected",
                        call->req->result.body.bytes_max);
    else
        s3_answer_broken(call->req, break_of(call, code, was_sent(call)), words, was_sent(call),
                         &call->asked);
}

/* The whole answer came; an object's length is right too. */
static bool is_whole(struct s3_call *call)
{
    if (!is_object(call))
        return true;
    if (!call->began && !object_begins(call))
        return false;
    if (call->expected != UINT64_MAX && call->req->result.body.bytes != call->expected) {
        s3_answer_broken(call->req, S3_BREAK_CUT, "shorter than its range", true, &call->asked);
        return false;
    }
    if (call->expected == UINT64_MAX)
        call->req->result.object_bytes = call->req->result.body.bytes;
    call->damaged = is_damaged(call); /* an empty one, or one whose end was not known */
    return true;
}

static enum s3_mend end(struct s3_call *call, CURLcode code)
{
    bool has_error = call->reply.http_status >= 300;

    if (call->refused)
        return S3_MEND_NONE;
    if (call->damaged)
        return s3_answer_damaged(call->req, &call->reply, &call->asked);
    /* An error document that is too long or was cut short: its status says enough. */
    if (code != CURLE_OK && (!has_error || call->no_memory)) {
        end_broken(call, code);
        return S3_MEND_NONE;
    }
    if (code == CURLE_OK && !is_whole(call)) {
        if (call->no_memory)
            end_broken(call, code);
        return S3_MEND_NONE;
    }
    if (call->damaged)
        return s3_answer_damaged(call->req, &call->reply, &call->asked);
    return s3_answer(call->req, &call->reply, buf_slice(&call->text), &call->asked);
}

static void count_bytes(struct s3_call *call)
{
    struct objstore_result *r = &call->req->result;
    curl_off_t sent = 0;
    curl_off_t received = 0;

    (void)curl_easy_getinfo(call->easy, CURLINFO_SIZE_UPLOAD_T, &sent);
    (void)curl_easy_getinfo(call->easy, CURLINFO_SIZE_DOWNLOAD_T, &received);
    r->sent_bytes = sent > 0 ? (uint64_t)sent : 0;
    r->received_bytes = received > 0 ? (uint64_t)received : 0;
}

enum s3_mend s3_call_end(struct s3_call *call, CURLcode code)
{
    struct objstore_result *r = &call->req->result;
    enum s3_mend mend = end(call, code);

    count_bytes(call);
    r->http_status = call->reply.http_status;
    memcpy(r->server, call->reply.server, sizeof r->server);
    r->date_ns = (uint64_t)call->reply.date_s * UINT64_C(1000000000);
    if (r->class != OBJSTORE_OK) {
        buf_free(&r->body);
        r->etag[0] = '\0';
        r->object_bytes = 0;
    }
    return mend;
}

void s3_call_still_refused(struct s3_call *call, struct keys *keys)
{
    struct err *err = &call->req->result.err;
    char before[ERR_TEXT_BYTES];
    char why[ERR_TEXT_BYTES];

    keys_trouble(keys, why);
    memcpy(before, err->text, sizeof before);
    if (why[0] != '\0')
        (void)snprintf(err->text, sizeof err->text, "%.260s; and no others are to be had: %.210s",
                       before, why);
}

void s3_call_cancelled(struct s3_call *call)
{
    struct objstore_req *req = call->req;

    buf_free(&req->result.body);
    objstore_answer(req, OBJSTORE_CANCELLED, call->reply.http_status, "",
                    "cancelled while it was under way");
    req->result.maybe_applied = was_sent(call) && req->op != OBJSTORE_GET &&
                                req->op != OBJSTORE_HEAD && req->op != OBJSTORE_LIST;
    count_bytes(call);
}
