/* What nothing names any more leaves the bucket: each collection's collector, in turn with its
 * publishing, on the same thread (docs/protocol.md, "Collecting garbage").
 *
 * A run begins once something was published or the collection was taken over, not more often than
 * readers have their grace; versions that are kept for their age are looked at again each day. */
#include "node/node_internal.h"
#include "snapshot/collect_run.h"

#include <inttypes.h>
#include <stdatomic.h>

enum {
    COLLECT_BATCH = 100,
    COLLECT_PAUSE_MIN_MS = 1000,
    COLLECT_RETRY_MS = 300000,
    COLLECT_DAY_MS = 24 * 3600 * 1000,
    COLLECT_MARK_MS = 120000,
    COLLECT_TRIES_HARD = 1,
    COLLECT_GIVE_UP_MS = 10000, /* publishing waits meanwhile */
};

static void start_mark(struct tier_stream *s, tier_done_fn *done, void *arg, const void *what)
{
    const uint64_t *revision = what;

    tier_stream_mark(s, *revision, done, arg);
}

static status on_mark(void *arg, uint64_t revision, struct err *err)
{
    return ship_call(arg, start_mark, &revision, COLLECT_MARK_MS, err);
}

static bool may_collect(struct collection *c, uint64_t now_ms)
{
    struct node *node = c->node;
    struct tier_stream_status s;

    if (node->options.keep_versions == 0 || !policy_has_bucket(atomic_load(&c->policy)) ||
        atomic_load_explicit(&c->seq.state, memory_order_acquire) != COLLECTION_SERVING ||
        !ship_status(c, &s) || s.phase != STREAM_OWNED || s.switching)
        return false;
    if (s.epoch != c->collecting.epoch) {
        c->collecting.epoch = s.epoch;
        c->collecting.wanted = true;
    }
    if (c->collecting.again_ms != 0 && now_ms >= c->collecting.again_ms)
        c->collecting.wanted = true;
    return now_ms >= c->collecting.next_ms && (c->collecting.wanted || c->collecting.run != NULL);
}

static bool begin(struct collection *c)
{
    const struct node_options *o = &c->node->options;
    struct collect_options options = {
        .keep_ms = o->keep_ms,
        .keep_versions = o->keep_versions,
        .grace_ms = o->grace_ms,
        .batch = COLLECT_BATCH,
    };

    if (c->collecting.run != NULL)
        return true;
    c->collecting.run = mem_alloc(sizeof *c->collecting.run);
    if (c->collecting.run == NULL)
        return false;
    memcpy(options.collection, c->id, sizeof options.collection);
    memcpy(options.session, c->node->session, sizeof options.session);
    collect_init(c->collecting.run, &options);
    c->collecting.wanted = false; /* what is published from here on wants another */
    c->collecting.again_ms = 0;
    return true;
}

void collector_metrics(struct node *node)
{
    static const char *const by_outcome[] = {"outcome", NULL};
    static const char *const ok[] = {"ok", NULL};
    static const char *const failed[] = {"failed", NULL};
    struct stats *stats = node->options.stats;
    struct stats_family *runs =
        stats_family(stats, "tiervec_collect_runs_total", STATS_COUNTER,
                     "Runs of the collector of garbage in the bucket.", by_outcome, NULL, 0);
    struct stats_family *objects =
        stats_family(stats, "tiervec_collect_objects_total", STATS_COUNTER,
                     "Objects deleted from the bucket as garbage.", NULL, NULL, 0);
    struct stats_family *bytes =
        stats_family(stats, "tiervec_collect_bytes_total", STATS_COUNTER,
                     "Bytes of the objects deleted from the bucket as garbage.", NULL, NULL, 0);

    node->collect_runs_ok = stats_metric(runs, ok);
    node->collect_runs_failed = stats_metric(runs, failed);
    node->collect_objects = stats_metric(objects, NULL);
    node->collect_bytes = stats_metric(bytes, NULL);
}

static void count(struct collection *c, const struct collect_report *r, bool ok)
{
    struct node *node = c->node;

    stats_add(ok ? node->collect_runs_ok : node->collect_runs_failed, 1);
    stats_add(node->collect_objects, r->deleted);
    if (r->planned > 0)
        stats_add(node->collect_bytes, r->planned_bytes / r->planned * r->deleted);
}

static void ended(struct collection *c, status st, const struct err *err, uint64_t now_ms)
{
    const struct collect_report *r = &c->collecting.run->report;
    uint64_t grace = c->node->options.grace_ms;
    uint64_t left_out;

    count(c, r, st == ST_OK);
    if (r->deleted > 0)
        log_info("what nothing names any more was deleted from the bucket",
                 "collection_id=%s objects=%" PRIu64 " versions=%" PRIu64 " pins=%" PRIu64,
                 c->id_text, r->deleted, r->manifests, r->pins);
    if (st != ST_OK && st != ST_CLOSED && log_repeat(&c->collecting.said, &left_out))
        log_warn("garbage in the bucket could not be collected, it is tried again",
                 "collection_id=%s err=%s left_out=%" PRIu64, c->id_text, err->text, left_out);
    c->collecting.next_ms = now_ms + (st != ST_OK                    ? COLLECT_RETRY_MS
                                      : grace > COLLECT_PAUSE_MIN_MS ? grace
                                                                     : COLLECT_PAUSE_MIN_MS);
    if (st != ST_OK || r->more)
        c->collecting.wanted = true;
    else if (r->manifests > 1)
        c->collecting.again_ms = now_ms + COLLECT_DAY_MS;
    collector_drop(c);
}

void collector_turn(struct collection *c)
{
    struct node *node = c->node;
    uint64_t now_ms = clock_mono_ns(node->options.clock) / 1000000;
    const struct collect_shell shell = {
        .ask = {.store = node->options.store,
                .clock = node->options.clock,
                .rand = node->options.rand,
                .stop = &node->stopping,
                .policy = objstore_retry_background(100, 2000, COLLECT_TRIES_HARD),
                .give_up_ms = COLLECT_GIVE_UP_MS},
        .mark = on_mark,
        .arg = c,
    };
    struct err err = {0};
    uint64_t again_ms;
    status st;

    if (!may_collect(c, now_ms) || !begin(c))
        return;
    st = collect_turn(c->collecting.run, &shell, &again_ms, &err);
    if (st == ST_OK && again_ms > 0)
        c->collecting.next_ms = again_ms;
    else
        ended(c, st, &err, clock_mono_ns(node->options.clock) / 1000000);
}

void collector_want(struct collection *c)
{
    c->collecting.wanted = true;
}

void collector_drop(struct collection *c)
{
    if (c->collecting.run == NULL)
        return;
    collect_fini(c->collecting.run);
    mem_free(c->collecting.run);
    c->collecting.run = NULL;
}
