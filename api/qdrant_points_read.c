/* qdrant_points_read.c - points by id, counting, facets. */
#include "api/qdrant_points.h"
#include "filter/datetime.h"

#include "base/log.h"

struct read_limits points_limits(const struct request *req, const struct qd_terms *terms)
{
    uint64_t until_ns = req->start_ns + terms->timeout_s * 1000000000u;

    if (terms->timeout_s == 0 || until_ns > req->deadline_ns)
        until_ns = req->deadline_ns;
    return (struct read_limits){.deadline_ns = until_ns, .stop = &req->gone};
}

uint32_t points_page(const struct collection *c, const struct qd_want *want)
{
    enum { PAGE_MIN = 8, PAGE_MAX = 512, PAGE_FLOATS = 16 * 1024 };
    uint64_t floats = 1;
    uint64_t page;

    for (size_t i = 0; i < node_field_count(c); i++)
        floats += (want->vectors >> i & 1) != 0 ? node_field(c, i)->dimension : 0;
    page = PAGE_FLOATS / floats;
    return page < PAGE_MIN ? PAGE_MIN : page > PAGE_MAX ? PAGE_MAX : (uint32_t)page;
}

void points_print_value(struct buf *out, const struct filter_value *v)
{
    switch (v->type) {
    case JBIN_T_BOOL:
        buf_put_text(out, v->boolean ? "true" : "false");
        break;
    case JBIN_T_U64:
        json_put_u64(out, v->u64);
        break;
    case JBIN_T_I64:
        json_put_i64(out, v->i64);
        break;
    case JBIN_T_F64:
        json_put_f64(out, v->f64);
        break;
    case JBIN_T_STRING:
        json_put_string(out, v->text);
        break;
    case JBIN_T_NULL:
    case JBIN_T_ARRAY:
    case JBIN_T_OBJECT:
    case JBIN_T_BAD:
        buf_put_text(out, "null");
        break;
    }
}

void points_print_order(struct buf *out, const struct filter_value *v)
{
    enum { TICKS_MICROSECOND = 10 };
    int64_t ticks;

    if (v->type == JBIN_T_STRING && datetime_parse(v->text, &ticks))
        json_put_i64(out, ticks / TICKS_MICROSECOND - (ticks % TICKS_MICROSECOND < 0));
    else
        points_print_value(out, v);
}

/* --- by id --- */

struct retrieve {
    struct qd_terms terms;
    struct qd_want want;
    struct docid *ids;
    size_t count, at;
    bool printed; /* a record stands in the answer */
};

/* Leaves each id once, where it came first. */
static bool drop_doubled(struct qd_parse *p, struct request *req, struct docid *ids, size_t *count)
{
    size_t slots = 16;
    uint32_t *table;
    size_t kept = 0;

    if (*count > UINT32_MAX / 2)
        return qd_no_memory(p);
    while (slots < 2 * *count)
        slots *= 2;
    table = arena_zero(&req->arena, slots * sizeof *table);
    if (table == NULL)
        return qd_no_memory(p);
    for (size_t i = 0; i < *count; i++) {
        size_t at = (size_t)docid_hash(&ids[i]) & (slots - 1);

        while (table[at] != 0 && !docid_equal(&ids[table[at] - 1], &ids[i]))
            at = (at + 1) & (slots - 1);
        if (table[at] != 0)
            continue;
        ids[kept] = ids[i];
        table[at] = (uint32_t)++kept;
    }
    *count = kept;
    return true;
}

static bool parse_retrieve(struct qd_parse *p, struct request *req, struct jval root,
                           struct retrieve *r)
{
    struct jval ids;

    if (!qd_member(root, "ids", &ids))
        return points_missing(p, "ids");
    return QD_NONE_OF(p, root, "points by id", "filter", "limit", "offset", "order_by", "query") &&
           qd_ids(p, req, ids, &r->ids, &r->count) && drop_doubled(p, req, r->ids, &r->count) &&
           qd_want(p, req, root, true, &r->want);
}

