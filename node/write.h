/* write.h - one write under way: what write.c (its way through the sequencer and the log),
 * write_rows.c (upserts) and write_delete.c share.
 *
 * Threads    the operation goes from thread to thread; one has it at a time. From the moment it has
 *            its lsn that is the commit thread, even before the sequencer's lock is dropped.
 * Ownership  the door's rows and ids are borrowed until done() ran. */
#ifndef NODE_WRITE_H
#define NODE_WRITE_H

#include "node/node_internal.h"

struct write_op {
    struct task task;     /* while it fills and helps to link in slices */
    struct collection *c; /* pinned */
    bool is_delete;
    struct write_terms terms;
    const struct docid *wanted; /* of a delete: the request's, all of them */
    size_t wanted_count;
    struct turn turn; /* of one that got in line */
    uint64_t lsn;
    struct turn_list settling;           /* who waits until this is not in flight any more */
    size_t count;                        /* of slots, ids and overlay entries */
    size_t counted;                      /* what the answer says */
    uint32_t *slots;                     /* of an upsert */
    struct docid *ids;                   /* of a delete: those it logs; borrow from the request */
    struct cold_set *cold;               /* the same: held while it is wanted what is there */
    uint64_t *cold_lsns;                 /* of `wanted` in it, 0: not there */
    struct tombstones_batch *tombstones; /* of a delete under S3Only: what it puts */
    struct overlay_entry *overlay;
    struct buf record;
    struct record_writer writer;
    struct write_row *rows; /* of an upsert, the door's until done() */
    uint32_t *keep;         /* which of them count */
    size_t filled;          /* of count */
    uint64_t now_ns;        /* wall */
    uint32_t vectors;       /* of the rows filled */
    uint32_t help_left, index_left;
    uint64_t started_ns;
    struct remote_wait wait; /* for the bucket, once it is durable here */
    node_write_fn *done;
    void *arg;
};

/* Pins the collection. NULL: out of memory. */
struct write_op *write_op_create(struct collection *c, size_t count, bool is_delete,
                                 const struct write_terms *terms);
void write_op_destroy(struct write_op *op);
void write_op_refuse(struct write_op *op, status st, const struct err *err); /* and answers */
void write_want_room(struct collection *c, status st);

/* The overlay; the sequencer's lock is held. */
void write_overlay_add_locked(struct write_op *op, size_t at, const struct docid *id, bool present);
void write_overlay_remove_locked(struct write_op *op); /* the first op->count */
/* The newest record in flight that changes the id, or NULL. */
const struct overlay_entry *write_overlay_find_locked(struct collection *c, const struct docid *id);

/* ST_OK if the collection takes writes now. */
NODISCARD
status write_check_locked(struct collection *c, struct err *err);
NODISCARD
status write_check_newest_locked(const struct write_op *op, const struct docid *id,
                                 struct err *err);
NODISCARD
status write_submit_locked(struct write_op *op, struct err *err);
/* Whether op must wait: its ids are somebody's turn, and it has no turn of its own. */
bool write_in_the_way_locked(struct write_op *op, const struct docid *ids, size_t count);
void write_leave_turns_locked(struct write_op *op, struct turn_list *come);
/* Gets in line. False: its turn has come already, or memory is out and op was refused (*refused).
 */
bool write_wait_in_line(struct write_op *op, const struct docid *ids, size_t count, task_fn *then,
                        bool *refused);
/* Gives an upsert its place in the log. */
void write_sequence(struct write_op *op);

#endif
