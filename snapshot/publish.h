/* publish.h - base segments and graph images into the bucket, and the manifest that names them.
 *
 * Runs on the node's publish thread, one collection at a time, and waits for the network there.
 * Objects are built one by one in memory, put, and forgotten; the manifest goes last; then `commit`
 * puts it into the root (the stream's work) and waits. Until that, nothing of it exists.
 *
 * Threads    publish_run(): the publish thread; beside readers and writers of slots and vindex.
 * Memory     one object, SEGMENT_BYTES_MAX at most, and the slot map's buffers.
 * Failure    transient answers are tried again until *stop; answers that may be permanent fail
 *            after max_retries; *out is written on failure too, with what a letter should say;
 *            whatever was put is an orphan. ST_UNAVAILABLE: the checkpoint changed
 *            under our hands, or there is none yet: try again later. */
#ifndef SNAPSHOT_PUBLISH_H
#define SNAPSHOT_PUBLISH_H

#include "base/clock.h"
#include "base/rand.h"
#include "objstore/objstore.h"
#include "segment/manifest.h"
#include "snapshot/checkpoint.h"

enum publish_what {
    PUBLISH_BASE = 1,  /* live rows as segments; the floor moves to their start lsn */
    PUBLISH_IMAGE = 2, /* the graphs of the checkpoint in `checkpoint_dir` */
};
struct publish_options {
    struct objstore *store;
    struct clock *clock;
    struct rand_source *rand;
    struct fs *fs;
    uint8_t collection[16];
    unsigned what; /* bits of enum publish_what; 0: a manifest alone (named snapshots, absorbing) */
    struct slots *slots;
    const struct checkpoint_field *fields;
    size_t field_count;
    struct epoch *epoch;
    const char *checkpoint_dir;              /* PUBLISH_IMAGE: its manifest is read now */
    const struct catalog_collection *schema; /* borrowed */
    const struct root *root;                 /* as the stream knows it; borrowed */
    uint64_t lsn;                            /* last stored */
    struct log_floor shipped; /* where the bucket's log ends: everything up to shipped.lsn is
                               * applied and stored, the next group is (epoch, seq). PUBLISH_BASE:
                               * the new floor and the start lsn of its segments */
    bool absorb;              /* move lineages into the manifest, as publish_due() says */
    uint32_t max_retries;
    uint64_t base_backoff_ms, max_backoff_ms;
    const _Atomic bool *stop;
    /* Returns when every record that was applied before the call is in the bucket; *lsn: the last
     * of them. Called with PUBLISH_BASE after the last row was read, before anything is named: a
     * row that was replaced or deleted before it was read is in no segment, and its record must not
     * be missing too. May be NULL where nothing is written meanwhile. */
    status (*settle)(void *arg, uint64_t *lsn, struct err *err);
    void *settle_arg;
    /* The root shall name the manifest; returns when it does. */
    status (*commit)(void *arg, uint64_t revision, const struct object_ref *manifest,
                     const struct log_floor *floor, size_t lineages_absorbed, bool base_complete,
                     struct err *err);
    void *commit_arg;
    /* May be NULL: every object put, for the log and metrics. */
    void (*on_object)(void *arg, const char *key, uint64_t bytes);
};
struct publish_report {
    uint64_t revision;
    struct object_ref manifest;
    struct log_floor floor;
    uint64_t objects, bytes, rows, image_lsn, image_nodes;
    uint64_t segment_bytes; /* of all segments the manifest names */
    /* Of a failure: what a letter should say. */
    enum objstore_class class;
    char key[192];
    int http_status;
    char s3_code[64];
    uint32_t attempts;
};
/* before: the manifest the root names, or NULL. *after: the new one, the caller's to free. */
NODISCARD
status publish_run(const struct publish_options *options, const struct manifest *before,
                   struct manifest *after, struct publish_report *out, struct err *err);

/* What to publish now, a pure rule (docs/protocol.md, "Publishing"). */
enum {
    PUBLISH_BASE_FACTOR = 7, /* log and segments against live rows */
    PUBLISH_BASE_SLACK_BYTES = 64 * 1024 * 1024,
    PUBLISH_IMAGE_ROWS_MIN = 10000,    /* of a first image, unless the collection is idle */
    PUBLISH_IMAGE_CHANGED_MIN = 20000, /* ... of a later one: each is three requests */
    PUBLISH_IDLE_MS = 10000,
    PUBLISH_IDLE_PERCENT = 5,       /* changed since the last image */
    PUBLISH_IDLE_COST_PERCENT = 22, /* what an image may cost of the bytes that changed */
};
struct publish_facts {
    bool switching; /* the base is not published */
    uint64_t live_rows;
    uint64_t live_bytes;    /* of their vectors and payloads, about */
    uint64_t log_bytes;     /* shipped behind the floor */
    uint64_t segment_bytes; /* the manifest names */
    uint64_t image_rows;    /* live at the last image; 0: none */
    uint64_t changed_rows;  /* upserts and deletes since then */
    uint64_t idle_ms;       /* since the last write */
    size_t lineages;        /* in the root */
    bool has_graph;         /* there is one to write */
    uint16_t m;             /* of the graph, for what an image costs */
};
unsigned publish_due(const struct publish_facts *facts, bool *absorb);

#endif
