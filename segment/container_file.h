/* container_file.h - a container in a file: a sink that writes it and a source that reads it.
 *
 * Threads    one.
 * Ownership  the file is closed by _close(); the struct is the caller's memory and stays where it
 * is while a container uses it. Failure    errors name the path. A file that was not finished means
 * nothing; its owner removes it. */
#ifndef SEGMENT_CONTAINER_FILE_H
#define SEGMENT_CONTAINER_FILE_H

#include "base/fs.h"
#include "segment/container.h"

/* Not many more bytes than this wait for the disk at any time: it is synced whenever there are so
 * many. Where a cgroup has no memory left, pages that are being written cannot be taken back. */
enum { CONTAINER_FILE_UNSYNCED_MAX = 4 * 1024 * 1024 };
struct container_file_sink {
    struct container_sink sink; /* pass &f->sink */
    struct fs *fs;              /* borrowed */
    struct fs_file *file;
    uint64_t offset;
    uint64_t synced; /* up to here */
};
/* Makes the file, or empties what is there. */
NODISCARD
status container_file_create(struct fs *fs, const char *path, struct container_file_sink *out,
                             struct err *err);
/* The bytes are safe after this; the name is not (fs_sync_dir). */
NODISCARD
status container_file_sync(struct container_file_sink *f, struct err *err);
void container_file_sink_close(struct container_file_sink *f); /* fine on a zeroed one */

struct container_file_source {
    struct container_source source; /* pass &f->source */
    struct fs *fs;                  /* borrowed */
    struct fs_file *file;
};
NODISCARD
status container_file_open(struct fs *fs, const char *path, struct container_file_source *out,
                           struct err *err);
void container_file_source_close(struct container_file_source *f); /* fine on a zeroed one */

#endif
