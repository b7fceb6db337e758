/* Epoch-based reclamation.
 *
 * A global counter rises with each collection. A reader writes the counter it saw into a free slot
 * and clears the slot when it leaves. What was retired before the counter went from `at` to at + 1
 * may be used again once no slot holds `at` or less.
 *
 * Why that is enough. Collecting first takes the list of what was retired, then raises the counter,
 * then looks at the slots. Take a reader whose slot the look did not see. Either it had left: its
 * clearing store (release) or a later reader's in the same slot is what the look read (acquire). Or
 * it came later: then its second load of the counter, behind its slot's exchange, comes behind the
 * raise in the order of all seq_cst operations, reads the raise, and with it sees what was unlinked
 * before. A reader whose slot holds more than `at` read the raise too. The stamp `at` is given by
 * the collector, not by who retires: a stamp read by the retiring thread could be older than a
 * raise that its unlinking store is not yet visible to. No fences, which the thread sanitizer does
 * not know: the operations themselves carry the order. */
#include "base/epoch.h"

#include <assert.h>
#include <sched.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <time.h>

#include "base/lock.h"
#include "base/mem.h"

enum {
    CACHE_LINE_BYTES = 64,
    SYNCHRONIZE_PAUSE_NS = 50000,
};

struct slot {
    alignas(CACHE_LINE_BYTES) _Atomic uint64_t epoch; /* 0: free */
};

struct epoch {
    alignas(CACHE_LINE_BYTES) _Atomic uint64_t now; /* from 1; pairs with itself, see above */
    /* What was retired, newest first. Pushed by any thread (release), taken whole by the collector
     * (acquire). */
    alignas(CACHE_LINE_BYTES) _Atomic(struct epoch_retired *) incoming;
    struct {              /* guarded by lock */
        struct lock lock; /* LOCK_RANK_EPOCH */
        /* Stamped, oldest first. */
        struct epoch_retired *first;
        struct epoch_retired *last;
    } waiting;
    struct slot slots[EPOCH_GUARDS_MAX];
};

status epoch_create(struct epoch **out, struct err *err)
{
    struct epoch *e = mem_aligned(CACHE_LINE_BYTES, sizeof *e);

    if (e == NULL)
        return err_set(err, ST_NOMEM, "out of memory for the table of readers");
    atomic_init(&e->now, 1);
    atomic_init(&e->incoming, NULL);
    lock_init(&e->waiting.lock, LOCK_RANK_EPOCH, "epoch");
    e->waiting.first = NULL;
    e->waiting.last = NULL;
    for (uint32_t i = 0; i < EPOCH_GUARDS_MAX; i++)
        atomic_init(&e->slots[i].epoch, 0);
    *out = e;
    return ST_OK;
}

/* Where this thread looks for a free slot first: a place of its own at the start, then where it was
 * last, so that threads do not meet on a cache line. */
static uint32_t *slot_hint(void)
{
    static _Atomic uint32_t threads;
    static _Thread_local uint32_t hint = UINT32_MAX;

    if (hint == UINT32_MAX)
        hint = atomic_fetch_add_explicit(&threads, 1, memory_order_relaxed) % EPOCH_GUARDS_MAX;
    return &hint;
}

struct epoch_guard epoch_enter(struct epoch *e)
{
    uint32_t *hint = slot_hint();
    uint32_t at = *hint;

    for (uint32_t tries = 1;; tries++) {
        uint64_t vacant = 0;

        if (atomic_compare_exchange_strong(&e->slots[at].epoch, &vacant, atomic_load(&e->now)))
            break;
        at = (at + 1) % EPOCH_GUARDS_MAX;
        if (tries % EPOCH_GUARDS_MAX == 0)
            (void)sched_yield(); /* all are taken */
    }
    *hint = at;
    /* The second load, see above. What it reads does not matter, only that it comes here. */
    (void)atomic_load(&e->now);
    return (struct epoch_guard){.index = at};
}

void epoch_leave(struct epoch *e, struct epoch_guard guard)
{
    assert(guard.index < EPOCH_GUARDS_MAX);
    assert(atomic_load_explicit(&e->slots[guard.index].epoch, memory_order_relaxed) != 0);
    atomic_store_explicit(&e->slots[guard.index].epoch, 0, memory_order_release);
}

void epoch_retire(struct epoch *e, struct epoch_retired *r, void (*fn)(struct epoch_retired *self))
{
    r->fn = fn;
    r->next = atomic_load_explicit(&e->incoming, memory_order_relaxed);
    while (!atomic_compare_exchange_weak_explicit(&e->incoming, &r->next, r, memory_order_release,
                                                  memory_order_relaxed))
        ;
}

/* The oldest epoch a reader inside may have seen; UINT64_MAX with nobody inside. */
static uint64_t oldest_inside(struct epoch *e)
{
    uint64_t oldest = UINT64_MAX;

    for (uint32_t i = 0; i < EPOCH_GUARDS_MAX; i++) {
        uint64_t at = atomic_load(&e->slots[i].epoch);

        if (at != 0 && at < oldest)
            oldest = at;
    }
    return oldest;
}

/* Moves what came in behind what waits, in the order it was retired, stamped with the epoch that
 * ends here. False when nothing waits. */
static bool take_incoming_locked(struct epoch *e)
{
    struct epoch_retired *newest = atomic_exchange(&e->incoming, NULL);
    struct epoch_retired *oldest = NULL;
    uint64_t at;

    if (newest == NULL)
        return e->waiting.first != NULL;
    at = atomic_fetch_add(&e->now, 1);
    for (struct epoch_retired *r = newest; r != NULL;) {
        struct epoch_retired *next = r->next;

        r->at = at;
        r->next = oldest;
        oldest = r;
        r = next;
    }
    if (e->waiting.first == NULL)
        e->waiting.first = oldest;
    else
        e->waiting.last->next = oldest;
    e->waiting.last = newest;
    return true;
}

/* Cuts off and returns what no reader can see any more. */
static struct epoch_retired *take_due_locked(struct epoch *e)
{
    struct epoch_retired *due = e->waiting.first;
    struct epoch_retired *last = NULL;
    uint64_t oldest = oldest_inside(e);

    for (struct epoch_retired *r = due; r != NULL && r->at < oldest; r = r->next)
        last = r;
    if (last == NULL)
        return NULL;
    e->waiting.first = last->next;
    last->next = NULL;
    return due;
}

size_t epoch_collect(struct epoch *e)
{
    struct epoch_retired *due = NULL;
    size_t count = 0;

    lock_take(&e->waiting.lock);
    if (take_incoming_locked(e))
        due = take_due_locked(e);
    lock_drop(&e->waiting.lock);
    for (; due != NULL; count++) {
        struct epoch_retired *next = due->next; /* the callback may free it */

        due->fn(due);
        due = next;
    }
    return count;
}

void epoch_synchronize(struct epoch *e)
{
    const struct timespec pause = {.tv_nsec = SYNCHRONIZE_PAUSE_NS};
    uint64_t at = atomic_fetch_add(&e->now, 1);

    while (oldest_inside(e) <= at)
        (void)nanosleep(&pause, NULL);
}

void epoch_destroy(struct epoch *e)
{
    if (e == NULL)
        return;
    assert(oldest_inside(e) == UINT64_MAX);
    /* A callback may retire more. */
    while (epoch_collect(e) > 0)
        ;
    lock_fini(&e->waiting.lock);
    mem_free(e);
}
