/* objstore.h - a bucket as a table of functions: names and bytes, conditions, and answers that may
 * be lost.
 *
 * A request is submitted, runs elsewhere, and ends in one call of done(). What it came to is a
 * class (enum objstore_class) that says what a caller may do next, and text a person can act on. An
 * answer that was lost is neither success nor failure: `maybe_applied` is then true, and only
 * sending the same bytes again, or a later successful conditional write, decides it.
 *
 * Keys are relative to the prefix the store was opened with: 1 to OBJSTORE_KEY_BYTES_MAX bytes of
 * A-Z a-z 0-9 / - _ . without an empty, "." or ".." part. Objects are whole or absent; reads see
 * every write that was answered before they began; listing too.
 *
 * Stores     objstore_memory_open(), objstore_directory_open(), objstore_s3_open(), each in its own
 *            header; objstore_open() takes a URL. Metering and faults are stores that wrap a store
 *            (meter.h, faults.h). One suite, tests/conformance/objstore_conformance.c, runs over
 * all. Attempts   one request is one attempt. A store repeats by itself only what it can mend: a
 * request signed for the wrong region or time, credentials that have just expired, each once.
 *            Everything else is the caller's to repeat (retry.h has the times).
 * Threads    submit and cancel from any, never wait. done() runs on the store's own thread and must
 *            not wait either; it may submit. Wrappers and the memory store may call it from another
 *            thread, never from inside objstore_submit().
 * Ownership  the request and all it points to is the caller's and stays until done(); the store
 * fills `result`, the caller frees it with objstore_result_fini(). Limits OBJSTORE_OBJECT_BYTES_MAX
 * a single PUT; larger objects go in parts. */
#ifndef OBJSTORE_OBJSTORE_H
#define OBJSTORE_OBJSTORE_H

#include "base/bytes.h"

enum {
    OBJSTORE_KEY_BYTES_MAX = 900,
    OBJSTORE_ETAG_BYTES = 256, /* with the NUL; opaque */
    OBJSTORE_UPLOAD_BYTES = 1024,
    OBJSTORE_OBJECT_BYTES_MAX = 64 * 1024 * 1024,
    OBJSTORE_PART_BYTES_MIN = 5 * 1024 * 1024, /* of every part but the last */
    OBJSTORE_PARTS_MAX = 10000,
    OBJSTORE_LIST_MAX = 1000,  /* names an answer holds at most */
    OBJSTORE_WRAPPERS_MAX = 4, /* stores around a store */
};

struct objstore;

enum objstore_op {
    OBJSTORE_PUT = 0,
    OBJSTORE_GET,
    OBJSTORE_HEAD,   /* size and etag; never on a steady path */
    OBJSTORE_DELETE, /* of what is absent too: OK */
    OBJSTORE_LIST,
    OBJSTORE_UPLOAD_BEGIN, /* result.upload_id */
    OBJSTORE_UPLOAD_PART,  /* result.etag goes into parts[] of the completion */
    OBJSTORE_UPLOAD_COMPLETE,
    OBJSTORE_UPLOAD_ABORT, /* of what is gone too: OK */
    OBJSTORE_OPS,
};
const char *objstore_op_name(enum objstore_op op); /* "put", "get", ...: metric labels */

enum objstore_condition {
    OBJSTORE_ALWAYS = 0,
    OBJSTORE_IF_ABSENT,  /* PUT, UPLOAD_COMPLETE: If-None-Match: * */
    OBJSTORE_IF_MATCH,   /* PUT, UPLOAD_COMPLETE: If-Match: etag */
    OBJSTORE_IF_CHANGED, /* GET: If-None-Match: etag; the same etag is OBJSTORE_NOT_MODIFIED */
};

/* Which connections a request may use, so that bulk cannot starve a commit. */
enum objstore_pool { OBJSTORE_FOREGROUND = 0, OBJSTORE_LOG, OBJSTORE_BULK, OBJSTORE_POOLS };

const char *objstore_pool_name(enum objstore_pool pool); /* "foreground", "log", "bulk" */

