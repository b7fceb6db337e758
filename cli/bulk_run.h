/* bulk_run.h - what a run of import or export shares: the collection, progress, the last line; and
 * for import the batches that go out.
 *
 * Threads    the caller's.  Memory    a batch: its text up to bytes_max and one document more. */
#ifndef CLI_BULK_RUN_H
#define CLI_BULK_RUN_H

#include "cli/bulk_rows.h"
#include "cli/bulk_state.h"
#include "cli/remote.h"

enum {
    BULK_BATCH_ROWS = 1000,
    BULK_BATCH_ROWS_MAX = 10000,
    BULK_BATCH_BYTES = 4 * 1024 * 1024,
    BULK_BODY_BYTES_MAX = 128 * 1024 * 1024,
    BULK_LABEL_BYTES = 64,
    BULK_PATIENCE_S = 300,
};

struct bulk_run {
    struct remote remote; /* of the node */
    const char *what;     /* "import", "export" */
    const char *collection, *resume;
    bool dry_run;
    char collection_id[BULK_ID_BYTES];
    struct bulk_state state;
    struct bulk_rows rows;
    bool resumed;
    uint64_t resumed_rows;
    uint64_t started_ns, shown_ns;
    /* import: the batch that is being filled */
    struct buf body;
    size_t batch_rows, batch_rows_max, batch_bytes_max;
    char (*labels)[BULK_LABEL_BYTES]; /* of each row in the batch: "line 7" */
    uint64_t batches;
};

NODISCARD
status bulk_run_open(struct bulk_run *run, struct err *err);
void bulk_run_close(struct bulk_run *run);
/* Asks for the collection: its id, and its vectors into rows. With or_absent one that is not there
 * is CLI_OK too: collection_id stays empty, and rows take what comes. A code. */
int bulk_run_look(struct bulk_run *run, bool or_absent);
/* Reads the state where there is one; job as words says. A code. */
int bulk_run_resume(struct bulk_run *run, const struct buf *words);
/* The state as it is now to the file. A code. */
int bulk_run_save(struct bulk_run *run);
void bulk_run_progress(struct bulk_run *run);
/* The last line, or the JSON object; to standard error with to_stderr. A code. */
int bulk_run_end(struct bulk_run *run, bool to_stderr);
/* As cli_error() for one row, exit code CLI_FAILED. */
int bulk_run_bad_row(struct bulk_run *run, const char *label, const struct err *err);

/* Room for one document more, whose text the caller appends to body; label names it. */
void bulk_batch_next(struct bulk_run *run, const char *label);
bool bulk_batch_full(const struct bulk_run *run);
/* Sends what is there, and keeps the state, which the caller has set to the end of the batch. A
 * code. */
int bulk_batch_send(struct bulk_run *run);

#endif
