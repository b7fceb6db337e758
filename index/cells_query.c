/* What a query knows of one segment's cells: its place beside each coarse centroid, which estimates
 * are added to; squared distances (dot: -2 dot) of fine centroids; keys of rows. */
#include "index/cells_internal.h"

#include <float.h>
#include <math.h>

enum { BATCH = 64 };

static struct rabitq_shape row_shape(const struct cells *c)
{
    return (struct rabitq_shape){c->dim, CELLS_ROW_BITS};
}

/* |c|^2 of a coarse centroid as it is decoded: A/2 times grid points n - 127.5. */
static double decoded_norm2(const uint8_t *code, uint32_t dim)
{
    uint64_t sum = 0, sum2 = 0;
    float a;
    double half;

    for (uint32_t i = 0; i < dim; i++) {
        sum += code[i];
        sum2 += (uint32_t)code[i] * code[i];
    }
    memcpy(&a, code + dim, sizeof(a));
    half = (double)a / 2;
    return half * half * ((double)sum2 - 255 * (double)sum + dim * 127.5 * 127.5);
}

static float bounded(double v)
{
    return v < (double)FLT_MAX ? (float)v : FLT_MAX; /* NaN, too */
}

/* |c - q|^2, or -2 <c, q> under dot, of each coarse centroid. */
static void measure_coarse(struct cells_query *q, double own, double offset)
{
    const struct cells *c = q->c;
    const size_t bytes = rabitq_code_bytes(row_shape(c));

    rabitq_estimate(q->turned, row_shape(c), c->coarse_codes, bytes, c->coarse, q->base);
    for (uint32_t g = 0; g < c->coarse; g++) {
        double est = (double)q->base[g];

        if (c->metric == VMETRIC_DOT)
            q->base[g] = bounded(est - 2 * offset);
        else
            q->base[g] = bounded(own + decoded_norm2(c->coarse_codes + g * bytes, c->dim) + est);
    }
}

status cells_query_create(const struct cells *c, const float *query, struct cells_query **out,
                          struct err *err)
{
    struct cells_query *q = mem_zero(sizeof(*q));
    float *moved = mem_alloc_array(c->dim, sizeof(*moved));
    double own = 0, offset = 0;
    status st;

    if (q != NULL)
        q->base = mem_alloc_array(c->coarse, sizeof(*q->base));
    if (q == NULL || moved == NULL || q->base == NULL) {
        mem_free(moved);
        cells_query_destroy(q);
        return err_set(err, ST_NOMEM, "out of memory for a query of %u cells", c->coarse);
    }
    q->c = c;
    for (uint32_t d = 0; d < c->dim; d++) {
        q->norm2 += (double)query[d] * (double)query[d];
        offset += (double)query[d] * (double)c->mean[d];
        moved[d] = c->metric == VMETRIC_DOT ? query[d] : query[d] - c->mean[d];
        own += (double)moved[d] * (double)moved[d];
    }
    st = rabitq_query_create(c->dim, c->signs, moved, &q->turned, err);
    mem_free(moved);
    if (st != ST_OK) {
        cells_query_destroy(q);
        return st;
    }
    measure_coarse(q, own, offset);
    *out = q;
    return ST_OK;
}

void cells_query_destroy(struct cells_query *q)
{
    if (q == NULL)
        return;
    rabitq_query_destroy(q->turned);
    mem_free(q->base);
    mem_free(q->fine);
    mem_free(q->fine_first);
    mem_free(q->best);
    rabitq_tables_destroy(q->tables);
    mem_free(q->ranges);
    mem_free(q);
}

status cells_query_fine(struct cells_query *q, struct err *err)
{
    const struct cells *c = q->c;
    struct rabitq_shape shape = {c->dim, c->short_bits};
    const size_t bytes = rabitq_code_bytes(shape);

    if (q->fine != NULL)
        return ST_OK;
    q->fine_first = mem_alloc_array((size_t)c->fine + 1, sizeof(*q->fine_first));
    if (q->fine_first != NULL)
        q->fine = mem_alloc_array(c->fine, sizeof(*q->fine));
    if (q->fine == NULL) {
        mem_free(q->fine_first);
        q->fine_first = NULL;
        return err_set(err, ST_NOMEM, "out of memory for the ranking of %u cells", c->fine);
    }
    rabitq_estimate(q->turned, shape, c->fine_codes, bytes, c->fine, q->fine);
    for (uint32_t g = 0; g < c->coarse; g++)
        for (uint32_t f = c->coarse_first_fine[g]; f < c->coarse_first_fine[g + 1]; f++)
            q->fine[f] += q->base[g];
    q->fine_first[0] = 0;
    for (uint32_t f = 0; f < c->fine; f++)
        q->fine_first[f + 1] = q->fine_first[f] + c->fine_rows[f];
    return ST_OK;
}

/* --- the best rows by short codes --- */
status cells_query_best_reset(struct cells_query *q, uint32_t best, struct err *err)
{
    const struct rabitq_shape shape = {q->c->dim, q->c->short_bits};
    status st = q->tables != NULL ? ST_OK : rabitq_tables_create(q->turned, shape, &q->tables, err);

    if (st != ST_OK)
        return st;
    if (best > q->best_max) {
        struct cells_best *more = mem_alloc_array(best, sizeof(*more));

        if (more == NULL)
            return err_set(err, ST_NOMEM, "out of memory for the best %u rows", best);
        mem_free(q->best);
        q->best = more;
    }
    q->best_max = best;
    q->best_count = 0;
    return ST_OK;
}

