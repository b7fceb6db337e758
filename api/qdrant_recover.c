/* qdrant_recover.c - the task of a recover (qdrant_recover.h): from what is asked to the answer. */
#include "api/qdrant_recover.h"

#include "api/qdrant_handlers.h"
#include "base/log.h"
#include "base/mem.h"

#include <stdio.h>

enum { SWEEP_PAGE = 32 };

/* --- the end --- */

static task_state finish(struct import *in)
{
    struct recover *r = (struct recover *)in;
    struct request *req = in->req;
    char detail[ERR_TEXT_BYTES];
    enum problem p = in->problem;
    bool wrong = in->wrong;

    upload_close(in->upload);
    memcpy(detail, in->detail, sizeof detail);
    if (r->claimed)
        imports_release(req->api->imports, r->name);
    if (r->file != NULL)
        fs_close(r->fs, r->file);
    crypto_sum_destroy(r->sum);
    buf_free(&r->raw);
    import_fini(in);
    mem_free(r);
    if (wrong)
        reply_problem(req, p, "%s", detail);
    else
        qd_send_true(req);
    return TASK_DONE;
}

/* --- what node is asked for --- */

/* On the meta thread. */
static void on_done(void *arg, status st, const struct collection_info *info, const struct err *err)
{
    struct recover *r = arg;
    struct upload *u = r->in.upload;

    (void)info;
    lock_take(&u->shared.lock);
    r->st = st;
    if (err != NULL)
        r->err = *err;
    r->called = true;
    upload_wake_locked(u); /* from here on all of it may be gone */
}

static void begin_wait(struct recover *r)
{
    r->waits = true;
    r->called = false;
}

static bool is_called(struct recover *r)
{
    bool called;

    lock_take(&r->in.upload->shared.lock);
    called = r->called;
    lock_drop(&r->in.upload->shared.lock);
    if (!called)
        return false;
    r->waits = false;
    (void)atomic_fetch_add(&r->in.upload->steps, 1);
    return true;
}

static enum import_go enter(struct recover *r, enum recover_phase phase)
{
    r->phase = phase;
    return IMPORT_ON;
}

static void fail_asked(struct recover *r, const char *what)
{
    import_fail(&r->in,
                r->in.req->collection != NULL ? problem_of_write(r->in.req, r->st)
                                              : problem_of_status(r->st),
                0, "%s: %s", what, r->err.text);
}

/* --- what is asked, and the first line --- */

static enum import_go take_asked(struct recover *r)
{
    size_t before = r->raw.bytes;
    struct import *in = &r->in;

    if (!upload_take(in->upload, &r->raw, &r->raw_end)) {
        import_fail(in, PROBLEM_NO_MEMORY, 0, "out of memory for the body");
        return enter(r, RECOVER_OVER);
    }
    if (r->raw.bytes > RECOVER_ASKED_BYTES_MAX) {
        import_fail(in, PROBLEM_BODY_TOO_LARGE, 0,
                    "the body is over %d bytes: a file is sent to "
                    "POST .../snapshots/upload",
                    RECOVER_ASKED_BYTES_MAX);
        return enter(r, RECOVER_OVER);
    }
    if (r->raw_end == UPLOAD_COMES)
        return r->raw.bytes == before ? IMPORT_WAIT : IMPORT_ON;
    if (r->raw_end != UPLOAD_WHOLE) {
        in->end = r->raw_end;
        return enter(r, RECOVER_HEAD); /* which says what is wrong with it */
    }
    return enter(r, recover_take_asked(r) ? RECOVER_HEAD : RECOVER_OVER);
}

static enum import_go take_head(struct recover *r)
{
    struct slice line = {0};
    enum import_take taken = import_next(&r->in, &line);

    if (taken == IMPORT_TAKE_WAIT)
        return IMPORT_WAIT;
    if (taken == IMPORT_TAKE_UNIT)
        return enter(r, recover_take_head(r, line) ? RECOVER_SWEEP : RECOVER_OVER);
    if (!r->in.read)
        return IMPORT_ON;
    if (!r->in.wrong)
        import_fail(&r->in, PROBLEM_INVALID, 0, "line 1: the snapshot is empty");
    return enter(r, RECOVER_OVER);
}

