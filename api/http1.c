/* http1.c - see http1.h.
 *
 * A head is collected line by line into one buffer and read only when it is whole: there is no
 * state machine that has to survive a cut in the middle of a token, and the header limit is the
 * buffer's bound. Body bytes are never copied here. */
#include "api/http1.h"

#include <assert.h>
#include <ctype.h>
#include <strings.h>

void http1_init(struct http1 *h, size_t header_bytes_max, uint64_t body_bytes_max)
{
    *h = (struct http1){.header_bytes_max = header_bytes_max, .body_bytes_max = body_bytes_max};
    buf_init(&h->head_bytes, header_bytes_max);
    buf_init(&h->line, header_bytes_max);
}

void http1_fini(struct http1 *h)
{
    buf_free(&h->head_bytes);
    buf_free(&h->line);
}

void http1_reset(struct http1 *h)
{
    bool (*any_length)(const struct http1_head *head) = h->any_length;

    http1_fini(h);
    http1_init(h, h->header_bytes_max, h->body_bytes_max);
    h->any_length = any_length;
}

bool http1_idle(const struct http1 *h)
{
    return h->state == HTTP1_AT_HEAD && h->lines == 0 && h->head_bytes.bytes == 0;
}

struct buf http1_take_head(struct http1 *h)
{
    struct buf taken = h->head_bytes;

    buf_init(&h->head_bytes, h->header_bytes_max);
    return taken;
}

uint64_t http1_length_left(const struct http1 *h)
{
    return h->state == HTTP1_AT_LENGTH ? h->left : 0;
}

void http1_length_took(struct http1 *h, uint64_t bytes)
{
    h->left -= bytes;
    h->body_bytes += bytes;
}

static bool same_text(struct slice s, const char *text)
{
    return s.bytes == strlen(text) && strncasecmp((const char *)s.data, text, s.bytes) == 0;
}

const struct http1_header *http1_header(const struct http1_head *head, const char *name)
{
    for (size_t i = 0; i < head->header_count; i++)
        if (same_text(head->headers[i].name, name))
            return &head->headers[i];
    return NULL;
}

static enum http1_event bad(struct http1 *h, int http_status, const char *reason)
{
    h->state = HTTP1_AT_BAD;
    h->bad_status = http_status;
    h->bad_reason = reason;
    return HTTP1_BAD;
}

