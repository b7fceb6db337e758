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

/* Room for linking in this graph, whichever the scratch was used for before. */
static bool linker_prepare(struct vindex_scratch *s, const struct hnsw *g)
{
    /* Dead rows that are met may take as many places again. */
    uint32_t room = g->made.ef_construction + CANDS_FLAT_MAX;

    return scratch_prepare(s, g, true) &&
           cands_start(&s->pool, g->made.ef_construction, room, false) &&
           ranked_room(&s->ranked, room) &&
           cands_start(&s->around, room + VINDEX_LINKERS_MAX, room + VINDEX_LINKERS_MAX, false);
}

struct vindex_scratch *linker_scratch_take(struct hnsw *g)
{
    struct vindex *v = g->v;
    struct vindex_scratch *s;

    lock_take(&v->shared.lock);
    s = v->shared.scratches;
    if (s != NULL)
        v->shared.scratches = s->next;
    lock_drop(&v->shared.lock);
    if (s == NULL && vindex_scratch_create(&s, NULL) != ST_OK)
        return NULL;
    if (linker_prepare(s, g))
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

static size_t upper_bytes(const struct hnsw *g, uint32_t levels)
{
    return sizeof(struct node_upper) + (size_t)levels * g->made.m * sizeof(uint32_t);
}

/* From what was set aside for a rebuild, else from the budget. */
static bool upper_reserve(struct hnsw *g, size_t bytes)
{
    uint64_t room = atomic_load_explicit(&g->upper_room, memory_order_relaxed);

    while (room >= bytes)
        if (atomic_compare_exchange_weak_explicit(&g->upper_room, &room, room - bytes,
                                                  memory_order_relaxed, memory_order_relaxed))
            return true;
    return mem_reserve(g->v->options.budget, bytes, NULL) == ST_OK;
}

struct node_upper *node_upper_alloc(struct hnsw *g, uint32_t levels)
{
    size_t bytes = upper_bytes(g, levels);
    struct node_upper *upper;

