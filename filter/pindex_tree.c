/* (key, slot) in order: leaves of up to 256 entries, and one array of what each leaf begins with.
 *
 * Two levels are enough: of a hundred million rows the upper array is 10 MB, found in by halving
 * and moved once in some hundred inserts. A leaf that is full splits in the middle, the last one at
 * its end, so that rising keys leave full leaves behind. A leaf that grew small joins its
 * neighbour. The first leaf of a tree begins with few places: most collections are small. */
#include "filter/pindex_internal.h"

enum {
    LEAF_FIRST = 16,
    LEAF_MAX = 256,
    LEAF_JOIN = LEAF_MAX / 2, /* two that have so few together become one */
    TOPS_FIRST = 4,
};
struct tree_leaf {
    uint32_t room;
    uint64_t *keys;
    uint32_t *slots; /* behind the keys */
};

static uint64_t leaf_bytes(uint32_t room)
{
    return sizeof(struct tree_leaf) + room * (sizeof(uint64_t) + sizeof(uint32_t));
}

static struct tree_leaf *leaf_make(uint32_t room, struct charge *charge)
{
    struct tree_leaf *leaf;

    if (!charge_take(charge, leaf_bytes(room)))
        return NULL;
    leaf = mem_alloc((size_t)leaf_bytes(room));
    if (leaf == NULL) {
        charge_give(charge, leaf_bytes(room));
        return NULL;
    }
    leaf->room = room;
    leaf->keys = (uint64_t *)(void *)(leaf + 1);
    leaf->slots = (uint32_t *)(void *)(leaf->keys + room);
    return leaf;
}

static void leaf_free(struct tree_leaf *leaf, struct charge *charge)
{
    charge_give(charge, leaf_bytes(leaf->room));
    mem_free(leaf);
}

static int compare(uint64_t key, uint32_t slot, uint64_t other, uint32_t other_slot)
{
    if (key != other)
        return key < other ? -1 : 1;
    return slot == other_slot ? 0 : slot < other_slot ? -1 : 1;
}

