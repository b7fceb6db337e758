#include "api/rank.h"

#include "index/kernels.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>

/* --- orders --- */

static int by_score(const struct scored *a, const struct scored *b, bool low_is_best)
{
    if (a->score < b->score)
        return low_is_best ? -1 : 1;
    if (a->score > b->score)
        return low_is_best ? 1 : -1;
    return docid_compare(&a->id, &b->id);
}

static int rising(const void *a, const void *b)
{
    return by_score(a, b, true);
}

static int falling(const void *a, const void *b)
{
    return by_score(a, b, false);
}

void rank_sort(struct scored *items, size_t count, bool low_is_best)
{
    if (count > 1)
        qsort(items, count, sizeof *items, low_is_best ? rising : falling);
}

bool rank_before(const struct scored *a, const struct scored *b, bool low_is_best)
{
    return by_score(a, b, low_is_best) < 0;
}

static int ids_rising(const void *a, const void *b)
{
    return docid_compare(a, b);
}

static size_t total(const struct scored_list *lists, size_t count)
{
    size_t n = 0;

    for (size_t i = 0; i < count; i++)
        n += lists[i].count;
    return n;
}

status rank_ids(struct arena *arena, const struct scored_list *lists, size_t count,
                struct docid **out, size_t *out_count, struct err *err)
{
    struct docid *ids = arena_array(arena, total(lists, count) + 1, sizeof *ids);
    size_t n = 0;
    size_t kept = 0;

    if (ids == NULL)
        return err_set(err, ST_NOMEM, "out of memory for the ids of what was fetched before");
    for (size_t i = 0; i < count; i++)
        for (uint32_t k = 0; k < lists[i].count; k++)
            ids[n++] = lists[i].items[k].id;
    if (n > 1)
        qsort(ids, n, sizeof *ids, ids_rising);
    for (size_t i = 0; i < n; i++)
        if (kept == 0 || !docid_equal(&ids[kept - 1], &ids[i]))
            ids[kept++] = ids[i];
    *out = ids;
    *out_count = kept;
    return ST_OK;
}

/* A score can be printed and compared, whatever overflowed on the way to it. */
static float tame(double score)
{
    if (isnan(score))
        return 0;
    return score > FLT_MAX ? FLT_MAX : score < -FLT_MAX ? -FLT_MAX : (float)score;
}

/* --- fusion --- */

struct share { /* what one list gives one document */
    const struct scored *of;
    double value;
    size_t number; /* sums are made in the order of the lists */
};

static int shares_by_id(const void *a, const void *b)
{
    const struct share *x = a;
    const struct share *y = b;
    int order = docid_compare(&x->of->id, &y->of->id);

    if (order != 0)
        return order;
    return x->number < y->number ? -1 : x->number > y->number;
}

static status sum_shares(struct arena *arena, struct share *shares, size_t count,
                         struct scored_list *out, struct err *err)
{
    struct scored *items = arena_array(arena, count + 1, sizeof *items);
    uint32_t n = 0;

    if (items == NULL)
        return err_set(err, ST_NOMEM, "out of memory for %zu results to fuse", count);
    if (count > 1)
        qsort(shares, count, sizeof *shares, shares_by_id);
    for (size_t i = 0; i < count;) {
        double sum = 0;
        size_t end = i;

        for (; end < count && docid_equal(&shares[end].of->id, &shares[i].of->id); end++)
            sum += shares[end].value;
        items[n] = *shares[i].of;
        items[n++].score = tame(sum);
        i = end;
    }
    rank_sort(items, n, false);
    *out = (struct scored_list){.items = items, .count = n};
    return ST_OK;
}

static struct share *make_shares(struct arena *arena, const struct scored_list *lists, size_t count,
                                 size_t *share_count, struct err *err)
{
    size_t room = total(lists, count);
    struct share *shares = NULL;

    *share_count = room;
    if (room <= UINT32_MAX)
        shares = arena_array(arena, room + 1, sizeof *shares);
    if (shares == NULL)
        (void)err_set(err, ST_NOMEM, "out of memory for %zu results to fuse", room);
    return shares;
}

static double reciprocal(uint32_t rank, double k, double weight)
{
    if (!(weight > 0))
        return 0;
    return 1 / (((double)rank + 1) / weight + k - 1);
}

status rank_rrf(struct arena *arena, const struct scored_list *lists, size_t count, double k,
                const float *weights, struct scored_list *out, struct err *err)
{
    size_t n = 0;
    size_t share_count = 0;
    struct share *shares = make_shares(arena, lists, count, &share_count, err);

    if (shares == NULL)
        return ST_NOMEM;
    for (size_t i = 0; i < count; i++) {
        double weight = weights == NULL ? 1 : (double)weights[i];

        for (uint32_t r = 0; r < lists[i].count; r++, n++)
            shares[n] = (struct share){
                .of = &lists[i].items[r], .value = reciprocal(r, k, weight), .number = n};
    }
    return sum_shares(arena, shares, share_count, out, err);
}

