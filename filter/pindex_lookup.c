/* A filter tree -> bits.
 *
 * Of each part of the tree two sets are worked out: rows that *may* match, and rows that *must*.
 * Where the indexes know all, they are one and the same. So a condition that no index knows costs
 * no more than itself: `may` is everything and `must` nothing, AND goes on with what the others
 * say, and NOT turns the two around: what must match the child cannot match, what may not does.
 * All sets lie within `known`, the slots that the indexes know; NULL stands for all of them in
 * `may`, for none in `must`.
 *
 * Sets are plain bits: a million rows are 125 KB, and an AND of two such sets takes microseconds.
 * Buffers come from the arena and are used again within one lookup. */
#include "filter/pindex_internal.h"

struct known {
    uint64_t *may;  /* NULL: all */
    uint64_t *must; /* NULL: none; == may: exact */
};
/* Where to stop asking indexes: looking at one row takes as long as this many entries do, and below
 * so many rows or children nothing is worth weighing. */
enum { ROW_ENTRIES = 200, WEIGHED_ROWS_MIN = 256, WEIGHED_CHILDREN_MAX = 32 };

static const struct known NOTHING_KNOWN = {NULL, NULL};
static struct known look(struct lookup *l, const struct filter *f);

/* --- sets --- */

static void known_give(struct lookup *l, struct known k)
{
    lookup_give(l, k.may);
    if (k.must != k.may)
        lookup_give(l, k.must);
}

static bool is_exact(struct known k)
{
    return k.may != NULL && k.may == k.must;
}

static void or_set(const struct lookup *l, uint64_t *bits, const struct slot_set *s)
{
    slot_set_or(s, bits, l->bit_count);
}

/* All that is known but these. */
static uint64_t *bits_without(struct lookup *l, const uint64_t *b)
{
    uint64_t *bits = lookup_take(l);

    if (bits == NULL)
        return NULL;
    or_set(l, bits, &l->set->known);
    lookup_minus(l, bits, b);
    return bits;
}

/* --- conditions --- */

struct union_of {
    const struct lookup *l;
    uint64_t *bits;
};

static void union_slots(void *arg, const struct slot_set *s)
{
    const struct union_of *u = arg;

    or_set(u->l, u->bits, s);
}

static void union_range(void *arg, const struct tree *t, uint64_t low, uint64_t high)
{
    const struct union_of *u = arg;

    tree_or(t, low, high, u->bits);
}

/* bits are what must match; may is those and what `more` adds. */
static struct known and_maybe(struct lookup *l, uint64_t *bits, const struct slot_set *more,
                              const struct slot_set *even_more)
{
    struct known k = {.must = bits, .may = lookup_copy(l, bits)};

    if (k.may == NULL)
        return NOTHING_KNOWN;
    or_set(l, k.may, more);
    if (even_more != NULL)
        or_set(l, k.may, even_more);
    return k;
}

/* All words are in the row; in one value of it for sure only where it has but one text. */
static struct known all_words(struct lookup *l, const struct pindex *index, const struct filter *f)
{
    struct known k = {.may = lookup_take(l)};
    uint64_t *word = lookup_take(l);
    uint64_t *special;

    for (size_t i = 0; i < f->word_count && !l->failed; i++) {
        const struct slot_set *s = value_map_find(&index->values, f->words[i]);

        memset(word, 0, l->words * sizeof *word);
        if (s != NULL)
            or_set(l, i == 0 ? k.may : word, s);
        if (i > 0)
            lookup_and(l, k.may, word);
    }
    lookup_give(l, word);
    if (l->failed || f->kind == FILTER_PHRASE)
        return k;
    if (index->special.count == 0) {
        k.must = k.may;
        return k;
    }
    k.must = lookup_copy(l, k.may);
    special = lookup_take(l);
    if (l->failed)
        return k;
    or_set(l, special, &index->special);
    lookup_minus(l, k.must, special);
    lookup_give(l, special);
    return k;
}

/* Rows with any value but null are not empty; rows without one and without a null are. */
static struct known is_empty(struct lookup *l, const struct pindex *index)
{
    uint64_t *values = lookup_take(l);
    struct known k = NOTHING_KNOWN;

    if (values == NULL)
        return k;
    or_set(l, values, &index->indexed);
    or_set(l, values, &index->other);
    k.may = bits_without(l, values);
    k.must = k.may;
    if (index->nulls.count != 0) {
        or_set(l, values, &index->nulls);
        k.must = bits_without(l, values);
    }
    lookup_give(l, values);
    return k;
}

/* What has a value exists; so does an empty array, of which the index knows nothing. */
static struct known exists(struct lookup *l, const struct pindex *index)
{
    struct known k = {.must = lookup_take(l)};

    if (k.must == NULL)
        return k;
    or_set(l, k.must, &index->indexed);
    or_set(l, k.must, &index->other);
    or_set(l, k.must, &index->nulls);
    return k;
}

