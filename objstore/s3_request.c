#include "objstore/s3_request.h"

#include "base/crc32c.h"
#include "objstore/s3_xml.h"

#include <inttypes.h>
#include <stdio.h>

enum {
    URL_BYTES_MAX = 8192,
    TEXTS_BYTES_MAX = 16 * 1024,
    COMPLETION_BYTES_MAX = 8 * 1024 * 1024, /* OBJSTORE_PARTS_MAX parts with long etags */
};

void s3_wire_init(struct s3_wire *w)
{
    memset(w, 0, sizeof *w);
    buf_init(&w->url, URL_BYTES_MAX);
    buf_init(&w->body, COMPLETION_BYTES_MAX);
    buf_init(&w->texts, TEXTS_BYTES_MAX);
    buf_init(&w->authorization, TEXTS_BYTES_MAX);
}

void s3_wire_fini(struct s3_wire *w)
{
    buf_free(&w->url);
    buf_free(&w->body);
    buf_free(&w->texts);
    buf_free(&w->authorization);
}

bool s3_wants_range(const struct objstore_req *req)
{
    bool to_end = req->range_bytes == 0 || req->range_bytes == OBJSTORE_RANGE_ALL;

    return req->op == OBJSTORE_GET && (req->range_suffix || req->range_offset > 0 || !to_end);
}

static const char *method_of(enum objstore_op op)
{
    switch (op) {
    case OBJSTORE_PUT:
    case OBJSTORE_UPLOAD_PART:
        return "PUT";
    case OBJSTORE_HEAD:
        return "HEAD";
    case OBJSTORE_DELETE:
    case OBJSTORE_UPLOAD_ABORT:
        return "DELETE";
    case OBJSTORE_UPLOAD_BEGIN:
    case OBJSTORE_UPLOAD_COMPLETE:
        return "POST";
    case OBJSTORE_GET:
    case OBJSTORE_LIST:
    case OBJSTORE_OPS:
        break;
    }
    return "GET";
}

/* Texts are put into one buffer that may move while it grows: offsets first, pointers at the end.
 */
struct builder {
    struct s3_wire *w;
    size_t name_at[SIGV4_PAIRS_MAX];
    size_t value_at[SIGV4_PAIRS_MAX];
};

static void add(struct builder *b, const char *name, const char *format, ...) PRINTF_LIKE(3, 4);
static void add(struct builder *b, const char *name, const char *format, ...)
{
    struct s3_wire *w = b->w;
    size_t at = w->header_count++;
    int bytes;
    va_list args;

    b->name_at[at] = w->texts.bytes;
    buf_put(&w->texts, name, strlen(name) + 1);
    b->value_at[at] = w->texts.bytes;
    va_start(args, format);
    bytes = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (bytes < 0 || !buf_reserve(&w->texts, (size_t)bytes + 1))
        return;
    va_start(args, format);
    (void)vsnprintf((char *)w->texts.data + w->texts.bytes, (size_t)bytes + 1, format, args);
    va_end(args);
    w->texts.bytes += (size_t)bytes + 1;
}

static void add_range(struct builder *b, const struct objstore_req *req)
{
    bool to_end = req->range_bytes == 0 || req->range_bytes == OBJSTORE_RANGE_ALL;
    uint64_t last = req->range_offset + req->range_bytes - 1;

    if (!s3_wants_range(req))
        return;
    /* Stores read signed numbers, and pass over a range with larger ones. */
    if (req->range_suffix)
        add(b, "range", "bytes=-%" PRIu64,
            req->range_bytes < INT64_MAX ? req->range_bytes : (uint64_t)INT64_MAX);
    else if (to_end || last < req->range_offset || last > INT64_MAX)
        add(b, "range", "bytes=%" PRIu64 "-", req->range_offset);
    else
        add(b, "range", "bytes=%" PRIu64 "-%" PRIu64, req->range_offset, last);
}

