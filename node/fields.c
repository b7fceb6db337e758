/* The vector indexes of one collection together: what is done for every field. A row has a slot,
 * and in each field a vector or none; vindex_filled() says which, from when it was written until
 * the slot is free. */
#include "node/fields.h"

#include <stdatomic.h>

status fields_create(struct collection *c, struct err *err)
{
    for (size_t i = 0; i < c->field_count; i++) {
        struct collection_field *f = &c->fields[i];
        const struct vindex_options options = {
            .dim = f->info.dimension,
            .metric = (enum vmetric)f->info.metric,
            .m = atomic_load(&f->m),
            .ef_construction = atomic_load(&f->ef_construction),
            .ef_search = atomic_load(&f->ef_search),
            .threshold = atomic_load(&f->threshold),
            .quantization = (enum vquantization)atomic_load(&f->quantization),
            .seed = hash_bytes(c->id, sizeof c->id, f->id),
            .slots = c->slots,
            .epoch = c->node->epoch,
            .budget = &c->budget,
        };
        status st = vindex_create(&options, &f->vindex, err);

        if (st != ST_OK)
            return st;
    }
    return ST_OK;
}

void fields_destroy(struct collection *c)
{
    for (size_t i = 0; i < c->field_count; i++) {
        vindex_destroy(c->fields[i].vindex);
        c->fields[i].vindex = NULL;
    }
}

size_t fields_list(const struct collection *c, struct checkpoint_field out[NODE_FIELDS_MAX])
{
    for (size_t i = 0; i < c->field_count; i++)
        out[i] = (struct checkpoint_field){.id = c->fields[i].id,
                                           .vindex = c->fields[i].vindex,
                                           .dim = c->fields[i].info.dimension};
    return c->field_count;
}

/* --- writing --- */

status fields_reserve(const struct collection *c, uint32_t slot_end, struct err *err)
{
    status st = ST_OK;

    for (size_t i = 0; st == ST_OK && i < c->field_count; i++)
        st = vindex_reserve(c->fields[i].vindex, slot_end, err);
    return st;
}

uint16_t fields_take(const struct collection *c, const struct write_row *row,
                     struct record_vector out[NODE_FIELDS_MAX])
{
    uint16_t count = 0;

    for (size_t i = 0; i < c->field_count; i++) {
        const struct collection_field *f = &c->fields[i];
        float *vector = row->vectors != NULL ? row->vectors[i] : i == 0 ? row->vector : NULL;

        if (vector == NULL)
            continue;
        /* A zero vector stays as it is, with score 0. */
        if (f->info.metric == VMETRIC_COSINE && (row->as_stored >> i & 1) == 0)
            (void)vindex_normalise(vector, f->info.dimension);
        out[count++] =
            (struct record_vector){.field = f->id, .dim = f->info.dimension, .values = vector};
    }
    return count;
}

void fields_fill(const struct collection *c, uint32_t slot, const struct record_vector *vectors,
                 uint16_t count)
{
    uint16_t at = 0;

    for (size_t i = 0; i < c->field_count; i++) {
        const struct collection_field *f = &c->fields[i];

        if (at < count && vectors[at].field == f->id)
            vindex_fill(f->vindex, slot, vectors[at++].values);
        else
            vindex_clear(f->vindex, slot);
    }
}

void fields_publish(const struct collection *c, uint32_t slot)
{
    for (size_t i = 0; i < c->field_count; i++) {
        if (vindex_filled(c->fields[i].vindex, slot))
            vindex_publish(c->fields[i].vindex, slot);
    }
}

/* --- linking --- */

static uint32_t wanted(const struct collection_field *f)
{
    return vindex_graph_wanted(f->vindex) ? vindex_pending(f->vindex) : 0;
}

uint64_t fields_to_link(const struct collection *c)
{
    uint64_t rows = 0;

    for (size_t i = 0; i < c->field_count; i++)
        rows += vindex_to_link(c->fields[i].vindex);
    return rows;
}

