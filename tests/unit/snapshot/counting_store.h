/* counting_store.h - a store in front of another that counts what passes, and sets a flag at the
 * n-th request: what a process that dies there would not do any more is not done. */
#ifndef TESTS_UNIT_SNAPSHOT_COUNTING_STORE_H
#define TESTS_UNIT_SNAPSHOT_COUNTING_STORE_H

#include "objstore/objstore.h"

#include <stdatomic.h>

struct counting_store {
    struct objstore store; /* pass &c->store */
    struct objstore *inner;
    _Atomic uint64_t counts[OBJSTORE_OPS];
    _Atomic uint64_t all;
    _Atomic uint64_t fresh; /* that asked for a connection of their own */
    uint64_t stop_at;       /* 0: never; 1: the first */
    _Atomic bool *stop;
};
void counting_store_init(struct counting_store *c, struct objstore *inner);

#endif