static void add_crc32c(struct builder *b, uint32_t crc)
{
    const uint8_t bytes[4] = {(uint8_t)(crc >> 24), (uint8_t)(crc >> 16), (uint8_t)(crc >> 8),
                              (uint8_t)crc};
    char text[9];

    crypto_base64(bytes, sizeof bytes, text);
    add(b, "x-amz-checksum-crc32c", "%s", text);
}

static status add_payload(struct builder *b, const struct objstore_req *req, bool tls,
                          char hash[CRYPTO_SHA256_HEX_BYTES], struct err *err)
{
    bool unsigned_body = tls && req->op == OBJSTORE_PUT;
    status st;

    if (req->op == OBJSTORE_PUT && req->crc32c != NULL)
        add_crc32c(b, *req->crc32c);
    else if (unsigned_body)
        add_crc32c(b, crc32c(0, req->body.data, req->body.bytes));
    if (unsigned_body) {
        (void)snprintf(hash, CRYPTO_SHA256_HEX_BYTES, "%s", SIGV4_UNSIGNED_PAYLOAD);
    } else {
        /* Parts too over TLS: a part's checksum would have to be declared when the upload begins
         * and repeated when it ends. */
        st = crypto_sha256_hex(b->w->sends, hash, err);
        if (st != ST_OK)
            return st;
    }
    add(b, "x-amz-content-sha256", "%s", hash);
    return ST_OK;
}

static size_t query_of(const struct objstore_req *req, const char *prefix, const char *after,
                       char numbers[16], struct sigv4_pair query[SIGV4_PAIRS_MAX])
{
    size_t count = 0;

    numbers[0] = '\0';
    switch (req->op) {
    case OBJSTORE_LIST:
        query[count++] = (struct sigv4_pair){"list-type", "2"};
        query[count++] = (struct sigv4_pair){"encoding-type", "url"};
        query[count++] = (struct sigv4_pair){"prefix", prefix};
        (void)snprintf(numbers, 16, "%u",
                       req->list_max != 0 ? (unsigned)req->list_max : (unsigned)OBJSTORE_LIST_MAX);
        query[count++] = (struct sigv4_pair){"max-keys", numbers};
        if (after != NULL)
            query[count++] = (struct sigv4_pair){"start-after", after};
        break;
    case OBJSTORE_UPLOAD_BEGIN:
        query[count++] = (struct sigv4_pair){"uploads", NULL};
        break;
    case OBJSTORE_UPLOAD_PART:
        (void)snprintf(numbers, 16, "%u", (unsigned)req->part_number);
        query[count++] = (struct sigv4_pair){"partNumber", numbers};
        query[count++] = (struct sigv4_pair){"uploadId", req->upload_id};
        break;
    case OBJSTORE_UPLOAD_COMPLETE:
    case OBJSTORE_UPLOAD_ABORT:
        query[count++] = (struct sigv4_pair){"uploadId", req->upload_id};
        break;
    case OBJSTORE_PUT:
    case OBJSTORE_GET:
    case OBJSTORE_HEAD:
    case OBJSTORE_DELETE:
    case OBJSTORE_OPS:
        break;
    }
    return count;
}

static void take_body(struct s3_wire *w, const struct objstore_req *req)
{
    w->sends = slice_make("", 0);
    if (req->op == OBJSTORE_PUT || req->op == OBJSTORE_UPLOAD_PART)
        w->sends = req->body;
    if (req->op == OBJSTORE_UPLOAD_COMPLETE) {
        s3_xml_put_parts(&w->body, req->parts, req->part_count);
        w->sends = buf_slice(&w->body);
    }
}

