/* The life of one graph over the rows of an index: its planes, what they are charged with, and the
 * rows that wait to be linked in it. */
#include "index/vindex_internal.h"

#include <math.h>

static size_t list_bytes(const struct vgraph *made)
{
    return 2 * (size_t)made->m * sizeof(uint32_t);
}

uint64_t graph_slot_bytes(const struct vgraph *made)
{
    /* and a few bits */
    return list_bytes(made) + sizeof(struct node_upper *) + sizeof(uint32_t) + 1;
}

status graph_create(struct vindex *v, const struct vgraph *made, struct hnsw **out, struct err *err)
{
    struct hnsw *g = mem_zero(sizeof(*g));

    if (g == NULL)
        return err_set(err, ST_NOMEM, "no memory for a graph");
    g->v = v;
    g->made = *made;
    g->level_scale = 1.0 / log((double)made->m);
    g->slot_bytes = graph_slot_bytes(made);
    plane_init(&g->lists, list_bytes(made));
    plane_init(&g->upper, sizeof(struct node_upper *));
    plane_init(&g->meta, sizeof(uint32_t));
    plane_init(&g->pending, sizeof(uint64_t));
    plane_init(&g->pending_groups, sizeof(uint32_t));
    *out = g;
    return ST_OK;
}

static void uppers_free(struct hnsw *g)
{
    uint32_t end = atomic_load_explicit(&g->slot_end, memory_order_relaxed);

    for (uint32_t slot = 0; slot < end; slot++) {
        _Atomic(struct node_upper *) *where = plane_row(&g->upper, slot);

        node_upper_free(g, atomic_load_explicit(where, memory_order_relaxed));
    }
}

void graph_destroy(struct hnsw *g)
{
    if (g == NULL)
        return;
    uppers_free(g);
    plane_fini(&g->lists);
    plane_fini(&g->upper);
    plane_fini(&g->meta);
    plane_fini(&g->pending);
    plane_fini(&g->pending_groups);
    mem_release(g->v->options.budget, g->claims.charged + atomic_load(&g->upper_room));
    mem_free(g);
}

status graph_room(struct hnsw *g, uint32_t slot_end, struct err *err)
{
    struct {
        struct plane *plane;
        uint32_t rows;
    } all[] = {
        {&g->lists, slot_end},
        {&g->upper, slot_end},
        {&g->meta, slot_end},
        {&g->pending, (slot_end + 63) / 64},
        {&g->pending_groups, (slot_end >> PENDING_GROUP_SHIFT) + 1},
    };

    for (size_t i = 0; i < COUNT_OF(all); i++) {
        status st = plane_grow(all[i].plane, all[i].rows, err);

        if (st != ST_OK)
            return st;
    }
    return ST_OK;
}

void graph_set_end_locked(struct hnsw *g, uint32_t slot_end)
{
    g->claims.charged = (uint64_t)slot_end * g->slot_bytes;
    atomic_store_explicit(&g->slot_end, slot_end, memory_order_release);
}

/* The counter rises before the bit is set and falls after it was cleared, so that a reader who sees
 * zero misses no row that was published before it looked. */
void pending_set(struct hnsw *g, uint32_t slot)
{
    _Atomic uint32_t *group = plane_row(&g->pending_groups, slot >> PENDING_GROUP_SHIFT);

    atomic_fetch_add_explicit(group, 1, memory_order_acq_rel);
    if (plane_bit_set(&g->pending, slot))
        atomic_fetch_add_explicit(&g->pending_count, 1, memory_order_acq_rel);
    else
        atomic_fetch_sub_explicit(group, 1, memory_order_acq_rel);
}

bool pending_clear(struct hnsw *g, uint32_t slot)
{
    _Atomic uint32_t *group = plane_row(&g->pending_groups, slot >> PENDING_GROUP_SHIFT);

    if (!plane_bit_clear(&g->pending, slot))
        return false;
    atomic_fetch_sub_explicit(group, 1, memory_order_acq_rel);
    atomic_fetch_sub_explicit(&g->pending_count, 1, memory_order_acq_rel);
    return true;
}

uint32_t graph_to_link_rows(const struct hnsw *g)
{
    bool wanted = atomic_load_explicit(&g->entry, memory_order_relaxed) != 0 ||
                  vindex_rows(g->v) >= vindex_threshold(g->v);

    if (!wanted || !atomic_load_explicit(&g->open, memory_order_acquire))
        return 0;
    return atomic_load_explicit(&g->pending_count, memory_order_relaxed);
}
