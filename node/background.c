/* What runs beside the requests: linkers, reclaiming, checkpoints and repair.
 *
 *   link-<n>   niced; moves pending rows into the graphs, a few at a time, collection by collection
 *   reclaim    runs what readers no longer hold back, frees dropped collections
 *   upkeep     niced; checkpoints (interval, size of the log, by command), repair, and graphs that
 * are made anew, one at a time, so that an image is never written while lists are rebuilt or
 * another graph comes to serve */
#include "filter/pindex.h"
#include "node/cold.h"
#include "node/fields.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>

enum { UPKEEP_TICK_MS = 500 };

/* --- linkers --- */

static void link_queue_locked(struct node *node, struct collection *c)
{
    c->link.next = NULL;
    *node->linkers.last = c;
    node->linkers.last = &c->link.next;
    cond_signal(&node->linkers.wake);
}

void linkers_want(struct collection *c)
{
    struct node *node = c->node;

    lock_take(&node->linkers.lock);
    if (!c->link.queued && !node->linkers.stopping) {
        c->link.queued = true;
        collection_pin(c);
        link_queue_locked(node, c);
    }
    lock_drop(&node->linkers.lock);
}

static struct collection *link_pop_locked(struct node *node)
{
    struct collection *c = node->linkers.first;

    if (c != NULL) {
        node->linkers.first = c->link.next;
        if (node->linkers.first == NULL)
            node->linkers.last = &node->linkers.first;
    }
    return c;
}

/* Rows wait and none could be linked: no memory, or all of them are in the hands of others. */
static void link_pause(struct node *node)
{
    lock_take(&node->linkers.lock);
    if (!node->linkers.stopping)
        (void)cond_wait_ns(&node->linkers.wake, &node->linkers.lock,
                           (uint64_t)NODE_LINK_PAUSE_MS * 1000000);
    lock_drop(&node->linkers.lock);
}

/* One turn. A row published from here on queues the collection again, so what there is to do is
 * looked at behind that: with more than this turn takes it goes back at once, and another linker
 * can work on it at the same time. */
static void link_turn(struct node *node, struct collection *c)
{
    bool more;
    bool indexed;

    lock_take(&node->linkers.lock);
    c->link.queued = false;
    lock_drop(&node->linkers.lock);
    more = (fields_to_link(c) > NODE_LINK_ROWS || indexes_behind(c)) &&
           atomic_load_explicit(&c->seq.state, memory_order_relaxed) != COLLECTION_DROPPED;
    if (more)
        linkers_want(c);
    indexed = indexes_behind(c) && indexes_turn(c, NODE_INDEX_ROWS);
    if (fields_link(c, NODE_LINK_ROWS) == 0 && !indexed && more)
        link_pause(node);
    node_collection_unpin(c);
}

static void link_loop(void *arg)
{
    struct node *node = arg;

    for (;;) {
        struct collection *c;
        bool stopping;

        lock_take(&node->linkers.lock);
        while (node->linkers.first == NULL && !node->linkers.stopping)
            cond_wait(&node->linkers.wake, &node->linkers.lock);
        stopping = node->linkers.stopping;
        c = link_pop_locked(node);
        lock_drop(&node->linkers.lock);
        if (c == NULL && stopping)
            break;
        if (c != NULL)
            link_turn(node, c);
    }
}

/* --- checkpoints --- */

/* On the upkeep thread, which alone trims and buries: the log stays open. */
static status settle_log(void *arg, uint64_t lsn_max, struct err *err)
{
    struct collection *c = arg;

    (void)lsn_max; /* it was acknowledged, or its row were not there */
    return wal_settle(c->seq.wal, err);
}

