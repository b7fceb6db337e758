/* rank.h - the arithmetic of ranking: orders, fused lists, diverse picks, scores by examples.
 *
 * What each of them means is said in docs/qdrant.md. Sums are made in double precision and
 * rounded once, so that lists that are equal but for their order give equal scores.
 *
 * Threads    any: nothing is kept.
 * Ownership  results live in the arena; what they point to is borrowed from what was given. */
#ifndef API_RANK_H
#define API_RANK_H

#include "base/arena.h"
#include "base/docid.h"
#include "filter/filter.h"
#include "index/vindex.h"

struct scored {
    struct docid id;
    float score;
    uint64_t lsn;
    struct slice payload;             /* if it was read */
    const float *const *vectors;      /* by field position, if they were read; NULL */
    const struct filter_value *order; /* what it was ordered by; NULL */
};
struct scored_list {
    struct scored *items;
    uint32_t count;
};

/* Best first, equal scores by rising id. low_is_best: of distances. */
void rank_sort(struct scored *items, size_t count, bool low_is_best);
/* Whether a stands before b in that order. */
bool rank_before(const struct scored *a, const struct scored *b, bool low_is_best);
/* The ids of all lists, rising, each once. ST_NOMEM. */
NODISCARD
status rank_ids(struct arena *arena, const struct scored_list *lists, size_t count,
                struct docid **out, size_t *out_count, struct err *err);

/* Reciprocal rank fusion: sum over the lists of 1 / (k + rank), rank from 0; with a weight w of
 * the list 1 / ((rank + 1) / w + k - 1), and nothing if w is not above 0. weights: NULL, or one a
 * list. Best first. ST_NOMEM. */
NODISCARD
status rank_rrf(struct arena *arena, const struct scored_list *lists, size_t count, double k,
                const float *weights, struct scored_list *out, struct err *err);
/* Distribution-based score fusion: each list's scores are put on a scale on which its mean less
 * three standard deviations (of the sample) is 0 and its mean and three more is 1, then summed. A
 * list of one score, or of equal ones, counts 0.5 each. Best first. ST_NOMEM. */
NODISCARD
status rank_dbsf(struct arena *arena, const struct scored_list *lists, size_t count,
                 struct scored_list *out, struct err *err);

/* How alike two vectors are, more is better: the dot product, the squared distance made negative
 * (l2), the distance made negative (l1). Cosine: both normalised. */
float rank_similarity(enum vmetric metric, const float *a, const float *b, size_t dim);

/* Maximal marginal relevance over `count` candidates, best first. */
struct rank_mmr {
    enum vmetric metric;
    size_t dim;
    const float *const *vectors; /* of the candidates */
    float *relevance;            /* similarity to the query; count floats */
    float *nearest;              /* the largest similarity to what was picked; count floats */
    bool *taken;
    uint32_t count, picked;
    double diversity;
};
/* The arrays are made in the arena. vectors are borrowed. ST_NOMEM. */
NODISCARD
status rank_mmr_begin(struct rank_mmr *m, struct arena *arena, enum vmetric metric, size_t dim,
                      const float *query, const float *const *vectors, uint32_t count,
                      double diversity, struct err *err);
/* The next one: of the largest (1 - diversity) * relevance - diversity * nearest, the first such.
 * Not after `count` picks. */
uint32_t rank_mmr_pick(struct rank_mmr *m);

struct rank_examples {
    enum vmetric metric;
    size_t dim;
    const float *const *positive; /* cosine: normalised, but for rank_average() */
    size_t positive_count;
    const float *const *negative;
    size_t negative_count;
};
/* mean(positive), or mean(positive) + mean(positive) - mean(negative). */
void rank_average(const struct rank_examples *e, float *out);
/* With s(x) = (x / (1 + |x|) + 1) / 2: s of the best similarity to a positive example if that is
 * above the best one to a negative, else -s of the latter. */
float rank_best_score(const struct rank_examples *e, const float *v);
/* Similarities to positive examples less those to negative ones. */
float rank_sum_scores(const struct rank_examples *e, const float *v);

/* The best `room` of what is offered. Text ids are copied. */
struct rank_top {
    struct arena *arena;
    struct scored *items; /* a heap, the worst on top, until rank_top_end() */
    uint8_t **id_room;
    uint32_t count, room;
    bool low_is_best;
};
NODISCARD
status rank_top_begin(struct rank_top *t, struct arena *arena, uint32_t room, bool low_is_best,
                      struct err *err);
NODISCARD
status rank_top_offer(struct rank_top *t, const struct scored *s, struct err *err);
struct scored_list rank_top_end(struct rank_top *t); /* best first */

#endif
