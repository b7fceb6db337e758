#include "index/rabitq_internal.h"

#include "base/bytes.h"
#include "base/mem.h"
#include "base/rand.h"

#include <float.h>
#include <math.h>
#include <string.h>

enum { ROUNDS = 4, FACTOR_BYTES = 8, ESTIMATES = 64, FINE_STEPS = 127 * 256 };

static void le_put_f32(void *at, float v)
{
    uint32_t bits;

    memcpy(&bits, &v, sizeof(bits));
    le_put_u32(at, bits);
}

static size_t packed_bytes(struct rabitq_shape shape)
{
    return ((size_t)shape.dim * shape.bits + 7) / 8;
}

size_t rabitq_code_bytes(struct rabitq_shape shape)
{
    return packed_bytes(shape) + FACTOR_BYTES;
}

/* --- the rotation --- */
size_t rabitq_signs_bytes(uint32_t dim)
{
    return ((size_t)dim * ROUNDS + 7) / 8;
}

void rabitq_signs_make(uint32_t dim, uint64_t seed, uint8_t *signs)
{
    const size_t bytes = rabitq_signs_bytes(dim);
    struct rand_seeded r;

    rand_seeded_init(&r, seed);
    r.source.fill(&r.source, signs, bytes);
    if (dim * (uint64_t)ROUNDS % 8 != 0) /* what no component uses is zero */
        signs[bytes - 1] &= (uint8_t)((1u << (dim * (uint64_t)ROUNDS % 8)) - 1);
}

static void hadamard(float *v, uint32_t count)
{
    const float scale = 1.0f / sqrtf((float)count);

    for (uint32_t step = 1; step < count; step *= 2)
        for (uint32_t at = 0; at < count; at += 2 * step)
            for (uint32_t i = at; i < at + step; i++) {
                float a = v[i], b = v[i + step];

                v[i] = a + b;
                v[i + step] = a - b;
            }
    for (uint32_t i = 0; i < count; i++)
        v[i] *= scale;
}

void rabitq_turn(uint32_t dim, const uint8_t *signs, float *v, float *scratch)
{
    const float root = sqrtf(0.5f);
    const uint32_t half = dim / 2;
    uint32_t block = 1;

    while (block <= dim / 2)
        block *= 2;
    for (uint32_t round = 0; round < ROUNDS; round++) {
        for (uint32_t i = 0; i < dim; i++) {
            uint64_t bit = (uint64_t)round * dim + i;

            v[i] = signs[bit / 8] >> bit % 8 & 1 ? -v[i] : v[i];
        }
        hadamard(round % 2 == 0 ? v : v + (dim - block), block);
        if (block == dim)
            continue;
        memcpy(scratch, v, half * sizeof(*v));
        for (uint32_t i = 0; i < half; i++) {
            float high = v[dim - half + i];

            v[i] = (scratch[i] + high) * root;
            v[dim - half + i] = (scratch[i] - high) * root;
        }
    }
}

/* --- codes --- */
static float factor(double x)
{
    if (!(x > -(double)FLT_MAX))
        return x < 0 ? -FLT_MAX : 0.0f; /* NaN: 0 / 0 */
    return x < (double)FLT_MAX ? (float)x : FLT_MAX;
}

static float middle(uint8_t bits) /* of the numbers: x = n - middle */
{
    return (float)(1u << bits) / 2.0f - 0.5f;
}

/* The best uniform step for a Gaussian of deviation 1. */
static float usual_step(uint8_t bits)
{
    return bits == 2 ? 0.996f : bits == 4 ? 0.335f : 0.031f;
}

static inline float grid_point(float u, float per_step, float low, float top)
{
    float x = floorf(u * per_step) + 0.5f;

    x = x > low ? x : low;
    return x < top ? x : top;
}

/* cos(x, u) times |u|, and <x, u>. */
static float grid_fit(const float *u, uint32_t dim, float per_step, float top, double *dot)
{
    float xu = 0, xx = 0;

    for (uint32_t i = 0; i < dim; i++) {
        float x = grid_point(u[i], per_step, -top, top);

        xu += x * u[i];
        xx += x * x;
    }
    *dot = (double)xu;
    return xu / sqrtf(xx);
}

