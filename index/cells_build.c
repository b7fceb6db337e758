/* How cells are made. Coarse means of a sample, lined up; all rows to the nearest; fine means
 * within each coarse cell, lined up; each row to the nearest fine cell of the coarse cells around
 * its own; then rows in order, and codes of what a reader needs. */
#include "index/cells_internal.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>

enum {
    COARSE_SAMPLE = 64, /* rows a cell */
    COARSE_ROUNDS = 8,
    FINE_ROUNDS = 6,
    FINE_SAMPLE = 256,
    FINE_SHARE_MAX = 4 * CELLS_FINE_MAX, /* of one coarse cell, however large it came out */
    AROUND = 8,                          /* coarse cells whose fine cells a row is compared with */
    FINE_ROWS_MAX = 65535,
    RAM_BYTES_PER_ROW = 4,
};

struct arrays { /* own of struct cells_build */
    struct mem_budget *budget;
    uint64_t reserved;
    uint8_t *signs, *coarse_codes, *fine_codes;
    float *mean;
    uint16_t *fine_rows, *fine_spread, *worth;
    uint32_t *coarse_first_fine, *coarse_first_row;
};
struct making {
    const struct cells_options *o;
    const struct cells_source *source;
    struct cells_build *b;
    struct arrays *a;
    struct rand_seeded rand;
    struct means top, fine;
    uint32_t *top_first; /* of fine: by coarse cell */
    uint32_t *group;     /* by row: coarse cell; then fine cell */
    uint32_t *member, *member_first;
    struct err *err;
};

static status no_memory(struct making *m)
{
    return err_set(m->err, ST_NOMEM, "out of memory for cells of %u rows", m->o->rows);
}

static uint32_t fine_cells_wanted(const struct cells_options *o, uint32_t coarse)
{
    struct rabitq_shape shape = {o->dim, cells_short_bits(o->dim)};
    uint64_t most = (uint64_t)o->rows * RAM_BYTES_PER_ROW / (rabitq_code_bytes(shape) + 4);
    uint64_t want = (uint64_t)coarse * CELLS_FINE_MAX;

    want = want < o->rows / CELLS_FINE_ROWS ? want : o->rows / CELLS_FINE_ROWS;
    want = want < most ? want : most;
    return want < coarse ? coarse : (uint32_t)want;
}

/* --- coarse cells --- */
static void sample(struct making *m, uint32_t wanted, uint32_t *ids)
{
    /* One of each of as many equal stretches: sorted, so that a file is read forwards. */
    for (uint32_t i = 0; i < wanted; i++) {
        uint64_t from = (uint64_t)m->o->rows * i / wanted,
                 to = (uint64_t)m->o->rows * (i + 1) / wanted;

        ids[i] = (uint32_t)(from + rand_below(&m->rand.source, to - from));
    }
}

static status lined_up(struct making *m, struct means *points, uint32_t first, uint32_t count,
                       const float *left, const float *right)
{
    const size_t dim = m->o->dim;
    float *from = points->points + first * dim;
    uint32_t *order = mem_alloc_array(count, sizeof(*order));
    float *kept = mem_alloc_array(count * dim, sizeof(*kept));
    bool ok = order != NULL && kept != NULL && line_up(from, count, m->o->dim, left, right, order);

    if (ok) {
        memcpy(kept, from, count * dim * sizeof(*kept));
        for (uint32_t i = 0; i < count; i++)
            memcpy(from + i * dim, kept + order[i] * dim, dim * sizeof(*kept));
    }
    mem_free(order);
    mem_free(kept);
    return ok ? ST_OK : no_memory(m);
}

static status make_coarse(struct making *m)
{
    uint32_t rows = m->o->rows;
    uint32_t count = rows / CELLS_COARSE_ROWS > 0 ? rows / CELLS_COARSE_ROWS : 1;
    uint32_t wanted = (uint64_t)count * COARSE_SAMPLE < rows ? count * COARSE_SAMPLE : rows;
    uint32_t *ids = mem_alloc_array(wanted, sizeof(*ids));
    struct some_rows some = {m->source, ids, wanted}, all = {m->source, NULL, rows};
    status st;

    if (ids == NULL || !means_init(&m->top, m->o->dim, count)) {
        mem_free(ids);
        return no_memory(m);
    }
    sample(m, wanted, ids);
    st = means_train(&m->top, &some, COARSE_ROUNDS, &m->rand, m->o->stop, m->err);
    if (st == ST_OK)
        st = lined_up(m, &m->top, 0, count, NULL, NULL);
    if (st == ST_OK) {
        means_measure(&m->top);
        st = means_assign(&m->top, &all, m->group, m->o->stop, m->err);
    }
    mem_free(ids);
    return st;
}

