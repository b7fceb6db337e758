#include "index/cells_internal.h"

#include <float.h>
#include <math.h>

enum { TILE_POINTS = 16 }; /* as many as stay in the first cache beside a few rows */

bool means_init(struct means *m, uint32_t dim, uint32_t count)
{
    size_t values;

    *m = (struct means){.dim = dim, .count = count};
    if (size_mul(dim, count, &values)) {
        m->points = mem_alloc_array(values, sizeof(float));
        m->half = mem_alloc_array(count, sizeof(float));
    }
    if (m->points != NULL && m->half != NULL)
        return true;
    means_free(m);
    return false;
}

void means_free(struct means *m)
{
    mem_free(m->points);
    mem_free(m->half);
    *m = (struct means){0};
}

static float clamped(double v)
{
    if (!(v > -(double)FLT_MAX))
        return v < 0 ? -FLT_MAX : 0; /* NaN: of what should not be there */
    return v < (double)FLT_MAX ? (float)v : FLT_MAX;
}

void means_measure(struct means *m)
{
    for (uint32_t p = 0; p < m->count; p++) {
        const float *x = m->points + (size_t)p * m->dim;

        m->half[p] = kernels_get()->dot_f32(x, x, m->dim) / 2;
    }
}

static void take_tile(const float *half, const float *dots, uint32_t first, uint32_t count,
                      uint32_t *best, float *score)
{
    for (uint32_t p = 0; p < count; p++) {
        float s = dots[p] - half[p];

        if (s > *score) {
            *score = s;
            *best = first + p;
        }
    }
}

void means_nearest(const struct means *m, uint32_t first, uint32_t count,
                   const float *const rows[MEANS_ROWS], uint32_t row_count, uint32_t *best,
                   float *score)
{
    const struct kernels *k = kernels_get();
    float dots[KERNEL_TILE * TILE_POINTS];

    for (uint32_t at = first; at < first + count; at += TILE_POINTS) {
        uint32_t here = first + count - at < TILE_POINTS ? first + count - at : TILE_POINTS;

        for (uint32_t r = 0; r < row_count; r += KERNEL_TILE) {
            const float *four[KERNEL_TILE];

            for (uint32_t i = 0; i < KERNEL_TILE; i++)
                four[i] = rows[r + i < row_count ? r + i : row_count - 1];
            k->dot_tile(four, m->points + (size_t)at * m->dim, m->dim, here, dots);
            for (uint32_t i = 0; i < KERNEL_TILE && r + i < row_count; i++)
                take_tile(m->half + at, dots + i * here, at, here, &best[r + i], &score[r + i]);
        }
    }
}

static bool stopped(const _Atomic bool *stop)
{
    return stop != NULL && *stop;
}

status means_assign(const struct means *m, const struct some_rows *rows, uint32_t *cell,
                    const _Atomic bool *stop, struct err *err)
{
    for (uint32_t at = 0; at < rows->count; at += MEANS_ROWS) {
        uint32_t here = rows->count - at < MEANS_ROWS ? rows->count - at : MEANS_ROWS;
        const float *some[MEANS_ROWS];
        float score[MEANS_ROWS];

        if (stopped(stop))
            return err_set(err, ST_CLOSED, "making cells was stopped");
        for (uint32_t i = 0; i < here; i++) {
            some[i] = some_row(rows, at + i);
            score[i] = -INFINITY;
            cell[at + i] = 0; /* where nothing can be compared */
        }
        means_nearest(m, 0, m->count, some, here, cell + at, score);
    }
    return ST_OK;
}

void rows_by_cell(const uint32_t *cell, uint32_t rows, uint32_t cells, uint32_t *first,
                  uint32_t *order)
{
    memset(first, 0, ((size_t)cells + 1) * sizeof(*first));
    for (uint32_t i = 0; i < rows; i++)
        first[cell[i] + 1]++;
    for (uint32_t c = 0; c < cells; c++)
        first[c + 1] += first[c];
    for (uint32_t i = 0; i < rows; i++)
        order[first[cell[i]]++] = i;
    for (uint32_t c = cells; c > 0; c--)
        first[c] = first[c - 1];
    first[0] = 0;
}

struct training {
    uint32_t *cell, *first, *order;
    double *sum;
};

static void average(struct means *m, const struct some_rows *rows, const struct training *t,
                    struct rand_seeded *rand)
{
    uint32_t largest = 0;

    for (uint32_t c = 1; c < m->count; c++)
        if (t->first[c + 1] - t->first[c] > t->first[largest + 1] - t->first[largest])
            largest = c;
    for (uint32_t c = 0; c < m->count; c++) {
        uint32_t from = t->first[c], count = t->first[c + 1] - from;
        float *point = m->points + (size_t)c * m->dim;

        if (count == 0) { /* one of the largest cell's rows makes a better one */
            uint32_t size = t->first[largest + 1] - t->first[largest];
            uint32_t any = t->first[largest] + (uint32_t)rand_below(&rand->source, size);

            memcpy(point, some_row(rows, t->order[any]), m->dim * sizeof(float));
            continue;
        }
        memset(t->sum, 0, m->dim * sizeof(*t->sum));
        for (uint32_t i = 0; i < count; i++) {
            const float *row = some_row(rows, t->order[from + i]);

            for (uint32_t d = 0; d < m->dim; d++)
                t->sum[d] += (double)row[d];
        }
        for (uint32_t d = 0; d < m->dim; d++)
            point[d] = clamped(t->sum[d] / count);
    }
}

/* Different rows to begin with, by a partial shuffle. */
static void begin(struct means *m, const struct some_rows *rows, uint32_t *shuffled,
                  struct rand_seeded *rand)
{
    for (uint32_t i = 0; i < rows->count; i++)
        shuffled[i] = i;
    for (uint32_t c = 0; c < m->count; c++) {
        uint32_t other = c + (uint32_t)rand_below(&rand->source, rows->count - c);
        uint32_t kept = shuffled[c];

        shuffled[c] = shuffled[other];
        shuffled[other] = kept;
        memcpy(m->points + (size_t)c * m->dim, some_row(rows, shuffled[c]), m->dim * sizeof(float));
    }
}

status means_train(struct means *m, const struct some_rows *rows, unsigned rounds,
                   struct rand_seeded *rand, const _Atomic bool *stop, struct err *err)
{
    struct training t = {
        .cell = mem_alloc_array(rows->count, sizeof(*t.cell)),
        .order = mem_alloc_array(rows->count, sizeof(*t.order)),
        .first = mem_alloc_array((size_t)m->count + 1, sizeof(*t.first)),
        .sum = mem_alloc_array(m->dim, sizeof(*t.sum)),
    };
    status st = ST_OK;

    if (t.cell == NULL || t.order == NULL || t.first == NULL || t.sum == NULL)
        st = err_set(err, ST_NOMEM, "out of memory for means of %u rows", rows->count);
    else
        begin(m, rows, t.order, rand);
    for (unsigned round = 0; st == ST_OK && round < rounds; round++) {
        means_measure(m);
        st = means_assign(m, rows, t.cell, stop, err);
        if (st != ST_OK)
            break;
        rows_by_cell(t.cell, rows->count, m->count, t.first, t.order);
        average(m, rows, &t, rand);
    }
    if (st == ST_OK)
        means_measure(m);
    mem_free(t.cell);
    mem_free(t.order);
    mem_free(t.first);
    mem_free(t.sum);
    return st;
}
