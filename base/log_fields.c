/* Keys are found in the format, and where their values stand in the printed text by asking how long
 * the text is that the format prints up to there. So nothing in a value can pass for a key, and the
 * conversions are left to vsnprintf alone. */
#include "base/log_internal.h"

#include "base/json.h"
#include "base/json_internal.h"
#include "base/utf8.h"

#include <stdio.h>

enum { FORMAT_BYTES_MAX = 1024 };

struct key_place {
    size_t key; /* offsets in the format */
    size_t equals;
};

static bool is_key_byte(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '.';
}

/* The next `key=` at the start of the format or behind a blank, from `at` on. */
static bool next_key(const char *format, size_t at, struct key_place *out)
{
    for (; format[at] != '\0'; at++) {
        size_t end = at;

        if (at > 0 && format[at - 1] != ' ')
            continue;
        while (is_key_byte(format[end]))
            end++;
        if (end == at || format[end] != '=')
            continue;
        *out = (struct key_place){at, end};
        return true;
    }
    return false;
}

/* What the first `bytes` of the format print; as much as fits is in text. */
static size_t print_front(char *text, size_t text_bytes, const char *format, size_t bytes,
                          va_list args)
{
    char front[FORMAT_BYTES_MAX];
    va_list again;
    int printed;

    if (bytes >= sizeof front)
        bytes = sizeof front - 1;
    memcpy(front, format, bytes);
    front[bytes] = '\0';
    va_copy(again, args);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral" /* a part of what log_write() had checked */
    printed = vsnprintf(text, text_bytes, front, again);
#pragma GCC diagnostic pop
    va_end(again);
    return printed < 0 ? 0 : (size_t)printed;
}

/* One conversion that prints a number, and nothing else. */
static bool is_number_format(const char *format, size_t bytes)
{
    if (bytes < 2 || format[0] != '%' || strchr("diufFeEgG", format[bytes - 1]) == NULL)
        return false;
    for (size_t i = 1; i + 1 < bytes; i++)
        if (strchr("+-#0123456789.*hlqjzt", format[i]) == NULL)
            return false;
    return true;
}

/* What is written without quotes must be JSON; nan and 007 are not. */
static bool is_number(struct slice value)
{
    struct json_fault fault;

    return !json_fault_find(value.data, value.bytes, &fault);
}

static void add(struct log_fields *f, struct slice key, size_t from, size_t to, bool number)
{
    if (to < from) /* a format that vsnprintf does not know */
        to = from;
    if (from > LOG_TEXT_BYTES_MAX || f->count == LOG_FIELDS_MAX) {
        f->cut = true;
        return;
    }
    if (to > LOG_TEXT_BYTES_MAX) {
        f->cut = true;
        number = false;
        to = LOG_TEXT_BYTES_MAX;
    }
    f->field[f->count] = (struct log_field){key, slice_make(f->text + from, to - from), number};
    f->field[f->count].number = number && is_number(f->field[f->count].value);
    f->count++;
}

/* Without the blanks around it. */
static void add_lead(struct log_fields *f, size_t to)
{
    size_t from = 0;

    if (to > LOG_TEXT_BYTES_MAX)
        to = LOG_TEXT_BYTES_MAX;
    while (from < to && f->text[from] == ' ')
        from++;
    while (to > from && f->text[to - 1] == ' ')
        to--;
    if (to > from)
        add(f, slice_text("text"), from, to, false);
}

void log_fields_make(struct log_fields *f, const char *format, va_list args)
{
    size_t format_bytes = strnlen(format, FORMAT_BYTES_MAX - 1);
    struct key_place key;
    bool more = next_key(format, 0, &key);
    size_t all;

    f->count = 0;
    f->cut = false;
    all = print_front(f->text, sizeof f->text, format, format_bytes, args);
    add_lead(f, more ? print_front(NULL, 0, format, key.key, args) : all);
    while (more && key.equals < format_bytes) {
        struct slice name = slice_make(format + key.key, key.equals - key.key);
        size_t value_at = key.equals + 1;
        size_t from = print_front(NULL, 0, format, value_at, args);
        size_t to = all;
        size_t value_end = format_bytes;

        more = next_key(format, value_at, &key);
        if (more && key.key < format_bytes) {
            value_end = key.key - 1; /* without the blank */
            to = print_front(NULL, 0, format, value_end, args);
        }
        add(f, name, from, to, is_number_format(format + value_at, value_end - value_at));
    }
}

bool log_fields_has(const struct log_fields *f, const char *key)
{
    for (size_t i = 0; i < f->count; i++)
        if (slice_equal(f->field[i].key, slice_text(key)))
            return true;
    return false;
}

void log_put_json_fields(struct buf *b, const struct log_fields *f)
{
    buf_put_text(b, "{");
    for (size_t i = 0; i < f->count; i++) {
        if (i > 0)
            buf_put_text(b, ",");
        json_put_string(b, f->field[i].key);
        buf_put_text(b, ":");
        if (f->field[i].number)
            buf_put_slice(b, f->field[i].value);
        else
            json_put_string(b, f->field[i].value);
    }
    if (f->cut)
        buf_put_text(b, f->count > 0 ? ",\"log_cut\":true" : "\"log_cut\":true");
    buf_put_text(b, "}");
}

/* U+0080 to U+009F: to some terminals these are commands. */
static bool is_c1(const uint8_t *at, size_t left)
{
    return left >= 2 && at[0] == 0xC2 && at[1] >= 0x80 && at[1] <= 0x9F;
}

static bool is_plain(struct slice value)
{
    for (size_t at = 0; at < value.bytes; at++)
        if (value.data[at] <= 0x20 || value.data[at] == 0x7F || value.data[at] == '"' ||
            value.data[at] == '\\' || value.data[at] == '=' ||
            is_c1(value.data + at, value.bytes - at))
            return false;
    return value.bytes > 0 && utf8_valid(value.data, value.bytes);
}

void log_put_pretty_value(struct buf *b, struct slice value)
{
    size_t done = 0;

    if (is_plain(value)) {
        buf_put_slice(b, value);
        return;
    }
    buf_put_text(b, "\"");
    for (size_t at = 0; at < value.bytes; at++) {
        if (!is_c1(value.data + at, value.bytes - at))
            continue;
        json_put_escaped(b, slice_make(value.data + done, at - done));
        buf_printf(b, "\\u%04x", value.data[++at]);
        done = at + 1;
    }
    json_put_escaped(b, slice_make(value.data + done, value.bytes - done));
    buf_put_text(b, "\"");
}

void log_put_pretty_fields(struct buf *b, const struct log_fields *f)
{
    for (size_t i = 0; i < f->count; i++) {
        buf_put_text(b, " ");
        buf_put_slice(b, f->field[i].key);
        buf_put_text(b, "=");
        log_put_pretty_value(b, f->field[i].value);
    }
    if (f->cut)
        buf_put_text(b, " log_cut=true");
}
