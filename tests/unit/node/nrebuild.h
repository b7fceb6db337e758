/* nrebuild.h - what the tests of graphs that are made anew share: changes, and documents whose ids
 * are numbers and that are found by their own vectors.
 *
 * Threads    any, as the calls of node.h. */
#ifndef TESTS_UNIT_NODE_NREBUILD_H
#define TESTS_UNIT_NODE_NREBUILD_H

#include "tests/unit/node/nworld.h"

enum { NR_DIM = 16 };

/* The same for each field whose bit is in `only`. */
status nrpatch(struct nworld *w, struct collection *c, const struct hnsw_patch *to, unsigned only,
               struct err *err);
status nrpatch_m(struct nworld *w, struct collection *c, uint16_t m, struct err *err);
uint16_t nrserved(struct collection *c); /* m of the graph that serves, of field 0 */
bool nrdone(struct collection *c);       /* nothing is made anew */
/* Documents [first, end), of this version. */
void nrput(struct collection *c, uint64_t first, uint64_t end, uint32_t version);
/* How many of ten come back for the document's vector, and which is the first. ef is large, as no
 * recall is measured here. */
uint32_t nrsearch(struct collection *c, uint64_t id, uint32_t version, bool exact, uint64_t *first);
/* Each document of [1, end) is the nearest to its own vector. */
void nrfound(struct collection *c, uint64_t end, uint32_t version);

#endif
