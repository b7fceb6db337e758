#include "filter/filter.h"

status filter_parse_qdrant(struct jval v, bool string_ids, struct arena *arena, struct filter **out,
                           struct err *err)
{
    (void)v;
    (void)string_ids;
    (void)arena;
    *out = NULL;
    return err_set(err, ST_UNSUPPORTED, "filters are not supported yet");
}

status filter_parse_native(struct jval v, bool string_ids, struct arena *arena, struct filter **out,
                           struct err *err)
{
    (void)v;
    (void)string_ids;
    (void)arena;
    *out = NULL;
    return err_set(err, ST_UNSUPPORTED, "filters are not supported yet");
}

status filter_bind(struct filter *f, const struct filter_binding *binding, struct arena *arena,
                   struct err *err)
{
    (void)f;
    (void)binding;
    (void)arena;
    (void)err;
    return ST_OK;
}

bool filter_match(const struct filter *f, const struct filter_row *row)
{
    (void)row;
    return filter_is_all(f);
}

bool filter_is_all(const struct filter *f)
{
    return f == NULL || f->kind == FILTER_ALL;
}

uint64_t filter_cost_ns(const struct filter *f)
{
    return filter_is_all(f) ? 0 : 200;
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
