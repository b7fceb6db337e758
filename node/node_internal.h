/* node_internal.h - the structs of node/ and what its files share.
 *
 * Locks, in rank order: node.table (who is there), collection.seq (the sequencer), then those of
 * slots, vindex and wal. Nothing waits for disk with one held. */
#ifndef NODE_NODE_INTERNAL_H
#define NODE_NODE_INTERNAL_H

#include "base/epoch.h"
#include "base/hash.h"
#include "base/kv.h"
#include "base/lock.h"
#include "base/log.h"
#include "base/mem.h"
#include "index/vindex.h"
#include "node/bucket.h"
#include "node/node.h"
#include "node/points.h"
#include "node/store_trust.h"
#include "segment/catalog.h"
#include "segment/objkey.h"
#include "segment/record.h"
#include "snapshot/checkpoint.h"
#include "snapshot/publish.h"
#include "snapshot/restore.h"
#include "snapshot/restore_rows.h"
#include "tiering/tier.h"
#include "wal/wal.h"

enum {
    NODE_BUCKETS = 4096,         /* of the collection table, by id and by name */
    NODE_ID_BUCKETS = 64,        /* of a sequencer's ids in flight, while they are few */
    NODE_ID_BUCKETS_KEPT = 4096, /* so many are kept when there are none any more */
    NODE_META_BYTES = 16 * 1024 * 1024,
    NODE_TICK_MS = 50,
    NODE_LINK_ROWS = 8,             /* a linker's turn with one collection */
    NODE_INDEX_ROWS = 256,          /* and for its payload indexes */
    NODE_INDEX_PENDING_MAX = 16384, /* beyond, writers help */
    NODE_LINK_PAUSE_MS = 5,
    NODE_REPAIR_DEAD_MIN = 1000, /* DESIGN section 5: at max(1,000, 2 %) dead */
    NODE_REPAIR_DEAD_PERCENT = 2,
    NODE_REPAIR_BATCH = 65536,       /* dead slots a repair pass takes on */
    NODE_CLOSE_CHECKPOINT_MS = 8000, /* a graceful stop spends at most this on checkpoints */
    NODE_DIRECTORIES_TOLD = 4,       /* unknown log directories named one by one in health */
    NODE_RECOVER_THREADS = 2,
    NODE_LINKERS_MAX = 8,
    NODE_ROOM_BYTES = 1024 * 1024, /* a disk with so much free takes writes again */
    NODE_HINT_MS = 5000,           /* what was shipped is remembered so often, and at the end */
    NODE_BUCKET_WAIT_MS = 10000,   /* a catalog change waits so long for the bucket */
    NODE_BUCKET_RETRY_MS = 2000,   /* the start asks an absent bucket so often */
    NODE_STOP_FLUSH_MS = 5000,     /* a graceful stop ships for so long */
    NODE_DISK_RESERVE_BYTES = 64 * 1024 * 1024,
    NODE_EXPORT_BYTES_MAX = 512 * 1024 * 1024,
};

/* wal/<id> and snapshots/<id> of a collection that was healed, as they were. */
#define NODE_ASIDE ".damaged"

enum collection_state {
    COLLECTION_LOADING,
    COLLECTION_SERVING,
    COLLECTION_READ_ONLY,
    COLLECTION_FAILED, /* could not be loaded; serves nothing, reason says why */
    COLLECTION_DROPPED
};

/* Ids in the sequencer's hands (turns.c); guarded by its lock. Adding never fails. */
struct id_entry {
    struct id_entry *next, **at;
    struct docid id;
};
struct id_table {
    struct id_entry **buckets;
    size_t mask, count;
    struct id_entry *few[NODE_ID_BUCKETS];
};
/* An id that a record in flight will change: what the sequencer knows beyond what is applied. */
struct write_op;
struct overlay_entry {
    struct id_entry link;
    struct write_op *op;
    bool present;
};

/* A place in the order of those who will write an id next. */
struct turn;
struct turn_entry {
    struct id_entry link;
    struct turn *turn;
    struct turn_entry *later; /* who comes next to this id */
};
struct turn {
    struct turn *next;
    struct task *task;          /* resubmitted when it has come */
    struct turn_entry *entries; /* as many as there are ids; the holder's */
    size_t count;
    size_t behind; /* entries that another is before */
    bool held;     /* waited for, or come, and not left yet */
};
struct turn_list {
    struct turn *first, *last;
};

/* A write that is durable here and waits for the bucket. Lies in its operation. */
struct remote_wait {
    struct remote_wait *next;
    uint64_t lsn;
    uint64_t deadline_ns;
    void (*answer)(struct remote_wait *wait, bool remote);
};

/* What is known of a collection's bucket side between publishes; kept in LMDB beside the hint. */
struct bucket_marks {
    uint64_t hint_lsn;      /* shipped, and confirmed by a root read */
    uint64_t hint_chain;    /* of the log there */
    bool hint_loaded;       /* it is where a load from the bucket ended, not confirmed since */
    uint64_t log_bytes;     /* payload bytes behind the floor, about */
    uint64_t segment_bytes; /* the manifest names */
    uint64_t object_bytes;  /* images and manifest */
    uint64_t image_rows;    /* live when the image was written; 0: none */
    uint64_t image_lsn;
    uint64_t changed_rows; /* since the image, about */
    uint64_t published_lsn, published_at_ns;
    uint32_t segments;
    uint64_t cold_floor; /* of the cold segments the manifest names; 0: none */
    bool foreign;        /* the root was another node's when it was last seen */
    bool switching;      /* the base is not known to be published: a start asks the root */
};

struct shipped_counts { /* of streams that were closed since the start */
    uint64_t uploads, retries, permanent_failures;
};

struct meta_job {
    struct meta_job *next;
    void (*run)(struct meta_job *job);
};

/* The metrics of a collection under one name. A rename makes a new set; the old one is dropped when
 * nobody who was inside an epoch guard then is any more. */
struct collection_stats {
    struct epoch_retired retired;
    struct stats_metric *inserts, *vectors, *search_seconds, *insert_seconds, *snapshot_timestamp;
    struct stats_metric *seed[8];
    _Atomic(struct stats_metric *) cold_seconds; /* searches under S3Only; NULL until the first */
    size_t seed_count;
};

