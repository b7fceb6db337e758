/* What listings of groups mean: the run from the first that counts to the first hole, however the
 * names come. */
#include "tiering/group_list.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static const uint8_t ID[16] = {1, 2, 3};

enum { NAMES = 8 };
struct page {
    char keys[NAMES][OBJKEY_BYTES];
    struct objstore_entry entries[NAMES];
    size_t count;
};

static void name(struct page *p, uint64_t epoch, uint64_t seq)
{
    objkey_group(ID, epoch, seq, p->keys[p->count]);
    p->entries[p->count] = (struct objstore_entry){.key = p->keys[p->count]};
    p->count++;
}

static enum group_list_next give(struct group_list *l, const struct page *p, bool truncated)
{
    return group_list_page(l, p->entries, p->count, truncated);
}

/* Those before it are collected: nobody asks for them, and they are no hole. */
static void the_run_begins_with_the_first_that_counts(void **state)
{
    struct group_list *l = group_list_create(ID, 3, 5);
    struct page p = {.count = 0};
    char before[OBJKEY_BYTES];

    (void)state;
    objkey_group(ID, 3, 4, before);
    assert_string_equal(group_list_start_after(l), before);
    assert_int_equal(group_list_end(l), 4); /* none */
    name(&p, 3, 5);
    name(&p, 3, 6);
    name(&p, 3, 8);
    assert_int_equal(give(l, &p, false), GROUP_LIST_DONE);
    assert_int_equal(group_list_end(l), 6);
    group_list_destroy(l);
}

static void pages_go_on_behind_the_largest_name_in_whatever_order(void **state)
{
    struct group_list *l = group_list_create(ID, 3, 1);
    struct page p = {.count = 0};

    (void)state;
    assert_string_equal(group_list_start_after(l), "");
    name(&p, 3, 3);
    name(&p, 3, 1);
    name(&p, 3, 2);
    assert_int_equal(give(l, &p, true), GROUP_LIST_MORE);
    assert_string_equal(group_list_start_after(l), p.keys[0]);
    assert_int_equal(give(l, &p, true), GROUP_LIST_STUCK);
    p.count = 0;
    name(&p, 3, 5);
    name(&p, 3, 4);
    assert_int_equal(give(l, &p, false), GROUP_LIST_DONE);
    assert_int_equal(group_list_end(l), 5);
    group_list_destroy(l);
}

static void names_of_other_things_are_passed_over(void **state)
{
    static char strange[] = "c/other";
    struct group_list *l = group_list_create(ID, 3, 1);
    struct page p = {.count = 0};

    (void)state;
    name(&p, 2, 1);
    name(&p, 4, 1);
    p.entries[p.count++].key = strange;
    assert_int_equal(give(l, &p, false), GROUP_LIST_DONE);
    assert_int_equal(group_list_end(l), 0);
    group_list_destroy(l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_run_begins_with_the_first_that_counts),
        cmocka_unit_test(pages_go_on_behind_the_largest_name_in_whatever_order),
        cmocka_unit_test(names_of_other_things_are_passed_over),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
