/* refill.h - records that were read elsewhere go into a collection's log, under the lsns they have.
 *
 * Between refill_begin() and refill_end() nobody else writes to the log. A record is in it when
 * refill_end() says so.
 *
 * Threads    the loader's; it waits where the disk is behind. */
#ifndef NODE_REFILL_H
#define NODE_REFILL_H

#include "node/node_internal.h"

struct refill {
    struct collection *c;
    uint64_t next_lsn; /* of the next record */
    struct {           /* guarded by lock */
        struct lock lock;
        struct cond cond;
        uint64_t under_way;
        struct err failed; /* the first; code ST_OK: none */
    } log;
};
void refill_begin(struct refill *r, struct collection *c, uint64_t first_lsn);
/* ST_CORRUPT: the log gives it another lsn. */
NODISCARD
status refill_put(struct refill *r, struct slice payload, struct err *err);
/* Waits for all of them. st: what came of it until now; ST_OK: the log ends with the last one, and
 * they count as applied. */
NODISCARD
status refill_end(struct refill *r, status st, struct err *err);

#endif
