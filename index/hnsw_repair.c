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
    struct hnsw *g; /* the graph of the moment */
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
    key = code_key(&s->codes->shape, kernels_get(), &s->other, codes_row(s->codes, slot));
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
        uint32_t found = node_links(r->g, links[i], level, next);

        for (uint32_t j = 0; j < found; j++)
            offer(r, next[j]);
    }
    visited_clear(&r->scratch->visited);
}

/* Where too little is left around a node, its neighbours are searched as those of a new one. */
static void gather_far(struct repair *r, uint32_t slot, uint32_t level)
{
    struct vindex *v = r->v;
    struct hnsw *g = r->g;
    struct vindex_scratch *s = r->scratch;
    uint64_t entry = atomic_load_explicit(&g->entry, memory_order_acquire);
    struct walk w = {.v = v,
                     .g = g,
                     .k = kernels_get(),
                     .scratch = s,
                     .check = true,
                     .distances_max = UINT64_MAX};

    if (entry == 0 || level > entry_level(entry))
        return;
    code_query_set_row(&s->codes->shape, codes_row(s->codes, slot), &s->query);
    s->pool.count = 0;
    s->pool.cap = g->made.ef_construction;
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
    struct hnsw *g = r->g;
    struct vindex_scratch *s = r->scratch;
    uint32_t links[2 * VINDEX_M_MAX], chosen[2 * VINDEX_M_MAX];
    uint32_t degree = degree_of(g, level), count;

    node_lock(g, slot);
    count = node_links(g, slot, level, links);
    if (!names_taken(r, links, count)) {
        node_unlock(g, slot);
        return;
    }
    code_query_set_row(&s->codes->shape, codes_row(s->codes, slot), &s->other);
    gather_near(r, slot, level, links, count);
    if (s->around.count < g->made.m)
        gather_far(r, slot, level);
    count = hnsw_choose(s, degree);
    node_links_set_locked(g, slot, level, s->around.items, count);
    for (uint32_t i = 0; i < count; i++)
        chosen[i] = s->around.items[i].slot;
    node_unlock(g, slot);
    if (slots_live(g->v->options.slots, slot))
        for (uint32_t i = 0; i < count; i++)
            hnsw_connect(g, s, chosen[i], slot, level);
}

static bool list_names_taken(const struct repair *r, uint32_t slot, uint32_t level)
{
    uint32_t links[2 * VINDEX_M_MAX];

    return names_taken(r, links, node_links(r->g, slot, level, links));
}

static status rebuild_all(struct repair *r, const _Atomic bool *stop, struct err *err)
{
    for (uint32_t slot = 0; slot < r->slot_end; slot++) {
        struct epoch_guard guard;
        int level;

        if (slot % STOP_EVERY_NODES == 0 && stop != NULL &&
            atomic_load_explicit(stop, memory_order_relaxed))
            return err_set(err, ST_CLOSED, "repair was stopped at slot %" PRIu32, slot);
        level = node_level(r->g, slot);
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
        int level = node_level(r->g, slot);

        if (level < 0 || is_taken(r, slot) || !node_linked(r->g, slot))
            continue;
        if (best == NULL)
            entry_raise(r->g, slot, (uint32_t)level);
        else if (*best == 0 || (uint32_t)level > entry_level(*best))
            *best = entry_make((uint32_t)level, slot);
    }
}

static void entry_move(const struct repair *r)
{
    _Atomic uint64_t *entry = &r->g->entry;
    uint64_t now = atomic_load_explicit(entry, memory_order_acquire);

    while (now != 0 && is_taken(r, entry_slot(now))) {
        uint64_t best = 0;

        entry_offer_all(r, &best);
        if (!atomic_compare_exchange_strong_explicit(entry, &now, best, memory_order_acq_rel,
                                                     memory_order_acquire))
            continue;
        /* A row whose linking ended in between compared itself with the old entry point. */
        entry_offer_all(r, NULL);
        return;
    }
}

