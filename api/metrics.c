#include "api/metrics.h"

#include "api/api_internal.h"
#include "api/grpc_frame.h"
#include "api/qdrant_door.h"
#include "base/mem.h"

#include <stdio.h>

/* Every status that is ever answered, so that a series is looked up once and then added to. */
static const int STATUSES[] = {200, 201, 202, 400, 403, 404, 405, 408, 409, 413, 414,
                               415, 417, 422, 429, 431, 499, 500, 503, 504, 507};

struct endpoint {
    char label[96];
    struct stats_metric *seconds;
    _Atomic(struct stats_metric *) requests[COUNT_OF(STATUSES)]; /* made when first seen */
};

const char METRICS_NO_METHOD[] = "none";

enum { CALLS_MAX = 96, CALL_STATUSES = GRPC_UNAUTHENTICATED + 1 };

/* What is called is known when it was called for the first time. */
struct call {
    const char *method;
    struct stats_metric *seconds;
    struct stats_metric *requests[CALL_STATUSES];
};

struct metrics {
    struct stats_family *calls;
    struct stats_family *call_seconds;
    struct call call[CALLS_MAX];
    size_t call_count;
    struct stats_family *requests;
    struct stats_metric *refused;
    size_t endpoint_count;
    struct endpoint endpoints[]; /* one a route, and one for what reached none */
};

static bool is_of(const struct route *route, const struct route *table, size_t count)
{
    return (uintptr_t)route >= (uintptr_t)table && (uintptr_t)route < (uintptr_t)(table + count);
}

static const struct route *route_at(size_t i)
{
    return i < API_ROUTE_COUNT ? &API_ROUTES[i] : &QDRANT_ROUTES[i - API_ROUTE_COUNT];
}

static struct endpoint *endpoint_of(struct metrics *m, const struct route *route)
{
    size_t i;

    if (route == NULL)
        return &m->endpoints[m->endpoint_count - 1];
    i = is_of(route, API_ROUTES, API_ROUTE_COUNT)
            ? (size_t)(route - API_ROUTES)
            : API_ROUTE_COUNT + (size_t)(route - QDRANT_ROUTES);
    return &m->endpoints[i];
}

static struct call *call_of(struct metrics *m, const char *method)
{
    const char *values[] = {method, NULL};
    struct call *call;

    for (size_t i = 0; i < m->call_count; i++)
        if (m->call[i].method == method)
            return &m->call[i];
    if (m->call_count == CALLS_MAX)
        return &m->call[CALLS_MAX - 1];
    call = &m->call[m->call_count++];
    call->method = method;
    call->seconds = stats_metric(m->call_seconds, values);
    return call;
}

static struct stats_metric *calls_of(struct metrics *m, struct call *call, enum grpc_status code)
{
    const char *values[] = {call->method, grpc_status_name(code), NULL};
    size_t i = (unsigned)code < CALL_STATUSES ? (size_t)code : GRPC_UNKNOWN;

    if (call->requests[i] == NULL)
        call->requests[i] = stats_metric(m->calls, values);
    return call->requests[i];
}

status metrics_create(struct api *api, struct metrics **out, struct err *err)
{
    static const char *const request_labels[] = {"endpoint", "status", NULL};
    static const char *const time_labels[] = {"endpoint", NULL};
    static const char *const call_labels[] = {"method", "status", NULL};
    static const char *const call_time_labels[] = {"method", NULL};
    static const char *const none[] = {NULL};
    size_t count = API_ROUTE_COUNT + QDRANT_ROUTE_COUNT + 1;
    struct stats *stats = api->options.stats;
    struct metrics *m = mem_zero(sizeof *m + count * sizeof m->endpoints[0]);
    struct stats_family *seconds;

    if (m == NULL)
        return err_set(err, ST_NOMEM, "out of memory for the meters of the REST server");
    m->endpoint_count = count;
    m->requests =
        stats_family(stats, "tiervec_requests_total", STATS_COUNTER,
                     "Requests answered, by endpoint and HTTP status.", request_labels, NULL, 0);
    m->calls =
        stats_family(stats, "tiervec_grpc_requests_total", STATS_COUNTER,
                     "Calls of gRPC answered, by method and gRPC status.", call_labels, NULL, 0);
    m->call_seconds = stats_family(stats, "tiervec_grpc_request_duration_seconds", STATS_HISTOGRAM,
                                   "Time from a whole call to its answer.", call_time_labels,
                                   STATS_LATENCY_BUCKETS, STATS_LATENCY_BUCKET_COUNT);
    seconds = stats_family(stats, "tiervec_request_duration_seconds", STATS_HISTOGRAM,
                           "Time from a whole request to its answer.", time_labels,
                           STATS_LATENCY_BUCKETS, STATS_LATENCY_BUCKET_COUNT);
    m->refused = stats_metric(
        stats_family(stats, "tiervec_backpressure_events_total", STATS_COUNTER,
                     "Requests refused because a queue or a bound was full.", none, NULL, 0),
        none);
    for (size_t i = 0; i < count; i++) {
        struct endpoint *e = &m->endpoints[i];
        const char *values[] = {e->label, NULL};

        if (i + 1 < count)
            (void)snprintf(e->label, sizeof e->label, "%s %s",
                           http_method_name(route_at(i)->method), route_at(i)->pattern);
        else
            (void)snprintf(e->label, sizeof e->label, "none");
        e->seconds = stats_metric(seconds, values);
    }
    /* Calls of no method are told from the start, so that one sees that there were none. */
    (void)calls_of(m, call_of(m, METRICS_NO_METHOD), GRPC_UNIMPLEMENTED);
    *out = m;
    return ST_OK;
}

void metrics_destroy(struct metrics *m)
{
    mem_free(m);
}

static struct stats_metric *requests_of(struct metrics *m, struct endpoint *e, int http_status)
{
    size_t i = 0;
    struct stats_metric *metric;
    char text[8];
    const char *values[] = {e->label, text, NULL};

    while (i + 1 < COUNT_OF(STATUSES) && STATUSES[i] != http_status)
        i++;
    metric = atomic_load_explicit(&e->requests[i], memory_order_acquire);
    if (metric != NULL)
        return metric;
    (void)snprintf(text, sizeof text, "%d", STATUSES[i]);
    metric = stats_metric(m->requests, values); /* the same one for whoever asks at the same time */
    atomic_store_explicit(&e->requests[i], metric, memory_order_release);
    return metric;
}

void metrics_request(struct metrics *m, const struct route *route, int http_status, double seconds)
{
    struct endpoint *e = endpoint_of(m, route);

    stats_add(requests_of(m, e, http_status), 1);
    stats_observe(e->seconds, seconds);
}

void metrics_grpc(struct metrics *m, const char *method, enum grpc_status code, double seconds)
{
    struct call *call = call_of(m, method);

    stats_add(calls_of(m, call, code), 1);
    stats_observe(call->seconds, seconds);
}

void metrics_refused(struct metrics *m)
{
    stats_add(m->refused, 1);
}
