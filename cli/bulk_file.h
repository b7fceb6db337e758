/* bulk_file.h - files of vectors, read row by row: NDJSON, .npy and .fvecs.
 *
 * ndjson  a JSON object a line; blank lines are passed over and counted
 * npy     NumPy's format 1.0, 2.0 or 3.0: two dimensions, float32, little endian, rows one after
 * the other ('<f4', fortran_order False) fvecs   each row an int32 (how many) and as many float32,
 * little endian; all rows as long
 *
 * Threads    one reader belongs to one thread.
 * Ownership  the file is the caller's; what a row holds dies with the next one.
 * Memory     one row and a piece of the file, whatever the file's size.
 * Failure    ST_INVALID: the file is not what it should be, the text names the line or row (from 1
 *            for lines, from 0 for rows). ST_IO: it cannot be read. */
#ifndef CLI_BULK_FILE_H
#define CLI_BULK_FILE_H

#include "base/bytes.h"

#include <stdio.h>

enum {
    BULK_DIM_MAX = 65535,
    BULK_LINE_BYTES_MAX = 48 * 1024 * 1024,
};
enum bulk_format { BULK_NDJSON, BULK_NPY, BULK_FVECS };
const char *bulk_format_name(enum bulk_format f);
/* "ndjson", "npy", "fvecs". */
NODISCARD
bool bulk_format_parse(const char *name, enum bulk_format *out);
/* By what a path ends in; .jsonl and all that is unknown is NDJSON. */
enum bulk_format bulk_format_of(const char *path);

struct bulk_reader {
    FILE *file; /* borrowed */
    enum bulk_format format;
    uint32_t dim;    /* npy: from the start; fvecs: from the first row; ndjson: 0 */
    uint64_t rows;   /* npy: as the header says */
    uint64_t offset; /* of what the next row begins with */
    uint64_t row;    /* rows read, lines for NDJSON */
    struct buf piece;
    size_t at; /* in piece: read up to here */
};
/* file stands at its start. */
NODISCARD
status bulk_reader_open(struct bulk_reader *r, FILE *file, enum bulk_format format,
                        struct err *err);
void bulk_reader_close(struct bulk_reader *r);
/* Goes on where another reader of the same file stood. */
NODISCARD
status bulk_reader_seek(struct bulk_reader *r, uint64_t offset, uint64_t row, struct err *err);
/* *got false: the file ended where it may. NDJSON: *row is the line without its end, never empty.
 * Else dim floats as they lie in the file. */
NODISCARD
status bulk_reader_next(struct bulk_reader *r, struct slice *row, bool *got, struct err *err);

#endif
