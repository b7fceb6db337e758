/* cells.h - the cells of a cold segment's vector field: how they are made, and how a query chooses
 * what to read. docs/decisions/cold-layout.md has the figures, docs/formats/cold-segment.md where
 * each array lies.
 *
 * Rows are in one order: coarse cells of about CELLS_COARSE_ROWS rows, in each up to CELLS_FINE_MAX
 * fine cells; near ones adjoin. A *position* is a row's number in it.
 *
 * Codes are made of vectors less the mean of all rows, around the coarse centroid as a reader
 * decodes it: an offset that all rows share costs no precision. Under dot B is 0 and no norm is
 * needed: <v, q> is <c, q> + <v - c, q>.
 *
 * Threads    a struct cells is constant once made: any number of readers.
 * Metrics    cosine (unit vectors), l2, dot; l1 is clustered as l2 and has no keys: its rows are
 *            all candidates of a scan. Keys are index/codes.h's.
 * Limits     rows < 2^32; a fine cell has at most 65,535 rows; no cell is empty. */
#ifndef INDEX_CELLS_H
#define INDEX_CELLS_H

#include "index/rabitq.h"
#include "index/vindex.h"

enum {
    CELLS_COARSE_ROWS = 1000,
    CELLS_FINE_MAX = 64,
    CELLS_FINE_ROWS = 16,
    CELLS_WORTH = 64,
    CELLS_ROW_BITS = 8,
};
/* Bits of fine centroids and short codes by dimension: 4 up to 128, 2 up to 256, 1 above. */
uint8_t cells_short_bits(uint32_t dim);

/* What a reader keeps in RAM. The arrays are borrowed (from a decoded footer) or a build's. */
struct cells {
    uint32_t dim;
    enum vmetric metric;
    uint8_t short_bits;
    uint32_t rows, coarse, fine;
    const uint8_t *signs;        /* rabitq_signs_bytes(dim) */
    const float *mean;           /* dim: coarse centroids are coded around it */
    const uint8_t *coarse_codes; /* coarse x code bytes of 8 bits */
    const uint8_t *fine_codes;   /* fine x code bytes of short_bits, each around its coarse
                                  * centroid as decoded */
    const uint16_t *fine_rows;   /* of each fine cell */
    const uint16_t *fine_spread; /* bf16: mean squared distance of its rows from its centroid */
    const uint32_t *coarse_first_fine; /* coarse + 1 */
    const uint32_t *coarse_first_row;  /* coarse + 1: positions */
    const uint16_t *worth; /* CELLS_WORTH bf16, never rising: how many of the ten nearest
                            * rows the fine cell of rank 2^(i/4) - 1 has */
};
/* ST_CORRUPT: counts and firsts do not fit each other. Reads nothing it has not checked. */
NODISCARD
status cells_check(const struct cells *c, struct err *err);

/* --- building --- */
/* Vectors by number, as float[dim], at random; by the thread that calls. What came before stays as
 * it is for CELLS_SOURCE_HELD more. */
enum { CELLS_SOURCE_HELD = 128 };
struct cells_source {
    const float *(*at)(void *arg, uint32_t row);
    void *arg;
};
struct cells_build {
    struct cells cells;   /* its arrays are the build's */
    uint32_t *order;      /* rows: order[position] = number in the source */
    uint32_t *fine_first; /* fine + 1: positions */
    void *own;
};
struct cells_options {
    uint32_t dim;
    enum vmetric metric;
    uint32_t rows;
    uint64_t seed;
    const _Atomic bool *stop;  /* ST_CLOSED; NULL: never */
    struct mem_budget *budget; /* NULL: not counted */
};
/* k-means twice, on samples where there are many rows; all rows are assigned. Some 50 bytes a row
 * beside the source. Rows 0 is fine: no cells. The same source and seed: the same cells on one
 * machine. */
NODISCARD
status cells_build(const struct cells_options *options, const struct cells_source *source,
                   struct cells_build *out, struct err *err);
void cells_build_free(struct cells_build *b);
/* The codes of a row that lies in coarse cell `coarse`: 8 bits, and short (NULL: not wanted).
 * scratch: 2 x dim floats. centroids: cells_centroids(). */
struct cells_centroids; /* coarse centroids as a reader decodes them, turned: coarse x dim floats */
NODISCARD
status cells_centroids(const struct cells *c, struct cells_centroids **out, struct err *err);
void cells_centroids_free(struct cells_centroids *t);
void cells_encode(const struct cells *c, const struct cells_centroids *t, uint32_t coarse,
                  const float *vector, float *scratch, uint8_t *row_code, uint8_t *short_code);

