#include "base/arena.h"

#include "tests/support/alloc_sweep.h"

#include <string.h>

/* Pieces of every size, each filled whole: they neither overlap nor leave their blocks. */
static void pieces_are_aligned_and_do_not_overlap(void **state)
{
    enum { PIECES = 600 };
    uint8_t *pieces[PIECES];
    struct arena a;

    (void)state;
    arena_init(&a, 10 * 1024 * 1024);
    for (unsigned i = 0; i < PIECES; i++) {
        size_t bytes = (size_t)i * i / 8;

        pieces[i] = arena_alloc(&a, bytes);
        assert_non_null(pieces[i]);
        assert_int_equal((uintptr_t)pieces[i] % 16, 0);
        memset(pieces[i], (int)(i % 251), bytes);
    }
    for (unsigned i = 0; i < PIECES; i++)
        for (size_t at = 0; at < (size_t)i * i / 8; at++)
            assert_int_equal(pieces[i][at], i % 251);
    arena_free(&a);
    assert_int_equal(a.bytes, 0);
    arena_free(&a);
}

static void the_bound_holds_over_all_pieces(void **state)
{
    struct arena a;
    size_t got = 0;

    (void)state;
    arena_init(&a, 100000);
    assert_false(a.full);
    assert_null(arena_alloc(&a, 100000)); /* a block has a head too */
    assert_true(a.full);
    arena_reset(&a);
    assert_false(a.full);
    while (arena_alloc(&a, 1000) != NULL)
        got += 1000;
    assert_true(a.bytes <= a.bytes_max);
    assert_in_range(got, 90000, 100000);
    assert_null(arena_alloc(&a, SIZE_MAX));
    assert_null(arena_alloc(&a, SIZE_MAX - 20));
    assert_null(arena_array(&a, SIZE_MAX / 4 + 1, 4));
    arena_free(&a);
    arena_init(&a, 0);
    assert_null(arena_alloc(&a, 1));
    arena_free(&a);
}

static void a_reset_arena_starts_over_in_the_memory_it_has(void **state)
{
    struct arena a;
    void *first;

    (void)state;
    arena_init(&a, 1000000);
    arena_reset(&a);
    first = arena_alloc(&a, 100);
    for (unsigned i = 0; i < 100; i++)
        assert_non_null(arena_alloc(&a, 5000));
    arena_reset(&a);
    mem_test_fail_after(0);
    assert_ptr_equal(arena_alloc(&a, 100), first);
    mem_test_fail_after(-1);
    assert_true(a.bytes < 20000);
    for (unsigned i = 0; i < 100; i++)
        assert_non_null(arena_alloc(&a, 5000));
    arena_free(&a);
}

static void zeroed_memory_and_copied_texts(void **state)
{
    struct arena a;
    uint8_t *zeros;

    (void)state;
    arena_init(&a, 100000);
    memset(arena_alloc(&a, 1000), 0xFF, 1000);
    arena_reset(&a);
    zeros = arena_zero(&a, 1000);
    for (unsigned i = 0; i < 1000; i++)
        assert_int_equal(zeros[i], 0);
    assert_string_equal(arena_strndup(&a, "abcdef", 3), "abc");
    assert_string_equal(arena_strndup(&a, "", 0), "");
    assert_non_null(arena_array(&a, 10, 10));
    arena_free(&a);
}

static status use_arena(void *arg)
{
    struct arena a;
    status st = ST_OK;

    (void)arg;
    arena_init(&a, 1000000);
    for (unsigned i = 0; i < 20; i++) {
        uint8_t *piece = arena_zero(&a, 3000 + 1000 * i);

        if (piece == NULL)
            st = ST_NOMEM;
        else
            piece[2999] = 1;
    }
    arena_free(&a);
    return st;
}

static void each_failed_allocation_is_reported(void **state)
{
    (void)state;
    assert_true(alloc_sweep(use_arena, NULL) >= 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pieces_are_aligned_and_do_not_overlap),
        cmocka_unit_test(the_bound_holds_over_all_pieces),
        cmocka_unit_test(a_reset_arena_starts_over_in_the_memory_it_has),
        cmocka_unit_test(zeroed_memory_and_copied_texts),
        cmocka_unit_test(each_failed_allocation_is_reported),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
