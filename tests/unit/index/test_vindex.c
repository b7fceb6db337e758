/* Searching: scans and walks against a plain loop, filters, completeness, budget, allocations. */
#include "vrows.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const enum vmetric metrics[] = {VMETRIC_COSINE, VMETRIC_DOT, VMETRIC_L2, VMETRIC_L1};

static struct vindex_options small(enum vmetric metric, uint32_t dim, uint32_t threshold)
{
    return (struct vindex_options){.dim = dim,
                                   .metric = metric,
                                   .m = 8,
                                   .ef_construction = 60,
                                   .ef_search = 50,
                                   .threshold = threshold,
                                   .seed = 1};
}

static void expect_same(const struct vhit *got, uint32_t count, const struct vhit *want,
                        uint32_t expected)
{
    assert_int_equal(count, expected);
    for (uint32_t i = 0; i < count; i++) {
        float scale = fabsf(want[i].distance) + 1;

        /* Where two distances differ by rounding alone, either order is right. */
        if (got[i].slot != want[i].slot)
            assert_true(fabsf(got[i].distance - want[i].distance) <= 1e-5f * scale);
        assert_true(fabsf(got[i].distance - want[i].distance) <= 1e-4f * scale);
        if (i > 0)
            assert_true(got[i].distance >= got[i - 1].distance);
    }
}

static void a_scan_equals_brute_force(void **unused)
{
    static const uint32_t dims[] = {1, 3, 16, 48, 65};
    struct vhit got[20], want[20];
    float query[65];

    (void)unused;
    for (size_t m = 0; m < COUNT_OF(metrics); m++)
        for (size_t d = 0; d < COUNT_OF(dims); d++) {
            struct vrows r;
            struct vsearch s = {.query = query, .k = 20};

            vrows_init(&r, small(metrics[m], dims[d], 10000), 30, 3 + m + d);
            vrows_put_random(&r, 0, 700);
            for (uint64_t id = 0; id < 700; id += 7)
                (void)vrows_erase(&r, id);
            for (int q = 0; q < 10; q++) {
                uint32_t count, expected;

                vrows_point(&r, query);
                expected = vrows_brute(&r, query, 20, NULL, want);
                s.exact = false;
                count = vrows_search(&r, &s, got);
                expect_same(got, count, want, expected);
                s.exact = true;
                count = vrows_search(&r, &s, got);
                expect_same(got, count, want, expected);
            }
            assert_int_equal(vindex_link(r.index, 100), 0);
            vrows_fini(&r);
        }
}

static void the_largest_dimension_is_searched_like_any(void **unused)
{
    float *query = malloc(VINDEX_DIM_MAX * sizeof(float));
    struct vhit got[5], want[5];

    (void)unused;
    for (size_t m = 0; m < COUNT_OF(metrics); m++) {
        struct vsearch s = {.query = query, .k = 5};
        struct vrows r;
        uint32_t count, expected;

        vrows_init(&r, small(metrics[m], VINDEX_DIM_MAX, 4), 30, 27 + m);
        vrows_put_random(&r, 0, 12);
        while (vindex_link(r.index, 5) > 0)
            ;
        assert_int_equal(vindex_linked(r.index), 12);
        vrows_check(&r, 12);
        vrows_point(&r, query);
        expected = vrows_brute(&r, query, 5, NULL, want);
        count = vrows_search(&r, &s, got);
        expect_same(got, count, want, expected);
        vrows_fini(&r);
    }
    free(query);
}

static void every_metric_finds_its_neighbours_in_the_graph(void **unused)
{
    (void)unused;
    for (size_t m = 0; m < COUNT_OF(metrics); m++) {
        struct vrows r;
        double recall;

        vrows_init(&r, small(metrics[m], 24, 100), 30, 7 + m);
        vrows_put_random(&r, 0, 3000);
        assert_int_equal(vindex_pending(r.index), 3000);
        while (vindex_link(r.index, 100) > 0)
            ;
        assert_int_equal(vindex_pending(r.index), 0);
        assert_int_equal(vindex_linked(r.index), 3000);
        vrows_check(&r, metrics[m] == VMETRIC_DOT ? 600 : 3);
        recall = vrows_recall(&r, 50, 10, 64);
        print_message("%s: recall@10 %.4f\n", vmetric_name(metrics[m]), recall);
        assert_true(recall >= (metrics[m] == VMETRIC_DOT ? 0.85 : 0.95));
        vrows_fini(&r);
    }
}

