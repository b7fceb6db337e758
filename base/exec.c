#include "base/exec.h"

#include <assert.h>
#include <inttypes.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>

#include "base/exec_queue.h"
#include "base/lock.h"
#include "base/mem.h"

enum { WAIT_NS_MAX_DEFAULT = 2000000000 };

/* An hour: no sum of these that fits in memory passes 64 bits. */
static const uint64_t COST_NS_MAX = 3600000000000;

struct worker {
    struct thread thread;
    struct exec *exec;
    int index;
    struct cond woken;        /* of exec's lock */
    struct worker *next_idle; /* guarded by exec's lock */
};

struct exec {
    /* Set by exec_open(), never changed after it. */
    struct clock *clock; /* borrowed */
    uint64_t wait_ns_max;
    unsigned worker_count;
    unsigned bulk_max; /* workers that may run bulk at once */
    /* Threads on their way to signal a worker, without the lock. Raised under the lock, lowered
     * when they touch exec no more; exec_close() waits for 0. */
    _Atomic unsigned wakers;
    struct {              /* guarded by lock */
        struct lock lock; /* LOCK_RANK_EXEC */
        struct exec_queue interactive;
        struct exec_queue bulk;
        struct exec_queue slow;
        unsigned bulk_running;
        unsigned slow_running;
        bool slow_next; /* of bulk and slow, when both wait */
        unsigned
            interactive_run; /* interactive tasks since the last bulk slice, with bulk waiting */
        unsigned begun;      /* tasks that said TASK_AGAIN and are not done */
        struct worker *idle; /* asleep and not woken yet; who fell asleep last is first, since its
                                caches are warm */
        bool closing;
    } shared;
    struct worker workers[];
};

static _Thread_local int worker_index = -1;

int exec_worker_index(void)
{
    return worker_index;
}

static bool is_bulk(const struct task *task)
{
    return task->begun || task->cost_ns > EXEC_INTERACTIVE_NS;
}

static bool may_take_bulk_locked(const struct exec *exec)
{
    return exec->shared.bulk.count > 0 && exec->shared.bulk_running < exec->bulk_max;
}

static bool may_take_slow_locked(const struct exec *exec)
{
    return exec->shared.slow.count > 0 && exec->shared.slow_running < exec->bulk_max;
}

static bool may_take_locked(const struct exec *exec)
{
    return exec->shared.interactive.count > 0 || may_take_bulk_locked(exec) ||
           may_take_slow_locked(exec);
}

/* Who has to be woken by wake() once the lock is dropped; NULL: nobody. One sleeper is enough: who
 * takes a task wakes the next while there is more to take. */
static struct worker *wake_one_locked(struct exec *exec)
{
    struct worker *w = exec->shared.idle;

    if (w == NULL || !may_take_locked(exec))
        return NULL;
    exec->shared.idle = w->next_idle;
    (void)atomic_fetch_add_explicit(&exec->wakers, 1, memory_order_relaxed);
    return w;
}

/* Without the lock: who is woken wants it at once, and would go to sleep again on it. */
static void wake(struct worker *w)
{
    if (w == NULL)
        return;
    cond_signal(&w->woken);
    (void)atomic_fetch_sub_explicit(&w->exec->wakers, 1, memory_order_release);
}

/* Bulk and slow in turn. */
static struct task *take_long_locked(struct exec *exec)
{
    bool slow =
        may_take_slow_locked(exec) && (exec->shared.slow_next || !may_take_bulk_locked(exec));

    exec->shared.slow_next = !slow;
    if (slow) {
        exec->shared.slow_running++;
        return exec_queue_pop(&exec->shared.slow);
    }
    exec->shared.bulk_running++;
    return exec_queue_pop(&exec->shared.bulk);
}

static struct task *take_locked(struct exec *exec)
{
    bool waits = may_take_bulk_locked(exec) || may_take_slow_locked(exec);
    struct task *task;

    if (waits && (exec->shared.interactive.count == 0 ||
                  exec->shared.interactive_run >= EXEC_INTERACTIVE_RUN)) {
        exec->shared.interactive_run = 0;
        task = take_long_locked(exec);
    } else {
        if (waits)
            exec->shared.interactive_run++;
        task = exec_queue_pop(&exec->shared.interactive);
    }
    return task;
}

