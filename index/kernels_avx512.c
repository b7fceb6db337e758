/* AVX-512 with VNNI: one vpdpbusd adds 64 products of codes. Tails of float rows are read through a
 * mask, so nothing beyond them is touched. */
#include "index/kernels.h"

#include <float.h>
#include <immintrin.h>
#include <math.h>
#include <string.h>

static inline __m512i load_i(const void *p)
{
    return _mm512_load_si512(p);
}

/* The lanes of the last, partial 64 bytes of a row. */
static inline __mmask64 row_tail(size_t bytes)
{
    return ((__mmask64)1 << bytes % 64) - 1;
}

static int32_t dot_row(const int8_t *query, const uint8_t *row, size_t bytes)
{
    __m512i a = _mm512_setzero_si512(), b = _mm512_setzero_si512();
    size_t i = 0;

    for (; i + 128 <= bytes; i += 128) {
        a = _mm512_dpbusd_epi32(a, _mm512_loadu_si512(row + i), load_i(query + i));
        b = _mm512_dpbusd_epi32(b, _mm512_loadu_si512(row + i + 64), load_i(query + i + 64));
    }
    if (i + 64 <= bytes) {
        a = _mm512_dpbusd_epi32(a, _mm512_loadu_si512(row + i), load_i(query + i));
        i += 64;
    }
    if (i < bytes)
        b = _mm512_dpbusd_epi32(b, _mm512_maskz_loadu_epi8(row_tail(bytes), row + i),
                                load_i(query + i));
    return _mm512_reduce_add_epi32(_mm512_add_epi32(a, b));
}

