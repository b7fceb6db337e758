/* The calls through the table, and what is built on it for every file system alike. */
#include "base/fs.h"

#include <stdio.h>

status fs_open(struct fs *fs, const char *path, unsigned flags, struct fs_file **out,
               struct err *err)
{
    return fs->open(fs, path, flags, out, err);
}

void fs_close(struct fs *fs, struct fs_file *file)
{
    if (file != NULL)
        fs->close(fs, file);
}

status fs_pread(struct fs *fs, struct fs_file *file, void *out, size_t bytes, uint64_t offset,
                size_t *done, struct err *err)
{
    return fs->pread(fs, file, out, bytes, offset, done, err);
}

status fs_pread_full(struct fs *fs, struct fs_file *file, void *out, size_t bytes, uint64_t offset,
                     struct err *err)
{
    size_t done = 0;
    status st = fs->pread(fs, file, out, bytes, offset, &done, err);

    if (st == ST_OK && done < bytes)
        return err_set(err, ST_CORRUPT,
                       "file shorter than expected: offset=%llu wanted=%zu found=%zu",
                       (unsigned long long)offset, bytes, done);
    return st;
}

status fs_pwrite(struct fs *fs, struct fs_file *file, const void *data, size_t bytes,
                 uint64_t offset, struct err *err)
{
    return fs->pwrite(fs, file, data, bytes, offset, err);
}

status fs_sync(struct fs *fs, struct fs_file *file, struct err *err)
{
    return fs->sync(fs, file, err);
}

status fs_truncate(struct fs *fs, struct fs_file *file, uint64_t bytes, struct err *err)
{
    return fs->truncate(fs, file, bytes, err);
}

status fs_allocate(struct fs *fs, struct fs_file *file, uint64_t bytes, struct err *err)
{
    return fs->allocate(fs, file, bytes, err);
}

status fs_size(struct fs *fs, struct fs_file *file, uint64_t *bytes, struct err *err)
{
    return fs->size(fs, file, bytes, err);
}

status fs_rename(struct fs *fs, const char *from, const char *to, struct err *err)
{
    return fs->rename(fs, from, to, err);
}

status fs_unlink(struct fs *fs, const char *path, struct err *err)
{
    return fs->unlink(fs, path, err);
}

status fs_mkdir(struct fs *fs, const char *path, struct err *err)
{
    return fs->mkdir(fs, path, err);
}

status fs_rmdir(struct fs *fs, const char *path, struct err *err)
{
    return fs->rmdir(fs, path, err);
}

status fs_list(struct fs *fs, const char *path, fs_list_fn *fn, void *arg, struct err *err)
{
    return fs->list(fs, path, fn, arg, err);
}

status fs_stat(struct fs *fs, const char *path, struct fs_stat *out, struct err *err)
{
    return fs->stat(fs, path, out, err);
}

status fs_sync_dir(struct fs *fs, const char *path, struct err *err)
{
    return fs->sync_dir(fs, path, err);
}

status fs_space(struct fs *fs, const char *path, struct fs_space *out, struct err *err)
{
    return fs->space(fs, path, out, err);
}

status fs_lock(struct fs *fs, struct fs_file *file, struct err *err)
{
    return fs->lock(fs, file, err);
}

status fs_join(char out[FS_PATH_BYTES], const char *dir, const char *name, struct err *err)
{
    size_t dir_bytes = strlen(dir);
    const char *between = dir_bytes == 0 || dir[dir_bytes - 1] == '/' ? "" : "/";
    int n = snprintf(out, FS_PATH_BYTES, "%s%s%s", dir, between, name);

    if (n < 0 || n >= FS_PATH_BYTES)
        return err_set(err, ST_INVALID, "path longer than %d bytes: %.40s.../%.40s",
                       FS_PATH_BYTES - 1, dir, name);
    return ST_OK;
}

/* The folder a path's last name stands in: "a/b" -> "a", "/a" -> "/", "a" -> ".". */
static status parent_of(char out[FS_PATH_BYTES], const char *path, struct err *err)
{
    size_t bytes = strlen(path);

    while (bytes > 1 && path[bytes - 1] == '/')
        bytes--;
    while (bytes > 0 && path[bytes - 1] != '/')
        bytes--;
    while (bytes > 1 && path[bytes - 1] == '/')
        bytes--;
    if (bytes >= FS_PATH_BYTES)
        return err_set(err, ST_INVALID, "path longer than %d bytes: %.60s...", FS_PATH_BYTES - 1,
                       path);
    if (bytes == 0) {
        memcpy(out, ".", 2);
        return ST_OK;
    }
    memcpy(out, path, bytes);
    out[bytes] = '\0';
    return ST_OK;
}

static status sync_parent(struct fs *fs, const char *path, struct err *err)
{
    char parent[FS_PATH_BYTES];
    status st = parent_of(parent, path, err);

    return st != ST_OK ? st : fs->sync_dir(fs, parent, err);
}

status fs_sync_above(struct fs *fs, const char *path, struct err *err)
{
    char at[FS_PATH_BYTES];
    char above[FS_PATH_BYTES];
    status st = parent_of(at, path, err);

    while (st == ST_OK) {
        st = fs->sync_dir(fs, at, err);
        if (st == ST_DENIED)
            st = ST_OK;
        if (st != ST_OK || strcmp(at, "/") == 0 || strcmp(at, ".") == 0)
            break;
        st = parent_of(above, at, err);
        if (st == ST_OK)
            memcpy(at, above, sizeof at);
    }
    return st;
}

