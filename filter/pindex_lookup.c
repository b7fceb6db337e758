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

enum { SPARE_MAX = 32 };

struct known {
    uint64_t *may;  /* NULL: all */
    uint64_t *must; /* NULL: none; == may: exact */
};
struct lookup {
    const struct pindex_set *set;
    struct arena *arena;
    uint32_t bit_count;
    uint32_t words;
    uint32_t indexes;
    bool failed; /* out of memory */
    uint64_t *spare[SPARE_MAX];
    size_t spare_count;
};

static const struct known NOTHING_KNOWN = {NULL, NULL};
static struct known look(struct lookup *l, const struct filter *f);

/* --- buffers --- */

static uint64_t *bits_take(struct lookup *l)
{
    uint64_t *bits;

    if (l->spare_count > 0) {
        bits = l->spare[--l->spare_count];
        memset(bits, 0, l->words * sizeof *bits);
        return bits;
    }
    bits = arena_zero(l->arena, (l->words + 1) * sizeof *bits);
    l->failed = l->failed || bits == NULL;
    return bits;
}

static void bits_give(struct lookup *l, uint64_t *bits)
{
    if (bits != NULL && l->spare_count < SPARE_MAX)
        l->spare[l->spare_count++] = bits;
}

static void known_give(struct lookup *l, struct known k)
{
    bits_give(l, k.may);
    if (k.must != k.may)
        bits_give(l, k.must);
}

static bool is_exact(struct known k)
{
    return k.may != NULL && k.may == k.must;
}

static uint64_t *bits_copy(struct lookup *l, const uint64_t *from)
{
    uint64_t *bits = bits_take(l);

    if (bits != NULL)
        memcpy(bits, from, l->words * sizeof *bits);
    return bits;
}

static void bits_and(const struct lookup *l, uint64_t *a, const uint64_t *b)
{
    for (uint32_t i = 0; i < l->words; i++)
        a[i] &= b[i];
}

static void bits_or(const struct lookup *l, uint64_t *a, const uint64_t *b)
{
    for (uint32_t i = 0; i < l->words; i++)
        a[i] |= b[i];
}

static void bits_minus(const struct lookup *l, uint64_t *a, const uint64_t *b)
{
    for (uint32_t i = 0; i < l->words; i++)
        a[i] &= ~b[i];
}

static uint64_t bits_count(const struct lookup *l, const uint64_t *a)
{
    uint64_t count = 0;

    for (uint32_t i = 0; i < l->words; i++)
        count += (uint64_t)__builtin_popcountll(a[i]);
    return count;
}

static void or_set(const struct lookup *l, uint64_t *bits, const struct slot_set *s)
{
    slot_set_or(s, bits, l->bit_count);
}

/* All that is known but these. */
static uint64_t *bits_without(struct lookup *l, const uint64_t *b)
{
    uint64_t *bits = bits_take(l);

    if (bits == NULL)
        return NULL;
    or_set(l, bits, &l->set->known);
    bits_minus(l, bits, b);
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
    struct known k = {.must = bits, .may = bits_copy(l, bits)};

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
    struct known k = {.may = bits_take(l)};
    uint64_t *word = bits_take(l);
    uint64_t *special;

    for (size_t i = 0; i < f->word_count && !l->failed; i++) {
        const struct slot_set *s = value_map_find(&index->values, f->words[i]);

        memset(word, 0, l->words * sizeof *word);
        if (s != NULL)
            or_set(l, i == 0 ? k.may : word, s);
        if (i > 0)
            bits_and(l, k.may, word);
    }
    bits_give(l, word);
    if (l->failed || f->kind == FILTER_PHRASE)
        return k;
    if (index->special.count == 0) {
        k.must = k.may;
        return k;
    }
    k.must = bits_copy(l, k.may);
    special = bits_take(l);
    if (l->failed)
        return k;
    or_set(l, special, &index->special);
    bits_minus(l, k.must, special);
    bits_give(l, special);
    return k;
}