/* The last leaf that does not begin above (key, slot), or the first. */
static uint32_t leaf_of(const struct tree *t, uint64_t key, uint32_t slot)
{
    uint32_t low = 0;
    uint32_t high = t->leaves;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;

        if (compare(t->tops[middle].key, t->tops[middle].slot, key, slot) <= 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low == 0 ? 0 : low - 1;
}

/* The first place in a leaf that is not below (key, slot). */
static uint32_t place_in(const struct tree_top *top, uint64_t key, uint32_t slot)
{
    uint32_t low = 0;
    uint32_t high = top->count;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;

        if (compare(top->leaf->keys[middle], top->leaf->slots[middle], key, slot) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void copy_entries(struct tree_leaf *to, uint32_t at, const struct tree_leaf *from,
                         uint32_t first, uint32_t count)
{
    memcpy(to->keys + at, from->keys + first, count * sizeof *to->keys);
    memcpy(to->slots + at, from->slots + first, count * sizeof *to->slots);
}

static void note_first(struct tree_top *top)
{
    top->key = top->leaf->keys[0];
    top->slot = top->leaf->slots[0];
}

/* Room for one more leaf. */
static bool tops_grow(struct tree *t, struct charge *charge)
{
    uint32_t room = t->room == 0 ? TOPS_FIRST : t->room + t->room / 2;
    struct tree_top *tops;

    if (t->leaves < t->room)
        return true;
    if (!charge_take(charge, (room - t->room) * sizeof *tops))
        return false;
    tops = mem_resize(t->tops, room * sizeof *tops);
    if (tops == NULL) {
        charge_give(charge, (room - t->room) * sizeof *tops);
        return false;
    }
    t->tops = tops;
    t->room = room;
    return true;
}

static void top_put(struct tree *t, uint32_t at, struct tree_leaf *leaf, uint32_t count)
{
    memmove(t->tops + at + 1, t->tops + at, (t->leaves - at) * sizeof *t->tops);
    t->tops[at] = (struct tree_top){.leaf = leaf, .count = count};
    t->leaves++;
}

static void top_take(struct tree *t, uint32_t at)
{
    t->leaves--;
    memmove(t->tops + at, t->tops + at + 1, (t->leaves - at) * sizeof *t->tops);
}

static bool leaf_grow(struct tree_top *top, struct charge *charge)
{
    struct tree_leaf *larger = leaf_make(2 * top->leaf->room, charge);

    if (larger == NULL)
        return false;
    copy_entries(larger, 0, top->leaf, 0, top->count);
    leaf_free(top->leaf, charge);
    top->leaf = larger;
    return true;
}

/* A full leaf gives its upper half to a new one; an entry behind all others begins one alone. */
static bool leaf_split(struct tree *t, uint32_t leaf, uint32_t at, struct charge *charge)
{
    bool behind_all = leaf + 1 == t->leaves && at == t->tops[leaf].count;
    uint32_t keep = behind_all ? LEAF_MAX : LEAF_MAX / 2;
    struct tree_leaf *upper;

    if (!tops_grow(t, charge))
        return false;
    upper = leaf_make(LEAF_MAX, charge);
    if (upper == NULL)
        return false;
    copy_entries(upper, 0, t->tops[leaf].leaf, keep, LEAF_MAX - keep);
    t->tops[leaf].count = keep;
    top_put(t, leaf + 1, upper, LEAF_MAX - keep);
    if (!behind_all)
        note_first(&t->tops[leaf + 1]);
    return true;
}

/* A place for one more entry, which would stand at *at of *leaf. */
static bool make_room(struct tree *t, uint32_t *leaf, uint32_t *at, struct charge *charge)
{
    struct tree_top *top = &t->tops[*leaf];

    if (top->count < top->leaf->room)
        return true;
    if (top->leaf->room < LEAF_MAX)
        return leaf_grow(top, charge);
    if (!leaf_split(t, *leaf, *at, charge))
        return false;
    if (*at >= t->tops[*leaf].count && (*at > t->tops[*leaf].count || *at == LEAF_MAX)) {
        *at -= t->tops[*leaf].count;
        (*leaf)++;
    }
    return true;
}

bool tree_insert(struct tree *t, uint64_t key, uint32_t slot, bool *added, struct charge *charge)
{
    uint32_t leaf;
    uint32_t at;
    struct tree_top *top;

    *added = false;
    if (t->leaves == 0) {
        struct tree_leaf *first = tops_grow(t, charge) ? leaf_make(LEAF_FIRST, charge) : NULL;

        if (first == NULL)
            return false;
        top_put(t, 0, first, 0);
    }
    leaf = leaf_of(t, key, slot);
    top = &t->tops[leaf];
    at = place_in(top, key, slot);
    if (at < top->count && top->leaf->keys[at] == key && top->leaf->slots[at] == slot)
        return true;
    if (!make_room(t, &leaf, &at, charge))
        return false;
    top = &t->tops[leaf];
    memmove(top->leaf->keys + at + 1, top->leaf->keys + at,
            (top->count - at) * sizeof *top->leaf->keys);
    memmove(top->leaf->slots + at + 1, top->leaf->slots + at,
            (top->count - at) * sizeof *top->leaf->slots);
    top->leaf->keys[at] = key;
    top->leaf->slots[at] = slot;
    top->count++;
    note_first(top);
    t->count++;
    *added = true;
    return true;
}

/* The leaf behind comes into this one, if both together are small. */
static void join(struct tree *t, uint32_t leaf, struct charge *charge)
{
    struct tree_top *top = &t->tops[leaf];
    struct tree_top *next = top + 1;

    if (leaf + 1 >= t->leaves || top->count + next->count > LEAF_JOIN ||
        top->leaf->room < LEAF_JOIN)
        return;
    copy_entries(top->leaf, top->count, next->leaf, 0, next->count);
    top->count += next->count;
    leaf_free(next->leaf, charge);
    top_take(t, leaf + 1);
}

bool tree_remove(struct tree *t, uint64_t key, uint32_t slot, struct charge *charge)
{
    uint32_t leaf = leaf_of(t, key, slot);
    struct tree_top *top;
    uint32_t at;

    if (t->leaves == 0)
        return false;
    top = &t->tops[leaf];
    at = place_in(top, key, slot);
    if (at == top->count || top->leaf->keys[at] != key || top->leaf->slots[at] != slot)
        return false;
    top->count--;
    memmove(top->leaf->keys + at, top->leaf->keys + at + 1,
            (top->count - at) * sizeof *top->leaf->keys);
    memmove(top->leaf->slots + at, top->leaf->slots + at + 1,
            (top->count - at) * sizeof *top->leaf->slots);
    t->count--;
    if (top->count == 0) {
        leaf_free(top->leaf, charge);
        top_take(t, leaf);
        if (t->leaves == 0)
            tree_free(t, charge);
        return true;
    }
    note_first(top);
    join(t, leaf, charge);
    if (leaf > 0)
        join(t, leaf - 1, charge);
    return true;
}

bool tree_append(struct tree *t, uint64_t key, const uint32_t *slots, uint32_t count,
                 struct charge *charge)
{
    for (uint32_t i = 0; i < count; i++) {
        struct tree_top *last = t->leaves == 0 ? NULL : &t->tops[t->leaves - 1];

        if (last == NULL || last->count == LEAF_MAX) {
            struct tree_leaf *leaf = tops_grow(t, charge)
                                         ? leaf_make(last == NULL ? LEAF_FIRST : LEAF_MAX, charge)
                                         : NULL;

            if (leaf == NULL)
                return false;
            top_put(t, t->leaves, leaf, 0);
            last = &t->tops[t->leaves - 1];
        } else if (last->count == last->leaf->room && !leaf_grow(last, charge)) {
            return false;
        }
        last->leaf->keys[last->count] = key;
        last->leaf->slots[last->count] = slots[i];
        if (last->count++ == 0)
            note_first(last);
        t->count++;
    }
    return true;
}

void tree_free(struct tree *t, struct charge *charge)
{
    for (uint32_t i = 0; i < t->leaves; i++)
        leaf_free(t->tops[i].leaf, charge);
    if (t->room != 0)
        charge_give(charge, t->room * sizeof *t->tops);
    mem_free(t->tops);
    *t = (struct tree){0};
}

/* --- reading --- */

struct tree_at tree_seek(const struct tree *t, uint64_t key, uint32_t slot)
{
    struct tree_at at = {.leaf = leaf_of(t, key, slot)};

    if (t->leaves == 0)
        return at;
    at.at = place_in(&t->tops[at.leaf], key, slot);
    if (at.at == t->tops[at.leaf].count) {
        at.leaf++;
        at.at = 0;
    }
    return at;
}

struct tree_at tree_seek_back(const struct tree *t, uint64_t key, uint32_t slot)
{
    struct tree_at at = tree_seek(t, key, slot);
    struct tree_entry e;

    if (tree_get(t, at, &e) && e.key == key && e.slot == slot)
        return at;
    tree_prev(t, &at);
    return at;
}

bool tree_get(const struct tree *t, struct tree_at at, struct tree_entry *out)
{
    const struct tree_top *top;

    if (at.leaf >= t->leaves)
        return false;
    top = &t->tops[at.leaf];
    *out = (struct tree_entry){.key = top->leaf->keys[at.at], .slot = top->leaf->slots[at.at]};
    return true;
}

void tree_next(const struct tree *t, struct tree_at *at)
{
    if (++at->at < t->tops[at->leaf].count)
        return;
    at->leaf++;
    at->at = 0;
}

/* Before the first comes the end. */
void tree_prev(const struct tree *t, struct tree_at *at)
{
    if (at->at > 0) {
        at->at--;
    } else if (at->leaf == 0 || t->leaves == 0) {
        *at = (struct tree_at){.leaf = UINT32_MAX};
    } else {
        at->leaf--;
        at->at = t->tops[at->leaf].count - 1;
    }
}

uint64_t tree_count(const struct tree *t, uint64_t low, uint64_t high)
{
    struct tree_at from = tree_seek(t, low, 0);
    struct tree_at to = tree_seek_back(t, high, UINT32_MAX);
    uint64_t count = 0;

    if (from.leaf >= t->leaves || to.leaf >= t->leaves || to.leaf < from.leaf ||
        (to.leaf == from.leaf && to.at < from.at))
        return 0;
    for (uint32_t i = from.leaf; i < to.leaf; i++)
        count += t->tops[i].count;
    return count + to.at + 1 - from.at;
}

void tree_or(const struct tree *t, uint64_t low, uint64_t high, uint64_t *bits)
{
    struct tree_at at = tree_seek(t, low, 0);

    for (uint32_t leaf = at.leaf; leaf < t->leaves; leaf++) {
        const struct tree_top *top = &t->tops[leaf];
        uint32_t i = leaf == at.leaf ? at.at : 0;
        uint32_t end = top->count;

        if (top->key > high)
            return;
        if (top->leaf->keys[end - 1] > high)
            while (end > i && top->leaf->keys[end - 1] > high)
                end--;
        for (; i < end; i++)
            bits[top->leaf->slots[i] / 64] |= UINT64_C(1) << top->leaf->slots[i] % 64;
    }
}
