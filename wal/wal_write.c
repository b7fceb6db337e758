/* What a sync thread does with a log: a batch becomes durable, or is cut away as a whole. The order
 * of effects is docs/formats/wal.md, "Writing"; each return between two of them is a crash that the
 * tests make happen. */
#include "wal/wal_internal.h"

#include "base/log.h"
#include "base/mem.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>

/* --- successors ------------------------------------------------------------------------------ */

struct copy {
    struct wal *wal;
    struct wal_file *file;
    struct buf frame;
};

static status copy_record(void *arg, uint64_t lsn, struct slice payload, struct err *err)
{
    struct copy *c = arg;
    struct wal_rec rec = {.lsn = lsn,
                          .durable_lsn = c->file->head.first_lsn - 1,
                          .payload_bytes = (uint32_t)payload.bytes,
                          .kind = WAL_KIND_DATA};
    size_t frame_bytes = wal_rec_frame_bytes(rec.payload_bytes);
    status st;

    buf_reset(&c->frame);
    buf_put_zeros(&c->frame, WAL_REC_HEADER_BYTES);
    buf_put_slice(&c->frame, payload);
    buf_put_zeros(&c->frame, frame_bytes - WAL_REC_HEADER_BYTES - payload.bytes);
    buf_put_zeros(&c->frame, WAL_END_MARK_BYTES);
    st = buf_status(&c->frame, err);
    if (st == ST_OK)
        st = wal_file_room(c->wal->fs, c->file, frame_bytes, err);
    if (st != ST_OK)
        return st;
    wal_rec_seal(c->frame.data, c->file->seed, c->file->used, &rec);
    return wal_file_write(c->wal->fs, c->file, c->frame.data, frame_bytes, err);
}

/* Copies the records that nobody knows to be on disk. Nothing trims the files meanwhile. */
static status copy_tail(void *arg, struct wal_file *file, struct err *err)
{
    struct wal *w = arg;
    struct copy c = {.wal = w, .file = file};
    struct wal_entries files;
    bool ok;
    status st;

    lock_take(&w->lock);
    ok = wal_entries_copy(&files, &w->shared.files);
    lock_drop(&w->lock);
    if (!ok)
        return err_set(err, ST_NOMEM, "list of log files");
    buf_init(&c.frame, (size_t)WAL_PAYLOAD_BYTES_MAX + 2 * WAL_REC_HEADER_BYTES + WAL_REC_ALIGN);
    st = wal_replay_range(w->fs, w->dir, &files, w->sync.copy_from, w->sync.written_lsn, NULL,
                          copy_record, &c, err);
    buf_free(&c.frame);
    mem_free(files.at);
    return st;
}

static bool take_spare(struct wal *w, struct wal_entry *out)
{
    bool taken;

    lock_take(&w->lock);
    taken = w->shared.spares.count > 0;
    if (taken)
        *out = w->shared.spares.at[--w->shared.spares.count];
    lock_drop(&w->lock);
    if (taken)
        wal_engine_add_bytes(w->engine, -(int64_t)out->bytes);
    return taken;
}

static status make_file(struct wal *w, uint64_t room_bytes, struct wal_file *out, struct err *err)
{
    bool copies = w->sync.copy_from != 0;
    struct wal_make make = {
        .fs = w->fs,
        .dir = w->dir,
        .sizes = wal_engine_sizes(w->engine),
        .head = {.flags = (wal_engine_sync(w->engine) == WAL_SYNC_NONE ? WAL_FLAG_UNSYNCED : 0) |
                          (w->sync.anew ? WAL_FLAG_ANEW : 0),
                 .first_lsn = copies ? w->sync.copy_from : w->sync.written_lsn + 1,
                 .durable_lsn = copies ? w->sync.written_lsn : w->sync.claim_lsn},
        .room_bytes = room_bytes,
        .fill = copies ? copy_tail : NULL,
        .fill_arg = w};
    struct wal_entry spare;
    bool has_spare;
    bool named;
    status st;

    memcpy(make.head.log_id, w->log_id, sizeof(make.head.log_id));
    do {
        has_spare = take_spare(w, &spare);
        make.spare = has_spare ? &spare.number : NULL;
        make.head.number = ++w->sync.last_number;
        make.head.salt = rand_u64(wal_engine_rand(w->engine));
        st = wal_file_make(&make, out, &named, err);
        /* From here on the name may void what the old file is given: it gets no more. */
        if (st != ST_OK && named)
            w->sync.successor = true;
    } while (st != ST_OK && has_spare && !named);
    return st;
}

