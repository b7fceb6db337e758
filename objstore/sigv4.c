#include "objstore/sigv4.h"

#include <ctype.h>
#include <stdio.h>
#include <time.h>

enum {
    TEXT_BYTES_MAX = 64 * 1024, /* of a canonical request: a session token and a long key fit */
    SCOPE_BYTES = 160,
};

void sigv4_time(int64_t seconds, char out[SIGV4_TIME_BYTES])
{
    time_t t = (time_t)seconds;
    struct tm tm;

    if (gmtime_r(&t, &tm) == NULL || strftime(out, SIGV4_TIME_BYTES, "%Y%m%dT%H%M%SZ", &tm) == 0)
        memcpy(out, "19700101T000000Z", SIGV4_TIME_BYTES);
}

static void escape(struct buf *out, const char *text, bool slash_stays)
{
    static const char digits[] = "0123456789ABCDEF";

    for (; *text != '\0'; text++) {
        unsigned char c = (unsigned char)*text;
        bool plain = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
                     c == '-' || c == '.' || c == '_' || c == '~' || (c == '/' && slash_stays);
        char coded[3] = {'%', digits[c >> 4], digits[c & 15]};

        if (plain)
            buf_put_u8(out, c);
        else
            buf_put(out, coded, sizeof coded);
    }
}

void sigv4_escape_path(struct buf *out, const char *path)
{
    escape(out, path, true);
}

void sigv4_escape(struct buf *out, const char *text)
{
    escape(out, text, false);
}

/* Pairs in the form in which they are compared and signed: names and values lie in `text`. */
struct piece {
    size_t name_at, name_bytes, value_at, value_bytes;
};
struct sorted {
    struct buf text;
    struct piece pieces[SIGV4_PAIRS_MAX];
    size_t count;
};

static void sorted_init(struct sorted *s)
{
    buf_init(&s->text, TEXT_BYTES_MAX);
    s->count = 0;
}

static int compare(const struct sorted *s, size_t a_at, size_t a_bytes, size_t b_at, size_t b_bytes)
{
    size_t common = a_bytes < b_bytes ? a_bytes : b_bytes;
    int order = common == 0 ? 0 : memcmp(s->text.data + a_at, s->text.data + b_at, common);

    return order != 0 ? order : (a_bytes > b_bytes) - (a_bytes < b_bytes);
}

/* Whether piece a goes behind piece b; equal ones keep their order. */
static bool is_behind(const struct sorted *s, size_t a, size_t b, bool by_value)
{
    int order = compare(s, s->pieces[a].name_at, s->pieces[a].name_bytes, s->pieces[b].name_at,
                        s->pieces[b].name_bytes);

    if (order == 0 && by_value)
        order = compare(s, s->pieces[a].value_at, s->pieces[a].value_bytes, s->pieces[b].value_at,
                        s->pieces[b].value_bytes);
    return order > 0;
}

static status sort(struct sorted *s, bool by_value, struct err *err)
{
    status st = buf_status(&s->text, err);

    if (st != ST_OK)
        return st; /* what was not put into the text must not be compared */
    for (size_t i = 1; i < s->count; i++)
        for (size_t at = i; at > 0 && is_behind(s, at - 1, at, by_value); at--) {
            struct piece swap = s->pieces[at];

            s->pieces[at] = s->pieces[at - 1];
            s->pieces[at - 1] = swap;
        }
    return ST_OK;
}

static status too_many(struct err *err)
{
    return err_set(err, ST_INVALID, "a request with more than %d headers or query pairs",
                   SIGV4_PAIRS_MAX);
}

static status sort_query(struct sorted *s, const struct sigv4_pair *pairs, size_t count,
                         struct err *err)
{
    sorted_init(s);
    if (count > SIGV4_PAIRS_MAX)
        return too_many(err);
    for (size_t i = 0; i < count; i++) {
        s->pieces[i].name_at = s->text.bytes;
        sigv4_escape(&s->text, pairs[i].name);
        s->pieces[i].name_bytes = s->text.bytes - s->pieces[i].name_at;
        s->pieces[i].value_at = s->text.bytes;
        if (pairs[i].value != NULL)
            sigv4_escape(&s->text, pairs[i].value);
        s->pieces[i].value_bytes = s->text.bytes - s->pieces[i].value_at;
    }
    s->count = count;
    return sort(s, true, err);
}

static void put_lower(struct buf *out, const char *text)
{
    for (; *text != '\0'; text++)
        buf_put_u8(out, (uint8_t)tolower((unsigned char)*text));
}

/* Without blanks at its ends, and one blank for each run of them. */
static void put_trimmed(struct buf *out, const char *text)
{
    bool pending = false;
    bool began = false;

    for (; *text != '\0'; text++) {
        if (*text == ' ' || *text == '\t') {
            pending = began;
            continue;
        }
        if (pending)
            buf_put_u8(out, ' ');
        buf_put_u8(out, (uint8_t)*text);
        pending = false;
        began = true;
    }
}

