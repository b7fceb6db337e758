/* Which parts of an index answer a condition. What is here decides what an index may be used for;
 * looking up and estimating both go through it. */
#include "filter/pindex_internal.h"

#include <math.h>

static const double TWO_64 = 18446744073709551616.0;
static const double TWO_63 = 9223372036854775808.0;

static bool of_numbers(const struct pindex *index)
{
    return index->type == PINDEX_INTEGER || index->type == PINDEX_FLOAT;
}

static bool of_keys(const struct pindex *index)
{
    return index->type == PINDEX_KEYWORD || index->type == PINDEX_BOOL ||
           index->type == PINDEX_UUID;
}

/* --- values --- */

static void tell_key(const struct parts *out, const struct tree *t, uint64_t key)
{
    out->range(out->arg, t, key, key);
}

/* A whole number that a double is, if the trees of integers can hold it. */
static bool whole(double v, bool *negative, uint64_t *key)
{
    if (!(v >= -TWO_63 && v < TWO_64) || v != floor(v))
        return false;
    *negative = v < 0;
    *key = v < 0 ? (uint64_t)(int64_t)v : (uint64_t)v;
    return true;
}

/* The double that equals an integer, if there is one. */
static bool same_double(const struct filter_value *v, double *out)
{
    if (v->type == JBIN_T_U64) {
        *out = (double)v->u64;
        return *out < TWO_64 && (uint64_t)*out == v->u64;
    }
    *out = (double)v->i64;
    return *out < TWO_63 && (int64_t)*out == v->i64;
}

/* False: not a number. */
static bool tell_number(const struct pindex *index, const struct filter_value *v, bool loose,
                        const struct parts *out)
{
    const struct tree *floats = &index->trees[TREE_FLOAT];
    bool negative;
    uint64_t key;
    double same;

    if (v->type == JBIN_T_F64) {
        if (!isnan(v->f64))
            tell_key(out, floats, key_of_double(v->f64));
        if (loose && whole(v->f64, &negative, &key))
            tell_key(out, &index->trees[negative ? TREE_NEGATIVE : TREE_POSITIVE], key);
        return true;
    }
    if (v->type != JBIN_T_U64 && v->type != JBIN_T_I64)
        return false;
    if (v->type == JBIN_T_U64)
        tell_key(out, &index->trees[TREE_POSITIVE], v->u64);
    else
        tell_key(out, &index->trees[v->i64 < 0 ? TREE_NEGATIVE : TREE_POSITIVE], (uint64_t)v->i64);
    if (loose && same_double(v, &same))
        tell_key(out, floats, key_of_double(same));
    return true;
}

/* Tells the pieces of the values; false if the index cannot tell one of them from others. */
static bool tell_values(const struct pindex *index, const struct filter *f, const struct parts *out)
{
    bool all = true;

    for (size_t i = 0; i < f->value_count; i++) {
        const struct filter_value *v = &f->values[i];
        const struct slot_set *s;
        struct value_key key;

        if (of_numbers(index)) {
            all = tell_number(index, v, f->loose, out) && all;
        } else if (of_keys(index) && value_key_of(index->type, v, &key)) {
            s = value_map_find(&index->values, key.bytes);
            if (s != NULL)
                out->slots(out->arg, s);
        } else {
            all = false;
        }
    }
    return all;
}

/* A value null equals a null, which stands apart. */
static bool has_null(const struct filter *f)
{
    for (size_t i = 0; i < f->value_count; i++)
        if (f->values[i].type == JBIN_T_NULL)
            return true;
    return false;
}

static enum verdict any_of(const struct pindex *index, const struct filter *f,
                           const struct parts *out)
{
    if (has_null(f))
        return VERDICT_UNKNOWN;
    if (!of_numbers(index) && !of_keys(index))
        return VERDICT_INDEXED;
    return tell_values(index, f, out) || index->other.count == 0 ? VERDICT_EXACT : VERDICT_OTHER;
}

