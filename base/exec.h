/* exec.h - the workers: W threads on one shared queue, fair over collections, bounded by the wait
 * it can promise.
 *
 * A request is a continuation: a task's run() never waits for disk, network or durability; it
 * arranges a callback that submits the next task, and returns. Cost is estimated before a task is
 * submitted: up to EXEC_INTERACTIVE_NS is interactive, the rest is bulk. Bulk tasks run in slices
 * of EXEC_SLICE_NS (run() returns TASK_AGAIN between slices and looks at its deadline there) on at
 * most W - 1 workers (at least 1); interactive ones go first. Within a class, queues are per fair
 * key and taken in turn.
 *
 * Threads    exec_submit() from any thread, never waits.
 * Ownership  the task is the caller's memory, untouched by exec once run() returned TASK_DONE (run
 *            may free it).
 * Limits     the sum of estimated costs queued ahead, divided by W, may not pass wait_ns_max: then
 *            ST_LIMIT, and *retry_after_ns says when to try again. exec_resubmit() is for work
 * already admitted and is never refused. */
#ifndef BASE_EXEC_H
#define BASE_EXEC_H

#include "base/clock.h"

enum {
    EXEC_INTERACTIVE_NS = 1000000,
    EXEC_SLICE_NS = 500000,
};

struct exec;
struct task;
typedef enum { TASK_DONE = 0, TASK_AGAIN } task_state;
typedef task_state task_fn(struct task *task);

struct task {
    task_fn *run;
    uint64_t fair_key; /* a hash of the collection id, 0 for none */
    uint64_t cost_ns;  /* estimate */
    struct task *next; /* exec's while queued */
};

struct exec_options {
    unsigned workers;     /* 0: thread_cpu_count() */
    uint64_t wait_ns_max; /* 0: 2 s */
    struct clock *clock;
};
NODISCARD
status exec_open(const struct exec_options *options, struct exec **out, struct err *err);
/* Runs what is queued to its end, then joins the workers. Accepts NULL. */
void exec_close(struct exec *exec);
NODISCARD
status exec_submit(struct exec *exec, struct task *task, uint64_t *retry_after_ns, struct err *err);
void exec_resubmit(struct exec *exec, struct task *task);
uint64_t exec_queued_ns(struct exec *exec);
unsigned exec_queued(struct exec *exec);
unsigned exec_workers(const struct exec *exec);
/* 0..W-1 on a worker thread, -1 elsewhere: for per-worker scratch. */
int exec_worker_index(void);

#endif
