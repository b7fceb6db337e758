#include "node/node.h"

#include "node/cold_internal.h"

#include <assert.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

enum { NODE_CLOSE_POLL_NS = 500000 };
static const uint64_t READY_COLD_NS = UINT64_C(2000000000);
static const double READY_BUT_COLD = 0.99; /* of a start that waits for cold sets alone */

/* --- open --- */

static status copy_path(const char *given, const char *base, const char *name, char **out,
                        struct err *err)
{
    char path[FS_PATH_BYTES];
    status st = ST_OK;

    if (given == NULL || given[0] == '\0')
        st = fs_join(path, base, name, err);
    if (st != ST_OK)
        return st;
    *out = mem_strdup(given == NULL || given[0] == '\0' ? path : given);
    return *out == NULL ? err_set(err, ST_NOMEM, "out of memory") : ST_OK;
}

static status open_paths(struct node *node, struct err *err)
{
    const struct node_options *o = &node->options;
    char host[256] = "node";
    status st;

    node->data_dir = mem_strdup(o->data_dir);
    if (o->node_id == NULL || o->node_id[0] == '\0')
        (void)gethostname(host, sizeof host - 1);
    node->node_id = mem_strdup(o->node_id == NULL || o->node_id[0] == '\0' ? host : o->node_id);
    if (node->data_dir == NULL || node->node_id == NULL)
        return err_set(err, ST_NOMEM, "out of memory");
    st = copy_path(o->wal_path, node->data_dir, "wal", &node->wal_dir, err);
    if (st == ST_OK)
        st = copy_path(o->snapshot_dir, node->data_dir, "snapshots", &node->snapshot_dir, err);
    if (st == ST_OK)
        st = fs_mkdir_all(o->fs, node->data_dir, err);
    if (st == ST_OK) /* for the catalog; logs and checkpoints see to their own folders */
        st = fs_sync_above(o->fs, node->data_dir, err);
    if (st == ST_OK)
        st = fs_mkdir_all(o->fs, node->wal_dir, err);
    if (st == ST_OK)
        st = fs_mkdir_all(o->fs, node->snapshot_dir, err);
    return st;
}

static status lock_one(struct node *node, const char *dir, const char *name, struct fs_file **out,
                       struct err *err)
{
    char path[FS_PATH_BYTES];
    status st = fs_join(path, dir, name, err);

    if (st == ST_OK)
        st = fs_open(node->options.fs, path, FS_READ | FS_WRITE | FS_CREATE, out, err);
    if (st == ST_OK)
        st = fs_lock(node->options.fs, *out, err);
    if (st == ST_CONFLICT)
        return err_set(err, ST_CONFLICT,
                       "another tiervec uses %s; stop it, or choose another directory", dir);
    return st;
}

/* One process at a time owns a data directory, and the logs and checkpoints that may lie elsewhere:
 * a copied configuration could name those of another node. The names differ, as all three may be
 * one directory. */
static status lock_directories(struct node *node, struct err *err)
{
    status st = lock_one(node, node->data_dir, "lock", &node->lock_files[0], err);

    if (st == ST_OK)
        st = lock_one(node, node->wal_dir, "wal.lock", &node->lock_files[1], err);
    if (st == ST_OK)
        st = lock_one(node, node->snapshot_dir, "snapshots.lock", &node->lock_files[2], err);
    return st;
}

static status open_stores(struct node *node, struct err *err)
{
    const struct wal_engine_options engine = {
        .fs = node->options.fs,
        .clock = node->options.clock,
        .rand = node->options.rand,
        .stats = node->options.stats,
        .sync = node->options.wal_twin != 0   ? (enum wal_sync)node->options.wal_twin
                : node->options.wal_sync_none ? WAL_SYNC_NONE
                                              : WAL_SYNC_FDATASYNC,
        .broken_twins = node->options.wal_twin != 0,
        .file_bytes_first = node->options.wal_file_bytes,
        .file_bytes_max = node->options.wal_file_bytes,
    };
    status st = meta_open(node, err);

    if (st == ST_OK)
        st = kv_writer_open(node->kv, &node->kv_writer, err);
    if (st == ST_OK)
        st = wal_engine_open(&engine, &node->engine, err);
    if (st == ST_OK)
        st = epoch_create(&node->epoch, err);
    if (st == ST_OK)
        st = catalog_store_read(node, err);
    return st == ST_OK ? catalog_store_settle(node, err) : st;
}

/* The database of a fresh node: ids of sixteen zeros, which need no entry but stand in the catalog
 * once something is written. Without auto_initialize the first catalog write makes it just the
 * same. */
