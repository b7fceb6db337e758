/* request.h - one request on its way: from the loop to a worker, to node, and back as an answer.
 *
 * The loop fills a request and hands it over; from then on it belongs to whoever works on it, until
 * reply_send() (or another reply_ function) gives it back. A client that goes away meanwhile only
 * sets `gone`: the object stays until the work is done and is then freed by the loop.
 *
 * Threads    one owner at a time, as above; `gone` is the one member another thread sets.
 * Ownership  everything a request points to dies with it, on the loop.
 * Limits     REQUEST_ARENA_BYTES_MAX of parsed input and results, REPLY_BYTES_MAX of answer. */
#ifndef API_REQUEST_H
#define API_REQUEST_H

#include "api/errors.h"
#include "api/router.h"
#include "base/exec.h"
#include "base/json.h"
#include "node/points.h"

#include <stdatomic.h>

enum {
    REQUEST_ID_BYTES_MAX = 128,
    REQUEST_ARENA_BYTES_MAX = 256 * 1024 * 1024,
    REPLY_BYTES_MAX = 64 * 1024 * 1024,
    /* Answers above this count towards the node-wide bound of answers under way. */
    REPLY_LARGE_BYTES = 64 * 1024,
};

struct api;
struct conn;
struct download;
struct grpc_call;
struct upload;

/* Who waits for a write only so long may be told that it is under way, from when node has it until
 * node has answered. */
enum request_hand {
    REQUEST_HELD = 0, /* by its owner */
    REQUEST_HANDED,   /* node has it, or a part of it */
    REQUEST_DECIDED,  /* node has answered */
};

struct request {
    struct task task;
    struct api *api; /* borrowed */

    /* Set by the loop before the hand-over, then constant. */
    struct buf head; /* what the slices below point into */
    struct buf body;
    enum http_method method;
    bool version_1_0;
    bool qdrant; /* of the compatible dialect (qdrant.h): problems go in its envelope */
    struct route_match match;
    size_t query_count;
    struct query_param query[ROUTE_QUERY_MAX];
    char id[REQUEST_ID_BYTES_MAX + 1];
    uint64_t start_ns;            /* monotonic, when it was whole */
    uint64_t deadline_ns;         /* monotonic */
    struct slice idempotency_key; /* data NULL: none was sent */

    _Atomic bool gone; /* set by the loop when nobody waits for the answer */
    /* A write whose client waits only so long: see enum request_hand. */
    _Atomic int hand;
    /* What such a client is told, the result alone; NULL: one update result. On the loop while the
     * write is under way; set before request_hand(). */
    void (*put_late)(const struct request *req, struct buf *out);

    /* The owner's. */
    struct arena arena;
    struct collection *collection; /* pinned, or NULL */
    struct buf payloads;           /* jbin blobs of the rows to insert */
    void *state;                   /* a handler's own, in the arena */
    uint64_t parsed_ns;            /* monotonic, when the body was read; 0 before */
    bool waits;                    /* for the network, whatever its own collection does */
    struct idempotent *idempotent; /* owed an end when the request is given back; or NULL */
    struct grpc_call *grpc;        /* came by the gRPC door (grpc.h), or NULL */
    struct upload *upload;         /* its body comes while it runs (upload.h), or NULL */
    struct download *download;     /* its answer goes out in pieces (download.h), or NULL */

    /* The answer. */
    int http_status;
    const char *content_type;
    uint32_t retry_after_s;
    const char *allow;
    bool replayed; /* the answer of an earlier request with the same Idempotency-Key */
    struct buf out;
    uint64_t out_charged;     /* bytes of answers under way that this one holds */
    uint64_t message_charged; /* of the bound on what gRPC messages become */
    bool outcome_unknown;     /* the answer says that a write may have been done or not */

    /* The loop's alone. */
    struct conn *conn;          /* NULL once nobody waits */
    bool told_late;             /* the client has its answer, and the meters too */
    uint64_t body_charged;      /* of the bound on bodies */
    struct request *reply_next; /* the queue back to the loop */
};

