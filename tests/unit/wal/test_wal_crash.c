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
#include "tests/unit/wal/wal_workload.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { EFFECTS_MAX = 2000 };

static uint64_t seed_base = 1;
static struct workload r;

/* One workload stopped after `effects`. *stopped: it was, there are more to try. */
static bool one_run(uint64_t seed, uint64_t effects, enum wal_sync sync, bool kill_only,
                    bool *stopped)
{
    bool right;

    workload_init(&r, seed * EFFECTS_MAX + effects, sync);
    r.rng.state = seed; /* the same workload for every stop */
    r.kill_only = kill_only;
    r.ledger.lossy = sync == WAL_SYNC_NONE && !kill_only;
    fs_sim_stop_after(r.sim, effects);
    *stopped = workload_run(&r, &right);
    if (right) {
        rand_seeded_init(&r.rng, seed * EFFECTS_MAX + effects);
        workload_crash(&r);
        right = workload_recover(&r);
    }
    workload_fini(&r);
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
                          r.ledger.wrong);
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

/* A power cut may then lose the end of the log, but leaves no damage and no hole. */
static void a_kill_loses_nothing_without_fdatasync_and_a_power_cut_only_the_end(void **state)
{
    (void)state;
    assert_int_equal(sweep(seed_base + 30, WAL_SYNC_NONE, false, 1, 1), 0);
    assert_int_equal(sweep(seed_base + 31, WAL_SYNC_NONE, false, 1, 1), 0);
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
        cmocka_unit_test(a_kill_loses_nothing_without_fdatasync_and_a_power_cut_only_the_end),
        cmocka_unit_test(the_twin_without_fdatasync_is_caught),
        cmocka_unit_test(the_twin_that_acknowledges_first_is_caught),
    };

    if (argc > 1)
        seed_base = strtoull(argv[1], NULL, 10);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
