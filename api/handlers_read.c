/* handlers_read.c - one document by id, and pages of them in id order. */
#include "api/handlers.h"

#include "node/points.h"

static void print_floats(struct buf *out, const float *v, uint32_t dim)
{
    print_key(out, false, "vector");
    if (v == NULL)
        buf_put_text(out, "null");
    else
        json_put_floats(out, v, dim);
}

static void print_document(struct buf *out, const struct document *doc, uint32_t dim,
                           bool with_vector, bool string_ids)
{
    buf_put_text(out, "{\"doc_id\":");
    print_doc_id(out, &doc->id, string_ids);
    print_external_id(out, doc->external_id);
    if (with_vector) /* scrolls give the fields by position, plain reads the first alone */
        print_floats(out, doc->vectors != NULL ? doc->vectors[0] : doc->vector, dim);
    print_payload(out, doc->payload);
    print_time(out, false, "inserted_at", doc->inserted_at_ns);
    print_u64(out, false, "lsn", doc->lsn);
    buf_put_text(out, "}");
}

task_state handle_document(struct request *req)
{
    static const char *const none[] = {NULL};
    struct err err = {0};
    struct document doc;
    struct docid id;
    struct buf *out;
    status st;

    if (!request_parameters(req, none) || !request_pin_collection(req) || !request_doc_id(req, &id))
        return TASK_DONE;
    st = node_get(req->collection, &id, &req->arena, &doc, &err);
    if (st == ST_NOT_FOUND) {
        char text[DOCID_TEXT_BYTES];

        (void)docid_format(&id, text);
        reply_problem(req, PROBLEM_NO_DOCUMENT, "there is no document %s", text);
        return TASK_DONE;
    }
    if (st != ST_OK) {
        reply_status(req, st, &err);
        return TASK_DONE;
    }
    out = reply_begin(req);
    buf_put_text(out, "{\"document\":");
    print_document(out, &doc, collection_dimension(req->collection), true,
                   node_string_ids(req->collection));
    buf_put_text(out, "}\n");
    reply_send(req, 200);
    return TASK_DONE;
}

/* --- pages --- */

struct page {
    uint32_t limit;
    bool with_vector;
    bool has_after;
    struct docid after; /* where the page before ended */
    const struct slice *filter_text;
    const struct filter *filter;
};

static bool parse_limit(struct slice text, uint32_t *out)
{
    uint32_t n = 0;

    if (text.bytes == 0 || text.bytes > 4)
        return false;
    for (size_t i = 0; i < text.bytes; i++) {
        if (text.data[i] < '0' || text.data[i] > '9')
            return false;
        n = n * 10 + (uint32_t)(text.data[i] - '0');
    }
    *out = n;
    return n >= 1 && n <= API_DOC_LIST_MAX;
}

static bool parse_cursor(struct request *req, struct slice text, struct docid *out)
{
    struct slice raw;
    struct rd r;

    if (base64url_decode(&req->arena, text, &raw, NULL) != ST_OK || raw.bytes == 0)
        return false;
    r = rd_make(raw);
    *out = rd_docid(&r);
    return !r.bad && rd_left(&r) == 0;
}

static bool parse_page(struct request *req, struct page *page)
{
    const struct slice *limit = request_parameter(req, "limit");
    const struct slice *cursor = request_parameter(req, "cursor");
    const struct slice *with_vector = request_parameter(req, "with_vector");

    *page = (struct page){.limit = API_DOC_LIST_DEFAULT,
                          .filter_text = request_parameter(req, "filter")};
    if (limit != NULL && !parse_limit(*limit, &page->limit)) {
        reply_problem(req, PROBLEM_INVALID, "`limit` must be an integer from 1 to %d",
                      API_DOC_LIST_MAX);
        return false;
    }
    page->has_after = cursor != NULL;
    if (cursor != NULL && !parse_cursor(req, *cursor, &page->after)) {
        reply_problem(req, PROBLEM_INVALID,
                      "`cursor` is none that this server gave: use next_cursor of the page before");
        return false;
    }
    page->with_vector = with_vector != NULL && slice_equal(*with_vector, slice_text("true"));
    if (with_vector != NULL && !page->with_vector &&
        !slice_equal(*with_vector, slice_text("false"))) {
        reply_problem(req, PROBLEM_INVALID, "`with_vector` must be true or false");
        return false;
    }
    return true;
}

