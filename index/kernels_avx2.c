/* AVX2: codes are widened to 16 bit and multiplied with vpmaddwd; the shorter way over vpmaddubsw
 * would saturate. Float tails are done one by one. */
#include "index/kernels.h"

#include <float.h>
#include <immintrin.h>
#include <math.h>
#include <string.h>

static inline __m256i load_u8(const uint8_t *p) /* 16 codes as 16-bit integers */
{
    return _mm256_cvtepu8_epi16(_mm_load_si128((const __m128i *)(const void *)p));
}

static inline __m256i load_s8(const int8_t *p)
{
    return _mm256_cvtepi8_epi16(_mm_load_si128((const __m128i *)(const void *)p));
}

static inline int32_t sum_i32(__m256i v)
{
    __m128i x = _mm_add_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));

    x = _mm_add_epi32(x, _mm_shuffle_epi32(x, _MM_SHUFFLE(1, 0, 3, 2)));
    x = _mm_add_epi32(x, _mm_shuffle_epi32(x, _MM_SHUFFLE(2, 3, 0, 1)));
    return _mm_cvtsi128_si32(x);
}

static inline float sum_f32(__m256 v)
{
    __m128 x = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));

    x = _mm_add_ps(x, _mm_movehl_ps(x, x));
    x = _mm_add_ss(x, _mm_movehdup_ps(x));
    return _mm_cvtss_f32(x);
}

static int32_t dot_row(const int8_t *query, const uint8_t *row, size_t bytes)
{
    __m256i a = _mm256_setzero_si256(), b = a;
    size_t i = 0;

    for (; i + 32 <= bytes; i += 32) {
        a = _mm256_add_epi32(a, _mm256_madd_epi16(load_u8(row + i), load_s8(query + i)));
        b = _mm256_add_epi32(b, _mm256_madd_epi16(load_u8(row + i + 16), load_s8(query + i + 16)));
    }
    if (i < bytes)
        a = _mm256_add_epi32(a, _mm256_madd_epi16(load_u8(row + i), load_s8(query + i)));
    return sum_i32(_mm256_add_epi32(a, b));
}

static void dot_rows(const int8_t *query, size_t bytes, const uint8_t *const *rows, size_t count,
                     int32_t *out)
{
    size_t r = 0;

    for (; r + 2 <= count; r += 2) {
        const uint8_t *r0 = rows[r], *r1 = rows[r + 1];
        __m256i a = _mm256_setzero_si256(), b = a;

        for (size_t i = 0; i < bytes; i += 16) {
            __m256i q = load_s8(query + i);

            a = _mm256_add_epi32(a, _mm256_madd_epi16(load_u8(r0 + i), q));
            b = _mm256_add_epi32(b, _mm256_madd_epi16(load_u8(r1 + i), q));
        }
        out[r] = sum_i32(a);
        out[r + 1] = sum_i32(b);
    }
    if (r < count)
        out[r] = dot_row(query, rows[r], bytes);
}

/* 32 bytes of a code; what lies behind its end is zero, though up to 3 bytes there are read. */
static inline __m256i load_code(const uint8_t *code, size_t at, size_t bytes)
{
    const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    size_t words = (bytes - at + 3) / 4;

    if (bytes - at >= 32)
        return _mm256_loadu_si256((const __m256i *)(const void *)(code + at));
    return _mm256_maskload_epi32((const int *)(const void *)(code + at),
                                 _mm256_cmpgt_epi32(_mm256_set1_epi32((int)words), lane));
}

static inline __m256i products_wide(__m256i v, __m256i q) /* full bytes, as 32-bit sums */
{
    __m256i low = _mm256_madd_epi16(_mm256_cvtepu8_epi16(_mm256_castsi256_si128(v)),
                                    _mm256_cvtepi8_epi16(_mm256_castsi256_si128(q)));
    __m256i high = _mm256_madd_epi16(_mm256_cvtepu8_epi16(_mm256_extracti128_si256(v, 1)),
                                     _mm256_cvtepi8_epi16(_mm256_extracti128_si256(q, 1)));

    return _mm256_add_epi32(low, high);
}

