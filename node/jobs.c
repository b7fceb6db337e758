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
