/* What publishing and folding have in common: see publish_step.h. */
#include "node/publish_step.h"
#include "snapshot/ask.h"

#include <stdatomic.h>

enum {
    PUBLISH_FLUSH_MS = 60000,
    PUBLISH_COMMIT_MS = 120000,
    PUBLISH_SETTLE_TRIES = 50,
    PUBLISH_SETTLE_MS = 20,
};

static status do_copy_schema(void *arg, struct err *err)
{
    struct publishing *p = arg;
    const struct catalog_collection *entry = catalog_find_id(&p->c->node->catalog, p->c->id);

    if (entry == NULL)
        return err_set(err, ST_NOT_FOUND, "the collection was dropped");
    return catalog_collection_copy(entry, &p->schema, err);
}

struct commit {
    uint64_t revision;
    const struct object_ref *manifest;
    const struct log_floor *floor;
    size_t lineages;
    bool base_complete;
};

static void start_commit(struct tier_stream *s, tier_done_fn *done, void *arg, const void *what)
{
    const struct commit *commit = what;

    tier_stream_commit(s, commit->revision, commit->manifest, commit->floor, commit->lineages,
                       commit->base_complete, done, arg);
}

static status on_commit(void *arg, uint64_t revision, const struct object_ref *manifest,
                        const struct log_floor *floor, size_t lineages_absorbed, bool base_complete,
                        struct err *err)
{
    const struct commit commit = {revision, manifest, floor, lineages_absorbed, base_complete};
    struct collection *c = arg;
    uint64_t wait_ms = c->node->options.commit_wait_ms;

    return ship_call(c, start_commit, &commit, wait_ms != 0 ? wait_ms : PUBLISH_COMMIT_MS, err);
}

/* Rows that died before they were read are in no segment; what killed them has to be in the bucket
 * before the segments count. A record is applied a moment before the stream hears of it, so one
 * flush may not be enough. */
static status on_settle(void *arg, uint64_t *lsn, struct err *err)
{
    struct collection *c = arg;
    uint64_t applied = atomic_load_explicit(&c->applied_lsn, memory_order_acquire);
    struct tier_stream_status s;

    for (unsigned i = 0; i < PUBLISH_SETTLE_TRIES; i++) {
        status st = ship_flush(c, PUBLISH_FLUSH_MS, err);

        if (st != ST_OK)
            return st;
        if (ship_status(c, &s) && s.shipped_lsn >= applied) {
            *lsn = applied;
            return ST_OK;
        }
        bucket_pause(c->node, PUBLISH_SETTLE_MS);
    }
    return err_set(err, ST_UNAVAILABLE, "what was applied is not in the bucket yet");
}

bool publish_root(struct collection *c, struct root *out)
{
    bool has;

    lock_take(&c->seq.lock);
    has = c->seq.stream != NULL && tier_stream_root(c->seq.stream, out);
    lock_drop(&c->seq.lock);
    return has;
}

static void fill_options(struct publishing *p, struct publish_options *out)
{
    struct collection *c = p->c;
    const struct node_options *o = &c->node->options;

    *out = (struct publish_options){
        .store = o->store,
        .clock = o->clock,
        .rand = o->rand,
        .fs = o->fs,
        .slots = c->slots,
        .fields = p->fields,
        .field_count = fields_list(c, p->fields),
        .epoch = c->node->epoch,
        .checkpoint_dir = p->checkpoint_dir,
        .schema = &p->schema,
        .root = &p->root,
        .lsn = p->stream.shipped_lsn,
        .shipped = p->stream.shipped,
        .max_retries = o->max_retries,
        .base_backoff_ms = o->base_backoff_ms != 0 ? o->base_backoff_ms : 1000,
        .max_backoff_ms = o->max_backoff_ms != 0 ? o->max_backoff_ms : 64000,
        .stop = &c->node->stopping,
        .settle = on_settle,
        .settle_arg = c,
        .commit = on_commit,
        .commit_arg = c,
    };
    memcpy(out->collection, c->id, sizeof out->collection);
}

status publishing_open(struct publishing *p, struct publish_options *out, struct err *err)
{
    struct collection *c = p->c;
    char wal_dir[FS_PATH_BYTES];
    status st;

    manifest_init(&p->before);
    st = jobs_run(&c->node->meta, do_copy_schema, p, err);
    if (st == ST_OK)
        st = collection_paths(c, wal_dir, p->checkpoint_dir, err);
    if (st == ST_OK && (!ship_status(c, &p->stream) || p->stream.phase != STREAM_OWNED ||
                        !publish_root(c, &p->root)))
        st = err_set(err, ST_UNAVAILABLE, "this node does not own the collection now");
    if (st == ST_OK &&
        atomic_load_explicit(&c->applied_lsn, memory_order_acquire) < p->stream.shipped.lsn)
        st = err_set(err, ST_UNAVAILABLE, "what was shipped is not applied yet");
    if (st == ST_OK)
        fill_options(p, out);
    return st;
}

status publishing_read(struct publishing *p, struct err *err)
{
    char key[OBJKEY_BYTES];
    struct objstore_req req = {
        .op = OBJSTORE_GET, .pool = OBJSTORE_BULK, .key = key, .bytes_max = MANIFEST_BYTES_MAX};
    status st = ST_CORRUPT;

    if (!p->root.has_manifest)
        return ST_OK;
    objkey_manifest(p->c->id, p->root.manifest_revision, p->root.manifest.uuid, key);
    for (unsigned i = 0; st == ST_CORRUPT && i < ASK_INTEGRITY_TRIES; i++) {
        objstore_req_reset(&req);
        req.fresh_connection = i > 0;
        st = objstore_wait(p->c->node->options.store, &req, err);
        if (st == ST_OK)
            st = manifest_decode(buf_slice(&req.result.body), p->c->id, &p->before, err);
    }
    objstore_result_fini(&req.result);
    p->has_before = st == ST_OK;
    return st == ST_OK ? ST_OK : err_wrap(err, st, "read %s", key);
}

void publishing_close(struct publishing *p)
{
    manifest_free(&p->before);
    catalog_collection_free(&p->schema);
}
