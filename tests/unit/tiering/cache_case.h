/* cache_case.h - a cache over a bucket in memory with faults, whose requests are counted. */
#ifndef TESTS_UNIT_TIERING_CACHE_CASE_H
#define TESTS_UNIT_TIERING_CACHE_CASE_H

#include "objstore/faults.h"
#include "objstore/memory.h"
#include "tiering/cache_internal.h"

#include <stdatomic.h>

enum {
    CASE_BLOCK = 1000,
    CASE_BLOCKS = 200, /* of an object */
    CASE_OBJECTS = 4,
    CASE_COST = CASE_BLOCK + (int)sizeof(struct cache_block),
};
struct cache_case {
    struct objstore counting; /* in front of the faults */
    struct objstore *memory, *faults;
    _Atomic uint64_t counts[OBJSTORE_OPS], fresh, wrong;
    struct rand_seeded rand;
    struct cache *cache;
    uint64_t fixed; /* what it takes without a block */
    struct cache_account account;
};
/* bytes_max: beside what it takes without a block. */
void case_open(struct cache_case *c, uint64_t bytes_max);
void case_close(struct cache_case *c);
uint64_t case_gets(const struct cache_case *c); /* but for those sent once more */
void case_fault(struct cache_case *c, struct objstore_fault fault);
/* Block `index` of object `object`; its check looks at every byte. */
struct cache_want case_want(unsigned object, unsigned index);
struct cache_terms case_terms(struct cache_case *c);
void case_check_body(const struct cache_want *w);
/* Reads one block, looks at it, gives it back; whether it was a hit. */
bool case_touch(struct cache_case *c, unsigned object, unsigned index);
bool case_has(struct cache_case *c, unsigned object, unsigned index);
/* Of blocks; waits until nothing is under way. */
uint64_t case_bytes(struct cache_case *c);
/* The bytes that stand at an offset of an object. */
uint8_t case_byte(unsigned object, uint64_t offset);

#endif
