/* What numbers of a cold segment must be, whoever says them, and what follows from them. */
#include "index/cells.h"
#include "segment/cold_internal.h"

#include <math.h>

static_assert((int)COLD_WORTH == (int)CELLS_WORTH, "docs/formats/cold-segment.md, worth");

void cold_field_cells(const struct cold_field *f, struct cells *out)
{
    *out = (struct cells){.dim = f->dim,
                          .metric = (enum vmetric)f->metric,
                          .short_bits = f->short_bits,
                          .rows = f->rows,
                          .coarse = f->coarse,
                          .fine = f->fine,
                          .signs = f->signs,
                          .mean = f->mean,
                          .coarse_codes = f->coarse_codes,
                          .fine_codes = f->fine_codes,
                          .fine_rows = f->fine_rows,
                          .fine_spread = f->fine_spread,
                          .coarse_first_fine = f->coarse_first_fine,
                          .coarse_first_row = f->coarse_first_row,
                          .worth = f->worth};
}

static bool field_ok(const struct cold_footer *f, uint16_t at)
{
    const struct cold_field *c = &f->fields[at];

    for (uint16_t i = 0; i < at; i++)
        if (f->fields[i].field == c->field)
            return false;
    if (c->dim == 0 || c->dim > RECORD_DIM_MAX || c->metric < VMETRIC_COSINE ||
        c->metric > VMETRIC_L1)
        return false;
    if (c->short_bits != 1 && c->short_bits != 2 && c->short_bits != 4)
        return false;
    if (c->rows > f->rows || c->coarse > c->fine || c->fine > c->rows)
        return false;
    return (c->rows == 0) == (c->coarse == 0) && (c->rows == 0) == (c->fine == 0);
}

status cold_head_check(const struct cold_footer *f, status code, struct err *err)
{
    if (f->rows == 0 || f->lsn_min == 0 || f->lsn_min > f->lsn_max)
        return err_set(err, code,
                       "cold segment: rows=%" PRIu32 " lsns %" PRIu64 " to %" PRIu64
                       " out of range",
                       f->rows, f->lsn_min, f->lsn_max);
    if (!cold_id_form_ok(f->id_form, f->id_bytes) || f->field_count > COLD_FIELDS_MAX)
        return err_set(err, code, "cold segment: id form %d of %u bytes or %u fields out of range",
                       (int)f->id_form, f->id_bytes, f->field_count);
    for (uint16_t i = 0; i < f->field_count; i++)
        if (!field_ok(f, i))
            return err_set(err, code,
                           "cold segment: field %u out of range dim=%" PRIu32 " rows=%" PRIu32
                           " coarse=%" PRIu32 " fine=%" PRIu32,
                           f->fields[i].field, f->fields[i].dim, f->fields[i].rows,
                           f->fields[i].coarse, f->fields[i].fine);
    return ST_OK;
}

/* Rows of each cell; every first follows from the one before. */
static bool cells_ok(const struct cold_field *c)
{
    uint64_t row = 0;
    uint32_t fine = 0;

    for (uint32_t i = 0; i < c->coarse; i++) {
        if (c->coarse_first_fine[i] != fine || c->coarse_first_row[i] != row ||
            c->coarse_first_fine[i + 1] <= fine || c->coarse_first_fine[i + 1] > c->fine)
            return false;
        for (; fine < c->coarse_first_fine[i + 1]; fine++) {
            if (c->fine_rows[fine] == 0)
                return false;
            row += c->fine_rows[fine];
        }
        if (row > c->rows)
            return false;
    }
    return fine == c->fine && row == c->rows && c->coarse_first_row[c->coarse] == row;
}

status cold_fields_check(const struct cold_footer *f, status code, struct err *err)
{
    for (uint16_t i = 0; i < f->field_count; i++) {
        const struct cold_field *c = &f->fields[i];

        if (c->rows == 0)
            continue;
        if (!cells_ok(c))
            return err_set(err, code, "cold segment: the cells of field %u are not its rows",
                           c->field);
        for (uint32_t d = 0; d < c->dim; d++)
            if (!isfinite(c->mean[d]))
                return err_set(err, code, "cold segment: the mean of field %u is not finite",
                               c->field);
    }
    return ST_OK;
}

uint64_t cold_place_sections(struct cold_footer *f)
{
    uint64_t at = CONTAINER_HEADER_BYTES;

    for (uint16_t i = 0; i < f->field_count; i++) {
        struct cold_field *c = &f->fields[i];

        c->record_bytes = (uint32_t)(RECORD_AT_ID + f->id_bytes + cold_row_code_bytes(c) +
                                     (i > 0 ? RECORD_ORDINAL_BYTES : 0));
        c->records_at = at;
        c->codes_at = c->records_at + (uint64_t)c->rows * c->record_bytes;
        c->vectors_at = c->codes_at + (uint64_t)c->rows * cold_short_code_bytes(c) +
                        (uint64_t)c->coarse * CODES_HEADER_BYTES;
        at = c->vectors_at + (uint64_t)c->rows * cold_vector_bytes(c);
    }
    f->payload_at = at;
    f->ids_at = at + f->payload_offsets[f->payload_blocks];
    return f->ids_at + (uint64_t)f->id_blocks * COLD_ID_BLOCK_BYTES;
}
