#include "api/multipart.h"

enum { FIRST = 0, BETWEEN, BEHIND, HEADERS, FILE_BYTES, PAST };

/* --- parameters of a header --- */

static uint8_t lower(uint8_t c)
{
    return c >= 'A' && c <= 'Z' ? (uint8_t)(c + 32) : c;
}

static bool begins(struct slice s, const char *text)
{
    size_t bytes = strlen(text);

    if (s.bytes < bytes)
        return false;
    for (size_t i = 0; i < bytes; i++)
        if (lower(s.data[i]) != (uint8_t)text[i])
            return false;
    return true;
}

static void skip(struct slice *s, size_t bytes)
{
    s->data += bytes;
    s->bytes -= bytes;
}

static void skip_blanks(struct slice *s)
{
    while (s->bytes > 0 && (s->data[0] == ' ' || s->data[0] == '\t'))
        skip(s, 1);
}

/* A value at the front of *s, quoted or not; false: a quote that is not closed. What is escaped in
 * it stays so: no boundary and no name that matters here has a backslash. */
static bool take_value(struct slice *s, struct slice *out)
{
    size_t end = 0;

    if (s->bytes > 0 && s->data[0] == '"') {
        for (end = 1; end < s->bytes && s->data[end] != '"'; end++)
            end += s->data[end] == '\\';
        if (end >= s->bytes)
            return false;
        *out = slice_make(s->data + 1, end - 1);
        skip(s, end + 1);
        return true;
    }
    while (end < s->bytes && s->data[end] != ';' && s->data[end] != ' ' && s->data[end] != '\t')
        end++;
    *out = slice_make(s->data, end);
    skip(s, end);
    return true;
}

/* `name`, in lower case, with its `=`. */
static bool parameter(struct slice s, const char *name, struct slice *out)
{
    while (s.bytes > 0) {
        struct slice value;
        bool found;

        while (s.bytes > 0 && s.data[0] != ';')
            skip(&s, 1);
        if (s.bytes == 0)
            return false;
        skip(&s, 1);
        skip_blanks(&s);
        found = begins(s, name);
        while (s.bytes > 0 && s.data[0] != '=' && s.data[0] != ';')
            skip(&s, 1);
        if (s.bytes == 0 || s.data[0] == ';')
            continue;
        skip(&s, 1);
        if (!take_value(&s, &value))
            return false;
        if (found) {
            *out = value;
            return true;
        }
    }
    return false;
}

bool multipart_is(struct slice content_type)
{
    return begins(content_type, "multipart/form-data");
}

/* RFC 2046, 5.1.1. */
static bool is_boundary(struct slice s)
{
    static const char others[] = "'()+_,-./:=? ";

    if (s.bytes == 0 || s.bytes > MULTIPART_BOUNDARY_BYTES_MAX || s.data[s.bytes - 1] == ' ')
        return false;
    for (size_t i = 0; i < s.bytes; i++) {
        uint8_t c = s.data[i];
        bool plain = (lower(c) >= 'a' && lower(c) <= 'z') || (c >= '0' && c <= '9');

        if (!plain && (c == 0 || strchr(others, c) == NULL))
            return false;
    }
    return true;
}

status multipart_init(struct multipart *m, struct slice content_type, struct err *err)
{
    struct slice boundary;

    *m = (struct multipart){.state = FIRST};
    if (!multipart_is(content_type) || !parameter(content_type, "boundary=", &boundary) ||
        !is_boundary(boundary))
        return err_set(err, ST_INVALID,
                       "Content-Type says multipart/form-data, and no boundary of 1 to %d "
                       "characters that RFC 2046 allows",
                       MULTIPART_BOUNDARY_BYTES_MAX);
    memcpy(m->delimiter, "\r\n--", 4);
    memcpy(m->delimiter + 4, boundary.data, boundary.bytes);
    m->delimiter_bytes = 4 + boundary.bytes;
    return ST_OK;
}

/* --- the body --- */

/* Where the delimiter begins; its length short of the end, where it may begin, if it does not. */
static size_t find(const struct multipart *m, struct slice have, bool *found)
{
    size_t at = 0;

    *found = false;
    while (have.bytes - at >= m->delimiter_bytes) {
        const uint8_t *cr = memchr(have.data + at, '\r', have.bytes - at - m->delimiter_bytes + 1);

        if (cr == NULL)
            return have.bytes - m->delimiter_bytes + 1;
        at = (size_t)(cr - have.data);
        if (memcmp(cr, m->delimiter, m->delimiter_bytes) == 0) {
            *found = true;
            return at;
        }
        at++;
    }
    return at;
}

