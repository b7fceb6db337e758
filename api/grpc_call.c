/* grpc_call.c - a call becomes a request of its route, and the route's answer the call's. */
#include "api/grpc_call.h"
#include "api/grpc_shapes.h"

#include "api/handlers.h"
#include "api/qdrant_door.h"
#include "base/log.h"
#include "base/utf8.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

/* --- the request --- */

struct top { /* the last of each field of the outermost message that is not repeated */
    struct wire_field fields[GRPC_FIELDS_MAX];
};

static bool look(struct grpc_in *in, message_type type, struct slice message, struct top *top)
{
    struct rd r = rd_make(message);
    struct wire_field w;

    memset(top->fields, 0, type->n_fields * sizeof top->fields[0]);
    while (grpc_in_next(in, &r, &w)) {
        field_type f = protobuf_c_message_descriptor_get_field(type, w.number);

        if (f != NULL && f->label != PROTOBUF_C_LABEL_REPEATED)
            top->fields[f - type->fields] = w;
    }
    return !r.bad ||
           grpc_in_bad(in, "%s is cut short or malformed: not a message", type->short_name);
}

static const struct wire_field *field_of(message_type type, const struct top *top, const char *name,
                                         field_type *out)
{
    *out = protobuf_c_message_descriptor_get_field_by_name(type, name);
    return *out == NULL ? NULL : &top->fields[*out - type->fields];
}

static bool take_path(struct request *req, struct grpc_in *in, const struct grpc_route_call *call,
                      const struct top *top)
{
    for (size_t i = 0; i < COUNT_OF(call->path) && call->path[i] != NULL; i++) {
        const struct wire_field *w;
        field_type f;

        w = field_of(call->request, top, call->path[i], &f);
        if (w->number != 0 && w->kind != WIRE_BYTES)
            return grpc_in_bad(in, "`%s` is not of its type", f->name);
        if (!utf8_valid(w->bytes.data, w->bytes.bytes) ||
            (w->bytes.bytes > 0 && memchr(w->bytes.data, '\0', w->bytes.bytes) != NULL))
            return grpc_in_bad(in, "`%s` is not text", f->name);
        /* Handlers compare and print it: never without a place. */
        req->match.params[i] = w->bytes.bytes == 0 ? slice_text("") : w->bytes;
        req->match.param_count = i + 1;
    }
    in->collection = call->path[0] == NULL ? (struct slice){0} : req->match.params[0];
    return true;
}

/* {type} or {factor} of a small message. */
static bool take_choice(struct grpc_in *in, message_type type, struct slice message,
                        struct buf *out)
{
    struct wire_field last = {.number = 1};
    struct rd r = rd_make(message);
    struct wire_field w;
    const char *text;

    while (grpc_in_next(in, &r, &w)) {
        if (w.number > type->n_fields || w.kind != WIRE_VARINT)
            return grpc_in_bad(in, "field %u of %s is not known or not of its type", w.number,
                               type->short_name);
        last = w;
    }
    if (r.bad)
        return grpc_in_bad(in, "%s is malformed: not a message", type->short_name);
    if (last.number == 2) {
        json_put_u64(out, last.value);
        return true;
    }
    text = grpc_enum_text(type->fields[0].descriptor, last.value);
    if (text == NULL)
        return grpc_in_bad(in, "there is no value %" PRIu64 " of %s", last.value, type->short_name);
    buf_put_text(out, text);
    return true;
}

static bool put_parameter(struct grpc_in *in, field_type f, const struct wire_field *w,
                          struct buf *out)
{
    bool bytes = f->type == PROTOBUF_C_TYPE_STRING || f->type == PROTOBUF_C_TYPE_MESSAGE;

    if (w->kind != (bytes ? WIRE_BYTES : WIRE_VARINT))
        return grpc_in_bad(in, "`%s` is not of its type", f->name);
    if (f->type == PROTOBUF_C_TYPE_BOOL)
        buf_put_text(out, w->value != 0 ? "true" : "false");
    else if (f->type == PROTOBUF_C_TYPE_STRING)
        buf_put_slice(out, w->bytes);
    else if (f->type == PROTOBUF_C_TYPE_MESSAGE)
        return take_choice(in, f->descriptor, w->bytes, out);
    else
        json_put_u64(out, w->value);
    return true;
}

static bool take_query(struct request *req, struct grpc_in *in, const struct grpc_route_call *call,
                       const struct top *top)
{
    enum { PARAMETER_BYTES_MAX = 256 };
    struct buf text;
    bool fine = true;

    buf_init(&text, PARAMETER_BYTES_MAX);
    for (size_t i = 0; fine && call->query != NULL && call->query[i] != NULL; i++) {
        const struct wire_field *w;
        const char *copy;
        field_type f;

        w = field_of(call->request, top, call->query[i], &f);
        if (w == NULL || w->number == 0)
            continue;
        buf_reset(&text);
        fine = put_parameter(in, f, w, &text);
        if (fine && text.over)
            fine = grpc_in_bad(in, "`%s` is too long", f->name);
        copy = !fine || text.failed
                   ? NULL
                   : arena_strndup(&req->arena, text.bytes == 0 ? "" : (const char *)text.data,
                                   text.bytes);
        if (fine && copy == NULL)
            fine = grpc_in_no_memory(in);
        if (fine && strcmp(f->name, "read_consistency") == 0)
            req->query[req->query_count].name = slice_text("consistency");
        else if (fine)
            req->query[req->query_count].name = slice_text(f->name);
        if (fine)
            req->query[req->query_count++].value = slice_make(copy, text.bytes);
    }
    buf_free(&text);
    return fine;
}

