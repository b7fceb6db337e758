/* qdrant_points_upsert.c - PUT points: {"points": [..]} or {"batch": {..}}.
 *
 * A large body is walked along its outline (qdrant_points_cut.h) and parsed point by point, or
 * value by value of a column, in slices: small requests pass it, and no parser has to hold all of
 * it. Where that meets anything it does not take, the whole body is parsed in one piece, which then
 * says what is wrong. Nothing is written before all of it was read. */
#include "api/qdrant_points.h"
#include "api/qdrant_points_cut.h"

#include "base/log.h"

enum {
    UPSERT_SLICED_BYTES = 64 * 1024, /* bodies from here on are parsed in slices */
    UPSERT_CLOCK_BYTES = 16 * 1024,  /* parsed between looks at the clock */
};

bool points_take_filter(struct qd_parse *p, struct request *req, struct jval v,
                        struct write_options *out)
{
    struct filter *filter = NULL;

    if (!qd_filter(p, req, v, &filter))
        return false;
    out->update_filter = filter;
    return true;
}

static bool take_mode(struct qd_parse *p, struct jval v, struct write_options *out)
{
    static const char *const names[] = {[WRITE_UPSERT] = "upsert",
                                        [WRITE_INSERT_ONLY] = "insert_only",
                                        [WRITE_UPDATE_ONLY] = "update_only"};
    struct slice said = jval_string(v);

    out->mode = WRITE_UPSERT;
    if (jval_type(v) == J_NULL)
        return true;
    for (size_t i = 0; i < COUNT_OF(names) && jval_type(v) == J_STRING; i++) {
        if (!slice_equal(said, slice_text(names[i])))
            continue;
        out->mode = (enum write_mode)i;
        return true;
    }
    if (jval_type(v) == J_STRING)
        return qd_bad(p, QD_FORMAT,
                      "update_mode: unknown variant `%.*s`, expected `upsert`, `insert_only` or "
                      "`update_only`",
                      (int)(said.bytes < 64 ? said.bytes : 64), (const char *)said.data);
    return points_wrong_type(p, "update_mode", v, "`upsert`, `insert_only` or `update_only`");
}

static bool take_list(struct qd_parse *p, struct request *req, struct jval points,
                      struct point_rows *rows)
{
    if (jval_type(points) != J_ARRAY)
        return points_wrong_type(p, "points", points, "a list");
    for (struct jiter it = jval_iter(points); jiter_next(&it);)
        if (!points_take(p, req, it.value, false, rows))
            return false;
    return true;
}

bool points_parse_upsert(struct qd_parse *p, struct request *req, struct jval body,
                         struct point_write *out)
{
    struct point_columns columns;
    struct jval points;
    struct jval batch;
    struct jval v;
    bool has_points = qd_member(body, "points", &points);
    bool has_batch = qd_member(body, "batch", &batch);

    *out = (struct point_write){.kind = POINT_UPSERT};
    if (!QD_NONE_OF(p, body, "an upsert", "filter", "ids", "vectors", "payloads"))
        return false;
    if (has_points == has_batch)
        return qd_bad(p, QD_FORMAT, "%s of `points` and `batch` is needed",
                      has_points ? "only one" : "one");
    if ((qd_member(body, "update_filter", &v) && !points_take_filter(p, req, v, &out->options)) ||
        (qd_member(body, "update_mode", &v) && !take_mode(p, v, &out->options)))
        return false;
    if (has_points)
        return take_list(p, req, points, &out->rows);
    return points_columns_begin(p, req, &columns) && points_columns_take(p, req, batch, &columns) &&
           points_columns_end(p, req, &columns, &out->rows);
}

/* --- in slices --- */

enum upsert_stage { /* what the walk is in the middle of */
                    AT_TOP,
                    IN_POINTS,
                    IN_BATCH,
                    IN_IDS,
                    IN_VECTORS, /* its columns by name */
                    IN_COLUMN,
                    IN_PAYLOADS,
};

struct upsert {
    struct point_job job;
    struct cut cut;
    enum upsert_stage stage;
    struct cut_list top, batch, columns, list; /* those that are open */
    struct point_columns taken;
    bool is_points, is_batch;
    bool by_name;    /* the columns of vectors */
    size_t position; /* of the column in IN_COLUMN */
};

enum upsert_step { UPSERT_MORE, UPSERT_ALL, UPSERT_WHOLE, UPSERT_FAILED };

