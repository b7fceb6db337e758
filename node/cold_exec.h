/* cold_exec.h - threads on which a request may wait for the network: all that a door does for an
 * S3Only collection runs there, as a whole, in place of a worker.
 *
 * A bounded number of threads, one task each, fair over collections; what would wait longer than
 * exec's bound is refused with ST_LIMIT, as on workers. A task that was moved here goes on here:
 * TASK_AGAIN runs it again on one of these threads. exec_worker_index() is EXEC_WORKERS_MAX and up
 * here.
 *
 * Threads    COLD_THREADS, "cold-<n>", made at the first use; _submit and _resubmit from any, they
 *            never wait. node_close() waits for what runs.
 * Failure    ST_LIMIT, ST_NOMEM, ST_CLOSED (the node stops): the task is the caller's still. */
#ifndef NODE_COLD_EXEC_H
#define NODE_COLD_EXEC_H

#include "base/exec.h"
#include "node/node.h"

enum {
    COLD_THREADS = 32,
    COLD_COST_NS = 50000000, /* of a task here at least, for the bound: it waits for the network */
};

/* Whether requests for this collection belong on a cold thread. Any thread. */
bool node_collection_waits(const struct collection *c);
NODISCARD
status node_cold_submit(struct node *node, struct task *task, uint64_t *retry_after_ns,
                        struct err *err);
/* Of work already admitted: not refused for a full queue. */
NODISCARD
status node_cold_resubmit(struct node *node, struct task *task, struct err *err);
bool node_cold_thread(void); /* the calling thread is one */

#endif
