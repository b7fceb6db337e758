/* cold_internal.h - struct cold, and what the files of cold.h share. */
#ifndef NODE_COLD_INTERNAL_H
#define NODE_COLD_INTERNAL_H

#include "node/cold.h"

struct tombstones;

struct cold {
    struct lock apply; /* LOCK_RANK_COLD_APPLY */
    struct tombstones *tombstones;
    struct cache_account account;

    struct {                  /* guarded by lock */
        struct lock lock;     /* LOCK_RANK_COLD */
        struct cold_set *now; /* NULL: not open */
        uint64_t floor;       /* of `now` */
        char reason[256];     /* why there is none */
    } set;
};

NODISCARD
status cold_create(struct collection *c, struct err *err);
void cold_destroy(struct collection *c); /* nobody holds a set; after a failed _create too */

/* tombstones.c */
NODISCARD
status tombstones_create(struct mem_budget *budget, struct tombstones **out, struct err *err);
void tombstones_destroy(struct tombstones *t); /* accepts NULL */
uint64_t tombstones_bytes(struct collection *c);
void tombstones_give_up(struct collection *c, uint64_t lsn); /* those at or below */
/* Every one at or below lsn, without a lock held; ids that come meanwhile may be left out. fn's
 * status but ST_OK ends it. */
typedef status tombstone_fn(void *arg, const struct docid *id, uint64_t lsn, struct err *err);
NODISCARD
status tombstones_each(struct collection *c, uint64_t lsn, tombstone_fn *fn, void *arg,
                       struct err *err);

#endif
