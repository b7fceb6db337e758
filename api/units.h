/* units.h - documents of a body that comes in pieces: lines of NDJSON, rows of .npy and .fvecs.
 *
 * The caller keeps the bytes that were not used yet and shows them, longer each time, until a unit
 * is whole: how the body was cut never changes what comes out. Each byte is looked at once.
 *
 * ndjson  a JSON object a line; blank lines are passed over and counted
 * npy     NumPy's format 1.0 to 3.0: two dimensions, '<f4', fortran_order False
 * fvecs   each row an int32 (how many) and as many float32, little endian
 *
 * Threads    one at a time.
 * Ownership  nothing is kept; a unit borrows from the bytes that were shown.
 * Limits     unit_bytes_max of a line, UNITS_DIM_MAX values of a row. */
#ifndef API_UNITS_H
#define API_UNITS_H

#include "base/bytes.h"

enum { UNITS_DIM_MAX = 65535, UNITS_HEADER_BYTES_MAX = 64 * 1024 };

enum units_format { UNITS_NDJSON, UNITS_NPY, UNITS_FVECS };

struct units {
    enum units_format format;
    size_t unit_bytes_max; /* of a line */
    uint32_t dim;          /* of rows: must be so; 0: as the first says */
    uint64_t count;        /* lines or rows so far, blank lines too */
    /* the cutter's own */
    size_t looked;  /* of the bytes shown: no line end in them */
    bool has_shape; /* npy: the header was read */
    uint64_t rows;  /* npy: as the header says */
};

void units_init(struct units *c, enum units_format format, uint32_t dim, size_t unit_bytes_max);

enum units_step {
    UNITS_UNIT, /* *unit: a line without its end, not blank; or the floats of a row as they came */
    UNITS_MORE, /* more bytes are needed */
    UNITS_END,  /* the body ended where it may */
    UNITS_BAD,  /* err says what is wrong with the unit behind `count` */
};
/* have: all bytes not used yet; *used: how many of them are done with now, whatever the step.
 * last: no more will come, and the body is whole. */
enum units_step units_next(struct units *c, struct slice have, bool last, size_t *used,
                           struct slice *unit, struct err *err);

#endif