static status write_checkpoint(struct collection *c, const char *dir, uint64_t start_lsn,
                               const _Atomic bool *stop, struct checkpoint_info *info,
                               struct err *err)
{
    struct node *node = c->node;
    struct checkpoint_field fields[NODE_FIELDS_MAX];
    struct checkpoint_state state = {
        .fs = node->options.fs,
        .dir = dir,
        .slots = c->slots,
        .fields = fields,
        .field_count = fields_list(c, fields),
        .epoch = node->epoch,
        .settle_log = settle_log,
        .settle_arg = c,
        .keep_nothing = atomic_load(&c->checkpoint_damaged),
    };
    status st = fs_mkdir_all(node->options.fs, dir, err);

    memcpy(state.collection_id, c->id, sizeof state.collection_id);
    if (st != ST_OK)
        return st;
    return checkpoint_write(&state, start_lsn, clock_wall_ns(node->options.clock), stop, info, err);
}

/* What the bucket lacks stays in the log, and so does what the stream compares at the next start.
 */
static uint64_t trim_lsn(struct collection *c, uint64_t start_lsn)
{
    uint64_t limit;

    if (!policy_has_bucket(atomic_load(&c->policy)))
        return start_lsn;
    limit = cold_is(c) ? 0 : ship_trim_limit(c); /* a fold trims */
    return limit < start_lsn ? limit : start_lsn;
}

/* Runs on the upkeep thread, as bury() does: the log cannot be closed meanwhile. */
status checkpoint_run(struct collection *c, const _Atomic bool *stop, struct err *err)
{
    char wal_dir[FS_PATH_BYTES];
    char snapshot_dir[FS_PATH_BYTES];
    struct checkpoint_info info = {0};
    uint64_t started_ns = clock_mono_ns(c->node->options.clock);
    uint64_t start_lsn = atomic_load_explicit(&c->applied_lsn, memory_order_acquire);
    status st;

    if (atomic_load(&c->seq.state) != COLLECTION_SERVING)
        return err_set(err, ST_DENIED, "checkpoint: the collection is not serving writes");
    if (cold_instead_of_checkpoint(c))
        return ST_OK;
    if (start_lsn == atomic_load(&c->snapshot_lsn) && !atomic_load(&c->graph_news))
        return ST_OK; /* nothing new */
    st = collection_paths(c, wal_dir, snapshot_dir, err);
    if (st == ST_OK)
        st = write_checkpoint(c, snapshot_dir, start_lsn, stop, &info, err);
    atomic_store(&c->checkpoint_mono_ns, clock_mono_ns(c->node->options.clock));
    atomic_store(&c->checkpoint_failed, st != ST_OK && st != ST_CLOSED);
    c->checkpoint_log_bytes = wal_bytes(c->seq.wal); /* failed: not again at every tick */
    if (st != ST_OK)
        return err_wrap(err, st, "checkpoint");
    atomic_store(&c->checkpoint_damaged, false);
    atomic_store(&c->graph_news, false);
    atomic_store(&c->snapshot_lsn, start_lsn);
    atomic_store(&c->checkpoint_bytes, info.bytes_total);
    atomic_store(&c->checkpoint_wall_ns, info.created_at_ns);
    stats_observe(c->node->checkpoint_seconds,
                  (double)(clock_mono_ns(c->node->options.clock) - started_ns) * 1e-9);
    log_info("checkpoint written",
             "collection_id=%s lsn=%" PRIu64 " rows=%u bytes=%" PRIu64
             " blocks_written=%u blocks_kept=%u",
             c->id_text, start_lsn, info.rows, info.bytes_written, info.blocks_written,
             info.blocks_kept);
    atomic_store(&c->ops_since_fold, 0);
    atomic_store(&c->bytes_since_fold, 0);
    st = wal_trim(c->seq.wal, trim_lsn(c, start_lsn), err);
    c->checkpoint_log_bytes = wal_bytes(c->seq.wal);
    return st;
}

static void checkpoint_told(struct collection *c, const _Atomic bool *stop)
{
    struct err err = {0};
    status st = checkpoint_run(c, stop, &err);

    if (st != ST_OK && st != ST_CLOSED && st != ST_DENIED)
        log_warn("checkpoint failed, the log is kept", "collection_id=%s err=%s", c->id_text,
                 err.text);
}

