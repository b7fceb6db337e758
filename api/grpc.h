/* grpc.h - the second door: unary gRPC calls over HTTP/2, in front of the same handlers.
 *
 * A call is a request as any other (request.h) whose answer goes out as a message and trailers. The
 * transport (h2.c, grpc.c) knows streams, frames, deadlines and statuses; what a message means is a
 * method's own (grpc_methods.c): it turns the message into the path parameters and the body of the
 * REST route that does the same, runs that route's handler, and turns the answer into a message.
 * So both doors have one set of rules and texts.
 *
 * Source     gRPC over HTTP2 (grpc/doc/PROTOCOL-HTTP2.md), status codes of grpc/doc/statuscodes.md.
 * Threads    the transport is the loop's alone; run() and finish() are called on workers.
 * Ownership  a call lives in its request's arena and dies with it. */
#ifndef API_GRPC_H
#define API_GRPC_H

#include "api/request.h"

enum grpc_status {
    GRPC_OK = 0,
    GRPC_CANCELLED = 1,
    GRPC_UNKNOWN = 2,
    GRPC_INVALID_ARGUMENT = 3,
    GRPC_DEADLINE_EXCEEDED = 4,
    GRPC_NOT_FOUND = 5,
    GRPC_ALREADY_EXISTS = 6,
    GRPC_PERMISSION_DENIED = 7,
    GRPC_RESOURCE_EXHAUSTED = 8,
    GRPC_FAILED_PRECONDITION = 9,
    GRPC_ABORTED = 10,
    GRPC_OUT_OF_RANGE = 11,
    GRPC_UNIMPLEMENTED = 12,
    GRPC_INTERNAL = 13,
    GRPC_UNAVAILABLE = 14,
    GRPC_DATA_LOSS = 15,
    GRPC_UNAUTHENTICATED = 16,
};

struct grpc_method {
    const char *path; /* "/qdrant.Points/Upsert" */
    enum route_kind kind;
    /* On a worker: req->grpc->message is whole. As a route's handler: the request is given back by
     * a reply_ function, now or later, on any thread. */
    route_fn *run;
    /* On a worker, after the reply: req->http_status and req->out are what the REST door would have
     * sent. Leaves the answer's message (without gRPC's five bytes in front) in req->out and the
     * status in req->grpc. Does not block. */
    void (*finish)(struct request *req);
};

/* Numbers that a message had in binary and the body names by their place, so that no float is
 * printed or parsed: where a vector is due the array ["@7"] is floats[7]. */
struct grpc_floats {
    const void *at; /* in the message, not aligned */
    size_t count;
};
/* Whether v is such an array of this request. */
bool grpc_floats_named(const struct request *req, struct jval v, struct grpc_floats *out);
/* from.count floats into out. ST_INVALID: one is not finite. */
NODISCARD
status grpc_floats_take(struct grpc_floats from, float *out, struct err *err);
/* A vector in an answer to this door: a string that finish() takes back. */
void grpc_put_floats(struct buf *out, const float *v, size_t count);

struct grpc_stream;

struct grpc_call {
    struct grpc_stream *stream; /* the loop's alone; NULL once nobody waits */
    const struct grpc_method *method;
    struct slice message; /* without gRPC's five bytes in front; lives as long as the request */
    const struct grpc_floats *floats;
    size_t float_count;

    enum grpc_status status;
    char text[ERR_TEXT_BYTES]; /* grpc-message, before percent-encoding */
};

/* On any thread, from the reply_ functions: the request goes to finish(), then to the loop. */
void grpc_given_back(struct request *req);

/* NULL: UNIMPLEMENTED. Health and reflection are the transport's own and not in here. */
const struct grpc_method *grpc_method_find(struct slice path);

/* The status of an answer of the REST door: 400 and 422 INVALID_ARGUMENT, 401 UNAUTHENTICATED, 403
 * PERMISSION_DENIED, 404 NOT_FOUND, 409 ALREADY_EXISTS, 413, 429 and 507 RESOURCE_EXHAUSTED, 503
 * UNAVAILABLE, 504 and 408 DEADLINE_EXCEEDED, others INTERNAL. */
enum grpc_status grpc_status_of_http(int http_status);

#endif
