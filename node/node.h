/* node.h - the database of one process: collections, the write path, queries, start and stop.
 *
 * The doors (api/) parse requests into the structs below and print the answers; everything that is
 * true of the data is decided here.
 *
 * A write: the door hands over whole, typed rows -> node checks them and reserves everything that
 * can fail -> the collection's sequencer gives the lsn and copies the record into the log -> group
 * commit -> rows are published in lsn order -> done() with the durability reached. A write is
 * visible to every query that starts after done(); linking rows into the graph is later, background
 * work.
 *
 * Threads    node_query, node_get, node_list, node_describe and the info calls run on the caller's
 *            thread (a worker) and never wait for disk. node_write, node_delete never wait: done()
 * runs on the commit thread and must not wait either. Catalog changes (create, drop, update) are
 *            done on the meta thread; done() runs there.
 * Ownership  requests are borrowed until the call returns (what outlives it is copied), unless
 * said. Failure    statuses: base/status.h. ST_NOSPACE: disk or memory full, nothing was written.
 * ST_UNKNOWN: write_outcome_unknown. ST_DENIED: the node or the collection is read-only, err says
 * why. */
#ifndef NODE_NODE_H
#define NODE_NODE_H

#include "base/arena.h"
#include "base/clock.h"
#include "base/docid.h"
#include "base/exec.h"
#include "base/fs.h"
#include "base/rand.h"
#include "base/stats.h"

struct node;
struct objstore;
struct collection; /* counted: node_collection_pin / _unpin */

enum node_policy { NODE_MEMORY = 1, NODE_MEMORY_S3 = 2, NODE_S3_ONLY = 3 };
const char *node_policy_name(enum node_policy p); /* "Memory", "MemoryS3", "S3Only" */
NODISCARD
bool node_policy_parse(const char *text, enum node_policy *out);

enum node_durability { NODE_LOCAL = 1, NODE_REMOTE = 2 };
const char *node_durability_name(enum node_durability d); /* "local", "remote" */
NODISCARD
bool node_durability_parse(const char *text, enum node_durability *out);

/* Reads the configuration again and takes over what may change while running; appends a JSON object
 * of what changed. ST_INVALID: the new configuration is refused and nothing changed. */
typedef status node_reload_fn(void *arg, struct buf *json, struct err *err);

struct node_options {
    struct fs *fs;
    struct clock *clock;
    struct rand_source *rand;
    struct stats *stats;
    struct exec *exec; /* borrowed: helpers and bulk work run there */
    const char *data_dir;
    const char *wal_path;      /* NULL or "": <data_dir>/wal */
    const char *snapshot_dir;  /* NULL or "": <data_dir>/snapshots */
    const char *node_id;       /* NULL or "": host name */
    enum node_policy policy;   /* of new collections */
    uint64_t memory_bytes_max; /* 0: 80 % of the cgroup's limit or of RAM */
    uint64_t wal_bytes_max;    /* forces a checkpoint */
    uint64_t wal_file_bytes;   /* 0: as wal.h says; tests see many files with small ones */
    uint64_t checkpoint_interval_ns;
    bool wal_sync_none;
    bool auto_initialize; /* make the default tenant and database at the first start */
    uint16_t m, ef_construction, ef_search; /* defaults of new collections */
    uint32_t threshold;
    uint32_t batch_max;
    node_reload_fn *reload; /* NULL: a reload changes nothing */
    void *reload_arg;
    /* The bucket. Borrowed; NULL: there is none, and only Memory collections can be made. */
    struct objstore *store;
    bool take_ownership; /* of collections another node owns */
    /* Whether the store keeps the conditions of writes is found out before the first write goes
     * there. Without it the store is trusted: for tests, whose store is known. */
    bool probe_store;
    uint64_t pinned_quiet_ms; /* in pinned-owner mode a start waits so long; 0: 5,000 */
    const char *pinned_owner; /* the only node that may write there, whatever the store does; NULL
                               * or "": none. ST_INVALID with take_ownership */
    enum node_durability durability; /* of new bucket-backed collections; 0: local */
    uint64_t rpo_ms, group_bytes, unshipped_bytes_max; /* 0: 1,000, 4 MiB, 10 GiB */
    uint32_t max_in_flight;                            /* 0: 4 */
    uint32_t max_retries;                              /* [storage.retry] as it stands */
    uint64_t base_backoff_ms, max_backoff_ms;          /* 0: 1,000 and 64,000 */
    uint64_t compaction_bytes, compaction_ops;         /* 0: 100 MiB, 10,000 */
    bool no_background_compaction; /* base segments are written anew by command only */
    uint32_t keep_versions;        /* [storage.retention]; 0: nothing is deleted from the bucket */
    uint64_t keep_ms;              /* a version that was replaced stays so long */
    uint64_t grace_ms;             /* readers of the bucket without a pin have so long */
    uint64_t cache_bytes;          /* of cold segments, in RAM; 0: 256 MiB */
    uint64_t load_again_ms;        /* a load that failed is tried again after it; 0: 10,000 */
    uint64_t commit_wait_ms;       /* a manifest's into the root; 0: 120,000 */
    uint64_t remote_wait_ms;       /* a `remote` write is answered as local after it; 0: 20,000 */
    int wal_twin; /* tests only: 0, or enum wal_sync of a broken twin; needs TIERVEC_BROKEN_TWIN */
};
/* Opens the data directory (one process at a time: ST_CONFLICT names the other), reads the catalog,
 * starts the threads, and recovers every collection in the background: checkpoint, then log. */
