/* npy.h - the header of a .npy: two dimensions of float32, rows one after the other.
 *
 * NumPy's format 1.0 to 3.0; '<f4' and fortran_order False are taken, all else is ST_INVALID with a
 * text that says what it is instead.
 *
 * Threads    any. */
#ifndef BASE_NPY_H
#define BASE_NPY_H

#include "base/bytes.h"

enum {
    NPY_DIM_MAX = 65535,
    NPY_PREFIX_BYTES = 8,
    NPY_HEADER_BYTES_MAX = 64 * 1024,
    NPY_WRITTEN_BYTES = 128, /* a header of ours, whatever it says */
};

/* have: the first bytes of the file. *bytes: how many of them are the header; 0: more are needed.
 */
NODISCARD
status npy_read_header(struct slice have, size_t *bytes, uint64_t *rows, uint32_t *dim,
                       struct err *err);
/* NPY_WRITTEN_BYTES, always as many. */
void npy_put_header(struct buf *out, uint64_t rows, uint32_t dim);

#endif
