/* tier_internal.h - what the files of the shell share.
 *
 *   tier.c          the ship thread: what wakes it, and a turn of its loop
 *   tier_stream.c   what any thread may ask of a stream, and its opening and end
 *   tier_step.c     one step of a core: event in, effects carried out, the view for others
 *   tier_op.c       who waits for something: flush, create, retry, ...
 *   tier_io.c       requests: made, queued, answered, abandoned
 *   tier_send.c     what goes out, and when
 *   tier_answer.c   what an answer means to the core
 *   tier_group.c    groups encoded from the log, and the memory they take
 *   tier_check.c    the local log against the bucket's end
 *   tier_letter.c   letters, and the tails that are nobody's
 *
 * Threads    what is marked `ship` is the ship thread's alone. */
#ifndef TIERING_TIER_INTERNAL_H
#define TIERING_TIER_INTERNAL_H

#include "base/lock.h"
#include "base/log.h"
#include "segment/objkey.h"
#include "tiering/group_list.h"
#include "tiering/tier.h"
#include "tiering/tier_lag.h"

#include <stdatomic.h>

enum {
    TIER_LOOK_MS = 10,          /* a busy log is looked at so often */
    TIER_SCAN_BYTES = 8 << 20,  /* of a log, in one turn */
    TIER_TAIL_BYTES = 16 << 20, /* of records in a file of a divergent tail */
    TIER_TAILS_MAX = 8,         /* ranges that wait to be kept */
    TIER_TAIL_GATHER_MS = 200,
    TIER_TAIL_RETRY_MS = 5000, /* a tail could not be written down */
    TIER_ORPHAN_TRIES = 8,
    TIER_FAILED_MAX = 64, /* answers that are owed to a core; it never waits for more */
    TIER_TOTALS_MS = 50,
};
#define TIER_NEVER UINT64_MAX

enum tier_msg_kind {
    TIER_MSG_OPEN = 0,
    TIER_MSG_CLOSE,
    TIER_MSG_OP,
    TIER_MSG_IO,
};
struct tier_msg {
    struct tier_msg *next;
    enum tier_msg_kind kind;
    struct tier_stream *stream; /* IO: as when it began, not to be followed */
};

/* ---- groups as bytes ---- */

struct tier_bytes {              /* an encoded group */
    struct group_writer *writer; /* NULL: a gap */
    struct buf gap;
    struct slice bytes; /* NULL data: none */
    struct group_head head;
    uint64_t payload_bytes;
    uint32_t crc;
};
struct tier_seal { /* ship: what the shell knows of a group on its way */
    struct tier_seal *next;
    uint64_t epoch, seq, first_lsn, last_lsn;
    uint32_t sent; /* PUTs of it */
    bool letter;
    struct tier_bytes bytes; /* dropped when memory is short */
    uint64_t used;           /* order of use */
    /* the last answer that was no success */
    int http_status;
    char s3_code[LETTER_NAME_BYTES];
    char request_id[LETTER_NAME_BYTES];
    uint64_t first_failed_ns, last_failed_ns;
};

/* ---- requests ---- */

enum tier_io_kind {
    TIER_IO_ROOT_READ = 0,
    TIER_IO_ROOT_WRITE,
    TIER_IO_LIST,
    TIER_IO_GROUP_READ,
    TIER_IO_CHECK, /* the same, and then the local log */
    TIER_IO_PUT,
    TIER_IO_COMPARE,
    TIER_IO_EPOCHS, /* the highest epoch that has groups, before a root is made anew */
    TIER_IO_ORPHAN,
    TIER_IO_ENCODE, /* no request: work */
};
enum tier_io_state { TIER_IO_IDLE = 0, TIER_IO_RUNNING, TIER_IO_CANCELLING, TIER_IO_ENDED };
struct tier_io {
    struct tier_msg msg;
    struct tier_io *next; /* in the one queue it stands in */
    struct tier *tier;
    struct tier_stream *stream;     /* ship: NULL: nobody waits for it any more */
    struct tier_io *before, *after; /* ship: of the same stream, or of the tier */
    enum tier_io_kind kind;
    uint64_t token;
    struct stream_effect effect; /* without its pointers */
    char key[OBJKEY_BYTES];
    char etag[OBJSTORE_ETAG_BYTES];
    char start_after[OBJKEY_BYTES]; /* EPOCHS */
    struct buf body;                /* root, orphan */
    struct tier_seal *seal;         /* PUT, COMPARE: borrowed from the stream while it is open */
    struct tier_bytes bytes;
    struct group_list *list;  /* LIST */
    struct tier_op *op;       /* EPOCHS: borrowed */
    uint64_t epoch;           /* EPOCHS: highest so far */
    uint32_t tries;           /* ORPHAN */
    char file[FS_PATH_BYTES]; /* ORPHAN: what it is read from */
    _Atomic int state;        /* enum tier_io_state: done() against who cancels */
    struct objstore_req req;
};
struct tier_queue {
    struct tier_io *first, *last;
};