status wal_make_successor(struct wal *w, uint64_t room_bytes, struct err *err)
{
    struct wal_file made;
    bool ok;
    status st;

    lock_take(&w->lock);
    ok = wal_entries_reserve(&w->shared.files, 1);
    lock_drop(&w->lock);
    if (!ok)
        return err_set(err, ST_NOMEM, "list of log files");
    st = make_file(w, room_bytes, &made, err);
    if (st != ST_OK)
        return st;

    wal_file_close(w->fs, &w->sync.file);
    w->sync.file = made;
    w->sync.claim_lsn = made.head.durable_lsn;
    w->sync.successor = false;
    w->sync.copy_from = 0;
    w->sync.anew = false;
    w->sync.marked = true; /* its header says it all */
    w->sync.settled = true;
    lock_take(&w->lock);
    wal_entries_add(&w->shared.files, (struct wal_entry){.number = made.head.number,
                                                         .first_lsn = made.head.first_lsn,
                                                         .durable_lsn = made.head.durable_lsn,
                                                         .bytes = made.allocated,
                                                         .flags = made.head.flags});
    w->shared.trim_blocked = false;
    lock_drop(&w->lock);
    wal_engine_add_bytes(w->engine, (int64_t)made.allocated);
    return ST_OK;
}

/* --- room ------------------------------------------------------------------------------------ */

/* Gives spares back to a disk that is full. True if there was one. */
static bool drop_spares(struct wal *w)
{
    struct wal_entry spare;
    bool any = false;

    while (take_spare(w, &spare)) {
        char name[WAL_NAME_BYTES];
        char path[FS_PATH_BYTES];

        wal_name_format(name, spare.number, "spare");
        if (fs_join(path, w->dir, name, NULL) == ST_OK)
            wal_unlink_tidily(w->fs, path);
        any = true;
    }
    return any;
}

static status grow(struct wal *w, uint64_t bytes, struct err *err)
{
    uint64_t before = w->sync.file.allocated;
    status st = wal_file_room(w->fs, &w->sync.file, bytes, err);

    if (st == ST_NOSPACE && drop_spares(w))
        st = wal_file_room(w->fs, &w->sync.file, bytes, err);
    if (st != ST_OK || w->sync.file.allocated == before)
        return st;
    lock_take(&w->lock);
    w->shared.files.at[w->shared.files.count - 1].bytes = w->sync.file.allocated;
    lock_drop(&w->lock);
    wal_engine_add_bytes(w->engine, (int64_t)(w->sync.file.allocated - before));
    return ST_OK;
}

struct chunk { /* records of a batch that go into one file */
    size_t from;
    size_t to;
    size_t begin; /* bytes */
    size_t end;
};

static void fit(const struct wal *w, const struct wal_batch *b, struct chunk *c)
{
    c->begin = c->from == 0 ? 0 : b->waiters[c->from - 1].end;
    c->to = c->from;
    c->end = c->begin;
    while (c->to < b->count && wal_file_fits(&w->sync.file, b->waiters[c->to].end - c->begin))
        c->end = b->waiters[c->to++].end;
    if (c->to == c->from && wal_file_is_empty(&w->sync.file))
        c->end = b->waiters[c->to++].end; /* larger than a file: a file of its own */
}

static void write_marker(struct wal *w)
{
    struct err err;

    if (w->sync.marked || w->sync.file.file == NULL || w->sync.successor)
        return;
    if (wal_file_write_marker(w->fs, &w->sync.file, w->sync.written_lsn, w->sync.claim_lsn, &err) !=
        ST_OK) {
        log_warn("log marker not written", "log=%s err=%s", w->dir, err.text);
        return;
    }
    w->sync.marked = true;
}

