/* handlers_write.c - inserting documents.
 *
 * A worker turns the whole body into typed rows in the request's arena (floats straight from the
 * parsed document, payloads as binary blobs in one buffer) and hands them to node, which answers on
 * the commit thread. A large list is parsed document by document and in slices; where that meets
 * anything it does not take, the whole body is parsed in one piece, which then says what is wrong.
 */
#include "api/document.h"
#include "api/handlers.h"
#include "api/split.h"

#include "base/log.h"
#include "node/points.h"

static const char *const WRITE_PARAMETERS[] = {"durability", "if_lsn", NULL};

enum {
    INSERT_SLICED_BYTES = 64 * 1024, /* bodies from here on are parsed in slices */
    INSERT_ROW_BYTES_MIN = 15,       /* `{"vector":[1]},` */
    INSERT_CLOCK_BYTES = 16 * 1024,  /* parsed between looks at the clock */
};

struct insert {
    struct split split;
    struct write_row *rows;
    size_t count;
    size_t rows_max;    /* room in rows, while they come in slices */
    size_t *payload_at; /* of each row in req->payloads, which moves while it grows */
    bool many;
    bool ids_made; /* node makes the id of some row: the answer tells them */
    struct write_options options;
};

/* What a body may hold: a document, or `documents`. */
enum { MEMBER_DOCUMENTS = 5 };
static const struct member MEMBERS[] = {
    {"doc_id", false},  {"external_id", false}, {"vector", false},
    {"vectors", false}, {"payload", false},     [MEMBER_DOCUMENTS] = {"documents", false}};

static bool take_row(struct request *req, struct parse *p, struct jval v, struct insert *in,
                     size_t index)
{
    struct write_row *row = &in->rows[index];

    if (!document_take(req, p, v, row, &in->payload_at[index]))
        return false;
    in->ids_made = in->ids_made || row->id.kind == 0;
    return true;
}

static bool make_rows(struct request *req, struct parse *p, struct insert *in, size_t count)
{
    in->count = count;
    in->rows = arena_array(&req->arena, count, sizeof *in->rows);
    in->payload_at = arena_array(&req->arena, count, sizeof *in->payload_at);
    if (in->rows == NULL || in->payload_at == NULL)
        return parse_fail(p, PROBLEM_NO_MEMORY, "out of memory for %zu rows", count);
    memset(in->rows, 0, count * sizeof *in->rows);
    return true;
}

static bool take_documents(struct request *req, struct parse *p, struct jval root,
                           struct jval documents, struct insert *in)
{
    size_t count = jval_type(documents) == J_ARRAY ? jval_count(documents) : 0;

    for (struct jiter it = jval_iter(root); jiter_next(&it);) {
        int which = parse_member(p, MEMBERS, COUNT_OF(MEMBERS), &it);

        if (which < 0)
            return false;
        if (which < MEMBER_DOCUMENTS)
            return parse_fail(p, PROBLEM_INVALID, "`%s` may not stand beside `documents`",
                              MEMBERS[which].name);
    }
    if (jval_type(documents) != J_ARRAY)
        return parse_fail(p, PROBLEM_INVALID, "`documents` is of type %s, an array is needed",
                          jtype_name(jval_type(documents)));
    if (count == 0)
        return parse_fail(p, PROBLEM_INVALID, "`documents` is empty");
    if (count > req->api->options.batch_max)
        return parse_fail(p, PROBLEM_BATCH_TOO_LARGE,
                          "`documents` has %zu elements, the limit is %u", count,
                          req->api->options.batch_max);
    if (!make_rows(req, p, in, count))
        return false;
    p->list = "documents";
    p->index = 0;
    for (struct jiter it = jval_iter(documents); jiter_next(&it); p->index++)
        if (!take_row(req, p, it.value, in, p->index))
            return false;
    return true;
}

static void place_payloads(struct request *req, struct insert *in)
{
    for (size_t i = 0; i < in->count; i++) /* the buffer has stopped moving */
        if (in->rows[i].payload.bytes > 0)
            in->rows[i].payload.data = req->payloads.data + in->payload_at[i];
}

static bool take_insert(struct request *req, struct parse *p, struct jval root, struct insert *in)
{
    struct jval documents;

    /* A blob is never larger than this many times its text. */
    buf_init(&req->payloads, 16 * req->body.bytes + 1024);
    in->many = jval_member(root, "documents", &documents);
    if (in->many && !take_documents(req, p, root, documents, in))
        return false;
    if (!in->many && (!make_rows(req, p, in, 1) || !take_row(req, p, root, in, 0)))
        return false;
    return true;
}

void send_written(struct request *req, struct buf *out, const struct write_result *result)
{
    print_u64(out, false, "lsn", result->lsn);
    print_text(out, false, "durability", result->durability);
    reply_put_latency(req, out);
    buf_put_text(out, "}\n");
    reply_send(req, result->short_of_remote ? 202 : 200);
}

