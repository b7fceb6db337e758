#include "filter/path.h"

#include "base/utf8.h"

#include <inttypes.h>

/* One pass over the text, with the steps kept here until they are counted. */
struct path_reader {
    struct slice text;
    size_t at;
    uint32_t count;
    struct path_step steps[PATH_STEPS_MAX];
    struct err *err;
};

static bool at_end(const struct path_reader *r)
{
    return r->at == r->text.bytes;
}

static uint8_t peek(const struct path_reader *r)
{
    return at_end(r) ? 0 : r->text.data[r->at];
}

static bool take(struct path_reader *r, char c)
{
    if (at_end(r) || r->text.data[r->at] != (uint8_t)c)
        return false;
    r->at++;
    return true;
}

static status refuse(const struct path_reader *r, const char *what)
{
    int shown = r->text.bytes > 120 ? 120 : (int)r->text.bytes;

    return err_set(r->err, ST_INVALID, "path '%.*s': %s at byte %zu", shown,
                   (const char *)r->text.data, what, r->at);
}

static status add_step(struct path_reader *r, struct path_step step)
{
    if (r->count == PATH_STEPS_MAX)
        return err_set(r->err, ST_INVALID, "a path has at most %d steps", PATH_STEPS_MAX);
    r->steps[r->count++] = step;
    return ST_OK;
}

static status read_quoted(struct path_reader *r)
{
    size_t from = r->at;

    while (!at_end(r) && r->text.data[r->at] != '"')
        r->at++;
    if (at_end(r))
        return refuse(r, "a double quote is not closed");
    r->at++;
    return add_step(r,
                    (struct path_step){.key = slice_make(r->text.data + from, r->at - 1 - from)});
}

static bool ends_key(uint8_t c)
{
    return c == '.' || c == '[' || c == ']' || c == '"' || c == ' ' || (c >= '\t' && c <= '\r');
}

static status read_key(struct path_reader *r)
{
    size_t from = r->at;

    if (take(r, '"'))
        return read_quoted(r);
    while (!at_end(r) && !ends_key(r->text.data[r->at]))
        r->at++;
    if (r->at == from)
        return refuse(r, at_end(r) || peek(r) == '.' || peek(r) == '['
                             ? "a key is missing"
                             : "a key with such a character stands in double quotes");
    return add_step(r, (struct path_step){.key = slice_make(r->text.data + from, r->at - from)});
}

/* Behind the '['. */
static status read_index(struct path_reader *r)
{
    uint64_t index = 0;
    size_t from = r->at;

    if (take(r, ']'))
        return add_step(r, (struct path_step){.kind = PATH_EACH});
    while (peek(r) >= '0' && peek(r) <= '9') {
        index = index * 10 + (uint64_t)(peek(r) - '0');
        if (index > UINT32_MAX)
            index = UINT32_MAX;
        r->at++;
    }
    if (r->at == from || !take(r, ']'))
        return refuse(r, "'[' is followed by digits, if any, and ']'");
    return add_step(r, (struct path_step){.kind = PATH_AT, .index = (uint32_t)index});
}

static status read_steps(struct path_reader *r)
{
    status st = read_key(r);

    while (st == ST_OK && !at_end(r)) {
        if (take(r, '.'))
            st = read_key(r);
        else if (take(r, '['))
            st = read_index(r);
        else if (peek(r) == ']')
            st = refuse(r, "a ']' without its '['");
        else
            st = refuse(r, "a key with such a character stands in double quotes");
    }
    return st;
}

/* The steps point into the text, which is copied behind them. */
static struct path *keep(const struct path_reader *r, struct arena *arena)
{
    size_t steps_bytes = r->count * sizeof r->steps[0];
    struct path *p = arena_alloc(arena, sizeof *p + steps_bytes + r->text.bytes);
    uint8_t *text;

    if (p == NULL)
        return NULL;
    text = (uint8_t *)p + sizeof *p + steps_bytes;
    memcpy(text, r->text.data, r->text.bytes);
    p->text = slice_make(text, r->text.bytes);
    p->count = r->count;
    for (uint32_t i = 0; i < r->count; i++) {
        p->steps[i] = r->steps[i];
        if (p->steps[i].kind == PATH_KEY)
            p->steps[i].key.data = text + (r->steps[i].key.data - r->text.data);
    }
    return p;
}

status path_parse(struct slice text, struct arena *arena, const struct path **out, struct err *err)
{
    struct path_reader r = {.text = text, .err = err};
    const struct path *p;
    status st;

    if (text.bytes == 0)
        return err_set(err, ST_INVALID, "a path is empty");
    if (text.bytes > PATH_BYTES_MAX)
        return err_set(err, ST_INVALID, "a path has at most %d bytes, not %zu", PATH_BYTES_MAX,
                       text.bytes);
    if (!utf8_valid(text.data, text.bytes))
        return err_set(err, ST_INVALID, "a path is not valid UTF-8");
    st = read_steps(&r);
    if (st != ST_OK)
        return st;
    p = keep(&r, arena);
    if (p == NULL)
        return err_set(err, ST_NOMEM, "out of memory for a path");
    *out = p;
    return ST_OK;
}

bool path_equal(const struct path *a, const struct path *b)
{
    if (a == b)
        return true;
    if (a->count != b->count)
        return false;
    for (uint32_t i = 0; i < a->count; i++) {
        const struct path_step *x = &a->steps[i];
        const struct path_step *y = &b->steps[i];

        if (x->kind != y->kind || (x->kind == PATH_KEY && !slice_equal(x->key, y->key)) ||
            (x->kind == PATH_AT && x->index != y->index))
            return false;
    }
    return true;
}

/* The steps from `step` on, below v. As deep as the path has `[]`, no deeper. */
static bool walk(const struct path *p, uint32_t step, struct jbin_value v, path_value_fn *fn,
                 void *arg)
{
    for (; step < p->count; step++) {
        const struct path_step *s = &p->steps[step];
        struct rd r = rd_make(v.body);
        uint32_t index = 0;
        bool found = false;

        if (v.type != (s->kind == PATH_KEY ? JBIN_T_OBJECT : JBIN_T_ARRAY))
            return true;
        switch (s->kind) {
        case PATH_KEY:
            found = jbin_find(v.body, s->key, &v);
            break;
        case PATH_AT:
            while (!found && jbin_element(&r, &v))
                found = index++ == s->index;
            break;
        case PATH_EACH:
            while (jbin_element(&r, &v))
                if (!walk(p, step + 1, v, fn, arg))
                    return false;
            break;
        }
        if (!found)
            return true;
    }
    return fn(arg, &v);
}

bool path_each(const struct path *p, const struct jbin_value *root, path_value_fn *fn, void *arg)
{
    return walk(p, 0, *root, fn, arg);
}
