/* cold_exec.h - threads on which a request may wait for the network: all that a door does for an
 * S3Only collection runs there, as a whole, in place of a worker.
 *
 * A bounded number of threads, one request each, fair over collections; what would wait longer than
 * exec's bound is refused with ST_LIMIT, as on workers. A task that was moved here runs to its end
 * here: TASK_AGAIN runs it again on the same thread.
 *
 * Threads    COLD_THREADS, "cold-<n>", made at the first use; cold_exec_submit() from any, never
 *            waits. cold_exec_close() waits for what runs. */
#ifndef NODE_COLD_EXEC_H
#define NODE_COLD_EXEC_H

#include "base/exec.h"
#include "node/node.h"

enum { COLD_THREADS = 32 };

/* Whether requests for this collection belong on a cold thread. Any thread. */
bool node_collection_waits(const struct collection *c);
NODISCARD
status node_cold_submit(struct node *node, struct task *task, uint64_t *retry_after_ns,
                        struct err *err);
bool node_cold_thread(void); /* the calling thread is one */

#endif
