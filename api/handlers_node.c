/* handlers_node.c - how the node is: liveness, health, readiness, status, metrics. */
#include "api/handlers.h"
#include "api/openapi.h"

#include <inttypes.h>

static const char *const NO_PARAMETERS[] = {NULL};

static task_state reply_text(struct request *req, int http_status, const char *text)
{
    req->content_type = "text/plain; charset=utf-8";
    buf_put_text(reply_begin(req), text);
    reply_send(req, http_status);
    return TASK_DONE;
}

task_state handle_liveness(struct request *req)
{
    return reply_text(req, 200, "healthz check passed");
}

static void print_reasons(struct buf *out, const struct node_health *health)
{
    print_key(out, false, "reasons");
    buf_put_text(out, "[");
    for (size_t i = 0; i < health->reason_count; i++) {
        if (i > 0)
            buf_put_text(out, ",");
        json_put_string(out, slice_text(health->reasons[i]));
    }
    buf_put_text(out, "]");
}

task_state handle_health(struct request *req)
{
    struct node_health health;
    struct buf *out;

    if (!request_parameters(req, NO_PARAMETERS))
        return TASK_DONE;
    node_health(req->api->options.node, &health);
    out = reply_begin(req);
    buf_put_text(out, "{");
    print_text(out, true, "status", health.degraded ? "degraded" : "healthy");
    print_text(out, false, "version", TIERVEC_VERSION);
    if (health.reason_count > 0)
        print_reasons(out, &health);
    buf_put_text(out, "}\n");
    reply_send(req, 200);
    return TASK_DONE;
}

static bool is_ready(struct request *req, double *progress)
{
    *progress = 0.0;
    return node_ready(req->api->options.node, progress) &&
           !atomic_load_explicit(&req->api->draining, memory_order_relaxed);
}

task_state handle_ready(struct request *req)
{
    double progress;
    bool ready = is_ready(req, &progress);
    struct buf *out;

    if (!request_parameters(req, NO_PARAMETERS))
        return TASK_DONE;
    out = reply_begin(req);
    buf_put_text(out, "{");
    if (atomic_load_explicit(&req->api->draining, memory_order_relaxed))
        print_text(out, true, "status", "draining");
    else
        print_text(out, true, "status", ready ? "ready" : "hydrating");
    print_key(out, false, "progress");
    json_put_f64(out, ready ? 1.0 : progress);
    buf_put_text(out, "}\n");
    req->retry_after_s = ready ? 0 : 1;
    reply_send(req, ready ? 200 : 503);
    return TASK_DONE;
}

task_state handle_readyz(struct request *req)
{
    double progress;

    if (is_ready(req, &progress))
        return reply_text(req, 200, "all shards are ready");
    req->retry_after_s = 1;
    return reply_text(req, 503, "some shards are not ready");
}

static void set_gauges(struct api *api)
{
    static const char *const none[] = {NULL};
    static const char *const queue_label[] = {"queue", NULL};
    static const char *const workers[] = {"workers", NULL};
    struct stats *stats = api->options.stats;

    stats_set(stats_metric(stats_family(stats, "tiervec_active_connections", STATS_GAUGE,
                                        "Open client connections.", none, NULL, 0),
                           none),
              server_connections(api->server));
    stats_set(stats_metric(stats_family(stats, "tiervec_queue_depth", STATS_GAUGE,
                                        "Tasks that wait, by queue.", queue_label, NULL, 0),
                           workers),
              exec_queued(api->options.exec));
}

task_state handle_metrics(struct request *req)
{
    if (!req->api->options.metrics_enabled) {
        reply_problem(req, PROBLEM_METRICS_OFF, "[features] metrics_enabled is false");
        return TASK_DONE;
    }
    set_gauges(req->api);
    req->content_type = "text/plain; version=0.0.4; charset=utf-8";
    stats_print(req->api->options.stats, reply_begin(req));
    reply_send(req, 200);
    return TASK_DONE;
}

/* Without a bucket nothing waits to be shipped. */
static void print_nothing_at_risk(struct buf *out)
{
    buf_put_text(out, ",\"durability_clock\":{\"oldest_unshipped_write_seconds\":null,"
                      "\"bytes_at_risk\":null,\"records_at_risk\":null}"
                      ",\"backpressure_level\":\"none\",\"upload_queue\":0,"
                      "\"uploads_in_flight\":0,\"dlq_total\":0,\"bucket\":null");
}

static void print_at_risk(struct buf *out, const struct node_status *s)
{
    buf_printf(out, ",\"durability_clock\":{\"oldest_unshipped_write_seconds\":%.3f",
               (double)s->lag_ms / 1e3);
    print_u64(out, false, "bytes_at_risk", s->unshipped_bytes);
    print_u64(out, false, "records_at_risk", s->unshipped_records);
    buf_put_text(out, "}");
    print_text(out, false, "backpressure_level", s->pressure);
    print_u64(out, false, "upload_queue", s->uploads_queued);
    print_u64(out, false, "uploads_in_flight", s->uploads_in_flight);
    print_u64(out, false, "dlq_total", s->dlq_total);
    buf_put_text(out, ",\"bucket\":{");
    print_text(out, true, "name", s->bucket);
    print_text(out, false, "breaker", s->breaker);
    print_text(out, false, "trouble", s->bucket_trouble[0] == '\0' ? NULL : s->bucket_trouble);
    print_text(out, false, "store_grade", s->store_grade);
    print_text(out, false, "store_mode", s->store_mode);
    buf_put_text(out, "}");
}

task_state handle_status(struct request *req)
{
    struct node_status state;
    struct buf *out;

    if (!request_parameters(req, NO_PARAMETERS))
        return TASK_DONE;
    node_status(req->api->options.node, &state);
    out = reply_begin(req);
    buf_put_text(out, "{");
    print_text(out, true, "version", TIERVEC_VERSION);
    buf_printf(out, ",\"uptime_seconds\":%.3f", (double)state.uptime_ns / 1e9);
    print_text(out, false, "node_id", state.node_id);
    print_text(out, false, "role", "owner");
    buf_put_text(out, state.has_bucket ? ",\"tiering_policies\":[\"Memory\",\"MemoryS3\"]"
                                       : ",\"tiering_policies\":[\"Memory\"]");
    buf_printf(out, ",\"readonly\":%s", state.readonly ? "true" : "false");
    print_u64(out, false, "collections", state.collections);
    print_u64(out, false, "documents", state.documents);
    if (state.has_bucket)
        print_at_risk(out, &state);
    else
        print_nothing_at_risk(out);
    buf_put_text(out, ",\"memory\":{");
    print_u64(out, true, "bytes", state.memory_bytes);
    print_u64(out, false, "bytes_max", state.memory_bytes_max);
    buf_put_text(out, "},\"disk\":{");
    print_u64(out, true, "wal_bytes", state.wal_bytes);
    print_u64(out, false, "checkpoint_bytes", state.checkpoint_bytes);
    print_u64(out, false, "bytes_free", state.disk_bytes_free);
    print_u64(out, false, "bytes_total", state.disk_bytes_total);
    buf_put_text(out, "}");
    print_u64(out, false, "connections", server_connections(req->api->server));
    buf_put_text(out, "}\n");
    reply_send(req, 200);
    return TASK_DONE;
}

task_state handle_openapi(struct request *req)
{
    if (!request_parameters(req, NO_PARAMETERS))
        return TASK_DONE;
    buf_put(reply_begin(req), OPENAPI_JSON, OPENAPI_JSON_BYTES);
    reply_send(req, 200);
    return TASK_DONE;
}
