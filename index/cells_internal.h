/* cells_internal.h - what the files of cells share: means of rows, an order of points, bf16. */
#ifndef INDEX_CELLS_INTERNAL_H
#define INDEX_CELLS_INTERNAL_H

#include "index/cells.h"

#include "base/mem.h"
#include "base/rand.h"

#include <string.h>

static inline uint16_t bf16_of(float v) /* not negative, finite */
{
    uint32_t bits;

    memcpy(&bits, &v, sizeof(bits));
    bits = bits + 0x7fff + (bits >> 16 & 1);
    return bits >= 0x7f800000u ? 0x7f7f : (uint16_t)(bits >> 16);
}

static inline float bf16_value(uint16_t v)
{
    uint32_t bits = (uint32_t)v << 16;
    float out;

    memcpy(&out, &bits, sizeof(out));
    return out;
}

/* --- means (cells_means.c) --- */
/* Points that lie one behind the other, and half their squared lengths. */
struct means {
    uint32_t dim, count;
    float *points;
    float *half;
};
NODISCARD
bool means_init(struct means *m, uint32_t dim, uint32_t count);
void means_free(struct means *m);
void means_measure(struct means *m); /* fills half */

/* Some rows of a source. */
struct some_rows {
    const struct cells_source *source;
    const uint32_t *ids; /* NULL: 0 .. count - 1 */
    uint32_t count;
};
static inline const float *some_row(const struct some_rows *r, uint32_t i)
{
    return r->source->at(r->source->arg, r->ids != NULL ? r->ids[i] : i);
}
enum { MEANS_ROWS = 64 }; /* rows that are compared together */
static_assert(MEANS_ROWS <= (int)CELLS_SOURCE_HELD, "a source holds them");
/* The nearest of points [first, first + count) to each of up to MEANS_ROWS rows: where one is
 * nearer than score[i] says (greater is nearer), best and score are replaced. */
void means_nearest(const struct means *m, uint32_t first, uint32_t count,
                   const float *const rows[MEANS_ROWS], uint32_t row_count, uint32_t *best,
                   float *score);
/* cell[i]: the nearest point of row i. ST_CLOSED: *stop. */
NODISCARD
status means_assign(const struct means *m, const struct some_rows *rows, uint32_t *cell,
                    const _Atomic bool *stop, struct err *err);
/* m->count means of the rows: `rounds` of assigning and averaging. m->count <= rows->count. */
NODISCARD
status means_train(struct means *m, const struct some_rows *rows, unsigned rounds,
                   struct rand_seeded *rand, const _Atomic bool *stop, struct err *err);
/* Rows by cell: first[c] .. first[c + 1] of `order` are those of cell c (counting sort). */
void rows_by_cell(const uint32_t *cell, uint32_t rows, uint32_t cells, uint32_t *first,
                  uint32_t *order);

/* --- an order in which neighbours adjoin (cells_line.c) --- */
/* order[i]: the number of the point that comes i-th. left, right: what lies beside, or NULL. */
NODISCARD
bool line_up(const float *points, uint32_t count, uint32_t dim, const float *left,
             const float *right, uint32_t *order);

/* --- how likely ranks are (cells_worth.c) --- */
NODISCARD
status cells_worth_count(const struct cells *c, const struct cells_source *source,
                         const uint32_t *order, const uint32_t *fine_first,
                         struct rand_seeded *rand, const _Atomic bool *stop, uint16_t *worth,
                         struct err *err);
float cells_worth_at(const struct cells *c, uint32_t rank);

/* --- a query --- */
struct cells_unit { /* what a plan reads whole: a fine cell, or a row */
    uint32_t part, first, end;
    uint32_t rank;
    float weight;
};
struct cells_best { /* a row */
    float estimate;
    uint32_t position;
};
struct cells_query {
    const struct cells *c;
    struct rabitq_query *turned; /* of the query less the mean; of itself under dot */
    double norm2;                /* |q|^2 as it was given */
    float *base;                 /* by coarse cell: what an estimate is to be added to */
    float *fine;                 /* by fine cell: estimated squares (dot: -2 dot); NULL: not yet */
    uint32_t *fine_first;        /* with it: fine + 1 positions */
    struct cells_best *best;     /* a heap, the farthest on top */
    uint32_t best_max, best_count;
    struct rabitq_tables *tables; /* for short codes in groups; NULL: not yet */
    struct cells_range *ranges;   /* of the last plan */
};
/* Fills fine and fine_first. */
NODISCARD
status cells_query_fine(struct cells_query *q, struct err *err);
/* Fine cells of all parts, likeliest first, at most `most` of them (0: all); those that `any`
 * refuses are left out. *out: mem_free(). weight is not filled. */
NODISCARD
status cells_rank(struct cells_query *const *parts, size_t part_count,
                  const struct cells_plan_options *options, uint32_t most, struct cells_unit **out,
                  uint32_t *count, struct err *err);
/* Sorts by key, rising; scratch: as many. */
struct cells_keyed {
    uint32_t key, value;
};
void cells_sort(struct cells_keyed *items, struct cells_keyed *scratch, uint32_t count);
static inline uint32_t cells_float_key(float v) /* of the same order */
{
    uint32_t bits;

    memcpy(&bits, &v, sizeof(bits));
    return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}

#endif
