/* ckpt_world.h - a collection for checkpoint tests: real slots and a real index, a log that is a
 * list of operations, and a model that says what must be there.
 *
 * The world goes on while a checkpoint is written (world_ops() as its step), dies and comes back:
 * world_restart() loads the checkpoint and replays the log by the rule of
 * docs/formats/checkpoint.md. world_check() compares everything with the model. */
#ifndef TESTS_UNIT_SNAPSHOT_CKPT_WORLD_H
#define TESTS_UNIT_SNAPSHOT_CKPT_WORLD_H

#include "base/rand.h"
#include "snapshot/checkpoint_internal.h"
#include "tests/support/fs_sim.h"

enum { WORLD_IDS = 40, WORLD_DIM = 5, WORLD_OPS_MAX = 9000, WORLD_BATCH = 3 };
#define WORLD_DIR "data/col/checkpoint"

struct world_op { /* one record: an upsert of `count` ids, or a delete of one */
    uint64_t lsn;
    bool is_delete;
    uint8_t count;
    uint32_t ids[WORLD_BATCH];
};

struct world {
    struct fs_sim *sim;
    struct rand_seeded rand;
    uint64_t seed;
    struct epoch *epoch;
    struct mem_budget budget;
    struct slots *slots;
    struct vindex *vindex;
    struct checkpoint_field field;
    struct checkpoint_state state;
    struct world_op *log;
    size_t log_count;
    uint64_t lsn;                 /* of the last record */
    uint64_t expected[WORLD_IDS]; /* lsn of the id's row, 0: none */
    unsigned ops_per_step;
};

void world_open(struct world *w, uint64_t seed);
void world_close(struct world *w);
/* Random records, linking, repair, reuse. */
void world_ops(struct world *w, unsigned count);
void world_step(void *world); /* ops_per_step of them: a ckpt_tuning step */
void world_upsert(struct world *w, uint32_t id);
void world_delete(struct world *w, uint32_t id);
void world_repair(struct world *w);
/* Small blocks, small batches, world_step() in between. */
status world_checkpoint(struct world *w, struct checkpoint_info *info, struct err *err);
/* Forgets what is in RAM. */
void world_drop(struct world *w);
/* After world_drop(): fresh slots and index. */
void world_make(struct world *w);
void world_replay(struct world *w, uint64_t start_lsn);
/* All of the above; without a checkpoint the whole log is replayed. Returns the start lsn. */
uint64_t world_restart(struct world *w);
void world_check(struct world *w);
struct docid world_docid(uint32_t id);
/* The payload of an operation's record, as the log has it. */
void world_record(const struct world_op *op, struct buf *out);
/* What is expected after lsn: `expected` of then. */
void world_expected_at(const struct world *w, uint64_t lsn, uint64_t out[WORLD_IDS]);
/* Files in the checkpoint's directory. */
unsigned world_files(struct world *w);
struct buf world_file_read(struct world *w, const char *name);
void world_file_write(struct world *w, const char *name, struct slice bytes);

#endif
