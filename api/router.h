/* router.h - from a method and a path to a route, and what is in the path and the query.
 *
 * The path is split on '/' first and each segment is percent-decoded after, so that %2F is part of
 * a name and never a separator. One trailing slash means nothing; an empty segment matches nothing.
 *
 * Threads    any; a table of routes is constant.
 * Ownership  what is decoded lives in the arena.
 * Limits     ROUTE_SEGMENTS_MAX segments, ROUTE_QUERY_MAX query parameters. */
#ifndef API_ROUTER_H
#define API_ROUTER_H

#include "base/arena.h"
#include "base/bytes.h"
#include "base/exec.h"

enum {
    ROUTE_SEGMENTS_MAX = 9,
    ROUTE_PARAMS_MAX = 3,
    ROUTE_QUERY_MAX = 16,
    ROUTE_ALLOW_BYTES_MAX = 64,
};

enum http_method {
    METHOD_OTHER = 0,
    METHOD_GET,
    METHOD_HEAD,
    METHOD_POST,
    METHOD_PUT,
    METHOD_PATCH,
    METHOD_DELETE,
    METHOD_OPTIONS,
};
enum http_method http_method_parse(struct slice text);
const char *http_method_name(enum http_method m);

struct request;
/* Runs on a worker. TASK_AGAIN: req->task.run goes on with it. */
typedef task_state route_fn(struct request *req);

enum route_kind {
    ROUTE_READ = 0,    /* may be refused when the queue is full */
    ROUTE_WRITE,       /* an outcome that comes too late is unknown */
    ROUTE_UPLOAD,      /* a write that runs while its body comes (upload.h) */
    ROUTE_DOWNLOAD,    /* a read whose answer goes out in pieces (download.h) */
    ROUTE_PROBE,       /* health and metrics: never refused for a full queue */
    ROUTE_LIVENESS,    /* answered by the loop itself */
    ROUTE_UNSUPPORTED, /* documented, not in this version */
};

struct route {
    enum http_method method;
    enum route_kind kind;
    const char *pattern; /* "/api/v1/collections/{id}": braces match one segment */
    route_fn *run;
};

struct route_match {
    const struct route *route;
    size_t param_count;
    struct slice params[ROUTE_PARAMS_MAX]; /* decoded, in the order of the braces */
    char allow[ROUTE_ALLOW_BYTES_MAX];     /* of ST_DENIED: "GET, HEAD, POST" */
};

/* HEAD finds the GET route.
 * ST_INVALID    the path is badly encoded
 * ST_NOT_FOUND  no route has that path
 * ST_DENIED     the path has routes, none with that method; out->allow lists theirs
 * ST_NOMEM      the arena is full */
NODISCARD
status route_find(const struct route *routes, size_t count, enum http_method method,
                  struct slice path, struct arena *arena, struct route_match *out, struct err *err);

/* Percent-decodes text into the arena; with `plus`, '+' is a blank (query strings). ST_INVALID on a
 * broken escape or a decoded NUL, ST_NOMEM. */
NODISCARD
status percent_decode(struct arena *arena, struct slice text, bool plus, struct slice *out,
                      struct err *err);

struct query_param {
    struct slice name;
    struct slice value;
};
/* `a=1&b=2` into out[0..ROUTE_QUERY_MAX). */
NODISCARD
status query_parse(struct arena *arena, struct slice text, struct query_param *out, size_t *count,
                   struct err *err);

/* URL-safe base64 without padding (RFC 4648 5), for cursors. */
void base64url_put(struct buf *b, struct slice bytes);
/* ST_INVALID on any other character or a length that cannot be. */
NODISCARD
status base64url_decode(struct arena *arena, struct slice text, struct slice *out, struct err *err);

#endif
