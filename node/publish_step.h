/* publish_step.h - what publishing (publisher.c) and folding (cold_fold.c) have in common: the
 * collection as its stream and the bucket have it now, and the manifest into the root.
 *
 * Threads    the publish thread, or the fold thread: they wait for the network here. */
#ifndef NODE_PUBLISH_STEP_H
#define NODE_PUBLISH_STEP_H

#include "node/fields.h"

struct publishing {
    struct collection *c;
    struct catalog_collection schema;
    struct tier_stream_status stream;
    struct root root;
    struct manifest before;
    bool has_before;
    char checkpoint_dir[FS_PATH_BYTES];
    struct checkpoint_field fields[NODE_FIELDS_MAX];
};
/* Zeroed but for c. *out: everything but what is to be published, and what of it is shipped: it
 * borrows from p. ST_UNAVAILABLE: not ours now, or not applied yet. publishing_close() in any case.
 */
NODISCARD
status publishing_open(struct publishing *p, struct publish_options *out, struct err *err);
/* The manifest the root names, if it names one. */
NODISCARD
status publishing_read(struct publishing *p, struct err *err);
void publishing_close(struct publishing *p);

#endif