static struct known condition(struct lookup *l, const struct filter *f)
{
    const struct pindex *index = f->path == NULL ? NULL : pindex_on_locked(l->set, f->path);
    struct union_of u = {.l = l};
    const struct parts parts = {.slots = union_slots, .range = union_range, .arg = &u};
    uint64_t *all;

    if (index == NULL)
        return NOTHING_KNOWN;
    l->indexes++;
    if (f->kind == FILTER_IS_EMPTY)
        return is_empty(l, index);
    if (f->kind == FILTER_EXISTS)
        return exists(l, index);
    if (parts_words_help(index, f))
        return all_words(l, index, f);
    u.bits = lookup_take(l);
    if (u.bits == NULL)
        return NOTHING_KNOWN;
    switch (parts_of(index, f, &parts)) {
    case VERDICT_EXACT:
        return (struct known){u.bits, u.bits};
    case VERDICT_OTHER:
        return and_maybe(l, u.bits, &index->other, NULL);
    case VERDICT_INDEXED:
        return and_maybe(l, u.bits, &index->other, &index->indexed);
    case VERDICT_MAYBE:
        return (struct known){.may = u.bits};
    case VERDICT_BUT:
        all = lookup_take(l);
        if (all == NULL)
            return NOTHING_KNOWN;
        or_set(l, all, &index->indexed);
        lookup_minus(l, all, u.bits);
        lookup_give(l, u.bits);
        return (struct known){all, all};
    case VERDICT_UNKNOWN:
        break;
    }
    lookup_give(l, u.bits);
    l->indexes--;
    return NOTHING_KNOWN;
}

/* --- the tree --- */

static struct known both(struct lookup *l, struct known a, struct known b)
{
    struct known k = NOTHING_KNOWN;

    if (is_exact(a) && is_exact(b)) {
        lookup_and(l, a.may, b.may);
        lookup_give(l, b.may);
        return a;
    }
    if (a.may != NULL || b.may != NULL) {
        k.may = lookup_copy(l, a.may != NULL ? a.may : b.may);
        if (k.may != NULL && a.may != NULL && b.may != NULL)
            lookup_and(l, k.may, b.may);
    }
    if (a.must != NULL && b.must != NULL) {
        k.must = lookup_copy(l, a.must);
        if (k.must != NULL)
            lookup_and(l, k.must, b.must);
    }
    known_give(l, a);
    known_give(l, b);
    return k;
}

/* not a: what may not match a must match this. */
static struct known turned(struct lookup *l, struct known a)
{
    struct known k = NOTHING_KNOWN;

    if (a.must != NULL)
        k.may = bits_without(l, a.must);
    if (is_exact(a))
        k.must = k.may;
    else if (a.may != NULL)
        k.must = bits_without(l, a.may);
    known_give(l, a);
    return k;
}

static struct known either(struct lookup *l, struct known a, struct known b)
{
    struct known k = NOTHING_KNOWN;

    if (is_exact(a) && is_exact(b)) {
        lookup_or(l, a.may, b.may);
        lookup_give(l, b.may);
        return a;
    }
    if (a.may != NULL && b.may != NULL) {
        k.may = lookup_copy(l, a.may);
        if (k.may != NULL)
            lookup_or(l, k.may, b.may);
    }
    if (a.must != NULL || b.must != NULL) {
        k.must = lookup_copy(l, a.must != NULL ? a.must : b.must);
        if (k.must != NULL && a.must != NULL && b.must != NULL)
            lookup_or(l, k.must, b.must);
    }
    known_give(l, a);
    known_give(l, b);
    return k;
}

static struct known at_least(struct lookup *l, const struct filter *f)
{
    struct tally may = {0};
    struct tally must = {0};
    uint64_t anything = 0; /* children of which nothing is known */
    bool exact = true;
    struct known k = NOTHING_KNOWN;

    for (size_t i = 0; i < f->child_count && !l->failed; i++) {
        struct known child = look(l, f->children[i]);

        exact = exact && is_exact(child);
        if (child.may == NULL)
            anything++;
        else
            lookup_tally(l, &may, child.may);
        if (child.must != NULL)
            lookup_tally(l, &must, child.must);
        known_give(l, child);
    }
    if (l->failed)
        return k;
    if (f->min_count > anything)
        k.may = lookup_tally_least(l, &may, f->min_count - anything);
    if (f->min_count > 0 && !exact)
        k.must = lookup_tally_least(l, &must, f->min_count);
    else if (exact)
        k.must = k.may;
    return k;
}

static struct known everything(struct lookup *l, bool all)
{
    struct known k = {.may = lookup_take(l)};

    k.must = k.may;
    if (k.may != NULL && all)
        or_set(l, k.may, &l->set->known);
    return k;
}

/* --- conjunctions --- */

static void weigh_slots(void *arg, const struct slot_set *s)
{
    *(uint64_t *)arg += s->count;
}

static void weigh_range(void *arg, const struct tree *t, uint64_t low, uint64_t high)
{
    *(uint64_t *)arg += tree_count(t, low, high);
}

