/* cold_index.h - what the payload indexes of a segment know of a filter: only the blocks are read
 * that have its keys (filter/pindex_stored.h, segment/cold_index.h). */
#ifndef TIERING_COLD_INDEX_H
#define TIERING_COLD_INDEX_H

#include "filter/pindex_stored.h"
#include "segment/cold_index.h"
#include "tiering/cold_internal.h"

/* Indexes of a segment, of which what was asked for is loaded. */
struct cold_loaded {
    struct pindex_set *set; /* NULL: no index helps, or what helps is too much to read */
    struct arena arena;
};
/* Loads what the filter needs. One wave, or several of a few MiB. A damaged index helps nobody: it
 * is logged, and payloads are read instead. */
NODISCARD
status cold_index_load(struct cold_set *s, const struct cold_segment *segment,
                       const struct filter *filter, const struct cold_terms *terms,
                       struct cold_stats *stats, struct cold_loaded *out, struct err *err);
/* All of the index on a path. */
NODISCARD
status cold_index_load_all(struct cold_set *s, const struct cold_segment *segment,
                           const struct path *path, const struct cold_terms *terms,
                           struct cold_stats *stats, struct cold_loaded *out, struct err *err);
void cold_loaded_free(struct cold_loaded *l); /* fine on a zeroed one */

#endif
