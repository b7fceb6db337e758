/* lock.h - mutexes with ranks, conditions, locks for many readers, and named threads.
 *
 * Locks are taken in rising rank only; debug builds keep each thread's held ranks and abort with
 * both names on a breach (docs/locking.md lists the ranks). Nobody waits for disk or network with a
 * lock held.
 *
 * Threads    that is what it is for. */
#ifndef BASE_LOCK_H
#define BASE_LOCK_H

#include "base/status.h"

#include <pthread.h>

enum lock_rank { /* docs/locking.md; gaps for those to come */
                 LOCK_RANK_API = 100,
                 LOCK_RANK_NODE = 200, /* collection table */
                 LOCK_RANK_CHECKPOINT = 300,
                 LOCK_RANK_SEQUENCER = 400,  /* one collection's */
                 LOCK_RANK_REMOTE = 420,     /* writes of a collection that wait for the bucket */
                 LOCK_RANK_BUCKET = 430,     /* what is known of a collection's bucket side */
                 LOCK_RANK_INDEXES = 440,    /* which payload indexes a collection has, who waits */
                 LOCK_RANK_COLD_APPLY = 450, /* who changes rows of an S3Only collection's head */
                 LOCK_RANK_COLD = 460,       /* the cold set of a collection, and its floor */
                 LOCK_RANK_ORDER = 490,      /* sorted ids of a collection */
                 LOCK_RANK_ROWS = 500,       /* free slots */
                 LOCK_RANK_PINDEX_WORK = 508, /* who puts rows into payload indexes */
                 LOCK_RANK_PINDEX = 510,      /* the payload indexes of a collection */
                 LOCK_RANK_VINDEX = 520,
                 LOCK_RANK_VINDEX_NODE = 530,
                 LOCK_RANK_BITS = 540, /* memory to turn a long vector in */
                 LOCK_RANK_WAL = 600,  /* one log's buffer */
                 LOCK_RANK_WAL_ENGINE = 610,
                 LOCK_RANK_TIER = 620,     /* what the ship thread shows of one stream */
                 LOCK_RANK_CACHE = 630,    /* blocks of the cache, and who waits for them */
                 LOCK_RANK_OBJSTORE = 640, /* what a store has under way */
                 LOCK_RANK_EPOCH = 700,
                 LOCK_RANK_EXEC = 800,
                 LOCK_RANK_QUEUE = 810,
                 LOCK_RANK_STATS = 900,
                 LOCK_RANK_LOG = 910,
                 LOCK_RANK_LEAF = 1000,
};

struct lock {
    pthread_mutex_t mutex;
    enum lock_rank rank;
    const char *name;
};
void lock_init(struct lock *lock, enum lock_rank rank, const char *name);
void lock_fini(struct lock *lock);
void lock_take(struct lock *lock);
void lock_drop(struct lock *lock);

/* Many readers or one writer; a writer that waits goes before readers that come later, so neither a
 * read lock nor a write lock is taken by a thread that holds a read lock. For short sections only:
 * what waits for nothing. */
struct rwlock {
    pthread_rwlock_t handle;
    enum lock_rank rank;
    const char *name;
};
void rwlock_init(struct rwlock *lock, enum lock_rank rank, const char *name);
void rwlock_fini(struct rwlock *lock);
void rwlock_take_read(struct rwlock *lock);
void rwlock_take_write(struct rwlock *lock);
void rwlock_drop(struct rwlock *lock); /* whichever it was */

struct cond {
    pthread_cond_t cond; /* CLOCK_MONOTONIC */
};
void cond_init(struct cond *cond);
void cond_fini(struct cond *cond);
void cond_wait(struct cond *cond, struct lock *lock);
/* False when timeout_ns passed without a signal. */
bool cond_wait_ns(struct cond *cond, struct lock *lock, uint64_t timeout_ns);
void cond_signal(struct cond *cond);
void cond_broadcast(struct cond *cond);

struct thread {
    pthread_t handle;
    bool started;
};
typedef void thread_fn(void *arg);
enum thread_priority {
    THREAD_NORMAL = 0,
    THREAD_BACKGROUND, /* nicer than the process by 10: linker, image, compaction */
};
/* name: at most 15 characters, seen in ps and gdb. All signals are blocked in the new thread. */
NODISCARD
status thread_start(struct thread *t, const char *name, enum thread_priority priority,
                    thread_fn *fn, void *arg, struct err *err);
void thread_join(struct thread *t); /* fine on one never started */
unsigned thread_cpu_count(void);    /* what this process may use (affinity, cgroup cpu.max) */

#endif
