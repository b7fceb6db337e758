/* Slots by the order of their values, and how many have which. */
#include "filter/pindex_internal.h"

#include <math.h>

#include "base/rand.h"

enum { ORDER_BATCH = 512 }; /* entries copied in one lock */

static struct rwlock *lock_of(const struct pindex_set *set)
{
    return (struct rwlock *)(uintptr_t)&set->lock;
}

/* --- order --- */

/* Walks over two sequences at once: the integers, negative ones first, and the floats. Places are
 * remembered as entries, so that the index may change between batches. */
struct place {
    int tree; /* TREE_COUNT: at the end */
    struct tree_entry at;
};
struct walk {
    const struct pindex_set *set;
    const struct path *path;
    bool falling;
    struct place integers, floats;
};
struct ordered {
    uint32_t slot;
    struct pindex_order_value value;
};

/* The tree behind `tree` in a sequence. */
static int tree_after(int tree, bool falling)
{
    if (tree == TREE_NEGATIVE && !falling)
        return TREE_POSITIVE;
    if (tree == TREE_POSITIVE && falling)
        return TREE_NEGATIVE;
    return TREE_COUNT;
}

static struct tree_entry first_entry(bool falling)
{
    return falling ? (struct tree_entry){UINT64_MAX, UINT32_MAX} : (struct tree_entry){0, 0};
}

/* The entry at the place or behind it. */
static bool settle(const struct pindex *index, struct place *p, bool falling, struct tree_at *out)
{
    while (p->tree != TREE_COUNT) {
        const struct tree *t = &index->trees[p->tree];
        struct tree_at at = falling ? tree_seek_back(t, p->at.key, p->at.slot)
                                    : tree_seek(t, p->at.key, p->at.slot);

        if (tree_get(t, at, &p->at)) {
            *out = at;
            return true;
        }
        p->tree = tree_after(p->tree, falling);
        p->at = first_entry(falling);
    }
    return false;
}

static void step_on(const struct pindex *index, struct place *p, bool falling, struct tree_at *at)
{
    const struct tree *t = &index->trees[p->tree];

    if (falling)
        tree_prev(t, at);
    else
        tree_next(t, at);
    if (tree_get(t, *at, &p->at))
        return;
    p->tree = tree_after(p->tree, falling);
    p->at = first_entry(falling);
    (void)settle(index, p, falling, at);
}

static struct pindex_order_value value_of(const struct pindex *index, const struct place *p)
{
    struct pindex_order_value v = {.type = JBIN_T_U64, .u64 = p->at.key};

    if (index->type == PINDEX_DATETIME) {
        v.type = JBIN_T_I64;
        v.i64 = time_of_key(p->at.key);
    } else if (p->tree == TREE_NEGATIVE) {
        v.type = JBIN_T_I64;
        v.i64 = (int64_t)p->at.key;
    } else if (p->tree == TREE_FLOAT) {
        v.type = JBIN_T_F64;
        v.f64 = double_of_key(p->at.key);
    }
    return v;
}

/* Whether the integer is below, at or above the float: exactly. */
static int against_float(const struct pindex_order_value *integer, double d)
{
    double whole = 0;
    double near;

    if (integer->type == JBIN_T_U64) {
        if (d < 0)
            return 1;
        if (d >= 18446744073709551616.0)
            return -1;
        whole = (double)(uint64_t)d;
        if (integer->u64 != (uint64_t)d)
            return integer->u64 < (uint64_t)d ? -1 : 1;
    } else {
        if (d >= 0)
            return -1;
        if (d < -9223372036854775808.0)
            return 1;
        whole = (double)(int64_t)d;
        if (integer->i64 != (int64_t)d)
            return integer->i64 < (int64_t)d ? -1 : 1;
    }
    near = d - whole; /* what was cut off */
    return near > 0 ? -1 : near < 0 ? 1 : 0;
}

