/* Scalars that payload values are compared with for equality. */
#include "filter/parse_internal.h"

#include <stdlib.h>

static status read_number(struct parser *p, const struct place *at, struct jval v, bool loose,
                          struct filter_value *out)
{
    struct number n = {.type = JBIN_T_F64};

    if (jval_u64(v, &n.u64))
        n.type = JBIN_T_U64;
    else if (jval_type(v) == J_I64 && jval_i64(v, &n.i64))
        n.type = JBIN_T_I64;
    else if (!loose)
        return parse_refuse(p, at, ST_INVALID,
                            "a float cannot be matched, only an integer, a string or a boolean; "
                            "`range` compares floats");
    else
        (void)jval_f64(v, &n.f64);
    *out = filter_number_value(loose ? number_simplest(n) : n);
    return ST_OK;
}

static status read_value(struct parser *p, const struct place *at, struct jval v, bool loose,
                         struct filter_value *out)
{
    *out = (struct filter_value){.type = JBIN_T_NULL};
    switch (jval_type(v)) {
    case J_TRUE:
    case J_FALSE:
        out->type = JBIN_T_BOOL;
        out->boolean = jval_bool(v);
        return ST_OK;
    case J_U64:
    case J_I64:
    case J_F64:
        return read_number(p, at, v, loose, out);
    case J_STRING:
        out->type = JBIN_T_STRING;
        return parse_string(p, at, v, &out->text);
    case J_NULL:
        if (loose)
            return ST_OK;
        break;
    case J_ARRAY:
    case J_OBJECT:
        break;
    }
    return parse_needs(p, at, loose ? "a scalar" : "an integer, a string or a boolean", v);
}

static int compare(const void *a, const void *b)
{
    return filter_value_compare(a, b);
}

static size_t sort_values(struct filter_value *values, size_t count)
{
    size_t kept = 0;

    if (count > 1)
        qsort(values, count, sizeof *values, compare);
    for (size_t i = 0; i < count; i++)
        if (kept == 0 || filter_value_compare(&values[kept - 1], &values[i]) != 0)
            values[kept++] = values[i];
    return kept;
}

static status make_node(struct parser *p, enum filter_kind kind, const struct path *path,
                        struct filter_value *values, size_t count, bool loose, struct filter **out)
{
    struct filter *f;
    status st;

    if (count == 0 && kind == FILTER_ANY_OF)
        return parse_node(p, FILTER_NONE, NULL, out);
    st = parse_node(p, kind, path, &f);
    if (st != ST_OK)
        return st;
    f->values = values;
    f->value_count = sort_values(values, count);
    f->loose = loose;
    *out = f;
    return ST_OK;
}

status parse_list(struct parser *p, const struct place *at, enum filter_kind kind,
                  const struct path *path, struct jval list, bool loose, struct filter **out)
{
    struct filter_value *values;
    size_t count = 0;

    if (jval_type(list) != J_ARRAY)
        return parse_needs(p, at, "a list", list);
    values = arena_array(p->arena, jval_count(list) + 1, sizeof *values);
    if (values == NULL)
        return parse_nomem(p);
    for (struct jiter it = jval_iter(list); jiter_next(&it); count++) {
        struct place element = place_at(at, count);
        status st = read_value(p, &element, it.value, loose, &values[count]);

        if (st != ST_OK)
            return st;
    }
    return make_node(p, kind, path, values, count, loose, out);
}

status parse_one_value(struct parser *p, const struct place *at, const struct path *path,
                       struct jval v, bool loose, struct filter **out)
{
    struct filter_value *value = arena_alloc(p->arena, sizeof *value);
    status st;

    if (value == NULL)
        return parse_nomem(p);
    st = read_value(p, at, v, loose, value);
    return st == ST_OK ? make_node(p, FILTER_ANY_OF, path, value, 1, loose, out) : st;
}
