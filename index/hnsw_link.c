/* Linking pending rows into the graph (algorithms 1 and 4 of the HNSW paper), by several threads.
 *
 * A linker claims a row under a short lock: the row becomes a node with its level and without
 * links, and the other rows that are being linked at that moment are its companions, to whom it
 * links as if it had met them in the graph. Of two rows linked at the same time one so always knows
 * the other, the very first two included. Each list is changed under the lock bit of its node, one
 * at a time.
 *
 * A linker is inside an epoch guard from claim to end, and chooses no neighbour that is dead then:
 * once repair has waited for the guards of its time, nobody will link to the slots it takes out. */
#include "index/vindex_internal.h"

#include <math.h>

struct vindex_scratch *linker_scratch_take(struct vindex *v)
{
    struct vindex_scratch *s;
    uint32_t room;

    lock_take(&v->shared.lock);
    s = v->shared.scratches;
    if (s != NULL)
        v->shared.scratches = s->next;
    lock_drop(&v->shared.lock);
    if (s == NULL && vindex_scratch_create(&s, NULL) != ST_OK)
        return NULL;
    /* Dead rows that are met may take as many places again. */
    room = v->options.ef_construction + CANDS_FLAT_MAX;
    if (scratch_prepare(s, v, true) &&
        cands_start(&s->pool, v->options.ef_construction, room, false) &&
        cands_start(&s->around, room + VINDEX_LINKERS_MAX, room + VINDEX_LINKERS_MAX, false))
        return s;
    vindex_scratch_destroy(s);
    return NULL;
}

void linker_scratch_give(struct vindex *v, struct vindex_scratch *s)
{
    lock_take(&v->shared.lock);
    s->next = v->shared.scratches;
    v->shared.scratches = s;
    lock_drop(&v->shared.lock);
}

static size_t upper_bytes(const struct vindex *v, uint32_t levels)
{
    return sizeof(struct node_upper) + (size_t)levels * v->options.m * sizeof(uint32_t);
}

struct node_upper *node_upper_alloc(struct vindex *v, uint32_t levels)
{
    size_t bytes = upper_bytes(v, levels);
    struct node_upper *upper;

    if (mem_reserve(v->options.budget, bytes, NULL) != ST_OK)
        return NULL;
    upper = mem_zero(bytes);
    if (upper == NULL) {
        mem_release(v->options.budget, bytes);
        return NULL;
    }
    upper->levels = levels;
    atomic_fetch_add_explicit(&v->upper_bytes, bytes, memory_order_relaxed);
    return upper;
}

void node_upper_free(struct vindex *v, struct node_upper *upper)
{
    size_t bytes;

    if (upper == NULL)
        return;
    bytes = upper_bytes(v, upper->levels);
    mem_release(v->options.budget, bytes);
    atomic_fetch_sub_explicit(&v->upper_bytes, bytes, memory_order_relaxed);
    mem_free(upper);
}

/* Geometric, from a hash of seed and slot: the same rows give the same levels. */
static uint32_t level_of(const struct vindex *v, uint32_t slot)
{
    uint64_t x = v->options.seed + 0x9e3779b97f4a7c15u * ((uint64_t)slot + 1);
    double uniform, level;

    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u; /* the finish of splitmix64 */
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    x ^= x >> 31;
    uniform = ((double)(x >> 11) + 1) * 0x1.0p-53;
    level = -log(uniform) * v->level_scale;
    return level > VNODE_LEVEL_MAX ? VNODE_LEVEL_MAX : (uint32_t)level;
}

void entry_raise(struct vindex *v, uint32_t slot, uint32_t level)
{
    uint64_t now = atomic_load_explicit(&v->entry, memory_order_relaxed);

    while (now == 0 || level > entry_level(now) ||
           (level == entry_level(now) && slot < entry_slot(now)))
        if (atomic_compare_exchange_weak_explicit(&v->entry, &now, entry_make(level, slot),
                                                  memory_order_acq_rel, memory_order_relaxed))
            return;
}

uint32_t hnsw_choose(const struct vindex *v, struct vindex_scratch *s, uint32_t max)
{
    const struct kernels *k = kernels_get();
    struct cands *around = &s->around;
    uint32_t count = 0;

    for (uint32_t i = 0; i < around->count && count < max; i++) {
        struct cand x = around->items[i];
        const uint8_t *row = vindex_codes(v, x.slot);
        bool hidden = false;

        for (uint32_t j = 0; j < count && !hidden; j++)
            hidden = code_key(&v->shape, k, &s->chosen[j], row) < x.key;
        if (hidden)
            continue;
        code_query_set_row(&v->shape, row, &s->chosen[count]);
        around->items[count++] = x;
    }
    return count;
}

