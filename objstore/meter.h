/* meter.h - a store around a store that counts: requests by what they were and came to, how long
 * they took, bytes of bodies. One request is one attempt, so retries count.
 *
 * Metrics    tiervec_s3_requests_total{op,outcome}, outcome a class;
 *            tiervec_s3_request_duration_seconds{op}; tiervec_s3_bytes_total{direction}.
 * Threads    any; adding is atomic. done() runs on the inner store's thread. */
#ifndef OBJSTORE_METER_H
#define OBJSTORE_METER_H

#include "base/clock.h"
#include "base/stats.h"
#include "objstore/objstore.h"

/* Takes inner on ST_OK and closes it with itself. stats NULL: counts alone. ST_NOMEM. */
NODISCARD
status objstore_meter_open(struct objstore *inner, struct stats *stats, struct clock *clock,
                           struct objstore **out, struct err *err);

/* How many requests of a pool may be under way: tiervec_s3_requests_allowed{pool}. 0 where a store
 * has no such limit. */
void objstore_meter_pools(struct stats *stats, struct stats_metric *out[OBJSTORE_POOLS]);

struct objstore_counts {
    uint64_t requests[OBJSTORE_OPS][OBJSTORE_CLASSES]; /* done */
    uint64_t maybe_applied;
    uint64_t sent_bytes, received_bytes;
    uint64_t under_way;
};
/* s: what objstore_meter_open() made. A request is counted before its done() is called. */
void objstore_meter_counts(struct objstore *s, struct objstore_counts *out);
/* Of one operation, whatever it came to. */
uint64_t objstore_counts_op(const struct objstore_counts *counts, enum objstore_op op);

#endif
