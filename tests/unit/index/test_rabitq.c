/* Codes of a few bits: kernels against their scalar twins, estimates against a slow reading of the
 * page in double, bounds of their errors, and what is degenerate. */
#include "index/rabitq.h"

#include "base/bytes.h"
#include "tests/support/alloc_sweep.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint64_t state = 41;

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

static float normal(void) /* about */
{
    float sum = 0;

    for (int i = 0; i < 6; i++)
        sum += uniform();
    return sum / sqrtf(2.0f);
}

static const uint8_t widths[] = {1, 2, 4, 8};
static const uint32_t dims[] = {1,   2,   3,   4,   5,   7,   8,   9,    15,   16,   17,   31,
                                32,  33,  63,  64,  65,  100, 127, 128,  129,  200,  255,  256,
                                257, 300, 384, 511, 513, 768, 784, 1000, 1024, 1536, 4099, 65535};
static const char *const kernel_names[] = {"scalar", "avx2", "avx512vnni"};

static float read_f32(const uint8_t *at)
{
    float v;

    memcpy(&v, at, sizeof(v));
    return v;
}

/* --- kernels --- */
static void compare_dots(const struct kernels *k, uint32_t dim, uint8_t bits, bool extremes)
{
    enum { CODES = 7 };
    size_t bytes = ((size_t)dim * bits + 7) / 8, stride = bytes + 8;
    size_t plane = kernel_plane_bytes(bytes), all = plane * (8u / bits);
    int8_t *planes = aligned_alloc(KERNEL_ALIGN, all);
    uint8_t *codes =
        malloc(stride * CODES); /* no byte more: the sanitizer sees what is over-read */
    int32_t want[CODES], got[CODES];

    for (size_t i = 0; i < all; i++)
        planes[i] = i % plane >= bytes ? 0 : extremes ? -128 : (int8_t)mix();
    for (size_t i = 0; i < stride * CODES; i++)
        codes[i] = extremes ? 255 : (uint8_t)mix();
    kernels_scalar.code_dots(planes, bytes, bits, codes, stride, CODES, want);
    for (size_t count = 1; count <= CODES; count++) {
        memset(got, 1, sizeof(got));
        k->code_dots(planes, bytes, bits, codes, stride, count, got);
        assert_memory_equal(got, want, count * sizeof(*got));
    }
    for (size_t count = 1; bits == 1 && count <= CODES; count++) {
        const uint8_t *rows[CODES];
        int32_t expected[CODES];

        for (size_t r = 0; r < count; r++) {
            rows[r] = codes + (r * 3 % CODES) * stride;
            expected[r] = want[r * 3 % CODES];
        }
        memset(got, 1, sizeof(got));
        k->bit_rows(planes, bytes, rows, count, got);
        assert_memory_equal(got, expected, count * sizeof(*got));
        if (count < CODES)
            assert_int_equal(got[count], 0x01010101); /* nothing behind is written */
    }
    free(planes);
    free(codes);
}

static void compare_tiles(const struct kernels *k, uint32_t dim)
{
    enum { POINTS = 6 };
    float *values = malloc((KERNEL_TILE + POINTS) * (size_t)dim * sizeof(*values));
    float *points = values + KERNEL_TILE * (size_t)dim, out[KERNEL_TILE * POINTS];
    const float *rows[KERNEL_TILE];

    for (size_t i = 0; i < (KERNEL_TILE + POINTS) * (size_t)dim; i++)
        values[i] = uniform();
    for (size_t r = 0; r < KERNEL_TILE; r++)
        rows[r] = values + r * dim;
    for (size_t count = 1; count <= POINTS; count++) {
        k->dot_tile(rows, points, dim, count, out);
        for (size_t r = 0; r < KERNEL_TILE; r++)
            for (size_t p = 0; p < count; p++) {
                float want = kernels_scalar.dot_f32(rows[r], points + p * dim, dim);

                assert_true(fabsf(out[r * count + p] - want) <= 1e-5f * (float)dim + 1e-6f);
            }
    }
    free(values);
}

