/* handlers_bucket.c - what operators ask of the bucket: snapshots, compaction, tiers, owners,
 * aliases; and what a failure of the node means where a bucket stands behind it. */
#include "api/handlers.h"

#include "base/log.h"
#include "base/mem.h"
#include "node/bucket.h"

static const char *const NO_PARAMETERS[] = {NULL};

/* --- failures --- */

static bool phase_is_foreign(const struct collection_info *info)
{
    return info->has_bucket && info->phase != NULL &&
           (strcmp(info->phase, "foreign") == 0 || strcmp(info->phase, "fenced") == 0);
}

/* What a refusal for want of room is, where the node pushes back. */
static enum problem pressure_problem(struct request *req, status st)
{
    struct node_status s;
    bool red;

    node_status(req->api->options.node, &s);
    red = s.pressure != NULL && strcmp(s.pressure, "red") == 0;
    if (st == ST_NOSPACE)
        return red && !s.pressure_disk ? PROBLEM_UNSHIPPED_FULL : PROBLEM_NO_SPACE;
    if (!red && (s.pressure == NULL || strcmp(s.pressure, "orange") != 0))
        return problem_of_status(st);
    return s.pressure_disk ? PROBLEM_DISK_LOW : PROBLEM_BACKPRESSURE;
}

enum problem problem_of_write(struct request *req, status st)
{
    struct collection_info info = {0};

    if (req->collection != NULL)
        node_collection_info(req->collection, &info);
    if (st == ST_DENIED && phase_is_foreign(&info))
        return PROBLEM_NOT_OWNER;
    if (st == ST_CLOSED && info.log_stopped)
        return PROBLEM_LOG_STOPPED;
    if ((st == ST_LIMIT || st == ST_NOSPACE) && info.has_bucket)
        return pressure_problem(req, st);
    return problem_of_status(st);
}

void fail_write(struct request *req, status st, const struct err *err)
{
    bool refined = st == ST_DENIED || st == ST_LIMIT || st == ST_NOSPACE || st == ST_CLOSED;
    enum problem p = refined ? problem_of_write(req, st) : problem_of_status(st);

    if (p == problem_of_status(st)) {
        reply_status(req, st, err);
        return;
    }
    if (st == ST_LIMIT)
        metrics_refused(req->api->metrics);
    reply_problem(req, p, "%s", err == NULL ? status_name(st) : err->text);
}

enum problem problem_of_bucket(struct request *req, status st)
{
    struct collection_info info = {0};
    struct node_status s;

    if (req->collection != NULL)
        node_collection_info(req->collection, &info);
    if (st == ST_CONFLICT && info.has_bucket && info.switching)
        return PROBLEM_NOT_RESTORABLE;
    node_status(req->api->options.node, &s);
    if (st == ST_UNSUPPORTED && s.store_mode != NULL && strcmp(s.store_mode, "full") != 0)
        return PROBLEM_STORE_REFUSED;
    if (st != ST_UNAVAILABLE ||
        (req->collection != NULL && (!info.has_bucket || strcmp(info.state, "loading") == 0)))
        return problem_of_status(st);
    return s.has_bucket ? PROBLEM_STORE_UNAVAILABLE : PROBLEM_UNAVAILABLE;
}

void fail_bucket(struct request *req, status st, const struct err *err)
{
    bool refined = st == ST_CONFLICT || st == ST_UNAVAILABLE || st == ST_UNSUPPORTED;
    enum problem p = refined ? problem_of_bucket(req, st) : problem_of_status(st);

    if (p == problem_of_status(st))
        fail_write(req, st, err);
    else
        reply_problem(req, p, "%s", err == NULL ? status_name(st) : err->text);
}

/* --- snapshots and compactions --- */

static void print_sent(struct buf *out, const struct node_snapshot_result *r)
{
    buf_put_text(out, ",\"bucket\":{");
    print_u64(out, true, "lsn", r->lsn);
    print_u64(out, false, "objects", r->objects);
    print_u64(out, false, "bytes", r->bytes);
    print_u64(out, false, "revision", r->revision);
    print_text(out, false, "pin", r->pin[0] == '\0' ? NULL : r->pin);
    buf_put_text(out, "}");
}