/* The very first one has no line before it. */
static bool pass_first(struct multipart *m, struct slice have, size_t *at)
{
    size_t bytes = m->delimiter_bytes - 2;

    if (have.bytes < bytes && memcmp(have.data, m->delimiter + 2, have.bytes) == 0)
        return false;
    m->state = BETWEEN;
    if (have.bytes >= bytes && memcmp(have.data, m->delimiter + 2, bytes) == 0) {
        m->state = BEHIND;
        *at += bytes;
    }
    return true;
}

/* In what is not the file, or in it. */
static bool pass_bytes(struct multipart *m, struct slice have, size_t *at, struct buf *out)
{
    bool found;
    size_t bytes = find(m, have, &found);

    if (m->state == FILE_BYTES)
        buf_put(out, have.data, bytes);
    *at += bytes;
    if (!found)
        return false;
    *at += m->delimiter_bytes;
    m->state = m->state == FILE_BYTES ? PAST : BEHIND;
    return true;
}

/* Between a delimiter and the headers: the end of its line. */
static bool pass_line_end(struct multipart *m, struct slice have, size_t *at, struct err *err)
{
    struct slice s = have;

    skip_blanks(&s);
    if (s.bytes < 2) {
        *at += have.bytes - s.bytes;
        return false;
    }
    if (s.data[0] == '-' && s.data[1] == '-')
        (void)err_set(err, ST_INVALID, "no part of the body is a file");
    else if (s.data[0] != '\r' || s.data[1] != '\n')
        (void)err_set(err, ST_INVALID, "a boundary of the body has other bytes behind it");
    *at += have.bytes - s.bytes + 2;
    m->state = HEADERS;
    m->header_bytes = 0;
    m->wanted = false;
    return true;
}

static void look_at_header(struct multipart *m, struct slice line)
{
    static const char name[] = "content-disposition:";
    struct slice value;

    if (!begins(line, name))
        return;
    m->wanted = parameter(line, "filename=", &value) || parameter(line, "filename*=", &value) ||
                (parameter(line, "name=", &value) && slice_equal(value, slice_text("snapshot")));
}

static bool pass_header(struct multipart *m, struct slice have, size_t *at, struct err *err)
{
    const uint8_t *end = have.bytes == 0 ? NULL : memchr(have.data, '\n', have.bytes);
    size_t bytes = end != NULL ? (size_t)(end - have.data) + 1 : have.bytes;

    if (m->header_bytes + bytes > MULTIPART_HEADER_BYTES_MAX) {
        (void)err_set(err, ST_INVALID, "the headers of a part have more than %d bytes",
                      MULTIPART_HEADER_BYTES_MAX);
        return true;
    }
    if (end == NULL)
        return false;
    if (bytes < 2 || end[-1] != '\r') {
        (void)err_set(err, ST_INVALID, "a header of a part does not end with CR LF");
        return true;
    }
    *at += bytes;
    m->header_bytes += bytes;
    if (bytes == 2)
        m->state = m->wanted ? FILE_BYTES : BETWEEN;
    else
        look_at_header(m, slice_make(have.data, bytes - 2));
    return true;
}

/* True: something was passed, or is wrong. */
static bool pass(struct multipart *m, struct slice have, size_t *at, struct buf *out,
                 struct err *err)
{
    switch (m->state) {
    case FIRST:
        return have.bytes > 0 && pass_first(m, have, at);
    case BEHIND:
        return pass_line_end(m, have, at, err);
    case HEADERS:
        return pass_header(m, have, at, err);
    default:
        return pass_bytes(m, have, at, out);
    }
}

enum multipart_step multipart_take(struct multipart *m, struct slice have, bool last, size_t *used,
                                   struct buf *out, struct err *err)
{
    struct err wrong = {0};
    size_t at = 0;

    while (m->state != PAST && wrong.text[0] == '\0' &&
           pass(m, slice_make(have.data + at, have.bytes - at), &at, out, &wrong))
        continue;
    *used = m->state == PAST ? have.bytes : at;
    if (wrong.text[0] == '\0' && m->state == PAST)
        return MULTIPART_END;
    if (wrong.text[0] == '\0' && !last)
        return MULTIPART_MORE;
    if (wrong.text[0] == '\0')
        (void)err_set(&wrong, ST_INVALID, "the body ends before its file does");
    if (err != NULL)
        *err = wrong;
    return MULTIPART_BAD;
}
