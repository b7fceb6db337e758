/* ship_world.h - nodes that ship to one bucket in memory: each a real log on a simulated file
 * system, letters, and the shell with its thread. Time is the test's: nothing sleeps, ship_run()
 * moves the clock and waits until every node has done what was due. */
#ifndef TESTS_UNIT_TIERING_SHIP_WORLD_H
#define TESTS_UNIT_TIERING_SHIP_WORLD_H

#include "tests/support/fs_sim.h"
#include "tests/unit/tiering/ship_store.h"
#include "tiering/tier_internal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum { SHIP_NODES_MAX = 3, SHIP_VALUE_BYTES = 100 };

struct ship_node {
    struct ship_world *world;
    char node_id[32];
    struct fs_sim *sim;
    struct wal_engine *engine;
    struct wal *wal;
    struct dlq *dlq;
    struct tier *tier;
    struct tier_stream *stream;
    struct tier_options options; /* changed before ship_open() */
    uint64_t hint_lsn, hint_chain;
    /* what the callbacks said; ship thread, read when quiet */
    _Atomic int phase;
    _Atomic uint64_t remote_lsn;
    _Atomic uint64_t diverged; /* calls */
    uint64_t diverged_first, diverged_last;
    _Atomic uint64_t hints;
    _Atomic uint64_t said_too_early; /* on_remote of what ship_store_confirmed() has not */
};
struct ship_world {
    char bucket[64];
    uint8_t collection[16];
    struct clock_manual clock;
    struct rand_seeded rand;
    struct objstore *memory;
    struct ship_store *store;
    struct ship_node nodes[SHIP_NODES_MAX];
    size_t node_count;
};

void ship_world_init(struct ship_world *w, uint64_t seed);
void ship_world_fini(struct ship_world *w);
/* A node with its log and letters, not shipping yet. */
struct ship_node *ship_node(struct ship_world *w, const char *node_id);
/* The shell and its stream; ship_close() ends both, and ship_open() goes on with the hint. */
void ship_open(struct ship_node *n);
void ship_close(struct ship_node *n);
/* Opens, and makes the collection's root. */
void ship_create(struct ship_node *n);
/* The log is closed and opened again, as over a restart. */
void ship_restart_log(struct ship_node *n);

/* Writes records and tells the stream of each. */
void ship_append(struct ship_node *n, unsigned count);
struct slice ship_record(struct ship_world *w, const char *who, uint64_t lsn, struct buf *out);
/* A record of the log, byte for byte, appended to out. */
void ship_copy_record(struct ship_node *n, uint64_t lsn, struct buf *out);
/* Waits until every shell waits and nothing is under way. */
void ship_settle(struct ship_world *w);
/* Moves the clock by ms, in steps, settling after each. */
void ship_run(struct ship_world *w, uint64_t ms, uint64_t step_ms);
struct tier_stream_status ship_status(struct ship_node *n);
/* Waits until `until` says yes, while answers are held. */
void ship_wait(bool (*until)(void *arg), void *arg);

/* What the bucket holds by docs/protocol.md: every group of the run is read, the chain and the
 * records are checked against `who` wrote them (NULL: not the records). */
struct ship_content {
    struct root root;
    uint64_t last_lsn, groups, gaps, records;
};
void ship_read_bucket(struct ship_world *w, const struct ship_node *who, struct ship_content *out);

/* One op and its answer. */
struct ship_answer {
    _Atomic bool done;
    status st;
    struct err err;
};
void ship_answered(void *arg, status st, const struct err *err);

#endif