/* Up to ORDER_BATCH entries; returns how many. The lock is held. */
static size_t take_batch_locked(struct walk *w, const struct pindex *index, struct ordered *out)
{
    struct tree_at integer_at;
    struct tree_at float_at;
    size_t n = 0;

    (void)settle(index, &w->integers, w->falling, &integer_at);
    (void)settle(index, &w->floats, w->falling, &float_at);
    while (n < ORDER_BATCH && (w->integers.tree != TREE_COUNT || w->floats.tree != TREE_COUNT)) {
        struct place *next = &w->integers;

        if (w->integers.tree == TREE_COUNT) {
            next = &w->floats;
        } else if (w->floats.tree != TREE_COUNT) {
            struct pindex_order_value v = value_of(index, &w->integers);
            int order = against_float(&v, double_of_key(w->floats.at.key));

            if (w->falling ? order < 0 : order > 0)
                next = &w->floats;
        }
        out[n].slot = next->at.slot;
        out[n++].value = value_of(index, next);
        step_on(index, next, w->falling, next == &w->integers ? &integer_at : &float_at);
    }
    return n;
}

static bool is_ordered(const struct pindex *index)
{
    return index != NULL && (index->type == PINDEX_INTEGER || index->type == PINDEX_FLOAT ||
                             index->type == PINDEX_DATETIME);
}

/* Where a walk begins: at the whole numbers and floats that are not before `from`. */
static void walk_from(struct walk *w, bool of_time, const struct filter_value *from)
{
    struct tree_entry first = first_entry(w->falling);
    uint32_t slot = first.slot;

    w->integers.tree = w->falling ? TREE_POSITIVE : of_time ? TREE_POSITIVE : TREE_NEGATIVE;
    w->integers.at = first;
    w->floats.tree = TREE_FLOAT;
    w->floats.at = first;
    if (from == NULL)
        return;
    if (of_time) {
        int64_t ticks = from->type == JBIN_T_U64 ? (int64_t)from->u64 : from->i64;

        w->integers.at = (struct tree_entry){key_of_time(ticks), slot};
        return;
    }
    if (from->type == JBIN_T_F64) {
        double whole = w->falling ? floor(from->f64) : ceil(from->f64);

        w->floats.at = (struct tree_entry){key_of_double(from->f64), slot};
        if (whole < 0) {
            w->integers.tree = TREE_NEGATIVE;
            if (whole < -9223372036854775808.0)
                w->integers.at = first_entry(false); /* rising: all; falling: none is so low */
            else
                w->integers.at = (struct tree_entry){(uint64_t)(int64_t)whole, slot};
        } else {
            w->integers.tree = TREE_POSITIVE;
            if (whole >= 18446744073709551616.0)
                w->integers.at = first_entry(true); /* falling: all; rising: none is so high */
            else
                w->integers.at = (struct tree_entry){(uint64_t)whole, slot};
        }
        return;
    }
    w->integers.tree = from->type == JBIN_T_I64 && from->i64 < 0 ? TREE_NEGATIVE : TREE_POSITIVE;
    w->integers.at =
        (struct tree_entry){from->type == JBIN_T_I64 ? (uint64_t)from->i64 : from->u64, slot};
    w->floats.at = (struct tree_entry){
        key_of_double(from->type == JBIN_T_I64 ? (double)from->i64 : (double)from->u64), slot};
}

static bool value_before(const struct walk *w, const struct filter_value *from,
                         const struct pindex_order_value *v)
{
    struct pindex_order_value bound = {.type = from->type, .u64 = from->u64, .i64 = from->i64};
    int order;

    if (from->type == JBIN_T_I64 && from->i64 >= 0)
        bound = (struct pindex_order_value){.type = JBIN_T_U64, .u64 = (uint64_t)from->i64};
    if (v->type != JBIN_T_F64 || from->type == JBIN_T_F64)
        return false;
    order = against_float(&bound, v->f64); /* the bound, against a float near it */
    return w->falling ? order < 0 : order > 0;
}

status pindex_ordered(const struct pindex_set *set, const struct path *path, bool falling,
                      const struct filter_value *from, pindex_order_fn *fn, void *arg,
                      struct err *err)
{
    struct walk w = {.set = set, .path = path, .falling = falling};
    struct ordered *batch = mem_alloc_array(ORDER_BATCH, sizeof *batch);
    bool begun = false;
    bool more = true;

