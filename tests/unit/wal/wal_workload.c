#include "tests/unit/wal/wal_workload.h"

#include <string.h>

enum { STEPS = 26 };

void workload_init(struct workload *r, uint64_t seed, enum wal_sync sync)
{
    memset(r, 0, sizeof(*r));
    r->sim = fs_sim_create();
    ledger_init(&r->ledger);
    rand_seeded_init(&r->rng, seed);
    clock_manual_init(&r->clock, 1, 1);
    test_log_init(&r->log, fs_sim_fs(r->sim), &r->ledger, seed * 31 + 7);
    r->log.clock = &r->clock.clock;
    r->log.sync = sync;
}

void workload_fini(struct workload *r)
{
    ledger_fini(&r->ledger);
    fs_sim_destroy(r->sim);
}

static void trim(struct workload *r)
{
    uint64_t durable = wal_durable_lsn(r->log.wal);
    uint64_t lsn = durable - rand_below(&r->rng.source, durable / 2 + 1);
    struct err err;

    if (lsn > r->ledger.trimmed_lsn)
        r->ledger.trimmed_lsn = lsn;
    if (wal_trim(r->log.wal, lsn, &err) != ST_OK && !fs_sim_stopped(r->sim) && !r->faults)
        fail_msg("trim: %s", err.text);
}

/* What the workload does at one step; the disk may stop under it at any time. */
static void step(struct workload *r)
{
    uint64_t dice = rand_below(&r->rng.source, 16);
    uint64_t count = dice < 9 ? 1 + rand_below(&r->rng.source, 4) : 30;

    if (dice >= 13) {
        trim(r);
        return;
    }
    for (uint64_t i = 0; i < count; i++)
        (void)ledger_submit(&r->ledger,
                            r->log.wal); /* refused while it is cut back: in the ledger */
    ledger_wait(&r->ledger);
}

/* Opens and judges. False when the ledger finds something wrong. `peace`: nothing stops it. */
static bool open_and_check(struct workload *r, bool peace)
{
    status st = test_log_open(&r->log);

    if (st != ST_OK && peace)
        fail_msg("open: %s", r->log.err.text);
    if (st != ST_OK)
        return true; /* the disk stopped: nothing was said */
    return ledger_check(&r->ledger, &r->log.report, wal_state(r->log.wal, NULL) == ST_OK);
}

void workload_crash(struct workload *r)
{
    /* What is under way meets a dead disk first, as it would meet a dead process. */
    if (r->kill_only)
        fs_sim_process_crash(r->sim);
    else
        fs_sim_power_cut(r->sim, &r->rng.source);
}

/* As open_and_check(), again when a call failed that will not fail the next time. */
static bool reopen(struct workload *r)
{
    for (int tries = 0; tries < 3; tries++) {
        bool right = open_and_check(r, false);

        if (r->log.wal != NULL || !right || fs_sim_stopped(r->sim) || !r->faults)
            return right;
    }
    return true;
}

bool workload_run(struct workload *r, bool *right)
{
    *right = reopen(r);
    for (int i = 0; i < STEPS && *right && r->log.wal != NULL && !fs_sim_stopped(r->sim); i++) {
        step(r);
        if (i % 9 == 8 && !fs_sim_stopped(r->sim)) {
            test_log_close(&r->log);
            *right = reopen(r);
        }
    }
    if (r->log.wal != NULL)
        test_log_close(&r->log);
    return fs_sim_stopped(r->sim);
}

bool workload_recover(struct workload *r)
{
    bool right = true;

    for (uint64_t i = rand_below(&r->rng.source, 3); right && i > 0; i--) {
        fs_sim_stop_after(r->sim, rand_below(&r->rng.source, 12));
        right = open_and_check(r, false);
        if (r->log.wal != NULL) {
            if (right)
                step(r);
            test_log_close(&r->log);
        }
        workload_crash(r);
    }
    if (!right)
        return false;
    right = open_and_check(r, true);
    if (right) {
        step(r);
        step(r);
    }
    test_log_close(&r->log);
    if (!right)
        return false;
    /* The last marker is synced: a power cut with nothing under way changes nothing. */
    if (r->log.sync == WAL_SYNC_NONE)
        fs_sim_process_crash(r->sim);
    else
        fs_sim_power_cut(r->sim, NULL);
    right = open_and_check(r, true);
    test_log_close(&r->log);
    return right;
}
