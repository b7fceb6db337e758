/* stream.h - the bucket side of one collection as a pure state machine: taking ownership, sealing
 * and shipping log groups, committing manifests, fencing, discarding.
 *
 * stream_step(state, event) -> effects. No thread, no clock, no I/O, no allocation: the shell
 * (tiering/tier.h) carries effects out and brings what came of them back as events; the simulator
 * (tests/sim) does the same with answers that are lost, late, doubled or wrong. docs/protocol.md
 * has the protocol, the reasons, and every crash point; this header only its shape.
 *
 * Every effect that asks for I/O has a `token`; its outcome names the token. Outcomes of tokens
 * that are no longer waited for are ignored, so the shell never needs to cancel in time.
 *
 * Threads    a value; one thread steps it.
 * Time       events carry `now_ms` (monotonic). STREAM_DO_TIMER asks for a STREAM_TICK at or after
 * a time; a tick may come at any time, more often than asked. Memory     fixed: STREAM_FLIGHT_MAX
 * seals and the decoded root. */
#ifndef TIERING_STREAM_H
#define TIERING_STREAM_H

#include "objstore/objstore.h"
#include "segment/root.h"

enum {
    STREAM_FLIGHT_MAX = 16,
    STREAM_EFFECTS_MAX = 64,
    STREAM_REASON_BYTES = 256,
    STREAM_FENCE_READ_MS = 5000, /* while local writes are shipped the root is read so often */
    STREAM_REMOTE_LINGER_MS = 100,
    STREAM_PARKED_RETRY_MS = 300000,
};

struct stream_options {
    uint8_t collection[16];
    char node_id[ROOT_NODE_ID_BYTES];
    uint8_t session[16]; /* fresh with every process */
    bool take_ownership; /* of a root that names another node */
    uint64_t rpo_ms;
    uint64_t group_bytes;
    uint32_t max_in_flight; /* 1..STREAM_FLIGHT_MAX */
    uint32_t max_retries;   /* [storage.retry], of answers that may be permanent */
    uint64_t base_backoff_ms, max_backoff_ms;
    uint64_t seed; /* of jitter */
    /* Broken twins for tests, 0 in production; each must be found by the simulator. */
    uint32_t twins; /* enum stream_twin bits */
};
enum stream_twin {
    STREAM_TWIN_SKIP_EPOCH_CHECK = 1, /* a fence read that shows another epoch is believed fine */
    STREAM_TWIN_SKIP_FENCE_READ = 2,  /* remote is said without the read */
    STREAM_TWIN_FORGET_OPEN = 4,      /* takeover does not look at open[] of the root it replaces */
    STREAM_TWIN_TRUST_404 = 8,        /* a group that is not found once is taken as never stored */
    STREAM_TWIN_CURSOR_FROM_LOCAL = 16, /* shipped_lsn from the local tail after a takeover */
    STREAM_TWIN_409_AS_412 = 32,
    STREAM_TWIN_REUSE_NONCE = 64,
    STREAM_TWIN_ADVANCE_OVER_HOLE = 128, /* shipped_lsn over a group that is not stored */
};

enum stream_phase {
    STREAM_IDLE = 0, /* never asked the bucket: nothing to ship yet */
    STREAM_CREATING, /* root by create-if-absent */
    STREAM_TAKING,   /* reading root, first CAS, listing, closing CAS, comparing with the log */
    STREAM_OWNED,
    STREAM_FOREIGN,   /* the root names another node; read-only here */
    STREAM_FENCED,    /* was ours; another took it. Finds out where our epoch was closed */
    STREAM_DIVERGED,  /* the local log is not a continuation of the bucket's (or behind it): the
                       * shell keeps the tail as a letter and loads the collection anew */
    STREAM_ROOT_LOST, /* the bucket has no root for us; never made anew without being told */
    STREAM_DROPPED,
    STREAM_HALTED, /* integrity, or the same epoch in two hands: a person has to look */
};
const char *stream_phase_name(enum stream_phase p);

