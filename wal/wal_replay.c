/* Where does the log end, and is that a crash or damage? docs/formats/wal.md, "Reading". */
#include "wal/wal_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* One run over the files. With a damaged header there are two: the first finds out how far the
 * files before it can be believed, the second replays so far. */
struct pass {
    struct wal_replay *r;
    size_t count;  /* files looked at: up to the first damaged header */
    uint64_t cap;  /* no record above it */
    bool deliver;  /* call fn */
    uint64_t next; /* the lsn that comes next */
    bool broke;
};

static void PRINTF_LIKE(2, 3) say(struct wal_replay *r, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    (void)vsnprintf(r->text, sizeof(r->text), format, args);
    va_end(args);
}

static void lift(uint64_t *value, uint64_t to)
{
    if (to > *value)
        *value = to;
}

/* What the headers of files from `index` on state. */
static uint64_t headers_claim(const struct wal_entries *files, size_t index)
{
    uint64_t claim = 0;

    for (size_t i = index; i < files->count; i++)
        lift(&claim, files->at[i].bad ? 0 : files->at[i].durable_lsn);
    return claim;
}

/* The log breaks at p->next in file `index`; `claim` is what was found behind the break there. */
static void judge(struct pass *p, size_t index, uint64_t offset, bool end_mark, uint64_t claim,
                  const char *what)
{
    struct wal_replay *r = p->r;
    const struct wal_entry *e = &r->files->at[index];
    uint64_t stated;

    r->end_file = index;
    r->end_offset = offset;
    r->unsynced = (e->flags & WAL_FLAG_UNSYNCED) != 0;
    p->broke = true;
    lift(&claim, headers_claim(r->files, index));
    stated = claim;
    if (!r->unsynced)
        lift(&claim, r->expect_lsn);
    if (claim >= p->next) {
        r->ended = WAL_BREAK_CORRUPT;
        say(r,
            "log file %016" PRIx64 ".wal offset %" PRIu64 ": %s where record %" PRIu64
            " should be; records up to %" PRIu64 " were durable",
            e->number, offset, what, p->next, claim);
        return;
    }
    lift(&r->claim, stated); /* a checkpoint has the rows, and says nothing about these bytes */
    if (end_mark && index + 1 == r->files->count) {
        r->ended = WAL_BREAK_NONE;
        return;
    }
    r->ended = WAL_BREAK_TORN;
    say(r,
        "log file %016" PRIx64 ".wal offset %" PRIu64
        ": torn tail, the log ends at record %" PRIu64,
        e->number, offset, p->next - 1);
}

static status take(struct pass *p, const struct wal_rec *rec, struct slice payload, struct err *err)
{
    struct wal_replay *r = p->r;

    lift(&r->claim, rec->durable_lsn);
    p->next = rec->lsn + 1;
    if (!p->deliver || rec->lsn < r->from)
        return ST_OK;
    r->records++;
    r->bytes += payload.bytes;
    return r->fn == NULL ? ST_OK : r->fn(r->arg, rec->lsn, payload, err);
}

/* No valid record stands at the reader's offset. */
static status break_at(struct pass *p, size_t index, struct wal_reader *reader, enum wal_step step,
                       const struct wal_rec *rec, struct err *err)
{
    uint64_t claim = 0;
    bool found;
    status st = wal_reader_search(reader, p->next, &found, &claim, err);

    if (st != ST_OK)
        return st;
    if (step == WAL_STEP_MARKER)
        lift(&claim, rec->durable_lsn);
    /* Room is allocated in whole sectors before it is written to: no crash leaves such a length. */
    if (step == WAL_STEP_BAD && reader->file_bytes % WAL_LENGTH_GRAIN != 0 &&
        (reader->head.flags & WAL_FLAG_UNSYNCED) == 0) {
        lift(&claim, p->next);
        judge(p, index, reader->offset, false, claim, "a file that was cut short");
        return ST_OK;
    }
    judge(p, index, reader->offset, step != WAL_STEP_BAD && !found, claim,
          step == WAL_STEP_BAD ? "damaged bytes" : "the end of the log");
    return ST_OK;
}

static status read_records(struct pass *p, size_t index, struct wal_reader *reader, uint64_t limit,
                           struct err *err)
{
    while (p->next <= limit) {
        enum wal_step step;
        struct wal_rec rec;
        struct slice payload;
        status st = wal_reader_next(reader, p->next, &step, &rec, &payload, err);

        if (st != ST_OK)
            return st;
        if (step != WAL_STEP_DATA)
            return break_at(p, index, reader, step, &rec, err);
        st = take(p, &rec, payload, err);
        if (st != ST_OK)
            return st;
    }
    p->r->end_file = index;
    p->r->end_offset = reader->offset;
    return ST_OK;
}

static status read_file(struct pass *p, size_t index, uint64_t limit, struct err *err)
{
    const struct wal_entry *e = &p->r->files->at[index];
    struct wal_reader reader;
    status st;

    lift(&p->r->claim, e->durable_lsn);
    st = wal_reader_open(&reader, p->r->fs, p->r->dir, e->number, err);
    if (st == ST_OK)
        st = read_records(p, index, &reader, limit, err);
    wal_reader_close(&reader);
    return st;
}

static status run_pass(struct pass *p, struct err *err)
{
    const struct wal_entries *files = p->r->files;

    p->next = wal_entries_begin(files);
    p->broke = false;
    for (size_t i = 0; i < p->count && !p->broke; i++) {
        uint64_t limit = wal_entries_limit(files, i);
        status st;

        if (limit > p->cap)
            limit = p->cap;
        if (files->at[i].first_lsn > limit)
            continue; /* void */
        if (files->at[i].first_lsn > p->next) {
            judge(p, i, WAL_HEAD_BYTES, false, 0, "a file that begins later");
            break;
        }
        st = read_file(p, i, limit, err);
        if (st != ST_OK)
            return st;
    }
    return ST_OK;
}

