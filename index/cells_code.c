/* What a reader keeps of cells: how many rows a fine cell has and how far they lie from its
 * centroid, and the codes of centroids. */
#include "index/cells_making.h"

#include <float.h>
#include <string.h>

enum { FINE_ROWS_MAX = 65535 };

struct measured { /* a fine cell, or a part of one that is too large */
    uint32_t coarse, first, rows;
};

/* Fine cells that have rows, those that have too many in parts. */
static uint32_t count_cells(const struct cells_making *m, struct measured *out, uint32_t *coarse)
{
    uint32_t count = 0, before = UINT32_MAX;

    *coarse = 0;
    for (uint32_t g = 0; g < m->top.count; g++)
        for (uint32_t f = m->top_first[g]; f < m->top_first[g + 1]; f++)
            for (uint32_t at = m->member_first[f]; at < m->member_first[f + 1];) {
                uint32_t rows = m->member_first[f + 1] - at;

                rows = rows < FINE_ROWS_MAX ? rows : FINE_ROWS_MAX;
                *coarse += g != before;
                before = g;
                if (out != NULL)
                    out[count] = (struct measured){g, at, rows};
                count++;
                at += rows;
            }
    return count;
}

status cells_arrays_make(struct cells_making *m, uint32_t coarse, uint32_t fine)
{
    struct rabitq_shape row = {m->o->dim, CELLS_ROW_BITS};
    struct rabitq_shape shrt = {m->o->dim, cells_short_bits(m->o->dim)};
    struct cells_arrays *a = m->a;

    a->signs = mem_alloc(rabitq_signs_bytes(m->o->dim));
    a->mean = mem_zero_array(m->o->dim, sizeof(float));
    a->coarse_codes = mem_alloc_array(coarse, rabitq_code_bytes(row));
    a->fine_codes = mem_alloc_array(fine, rabitq_code_bytes(shrt));
    a->fine_rows = mem_alloc_array(fine, sizeof(uint16_t));
    a->fine_spread = mem_alloc_array(fine, sizeof(uint16_t));
    a->worth = mem_zero_array(CELLS_WORTH, sizeof(uint16_t));
    a->coarse_first_fine = mem_zero_array((size_t)coarse + 1, sizeof(uint32_t));
    a->coarse_first_row = mem_zero_array((size_t)coarse + 1, sizeof(uint32_t));
    m->b->fine_first = mem_zero_array((size_t)fine + 1, sizeof(uint32_t));
    if (a->signs == NULL || a->mean == NULL || a->coarse_codes == NULL || a->fine_codes == NULL ||
        a->fine_rows == NULL || a->fine_spread == NULL || a->worth == NULL ||
        a->coarse_first_fine == NULL || a->coarse_first_row == NULL || m->b->fine_first == NULL)
        return cells_no_memory(m);
    rabitq_signs_make(m->o->dim, rand_u64(&m->rand.source), a->signs);
    m->b->cells = (struct cells){
        .dim = m->o->dim,
        .metric = m->o->metric,
        .short_bits = shrt.bits,
        .rows = m->o->rows,
        .coarse = coarse,
        .fine = fine,
        .signs = a->signs,
        .mean = a->mean,
        .coarse_codes = a->coarse_codes,
        .fine_codes = a->fine_codes,
        .fine_rows = a->fine_rows,
        .fine_spread = a->fine_spread,
        .coarse_first_fine = a->coarse_first_fine,
        .coarse_first_row = a->coarse_first_row,
        .worth = a->worth,
    };
    return ST_OK;
}

/* sum: of all rows, or of a cell's. */
static void add_rows(const struct cells_making *m, uint32_t first, uint32_t count, double *sum)
{
    for (uint32_t i = 0; i < count; i++) {
        const float *row = m->source->at(m->source->arg, m->b->order[first + i]);

        for (uint32_t d = 0; d < m->o->dim; d++)
            sum[d] += (double)row[d];
    }
}

static float mean_value(double sum, uint32_t count)
{
    double v = sum / count;

    if (!(v > -(double)FLT_MAX))
        return v < 0 ? -FLT_MAX : 0; /* NaN: of what should not be there */
    return v < (double)FLT_MAX ? (float)v : FLT_MAX;
}

