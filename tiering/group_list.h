/* group_list.h - which groups of one epoch follow each other without a hole, from listings of the
 * bucket: what is asked for, and what its pages mean. Pure.
 *
 * The run begins with the first group that counts: those before it may be collected. Pages may come
 * in any order within themselves, and names of other things are passed over.
 *
 * Threads    one. */
#ifndef TIERING_GROUP_LIST_H
#define TIERING_GROUP_LIST_H

#include "objstore/objstore.h"
#include "segment/objkey.h"

struct group_list; /* 128 KiB */

enum group_list_next {
    GROUP_LIST_DONE,
    GROUP_LIST_MORE,  /* the next page: group_list_start_after() */
    GROUP_LIST_STUCK, /* there is more, and the page had no new name to go on behind */
};

/* NULL: no memory. first: 1 or more. */
struct group_list *group_list_create(const uint8_t collection[16], uint64_t epoch, uint64_t first);
void group_list_destroy(struct group_list *l);
/* Of the next page: the prefix, and the name it begins behind ("": none). Borrowed. */
const char *group_list_prefix(const struct group_list *l);
const char *group_list_start_after(const struct group_list *l);
enum group_list_next group_list_page(struct group_list *l, const struct objstore_entry *entries,
                                     size_t count, bool truncated);
/* The last of the run; first - 1: there is none. */
uint64_t group_list_end(const struct group_list *l);

#endif
