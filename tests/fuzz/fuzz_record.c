/* Any bytes as a record: what is read to its end is written again to the same bytes, or to fewer
 * where a length stood in more bytes than it needs, and then stays. */
#include "base/json.h"
#include "segment/record.h"
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>

enum { ROOM = 1 << 22 };

/* False when a value is not finite, which the writer leaves to its caller. */
static bool put_row(struct record_writer *w, const struct record_row *row)
{
    struct record_vector vectors[RECORD_FIELDS_MAX];
    float *values[RECORD_FIELDS_MAX];
    struct rd r = rd_make(row->vectors);
    bool finite = true;

    FUZZ_CHECK(row->vector_count <= RECORD_FIELDS_MAX);
    for (uint16_t i = 0; i < row->vector_count; i++) {
        vectors[i] = (struct record_vector){.field = rd_u16(&r)};
        vectors[i].dim = rd_u32(&r);
        FUZZ_CHECK(vectors[i].dim > 0 && rd_left(&r) / sizeof(float) >= vectors[i].dim);
        values[i] = malloc(vectors[i].dim * sizeof(float));
        for (uint32_t d = 0; d < vectors[i].dim; d++)
            values[i][d] = rd_f32(&r);
        finite =
            record_row_vector(row, vectors[i].field, values[i], vectors[i].dim, NULL) == ST_OK &&
            finite;
        vectors[i].values = values[i];
    }
    FUZZ_CHECK(!r.bad && rd_left(&r) == 0);
    if (finite)
        record_put_row(w, &row->id, row->external_id, row->payload, vectors, row->vector_count);
    for (uint16_t i = 0; i < row->vector_count; i++)
        free(values[i]);
    return finite;
}

static status take_item(struct record *r, struct record_writer *w, bool *same, struct err *err)
{
    struct record_row row;
    struct slice key, value;
    struct docid id;
    status st;

    if (r->kind == RECORD_UPSERT) {
        st = record_next_row(r, &row, err);
        if (st == ST_OK) {
            FUZZ_CHECK(row.payload.bytes == 0 || jbin_check(row.payload, NULL) == ST_OK);
            *same = put_row(w, &row) && *same;
        }
    } else if (r->kind == RECORD_DELETE) {
        st = record_next_id(r, &id, err);
        if (st == ST_OK)
            record_put_id(w, &id);
    } else {
        st = record_next_setting(r, &key, &value, err);
        if (st == ST_OK)
            record_put_setting(w, key, value);
    }
    return st;
}

static void read_all(struct slice bytes, bool again)
{
    struct record r;
    struct record_writer w;
    struct buf out;
    struct err err = {0};
    uint32_t items = 0;
    bool same = true;
    status st = record_open(bytes, &r, &err);

    if (fuzz_said(st, &err) != ST_OK)
        return;
    buf_init(&out, ROOM);
    record_begin(&w, &out, r.kind, r.inserted_at_ns);
    while (st == ST_OK) {
        st = take_item(&r, &w, &same, &err);
        items += st == ST_OK;
    }
    if (st == ST_NOT_FOUND) {
        FUZZ_CHECK(items == r.rows);
        FUZZ_CHECK(!same || record_end(&w, &err) == ST_OK);
        FUZZ_CHECK(!same || out.bytes <= bytes.bytes);
        FUZZ_CHECK(!same || (again ? out.bytes < bytes.bytes : false) ||
                   slice_equal(buf_slice(&out), bytes));
        if (same && again)
            read_all(buf_slice(&out), false);
    } else {
        FUZZ_CHECK(fuzz_said(st, &err) == ST_CORRUPT);
    }
    buf_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    uint8_t *copy = fuzz_copy(data, bytes);

    read_all(slice_make(copy, bytes), true);
    free(copy);
    return 0;
}
