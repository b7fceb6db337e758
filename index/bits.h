/* bits.h - codes of one bit a component around a centre, for walking: rabitq.h as rows and queries
 * of a graph.
 *
 * A row is   code (rabitq.h, one bit)   zeros to a multiple of BITS_ROW_ALIGN
 * and its key against a query an estimate of that of the full vectors: under l1 that of vectors
 * whose components differ as those of a Gaussian do, which orders rows as l2 does. Never NaN. Two
 * rows are not compared.
 *
 * Threads    any, once it is made. Ownership  bits_destroy() frees it. */
#ifndef INDEX_BITS_H
#define INDEX_BITS_H

#include "index/codes.h"

enum { BITS_ROW_ALIGN = 8 };
struct bits; /* the rotation and the centre */
/* centre: dim finite floats, copied. ST_NOMEM. */
NODISCARD
status bits_create(uint32_t dim, uint64_t seed, const float *centre, struct bits **out,
                   struct err *err);
void bits_destroy(struct bits *b); /* accepts NULL */

/* What codes.c calls for shapes of VQUANT_BINARY, whose `bits` is one of these. */
uint32_t bits_row_bytes(uint32_t dim);
size_t bits_query_bytes(uint32_t dim);
void bits_query_place(struct code_query *q, uint32_t dim, void *block);
void bits_encode(const struct code_shape *shape, const float *vector, uint8_t *row);
void bits_query_set(const struct code_shape *shape, const float *vector, struct code_query *q);
void bits_keys(const struct code_shape *shape, const struct kernels *k, const struct code_query *q,
               const uint8_t *const *rows, uint32_t count, float *out);

#endif