static bool words_help(const struct pindex *index, const struct filter *f)
{
    /* Of a phrase the whole words are wanted, which an index of beginnings may not have. */
    return (f->kind == FILTER_TEXT || (f->kind == FILTER_PHRASE && index->words.tokenizer == 0)) &&
           f->word_count > 0 && parts_words_fit(index, f);
}

/* Rows with any value but null are not empty; rows without one and without a null are. */
static struct known is_empty(struct lookup *l, const struct pindex *index)
{
    uint64_t *values = bits_take(l);
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
    bits_give(l, values);
    return k;
}

/* What has a value exists; so does an empty array, of which the index knows nothing. */
static struct known exists(struct lookup *l, const struct pindex *index)
{
    struct known k = {.must = bits_take(l)};

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
    if (words_help(index, f))
        return all_words(l, index, f);
    u.bits = bits_take(l);
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
        all = bits_take(l);
        if (all == NULL)
            return NOTHING_KNOWN;
        or_set(l, all, &index->indexed);
        bits_minus(l, all, u.bits);
        bits_give(l, u.bits);
        return (struct known){all, all};
    case VERDICT_UNKNOWN:
        break;
    }
    bits_give(l, u.bits);
    l->indexes--;
    return NOTHING_KNOWN;
}

/* --- the tree --- */

static struct known both(struct lookup *l, struct known a, struct known b)
{
    struct known k = NOTHING_KNOWN;

    if (is_exact(a) && is_exact(b)) {
        bits_and(l, a.may, b.may);
        bits_give(l, b.may);
        return a;
    }
    if (a.may != NULL || b.may != NULL) {
        k.may = bits_copy(l, a.may != NULL ? a.may : b.may);
        if (k.may != NULL && a.may != NULL && b.may != NULL)
            bits_and(l, k.may, b.may);
    }
    if (a.must != NULL && b.must != NULL) {
        k.must = bits_copy(l, a.must);
        if (k.must != NULL)
            bits_and(l, k.must, b.must);
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
        bits_or(l, a.may, b.may);
        bits_give(l, b.may);
        return a;
    }
    if (a.may != NULL && b.may != NULL) {
        k.may = bits_copy(l, a.may);
        if (k.may != NULL)
            bits_or(l, k.may, b.may);
    }
    if (a.must != NULL || b.must != NULL) {
        k.must = bits_copy(l, a.must != NULL ? a.must : b.must);
        if (k.must != NULL && a.must != NULL && b.must != NULL)
            bits_or(l, k.must, b.must);
    }
    known_give(l, a);
    known_give(l, b);
    return k;
}

/* How often a bit is set, in binary, one buffer a digit. */
struct tally {
    uint64_t *digits[16];
    uint32_t count;
};

static void tally_add(struct lookup *l, struct tally *t, const uint64_t *bits)
{
    uint64_t *carry = bits_copy(l, bits);

    for (uint32_t d = 0; d < t->count && !l->failed; d++) {
        for (uint32_t i = 0; i < l->words; i++) {
            uint64_t before = t->digits[d][i];

            t->digits[d][i] = before ^ carry[i];
            carry[i] &= before;
        }
    }
    if (l->failed)
        return;
    for (uint32_t i = 0; i < l->words; i++) {
        if (carry[i] == 0)
            continue;
        t->digits[t->count++] = carry; /* at most 14: there are no more conditions */
        return;
    }
    bits_give(l, carry);
}

/* Bits whose tally is at least `least`: from the highest digit down, those that are above it so
 * far, and those that are equal to it. */
