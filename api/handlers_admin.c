/* handlers_admin.c - what operators ask for: components, read-only, reload, checkpoints. */
#include "api/handlers.h"

#include "base/log.h"
#include "base/mem.h"

#include <stdio.h>

static const char *const NO_PARAMETERS[] = {NULL};

struct component {
    const char *name, *status, *message;
    struct {
        const char *name; /* NULL: no such detail */
        uint64_t value;
    } details[2];
};

static void print_component(struct buf *out, bool first, const struct component *c)
{
    print_key(out, first, c->name);
    buf_put_text(out, "{");
    print_text(out, true, "status", c->status);
    print_text(out, false, "message", c->message);
    buf_put_text(out, ",\"details\":{");
    for (size_t i = 0; i < COUNT_OF(c->details) && c->details[i].name != NULL; i++)
        print_u64(out, i == 0, c->details[i].name, c->details[i].value);
    buf_put_text(out, "}}");
}

static void print_components(struct buf *out, const struct node_health *h,
                             const struct node_status *s)
{
    bool memory_full = s->memory_bytes_max > 0 && s->memory_bytes > s->memory_bytes_max / 10 * 9;
    bool disk_full = h->disk_full || s->disk_bytes_free < s->disk_bytes_total / 100;
    const char *wal = s->readonly ? "readonly" : h->disk_full ? "degraded" : "healthy";
    const struct component components[] = {
        {"storage",
         h->degraded ? "degraded" : "healthy",
         h->reason_count > 0 ? h->reasons[0] : "all collections are served",
         {{"collections", s->collections}, {"documents", s->documents}}},
        {"wal",
         wal,
         s->readonly    ? "an operator refuses writes"
         : h->disk_full ? "the disk is full: writes are refused"
                        : "takes writes",
         {{"bytes", s->wal_bytes}, {"checkpoint_bytes", s->checkpoint_bytes}}},
        {"memory",
         memory_full ? "degraded" : "healthy",
         memory_full ? "over 90 % of [limits] memory_bytes are in use" : "within its limit",
         {{"bytes", s->memory_bytes}, {"bytes_max", s->memory_bytes_max}}},
        {"disk",
         disk_full ? "degraded" : "healthy",
         h->disk_full ? "full"
         : disk_full  ? "less than 1 % of the disk is free"
                      : "has room",
         {{"bytes_free", s->disk_bytes_free}, {"bytes_total", s->disk_bytes_total}}},
        {"bucket", "disabled", "this version keeps everything on this machine", {{NULL, 0}}},
        {"uploader", "disabled", "this version uploads nothing", {{NULL, 0}}},
    };

    for (size_t i = 0; i < COUNT_OF(components); i++)
        print_component(out, i == 0, &components[i]);
}

task_state handle_admin_health(struct request *req)
{
    struct node_health health;
    struct node_status state;
    struct buf *out;

    if (!request_parameters(req, NO_PARAMETERS))
        return TASK_DONE;
    node_health(req->api->options.node, &health);
    node_status(req->api->options.node, &state);
    out = reply_begin(req);
    buf_put_text(out, "{");
    print_text(out, true, "status", health.degraded ? "degraded" : "healthy");
    buf_put_text(out, ",\"reasons\":[");
    for (size_t i = 0; i < health.reason_count; i++) {
        if (i > 0)
            buf_put_text(out, ",");
        json_put_string(out, slice_text(health.reasons[i]));
    }
    buf_put_text(out, "],\"components\":{");
    print_components(out, &health, &state);
    buf_put_text(out, "}}\n");
    reply_send(req, 200);
    return TASK_DONE;
}

static task_state set_readonly(struct request *req, bool readonly)
{
    struct buf *out;

    if (!request_parameters(req, NO_PARAMETERS) || !request_no_members(req))
        return TASK_DONE;
    node_set_readonly(req->api->options.node, readonly);
    log_info(readonly ? "writes are refused by request" : "writes are taken again by request",
             "request_id=%s", req->id);
    out = reply_begin(req);
    buf_put_text(out, readonly ? "{\"readonly\":true}\n" : "{\"readonly\":false}\n");
    reply_send(req, 200);
    return TASK_DONE;
}

task_state handle_readonly(struct request *req)
{
    return set_readonly(req, true);
}

task_state handle_readwrite(struct request *req)
{
    return set_readonly(req, false);
}

