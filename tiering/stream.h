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
    STREAM_REASON_BYTES = 384,
    STREAM_FENCE_READ_MS = 5000, /* while local writes are shipped the root is read so often */
    STREAM_REMOTE_LINGER_MS = 100,
    STREAM_PARKED_RETRY_MS = 300000, /* of parked seals, and of a root that is lost */
    STREAM_FENCED_WAIT_MS = 1000,    /* until a fenced epoch is closed: first wait, and longest */
    STREAM_FENCED_WAIT_MAX_MS = 64000,
    STREAM_ROOT_MISSES = 3, /* a root that is not found so often in a row is lost */
    STREAM_MARKS_MAX = 64,
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
    uint64_t bytes; /* payload bytes of its records, as LOG counts them */
    uint32_t crc;   /* of the encoded group; encoding it again must give the same */
    bool encoded;   /* last_lsn, chain, bytes and crc are known */
    bool gap, gap_drop;
    enum {
        SEAL_WAITING = 0, /* for its next try: to encode, or to put */
        SEAL_SENT,        /* the same, under way */
        SEAL_COMPARING,   /* something stands under its name */
        SEAL_STORED,      /* and waits for those before it */
        SEAL_PARKED
    } state;
    uint64_t token;         /* of what is under way; 0: nothing */
    uint32_t attempts;      /* since it was made or put back */
    uint32_t hard_failures; /* of those, answers that may be permanent */
    uint32_t integrity_failures;
    uint64_t next_try_ms;
    uint64_t first_failed_ms; /* 0: never */
    bool letter;              /* a dead letter stands for it */
};

/* What the core keeps for itself; the functions named are in stream_*.c. */
struct stream_wait { /* something asked of the shell again and again until it is answered */
    uint64_t token;  /* under way; 0: waits for next_try_ms */
    uint64_t next_try_ms;
    uint32_t failures;      /* in a row */
    uint32_t hard_failures; /* of those, answers that may be permanent */
};
struct stream_mark { /* the records up to lsn, behind the mark before: when the first was durable */
    uint64_t lsn, bytes, at_ms;
};
struct stream_commit {
    struct object_ref manifest;
    uint64_t revision;
    struct log_floor floor;
    size_t absorbed;
    bool base_complete;
};
struct stream_op {   /* the one thing under way on the root: two at once would not be in order */
    int purpose;     /* enum op_purpose, stream_internal.h */
    bool write;      /* a CAS (else a read) ... */
    bool resolve;    /* ... that was answered with 412: the root is read for our nonce */
    bool maybe;      /* an attempt of it may have taken effect: it is sent until that is decided */
    uint32_t misses; /* reads in a row that found no root */
    struct stream_wait wait;
    char etag[OBJSTORE_ETAG_BYTES]; /* of a CAS: what it replaces, "" for nothing */
    struct root next;               /* of a CAS: what it writes, the same bytes every time */
};
struct stream_take {             /* taking ownership, between the first CAS and OWNED */
    int step;                    /* enum take_step */
    size_t index;                /* in root.open: the epoch that is looked at */
    uint64_t first;              /* of its groups that counts: 1, or where the floor lies in it */
    uint64_t run;                /* its groups first..run are listed */
    uint32_t bad;                /* reads of one group in a row whose bytes were wrong */
    uint64_t end_lsn, end_chain; /* the end so far */
    struct lineage found[ROOT_OPEN_MAX];
    size_t found_count;
    uint64_t tail_epoch, tail_seq, tail_first_lsn, tail_chain_before; /* the last group's head */
    bool tail_gap;
    struct stream_wait wait;
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
    struct stream_private { /* the core's own */
        uint64_t now_ms;    /* of this step */
        uint8_t nonce[16];  /* of this step */
        uint64_t random;    /* of the jitter */
        uint64_t last_token;
        uint64_t wake_ms;  /* the earliest time something is due, found out anew in each step */
        uint64_t timer_ms; /* the tick that was asked for and has not come; 0: none */
        bool stopped;
        /* what the node wants */
        uint64_t hint_lsn;         /* as at init: nothing is asked for a log that ends there */
        bool take_wanted;          /* whatever the log says */
        bool take_by_command;      /* from another node, and after having been fenced, too */
        uint64_t remote_since_ms;  /* since then a write waits for what is not sealed */
        uint64_t remote_first_lsn; /* from here on writes may wait */
        bool flush_wanted;
        uint64_t flush_lsn;
        bool commit_wanted, drop_wanted, create_wanted, mark_wanted;
        struct stream_commit commit;
        uint64_t mark_revision;
        uint64_t drop_ns;
        /* the log behind shipped_lsn, coarser when it grows long */
        struct stream_mark marks[STREAM_MARKS_MAX];
        size_t mark_count;
        uint64_t sealed_bytes;
        /* the contiguous run, and how far a root read has confirmed it */
        uint64_t shipped_seq, shipped_chain;
        uint64_t remote_chain;
        uint64_t fence_lsn, fence_chain; /* shipped when the fence read under way began */
        uint64_t fenced_at_ms;           /* when the last one began */
        /* ownership */
        uint64_t own_epoch;      /* the last one this process won; 0: none */
        uint64_t taken_revision; /* of the root that our epoch replaced */
        bool compared;           /* the log was compared with the bucket under own_epoch */
        uint64_t diverged_lsn;   /* up to here letters stand for what is not the collection's */
        uint64_t fenced_wait_ms; /* before the next read */
        bool fenced_end_known;
        struct stream_op op;
        struct stream_take take;
    } core;
};

