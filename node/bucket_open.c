/* A node's bucket: who we are to it, its letters, and the shell that ships. */
#include "node/node_internal.h"
#include "tiering/cache.h"

#include <stdio.h>
#include <unistd.h>

enum { INSTANCE_TEXT_BYTES = UUID_TEXT_BYTES, NODE_CACHE_BYTES = 256 * 1024 * 1024 };

static status read_instance(struct node *node, const char *path, uint8_t out[16], struct err *err)
{
    struct buf bytes;
    status st;

    buf_init(&bytes, 256);
    st = fs_read_file(node->options.fs, path, 256, &bytes, err);
    if (st == ST_OK) {
        size_t n = bytes.bytes;

        while (n > 0 && (bytes.data[n - 1] == '\n' || bytes.data[n - 1] == '\r'))
            n--;
        if (!uuid_parse((const char *)bytes.data, n, out))
            st =
                err_set(err, ST_CORRUPT,
                        "%s holds no UUID: put it back from a copy, or remove it (the node is then "
                        "another one to the bucket, and needs --take-ownership once)",
                        path);
    }
    buf_free(&bytes);
    return st;
}

/* The id made with this data directory. */
static status instance_id(struct node *node, uint8_t out[16], struct err *err)
{
    char path[FS_PATH_BYTES];
    char text[INSTANCE_TEXT_BYTES + 1];
    status st = fs_join(path, node->data_dir, "instance", err);

    if (st == ST_OK)
        st = read_instance(node, path, out, err);
    if (st != ST_NOT_FOUND)
        return st;
    uuid_make_v4(node->options.rand, out);
    uuid_format(out, text);
    text[UUID_TEXT_BYTES - 1] = '\n';
    return fs_write_file(node->options.fs, path, slice_make(text, UUID_TEXT_BYTES), err);
}

/* docs/decisions/owner-identity.md */
static status find_owner_id(struct node *node, struct err *err)
{
    const char *given = node->options.node_id;
    char text[ROOT_NODE_ID_BYTES];
    uint8_t instance[16];
    status st;

    if (given != NULL && given[0] != '\0') {
        node->owner_id = mem_strdup(given);
        return node->owner_id == NULL ? err_set(err, ST_NOMEM, "out of memory") : ST_OK;
    }
    st = instance_id(node, instance, err);
    if (st != ST_OK)
        return err_wrap(err, st, "the id of this data directory");
    (void)snprintf(text, sizeof text, "%.200s-%02x%02x%02x%02x", node->node_id, instance[0],
                   instance[1], instance[2], instance[3]);
    node->owner_id = mem_strdup(text);
    return node->owner_id == NULL ? err_set(err, ST_NOMEM, "out of memory") : ST_OK;
}

static uint64_t or_else(uint64_t value, uint64_t fallback)
{
    return value != 0 ? value : fallback;
}

static status open_tier(struct node *node, struct err *err)
{
    const struct node_options *o = &node->options;
    struct tier_options options = {
        .store = o->store,
        .clock = o->clock,
        .rand = o->rand,
        .stats = o->stats,
        .dlq = node->dlq,
        .fs = o->fs,
        .data_dir = node->data_dir,
        .node_id = node->owner_id,
        .take_ownership = o->take_ownership,
        .rpo_ms = or_else(o->rpo_ms, 1000),
        .group_bytes = or_else(o->group_bytes, 4 * 1024 * 1024),
        .max_in_flight = (uint32_t)or_else(o->max_in_flight, 4),
        .max_retries = o->max_retries,
        .base_backoff_ms = or_else(o->base_backoff_ms, 1000),
        .max_backoff_ms = or_else(o->max_backoff_ms, 64000),
        .unshipped_bytes_max = or_else(o->unshipped_bytes_max, (uint64_t)10 << 30),
    };

    memcpy(options.session, node->session, sizeof options.session);
    return tier_open(&options, &node->tier, err);
}

static status open_cache(struct node *node, struct err *err)
{
    const struct node_options *o = &node->options;
    const struct cache_options options = {
        .store = o->store,
        .clock = o->clock,
        .rand = o->rand,
        .bytes_max = or_else(o->cache_bytes, NODE_CACHE_BYTES),
    };

    return cache_open(&options, &node->cache, err);
}

status bucket_open(struct node *node, struct err *err)
{
    const struct dlq_options letters = {
        .kv = node->kv, .persist = kv_writer_put, .persist_arg = node->kv_writer};
    status st = dlq_open(&letters, &node->dlq, &node->letters_damaged, err);

    atomic_store(&node->load_first,
                 node->options.store != NULL && node->catalog.collection_count == 0);

    if (st == ST_OK)
        meta_letters_anew(node);
    if (st != ST_OK || node->options.store == NULL)
        return st;
    uuid_make_v4(node->options.rand, node->session);
    st = find_owner_id(node, err);
    if (st == ST_OK)
        st = bucket_probe_open(node, err);
    if (st == ST_OK)
        st = open_tier(node, err);
    if (st == ST_OK)
        st = open_cache(node, err);
    if (st == ST_OK && node->letters_damaged > 0)
        node_add_reason(node, "some dead letters cannot be read; what they stood for is still in "
                              "the log and is tried again");
    return st;
}

void bucket_close(struct node *node)
{
    tier_close(node->tier);
    cache_close(node->cache);
    bucket_probe_close(node);
    dlq_close(node->dlq);
    mem_free(node->owner_id);
}
