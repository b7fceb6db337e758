/* ask.h - requests to the bucket that are waited for, and repeated by their class: what publishing
 * and restoring have in common.
 *
 * Answers are tried again as the policy has it (objstore/retry.h), until *stop becomes true, and
 * transient ones for give_up_ms.
 *
 * Threads    ask_send() blocks; never the store's own thread. One struct ask may serve several.
 * Ownership  everything is borrowed. */
#ifndef SNAPSHOT_ASK_H
#define SNAPSHOT_ASK_H

#include "base/clock.h"
#include "base/rand.h"
#include "objstore/retry.h"

enum {
    ASK_INTEGRITY_TRIES = 2, /* of bytes that a decoder refuses */
    ASK_SLICE_MS = 50,       /* how often a waiting thread looks at *stop */
};

struct ask {
    struct objstore *store;
    struct clock *clock;
    struct rand_source *rand;
    const _Atomic bool *stop; /* NULL: never */
    struct objstore_retry_policy policy;
    uint64_t give_up_ms; /* after the first transient answer; 0: never */
    /* Of all whose retries a query or a person waits for, shared; NULL: what is asked in the
     * background, for ever. */
    struct objstore_retry_budget *budget;
    bool fresh_connection; /* of the first attempt too: what came by the last was wrong */
};
bool ask_stopped(const struct ask *a);
/* False: *stop became true. */
bool ask_sleep(const struct ask *a, uint64_t ms);

struct ask_tries { /* of one request; zeroed at first */
    uint32_t attempts;
    uint32_t by_class[OBJSTORE_CLASSES];
    uint64_t since_ms; /* of the first transient answer; 0: none */
};
/* What to do after an answer: whether to send it again after *wait_ms, else it is decided (for
 * better or worse). */
bool ask_again(const struct ask *a, struct ask_tries *tries, const struct objstore_result *r,
               uint64_t *wait_ms);

/* Whether the next attempt goes over a connection of its own: once something broke off. */
bool ask_fresh(const struct ask *a, const struct ask_tries *tries);

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
