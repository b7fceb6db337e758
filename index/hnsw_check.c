/* The invariants of the graph, looked at one by one while no writer runs. */
#include "index/vindex_internal.h"

#include <inttypes.h>

static status list_check(const struct hnsw *g, uint32_t slot, uint32_t level,
                         struct vindex_check *c, struct err *err)
{
    uint32_t end = atomic_load_explicit(&g->slot_end, memory_order_relaxed);
    uint32_t links[2 * VINDEX_M_MAX];
    uint32_t count = node_links(g, slot, level, links);
    const _Atomic uint32_t *refs = node_refs(g, slot, level);

    if (refs == NULL)
        return err_set(err, ST_CORRUPT, "node without its list slot=%" PRIu32 " level=%" PRIu32,
                       slot, level);
    for (uint32_t i = count; i < degree_of(g, level); i++)
        if (atomic_load_explicit(&refs[i], memory_order_relaxed) != 0)
            return err_set(err, ST_CORRUPT, "links behind the end of a list slot=%" PRIu32, slot);
    for (uint32_t i = 0; i < count; i++) {
        enum slot_state state;

        if (links[i] >= end || links[i] == slot)
            return err_set(err, ST_CORRUPT, "impossible link slot=%" PRIu32 " to=%" PRIu32, slot,
                           links[i]);
        for (uint32_t j = 0; j < i; j++)
            if (links[i] == links[j])
                return err_set(err, ST_CORRUPT, "double link slot=%" PRIu32 " to=%" PRIu32, slot,
                               links[i]);
        state = slots_state(g->v->options.slots, links[i]);
        if (state != SLOT_LIVE && state != SLOT_DEAD)
            return err_set(err, ST_CORRUPT, "link to a free slot=%" PRIu32 " to=%" PRIu32, slot,
                           links[i]);
        if (node_level(g, links[i]) < (int)level)
            return err_set(err, ST_CORRUPT,
                           "link to a node below its level slot=%" PRIu32 " to=%" PRIu32, slot,
                           links[i]);
        c->dead_links += state == SLOT_DEAD;
    }
    c->links += count;
    return ST_OK;
}

static status node_check(const struct hnsw *g, uint32_t slot, struct vindex_check *c,
                         struct err *err)
{
    int level = node_level(g, slot);
    uint32_t meta = atomic_load_explicit(node_meta(g, slot), memory_order_relaxed);

    if ((meta & META_LOCKED) != 0)
        return err_set(err, ST_CORRUPT, "node left locked slot=%" PRIu32, slot);
    if (level > VNODE_LEVEL_MAX)
        return err_set(err, ST_CORRUPT, "node level out of range slot=%" PRIu32, slot);
    for (uint32_t l = 0; l <= (uint32_t)level; l++) {
        status st = list_check(g, slot, l, c, err);

        if (st != ST_OK)
            return st;
    }
    c->nodes++;
    c->max_level = (uint32_t)level > c->max_level ? (uint32_t)level : c->max_level;
    return ST_OK;
}

static status entry_check(const struct hnsw *g, const struct vindex_check *c, struct err *err)
{
    uint64_t entry = atomic_load_explicit(&g->entry, memory_order_acquire);
    enum slot_state state;

    if (entry == 0)
        return c->nodes == 0 ? ST_OK : err_set(err, ST_CORRUPT, "graph without an entry point");
    state = slots_state(g->v->options.slots, entry_slot(entry));
    if (state != SLOT_LIVE && state != SLOT_DEAD)
        return err_set(err, ST_CORRUPT, "entry point on a free slot=%" PRIu32, entry_slot(entry));
    if (node_level(g, entry_slot(entry)) != (int)entry_level(entry) ||
        entry_level(entry) != c->max_level)
        return err_set(err, ST_CORRUPT, "entry point is not on the top level slot=%" PRIu32,
                       entry_slot(entry));
    return ST_OK;
}

