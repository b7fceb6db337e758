/* vector_file.h - vectors of a scratch file, by number, read one at a time.
 *
 * A mapping would end the process where the disk fails under it; this has the failure as a value:
 * what cannot be read is zeros, and who is through with it asks vector_file_status().
 *
 * Threads    one.
 * Memory     VECTOR_FILE_HELD vectors. */
#ifndef SNAPSHOT_VECTOR_FILE_H
#define SNAPSHOT_VECTOR_FILE_H

#include "base/fs.h"
#include "index/cells.h"

enum { VECTOR_FILE_HELD = CELLS_SOURCE_HELD };
struct vector_file { /* zeroed: none */
    struct fs *fs;   /* borrowed, as the file */
    struct fs_file *file;
    uint32_t dim;
    float *ring; /* VECTOR_FILE_HELD of them */
    uint32_t next;
    status st; /* the first that failed */
    struct err err;
};
NODISCARD
status vector_file_open(struct vector_file *v, struct fs *fs, struct fs_file *file, uint32_t dim,
                        struct err *err);
void vector_file_close(struct vector_file *v); /* the file stays open */
/* Valid until VECTOR_FILE_HELD more were asked for. */
const float *vector_file_at(struct vector_file *v, uint64_t number);
NODISCARD
status vector_file_status(const struct vector_file *v, struct err *err);

#endif
