/* handlers_import.c - POST and GET .../import (import.h): what is asked, and the answer. */
#include "api/document.h"
#include "api/handlers.h"
#include "api/import_internal.h"

#include "base/log.h"
#include "base/mem.h"

#include <inttypes.h>
#include <stdio.h>

enum { MEMBERS_BYTES = 256 };

/* --- the end --- */

static void import_free(struct import *in)
{
    import_fini(in);
    mem_free(in);
}

static void answer_problem(struct import *in)
{
    char members[MEMBERS_BYTES];
    struct request *req = in->req;
    int n = snprintf(members, sizeof members,
                     "\"imported\":%" PRIu64 ",\"acknowledged_lines\":%" PRIu64 ",\"lsn\":%" PRIu64,
                     in->count.imported, in->count.acknowledged, in->count.lsn);
    enum problem p = in->problem;
    char detail[ERR_TEXT_BYTES];

    if (in->bad_line > 0)
        (void)snprintf(members + n, sizeof members - (size_t)n, ",\"line\":%" PRIu64, in->bad_line);
    memcpy(detail, in->detail, sizeof detail);
    import_free(in);
    reply_problem_with(req, p, detail, members);
}

static void answer_done(struct import *in)
{
    const struct import_count count = in->count;
    const bool short_of = in->short_of;
    const bool remote = in->remote && count.imported > 0;
    struct request *req = in->req;
    struct buf *out;

    import_free(in);
    out = reply_begin(req);
    buf_put_text(out, "{");
    print_u64(out, true, "imported", count.imported);
    print_u64(out, false, "lines", count.lines);
    print_u64(out, false, "lsn", count.lsn);
    print_text(out, false, "durability", remote ? "remote" : "local");
    reply_put_latency(req, out);
    buf_put_text(out, "}\n");
    reply_send(req, short_of ? 202 : 200);
}

static task_state finish(struct import *in)
{
    struct api *api = in->req->api;

    upload_close(in->upload);
    imports_note(api->imports, in->place, &in->count, in->body_bytes + in->at);
    imports_end(api->imports, in->place, &in->count,
                in->wrong ? problem_row(in->problem)->code : "done",
                clock_wall_ns(api->options.clock));
    if (in->wrong)
        answer_problem(in);
    else
        answer_done(in);
    return TASK_DONE;
}

static task_state run_task(struct task *task)
{
    struct request *req = (struct request *)task;
    struct import *in = req->state;
    task_state state;

    log_context_set(req->id, collection_id_text(req->collection));
    state = import_go(in, import_step, finish);
    log_context_set(NULL, NULL);
    return state;
}

/* --- what is asked --- */

static bool take_number(struct request *req, const char *name, uint64_t *out)
{
    const struct slice *text = request_parameter(req, name);
    struct docid id;

    *out = 0;
    if (text == NULL)
        return true;
    /* Digits as those of a number that is an id. */
    if (docid_parse((const char *)text->data, text->bytes, false, &id, NULL) == ST_OK &&
        id.kind == DOCID_U64) {
        *out = id.u64;
        return true;
    }
    reply_problem(req, PROBLEM_INVALID, "`%s` must be an integer from 0 to %" PRIu64, name,
                  UINT64_MAX);
    return false;
}

/* By `format`, else by Content-Type; what is neither is taken for lines. */
static bool take_format(struct request *req, enum units_format *out)
{
    static const struct {
        const char *name, *type;
        enum units_format format;
    } formats[] = {{"ndjson", "application/x-ndjson", UNITS_NDJSON},
                   {"npy", "application/x-npy", UNITS_NPY},
                   {"fvecs", "application/x-fvecs", UNITS_FVECS}};
    const struct slice *name = request_parameter(req, "format");
    const struct slice *said = name != NULL ? name : &req->upload->type;

    *out = UNITS_NDJSON;
    for (size_t i = 0; i < COUNT_OF(formats); i++) {
        if (slice_equal(*said, slice_text(name != NULL ? formats[i].name : formats[i].type))) {
            *out = formats[i].format;
            return true;
        }
    }
    if (name == NULL)
        return true;
    reply_problem(req, PROBLEM_INVALID, "`format` must be ndjson, npy or fvecs");
    return false;
}

static bool begin(struct request *req, struct import *in)
{
    struct api *api = req->api;
    enum units_format format;
    uint32_t dim;

    if (!take_number(req, "skip", &in->skip) ||
        !take_number(req, "lines_before", &in->lines_before) ||
        !take_number(req, "first_id", &in->first_id) || !take_format(req, &format) ||
        !request_pin_collection(req) || !take_write_options(req, &in->options) ||
        !document_field_of_rows(req, format == UNITS_NDJSON, &in->field))
        return false;
    dim = format == UNITS_NDJSON ? 0 : node_field(req->collection, in->field)->dimension;
    in->place = imports_begin(api->imports, req, clock_wall_ns(api->options.clock));
    if (in->place < 0) {
        reply_problem(req, PROBLEM_TOO_MANY_REQUESTS,
                      "%d imports are under way, which is the limit", IMPORTS_MAX);
        return false;
    }
    import_init(in, req, format, dim);
    return true;
}

task_state handle_import(struct request *req)
{
    static const char *const known[] = {"format", "skip", "lines_before", "first_id", "durability",
                                        "vector", NULL};
    struct import *in;

    if (!request_parameters(req, known))
        return TASK_DONE;
    in = mem_zero(sizeof *in);
    if (in == NULL) {
        reply_problem(req, PROBLEM_NO_MEMORY, "out of memory for an import");
        return TASK_DONE;
    }
    if (!begin(req, in)) {
        mem_free(in);
        return TASK_DONE;
    }
    req->state = in;
    req->task.fair_key = collection_fair_key(req->collection);
    req->task.cost_ns = 2 * EXEC_INTERACTIVE_NS; /* whatever it is woken for */
    req->task.run = run_task;
    return run_task(&req->task);
}

task_state handle_imports(struct request *req)
{
    static const char *const none[] = {NULL};
    struct buf *out;

    if (!request_parameters(req, none) || !request_pin_collection(req))
        return TASK_DONE;
    out = reply_begin(req);
    buf_put_text(out, "{\"imports\":");
    imports_print(req->api->imports, out, collection_id_text(req->collection));
    buf_put_text(out, "}\n");
    reply_send(req, 200);
    return TASK_DONE;
}
