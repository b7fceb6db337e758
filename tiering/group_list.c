#include "tiering/group_list.h"

#include "base/mem.h"

#include <stdio.h>
#include <string.h>

/* A window of seqs behind the run that is known, so that names may come in any order. */
enum { WINDOW_WORDS = 16384, WINDOW = WINDOW_WORDS * 64 };

struct group_list {
    uint8_t collection[16];
    uint64_t epoch;
    uint64_t end; /* first..end are there */
    char prefix[OBJKEY_BYTES], start_after[OBJKEY_BYTES];
    uint64_t bits[WINDOW_WORDS];
};

struct group_list *group_list_create(const uint8_t collection[16], uint64_t epoch, uint64_t first)
{
    struct group_list *l = mem_zero(sizeof *l);

    if (l == NULL)
        return NULL;
    memcpy(l->collection, collection, sizeof l->collection);
    l->epoch = epoch;
    l->end = first - 1;
    objkey_prefix_groups(collection, epoch, l->prefix);
    if (first > 1)
        objkey_group(collection, epoch, first - 1, l->start_after);
    return l;
}

void group_list_destroy(struct group_list *l)
{
    mem_free(l);
}

const char *group_list_prefix(const struct group_list *l)
{
    return l->prefix;
}

const char *group_list_start_after(const struct group_list *l)
{
    return l->start_after;
}

static void add(struct group_list *l, uint64_t seq)
{
    if (seq > l->end && seq - l->end <= WINDOW)
        l->bits[seq % WINDOW / 64] |= UINT64_C(1) << seq % 64;
    for (;;) {
        uint64_t next = l->end + 1;
        uint64_t bit = UINT64_C(1) << next % 64;

        if ((l->bits[next % WINDOW / 64] & bit) == 0)
            return;
        l->bits[next % WINDOW / 64] &= ~bit;
        l->end = next;
    }
}

enum group_list_next group_list_page(struct group_list *l, const struct objstore_entry *entries,
                                     size_t count, bool truncated)
{
    bool any = false;

    for (size_t i = 0; i < count; i++) {
        struct objkey key = objkey_parse(entries[i].key);

        if (key.kind == OBJKEY_IS_GROUP && key.epoch == l->epoch &&
            memcmp(key.collection, l->collection, sizeof l->collection) == 0)
            add(l, key.seq);
        if (strlen(entries[i].key) < sizeof l->start_after &&
            strcmp(entries[i].key, l->start_after) > 0) {
            (void)snprintf(l->start_after, sizeof l->start_after, "%s", entries[i].key);
            any = true;
        }
    }
    return !truncated ? GROUP_LIST_DONE : any ? GROUP_LIST_MORE : GROUP_LIST_STUCK;
}

uint64_t group_list_end(const struct group_list *l)
{
    return l->end;
}
