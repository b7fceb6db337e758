/* What is told of the bucket: status, health, information on collections, metrics. */
#include "node/cold_internal.h"

#include <stdatomic.h>
#include <stdio.h>

void bucket_info(struct collection *c, struct collection_info *out)
{
    struct tier_stream_status s = {0};
    struct bucket_marks marks;
    struct dlq_counts counts = {0};
    uint8_t policy = atomic_load(&c->policy);

    out->phase = "";
    if (!policy_has_bucket(policy) || c->node->tier == NULL)
        return;
    ship_marks(c, &marks);
    dlq_count(c->node->dlq, c->id, &counts);
    out->has_bucket = true;
    out->arriving = atomic_load(&c->arriving);
    if (out->arriving) /* what its stream says comes once it has one */
        out->phase = "arriving";
    out->dlq = counts.letters;
    out->published_lsn = marks.published_lsn;
    out->published_at_ns = marks.published_at_ns;
    out->segments = marks.segments;
    out->bucket_bytes = marks.segment_bytes + marks.object_bytes + marks.log_bytes;
    if (!ship_status(c, &s))
        return;
    out->switching = s.switching || marks.switching;
    /* Asked again and not answered yet: it is what it was. */
    out->phase =
        stream_phase_name(marks.foreign && (s.phase == STREAM_IDLE || s.phase == STREAM_TAKING) &&
                                  !c->node->options.take_ownership
                              ? STREAM_FOREIGN
                              : s.phase);
    (void)snprintf(out->owner, sizeof out->owner, "%s", s.owner);
    (void)snprintf(out->trouble, sizeof out->trouble, "%s", s.trouble);
    out->epoch = s.epoch;
    out->shipped_lsn = s.shipped_lsn > marks.hint_lsn ? s.shipped_lsn : marks.hint_lsn;
    out->remote_lsn = s.remote_lsn;
    out->unshipped_bytes = s.unshipped_bytes;
    out->unshipped_records = s.unshipped_records;
    out->lag_ms = s.lag_ms;
    out->bucket_bytes -= out->unshipped_bytes < marks.log_bytes ? out->unshipped_bytes : 0;
}

void bucket_status(struct node *node, struct node_status *out)
{
    struct tier_status s;
    struct dlq_counts counts;
    char keys[ERR_TEXT_BYTES];

    dlq_count(node->dlq, NULL, &counts);
    out->dlq_total = counts.letters;
    lock_take(&node->bucket.lock);
    out->pressure_disk = node->bucket.now.disk;
    lock_drop(&node->bucket.lock);
    out->pressure = pressure_level_name((enum pressure_level)atomic_load(&node->pressure));
    out->breaker = breaker_state_name(BREAKER_CLOSED);
    if (node->tier == NULL)
        return;
    tier_status(node->tier, &s);
    bucket_trust_status(node, out);
    out->has_bucket = true;
    (void)snprintf(out->bucket, sizeof out->bucket, "%s", node->options.store->description);
    objstore_trouble(node->options.store, keys);
    (void)snprintf(out->bucket_trouble, sizeof out->bucket_trouble, "%s%.220s",
                   s.trouble[0] == '\0' && keys[0] != '\0' ? "keys: " : "",
                   s.trouble[0] != '\0' ? s.trouble : keys);
    out->breaker = breaker_state_name(s.breaker);
    out->unshipped_bytes = s.unshipped_bytes;
    out->unshipped_records = s.unshipped_records;
    out->lag_ms = s.lag_ms;
    out->uploads_in_flight = s.uploads_in_flight;
    out->uploads_queued = s.uploads_queued;
}