static void on_reload(void *arg, status st, const struct buf *json, const struct err *err)
{
    struct request *req = arg;
    struct buf *out;

    if (st != ST_OK) {
        reply_status(req, st, err);
        return;
    }
    out = reply_begin(req);
    buf_put_slice(out, buf_slice(json));
    buf_put_text(out, "\n");
    reply_send(req, 200);
}

task_state handle_reload(struct request *req)
{
    if (!request_parameters(req, NO_PARAMETERS) || !request_no_members(req))
        return TASK_DONE;
    node_reload(req->api->options.node, on_reload, req);
    return TASK_DONE;
}

/* --- checkpoints: what a snapshot and a compaction are while everything is local --- */

static void print_snapshot(struct buf *out, const struct collection_info *info)
{
    buf_put_text(out, "{\"snapshot\":{");
    print_text(out, true, "collection_id", info->id);
    print_u64(out, false, "lsn", info->snapshot_lsn);
    print_u64(out, false, "bytes", info->checkpoint_bytes);
    print_time(out, false, "taken_at", info->last_checkpoint_ns);
    buf_put_text(out, "}");
}

static void on_checkpoint(void *arg, status st, const struct collection_info *info,
                          const struct err *err)
{
    struct request *req = arg;
    struct buf *out;

    if (st != ST_OK) {
        reply_status(req, st, err);
        return;
    }
    out = reply_begin(req);
    print_snapshot(out, info);
    reply_put_latency(req, out);
    buf_put_text(out, "}\n");
    reply_send(req, 200);
}

task_state handle_snapshot(struct request *req)
{
    static const struct member members[] = {{"name", true}};
    struct parse p = {0};
    struct jval root;

    if (!request_parameters(req, NO_PARAMETERS) || !request_json(req, true, &root))
        return TASK_DONE;
    for (struct jiter it = jval_iter(root); jiter_next(&it);)
        if (parse_member(&p, members, COUNT_OF(members), &it) < 0)
            return fail_parse(req, &p);
    if (request_pin_collection(req))
        node_checkpoint(req->collection, on_checkpoint, req);
    return TASK_DONE;
}

/* A compaction whose caller does not wait: it outlives the request. */
struct compaction {
    struct server *server;
    struct collection *collection;
    char id[REQUEST_ID_BYTES_MAX + 1];
};

static void on_compacted(void *arg, status st, const struct collection_info *info,
                         const struct err *err)
{
    struct compaction *job = arg;

    if (st == ST_OK)
        log_info("compaction done", "job_id=%s collection_id=%s lsn=%llu bytes=%llu", job->id,
                 info->id, (unsigned long long)info->snapshot_lsn,
                 (unsigned long long)info->checkpoint_bytes);
    else
        log_warn("compaction failed", "job_id=%s collection_id=%s err=%s", job->id,
                 collection_id_text(job->collection), err == NULL ? status_name(st) : err->text);
    node_collection_unpin(job->collection);
    server_job_end(job->server);
    mem_free(job);
}

static void compact_behind(struct request *req)
{
    struct compaction *job = mem_zero(sizeof *job);
    struct buf *out;

    if (job == NULL) {
        reply_problem(req, PROBLEM_NO_MEMORY, "out of memory for a compaction");
        return;
    }
    job->server = req->api->server;
    memcpy(job->id, req->id, sizeof job->id);
    job->collection = req->collection; /* the job's from here on */
    req->collection = NULL;
    server_job_begin(job->server);
    out = reply_begin(req);
    buf_put_text(out, "{");
    print_text(out, true, "job_id", req->id);
    print_text(out, false, "collection_id", collection_id_text(job->collection));
    buf_put_text(out, "}\n");
    reply_send(req, 202);
    node_checkpoint(job->collection, on_compacted, job);
}

task_state handle_compact(struct request *req)
{
    static const char *const known[] = {"wait", NULL};
    const struct slice *wait = request_parameter(req, "wait");

    if (!request_parameters(req, known) || !request_no_members(req))
        return TASK_DONE;
    if (wait != NULL && !slice_equal(*wait, slice_text("true")) &&
        !slice_equal(*wait, slice_text("false"))) {
        reply_problem(req, PROBLEM_INVALID, "the query parameter `wait` must be true or false");
        return TASK_DONE;
    }
    if (!request_pin_collection(req))
        return TASK_DONE;
    if (wait != NULL && slice_equal(*wait, slice_text("true")))
        node_checkpoint(req->collection, on_checkpoint, req);
    else
        compact_behind(req);
    return TASK_DONE;
}
