#include "base/json_internal.h"

#include "base/json.h"
#include "base/utf8.h"

#include <assert.h>
#include <math.h>

/* How a byte of a string is written: as it is, as an escape, or by looking closer. */
static bool is_plain(uint8_t byte)
{
    return byte >= 0x20 && byte < 0x7F && byte != '"' && byte != '\\';
}

static void put_escape(struct buf *b, uint8_t byte)
{
    static const char hex[] = "0123456789abcdef";
    char text[] = "\\u0000";

    switch (byte) {
    case '"':
        buf_put(b, "\\\"", 2);
        return;
    case '\\':
        buf_put(b, "\\\\", 2);
        return;
    case '\n':
        buf_put(b, "\\n", 2);
        return;
    case '\r':
        buf_put(b, "\\r", 2);
        return;
    case '\t':
        buf_put(b, "\\t", 2);
        return;
    default:
        text[4] = hex[byte >> 4];
        text[5] = hex[byte & 15];
        buf_put(b, text, 6);
    }
}

void json_put_escaped(struct buf *b, struct slice text)
{
    size_t at = 0;

    while (at < text.bytes) {
        size_t run = at;
        size_t bytes;

        while (run < text.bytes && is_plain(text.data[run]))
            run++;
        buf_put(b, text.data + at, run - at);
        at = run;
        if (at == text.bytes)
            break;
        bytes = utf8_char(text.data + at, text.bytes - at);
        if (bytes == 0)
            buf_put_text(b, "\xEF\xBF\xBD"); /* U+FFFD, for each byte that is not text */
        else if (bytes == 1)
            put_escape(b, text.data[at]);
        else
            buf_put(b, text.data + at, bytes);
        at += bytes == 0 ? 1 : bytes;
    }
}

void json_put_string(struct buf *b, struct slice text)
{
    buf_put(b, "\"", 1);
    json_put_escaped(b, text);
    buf_put(b, "\"", 1);
}

/* Into out, without a NUL; returns the length. */
static size_t print_u64(char out[20], uint64_t v)
{
    char digits[20];
    size_t at = sizeof digits;

    do {
        digits[--at] = (char)('0' + v % 10);
        v /= 10;
    } while (v != 0);
    memcpy(out, digits + at, sizeof digits - at);
    return sizeof digits - at;
}

void json_put_u64(struct buf *b, uint64_t v)
{
    char text[20];

    buf_put(b, text, print_u64(text, v));
}

void json_put_i64(struct buf *b, int64_t v)
{
    char text[21] = "-";

    if (v >= 0)
        json_put_u64(b, (uint64_t)v);
    else
        buf_put(b, text, 1 + print_u64(text + 1, 0 - (uint64_t)v));
}

static size_t print_f32(char *out, float v)
{
    if (isfinite(v))
        return json_chars_f32(out, v);
    memcpy(out, "null", 4);
    return 4;
}

void json_put_f32(struct buf *b, float v)
{
    char text[JSON_CHARS_MAX];

    buf_put(b, text, print_f32(text, v));
}

void json_put_f64(struct buf *b, double v)
{
    char text[JSON_CHARS_MAX + 2];
    size_t bytes;

    if (!isfinite(v)) {
        buf_put(b, "null", 4);
        return;
    }
    bytes = json_chars_f64(text, v);
    if (memchr(text, '.', bytes) == NULL && memchr(text, 'e', bytes) == NULL) {
        memcpy(text + bytes, ".0", 2);
        bytes += 2;
    }
    buf_put(b, text, bytes);
}

/* Printed in pieces on the stack, so that the buffer is asked once a piece and for no more than
 * what is printed. */
void json_put_floats(struct buf *b, const float *v, size_t count)
{
    enum { PIECE = 64 };
    char text[PIECE * (JSON_CHARS_MAX + 1)];

    buf_put(b, "[", 1);
    for (size_t at = 0; at < count; at += PIECE) {
        size_t end = count - at < PIECE ? count : at + PIECE;
        size_t bytes = 0;

        for (size_t i = at; i < end; i++) {
            if (i > 0)
                text[bytes++] = ',';
            bytes += print_f32(text + bytes, v[i]);
        }
        buf_put(b, text, bytes);
    }
    buf_put(b, "]", 1);
}
