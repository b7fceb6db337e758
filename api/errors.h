/* errors.h - the one table from what went wrong to what a client is told.
 *
 * Every error is application/problem+json (RFC 9457) with type, title, status, detail and our code,
 * request_id, retryable and hint. A row gives everything but detail and request_id; a status of the
 * layers below maps to a row.
 *
 * Threads    any; the table is constant. */
#ifndef API_ERRORS_H
#define API_ERRORS_H

#include "base/bytes.h"

enum problem {
    /* what framing and routing find */
    PROBLEM_BAD_HTTP,
    PROBLEM_BAD_PATH,
    PROBLEM_NO_ROUTE,
    PROBLEM_METHOD,
    PROBLEM_SLOW_REQUEST,
    PROBLEM_BODY_TOO_LARGE,
    PROBLEM_TARGET_TOO_LONG,
    PROBLEM_CONTENT_ENCODING,
    PROBLEM_EXPECT,
    PROBLEM_HEAD_TOO_LARGE,
    PROBLEM_TOO_MANY_CONNECTIONS,
    PROBLEM_BODIES_FULL,
    PROBLEM_REPLIES_FULL,
    /* what handlers find */
    PROBLEM_BAD_JSON,
    PROBLEM_INVALID,
    PROBLEM_UNKNOWN_MEMBER,
    PROBLEM_UNKNOWN_PARAMETER,
    PROBLEM_NOT_SUPPORTED,
    PROBLEM_BATCH_TOO_LARGE,
    PROBLEM_ANSWER_TOO_LARGE,
    PROBLEM_ZERO_VECTOR,
    PROBLEM_NO_COLLECTION,
    PROBLEM_NO_DOCUMENT,
    PROBLEM_METRICS_OFF,
    PROBLEM_NO_LETTER,
    PROBLEM_CONFIRM,
    PROBLEM_KEY_BUSY,
    PROBLEM_KEY_REUSED,
    /* what the layers below say, refined by what is known of the bucket (handlers_bucket.c) */
    PROBLEM_NOT_OWNER,
    PROBLEM_NOT_RESTORABLE,
    PROBLEM_STORE_UNAVAILABLE,
    PROBLEM_STORE_REFUSED,
    PROBLEM_BACKPRESSURE,
    PROBLEM_UNSHIPPED_FULL,
    PROBLEM_DISK_LOW,
    PROBLEM_LOG_STOPPED,
    /* what the layers below say, by status */
    PROBLEM_NOT_FOUND,
    PROBLEM_EXISTS,
    PROBLEM_CONFLICT,
    PROBLEM_TOO_MANY_REQUESTS,
    PROBLEM_NO_SPACE,
    PROBLEM_DENIED,
    PROBLEM_UNAVAILABLE,
    PROBLEM_DEADLINE,
    PROBLEM_OUTCOME_UNKNOWN,
    PROBLEM_NO_MEMORY,
    PROBLEM_DRAINING,
    PROBLEM_IO,
    PROBLEM_CORRUPT,
    PROBLEM_INTERNAL,
    PROBLEM_COUNT,
};

struct problem_row {
    int http_status;
    const char *code;
    const char *title;
    bool retryable;
    uint32_t retry_after_s; /* 0: no Retry-After; always set for 429 and 503 */
    const char *hint;
};
const struct problem_row *problem_row(enum problem p);
enum problem problem_of_status(status st);
/* The row of what http1.h refuses. */
enum problem problem_of_http(int http_status);

/* The body of the answer, appended to out. members: more of them, as JSON ("\"a\":1"), or NULL. */
void problem_print(struct buf *out, enum problem p, const char *detail, const char *request_id,
                   const char *members);

/* "Not Found" and so on; "Unknown" for a number that is never answered. */
const char *http_reason(int http_status);

#endif
