/* sim.h - the simulator of the way to the bucket: several nodes with the very stream_step() that
 * runs in production, one bucket, a virtual clock, and everything that goes wrong between them. One
 * thread, one seed: the seed replays exactly.
 *
 *   sim_main.c    arguments, seeds, twins, what must have been seen
 *   sim_run.c     one seed: its clock, its beginning, and the settling at its end
 *   sim_plan.c    what people, clients and networks do
 *   sim_node.c    a node: its process and its clients
 *   sim_disk.c    its disk: the real log over a file system that forgets
 *   sim_trouble.c what goes wrong with it
 *   sim_engine.c  what writes that log, one step at a time
 *   sim_shell.c   the shell that docs/protocol.md asks for
 *   sim_send.c    what waits to be sent, the breaker before it, pressure on writers
 *   sim_net.c     the network, and a bucket that is not well
 *   sim_store.c   the bucket: root and groups
 *   sim_gc.c      the rest of what lies there, listings, deletes, and what they must not touch
 *   sim_collect.c publishing, and the shell of the collector
 *   sim_fold.c    folds of S3Only, and what a head may give up
 *   sim_reader.c  who reads while things change, with a pin and without
 *   sim_check.c   what a restore would read, and what must be true of it
 *   sim_outage.c  a bucket that is away for hours: another mode
 *   sim_world.c   clock, events, chance, failing */
#ifndef TESTS_SIM_H
#define TESTS_SIM_H

#include "segment/group.h"
#include "sim_engine.h"
#include "snapshot/collect.h"
#include "tests/support/fs_sim.h"
#include "tiering/breaker.h"
#include "tiering/pressure.h"
#include "tiering/stream.h"

enum {
    SIM_NODES = 3,
    SIM_LSNS = 600,
    SIM_VALUES = 2400,
    SIM_GROUPS = 1500,
    SIM_GROUP_SLOTS = 4096,
    SIM_GROUP_RECORDS = 16,
    SIM_EPOCHS = 400,
    SIM_EVENTS = 3000,
    SIM_REQUESTS = 400,
    SIM_MANIFESTS = 64,
    SIM_LETTERS = 64,
    SIM_TAILS = 8,
    SIM_SEGMENTS = 200,
    SIM_BASE_SEGMENTS = 4,
    SIM_PINS = 48,
    SIM_READERS = 3,
    SIM_RUNS = 48,
    SIM_PAGE = 40,
    SIM_NAMES = 2000,
    SIM_BATCH = 6,
    SIM_TEXT = 512,
};

/* Broken twins of the shell, beside those of the core (enum stream_twin). */
enum {
    SIM_TWIN_TRIM_SHIPPED = 1 << 16,  /* the log is trimmed by shipped_lsn */
    SIM_TWIN_LOSE_TAIL = 1 << 17,     /* a divergent tail is not kept */
    SIM_TWIN_CHECK_REACHES = 1 << 18, /* a log that reaches T is taken for the same */
    SIM_TWIN_FORGET_SYNC = 1 << 19,   /* the log says durable without having synced */
    SIM_TWIN_BELIEVE_PIN = 1 << 21,   /* a pin holds once it is written */
    SIM_TWIN_LIST_FROM_ONE = 1 << 22, /* groups are listed from the first there ever was */
    SIM_TWIN_FOLD_EARLY = 1 << 23,    /* the head gives up a fold's rows before the root names it */
    SIM_TWIN_FOLD_FENCED = 1 << 29,   /* a fold that was refused counts as made */
    SIM_TWIN_COLLECT_SHIFT = 24,      /* those of the collector (enum collect_twin), 5 bits */
    SIM_TWIN_BELIEVE_PARTIAL = 1 << 20, /* a listing that is cut short is taken for all of it */
};

