#include "node/keep.h"

#include <stdatomic.h>
#include <stdlib.h>

status collection_check_readable(struct collection *c, struct err *err)
{
    switch (atomic_load_explicit(&c->seq.state, memory_order_acquire)) {
    case COLLECTION_SERVING:
    case COLLECTION_READ_ONLY:
        return ST_OK;
    case COLLECTION_LOADING:
        return err_set(err, ST_UNAVAILABLE,
                       "the collection is still loading; GET /ready says how far it is");
    case COLLECTION_FAILED:
        return err_set(err, ST_UNAVAILABLE,
                       "the collection could not be loaded; GET /health says why");
    case COLLECTION_DROPPED:
        return err_set(err, ST_NOT_FOUND, "the collection was dropped");
    }
    return err_set(err, ST_BUG, "collection state");
}

bool keep_bytes(struct arena *arena, struct slice from, struct slice *out)
{
    uint8_t *copy;

    *out = (struct slice){0};
    if (from.bytes == 0)
        return true;
    copy = arena_alloc(arena, from.bytes);
    if (copy == NULL)
        return false;
    memcpy(copy, from.data, from.bytes);
    *out = slice_make(copy, from.bytes);
    return true;
}

bool keep_id(struct arena *arena, const struct docid *from, struct docid *out)
{
    *out = *from;
    return from->kind != DOCID_BYTES || keep_bytes(arena, from->bytes, &out->bytes);
}

static bool keep_field(struct arena *arena, const struct collection *c, uint32_t slot, size_t field,
                       const float **out)
{
    const struct vindex *v = vectors_of(c, field);
    size_t dim = node_field(c, field)->dimension;
    float *copy;

    *out = NULL;
    if (!vindex_filled(v, slot))
        return true;
    copy = arena_array(arena, dim, sizeof *copy);
    if (copy == NULL)
        return false;
    memcpy(copy, vindex_vector(v, slot), dim * sizeof *copy);
    *out = copy;
    return true;
}

bool keep_vectors(struct arena *arena, const struct collection *c, uint32_t slot, uint64_t mask,
                  const float ***out)
{
    size_t count = node_field_count(c);
    const float **vectors;

    *out = NULL;
    if (mask == 0 || count == 0)
        return true;
    vectors = arena_zero(arena, count * sizeof *vectors);
    if (vectors == NULL)
        return false;
    for (size_t i = 0; i < count; i++)
        if ((mask >> i & 1) != 0 && !keep_field(arena, c, slot, i, &vectors[i]))
            return false;
    *out = vectors;
    return true;
}

bool keep_vector(struct arena *arena, const struct collection *c, uint32_t slot, const float **out)
{
    *out = NULL;
    return node_field_count(c) == 0 || keep_field(arena, c, slot, 0, out);
}

bool keep_document(struct arena *arena, const struct collection *c, uint32_t slot,
                   const struct read_want *want, struct document *out)
{
    struct row row;

    slots_row(c->slots, slot, &row);
    *out = (struct document){.inserted_at_ns = row.inserted_at_ns, .lsn = row.lsn};
    return keep_id(arena, &row.id, &out->id) &&
           keep_bytes(arena, row.external_id, &out->external_id) &&
           (!want->payload || keep_bytes(arena, row.payload, &out->payload)) &&
           keep_vectors(arena, c, slot, want->vectors, &out->vectors);
}

static int by_id(const void *a, const void *b)
{
    return docid_compare(a, b);
}

struct docid *ids_sorted(struct arena *arena, const struct docid *ids, size_t *count)
{
    struct docid *sorted = arena_array(arena, *count, sizeof *sorted);
    size_t kept = 0;

    if (sorted == NULL) {
        *count = 0;
        return NULL;
    }
    memcpy(sorted, ids, *count * sizeof *sorted);
    qsort(sorted, *count, sizeof *sorted, by_id);
    for (size_t i = 0; i < *count; i++)
        if (i == 0 || !docid_equal(&sorted[i], &sorted[kept - 1]))
            sorted[kept++] = sorted[i];
    *count = kept;
    return sorted;
}

bool ids_have(const struct docid *sorted, size_t count, const struct docid *id)
{
    return count > 0 && bsearch(id, sorted, count, sizeof *sorted, by_id) != NULL;
}
