#include "base/mem.h"

#include "tests/support/alloc_sweep.h"

#include <string.h>

static void products_and_sums_of_sizes_are_checked(void **state)
{
    size_t out = 7;

    (void)state;
    assert_true(size_mul(3, 4, &out));
    assert_int_equal(out, 12);
    assert_true(size_mul(0, SIZE_MAX, &out));
    assert_int_equal(out, 0);
    out = 7;
    assert_false(size_mul(SIZE_MAX / 2 + 1, 2, &out));
    assert_false(size_add(SIZE_MAX, 1, &out));
    assert_int_equal(out, 7);
    assert_true(size_add(SIZE_MAX - 1, 1, &out));
    assert_true(out == SIZE_MAX);
    assert_null(mem_alloc_array(SIZE_MAX / 8 + 1, 8));
    assert_null(mem_zero_array(SIZE_MAX / 8 + 1, 8));
}

static void a_size_of_zero_gives_a_pointer_to_free(void **state)
{
    void *a = mem_alloc(0);
    void *b = mem_zero_array(0, 8);
    void *c = mem_resize(NULL, 0);

    (void)state;
    assert_non_null(a);
    assert_non_null(b);
    assert_non_null(c);
    mem_free(a);
    mem_free(b);
    mem_free(c);
    mem_free(NULL);
}

static void aligned_and_zeroed_memory_is_so(void **state)
{
    (void)state;
    for (size_t align = sizeof(void *); align <= 4096; align *= 2) {
        void *memory = mem_aligned(align, 100);

        assert_non_null(memory);
        assert_int_equal((uintptr_t)memory % align, 0);
        mem_free(memory);
    }
    for (size_t bytes = 1; bytes < 5000; bytes = bytes * 2 + 1) {
        uint8_t *memory = mem_zero(bytes);

        assert_non_null(memory);
        for (size_t i = 0; i < bytes; i++)
            assert_int_equal(memory[i], 0);
        mem_free(memory);
    }
}

static void mapped_pages_are_zero_and_writable_to_the_end(void **state)
{
    const size_t bytes = 3 * 4096 + 1;
    uint8_t *memory = mem_map(bytes, true);

    (void)state;
    assert_non_null(memory);
    assert_int_equal((uintptr_t)memory % MEM_HUGE_PAGE_BYTES, 0);
    for (size_t i = 0; i < bytes; i++)
        assert_int_equal(memory[i], 0);
    memset(memory, 1, bytes);
    mem_unmap(memory, bytes);
    mem_unmap(NULL, bytes);
    assert_null(mem_map(SIZE_MAX / 2, false));
    assert_null(mem_map(SIZE_MAX, false));
    assert_null(mem_map(SIZE_MAX / 2, true));
    assert_null(mem_map(SIZE_MAX, true));
}

static void a_copied_text_ends_in_nul(void **state)
{
    char *whole = mem_strdup("abc");
    char *part = mem_strndup("abcdef", 2);

    (void)state;
    assert_string_equal(whole, "abc");
    assert_string_equal(part, "ab");
    mem_free(whole);
    mem_free(part);
}

static status every_kind_of_allocation(void *arg)
{
    void *p[8] = {0};
    status st = ST_OK;

    (void)arg;
    p[0] = mem_alloc(1);
    p[1] = p[0] == NULL ? NULL : mem_zero(1);
    p[2] = p[1] == NULL ? NULL : mem_alloc_array(2, 3);
    p[3] = p[2] == NULL ? NULL : mem_zero_array(2, 3);
    p[4] = p[3] == NULL ? NULL : mem_aligned(64, 3);
    p[5] = p[4] == NULL ? NULL : mem_resize(NULL, 3);
    p[6] = p[5] == NULL ? NULL : mem_strdup("x");
    p[7] = p[6] == NULL ? NULL : mem_map(1, false);
    if (p[7] == NULL)
        st = ST_NOMEM;
    for (unsigned i = 0; i < 7; i++)
        mem_free(p[i]);
    mem_unmap(p[7], 1);
    return st;
}

static void the_hook_fails_each_allocation_once(void **state)
{
    (void)state;
    assert_int_equal(alloc_sweep(every_kind_of_allocation, NULL), 8);
}

static void the_hook_fails_one_allocation_and_counts_all(void **state)
{
    void *p;

    (void)state;
    mem_test_fail_after(1);
    p = mem_alloc(1);
    assert_non_null(p);
    mem_free(p);
    assert_null(mem_alloc(1));
    for (unsigned i = 0; i < 10; i++) {
        p = mem_alloc(1);
        assert_non_null(p);
        mem_free(p);
    }
    assert_int_equal(mem_test_count(), 12);
    mem_test_fail_after(-5);
    assert_int_equal(mem_test_count(), 0);
    p = mem_alloc(1);
    assert_non_null(p);
    mem_free(p);
}

