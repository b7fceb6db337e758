/* directory.h - a directory as the bucket: what S3 answers, on a disk of one's own.
 *
 * Promised to every process of one machine that opens the directory: objects whole or absent,
 * conditions atomic, what was answered survives a power cut. Not over NFS and the like.
 *
 * Threads    four a handle, `objdir-0` to `-3`, which wait for the disk and for other processes'
 *            locks, at most DIRECTORY_LOCK_WAIT_MS.
 * On disk    docs/formats/directory-store.md, version 1.
 * Failure    full disk: OBJSTORE_CAPACITY. Read-only: OBJSTORE_PERMANENT 403. The directory
 *            disappeared: OBJSTORE_PERMANENT 404 NoSuchBucket. A damaged file:
 *            OBJSTORE_INTEGRITY. Else OBJSTORE_TRANSIENT; maybe_applied once the rename was
 *            tried. */
#ifndef OBJSTORE_DIRECTORY_H
#define OBJSTORE_DIRECTORY_H

#include "base/clock.h"
#include "base/fs.h"
#include "base/rand.h"
#include "objstore/objstore.h"

enum {
    /* With the longest key a path still fits FS_PATH_BYTES. */
    DIRECTORY_ROOT_BYTES_MAX = 96,
    DIRECTORY_LOCK_WAIT_MS = 10000,
};

/* Makes the directory if it is not there. All but root borrowed. ST_INVALID: not empty and no such
 * bucket, another version, or the path is too long; else what the disk says. */
NODISCARD
status objstore_directory_open(const char *root, struct fs *fs, struct clock *clock,
                               struct rand_source *rand, struct objstore **out, struct err *err);

#endif
