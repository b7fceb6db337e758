/* Each set of kernels against the scalar one, and the codes against the vectors they stand for. */
#include "index/codes.h"

#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static uint64_t state = 20;

static uint64_t mix(void)
{
    uint64_t x = state += 0x9e3779b97f4a7c15u;

    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

static float uniform(void)
{
    return (float)((double)(mix() >> 11) * 0x1.0p-52 - 1.0);
}

static const uint32_t large[] = {384, 511, 512, 513, 768, 784, 1000, 1024, 1536, 4097, 65535};

enum { ROWS = 7, DIMS_ALL = 300 };

static uint32_t dim_at(uint32_t i)
{
    return i < DIMS_ALL ? i + 1 : large[i - DIMS_ALL];
}

static void near(float a, float b, float scale)
{
    if (!(fabsf(a - b) <= 1e-5f * scale + 1e-6f))
        fail_msg("%g is not near %g (scale %g)", (double)a, (double)b, (double)scale);
}

static void compare_floats(const struct kernels *k, uint32_t dim)
{
    float *a = malloc(dim * sizeof(float)), *b = malloc(dim * sizeof(float));
    uint8_t *row = malloc(dim);
    float scale = (float)dim;

    for (uint32_t i = 0; i < dim; i++) {
        a[i] = uniform();
        b[i] = uniform();
        row[i] = (uint8_t)mix();
    }
    near(k->dot_f32(a, b, dim), kernels_scalar.dot_f32(a, b, dim), scale);
    near(k->l2_f32(a, b, dim), kernels_scalar.l2_f32(a, b, dim), 4 * scale);
    near(k->l1_f32(a, b, dim), kernels_scalar.l1_f32(a, b, dim), 2 * scale);
    near(k->l1_row(a, row, 0.1f, 0.01f, dim), kernels_scalar.l1_row(a, row, 0.1f, 0.01f, dim),
         2 * scale);
    free(a);
    free(b);
    free(row);
}

/* Rows begin at every multiple of KERNEL_ROW_ALIGN, and nothing behind the last one is read. */
static void compare_codes(const struct kernels *k, uint32_t dim, bool extremes)
{
    struct code_shape shape = code_shape(VMETRIC_DOT, dim);
    size_t bytes = shape.row_bytes;
    int8_t *query = aligned_alloc(KERNEL_ALIGN, code_query_bytes(&shape));
    uint8_t *block = aligned_alloc(KERNEL_ROW_ALIGN, bytes * ROWS);
    const uint8_t *rows[ROWS];
    int32_t out[ROWS];

    memset(query, 0, code_query_bytes(&shape));
    for (uint32_t i = 0; i < dim; i++)
        query[i] = extremes ? -128 : (int8_t)mix();
    for (size_t i = 0; i < bytes * ROWS; i++)
        block[i] = extremes ? 255 : (uint8_t)mix();
    for (uint32_t r = 0; r < ROWS; r++)
        rows[r] = block + r * bytes;
    for (uint32_t count = 1; count <= ROWS; count++) {
        memset(out, 0x5a, sizeof(out));
        k->dot_rows(query, bytes, rows, count, out);
        for (uint32_t r = 0; r < count; r++) {
            int32_t twin = kernels_scalar.dot_row(query, rows[r], bytes);

            assert_int_equal(out[r], twin);
            assert_int_equal(k->dot_row(query, rows[r], bytes), twin);
        }
        for (uint32_t r = count; r < ROWS; r++)
            assert_int_equal(out[r], 0x5a5a5a5a);
    }
    free(query);
    free(block);
}

/* What a vector may have in it at worst: numbers too small to be normal, as large as they come,
 * none but one, and halfway between two codes. */
static void hard_vector(uint32_t kind, uint32_t dim, float *v)
{
    for (uint32_t i = 0; i < dim; i++) {
        uint64_t r = mix();

        switch (kind) {
        case 0:
            v[i] = uniform();
            break;
        case 1:
            v[i] = (r & 1 ? 1.0f : -1.0f) * (float)(r >> 40) * 0x1p-149f;
            break;
        case 2:
            v[i] = (r & 1 ? 1.0f : -1.0f) * (r & 2 ? FLT_MAX : 1.0f);
            break;
        case 3:
            v[i] = 0.1f;
            break;
        case 4:
            v[i] = r & 1 ? 0.0f : -0.0f;
            break;
        default:
            v[i] = i == 0 ? 0.0f : i == 1 ? 255.0f : (float)(r % 255) + 0.5f;
            break;
        }
    }
}

/* Codes are the same bytes whoever makes them: an image is loaded on another machine, too. */
static void compare_encoding(const struct kernels *k, uint32_t dim)
{
    float *v = malloc(dim * sizeof(float));
    uint8_t *a = malloc(dim + 1), *b = malloc(dim + 1);

    for (uint32_t kind = 0; kind < 6; kind++) {
        const float scales[][2] = {{0.0f, 127.5f}, {127.5f, 1.0f}, {0.0f, FLT_MAX}, {-1.0f, 0.0f}};
        float low, high, twin_low, twin_high;

        hard_vector(kind, dim, v);
        k->range(v, dim, &low, &high);
        kernels_scalar.range(v, dim, &twin_low, &twin_high);
        assert_true(low == twin_low && high == twin_high);
        for (size_t s = 0; s < COUNT_OF(scales); s++) {
            uint32_t sum2, twin_sum2;
            int32_t sum, twin_sum;

            a[dim] = 77; /* nothing is written behind the last */
            b[dim] = 77;
            k->encode(v, dim, scales[s][0], scales[s][1], a, &sum, &sum2);
            kernels_scalar.encode(v, dim, scales[s][0], scales[s][1], b, &twin_sum, &twin_sum2);
            assert_memory_equal(a, b, dim + 1);
            assert_int_equal(sum, twin_sum);
            assert_int_equal(sum2, twin_sum2);
        }
    }
    free(v);
    free(a);
    free(b);
}

/* A row touches as many lines wherever it lies as it does at the beginning of one. */
static void rows_touch_no_more_lines_than_they_need(void **unused)
{
    (void)unused;
    for (uint32_t i = 0; i < DIMS_ALL + COUNT_OF(large); i++) {
        uint32_t bytes = code_shape(VMETRIC_L2, dim_at(i)).row_bytes;

        assert_true(bytes >= dim_at(i) + sizeof(struct code_tail));
        assert_int_equal(bytes % KERNEL_ROW_ALIGN, 0);
        for (uint64_t row = 0; row < 8; row++) {
            uint64_t first = row * bytes / KERNEL_ALIGN,
                     last = ((row + 1) * bytes - 1) / KERNEL_ALIGN;

            assert_true(last - first < (bytes + KERNEL_ALIGN - 1) / KERNEL_ALIGN);
        }
    }
    assert_int_equal(code_shape(VMETRIC_COSINE, 384).row_bytes, 400);
}

static void every_set_agrees_with_its_scalar_twin(void **unused)
{
    static const char *const names[] = {"scalar", "avx2", "avx512vnni"};
    const char *best = kernels_get()->name;

    (void)unused;
    for (size_t n = 0; n < COUNT_OF(names); n++) {
        if (!vindex_kernel_choose(names[n])) {
            print_message("this machine has no %s\n", names[n]);
            continue;
        }
        assert_string_equal(vindex_kernel(), names[n]);
        for (uint32_t i = 0; i < DIMS_ALL + COUNT_OF(large); i++) {
            compare_floats(kernels_get(), dim_at(i));
            compare_encoding(kernels_get(), dim_at(i));
            compare_codes(kernels_get(), dim_at(i), false);
            compare_codes(kernels_get(), dim_at(i), true);
        }
    }
    assert_false(vindex_kernel_choose("abacus"));
    assert_true(vindex_kernel_choose(best));
}

struct side {
    float *vector;
    uint8_t *row;
};

static struct side side_make(const struct code_shape *shape, float offset, float spread)
{
    struct side s = {malloc(shape->dim * sizeof(float)),
                     aligned_alloc(KERNEL_ROW_ALIGN, shape->row_bytes)};

    for (uint32_t i = 0; i < shape->dim; i++)
        s.vector[i] = offset + spread * uniform();
    code_encode(shape, s.vector, s.row);
    return s;
}

static void side_free(struct side s)
{
    free(s.vector);
    free(s.row);
}

static float key_of_codes(const struct code_shape *shape, const struct side *a,
                          const struct side *b, bool of_row)
{
    struct code_query q;
    void *block = aligned_alloc(KERNEL_ALIGN, code_query_bytes(shape));
    float key;

    code_query_place(&q, shape, block);
    if (of_row)
        code_query_set_row(shape, a->row, &q);
    else
        code_query_set(shape, a->vector, &q);
    key = code_key(shape, kernels_get(), &q, b->row);
    free(block);
    return key;
}

/* The error a component may have is half a step of either side, so the key's is bounded by what
 * such errors add up to. A common offset of all components must not cost precision under l2 and l1.
 */
static void keys_of_codes_are_near_those_of_vectors(void **unused)
{
    static const enum vmetric metrics[] = {VMETRIC_COSINE, VMETRIC_DOT, VMETRIC_L2, VMETRIC_L1};

    (void)unused;
    for (size_t m = 0; m < COUNT_OF(metrics); m++)
        for (uint32_t dim = 1; dim <= 300; dim += dim < 20 ? 1 : 13)
            for (int far = 0; far < 2; far++) {
                struct code_shape shape = code_shape(metrics[m], dim);
                bool dots = metrics[m] == VMETRIC_COSINE || metrics[m] == VMETRIC_DOT;
                float offset = far && !dots ? 1000.0f : 0.0f;
                struct side a = side_make(&shape, offset, 1), b = side_make(&shape, offset, 1);
                float want = full_key(&shape, &kernels_scalar, a.vector, b.vector);
                float may = 0.02f * (float)dim + 0.001f;

                assert_true(fabsf(key_of_codes(&shape, &a, &b, false) - want) <= may);
                assert_true(fabsf(key_of_codes(&shape, &a, &b, true) - want) <= may);
                near(key_of_codes(&shape, &a, &b, true), key_of_codes(&shape, &b, &a, true),
                     (offset > 0 ? 50.0f : 1.0f) * (float)dim);
                side_free(a);
                side_free(b);
            }
}

static void keys_are_never_nan(void **unused)
{
    static const enum vmetric metrics[] = {VMETRIC_DOT, VMETRIC_L2, VMETRIC_L1};
    static const float wild[] = {0, 3e38f, -3e38f, 1e-45f, 1e20f, INFINITY, NAN};

    (void)unused;
    for (size_t m = 0; m < COUNT_OF(metrics); m++)
        for (size_t i = 0; i < COUNT_OF(wild); i++)
            for (size_t j = 0; j < COUNT_OF(wild); j++) {
                struct code_shape shape = code_shape(metrics[m], 3);
                struct side a = side_make(&shape, 0, 1), b = side_make(&shape, 0, 1);

                a.vector[1] = wild[i];
                b.vector[2] = wild[j];
                code_encode(&shape, a.vector, a.row);
                code_encode(&shape, b.vector, b.row);
                assert_true(isnan(key_of_codes(&shape, &a, &b, false)) == 0);
                assert_true(isnan(key_of_codes(&shape, &a, &b, true)) == 0);
                assert_true(isnan(full_key(&shape, kernels_get(), a.vector, b.vector)) == 0);
                side_free(a);
                side_free(b);
            }
}

static void a_constant_vector_is_coded_exactly(void **unused)
{
    struct code_shape shape = code_shape(VMETRIC_L2, 33);
    struct side a = side_make(&shape, 5, 0), b = side_make(&shape, 7, 0);

    (void)unused;
    near(key_of_codes(&shape, &a, &b, false), 4 * 33, 4 * 33);
    near(key_of_codes(&shape, &a, &a, true), 0, 1);
    side_free(a);
    side_free(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_set_agrees_with_its_scalar_twin),
        cmocka_unit_test(rows_touch_no_more_lines_than_they_need),
        cmocka_unit_test(keys_of_codes_are_near_those_of_vectors),
        cmocka_unit_test(keys_are_never_nan),
        cmocka_unit_test(a_constant_vector_is_coded_exactly),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
