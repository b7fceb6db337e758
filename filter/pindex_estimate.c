/* A filter tree -> how many rows match: at least, likely, at most.
 *
 * Conditions are counted in the indexes, which is exact where each row has one value; parts are put
 * together by what must hold of any sets of these sizes (Bonferroni), and likely as if they were
 * independent. Dead rows are counted by the indexes and pending ones are not; the ends move by as
 * many. */
#include "filter/pindex_internal.h"

#include <math.h>

struct guess {
    double low, likely, high; /* of all that is known */
    bool known;
};
struct guessing {
    const struct pindex_set *set;
    double all;
};

static struct guess guess_of(const struct guessing *g, const struct filter *f);

static double bounded(double v, double low, double high)
{
    return v < low ? low : v > high ? high : v;
}

static struct guess nothing_known(const struct guessing *g)
{
    return (struct guess){.likely = g->all, .high = g->all};
}

static struct guess exactly(double n)
{
    return (struct guess){.low = n, .likely = n, .high = n, .known = true};
}

/* --- conditions --- */

struct sum { /* of the pieces of a union */
    double sum, largest;
};

static void sum_up(struct sum *s, uint64_t count)
{
    s->sum += (double)count;
    s->largest = (double)count > s->largest ? (double)count : s->largest;
}

static void sum_slots(void *arg, const struct slot_set *s)
{
    sum_up(arg, s->count);
}

static void sum_range(void *arg, const struct tree *t, uint64_t low, uint64_t high)
{
    sum_up(arg, tree_count(t, low, high));
}

/* Rows in the union of pieces with so many entries together: where some rows have more than one
 * value, those may be in more than one piece, or more than once in one. */
static struct guess of_union(const struct pindex *index, const struct sum *s)
{
    double rows = index->indexed.count;
    double surplus = (double)index->entries > rows ? (double)index->entries - rows : 0;
    double values = index->entries > 0 ? (double)index->entries : 1;
    double low = bounded(s->sum - surplus, 0, s->sum);
    struct guess r = {.known = true, .high = bounded(s->sum, 0, rows)};

    if (index->type == PINDEX_TEXT) /* a text may have no word */
        low = 0;
    /* A keyword's rows have it once each. */
    if (index->values.count > 0 && s->largest > low)
        low = s->largest;
    r.low = bounded(low, 0, r.high);
    r.likely = bounded(s->sum / values * rows, r.low, r.high);
    return r;
}

static struct guess with_more(const struct guessing *g, struct guess a, double more)
{
    a.high = bounded(a.high + more, 0, g->all);
    return a;
}

static struct guess of_words(const struct guessing *g, const struct pindex *index,
                             const struct filter *f)
{
    struct guess r = {.known = true, .likely = g->all, .high = g->all};
    double surplus = 0;

    for (size_t i = 0; i < f->word_count; i++) {
        const struct slot_set *s = value_map_find(&index->values, f->words[i]);
        double count = s == NULL ? 0 : s->count;

        r.high = count < r.high ? count : r.high;
        r.likely *= g->all > 0 ? count / g->all : 0;
        surplus += g->all - count;
    }
    if (f->kind == FILTER_TEXT)
        r.low = bounded(g->all - surplus - index->special.count, 0, r.high);
    r.likely = bounded(r.likely, r.low, r.high);
    return r;
}

static struct guess of_presence(const struct guessing *g, const struct pindex *index,
                                const struct filter *f)
{
    double indexed = index->indexed.count;
    double other = index->other.count;
    double least = indexed > other ? indexed : other;
    double most = bounded(indexed + other, 0, g->all);
    struct guess r = {.known = true};

    if (f->kind == FILTER_EXISTS) {
        r.low = least > index->nulls.count ? least : index->nulls.count;
        r.high = g->all;
        r.likely = bounded(most + index->nulls.count, r.low, r.high);
        return r;
    }
    r.high = g->all - least;
    r.low = bounded(g->all - most - index->nulls.count, 0, r.high);
    r.likely = bounded(g->all - most, r.low, r.high);
    return r;
}

static struct guess of_condition(const struct guessing *g, const struct filter *f)
{
    const struct pindex *index = f->path == NULL ? NULL : pindex_on_locked(g->set, f->path);
    struct sum s = {0};
    const struct parts parts = {.slots = sum_slots, .range = sum_range, .arg = &s};
    struct guess r;

    if (index == NULL)
        return nothing_known(g);
    if (f->kind == FILTER_IS_EMPTY || f->kind == FILTER_EXISTS)
        return of_presence(g, index, f);
    if (parts_words_help(index, f))
        return of_words(g, index, f);
    switch (parts_of(index, f, &parts)) {
    case VERDICT_EXACT:
        return f->kind == FILTER_IS_NULL ? exactly(s.sum) : of_union(index, &s);
    case VERDICT_OTHER:
        return with_more(g, of_union(index, &s), index->other.count);
    case VERDICT_INDEXED:
        r = with_more(g, of_union(index, &s), (double)index->other.count + index->indexed.count);
        r.likely = r.high;
        return r;
    case VERDICT_MAYBE:
        r = of_union(index, &s);
        r.low = 0;
        r.high = with_more(g, r, index->special.count).high;
        return r;
    case VERDICT_BUT:
        r = of_union(index, &s);
        return (struct guess){.low = index->indexed.count - r.high,
                              .likely = index->indexed.count - r.likely,
                              .high = index->indexed.count - r.low,
                              .known = true};
    case VERDICT_UNKNOWN:
        break;
    }
    return nothing_known(g);
}

