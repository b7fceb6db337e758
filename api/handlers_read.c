/* handlers_read.c - one document by id, and pages of them in id order. */
#include "api/document.h"
#include "api/handlers.h"

#include "node/cold_exec.h"
#include "node/points.h"

#include <inttypes.h>

/* Where it waits for the network, for as long as somebody waits for the answer. */
static status read_one(struct request *req, const struct docid *id, struct document *out,
                       struct err *err)
{
    const struct read_want want = {.payload = true,
                                   .vectors = DOCUMENT_ALL_VECTORS,
                                   .limits = {.deadline_ns = req->deadline_ns, .stop = &req->gone}};
    struct document *found = NULL;
    uint32_t count = 0;
    status st;

    if (!node_collection_waits(req->collection))
        return node_get(req->collection, id, &req->arena, out, err);
    st = node_retrieve(req->collection, id, 1, &want, &req->arena, &found, &count, err);
    if (st == ST_OK && count == 0)
        return ST_NOT_FOUND;
    if (st == ST_OK)
        *out = *found;
    return st;
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
    st = read_one(req, &id, &doc, &err);
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
    document_print(out, req->collection, &doc, DOCUMENT_ALL_VECTORS);
    buf_put_text(out, "}\n");
    reply_send(req, 200);
    return TASK_DONE;
}

/* --- pages --- */

struct page {
    uint32_t limit;
    const struct slice *vectors_text;
    uint64_t vectors; /* bit per position */
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

    *page = (struct page){.limit = API_DOC_LIST_DEFAULT,
                          .filter_text = request_parameter(req, "filter"),
                          .vectors_text = request_parameter(req, "with_vector")};
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

/* A parameter that is JSON text; what says what it must be. */
static bool parse_json_parameter(struct request *req, struct slice text, const char *name,
                                 const char *what, struct jval *out)
{
    struct err err = {0};
    status st = request_json_text(req, text, out, &err);

    if (st == ST_OK)
        return true;
    request_json_done(req);
    if (st == ST_INVALID)
        reply_problem(req, PROBLEM_INVALID,
                      "`%s` is not JSON: send the text of %s, percent-encoded: %s", name, what,
                      err.text);
    else
        reply_status(req, st, &err);
    return false;
}

bool take_filter_parameter(struct request *req, const struct slice *text, const struct filter **out)
{
    struct parse p = {0};
    struct jval v;
    bool fine;

    if (text == NULL)
        return true;
    if (!parse_json_parameter(req, *text, "filter", "an object", &v))
        return false;
    fine = parse_filter(req, &p, "filter", v, out);
    request_json_done(req);
    if (!fine)
        (void)fail_parse(req, &p);
    return fine;
}

/* `with_vector`: true, false, or the JSON text of a list of names. */
static bool take_vectors(struct request *req, struct page *page)
{
    const struct slice *text = page->vectors_text;
    struct parse p = {0};
    struct jval v;
    bool fine;

    if (text == NULL || slice_equal(*text, slice_text("false")))
        return true;
    page->vectors = DOCUMENT_ALL_VECTORS;
    if (slice_equal(*text, slice_text("true")))
        return true;
    if (text->bytes == 0 || text->data[0] != '[') {
        reply_problem(req, PROBLEM_INVALID,
                      "`with_vector` must be true, false or a list of names like [\"a\"]");
        return false;
    }
    if (!parse_json_parameter(req, *text, "with_vector", "a list of names", &v))
        return false;
    fine = document_want_vectors(req, &p, v, &page->vectors);
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
                       .want = {.payload = true, .vectors = page->vectors},
                       .limits = {.deadline_ns = req->deadline_ns, .stop = &req->gone}};
    struct scrolled found = {0};
    bool more = false;
    status st;

    *last = NULL;
    if (page->filter == NULL && !node_collection_waits(req->collection) &&
        (page->vectors == 0 || page->vectors == DOCUMENT_ALL_VECTORS)) {
        st = node_list(req->collection, page->has_after ? &page->after : NULL, page->limit,
                       page->vectors != 0, &req->arena, docs, count, &more, err);
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
        document_print(out, req->collection, &docs[i], page->vectors);
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
    uint64_t floats;

    if (page == NULL) {
        reply_problem(req, PROBLEM_NO_MEMORY, "out of memory for a page");
        return TASK_DONE;
    }
    if (!request_parameters(req, known) || !parse_page(req, page) || !request_pin_collection(req) ||
        !take_vectors(req, page) || !take_filter_parameter(req, page->filter_text, &page->filter))
        return TASK_DONE;
    floats = document_floats(req->collection, page->vectors);
    if (page->limit * floats * sizeof(float) > REPLY_BYTES_MAX) {
        reply_problem(req, PROBLEM_ANSWER_TOO_LARGE,
                      "%u documents with vectors of %" PRIu64
                      " values are over the limit of an answer; lower `limit`",
                      page->limit, floats);
        return TASK_DONE;
    }
    req->state = page;
    return request_select(req, page->filter, answer_page);
}
