/* A file as `tiervec import` is given it: the first byte chooses the format. Rows that are taken,
 * written as export writes them, are read as the same rows; a line that is taken, put once more,
 * is the same text. */
#include "base/npy.h"
#include "cli/bulk_file.h"
#include "cli/bulk_rows.h"
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>

enum { OUT_BYTES_MAX = 64 << 20 };

struct seen {
    struct buf rows; /* as .fvecs or lines */
    uint64_t count;
    uint32_t dim;
};

static void put_twice(struct bulk_rows *w, struct slice line, uint64_t number)
{
    struct err err = {0};
    struct buf once;
    struct buf twice;

    buf_init(&once, OUT_BYTES_MAX);
    buf_init(&twice, OUT_BYTES_MAX);
    if (fuzz_said(bulk_put_line(w, &once, line, number, &err), &err) == ST_OK) {
        FUZZ_CHECK(bulk_put_line(w, &twice, buf_slice(&once), 0, &err) == ST_OK);
        FUZZ_CHECK(slice_equal(buf_slice(&once), buf_slice(&twice)));
    }
    buf_free(&once);
    buf_free(&twice);
}

static void take_row(struct bulk_rows *w, const struct bulk_reader *r, struct slice row,
                     struct seen *seen)
{
    struct bulk_field *field = NULL;
    struct err err = {0};
    struct buf text;

    seen->count++;
    if (r->format == BULK_NDJSON) {
        FUZZ_CHECK(row.bytes > 0 && memchr(row.data, '\n', row.bytes) == NULL);
        put_twice(w, row, r->row);
        return;
    }
    FUZZ_CHECK(row.bytes == (size_t)r->dim * sizeof(float));
    seen->dim = r->dim;
    if (r->format == BULK_FVECS)
        buf_put_u32(&seen->rows, r->dim);
    buf_put_slice(&seen->rows, row);
    buf_init(&text, OUT_BYTES_MAX);
    if (fuzz_said(bulk_field_meant(w, NULL, &field, &err), &err) == ST_OK)
        (void)fuzz_said(bulk_put_vector(w, &text, field, row, r->row, &err), &err);
    buf_free(&text);
}

/* ST_OK: it was read to its end. */
static status read_file(struct slice bytes, enum bulk_format format, struct bulk_rows *w,
                        struct seen *seen)
{
    FILE *f = fmemopen((void *)(uintptr_t)bytes.data, bytes.bytes, "rb");
    struct err err = {0};
    struct bulk_reader r;
    struct slice row;
    bool got = true;
    status st;

    FUZZ_CHECK(f != NULL);
    st = fuzz_said(bulk_reader_open(&r, f, format, &err), &err);
    while (st == ST_OK && got) {
        st = fuzz_said(bulk_reader_next(&r, &row, &got, &err), &err);
        if (st == ST_OK && got)
            take_row(w, &r, row, seen);
    }
    if (st == ST_OK) {
        FUZZ_CHECK(r.offset == bytes.bytes);
        seen->dim = r.dim;
    }
    bulk_reader_close(&r);
    (void)fclose(f);
    return st;
}

static void again(enum bulk_format format, const struct seen *seen, struct bulk_rows *w)
{
    struct seen other = {0};
    struct buf file;

    buf_init(&file, OUT_BYTES_MAX);
    buf_init(&other.rows, OUT_BYTES_MAX);
    if (format == BULK_NPY)
        npy_put_header(&file, seen->count, seen->dim);
    buf_put_slice(&file, buf_slice(&seen->rows));
    if (file.bytes > 0) {
        FUZZ_CHECK(read_file(buf_slice(&file), format, w, &other) == ST_OK);
        FUZZ_CHECK(other.count == seen->count && other.dim == seen->dim);
        FUZZ_CHECK(slice_equal(buf_slice(&other.rows), buf_slice(&seen->rows)));
    }
    buf_free(&other.rows);
    buf_free(&file);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    enum bulk_format format = bytes > 0 ? (enum bulk_format)(data[0] % 3) : BULK_NDJSON;
    struct bulk_rows w = {.open = true};
    struct seen seen = {0};
    struct err err = {0};
    uint8_t *copy;

    if (bytes < 2)
        return 0;
    copy = fuzz_copy(data + 1, bytes - 1);
    buf_init(&seen.rows, OUT_BYTES_MAX);
    FUZZ_CHECK(bulk_rows_open(&w, &err) == ST_OK);
    if (read_file(slice_make(copy, bytes - 1), format, &w, &seen) == ST_OK && format != BULK_NDJSON)
        again(format, &seen, &w);
    bulk_rows_close(&w);
    buf_free(&seen.rows);
    free(copy);
    return 0;
}
