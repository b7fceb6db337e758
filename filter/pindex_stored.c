/* Payload indexes of which only what a filter needs was loaded.
 *
 * Such a set is one as any other, over rows that all are known: what its lookups ask of sets,
 * values and trees is there, because pindex_stored_needs() goes the way that pindex_lookup.c goes.
 * Sets of rows that are not there have their count, on which verdicts rest. */
#include "filter/pindex_stored.h"
#include "filter/pindex_internal.h"

static_assert((int)PINDEX_STORED_SETS == (int)STORED_SETS, "pindex_stored.h, keys");
static_assert((int)PINDEX_STORED_KEY_BYTES_MAX == 1 + (int)PINDEX_KEY_BYTES_MAX,
              "pindex_stored.h, keys");

enum { TREE_KEY_BYTES = 9 };

bool pindex_entries_of(const struct pindex_spec *spec, struct slice payload, pindex_entry_fn *fn,
                       void *arg)
{
    const struct pindex index = {.path = spec->path, .type = spec->type, .words = spec->words};

    return pindex_tell_row(&index, payload, fn, arg);
}

/* --- opening --- */

static status no_memory(struct err *err)
{
    return err_set(err, ST_NOMEM, "out of memory for the payload indexes of a segment");
}

/* A set of no rows, or of all of them, need not be read. */
static bool make_sets(struct pindex *index, const struct pindex_stored *from, uint32_t rows)
{
    for (unsigned i = 0; i < STORED_SETS; i++) {
        struct slot_set *s = pindex_set_of(index, i);

        index->loading.sets[i] = from->sets[i];
        if (from->sets[i] == rows && !slot_set_fill(s, rows, &index->charge))
            return false;
        if (from->sets[i] != rows && from->sets[i] != 0)
            slot_set_make_absent(s, from->sets[i]);
    }
    return true;
}

static status make_index(struct pindex_set *set, const struct pindex_stored *from, uint32_t rows,
                         struct err *err)
{
    struct pindex *index;
    uint32_t at = set->count;
    status st = pindex_add(set, &from->spec, err);

    if (st != ST_OK)
        return st;
    if (set->count == at)
        return err_set(err, ST_CORRUPT, "payload indexes of a segment: a path is there twice");
    for (unsigned i = 0; i < STORED_SETS; i++)
        if (from->sets[i] > rows)
            return err_set(err, ST_CORRUPT, "payload indexes of a segment: more rows than it has");
    if (from->entries < from->sets[STORED_INDEXED] && from->spec.type != PINDEX_TEXT &&
        from->spec.type != PINDEX_GEO)
        return err_set(err, ST_CORRUPT, "payload indexes of a segment: fewer values than rows");
    index = set->indexes[at];
    index->state = PINDEX_READY;
    index->entries = from->entries;
    return make_sets(index, from, rows) ? ST_OK : no_memory(err);
}

status pindex_stored_open(const struct pindex_stored *items, size_t count, uint32_t rows,
                          struct pindex_set **out, struct err *err)
{
    const struct pindex_rows none = {.arg = NULL};
    struct pindex_set *set;
    status st = pindex_create(&none, NULL, &set, err);

    if (st != ST_OK)
        return st;
    set->stored = true;
    set->known_end = rows;
    if (!slot_set_fill(&set->known, rows, &set->known_charge))
        st = no_memory(err);
    for (size_t i = 0; st == ST_OK && i < count; i++)
        st = make_index(set, &items[i], rows, err);
    set->building = 0;
    if (st == ST_OK)
        *out = set;
    else
        pindex_destroy(set);
    return st;
}

/* --- what a filter needs --- */

struct needing {
    const struct pindex_set *set;
    struct pindex *index;
    uint32_t item;
    pindex_need_fn *fn;
    void *arg;
    bool stopped;
};

static void need(struct needing *n, struct slice low, struct slice high)
{
    n->stopped = n->stopped || !n->fn(n->arg, n->item, low, high);
}

static void need_set(struct needing *n, unsigned which)
{
    const uint8_t key = (uint8_t)which;

    if (slot_set_is_absent(pindex_set_of(n->index, which)))
        need(n, slice_make(&key, 1), slice_make(&key, 1));
}

