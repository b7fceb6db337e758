#include "api/units.h"

#include "base/npy.h"

#include <assert.h>
#include <inttypes.h>

enum { FLOAT_BYTES = 4 };

static_assert(UNITS_DIM_MAX == (int)NPY_DIM_MAX, "a row is as long in either format");

void units_init(struct units *c, enum units_format format, uint32_t dim, size_t unit_bytes_max)
{
    *c = (struct units){.format = format, .dim = dim, .unit_bytes_max = unit_bytes_max};
}

/* --- lines --- */

static struct slice without_blanks(struct slice s)
{
    while (s.bytes > 0 && s.data[s.bytes - 1] != 0 &&
           strchr("\r\n\t ", s.data[s.bytes - 1]) != NULL)
        s.bytes--;
    return s;
}

static enum units_step next_line(struct units *c, struct slice have, bool last, size_t *used,
                                 struct slice *unit, struct err *err)
{
    size_t at = 0;

    while (at < have.bytes) {
        const uint8_t *end = have.bytes - at > c->looked ? memchr(have.data + at + c->looked, '\n',
                                                                  have.bytes - at - c->looked)
                                                         : NULL;
        size_t bytes = end != NULL ? (size_t)(end - have.data) + 1 - at : have.bytes - at;

        *used = at;
        if (bytes > c->unit_bytes_max + 1) {
            (void)err_set(err, ST_INVALID, "it has more than %zu bytes", c->unit_bytes_max);
            return UNITS_BAD;
        }
        if (end == NULL && !last) {
            c->looked = bytes;
            return UNITS_MORE;
        }
        c->looked = 0;
        c->count++;
        *unit = without_blanks(slice_make(have.data + at, bytes));
        at += bytes;
        *used = at;
        if (unit->bytes > 0)
            return UNITS_UNIT;
    }
    return last ? UNITS_END : UNITS_MORE;
}

/* --- rows --- */

static enum units_step row_of(struct units *c, struct slice have, size_t before, bool last,
                              size_t *used, struct slice *unit, struct err *err)
{
    size_t bytes = (size_t)c->dim * FLOAT_BYTES;

    if (have.bytes - before < bytes) {
        if (!last)
            return UNITS_MORE;
        (void)err_set(err, ST_INVALID, "the body ends within it");
        return UNITS_BAD;
    }
    *unit = slice_make(have.data + before, bytes);
    *used = before + bytes;
    c->count++;
    return UNITS_UNIT;
}

static bool dim_fits(struct units *c, uint64_t dim, struct err *err)
{
    if (dim == 0 || dim > UNITS_DIM_MAX)
        (void)err_set(err, ST_INVALID, "a row has %" PRIu64 " values, 1 to %d are taken", dim,
                      UNITS_DIM_MAX);
    else if (c->dim != 0 && dim != c->dim)
        (void)err_set(err, ST_INVALID, "a row has %" PRIu64 " values, %" PRIu32 " are needed", dim,
                      c->dim);
    else
        return true;
    return false;
}

static enum units_step next_fvecs(struct units *c, struct slice have, bool last, size_t *used,
                                  struct slice *unit, struct err *err)
{
    if (have.bytes == 0)
        return last ? UNITS_END : UNITS_MORE;
    if (have.bytes < FLOAT_BYTES) {
        if (!last)
            return UNITS_MORE;
        (void)err_set(err, ST_INVALID, "the body ends within it");
        return UNITS_BAD;
    }
    if (!dim_fits(c, le_u32(have.data), err))
        return UNITS_BAD;
    c->dim = le_u32(have.data);
    return row_of(c, have, FLOAT_BYTES, last, used, unit, err);
}

static enum units_step read_shape(struct units *c, struct slice have, bool last, size_t *used,
                                  struct err *err)
{
    uint32_t dim = 0;
    status st = npy_read_header(have, used, &c->rows, &dim, err);

    if (st != ST_OK)
        return UNITS_BAD;
    if (*used == 0 && !last)
        return UNITS_MORE;
    if (*used == 0) {
        (void)err_set(err, ST_INVALID, "the .npy ends within its header");
        return UNITS_BAD;
    }
    if (!dim_fits(c, dim, err))
        return UNITS_BAD;
    c->dim = dim;
    c->has_shape = true;
    return UNITS_UNIT;
}

static enum units_step next_npy(struct units *c, struct slice have, bool last, size_t *used,
                                struct slice *unit, struct err *err)
{
    size_t before = 0;

    if (!c->has_shape) {
        enum units_step step = read_shape(c, have, last, &before, err);

        *used = before;
        if (step != UNITS_UNIT)
            return step;
    }
    if (c->count < c->rows) {
        struct slice rest = slice_make(have.data + before, have.bytes - before);
        size_t row_bytes = 0;
        enum units_step step = row_of(c, rest, 0, last, &row_bytes, unit, err);

        *used = before + row_bytes;
        return step;
    }
    if (have.bytes > before) {
        (void)err_set(err, ST_INVALID, "the .npy goes on behind the %" PRIu64 " rows of its header",
                      c->rows);
        return UNITS_BAD;
    }
    return last ? UNITS_END : UNITS_MORE;
}

enum units_step units_next(struct units *c, struct slice have, bool last, size_t *used,
                           struct slice *unit, struct err *err)
{
    *used = 0;
    switch (c->format) {
    case UNITS_NPY:
        return next_npy(c, have, last, used, unit, err);
    case UNITS_FVECS:
        return next_fvecs(c, have, last, used, unit, err);
    case UNITS_NDJSON:
        break;
    }
    return next_line(c, have, last, used, unit, err);
}
