/* wal_test.h - what the tests of wal/ share: an independent ledger of what was submitted and how it
 * ended, and the comparison of a replay with it.
 *
 * A record's payload is made from its id alone (length and bytes), so that a replayed record says
 * by itself which one it is. A record is acknowledged, refused, or unknown (never answered, or
 * ST_UNKNOWN). What a whole, writable open replays counts as acknowledged from then on, and what it
 * does not replay as refused: neither may change its mind later.
 *
 * Threads    callbacks of any number of logs; everything else one thread. */
#ifndef TESTS_UNIT_WAL_WAL_TEST_H
#define TESTS_UNIT_WAL_WAL_TEST_H

#include "base/lock.h"
#include "tests/support/fs_sim.h"
#include "wal/wal.h"
#include "wal/wal_internal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum { LEDGER_MAX = 1 << 12, TEST_PAYLOAD_BYTES_MAX = 5000 };

enum outcome { UNKNOWN = 0, ACKED, REFUSED };

struct ledger_entry {
    struct ledger *ledger;
    uint64_t lsn;
    enum outcome outcome;
    status st;
    bool answered;
    bool seen; /* by the replay under way */
};
struct ledger {
    struct lock lock;
    struct cond cond;
    struct ledger_entry at[LEDGER_MAX]; /* index is the id */
    size_t count;
    size_t answered;
    uint64_t last_answered_lsn;
    bool out_of_order; /* a callback came before that of a lower lsn */
    size_t unknown;    /* answers with ST_UNKNOWN */
    uint64_t cuts;
    uint64_t cut_lsn;
    uint64_t trimmed_lsn; /* records up to here may be gone */
    /* The replay under way. */
    uint64_t replay_next; /* 0: not begun */
    uint64_t replay_first;
    bool lossy;      /* acknowledged records may be lost, from the end: sync = "none" */
    char wrong[256]; /* the first thing found wrong; "" */
};

void ledger_init(struct ledger *l);
void ledger_fini(struct ledger *l);
/* Submits the next id's record. */
status ledger_submit(struct ledger *l, struct wal *w);
void ledger_wait(struct ledger *l); /* until all that was submitted is answered */
void ledger_on_cut(void *arg, uint64_t cut_lsn);
status ledger_replay(void *arg, uint64_t lsn, struct slice payload, struct err *err);
/* After a replay: is everything there that must be, and nothing that must not? False, and
 * l->wrong. `settle` makes unknown ones known. */
bool ledger_check(struct ledger *l, const struct wal_report *report, bool settle);
size_t test_payload_bytes(size_t id);

struct test_log {
    struct fs *fs;
    struct clock *clock;
    struct wal_engine *engine;
    struct rand_seeded rand;
    enum wal_sync sync;
    uint64_t file_bytes_first;
    uint64_t file_bytes_max;
    uint64_t expect_lsn; /* of a checkpoint */
    struct ledger *ledger;
    struct wal *wal;
    struct wal_report report;
    struct err err;
};
/* Small files (8 KiB, growing to 32 KiB) on fs. */
void test_log_init(struct test_log *t, struct fs *fs, struct ledger *l, uint64_t seed);
/* Engine and log; the replay goes through the ledger, judged by the caller. */
status test_log_open(struct test_log *t);
void test_log_close(struct test_log *t);
/* Opens, checks against the ledger and fails the test with what is wrong. */
void test_log_open_checked(struct test_log *t);
/* One acknowledged record. */
void test_log_append(struct test_log *t, unsigned count);

/* Reads a whole file of the simulation, writes it back. */
struct buf test_read_file(struct fs *fs, const char *path);
void test_write_file(struct fs *fs, const char *path, struct slice bytes);
/* Path of the index-th .wal file by number, and how many there are. */
size_t test_wal_files(struct fs *fs, size_t index, char path[FS_PATH_BYTES]);

#define TEST_DIR "/log"
#define assert_st_ok(expression)                                                                   \
    do {                                                                                           \
        status st_ = (expression);                                                                 \
        if (st_ != ST_OK)                                                                          \
            fail_msg("%s: %s", #expression, status_name(st_));                                     \
    } while (0)

#endif