static void on_snapshot(void *arg, status st, const struct node_snapshot_result *r,
                        const struct err *err)
{
    struct request *req = arg;
    struct collection_info info;
    struct buf *out;

    if (st != ST_OK) {
        fail_bucket(req, st, err);
        return;
    }
    node_collection_info(req->collection, &info);
    out = reply_begin(req);
    buf_put_text(out, "{\"snapshot\":{");
    print_text(out, true, "collection_id", info.id);
    print_u64(out, false, "lsn", r->checkpoint_lsn);
    print_u64(out, false, "bytes", r->checkpoint_bytes);
    print_time(out, false, "taken_at", r->checkpoint_at_ns);
    if (info.has_bucket)
        print_sent(out, r);
    buf_put_text(out, "}");
    reply_put_latency(req, out);
    buf_put_text(out, "}\n");
    reply_send(req, 200);
}

task_state handle_snapshot(struct request *req)
{
    static const struct member members[] = {{"name", false}};
    const char *name = NULL;
    struct parse p = {0};
    struct jval root;

    if (!request_parameters(req, NO_PARAMETERS) || !request_json(req, true, &root))
        return TASK_DONE;
    for (struct jiter it = jval_iter(root); jiter_next(&it);) {
        int which = parse_member(&p, members, COUNT_OF(members), &it);

        if (which < 0 || (which == 0 && !parse_name(&req->arena, &p, "name", it.value, &name)))
            return fail_parse(req, &p);
    }
    if (request_pin_collection(req))
        node_snapshot(req->collection, name, on_snapshot, req);
    return TASK_DONE;
}

/* A compaction whose caller does not wait: it outlives the request. */
struct compaction {
    struct server *server;
    struct collection *collection;
    char id[REQUEST_ID_BYTES_MAX + 1];
};

static void on_compacted(void *arg, status st, const struct node_snapshot_result *r,
                         const struct err *err)
{
    struct compaction *job = arg;

    if (st == ST_OK)
        log_info("compaction done", "job_id=%s collection_id=%s lsn=%llu bytes=%llu sent=%llu",
                 job->id, collection_id_text(job->collection),
                 (unsigned long long)r->checkpoint_lsn, (unsigned long long)r->checkpoint_bytes,
                 (unsigned long long)r->bytes);
    else
        log_warn("compaction failed", "job_id=%s collection_id=%s err=%s", job->id,
                 collection_id_text(job->collection), err == NULL ? status_name(st) : err->text);
    node_collection_unpin(job->collection);
    server_job_end(job->server);
    mem_free(job);
}

static void compact_behind(struct request *req, bool anew)
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
    node_compact(job->collection, anew, on_compacted, job);
}

static bool flag_parameter(struct request *req, const char *name, bool *out)
{
    const struct slice *given = request_parameter(req, name);

    *out = given != NULL && slice_equal(*given, slice_text("true"));
    if (given == NULL || *out || slice_equal(*given, slice_text("false")))
        return true;
    reply_problem(req, PROBLEM_INVALID, "the query parameter `%s` must be true or false", name);
    return false;
}

task_state handle_compact(struct request *req)
{
    static const char *const known[] = {"wait", "anew", NULL};
    bool wait;
    bool anew;

    if (!request_parameters(req, known) || !request_no_members(req) ||
        !flag_parameter(req, "wait", &wait) || !flag_parameter(req, "anew", &anew) ||
        !request_pin_collection(req))
        return TASK_DONE;
    if (wait)
        node_compact(req->collection, anew, on_snapshot, req);
    else
        compact_behind(req, anew);
    return TASK_DONE;
}

/* --- tiers --- */

