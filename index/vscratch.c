#include "index/vindex_internal.h"

status vindex_scratch_create(struct vindex_scratch **out, struct err *err)
{
    struct vindex_scratch *s = mem_zero(sizeof(*s));

    if (s == NULL)
        return err_set(err, ST_NOMEM, "no memory for a search scratch");
    *out = s;
    return ST_OK;
}

void vindex_scratch_destroy(struct vindex_scratch *s)
{
    if (s == NULL)
        return;
    cands_fini(&s->pool);
    cands_fini(&s->best);
    cands_fini(&s->around);
    ranked_fini(&s->ranked);
    frontier_fini(&s->frontier);
    visited_fini(&s->visited);
    mem_free(s->chosen);
    mem_free(s->block);
    mem_free(s->full);
    mem_free(s);
}

/* One block for the arrays of all queries, laid out anew for each index that comes by. */
static bool queries_place(struct vindex_scratch *s, uint32_t chosen)
{
    const struct code_shape *shape = &s->codes->shape;
    size_t each = code_query_bytes(shape), bytes;
    uint8_t *at;

    if (!size_mul(each, (size_t)chosen + 2, &bytes))
        return false;
    if (bytes > s->block_bytes) {
        void *block = mem_aligned(KERNEL_ALIGN, bytes);

        if (block == NULL)
            return false;
        mem_free(s->block);
        s->block = block;
        s->block_bytes = bytes;
    }
    if (chosen > s->chosen_room) {
        struct code_query *queries = mem_alloc_array(chosen, sizeof(*queries));

        if (queries == NULL)
            return false;
        mem_free(s->chosen);
        s->chosen = queries;
        s->chosen_room = chosen;
    }
    at = s->block;
    code_query_place(&s->query, shape, at);
    code_query_place(&s->other, shape, at + each);
    for (uint32_t i = 0; i < chosen; i++)
        code_query_place(&s->chosen[i], shape, at + (i + 2) * each);
    return true;
}

static bool full_place(struct vindex_scratch *s, uint32_t dim)
{
    float *full;

    if (dim <= s->full_room)
        return true;
    full = mem_alloc_array(dim, sizeof(*full));
    if (full == NULL)
        return false;
    mem_free(s->full);
    s->full = full;
    s->full_room = dim;
    return true;
}

bool scratch_prepare(struct vindex_scratch *s, const struct hnsw *g, bool linking)
{
    uint32_t end = atomic_load_explicit(&g->slot_end, memory_order_acquire);

    s->codes = codes_now(g->v);
    if (linking && s->codes->shape.kind == VQUANT_BINARY)
        s->codes = &g->v->plain; /* bits are too coarse to choose neighbours by */
    if (!vectors_in_ram(g->v) && !full_place(s, g->v->options.dim))
        return false;
    return queries_place(s, linking ? degree_of(g, 0) + 1 : 0) && visited_start(&s->visited, end);
}