void request_hand(struct request *req);   /* the owner, before node has it */
void request_decide(struct request *req); /* who is called back by node, first of all */
/* The loop: the client may be told that it is under way. */
bool request_is_under_way(struct request *req);

/* An empty answer body to print JSON into. */
struct buf *reply_begin(struct request *req);
/* Gives the request back with what was printed: application/json unless content_type was set. If
 * the answer did not fit it becomes a problem. */
void reply_send(struct request *req, int http_status);
/* Between slices of printing: counts what was printed towards the bound on all answers. False when
 * it is over: the request has been answered then. */
bool reply_grow(struct request *req);
void reply_problem(struct request *req, enum problem p, const char *format, ...) PRINTF_LIKE(3, 4);
/* With more members, as JSON: "\"confirm\":{...}". */
void reply_problem_with(struct request *req, enum problem p, const char *detail,
                        const char *members);
/* The problem a status stands for, with err's text as detail. */
void reply_status(struct request *req, status st, const struct err *err);
/* As reply_status, with a Retry-After. */
void reply_retry(struct request *req, status st, const struct err *err, uint64_t retry_after_ns);
/* Appends `,"latency_ms":1.234`, the time since the request was whole. */
void reply_put_latency(struct request *req, struct buf *out);

/* --- reading what was asked; each answers the request itself and returns false on a problem --- */

/* The collection named by the first path parameter, pinned into req->collection. False also when
 * the route runs once more, from its beginning, on a cold thread (node/cold_exec.h): nothing may
 * have been taken from the request before. */
bool request_pin_collection(struct request *req);
/* For who pins it by other means: false as above; the pin is given back then. */
bool request_stays(struct request *req);
/* Goes on with run() where it may wait for the network: here, or on a cold thread. */
task_state request_wait_on(struct request *req, task_fn *run);
/* From any thread: the request's task goes on, on a worker or, where its collection waits, on a
 * cold thread. */
void request_resubmit(struct request *req);
/* Parses the body into an object. An empty body is an empty object if `optional`. The value dies
 * with the next request this worker parses: take what is needed into the arena. */
bool request_json(struct request *req, bool optional, struct jval *root);
/* What request_json() or request_json_part() gave is not looked at any more: memory a large text
 * took is given back. After the route's run() that happens by itself, so this is for who has long
 * to go from there, and for slices. */
void request_json_done(struct request *req);
/* Parses a part of the body into a value, in the same way; false without an answer when it is not
 * JSON or there is no memory. */
bool request_json_part(struct request *req, struct slice part, struct jval *root);
/* Parses a text that is not the body; as request_json(), the value dies with the next. */
NODISCARD
status request_json_text(struct request *req, struct slice text, struct jval *root,
                         struct err *err);
/* A slice of a request whose collection is pinned, under its id in the log. */
task_state request_slice(struct task *task, task_state (*go_on)(struct request *req));
/* Between slices: answers and returns false when nobody waits any more or the deadline passed. */
bool request_wanted(struct request *req);
/* What was sent, be it text or a message whose vectors the body only names: how much work it is. */
size_t request_input_bytes(const struct request *req);
/* Whether asking rows for the filter takes long, which happens in one go. */
bool request_asks_rows(const struct request *req, const struct filter *filter);
/* Goes on with run(): at once, or among the slow tasks if it asks rows for long. */
task_state request_select(struct request *req, const struct filter *filter, task_fn *run);
/* A route that takes no members: an empty body or {}. */
bool request_no_members(struct request *req);
/* No query parameters but those in the NULL-terminated list. */
bool request_parameters(struct request *req, const char *const *known);
const struct slice *request_parameter(const struct request *req, const char *name);
/* The second path parameter; the collection is pinned. */
bool request_doc_id(struct request *req, struct docid *id);
/* Of a write, after its collection is pinned: false when its Idempotency-Key is bad, or came
 * before: the request has been answered then. */
bool request_is_new(struct request *req);
/* Tells the answer that is about to be given back to those who come again with its key. */
void request_idempotent_end(struct request *req);

#endif
