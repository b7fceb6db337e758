/* qdrant.h - the compatible dialect: its envelopes, its errors, and what its handlers share.
 *
 * Its routes stand at the root of the port, beside /api/v1 and /admin (qdrant.c). Every answer but
 * a few at the root is {"usage":null,"result":...,"status":"ok","time":s}; every failure
 * {"time":0.0,"status":{"error":text},"result":null}: reply_problem() and its like, which know the
 * dialect of a request, print that too. Texts that programs test for are kept letter for letter
 * (docs/qdrant.md).
 *
 * Threads, ownership: as request.h. */
#ifndef API_QDRANT_H
#define API_QDRANT_H

#include "api/handlers.h"
#include "node/points.h"

/* The answer's buffer with the envelope's front printed; append the value of `result`. */
struct buf *qd_begin(struct request *req);
void qd_send(struct request *req); /* closes the envelope, 200 */
void qd_send_true(struct request *req);

/* HTTP status and text; the text as it stands (with its "Wrong input: " and so on). 429 and 503
 * carry a Retry-After. */
void qd_fail(struct request *req, int http_status, const char *format, ...) PRINTF_LIKE(3, 4);
/* What node said: ST_NOT_FOUND 404 "Not found: ", ST_INVALID and ST_UNSUPPORTED 400
 * "Wrong input: ", ST_EXISTS 409, ST_CONFLICT 409, ST_LIMIT 429 with Retry-After, ST_NOSPACE 507,
 * ST_DENIED 403 "Forbidden: ", ST_UNAVAILABLE 503, others 500 "Service internal error: ".
 * Of a write: as fail_write(), which knows the bucket. */
void qd_fail_status(struct request *req, status st, const struct err *err);

/* What parsing found. Handlers fill it, then qd_fail_parse(). */
enum qd_problem {
    QD_FORMAT,     /* 400 "Format error in JSON body: " */
    QD_INPUT,      /* 400 "Wrong input: " */
    QD_VALIDATION, /* 422 "Validation error in JSON body: [" text "]" */
    QD_NOT_FOUND,  /* 404 "Not found: " */
    QD_TOO_MUCH,   /* 503: out of memory; 413: the request needs more than one may */
};
struct qd_parse {
    enum qd_problem problem;
    char text[ERR_TEXT_BYTES];
};
bool qd_bad(struct qd_parse *p, enum qd_problem problem, const char *format, ...)
    PRINTF_LIKE(3, 4); /* returns false */
/* After qd_bad() for what stands at index in a member's list: says so behind the text,
 * "(points[7])". The first is not named; nor is anything behind QD_INPUT, whose texts other
 * programs know. */
bool qd_bad_at(struct qd_parse *p, const char *list, size_t index);      /* returns false */
bool qd_no_memory(struct qd_parse *p);                                   /* returns false */
task_state qd_fail_parse(struct request *req, const struct qd_parse *p); /* TASK_DONE */

/* The collection named by the first path parameter, or its alias, pinned; the body as an object.
 * Each answers and returns false on a problem. Values die with the next body this worker parses.
 * A member of value null counts as absent (qd_member() returns false). */
bool qd_collection(struct request *req);
bool qd_body(struct request *req, struct jval *root);
bool qd_body_optional(struct request *req, struct jval *root); /* no body: {} */
bool qd_member(struct jval object, const char *key, struct jval *out);
/* Query parameters of writes and reads: wait, timeout, ordering, consistency; others are ignored.
 * Answers and returns false on a value that cannot be. */
struct qd_terms {
    bool wait;
    uint64_t timeout_s; /* 0: none */
};
bool qd_terms(struct request *req, struct qd_terms *out);

/* Members that mean something on another route and would be read over on this one, names up to
 * NULL: false after qd_bad() when one is there. what: "a query". */
bool qd_none_of(struct qd_parse *p, struct jval body, const char *what, const char *const *names);
#define QD_NONE_OF(p, body, what, ...)                                                             \
    qd_none_of(p, body, what, (const char *const[]){__VA_ARGS__, NULL})

/* --- scalar members: out stays as it is where the member is absent; false after qd_bad() --- */
bool qd_bool(struct qd_parse *p, struct jval body, const char *key, bool *out);
/* An integer. Below min: QD_VALIDATION, as is one over max. */
bool qd_uint(struct qd_parse *p, struct jval body, const char *key, uint64_t min, uint64_t max,
             uint64_t *out);
bool qd_number(struct qd_parse *p, struct jval body, const char *key, double *out);
/* Borrowed from the document. */
bool qd_string(struct qd_parse *p, struct jval body, const char *key, struct slice *out);

/* --- what several bodies hold; results live in the request's arena --- */
bool qd_id(struct qd_parse *p, struct request *req, struct jval v, struct docid *out);
/* The id in the second path parameter. */
bool qd_path_id(struct qd_parse *p, struct request *req, struct docid *out);
bool qd_ids(struct qd_parse *p, struct request *req, struct jval v, struct docid **out,
            size_t *count);
/* A bound filter; *out is NULL where v is null. */
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
    bool binary;      /* as grpc_put_floats() puts them */
};
/* absent members: payload_default, no vectors. */
bool qd_want(struct qd_parse *p, struct request *req, struct jval body, bool payload_default,
             struct qd_want *out);
/* What node is to read for it. */
static inline struct read_want qd_read_want(const struct qd_want *want)
{
    return (struct read_want){.payload = want->payload.part != PAYLOAD_NONE,
                              .vectors = want->vectors};
}
uint64_t qd_all_fields(const struct collection *c); /* a bit for each */

void qd_print_id(struct buf *out, const struct docid *id);
/* `"vector":...`: null, a list for the unnamed form, an object for named ones. vectors by position,
 * may be NULL. */
void qd_print_vectors(struct buf *out, const struct collection *c, const float *const *vectors,
                      uint64_t which, bool binary);
/* `"id":..,"payload":..,"vector":..` in braces. */
void qd_print_record(struct buf *out, const struct collection *c, const struct document *d,
                     const struct qd_want *want);
/* The update result of a write that is under way. */
#define QD_WAIT_TIMEOUT "{\"operation_id\":null,\"status\":\"wait_timeout\"}"
/* {"operation_id":n,"status":"completed"|"acknowledged"} */
void qd_put_update(struct buf *out, const struct qd_terms *terms, uint64_t operation_id);
void qd_send_update(struct request *req, const struct qd_terms *terms, uint64_t operation_id);

#endif
