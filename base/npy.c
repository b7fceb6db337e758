#include "base/npy.h"

#include <inttypes.h>

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

static status check_shape(const struct npy_shape *s, uint64_t *rows, uint32_t *dim, struct err *err)
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
    if (s->sides[1] == 0 || s->sides[1] > NPY_DIM_MAX)
        return err_set(err, ST_INVALID,
                       "the .npy has rows of %" PRIu64 " values, 1 to %d are taken", s->sides[1],
                       NPY_DIM_MAX);
    *rows = s->sides[0];
    *dim = (uint32_t)s->sides[1];
    return ST_OK;
}

status npy_read_header(struct slice have, size_t *bytes, uint64_t *rows, uint32_t *dim,
                       struct err *err)
{
    static const char magic[] = "\x93NUMPY";
    struct npy_shape shape = {0};
    struct literal l;
    unsigned version;
    size_t prefix;
    size_t text;

    *bytes = 0;
    if (have.bytes > 0 && memcmp(have.data, magic, have.bytes < 6 ? have.bytes : 6) != 0)
        return err_set(err, ST_INVALID, "it is no .npy: it does not begin as one");
    if (have.bytes < NPY_PREFIX_BYTES)
        return ST_OK;
    version = have.data[6];
    if (version < 1 || version > 3 || have.data[7] != 0)
        return err_set(err, ST_INVALID, "the .npy is of version %u.%u, 1.0 to 3.0 are known",
                       version, (unsigned)have.data[7]);
    prefix = NPY_PREFIX_BYTES + (version == 1 ? 2u : 4u);
    if (have.bytes < prefix)
        return ST_OK;
    text =
        version == 1 ? le_u16(have.data + NPY_PREFIX_BYTES) : le_u32(have.data + NPY_PREFIX_BYTES);
    if (text > NPY_HEADER_BYTES_MAX)
        return err_set(err, ST_INVALID, "the header of the .npy has %zu bytes, the limit is %d",
                       text, NPY_HEADER_BYTES_MAX);
    if (have.bytes - prefix < text)
        return ST_OK;
    l = (struct literal){(const char *)have.data + prefix, (const char *)have.data + prefix + text};
    if (!take_dict(&l, &shape))
        return err_set(err, ST_INVALID, "the header of the .npy is none that NumPy writes");
    *bytes = prefix + text;
    return check_shape(&shape, rows, dim, err);
}

void npy_put_header(struct buf *out, uint64_t rows, uint32_t dim)
{
    size_t from = out->bytes;

    buf_put(out, "\x93NUMPY\x01\x00", NPY_PREFIX_BYTES);
    buf_put_u16(out, NPY_WRITTEN_BYTES - NPY_PREFIX_BYTES - 2);
    buf_printf(out,
               "{'descr': '<f4', 'fortran_order': False, 'shape': (%" PRIu64 ", %" PRIu32 "), }",
               rows, dim);
    while (!out->failed && out->bytes - from < NPY_WRITTEN_BYTES - 1)
        buf_put_u8(out, ' ');
    buf_put_u8(out, '\n');
}
