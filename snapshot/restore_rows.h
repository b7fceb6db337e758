/* restore_rows.h - a collection out of the bucket into empty slots and vindexes.
 *
 * Every row and record is applied by the rule of snapshot/replay.h, in the order restore.h has
 * them, so that what comes out is exact whatever the image says: the image only decides in which
 * slot a row lies. Rows that it names go to their slots and keep their links; all others are
 * pending and linked after the start.
 *
 * Threads    one, before any reader; beside it only who runs epoch_collect().
 * Ownership  everything is borrowed. After a failure slots and vindexes hold a part and must be
 *            destroyed.
 * Memory     what is restored, the slot map (16 bytes a row of the image), rows that died and were
 *            not taken out yet (RESTORE_DEAD_MAX), and restore.h's. */
#ifndef SNAPSHOT_RESTORE_ROWS_H
#define SNAPSHOT_RESTORE_ROWS_H

#include "snapshot/checkpoint.h"
#include "snapshot/restore.h"

enum { RESTORE_DEAD_MAX = 65536 };

struct restore_rows {
    struct slots *slots;
    const struct checkpoint_field *fields;
    size_t field_count;
    struct epoch *epoch;
    /* Returns when slots that were retired before it are free. NULL: restore_into() runs
     * epoch_collect() itself, and nobody else does. */
    void (*reclaim)(void *arg);
    /* May be NULL. */
    void (*on_progress)(void *arg, uint64_t objects_done, uint64_t objects, uint64_t bytes_done);
    void (*on_gap)(void *arg, uint64_t first_lsn, uint64_t last_lsn);
    /* Each record of the log before it is applied; a status other than ST_OK ends the restore. */
    status (*on_record)(void *arg, uint64_t lsn, struct slice payload, struct err *err);
    /* As replay.on_delete. */
    status (*on_delete)(void *arg, uint64_t lsn, const struct docid *id, struct err *err);
    void *arg;
};
struct restore_into_report {
    struct restore_report bucket;
    uint64_t placed;        /* rows that went to the slot the image had them in */
    uint64_t nodes;         /* taken over with their links, in the field that has most */
    bool graph_left_out;    /* too little of the image's rows is left: everything is linked anew */
    uint32_t live, pending; /* in the end; pending: vectors, of all fields */
};
/* plan: from restore_plan_read(); what is restored is what it says. */
NODISCARD
status restore_into(const struct restore_options *options, const struct restore_plan *plan,
                    const struct restore_rows *rows, struct restore_into_report *out,
                    struct err *err);

#endif