/* --- the tree --- */

static struct guess of_all(const struct guessing *g, const struct filter *f)
{
    struct guess r = {.likely = g->all, .high = g->all};
    double missing = 0;

    for (size_t i = 0; i < f->child_count; i++) {
        struct guess c = guess_of(g, f->children[i]);

        r.known = r.known || c.known;
        r.high = c.high < r.high ? c.high : r.high;
        r.likely *= g->all > 0 ? c.likely / g->all : 0;
        missing += g->all - c.low;
    }
    r.low = bounded(g->all - missing, 0, r.high);
    r.likely = bounded(r.likely, r.low, r.high);
    return r;
}

static struct guess of_any(const struct guessing *g, const struct filter *f)
{
    struct guess r = {.known = f->child_count > 0};
    double none = 1;

    for (size_t i = 0; i < f->child_count; i++) {
        struct guess c = guess_of(g, f->children[i]);

        r.known = r.known && c.known;
        r.low = c.low > r.low ? c.low : r.low;
        r.high = bounded(r.high + c.high, 0, g->all);
        none *= g->all > 0 ? 1 - c.likely / g->all : 1;
    }
    r.likely = bounded(g->all * (1 - none), r.low, r.high);
    return r;
}

static struct guess of_not(const struct guessing *g, const struct filter *f)
{
    struct guess c = guess_of(g, f->children[0]);

    if (!c.known)
        return nothing_known(g);
    return (struct guess){
        .low = g->all - c.high, .likely = g->all - c.likely, .high = g->all - c.low, .known = true};
}

/* As if many conditions, each seldom true, were true now and then (Poisson): m or more of them. */
static double at_least_of(double mean, uint64_t m)
{
    double term = exp(-mean);
    double fewer = 0;

    for (uint64_t i = 0; i < m; i++) {
        fewer += term;
        term *= mean / (double)(i + 1);
    }
    return 1 - fewer;
}

/* If r rows match m of k sets, the sets have at least m r members together, and at most
 * k r + (m - 1)(all - r). */
static struct guess of_some(const struct guessing *g, const struct filter *f)
{
    double m = (double)f->min_count;
    double k = (double)f->child_count;
    struct guess r = {.known = true};
    double low = 0, likely = 0, high = 0;

    if (m < 1)
        return exactly(g->all);
    if (m > k)
        return exactly(0);
    for (size_t i = 0; i < f->child_count; i++) {
        struct guess c = guess_of(g, f->children[i]);

        r.known = r.known && c.known;
        low += c.low;
        likely += c.likely;
        high += c.high;
    }
    r.high = bounded(floor(high / m), 0, g->all);
    r.low = bounded(ceil((low - (m - 1) * g->all) / (k - m + 1)), 0, r.high);
    likely = g->all > 0 ? likely / g->all : 0;
    r.likely = bounded(g->all * at_least_of(likely, f->min_count), r.low, r.high);
    return r;
}

static struct guess guess_of(const struct guessing *g, const struct filter *f)
{
    switch (f->kind) {
    case FILTER_ALL:
        return exactly(g->all);
    case FILTER_NONE:
        return exactly(0);
    case FILTER_AND:
        return of_all(g, f);
    case FILTER_OR:
        return of_any(g, f);
    case FILTER_NOT:
        return of_not(g, f);
    case FILTER_AT_LEAST:
        return of_some(g, f);
    FILTER_CASES_OF_CONDITIONS:
        break;
    }
    return of_condition(g, f);
}

void pindex_estimate(const struct pindex_set *set, const struct filter *f, uint64_t rows,
                     struct pindex_estimate *out)
{
    struct guessing g = {.set = set};
    struct guess r;
    uint64_t pending = pindex_pending(set);
    double dead;
    double alive;

    rwlock_take_read((struct rwlock *)(uintptr_t)&set->lock);
    g.all = set->known.count;
    r = f == NULL || set->count == 0 ? nothing_known(&g) : guess_of(&g, f);
    rwlock_drop((struct rwlock *)(uintptr_t)&set->lock);
    if (!r.known) {
        *out = (struct pindex_estimate){.likely = rows, .high = rows};
        return;
    }
    /* Live rows are known or pending. */
    dead = g.all + (double)pending > (double)rows ? g.all + (double)pending - (double)rows : 0;
    alive = g.all > 0 ? (double)rows / g.all : 0;
    out->known = true;
    out->low = (uint64_t)bounded(floor(r.low - dead), 0, (double)rows);
    out->high = (uint64_t)bounded(ceil(r.high + (double)pending), 0, (double)rows);
    out->likely = (uint64_t)bounded(round(r.likely * alive), (double)out->low, (double)out->high);
}