struct collection_field {   /* a vector field */
    struct field_info info; /* as it was created; owns the name */
    uint16_t id;            /* in catalog, records and objects */
    struct vindex *vindex;
    /* As the catalog has them, whatever info says. The index has ef_search and threshold as soon as
     * it is served; one with another m, ef_construction or quantization is made in the background.
     */
    _Atomic uint16_t m, ef_construction, ef_search;
    _Atomic uint32_t threshold;
    _Atomic uint8_t quantization;     /* enum vquantization */
    _Atomic uint64_t rebuild_wall_ns; /* when the one under way began; 0: none */
    _Atomic bool rebuild_waits;       /* for memory */
    _Atomic uint64_t rebuild_ending;  /* the wish of a step under way, until all is told; 0 */
    uint64_t rebuild_mono_ns;         /* the upkeep thread's */
};
struct pindex_set;
struct cold; /* cold_internal.h */

struct collection {
    /* Set by collection_create(), never changed after it. */
    struct node *node; /* borrowed */
    uint8_t id[16];
    char id_text[UUID_TEXT_BYTES];
    uint64_t fair_key;
    uint64_t created_at_ns;
    struct mem_budget budget;
    bool string_ids;
    struct collection_field *fields; /* by position */
    size_t field_count;
    size_t vector_bytes;          /* of a row that has all of them */
    struct slots *slots;          /* and the fields' indexes: the loader's while loading */
    struct pindex_set *pindex;    /* of these rows; NULL only where slots is */
    struct cold *cold;            /* cold.h; never NULL */
    struct lock indexes_lock;     /* LOCK_RANK_INDEXES: its indexes follow the settings */
    _Atomic bool indexing;        /* a thread is at it */
    _Atomic bool indexes_missing; /* one that is defined could not be begun; it is tried again */
    _Atomic(struct collection_stats *) stats; /* read inside an epoch guard */

    _Atomic uint32_t pins;        /* the table's own counts as one */
    _Atomic uint64_t applied_lsn; /* released after a record's rows are published */
    _Atomic uint64_t snapshot_lsn;
    _Atomic uint64_t checkpoint_bytes;
    _Atomic uint64_t checkpoint_wall_ns;
    _Atomic uint64_t checkpoint_mono_ns;
    _Atomic uint64_t inserted;       /* documents, since the start */
    _Atomic bool disk_refused;       /* its log's last write found no space */
    _Atomic bool room_wanted;        /* a write was refused: every dead row is worth taking out */
    uint64_t checkpoint_log_bytes;   /* of its log after the last one; the upkeep thread's */
    _Atomic bool graph_news;         /* another graph serves than the checkpoint has */
    _Atomic uint32_t graphs_made;    /* anew, since the start */
    _Atomic bool checkpoint_failed;  /* the last one tried */
    _Atomic bool checkpoint_damaged; /* the one on disk: nothing of it may be kept */
    struct meta_job bury_job;

    _Atomic uint8_t policy;     /* enum node_policy */
    _Atomic uint8_t durability; /* enum node_durability */
    struct {
        struct lock lock; /* LOCK_RANK_REMOTE */
        struct remote_wait *first, **last;
        uint64_t reached_lsn; /* writes up to it are remote-durable */
        bool closed;          /* nobody will answer: waits are answered as local at once */
    } remote;
    struct {                       /* guarded by lock */
        struct lock lock;          /* LOCK_RANK_BUCKET */
        struct bucket_marks marks; /* as LMDB shall have them */
        bool dirty;                /* LMDB has others */
        uint64_t written_ms;
        bool publish_failed; /* the last try, and why */
        char publish_reason[NODE_REASON_BYTES];
        bool root_lost;
    } bucket;
    _Atomic uint64_t last_write_ns; /* monotonic */
    _Atomic uint64_t ops_since_fold, bytes_since_fold;
    _Atomic uint64_t compactions;
    _Atomic bool arriving;     /* comes from the bucket; not whole on the local disk yet */
    _Atomic bool in_load;      /* the load thread's: neither reset nor dropped meanwhile */
    uint64_t publish_next_ms;  /* who works on it (cold_work_try()) has these: not before */
    uint32_t publish_failures; /* in a row */
    struct {                   /* collector.c */
        struct collect *run;   /* NULL: none is under way */
        bool wanted;           /* something may have become garbage */
        uint64_t next_ms;      /* not before; monotonic */
        uint64_t again_ms;     /* wanted then, because of its age; 0: not */
        uint64_t epoch;        /* for which it was wanted */
        struct log_repeat said;
    } collecting;

    struct {                                  /* guarded by lock */
        struct lock lock;                     /* LOCK_RANK_SEQUENCER */
        _Atomic enum collection_state state;  /* changed under lock, read without */
        struct wal *wal;                      /* NULL while loading and once dropped */
        char reason[NODE_REASON_BYTES];       /* why READ_ONLY */
        struct tier_stream *stream;           /* NULL: Memory, or not open */
        struct shipped_counts shipped_before; /* counters never fall */
        uint32_t log_holders;                 /* who read the log; it is not closed meanwhile */
        struct cond released;
        bool fenced; /* the bucket's root says it is not ours to write */
        char fence_reason[256];
        bool dropping; /* it may be dropped in the bucket: drop_unsure.c */
        struct id_table overlay;
        struct id_table turns;
        uint64_t last_lsn; /* submitted */
    } seq;

    struct {                           /* guarded by lock */
        struct lock lock;              /* LOCK_RANK_LEAF */
        struct catalog_collection now; /* its settings alone */
    } settings;

    struct { /* guarded by node->table.lock */
        char name[CATALOG_NAME_BYTES_MAX + 1];
        struct collection *next_by_id, *next_by_name;
        struct collection *next_grave;
    } table;

    struct { /* guarded by node->linkers.lock */
        struct collection *next;
        bool queued; /* pinned as long */
    } link;
};

