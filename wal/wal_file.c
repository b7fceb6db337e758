#include "wal/wal_internal.h"

#include "base/log.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>

enum { GRAIN_BYTES = 4096 }; /* the smallest step a file grows by when the disk is nearly full */

static status path_of(char path[FS_PATH_BYTES], const char *dir, uint64_t number,
                      const char *suffix, struct err *err)
{
    char name[WAL_NAME_BYTES];

    wal_name_format(name, number, suffix);
    return fs_join(path, dir, name, err);
}

void wal_unlink_tidily(struct fs *fs, const char *path)
{
    struct err err;
    status st = fs_unlink(fs, path, &err);

    if (st != ST_OK && st != ST_NOT_FOUND)
        log_debug("log file left lying", "err=%s", err.text);
}

bool wal_file_fits(const struct wal_file *f, uint64_t bytes)
{
    return f->used + bytes + WAL_END_MARK_BYTES <= f->sizes.max;
}

bool wal_file_is_empty(const struct wal_file *f)
{
    return f->used == WAL_HEAD_BYTES;
}

/* The size to grow to: doubled until it is enough; a record larger than a file gets just its size.
 */
static uint64_t next_size(const struct wal_sizes *sizes, uint64_t now, uint64_t need)
{
    uint64_t size = now < sizes->first ? sizes->first : now;

    if (need > sizes->max)
        return (need + GRAIN_BYTES - 1) / GRAIN_BYTES * GRAIN_BYTES;
    while (size < need)
        size *= 2;
    return size < sizes->max ? size : sizes->max;
}

status wal_file_room(struct fs *fs, struct wal_file *f, uint64_t bytes, struct err *err)
{
    uint64_t need = f->used + bytes + WAL_END_MARK_BYTES;
    uint64_t size;
    status st;

    if (need <= f->allocated)
        return ST_OK;
    size = next_size(&f->sizes, f->allocated, need);
    st = fs_allocate(fs, f->file, size, err);
    if (st == ST_NOSPACE) { /* the last bytes of a full disk are worth having */
        size = (need + GRAIN_BYTES - 1) / GRAIN_BYTES * GRAIN_BYTES;
        st = fs_allocate(fs, f->file, size, err);
    }
    if (st == ST_OK)
        f->allocated = size;
    return st;
}

/* Header and end mark in one write: behind them a spare still has its former records. */
static status write_head(struct fs *fs, struct wal_file *f, struct err *err)
{
    uint8_t bytes[WAL_HEAD_BYTES + WAL_END_MARK_BYTES] = {0};

    wal_head_encode(&f->head, bytes);
    return fs_pwrite(fs, f->file, bytes, sizeof(bytes), 0, err);
}

static status prepare(const struct wal_make *make, const char *path, struct wal_file *f,
                      struct err *err)
{
    unsigned flags = FS_READ | FS_WRITE;
    status st;

    if (make->spare == NULL)
        flags |= FS_CREATE | FS_TRUNCATE;
    st = fs_open(make->fs, path, flags, &f->file, err);
    if (st != ST_OK)
        return st;
    st = fs_size(make->fs, f->file, &f->allocated, err);
    if (st == ST_OK)
        st = wal_file_room(make->fs, f, make->room_bytes, err);
    if (st == ST_OK)
        st = write_head(make->fs, f, err);
    if (st == ST_OK && make->fill != NULL)
        st = make->fill(make->fill_arg, f, err);
    if (st == ST_OK)
        st = fs_sync(make->fs, f->file, err);
    return st;
}

status wal_file_make(const struct wal_make *make, struct wal_file *out, bool *named,
                     struct err *err)
{
    struct wal_file f = {.sizes = make->sizes, .head = make->head, .used = WAL_HEAD_BYTES};
    char from[FS_PATH_BYTES];
    char to[FS_PATH_BYTES];
    status st;

    *named = false;
    f.seed = wal_head_seed(&f.head);
    st = path_of(to, make->dir, f.head.number, "wal", err);
    if (st == ST_OK && make->spare != NULL)
        st = path_of(from, make->dir, *make->spare, "spare", err);
    else if (st == ST_OK)
        st = path_of(from, make->dir, f.head.number, "tmp", err);
    if (st != ST_OK)
        return st;

    st = prepare(make, from, &f, err);
    if (st == ST_OK) {
        *named = true;
        st = fs_rename(make->fs, from, to, err);
        if (st == ST_OK)
            st = fs_sync_dir(make->fs, make->dir, err);
    }
    if (st != ST_OK) {
        wal_file_close(make->fs, &f);
        /* Tidy, not safe: whether the name is gone from the disk nobody knows. */
        wal_unlink_tidily(make->fs, from);
        if (*named)
            wal_unlink_tidily(make->fs, to);
        return err_wrap(err, st, "make log file %s", to);
    }
    *out = f;
    return ST_OK;
}

status wal_file_reopen(struct fs *fs, const char *dir, struct wal_file *f, struct err *err)
{
    char path[FS_PATH_BYTES];
    status st;

    assert(f->file == NULL);
    st = path_of(path, dir, f->head.number, "wal", err);
    if (st == ST_OK)
        st = fs_open(fs, path, FS_READ | FS_WRITE, &f->file, err);
    return st;
}

status wal_file_write(struct fs *fs, struct wal_file *f, uint8_t *data, size_t bytes,
                      struct err *err)
{
    uint8_t lent[WAL_END_MARK_BYTES];
    status st;

    memcpy(lent, data + bytes, sizeof(lent));
    memset(data + bytes, 0, sizeof(lent));
    st = fs_pwrite(fs, f->file, data, bytes + sizeof(lent), f->used, err);
    memcpy(data + bytes, lent, sizeof(lent));
    if (st == ST_OK)
        f->used += bytes;
    return st;
}

status wal_file_write_marker(struct fs *fs, struct wal_file *f, uint64_t last_lsn,
                             uint64_t durable_lsn, struct err *err)
{
    struct wal_rec rec = {.lsn = last_lsn, .durable_lsn = durable_lsn, .kind = WAL_KIND_MARKER};
    uint8_t frame[WAL_REC_HEADER_BYTES];

    wal_rec_seal(frame, f->seed, f->used, &rec);
    return fs_pwrite(fs, f->file, frame, sizeof(frame), f->used, err);
}

void wal_file_close(struct fs *fs, struct wal_file *f)
{
    fs_close(fs, f->file);
    f->file = NULL;
}