static status first_catalog(struct node *node, struct err *err)
{
    struct catalog next;
    status st;

    if (node->catalog.revision != 0 || !node->options.auto_initialize)
        return ST_OK;
    catalog_init(&next);
    st = catalog_copy(&node->catalog, &next, err);
    if (st == ST_OK)
        st = catalog_store_write(node, &next, err);
    catalog_free(&next);
    return st;
}

static void init_plain(struct node *node)
{
    lock_init(&node->table.lock, LOCK_RANK_NODE, "collections");
    lock_init(&node->scratches.lock, LOCK_RANK_LEAF, "scratches");
    lock_init(&node->cold_exec.lock, LOCK_RANK_LEAF, "cold threads");
    lock_init(&node->linkers.lock, LOCK_RANK_QUEUE, "linkers");
    lock_init(&node->reclaim.lock, LOCK_RANK_QUEUE, "reclaim");
    cond_init(&node->linkers.wake);
    cond_init(&node->reclaim.wake);
    cond_init(&node->reclaim.ran);
    node->linkers.last = &node->linkers.first;
    jobs_init(&node->meta, "meta jobs");
    jobs_init(&node->upkeep, "upkeep jobs");
    jobs_init(&node->operator, "operator jobs");
    jobs_init(&node->publish, "publish jobs");
    jobs_init(&node->fold, "fold jobs");
    jobs_init(&node->load, "load jobs");
    cond_init(&node->reclaim.stop);
    lock_init(&node->index_waits.lock, LOCK_RANK_INDEXES, "waits for indexes");
    lock_init(&node->bucket.lock, LOCK_RANK_LEAF, "bucket");
    catalog_init(&node->bucket.aliases);
    catalog_init(&node->catalog);
    node->started_mono_ns = clock_mono_ns(node->options.clock);
    mem_budget_init(&node->budget, NULL,
                    node->options.memory_bytes_max != 0 ? node->options.memory_bytes_max
                                                        : node_memory_limit());
}

/* Of folds and loads that did not come to an end. */
static status remove_scratch(struct node *node, struct err *err)
{
    char dir[FS_PATH_BYTES];
    status st = fs_join(dir, node->data_dir, COLD_SCRATCH, err);

    return st == ST_OK ? fs_remove_all(node->options.fs, dir, err) : st;
}

status node_open(const struct node_options *options, struct node **out, struct err *err)
{
    struct node *node = mem_zero(sizeof *node);
    status st = ST_OK;

    if (node == NULL)
        return err_set(err, ST_NOMEM, "open the node: out of memory");
    node->options = *options;
    init_plain(node);
    node->scratches.room = 4 * (size_t)thread_cpu_count();
    node->scratches.items = mem_alloc_array(node->scratches.room, sizeof(struct vindex_scratch *));
    if (node->scratches.items == NULL)
        st = err_set(err, ST_NOMEM, "out of memory");
    if (st == ST_OK)
        st = idempotency_create(node->options.clock, &node->idempotency, err);
    if (st == ST_OK)
        st = open_paths(node, err);
    if (st == ST_OK)
        st = lock_directories(node, err);
    if (st == ST_OK)
        st = remove_scratch(node, err);
    if (st == ST_OK)
        st = open_stores(node, err);
    if (st == ST_OK)
        alias_show(node);
    if (st == ST_OK)
        st = first_catalog(node, err);
    if (st == ST_OK)
        st = node_stats_open(node, err);
    if (st == ST_OK)
        st = bucket_open(node, err);
    if (st == ST_OK)
        st = recover_list(node, err);
    if (st == ST_OK)
        st = background_start(node, err);
    if (st == ST_OK)
        st = recover_start(node, err);
    if (st == ST_OK && node->options.wal_sync_none)
        node_add_reason(
            node, "[wal] sync = \"none\": acknowledged writes may be lost when the machine stops");
    if (st != ST_OK) {
        node_close(node);
        return err_wrap(err, st, "open data directory %s", options->data_dir);
    }
    *out = node;
    return ST_OK;
}

/* --- close --- */

struct wal *collection_hold_log(struct collection *c)
{
    struct wal *wal;

    lock_take(&c->seq.lock);
    wal = c->seq.wal;
    c->seq.log_holders++;
    lock_drop(&c->seq.lock);
    return wal;
}

void collection_release_log(struct collection *c)
{
    lock_take(&c->seq.lock);
    c->seq.log_holders--;
    cond_broadcast(&c->seq.released);
    lock_drop(&c->seq.lock);
}