NODISCARD
status node_open(const struct node_options *options, struct node **out, struct err *err);
/* No new writes; waits for those under way; a last marker in every log. Loses nothing. */
void node_close(struct node *node);
/* True once every collection can answer its first query. progress: 0..1. */
bool node_ready(struct node *node, double *progress);
void node_set_readonly(struct node *node, bool readonly);
/* SIGHUP and POST /admin/reload: runs options.reload on the meta thread, then done() there. json,
 * valid until done returns, says what changed and what needs a restart; NULL unless ST_OK. */
typedef void node_reload_done_fn(void *arg, status st, const struct buf *json,
                                 const struct err *err);
void node_reload(struct node *node, node_reload_done_fn *done, void *arg);

/* Health: "healthy" or "degraded" with reasons, each a text a person can act on. */
enum { NODE_REASONS_MAX = 16, NODE_REASON_BYTES = 512 };
struct node_health {
    bool degraded;
    bool disk_full; /* writes are refused until there is room */
    size_t reason_count;
    char reasons[NODE_REASONS_MAX][NODE_REASON_BYTES];
};
void node_health(struct node *node, struct node_health *out);
/* Reasons that come from outside node (anonymous listener, ignored keys): added once at start. */
void node_add_reason(struct node *node, const char *text);

struct node_status {
    char node_id[256];
    uint64_t uptime_ns;
    bool readonly;
    uint32_t collections;
    uint64_t documents;
    uint64_t memory_bytes, memory_bytes_max;
    uint64_t wal_bytes, checkpoint_bytes;
    uint64_t disk_bytes_free, disk_bytes_total;
    /* The bucket; all zero and "" without one. */
    bool has_bucket;
    char bucket[256];                       /* which, without secrets */
    char bucket_trouble[NODE_REASON_BYTES]; /* "" or what is wrong with the store as a whole */
    const char *breaker;                    /* "closed", "half_open", "open" */
    const char *pressure;                   /* "green", "yellow", "orange", "red" */
    bool pressure_disk; /* for want of room on the disk, not because of the bucket */
    uint64_t unshipped_bytes, unshipped_records;
    uint64_t lag_ms; /* age of the oldest write the bucket lacks; 0: none */
    uint32_t uploads_in_flight, uploads_queued;
    uint64_t dlq_total;
    const char *store_grade; /* "A", "B", "C", "unfit"; "none": not probed */
    const char *store_mode;  /* "full", "pinned", "refused", "unproven" */
};
void node_status(struct node *node, struct node_status *out);

