/* qdrant_change_batch.c - several writes in one request, in order.
 *
 * All of them are parsed before the first is handed to node, those of a large body one by one and
 * in slices (qdrant_points_cut.h); each is whole before the next one begins. What node refuses ends
 * the request: the writes before it stay, and the error says which one it was. */
#include "api/qdrant_points.h"
#include "api/qdrant_points_cut.h"

#include "base/log.h"

#include <stdio.h>

enum { BATCH_SLICED_BYTES = 64 * 1024 }; /* bodies from here on are parsed in slices */

struct operation {
    const char *name;
    struct point_write write;
    uint64_t lsn;
    bool short_of_remote;
};
struct batch {
    struct point_job job; /* its terms; lsn_before: of the last write so far */
    struct operation *operations;
    size_t count, capacity;
    _Atomic size_t at; /* those before it are done; the loop may ask meanwhile */
    struct cut cut;    /* of a large body */
    struct cut_list list;
};

static const struct {
    const char *name;
    point_parse_fn *parse;
} KINDS[] = {
    {"upsert", points_parse_upsert},
    {"delete", points_parse_delete},
    {"set_payload", points_parse_merge},
    {"overwrite_payload", points_parse_replace},
    {"delete_payload", points_parse_delete_payload},
    {"clear_payload", points_parse_clear},
    {"update_vectors", points_parse_vectors},
    {"delete_vectors", points_parse_delete_vectors},
};

static bool parse_operation(struct qd_parse *p, struct request *req, struct jval v,
                            struct operation *out)
{
    struct jval body;
    size_t kinds = 0;
    size_t which = 0;

    if (jval_type(v) != J_OBJECT)
        return points_wrong_type(p, "operations", v, "an object");
    for (size_t i = 0; i < COUNT_OF(KINDS); i++) {
        if (!qd_member(v, KINDS[i].name, &body))
            continue;
        which = i;
        kinds++;
    }
    if (kinds != 1)
        return qd_bad(p, QD_FORMAT,
                      "%s, one of `upsert`, `delete`, `set_payload`, "
                      "`overwrite_payload`, `delete_payload`, `clear_payload`, "
                      "`update_vectors`, `delete_vectors` is needed",
                      kinds == 0 ? "it is of no known kind" : "it is of several kinds");
    (void)qd_member(v, KINDS[which].name, &body);
    if (jval_type(body) != J_OBJECT)
        return points_wrong_type(p, KINDS[which].name, body, "an object");
    out->name = KINDS[which].name;
    return KINDS[which].parse(p, req, body, &out->write);
}

/* "... (operation 2, `delete`)" behind what was found. */
static bool name_operation(struct qd_parse *p, size_t index, const char *name)
{
    size_t used = strlen(p->text);

    (void)snprintf(p->text + used, sizeof p->text - used, " (operation %zu%s%s)", index,
                   name == NULL ? "" : ", ", name == NULL ? "" : name);
    return false;
}

/* One more, behind those that are there. */
static bool take_operation(struct qd_parse *p, struct request *req, struct jval v, struct batch *b)
{
    struct operation *op;

    if (b->count >= req->api->options.batch_max)
        return qd_bad(p, QD_INPUT,
                      "operations: there are more than the limit of %u, send several requests",
                      req->api->options.batch_max);
    if (!points_room(p, req, (void **)&b->operations, b->count, &b->capacity, 1, sizeof *op))
        return false;
    op = &b->operations[b->count];
    *op = (struct operation){0};
    if (!parse_operation(p, req, v, op))
        return name_operation(p, b->count, op->name);
    b->count++;
    return true;
}

static bool parse_batch(struct qd_parse *p, struct request *req, struct jval root, struct batch *b)
{
    struct jval list;

    if (!qd_member(root, "operations", &list))
        return points_missing(p, "operations");
    if (jval_type(list) != J_ARRAY)
        return points_wrong_type(p, "operations", list, "a list");
    for (struct jiter it = jval_iter(list); jiter_next(&it);)
        if (!take_operation(p, req, it.value, b))
            return false;
    return true;
}

/* The owner alone changes it. */
static size_t at_of(const struct batch *b)
{
    return atomic_load_explicit(&b->at, memory_order_relaxed);
}

static void is_done(struct batch *b)
{
    atomic_store_explicit(&b->at, at_of(b) + 1, memory_order_release);
}

static void answer(struct request *req, const struct batch *b)
{
    struct buf *out = qd_begin(req);

    buf_put_text(out, "[");
    for (size_t i = 0; i < b->count; i++) {
        if (i > 0)
            buf_put_text(out, ",");
        points_print_update(out, &b->job.terms, b->operations[i].lsn,
                            b->operations[i].short_of_remote);
    }
    buf_put_text(out, "]");
    qd_send(req);
}

