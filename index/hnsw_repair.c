/* Taking dead slots out of the graph.
 *
 * After the first wait for epochs every linker sees the slots as dead, so no list comes to name one
 * any more; then each list that does is rebuilt, and last the entry point moves. After the second
 * wait no reader stands on one of them, and their own lists are given back. A pass that is stopped
 * before that leaves a whole graph, with some of the dead still in it. */
#include "index/vindex_internal.h"

#include <inttypes.h>

enum { STOP_EVERY_NODES = 256 };

struct repair {
    struct vindex *v;
    struct vindex_scratch *scratch;
    uint64_t *taken; /* bitmap of the slots to take out */
    uint32_t slot_end;
};

static bool is_taken(const struct repair *r, uint32_t slot)
{
    return slot < r->slot_end && (r->taken[slot >> 6] >> (slot & 63) & 1) != 0;
}

static bool names_taken(const struct repair *r, const uint32_t *links, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        if (is_taken(r, links[i]))
            return true;
    return false;
}

/* Offers a slot as a new neighbour of the node in scratch->other. */
static void offer(struct repair *r, uint32_t slot)
{
    struct vindex_scratch *s = r->scratch;
    float key;

    if (!visited_mark(&s->visited, slot) || is_taken(r, slot) ||
        !slots_live(r->v->options.slots, slot))
        return;
    key = code_key(&r->v->shape, kernels_get(), &s->other, vindex_codes(r->v, slot));
    if (cands_wants(&s->around, key, slot))
        (void)cands_put(&s->around, key, slot);
}

/* The neighbours that stay and the neighbours of all, those of the taken ones above all: whoever
 * was reached through them is to be reached without them. */
static void gather_near(struct repair *r, uint32_t slot, uint32_t level, const uint32_t *links,
                        uint32_t count)
{
    uint32_t next[2 * VINDEX_M_MAX];

    r->scratch->around.count = 0;
    visited_clear(&r->scratch->visited);
    (void)visited_mark(&r->scratch->visited, slot);
    for (uint32_t i = 0; i < count; i++)
        offer(r, links[i]);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t found = node_links(r->v, links[i], level, next);

        for (uint32_t j = 0; j < found; j++)
            offer(r, next[j]);
    }
    visited_clear(&r->scratch->visited);
}

/* Where too little is left around a node, its neighbours are searched as those of a new one. */
static void gather_far(struct repair *r, uint32_t slot, uint32_t level)
{
    struct vindex *v = r->v;
    struct vindex_scratch *s = r->scratch;
    uint64_t entry = atomic_load_explicit(&v->entry, memory_order_acquire);
    struct walk w = {
        .v = v, .k = kernels_get(), .scratch = s, .check = true, .distances_max = UINT64_MAX};

    if (entry == 0 || level > entry_level(entry))
        return;
    code_query_set_row(&v->shape, vindex_codes(v, slot), &s->query);
    s->pool.count = 0;
    s->pool.cap = v->options.ef_construction;
    (void)hnsw_walk(&w, hnsw_descend(&w, entry, level), level);
    visited_clear(&s->visited);
    (void)visited_mark(&s->visited, slot);
    for (uint32_t i = 0; i < s->around.count; i++)
        (void)visited_mark(&s->visited, s->around.items[i].slot);
    for (uint32_t i = 0; i < s->pool.count; i++)
        offer(r, s->pool.items[i].slot);
    visited_clear(&s->visited);
}

static void rebuild(struct repair *r, uint32_t slot, uint32_t level)
{
    struct vindex *v = r->v;
    struct vindex_scratch *s = r->scratch;
    uint32_t links[2 * VINDEX_M_MAX], chosen[2 * VINDEX_M_MAX];
    uint32_t degree = degree_of(v, level), count;

    node_lock(v, slot);
    count = node_links(v, slot, level, links);
    if (!names_taken(r, links, count)) {
        node_unlock(v, slot);
        return;
    }
    code_query_set_row(&v->shape, vindex_codes(v, slot), &s->other);
    gather_near(r, slot, level, links, count);
    if (s->around.count < v->options.m)
        gather_far(r, slot, level);
    count = hnsw_choose(v, s, degree);
    node_links_set_locked(v, slot, level, s->around.items, count);
    for (uint32_t i = 0; i < count; i++)
        chosen[i] = s->around.items[i].slot;
    node_unlock(v, slot);
    if (slots_live(v->options.slots, slot))
        for (uint32_t i = 0; i < count; i++)
            hnsw_connect(v, s, chosen[i], slot, level);
}

static bool list_names_taken(const struct repair *r, uint32_t slot, uint32_t level)
{
    uint32_t links[2 * VINDEX_M_MAX];

    return names_taken(r, links, node_links(r->v, slot, level, links));
}

