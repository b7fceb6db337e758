#include "cli/options.h"

#include "objstore/open.h"

static enum objstore_addressing addressing_of(const char *text)
{
    if (strcmp(text, "path") == 0)
        return OBJSTORE_ADDRESS_PATH;
    return strcmp(text, "virtual") == 0 ? OBJSTORE_ADDRESS_VIRTUAL : OBJSTORE_ADDRESS_AUTO;
}

status cli_open_store(const struct config *c, struct stats *stats, struct objstore **out,
                      struct err *err)
{
    const struct objstore_options options = {
        .url = c->storage.s3_bucket,
        .region = c->storage.s3_region,
        .endpoint = c->storage.s3_endpoint,
        .addressing = addressing_of(c->storage.s3_addressing),
        .ca_file = c->storage.s3_ca_file[0] == '\0' ? NULL : c->storage.s3_ca_file,
        .fs = fs_real(),
        .clock = clock_real(),
        .rand = rand_kernel(),
        .stats = stats,
    };
    status st;

    *out = NULL;
    if (c->storage.s3_bucket[0] == '\0')
        return ST_OK;
    st = objstore_open(&options, out, err);
    return st == ST_OK ? ST_OK : err_wrap(err, st, "storage.s3_bucket");
}

/* docs/configuration.md: vectors of 4 KiB, and what is pinned beside them. */
static uint64_t cache_bytes(const struct config *c)
{
    enum { VECTOR_BYTES = 4096, PINNED_BYTES = 64 * 1024 * 1024 };

    return c->storage.cache_bytes != 0
               ? c->storage.cache_bytes
               : PINNED_BYTES + (uint64_t)c->storage.cache_size * VECTOR_BYTES;
}

static status set_bucket_options(const struct config *c, struct node_options *out, struct err *err)
{
    if (!node_durability_parse(c->storage.durability, &out->durability))
        return err_set(err, ST_INVALID, "storage.durability: %s is none", c->storage.durability);
    out->probe_store = true;
    out->pinned_owner = c->storage.pinned_owner;
    out->rpo_ms = c->storage.rpo_ms;
    out->group_bytes = c->storage.group_bytes;
    out->unshipped_bytes_max = c->storage.unshipped_bytes_max;
    out->max_in_flight = c->storage.max_in_flight;
    out->max_retries = c->storage.retry_max_retries;
    out->base_backoff_ms = (uint64_t)c->storage.retry_base_backoff_secs * 1000;
    out->max_backoff_ms = (uint64_t)c->storage.retry_max_backoff_secs * 1000;
    out->compaction_bytes = c->storage.compaction_threshold_bytes;
    out->compaction_ops = c->storage.compaction_threshold_ops;
    out->keep_versions = c->storage.retention_keep_versions;
    out->keep_ms = (uint64_t)c->storage.retention_keep_days * 24 * 3600 * 1000;
    out->grace_ms = (uint64_t)c->storage.retention_grace_secs * 1000;
    out->cache_bytes = cache_bytes(c);
    out->no_background_compaction = !c->storage.enable_background_compaction;
    /* The rest of a request's time is for what comes before and behind the bucket. */
    out->remote_wait_ms = (uint64_t)c->server.timeout_seconds * 1000 * 2 / 3;
    return ST_OK;
}

status cli_node_options(const struct config *c, struct node_options *out, struct err *err)
{
    *out = (struct node_options){
        .fs = fs_real(),
        .clock = clock_real(),
        .rand = rand_kernel(),
        .data_dir = c->database.data_dir,
        .wal_path = c->storage.wal_path,
        .snapshot_dir = c->storage.snapshot_dir,
        .node_id = c->server.node_id,
        .memory_bytes_max = c->limits.memory_bytes,
        .wal_bytes_max = c->wal.max_bytes,
        .checkpoint_interval_ns = (uint64_t)c->wal.checkpoint_interval_secs * 1000000000u,
        .wal_sync_none = strcmp(c->wal.sync, "none") == 0,
        .auto_initialize = c->features.auto_initialize,
        .m = c->hnsw.m,
        .ef_construction = c->hnsw.ef_construction,
        .ef_search = c->hnsw.ef_search,
        .threshold = c->hnsw.threshold,
        .batch_max = c->server.max_batch,
    };
    if (!node_policy_parse(c->storage.tiering_policy, &out->policy))
        return err_set(err, ST_INVALID, "storage.tiering_policy: %s is none",
                       c->storage.tiering_policy);
    return set_bucket_options(c, out, err);
}