static struct exec_queue *queue_of(struct exec *exec, const struct task *task)
{
    if (task->slow)
        return &exec->shared.slow;
    return is_bulk(task) ? &exec->shared.bulk : &exec->shared.interactive;
}

static void put_again_locked(struct exec *exec, struct task *task, uint64_t ran_ns)
{
    task->left_ns = task->left_ns > ran_ns + EXEC_SLICE_NS ? task->left_ns - ran_ns : EXEC_SLICE_NS;
    if (!task->begun) {
        task->begun = true;
        exec->shared.begun++;
    }
    if (exec->shared.begun > EXEC_BEGUN_MAX)
        exec_queue_push_second(queue_of(exec, task), task);
    else
        exec_queue_push(queue_of(exec, task), task);
}

/* Without the lock. The task's memory is gone when it is done. */
static void run_one(struct exec *exec, struct task *task)
{
    bool slow = task->slow;
    bool bulk = is_bulk(task);
    bool begun = task->begun;
    uint64_t before_ns = clock_mono_ns(exec->clock);
    task_state state = task->run(task);
    uint64_t ran_ns = clock_mono_ns(exec->clock) - before_ns;

    lock_take(&exec->shared.lock);
    if (slow)
        exec->shared.slow_running--;
    else if (bulk)
        exec->shared.bulk_running--;
    if (state == TASK_AGAIN)
        put_again_locked(exec, task, ran_ns);
    else if (begun)
        exec->shared.begun--;
    lock_drop(&exec->shared.lock);
}

/* Until it is no longer among those that sleep: woken, or closing. */
static void sleep_locked(struct worker *self)
{
    struct exec *exec = self->exec;

    self->next_idle = exec->shared.idle;
    exec->shared.idle = self;
    cond_wait(&self->woken, &exec->shared.lock);
    for (struct worker **at = &exec->shared.idle; *at != NULL; at = &(*at)->next_idle) {
        if (*at != self)
            continue;
        *at = self->next_idle; /* it woke by itself */
        break;
    }
}

static struct task *wait_for_task(struct worker *self)
{
    struct exec *exec = self->exec;
    struct worker *next = NULL;
    struct task *task;

    lock_take(&exec->shared.lock);
    while ((task = take_locked(exec)) == NULL) {
        /* Bulk may wait here for a worker that runs bulk now: that one takes it next. */
        if (exec->shared.closing)
            break;
        sleep_locked(self);
    }
    if (task != NULL)
        next = wake_one_locked(exec);
    lock_drop(&exec->shared.lock);
    wake(next);
    return task;
}

static void worker_main(void *arg)
{
    struct worker *self = arg;
    struct task *task;

    worker_index = self->index;
    while ((task = wait_for_task(self)) != NULL)
        run_one(self->exec, task);
}

static status start_workers(struct exec *exec, const struct exec_options *options, struct err *err)
{
    const char *prefix = options->name == NULL ? "worker" : options->name;

    for (unsigned i = 0; i < exec->worker_count; i++) {
        struct worker *w = &exec->workers[i];
        char name[16];
        status st;

        w->exec = exec;
        w->index = (int)(options->first_index + i);
        (void)snprintf(name, sizeof name, "%.10s-%u", prefix, i % 10000);
        st = thread_start(&w->thread, name, THREAD_NORMAL, worker_main, w, err);
        if (st != ST_OK)
            return st;
    }
    return ST_OK;
}

status exec_open(const struct exec_options *options, struct exec **out, struct err *err)
{
    unsigned workers = options->workers == 0 ? thread_cpu_count() : options->workers;
    struct exec *exec;
    status st;

    if (workers > EXEC_WORKERS_MAX)
        return err_set(err, ST_INVALID, "%u workers are over the limit of %d", workers,
                       EXEC_WORKERS_MAX);
    exec = mem_zero(sizeof *exec + workers * sizeof exec->workers[0]);
    if (exec == NULL)
        return err_set(err, ST_NOMEM, "out of memory for %u workers", workers);
    exec->clock = options->clock == NULL ? clock_real() : options->clock;
    exec->wait_ns_max = options->wait_ns_max == 0 ? WAIT_NS_MAX_DEFAULT : options->wait_ns_max;
    exec->worker_count = workers;
    exec->bulk_max = workers > 1 ? workers - 1 : 1;
    lock_init(&exec->shared.lock, LOCK_RANK_EXEC, "exec");
    for (unsigned i = 0; i < workers; i++)
        cond_init(&exec->workers[i].woken);
    st = start_workers(exec, options, err);
    if (st != ST_OK) {
        exec_close(exec);
        return st;
    }
    *out = exec;
    return ST_OK;
}