static void compare_groups(const struct kernels *k, size_t bytes, bool extremes)
{
    uint8_t *tables = malloc(32 * bytes), *group = malloc(KERNEL_GROUP * bytes);
    uint32_t want[KERNEL_GROUP], got[KERNEL_GROUP];

    for (size_t i = 0; i < 32 * bytes; i++)
        tables[i] = extremes ? KERNEL_TABLE_MAX : (uint8_t)(mix() % (KERNEL_TABLE_MAX + 1));
    for (size_t rows = 1; rows <= KERNEL_GROUP; rows++) {
        uint8_t *at = group + (KERNEL_GROUP - rows) * bytes; /* what is over-read is seen */

        for (size_t i = 0; i < rows * bytes; i++)
            at[i] = (uint8_t)mix();
        kernels_scalar.group_sums(tables, bytes, at, rows, want);
        memset(got, 1, sizeof(got));
        k->group_sums(tables, bytes, at, rows, got);
        assert_memory_equal(got, want, rows * sizeof(*got));
    }
    free(tables);
    free(group);
}

/* Factors that are not finite, and sets of kernels beside the scalar one. */
static void compare_group_estimates(const struct kernels *k, size_t bytes)
{
    uint8_t *tables = malloc(32 * bytes), *group = malloc(KERNEL_GROUP * (bytes + 8));
    float want[KERNEL_GROUP], got[KERNEL_GROUP], huge = FLT_MAX, least;

    for (size_t i = 0; i < 32 * bytes; i++)
        tables[i] = (uint8_t)(mix() % (KERNEL_TABLE_MAX + 1));
    for (size_t rows = 1; rows <= KERNEL_GROUP; rows += 3) {
        uint8_t *at = group + (KERNEL_GROUP - rows) * (bytes + 8);

        for (size_t i = 0; i < rows * bytes; i++)
            at[i] = (uint8_t)mix();
        for (size_t i = 0; i < 2 * rows; i++) {
            float f = i == rows / 2 ? huge : uniform();

            memcpy(at + rows * bytes + 4 * i, &f, sizeof(f));
        }
        least = kernels_scalar.group_estimates(tables, bytes, at, rows, 1.5f, 0.25f, want);
        assert_true(fabsf(k->group_estimates(tables, bytes, at, rows, 1.5f, 0.25f, got) - least) <=
                        1e-4f * (fabsf(least) + 100 * (float)bytes) ||
                    isinf(least));
        for (size_t r = 0; r < rows; r++)
            assert_true(r == rows / 2 ? isinf(got[r]) == isinf(want[r])
                                      : fabsf(got[r] - want[r]) <=
                                            1e-5f * (100 * (float)bytes + fabsf(want[r])));
    }
    free(tables);
    free(group);
}

static void every_kernel_agrees_with_its_scalar_twin(void **unused)
{
    const char *best = kernels_get()->name;

    (void)unused;
    for (size_t n = 0; n < COUNT_OF(kernel_names); n++) {
        if (!kernels_choose(kernel_names[n])) {
            print_message("this machine has no %s\n", kernel_names[n]);
            continue;
        }
        for (size_t d = 0; d < COUNT_OF(dims); d += 3) {
            compare_groups(kernels_get(), (dims[d] + 7) / 8, false);
            compare_groups(kernels_get(), (dims[d] + 7) / 8, true);
            compare_group_estimates(kernels_get(), (dims[d] + 7) / 8);
        }
        for (size_t d = 0; d < COUNT_OF(dims); d++) {
            for (size_t b = 0; b < COUNT_OF(widths); b++) {
                compare_dots(kernels_get(), dims[d], widths[b], false);
                compare_dots(kernels_get(), dims[d], widths[b], true);
            }
            compare_tiles(kernels_get(), dims[d]);
        }
    }
    assert_true(kernels_choose(best));
}