static void need_value(struct needing *n, struct slice value)
{
    uint8_t key[PINDEX_STORED_KEY_BYTES_MAX];

    if (value.bytes > PINDEX_KEY_BYTES_MAX)
        return; /* no index has it */
    key[0] = STORED_VALUES;
    if (value.bytes > 0)
        memcpy(key + 1, value.data, value.bytes);
    need(n, slice_make(key, 1 + value.bytes), slice_make(key, 1 + value.bytes));
}

static void put_tree_key(uint8_t out[TREE_KEY_BYTES], ptrdiff_t tree, uint64_t key)
{
    out[0] = (uint8_t)(STORED_TREES + tree);
    for (size_t i = 1; i < TREE_KEY_BYTES; i++)
        out[i] = (uint8_t)(key >> (64 - 8 * i));
}

static void need_slots(void *arg, const struct slot_set *s)
{
    struct needing *n = arg;

    for (unsigned i = 0; i < STORED_SETS; i++)
        if (s == pindex_set_of(n->index, i))
            need_set(n, i);
}

static void need_range(void *arg, const struct tree *t, uint64_t low, uint64_t high)
{
    struct needing *n = arg;
    uint8_t from[TREE_KEY_BYTES], to[TREE_KEY_BYTES];

    put_tree_key(from, t - n->index->trees, low);
    put_tree_key(to, t - n->index->trees, high);
    need(n, slice_make(from, sizeof from), slice_make(to, sizeof to));
}

static void need_keys(struct needing *n, const struct filter *f)
{
    for (size_t i = 0; i < f->value_count; i++) {
        struct value_key key;

        if (value_key_of(n->index->type, &f->values[i], &key))
            need_value(n, key.bytes);
    }
}

static void need_words(struct needing *n, const struct filter *f)
{
    for (size_t i = 0; i < f->word_count; i++)
        need_value(n, f->words[i]);
}

/* As parts_of() and who asks it go on. */
static void need_parts(struct needing *n, const struct filter *f)
{
    const struct parts parts = {.slots = need_slots, .range = need_range, .arg = n};

    switch (parts_of(n->index, f, &parts)) {
    case VERDICT_UNKNOWN:
        return;
    case VERDICT_INDEXED:
        need_set(n, STORED_INDEXED);
        need_set(n, STORED_OTHER);
        return; /* it asked no value */
    case VERDICT_OTHER:
        need_set(n, STORED_OTHER);
        break;
    case VERDICT_BUT:
        need_set(n, STORED_INDEXED);
        break;
    case VERDICT_EXACT:
    case VERDICT_MAYBE:
        break;
    }
    if (f->kind == FILTER_ANY_OF || f->kind == FILTER_EXCEPT)
        need_keys(n, f);
    if (f->kind == FILTER_TEXT_ANY)
        need_words(n, f);
}

static void need_condition(struct needing *n, const struct filter *f)
{
    if (f->kind == FILTER_IS_EMPTY || f->kind == FILTER_EXISTS) {
        need_set(n, STORED_INDEXED);
        need_set(n, STORED_OTHER);
        need_set(n, STORED_NULLS);
    } else if (parts_words_help(n->index, f)) {
        need_words(n, f);
        if (f->kind == FILTER_TEXT)
            need_set(n, STORED_SPECIAL);
    } else {
        need_parts(n, f);
    }
}

static void need_filter(struct needing *n, const struct filter *f)
{
    switch (f->kind) {
    FILTER_CASES_OF_GROUPS:
        for (size_t i = 0; i < f->child_count && !n->stopped; i++)
            need_filter(n, f->children[i]);
        return;
    FILTER_CASES_OF_CONDITIONS:
        break;
    }
    for (uint32_t i = 0; f->path != NULL && i < n->set->count; i++) {
        if (!path_equal(n->set->indexes[i]->path, f->path))
            continue;
        n->index = n->set->indexes[i];
        n->item = i;
        need_condition(n, f);
    }
}