/* --- the new collection --- */

/* The name of one that an earlier recover left. */
static bool find_left(struct recover *r, char out[API_NAME_BYTES_MAX + 1])
{
    struct collection_info *page = mem_alloc_array(SWEEP_PAGE, sizeof *page);
    size_t count = SWEEP_PAGE;
    char after[sizeof page->name];
    bool found = false;

    (void)snprintf(after, sizeof after, "%s", r->name);
    while (page != NULL && !found && count == SWEEP_PAGE) {
        count = node_collection_list(r->in.req->api->options.node, after, page, SWEEP_PAGE);
        for (size_t i = 0; i < count && !found; i++) {
            found = recover_is_left(r->name, page[i].name);
            (void)snprintf(found ? out : after, API_NAME_BYTES_MAX + 1, "%s", page[i].name);
        }
    }
    mem_free(page);
    return found;
}

static enum import_go sweep(struct recover *r)
{
    struct node *node = r->in.req->api->options.node;
    char left[API_NAME_BYTES_MAX + 1] = "";
    struct collection *c = NULL;

    if (r->waits && !is_called(r))
        return IMPORT_WAIT;
    if (r->st != ST_OK && r->st != ST_NOT_FOUND) {
        fail_asked(r, "what an earlier recover left could not be dropped");
        return enter(r, RECOVER_OVER);
    }
    if (find_left(r, left))
        c = node_collection_pin(node, left, strlen(left));
    begin_wait(r);
    if (c == NULL) {
        node_collection_create(node, &r->create.spec, on_done, r);
        return enter(r, RECOVER_MADE);
    }
    log_info("what a recover that was cut short left is dropped", "collection=%s", left);
    node_collection_drop(node, c, on_done, r);
    node_collection_unpin(c);
    return IMPORT_WAIT;
}

static enum import_go made(struct recover *r)
{
    struct request *req = r->in.req;

    if (!is_called(r))
        return IMPORT_WAIT;
    if (r->st != ST_OK) {
        fail_asked(r, "line 1");
        return enter(r, RECOVER_OVER);
    }
    req->collection = node_collection_pin(req->api->options.node, r->fresh, strlen(r->fresh));
    if (req->collection != NULL)
        return enter(r, RECOVER_INDEXES);
    import_fail(&r->in, PROBLEM_CONFLICT, 0, "the collection `%s` was dropped meanwhile", r->fresh);
    return enter(r, RECOVER_OVER);
}

/* They are made before there is anything to index: at the end they are whole. */
static enum import_go make_indexes(struct recover *r)
{
    struct recover_index *index;

    if (r->waits && !is_called(r))
        return IMPORT_WAIT;
    if (r->st != ST_OK) {
        fail_asked(r, "line 1: indexes");
        return enter(r, RECOVER_UNDO);
    }
    if (r->index_at == r->index_count)
        return enter(r, RECOVER_DOCUMENTS);
    index = &r->indexes[r->index_at++];
    begin_wait(r);
    node_index_create(r->in.req->api->options.node, r->in.req->collection, &index->spec,
                      index->schema, 0, on_done, r);
    return IMPORT_WAIT;
}

static enum import_go write_documents(struct recover *r)
{
    enum import_go went = import_step(&r->in);

    if (went != IMPORT_END)
        return went;
    if (r->in.wrong || !recover_check_whole(r))
        return enter(r, RECOVER_UNDO);
    begin_wait(r);
    node_collection_replace(r->in.req->api->options.node, r->in.req->collection, r->name, on_done,
                            r);
    return enter(r, RECOVER_PLACE);
}

static enum import_go take_place(struct recover *r)
{
    if (!is_called(r))
        return IMPORT_WAIT;
    if (r->st == ST_OK) {
        log_info("collection recovered from a snapshot", "collection=%s", r->name);
        return enter(r, RECOVER_OVER);
    }
    fail_asked(r, "the recovered collection did not take its place");
    return enter(r, r->st == ST_UNKNOWN ? RECOVER_OVER : RECOVER_UNDO);
}

