/* crew.h - a queue of requests and the threads that run them, for stores whose requests are
 * functions that wait: memory (one thread, so requests run in order) and directory.
 *
 * Threads    crew_submit() and crew_cancel() from any. run() fills the result on one of the crew's
 *            threads, which then calls done().
 * Ownership  the crew lies in its store. crew_stop() ends every request, then the threads. */
#ifndef OBJSTORE_CREW_H
#define OBJSTORE_CREW_H

#include "base/lock.h"
#include "objstore/objstore.h"

enum { CREW_THREADS_MAX = 8 };

typedef void crew_run_fn(void *arg, struct objstore_req *req);

struct crew {
    /* Set by crew_start(). */
    crew_run_fn *run;
    void *arg;
    struct thread threads[CREW_THREADS_MAX];
    struct {               /* guarded by lock */
        struct lock lock;  /* LOCK_RANK_OBJSTORE */
        struct cond woken; /* something to run, or stopping */
        struct objstore_req *first, *last;
        bool stopping;
    } shared;
};
/* name: of the threads, at most 12 characters; a number follows. On failure nothing is left. */
NODISCARD
status crew_start(struct crew *crew, const char *name, unsigned threads, crew_run_fn *run,
                  void *arg, struct err *err);
void crew_submit(struct crew *crew, struct objstore_req *req);
/* What runs already runs to its end; what waits ends as OBJSTORE_CANCELLED when its turn comes. */
void crew_cancel(struct crew *crew, struct objstore_req *req);
void crew_stop(struct crew *crew);

#endif