    if (batch == NULL)
        return err_set(err, ST_NOMEM, "out of memory for an order");
    while (more) {
        const struct pindex *index;
        size_t count = 0;
        bool of_time = false;

        rwlock_take_read(lock_of(set));
        index = pindex_on_locked(set, path);
        if (is_ordered(index)) {
            of_time = index->type == PINDEX_DATETIME;
            if (!begun)
                walk_from(&w, of_time, from);
            count = take_batch_locked(&w, index, batch);
        }
        rwlock_drop(lock_of(set));
        if (!is_ordered(index)) {
            mem_free(batch);
            return err_set(err, ST_NOT_FOUND,
                           "there is no integer, float or datetime index on %.*s",
                           (int)path->text.bytes, (const char *)path->text.data);
        }
        begun = true;
        more = count == ORDER_BATCH;
        for (size_t i = 0; i < count; i++) {
            if (from != NULL && !of_time && value_before(&w, from, &batch[i].value))
                continue;
            if (!fn(arg, batch[i].slot, &batch[i].value)) {
                more = false;
                break;
            }
        }
    }
    mem_free(batch);
    return ST_OK;
}

/* --- facets --- */

static bool facet_keys(const struct pindex *index, const uint64_t *among, uint32_t bit_count,
                       pindex_facet_fn *fn, void *arg)
{
    for (uint32_t i = 0; i < index->values.room; i++) {
        const struct value_entry *e = index->values.entries[i];
        struct filter_value v = {.type = JBIN_T_STRING};
        char usual[UUID_TEXT_BYTES];
        uint64_t count;

        if (e == NULL)
            continue;
        count = among == NULL ? e->slots.count : slot_set_count_in(&e->slots, among, bit_count);
        v.text = slice_make(e->key, e->key_bytes);
        if (index->type == PINDEX_BOOL) {
            v.type = JBIN_T_BOOL;
            v.boolean = e->key[0] != 0;
        } else if (index->type == PINDEX_UUID && e->key_bytes == 16) {
            uuid_format(e->key, usual);
            v.text = slice_text(usual);
        }
        if (count > 0 && !fn(arg, &v, count))
            return false;
    }
    return true;
}

static bool is_among(const uint64_t *among, uint32_t bit_count, uint32_t slot)
{
    return among == NULL || (slot < bit_count && bits_get(among, slot));
}

static bool facet_integers(const struct tree *t, bool negative, const uint64_t *among,
                           uint32_t bit_count, pindex_facet_fn *fn, void *arg)
{
    struct tree_at at = tree_seek(t, 0, 0);
    struct filter_value v = {.type = negative ? JBIN_T_I64 : JBIN_T_U64};
    struct tree_entry e;
    bool left = tree_get(t, at, &e);

    while (left) {
        uint64_t key = e.key;
        uint64_t count = 0;

        for (; left && e.key == key; left = tree_get(t, at, &e)) {
            count += is_among(among, bit_count, e.slot);
            tree_next(t, &at);
        }
        v.u64 = key;
        v.i64 = (int64_t)key;
        if (count > 0 && !fn(arg, &v, count))
            return false;
    }
    return true;
}

/* Texts that are too long to be told apart, and values of other types, are the caller's to find. */
static bool complete(const struct pindex *index, const uint64_t *among, uint32_t bit_count)
{
    return index != NULL &&
           (index->type == PINDEX_KEYWORD || index->type == PINDEX_BOOL ||
            index->type == PINDEX_UUID || index->type == PINDEX_INTEGER) &&
           (among == NULL ? index->other.count == 0
                          : slot_set_count_in(&index->other, among, bit_count) == 0);
}

status pindex_facet(const struct pindex_set *set, const struct path *path, const uint64_t *among,
                    uint32_t bit_count, pindex_facet_fn *fn, void *arg, struct err *err)
{
    const struct pindex *index;
    bool found;

    rwlock_take_read(lock_of(set));
    index = pindex_on_locked(set, path);
    found = complete(index, among, bit_count);
    if (found && index->type != PINDEX_INTEGER)
        (void)facet_keys(index, among, bit_count, fn, arg);
    else if (found && facet_integers(&index->trees[TREE_NEGATIVE], true, among, bit_count, fn, arg))
        (void)facet_integers(&index->trees[TREE_POSITIVE], false, among, bit_count, fn, arg);
    rwlock_drop(lock_of(set));
    if (!found)
        return err_set(err, ST_NOT_FOUND, "no index tells all values at %.*s",
                       (int)path->text.bytes, (const char *)path->text.data);
    return ST_OK;
}
