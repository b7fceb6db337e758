/* Numbered tasks by several threads: each once, and of those that fail the first is told. */
#include "snapshot/crew.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

enum { TASKS = 500 };

struct tasks {
    _Atomic unsigned done[TASKS];
    size_t failing[3];
    size_t failing_count;
};

static status one(void *arg, size_t number, struct err *err)
{
    struct tasks *t = arg;

    atomic_fetch_add(&t->done[number], 1);
    for (size_t i = 0; i < t->failing_count; i++)
        if (number == t->failing[i])
            return err_set(err, ST_CORRUPT, "task %zu", number);
    return ST_OK;
}

static void every_task_is_done_once(void **state)
{
    (void)state;
    for (unsigned threads = 0; threads < 12; threads++) {
        struct tasks t = {.failing_count = 0};
        struct err err = {0};

        assert_int_equal(crew_run(threads, TASKS, one, &t, &err), ST_OK);
        for (size_t i = 0; i < TASKS; i++)
            assert_int_equal(atomic_load(&t.done[i]), 1);
        assert_int_equal(crew_run(threads, 0, one, &t, &err), ST_OK);
    }
}

static void the_first_failure_is_told_whoever_met_it(void **state)
{
    (void)state;
    for (unsigned round = 0; round < 200; round++) {
        struct tasks t = {.failing = {137, 138, 139}, .failing_count = 3};
        struct err err = {0};

        assert_int_equal(crew_run(1 + round % 6, TASKS, one, &t, &err), ST_CORRUPT);
        assert_string_equal(err.text, "task 137");
        for (size_t i = 0; i <= 137; i++)
            assert_int_equal(atomic_load(&t.done[i]), 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_task_is_done_once),
        cmocka_unit_test(the_first_failure_is_told_whoever_met_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
