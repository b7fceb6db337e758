#include "filter/parse_internal.h"

#include <stdio.h>
#include <stdlib.h>

enum { PLACE_BYTES = 200, NAME_BYTES = 48 };

struct place place_of(const struct place *up, const char *name)
{
    return place_of_key(up, slice_text(name));
}

struct place place_of_key(const struct place *up, struct slice name)
{
    return (struct place){.up = up, .name = name};
}

struct place place_at(const struct place *up, size_t index)
{
    return (struct place){.up = up, .index = index};
}

/* From the inside out, into the end of text, as long as there is room. Returns where it begins. */
static char *print_place(const struct place *at, char text[PLACE_BYTES])
{
    char *from = text + PLACE_BYTES - 1;

    *from = '\0';
    for (; at != NULL; at = at->up) {
        char step[NAME_BYTES + 8];
        int shown = at->name.bytes < NAME_BYTES ? (int)at->name.bytes : NAME_BYTES;
        int bytes;

        if (at->name.data == NULL)
            bytes = snprintf(step, sizeof step, "[%zu]", at->index);
        else
            bytes = snprintf(step, sizeof step, "%s%.*s%s", at->up == NULL ? "" : ".", shown,
                             (const char *)at->name.data, at->name.bytes > NAME_BYTES ? "..." : "");
        /* A name with a NUL in it ends there. */
        if (bytes < 0 || bytes + 3 > from - text) {
            from -= 3;
            memcpy(from, "...", 3);
            break;
        }
        from -= bytes;
        memcpy(from, step, (size_t)bytes);
    }
    return from;
}

status parse_refuse(struct parser *p, const struct place *at, status code, const char *format, ...)
{
    char where[PLACE_BYTES];
    char text[ERR_TEXT_BYTES];
    va_list args;

    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return err_set(p->err, code, "%s: %s", print_place(at, where), text);
}

status parse_needs(struct parser *p, const struct place *at, const char *what, struct jval v)
{
    enum jtype t = jval_type(v);
    const char *article = t == J_NULL ? "" : t == J_ARRAY || t == J_OBJECT ? "an " : "a ";

    if (t == J_U64 || t == J_I64)
        article = "an ";
    return parse_refuse(p, at, ST_INVALID, "%s is needed, not %s%s", what, article, jtype_name(t));
}

status parse_nomem(struct parser *p)
{
    return err_set(p->err, ST_NOMEM, "out of memory for a filter");
}

static struct member *find_member(struct member *members, size_t count, struct slice key)
{
    for (size_t i = 0; i < count; i++)
        if (slice_equal(key, slice_text(members[i].name)))
            return &members[i];
    return NULL;
}

status parse_members(struct parser *p, const struct place *at, struct jval v, const char *what,
                     struct member *members, size_t count)
{
    if (jval_type(v) != J_OBJECT)
        return parse_needs(p, at, what, v);
    for (struct jiter it = jval_iter(v); jiter_next(&it);) {
        struct member *m = find_member(members, count, it.key);

        if (m != NULL) {
            m->value = it.value;
            m->there = jval_type(it.value) != J_NULL;
        } else if (jval_type(it.value) != J_NULL) {
            int shown = it.key.bytes < NAME_BYTES ? (int)it.key.bytes : NAME_BYTES;

            return parse_refuse(p, at, ST_INVALID, "`%.*s` is no member of %s", shown,
                                (const char *)it.key.data, what);
        }
    }
    return ST_OK;
}

status parse_count(struct parser *p, const struct place *at)
{
    if (p->conditions++ < FILTER_CONDITIONS_MAX)
        return ST_OK;
    return parse_refuse(p, at, ST_INVALID, "a filter has at most %d conditions",
                        FILTER_CONDITIONS_MAX);
}

status parse_enter(struct parser *p, const struct place *at)
{
    if (p->depth++ < FILTER_DEPTH_MAX)
        return ST_OK;
    return parse_refuse(p, at, ST_INVALID, "filters stand at most %d levels deep in each other",
                        FILTER_DEPTH_MAX);
}

