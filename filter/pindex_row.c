/* The values of a row into an index, and out of it again. Both read the row's payload: a row does
 * not change in its slot, so what goes out is what came in. */
#include "filter/pindex_internal.h"

#include <math.h>

#include "filter/datetime.h"
#include "filter/geo.h"
#include "filter/words.h"

typedef bool pindex_tell_fn(void *arg, struct slice key);

struct row_walk {
    struct pindex *index;
    uint32_t slot;
    bool taking;          /* out; else in */
    pindex_tell_fn *tell; /* neither: what would be put in */
    void *tell_arg;
    bool failed;
    bool indexed, other, null, special;
    uint32_t texts;
};

/* --- keys that are ordered as numbers and times are --- */

uint64_t key_of_double(double v)
{
    uint64_t bits;

    if (v == 0)
        v = 0; /* -0.0 is 0.0 */
    memcpy(&bits, &v, sizeof bits);
    return (bits >> 63) != 0 ? ~bits : bits | UINT64_C(1) << 63;
}

double double_of_key(uint64_t key)
{
    uint64_t bits = (key >> 63) != 0 ? key & ~(UINT64_C(1) << 63) : ~key;
    double v;

    memcpy(&v, &bits, sizeof v);
    return v;
}

uint64_t key_of_time(int64_t v)
{
    return (uint64_t)v ^ UINT64_C(1) << 63;
}

int64_t time_of_key(uint64_t key)
{
    return (int64_t)(key ^ UINT64_C(1) << 63);
}

/* --- one value --- */

static void tell(struct row_walk *w, uint8_t what, struct slice rest)
{
    uint8_t key[1 + PINDEX_KEY_BYTES_MAX];

    assert(rest.bytes <= PINDEX_KEY_BYTES_MAX);
    key[0] = what;
    if (rest.bytes > 0)
        memcpy(key + 1, rest.data, rest.bytes);
    w->failed = w->failed || !w->tell(w->tell_arg, slice_make(key, 1 + rest.bytes));
}

static void tell_tree(struct row_walk *w, int tree, uint64_t key)
{
    uint8_t bytes[sizeof key];

    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(key >> (56 - 8 * i));
    tell(w, (uint8_t)(STORED_TREES + tree), slice_make(bytes, sizeof bytes));
}

static void put_tree(struct row_walk *w, int tree, uint64_t key)
{
    struct pindex *x = w->index;
    bool changed = false;

    w->indexed = true;
    if (w->tell != NULL)
        tell_tree(w, tree, key);
    else if (w->taking)
        changed = tree_remove(&x->trees[tree], key, w->slot, &x->charge);
    else if (!tree_insert(&x->trees[tree], key, w->slot, &changed, &x->charge))
        w->failed = true;
    if (changed)
        x->entries += w->taking ? UINT64_MAX : 1;
}

static void put_key(struct row_walk *w, struct slice key)
{
    struct pindex *x = w->index;
    bool changed = false;

    w->indexed = true;
    if (w->tell != NULL)
        tell(w, STORED_VALUES, key);
    else if (w->taking)
        changed = value_map_remove(&x->values, key, w->slot, &x->charge);
    else if (!value_map_add(&x->values, key, w->slot, &changed, &x->charge))
        w->failed = true;
    if (changed)
        x->entries += w->taking ? UINT64_MAX : 1;
}

static bool put_number(struct row_walk *w, const struct jbin_value *v)
{
    if (v->type == JBIN_T_U64)
        put_tree(w, TREE_POSITIVE, v->u64);
    else if (v->type == JBIN_T_I64) /* 0 and above only in blobs nobody writes */
        put_tree(w, v->i64 < 0 ? TREE_NEGATIVE : TREE_POSITIVE, (uint64_t)v->i64);
    else if (v->type == JBIN_T_F64)
        put_tree(w, TREE_FLOAT, key_of_double(v->f64));
    else
        return false;
    return true;
}

static bool put_time(struct row_walk *w, const struct jbin_value *v)
{
    int64_t ticks;

    if (v->type != JBIN_T_STRING || !datetime_parse(v->text, &ticks))
        return false;
    put_tree(w, TREE_POSITIVE, key_of_time(ticks));
    return true;
}

