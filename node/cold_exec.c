#include "node/cold_exec.h"

#include "node/node_internal.h"

#include <stdatomic.h>

bool node_cold_thread(void)
{
    return exec_worker_index() >= EXEC_WORKERS_MAX;
}

bool node_collection_waits(const struct collection *c)
{
    return atomic_load_explicit(&c->policy, memory_order_acquire) == NODE_S3_ONLY;
}

static status open_now(struct node *node, struct exec **out, struct err *err)
{
    const struct exec_options options = {.workers = COLD_THREADS,
                                         .name = "cold",
                                         .first_index = EXEC_WORKERS_MAX,
                                         .clock = node->options.clock};
    status st = ST_OK;

    lock_take(&node->cold_exec.lock);
    *out = atomic_load_explicit(&node->cold_exec.exec, memory_order_relaxed);
    if (node->cold_exec.closed)
        st = err_set(err, ST_CLOSED, "the node is stopping");
    else if (*out == NULL)
        st = exec_open(&options, out, err);
    if (st == ST_OK)
        atomic_store_explicit(&node->cold_exec.exec, *out, memory_order_release);
    lock_drop(&node->cold_exec.lock);
    return st;
}

static status open_exec(struct node *node, struct task *task, struct exec **out, struct err *err)
{
    if (task->cost_ns < COLD_COST_NS)
        task->cost_ns = COLD_COST_NS;
    *out = atomic_load_explicit(&node->cold_exec.exec, memory_order_acquire);
    return *out != NULL ? ST_OK : open_now(node, out, err);
}

status node_cold_submit(struct node *node, struct task *task, uint64_t *retry_after_ns,
                        struct err *err)
{
    struct exec *exec;
    status st = open_exec(node, task, &exec, err);

    return st == ST_OK ? exec_submit(exec, task, retry_after_ns, err) : st;
}

status node_cold_resubmit(struct node *node, struct task *task, struct err *err)
{
    struct exec *exec;
    status st = open_exec(node, task, &exec, err);

    if (st == ST_OK)
        exec_resubmit(exec, task);
    return st;
}

/* No request and no write is under way any more. */
void cold_exec_close(struct node *node)
{
    struct exec *exec;

    lock_take(&node->cold_exec.lock);
    node->cold_exec.closed = true;
    exec = atomic_load_explicit(&node->cold_exec.exec, memory_order_relaxed);
    lock_drop(&node->cold_exec.lock);
    exec_close(exec);
}