static uint64_t *tally_least(struct lookup *l, struct tally *t, uint64_t least)
{
    uint64_t *above = bits_take(l);
    uint64_t *equal = bits_take(l);

    if (l->failed)
        return NULL;
    memset(equal, 0xff, l->words * sizeof *equal);
    if (t->count < 64 && least >> t->count != 0)
        memset(equal, 0, l->words * sizeof *equal); /* more than all digits can say */
    for (uint32_t d = t->count; d-- > 0;) {
        bool one = (least >> d & 1) != 0;

        for (uint32_t i = 0; i < l->words; i++) {
            if (!one)
                above[i] |= equal[i] & t->digits[d][i];
            equal[i] &= one ? t->digits[d][i] : ~t->digits[d][i];
        }
    }
    bits_or(l, above, equal);
    bits_give(l, equal);
    for (uint32_t d = 0; d < t->count; d++)
        bits_give(l, t->digits[d]);
    return above;
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
            tally_add(l, &may, child.may);
        if (child.must != NULL)
            tally_add(l, &must, child.must);
        known_give(l, child);
    }
    if (l->failed)
        return k;
    if (f->min_count > anything)
        k.may = tally_least(l, &may, f->min_count - anything);
    if (f->min_count > 0 && !exact)
        k.must = tally_least(l, &must, f->min_count);
    else if (exact)
        k.must = k.may;
    return k;
}

static struct known everything(struct lookup *l, bool all)
{
    struct known k = {.may = bits_take(l)};

    k.must = k.may;
    if (k.may != NULL && all)
        or_set(l, k.may, &l->set->known);
    return k;
}

static struct known look(struct lookup *l, const struct filter *f)
{
    struct known k;

    if (l->failed)
        return NOTHING_KNOWN;
    switch (f->kind) {
    case FILTER_ALL:
        return everything(l, true);
    case FILTER_NONE:
        return everything(l, false);
    case FILTER_AND:
        k = f->child_count == 0 ? everything(l, true) : look(l, f->children[0]);
        for (size_t i = 1; i < f->child_count && !l->failed; i++)
            k = both(l, k, look(l, f->children[i]));
        return k;
    case FILTER_OR:
        k = f->child_count == 0 ? everything(l, false) : look(l, f->children[0]);
        for (size_t i = 1; i < f->child_count && !l->failed; i++)
            k = either(l, k, look(l, f->children[i]));
        return k;
    case FILTER_NOT:
        return turned(l, look(l, f->children[0]));
    case FILTER_AT_LEAST:
        return at_least(l, f);
    case FILTER_ANY_OF:
    case FILTER_EXCEPT:
    case FILTER_TEXT:
    case FILTER_TEXT_ANY:
    case FILTER_PHRASE:
    case FILTER_RANGE:
    case FILTER_DATETIME:
    case FILTER_GEO_BOX:
    case FILTER_GEO_RADIUS:
    case FILTER_GEO_POLYGON:
    case FILTER_COUNT:
    case FILTER_IS_EMPTY:
    case FILTER_IS_NULL:
    case FILTER_HAS_ID:
    case FILTER_HAS_VECTOR:
    case FILTER_NESTED:
    case FILTER_EXISTS:
        break;
    }
    return condition(l, f);
}

status pindex_lookup(const struct pindex_set *set, const struct filter *f, struct arena *arena,
                     struct pindex_answer *out, struct err *err)
{
    struct lookup l = {.set = set, .arena = arena};
    struct pindex_answer answer = {0};
    struct known k = NOTHING_KNOWN;

    rwlock_take_read((struct rwlock *)(uintptr_t)&set->lock);
    l.bit_count = (set->known_end + 63) & ~UINT32_C(63);
    l.words = l.bit_count / 64;
    if (f != NULL && set->count > 0)
        k = look(&l, f);
    rwlock_drop((struct rwlock *)(uintptr_t)&set->lock);
    if (l.failed)
        return err_set(err, ST_NOMEM, "out of memory for the rows of a filter");
    answer.indexes = l.indexes;
    if (k.may != NULL && l.indexes > 0) {
        answer.used = true;
        answer.exact = is_exact(k);
        answer.bits = k.may;
        answer.sure = k.must;
        answer.bit_count = l.bit_count;
        answer.count = bits_count(&l, k.may);
    }
    *out = answer;
    return ST_OK;
}