/* What the seeds together must reach; the run fails if one of these was never seen. */
enum sim_seen {
    SEEN_TAKEOVER_DURING_COMMIT = 0,
    SEEN_LOST_200,
    SEEN_LATE_PUT_AFTER_TAKEOVER,
    SEEN_TWO_OPEN_EPOCHS,
    SEEN_DIVERGED_RELOAD,
    SEEN_DIVERGENT_TAIL,
    SEEN_PARKED_AND_STORED,
    SEEN_GAP,
    SEEN_DISCARDED_BUT_STORED,
    SEEN_FENCED_WHILE_REMOTE_WAITS,
    SEEN_FOREIGN,
    SEEN_ROOT_LOST_AND_FOUND,
    SEEN_HALTED_BY_BAD_BYTES,
    SEEN_COMMIT_RESOLVED,
    SEEN_FLOOR_IN_OPEN_EPOCH,
    SEEN_SAME_NAME_FENCED,
    SEEN_CRASH_BETWEEN_EFFECTS,
    SEEN_HINT_LOST,
    SEEN_DROPPED_UNDER_FAULTS,
    SEEN_TORN_TAIL,
    SEEN_POWER_CUT,
    SEEN_CRASH_IN_WRITE,
    SEEN_REFUSED_IN_FLIGHT,
    SEEN_UNKNOWN_OUTCOME,
    SEEN_FULL_DISK_AND_BACK,
    SEEN_BIT_ROT,
    SEEN_DAMAGED_LOG,
    SEEN_HEALED_FROM_BUCKET,
    SEEN_COLLECTED,
    SEEN_COLLECTOR_FENCED,
    SEEN_LATE_DELETE,
    SEEN_DEAD_PIN,
    SEEN_PIN_HELD,
    SEEN_PIN_TOO_LATE,
    SEEN_READER_404,
    SEEN_READ_THROUGH,
    SEEN_TAIL_SETTLED,
    SEEN_END_LOST,
    SEEN_THROTTLED,
    SEEN_STORE_FULL,
    SEEN_SLOW,
    SEEN_PARTIAL,
    SEEN_HALF_OPEN,
    SEEN_RED,
    SEEN_FOLDED, /* from here on of cold seeds alone */
    SEEN_MERGED,
    SEEN_COUNT,
};
extern const char *const SIM_SEEN_NAMES[SEEN_COUNT];

struct sim_record { /* by value: every record's content is another number */
    uint8_t node;
    uint32_t lsn; /* where it was written */
    bool acked, acked_remote, refused, lettered, discarded, disk_lost;
};

struct sim_group {
    uint64_t epoch, seq, first_lsn, last_lsn, chain_before, chain;
    bool gap, deleted;
    uint32_t values[SIM_GROUP_RECORDS];
};

struct sim_manifest {
    uint64_t id;       /* its number + 1, and the uuid's first bytes */
    uint64_t revision; /* of its name */
    uint64_t parent_revision;
    struct log_floor floor;
    uint64_t segments[SIM_BASE_SEGMENTS];
    size_t segment_count;
    bool there;
    uint64_t modified_ms, replaced_ms; /* when the one after it was put; 0: not yet */
    uint64_t base_lsn;                 /* rows of everything up to it are in its segments */
    uint32_t base[SIM_LSNS + 1];
    struct lineage lineages[ROOT_LINEAGES_MAX];
    size_t lineage_count;
    bool named, refused;
};

struct sim_segment {
    bool there;
    uint64_t modified_ms;
    uint64_t first_lsn, last_lsn; /* of its rows, where it is a cold one */
};
struct sim_pin { /* its uuid is its number + 1 */
    bool there, holds;
    uint64_t manifest;   /* its id; 0: none */
    uint64_t epoch, seq; /* the last group it needs */
};
struct sim_run { /* groups that are read */
    uint64_t epoch, first, last;
};
struct sim_reader {
    bool on, pinned, holds;
    int stage, rounds;
    struct root root;
    char etag[OBJSTORE_ETAG_BYTES];
    uint64_t root_ms, pace_ms;
    size_t pin; /* number + 1 */
    struct sim_run runs[SIM_RUNS];
    size_t run_count, index;
    uint64_t seq;
};
struct sim_name {
    char key[OBJKEY_BYTES];
    uint64_t modified_ms;
};
struct sim_page { /* of a listing, of the request of this order */
    uint64_t order;
    bool truncated;
    size_t count;
    struct sim_name names[SIM_PAGE];
};
struct sim_publish {
    bool on;
    uint64_t manifest;
    size_t segments, done; /* to put, and put */
    struct stream_event commit;
};

struct sim_content {   /* what a restore would have */
    uint64_t from_lsn; /* nothing is known up to it: the base is not published */
    uint64_t last_lsn, chain;
    uint32_t values[SIM_LSNS + 1]; /* 0: a gap */
    const char *problem;           /* NULL, or why it cannot be read */
};

