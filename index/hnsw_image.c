/* The graph as values, for images: nodes are copied beside writers, and put back before any reader.
 *
 * A copy of one node is whole (the count in its meta tells of writers in between), copies of
 * several are not of one moment: what they name that is not there any more is dropped on the way
 * in. */
#include "index/vindex_internal.h"

#include <inttypes.h>

size_t vindex_node_links_max(const struct vindex *v)
{
    (void)v; /* of any graph: another may serve by the time of the copy */
    return (size_t)(2 + VNODE_LEVEL_MAX) * VINDEX_M_MAX;
}

static void node_copy(const struct hnsw *g, uint32_t slot, uint32_t *buffer, struct vnode *out)
{
    for (uint32_t level = 0; level <= out->level; level++) {
        uint32_t count = node_links(g, slot, level, buffer);

        out->counts[level] = (uint16_t)count;
        out->links[level] = buffer;
        buffer += count;
    }
}

bool vindex_node_export(const struct vindex *v, uint32_t slot, uint32_t *buffer, struct vnode *out)
{
    const struct hnsw *g = graph_served(v);
    const _Atomic uint32_t *meta;

    if (slot >= atomic_load_explicit(&g->slot_end, memory_order_acquire))
        return false;
    meta = node_meta(g, slot);
    for (unsigned tries = 0;; tries++) {
        uint32_t before = atomic_load_explicit(meta, memory_order_acquire);

        if (!node_linked(g, slot) || before >> META_LEVEL_SHIFT == 0)
            return false;
        if ((before & META_LOCKED) == 0) {
            memset(out, 0, sizeof(*out));
            out->slot = slot;
            out->level = (uint8_t)((before >> META_LEVEL_SHIFT) - 1);
            node_copy(g, slot, buffer, out);
            if (atomic_load_explicit(meta, memory_order_acquire) == before)
                return true;
        }
        if (tries % 64 == 63)
            sched_yield();
    }
}

/* Marks by the low bits tell most links apart; only where two share a mark all before are looked
 * at.
 */
static bool has_double(const uint32_t *links, uint32_t count)
{
    uint64_t marks[16] = {0};

    for (uint32_t i = 0; i < count; i++) {
        uint64_t *word = &marks[links[i] >> 6 & 15];
        uint64_t bit = (uint64_t)1 << (links[i] & 63);

        if ((*word & bit) != 0)
            for (uint32_t j = 0; j < i; j++)
                if (links[i] == links[j])
                    return true;
        *word |= bit;
    }
    return false;
}

static status node_validate(const struct hnsw *g, const struct vnode *n, struct err *err)
{
    if (n->slot >= atomic_load_explicit(&g->slot_end, memory_order_acquire))
        return err_set(err, ST_CORRUPT, "graph node beyond all rows slot=%" PRIu32, n->slot);
    if (n->level > VNODE_LEVEL_MAX)
        return err_set(err, ST_CORRUPT, "graph node level out of range slot=%" PRIu32 " level=%u",
                       n->slot, n->level);
    if (node_level(g, n->slot) >= 0)
        return err_set(err, ST_CORRUPT, "graph node twice slot=%" PRIu32, n->slot);
    for (uint32_t l = 0; l <= n->level; l++) {
        if (n->counts[l] > degree_of(g, l))
            return err_set(err, ST_CORRUPT,
                           "graph node with too many links slot=%" PRIu32 " level=%" PRIu32
                           " links=%u",
                           n->slot, l, n->counts[l]);
        for (uint32_t i = 0; i < n->counts[l]; i++)
            if (n->links[l][i] == n->slot)
                return err_set(err, ST_CORRUPT, "graph node links to itself slot=%" PRIu32,
                               n->slot);
        if (has_double(n->links[l], n->counts[l]))
            return err_set(err, ST_CORRUPT, "graph node links twice to one slot=%" PRIu32, n->slot);
    }
    return ST_OK;
}

static void list_import(struct hnsw *g, const struct vnode *n, uint32_t level)
{
    uint32_t end = atomic_load_explicit(&g->slot_end, memory_order_relaxed);
    struct cand links[2 * VINDEX_M_MAX];
    uint32_t count = 0;

    for (uint32_t i = 0; i < n->counts[level]; i++)
        if (n->links[level][i] < end)
            links[count++].slot = n->links[level][i];
    node_links_set_locked(g, n->slot, level, links, count);
}