    if (!upper_reserve(g, bytes))
        return NULL;
    upper = mem_zero(bytes);
    if (upper == NULL) {
        mem_release(g->v->options.budget, bytes);
        return NULL;
    }
    upper->levels = levels;
    atomic_fetch_add_explicit(&g->upper_bytes, bytes, memory_order_relaxed);
    return upper;
}

void node_upper_free(struct hnsw *g, struct node_upper *upper)
{
    size_t bytes;

    if (upper == NULL)
        return;
    bytes = upper_bytes(g, upper->levels);
    mem_release(g->v->options.budget, bytes);
    atomic_fetch_sub_explicit(&g->upper_bytes, bytes, memory_order_relaxed);
    mem_free(upper);
}

/* Geometric, from a hash of seed and slot: the same rows give the same levels. */
static uint32_t level_of(const struct hnsw *g, uint32_t slot)
{
    uint64_t x = g->v->options.seed + 0x9e3779b97f4a7c15u * ((uint64_t)slot + 1);
    double uniform, level;

    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u; /* the finish of splitmix64 */
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    x ^= x >> 31;
    uniform = ((double)(x >> 11) + 1) * 0x1.0p-53;
    level = -log(uniform) * g->level_scale;
    return level > VNODE_LEVEL_MAX ? VNODE_LEVEL_MAX : (uint32_t)level;
}

void entry_raise(struct hnsw *g, uint32_t slot, uint32_t level)
{
    uint64_t now = atomic_load_explicit(&g->entry, memory_order_relaxed);

    while (now == 0 || level > entry_level(now) ||
           (level == entry_level(now) && slot < entry_slot(now)))
        if (atomic_compare_exchange_weak_explicit(&g->entry, &now, entry_make(level, slot),
                                                  memory_order_acq_rel, memory_order_relaxed))
            return;
}

uint32_t hnsw_choose(struct vindex_scratch *s, uint32_t max)
{
    const struct kernels *k = kernels_get();
    struct cands *around = &s->around;
    uint32_t count = 0;

    for (uint32_t i = 0; i < around->count && count < max; i++) {
        struct cand x = around->items[i];
        const uint8_t *row = codes_row(s->codes, x.slot);
        bool hidden = false;

        for (uint32_t j = 0; j < count && !hidden; j++)
            hidden = code_key(&s->codes->shape, k, &s->chosen[j], row) < x.key;
        if (hidden)
            continue;
        code_query_set_row(&s->codes->shape, row, &s->chosen[count]);
        around->items[count++] = x;
    }
    return count;
}

/* The list of `from` and the newcomer, without the dead, best first, into s->around. */
static void gather_list(const struct hnsw *g, struct vindex_scratch *s, uint32_t from,
                        const uint32_t *links, uint32_t count, uint32_t to)
{
    const struct kernels *k = kernels_get();
    const uint8_t *rows[2 * VINDEX_M_MAX + 1];
    uint32_t slots[2 * VINDEX_M_MAX + 1];
    float keys[CODE_BATCH_MAX];
    uint32_t live = 0;

    code_query_set_row(&s->codes->shape, codes_row(s->codes, from), &s->other);
    for (uint32_t i = 0; i <= count; i++) {
        uint32_t slot = i < count ? links[i] : to;

        if (!slots_live(g->v->options.slots, slot))
            continue;
        slots[live] = slot;
        rows[live++] = codes_row(s->codes, slot);
    }
    s->around.count = 0;
    for (uint32_t i = 0; i < live; i += CODE_BATCH_MAX) {
        uint32_t now = live - i < CODE_BATCH_MAX ? live - i : CODE_BATCH_MAX;

        code_keys(&s->codes->shape, k, &s->other, rows + i, now, keys);
        for (uint32_t j = 0; j < now; j++)
            (void)cands_put(&s->around, keys[j], slots[i + j]);
    }
}

void hnsw_connect(const struct hnsw *g, struct vindex_scratch *s, uint32_t from, uint32_t to,
                  uint32_t level)
{
    uint32_t links[2 * VINDEX_M_MAX];
    uint32_t degree = degree_of(g, level), count;
    _Atomic uint32_t *refs;

    node_lock(g, from);
    refs = node_refs(g, from, level);
    if (refs == NULL)
        goto out;
    count = node_links(g, from, level, links);
    for (uint32_t i = 0; i < count; i++)
        if (links[i] == to)
            goto out;
    if (count < degree) {
        atomic_store_explicit(&refs[count], to + 1, memory_order_release);
        goto out;
    }
    gather_list(g, s, from, links, count, to);
    count = hnsw_choose(s, degree);
    node_links_set_locked(g, from, level, s->around.items, count);
out:
    node_unlock(g, from);
}

struct claim {
    uint32_t slot;
    uint32_t level;
    bool dead;
    uint32_t companions[VINDEX_LINKERS_MAX];
    uint32_t companion_count;
};

static bool being_linked_locked(const struct hnsw *g, uint32_t slot)
{
    for (uint32_t i = 0; i < g->claims.linking_count; i++)
        if (g->claims.linking[i] == slot)
            return true;
    return false;
}

/* The next pending row that nobody has claimed, from the cursor on; SLOT_NONE if there is none. */
static uint32_t next_pending_locked(const struct hnsw *g, uint32_t from, uint32_t to)
{
    for (uint32_t slot = from; slot < to;) {
        const _Atomic uint32_t *group = plane_row(&g->pending_groups, slot >> PENDING_GROUP_SHIFT);
        uint64_t bits;

        if (atomic_load_explicit(group, memory_order_acquire) == 0) {
            slot = ((slot >> PENDING_GROUP_SHIFT) + 1) << PENDING_GROUP_SHIFT;
            continue;
        }
        bits = atomic_load_explicit(plane_word(&g->pending, slot), memory_order_acquire);
        bits &= UINT64_MAX << (slot & 63);
        for (slot &= ~63u; bits != 0; bits &= bits - 1) {
            uint32_t found = slot + (uint32_t)__builtin_ctzll(bits);

            /* Published here first, in slots a moment later: not its turn yet. */
            if (!being_linked_locked(g, found) &&
                slots_state(g->v->options.slots, found) != SLOT_FILLED)
                return found;
        }
        slot += 64;
    }
    return SLOT_NONE;
}

/* The row becomes a node: without links, but with its level, so that others may link to it. */
static void node_make(struct hnsw *g, struct claim *c)
{
    _Atomic(struct node_upper *) *where = plane_row(&g->upper, c->slot);

    c->level = level_of(g, c->slot);
    if (c->level > 0) {
        struct node_upper *upper = node_upper_alloc(g, c->level);

        /* Without memory for its upper lists it lives on layer 0 alone. */
        c->level = upper == NULL ? 0 : c->level;
        atomic_store_explicit(where, upper, memory_order_release);
    }
    atomic_fetch_or_explicit(node_meta(g, c->slot), (c->level + 1) << META_LEVEL_SHIFT,
                             memory_order_acq_rel);
}

static bool claim_locked(struct hnsw *g, struct claim *c)
{
    uint32_t end = atomic_load_explicit(&g->slot_end, memory_order_relaxed);

    if (g->claims.linking_count == VINDEX_LINKERS_MAX ||
        atomic_load_explicit(&g->pending_count, memory_order_relaxed) == 0)
        return false;
    c->slot = next_pending_locked(g, g->claims.cursor, end);
    if (c->slot == SLOT_NONE)
        c->slot = next_pending_locked(g, 0, g->claims.cursor);
    if (c->slot == SLOT_NONE)
        return false;
    g->claims.cursor = c->slot + 1;
    c->dead = !slots_live(g->v->options.slots, c->slot);
    if (c->dead)
        return true;
    node_make(g, c);
    c->companion_count = g->claims.linking_count;
    memcpy(c->companions, g->claims.linking, c->companion_count * sizeof(c->companions[0]));
    g->claims.linking[g->claims.linking_count++] = c->slot;
    return true;
}

static void release_locked(struct hnsw *g, uint32_t slot)
{
    for (uint32_t i = 0; i < g->claims.linking_count; i++) {
        if (g->claims.linking[i] != slot)
            continue;
        g->claims.linking[i] = g->claims.linking[--g->claims.linking_count];
        return;
    }
}

/* What the walk found, without the dead, and the companions that reach this level. */
static void gather_found(const struct walk *w, const struct claim *c, uint32_t level)
{
    const struct hnsw *g = w->g;
    const struct codeset *codes = w->scratch->codes;
    struct cands *around = &w->scratch->around, *pool = &w->scratch->pool;

    around->count = 0;
    for (uint32_t i = 0; i < pool->count; i++)
        if (pool->items[i].slot != c->slot && slots_live(g->v->options.slots, pool->items[i].slot))
            around->items[around->count++] = pool->items[i];
    for (uint32_t i = 0; i < c->companion_count; i++) {
        uint32_t slot = c->companions[i];
        bool known = false;

        for (uint32_t j = 0; j < around->count && !known; j++)
            known = around->items[j].slot == slot;
        if (!known && node_level(g, slot) >= (int)level && slots_live(g->v->options.slots, slot)) {
            float key = code_key(&codes->shape, w->k, &w->scratch->query, codes_row(codes, slot));

            if (cands_wants(around, key, slot))
                (void)cands_put(around, key, slot);
        }
    }
}

static void link_level(struct walk *w, const struct claim *c, uint32_t level)
{
    const struct hnsw *g = w->g;
    struct vindex_scratch *s = w->scratch;
    uint32_t chosen[VINDEX_M_MAX];
    uint32_t count;

    gather_found(w, c, level);
    count = hnsw_choose(s, g->made.m);
    for (uint32_t i = 0; i < count; i++)
        chosen[i] = s->around.items[i].slot;
    node_lock(g, c->slot);
    /* A companion may have put itself into the list already. */
    if (atomic_load_explicit(node_refs(g, c->slot, level), memory_order_relaxed) == 0) {
        node_links_set_locked(g, c->slot, level, s->around.items, count);
        node_unlock(g, c->slot);
    } else {
        node_unlock(g, c->slot);
        for (uint32_t i = 0; i < count; i++)
            hnsw_connect(g, s, c->slot, chosen[i], level);
    }
    for (uint32_t i = 0; i < count; i++)
        hnsw_connect(g, s, chosen[i], c->slot, level);
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

static void link_row(struct hnsw *g, struct vindex_scratch *s, const struct claim *c)
{
    uint64_t entry = atomic_load_explicit(&g->entry, memory_order_acquire);
    struct walk w = {.v = g->v,
                     .g = g,
                     .k = kernels_get(),
                     .scratch = s,
                     .check = slots_dead_count(g->v->options.slots) > 0,
                     .distances_max = UINT64_MAX};
    struct cand start = {0};

    code_query_set_row(&s->codes->shape, codes_row(s->codes, c->slot), &s->query);
    if (entry != 0)
        start = hnsw_descend(&w, entry, c->level);
    for (uint32_t level = c->level + 1; level-- > 0;) {
        s->pool.count = 0;
        s->pool.cap = g->made.ef_construction;
        if (entry != 0 && level <= entry_level(entry)) {
            visited_clear(&s->visited);
            (void)hnsw_walk(&w, start, level);
            start = nearest_other(&s->pool, c->slot, start);
        }
        link_level(&w, c, level);
    }
    visited_clear(&s->visited);
    entry_raise(g, c->slot, c->level);
    atomic_fetch_add_explicit(&g->linked_count, 1, memory_order_relaxed);
}

/* Inside a guard. False: nothing to claim, or no memory. */
static bool link_next(struct hnsw *g, struct vindex_scratch *s)
{
    struct claim c;
    bool claimed;

    /* The marks must reach every slot there is now, or newer rows would be passed by. */
    if (!linker_prepare(s, g))
        return false;
    lock_take(&g->v->shared.lock);
    claimed = claim_locked(g, &c);
    lock_drop(&g->v->shared.lock);
    if (!claimed)
        return false;
    if (!c.dead)
        link_row(g, s, &c);
    (void)pending_clear(g, c.slot);
    lock_take(&g->v->shared.lock);
    release_locked(g, c.slot);
    lock_drop(&g->v->shared.lock);
    return true;
}

/* The graph that serves, or the one that is made beside it; NULL: there is nothing to link. */
static struct hnsw *graph_to_link(const struct vindex *v, bool beside)
{
    struct hnsw *g = beside ? graph_next(v) : graph_served(v);

    return g != NULL && graph_to_link_rows(g) > 0 ? g : NULL;
}

/* Which graphs there are may change from row to row. */
static uint32_t link_rows(struct vindex *v, bool beside, uint32_t max)
{
    struct vindex_scratch *s = NULL;
    uint32_t count = 0;
    bool more = true;

    while (more && count < max) {
        struct epoch_guard guard = epoch_enter(v->options.epoch);
        struct hnsw *g = graph_to_link(v, beside);

        if (g != NULL && s == NULL)
            s = linker_scratch_take(g);
        more = g != NULL && s != NULL && link_next(g, s);
        count += more;
        epoch_leave(v->options.epoch, guard);
    }
    if (s != NULL)
        linker_scratch_give(v, s);
    return count;
}

uint32_t vindex_link(struct vindex *v, uint32_t max)
{
    uint32_t count = link_rows(v, false, max);

    return count + link_rows(v, true, max);
}