static status sort_headers(struct sorted *s, const struct sigv4_pair *pairs, size_t count,
                           struct err *err)
{
    sorted_init(s);
    if (count > SIGV4_PAIRS_MAX)
        return too_many(err);
    for (size_t i = 0; i < count; i++) {
        s->pieces[i].name_at = s->text.bytes;
        put_lower(&s->text, pairs[i].name);
        s->pieces[i].name_bytes = s->text.bytes - s->pieces[i].name_at;
        s->pieces[i].value_at = s->text.bytes;
        if (pairs[i].value != NULL)
            put_trimmed(&s->text, pairs[i].value);
        s->pieces[i].value_bytes = s->text.bytes - s->pieces[i].value_at;
    }
    s->count = count;
    return sort(s, false, err);
}

static struct slice name_of(const struct sorted *s, size_t i)
{
    return slice_make(s->text.data + s->pieces[i].name_at, s->pieces[i].name_bytes);
}

static struct slice value_of(const struct sorted *s, size_t i)
{
    return slice_make(s->text.data + s->pieces[i].value_at, s->pieces[i].value_bytes);
}

static bool same_name(const struct sorted *s, size_t a, size_t b)
{
    return slice_equal(name_of(s, a), name_of(s, b));
}

/* "name:value\n" each; of a header that comes twice one line, its values with commas between. */
static void put_headers(struct buf *out, const struct sorted *s)
{
    for (size_t i = 0; i < s->count; i++) {
        bool more = i > 0 && same_name(s, i - 1, i);

        if (!more)
            buf_put_slice(out, name_of(s, i));
        buf_put_text(out, more ? "," : ":");
        buf_put_slice(out, value_of(s, i));
        if (i + 1 == s->count || !same_name(s, i, i + 1))
            buf_put_text(out, "\n");
    }
}

static void put_names(struct buf *out, const struct sorted *s)
{
    for (size_t i = 0; i < s->count; i++) {
        if (i > 0 && same_name(s, i - 1, i))
            continue;
        if (i > 0)
            buf_put_text(out, ";");
        buf_put_slice(out, name_of(s, i));
    }
}

status sigv4_query(struct buf *out, const struct sigv4_pair *pairs, size_t count, struct err *err)
{
    struct sorted s;
    status st = sort_query(&s, pairs, count, err);

    for (size_t i = 0; st == ST_OK && i < s.count; i++) {
        if (i > 0)
            buf_put_text(out, "&");
        buf_put_slice(out, name_of(&s, i));
        buf_put_text(out, "=");
        buf_put_slice(out, value_of(&s, i));
    }
    buf_free(&s.text);
    return st != ST_OK ? st : buf_status(out, err);
}

status sigv4_canonical(const struct sigv4_request *r, struct buf *out, struct err *err)
{
    struct sorted headers;
    status st = sort_headers(&headers, r->headers, r->header_count, err);

    if (st != ST_OK)
        goto out;
    buf_put_text(out, r->method);
    buf_put_text(out, "\n");
    sigv4_escape_path(out, r->path);
    buf_put_text(out, "\n");
    st = sigv4_query(out, r->query, r->query_count, err);
    if (st != ST_OK)
        goto out;
    buf_put_text(out, "\n");
    put_headers(out, &headers);
    buf_put_text(out, "\n");
    put_names(out, &headers);
    buf_put_text(out, "\n");
    buf_put_text(out, r->payload_hash);
    st = buf_status(out, err);
out:
    buf_free(&headers.text);
    return st;
}

/* "20130524/us-east-1/s3/aws4_request" */
static void scope_of(const struct sigv4_request *r, char out[SCOPE_BYTES])
{
    (void)snprintf(out, SCOPE_BYTES, "%.8s/%s/%s/aws4_request", r->time, r->region, r->service);
}

/* A key is derived from the secret, step by step over the parts of the scope. */
static status derive_key(const struct sigv4_request *r, const char *secret,
                         uint8_t key[CRYPTO_SHA256_BYTES], struct err *err)
{
    struct slice steps[] = {slice_make(r->time, 8), slice_text(r->region), slice_text(r->service),
                            slice_text("aws4_request")};
    struct buf first;
    struct slice from;
    status st;

    buf_init(&first, TEXT_BYTES_MAX);
    buf_put_text(&first, "AWS4");
    buf_put_text(&first, secret);
    st = buf_status(&first, err);
    from = buf_slice(&first);
    for (size_t i = 0; st == ST_OK && i < COUNT_OF(steps); i++) {
        st = crypto_hmac_sha256(from, steps[i], key, err);
        from = slice_make(key, CRYPTO_SHA256_BYTES);
    }
    if (first.data != NULL)
        explicit_bzero(first.data, first.bytes);
    buf_free(&first);
    return st;
}