/* What is known of the store, and what follows (bucket_probe.c). */
struct store_trust {
    struct objstore *raw; /* what the node was given; options.store is a gate in front of it. NULL:
                           * the store is trusted as it is */
    /* The publish thread's, once it runs. */
    struct store_memory memory;
    char marker[STORE_ID_BYTES]; /* whom meta/pinned names */
    _Atomic bool marker_known;
    _Atomic bool is_open;
    _Atomic uint64_t probed_ms;
    uint64_t began_ms, next_ms, warned_ms;
    unsigned failures;
    struct store_shown { /* guarded by node->bucket.lock; the publish thread's to change */
        enum store_mode mode;
        enum probe_grade grade;
        char text[STORE_TEXT_BYTES];
        char trouble[256]; /* why the last try came to nothing; "" */
    } shown;
};

struct job_queue {    /* jobs for one thread */
    struct lock lock; /* LOCK_RANK_QUEUE */
    struct cond wake;
    struct meta_job *first, **last;
    bool stopping;
};

struct node {
    /* Set by node_open(). */
    struct node_options options;
    char *data_dir, *wal_dir, *snapshot_dir, *node_id;
    struct fs_file *lock_files[3]; /* of data, log and snapshot directory */
    struct kv *kv;
    struct wal_engine *engine;
    struct epoch *epoch;
    struct mem_budget budget;
    uint64_t started_mono_ns;

    _Atomic bool readonly;
    _Atomic bool stopping;
    _Atomic uint32_t ops;     /* writes under way; node_close() waits for them */
    _Atomic uint32_t loading; /* collections not loaded yet */
    _Atomic uint32_t loaded_total;
    _Atomic uint32_t
        cold_undecided; /* cold sets that no try since the start has opened, or failed to */
    _Atomic uint64_t cold_await_ns; /* monotonic: since when nothing but these is waited for */

    struct {              /* guarded by lock */
        struct lock lock; /* LOCK_RANK_NODE */
        struct collection *by_id[NODE_BUCKETS];
        struct collection *by_name[NODE_BUCKETS];
        uint32_t count;
        struct collection *graves; /* no pin left; freed by the upkeep thread */
        size_t reason_count;
        char reasons[NODE_REASONS_MAX][NODE_REASON_BYTES];
    } table;

    struct catalog catalog; /* the meta thread's alone once node_open() returned */
    struct catalog
        coming; /* what the bucket's has beside it and is being loaded; the meta thread's */

    struct {                         /* cold_exec.c; guarded by lock */
        struct lock lock;            /* LOCK_RANK_LEAF */
        _Atomic(struct exec *) exec; /* NULL until the first use; read without */
        bool closed;
    } cold_exec;

    struct {              /* guarded by lock */
        struct lock lock; /* LOCK_RANK_LEAF */
        struct vindex_scratch **items;
        size_t count, room;
    } scratches;

    struct {              /* guarded by lock: the linkers sleep here */
        struct lock lock; /* LOCK_RANK_QUEUE */
        struct cond wake;
        struct collection *first, **last; /* with rows to link, in turn */
        bool stopping;
    } linkers;

    struct {
        struct lock lock; /* LOCK_RANK_QUEUE; the reclaim thread sleeps here */
        struct cond wake;
        struct cond ran;
        struct cond stop; /* who pauses waits here */
        uint64_t rounds;  /* guarded by lock */
    } reclaim;

    struct job_queue meta;        /* catalog changes; may wait for the bucket for a while */
    struct job_queue upkeep;      /* checkpoints and repair */
    struct job_queue publish;     /* what waits for the network: publishing, the bucket's catalog */
    struct job_queue fold;        /* the same of collections under S3Only, which takes long */
    struct job_queue operator;    /* what operators ask of letters and ownership */
    struct job_queue load;        /* collections that come from the bucket */
    struct load_job *loads_later; /* that failed; the load thread's alone */
    struct kv_writer *kv_writer;  /* LMDB writes */
    struct dlq *dlq;
    struct tier *tier;   /* NULL: no bucket */
    struct cache *cache; /* of cold segments; NULL: no bucket */
    uint8_t session[16];
    char *owner_id;            /* who we are to the bucket (docs/decisions/owner-identity.md) */
    _Atomic bool catalog_seen; /* the bucket's, since the start */
    _Atomic bool sync_wanted;  /* it is to be read again */
    _Atomic bool sync_later;   /* the same, in a while */
    _Atomic uint64_t catalog_changes; /* of the bucket's, by this node; the meta thread raises it */
    _Atomic bool bucket_refused;      /* it is for newer programs; bucket.bucket_reason says it */
    _Atomic bool format_wanted;       /* meta/format is not there, and could not be written yet */
    _Atomic bool load_first;          /* an empty directory: not ready until the bucket was asked */
    struct {                          /* guarded by lock */
        struct lock lock;             /* LOCK_RANK_INDEXES */
        struct index_wait *first;
        _Atomic uint32_t count;      /* read without, as a hint */
    } index_waits;                   /* who waits until an index is built */
    _Atomic uint32_t remote_waits;   /* in all collections */
    _Atomic bool waits_over;         /* the node stops: no write waits for the bucket any more */
    _Atomic int pressure;            /* enum pressure_level */
    _Atomic uint32_t pressure_turns; /* whose write waits next: ship_pressure() */
    uint64_t ship_ticked_ms;         /* the reclaim thread's */
    struct {                         /* guarded by lock */
        struct lock lock;            /* LOCK_RANK_LEAF */
        struct pressure now;
        char bucket_reason[NODE_REASON_BYTES]; /* what is wrong with the bucket as a whole; "" */
        char
            catalog_reason[NODE_REASON_BYTES]; /* what of its catalog could not be taken over; "" */
        struct catalog aliases;     /* what node_alias_list() shows: a copy of the catalog's */
        struct node_vacuum *vacuum; /* the last one; made by the first, stays */
    } bucket;
    struct store_trust trust;
    size_t letters_damaged;
    bool meta_damaged; /* meta/data.mdb had to be begun anew, or lost entries */
    struct {           /* recovery threads take the next collection from here */
        struct collection **items;
        size_t count;
        _Atomic size_t next;
    } recovery;

