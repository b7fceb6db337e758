#include "node/node_internal.h"

void jobs_init(struct job_queue *q, const char *name)
{
    lock_init(&q->lock, LOCK_RANK_QUEUE, name);
    cond_init(&q->wake);
    q->first = NULL;
    q->last = &q->first;
    q->stopping = false;
}

void jobs_fini(struct job_queue *q)
{
    cond_fini(&q->wake);
    lock_fini(&q->lock);
}

bool jobs_push(struct job_queue *q, struct meta_job *job)
{
    bool taken;

    job->next = NULL;
    lock_take(&q->lock);
    taken = !q->stopping;
    if (taken) {
        *q->last = job;
        q->last = &job->next;
        cond_signal(&q->wake);
    }
    lock_drop(&q->lock);
    return taken;
}

struct meta_job *jobs_wait(struct job_queue *q, uint64_t timeout_ns, bool *stopped)
{
    struct meta_job *job;

    lock_take(&q->lock);
    if (q->first == NULL && !q->stopping)
        (void)cond_wait_ns(&q->wake, &q->lock, timeout_ns);
    job = q->first;
    if (job != NULL) {
        q->first = job->next;
        if (q->first == NULL)
            q->last = &q->first;
    }
    *stopped = q->stopping && job == NULL;
    lock_drop(&q->lock);
    return job;
}

void jobs_stop(struct job_queue *q)
{
    lock_take(&q->lock);
    q->stopping = true;
    cond_broadcast(&q->wake);
    lock_drop(&q->lock);
}

struct errand {
    struct meta_job job;
    job_step_fn *step;
    void *arg;
    struct lock lock;
    struct cond cond;
    bool done;
    status st;
    struct err err;
};

static void run_errand(struct meta_job *base)
{
    struct errand *e = (struct errand *)(void *)base;
    status st = e->step(e->arg, &e->err);

    lock_take(&e->lock);
    e->st = st;
    e->done = true;
    cond_broadcast(&e->cond);
    lock_drop(&e->lock);
}

status jobs_run(struct job_queue *q, job_step_fn *step, void *arg, struct err *err)
{
    struct errand e = {.job = {.run = run_errand}, .step = step, .arg = arg};
    status st;

    lock_init(&e.lock, LOCK_RANK_LEAF, "errand");
    cond_init(&e.cond);
    if (!jobs_push(q, &e.job)) {
        st = err_set(err, ST_UNAVAILABLE, "the node is stopping");
    } else {
        lock_take(&e.lock);
        while (!e.done)
            cond_wait(&e.cond, &e.lock);
        lock_drop(&e.lock);
        st = e.st;
        if (st != ST_OK && err != NULL)
            *err = e.err;
    }
    cond_fini(&e.cond);
    lock_fini(&e.lock);
    return st;
}
