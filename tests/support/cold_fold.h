/* cold_fold.h - rows in RAM into a cold segment by the real fold (snapshot/fold.h), as the head of
 * a collection that was just made.
 *
 * Threads    one; waits for the store.
 * Ownership  rows and fields are borrowed for the call; manifest_free() is the caller's. */
#ifndef TESTS_SUPPORT_COLD_FOLD_H
#define TESTS_SUPPORT_COLD_FOLD_H

#include "snapshot/fold.h"

struct cold_fold {
    struct objstore *store;
    struct catalog_field *field; /* one; in the manifest's schema too */
    const float *values;         /* rows * dim; the id of a row is its number, its lsn one more */
    uint32_t rows;
    const char *scratch_dir; /* made and removed */
    uint64_t seed;
    uint8_t collection[16];
    /* The fold's own. */
    struct root root;
};
NODISCARD
status cold_fold_run(struct cold_fold *f, struct manifest *out, struct fold_report *report,
                     struct err *err);

#endif