/* Four sums of 16 lanes each into the four lanes of one register. */
static inline __m128i sums_of_four(__m512i a, __m512i b, __m512i c, __m512i d)
{
    __m512i ab = _mm512_add_epi32(_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
    __m512i cd = _mm512_add_epi32(_mm512_unpacklo_epi32(c, d), _mm512_unpackhi_epi32(c, d));
    __m512i all = _mm512_add_epi32(_mm512_unpacklo_epi64(ab, cd), _mm512_unpackhi_epi64(ab, cd));
    __m256i half = _mm256_add_epi32(_mm512_castsi512_si256(all), _mm512_extracti64x4_epi64(all, 1));

    return _mm_add_epi32(_mm256_castsi256_si128(half), _mm256_extracti128_si256(half, 1));
}

static inline __m128i dot_four(const int8_t *query, size_t bytes, const uint8_t *r0,
                               const uint8_t *r1, const uint8_t *r2, const uint8_t *r3)
{
    __m512i a = _mm512_setzero_si512(), b = a, c = a, d = a, q;
    size_t i = 0;

    for (; i + 64 <= bytes; i += 64) {
        q = load_i(query + i);
        a = _mm512_dpbusd_epi32(a, _mm512_loadu_si512(r0 + i), q);
        b = _mm512_dpbusd_epi32(b, _mm512_loadu_si512(r1 + i), q);
        c = _mm512_dpbusd_epi32(c, _mm512_loadu_si512(r2 + i), q);
        d = _mm512_dpbusd_epi32(d, _mm512_loadu_si512(r3 + i), q);
    }
    if (i < bytes) {
        __mmask64 m = row_tail(bytes);

        q = load_i(query + i);
        a = _mm512_dpbusd_epi32(a, _mm512_maskz_loadu_epi8(m, r0 + i), q);
        b = _mm512_dpbusd_epi32(b, _mm512_maskz_loadu_epi8(m, r1 + i), q);
        c = _mm512_dpbusd_epi32(c, _mm512_maskz_loadu_epi8(m, r2 + i), q);
        d = _mm512_dpbusd_epi32(d, _mm512_maskz_loadu_epi8(m, r3 + i), q);
    }
    return sums_of_four(a, b, c, d);
}

static void dot_rows(const int8_t *query, size_t bytes, const uint8_t *const *rows, size_t count,
                     int32_t *out)
{
    size_t r = 0;

    for (; r + 4 <= count; r += 4)
        _mm_storeu_si128((__m128i_u *)(void *)(out + r),
                         dot_four(query, bytes, rows[r], rows[r + 1], rows[r + 2], rows[r + 3]));
    if (r < count) { /* the last one again where there are fewer than four */
        const uint8_t *last = rows[count - 1];
        __m128i sums = dot_four(query, bytes, rows[r], r + 1 < count ? rows[r + 1] : last,
                                r + 2 < count ? rows[r + 2] : last, last);

        _mm_mask_storeu_epi32(out + r, (__mmask8)((1u << (count - r)) - 1), sums);
    }
}

static inline __m512i load_code(const uint8_t *code, size_t at, size_t bytes)
{
    __mmask64 m = bytes - at >= 64 ? ~(__mmask64)0 : ((__mmask64)1 << (bytes - at)) - 1;

    return _mm512_maskz_loadu_epi8(m, code + at);
}

static inline __attribute__((always_inline)) void code_dots_four(const int8_t *planes, size_t bytes,
                                                                 unsigned bits,
                                                                 const uint8_t *const codes[4],
                                                                 int32_t *out)
{
    const size_t plane = kernel_plane_bytes(bytes);
    const __m128i shift = _mm_cvtsi32_si128((int)bits);
    const __m512i mask = _mm512_set1_epi8((char)((1u << bits) - 1));
    __m512i a = _mm512_setzero_si512(), b = a, c = a, d = a;

    for (size_t i = 0; i < bytes; i += 64) {
        __m512i v0 = load_code(codes[0], i, bytes), v1 = load_code(codes[1], i, bytes);
        __m512i v2 = load_code(codes[2], i, bytes), v3 = load_code(codes[3], i, bytes);

        for (unsigned p = 0; p < 8 / bits; p++) {
            __m512i q = load_i(planes + p * plane + i);

            a = _mm512_dpbusd_epi32(a, _mm512_and_si512(v0, mask), q);
            v0 = _mm512_srl_epi16(v0, shift);
            b = _mm512_dpbusd_epi32(b, _mm512_and_si512(v1, mask), q);
            v1 = _mm512_srl_epi16(v1, shift);
            c = _mm512_dpbusd_epi32(c, _mm512_and_si512(v2, mask), q);
            v2 = _mm512_srl_epi16(v2, shift);
            d = _mm512_dpbusd_epi32(d, _mm512_and_si512(v3, mask), q);
            v3 = _mm512_srl_epi16(v3, shift);
        }
    }
    _mm_storeu_si128((__m128i *)(void *)out, sums_of_four(a, b, c, d));
}

static inline __attribute__((always_inline)) void code_dots_of(const int8_t *planes, size_t bytes,
                                                               unsigned bits, const uint8_t *codes,
                                                               size_t stride, size_t count,
                                                               int32_t *out)
{
    size_t r = 0;

    for (; r + 4 <= count; r += 4) {
        const uint8_t *at = codes + r * stride;
        const uint8_t *four[4] = {at, at + stride, at + 2 * stride, at + 3 * stride};

        code_dots_four(planes, bytes, bits, four, out + r);
    }
    for (; r < count; r++) {
        const uint8_t *at = codes + r * stride, *same[4] = {at, at, at, at};
        int32_t sums[4];

        code_dots_four(planes, bytes, bits, same, sums);
        out[r] = sums[0];
    }
}

static void bit_rows(const int8_t *planes, size_t bytes, const uint8_t *const *codes, size_t count,
                     int32_t *out)
{
    size_t r = 0;

    for (; r + 4 <= count; r += 4)
        code_dots_four(planes, bytes, 1, codes + r, out + r);
    if (r < count) { /* the last one again where there are fewer than four */
        const uint8_t *four[4] = {codes[r], codes[count - 1], codes[count - 1], codes[count - 1]};
        int32_t sums[4];

        if (r + 1 < count)
            four[1] = codes[r + 1];
        code_dots_four(planes, bytes, 1, four, sums);
        memcpy(out + r, sums, (count - r) * sizeof(*out));
    }
}

static void code_dots(const int8_t *planes, size_t bytes, unsigned bits, const uint8_t *codes,
                      size_t stride, size_t count, int32_t *out)
{
    if (bits == 1)
        code_dots_of(planes, bytes, 1, codes, stride, count, out);
    else if (bits == 2)
        code_dots_of(planes, bytes, 2, codes, stride, count, out);
    else if (bits == 4)
        code_dots_of(planes, bytes, 4, codes, stride, count, out);
    else
        code_dots_of(planes, bytes, 8, codes, stride, count, out);
}

/* 16-bit sums of rows 2 k (even) and 2 k + 1 (odd), in 32 bits and in order. */
static void store_sums(__m512i even, __m512i odd, size_t rows, uint32_t *out)
{
    __m512i low = _mm512_unpacklo_epi16(even, odd), high = _mm512_unpackhi_epi16(even, odd);
    uint32_t sums[KERNEL_GROUP];
    __m128i parts[8];

    _mm512_storeu_si512(parts, low);
    _mm512_storeu_si512(parts + 4, high);
    for (int lane = 0; lane < 4; lane++)
        _mm512_storeu_si512(sums + 16 * lane,
                            _mm512_cvtepu16_epi32(_mm256_set_m128i(parts[4 + lane], parts[lane])));
    for (size_t r = 0; r < rows; r++)
        out[r] += sums[r];
}

static void group_sums(const uint8_t *tables, size_t bytes, const uint8_t *group, size_t rows,
                       uint32_t *out)
{
    enum { WHOLE = 256 }; /* bytes whose sums fit 16 bits */
    const __mmask64 m = rows >= 64 ? ~(__mmask64)0 : ((__mmask64)1 << rows) - 1;
    const __m512i nibble = _mm512_set1_epi8(15);

    memset(out, 0, rows * sizeof(*out));
    for (size_t from = 0; from < bytes; from += WHOLE) {
        size_t end = bytes - from < WHOLE ? bytes : from + WHOLE;
        __m512i even = _mm512_setzero_si512(), odd = even;

        for (size_t i = from; i < end; i++) {
            const __m128i *t = (const __m128i *)(const void *)(tables + 32 * i);
            __m512i v = _mm512_maskz_loadu_epi8(m, group + i * rows);
            __m512i low = _mm512_shuffle_epi8(_mm512_broadcast_i32x4(_mm_loadu_si128(t)),
                                              _mm512_and_si512(v, nibble));
            __m512i high = _mm512_shuffle_epi8(_mm512_broadcast_i32x4(_mm_loadu_si128(t + 1)),
                                               _mm512_and_si512(_mm512_srli_epi16(v, 4), nibble));
            __m512i both = _mm512_add_epi8(low, high);

            even = _mm512_add_epi16(even, both); /* with 256 times those of odd rows */
            odd = _mm512_add_epi16(odd, _mm512_srli_epi16(both, 8));
        }
        store_sums(_mm512_sub_epi16(even, _mm512_slli_epi16(odd, 8)), odd, rows, out);
    }
}

static inline __mmask16 tail_mask(size_t left)
{
    return (__mmask16)((1u << left) - 1u);
}

static float group_estimates(const uint8_t *tables, size_t bytes, const uint8_t *group, size_t rows,
                             float base, float scale, float *out)
{
    const uint8_t *as = group + bytes * rows, *bs = as + 4 * rows;
    const __m512 infinity = _mm512_set1_ps(INFINITY), most = _mm512_set1_ps(FLT_MAX);
    uint32_t sums[KERNEL_GROUP];
    __m512 least = infinity;

    group_sums(tables, bytes, group, rows, sums);
    for (size_t r = 0; r < rows; r += 16) {
        __mmask16 m = rows - r >= 16 ? (__mmask16)0xffff : tail_mask(rows - r);
        __m512 sum = _mm512_cvtepu32_ps(_mm512_maskz_loadu_epi32(m, sums + r));
        __m512 a = _mm512_maskz_loadu_ps(m, as + 4 * r), b = _mm512_maskz_loadu_ps(m, bs + 4 * r);
        __m512 dot = _mm512_fmadd_ps(sum, _mm512_set1_ps(scale), _mm512_set1_ps(base));
        __m512 est = _mm512_fmadd_ps(a, dot, b);

        est = _mm512_mask_mov_ps(infinity, _mm512_cmp_ps_mask(_mm512_abs_ps(est), most, _CMP_LE_OQ),
                                 est);
        _mm512_mask_storeu_ps(out + r, m, est);
        least = _mm512_mask_min_ps(least, m, least, est);
    }
    return _mm512_reduce_min_ps(least);
}

static float l1_row(const float *query, const uint8_t *row, float mid, float step, size_t dim)
{
    __m512 base = _mm512_set1_ps(mid - 128.0f * step), scale = _mm512_set1_ps(step);
    __m512 sum = _mm512_setzero_ps();

    for (size_t i = 0; i < dim; i += 16) {
        __mmask16 m = dim - i >= 16 ? (__mmask16)0xffff : tail_mask(dim - i);
        __m512i code = _mm512_cvtepu8_epi32(_mm_maskz_loadu_epi8(m, row + i));
        __m512 x = _mm512_fmadd_ps(_mm512_cvtepi32_ps(code), scale, base);

        x = _mm512_abs_ps(_mm512_sub_ps(x, _mm512_maskz_loadu_ps(m, query + i)));
        sum = _mm512_mask_add_ps(sum, m, sum, x);
    }
    return _mm512_reduce_add_ps(sum);
}

static float dot_f32(const float *a, const float *b, size_t dim)
{
    __m512 s0 = _mm512_setzero_ps(), s1 = s0;
    size_t i = 0;

    for (; i + 32 <= dim; i += 32) {
        s0 = _mm512_fmadd_ps(_mm512_loadu_ps(a + i), _mm512_loadu_ps(b + i), s0);
        s1 = _mm512_fmadd_ps(_mm512_loadu_ps(a + i + 16), _mm512_loadu_ps(b + i + 16), s1);
    }
    for (; i < dim; i += 16) {
        __mmask16 m = dim - i >= 16 ? (__mmask16)0xffff : tail_mask(dim - i);

        s0 = _mm512_fmadd_ps(_mm512_maskz_loadu_ps(m, a + i), _mm512_maskz_loadu_ps(m, b + i), s0);
    }
    return _mm512_reduce_add_ps(_mm512_add_ps(s0, s1));
}

/* The sums of four registers in the lanes of one. */
static inline __m128 sums_of_four_f32(__m512 a, __m512 b, __m512 c, __m512 d)
{
    __m512 ab = _mm512_add_ps(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b));
    __m512 cd = _mm512_add_ps(_mm512_unpacklo_ps(c, d), _mm512_unpackhi_ps(c, d));
    __m512 all = _mm512_add_ps(
        _mm512_castpd_ps(_mm512_unpacklo_pd(_mm512_castps_pd(ab), _mm512_castps_pd(cd))),
        _mm512_castpd_ps(_mm512_unpackhi_pd(_mm512_castps_pd(ab), _mm512_castps_pd(cd))));
    __m256 half = _mm256_add_ps(_mm512_castps512_ps256(all), _mm512_extractf32x8_ps(all, 1));

    return _mm_add_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1));
}

