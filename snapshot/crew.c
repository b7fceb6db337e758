#include "snapshot/crew.h"

#include "base/lock.h"

#include <stdatomic.h>
#include <stdint.h>

struct crew {
    /* Set by crew_run(), never changed after it. */
    size_t tasks;
    crew_task *task;
    void *arg;
    _Atomic size_t next;
    _Atomic bool failed;  /* relaxed: who misses it does a task in vain */
    struct {              /* guarded by lock */
        struct lock lock; /* LOCK_RANK_LEAF */
        size_t number;    /* of the first failed task */
        status st;
        struct err err;
    } first;
};

static void note_failure(struct crew *c, size_t number, status st, const struct err *err)
{
    lock_take(&c->first.lock);
    if (c->first.st == ST_OK || number < c->first.number) {
        c->first.number = number;
        c->first.st = st;
        c->first.err = *err;
    }
    lock_drop(&c->first.lock);
    atomic_store_explicit(&c->failed, true, memory_order_relaxed);
}

static void work(void *arg)
{
    struct crew *c = arg;

    while (!atomic_load_explicit(&c->failed, memory_order_relaxed)) {
        size_t number = atomic_fetch_add_explicit(&c->next, 1, memory_order_relaxed);
        struct err err = {0};
        status st;

        if (number >= c->tasks)
            return;
        st = c->task(c->arg, number, &err);
        if (st != ST_OK)
            note_failure(c, number, st, &err);
    }
}

status crew_run(unsigned threads, size_t tasks, crew_task *task, void *arg, struct err *err)
{
    struct crew c = {.tasks = tasks, .task = task, .arg = arg};
    struct thread helpers[CREW_THREADS_MAX - 1] = {0};
    size_t started = 0;

    lock_init(&c.first.lock, LOCK_RANK_LEAF, "crew");
    while (started + 1 < threads && started + 1 < tasks && started < CREW_THREADS_MAX - 1 &&
           thread_start(&helpers[started], "load-rows", THREAD_NORMAL, work, &c, NULL) == ST_OK)
        started++;
    work(&c);
    for (size_t i = 0; i < started; i++)
        thread_join(&helpers[i]);
    lock_fini(&c.first.lock);
    if (c.first.st != ST_OK && err != NULL)
        *err = c.first.err;
    return c.first.st;
}