/* --- the rotation --- */
/* As the page says it, in double and without any trick: signs, a transform by its definition
 * (the sign of entry (i, j) is the parity of i & j), then sum and difference of the halves. */
static void turn_slowly(uint32_t dim, const uint8_t *signs, double *v)
{
    double *from = malloc(dim * sizeof(*from));
    uint32_t block = 1, half = dim / 2;

    while (block * 2 <= dim)
        block *= 2;
    for (uint32_t round = 0; round < 4; round++) {
        uint32_t first = round % 2 == 0 ? 0 : dim - block;

        for (uint32_t i = 0; i < dim; i++) {
            uint64_t bit = (uint64_t)round * dim + i;

            v[i] *= signs[bit / 8] >> bit % 8 & 1 ? -1 : 1;
        }
        memcpy(from, v, dim * sizeof(*v));
        for (uint32_t i = 0; i < block; i++) {
            v[first + i] = 0;
            for (uint32_t j = 0; j < block; j++)
                v[first + i] += (__builtin_popcount(i & j) % 2 ? -1 : 1) * from[first + j];
            v[first + i] /= sqrt(block);
        }
        memcpy(from, v, dim * sizeof(*v));
        for (uint32_t i = 0; i < half && block != dim; i++) {
            v[i] = (from[i] + from[dim - half + i]) / sqrt(2);
            v[dim - half + i] = (from[i] - from[dim - half + i]) / sqrt(2);
        }
    }
    free(from);
}

static void the_rotation_is_that_of_the_page(void **unused)
{
    (void)unused;
    for (size_t d = 0; d < COUNT_OF(dims) && dims[d] <= 1024; d++) {
        uint32_t dim = dims[d];
        uint8_t *signs = malloc(rabitq_signs_bytes(dim));
        float *v = malloc(2 * dim * sizeof(*v));
        double *w = malloc(dim * sizeof(*w)), before = 0, after = 0;

        rabitq_signs_make(dim, 5, signs);
        for (uint32_t i = 0; i < dim; i++) {
            w[i] = (double)(v[i] = normal());
            before += w[i] * w[i];
        }
        rabitq_turn(dim, signs, v, v + dim);
        turn_slowly(dim, signs, w);
        for (uint32_t i = 0; i < dim; i++) {
            assert_true(fabs((double)v[i] - w[i]) < 1e-4);
            after += (double)v[i] * (double)v[i];
        }
        assert_true(fabs(after - before) <= 1e-4 * before); /* lengths stay */
        free(signs);
        free(v);
        free(w);
    }
}

/* Unused bits are zero, so that the bytes of a footer say nothing by chance. */
static void signs_come_from_the_seed_alone(void **unused)
{
    uint8_t a[8], b[8], c[8];

    (void)unused;
    assert_int_equal(rabitq_signs_bytes(15), 8);
    rabitq_signs_make(15, 1, a);
    rabitq_signs_make(15, 1, b);
    rabitq_signs_make(15, 2, c);
    assert_memory_equal(a, b, 8);
    assert_memory_not_equal(a, c, 8);
    assert_int_equal(a[7] & 0xf0, 0);
}

/* --- codes --- */
struct bench {
    struct rabitq_shape shape;
    uint8_t *signs, *code;
    float *c, *v, *q;    /* centroid, vector, query */
    float *tc, *u, *buf; /* T c, T(v - c) */
    struct rabitq_query *query;
};

static struct bench bench_make(uint32_t dim, uint8_t bits, float offset, float apart)
{
    struct bench b = {.shape = {dim, bits}};
    float *all = calloc(7 * (size_t)dim, sizeof(*all));

