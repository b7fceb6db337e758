/* The operating system's files. EINTR is met here, short reads and writes are made whole here. */
#include "base/fs.h"

#include "base/mem.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

enum {
    DIR_MODE = 0750,
    FILE_MODE = 0640,
    ZEROS_BYTES = 64 * 1024,
};

struct real_file {
    int fd;
    char path[]; /* for error texts */
};

static struct real_file *real_of(struct fs_file *file)
{
    return (struct real_file *)(void *)file;
}

static int open_flags(unsigned flags)
{
    int os = O_CLOEXEC;

    if ((flags & FS_WRITE) != 0)
        os |= (flags & FS_READ) != 0 ? O_RDWR : O_WRONLY;
    if ((flags & FS_CREATE) != 0)
        os |= O_CREAT;
    if ((flags & FS_EXCLUSIVE) != 0)
        os |= O_EXCL;
    if ((flags & FS_TRUNCATE) != 0)
        os |= O_TRUNC;
    if ((flags & FS_NO_FOLLOW) != 0)
        os |= O_NOFOLLOW;
    return os;
}

static status real_open(struct fs *fs, const char *path, unsigned flags, struct fs_file **out,
                        struct err *err)
{
    size_t path_bytes = strlen(path) + 1;
    struct real_file *file = mem_alloc(sizeof *file + path_bytes);

    (void)fs;
    if (file == NULL)
        return err_set(err, ST_NOMEM, "open %s: out of memory", path);
    memcpy(file->path, path, path_bytes);
    do
        file->fd = open(path, open_flags(flags), FILE_MODE);
    while (file->fd < 0 && errno == EINTR);
    if (file->fd < 0) {
        status st = errno == ELOOP && (flags & FS_NO_FOLLOW) != 0
                        ? err_set(err, ST_INVALID, "open %s: it is a symbolic link", path)
                        : err_set_errno(err, errno, "open %s", path);

        mem_free(file);
        return st;
    }
    *out = (struct fs_file *)(void *)file;
    return ST_OK;
}

/* close() is not repeated on EINTR: on Linux the descriptor is gone either way. */
static void real_close(struct fs *fs, struct fs_file *handle)
{
    struct real_file *file = real_of(handle);

    (void)fs;
    (void)close(file->fd);
    mem_free(file);
}

static bool range_fits(size_t bytes, uint64_t offset)
{
    return offset <= INT64_MAX && bytes <= (uint64_t)INT64_MAX - offset;
}

static status real_pread(struct fs *fs, struct fs_file *handle, void *out, size_t bytes,
                         uint64_t offset, size_t *done, struct err *err)
{
    struct real_file *file = real_of(handle);
    size_t got = 0;

    (void)fs;
    if (!range_fits(bytes, offset))
        return err_set(err, ST_INVALID, "read %s: offset out of range", file->path);
    while (got < bytes) {
        ssize_t n = pread(file->fd, (uint8_t *)out + got, bytes - got, (off_t)(offset + got));

        if (n == 0)
            break;
        if (n > 0)
            got += (size_t)n;
        else if (errno != EINTR)
            return err_set_errno(err, errno, "read %s", file->path);
    }
    *done = got;
    return ST_OK;
}

static status real_pwrite(struct fs *fs, struct fs_file *handle, const void *data, size_t bytes,
                          uint64_t offset, struct err *err)
{
    struct real_file *file = real_of(handle);
    size_t put = 0;

    (void)fs;
    if (!range_fits(bytes, offset))
        return err_set(err, ST_INVALID, "write %s: offset out of range", file->path);
    while (put < bytes) {
        ssize_t n =
            pwrite(file->fd, (const uint8_t *)data + put, bytes - put, (off_t)(offset + put));

        if (n > 0)
            put += (size_t)n;
        else if (n == 0)
            return err_set_errno(err, EIO, "write %s: nothing was taken", file->path);
        else if (errno != EINTR)
            return err_set_errno(err, errno, "write %s", file->path);
    }
    return ST_OK;
}

/* EINTR comes before the kernel has reported anything about the pages, so it alone is repeated; any
 * other failure of a sync is final for the caller. */
static status real_sync(struct fs *fs, struct fs_file *handle, struct err *err)
{
    struct real_file *file = real_of(handle);

    (void)fs;
    while (fdatasync(file->fd) != 0)
        if (errno != EINTR)
            return err_set_errno(err, errno, "sync %s", file->path);
    return ST_OK;
}

static status real_truncate(struct fs *fs, struct fs_file *handle, uint64_t bytes, struct err *err)
{
    struct real_file *file = real_of(handle);

    (void)fs;
    if (bytes > INT64_MAX)
        return err_set(err, ST_INVALID, "truncate %s: size out of range", file->path);
    while (ftruncate(file->fd, (off_t)bytes) != 0)
        if (errno != EINTR)
            return err_set_errno(err, errno, "truncate %s", file->path);
    return ST_OK;
}

static status real_size(struct fs *fs, struct fs_file *handle, uint64_t *bytes, struct err *err)
{
    struct real_file *file = real_of(handle);
    struct stat found;

    (void)fs;
    if (fstat(file->fd, &found) != 0)
        return err_set_errno(err, errno, "size of %s", file->path);
    *bytes = (uint64_t)found.st_size;
    return ST_OK;
}

/* For file systems without fallocate: zeros from the end of the file on. What lies before the end
 * is taken as it is, so a file grown by truncate keeps its holes. */
static status write_zeros(struct fs *fs, struct fs_file *handle, uint64_t bytes, struct err *err)
{
    static const uint8_t zeros[ZEROS_BYTES];
    uint64_t at = 0;
    status st = real_size(fs, handle, &at, err);

    while (st == ST_OK && at < bytes) {
        size_t n = bytes - at < sizeof zeros ? (size_t)(bytes - at) : sizeof zeros;

        st = real_pwrite(fs, handle, zeros, n, at, err);
        at += n;
    }
    return st;
}

