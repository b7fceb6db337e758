#include "filter/filter.h"

#include "filter/text.h"

bool filter_is_all(const struct filter *f)
{
    return f == NULL || f->kind == FILTER_ALL;
}

static bool is_text(const struct filter *f)
{
    return f->kind == FILTER_TEXT || f->kind == FILTER_TEXT_ANY || f->kind == FILTER_PHRASE;
}

/* A path below the elements of an array, from the root: "a[].b". */
static status join_paths(const struct path *outer, const struct path *inner, struct arena *arena,
                         const struct path **out, struct err *err)
{
    bool opened = outer->steps[outer->count - 1].kind == PATH_EACH;
    uint32_t count = outer->count + (opened ? 0 : 1) + inner->count;
    size_t text_bytes = outer->text.bytes + (opened ? 0 : 2) + 1 + inner->text.bytes;
    struct path *p = arena_alloc(arena, sizeof *p + count * sizeof p->steps[0]);
    char *text = arena_alloc(arena, text_bytes);
    char *at = text;

    if (p == NULL || text == NULL)
        return err_set(err, ST_NOMEM, "out of memory for a filter");
    memcpy(at, outer->text.data, outer->text.bytes);
    at += outer->text.bytes;
    memcpy(at, "[]", opened ? 0 : 2);
    at += opened ? 0 : 2;
    *at++ = '.';
    memcpy(at, inner->text.data, inner->text.bytes);
    p->text = slice_make(text, text_bytes);
    p->count = count;
    memcpy(p->steps, outer->steps, outer->count * sizeof p->steps[0]);
    if (!opened)
        p->steps[outer->count] = (struct path_step){.kind = PATH_EACH};
    memcpy(p->steps + (count - inner->count), inner->steps, inner->count * sizeof p->steps[0]);
    *out = p;
    return ST_OK;
}

struct binder {
    const struct filter_binding *binding;
    struct arena *arena;
    struct err *err;
};

static status bind(const struct binder *b, struct filter *f, const struct path *below);

static status bind_text(const struct binder *b, struct filter *f, const struct path *below)
{
    const struct path *path = f->path;
    struct filter_words cut = {0};
    status st = ST_OK;

    if (b->binding->words_of == NULL)
        return ST_OK;
    if (below != NULL)
        st = join_paths(below, f->path, b->arena, &path, b->err);
    if (st != ST_OK || !b->binding->words_of(b->binding->arg, path, &cut))
        return st;
    f->cut = cut;
    return text_cut(f, b->arena, b->err);
}

static status bind_nested(const struct binder *b, struct filter *f, const struct path *below)
{
    const struct path *path = f->path;
    status st = ST_OK;

    if (below != NULL)
        st = join_paths(below, f->path, b->arena, &path, b->err);
    return st == ST_OK ? bind(b, f->children[0], path) : st;
}

static status bind(const struct binder *b, struct filter *f, const struct path *below)
{
    status st = ST_OK;

    if (is_text(f))
        return bind_text(b, f, below);
    if (f->kind == FILTER_NESTED)
        return bind_nested(b, f, below);
    if (f->kind == FILTER_HAS_VECTOR && b->binding->vector_of != NULL)
        f->vector_position = b->binding->vector_of(b->binding->arg, f->vector_name);
    for (size_t i = 0; i < f->child_count && st == ST_OK; i++)
        st = bind(b, f->children[i], below);
    return st;
}

status filter_bind(struct filter *f, const struct filter_binding *binding, struct arena *arena,
                   struct err *err)
{
    struct binder b = {binding, arena, err};

    return f == NULL || binding == NULL ? ST_OK : bind(&b, f, NULL);
}

/* Measured by bench/bench_filter on payloads of ten members; a text of forty words. */
enum {
    COST_ROW_NS = 10,
    COST_ID_NS = 10,
    COST_PATH_NS = 45,
    COST_STEP_NS = 25,
    COST_TIME_NS = 20,
    COST_GEO_NS = 80,
    COST_POINT_NS = 3,
    COST_TEXT_NS = 1500,
};

static uint64_t points_of(const struct filter *f)
{
    uint64_t points = f->exterior.count;

    for (size_t i = 0; i < f->interior_count; i++)
        points += f->interiors[i].count;
    return points;
}

static uint64_t cost_of(const struct filter *f)
{
    uint64_t cost = 1;

    for (size_t i = 0; i < f->child_count; i++)
        cost += cost_of(f->children[i]);
    if (f->kind == FILTER_HAS_ID)
        cost += COST_ID_NS;
    if (f->path == NULL)
        return cost;
    cost += COST_PATH_NS + (uint64_t)COST_STEP_NS * f->path->count;
    if (f->kind == FILTER_DATETIME)
        cost += COST_TIME_NS;
    if (f->kind == FILTER_GEO_BOX || f->kind == FILTER_GEO_RADIUS || f->kind == FILTER_GEO_POLYGON)
        cost += COST_GEO_NS + COST_POINT_NS * points_of(f);
    return is_text(f) ? cost + COST_TEXT_NS : cost;
}

uint64_t filter_cost_ns(const struct filter *f)
{
    return filter_is_all(f) ? 0 : COST_ROW_NS + cost_of(f);
}

struct value_opener {
    path_value_fn *fn;
    void *arg;
};

static bool open_array(void *arg, const struct jbin_value *v)
{
    const struct value_opener *o = arg;
    struct rd r = rd_make(v->body);
    struct jbin_value element;

    if (v->type != JBIN_T_ARRAY)
        return o->fn(o->arg, v);
    while (jbin_element(&r, &element))
        if (!o->fn(o->arg, &element))
            return false;
    return true;
}

bool filter_each_value(const struct path *path, const struct jbin_value *root, path_value_fn *fn,
                       void *arg)
{
    struct value_opener o = {fn, arg};

    return path_each(path, root, open_array, &o);
}
