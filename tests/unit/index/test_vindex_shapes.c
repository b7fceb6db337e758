/* Filters whose rows lie together, near the query or far from it, and very small dimensions:
 * answers are complete, and near what a plain loop finds. */
#include "vrows.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { ROWS = 4000, DIM = 16, K = 10, QUERIES = 6 };
static const enum vmetric metrics[] = {VMETRIC_COSINE, VMETRIC_DOT, VMETRIC_L2, VMETRIC_L1};

static struct vindex_options small(enum vmetric metric, uint32_t dim)
{
    return (struct vindex_options){.dim = dim,
                                   .metric = metric,
                                   .m = 8,
                                   .ef_construction = 80,
                                   .ef_search = 100,
                                   .threshold = 0,
                                   .seed = 3};
}

static void link_all(struct vrows *r)
{
    while (vindex_link(r->index, 1000) > 0)
        ;
}

struct ranked {
    float distance;
    uint32_t slot;
};

static int by_distance(const void *a, const void *b)
{
    const struct ranked *x = a, *y = b;

    if (x->distance != y->distance)
        return x->distance < y->distance ? -1 : 1;
    return (x->slot > y->slot) - (x->slot < y->slot);
}

static void rank(const struct vrows *r, const float *query, struct ranked *out)
{
    for (uint32_t i = 0; i < ROWS; i++)
        out[i] = (struct ranked){.distance = vindex_distance(r->index, query, i), .slot = i};
    qsort(out, ROWS, sizeof *out, by_distance);
}

/* How many of the K best that match were found; all that came back match, and none is missing. */
static uint32_t found(struct vrows *r, const float *query, const struct ranked *order,
                      uint32_t from, uint32_t count, bool *by_graph)
{
    uint64_t allow[(ROWS + 63) / 64] = {0};
    struct vsearch s = {.query = query, .k = K, .ef = 100, .allow = allow, .allow_slots = ROWS};
    uint32_t wanted = count < K ? count : K, right = 0, got;
    struct vsearch_stats stats;
    struct vhit hits[K];
    struct epoch_guard guard;

    for (uint32_t i = from; i < from + count; i++)
        allow[order[i].slot / 64] |= (uint64_t)1 << (order[i].slot % 64);
    guard = epoch_enter(r->epoch);
    assert_int_equal(vindex_search(r->index, r->scratch, &s, hits, &got, &stats, NULL), ST_OK);
    epoch_leave(r->epoch, guard);
    assert_int_equal(got, wanted);
    *by_graph = *by_graph || stats.used_graph;
    for (uint32_t i = 0; i < got; i++) {
        assert_true((allow[hits[i].slot / 64] >> (hits[i].slot % 64) & 1) != 0);
        for (uint32_t k = 0; k < wanted; k++)
            right += order[from + k].slot == hits[i].slot;
    }
    return right;
}

static void rows_that_lie_together_are_found_by_any_filter(void **unused)
{
    static const uint32_t counts[] = {1, 4, 12, 40, 120, 400, 1200, 2000, 3600, 3960};
    struct ranked *order = malloc(ROWS * sizeof *order);

    (void)unused;
    assert_non_null(order);
    for (size_t m = 0; m < COUNT_OF(metrics); m++) {
        uint32_t right[2] = {0}, all = 0;
        bool by_graph = false;
        struct vrows r;

        vrows_init(&r, small(metrics[m], DIM), 30, 71 + m);
        vrows_put_random(&r, 0, ROWS);
        link_all(&r);
        for (int q = 0; q < QUERIES; q++) {
            float query[DIM];

            vrows_point(&r, query);
            rank(&r, query, order);
            for (size_t c = 0; c < COUNT_OF(counts); c++) {
                right[0] += found(&r, query, order, 0, counts[c], &by_graph);
                right[1] += found(&r, query, order, ROWS - counts[c], counts[c], &by_graph);
                all += counts[c] < K ? counts[c] : K;
            }
        }
        print_message("%s: %u near and %u far of %u\n", vmetric_name(metrics[m]), right[0],
                      right[1], all);
        assert_true(by_graph);
        assert_true(right[0] >= all * 95 / 100);
        assert_true(right[1] >= all * 90 / 100); /* far from the query few are told apart */
        vrows_fini(&r);
    }
    free(order);
}

static void very_few_dimensions_are_searched_like_any(void **unused)
{
    (void)unused;
    for (uint32_t dim = 1; dim <= 4; dim++)
        for (size_t m = 0; m < COUNT_OF(metrics); m++) {
            uint32_t near = 0, all = 0;
            struct vrows r;

            vrows_init(&r, small(metrics[m], dim), 30, 91 + m + 10 * dim);
            vrows_put_random(&r, 0, 1500);
            link_all(&r);
            vrows_check(&r, UINT32_MAX);
            for (int q = 0; q < 30; q++) {
                struct vhit got[K], want[K];
                struct vsearch s = {.k = K, .ef = 100};
                float query[4];

                vrows_point(&r, query);
                s.query = query;
                assert_int_equal(vrows_brute(&r, query, K, NULL, want), K);
                assert_int_equal(vrows_search(&r, &s, got), K);
                /* By distance: in one dimension many rows are as near as another. */
                for (int i = 0; i < K; i++)
                    near += got[i].distance <= want[K - 1].distance + 1e-6f;
                all += K;
            }
            print_message("%u %s: %u of %u\n", dim, vmetric_name(metrics[m]), near, all);
            assert_true(near >= all * (metrics[m] == VMETRIC_DOT ? 50 : 90) / 100);
            vrows_fini(&r);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_that_lie_together_are_found_by_any_filter),
        cmocka_unit_test(very_few_dimensions_are_searched_like_any),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