/* A row is there at once, linked or not; and an upsert shows one row of the two, the new one. */
static void a_row_is_found_as_soon_as_it_is_published(void **unused)
{
    struct vrows r;
    float point[16];
    struct vhit hits[3];
    struct vsearch s = {.query = point, .k = 3, .ef = 100};

    (void)unused;
    vrows_init(&r, small(VMETRIC_L2, 16, 50), 30, 11);
    vrows_put_random(&r, 0, 4000);
    while (vindex_link(r.index, 1000) > 0)
        ;
    for (uint64_t id = 10000; id < 10200; id++) {
        uint32_t slot;

        vrows_point(&r, point);
        (void)vrows_put(&r, id % 100, point);
        slot = vrows_put(&r, id % 100, point);
        assert_int_equal(vrows_search(&r, &s, hits), 3);
        assert_int_equal(hits[0].slot, slot);
        assert_true(hits[0].distance < 1e-3f && hits[1].distance > 1e-3f);
        if (id % 3 == 0)
            (void)vindex_link(r.index, 1);
    }
    vrows_fini(&r);
}

/* If k rows match, k come back: whatever the filter, wherever the walk ends. */
static void answers_are_complete_under_any_filter(void **unused)
{
    static const uint32_t every[] = {1, 2, 5, 20, 100, 1000, 5000};
    uint64_t allow[5000 / 64 + 1];
    struct vhit got[60], want[60];
    float query[16];
    struct vrows r;
    uint32_t right = 0, all = 0;

    (void)unused;
    vrows_init(&r, small(VMETRIC_COSINE, 16, 50), 30, 13);
    vrows_put_random(&r, 0, 5000);
    while (vindex_link(r.index, 1000) > 0)
        ;
    for (uint64_t id = 0; id < 5000; id += 3)
        (void)vrows_erase(&r, id);
    for (size_t e = 0; e < COUNT_OF(every); e++) {
        struct vsearch s = {.query = query, .allow = allow, .allow_slots = 4999, .ef = 150};

        memset(allow, 0, sizeof(allow));
        for (uint32_t slot = 0; slot < 5000; slot++)
            if (slot / 7 % every[e] == 0)
                allow[slot / 64] |= (uint64_t)1 << (slot % 64);
        allow[4999 / 64] &= ~((uint64_t)1 << (4999 % 64));
        for (s.k = 1; s.k <= 60; s.k += 13) {
            uint32_t expected, count;

            vrows_point(&r, query);
            expected = vrows_brute(&r, query, s.k, allow, want);
            count = vrows_search(&r, &s, got);
            assert_int_equal(count, expected);
            for (uint32_t i = 0; i < count; i++) {
                assert_true((allow[got[i].slot / 64] >> (got[i].slot % 64) & 1) != 0);
                for (uint32_t j = 0; j < count; j++)
                    right += got[i].slot == want[j].slot;
            }
            all += count;
        }
    }
    print_message("%u of %u\n", right, all);
    assert_true(right >= all * 95 / 100);
    vrows_fini(&r);
}

struct check {
    const struct vrows *r;
    uint32_t every, asked, asked_max;
    bool over; /* asked too often: nothing matches any more */
};

static bool every_nth(void *arg, uint32_t slot)
{
    struct check *c = arg;

    assert_true(slots_live(c->r->slots, slot));
    c->over = ++c->asked >= c->asked_max;
    return !c->over && slot / 7 % c->every == 0;
}

/* The same with a question instead of a bitmap, which is asked of live rows, and of few of them
 * where many match; with both; and when the guess how many match is far off. */