/* --- asking --- */
/* A query against one struct cells. */
struct cells_query;
NODISCARD
status cells_query_create(const struct cells *c, const float *query, struct cells_query **out,
                          struct err *err);
void cells_query_destroy(struct cells_query *q);

/* A run of positions [first, first + count) that lies in one GET. */
struct cells_range {
    uint32_t part; /* number of the query in the plan's list */
    uint32_t first, count;
    float worth; /* what it is expected to have of the ten */
};
struct cells_plan_options {
    uint32_t gets_max;
    uint64_t bytes_max;
    uint32_t record_bytes; /* of a row */
    uint32_t gap_bytes;    /* what is no further apart may be one range; 0: the planner tries */
    uint32_t cells_max;    /* of the likeliest that are looked at; 0: CELLS_PLAN_MAX */
    /* NULL: every row may count; else cells without a bit are left out. */
    bool (*any)(void *arg, uint32_t part, uint32_t first, uint32_t count);
    void *any_arg;
};
enum { CELLS_PLAN_MAX = 4000 };
/* Plans are made over the queries of one vector against several segments (parts) together: caps
 * are shared. *out belongs to parts[0] until its next plan.
 *
 * With footers only: ranges of most worth under both caps, by part, positions rising. */
NODISCARD
status cells_plan(struct cells_query *const *parts, size_t part_count,
                  const struct cells_plan_options *options, const struct cells_range **out,
                  size_t *count, struct err *err);
/* The likeliest cells with about rows_max rows together, as runs of positions (by part,
 * rising; gaps are never read over): which short codes a query looks at. */
NODISCARD
status cells_plan_likely(struct cells_query *const *parts, size_t part_count, uint64_t rows_max,
                         const struct cells_plan_options *options, const struct cells_range **out,
                         size_t *count, struct err *err);
/* The same in steps, for a caller who looks what it has between them. *out: the caller's,
 * mem_free(). Fine cells likeliest first, at most options->cells_max, with their worth: */
NODISCARD
status cells_likely(struct cells_query *const *parts, size_t part_count,
                    const struct cells_plan_options *options, struct cells_range **out,
                    size_t *count, struct err *err);
/* Ranges over units that are wanted, those of most worth first; no two have a row in common. tries:
 * as cells_plan() does, some numbers of them and some gaps; else all, with gap_bytes and a few
 * larger gaps. */
NODISCARD
status cells_plan_units(const struct cells_range *units, size_t unit_count,
                        const struct cells_plan_options *options, bool tries,
                        struct cells_range **out, size_t *count, struct err *err);
/* With short codes resident. First the best of each part are collected: codes are those of
 * positions [first, first + count) of coarse cell `coarse`, code bytes apart; keep: NULL or which
 * count. Then cells_plan_best() makes ranges around the best of all parts. */
NODISCARD
status cells_query_best_reset(struct cells_query *q, uint32_t best, struct err *err);
void cells_query_best_add(struct cells_query *q, uint32_t coarse, uint32_t first,
                          const uint8_t *codes, uint32_t count,
                          bool (*keep)(void *arg, uint32_t position), void *keep_arg);
/* The same of codes in groups (rabitq_group()), which lie faster: `codes` are those of positions
 * [first, first + rows), of which [first + from, first + from + count) are looked at. */
void cells_query_best_groups(struct cells_query *q, uint32_t coarse, uint32_t first,
                             const uint8_t *codes, uint32_t rows, uint32_t from, uint32_t count,
                             bool (*keep)(void *arg, uint32_t position), void *keep_arg);
/* A row that is wanted whatever its code says. */
void cells_query_best_put(struct cells_query *q, uint32_t position);
/* The best of all parts, as many as the part that wants most has, nearest first: ranges of a row.
 * The caller's, mem_free(). */
NODISCARD
status cells_best_rows(struct cells_query *const *parts, size_t part_count,
                       struct cells_range **out, size_t *count, struct err *err);
NODISCARD
status cells_plan_best(struct cells_query *const *parts, size_t part_count,
                       const struct cells_plan_options *options, const struct cells_range **out,
                       size_t *count, struct err *err);
/* The coarse cell of a position; position < rows. */
uint32_t cells_coarse_of(const struct cells *c, uint32_t position);
/* Keys of rows by their 8-bit codes, smaller is nearer, as vindex's keys (codes.h): -dot for cosine
 * and dot, the square for l2. codes of positions [first, first + count), `stride` bytes apart (they
 * may span coarse cells). */
void cells_keys(struct cells_query *q, uint32_t first, const uint8_t *codes, size_t stride,
                uint32_t count, float *out);

#endif
