/* qdrant_change.c - deleting points, and changing their payloads and vectors; how any write of this
 * dialect is handed to node and answered. */
#include "api/qdrant_points.h"

/* --- writing --- */

uint64_t points_last_lsn(struct collection *c)
{
    struct collection_info info;

    node_collection_info(c, &info);
    return info.last_lsn;
}

void *points_job(struct request *req, size_t bytes)
{
    struct point_job *job = arena_zero(&req->arena, bytes);

    if (job == NULL) {
        reply_problem(req, PROBLEM_NO_MEMORY, "out of memory for a write");
        return NULL;
    }
    req->state = job;
    return qd_terms(req, &job->terms) && qd_collection(req) ? job : NULL;
}

static bool is_simple(const struct write_options *o)
{
    return o->mode == WRITE_UPSERT && o->update_filter == NULL && o->durability == 0 &&
           o->wait_ms == 0;
}

bool points_run(struct request *req, struct point_write *write, const struct qd_terms *terms,
                node_write_fn *done)
{
    struct collection *c = req->collection;
    struct write_options *options = &write->options;

    /* Who does not wait is told what the log on this machine has. */
    if (!terms->wait)
        options->durability = NODE_LOCAL;
    options->wait_ms = terms->timeout_s * 1000u;
    if (write->kind == POINT_UPSERT) {
        if (write->rows.count == 0)
            return false;
        if (is_simple(options))
            node_write(c, write->rows.rows, write->rows.count, done, req);
        else
            node_write_with(c, write->rows.rows, write->rows.count, options, done, req);
        return true;
    }
    if (write->kind == POINT_CHANGE && write->change.kind == CHANGE_VECTORS) {
        write->change.rows = write->rows.rows;
        write->change.row_count = write->rows.count;
        if (write->rows.count == 0)
            return false;
    } else if (write->which.filter == NULL && write->which.count == 0) {
        return false;
    }
    options->uncounted = write->kind == POINT_DELETE; /* it is acknowledged, and no more */
    if (write->kind == POINT_DELETE)
        node_delete_with(c, &write->which, options, done, req);
    else
        node_change(c, &write->which, &write->change, options, done, req);
    return true;
}

void points_print_update(struct buf *out, const struct qd_terms *terms, uint64_t operation_id,
                         bool short_of_remote)
{
    if (!terms->wait || !short_of_remote) {
        qd_put_update(out, terms, operation_id);
        return;
    }
    buf_put_text(out, "{\"operation_id\":");
    json_put_u64(out, operation_id);
    buf_put_text(out, ",\"status\":\"wait_timeout\"}");
}

/* On the commit thread, or where the write was handed over when it was refused. */
static void on_written(void *arg, status st, const struct write_result *result,
                       const struct err *err)
{
    struct request *req = arg;
    const struct point_job *job = req->state;

    request_decide(req);
    if (st != ST_OK) {
        qd_fail_status(req, st, err);
        return;
    }
    points_print_update(qd_begin(req), &job->terms, result->lsn > 0 ? result->lsn : job->lsn_before,
                        result->short_of_remote);
    qd_send(req);
}

void points_run_job(struct request *req, struct point_job *job)
{
    const struct point_write *w = &job->write;

    if (w->kind != POINT_UPSERT || !is_simple(&w->options) || w->rows.count == 0)
        job->lsn_before = points_last_lsn(req->collection);
    request_hand(req);
    if (points_run(req, &job->write, &job->terms, on_written))
        return;
    points_print_update(qd_begin(req), &job->terms, job->lsn_before, false);
    qd_send(req);
}

/* --- what is asked --- */

/* Of upserts and new vectors: read over here they would let more change than was meant. */
static bool refuse_conditions(struct qd_parse *p, struct jval body)
{
    return QD_NONE_OF(p, body, "this route", "update_filter", "update_mode");
}

bool points_parse_delete(struct qd_parse *p, struct request *req, struct jval body,
                         struct point_write *out)
{
    *out = (struct point_write){.kind = POINT_DELETE};
    return refuse_conditions(p, body) && qd_selector(p, req, body, &out->which);
}

static bool parse_change(struct qd_parse *p, struct request *req, struct jval body,
                         enum change_kind kind, struct point_write *out)
{
    *out = (struct point_write){.kind = POINT_CHANGE, .change.kind = kind};
    if (!refuse_conditions(p, body) ||
        (kind != CHANGE_MERGE_PAYLOAD && kind != CHANGE_REPLACE_PAYLOAD &&
         !QD_NONE_OF(p, body, "this route", "key", "payload")))
        return false;
    return qd_selector(p, req, body, &out->which);
}

static bool parse_payload(struct qd_parse *p, struct request *req, struct jval body,
                          struct point_write *out)
{
    struct jval v;

    return qd_member(body, "payload", &v) ? points_payload(p, req, v, &out->change.payload)
                                          : points_missing(p, "payload");
}