/* On the commit thread, or where node_write() was called when it refused. */
static void on_inserted(void *arg, status st, const struct write_result *result,
                        const struct err *err)
{
    struct request *req = arg;
    const struct insert *in = req->state;
    struct buf *out;

    if (st != ST_OK) {
        fail_write(req, st, err);
        return;
    }
    out = reply_begin(req);
    buf_put_text(out, in->many ? "{\"inserted\":" : "{\"doc_id\":");
    if (in->many)
        json_put_u64(out, result->count);
    else
        print_doc_id(out, &in->rows[0].id, node_string_ids(req->collection));
    if (in->many && in->ids_made) {
        buf_put_text(out, ",\"doc_ids\":[");
        for (size_t i = 0; i < in->count; i++) {
            if (i > 0)
                buf_put_text(out, ",");
            print_doc_id(out, &in->rows[i].id, node_string_ids(req->collection));
        }
        buf_put_text(out, "]");
    }
    send_written(req, out, result);
}

/* All rows are there. Ids made here are the same when the request comes again. */
static task_state write_rows(struct request *req)
{
    struct insert *in = req->state;

    place_payloads(req, in);
    if (in->options.only_if && in->many) {
        reply_problem(req, PROBLEM_INVALID, "`if_lsn` is for an insert of one document");
        return TASK_DONE;
    }
    for (size_t i = 0; req->idempotent != NULL && i < in->count; i++)
        if (in->rows[i].id.kind == 0)
            in->rows[i].id = node_idempotent_id(req->idempotent, i);
    if (in->options.durability == 0 && !in->options.only_if)
        node_write(req->collection, in->rows, in->count, on_inserted, req);
    else
        node_write_with(req->collection, in->rows, in->count, &in->options, on_inserted, req);
    return TASK_DONE;
}

/* The whole body in one piece. */
static task_state insert_whole(struct request *req)
{
    struct insert *in = req->state;
    struct parse p = {0};
    struct jval root;
    bool fine;

    buf_free(&req->payloads);
    *in = (struct insert){.options = in->options};
    if (!request_json(req, false, &root))
        return TASK_DONE;
    fine = take_insert(req, &p, root, in);
    request_json_done(req);
    if (!fine)
        return fail_parse(req, &p);
    return write_rows(req);
}

/* False when the body has another shape than a list that is worth slices, or there is no memory. */
static bool begin_slices(struct request *req, struct insert *in)
{
    size_t rows_max = req->body.bytes / INSERT_ROW_BYTES_MIN + 1;
    struct parse p = {0};

    if (request_input_bytes(req) < INSERT_SLICED_BYTES ||
        !split_begin(&in->split, buf_slice(&req->body), "documents"))
        return false;
    if (rows_max > req->api->options.batch_max)
        rows_max = req->api->options.batch_max;
    if (!make_rows(req, &p, in, rows_max))
        return false;
    in->rows_max = rows_max;
    in->count = 0;
    in->many = true;
    buf_init(&req->payloads, 16 * req->body.bytes + 1024);
    return true;
}

enum insert_step { INSERT_MORE, INSERT_ALL, INSERT_WHOLE, INSERT_FAILED };

/* One document of the list. */
static enum insert_step take_next(struct request *req, struct insert *in, struct parse *p,
                                  struct slice *element)
{
    struct jval v;
    bool taken;

    switch (split_next(&in->split, element)) {
    case SPLIT_END:
        return in->count > 0 ? INSERT_ALL : INSERT_WHOLE;
    case SPLIT_OTHER:
        return INSERT_WHOLE;
    case SPLIT_ELEMENT:
        break;
    }
    if (in->count == in->rows_max || !request_json_part(req, *element, &v))
        return INSERT_WHOLE;
    p->list = "documents";
    p->index = in->count;
    taken = take_row(req, p, v, in, in->count++);
    request_json_done(req);
    return taken ? INSERT_MORE : INSERT_FAILED;
}

/* Documents until the slice is used up or none is left. */
static task_state take_slice(struct request *req)
{
    struct insert *in = req->state;
    uint64_t until_ns = clock_mono_ns(req->api->options.clock) + EXEC_SLICE_NS;
    enum insert_step step = INSERT_MORE;
    struct slice element = {0};
    struct parse p = {0};
    size_t bytes = 0;

    if (!request_wanted(req))
        return TASK_DONE;
    while (step == INSERT_MORE) {
        step = take_next(req, in, &p, &element);
        bytes += element.bytes;
        if (step != INSERT_MORE || (req->grpc == NULL && bytes < INSERT_CLOCK_BYTES))
            continue;
        bytes = 0;
        if (clock_mono_ns(req->api->options.clock) >= until_ns)
            return TASK_AGAIN;
    }
    if (step == INSERT_WHOLE)
        return insert_whole(req);
    if (step == INSERT_FAILED)
        return fail_parse(req, &p);
    return write_rows(req);
}

static task_state insert_slice(struct task *task)
{
    return request_slice(task, take_slice);
}

task_state handle_insert(struct request *req)
{
    struct insert *in = arena_zero(&req->arena, sizeof *in);

    if (in == NULL) {
        reply_problem(req, PROBLEM_NO_MEMORY, "out of memory for an insert");
        return TASK_DONE;
    }
    req->state = in;
    if (!request_parameters(req, WRITE_PARAMETERS) || !request_pin_collection(req) ||
        !take_write_options(req, &in->options) || !request_is_new(req))
        return TASK_DONE;
    if (!begin_slices(req, in))
        return insert_whole(req);
    req->task.fair_key = collection_fair_key(req->collection);
    req->task.run = insert_slice;
    return insert_slice(&req->task);
}
