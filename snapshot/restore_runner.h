/* restore_runner.h - one restore under way: restore.c has its order, restore_image.c the image. */
#ifndef SNAPSHOT_RESTORE_RUNNER_H
#define SNAPSHOT_RESTORE_RUNNER_H

#include "snapshot/fetch.h"
#include "snapshot/restore_internal.h"

struct restore_runner {
    const struct restore_options *options;
    const struct restore_plan *plan;
    const struct restore_sink *sink;
    struct ask ask;
    bool deep;
    bool use_image;
    bool nodes_done;
    uint64_t objects; /* to be read */
    struct restore_report report;
    struct { /* what is fetched next */
        size_t segment, run;
        uint64_t seq;
    } ahead;
    struct fetch *fetch; /* of segments and groups */
};

uint64_t restore_fetch_bytes(const struct restore_runner *r);
uint32_t restore_fetch_window(const struct restore_runner *r);
void restore_progress(struct restore_runner *r, uint64_t bytes);
/* Wrong bytes are asked for once more. */
NODISCARD
status restore_sound(struct restore_runner *r, const struct fetch_item *item, struct buf *body,
                     restore_check_fn *check, void *arg, struct err *err);
/* The next object; ST_CORRUPT: it is missing. */
NODISCARD
status restore_take(struct fetch *f, struct fetch_item *item, struct buf *body, struct err *err);

/* restore_image.c */
status restore_check_ref(void *ref, struct slice bytes, struct err *err); /* restore_check_fn */
uint64_t restore_image_parts(struct restore_runner *r);                   /* how many are read */
/* The slots, or the nodes. */
NODISCARD
status restore_read_image(struct restore_runner *r, bool nodes, struct err *err);
/* Nodes come once the last record at or below the image's lsn is there. */
NODISCARD
status restore_nodes_due(struct restore_runner *r, struct err *err);

#endif
