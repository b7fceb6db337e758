#include "index/kernels.h"

#include <math.h>

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

static float dot_f32(const float *a, const float *b, size_t dim)
{
    float sum = 0;

    for (size_t i = 0; i < dim; i++)
        sum += a[i] * b[i];
    return sum;
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

const struct kernels kernels_scalar = {
    .name = "scalar",
    .dot_rows = dot_rows,
    .dot_row = dot_row,
    .l1_row = l1_row,
    .dot_f32 = dot_f32,
    .l2_f32 = l2_f32,
    .l1_f32 = l1_f32,
};
