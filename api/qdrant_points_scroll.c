/* qdrant_points_scroll.c - pages of points, by rising id or in the order of a payload value.
 *
 * By id, what one request asks for is read and printed a few at a time and in slices: neither the
 * memory nor the wait of others depends on its limit. By value node makes the whole page at once;
 * it is printed in slices. */
#include "api/qdrant_points.h"

#include "base/log.h"

struct scrolling {
    struct qd_terms terms;
    struct qd_want want;
    struct scroll ask;
    struct docid from;             /* what ask.from points to */
    struct point_order order;      /* what ask.start_from points into */
    uint8_t next[DOCID_BYTES_MAX]; /* what a text id of `from` points to */
    uint64_t left;                 /* of the limit */
    struct arena page;             /* of `got` */
    struct scrolled got;
    uint32_t printed; /* of got */
    bool begun, any;  /* a page was read; a record stands in the answer */
};

static bool take_start(struct qd_parse *p, struct request *req, struct jval v,
                       struct filter_value *to)
{
    struct slice text;
    char *copy;

    *to = (struct filter_value){0};
    if (jval_u64(v, &to->u64)) {
        to->type = JBIN_T_U64;
        return true;
    }
    if (jval_i64(v, &to->i64)) {
        to->type = JBIN_T_I64;
        return true;
    }
    if (jval_f64(v, &to->f64)) {
        to->type = JBIN_T_F64;
        return true;
    }
    if (jval_type(v) != J_STRING)
        return points_wrong_type(p, "start_from", v, "a number or a datetime");
    text = jval_string(v);
    copy = arena_strndup(&req->arena, (const char *)text.data, text.bytes);
    if (copy == NULL)
        return qd_no_memory(p);
    to->type = JBIN_T_STRING;
    to->text = slice_make(copy, text.bytes);
    return true;
}

bool points_order(struct qd_parse *p, struct request *req, struct jval v, struct point_order *out)
{
    struct slice direction = slice_text("asc");
    struct jval key = v;
    struct jval start;

    *out = (struct point_order){0};
    if (jval_type(v) == J_OBJECT) {
        if (!qd_member(v, "key", &key))
            return points_missing(p, "key");
        if (!qd_string(p, v, "direction", &direction))
            return false;
        out->falling = slice_equal(direction, slice_text("desc"));
        if (!out->falling && !slice_equal(direction, slice_text("asc")))
            return qd_bad(p, QD_FORMAT, "direction: unknown variant, expected `asc` or `desc`");
        out->has_start = qd_member(v, "start_from", &start);
        if (out->has_start && !take_start(p, req, start, &out->start))
            return false;
    }
    return qd_path(p, req, "order_by", key, &out->by);
}

static bool take_order(struct qd_parse *p, struct request *req, struct jval v, struct scrolling *s)
{
    if (!points_order(p, req, v, &s->order))
        return false;
    s->ask.order_by = s->order.by;
    s->ask.falling = s->order.falling;
    s->ask.start_from = s->order.has_start ? &s->order.start : NULL;
    return true;
}

static bool parse_scroll(struct qd_parse *p, struct request *req, struct jval root,
                         struct scrolling *s)
{
    struct filter *filter = NULL;
    struct jval v;

    s->left = 10;
    if (!QD_NONE_OF(p, root, "a scroll", "query", "vector", "using", "prefetch", "params",
                    "score_threshold", "lookup_from", "group_by", "group_size", "with_lookup") ||
        !qd_uint(p, root, "limit", 1, UINT32_MAX, &s->left) ||
        (qd_member(root, "filter", &v) && !qd_filter(p, req, v, &filter)) ||
        (qd_member(root, "order_by", &v) && !take_order(p, req, v, s)) ||
        !qd_want(p, req, root, true, &s->want))
        return false;
    s->ask.filter = filter;
    s->ask.want = qd_read_want(&s->want);
    s->ask.limits = points_limits(req, &s->terms);
    if (!qd_member(root, "offset", &v))
        return true;
    if (s->ask.order_by != NULL)
        return qd_bad(p, QD_INPUT,
                      "`offset` does not go with `order_by`: say `start_from`, and leave out by "
                      "`filter` what was read");
    s->ask.from = &s->from;
    return qd_id(p, req, v, &s->from);
}

