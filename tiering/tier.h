/* tier.h - the shell around the stream cores of one node: one thread that steps them, carries their
 * effects out on the log and the store, and tells the node what changed.
 *
 * Threads    `ship` steps all streams, reads logs, encodes groups and submits requests; it never
 *            waits for the network. tier_stream_log(), _want_remote() and the status calls are for
 *            any thread and never wait. Callbacks of struct tier_stream_options run on the ship
 *            thread and must not wait for network; on_diverged may read the log.
 * Ownership  store, dlq, wal are borrowed and outlive the tier. tier_stream_close() returns when no
 *            callback of the stream will run any more.
 * Memory     groups in flight are held encoded: at most max_in_flight a stream, and
 *            TIER_FLIGHT_BYTES_MAX for the node; beyond it streams wait for room.
 * Failure    what cannot be shipped is a letter or waits; nothing here refuses a write by itself
 *            (see tier_pressure()). */
#ifndef TIERING_TIER_H
#define TIERING_TIER_H

#include "base/clock.h"
#include "base/rand.h"
#include "base/stats.h"
#include "dlq/dlq.h"
#include "segment/group.h"
#include "segment/manifest.h"
#include "tiering/breaker.h"
#include "tiering/pressure.h"
#include "tiering/stream.h"
#include "wal/wal.h"

enum {
    TIER_FLIGHT_BYTES_MAX = 256 * 1024 * 1024,
    /* A record of which no object can be made never reaches the bucket: it must not be logged. */
    TIER_RECORD_BYTES_MAX = OBJSTORE_OBJECT_BYTES_MAX - 2 * 1024 * 1024,
};

struct tier;
struct tier_stream;

struct tier_options {
    struct objstore *store;
    struct clock *clock;
    struct rand_source *rand;
    struct stats *stats;
    struct dlq *dlq;
    struct fs *fs;
    const char *data_dir; /* letters' own files: <data_dir>/letters/ */
    const char *node_id;
    uint8_t session[16];
    bool take_ownership;
    uint64_t rpo_ms, group_bytes;
    uint32_t max_in_flight;
    uint32_t max_retries;
    uint64_t base_backoff_ms, max_backoff_ms;
    uint64_t unshipped_bytes_max;
    uint64_t flight_bytes_max; /* 0: TIER_FLIGHT_BYTES_MAX */
};
NODISCARD
status tier_open(const struct tier_options *options, struct tier **out, struct err *err);
/* Every stream is closed. Accepts NULL. */
void tier_close(struct tier *tier);

struct tier_stream_options {
    uint8_t collection[16];
    const char *collection_id; /* text, for logs and metrics; copied */
    const char *name;          /* label of metrics; copied */
    struct wal *wal;
    uint64_t durable_lsn;
    uint64_t shipped_hint, hint_chain; /* what on_shipped() was last told; 0, 0: nothing */
    bool hint_loaded; /* they are where loading from the bucket ended, and not confirmed since */
    void *arg;
    /* phase or reason changed. FOREIGN, FENCED, DIVERGED, DROPPED, ROOT_LOST, HALTED: writes are
     * refused with the reason until it is OWNED (ROOT_LOST and HALTED: writes go on locally). */
    void (*on_phase)(void *arg, enum stream_phase phase, const char *reason);
    void (*on_remote)(void *arg, uint64_t lsn); /* writes up to lsn are remote-durable */
    /* A root read has confirmed everything up to lsn: (lsn, chain) is to be remembered as the hint,
     * durably before the log is trimmed, and the log may be trimmed up to it. */
    void (*on_shipped)(void *arg, uint64_t lsn, uint64_t chain);
    /* In phase DIVERGED alone, once: what the local log has and the bucket has not,
     * [first_lsn, last_lsn], is kept in letters (first_lsn 0: nothing; it only ends before the
     * bucket's end). What becomes durable behind last_lsn gets letters of its own. The node now
     * loads the collection anew from the bucket, closing and opening the stream. */
    void (*on_diverged)(void *arg, uint64_t first_lsn, uint64_t last_lsn);
};
NODISCARD
status tier_stream_open(struct tier *tier, const struct tier_stream_options *options,
                        struct tier_stream **out, struct err *err);
void tier_stream_close(struct tier_stream *s); /* accepts NULL */

/* From the commit thread, for every record that became durable; payload_bytes of this record. */
void tier_stream_log(struct tier_stream *s, uint64_t lsn, uint64_t payload_bytes);
void tier_stream_want_remote(struct tier_stream *s, uint64_t lsn);
uint64_t tier_stream_remote_lsn(const struct tier_stream *s);

/* Ends in one call of done, on the ship thread; ST_UNAVAILABLE when the stream is closed first.
 * Without memory to ask for it done() comes at once, from inside the call, with ST_NOMEM. done may
 * be NULL. */
