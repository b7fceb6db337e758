#include "index/bits.h"

#include <math.h>
#include <string.h>

static size_t rounded(size_t bytes, size_t to)
{
    return (bytes + to - 1) / to * to;
}

/* Rows that lie closer than whole lines take less memory, and touch no more lines where the last
 * line of a row has 16 or 32 bytes. Where it has 48 a row would often begin in one line more. */
struct code_shape code_shape(enum vmetric metric, uint32_t dim)
{
    return code_shape_of(VQUANT_SCALAR, metric, dim);
}

static uint32_t scalar_row_bytes(uint32_t dim)
{
    size_t bytes = rounded(dim + sizeof(struct code_tail), KERNEL_ROW_ALIGN);

    if (bytes % KERNEL_ALIGN == 48)
        bytes = rounded(bytes, KERNEL_ALIGN);
    return (uint32_t)bytes;
}

struct code_shape code_shape_of(enum vquantization kind, enum vmetric metric, uint32_t dim)
{
    struct code_shape shape = {.kind = kind, .metric = metric, .dim = dim};

    shape.row_bytes = kind == VQUANT_NONE     ? dim * (uint32_t)sizeof(float)
                      : kind == VQUANT_BINARY ? bits_row_bytes(dim)
                                              : scalar_row_bytes(dim);
    return shape;
}

/* One bit a component is asked for before this. */
static bool by_values(const struct code_shape *shape)
{
    return shape->kind == VQUANT_NONE || shape->metric == VMETRIC_L1;
}

size_t code_query_bytes(const struct code_shape *shape)
{
    size_t bytes;

    if (shape->kind == VQUANT_BINARY)
        return bits_query_bytes(shape->dim);
    bytes = by_values(shape) ? shape->dim * sizeof(float) : (size_t)shape->row_bytes;

    return rounded(bytes, KERNEL_ALIGN);
}

void code_query_place(struct code_query *q, const struct code_shape *shape, void *block)
{
    memset(q, 0, sizeof(*q));
    if (shape->kind == VQUANT_BINARY)
        bits_query_place(q, shape->dim, block);
    else if (by_values(shape))
        q->values = block;
    else
        q->codes = block;
}

static const struct code_tail *tail_of(const struct code_shape *shape, const uint8_t *row)
{
    return (const struct code_tail *)(const void *)(row + shape->row_bytes -
                                                    sizeof(struct code_tail));
}

static const float *full_row(const uint8_t *row)
{
    return (const float *)(const void *)row;
}

/* The scale that spans the vector's own range. In f64, because the range of two finite floats need
 * not be one. */
static void scale_of(const float *vector, uint32_t dim, float *mid, float *step)
{
    float low, high;
    double width;

    kernels_get()->range(vector, dim, &low, &high);
    width = ((double)high - (double)low) / 255.0;
    *step = (float)width;
    *mid = (float)((double)low + 128.0 * width);
}

/* Component -> code - 128. */
static inline int code_of(float x, float mid, float per_step)
{
    float scaled = (x - mid) * per_step;

    /* Written so that NaN ends at a bound, too. */
    if (!(scaled > -128.0f))
        return -128;
    if (!(scaled < 127.0f))
        return 127;
    return (int)(scaled + 128.5f) - 128;
}

static float per_step_of(float step)
{
    float per = 1.0f / step;

    return step > 0 && isfinite(per) ? per : 0.0f;
}

void code_encode(const struct code_shape *shape, const float *vector, uint8_t *row)
{
    struct code_tail tail = {0};

    if (shape->kind == VQUANT_BINARY) {
        bits_encode(shape, vector, row);
        return;
    }
    scale_of(vector, shape->dim, &tail.mid, &tail.step);
    kernels_get()->encode(vector, shape->dim, tail.mid, per_step_of(tail.step), row, &tail.sum,
                          &tail.sum2);
    memset(row + shape->dim, 0, shape->row_bytes - sizeof(tail) - shape->dim);
    memcpy(row + shape->row_bytes - sizeof(tail), &tail, sizeof(tail));
}

static void query_finish(const struct code_shape *shape, struct code_query *q)
{
    q->total = (float)shape->dim * q->mid + q->step * (float)q->sum;
    memset(q->codes + shape->dim, 0, code_query_bytes(shape) - shape->dim);
}

void code_query_set(const struct code_shape *shape, const float *vector, struct code_query *q)
{
    float per_step;

    if (shape->kind == VQUANT_BINARY) {
        bits_query_set(shape, vector, q);
        return;
    }
    if (by_values(shape)) {
        memcpy(q->values, vector, shape->dim * sizeof(float));
        q->vector = q->values;
        return;
    }
    scale_of(vector, shape->dim, &q->mid, &q->step);
    per_step = per_step_of(q->step);
    q->sum = 0;
    q->sum2 = 0;
    for (uint32_t i = 0; i < shape->dim; i++) {
        int code = code_of(vector[i], q->mid, per_step);

        q->codes[i] = (int8_t)code;
        q->sum += code;
        q->sum2 += (uint32_t)(code * code);
    }
    query_finish(shape, q);
}

