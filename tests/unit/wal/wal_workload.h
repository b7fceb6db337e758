/* wal_workload.h - a seeded workload on the file system that forgets, for tests that stop it or
 * make its calls fail: bursts of records, growth, rotation, trims and recycling, restarts. */
#ifndef TESTS_UNIT_WAL_WAL_WORKLOAD_H
#define TESTS_UNIT_WAL_WAL_WORKLOAD_H

#include "tests/unit/wal/wal_test.h"

struct workload {
    struct fs_sim *sim;
    struct ledger ledger;
    struct test_log log;
    struct clock_manual clock; /* stands still: no marker comes by itself */
    struct rand_seeded rng;
    bool kill_only; /* the process dies, the kernel lives */
    bool faults;    /* calls fail that should not: trims and opens may say so */
};

/* Large: not for the stack. */
void workload_init(struct workload *r, uint64_t seed, enum wal_sync sync);
void workload_fini(struct workload *r);
/* Runs it. True if the disk stopped on the way; *right is false when the ledger found something
 * wrong (r->ledger.wrong). */
bool workload_run(struct workload *r, bool *right);
void workload_crash(struct workload *r);
/* Opens after a crash, stopped in the middle of it a few times, then in peace, and once more after
 * a power cut. False when the ledger found something wrong. */
bool workload_recover(struct workload *r);

#endif