/* About how many entries of indexes it takes to answer. */
static uint64_t weight_of(const struct lookup *l, const struct filter *f)
{
    const struct pindex *index = f->path == NULL ? NULL : pindex_on_locked(l->set, f->path);
    uint64_t weight = 0;
    const struct parts parts = {.slots = weigh_slots, .range = weigh_range, .arg = &weight};

    for (size_t i = 0; i < f->child_count; i++)
        weight += weight_of(l, f->children[i]);
    if (index == NULL)
        return weight;
    if (!parts_words_help(index, f)) {
        (void)parts_of(index, f, &parts);
        return weight;
    }
    for (size_t i = 0; i < f->word_count; i++) {
        const struct slot_set *s = value_map_find(&index->values, f->words[i]);

        weight += s == NULL ? 0 : s->count;
    }
    return weight;
}

static bool enough_known(const struct lookup *l, struct known k, uint64_t weight)
{
    return k.may != NULL && weight / ROW_ENTRIES > lookup_count(l, k.may);
}

/* The light ones first. When few rows are left, a heavy one costs more than these rows do: they are
 * asked. */
static struct known all_of_weighed(struct lookup *l, const struct filter *f)
{
    uint64_t weights[WEIGHED_CHILDREN_MAX];
    bool done[WEIGHED_CHILDREN_MAX] = {false};
    struct known k = NOTHING_KNOWN;

    for (size_t i = 0; i < f->child_count; i++)
        weights[i] = weight_of(l, f->children[i]);
    for (size_t n = 0; n < f->child_count && !l->failed; n++) {
        size_t next = f->child_count;

        for (size_t i = 0; i < f->child_count; i++)
            if (!done[i] && (next == f->child_count || weights[i] < weights[next]))
                next = i;
        if (enough_known(l, k, weights[next]))
            return both(l, k, NOTHING_KNOWN);
        done[next] = true;
        k = n == 0 ? look(l, f->children[next]) : both(l, k, look(l, f->children[next]));
    }
    return k;
}

static struct known all_of(struct lookup *l, const struct filter *f)
{
    struct known k;

    if (f->child_count > 1 && f->child_count <= WEIGHED_CHILDREN_MAX &&
        l->set->known.count >= WEIGHED_ROWS_MIN && !l->set->stored)
        return all_of_weighed(l, f);
    k = f->child_count == 0 ? everything(l, true) : look(l, f->children[0]);
    for (size_t i = 1; i < f->child_count && !l->failed; i++)
        k = both(l, k, look(l, f->children[i]));
    return k;
}

static struct known look(struct lookup *l, const struct filter *f)
{
    struct known k;

    if (!l->failed && l->goes_on != NULL && !l->goes_on(l->arg))
        l->failed = l->stopped = true;
    if (l->failed)
        return NOTHING_KNOWN;
    switch (f->kind) {
    case FILTER_ALL:
        return everything(l, true);
    case FILTER_NONE:
        return everything(l, false);
    case FILTER_AND:
        return all_of(l, f);
    case FILTER_OR:
        k = f->child_count == 0 ? everything(l, false) : look(l, f->children[0]);
        for (size_t i = 1; i < f->child_count && !l->failed; i++)
            k = either(l, k, look(l, f->children[i]));
        return k;
    case FILTER_NOT:
        return turned(l, look(l, f->children[0]));
    case FILTER_AT_LEAST:
        return at_least(l, f);
    FILTER_CASES_OF_CONDITIONS:
        break;
    }
    return condition(l, f);
}

status pindex_lookup(const struct pindex_set *set, const struct filter *f, struct arena *arena,
                     struct pindex_answer *out, struct err *err)
{
    return pindex_lookup_while(set, f, arena, NULL, NULL, out, err);
}

status pindex_lookup_while(const struct pindex_set *set, const struct filter *f,
                           struct arena *arena, bool (*goes_on)(void *arg), void *arg,
                           struct pindex_answer *out, struct err *err)
{
    struct lookup l = {.set = set, .arena = arena, .goes_on = goes_on, .arg = arg};
    struct pindex_answer answer = {0};
    struct known k = NOTHING_KNOWN;

    rwlock_take_read((struct rwlock *)(uintptr_t)&set->lock);
    l.bit_count = (set->known_end + 63) & ~UINT32_C(63);
    l.words = l.bit_count / 64;
    if (f != NULL && set->count > 0)
        k = look(&l, f);
    rwlock_drop((struct rwlock *)(uintptr_t)&set->lock);
    if (l.stopped)
        return err_set(err, ST_TIMEOUT, "the time was over while the payload indexes were asked");
    if (l.failed)
        return err_set(err, ST_NOMEM, "out of memory for the rows of a filter");
    answer.indexes = l.indexes;
    if (k.may != NULL && l.indexes > 0) {
        answer.used = true;
        answer.exact = is_exact(k);
        answer.bits = k.may;
        answer.sure = k.must;
        answer.bit_count = l.bit_count;
        answer.count = lookup_count(&l, k.may);
    }
    *out = answer;
    return ST_OK;
}