/* Numbers of up to 4 bits: products of two, of all planes, stay far from the end of 16 bits. */
static inline __attribute__((always_inline)) __m256i products_short(__m256i v, const int8_t *planes,
                                                                    size_t plane, unsigned bits)
{
    const __m256i mask = _mm256_set1_epi8((char)((1u << bits) - 1));
    const __m128i shift = _mm_cvtsi32_si128((int)bits);
    __m256i sum = _mm256_setzero_si256();

    for (unsigned p = 0; p < 8 / bits; p++) {
        __m256i q = _mm256_load_si256((const __m256i *)(const void *)(planes + p * plane));

        sum = _mm256_add_epi16(sum, _mm256_maddubs_epi16(_mm256_and_si256(v, mask), q));
        v = _mm256_srl_epi16(v, shift);
    }
    return _mm256_madd_epi16(sum, _mm256_set1_epi16(1));
}

static inline __attribute__((always_inline)) int32_t code_dot(const int8_t *planes, size_t bytes,
                                                              unsigned bits, const uint8_t *code)
{
    const size_t plane = kernel_plane_bytes(bytes);
    __m256i sum = _mm256_setzero_si256();

    for (size_t i = 0; i < bytes; i += 32) {
        __m256i v = load_code(code, i, bytes);
        __m256i more =
            bits == 8
                ? products_wide(v, _mm256_load_si256((const __m256i *)(const void *)(planes + i)))
                : products_short(v, planes + i, plane, bits);

        sum = _mm256_add_epi32(sum, more);
    }
    return sum_i32(sum);
}

static void code_dots(const int8_t *planes, size_t bytes, unsigned bits, const uint8_t *codes,
                      size_t stride, size_t count, int32_t *out)
{
    for (size_t r = 0; r < count; r++) {
        const uint8_t *code = codes + r * stride;

        if (bits == 1)
            out[r] = code_dot(planes, bytes, 1, code);
        else if (bits == 2)
            out[r] = code_dot(planes, bytes, 2, code);
        else if (bits == 4)
            out[r] = code_dot(planes, bytes, 4, code);
        else
            out[r] = code_dot(planes, bytes, 8, code);
    }
}

static void bit_rows(const int8_t *planes, size_t bytes, const uint8_t *const *codes, size_t count,
                     int32_t *out)
{
    for (size_t r = 0; r < count; r++)
        out[r] = code_dot(planes, bytes, 1, codes[r]);
}

/* 32 rows; group: their bytes, `stride` apart. */
static void sums_of_32(const uint8_t *tables, size_t bytes, const uint8_t *group, size_t stride,
                       uint32_t *out)
{
    enum { WHOLE = 256 }; /* bytes whose sums fit 16 bits */
    const __m256i nibble = _mm256_set1_epi8(15), byte = _mm256_set1_epi16(255);
    uint16_t sums[2][16];

    for (size_t from = 0; from < bytes; from += WHOLE) {
        size_t end = bytes - from < WHOLE ? bytes : from + WHOLE;
        __m256i even = _mm256_setzero_si256(), odd = even;

        for (size_t i = from; i < end; i++) {
            const __m128i_u *t = (const __m128i_u *)(const void *)(tables + 32 * i);
            __m256i v = _mm256_loadu_si256((const __m256i_u *)(const void *)(group + i * stride));
            __m256i low = _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(_mm_loadu_si128(t)),
                                              _mm256_and_si256(v, nibble));
            __m256i high = _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(_mm_loadu_si128(t + 1)),
                                               _mm256_and_si256(_mm256_srli_epi16(v, 4), nibble));
            __m256i both = _mm256_add_epi8(low, high);

            even = _mm256_add_epi16(even, _mm256_and_si256(both, byte));
            odd = _mm256_add_epi16(odd, _mm256_srli_epi16(both, 8));
        }
        _mm256_storeu_si256((__m256i_u *)(void *)sums[0], even);
        _mm256_storeu_si256((__m256i_u *)(void *)sums[1], odd);
        for (size_t r = 0; r < 32; r++)
            out[r] += sums[r % 2][r / 2];
    }
}

