/* s3_request.h - a request of objstore.h as the HTTP request it is sent as. Pure.
 *
 * What is sent is what was signed: URL and headers come from here, and the sender adds only what
 * is not signed (Content-Length, Expect, User-Agent).
 *
 * Ownership  s3_wire_init() once; texts live until the next s3_wire_make() or _fini(). */
#ifndef OBJSTORE_S3_REQUEST_H
#define OBJSTORE_S3_REQUEST_H

#include "objstore/s3_target.h"
#include "objstore/sigv4.h"

struct s3_wire {
    const char *method;
    struct buf url;     /* with a NUL */
    struct buf body;    /* of a completion */
    struct slice sends; /* the body: the request's, or the one above */
    struct buf texts;   /* of headers, one behind the other */
    struct sigv4_pair headers[SIGV4_PAIRS_MAX];
    size_t header_count;
    /* Authorization, with a NUL. */
    struct buf authorization;
};

void s3_wire_init(struct s3_wire *w);
void s3_wire_fini(struct s3_wire *w);
/* req has passed objstore_req_check(). ST_NOMEM, or ST_NOSPACE for what is beyond every bound. */
NODISCARD
status s3_wire_make(struct s3_wire *w, const struct objstore_req *req, const struct s3_target *t,
                    const struct credentials *keys, int64_t now_s, struct err *err);
/* Whether a Range is sent. */
bool s3_wants_range(const struct objstore_req *req);

#endif
