/* cells_making.h - cells under way: what the files share that make them.
 *
 * cells_build.c    which row goes to which cell, and in which order
 * cells_code.c     what a reader keeps of them: counts, spreads, codes of centroids */
#ifndef INDEX_CELLS_MAKING_H
#define INDEX_CELLS_MAKING_H

#include "index/cells_internal.h"

struct cells_arrays { /* own of struct cells_build */
    struct mem_budget *budget;
    uint64_t reserved;
    uint8_t *signs, *coarse_codes, *fine_codes;
    float *mean;
    uint16_t *fine_rows, *fine_spread, *worth;
    uint32_t *coarse_first_fine, *coarse_first_row;
};
struct cells_making {
    const struct cells_options *o;
    const struct cells_source *source;
    struct cells_build *b;
    struct cells_arrays *a;
    struct rand_seeded rand;
    struct means top, fine;
    uint32_t *top_first; /* of fine: by coarse cell */
    uint32_t *group;     /* by row: coarse cell; then fine cell */
    uint32_t *member, *member_first;
    struct err *err;
};

status cells_no_memory(struct cells_making *m);

/* cells_code.c: m->b->cells and its arrays, of so many cells; for rows in their order. */
NODISCARD
status cells_arrays_make(struct cells_making *m, uint32_t coarse, uint32_t fine);
NODISCARD
status cells_make_codes(struct cells_making *m);

#endif
