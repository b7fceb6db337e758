/* The arithmetic of ranking, against values worked out by hand. */
#include "api/rank.h"
#include "base/rand.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static struct arena arena;

static int open_arena(void **state)
{
    (void)state;
    arena_init(&arena, 1 << 24);
    return 0;
}

static int close_arena(void **state)
{
    (void)state;
    arena_free(&arena);
    return 0;
}

static struct scored point(uint64_t id, float score)
{
    return (struct scored){.id = docid_u64(id), .score = score};
}

static void check_ids(const struct scored_list *l, const uint64_t *ids, size_t count)
{
    assert_int_equal(l->count, count);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(l->items[i].id.u64, ids[i]);
}

static void check_near(double a, double b)
{
    if (fabs(a - b) > 1e-6)
        fail_msg("%.9f is not %.9f", a, b);
}

static void equal_scores_stand_by_rising_id(void **state)
{
    struct scored s[] = {point(7, 1), point(3, 2), point(2, 1), point(9, 2)};
    struct scored_list l = {s, 4};

    (void)state;
    rank_sort(s, 4, false);
    check_ids(&l, (uint64_t[]){3, 9, 2, 7}, 4);
    rank_sort(s, 4, true);
    check_ids(&l, (uint64_t[]){2, 7, 3, 9}, 4);
}

static void the_ids_of_lists_rise_and_come_once(void **state)
{
    struct scored a[] = {point(5, 0), point(1, 0)};
    struct scored b[] = {point(1, 9), point(3, 9), point(5, 9)};
    const struct scored_list lists[] = {{a, 2}, {b, 3}, {NULL, 0}};
    struct docid *ids = NULL;
    size_t count = 0;

    (void)state;
    assert_int_equal(rank_ids(&arena, lists, 3, &ids, &count, NULL), ST_OK);
    assert_int_equal(count, 3);
    assert_int_equal(ids[0].u64, 1);
    assert_int_equal(ids[1].u64, 3);
    assert_int_equal(ids[2].u64, 5);
}

/* 1: ranks 0 and 2; 2: rank 1 of both; 3: rank 0 of the second; 4: rank 2 of the first. */
static void reciprocal_ranks_count_from_zero(void **state)
{
    struct scored a[] = {point(1, 9), point(2, 8), point(4, 7)};
    struct scored b[] = {point(3, 1), point(2, 5), point(1, 6)};
    const struct scored_list lists[] = {{a, 3}, {b, 3}};
    struct scored_list out;

    (void)state;
    assert_int_equal(rank_rrf(&arena, lists, 2, 2, NULL, &out, NULL), ST_OK);
    check_ids(&out, (uint64_t[]){1, 2, 3, 4}, 4);
    check_near((double)out.items[0].score, 1.0 / 2 + 1.0 / 4);
    check_near((double)out.items[1].score, 1.0 / 3 + 1.0 / 3);
    check_near((double)out.items[2].score, 1.0 / 2);
    check_near((double)out.items[3].score, 1.0 / 4);
    assert_int_equal(rank_rrf(&arena, lists, 2, 60, NULL, &out, NULL), ST_OK);
    check_near((double)out.items[0].score, 1.0 / 60 + 1.0 / 62);
    check_ids(&out, (uint64_t[]){1, 2, 3, 4}, 4);
}

static void weights_of_lists_stretch_their_ranks(void **state)
{
    struct scored a[] = {point(1, 9), point(2, 8)};
    struct scored b[] = {point(2, 1), point(3, 5)};
    const struct scored_list lists[] = {{a, 2}, {b, 2}};
    struct scored_list out;

    (void)state;
    assert_int_equal(rank_rrf(&arena, lists, 2, 2, (float[]){3, 0}, &out, NULL), ST_OK);
    check_ids(&out, (uint64_t[]){1, 2, 3}, 3);
    check_near((double)out.items[0].score, 1 / (1.0 / 3 + 1));
    check_near((double)out.items[1].score, 1 / (2.0 / 3 + 1));
    check_near((double)out.items[2].score, 0);
}

