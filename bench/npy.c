#include "bench/npy.h"

#include "base/rand.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { HEADER_BYTES_MAX = 4096 };

struct layout {
    char type[8]; /* "<f4" */
    unsigned long rows, dim;
    size_t bytes; /* of one value */
};

/* The header is a Python dictionary; what it may say is little enough to be searched for. */
static bool header_parse(const char *text, struct layout *out)
{
    const char *type = strstr(text, "'descr': '"), *shape = strstr(text, "'shape': (");

    if (type == NULL || shape == NULL || strstr(text, "'fortran_order': False") == NULL ||
        sscanf(type + 10, "%7[^']", out->type) != 1 ||
        sscanf(shape + 10, "%lu, %lu)", &out->rows, &out->dim) != 2)
        return false;
    if (strcmp(out->type, "<f4") == 0)
        out->bytes = 4;
    else if (strcmp(out->type, "<f2") == 0)
        out->bytes = 2;
    else if (strcmp(out->type, "|u1") == 0)
        out->bytes = 1;
    else
        return false;
    return out->rows > 0 && out->dim > 0 && out->rows < UINT32_MAX && out->dim <= 65535;
}

static bool header_read(FILE *f, struct layout *out)
{
    unsigned char lead[12];
    char text[HEADER_BYTES_MAX + 1];
    size_t bytes;

    if (fread(lead, 1, 10, f) != 10 || memcmp(lead, "\x93NUMPY", 6) != 0)
        return false;
    bytes = lead[8] | (size_t)lead[9] << 8;
    if (lead[6] >= 2) {
        if (fread(lead + 10, 1, 2, f) != 2)
            return false;
        bytes |= (size_t)lead[10] << 16 | (size_t)lead[11] << 24;
    }
    if (bytes > HEADER_BYTES_MAX || fread(text, 1, bytes, f) != bytes)
        return false;
    text[bytes] = '\0';
    return header_parse(text, out);
}

static float half(uint16_t h)
{
    uint32_t sign = (uint32_t)(h & 0x8000) << 16, exponent = h >> 10 & 31, fraction = h & 1023;
    uint32_t bits;
    float value;

    if (exponent == 0) {
        value = (float)fraction * 0x1.0p-24f;
        return sign != 0 ? -value : value;
    }
    bits = exponent == 31 ? 0x7f800000u : (exponent + 112) << 23;
    bits |= sign | fraction << 13;
    memcpy(&value, &bits, sizeof(value));
    return value;
}

static void row_widen(const struct layout *l, const unsigned char *in, float *out)
{
    for (size_t i = 0; i < l->dim; i++) {
        if (l->bytes == 4)
            memcpy(&out[i], in + 4 * i, 4);
        else if (l->bytes == 2)
            out[i] = half((uint16_t)(in[2 * i] | in[2 * i + 1] << 8));
        else
            out[i] = in[i];
    }
}

static status rows_read(FILE *f, const struct layout *l, struct npy *out, struct err *err)
{
    unsigned char *row = malloc(l->dim * l->bytes);
    status st = ST_OK;

    out->values = malloc((size_t)out->rows * out->dim * sizeof(float));
    if (row == NULL || out->values == NULL)
        st = err_set(err, ST_NOMEM, "no memory for %u rows", out->rows);
    for (uint32_t i = 0; i < out->rows && st == ST_OK; i++) {
        if (fread(row, l->bytes, l->dim, f) != l->dim)
            st = err_set(err, ST_CORRUPT, "file ends in row %u", i);
        else
            row_widen(l, row, out->values + (size_t)i * out->dim);
    }
    free(row);
    if (st != ST_OK)
        npy_free(out);
    return st;
}

status npy_read(const char *path, uint32_t rows_max, struct npy *out, struct err *err)
{
    struct layout l;
    struct npy n = {0};
    FILE *f = fopen(path, "rb");
    status st;

    if (f == NULL)
        return err_set_errno(err, errno, "open %s", path);
    if (!header_read(f, &l)) {
        fclose(f);
        return err_set(err, ST_CORRUPT, "%s is no two-dimensional .npy of f32, f16 or u8", path);
    }
    n.rows = rows_max > 0 && l.rows > rows_max ? rows_max : (uint32_t)l.rows;
    n.dim = (uint32_t)l.dim;
    st = rows_read(f, &l, &n, err);
    fclose(f);
    if (st != ST_OK)
        return err_wrap(err, st, "read %s", path);
    *out = n;
    return ST_OK;
}

void npy_free(struct npy *n)
{
    free(n->values);
    memset(n, 0, sizeof(*n));
}

void npy_row(const struct npy *n, uint32_t row, float *out)
{
    const float *a = n->values + (size_t)(row % n->rows) * n->dim;
    const float *other = n->values + (size_t)((row * 7919u + 13u) % n->rows) * n->dim;
    struct rand_seeded rand;

    if (row < n->rows) {
        memcpy(out, a, n->dim * sizeof *out);
        return;
    }
    rand_seeded_init(&rand, row);
    for (uint32_t d = 0; d < n->dim; d++)
        out[d] = a[d] + 0.5f * other[d] +
                 0.02f * ((float)rand_below(&rand.source, 2001) / 1000.0f - 1.0f);
}