bool fields_link_wanted(const struct collection *c)
{
    for (size_t i = 0; i < c->field_count; i++) {
        if (vindex_graph_wanted(c->fields[i].vindex))
            return true;
    }
    return false;
}

bool fields_behind(const struct collection *c)
{
    for (size_t i = 0; i < c->field_count; i++) {
        if (wanted(&c->fields[i]) > VINDEX_PENDING_MAX)
            return true;
    }
    return false;
}

/* Where a field cannot go on, for want of memory say, the others do. */
uint32_t fields_link(const struct collection *c, uint32_t max)
{
    uint32_t most = 0;
    uint32_t linked = 0;
    size_t first = 0;

    for (size_t i = 0; i < c->field_count; i++) {
        uint32_t rows = wanted(&c->fields[i]);

        if (rows > most) {
            most = rows;
            first = i;
        }
    }
    for (size_t i = 0; i < c->field_count && linked < max; i++)
        linked += vindex_link(c->fields[(first + i) % c->field_count].vindex, max - linked);
    return linked;
}

status fields_repair(const struct collection *c, const uint32_t *dead, uint32_t count,
                     const _Atomic bool *stop, struct err *err)
{
    status st = ST_OK;

    if (c->field_count == 0) /* as vindex_repair() does */
        epoch_synchronize(c->node->epoch);
    for (size_t i = 0; st == ST_OK && i < c->field_count; i++)
        st = vindex_repair(c->fields[i].vindex, dead, count, stop, err);
    return st;
}

/* --- what is told, and decided by --- */

void fields_counts(const struct collection *c, struct fields_counts *out)
{
    uint32_t live = slots_live_count(c->slots);

    *out = (struct fields_counts){0};
    for (size_t i = 0; i < c->field_count; i++) {
        const struct vindex *v = c->fields[i].vindex;
        uint32_t rows = vindex_rows(v);

        out->pending += vindex_pending(v);
        out->linked += vindex_linked(v);
        out->index_bytes += vindex_bytes(v);
        out->live_bytes +=
            (uint64_t)(rows < live ? rows : live) * c->fields[i].info.dimension * sizeof(float);
        out->links += vindex_linked(v) > 0 ? vindex_graph(v).m : 0u;
        out->behind = out->behind || wanted(&c->fields[i]) > live / 16;
    }
}

/* --- one row's vectors outside of requests --- */

status held_vectors_init(struct held_vectors *v, const struct collection *c, struct err *err)
{
    v->c = c;
    v->block = mem_alloc(c->vector_bytes);
    return v->block == NULL ? err_set(err, ST_NOMEM, "out of memory") : ST_OK;
}

void held_vectors_fini(struct held_vectors *v)
{
    mem_free(v->block);
    v->block = NULL;
}

status held_vectors_of_record(struct held_vectors *v, const struct record_row *row, struct err *err)
{
    float *at = v->block;

    for (size_t i = 0; i < v->c->field_count; at += v->c->fields[i++].info.dimension) {
        const struct collection_field *f = &v->c->fields[i];
        status st = record_row_vector(row, f->id, at, f->info.dimension, err);

        if (st != ST_OK && st != ST_NOT_FOUND)
            return st;
        v->by_position[i] = st == ST_OK ? at : NULL;
    }
    return ST_OK;
}

void held_vectors_of_slot(struct held_vectors *v, uint32_t slot)
{
    float *at = v->block;

    for (size_t i = 0; i < v->c->field_count; at += v->c->fields[i++].info.dimension) {
        const struct collection_field *f = &v->c->fields[i];

        v->by_position[i] = NULL;
        if (!vindex_filled(f->vindex, slot))
            continue;
        memcpy(at, vindex_vector(f->vindex, slot), f->info.dimension * sizeof *at);
        v->by_position[i] = at;
    }
}
