/* The queue of one class beside a model that is plainly right: a list per key, a list of keys. */
#include "base/exec_queue.h"

#include "base/rand.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { KEYS = 600, TASKS = 2000, STEPS = 20000 };

struct model {
    struct task *of_key[KEYS][TASKS];
    unsigned key_count[KEYS];
    unsigned turns[KEYS];
    unsigned turn_count;
};

static struct model model;
static struct task tasks[TASKS];

static void model_push(struct model *m, struct task *task, unsigned at)
{
    unsigned key = (unsigned)task->fair_key;
    unsigned *count = &m->key_count[key];

    if (*count == 0)
        m->turns[m->turn_count++] = key;
    if (at > *count)
        at = *count;
    memmove(&m->of_key[key][at + 1], &m->of_key[key][at], (*count - at) * sizeof(struct task *));
    m->of_key[key][at] = task;
    (*count)++;
}

static struct task *model_pop(struct model *m)
{
    unsigned key = m->turns[0];
    struct task *task;

    if (m->turn_count == 0)
        return NULL;
    task = m->of_key[key][0];
    memmove(&m->turns[0], &m->turns[1], --m->turn_count * sizeof m->turns[0]);
    memmove(&m->of_key[key][0], &m->of_key[key][1], --m->key_count[key] * sizeof m->of_key[key][0]);
    if (m->key_count[key] > 0)
        m->turns[m->turn_count++] = key;
    return task;
}

/* Random pushes and pops, with few keys and with more keys than there are buckets. */
static void order_is_that_of_the_model(struct rand_source *r, unsigned keys)
{
    static struct exec_queue q;
    struct task *unused[TASKS];
    unsigned unused_count = TASKS;
    uint64_t ns = 0;

    memset(&q, 0, sizeof q);
    memset(&model, 0, sizeof model);
    for (unsigned i = 0; i < TASKS; i++)
        unused[i] = &tasks[i];
    for (unsigned step = 0; step < STEPS; step++) {
        bool filling = step / 1000 % 2 == 0;

        if (unused_count > 0 && rand_below(r, 10) < (filling ? 7u : 3u)) {
            struct task *task = unused[--unused_count];

            task->fair_key = rand_below(r, keys);
            task->left_ns = rand_below(r, 1000);
            ns += task->left_ns;
            if (rand_below(r, 4) == 0) {
                exec_queue_push_second(&q, task);
                model_push(&model, task, 1);
            } else {
                exec_queue_push(&q, task);
                model_push(&model, task, TASKS);
            }
        } else {
            struct task *task = exec_queue_pop(&q);

            assert_ptr_equal(task, model_pop(&model));
            if (task == NULL)
                continue;
            ns -= task->left_ns;
            unused[unused_count++] = task;
        }
        assert_int_equal(q.count, TASKS - unused_count);
        assert_int_equal(q.ns, ns);
    }
}

static void keys_take_turns_as_in_the_model(void **state)
{
    const unsigned keys[] = {1, 2, 7, KEYS};
    struct rand_seeded r;

    for (unsigned i = 0; i < COUNT_OF(keys); i++) {
        rand_seeded_init(&r, *(uint64_t *)*state + i);
        order_is_that_of_the_model(&r.source, keys[i]);
    }
}

int main(int argc, char **argv)
{
    static uint64_t seed;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate(keys_take_turns_as_in_the_model, &seed),
    };
    int failed;

    seed = argc > 1 ? strtoull(argv[1], NULL, 10) : rand_u64(rand_kernel());
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    if (failed != 0)
        (void)fprintf(stderr, "again with: test_exec_queue %llu\n", (unsigned long long)seed);
    return failed;
}
