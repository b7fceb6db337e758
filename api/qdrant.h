/* qdrant.h - the compatible dialect: its envelopes, its errors, and what its handlers share.
 *
 * Its routes stand at the root of the port, beside /api/v1 and /admin (qdrant.c). Every answer but
 * a few at the root is {"usage":null,"time":s,"status":"ok","result":...}; every failure
 * {"time":0.0,"status":{"error":text},"result":null}. Texts that programs test for are kept letter
 * for letter (docs/qdrant.md).
 *
 * Threads, ownership: as request.h. */
#ifndef API_QDRANT_H
#define API_QDRANT_H

#include "api/handlers.h"
#include "node/points.h"

extern const struct route QDRANT_ROUTES[];
extern const size_t QDRANT_ROUTE_COUNT;

/* The answer's buffer with the envelope's front printed; append the value of `result`. */
struct buf *qd_begin(struct request *req);
void qd_send(struct request *req); /* closes the envelope, 200 */
void qd_send_true(struct request *req);

/* HTTP status and text; the text as it stands (with its "Wrong input: " and so on). */
void qd_fail(struct request *req, int http_status, const char *format, ...) PRINTF_LIKE(3, 4);
/* What node said: ST_NOT_FOUND 404 "Not found: ", ST_INVALID 400 "Wrong input: ", ST_EXISTS 409,
 * ST_CONFLICT 409, ST_LIMIT 429 with Retry-After, ST_NOSPACE 507, ST_DENIED 403 "Forbidden: ",
 * ST_UNAVAILABLE 503, others 500 "Service internal error: ". */
void qd_fail_status(struct request *req, status st, const struct err *err);

/* What parsing found. Handlers fill it, then qd_fail_parse(). */
enum qd_problem {
    QD_FORMAT,     /* 400 "Format error in JSON body: " */
    QD_INPUT,      /* 400 "Wrong input: " */
    QD_VALIDATION, /* 422 "Validation error in JSON body: [" text "]" */
    QD_NOT_FOUND,  /* 404 "Not found: " */
    QD_TOO_MUCH,   /* 503: out of memory for the request */
};
struct qd_parse {
    enum qd_problem problem;
    char text[ERR_TEXT_BYTES];
};
bool qd_bad(struct qd_parse *p, enum qd_problem problem, const char *format, ...)
    PRINTF_LIKE(3, 4);                                                   /* returns false */
task_state qd_fail_parse(struct request *req, const struct qd_parse *p); /* TASK_DONE */

/* The body as an object, its collection pinned; each answers and returns false on a problem. A
 * member of value null counts as absent (qd_member() returns false). */
bool qd_collection(struct request *req);
bool qd_body(struct request *req, struct jval *root);
bool qd_member(struct jval object, const char *key, struct jval *out);
/* Query parameters of writes and reads: wait, timeout, ordering, consistency; others are ignored.
 */
struct qd_terms {
    bool wait;
    uint64_t timeout_s; /* 0: none */
};
bool qd_terms(struct request *req, struct qd_terms *out);

bool qd_id(struct qd_parse *p, struct request *req, struct jval v, struct docid *out);
bool qd_ids(struct qd_parse *p, struct request *req, struct jval v, struct docid **out,
            size_t *count);
bool qd_filter(struct qd_parse *p, struct request *req, struct jval v, struct filter **out);
/* {"points": [..]} or {"filter": ..}; neither is QD_INPUT. */
bool qd_selector(struct qd_parse *p, struct request *req, struct jval body, struct selector *out);
/* A vector for the field at `position`: "Vector dimension error: expected dim: n, got m". */
bool qd_vector(struct qd_parse *p, struct request *req, struct jval v, size_t position,
               float **out);
/* "Not existing vector name error: <name>" */
bool qd_field(struct qd_parse *p, struct request *req, struct slice name, size_t *position);
bool qd_path(struct qd_parse *p, struct request *req, const char *member, struct jval v,
             const struct path **out);

struct qd_want { /* with_payload, with_vector */
    struct payload_selection payload;
    uint64_t vectors; /* bit per position */
};
/* absent members: payload_default, no vectors. */
bool qd_want(struct qd_parse *p, struct request *req, struct jval body, bool payload_default,
             struct qd_want *out);
void qd_print_id(struct buf *out, const struct docid *id);
/* `"vector":...`: null, a list for the unnamed form, an object for named ones. */
void qd_print_vectors(struct buf *out, const struct collection *c, const float *const *vectors,
                      uint64_t which);
void qd_print_record(struct buf *out, const struct collection *c, const struct document *d,
                     const struct qd_want *want);
/* {"operation_id":n,"status":"completed"|"acknowledged"} */
void qd_send_update(struct request *req, const struct qd_terms *terms, uint64_t operation_id);

#endif