static bool farther(const struct cells_best *a, const struct cells_best *b)
{
    return a->estimate > b->estimate || (a->estimate == b->estimate && a->position > b->position);
}

static void sink(struct cells_best *heap, uint32_t count, struct cells_best in)
{
    uint32_t at = 0, child;

    while ((child = 2 * at + 1) < count) {
        if (child + 1 < count && farther(&heap[child + 1], &heap[child]))
            child++;
        if (!farther(&heap[child], &in))
            break;
        heap[at] = heap[child];
        at = child;
    }
    heap[at] = in;
}

static void rise(struct cells_best *heap, uint32_t at, struct cells_best in)
{
    for (; at > 0 && farther(&in, &heap[(at - 1) / 2]); at = (at - 1) / 2)
        heap[at] = heap[(at - 1) / 2];
    heap[at] = in;
}

static void take(struct cells_query *q, struct cells_best in)
{
    if (q->best_count < q->best_max)
        rise(q->best, q->best_count++, in);
    else
        sink(q->best, q->best_count, in);
}

void cells_query_best_add(struct cells_query *q, uint32_t coarse, uint32_t first,
                          const uint8_t *codes, uint32_t count,
                          bool (*keep)(void *arg, uint32_t position), void *keep_arg)
{
    struct rabitq_shape shape = {q->c->dim, q->c->short_bits};
    const size_t bytes = rabitq_code_bytes(shape);
    float est[BATCH];

    for (uint32_t at = 0; at < count && q->best_max > 0; at += BATCH) {
        uint32_t here = count - at < BATCH ? count - at : BATCH;

        rabitq_estimate(q->turned, shape, codes + at * bytes, bytes, here, est);
        for (uint32_t i = 0; i < here; i++) {
            struct cells_best in = {est[i] + q->base[coarse], first + at + i};

            if (q->best_count == q->best_max && !farther(&q->best[0], &in))
                continue;
            if (keep == NULL || keep(keep_arg, in.position))
                take(q, in);
        }
    }
}

/* Rows [from, to) of a group whose estimates are est. */
static void take_group(struct cells_query *q, const float *est, uint32_t from, uint32_t to,
                       float base, uint32_t first, bool (*keep)(void *arg, uint32_t position),
                       void *keep_arg)
{
    for (uint32_t i = from; i < to; i++) {
        struct cells_best in = {est[i] + base, first + i};

        if (q->best_count == q->best_max && !farther(&q->best[0], &in))
            continue;
        if (keep == NULL || keep(keep_arg, in.position))
            take(q, in);
    }
}

void cells_query_best_groups(struct cells_query *q, uint32_t coarse, uint32_t first,
                             const uint8_t *codes, uint32_t rows, uint32_t from, uint32_t count,
                             bool (*keep)(void *arg, uint32_t position), void *keep_arg)
{
    const size_t bytes = rabitq_code_bytes((struct rabitq_shape){q->c->dim, q->c->short_bits});
    const uint32_t end = from + count;
    float est[KERNEL_GROUP];

    for (uint32_t g = from / KERNEL_GROUP * KERNEL_GROUP; g < end && q->best_max > 0;
         g += KERNEL_GROUP) {
        uint32_t here = rows - g < KERNEL_GROUP ? rows - g : KERNEL_GROUP;
        float least = rabitq_estimate_group(q->tables, codes + g * bytes, here, est);

        if (q->best_count < q->best_max || least + q->base[coarse] <= q->best[0].estimate)
            take_group(q, est, from > g ? from - g : 0, end - g < here ? end - g : here,
                       q->base[coarse], first + g, keep, keep_arg);
    }
}

void cells_query_best_put(struct cells_query *q, uint32_t position)
{
    if (q->best_max > 0)
        take(q, (struct cells_best){0, position});
}

/* --- keys --- */
static float key_of(const struct cells_query *q, float est, float base)
{
    double square = (double)est + (double)base;
    double key = square;

    if (q->c->metric == VMETRIC_COSINE) /* of unit vectors */
        key = (square - 1 - q->norm2) / 2;
    else if (q->c->metric == VMETRIC_DOT)
        key = square / 2;
    return key == key ? (float)key : INFINITY;
}

void cells_keys(struct cells_query *q, uint32_t first, const uint8_t *codes, size_t stride,
                uint32_t count, float *out)
{
    const struct cells *c = q->c;
    uint32_t g = cells_coarse_of(c, first);

    for (uint32_t at = 0; at < count; g++) {
        uint32_t left = c->coarse_first_row[g + 1] - (first + at);
        uint32_t here = left < count - at ? left : count - at;

        rabitq_estimate(q->turned, row_shape(c), codes + at * stride, stride, here, out + at);
        for (uint32_t i = 0; i < here; i++)
            out[at + i] = key_of(q, out[at + i], q->base[g]);
        at += here;
    }
}
