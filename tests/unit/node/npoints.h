/* npoints.h - documents with payloads for the tests of node/points.h.
 *
 * A document has an id, a version, a vector (pvector()), and the payload
 * {"v": version, "n": id % 1000, "tags": ["t<id % 10>", "t<version % 7>"], "same": true}. */
#ifndef TESTS_UNIT_NODE_NPOINTS_H
#define TESTS_UNIT_NODE_NPOINTS_H

#include "node/points.h"
#include "node/select.h"
#include "tests/unit/node/nworld.h"

/* JSON text as a payload blob. */
void ppayload(struct jdoc *doc, const char *text, struct buf *out);
/* nvector(); but every hundredth id is next to the origin, whatever its version: the lower the
 * nearer, and all others are farther away. */
void pvector(uint64_t id, uint32_t version, uint32_t dim, float *out);
/* Writes ids first .. first + count - 1 with this version, in one request. */
void pput(struct collection *c, uint64_t first, uint32_t count, uint32_t version);
/* A payload index that is built when it returns. */
void pindexed(struct nworld *w, struct collection *c, const char *key, enum pindex_type type);
/* A filter of the compatible dialect, bound; in the arena. */
struct filter *pfilter(struct collection *c, const char *text, struct arena *arena);

#endif
