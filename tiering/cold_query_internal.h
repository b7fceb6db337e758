/* cold_query_internal.h - one query over the segments of a cold set: its parts, what may be read,
 * and the rows that are nearest so far. */
#ifndef TIERING_COLD_QUERY_INTERNAL_H
#define TIERING_COLD_QUERY_INTERNAL_H

#include "tiering/cold_internal.h"

struct cold_part { /* a segment that has vectors of the field */
    uint32_t member;
    uint16_t position; /* of the field, in the footer */
    const struct cold_member *m;
    const struct cells *cells;
    struct cells_query *query;
    struct cold_selection *selection; /* NULL: no filter */
};
struct cold_nearest { /* a row */
    float key;
    uint32_t part, ordinal, position;
    uint64_t lsn;
    struct docid id; /* bytes are the arena's, or with `inside` those of id_bytes */
    bool inside;
    bool placed; /* its id stands in block `place` of the id index alone */
    uint32_t place;
    uint8_t id_bytes[COLD_ID_INLINE_MAX];
};
struct cold_run {
    struct cold_set *set;
    const struct cold_query *query;
    const struct cold_terms *terms; /* those of the call, but for the budget: */
    struct cold_terms own_terms;
    struct cache_budget budget, kept; /* what reads may take; what is left for later calls */
    struct arena *arena;
    struct cold_stats *stats;
    struct cold_part *parts;
    struct cells_query **queries; /* of the parts */
    uint32_t part_count;
    uint64_t rows;             /* of all parts */
    struct cold_nearest *heap; /* the farthest on top */
    uint32_t heap_max, heap_count;
    bool partial;
    bool came_short; /* too few of the rows that were kept, or read, counted */
    bool was_full;   /* there were more than are kept */
    uint32_t wider;  /* so many times as much is wanted */
    uint32_t done;   /* ranges that were read */
};

/* Not dead, and let through by the filter. */
static inline bool cold_part_counts(const struct cold_part *p, uint32_t ordinal)
{
    return !cold_member_dead(p->m, ordinal) &&
           (p->selection == NULL || cold_selection_has(p->selection, ordinal));
}
/* Position and ordinal are the same: what a filter lets through is known before rows are read. */
static inline bool cold_part_ordered(const struct cold_part *p)
{
    return p->position == 0;
}

/* --- taking rows (cold_nearest.c) --- */
/* Whether a row of this key may still come in. */
static inline bool cold_run_wants(const struct cold_run *r, float key)
{
    return r->heap_count < r->heap_max || key < r->heap[0].key;
}
void cold_run_offer(struct cold_run *r, uint32_t part, const struct cold_record *record,
                    uint32_t position, float key);
/* Rows of a span of records: all, or one. */
void cold_run_row(struct cold_run *r, uint32_t part, const struct cold_span *span,
                  struct slice body, uint32_t position);
void cold_run_span(struct cold_run *r, uint32_t part, const struct cold_span *span,
                   struct slice body);
/* Looks up ids that stand in no record, sorts, and hands out at most limit. */
NODISCARD
status cold_run_finish(struct cold_run *r, struct cold_hit **hits, uint32_t *count,
                       struct err *err);
/* What a read that failed means: ST_OK, and the answer is partial, where a query goes on without.
 */
NODISCARD
status cold_run_judge(struct cold_run *r, status st);

/* --- every row (cold_exact.c) --- */
NODISCARD
status cold_run_exact(struct cold_run *r, struct err *err);

/* --- what may be read (cold_caps.c) --- */
/* Ranges: so many GETs and bytes, and the best so many rows by short codes, `also` more where they
 * are in the cache. All GETs of the query: these, codes that come along, hedges, what is told of
 * the winners afterwards. */
struct cold_caps {
    uint32_t gets;
    uint64_t bytes;
    uint32_t best, also;
    struct cache_budget all;
};
struct cold_caps cold_footer_caps(const struct cold_run *r);
struct cold_caps cold_code_caps(const struct cold_run *r);
struct cold_caps cold_few_caps(uint32_t rows); /* of a filter: all of them */
/* From here on the run's reads take from all of it but what is kept for the rest of the answer. */
void cold_run_limit(struct cold_run *r, struct cold_caps *caps);
struct cache_budget cold_run_left(const struct cold_run *r); /* for the rest of the answer */

/* --- ranges (cold_route.c) --- */
struct cold_routing {
    struct cold_run *r;
    uint32_t record_bytes; /* the largest of the parts */
    struct cold_caps caps;
    struct cells_range *units; /* what is wanted and not there, likeliest first */
    size_t unit_count;
    struct cells_range *ranges;
    size_t range_count;
    uint64_t *had; /* blocks whose rows were taken already: part and position, sorted */
    size_t had_count;
};
struct cells_plan_options cold_plan_options(const struct cold_routing *g);
/* Chooses ranges, reads them, takes their rows. */
NODISCARD
status cold_run_route(struct cold_run *r, struct err *err);

/* --- blocks of records (cold_wave.c) --- */
struct cold_block {
    struct cold_span span;
    uint32_t part, from, count; /* what wants it: numbers in some list */
};
struct cold_blocks { /* asked together */
    struct cold_block *blocks;
    struct cache_want *wants;
    size_t count, room;
};
NODISCARD
status cold_blocks_room(struct cold_blocks *b, size_t more, struct err *err);
/* Wants point to blocks: made when these stay where they are. */
void cold_blocks_wants(struct cold_blocks *b);
void cold_blocks_free(struct cold_blocks *b);
static inline uint64_t cold_block_key(uint32_t part, uint32_t first)
{
    return (uint64_t)part << 32 | first;
}
/* Room for count more in g->had; sorted by cold_had_sort(). */
NODISCARD
status cold_had_room(struct cold_routing *g, size_t count, struct err *err);
void cold_had_sort(struct cold_routing *g);
/* One wave: ranges, and codes that are missing as long as there is room for all of them. */
NODISCARD
status cold_wave(struct cold_routing *g, bool load_codes, struct err *err);

/* --- what is wanted, less what is there (cold_units.c) --- */
/* Takes rows of blocks that are in the cache; g->units: the others. Rows nearest first, of which
 * caps.best are worth a GET. */
NODISCARD
status cold_units_of_rows(struct cold_routing *g, const struct cells_range *ranked, size_t count,
                          struct err *err);
/* Of fine cells: g->units, likeliest first, loses those that are there. */
NODISCARD
status cold_units_of_cells(struct cold_routing *g, struct err *err);

/* --- short codes (cold_codes.c) --- */
/* *used: the codes are there, and rows were taken and units made of the best. */
NODISCARD
status cold_units_by_codes(struct cold_routing *g, bool *used, struct err *err);
/* Adds codes that are missing, from the first on, within what is left, where there is room for all.
 * Those with from != 0 go into the GET of the one before. */
NODISCARD
status cold_load_codes(const struct cold_routing *g, struct cold_blocks *b,
                       struct cache_budget left, struct err *err);

#endif
