/* exec_queue.h - the tasks of one class: a queue per fair key, the keys taken in turn.
 *
 * A key that has tasks is a flow. It needs no memory of its own, so that queueing cannot fail: the
 * first task of a flow stands for it, in the line of turns and in a hash table, and hands that on
 * to the next when it is taken.
 *
 * Threads    one at a time (exec's lock). */
#ifndef BASE_EXEC_QUEUE_H
#define BASE_EXEC_QUEUE_H

#include "base/exec.h"

enum { EXEC_QUEUE_BUCKETS = 256 };

struct exec_queue {
    struct task *turn_first; /* whose turn is next */
    struct task *turn_last;
    struct task *buckets[EXEC_QUEUE_BUCKETS];
    uint64_t ns; /* sum of left_ns */
    unsigned count;
};

/* Behind the tasks of its key. A key that had none gets its turn after all others. */
void exec_queue_push(struct exec_queue *q, struct task *task);
/* Behind the first task of its key and before the others. */
void exec_queue_push_second(struct exec_queue *q, struct task *task);
/* NULL when empty. The key's next turn comes after all others. */
struct task *exec_queue_pop(struct exec_queue *q);

#endif
