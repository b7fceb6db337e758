/* The candidates of a walk in order: words order as (key, slot) does and give both back; batches of
 * any size leave what a plain sorted list of them would, and say from where on it changed. The seed
 * is an argument. */
#include "index/ranked.h"

#include "tests/support/alloc_sweep.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { CAP_MAX = 300, BATCH_MAX = 150, ROUNDS = 400 };

static uint64_t state = 7;

static uint32_t below(uint32_t bound)
{
    uint64_t x = state += 0x9e3779b97f4a7c15u;

    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return (uint32_t)((x ^ x >> 31) >> 32) % bound;
}

static const float KEYS[] = {-INFINITY, -FLT_MAX, -2.0f, -1.0f, -FLT_MIN, -1e-45f, 0.0f,
                             1e-45f,    FLT_MIN,  1.0f,  2.0f,  FLT_MAX,  INFINITY};
static const uint32_t SLOTS[] = {0, 1, 2, 0x7fffffff, 0x80000000, 0xfffffffe};

static void words_order_as_keys_and_slots_do(void **test_state)
{
    const size_t keys = sizeof(KEYS) / sizeof(KEYS[0]), slots = sizeof(SLOTS) / sizeof(SLOTS[0]);
    uint64_t before = 0;

    (void)test_state;
    for (size_t k = 0; k < keys; k++) {
        if (fabsf(KEYS[k]) < FLT_MIN && KEYS[k] != 0)
            continue; /* as zero: the last bit of a mantissa is not kept */
        for (size_t s = 0; s < slots; s++) {
            uint64_t word = ranked_word(KEYS[k], SLOTS[s]);

            assert_true(k + s == 0 || word > before);
            assert_int_equal(ranked_slot(word), SLOTS[s]);
            assert_int_equal(ranked_slot(word | RANKED_EXPANDED), SLOTS[s]);
            assert_int_equal(word & RANKED_EXPANDED, 0);
            before = word;
        }
    }
    assert_true(ranked_word(-0.0f, 5) == ranked_word(0.0f, 5));
    assert_true(ranked_word(-1e-45f, 5) <= ranked_word(0.0f, 5));
    assert_true(ranked_word(1e-45f, 5) >= ranked_word(0.0f, 5));
}

static void keys_come_back_but_for_the_last_bit(void **test_state)
{
    (void)test_state;
    for (size_t i = 0; i < sizeof(KEYS) / sizeof(KEYS[0]); i++) {
        float back = ranked_key(ranked_word(KEYS[i], 3));

        if (isinf(KEYS[i]) || KEYS[i] == 0)
            assert_true(back == KEYS[i]);
        else
            assert_true(fabsf(back - KEYS[i]) <= fmaxf(fabsf(KEYS[i]), FLT_MIN) * FLT_EPSILON);
    }
    for (int i = 0; i < 10000; i++) {
        float key = ((float)below(2000001) - 1000000.0f) / 977.0f;

        assert_true(fabsf(ranked_key(ranked_word(key, below(1000))) - key) <=
                    fabsf(key) * FLT_EPSILON);
    }
}

static int by_word(const void *a, const void *b)
{
    uint64_t x, y;

    memcpy(&x, a, sizeof(x));
    memcpy(&y, b, sizeof(y));
    return x < y ? -1 : x > y;
}

/* What a list that is sorted anew each time has, and where it first differs from before. */
static uint32_t model_merge(uint64_t *all, uint32_t *count, uint32_t cap, const uint64_t *batch,
                            uint32_t n)
{
    uint64_t before[CAP_MAX];
    uint32_t had = *count, first = 0;

    memcpy(before, all, had * sizeof(all[0]));
    memcpy(all + had, batch, n * sizeof(all[0]));
    qsort(all, had + n, sizeof(all[0]), by_word);
    *count = had + n < cap ? had + n : cap;
    while (first < had && first < *count && all[first] == before[first])
        first++;
    return first < *count ? first : UINT32_MAX;
}

static void one_run(struct ranked *r, uint32_t cap)
{
    static uint64_t all[CAP_MAX + BATCH_MAX];
    uint64_t batch[BATCH_MAX];
    uint32_t count = 0, slot = 0, few = 1 + below(40);

    ranked_clear(r, cap);
    for (int step = 0; step < 20; step++) {
        uint32_t n = below(3) == 0 ? below(BATCH_MAX + 1) : below(9), first, next;

        for (uint32_t i = 0; i < n; i++)
            batch[i] = ranked_word((float)below(few) - 7.0f, slot++);
        next = r->next = r->count == 0 ? 0 : below(r->count + 1);
        first = model_merge(all, &count, r->cap, batch, n);
        ranked_merge(r, batch, n);
        assert_int_equal(r->count, count);
        assert_memory_equal(r->words, all, count * sizeof(all[0]));
        assert_true(r->next <= next && r->next <= first);
        /* Only what was put in moves it, though a later one may have pushed that out again. */
        assert_true(n > 0 || r->next == next);
        assert_true(ranked_bound(r) == (count < r->cap ? UINT64_MAX : all[count - 1]));
        if (r->cap < CAP_MAX && below(4) == 0)
            r->cap++;
    }
}

static void batches_leave_what_a_sorted_list_would(void **test_state)
{
    struct ranked r = {0};

    (void)test_state;
    assert_true(ranked_room(&r, CAP_MAX));
    for (int i = 0; i < ROUNDS; i++)
        one_run(&r, 1 + below(i % 2 == 0 ? 12 : CAP_MAX));
    ranked_fini(&r);
}

static void room_says_so_when_there_is_no_memory(void **test_state)
{
    struct ranked r = {0};
    uint64_t word = ranked_word(1.0f, 9);

    (void)test_state;
    assert_true(ranked_room(&r, 4));
    ranked_clear(&r, 4);
    ranked_merge(&r, &word, 1);
    mem_test_fail_after(0);
    assert_false(ranked_room(&r, 8));
    mem_test_fail_after(-1);
    assert_int_equal(r.count, 1);
    assert_int_equal(ranked_slot(r.words[0]), 9);
    ranked_fini(&r);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words_order_as_keys_and_slots_do),
        cmocka_unit_test(keys_come_back_but_for_the_last_bit),
        cmocka_unit_test(batches_leave_what_a_sorted_list_would),
        cmocka_unit_test(room_says_so_when_there_is_no_memory),
    };

    if (argc > 1)
        state = strtoull(argv[1], NULL, 10);
    printf("seed %llu\n", (unsigned long long)state);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