/* KERNEL_TILE rows beside four points, sums in registers: each value is loaded once for four
 * products. out[r * 4 + p]. */
static void tile_of_four(const float *const rows[KERNEL_TILE], const float *const points[4],
                         size_t dim, float *out)
{
    __m512 s00 = _mm512_setzero_ps(), s01 = s00, s02 = s00, s03 = s00, s10 = s00, s11 = s00,
           s12 = s00, s13 = s00, s20 = s00, s21 = s00, s22 = s00, s23 = s00, s30 = s00, s31 = s00,
           s32 = s00, s33 = s00;

    for (size_t i = 0; i < dim; i += 16) {
        __mmask16 m = dim - i >= 16 ? (__mmask16)0xffff : tail_mask(dim - i);
        __m512 x0 = _mm512_maskz_loadu_ps(m, points[0] + i);
        __m512 x1 = _mm512_maskz_loadu_ps(m, points[1] + i);
        __m512 x2 = _mm512_maskz_loadu_ps(m, points[2] + i);
        __m512 x3 = _mm512_maskz_loadu_ps(m, points[3] + i);
        __m512 y;

        y = _mm512_maskz_loadu_ps(m, rows[0] + i);
        s00 = _mm512_fmadd_ps(x0, y, s00);
        s01 = _mm512_fmadd_ps(x1, y, s01);
        s02 = _mm512_fmadd_ps(x2, y, s02);
        s03 = _mm512_fmadd_ps(x3, y, s03);
        y = _mm512_maskz_loadu_ps(m, rows[1] + i);
        s10 = _mm512_fmadd_ps(x0, y, s10);
        s11 = _mm512_fmadd_ps(x1, y, s11);
        s12 = _mm512_fmadd_ps(x2, y, s12);
        s13 = _mm512_fmadd_ps(x3, y, s13);
        y = _mm512_maskz_loadu_ps(m, rows[2] + i);
        s20 = _mm512_fmadd_ps(x0, y, s20);
        s21 = _mm512_fmadd_ps(x1, y, s21);
        s22 = _mm512_fmadd_ps(x2, y, s22);
        s23 = _mm512_fmadd_ps(x3, y, s23);
        y = _mm512_maskz_loadu_ps(m, rows[3] + i);
        s30 = _mm512_fmadd_ps(x0, y, s30);
        s31 = _mm512_fmadd_ps(x1, y, s31);
        s32 = _mm512_fmadd_ps(x2, y, s32);
        s33 = _mm512_fmadd_ps(x3, y, s33);
    }
    _mm_storeu_ps(out, sums_of_four_f32(s00, s01, s02, s03));
    _mm_storeu_ps(out + 4, sums_of_four_f32(s10, s11, s12, s13));
    _mm_storeu_ps(out + 8, sums_of_four_f32(s20, s21, s22, s23));
    _mm_storeu_ps(out + 12, sums_of_four_f32(s30, s31, s32, s33));
}

