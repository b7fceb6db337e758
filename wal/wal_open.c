/* Opening and closing a log: docs/formats/wal.md, "Open". */
#include "wal/wal_internal.h"

#include "base/log.h"
#include "base/mem.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static void PRINTF_LIKE(3, 4) stop(struct wal *w, status code, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    (void)vsnprintf(w->shared.stop_text, sizeof(w->shared.stop_text), format, args);
    va_end(args);
    w->shared.stop_code = code;
    w->shared.mode = WAL_MODE_STOPPED;
}

static void wal_free(struct wal *w)
{
    if (w == NULL)
        return;
    wal_file_close(w->fs, &w->sync.file);
    if (w->entered) {
        wal_engine_add_bytes(w->engine, -(int64_t)wal_bytes_locked(w));
        wal_engine_leave(w->engine);
    }
    wal_batch_free(w->shared.fill);
    wal_batch_free(w->shared.spare);
    mem_free(w->shared.files.at);
    mem_free(w->shared.spares.at);
    mem_free(w->dir);
    cond_fini(&w->changed);
    lock_fini(&w->lock);
    mem_free(w);
}

static status wal_make(const struct wal_options *o, struct wal **out, struct err *err)
{
    struct wal *w = mem_zero(sizeof(*w));

    if (w == NULL)
        return err_set(err, ST_NOMEM, "log %s", o->dir);
    lock_init(&w->lock, LOCK_RANK_WAL, "wal");
    cond_init(&w->changed);
    w->engine = o->engine;
    w->fs = wal_engine_fs(o->engine);
    memcpy(w->log_id, o->log_id, sizeof(w->log_id));
    w->on_cut = o->on_cut;
    w->cut_arg = o->cut_arg;
    w->buffer_bytes_max =
        o->buffer_bytes_max != 0 ? o->buffer_bytes_max : 2 * (size_t)WAL_PAYLOAD_BYTES_MAX;
    w->dir = mem_strdup(o->dir);
    if (w->dir == NULL) {
        wal_free(w);
        return err_set(err, ST_NOMEM, "log %s", o->dir);
    }
    *out = w;
    return ST_OK;
}

/* --- the directory --------------------------------------------------------------------------- */

/* Names that mean nothing go. The others are synced before anything relies on them: a process that
 * was killed may have seen its rename done, and not lived to make it durable. */
static status clean_up(struct wal *w, const struct wal_dir *d, struct err *err)
{
    status st;

    for (size_t i = 0; i < d->temps.count; i++) {
        char name[WAL_NAME_BYTES];
        char path[FS_PATH_BYTES];

        wal_name_format(name, d->temps.at[i].number, "tmp");
        st = fs_join(path, w->dir, name, err);
        if (st == ST_OK)
            st = fs_unlink(w->fs, path, err);
        if (st != ST_OK)
            return st;
    }
    /* A write that failed under the process before is told to the first who syncs after it. What
     * that process acknowledged lies in files whose names it had seen synced, so it is no news
     * here. */
    st = fs_sync_dir(w->fs, w->dir, err);
    return st == ST_IO ? fs_sync_dir(w->fs, w->dir, err) : st;
}

/* Files from before the one that the log begins anew with. */
static status drop_void(struct wal *w, struct wal_dir *d, bool read_only, struct err *err)
{
    size_t begin = d->files.count;

    while (begin > 0 && (d->files.at[begin - 1].flags & WAL_FLAG_ANEW) == 0)
        begin--;
    for (; begin > 1; begin--) {
        status st =
            read_only ? ST_OK : wal_dir_drop(w->fs, w->dir, d->files.at[0].number, false, err);

        if (st != ST_OK)
            return st;
        wal_entries_remove(&d->files, 0);
    }
    return ST_OK;
}