void exec_close(struct exec *exec)
{
    if (exec == NULL)
        return;
    lock_take(&exec->shared.lock);
    exec->shared.closing = true;
    for (unsigned i = 0; i < exec->worker_count; i++)
        cond_signal(&exec->workers[i].woken);
    lock_drop(&exec->shared.lock);
    for (unsigned i = 0; i < exec->worker_count; i++)
        thread_join(&exec->workers[i].thread);
    assert(exec->shared.interactive.count == 0 && exec->shared.bulk.count == 0 &&
           exec->shared.slow.count == 0);
    while (atomic_load_explicit(&exec->wakers, memory_order_acquire) > 0)
        (void)sched_yield();
    for (unsigned i = 0; i < exec->worker_count; i++)
        cond_fini(&exec->workers[i].woken);
    lock_fini(&exec->shared.lock);
    mem_free(exec);
}

/* Returns whom to wake. */
static struct worker *push_locked(struct exec *exec, struct task *task)
{
    task->begun = false;
    task->left_ns = task->cost_ns;
    if (task->left_ns < EXEC_COST_NS_MIN)
        task->left_ns = EXEC_COST_NS_MIN;
    if (task->left_ns > COST_NS_MAX)
        task->left_ns = COST_NS_MAX;
    exec_queue_push(queue_of(exec, task), task);
    return wake_one_locked(exec);
}

/* How long a task submitted now would wait. */
static uint64_t wait_ns_locked(const struct exec *exec, const struct task *task)
{
    uint64_t ahead_ns = exec->shared.interactive.ns;

    if (task->cost_ns > EXEC_INTERACTIVE_NS)
        ahead_ns += exec->shared.bulk.ns;
    if (task->slow)
        ahead_ns += exec->shared.slow.ns;
    return ahead_ns / exec->worker_count;
}

static status refuse(const struct exec *exec, uint64_t wait_ns, uint64_t *retry_after_ns,
                     struct err *err)
{
    uint64_t over_ns = wait_ns - exec->wait_ns_max;

    if (retry_after_ns != NULL)
        *retry_after_ns = over_ns < EXEC_INTERACTIVE_NS ? EXEC_INTERACTIVE_NS : over_ns;
    return err_set(err, ST_LIMIT,
                   "the queue is full: it would take about %" PRIu64
                   " ms to get to this request, over the limit of %" PRIu64 " ms",
                   wait_ns / 1000000, exec->wait_ns_max / 1000000);
}

status exec_submit(struct exec *exec, struct task *task, uint64_t *retry_after_ns, struct err *err)
{
    struct worker *sleeper = NULL;
    status st = ST_OK;
    uint64_t wait_ns;

    lock_take(&exec->shared.lock);
    wait_ns = wait_ns_locked(exec, task);
    if (exec->shared.closing)
        st = err_set(err, ST_CLOSED, "the node is stopping");
    else if (wait_ns > exec->wait_ns_max)
        st = refuse(exec, wait_ns, retry_after_ns, err);
    else
        sleeper = push_locked(exec, task);
    lock_drop(&exec->shared.lock);
    wake(sleeper);
    return st;
}

void exec_resubmit(struct exec *exec, struct task *task)
{
    struct worker *sleeper;

    lock_take(&exec->shared.lock);
    sleeper = push_locked(exec, task);
    lock_drop(&exec->shared.lock);
    wake(sleeper);
}

uint64_t exec_queued_ns(struct exec *exec)
{
    uint64_t ns;

    lock_take(&exec->shared.lock);
    ns = exec->shared.interactive.ns + exec->shared.bulk.ns + exec->shared.slow.ns;
    lock_drop(&exec->shared.lock);
    return ns;
}

unsigned exec_queued(struct exec *exec)
{
    unsigned count;

    lock_take(&exec->shared.lock);
    count = exec->shared.interactive.count + exec->shared.bulk.count + exec->shared.slow.count;
    lock_drop(&exec->shared.lock);
    return count;
}

unsigned exec_workers(const struct exec *exec)
{
    return exec->worker_count;
}
