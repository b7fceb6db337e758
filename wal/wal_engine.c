/* The threads behind all logs. A log that has something to do stands in the ready queue once; a
 * sync thread takes it, writes and syncs its batch, and hands the batch to the commit thread, which
 * runs the callbacks. The commit thread, which never waits for a disk, also keeps the time: it puts
 * a log that fell idle back into the ready queue for its marker and later for closing its file. */
#include "wal/wal_internal.h"

#include "base/mem.h"

#include <assert.h>
#include <stdio.h>

enum {
    NS_PER_MS = 1000000,
    /* Looked at twice in the time a marker may take: it comes between half of it and all of it. */
    MARKER_TICK_MS = WAL_MARKER_IDLE_MS / 2,
};

struct wal_engine {
    /* Set by wal_engine_open(), never changed after it. */
    struct fs *fs;
    struct clock *clock;
    struct rand_source *rand;
    enum wal_sync sync;
    struct wal_sizes sizes;
    struct stats_metric *fsync_seconds;
    struct stats_metric *bytes_gauge;

    _Atomic int64_t bytes;

    struct lock lock;          /* LOCK_RANK_WAL_ENGINE */
    struct cond sync_wakes;    /* something is ready, or stopping */
    struct cond commit_wakes;  /* something is committed, a list is no longer empty, or stopping */
    struct cond pins_released; /* wal_engine_forget() waits */
    struct {                   /* guarded by lock */
        struct wal *ready_first;
        struct wal *ready_last;
        struct wal_batch *commit_first;
        struct wal_batch *commit_last;
        struct wal_list { /* in order of due_ns */
            struct wal *first;
            struct wal *last;
        } marker, close;
        size_t logs;
        bool stop_sync;
        bool stop_commit;
    } shared;

    struct thread sync_threads[WAL_SYNC_THREADS];
    struct thread commit_thread;
};

struct fs *wal_engine_fs(const struct wal_engine *e)
{
    return e->fs;
}

struct rand_source *wal_engine_rand(const struct wal_engine *e)
{
    return e->rand;
}

enum wal_sync wal_engine_sync(const struct wal_engine *e)
{
    return e->sync;
}

struct wal_sizes wal_engine_sizes(const struct wal_engine *e)
{
    return e->sizes;
}

status wal_engine_sync_file(struct wal_engine *e, struct fs_file *file, struct err *err)
{
    uint64_t begin;
    status st;

    if (e->sync == WAL_SYNC_NONE || e->sync == WAL_SYNC_TWIN_SKIP)
        return ST_OK;
    begin = clock_mono_ns(e->clock);
    st = fs_sync(e->fs, file, err);
    stats_observe(e->fsync_seconds, (double)(clock_mono_ns(e->clock) - begin) / 1e9);
    return st;
}

void wal_engine_add_bytes(struct wal_engine *e, int64_t bytes)
{
    int64_t now = atomic_fetch_add_explicit(&e->bytes, bytes, memory_order_relaxed) + bytes;

    stats_set(e->bytes_gauge, (double)now);
}

/* --- the idle lists -------------------------------------------------------------------------- */

static struct wal_list *list_of(struct wal_engine *e, enum wal_job job)
{
    return job == WAL_JOB_MARKER ? &e->shared.marker : &e->shared.close;
}

static void list_remove_locked(struct wal_engine *e, struct wal *w)
{
    struct wal_list *list;

    if (w->timer.list == WAL_JOB_NONE)
        return;
    list = list_of(e, w->timer.list);
    *(w->timer.before != NULL ? &w->timer.before->timer.after : &list->first) = w->timer.after;
    *(w->timer.after != NULL ? &w->timer.after->timer.before : &list->last) = w->timer.before;
    w->timer.before = NULL;
    w->timer.after = NULL;
    w->timer.list = WAL_JOB_NONE;
}

static void list_add_locked(struct wal_engine *e, struct wal *w, enum wal_job job, uint64_t due_ns)
{
    struct wal_list *list = list_of(e, job);

    if (w->timer.gone)
        return;
    w->timer.list = job;
    w->timer.due_ns = due_ns;
    w->timer.before = list->last;
    *(list->last != NULL ? &list->last->timer.after : &list->first) = w;
    list->last = w;
}

/* The log has just worked: its marker is due when it stays idle. */
static void active_locked(struct wal_engine *e, struct wal *w)
{
    w->timer.active_ns = clock_mono_ns(e->clock);
    if (w->timer.list == WAL_JOB_MARKER)
        return;
    list_remove_locked(e, w);
    list_add_locked(e, w, WAL_JOB_MARKER,
                    w->timer.active_ns + (uint64_t)MARKER_TICK_MS * NS_PER_MS);
}

void wal_engine_idle(struct wal_engine *e, struct wal *w)
{
    lock_take(&e->lock);
    list_remove_locked(e, w);
    list_add_locked(e, w, WAL_JOB_CLOSE,
                    clock_mono_ns(e->clock) + (uint64_t)WAL_CLOSE_IDLE_MS * NS_PER_MS);
    lock_drop(&e->lock);
}

