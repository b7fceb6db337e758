/* Our own dialect: members are paths with a scalar or operators, or $and, $or, $not. Null is a
 * value here. */
#include "filter/parse_internal.h"

enum {
    OP_LT = BOUND_LT,
    OP_LTE = BOUND_LTE,
    OP_GT = BOUND_GT,
    OP_GTE = BOUND_GTE,
    OP_EQ,
    OP_NE,
    OP_IN,
    OP_NIN,
    OP_EXISTS,
    OP_NOT,
    OP_COUNT,
};
static const char *const OPERATORS[OP_COUNT] = {
    [OP_LT] = "$lt",         [OP_LTE] = "$lte", [OP_GT] = "$gt", [OP_GTE] = "$gte",
    [OP_EQ] = "$eq",         [OP_NE] = "$ne",   [OP_IN] = "$in", [OP_NIN] = "$nin",
    [OP_EXISTS] = "$exists", [OP_NOT] = "$not",
};

static status parse_filter(struct parser *p, const struct place *at, struct jval v,
                           struct filter **out);
static status parse_operators(struct parser *p, const struct place *at, const struct path *path,
                              struct jval v, struct filter **out);

/* A path that reaches nothing equals null too. */
static status or_missing(struct parser *p, const struct path *path, struct filter *f,
                         struct filter **out)
{
    struct nodes either = {0};
    struct filter *there, *missing;
    status st = parse_node(p, FILTER_EXISTS, path, &there);

    if (st == ST_OK)
        st = parse_not(p, there, &missing);
    if (st == ST_OK)
        st = nodes_add(p, &either, f);
    if (st == ST_OK)
        st = nodes_add(p, &either, missing);
    return st == ST_OK ? parse_group(p, FILTER_OR, &either, out) : st;
}

static bool holds_objects(struct jval list)
{
    struct jiter it = jval_iter(list);

    return jiter_next(&it) && jval_type(it.value) == J_OBJECT;
}

static status parse_equal(struct parser *p, const struct place *at, const struct path *path,
                          struct jval v, struct filter **out)
{
    status st;

    if (jval_type(v) == J_ARRAY)
        return parse_refuse(p, at, ST_INVALID,
                            holds_objects(v)
                                ? "a scalar is needed, not an array; a filter in the form of "
                                  "Qdrant (must, should, must_not) stands in {\"qdrant\": {...}}"
                                : "a scalar is needed, not an array; $in lists several");
    st = parse_one_value(p, at, path, v, true, out);
    return st == ST_OK && jval_type(v) == J_NULL ? or_missing(p, path, *out, out) : st;
}

static status parse_in(struct parser *p, const struct place *at, const struct path *path,
                       struct jval v, struct filter **out)
{
    bool null = false;
    status st = parse_list(p, at, FILTER_ANY_OF, path, v, true, out);

    if (st != ST_OK)
        return st;
    for (struct jiter it = jval_iter(v); jiter_next(&it);)
        null |= jval_type(it.value) == J_NULL;
    return null ? or_missing(p, path, *out, out) : ST_OK;
}

static status parse_exists(struct parser *p, const struct place *at, const struct path *path,
                           struct jval v, struct filter **out)
{
    bool wanted = false;
    status st = parse_flag(p, at, v, &wanted);

    if (st == ST_OK)
        st = parse_node(p, FILTER_EXISTS, path, out);
    return st == ST_OK && !wanted ? parse_not(p, *out, out) : st;
}

static status parse_denied(struct parser *p, const struct place *at, const struct path *path,
                           struct jval v, struct filter **out)
{
    status st = parse_enter(p, at);

    if (st == ST_OK)
        st = parse_operators(p, at, path, v, out);
    parse_leave(p);
    return st == ST_OK ? parse_not(p, *out, out) : st;
}

static status parse_operator(struct parser *p, const struct place *at, size_t op,
                             const struct path *path, struct jval v, struct filter **out)
{
    status st = parse_count(p, at);

    if (st != ST_OK)
        return st;
    switch (op) {
    case OP_EQ:
        return parse_equal(p, at, path, v, out);
    case OP_NE:
        st = parse_equal(p, at, path, v, out);
        break;
    case OP_IN:
        return parse_in(p, at, path, v, out);
    case OP_NIN:
        st = parse_in(p, at, path, v, out);
        break;
    case OP_EXISTS:
        return parse_exists(p, at, path, v, out);
    default:
        return parse_denied(p, at, path, v, out);
    }
    return st == ST_OK ? parse_not(p, *out, out) : st;
}

static status read_operators(struct parser *p, const struct place *at, struct jval v,
                             struct member ops[OP_COUNT])
{
    for (size_t i = 0; i < OP_COUNT; i++)
        ops[i] = (struct member){.name = OPERATORS[i]};
    if (jval_type(v) != J_OBJECT)
        return parse_needs(p, at, "an object of operators", v);
    for (struct jiter it = jval_iter(v); jiter_next(&it);) {
        size_t i = 0;

        while (i < OP_COUNT && !slice_equal(it.key, slice_text(OPERATORS[i])))
            i++;
        if (i == OP_COUNT)
            return parse_refuse(
                p, at, ST_INVALID,
                "`%.*s` is no operator ($eq $ne $gt $gte $lt $lte $in $nin $exists $not); what is "
                "inside an object is reached by a path: \"a.b\"",
                it.key.bytes < 48 ? (int)it.key.bytes : 48, (const char *)it.key.data);
        ops[i].value = it.value;
        ops[i].there = true;
    }
    if (jval_count(v) == 0)
        return parse_refuse(p, at, ST_INVALID, "an operator is missing");
    return ST_OK;
}