static status signature_of(const struct sigv4_request *r, const struct sigv4_keys *keys,
                           char out[CRYPTO_SHA256_HEX_BYTES], struct err *err)
{
    uint8_t key[CRYPTO_SHA256_BYTES];
    uint8_t mac[CRYPTO_SHA256_BYTES];
    char hash[CRYPTO_SHA256_HEX_BYTES];
    char scope[SCOPE_BYTES];
    char text[SCOPE_BYTES + 128];
    struct buf canonical;
    status st;

    buf_init(&canonical, TEXT_BYTES_MAX);
    st = sigv4_canonical(r, &canonical, err);
    if (st == ST_OK)
        st = crypto_sha256_hex(buf_slice(&canonical), hash, err);
    if (st == ST_OK)
        st = derive_key(r, keys->secret, key, err);
    if (st == ST_OK) {
        scope_of(r, scope);
        (void)snprintf(text, sizeof text, "AWS4-HMAC-SHA256\n%s\n%s\n%s", r->time, scope, hash);
        st = crypto_hmac_sha256(slice_make(key, sizeof key), slice_text(text), mac, err);
    }
    if (st == ST_OK)
        crypto_hex(mac, sizeof mac, out);
    buf_free(&canonical);
    return st;
}

status sigv4_sign(const struct sigv4_request *r, const struct sigv4_keys *keys, struct buf *out,
                  struct err *err)
{
    char signature[CRYPTO_SHA256_HEX_BYTES];
    char scope[SCOPE_BYTES];
    struct sorted headers;
    status st = sort_headers(&headers, r->headers, r->header_count, err);

    if (st == ST_OK)
        st = signature_of(r, keys, signature, err);
    if (st == ST_OK) {
        scope_of(r, scope);
        buf_put_text(out, "AWS4-HMAC-SHA256 Credential=");
        buf_put_text(out, keys->access);
        buf_put_text(out, "/");
        buf_put_text(out, scope);
        buf_put_text(out, ", SignedHeaders=");
        put_names(out, &headers);
        buf_put_text(out, ", Signature=");
        buf_put_text(out, signature);
        st = buf_status(out, err);
    }
    buf_free(&headers.text);
    return st;
}

/* What a presigned URL carries in its query, beside the signature. */
static status presign_pairs(const struct sigv4_request *r, const struct sigv4_keys *keys,
                            const struct buf *names, const char *credential, const char *seconds,
                            struct sigv4_pair pairs[SIGV4_PAIRS_MAX], size_t *count,
                            struct err *err)
{
    const struct sigv4_pair own[] = {
        {"X-Amz-Algorithm", "AWS4-HMAC-SHA256"},
        {"X-Amz-Credential", credential},
        {"X-Amz-Date", r->time},
        {"X-Amz-Expires", seconds},
        {"X-Amz-SignedHeaders", (const char *)names->data},
        {"X-Amz-Security-Token", keys->token},
    };
    size_t own_count = keys->token != NULL && keys->token[0] != '\0' ? 6 : 5;

    if (r->query_count + own_count + 1 > SIGV4_PAIRS_MAX) /* and the signature */
        return too_many(err);
    *count = r->query_count;
    for (size_t i = 0; i < r->query_count; i++)
        pairs[i] = r->query[i];
    for (size_t i = 0; i < own_count; i++)
        pairs[(*count)++] = own[i];
    return ST_OK;
}

status sigv4_presign(const struct sigv4_request *r, const struct sigv4_keys *keys, uint32_t seconds,
                     struct buf *out, struct err *err)
{
    struct sigv4_request q = *r;
    struct sigv4_pair pairs[SIGV4_PAIRS_MAX];
    char signature[CRYPTO_SHA256_HEX_BYTES];
    char credential[2 * SCOPE_BYTES];
    char scope[SCOPE_BYTES];
    char expires[16];
    struct sorted headers;
    struct buf names;
    status st;

    buf_init(&names, TEXT_BYTES_MAX);
    st = sort_headers(&headers, r->headers, r->header_count, err);
    if (st != ST_OK)
        goto out;
    put_names(&names, &headers);
    buf_put_u8(&names, 0);
    st = buf_status(&names, err);
    if (st != ST_OK)
        goto out;
    scope_of(r, scope);
    (void)snprintf(credential, sizeof credential, "%s/%s", keys->access, scope);
    (void)snprintf(expires, sizeof expires, "%u", (unsigned)seconds);
    q.query = pairs;
    q.payload_hash = SIGV4_UNSIGNED_PAYLOAD;
    st = presign_pairs(r, keys, &names, credential, expires, pairs, &q.query_count, err);
    if (st == ST_OK)
        st = signature_of(&q, keys, signature, err);
    if (st == ST_OK) {
        pairs[q.query_count++] = (struct sigv4_pair){"X-Amz-Signature", signature};
        st = sigv4_query(out, pairs, q.query_count, err);
    }
out:
    buf_free(&headers.text);
    buf_free(&names);
    return st;
}
