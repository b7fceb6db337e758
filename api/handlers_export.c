/* handlers_export.c - GET .../export: all documents, or those that match, in id order.
 *
 * A page is read and printed when the one before it has been taken by the socket, and begins behind
 * the id that one ended with: what is there all the time comes exactly once, what is written
 * meanwhile may come or not. Lines hold what an import takes, and nothing else; to go on after a
 * cut a client says the id of the last whole line it has (`after`). */
#include "api/document.h"
#include "api/download.h"
#include "api/handlers.h"

#include "base/log.h"
#include "base/mem.h"

#include <stdio.h>

enum {
    PAGE_BYTES = 256 * 1024, /* of text, about */
    PAGE_ROWS_MAX = 1000,
    FLOAT_TEXT_BYTES = 13,
    ROW_TEXT_BYTES = 64, /* of a document without its vectors, as a first guess */
    EXPORT_COST_NS = 2 * EXEC_INTERACTIVE_NS,
};

struct export
{
    bool fvecs;
    size_t field; /* of fvecs */
    bool has_after;
    struct docid after;
    char after_bytes[DOCID_BYTES_MAX]; /* what it points to, if it is bytes */
    const struct filter *filter;
    uint32_t rows; /* of the next page */
};

/* Documents with a page's ids behind the one before it; *more: others follow. */
static status read_page(struct request *req, const struct export *e, struct arena *arena,
                        struct scrolled *out, struct err *err)
{
    struct scroll s = {
        .filter = e->filter,
        .from = e->has_after ? &e->after : NULL,
        .limit = e->rows + e->has_after,
        .want = {.payload = !e->fvecs,
                 .vectors = e->fvecs ? UINT64_C(1) << e->field : DOCUMENT_ALL_VECTORS},
        .limits = {.deadline_ns = req->deadline_ns, .stop = &req->gone}};
    status st = node_scroll(req->collection, &s, arena, out, err);

    if (st != ST_OK)
        return st;
    /* It begins with the last of the page before, if that is still there and matches. */
    if (e->has_after && out->count > 0 && docid_equal(&out->documents[0].id, &e->after)) {
        out->documents++;
        out->count--;
    } else if (out->count > e->rows) {
        out->count = e->rows;
        out->more = true;
    }
    return ST_OK;
}

/* None and an empty one are the same. */
static void put_payload(struct buf *out, struct slice payload)
{
    static const char none[] = ",\"payload\":{}";
    size_t before = out->bytes;

    print_payload(out, payload);
    if (out->bytes - before == sizeof none - 1 &&
        memcmp(out->data + before, none, sizeof none - 1) == 0)
        out->bytes = before;
}

static void print_line(struct buf *out, const struct collection *c, const struct document *doc)
{
    buf_put_text(out, "{\"doc_id\":");
    print_doc_id(out, &doc->id, node_string_ids(c));
    if (doc->external_id.bytes > 0)
        print_external_id(out, doc->external_id);
    document_print_vectors(out, c, (const float *const *)doc->vectors, DOCUMENT_ALL_VECTORS);
    put_payload(out, doc->payload);
    buf_put_text(out, "}\n");
}

/* A document without the vector has no row. */
static void print_row(struct buf *out, uint32_t dim, const float *vector)
{
    if (vector == NULL)
        return;
    buf_put_u32(out, dim);
    for (uint32_t i = 0; i < dim; i++)
        buf_put_f32(out, vector[i]);
}

static void print_page(struct request *req, const struct export *e, const struct scrolled *page)
{
    for (uint32_t i = 0; i < page->count; i++) {
        if (e->fvecs)
            print_row(&req->out, node_field(req->collection, e->field)->dimension,
                      page->documents[i].vectors[e->field]);
        else
            print_line(&req->out, req->collection, &page->documents[i]);
    }
}

static void go_behind(struct export *e, const struct docid *id)
{
    e->has_after = true;
    e->after = *id;
    if (id->kind != DOCID_BYTES)
        return;
    memcpy(e->after_bytes, id->bytes.data, id->bytes.bytes);
    e->after.bytes.data = (const uint8_t *)e->after_bytes;
}

/* The next page as long as this one should have been. */
static void fit(struct export *e, size_t bytes, uint32_t rows)
{
    uint64_t next = rows == 0 || bytes == 0 ? e->rows : (uint64_t)PAGE_BYTES * rows / bytes;

    if (next > 2 * (uint64_t)e->rows)
        next = 2 * (uint64_t)e->rows;
    e->rows = next > PAGE_ROWS_MAX ? PAGE_ROWS_MAX : next == 0 ? 1 : (uint32_t)next;
}

