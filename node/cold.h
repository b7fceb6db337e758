/* cold.h - a collection under S3Only: its head, its tombstones, the cold set it reads, the folds
 * that move rows from one to the other. docs/s3only.md has the rules (1 to 4 there); this is who
 * holds what.
 *
 * Every collection has a struct cold; only under S3Only is it used (cold_is()). The head is the
 * collection's slots and indexes; what the rest of node/ does with rows in RAM stays as it is, and
 * each operation that means documents asks here for those that are not in RAM.
 *
 * Threads    cold_hold(), cold_newer(), tombstones: any, they never wait. What waits for the
 * network runs on cold threads (cold_exec.h); folds on the fold thread. Locks LOCK_RANK_COLD
 * guards set and floor; nothing waits with it held. */
#ifndef NODE_COLD_H
#define NODE_COLD_H

#include "node/node_internal.h"
#include "snapshot/fold.h"
#include "tiering/cold_set.h"

/* --- state: cold.c, tombstones.c --- */
bool cold_is(const struct collection *c); /* S3Only: documents may be elsewhere than in RAM */
/* The set now, held; drop it with cold_set_drop(), and keep the collection pinned until then. Hold
 * it before the head is asked: what is missing there is in this set, or in none. ST_UNAVAILABLE
 * with the reason: what the bucket has is not known yet. */
NODISCARD
status cold_hold(struct collection *c, struct cold_set **out, struct err *err);
/* cold_terms.newer: arg is the collection. */
bool cold_newer(void *collection, const struct docid *id, uint64_t lsn);

/* Ids that were deleted above the floor. Room is reserved before the lsn is given, and the ids are
 * copied; the commit thread puts, and cannot fail. ST_NOSPACE, ST_NOMEM: nothing is reserved. */
struct tombstones_batch; /* of one delete */
NODISCARD
status tombstones_reserve(struct collection *c, const struct docid *ids, size_t count,
                          struct tombstones_batch **out, struct err *err);
void tombstones_release(struct collection *c, struct tombstones_batch *batch); /* accepts NULL */
/* All of the batch, which is gone then; NULL: none. */
void tombstones_put(struct collection *c, struct tombstones_batch *batch, uint64_t lsn);
bool tombstones_find(struct collection *c, const struct docid *id, uint64_t *lsn);
uint64_t tombstones_count(struct collection *c);
/* replay.on_delete; arg is the collection. */
status tombstones_replay(void *collection, uint64_t lsn, const struct docid *id, struct err *err);

/* Around every change of the head's rows: the commit thread's, and who gives rows up. */
void cold_apply_begin(struct collection *c);
void cold_apply_end(struct collection *c);

/* --- start and folds: cold_start.c, cold_fold.c, cold_head.c --- */
/* The root may name another manifest than the set's: it is looked at again, until it could be. */
void cold_want_open(struct collection *c);
/* Since the start no try to open it came to an end yet: worth waiting for. */
bool cold_undecided(const struct collection *c);
/* Sets are opened and folded, and what is published of a collection is, by one at a time; true: by
 * the caller, until cold_work_end(). Such work takes long and waits for the network. */
bool cold_work_try(struct collection *c);
bool cold_work_begin(struct collection *c); /* waits; false: the node is stopping */
void cold_work_end(struct collection *c);
/* What who works on it does in a turn: folds when due, gives up rows. True: a fold ran. */
bool cold_turn(struct collection *c);
/* By who works on it. all: everything into one segment. Nothing to do: ST_OK, nothing in *out. */
NODISCARD
status cold_fold_now(struct collection *c, bool all, struct publish_report *out, struct err *err);

/* The upkeep thread's. True: no checkpoint is written; a fold is wanted. */
bool cold_instead_of_checkpoint(struct collection *c);
/* Rows were given up, and so many are dead still: their memory is wanted back. */
bool cold_repair_due(struct collection *c, uint32_t dead);

/* --- the policy: cold_policy.c; the meta thread's --- */
/* Before the catalog says S3Only; what can fail. */
NODISCARD
status cold_enter_check(struct collection *c, struct err *err);
void cold_enter(struct collection *c); /* it says so */
/* Before it says another policy: no writes any more, and all of it in the bucket. Waits for the
 * network, NODE_BUCKET_WAIT_MS a step. */
NODISCARD
status cold_leave_begin(struct collection *c, struct err *err);
void cold_leave_undo(struct collection *c); /* it does not say so */
void cold_leave(struct collection *c);      /* it says so: loaded anew, as rows of RAM */
void cold_follow(struct collection *c, uint8_t policy); /* as the catalog has it by now */
/* It left S3Only, and the bucket's manifest has cold segments still. */
bool cold_left(struct collection *c);

/* Documents, wherever they are: cold_reads.h. */

#endif