/* --- collections --- */
struct field_info;
struct collection_spec {
    const char *name;
    const struct field_info *fields; /* NULL: one unnamed field of the members below */
    size_t field_count;              /* of fields; 0 with fields: payloads only */
    bool string_ids;
    const char *setting_key; /* NULL, or one setting to begin with (points.h) */
    struct slice setting_value;
    uint32_t dimension;
    int metric;                             /* enum vmetric of index/vindex.h */
    enum node_policy policy;                /* 0: the node's */
    enum node_durability durability;        /* 0: the node's */
    uint16_t m, ef_construction, ef_search; /* 0: the node's */
    uint32_t threshold;                     /* UINT32_MAX: the node's */
    uint8_t quantization;                   /* 1 + enum vquantization; 0: scalar */
};
struct collection_info {
    char id[37];
    char name[256];
    uint32_t dimension;
    const char *metric;
    const char *policy;
    const char *durability;
    uint16_t m, ef_construction, ef_search;
    uint32_t threshold;
    const char *quantization; /* of the first field */
    uint64_t created_at_ns;
    uint64_t document_count;
    uint64_t last_lsn, durable_lsn, snapshot_lsn;
    uint64_t pending_rows, linked_rows, dead_rows;
    uint64_t rows_to_link; /* those that a graph waits for, one made anew too */
    struct rebuild_info {  /* of graphs with another m, ef_construction or quantization, in all
                              fields */
        const char *state; /* NULL: none; "queued", "linking", "waiting" (for memory) */
        uint16_t m, ef_construction; /* wanted, of the first such field */
        const char *quantization;
        uint64_t linked, rows; /* vectors in the new graphs, and those they are to have */
        uint64_t started_ns;   /* wall; 0: not begun */
    } rebuild;
    uint64_t memory_bytes, wal_bytes, checkpoint_bytes;
    uint64_t vectors_bytes, codes_bytes, links_bytes; /* of memory_bytes: the indexes' */
    uint64_t last_checkpoint_ns;                      /* wall; 0: never */
    const char *state;              /* "loading", "serving", "read_only", "failed" */
    char reason[NODE_REASON_BYTES]; /* of read_only and failed */
    bool log_stopped;               /* read_only because the disk failed under its log */
    /* Of a bucket-backed collection; zeros and "" else. */
    bool has_bucket;
    bool arriving;     /* comes from the bucket, and is not whole on the local disk yet */
    bool switching;    /* its base is not published: not yet restorable */
    const char *phase; /* "arriving", else of tiering/stream.h: "idle", "owned", "foreign", ... */
    char owner[256];   /* node id in the root as last seen; "": not seen */
    char trouble[NODE_REASON_BYTES]; /* last failure of an upload until one succeeds */
    uint64_t epoch;
    uint64_t shipped_lsn, remote_lsn;
    uint64_t unshipped_bytes, unshipped_records, lag_ms;
    uint64_t published_lsn, published_at_ns; /* of the manifest; 0: none by this process */
    uint32_t segments;
    uint64_t bucket_bytes; /* of what the manifest names and the log behind its floor */
    uint64_t dlq;          /* letters */
};
/* Runs on the meta thread; info is valid until done returns, NULL unless ST_OK. */
typedef void node_admin_fn(void *arg, status st, const struct collection_info *info,
                           const struct err *err);
void node_collection_create(struct node *node, const struct collection_spec *spec,
                            node_admin_fn *done, void *arg);
void node_collection_drop(struct node *node, struct collection *c, node_admin_fn *done, void *arg);
/* fresh takes the place of the collection that has this name: the name, and the aliases that led
 * there. That one is dropped, with all that was written to it; what doors made of it
 * (node_exports_dir()) is fresh's then. None has it: fresh is renamed. A
 * crash leaves all as it was, or all done; so does ST_UNKNOWN, of which the next start (or the
 * bucket) knows. ST_EXISTS: the name is an alias. */
void node_collection_replace(struct node *node, struct collection *fresh, const char *name,
                             node_admin_fn *done, void *arg);
struct hnsw_patch {                         /* of one vector field */
    uint16_t m, ef_construction, ef_search; /* 0: as it is */
    uint32_t threshold;                     /* UINT32_MAX: as it is */
    uint8_t quantization;                   /* 1 + enum vquantization; 0: as it is */
};
struct collection_patch {
    const char *name;                /* NULL: as it is */
    uint16_t ef_search;              /* 0: as it is */
    enum node_policy policy;         /* 0: as it is */
    enum node_durability durability; /* 0: as it is */
    /* NULL: as they are; else by position, one for each field. Another m, ef_construction or
     * quantization is durable when the answer comes, and its graph is made in the background
     * (rebuild.c): memory for both graphs is set aside first, ST_NOSPACE if there is none. */
    const struct hnsw_patch *hnsw;
    const char *setting_key; /* NULL, or a setting that is put in the same change */
    struct slice setting_value;
    /* It was made from what was stored, `setting_was` (empty: nothing): ST_CONFLICT, and nothing is
     * changed, if another change came in between. */
    bool setting_merged;
    struct slice setting_was;
};
/* What patch points to is copied. */
void node_collection_patch(struct node *node, struct collection *c,
                           const struct collection_patch *patch, node_admin_fn *done, void *arg);
/* By id (UUID) or name. NULL if there is none. A pinned collection outlives its drop until
 * unpinned. */
struct collection *node_collection_pin(struct node *node, const char *key, size_t key_bytes);
void node_collection_unpin(struct collection *c);
void node_collection_info(struct collection *c, struct collection_info *out);
/* Up to max infos in name order, all after `after` (NULL: from the first). Returns how many. */
size_t node_collection_list(struct node *node, const char *after, struct collection_info *out,
                            size_t max);
/* Where doors keep the files they make of a collection, <data_dir>/exports/<id>, and by which
 * table. It need not be there yet; a drop removes it. ST_UNSUPPORTED: this node keeps none. */
NODISCARD
status node_exports_dir(const struct collection *c, struct fs **fs, char out[FS_PATH_BYTES],
                        struct err *err);
/* What the folders of all collections lie in. */
NODISCARD
status node_exports_root(const struct node *node, struct fs **fs, char out[FS_PATH_BYTES],
                         struct err *err);
