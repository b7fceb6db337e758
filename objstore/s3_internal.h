/* s3_internal.h - what s3_open.c (open and close), s3.c (queues and the thread) and s3_call.c (one
 * transfer) share. */
#ifndef OBJSTORE_S3_INTERNAL_H
#define OBJSTORE_S3_INTERNAL_H

#include "base/lock.h"
#include "objstore/aimd.h"
#include "objstore/keys.h"
#include "objstore/s3.h"
#include "objstore/s3_answer.h"
#include "objstore/s3_request.h"

#include <curl/curl.h>

struct s3_timings {
    uint32_t connect_ms;
    uint32_t stall_s;       /* slower than stall_bytes_s for so long: ended */
    uint32_t stall_bytes_s; /* a second */
    uint32_t base_ms;       /* of a request without a timeout of its own, and beside it */
    uint32_t bytes_per_s;   /* so fast at least a body has to come */
    uint32_t completion_ms; /* of putting parts together, in which nothing moves */
};
extern const struct s3_timings S3_TIMINGS;
/* As objstore_s3_open(), for tests that cannot wait so long. */
NODISCARD
status objstore_s3_open_timed(const struct objstore_options *options,
                              const struct objstore_url *url, const struct s3_timings *timings,
                              struct objstore **out, struct err *err);

/* One transfer; used again for the next request. The s3 thread's alone. */
struct s3_call {
    struct s3_call *next;
    struct objstore_req *req; /* the caller's; NULL: idle */
    CURL *easy;
    struct curl_slist *headers;
    struct s3_wire wire;
    struct s3_reply reply;
    struct s3_asked asked;
    struct buf text;   /* a body that is no object */
    size_t sent;       /* of wire.sends */
    uint64_t expected; /* bytes of the object; UINT64_MAX: not told */
    bool began;        /* the body's first byte, or its end, was seen */
    bool refused;      /* the answer was given before the body was read */
    bool too_long;     /* the body went on beyond its bound */
    bool no_memory;
    bool damaged; /* the object is not what its checksum was made of */
    bool headers_ended;
    uint32_t crc;        /* of the object so far, where it is compared */
    size_t header_bytes; /* of all answers to this request */
    uint64_t sent_ns;    /* when it was begun, by the real clock */
    unsigned mended;     /* 1 << enum s3_mend: tried already */
    uint64_t round;      /* of the keys it was signed with */
    bool held;           /* ended, its keys were refused: it waits for others */
    char words[CURL_ERROR_SIZE];
};

NODISCARD
status s3_call_init(struct s3_call *call, struct err *err);
void s3_call_fini(struct s3_call *call);
/* Makes the request and tells curl all of it. False: the answer is given. call->req and
 * call->asked are set. */
NODISCARD
bool s3_call_prepare(struct s3_call *call, const struct credentials *keys,
                     const struct s3_timings *timings, const char *ca_file);
/* Fills the result from how the transfer ended. */
enum s3_mend s3_call_end(struct s3_call *call, CURLcode code);
void s3_call_cancelled(struct s3_call *call);
/* Its keys were refused and no others came: why goes into its text. */
void s3_call_still_refused(struct s3_call *call, struct keys *keys);
/* Frees what was one request's. */
void s3_call_reset(struct s3_call *call);

struct s3_queue { /* linked through req->next */
    struct objstore_req *first, *last;
};

/* A store of S3. */
struct s3 {
    struct objstore store; /* first */
    /* Set by open. */
    struct clock *clock; /* borrowed */
    struct keys *keys;
    char *ca_file;
    struct s3_timings timings;
    struct rand_source *rand; /* borrowed */
    uint32_t connections_max[OBJSTORE_POOLS];
    struct stats_metric *limits[OBJSTORE_POOLS];
    CURLM *multi; /* the thread's, but for curl_multi_wakeup() */
    struct thread thread;
    struct {              /* guarded by lock */
        struct lock lock; /* LOCK_RANK_OBJSTORE */
        struct s3_queue asked;
        bool cancelled; /* someone is: look */
        bool stopping;
    } shared;
    struct { /* the thread's alone */
        struct s3_target target;
        struct credentials *keys; /* as last looked at */
        uint64_t round;           /* keys_look() */
        enum keys_state keys_state;
        size_t held;    /* calls that wait for keys */
        int64_t skew_s; /* the store's clock minus ours */
        struct s3_queue waiting[OBJSTORE_POOLS];
        uint32_t active[OBJSTORE_POOLS];
        struct aimd aimd[OBJSTORE_POOLS]; /* how many may be */
        struct s3_call *calls;            /* all of them */
        size_t call_count;
        struct s3_call *idle; /* linked through call->next */
    } worker;
};

/* The thread: until shared.stopping, and then until every request has ended. */
void s3_run(void *arg);
/* But for close(). */
void s3_submit(struct objstore *store, struct objstore_req *req);
void s3_cancel(struct objstore *store, struct objstore_req *req);
void s3_reload(struct objstore *store);
void s3_trouble(struct objstore *store, char text[ERR_TEXT_BYTES]);

#endif
