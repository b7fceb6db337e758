/* publish_internal.h - what publish.c, publish_base.c, publish_image.c and fold.c share. */
#ifndef SNAPSHOT_PUBLISH_INTERNAL_H
#define SNAPSHOT_PUBLISH_INTERNAL_H

#include "segment/segment.h"
#include "snapshot/ask.h"
#include "snapshot/publish.h"

/* Tests write small objects in small steps, and change the collection between steps. */
struct publish_tuning {
    size_t object_bytes; /* an object is ended beyond it */
    uint32_t batch_rows; /* looked at in one epoch guard */
    void (*step)(void *arg);
    void *arg;
};
NODISCARD
status publish_run_tuned(const struct publish_options *options, const struct manifest *before,
                         const struct publish_tuning *tuning, struct manifest *after,
                         struct publish_report *out, struct err *err);

struct publisher {
    const struct publish_options *options;
    const struct publish_tuning *tuning;
    struct ask ask;
    struct publish_report report;
    struct manifest now; /* being made */
};
/* Between batches: lets a test in; ST_CLOSED when it shall stop. */
NODISCARD
status publish_step(struct publisher *p, struct err *err);
/* Puts bytes under a fresh name g/<uuid>. */
NODISCARD
status publish_data(struct publisher *p, struct slice bytes, struct object_ref *out,
                    struct err *err);
struct ask publish_ask(const struct publish_options *options);
/* Around what a publish puts. Begin: p->now is the manifest before, with the options' schema and
 * lsns. End: settles (base alone), absorbs, puts the manifest and has it committed; base: the rows
 * up to p->now.floor are all in it. */
NODISCARD
status publish_begin(struct publisher *p, const struct manifest *before, struct err *err);
NODISCARD
status publish_end(struct publisher *p, bool base, struct err *err);
void publish_sum_up(struct publisher *p);
/* Adds segments (images) to p->now. */
NODISCARD
status publish_base(struct publisher *p, struct err *err);
NODISCARD
status publish_image(struct publisher *p, struct err *err);

#endif
