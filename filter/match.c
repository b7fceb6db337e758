/* A filter asked of a row. Values are looked at where they lie in the payload's blob; the depth of
 * the recursion is that of the filter, which the parsers bound. */
#include "filter/datetime.h"
#include "filter/geo.h"
#include "filter/numbers.h"
#include "filter/text.h"

#include <stdlib.h>

/* What conditions are asked of: a row, or below FILTER_NESTED one element of an array, which has
 * neither an id nor vectors. */
struct scope {
    const struct filter_row *row; /* NULL: an element */
    struct jbin_value root;
};

static bool match(const struct filter *f, const struct scope *s);

static int compare_values(const void *a, const void *b)
{
    return filter_value_compare(a, b);
}

/* False: no scalar. Its texts are the payload's. */
static bool scalar_of(const struct jbin_value *v, bool loose, struct filter_value *out)
{
    struct number n;

    *out = (struct filter_value){.type = v->type, .boolean = v->boolean, .text = v->text};
    if (!number_is(v->type))
        return v->type == JBIN_T_NULL || v->type == JBIN_T_BOOL || v->type == JBIN_T_STRING;
    n = number_of(v->type, v->u64, v->i64, v->f64);
    *out = filter_number_value(loose ? number_simplest(n) : n);
    return true;
}

static bool is_listed(const struct filter *f, const struct jbin_value *v)
{
    struct filter_value value;

    if (f->value_count == 1 && f->values[0].type == JBIN_T_STRING)
        return v->type == JBIN_T_STRING && slice_equal(v->text, f->values[0].text);
    if (!scalar_of(v, f->loose, &value))
        return false;
    if (f->value_count > 4)
        return bsearch(&value, f->values, f->value_count, sizeof value, compare_values) != NULL;
    for (size_t i = 0; i < f->value_count; i++)
        if (filter_value_compare(&value, &f->values[i]) == 0)
            return true;
    return false;
}

static bool within(int above_low, int below_high, const struct filter *f)
{
    return (f->lower == BOUND_NONE || above_low > 0 ||
            (above_low == 0 && f->lower == BOUND_CLOSED)) &&
           (f->upper == BOUND_NONE || below_high > 0 ||
            (below_high == 0 && f->upper == BOUND_CLOSED));
}

static bool in_range(const struct filter *f, const struct jbin_value *v)
{
    struct number n;
    int low = 0;
    int high = 0;

    if (!number_is(v->type))
        return false;
    n = number_of(v->type, v->u64, v->i64, v->f64);
    if (f->lower != BOUND_NONE)
        low = number_compare(n, filter_value_number(&f->low_exact));
    if (f->upper != BOUND_NONE)
        high = number_compare(filter_value_number(&f->high_exact), n);
    return within(low, high, f);
}

static int order(int64_t a, int64_t b)
{
    return (a > b) - (a < b);
}

static bool in_time(const struct filter *f, const struct jbin_value *v)
{
    int64_t ticks;

    return v->type == JBIN_T_STRING && datetime_parse(v->text, &ticks) &&
           within(order(ticks, f->low_ticks), order(f->high_ticks, ticks), f);
}

static bool in_polygon(const struct filter *f, struct filter_point p)
{
    if (geo_place_in(p, &f->exterior) != GEO_INSIDE)
        return false;
    for (size_t i = 0; i < f->interior_count; i++)
        if (geo_place_in(p, &f->interiors[i]) != GEO_OUTSIDE)
            return false;
    return true;
}

static bool in_shape(const struct filter *f, const struct jbin_value *v)
{
    struct filter_point p;

    if (!geo_point_of(v, &p))
        return false;
    if (f->kind == FILTER_GEO_BOX)
        return geo_in_box(p, f->center, f->corner);
    if (f->kind == FILTER_GEO_RADIUS)
        return geo_distance_m(f->center, p) < f->radius_m;
    return in_polygon(f, p);
}

static bool begins_with(struct slice text, struct slice prefix)
{
    return text.bytes >= prefix.bytes && slice_equal(slice_make(text.data, prefix.bytes), prefix);
}

static bool value_matches(const struct filter *f, const struct jbin_value *v)
{
    switch (f->kind) {
    case FILTER_ANY_OF:
        return is_listed(f, v);
    case FILTER_EXCEPT:
        return v->type != JBIN_T_NULL && !is_listed(f, v);
    case FILTER_RANGE:
        return in_range(f, v);
    case FILTER_DATETIME:
        return in_time(f, v);
    case FILTER_TEXT:
    case FILTER_TEXT_ANY:
    case FILTER_PHRASE:
        return v->type == JBIN_T_STRING && text_match(f, v->text);
    case FILTER_PREFIX:
        return v->type == JBIN_T_STRING && begins_with(v->text, f->text);
    case FILTER_GEO_BOX:
    case FILTER_GEO_RADIUS:
    case FILTER_GEO_POLYGON:
        return in_shape(f, v);
    FILTER_CASES_OF_GROUPS:
    case FILTER_COUNT:
    case FILTER_IS_EMPTY:
    case FILTER_IS_NULL:
    case FILTER_HAS_ID:
    case FILTER_HAS_VECTOR:
    case FILTER_NESTED:
    case FILTER_EXISTS:
        break;
    }
    return false;
}

static bool any_element(const struct jbin_value *array,
                        bool (*holds)(const void *arg, const struct jbin_value *v), const void *arg)
{
    struct rd r = rd_make(array->body);
    struct jbin_value element;

    while (jbin_element(&r, &element))
        if (holds(arg, &element))
            return true;
    return false;
}

static bool holds_value(const void *arg, const struct jbin_value *v)
{
    return value_matches(arg, v);
}

