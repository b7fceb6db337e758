/* kernels.h - the inner loops of distance computing, one set of them per instruction set.
 *
 * A set is chosen once at start; each has a scalar twin that the tests compare it with. Sums of
 * integers are exact and equal in every set; sums of floats differ by rounding only.
 *
 * Threads    any: the functions are pure. kernels_choose() is for tests, before other threads run.
 * Limits     KERNEL_DIM_MAX components: beyond it the 32-bit sums of code products could wrap. */
#ifndef INDEX_KERNELS_H
#define INDEX_KERNELS_H

#include "base/status.h"

#include <assert.h>

enum {
    KERNEL_DIM_MAX = 65535,
    KERNEL_ALIGN = 64,     /* of code queries, which are padded with zeros to a multiple of it */
    KERNEL_ROW_ALIGN = 16, /* of code rows; their length is a multiple of it */
    KERNEL_TILE = 4,       /* rows of a dot_tile() */
    KERNEL_GROUP = 64,     /* rows of group_sums() */
    KERNEL_TABLE_MAX = 127,
};
static_assert((uint64_t)KERNEL_DIM_MAX * 255 * 128 <= INT32_MAX, "a sum of code products fits");

struct kernels {
    const char *name;
    /* out[r] = sum of rows[r][i] * query[i] over `bytes`, the length of a row. Nothing behind a
     * row is read. */
    void (*dot_rows)(const int8_t *query, size_t bytes, const uint8_t *const *rows, size_t count,
                     int32_t *out);
    int32_t (*dot_row)(const int8_t *query, const uint8_t *row, size_t bytes);
    /* Sum of |mid + step * (row[i] - 128) - query[i]| over dim components. */
    float (*l1_row)(const float *query, const uint8_t *row, float mid, float step, size_t dim);
    /* out[r] = sum of n * q over the numbers n of `bits` bits (1, 2, 4, 8) that the `bytes` bytes
     * of a code have, codes lying `stride` bytes apart. planes: number i * (8 / bits) + p of a code
     * meets byte i of plane p; a plane is `bytes` long and padded with zeros to KERNEL_ALIGN, and
     * aligned. Up to 3 bytes behind each code may be read. */
    void (*code_dots)(const int8_t *planes, size_t bytes, unsigned bits, const uint8_t *codes,
                      size_t stride, size_t count, int32_t *out);
    /* The same for codes of one bit that lie anywhere. */
    void (*bit_rows)(const int8_t *planes, size_t bytes, const uint8_t *const *codes, size_t count,
                     int32_t *out);
    /* out[r] = sum over the `bytes` bytes of row r's code of tables[2 * i][low half of byte i] and
     * tables[2 * i + 1][high half]; tables have 16 bytes, each at most KERNEL_TABLE_MAX. Bytes lie
     * transposed: byte i of row r at group[i * rows + r]. rows <= KERNEL_GROUP. */
    void (*group_sums)(const uint8_t *tables, size_t bytes, const uint8_t *group, size_t rows,
                       uint32_t *out);
    /* out[r] = b + a * (base + scale * that sum), +infinity where this is not finite; a and b of
     * each row are floats behind the bytes: all a, then all b. Returns the least. */
    float (*group_estimates)(const uint8_t *tables, size_t bytes, const uint8_t *group, size_t rows,
                             float base, float scale, float *out);
    /* out[r * count + p] = <rows[r], point p>, points lying one behind the other. */
    void (*dot_tile)(const float *const rows[KERNEL_TILE], const float *points, size_t dim,
                     size_t count, float *out);
    /* The least and the greatest of dim numbers, at least one. */
    void (*range)(const float *v, size_t dim, float *low, float *high);
    /* out[i] = 128 + (v[i] - mid) * per_step, within 0 and 255 and rounded; *sum of those without
     * the 128, *sum2 of their squares. The same bytes in every set. */
    void (*encode)(const float *v, size_t dim, float mid, float per_step, uint8_t *out,
                   int32_t *sum, uint32_t *sum2);
    float (*dot_f32)(const float *a, const float *b, size_t dim);
    float (*l2_f32)(const float *a, const float *b, size_t dim); /* squared */
    float (*l1_f32)(const float *a, const float *b, size_t dim);
};

static inline size_t kernel_plane_bytes(size_t bytes)
{
    return (bytes + KERNEL_ALIGN - 1) / KERNEL_ALIGN * KERNEL_ALIGN;
}

const struct kernels *kernels_get(void);
/* "avx512vnni", "avx2" or "scalar"; false if the machine (or this build) lacks it. */
bool kernels_choose(const char *name);

extern const struct kernels kernels_scalar;
#if defined(__x86_64__)
extern const struct kernels kernels_avx2;
extern const struct kernels kernels_avx512;
#endif

#endif
