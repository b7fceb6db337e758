/* pindex_gen.h - random payloads and filters over a few keys, as JSON text: values of all types in
 * all places, so that indexes meet what they do not expect. */
#ifndef TESTS_UNIT_FILTER_PINDEX_GEN_H
#define TESTS_UNIT_FILTER_PINDEX_GEN_H

#include "filter/pindex.h"

struct gen {
    uint64_t random;
    bool clean; /* values suit their keys, whatever their number */
};
uint64_t gen_next(struct gen *g);
uint64_t gen_below(struct gen *g, uint64_t bound);
void gen_payload(struct gen *g, struct buf *out); /* NUL terminated */
void gen_filter(struct gen *g, struct buf *out);
void gen_own_filter(struct gen *g, struct buf *out); /* of our own dialect */
/* The paths that may be indexed, with the type that suits each; NULL beyond the last. */
const char *gen_path(size_t i, enum pindex_type *suits);
enum { GEN_PATHS = 11 };

#endif