/* The list of `from` and the newcomer, without the dead, best first, into s->around. */
static void gather_list(const struct vindex *v, struct vindex_scratch *s, uint32_t from,
                        const uint32_t *links, uint32_t count, uint32_t to)
{
    const struct kernels *k = kernels_get();
    const uint8_t *rows[2 * VINDEX_M_MAX + 1];
    uint32_t slots[2 * VINDEX_M_MAX + 1];
    float keys[CODE_BATCH_MAX];
    uint32_t live = 0;

    code_query_set_row(&v->shape, vindex_codes(v, from), &s->other);
    for (uint32_t i = 0; i <= count; i++) {
        uint32_t slot = i < count ? links[i] : to;

        if (!slots_live(v->options.slots, slot))
            continue;
        slots[live] = slot;
        rows[live++] = vindex_codes(v, slot);
    }
    s->around.count = 0;
    for (uint32_t i = 0; i < live; i += CODE_BATCH_MAX) {
        uint32_t now = live - i < CODE_BATCH_MAX ? live - i : CODE_BATCH_MAX;

        code_keys(&v->shape, k, &s->other, rows + i, now, keys);
        for (uint32_t j = 0; j < now; j++)
            (void)cands_put(&s->around, keys[j], slots[i + j]);
    }
}

void hnsw_connect(const struct vindex *v, struct vindex_scratch *s, uint32_t from, uint32_t to,
                  uint32_t level)
{
    uint32_t links[2 * VINDEX_M_MAX];
    uint32_t degree = degree_of(v, level), count;
    _Atomic uint32_t *refs;

    node_lock(v, from);
    refs = node_refs(v, from, level);
    if (refs == NULL)
        goto out;
    count = node_links(v, from, level, links);
    for (uint32_t i = 0; i < count; i++)
        if (links[i] == to)
            goto out;
    if (count < degree) {
        atomic_store_explicit(&refs[count], to + 1, memory_order_release);
        goto out;
    }
    gather_list(v, s, from, links, count, to);
    count = hnsw_choose(v, s, degree);
    node_links_set_locked(v, from, level, s->around.items, count);
out:
    node_unlock(v, from);
}

struct claim {
    uint32_t slot;
    uint32_t level;
    bool dead;
    uint32_t companions[VINDEX_LINKERS_MAX];
    uint32_t companion_count;
};

static bool being_linked_locked(const struct vindex *v, uint32_t slot)
{
    for (uint32_t i = 0; i < v->shared.linking_count; i++)
        if (v->shared.linking[i] == slot)
            return true;
    return false;
}

/* The next pending row that nobody has claimed, from the cursor on; SLOT_NONE if there is none. */
static uint32_t next_pending_locked(const struct vindex *v, uint32_t from, uint32_t to)
{
    for (uint32_t slot = from; slot < to;) {
        const _Atomic uint32_t *group = plane_row(&v->pending_groups, slot >> PENDING_GROUP_SHIFT);
        uint64_t bits;

        if (atomic_load_explicit(group, memory_order_acquire) == 0) {
            slot = ((slot >> PENDING_GROUP_SHIFT) + 1) << PENDING_GROUP_SHIFT;
            continue;
        }
        bits = atomic_load_explicit(plane_word(&v->pending, slot), memory_order_acquire);
        bits &= UINT64_MAX << (slot & 63);
        for (slot &= ~63u; bits != 0; bits &= bits - 1) {
            uint32_t found = slot + (uint32_t)__builtin_ctzll(bits);

            /* Published here first, in slots a moment later: not its turn yet. */
            if (!being_linked_locked(v, found) &&
                slots_state(v->options.slots, found) != SLOT_FILLED)
                return found;
        }
        slot += 64;
    }
    return SLOT_NONE;
}

/* The row becomes a node: without links, but with its level, so that others may link to it. */
static void node_make(struct vindex *v, struct claim *c)
{
    _Atomic(struct node_upper *) *where = plane_row(&v->upper, c->slot);

    c->level = level_of(v, c->slot);
    if (c->level > 0) {
        struct node_upper *upper = node_upper_alloc(v, c->level);

        /* Without memory for its upper lists it lives on layer 0 alone. */
        c->level = upper == NULL ? 0 : c->level;
        atomic_store_explicit(where, upper, memory_order_release);
    }
    atomic_fetch_or_explicit(node_meta(v, c->slot), (c->level + 1) << META_LEVEL_SHIFT,
                             memory_order_acq_rel);
}

static bool claim_locked(struct vindex *v, struct claim *c)
{
    uint32_t end = atomic_load_explicit(&v->slot_end, memory_order_relaxed);

    if (v->shared.linking_count == VINDEX_LINKERS_MAX || vindex_pending(v) == 0)
        return false;
    c->slot = next_pending_locked(v, v->shared.cursor, end);
    if (c->slot == SLOT_NONE)
        c->slot = next_pending_locked(v, 0, v->shared.cursor);
    if (c->slot == SLOT_NONE)
        return false;
    v->shared.cursor = c->slot + 1;
    c->dead = !slots_live(v->options.slots, c->slot);
    if (c->dead)
        return true;
    node_make(v, c);
    c->companion_count = v->shared.linking_count;
    memcpy(c->companions, v->shared.linking, c->companion_count * sizeof(c->companions[0]));
    v->shared.linking[v->shared.linking_count++] = c->slot;
    return true;
}

