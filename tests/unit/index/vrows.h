/* vrows.h - a slot table and a vector index over it, with seeded rows, for tests of index/. */
#ifndef TESTS_VROWS_H
#define TESTS_VROWS_H

#include "index/vindex.h"

struct vrows {
    struct mem_budget budget;
    struct epoch *epoch;
    struct slots *slots;
    struct vindex *index;
    struct vindex_scratch *scratch;
    struct vindex_options options;
    uint64_t lsn;
    uint64_t random;
    uint32_t clusters;
};

/* threshold, m and the rest as given; slots, epoch and budget are filled in. */
void vrows_init(struct vrows *r, struct vindex_options options, uint32_t clusters, uint64_t seed);
void vrows_fini(struct vrows *r);

uint64_t vrows_random(struct vrows *r);
float vrows_uniform(struct vrows *r); /* -1..1 */
/* A point near one of r->clusters centres, which depend on nothing but their number and dim; unit
 * length under cosine. */
void vrows_point(struct vrows *r, float *out);

/* Inserts or replaces the row of a number; its slot. Aborts the test on failure. */
uint32_t vrows_put(struct vrows *r, uint64_t id, const float *vector);
void vrows_put_random(struct vrows *r, uint64_t first, uint32_t count);
uint32_t vrows_erase(struct vrows *r, uint64_t id);
/* Takes all dead slots out of the graph and frees them, as the node does; checks the graph. */
void vrows_repair(struct vrows *r);
void vrows_check(struct vrows *r, uint32_t unreachable_max);

uint32_t vrows_search(struct vrows *r, const struct vsearch *s, struct vhit *out);
/* The k nearest live rows by a plain loop in f64; returns how many. */
uint32_t vrows_brute(const struct vrows *r, const float *query, uint32_t k, const uint64_t *allow,
                     struct vhit *out);
/* Mean recall@k over seeded queries from the same clusters. */
double vrows_recall(struct vrows *r, uint32_t queries, uint32_t k, uint32_t ef);

#endif
