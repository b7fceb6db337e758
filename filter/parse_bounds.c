/* Ranges: of numbers, of times, of how many values there are. */
#include "filter/datetime.h"
#include "filter/parse_internal.h"

#include <inttypes.h>

/* What is left when all bounds hold: at most one from below and one from above. */
struct range {
    enum filter_bound lower, upper;
    struct number low, high;
};

static void tighten(enum filter_bound *kept, struct number *at, enum filter_bound kind,
                    struct number n, int sign)
{
    int order = *kept == BOUND_NONE ? 1 : sign * number_compare(n, *at);

    if (order < 0 || (order == 0 && kind == BOUND_CLOSED))
        return;
    *kept = kind;
    *at = n;
}

static void take_bound(struct range *r, size_t name, struct number n)
{
    enum filter_bound kind = name == BOUND_LTE || name == BOUND_GTE ? BOUND_CLOSED : BOUND_OPEN;

    if (name == BOUND_GT || name == BOUND_GTE)
        tighten(&r->lower, &r->low, kind, n, 1);
    else
        tighten(&r->upper, &r->high, kind, n, -1);
}

typedef status read_bound_fn(struct parser *p, const struct place *at, struct jval v,
                             struct number *out);

static status read_number(struct parser *p, const struct place *at, struct jval v,
                          struct number *out)
{
    if (jval_u64(v, &out->u64))
        out->type = JBIN_T_U64;
    else if (jval_type(v) == J_I64 && jval_i64(v, &out->i64))
        out->type = JBIN_T_I64;
    else if (jval_f64(v, &out->f64))
        out->type = JBIN_T_F64;
    else
        return parse_needs(p, at, "a number, or a time as a string,", v);
    return ST_OK;
}

/* Times are integers here. */
static status read_time(struct parser *p, const struct place *at, struct jval v, struct number *out)
{
    struct slice text;

    if (jval_type(v) != J_STRING)
        return parse_refuse(p, at, ST_INVALID,
                            "a time as a string is needed, as another bound of the range is one");
    text = jval_string(v);
    out->type = JBIN_T_I64;
    if (datetime_parse(text, &out->i64))
        return ST_OK;
    return parse_refuse(p, at, ST_INVALID,
                        "`%.*s` is no time; one is written 2024-02-29T12:30:00Z, 2024-02-29 12:30 "
                        "or 2024-02-29",
                        text.bytes < 48 ? (int)text.bytes : 48, (const char *)text.data);
}

static status read_count(struct parser *p, const struct place *at, struct jval v,
                         struct number *out)
{
    int64_t negative;

    out->type = JBIN_T_U64;
    if (!jval_u64(v, &out->u64) && jval_i64(v, &negative))
        return parse_refuse(p, at, ST_INVALID, "a whole number from 0 is needed, not %" PRId64,
                            negative);
    return jval_u64(v, &out->u64) ? ST_OK : parse_needs(p, at, "a whole number from 0", v);
}

static status read_bounds(struct parser *p, const struct place *at,
                          const struct member bounds[BOUND_NAMES], read_bound_fn *read,
                          struct range *r)
{
    for (size_t i = 0; i < BOUND_NAMES; i++) {
        struct place place = place_of(at, bounds[i].name);
        struct number n = {0};
        status st;

        if (!bounds[i].there)
            continue;
        st = read(p, &place, bounds[i].value, &n);
        if (st != ST_OK)
            return st;
        take_bound(r, i, n);
    }
    return ST_OK;
}

status parse_range(struct parser *p, const struct place *at, const struct path *path,
                   const struct member bounds[BOUND_NAMES], struct filter **out)
{
    struct range r = {0};
    struct filter *f;
    bool times = false;
    status st;

    for (size_t i = 0; i < BOUND_NAMES; i++)
        times |= bounds[i].there && jval_type(bounds[i].value) == J_STRING;
    st = read_bounds(p, at, bounds, times ? read_time : read_number, &r);
    if (st == ST_OK)
        st = parse_node(p, times ? FILTER_DATETIME : FILTER_RANGE, path, &f);
    if (st != ST_OK)
        return st;
    f->lower = r.lower;
    f->upper = r.upper;
    if (times) {
        f->low_ticks = r.low.i64;
        f->high_ticks = r.high.i64;
    } else {
        f->low_exact = filter_number_value(r.low);
        f->high_exact = filter_number_value(r.high);
        f->low = r.lower == BOUND_NONE ? 0 : number_f64(r.low);
        f->high = r.upper == BOUND_NONE ? 0 : number_f64(r.high);
    }
    *out = f;
    return ST_OK;
}

status parse_value_counts(struct parser *p, const struct place *at, const struct path *path,
                          const struct member bounds[BOUND_NAMES], struct filter **out)
{
    struct range r = {0};
    struct filter *f;
    status st = read_bounds(p, at, bounds, read_count, &r);

    if (st == ST_OK)
        st = parse_node(p, FILTER_COUNT, path, &f);
    if (st != ST_OK)
        return st;
    f->lower = r.lower;
    f->upper = r.upper;
    f->low_count = r.low.u64;
    f->high_count = r.high.u64;
    *out = f;
    return ST_OK;
}