/* The next few; false after an answer. */
static bool print_some(struct request *req, struct retrieve *r)
{
    struct read_want want = qd_read_want(&r->want);
    uint32_t page = points_page(req->collection, &r->want);
    size_t left = r->count - r->at;
    struct document *documents = NULL;
    struct err err = {0};
    struct arena arena;
    uint32_t count = 0;
    status st;

    if (left < page)
        page = (uint32_t)left;
    arena_init(&arena, REQUEST_ARENA_BYTES_MAX);
    want.limits = (struct read_limits){.deadline_ns = req->deadline_ns, .stop = &req->gone};
    st = node_retrieve(req->collection, r->ids + r->at, page, &want, &arena, &documents, &count,
                       &err);
    for (uint32_t i = 0; st == ST_OK && i < count; i++) {
        if (r->printed)
            buf_put_text(&req->out, ",");
        r->printed = true;
        qd_print_record(&req->out, req->collection, &documents[i], &r->want);
    }
    arena_free(&arena);
    r->at += page;
    if (st != ST_OK)
        qd_fail_status(req, st, &err);
    return st == ST_OK;
}

static task_state go_on(struct request *req)
{
    struct retrieve *r = req->state;
    uint64_t until_ns = clock_mono_ns(req->api->options.clock) + EXEC_SLICE_NS;

    if (!request_wanted(req))
        return TASK_DONE;
    while (r->at < r->count && !req->out.failed) {
        if (!print_some(req, r))
            return TASK_DONE;
        if (r->at < r->count && clock_mono_ns(req->api->options.clock) >= until_ns)
            return reply_grow(req) ? TASK_AGAIN : TASK_DONE;
    }
    buf_put_text(&req->out, "]");
    qd_send(req);
    return TASK_DONE;
}

static task_state retrieve_slice(struct task *task)
{
    return request_slice(task, go_on);
}

task_state handle_qd_retrieve(struct request *req)
{
    struct retrieve *r = arena_zero(&req->arena, sizeof *r);
    struct qd_parse p = {0};
    struct jval root;
    bool fine;

    if (r == NULL) {
        reply_problem(req, PROBLEM_NO_MEMORY, "out of memory for a read");
        return TASK_DONE;
    }
    if (!qd_terms(req, &r->terms) || !qd_collection(req) || !qd_body(req, &root))
        return TASK_DONE;
    fine = parse_retrieve(&p, req, root, r);
    request_json_done(req);
    if (!fine)
        return qd_fail_parse(req, &p);
    req->state = r;
    req->task.fair_key = collection_fair_key(req->collection);
    req->task.run = retrieve_slice;
    buf_put_text(qd_begin(req), "[");
    return retrieve_slice(&req->task);
}

task_state handle_qd_point(struct request *req)
{
    struct qd_want want = {.payload.part = PAYLOAD_WHOLE};
    struct document *document = NULL;
    struct qd_parse p = {0};
    struct read_want reads;
    struct qd_terms terms;
    struct err err = {0};
    struct docid id;
    uint32_t count = 0;
    status st;

    if (!qd_terms(req, &terms) || !qd_collection(req))
        return TASK_DONE;
    if (!qd_path_id(&p, req, &id))
        return qd_fail_parse(req, &p);
    want.vectors = qd_all_fields(req->collection);
    reads = qd_read_want(&want);
    reads.limits = (struct read_limits){.deadline_ns = req->deadline_ns, .stop = &req->gone};
    st = node_retrieve(req->collection, &id, 1, &reads, &req->arena, &document, &count, &err);
    if (st == ST_OK && count == 1) {
        qd_print_record(qd_begin(req), req->collection, document, &want);
        qd_send(req);
    } else if (st == ST_OK) {
        char text[DOCID_TEXT_BYTES];

        (void)docid_format(&id, text);
        qd_fail(req, 404, "Not found: No point with id %s found", text);
    } else {
        qd_fail_status(req, st, &err);
    }
    return TASK_DONE;
}

/* --- counting --- */

struct counting {
    struct qd_terms terms;
    struct filter *filter;
    bool exact;
};

