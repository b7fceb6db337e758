/* scroll_internal.h - one page of documents being made: scroll.c by id, scroll_order.c by value,
 * scroll_cold.c of a collection whose rows are not all in RAM. */
#ifndef NODE_SCROLL_INTERNAL_H
#define NODE_SCROLL_INTERNAL_H

#include "filter/numbers.h"
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
struct scroll_order { /* what order_by says */
    bool falling, of_time, has_from;
    struct number from; /* a time: its ticks, as all values */
};
/* ST_INVALID: there is no index that it may go by, or start_from is of another kind. */
NODISCARD
status scroll_order_read(struct collection *c, const struct scroll *request,
                         struct scroll_order *out, struct pindex_info *index, struct err *err);
/* Whether v is a value that counts. */
bool scroll_order_value(const struct scroll_order *o, const struct jbin_value *v,
                        struct number *out);
/* As it is told; false: memory is out. */
NODISCARD
bool scroll_order_keep(const struct scroll_order *o, const struct path *by, struct slice payload,
                       struct number value, struct arena *arena, struct filter_value *out);

/* What is in RAM; and, on a cold thread, all of it. */
NODISCARD
status scroll_head(struct collection *c, const struct scroll *request, struct arena *arena,
                   struct scrolled *out, struct err *err);
NODISCARD
status scroll_cold(struct collection *c, const struct scroll *request, struct arena *arena,
                   struct scrolled *out, struct err *err);

#endif