static void a_question_filters_as_a_bitmap_does(void **unused)
{
    enum { SLOTS = 5200, K = 20, WAYS = 4 };
    static const uint32_t every[] = {1, 2, 5, 20, 100, 1000};
    uint64_t allow[SLOTS / 64 + 1];
    struct vhit got[K], want[K];
    float query[16];
    struct vrows r;
    uint32_t right = 0, all = 0;

    (void)unused;
    vrows_init(&r, small(VMETRIC_L2, 16, 50), 30, 17);
    vrows_put_random(&r, 0, 5000);
    while (vindex_link(r.index, 1000) > 0)
        ;
    vrows_put_random(&r, 5000, 100); /* pending */
    for (uint64_t id = 0; id < 5000; id += 3)
        (void)vrows_erase(&r, id);
    for (uint32_t e = 0; e < COUNT_OF(every) * WAYS; e++) {
        uint32_t way = e % WAYS, nth = every[e / WAYS], expected, count;
        struct check check = {.r = &r, .every = way == 2 ? 1 : nth, .asked_max = UINT32_MAX};
        struct vsearch s = {.query = query,
                            .k = K,
                            .ef = 150,
                            .exact = way == 3,
                            .allow = way == 2 ? allow : NULL,
                            .allow_slots = SLOTS,
                            .check = every_nth,
                            .check_arg = &check,
                            .check_rows = way == 1 ? 5000 : 5000 / nth};

        memset(allow, 0, sizeof(allow));
        for (uint32_t slot = 0; slot < SLOTS; slot++)
            if (slot / 7 % nth == 0)
                allow[slot / 64] |= (uint64_t)1 << (slot % 64);
        vrows_point(&r, query);
        expected = vrows_brute(&r, query, K, allow, want);
        count = vrows_search(&r, &s, got);
        assert_int_equal(count, expected);
        for (uint32_t i = 0; i < count; i++)
            for (uint32_t j = 0; j < expected; j++)
                right += got[i].slot == want[j].slot;
        all += expected;
        if (nth == 1 && way < 2)
            assert_in_range(check.asked, count, 1500);
    }
    print_message("%u of %u\n", right, all);
    assert_true(right >= all * 95 / 100);
    vrows_fini(&r);
}

static void a_search_ends_when_no_question_is_answered_any_more(void **unused)
{
    float query[16] = {1};
    struct vrows r;
    struct vhit got[10];
    uint32_t count;

    (void)unused;
    vrows_init(&r, small(VMETRIC_L2, 16, 50), 30, 18);
    vrows_put_random(&r, 0, 3000);
    while (vindex_link(r.index, 1000) > 0)
        ;
    for (uint32_t max = 1; max < 600; max += 31) {
        struct check check = {.r = &r, .every = 1, .asked_max = max % 50 + 1};
        struct vsearch s = {.query = query,
                            .k = 10,
                            .exact = max % 2 == 0,
                            .check = every_nth,
                            .check_arg = &check,
                            .check_rows = max < 300 ? 3000 : 10,
                            .give_up = &check.over};
        struct err err;

        assert_int_equal(vindex_search(r.index, r.scratch, &s, got, &count, NULL, &err),
                         ST_TIMEOUT);
    }
    vrows_fini(&r);
}

static void k_beyond_the_rows_returns_them_all(void **unused)
{
    struct vrows r;
    float query[8] = {1};
    struct vhit *hits = malloc(VINDEX_K_MAX * sizeof(*hits));
    struct vsearch s = {.query = query, .k = VINDEX_K_MAX};
    uint32_t count = 1;
    struct err err;

    (void)unused;
    vrows_init(&r, small(VMETRIC_L2, 8, 50), 30, 17);
    assert_int_equal(vrows_search(&r, &s, hits), 0);
    vrows_put_random(&r, 0, 3000);
    while (vindex_link(r.index, 1000) > 0)
        ;
    assert_int_equal(vrows_search(&r, &s, hits), 3000);
    for (uint32_t i = 1; i < 3000; i++)
        assert_true(hits[i].distance >= hits[i - 1].distance);
    s.k = 1500;
    assert_int_equal(vrows_search(&r, &s, hits), 1500);
    s.k = VINDEX_K_MAX + 1;
    assert_int_equal(vindex_search(r.index, r.scratch, &s, hits, &count, NULL, &err), ST_INVALID);
    s.k = 0;
    assert_int_equal(vindex_search(r.index, r.scratch, &s, hits, &count, NULL, &err), ST_INVALID);
    free(hits);
    vrows_fini(&r);
}

/* What a client reads back and writes again, an export that is imported say, is stored bit by bit.
 */
static void a_normalised_vector_stays_as_it_is(void **state)
{
    uint64_t at = 1;

    (void)state;
    for (uint32_t round = 0; round < 200000; round++) {
        uint32_t dim = 1 + round % 24;
        float v[24];
        float again[24];

        for (uint32_t i = 0; i < dim; i++) {
            at = at * 6364136223846793005u + 1442695040888963407u;
            v[i] =
                (float)((double)(at >> 11) / 9007199254740992.0 - 0.5) * (round % 3 == 0   ? 1e-18f
                                                                          : round % 3 == 1 ? 1.0f
                                                                                           : 1e18f);
        }
        if (!vindex_normalise(v, dim))
            continue;
        memcpy(again, v, sizeof again);
        assert_true(vindex_normalise(again, dim));
        assert_memory_equal(again, v, dim * sizeof *v);
    }
}

