/* How cells are made. Coarse means of a sample, lined up; all rows to the nearest; fine means
 * within each coarse cell, lined up; each row to the nearest fine cell of the coarse cells around
 * its own; then rows in order, and codes of what a reader needs. */
#include "index/cells_making.h"

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
    RAM_BYTES_PER_ROW = 4,
};

status cells_no_memory(struct cells_making *m)
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
static void sample(struct cells_making *m, uint32_t wanted, uint32_t *ids)
{
    /* One of each of as many equal stretches: sorted, so that a file is read forwards. */
    for (uint32_t i = 0; i < wanted; i++) {
        uint64_t from = (uint64_t)m->o->rows * i / wanted,
                 to = (uint64_t)m->o->rows * (i + 1) / wanted;

        ids[i] = (uint32_t)(from + rand_below(&m->rand.source, to - from));
    }
}

static status lined_up(struct cells_making *m, struct means *points, uint32_t first, uint32_t count,
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
    return ok ? ST_OK : cells_no_memory(m);
}

static status make_coarse(struct cells_making *m)
{
    uint32_t rows = m->o->rows;
    uint32_t count = rows / CELLS_COARSE_ROWS > 0 ? rows / CELLS_COARSE_ROWS : 1;
    uint32_t wanted = (uint64_t)count * COARSE_SAMPLE < rows ? count * COARSE_SAMPLE : rows;
    uint32_t *ids = mem_alloc_array(wanted, sizeof(*ids));
    struct some_rows some = {m->source, ids, wanted}, all = {m->source, NULL, rows};
    status st;

    if (ids == NULL || !means_init(&m->top, m->o->dim, count)) {
        mem_free(ids);
        return cells_no_memory(m);
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
static uint32_t fine_share(const struct cells_making *m, uint32_t wanted, uint32_t rows)
{
    uint64_t share = ((uint64_t)wanted * rows + m->o->rows / 2) / m->o->rows;

    share = share > rows ? rows : share;
    share = share > FINE_SHARE_MAX ? FINE_SHARE_MAX : share;
    return rows == 0 ? 0 : share == 0 ? 1 : (uint32_t)share;
}

static status make_fine_of(struct cells_making *m, uint32_t g)
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
        return cells_no_memory(m);
    st = means_train(&own, &some, count > 1 ? FINE_ROUNDS : 1, &m->rand, m->o->stop, m->err);
    if (st == ST_OK) {
        memcpy(m->fine.points + first * dim, own.points, count * dim * sizeof(float));
        st = lined_up(m, &m->fine, first, count, g > 0 ? m->top.points + (g - 1) * dim : NULL,
                      g + 1 < m->top.count ? m->top.points + (g + 1) * dim : NULL);
    }
    means_free(&own);
    return st;
}

static status make_fine(struct cells_making *m)
{
    uint32_t wanted = fine_cells_wanted(m->o, m->top.count);

    m->top_first = mem_alloc_array((size_t)m->top.count + 1, sizeof(*m->top_first));
    if (m->top_first == NULL)
        return cells_no_memory(m);
    rows_by_cell(m->group, m->o->rows, m->top.count, m->member_first, m->member);
    m->top_first[0] = 0;
    for (uint32_t g = 0; g < m->top.count; g++)
        m->top_first[g + 1] =
            m->top_first[g] + fine_share(m, wanted, m->member_first[g + 1] - m->member_first[g]);
    if (!means_init(&m->fine, m->o->dim, m->top_first[m->top.count]))
        return cells_no_memory(m);
    for (uint32_t g = 0; g < m->top.count; g++) {
        status st = make_fine_of(m, g);

        if (st != ST_OK)
            return st;
    }
    means_measure(&m->fine);
    return ST_OK;
}

/* --- rows to fine cells --- */
static uint32_t coarse_around(const struct cells_making *m, uint32_t g, uint32_t near[AROUND])
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

static status settle_group(struct cells_making *m, uint32_t g)
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

static status settle(struct cells_making *m)
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
static status order_rows(struct cells_making *m)
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
    return flow != NULL && way != NULL ? ST_OK : cells_no_memory(m);
}

static status make(struct cells_making *m)
{
    status st = make_coarse(m);

    if (st == ST_OK)
        st = make_fine(m);
    if (st == ST_OK)
        st = settle(m);
    if (st == ST_OK)
        st = order_rows(m);
    if (st == ST_OK)
        st = cells_make_codes(m);
    if (st == ST_OK)
        st = cells_worth_count(&m->b->cells, m->source, m->b->order, m->b->fine_first, &m->rand,
                               m->o->stop, m->a->worth, m->err);
    return st;
}

static status begin(struct cells_making *m)
{
    uint32_t rows = m->o->rows;
    uint32_t cells = rows / 4 + 2; /* more than there can be, of either kind */

    m->group = mem_alloc_array(rows, sizeof(*m->group));
    m->member = mem_alloc_array(rows, sizeof(*m->member));
    m->member_first = mem_alloc_array(cells, sizeof(*m->member_first));
    m->b->order = mem_alloc_array(rows, sizeof(*m->b->order));
    if (m->group == NULL || m->member == NULL || m->member_first == NULL || m->b->order == NULL)
        return cells_no_memory(m);
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
    struct cells_making m = {.o = options, .source = source, .b = &b, .err = err};
    status st = ST_OK;

    m.a = mem_zero(sizeof(*m.a));
    if (m.a == NULL)
        return cells_no_memory(&m);
    b.own = m.a;
    if (options->budget != NULL)
        st = mem_reserve(options->budget, bytes_beside(options), err);
    if (st == ST_OK && options->budget != NULL) {
        m.a->budget = options->budget;
        m.a->reserved = bytes_beside(options);
    }
    rand_seeded_init(&m.rand, options->seed);
    if (st == ST_OK && options->rows == 0)
        st = cells_arrays_make(&m, 0, 0);
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
    struct cells_arrays *a = b->own;

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