/* Takes over the lists. Spares beyond the bound are left lying for the next open. */
static void adopt(struct wal *w, struct wal_dir *d)
{
    w->shared.files = d->files;
    w->shared.spares = d->spares;
    d->files = (struct wal_entries){0};
    d->spares = (struct wal_entries){0};
    for (size_t i = 0; i < w->shared.files.count; i++) {
        if (w->shared.files.at[i].number > w->sync.last_number)
            w->sync.last_number = w->shared.files.at[i].number;
    }
    for (size_t i = 0; i < w->shared.spares.count; i++) {
        if (w->shared.spares.at[i].number > w->sync.last_number)
            w->sync.last_number = w->shared.spares.at[i].number;
    }
}

/* --- where writing goes on ------------------------------------------------------------------- */

static status reopen_end(struct wal *w, const struct wal_replay *r, struct err *err)
{
    const struct wal_entry *e = &w->shared.files.at[r->end_file];
    struct wal_reader reader;
    status st = wal_reader_open(&reader, w->fs, w->dir, e->number, err);

    if (st == ST_OK) {
        w->sync.file.sizes = wal_engine_sizes(w->engine);
        w->sync.file.head = reader.head;
        w->sync.file.seed = reader.seed;
        w->sync.file.used = r->end_offset;
        w->sync.file.allocated = reader.file_bytes;
        w->sync.marked = true;
        w->sync.settled = true;
    }
    wal_reader_close(&reader);
    return st;
}

/* Index of the file with the last live record; false if there is none. */
static bool last_live(const struct wal_entries *files, uint64_t last_lsn, size_t *index)
{
    for (size_t i = files->count; i-- > 0;) {
        if (files->at[i].first_lsn <= last_lsn &&
            files->at[i].first_lsn <= wal_entries_limit(files, i)) {
            *index = i;
            return true;
        }
    }
    return false;
}

/* Records above the claim: those in the last live file are copied, those in files before it (only
 * without fdatasync) are synced. */
static status plan_copy(struct wal *w, const struct wal_replay *r, struct err *err)
{
    const struct wal_entries *files = &w->shared.files;
    size_t live;

    if (r->claim >= r->last_lsn || !last_live(files, r->last_lsn, &live))
        return ST_OK;
    w->sync.copy_from = r->claim + 1;
    if (files->at[live].first_lsn > w->sync.copy_from)
        w->sync.copy_from = files->at[live].first_lsn;
    for (size_t i = 0; i < live; i++) {
        if (wal_entries_limit(files, i) > r->claim && files->at[i].first_lsn <= r->last_lsn) {
            status st = wal_file_sync(w, files->at[i].number, err);

            if (st != ST_OK)
                return st;
        }
    }
    return ST_OK;
}

/* A log written without fdatasync lost records that a checkpoint has: it goes on behind those, in a
 * file that says so. What was there before is void from the moment that file has its name, and goes
 * at the next open or trim. */
static void start_over(struct wal *w, uint64_t expect_lsn, struct wal_report *report)
{
    (void)snprintf(report->text, sizeof(report->text),
                   "log written without fdatasync ends at record %" PRIu64
                   ", goes on behind the checkpoint at %" PRIu64,
                   report->last_lsn, expect_lsn);
    report->torn = true;
    report->last_lsn = expect_lsn;
    w->sync.written_lsn = expect_lsn;
    w->sync.claim_lsn = expect_lsn;
    w->sync.anew = true;
}

static status plan(struct wal *w, const struct wal_options *o, const struct wal_replay *r,
                   struct wal_report *report, struct err *err)
{
    w->sync.written_lsn = r->last_lsn;
    w->sync.claim_lsn = r->claim;
    w->sync.successor = true;
    if (r->last_lsn < o->expect_lsn) {
        start_over(w, o->expect_lsn, report);
        return w->shared.files.count == 0 ? fs_sync_above(w->fs, w->dir, err) : ST_OK;
    }
    if (w->shared.files.count == 0) {
        w->sync.written_lsn = o->replay_from > 1 ? o->replay_from - 1 : 0;
        w->sync.claim_lsn = w->sync.written_lsn;
        report->last_lsn = w->sync.written_lsn;
        return fs_sync_above(w->fs, w->dir, err);
    }
    if (r->ended == WAL_BREAK_NONE && r->claim >= r->last_lsn) {
        w->sync.successor = false;
        return reopen_end(w, r, err);
    }
    return plan_copy(w, r, err);
}