enum stream_event_kind {
    STREAM_TICK = 0,
    /* what the node says */
    STREAM_LOG,         /* durable_lsn moved: only what is synced counts, so it does not fall back
                         * behind what was sealed */
    STREAM_WANT_REMOTE, /* a write waits for lsn */
    STREAM_FLUSH,       /* seal and ship all there is now, whatever its age */
    STREAM_CREATE,      /* a new root: floor_lsn, chain, state LIVE or SWITCHING */
    STREAM_RECREATE,    /* from ROOT_LOST, by an operator: as CREATE with SWITCHING */
    STREAM_TAKE,        /* by command: as with take_ownership, from FOREIGN or FENCED */
    STREAM_OWN,         /* ownership now, although nothing is to be shipped: as the first record
                         * would; from FOREIGN the root is read again */
    STREAM_DROP,        /* root to DROPPED, whoever owns it */
    STREAM_RETRY,       /* parked seals and halted reads at once: dlq retry, reload */
    STREAM_DISCARD,     /* the parked seal [first_lsn, last_lsn] becomes a gap. What is to be kept
                         * of its records is in the log again by then */
    STREAM_COMMIT,      /* a manifest is in the bucket, the root shall name it: see below */
    STREAM_MARK,        /* the root's gc mark becomes manifest_revision: what manifests of lower
                         * revisions need may be collected unless it is pinned
                         * (snapshot/collect.h). It never goes back, nor beyond the root's manifest
                         */
    STREAM_STOP,        /* no new effects but what is under way */
    /* what came of effects; token says which */
    STREAM_ROOT_READ,     /* class; root and etag on OK */
    STREAM_ROOT_DONE,     /* of CAS or create: class, maybe_applied, etag on OK */
    STREAM_LISTED,        /* groups of one epoch: the run seq..end_seq without holes; 0: none */
    STREAM_GROUP_READ,    /* head of one group; class INTEGRITY when its bytes are wrong */
    STREAM_LOCAL_CHECKED, /* how the local log compares */
    STREAM_ENCODED,       /* a seal's group was encoded, or could not be */
    STREAM_PUT_DONE,      /* a group: class, maybe_applied */
    STREAM_COMPARED, /* after 412 on a group: OK the same bytes (`original`: those of the seal a
                      * gap was to replace), PRECONDITION others, NOT_FOUND */
};
/* How the local log compares with the bucket's end T. The chain is taken on from what is
 * remembered, the (lsn, chain) of the last STREAM_DO_REMOTE or of loading from the bucket (else the
 * chain before lsn 1), over the log's records to T and compared with the bucket's there. A log that
 * ends before T is BEHIND only if it has nothing behind what is remembered. T before what is
 * remembered: DIVERGED where that was loaded, as a restore that reads during a takeover may have
 * read groups that were not counted in the end; AHEAD where it was confirmed. A log that ended
 * before what is remembered when it was opened (a disk that lied) is BEHIND, or DIVERGED from that
 * end if it was written since, whatever its chain. Without anything
 * remembered, of a log that
 * was trimmed, or that cannot be read in between (a gap may stand there): group (epoch, seq)'s own
 * records against the log's, and DIVERGED where that cannot be done either. */
