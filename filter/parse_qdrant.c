/* The compatible dialect: clauses of conditions, which may be filters again. */
#include "filter/parse_internal.h"

/* Everything an object in place of a condition may have. */
enum {
    C_MUST,
    C_SHOULD,
    C_MUST_NOT,
    C_MIN_SHOULD,
    C_CLAUSES, /* how many of them */
    C_KEY = C_CLAUSES,
    C_MATCH,
    C_RANGE,
    C_GEO_BOX,
    C_GEO_RADIUS,
    C_GEO_POLYGON,
    C_VALUES_COUNT,
    C_IS_EMPTY,
    C_IS_NULL,
    C_HAS_ID,
    C_HAS_VECTOR,
    C_NESTED,
    C_COUNT,
};
static const char *const NAMES[C_COUNT] = {
    [C_MUST] = "must",
    [C_SHOULD] = "should",
    [C_MUST_NOT] = "must_not",
    [C_MIN_SHOULD] = "min_should",
    [C_KEY] = "key",
    [C_MATCH] = "match",
    [C_RANGE] = "range",
    [C_GEO_BOX] = "geo_bounding_box",
    [C_GEO_RADIUS] = "geo_radius",
    [C_GEO_POLYGON] = "geo_polygon",
    [C_VALUES_COUNT] = "values_count",
    [C_IS_EMPTY] = "is_empty",
    [C_IS_NULL] = "is_null",
    [C_HAS_ID] = "has_id",
    [C_HAS_VECTOR] = "has_vector",
    [C_NESTED] = "nested",
};

static status parse_condition(struct parser *p, const struct place *at, struct jval v,
                              struct filter **out);

/* Conditions on a path. */

typedef status parse_bounds_fn(struct parser *p, const struct place *at, const struct path *path,
                               const struct member bounds[BOUND_NAMES], struct filter **out);

static status parse_bounded(struct parser *p, const struct place *at, const struct path *path,
                            struct jval v, parse_bounds_fn *parse, struct filter **out)
{
    struct member bounds[BOUND_NAMES] = {[BOUND_LT] = {.name = "lt"},
                                         [BOUND_LTE] = {.name = "lte"},
                                         [BOUND_GT] = {.name = "gt"},
                                         [BOUND_GTE] = {.name = "gte"}};
    status st = parse_members(p, at, v, "a range {lt, lte, gt, gte}", bounds, BOUND_NAMES);

    return st == ST_OK ? parse(p, at, path, bounds, out) : st;
}

/* is_empty and is_null beside a key: true, or false for the contrary. */
static status parse_is(struct parser *p, const struct place *at, enum filter_kind kind,
                       const struct path *path, struct jval v, struct filter **out)
{
    struct filter *f;
    bool wanted = false;
    status st = parse_flag(p, at, v, &wanted);

    if (st == ST_OK)
        st = parse_node(p, kind, path, &f);
    if (st != ST_OK)
        return st;
    if (!wanted)
        return parse_not(p, f, out);
    *out = f;
    return ST_OK;
}

static status parse_field(struct parser *p, const struct place *at, const struct member *m,
                          size_t kind, struct filter **out)
{
    struct place key = place_of(at, NAMES[C_KEY]);
    struct place place = place_of(at, NAMES[kind]);
    struct jval v = m[kind].value;
    const struct path *path;
    status st = parse_path(p, &key, m[C_KEY].value, &path);

    if (st != ST_OK)
        return st;
    switch (kind) {
    case C_MATCH:
        return parse_match(p, &place, path, v, out);
    case C_RANGE:
        return parse_bounded(p, &place, path, v, parse_range, out);
    case C_VALUES_COUNT:
        return parse_bounded(p, &place, path, v, parse_value_counts, out);
    case C_GEO_BOX:
        return parse_geo_box(p, &place, path, v, out);
    case C_GEO_RADIUS:
        return parse_geo_radius(p, &place, path, v, out);
    case C_GEO_POLYGON:
        return parse_geo_polygon(p, &place, path, v, out);
    default:
        return parse_is(p, &place, kind == C_IS_EMPTY ? FILTER_IS_EMPTY : FILTER_IS_NULL, path, v,
                        out);
    }
}

/* Conditions without one. */

/* {"is_empty": {"key": path}} */
static status parse_is_object(struct parser *p, const struct place *at, enum filter_kind kind,
                              struct jval v, struct filter **out)
{
    struct member m[] = {{.name = "key"}};
    struct place key = place_of(at, m[0].name);
    const struct path *path;
    status st;