/* ---- who waits ---- */

enum tier_op_kind {
    TIER_OP_FLUSH = 0,
    TIER_OP_CREATE,
    TIER_OP_RECREATE,
    TIER_OP_DROP,
    TIER_OP_OWN,
    TIER_OP_RETRY,
    TIER_OP_DISCARD,
    TIER_OP_COMMIT,
    TIER_OP_MARK,
};
struct tier_op {
    struct tier_msg msg;
    struct tier_op *next;
    enum tier_op_kind kind;
    tier_done_fn *done;
    void *arg;
    uint64_t lsn; /* FLUSH: what was durable; CREATE: the floor */
    uint64_t first_lsn, last_lsn;
    bool drop, switching, base_complete;
    bool begun;
    bool retries; /* FLUSH that is a RETRY with nothing parked when it began */
    uint64_t revision;
    struct object_ref manifest;
    struct log_floor floor;
    size_t absorbed;
    uint64_t seqs[STREAM_FLIGHT_MAX]; /* RETRY: groups that have not been answered */
    size_t seq_count;
    struct err trouble; /* of the first that failed */
};

/* ---- a stream ---- */

struct tier_tail {
    uint64_t epoch, first_lsn, last_lsn;
};
struct tier_stream {
    /* Set by tier_stream_open(), never changed after it. */
    struct tier *tier;
    struct tier_stream_options options; /* its texts below */
    char id[64];
    char name[256];

    _Atomic bool attended; /* the ship thread will look at the log without being woken */
    _Atomic bool urgent;   /* it was woken for a write that waits, or a command */
    _Atomic bool take;
    _Atomic uint64_t wanted_lsn;
    _Atomic uint64_t remote_lsn;

    struct tier_msg open_msg, close_msg;
    struct tier_stream *attention_next; /* guarded by tier->lock */
    bool linked, closed;                /* the same */

    struct lock lock;                        /* LOCK_RANK_TIER */
    struct {                                 /* guarded by lock */
        uint64_t durable_lsn, durable_bytes; /* bytes: behind the hint */
        struct lag lag;
        int64_t scan_since_ms; /* of what is being counted at the start; LAG_NONE */
        uint64_t counted_bytes, counted_records; /* what the tier's totals hold of it */
        struct tier_stream_status status;        /* but what is counted live */
        bool has_root;
        struct root root;
    } view;

    struct {                                            /* ship */
        struct tier_stream *before, *after;             /* all streams */
        struct tier_stream *timed_before, *timed_after; /* with a time, or work */
        struct tier_stream *attention_next;             /* of this turn */
        bool timed, ready, stopping;
        uint64_t timer_ms, look_ms, tail_ms; /* TIER_NEVER: none */
        struct stream core;
        uint64_t told_lsn, told_bytes; /* of STREAM_LOG */
        uint64_t told_wanted;
        uint64_t hint_lsn, hint_chain;
        struct tier_seal *seals;
        struct tier_io *ios;
        struct tier_op *ops;
        struct tier_op *early_first, *early_last; /* before it is ready */
        struct tier_tail tails[TIER_TAILS_MAX];
        size_t tail_count;
        uint64_t diverged_first;
        bool diverged_told;
        bool tail_said; /* that one could not be kept */
        struct {        /* what lies behind the hint when it is opened */
            uint64_t next_lsn, last_lsn, bytes;
            struct lag lag;
        } scan;
        struct { /* of the last read of a group that went wrong */
            int http_status;
            char s3_code[LETTER_NAME_BYTES];
            char request_id[LETTER_NAME_BYTES];
        } read;
        struct { /* answers owed, because memory was out when they were asked for */
            enum tier_io_kind kind;
            uint64_t token;
        } failed[TIER_FAILED_MAX];
        size_t failed_count;
        uint64_t uploads, retries, permanent_failures;
        bool said_trouble;
    } ship;
};