struct sim_request {
    bool used;
    bool waits, answered; /* to be sent; its core was told */
    int refs;
    size_t node;
    uint64_t gen;     /* of the core that asked */
    uint64_t sent_in; /* the process that did */
    uint64_t order;
    struct stream_effect effect;
    bool collects; /* it is a collector's: */
    struct collect_effect gc;
    size_t name_count;
    uint64_t date_ns;
    char etag[OBJSTORE_ETAG_BYTES];
    bool applied, replace; /* replace: the answer is `class`, whatever it came to */
    enum objstore_class class;
    bool maybe, cut_short;
    uint64_t retry_after_ms;
    struct stream_event answer;
    char answer_etag[OBJSTORE_ETAG_BYTES];
    /* Not cleared: read where the above says that they are there. */
    struct root root, answer_root;
    struct objkey names[SIM_BATCH];
    uint32_t values[SIM_GROUP_RECORDS];
};

enum sim_event_kind {
    EV_APPLY = 0,
    EV_ANSWER,
    EV_TICK,
    EV_SYNC,   /* the log's batch is written and synced */
    EV_LOGGED, /* its callbacks run */
    EV_IDLE,   /* its marker */
    EV_SPACE,  /* a full disk has room again */
    EV_TAIL,   /* a divergent tail is in a letter's file */
    EV_PUBLISH_BEGIN,
    EV_PUBLISH,
    EV_GIVE_UP, /* the head, up to lsn */
    EV_COLLECT_BEGIN,
    EV_COLLECT, /* its timer */
    EV_MARKED,  /* its mark was answered: local.class */
    EV_READER,  /* request: which */
    EV_PUMP,    /* the breaker may admit another request */
    EV_LOCAL,
    EV_HINT,
    EV_START,
    EV_LOAD,
    EV_PLAN
};
struct sim_event {
    uint64_t at_ms, order;
    enum sim_event_kind kind;
    size_t node;
    uint64_t gen;
    size_t request;
    struct stream_event local; /* EV_LOCAL: ENCODED, LOCAL_CHECKED */
    uint64_t lsn, chain;       /* EV_HINT */
};

struct sim_letter {
    bool used;
    uint64_t epoch, seq, first_lsn, last_lsn;
};

struct sim_disk {
    struct fs_sim *fs; /* NULL: there never was one */
    struct rand_seeded rand;
    struct wal_engine engine;
    struct wal *log;                 /* NULL while its node is down */
    uint64_t kept_lsn;               /* rows up to it are in a checkpoint */
    uint64_t sure_lsn;               /* up to here the log says durable, and is believed */
    uint64_t active_ms;              /* when the log last worked */
    uint64_t end_number, end_offset; /* the file it wrote last, and how far */
    bool rotten, damaged;            /* a bit turned; the log was found damaged */
    bool was_full;
    uint64_t space_max; /* 0: as much as is wanted */
    uint32_t faults;    /* planned since it was opened */
};
enum sim_end { END_STOP = 0, END_KILL, END_POWER };

struct sim_node {
    struct sim *world;
    char name[8];
    bool on_disk; /* it has the collection */
    struct sim_disk disk;
    /* What it believes: hist[lsn] is the content, the log has it from log_first on. */
    uint32_t hist[SIM_LSNS + 1];
    uint64_t chain[SIM_LSNS + 1];
    uint64_t durable_lsn, log_first;
    uint64_t hint_lsn, hint_chain;
    bool hint_loaded;
    uint64_t head_kept; /* S3Only: the local disk can make the head again that begins behind it */
    bool unreadable[SIM_LSNS + 1]; /* it was discarded without having been read */
    /* The process. */
    bool up, streams; /* streams: the core runs; a damaged log is only served */
    uint64_t gen;     /* another with every start and every stream: who is answered */
    uint64_t session; /* another with every start */
    struct stream stream;
    struct breaker breaker;
    size_t waiting; /* requests that are not sent */
    enum pressure_level pressure;
    uint64_t paused_until_ms;
    uint64_t crash_in; /* effects until it crashes; 0: does not */
    uint64_t end_lsn;  /* written, not synced behind durable_lsn */
    uint64_t bytes, bytes_base_lsn;
    bool remote[SIM_LSNS + 1]; /* a client waits for the bucket */
    bool loading, flushed, created;
    struct sim_letter letters[SIM_LETTERS];
    struct sim_letter tails[SIM_TAILS]; /* divergent ones that are not yet kept */
    uint64_t second, second_failures;
    uint64_t commit_id; /* of the commit under way; 0: none */
    struct sim_publish publish;
    uint64_t cold_set; /* of this manifest; 0: none */
    uint64_t given_up; /* the head has everything above it */
    struct collect collect;
    uint64_t collect_order;            /* of its request under way */
    enum objstore_class collect_class; /* what the last run came to */
    struct sim_page page;
    int64_t wall_off_ms; /* its wall clock against the store's */
    uint64_t effects;
};

