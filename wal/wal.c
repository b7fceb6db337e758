#include "wal/wal.h"

#include "base/mem.h"
#include "wal/wal_internal.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>

/* --- submit ---------------------------------------------------------------------------------- */

void wal_batch_free(struct wal_batch *b)
{
    if (b == NULL)
        return;
    buf_free(&b->bytes);
    mem_free(b->waiters);
    mem_free(b);
}

static struct wal_batch *batch_make(struct wal *w)
{
    struct wal_batch *b = mem_zero(sizeof(*b));

    if (b == NULL)
        return NULL;
    b->wal = w;
    /* Its bound is the log's, kept by admit_locked(); this one is what that can add up to. */
    buf_init(&b->bytes, w->buffer_bytes_max + WAL_END_MARK_BYTES);
    return b;
}

static bool waiters_reserve(struct wal_batch *b)
{
    size_t capacity = b->capacity == 0 ? 16 : b->capacity;
    size_t bytes;
    struct wal_waiter *waiters;

    if (b->count < b->capacity)
        return true;
    if (b->capacity != 0 && !size_mul(capacity, 2, &capacity))
        return false;
    if (!size_mul(capacity, sizeof(*waiters), &bytes))
        return false;
    waiters = mem_resize(b->waiters, bytes);
    if (waiters == NULL)
        return false;
    b->waiters = waiters;
    b->capacity = capacity;
    return true;
}

static status stopped_locked(const struct wal *w, struct err *err)
{
    return err_set(err, w->shared.stop_code, "%s", w->shared.stop_text);
}

static status admit_locked(struct wal *w, size_t frame_bytes, struct err *err)
{
    if (w->shared.closing)
        return err_set(err, ST_CLOSED, "log %s is being closed", w->dir);
    if (w->shared.mode == WAL_MODE_STOPPED)
        return stopped_locked(w, err);
    if (w->shared.mode == WAL_MODE_CUTTING)
        return err_set(err, ST_UNAVAILABLE, "log %s is being cut back after a failed write",
                       w->dir);
    if (frame_bytes > w->buffer_bytes_max - w->shared.unsynced_bytes)
        return err_set(err, ST_LIMIT, "log %s: %zu bytes wait for the disk, the limit is %zu",
                       w->dir, w->shared.unsynced_bytes, w->buffer_bytes_max);
    return ST_OK;
}

/* The batch that is being filled, with room for one more record. */
static struct wal_batch *fill_locked(struct wal *w, size_t frame_bytes)
{
    struct wal_batch *b = w->shared.fill;

    if (b == NULL) {
        b = w->shared.spare != NULL ? w->shared.spare : batch_make(w);
        if (b == NULL)
            return NULL;
        w->shared.spare = b; /* stays there if memory is out now */
    }
    if (!waiters_reserve(b) || !buf_reserve(&b->bytes, frame_bytes + WAL_END_MARK_BYTES)) {
        b->bytes.failed = false;
        return NULL;
    }
    if (w->shared.fill == NULL) {
        b->first_lsn = w->shared.next_lsn;
        w->shared.fill = b;
        w->shared.spare = NULL;
    }
    return b;
}

static status append_locked(struct wal *w, const struct slice *parts, size_t part_count,
                            struct wal_waiter waiter, uint64_t *lsn, struct err *err)
{
    size_t frame_bytes = wal_rec_frame_bytes(waiter.payload_bytes);
    struct wal_batch *b = fill_locked(w, frame_bytes);

    if (b == NULL)
        return err_set(err, ST_NOMEM, "log %s: buffer for %zu bytes", w->dir, frame_bytes);
    buf_put_zeros(&b->bytes, WAL_REC_HEADER_BYTES); /* sealed when it is known where it goes */
    for (size_t i = 0; i < part_count; i++)
        buf_put_slice(&b->bytes, parts[i]);
    buf_put_zeros(&b->bytes, frame_bytes - WAL_REC_HEADER_BYTES - waiter.payload_bytes);
    assert(!b->bytes.failed);
    waiter.end = b->bytes.bytes;
    b->waiters[b->count++] = waiter;
    w->shared.unsynced_bytes += frame_bytes;
    *lsn = w->shared.next_lsn++;
    return ST_OK;
}