uint32_t collection_dimension(const struct collection *c);
bool collection_needs_nonzero(
    const struct collection *c); /* cosine: the native door refuses a zero vector */
const char *collection_id_text(const struct collection *c);
uint64_t collection_fair_key(const struct collection *c);

/* --- writes --- */
struct write_row {
    struct docid id; /* kind 0: node makes a UUIDv7 and writes it here */
    struct slice external_id;
    struct slice payload; /* jbin blob; empty: {} */
    float *vector;        /* dimension floats, finite; cosine: normalised in place */
    float **vectors;      /* NULL: field 0 alone, in `vector`. Else one for each field of the
                           * collection by position, NULL for those the document has not */
    uint64_t as_stored;   /* bit per position: a vector read back, not normalised once more */
};
struct write_result {
    uint64_t lsn;
    uint64_t count;         /* rows inserted or deleted */
    const char *durability; /* "local" or "remote": what was reached */
    bool short_of_remote;   /* remote was wanted and not reached in time: 202 */
};
typedef void node_write_fn(void *arg, status st, const struct write_result *result,
                           const struct err *err);
/* rows and what they point to must stay until done() ran. Called on a worker; what many rows take
 * runs there in slices after this returned. done() is called exactly once: on the commit thread, or
 * on a worker when refused, possibly before this returns. */
void node_write(struct collection *c, struct write_row *rows, size_t count, node_write_fn *done,
                void *arg);
/* Absent ids are skipped; result.count says how many were there. Nothing there: ST_OK with count 0
 * and lsn 0, nothing is logged. What is absent only by a delete under way is logged again, so that
 * the answer comes after that one's. What the ids point to must stay until done() ran. */
void node_delete(struct collection *c, const struct docid *ids, size_t count, node_write_fn *done,
                 void *arg);
uint64_t node_write_cost_ns(struct collection *c, size_t rows);

/* --- reads --- */
struct query_options {
    uint32_t top_k;
    uint32_t ef_search; /* 0: the collection's */
    bool exact;
    bool with_payload;
    bool with_vector;
    bool with_stats;
    bool by_distance; /* matches rise by distance to the last bit, with points too; else by score */
    uint64_t deadline_ns;             /* monotonic; 0: none */
    const _Atomic bool *stop;         /* looked at now and then while searching; NULL: none */
    const struct point_query *points; /* points.h; NULL: field 0, no filter */
};
struct match {
    struct docid id;
    struct slice external_id;
    float distance, score;
    struct slice payload;  /* arena copies */
    const float *vector;   /* NULL unless asked */
    const float **vectors; /* by position, NULL for those not asked or not there; or NULL */
    uint64_t lsn;
};
struct query_result {
    struct match *matches;
    uint32_t count;
    uint32_t visited, layers, distances, scanned; /* as struct vsearch_stats */
    bool used_graph;
    const char *plan;        /* "graph", "scan", "matches" (of the filter), "filtered graph" */
    double selectivity;      /* of the filter, as estimated; 1 without one */
    uint64_t filter_ns;      /* spent on the filter */
    uint64_t filter_rows;    /* rows whose payload was looked at */
    uint32_t filter_indexes; /* payload indexes asked */
    /* Of a collection that waits for the network. partial: the time was over, or some of it was out
     * of reach, and there may be nearer ones. */
    bool partial;
    struct query_cold_stats {
        bool asked;            /* there were cold segments */
        uint32_t gets, waves;  /* of the bucket */
        uint64_t bytes, cells; /* read; groups of rows looked at */
        uint64_t hits, misses; /* blocks that were in the cache, and not */
        uint64_t rows;         /* scored */
    } cold;
};
/* query: dimension floats; normalised in place for cosine. The result lives in the arena.
 * ST_UNAVAILABLE while loading, ST_TIMEOUT, ST_NOMEM. */
NODISCARD
status node_query(struct collection *c, float *query, const struct query_options *options,
                  struct arena *arena, struct query_result *out, struct err *err);
uint64_t node_query_cost_ns(struct collection *c, const struct query_options *options);
struct document {
    struct docid id;
    struct slice external_id;
    struct slice payload;
    const float *vector;
    const float **vectors; /* by position, NULL for those not asked or not there; or NULL */
    uint64_t inserted_at_ns;
    uint64_t lsn;
};
NODISCARD
status node_get(struct collection *c, const struct docid *id, struct arena *arena,
                struct document *out, struct err *err);
/* One page in id order after `after` (NULL: from the first); *more when there are others. */
NODISCARD
status node_list(struct collection *c, const struct docid *after, uint32_t limit, bool with_vector,
                 struct arena *arena, struct document **out, uint32_t *count, bool *more,
                 struct err *err);
/* --- admin --- */
/* Writes a checkpoint now; done on the background thread. */
void node_checkpoint(struct collection *c, node_admin_fn *done, void *arg);

#endif
