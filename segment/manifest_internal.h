/* manifest_internal.h - what the manifest's files share. */
#ifndef SEGMENT_MANIFEST_INTERNAL_H
#define SEGMENT_MANIFEST_INTERNAL_H

#include "segment/manifest.h"

/* The rules of docs/formats/manifest.md, "When a manifest is valid"; `code` for a breach. */
NODISCARD
status manifest_check(const struct manifest *m, status code, struct err *err);

/* Zeroed room for a list of `count`, as manifest_add_*() want it: they make a list longer when its
 * count is a power of two, and count on the room up to there. NULL when memory is out. */
NODISCARD
void *manifest_room(size_t count, size_t item);

#endif
