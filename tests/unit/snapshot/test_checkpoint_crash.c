/* A crash, or a failing call, at every effect of writing a checkpoint: afterwards there is the one
 * before or the new one, and the log makes either exact. */
#include "tests/unit/snapshot/ckpt_world.h"

#include <errno.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static uint64_t seed = 20240800;

enum crash { POWER_CUT, POWER_CUT_LOSES_ALL, PROCESS_CRASH };

static void crash(struct world *w, enum crash how)
{
    if (how == PROCESS_CRASH)
        fs_sim_process_crash(w->sim);
    else
        fs_sim_power_cut(w->sim, how == POWER_CUT ? &w->rand.source : NULL);
}

/* One checkpoint is there, `first` its start lsn; then the world went on. */
static void open_with_one(struct world *w, uint64_t *first)
{
    struct checkpoint_info info;
    struct err err = {0};

    world_open(w, seed);
    w->ops_per_step = 1;
    world_ops(w, 60);
    *first = w->lsn;
    if (world_checkpoint(w, &info, &err) != ST_OK)
        fail_msg("%s", err.text);
    world_ops(w, 30);
}

/* After whatever happened to the second: the state is exact, a third can be written, and only its
 * files are there. */
static void go_on(struct world *w)
{
    struct checkpoint_info info;
    struct err err = {0};
    unsigned files;

    world_check(w);
    world_ops(w, 20);
    if (world_checkpoint(w, &info, &err) != ST_OK)
        fail_msg("the next one: %s seed=%llu", err.text, (unsigned long long)seed);
    files = world_files(w);
    fs_sim_power_cut(w->sim, NULL);
    assert_int_equal(world_restart(w), info.start_lsn);
    world_check(w);
    assert_int_equal(world_files(w), files);
    assert_int_equal(files, info.blocks_written + info.blocks_kept + 3); /* live, graph, manifest */
}

/* Returns false when the writer needs no more effects than `effects`. */
static bool crash_after(uint64_t effects, enum crash how)
{
    struct checkpoint_info info = {0};
    struct err err = {0};
    struct world w;
    uint64_t first;
    uint64_t second;
    uint64_t start;
    bool stopped;
    status st;

    open_with_one(&w, &first);
    second = w.lsn;
    fs_sim_stop_after(w.sim, effects);
    st = world_checkpoint(&w, &info, &err);
    stopped = fs_sim_stopped(w.sim);
    crash(&w, how);
    start = world_restart(&w);
    /* Once it said ST_OK the log up to `second` may be gone. */
    if (st == ST_OK ? start != second : start != first && start != second)
        fail_msg("start lsn %llu, expected %llu or %llu, effects=%llu how=%d st=%s seed=%llu",
                 (unsigned long long)start, (unsigned long long)first, (unsigned long long)second,
                 (unsigned long long)effects, (int)how, status_name(st), (unsigned long long)seed);
    go_on(&w);
    world_close(&w);
    return stopped;
}

static void crash_at_every_effect(enum crash how)
{
    uint64_t n = 0;

    while (crash_after(n, how))
        n++;
    assert_true(n > 15);
}

static void a_power_cut_at_every_effect_leaves_the_old_or_the_new(void **state)
{
    (void)state;
    crash_at_every_effect(POWER_CUT);
}

static void a_power_cut_that_loses_all_unsynced_leaves_the_old_or_the_new(void **state)
{
    (void)state;
    crash_at_every_effect(POWER_CUT_LOSES_ALL);
}

/* The process dies at every effect, another loads (and removes what it takes for leftovers), and
 * then the power goes: the removal must not outlive the manifest it was made for. */
static void a_process_crash_at_every_effect_then_a_power_cut_leave_the_old_or_the_new(void **state)
{
    bool stopped = true;

    (void)state;
    for (uint64_t n = 0; stopped; n++) {
        struct checkpoint_info info = {0};
        struct err err = {0};
        struct world w;
        uint64_t first;
        uint64_t second;
        uint64_t start;

        open_with_one(&w, &first);
        second = w.lsn;
        fs_sim_stop_after(w.sim, n);
        if (world_checkpoint(&w, &info, &err) == ST_OK)
            first = second;
        stopped = fs_sim_stopped(w.sim);
        crash(&w, PROCESS_CRASH);
        start = world_restart(&w);
        assert_true(start == first || start == second);
        world_check(&w);
        crash(&w, n % 2 == 0 ? POWER_CUT : POWER_CUT_LOSES_ALL);
        assert_int_equal(world_restart(&w), start); /* the load made it durable */
        go_on(&w);
        world_close(&w);
    }
}

/* The n-th call fails; false when there are fewer. */
static bool fail_call(uint64_t n)
{
    const struct fs_sim_fault fault = {
        .op = FS_SIM_ANY, .nth = n, .errnum = n % 4 < 2 ? EIO : ENOSPC, .after_effect = n % 2 == 1};
    struct checkpoint_info info = {0};
    struct err err = {0};
    struct world w;
    uint64_t first;
    uint64_t calls;
    status st;

    open_with_one(&w, &first);
    calls = fs_sim_calls(w.sim, FS_SIM_ANY);
    fs_sim_fail(w.sim, &fault);
    st = world_checkpoint(&w, &info, &err);
    calls = fs_sim_calls(w.sim, FS_SIM_ANY) - calls;
    fs_sim_fail_clear(w.sim);
    if (st == ST_OK)
        assert_true(info.start_lsn > first);
    else
        assert_true(err.text[0] != 0);
    go_on(&w);
    world_close(&w);
    return calls >= n;
}