static void dot_tile(const float *const rows[KERNEL_TILE], const float *points, size_t dim,
                     size_t count, float *out)
{
    for (size_t p = 0; p < count; p += 4) {
        size_t here = count - p < 4 ? count - p : 4;
        const float *four[4];
        float sums[KERNEL_TILE * 4];

        for (size_t i = 0; i < 4; i++) /* the last one again where there are fewer */
            four[i] = points + (p + (i < here ? i : here - 1)) * dim;
        tile_of_four(rows, four, dim, sums);
        for (size_t r = 0; r < KERNEL_TILE; r++)
            for (size_t i = 0; i < here; i++)
                out[r * count + p + i] = sums[r * 4 + i];
    }
}

static float l2_f32(const float *a, const float *b, size_t dim)
{
    __m512 s0 = _mm512_setzero_ps(), s1 = s0;
    size_t i = 0;

    for (; i + 32 <= dim; i += 32) {
        __m512 d0 = _mm512_sub_ps(_mm512_loadu_ps(a + i), _mm512_loadu_ps(b + i));
        __m512 d1 = _mm512_sub_ps(_mm512_loadu_ps(a + i + 16), _mm512_loadu_ps(b + i + 16));

        s0 = _mm512_fmadd_ps(d0, d0, s0);
        s1 = _mm512_fmadd_ps(d1, d1, s1);
    }
    for (; i < dim; i += 16) {
        __mmask16 m = dim - i >= 16 ? (__mmask16)0xffff : tail_mask(dim - i);
        __m512 d = _mm512_sub_ps(_mm512_maskz_loadu_ps(m, a + i), _mm512_maskz_loadu_ps(m, b + i));

        s0 = _mm512_fmadd_ps(d, d, s0);
    }
    return _mm512_reduce_add_ps(_mm512_add_ps(s0, s1));
}

