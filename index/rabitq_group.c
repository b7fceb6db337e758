/* Codes in groups of rows, and scanning them: four bits of a code at a time pick from a table of
 * what they add to the dot product with the query. A table has 16 entries of 7 bits around its
 * least, so that a register holds one, and the sums of two fit a byte. */
#include "index/rabitq_internal.h"

#include "base/bytes.h"
#include "base/mem.h"

#include <math.h>
#include <string.h>

enum { FACTOR_BYTES = 8, ENTRIES = 16 };

struct rabitq_tables {
    struct rabitq_shape shape;
    size_t bytes;      /* of a code without its factors */
    float scale, base; /* <x, T q> = base + scale * sum */
    uint8_t *tables;   /* bytes x 2 x ENTRIES */
};

static size_t packed_bytes(struct rabitq_shape shape)
{
    return rabitq_code_bytes(shape) - FACTOR_BYTES;
}

void rabitq_group(struct rabitq_shape shape, uint8_t *codes, size_t count, uint8_t *scratch)
{
    const size_t packed = packed_bytes(shape), code = packed + FACTOR_BYTES;

    for (size_t at = 0; at < count; at += KERNEL_GROUP) {
        const size_t rows = count - at < KERNEL_GROUP ? count - at : KERNEL_GROUP;
        uint8_t *group = codes + at * code, *factors = group + rows * packed;

        memcpy(scratch, group, rows * code);
        for (size_t r = 0; r < rows; r++) {
            const uint8_t *from = scratch + r * code;

            for (size_t i = 0; i < packed; i++)
                group[i * rows + r] = from[i];
            memcpy(factors + 4 * r, from + packed, 4);
            memcpy(factors + 4 * (rows + r), from + packed + 4, 4);
        }
    }
}

/* What each of 16 values of half a byte adds: numbers of `bits` bits, low ones first. */
static void half_byte(const struct rabitq_query *q, unsigned bits, uint32_t first, float *out)
{
    for (unsigned v = 0; v < ENTRIES; v++) {
        out[v] = 0;
        for (unsigned k = 0; k < 4 / bits && first + k < q->dim; k++)
            out[v] += (float)(v >> k * bits & ((1u << bits) - 1)) * q->turned[first + k];
    }
}

static void least_and_most(const float *v, float *least, float *most)
{
    *least = *most = v[0];
    for (unsigned i = 1; i < ENTRIES; i++) {
        *least = v[i] < *least ? v[i] : *least;
        *most = v[i] > *most ? v[i] : *most;
    }
}

static void tables_fill(struct rabitq_tables *t, const struct rabitq_query *q)
{
    const unsigned bits = t->shape.bits;
    const float middle = (float)(1u << bits) / 2.0f - 0.5f, twice = bits == 1 ? 2 : 1;
    float values[ENTRIES], least, most, widest = 0, per;
    double base = 0;

    for (size_t h = 0; h < 2 * t->bytes; h++) {
        half_byte(q, bits, (uint32_t)(h * (4 / bits)), values);
        least_and_most(values, &least, &most);
        widest = most - least > widest ? most - least : widest;
    }
    per = widest > 0 ? (float)KERNEL_TABLE_MAX / widest : 0;
    per = isfinite(per) ? per : 0;
    for (size_t h = 0; h < 2 * t->bytes; h++) {
        half_byte(q, bits, (uint32_t)(h * (4 / bits)), values);
        least_and_most(values, &least, &most);
        base += (double)least;
        for (unsigned v = 0; v < ENTRIES; v++) {
            float entry = (values[v] - least) * per + 0.5f;

            t->tables[h * ENTRIES + v] =
                (uint8_t)(entry < (float)KERNEL_TABLE_MAX ? entry : (float)KERNEL_TABLE_MAX);
        }
    }
    for (uint32_t i = 0; i < q->dim; i++)
        base -= (double)middle * (double)q->turned[i];
    t->scale = per > 0 ? twice / per : 0;
    t->base = twice * (float)base;
}

status rabitq_tables_create(const struct rabitq_query *q, struct rabitq_shape shape,
                            struct rabitq_tables **out, struct err *err)
{
    const size_t packed = packed_bytes(shape);
    struct rabitq_tables *t = mem_alloc(sizeof(*t) + packed * 2 * ENTRIES);

    if (t == NULL)
        return err_set(err, ST_NOMEM, "out of memory for tables of a query's codes");
    *t = (struct rabitq_tables){.shape = shape, .bytes = packed, .tables = (uint8_t *)(t + 1)};
    tables_fill(t, q);
    *out = t;
    return ST_OK;
}

void rabitq_tables_destroy(struct rabitq_tables *t)
{
    mem_free(t);
}

float rabitq_estimate_group(const struct rabitq_tables *t, const uint8_t *codes, size_t rows,
                            float *out)
{
    return kernels_get()->group_estimates(t->tables, t->bytes, codes, rows, t->base, t->scale, out);
}