status wal_submit(struct wal *w, const struct slice *parts, size_t part_count, wal_done_fn *done,
                  void *arg, uint64_t *lsn, struct err *err)
{
    size_t payload_bytes = 0;
    status st;

    for (size_t i = 0; i < part_count; i++) {
        if (!size_add(payload_bytes, parts[i].bytes, &payload_bytes))
            payload_bytes = SIZE_MAX;
        if (payload_bytes > WAL_PAYLOAD_BYTES_MAX)
            return err_set(err, ST_INVALID, "log record over %d bytes", WAL_PAYLOAD_BYTES_MAX);
    }
    if (payload_bytes == 0)
        return err_set(err, ST_INVALID, "log record without a payload");

    lock_take(&w->lock);
    st = admit_locked(w, wal_rec_frame_bytes((uint32_t)payload_bytes), err);
    if (st == ST_OK)
        st = append_locked(
            w, parts, part_count,
            (struct wal_waiter){.done = done, .arg = arg, .payload_bytes = (uint32_t)payload_bytes},
            lsn, err);
    if (st == ST_OK && !w->shared.scheduled) {
        w->shared.scheduled = true;
        wal_engine_ready_locked(w->engine, w);
    }
    lock_drop(&w->lock);
    return st;
}

/* --- completion, on the commit thread -------------------------------------------------------- */

static void call_back(struct wal_batch *b)
{
    struct wal *w = b->wal;
    struct err unknown;

    if (b->unknown_end > b->durable_count) {
        unknown = b->err;
        unknown.code = ST_UNKNOWN;
    }
    if (b->durable_count > 0)
        atomic_store_explicit(&w->durable_lsn, b->first_lsn + b->durable_count - 1,
                              memory_order_release); /* pairs with wal_durable_lsn() */
    for (size_t i = 0; i < b->count; i++) {
        const struct wal_waiter *waiter = &b->waiters[i];
        uint64_t lsn = b->first_lsn + i;

        if (i < b->durable_count)
            waiter->done(waiter->arg, lsn, ST_OK, NULL);
        else if (i < b->unknown_end)
            waiter->done(waiter->arg, lsn, ST_UNKNOWN, &unknown);
        else
            waiter->done(waiter->arg, lsn, b->err.code, &b->err);
    }
}

static size_t batch_bytes(const struct wal_batch *b)
{
    return b->count == 0 ? 0 : b->waiters[b->count - 1].end;
}

static void batch_reset(struct wal_batch *b)
{
    buf_reset(&b->bytes);
    b->count = 0;
    b->durable_count = 0;
    b->unknown_end = 0;
    b->cut = false;
    b->acked = false;
}

void wal_batch_finish(struct wal_batch *b)
{
    struct wal *w = b->wal;
    struct wal_batch *drop = b;

    if (!b->acked) {
        /* First: who is called back may submit as much again. */
        lock_take(&w->lock);
        w->shared.unsynced_bytes -= batch_bytes(b);
        lock_drop(&w->lock);
        call_back(b);
    }
    if (b->ack_early) {
        lock_take(&w->lock);
        b->ack_early = false;
        b->acked = true;
        cond_broadcast(&w->changed);
        lock_drop(&w->lock);
        return;
    }
    if (b->cut && w->on_cut != NULL)
        w->on_cut(w->cut_arg, wal_durable_lsn(w));

    lock_take(&w->lock);
    if (b->cut)
        w->shared.mode = w->shared.stop_code == ST_OK ? WAL_MODE_OPEN : WAL_MODE_STOPPED;
    w->shared.under_way--;
    if (w->shared.spare == NULL && b->bytes.capacity <= WAL_BATCH_KEEP_BYTES) {
        batch_reset(b);
        w->shared.spare = b;
        drop = NULL;
    }
    if (w->shared.closing)
        cond_broadcast(&w->changed);
    lock_drop(&w->lock);
    wal_batch_free(drop);
}

/* --- blocking append ------------------------------------------------------------------------- */

struct append_wait {
    struct lock lock; /* LOCK_RANK_LEAF */
    struct cond cond;
    bool done;
    status st;
    struct err err;
};

static void append_done(void *arg, uint64_t lsn, status st, const struct err *err)
{
    struct append_wait *a = arg;

    (void)lsn;
    lock_take(&a->lock);
    a->st = st;
    if (err != NULL)
        a->err = *err;
    a->done = true;
    cond_signal(&a->cond);
    lock_drop(&a->lock);
}