    struct thread fold_thread;
    struct thread meta_thread, upkeep_thread, reclaim_thread, publish_thread, load_thread,
        operator_thread;
    struct thread link_threads[NODE_LINKERS_MAX];
    unsigned link_thread_count;
    struct thread recover_threads[NODE_RECOVER_THREADS];

    struct idempotency *idempotency;

    struct stats_metric *distance_computations, *collections, *vectors, *deleted_vectors;
    struct stats_family *memory_bytes, *collection_vectors;
    struct stats_metric *disk_free, *checkpoint_seconds, *unindexed;
    struct stats_metric *rebuild_seconds, *rebuild_rows;
    struct stats_metric *unshipped_seconds, *unshipped_bytes, *backpressure, *breaker;
    struct stats_metric *store_grade, *store_pinned, *cache_bytes;
    struct stats_metric *collect_runs_ok, *collect_runs_failed, *collect_objects, *collect_bytes;
    struct stats_family *search_seconds, *insert_seconds, *inserts, *snapshot_timestamp, *seed[8];
    size_t seed_count;
    struct stats_metric *cpu_seconds, *resident_bytes, *virtual_bytes, *open_fds, *max_fds;
};

/* jobs.c */
void jobs_init(struct job_queue *q, const char *name);
void jobs_fini(struct job_queue *q);
bool jobs_push(struct job_queue *q, struct meta_job *job); /* false once stopping */
/* The next job; NULL after timeout_ns, or when stopping and nothing is left. */
struct meta_job *jobs_wait(struct job_queue *q, uint64_t timeout_ns, bool *stopped);
void jobs_stop(struct job_queue *q);
/* Runs one step on the queue's thread and waits for it. Not from that thread. */
typedef status job_step_fn(void *arg, struct err *err);
NODISCARD
status jobs_run(struct job_queue *q, job_step_fn *step, void *arg, struct err *err);

/* collection.c */
NODISCARD
status collection_create(struct node *node, const struct catalog_collection *entry,
                         struct collection **out, struct err *err);
/* Everything but the files; no reader, no log. */
void collection_destroy(struct collection *c);
void collection_pin(struct collection *c);
struct collection *node_collection_pin_id(struct node *node, const uint8_t id[16]); /* or NULL */
/* *c, pinned, becomes the one with its id that is in the table now: what was asked for a while ago
 * may find another in its place. ST_NOT_FOUND: it was dropped. */
NODISCARD
status collection_pin_now(struct collection **c, struct err *err);
void collection_set_state(struct collection *c, enum collection_state state, const char *reason);
/* Whether it serves and its log takes no writes any more, and why. */
bool collection_log_stopped_locked(struct collection *c, char *why, size_t why_bytes);
/* m, ef_construction, ef_search, threshold and quantization of all fields. */
void collection_take_hnsw(struct collection *c, const struct catalog_collection *entry);
/* ST_UNAVAILABLE where rows and log are a loader's, or could not be loaded. They stay, once there,
 * as long as the collection is pinned. */
NODISCARD
status collection_check_loaded(struct collection *c, struct err *err);
/* Throws away rows and vectors of a load that failed half way: for good, c->slots and the indexes
 * are NULL then, or for another try (NULL only if that fails). */
void collection_rows_drop(struct collection *c);
NODISCARD
status collection_rows_renew(struct collection *c, struct err *err);
void table_add(struct node *node, struct collection *c);
void table_remove(struct node *node, struct collection *c);
/* Under one lock: nobody finds neither. */
void table_replace(struct node *node, struct collection *old, struct collection *fresh);
void table_rename(struct node *node, struct collection *c, const char *name);
/* old, which may be NULL, is dropped and out of the table; fresh has the name: in one step. */
void table_succeed(struct node *node, struct collection *old, struct collection *fresh,
                   const char *name);
/* Pins every collection into a heap array; *count of them. ST_NOMEM. */
NODISCARD
status table_snapshot(struct node *node, struct collection ***out, size_t *count, struct err *err);
void table_snapshot_free(struct collection **items, size_t count);
void graves_free(struct node *node);
NODISCARD
status collection_paths(const struct collection *c, char wal[FS_PATH_BYTES],
                        char snapshot[FS_PATH_BYTES], struct err *err);

/* schema.c */
/* A door's number of a quantization (node.h) is 0 or one that an index has. */
NODISCARD
status schema_check_quantization(uint8_t asked, struct err *err);
uint8_t schema_byte_of(uint8_t asked); /* the catalog's */
enum vquantization schema_quantization(uint8_t byte);
/* What spec says with the node's defaults, checked; no id and no time yet. */
NODISCARD
status schema_entry(struct node *node, const struct collection_spec *spec,
                    struct catalog_collection *entry, struct err *err);
NODISCARD
status schema_init(struct collection *c, const struct catalog_collection *entry, struct err *err);
void schema_fini(struct collection *c); /* after a failed _init too */

/* settings.c */
NODISCARD
status collection_settings_init(struct collection *c, const struct catalog_collection *entry,
                                struct err *err);
void collection_settings_fini(struct collection *c); /* after a failed _init too */
/* fresh, of catalog_settings_copy(), is shown from now on, and empty then. */
void collection_settings_show(struct collection *c, struct catalog_collection *fresh);
/* The same from an entry of the catalog; as they were if memory is out. */
void collection_settings_take(struct collection *c, const struct catalog_collection *entry);
/* Those whose key begins with prefix, in order of their keys; in the arena. Any thread. */
struct setting_text {
    struct slice key; /* behind the prefix; a NUL follows it */
    struct slice value;
};
NODISCARD
status node_settings_list(struct collection *c, const char *prefix, struct arena *arena,
                          struct setting_text **out, size_t *count, struct err *err);

/* patch.c: node_setting_put() of a key that is chosen on the meta thread, where nobody else changes
 * the catalog, for the collection that is in the table then. *nothing: nothing changes, ST_OK. */
enum { SETTING_KEY_BYTES = CATALOG_SETTING_KEY_BYTES_MAX + 1 };
typedef status setting_key_fn(void *arg, struct collection *c, char key[SETTING_KEY_BYTES],
                              bool *nothing, struct err *err);