void collection_close_log(struct collection *c)
{
    struct wal *wal;

    ship_close(c); /* it reads the log */
    lock_take(&c->seq.lock);
    wal = c->seq.wal;
    c->seq.wal = NULL;
    while (c->seq.log_holders > 0)
        cond_wait(&c->seq.released, &c->seq.lock);
    lock_drop(&c->seq.lock);
    wal_close(wal); /* callbacks still take the sequencer's lock */
}

static void close_collections(struct node *node)
{
    table_snapshot_free(node->recovery.items, node->recovery.count);
    for (size_t b = 0; b < NODE_BUCKETS; b++) {
        while (node->table.by_id[b] != NULL) {
            struct collection *c = node->table.by_id[b];

            collection_close_log(c);
            table_remove(node, c);
            node_collection_unpin(c);
        }
    }
    if (node->epoch != NULL)
        graves_free(node);
}

/* Writes that help to link are with the workers, those that were sequenced with the log; both end
 * by themselves. Pairs with op_destroy(). */
static void wait_for_writes(struct node *node)
{
    while (atomic_load_explicit(&node->ops, memory_order_acquire) > 0) {
        lock_take(&node->reclaim.lock);
        (void)cond_wait_ns(&node->reclaim.wake, &node->reclaim.lock, NODE_CLOSE_POLL_NS);
        lock_drop(&node->reclaim.lock);
    }
}

void node_close(struct node *node)
{
    if (node == NULL)
        return;
    atomic_store(&node->stopping, true);
    ship_stop(node);
    wait_for_writes(node);
    cold_exec_close(node);
    background_stop(node);
    close_collections(node);
    bucket_close(node);
    wal_engine_close(node->engine);
    epoch_destroy(node->epoch);
    kv_writer_close(node->kv_writer);
    kv_close(node->kv);
    for (size_t i = 0; i < COUNT_OF(node->lock_files); i++)
        fs_close(node->options.fs, node->lock_files[i]);
    catalog_free(&node->catalog);
    catalog_free(&node->coming);
    catalog_free(&node->bucket.aliases);
    while (node->scratches.count > 0)
        vindex_scratch_destroy(node->scratches.items[--node->scratches.count]);
    mem_free(node->scratches.items);
    idempotency_destroy(node->idempotency);
    mem_free(node->data_dir);
    mem_free(node->wal_dir);
    mem_free(node->snapshot_dir);
    mem_free(node->node_id);
    mem_free(node->bucket.vacuum);
    jobs_fini(&node->meta);
    jobs_fini(&node->upkeep);
    jobs_fini(&node->operator);
    jobs_fini(&node->publish);
    jobs_fini(&node->fold);
    jobs_fini(&node->load);
    cond_fini(&node->reclaim.stop);
    lock_fini(&node->index_waits.lock);
    lock_fini(&node->bucket.lock);
    cond_fini(&node->linkers.wake);
    cond_fini(&node->reclaim.ran);
    cond_fini(&node->reclaim.wake);
    lock_fini(&node->linkers.lock);
    lock_fini(&node->reclaim.lock);
    lock_fini(&node->scratches.lock);
    lock_fini(&node->cold_exec.lock);
    lock_fini(&node->table.lock);
    mem_free(node);
}

/* --- state --- */

/* A bucket that does not answer makes nobody unready for long. */
static bool cold_sets_tried(struct node *node)
{
    uint64_t now = clock_mono_ns(node->options.clock);
    uint64_t since = 0;

    if (atomic_load(&node->cold_undecided) == 0)
        return true;
    if (atomic_compare_exchange_strong(&node->cold_await_ns, &since, now))
        since = now;
    return now - since >= READY_COLD_NS;
}

bool node_ready(struct node *node, double *progress)
{
    uint32_t loading = atomic_load(&node->loading);
    uint32_t total = atomic_load(&node->loaded_total);

    *progress = total == 0 ? 1.0 : 1.0 - (double)loading / (double)total;
    if (atomic_load(&node->load_first))
        *progress = 0.0;
    if (loading > 0 || atomic_load(&node->load_first) || atomic_load(&node->stopping))
        return false;
    if (cold_sets_tried(node))
        return true;
    *progress = READY_BUT_COLD;
    return false;
}

void node_set_readonly(struct node *node, bool readonly)
{
    if (atomic_exchange(&node->readonly, readonly) != readonly)
        log_info(readonly ? "the node is read-only now" : "the node takes writes again", "");
}

void node_add_reason(struct node *node, const char *text)
{
    lock_take(&node->table.lock);
    if (node->table.reason_count < NODE_REASONS_MAX)
        (void)snprintf(node->table.reasons[node->table.reason_count++],
                       sizeof node->table.reasons[0], "%s", text);
    lock_drop(&node->table.lock);
}

