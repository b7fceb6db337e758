/* keep.h - what every read of documents shares: whether there is something to read, and copies of
 * rows in the request's arena.
 *
 * Threads    any, inside an epoch guard.
 * Failure    false: memory is out. */
#ifndef NODE_KEEP_H
#define NODE_KEEP_H

#include "node/node_internal.h"
#include "node/points.h"

static inline struct vindex *vectors_of(const struct collection *c, size_t field)
{
    return c->fields[field].vindex;
}
/* ST_UNAVAILABLE while loading, ST_NOT_FOUND once dropped. */
NODISCARD
status collection_check_readable(struct collection *c, struct err *err);
/* An empty slice stays empty. */
NODISCARD
bool keep_bytes(struct arena *arena, struct slice from, struct slice *out);
NODISCARD
bool keep_id(struct arena *arena, const struct docid *from, struct docid *out);
/* Vectors of the fields in the mask by position, NULL for those the row has not. Mask 0: NULL. */
NODISCARD
bool keep_vectors(struct arena *arena, const struct collection *c, uint32_t slot, uint64_t mask,
                  const float ***out);
/* Field 0's, or NULL. */
NODISCARD
bool keep_vector(struct arena *arena, const struct collection *c, uint32_t slot, const float **out);
NODISCARD
bool keep_document(struct arena *arena, const struct collection *c, uint32_t slot,
                   const struct read_want *want, struct document *out);
/* The payload index on a path, whatever its spelling; out->path is the caller's. ST_NOT_FOUND. */
NODISCARD
status collection_index_on(const struct collection *c, const struct path *path,
                           struct pindex_info *out, struct err *err);
/* The ids in order, each once; they go on borrowing their bytes. NULL with *count 0 when memory is
 * out. */
struct docid *ids_sorted(struct arena *arena, const struct docid *ids, size_t *count);
bool ids_have(const struct docid *sorted, size_t count, const struct docid *id);

#endif
