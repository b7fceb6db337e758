#include "base/lock.h"

#include <assert.h>
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"

enum { THREAD_NAME_BYTES = 16, BACKGROUND_NICE = 10 };

/* A pthread call of this file fails only on misuse (a lock taken twice, an object never made). */
static void must(int rc, const char *what)
{
    if (rc == 0)
        return;
    (void)fprintf(stderr, "%s failed: errno %d\n", what, rc);
    abort();
}

#ifdef BASE_LOCK_CHECKS

/* What this thread holds, lowest rank first: taking upwards only keeps it sorted by itself. */
enum { HELD_MAX = 16 };
struct held {
    const void *lock;
    enum lock_rank rank;
    const char *name;
};
static _Thread_local struct held held[HELD_MAX];
static _Thread_local unsigned held_count;

static void breach(const struct held *lock, const char *why, const struct held *other)
{
    (void)fprintf(stderr, "lock order: %s (rank %d) %s %s (rank %d); see docs/locking.md\n",
                  lock->name, (int)lock->rank, why, other == NULL ? "nothing" : other->name,
                  other == NULL ? 0 : (int)other->rank);
    abort();
}

static void note_before_take(const void *lock, enum lock_rank rank, const char *name)
{
    const struct held wanted = {.lock = lock, .rank = rank, .name = name};

    if (held_count > 0 && held[held_count - 1].rank >= rank)
        breach(&wanted, "taken while holding", &held[held_count - 1]);
    if (held_count == HELD_MAX)
        breach(&wanted, "is one too many above", &held[HELD_MAX - 1]);
}

static void note_taken(const void *lock, enum lock_rank rank, const char *name)
{
    held[held_count++] = (struct held){.lock = lock, .rank = rank, .name = name};
}

/* Locks may be dropped in any order. */
static void note_drop(const void *lock, enum lock_rank rank, const char *name)
{
    const struct held dropped = {.lock = lock, .rank = rank, .name = name};
    unsigned at = held_count;

    while (at > 0 && held[at - 1].lock != lock)
        at--;
    if (at == 0)
        breach(&dropped, "dropped by a thread that does not hold it, which holds",
               held_count == 0 ? NULL : &held[held_count - 1]);
    held_count--;
    for (at--; at < held_count; at++)
        held[at] = held[at + 1];
}

/* Waiting drops the lock and takes it again: allowed with nothing of a higher rank in hand, and
 * whatever lower is kept is kept by someone who sleeps, so nothing else is allowed either. */
static void note_before_wait(const struct lock *lock)
{
    const struct held waited = {.lock = lock, .rank = lock->rank, .name = lock->name};

    if (held_count == 0)
        breach(&waited, "waited on while holding", NULL);
    if (held_count > 1 || held[0].lock != lock)
        breach(&waited, "waited on while holding", held[0].lock == lock ? &held[1] : &held[0]);
}

#else

static void note_before_take(const void *lock, enum lock_rank rank, const char *name)
{
    (void)lock;
    (void)rank;
    (void)name;
}

static void note_taken(const void *lock, enum lock_rank rank, const char *name)
{
    (void)lock;
    (void)rank;
    (void)name;
}

static void note_drop(const void *lock, enum lock_rank rank, const char *name)
{
    (void)lock;
    (void)rank;
    (void)name;
}

static void note_before_wait(const struct lock *lock)
{
    (void)lock;
}

#endif

void lock_init(struct lock *lock, enum lock_rank rank, const char *name)
{
    must(pthread_mutex_init(&lock->mutex, NULL), "pthread_mutex_init");
    lock->rank = rank;
    lock->name = name;
}

void lock_fini(struct lock *lock)
{
    must(pthread_mutex_destroy(&lock->mutex), "pthread_mutex_destroy");
}

void lock_take(struct lock *lock)
{
    note_before_take(lock, lock->rank, lock->name);
    must(pthread_mutex_lock(&lock->mutex), "pthread_mutex_lock");
    note_taken(lock, lock->rank, lock->name);
}

void lock_drop(struct lock *lock)
{
    note_drop(lock, lock->rank, lock->name);
    must(pthread_mutex_unlock(&lock->mutex), "pthread_mutex_unlock");
}

/* glibc's locks let readers pass a writer that waits, for ever if enough of them come. */
void rwlock_init(struct rwlock *lock, enum lock_rank rank, const char *name)
{
    pthread_rwlockattr_t attr;

    must(pthread_rwlockattr_init(&attr), "pthread_rwlockattr_init");
    must(pthread_rwlockattr_setkind_np(&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP),
         "pthread_rwlockattr_setkind_np");
    must(pthread_rwlock_init(&lock->handle, &attr), "pthread_rwlock_init");
    must(pthread_rwlockattr_destroy(&attr), "pthread_rwlockattr_destroy");
    lock->rank = rank;
    lock->name = name;
}

