/* bucket.h - what an operator asks of a node about its bucket: letters, snapshots, aliases.
 *
 * Threads    every call is for workers and does not wait; done() runs on a background thread of the
 *            node (ship, upkeep or meta) and must not wait either.
 * Ownership  what is passed is copied; what done() is given is valid until it returns.
 * Failure    statuses: base/status.h. ST_INVALID: the collection is not bucket-backed. */
#ifndef NODE_BUCKET_H
#define NODE_BUCKET_H

#include "dlq/dlq.h"
#include "node/node.h"

/* The letters of all collections; never NULL. For listing and showing. */
struct dlq *node_dlq(struct node *node);

struct node_dlq_result {
    uint64_t retried, succeeded, failed; /* retry */
    uint64_t lsn_first, lsn_last; /* discard: the range that goes, or that must be repeated */
    uint64_t records;             /* discard, replay */
    char file[1024];              /* discard: where the export lies */
    char text[512];               /* of the first that failed: what the store said */
};
typedef void node_dlq_fn(void *arg, status st, const struct node_dlq_result *result,
                         const struct err *err);
/* ids NULL: all of the collection. Tried for real; done once each was answered. */
void node_dlq_retry(struct collection *c, const uint64_t *ids, size_t count, node_dlq_fn *done,
                    void *arg);
/* Divergent tails applied as upserts and deletes, in order; the letters leave when that is durable.
 * ST_DENIED: this node does not own the collection. ST_INVALID: a letter of another kind. */
void node_dlq_replay(struct collection *c, const uint64_t *ids, size_t count, node_dlq_fn *done,
                     void *arg);
/* confirm_first/last must be the range of all letters named: else ST_CONFLICT and the range in the
 * result. Exports first. A wal_group becomes a gap; the ids whose newest record was in the range
 * are logged again, or removed by logged deletes with `drop`. A divergent tail's letter and file
 * go. */
void node_dlq_discard(struct collection *c, const uint64_t *ids, size_t count,
                      uint64_t confirm_first, uint64_t confirm_last, bool drop, node_dlq_fn *done,
                      void *arg);
/* The records a letter stands for, one JSON object a line: {"op":"upsert","lsn","doc_id",
 * "external_id","vector","payload","inserted_at"} or {"op":"delete","lsn","doc_id"}. */
typedef void node_export_fn(void *arg, status st, const struct buf *ndjson, const struct err *err);
void node_dlq_export(struct collection *c, uint64_t id, node_export_fn *done, void *arg);
/* ST_UNSUPPORTED until a store refuses a group for its size: 64 MiB is no store's limit. */
void node_dlq_split(struct collection *c, const uint64_t *ids, size_t count, node_dlq_fn *done,
                    void *arg);

struct node_snapshot_result {
    uint64_t lsn;            /* everything up to it is in the bucket */
    uint64_t objects, bytes; /* sent by this call beside log groups */
    uint64_t revision;       /* of the manifest; 0: nothing had to be written */
    uint64_t checkpoint_lsn, checkpoint_bytes, checkpoint_at_ns; /* the local one */
    char pin[37];                                                /* of a named one; "" else */
};
typedef void node_snapshot_fn(void *arg, status st, const struct node_snapshot_result *result,
                              const struct err *err);
/* A local checkpoint; bucket-backed: everything shipped, image and manifest published, and with a
 * name (NULL: none) pinned under it. A name on a Memory collection is ST_INVALID. */
void node_snapshot(struct collection *c, const char *name, node_snapshot_fn *done, void *arg);
/* A local checkpoint; bucket-backed: what is dead is left behind by new base segments as well,
 * where there is anything to gain, and the image is written. `anew`: segments and image are written
 * whatever there is to gain, so that nothing of what lay in the bucket before is needed any more:
 * for a bucket of which `verify` says that objects are damaged. */
void node_compact(struct collection *c, bool anew, node_snapshot_fn *done, void *arg);
/* By command, what --take-ownership does at start. ST_OK with an info in state "loading" or phase
 * "diverged": it is this node's, and is being loaded anew from the bucket. */
void node_take_ownership(struct collection *c, node_admin_fn *done, void *arg);
/* From root_lost: the collection is published whole again, under a new root. node_dlq_retry() of a
 * manifest_commit letter does the same. */
void node_republish(struct collection *c, node_admin_fn *done, void *arg);

/* What no owner collects leaves the bucket: objects of dropped collections whose time has come, and
 * what probes of lost nodes left (docs/protocol.md, "Vacuum"). */