static bool take_body(struct request *req, struct grpc_in *in, const struct grpc_route_call *call)
{
    const struct shape *shape = grpc_shape(call->request);
    const char *skip[8] = {NULL};
    size_t count = 0;
    bool first = true;

    for (size_t i = 0; i < COUNT_OF(call->path) && call->path[i] != NULL; i++)
        skip[count++] = call->path[i];
    for (size_t i = 0; call->query != NULL && call->query[i] != NULL; i++)
        skip[count++] = call->query[i];
    assert(count < COUNT_OF(skip));
    if (shape != NULL && shape->kind == SHAPE_OWN) {
        if (!shape->read(in, call->request, req->grpc->message))
            return false;
    } else {
        buf_put_text(in->out, "{");
        if (!grpc_in_members(in, call->request, req->grpc->message, skip, &first))
            return false;
        buf_put_text(in->out, "}");
    }
    if (call->verb == METHOD_GET || call->verb == METHOD_DELETE)
        buf_reset(in->out); /* nothing but path and query */
    else if (!buf_reserve(in->out, JSON_PADDING_BYTES) && in->out->over)
        return grpc_in_bad(in, "the message takes more than %zu bytes as JSON",
                           in->out->bytes_max - JSON_PADDING_BYTES);
    return !in->out->failed || grpc_in_no_memory(in);
}

static bool is_qdrant(const struct grpc_route_call *call)
{
    static const char package[] = "/qdrant.";

    return strncmp(call->method.path, package, sizeof package - 1) == 0;
}

/* As request_time_ms() does it with the parameter of a path: who waits for a read says how long. */
static void take_time(struct request *req, const struct grpc_route_call *call)
{
    uint64_t own_ns = qd_timeout_s(req) * UINT64_C(1000000000);

    if (is_qdrant(call) && call->method.kind == ROUTE_READ && own_ns > 0 &&
        req->start_ns + own_ns < req->deadline_ns)
        req->deadline_ns = req->start_ns + own_ns;
}

bool grpc_call_read(struct request *req, struct clock *clock, uint64_t until_ns, struct grpc_in *in)
{
    const struct grpc_route_call *call = (const struct grpc_route_call *)req->grpc->method;
    struct top top;
    bool fine;

    *in = (struct grpc_in){
        .clock = clock, .until_ns = until_ns, .arena = &req->arena, .out = &req->body};
    buf_reset(&req->body);
    req->query_count = 0;
    fine = look(in, call->request, req->grpc->message, &top) && take_path(req, in, call, &top) &&
           take_query(req, in, call, &top);
    if (fine)
        take_time(req, call);
    fine = fine && take_body(req, in, call);
    if (in->late)
        in->end = GRPC_IN_LATE;
    if (!fine || in->late)
        return false;
    req->grpc->floats = in->floats;
    req->grpc->float_count = in->float_count;
    return true;
}

const struct route *grpc_route_of(const struct grpc_route_call *call)
{
    bool qdrant = is_qdrant(call);
    const struct route *routes = qdrant ? QDRANT_ROUTES : API_ROUTES;
    size_t count = qdrant ? QDRANT_ROUTE_COUNT : API_ROUTE_COUNT;

    for (size_t i = 0; i < count; i++)
        if (routes[i].method == call->verb && strcmp(routes[i].pattern, call->route) == 0)
            return &routes[i];
    return NULL;
}

/* What large messages become counts together, until their requests end: some parts take more as
 * text than on the wire. */
static bool charge_body(struct request *req)
{
    enum { LARGE_BYTES = 64 * 1024 };
    struct api *api = req->api;
    uint64_t bytes = req->body.capacity;

    if (bytes <= LARGE_BYTES)
        return true;
    req->message_charged = bytes;
    if (atomic_fetch_add_explicit(&api->message_bytes, bytes, memory_order_relaxed) + bytes <=
        4 * api->options.qdrant_body_bytes_max)
        return true;
    reply_problem(req, PROBLEM_BODIES_FULL,
                  "what all messages under way take as JSON is over its bound");
    return false;
}

static task_state refuse(struct request *req, const struct grpc_in *in)
{
    if (in->out->over || req->arena.full)
        reply_problem(req, PROBLEM_BODY_TOO_LARGE, "what is read from the message takes too much");
    else if (in->end == GRPC_IN_NO_MEMORY || in->out->failed)
        reply_problem(req, PROBLEM_NO_MEMORY, "out of memory for this request");
    else
        reply_problem(req, PROBLEM_INVALID, "%s", in->text);
    return TASK_DONE;
}