/* The functions below go along a path until they return false: what was looked for is found. */
static bool unless_value(void *arg, const struct jbin_value *v)
{
    const struct filter *const *f = arg;

    return v->type == JBIN_T_ARRAY ? !any_element(v, holds_value, *f) : !value_matches(*f, v);
}

static bool unless_full(void *arg, const struct jbin_value *v)
{
    (void)arg;
    return v->type == JBIN_T_NULL || (v->type == JBIN_T_ARRAY && v->body.bytes == 0);
}

static bool holds_null(const void *arg, const struct jbin_value *v)
{
    (void)arg;
    return v->type == JBIN_T_NULL;
}

static bool unless_null(void *arg, const struct jbin_value *v)
{
    return v->type == JBIN_T_ARRAY ? !any_element(v, holds_null, arg) : v->type != JBIN_T_NULL;
}

static bool unless_there(void *arg, const struct jbin_value *v)
{
    (void)arg;
    (void)v;
    return false;
}

struct counting {
    const struct filter *f;
    bool any; /* the path reached something */
};

static bool count_matches(const struct filter *f, uint64_t count)
{
    return within((count > f->low_count) - (count < f->low_count),
                  (count < f->high_count) - (count > f->high_count), f);
}

static bool unless_count(void *arg, const struct jbin_value *v)
{
    struct counting *c = arg;
    struct rd r = rd_make(v->body);
    struct jbin_value element;
    uint64_t count = v->type == JBIN_T_NULL || v->type == JBIN_T_ARRAY ? 0 : 1;

    c->any = true;
    while (v->type == JBIN_T_ARRAY && jbin_element(&r, &element))
        count++;
    return !count_matches(c->f, count);
}

struct nesting {
    const struct filter *f;
    bool opened; /* the path ends with []: it reaches the elements */
};

static bool holds_nested(const void *arg, const struct jbin_value *v)
{
    const struct nesting *n = arg;
    struct scope inner = {.root = *v};

    return v->type == JBIN_T_OBJECT && match(n->f->children[0], &inner);
}

static bool unless_nested(void *arg, const struct jbin_value *v)
{
    const struct nesting *n = arg;

    if (n->opened)
        return !holds_nested(n, v);
    return v->type != JBIN_T_ARRAY || !any_element(v, holds_nested, n);
}

static bool match_nested(const struct filter *f, const struct scope *s)
{
    struct nesting n = {f, f->path->steps[f->path->count - 1].kind == PATH_EACH};

    return !path_each(f->path, &s->root, unless_nested, &n);
}

static bool match_count(const struct filter *f, const struct scope *s)
{
    struct counting c = {.f = f};

    return !path_each(f->path, &s->root, unless_count, &c) || (!c.any && count_matches(f, 0));
}

static int compare_ids(const void *a, const void *b)
{
    return docid_compare(a, b);
}

static bool has_id(const struct filter *f, const struct scope *s)
{
    return s->row != NULL && s->row->id != NULL && f->id_count > 0 &&
           bsearch(s->row->id, f->ids, f->id_count, sizeof *f->ids, compare_ids) != NULL;
}

static bool has_vector(const struct filter *f, const struct scope *s)
{
    return s->row != NULL && f->vector_position >= 0 && f->vector_position < 64 &&
           (s->row->vectors >> f->vector_position & 1) != 0;
}

static bool match_at_least(const struct filter *f, const struct scope *s)
{
    uint64_t met = 0;

    for (size_t i = 0; i < f->child_count && met < f->min_count; i++)
        met += match(f->children[i], s) ? 1 : 0;
    return met >= f->min_count;
}

/* Whether some child, or each of them, does as wanted. */
static bool match_group(const struct filter *f, const struct scope *s, bool stop_at)
{
    for (size_t i = 0; i < f->child_count; i++)
        if (match(f->children[i], s) == stop_at)
            return stop_at;
    return !stop_at;
}

static bool match(const struct filter *f, const struct scope *s)
{
    switch (f->kind) {
    case FILTER_ALL:
        return true;
    case FILTER_NONE:
        return false;
    case FILTER_AND:
        return match_group(f, s, false);
    case FILTER_OR:
        return match_group(f, s, true);
    case FILTER_NOT:
        return !match(f->children[0], s);
    case FILTER_AT_LEAST:
        return match_at_least(f, s);
    case FILTER_ANY_OF:
    case FILTER_EXCEPT:
    case FILTER_TEXT:
    case FILTER_TEXT_ANY:
    case FILTER_PHRASE:
    case FILTER_PREFIX:
    case FILTER_RANGE:
    case FILTER_DATETIME:
    case FILTER_GEO_BOX:
    case FILTER_GEO_RADIUS:
    case FILTER_GEO_POLYGON:
        return !path_each(f->path, &s->root, unless_value, &f);
    case FILTER_COUNT:
        return match_count(f, s);
    case FILTER_IS_EMPTY:
        return path_each(f->path, &s->root, unless_full, NULL);
    case FILTER_IS_NULL:
        return !path_each(f->path, &s->root, unless_null, NULL);
    case FILTER_HAS_ID:
        return has_id(f, s);
    case FILTER_HAS_VECTOR:
        return has_vector(f, s);
    case FILTER_NESTED:
        return match_nested(f, s);
    case FILTER_EXISTS:
        return !path_each(f->path, &s->root, unless_there, NULL);
    }
    return false;
}

bool filter_match(const struct filter *f, const struct filter_row *row)
{
    struct scope s = {.row = row};

    if (filter_is_all(f))
        return true;
    s.root = jbin_root(row->payload);
    return match(f, &s);
}
