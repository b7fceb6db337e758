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
    uint32_t part, ordinal;
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
    const struct cold_terms *terms;
    struct arena *arena;
    struct cold_stats *stats;
    struct cold_part *parts;
    struct cells_query **queries; /* of the parts */
    uint32_t part_count;
    uint64_t rows;             /* of all parts */
    struct cold_nearest *heap; /* the farthest on top */
    uint32_t heap_max, heap_count;
    bool partial;
    uint32_t done; /* ranges that were read */
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
void cold_run_offer(struct cold_run *r, uint32_t part, const struct cold_record *record, float key);
/* All rows of a span of records. */
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

/* --- ranges (cold_route.c) --- */
/* What may be read. best: rows by short codes. */
struct cold_caps {
    uint32_t gets;
    uint64_t bytes;
    uint32_t best;
};
struct cold_wave {
    struct cold_span *spans;
    struct cache_want *wants;
    uint32_t *part; /* of each want; UINT32_MAX: codes that come along */
    size_t count, room;
};
struct cold_routing {
    struct cold_run *r;
    struct cold_wave wave;
    uint32_t record_bytes; /* the largest of the parts */
    const struct cells_range *ranges;
    size_t range_count;
    uint32_t gets_left; /* beyond one a range */
};

struct cold_caps cold_footer_caps(const struct cold_run *r);
struct cold_caps cold_code_caps(const struct cold_run *r);
struct cells_plan_options cold_plan_options(struct cold_routing *g, const struct cold_caps *c);
NODISCARD
status cold_wave_room(struct cold_wave *w, size_t more, struct err *err);
/* Wants point to their spans: made when these stay where they are. */
void cold_wave_wants(struct cold_routing *g);
bool cold_wave_follows(const struct cold_span *a, const struct cold_span *b);

/* --- short codes (cold_codes.c) --- */
/* *used: the codes are there, and ranges were made around the best rows. */
NODISCARD
status cold_plan_by_codes(struct cold_routing *g, bool *used, struct err *err);
/* Adds codes that are missing to a wave of records, from the first on, while all of them have room.
 */
NODISCARD
status cold_load_codes(struct cold_routing *g, struct err *err);

/* Chooses ranges, reads them, takes their rows. */
NODISCARD
status cold_run_route(struct cold_run *r, struct err *err);

#endif