static uint64_t log_bytes(struct collection *c)
{
    uint64_t bytes;

    lock_take(&c->seq.lock);
    bytes = c->seq.wal == NULL ? 0 : wal_bytes(c->seq.wal);
    lock_drop(&c->seq.lock);
    return bytes;
}

static bool has_news(struct collection *c)
{
    return atomic_load(&c->seq.state) == COLLECTION_SERVING &&
           (atomic_load(&c->applied_lsn) > atomic_load(&c->snapshot_lsn) ||
            atomic_load(&c->graph_news));
}

/* What a checkpoint could trim: a log keeps its newest file, so until it has grown by one there is
 * nothing to be had, however long all logs together are. */
static uint64_t log_growth(const struct collection *c, uint64_t bytes)
{
    uint64_t growth = bytes > c->checkpoint_log_bytes ? bytes - c->checkpoint_log_bytes : 0;
    uint64_t bound = c->node->options.wal_bytes_max;

    return growth < (bound < WAL_FILE_BYTES_MAX ? bound : WAL_FILE_BYTES_MAX) ? 0 : growth;
}

/* [storage.compaction]: so many operations or bytes are folded into a checkpoint, but only once
 * they are a good part of the collection: a checkpoint writes its whole graph, and what is written
 * a byte inserted stays bounded. */
static bool fold_due(struct collection *c)
{
    const struct node_options *o = &c->node->options;
    uint64_t ops = atomic_load_explicit(&c->ops_since_fold, memory_order_relaxed);
    uint64_t bytes = atomic_load_explicit(&c->bytes_since_fold, memory_order_relaxed);
    uint64_t ops_max = o->compaction_ops != 0 ? o->compaction_ops : 10000;
    uint64_t bytes_max = o->compaction_bytes != 0 ? o->compaction_bytes : 100 * 1024 * 1024;

    /* One that failed, as on a full disk, is tried again by age and not at every tick. */
    return policy_has_bucket(atomic_load(&c->policy)) && !atomic_load(&c->checkpoint_failed) &&
           (ops >= ops_max || bytes >= bytes_max) && ops >= slots_live_count(c->slots) / 4;
}

/* By age, and the collection whose log grew most when all logs together are over their bound. */
static void checkpoints_due(struct node *node, struct collection **items, size_t count)
{
    uint64_t now_ns = clock_mono_ns(node->options.clock);
    uint64_t total = 0;
    uint64_t most = 0;
    struct collection *largest = NULL;

    for (size_t i = 0; i < count && !atomic_load(&node->stopping); i++) {
        uint64_t bytes = log_bytes(items[i]);
        uint64_t growth = log_growth(items[i], bytes);

        total += bytes;
        if (!has_news(items[i]))
            continue;
        if (!cold_is(items[i]) &&
            (fold_due(items[i]) || now_ns - atomic_load(&items[i]->checkpoint_mono_ns) >=
                                       node->options.checkpoint_interval_ns)) {
            if (fold_due(items[i]))
                atomic_fetch_add(&items[i]->compactions, 1);
            checkpoint_told(items[i], &node->stopping);
        } else if (growth > most) {
            most = growth;
            largest = items[i];
        }
    }
    if (largest != NULL && total > node->options.wal_bytes_max && !atomic_load(&node->stopping))
        checkpoint_told(largest, &node->stopping);
}

/* --- repair --- */

static bool repair_due(struct collection *c)
{
    uint32_t dead = slots_dead_count(c->slots);
    uint64_t all = (uint64_t)slots_live_count(c->slots) + dead;

    if (dead > 0 && atomic_exchange(&c->room_wanted, false))
        return true;
    if (cold_repair_due(c, dead))
        return true;
    return dead >= NODE_REPAIR_DEAD_MIN && dead * (uint64_t)100 >= all * NODE_REPAIR_DEAD_PERCENT;
}