static bool put_point(struct row_walk *w, const struct jbin_value *v)
{
    struct filter_point p;
    uint64_t key;

    if (!geo_point_of(v, &p))
        return false;
    w->indexed = true;
    if (geo_key(p.lat, p.lon, &key))
        put_tree(w, TREE_POSITIVE, key);
    else
        w->special = true;
    return true;
}

static bool put_text(struct row_walk *w, const struct jbin_value *v)
{
    struct words words;
    struct slice word;

    if (v->type != JBIN_T_STRING)
        return false;
    w->indexed = true;
    w->special = ++w->texts > 1;
    words_begin(&words, v->text, &w->index->words, WORDS_OF_TEXT);
    while (!w->failed && words_next(&words, &word))
        put_key(w, word);
    return true;
}

static bool put_value(struct row_walk *w, const struct jbin_value *v)
{
    const struct filter_value value = {.type = v->type, .boolean = v->boolean, .text = v->text};
    struct value_key key;

    switch (w->index->type) {
    case PINDEX_KEYWORD:
    case PINDEX_BOOL:
    case PINDEX_UUID:
        if (!value_key_of(w->index->type, &value, &key))
            return false;
        put_key(w, key.bytes);
        return true;
    case PINDEX_INTEGER:
    case PINDEX_FLOAT:
        return put_number(w, v);
    case PINDEX_DATETIME:
        return put_time(w, v);
    case PINDEX_GEO:
        return put_point(w, v);
    case PINDEX_TEXT:
        return put_text(w, v);
    }
    return false;
}

static bool on_value(void *arg, const struct jbin_value *v)
{
    struct row_walk *w = arg;

    if (v->type == JBIN_T_NULL)
        w->null = true;
    else if (!put_value(w, v))
        w->other = true;
    return !w->failed;
}

/* --- the row --- */

static void put_set(struct row_walk *w, uint8_t which, bool wanted)
{
    struct pindex *x = w->index;
    struct slot_set *s = pindex_set_of(x, which);
    bool added;

    if (!wanted || w->failed)
        return;
    if (w->tell != NULL)
        tell(w, which, slice_make(NULL, 0));
    else if (w->taking)
        (void)slot_set_remove(s, w->slot, &w->index->charge);
    else if (!slot_set_add(s, w->slot, &added, &w->index->charge))
        w->failed = true;
}

static bool walk_row(struct row_walk *w, struct slice payload)
{
    struct jbin_value root = jbin_root(payload);

    (void)filter_each_value(w->index->path, &root, on_value, w);
    put_set(w, STORED_INDEXED, w->indexed);
    put_set(w, STORED_OTHER, w->other);
    put_set(w, STORED_NULLS, w->null);
    put_set(w, STORED_SPECIAL, w->special);
    return !w->failed;
}

bool pindex_put_row(struct pindex *index, uint32_t slot, struct slice payload)
{
    struct row_walk w = {.index = index, .slot = slot};

    return walk_row(&w, payload);
}

void pindex_take_row(struct pindex *index, uint32_t slot, struct slice payload)
{
    struct row_walk w = {.index = index, .slot = slot, .taking = true};

    (void)walk_row(&w, payload);
}

bool pindex_tell_row(const struct pindex *index, struct slice payload, pindex_tell_fn *fn,
                     void *arg)
{
    struct row_walk w = {.index = (struct pindex *)(uintptr_t)index, .tell = fn, .tell_arg = arg};

    return walk_row(&w, payload);
}

void pindex_clear(struct pindex *index)
{
    struct slot_set *sets[] = {&index->indexed, &index->other, &index->nulls, &index->special};

    for (size_t i = 0; i < COUNT_OF(sets); i++)
        slot_set_free(sets[i], &index->charge);
    value_map_free(&index->values, &index->charge);
    for (size_t i = 0; i < TREE_COUNT; i++)
        tree_free(&index->trees[i], &index->charge);
    index->entries = 0;
}