static task_state upsert_whole(struct request *req)
{
    struct upsert *u = req->state;
    struct qd_parse p = {0};
    struct jval root;
    bool fine;

    if (!qd_body(req, &root))
        return TASK_DONE;
    fine = points_parse_upsert(&p, req, root, &u->job.write);
    request_json_done(req);
    if (!fine)
        return qd_fail_parse(req, &p);
    points_run_job(req, &u->job);
    return TASK_DONE;
}

static enum upsert_step outcome(bool fine)
{
    return fine ? UPSERT_MORE : UPSERT_FAILED;
}

/* A member beside the points. */
static enum upsert_step take_member(struct request *req, struct upsert *u, struct qd_parse *p,
                                    struct slice key)
{
    struct write_options *options = &u->job.write.options;
    enum upsert_step step = UPSERT_WHOLE;
    struct slice text;
    struct jval v;

    if (!cut_value(&u->cut, &text) || !request_json_part(req, text, &v))
        return UPSERT_WHOLE;
    if (slice_equal(key, slice_text("update_filter")))
        step = outcome(points_take_filter(p, req, v, options));
    else if (slice_equal(key, slice_text("update_mode")))
        step = outcome(take_mode(p, v, options));
    else if (slice_equal(key, slice_text("shard_key")))
        step = UPSERT_MORE;
    request_json_done(req);
    return step;
}

static enum upsert_step step_top(struct request *req, struct upsert *u, struct qd_parse *p)
{
    struct slice key = {0};

    switch (cut_next(&u->cut, &u->top, &key)) {
    case CUT_OTHER:
        return UPSERT_WHOLE;
    case CUT_END:
        return cut_at_end(&u->cut) && u->is_points != u->is_batch ? UPSERT_ALL : UPSERT_WHOLE;
    case CUT_ITEM:
        break;
    }
    if (slice_equal(key, slice_text("points")) && !u->is_points &&
        cut_open(&u->cut, &u->list, '[')) {
        u->is_points = true;
        u->stage = IN_POINTS;
        return UPSERT_MORE;
    }
    if (slice_equal(key, slice_text("batch")) && !u->is_batch &&
        cut_open(&u->cut, &u->batch, '{')) {
        u->is_batch = true;
        u->stage = IN_BATCH;
        return outcome(points_columns_begin(p, req, &u->taken));
    }
    return take_member(req, u, p, key);
}

static enum upsert_step enter(struct upsert *u, bool *has, enum upsert_stage stage)
{
    if (*has || !cut_open(&u->cut, &u->list, '['))
        return UPSERT_WHOLE;
    *has = true;
    u->stage = stage;
    return UPSERT_MORE;
}

static enum upsert_step enter_column(struct request *req, struct upsert *u, struct qd_parse *p,
                                     struct slice name)
{
    if (!cut_open(&u->cut, &u->list, '['))
        return UPSERT_WHOLE;
    if (!qd_field(p, req, name, &u->position))
        return UPSERT_FAILED;
    if ((u->taken.named >> u->position & 1) != 0)
        return UPSERT_WHOLE;
    u->taken.named |= UINT64_C(1) << u->position;
    u->stage = IN_COLUMN;
    return UPSERT_MORE;
}

static enum upsert_step enter_vectors(struct request *req, struct upsert *u, struct qd_parse *p)
{
    if (u->taken.has_vectors)
        return UPSERT_WHOLE;
    u->taken.has_vectors = true;
    u->by_name = cut_peek(&u->cut) == '{';
    if (!u->by_name)
        return enter_column(req, u, p, slice_text(""));
    u->stage = IN_VECTORS;
    return cut_open(&u->cut, &u->columns, '{') ? UPSERT_MORE : UPSERT_WHOLE;
}

static enum upsert_step step_batch(struct request *req, struct upsert *u, struct qd_parse *p)
{
    struct slice key = {0};

    switch (cut_next(&u->cut, &u->batch, &key)) {
    case CUT_OTHER:
        return UPSERT_WHOLE;
    case CUT_END:
        u->stage = AT_TOP;
        return UPSERT_MORE;
    case CUT_ITEM:
        break;
    }
    if (slice_equal(key, slice_text("ids")))
        return enter(u, &u->taken.has_ids, IN_IDS);
    if (slice_equal(key, slice_text("payloads")))
        return enter(u, &u->taken.has_payloads, IN_PAYLOADS);
    if (slice_equal(key, slice_text("vectors")))
        return enter_vectors(req, u, p);
    return UPSERT_WHOLE;
}

