/* exec.h - the workers: W threads on one shared queue, fair over collections, bounded by the wait
 * it can promise.
 *
 * A request is a continuation: a task's run() never waits for disk, network or durability; it
 * arranges a callback that submits the next task, and returns. Cost is estimated before a task is
 * submitted: up to EXEC_INTERACTIVE_NS is interactive, the rest is bulk. Bulk tasks run in slices
 * of EXEC_SLICE_NS (run() returns TASK_AGAIN between slices and looks at its deadline there) on at
 * most W - 1 workers (at least 1); interactive ones go first. A task that says TASK_AGAIN is bulk
 * from then on, whatever its estimate was.
 *
 * A task whose slices may take far longer says so (slow): of those too at most W - 1 run at once
 * (at least 1), beside the others, so that a worker stays that all else is served by.
 *
 * Fairness   within a class, queues are per fair key and taken in turn, one task or slice a turn.
 *            Within a key slices go round as well, among up to EXEC_BEGUN_MAX begun tasks; beyond
 *            that what is begun is finished first, so that what begun tasks hold stays bounded.
 *            While bulk waits, one of its slices runs after every EXEC_INTERACTIVE_RUN
 *            interactive tasks: bulk is slowed down, never starved.
 * Threads    exec_submit() from any thread, never waits.
 * Ownership  the task is the caller's memory, untouched by exec once run() returned TASK_DONE (run
 *            may free it).
 * Limits     the sum of estimated costs queued ahead (interactive ones for an interactive task, all
 *            for a bulk one), divided by W, may not pass wait_ns_max: then ST_LIMIT, and
 *            *retry_after_ns says when to try again. An estimate below EXEC_COST_NS_MIN counts as
 *            that, so that the queue is bounded in tasks too. exec_resubmit() is for work already
 *            admitted and is never refused. */
#ifndef BASE_EXEC_H
#define BASE_EXEC_H

#include "base/clock.h"

enum {
    EXEC_INTERACTIVE_NS = 1000000,
    EXEC_SLICE_NS = 500000,
    EXEC_COST_NS_MIN = 1000,
    EXEC_INTERACTIVE_RUN = 16,
    EXEC_BEGUN_MAX = 64,
    EXEC_WORKERS_MAX = 1024,
};

struct exec;
struct task;
typedef enum { TASK_DONE = 0, TASK_AGAIN } task_state;
typedef task_state task_fn(struct task *task);

struct task {
    task_fn *run;
    uint64_t fair_key; /* a hash of the collection id, 0 for none */
    uint64_t cost_ns;  /* estimate */
    bool slow;         /* may run for long at a time; set before it is submitted or in run() */
    struct task *next; /* exec's while queued, like all of: */
    struct {           /* of the first task of a key */
        struct task *last;
        struct task *next_turn;
        struct task *next_in_bucket;
    } flow;
    uint64_t left_ns; /* of cost_ns */
    bool begun;       /* has said TASK_AGAIN */
};

struct exec_options {
    unsigned workers;     /* 0: thread_cpu_count() */
    const char *name;     /* of its threads, "<name>-<n>"; NULL: "worker" */
    unsigned first_index; /* what exec_worker_index() begins with: of several execs, each its own */
    uint64_t wait_ns_max; /* 0: 2 s */
    struct clock *clock;  /* NULL: clock_real() */
};
/* ST_INVALID: more than EXEC_WORKERS_MAX workers. */
NODISCARD
status exec_open(const struct exec_options *options, struct exec **out, struct err *err);
/* Runs what is queued to its end, and what those tasks resubmit from their run(), then joins the
 * workers. New work gets ST_CLOSED. No other thread may resubmit any more. Accepts NULL. */
void exec_close(struct exec *exec);
/* retry_after_ns may be NULL. */
NODISCARD
status exec_submit(struct exec *exec, struct task *task, uint64_t *retry_after_ns, struct err *err);
void exec_resubmit(struct exec *exec, struct task *task);
/* Estimates and count of what waits; what runs is not in it. */
uint64_t exec_queued_ns(struct exec *exec);
unsigned exec_queued(struct exec *exec);
unsigned exec_workers(const struct exec *exec);
/* first_index..first_index + W - 1 on a worker thread, -1 elsewhere: for per-worker scratch. */
int exec_worker_index(void);

#endif