bool pindex_stored_needs(const struct pindex_set *set, const struct filter *f, pindex_need_fn *fn,
                         void *arg)
{
    struct needing n = {.set = set, .fn = fn, .arg = arg};

    if (f != NULL)
        need_filter(&n, f);
    return !n.stopped;
}

/* --- loading --- */

static status stored_bad(const char *why, struct err *err)
{
    return err_set(err, ST_CORRUPT, "payload index of a segment: %s", why);
}

static bool of_trees(enum pindex_type type)
{
    return type == PINDEX_INTEGER || type == PINDEX_FLOAT || type == PINDEX_DATETIME ||
           type == PINDEX_GEO;
}

static status load_set(struct pindex *index, unsigned which, const uint32_t *rows, uint32_t count,
                       struct err *err)
{
    struct slot_set *s = pindex_set_of(index, which);
    uint32_t wanted = index->loading.sets[which];

    if (slot_set_is_absent(s))
        *s = (struct slot_set){.count = 0};
    else if (s->count == wanted)
        return ST_OK; /* it is there */
    if (count > wanted - s->count)
        return stored_bad("more rows than its directory says", err);
    return slot_set_append(s, rows, count, &index->charge) ? ST_OK : no_memory(err);
}

static status load_value(struct pindex *index, struct slice value, const uint32_t *rows,
                         uint32_t count, struct err *err)
{
    struct slot_set *s;
    bool added;

    if (of_trees(index->type) || (index->type == PINDEX_BOOL && value.bytes != 1))
        return stored_bad("a value of another type", err);
    if (!value_map_add(&index->values, value, rows[0], &added, &index->charge))
        return no_memory(err);
    s = (struct slot_set *)(uintptr_t)value_map_find(&index->values, value);
    return slot_set_append(s, rows + 1, count - 1, &index->charge) ? ST_OK : no_memory(err);
}

static status load_number(struct pindex *index, struct slice key, const uint32_t *rows,
                          uint32_t count, struct err *err)
{
    struct pindex_loading *l = &index->loading;
    unsigned tree = key.data[0] - (unsigned)STORED_TREES;
    uint64_t number = 0;
    int order = l->begun ? memcmp(l->key, key.data, TREE_KEY_BYTES) : -1;

    if (!of_trees(index->type) || key.bytes != TREE_KEY_BYTES ||
        (tree != TREE_POSITIVE && (index->type == PINDEX_DATETIME || index->type == PINDEX_GEO)))
        return stored_bad("a number of another type", err);
    if (order > 0 || (order == 0 && rows[0] <= l->row))
        return stored_bad("numbers out of order", err);
    for (size_t i = 1; i < TREE_KEY_BYTES; i++)
        number = number << 8 | key.data[i];
    memcpy(l->key, key.data, TREE_KEY_BYTES);
    l->row = rows[count - 1];
    l->begun = true;
    return tree_append(&index->trees[tree], number, rows, count, &index->charge) ? ST_OK
                                                                                 : no_memory(err);
}

status pindex_stored_load(struct pindex_set *set, uint32_t item, struct slice key,
                          const uint32_t *rows, uint32_t count, struct err *err)
{
    struct pindex *index = set->indexes[item];

    assert(item < set->count && key.bytes > 0 && count > 0);
    if (rows[count - 1] >= set->known_end)
        return stored_bad("a row out of range", err);
    if (key.data[0] < STORED_SETS && key.bytes == 1)
        return load_set(index, key.data[0], rows, count, err);
    if (key.data[0] == STORED_VALUES)
        return load_value(index, slice_make(key.data + 1, key.bytes - 1), rows, count, err);
    if (key.data[0] >= STORED_TREES && key.data[0] < STORED_TREES + TREE_COUNT)
        return load_number(index, key, rows, count, err);
    return stored_bad("a key of no kind that is known", err);
}

status pindex_stored_loaded(const struct pindex_set *set, struct err *err)
{
    for (uint32_t i = 0; i < set->count; i++)
        for (unsigned k = 0; k < STORED_SETS; k++)
            if (pindex_set_of(set->indexes[i], k)->count != set->indexes[i]->loading.sets[k])
                return stored_bad("fewer rows than its directory says", err);
    return ST_OK;
}