void setting_put_chosen(struct node *node, struct collection *c, setting_key_fn *choose,
                        struct slice value, node_admin_fn *done, void *arg);

/* indexes.c */
NODISCARD
status indexes_create(struct collection *c, struct err *err);
/* Makes the payload indexes those that the settings define. Without locks. */
void indexes_follow(struct collection *c);
bool indexes_behind(const struct collection *c); /* rows are to be put into them */
/* Puts up to so many rows in; false: nothing could be done. Any thread, without locks. */
bool indexes_turn(struct collection *c, uint32_t rows);
/* More wait than NODE_INDEX_PENDING_MAX; then writers help, whoever else is at it. */
bool indexes_over_bound(const struct collection *c);
void indexes_help(struct collection *c, uint32_t rows);
void indexes_tick(struct collection *c); /* the upkeep thread's */
/* An index that found no memory, if there is one: its path. */
bool indexes_full(struct collection *c, char *path, size_t path_bytes);
uint64_t indexes_bytes(struct collection *c);
/* Answers who waited for an index that is built now, or long enough, or all. */
void indexes_answer(struct node *node, bool all);

/* rebuild.c: graphs follow what the catalog asks for */
struct rebuild_room { /* zeroed: none */
    bool held[NODE_FIELDS_MAX];
    uint64_t added[NODE_FIELDS_MAX];
};
/* Memory for what `entry` asks for beyond what the collection has now, to be settled once that is
 * wanted, or will not be. ST_NOSPACE names the bytes; nothing is set aside then. */
NODISCARD
status rebuild_reserve(struct collection *c, const struct catalog_collection *entry,
                       struct rebuild_room *out, struct err *err);
void rebuild_settle(struct collection *c, struct rebuild_room *room, bool wanted);
/* What is due; the upkeep thread, which repairs and writes checkpoints too: no image is of two
 * graphs. True: another graph serves. */
bool rebuild_tick(struct collection *c);
void rebuild_info_of(struct collection *c, struct rebuild_info *out); /* it is loaded */

/* catalog_store.c */
NODISCARD
status catalog_store_read(struct node *node, struct err *err);
/* catalog_encode(); ST_INVALID where it does not fit: that is no full disk. */
NODISCARD
status catalog_bytes(const struct catalog *c, struct buf *out, struct err *err);
/* Before the bucket's is changed: what it has must fit here. */
NODISCARD
status catalog_fits(const struct catalog *c, struct err *err);
/* Writes `next` and makes it the node's; `next` is then empty. On failure next is the caller's, and
 * the disk has the catalog it had; ST_UNKNOWN: it has the one or the other. */
NODISCARD
status catalog_store_write(struct node *node, struct catalog *next, struct err *err);
/* After a failed write, where the bucket's catalog has the change already: it is taken over later.
 * Returns ST_UNKNOWN and says so. */
status catalog_store_missed(struct node *node, struct err *err);
/* What a crash left between the steps of create and drop (docs/formats/catalog.md). */
NODISCARD
status catalog_store_settle(struct node *node, struct err *err);
NODISCARD
status intent_put(struct node *node, const uint8_t id[16], struct err *err);
NODISCARD
status intent_remove(struct node *node, const uint8_t id[16], struct err *err);
/* Checkpoint and log of a collection that is no more. The log's directory goes last: as long as it
 * is there, a start finds the rest. */
NODISCARD
status remove_files(struct node *node, const char *id_text, struct err *err);
/* And what a healing moved aside, and what doors made of it. */
NODISCARD
status remove_all_files(struct node *node, const char *id_text, struct err *err);

/* admin.c */
typedef status catalog_change_fn(void *arg, struct catalog *c, struct err *err);
NODISCARD
status node_check_writable(struct node *node, struct err *err);
NODISCARD
status node_check_range(const char *what, uint64_t value, uint64_t low, uint64_t high,
                        struct err *err);
NODISCARD
status node_check_policy(struct node *node, enum node_policy policy, struct err *err);
/* catalog_change_fn; arg is the struct catalog_collection to add. */
NODISCARD
status admin_add_entry(void *arg, struct catalog *catalog, struct err *err);
/* ST_EXISTS: what comes from the bucket has it, and the local catalog not yet. */
NODISCARD
status admin_check_name_free(struct node *node, const char *name, struct err *err);
/* What the bucket's catalog has dropped goes here too; on the meta thread. */
void collection_drop_here(struct collection *c);

/* Of a bucket-backed one that is loaded: `change` takes it out of the bucket's catalog, and may do
 * more there; then its root is marked. On the meta thread, waits for the network. */
NODISCARD
status collection_drop_there(struct collection *c, catalog_change_fn *change, void *arg,
                             struct err *err);
/* What is left of it goes: neither the catalog nor the table has it any more. */
void collection_is_dropped(struct collection *c);

/* exports.c: what doors made of one is the other's, which has nothing of the kind. */
void exports_move(const struct collection *from, const struct collection *to);

/* drop_unloaded.c: whether this node may drop a collection it could not load from the bucket. Waits
 * for the network. */
NODISCARD
status drop_unloaded_allowed(struct collection *c, struct err *err);

/* drop_unsure.c: drops of bucket-backed collections whose end is not known. */
#define DROP_REASON                                                                                \
    "it was being dropped, and whether that is done is in the bucket's catalog, which is asked "   \
    "as "                                                                                          \
    "soon as it answers; until then it is read-only"
NODISCARD
status drop_begin(struct collection *c, struct err *err); /* before the bucket is asked for it */
bool drop_begun(struct node *node, const uint8_t id[16]);
void drop_is_unsure(struct collection *c); /* read-only until drop_settle() */
void drop_is_over(struct collection *c);   /* done or not, and known */
/* What of it the bucket's catalog says; the meta thread. *again: it is to be taken over once more.
 */
void drop_settle(struct node *node, const struct catalog *bucket, bool *again);
/* Intents that the local catalog has no collection for. */
NODISCARD
status drop_settle_start(struct node *node, struct err *err);