    b.signs = malloc(rabitq_signs_bytes(dim));
    b.code = malloc(rabitq_code_bytes(b.shape));
    b.c = all;
    b.v = all + dim;
    b.q = all + 2 * (size_t)dim;
    b.tc = all + 3 * (size_t)dim;
    b.u = all + 4 * (size_t)dim;
    b.buf = all + 5 * (size_t)dim;
    rabitq_signs_make(dim, 77 + dim, b.signs);
    for (uint32_t i = 0; i < dim; i++) {
        b.c[i] = offset + normal();
        b.v[i] = b.c[i] + apart * normal();
        b.q[i] = b.c[i] + normal();
    }
    return b;
}

static void bench_code(struct bench *b)
{
    uint32_t dim = b->shape.dim;

    for (uint32_t i = 0; i < dim; i++) {
        b->tc[i] = b->c[i];
        b->u[i] = b->v[i] - b->c[i];
    }
    rabitq_turn(dim, b->signs, b->tc, b->buf);
    rabitq_turn(dim, b->signs, b->u, b->buf);
    rabitq_encode(b->shape, b->u, b->tc, b->code);
    assert_int_equal(rabitq_query_create(dim, b->signs, b->q, &b->query, NULL), ST_OK);
}

static void bench_free(struct bench *b)
{
    rabitq_query_destroy(b->query);
    free(b->signs);
    free(b->code);
    free(b->c);
}

static double square(const float *a, const float *b, uint32_t dim)
{
    double sum = 0;

    for (uint32_t i = 0; i < dim; i++)
        sum += ((double)a[i] - (double)b[i]) * ((double)a[i] - (double)b[i]);
    return sum;
}

/* The estimate as the page writes it, from the bytes of the code. */
static double estimate_slowly(const struct bench *b)
{
    uint32_t dim = b->shape.dim, bits = b->shape.bits;
    size_t factors = rabitq_code_bytes(b->shape) - 8;
    double *tq = malloc(dim * sizeof(*tq)), dot = 0;

    for (uint32_t i = 0; i < dim; i++)
        tq[i] = (double)b->q[i];
    turn_slowly(dim, b->signs, tq);
    for (uint32_t i = 0; i < dim; i++) {
        size_t bit = (size_t)i * bits;
        int n = b->code[bit / 8] >> bit % 8 & ((1 << bits) - 1);

        dot += tq[i] * (bits == 1 ? 2 * n - 1 : n - (1 << (bits - 1)) + 0.5);
    }
    free(tq);
    return (double)read_f32(b->code + factors + 4) + (double)read_f32(b->code + factors) * dot;
}

static double estimated(const struct bench *b)
{
    float est;

    rabitq_estimate(b->query, b->shape, b->code, rabitq_code_bytes(b->shape), 1, &est);
    return (double)est;
}

/* Rounding the query to 8 bits moves an estimate by no more than a few thousandths of |u| |q|,
 * rounding to 16 by 256 times less. */
static void estimates_are_those_of_the_page(void **unused)
{
    const char *best = kernels_get()->name;

    (void)unused;
    for (size_t n = 0; n < COUNT_OF(kernel_names); n++) {
        if (!kernels_choose(kernel_names[n]))
            continue;
        for (size_t d = 0; d < COUNT_OF(dims) && dims[d] <= 1024; d++)
            for (size_t w = 0; w < COUNT_OF(widths); w++) {
                struct bench b = bench_make(dims[d], widths[w], 0, 0.7f);
                double may;

                bench_code(&b);
                may = (widths[w] == 8 ? 2e-4 : 2e-2) * sqrt(square(b.v, b.c, dims[d])) *
                          sqrt(4.0 * dims[d]) +
                      1e-4;
                if (fabs(estimated(&b) - estimate_slowly(&b)) > may)
                    fail_msg("dim %u, %u bits: %g is not %g (may %g)", dims[d], widths[w],
                             estimated(&b), estimate_slowly(&b), may);
                bench_free(&b);
            }
    }
    assert_true(kernels_choose(best));
}

