#include "cli/bulk_file.h"

#include "base/npy.h"

#include <errno.h>
#include <inttypes.h>

enum { PIECE_BYTES = 64 * 1024, FLOAT_BYTES = 4 };

static const char *const FORMATS[] = {
    [BULK_NDJSON] = "ndjson", [BULK_NPY] = "npy", [BULK_FVECS] = "fvecs"};

const char *bulk_format_name(enum bulk_format f)
{
    return FORMATS[f];
}

bool bulk_format_parse(const char *name, enum bulk_format *out)
{
    for (size_t i = 0; i < COUNT_OF(FORMATS); i++) {
        if (strcmp(name, FORMATS[i]) == 0) {
            *out = (enum bulk_format)i;
            return true;
        }
    }
    return false;
}

enum bulk_format bulk_format_of(const char *path)
{
    const char *end = strrchr(path, '.');
    enum bulk_format f = BULK_NDJSON;

    return end != NULL && bulk_format_parse(end + 1, &f) ? f : BULK_NDJSON;
}

/* --- pieces of the file --- */

static size_t left(const struct bulk_reader *r)
{
    return r->piece.bytes - r->at;
}

/* One piece more behind what is left; *end when the file has none. */
static status more(struct bulk_reader *r, bool *end, struct err *err)
{
    size_t got;

    if (r->at > 0 && left(r) > 0)
        memmove(r->piece.data, r->piece.data + r->at, left(r));
    r->piece.bytes = left(r);
    r->at = 0;
    if (!buf_reserve(&r->piece, PIECE_BYTES))
        return buf_status(&r->piece, err);
    got = fread(r->piece.data + r->piece.bytes, 1, PIECE_BYTES, r->file);
    if (got < PIECE_BYTES && ferror(r->file))
        return err_set_errno(err, errno, "read the file");
    r->piece.bytes += got;
    *end = got == 0;
    return ST_OK;
}

/* Bytes to stand in one piece, fewer where the file ends. */
static status want(struct bulk_reader *r, size_t bytes, struct err *err)
{
    bool end = false;
    status st = ST_OK;

    while (st == ST_OK && left(r) < bytes && !end)
        st = more(r, &end, err);
    return st;
}

static struct slice take(struct bulk_reader *r, size_t bytes)
{
    struct slice s = slice_make(r->piece.data + r->at, bytes);

    r->at += bytes;
    r->offset += bytes;
    return s;
}

/* --- npy --- */

static status read_npy_header(struct bulk_reader *r, struct err *err)
{
    size_t wanted = NPY_PREFIX_BYTES;
    size_t bytes = 0;
    status st;

    for (;;) {
        st = want(r, wanted, err);
        if (st == ST_OK)
            st = npy_read_header(slice_make(r->piece.data + r->at, left(r)), &bytes, &r->rows,
                                 &r->dim, err);
        if (st != ST_OK || bytes > 0)
            break;
        if (left(r) < wanted)
            return err_set(err, ST_INVALID,
                           left(r) < NPY_PREFIX_BYTES ? "it is no .npy: it does not begin as one"
                                                      : "the .npy ends within its header");
        wanted = left(r) + 1;
    }
    if (st == ST_OK)
        (void)take(r, bytes);
    return st;
}

static status next_npy(struct bulk_reader *r, struct slice *row, bool *got, struct err *err)
{
    size_t bytes = (size_t)r->dim * FLOAT_BYTES;
    status st = want(r, bytes, err);

    if (st != ST_OK)
        return st;
    if (r->row == r->rows && left(r) == 0) {
        *got = false;
        return ST_OK;
    }
    if (r->row == r->rows)
        return err_set(err, ST_INVALID,
                       "the .npy goes on behind the %" PRIu64 " rows of its header", r->rows);
    if (left(r) < bytes)
        return err_set(err, ST_INVALID, "the .npy ends within row %" PRIu64 " of %" PRIu64, r->row,
                       r->rows);
    *row = take(r, bytes);
    r->row++;
    *got = true;
    return ST_OK;
}

/* --- fvecs --- */

