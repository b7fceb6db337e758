/* A segment, its checksums mended after each change. What passes its check can be read to the end
 * and written again to a segment that says the same. */
#include "segment/segment.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/mutate.h"

#include <stdlib.h>

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t bytes, size_t bytes_max, unsigned seed)
{
    return mutate_container(data, bytes, bytes_max, seed, CONTAINER_SEGMENT, NULL);
}

enum { VECTORS_MAX = RECORD_FIELDS_MAX };

/* As docs/formats/record.md: u16 field, varint dim, floats. */
static status copy_row(void *arg, const struct segment_row *row, struct err *err)
{
    struct record_vector vectors[VECTORS_MAX];
    float *values[VECTORS_MAX];
    struct rd r = rd_make(row->row.vectors);
    bool finite = true;
    status st;

    FUZZ_CHECK(row->lsn > 0 && row->row.vector_count <= VECTORS_MAX);
    for (uint16_t i = 0; i < row->row.vector_count; i++) {
        vectors[i] = (struct record_vector){.field = rd_u16(&r)};
        vectors[i].dim = rd_u32(&r);
        FUZZ_CHECK(rd_left(&r) / sizeof(float) >= vectors[i].dim);
        values[i] = malloc(vectors[i].dim * sizeof(float) + 1);
        for (uint32_t d = 0; d < vectors[i].dim; d++)
            values[i][d] = rd_f32(&r);
        vectors[i].values = values[i];
        st = record_row_vector(&row->row, vectors[i].field, values[i], vectors[i].dim, NULL);
        FUZZ_CHECK(st == ST_OK || st == ST_CORRUPT);
        finite = finite && st == ST_OK;
    }
    FUZZ_CHECK(!r.bad && rd_left(&r) == 0);
    st = arg == NULL || !finite ? ST_OK
                                : segment_add_row(arg, row->lsn, row->inserted_at_ns, &row->row.id,
                                                  row->row.external_id, row->row.payload, vectors,
                                                  row->row.vector_count, err);
    for (uint16_t i = 0; i < row->row.vector_count; i++)
        free(values[i]);
    return finite ? st : err_set(err, ST_CORRUPT, "not finite");
}

static status copy_tombstone(void *arg, uint64_t lsn, const struct docid *id, struct err *err)
{
    FUZZ_CHECK(lsn > 0);
    return arg == NULL ? ST_OK : segment_add_tombstone(arg, lsn, id, err);
}

static void write_again(struct segment *s)
{
    const struct segment_head *head = segment_head(s);
    struct segment_head now;
    struct segment_writer *w;
    struct segment *again;
    struct slice bytes;
    status st;

    FUZZ_CHECK(segment_create(head->collection, head->start_lsn, &w, NULL) == ST_OK);
    st = segment_each_row(s, copy_row, w, NULL);
    FUZZ_CHECK(st == ST_OK || st == ST_CORRUPT); /* a value that is not finite */
    if (st == ST_OK) {
        FUZZ_CHECK(segment_each_tombstone(s, copy_tombstone, w, NULL) == ST_OK);
        FUZZ_CHECK(segment_finish(w, &now, &bytes, NULL) == ST_OK);
        FUZZ_CHECK(memcmp(&now, head, sizeof now) == 0);
        FUZZ_CHECK(segment_open(bytes, head->collection, &again, NULL) == ST_OK);
        FUZZ_CHECK(segment_check(again, NULL) == ST_OK);
        FUZZ_CHECK(memcmp(segment_head(again), head, sizeof now) == 0);
        segment_close(again);
    }
    segment_writer_destroy(w);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    uint8_t *copy = fuzz_copy(data, bytes);
    struct err err = {0};
    struct segment *s;

    if (bytes >= 32 &&
        fuzz_said(segment_open(slice_make(copy, bytes), copy + 8, &s, &err), &err) == ST_OK) {
        if (fuzz_said(segment_check(s, &err), &err) == ST_OK) {
            write_again(s);
        } else {
            (void)fuzz_said(segment_each_row(s, copy_row, NULL, &err), &err);
            (void)fuzz_said(segment_each_tombstone(s, copy_tombstone, NULL, &err), &err);
        }
        segment_close(s);
    }
    free(copy);
    return 0;
}