/* Groups of rows, the last of them short: tables of 7 bits move an estimate by little more. */
static void groups_estimate_what_the_page_says(void **unused)
{
    enum { ROWS = KERNEL_GROUP + 9 };
    static const uint32_t some[] = {1, 3, 17, 100, 129, 384, 1000};

    (void)unused;
    for (size_t d = 0; d < COUNT_OF(some); d++)
        for (size_t w = 0; w < 3; w++) {
            struct bench b = bench_make(some[d], widths[w], 0, 0.7f);
            const size_t bytes = rabitq_code_bytes(b.shape);
            uint8_t *codes = malloc(ROWS * bytes), *scratch = malloc(KERNEL_GROUP * bytes);
            float got[ROWS];
            double want[ROWS], may[ROWS];
            struct rabitq_tables *t;

            for (size_t r = 0; r < ROWS; r++) {
                if (r > 0)
                    rabitq_query_destroy(b.query);
                for (uint32_t i = 0; i < some[d]; i++)
                    b.v[i] = b.c[i] + 0.7f * normal();
                bench_code(&b);
                memcpy(codes + r * bytes, b.code, bytes);
                want[r] = estimate_slowly(&b);
                may[r] = 5e-2 * sqrt(square(b.v, b.c, some[d])) * sqrt(4.0 * some[d]) + 1e-4;
            }
            assert_int_equal(rabitq_tables_create(b.query, b.shape, &t, NULL), ST_OK);
            rabitq_group(b.shape, codes, ROWS, scratch);
            (void)rabitq_estimate_group(t, codes, KERNEL_GROUP, got);
            (void)rabitq_estimate_group(t, codes + KERNEL_GROUP * bytes, ROWS - KERNEL_GROUP,
                                        got + KERNEL_GROUP);
            for (size_t r = 0; r < ROWS; r++)
                if (fabs((double)got[r] - want[r]) > may[r])
                    fail_msg("dim %u, %u bits, row %zu: %g is not %g (may %g)", some[d], widths[w],
                             r, (double)got[r], want[r], may[r]);
            rabitq_tables_destroy(t);
            free(codes);
            free(scratch);
            bench_free(&b);
        }
}

/* Mean square error of an estimated square against |u| |q - c|, the scale of what is unknown:
 * the paper's bound is c / sqrt(dim), halved by each bit. */
static double error_of(uint32_t dim, uint8_t bits, float offset)
{
    enum { TIMES = 40 };
    double sum = 0, bias = 0;

    for (int i = 0; i < TIMES; i++) {
        struct bench b = bench_make(dim, bits, offset, 0.7f);
        double off, scale;

        bench_code(&b);
        off = estimated(&b) + square(b.c, b.q, dim) - square(b.v, b.q, dim);
        scale = sqrt(square(b.v, b.c, dim) * square(b.q, b.c, dim));
        sum += off / scale * (off / scale);
        bias += off / scale;
        bench_free(&b);
    }
    sum = sqrt(sum / TIMES);
    assert_true(fabs(bias / TIMES) <= 0.6 * sum); /* without bias, but for chance */
    return sum * sqrt(dim);
}

static void errors_keep_their_bounds(void **unused)
{
    static const struct {
        uint8_t bits;
        double most;
    } bounds[] = {{1, 2.2}, {2, 1.1}, {4, 0.3}, {8, 0.04}};

    (void)unused;
    for (size_t d = 0; d < COUNT_OF(dims) && dims[d] <= 1024; d++)
        for (size_t b = 0; b < COUNT_OF(bounds) && dims[d] >= 63; b++) {
            double error = error_of(dims[d], bounds[b].bits, 0);

            if (error > bounds[b].most)
                fail_msg("dim %u, %u bits: error %g above %g", dims[d], bounds[b].bits, error,
                         bounds[b].most);
        }
}

static void what_is_decoded_is_near(void **unused)
{
    (void)unused;
    for (size_t d = 0; d < COUNT_OF(dims); d++) {
        struct bench b = bench_make(dims[d], 8, 0, 0.7f);
        double off, size = 0;

        bench_code(&b);
        rabitq_decode(b.shape, b.code, b.buf);
        off = square(b.u, b.buf, dims[d]);
        for (uint32_t i = 0; i < dims[d]; i++)
            size += (double)b.u[i] * (double)b.u[i];
        assert_true(off <= 0.001 * size);
        bench_free(&b);
    }
}