static void group_sums(const uint8_t *tables, size_t bytes, const uint8_t *group, size_t rows,
                       uint32_t *out)
{
    size_t r = 0;

    memset(out, 0, rows * sizeof(*out));
    for (; r + 32 <= rows; r += 32)
        sums_of_32(tables, bytes, group + r, rows, out + r);
    for (size_t i = 0; i < bytes; i++)
        for (size_t k = r; k < rows; k++) {
            uint8_t v = group[i * rows + k];

            out[k] += (uint32_t)tables[32 * i + (v & 15)] + tables[32 * i + 16 + (v >> 4)];
        }
}

static float group_estimates(const uint8_t *tables, size_t bytes, const uint8_t *group, size_t rows,
                             float base, float scale, float *out)
{
    const uint8_t *factors = group + bytes * rows;
    uint32_t sums[KERNEL_GROUP];
    float least = INFINITY;

    group_sums(tables, bytes, group, rows, sums);
    for (size_t r = 0; r < rows; r++) {
        float a, b, est;

        memcpy(&a, factors + 4 * r, sizeof(a));
        memcpy(&b, factors + 4 * (rows + r), sizeof(b));
        est = b + a * (base + scale * (float)sums[r]);
        out[r] = fabsf(est) <= FLT_MAX ? est : INFINITY;
        least = out[r] < least ? out[r] : least;
    }
    return least;
}

static inline __m256 abs_ps(__m256 v)
{
    return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), v);
}

static float l1_row(const float *query, const uint8_t *row, float mid, float step, size_t dim)
{
    __m256 base = _mm256_set1_ps(mid - 128.0f * step), scale = _mm256_set1_ps(step);
    __m256 sum = _mm256_setzero_ps();
    size_t i = 0;
    float tail = 0;

    for (; i + 8 <= dim; i += 8) {
        __m256i code =
            _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i_u *)(const void *)(row + i)));
        __m256 x = _mm256_fmadd_ps(_mm256_cvtepi32_ps(code), scale, base);

        sum = _mm256_add_ps(sum, abs_ps(_mm256_sub_ps(x, _mm256_loadu_ps(query + i))));
    }
    for (; i < dim; i++)
        tail += fabsf(mid + step * (float)((int)row[i] - 128) - query[i]);
    return sum_f32(sum) + tail;
}

static float dot_f32(const float *a, const float *b, size_t dim)
{
    __m256 s0 = _mm256_setzero_ps(), s1 = s0;
    size_t i = 0;
    float tail = 0;

    for (; i + 16 <= dim; i += 16) {
        s0 = _mm256_fmadd_ps(_mm256_loadu_ps(a + i), _mm256_loadu_ps(b + i), s0);
        s1 = _mm256_fmadd_ps(_mm256_loadu_ps(a + i + 8), _mm256_loadu_ps(b + i + 8), s1);
    }
    for (; i < dim; i++)
        tail += a[i] * b[i];
    return sum_f32(_mm256_add_ps(s0, s1)) + tail;
}

static void dot_tile(const float *const rows[KERNEL_TILE], const float *points, size_t dim,
                     size_t count, float *out)
{
    for (size_t p = 0; p < count; p++) {
        const float *x = points + p * dim;
        __m256 sums[KERNEL_TILE] = {_mm256_setzero_ps(), _mm256_setzero_ps(), _mm256_setzero_ps(),
                                    _mm256_setzero_ps()};
        size_t i = 0;

        for (; i + 8 <= dim; i += 8)
            for (unsigned r = 0; r < KERNEL_TILE; r++)
                sums[r] =
                    _mm256_fmadd_ps(_mm256_loadu_ps(x + i), _mm256_loadu_ps(rows[r] + i), sums[r]);
        for (unsigned r = 0; r < KERNEL_TILE; r++) {
            float tail = 0;

            for (size_t j = i; j < dim; j++)
                tail += x[j] * rows[r][j];
            out[r * count + p] = sum_f32(sums[r]) + tail;
        }
    }
}