static status add_headers(struct builder *b, const struct objstore_req *req,
                          const struct s3_target *t, const struct credentials *keys,
                          const char *time, char hash[CRYPTO_SHA256_HEX_BYTES], struct err *err)
{
    struct s3_wire *w = b->w;
    status st;

    add(b, "host", "%s", t->host);
    add(b, "x-amz-date", "%s", time);
    if (keys->token[0] != '\0')
        add(b, "x-amz-security-token", "%s", keys->token);
    if (req->condition == OBJSTORE_IF_ABSENT)
        add(b, "if-none-match", "*");
    else if (req->condition == OBJSTORE_IF_MATCH)
        add(b, "if-match", "%s", req->etag);
    else if (req->condition == OBJSTORE_IF_CHANGED)
        add(b, "if-none-match", "%s", req->etag);
    add_range(b, req);
    if (req->op == OBJSTORE_GET && !s3_wants_range(req))
        add(b, "x-amz-checksum-mode", "ENABLED");
    st = add_payload(b, req, t->tls, hash, err);
    if (st == ST_OK)
        st = buf_status(&w->texts, err);
    for (size_t i = 0; st == ST_OK && i < w->header_count; i++)
        w->headers[i] = (struct sigv4_pair){(const char *)w->texts.data + b->name_at[i],
                                            (const char *)w->texts.data + b->value_at[i]};
    return st;
}

static void reset(struct s3_wire *w)
{
    buf_reset(&w->url);
    buf_reset(&w->body);
    buf_reset(&w->texts);
    buf_reset(&w->authorization);
    w->header_count = 0;
}

status s3_wire_make(struct s3_wire *w, const struct objstore_req *req, const struct s3_target *t,
                    const struct credentials *keys, int64_t now_s, struct err *err)
{
    char path[OBJSTORE_BUCKET_BYTES + OBJSTORE_PREFIX_BYTES + OBJSTORE_KEY_BYTES_MAX + 4];
    char prefix[OBJSTORE_PREFIX_BYTES + OBJSTORE_KEY_BYTES_MAX];
    char after[OBJSTORE_PREFIX_BYTES + OBJSTORE_KEY_BYTES_MAX];
    char time[SIGV4_TIME_BYTES];
    char hash[CRYPTO_SHA256_HEX_BYTES];
    char numbers[16];
    struct sigv4_pair query[SIGV4_PAIRS_MAX];
    struct sigv4_request r = {.path = path,
                              .query = query,
                              .time = time,
                              .region = t->region,
                              .service = "s3",
                              .payload_hash = hash};
    const struct sigv4_keys signing = {keys->access, keys->secret, keys->token};
    struct builder b = {.w = w};
    status st;

    reset(w);
    w->method = r.method = method_of(req->op);
    take_body(w, req);
    st = buf_status(&w->body, err);
    if (st != ST_OK)
        return st;
    sigv4_time(now_s, time);
    (void)snprintf(
        path, sizeof path, "%s%s%s%s%s", t->virtual_host ? "" : "/",
        t->virtual_host ? "" : t->bucket, t->virtual_host || req->op != OBJSTORE_LIST ? "/" : "",
        req->op == OBJSTORE_LIST ? "" : t->prefix, req->op == OBJSTORE_LIST ? "" : req->key);
    (void)snprintf(prefix, sizeof prefix, "%s%s", t->prefix, req->key);
    if (req->op == OBJSTORE_LIST && req->start_after != NULL)
        (void)snprintf(after, sizeof after, "%s%s", t->prefix, req->start_after);
    r.query_count = query_of(req, prefix, req->start_after != NULL ? after : NULL, numbers, query);
    st = add_headers(&b, req, t, keys, time, hash, err);
    if (st != ST_OK)
        return st;
    r.headers = w->headers;
    r.header_count = w->header_count;
    buf_printf(&w->url, "%s://%s", t->tls ? "https" : "http", t->host);
    sigv4_escape_path(&w->url, path);
    if (r.query_count > 0)
        buf_put_text(&w->url, "?");
    st = sigv4_query(&w->url, query, r.query_count, err);
    buf_put_u8(&w->url, 0);
    if (st == ST_OK)
        st = buf_status(&w->url, err);
    if (st == ST_OK)
        st = sigv4_sign(&r, &signing, &w->authorization, err);
    buf_put_u8(&w->authorization, 0);
    return st != ST_OK ? st : buf_status(&w->authorization, err);
}
