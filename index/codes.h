/* codes.h - codes of vectors, and distances between them.
 *
 * What a code row is depends on the quantization:
 *
 * VQUANT_NONE    the vector itself, dim f32; keys are exact
 * VQUANT_SCALAR  8 bits a component, as follows
 * VQUANT_BINARY  one bit a component, bits.h
 *
 * Each vector has its own affine scale (locally adaptive, as in LVQ, Aguerrebere et al. 2023):
 * component i is about mid + step * (code[i] - 128). A row is one run of bytes:
 *
 *   code[dim] | zeros | struct code_tail (the last 16 bytes)
 *
 * A query is of the same form, with signed codes that are zero where a row has its tail, so that an
 * integer dot product may run over the whole row. All sums of codes are exact integers around the
 * middle of the scale; float rounding enters once, when they are put together.
 *
 * A key orders rows as the metric does and is cheaper: -dot (cosine, dot), the square (l2), the sum
 * (l1). It is never NaN.
 *
 * Threads    any; a code_query belongs to its user. */
#ifndef INDEX_CODES_H
#define INDEX_CODES_H

#include "index/kernels.h"
#include "index/vindex.h"

struct code_tail {
    float mid;
    float step;
    int32_t sum;   /* of code - 128 */
    uint32_t sum2; /* of (code - 128) squared */
};
static_assert(sizeof(struct code_tail) == 16, "the tail of a code row");
static_assert((uint64_t)VINDEX_DIM_MAX * 128 * 128 <= INT32_MAX, "sums of centred codes fit");

struct bits;
struct code_shape {
    enum vquantization kind;
    enum vmetric metric;
    uint32_t dim;
    uint32_t row_bytes; /* of 8-bit codes a multiple of KERNEL_ROW_ALIGN */
    struct bits *bits;  /* one-bit codes alone; borrowed */
};
struct code_shape code_shape(enum vmetric metric, uint32_t dim); /* of VQUANT_SCALAR */
struct code_shape code_shape_of(enum vquantization kind, enum vmetric metric, uint32_t dim);

/* The sides that do not change while many rows are compared with one vector. */
struct code_query {
    float mid;
    float step;
    int32_t sum;
    uint32_t sum2;
    float total;         /* the sum of all components */
    int8_t *codes;       /* code_query_bytes(), KERNEL_ALIGN aligned; not used by l1 */
    float *values;       /* dim; used by l1 and full vectors alone */
    const float *vector; /* full vectors alone: values, or the row itself */
};
/* Bytes a code_query's arrays take for a shape, and how to lay them out in such a block. */
size_t code_query_bytes(const struct code_shape *shape);
void code_query_place(struct code_query *q, const struct code_shape *shape, void *block);

/* Writes the code row of a vector. Of full vectors there is none to write. */
void code_encode(const struct code_shape *shape, const float *vector, uint8_t *row);
void code_query_set(const struct code_shape *shape, const float *vector, struct code_query *q);
/* The query that is a stored row itself, not of one bit a component: keys are then those between
 * two rows. The row stays where it is as long as the query is used. */
void code_query_set_row(const struct code_shape *shape, const uint8_t *row, struct code_query *q);

float code_key(const struct code_shape *shape, const struct kernels *k, const struct code_query *q,
               const uint8_t *row);
enum { CODE_BATCH_MAX = 64 };
/* count <= CODE_BATCH_MAX */
void code_keys(const struct code_shape *shape, const struct kernels *k, const struct code_query *q,
               const uint8_t *const *rows, uint32_t count, float *out);

/* The key of two full vectors, and the distance that a key stands for. */
float full_key(const struct code_shape *shape, const struct kernels *k, const float *a,
               const float *b);
float key_distance(enum vmetric metric, float key);

#endif