status vindex_node_import(struct vindex *v, const struct vnode *node, struct err *err)
{
    struct hnsw *g = graph_served(v);
    _Atomic(struct node_upper *) *where;
    status st = node_validate(g, node, err);

    if (st != ST_OK)
        return st;
    if (node->level > 0) {
        struct node_upper *upper = node_upper_alloc(g, node->level);

        if (upper == NULL)
            return err_set(err, ST_NOMEM, "no memory for the links of a graph node");
        where = plane_row(&g->upper, node->slot);
        atomic_store_explicit(where, upper, memory_order_release);
    }
    atomic_fetch_or_explicit(node_meta(g, node->slot),
                             (uint32_t)(node->level + 1) << META_LEVEL_SHIFT, memory_order_acq_rel);
    for (uint32_t l = 0; l <= node->level; l++)
        list_import(g, node, l);
    atomic_fetch_add_explicit(&g->linked_count, 1, memory_order_relaxed);
    return ST_OK;
}

/* Links to what is no node of that level: its own record was not in the image. */
static void drop_loose(struct hnsw *g, uint32_t slot, uint32_t level)
{
    uint32_t links[2 * VINDEX_M_MAX];
    struct cand kept[2 * VINDEX_M_MAX];
    uint32_t count = node_links(g, slot, level, links), stay = 0;

    for (uint32_t i = 0; i < count; i++)
        if (node_level(g, links[i]) >= (int)level)
            kept[stay++].slot = links[i];
    if (stay < count)
        node_links_set_locked(g, slot, level, kept, stay);
}

static bool is_row(const struct vindex *v, uint32_t slot)
{
    enum slot_state state;

    if (!plane_bit(&v->filled, slot))
        return false;
    state = slots_state(v->options.slots, slot);
    return state == SLOT_LIVE || state == SLOT_DEAD;
}

/* A node whose row did not come. Nobody stands on it: there are no readers yet. */
static void node_drop(struct hnsw *g, uint32_t slot)
{
    _Atomic(struct node_upper *) *where = plane_row(&g->upper, slot);

    node_upper_free(g, atomic_load_explicit(where, memory_order_relaxed));
    atomic_store_explicit(where, NULL, memory_order_relaxed);
    node_links_set_locked(g, slot, 0, NULL, 0);
    atomic_store_explicit(node_meta(g, slot), 0, memory_order_release);
    atomic_fetch_sub_explicit(&g->linked_count, 1, memory_order_relaxed);
}

void vindex_import_rows(struct vindex *v, uint32_t first, uint32_t end)
{
    struct hnsw *g = graph_served(v);

    for (uint32_t slot = first; slot < end; slot++)
        if (node_level(g, slot) >= 0 && !is_row(v, slot))
            node_drop(g, slot);
}

void vindex_import_links(struct vindex *v, uint32_t first, uint32_t end)
{
    struct hnsw *g = graph_served(v);
    uint32_t present = 0;

    for (uint32_t slot = first; slot < end; slot++) {
        int level = node_level(g, slot);

        for (uint32_t l = 0; (int)l <= level; l++)
            drop_loose(g, slot, l);
        if (level >= 0)
            entry_raise(g, slot, (uint32_t)level);
        if (!plane_bit(&v->filled, slot) || !slots_live(v->options.slots, slot))
            continue;
        present += plane_bit_set(&v->present, slot);
        if (level < 0)
            pending_set(g, slot);
    }
    atomic_fetch_add_explicit(&v->present_count, present, memory_order_relaxed);
}

uint32_t vindex_slot_end(const struct vindex *v)
{
    return atomic_load_explicit(&v->slot_end, memory_order_acquire);
}

status vindex_import_finish(struct vindex *v, struct err *err)
{
    (void)err; /* the header leaves room for a check that can fail */
    vindex_import_rows(v, 0, vindex_slot_end(v));
    vindex_import_links(v, 0, vindex_slot_end(v));
    return ST_OK;
}