static enum upsert_step step_vectors(struct request *req, struct upsert *u, struct qd_parse *p)
{
    struct slice name = {0};

    switch (cut_next(&u->cut, &u->columns, &name)) {
    case CUT_OTHER:
        return UPSERT_WHOLE;
    case CUT_END:
        u->stage = IN_BATCH;
        return UPSERT_MORE;
    case CUT_ITEM:
        break;
    }
    return enter_column(req, u, p, name);
}

static bool take_item(struct request *req, struct upsert *u, struct qd_parse *p, struct jval v)
{
    switch (u->stage) {
    case IN_POINTS:
        return points_take(p, req, v, false, &u->job.write.rows);
    case IN_IDS:
        return points_column_id(p, req, v, &u->taken);
    case IN_COLUMN:
        return points_column_vector(p, req, v, u->position, &u->taken);
    case IN_PAYLOADS:
        return points_column_payload(p, req, v, &u->taken);
    case AT_TOP:
    case IN_BATCH:
    case IN_VECTORS:
        break;
    }
    return false;
}

/* One more of the list that is open. */
static enum upsert_step step_list(struct request *req, struct upsert *u, struct qd_parse *p)
{
    struct slice unused = {0};
    enum upsert_step step;
    struct slice item;
    struct jval v;

    switch (cut_next(&u->cut, &u->list, &unused)) {
    case CUT_OTHER:
        return UPSERT_WHOLE;
    case CUT_END:
        if (u->stage == IN_POINTS)
            u->stage = AT_TOP;
        else
            u->stage = u->stage == IN_COLUMN && u->by_name ? IN_VECTORS : IN_BATCH;
        return UPSERT_MORE;
    case CUT_ITEM:
        break;
    }
    if (!cut_value(&u->cut, &item) || !request_json_part(req, item, &v))
        return UPSERT_WHOLE;
    step = outcome(take_item(req, u, p, v));
    request_json_done(req);
    return step;
}

static enum upsert_step take_next(struct request *req, struct upsert *u, struct qd_parse *p)
{
    switch (u->stage) {
    case AT_TOP:
        return step_top(req, u, p);
    case IN_BATCH:
        return step_batch(req, u, p);
    case IN_VECTORS:
        return step_vectors(req, u, p);
    case IN_POINTS:
    case IN_IDS:
    case IN_COLUMN:
    case IN_PAYLOADS:
        break;
    }
    return step_list(req, u, p);
}

static task_state take_slice(struct request *req)
{
    struct upsert *u = req->state;
    uint64_t until_ns = clock_mono_ns(req->api->options.clock) + EXEC_SLICE_NS;
    enum upsert_step step = UPSERT_MORE;
    struct qd_parse p = {0};
    size_t looked = u->cut.at;

    if (!request_wanted(req))
        return TASK_DONE;
    while (step == UPSERT_MORE) {
        step = take_next(req, u, &p);
        if (step != UPSERT_MORE || (req->grpc == NULL && u->cut.at - looked < UPSERT_CLOCK_BYTES))
            continue;
        looked = u->cut.at;
        if (clock_mono_ns(req->api->options.clock) >= until_ns)
            return TASK_AGAIN;
    }
    if (step == UPSERT_WHOLE)
        return upsert_whole(req);
    if (step == UPSERT_ALL && u->is_batch)
        step = outcome(points_columns_end(&p, req, &u->taken, &u->job.write.rows));
    if (step == UPSERT_FAILED)
        return qd_fail_parse(req, &p);
    points_run_job(req, &u->job);
    return TASK_DONE;
}

static task_state upsert_slice(struct task *task)
{
    return request_slice(task, take_slice);
}

task_state handle_qd_upsert(struct request *req)
{
    struct upsert *u = points_job(req, sizeof *u);

    if (u == NULL)
        return TASK_DONE;
    u->cut = cut_make(buf_slice(&req->body));
    if (request_input_bytes(req) < UPSERT_SLICED_BYTES || !cut_open(&u->cut, &u->top, '{'))
        return upsert_whole(req);
    req->task.fair_key = collection_fair_key(req->collection);
    req->task.run = upsert_slice;
    return upsert_slice(&req->task);
}