static enum import_go undo(struct recover *r)
{
    struct request *req = r->in.req;

    if (!r->waits) {
        begin_wait(r);
        node_collection_drop(req->api->options.node, req->collection, on_done, r);
        return IMPORT_WAIT;
    }
    if (!is_called(r))
        return IMPORT_WAIT;
    if (r->st != ST_OK)
        log_warn("what a failed recover wrote stays until the next one", "collection=%s err=%s",
                 r->fresh, r->err.text);
    return enter(r, RECOVER_OVER);
}

static enum import_go step(struct import *in)
{
    struct recover *r = (struct recover *)in;

    switch (r->phase) {
    case RECOVER_ASKED:
        return take_asked(r);
    case RECOVER_HEAD:
        return take_head(r);
    case RECOVER_SWEEP:
        return sweep(r);
    case RECOVER_MADE:
        return made(r);
    case RECOVER_INDEXES:
        return make_indexes(r);
    case RECOVER_DOCUMENTS:
        return write_documents(r);
    case RECOVER_PLACE:
        return take_place(r);
    case RECOVER_UNDO:
        return undo(r);
    case RECOVER_OVER:
        break;
    }
    return IMPORT_END;
}

/* --- the task --- */

static task_state run_task(struct task *task)
{
    struct request *req = (struct request *)task;
    task_state state;

    log_context_set(req->id, NULL);
    state = import_go(req->state, step, finish);
    log_context_set(NULL, NULL);
    return state;
}

/* Answers and returns NULL on a problem. */
static struct recover *create(struct request *req)
{
    struct recover *r = mem_zero(sizeof *r);
    struct err err = {0};
    status st = r == NULL ? err_set(&err, ST_NOMEM, "out of memory for a recover")
                          : crypto_sum_create(&r->sum, &err);

    if (st != ST_OK) {
        mem_free(r);
        reply_status(req, st, &err);
        return NULL;
    }
    import_init(&r->in, req, UNITS_NDJSON, 0);
    r->in.place = -1;
    r->in.more = recover_more;
    r->in.line = recover_take_line;
    r->phase = RECOVER_HEAD;
    buf_init(&r->raw, 4 * (uint64_t)UPLOAD_BYTES + MULTIPART_HEADER_BYTES_MAX);
    if (recover_take_name(r)) {
        st = imports_claim(req->api->imports, r->name, &err);
        r->claimed = st == ST_OK;
        if (r->claimed)
            return r;
        reply_status(req, st, &err);
    }
    crypto_sum_destroy(r->sum);
    mem_free(r);
    return NULL;
}

static task_state begin(struct request *req, struct recover *r)
{
    req->state = r;
    req->task.cost_ns = 2 * EXEC_INTERACTIVE_NS;
    req->task.run = run_task;
    return run_task(&req->task);
}

task_state handle_qd_recover(struct request *req)
{
    struct recover *r;
    struct qd_terms terms;

    if (!qd_terms(req, &terms) || (r = create(req)) == NULL)
        return TASK_DONE;
    r->phase = RECOVER_ASKED;
    return begin(req, r);
}

task_state handle_qd_recover_upload(struct request *req)
{
    const struct slice *checksum = request_parameter(req, "checksum");
    struct qd_terms terms;
    struct recover *r;
    struct err err = {0};

    if (!qd_terms(req, &terms) || (r = create(req)) == NULL)
        return TASK_DONE;
    r->is_multipart = multipart_is(req->upload->type);
    if ((checksum != NULL && !recover_take_checksum(r, "Query parameter `checksum`", *checksum)) ||
        (r->is_multipart && multipart_init(&r->multipart, req->upload->type, &err) != ST_OK)) {
        if (err.text[0] != '\0')
            import_fail(&r->in, PROBLEM_INVALID, 0, "%s", err.text);
        r->phase = RECOVER_OVER;
    }
    return begin(req, r);
}