enum { NODE_VACUUM_ITEMS_MAX = 100 };
struct node_vacuum_amount {
    uint64_t collections, objects, bytes;
};
struct node_vacuum_item { /* a collection that is none any more, or that nobody knows */
    char collection_id[37];
    const char *fate; /* "goes", "waits", "pinned", "unknown", "failed" */
    uint64_t objects, bytes, pins;
};
struct node_vacuum {
    bool running, dry_run;
    uint64_t started_at_ns, ended_at_ns; /* wall; 0: not yet */
    status st;                           /* once it has ended; the rest is as far as it came */
    char error[320];
    uint64_t served;                     /* collections there are */
    struct node_vacuum_amount goes;      /* went, or would go */
    struct node_vacuum_amount waits;     /* dropped too short a time ago */
    struct node_vacuum_amount unknown;   /* left alone */
    uint64_t pins, marked, failed;       /* marked: roots that did not say `dropped` yet */
    uint64_t probe_objects, probe_bytes; /* beside `goes` */
    uint64_t deleted;                    /* 0 of a dry run */
    char trouble[320];                   /* of the first that failed; "" */
    struct node_vacuum_item items[NODE_VACUUM_ITEMS_MAX]; /* the first of them */
    size_t item_count;
    bool more_items;
};
/* Begins one, on the operator thread; dry_run: tells what would go, and changes nothing.
 * ST_CONFLICT: one is under way. ST_INVALID: there is no bucket, or nothing is ever to be deleted
 * from it. ST_DENIED: the node is read-only. */
NODISCARD
status node_vacuum(struct node *node, bool dry_run, struct err *err);
/* The one under way, or the last since the start; false: there was none. */
bool node_vacuum_shown(struct node *node, struct node_vacuum *out);

struct node_probe_result {
    const char *grade, *mode; /* as in struct node_status */
    char server[64];          /* as the store calls itself */
    char verdict[480];        /* what the store did, why it matters, what to do */
    char text[320];           /* why the mode is not full; "" */
    char pinned[256];         /* whom meta/pinned names; "" */
};
typedef void node_probe_fn(void *arg, status st, const struct node_probe_result *result,
                           const struct err *err);
/* The store is probed now. accept: one that was found wanting once and has grade A now is trusted
 * again; ST_UNSUPPORTED where it has not, or another node is pinned. */
void node_probe_store(struct node *node, bool accept, node_probe_fn *done, void *arg);

/* Names of breaker states before and after; NULL without a bucket. */
void node_breaker_reset(struct node *node, const char **before, const char **after);

/* Of a collection under S3Only: its cold set, and what the cache has of it. */
struct node_cold_state {
    bool waits; /* it is under S3Only */
    bool is_open;
    uint64_t rows, segments, resident_bytes; /* of the set; resident: footers */
    uint64_t cached_bytes;
    uint64_t hits, misses,
        ghost_hits; /* blocks; ghost: misses that twice the cache would have had */
};
void node_cold_state(struct collection *c, struct node_cold_state *out);
/* Into the cache as far as it fits, and out of it; bytes of what went. Waits for the network: cold
 * threads. ST_UNSUPPORTED: not under S3Only. */
NODISCARD
status node_cold_warm(struct collection *c, uint64_t deadline_ns, const _Atomic bool *stop,
                      uint64_t *bytes, struct err *err);
NODISCARD
status node_cold_unload(struct collection *c, uint64_t *bytes, struct err *err);

/* An alias stands for one collection of its database; setting one that exists moves it. */
void node_alias_set(struct node *node, const char *alias, struct collection *c, node_admin_fn *done,
                    void *arg);
void node_alias_remove(struct node *node, const char *alias, node_admin_fn *done, void *arg);
/* Several changes at once: all of them, or none and done() says which could not be made. Names of
 * collections are resolved when their turn comes: an earlier action may have renamed an alias. */
struct node_alias_action {
    const char *alias;      /* that is set, removed or renamed */
    const char *collection; /* it then stands for this one, by name or id: ST_NOT_FOUND "Collection
                             * `x` doesn't exist!"; NULL: it goes, or is renamed */
    const char *renamed;    /* its new name; ST_NOT_FOUND without such an alias. NULL: it goes,
                             * which is fine where there is none */
};
enum { NODE_ALIAS_ACTIONS_MAX = 1024 };
void node_alias_change(struct node *node, const struct node_alias_action *actions, size_t count,
                       node_admin_fn *done, void *arg);
struct node_alias {
    char alias[256];
    char collection_id[37];
    char collection[256];
};
/* In order of alias; up to max behind `after` (NULL: from the first). */
size_t node_alias_list(struct node *node, const char *after, struct node_alias *out, size_t max);

#endif
