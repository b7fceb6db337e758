/* change.h - one conditional or partial write under way: what change.c (its way), change_ids.c
 * (which documents) and change_rows.c (what becomes of them) share.
 *
 * Threads    the operation goes from thread to thread; one has it at a time.
 * Ownership  the door's rows, ids, paths and filters are borrowed until done() ran. */
#ifndef NODE_CHANGE_H
#define NODE_CHANGE_H

#include "node/cold_reads.h"
#include "node/node_internal.h"
#include "node/select.h"

enum {
    CHANGE_IDS_MAX = 65536,              /* of a batch whose ids the door brought */
    CHANGE_WALK_IDS = 4096,              /* of one that a filter found */
    CHANGE_PAGE_ROWS = 128,              /* a filter is asked of in one go */
    CHANGE_KNOWN_MAX = 16384,            /* rows that indexes may leave to be asked at once */
    CHANGE_BYTES = 24 * 1024 * 1024,     /* of changed documents in one record: then it is closed */
    CHANGE_WALK_BYTES = 4 * 1024 * 1024, /* the same where a filter chose them */
    CHANGE_COST_NS = 5000,               /* of one document, about */
    CHANGE_CLOCK_BYTES = 32 * 1024,      /* of rows between looks at the clock */
    CHANGE_FOUND_MAX = 65536,            /* ids that a filter finds at once under S3Only */
    CHANGE_COLD_DOCS = 256,              /* documents read at once under S3Only */
};

#define CHANGE_FOLLOWS (UINT32_C(1) << 31)

enum change_job { JOB_WRITE, JOB_DELETE, JOB_CHANGE };
enum change_step { STEP_CHOOSE, STEP_LINE_UP, STEP_SETTLE, STEP_DECIDE, STEP_LOG, STEP_WAIT };

struct change_op {
    struct task task;     /* first */
    struct collection *c; /* pinned */
    enum change_job job;
    enum change_step step;
    struct write_options options;
    struct change change;
    node_write_fn *done;
    void *arg;

    /* Which documents. */
    struct write_row *rows;     /* of JOB_WRITE and CHANGE_VECTORS */
    const struct docid *ids;    /* NULL: those of rows, or a filter's */
    size_t count;               /* of rows or ids */
    size_t taken;               /* of them, into batches */
    bool by_filter;             /* neither rows nor ids, but: */
    const struct filter *which; /* NULL: all */
    struct {
        bool begun, ended;
        struct docid *found; /* payload indexes knew them all: ids borrows it */
        struct arena texts;  /* bytes of these */
        struct docid after, last;
        char after_text[DOCID_BYTES_MAX], last_text[DOCID_BYTES_MAX];
        struct arena ids; /* bytes of the batch's */
        bool more;        /* under S3Only: behind those found, from `after` on */
    } walk;

    /* A batch: its ids lie before the turn at once, and become one record if they fit. */
    struct {
        size_t room, count;
        struct docid *ids;
        uint32_t *same; /* CHANGE_VECTORS: the next row of the same id, + 1, 0: none; with
                         * CHANGE_FOLLOWS where an earlier one decides */
        size_t first;   /* place of ids[0] in the request */
        size_t at;      /* the next to be decided */
        struct turn turn;
        struct turn_entry *entries;
        struct arena arena;        /* what `out` points to */
        struct buf payload;        /* being made */
        struct write_row *out;     /* to be written */
        struct docid *out_deleted; /* to be deleted */
        size_t out_count;
        size_t bytes;
    } batch;

    struct { /* under S3Only: documents of the batch from `at` on, as they were read */
        struct arena arena;
        struct cold_doc *docs;
        size_t at, count;
    } cold;

    uint64_t lsn;     /* of the last record */
    uint64_t changed; /* documents, in all records */
    bool missing;
    struct docid missing_id;
    struct remote_wait wait;
};

/* change_ids.c: fills the batch with what comes next; none: there are no more. Works for a slice
 * only: *again. */
NODISCARD
status change_choose(struct change_op *op, bool *again, struct err *err);
bool change_chosen(const struct change_op *op); /* there are no more behind this batch */

/* change_cold.c: reads documents of the batch from batch.at on, the turn come and settled. On a
 * cold thread, inside no guard. */
NODISCARD
status change_read_cold(struct change_op *op, struct err *err);

/* change_rows.c: decides about the id at batch.at, inside a guard, the turn come and settled; adds
 * to out what is to be logged. ST_CONFLICT: the condition of the request does not hold. */
NODISCARD
status change_decide(struct change_op *op, struct err *err);

#endif