/* 1, 2, 3: mean 2, deviation of the sample 1, so -1 is 0 and 5 is 1. */
static void distributions_are_put_on_one_scale(void **state)
{
    struct scored a[] = {point(1, 3), point(2, 2), point(3, 1)};
    struct scored b[] = {point(3, 100)};
    struct scored c[] = {point(4, 7), point(2, 7)};
    const struct scored_list lists[] = {{a, 3}, {b, 1}, {c, 2}, {NULL, 0}};
    struct scored_list out;

    (void)state;
    assert_int_equal(rank_dbsf(&arena, lists, 4, &out, NULL), ST_OK);
    check_ids(&out, (uint64_t[]){2, 3, 1, 4}, 4);
    check_near((double)out.items[0].score, 0.5 + 0.5);
    check_near((double)out.items[1].score, 2.0 / 6 + 0.5);
    check_near((double)out.items[2].score, 4.0 / 6);
    check_near((double)out.items[3].score, 0.5);
}

static void a_fused_score_is_a_number_whatever_overflows(void **state)
{
    struct scored a[] = {point(1, 3e38f), point(2, -3e38f), point(3, 0)};
    const struct scored_list lists[] = {{a, 3}, {a, 3}};
    struct scored_list out;

    (void)state;
    assert_int_equal(rank_dbsf(&arena, lists, 2, &out, NULL), ST_OK);
    for (uint32_t i = 0; i < out.count; i++)
        assert_true(isfinite(out.items[i].score));
}

static void similarity_grows_with_likeness(void **state)
{
    const float a[] = {1, 2}, b[] = {4, 6};

    (void)state;
    check_near((double)rank_similarity(VMETRIC_DOT, a, b, 2), 16);
    check_near((double)rank_similarity(VMETRIC_COSINE, a, b, 2), 16);
    check_near((double)rank_similarity(VMETRIC_L2, a, b, 2), -25);
    check_near((double)rank_similarity(VMETRIC_L1, a, b, 2), -7);
}

/* Two are alike and near the query, others lie aside. With diversity one of those comes before the
 * twin; with nothing but diversity the twin comes last. */
static void diverse_picks_pass_over_twins(void **state)
{
    static const float query[] = {0.8F, 0.6F};
    static const float v[][2] = {{1, 0}, {0.99F, 0.14F}, {0, 1}, {0.8F, -0.6F}};
    const float *const vectors[] = {v[0], v[1], v[2], v[3]};
    static const struct {
        double diversity;
        uint32_t order[4];
    } cases[] = {{0, {1, 0, 2, 3}}, {0.5, {1, 2, 0, 3}}, {1, {1, 2, 3, 0}}};
    struct rank_mmr m;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        assert_int_equal(rank_mmr_begin(&m, &arena, VMETRIC_COSINE, 2, query, vectors, 4,
                                        cases[i].diversity, NULL),
                         ST_OK);
        for (size_t k = 0; k < 4; k++) {
            uint32_t got = rank_mmr_pick(&m);

            if (got != cases[i].order[k])
                fail_msg("diversity %g, pick %zu: %u, not %u", cases[i].diversity, k, got,
                         cases[i].order[k]);
        }
    }
}

static void equal_candidates_are_picked_in_their_order(void **state)
{
    static const float v[] = {1, 0};
    const float *const vectors[] = {v, v, v};
    struct rank_mmr m;

    (void)state;
    assert_int_equal(rank_mmr_begin(&m, &arena, VMETRIC_DOT, 2, v, vectors, 3, 0.5, NULL), ST_OK);
    for (uint32_t i = 0; i < 3; i++)
        assert_int_equal(rank_mmr_pick(&m), i);
}

static void an_average_leans_away_from_negatives(void **state)
{
    static const float p1[] = {1, 2}, p2[] = {3, 6}, n1[] = {1, 1};
    const float *const positive[] = {p1, p2}, *const negative[] = {n1};
    struct rank_examples e = {.dim = 2, .positive = positive, .positive_count = 2};
    float out[2];

    (void)state;
    rank_average(&e, out);
    check_near((double)out[0], 2);
    check_near((double)out[1], 4);
    e.negative = negative;
    e.negative_count = 1;
    rank_average(&e, out);
    check_near((double)out[0], 3);
    check_near((double)out[1], 7);
}

