/* cells.h - the cells of a cold segment's vector field: how they are made, and how a query chooses
 * what to read. docs/decisions/cold-layout.md has the figures, docs/formats/cold-segment.md where
 * each array lies.
 *
 * Rows are in one order: coarse cells of about CELLS_COARSE_ROWS rows, in each up to CELLS_FINE_MAX
 * fine cells; near ones adjoin. A *position* is a row's number in it.
 *
 * Threads    a struct cells is constant once made: any number of readers.
 * Metrics    cosine (unit vectors), l2, dot; l1 is clustered as l2 and its rows are all candidates
 *            of a scan. Keys are index/codes.h's: the square (l2, cosine as 2 - 2 dot scaled by the
 *            caller), see cells_key().
 * Limits     rows < 2^32; a fine cell has at most 65,535 rows. */
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
    const uint16_t *worth;             /* CELLS_WORTH: how likely (x 65,535) the fine cell of rank r
                                        * has one of the ten nearest, r = geometric steps */
};
/* ST_CORRUPT: counts and firsts do not fit each other. Reads nothing it has not checked. */
NODISCARD
status cells_check(const struct cells *c, struct err *err);

/* --- building --- */
/* Vectors by number, as float[dim]; random access, any thread; e.g. a mapped file. */
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
    uint32_t first, count;
    float worth; /* what it is expected to have of the ten */
};
struct cells_plan_options {
    uint32_t gets_max;
    uint64_t bytes_max;
    uint32_t record_bytes; /* of a row */
    uint32_t gap_bytes;    /* cells no further apart may be one range */
    uint32_t cells_max;    /* of the likeliest that are looked at; 0: as many as the caps can use */
    /* NULL: every row may count; else cells without a bit are left out. Bit per position. */
    bool (*any)(void *arg, uint32_t first, uint32_t count);
    void *any_arg;
};
/* With footers only: ranges of most worth under both caps, positions rising. *out of arena-like
 * memory is the query's, until the next plan. */
NODISCARD
status cells_plan(struct cells_query *q, const struct cells_plan_options *options,
                  const struct cells_range **out, size_t *count, struct err *err);
/* With short codes resident. codes: those of rows [first, first + count) of coarse cell `coarse`,
 * code bytes apart; keep: NULL or which count. Feeds the query's best `best` list; then
 * cells_plan_best() makes the ranges around them. */
void cells_query_best_reset(struct cells_query *q, uint32_t best);
void cells_query_best_add(struct cells_query *q, uint32_t coarse, uint32_t first,
                          const uint8_t *codes, uint32_t count,
                          bool (*keep)(void *arg, uint32_t position), void *keep_arg);
NODISCARD
status cells_plan_best(struct cells_query *q, const struct cells_plan_options *options,
                       const struct cells_range **out, size_t *count, struct err *err);
/* Keys of rows by their 8-bit codes, smaller is nearer, as vindex's keys (codes.h): -dot for cosine
 * and dot, the square for l2. codes of positions [first, first + count), `stride` bytes apart (they
 * may span coarse cells); norms: |v|^2 of each row, for dot alone, else NULL. */
void cells_keys(struct cells_query *q, uint32_t first, const uint8_t *codes, size_t stride,
                uint32_t count, const float *norms, size_t norms_stride, float *out);

#endif