struct stream_seal { /* a group on its way */
    uint64_t seq, first_lsn, last_lsn;
    uint64_t chain_before, chain;
    uint64_t bytes;
    uint32_t crc; /* of the encoded group; re-encoding must give it again */
    bool encoded; /* chain, bytes and crc are known */
    bool gap, gap_drop;
    enum { SEAL_WAITING, SEAL_SENT, SEAL_COMPARING, SEAL_STORED, SEAL_PARKED } state;
    uint64_t token;
    uint64_t stored_token;  /* order in which it was stored: fence reads begun later cover it */
    uint32_t attempts;      /* since it was made or put back */
    uint32_t hard_failures; /* of those, answers that may be permanent */
    uint64_t next_try_ms;
    uint64_t first_failed_ms;
    bool letter; /* a dead letter stands for it */
};

struct stream { /* read by the shell for metrics, changed by stream_step() alone */
    struct stream_options options;
    enum stream_phase phase;
    char reason[STREAM_REASON_BYTES];  /* why not OWNED or IDLE; "" else */
    char trouble[STREAM_REASON_BYTES]; /* last failure while OWNED or TAKING, until one succeeds */
    /* the log */
    uint64_t durable_lsn, durable_bytes; /* as the shell told: cumulative payload bytes */
    uint64_t shipped_lsn,
        shipped_bytes;   /* contiguous in the bucket; bytes of durable_bytes' count */
    uint64_t remote_lsn; /* shipped, and a later root read still showed our epoch */
    uint64_t sealed_lsn;
    uint64_t remote_wanted_lsn; /* the highest lsn a write waits for */
    uint64_t chain;             /* at sealed_lsn */
    /* the root as we know it */
    bool has_root;
    struct root root;
    char etag[OBJSTORE_ETAG_BYTES];
    struct stream_seal seals[STREAM_FLIGHT_MAX]; /* in order of seq */
    size_t seal_count;
    uint64_t next_seq;
    /* the rest is the core's own: see stream_internal.h for what each means */
    struct stream_private {
        uint64_t words[192];
    } core;
};

enum stream_event_kind {
    STREAM_TICK = 0,
    /* what the node says */
    STREAM_LOG,         /* durable_lsn moved (or fell back: a cut never falls below shipped_lsn) */
    STREAM_WANT_REMOTE, /* a write waits for lsn */
    STREAM_FLUSH,       /* seal and ship all there is now, whatever its age */
    STREAM_CREATE,      /* a new root: floor_lsn, chain, state LIVE or SWITCHING */
    STREAM_RECREATE,    /* from ROOT_LOST, by an operator: as CREATE with SWITCHING */
    STREAM_TAKE,        /* by command: as with take_ownership, from FOREIGN or FENCED */
    STREAM_DROP,        /* root to DROPPED */
    STREAM_RETRY,       /* parked seals and halted reads at once: dlq retry, reload */
    STREAM_DISCARD,     /* the parked seal [first_lsn, last_lsn] becomes a gap */
    STREAM_COMMIT,      /* a manifest is in the bucket or is to be put there: see below */
    STREAM_STOP,        /* no new effects but what is under way */
    /* what came of effects; token says which */
    STREAM_ROOT_READ,     /* class; root and etag on OK */
    STREAM_ROOT_DONE,     /* of CAS or create: class, maybe_applied, etag on OK */
    STREAM_LISTED,        /* groups of one epoch: the run 1..end_seq without holes */
    STREAM_GROUP_READ,    /* head of one group; class INTEGRITY when its bytes are wrong */
    STREAM_LOCAL_CHECKED, /* how the local log compares */
    STREAM_ENCODED,       /* a seal's group was encoded (again) or could not be */
    STREAM_PUT_DONE,      /* a group: class, maybe_applied */
    STREAM_COMPARED, /* after 412 on a group: OK the same bytes, PRECONDITION others, NOT_FOUND */
};
enum stream_local {                        /* how the local log compares with the bucket's end T */
                    STREAM_LOCAL_SAME = 0, /* it has T with the same chain */
                    STREAM_LOCAL_BEHIND,   /* it ends before T and is a prefix */
                    STREAM_LOCAL_DIVERGED
};