struct scale {
    double low, width; /* width 0: all the same */
};

static struct scale scale_of(const struct scored_list *l)
{
    double mean = 0;
    double squares = 0;
    double three;

    for (uint32_t i = 0; i < l->count; i++)
        mean += (double)l->items[i].score;
    mean /= l->count;
    for (uint32_t i = 0; i < l->count; i++)
        squares += ((double)l->items[i].score - mean) * ((double)l->items[i].score - mean);
    if (l->count < 2)
        return (struct scale){0};
    three = 3 * sqrt(squares / (l->count - 1));
    return (struct scale){.low = mean - three, .width = 2 * three};
}

status rank_dbsf(struct arena *arena, const struct scored_list *lists, size_t count,
                 struct scored_list *out, struct err *err)
{
    size_t n = 0;
    size_t share_count = 0;
    struct share *shares = make_shares(arena, lists, count, &share_count, err);

    if (shares == NULL)
        return ST_NOMEM;
    for (size_t i = 0; i < count; i++) {
        struct scale scale = {0};

        if (lists[i].count > 0)
            scale = scale_of(&lists[i]);
        for (uint32_t r = 0; r < lists[i].count; r++, n++) {
            const struct scored *s = &lists[i].items[r];
            bool same = !(scale.width > 0) || !isfinite(scale.width);

            shares[n] =
                (struct share){.of = s,
                               .value = same ? 0.5 : ((double)s->score - scale.low) / scale.width,
                               .number = n};
        }
    }
    return sum_shares(arena, shares, share_count, out, err);
}

/* --- vectors --- */

float rank_similarity(enum vmetric metric, const float *a, const float *b, size_t dim)
{
    const struct kernels *k = kernels_get();

    switch (metric) {
    case VMETRIC_COSINE:
    case VMETRIC_DOT:
        return k->dot_f32(a, b, dim);
    case VMETRIC_L2:
        return -k->l2_f32(a, b, dim);
    case VMETRIC_L1:
        return -k->l1_f32(a, b, dim);
    }
    return 0;
}

status rank_mmr_begin(struct rank_mmr *m, struct arena *arena, enum vmetric metric, size_t dim,
                      const float *query, const float *const *vectors, uint32_t count,
                      double diversity, struct err *err)
{
    *m = (struct rank_mmr){.metric = metric,
                           .dim = dim,
                           .vectors = vectors,
                           .relevance = arena_array(arena, (size_t)count + 1, sizeof(float)),
                           .nearest = arena_array(arena, (size_t)count + 1, sizeof(float)),
                           .taken = arena_zero(arena, (size_t)count + 1),
                           .count = count,
                           .diversity = diversity};
    if (m->relevance == NULL || m->nearest == NULL || m->taken == NULL)
        return err_set(err, ST_NOMEM, "out of memory for %u candidates", count);
    for (uint32_t i = 0; i < count; i++) {
        m->relevance[i] = rank_similarity(metric, query, vectors[i], dim);
        m->nearest[i] = -INFINITY;
    }
    return ST_OK;
}

static double worth(const struct rank_mmr *m, uint32_t i)
{
    double relevance = (1 - m->diversity) * (double)m->relevance[i];

    if (m->picked == 0)
        return (double)m->relevance[i];
    return relevance - m->diversity * (double)m->nearest[i];
}

uint32_t rank_mmr_pick(struct rank_mmr *m)
{
    uint32_t best = UINT32_MAX;
    double best_worth = 0;

    for (uint32_t i = 0; i < m->count; i++) {
        double w;

        if (m->taken[i])
            continue;
        w = worth(m, i);
        if (best == UINT32_MAX || w > best_worth) {
            best = i;
            best_worth = w;
        }
    }
    m->taken[best] = true;
    m->picked++;
    for (uint32_t i = 0; i < m->count; i++) {
        float alike;

        if (m->taken[i])
            continue;
        alike = rank_similarity(m->metric, m->vectors[i], m->vectors[best], m->dim);
        if (alike > m->nearest[i])
            m->nearest[i] = alike;
    }
    return best;
}

/* --- examples --- */

static double mean_at(const float *const *vectors, size_t count, size_t i)
{
    double sum = 0;

    for (size_t v = 0; v < count; v++)
        sum += (double)vectors[v][i];
    return sum / (double)count;
}

