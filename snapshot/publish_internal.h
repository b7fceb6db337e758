/* publish_internal.h - what publish.c, publish_base.c and publish_image.c share. */
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
/* Adds segments (images) to p->now. */
NODISCARD
status publish_base(struct publisher *p, struct err *err);
NODISCARD
status publish_image(struct publisher *p, struct err *err);

#endif
