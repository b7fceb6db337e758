/* The code rows of one quantization: their planes, and what they are charged with. */
#include "index/vindex_internal.h"

status codeset_create(const struct vindex *v, enum vquantization kind, struct codeset **out,
                      struct err *err)
{
    struct codeset *c = mem_zero(sizeof(*c));

    if (c == NULL)
        return err_set(err, ST_NOMEM, "no memory for codes");
    c->shape = code_shape_of(kind, v->options.metric, v->options.dim);
    plane_init(&c->own, c->shape.row_bytes);
    plane_init(&c->has, sizeof(uint64_t));
    c->rows = &c->own;
    *out = c;
    return ST_OK;
}

void codeset_destroy(const struct vindex *v, struct codeset *c)
{
    if (c == NULL || c == &v->plain)
        return;
    plane_fini(&c->own);
    plane_fini(&c->has);
    mem_free(c);
}

status codeset_room(struct codeset *c, uint32_t slot_end, struct err *err)
{
    status st;

    if (c->shape.kind == VQUANT_NONE)
        return ST_OK;
    st = plane_grow(&c->own, slot_end, err);
    return st == ST_OK ? plane_grow(&c->has, (slot_end + 63) / 64, err) : st;
}

void codeset_write(struct codeset *c, uint32_t slot, const float *vector)
{
    if (c->shape.kind == VQUANT_NONE)
        return;
    code_encode(&c->shape, vector, plane_row(&c->own, slot));
    (void)plane_bit_set(&c->has, slot);
}

uint64_t row_bytes_locked(const struct vindex *v)
{
    const struct codeset *next = codes_to_come(v);

    return v->full.row_bytes + codeset_slot_bytes(codes_now(v)) +
           (next == NULL ? 0 : codeset_slot_bytes(next));
}
