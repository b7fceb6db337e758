/* Listings: every key below a prefix once, in order, in pages; and at once after a write. */
#include "tests/conformance/objstore_conformance.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

/* In the order of their bytes. */
static const char *const NAMES[] = {"a-b",   "a.b",   "a/1", "a/10",  "a/2",   "a/b-c/d", "a/b/c",
                                    "a/b/d", "a/b0",  "aB",  "aa/b",  "ab",    "b",       "b0/1",
                                    "b_",    "c/d/e", "c/e", "d/aaa", "d/aab", "d/ab"};

static void put_all(struct oc *oc)
{
    for (size_t i = 0; i < COUNT_OF(NAMES); i++)
        oc_put(oc, oc_key(oc, NAMES[i]), slice_text(NAMES[i]), NULL);
}

/* As the store sorts. */
static int compare(const struct oc *oc, const char *a, const char *b)
{
    if (!oc->subject->slash_sorts_first)
        return strcmp(a, b);
    while (*a != '\0' && *a == *b) {
        a++;
        b++;
    }
    if (*a == *b)
        return 0;
    if (*a == '\0' || *b == '\0')
        return *a == '\0' ? -1 : 1;
    if (*a == '/' || *b == '/')
        return *a == '/' ? -1 : 1;
    return (unsigned char)*a < (unsigned char)*b ? -1 : 1;
}

static const struct oc *sorting; /* of the test that runs: one at a time */

static int compare_names(const void *a, const void *b)
{
    return compare(sorting, *(const char *const *)a, *(const char *const *)b);
}

/* The names below `prefix` and behind `after`, a page of `max` each, compared one by one. */
static void expect_list(struct oc *oc, const char *prefix, const char *after, uint32_t max)
{
    char last[OBJSTORE_KEY_BYTES_MAX + 1] = "";
    const char *names[COUNT_OF(NAMES)];
    size_t at = 0;
    bool more = true;

    memcpy(names, NAMES, sizeof names);
    sorting = oc;
    qsort(names, COUNT_OF(names), sizeof names[0], compare_names);
    if (after != NULL)
        (void)snprintf(last, sizeof last, "%s", oc_key(oc, after));
    while (more) {
        struct objstore_req list = {
            .op = OBJSTORE_LIST, .key = oc_key(oc, prefix), .list_max = max};
        char start[sizeof last];

        (void)snprintf(start, sizeof start, "%s", last);
        list.start_after = start[0] == '\0' ? NULL : start;
        oc_expect(oc, &list, OBJSTORE_OK);
        assert_true(list.result.entry_count <= (max == 0 ? OBJSTORE_LIST_MAX : max));
        more = list.result.truncated;
        assert_true(!more || list.result.entry_count > 0);
        for (size_t i = 0; i < list.result.entry_count; i++, at++) {
            const struct objstore_entry *entry = &list.result.entries[i];

            while (at < COUNT_OF(NAMES) && (strncmp(names[at], prefix, strlen(prefix)) != 0 ||
                                            (after != NULL && compare(oc, names[at], after) <= 0)))
                at++;
            assert_true(at < COUNT_OF(NAMES));
            assert_string_equal(entry->key, oc_key(oc, names[at]));
            assert_int_equal(entry->bytes, strlen(names[at]));
            assert_true(compare(oc, entry->key, last) > 0);
            (void)snprintf(last, sizeof last, "%s", entry->key);
        }
        objstore_result_fini(&list.result);
    }
    for (; at < COUNT_OF(NAMES); at++)
        assert_true(strncmp(names[at], prefix, strlen(prefix)) != 0 ||
                    (after != NULL && compare(oc, names[at], after) <= 0));
}

static void a_prefix_ends_anywhere_in_a_key(void **state)
{
    static const char *const prefixes[] = {"",    "a",    "a/",   "a/b",     "a/b/",  "a-",   "b",
                                           "d/a", "d/aa", "none", "a/none/", "a/b/c", "c/d/e"};
    struct oc *oc = *state;

    put_all(oc);
    for (size_t i = 0; i < COUNT_OF(prefixes); i++)
        expect_list(oc, prefixes[i], NULL, 0);
}