/* The next page begins where the last one ended; its arena goes. */
static void keep_next(struct scrolling *s)
{
    s->from = s->got.next;
    if (s->from.kind == DOCID_BYTES) {
        memcpy(s->next, s->from.bytes.data, s->from.bytes.bytes);
        s->from.bytes.data = s->next;
    }
    s->ask.from = &s->from;
}

static status read_page(struct request *req, struct scrolling *s, struct err *err)
{
    uint32_t page = points_page(req->collection, &s->want);
    status st;

    if (s->begun)
        keep_next(s);
    arena_free(&s->page);
    arena_init(&s->page, REQUEST_ARENA_BYTES_MAX);
    s->got = (struct scrolled){0};
    s->printed = 0;
    s->ask.limit = s->ask.order_by != NULL || s->left < page ? (uint32_t)s->left : page;
    st = node_scroll(req->collection, &s->ask, &s->page, &s->got, err);
    s->begun = true;
    s->left -= s->got.count < s->left ? s->got.count : s->left;
    return st;
}

static void print_one(struct request *req, struct scrolling *s)
{
    struct buf *out = &req->out;
    uint32_t i = s->printed++;

    if (s->any)
        buf_put_text(out, ",");
    s->any = true;
    qd_print_record(out, req->collection, &s->got.documents[i], &s->want);
    if (s->got.order_values == NULL || out->failed)
        return;
    out->bytes--; /* its closing brace */
    buf_put_text(out, ",\"order_value\":");
    points_print_order(out, &s->got.order_values[i]);
    buf_put_text(out, "}");
}

static task_state finish(struct request *req, struct scrolling *s)
{
    struct buf *out = &req->out;

    buf_put_text(out, "],\"next_page_offset\":");
    if (s->got.more && s->ask.order_by == NULL)
        qd_print_id(out, &s->got.next);
    else
        buf_put_text(out, "null");
    buf_put_text(out, "}");
    arena_free(&s->page);
    qd_send(req);
    return TASK_DONE;
}

static task_state fail(struct request *req, struct scrolling *s, status st, const struct err *err)
{
    arena_free(&s->page);
    qd_fail_status(req, st, err);
    return TASK_DONE;
}

static task_state go_on(struct request *req)
{
    struct scrolling *s = req->state;
    enum { RECORDS_A_LOOK = 16 }; /* at the clock */
    uint64_t until_ns = clock_mono_ns(req->api->options.clock) + EXEC_SLICE_NS;
    struct arena page = s->page; /* the state is gone once the request was answered */
    struct err err = {0};

    if (!request_wanted(req)) {
        arena_free(&page);
        return TASK_DONE;
    }
    while (!req->out.failed) {
        if (s->printed < s->got.count) {
            print_one(req, s);
            if (s->printed % RECORDS_A_LOOK != 0)
                continue;
        } else if (s->begun && (s->left == 0 || !s->got.more)) {
            break;
        } else {
            status st = read_page(req, s, &err);

            if (st != ST_OK)
                return fail(req, s, st, &err);
        }
        if (clock_mono_ns(req->api->options.clock) >= until_ns) {
            page = s->page;
            if (reply_grow(req))
                return TASK_AGAIN;
            arena_free(&page);
            return TASK_DONE;
        }
    }
    return finish(req, s);
}

static task_state scroll_slice(struct task *task)
{
    return request_slice(task, go_on);
}

task_state handle_qd_scroll(struct request *req)
{
    struct scrolling *s = arena_zero(&req->arena, sizeof *s);
    struct qd_parse p = {0};
    struct jval root;
    bool fine;

    if (s == NULL) {
        reply_problem(req, PROBLEM_NO_MEMORY, "out of memory for a read");
        return TASK_DONE;
    }
    if (!qd_terms(req, &s->terms) || !qd_collection(req) || !qd_body_optional(req, &root))
        return TASK_DONE;
    fine = parse_scroll(&p, req, root, s);
    request_json_done(req);
    if (!fine)
        return qd_fail_parse(req, &p);
    arena_init(&s->page, REQUEST_ARENA_BYTES_MAX);
    req->state = s;
    buf_put_text(qd_begin(req), "{\"points\":[");
    return request_select(req, s->ask.filter, scroll_slice);
}
