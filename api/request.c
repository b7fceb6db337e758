#include "api/api_internal.h"

#include "api/download.h"
#include "api/grpc.h"
#include "api/handlers.h"
#include "api/qdrant_door.h"
#include "base/log.h"
#include "node/cold_exec.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

/* --- ids --- */

static uint64_t mix64(uint64_t v) /* splitmix64: ids of one process never repeat */
{
    v += 0x9E3779B97F4A7C15u;
    v = (v ^ v >> 30) * 0xBF58476D1CE4E5B9u;
    v = (v ^ v >> 27) * 0x94D049BB133111EBu;
    return v ^ v >> 31;
}

void request_make_id(struct api *api, char id[REQUEST_ID_BYTES_MAX + 1])
{
    static const char digits[] = "0123456789abcdef";
    uint64_t n = atomic_fetch_add_explicit(&api->id_count, 1, memory_order_relaxed);
    uint64_t v = mix64(api->id_seed + n * 0x9E3779B97F4A7C15u);

    for (unsigned i = 0; i < 16; i++)
        id[i] = digits[v >> (60 - 4 * i) & 15];
    id[16] = '\0';
}

bool request_clean_id(struct slice sent, char id[REQUEST_ID_BYTES_MAX + 1])
{
    static const char fine[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
                               "-_.:/+=@";
    size_t bytes = 0;

    for (size_t i = 0; i < sent.bytes && bytes < REQUEST_ID_BYTES_MAX; i++)
        if (sent.data[i] != '\0' && strchr(fine, sent.data[i]) != NULL)
            id[bytes++] = (char)sent.data[i];
    id[bytes] = '\0';
    return bytes > 0;
}

/* --- running --- */

uint64_t request_cost_ns(const struct request *req)
{
    enum { COST_BASE_NS = 20000, COST_BODY_BYTE_NS = 2 };

    return COST_BASE_NS + COST_BODY_BYTE_NS * (uint64_t)request_input_bytes(req);
}

bool request_wanted(struct request *req)
{
    if (atomic_load_explicit(&req->gone, memory_order_relaxed))
        reply_send(req, HTTP_CLIENT_GONE);
    else if (clock_mono_ns(req->api->options.clock) > req->deadline_ns)
        reply_problem(
            req, PROBLEM_DEADLINE,
            "the deadline passed while the request waited for a worker; nothing was done");
    else
        return true;
    return false;
}

struct jdoc **request_doc(struct api *api)
{
    unsigned index = (unsigned)exec_worker_index();

    if (node_cold_thread())
        index += api->worker_count - EXEC_WORKERS_MAX;
    assert(index < api->doc_count);
    return &api->docs[index];
}

static task_state run_with(struct request *req, route_fn *run)
{
    struct api *api = req->api;
    struct jdoc **doc = request_doc(api);
    task_state state = TASK_DONE;

    atomic_fetch_add(&api->running, 1);
    log_context_set(req->id, NULL);
    if (request_wanted(req))
        state = run(req);
    log_context_set(NULL, NULL);
    if (*doc != NULL) /* of who did not say request_json_done(); the request may be gone */
        jdoc_trim(*doc);
    atomic_fetch_sub(&api->running, 1); /* api_close() may be waiting for it */
    return state;
}

task_state request_run(struct task *task)
{
    struct request *req = (struct request *)task; /* its first member */

    return run_with(req, req->grpc != NULL ? req->grpc->method->run : req->match.route->run);
}

/* A message of gRPC has been read into the request by then. */
static task_state run_moved(struct task *task)
{
    struct request *req = (struct request *)task;

    return run_with(req, req->match.route->run);
}

static void move(struct request *req, task_fn *run)
{
    struct node *node = req->api->options.node;
    uint64_t retry_after_ns = 0;
    struct err err = {0};
    status st;

    req->task.run = run;
    log_context_set(NULL, NULL);
    st = node_cold_submit(node, &req->task, &retry_after_ns, &err);
    if (st != ST_OK) /* refused: the request is still ours */
        reply_retry(req, st, &err, retry_after_ns);
}

/* What is done with documents. What is told of the collection itself waits for nothing. */
static bool may_wait(const struct request *req)
{
    enum route_kind kind = req->match.route->kind;

    return (kind == ROUTE_READ || kind == ROUTE_WRITE || kind == ROUTE_DOWNLOAD) &&
           node_collection_waits(req->collection) && !node_cold_thread();
}

bool request_stays(struct request *req)
{
    if (!may_wait(req))
        return true;
    req->task.fair_key = collection_fair_key(req->collection);
    node_collection_unpin(req->collection);
    req->collection = NULL;
    move(req, run_moved);
    return false;
}

task_state request_wait_on(struct request *req, task_fn *run)
{
    if (node_cold_thread())
        return run(&req->task);
    move(req, run);
    return TASK_DONE;
}

void request_resubmit(struct request *req)
{
    if (req->collection != NULL && node_collection_waits(req->collection) &&
        node_cold_resubmit(req->api->options.node, &req->task, NULL) == ST_OK)
        return;
    exec_resubmit(req->api->options.exec, &req->task); /* where it may hold up a worker */
}

task_state request_slice(struct task *task, task_state (*go_on)(struct request *req))
{
    struct request *req = (struct request *)task;
    task_state state;

    log_context_set(req->id, collection_id_text(req->collection));
    state = go_on(req);
    log_context_set(NULL, NULL);
    return state;
}

/* --- answering --- */

struct buf *reply_begin(struct request *req)
{
    buf_reset(&req->out);
    return &req->out;
}

static void set_problem(struct request *req, enum problem p, const char *detail,
                        const char *members)
{
    buf_reset(&req->out);
    if (req->qdrant)
        qd_put_problem(&req->out, p, detail);
    else
        problem_print(&req->out, p, detail, req->id, members);
    if (req->out.failed) /* no memory even for this: the status line alone has to say it */
        buf_reset(&req->out);
    req->http_status = problem_row(p)->http_status;
    req->outcome_unknown = p == PROBLEM_OUTCOME_UNKNOWN;
    req->retry_after_s = problem_row(p)->retry_after_s;
    req->content_type = req->qdrant ? "application/json" : "application/problem+json";
}

void request_set_problem(struct request *req, enum problem p, const char *detail)
{
    set_problem(req, p, detail, NULL);
}

/* Large answers under way are bounded together: clients that read slowly cannot fill the memory.
 * The answer itself is dropped and becomes a problem when it is over. */
static bool charge(struct request *req)
{
    struct api *api = req->api;
    uint64_t bound = api->options.replies_bytes_max;
    uint64_t more = req->out.capacity - req->out_charged;

    if (req->out.bytes <= REPLY_LARGE_BYTES)
        return true;
    req->out_charged += more;
    if (atomic_fetch_add_explicit(&api->reply_bytes, more, memory_order_relaxed) + more <= bound)
        return true;
    atomic_fetch_sub_explicit(&api->reply_bytes, req->out_charged, memory_order_relaxed);
    req->out_charged = 0;
    buf_free(&req->out);
    metrics_refused(api->metrics);
    request_set_problem(req, PROBLEM_REPLIES_FULL,
                        "the answers under way and not read yet are over their bound");
    return false;
}

static void give_back(struct request *req)
{
    request_idempotent_end(req);
    if (req->collection != NULL)
        node_collection_unpin(req->collection);
    req->collection = NULL;
    if (req->grpc != NULL)
        grpc_given_back(req);
    else
        server_reply(req->api->server, req);
}

void reply_send(struct request *req, int http_status)
{
    status st = buf_status(&req->out, NULL);

    if (st != ST_OK) {
        buf_free(&req->out);
        if (st == ST_NOMEM)
            request_set_problem(req, PROBLEM_NO_MEMORY, "out of memory for the answer");
        else
            request_set_problem(req, PROBLEM_ANSWER_TOO_LARGE,
                                "the answer is over the limit of 64 MiB");
    } else {
        req->http_status = http_status;
        if (req->content_type == NULL)
            req->content_type = "application/json";
        (void)charge(req);
    }
    give_back(req);
}

bool reply_grow(struct request *req)
{
    if (charge(req))
        return true;
    give_back(req);
    return false;
}

void reply_piece(struct request *req, bool last)
{
    struct download *d = req->download;
    struct err err;

    if (buf_status(&req->out, &err) != ST_OK) {
        if (d->begun)
            reply_cut(req, &err);
        else
            reply_send(req, 200); /* which makes it a problem */
        return;
    }
    if (!charge(req)) { /* it has become a problem */
        if (d->begun)
            reply_cut(req, NULL);
        else
            give_back(req);
        return;
    }
    if (!d->begun) {
        d->begun = true;
        req->http_status = 200;
    }
    d->last = last;
    if (last)
        give_back(req);
    else
        server_reply(req->api->server, req);
}

void reply_cut(struct request *req, const struct err *err)
{
    log_warn("an answer in pieces ended early", "bytes=%" PRIu64 " err=%s", req->download->bytes,
             err == NULL ? "the answers under way are over their bound" : err->text);
    req->download->cut = true;
    give_back(req);
}

static_assert(REPLY_BYTES_MAX == 64 * 1024 * 1024, "the text above names the number");

void reply_problem(struct request *req, enum problem p, const char *format, ...)
{
    char detail[ERR_TEXT_BYTES];
    va_list args;

    va_start(args, format);
    (void)vsnprintf(detail, sizeof detail, format, args);
    va_end(args);
    request_set_problem(req, p, detail);
    give_back(req);
}

void reply_problem_with(struct request *req, enum problem p, const char *detail,
                        const char *members)
{
    set_problem(req, p, detail, members);
    give_back(req);
}

void reply_status(struct request *req, status st, const struct err *err)
{
    reply_retry(req, st, err, 0);
}

/* Of a collection that waits for the network it is the bucket that does not answer. */
static enum problem problem_of(struct request *req, status st)
{
    if (st == ST_UNAVAILABLE && req->collection != NULL && node_collection_waits(req->collection))
        return problem_of_bucket(req, st);
    return problem_of_status(st);
}

void reply_retry(struct request *req, status st, const struct err *err, uint64_t retry_after_ns)
{
    if (st == ST_LIMIT)
        metrics_refused(req->api->metrics);
    request_set_problem(req, problem_of(req, st), err == NULL ? status_name(st) : err->text);
    if (retry_after_ns > 0)
        req->retry_after_s = (uint32_t)((retry_after_ns + 999999999u) / 1000000000u);
    give_back(req);
}

void request_hand(struct request *req)
{
    atomic_store_explicit(&req->hand, REQUEST_HANDED, memory_order_release);
}

void request_decide(struct request *req)
{
    atomic_store_explicit(&req->hand, REQUEST_DECIDED, memory_order_release);
}

bool request_is_under_way(struct request *req)
{
    return atomic_load_explicit(&req->hand, memory_order_acquire) == REQUEST_HANDED;
}

void reply_put_latency(struct request *req, struct buf *out)
{
    uint64_t us = (clock_mono_ns(req->api->options.clock) - req->start_ns) / 1000u;
    char fraction[4] = {'.', (char)('0' + us / 100 % 10), (char)('0' + us / 10 % 10),
                        (char)('0' + us % 10)};

    buf_put_text(out, ",\"latency_ms\":");
    json_put_u64(out, us / 1000u);
    buf_put(out, fraction, sizeof fraction);
}

/* --- what was asked --- */

bool request_pin_collection(struct request *req)
{
    struct slice key = req->match.params[0];

    req->collection =
        node_collection_pin(req->api->options.node, (const char *)key.data, key.bytes);
    if (req->collection == NULL) {
        reply_problem(req, PROBLEM_NO_COLLECTION, "there is no collection with the id or name %.*s",
                      (int)(key.bytes < 255 ? key.bytes : 255), (const char *)key.data);
        return false;
    }
    if (!request_stays(req))
        return false;
    log_context_set(req->id, collection_id_text(req->collection));
    return true;
}

/* This worker's reader; NULL when memory is out. */
static struct jdoc *reader(struct request *req, struct err *err)
{
    struct jdoc **doc = request_doc(req->api);

    return *doc != NULL || jdoc_create(doc, err) == ST_OK ? *doc : NULL;
}

bool request_json_part(struct request *req, struct slice part, struct jval *root)
{
    struct jdoc *doc = reader(req, NULL);
    const struct buf view = {.data = (uint8_t *)(uintptr_t)part.data,
                             .bytes = part.bytes,
                             .capacity = req->body.capacity - (size_t)(part.data - req->body.data)};

    return doc != NULL && jdoc_parse_buf(doc, &view, root, NULL) == ST_OK;
}

status request_json_text(struct request *req, struct slice text, struct jval *root, struct err *err)
{
    struct jdoc *doc = reader(req, err);

    return doc == NULL ? ST_NOMEM : jdoc_parse(doc, text, root, err);
}

void request_json_done(struct request *req)
{
    struct jdoc *doc = *request_doc(req->api);

    if (doc != NULL)
        jdoc_trim(doc);
}

static status parse_body(struct request *req, struct jval *root, struct err *err)
{
    struct jdoc *doc = reader(req, err);
    status st = doc == NULL ? ST_NOMEM : jdoc_parse_buf(doc, &req->body, root, err);

    req->parsed_ns = clock_mono_ns(req->api->options.clock);
    return st;
}

bool request_json(struct request *req, bool optional, struct jval *root)
{
    struct err err = {0};
    status st;

    if (req->body.bytes == 0) {
        if (optional) {
            buf_put_text(&req->body, "{}");
        } else {
            reply_problem(req, PROBLEM_BAD_JSON, "the body is empty, a JSON object is needed");
            return false;
        }
    }
    st = buf_status(&req->body, &err);
    if (st == ST_OK)
        st = parse_body(req, root, &err);
    if (st != ST_OK)
        request_json_done(req);
    if (st == ST_INVALID)
        reply_problem(req, PROBLEM_BAD_JSON, "%s", err.text);
    else if (st != ST_OK)
        reply_status(req, st, &err);
    else if (jval_type(*root) != J_OBJECT)
        reply_problem(req, PROBLEM_BAD_JSON, "the body is of type %s, a JSON object is needed",
                      jtype_name(jval_type(*root)));
    else
        return true;
    return false;
}

size_t request_input_bytes(const struct request *req)
{
    return req->grpc != NULL ? req->grpc->message.bytes : req->body.bytes;
}

bool request_asks_rows(const struct request *req, const struct filter *filter)
{
    return node_select_cost_ns(req->collection, filter) > EXEC_INTERACTIVE_NS;
}

task_state request_select(struct request *req, const struct filter *filter, task_fn *run)
{
    req->task.fair_key = collection_fair_key(req->collection);
    req->task.run = run;
    req->task.slow = request_asks_rows(req, filter);
    return req->task.slow ? TASK_AGAIN : run(&req->task);
}

bool request_no_members(struct request *req)
{
    struct jval root;
    struct jiter it;

    if (req->body.bytes == 0)
        return true;
    if (!request_json(req, true, &root))
        return false;
    it = jval_iter(root);
    if (!jiter_next(&it))
        return true;
    reply_problem(req, PROBLEM_UNKNOWN_MEMBER, "this route takes no members, there is `%.*s`",
                  (int)(it.key.bytes < 64 ? it.key.bytes : 64), (const char *)it.key.data);
    return false;
}

const struct slice *request_parameter(const struct request *req, const char *name)
{
    for (size_t i = 0; i < req->query_count; i++)
        if (slice_equal(req->query[i].name, slice_text(name)))
            return &req->query[i].value;
    return NULL;
}

static void unknown_parameter(struct request *req, struct slice name, const char *const *known)
{
    char there[256] = "none";
    size_t used = 0;

    for (size_t k = 0; known[k] != NULL && used < sizeof there - 1; k++)
        used += (size_t)snprintf(there + used, sizeof there - used, "%s%s", k == 0 ? "" : ", ",
                                 known[k]);
    reply_problem(req, PROBLEM_UNKNOWN_PARAMETER,
                  "the query parameter `%.*s` is not known; this route takes %s",
                  (int)(name.bytes < 64 ? name.bytes : 64), (const char *)name.data, there);
}

bool request_parameters(struct request *req, const char *const *known)
{
    for (size_t i = 0; i < req->query_count; i++) {
        struct slice name = req->query[i].name;
        size_t k = 0;

        while (known[k] != NULL && !slice_equal(name, slice_text(known[k])))
            k++;
        if (known[k] == NULL) {
            unknown_parameter(req, name, known);
            return false;
        }
        for (size_t j = 0; j < i; j++) {
            if (slice_equal(name, req->query[j].name)) {
                reply_problem(req, PROBLEM_INVALID, "the query parameter `%s` is given twice",
                              known[k]);
                return false;
            }
        }
    }
    return true;
}

bool request_doc_id(struct request *req, struct docid *id)
{
    struct slice text = req->match.params[1];
    struct err err = {0};
    status st = docid_parse((const char *)text.data, text.bytes, node_string_ids(req->collection),
                            id, &err);

    if (st != ST_OK)
        reply_problem(req, PROBLEM_INVALID, "doc_id: %s", err.text);
    return st == ST_OK;
}