static void the_best_example_decides(void **state)
{
    static const float p1[] = {1, 0}, p2[] = {3, 0}, n1[] = {0, 4}, v[] = {1, 0}, u[] = {1, 1};
    const float *const positive[] = {p1, p2}, *const negative[] = {n1};
    struct rank_examples e = {.metric = VMETRIC_DOT,
                              .dim = 2,
                              .positive = positive,
                              .positive_count = 2,
                              .negative = negative,
                              .negative_count = 1};

    (void)state;
    check_near((double)rank_best_score(&e, v), 0.5 * (3.0 / 4 + 1));
    check_near((double)rank_best_score(&e, u), -0.5 * (4.0 / 5 + 1));
    check_near((double)rank_sum_scores(&e, v), 4);
    check_near((double)rank_sum_scores(&e, u), 0);
    e.negative_count = 0;
    check_near((double)rank_best_score(&e, u), 0.5 * (3.0 / 4 + 1));
    e.positive_count = 0;
    e.negative_count = 1;
    check_near((double)rank_best_score(&e, v), -0.5);
    check_near((double)rank_sum_scores(&e, u), -4);
}

/* Against a sort of everything; text ids must outlive what they were offered from. */
static void the_top_of_many_is_that_of_a_sort(void **state)
{
    enum { MANY = 500 };
    struct rand_seeded rand;

    (void)state;
    rand_seeded_init(&rand, 5);
    for (uint32_t room = 0; room < 40; room += 13) {
        struct scored all[MANY];
        char texts[MANY][8];
        struct rank_top top;
        struct scored_list got;

        assert_int_equal(rank_top_begin(&top, &arena, room, room % 2 == 0, NULL), ST_OK);
        for (uint32_t i = 0; i < MANY; i++) {
            char passing[8];

            (void)snprintf(texts[i], sizeof texts[i], "%u", i);
            memcpy(passing, texts[i], sizeof passing);
            all[i] = point(i, (float)rand_below(&rand.source, 50));
            all[i].id.kind = DOCID_BYTES;
            all[i].id.bytes = slice_text(passing);
            assert_int_equal(rank_top_offer(&top, &all[i], NULL), ST_OK);
            all[i].id.bytes = slice_text(texts[i]);
            memset(passing, 0, sizeof passing);
        }
        rank_sort(all, MANY, room % 2 == 0);
        got = rank_top_end(&top);
        assert_int_equal(got.count, room);
        for (uint32_t i = 0; i < room; i++)
            assert_true(docid_equal(&got.items[i].id, &all[i].id));
    }
}

static void without_memory_nothing_is_made(void **state)
{
    struct scored a[] = {point(1, 3)};
    const struct scored_list lists[] = {{a, 1}};
    const float *const vectors[] = {(const float[]){1}};
    struct arena none;
    struct scored_list out;
    struct rank_mmr m;
    struct rank_top top;
    struct docid *ids = NULL;
    size_t count = 0;

    (void)state;
    arena_init(&none, 0);
    assert_int_equal(rank_rrf(&none, lists, 1, 2, NULL, &out, NULL), ST_NOMEM);
    assert_int_equal(rank_dbsf(&none, lists, 1, &out, NULL), ST_NOMEM);
    assert_int_equal(rank_ids(&none, lists, 1, &ids, &count, NULL), ST_NOMEM);
    assert_int_equal(rank_mmr_begin(&m, &none, VMETRIC_DOT, 1, vectors[0], vectors, 1, 0.5, NULL),
                     ST_NOMEM);
    assert_int_equal(rank_top_begin(&top, &none, 1, false, NULL), ST_NOMEM);
    arena_free(&none);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equal_scores_stand_by_rising_id),
        cmocka_unit_test(the_ids_of_lists_rise_and_come_once),
        cmocka_unit_test(reciprocal_ranks_count_from_zero),
        cmocka_unit_test(weights_of_lists_stretch_their_ranks),
        cmocka_unit_test(distributions_are_put_on_one_scale),
        cmocka_unit_test(a_fused_score_is_a_number_whatever_overflows),
        cmocka_unit_test(similarity_grows_with_likeness),
        cmocka_unit_test(diverse_picks_pass_over_twins),
        cmocka_unit_test(equal_candidates_are_picked_in_their_order),
        cmocka_unit_test(an_average_leans_away_from_negatives),
        cmocka_unit_test(the_best_example_decides),
        cmocka_unit_test(the_top_of_many_is_that_of_a_sort),
        cmocka_unit_test(without_memory_nothing_is_made),
    };

    return cmocka_run_group_tests(tests, open_arena, close_arena);
}