struct tier {
    /* Set by tier_open(), never changed after it. */
    struct tier_options options;
    char *data_dir, *node_id;
    struct thread thread;

    _Atomic uint64_t unshipped_bytes, unshipped_records;
    _Atomic int64_t since_ms; /* of the oldest record the bucket lacks; LAG_NONE */
    _Atomic uint32_t in_flight, uploading, queued; /* requests; PUTs of groups; groups */

    struct lock lock; /* LOCK_RANK_QUEUE */
    struct cond wakes;
    struct cond closed;
    struct { /* guarded by lock */
        struct tier_msg *first, *last;
        struct tier_stream *attention;
        bool reload, stop, waiting, poked;
        struct breaker breaker;
        char trouble[STREAM_REASON_BYTES];
    } shared;

    struct { /* ship */
        struct tier_stream *streams, *timed, *attention;
        struct tier_queue reads, puts, work;
        struct tier_io *orphans;
        uint32_t ios; /* that exist */
        uint32_t sent;
        uint64_t flight_bytes;
        uint64_t uses;
        bool totals_due, stopping;
        uint64_t totals_ms;
        bool open;          /* the breaker is not closed ... */
        uint64_t opened_ms; /* ... since then */
        bool refused;       /* a request was refused for good, none of its kind went well since */
        enum objstore_op refused_op;
        bool broke_off;   /* the last answer did: what follows goes over connections of its own */
        struct root root; /* scratch */
        struct stream_effects effects;
    } ship;
};

uint64_t tier_now_ms(const struct tier *t);

/* tier.c */
void tier_post(struct tier *t, struct tier_msg *msg);
void tier_attend(struct tier_stream *s);
/* For tests with a clock of their own: looks at the clock again; whether it waits with nothing
 * under way. */
void tier_wake(struct tier *t);
bool tier_is_quiet(struct tier *t);
void tier_timed(struct tier_stream *s);
void tier_untimed(struct tier_stream *s);
void tier_set_trouble(struct tier *t, const char *text);

/* tier_stream.c */
void tier_stream_opened(struct tier_stream *s);
void tier_stream_look(struct tier_stream *s, bool urgent);
/* What was asked for by tier_stream_want_remote() and tier_stream_take(). */
void tier_stream_tell_wishes(struct tier_stream *s);
void tier_stream_due(struct tier_stream *s, uint64_t now_ms);
void tier_stream_scan(struct tier_stream *s);
void tier_stream_ended(struct tier_stream *s);
int64_t tier_since_locked(const struct tier_stream *s);

/* tier_step.c */
/* Not while effects are carried out: they borrow from the core until its next step. */
void tier_feed(struct tier_stream *s, struct stream_event *event);
void tier_publish(struct tier_stream *s);

/* tier_op.c */
void tier_op_begin(struct tier_stream *s, struct tier_op *op);
void tier_op_epoch_known(struct tier_stream *s, struct tier_op *op, uint64_t epoch,
                         enum objstore_class class, const char *text);
/* Every op of this kind ends so. */
void tier_op_finish(struct tier_stream *s, enum tier_op_kind kind, enum objstore_class class,
                    const char *text);