/* --- fine cells --- */
static uint32_t fine_share(const struct making *m, uint32_t wanted, uint32_t rows)
{
    uint64_t share = ((uint64_t)wanted * rows + m->o->rows / 2) / m->o->rows;

    share = share > rows ? rows : share;
    share = share > FINE_SHARE_MAX ? FINE_SHARE_MAX : share;
    return rows == 0 ? 0 : share == 0 ? 1 : (uint32_t)share;
}

static status make_fine_of(struct making *m, uint32_t g)
{
    const size_t dim = m->o->dim;
    uint32_t first = m->top_first[g], count = m->top_first[g + 1] - first;
    struct some_rows some = {m->source, m->member + m->member_first[g],
                             m->member_first[g + 1] - m->member_first[g]};
    struct means own;
    status st;

    if (count == 0)
        return ST_OK;
    /* Rows of a group come as the source has them: the first ones are as good as any. */
    some.count = some.count < count * FINE_SAMPLE ? some.count : count * FINE_SAMPLE;
    if (!means_init(&own, m->o->dim, count))
        return no_memory(m);
    st = means_train(&own, &some, count > 1 ? FINE_ROUNDS : 1, &m->rand, m->o->stop, m->err);
    if (st == ST_OK) {
        memcpy(m->fine.points + first * dim, own.points, count * dim * sizeof(float));
        st = lined_up(m, &m->fine, first, count, g > 0 ? m->top.points + (g - 1) * dim : NULL,
                      g + 1 < m->top.count ? m->top.points + (g + 1) * dim : NULL);
    }
    means_free(&own);
    return st;
}

static status make_fine(struct making *m)
{
    uint32_t wanted = fine_cells_wanted(m->o, m->top.count);

    m->top_first = mem_alloc_array((size_t)m->top.count + 1, sizeof(*m->top_first));
    if (m->top_first == NULL)
        return no_memory(m);
    rows_by_cell(m->group, m->o->rows, m->top.count, m->member_first, m->member);
    m->top_first[0] = 0;
    for (uint32_t g = 0; g < m->top.count; g++)
        m->top_first[g + 1] =
            m->top_first[g] + fine_share(m, wanted, m->member_first[g + 1] - m->member_first[g]);
    if (!means_init(&m->fine, m->o->dim, m->top_first[m->top.count]))
        return no_memory(m);
    for (uint32_t g = 0; g < m->top.count; g++) {
        status st = make_fine_of(m, g);

        if (st != ST_OK)
            return st;
    }
    means_measure(&m->fine);
    return ST_OK;
}

/* --- rows to fine cells --- */
static uint32_t coarse_around(const struct making *m, uint32_t g, uint32_t near[AROUND])
{
    const float *own = m->top.points + (size_t)g * m->o->dim;
    float score[AROUND];
    uint32_t count = 0;

    for (uint32_t other = 0; other < m->top.count; other++) {
        float s =
            kernels_get()->dot_f32(own, m->top.points + (size_t)other * m->o->dim, m->o->dim) -
            m->top.half[other];
        uint32_t at;

        if (other == g)
            s = INFINITY;
        if (m->top_first[other] == m->top_first[other + 1] ||
            (count == AROUND && !(s > score[AROUND - 1])))
            continue;
        for (at = count < AROUND ? count++ : AROUND - 1; at > 0 && s > score[at - 1]; at--) {
            score[at] = score[at - 1];
            near[at] = near[at - 1];
        }
        score[at] = s;
        near[at] = other;
    }
    return count;
}