static status rebuild_all(struct repair *r, const _Atomic bool *stop, struct err *err)
{
    for (uint32_t slot = 0; slot < r->slot_end; slot++) {
        struct epoch_guard guard;
        int level;

        if (slot % STOP_EVERY_NODES == 0 && stop != NULL &&
            atomic_load_explicit(stop, memory_order_relaxed))
            return err_set(err, ST_CLOSED, "repair was stopped at slot %" PRIu32, slot);
        level = node_level(r->v, slot);
        if (level < 0 || is_taken(r, slot))
            continue;
        guard = epoch_enter(r->v->options.epoch);
        for (uint32_t l = 0; l <= (uint32_t)level; l++)
            if (list_names_taken(r, slot, l))
                rebuild(r, slot, l);
        epoch_leave(r->v->options.epoch, guard);
    }
    return ST_OK;
}

static void entry_offer_all(const struct repair *r, uint64_t *best)
{
    for (uint32_t slot = 0; slot < r->slot_end; slot++) {
        int level = node_level(r->v, slot);

        if (level < 0 || is_taken(r, slot) || !node_linked(r->v, slot))
            continue;
        if (best == NULL)
            entry_raise(r->v, slot, (uint32_t)level);
        else if (*best == 0 || (uint32_t)level > entry_level(*best))
            *best = entry_make((uint32_t)level, slot);
    }
}

static void entry_move(const struct repair *r)
{
    uint64_t now = atomic_load_explicit(&r->v->entry, memory_order_acquire);

    while (now != 0 && is_taken(r, entry_slot(now))) {
        uint64_t best = 0;

        entry_offer_all(r, &best);
        if (!atomic_compare_exchange_strong_explicit(&r->v->entry, &now, best, memory_order_acq_rel,
                                                     memory_order_acquire))
            continue;
        /* A row whose linking ended in between compared itself with the old entry point. */
        entry_offer_all(r, NULL);
        return;
    }
}

/* Its upper lists stay: an export walks slots, not links, and may be copying them. */
static void forget(struct vindex *v, uint32_t slot)
{
    if (plane_bit_clear(&v->present, slot))
        atomic_fetch_sub_explicit(&v->present_count, 1, memory_order_relaxed);
    (void)plane_bit_clear(&v->filled, slot);
    if (node_level(v, slot) < 0)
        return;
    node_lock(v, slot);
    node_links_set_locked(v, slot, 0, NULL, 0);
    node_unlock(v, slot);
    atomic_fetch_and_explicit(node_meta(v, slot), META_SEQ, memory_order_acq_rel);
    atomic_fetch_sub_explicit(&v->linked_count, 1, memory_order_relaxed);
}

/* Once those who were inside when it was forgotten have left. */
static void forget_upper(struct vindex *v, uint32_t slot)
{
    _Atomic(struct node_upper *) *where = plane_row(&v->upper, slot);

    node_upper_free(v, atomic_exchange_explicit(where, NULL, memory_order_acq_rel));
}

static status repair_run(struct repair *r, const uint32_t *dead, uint32_t count,
                         const _Atomic bool *stop, struct err *err)
{
    struct vindex *v = r->v;
    status st;

    epoch_synchronize(v->options.epoch);
    for (uint32_t i = 0; i < count; i++)
        if (dead[i] < r->slot_end)
            (void)pending_clear(v, dead[i]);
    st = rebuild_all(r, stop, err);
    if (st != ST_OK)
        return st;
    entry_move(r);
    epoch_synchronize(v->options.epoch);
    for (uint32_t i = 0; i < count; i++)
        if (dead[i] < r->slot_end)
            forget(v, dead[i]);
    epoch_synchronize(v->options.epoch);
    for (uint32_t i = 0; i < count; i++)
        if (dead[i] < r->slot_end)
            forget_upper(v, dead[i]);
    return ST_OK;
}

static status repair_prepare(struct repair *r, const uint32_t *dead, uint32_t count,
                             struct err *err)
{
    r->slot_end = atomic_load_explicit(&r->v->slot_end, memory_order_acquire);
    r->taken = mem_zero_array((size_t)r->slot_end / 64 + 1, sizeof(r->taken[0]));
    r->scratch = linker_scratch_take(r->v);
    if (r->taken == NULL || r->scratch == NULL)
        return err_set(err, ST_NOMEM, "no memory to repair a graph of %" PRIu32 " slots",
                       r->slot_end);
    for (uint32_t i = 0; i < count; i++)
        if (dead[i] < r->slot_end)
            r->taken[dead[i] >> 6] |= (uint64_t)1 << (dead[i] & 63);
    return ST_OK;
}

status vindex_repair(struct vindex *v, const uint32_t *dead, uint32_t count,
                     const _Atomic bool *stop, struct err *err)
{
    struct repair r = {.v = v};
    bool running = false;
    status st;

    if (count == 0)
        return ST_OK;
    if (!atomic_compare_exchange_strong(&v->repairing, &running, true))
        return err_set(err, ST_CONFLICT, "a repair of this graph is running");
    st = repair_prepare(&r, dead, count, err);
    if (st == ST_OK)
        st = repair_run(&r, dead, count, stop, err);
    if (r.scratch != NULL)
        linker_scratch_give(v, r.scratch);
    mem_free(r.taken);
    atomic_store(&v->repairing, false);
    return st;
}