static float l2_f32(const float *a, const float *b, size_t dim)
{
    __m256 s0 = _mm256_setzero_ps(), s1 = s0;
    size_t i = 0;
    float tail = 0;

    for (; i + 16 <= dim; i += 16) {
        __m256 d0 = _mm256_sub_ps(_mm256_loadu_ps(a + i), _mm256_loadu_ps(b + i));
        __m256 d1 = _mm256_sub_ps(_mm256_loadu_ps(a + i + 8), _mm256_loadu_ps(b + i + 8));

        s0 = _mm256_fmadd_ps(d0, d0, s0);
        s1 = _mm256_fmadd_ps(d1, d1, s1);
    }
    for (; i < dim; i++)
        tail += (a[i] - b[i]) * (a[i] - b[i]);
    return sum_f32(_mm256_add_ps(s0, s1)) + tail;
}

static float l1_f32(const float *a, const float *b, size_t dim)
{
    __m256 sum = _mm256_setzero_ps();
    size_t i = 0;
    float tail = 0;

    for (; i + 8 <= dim; i += 8)
        sum = _mm256_add_ps(sum,
                            abs_ps(_mm256_sub_ps(_mm256_loadu_ps(a + i), _mm256_loadu_ps(b + i))));
    for (; i < dim; i++)
        tail += fabsf(a[i] - b[i]);
    return sum_f32(sum) + tail;
}

static void range(const float *v, size_t dim, float *low, float *high)
{
    __m256 least, most;
    float lows[8], highs[8];
    size_t i = 0;

    if (dim < 8) {
        kernels_scalar.range(v, dim, low, high);
        return;
    }
    least = most = _mm256_loadu_ps(v);
    for (; i + 8 <= dim; i += 8) {
        least = _mm256_min_ps(least, _mm256_loadu_ps(v + i));
        most = _mm256_max_ps(most, _mm256_loadu_ps(v + i));
    }
    /* The last eight overlap with those before. */
    least = _mm256_min_ps(least, _mm256_loadu_ps(v + dim - 8));
    most = _mm256_max_ps(most, _mm256_loadu_ps(v + dim - 8));
    _mm256_storeu_ps(lows, least);
    _mm256_storeu_ps(highs, most);
    kernels_scalar.range(lows, 8, low, &lows[0]);
    kernels_scalar.range(highs, 8, &highs[0], high);
}

/* Between product and sum lies a bound, so that no compiler makes one rounding of the two. The tail
 * is the scalar twin's. */
static void encode(const float *v, size_t dim, float mid, float per_step, uint8_t *out,
                   int32_t *sum, uint32_t *sum2)
{
    const __m256 middle = _mm256_set1_ps(mid), per = _mm256_set1_ps(per_step);
    const __m256 low = _mm256_set1_ps(-128.0f), high = _mm256_set1_ps(127.0f);
    const __m256 half = _mm256_set1_ps(128.5f);
    __m256i sums = _mm256_setzero_si256(), squares = sums;
    uint32_t tail_sum2;
    int32_t tail_sum;
    size_t i = 0;

    for (; i + 8 <= dim; i += 8) {
        __m256 x = _mm256_mul_ps(_mm256_sub_ps(_mm256_loadu_ps(v + i), middle), per);
        __m256i code, centred;
        __m128i words;

        x = _mm256_min_ps(_mm256_max_ps(x, low), high); /* of NaN the second, a bound */
        code = _mm256_cvttps_epi32(_mm256_add_ps(x, half));
        words = _mm_packus_epi32(_mm256_castsi256_si128(code), _mm256_extracti128_si256(code, 1));
        _mm_storel_epi64((__m128i *)(void *)(out + i), _mm_packus_epi16(words, words));
        centred = _mm256_sub_epi32(code, _mm256_set1_epi32(128));
        sums = _mm256_add_epi32(sums, centred);
        squares = _mm256_add_epi32(squares, _mm256_mullo_epi32(centred, centred));
    }
    kernels_scalar.encode(v + i, dim - i, mid, per_step, out + i, &tail_sum, &tail_sum2);
    *sum = sum_i32(sums) + tail_sum;
    *sum2 = (uint32_t)sum_i32(squares) + tail_sum2;
}

const struct kernels kernels_avx2 = {
    .name = "avx2",
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
