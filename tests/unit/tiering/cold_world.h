/* cold_world.h - a bucket in memory with cold segments of drawn rows, a cache, and what is true of
 * the rows, by hand. */
#ifndef TESTS_UNIT_TIERING_COLD_WORLD_H
#define TESTS_UNIT_TIERING_COLD_WORLD_H

#include "objstore/faults.h"
#include "objstore/memory.h"
#include "tests/support/cold_make.h"
#include "tiering/cold_scan.h"

enum { WORLD_SEGMENTS = 4, WORLD_FIELDS = 2 };

struct cold_world {
    struct objstore counting;
    struct objstore *memory, *faults;
    _Atomic uint64_t counts[OBJSTORE_OPS], get_bytes;
    struct rand_seeded rand;
    struct cache *cache;
    struct cache_account account;
    uint8_t collection[16];
    struct catalog_field fields[WORLD_FIELDS];
    struct manifest manifest;
    uint32_t segments;
    struct cold_rows rows[WORLD_SEGMENTS];
    uint32_t *ordinals[WORLD_SEGMENTS];
    struct cold_dead dead[WORLD_SEGMENTS];
    uint64_t object_bytes[WORLD_SEGMENTS];
};
struct cold_world_options {
    uint32_t segments, rows; /* rows of the first; each further has half of it */
    uint32_t dim;
    uint64_t seed;
    uint64_t cache_bytes; /* 0: 64 MiB */
    bool mixed_ids;
    uint32_t without_vector;
    uint32_t fields; /* 0: two */
    uint32_t rich;   /* cold_make.h */
    bool no_external_ids;
    const struct pindex_spec *indexes;
    size_t index_count[WORLD_SEGMENTS]; /* of them, from the first */
};
/* Ids of segments overlap: a segment's rows begin in the middle of the ids of the one before, with
 * higher lsns; the older ones are dead in the manifest but for a few, which are of two segments. */
void world_open(struct cold_world *w, const struct cold_world_options *options);
void world_close(struct cold_world *w);
struct cold_set *world_set(struct cold_world *w, const struct cold_set *before);
struct cold_terms world_terms(void);
uint64_t world_gets(const struct cold_world *w);
/* The row of an id that counts, or NULL; *segment and *ordinal where it lies. */
const struct cold_make_row *world_newest(const struct cold_world *w, const struct docid *id,
                                         uint32_t *segment, uint32_t *ordinal);
/* All ids that count, sorted; the caller's to free. */
struct docid *world_ids(const struct cold_world *w, size_t *count);
bool world_is_dead(const struct cold_world *w, uint32_t segment, uint32_t row);
/* Asserts that a row is what was drawn; vectors by the mask. */
void world_check_row(const struct cold_world *w, const struct cold_row *row, unsigned what,
                     uint64_t vectors);

#endif
