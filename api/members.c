#include "api/members.h"

#include <inttypes.h>
#include <stdio.h>

enum { NAMES_BYTES = 256 };

bool parse_fail(struct parse *p, enum problem problem, const char *format, ...)
{
    size_t used = 0;
    va_list args;

    p->problem = problem;
    if (p->list != NULL)
        used = (size_t)snprintf(p->text, sizeof p->text, "%s[%zu]: ", p->list, p->index);
    va_start(args, format);
    (void)vsnprintf(p->text + used, sizeof p->text - used, format, args);
    va_end(args);
    return false;
}

/* Names what there is instead. */
static int fail_unknown(struct parse *p, const struct member *known, size_t count, struct slice key)
{
    char there[NAMES_BYTES];
    size_t used = 0;

    for (size_t i = 0; i < count && used < sizeof there - 1; i++)
        if (!known[i].later)
            used += (size_t)snprintf(there + used, sizeof there - used, "%s%s",
                                     used == 0 ? "" : ", ", known[i].name);
    (void)parse_fail(p, PROBLEM_UNKNOWN_MEMBER, "`%.*s` is not a member of this request; it has %s",
                     (int)(key.bytes < 64 ? key.bytes : 64), (const char *)key.data,
                     used == 0 ? "none" : there);
    return -1;
}

int parse_member(struct parse *p, const struct member *known, size_t count,
                 const struct jiter *member)
{
    struct slice key = member->key;

    for (size_t i = 0; i < count; i++) {
        if (strlen(known[i].name) != key.bytes || memcmp(known[i].name, key.data, key.bytes) != 0)
            continue;
        if (jval_type(member->value) == J_NULL)
            return (int)count;
        if (!known[i].later)
            return (int)i;
        (void)parse_fail(p, PROBLEM_NOT_SUPPORTED, "`%s` is not supported by this version",
                         known[i].name);
        return -1;
    }
    return fail_unknown(p, known, count, key);
}

bool parse_uint(struct parse *p, const char *name, struct jval v, uint64_t min, uint64_t max,
                uint64_t *out)
{
    uint64_t n;

    if (!jval_u64(v, &n)) {
        int64_t negative;

        if (jval_i64(v, &negative))
            return parse_fail(p, PROBLEM_INVALID,
                              "`%s` is %" PRId64 ", it must be from %" PRIu64 " to %" PRIu64, name,
                              negative, min, max);
        return parse_fail(p, PROBLEM_INVALID, "`%s` is of type %s, an integer is needed", name,
                          jtype_name(jval_type(v)));
    }
    if (n < min || n > max)
        return parse_fail(p, PROBLEM_INVALID,
                          "`%s` is %" PRIu64 ", it must be from %" PRIu64 " to %" PRIu64, name, n,
                          min, max);
    *out = n;
    return true;
}

bool parse_bool(struct parse *p, const char *name, struct jval v, bool *out)
{
    if (jval_type(v) != J_TRUE && jval_type(v) != J_FALSE)
        return parse_fail(p, PROBLEM_INVALID, "`%s` is of type %s, true or false is needed", name,
                          jtype_name(jval_type(v)));
    *out = jval_bool(v);
    return true;
}

bool parse_text(struct parse *p, const char *name, struct jval v, size_t bytes_max,
                struct slice *out)
{
    struct slice text;

    if (jval_type(v) != J_STRING)
        return parse_fail(p, PROBLEM_INVALID, "`%s` is of type %s, a string is needed", name,
                          jtype_name(jval_type(v)));
    text = jval_string(v);
    if (text.bytes == 0 || text.bytes > bytes_max)
        return parse_fail(p, PROBLEM_INVALID, "`%s` has %zu bytes, it must have 1 to %zu", name,
                          text.bytes, bytes_max);
    if (memchr(text.data, '\0', text.bytes) != NULL)
        return parse_fail(p, PROBLEM_INVALID, "`%s` holds a NUL character", name);
    *out = text;
    return true;
}

bool parse_doc_id(struct parse *p, const char *name, struct jval v, bool strings, struct docid *out)
{
    uint64_t n;
    struct slice text;

    if (jval_u64(v, &n)) {
        *out = docid_u64(n);
        return true;
    }
    if (jval_type(v) != J_STRING)
        return parse_fail(p, PROBLEM_INVALID,
                          "`%s` is of type %s, an integer from 0 to 18446744073709551615 or a UUID "
                          "is needed",
                          name, jtype_name(jval_type(v)));
    text = jval_string(v);
    if (strings && docid_parse((const char *)text.data, text.bytes, true, out, NULL) == ST_OK)
        return true;
    if (strings)
        return parse_fail(p, PROBLEM_INVALID, "`%s` has %zu bytes, an id has 1 to %d", name,
                          text.bytes, DOCID_BYTES_MAX);
    if (docid_parse((const char *)text.data, text.bytes, false, out, NULL) == ST_OK &&
        out->kind == DOCID_UUID)
        return true;
    return parse_fail(p, PROBLEM_INVALID,
                      "`%s` is the string `%.*s`, which is no UUID; integers are written without "
                      "quotes",
                      name, (int)(text.bytes < 64 ? text.bytes : 64), (const char *)text.data);
}

bool parse_vector_length(struct parse *p, const char *name, struct jval v, uint32_t dim,
                         const char *whose)
{
    size_t count;

    if (jval_type(v) != J_ARRAY)
        return parse_fail(p, PROBLEM_INVALID, "`%s` is of type %s, an array of numbers is needed",
                          name, jtype_name(jval_type(v)));
    count = jval_count(v);
    if (count != dim)
        return parse_fail(p, PROBLEM_INVALID, "`%s` has %zu values, %s's dimension is %" PRIu32,
                          name, count, whose, dim);
    return true;
}

bool parse_vector(struct parse *p, const char *name, struct jval v, uint32_t dim, bool nonzero,
                  float *out)
{
    struct err err = {0};
    size_t count;

    if (jval_floats(v, out, dim, &count, &err) != ST_OK)
        return parse_fail(p, PROBLEM_INVALID, "`%s`: %s", name, err.text);
    if (!nonzero)
        return true;
    for (uint32_t i = 0; i < dim; i++)
        if (out[i] != 0.0f)
            return true;
    return parse_fail(p, PROBLEM_ZERO_VECTOR, "`%s` is all zeros, which has no cosine to anything",
                      name);
}
