#include "index/kernels.h"

#include "base/bytes.h"

#include <float.h>
#include <math.h>
#include <string.h>

static int32_t dot_row(const int8_t *query, const uint8_t *row, size_t bytes)
{
    int32_t sum = 0;

    for (size_t i = 0; i < bytes; i++)
        sum += (int32_t)query[i] * (int32_t)row[i];
    return sum;
}

static void dot_rows(const int8_t *query, size_t bytes, const uint8_t *const *rows, size_t count,
                     int32_t *out)
{
    for (size_t r = 0; r < count; r++)
        out[r] = dot_row(query, rows[r], bytes);
}

static float l1_row(const float *query, const uint8_t *row, float mid, float step, size_t dim)
{
    float sum = 0;

    for (size_t i = 0; i < dim; i++)
        sum += fabsf(mid + step * (float)((int)row[i] - 128) - query[i]);
    return sum;
}

static int32_t code_dot(const int8_t *planes, size_t bytes, unsigned bits, const uint8_t *code)
{
    const size_t plane = kernel_plane_bytes(bytes);
    const unsigned mask = (1u << bits) - 1;
    int32_t sum = 0;

    for (unsigned p = 0; p < 8 / bits; p++)
        for (size_t i = 0; i < bytes; i++)
            sum += (int32_t)planes[p * plane + i] * (int32_t)(code[i] >> (p * bits) & mask);
    return sum;
}

static void code_dots(const int8_t *planes, size_t bytes, unsigned bits, const uint8_t *codes,
                      size_t stride, size_t count, int32_t *out)
{
    for (size_t r = 0; r < count; r++)
        out[r] = code_dot(planes, bytes, bits, codes + r * stride);
}

static void bit_rows(const int8_t *planes, size_t bytes, const uint8_t *const *codes, size_t count,
                     int32_t *out)
{
    for (size_t r = 0; r < count; r++)
        out[r] = code_dot(planes, bytes, 1, codes[r]);
}

static void group_sums(const uint8_t *tables, size_t bytes, const uint8_t *group, size_t rows,
                       uint32_t *out)
{
    for (size_t r = 0; r < rows; r++)
        out[r] = 0;
    for (size_t i = 0; i < bytes; i++)
        for (size_t r = 0; r < rows; r++) {
            uint8_t v = group[i * rows + r];

            out[r] += (uint32_t)tables[32 * i + (v & 15)] + tables[32 * i + 16 + (v >> 4)];
        }
}

static float le_f32(const uint8_t *at)
{
    uint32_t bits = le_u32(at);
    float v;

    memcpy(&v, &bits, sizeof(v));
    return v;
}

static float group_estimates(const uint8_t *tables, size_t bytes, const uint8_t *group, size_t rows,
                             float base, float scale, float *out)
{
    const uint8_t *factors = group + bytes * rows;
    uint32_t sums[KERNEL_GROUP];
    float least = INFINITY;

    group_sums(tables, bytes, group, rows, sums);
    for (size_t r = 0; r < rows; r++) {
        float a = le_f32(factors + 4 * r), b = le_f32(factors + 4 * (rows + r));
        float est = b + a * (base + scale * (float)sums[r]);
        out[r] = fabsf(est) <= FLT_MAX ? est : INFINITY;
        least = out[r] < least ? out[r] : least;
    }
    return least;
}

static float dot_f32(const float *a, const float *b, size_t dim)
{
    float sum = 0;

    for (size_t i = 0; i < dim; i++)
        sum += a[i] * b[i];
    return sum;
}

static void dot_tile(const float *const rows[KERNEL_TILE], const float *points, size_t dim,
                     size_t count, float *out)
{
    for (size_t r = 0; r < KERNEL_TILE; r++)
        for (size_t p = 0; p < count; p++)
            out[r * count + p] = dot_f32(rows[r], points + p * dim, dim);
}

static float l2_f32(const float *a, const float *b, size_t dim)
{
    float sum = 0;

    for (size_t i = 0; i < dim; i++)
        sum += (a[i] - b[i]) * (a[i] - b[i]);
    return sum;
}

static float l1_f32(const float *a, const float *b, size_t dim)
{
    float sum = 0;

    for (size_t i = 0; i < dim; i++)
        sum += fabsf(a[i] - b[i]);
    return sum;
}

static void range(const float *v, size_t dim, float *low, float *high)
{
    *low = v[0];
    *high = v[0];
    for (size_t i = 1; i < dim; i++) {
        *low = v[i] < *low ? v[i] : *low;
        *high = v[i] > *high ? v[i] : *high;
    }
}

/* Written so that NaN ends at a bound, too. */
static void encode(const float *v, size_t dim, float mid, float per_step, uint8_t *out,
                   int32_t *sum, uint32_t *sum2)
{
    *sum = 0;
    *sum2 = 0;
    for (size_t i = 0; i < dim; i++) {
        float scaled = (v[i] - mid) * per_step;
        int code;

        scaled = scaled > -128.0f ? scaled : -128.0f;
        scaled = scaled < 127.0f ? scaled : 127.0f;
        code = (int)(scaled + 128.5f) - 128;
        out[i] = (uint8_t)(code + 128);
        *sum += code;
        *sum2 += (uint32_t)(code * code);
    }
}

const struct kernels kernels_scalar = {
    .name = "scalar",
    .dot_rows = dot_rows,
    .dot_row = dot_row,
    .l1_row = l1_row,
    .code_dots = code_dots,
    .bit_rows = bit_rows,
    .group_sums = group_sums,
    .group_estimates = group_estimates,
    .dot_tile = dot_tile,
    .range = range,
    .encode = encode,
    .dot_f32 = dot_f32,
    .l2_f32 = l2_f32,
    .l1_f32 = l1_f32,
};