enum stream_local {
    STREAM_LOCAL_SAME = 0, /* it has T with the same chain */
    STREAM_LOCAL_BEHIND,   /* it ends before T, with nothing of its own */
    STREAM_LOCAL_DIVERGED, /* event.lsn: what is remembered; behind it lies what needs a letter */
    STREAM_LOCAL_AHEAD,    /* the bucket has lost what it had confirmed: a person has to look */
};

struct stream_event {
    enum stream_event_kind kind;
    uint64_t now_ms;
    uint64_t token;
    enum objstore_class class;
    bool maybe_applied;
    uint64_t retry_after_ms;
    uint64_t lsn;                 /* LOG, WANT_REMOTE, LOCAL_CHECKED */
    uint64_t bytes;               /* LOG: cumulative; ENCODED: of the seal's records. Payload bytes
                                   * behind the hint, as with durable_bytes of stream_init() */
    uint64_t first_lsn, last_lsn; /* DISCARD, GROUP_READ, ENCODED */
    bool drop;                    /* DISCARD */
    uint64_t chain_before, chain; /* GROUP_READ, ENCODED, CREATE (at floor) */
    uint32_t crc;                 /* ENCODED */
    uint64_t end_seq;             /* LISTED */
    bool gap;                     /* GROUP_READ: the group is one */
    bool original;                /* COMPARED */
    enum stream_local local;      /* LOCAL_CHECKED */
    const struct root *root;      /* ROOT_READ: decoded, borrowed for the call */
    const char *etag;
    const char *text; /* what the store said, for letters and trouble; or NULL */
    /* CREATE, RECREATE */
    uint64_t floor_lsn;
    enum root_state root_state;
    uint64_t epoch;   /* RECREATE: above every epoch that has groups; else 0 */
    uint64_t wall_ns; /* DROP */
    /* COMMIT: the manifest is stored under (revision, uuid) already; the root shall name it. The
     * root keeps its newest lineage: absorbing that too is refused, as is a floor that goes back or
     * lies behind shipped_lsn, and a manifest that was begun
     * before the root that our epoch replaced: another owner may have changed it. One at a time; a
     * second one waiting is refused (CONFLICT). */
    struct object_ref manifest;
    uint64_t manifest_revision;
    struct log_floor floor;   /* lsn 0 and epoch 0: stays */
    size_t lineages_absorbed; /* so many of the root's oldest stand in the manifest and leave */
    bool base_complete;       /* SWITCHING becomes LIVE */
};