static void an_overdrawn_budget_refuses_until_it_is_given_back(void **state)
{
    struct mem_budget node, own;

    (void)state;
    mem_budget_init(&node, NULL, 100);
    mem_budget_init(&own, &node, 0);
    mem_overdraw(&own, 130);
    assert_int_equal(mem_budget_bytes(&node), 130);
    assert_int_equal(mem_reserve(&own, 1, NULL), ST_NOSPACE);
    mem_release(&own, 40);
    assert_int_equal(mem_reserve(&own, 10, NULL), ST_OK);
    assert_int_equal(mem_reserve(&own, 1, NULL), ST_NOSPACE);
    mem_release(&own, 100);
    assert_int_equal(mem_budget_bytes(&node), 0);
}

static void a_budget_holds_to_the_byte(void **state)
{
    struct mem_budget b;
    struct err err = {0};

    (void)state;
    mem_budget_init(&b, NULL, 100);
    assert_int_equal(mem_reserve(&b, 60, &err), ST_OK);
    assert_int_equal(mem_reserve(&b, 40, &err), ST_OK);
    assert_int_equal(mem_reserve(&b, 0, &err), ST_OK);
    assert_int_equal(mem_reserve(&b, 1, &err), ST_NOSPACE);
    assert_non_null(strstr(err.text, "100 bytes in use of 100, 1 more asked"));
    assert_int_equal(mem_reserve(&b, 1, NULL), ST_NOSPACE);
    mem_release(&b, 40);
    assert_int_equal(mem_budget_bytes(&b), 60);
    assert_int_equal(mem_reserve(&b, 41, NULL), ST_NOSPACE);
    assert_int_equal(mem_reserve(&b, 40, NULL), ST_OK);
}

/* A sum past 64 bits must not come around as a small one and fit. */
static void a_reservation_that_overflows_is_refused(void **state)
{
    struct mem_budget b;

    (void)state;
    mem_budget_init(&b, NULL, 100);
    assert_int_equal(mem_reserve(&b, 50, NULL), ST_OK);
    assert_int_equal(mem_reserve(&b, UINT64_MAX - 20, NULL), ST_NOSPACE);
    assert_int_equal(mem_reserve(&b, UINT64_MAX, NULL), ST_NOSPACE);
    assert_int_equal(mem_budget_bytes(&b), 50);
}

static void nested_budgets_take_all_or_nothing(void **state)
{
    struct mem_budget node;
    struct mem_budget first;
    struct mem_budget second;
    struct mem_budget open;
    struct err err = {0};

    (void)state;
    mem_budget_init(&node, NULL, 100);
    mem_budget_init(&first, &node, 80);
    mem_budget_init(&second, &node, 80);
    mem_budget_init(&open, &second, 0);
    assert_int_equal(mem_reserve(&first, 70, &err), ST_OK);
    /* The collection's own limit, then the node's: neither leaves anything behind. */
    assert_int_equal(mem_reserve(&first, 11, &err), ST_NOSPACE);
    assert_non_null(strstr(err.text, "70 bytes in use of 80"));
    assert_int_equal(mem_reserve(&open, 31, &err), ST_NOSPACE);
    assert_non_null(strstr(err.text, "70 bytes in use of 100"));
    assert_int_equal(mem_budget_bytes(&first), 70);
    assert_int_equal(mem_budget_bytes(&second), 0);
    assert_int_equal(mem_budget_bytes(&open), 0);
    assert_int_equal(mem_budget_bytes(&node), 70);
    assert_int_equal(mem_reserve(&open, 30, &err), ST_OK);
    assert_int_equal(mem_budget_bytes(&second), 30);
    assert_int_equal(mem_budget_bytes(&node), 100);
    mem_release(&open, 30);
    mem_release(&first, 70);
    assert_int_equal(mem_budget_bytes(&node), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(products_and_sums_of_sizes_are_checked),
        cmocka_unit_test(a_size_of_zero_gives_a_pointer_to_free),
        cmocka_unit_test(aligned_and_zeroed_memory_is_so),
        cmocka_unit_test(mapped_pages_are_zero_and_writable_to_the_end),
        cmocka_unit_test(a_copied_text_ends_in_nul),
        cmocka_unit_test(the_hook_fails_each_allocation_once),
        cmocka_unit_test(the_hook_fails_one_allocation_and_counts_all),
        cmocka_unit_test(a_budget_holds_to_the_byte),
        cmocka_unit_test(an_overdrawn_budget_refuses_until_it_is_given_back),
        cmocka_unit_test(a_reservation_that_overflows_is_refused),
        cmocka_unit_test(nested_budgets_take_all_or_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