void code_query_set_row(const struct code_shape *shape, const uint8_t *row, struct code_query *q)
{
    const struct code_tail *tail = tail_of(shape, row);

    if (shape->kind == VQUANT_NONE) {
        q->vector = full_row(row);
        return;
    }
    if (shape->metric == VMETRIC_L1) {
        for (uint32_t i = 0; i < shape->dim; i++)
            q->values[i] = tail->mid + tail->step * (float)((int)row[i] - 128);
        return;
    }
    for (uint32_t i = 0; i < shape->dim; i++)
        q->codes[i] = (int8_t)(row[i] ^ 0x80); /* code - 128 */
    q->mid = tail->mid;
    q->step = tail->step;
    q->sum = tail->sum;
    q->sum2 = tail->sum2;
    query_finish(shape, q);
}

static inline float never_nan(float key)
{
    return key == key ? key : INFINITY;
}

static inline float dot_key(const struct code_query *q, const struct code_tail *t, int32_t dot)
{
    float centred = (float)(dot - 128 * q->sum);

    return never_nan(-(t->mid * q->total + t->step * (q->mid * (float)t->sum + q->step * centred)));
}

/* With x = mx + sx a and y = my + sy b over integers a and b, and d = mx - my:
 * |x - y|^2 = dim d^2 + 2 d (sx sum a - sy sum b) + sx^2 sum a^2 + sy^2 sum b^2 - 2 sx sy sum ab.
 * Only the difference of the middles enters, so a common offset of all vectors costs nothing. */
static inline float l2_key(const struct code_query *q, const struct code_tail *t, int32_t dot,
                           float dim)
{
    float centred = (float)(dot - 128 * q->sum);
    float d = t->mid - q->mid;
    float apart = d * (dim * d + 2 * (t->step * (float)t->sum - q->step * (float)q->sum));
    float own = t->step * t->step * (float)t->sum2 + q->step * q->step * (float)q->sum2;

    return never_nan(apart + own - 2 * t->step * q->step * centred);
}

float code_key(const struct code_shape *shape, const struct kernels *k, const struct code_query *q,
               const uint8_t *row)
{
    const struct code_tail *t = tail_of(shape, row);
    float key;

    if (shape->kind == VQUANT_BINARY) {
        bits_keys(shape, k, q, &row, 1, &key);
        return key;
    }
    if (shape->kind == VQUANT_NONE)
        return full_key(shape, k, q->vector, full_row(row));
    if (shape->metric == VMETRIC_L1)
        return never_nan(k->l1_row(q->values, row, t->mid, t->step, shape->dim));
    if (shape->metric == VMETRIC_L2)
        return l2_key(q, t, k->dot_row(q->codes, row, shape->row_bytes), (float)shape->dim);
    return dot_key(q, t, k->dot_row(q->codes, row, shape->row_bytes));
}

void code_keys(const struct code_shape *shape, const struct kernels *k, const struct code_query *q,
               const uint8_t *const *rows, uint32_t count, float *out)
{
    int32_t dots[CODE_BATCH_MAX];

    if (shape->kind == VQUANT_BINARY) {
        bits_keys(shape, k, q, rows, count, out);
        return;
    }
    if (by_values(shape)) {
        for (uint32_t i = 0; i < count; i++)
            out[i] = code_key(shape, k, q, rows[i]);
        return;
    }
    k->dot_rows(q->codes, shape->row_bytes, rows, count, dots);
    if (shape->metric == VMETRIC_L2) {
        for (uint32_t i = 0; i < count; i++)
            out[i] = l2_key(q, tail_of(shape, rows[i]), dots[i], (float)shape->dim);
        return;
    }
    for (uint32_t i = 0; i < count; i++)
        out[i] = dot_key(q, tail_of(shape, rows[i]), dots[i]);
}

float full_key(const struct code_shape *shape, const struct kernels *k, const float *a,
               const float *b)
{
    switch (shape->metric) {
    case VMETRIC_COSINE:
    case VMETRIC_DOT:
        return never_nan(-k->dot_f32(a, b, shape->dim));
    case VMETRIC_L2:
        return never_nan(k->l2_f32(a, b, shape->dim));
    case VMETRIC_L1:
        break;
    }
    return never_nan(k->l1_f32(a, b, shape->dim));
}

float key_distance(enum vmetric metric, float key)
{
    if (metric == VMETRIC_COSINE)
        return 1.0f + key;
    return metric == VMETRIC_L2 ? sqrtf(key < 0 ? 0 : key) : key;
}