static status settle_group(struct making *m, uint32_t g)
{
    uint32_t near[AROUND], near_count = coarse_around(m, g, near);

    for (uint32_t at = m->member_first[g]; at < m->member_first[g + 1]; at += MEANS_ROWS) {
        uint32_t left = m->member_first[g + 1] - at, best[MEANS_ROWS];
        const float *rows[MEANS_ROWS];
        float score[MEANS_ROWS];

        left = left < MEANS_ROWS ? left : MEANS_ROWS;
        for (uint32_t i = 0; i < left; i++) {
            rows[i] = m->source->at(m->source->arg, m->member[at + i]);
            best[i] = m->top_first[g];
            score[i] = -INFINITY;
        }
        for (uint32_t n = 0; n < near_count; n++)
            means_nearest(&m->fine, m->top_first[near[n]],
                          m->top_first[near[n] + 1] - m->top_first[near[n]], rows, left, best,
                          score);
        for (uint32_t i = 0; i < left; i++)
            m->group[m->member[at + i]] = best[i];
    }
    if (m->o->stop != NULL && *m->o->stop)
        return err_set(m->err, ST_CLOSED, "making cells was stopped");
    return ST_OK;
}

static status settle(struct making *m)
{
    for (uint32_t g = 0; g < m->top.count; g++) {
        status st = settle_group(m, g);

        if (st != ST_OK)
            return st;
    }
    rows_by_cell(m->group, m->o->rows, m->fine.count, m->member_first, m->member);
    return ST_OK;
}

/* --- rows in order --- */
struct flowing {
    float along;
    uint32_t row;
};

static int by_flow(const void *a, const void *b)
{
    const struct flowing *x = a, *y = b;

    if (x->along != y->along)
        return x->along < y->along ? -1 : 1;
    return x->row < y->row ? -1 : x->row > y->row;
}

/* From what lies before a cell to what lies behind it. */
static status order_rows(struct making *m)
{
    const size_t dim = m->o->dim;
    float *way = mem_alloc_array(dim, sizeof(*way));
    struct flowing *flow = NULL;
    uint32_t most = 1;

    for (uint32_t f = 0; f < m->fine.count; f++)
        most = m->member_first[f + 1] - m->member_first[f] > most
                   ? m->member_first[f + 1] - m->member_first[f]
                   : most;
    flow = mem_alloc_array(most, sizeof(*flow));
    for (uint32_t f = 0; f < m->fine.count && flow != NULL && way != NULL; f++) {
        uint32_t from = m->member_first[f], count = m->member_first[f + 1] - from;
        const float *before = m->fine.points + (f > 0 ? f - 1 : f) * dim;
        const float *behind = m->fine.points + (f + 1 < m->fine.count ? f + 1 : f) * dim;

        for (size_t d = 0; d < dim; d++)
            way[d] = behind[d] - before[d];
        for (uint32_t i = 0; i < count; i++) {
            const float *row = m->source->at(m->source->arg, m->member[from + i]);
            float along = kernels_get()->dot_f32(row, way, dim);

            flow[i] = (struct flowing){isnan(along) ? 0 : along, m->member[from + i]};
        }
        qsort(flow, count, sizeof(*flow), by_flow);
        for (uint32_t i = 0; i < count; i++)
            m->b->order[from + i] = flow[i].row;
    }
    mem_free(way);
    mem_free(flow);
    return flow != NULL && way != NULL ? ST_OK : no_memory(m);
}

/* --- what a reader needs --- */
struct measured { /* a fine cell, or a part of one that is too large */
    uint32_t coarse, first, rows;
};

/* Fine cells that have rows, those that have too many in parts. */
static uint32_t count_cells(const struct making *m, struct measured *out, uint32_t *coarse)
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