/* What an answer means to who sent the request (object-store study, section 3.11). */
enum objstore_class {
    OBJSTORE_OK = 0,
    OBJSTORE_NOT_MODIFIED, /* 304 */
    OBJSTORE_NOT_FOUND,    /* 404 NoSuchKey, NoSuchUpload: decided, and never "never will be" */
    OBJSTORE_PRECONDITION, /* 412 (and 404 to a PUT with If-Match): someone else was first, or the
                            * lost answer of this very request was a success */
    OBJSTORE_CONFLICT,     /* 409 ConditionalRequestConflict: nothing decided, send it again */
    OBJSTORE_TRANSIENT,    /* connection, timeout, 500, 502, 504, cut or damaged answer */
    OBJSTORE_THROTTLE,     /* 503, 429 */
    OBJSTORE_REFRESHABLE,  /* expired token, skewed clock, wrong region, after one try to mend it */
    OBJSTORE_CAPACITY,     /* 507, quota: the store is full */
    OBJSTORE_PERMANENT,    /* 400, 403, 404 NoSuchBucket, 405, 501: a person has to act */
    OBJSTORE_INTEGRITY,    /* the transport was fine and the bytes are wrong */
    OBJSTORE_CANCELLED,    /* by objstore_cancel(), or the store was closed */
    OBJSTORE_CLASSES,
};
const char *
objstore_class_name(enum objstore_class c); /* "ok", "throttle", ...: letters, metrics */
/* TRANSIENT, THROTTLE, CONFLICT, CAPACITY: the same request may succeed later. */
bool objstore_class_retries(enum objstore_class c);
/* TRANSIENT and THROTTLE -> ST_UNAVAILABLE, CAPACITY -> ST_NOSPACE, PRECONDITION and CONFLICT ->
 * ST_CONFLICT, NOT_FOUND -> ST_NOT_FOUND, REFRESHABLE and PERMANENT -> ST_DENIED, INTEGRITY ->
 * ST_CORRUPT, CANCELLED -> ST_CLOSED, the first two -> ST_OK. */
status objstore_class_status(enum objstore_class c);

struct objstore_entry { /* of a listing; key relative to the prefix, owned by the result */
    char *key;
    uint64_t bytes;
    uint64_t modified_ns; /* wall time as the store tells it; 0: it does not */
};
struct objstore_part {
    uint32_t number; /* 1.. */
    char etag[OBJSTORE_ETAG_BYTES];
};

struct objstore_result {
    enum objstore_class class;
    bool maybe_applied; /* a write was sent, and whether it took effect is not known */
    int http_status;    /* 0: none came */
    char s3_code[64];   /* "AccessDenied"; "": none */
    char request_id[64];
    char server[64];         /* what the answer calls itself, of S3; "": it does not say */
    uint64_t retry_after_ms; /* the store's wish; 0: none */
    uint64_t date_ns; /* the store's clock when it answered, wall; 0: not told. Of S3 in seconds */
    uint64_t sent_bytes, received_bytes; /* of bodies */
    char etag[OBJSTORE_ETAG_BYTES];      /* PUT, GET, HEAD, UPLOAD_PART, UPLOAD_COMPLETE */
    uint64_t object_bytes;               /* GET, HEAD: of the whole object */
    struct buf body;                     /* GET: exactly the bytes asked for */
    struct objstore_entry *entries;      /* LIST, in ascending order of key where the store sorts */
    size_t entry_count;
    bool truncated; /* LIST: go on with start_after = the largest key so far */
    char upload_id[OBJSTORE_UPLOAD_BYTES];
    struct err err; /* text for a person when class is neither OK nor NOT_MODIFIED; its code is
                     * objstore_class_status() */
};

struct objstore_req;
typedef void objstore_done_fn(struct objstore_req *req);

