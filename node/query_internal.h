/* query_internal.h - one query under way, for the files that answer it.
 *
 *   query.c         node_query(): checks, the guard, the answer; what a query costs
 *   query_plan.c    how many rows match, and which way is taken
 *   query_cold.c    the same of a collection whose rows are not all in RAM
 *   query_hits.c    ranking: rows published meanwhile, equal scores by id, the threshold */
#ifndef NODE_QUERY_INTERNAL_H
#define NODE_QUERY_INTERNAL_H

#include "node/keep.h"
#include "node/select.h"

enum {
    QUERY_SPARE = 8,         /* hits asked for beyond those wanted: equal scores at the end */
    QUERY_TIES_MAX = 1024,   /* as many at most, where they are equal */
    QUERY_WITHOUT_FEW = 256, /* ids left out: so many hits more are asked for */
    QUERY_NEWS = 64,         /* room for rows published meanwhile */
    QUERY_MOVED_MAX = 3,     /* searches whose hits moved away; then every match is compared */
    QUERY_ROW_NS = 60,       /* to come to a row and its payload */
};

struct hit {
    uint32_t slot;
    float distance, score;
    float rank;     /* rises from best to worst */
    struct row row; /* borrowed from slots */
};

struct querying {
    struct collection *c;
    const struct query_options *options;
    const struct point_query *points; /* never NULL */
    const struct vindex *v;
    const struct field_info *field;
    const float *query;
    struct arena *arena;
    struct query_result *out;
    struct err *err;
    struct vindex_scratch *scratch;

    struct read_limits limits;
    struct asker asker;
    struct known known;
    uint64_t moment;
    struct docid *within, *without; /* sorted */
    size_t within_count, without_count;
    bool ask_without;      /* too many to be left out afterwards */
    uint64_t *asked, *yes; /* of the filter's answers, by slot */
    uint32_t asked_slots;

    uint32_t room; /* hits the vector index was asked for */
    struct hit *hits;
    uint32_t count, hits_room; /* hits_room: more than room */
    bool mixed;                /* rows that the vector index did not give are among them */
    float left_out;            /* what is not among them is not nearer, see vsearch_stats */
    struct vsearch_stats stats;
};

/* query.c: what is in RAM, into q->out. */
NODISCARD
status query_head(struct querying *q);
/* query_cold.c: all of it; on a cold thread. */
NODISCARD
status query_cold(struct querying *q);

/* query_plan.c */
/* Fills q->hits, best distance first: the best `wanted` and perhaps some more. */
NODISCARD
status query_search(struct querying *q, uint32_t wanted);
/* Whether a row counts: filter and ids. */
bool query_admits(void *querying, uint32_t slot);

/* query_hits.c */
NODISCARD
bool query_hits_reserve(struct querying *q, uint32_t count);
void query_hit_add(struct querying *q, uint32_t slot, float distance);
/* Rows published since q->moment that count. */
void query_hits_catch_up(struct querying *q);
/* Every row that matches is compared, whatever is replaced meanwhile: the hits are complete. */
NODISCARD
status query_hits_of_all(struct querying *q);
float query_score(const struct querying *q, float distance);
/* Rises from best to worst. */
float query_rank(const struct querying *q, float distance, float score);
bool query_within_threshold(const struct querying *q, float score);
/* In the order of the answer, each id once, cut to what was asked for. */
enum hits_end {
    HITS_COMPLETE,
    HITS_TIED,  /* the last of them has equals that may not all be here */
    HITS_MOVED, /* what is nearer than the last may not be here: hits moved away meanwhile */
};
enum hits_end query_hits_rank(struct querying *q, uint32_t wanted);

#endif