void rwlock_fini(struct rwlock *lock)
{
    must(pthread_rwlock_destroy(&lock->handle), "pthread_rwlock_destroy");
}

void rwlock_take_read(struct rwlock *lock)
{
    note_before_take(lock, lock->rank, lock->name);
    must(pthread_rwlock_rdlock(&lock->handle), "pthread_rwlock_rdlock");
    note_taken(lock, lock->rank, lock->name);
}

void rwlock_take_write(struct rwlock *lock)
{
    note_before_take(lock, lock->rank, lock->name);
    must(pthread_rwlock_wrlock(&lock->handle), "pthread_rwlock_wrlock");
    note_taken(lock, lock->rank, lock->name);
}

void rwlock_drop(struct rwlock *lock)
{
    note_drop(lock, lock->rank, lock->name);
    must(pthread_rwlock_unlock(&lock->handle), "pthread_rwlock_unlock");
}

void cond_init(struct cond *cond)
{
    pthread_condattr_t attr;

    must(pthread_condattr_init(&attr), "pthread_condattr_init");
    must(pthread_condattr_setclock(&attr, CLOCK_MONOTONIC), "pthread_condattr_setclock");
    must(pthread_cond_init(&cond->cond, &attr), "pthread_cond_init");
    must(pthread_condattr_destroy(&attr), "pthread_condattr_destroy");
}

void cond_fini(struct cond *cond)
{
    must(pthread_cond_destroy(&cond->cond), "pthread_cond_destroy");
}

void cond_wait(struct cond *cond, struct lock *lock)
{
    note_before_wait(lock);
    must(pthread_cond_wait(&cond->cond, &lock->mutex), "pthread_cond_wait");
}

static struct timespec deadline_in(uint64_t timeout_ns)
{
    enum { NS_PER_S = 1000000000 };
    struct timespec ts;
    uint64_t ns;

    (void)clock_gettime(CLOCK_MONOTONIC, &ts);
    ns = (uint64_t)ts.tv_nsec + timeout_ns % NS_PER_S;
    ts.tv_sec += (time_t)(timeout_ns / NS_PER_S + ns / NS_PER_S);
    ts.tv_nsec = (long)(ns % NS_PER_S);
    return ts;
}

bool cond_wait_ns(struct cond *cond, struct lock *lock, uint64_t timeout_ns)
{
    struct timespec deadline = deadline_in(timeout_ns);
    int rc;

    note_before_wait(lock);
    rc = pthread_cond_timedwait(&cond->cond, &lock->mutex, &deadline);
    if (rc == ETIMEDOUT)
        return false;
    must(rc, "pthread_cond_timedwait");
    return true;
}

void cond_signal(struct cond *cond)
{
    must(pthread_cond_signal(&cond->cond), "pthread_cond_signal");
}

void cond_broadcast(struct cond *cond)
{
    must(pthread_cond_broadcast(&cond->cond), "pthread_cond_broadcast");
}

/* What a new thread needs to begin; it frees it. */
struct thread_begin {
    thread_fn *fn;
    void *arg;
    enum thread_priority priority;
    char name[THREAD_NAME_BYTES];
};

static void *thread_main(void *arg)
{
    struct thread_begin begin = *(struct thread_begin *)arg;

    mem_free(arg);
    (void)pthread_setname_np(pthread_self(), begin.name);
    /* On Linux niceness is a thread's own, and the process's that of its first thread. Refusal
     * leaves a thread that runs, only not so politely. */
    if (begin.priority == THREAD_BACKGROUND)
        (void)setpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid),
                          getpriority(PRIO_PROCESS, (id_t)getpid()) + BACKGROUND_NICE);
    begin.fn(begin.arg);
    return NULL;
}

status thread_start(struct thread *t, const char *name, enum thread_priority priority,
                    thread_fn *fn, void *arg, struct err *err)
{
    struct thread_begin *begin = mem_zero(sizeof *begin);
    sigset_t all;
    sigset_t before;
    int rc;

    *t = (struct thread){0};
    if (begin == NULL)
        return err_set(err, ST_NOMEM, "out of memory to start thread %s", name);
    *begin = (struct thread_begin){.fn = fn, .arg = arg, .priority = priority};
    assert(strlen(name) < sizeof begin->name);
    (void)strncpy(begin->name, name, sizeof begin->name - 1);
    /* A thread inherits the mask of who starts it, so no signal can slip in before it blocks. */
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    rc = pthread_create(&t->handle, NULL, thread_main, begin);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (rc != 0) {
        mem_free(begin);
        (void)err_set_errno(err, rc, "start thread %s", name);
        if (err != NULL)
            err->code = ST_UNAVAILABLE; /* EAGAIN: over a limit of threads, which may pass */
        return ST_UNAVAILABLE;
    }
    t->started = true;
    return ST_OK;
}

void thread_join(struct thread *t)
{
    if (!t->started)
        return;
    must(pthread_join(t->handle, NULL), "pthread_join");
    t->started = false;
}