static status real_allocate(struct fs *fs, struct fs_file *handle, uint64_t bytes, struct err *err)
{
    struct real_file *file = real_of(handle);

    if (bytes > INT64_MAX)
        return err_set(err, ST_INVALID, "allocate %s: size out of range", file->path);
    if (bytes == 0)
        return ST_OK;
    while (fallocate(file->fd, 0, 0, (off_t)bytes) != 0) {
        if (errno == EOPNOTSUPP || errno == ENOSYS)
            return write_zeros(fs, handle, bytes, err);
        if (errno != EINTR)
            return err_set_errno(err, errno, "allocate %llu bytes for %s",
                                 (unsigned long long)bytes, file->path);
    }
    return ST_OK;
}

static status real_rename(struct fs *fs, const char *from, const char *to, struct err *err)
{
    (void)fs;
    if (rename(from, to) != 0)
        return err_set_errno(err, errno, "rename %s to %s", from, to);
    return ST_OK;
}

static status real_unlink(struct fs *fs, const char *path, struct err *err)
{
    (void)fs;
    if (unlink(path) != 0)
        return err_set_errno(err, errno, "remove %s", path);
    return ST_OK;
}

static status real_stat(struct fs *fs, const char *path, struct fs_stat *out, struct err *err)
{
    struct stat found;

    (void)fs;
    if (stat(path, &found) != 0)
        return err_set_errno(err, errno, "look at %s", path);
    out->bytes = (uint64_t)found.st_size;
    out->is_dir = S_ISDIR(found.st_mode);
    return ST_OK;
}

static status real_mkdir(struct fs *fs, const char *path, struct err *err)
{
    struct fs_stat found;

    if (mkdir(path, DIR_MODE) == 0)
        return ST_OK;
    if (errno == EEXIST && real_stat(fs, path, &found, NULL) == ST_OK && found.is_dir)
        return ST_OK;
    return err_set_errno(err, errno, "make folder %s", path);
}

static status real_rmdir(struct fs *fs, const char *path, struct err *err)
{
    (void)fs;
    if (rmdir(path) != 0)
        return err_set_errno(err, errno, "remove folder %s", path);
    return ST_OK;
}

/* A link to a folder counts as a file: what removes a tree must not walk out of it. */
static bool entry_is_dir(DIR *dir, const struct dirent *entry)
{
    struct stat found;

    if (entry->d_type != DT_UNKNOWN)
        return entry->d_type == DT_DIR;
    return fstatat(dirfd(dir), entry->d_name, &found, AT_SYMLINK_NOFOLLOW) == 0 &&
           S_ISDIR(found.st_mode);
}

static status real_list(struct fs *fs, const char *path, fs_list_fn *fn, void *arg, struct err *err)
{
    DIR *dir = opendir(path);
    status st = ST_OK;

    (void)fs;
    if (dir == NULL)
        return err_set_errno(err, errno, "list folder %s", path);
    while (st == ST_OK) {
        const struct dirent *entry;

        errno = 0;
        entry = readdir(dir);
        if (entry == NULL) {
            if (errno != 0)
                st = err_set_errno(err, errno, "list folder %s", path);
            break;
        }
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        st = fn(arg, entry->d_name, entry_is_dir(dir, entry), err);
    }
    (void)closedir(dir);
    return st;
}

static status real_sync_dir(struct fs *fs, const char *path, struct err *err)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int failed = 0;

    (void)fs;
    if (fd < 0)
        return err_set_errno(err, errno, "open folder %s", path);
    while (fsync(fd) != 0)
        if (errno != EINTR) {
            failed = errno;
            break;
        }
    (void)close(fd);
    /* EINVAL: this file system knows no sync of folders; there is nothing more one could do. */
    if (failed != 0 && failed != EINVAL)
        return err_set_errno(err, failed, "sync folder %s", path);
    return ST_OK;
}

static status real_space(struct fs *fs, const char *path, struct fs_space *out, struct err *err)
{
    struct statvfs found;

    (void)fs;
    if (statvfs(path, &found) != 0)
        return err_set_errno(err, errno, "free space at %s", path);
    out->bytes_total = (uint64_t)found.f_blocks * found.f_frsize;
    out->bytes_free = (uint64_t)found.f_bavail * found.f_frsize;
    return ST_OK;
}

/* An open file description's lock: unlike the older kind it is not dropped when some other
 * descriptor of the same file is closed, and two opens in one process exclude each other too. */
static status real_lock(struct fs *fs, struct fs_file *handle, struct err *err)
{
    struct real_file *file = real_of(handle);
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

    (void)fs;
    if (fcntl(file->fd, F_OFD_SETLK, &whole) == 0)
        return ST_OK;
    if (errno == EAGAIN || errno == EACCES)
        return err_set(err, ST_CONFLICT, "%s is locked by another process", file->path);
    return err_set_errno(err, errno, "lock %s", file->path);
}

struct fs *fs_real(void)
{
    static struct fs real = {
        .open = real_open,
        .close = real_close,
        .pread = real_pread,
        .pwrite = real_pwrite,
        .sync = real_sync,
        .truncate = real_truncate,
        .allocate = real_allocate,
        .size = real_size,
        .rename = real_rename,
        .unlink = real_unlink,
        .mkdir = real_mkdir,
        .rmdir = real_rmdir,
        .list = real_list,
        .stat = real_stat,
        .sync_dir = real_sync_dir,
        .space = real_space,
        .lock = real_lock,
    };

    return &real;
}