static size_t first_bad(const struct wal_entries *files)
{
    size_t i = 0;

    while (i < files->count && !files->at[i].bad)
        i++;
    return i;
}

/* A damaged header: what it voided in the files before it is not known, so only what was stated
 * as durable in those is believed. */
static status run_to_damage(struct pass *p, struct err *err)
{
    struct wal_replay *r = p->r;
    status st;

    p->deliver = false;
    p->cap = UINT64_MAX;
    if (p->count > 0) {
        st = run_pass(p, err);
        if (st != ST_OK)
            return st;
        p->cap = p->next - 1;
        if (r->claim < p->cap)
            p->cap = r->claim;
        r->claim = 0;
        p->deliver = true;
        st = run_pass(p, err);
        if (st != ST_OK)
            return st;
    }
    r->last_lsn = p->count > 0 ? p->next - 1 : 0;
    r->claim = r->last_lsn;
    r->ended = WAL_BREAK_CORRUPT;
    say(r,
        "log file %016" PRIx64 ".wal: damaged header block; the log is read up to record %" PRIu64,
        r->files->at[p->count].number, r->last_lsn);
    return ST_OK;
}

/* The log must begin at or before what the caller needs, or, begun anew, where the caller's
 * checkpoint ends. */
static bool begins_late(struct wal_replay *r)
{
    const struct wal_entry *e = &r->files->at[0];
    uint64_t first = wal_entries_begin(r->files);

    if (e->bad || r->from == 0 || first <= r->from ||
        ((e->flags & WAL_FLAG_ANEW) != 0 && first <= r->expect_lsn + 1))
        return false;
    r->ended = WAL_BREAK_CORRUPT;
    r->last_lsn = r->from - 1;
    r->claim = r->last_lsn;
    say(r, "the log begins at record %" PRIu64 ", records from %" PRIu64 " are missing", first,
        r->from);
    return true;
}

static void check_expected(struct wal_replay *r)
{
    if (r->ended == WAL_BREAK_CORRUPT || r->last_lsn >= r->expect_lsn || r->unsynced)
        return;
    r->ended = WAL_BREAK_CORRUPT;
    say(r, "the log ends at record %" PRIu64 ", a checkpoint has seen record %" PRIu64, r->last_lsn,
        r->expect_lsn);
}

status wal_replay_run(struct wal_replay *r, struct err *err)
{
    struct pass p = {.r = r, .deliver = true, .cap = UINT64_MAX};
    status st;

    if (r->files->count == 0) {
        check_expected(r);
        return ST_OK;
    }
    if (begins_late(r))
        return ST_OK;
    p.count = first_bad(r->files);
    if (p.count < r->files->count)
        return run_to_damage(&p, err);
    st = run_pass(&p, err);
    if (st != ST_OK)
        return st;
    r->last_lsn = p.next - 1;
    check_expected(r);
    return ST_OK;
}

/* *stopped: fn said so. Reader and *next then stand before the record it stopped at. */
static status range_in_file(struct wal_reader *reader, uint64_t *next, uint64_t from, uint64_t to,
                            wal_replay_fn *fn, void *arg, bool *stopped, struct err *err)
{
    while (*next <= to) {
        uint64_t before = reader->offset;
        enum wal_step step;
        struct wal_rec rec;
        struct slice payload;
        status st = wal_reader_next(reader, *next, &step, &rec, &payload, err);

        if (st == ST_OK && step != WAL_STEP_DATA)
            st = err_set(err, ST_CORRUPT,
                         "log file %016" PRIx64 ".wal offset %" PRIu64 ": record %" PRIu64
                         " is damaged",
                         reader->head.number, reader->offset, *next);
        if (st == ST_OK && *next >= from) {
            st = fn(arg, *next, payload, err);
            *stopped = st != ST_OK;
            if (*stopped)
                reader->offset = before;
        }
        if (st != ST_OK)
            return st;
        (*next)++;
    }
    return ST_OK;
}

status wal_replay_range(struct fs *fs, const char *dir, const struct wal_entries *files,
                        uint64_t from, uint64_t to, struct wal_hint *hint, wal_replay_fn *fn,
                        void *arg, struct err *err)
{
    uint64_t lsn = from;

    for (size_t i = 0; i < files->count && lsn <= to; i++) {
        uint64_t limit = wal_entries_limit(files, i);
        uint64_t next = files->at[i].first_lsn;
        struct wal_reader reader;
        bool stopped = false;
        status st;

        if (next > limit || limit < lsn || next > lsn)
            continue;
        st = wal_reader_open(&reader, fs, dir, files->at[i].number, err);
        if (st == ST_OK && hint != NULL && hint->offset > 0 &&
            hint->number == files->at[i].number && hint->lsn <= lsn) {
            next = hint->lsn;
            reader.offset = hint->offset;
        }
        if (st == ST_OK)
            st =
                range_in_file(&reader, &next, lsn, limit < to ? limit : to, fn, arg, &stopped, err);
        if ((st == ST_OK || stopped) && hint != NULL)
            *hint = (struct wal_hint){files->at[i].number, next, reader.offset};
        wal_reader_close(&reader);
        if (st != ST_OK)
            return st;
        lsn = next;
    }
    if (lsn <= to)
        return err_set(err, ST_NOT_FOUND, "record %" PRIu64 " is not in the log", lsn);
    return ST_OK;
}
