/* http.h - HTTP requests to a running node, over a plain socket.
 *
 *   http://127.0.0.1:8080    a name, an IPv4 address or [an IPv6 address]; without a port 8080
 *
 * Threads    the caller's; blocks.
 * Limits     HTTP_HEAD_BYTES_MAX of head, HTTP_BODY_BYTES_MAX of body, HTTP_WAIT_MS without a byte.
 * Failure    ST_INVALID: the URL. ST_UNAVAILABLE: nobody answers there, or the answer was cut off.
 *            ST_CORRUPT: who answers speaks no HTTP. ST_LIMIT: the answer is too large. */
#ifndef CLI_HTTP_H
#define CLI_HTTP_H

#include "base/bytes.h"

enum {
    HTTP_HEAD_BYTES_MAX = 16 * 1024,
    HTTP_BODY_BYTES_MAX = 128 * 1024 * 1024,
    HTTP_CONNECT_MS = 5000,
    HTTP_WAIT_MS = 120000,
    HTTP_RETRY_AFTER_S_MAX = 60,
};

struct http_answer {
    int status;
    char content_type[64];
    uint32_t retry_after_s; /* 0: the answer does not say */
    bool kept;              /* the connection takes another request */
    struct buf body;        /* http_answer_free() */
};
void http_answer_free(struct http_answer *a); /* fine on a zeroed one */

/* path begins with '/' and is percent-encoded. header: one more line without its end, as
 * "api-key: x"; NULL: none. ST_INVALID where it holds what no header may. */
NODISCARD
status http_ask_with(const char *url, const char *method, const char *path, const char *header,
                     struct slice body, struct http_answer *out, struct err *err);
/* Without one. */
NODISCARD
status http_ask(const char *url, const char *method, const char *path, struct slice body,
                struct http_answer *out, struct err *err);

/* A connection that is kept for many requests, opened with the first one; zeroed at the start. What
 * it sends must bear being sent twice: one that was closed while idle is opened anew, once. */
struct http_line {
    int fd;
    bool open;
};
void http_line_close(struct http_line *line); /* fine on one that is closed */
NODISCARD
status http_line_ask(struct http_line *line, const char *url, const char *method, const char *path,
                     const char *header, struct slice body, struct http_answer *out,
                     struct err *err);

/* "a b" -> "a%20b": a segment of a path or a value of a query. */
void http_put_encoded(struct buf *out, const char *text);

#endif
