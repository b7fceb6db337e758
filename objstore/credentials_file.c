#include "objstore/credentials_file.h"

struct line {
    struct slice text; /* without blanks at its ends */
    size_t indent;
};

static bool is_blank(uint8_t c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

static struct slice trim(struct slice s)
{
    while (s.bytes > 0 && is_blank(s.data[0]))
        s = slice_make(s.data + 1, s.bytes - 1);
    while (s.bytes > 0 && is_blank(s.data[s.bytes - 1]))
        s.bytes--;
    return s;
}

/* Takes the next line off the text; false at its end. */
static bool next_line(struct slice *text, struct line *out)
{
    const uint8_t *end;
    struct slice line = *text;

    if (text->bytes == 0)
        return false;
    end = memchr(text->data, '\n', text->bytes);
    if (end != NULL)
        line.bytes = (size_t)(end - text->data);
    *text = slice_make(text->data + line.bytes, text->bytes - line.bytes);
    if (end != NULL)
        *text = slice_make(text->data + 1, text->bytes - 1);
    out->indent = 0;
    while (out->indent < line.bytes && is_blank(line.data[out->indent]))
        out->indent++;
    out->text = trim(line);
    return true;
}

static bool is_comment(struct slice s)
{
    return s.bytes == 0 || s.data[0] == '#' || s.data[0] == ';';
}

static struct slice without_comment(struct slice s)
{
    for (size_t i = 1; i < s.bytes; i++)
        if ((s.data[i] == '#' || s.data[i] == ';') && is_blank(s.data[i - 1]))
            return trim(slice_make(s.data, i));
    return s;
}

/* "[name]" -> name; for a config file "[profile name]" -> name, but "[default]" as it is. */
static bool section_is(struct slice line, const char *profile, bool config)
{
    static const char prefix[] = "profile";
    const uint8_t *end = memchr(line.data, ']', line.bytes);
    struct slice name;

    if (end == NULL)
        return false;
    name = trim(slice_make(line.data + 1, (size_t)(end - line.data) - 1));
    if (config && name.bytes > sizeof prefix && memcmp(name.data, prefix, sizeof prefix - 1) == 0 &&
        is_blank(name.data[sizeof prefix - 1]))
        name = trim(slice_make(name.data + sizeof prefix - 1, name.bytes - (sizeof prefix - 1)));
    else if (config && strcmp(profile, "default") != 0)
        return false;
    return slice_equal(name, slice_text(profile));
}

bool profile_read(struct slice text, const char *profile, bool config, profile_key_fn *fn,
                  void *arg)
{
    struct line line;
    bool found = false;
    bool inside = false;
    bool has_key = false;
    size_t key_indent = 0;

    while (next_line(&text, &line)) {
        const uint8_t *equals;

        if (is_comment(line.text))
            continue;
        if (line.text.data[0] == '[') {
            inside = section_is(line.text, profile, config);
            found |= inside;
            has_key = false;
            continue;
        }
        if (has_key && line.indent > key_indent)
            continue;
        equals = memchr(line.text.data, '=', line.text.bytes);
        if (equals == NULL)
            continue;
        has_key = true;
        key_indent = line.indent;
        if (inside) {
            size_t at = (size_t)(equals - line.text.data);

            fn(arg, trim(slice_make(line.text.data, at)),
               without_comment(
                   trim(slice_make(line.text.data + at + 1, line.text.bytes - at - 1))));
        }
    }
    return found;
}
