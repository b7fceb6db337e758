/* memory.h - a bucket in this process, with the answers S3 gives: for tests, and for trying the
 * node without a disk.
 *
 * A name is one bucket: everyone in the process who opens it sees the same objects. It outlives its
 * handles until objstore_memory_forget(), so that a node which closes and opens again finds its
 * bucket. Each handle runs its requests in the order they were submitted, and those of several
 * handles happen one at a time: every history is linearizable.
 *
 * As on plain S3 an etag follows the content: equal bytes, equal etag. A completed upload is gone:
 * completing it again is OBJSTORE_NOT_FOUND. A completion refused by its condition leaves the
 * upload.
 *
 * Threads    one a handle, `objmem-0`. Failure  no memory: OBJSTORE_TRANSIENT, nothing was done. */
#ifndef OBJSTORE_MEMORY_H
#define OBJSTORE_MEMORY_H

#include "base/clock.h"
#include "objstore/objstore.h"

/* clock: what objects say of when they were written; NULL: the real one; borrowed. ST_NOMEM. */
NODISCARD
status objstore_memory_open(const char *name, struct clock *clock, struct objstore **out,
                            struct err *err);
/* Handles that are open keep what they have; who opens the name next gets an empty bucket. */
void objstore_memory_forget(const char *name);

#endif
