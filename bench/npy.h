/* npy.h - reads a two-dimensional .npy file (f32, f16 or u8, C order) as floats, for benchmarks.
 *
 * Ownership  npy_free() frees the rows. Limits  version 1.0 and 2.0 headers. */
#ifndef BENCH_NPY_H
#define BENCH_NPY_H

#include "base/status.h"

#ifdef __cplusplus
extern "C" {
#endif

struct npy {
    float *values; /* rows * dim */
    uint32_t rows;
    uint32_t dim;
};
NODISCARD
status npy_read(const char *path, uint32_t rows_max, struct npy *out, struct err *err);
void npy_free(struct npy *n);
/* Row `row` of as many as are wanted: its own; beyond them a sum of two with noise by the row. */
void npy_row(const struct npy *n, uint32_t row, float *out);

#ifdef __cplusplus
}
#endif
#endif
