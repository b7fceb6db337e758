/* grpc.c - gRPC's framing, statuses and texts. */
#include "api/grpc_frame.h"

#include <inttypes.h>
#include <stdio.h>
#include <strings.h>

enum { STATUS_COUNT = GRPC_UNAUTHENTICATED + 1 };

const char *grpc_status_name(enum grpc_status code)
{
    static const char *const names[STATUS_COUNT] = {
        "OK",
        "CANCELLED",
        "UNKNOWN",
        "INVALID_ARGUMENT",
        "DEADLINE_EXCEEDED",
        "NOT_FOUND",
        "ALREADY_EXISTS",
        "PERMISSION_DENIED",
        "RESOURCE_EXHAUSTED",
        "FAILED_PRECONDITION",
        "ABORTED",
        "OUT_OF_RANGE",
        "UNIMPLEMENTED",
        "INTERNAL",
        "UNAVAILABLE",
        "DATA_LOSS",
        "UNAUTHENTICATED",
    };

    return (unsigned)code < STATUS_COUNT ? names[code] : "UNKNOWN";
}

enum grpc_status grpc_status_of_http(int http_status)
{
    switch (http_status) {
    case 400:
    case 422:
        return GRPC_INVALID_ARGUMENT;
    case 401:
        return GRPC_UNAUTHENTICATED;
    case 403:
        return GRPC_PERMISSION_DENIED;
    case 404:
        return GRPC_NOT_FOUND;
    case 409:
        return GRPC_ALREADY_EXISTS;
    case 413:
    case 429:
    case 507:
        return GRPC_RESOURCE_EXHAUSTED;
    case 503:
        return GRPC_UNAVAILABLE;
    case 408:
    case 504:
        return GRPC_DEADLINE_EXCEEDED;
    default:
        return http_status >= 200 && http_status < 300 ? GRPC_OK : GRPC_INTERNAL;
    }
}

/* --- messages --- */

void grpc_reader_init(struct grpc_reader *r, uint64_t bytes_max)
{
    *r = (struct grpc_reader){.bytes_max = bytes_max};
}

void grpc_reader_free(struct grpc_reader *r)
{
    buf_free(&r->message);
}

bool grpc_reader_idle(const struct grpc_reader *r)
{
    return r->prefix_bytes == 0;
}

void grpc_reader_next(struct grpc_reader *r)
{
    buf_free(&r->message);
    r->prefix_bytes = 0;
    r->left = 0;
}

static enum grpc_read bad(struct grpc_reader *r, enum grpc_status code, const char *why)
{
    r->status = code;
    (void)snprintf(r->why, sizeof r->why, "%s", why);
    return GRPC_READ_BAD;
}

/* The five bytes are there. */
static enum grpc_read begin(struct grpc_reader *r)
{
    const uint8_t *p = r->prefix;

    r->left = (uint32_t)p[1] << 24 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 8 | p[4];
    if (p[0] == 1)
        return bad(r, GRPC_INTERNAL, "the message is compressed and grpc-encoding is identity");
    if (p[0] != 0)
        return bad(r, GRPC_INTERNAL, "the first byte of the message's prefix is neither 0 nor 1");
    if (r->left > r->bytes_max) {
        r->status = GRPC_RESOURCE_EXHAUSTED;
        (void)snprintf(r->why, sizeof r->why,
                       "the message has %" PRIu32 " bytes, the limit is %" PRIu64, r->left,
                       r->bytes_max);
        return GRPC_READ_BAD;
    }
    buf_init(&r->message, r->left);
    return GRPC_READ_MORE;
}

static size_t take_prefix(struct grpc_reader *r, struct slice in)
{
    size_t n = GRPC_PREFIX_BYTES - r->prefix_bytes;

    if (n > in.bytes)
        n = in.bytes;
    if (n > 0)
        memcpy(r->prefix + r->prefix_bytes, in.data, n);
    r->prefix_bytes += (unsigned)n;
    return n;
}

enum grpc_read grpc_read(struct grpc_reader *r, struct slice in, size_t *used)
{
    size_t n = 0;

    *used = 0;
    if (r->prefix_bytes < GRPC_PREFIX_BYTES) {
        *used = take_prefix(r, in);
        if (r->prefix_bytes < GRPC_PREFIX_BYTES)
            return GRPC_READ_MORE;
        if (begin(r) == GRPC_READ_BAD)
            return GRPC_READ_BAD;
    }
    n = in.bytes - *used;
    if (n > r->left)
        n = r->left;
    buf_put(&r->message, n > 0 ? in.data + *used : NULL, n);
    if (r->message.failed)
        return bad(r, GRPC_RESOURCE_EXHAUSTED, "out of memory for the message");
    *used += n;
    r->left -= (uint32_t)n;
    return r->left == 0 ? GRPC_READ_MESSAGE : GRPC_READ_MORE;
}

void grpc_prefix(uint8_t out[GRPC_PREFIX_BYTES], uint32_t bytes)
{
    out[0] = 0;
    out[1] = (uint8_t)(bytes >> 24);
    out[2] = (uint8_t)(bytes >> 16);
    out[3] = (uint8_t)(bytes >> 8);
    out[4] = (uint8_t)bytes;
}

/* --- texts --- */

static uint64_t unit_ns(uint8_t unit)
{
    switch (unit) {
    case 'H':
        return 3600u * (uint64_t)1000000000u;
    case 'M':
        return 60u * (uint64_t)1000000000u;
    case 'S':
        return 1000000000u;
    case 'm':
        return 1000000u;
    case 'u':
        return 1000u;
    case 'n':
        return 1;
    default:
        return 0;
    }
}

bool grpc_timeout_parse(struct slice text, uint64_t *ns)
{
    enum { DIGITS_MAX = 8 };
    uint64_t unit = text.bytes == 0 ? 0 : unit_ns(text.data[text.bytes - 1]);
    uint64_t value = 0;

    if (unit == 0 || text.bytes < 2 || text.bytes > DIGITS_MAX + 1)
        return false;
    for (size_t i = 0; i + 1 < text.bytes; i++) {
        if (text.data[i] < '0' || text.data[i] > '9')
            return false;
        value = value * 10 + (uint64_t)(text.data[i] - '0');
    }
    *ns = value > UINT64_MAX / unit ? UINT64_MAX : value * unit;
    return true;
}

size_t grpc_message_encode(const char *text, char *out, size_t bytes)
{
    static const char digits[] = "0123456789ABCDEF";
    size_t at = 0;

    for (; *text != '\0'; text++) {
        uint8_t c = (uint8_t)*text;
        bool plain = c >= 0x20 && c < 0x7f && c != '%';

        if (at + (plain ? 1 : 3) >= bytes)
            break;
        if (plain) {
            out[at++] = (char)c;
        } else {
            out[at++] = '%';
            out[at++] = digits[c >> 4];
            out[at++] = digits[c & 15];
        }
    }
    out[at] = '\0';
    return at;
}

bool grpc_content_type(struct slice value)
{
    static const char base[] = "application/grpc";
    static const char proto[] = "+proto";
    size_t at = sizeof base - 1;

    if (value.bytes < at || strncasecmp((const char *)value.data, base, at) != 0)
        return false;
    if (value.bytes - at >= sizeof proto - 1 &&
        strncasecmp((const char *)value.data + at, proto, sizeof proto - 1) == 0)
        at += sizeof proto - 1;
    return at == value.bytes || value.data[at] == ';' || value.data[at] == ' ';
}
