#include "api/qdrant_points_cut.h"

/* What opens or ends something. */
static const bool STRUCTURE[256] = {
    ['"'] = true, ['{'] = true, ['}'] = true, ['['] = true, [']'] = true};

struct cut cut_make(struct slice text)
{
    return (struct cut){.text = text};
}

static bool is_blank(uint8_t c)
{
    return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

char cut_peek(struct cut *c)
{
    while (c->at < c->text.bytes && is_blank(c->text.data[c->at]))
        c->at++;
    return c->at < c->text.bytes ? (char)c->text.data[c->at] : '\0';
}

static bool take(struct cut *c, char wanted)
{
    if (cut_peek(c) != wanted || wanted == '\0')
        return false;
    c->at++;
    return true;
}

bool cut_open(struct cut *c, struct cut_list *list, char bracket)
{
    *list = (struct cut_list){.object = bracket == '{'};
    return take(c, bracket);
}

/* From behind a string's first quote to behind its last. */
static bool skip_string(struct cut *c)
{
    const uint8_t *text = c->text.data;

    while (c->at < c->text.bytes) {
        const uint8_t *quote = memchr(text + c->at, '"', c->text.bytes - c->at);
        size_t escapes = 0;
        size_t end;

        if (quote == NULL)
            return false;
        end = (size_t)(quote - text);
        while (end > c->at + escapes && text[end - escapes - 1] == '\\')
            escapes++;
        c->at = end + 1;
        if (escapes % 2 == 0)
            return true;
    }
    return false;
}

static bool take_key(struct cut *c, struct slice *key)
{
    size_t from;

    if (!take(c, '"'))
        return false;
    from = c->at;
    if (!skip_string(c))
        return false;
    *key = slice_make(c->text.data + from, c->at - from - 1);
    return memchr(key->data, '\\', key->bytes) == NULL && take(c, ':');
}

enum cut_step cut_next(struct cut *c, struct cut_list *list, struct slice *key)
{
    if (take(c, list->object ? '}' : ']'))
        return CUT_END;
    if (list->begun && !take(c, ','))
        return CUT_OTHER;
    list->begun = true;
    if (list->object && !take_key(c, key))
        return CUT_OTHER;
    return CUT_ITEM;
}

/* An array of nothing but numbers, which most of a large body is: behind its end, at the speed of
 * memchr. Nothing moves when it is another one. */
static bool skip_numbers(struct cut *c)
{
    const uint8_t *from = c->text.data + c->at;
    const uint8_t *end;
    size_t bytes;

    if (c->at == c->text.bytes || (*from != '-' && (*from < '0' || *from > '9')))
        return false;
    end = memchr(from, ']', c->text.bytes - c->at);
    if (end == NULL)
        return false;
    bytes = (size_t)(end - from);
    if (memchr(from, '"', bytes) != NULL || memchr(from, '[', bytes) != NULL ||
        memchr(from, '{', bytes) != NULL)
        return false;
    c->at += bytes + 1;
    return true;
}

/* From behind the first bracket to behind the one that closes it; which kinds of brackets meet is
 * the reader's to say. */
static bool skip_brackets(struct cut *c)
{
    size_t depth = 1;

    if (c->text.data[c->at - 1] == '[' && skip_numbers(c))
        return true;
    while (c->at < c->text.bytes) {
        uint8_t ch = c->text.data[c->at++];

        if (!STRUCTURE[ch])
            continue;
        if (ch == '"') {
            if (!skip_string(c))
                return false;
        } else if (ch == '{') {
            depth++;
        } else if (ch == '[') {
            depth += skip_numbers(c) ? 0 : 1;
        } else if (--depth == 0) {
            return true;
        }
    }
    return false;
}

static bool skip_scalar(struct cut *c)
{
    size_t from = c->at;

    while (c->at < c->text.bytes) {
        uint8_t ch = c->text.data[c->at];

        if (ch == ',' || is_blank(ch) || STRUCTURE[ch])
            break;
        c->at++;
    }
    return c->at > from;
}

bool cut_value(struct cut *c, struct slice *value)
{
    char first = cut_peek(c);
    size_t from = c->at;
    bool fine;

    if (first == '{' || first == '[') {
        c->at++;
        fine = skip_brackets(c);
    } else if (first == '"') {
        c->at++;
        fine = skip_string(c);
    } else {
        fine = skip_scalar(c);
    }
    if (fine)
        *value = slice_make(c->text.data + from, c->at - from);
    return fine;
}

bool cut_at_end(struct cut *c)
{
    return cut_peek(c) == '\0' && c->at == c->text.bytes;
}
