/* fs.h - files as a table of functions, so that a test can stand behind them: full disks, failing
 * syncs, and a file system that forgets what was not synced (tests/support/fs_sim.h).
 *
 * Durability is what POSIX promises and no more: bytes are safe after fs_sync() of their file; a
 * name (create, rename, unlink) is safe after fs_sync_dir() of its directory.
 *
 * Threads    any; one file handle may be used by several threads with explicit offsets.
 * Failure    an errno becomes a status here (base/status.h, err_set_errno); the path is in the
 * text. */
#ifndef BASE_FS_H
#define BASE_FS_H

#include "base/bytes.h"

struct fs;
struct fs_file; /* owned by who opened it; fs_close() frees it */

enum fs_open_flags {
    FS_READ = 1,
    FS_WRITE = 2,
    FS_CREATE = 4,    /* with FS_WRITE: make it if absent */
    FS_EXCLUSIVE = 8, /* with FS_CREATE: ST_EXISTS if present */
    FS_TRUNCATE = 16,
    FS_NO_FOLLOW = 32, /* ST_INVALID if the last part of the path is a symbolic link */
};

struct fs_stat {
    uint64_t bytes;
    bool is_dir;
};

struct fs_space {
    uint64_t bytes_total;
    uint64_t bytes_free; /* for this user */
};

/* Called for each entry but "." and ".."; a status other than ST_OK stops and is returned. */
typedef status fs_list_fn(void *arg, const char *name, bool is_dir, struct err *err);

struct fs {
    status (*open)(struct fs *fs, const char *path, unsigned flags, struct fs_file **out,
                   struct err *err);
    void (*close)(struct fs *fs, struct fs_file *file);
    /* Reads up to `bytes`; *done < bytes at the end of the file only. */
    status (*pread)(struct fs *fs, struct fs_file *file, void *out, size_t bytes, uint64_t offset,
                    size_t *done, struct err *err);
    /* Writes all of it or fails; after a failure any part may have been written. */
    status (*pwrite)(struct fs *fs, struct fs_file *file, const void *data, size_t bytes,
                     uint64_t offset, struct err *err);
    /* fdatasync: contents and size. After a failure the kernel may have dropped the pages. */
    status (*sync)(struct fs *fs, struct fs_file *file, struct err *err);
    status (*truncate)(struct fs *fs, struct fs_file *file, uint64_t bytes, struct err *err);
    /* Room for [0, bytes) on the device; ST_NOSPACE if there is none. The size grows to `bytes`. */
    status (*allocate)(struct fs *fs, struct fs_file *file, uint64_t bytes, struct err *err);
    status (*size)(struct fs *fs, struct fs_file *file, uint64_t *bytes, struct err *err);
    status (*rename)(struct fs *fs, const char *from, const char *to, struct err *err);
    status (*unlink)(struct fs *fs, const char *path, struct err *err);
    status (*mkdir)(struct fs *fs, const char *path, struct err *err); /* ST_OK if it is there */
    status (*rmdir)(struct fs *fs, const char *path, struct err *err);
    status (*list)(struct fs *fs, const char *path, fs_list_fn *fn, void *arg, struct err *err);
    status (*stat)(struct fs *fs, const char *path, struct fs_stat *out, struct err *err);
    status (*sync_dir)(struct fs *fs, const char *path, struct err *err);
    status (*space)(struct fs *fs, const char *path, struct fs_space *out, struct err *err);
    /* Advisory lock on an open file, gone with the process; ST_CONFLICT if another process has it.
     */
    status (*lock)(struct fs *fs, struct fs_file *file, struct err *err);
};

struct fs *fs_real(void); /* static, never freed */

/* Thin calls through the table: fs_open(fs, ...) and so on. */
NODISCARD
status fs_open(struct fs *fs, const char *path, unsigned flags, struct fs_file **out,
               struct err *err);
void fs_close(struct fs *fs, struct fs_file *file); /* accepts NULL */
NODISCARD
status fs_pread(struct fs *fs, struct fs_file *file, void *out, size_t bytes, uint64_t offset,
                size_t *done, struct err *err);
/* Exactly `bytes`, else ST_CORRUPT "file shorter than expected". */
NODISCARD
status fs_pread_full(struct fs *fs, struct fs_file *file, void *out, size_t bytes, uint64_t offset,
                     struct err *err);
NODISCARD
status fs_pwrite(struct fs *fs, struct fs_file *file, const void *data, size_t bytes,
                 uint64_t offset, struct err *err);
NODISCARD
status fs_sync(struct fs *fs, struct fs_file *file, struct err *err);
NODISCARD
status fs_truncate(struct fs *fs, struct fs_file *file, uint64_t bytes, struct err *err);
NODISCARD
status fs_allocate(struct fs *fs, struct fs_file *file, uint64_t bytes, struct err *err);
NODISCARD
status fs_size(struct fs *fs, struct fs_file *file, uint64_t *bytes, struct err *err);
NODISCARD
status fs_rename(struct fs *fs, const char *from, const char *to, struct err *err);
NODISCARD
status fs_unlink(struct fs *fs, const char *path, struct err *err);
NODISCARD
status fs_mkdir(struct fs *fs, const char *path, struct err *err);
NODISCARD
status fs_rmdir(struct fs *fs, const char *path, struct err *err);
NODISCARD
status fs_list(struct fs *fs, const char *path, fs_list_fn *fn, void *arg, struct err *err);
NODISCARD
status fs_stat(struct fs *fs, const char *path, struct fs_stat *out, struct err *err);
NODISCARD
status fs_sync_dir(struct fs *fs, const char *path, struct err *err);
NODISCARD
status fs_space(struct fs *fs, const char *path, struct fs_space *out, struct err *err);
NODISCARD
status fs_lock(struct fs *fs, struct fs_file *file, struct err *err);

/* Built on the table. */
/* Each missing folder of path, parents' directories synced. */
NODISCARD
status fs_mkdir_all(struct fs *fs, const char *path, struct err *err);
/* Syncs every folder above path. A process that died may have made path without making its name
 * durable; for the next one it is simply there. So this comes before the first file that matters is
 * put into a folder that was found. What may not be opened was not made by us and is passed over.
 */
NODISCARD
status fs_sync_above(struct fs *fs, const char *path, struct err *err);
/* The whole file into out (which is initialised with its bound); ST_INVALID text if larger. */
NODISCARD
status fs_read_file(struct fs *fs, const char *path, size_t bytes_max, struct buf *out,
                    struct err *err);
/* Files appear whole: <path>.tmp, fsync, rename, fsync of the directory. */
NODISCARD
status fs_write_file(struct fs *fs, const char *path, struct slice bytes, struct err *err);
/* The folder and all below it; ST_OK if absent. Syncs the parent. */
NODISCARD
status fs_remove_all(struct fs *fs, const char *path, struct err *err);
/* "a/b" in out, PATH bytes at most; ST_INVALID when too long. */
enum { FS_PATH_BYTES = 1024 };
NODISCARD
status fs_join(char out[FS_PATH_BYTES], const char *dir, const char *name, struct err *err);

#endif