/* Once more from its beginning, with the time of the request. */
static task_state run_slow(struct task *task)
{
    struct request *req = (struct request *)task; /* its first member */
    struct grpc_in in;
    task_state state = TASK_DONE;

    log_context_set(req->id, NULL);
    req->task.slow = false;
    if (grpc_call_read(req, req->api->options.clock, req->deadline_ns, &in))
        state = charge_body(req) ? req->match.route->run(req) : TASK_DONE;
    else if (in.end != GRPC_IN_LATE)
        state = refuse(req, &in);
    else
        reply_problem(req, PROBLEM_DEADLINE,
                      "the deadline passed while the message was read; nothing was done");
    log_context_set(NULL, NULL);
    return state;
}

/* A message of very many small parts takes its time among the slow tasks: one worker at least stays
 * with all else. Most are read in a fraction of a slice, whatever their size. */
task_state grpc_run(struct request *req)
{
    enum { READ_NS = 8 * EXEC_SLICE_NS };
    const struct grpc_route_call *call = (const struct grpc_route_call *)req->grpc->method;
    struct clock *clock = req->api->options.clock;
    struct grpc_in in;

    req->qdrant = is_qdrant(call);
    req->match.route = grpc_route_of(call);
    assert(req->match.route != NULL);
    if (grpc_call_read(req, clock, clock_mono_ns(clock) + READ_NS, &in))
        return charge_body(req) ? req->match.route->run(req) : TASK_DONE;
    if (in.end != GRPC_IN_LATE)
        return refuse(req, &in);
    req->task.slow = true;
    req->task.run = run_slow;
    return TASK_AGAIN;
}

/* --- the answer --- */

void grpc_call_print(const struct grpc_route_call *call, struct jval root, struct buf *out)
{
    struct grpc_out o = {.out = out};
    struct jval result;
    struct jval time;

    if (call->form != ANSWER_RESULT) {
        grpc_out_message(&o, call->answer, root);
        return;
    }
    if (jval_member(root, "result", &result))
        grpc_out_message(&o, call->answer, result);
    if (jval_member(root, "time", &time))
        grpc_out_field(&o, call->answer, "time", time);
}

bool grpc_call_wait_timeout(const struct request *req, struct buf *out)
{
    struct jdoc *doc = NULL;
    struct jval root;
    struct buf json;
    bool fine;

    buf_init(&json, REPLY_BYTES_MAX);
    qd_put_wait_timeout(&json, req);
    fine = !json.failed && jdoc_create(&doc, NULL) == ST_OK &&
           jdoc_parse(doc, buf_slice(&json), &root, NULL) == ST_OK;
    if (fine)
        grpc_call_print((const struct grpc_route_call *)req->grpc->method, root, out);
    jdoc_destroy(doc);
    buf_free(&json);
    return fine && !out->failed;
}

/* The text of the dialect's failure, as it stands. */
static void take_failure(struct request *req, struct jval root)
{
    struct jval part = root;
    struct jval text;

    if (req->qdrant ? jval_member(root, "status", &part) && jval_member(part, "error", &text)
                    : jval_member(root, "detail", &text))
        if (jval_type(text) == J_STRING)
            (void)snprintf(req->grpc->text, sizeof req->grpc->text, "%.*s",
                           (int)(jval_string(text).bytes < ERR_TEXT_BYTES ? jval_string(text).bytes
                                                                          : ERR_TEXT_BYTES),
                           (const char *)jval_string(text).data);
}

static void fail(struct request *req, enum grpc_status code, const char *text)
{
    req->grpc->status = code;
    if (text != NULL)
        (void)snprintf(req->grpc->text, sizeof req->grpc->text, "%s", text);
    buf_reset(&req->out);
}

void grpc_finish(struct request *req)
{
    const struct grpc_route_call *call = (const struct grpc_route_call *)req->grpc->method;
    enum grpc_status code = grpc_status_of_http(req->http_status);
    struct err err = {0};
    struct jval root;
    struct buf out;
    status st;

    buf_init(&out, REPLY_BYTES_MAX);
    st = request_json_text(req, buf_slice(&req->out), &root, &err);
    if (st == ST_OK && code == GRPC_OK) {
        grpc_call_print(call, root, &out);
        st = buf_status(&out, &err);
    } else if (st == ST_OK) {
        take_failure(req, root);
    }
    request_json_done(req);
    if (st != ST_OK && code == GRPC_OK) {
        fail(req, st == ST_NOMEM || st == ST_NOSPACE ? GRPC_RESOURCE_EXHAUSTED : GRPC_INTERNAL,
             st == ST_NOSPACE ? "the answer is over the limit of 64 MiB" : err.text);
        buf_free(&out);
    } else if (code != GRPC_OK) {
        /* Clients send UNAVAILABLE again by themselves, and what may be done they must not. */
        if (req->outcome_unknown)
            req->retry_after_s = 0;
        fail(req, req->outcome_unknown ? GRPC_DEADLINE_EXCEEDED : code, NULL);
        buf_free(&out);
    } else {
        buf_free(&req->out);
        req->out = out;
        req->grpc->status = GRPC_OK;
    }
}
