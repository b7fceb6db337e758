/* handlers_import.c - POST and GET .../import (import.h): the task of an import, from the first
 * piece of its body to the answer. */
#include "api/document.h"
#include "api/handlers.h"
#include "api/import.h"

#include "base/crypto.h"
#include "base/log.h"
#include "base/mem.h"
#include "index/vindex.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

enum {
    MS = 1000000,
    AGAIN_MS_MIN = 100,
    AGAIN_MS_MAX = 2000,
    CLOCK_BYTES = 16 * 1024, /* read between looks at the clock */
    MEMBERS_BYTES = 256,
    BODY_BYTES_KEPT = 4 * 1024 * 1024, /* of room for a line that is not whole; more is counted */
};

struct import {
    struct request *req; /* borrowed */
    struct upload *upload;
    struct import_count count;
    int place; /* in the list of imports */
    struct units units;
    size_t at;           /* of req->body: used up to here */
    uint64_t body_bytes; /* that were used before it */
    uint64_t skip;       /* lines that are passed over */
    uint64_t lines_before;
    uint64_t first_id;
    size_t field; /* that rows are of */
    struct write_options options;
    size_t line_charged; /* of the bound on lines that are not whole */
    enum upload_end end;
    bool read;     /* nothing more is read: all of it was, or some of it is wrong */
    bool failed;   /* a write failed for good: nothing more is written */
    bool remote;   /* so far all batches reached the bucket */
    bool short_of; /* some batch should have, and had not in time */
    /* The batch that is filled, behind those under way; oldest first. */
    struct import_batch batches[IMPORT_BATCHES];
    size_t oldest, used;
    struct import_batch *filling;
    /* What it ends with. */
    bool wrong;
    enum problem problem;
    uint64_t bad_line; /* 0: none is to blame */
    char detail[ERR_TEXT_BYTES];
};

static const char *unit_name(const struct import *in)
{
    return in->units.format == UNITS_NDJSON ? "line" : "row";
}

static uint64_t now_ns(const struct import *in)
{
    return clock_mono_ns(in->req->api->options.clock);
}

/* --- the end --- */

/* What is wrong with it first is what it ends with. */
static void end_with(struct import *in, enum problem p, uint64_t line, const char *format, ...)
    PRINTF_LIKE(4, 5);

static void end_with(struct import *in, enum problem p, uint64_t line, const char *format, ...)
{
    va_list args;

    in->read = true;
    if (in->wrong)
        return;
    in->wrong = true;
    in->problem = p;
    in->bad_line = line;
    if (line > 0)
        in->count.lines = line - 1; /* blank ones too */
    va_start(args, format);
    (void)vsnprintf(in->detail, sizeof in->detail, format, args);
    va_end(args);
}