struct sim_faults { /* per mille of requests */
    uint32_t lost_before, lost_after, late, twice, error, conflict, miss, bad, encode, partial;
};

struct sim {
    uint64_t seed, random;
    uint64_t now_ms, order;
    bool failed, trace, settling;
    char text[SIM_TEXT];
    uint32_t twins;
    size_t nodes;
    bool same_name, switching, will_drop;
    bool cold;          /* the collection is under S3Only */
    uint64_t publishes; /* of 100 things that happen: publishing, collecting, reading each */
    size_t dropper;     /* number + 1 of the node that drops the collection; 0: none does yet */
    uint64_t calm;      /* of 100 things that happen: clients write */
    struct sim_faults faults;
    uint64_t outage_until_ms, throttle_until_ms, full_until_ms, slow_until_ms;
    uint64_t deny_until_ms, miss_until_ms, end_ms;
    uint64_t unshipped_bytes_max, disk_bytes, disk_reserve; /* 0: not looked at */
    bool deny_all;
    size_t event_count;
    struct sim_node node[SIM_NODES];
    struct sim_record records[SIM_VALUES];
    uint32_t next_value;
    /* the bucket */
    bool has_root;
    struct root root;
    char etag[OBJSTORE_ETAG_BYTES];
    size_t group_count;
    uint16_t group_index[SIM_GROUP_SLOTS]; /* by epoch and seq: number + 1 */
    size_t manifest_count;
    uint64_t root_modified_ms;
    struct sim_segment segments[SIM_SEGMENTS];
    uint64_t segment_next;
    struct sim_pin pins[SIM_PINS];
    size_t pin_count;
    struct sim_reader readers[SIM_READERS];
    uint64_t keep_ms, grace_ms;
    uint32_t keep_versions;
    uint64_t deletes;
    /* what was once true */
    uint8_t epoch_session[SIM_EPOCHS][16];
    bool epoch_known[SIM_EPOCHS];
    struct lineage closed[SIM_EPOCHS];
    bool seen[SEEN_COUNT];
    uint64_t steps, request_count;
    uint64_t effect_count, crash_at; /* the effect before which its process crashes; 0: none */
    struct sim_content content;      /* of the last check */
    /* Not cleared for the next seed, but when each is taken. */
    struct sim_event events[SIM_EVENTS];
    struct sim_request requests[SIM_REQUESTS];
    struct sim_group groups[SIM_GROUPS];
    struct sim_manifest manifests[SIM_MANIFESTS];
    uint32_t segment_rows[SIM_SEGMENTS][SIM_LSNS + 1];
};

/* sim_world.c */
uint64_t sim_random(struct sim *w);
uint64_t sim_below(struct sim *w, uint64_t bound);
bool sim_chance(struct sim *w, uint32_t per_mille);
void sim_fail(struct sim *w, const char *format, ...) PRINTF_LIKE(2, 3);
void sim_say(struct sim *w, const char *format, ...) PRINTF_LIKE(2, 3);
struct sim_event *sim_at(struct sim *w, uint64_t at_ms, enum sim_event_kind kind, size_t node);
bool sim_next(struct sim *w, struct sim_event *out);
uint64_t sim_bytes(uint32_t value);

/* sim_store.c */
void store_apply(struct sim *w, struct sim_request *r);
enum stream_event_kind store_answer_kind(enum stream_effect_kind kind);
const struct sim_group *store_group(const struct sim *w, uint64_t epoch, uint64_t seq);
const struct sim_group *store_group_ever(const struct sim *w, uint64_t epoch, uint64_t seq);

/* sim_gc.c */
uint64_t gc_id(const uint8_t uuid[16]);
struct sim_manifest *gc_manifest(struct sim *w, uint64_t id);
uint64_t gc_date_ns(const struct sim *w, uint64_t at_ms);
void gc_apply(struct sim *w, struct sim_request *r);
const char *gc_problem(const struct sim *w);
void gc_marked(struct sim *w); /* the mark has risen */
void gc_check_end(struct sim *w);