    if (jval_type(v) == J_TRUE || jval_type(v) == J_FALSE)
        return parse_refuse(p, at->up, ST_INVALID, "`key` is missing");
    st = parse_members(p, at, v, "an object {key}", m, COUNT_OF(m));
    if (st == ST_OK && !m[0].there)
        return parse_refuse(p, at, ST_INVALID, "`key` is missing");
    if (st == ST_OK)
        st = parse_path(p, &key, m[0].value, &path);
    return st == ST_OK ? parse_node(p, kind, path, out) : st;
}

static status parse_nested(struct parser *p, const struct place *at, struct jval v,
                           struct filter **out)
{
    struct member m[] = {{.name = "key"}, {.name = "filter"}};
    struct place key = place_of(at, m[0].name);
    struct place filter = place_of(at, m[1].name);
    struct nodes child = {0};
    struct filter *inner, *f;
    const struct path *path;
    status st = parse_members(p, at, v, "a nested condition {key, filter}", m, COUNT_OF(m));

    for (size_t i = 0; i < COUNT_OF(m) && st == ST_OK; i++)
        if (!m[i].there)
            return parse_refuse(p, at, ST_INVALID, "`%s` is missing", m[i].name);
    if (st == ST_OK)
        st = parse_path(p, &key, m[0].value, &path);
    if (st == ST_OK)
        st = parse_compatible(p, &filter, m[1].value, &inner);
    if (st == ST_OK)
        st = nodes_add(p, &child, inner);
    if (st == ST_OK)
        st = parse_node(p, FILTER_NESTED, path, &f);
    if (st != ST_OK)
        return st;
    f->children = child.items;
    f->child_count = 1;
    *out = f;
    return ST_OK;
}

static status parse_plain(struct parser *p, const struct place *at, const struct member *m,
                          size_t kind, struct filter **out)
{
    struct place place = place_of(at, NAMES[kind]);
    struct jval v = m[kind].value;

    switch (kind) {
    case C_IS_EMPTY:
        return parse_is_object(p, &place, FILTER_IS_EMPTY, v, out);
    case C_IS_NULL:
        return parse_is_object(p, &place, FILTER_IS_NULL, v, out);
    case C_HAS_ID:
        return parse_has_id(p, &place, v, out);
    case C_HAS_VECTOR:
        return parse_has_vector(p, &place, v, out);
    case C_NESTED:
        return parse_nested(p, &place, v, out);
    default:
        return parse_refuse(p, at, ST_INVALID, "`key` is missing");
    }
}

/* Clauses. */

/* One condition, or a list of them. */
static status parse_conditions(struct parser *p, const struct place *at, struct jval v,
                               struct nodes *list)
{
    struct filter *f;
    size_t index = 0;
    status st;

    if (jval_type(v) != J_ARRAY) {
        st = parse_condition(p, at, v, &f);
        return st == ST_OK ? nodes_add(p, list, f) : st;
    }
    for (struct jiter it = jval_iter(v); jiter_next(&it); index++) {
        struct place element = place_at(at, index);

        st = parse_condition(p, &element, it.value, &f);
        if (st == ST_OK)
            st = nodes_add(p, list, f);
        if (st != ST_OK)
            return st;
    }
    return ST_OK;
}

static status parse_should(struct parser *p, const struct place *at, struct jval v,
                           struct nodes *all)
{
    struct nodes list = {0};
    struct filter *any;
    status st = parse_conditions(p, at, v, &list);

    if (st != ST_OK || list.count == 0)
        return st;
    st = parse_group(p, FILTER_OR, &list, &any);
    return st == ST_OK ? nodes_add(p, all, any) : st;
}

static status parse_must_not(struct parser *p, const struct place *at, struct jval v,
                             struct nodes *all)
{
    struct nodes list = {0};
    status st = parse_conditions(p, at, v, &list);

    for (size_t i = 0; i < list.count && st == ST_OK; i++) {
        struct filter *not_it;

        st = parse_not(p, list.items[i], &not_it);
        if (st == ST_OK)
            st = nodes_add(p, all, not_it);
    }
    return st;
}

static status read_min_count(struct parser *p, const struct place *at, const struct member *m,
                             uint64_t *out)
{
    struct place place = place_of(at, m->name);

    if (!m->there)
        return parse_refuse(p, at, ST_INVALID, "`%s` is missing", m->name);
    if (jval_type(m->value) == J_I64)
        *out = 0;
    else if (!jval_u64(m->value, out))
        return parse_needs(p, &place, "a whole number", m->value);
    if (*out < 1)
        return parse_refuse(p, &place, ST_LIMIT, "min_count is 1 or more");
    return ST_OK;
}

