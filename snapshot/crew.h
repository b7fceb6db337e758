/* crew.h - numbered tasks done by a few threads, the caller one of them.
 *
 * Tasks are begun in order. After one failed no more are begun; the error is that of the failed
 * task with the smallest number, which is the one that a single thread would have met.
 *
 * Threads    the caller waits for all. Where a thread cannot be started the others do its work.
 * Ownership  nothing is kept. */
#ifndef SNAPSHOT_CREW_H
#define SNAPSHOT_CREW_H

#include "base/status.h"

#include <stddef.h>

enum { CREW_THREADS_MAX = 8 };

typedef status crew_task(void *arg, size_t number, struct err *err);
NODISCARD
status crew_run(unsigned threads, size_t tasks, crew_task *task, void *arg, struct err *err);

#endif