void wal_engine_enter(struct wal_engine *e)
{
    lock_take(&e->lock);
    e->shared.logs++;
    lock_drop(&e->lock);
}

void wal_engine_leave(struct wal_engine *e)
{
    lock_take(&e->lock);
    e->shared.logs--;
    lock_drop(&e->lock);
}

void wal_engine_forget(struct wal_engine *e, struct wal *w)
{
    lock_take(&e->lock);
    w->timer.gone = true;
    list_remove_locked(e, w);
    while (w->timer.pins > 0)
        cond_wait(&e->pins_released, &e->lock);
    lock_drop(&e->lock);
}

/* --- sync threads ---------------------------------------------------------------------------- */

void wal_engine_ready_locked(struct wal_engine *e, struct wal *w)
{
    lock_take(&e->lock);
    w->timer.next_ready = NULL;
    if (e->shared.ready_last != NULL)
        e->shared.ready_last->timer.next_ready = w;
    else
        e->shared.ready_first = w;
    e->shared.ready_last = w;
    lock_drop(&e->lock);
    cond_signal(&e->sync_wakes);
}

static struct wal *pop_ready_locked(struct wal_engine *e)
{
    struct wal *w = e->shared.ready_first;

    if (w == NULL)
        return NULL;
    e->shared.ready_first = w->timer.next_ready;
    if (e->shared.ready_first == NULL)
        e->shared.ready_last = NULL;
    return w;
}

static void sync_main(void *arg)
{
    struct wal_engine *e = arg;

    lock_take(&e->lock);
    for (;;) {
        struct wal *w = pop_ready_locked(e);

        if (w != NULL) {
            lock_drop(&e->lock);
            wal_run(w);
            lock_take(&e->lock);
        } else if (e->shared.stop_sync) {
            break;
        } else {
            cond_wait(&e->sync_wakes, &e->lock);
        }
    }
    lock_drop(&e->lock);
}

/* --- the commit thread ----------------------------------------------------------------------- */

void wal_engine_commit(struct wal_engine *e, struct wal *w, struct wal_batch *first,
                       struct wal_batch *second)
{
    struct wal_batch *last = second != NULL ? second : first;

    first->next = second;
    last->next = NULL;
    lock_take(&e->lock);
    if (e->shared.commit_last != NULL)
        e->shared.commit_last->next = first;
    else
        e->shared.commit_first = first;
    e->shared.commit_last = last;
    active_locked(e, w);
    lock_drop(&e->lock);
    cond_signal(&e->commit_wakes);
}

static struct wal_batch *pop_commit_locked(struct wal_engine *e)
{
    struct wal_batch *b = e->shared.commit_first;

    if (b == NULL)
        return NULL;
    e->shared.commit_first = b->next;
    if (e->shared.commit_first == NULL)
        e->shared.commit_last = NULL;
    return b;
}

static uint64_t next_due_locked(const struct wal_engine *e)
{
    uint64_t due = UINT64_MAX;

    if (e->shared.marker.first != NULL)
        due = e->shared.marker.first->timer.due_ns;
    if (e->shared.close.first != NULL && e->shared.close.first->timer.due_ns < due)
        due = e->shared.close.first->timer.due_ns;
    return due;
}

/* A log whose time has come, taken out of its list and pinned. */
static struct wal *pop_due_locked(struct wal_engine *e, enum wal_job *job)
{
    uint64_t now = clock_mono_ns(e->clock);
    uint64_t tick = (uint64_t)MARKER_TICK_MS * NS_PER_MS;
    struct wal *w = e->shared.marker.first;

    if (w != NULL && w->timer.due_ns <= now) {
        list_remove_locked(e, w);
        if (w->timer.active_ns + tick > now) { /* it worked since it was put here */
            list_add_locked(e, w, WAL_JOB_MARKER, now + tick);
            return NULL;
        }
        *job = WAL_JOB_MARKER;
        w->timer.pins++;
        return w;
    }
    w = e->shared.close.first;
    if (w != NULL && w->timer.due_ns <= now) {
        list_remove_locked(e, w);
        *job = WAL_JOB_CLOSE;
        w->timer.pins++;
        return w;
    }
    return NULL;
}

/* The log is looked at again a tick later, unless it has worked since it was taken out. */
static void look_again(struct wal_engine *e, struct wal *w)
{
    lock_take(&e->lock);
    if (w->timer.list == WAL_JOB_NONE)
        list_add_locked(e, w, WAL_JOB_MARKER,
                        clock_mono_ns(e->clock) + (uint64_t)MARKER_TICK_MS * NS_PER_MS);
    lock_drop(&e->lock);
}

/* A log at work need not come into the list again by itself: what it works on may be done and only
 * the end of it not told yet. */