/* Everything that can fail before a byte of the records is written. */
static status prepare(struct wal *w, const struct wal_batch *b, struct chunk *c, struct err *err)
{
    status st = ST_OK;

    if (w->sync.successor)
        st = wal_make_successor(w, 0, err);
    else if (w->sync.file.file == NULL)
        st = wal_file_reopen(w->fs, w->dir, &w->sync.file, err);
    if (st != ST_OK)
        return st;
    fit(w, b, c);
    if (c->to == c->from) {
        /* The marker says how far this file goes, should the next one's header be damaged. */
        write_marker(w);
        st = wal_make_successor(w, 0, err);
        if (st != ST_OK)
            return st;
        fit(w, b, c);
    }
    return grow(w, c->end - c->begin, err);
}

/* --- a batch --------------------------------------------------------------------------------- */

static void seal(struct wal *w, struct wal_batch *b, const struct chunk *c)
{
    size_t begin = c->begin;

    for (size_t i = c->from; i < c->to; i++) {
        struct wal_rec rec = {.lsn = b->first_lsn + i,
                              .durable_lsn = w->sync.claim_lsn,
                              .payload_bytes = b->waiters[i].payload_bytes,
                              .kind = WAL_KIND_DATA};

        wal_rec_seal(b->bytes.data + begin, w->sync.file.seed,
                     w->sync.file.used + (begin - c->begin), &rec);
        begin = b->waiters[i].end;
    }
}

static status write_chunk(struct wal *w, struct wal_batch *b, const struct chunk *c,
                          struct err *err)
{
    status st;

    seal(w, b, c);
    w->sync.marked = false;
    w->sync.settled = false;
    st = wal_file_write(w->fs, &w->sync.file, b->bytes.data + c->begin, c->end - c->begin, err);
    if (st == ST_OK)
        st = wal_engine_sync_file(w->engine, w->sync.file.file, err);
    if (st != ST_OK)
        return st;
    w->sync.written_lsn += c->to - c->from;
    if (wal_engine_sync(w->engine) != WAL_SYNC_NONE)
        w->sync.claim_lsn = w->sync.written_lsn;
    return ST_OK;
}

/* From `b->durable_count` on all fails, with what was submitted since. Returns that, or NULL. */
static struct wal_batch *cut(struct wal *w, struct wal_batch *b, bool stop)
{
    struct wal_batch *later;

    lock_take(&w->lock);
    w->shared.mode = WAL_MODE_CUTTING;
    w->shared.next_lsn = w->sync.written_lsn + 1;
    later = w->shared.fill;
    w->shared.fill = NULL;
    if (later != NULL)
        w->shared.under_way++;
    if (stop) {
        w->shared.stop_code = ST_CLOSED;
        memcpy(w->shared.stop_text, b->err.text, sizeof(w->shared.stop_text));
    }
    lock_drop(&w->lock);
    if (later != NULL)
        later->err = b->err;
    (later != NULL ? later : b)->cut = true;
    return later;
}

/* Nothing of the records from `at` on touched the disk: they cannot come back. */
static struct wal_batch *refuse(struct wal *w, struct wal_batch *b, size_t at, status st)
{
    uint64_t left_out;

    b->durable_count = at;
    b->unknown_end = at;
    (void)err_wrap(&b->err, st == ST_NOSPACE ? ST_NOSPACE : ST_IO, "log %s: not written", w->dir);
    if (log_repeat(&w->told_refused, &left_out))
        log_warn("log records refused", "log=%s records=%zu err=%s left_out=%" PRIu64, w->dir,
                 b->count - at, b->err.text, left_out);
    return cut(w, b, false);
}

/* The innermost part of an error's text: what the system said. */
static const char *cause(const char *text)
{
    const char *at = text;

    for (const char *next = strstr(at, ": "); next != NULL; next = strstr(at, ": "))
        at = next + 2;
    return at;
}

/* A write or a sync failed: the file is never touched again. If a successor can state the cut, the
 * records are void and refused; if not, nobody knows. */
