/* sigv4.h - AWS Signature Version 4 as S3 reads it. Pure: text in, text out.
 *
 * The path is escaped once and never normalised; of the query names and values are escaped and the
 * pairs sorted; headers are lower-cased, trimmed and sorted. What is escaped here is also what is
 * sent: URL and signature are made by the same functions, so they cannot differ.
 *
 * Threads    any.
 * Limits     SIGV4_PAIRS_MAX headers or query pairs.
 * Failure    ST_NOMEM, or ST_NOSPACE when a buffer's bound is met. Texts hold no secret. */
#ifndef OBJSTORE_SIGV4_H
#define OBJSTORE_SIGV4_H

#include "base/bytes.h"
#include "base/crypto.h"

enum { SIGV4_PAIRS_MAX = 24, SIGV4_TIME_BYTES = 17 };
#define SIGV4_UNSIGNED_PAYLOAD "UNSIGNED-PAYLOAD"

struct sigv4_pair { /* of headers or of a query, as meant: not escaped */
    const char *name;
    const char *value; /* NULL: "" */
};

struct sigv4_request {
    const char *method;
    const char *path; /* begins with '/', not escaped */
    const struct sigv4_pair *query;
    size_t query_count;
    const struct sigv4_pair *headers; /* each is signed; host is one of them */
    size_t header_count;
    const char *payload_hash; /* lower-case hex, or SIGV4_UNSIGNED_PAYLOAD */
    const char *time;         /* sigv4_time() */
    const char *region;
    const char *service; /* "s3" */
};

struct sigv4_keys {
    const char *access;
    const char *secret;
    const char *token; /* NULL or "": none. Sent as x-amz-security-token by who makes the headers */
};

/* "20130524T000000Z" of seconds since 1970. */
void sigv4_time(int64_t seconds, char out[SIGV4_TIME_BYTES]);
/* Appends; '/' stays in a path and only there. */
void sigv4_escape_path(struct buf *out, const char *path);
void sigv4_escape(struct buf *out, const char *text);
/* Appends "a=1&b=2", escaped and sorted. ST_INVALID: too many pairs. */
NODISCARD
status sigv4_query(struct buf *out, const struct sigv4_pair *pairs, size_t count, struct err *err);

/* The canonical request: what is hashed and signed. For tests, and for who compares with what a
 * store says it computed. */
NODISCARD
status sigv4_canonical(const struct sigv4_request *r, struct buf *out, struct err *err);
/* Appends the value of the Authorization header. */
NODISCARD
status sigv4_sign(const struct sigv4_request *r, const struct sigv4_keys *keys, struct buf *out,
                  struct err *err);
/* Appends the query of a presigned URL, good for `seconds`; r->payload_hash is not looked at. */
NODISCARD
status sigv4_presign(const struct sigv4_request *r, const struct sigv4_keys *keys, uint32_t seconds,
                     struct buf *out, struct err *err);

#endif