void collection_repair(struct collection *c)
{
    uint32_t *dead = mem_alloc_array(NODE_REPAIR_BATCH, sizeof *dead);
    struct err err = {0};
    uint32_t count;
    status st;

    if (dead == NULL)
        return; /* the next tick tries again */
    count = slots_dead_list(c->slots, dead, NODE_REPAIR_BATCH);
    st = fields_repair(c, dead, count, &c->node->stopping, &err);
    if (st == ST_OK) /* as long as the rows can be read */
        pindex_forget(c->pindex, dead, count);
    for (uint32_t i = 0; st == ST_OK && i < count; i++)
        slots_retire(c->slots, dead[i]);
    if (st == ST_OK)
        log_debug("dead rows taken out of the graph", "collection_id=%s rows=%u", c->id_text,
                  count);
    else if (st != ST_CLOSED)
        log_warn("repair failed, it is tried again", "collection_id=%s err=%s", c->id_text,
                 err.text);
    mem_free(dead);
}

static void upkeep_tick(struct node *node)
{
    struct collection **items = NULL;
    size_t count = 0;

    if (table_snapshot(node, &items, &count, NULL) != ST_OK)
        return;
    checkpoints_due(node, items, count);
    for (size_t i = 0; i < count && !atomic_load(&node->stopping); i++) {
        enum collection_state state =
            atomic_load_explicit(&items[i]->seq.state, memory_order_acquire);

        if (state != COLLECTION_SERVING && state != COLLECTION_READ_ONLY)
            continue;
        indexes_tick(items[i]);
        if (repair_due(items[i]))
            collection_repair(items[i]);
        /* At once, or the next start would begin with the old one again. */
        if (rebuild_tick(items[i]))
            checkpoint_told(items[i], &node->stopping);
    }
    table_snapshot_free(items, count);
}

/* A graceful stop leaves a fresh image where there is time for it: the next start is then a load.
 */
static void checkpoints_at_stop(struct node *node)
{
    uint64_t deadline_ns =
        clock_mono_ns(node->options.clock) + (uint64_t)NODE_CLOSE_CHECKPOINT_MS * 1000000;
    struct collection **items = NULL;
    _Atomic bool never = false;
    size_t count = 0;

    if (table_snapshot(node, &items, &count, NULL) != ST_OK)
        return;
    for (size_t i = 0; i < count && clock_mono_ns(node->options.clock) < deadline_ns; i++) {
        if (has_news(items[i]) && !cold_is(items[i]))
            checkpoint_told(items[i], &never);
    }
    table_snapshot_free(items, count);
}

static void upkeep_loop(void *arg)
{
    struct node *node = arg;
    uint64_t ticked_ns = 0;
    bool stopped = false;

    while (!stopped) {
        struct meta_job *job =
            jobs_wait(&node->upkeep, (uint64_t)UPKEEP_TICK_MS * 1000000, &stopped);

        if (job != NULL)
            job->run(job);
        if (stopped ||
            clock_mono_ns(node->options.clock) - ticked_ns < (uint64_t)UPKEEP_TICK_MS * 1000000)
            continue;
        upkeep_tick(node);
        ticked_ns = clock_mono_ns(node->options.clock);
    }
    checkpoints_at_stop(node);
}

static void meta_loop(void *arg)
{
    struct node *node = arg;
    bool stopped = false;

    while (!stopped) {
        struct meta_job *job = jobs_wait(&node->meta, UINT64_MAX / 4, &stopped);

        if (job != NULL)
            job->run(job);
    }
}

static void reclaim_loop(void *arg)
{
    struct node *node = arg;

    while (!atomic_load(&node->stopping)) {
        (void)epoch_collect(node->epoch);
        graves_free(node);
        ship_tick(node);
        indexes_answer(node, false);
        lock_take(&node->reclaim.lock);
        node->reclaim.rounds++;
        cond_broadcast(&node->reclaim.ran);
        if (!atomic_load(&node->stopping))
            (void)cond_wait_ns(&node->reclaim.wake, &node->reclaim.lock,
                               (uint64_t)NODE_TICK_MS * 1000000);
        lock_drop(&node->reclaim.lock);
    }
}

