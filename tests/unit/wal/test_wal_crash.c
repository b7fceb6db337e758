/* Power cuts and kill -9 at every effect, on the file system that forgets.
 *
 * A seeded workload (bursts of records, growth, rotation, trims and recycling, restarts) is stopped
 * after its n-th effect, for every n until it gets through; the disk keeps what was synced and a
 * random part of the rest. Then the log is opened, stopped again in the middle of that a few times,
 * and at last opened in peace: every acknowledged record is there, no refused one, and nothing that
 * was once seen or once cut away changes its mind. The same is done to two broken twins of the log,
 * and must find them out.
 *
 * Argument: a seed. */
#include "tests/unit/wal/wal_test.h"

#include "base/mem.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { EFFECTS_MAX = 2000, STEPS = 26 };

static uint64_t seed_base = 1;
static struct ledger ledger;

struct run {
    struct fs_sim *sim;
    struct test_log log;
    struct clock_manual clock; /* stands still: no marker comes by itself */
    struct rand_seeded rng;
    bool kill_only; /* the process dies, the kernel lives */
};

static void run_init(struct run *r, uint64_t seed, enum wal_sync sync)
{
    memset(r, 0, sizeof(*r));
    r->sim = fs_sim_create();
    ledger_init(&ledger);
    rand_seeded_init(&r->rng, seed);
    clock_manual_init(&r->clock, 1, 1);
    test_log_init(&r->log, fs_sim_fs(r->sim), &ledger, seed * 31 + 7);
    r->log.clock = &r->clock.clock;
    r->log.sync = sync;
}

static void run_fini(struct run *r)
{
    ledger_fini(&ledger);
    fs_sim_destroy(r->sim);
}

static void trim(struct run *r)
{
    uint64_t durable = wal_durable_lsn(r->log.wal);
    uint64_t lsn = durable - rand_below(&r->rng.source, durable / 2 + 1);
    struct err err;

    if (lsn > ledger.trimmed_lsn)
        ledger.trimmed_lsn = lsn;
    if (wal_trim(r->log.wal, lsn, &err) != ST_OK && !fs_sim_stopped(r->sim))
        fail_msg("trim: %s", err.text);
}

/* What the workload does at one step; the disk may stop under it at any time. */
static void step(struct run *r)
{
    uint64_t dice = rand_below(&r->rng.source, 16);
    uint64_t count = dice < 10 ? 1 + rand_below(&r->rng.source, 4) : 30;

    if (dice == 15) {
        trim(r);
        return;
    }
    for (uint64_t i = 0; i < count; i++)
        (void)ledger_submit(&ledger, r->log.wal); /* refused while it is cut back: in the ledger */
    ledger_wait(&ledger);
}

/* Opens and judges. False when the ledger finds something wrong. `peace`: nothing stops it. */
static bool open_and_check(struct run *r, bool peace)
{
    status st = test_log_open(&r->log);

    if (st != ST_OK && peace)
        fail_msg("open: %s", r->log.err.text);
    if (st != ST_OK)
        return true; /* the disk stopped: nothing was said */
    return ledger_check(&ledger, &r->log.report, wal_state(r->log.wal, NULL) == ST_OK);
}

static void crash(struct run *r)
{
    /* What is under way meets a dead disk first, as it would meet a dead process. */
    if (r->kill_only)
        fs_sim_process_crash(r->sim);
    else
        fs_sim_power_cut(r->sim, &r->rng.source);
}

/* True if the workload was stopped. */
static bool work(struct run *r, bool *right)
{
    *right = open_and_check(r, false);
    if (r->log.wal == NULL)
        return true;
    for (int i = 0; i < STEPS && *right && !fs_sim_stopped(r->sim); i++) {
        step(r);
        if (i % 9 == 8 && !fs_sim_stopped(r->sim)) {
            test_log_close(&r->log);
            *right = open_and_check(r, false);
            if (r->log.wal == NULL)
                return true;
        }
    }
    if (fs_sim_stopped(r->sim)) {
        test_log_close(&r->log);
        return true;
    }
    test_log_close(&r->log);
    return fs_sim_stopped(r->sim);
}

static bool recover(struct run *r)
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
        crash(r);
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

/* One workload stopped after `effects`. *stopped: it was, there are more to try. */
static bool one_run(uint64_t seed, uint64_t effects, enum wal_sync sync, bool kill_only,
                    bool *stopped)
{
    struct run r;
    bool right;

    run_init(&r, seed * EFFECTS_MAX + effects, sync);
    r.rng.state = seed; /* the same workload for every stop */
    r.kill_only = kill_only;
    fs_sim_stop_after(r.sim, effects);
    *stopped = work(&r, &right);
    if (right) {
        rand_seeded_init(&r.rng, seed * EFFECTS_MAX + effects);
        crash(&r);
        right = recover(&r);
    } else {
        if (r.log.wal != NULL)
            test_log_close(&r.log);
    }
    run_fini(&r);
    return right;
}

/* How many stops were found wrong, up to `enough`. */
static unsigned sweep(uint64_t seed, enum wal_sync sync, bool kill_only, uint64_t stride,
                      unsigned enough)
{
    unsigned wrong = 0;
    bool stopped = true;
    uint64_t effects;

    for (effects = 0; stopped && wrong < enough; effects += stride) {
        assert_true(effects < EFFECTS_MAX);
        if (!one_run(seed, effects, sync, kill_only, &stopped)) {
            wrong++;
            print_message("seed %" PRIu64 " stopped after %" PRIu64 " effects: %s\n", seed, effects,
                          ledger.wrong);
        }
    }
    return wrong;
}

static void a_power_cut_at_any_effect_loses_nothing_acknowledged(void **state)
{
    (void)state;
    for (uint64_t seed = seed_base; seed < seed_base + 4; seed++)
        assert_int_equal(sweep(seed, WAL_SYNC_FDATASYNC, false, 1, 1), 0);
}

static void a_kill_at_any_effect_loses_nothing_acknowledged(void **state)
{
    (void)state;
    for (uint64_t seed = seed_base + 10; seed < seed_base + 12; seed++)
        assert_int_equal(sweep(seed, WAL_SYNC_FDATASYNC, true, 1, 1), 0);
}

/* Without fdatasync a kill of the process loses nothing; a power cut may, but the log opens. */
static void a_kill_loses_nothing_without_fdatasync(void **state)
{
    (void)state;
    assert_int_equal(sweep(seed_base + 20, WAL_SYNC_NONE, true, 1, 1), 0);
}

static void the_twin_without_fdatasync_is_caught(void **state)
{
    (void)state;
    assert_true(sweep(seed_base, WAL_SYNC_TWIN_SKIP, false, 3, 1) > 0);
}

static void the_twin_that_acknowledges_first_is_caught(void **state)
{
    (void)state;
    assert_true(sweep(seed_base, WAL_SYNC_TWIN_ACK_FIRST, false, 3, 1) > 0);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_power_cut_at_any_effect_loses_nothing_acknowledged),
        cmocka_unit_test(a_kill_at_any_effect_loses_nothing_acknowledged),
        cmocka_unit_test(a_kill_loses_nothing_without_fdatasync),
        cmocka_unit_test(the_twin_without_fdatasync_is_caught),
        cmocka_unit_test(the_twin_that_acknowledges_first_is_caught),
    };

    if (argc > 1)
        seed_base = strtoull(argv[1], NULL, 10);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