/* Where each row has one value, those that have another one are all but those that have these. */
static enum verdict except(const struct pindex *index, const struct filter *f,
                           const struct parts *out)
{
    if (has_null(f) || (!of_numbers(index) && !of_keys(index)) || index->other.count != 0 ||
        index->entries != index->indexed.count)
        return VERDICT_INDEXED;
    (void)tell_values(index, f, out);
    return VERDICT_BUT;
}

/* --- ranges --- */

struct run {
    bool empty;
    uint64_t low, high; /* inclusive */
};

static void run_above(struct run *r, uint64_t low)
{
    r->low = low > r->low ? low : r->low;
}

static void run_below(struct run *r, uint64_t high)
{
    r->high = high < r->high ? high : r->high;
}

/* The next key above, or below; none: empty. */
static void run_beyond(struct run *r, uint64_t key, bool up)
{
    if (up ? key == UINT64_MAX : key == 0)
        r->empty = true;
    else if (up)
        run_above(r, key + 1);
    else
        run_below(r, key - 1);
}

static void run_bound(struct run *r, uint64_t key, bool open, bool up)
{
    if (open)
        run_beyond(r, key, up);
    else if (up)
        run_above(r, key);
    else
        run_below(r, key);
}

/* Bounds of the integers of one sign; up: a lower bound. */
static void bound_integers(struct run *r, bool negative, const struct filter_value *v, bool open,
                           bool up)
{
    double d = v->f64;

    if (v->type == JBIN_T_F64) {
        double low = negative ? -TWO_63 : 0;
        double high = negative ? 0 : TWO_64; /* exclusive */
        double at = up ? ceil(d) : floor(d);

        if (isnan(d) || (up ? at >= high : at < low))
            r->empty = true;
        else if (up ? at < low : at >= high)
            return; /* no bound to these */
        else
            run_bound(r, negative ? (uint64_t)(int64_t)at : (uint64_t)at, open && at == d, up);
        return;
    }
    if ((v->type == JBIN_T_I64 && v->i64 < 0) == negative)
        run_bound(r, v->type == JBIN_T_I64 ? (uint64_t)v->i64 : v->u64, open, up);
    else if (negative == up) /* a bound of the other sign leaves none, or all */
        r->empty = true;
}

/* The double nearest to an integer may lie to either side of it. */
static int double_beside(const struct filter_value *v, double *out)
{
    if (v->type == JBIN_T_U64) {
        *out = (double)v->u64;
        if (*out >= TWO_64 || (uint64_t)*out > v->u64)
            return 1;
        return (uint64_t)*out == v->u64 ? 0 : -1;
    }
    *out = (double)v->i64;
    if (*out >= TWO_63 || (int64_t)*out > v->i64)
        return 1;
    return (int64_t)*out == v->i64 ? 0 : -1;
}

static void bound_doubles(struct run *r, const struct filter_value *v, bool open, bool up)
{
    double d = v->f64;
    int side = v->type == JBIN_T_F64 ? 0 : double_beside(v, &d);

    if (isnan(d))
        r->empty = true;
    else if (side == 0)
        run_bound(r, key_of_double(d), open, up);
    else
        run_bound(r, key_of_double(d), up == (side < 0), up);
}

static void bound_negative_top(struct run *r, bool negative)
{
    if (negative)
        run_above(r, UINT64_C(1) << 63);
}

static void tell_run(const struct parts *out, const struct tree *t, const struct run *r)
{
    if (!r->empty && r->low <= r->high)
        out->range(out->arg, t, r->low, r->high);
}

