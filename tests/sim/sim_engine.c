#include "sim_engine.h"

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
    return e->sync == WAL_SYNC_TWIN_SKIP ? ST_OK : fs_sync(e->fs, file, err);
}

void wal_engine_ready_locked(struct wal_engine *e, struct wal *w)
{
    (void)w;
    e->ready = true;
}

void wal_engine_commit(struct wal_engine *e, struct wal *w, struct wal_batch *first,
                       struct wal_batch *second)
{
    (void)w;
    first->next = second;
    if (second != NULL)
        second->next = NULL;
    if (e->last != NULL)
        e->last->next = first;
    else
        e->first = first;
    e->last = second != NULL ? second : first;
}

void wal_engine_idle(struct wal_engine *e, struct wal *w)
{
    (void)e;
    (void)w;
}

void wal_engine_enter(struct wal_engine *e)
{
    (void)e;
}

void wal_engine_forget(struct wal_engine *e, struct wal *w)
{
    (void)e;
    (void)w;
}

void wal_engine_leave(struct wal_engine *e)
{
    (void)e;
}

void wal_engine_add_bytes(struct wal_engine *e, int64_t bytes)
{
    (void)e;
    (void)bytes;
}

void engine_write(struct wal_engine *e, struct wal *log)
{
    if (!e->ready)
        return;
    e->ready = false;
    wal_run(log);
}

void engine_finish(struct wal_engine *e)
{
    while (e->first != NULL) {
        struct wal_batch *b = e->first;

        e->first = b->next;
        if (e->first == NULL)
            e->last = NULL;
        wal_batch_finish(b);
    }
}

void engine_mark(struct wal_engine *e, struct wal *log)
{
    bool idle;

    lock_take(&log->lock);
    idle = !log->shared.scheduled && log->shared.mode == WAL_MODE_OPEN;
    if (idle) {
        log->shared.scheduled = true;
        log->shared.job = WAL_JOB_MARKER;
        e->ready = true;
    }
    lock_drop(&log->lock);
    engine_write(e, log);
}