#define OBJSTORE_RANGE_ALL UINT64_MAX
struct objstore_req {
    /* The caller's; zeroed but for what is wanted. */
    enum objstore_op op;
    enum objstore_pool pool;
    const char *key;   /* LIST: the prefix of keys, may be "" */
    struct slice body; /* PUT, UPLOAD_PART */
    enum objstore_condition condition;
    const char *etag;      /* of the condition */
    uint64_t range_offset; /* GET: [offset, offset + bytes) */
    uint64_t range_bytes;  /* GET: 0 or OBJSTORE_RANGE_ALL: to the end. A range that ends beyond the
                            * object gets what there is; one that begins beyond it is
                            * OBJSTORE_PERMANENT (416) */
    bool range_suffix;     /* GET: the last range_bytes instead */
    size_t bytes_max;      /* GET: a longer body is OBJSTORE_INTEGRITY, before it is read; 0:
                            * OBJSTORE_OBJECT_BYTES_MAX */
    const char *start_after;           /* LIST: only keys behind it; NULL: from the first */
    uint32_t list_max;                 /* LIST: 0: OBJSTORE_LIST_MAX */
    const char *upload_id;             /* parts */
    uint32_t part_number;              /* 1..OBJSTORE_PARTS_MAX */
    const struct objstore_part *parts; /* UPLOAD_COMPLETE, numbers rising */
    size_t part_count;
    const uint32_t *crc32c; /* PUT: the body's, which the store shall compare; NULL: as it likes */
    bool fresh_connection; /* over none that was used before: once an answer broke off, or its bytes
                            * were wrong, the next is heard by another way */
    uint64_t timeout_ms;   /* without progress it ends sooner; 0: the store's default by size */
    objstore_done_fn *done;
    void *arg;

    struct objstore_result result; /* the store's until done() */
    /* The store's, and one slot for each wrapper around it (see wrap.h). */
    struct objstore_req *next;
    void *priv;
    _Atomic int state;
    struct objstore_slot {
        void *owner;
        objstore_done_fn *done; /* the caller's, or the next wrapper's */
        void *arg;
        void *note;
        uint64_t at_ns;
    } slots[OBJSTORE_WRAPPERS_MAX];
    uint32_t slot_count;
};
void objstore_result_fini(struct objstore_result *r); /* fine on a zeroed one */
/* Zeroes the result so that the same request can be submitted again. */
void objstore_req_reset(struct objstore_req *req);

struct objstore_ops {
    /* Takes req. A request that is wrong in itself is not refused here: it ends by done() with
     * OBJSTORE_PERMANENT. After close() began: OBJSTORE_CANCELLED. */
    void (*submit)(struct objstore *s, struct objstore_req *req);
    /* Asks for an early end; done() still comes, with what it came to or OBJSTORE_CANCELLED. A
     * request that is done already must not be named. */
    void (*cancel)(struct objstore *s, struct objstore_req *req);
    /* Credentials and the like are read again. May be NULL. */
    void (*reload)(struct objstore *s);
    /* See objstore_trouble(). May be NULL. */
    void (*trouble)(struct objstore *s, char text[ERR_TEXT_BYTES]);
    /* Every request ends before it returns. */
    void (*close)(struct objstore *s);
};
struct objstore { /* first member of every store */
    const struct objstore_ops *ops;
    char description[256]; /* "s3 http://127.0.0.1:9000/bucket/prefix": for logs and texts */
};
void objstore_submit(struct objstore *s, struct objstore_req *req);
void objstore_cancel(struct objstore *s, struct objstore_req *req);
void objstore_reload(struct objstore *s);
/* What a person should mend while requests still go through: keys that cannot be renewed. "" else.
 */
void objstore_trouble(struct objstore *s, char text[ERR_TEXT_BYTES]);
void objstore_close(struct objstore *s); /* accepts NULL */

/* Blocking, for the cli and tests only: submits, waits, returns objstore_class_status(); err says
 * what result.err says. done and arg are the call's own. */
NODISCARD
status objstore_wait(struct objstore *s, struct objstore_req *req, struct err *err);

/* ST_INVALID with the reason. */
NODISCARD
status objstore_key_check(const char *key, struct err *err);

#endif
