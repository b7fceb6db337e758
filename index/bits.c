#include "index/bits.h"

#include "base/lock.h"
#include "base/mem.h"
#include "index/rabitq_internal.h"

#include <math.h>
#include <string.h>

enum { QUERY_STEPS = 127, PLANES = 8, STACK_DIM_MAX = 2048 };

struct bits {
    /* Set by bits_create(), never changed after it. */
    uint32_t dim;
    uint8_t *signs;
    float *centre;
    float *turned;        /* the centre, turned */
    struct {              /* guarded by lock: for vectors too long for a stack */
        struct lock lock; /* LOCK_RANK_BITS */
        float *scratch;   /* 2 dim */
    } shared;
};

static size_t packed_bytes(uint32_t dim)
{
    return ((size_t)dim + 7) / 8;
}

static struct rabitq_shape code_of_one_bit(uint32_t dim)
{
    return (struct rabitq_shape){.dim = dim, .bits = 1};
}

status bits_create(uint32_t dim, uint64_t seed, const float *centre, struct bits **out,
                   struct err *err)
{
    struct bits *b = mem_zero(sizeof(*b));
    float *floats = mem_alloc_array(4 * (size_t)dim, sizeof(*floats));
    uint8_t *signs = mem_alloc(rabitq_signs_bytes(dim));

    if (b == NULL || floats == NULL || signs == NULL) {
        mem_free(b);
        mem_free(floats);
        mem_free(signs);
        return err_set(err, ST_NOMEM, "no memory for the rotation of codes");
    }
    b->dim = dim;
    b->signs = signs;
    b->centre = floats;
    b->turned = floats + dim;
    b->shared.scratch = floats + 2 * (size_t)dim;
    lock_init(&b->shared.lock, LOCK_RANK_BITS, "bits");
    rabitq_signs_make(dim, seed, signs);
    memcpy(b->centre, centre, dim * sizeof(*centre));
    memcpy(b->turned, centre, dim * sizeof(*centre));
    rabitq_turn(dim, signs, b->turned, b->shared.scratch);
    *out = b;
    return ST_OK;
}

void bits_destroy(struct bits *b)
{
    if (b == NULL)
        return;
    lock_fini(&b->shared.lock);
    mem_free(b->signs);
    mem_free(b->centre);
    mem_free(b);
}

uint32_t bits_row_bytes(uint32_t dim)
{
    size_t bytes = rabitq_code_bytes(code_of_one_bit(dim));

    return (uint32_t)((bytes + BITS_ROW_ALIGN - 1) / BITS_ROW_ALIGN * BITS_ROW_ALIGN);
}

/* Planes of the query, the vector turned, and what turning needs. */
size_t bits_query_bytes(uint32_t dim)
{
    size_t bytes = PLANES * kernel_plane_bytes(packed_bytes(dim)) + 2 * (size_t)dim * sizeof(float);

    return (bytes + KERNEL_ALIGN - 1) / KERNEL_ALIGN * KERNEL_ALIGN;
}

void bits_query_place(struct code_query *q, uint32_t dim, void *block)
{
    q->codes = block;
    q->values = (float *)(void *)((char *)block + PLANES * kernel_plane_bytes(packed_bytes(dim)));
}

static bool by_dot(const struct code_shape *shape)
{
    return shape->metric == VMETRIC_COSINE || shape->metric == VMETRIC_DOT;
}

static void encode_with(const struct code_shape *shape, const float *vector, float *scratch,
                        uint8_t *row)
{
    const struct bits *b = shape->bits;
    const size_t bytes = rabitq_code_bytes(code_of_one_bit(shape->dim));

    for (uint32_t i = 0; i < b->dim; i++)
        scratch[i] = vector[i] - b->centre[i];
    rabitq_turn(b->dim, b->signs, scratch, scratch + b->dim);
    rabitq_encode(code_of_one_bit(b->dim), scratch, by_dot(shape) ? NULL : b->turned, row);
    memset(row + bytes, 0, shape->row_bytes - bytes);
}

void bits_encode(const struct code_shape *shape, const float *vector, uint8_t *row)
{
    struct bits *b = shape->bits;
    float scratch[2 * STACK_DIM_MAX];

    if (b->dim <= STACK_DIM_MAX) {
        encode_with(shape, vector, scratch, row);
        return;
    }
    lock_take(&b->shared.lock);
    encode_with(shape, vector, b->shared.scratch, row);
    lock_drop(&b->shared.lock);
}

static void query_round(const struct code_shape *shape, const float *turned, struct code_query *q)
{
    const size_t plane = kernel_plane_bytes(packed_bytes(shape->dim));
    float most = 0, per;

    for (uint32_t i = 0; i < shape->dim; i++)
        most = fabsf(turned[i]) > most ? fabsf(turned[i]) : most;
    q->step = most / QUERY_STEPS;
    per = 1.0f / q->step;
    per = q->step > 0 && isfinite(per) ? per : 0;
    q->sum = 0;
    memset(q->codes, 0, PLANES * plane);
    for (uint32_t i = 0; i < shape->dim; i++) {
        float scaled = turned[i] * per;
        int n = !(scaled > -QUERY_STEPS)  ? -QUERY_STEPS
                : !(scaled < QUERY_STEPS) ? QUERY_STEPS
                                          : (int)lrintf(scaled);

        q->codes[i % PLANES * plane + i / PLANES] = (int8_t)n;
        q->sum += n;
    }
}

void bits_query_set(const struct code_shape *shape, const float *vector, struct code_query *q)
{
    const struct bits *b = shape->bits;
    double offset = 0;

    for (uint32_t i = 0; i < shape->dim; i++) {
        double c = (double)b->centre[i], x = (double)vector[i];

        offset += by_dot(shape) ? -c * x : (c - x) * (c - x);
    }
    q->total = (float)offset;
    memcpy(q->values, vector, shape->dim * sizeof(*vector));
    rabitq_turn(shape->dim, b->signs, q->values, q->values + shape->dim);
    query_round(shape, q->values, q);
}

/* Of the sum of the query's numbers where the code has a one. */
static float key_of(const struct code_shape *shape, const struct code_query *q,
                    const uint8_t *factors, int32_t ones)
{
    float dot = q->step * (float)(2 * (int64_t)ones - q->sum);
    float est = le_f32(factors + 4) + le_f32(factors) * dot, square;

    if (by_dot(shape)) {
        est = q->total + est / 2;
        return est == est ? est : INFINITY;
    }
    square = q->total + est;
    if (!(square == square))
        return INFINITY;
    if (shape->metric == VMETRIC_L2)
        return square;
    return square > 0 ? 0.7978846f * sqrtf((float)shape->dim * square) : 0; /* sqrt(2 / pi) */
}

void bits_keys(const struct code_shape *shape, const struct kernels *k, const struct code_query *q,
               const uint8_t *const *rows, uint32_t count, float *out)
{
    const size_t packed = packed_bytes(shape->dim);
    int32_t ones[CODE_BATCH_MAX];

    k->bit_rows(q->codes, packed, rows, count, ones);
    for (uint32_t i = 0; i < count; i++)
        out[i] = key_of(shape, q, rows[i] + packed, ones[i]);
}