/* $lt, $lte, $gt and $gte side by side are one range, which one value has to be in. */
static status parse_operators(struct parser *p, const struct place *at, const struct path *path,
                              struct jval v, struct filter **out)
{
    struct member ops[OP_COUNT];
    struct nodes all = {0};
    struct filter *f;
    bool bounded = false;
    status st = read_operators(p, at, v, ops);

    for (size_t i = 0; i < OP_COUNT && st == ST_OK; i++) {
        struct place place = place_of(at, OPERATORS[i]);

        if (i < BOUND_NAMES)
            bounded |= ops[i].there;
        if (i < BOUND_NAMES || !ops[i].there)
            continue;
        st = parse_operator(p, &place, i, path, ops[i].value, &f);
        if (st == ST_OK)
            st = nodes_add(p, &all, f);
    }
    if (st == ST_OK && bounded) {
        st = parse_count(p, at);
        if (st == ST_OK)
            st = parse_range(p, at, path, ops, &f);
        if (st == ST_OK)
            st = nodes_add(p, &all, f);
    }
    return st == ST_OK ? parse_group(p, FILTER_AND, &all, out) : st;
}

static status parse_field(struct parser *p, const struct place *at, struct slice key, struct jval v,
                          struct filter **out)
{
    const struct path *path;
    status st = parse_path_text(p, at, key, &path);

    if (st != ST_OK)
        return st;
    if (jval_type(v) == J_OBJECT)
        return parse_operators(p, at, path, v, out);
    return parse_operator(p, at, OP_EQ, path, v, out);
}

static status parse_several(struct parser *p, const struct place *at, enum filter_kind kind,
                            struct jval v, struct filter **out)
{
    struct nodes list = {0};
    struct filter *f;
    size_t index = 0;

    if (jval_type(v) != J_ARRAY)
        return parse_needs(p, at, "a list of filters", v);
    if (jval_count(v) == 0)
        return parse_refuse(p, at, ST_INVALID, "the list is empty");
    for (struct jiter it = jval_iter(v); jiter_next(&it); index++) {
        struct place element = place_at(at, index);
        status st = parse_filter(p, &element, it.value, &f);

        if (st == ST_OK)
            st = nodes_add(p, &list, f);
        if (st != ST_OK)
            return st;
    }
    return parse_group(p, kind, &list, out);
}

static status parse_member(struct parser *p, const struct place *up, struct slice key,
                           struct jval v, struct filter **out)
{
    struct place at = place_of_key(up, key);
    status st;

    if (slice_equal(key, slice_text("$and")))
        return parse_several(p, &at, FILTER_AND, v, out);
    if (slice_equal(key, slice_text("$or")))
        return parse_several(p, &at, FILTER_OR, v, out);
    if (slice_equal(key, slice_text("$not"))) {
        st = parse_filter(p, &at, v, out);
        return st == ST_OK ? parse_not(p, *out, out) : st;
    }
    if (slice_equal(key, slice_text("qdrant")))
        return parse_compatible(p, &at, v, out);
    if (key.bytes > 0 && key.data[0] == '$')
        return parse_refuse(p, &at, ST_INVALID,
                            "a filter has paths, $and, $or and $not; a key that begins with $ "
                            "stands in double quotes: \"\\\"$key\\\"\"");
    return parse_field(p, &at, key, v, out);
}

static status parse_filter(struct parser *p, const struct place *at, struct jval v,
                           struct filter **out)
{
    struct nodes all = {0};
    struct filter *f;
    status st = parse_enter(p, at);

    if (st == ST_OK && jval_type(v) != J_OBJECT)
        st = parse_needs(p, at, "a filter as an object", v);
    if (st == ST_OK)
        st = parse_count(p, at);
    for (struct jiter it = jval_iter(v); st == ST_OK && jiter_next(&it);) {
        st = parse_member(p, at, it.key, it.value, &f);
        if (st == ST_OK)
            st = nodes_add(p, &all, f);
    }
    parse_leave(p);
    return st == ST_OK ? parse_group(p, FILTER_AND, &all, out) : st;
}

status filter_parse_native(struct jval v, bool string_ids, struct arena *arena, struct filter **out,
                           struct err *err)
{
    struct parser p = {.arena = arena, .err = err, .string_ids = string_ids};
    struct place at = place_of(NULL, "filter");
    struct filter *f;
    status st = jval_type(v) == J_NULL ? parse_node(&p, FILTER_ALL, NULL, &f)
                                       : parse_filter(&p, &at, v, &f);

    if (st == ST_OK)
        *out = f;
    return st;
}
