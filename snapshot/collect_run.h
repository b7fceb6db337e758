/* collect_run.h - the collector's effects carried out against a bucket, by a thread that may wait.
 *
 * A turn goes on until something else may have its turn: the run is finished, readers have their
 * grace, or a batch was deleted. Everything from the start to the plan is one turn, so whoever
 * publishes by the same thread is never under way meanwhile, as collect.h asks for.
 *
 * Threads    blocks, as snapshot/ask.h; one thread.
 * Ownership  everything is borrowed for the call; struct collect is the caller's. */
#ifndef SNAPSHOT_COLLECT_RUN_H
#define SNAPSHOT_COLLECT_RUN_H

#include "snapshot/ask.h"
#include "snapshot/collect.h"

struct collect_shell {
    struct ask ask;
    /* STREAM_MARK of the collection's stream: ST_OK, it stands in the root. Waits. */
    status (*mark)(void *arg, uint64_t revision, struct err *err);
    /* Looked at before each batch, as the root is; what it says but ST_OK ends the run. NULL:
     * nothing more need be looked at. Waits. */
    status (*check)(void *arg, struct err *err);
    void *arg;
};
/* Begins a run where none is under way, else goes on with it. ST_OK with *again_ms > 0: call again
 * then (of the shell's clock, monotonic); with 0: the run is finished, c->report says what it did.
 * Else the run has ended, err says why; nothing is lost by that. */
NODISCARD
status collect_turn(struct collect *c, const struct collect_shell *shell, uint64_t *again_ms,
                    struct err *err);

#endif