enum stream_effect_kind {
    STREAM_DO_TIMER = 0,   /* at_ms */
    STREAM_DO_READ_ROOT,   /* unconditional, or IF_CHANGED etag when `conditional` */
    STREAM_DO_PUT_ROOT,    /* root, if it matches etag, or if absent when etag is "" */
    STREAM_DO_LIST,        /* epoch: find the run of groups seq, seq + 1, ... */
    STREAM_DO_READ_GROUP,  /* epoch, seq: its head, everything checked */
    STREAM_DO_CHECK_LOCAL, /* last_lsn, chain: the end T. Group (epoch, seq) of
                            * first_lsn..last_lsn with chain_before ends there; seq 0: none does.
                            * `gap`: it is one; where the log cannot be read
                            * in it, and only there, chain_before at first_lsn - 1 is enough */
    STREAM_DO_ENCODE,      /* the group (epoch, seq) from first_lsn with chain_before to at most
                            * last_lsn and about group_bytes. Asked once; the bytes may be dropped
                            * any time, as encoding them again gives the same */
    STREAM_DO_PUT_GROUP,  /* group (epoch, seq) of first_lsn..last_lsn, if absent; `gap`: a gap with
                           * this chain. Bytes that are encoded again and do not give crc:
                           * PUT_DONE with INTEGRITY, nothing is sent */
    STREAM_DO_COMPARE,    /* GET (epoch, seq) and compare with the same */
    STREAM_DO_SHIPPED,    /* lsn, chain: shipped_lsn moved. Numbers only: nothing is forgotten for
                           * it, as an owner that was fenced does not know it yet */
    STREAM_DO_REMOTE,     /* lsn, chain: remote_lsn moved, or a write waits for what is behind it.
                           * Writes up to it are remote-durable; both are remembered (the hint),
                           * and then the log may be trimmed up to it and divergent tails at or
                           * below it leave */
    STREAM_DO_LETTER,     /* (epoch, seq), first_lsn..last_lsn was parked, again if it was before:
                           * class, text, attempts. last_lsn 0: a group of another epoch whose bytes
                           * are wrong */
    STREAM_DO_LETTER_OUT, /* (epoch, seq), first_lsn..last_lsn: stored, replaced, or sealed anew */
    STREAM_DO_PHASE,      /* phase or reason changed: the node serves writes or not, and says why */
    STREAM_DO_DIVERGED,   /* our records from first_lsn to last_lsn are not the collection's: keep
                           * them as a letter under (epoch). In phase DIVERGED load anew then */
    STREAM_DO_COMMITTED,  /* the COMMIT asked for stands in the root, or class says why not */
    STREAM_DO_MARKED,     /* the MARK asked for stands in the root, or class says why not */
    STREAM_DO_CREATED,    /* CREATE, RECREATE or DROP was done, or class says why not */
    STREAM_DO_FLUSHED,    /* all that was durable at the FLUSH is remote-durable, or class says why
                           * it will not be */
    STREAM_DO_DISCARDED,  /* first_lsn..last_lsn, `drop`: a `gap` stands for it, or (not `gap`) it
                           * had  been stored after all; or class: NOT_FOUND, no such seal is parked
                           */
};
struct stream_effect { /* complete in itself: the seal it speaks of may be gone after the step */
    enum stream_effect_kind kind;
    uint64_t token;
    uint64_t at_ms;
    bool conditional, gap, drop;
    uint64_t epoch, seq, first_lsn, last_lsn, lsn;
    uint64_t chain_before, chain;
    uint32_t crc;
    uint32_t attempts;
    enum objstore_class class;
    const struct root *root; /* PUT_ROOT: borrowed from the state until the next step */
    const char *etag;        /* the same */
    const char *text;        /* the same; or NULL */
};
struct stream_effects {
    size_t count;
    struct stream_effect items[STREAM_EFFECTS_MAX];
};

/* durable_lsn: what the local log has; shipped_hint: the lsn of the last STREAM_DO_REMOTE (0:
 * none), believed only for whether there is anything to do: nothing is sent while both are the
 * same. durable_bytes: payload bytes of what lies behind the hint. */
void stream_init(struct stream *s, const struct stream_options *options, uint64_t durable_lsn,
                 uint64_t durable_bytes, uint64_t shipped_hint, uint64_t now_ms);
/* nonce: 16 fresh random bytes for this step, used if it writes a root. */
void stream_step(struct stream *s, const struct stream_event *event, const uint8_t nonce[16],
                 struct stream_effects *out);
/* Milliseconds since the oldest durable record that is not shipped became durable; 0: none. */
uint64_t stream_lag_ms(const struct stream *s, uint64_t now_ms);
/* Where a log that counts from shipped_lsn on would begin: the floor of a base whose first row was
 * read after this. False unless OWNED. */
bool stream_floor(const struct stream *s, struct log_floor *out);

#endif