static status pass_over(void *arg, uint64_t lsn, struct slice payload, struct err *err)
{
    (void)arg;
    (void)lsn;
    (void)payload;
    (void)err;
    return ST_OK;
}

/* Where the records [copy_from, written_lsn] stand in their file. */
static status find_tail(struct wal *w, const struct wal_entry *e, uint64_t *begin, uint64_t *end,
                        struct err *err)
{
    struct wal_hint hint = {0};
    uint64_t before = w->sync.copy_from - 1;
    status st = ST_OK;

    *begin = WAL_HEAD_BYTES;
    if (before >= e->first_lsn) {
        st = wal_replay_range(w->fs, w->dir, &w->shared.files, before, before, &hint, pass_over,
                              NULL, err);
        *begin = hint.offset;
    }
    if (st == ST_OK)
        st = wal_replay_range(w->fs, w->dir, &w->shared.files, w->sync.copy_from,
                              w->sync.written_lsn, &hint, pass_over, NULL, err);
    *end = hint.offset;
    return st;
}

/* The same bytes at the same place: a sector of them that is lost now was lost before. */
static status rewrite(struct wal *w, struct wal_file *f, uint64_t begin, uint64_t end,
                      struct err *err)
{
    uint8_t bytes[4096];
    status st = ST_OK;

    while (st == ST_OK && begin < end) {
        size_t n = end - begin < sizeof bytes ? (size_t)(end - begin) : sizeof bytes;

        st = fs_pread_full(w->fs, f->file, bytes, n, begin, err);
        if (st == ST_OK)
            st = fs_pwrite(w->fs, f->file, bytes, n, begin, err);
        begin += n;
    }
    return st == ST_OK ? fs_sync(w->fs, f->file, err) : st;
}

/* No room for a copy: the tail is written once more where it stands, as only a write of our own can
 * be trusted. */
static void settle_in_place(struct wal *w)
{
    struct err err;
    struct wal_file f = {0};
    const struct wal_entry *e;
    uint64_t begin, end;
    size_t live;
    status st;

    if (w->sync.copy_from == 0 || !last_live(&w->shared.files, w->sync.written_lsn, &live))
        return;
    e = &w->shared.files.at[live];
    f.head.number = e->number;
    st = find_tail(w, e, &begin, &end, &err);
    if (st == ST_OK)
        st = wal_file_reopen(w->fs, w->dir, &f, &err);
    if (st == ST_OK)
        st = rewrite(w, &f, begin, end, &err);
    wal_file_close(w->fs, &f);
    if (st != ST_OK)
        log_warn("log tail not synced", "log=%s err=%s", w->dir, err.text);
}

/* Nothing of what was found can be made durable: it is read, and nothing is written. */
static void stop_for_disk(struct wal *w, const struct err *why)
{
    w->shared.trim_blocked = true;
    log_error("log opened, but it takes no writes", "log=%s err=%s", w->dir, why->text);
    stop(w, ST_CLOSED, "no writes until the disk is well and the node restarted: log %s: %s",
         w->dir, why->text);
}

/* A node starts with a full disk, and reads on one that fails. */
static status make_ready(struct wal *w, struct err *err)
{
    struct err why;
    status st;

    if (!w->sync.successor)
        return ST_OK;
    st = wal_make_successor(w, 0, &why);
    wal_file_close(w->fs, &w->sync.file);
    if (st == ST_OK)
        return ST_OK;
    if (st == ST_NOMEM) {
        if (err != NULL)
            *err = why;
        return st;
    }
    w->shared.trim_blocked = w->sync.copy_from != 0;
    if (st == ST_NOSPACE) {
        settle_in_place(w);
        log_warn("log opened on a full disk", "log=%s err=%s", w->dir, why.text);
        return ST_OK;
    }
    stop_for_disk(w, &why);
    return ST_OK;
}

/* --- open ------------------------------------------------------------------------------------ */