/* The process goes on: the next checkpoint must be as good as any, whether the one that failed is
 * there or not. Calls fail by turns before and after they did their work. */
static void a_call_that_fails_is_survived_in_place(void **state)
{
    uint64_t n = 1;

    (void)state;
    while (fail_call(n))
        n++;
    assert_true(n > 30);
}

/* The very first one, whose folders do not exist yet. A process dies making them, or a call fails:
 * for the one after it they are simply there, and their names may not be on the disk. */
static bool first_one_meets(uint64_t n, bool dies)
{
    const struct fs_sim_fault fault = {
        .op = FS_SIM_EFFECT, .nth = n + 1, .errnum = EIO, .after_effect = n % 2 == 1};
    struct checkpoint_info info = {0};
    struct err err = {0};
    struct world w;
    uint64_t effects;
    status st;

    world_open(&w, seed);
    w.ops_per_step = 1;
    world_ops(&w, 60);
    effects = fs_sim_calls(w.sim, FS_SIM_EFFECT);
    if (dies)
        fs_sim_stop_after(w.sim, n);
    else
        fs_sim_fail(w.sim, &fault);
    st = world_checkpoint(&w, &info, &err);
    effects = fs_sim_calls(w.sim, FS_SIM_EFFECT) - effects;
    fs_sim_fail_clear(w.sim);
    if (dies) {
        crash(&w, PROCESS_CRASH);
        (void)world_restart(&w);
    }
    world_check(&w);
    world_ops(&w, 20);
    if (world_checkpoint(&w, &info, &err) != ST_OK)
        fail_msg("the next one: %s n=%llu seed=%llu", err.text, (unsigned long long)n,
                 (unsigned long long)seed);
    fs_sim_power_cut(w.sim, NULL);
    if (world_restart(&w) != info.start_lsn)
        fail_msg("the checkpoint is gone n=%llu dies=%d first=%s seed=%llu", (unsigned long long)n,
                 dies, status_name(st), (unsigned long long)seed);
    world_check(&w);
    world_close(&w);
    return effects > n;
}

static void folders_that_another_made_are_as_durable_as_the_checkpoint(void **state)
{
    uint64_t n = 0;

    (void)state;
    while (first_one_meets(n, true) && first_one_meets(n, false))
        n++;
    assert_true(n > 15);
}

/* A full disk leaves the old one, no bytes of the new, and room comes back. */
static void a_full_disk_leaves_the_old_one_and_its_bytes(void **state)
{
    struct checkpoint_info info = {0};
    struct err err = {0};
    struct world w;
    uint64_t first;
    uint64_t used;

    (void)state;
    open_with_one(&w, &first);
    used = fs_sim_space_used(w.sim);
    fs_sim_space_limit(w.sim, used + 2000);
    assert_int_equal(world_checkpoint(&w, &info, &err), ST_NOSPACE);
    assert_int_equal(fs_sim_space_used(w.sim), used);
    assert_int_equal(world_restart(&w), first);
    world_check(&w);
    fs_sim_space_limit(w.sim, 0);
    go_on(&w);
    world_close(&w);
}

/* The twin that must fail: with syncs that do nothing a power cut has to be noticed, or these tests
 * prove nothing. */
static void without_syncs_a_power_cut_is_noticed(void **state)
{
    unsigned noticed = 0;

    (void)state;
    for (unsigned i = 0; i < 8; i++) {
        struct checkpoint_info info = {0};
        struct err err = {0};
        struct world w;
        status st;

        world_open(&w, seed + i);
        w.ops_per_step = 0;
        world_ops(&w, 60);
        fs_sim_sync_lies(w.sim, true);
        assert_int_equal(world_checkpoint(&w, &info, &err), ST_OK);
        fs_sim_sync_lies(w.sim, false);
        fs_sim_power_cut(w.sim, NULL);
        world_drop(&w);
        world_make(&w);
        st = checkpoint_load(&w.state, false, &info, &err);
        noticed += st == ST_CORRUPT;
        world_close(&w);
    }
    assert_int_equal(noticed, 8);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_power_cut_at_every_effect_leaves_the_old_or_the_new),
        cmocka_unit_test(a_power_cut_that_loses_all_unsynced_leaves_the_old_or_the_new),
        cmocka_unit_test(a_process_crash_at_every_effect_then_a_power_cut_leave_the_old_or_the_new),
        cmocka_unit_test(a_call_that_fails_is_survived_in_place),
        cmocka_unit_test(folders_that_another_made_are_as_durable_as_the_checkpoint),
        cmocka_unit_test(a_full_disk_leaves_the_old_one_and_its_bytes),
        cmocka_unit_test(without_syncs_a_power_cut_is_noticed),
    };

    if (argc > 1)
        seed = strtoull(argv[1], NULL, 10);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