static status next_fvecs(struct bulk_reader *r, struct slice *row, bool *got, struct err *err)
{
    uint32_t dim;
    size_t bytes;
    status st = want(r, FLOAT_BYTES, err);

    if (st != ST_OK)
        return st;
    *got = left(r) > 0;
    if (!*got)
        return ST_OK;
    if (left(r) < FLOAT_BYTES)
        return err_set(err, ST_INVALID, "the .fvecs ends within row %" PRIu64, r->row);
    dim = le_u32(r->piece.data + r->at);
    if (dim == 0 || dim > BULK_DIM_MAX)
        return err_set(err, ST_INVALID,
                       "row %" PRIu64 " of the .fvecs has %" PRIu32 " values, 1 to %d are taken",
                       r->row, dim, BULK_DIM_MAX);
    if (r->dim != 0 && dim != r->dim)
        return err_set(err, ST_INVALID,
                       "row %" PRIu64 " of the .fvecs has %" PRIu32
                       " values, the rows before have %" PRIu32,
                       r->row, dim, r->dim);
    bytes = (size_t)dim * FLOAT_BYTES;
    st = want(r, FLOAT_BYTES + bytes, err);
    if (st != ST_OK)
        return st;
    if (left(r) < FLOAT_BYTES + bytes)
        return err_set(err, ST_INVALID, "the .fvecs ends within row %" PRIu64, r->row);
    (void)take(r, FLOAT_BYTES);
    *row = take(r, bytes);
    r->dim = dim;
    r->row++;
    return ST_OK;
}

/* --- lines --- */

/* How many bytes the next line has, its end too; the last may want its end. */
static status line_bytes(struct bulk_reader *r, size_t *out, struct err *err)
{
    size_t looked = 0;
    bool end = false;

    for (;;) {
        const uint8_t *from = r->piece.data + r->at;
        const uint8_t *found =
            left(r) > looked ? memchr(from + looked, '\n', left(r) - looked) : NULL;
        status st;

        *out = found != NULL ? (size_t)(found - from) + 1 : left(r);
        if (*out > BULK_LINE_BYTES_MAX)
            return err_set(err, ST_INVALID, "line %" PRIu64 " has more than %d MiB", r->row + 1,
                           BULK_LINE_BYTES_MAX >> 20);
        if (found != NULL || end)
            return ST_OK;
        looked = left(r);
        st = more(r, &end, err);
        if (st != ST_OK)
            return st;
    }
}

static struct slice without_end(struct slice s)
{
    while (s.bytes > 0 && strchr("\r\n\t ", s.data[s.bytes - 1]) != NULL &&
           s.data[s.bytes - 1] != 0)
        s.bytes--;
    return s;
}

static status next_line(struct bulk_reader *r, struct slice *row, bool *got, struct err *err)
{
    for (;;) {
        size_t bytes;
        status st = line_bytes(r, &bytes, err);

        *got = st == ST_OK && bytes > 0;
        if (!*got)
            return st;
        *row = without_end(take(r, bytes));
        r->row++;
        if (row->bytes > 0)
            return ST_OK;
    }
}

/* --- the reader --- */

status bulk_reader_open(struct bulk_reader *r, FILE *file, enum bulk_format format, struct err *err)
{
    *r = (struct bulk_reader){.file = file, .format = format};
    buf_init(&r->piece, (size_t)BULK_LINE_BYTES_MAX + 2 * (size_t)PIECE_BYTES);
    if (!buf_reserve(&r->piece, PIECE_BYTES))
        return buf_status(&r->piece, err);
    return format == BULK_NPY ? read_npy_header(r, err) : ST_OK;
}

void bulk_reader_close(struct bulk_reader *r)
{
    buf_free(&r->piece);
}

status bulk_reader_seek(struct bulk_reader *r, uint64_t offset, uint64_t row, struct err *err)
{
    if (offset > INT64_MAX || fseeko(r->file, (off_t)offset, SEEK_SET) != 0)
        return err_set_errno(err, errno, "go to byte %" PRIu64 " of the file", offset);
    r->piece.bytes = 0;
    r->at = 0;
    r->offset = offset;
    r->row = row;
    return ST_OK;
}

status bulk_reader_next(struct bulk_reader *r, struct slice *row, bool *got, struct err *err)
{
    switch (r->format) {
    case BULK_NPY:
        return next_npy(r, row, got, err);
    case BULK_FVECS:
        return next_fvecs(r, row, got, err);
    case BULK_NDJSON:
        break;
    }
    return next_line(r, row, got, err);
}
