#include "wal/wal_internal.h"

#include "base/mem.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

bool wal_entries_reserve(struct wal_entries *e, size_t more)
{
    size_t need = e->count + more;
    size_t capacity = e->capacity == 0 ? 8 : e->capacity;
    size_t bytes;
    struct wal_entry *at;

    if (need <= e->capacity)
        return true;
    while (capacity < need)
        capacity *= 2;
    if (!size_mul(capacity, sizeof(*at), &bytes))
        return false;
    at = mem_resize(e->at, bytes);
    if (at == NULL)
        return false;
    e->at = at;
    e->capacity = capacity;
    return true;
}

void wal_entries_add(struct wal_entries *e, struct wal_entry entry)
{
    assert(e->count < e->capacity);
    e->at[e->count++] = entry;
}

void wal_entries_remove(struct wal_entries *e, size_t index)
{
    assert(index < e->count);
    memmove(&e->at[index], &e->at[index + 1], (e->count - index - 1) * sizeof(e->at[0]));
    e->count--;
}

uint64_t wal_entries_limit(const struct wal_entries *e, size_t index)
{
    uint64_t limit = UINT64_MAX;

    for (size_t i = index + 1; i < e->count; i++) {
        if (!e->at[i].bad && e->at[i].first_lsn - 1 < limit)
            limit = e->at[i].first_lsn - 1;
    }
    return limit;
}

/* A void file's first lsn is not below that of the file that voids it: the smallest is it. */
uint64_t wal_entries_begin(const struct wal_entries *e)
{
    uint64_t begin = 0;

    for (size_t i = 0; i < e->count; i++) {
        if (!e->at[i].bad && (begin == 0 || e->at[i].first_lsn < begin))
            begin = e->at[i].first_lsn;
    }
    return begin;
}

bool wal_entries_copy(struct wal_entries *out, const struct wal_entries *from)
{
    memset(out, 0, sizeof(*out));
    if (!wal_entries_reserve(out, from->count))
        return false;
    for (size_t i = 0; i < from->count; i++)
        wal_entries_add(out, from->at[i]);
    return true;
}

static status list_one(void *arg, const char *name, bool is_dir, struct err *err)
{
    struct wal_dir *d = arg;
    struct wal_entry entry = {0};
    struct wal_entries *list;

    if (is_dir)
        return ST_OK;
    if (wal_name_parse(name, "wal", &entry.number))
        list = &d->files;
    else if (wal_name_parse(name, "spare", &entry.number))
        list = &d->spares;
    else if (wal_name_parse(name, "tmp", &entry.number))
        list = &d->temps;
    else
        return ST_OK;
    if (!wal_entries_reserve(list, 1))
        return err_set(err, ST_NOMEM, "list of log files");
    wal_entries_add(list, entry);
    return ST_OK;
}

static int by_number(const void *a, const void *b)
{
    const struct wal_entry *x = a;
    const struct wal_entry *y = b;

    return (x->number > y->number) - (x->number < y->number);
}

static status read_head(struct fs *fs, const char *dir, const uint8_t log_id[16],
                        struct wal_entry *e, struct err *err)
{
    struct wal_reader r;
    status st = wal_reader_open(&r, fs, dir, e->number, err);

    e->bytes = r.file_bytes;
    if (st == ST_CORRUPT) {
        e->bad = true;
        st = ST_OK;
    } else if (st == ST_OK && memcmp(r.head.log_id, log_id, sizeof(r.head.log_id)) != 0) {
        st = err_set(err, ST_CORRUPT, "log file %016" PRIx64 ".wal belongs to another log",
                     e->number);
    } else if (st == ST_OK) {
        e->first_lsn = r.head.first_lsn;
        e->durable_lsn = r.head.durable_lsn;
        e->flags = r.head.flags;
    }
    wal_reader_close(&r);
    return st;
}

static status spare_size(struct fs *fs, const char *dir, struct wal_entry *e, struct err *err)
{
    char name[WAL_NAME_BYTES];
    char path[FS_PATH_BYTES];
    struct fs_stat found;
    status st;

    wal_name_format(name, e->number, "spare");
    st = fs_join(path, dir, name, err);
    if (st == ST_OK)
        st = fs_stat(fs, path, &found, err);
    if (st == ST_OK)
        e->bytes = found.bytes;
    return st;
}

status wal_dir_read(struct fs *fs, const char *dir, const uint8_t log_id[16], struct wal_dir *out,
                    struct err *err)
{
    struct wal_dir d = {0};
    status st = fs_list(fs, dir, list_one, &d, err);

    if (d.files.count > 1)
        qsort(d.files.at, d.files.count, sizeof(d.files.at[0]), by_number);
    for (size_t i = 0; st == ST_OK && i < d.files.count; i++)
        st = read_head(fs, dir, log_id, &d.files.at[i], err);
    for (size_t i = 0; st == ST_OK && i < d.spares.count; i++)
        st = spare_size(fs, dir, &d.spares.at[i], err);
    if (st != ST_OK) {
        wal_dir_free(&d);
        return st;
    }
    *out = d;
    return ST_OK;
}

void wal_dir_free(struct wal_dir *d)
{
    mem_free(d->files.at);
    mem_free(d->spares.at);
    mem_free(d->temps.at);
    memset(d, 0, sizeof(*d));
}

status wal_dir_drop(struct fs *fs, const char *dir, uint64_t number, bool to_spare, struct err *err)
{
    char name[WAL_NAME_BYTES];
    char path[FS_PATH_BYTES];
    char spare[FS_PATH_BYTES];
    status st;

    wal_name_format(name, number, "wal");
    st = fs_join(path, dir, name, err);
    if (st != ST_OK)
        return st;
    wal_name_format(name, number, "spare");
    st = fs_join(spare, dir, name, err);
    if (st != ST_OK)
        return st;
    st = to_spare ? fs_rename(fs, path, spare, err) : fs_unlink(fs, path, err);
    if (st == ST_OK)
        st = fs_sync_dir(fs, dir, err);
    return st;
}
