/* qdrant_points.h - what the files of the compatible dialect's points routes share: one write,
 * parsed whole before any of it is done, and how it is done and answered.
 *
 * Threads, ownership: as request.h. What is parsed lives in the request's arena. */
#ifndef API_QDRANT_POINTS_H
#define API_QDRANT_POINTS_H

#include "api/qdrant_handlers.h"

/* --- members --- */

bool points_missing(struct qd_parse *p, const char *member); /* returns false */
/* "expected an object", of the member, as it is said of wrong types; returns false */
bool points_wrong_type(struct qd_parse *p, const char *member, struct jval v, const char *expected);
/* Room for `more` items behind `count` in an array of the arena, of which there may be as many as a
 * record has rows; *items moves. */
bool points_room(struct qd_parse *p, struct request *req, void **items, size_t count,
                 size_t *capacity, size_t more, size_t size);

/* --- rows (qdrant_points_rows.c) --- */

struct point_rows {
    struct write_row *rows;
    size_t count, capacity;
};
/* {"id", "vector", "payload"}; without_payload: of a route that changes vectors alone. */
bool points_take(struct qd_parse *p, struct request *req, struct jval v, bool without_payload,
                 struct point_rows *rows);
/* An object, or null: {}. */
bool points_payload(struct qd_parse *p, struct request *req, struct jval v, struct slice *out);

struct point_column { /* of one vector field */
    float **vectors;
    size_t count, capacity;
};
struct point_columns { /* {"ids", "vectors", "payloads"} */
    struct docid *ids;
    size_t id_count, id_capacity;
    struct point_column *fields; /* by position; those of count 0 that are not `named` are absent */
    uint64_t named;              /* bit per position: the column is there */
    struct slice *payloads;
    size_t payload_count, payload_capacity;
    bool has_ids, has_vectors, has_payloads;
};
bool points_columns_begin(struct qd_parse *p, struct request *req, struct point_columns *c);
/* Each takes one more item of a column. */
bool points_column_id(struct qd_parse *p, struct request *req, struct jval v,
                      struct point_columns *c);
bool points_column_vector(struct qd_parse *p, struct request *req, struct jval v, size_t position,
                          struct point_columns *c);
bool points_column_payload(struct qd_parse *p, struct request *req, struct jval v,
                           struct point_columns *c);
/* A whole one, of a body that is parsed in one piece. */
bool points_columns_take(struct qd_parse *p, struct request *req, struct jval batch,
                         struct point_columns *c);
/* Rows of columns that are all as long as one another. */
bool points_columns_end(struct qd_parse *p, struct request *req, struct point_columns *c,
                        struct point_rows *rows);

/* --- one write --- */

enum point_write_kind { POINT_UPSERT, POINT_DELETE, POINT_CHANGE };
struct point_write {
    enum point_write_kind kind;
    struct write_options options;
    struct point_rows rows; /* POINT_UPSERT, CHANGE_VECTORS */
    struct selector which;  /* the others */
    struct change change;
};
typedef bool point_parse_fn(struct qd_parse *p, struct request *req, struct jval body,
                            struct point_write *out);
point_parse_fn points_parse_upsert, points_parse_delete, points_parse_merge, points_parse_replace,
    points_parse_delete_payload, points_parse_clear, points_parse_vectors,
    points_parse_delete_vectors;
/* update_filter */
bool points_take_filter(struct qd_parse *p, struct request *req, struct jval v,
                        struct write_options *out);

/* What a route that writes keeps while node works. */
struct point_job {
    struct qd_terms terms;
    struct point_write write;
    uint64_t lsn_before; /* told when nothing had to be written */
};
/* req->state of `bytes`, a point_job in front, with the terms and the collection; NULL when the
 * request has been answered. */
void *points_job(struct request *req, size_t bytes);
/* Hands the write to node; done() gets the request. False when there is nothing to write: done()
 * is not called then. */
bool points_run(struct request *req, struct point_write *write, const struct qd_terms *terms,
                node_write_fn *done);
/* The job's write, answered by an update result. */
void points_run_job(struct request *req, struct point_job *job);
void points_print_update(struct buf *out, const struct qd_terms *terms, uint64_t operation_id,
                         bool short_of_remote);
uint64_t points_last_lsn(struct collection *c);

/* --- reads --- */

/* Ends at the deadline of the request or of its terms, or when nobody waits any more. */
struct read_limits points_limits(const struct request *req, const struct qd_terms *terms);
/* How many documents are read and printed at a time, so that it takes about a slice. */
uint32_t points_page(const struct collection *c, const struct qd_want *want);
void points_print_value(struct buf *out, const struct filter_value *v);
/* `order_value`: a number; of a time the microseconds since 1970. */
void points_print_order(struct buf *out, const struct filter_value *v);
/* `order_by`: a key, or {"key", "direction", "start_from"}. */
struct point_order {
    const struct path *by;
    bool falling, has_start;
    struct filter_value start;
};
bool points_order(struct qd_parse *p, struct request *req, struct jval v, struct point_order *out);

#endif