void rank_average(const struct rank_examples *e, float *out)
{
    for (size_t i = 0; i < e->dim; i++) {
        double mean = mean_at(e->positive, e->positive_count, i);

        if (e->negative_count > 0)
            mean = 2 * mean - mean_at(e->negative, e->negative_count, i);
        out[i] = (float)mean;
    }
}

static float best_of(const struct rank_examples *e, const float *const *examples, size_t count,
                     const float *v)
{
    float best = -INFINITY;

    for (size_t i = 0; i < count; i++) {
        float alike = rank_similarity(e->metric, examples[i], v, e->dim);

        if (alike > best)
            best = alike;
    }
    return best;
}

/* Into 0..1, keeping the order. */
static double squeeze(double x)
{
    return isfinite(x) ? 0.5 * (x / (1 + fabs(x)) + 1) : x > 0 ? 1 : 0;
}

float rank_best_score(const struct rank_examples *e, const float *v)
{
    float positive = best_of(e, e->positive, e->positive_count, v);
    float negative = best_of(e, e->negative, e->negative_count, v);

    return (float)(positive > negative ? squeeze((double)positive) : -squeeze((double)negative));
}

float rank_sum_scores(const struct rank_examples *e, const float *v)
{
    double sum = 0;

    for (size_t i = 0; i < e->positive_count; i++)
        sum += (double)rank_similarity(e->metric, e->positive[i], v, e->dim);
    for (size_t i = 0; i < e->negative_count; i++)
        sum -= (double)rank_similarity(e->metric, e->negative[i], v, e->dim);
    return tame(sum);
}

/* --- the best few --- */

status rank_top_begin(struct rank_top *t, struct arena *arena, uint32_t room, bool low_is_best,
                      struct err *err)
{
    *t = (struct rank_top){.arena = arena, .room = room, .low_is_best = low_is_best};
    t->items = arena_array(arena, (size_t)room + 1, sizeof *t->items);
    t->id_room = arena_zero(arena, ((size_t)room + 1) * sizeof(uint8_t *));
    if (t->items == NULL || t->id_room == NULL)
        return err_set(err, ST_NOMEM, "out of memory for %u results", room);
    return ST_OK;
}

static void exchange(struct rank_top *t, uint32_t a, uint32_t b)
{
    struct scored s = t->items[a];
    uint8_t *room = t->id_room[a];

    t->items[a] = t->items[b];
    t->id_room[a] = t->id_room[b];
    t->items[b] = s;
    t->id_room[b] = room;
}

/* Whether a is nearer to the top, where the worst is. */
static bool above(const struct rank_top *t, uint32_t a, uint32_t b)
{
    return rank_before(&t->items[b], &t->items[a], t->low_is_best);
}

static void sift_up(struct rank_top *t, uint32_t i)
{
    while (i > 0 && above(t, i, (i - 1) / 2)) {
        exchange(t, i, (i - 1) / 2);
        i = (i - 1) / 2;
    }
}

static void sift_down(struct rank_top *t)
{
    for (uint32_t i = 0;;) {
        uint32_t top = i;

        for (uint32_t child = 2 * i + 1; child <= 2 * i + 2; child++)
            if (child < t->count && above(t, child, top))
                top = child;
        if (top == i)
            return;
        exchange(t, i, top);
        i = top;
    }
}

/* Each place keeps room for a text id, which the next one there uses again. */
static status place(struct rank_top *t, uint32_t i, const struct scored *s, struct err *err)
{
    t->items[i] = *s;
    if (s->id.kind != DOCID_BYTES)
        return ST_OK;
    if (t->id_room[i] == NULL)
        t->id_room[i] = arena_alloc(t->arena, DOCID_BYTES_MAX);
    if (t->id_room[i] == NULL)
        return err_set(err, ST_NOMEM, "out of memory for %u results", t->room);
    memcpy(t->id_room[i], s->id.bytes.data, s->id.bytes.bytes);
    t->items[i].id.bytes.data = t->id_room[i];
    return ST_OK;
}

status rank_top_offer(struct rank_top *t, const struct scored *s, struct err *err)
{
    status st;

    if (t->count < t->room) {
        st = place(t, t->count, s, err);
        if (st == ST_OK)
            sift_up(t, t->count++);
        return st;
    }
    if (t->room == 0 || !rank_before(s, &t->items[0], t->low_is_best))
        return ST_OK;
    st = place(t, 0, s, err);
    if (st == ST_OK)
        sift_down(t);
    return st;
}

struct scored_list rank_top_end(struct rank_top *t)
{
    rank_sort(t->items, t->count, t->low_is_best);
    return (struct scored_list){.items = t->items, .count = t->count};
}