void reclaim_wait(struct node *node)
{
    uint64_t until;

    epoch_synchronize(node->epoch);
    lock_take(&node->reclaim.lock);
    until = node->reclaim.rounds + 2; /* one round may be under way, and too early */
    while (node->reclaim.rounds < until && !atomic_load(&node->stopping)) {
        cond_signal(&node->reclaim.wake);
        (void)cond_wait_ns(&node->reclaim.ran, &node->reclaim.lock,
                           (uint64_t)NODE_TICK_MS * 1000000);
    }
    lock_drop(&node->reclaim.lock);
}

status background_start(struct node *node, struct err *err)
{
    unsigned cores = thread_cpu_count();
    status st = thread_start(&node->meta_thread, "meta", THREAD_NORMAL, meta_loop, node, err);

    if (st == ST_OK)
        st = thread_start(&node->reclaim_thread, "reclaim", THREAD_NORMAL, reclaim_loop, node, err);
    if (st == ST_OK)
        st =
            thread_start(&node->upkeep_thread, "upkeep", THREAD_BACKGROUND, upkeep_loop, node, err);
    if (st == ST_OK && node->tier != NULL)
        st = thread_start(&node->publish_thread, "publish", THREAD_BACKGROUND, publish_loop, node,
                          err);
    if (st == ST_OK && node->tier != NULL)
        st = thread_start(&node->fold_thread, "fold", THREAD_BACKGROUND, fold_loop, node, err);
    if (st == ST_OK && node->tier != NULL)
        st = thread_start(&node->load_thread, "load", THREAD_NORMAL, load_loop, node, err);
    if (st == ST_OK && node->tier != NULL)
        st = thread_start(&node->operator_thread, "operator", THREAD_NORMAL, operator_loop, node,
                          err);
    for (unsigned i = 0; i < cores && i < NODE_LINKERS_MAX && st == ST_OK; i++) {
        char name[16];

        (void)snprintf(name, sizeof name, "link-%u", i);
        st = thread_start(&node->link_threads[i], name, THREAD_BACKGROUND, link_loop, node, err);
        node->link_thread_count = i + 1;
    }
    return st;
}

/* node->stopping is set. */
void background_stop(struct node *node)
{
    struct collection *c;

    lock_take(&node->reclaim.lock);
    cond_broadcast(&node->reclaim.stop);
    lock_drop(&node->reclaim.lock);
    for (size_t i = 0; i < NODE_RECOVER_THREADS; i++)
        thread_join(&node->recover_threads[i]);
    /* They wait for each other's jobs in this order only: operator for publish and fold, these and
     * load for upkeep and meta. */
    jobs_stop(&node->operator);
    thread_join(&node->operator_thread);
    jobs_stop(&node->load);
    thread_join(&node->load_thread);
    jobs_stop(&node->publish);
    thread_join(&node->publish_thread);
    jobs_stop(&node->fold);
    thread_join(&node->fold_thread);
    jobs_stop(&node->meta);
    thread_join(&node->meta_thread);
    lock_take(&node->linkers.lock);
    node->linkers.stopping = true;
    cond_broadcast(&node->linkers.wake);
    lock_drop(&node->linkers.lock);
    for (unsigned i = 0; i < node->link_thread_count; i++)
        thread_join(&node->link_threads[i]);
    while ((c = link_pop_locked(node)) != NULL)
        node_collection_unpin(c);
    jobs_stop(&node->upkeep);
    thread_join(&node->upkeep_thread);
    lock_take(&node->reclaim.lock);
    cond_broadcast(&node->reclaim.wake);
    lock_drop(&node->reclaim.lock);
    thread_join(&node->reclaim_thread);
    indexes_answer(node, true);
}