static status mkdir_one(struct fs *fs, const char *path, struct err *err)
{
    struct fs_stat found;
    status st = fs->stat(fs, path, &found, NULL);

    if (st == ST_OK && found.is_dir)
        return ST_OK;
    if (st == ST_OK)
        return err_set(err, ST_EXISTS, "%s is a file, a folder is needed", path);
    st = fs->mkdir(fs, path, err);
    return st != ST_OK ? st : sync_parent(fs, path, err);
}

status fs_mkdir_all(struct fs *fs, const char *path, struct err *err)
{
    char at[FS_PATH_BYTES];
    size_t bytes = strlen(path);

    if (bytes == 0)
        return err_set(err, ST_INVALID, "make folder: the path is empty");
    if (bytes >= sizeof at)
        return err_set(err, ST_INVALID, "path longer than %d bytes: %.60s...", FS_PATH_BYTES - 1,
                       path);
    memcpy(at, path, bytes + 1);
    for (size_t i = 1; i <= bytes; i++) {
        status st;

        if ((at[i] != '/' && at[i] != '\0') || at[i - 1] == '/')
            continue;
        at[i] = '\0';
        st = mkdir_one(fs, at, err);
        if (st != ST_OK)
            return st;
        at[i] = path[i];
    }
    return ST_OK;
}

static status read_into(struct fs *fs, struct fs_file *file, const char *path, size_t bytes_max,
                        struct buf *out, struct err *err)
{
    uint64_t bytes = 0;
    size_t done = 0;
    status st = fs->size(fs, file, &bytes, err);

    if (st != ST_OK)
        return st;
    if (bytes > bytes_max)
        return err_set(err, ST_INVALID, "%s has %llu bytes, at most %zu are read", path,
                       (unsigned long long)bytes, bytes_max);
    if (!buf_reserve(out, (size_t)bytes))
        return buf_status(out, err);
    st = fs->pread(fs, file, out->data + out->bytes, (size_t)bytes, 0, &done, err);
    if (st == ST_OK)
        out->bytes += done;
    return st;
}

status fs_read_file(struct fs *fs, const char *path, size_t bytes_max, struct buf *out,
                    struct err *err)
{
    struct fs_file *file = NULL;
    status st = fs->open(fs, path, FS_READ, &file, err);

    if (st != ST_OK)
        return st;
    st = read_into(fs, file, path, bytes_max, out, err);
    fs_close(fs, file);
    return st;
}

static status write_and_sync(struct fs *fs, const char *path, struct slice bytes, struct err *err)
{
    struct fs_file *file = NULL;
    status st = fs->open(fs, path, FS_WRITE | FS_CREATE | FS_TRUNCATE, &file, err);

    if (st != ST_OK)
        return st;
    st = fs->pwrite(fs, file, bytes.data, bytes.bytes, 0, err);
    if (st == ST_OK)
        st = fs->sync(fs, file, err);
    fs_close(fs, file);
    return st;
}

status fs_write_file(struct fs *fs, const char *path, struct slice bytes, struct err *err)
{
    char temporary[FS_PATH_BYTES];
    int n = snprintf(temporary, sizeof temporary, "%s.tmp", path);
    status st;

    if (n < 0 || n >= (int)sizeof temporary)
        return err_set(err, ST_INVALID, "path longer than %d bytes: %.60s...", FS_PATH_BYTES - 5,
                       path);
    st = write_and_sync(fs, temporary, bytes, err);
    if (st == ST_OK)
        st = fs->rename(fs, temporary, path, err);
    if (st != ST_OK) {
        (void)fs->unlink(fs, temporary, NULL); /* what is left over is overwritten next time */
        return st;
    }
    return sync_parent(fs, path, err);
}

struct removal {
    struct fs *fs;
    const char *dir;
};

static status remove_tree(struct fs *fs, const char *path, struct err *err);

static status remove_entry(void *arg, const char *name, bool is_dir, struct err *err)
{
    const struct removal *removal = arg;
    char path[FS_PATH_BYTES];
    status st = fs_join(path, removal->dir, name, err);

    if (st != ST_OK)
        return st;
    return is_dir ? remove_tree(removal->fs, path, err)
                  : removal->fs->unlink(removal->fs, path, err);
}

/* As deep as FS_PATH_BYTES lets a path be. */
static status remove_tree(struct fs *fs, const char *path, struct err *err)
{
    struct removal removal = {fs, path};
    status st = fs->list(fs, path, remove_entry, &removal, err);

    return st != ST_OK ? st : fs->rmdir(fs, path, err);
}

status fs_remove_all(struct fs *fs, const char *path, struct err *err)
{
    struct fs_stat found;
    status st = fs->stat(fs, path, &found, err);

    if (st == ST_NOT_FOUND)
        return ST_OK;
    if (st == ST_OK)
        st = found.is_dir ? remove_tree(fs, path, err) : fs->unlink(fs, path, err);
    return st != ST_OK ? st : sync_parent(fs, path, err);
}
