#include "base/exec_queue.h"

#include <assert.h>
#include <stddef.h>

#include "base/hash.h"

/* Where the pointer to the flow's first task is; *result is NULL when the key has none. */
static struct task **find_flow(struct exec_queue *q, uint64_t fair_key)
{
    struct task **at = &q->buckets[hash_u64(fair_key) % EXEC_QUEUE_BUCKETS];

    while (*at != NULL && (*at)->fair_key != fair_key)
        at = &(*at)->flow.next_in_bucket;
    return at;
}

static void turn_append(struct exec_queue *q, struct task *first)
{
    first->flow.next_turn = NULL;
    if (q->turn_first == NULL)
        q->turn_first = first;
    else
        q->turn_last->flow.next_turn = first;
    q->turn_last = first;
}

static void flow_begin(struct exec_queue *q, struct task **bucket, struct task *task)
{
    task->flow.last = task;
    task->flow.next_in_bucket = NULL;
    *bucket = task;
    turn_append(q, task);
}

static void count_in(struct exec_queue *q, const struct task *task)
{
    q->ns += task->left_ns;
    q->count++;
}

void exec_queue_push(struct exec_queue *q, struct task *task)
{
    struct task **flow = find_flow(q, task->fair_key);

    task->next = NULL;
    count_in(q, task);
    if (*flow == NULL) {
        flow_begin(q, flow, task);
        return;
    }
    (*flow)->flow.last->next = task;
    (*flow)->flow.last = task;
}

void exec_queue_push_second(struct exec_queue *q, struct task *task)
{
    struct task *first = *find_flow(q, task->fair_key);

    if (first == NULL) {
        exec_queue_push(q, task);
        return;
    }
    count_in(q, task);
    task->next = first->next;
    first->next = task;
    if (first->flow.last == first)
        first->flow.last = task;
}

struct task *exec_queue_pop(struct exec_queue *q)
{
    struct task *task = q->turn_first;
    struct task **bucket;
    struct task *next;

    if (task == NULL)
        return NULL;
    next = task->next;
    bucket = find_flow(q, task->fair_key);
    assert(*bucket == task);
    q->turn_first = task->flow.next_turn;
    if (next == NULL) {
        *bucket = task->flow.next_in_bucket;
    } else {
        next->flow = task->flow;
        *bucket = next;
        turn_append(q, next);
    }
    q->ns -= task->left_ns;
    q->count--;
    return task;
}
