/* bucket_world.h - a collection (ckpt_world.h) whose log and snapshots go to a bucket in memory,
 * and what tiering/ would do there, without a stream: groups, a root that is written over, epochs.
 *
 * bucket_restore() reads the bucket into a second world and compares that with the model at the lsn
 * where the bucket's log ends. */
#ifndef TESTS_UNIT_SNAPSHOT_BUCKET_WORLD_H
#define TESTS_UNIT_SNAPSHOT_BUCKET_WORLD_H

#include "objstore/faults.h"
#include "objstore/memory.h"
#include "snapshot/publish_internal.h"
#include "snapshot/restore_rows.h"
#include "tests/unit/snapshot/ckpt_world.h"

struct bucket {
    struct world w;
    struct objstore *store;  /* what publishing and restoring use: `faults`, or a test's own */
    struct objstore *faults; /* in front of a second handle of the bucket */
    struct objstore *direct; /* the bucket itself */
    char name[64];
    struct root root;
    uint64_t next_seq;
    uint64_t shipped_lsn, chain;
    struct manifest manifest;
    bool has_checkpoint;
    unsigned group_records_max; /* records a group has at most */
    unsigned ship_per_step;     /* chance in 10 that a step ships something */
    /* How the next publish goes. */
    size_t object_bytes;
    uint32_t batch_rows;
    bool busy; /* writes between its steps */
    _Atomic bool stop;
    bool refuse_commit;
    unsigned checkpoint_at; /* at this step from now a checkpoint is written; 0: never */
};
void bucket_open(struct bucket *b, uint64_t seed);
void bucket_close(struct bucket *b);
/* Groups of some size until `lsn` is in the bucket. */
void bucket_ship(struct bucket *b, uint64_t lsn);
void bucket_step(void *bucket); /* world_step(), and perhaps some shipping */
/* Another owner: this epoch ends here; `open`: without its end being recorded. */
void bucket_take(struct bucket *b, bool open);
/* The group after the last is a gap up to lsn. */
void bucket_gap(struct bucket *b, uint64_t lsn);
void bucket_root_put(struct bucket *b);
/* Every key of the bucket, the n-th or NULL. The caller's to free(). */
char *bucket_key(struct bucket *b, size_t n);
void bucket_delete(struct bucket *b, const char *key);
struct buf bucket_get(struct bucket *b, const char *key);
void bucket_put(struct bucket *b, const char *key, struct slice body);
void bucket_options(struct bucket *b, unsigned what, struct publish_options *out);
status bucket_publish(struct bucket *b, unsigned what, struct publish_report *report,
                      struct err *err);
void bucket_checkpoint(struct bucket *b);
/* Into `to` (made here); ST_OK only. */
void bucket_restore_options(struct bucket *b, struct restore_options *out);
status bucket_restore_into(struct bucket *b, struct world *to, struct restore_into_report *report,
                           struct err *err);
/* The same, compared with the model, and thrown away. */
void bucket_restore_and_check(struct bucket *b, struct restore_into_report *report);

/* Fails the test, with the seed, unless st is ST_OK. */
void bucket_ok(status st, const struct err *err, const struct bucket *b);
/* Everything a bucket may have: base, image, two closed epochs, an open one, a current one. */
void bucket_open_full(struct bucket *b, uint64_t seed);
/* Into a world of its own; err says why not. */
status bucket_try_restore(struct bucket *b, struct err *err);
/* Read and checked, handed to nobody. */
status bucket_try_read(struct bucket *b, struct err *err);

#endif
