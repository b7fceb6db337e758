#include "tests/unit/snapshot/fold_codes.h"

#include "base/mem.h"
#include "index/cells.h"
#include "snapshot/cold_source.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

struct cell { /* what the object has of one coarse cell */
    struct buf records, codes, vectors;
};

static void get(struct cold_source *s, uint64_t offset, uint64_t bytes, struct buf *out)
{
    assert_int_equal(cold_source_get(s, offset, bytes, 1, NULL, NULL, out, NULL), ST_OK);
}

static void read_cell(struct cold_source *s, uint16_t at, uint32_t coarse, struct cell *out)
{
    const struct cold_field *f = &s->footer.fields[at];
    uint32_t first = f->coarse_first_row[coarse];
    uint32_t count = f->coarse_first_row[coarse + 1] - first;
    uint64_t offset, bytes;

    *out = (struct cell){{0}, {0}, {0}};
    cold_records_range(&s->footer, at, first, count, &offset, &bytes);
    get(s, offset, bytes, &out->records);
    cold_codes_range(&s->footer, at, coarse, &offset, &bytes);
    get(s, offset, bytes, &out->codes);
    cold_vectors_range(&s->footer, at, first, count, &offset, &bytes);
    get(s, offset, bytes, &out->vectors);
}

static void check_cell(struct cold_source *s, uint16_t at, uint32_t coarse,
                       const struct cells *cells, const struct cells_centroids *centroids)
{
    const struct cold_field *f = &s->footer.fields[at];
    uint32_t first = f->coarse_first_row[coarse];
    size_t row_bytes = rabitq_code_bytes((struct rabitq_shape){f->dim, CELLS_ROW_BITS});
    size_t short_bytes = rabitq_code_bytes((struct rabitq_shape){f->dim, f->short_bits});
    uint8_t *row = calloc(row_bytes, 1), *small = calloc(short_bytes, 1);
    float *vector = calloc(f->dim, sizeof *vector), *scratch = calloc(f->dim, 2 * sizeof *scratch);
    const uint8_t *codes;
    struct cell c;

    read_cell(s, at, coarse, &c);
    assert_int_equal(cold_records_check(&s->footer, at, first, buf_slice(&c.records), NULL), ST_OK);
    assert_int_equal(cold_codes_check(&s->footer, at, coarse, buf_slice(&c.codes), &codes, NULL),
                     ST_OK);
    assert_int_equal(cold_vectors_check(&s->footer, at, first, buf_slice(&c.vectors), NULL), ST_OK);
    for (uint32_t i = 0; i < f->coarse_first_row[coarse + 1] - first; i++) {
        struct cold_record record;

        cold_record_at(&s->footer, at, first, buf_slice(&c.records), i, &record);
        cold_vector_at(&s->footer, at, buf_slice(&c.vectors), i, vector);
        cells_encode(cells, centroids, coarse, vector, scratch, row, small);
        assert_memory_equal(record.code, row, row_bytes);
        assert_memory_equal(codes + i * short_bytes, small, short_bytes);
    }
    free(row);
    free(small);
    free(vector);
    free(scratch);
    buf_free(&c.records);
    buf_free(&c.codes);
    buf_free(&c.vectors);
}

uint32_t fold_codes_check(const struct ask *ask, const uint8_t collection[16],
                          const struct manifest_cold *named)
{
    struct cold_source *s = mem_zero(sizeof *s); /* the footer alone is large */
    uint32_t coarse = 0;

    assert_non_null(s);
    assert_int_equal(cold_source_open(ask, collection, named, s, NULL), ST_OK);
    for (uint16_t at = 0; at < s->footer.field_count; at++) {
        struct cells_centroids *centroids;
        struct cells cells;

        if (s->footer.fields[at].rows == 0)
            continue;
        cold_field_cells(&s->footer.fields[at], &cells);
        assert_int_equal(cells_check(&cells, NULL), ST_OK);
        assert_int_equal(cells_centroids(&cells, &centroids, NULL), ST_OK);
        for (uint32_t i = 0; i < cells.coarse; i++, coarse++)
            check_cell(s, at, i, &cells, centroids);
        cells_centroids_free(centroids);
    }
    cold_source_close(s);
    mem_free(s);
    return coarse;
}