static status arrays_make(struct making *m, uint32_t coarse, uint32_t fine)
{
    struct rabitq_shape row = {m->o->dim, CELLS_ROW_BITS};
    struct rabitq_shape shrt = {m->o->dim, cells_short_bits(m->o->dim)};
    struct arrays *a = m->a;

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
        return no_memory(m);
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
static void add_rows(const struct making *m, uint32_t first, uint32_t count, double *sum)
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

static void measure_mean(const struct making *m, double *sum)
{
    memset(sum, 0, m->o->dim * sizeof(*sum));
    add_rows(m, 0, m->o->rows, sum);
    for (uint32_t d = 0; d < m->o->dim; d++)
        m->a->mean[d] = mean_value(sum[d], m->o->rows);
}

/* point: the mean of a fine cell's rows. Their mean squared distance from it comes back. */
static float measure_fine(const struct making *m, const struct measured *cell, double *sum,
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

static void turn_point(const struct making *m, const float *point, float *turned)
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

static void code_cells(struct making *m, const struct coding *k)
{
    struct rabitq_shape row = {m->o->dim, CELLS_ROW_BITS};
    struct rabitq_shape shrt = {m->o->dim, cells_short_bits(m->o->dim)};
    struct arrays *a = m->a;
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

static status make_codes(struct making *m)
{
    const size_t dim = m->o->dim;
    struct coding k = {.fine = count_cells(m, NULL, &k.coarse)};
    status st = ST_OK;

    k.cells = mem_alloc_array(k.fine, sizeof(*k.cells));
    k.sum = mem_alloc_array(dim, sizeof(*k.sum));
    k.point = mem_alloc_array(4 * dim, sizeof(*k.point));
    if (k.cells == NULL || k.sum == NULL || k.point == NULL)
        st = no_memory(m);
    if (st == ST_OK) {
        k.turned = k.point + dim;
        k.centroid = k.point + 3 * dim;
        (void)count_cells(m, k.cells, &k.coarse);
        st = arrays_make(m, k.coarse, k.fine);
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

static status make(struct making *m)
{
    status st = make_coarse(m);

    if (st == ST_OK)
        st = make_fine(m);
    if (st == ST_OK)
        st = settle(m);
    if (st == ST_OK)
        st = order_rows(m);
    if (st == ST_OK)
        st = make_codes(m);
    if (st == ST_OK)
        st = cells_worth_count(&m->b->cells, m->source, m->b->order, m->b->fine_first, &m->rand,
                               m->o->stop, m->a->worth, m->err);
    return st;
}

static status begin(struct making *m)
{
    uint32_t rows = m->o->rows;
    uint32_t cells = rows / 4 + 2; /* more than there can be, of either kind */

    m->group = mem_alloc_array(rows, sizeof(*m->group));
    m->member = mem_alloc_array(rows, sizeof(*m->member));
    m->member_first = mem_alloc_array(cells, sizeof(*m->member_first));
    m->b->order = mem_alloc_array(rows, sizeof(*m->b->order));
    if (m->group == NULL || m->member == NULL || m->member_first == NULL || m->b->order == NULL)
        return no_memory(m);
    return ST_OK;
}

/* Rows of numbers, and points of both kinds. */
static uint64_t bytes_beside(const struct cells_options *o)
{
    uint64_t cells = (uint64_t)o->rows / CELLS_COARSE_ROWS + o->rows / CELLS_FINE_ROWS + 2;

    return (uint64_t)o->rows * 20 + cells * (o->dim * 5ull + 16);
}

status cells_build(const struct cells_options *options, const struct cells_source *source,
                   struct cells_build *out, struct err *err)
{
    struct cells_build b = {0};
    struct making m = {.o = options, .source = source, .b = &b, .err = err};
    status st = ST_OK;

    m.a = mem_zero(sizeof(*m.a));
    if (m.a == NULL)
        return no_memory(&m);
    b.own = m.a;
    if (options->budget != NULL)
        st = mem_reserve(options->budget, bytes_beside(options), err);
    if (st == ST_OK && options->budget != NULL) {
        m.a->budget = options->budget;
        m.a->reserved = bytes_beside(options);
    }
    rand_seeded_init(&m.rand, options->seed);
    if (st == ST_OK && options->rows == 0)
        st = arrays_make(&m, 0, 0);
    else if (st == ST_OK) {
        st = begin(&m);
        if (st == ST_OK)
            st = make(&m);
    }
    means_free(&m.top);
    means_free(&m.fine);
    mem_free(m.top_first);
    mem_free(m.group);
    mem_free(m.member);
    mem_free(m.member_first);
    if (st != ST_OK) {
        cells_build_free(&b);
        return st;
    }
    *out = b;
    return ST_OK;
}

void cells_build_free(struct cells_build *b)
{
    struct arrays *a = b->own;

    if (a != NULL) {
        if (a->budget != NULL)
            mem_release(a->budget, a->reserved);
        mem_free(a->signs);
        mem_free(a->mean);
        mem_free(a->coarse_codes);
        mem_free(a->fine_codes);
        mem_free(a->fine_rows);
        mem_free(a->fine_spread);
        mem_free(a->worth);
        mem_free(a->coarse_first_fine);
        mem_free(a->coarse_first_row);
    }
    mem_free(a);
    mem_free(b->order);
    mem_free(b->fine_first);
    *b = (struct cells_build){0};
}
