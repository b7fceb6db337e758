/* rabitq.h - codes of b bits a component around a centroid, turned by a cheap orthogonal map.
 *
 * The code of v around c: u = T(v - c), x on the grid k + 1/2 (b = 1: the sign of u), then two
 * factors A = -2 |u|^2 / <x, u> and B = |u|^2 - A <x, T c>, so that for a query q
 *     |v - q|^2  is about  |c - q|^2 + B + A <x, T q>
 * (Gao and Long 2024; Gao et al. 2025 for b > 1). T is four rounds of signs and Walsh-Hadamard
 * transforms, docs/formats/cold-segment.md. Floats may round differently from machine to machine.
 *
 * Layout     dim numbers k + 2^(b-1) of b bits, low bits first, padded to a byte; f32 A; f32 B.
 * Threads    pure functions; a rabitq_query belongs to its user.
 * Limits     1 <= dim <= KERNEL_DIM_MAX; bits 1, 2, 4 or 8. Vectors are finite. */
#ifndef INDEX_RABITQ_H
#define INDEX_RABITQ_H

#include "index/kernels.h"

struct rabitq_shape {
    uint32_t dim;
    uint8_t bits;
};
size_t rabitq_code_bytes(struct rabitq_shape shape);
/* The rotation: 4 x dim sign bits, so many bytes, drawn from a seed. */
size_t rabitq_signs_bytes(uint32_t dim);
void rabitq_signs_make(uint32_t dim, uint64_t seed, uint8_t *signs);
/* v = T v; scratch: dim floats. */
void rabitq_turn(uint32_t dim, const uint8_t *signs, float *v, float *scratch);
/* turned: T(v - c); turned_centroid: T c, or NULL: B is 0, and the estimate is of -2 <v - c, q>,
 * as inner products want it. The distance of v from c may be 0. Factors are always finite. */
void rabitq_encode(struct rabitq_shape shape, const float *turned, const float *turned_centroid,
                   uint8_t *code);
/* T(v - c), as a reader decodes it: what rows are coded around must be what a reader has. */
void rabitq_decode(struct rabitq_shape shape, const uint8_t *code, float *turned);

/* T q, once a query, quantized to 8 bits as well where that serves the kernels. */
struct rabitq_query;
NODISCARD
status rabitq_query_create(uint32_t dim, const uint8_t *signs, const float *query,
                           struct rabitq_query **out, struct err *err);
void rabitq_query_destroy(struct rabitq_query *q); /* accepts NULL */
/* out[i] = B + A <x, T q> of codes that lie `stride` bytes apart: add |c - q|^2. What is not finite
 * (factors of damage a checksum did not find, too) is +infinity. The query is rounded to 8 bits for
 * short codes and to 16 for those of 8 bits. */
void rabitq_estimate(const struct rabitq_query *q, struct rabitq_shape shape, const uint8_t *codes,
                     size_t stride, size_t count, float *out);

/* --- codes in groups, for scanning many ---
 * KERNEL_GROUP rows (the last group may have fewer) lie transposed: byte i of each code, then the
 * next; then A of each, then B. As many bytes as before. */
/* scratch: of a group's bytes, at most KERNEL_GROUP codes. */
void rabitq_group(struct rabitq_shape shape, uint8_t *codes, size_t count, uint8_t *scratch);
struct rabitq_tables; /* of one query */
NODISCARD
status rabitq_tables_create(const struct rabitq_query *q, struct rabitq_shape shape,
                            struct rabitq_tables **out, struct err *err);
void rabitq_tables_destroy(struct rabitq_tables *t); /* accepts NULL */
/* Estimates of rows of the group that begins `codes`, as rabitq_estimate() has them but for the
 * tables' rounding to 7 bits. rows <= KERNEL_GROUP. Returns the least. */
float rabitq_estimate_group(const struct rabitq_tables *t, const uint8_t *codes, size_t rows,
                            float *out);

#endif