typedef void tier_done_fn(void *arg, status st, const struct err *err);
/* Everything that is durable now is in the bucket. */
void tier_stream_flush(struct tier_stream *s, tier_done_fn *done, void *arg);
/* A root for a new collection (floor 0, LIVE), or for one that switches (floor at lsn, SWITCHING).
 * The stream was opened with shipped_hint = durable_lsn, so that it does not look for a root by
 * itself, and is told of records after this call: calls are heard in their order. A root of this
 * node that an earlier switch left SWITCHING is replaced, an epoch further. */
void tier_stream_create(struct tier_stream *s, uint64_t floor_lsn, bool switching,
                        tier_done_fn *done, void *arg);
/* From ROOT_LOST, by an operator: a new root, SWITCHING, floor at what is applied. */
void tier_stream_recreate(struct tier_stream *s, uint64_t floor_lsn, tier_done_fn *done, void *arg);
void tier_stream_drop(struct tier_stream *s, tier_done_fn *done, void *arg);
void tier_stream_take(struct tier_stream *s); /* by command */
/* Ownership now, although nothing is to be shipped: before publishing. */
void tier_stream_own(struct tier_stream *s, tier_done_fn *done, void *arg);
/* Parked seals are tried now; done when each has been answered: ST_OK none is parked any more, else
 * the first one's trouble. With none parked: as a flush, after which no letter for a group is left.
 */
void tier_stream_retry(struct tier_stream *s, tier_done_fn *done, void *arg);
void tier_stream_discard(struct tier_stream *s, uint64_t first_lsn, uint64_t last_lsn, bool drop,
                         tier_done_fn *done, void *arg);
/* The root shall name the manifest; done when it does. (Not a call that waits: whoever waits must
 * be able to stop when the stream is closed.) */
void tier_stream_commit(struct tier_stream *s, uint64_t revision, const struct object_ref *manifest,
                        const struct log_floor *floor, size_t lineages_absorbed, bool base_complete,
                        tier_done_fn *done, void *arg);
/* The root's gc mark (STREAM_MARK), behind any commit that is under way. */
void tier_stream_mark(struct tier_stream *s, uint64_t revision, tier_done_fn *done, void *arg);
/* Credentials or configuration were read again: everything parked is tried. */
void tier_reload(struct tier *tier);
void tier_breaker_reset(struct tier *tier, enum breaker_state *before, enum breaker_state *after);

struct tier_stream_status {
    enum stream_phase phase;
    char reason[STREAM_REASON_BYTES];
    char trouble[STREAM_REASON_BYTES]; /* last failure until one succeeds; "" */
    char owner[ROOT_NODE_ID_BYTES];
    uint64_t epoch;
    uint64_t manifest_revision; /* of the root as it is known; 0: it names none */
    uint64_t durable_lsn, shipped_lsn, remote_lsn;
    uint64_t unshipped_bytes, unshipped_records;
    uint64_t lag_ms; /* of the oldest record the bucket lacks; 0: none */
    uint32_t in_flight, parked;
    bool switching; /* not yet restorable */
    bool has_root;
    struct log_floor shipped; /* where the next group goes */
    uint64_t shipped_bytes;   /* payload bytes, since the stream was opened */
    /* storage_s3_*, since the stream was opened; an attempt is a PUT of a group that was sent */
    uint64_t uploads;            /* groups stored */
    uint64_t retries;            /* attempts beyond a group's first */
    uint64_t permanent_failures; /* groups parked as dead letters */
    uint32_t queued;             /* groups sealed and not stored, those in flight included */
};
void tier_stream_status(struct tier_stream *s, struct tier_stream_status *out);
/* A copy of the root as it is known; false: none is. */
bool tier_stream_root(struct tier_stream *s, struct root *out);

struct tier_status {
    enum breaker_state breaker;
    uint64_t unshipped_bytes, unshipped_records, lag_ms; /* lag: the oldest of all */
    uint32_t uploads_in_flight, uploads_queued;
    char trouble[STREAM_REASON_BYTES]; /* of the store as a whole: "" or what is wrong */
};
void tier_status(struct tier *tier, struct tier_status *out);
/* Level from unshipped bytes against their budget; the disk's share is the caller's to give. */
enum pressure_level tier_pressure(struct tier *tier, uint64_t disk_free, uint64_t disk_reserve,
                                  struct pressure *out);

/* The records a letter of log stands for, in order, from its file or from the log (wal may be NULL
 * where it has a file). Blocks on disk. ST_NOT_FOUND: the log was trimmed; ST_CORRUPT. */
NODISCARD
status tier_letter_read(struct fs *fs, const char *data_dir, struct wal *wal,
                        const struct letter *letter, group_each_fn *fn, void *arg, struct err *err);
/* Removes a letter's own file, if it has one: after the letter. Blocks on disk. */
NODISCARD
status tier_letter_forget(struct fs *fs, const char *data_dir, const struct letter *letter,
                          struct err *err);

#endif
