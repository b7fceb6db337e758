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
#include "node/node.h"
#include "segment/catalog.h"
#include "segment/record.h"
#include "snapshot/checkpoint.h"
#include "wal/wal.h"

enum {
    NODE_BUCKETS = 4096, /* of the collection table, by id and by name */
    NODE_OVERLAY_BUCKETS =
        256, /* of a sequencer's ids in flight; chains are short: one fsync's worth */
    NODE_META_BYTES = 16 * 1024 * 1024,
    NODE_TICK_MS = 50,
    NODE_LINK_ROWS = 8, /* a linker's turn with one collection */
    NODE_LINK_PAUSE_MS = 5,
    NODE_REPAIR_DEAD_MIN = 1000, /* DESIGN section 5: at max(1,000, 2 %) dead */
    NODE_REPAIR_DEAD_PERCENT = 2,
    NODE_REPAIR_BATCH = 65536,       /* dead slots a repair pass takes on */
    NODE_CLOSE_CHECKPOINT_MS = 8000, /* a graceful stop spends at most this on checkpoints */
    NODE_DIRECTORIES_TOLD = 4,       /* unknown log directories named one by one in health */
    NODE_RECOVER_THREADS = 2,
    NODE_LINKERS_MAX = 8,
    NODE_ROOM_BYTES = 1024 * 1024, /* a disk with so much free takes writes again */
};

enum collection_state {
    COLLECTION_LOADING,
    COLLECTION_SERVING,
    COLLECTION_READ_ONLY,
    COLLECTION_FAILED, /* could not be loaded; serves nothing, reason says why */
    COLLECTION_DROPPED
};

/* An id that a record in flight will change: what the sequencer knows beyond what is applied. */
struct overlay_entry {
    struct overlay_entry *next, **at;
    struct docid id;
    bool present;
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
    size_t seed_count;
};

struct collection {
    /* Set by collection_create(), never changed after it. */
    struct node *node; /* borrowed */
    uint8_t id[16];
    char id_text[UUID_TEXT_BYTES];
    uint32_t dim;
    enum vmetric metric;
    uint64_t fair_key;
    uint64_t created_at_ns;
    uint16_t m, ef_construction;
    uint32_t threshold;
    struct mem_budget budget;
    struct slots *slots;
    struct vindex *vindex;
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
    _Atomic bool checkpoint_failed;  /* the last one tried */
    _Atomic bool checkpoint_damaged; /* the one on disk: nothing of it may be kept */
    struct meta_job bury_job;

    struct {                                 /* guarded by lock */
        struct lock lock;                    /* LOCK_RANK_SEQUENCER */
        _Atomic enum collection_state state; /* changed under lock, read without */
        struct wal *wal;                     /* NULL while loading and once dropped */
        char reason[256];                    /* why READ_ONLY */
        struct overlay_entry *overlay[NODE_OVERLAY_BUCKETS];
        uint64_t last_lsn; /* submitted */
    } seq;

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

    struct {              /* guarded by lock */
        struct lock lock; /* LOCK_RANK_NODE */
        struct collection *by_id[NODE_BUCKETS];
        struct collection *by_name[NODE_BUCKETS];
        uint32_t count;
        struct collection *graves; /* no pin left; freed by the upkeep thread */
        size_t reason_count;
        char reasons[NODE_REASONS_MAX][256];
    } table;

    struct catalog catalog; /* the meta thread's alone once node_open() returned */

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
        uint64_t rounds; /* guarded by lock */
    } reclaim;

    struct job_queue meta;   /* catalog changes, LMDB writes */
    struct job_queue upkeep; /* checkpoints and repair */
    struct {                 /* recovery threads take the next collection from here */
        struct collection **items;
        size_t count;
        _Atomic size_t next;
    } recovery;

    struct thread meta_thread, upkeep_thread, reclaim_thread;
    struct thread link_threads[NODE_LINKERS_MAX];
    unsigned link_thread_count;
    struct thread recover_threads[NODE_RECOVER_THREADS];

    struct stats_metric *distance_computations, *collections, *vectors, *deleted_vectors;
    struct stats_family *memory_bytes, *collection_vectors;
    struct stats_metric *disk_free, *checkpoint_seconds;
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

/* collection.c */
NODISCARD
status collection_create(struct node *node, const struct catalog_collection *entry,
                         struct collection **out, struct err *err);
/* Everything but the files; no reader, no log. */
void collection_destroy(struct collection *c);
void collection_pin(struct collection *c);
void collection_set_state(struct collection *c, enum collection_state state, const char *reason);
/* Throws away rows and vectors of a load that failed half way: for good, c->slots and c->vindex are
 * NULL then, or for another try (NULL only if that fails). */
void collection_rows_drop(struct collection *c);
NODISCARD
status collection_rows_renew(struct collection *c, struct err *err);
void table_add(struct node *node, struct collection *c);
void table_remove(struct node *node, struct collection *c);
void table_rename(struct node *node, struct collection *c, const char *name);
/* Pins every collection into a heap array; *count of them. ST_NOMEM. */
NODISCARD
status table_snapshot(struct node *node, struct collection ***out, size_t *count, struct err *err);
void table_snapshot_free(struct collection **items, size_t count);
void graves_free(struct node *node);
NODISCARD
status collection_paths(const struct collection *c, char wal[FS_PATH_BYTES],
                        char snapshot[FS_PATH_BYTES], struct err *err);

/* catalog_store.c */
NODISCARD
status catalog_store_read(struct node *node, struct err *err);
/* Writes `next` and makes it the node's; `next` is then empty. On failure next is the caller's, and
 * the disk has the catalog it had; ST_UNKNOWN: it has the one or the other. */
NODISCARD
status catalog_store_write(struct node *node, struct catalog *next, struct err *err);
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

/* recover.c */
NODISCARD
status recover_start(struct node *node, struct err *err);
/* Opens the log of a collection that was just made. */
NODISCARD
status collection_open_log(struct collection *c, struct err *err);

/* write.c */
void write_on_cut(void *arg, uint64_t cut_lsn);

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

/* read.c */
struct vindex_scratch *scratch_take(struct node *node, struct err *err);
void scratch_drop(struct node *node, struct vindex_scratch *scratch);

/* node_stats.c */
NODISCARD
status node_stats_open(struct node *node, struct err *err);
/* NULL when memory is out. */
struct collection_stats *collection_stats_create(struct node *node, const char *id_text,
                                                 const char *name);
void collection_stats_destroy(struct collection_stats *s); /* accepts NULL */
void collection_stats_replace(struct collection *c, struct collection_stats *fresh);
uint64_t node_memory_limit(void); /* of the cgroup or of RAM, in bytes */

#endif