void tier_op_created(struct tier_stream *s, const struct stream_effect *e);
/* A group is parked: a retry that found none has its answer. */
void tier_op_parked(struct tier_stream *s, const struct stream_effect *e);
void tier_op_discarded(struct tier_stream *s, const struct stream_effect *e);
void tier_op_flushed(struct tier_stream *s, const struct stream_effect *e);
void tier_op_phase(struct tier_stream *s);
void tier_op_answered(struct tier_stream *s, uint64_t seq, enum objstore_class class,
                      const char *text);
void tier_op_close(struct tier_stream *s);

/* tier_io.c */
void tier_io_start(struct tier_stream *s, enum tier_io_kind kind, const struct stream_effect *e);
void tier_io_epochs(struct tier_stream *s, struct tier_op *op);
void tier_io_orphan(struct tier_stream *s, const char *key, const char *file);
void tier_io_queue(struct tier_io *io);
void tier_io_on_done(struct objstore_req *req); /* on the store's thread */
void tier_queue_push(struct tier_queue *q, struct tier_io *io);
void tier_queue_pop(struct tier_queue *q);
void tier_io_owe(struct tier_stream *s, enum tier_io_kind kind, uint64_t token);
void tier_io_done(struct tier_io *io);
void tier_io_free(struct tier_io *io);
/* Nobody waits for its requests any more. */
void tier_io_abandon(struct tier_stream *s);
void tier_io_cancel_orphans(struct tier *t);

/* tier_send.c */
/* Sends what may be sent; returns when to ask again. */
uint64_t tier_io_pump(struct tier *t);
void tier_io_work(struct tier *t);

/* tier_answer.c: takes the result of io, which the caller frees unless it says false: it goes on */
bool tier_answer(struct tier_io *io);
bool tier_answer_orphan(struct tier_io *io);
/* Nothing was sent. */
void tier_answer_fail(struct tier_io *io, enum objstore_class class, const char *text);
void tier_answer_event(struct tier_stream *s, enum tier_io_kind kind, uint64_t token,
                       enum objstore_class class, const char *text);
enum stream_event_kind tier_event_of(enum tier_io_kind kind);

/* tier_group.c */
struct tier_seal *tier_seal_find(struct tier_stream *s, uint64_t epoch, uint64_t seq);
/* Finds or makes it; NULL: no memory. */
struct tier_seal *tier_seal_get(struct tier_stream *s, const struct stream_effect *e);
void tier_seal_sweep(struct tier_stream *s);
void tier_seal_free_all(struct tier_stream *s);
void tier_seal_unuse(struct tier_stream *s, struct tier_seal *seal);
void tier_bytes_free(struct tier *t, struct tier_bytes *b);
/* Accounts for the bytes. `bytes_max` 0: all of first..last, exactly. */
NODISCARD
status tier_encode(struct tier_stream *s, const struct stream_effect *e, uint64_t bytes_max,
                   struct tier_bytes *out, struct err *err);
NODISCARD
status tier_encode_gap(struct tier_stream *s, const struct stream_effect *e, struct tier_bytes *out,
                       struct err *err);
/* Whether about so many more bytes fit now; what is held and not under way is dropped for them. */
bool tier_room(struct tier *t, uint64_t bytes);
uint64_t tier_effect_bytes(struct tier_stream *s, const struct stream_effect *e);
enum objstore_class tier_class_of(status st);

/* tier_check.c */
/* body: of the group at the bucket's end. */
void tier_check(struct tier_stream *s, uint64_t token, const struct stream_effect *e,
                struct slice body);
/* Reads the log. False: the group is needed. */
bool tier_check_by_log(struct tier_stream *s, uint64_t token, const struct stream_effect *e);

/* tier_letter.c */
void tier_letter_put(struct tier_stream *s, const struct stream_effect *e);
void tier_letter_out(struct tier_stream *s, const struct stream_effect *e);
void tier_letter_retrying(struct tier_stream *s);
void tier_tail_raise(struct tier_stream *s, const struct stream_effect *e);
/* Writes down what waits, and tells the node in phase DIVERGED. */
void tier_tail_keep(struct tier_stream *s);
/* Tails that turned out to be the collection's leave. */
void tier_tail_release(struct tier_stream *s, uint64_t from_lsn, uint64_t to_lsn);

#endif
