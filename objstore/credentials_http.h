/* credentials_http.h - one question over HTTP to who gives keys: bounded in bytes and time, no
 * redirect followed, to addresses of this machine and its network without a proxy.
 *
 * Threads    blocks the calling thread; *stop turning true ends it within CREDENTIALS_SLICE_MS.
 * Ownership  the answer's body is the caller's: credentials_answer_fini() overwrites and frees it.
 */
#ifndef OBJSTORE_CREDENTIALS_HTTP_H
#define OBJSTORE_CREDENTIALS_HTTP_H

#include "objstore/s3_reply.h"

#include <stdatomic.h>

enum { CREDENTIALS_SLICE_MS = 50 };

struct credentials_question {
    const char *method;         /* "GET", "PUT", "POST" */
    const char *url;            /* http or https */
    const char *const *headers; /* "name: value", NULL-terminated; NULL: none */
    struct slice body;          /* of a POST */
    uint32_t timeout_ms;        /* for all of it */
    bool local;                 /* metadata: never by a proxy */
    const char *ca_file;        /* NULL or "": the system's */
};
struct credentials_answer {
    int http_status;
    int64_t date_s; /* 0: not told */
    struct buf body;
};
/* ST_OK: a whole answer, of whatever status. ST_UNAVAILABLE, ST_LIMIT, ST_NOMEM, ST_CLOSED. */
NODISCARD
status credentials_http(const struct credentials_question *q, const _Atomic bool *stop,
                        struct credentials_answer *out, struct err *err);
void credentials_answer_fini(struct credentials_answer *a);

/* "host" or "host:port" of an http or https URL with no path but "/", as it stands in Host. */
enum { CREDENTIALS_HOST_BYTES = 320 };
NODISCARD
bool credentials_url_host(const char *url, char out[CREDENTIALS_HOST_BYTES]);
/* Whether a URL is https, or http to this machine or to one of the link-local addresses where
 * containers get their keys: a bearer may go there. */
NODISCARD
bool credentials_url_is_safe(const char *url);

#endif