/* recover.c */
/* Every collection of the catalog is in the table, loading: before any other thread runs, who may
 * change the catalog and add what comes from the bucket. */
NODISCARD
status recover_list(struct node *node, struct err *err);
NODISCARD
status recover_start(struct node *node, struct err *err);
/* Opens the log of a collection that was just made. */
NODISCARD
status collection_open_log(struct collection *c, struct err *err);
/* The same, for rows that have everything up to lsn: the log begins behind it. */
NODISCARD
status collection_open_log_at(struct collection *c, uint64_t lsn, struct err *err);
/* The stream, then the log, once nobody holds it. */
void collection_close_log(struct collection *c);
struct wal *
collection_hold_log(struct collection *c); /* NULL: it has none; released all the same */
void collection_release_log(struct collection *c);

/* turns.c; the sequencer's lock is held for _locked, and where a table is changed or asked */
void id_table_init(struct id_table *t);
void id_table_fini(struct id_table *t);
void id_table_add(struct id_table *t, struct id_entry *e);
void id_table_remove(struct id_table *t, struct id_entry *e);
struct id_entry *id_table_find(struct id_table *t, const struct docid *id); /* the newest */
bool turns_meet_locked(struct collection *c, const struct docid *ids, size_t count);
/* True: it has come already, and its task is left alone. */
NODISCARD
bool turn_take_locked(struct collection *c, struct turn *turn, const struct docid *ids,
                      size_t count);
/* Of one that has come; nothing if it was left already. Appends those that come now. */
void turn_leave_locked(struct collection *c, struct turn *turn, struct turn_list *come);
void turn_list_add(struct turn_list *list, struct turn *turn);
void turns_come(struct collection *c, struct turn_list *come); /* no lock held */

/* idempotent.c */
struct idempotency;
NODISCARD
status idempotency_create(struct clock *clock, struct idempotency **out, struct err *err);
void idempotency_destroy(struct idempotency *t); /* accepts NULL */

/* write.c */
void write_on_cut(void *arg, uint64_t cut_lsn);
/* Zeroed: as a client's with no wishes. */
struct write_terms {
    enum node_durability durability; /* 0: the collection's */
    uint64_t wait_ms;                /* for the bucket; 0: the node's */
    struct turn *turn;               /* that has come, to the ids; left when the lsn is given. NULL:
                                      * the write waits until its ids have no turns any more */
    bool local;          /* answered when it is durable here, whatever the collection's durability,
                          * and taken however far the bucket lags behind */
    bool absent_too;     /* a delete logs ids that are not there as well */
    bool uncounted;      /* a delete, and nobody is told how many there were */
    bool only_if;        /* of one id: refused with ST_CONFLICT unless its newest record is ... */
    uint64_t newest_lsn; /* ... this one; 0: it is not there */
};
void write_on_terms(struct collection *c, struct write_row *rows, size_t count,
                    const struct write_terms *terms, node_write_fn *done, void *arg);
void delete_on_terms(struct collection *c, const struct docid *ids, size_t count,
                     const struct write_terms *terms, node_write_fn *done, void *arg);
/* Whether nothing in flight changes the ids of a turn that has come. If not, its task is
 * resubmitted once that is so. */
NODISCARD
bool write_settled(struct collection *c, struct turn *turn);
NODISCARD
status write_check_durability(struct collection *c, enum node_durability durability,
                              struct err *err);
void write_give_ids(struct node *node, struct write_row *rows, size_t count); /* to those without */
uint64_t write_wait_ns(const struct node *node, uint64_t wait_ms);

/* background.c */
NODISCARD
status background_start(struct node *node, struct err *err);
void background_stop(struct node *node);
void linkers_want(struct collection *c); /* it has rows to link; any thread, never waits */
/* The log and the files of a dropped collection, unpinned then; on the upkeep thread. */
void bury(struct collection *c);
/* Takes the dead rows of c out of its graph and retires them; waits for readers. */
void collection_repair(struct collection *c);
/* Waits until what is retired now, and no reader stands on, is free. */
void reclaim_wait(struct node *node);
NODISCARD
status checkpoint_run(struct collection *c, const _Atomic bool *stop, struct err *err);

/* kv_writer.c: the one thread that writes LMDB. */
struct kv_writer;
NODISCARD
status kv_writer_open(struct kv *kv, struct kv_writer **out, struct err *err);
void kv_writer_close(struct kv_writer *w); /* everything put is written first, if it can be */
/* Copies, in order; tried again until it succeeds. Never fails, never waits. */
void kv_writer_put(void *writer, const struct kv_write *writes, size_t count);
/* Waits for this transaction, which is tried once; not at all while what was put before it cannot
 * be written. */
NODISCARD
status kv_writer_apply(struct kv_writer *w, const struct kv_write *writes, size_t count,
                       struct err *err);

/* meta_store.c */
NODISCARD
status meta_open(struct node *node, struct err *err);
void meta_letters_anew(struct node *node);

/* bucket_open.c */
NODISCARD
status bucket_open(struct node *node, struct err *err);
void bucket_close(struct node *node);
static inline bool policy_has_bucket(uint8_t policy)
{
    return policy != NODE_MEMORY;
}

/* ship.c: a collection's stream, and those who wait for it. */
struct ship_call;
/* The log is open. Loads the marks and opens the stream of a bucket-backed collection. */
NODISCARD
status ship_open(struct collection *c, struct err *err);
/* The same for one that is new to the bucket: its root is made, with the floor at floor_lsn. Waits.
 */
NODISCARD
status ship_create(struct collection *c, uint64_t floor_lsn, bool switching, struct err *err);
void ship_close(struct collection *c);
/* With the reason, until the stream says something else; NULL: they are taken. */
void ship_refuse_writes(struct collection *c, const char *reason);
/* From the commit thread, the sequencer's lock held. */
void ship_logged_locked(struct collection *c, uint64_t lsn, uint64_t payload_bytes, uint64_t rows,
                        bool remote);