static void a_zero_query_under_cosine_is_at_distance_one(void **unused)
{
    struct vrows r;
    float zero[8] = {0}, point[8];
    struct vhit hits[5];
    struct vsearch s = {.query = zero, .k = 5};

    (void)unused;
    vrows_init(&r, small(VMETRIC_COSINE, 8, 50), 30, 19);
    assert_false(vindex_normalise(zero, 8));
    (void)vrows_put(&r, 1, zero);
    vrows_put_random(&r, 2, 4);
    assert_int_equal(vrows_search(&r, &s, hits), 5);
    for (uint32_t i = 0; i < 5; i++) {
        assert_true(hits[i].distance == 1.0f);
        assert_int_equal(hits[i].slot, i); /* equal distances by slot */
    }
    vrows_point(&r, point);
    s.query = point;
    assert_int_equal(vrows_search(&r, &s, hits), 5);
    vrows_fini(&r);
}

static void a_stopped_search_says_so(void **unused)
{
    struct vrows r;
    float query[8] = {1};
    _Atomic bool stop = true;
    struct vhit hits[5];
    struct vsearch s = {.query = query, .k = 5, .stop = &stop, .exact = true};
    uint32_t count = 77;
    struct err err;

    (void)unused;
    vrows_init(&r, small(VMETRIC_L2, 8, 50), 30, 23);
    vrows_put_random(&r, 2, 500);
    assert_int_equal(vindex_search(r.index, r.scratch, &s, hits, &count, NULL, &err), ST_TIMEOUT);
    assert_int_equal(count, 77);
    vrows_fini(&r);
}

struct stopping {
    _Atomic bool stop;
    uint32_t asked;
};

static bool stop_and_allow(void *arg, uint32_t slot)
{
    struct stopping *s = arg;

    (void)slot;
    s->asked++;
    atomic_store(&s->stop, true);
    return true;
}

/* Short pools and long ones, which are walked in other ways. */
static void a_walk_ends_soon_after_it_is_stopped(void **unused)
{
    static const uint32_t efs[] = {100, 300, 2000};
    struct vrows r;
    float query[8] = {1};
    struct vhit hits[5];
    struct err err;

    (void)unused;
    vrows_init(&r, small(VMETRIC_L2, 8, 50), 30, 23);
    vrows_put_random(&r, 2, 6000);
    while (vindex_link(r.index, 1000) > 0)
        ;
    for (size_t i = 0; i < COUNT_OF(efs); i++) {
        struct stopping stopping = {0};
        struct vsearch s = {.query = query,
                            .k = 5,
                            .ef = efs[i],
                            .stop = &stopping.stop,
                            .check = stop_and_allow,
                            .check_arg = &stopping,
                            .check_rows = 6000};
        uint32_t count;

        assert_int_equal(vindex_search(r.index, r.scratch, &s, hits, &count, NULL, &err),
                         ST_TIMEOUT);
        assert_in_range(stopping.asked, 1, 2000);
        if (efs[i] <= 300)
            assert_in_range(stopping.asked, 1, 64);
    }
    vrows_fini(&r);
}

static void impossible_options_are_refused(void **unused)
{
    struct vindex_options o = small(VMETRIC_L2, 8, 50);
    struct vindex *v;
    enum vmetric m;
    struct err err;

    (void)unused;
    o.dim = 0;
    assert_int_equal(vindex_create(&o, &v, &err), ST_INVALID);
    o.dim = VINDEX_DIM_MAX + 1;
    assert_int_equal(vindex_create(&o, &v, &err), ST_INVALID);
    o = small(0, 8, 50);
    assert_int_equal(vindex_create(&o, &v, &err), ST_INVALID);
    o = small(VMETRIC_L2, 8, 50);
    o.m = VINDEX_M_MAX + 1;
    assert_int_equal(vindex_create(&o, &v, &err), ST_INVALID);
    for (size_t i = 0; i < COUNT_OF(metrics); i++) {
        assert_true(vmetric_parse(vmetric_name(metrics[i]), &m));
        assert_int_equal(m, metrics[i]);
    }
    assert_false(vmetric_parse("manhattan-ish", &m));
}

/* What is refused for want of budget changes nothing, and passes once there is room. */
static void reserving_beyond_the_budget_is_refused(void **unused)
{
    struct vrows r;
    uint64_t used;
    struct err err;

    (void)unused;
    vrows_init(&r, small(VMETRIC_L2, 8, 50), 30, 29);
    assert_int_equal(vindex_reserve(r.index, 100, &err), ST_OK);
    used = mem_budget_bytes(&r.budget);
    r.budget.bytes_max = used + 1000;
    assert_int_equal(vindex_reserve(r.index, 1000, &err), ST_NOSPACE);
    assert_int_equal(mem_budget_bytes(&r.budget), used);
    assert_int_equal(vindex_reserve(r.index, 101, &err), ST_OK);
    r.budget.bytes_max = 0;
    assert_int_equal(vindex_reserve(r.index, 1000, &err), ST_OK);
    assert_int_equal(vindex_bytes(r.index), mem_budget_bytes(&r.budget));
    vrows_fini(&r);
}