/* Breadth first from the entry point over layer 0. */
static void count_unreachable(const struct hnsw *g, uint32_t *queue, uint64_t *seen,
                              struct vindex_check *c)
{
    uint64_t entry = atomic_load_explicit(&g->entry, memory_order_acquire);
    uint32_t end = atomic_load_explicit(&g->slot_end, memory_order_relaxed);
    uint32_t links[2 * VINDEX_M_MAX];
    uint32_t head = 0, tail = 0;

    if (entry != 0) {
        queue[tail++] = entry_slot(entry);
        seen[entry_slot(entry) >> 6] |= (uint64_t)1 << (entry_slot(entry) & 63);
    }
    while (head < tail) {
        uint32_t count = node_links(g, queue[head++], 0, links);

        for (uint32_t i = 0; i < count; i++) {
            uint64_t bit = (uint64_t)1 << (links[i] & 63);

            if ((seen[links[i] >> 6] & bit) != 0)
                continue;
            seen[links[i] >> 6] |= bit;
            queue[tail++] = links[i];
        }
    }
    for (uint32_t slot = 0; slot < end; slot++)
        if (node_linked(g, slot) && slots_live(g->v->options.slots, slot) &&
            (seen[slot >> 6] >> (slot & 63) & 1) == 0)
            c->unreachable_live++;
}

static status counters_check(const struct hnsw *g, const struct vindex_check *c, struct err *err)
{
    const struct vindex *v = g->v;
    uint32_t end = atomic_load_explicit(&g->slot_end, memory_order_relaxed);
    uint32_t pending = 0, present = 0;

    for (uint32_t slot = 0; slot < end; slot++) {
        pending += plane_bit(&g->pending, slot);
        present += plane_bit(&v->present, slot);
        if (plane_bit(&g->pending, slot) && node_level(g, slot) >= 0)
            return err_set(err, ST_CORRUPT, "linked row is still pending slot=%" PRIu32, slot);
        if (slots_live(v->options.slots, slot) && plane_bit(&v->present, slot) &&
            !plane_bit(&g->pending, slot) && node_level(g, slot) < 0)
            return err_set(err, ST_CORRUPT, "row neither linked nor pending slot=%" PRIu32, slot);
    }
    if (pending != atomic_load_explicit(&g->pending_count, memory_order_relaxed) ||
        c->nodes != atomic_load_explicit(&g->linked_count, memory_order_relaxed) ||
        present != atomic_load_explicit(&v->present_count, memory_order_relaxed))
        return err_set(err, ST_CORRUPT,
                       "counters are wrong pending=%" PRIu32 " nodes=%" PRIu32 " present=%" PRIu32,
                       pending, c->nodes, present);
    return ST_OK;
}

static status graph_check(const struct hnsw *g, struct vindex_check *out, struct err *err)
{
    uint32_t end = atomic_load_explicit(&g->slot_end, memory_order_acquire);
    struct vindex_check c = {0};
    uint32_t *queue = mem_alloc_array((size_t)end + 1, sizeof(*queue));
    uint64_t *seen = mem_zero_array((size_t)end / 64 + 1, sizeof(*seen));
    status st = ST_OK;

    if (queue == NULL || seen == NULL)
        st = err_set(err, ST_NOMEM, "no memory to check a graph of %" PRIu32 " slots", end);
    for (uint32_t slot = 0; slot < end && st == ST_OK; slot++)
        if (node_level(g, slot) >= 0)
            st = node_check(g, slot, &c, err);
    if (st == ST_OK)
        st = entry_check(g, &c, err);
    if (st == ST_OK)
        st = counters_check(g, &c, err);
    if (st == ST_OK) {
        count_unreachable(g, queue, seen, &c);
        *out = c;
    }
    mem_free(queue);
    mem_free(seen);
    return st;
}

status vindex_check(const struct vindex *v, struct vindex_check *out, struct err *err)
{
    const struct hnsw *next = atomic_load_explicit(&v->next, memory_order_acquire);
    struct vindex_check beside;
    status st = ST_OK;

    if (next != NULL && atomic_load_explicit(&next->open, memory_order_acquire))
        st = graph_check(next, &beside, err);
    if (st != ST_OK)
        return err_wrap(err, st, "the graph that is being made");
    return graph_check(graph_served(v), out, err);
}