void parse_leave(struct parser *p)
{
    p->depth--;
}

status parse_node(struct parser *p, enum filter_kind kind, const struct path *path,
                  struct filter **out)
{
    struct filter *f = arena_zero(p->arena, sizeof *f);

    if (f == NULL)
        return parse_nomem(p);
    f->kind = kind;
    f->path = path;
    f->vector_position = -1;
    *out = f;
    return ST_OK;
}

status nodes_add(struct parser *p, struct nodes *list, struct filter *f)
{
    if (list->count == list->capacity) {
        size_t capacity = list->capacity == 0 ? 4 : list->capacity * 2;
        struct filter **items = arena_array(p->arena, capacity, sizeof *items);

        if (items == NULL)
            return parse_nomem(p);
        if (list->count > 0)
            memcpy(items, list->items, list->count * sizeof *items);
        list->items = items;
        list->capacity = capacity;
    }
    list->items[list->count++] = f;
    return ST_OK;
}

status parse_group(struct parser *p, enum filter_kind kind, const struct nodes *list,
                   struct filter **out)
{
    /* What decides an AND or an OR alone, and what says nothing in it. */
    enum filter_kind decides = kind == FILTER_AND ? FILTER_NONE : FILTER_ALL;
    enum filter_kind idle = kind == FILTER_AND ? FILTER_ALL : FILTER_NONE;
    struct filter *f;
    size_t kept = 0;
    status st;

    for (size_t i = 0; i < list->count; i++) {
        if (list->items[i]->kind == decides)
            return parse_node(p, decides, NULL, out);
        if (list->items[i]->kind != idle)
            list->items[kept++] = list->items[i];
    }
    if (kept == 0)
        return parse_node(p, idle, NULL, out);
    if (kept == 1) {
        *out = list->items[0];
        return ST_OK;
    }
    st = parse_node(p, kind, NULL, &f);
    if (st != ST_OK)
        return st;
    f->children = list->items;
    f->child_count = kept;
    *out = f;
    return ST_OK;
}

status parse_not(struct parser *p, struct filter *f, struct filter **out)
{
    struct nodes child = {0};
    struct filter *denied;
    status st;

    if (f->kind == FILTER_ALL || f->kind == FILTER_NONE)
        return parse_node(p, f->kind == FILTER_ALL ? FILTER_NONE : FILTER_ALL, NULL, out);
    if (f->kind == FILTER_NOT) {
        *out = f->children[0];
        return ST_OK;
    }
    st = nodes_add(p, &child, f);
    if (st == ST_OK)
        st = parse_node(p, FILTER_NOT, NULL, &denied);
    if (st != ST_OK)
        return st;
    denied->children = child.items;
    denied->child_count = 1;
    *out = denied;
    return ST_OK;
}

status parse_path_text(struct parser *p, const struct place *at, struct slice text,
                       const struct path **out)
{
    struct err why = {0};
    status st = path_parse(text, p->arena, out, &why);

    return st == ST_OK ? ST_OK : parse_refuse(p, at, st, "%s", why.text);
}

status parse_path(struct parser *p, const struct place *at, struct jval v, const struct path **out)
{
    if (jval_type(v) != J_STRING)
        return parse_needs(p, at, "a path as a string", v);
    return parse_path_text(p, at, jval_string(v), out);
}

status parse_flag(struct parser *p, const struct place *at, struct jval v, bool *out)
{
    if (jval_type(v) != J_TRUE && jval_type(v) != J_FALSE)
        return parse_needs(p, at, "true or false", v);
    *out = jval_bool(v);
    return ST_OK;
}

status parse_string(struct parser *p, const struct place *at, struct jval v, struct slice *out)
{
    struct slice text;
    char *copy;

    if (jval_type(v) != J_STRING)
        return parse_needs(p, at, "a string", v);
    text = jval_string(v);
    copy = arena_strndup(p->arena, (const char *)text.data, text.bytes);
    if (copy == NULL)
        return parse_nomem(p);
    *out = slice_make(copy, text.bytes);
    return ST_OK;
}