/* Life of an index with the n-th allocation failing: nothing leaks, nothing crashes, and what was
 * accepted is found. */
static bool one_life(int64_t n)
{
    struct mem_budget budget;
    struct vindex_options o = small(VMETRIC_L2, 8, 10);
    struct slots_options so = {.budget = &budget};
    struct vindex_scratch *scratch = NULL;
    struct vindex *v = NULL;
    struct epoch *epoch = NULL;
    struct slots *slots = NULL;
    float point[8] = {0};
    struct vhit hits[4];
    struct vsearch s = {.query = point, .k = 4};
    struct slice none = {0};
    uint32_t first, count, kept = 0, dead[64];
    bool failed = true;
    struct err err;

    mem_budget_init(&budget, NULL, 0);
    assert_int_equal(epoch_create(&epoch, &err), ST_OK);
    so.epoch = epoch;
    assert_int_equal(slots_create(&so, &slots, &err), ST_OK);
    assert_int_equal(slots_reserve(slots, 64, dead, &err), ST_OK);
    first = dead[0];
    o.slots = slots;
    o.epoch = epoch;
    o.budget = &budget;
    for (uint32_t i = 0; i < 64; i++) {
        struct docid id = {0};

        id.kind = DOCID_U64;
        id.u64 = i;
        assert_int_equal(slots_fill(slots, dead[i], &id, none, none, 0, &err), ST_OK);
        slots_publish(slots, dead[i], i + 1);
    }
    mem_test_fail_after(n);
    if (vindex_create(&o, &v, &err) != ST_OK || vindex_scratch_create(&scratch, &err) != ST_OK ||
        vindex_reserve(v, 64, &err) != ST_OK)
        goto out;
    for (uint32_t i = 0; i < 64; i++) {
        point[i % 8] += 1;
        vindex_fill(v, first + i, point);
        vindex_publish(v, first + i);
    }
    (void)vindex_link(v, 40);
    if (vindex_repair(v, dead, 0, NULL, &err) != ST_OK)
        goto out;
    if (vindex_search(v, scratch, &s, hits, &count, NULL, &err) != ST_OK)
        goto out;
    kept = count;
    assert_int_equal(kept, 4);
    for (uint32_t i = 0; i < 8; i++) {
        struct docid id = {0};

        id.kind = DOCID_U64;
        id.u64 = i;
        dead[i] = slots_erase(slots, &id);
    }
    failed = vindex_repair(v, dead, 8, NULL, &err) != ST_OK;
out:
    failed = failed || (n >= 0 && mem_test_count() > n);
    mem_test_fail_after(-1);
    vindex_scratch_destroy(scratch);
    vindex_destroy(v);
    slots_destroy(slots);
    epoch_destroy(epoch);
    assert_int_equal(mem_budget_bytes(&budget), 0);
    return failed;
}

static void each_allocation_may_fail(void **unused)
{
    int64_t n = 0;

    (void)unused;
    while (one_life(n))
        assert_true(++n < 500);
    assert_true(n > 10);
    assert_false(one_life(-1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_normalised_vector_stays_as_it_is),
        cmocka_unit_test(a_scan_equals_brute_force),
        cmocka_unit_test(the_largest_dimension_is_searched_like_any),
        cmocka_unit_test(every_metric_finds_its_neighbours_in_the_graph),
        cmocka_unit_test(a_row_is_found_as_soon_as_it_is_published),
        cmocka_unit_test(answers_are_complete_under_any_filter),
        cmocka_unit_test(a_question_filters_as_a_bitmap_does),
        cmocka_unit_test(a_search_ends_when_no_question_is_answered_any_more),
        cmocka_unit_test(k_beyond_the_rows_returns_them_all),
        cmocka_unit_test(a_zero_query_under_cosine_is_at_distance_one),
        cmocka_unit_test(a_stopped_search_says_so),
        cmocka_unit_test(a_walk_ends_soon_after_it_is_stopped),
        cmocka_unit_test(impossible_options_are_refused),
        cmocka_unit_test(reserving_beyond_the_budget_is_refused),
        cmocka_unit_test(each_allocation_may_fail),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