status wal_append_wait(struct wal *w, struct slice payload, uint64_t *lsn, struct err *err)
{
    struct append_wait a = {.done = false};
    uint64_t given = 0;
    status st;

    lock_init(&a.lock, LOCK_RANK_LEAF, "wal append");
    cond_init(&a.cond);
    st = wal_submit(w, &payload, 1, append_done, &a, &given, err);
    if (st == ST_OK) {
        lock_take(&a.lock);
        while (!a.done)
            cond_wait(&a.cond, &a.lock);
        lock_drop(&a.lock);
        st = a.st;
        if (st != ST_OK && err != NULL)
            *err = a.err;
    }
    cond_fini(&a.cond);
    lock_fini(&a.lock);
    if (st == ST_OK && lsn != NULL)
        *lsn = given;
    return st;
}

/* --- what there is --------------------------------------------------------------------------- */

uint64_t wal_durable_lsn(const struct wal *w)
{
    return atomic_load_explicit(&w->durable_lsn, memory_order_acquire);
}

/* The lock is the only part of a log that a reader changes. */
static struct lock *lock_of(const struct wal *w)
{
    union {
        const struct wal *in;
        struct wal *out;
    } u = {.in = w};

    return &u.out->lock;
}

uint64_t wal_next_lsn(const struct wal *w)
{
    uint64_t lsn;

    lock_take(lock_of(w));
    lsn = w->shared.next_lsn;
    lock_drop(lock_of(w));
    return lsn;
}

uint64_t wal_bytes_locked(const struct wal *w)
{
    uint64_t bytes = 0;

    for (size_t i = 0; i < w->shared.files.count; i++)
        bytes += w->shared.files.at[i].bytes;
    for (size_t i = 0; i < w->shared.spares.count; i++)
        bytes += w->shared.spares.at[i].bytes;
    return bytes;
}

uint64_t wal_bytes(const struct wal *w)
{
    uint64_t bytes;

    lock_take(lock_of(w));
    bytes = wal_bytes_locked(w);
    lock_drop(lock_of(w));
    return bytes;
}

status wal_state(struct wal *w, struct err *err)
{
    status st = ST_OK;

    lock_take(&w->lock);
    if (w->shared.stop_code != ST_OK) /* also while what was in flight is still being refused */
        st = stopped_locked(w, err);
    lock_drop(&w->lock);
    return st;
}

/* --- trim ------------------------------------------------------------------------------------ */

/* The oldest file, if all its records are <= lsn and it is not the newest. */
static bool next_to_trim_locked(struct wal *w, uint64_t lsn, struct wal_entry *out, bool *to_spare)
{
    const struct wal_entries *files = &w->shared.files;

    if (w->shared.trim_blocked || files->count < 2 || wal_entries_limit(files, 0) > lsn)
        return false;
    *out = files->at[0];
    *to_spare = w->shared.spares.count < WAL_SPARES_MAX &&
                out->bytes <= wal_engine_sizes(w->engine).max &&
                wal_entries_reserve(&w->shared.spares, WAL_SPARES_MAX);
    return true;
}

/* The file leaves the list only when its name is known to be gone: were it forgotten earlier, a
 * later file could vanish from the disk before it. */
static status trim_one(struct wal *w, const struct wal_entry *entry, bool to_spare, struct err *err)
{
    status st = wal_dir_drop(w->fs, w->dir, entry->number, to_spare, err);

    if (st == ST_NOT_FOUND) { /* an earlier attempt got as far as the name, not to the disk */
        to_spare = false;
        st = fs_sync_dir(w->fs, w->dir, err);
    }
    if (st != ST_OK)
        return st;
    lock_take(&w->lock);
    assert(w->shared.files.at[0].number == entry->number);
    wal_entries_remove(&w->shared.files, 0);
    if (to_spare)
        wal_entries_add(&w->shared.spares, *entry);
    lock_drop(&w->lock);
    if (!to_spare)
        wal_engine_add_bytes(w->engine, -(int64_t)entry->bytes);
    return ST_OK;
}

status wal_trim(struct wal *w, uint64_t lsn, struct err *err)
{
    struct wal_entry entry;
    bool to_spare;
    status st = ST_OK;

    lock_take(&w->lock);
    if (w->shared.mode == WAL_MODE_STOPPED && w->shared.stop_code != ST_CLOSED) {
        st = stopped_locked(w, err);
        lock_drop(&w->lock);
        return st;
    }
    while (w->shared.trimming)
        cond_wait(&w->changed, &w->lock);
    w->shared.trimming = true;
    while (st == ST_OK && next_to_trim_locked(w, lsn, &entry, &to_spare)) {
        lock_drop(&w->lock);
        st = trim_one(w, &entry, to_spare, err);
        lock_take(&w->lock);
    }
    w->shared.trimming = false;
    cond_broadcast(&w->changed);
    lock_drop(&w->lock);
    return st == ST_OK ? ST_OK : err_wrap(err, st, "trim log %s", w->dir);
}

