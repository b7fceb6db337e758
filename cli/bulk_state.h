/* bulk_state.h - how far an import or an export came, in a small file (docs/formats/bulk.md).
 *
 * Written whole after each acknowledged step (a new file, synced, renamed over the old one): a run
 * that is killed at any moment goes on behind the last of them. What stands between may be done
 * twice, and that is harmless: inserts replace, an export is cut to where the state says.
 *
 * Threads    the caller's.  Failure    ST_CORRUPT: the file is none of ours. ST_CONFLICT: it is of
 *            another job, or another collection; the text says which. */
#ifndef CLI_BULK_STATE_H
#define CLI_BULK_STATE_H

#include "base/bytes.h"
#include "base/crypto.h"

enum { BULK_CURSOR_BYTES = 1024, BULK_ID_BYTES = 64 };

struct bulk_state {
    const char *path; /* NULL: nothing is kept */
    char job[CRYPTO_SHA256_HEX_BYTES];
    char collection_id[BULK_ID_BYTES];
    uint64_t position;              /* bytes of the file that are done */
    uint64_t row;                   /* rows or lines of the file that are done */
    uint64_t rows;                  /* documents that are done */
    char cursor[BULK_CURSOR_BYTES]; /* where the other side goes on; "" at the start */
    bool done;
};
/* The hash of what makes a job the same: its words, joined. */
NODISCARD
status bulk_state_job(struct bulk_state *s, struct slice words, struct err *err);
/* Reads the file where there is one and compares job and collection, which are set. *found: it goes
 * on where s says. */
NODISCARD
status bulk_state_load(struct bulk_state *s, bool *found, struct err *err);
NODISCARD
status bulk_state_save(const struct bulk_state *s, struct err *err);

#endif