static void measure_mean(const struct cells_making *m, double *sum)
{
    memset(sum, 0, m->o->dim * sizeof(*sum));
    add_rows(m, 0, m->o->rows, sum);
    for (uint32_t d = 0; d < m->o->dim; d++)
        m->a->mean[d] = mean_value(sum[d], m->o->rows);
}

/* point: the mean of a fine cell's rows. Their mean squared distance from it comes back. */
static float measure_fine(const struct cells_making *m, const struct measured *cell, double *sum,
                          float *point)
{
    double apart = 0;

    memset(sum, 0, m->o->dim * sizeof(*sum));
    add_rows(m, cell->first, cell->rows, sum);
    for (uint32_t d = 0; d < m->o->dim; d++)
        point[d] = mean_value(sum[d], cell->rows);
    for (uint32_t i = 0; i < cell->rows; i++) {
        const float *row = m->source->at(m->source->arg, m->b->order[cell->first + i]);

        apart += (double)kernels_get()->l2_f32(row, point, m->o->dim);
    }
    apart /= cell->rows;
    return apart < (double)FLT_MAX ? (float)apart : FLT_MAX;
}

static void turn_point(const struct cells_making *m, const float *point, float *turned)
{
    for (uint32_t d = 0; d < m->o->dim; d++)
        turned[d] = point[d] - m->a->mean[d];
    rabitq_turn(m->o->dim, m->a->signs, turned, turned + m->o->dim);
}

struct coding {
    struct measured *cells;
    uint32_t coarse, fine;
    double *sum;
    float *point, *turned, *centroid; /* turned: twice dim, with scratch */
};

static void code_cells(struct cells_making *m, const struct coding *k)
{
    struct rabitq_shape row = {m->o->dim, CELLS_ROW_BITS};
    struct rabitq_shape shrt = {m->o->dim, cells_short_bits(m->o->dim)};
    struct cells_arrays *a = m->a;
    uint32_t g = 0;

    for (uint32_t f = 0; f < k->fine; f++) {
        const struct measured *cell = &k->cells[f];
        uint8_t *top = a->coarse_codes + g * rabitq_code_bytes(row);

        if (f == 0 || cell->coarse != k->cells[f - 1].coarse) {
            g += f > 0;
            top = a->coarse_codes + g * rabitq_code_bytes(row);
            a->coarse_first_fine[g] = f;
            a->coarse_first_row[g] = cell->first;
            turn_point(m, m->top.points + (size_t)cell->coarse * m->o->dim, k->turned);
            rabitq_encode(row, k->turned, NULL, top);
            rabitq_decode(row, top, k->centroid);
        }
        a->fine_rows[f] = (uint16_t)cell->rows;
        a->fine_spread[f] = bf16_of(measure_fine(m, cell, k->sum, k->point));
        turn_point(m, k->point, k->turned);
        for (uint32_t d = 0; d < m->o->dim; d++)
            k->turned[d] -= k->centroid[d];
        rabitq_encode(shrt, k->turned, m->o->metric == VMETRIC_DOT ? NULL : k->centroid,
                      a->fine_codes + f * rabitq_code_bytes(shrt));
        m->b->fine_first[f] = cell->first;
    }
    a->coarse_first_fine[k->coarse] = k->fine;
    a->coarse_first_row[k->coarse] = m->o->rows;
    m->b->fine_first[k->fine] = m->o->rows;
}

status cells_make_codes(struct cells_making *m)
{
    const size_t dim = m->o->dim;
    struct coding k = {.fine = count_cells(m, NULL, &k.coarse)};
    status st = ST_OK;

    k.cells = mem_alloc_array(k.fine, sizeof(*k.cells));
    k.sum = mem_alloc_array(dim, sizeof(*k.sum));
    k.point = mem_alloc_array(4 * dim, sizeof(*k.point));
    if (k.cells == NULL || k.sum == NULL || k.point == NULL)
        st = cells_no_memory(m);
    if (st == ST_OK) {
        k.turned = k.point + dim;
        k.centroid = k.point + 3 * dim;
        (void)count_cells(m, k.cells, &k.coarse);
        st = cells_arrays_make(m, k.coarse, k.fine);
    }
    if (st == ST_OK) {
        measure_mean(m, k.sum);
        code_cells(m, &k);
    }
    mem_free(k.cells);
    mem_free(k.sum);
    mem_free(k.point);
    return st;
}
