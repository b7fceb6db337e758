/* qdrant_door.h - what the loop and the answers of every request know of the compatible dialect. */
#ifndef API_QDRANT_DOOR_H
#define API_QDRANT_DOOR_H

#include "api/errors.h"
#include "api/router.h"

struct request;

extern const struct route QDRANT_ROUTES[];
extern const size_t QDRANT_ROUTE_COUNT;

/* Whether what is asked for at this path, as sent, is answered in the dialect's envelope. */
bool qd_owns(struct slice path);
/* How long the client of a write wants to wait for it at most; 0: as long as it takes. */
uint64_t qd_wait_ms(const struct request *req);
/* The answer when that has passed; req is under way. */
void qd_put_wait_timeout(struct buf *out, const struct request *req);
/* A problem in that envelope, appended to out. */
void qd_put_problem(struct buf *out, enum problem p, const char *detail);
/* A failure put into req's answer without giving the request back; the text as it stands. */
void qd_set_failure(struct request *req, int http_status, const char *text);
/* The query parameter `timeout`, in whole seconds; 0 where there is none that can be. */
uint64_t qd_timeout_s(const struct request *req);

#endif
