/* root_internal.h - pieces that stand in roots, manifests and pins alike (docs/formats/root.md). */
#ifndef SEGMENT_ROOT_INTERNAL_H
#define SEGMENT_ROOT_INTERNAL_H

#include "segment/root.h"

enum { LINEAGE_BYTES = 32, OBJECT_REF_BYTES = 28 };

/* Epochs and last lsns rise, nothing is 0. */
bool lineages_ok(const struct lineage *l, size_t count);
bool log_floor_ok(const struct log_floor *f);

void put_lineage(struct buf *out, const struct lineage *l);
void rd_lineage(struct rd *r, struct lineage *l);
void put_log_floor(struct buf *out, const struct log_floor *f);
void rd_log_floor(struct rd *r, struct log_floor *f);
void put_object_ref(struct buf *out, const struct object_ref *o);
void rd_object_ref(struct rd *r, struct object_ref *o);

#endif