void health_add(struct node_health *out, const char *text)
{
    out->degraded = true;
    if (out->reason_count < NODE_REASONS_MAX)
        (void)snprintf(out->reasons[out->reason_count++], sizeof out->reasons[0], "%s", text);
}

/* Seen by nobody who writes: a disk that was full may have room again. */
static bool disk_is_full(struct node *node, struct collection *const *items, size_t count)
{
    struct fs_space space;
    bool refused = false;

    for (size_t i = 0; i < count && !refused; i++)
        refused = atomic_load_explicit(&items[i]->disk_refused, memory_order_relaxed);
    return refused && (fs_space(node->options.fs, node->wal_dir, &space, NULL) != ST_OK ||
                       space.bytes_free < NODE_ROOM_BYTES);
}

static void health_of_collection(struct collection *c, struct node_health *out)
{
    enum collection_state state;
    char name[CATALOG_NAME_BYTES_MAX + 1];
    char why[sizeof c->seq.reason];
    char text[sizeof out->reasons[0]];

    lock_take(&c->node->table.lock);
    memcpy(name, c->table.name, sizeof name);
    lock_drop(&c->node->table.lock);
    lock_take(&c->seq.lock);
    state = atomic_load(&c->seq.state);
    memcpy(why, c->seq.reason, sizeof why);
    if (collection_log_stopped_locked(c, why, sizeof why))
        state = COLLECTION_READ_ONLY;
    lock_drop(&c->seq.lock);
    if (state == COLLECTION_SERVING && atomic_load(&c->checkpoint_failed)) {
        (void)snprintf(text, sizeof text,
                       "collection %.64s: its last checkpoint failed, its log is kept and grows; "
                       "see the log of the node",
                       name);
        health_add(out, text);
    }
    if (state == COLLECTION_READ_ONLY || state == COLLECTION_FAILED ||
        (state == COLLECTION_LOADING && why[0] != '\0')) {
        (void)snprintf(text, sizeof text, "collection %.64s: %.420s", name, why);
        health_add(out, text);
    }
    if ((state == COLLECTION_SERVING || state == COLLECTION_READ_ONLY) &&
        indexes_full(c, why, sizeof why)) {
        (void)snprintf(text, sizeof text,
                       "collection %.64s: no memory for the payload index on %.200s; it is not "
                       "used, queries look at every row. Raise [limits] memory_bytes or delete "
                       "documents; it is built as soon as there is room",
                       name, why);
        health_add(out, text);
    }
    bucket_health_of_collection(c, name, out);
}

void node_health(struct node *node, struct node_health *out)
{
    struct collection **items = NULL;
    size_t count = 0;

    memset(out, 0, sizeof *out);
    lock_take(&node->table.lock);
    for (size_t i = 0; i < node->table.reason_count; i++)
        health_add(out, node->table.reasons[i]);
    lock_drop(&node->table.lock);
    if (atomic_load(&node->readonly))
        health_add(out,
                   "the node is read-only by command; POST /admin/readwrite takes writes again");
    if (table_snapshot(node, &items, &count, NULL) != ST_OK)
        return;
    out->disk_full = disk_is_full(node, items, count);
    if (out->disk_full)
        health_add(out, "the disk is full: writes are refused until there is room, reads go on");
    bucket_health(node, out);
    for (size_t i = 0; i < count; i++)
        health_of_collection(items[i], out);
    table_snapshot_free(items, count);
}

void node_status(struct node *node, struct node_status *out)
{
    struct collection **items = NULL;
    struct fs_space space;
    size_t count = 0;

    memset(out, 0, sizeof *out);
    (void)snprintf(out->node_id, sizeof out->node_id, "%s",
                   node->owner_id != NULL ? node->owner_id : node->node_id);
    out->uptime_ns = clock_mono_ns(node->options.clock) - node->started_mono_ns;
    out->readonly = atomic_load(&node->readonly);
    out->memory_bytes = mem_budget_bytes(&node->budget);
    out->memory_bytes_max = node->budget.bytes_max;
    if (fs_space(node->options.fs, node->data_dir, &space, NULL) == ST_OK) {
        out->disk_bytes_free = space.bytes_free;
        out->disk_bytes_total = space.bytes_total;
    }
    if (table_snapshot(node, &items, &count, NULL) != ST_OK)
        return;
    out->collections = (uint32_t)count;
    for (size_t i = 0; i < count; i++) {
        struct collection_info info;

        node_collection_info(items[i], &info);
        out->documents += info.document_count;
        out->wal_bytes += info.wal_bytes;
        out->checkpoint_bytes += info.checkpoint_bytes;
    }
    table_snapshot_free(items, count);
    bucket_status(node, out);
}
