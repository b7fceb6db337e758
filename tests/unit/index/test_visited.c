/* Marks of what a walk has met: lists of references are marked as their slots one by one would be,
 * each is new once, and clearing leaves nothing, however many there were. The seed is an argument.
 */
#include "index/cands.h"

#include "tests/support/alloc_sweep.h"

#include <stdio.h>
#include <stdlib.h>

enum { LIST_MAX = 64, FEW = 500, MANY = 3 * VISITED_LIST_MAX };

static uint64_t state = 11;

static uint32_t below(uint32_t bound)
{
    uint64_t x = state += 0x9e3779b97f4a7c15u;

    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return (uint32_t)((x ^ x >> 31) >> 32) % bound;
}

static void nothing_is_marked(const struct visited *v)
{
    for (size_t i = 0; i < v->words; i++)
        assert_int_equal(v->bits[i], 0);
}

/* Slots of `slots` and some beyond, some of them twice in one list. */
static void lists_of(uint32_t slots, int lists)
{
    struct visited v = {0}, one_by_one = {0};

    assert_true(visited_start(&v, slots));
    assert_true(visited_start(&one_by_one, slots));
    for (int n = 0; n < lists; n++) {
        _Atomic uint32_t refs[LIST_MAX];
        uint32_t fresh[LIST_MAX], max = below(LIST_MAX + 1), want = 0, count;
        uint32_t end = below(4) == 0 ? below(LIST_MAX) : LIST_MAX;

        for (uint32_t i = 0; i < LIST_MAX; i++)
            atomic_init(&refs[i], i == end ? 0 : 1 + below(slots + slots / 8 + 1));
        count = visited_mark_refs(&v, refs, max, fresh);
        for (uint32_t i = 0; i < max && i != end; i++) {
            uint32_t slot = atomic_load(&refs[i]) - 1;

            if (!visited_mark(&one_by_one, slot))
                continue;
            assert_true(want < count);
            assert_int_equal(fresh[want++], slot);
        }
        assert_int_equal(count, want);
    }
    assert_memory_equal(v.bits, one_by_one.bits, v.words * sizeof(v.bits[0]));
    visited_clear(&v);
    visited_clear(&one_by_one);
    nothing_is_marked(&v);
    nothing_is_marked(&one_by_one);
    visited_fini(&v);
    visited_fini(&one_by_one);
}

static void a_list_is_marked_as_its_slots_one_by_one(void **test_state)
{
    (void)test_state;
    for (int i = 0; i < 200; i++)
        lists_of(1 + below(FEW), (int)below(20));
}

static void clearing_leaves_nothing_after_more_marks_than_are_remembered(void **test_state)
{
    (void)test_state;
    lists_of(MANY, MANY / LIST_MAX * 4);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_list_is_marked_as_its_slots_one_by_one),
        cmocka_unit_test(clearing_leaves_nothing_after_more_marks_than_are_remembered),
    };

    if (argc > 1)
        state = strtoull(argv[1], NULL, 10);
    printf("seed %llu\n", (unsigned long long)state);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
