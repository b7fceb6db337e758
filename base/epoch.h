/* epoch.h - when may memory (or a slot) that readers could still see be used again?
 *
 * Epoch-based reclamation (Fraser 2004): a reader enters before it loads a shared pointer or slot
 * and leaves when done; what was unlinked is handed over with epoch_retire() and its callback runs
 * once every reader that was inside at that time has left. Readers never wait and never take a
 * lock.
 *
 * Threads    enter and leave from any thread, the guard may move between threads (a request that
 *            runs in slices keeps its guard). retire from any, lock-free; callbacks run inside
 *            epoch_collect(), which one background thread calls, in the order of retiring, without
 *            a lock held. A callback may retire more.
 * Limits     EPOCH_GUARDS_MAX readers at once; enter spins for a free guard beyond that. */
#ifndef BASE_EPOCH_H
#define BASE_EPOCH_H

#include "base/status.h"

enum { EPOCH_GUARDS_MAX = 1024 };
struct epoch;
struct epoch_guard {
    uint32_t index;
};

NODISCARD
status epoch_create(struct epoch **out, struct err *err);
/* Runs all callbacks; no reader may be inside. Accepts NULL. */
void epoch_destroy(struct epoch *e);
struct epoch_guard epoch_enter(struct epoch *e);
void epoch_leave(struct epoch *e, struct epoch_guard guard);
struct epoch_retired { /* embedded by the caller: retiring cannot fail */
    struct epoch_retired *next;
    uint64_t at;
    void (*fn)(struct epoch_retired *self);
};
void epoch_retire(struct epoch *e, struct epoch_retired *r, void (*fn)(struct epoch_retired *self));
/* Runs what is due; returns how many callbacks ran. */
size_t epoch_collect(struct epoch *e);
/* Waits until every reader inside now has left. Not from inside a guard; background threads only.
 */
void epoch_synchronize(struct epoch *e);

#endif
