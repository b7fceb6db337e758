/* pindex_stored.h - a payload index outside RAM: what a row puts into it, what a filter needs of
 * it, and a set of indexes of which only that much is loaded.
 *
 * A stored index is a sorted map from keys to rows, numbered from 0: whoever stores it need not
 * know what keys mean. What a row puts in is told key by key (pindex_entries_of()); what a filter
 * needs is told as runs of keys (pindex_stored_needs()); what was read of them is loaded
 * (pindex_stored_load()); then the set answers pindex_lookup() and its like as one in RAM does,
 * with the same code.
 *
 * Keys       a byte that says what, then: 0 to 3 nothing (rows with a value of the index's type,
 * with another, with a null, special ones), 0x10 a keyword, boolean, uuid or word, 0x20 to 0x22
 * eight bytes of a number, big-endian (docs/formats/cold-segment.md). Threads    a loaded set is
 * one thread's until it is loaded, then as any. Failure    what is loaded is judged: ST_CORRUPT
 * where keys or rows are none of such an index. */
#ifndef FILTER_PINDEX_STORED_H
#define FILTER_PINDEX_STORED_H

#include "filter/pindex.h"

enum { PINDEX_STORED_KEY_BYTES_MAX = 1 + 1024, PINDEX_STORED_SETS = 4 };

struct pindex_stored { /* as a directory has it */
    struct pindex_spec spec;
    uint32_t sets[PINDEX_STORED_SETS]; /* rows of keys 0 to 3 */
    uint64_t entries;                  /* of the other keys, over all rows */
};
static inline bool pindex_stored_is_entry(struct slice key)
{
    return key.data[0] >= PINDEX_STORED_SETS;
}

/* Every key a row puts in, some of them more than once. False: fn said so. */
typedef bool pindex_entry_fn(void *arg, struct slice key);
bool pindex_entries_of(const struct pindex_spec *spec, struct slice payload, pindex_entry_fn *fn,
                       void *arg);

/* Indexes of which nothing is loaded, over rows 0 .. rows - 1. ST_CORRUPT: there are no such
 * indexes. */
NODISCARD
status pindex_stored_open(const struct pindex_stored *items, size_t count, uint32_t rows,
                          struct pindex_set **out, struct err *err);
/* The runs of keys (both ends included) that pindex_lookup() looks at for this filter, of the items
 * by their number; in no order, some more than once. False: fn said so. */
typedef bool pindex_need_fn(void *arg, uint32_t item, struct slice low, struct slice high);
bool pindex_stored_needs(const struct pindex_set *set, const struct filter *f, pindex_need_fn *fn,
                         void *arg);
/* Of one item keys rise, and so do the rows of one key, over all calls. */
NODISCARD
status pindex_stored_load(struct pindex_set *set, uint32_t item, struct slice key,
                          const uint32_t *rows, uint32_t count, struct err *err);
/* After the last: what was begun is whole. */
NODISCARD
status pindex_stored_loaded(const struct pindex_set *set, struct err *err);

#endif