bool points_parse_merge(struct qd_parse *p, struct request *req, struct jval body,
                        struct point_write *out)
{
    struct jval v;

    return parse_change(p, req, body, CHANGE_MERGE_PAYLOAD, out) &&
           parse_payload(p, req, body, out) &&
           (!qd_member(body, "key", &v) || qd_path(p, req, "key", v, &out->change.at));
}

bool points_parse_replace(struct qd_parse *p, struct request *req, struct jval body,
                          struct point_write *out)
{
    struct jval v;

    if (!parse_change(p, req, body, CHANGE_REPLACE_PAYLOAD, out) ||
        !parse_payload(p, req, body, out))
        return false;
    return !qd_member(body, "key", &v) ||
           qd_bad(p, QD_INPUT, "`key` does not go with replacing the whole payload");
}

bool points_parse_delete_payload(struct qd_parse *p, struct request *req, struct jval body,
                                 struct point_write *out)
{
    const struct path **paths;
    struct jval keys;
    size_t count = 0;

    if (!parse_change(p, req, body, CHANGE_DELETE_KEYS, out))
        return false;
    if (!qd_member(body, "keys", &keys))
        return points_missing(p, "keys");
    if (jval_type(keys) != J_ARRAY)
        return points_wrong_type(p, "keys", keys, "a list of strings");
    paths = arena_array(&req->arena, jval_count(keys) + 1, sizeof(struct path *));
    if (paths == NULL)
        return qd_no_memory(p);
    for (struct jiter it = jval_iter(keys); jiter_next(&it); count++)
        if (!qd_path(p, req, "keys", it.value, &paths[count]))
            return false;
    out->change.keys = paths;
    out->change.key_count = count;
    return true;
}

bool points_parse_clear(struct qd_parse *p, struct request *req, struct jval body,
                        struct point_write *out)
{
    return parse_change(p, req, body, CHANGE_CLEAR_PAYLOAD, out);
}

bool points_parse_vectors(struct qd_parse *p, struct request *req, struct jval body,
                          struct point_write *out)
{
    struct jval v;

    *out = (struct point_write){.kind = POINT_CHANGE, .change.kind = CHANGE_VECTORS};
    if (!QD_NONE_OF(p, body, "vectors", "update_mode", "filter") ||
        (qd_member(body, "update_filter", &v) && !points_take_filter(p, req, v, &out->options)))
        return false;
    if (!qd_member(body, "points", &v))
        return points_missing(p, "points");
    if (jval_type(v) != J_ARRAY)
        return points_wrong_type(p, "points", v, "a list");
    for (struct jiter it = jval_iter(v); jiter_next(&it);)
        if (!points_take(p, req, it.value, true, &out->rows))
            return false;
    return true;
}

bool points_parse_delete_vectors(struct qd_parse *p, struct request *req, struct jval body,
                                 struct point_write *out)
{
    struct jval names;

    if (!parse_change(p, req, body, CHANGE_DELETE_VECTORS, out))
        return false;
    if (!qd_member(body, "vector", &names))
        return points_missing(p, "vector");
    if (jval_type(names) != J_ARRAY)
        return points_wrong_type(p, "vector", names, "a list of names");
    for (struct jiter it = jval_iter(names); jiter_next(&it);) {
        size_t position = 0;

        if (jval_type(it.value) != J_STRING)
            return points_wrong_type(p, "vector", it.value, "a string");
        if (!qd_field(p, req, jval_string(it.value), &position))
            return false;
        out->change.fields |= UINT64_C(1) << position;
    }
    return out->change.fields != 0 ||
           qd_bad(p, QD_VALIDATION, "vector: the list is empty, it names the vectors to delete");
}

/* --- the routes --- */

static task_state write_route(struct request *req, point_parse_fn *parse)
{
    struct point_job *job = points_job(req, sizeof *job);
    struct qd_parse p = {0};
    struct jval root;
    bool fine;

    if (job == NULL || !qd_body(req, &root))
        return TASK_DONE;
    fine = parse(&p, req, root, &job->write);
    request_json_done(req);
    if (!fine)
        return qd_fail_parse(req, &p);
    points_run_job(req, job);
    return TASK_DONE;
}

task_state handle_qd_delete(struct request *req)
{
    return write_route(req, points_parse_delete);
}

task_state handle_qd_set_payload(struct request *req)
{
    return write_route(req, points_parse_merge);
}

task_state handle_qd_overwrite_payload(struct request *req)
{
    return write_route(req, points_parse_replace);
}

task_state handle_qd_delete_payload(struct request *req)
{
    return write_route(req, points_parse_delete_payload);
}

task_state handle_qd_clear_payload(struct request *req)
{
    return write_route(req, points_parse_clear);
}

task_state handle_qd_update_vectors(struct request *req)
{
    return write_route(req, points_parse_vectors);
}

task_state handle_qd_delete_vectors(struct request *req)
{
    return write_route(req, points_parse_delete_vectors);
}