/* One page into req->out; *last: no other follows. Fewer documents where memory is out. */
static status next_page(struct request *req, struct export *e, bool *last, struct err *err)
{
    struct scrolled page = {0};
    struct arena arena;
    status st;

    arena_init(&arena, REQUEST_ARENA_BYTES_MAX);
    st = read_page(req, e, &arena, &page, err);
    while (st == ST_NOMEM && e->rows > 1) {
        e->rows /= 2;
        arena_free(&arena);
        arena_init(&arena, REQUEST_ARENA_BYTES_MAX);
        st = read_page(req, e, &arena, &page, err);
    }
    if (st == ST_OK) {
        *last = !page.more || page.count == 0;
        print_page(req, e, &page);
        if (page.count > 0)
            go_behind(e, &page.documents[page.count - 1].id);
        fit(e, req->out.bytes, page.count);
    }
    arena_free(&arena);
    return st;
}

static void fail(struct request *req, status st, const struct err *err)
{
    if (req->download->begun) {
        reply_cut(req, err);
        return;
    }
    req->content_type = NULL;
    reply_status(req, st, err);
}

static task_state export_page(struct task *task)
{
    struct request *req = (struct request *)task;
    struct export *e = req->state;
    struct err err = {0};
    bool last = false;
    status st = ST_OK;

    if (atomic_load_explicit(&req->gone, memory_order_relaxed)) {
        reply_send(req, HTTP_CLIENT_GONE);
        return TASK_DONE;
    }
    log_context_set(req->id, collection_id_text(req->collection));
    while (st == ST_OK && !last && req->out.bytes == 0) /* a page may be of none with a vector */
        st = next_page(req, e, &last, &err);
    if (st != ST_OK)
        fail(req, st, &err);
    else
        reply_piece(req, last);
    log_context_set(NULL, NULL);
    return TASK_DONE;
}

static bool take_format(struct request *req, struct export *e)
{
    const struct slice *format = request_parameter(req, "format");

    if (format == NULL || slice_equal(*format, slice_text("ndjson")))
        return true;
    e->fvecs = slice_equal(*format, slice_text("fvecs"));
    if (e->fvecs)
        return true;
    if (slice_equal(*format, slice_text("npy")))
        reply_problem(req, PROBLEM_INVALID,
                      "`format`: a .npy says how many rows follow before the first, which nobody "
                      "knows here; `tiervec export` writes one");
    else
        reply_problem(req, PROBLEM_INVALID, "`format` must be ndjson or fvecs");
    return false;
}

static bool take_after(struct request *req, struct export *e)
{
    const struct slice *text = request_parameter(req, "after");
    struct docid id;
    struct err err;

    if (text == NULL)
        return true;
    if (docid_parse((const char *)text->data, text->bytes, node_string_ids(req->collection), &id,
                    &err) != ST_OK) {
        reply_problem(req, PROBLEM_INVALID, "`after` must be a doc_id: %s", err.text);
        return false;
    }
    go_behind(e, &id);
    return true;
}

task_state handle_export(struct request *req)
{
    static const char *const known[] = {"format", "after", "filter", "vector", NULL};
    struct export *e = arena_zero(&req->arena, sizeof *e);
    struct download *d = arena_zero(&req->arena, sizeof *d);
    uint64_t row_bytes;

    if (e == NULL || d == NULL) {
        reply_problem(req, PROBLEM_NO_MEMORY, "out of memory for an export");
        return TASK_DONE;
    }
    if (!request_parameters(req, known) || !take_format(req, e) || !request_pin_collection(req) ||
        !document_field_of_rows(req, !e->fvecs, &e->field) || !take_after(req, e) ||
        !take_filter_parameter(req, request_parameter(req, "filter"), &e->filter))
        return TASK_DONE;
    if (req->version_1_0) {
        reply_problem(req, PROBLEM_INVALID,
                      "an export is sent in chunks, which HTTP/1.0 does not know: ask in HTTP/1.1");
        return TASK_DONE;
    }
    row_bytes =
        ROW_TEXT_BYTES + FLOAT_TEXT_BYTES * document_floats(req->collection, DOCUMENT_ALL_VECTORS);
    e->rows = PAGE_BYTES / row_bytes > PAGE_ROWS_MAX ? PAGE_ROWS_MAX
              : PAGE_BYTES / row_bytes == 0          ? 1
                                                     : (uint32_t)(PAGE_BYTES / row_bytes);
    req->content_type = e->fvecs ? "application/octet-stream" : "application/x-ndjson";
    req->state = e;
    req->download = d;
    req->task.cost_ns = EXPORT_COST_NS;
    if (req->method == METHOD_HEAD) {
        reply_piece(req, true);
        return TASK_DONE;
    }
    return request_select(req, e->filter, export_page);
}