static enum verdict range(const struct pindex *index, const struct filter *f,
                          const struct parts *out)
{
    if (!of_numbers(index))
        return index->other.count == 0 ? VERDICT_EXACT : VERDICT_OTHER; /* numbers are others */
    for (int tree = 0; tree < TREE_COUNT; tree++) {
        struct run r = {.high = UINT64_MAX};
        bool negative = tree == TREE_NEGATIVE;

        bound_negative_top(&r, negative);
        if (f->lower != BOUND_NONE && tree == TREE_FLOAT)
            bound_doubles(&r, &f->low_exact, f->lower == BOUND_OPEN, true);
        else if (f->lower != BOUND_NONE)
            bound_integers(&r, negative, &f->low_exact, f->lower == BOUND_OPEN, true);
        if (f->upper != BOUND_NONE && tree == TREE_FLOAT)
            bound_doubles(&r, &f->high_exact, f->upper == BOUND_OPEN, false);
        else if (f->upper != BOUND_NONE)
            bound_integers(&r, negative, &f->high_exact, f->upper == BOUND_OPEN, false);
        tell_run(out, &index->trees[tree], &r);
    }
    return VERDICT_EXACT;
}

static enum verdict times(const struct pindex *index, const struct filter *f,
                          const struct parts *out)
{
    struct run r = {.high = UINT64_MAX};

    if (index->type != PINDEX_DATETIME)
        return VERDICT_INDEXED;
    if (f->lower != BOUND_NONE)
        run_bound(&r, key_of_time(f->low_ticks), f->lower == BOUND_OPEN, true);
    if (f->upper != BOUND_NONE)
        run_bound(&r, key_of_time(f->high_ticks), f->upper == BOUND_OPEN, false);
    tell_run(out, &index->trees[TREE_POSITIVE], &r);
    return VERDICT_EXACT;
}

/* --- the rest --- */

bool parts_words_fit(const struct pindex *index, const struct filter *f)
{
    return index->type == PINDEX_TEXT && f->cut.tokenizer == index->words.tokenizer &&
           f->cut.keep_case == index->words.keep_case &&
           f->cut.min_bytes == index->words.min_bytes && f->cut.max_bytes == index->words.max_bytes;
}

bool parts_words_help(const struct pindex *index, const struct filter *f)
{
    /* Of a phrase the whole words are wanted, which an index of beginnings may not have. */
    return (f->kind == FILTER_TEXT || (f->kind == FILTER_PHRASE && index->words.tokenizer == 0)) &&
           f->word_count > 0 && parts_words_fit(index, f);
}

static enum verdict any_word(const struct pindex *index, const struct filter *f,
                             const struct parts *out)
{
    if (!parts_words_fit(index, f))
        return VERDICT_INDEXED;
    for (size_t i = 0; i < f->word_count; i++) {
        const struct slot_set *s = value_map_find(&index->values, f->words[i]);

        if (s != NULL)
            out->slots(out->arg, s);
    }
    return VERDICT_EXACT;
}

enum verdict parts_of(const struct pindex *index, const struct filter *f, const struct parts *out)
{
    switch (f->kind) {
    case FILTER_ANY_OF:
        return any_of(index, f, out);
    case FILTER_EXCEPT:
        return except(index, f, out);
    case FILTER_RANGE:
        return range(index, f, out);
    case FILTER_DATETIME:
        return times(index, f, out);
    case FILTER_TEXT_ANY:
        return any_word(index, f, out);
    case FILTER_TEXT:
    case FILTER_PHRASE:
        return VERDICT_INDEXED; /* all words: not a union; see lookup and estimate */
    case FILTER_GEO_BOX:
    case FILTER_GEO_RADIUS:
    case FILTER_GEO_POLYGON:
        if (index->type != PINDEX_GEO)
            return index->other.count == 0 ? VERDICT_EXACT : VERDICT_OTHER;
        geo_parts(index, f, out);
        return VERDICT_MAYBE;
    case FILTER_IS_NULL:
        out->slots(out->arg, &index->nulls);
        return VERDICT_EXACT;
    FILTER_CASES_OF_GROUPS:
    case FILTER_PREFIX:
    case FILTER_COUNT:
    case FILTER_IS_EMPTY:
    case FILTER_HAS_ID:
    case FILTER_HAS_VECTOR:
    case FILTER_NESTED:
    case FILTER_EXISTS:
        break;
    }
    return VERDICT_UNKNOWN;
}
