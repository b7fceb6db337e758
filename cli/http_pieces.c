#include "cli/http_pieces.h"

#include "cli/http_internal.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

enum { RAW_BYTES_MAX = 1024 * 1024, SIZE_DIGITS_MAX = 15 };

void http_pieces_close(struct http_pieces *p)
{
    if (p->open)
        (void)close(p->fd);
    buf_free(&p->raw);
    *p = (struct http_pieces){0};
}

/* More bytes behind those that are left. */
static status fill(struct http_pieces *p, struct err *err)
{
    size_t left = p->raw.bytes - p->at;
    bool end = false;
    status st;

    if (p->at > 0 && left > 0)
        memmove(p->raw.data, p->raw.data + p->at, left);
    p->raw.bytes = left;
    p->at = 0;
    st = http_receive(p->fd, &p->raw, &end, err);
    if (st == ST_OK && end)
        return err_set(err, ST_UNAVAILABLE, "the answer was cut off");
    return st;
}

static status no_http(struct err *err)
{
    return err_set(err, ST_CORRUPT, "who answers there speaks no HTTP we know");
}

static status read_head(struct http_pieces *p, size_t bytes, struct err *err)
{
    char head[HTTP_HEAD_BYTES_MAX + 1];
    const char *coding;
    const char *after;

    if (bytes > HTTP_HEAD_BYTES_MAX || memchr(p->raw.data, 0, bytes) != NULL)
        return no_http(err);
    memcpy(head, p->raw.data, bytes);
    head[bytes] = '\0';
    if (strncmp(head, "HTTP/1.1 ", 9) != 0 || strspn(head + 9, "0123456789") != 3)
        return no_http(err);
    p->status = atoi(head + 9);
    after = http_find_header(head, "Retry-After");
    if (after != NULL)
        p->retry_after_s = (uint32_t)strtoul(after, NULL, 10) % (HTTP_RETRY_AFTER_S_MAX + 1);
    coding = http_find_header(head, "Transfer-Encoding");
    if (p->status == 200 && (coding == NULL || strncasecmp(coding, "chunked\r", 8) != 0))
        return no_http(err);
    p->at = bytes + 2;
    return ST_OK;
}

status http_pieces_open(struct http_pieces *p, const char *url, const char *path,
                        const char *header, struct err *err)
{
    status st;

    *p = (struct http_pieces){0};
    buf_init(&p->raw, RAW_BYTES_MAX);
    st = http_send_head(url, "GET", path, header, 0, &p->fd, err);
    p->open = st == ST_OK;
    while (st == ST_OK) {
        const uint8_t *end =
            p->raw.bytes == 0 ? NULL : memmem(p->raw.data, p->raw.bytes, "\r\n\r\n", 4);

        if (end != NULL)
            return read_head(p, (size_t)(end - p->raw.data) + 2, err);
        if (p->raw.bytes > HTTP_HEAD_BYTES_MAX)
            return no_http(err);
        st = fill(p, err);
    }
    return st;
}

/* A line between the pieces, without its end. */
static status next_line(struct http_pieces *p, struct slice *out, struct err *err)
{
    for (;;) {
        const uint8_t *from = p->raw.data + p->at;
        size_t have = p->raw.bytes - p->at;
        const uint8_t *end = have == 0 ? NULL : memchr(from, '\n', have);
        status st;

        if (end != NULL && (end == from || end[-1] != '\r'))
            return no_http(err);
        if (end != NULL) {
            *out = slice_make(from, (size_t)(end - from) - 1);
            p->at += (size_t)(end - from) + 1;
            return ST_OK;
        }
        if (have > HTTP_HEAD_BYTES_MAX)
            return no_http(err);
        st = fill(p, err);
        if (st != ST_OK)
            return st;
    }
}

static status read_size(struct http_pieces *p, struct slice line, struct err *err)
{
    static const char digits[] = "0123456789abcdef";
    size_t i = 0;

    p->left = 0;
    for (; i < line.bytes && line.data[i] != ';'; i++) {
        const char *digit = line.data[i] == 0 ? NULL : strchr(digits, line.data[i] | 0x20);

        if (digit == NULL || i == SIZE_DIGITS_MAX)
            return no_http(err);
        p->left = p->left * 16 + (uint64_t)(digit - digits);
    }
    return i == 0 ? no_http(err) : ST_OK;
}

static status take_data(struct http_pieces *p, struct slice *piece, struct err *err)
{
    status st = p->at == p->raw.bytes ? fill(p, err) : ST_OK;
    size_t n;

    if (st != ST_OK)
        return st;
    n = p->raw.bytes - p->at;
    if (n > p->left)
        n = (size_t)p->left;
    *piece = slice_make(p->raw.data + p->at, n);
    p->at += n;
    p->left -= n;
    if (p->left == 0)
        p->state = HTTP_PIECES_BEHIND;
    return ST_OK;
}

status http_pieces_next(struct http_pieces *p, struct slice *piece, bool *end, struct err *err)
{
    struct slice line;
    status st = ST_OK;

    *piece = (struct slice){0};
    *end = false;
    while (st == ST_OK) {
        if (p->state == HTTP_PIECES_DATA)
            return take_data(p, piece, err);
        *end = p->state == HTTP_PIECES_DONE;
        if (*end)
            return ST_OK;
        st = next_line(p, &line, err);
        if (st != ST_OK)
            break;
        if (p->state == HTTP_PIECES_BEHIND) {
            st = line.bytes > 0 ? no_http(err) : ST_OK;
            p->state = HTTP_PIECES_SIZE;
            continue;
        }
        st = read_size(p, line, err);
        p->state = HTTP_PIECES_DATA;
        if (st != ST_OK || p->left > 0)
            continue;
        do /* trailers, of which none means anything here */
            st = next_line(p, &line, err);
        while (st == ST_OK && line.bytes > 0);
        p->state = HTTP_PIECES_DONE;
    }
    return st;
}
