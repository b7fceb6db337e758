#include "objstore/crew.h"

#include "objstore/store.h"

#include <assert.h>
#include <stdio.h>

enum { REQ_WAITS = 1, REQ_UNWANTED };

static struct objstore_req *take_locked(struct crew *crew)
{
    struct objstore_req *req = crew->shared.first;

    if (req == NULL)
        return NULL;
    crew->shared.first = req->next;
    if (req->next == NULL)
        crew->shared.last = NULL;
    req->next = NULL;
    if (crew->shared.stopping)
        req->state = REQ_UNWANTED;
    return req;
}

static void work(void *arg)
{
    struct crew *crew = arg;

    for (;;) {
        struct objstore_req *req;

        lock_take(&crew->shared.lock);
        while (crew->shared.first == NULL && !crew->shared.stopping)
            cond_wait(&crew->shared.woken, &crew->shared.lock);
        req = take_locked(crew);
        lock_drop(&crew->shared.lock);
        if (req == NULL)
            return;
        if (req->state == REQ_UNWANTED)
            objstore_answer(req, OBJSTORE_CANCELLED, 0, "", "cancelled before it began");
        else if (objstore_req_check(req))
            crew->run(crew->arg, req);
        req->done(req);
    }
}

status crew_start(struct crew *crew, const char *name, unsigned threads, crew_run_fn *run,
                  void *arg, struct err *err)
{
    assert(threads >= 1 && threads <= CREW_THREADS_MAX);
    memset(crew, 0, sizeof *crew);
    crew->run = run;
    crew->arg = arg;
    lock_init(&crew->shared.lock, LOCK_RANK_OBJSTORE, "objstore crew");
    cond_init(&crew->shared.woken);
    for (unsigned i = 0; i < threads; i++) {
        char text[16];
        status st;

        (void)snprintf(text, sizeof text, "%.12s-%u", name, i);
        st = thread_start(&crew->threads[i], text, THREAD_NORMAL, work, crew, err);
        if (st != ST_OK) {
            crew_stop(crew);
            return st;
        }
    }
    return ST_OK;
}

void crew_submit(struct crew *crew, struct objstore_req *req)
{
    lock_take(&crew->shared.lock);
    req->state = REQ_WAITS;
    req->next = NULL;
    if (crew->shared.last == NULL)
        crew->shared.first = req;
    else
        crew->shared.last->next = req;
    crew->shared.last = req;
    cond_signal(&crew->shared.woken);
    lock_drop(&crew->shared.lock);
}

/* Found by its address alone: a request that ended meanwhile is not looked into. */
void crew_cancel(struct crew *crew, struct objstore_req *req)
{
    lock_take(&crew->shared.lock);
    for (struct objstore_req *at = crew->shared.first; at != NULL; at = at->next)
        if (at == req)
            at->state = REQ_UNWANTED;
    lock_drop(&crew->shared.lock);
}

void crew_stop(struct crew *crew)
{
    lock_take(&crew->shared.lock);
    crew->shared.stopping = true;
    cond_broadcast(&crew->shared.woken);
    lock_drop(&crew->shared.lock);
    for (unsigned i = 0; i < CREW_THREADS_MAX; i++)
        thread_join(&crew->threads[i]);
    cond_fini(&crew->shared.woken);
    lock_fini(&crew->shared.lock);
}