/* Those that are done, and the others; on the loop, see request.h. */
static void put_late(const struct request *req, struct buf *out)
{
    const struct batch *b = req->state;
    size_t done = atomic_load_explicit(&b->at, memory_order_acquire);

    buf_put_text(out, "[");
    for (size_t i = 0; i < b->count; i++) {
        if (i > 0)
            buf_put_text(out, ",");
        if (i < done)
            points_print_update(out, &b->job.terms, b->operations[i].lsn,
                                b->operations[i].short_of_remote);
        else
            buf_put_text(out, QD_WAIT_TIMEOUT);
    }
    buf_put_text(out, "]");
}

static void on_done(void *arg, status st, const struct write_result *result, const struct err *err);

static task_state run_next(struct task *task)
{
    struct request *req = (struct request *)task;
    struct batch *b = req->state;

    log_context_set(req->id, collection_id_text(req->collection));
    while (at_of(b) < b->count) {
        struct operation *op = &b->operations[at_of(b)];

        if (points_run(req, &op->write, &b->job.terms, on_done)) {
            log_context_set(NULL, NULL); /* the request is no longer ours to touch */
            return TASK_DONE;
        }
        op->lsn = b->job.lsn_before;
        is_done(b);
    }
    request_decide(req);
    answer(req, b);
    log_context_set(NULL, NULL);
    return TASK_DONE;
}

/* The next one needs a worker. */
static void on_done(void *arg, status st, const struct write_result *result, const struct err *err)
{
    struct request *req = arg;
    struct batch *b = req->state;
    struct operation *op = &b->operations[at_of(b)];

    if (st != ST_OK) {
        struct err told = {0};

        request_decide(req);
        (void)err_set(&told, st, "%s (operation %zu, %s; what stands before it was done)",
                      err == NULL ? status_name(st) : err->text, at_of(b), op->name);
        qd_fail_status(req, st, &told);
        return;
    }
    if (result->lsn > 0)
        b->job.lsn_before = result->lsn;
    op->lsn = b->job.lsn_before;
    op->short_of_remote = result->short_of_remote;
    is_done(b);
    req->task.run = run_next;
    exec_resubmit(req->api->options.exec, &req->task);
}

static task_state begin(struct request *req, struct batch *b)
{
    b->job.lsn_before = points_last_lsn(req->collection);
    req->put_late = put_late;
    request_hand(req);
    return run_next(&req->task);
}

static task_state batch_whole(struct request *req, struct batch *b)
{
    struct qd_parse p = {0};
    struct jval root;
    bool fine;

    b->count = 0;
    if (!qd_body(req, &root))
        return TASK_DONE;
    fine = parse_batch(&p, req, root, b);
    request_json_done(req);
    return fine ? begin(req, b) : qd_fail_parse(req, &p);
}

/* {"operations":[ and nothing else around it. */
static bool begin_slices(struct request *req, struct batch *b)
{
    struct slice key = {0};
    struct cut_list top;

    b->cut = cut_make(buf_slice(&req->body));
    return req->body.bytes >= BATCH_SLICED_BYTES && cut_open(&b->cut, &top, '{') &&
           cut_next(&b->cut, &top, &key) == CUT_ITEM &&
           slice_equal(key, slice_text("operations")) && cut_open(&b->cut, &b->list, '[');
}

static bool ends(struct batch *b)
{
    struct cut_list top = {.object = true, .begun = true};
    struct slice key = {0};

    return cut_next(&b->cut, &top, &key) == CUT_END && cut_at_end(&b->cut);
}

static task_state take_slice(struct request *req)
{
    struct batch *b = req->state;
    uint64_t until_ns = clock_mono_ns(req->api->options.clock) + EXEC_SLICE_NS;
    struct slice key = {0};
    struct qd_parse p = {0};
    struct slice part;
    struct jval v;
    bool taken;

    if (!request_wanted(req))
        return TASK_DONE;
    do {
        enum cut_step step = cut_next(&b->cut, &b->list, &key);

        if (step == CUT_END && ends(b))
            return begin(req, b);
        if (step != CUT_ITEM || !cut_value(&b->cut, &part) || !request_json_part(req, part, &v))
            return batch_whole(req, b);
        taken = take_operation(&p, req, v, b);
        request_json_done(req);
        if (!taken)
            return qd_fail_parse(req, &p);
    } while (clock_mono_ns(req->api->options.clock) < until_ns);
    return TASK_AGAIN;
}

static task_state batch_slice(struct task *task)
{
    return request_slice(task, take_slice);
}

task_state handle_qd_batch(struct request *req)
{
    struct batch *b = points_job(req, sizeof *b);

    if (b == NULL)
        return TASK_DONE;
    req->task.fair_key = collection_fair_key(req->collection);
    if (!begin_slices(req, b))
        return batch_whole(req, b);
    req->task.run = batch_slice;
    return batch_slice(&req->task);
}