static void fill_report(struct wal_report *report, const struct wal_replay *r)
{
    memset(report, 0, sizeof(*report));
    report->last_lsn = r->last_lsn;
    report->records = r->records;
    report->bytes = r->bytes;
    report->torn = r->ended == WAL_BREAK_TORN;
    report->corrupt = r->ended == WAL_BREAK_CORRUPT;
    memcpy(report->text, r->text, sizeof(report->text));
}

static status replay(struct wal *w, const struct wal_options *o, struct wal_replay *r,
                     struct err *err)
{
    *r = (struct wal_replay){.fs = w->fs,
                             .dir = w->dir,
                             .files = &w->shared.files,
                             .from = o->replay_from,
                             .expect_lsn = o->expect_lsn,
                             .fn = o->replay,
                             .arg = o->replay_arg,
                             .unsynced = wal_engine_sync(o->engine) == WAL_SYNC_NONE};
    return wal_replay_run(r, err);
}

/* failed: nothing of it can be synced, says why; it can be read. */
static status open_dir(struct wal *w, const struct wal_options *o, struct wal_dir *d, bool *failed,
                       struct err *why, struct err *err)
{
    status st = ST_OK;

    if (!o->read_only)
        st = fs_mkdir_all(w->fs, w->dir, err);
    if (st == ST_OK)
        st = wal_dir_read(w->fs, w->dir, w->log_id, d, err);
    if (st != ST_OK)
        return st;
    if (!o->read_only)
        st = clean_up(w, d, why);
    *failed = st == ST_IO;
    if (st != ST_OK && !*failed)
        return err_set(err, st, "%s", why->text);
    return drop_void(w, d, o->read_only || *failed, err);
}

static status open_log(struct wal *w, const struct wal_options *o, struct wal_report *report,
                       struct err *err)
{
    struct wal_dir d = {0};
    struct wal_replay r;
    struct err why = {0};
    bool failing = false;
    status st = open_dir(w, o, &d, &failing, &why, err);

    if (st == ST_OK) {
        adopt(w, &d);
        st = replay(w, o, &r, err);
    }
    wal_dir_free(&d);
    if (st != ST_OK)
        return st;

    fill_report(report, &r);
    if (report->corrupt)
        stop(w, ST_CORRUPT, "log %s is damaged: %.400s", w->dir, report->text);
    else if (o->read_only)
        stop(w, ST_DENIED, "log %s was opened for reading only", w->dir);
    else if (failing)
        stop_for_disk(w, &why);
    else
        st = plan(w, o, &r, report, err);
    if (st != ST_OK)
        return st;
    wal_engine_enter(w->engine);
    wal_engine_add_bytes(w->engine, (int64_t)wal_bytes_locked(w));
    w->entered = true;
    if (w->shared.mode == WAL_MODE_OPEN)
        st = make_ready(w, err);
    w->shared.next_lsn = report->last_lsn + 1;
    atomic_store(&w->durable_lsn, report->last_lsn);
    return st;
}

status wal_open(const struct wal_options *options, struct wal **out, struct wal_report *report,
                struct err *err)
{
    struct wal_report found = {0};
    struct wal *w = NULL;
    status st = wal_make(options, &w, err);

    if (st != ST_OK)
        return st;
    st = open_log(w, options, &found, err);
    if (st != ST_OK) {
        wal_free(w);
        return err_wrap(err, st, "open log %s", options->dir);
    }
    if (report != NULL)
        *report = found;
    *out = w;
    return ST_OK;
}

/* --- close ----------------------------------------------------------------------------------- */

void wal_close(struct wal *w)
{
    bool settle;

    if (w == NULL)
        return;
    lock_take(&w->lock);
    w->shared.closing = true;
    lock_drop(&w->lock);
    wal_engine_forget(w->engine, w);
    lock_take(&w->lock);
    while (w->shared.scheduled || w->shared.fill != NULL || w->shared.under_way > 0)
        cond_wait(&w->changed, &w->lock);
    settle = w->shared.mode == WAL_MODE_OPEN;
    lock_drop(&w->lock);
    if (settle)
        wal_write_last_marker(w);
    wal_free(w);
}