/* --- what is degenerate --- */
static void a_vector_that_is_its_centroid_is_exact(void **unused)
{
    (void)unused;
    for (size_t d = 0; d < COUNT_OF(dims); d++)
        for (size_t w = 0; w < COUNT_OF(widths); w++) {
            struct bench b = bench_make(dims[d], widths[w], 0, 0);

            bench_code(&b);
            assert_true(estimated(&b) == 0);
            bench_free(&b);
        }
}

/* Whatever a vector of finite components has, factors are finite and estimates are no NaN. */
static void huge_and_tiny_vectors_are_coded(void **unused)
{
    static const float sizes[] = {0, 1e-45f, 1e-38f, 1e-20f, 1e10f, 1e19f, 1e30f, 3e38f};

    (void)unused;
    for (size_t w = 0; w < COUNT_OF(widths); w++)
        for (size_t s = 0; s < COUNT_OF(sizes); s++)
            for (uint32_t dim = 1; dim <= 65; dim += 8) {
                struct bench b = bench_make(dim, widths[w], 0, 1);
                size_t factors = rabitq_code_bytes(b.shape) - 8;

                for (uint32_t i = 0; i < dim; i++) {
                    b.v[i] = i % 3 == 0 ? -sizes[s] : sizes[s];
                    b.q[i] = uniform() * sizes[s];
                }
                bench_code(&b);
                assert_true(isfinite(read_f32(b.code + factors)) != 0);
                assert_true(isfinite(read_f32(b.code + factors + 4)) != 0);
                assert_true(isnan(estimated(&b)) == 0);
                bench_free(&b);
            }
}

static void factors_that_are_not_finite_say_far(void **unused)
{
    static const float wild[] = {INFINITY, -INFINITY, NAN};

    (void)unused;
    for (size_t w = 0; w < COUNT_OF(widths); w++)
        for (size_t i = 0; i < COUNT_OF(wild); i++)
            for (size_t at = 0; at <= 4; at += 4) {
                struct bench b = bench_make(33, widths[w], 0, 1);

                bench_code(&b);
                memcpy(b.code + rabitq_code_bytes(b.shape) - 8 + at, &wild[i], sizeof(float));
                assert_true(estimated(&b) == (double)INFINITY);
                bench_free(&b);
            }
}

static status create_one(void *arg)
{
    const struct bench *b = arg;
    struct rabitq_query *q = NULL;
    status st = rabitq_query_create(b->shape.dim, b->signs, b->q, &q, NULL);

    rabitq_query_destroy(q);
    return st;
}

static void a_query_without_memory_says_so(void **unused)
{
    struct bench b = bench_make(100, 1, 0, 1);

    (void)unused;
    assert_int_equal(alloc_sweep(create_one, &b), 2);
    bench_free(&b);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kernel_agrees_with_its_scalar_twin),
        cmocka_unit_test(the_rotation_is_that_of_the_page),
        cmocka_unit_test(signs_come_from_the_seed_alone),
        cmocka_unit_test(estimates_are_those_of_the_page),
        cmocka_unit_test(groups_estimate_what_the_page_says),
        cmocka_unit_test(errors_keep_their_bounds),
        cmocka_unit_test(what_is_decoded_is_near),
        cmocka_unit_test(a_vector_that_is_its_centroid_is_exact),
        cmocka_unit_test(huge_and_tiny_vectors_are_coded),
        cmocka_unit_test(factors_that_are_not_finite_say_far),
        cmocka_unit_test(a_query_without_memory_says_so),
    };

    state = argc > 1 ? strtoull(argv[1], NULL, 10) : 41;
    print_message("seed %llu\n", (unsigned long long)state);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
