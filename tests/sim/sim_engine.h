/* sim_engine.h - the engine behind a simulated node's log, in place of wal/wal_engine.c: the same
 * contract (wal/wal_internal.h) without its threads. The simulator says when a batch is written and
 * when its callbacks run; everything else of wal/ is what runs in production.
 *
 * Threads    one. One log an engine. */
#ifndef TESTS_SIM_ENGINE_H
#define TESTS_SIM_ENGINE_H

#include "wal/wal_internal.h"

struct wal_engine {
    struct fs *fs;
    struct rand_source *rand;
    enum wal_sync sync;
    struct wal_sizes sizes;
    bool ready;                     /* its log has something to write */
    struct wal_batch *first, *last; /* written or given up, and nobody was told */
};

/* What a sync thread does, once. */
void engine_write(struct wal_engine *e, struct wal *log);
/* What the commit thread does: callbacks of all that was written. */
void engine_finish(struct wal_engine *e);
/* The log fell idle: its marker. */
void engine_mark(struct wal_engine *e, struct wal *log);

#endif
