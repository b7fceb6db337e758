/* ask.h - requests to the bucket that are waited for, and repeated by their class: what publishing
 * and restoring have in common.
 *
 * Transient answers are tried again until *stop or for give_up_ms, answers that may be permanent
 * max_retries times, wrong bytes once; in between full jitter from base_backoff_ms to
 * max_backoff_ms, and at least what the store asks for.
 *
 * Threads    ask_send() blocks; never the store's own thread. One struct ask may serve several.
 * Ownership  everything is borrowed. */
#ifndef SNAPSHOT_ASK_H
#define SNAPSHOT_ASK_H

#include "base/clock.h"
#include "base/rand.h"
#include "objstore/objstore.h"

enum {
    ASK_INTEGRITY_TRIES = 2,
    ASK_SLICE_MS = 50, /* how often a waiting thread looks at *stop */
};

struct ask {
    struct objstore *store;
    struct clock *clock;
    struct rand_source *rand;
    const _Atomic bool *stop; /* NULL: never */
    uint64_t base_backoff_ms, max_backoff_ms;
    uint32_t max_retries;
    uint64_t give_up_ms; /* 0: never */
};
bool ask_stopped(const struct ask *a);
/* False: *stop became true. */
bool ask_sleep(const struct ask *a, uint64_t ms);

struct ask_tries { /* of one request; zeroed at first */
    uint32_t attempts, soft, hard, integrity;
    uint64_t since_ms; /* of the first transient answer */
};
/* What to do after an answer: whether to send it again after *wait_ms, else it is decided (for
 * better or worse). */
bool ask_again(const struct ask *a, struct ask_tries *tries, const struct objstore_result *r,
               uint64_t *wait_ms);

/* Until it is decided. ST_OK: class OK. Else objstore_class_status() with op and key in front, or
 * ST_CLOSED: stopped. req->result is the caller's to free in any case; done and arg are the call's.
 */
NODISCARD
status ask_send(const struct ask *a, struct objstore_req *req, struct ask_tries *tries,
                struct err *err);
/* err says what the result of a decided request means. */
status ask_status(const struct objstore_req *req, struct err *err);
/* A whole object; *etag may be NULL. */
NODISCARD
status ask_get(const struct ask *a, const char *key, size_t bytes_max, struct buf *out,
               char etag[OBJSTORE_ETAG_BYTES], struct err *err);

#endif