static void pages_of_every_size_give_the_same(void **state)
{
    struct oc *oc = *state;

    put_all(oc);
    for (uint32_t max = 1; max <= COUNT_OF(NAMES) + 1; max++) {
        expect_list(oc, "", NULL, max);
        expect_list(oc, "a/", NULL, max);
    }
}

static void start_after_is_exclusive_and_need_not_exist(void **state)
{
    static const char *const afters[] = {"a",     "a-b", "a.", "a/", "a/1", "a/b",  "a/b-", "a/b/",
                                         "a/b/c", "a0",  "b",  "b/", "b0",  "d/ab", "z",    "-"};
    struct oc *oc = *state;

    if (oc->subject->slash_sorts_first)
        return; /* such stores begin anywhere near a key that is not there */
    put_all(oc);
    for (size_t i = 0; i < COUNT_OF(afters); i++) {
        expect_list(oc, "", afters[i], 0);
        expect_list(oc, "a/", afters[i], 2);
    }
}

static void a_listing_sees_each_write_and_delete_before_it(void **state)
{
    struct oc *oc = *state;
    struct objstore *other = oc_open(oc);
    char name[32];

    for (unsigned i = 0; i < 20; i++) {
        struct objstore_req list = {.op = OBJSTORE_LIST, .key = oc_key(oc, "n/")};

        (void)snprintf(name, sizeof name, "n/%u", i);
        oc_put(oc, oc_key(oc, name), slice_text("x"), NULL);
        assert_int_equal(oc_run(other, &list), OBJSTORE_OK);
        assert_int_equal(list.result.entry_count, 1);
        assert_string_equal(list.result.entries[0].key, oc_key(oc, name));
        objstore_req_reset(&list);
        oc_expect_free(oc, (struct objstore_req){.op = OBJSTORE_DELETE, .key = oc_key(oc, name)},
                       OBJSTORE_OK);
        assert_int_equal(oc_run(other, &list), OBJSTORE_OK);
        assert_int_equal(list.result.entry_count, 0);
        assert_false(list.result.truncated);
        objstore_result_fini(&list.result);
    }
    objstore_close(other);
}

/* More than one full page of a real server. */
static void a_long_listing_goes_on_behind_its_page(void **state)
{
    enum { COUNT = 1103 };
    struct oc *oc = *state;
    static char keys[COUNT][OBJSTORE_KEY_BYTES_MAX + 1];
    struct oc_batch batch;
    const char *after = NULL;
    char last[OBJSTORE_KEY_BYTES_MAX + 1] = "";
    size_t seen = 0;
    unsigned pages = 0;

    oc_batch_init(&batch, COUNT);
    for (size_t i = 0; i < COUNT; i++) {
        (void)snprintf(keys[i], sizeof keys[i], "%s/many/%05zu", oc->root, i);
        batch.reqs[i].op = OBJSTORE_PUT;
        batch.reqs[i].key = keys[i];
        oc_batch_submit(&batch, oc->s, i);
    }
    oc_batch_wait(&batch);
    for (size_t i = 0; i < COUNT; i++)
        assert_int_equal(batch.reqs[i].result.class, OBJSTORE_OK);
    oc_batch_fini(&batch);
    for (bool more = true; more; pages++) {
        struct objstore_req list = {
            .op = OBJSTORE_LIST, .key = oc_key(oc, "many/"), .start_after = after};

        oc_expect(oc, &list, OBJSTORE_OK);
        for (size_t i = 0; i < list.result.entry_count; i++)
            assert_string_equal(list.result.entries[i].key, keys[seen++]);
        more = list.result.truncated;
        (void)snprintf(last, sizeof last, "%s", keys[seen - 1]);
        after = last;
        objstore_result_fini(&list.result);
    }
    assert_int_equal(seen, COUNT);
    assert_int_equal(pages, 2);
}

size_t oc_lists(struct CMUnitTest *out)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_prefix_ends_anywhere_in_a_key),
        cmocka_unit_test(pages_of_every_size_give_the_same),
        cmocka_unit_test(start_after_is_exclusive_and_need_not_exist),
        cmocka_unit_test(a_listing_sees_each_write_and_delete_before_it),
        cmocka_unit_test(a_long_listing_goes_on_behind_its_page),
    };

    memcpy(out, tests, sizeof tests);
    return COUNT_OF(tests);
}
