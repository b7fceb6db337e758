/* nhead.h - what the tests of S3Only collections share: making one, folding it, and what it holds
 * by head and cold set together.
 *
 * Threads    one, but for nhead_version(). */
#ifndef TESTS_UNIT_NODE_NHEAD_H
#define TESTS_UNIT_NODE_NHEAD_H

#include "node/cold_internal.h"
#include "tests/unit/node/nbucket.h"

/* Of NDIM numbers, pinned. durability 0: what such a collection has by default. */
struct collection *nhead_make(struct nworld *w, const char *name, enum node_durability durability);
/* On the publish thread; all: into one segment. */
status nhead_fold(struct collection *c, bool all, struct err *err);
void nhead_folded(struct collection *c); /* that succeeds, and the head has given up what it may */
/* 0: not there, neither in the head nor in the set, which is held from before the head is asked.
 * Fails the test where it is there twice. UINT32_MAX: the set is not known. */
uint32_t nhead_version(struct collection *c, uint64_t id);
uint32_t nhead_version_in(struct collection *c, struct cold_set *set, uint64_t id);
void nhead_has_range(struct collection *c, uint64_t first, uint64_t last, uint32_t version);
void nhead_open(struct collection *c); /* waits until its set is */
/* Looked at by the publish thread. */
struct nhead_facts {
    uint64_t floor, given_up, committed, trimmed;
    uint64_t rows; /* of the set */
    uint32_t live, segments;
    uint64_t tombstones;
    unsigned past; /* sets that are held still */
};
struct nhead_facts nhead_facts(struct collection *c);
status nhead_delete(struct collection *c, uint64_t first, uint64_t last, struct err *err);
struct nhead_log { /* where a collection's log lies */
    char dir[FS_PATH_BYTES];
    uint8_t id[16];
};
struct nhead_log nhead_log(const struct collection *c);
/* Of a closed node: an open one trims it at any time. */
uint64_t nhead_first_in_log(struct nworld *w, const struct nhead_log *log);
bool nhead_has_checkpoint(struct nworld *w, struct collection *c);

#endif
