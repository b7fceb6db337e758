/* What the suite over every store does not ask of the one in memory: names, lives, memory. */
#include "objstore/memory.h"

#include "tests/support/alloc_sweep.h"
#include "tests/unit/objstore/store_script.h"

#include <stdlib.h>

static struct objstore *open_it(const char *name)
{
    struct objstore *s = NULL;

    assert_int_equal(objstore_memory_open(name, NULL, &s, NULL), ST_OK);
    return s;
}

static enum objstore_class put(struct objstore *s, const char *key)
{
    struct objstore_req req = {.op = OBJSTORE_PUT, .key = key, .body = slice_text(key)};
    struct err err;

    assert_int_equal(objstore_wait(s, &req, &err), ST_OK);
    return req.result.class;
}

static bool has(struct objstore *s, const char *key)
{
    struct objstore_req req = {.op = OBJSTORE_HEAD, .key = key};
    struct err err;

    return objstore_wait(s, &req, &err) == ST_OK;
}

static void a_name_is_one_bucket_for_all_in_the_process(void **state)
{
    struct objstore *a = open_it("one");
    struct objstore *b = open_it("one");
    struct objstore *other = open_it("two");

    (void)state;
    assert_string_equal(a->description, "memory:one");
    assert_int_equal(put(a, "k"), OBJSTORE_OK);
    assert_true(has(b, "k"));
    assert_false(has(other, "k"));
    objstore_close(a);
    assert_true(has(b, "k"));
    objstore_close(b);
    objstore_close(other);
    objstore_memory_forget("one");
    objstore_memory_forget("two");
}

static void a_bucket_outlives_its_handles_until_it_is_forgotten(void **state)
{
    struct objstore *s = open_it("kept");

    (void)state;
    assert_int_equal(put(s, "k"), OBJSTORE_OK);
    objstore_close(s);
    s = open_it("kept");
    assert_true(has(s, "k"));
    objstore_close(s);
    objstore_memory_forget("kept");
    s = open_it("kept");
    assert_false(has(s, "k"));
    objstore_close(s);
    objstore_memory_forget("kept");
    objstore_memory_forget("kept");
    objstore_memory_forget("never was");
}

static void a_forgotten_bucket_stays_with_who_has_it_open(void **state)
{
    struct objstore *old = open_it("name");
    struct objstore *fresh;

    (void)state;
    assert_int_equal(put(old, "k"), OBJSTORE_OK);
    objstore_memory_forget("name");
    fresh = open_it("name");
    assert_true(has(old, "k"));
    assert_false(has(fresh, "k"));
    objstore_close(old);
    objstore_close(fresh);
    objstore_memory_forget("name");
}

static void objects_say_when_they_were_written(void **state)
{
    struct clock_manual clock;
    struct objstore *s = NULL;
    struct objstore_req list = {.op = OBJSTORE_LIST, .key = ""};

    (void)state;
    clock_manual_init(&clock, 5, 1000);
    assert_int_equal(objstore_memory_open("clock", &clock.clock, &s, NULL), ST_OK);
    assert_int_equal(put(s, "a"), OBJSTORE_OK);
    clock_manual_advance(&clock, 11);
    assert_int_equal(put(s, "b"), OBJSTORE_OK);
    assert_int_equal(objstore_wait(s, &list, NULL), ST_OK);
    assert_int_equal(list.result.entries[0].modified_ns, 1000);
    assert_int_equal(list.result.entries[1].modified_ns, 1011);
    objstore_result_fini(&list.result);
    objstore_close(s);
    objstore_memory_forget("clock");
}

static status sweep(void *arg)
{
    struct objstore *s = NULL;
    status st = objstore_memory_open("sweep", NULL, &s, NULL);

    (void)arg;
    if (st == ST_OK)
        st = store_script(s);
    objstore_close(s);
    objstore_memory_forget("sweep");
    return st;
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    assert_true(alloc_sweep(sweep, NULL) >= 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_name_is_one_bucket_for_all_in_the_process),
        cmocka_unit_test(a_bucket_outlives_its_handles_until_it_is_forgotten),
        cmocka_unit_test(a_forgotten_bucket_stays_with_who_has_it_open),
        cmocka_unit_test(objects_say_when_they_were_written),
        cmocka_unit_test(every_allocation_may_fail),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
