/* metrics.h - the meters of the door: requests by endpoint and status, their times, connections.
 *
 * Threads    any. */
#ifndef API_METRICS_H
#define API_METRICS_H

#include "api/grpc.h"
#include "base/stats.h"

struct api;
struct metrics;

NODISCARD
status metrics_create(struct api *api, struct metrics **out, struct err *err);
void metrics_destroy(struct metrics *m);
/* One answered request; route is NULL for what reached none. */
void metrics_request(struct metrics *m, const struct route *route, int http_status, double seconds);
extern const char METRICS_NO_METHOD[]; /* the method of a call that reached none */
/* One answered call of gRPC; `method` is a constant text, the same one for the same method. The
 * loop's alone. */
void metrics_grpc(struct metrics *m, const char *method, enum grpc_status code, double seconds);
void metrics_refused(struct metrics *m); /* a full queue or a bound said no */

#endif
