/* fake_node_internal.h - what the files of the fake node share. */
#ifndef SUPPORT_FAKE_NODE_INTERNAL_H
#define SUPPORT_FAKE_NODE_INTERNAL_H

#include "tests/support/fake_node.h"

#include "base/exec.h"
#include "base/lock.h"
#include "node/bucket.h"
#include "node/points.h"

enum { FAKE_FIELDS = 8, FAKE_NAME_BYTES = 32 };
enum { FAKE_INDEXES = 4 };

struct fake_row {
    struct docid id;
    struct slice external_id, payload; /* owned */
    float *vectors[FAKE_FIELDS];       /* owned, NULL where it has none */
    uint64_t inserted_at_ns, lsn;
};

struct collection {
    struct node *node;
    struct collection *next;
    struct collection_info info;
    int metric;
    struct field_info fields[FAKE_FIELDS];
    char names[FAKE_FIELDS][FAKE_NAME_BYTES]; /* of the fields */
    size_t field_count;
    bool string_ids;
    struct buf setting; /* the one there is, whatever its key */
    struct {
        char path[64], schema[256];
        enum pindex_type type;
        enum pindex_state state;
    } indexes[FAKE_INDEXES];
    size_t index_count;
    struct fake_row *rows; /* in id order */
    size_t count, capacity;
    bool dropped;
    _Atomic bool waits; /* for the network, says the test */
};

struct completion {
    struct completion *next;
    node_write_fn *write; /* one of them */
    node_admin_fn *admin;
    node_dlq_fn *letters;
    node_snapshot_fn *snapshot;
    node_export_fn *exported;
    void *arg;
    status st;
    struct err err;
    struct write_result result;
    struct collection_info info;
    struct node_dlq_result dlq;
    bool dlq_result; /* given on failure too */
    struct node_snapshot_result shot;
    const char *text; /* of an export */
};

enum { FAKE_ALIASES = 64 };

struct node {
    struct thread thread;
    _Atomic unsigned waited;
    _Atomic int refuse_waits;
    struct { /* guarded by lock */
        struct lock lock;
        struct cond changed;
        struct collection *collections;
        struct exec *cold; /* NULL until one waits */
        struct completion *first, **last;
        struct fs *exports_fs;
        const char *exports_dir;
        bool held, stopping, ready, readonly, forget;
        status fail_write, fail_query;
        char reason[NODE_REASON_BYTES];
        int pins;
        unsigned writes, queries;
        int keys_owed; /* idempotency keys that were begun and not ended */
        uint32_t query_ms;
        /* The bucket. */
        struct node_status bucket;
        bool short_of_remote;
        status fail_bucket;
        bool vacuumed, vacuumed_dry;
        struct dlq *dlq;
        struct {
            char alias[256];
            struct collection *collection;
        } aliases[FAKE_ALIASES]; /* in order */
        size_t alias_count;
    } s;
};

static inline void fake_take(struct node *n)
{
    lock_take(&n->s.lock);
}

static inline void fake_drop(struct node *n)
{
    lock_drop(&n->s.lock);
}

/* A completion that the node's thread runs; the lock is held. */
struct completion *fake_completion(void *arg, status st, const char *text);
void fake_queue_locked(struct node *n, struct completion *c);
void fake_complete(struct completion *c); /* here and now, without the lock */
struct completion *fake_write_completion_locked(struct collection *c, status st,
                                                node_write_fn *done, void *arg, uint64_t count);
/* What the next write is told; ST_OK else. */
status fake_refusal_locked(struct node *n);
size_t fake_place_of(const struct collection *c, const struct docid *id, bool *found);
void fake_row_free(struct fake_row *row); /* what it owns */
void fake_put_locked(struct collection *c, const struct write_row *from);
void fake_remove_locked(struct collection *c, size_t at);
bool fake_matches(const struct filter *f, const struct fake_row *row);
bool fake_copy_row(const struct collection *c, const struct fake_row *row,
                   const struct read_want *want, struct arena *arena, struct document *out);
status fake_search_locked(struct collection *c, const float *query, const struct query_options *o,
                          struct arena *arena, struct query_result *out);
struct collection *fake_find_locked(struct node *n, const char *key, size_t bytes);
/* What the next call that needs the bucket is told; ST_OK else. */
status fake_refusal_of_bucket_locked(struct node *n);

void fake_bucket_open(struct node *n);
void fake_bucket_close(struct node *n);

#endif