/* The scale whose grid points lie best; 0 where there is nothing to scale. */
static float best_per_step(const float *u, struct rabitq_shape shape, double norm2, double *dot)
{
    static const float times[] = {0.85f, 1.0f, 1.17f, 1.37f};
    const float top = middle(shape.bits);
    float best = -1, chosen = 0;

    *dot = 0;
    for (size_t t = 0; t < COUNT_OF(times); t++) {
        double step = sqrt(norm2 / shape.dim) * (double)usual_step(shape.bits) * (double)times[t];
        float per_step = factor(1 / step), fit;
        double here;

        if (!(step > 0))
            continue;
        fit = grid_fit(u, shape.dim, per_step, top, &here);
        if (fit > best) {
            best = fit;
            chosen = per_step;
            *dot = here;
        }
    }
    return chosen;
}

static void pack(uint8_t *code, uint32_t i, uint8_t bits, unsigned number)
{
    size_t bit = (size_t)i * bits;

    code[bit / 8] = (uint8_t)(code[bit / 8] | number << bit % 8);
}

static unsigned unpack(const uint8_t *code, uint32_t i, uint8_t bits)
{
    size_t bit = (size_t)i * bits;

    return (unsigned)code[bit / 8] >> bit % 8 & ((1u << bits) - 1);
}

static float code_value(const uint8_t *code, uint32_t i, uint8_t bits)
{
    float n = (float)unpack(code, i, bits);

    return bits == 1 ? 2 * n - 1 : n - middle(bits);
}

static void pack_all(struct rabitq_shape shape, const float *u, float per_step, uint8_t *code)
{
    const float top = middle(shape.bits);

    memset(code, 0, packed_bytes(shape));
    for (uint32_t i = 0; i < shape.dim; i++) {
        if (shape.bits == 1)
            pack(code, i, 1, u[i] >= 0);
        else
            pack(code, i, shape.bits, (unsigned)(grid_point(u[i], per_step, -top, top) + top));
    }
}

void rabitq_encode(struct rabitq_shape shape, const float *turned, const float *turned_centroid,
                   uint8_t *code)
{
    double norm2 = 0, dot = 0, base = 0, a;
    float per_step = 0;

    for (uint32_t i = 0; i < shape.dim; i++)
        norm2 += (double)turned[i] * (double)turned[i];
    if (shape.bits > 1)
        per_step = best_per_step(turned, shape, norm2, &dot);
    else
        for (uint32_t i = 0; i < shape.dim; i++)
            dot += (double)fabsf(turned[i]);
    pack_all(shape, turned, per_step, code);
    a = dot > 0 ? -2 * norm2 / dot : 0;
    if (turned_centroid != NULL)
        for (uint32_t i = 0; i < shape.dim; i++)
            base += (double)code_value(code, i, shape.bits) * (double)turned_centroid[i];
    le_put_f32(code + packed_bytes(shape), factor(a));
    le_put_f32(code + packed_bytes(shape) + 4,
               turned_centroid != NULL ? factor(norm2 - a * base) : 0.0f);
}

void rabitq_decode(struct rabitq_shape shape, const uint8_t *code, float *turned)
{
    const float scale = le_f32(code + packed_bytes(shape)) / -2;

    for (uint32_t i = 0; i < shape.dim; i++)
        turned[i] = scale * code_value(code, i, shape.bits);
}

/* --- queries --- */
static size_t planes_bytes(uint32_t dim, unsigned bits)
{
    return kernel_plane_bytes(packed_bytes((struct rabitq_shape){dim, (uint8_t)bits})) * (8 / bits);
}

