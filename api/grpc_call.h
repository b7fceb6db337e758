/* grpc_call.h - one method: its messages and the route that does the same. */
#ifndef API_GRPC_CALL_H
#define API_GRPC_CALL_H

#include "api/grpc_map.h"

/* Where the fields of an answer's message come from. */
enum answer_form {
    ANSWER_ENVELOPE, /* of the compatible dialect: {"result", "time"} */
    ANSWER_RESULT,   /* of its result, and its time */
    ANSWER_ROOT,     /* all of the answer */
};

struct grpc_route_call {
    struct grpc_method method; /* the first member: a grpc_method is the front of one of these */
    enum http_method verb;
    const char *route; /* its pattern */
    message_type request, answer;
    const char *path[2];      /* fields that fill the route's braces */
    const char *const *query; /* fields that are query parameters; NULL at the end, or NULL */
    enum answer_form form;
};

route_fn grpc_run;
void grpc_finish(struct request *req);
/* Each method in turn; NULL behind the last. */
const struct grpc_method *grpc_method_at(size_t index);
const struct route *grpc_route_of(const struct grpc_route_call *call);
/* The message into path, query, body and floats of the request, whose deadline comes no later than
 * the `timeout` of a read; false after filling *in. With a clock it ends (GRPC_IN_LATE) when the
 * time has come; it may be read again then. */
bool grpc_call_read(struct request *req, struct clock *clock, uint64_t until_ns,
                    struct grpc_in *in);
/* What the client of a write is told that waits no longer (qd_put_wait_timeout()), as a message
 * appended to out; false when there is no memory. On the loop. */
bool grpc_call_wait_timeout(const struct request *req, struct buf *out);
/* A printed answer into the message, appended to out. */
void grpc_call_print(const struct grpc_route_call *call, struct jval root, struct buf *out);

#endif