static status parse_min_should(struct parser *p, const struct place *at, struct jval v,
                               struct nodes *all)
{
    struct member m[] = {{.name = "conditions"}, {.name = "min_count"}};
    struct place conditions = place_of(at, m[0].name);
    struct nodes list = {0};
    struct filter *f;
    uint64_t min_count;
    status st = parse_members(p, at, v, "min_should {conditions, min_count}", m, COUNT_OF(m));

    if (st == ST_OK && !m[0].there)
        return parse_refuse(p, at, ST_INVALID, "`conditions` is missing");
    if (st == ST_OK)
        st = read_min_count(p, at, &m[1], &min_count);
    if (st == ST_OK)
        st = parse_conditions(p, &conditions, m[0].value, &list);
    if (st == ST_OK)
        st = parse_node(p, min_count > list.count ? FILTER_NONE : FILTER_AT_LEAST, NULL, &f);
    if (st != ST_OK)
        return st;
    if (f->kind == FILTER_AT_LEAST) {
        f->children = list.items;
        f->child_count = list.count;
        f->min_count = min_count;
    }
    return nodes_add(p, all, f);
}

static status parse_clauses(struct parser *p, const struct place *at, const struct member *m,
                            struct filter **out)
{
    struct nodes all = {0};
    status st = parse_enter(p, at);

    for (size_t i = C_MUST; i < C_CLAUSES && st == ST_OK; i++) {
        struct place place = place_of(at, NAMES[i]);

        if (!m[i].there)
            continue;
        st = i == C_MUST       ? parse_conditions(p, &place, m[i].value, &all)
             : i == C_SHOULD   ? parse_should(p, &place, m[i].value, &all)
             : i == C_MUST_NOT ? parse_must_not(p, &place, m[i].value, &all)
                               : parse_min_should(p, &place, m[i].value, &all);
    }
    parse_leave(p);
    return st == ST_OK ? parse_group(p, FILTER_AND, &all, out) : st;
}

static void name_members(struct member *m, size_t count)
{
    for (size_t i = 0; i < count; i++)
        m[i] = (struct member){.name = NAMES[i]};
}

static status parse_condition(struct parser *p, const struct place *at, struct jval v,
                              struct filter **out)
{
    struct member m[C_COUNT];
    size_t clauses = 0;
    size_t kinds = 0;
    size_t kind = 0;
    status st = parse_count(p, at);

    if (st != ST_OK)
        return st;
    name_members(m, C_COUNT);
    st = parse_members(p, at, v, "a condition", m, C_COUNT);
    if (st != ST_OK)
        return st;
    for (size_t i = C_MUST; i < C_CLAUSES; i++)
        clauses += m[i].there ? 1 : 0;
    for (size_t i = C_MATCH; i < C_COUNT; i++)
        if (m[i].there) {
            kind = i;
            kinds++;
        }
    if (kinds == 0 && !m[C_KEY].there)
        return parse_clauses(p, at, m, out);
    if (kinds != 1 || clauses > 0)
        return parse_refuse(p, at, ST_INVALID,
                            "a condition is of one kind: match, range, geo_bounding_box, "
                            "geo_radius, geo_polygon, values_count, is_empty, is_null, has_id, "
                            "has_vector, nested, or a filter");
    if (!m[C_KEY].there)
        return parse_plain(p, at, m, kind, out);
    if (kind >= C_HAS_ID)
        return parse_refuse(p, at, ST_INVALID, "`key` does not go with `%s`", NAMES[kind]);
    return parse_field(p, at, m, kind, out);
}

status parse_compatible(struct parser *p, const struct place *at, struct jval v,
                        struct filter **out)
{
    struct member m[C_CLAUSES];
    status st;

    name_members(m, C_CLAUSES);
    st = parse_members(p, at, v, "a filter {must, should, must_not, min_should}", m, C_CLAUSES);
    return st == ST_OK ? parse_clauses(p, at, m, out) : st;
}

status filter_parse_qdrant(struct jval v, bool string_ids, struct arena *arena, struct filter **out,
                           struct err *err)
{
    struct parser p = {.arena = arena, .err = err, .string_ids = string_ids};
    struct place at = place_of(NULL, "filter");
    struct filter *f;
    status st = jval_type(v) == J_NULL ? parse_node(&p, FILTER_ALL, NULL, &f)
                                       : parse_compatible(&p, &at, v, &f);

    if (st == ST_OK)
        *out = f;
    return st;
}