struct stream_event {
    enum stream_event_kind kind;
    uint64_t now_ms;
    uint64_t token;
    enum objstore_class class;
    bool maybe_applied;
    uint64_t retry_after_ms;
    uint64_t lsn, bytes;          /* LOG, WANT_REMOTE */
    uint64_t first_lsn, last_lsn; /* DISCARD, GROUP_READ, ENCODED */
    bool drop;                    /* DISCARD */
    uint64_t chain_before, chain; /* GROUP_READ, ENCODED, CREATE (at floor) */
    uint32_t crc;                 /* ENCODED */
    uint64_t end_seq;             /* LISTED */
    enum stream_local local;      /* LOCAL_CHECKED */
    const struct root *root;      /* ROOT_READ: decoded, borrowed for the call */
    const char *etag;
    const char *text; /* what the store said, for letters and trouble; or NULL */
    /* CREATE, RECREATE */
    uint64_t floor_lsn;
    enum root_state root_state;
    /* COMMIT: the manifest is stored under (revision, uuid) already; the root shall name it. */
    struct object_ref manifest;
    uint64_t manifest_revision;
    struct log_floor floor;   /* lsn 0 and epoch 0: stays */
    size_t lineages_absorbed; /* so many of the root's oldest stand in the manifest */
    bool base_complete;       /* SWITCHING becomes LIVE */
};

enum stream_effect_kind {
    STREAM_DO_TIMER = 0, /* at_ms */
    STREAM_DO_READ_ROOT, /* unconditional, or IF_CHANGED when `conditional`: NOT_MODIFIED is fine */
    STREAM_DO_PUT_ROOT,  /* root, if it matches etag, or if absent when etag is "" */
    STREAM_DO_LIST,      /* epoch: find the run of groups 1.. */
    STREAM_DO_READ_GROUP,  /* epoch, seq */
    STREAM_DO_CHECK_LOCAL, /* first_lsn..last_lsn of group (epoch, seq), chain_before, chain: the
                            * log's own records against them. seq 0: only whether it reaches
                            * last_lsn */
    STREAM_DO_ENCODE,    /* the group (root.epoch, seq) from first_lsn to at most last_lsn and about
                          * group_bytes; with `exact` precisely that range */
    STREAM_DO_PUT_GROUP, /* what was encoded under this seq, if absent */
    STREAM_DO_COMPARE,   /* GET (epoch, seq) and compare with what was encoded */
    STREAM_DO_SHIPPED,   /* shipped_lsn moved: the log may be trimmed behind it, letters at or
                          * below it leave, the hint is written */
    STREAM_DO_REMOTE,    /* writes up to lsn are remote-durable */
    STREAM_DO_LETTER,    /* a seal was parked: kind, range, key, class, text, attempts */
    STREAM_DO_LETTER_OUT, /* it was put back, stored or replaced */
    STREAM_DO_PHASE,      /* phase changed: the node serves writes or not, and says why */
    STREAM_DO_DIVERGED,   /* our records from first_lsn to last_lsn (0: all there are) are not the
                           * collection's: keep them as a letter under (epoch); then, in phase
                           * DIVERGED, load anew */
    STREAM_DO_COMMITTED,  /* the COMMIT asked for stands in the root, or class says why not */
    STREAM_DO_CREATED,    /* CREATE, RECREATE or DROP was done, or class says why not */
    STREAM_DO_FLUSHED,    /* all that was durable at the FLUSH is shipped */
};
struct stream_effect {
    enum stream_effect_kind kind;
    uint64_t token;
    uint64_t at_ms;
    bool conditional, exact;
    uint64_t epoch, seq, first_lsn, last_lsn, lsn;
    uint64_t chain_before, chain;
    size_t seal; /* index in seals: ENCODE, PUT_GROUP, COMPARE, LETTER, LETTER_OUT */
    enum objstore_class class;
    const struct root *root; /* PUT_ROOT: borrowed from the state until the next step */
    const char *etag;
    const char *text;
};
struct stream_effects {
    size_t count;
    struct stream_effect items[STREAM_EFFECTS_MAX];
};

/* durable: what the local log has; shipped_hint: what LMDB remembers (0: nothing), believed only
 * for whether there is anything to do. Nothing is sent while durable_lsn <= shipped_hint. */
void stream_init(struct stream *s, const struct stream_options *options, uint64_t durable_lsn,
                 uint64_t shipped_hint, uint64_t now_ms);
/* nonce: 16 fresh random bytes for this step, used if it writes a root. */
void stream_step(struct stream *s, const struct stream_event *event, const uint8_t nonce[16],
                 struct stream_effects *out);
/* Milliseconds since the oldest durable record that is not shipped became durable; 0: none. */
uint64_t stream_lag_ms(const struct stream *s, uint64_t now_ms);

#endif