/* RFC 9110 5.6.2 */
static bool is_token(uint8_t c)
{
    return isalnum(c) || (c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

static bool is_value(uint8_t c)
{
    return c == '\t' || (c >= 0x20 && c != 0x7F);
}

static struct slice trim(struct slice s)
{
    while (s.bytes > 0 && (s.data[0] == ' ' || s.data[0] == '\t'))
        s = slice_make(s.data + 1, s.bytes - 1);
    while (s.bytes > 0 && (s.data[s.bytes - 1] == ' ' || s.data[s.bytes - 1] == '\t'))
        s.bytes--;
    return s;
}

/* "http://host:port/path" is what proxies send (RFC 9112 3.2.2): the part behind the authority. */
static struct slice origin_form(struct slice target)
{
    size_t scheme = 0;
    const uint8_t *slash;

    if (target.bytes > 7 && strncasecmp((const char *)target.data, "http://", 7) == 0)
        scheme = 7;
    else if (target.bytes > 8 && strncasecmp((const char *)target.data, "https://", 8) == 0)
        scheme = 8;
    if (scheme == 0)
        return target;
    slash = memchr(target.data + scheme, '/', target.bytes - scheme);
    if (slash == NULL)
        return slice_text("/");
    return slice_make(slash, target.bytes - (size_t)(slash - target.data));
}

static enum http1_event read_target(struct http1 *h, struct slice target)
{
    const uint8_t *mark;

    for (size_t i = 0; i < target.bytes; i++)
        if (target.data[i] <= 0x20 || target.data[i] >= 0x7F || target.data[i] == '#')
            return bad(h, 400, "the request target holds a byte that must be percent-encoded");
    target = origin_form(target);
    if (target.bytes == 0 || (target.data[0] != '/' && !same_text(target, "*")))
        return bad(h, 400, "the request target must be a path that begins with /");
    mark = memchr(target.data, '?', target.bytes);
    h->head.path = target;
    if (mark != NULL) {
        h->head.path.bytes = (size_t)(mark - target.data);
        h->head.query = slice_make(mark + 1, target.bytes - h->head.path.bytes - 1);
    }
    return HTTP1_MORE;
}

static enum http1_event read_version(struct http1 *h, struct slice version)
{
    if (version.bytes != 8 || memcmp(version.data, "HTTP/", 5) != 0 || !isdigit(version.data[5]) ||
        version.data[6] != '.' || !isdigit(version.data[7]))
        return bad(h, 400, "the request line does not end with an HTTP version");
    if (version.data[5] != '1')
        return bad(h, 400, "the HTTP version is not one this port speaks (1.1 and 1.0)");
    h->head.version_1_0 = version.data[7] == '0';
    h->head.keep_alive = !h->head.version_1_0;
    return HTTP1_MORE;
}

static enum http1_event read_request_line(struct http1 *h, struct slice line)
{
    const uint8_t *first = memchr(line.data, ' ', line.bytes);
    const uint8_t *last = memrchr(line.data, ' ', line.bytes);
    enum http1_event event;

    if (first == NULL || first == last || first == line.data)
        return bad(h, 400, "the request line is not `method target version`");
    h->head.method = slice_make(line.data, (size_t)(first - line.data));
    if (h->head.method.bytes > HTTP1_METHOD_BYTES_MAX)
        return bad(h, 400, "the method is longer than any this server knows");
    for (size_t i = 0; i < h->head.method.bytes; i++)
        if (!is_token(h->head.method.data[i]))
            return bad(h, 400, "the method is no token");
    event = read_version(h, slice_make(last + 1, line.bytes - (size_t)(last + 1 - line.data)));
    if (event != HTTP1_MORE)
        return event;
    return read_target(h, slice_make(first + 1, (size_t)(last - first - 1)));
}

/* A header or trailer line into name and value. */
static enum http1_event read_field(struct http1 *h, struct slice line, struct http1_header *out)
{
    const uint8_t *colon;

    if (line.data[0] == ' ' || line.data[0] == '\t')
        return bad(h, 400, "a header is folded over two lines, which RFC 9112 forbids");
    colon = memchr(line.data, ':', line.bytes);
    if (colon == NULL || colon == line.data)
        return bad(h, 400, "a header line has no name and colon");
    out->name = slice_make(line.data, (size_t)(colon - line.data));
    for (size_t i = 0; i < out->name.bytes; i++)
        if (!is_token(out->name.data[i]))
            return bad(h, 400, "a header name holds a byte that is no token");
    out->value = trim(slice_make(colon + 1, line.bytes - out->name.bytes - 1));
    for (size_t i = 0; i < out->value.bytes; i++)
        if (!is_value(out->value.data[i]))
            return bad(h, 400, "a header value holds a control character");
    return HTTP1_MORE;
}

static enum http1_event read_content_length(struct http1 *h, struct slice value)
{
    uint64_t n = 0;

    if (h->head.has_length)
        return bad(h, 400, "Content-Length is given twice");
    if (value.bytes == 0 || value.bytes > 19)
        return bad(h, 400, "Content-Length is no number of 1 to 19 digits");
    for (size_t i = 0; i < value.bytes; i++) {
        if (!isdigit(value.data[i]))
            return bad(h, 400, "Content-Length is no number of 1 to 19 digits");
        n = n * 10 + (uint64_t)(value.data[i] - '0');
    }
    h->head.has_length = true;
    h->head.content_length = n;
    return HTTP1_MORE;
}

static void read_connection(struct http1 *h, struct slice value, bool *close)
{
    while (value.bytes > 0) {
        const uint8_t *comma = memchr(value.data, ',', value.bytes);
        size_t bytes = comma == NULL ? value.bytes : (size_t)(comma - value.data);
        struct slice option = trim(slice_make(value.data, bytes));

        if (same_text(option, "close"))
            *close = true;
        else if (same_text(option, "keep-alive"))
            h->head.keep_alive = true;
        bytes += comma == NULL ? 0 : 1;
        value = slice_make(value.data + bytes, value.bytes - bytes);
    }
}

static enum http1_event read_host(struct http1 *h, struct slice value, bool *seen)
{
    if (*seen)
        return bad(h, 400, "Host is given twice");
    *seen = true;
    for (size_t i = 0; i < value.bytes; i++)
        if (value.data[i] <= 0x20 || value.data[i] >= 0x7F ||
            strchr(",/\\@<>\"", value.data[i]) != NULL)
            return bad(h, 400, "Host is no host name");
    return HTTP1_MORE;
}

/* What the headers say about where this request ends and what becomes of the connection. */
static enum http1_event read_framing(struct http1 *h)
{
    struct http1_head *head = &h->head;
    bool host = false;
    bool close = false;

    for (size_t i = 0; i < head->header_count; i++) {
        struct slice name = head->headers[i].name;
        struct slice value = head->headers[i].value;
        enum http1_event event = HTTP1_MORE;

        if (same_text(name, "content-length")) {
            event = read_content_length(h, value);
        } else if (same_text(name, "transfer-encoding")) {
            if (head->chunked)
                return bad(h, 400, "Transfer-Encoding is given twice");
            if (!same_text(value, "chunked"))
                return bad(h, 400, "Transfer-Encoding may only be chunked");
            head->chunked = true;
        } else if (same_text(name, "host")) {
            event = read_host(h, value, &host);
        } else if (same_text(name, "connection")) {
            read_connection(h, value, &close);
        } else if (same_text(name, "expect")) {
            if (!same_text(value, "100-continue"))
                return bad(h, 417, "Expect may only be 100-continue");
            head->expect_continue = !head->version_1_0;
        }
        if (event != HTTP1_MORE)
            return event;
    }
    if (close)
        head->keep_alive = false;
    if (!host && !head->version_1_0)
        return bad(h, 400, "the Host header is missing");
    if (head->chunked && head->has_length)
        return bad(h, 400, "Content-Length and Transfer-Encoding are both given");
    if (head->chunked && head->version_1_0)
        return bad(h, 400, "HTTP/1.0 has no Transfer-Encoding");
    h->unbounded = h->any_length != NULL && h->any_length(head);
    if (!h->unbounded && head->content_length > h->body_bytes_max)
        return bad(h, 413, "Content-Length is over the limit of a body");
    return HTTP1_MORE;
}

/* head_bytes holds whole lines, the last of them empty. */
static enum http1_event read_head(struct http1 *h)
{
    const uint8_t *at = h->head_bytes.data;
    const uint8_t *end = at + h->head_bytes.bytes - 2;
    enum http1_event event;
    bool first = true;

    h->head = (struct http1_head){0};
    while (at < end) {
        const uint8_t *newline = memchr(at, '\n', (size_t)(end - at));
        struct slice line = slice_make(at, (size_t)(newline - at) - 1);

        at = newline + 1;
        if (first) {
            event = read_request_line(h, line);
            first = false;
        } else if (h->head.header_count == HTTP1_HEADERS_MAX) {
            event = bad(h, 431, "there are more headers than the limit of 64");
        } else {
            event = read_field(h, line, &h->head.headers[h->head.header_count]);
            h->head.header_count++;
        }
        if (event != HTTP1_MORE)
            return event;
    }
    event = read_framing(h);
    if (event != HTTP1_MORE)
        return event;
    h->left = h->head.content_length;
    h->state = h->head.chunked ? HTTP1_AT_CHUNK_LINE : h->left > 0 ? HTTP1_AT_LENGTH : HTTP1_AT_END;
    return HTTP1_HEAD;
}

static_assert(HTTP1_HEADERS_MAX == 64, "the text of the 431 names the number");

enum line_state { LINE_PART, LINE_WHOLE, LINE_TOO_LONG, LINE_NO_MEMORY };

/* Appends up to and with the next line feed, up to bytes_max in all. */
static enum line_state take_line(struct buf *into, size_t bytes_max, const uint8_t *data,
                                 size_t bytes, size_t *used)
{
    const uint8_t *newline = bytes == 0 ? NULL : memchr(data, '\n', bytes);
    size_t n = newline == NULL ? bytes : (size_t)(newline - data) + 1;

    if (n > bytes_max - into->bytes)
        return LINE_TOO_LONG;
    buf_put(into, data, n);
    if (into->failed)
        return LINE_NO_MEMORY;
    *used += n;
    return newline == NULL ? LINE_PART : LINE_WHOLE;
}

static enum http1_event next_head(struct http1 *h, const uint8_t *data, size_t bytes, size_t *used)
{
    while (*used < bytes) {
        struct buf *b = &h->head_bytes;
        enum line_state line;

        /* A TLS handshake or another protocol never sends a line end: say so at its first byte. */
        if (b->bytes == 0 && !is_token(data[*used]) && data[*used] != '\r' && data[*used] != '\n')
            return bad(h, 400, "this is not HTTP; the port speaks plain HTTP/1.1");
        line = take_line(b, h->header_bytes_max, data + *used, bytes - *used, used);
        if (line == LINE_NO_MEMORY)
            return bad(h, 503, "out of memory for the head of the request");
        if (line == LINE_TOO_LONG && h->lines == 0)
            return bad(h, 414, "the request line is over the limit of a head");
        if (line == LINE_TOO_LONG)
            return bad(h, 431, "the head of the request is over its limit");
        if (line == LINE_PART)
            return HTTP1_MORE;
        if (b->bytes - h->line_at < 2 || b->data[b->bytes - 2] != '\r')
            return bad(h, 400, "a line of the head does not end with CR LF");
        if (b->bytes - h->line_at > 2) {
            h->lines++;
            h->line_at = b->bytes;
            continue;
        }
        if (h->lines > 0)
            return read_head(h);
        if (++h->blank_lines > HTTP1_BLANK_LINES_MAX)
            return bad(h, 400, "blank lines where a request line belongs");
        buf_reset(b);
    }
    return HTTP1_MORE;
}

/* The next piece of what `left` counts, which is more than 0. */
static enum http1_event next_data(struct http1 *h, const uint8_t *data, size_t bytes, size_t *used,
                                  struct slice *piece)
{
    size_t n = bytes - *used;

    if (n > h->left)
        n = (size_t)h->left;
    if (n == 0)
        return HTTP1_MORE;
    *piece = slice_make(data + *used, n);
    *used += n;
    http1_length_took(h, n);
    return HTTP1_BODY;
}

static int hex_digit(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* `size [; extension]`: the extension is checked and dropped. */
static enum http1_event read_chunk_line(struct http1 *h, struct slice line)
{
    uint64_t size = 0;
    size_t digits = 0;

    while (digits < line.bytes && hex_digit(line.data[digits]) >= 0) {
        if (digits == 15)
            return bad(h, 400, "a chunk size has more than 15 digits");
        size = size * 16 + (uint64_t)hex_digit(line.data[digits++]);
    }
    if (digits == 0 || (digits < line.bytes && line.data[digits] != ';'))
        return bad(h, 400, "a chunk does not begin with its size in hex digits");
    for (size_t i = digits; i < line.bytes; i++)
        if (!is_value(line.data[i]))
            return bad(h, 400, "a chunk extension holds a control character");
    if (!h->unbounded && size > h->body_bytes_max - h->body_bytes)
        return bad(h, 413, "the chunks are over the limit of a body");
    h->left = size;
    h->state = size == 0 ? HTTP1_AT_TRAILER : HTTP1_AT_CHUNK_DATA;
    return HTTP1_MORE;
}

/* Trailers are checked like headers and dropped; none may change what the head said. */
static enum http1_event read_trailer(struct http1 *h, struct slice line)
{
    struct http1_header field;
    enum http1_event event;

    if (line.bytes == 0) {
        h->state = HTTP1_AT_END;
        return HTTP1_END;
    }
    event = read_field(h, line, &field);
    if (event != HTTP1_MORE)
        return event;
    if (same_text(field.name, "content-length") || same_text(field.name, "transfer-encoding") ||
        same_text(field.name, "host"))
        return bad(h, 400, "a trailer may not say how the request is framed");
    return HTTP1_MORE;
}

/* One line between the pieces of a chunked body: a size, the end of a chunk or a trailer. */
static enum http1_event next_line(struct http1 *h, const uint8_t *data, size_t bytes, size_t *used)
{
    enum http1_state state = h->state;
    size_t limit = state == HTTP1_AT_TRAILER ? h->header_bytes_max - h->trailer_bytes
                                             : HTTP1_CHUNK_LINE_BYTES_MAX;
    enum http1_event event = HTTP1_MORE;
    enum line_state got = take_line(&h->line, limit, data + *used, bytes - *used, used);
    struct slice line;

    if (got == LINE_NO_MEMORY)
        return bad(h, 503, "out of memory for a line of the body");
    if (got == LINE_TOO_LONG && state == HTTP1_AT_TRAILER)
        return bad(h, 431, "the trailers are over the limit of a head");
    if (got == LINE_TOO_LONG)
        return bad(h, 400, "a chunk line is longer than its limit");
    if (got == LINE_PART)
        return HTTP1_MORE;
    if (h->line.bytes < 2 || h->line.data[h->line.bytes - 2] != '\r')
        return bad(h, 400, "a line of the chunked body does not end with CR LF");
    line = slice_make(h->line.data, h->line.bytes - 2);
    if (state == HTTP1_AT_TRAILER) {
        h->trailer_bytes += h->line.bytes;
        event = read_trailer(h, line);
    } else {
        h->chunk_cost += h->line.bytes;
        if (h->chunk_cost > h->header_bytes_max + HTTP1_CHUNK_COST_MAX * h->body_bytes)
            return bad(h, 400, "the chunk lines are far longer than the body they carry");
        if (state == HTTP1_AT_CHUNK_LINE)
            event = read_chunk_line(h, line);
        else if (line.bytes != 0)
            event = bad(h, 400, "a chunk is longer than its size says");
        else
            h->state = HTTP1_AT_CHUNK_LINE;
    }
    buf_reset(&h->line);
    return event;
}

enum http1_event http1_next(struct http1 *h, const uint8_t *data, size_t bytes, size_t *used,
                            struct slice *piece)
{
    *used = 0;
    for (;;) {
        enum http1_event event;

        switch (h->state) {
        case HTTP1_AT_HEAD:
            return next_head(h, data, bytes, used);
        case HTTP1_AT_LENGTH:
            if (h->left > 0)
                return next_data(h, data, bytes, used, piece);
            h->state = HTTP1_AT_END;
            break;
        case HTTP1_AT_CHUNK_DATA:
            if (h->left > 0)
                return next_data(h, data, bytes, used, piece);
            h->state = HTTP1_AT_CHUNK_END;
            break;
        case HTTP1_AT_CHUNK_LINE:
        case HTTP1_AT_CHUNK_END:
        case HTTP1_AT_TRAILER:
            if (*used == bytes)
                return HTTP1_MORE;
            event = next_line(h, data, bytes, used);
            if (event != HTTP1_MORE)
                return event;
            break;
        case HTTP1_AT_END:
            return HTTP1_END;
        case HTTP1_AT_BAD:
            return HTTP1_BAD;
        }
    }
}