/* Of what is not resident. */
static void print_cold(struct buf *out, const struct node_cold_state *s)
{
    buf_put_text(out, ",\"cold\":");
    if (!s->waits) {
        buf_put_text(out, "null");
        return;
    }
    buf_put_text(out, "{\"open\":");
    buf_put_text(out, s->is_open ? "true" : "false");
    print_u64(out, false, "rows", s->rows);
    print_u64(out, false, "segments", s->segments);
    print_u64(out, false, "footer_bytes", s->resident_bytes);
    print_u64(out, false, "cached_bytes", s->cached_bytes);
    print_u64(out, false, "cache_ghost_hits", s->ghost_hits);
    buf_put_text(out, "}");
}

static void print_tier(const struct request *req, struct buf *out,
                       const struct collection_info *info)
{
    struct node_cold_state cold = {0};

    if (req->collection != NULL)
        node_cold_state(req->collection, &cold);
    buf_put_text(out, "{\"tier\":{");
    print_text(out, true, "collection_id", info->id);
    print_text(out, false, "tiering_policy", info->policy);
    print_text(out, false, "durability", info->durability);
    print_text(out, false, "state", info->state);
    print_u64(out, false, "resident_bytes", info->memory_bytes);
    print_u64(out, false, "cache_hits", cold.hits);
    print_u64(out, false, "cache_misses", cold.misses);
    print_cold(out, &cold);
    print_bool(out, "switching", info->switching);
    print_bucket_state(out, info);
    buf_put_text(out, "}}\n");
}

task_state handle_tier(struct request *req)
{
    struct collection_info info;

    if (!request_parameters(req, NO_PARAMETERS) || !request_pin_collection(req))
        return TASK_DONE;
    node_collection_info(req->collection, &info);
    print_tier(req, reply_begin(req), &info);
    reply_send(req, 200);
    return TASK_DONE;
}

/* 202 while the base of the collection is on its way to the bucket. */
static void on_tier(void *arg, status st, const struct collection_info *info, const struct err *err)
{
    struct request *req = arg;

    if (st != ST_OK) {
        fail_bucket(req, st, err);
        return;
    }
    print_tier(req, reply_begin(req), info);
    reply_send(req, info->switching ? 202 : 200);
}

task_state handle_tier_change(struct request *req)
{
    static const struct member members[] = {{"tiering_policy", false}};
    struct collection_patch patch = {0};
    struct parse p = {0};
    struct jval root;

    if (!request_parameters(req, NO_PARAMETERS) || !request_json(req, false, &root))
        return TASK_DONE;
    for (struct jiter it = jval_iter(root); jiter_next(&it);) {
        int which = parse_member(&p, members, COUNT_OF(members), &it);

        if (which < 0 || (which == 0 && !parse_policy(&p, it.value, &patch.policy)))
            return fail_parse(req, &p);
    }
    if (patch.policy == 0)
        reply_problem(req, PROBLEM_INVALID, "`tiering_policy` is missing: Memory or MemoryS3");
    else if (request_pin_collection(req))
        node_collection_patch(req->api->options.node, req->collection, &patch, on_tier, req);
    return TASK_DONE;
}

/* --- the cache by hand --- */

static task_state reply_cached(struct request *req, const char *what, status st, uint64_t bytes,
                               const struct err *err)
{
    struct buf *out;

    if (st == ST_UNSUPPORTED) {
        reply_problem(req, PROBLEM_INVALID, "%s", err->text);
        return TASK_DONE;
    }
    if (st != ST_OK) {
        fail_bucket(req, st, err);
        return TASK_DONE;
    }
    out = reply_begin(req);
    buf_put_text(out, "{");
    print_text(out, true, "collection_id", collection_id_text(req->collection));
    print_u64(out, false, what, bytes);
    reply_put_latency(req, out);
    buf_put_text(out, "}\n");
    reply_send(req, 200);
    return TASK_DONE;
}

task_state handle_warm(struct request *req)
{
    struct err err = {0};
    uint64_t bytes = 0;
    status st;

    if (!request_parameters(req, NO_PARAMETERS) || !request_no_members(req) ||
        !request_pin_collection(req))
        return TASK_DONE;
    st = node_cold_warm(req->collection, req->deadline_ns, &req->gone, &bytes, &err);
    return reply_cached(req, "warmed_bytes", st, bytes, &err);
}

