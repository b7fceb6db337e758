/* scroll_internal.h - one page of documents being made: scroll.c by id, scroll_order.c by value. */
#ifndef NODE_SCROLL_INTERNAL_H
#define NODE_SCROLL_INTERNAL_H

#include "node/keep.h"
#include "node/select.h"

struct scrolling {
    struct collection *c;
    const struct scroll *request;
    struct arena *arena;
    struct err *err;
    struct asker asker;
    struct known known;
    uint64_t moment;
    uint32_t limit;  /* what was asked for, or more than there are */
    uint32_t *slots; /* of the page, and one more if there is one */
    uint32_t count;
};

/* Documents of the page's slots, and where the next one begins. */
NODISCARD
status scroll_keep(struct scrolling *s, struct scrolled *out);
NODISCARD
status scroll_ordered(struct scrolling *s, struct scrolled *out);

#endif
