#include "objstore/meter.h"

#include "base/mem.h"
#include "objstore/wrap.h"

#include <stdio.h>

enum direction { SENT = 0, RECEIVED, DIRECTIONS };

struct meter {
    struct objstore store;
    struct objstore *inner; /* owned */
    struct clock *clock;    /* borrowed */
    struct {                /* families of the registry; NULL without one */
        struct stats_family *requests;
        struct stats_metric *seconds[OBJSTORE_OPS];
        struct stats_metric *bytes[DIRECTIONS];
    } stats;
    _Atomic uint64_t requests[OBJSTORE_OPS][OBJSTORE_CLASSES];
    _Atomic uint64_t maybe_applied;
    _Atomic uint64_t bytes[DIRECTIONS];
    _Atomic uint64_t under_way;
};

static void count(struct meter *m, const struct objstore_req *req, uint64_t started_ns)
{
    const struct objstore_result *r = &req->result;
    /* One that does not exist was refused, and has to be counted somewhere. */
    enum objstore_op op = (unsigned)req->op < OBJSTORE_OPS ? req->op : OBJSTORE_HEAD;
    const char *labels[] = {objstore_op_name(op), objstore_class_name(r->class), NULL};

    m->requests[op][r->class]++;
    m->maybe_applied += r->maybe_applied;
    m->bytes[SENT] += r->sent_bytes;
    m->bytes[RECEIVED] += r->received_bytes;
    m->under_way--;
    stats_add(stats_metric(m->stats.requests, labels), 1);
    stats_observe(m->stats.seconds[op], (double)(clock_mono_ns(m->clock) - started_ns) / 1e9);
    stats_add(m->stats.bytes[SENT], r->sent_bytes);
    stats_add(m->stats.bytes[RECEIVED], r->received_bytes);
}

static void on_done(struct objstore_req *req)
{
    const struct objstore_slot *slot = wrap_top(req);

    count(slot->owner, req, slot->at_ns);
    wrap_done(req);
}

static void on_submit(struct objstore *s, struct objstore_req *req)
{
    struct meter *m = (struct meter *)s;
    struct objstore_slot *slot = wrap_push(req, m, on_done);

    slot->at_ns = clock_mono_ns(m->clock);
    m->under_way++;
    objstore_submit(m->inner, req);
}

static void on_cancel(struct objstore *s, struct objstore_req *req)
{
    objstore_cancel(((struct meter *)s)->inner, req);
}

static void on_reload(struct objstore *s)
{
    objstore_reload(((struct meter *)s)->inner);
}

static void on_trouble(struct objstore *s, char text[ERR_TEXT_BYTES])
{
    objstore_trouble(((struct meter *)s)->inner, text);
}

static void on_close(struct objstore *s)
{
    objstore_close(((struct meter *)s)->inner);
    mem_free(s);
}

void objstore_meter_pools(struct stats *stats, struct stats_metric *out[OBJSTORE_POOLS])
{
    static const char *const by_pool[] = {"pool", NULL};
    struct stats_family *allowed =
        stats_family(stats, "tiervec_s3_requests_allowed", STATS_GAUGE,
                     "requests to the bucket that may be under way at a time", by_pool, NULL, 0);

    for (unsigned pool = 0; pool < OBJSTORE_POOLS; pool++) {
        const char *labels[] = {objstore_pool_name((enum objstore_pool)pool), NULL};

        out[pool] = stats_metric(allowed, labels);
    }
}

/* A registry without memory gives NULL, which takes everything and does nothing. */
static void make_metrics(struct meter *m, struct stats *stats)
{
    static const char *const by_op_and_outcome[] = {"op", "outcome", NULL};
    static const char *const by_op[] = {"op", NULL};
    static const char *const by_direction[] = {"direction", NULL};
    struct stats_family *seconds;
    struct stats_family *bytes;
    struct stats_metric *pools[OBJSTORE_POOLS]; /* there, whatever the store */

    objstore_meter_pools(stats, pools);
    m->stats.requests =
        stats_family(stats, "tiervec_s3_requests_total", STATS_COUNTER,
                     "requests to the bucket, by what they came to", by_op_and_outcome, NULL, 0);
    seconds = stats_family(stats, "tiervec_s3_request_duration_seconds", STATS_HISTOGRAM,
                           "from submitting a request to its end", by_op, STATS_LATENCY_BUCKETS,
                           STATS_LATENCY_BUCKET_COUNT);
    bytes =
        stats_family(stats, "tiervec_s3_bytes_total", STATS_COUNTER,
                     "bytes of bodies sent to and received from the bucket", by_direction, NULL, 0);
    for (unsigned op = 0; op < OBJSTORE_OPS; op++) {
        const char *labels[] = {objstore_op_name((enum objstore_op)op), NULL};

        m->stats.seconds[op] = stats_metric(seconds, labels);
    }
    m->stats.bytes[SENT] = stats_metric(bytes, (const char *const[]){"sent", NULL});
    m->stats.bytes[RECEIVED] = stats_metric(bytes, (const char *const[]){"received", NULL});
}

status objstore_meter_open(struct objstore *inner, struct stats *stats, struct clock *clock,
                           struct objstore **out, struct err *err)
{
    static const struct objstore_ops ops = {.submit = on_submit,
                                            .cancel = on_cancel,
                                            .reload = on_reload,
                                            .trouble = on_trouble,
                                            .close = on_close};
    struct meter *m = mem_zero(sizeof *m);

    if (m == NULL)
        return err_set(err, ST_NOMEM, "open %s: out of memory", inner->description);
    m->store.ops = &ops;
    m->inner = inner;
    m->clock = clock;
    memcpy(m->store.description, inner->description, sizeof m->store.description);
    if (stats != NULL)
        make_metrics(m, stats);
    *out = &m->store;
    return ST_OK;
}

void objstore_meter_counts(struct objstore *s, struct objstore_counts *out)
{
    struct meter *m = (struct meter *)s;

    assert(s->ops->submit == on_submit);
    for (unsigned op = 0; op < OBJSTORE_OPS; op++)
        for (unsigned c = 0; c < OBJSTORE_CLASSES; c++)
            out->requests[op][c] = m->requests[op][c];
    out->maybe_applied = m->maybe_applied;
    out->sent_bytes = m->bytes[SENT];
    out->received_bytes = m->bytes[RECEIVED];
    out->under_way = m->under_way;
}

uint64_t objstore_counts_op(const struct objstore_counts *counts, enum objstore_op op)
{
    uint64_t sum = 0;

    for (unsigned c = 0; c < OBJSTORE_CLASSES; c++)
        sum += counts->requests[op][c];
    return sum;
}
