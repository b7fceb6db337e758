#include "api/router.h"

#include <stdio.h>

static const char *const METHOD_NAMES[] = {
    [METHOD_OTHER] = "OTHER",   [METHOD_GET] = "GET",         [METHOD_HEAD] = "HEAD",
    [METHOD_POST] = "POST",     [METHOD_PUT] = "PUT",         [METHOD_PATCH] = "PATCH",
    [METHOD_DELETE] = "DELETE", [METHOD_OPTIONS] = "OPTIONS",
};

enum http_method http_method_parse(struct slice text)
{
    for (size_t i = METHOD_GET; i < COUNT_OF(METHOD_NAMES); i++)
        if (slice_equal(text, slice_text(METHOD_NAMES[i])))
            return (enum http_method)i;
    return METHOD_OTHER;
}

const char *http_method_name(enum http_method m)
{
    return METHOD_NAMES[m];
}

static int hex_value(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

status percent_decode(struct arena *arena, struct slice text, bool plus, struct slice *out,
                      struct err *err)
{
    uint8_t *to;
    size_t bytes = 0;

    if (memchr(text.data == NULL ? (const void *)"" : text.data, '%', text.bytes) == NULL &&
        (!plus ||
         memchr(text.data == NULL ? (const void *)"" : text.data, '+', text.bytes) == NULL)) {
        *out = text; /* nothing to decode: borrowed from the head, which lives as long */
        return ST_OK;
    }
    to = arena_alloc(arena, text.bytes);
    if (to == NULL)
        return err_set(err, ST_NOMEM, "out of memory for a decoded path");
    for (size_t i = 0; i < text.bytes; i++) {
        int high;
        int low;

        if (text.data[i] != '%') {
            to[bytes++] = plus && text.data[i] == '+' ? ' ' : text.data[i];
            continue;
        }
        high = i + 2 < text.bytes ? hex_value(text.data[i + 1]) : -1;
        low = i + 2 < text.bytes ? hex_value(text.data[i + 2]) : -1;
        if (high < 0 || low < 0)
            return err_set(err, ST_INVALID, "a %% is not followed by two hex digits");
        if (high == 0 && low == 0)
            return err_set(err, ST_INVALID, "%%00 is not allowed in a path or a query");
        to[bytes++] = (uint8_t)(high << 4 | low);
        i += 2;
    }
    *out = slice_make(to, bytes);
    return ST_OK;
}

struct path {
    size_t count;
    struct slice segments[ROUTE_SEGMENTS_MAX];
};

/* A path of more segments than any route has gets count 0, which matches nothing. */
static status path_split(struct arena *arena, struct slice raw, struct path *out, struct err *err)
{
    struct slice left = raw;

    out->count = 0;
    if (left.bytes > 1 && left.data[left.bytes - 1] == '/')
        left.bytes--;
    while (left.bytes > 0) { /* left begins with the slash in front of a segment */
        const uint8_t *slash = memchr(left.data + 1, '/', left.bytes - 1);
        size_t bytes = slash == NULL ? left.bytes : (size_t)(slash - left.data);
        struct slice decoded;
        status st =
            percent_decode(arena, slice_make(left.data + 1, bytes - 1), false, &decoded, err);

        if (st != ST_OK)
            return st;
        if (out->count == ROUTE_SEGMENTS_MAX) {
            out->count = 0;
            return ST_OK;
        }
        out->segments[out->count++] = decoded;
        left = slice_make(left.data + bytes, left.bytes - bytes);
    }
    return ST_OK;
}

static bool pattern_matches(const char *pattern, const struct path *path, struct route_match *out)
{
    size_t at = 0;

    out->param_count = 0;
    while (*pattern == '/') {
        size_t bytes = strcspn(pattern + 1, "/");
        struct slice want = slice_make(pattern + 1, bytes);

        if (at == path->count)
            return false;
        if (bytes > 0 && want.data[0] == '{') {
            if (path->segments[at].bytes == 0)
                return false;
            out->params[out->param_count++] = path->segments[at];
        } else if (!slice_equal(want, path->segments[at])) {
            return false;
        }
        at++;
        pattern += 1 + bytes;
    }
    return at == path->count;
}

/* Where patterns with and without braces match, the path is that of the one with fewer: what is
 * told of it is of that alone. */
static size_t braces(const char *pattern)
{
    size_t count = 0;

    for (; *pattern != '\0'; pattern++)
        count += *pattern == '{';
    return count;
}

static void allow_method(struct route_match *out, enum http_method method)
{
    size_t used = strlen(out->allow);

    (void)snprintf(out->allow + used, sizeof out->allow - used, "%s%s", used == 0 ? "" : ", ",
                   http_method_name(method));
}

status route_find(const struct route *routes, size_t count, enum http_method method,
                  struct slice path, struct arena *arena, struct route_match *out, struct err *err)
{
    enum http_method want = method == METHOD_HEAD ? METHOD_GET : method;
    size_t fewest = ROUTE_SEGMENTS_MAX;
    struct path split;
    status st = path_split(arena, path, &split, err);

    *out = (struct route_match){0};
    if (st != ST_OK)
        return st;
    for (size_t i = 0; i < count && split.count > 0; i++) {
        if (!pattern_matches(routes[i].pattern, &split, out))
            continue;
        if (routes[i].method == want) {
            out->route = &routes[i];
            out->allow[0] = '\0';
            return ST_OK;
        }
        if (braces(routes[i].pattern) > fewest)
            continue;
        if (braces(routes[i].pattern) < fewest)
            out->allow[0] = '\0';
        fewest = braces(routes[i].pattern);
        allow_method(out, routes[i].method);
        if (routes[i].method == METHOD_GET)
            allow_method(out, METHOD_HEAD);
    }
    out->param_count = 0;
    if (out->allow[0] != '\0')
        return err_set(err, ST_DENIED, "this path answers %s", out->allow);
    return err_set(err, ST_NOT_FOUND, "no route has this path");
}

status query_parse(struct arena *arena, struct slice text, struct query_param *out, size_t *count,
                   struct err *err)
{
    *count = 0;
    while (text.bytes > 0) {
        const uint8_t *amp = memchr(text.data, '&', text.bytes);
        struct slice pair =
            slice_make(text.data, amp == NULL ? text.bytes : (size_t)(amp - text.data));
        size_t step = pair.bytes + (amp == NULL ? 0 : 1);
        const uint8_t *equals = pair.bytes == 0 ? NULL : memchr(pair.data, '=', pair.bytes);
        size_t name_bytes = equals == NULL ? pair.bytes : (size_t)(equals - pair.data);
        struct slice value = {0};
        status st;

        text = slice_make(text.data + step, text.bytes - step);
        if (pair.bytes == 0)
            continue;
        if (*count == ROUTE_QUERY_MAX)
            return err_set(err, ST_INVALID, "there are more than %d query parameters",
                           ROUTE_QUERY_MAX);
        if (equals != NULL)
            value = slice_make(equals + 1, pair.bytes - name_bytes - 1);
        st = percent_decode(arena, slice_make(pair.data, name_bytes), true, &out[*count].name, err);
        if (st == ST_OK)
            st = percent_decode(arena, value, true, &out[*count].value, err);
        if (st != ST_OK)
            return st;
        (*count)++;
    }
    return ST_OK;
}

static const char BASE64URL[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

void base64url_put(struct buf *b, struct slice bytes)
{
    for (size_t i = 0; i < bytes.bytes; i += 3) {
        size_t n = bytes.bytes - i < 3 ? bytes.bytes - i : 3;
        uint32_t group = (uint32_t)bytes.data[i] << 16;
        char text[4];

        if (n > 1)
            group |= (uint32_t)bytes.data[i + 1] << 8;
        if (n > 2)
            group |= bytes.data[i + 2];
        for (unsigned c = 0; c < 4; c++)
            text[c] = BASE64URL[group >> (18 - 6 * c) & 63];
        buf_put(b, text, n + 1);
    }
}

status base64url_decode(struct arena *arena, struct slice text, struct slice *out, struct err *err)
{
    uint8_t *to = arena_alloc(arena, text.bytes + 1);
    size_t bytes = 0;
    uint32_t group = 0;

    if (to == NULL)
        return err_set(err, ST_NOMEM, "out of memory for a cursor");
    if (text.bytes % 4 == 1)
        return err_set(err, ST_INVALID, "a cursor of %zu characters cannot be", text.bytes);
    for (size_t i = 0; i < text.bytes; i++) {
        const char *digit = text.data[i] == '\0' ? NULL : strchr(BASE64URL, text.data[i]);

        if (digit == NULL)
            return err_set(err, ST_INVALID, "character %zu is not base64url", i);
        group = group << 6 | (uint32_t)(digit - BASE64URL);
        if (i % 4 != 0)
            to[bytes++] = (uint8_t)(group >> (6 - 2 * (i % 4)));
    }
    *out = slice_make(to, bytes);
    return ST_OK;
}
