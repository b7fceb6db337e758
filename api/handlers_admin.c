/* handlers_admin.c - what operators ask for: components, read-only, reload. */
#include "api/handlers.h"

#include "base/log.h"

#include <inttypes.h>
#include <stdio.h>

static const char *const NO_PARAMETERS[] = {NULL};

enum { COMPONENT_DETAILS = 5, COMPONENT_MESSAGE_BYTES = 512 };

struct component {
    const char *name, *status, *message;
    struct {
        const char *name; /* NULL: no such detail */
        uint64_t value;
        const char *text; /* instead of value */
    } details[COMPONENT_DETAILS];
};

static void print_component(struct buf *out, bool first, const struct component *c)
{
    print_key(out, first, c->name);
    buf_put_text(out, "{");
    print_text(out, true, "status", c->status);
    print_text(out, false, "message", c->message);
    buf_put_text(out, ",\"details\":{");
    for (size_t i = 0; i < COMPONENT_DETAILS && c->details[i].name != NULL; i++) {
        if (c->details[i].text != NULL)
            print_text(out, i == 0, c->details[i].name, c->details[i].text);
        else
            print_u64(out, i == 0, c->details[i].name, c->details[i].value);
    }
    buf_put_text(out, "}}");
}

/* --- the bucket's three --- */

static bool store_is(const struct node_status *s, const char *mode)
{
    return s->store_mode != NULL && strcmp(s->store_mode, mode) == 0;
}

static void print_bucket(struct buf *out, const struct node_status *s)
{
    const bool open = s->breaker != NULL && strcmp(s->breaker, "closed") != 0;
    const char *trouble = s->bucket_trouble[0] != '\0' ? s->bucket_trouble
                          : store_is(s, "refused") ? "nothing is written to it: GET /health says "
                                                     "why, docs/bucket.md what can be done"
                          : store_is(s, "pinned")
                              ? "its store protects nothing: this node alone may "
                                "write there (pinned-owner mode)"
                          : open ? "requests failed in a row: one is tried now and then; POST "
                                   "/admin/circuit-breaker/reset tries at once"
                                 : NULL;
    const struct component c = {"bucket",
                                trouble != NULL ? "degraded" : "healthy",
                                trouble != NULL ? trouble : "answers",
                                {{"bucket", 0, s->bucket},
                                 {"breaker", 0, s->breaker},
                                 {s->store_grade == NULL ? NULL : "store_grade", 0, s->store_grade},
                                 {"store_mode", 0, s->store_mode}}};

    print_component(out, false, &c);
}

static bool pressure_is(const struct node_status *s, const char *level)
{
    return s->pressure != NULL && strcmp(s->pressure, level) == 0;
}

static void print_uploader(struct buf *out, const struct node_status *s)
{
    bool red = pressure_is(s, "red");
    bool orange = pressure_is(s, "orange");
    bool behind = red || orange || pressure_is(s, "yellow");
    char text[COMPONENT_MESSAGE_BYTES] = "everything is in the bucket";
    const struct component c = {"uploader",
                                behind ? "degraded" : "healthy",
                                text,
                                {{"unshipped_bytes", s->unshipped_bytes, NULL},
                                 {"unshipped_records", s->unshipped_records, NULL},
                                 {"lag_ms", s->lag_ms, NULL},
                                 {"in_flight", s->uploads_in_flight, NULL},
                                 {"queued", s->uploads_queued, NULL}}};

    if (behind)
        (void)snprintf(text, sizeof text,
                       "%" PRIu64 " bytes of log wait for the bucket: %s; see `bucket` and `dlq`, "
                       "or raise [storage] unshipped_bytes_max",
                       s->unshipped_bytes,
                       red      ? "writes are refused with 507"
                       : orange ? "writes are slowed with 429"
                                : "half of what may wait");
    else if (s->unshipped_records > 0)
        (void)snprintf(text, sizeof text, "%" PRIu64 " records are on their way to the bucket",
                       s->unshipped_records);
    print_component(out, false, &c);
}

static void print_dlq(struct buf *out, const struct node_status *s)
{
    char text[COMPONENT_MESSAGE_BYTES] = "no dead letters";
    const struct component c = {
        "dlq", s->dlq_total > 0 ? "degraded" : "healthy", text, {{"letters", s->dlq_total, NULL}}};

    if (s->dlq_total > 0)
        (void)snprintf(text, sizeof text,
                       "%" PRIu64 " dead letter%s: `tiervec dlq list` says why; mend the cause, "
                       "then `tiervec dlq retry`",
                       s->dlq_total, s->dlq_total == 1 ? "" : "s");
    print_component(out, false, &c);
}

static void print_no_bucket(struct buf *out)
{
    static const struct component components[] = {
        {"bucket", "disabled", "no bucket is configured: [storage] s3_bucket", {{NULL, 0, NULL}}},
        {"uploader", "disabled", "nothing is uploaded without a bucket", {{NULL, 0, NULL}}},
        {"dlq", "disabled", "there are no dead letters without a bucket", {{NULL, 0, NULL}}},
    };

    for (size_t i = 0; i < COUNT_OF(components); i++)
        print_component(out, false, &components[i]);
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
         {{"collections", s->collections, NULL}, {"documents", s->documents, NULL}}},
        {"wal",
         wal,
         s->readonly    ? "an operator refuses writes"
         : h->disk_full ? "the disk is full: writes are refused"
                        : "takes writes",
         {{"bytes", s->wal_bytes, NULL}, {"checkpoint_bytes", s->checkpoint_bytes, NULL}}},
        {"memory",
         memory_full ? "degraded" : "healthy",
         memory_full ? "over 90 % of [limits] memory_bytes are in use" : "within its limit",
         {{"bytes", s->memory_bytes, NULL}, {"bytes_max", s->memory_bytes_max, NULL}}},
        {"disk",
         disk_full ? "degraded" : "healthy",
         h->disk_full ? "full"
         : disk_full  ? "less than 1 % of the disk is free"
                      : "has room",
         {{"bytes_free", s->disk_bytes_free, NULL}, {"bytes_total", s->disk_bytes_total, NULL}}},
    };

    for (size_t i = 0; i < COUNT_OF(components); i++)
        print_component(out, i == 0, &components[i]);
    if (!s->has_bucket) {
        print_no_bucket(out);
        return;
    }
    print_bucket(out, s);
    print_uploader(out, s);
    print_dlq(out, s);
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
