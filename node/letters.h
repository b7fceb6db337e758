/* letters.h - the records a dead letter stands for.
 *
 * Threads    the operator thread's: all of it blocks on disk, on the log's durability, or both.
 * Failure    ST_NOT_FOUND: the records are not in the log any more; what a call did before it
 * failed stays done, and doing it again is harmless. */
#ifndef NODE_LETTERS_H
#define NODE_LETTERS_H

#include "node/node_internal.h"

NODISCARD
status letter_each(struct collection *c, const struct letter *letter, group_each_fn *fn, void *arg,
                   struct err *err);
/* Appends NDJSON (node/bucket.h, node_dlq_export). */
NODISCARD
status letter_print(struct collection *c, const struct letter *letter, struct buf *out,
                    struct err *err);
/* Upserts and deletes, in order. *records grows by what was applied. */
NODISCARD
status letter_apply(struct collection *c, const struct letter *letter, uint64_t *records,
                    struct err *err);
/* Before its lsns become a gap: every id whose newest record is one of them is logged again as it
 * is now, or deleted with `drop`; ids that are gone are deleted once more. What clients write
 * meanwhile stands. */
NODISCARD
status letter_relog(struct collection *c, const struct letter *letter, bool drop, uint64_t *records,
                    struct err *err);
#endif