/* sim_collect.c */
void publish_begin(struct sim *w, size_t node);
void publish_step(struct sim *w, size_t node);
void collect_open(struct sim *w, size_t node);
void collect_begin(struct sim *w, size_t node);
void collect_tick(struct sim *w, size_t node);
void collect_marked(struct sim *w, size_t node, enum objstore_class class);
void collect_answer(struct sim *w, struct sim_request *r);

/* sim_fold.c */
bool fold_begin(struct sim *w, size_t node, struct sim_manifest *m); /* false: nothing to fold */
void fold_done(struct sim *w, size_t node, const struct sim_manifest *m);
bool fold_crashes(struct sim *w, size_t node);
void fold_give_up(struct sim *w, size_t node, uint64_t lsn);
void fold_open(struct sim *w, size_t node, const struct root *root);
void fold_start(struct sim_node *n);
void fold_check(struct sim *w, size_t node);
void fold_check_all(struct sim *w);
const char *fold_content(const struct sim *w, const struct sim_manifest *m,
                         uint32_t values[SIM_LSNS + 1]);

/* sim_reader.c */
void reader_begin(struct sim *w, bool pinned);
void reader_step(struct sim *w, size_t at);

/* sim_net.c */
void store_send(struct sim *w, struct sim_request *r);
void store_forget(struct sim *w, struct sim_request *r);
bool store_away(const struct sim *w);

/* sim_send.c */
struct sim_request *send_make(struct sim *w, size_t node); /* NULL: there is no room */
void send_request(struct sim *w, size_t node, const struct stream_effect *effect,
                  const uint32_t *values);
void send_pump(struct sim *w, size_t node);
void send_answered(struct sim *w, struct sim_request *r, enum objstore_class class);
void send_forget(struct sim *w, size_t node);
enum pressure_level send_pressure(struct sim *w, size_t node);

/* sim_node.c */
void node_start(struct sim *w, size_t node, bool take_ownership);
void node_crash(struct sim *w, size_t node);
void node_write(struct sim *w, size_t node, size_t records, bool remote);
void node_logged(struct sim *w, size_t node);
void node_tails(struct sim *w, size_t node);
void node_load(struct sim *w, size_t node);
void node_hint(struct sim *w, size_t node, uint64_t lsn, uint64_t chain);
bool node_takes_writes(const struct sim_node *n);
uint64_t node_chain(const struct sim *w, uint64_t before, uint64_t lsn, uint32_t value);

/* sim_disk.c */
#define SIM_LOG_DIR "log"
void disk_make(struct sim *w, size_t node, uint64_t lsn); /* an empty log behind lsn */
bool disk_open(struct sim *w, size_t node);               /* false: it is damaged */
void disk_close(struct sim *w, size_t node, enum sim_end how);
void disk_free(struct sim_node *n);
bool disk_submit(struct sim *w, size_t node, uint32_t value, uint64_t *lsn);
void disk_write(struct sim *w, size_t node);
void disk_told(struct sim *w, size_t node);
void disk_idle(struct sim *w, size_t node);
void disk_trim(struct sim *w, size_t node, uint64_t lsn);
bool disk_writable(const struct sim_node *n);
bool disk_has(struct sim *w, size_t node, uint64_t first_lsn, uint64_t last_lsn);
uint64_t disk_free_bytes(const struct sim_node *n);

/* sim_trouble.c */
void disk_rot(struct sim *w, size_t node);
void disk_trouble(struct sim *w, size_t node);
void disk_well(struct sim *w, size_t node);

/* sim_shell.c */
void node_step(struct sim *w, size_t node, struct stream_event e);

/* sim_check.c */
void check_read(const struct sim *w, struct sim_content *out);
void check_bucket(struct sim *w); /* after every change of it */
void check_root_change(struct sim *w, const struct root *before, const struct root *after);
void check_run(struct sim *w, size_t node); /* shipped_lsn against what is stored */
void check_remote(struct sim *w, size_t node, uint64_t lsn);
void check_acked(struct sim *w); /* nothing acknowledged is nowhere */
void check_same(struct sim *w, size_t node);

/* sim_plan.c */
void plan_one(struct sim *w);
void plan_overtake(struct sim *w, size_t at); /* it stands still, another one takes */

/* sim_run.c */
struct sim_options {
    uint64_t seed;
    uint32_t twins;
    bool trace, cold;
    uint64_t crash_at;
};
void sim_run(struct sim *w, const struct sim_options *options);

extern const uint8_t SIM_COLLECTION[16];

/* sim_outage.c */
int sim_outage(double hours, uint64_t seed); /* 0: all was as it must be */

#endif