void bucket_health(struct node *node, struct node_health *out)
{
    struct tier_status s;
    struct dlq_counts counts;
    char keys[ERR_TEXT_BYTES];
    char text[NODE_REASON_BYTES];
    char reason[NODE_REASON_BYTES];
    char catalog_reason[NODE_REASON_BYTES];

    if (node->tier == NULL)
        return;
    tier_status(node->tier, &s);
    if (s.breaker != BREAKER_CLOSED) {
        (void)snprintf(text, sizeof text,
                       "the bucket does not answer as it should, uploads wait and are tried again: "
                       "%.400s",
                       s.trouble);
        health_add(out, text);
    }
    objstore_trouble(node->options.store, keys);
    if (keys[0] != '\0') {
        (void)snprintf(text, sizeof text, "the keys for the bucket cannot be renewed: %.400s",
                       keys);
        health_add(out, text);
    }
    bucket_trust_health(node, out);
    dlq_count(node->dlq, NULL, &counts);
    if (counts.letters > 0) {
        (void)snprintf(text, sizeof text,
                       "%zu dead letter%s a person: tiervec dlq list, or GET "
                       "/admin/collections/{id}/dlq",
                       counts.letters, counts.letters == 1 ? " needs" : "s need");
        health_add(out, text);
    }
    lock_take(&node->bucket.lock);
    memcpy(reason, node->bucket.bucket_reason, sizeof reason);
    memcpy(catalog_reason, node->bucket.catalog_reason, sizeof catalog_reason);
    (void)snprintf(text, sizeof text, "%s", node->bucket.now.text);
    lock_drop(&node->bucket.lock);
    if (reason[0] != '\0')
        health_add(out, reason);
    if (catalog_reason[0] != '\0')
        health_add(out, catalog_reason);
    if (text[0] != '\0')
        health_add(out, text);
}

void bucket_health_of_collection(struct collection *c, const char *name, struct node_health *out)
{
    struct tier_stream_status s = {0};
    char text[NODE_REASON_BYTES];
    char reason[NODE_REASON_BYTES];
    bool fenced;
    bool failed;
    bool lost;
    bool switching;

    lock_take(&c->seq.lock);
    fenced = c->seq.fenced || c->seq.dropping;
    (void)snprintf(reason, sizeof reason, "%s",
                   c->seq.dropping ? DROP_REASON : c->seq.fence_reason);
    if (c->seq.stream != NULL)
        tier_stream_status(c->seq.stream, &s);
    lock_drop(&c->seq.lock);
    if (fenced) {
        (void)snprintf(text, sizeof text, "collection %.64s is read-only here: %.400s", name,
                       reason);
        health_add(out, text);
        return;
    }
    lock_take(&c->bucket.lock);
    failed = c->bucket.publish_failed;
    lost = c->bucket.root_lost;
    switching = c->bucket.marks.switching;
    (void)snprintf(reason, sizeof reason, "%s", c->bucket.publish_reason);
    lock_drop(&c->bucket.lock);
    if (lost)
        (void)snprintf(text, sizeof text,
                       "collection %.64s: the bucket has no root for it any more; nothing is "
                       "shipped until `tiervec dlq retry` publishes it whole again",
                       name);
    else if (s.phase == STREAM_HALTED)
        (void)snprintf(text, sizeof text,
                       "collection %.64s: nothing is shipped until a person looks, then `tiervec "
                       "dlq retry`: %.350s",
                       name, s.reason);
    else if (s.trouble[0] != '\0')
        (void)snprintf(text, sizeof text, "collection %.64s: its upload fails: %.400s", name,
                       s.trouble);
    else if (failed)
        (void)snprintf(text, sizeof text, "collection %.64s: publishing fails: %.400s", name,
                       reason);
    else if (s.switching || switching)
        (void)snprintf(text, sizeof text,
                       "collection %.64s: not yet restorable, its rows are on their way to the "
                       "bucket",
                       name);
    else
        return;
    health_add(out, text);
}

/* The seed's names, in the order of node_stats.c. */
void bucket_collect(struct collection *c, struct collection_stats *s)
{
    struct tier_stream_status t = {0};
    struct dlq_counts counts = {0};

    struct shipped_counts before;

    lock_take(&c->seq.lock);
    before = c->seq.shipped_before;
    if (c->seq.stream != NULL)
        tier_stream_status(c->seq.stream, &t);
    lock_drop(&c->seq.lock);
    dlq_count(c->node->dlq, c->id, &counts);
    stats_set(s->seed[0], (double)(before.uploads + t.uploads));
    stats_set(s->seed[1], (double)(before.retries + t.retries));
    stats_set(s->seed[2], (double)(before.permanent_failures + t.permanent_failures));
    stats_set(s->seed[3], (double)atomic_load(&c->compactions));
    stats_set(s->seed[4], (double)atomic_load(&c->cold->account.hits));
    stats_set(s->seed[5], (double)atomic_load(&c->cold->account.misses));
    stats_set(s->seed[6], (double)counts.letters);
    stats_set(s->seed[7], (double)t.queued);
}