static void import_free(struct import *in)
{
    for (size_t i = 0; i < IMPORT_BATCHES; i++)
        import_batch_free(&in->batches[i]);
    atomic_fetch_sub(&in->req->api->line_bytes, in->line_charged);
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

/* --- batches --- */

static struct import_batch *batch_at(struct import *in, size_t i)
{
    return &in->batches[(in->oldest + i) % IMPORT_BATCHES];
}

static size_t under_way(struct import *in)
{
    size_t count = 0;

    for (size_t i = 0; i < in->used; i++)
        count += batch_at(in, i)->state == IMPORT_WRITING;
    return count;
}

/* Whether what node refuses for now is worth a wait. */
static bool may_wait(const struct import *in, const struct import_batch *b)
{
    uint64_t patience_ns = (uint64_t)in->req->api->options.timeout_ms * MS;

    return (b->st == ST_LIMIT || b->st == ST_UNAVAILABLE) && !in->failed &&
           (in->end == UPLOAD_COMES || in->end == UPLOAD_WHOLE) &&
           !atomic_load_explicit(&in->req->gone, memory_order_relaxed) &&
           now_ns(in) - b->refused_ns < patience_ns;
}

static void write_later(struct import *in, struct import_batch *b)
{
    uint64_t wait_ms = (uint64_t)AGAIN_MS_MIN << (b->refusals < 5 ? b->refusals : 5);

    b->refusals++;
    b->again_ns = now_ns(in) + (wait_ms < AGAIN_MS_MAX ? wait_ms : AGAIN_MS_MAX) * MS;
    b->state = IMPORT_LATER;
}

static void look_at_ended(struct import *in, struct import_batch *b)
{
    if (b->st == ST_OK) {
        b->state = IMPORT_DONE;
        return;
    }
    if (b->refused_ns == 0)
        b->refused_ns = now_ns(in);
    if (may_wait(in, b)) {
        write_later(in, b);
        return;
    }
    if (!in->failed) /* also where a line behind is wrong: what is not there matters more */
        in->wrong = false;
    end_with(in, problem_of_write(in->req, b->st), 0, "%ss %" PRIu64 " to %" PRIu64 ": %s",
             unit_name(in), b->first_line, b->last_line, b->err.text);
    in->failed = true;
    b->state = IMPORT_FREE; /* stays in its place: nothing behind it is acknowledged */
}

/* Those at the front that are written. */
static void acknowledge(struct import *in)
{
    bool some = false;

    while (in->used > 0 && batch_at(in, 0)->state == IMPORT_DONE) {
        struct import_batch *b = batch_at(in, 0);

        in->count.acknowledged = b->last_line;
        in->count.imported += b->count;
        if (b->result.lsn > in->count.lsn)
            in->count.lsn = b->result.lsn;
        in->remote = in->remote && strcmp(b->result.durability, "remote") == 0;
        in->short_of = in->short_of || b->result.short_of_remote;
        import_batch_free(b);
        in->oldest = (in->oldest + 1) % IMPORT_BATCHES;
        in->used--;
        some = true;
    }
    if (!some)
        return;
    (void)atomic_fetch_add(&in->upload->steps, 1);
    imports_note(in->req->api->imports, in->place, &in->count, in->body_bytes + in->at);
}

/* Takes notice of what node has called back for, and writes again what is due. */
static void settle(struct import *in)
{
    uint64_t next_ns = 0;

    for (size_t i = 0; i < in->used; i++) {
        struct import_batch *b = batch_at(in, i);

        if (b->state == IMPORT_ENDED)
            look_at_ended(in, b);
        if (b->state == IMPORT_LATER && !in->failed && now_ns(in) >= b->again_ns)
            import_batch_write(b);
        if (b->state == IMPORT_LATER && (next_ns == 0 || b->again_ns < next_ns))
            next_ns = b->again_ns;
    }
    acknowledge(in);
    if (next_ns != 0)
        atomic_store(&in->upload->wake_at_ns, next_ns);
}

static bool shares_ids(struct import *in, const struct import_batch *b)
{
    for (size_t i = 0; i < in->used; i++) {
        const struct import_batch *other = batch_at(in, i);

        if (other->state != IMPORT_DONE && import_batch_shares(b, other))
            return true;
    }
    return false;
}

/* Hands the batch that was filled to node; false while one with the same ids is under way. */
static bool write_filled(struct import *in)
{
    struct import_batch *b = in->filling;

    if (shares_ids(in, b))
        return false;
    b->last_line = in->count.lines;
    b->options = in->options;
    in->used++;
    in->filling = NULL;
    import_batch_write(b);
    return true;
}

/* --- documents --- */

/* Version 8 of RFC 9562: what the rest holds is ours to say. The same line of the same body is the
 * same document whenever it is sent. */
static status id_of_line(struct slice line, uint64_t number, struct docid *out, struct err *err)
{
    uint8_t hash[CRYPTO_SHA256_BYTES];
    struct buf text;
    status st;

    buf_init(&text, line.bytes + sizeof number);
    buf_put_u64(&text, number);
    buf_put_slice(&text, line);
    st = buf_status(&text, err);
    if (st == ST_OK)
        st = crypto_sha256(buf_slice(&text), hash, err);
    buf_free(&text);
    if (st != ST_OK)
        return st;
    hash[6] = (uint8_t)((hash[6] & 0x0f) | 0x80);
    hash[8] = (uint8_t)((hash[8] & 0x3f) | 0x80);
    out->kind = DOCID_UUID;
    memcpy(out->uuid, hash, sizeof out->uuid);
    return ST_OK;
}

static bool take_line(struct import *in, struct slice line, uint64_t number)
{
    struct import_batch *b = in->filling;
    struct write_row *row = import_batch_row(b);
    struct parse p = {0};
    struct err err = {0};
    struct jval v;
    bool fine;

    if (!request_json_part(in->req, line, &v)) { /* once more, for what it says */
        status st = request_json_text(in->req, line, &v, &err);

        if (st != ST_OK) {
            request_json_done(in->req);
            end_with(in, st == ST_INVALID ? PROBLEM_BAD_JSON : problem_of_status(st), number,
                     "line %" PRIu64 ": %s", number, err.text);
            return false;
        }
    }
    fine = document_take(&b->holder, &p, v, row, &b->payload_at[b->count]);
    if (line.bytes > IMPORT_BATCH_BYTES)
        request_json_done(in->req);
    if (fine && row->id.kind == 0 &&
        id_of_line(line, in->lines_before + number, &row->id, &err) != ST_OK)
        fine = parse_fail(&p, PROBLEM_NO_MEMORY, "%s", err.text);
    if (!fine) {
        end_with(in, p.problem, number, "line %" PRIu64 ": %s", number, p.text);
        return false;
    }
    import_batch_keep(b, line.bytes, number);
    return true;
}

static bool take_floats(struct import *in, struct slice row_bytes, uint64_t number)
{
    struct import_batch *b = in->filling;
    struct write_row *row = import_batch_row(b);
    const struct collection *c = in->req->collection;
    struct rd r = rd_make(row_bytes);
    float *vector = arena_array(&b->holder.arena, in->units.dim, sizeof *vector);
    uint64_t index = in->lines_before + number - 1;
    bool zero = true;

    if (vector == NULL || !document_set_vector(&b->holder, row, in->field, vector)) {
        end_with(in, PROBLEM_NO_MEMORY, number, "out of memory for a vector");
        return false;
    }
    for (uint32_t i = 0; i < in->units.dim; i++) {
        vector[i] = rd_f32(&r);
        zero = zero && vector[i] == 0;
        if (isfinite(vector[i]))
            continue;
        end_with(in, PROBLEM_INVALID, number, "row %" PRIu64 ": value %" PRIu32 " is not finite",
                 number, i);
        return false;
    }
    if (zero && node_field(c, in->field)->metric == VMETRIC_COSINE) {
        end_with(in, PROBLEM_ZERO_VECTOR, number, "row %" PRIu64 ": all values are 0", number);
        return false;
    }
    if (index > UINT64_MAX - in->first_id) {
        end_with(in, PROBLEM_INVALID, number, "row %" PRIu64 ": its id is beyond %" PRIu64, number,
                 UINT64_MAX);
        return false;
    }
    row->id = docid_u64(in->first_id + index);
    import_batch_keep(b, row_bytes.bytes, number);
    return true;
}

/* --- the body --- */

/* How it ended, when it did not as its framing says. */
static void end_early(struct import *in)
{
    struct upload *u = in->upload;

    in->count.lines = in->units.count; /* blank ones too */
    switch (in->end) {
    case UPLOAD_STALLED:
        end_with(in, PROBLEM_SLOW_REQUEST, 0, "no byte of the body came for %" PRIu32 " s",
                 in->req->api->options.timeout_ms / 1000);
        break;
    case UPLOAD_CUT:
        end_with(in, PROBLEM_BAD_HTTP, 0, "the body ended before its framing says");
        break;
    case UPLOAD_BROKEN:
        end_with(in, problem_of_http(u->http_status), 0, "%s", u->why);
        break;
    case UPLOAD_DRAINING:
        end_with(in, PROBLEM_DRAINING, 0, "this node is shutting down");
        break;
    case UPLOAD_COMES:
    case UPLOAD_WHOLE:
        break;
    }
}

/* A line that is longer than what others hold of theirs counts. */
static bool charge_line(struct import *in)
{
    struct api *api = in->req->api;
    uint64_t bound = 4 * api->options.body_bytes_max;
    size_t held = in->req->body.capacity > BODY_BYTES_KEPT ? in->req->body.capacity : 0;
    uint64_t all =
        atomic_fetch_add(&api->line_bytes, held - in->line_charged) + held - in->line_charged;

    in->line_charged = held;
    if (held == 0 || all <= bound)
        return true;
    end_with(in, PROBLEM_BODIES_FULL, in->units.count + 1,
             "the long lines of all imports under way are over their bound");
    return false;
}

/* Moves what is left to the front and appends what came; false when nothing did. */
static bool take_more(struct import *in)
{
    struct buf *body = &in->req->body;
    size_t left = body->bytes - in->at;
    enum upload_end end;

    if (in->at > 0 && left > 0)
        memmove(body->data, body->data + in->at, left);
    in->body_bytes += in->at;
    in->at = 0;
    body->bytes = left;
    if (left == 0 && body->capacity > BODY_BYTES_KEPT) {
        uint64_t bytes_max = body->bytes_max;

        buf_free(body);
        buf_init(body, bytes_max);
    }
    if (!upload_take(in->upload, body, &end)) {
        body->failed = false;
        end_with(in, PROBLEM_NO_MEMORY, 0, "out of memory for a piece of the body");
        return true;
    }
    if (body->bytes == left && end == in->end)
        return false;
    in->end = end;
    (void)charge_line(in);
    return true;
}

enum take { TAKE_SOME, TAKE_WAIT };

/* One line or row, or more of the body. */
static enum take take_next(struct import *in)
{
    struct slice have = slice_make(in->req->body.data + in->at, in->req->body.bytes - in->at);
    struct slice unit = {0};
    struct err err = {0};
    size_t used = 0;
    enum units_step step =
        units_next(&in->units, have, in->end == UPLOAD_WHOLE, &used, &unit, &err);
    uint64_t number = in->units.count;

    in->at += used;
    switch (step) {
    case UNITS_MORE:
        if (in->end != UPLOAD_COMES) {
            end_early(in);
            return TAKE_SOME;
        }
        return take_more(in) ? TAKE_SOME : TAKE_WAIT;
    case UNITS_END:
        in->count.lines = number;
        in->read = true;
        return TAKE_SOME;
    case UNITS_BAD:
        end_with(in, PROBLEM_INVALID, number + 1, "%s %" PRIu64 ": %s", unit_name(in), number + 1,
                 err.text);
        return TAKE_SOME;
    case UNITS_UNIT:
        break;
    }
    if (number > in->skip &&
        !(in->units.format == UNITS_NDJSON ? take_line : take_floats)(in, unit, number))
        return TAKE_SOME;
    in->count.lines = number;
    return TAKE_SOME;
}

/* Blank and skipped lines are done when all before them is. */
static void acknowledge_rest(struct import *in)
{
    if (in->used == 0 && (in->filling == NULL || in->filling->count == 0) && !in->failed)
        in->count.acknowledged = in->count.lines;
}

enum step { STEP_ON, STEP_WAIT, STEP_END };

static enum step step(struct import *in)
{
    settle(in);
    if (in->failed || (in->read && (in->filling == NULL || in->filling->count == 0))) {
        if (under_way(in) > 0 || (!in->failed && in->used > 0))
            return STEP_WAIT;
        acknowledge_rest(in);
        return STEP_END;
    }
    if (in->filling == NULL) {
        if (in->used == IMPORT_BATCHES)
            return STEP_WAIT;
        in->filling = batch_at(in, in->used);
        if (!import_batch_begin(in->filling, in->req)) {
            end_with(in, PROBLEM_NO_MEMORY, 0, "out of memory for a batch");
            in->filling = NULL;
            return STEP_ON;
        }
    }
    if (in->read || import_batch_full(in->filling))
        return write_filled(in) ? STEP_ON : STEP_WAIT;
    if (take_next(in) == TAKE_SOME)
        return STEP_ON;
    /* A body that comes slowly is not waited for with what there is of it. */
    if (in->filling->count > 0 && in->used == 0)
        return write_filled(in) ? STEP_ON : STEP_WAIT;
    acknowledge_rest(in);
    return STEP_WAIT;
}

static task_state run(struct import *in)
{
    uint64_t until_ns = now_ns(in) + EXEC_SLICE_NS;
    uint64_t looked_at = in->body_bytes + in->at;

    for (;;) {
        uint64_t at;

        switch (step(in)) {
        case STEP_END:
            return finish(in);
        case STEP_WAIT:
            if (upload_sleep(in->upload))
                return TASK_DONE;
            break;
        case STEP_ON:
            break;
        }
        at = in->body_bytes + in->at;
        if (at - looked_at < CLOCK_BYTES)
            continue;
        looked_at = at;
        if (now_ns(in) >= until_ns) {
            (void)atomic_fetch_add(&in->upload->steps, 1);
            return TASK_AGAIN;
        }
    }
}

static task_state run_task(struct task *task)
{
    struct request *req = (struct request *)task;
    struct import *in = req->state;
    task_state state;

    log_context_set(req->id, collection_id_text(req->collection));
    state = run(in);
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
    in->req = req;
    in->upload = req->upload;
    in->remote = true;
    units_init(&in->units, format, dim, api->options.body_bytes_max);
    buf_free(&req->body);
    buf_init(&req->body,
             api->options.body_bytes_max + 4 * (size_t)UPLOAD_BYTES + JSON_PADDING_BYTES);
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