static void release_locked(struct vindex *v, uint32_t slot)
{
    for (uint32_t i = 0; i < v->shared.linking_count; i++) {
        if (v->shared.linking[i] != slot)
            continue;
        v->shared.linking[i] = v->shared.linking[--v->shared.linking_count];
        return;
    }
}

/* What the walk found, without the dead, and the companions that reach this level. */
static void gather_found(const struct walk *w, const struct claim *c, uint32_t level)
{
    const struct vindex *v = w->v;
    struct cands *around = &w->scratch->around, *pool = &w->scratch->pool;

    around->count = 0;
    for (uint32_t i = 0; i < pool->count; i++)
        if (pool->items[i].slot != c->slot && slots_live(v->options.slots, pool->items[i].slot))
            around->items[around->count++] = pool->items[i];
    for (uint32_t i = 0; i < c->companion_count; i++) {
        uint32_t slot = c->companions[i];
        bool known = false;

        for (uint32_t j = 0; j < around->count && !known; j++)
            known = around->items[j].slot == slot;
        if (!known && node_level(v, slot) >= (int)level && slots_live(v->options.slots, slot)) {
            float key = code_key(&v->shape, w->k, &w->scratch->query, vindex_codes(v, slot));

            if (cands_wants(around, key, slot))
                (void)cands_put(around, key, slot);
        }
    }
}

static void link_level(struct walk *w, const struct claim *c, uint32_t level)
{
    const struct vindex *v = w->v;
    struct vindex_scratch *s = w->scratch;
    uint32_t chosen[VINDEX_M_MAX];
    uint32_t count;

    gather_found(w, c, level);
    count = hnsw_choose(v, s, v->options.m);
    for (uint32_t i = 0; i < count; i++)
        chosen[i] = s->around.items[i].slot;
    node_lock(v, c->slot);
    /* A companion may have put itself into the list already. */
    if (atomic_load_explicit(node_refs(v, c->slot, level), memory_order_relaxed) == 0) {
        node_links_set_locked(v, c->slot, level, s->around.items, count);
        node_unlock(v, c->slot);
    } else {
        node_unlock(v, c->slot);
        for (uint32_t i = 0; i < count; i++)
            hnsw_connect(v, s, c->slot, chosen[i], level);
    }
    for (uint32_t i = 0; i < count; i++)
        hnsw_connect(v, s, chosen[i], c->slot, level);
}

/* Where the walk of the next level begins. Companions may have linked to the row already, and it is
 * the nearest to itself: begun from there, a walk would see no more than them. */
static struct cand nearest_other(const struct cands *pool, uint32_t slot, struct cand before)
{
    for (uint32_t i = 0; i < pool->count; i++) {
        if (pool->items[i].slot == slot)
            continue;
        before = pool->items[i];
        break;
    }
    before.expanded = 0;
    return before;
}

static void link_row(struct vindex *v, struct vindex_scratch *s, const struct claim *c)
{
    uint64_t entry = atomic_load_explicit(&v->entry, memory_order_acquire);
    struct walk w = {.v = v,
                     .k = kernels_get(),
                     .scratch = s,
                     .check = slots_dead_count(v->options.slots) > 0,
                     .distances_max = UINT64_MAX};
    struct cand start = {0};

    code_query_set_row(&v->shape, vindex_codes(v, c->slot), &s->query);
    if (entry != 0)
        start = hnsw_descend(&w, entry, c->level);
    for (uint32_t level = c->level + 1; level-- > 0;) {
        s->pool.count = 0;
        s->pool.cap = v->options.ef_construction;
        if (entry != 0 && level <= entry_level(entry)) {
            visited_clear(&s->visited);
            (void)hnsw_walk(&w, start, level);
            start = nearest_other(&s->pool, c->slot, start);
        }
        link_level(&w, c, level);
    }
    visited_clear(&s->visited);
    entry_raise(v, c->slot, c->level);
    atomic_fetch_add_explicit(&v->linked_count, 1, memory_order_relaxed);
}

/* False: nothing to claim. */
static bool link_next(struct vindex *v, struct vindex_scratch *s)
{
    struct epoch_guard guard = epoch_enter(v->options.epoch);
    struct claim c;
    bool claimed;

    lock_take(&v->shared.lock);
    claimed = claim_locked(v, &c);
    lock_drop(&v->shared.lock);
    if (claimed && !c.dead)
        link_row(v, s, &c);
    if (claimed) {
        (void)pending_clear(v, c.slot);
        lock_take(&v->shared.lock);
        release_locked(v, c.slot);
        lock_drop(&v->shared.lock);
    }
    epoch_leave(v->options.epoch, guard);
    return claimed;
}

uint32_t vindex_link(struct vindex *v, uint32_t max)
{
    struct vindex_scratch *s;
    uint32_t count = 0;

    if (vindex_pending(v) == 0 || !vindex_graph_wanted(v))
        return 0;
    s = linker_scratch_take(v);
    if (s == NULL)
        return 0;
    /* The marks must reach every slot there is now, or newer rows would be passed by. */
    while (count < max && scratch_prepare(s, v, true) && link_next(v, s))
        count++;
    linker_scratch_give(v, s);
    return count;
}