void ship_waits_reached(struct collection *c, uint64_t lsn);
void ship_waits_expire(struct collection *c, uint64_t now_ns);
/* What waits up to lsn will not be in the bucket under its lsn: answered as local. */
void ship_waits_give_up(struct collection *c, uint64_t lsn);
/* closed: those who wait, and who come, are answered as local. */
void ship_waits_close(struct collection *c, bool closed);
void ship_marks_read(struct collection *c, struct bucket_marks *out);
NODISCARD
status ship_call_create(struct ship_call **out, struct err *err);
NODISCARD
status ship_call_wait(struct ship_call *call, uint64_t timeout_ms, const _Atomic bool *stop,
                      struct err *err);
void ship_call_done(void *arg, status st, const struct err *err); /* tier_done_fn */
void ship_call_drop(struct ship_call *call);
NODISCARD
status ship_explain(struct collection *c, status st, struct err *err);
/* The base is published: what waited for it is answered. */
void ship_base_done(struct collection *c);
/* Takes the wait; answered now, on the ship thread, or at its deadline. */
void ship_wait(struct collection *c, struct remote_wait *wait);
void ship_tick(struct node *node); /* deadlines, pressure; the reclaim thread */
void ship_marks(struct collection *c, struct bucket_marks *out);
void ship_set_marks(struct collection *c, const struct bucket_marks *marks);
/* Changes some of them; what the stream says of the hint meanwhile is not lost. */
typedef void marks_change_fn(const void *arg, struct bucket_marks *marks);
void ship_change_marks(struct collection *c, marks_change_fn *change, const void *arg);
/* ST_LIMIT or ST_NOSPACE when the bucket lags too far behind for another write of so many rows. */
NODISCARD
status ship_pressure(struct collection *c, size_t rows, struct err *err);
/* Calls of tier.h that end in a callback, as calls that wait; not for workers. */
typedef void ship_start_fn(struct tier_stream *s, tier_done_fn *done, void *arg, const void *what);
NODISCARD
status ship_call(struct collection *c, ship_start_fn *start, const void *what, uint64_t timeout_ms,
                 struct err *err);
NODISCARD
status ship_own(struct collection *c, uint64_t timeout_ms, struct err *err);
/* Everything durable now is in the bucket. */
NODISCARD
status ship_flush(struct collection *c, uint64_t timeout_ms, struct err *err);
/* The same, while the node stops, too. */
NODISCARD
status ship_flush_anyway(struct collection *c, uint64_t timeout_ms, struct err *err);
/* The marks are in LMDB when it returns. Blocks on LMDB. */
NODISCARD
status ship_store_marks(struct collection *c, struct err *err);
/* Records up to it may leave the local log. Blocks on LMDB; the upkeep thread. */
uint64_t ship_trim_limit(struct collection *c);
void ship_stop(struct node *node);
/* Whether its base is still to be published; remembered over a restart. */
void ship_note_switching(struct collection *c, bool switching);
void ship_look_switching(struct collection *c);
void ship_remember(struct collection *c); /* the marks go to LMDB now */
void ship_forget(struct node *node, const uint8_t id[16]);
NODISCARD
bool ship_status(struct collection *c, struct tier_stream_status *out);

/* bucket_catalog.c */
/* Reads meta/catalog, changes it, writes it if nobody else did meanwhile. ST_UNAVAILABLE: the
 * bucket is away and nothing was done; ST_UNKNOWN: it may have been done. Waits for the network. */
NODISCARD
status bucket_catalog_change(struct node *node, catalog_change_fn *change, void *arg,
                             struct err *err);
NODISCARD
status bucket_catalog_read(struct node *node, struct catalog *out, struct err *err);
/* ST_UNSUPPORTED where the start found that the bucket is for newer programs. */
NODISCARD
status bucket_check_refused(struct node *node, struct err *err);
NODISCARD
status bucket_check_format(struct node *node, struct err *err);
void bucket_pause(struct node *node, uint64_t ms); /* shorter when the node stops */

/* bucket_probe.c */
/* Puts the gate in front of the store, with what is remembered of it. */
NODISCARD
status bucket_probe_open(struct node *node, struct err *err);
void bucket_probe_close(struct node *node);
void bucket_probe_step(struct node *node); /* what is due; the publish thread */
bool bucket_writes_pass(struct node *node);
/* ST_UNSUPPORTED with the reason where nothing is written to the store. */
NODISCARD
status bucket_check_trust(struct node *node, struct err *err);
/* The same where no collection may be taken from another node. */
NODISCARD
status bucket_check_take(struct node *node, struct err *err);
void bucket_trust_health(struct node *node, struct node_health *out);
void bucket_trust_status(struct node *node, struct node_status *out);

/* bucket_sync.c */
/* Names, drops and new collections as the bucket's catalog has them; it is read here, on the
 * publish thread, and taken over on the meta thread afterwards. */
NODISCARD
status bucket_catalog_sync(struct node *node, struct err *err);

/* bucket_tell.c; the meta thread's */
bool bucket_dropped(const struct catalog *bucket, const uint8_t id[16]);
NODISCARD
status bucket_has_root(struct node *node, const uint8_t id[16], struct err *err);
/* On a copy of the bucket's catalog: the local entry and its aliases, unless it is there. */
NODISCARD
status bucket_add_missing(struct node *node, const uint8_t id[16], struct catalog *bucket,
                          struct err *err);
/* The same with the bucket's catalog. */
NODISCARD
status bucket_tell(struct node *node, const uint8_t id[16], struct err *err);

/* publisher.c */
void publish_loop(void *node);
void fold_loop(void *node);
struct publish_wish {
    unsigned what;        /* bits of enum publish_what */
    bool manifest_anyway; /* a manifest though there is nothing new to name */
    bool flush;           /* everything durable now first */
};
/* On the publish thread, or the fold thread. *out may be filled on failure too. */
NODISCARD
status publish_now(struct collection *c, const struct publish_wish *wish,
                   struct publish_report *out, struct err *err);

bool publish_root(struct collection *c, struct root *out);
/* collector.c: the publish thread's and the fold thread's, but for _drop of a collection that
 * nobody uses any more */