/* Its upper lists stay: an export walks slots, not links, and may be copying them. */
static void forget_node(struct hnsw *g, uint32_t slot)
{
    if (node_level(g, slot) < 0)
        return;
    node_lock(g, slot);
    node_links_set_locked(g, slot, 0, NULL, 0);
    node_unlock(g, slot);
    atomic_fetch_and_explicit(node_meta(g, slot), META_SEQ, memory_order_acq_rel);
    atomic_fetch_sub_explicit(&g->linked_count, 1, memory_order_relaxed);
}

static void forget_row(struct vindex *v, uint32_t slot)
{
    if (plane_bit_clear(&v->present, slot))
        atomic_fetch_sub_explicit(&v->present_count, 1, memory_order_relaxed);
    (void)plane_bit_clear(&v->filled, slot);
}

/* Once those who were inside when it was forgotten have left. */
static void forget_upper(struct hnsw *g, uint32_t slot)
{
    _Atomic(struct node_upper *) *where = plane_row(&g->upper, slot);

    node_upper_free(g, atomic_exchange_explicit(where, NULL, memory_order_acq_rel));
}

/* No list of r->g names them afterwards, and no row waits to be linked that is one of them. */
static status take_out(struct repair *r, const uint32_t *dead, uint32_t count,
                       const _Atomic bool *stop, struct err *err)
{
    status st;

    r->scratch = linker_scratch_take(r->g);
    if (r->scratch == NULL)
        return err_set(err, ST_NOMEM, "no memory to repair a graph of %" PRIu32 " slots",
                       r->slot_end);
    for (uint32_t i = 0; i < count; i++)
        if (dead[i] < r->slot_end)
            (void)pending_clear(r->g, dead[i]);
    st = rebuild_all(r, stop, err);
    if (st == ST_OK)
        entry_move(r);
    linker_scratch_give(r->v, r->scratch);
    return st;
}

static void forget(struct repair *r, struct hnsw *const graphs[], const uint32_t *dead,
                   uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        if (dead[i] >= r->slot_end)
            continue;
        forget_row(r->v, dead[i]);
        for (size_t k = 0; graphs[k] != NULL; k++)
            forget_node(graphs[k], dead[i]);
    }
    epoch_synchronize(r->v->options.epoch);
    for (uint32_t i = 0; i < count; i++)
        for (size_t k = 0; dead[i] < r->slot_end && graphs[k] != NULL; k++)
            forget_upper(graphs[k], dead[i]);
}

/* The graph that serves and the one that is made beside it. One that is begun from now on never
 * hears of these slots: it is filled with rows that live. */
static status repair_run(struct repair *r, const uint32_t *dead, uint32_t count,
                         const _Atomic bool *stop, struct err *err)
{
    struct hnsw *graphs[] = {graph_served(r->v), graph_next(r->v), NULL};
    status st = ST_OK;

    epoch_synchronize(r->v->options.epoch);
    for (size_t k = 0; st == ST_OK && graphs[k] != NULL; k++) {
        r->g = graphs[k];
        st = take_out(r, dead, count, stop, err);
    }
    if (st != ST_OK)
        return st;
    epoch_synchronize(r->v->options.epoch);
    forget(r, graphs, dead, count);
    return ST_OK;
}

static status repair_prepare(struct repair *r, const uint32_t *dead, uint32_t count,
                             struct err *err)
{
    uint32_t slots = atomic_load_explicit(&r->v->slot_end, memory_order_acquire);

    r->slot_end = slots;
    r->taken = mem_zero_array((size_t)slots / 64 + 1, sizeof(r->taken[0]));
    if (r->taken == NULL)
        return err_set(err, ST_NOMEM, "no memory to repair a graph of %" PRIu32 " slots", slots);
    for (uint32_t i = 0; i < count; i++)
        if (dead[i] < slots)
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
    mem_free(r.taken);
    atomic_store(&v->repairing, false);
    return st;
}
