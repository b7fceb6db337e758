/* fold_bucket.h - a collection of bucket_world.h under S3Only: what it has written since the last
 * fold is its head. All its rows stay in the world's slots, so that they can be compared; a row is
 * of the head when its lsn is above head_floor. */
#ifndef TESTS_UNIT_SNAPSHOT_FOLD_BUCKET_H
#define TESTS_UNIT_SNAPSHOT_FOLD_BUCKET_H

#include "snapshot/fold_internal.h"
#include "tests/unit/snapshot/bucket_world.h"

#define FOLD_SCRATCH "data/fold/7"

struct fold_bucket {
    struct bucket b;
    uint64_t head_floor; /* what is above it is in the head */
    bool all;
    struct mem_budget *budget; /* NULL: not counted */
    uint32_t part_bytes;
    unsigned stop_at; /* the step from now on at which *stop becomes true; 0: never */
};
void fold_bucket_open(struct fold_bucket *f, uint64_t seed);
void fold_bucket_close(struct fold_bucket *f);
/* Writes between its steps, as b.busy says. On ST_OK the head gives up what was folded. */
status fold_bucket_fold(struct fold_bucket *f, struct fold_report *report, struct err *err);
/* As a start does that replays from an earlier lsn on. */
void fold_bucket_replays_from(struct fold_bucket *f, uint64_t lsn);
/* Restores, compares, and reads what is cold beside the head: each document once, where rule 1 of
 * docs/s3only.md has it. Everything must have been shipped. */
void fold_bucket_check(struct fold_bucket *f);
bool fold_bucket_scratch_there(struct fold_bucket *f);

/* Every object the manifest names, and its bytes. */
struct fold_kept {
    char *keys[64];
    struct buf bodies[64];
    size_t count;
};
void fold_kept_take(struct fold_bucket *f, struct fold_kept *out);
void fold_kept_check_and_free(struct fold_bucket *f, struct fold_kept *k);
/* Every object the manifest names is there. */
void fold_bucket_check_named(struct fold_bucket *f);

#endif
