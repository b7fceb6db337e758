/* upload.h - an object of any size into a bucket, in parts where it is large.
 *
 * Its bytes come from a function that gives the same ones however often it is asked. An object of
 * one part is one PUT; a larger one is begun, at most `in_flight` parts go at a time, each out of a
 * buffer of its own, and a completion makes them one object. Each request is repeated as the policy
 * has it (retry.h). A lost completion is decided by what is there: the object's size and bytes,
 * read back. Who loses an upload on the way (a sweep, a conflict) begins it anew, some times; who
 * gives up aborts it.
 *
 * ST_OK means that the object under this name has these bytes. With OBJSTORE_IF_ABSENT that may be
 * somebody else's with the very same ones (report.found): for names that are given once, it is
 * ours.
 *
 * Threads    blocks; never the store's own thread. One upload a call, any number of calls.
 * Ownership  everything is borrowed until it returns. Memory: in_flight buffers of a part.
 * Limits     OBJSTORE_PARTS_MAX parts of OBJSTORE_OBJECT_BYTES_MAX, 625 GiB.
 * Left over  an upload whose beginning lost its answer, or that cannot be aborted, stays with its
 *            parts (report.left_behind): buckets have a lifecycle rule for incomplete uploads. */
#ifndef OBJSTORE_UPLOAD_H
#define OBJSTORE_UPLOAD_H

#include "base/clock.h"
#include "base/rand.h"
#include "objstore/upload_core.h"

enum { UPLOAD_IN_FLIGHT = 4, UPLOAD_RESTARTS = 3 };

/* Fills out with object[offset, offset + bytes). What it returns but ST_OK ends the upload. */
typedef status upload_read_fn(void *arg, uint64_t offset, uint8_t *out, size_t bytes,
                              struct err *err);

struct upload_options {
    const char *key;
    uint64_t bytes;
    upload_read_fn *read;
    void *arg;
    enum objstore_pool pool;
    enum objstore_condition condition;
    const char *etag;
    struct objstore_retry_policy policy;
    uint32_t part_bytes;      /* 0: UPLOAD_PART_BYTES */
    uint32_t in_flight;       /* 0: UPLOAD_IN_FLIGHT; at most UPLOAD_SLOTS_MAX */
    const _Atomic bool *stop; /* NULL: never */
    struct clock *clock;
    struct rand_source *rand;
};
struct upload_report {
    char etag[OBJSTORE_ETAG_BYTES];
    bool found;         /* no answer said that we stored it */
    bool maybe_applied; /* it failed, and the object may be there all the same */
    bool left_behind;
    uint32_t requests, restarts;
    enum objstore_class class; /* what it came to */
};
/* report may be NULL. objstore_class_status() of what it came to, with the text of the answer that
 * decided; what read() returned; ST_INVALID: too large; ST_NOMEM; ST_CLOSED: stopped. */
NODISCARD
status objstore_upload(struct objstore *store, const struct upload_options *options,
                       struct upload_report *report, struct err *err);

/* read() of bytes in memory; arg: a const struct slice. */
status upload_read_slice(void *arg, uint64_t offset, uint8_t *out, size_t bytes, struct err *err);

#endif
