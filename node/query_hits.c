#include "node/query_internal.h"

#include <math.h>
#include <stdlib.h>

enum { NEWS_AT_ONCE = 64 };

/* As in the compatible API: cosine and dot the similarity, l2 and l1 the distance. */
static float score_of(int metric, float distance)
{
    switch ((enum vmetric)metric) {
    case VMETRIC_COSINE:
        return 1.0f - distance;
    case VMETRIC_DOT:
        return -distance;
    case VMETRIC_L2:
    case VMETRIC_L1:
        return distance;
    }
    return distance;
}

static bool higher_is_better(const struct querying *q)
{
    return q->field->metric == VMETRIC_COSINE || q->field->metric == VMETRIC_DOT;
}

bool query_hits_reserve(struct querying *q, uint32_t count)
{
    struct hit *hits;

    if (count <= q->hits_room)
        return true;
    hits = arena_array(q->arena, count, sizeof *hits);
    if (hits == NULL)
        return false;
    if (q->count > 0)
        memcpy(hits, q->hits, q->count * sizeof *hits);
    q->hits = hits;
    q->hits_room = count;
    return true;
}

float query_score(const struct querying *q, float distance)
{
    return score_of(q->field->metric, distance);
}

float query_rank(const struct querying *q, float distance, float score)
{
    if (q->options->points == NULL || q->options->by_distance)
        return distance; /* the native door shows distances: they rise, to the last bit */
    return higher_is_better(q) ? -score : score;
}

void query_hit_add(struct querying *q, uint32_t slot, float distance)
{
    struct hit *h = &q->hits[q->count++];

    h->slot = slot;
    h->distance = distance;
    h->score = score_of(q->field->metric, distance);
    h->rank = query_rank(q, distance, h->score);
    slots_row(q->c->slots, slot, &h->row);
}

static int by_id_newest_first(const void *a, const void *b)
{
    const struct hit *x = a, *y = b;
    int order = docid_compare(&x->row.id, &y->row.id);

    if (order != 0)
        return order;
    return (y->row.lsn > x->row.lsn) - (y->row.lsn < x->row.lsn);
}

static int by_distance(const void *a, const void *b)
{
    const struct hit *x = a, *y = b;

    return (x->distance > y->distance) - (x->distance < y->distance);
}

/* Of each id its newest row. What the vector index gives is one already. */
static void keep_one_each(struct querying *q)
{
    uint32_t kept = 0;

    if (q->count == 0 || !q->mixed)
        return;
    qsort(q->hits, q->count, sizeof *q->hits, by_id_newest_first);
    for (uint32_t i = 0; i < q->count; i++)
        if (kept == 0 || !docid_equal(&q->hits[i].row.id, &q->hits[kept - 1].row.id))
            q->hits[kept++] = q->hits[i];
    q->count = kept;
}

static void leave_out(struct querying *q, float distance)
{
    if (distance < q->left_out)
        q->left_out = distance;
}

/* The best `room`, which makes room for others. */
static void keep_best(struct querying *q)
{
    keep_one_each(q);
    qsort(q->hits, q->count, sizeof *q->hits, by_distance);
    if (q->count <= q->room)
        return;
    q->count = q->room;
    leave_out(q, q->hits[q->room].distance);
}

/* A row that was published since. Its id may have older ones here. */
static void put_news(struct querying *q, uint32_t slot, float *worst)
{
    float distance;

    if (!vindex_filled(q->v, slot))
        return;
    distance = vindex_distance(q->v, q->query, slot);
    q->stats.distances++;
    if (distance > *worst)
        leave_out(q, distance);
    if (distance > *worst || !query_admits(q, slot))
        return;
    if (q->count == q->hits_room) {
        keep_best(q);
        if (q->count == q->room)
            *worst = q->hits[q->count - 1].distance;
    }
    query_hit_add(q, slot, distance);
    q->mixed = true;
}

/* One pass meets every id: catch_up() in select.c says why. */
void query_hits_catch_up(struct querying *q)
{
    const struct slots *slots = q->c->slots;
    uint32_t news[NEWS_AT_ONCE];
    uint32_t at = 0, count;
    float worst = q->count < q->room ? INFINITY : q->hits[q->count - 1].distance;

    if (slots_quiet_since(slots, q->moment))
        return;
    while (!q->asker.gave_up &&
           (count = slots_since(slots, q->moment, &at, news, NEWS_AT_ONCE)) > 0) {
        for (uint32_t i = 0; i < count; i++) {
            uint32_t slot = news[i];
            struct row row;

            /* Replaced again: its id names the newest. */
            if (!slots_current(slots, slot)) {
                slots_row(slots, slot, &row);
                slot = slots_find(slots, &row.id);
            }
            if (slot != SLOT_NONE)
                put_news(q, slot, &worst);
        }
    }
}

status query_hits_of_all(struct querying *q)
{
    struct selected all;
    float worst = INFINITY;
    uint32_t looked = 0;
    status st = select_make(q->c, q->asker.filter, &q->limits, q->arena, &all, q->err);

    q->count = 0;
    q->mixed = false;
    q->left_out = INFINITY;
    if (st != ST_OK)
        return st;
    for (uint32_t slot = 0; (slot = selected_next(&all, slot)) != SLOT_NONE; slot++) {
        if (looked++ % SELECT_LOOK_ROWS == 0 && !asker_goes_on(&q->asker))
            return asker_status(&q->asker, q->err);
        put_news(q, slot, &worst);
    }
    q->stats.scanned += looked;
    return ST_OK;
}

static int by_rank(const void *a, const void *b)
{
    const struct hit *x = a, *y = b;

    if (x->rank != y->rank)
        return x->rank < y->rank ? -1 : 1;
    return docid_compare(&x->row.id, &y->row.id);
}

bool query_within_threshold(const struct querying *q, float score)
{
    if (!q->points->has_threshold)
        return true;
    return higher_is_better(q) ? score >= q->points->threshold : score <= q->points->threshold;
}

/* An index says nothing of rows published since it was asked. */
static bool is_left_out(struct querying *q, const struct hit *h)
{
    return ids_have(q->without, q->without_count, &h->row.id) ||
           (q->asked_slots > 0 && slots_is_since(q->c->slots, h->slot, q->moment) &&
            !query_admits(q, h->slot));
}

/* As most answers come: nearest first, and no two as near. */
static bool are_ranked(const struct querying *q)
{
    for (uint32_t i = 1; i < q->count; i++) {
        if (by_rank(&q->hits[i - 1], &q->hits[i]) > 0)
            return false;
    }
    return true;
}

enum hits_end query_hits_rank(struct querying *q, uint32_t wanted)
{
    enum hits_end end = HITS_COMPLETE;
    uint32_t kept = 0;

    keep_one_each(q);
    for (uint32_t i = 0; i < q->count; i++)
        if (!is_left_out(q, &q->hits[i]) && kept++ != i)
            q->hits[kept - 1] = q->hits[i];
    q->count = kept;
    if (kept > 0 && !are_ranked(q))
        qsort(q->hits, kept, sizeof *q->hits, by_rank);
    if (kept > wanted && q->hits[kept - 1].rank == q->hits[wanted - 1].rank)
        end = HITS_TIED;
    if (kept < wanted ? q->left_out < INFINITY : q->hits[wanted - 1].distance > q->left_out)
        end = HITS_MOVED;
    q->count = kept > wanted ? wanted : kept;
    while (q->count > 0 && !query_within_threshold(q, q->hits[q->count - 1].score))
        q->count--;
    return end;
}