static void query_round(struct rabitq_query *q, const float *turned)
{
    float most = 0;

    for (uint32_t i = 0; i < q->dim; i++)
        most = fabsf(turned[i]) > most ? fabsf(turned[i]) : most;
    q->step = most / FINE_STEPS;
    for (uint32_t i = 0; i < q->dim && q->step > 0; i++) {
        float scaled = turned[i] / q->step;
        int fine = !(scaled > -FINE_STEPS)  ? -FINE_STEPS
                   : !(scaled < FINE_STEPS) ? FINE_STEPS
                                            : (int)lrintf(scaled);
        int high = (fine + 128 + 65536) / 256 - 256;

        q->sum_fine += fine;
        q->sum_high += high;
        for (unsigned w = 0; w < WIDTHS; w++) {
            unsigned planes = 8u >> w;
            size_t plane = planes_bytes(q->dim, 1u << w) / planes;

            q->planes[w][i % planes * plane + i / planes] = (int8_t)high;
        }
        q->planes[WIDTHS][i] = (int8_t)(fine - 256 * high);
    }
}

status rabitq_query_create(uint32_t dim, const uint8_t *signs, const float *query,
                           struct rabitq_query **out, struct err *err)
{
    size_t head = kernel_plane_bytes(sizeof(struct rabitq_query)), bytes = head, at = head;
    float *turned = mem_alloc_array(2 * (size_t)dim, sizeof(*turned));
    struct rabitq_query *q = NULL;

    for (unsigned w = 0; w <= WIDTHS; w++)
        bytes += planes_bytes(dim, w < WIDTHS ? 1u << w : 8);
    bytes += dim * sizeof(float);
    q = mem_aligned(KERNEL_ALIGN, bytes);
    if (q == NULL || turned == NULL) {
        mem_free(q);
        mem_free(turned);
        return err_set(err, ST_NOMEM, "out of memory for a query's codes bytes=%zu", bytes);
    }
    memset(q, 0, bytes);
    q->dim = dim;
    for (unsigned w = 0; w <= WIDTHS; w++) {
        q->planes[w] = (int8_t *)q + at;
        at += planes_bytes(dim, w < WIDTHS ? 1u << w : 8);
    }
    memcpy(turned, query, dim * sizeof(*turned));
    rabitq_turn(dim, signs, turned, turned + dim);
    q->turned = (float *)(void *)((char *)q + at);
    memcpy(q->turned, turned, dim * sizeof(*turned));
    query_round(q, turned);
    mem_free(turned);
    *out = q;
    return ST_OK;
}

void rabitq_query_destroy(struct rabitq_query *q)
{
    mem_free(q);
}

/* <x, T q> / step of the numbers' sums: x = 2 n - 1 for one bit, n - middle for more. */
static double grid_dot(const struct rabitq_query *q, uint8_t bits, int32_t high, int32_t low)
{
    if (bits == 1)
        return 256 * (2.0 * high - q->sum_high);
    if (bits < 8)
        return 256 * (high - (double)middle(bits) * q->sum_high);
    return 256.0 * high + low - (double)middle(bits) * q->sum_fine;
}

static float estimate_of(const struct rabitq_query *q, struct rabitq_shape shape,
                         const uint8_t *factors, int32_t high, int32_t low)
{
    float dot = (float)(grid_dot(q, shape.bits, high, low) * (double)q->step);
    float est = le_f32(factors + 4) + le_f32(factors) * dot;

    return fabsf(est) <= FLT_MAX ? est : INFINITY;
}

void rabitq_estimate(const struct rabitq_query *q, struct rabitq_shape shape, const uint8_t *codes,
                     size_t stride, size_t count, float *out)
{
    const struct kernels *k = kernels_get();
    const size_t bytes = packed_bytes(shape);
    const unsigned width = shape.bits == 1 ? 0 : shape.bits == 2 ? 1 : shape.bits == 4 ? 2 : 3;
    int32_t high[ESTIMATES], low[ESTIMATES] = {0};

    for (size_t at = 0; at < count; at += ESTIMATES) {
        size_t here = count - at < ESTIMATES ? count - at : ESTIMATES;
        const uint8_t *some = codes + at * stride;

        k->code_dots(q->planes[width], bytes, shape.bits, some, stride, here, high);
        if (shape.bits == 8)
            k->code_dots(q->planes[WIDTHS], bytes, 8, some, stride, here, low);
        for (size_t i = 0; i < here; i++)
            out[at + i] = estimate_of(q, shape, some + i * stride + bytes, high[i], low[i]);
    }
}
