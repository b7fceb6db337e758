#include "api/split.h"

/* What opens or ends something. */
static const bool STRUCTURE[256] = {
    ['"'] = true, ['{'] = true, ['}'] = true, ['['] = true, [']'] = true};

static void skip_blanks(struct split *s)
{
    while (s->at < s->text.bytes) {
        uint8_t c = s->text.data[s->at];

        if (c != ' ' && c != '\t' && c != '\n' && c != '\r')
            return;
        s->at++;
    }
}

/* Blanks, then this character. */
static bool take(struct split *s, char c)
{
    skip_blanks(s);
    if (s->at == s->text.bytes || s->text.data[s->at] != (uint8_t)c)
        return false;
    s->at++;
    return true;
}

bool split_begin(struct split *s, struct slice text, const char *name)
{
    size_t bytes = strlen(name);

    *s = (struct split){.text = text, .first = true};
    if (!take(s, '{') || !take(s, '"') || text.bytes - s->at < bytes ||
        memcmp(text.data + s->at, name, bytes) != 0)
        return false;
    s->at += bytes;
    return s->at < text.bytes && text.data[s->at++] == '"' && take(s, ':') && take(s, '[');
}

/* From behind a string's first quote to behind its last. */
static bool skip_string(struct split *s)
{
    const uint8_t *text = s->text.data;

    while (s->at < s->text.bytes) {
        const uint8_t *quote = memchr(text + s->at, '"', s->text.bytes - s->at);
        size_t escapes = 0;
        size_t end;

        if (quote == NULL)
            return false;
        end = (size_t)(quote - text);
        while (end > s->at + escapes && text[end - escapes - 1] == '\\')
            escapes++;
        s->at = end + 1;
        if (escapes % 2 == 0)
            return true;
    }
    return false;
}

/* From behind the first '{' to behind the bracket that closes it; which kinds of brackets meet is
 * the reader's to say. */
static bool skip_object(struct split *s)
{
    size_t depth = 1;

    while (s->at < s->text.bytes) {
        uint8_t c = s->text.data[s->at++];

        if (!STRUCTURE[c])
            continue;
        if (c == '"') {
            if (!skip_string(s))
                return false;
        } else if (c == '{' || c == '[') {
            depth++;
        } else if (--depth == 0) {
            return c == '}';
        }
    }
    return false;
}

static bool ends(struct split *s)
{
    if (!take(s, ']') || !take(s, '}'))
        return false;
    skip_blanks(s);
    return s->at == s->text.bytes;
}

enum split_step split_next(struct split *s, struct slice *element)
{
    size_t from;

    skip_blanks(s);
    if (s->at < s->text.bytes && s->text.data[s->at] == ']')
        return ends(s) ? SPLIT_END : SPLIT_OTHER;
    if ((!s->first && !take(s, ',')) || !take(s, '{'))
        return SPLIT_OTHER;
    from = s->at - 1;
    s->first = false;
    if (!skip_object(s))
        return SPLIT_OTHER;
    *element = slice_make(s->text.data + from, s->at - from);
    return SPLIT_ELEMENT;
}