static task_state count_points(struct task *task)
{
    struct request *req = (struct request *)task;
    const struct counting *c = req->state;
    struct read_limits limits = points_limits(req, &c->terms);
    struct err err = {0};
    uint64_t count = 0;
    struct buf *out;
    status st;

    if (!request_wanted(req))
        return TASK_DONE;
    st = node_count(req->collection, c->filter, c->exact, &limits, &req->arena, &count, &err);
    if (st != ST_OK) {
        qd_fail_status(req, st, &err);
        return TASK_DONE;
    }
    out = qd_begin(req);
    buf_put_text(out, "{\"count\":");
    json_put_u64(out, count);
    buf_put_text(out, "}");
    qd_send(req);
    return TASK_DONE;
}

task_state handle_qd_count(struct request *req)
{
    struct counting *c = arena_zero(&req->arena, sizeof *c);
    struct qd_parse p = {0};
    struct jval root;
    struct jval v;
    bool fine;

    if (c == NULL) {
        reply_problem(req, PROBLEM_NO_MEMORY, "out of memory for a read");
        return TASK_DONE;
    }
    c->exact = true;
    if (!qd_terms(req, &c->terms) || !qd_collection(req) || !qd_body_optional(req, &root))
        return TASK_DONE;
    fine = QD_NONE_OF(&p, root, "a count", "limit", "offset", "query", "vector", "using",
                      "score_threshold") &&
           qd_bool(&p, root, "exact", &c->exact) &&
           (!qd_member(root, "filter", &v) || qd_filter(&p, req, v, &c->filter));
    request_json_done(req);
    if (!fine)
        return qd_fail_parse(req, &p);
    req->state = c;
    return request_select(req, c->filter, count_points);
}

struct facet {
    struct qd_terms terms;
    const struct path *key;
    struct filter *filter;
    uint64_t limit;
    bool exact;
};

static bool parse_facet(struct qd_parse *p, struct request *req, struct jval root, struct facet *f)
{
    struct jval v;

    if (!qd_member(root, "key", &v))
        return points_missing(p, "key");
    f->limit = 10;
    return QD_NONE_OF(p, root, "a facet", "offset", "order_by", "query", "using") &&
           qd_path(p, req, "key", v, &f->key) && qd_bool(p, root, "exact", &f->exact) &&
           qd_uint(p, root, "limit", 1, UINT32_MAX, &f->limit) &&
           (!qd_member(root, "filter", &v) || qd_filter(p, req, v, &f->filter));
}

static task_state count_values(struct task *task)
{
    struct request *req = (struct request *)task;
    const struct facet *f = req->state;
    struct read_limits limits = points_limits(req, &f->terms);
    struct facet_hit *hits = NULL;
    struct err err = {0};
    uint32_t count = 0;
    struct buf *out;
    status st;

    if (!request_wanted(req))
        return TASK_DONE;
    st = node_facet(req->collection, f->key, f->filter, (uint32_t)f->limit, f->exact, &limits,
                    &req->arena, &hits, &count, &err);
    if (st != ST_OK) {
        qd_fail_status(req, st, &err);
        return TASK_DONE;
    }
    out = qd_begin(req);
    buf_put_text(out, "{\"hits\":[");
    for (uint32_t i = 0; i < count; i++) {
        buf_put_text(out, i == 0 ? "{\"value\":" : ",{\"value\":");
        points_print_value(out, &hits[i].value);
        buf_put_text(out, ",\"count\":");
        json_put_u64(out, hits[i].count);
        buf_put_text(out, "}");
    }
    buf_put_text(out, "]}");
    qd_send(req);
    return TASK_DONE;
}

task_state handle_qd_facet(struct request *req)
{
    struct facet *f = arena_zero(&req->arena, sizeof *f);
    struct qd_parse p = {0};
    struct jval root;
    bool fine;

    if (f == NULL) {
        reply_problem(req, PROBLEM_NO_MEMORY, "out of memory for a read");
        return TASK_DONE;
    }
    if (!qd_terms(req, &f->terms) || !qd_collection(req) || !qd_body(req, &root))
        return TASK_DONE;
    fine = parse_facet(&p, req, root, f);
    request_json_done(req);
    if (!fine)
        return qd_fail_parse(req, &p);
    req->state = f;
    return request_select(req, f->filter, count_values);
}