task_state handle_unload(struct request *req)
{
    struct err err = {0};
    uint64_t bytes = 0;
    status st;

    if (!request_parameters(req, NO_PARAMETERS) || !request_no_members(req) ||
        !request_pin_collection(req))
        return TASK_DONE;
    st = node_cold_unload(req->collection, &bytes, &err);
    return reply_cached(req, "unloaded_bytes", st, bytes, &err);
}

/* A node that was behind the old owner owns the collection, and loads it anew from the bucket: 202.
 */
static void on_taken(void *arg, status st, const struct collection_info *info,
                     const struct err *err)
{
    struct request *req = arg;

    if (st == ST_OK && (strcmp(info->state, "loading") == 0 || info->arriving ||
                        (info->phase != NULL && strcmp(info->phase, "diverged") == 0))) {
        print_tier(req, reply_begin(req), info);
        reply_send(req, 202);
        return;
    }
    on_tier(arg, st, info, err);
}

task_state handle_take_ownership(struct request *req)
{
    if (request_parameters(req, NO_PARAMETERS) && request_no_members(req) &&
        request_pin_collection(req))
        node_take_ownership(req->collection, on_taken, req);
    return TASK_DONE;
}

task_state handle_breaker_reset(struct request *req)
{
    const char *before = NULL;
    const char *after = NULL;
    struct buf *out;

    if (!request_parameters(req, NO_PARAMETERS) || !request_no_members(req))
        return TASK_DONE;
    node_breaker_reset(req->api->options.node, &before, &after);
    log_info("circuit breaker reset by request", "request_id=%s before=%s after=%s", req->id,
             before == NULL ? "none" : before, after == NULL ? "none" : after);
    out = reply_begin(req);
    buf_put_text(out, "{");
    print_text(out, true, "before", before);
    print_text(out, false, "after", after);
    buf_put_text(out, "}\n");
    reply_send(req, 200);
    return TASK_DONE;
}

/* --- what the store can do --- */

static void on_probed(void *arg, status st, const struct node_probe_result *r,
                      const struct err *err)
{
    struct request *req = arg;
    struct buf *out;

    if (st != ST_OK) {
        fail_bucket(req, st, err);
        return;
    }
    out = reply_begin(req);
    buf_put_text(out, "{");
    print_text(out, true, "grade", r->grade);
    print_text(out, false, "mode", r->mode);
    print_text(out, false, "server", r->server);
    print_text(out, false, "verdict", r->verdict);
    print_text(out, false, "reason", r->text[0] == '\0' ? NULL : r->text);
    print_text(out, false, "pinned_owner", r->pinned[0] == '\0' ? NULL : r->pinned);
    buf_put_text(out, "}\n");
    reply_send(req, 200);
}

task_state handle_probe_store(struct request *req)
{
    static const struct member members[] = {{"accept", false}};
    bool accept = false;
    struct parse p = {0};
    struct jval root;

    if (!request_parameters(req, NO_PARAMETERS) || !request_json(req, true, &root))
        return TASK_DONE;
    for (struct jiter it = jval_iter(root); jiter_next(&it);) {
        int which = parse_member(&p, members, COUNT_OF(members), &it);

        if (which < 0 || (which == 0 && !parse_bool(&p, "accept", it.value, &accept)))
            return fail_parse(req, &p);
    }
    node_probe_store(req->api->options.node, accept, on_probed, req);
    return TASK_DONE;
}

/* --- aliases --- */

enum { ALIAS_PAGE = 32 };

static void print_alias(struct buf *out, const char *alias, const char *id, const char *name)
{
    buf_put_text(out, "{");
    print_text(out, true, "alias", alias);
    print_text(out, false, "collection_id", id);
    print_text(out, false, "collection", name);
    buf_put_text(out, "}");
}