/* --- settle ---------------------------------------------------------------------------------- */

status wal_file_sync(struct wal *w, uint64_t number, struct err *err)
{
    struct wal_file f = {.head = {.number = number}};
    status st = wal_file_reopen(w->fs, w->dir, &f, err);

    if (st == ST_OK)
        st = fs_sync(w->fs, f.file, err);
    wal_file_close(w->fs, &f);
    return st;
}

/* A log that opened on a full disk has a tail that is still to be copied: with the next batch, or
 * here. */
static status settle_tail(struct wal *w, struct err *err)
{
    status st;

    lock_take(&w->lock);
    while (w->shared.trim_blocked && w->shared.scheduled)
        cond_wait(&w->changed, &w->lock);
    if (!w->shared.trim_blocked || w->shared.mode == WAL_MODE_STOPPED) {
        st = w->shared.trim_blocked ? stopped_locked(w, err) : ST_OK;
        lock_drop(&w->lock);
        return st;
    }
    w->shared.scheduled = true;
    lock_drop(&w->lock);
    st = wal_make_successor(w, 0, err);
    wal_file_close(w->fs, &w->sync.file);
    lock_take(&w->lock);
    w->shared.scheduled = w->shared.fill != NULL;
    if (w->shared.scheduled)
        wal_engine_ready_locked(w->engine, w);
    cond_broadcast(&w->changed);
    lock_drop(&w->lock);
    return st == ST_OK ? ST_OK : err_wrap(err, st, "settle log %s", w->dir);
}

status wal_settle(struct wal *w, struct err *err)
{
    struct wal_entries files;
    status st = ST_OK;
    bool ok;

    if (wal_engine_sync(w->engine) != WAL_SYNC_NONE)
        return settle_tail(w, err);
    lock_take(&w->lock);
    ok = wal_entries_copy(&files, &w->shared.files);
    lock_drop(&w->lock);
    if (!ok)
        return err_set(err, ST_NOMEM, "list of log files");
    for (size_t i = 0; st == ST_OK && i < files.count; i++)
        st = wal_file_sync(w, files.at[i].number, err);
    mem_free(files.at);
    return st == ST_OK ? ST_OK : err_wrap(err, st, "settle log %s", w->dir);
}

/* --- read ------------------------------------------------------------------------------------ */

static bool is_trimmed(struct wal *w, uint64_t from)
{
    bool trimmed;

    lock_take(&w->lock);
    trimmed = w->shared.files.count == 0 || from < wal_entries_begin(&w->shared.files);
    lock_drop(&w->lock);
    return trimmed;
}

static bool copy_files(struct wal *w, struct wal_entries *files, struct wal_hint *hint)
{
    bool ok;

    lock_take(&w->lock);
    ok = wal_entries_copy(files, &w->shared.files);
    *hint = w->shared.hint;
    lock_drop(&w->lock);
    return ok;
}

status wal_read(struct wal *w, uint64_t from, uint64_t to, wal_replay_fn *fn, void *arg,
                struct err *err)
{
    uint64_t durable = wal_durable_lsn(w);
    struct wal_entries files;
    struct wal_hint hint;
    status st;

    if (from == 0)
        return err_set(err, ST_INVALID, "records are numbered from 1");
    if (to > durable)
        to = durable;
    if (from > to)
        return ST_OK;
    if (!copy_files(w, &files, &hint))
        return err_set(err, ST_NOMEM, "list of log files");
    st = wal_replay_range(w->fs, w->dir, &files, from, to, &hint, fn, arg, err);
    mem_free(files.at);
    lock_take(&w->lock);
    w->shared.hint = hint; /* also where fn stopped: who reads in pieces goes on from there */
    lock_drop(&w->lock);
    if (st != ST_OK && is_trimmed(w, from)) /* before, or under our hands */
        st = err_set(err, ST_NOT_FOUND, "log %s: record %" PRIu64 " is trimmed", w->dir, from);
    return st;
}
