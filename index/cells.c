#include "index/cells_internal.h"

#include <math.h>

uint8_t cells_short_bits(uint32_t dim)
{
    return dim <= 128 ? 4 : dim <= 256 ? 2 : 1;
}

/* --- what a reader was given --- */
static status wrong(struct err *err, const char *what, uint64_t where)
{
    return err_set(err, ST_CORRUPT, "cells do not fit each other: %s at=%llu", what,
                   (unsigned long long)where);
}

static status check_head(const struct cells *c, struct err *err)
{
    if (c->dim == 0 || c->dim > VINDEX_DIM_MAX)
        return wrong(err, "dim", c->dim);
    if (c->metric < VMETRIC_COSINE || c->metric > VMETRIC_L1)
        return wrong(err, "metric", c->metric);
    if (c->short_bits != 1 && c->short_bits != 2 && c->short_bits != 4)
        return wrong(err, "bits of short codes", c->short_bits);
    if (c->coarse > c->fine || c->fine > c->rows || (c->coarse == 0) != (c->rows == 0))
        return wrong(err, "number of cells", c->coarse);
    if (c->rows == 0) /* nobody has this vector: there is nothing to look at */
        return ST_OK;
    if (c->signs == NULL || c->mean == NULL || c->worth == NULL || c->coarse_first_fine == NULL ||
        c->coarse_first_row == NULL || c->coarse_codes == NULL || c->fine_codes == NULL ||
        c->fine_rows == NULL || c->fine_spread == NULL)
        return wrong(err, "an array is missing", 0);
    return ST_OK;
}

static status check_counts(const struct cells *c, struct err *err)
{
    if (c->coarse_first_fine[0] != 0 || c->coarse_first_row[0] != 0)
        return wrong(err, "first cell", 0);
    if (c->coarse_first_fine[c->coarse] != c->fine || c->coarse_first_row[c->coarse] != c->rows)
        return wrong(err, "last cell", c->coarse);
    for (uint32_t g = 0; g < c->coarse; g++) {
        uint32_t from = c->coarse_first_fine[g], to = c->coarse_first_fine[g + 1];
        uint64_t row = c->coarse_first_row[g];

        if (to <= from || to > c->fine)
            return wrong(err, "first fine cell", g);
        for (uint32_t f = from; f < to; f++) {
            if (c->fine_rows[f] == 0)
                return wrong(err, "a fine cell without rows", f);
            row += c->fine_rows[f];
        }
        if (row != c->coarse_first_row[g + 1])
            return wrong(err, "first row", g + 1);
    }
    return ST_OK;
}

static bool finite_factors(const uint8_t *code, struct rabitq_shape shape)
{
    float factors[2];

    memcpy(factors, code + rabitq_code_bytes(shape) - sizeof(factors), sizeof(factors));
    return isfinite(factors[0]) && isfinite(factors[1]);
}

static status check_values(const struct cells *c, struct err *err)
{
    struct rabitq_shape row = {c->dim, CELLS_ROW_BITS}, fine = {c->dim, c->short_bits};
    float before = INFINITY;

    for (uint32_t i = 0; i < c->dim; i++)
        if (!isfinite(c->mean[i]))
            return wrong(err, "mean", i);
    for (uint32_t g = 0; g < c->coarse; g++)
        if (!finite_factors(c->coarse_codes + g * rabitq_code_bytes(row), row))
            return wrong(err, "code of a coarse centroid", g);
    for (uint32_t f = 0; f < c->fine; f++) {
        if (!finite_factors(c->fine_codes + f * rabitq_code_bytes(fine), fine))
            return wrong(err, "code of a fine centroid", f);
        if (c->fine_spread[f] >= 0x7f80) /* infinite, NaN or negative */
            return wrong(err, "spread", f);
    }
    for (uint32_t i = 0; i < CELLS_WORTH; i++) {
        float worth = c->worth[i] >= 0x7f80 ? INFINITY : bf16_value(c->worth[i]);

        if (!isfinite(worth) || worth > before)
            return wrong(err, "worth", i);
        before = worth;
    }
    return ST_OK;
}

status cells_check(const struct cells *c, struct err *err)
{
    status st = check_head(c, err);

    if (st != ST_OK || c->rows == 0)
        return st;
    st = check_counts(c, err);
    return st == ST_OK ? check_values(c, err) : st;
}

uint32_t cells_coarse_of(const struct cells *c, uint32_t position)
{
    uint32_t low = 0, high = c->coarse;

    while (high - low > 1) {
        uint32_t middle = low + (high - low) / 2;

        if (c->coarse_first_row[middle] <= position)
            low = middle;
        else
            high = middle;
    }
    return low;
}

/* --- codes of rows --- */
struct cells_centroids {
    uint32_t dim;
    float values[]; /* coarse x dim, turned, less the mean */
};

status cells_centroids(const struct cells *c, struct cells_centroids **out, struct err *err)
{
    struct rabitq_shape shape = {c->dim, CELLS_ROW_BITS};
    struct cells_centroids *t = NULL;
    size_t bytes;

    if (size_mul(c->dim, c->coarse, &bytes) && size_mul(bytes, sizeof(float), &bytes) &&
        size_add(bytes, sizeof(*t), &bytes))
        t = mem_alloc(bytes);
    if (t == NULL)
        return err_set(err, ST_NOMEM, "out of memory for coarse centroids count=%u", c->coarse);
    t->dim = c->dim;
    for (uint32_t g = 0; g < c->coarse; g++)
        rabitq_decode(shape, c->coarse_codes + g * rabitq_code_bytes(shape),
                      t->values + (size_t)g * c->dim);
    *out = t;
    return ST_OK;
}

void cells_centroids_free(struct cells_centroids *t)
{
    mem_free(t);
}

void cells_encode(const struct cells *c, const struct cells_centroids *t, uint32_t coarse,
                  const float *vector, float *scratch, uint8_t *row_code, uint8_t *short_code)
{
    const float *centroid = t->values + (size_t)coarse * c->dim;
    const float *around = c->metric == VMETRIC_DOT ? NULL : centroid;

    for (uint32_t d = 0; d < c->dim; d++)
        scratch[d] = vector[d] - c->mean[d];
    rabitq_turn(c->dim, c->signs, scratch, scratch + c->dim);
    for (uint32_t d = 0; d < c->dim; d++)
        scratch[d] -= centroid[d];
    if (row_code != NULL)
        rabitq_encode((struct rabitq_shape){c->dim, CELLS_ROW_BITS}, scratch, around, row_code);
    if (short_code != NULL)
        rabitq_encode((struct rabitq_shape){c->dim, c->short_bits}, scratch, around, short_code);
}
