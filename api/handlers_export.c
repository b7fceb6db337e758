/* handlers_export.c - GET .../export: all documents, or those that match, in id order.
 *
 * A page is read and printed when the one before it has been taken by the socket. Lines hold what
 * an import takes, and nothing else; to go on after a cut a client says the id of the last whole
 * line it has (`after`). */
#include "api/document.h"
#include "api/download.h"
#include "api/export.h"
#include "api/handlers.h"

#include "base/log.h"
#include "base/mem.h"

#include <stdio.h>

enum { EXPORT_COST_NS = 2 * EXEC_INTERACTIVE_NS };

static void fail(struct request *req, status st, const struct err *err)
{
    if (req->download->begun) {
        reply_cut(req, err);
        return;
    }
    req->content_type = NULL;
    reply_status(req, st, err);
}

static task_state send_page(struct task *task)
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
    e->limits.deadline_ns = req->deadline_ns;           /* each piece has its own */
    while (st == ST_OK && !last && req->out.bytes == 0) /* a page may be of none with a vector */
        st = export_page(e, &req->out, &last, &err);
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
    export_go_behind(e, &id);
    return true;
}

task_state handle_export(struct request *req)
{
    static const char *const known[] = {"format", "after", "filter", "vector", NULL};
    struct export *e = arena_zero(&req->arena, sizeof *e);
    struct download *d = arena_zero(&req->arena, sizeof *d);

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
    export_begin(e, req->collection);
    e->limits.stop = &req->gone;
    req->content_type = e->fvecs ? "application/octet-stream" : "application/x-ndjson";
    req->state = e;
    req->download = d;
    req->task.cost_ns = EXPORT_COST_NS;
    if (req->method == METHOD_HEAD) {
        reply_piece(req, true);
        return TASK_DONE;
    }
    return request_select(req, e->filter, send_page);
}