void collector_turn(struct collection *c);
void collector_metrics(struct node *node);
void collector_want(struct collection *c); /* something was published */
void collector_drop(struct collection *c);
/* Everything that failed to be published is published now; waits for the publish thread, or the
 * fold thread. */
NODISCARD
status publish_again(struct collection *c, struct err *err);
/* bucket.c */
void operator_loop(void *node);
void publish_told(struct collection *c, status st, const struct publish_report *r,
                  const struct err *err);

/* load.c */
void load_loop(void *node);
/* The collection is made from the bucket, now or as soon as it can be asked. entry is copied. */
NODISCARD
status load_from_bucket(struct node *node, const struct catalog_collection *entry, struct err *err);
/* Everything up to kept_lsn is in the bucket or in letters; writes are refused already. */
NODISCARD
status intent_write(struct node *node, const char *kind, const uint8_t id[16], struct err *err);
NODISCARD
status intent_clear(struct node *node, const char *kind, const uint8_t id[16], struct err *err);
bool load_intended(struct node *node, const uint8_t id[16]);
#define LOAD_INTENT "restore/"

struct load_job {
    struct meta_job job;
    struct node *node;
    struct collection *c;            /* pinned */
    struct catalog_collection entry; /* of one that is new here */
    bool adopt;
    bool again;             /* its local log was not the bucket's */
    bool heals;             /* it replaces one that was served read-only: not counted as loading */
    uint32_t failures;      /* with one it is no longer counted as loading */
    uint64_t next_ns;       /* load_later.c */
    struct load_job *later; /* of node->loads_later */
};
/* On the load thread, with c->in_load set: loads it, and is done with the job, or keeps it. */
void load_run(struct load_job *load);
void load_end(struct load_job *load);
/* load_later.c, the load thread's alone: loads that failed, tried again. */
void load_later(struct load_job *load);
uint64_t load_later_wait_ns(const struct node *node); /* until the next is due */
void load_later_run(struct node *node);
void load_later_end(struct node *node);
struct load_terms {
    bool without_image;
    uint64_t give_up_ms; /* 0: restore.h's */
    status (*on_record)(void *arg, uint64_t lsn, struct slice payload, struct err *err);
    void *arg;
};
/* What the bucket has of c, into its empty rows. On the load thread, as all of these. */
NODISCARD
status load_read_rows(struct collection *c, const struct load_terms *terms,
                      struct restore_into_report *report, char owner[ROOT_NODE_ID_BYTES],
                      struct err *err);
/* A new log behind lsn, with the tail that a healing had kept for it, in the place of the old one.
 * Tried again until the disk takes it. */
NODISCARD
status load_begin_log(struct load_job *load, uint64_t lsn, struct err *err);
/* c is in the table and has its log: it serves, is written to the local disk, and is shipped. */
void load_finish(struct load_job *load, const struct restore_into_report *report,
                 const char *owner);
/* c is in the table, loading, and counted as such. again: not at once. */
NODISCARD
status load_again(struct collection *c, bool again, struct err *err);
bool intent_stands(struct node *node, const char *kind, const uint8_t id[16]);
void load_count(struct node *node); /* one more that is being loaded */

/* heal.c: c is served read-only up to lsn `reach` or not at all, as its local files are damaged;
 * `reach` is also what a checkpoint knows to have been durable. It comes from the bucket if that
 * holds all that is damaged here. Any thread; told as c's reason. */
void heal_start(struct collection *c, uint64_t reach, const char *damage);
/* Whether what lies in c's directories is damaged, and to be kept when another takes its place. */
bool heal_intended(struct node *node, const uint8_t id[16]);
NODISCARD
status heal_move_aside(struct node *node, const struct collection *c, struct err *err);

/* heal_tail.c: what only the local log has, across the moment when its files are moved aside. */
/* The readable records [first, last] of c's log directory, durably, as letters. */
NODISCARD
status heal_tail_keep(struct collection *c, uint64_t first, uint64_t last, struct err *err);
/* Appends those that go on at lsn + 1 to c's log, and puts their rows. */
NODISCARD
status heal_tail_append(struct collection *c, uint64_t lsn, struct err *err);

/* reset.c: any thread; everything up to kept_lsn is in the bucket or in letters. */
void load_diverged(struct collection *c, uint64_t kept_lsn);

/* bucket_view.c: what is told of the bucket. */
void bucket_info(struct collection *c, struct collection_info *out);
void bucket_health(struct node *node, struct node_health *out);
void bucket_health_of_collection(struct collection *c, const char *name, struct node_health *out);
void bucket_status(struct node *node, struct node_status *out);
void bucket_collect(struct collection *c, struct collection_stats *s);

/* alias.c */
void alias_show(struct node *node); /* the catalog has changed; the meta thread */
/* The bucket's catalog was taken over: aliases of what is being loaded are shown from now on. */
void alias_expect(struct node *node, const struct catalog *bucket);
void alias_expect_no_more(struct node *node, const uint8_t id[16]); /* it was dropped instead */
/* On a copy of the local catalog, which has a collection now that came from the bucket. */
NODISCARD
status alias_adopt(struct node *node, const uint8_t id[16], struct catalog *next, struct err *err);
struct collection *alias_pin(struct node *node, const char *name, size_t bytes);

/* cold_exec.c */
void cold_exec_close(struct node *node); /* after the last write, before anything else goes */

/* node.c */
void health_add(struct node_health *out, const char *text);

/* read.c */
struct vindex_scratch *scratch_take(struct node *node, struct err *err);
void scratch_drop(struct node *node, struct vindex_scratch *scratch);

/* node_stats.c */
NODISCARD
status node_stats_open(struct node *node, struct err *err);
/* NULL when memory is out. */
struct collection_stats *collection_stats_create(struct node *node, const char *id_text,
                                                 const char *name);
/* Of c's own, inside a guard. */
struct stats_metric *collection_stats_cold(struct collection *c, struct collection_stats *s);
void collection_stats_destroy(struct collection_stats *s); /* accepts NULL */
void collection_stats_replace(struct collection *c, struct collection_stats *fresh);
uint64_t node_memory_limit(void); /* of the cgroup or of RAM, in bytes */

#endif