task_state handle_aliases(struct request *req)
{
    struct node_alias *page = arena_array(&req->arena, ALIAS_PAGE, sizeof *page);
    char after[sizeof page->alias];
    bool first = true;
    struct buf *out;
    size_t count;

    if (!request_parameters(req, NO_PARAMETERS))
        return TASK_DONE;
    if (page == NULL) {
        reply_problem(req, PROBLEM_NO_MEMORY, "out of memory for the list of aliases");
        return TASK_DONE;
    }
    out = reply_begin(req);
    buf_put_text(out, "{\"aliases\":[");
    do {
        count = node_alias_list(req->api->options.node, first ? NULL : after, page, ALIAS_PAGE);
        for (size_t i = 0; i < count; i++) {
            if (!first)
                buf_put_text(out, ",");
            first = false;
            print_alias(out, page[i].alias, page[i].collection_id, page[i].collection);
        }
        if (count > 0)
            memcpy(after, page[count - 1].alias, sizeof after);
    } while (count == ALIAS_PAGE && !out->failed);
    buf_put_text(out, "]}\n");
    reply_send(req, 200);
    return TASK_DONE;
}

static void on_alias_set(void *arg, status st, const struct collection_info *info,
                         const struct err *err)
{
    struct request *req = arg;
    struct buf *out;

    if (st != ST_OK) {
        fail_bucket(req, st, err);
        return;
    }
    out = reply_begin(req);
    print_alias(out, req->state, info->id, info->name);
    buf_put_text(out, "\n");
    reply_send(req, 200);
}

/* `alias`, and where `collection` is not NULL that too; both are needed. */
static bool take_alias(struct request *req, const char **alias, const char **collection)
{
    static const struct member members[] = {{"alias", false}, {"collection", false}};
    struct parse p = {0};
    struct jval root;

    if (!request_parameters(req, NO_PARAMETERS) || !request_json(req, false, &root))
        return false;
    for (struct jiter it = jval_iter(root); jiter_next(&it);) {
        int which = parse_member(&p, members, collection == NULL ? 1 : 2, &it);

        if (which < 0 || (which == 0 && !parse_name(&req->arena, &p, "alias", it.value, alias)) ||
            (which == 1 && collection != NULL &&
             !parse_name(&req->arena, &p, "collection", it.value, collection))) {
            (void)fail_parse(req, &p);
            return false;
        }
    }
    if (*alias != NULL && (collection == NULL || *collection != NULL))
        return true;
    reply_problem(req, PROBLEM_INVALID, "`%s` is missing", *alias == NULL ? "alias" : "collection");
    return false;
}

task_state handle_alias_set(struct request *req)
{
    struct node *node = req->api->options.node;
    const char *collection = NULL;
    const char *alias = NULL;

    if (!take_alias(req, &alias, &collection))
        return TASK_DONE;
    req->state = (void *)(uintptr_t)alias;
    req->collection = node_collection_pin(node, collection, strlen(collection));
    if (req->collection == NULL)
        reply_problem(req, PROBLEM_NO_COLLECTION, "there is no collection with the id or name %s",
                      collection);
    else
        node_alias_set(node, alias, req->collection, on_alias_set, req);
    return TASK_DONE;
}

static void on_alias_removed(void *arg, status st, const struct collection_info *info,
                             const struct err *err)
{
    struct request *req = arg;
    struct buf *out;

    (void)info;
    if (st != ST_OK) {
        fail_bucket(req, st, err);
        return;
    }
    out = reply_begin(req);
    buf_put_text(out, "{\"deleted\":true");
    print_text(out, false, "alias", req->state);
    buf_put_text(out, "}\n");
    reply_send(req, 200);
}

task_state handle_alias_remove(struct request *req)
{
    const char *alias = NULL;

    if (!take_alias(req, &alias, NULL))
        return TASK_DONE;
    req->state = (void *)(uintptr_t)alias;
    node_alias_remove(req->api->options.node, alias, on_alias_removed, req);
    return TASK_DONE;
}
