/* restore_internal.h - what restore.c, restore_image.c, restore_cold.c, restore_plan.c and
 * restore_verify.c share.
 */
#ifndef SNAPSHOT_RESTORE_INTERNAL_H
#define SNAPSHOT_RESTORE_INTERNAL_H

#include "snapshot/ask.h"
#include "snapshot/restore.h"

enum {
    RESTORE_FETCH_AHEAD = 8,
    RESTORE_FETCH_AHEAD_BYTES = 64 * 1024 * 1024,
    RESTORE_GIVE_UP_MS = 60000,
};
struct ask restore_ask(const struct restore_options *options);
/* An object that must be there: one that is not is ST_CORRUPT naming it, after a few tries. `check`
 * decides about its bytes; wrong ones are read again, `tries` times in all. */
typedef status restore_check_fn(void *arg, struct slice bytes, struct err *err);
NODISCARD
status restore_get(const struct ask *ask, const char *key, size_t bytes_max, unsigned tries,
                   restore_check_fn *check, void *arg, struct buf *out, struct err *err);
/* Length and checksum are what the manifest says. */
NODISCARD
status restore_ref_check(const struct object_ref *ref, struct slice bytes, struct err *err);

/* The cold segments of a manifest, one after the other. */
struct restore_cold {
    const struct restore_options *options;
    const struct ask *ask;
    bool deep;
    status (*on_row)(void *arg, const struct segment_row *row, struct err *err); /* NULL: no one */
    void (*progress)(void *arg, uint64_t bytes);                                 /* after each */
    void *arg;
};
struct restore_cold_report { /* added to */
    uint64_t bytes, requests;
};
NODISCARD
status restore_cold_read(const struct restore_cold *to, const struct manifest *m,
                         struct restore_cold_report *report, struct err *err);

/* Something is missing or damaged. Where the root says now that it may have been collected since
 * the plan's root was read, ST_UNAVAILABLE: begin again (dropped: ST_NOT_FOUND); else st as it is.
 */
NODISCARD
status restore_look_again(const struct restore_options *options, const struct root *then, status st,
                          struct err *err);

/* Where the log that counts begins. */
const struct log_floor *restore_plan_floor(const struct restore_plan *plan);
/* deep: what each object says is checked against the rest of it (`verify`). */
NODISCARD
status restore_run_deep(const struct restore_options *options, const struct restore_plan *plan,
                        const struct restore_sink *sink, bool deep, struct restore_report *out,
                        struct err *err);

#endif
