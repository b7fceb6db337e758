#include "cli/bulk_file.h"

#include <errno.h>
#include <inttypes.h>

enum { PIECE_BYTES = 64 * 1024, FLOAT_BYTES = 4, NPY_PREFIX_BYTES = 8 };

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

struct literal { /* what Python would read */
    const char *at, *end;
};

static void skip_blanks(struct literal *l)
{
    while (l->at < l->end && (*l->at == ' ' || *l->at == '\n' || *l->at == '\t'))
        l->at++;
}

static bool take_sign(struct literal *l, char sign)
{
    skip_blanks(l);
    if (l->at == l->end || *l->at != sign)
        return false;
    l->at++;
    return true;
}

static bool take_word(struct literal *l, const char *word)
{
    size_t bytes = strlen(word);

    skip_blanks(l);
    if ((size_t)(l->end - l->at) < bytes || memcmp(l->at, word, bytes) != 0)
        return false;
    l->at += bytes;
    return true;
}

static bool take_text(struct literal *l, struct slice *out)
{
    const char *end;
    char quote;

    skip_blanks(l);
    if (l->at == l->end || (*l->at != '\'' && *l->at != '"'))
        return false;
    quote = *l->at++;
    end = memchr(l->at, quote, (size_t)(l->end - l->at));
    if (end == NULL)
        return false;
    *out = slice_make(l->at, (size_t)(end - l->at));
    l->at = end + 1;
    return true;
}

static bool take_number(struct literal *l, uint64_t *out)
{
    size_t digits = 0;
    uint64_t n = 0;

    skip_blanks(l);
    for (; l->at < l->end && *l->at >= '0' && *l->at <= '9' && digits < 18; l->at++, digits++)
        n = n * 10 + (uint64_t)(*l->at - '0');
    *out = n;
    return digits > 0;
}

struct npy_shape {
    bool has_descr, has_order, has_shape;
    struct slice descr;
    bool fortran;
    uint64_t sides[2];
    size_t count;
};

static bool take_shape(struct literal *l, struct npy_shape *out)
{
    uint64_t n;

    if (out->has_shape || !take_sign(l, '('))
        return false;
    out->has_shape = true;
    while (take_number(l, &n)) {
        if (out->count < COUNT_OF(out->sides))
            out->sides[out->count] = n;
        out->count++;
        if (!take_sign(l, ','))
            break;
    }
    return take_sign(l, ')');
}

static bool take_entry(struct literal *l, struct npy_shape *out)
{
    struct slice key;

    if (!take_text(l, &key) || !take_sign(l, ':'))
        return false;
    if (slice_equal(key, slice_text("shape")))
        return take_shape(l, out);
    if (slice_equal(key, slice_text("descr")) && !out->has_descr) {
        out->has_descr = true;
        return take_text(l, &out->descr);
    }
    if (!slice_equal(key, slice_text("fortran_order")) || out->has_order)
        return false;
    out->has_order = true;
    out->fortran = take_word(l, "True");
    return out->fortran || take_word(l, "False");
}

static bool take_dict(struct literal *l, struct npy_shape *out)
{
    if (!take_sign(l, '{'))
        return false;
    while (!take_sign(l, '}'))
        if (!take_entry(l, out) || (!take_sign(l, ',') && (l->at == l->end || *l->at != '}')))
            return false;
    skip_blanks(l);
    return l->at == l->end && out->has_descr && out->has_order && out->has_shape;
}

static status check_shape(struct bulk_reader *r, const struct npy_shape *s, struct err *err)
{
    if (!slice_equal(s->descr, slice_text("<f4")))
        return err_set(err, ST_INVALID, "the .npy holds '%.*s', '<f4' is needed: astype('<f4')",
                       (int)(s->descr.bytes < 32 ? s->descr.bytes : 32),
                       (const char *)s->descr.data);
    if (s->fortran)
        return err_set(err, ST_INVALID,
                       "the .npy is in Fortran order, rows one after the other are needed: "
                       "numpy.ascontiguousarray()");
    if (s->count != 2)
        return err_set(err, ST_INVALID, "the .npy has %zu dimensions, two are needed: rows, values",
                       s->count);
    if (s->sides[1] == 0 || s->sides[1] > BULK_DIM_MAX)
        return err_set(err, ST_INVALID,
                       "the .npy has rows of %" PRIu64 " values, 1 to %d are taken", s->sides[1],
                       BULK_DIM_MAX);
    r->rows = s->sides[0];
    r->dim = (uint32_t)s->sides[1];
    return ST_OK;
}

static status read_npy_header(struct bulk_reader *r, struct err *err)
{
    static const char magic[] = "\x93NUMPY";
    struct npy_shape shape = {0};
    struct literal l;
    struct slice text;
    struct rd rd;
    size_t bytes;
    unsigned version;
    status st = want(r, NPY_PREFIX_BYTES + 4, err);

    if (st != ST_OK)
        return st;
    if (left(r) < NPY_PREFIX_BYTES + 4 || memcmp(r->piece.data, magic, 6) != 0)
        return err_set(err, ST_INVALID, "the file is no .npy: it does not begin as one");
    version = r->piece.data[6];
    if (version < 1 || version > 3 || r->piece.data[7] != 0)
        return err_set(err, ST_INVALID, "the .npy is of version %u.%u, 1.0 to 3.0 are known",
                       version, (unsigned)r->piece.data[7]);
    (void)take(r, NPY_PREFIX_BYTES);
    rd = rd_make(take(r, version == 1 ? 2 : 4));
    bytes = version == 1 ? rd_u16(&rd) : rd_u32(&rd);
    if (bytes > BULK_NPY_HEADER_BYTES_MAX)
        return err_set(err, ST_INVALID, "the header of the .npy has %zu bytes, the limit is %d",
                       bytes, BULK_NPY_HEADER_BYTES_MAX);
    st = want(r, bytes, err);
    if (st != ST_OK)
        return st;
    if (left(r) < bytes)
        return err_set(err, ST_INVALID, "the .npy ends within its header");
    text = take(r, bytes);
    l = (struct literal){(const char *)text.data, (const char *)text.data + text.bytes};
    if (!take_dict(&l, &shape))
        return err_set(err, ST_INVALID, "the header of the .npy is none that NumPy writes");
    return check_shape(r, &shape, err);
}

void bulk_npy_put_header(struct buf *out, uint64_t rows, uint32_t dim)
{
    size_t from = out->bytes;

    buf_put(out, "\x93NUMPY\x01\x00", NPY_PREFIX_BYTES);
    buf_put_u16(out, BULK_NPY_WRITTEN_BYTES - NPY_PREFIX_BYTES - 2);
    buf_printf(out,
               "{'descr': '<f4', 'fortran_order': False, 'shape': (%" PRIu64 ", %" PRIu32 "), }",
               rows, dim);
    while (!out->failed && out->bytes - from < BULK_NPY_WRITTEN_BYTES - 1)
        buf_put_u8(out, ' ');
    buf_put_u8(out, '\n');
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
