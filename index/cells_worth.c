/* How many of the ten nearest rows the fine cell of some rank has: counted with rows as queries,
 * which are left out of their own answers. */
#include "index/cells_internal.h"

#include <math.h>
#include <stdlib.h>

enum { NEAREST = 10, QUERIES = 256, SMOOTH = 8 };
static const double LEAST = 1e-4;

struct found {
    float score[NEAREST]; /* greater is nearer */
    uint32_t position[NEAREST];
    uint32_t count;
};
struct counting {
    const struct cells *c;
    const struct cells_source *source;
    const uint32_t *order;
    uint32_t queries;
    uint32_t *own; /* positions of the queries */
    float *points; /* queries x dim */
    float *dots;   /* KERNEL_TILE x queries */
    struct found *found;
    uint32_t *ranks; /* by rank: how many */
};

static const float *row_at(const struct counting *k, uint32_t position)
{
    return k->source->at(k->source->arg, k->order[position]);
}

static void put(struct found *f, float score, uint32_t position)
{
    uint32_t at;

    if (f->count == NEAREST && !(score > f->score[NEAREST - 1]))
        return;
    for (at = f->count < NEAREST ? f->count++ : NEAREST - 1; at > 0 && score > f->score[at - 1];
         at--) {
        f->score[at] = f->score[at - 1];
        f->position[at] = f->position[at - 1];
    }
    f->score[at] = score;
    f->position[at] = position;
}

/* All rows beside all queries. */
static status find_nearest(struct counting *k, const _Atomic bool *stop, struct err *err)
{
    const struct kernels *kernels = kernels_get();
    bool dot = k->c->metric == VMETRIC_DOT;

    for (uint32_t at = 0; at < k->c->rows; at += KERNEL_TILE) {
        const float *rows[KERNEL_TILE];

        if (stop != NULL && *stop)
            return err_set(err, ST_CLOSED, "making cells was stopped");
        for (uint32_t r = 0; r < KERNEL_TILE; r++)
            rows[r] = row_at(k, at + r < k->c->rows ? at + r : k->c->rows - 1);
        kernels->dot_tile(rows, k->points, k->c->dim, k->queries, k->dots);
        for (uint32_t r = 0; r < KERNEL_TILE && at + r < k->c->rows; r++) {
            float half = dot ? 0 : kernels->dot_f32(rows[r], rows[r], k->c->dim) / 2;

            for (uint32_t q = 0; q < k->queries; q++)
                if (at + r != k->own[q])
                    put(&k->found[q], k->dots[r * k->queries + q] - half, at + r);
        }
    }
    return ST_OK;
}

static uint32_t fine_of(const uint32_t *fine_first, uint32_t fine, uint32_t position)
{
    uint32_t low = 0, high = fine;

    while (high - low > 1) {
        uint32_t middle = low + (high - low) / 2;

        if (fine_first[middle] <= position)
            low = middle;
        else
            high = middle;
    }
    return low;
}

/* Adds what one query found to the counts by rank. */
static status count_ranks(struct counting *k, uint32_t query, const uint32_t *fine_first,
                          uint32_t *rank_of, struct err *err)
{
    static const struct cells_plan_options all = {0};
    const struct found *f = &k->found[query];
    struct cells_query *q = NULL;
    struct cells_unit *units = NULL;
    uint32_t count = 0;
    status st = cells_query_create(k->c, k->points + (size_t)query * k->c->dim, &q, err);

    if (st == ST_OK)
        st = cells_rank(&q, 1, &all, 0, &units, &count, err);
    for (uint32_t i = 0; st == ST_OK && i < count; i++)
        rank_of[fine_of(fine_first, k->c->fine, units[i].first)] = i;
    for (uint32_t i = 0; st == ST_OK && i < f->count; i++)
        k->ranks[rank_of[fine_of(fine_first, k->c->fine, f->position[i])]]++;
    mem_free(units);
    cells_query_destroy(q);
    return st;
}

static double rank_of_step(unsigned step)
{
    return exp2(step / 4.0) - 1;
}

/* The mean count around each step's rank, an eighth of it to either side; never rising, and never
 * nothing: what no query found is still worth more than not to be read. */
static void smooth(const struct counting *k, uint16_t *worth)
{
    double before = NEAREST;

    for (unsigned i = 0; i < CELLS_WORTH; i++) {
        double rank = rank_of_step(i), wide = rank / SMOOTH, sum = 0;
        uint32_t fine = k->c->fine, low = (uint32_t)fmin(rank - wide, fine);
        uint32_t high = (uint32_t)fmin(rank + wide + 1, fine);

        for (uint32_t r = low; r < high; r++)
            sum += k->ranks[r];
        sum = high > low ? sum / (high - low) / k->queries : 0;
        sum = fmax(sum, LEAST / (1 + rank));
        before = fmin(sum, before);
        worth[i] = bf16_of((float)before);
    }
}

static status count_all(struct counting *k, const uint32_t *fine_first, struct rand_seeded *rand,
                        const _Atomic bool *stop, struct err *err)
{
    const size_t dim = k->c->dim;
    uint32_t *rank_of = mem_alloc_array(k->c->fine, sizeof(*rank_of));
    status st =
        rank_of != NULL ? ST_OK : err_set(err, ST_NOMEM, "out of memory for ranks of cells");

    for (uint32_t q = 0; st == ST_OK && q < k->queries; q++) {
        k->own[q] = (uint32_t)rand_below(&rand->source, k->c->rows);
        memcpy(k->points + q * dim, row_at(k, k->own[q]), dim * sizeof(float));
    }
    if (st == ST_OK)
        st = find_nearest(k, stop, err);
    for (uint32_t q = 0; st == ST_OK && q < k->queries; q++)
        st = count_ranks(k, q, fine_first, rank_of, err);
    mem_free(rank_of);
    return st;
}

status cells_worth_count(const struct cells *c, const struct cells_source *source,
                         const uint32_t *order, const uint32_t *fine_first,
                         struct rand_seeded *rand, const _Atomic bool *stop, uint16_t *worth,
                         struct err *err)
{
    struct counting k = {.c = c, .source = source, .order = order};
    status st;

    k.queries = c->rows < QUERIES ? c->rows : QUERIES;
    k.own = mem_alloc_array(k.queries, sizeof(*k.own));
    k.points = mem_alloc_array((size_t)k.queries * c->dim, sizeof(*k.points));
    k.dots = mem_alloc_array((size_t)k.queries * KERNEL_TILE, sizeof(*k.dots));
    k.found = mem_zero_array(k.queries, sizeof(*k.found));
    k.ranks = mem_zero_array(c->fine, sizeof(*k.ranks));
    if (k.own == NULL || k.points == NULL || k.dots == NULL || k.found == NULL || k.ranks == NULL)
        st = err_set(err, ST_NOMEM, "out of memory for the worth of cells");
    else
        st = count_all(&k, fine_first, rand, stop, err);
    if (st == ST_OK)
        smooth(&k, worth);
    mem_free(k.own);
    mem_free(k.points);
    mem_free(k.dots);
    mem_free(k.found);
    mem_free(k.ranks);
    return st;
}

float cells_worth_at(const struct cells *c, uint32_t rank)
{
    float step = 4 * log2f((float)rank + 1), part;
    uint32_t low = (uint32_t)step;

    if (low >= CELLS_WORTH - 1)
        return bf16_value(c->worth[CELLS_WORTH - 1]);
    part = step - (float)low;
    return bf16_value(c->worth[low]) * (1 - part) + bf16_value(c->worth[low + 1]) * part;
}
