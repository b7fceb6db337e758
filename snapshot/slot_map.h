/* slot_map.h - where an image wants a row: (lsn, hash of id) -> slot, while a restore runs.
 *
 * Threads    one.
 * Memory     16 bytes an entry, at most 4/3 of that twice while it grows. */
#ifndef SNAPSHOT_SLOT_MAP_H
#define SNAPSHOT_SLOT_MAP_H

#include "index/slots.h"

struct slot_map_entry {
    uint64_t lsn; /* 0: free */
    uint32_t id_hash;
    uint32_t slot;
};
struct slot_map { /* zeroed: empty */
    struct slot_map_entry *entries;
    size_t room; /* a power of two, or 0 */
    size_t count;
};
/* lsn > 0. A key that comes twice (rows of one record whose ids hash alike) names no slot for
 * certain: then it names none. */
NODISCARD
status slot_map_put(struct slot_map *m, uint64_t lsn, uint32_t id_hash, uint32_t slot,
                    struct err *err);
/* The slot of this key, once; SLOT_NONE: there is none. */
uint32_t slot_map_take(struct slot_map *m, uint64_t lsn, uint32_t id_hash);
void slot_map_free(struct slot_map *m);

#endif