static float l1_f32(const float *a, const float *b, size_t dim)
{
    __m512 sum = _mm512_setzero_ps();

    for (size_t i = 0; i < dim; i += 16) {
        __mmask16 m = dim - i >= 16 ? (__mmask16)0xffff : tail_mask(dim - i);
        __m512 d = _mm512_sub_ps(_mm512_maskz_loadu_ps(m, a + i), _mm512_maskz_loadu_ps(m, b + i));

        sum = _mm512_add_ps(sum, _mm512_abs_ps(d));
    }
    return _mm512_reduce_add_ps(sum);
}

static void range(const float *v, size_t dim, float *low, float *high)
{
    __m512 least = _mm512_set1_ps(v[0]), most = least;

    for (size_t i = 0; i < dim; i += 16) {
        __mmask16 m = dim - i >= 16 ? (__mmask16)0xffff : tail_mask(dim - i);
        __m512 x = _mm512_mask_loadu_ps(least, m, v + i);

        least = _mm512_min_ps(least, x);
        most = _mm512_mask_max_ps(most, m, most, x);
    }
    *low = _mm512_reduce_min_ps(least);
    *high = _mm512_reduce_max_ps(most);
}

/* Between product and sum lies a bound, so that no compiler makes one rounding of the two. */
static void encode(const float *v, size_t dim, float mid, float per_step, uint8_t *out,
                   int32_t *sum, uint32_t *sum2)
{
    const __m512 middle = _mm512_set1_ps(mid), per = _mm512_set1_ps(per_step);
    const __m512 low = _mm512_set1_ps(-128.0f), high = _mm512_set1_ps(127.0f);
    const __m512 half = _mm512_set1_ps(128.5f);
    __m512i sums = _mm512_setzero_si512(), squares = sums;

    for (size_t i = 0; i < dim; i += 16) {
        __mmask16 m = dim - i >= 16 ? (__mmask16)0xffff : tail_mask(dim - i);
        __m512 x = _mm512_mul_ps(_mm512_sub_ps(_mm512_maskz_loadu_ps(m, v + i), middle), per);
        __m512i code, centred;

        x = _mm512_min_ps(_mm512_max_ps(x, low), high); /* of NaN the second, a bound */
        code = _mm512_cvttps_epi32(_mm512_add_ps(x, half));
        _mm512_mask_cvtepi32_storeu_epi8(out + i, m, code);
        centred = _mm512_maskz_sub_epi32(m, code, _mm512_set1_epi32(128));
        sums = _mm512_add_epi32(sums, centred);
        squares = _mm512_add_epi32(squares, _mm512_mullo_epi32(centred, centred));
    }
    *sum = _mm512_reduce_add_epi32(sums);
    *sum2 = (uint32_t)_mm512_reduce_add_epi32(squares);
}

const struct kernels kernels_avx512 = {
    .name = "avx512vnni",
    .dot_rows = dot_rows,
    .dot_row = dot_row,
    .l1_row = l1_row,
    .code_dots = code_dots,
    .bit_rows = bit_rows,
    .group_sums = group_sums,
    .group_estimates = group_estimates,
    .dot_tile = dot_tile,
    .range = range,
    .encode = encode,
    .dot_f32 = dot_f32,
    .l2_f32 = l2_f32,
    .l1_f32 = l1_f32,
};
