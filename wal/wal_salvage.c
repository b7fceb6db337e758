/* What is left of a damaged log. A file is read over its damage: every record carries its own lsn
 * and a checksum that no other place or file gives, so what passes is what was written here. What a
 * later file voids is left out, as in wal_replay.c; a header that one flipped bit damaged is mended
 * in memory, as it says what it voids and how its records are to be checked. */
#include "wal/wal_internal.h"

#include <stdio.h>
#include <string.h>

struct salvage {
    struct fs *fs;
    const char *dir;
    wal_replay_fn *fn;
    void *arg;
    struct wal_salvage *out;
};

static status open_reader(struct salvage *s, struct wal_reader *r, uint64_t number, bool *readable,
                          struct err *err)
{
    status st = wal_reader_open(r, s->fs, s->dir, number, err);

    *readable = st == ST_OK;
    if (st == ST_CORRUPT) {
        *readable = wal_reader_mend(r, number);
        st = ST_OK;
    }
    return st;
}

static void note_unknown(struct salvage *s, uint64_t number)
{
    if (s->out->unknown)
        return;
    s->out->unknown = true;
    (void)snprintf(s->out->file, sizeof(s->out->file), "%s/", s->dir);
    wal_name_format(s->out->file + strlen(s->out->file), number, "wal");
}

/* Damaged headers that can be mended count like whole ones. */
static status mend_entries(struct salvage *s, struct wal_entries *files, struct err *err)
{
    status st = ST_OK;

    for (size_t i = 0; i < files->count && st == ST_OK; i++) {
        struct wal_entry *e = &files->at[i];
        struct wal_reader r;
        bool readable;

        if (!e->bad)
            continue;
        st = open_reader(s, &r, e->number, &readable, err);
        if (st == ST_OK && readable) {
            e->bad = false;
            e->first_lsn = r.head.first_lsn;
            e->durable_lsn = r.head.durable_lsn;
            e->flags = r.head.flags;
        } else if (st == ST_OK) {
            note_unknown(s, e->number);
        }
        wal_reader_close(&r);
    }
    return st;
}

static void note_claim(struct salvage *s, uint64_t lsn)
{
    if (lsn > s->out->durable_lsn)
        s->out->durable_lsn = lsn;
}

static status take(struct salvage *s, const struct wal_rec *rec, struct slice payload,
                   struct err *err)
{
    if (s->out->first_lsn == 0)
        s->out->first_lsn = rec->lsn;
    s->out->last_lsn = rec->lsn;
    return s->fn == NULL ? ST_OK : s->fn(s->arg, rec->lsn, payload, err);
}

static status read_file(struct salvage *s, const struct wal_entry *e, uint64_t limit,
                        struct err *err)
{
    struct wal_reader r;
    bool found = false;
    status st = open_reader(s, &r, e->number, &found, err);

    note_claim(s, e->durable_lsn);
    if (st == ST_OK && limit == UINT64_MAX && r.file_bytes % WAL_LENGTH_GRAIN != 0)
        note_unknown(s, e->number); /* cut short */
    while (st == ST_OK && found) {
        struct wal_rec rec;
        struct slice payload;

        st = wal_reader_find(&r, &found, &rec, &payload, err);
        if (st != ST_OK || !found || rec.lsn > limit)
            continue;
        note_claim(s, rec.durable_lsn);
        if (payload.data != NULL && rec.lsn > s->out->last_lsn)
            st = take(s, &rec, payload, err);
    }
    wal_reader_close(&r);
    return st;
}

/* The log begins with the newest file that says so. */
static size_t begin(const struct wal_entries *files)
{
    size_t i = files->count;

    while (i > 0 && (files->at[i - 1].bad || (files->at[i - 1].flags & WAL_FLAG_ANEW) == 0))
        i--;
    return i == 0 ? 0 : i - 1;
}

status wal_salvage(struct fs *fs, const char *dir, const uint8_t log_id[16], wal_replay_fn *fn,
                   void *arg, struct wal_salvage *out, struct err *err)
{
    struct salvage s = {.fs = fs, .dir = dir, .fn = fn, .arg = arg, .out = out};
    struct wal_dir d = {0};
    status st = wal_dir_read(fs, dir, log_id, &d, err);

    memset(out, 0, sizeof(*out));
    if (st == ST_OK)
        st = mend_entries(&s, &d.files, err);
    for (size_t i = begin(&d.files); st == ST_OK && i < d.files.count; i++) {
        uint64_t limit = wal_entries_limit(&d.files, i);

        if (!d.files.at[i].bad && d.files.at[i].first_lsn <= limit)
            st = read_file(&s, &d.files.at[i], limit, err);
    }
    wal_dir_free(&d);
    return st == ST_OK ? ST_OK : err_wrap(err, st, "what is left of log %s", dir);
}