static void print_cursor(struct buf *out, const struct docid *last)
{
    struct buf raw;

    print_key(out, false, "next_cursor");
    if (last == NULL) {
        buf_put_text(out, "null");
        return;
    }
    buf_init(&raw, DOCID_BYTES_MAX + 16);
    buf_put_docid(&raw, last);
    out->failed = out->failed || raw.failed;
    buf_put_text(out, "\"");
    base64url_put(out, buf_slice(&raw));
    buf_put_text(out, "\"");
    buf_free(&raw);
}

/* `filter` is the JSON text of one. */
static bool take_filter(struct request *req, struct page *page)
{
    struct parse p = {0};
    struct err err = {0};
    struct jval v;
    status st;
    bool fine;

    if (page->filter_text == NULL)
        return true;
    st = request_json_text(req, *page->filter_text, &v, &err);
    if (st != ST_OK) {
        request_json_done(req);
        if (st == ST_INVALID)
            reply_problem(req, PROBLEM_INVALID,
                          "`filter` is not JSON: send the text of an object, percent-encoded: %s",
                          err.text);
        else
            reply_status(req, st, &err);
        return false;
    }
    fine = parse_filter(req, &p, "filter", v, &page->filter);
    request_json_done(req);
    if (!fine)
        (void)fail_parse(req, &p);
    return fine;
}

/* One page, and the last id of it where there are more. */
static status read_page(struct request *req, const struct page *page, struct document **docs,
                        uint32_t *count, const struct docid **last, struct err *err)
{
    struct scroll s = {.filter = page->filter,
                       .from = page->has_after ? &page->after : NULL,
                       .limit = page->limit + page->has_after,
                       .want = {.payload = true, .vectors = page->with_vector},
                       .limits = {.deadline_ns = req->deadline_ns, .stop = &req->gone}};
    struct scrolled found = {0};
    bool more = false;
    status st;

    *last = NULL;
    if (page->filter == NULL) {
        st = node_list(req->collection, page->has_after ? &page->after : NULL, page->limit,
                       page->with_vector, &req->arena, docs, count, &more, err);
    } else {
        st = node_scroll(req->collection, &s, &req->arena, &found, err);
        /* It begins with the last of the page before, if that is still there. */
        if (st == ST_OK && page->has_after && found.count > 0 &&
            docid_equal(&found.documents[0].id, &page->after)) {
            found.documents++;
            found.count--;
        } else if (found.count > page->limit) {
            found.count = page->limit;
            found.more = true;
        }
        *docs = found.documents;
        *count = found.count;
        more = found.more;
    }
    if (st == ST_OK && more && *count > 0)
        *last = &(*docs)[*count - 1].id;
    return st;
}

static task_state answer_page(struct task *task)
{
    struct request *req = (struct request *)task;
    const struct page *page = req->state;
    uint32_t dim = collection_dimension(req->collection);
    struct document *docs = NULL;
    const struct docid *last;
    struct err err = {0};
    uint32_t count = 0;
    struct buf *out;
    status st;

    if (!request_wanted(req))
        return TASK_DONE;
    st = read_page(req, page, &docs, &count, &last, &err);
    if (st != ST_OK) {
        reply_status(req, st, &err);
        return TASK_DONE;
    }
    out = reply_begin(req);
    buf_put_text(out, "{\"documents\":[");
    for (uint32_t i = 0; i < count; i++) {
        if (i > 0)
            buf_put_text(out, ",");
        print_document(out, &docs[i], dim, page->with_vector, node_string_ids(req->collection));
    }
    buf_put_text(out, "]");
    print_cursor(out, last);
    buf_put_text(out, "}\n");
    reply_send(req, 200);
    return TASK_DONE;
}

task_state handle_documents(struct request *req)
{
    static const char *const known[] = {"limit", "cursor", "with_vector", "filter", NULL};
    struct page *page = arena_zero(&req->arena, sizeof *page);
    uint32_t dim;

    if (page == NULL) {
        reply_problem(req, PROBLEM_NO_MEMORY, "out of memory for a page");
        return TASK_DONE;
    }
    if (!request_parameters(req, known) || !parse_page(req, page) || !request_pin_collection(req) ||
        !take_filter(req, page))
        return TASK_DONE;
    dim = collection_dimension(req->collection);
    if (page->with_vector && (uint64_t)page->limit * dim * sizeof(float) > REPLY_BYTES_MAX) {
        reply_problem(req, PROBLEM_ANSWER_TOO_LARGE,
                      "%u vectors of dimension %u are over the limit of an answer; lower `limit`",
                      page->limit, dim);
        return TASK_DONE;
    }
    req->state = page;
    return request_select(req, page->filter, answer_page);
}
