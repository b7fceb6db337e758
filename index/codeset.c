/* The code rows of one quantization: their planes, and what they are charged with. */
#include "index/bits.h"
#include "index/vindex_internal.h"

enum { LEARN_ROWS = 4096 };

/* The mean of some of the rows that are present. No repair runs beside this. */
static void mean_of_rows(const struct vindex *v, double *sum, float *mean)
{
    uint32_t words = (atomic_load_explicit(&v->slot_end, memory_order_acquire) + 63) / 64;
    uint32_t each = words / (LEARN_ROWS / 64) + 1, count = 0;

    for (uint32_t at = 0; at < words; at += each) {
        uint64_t bits = atomic_load_explicit((_Atomic uint64_t *)plane_row(&v->present, at),
                                             memory_order_acquire);

        for (; bits != 0; bits &= bits - 1, count++) {
            const float *row = vindex_vector(v, at * 64 + (uint32_t)__builtin_ctzll(bits));

            for (uint32_t i = 0; i < v->options.dim; i++)
                sum[i] += (double)row[i];
        }
    }
    for (uint32_t i = 0; i < v->options.dim; i++)
        mean[i] = count == 0 ? 0 : (float)(sum[i] / count);
}

static status learn(const struct vindex *v, struct codeset *c, struct err *err)
{
    uint32_t dim = v->options.dim;
    double *sum = mem_zero_array(dim, sizeof(*sum));
    float *mean = mem_alloc_array(dim, sizeof(*mean));
    status st = ST_NOMEM;

    if (sum != NULL && mean != NULL) {
        mean_of_rows(v, sum, mean);
        st = bits_create(dim, v->options.seed, mean, &c->shape.bits, err);
    } else {
        (void)err_set(err, st, "no memory to learn the centre of codes");
    }
    mem_free(sum);
    mem_free(mean);
    return st;
}

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
    if (kind == VQUANT_BINARY) {
        status st = learn(v, c, err);

        if (st != ST_OK) {
            codeset_destroy(v, c);
            return st;
        }
    }
    *out = c;
    return ST_OK;
}

void codeset_destroy(const struct vindex *v, struct codeset *c)
{
    if (c == NULL || c == &v->plain)
        return;
    plane_fini(&c->own);
    plane_fini(&c->has);
    bits_destroy(c->shape.bits);
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

    return full_slot_bytes(v) + codeset_slot_bytes(codes_now(v)) +
           (next == NULL ? 0 : codeset_slot_bytes(next));
}