static void schedule(struct wal_engine *e, struct wal *w, enum wal_job job)
{
    lock_take(&w->lock);
    if (w->shared.closing) {
        lock_drop(&w->lock);
        return;
    }
    if (w->shared.scheduled) {
        look_again(e, w);
    } else {
        w->shared.scheduled = true;
        w->shared.job = job;
        wal_engine_ready_locked(e, w);
    }
    lock_drop(&w->lock);
}

static void wait_for_commit_locked(struct wal_engine *e)
{
    uint64_t due = next_due_locked(e);
    uint64_t now;

    if (due == UINT64_MAX) {
        cond_wait(&e->commit_wakes, &e->lock);
        return;
    }
    now = clock_mono_ns(e->clock);
    if (now < due)
        (void)cond_wait_ns(&e->commit_wakes, &e->lock, due - now);
}

static void commit_main(void *arg)
{
    struct wal_engine *e = arg;

    lock_take(&e->lock);
    for (;;) {
        struct wal_batch *b = pop_commit_locked(e);
        enum wal_job job;
        struct wal *w;

        if (b != NULL) {
            lock_drop(&e->lock);
            wal_batch_finish(b);
            lock_take(&e->lock);
        } else if ((w = pop_due_locked(e, &job)) != NULL) {
            lock_drop(&e->lock);
            schedule(e, w, job);
            lock_take(&e->lock);
            if (--w->timer.pins == 0)
                cond_broadcast(&e->pins_released);
        } else if (e->shared.stop_commit) {
            break;
        } else {
            wait_for_commit_locked(e);
        }
    }
    lock_drop(&e->lock);
}

/* --- open and close -------------------------------------------------------------------------- */

static status start_threads(struct wal_engine *e, struct err *err)
{
    status st = thread_start(&e->commit_thread, "wal-commit", THREAD_NORMAL, commit_main, e, err);

    for (size_t i = 0; st == ST_OK && i < WAL_SYNC_THREADS; i++) {
        char name[16];

        (void)snprintf(name, sizeof(name), "wal-sync-%zu", i);
        st = thread_start(&e->sync_threads[i], name, THREAD_NORMAL, sync_main, e, err);
    }
    return st;
}

static void make_stats(struct wal_engine *e, struct stats *stats)
{
    static const char *const no_labels[] = {NULL};
    struct stats_family *family;

    if (stats == NULL)
        return;
    family = stats_family(stats, "tiervec_wal_fsync_seconds", STATS_HISTOGRAM,
                          "Time one fdatasync of a log file took.", no_labels,
                          STATS_LATENCY_BUCKETS, STATS_LATENCY_BUCKET_COUNT);
    e->fsync_seconds = stats_metric(family, no_labels);
    family = stats_family(stats, "tiervec_wal_bytes", STATS_GAUGE,
                          "Bytes of all log files on disk, spares included.", no_labels, NULL, 0);
    e->bytes_gauge = stats_metric(family, no_labels);
}

status wal_engine_open(const struct wal_engine_options *options, struct wal_engine **out,
                       struct err *err)
{
    struct wal_engine *e;
    status st;

    if (options->sync > WAL_SYNC_NONE && !options->broken_twins)
        return err_set(err, ST_INVALID, "wal: broken twins are for tests only");
    e = mem_zero(sizeof(*e));
    if (e == NULL)
        return err_set(err, ST_NOMEM, "wal engine");
    e->fs = options->fs;
    e->clock = options->clock;
    e->rand = options->rand;
    e->sync = options->sync;
    e->sizes.max = options->file_bytes_max != 0 ? options->file_bytes_max : WAL_FILE_BYTES_MAX;
    e->sizes.first =
        options->file_bytes_first != 0 ? options->file_bytes_first : WAL_FILE_BYTES_FIRST;
    if (e->sizes.first > e->sizes.max)
        e->sizes.first = e->sizes.max;
    make_stats(e, options->stats);
    lock_init(&e->lock, LOCK_RANK_WAL_ENGINE, "wal engine");
    cond_init(&e->sync_wakes);
    cond_init(&e->commit_wakes);
    cond_init(&e->pins_released);
    st = start_threads(e, err);
    if (st != ST_OK) {
        wal_engine_close(e);
        return st;
    }
    *out = e;
    return ST_OK;
}

/* The commit thread goes last: it finishes what the sync threads hand over. */
void wal_engine_close(struct wal_engine *e)
{
    if (e == NULL)
        return;
    lock_take(&e->lock);
    assert(e->shared.logs == 0);
    e->shared.stop_sync = true;
    lock_drop(&e->lock);
    cond_broadcast(&e->sync_wakes);
    for (size_t i = 0; i < WAL_SYNC_THREADS; i++)
        thread_join(&e->sync_threads[i]);
    lock_take(&e->lock);
    e->shared.stop_commit = true;
    lock_drop(&e->lock);
    cond_broadcast(&e->commit_wakes);
    thread_join(&e->commit_thread);
    cond_fini(&e->pins_released);
    cond_fini(&e->commit_wakes);
    cond_fini(&e->sync_wakes);
    lock_fini(&e->lock);
    mem_free(e);
}