static struct wal_batch *poison(struct wal *w, struct wal_batch *b, const struct chunk *c,
                                status st)
{
    struct err why = b->err;
    bool stop;

    wal_file_close(w->fs, &w->sync.file);
    w->sync.successor = true;
    stop = wal_make_successor(w, 0, &b->err) != ST_OK;
    b->durable_count = c->from;
    b->unknown_end = stop ? c->to : c->from;
    if (stop) {
        /* Cause and remedy first: health has room for little more. */
        (void)err_set(&b->err, ST_IO,
                      "no writes until the disk is well and the node restarted (%s): log %s: %s",
                      cause(why.text), w->dir, why.text);
        log_error("log takes no more writes until the node is restarted", "log=%s err=%s", w->dir,
                  b->err.text);
    } else {
        b->err = why;
        (void)err_wrap(&b->err, st == ST_NOSPACE ? ST_NOSPACE : ST_IO, "log %s: write failed",
                       w->dir);
        log_warn("log cut back after a failed write", "log=%s lsn=%" PRIu64 " err=%s", w->dir,
                 w->sync.written_lsn, b->err.text);
    }
    return cut(w, b, stop);
}

/* Returns a second batch to be finished after b, or NULL. */
static struct wal_batch *write_batch(struct wal *w, struct wal_batch *b)
{
    struct chunk c = {0};

    for (c.from = 0; c.from < b->count; c.from = c.to) {
        status st = prepare(w, b, &c, &b->err);

        if (st != ST_OK)
            return refuse(w, b, c.from, st);
        st = write_chunk(w, b, &c, &b->err);
        if (st != ST_OK)
            return poison(w, b, &c, st);
    }
    b->durable_count = b->count;
    b->unknown_end = b->count;
    return NULL;
}

/* The broken twin: callbacks first, then the write. */
static void ack_first(struct wal *w, struct wal_batch *b)
{
    b->ack_early = true;
    b->durable_count = b->count;
    wal_engine_commit(w->engine, w, b, NULL);
    lock_take(&w->lock);
    while (!b->acked)
        cond_wait(&w->changed, &w->lock);
    lock_drop(&w->lock);
}

/* --- idle ------------------------------------------------------------------------------------ */

/* What stands in the file and was not synced is the marker. If that cannot be synced, neither is
 * the file to be trusted with more. */
static void settle(struct wal *w)
{
    struct err err;

    if (w->sync.file.file == NULL || w->sync.settled || w->sync.successor)
        return;
    if (fs_sync(w->fs, w->sync.file.file, &err) != ST_OK) {
        log_warn("log file given up", "log=%s err=%s", w->dir, err.text);
        w->sync.successor = true;
        return;
    }
    w->sync.settled = true;
}

static void close_idle(struct wal *w)
{
    struct wal_batch *spare;

    write_marker(w);
    settle(w);
    wal_file_close(w->fs, &w->sync.file);
    lock_take(&w->lock);
    spare = w->shared.spare;
    w->shared.spare = NULL;
    lock_drop(&w->lock);
    wal_batch_free(spare);
}

void wal_write_last_marker(struct wal *w)
{
    if (!w->sync.marked && w->sync.file.file == NULL && !w->sync.successor &&
        wal_file_reopen(w->fs, w->dir, &w->sync.file, NULL) != ST_OK)
        return;
    write_marker(w);
    settle(w);
}

void wal_run(struct wal *w)
{
    struct wal_batch *b;
    struct wal_batch *later = NULL;
    enum wal_job job;

    lock_take(&w->lock);
    b = w->shared.fill;
    w->shared.fill = NULL;
    job = w->shared.job;
    w->shared.job = WAL_JOB_NONE;
    if (b != NULL)
        w->shared.under_way++;
    lock_drop(&w->lock);

    if (b != NULL) {
        if (wal_engine_sync(w->engine) == WAL_SYNC_TWIN_ACK_FIRST)
            ack_first(w, b);
        later = write_batch(w, b);
        wal_engine_commit(w->engine, w, b, later);
    } else if (job == WAL_JOB_MARKER) {
        write_marker(w);
        wal_engine_idle(w->engine, w);
    } else if (job == WAL_JOB_CLOSE) {
        close_idle(w);
    }

    lock_take(&w->lock);
    if (w->shared.fill != NULL) {
        wal_engine_ready_locked(w->engine, w);
    } else {
        w->shared.scheduled = false;
        if (w->shared.closing || w->shared.trim_blocked)
            cond_broadcast(&w->changed);
    }
    lock_drop(&w->lock);
}
