/* Calls that fail: once or for ever, before or after their effect, with EIO or a full disk; and
 * allocations. What was acknowledged is there afterwards, what was refused never is, and one
 * failure never makes an outcome unknown or stops the log.
 *
 * Argument: a seed. */
#include "base/mem.h"
#include "tests/support/alloc_sweep.h"
#include "tests/unit/wal/wal_workload.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CALLS_MAX = 3000 };

static uint64_t seed_base = 1;
static struct workload r;

/* --- a fault at every call -------------------------------------------------------------------- */

/* True while the n-th call is reached. */
static bool one_fault(uint64_t seed, struct fs_sim_fault fault, bool crash_soon)
{
    bool right;
    bool reached;

    workload_init(&r, seed, WAL_SYNC_FDATASYNC);
    r.log.rand.state = seed * CALLS_MAX + fault.nth;
    r.faults = true;
    r.kill_only = fault.nth % 2 == 0; /* the kernel then still shows what it never wrote */
    fs_sim_fail(r.sim, &fault);
    if (crash_soon)
        fs_sim_stop_after(r.sim, fault.nth + rand_below(&r.log.rand.source, 10));
    (void)workload_run(&r, &right);
    reached = fs_sim_calls(r.sim, fault.op) >= fault.nth;
    if (right && !fault.for_ever && !crash_soon && r.ledger.unknown > 0) {
        right = false;
        (void)snprintf(r.ledger.wrong, sizeof(r.ledger.wrong), "one failure, outcome unknown");
    }
    if (right) {
        rand_seeded_init(&r.rng, seed * CALLS_MAX + fault.nth);
        workload_crash(&r);
        r.faults = false;
        right = workload_recover(&r);
    }
    if (!right)
        fail_msg("seed %" PRIu64 ", call %" PRIu64 " of kind %d failed with %d: %s", seed,
                 fault.nth, (int)fault.op, fault.errnum, r.ledger.wrong);
    workload_fini(&r);
    return reached;
}

static void sweep_until(uint64_t seed, struct fs_sim_fault fault, uint64_t stride, bool crash_soon)
{
    fault.nth = 1;
    while (one_fault(seed, fault, crash_soon)) {
        fault.nth += stride;
        assert_true(fault.nth < CALLS_MAX);
    }
}

static void sweep(uint64_t seed, struct fs_sim_fault fault, uint64_t stride)
{
    sweep_until(seed, fault, stride, false);
}

static void an_effect_that_fails_once_costs_only_what_was_in_flight(void **state)
{
    (void)state;
    sweep(seed_base, (struct fs_sim_fault){.op = FS_SIM_EFFECT, .errnum = EIO}, 1);
    sweep(seed_base + 1, (struct fs_sim_fault){.op = FS_SIM_EFFECT, .errnum = ENOSPC}, 1);
}

static void an_effect_that_fails_after_it_was_done_never_comes_back(void **state)
{
    (void)state;
    sweep(seed_base + 2,
          (struct fs_sim_fault){.op = FS_SIM_EFFECT, .errnum = EIO, .after_effect = true}, 1);
}

/* What a failed call left behind meets a power cut a few effects later. */
static void a_failure_and_a_crash_soon_after_lose_nothing(void **state)
{
    (void)state;
    for (uint64_t i = 0; i < 6; i++)
        sweep_until(
            seed_base + 20 + i,
            (struct fs_sim_fault){.op = FS_SIM_EFFECT, .errnum = EIO, .after_effect = i % 2 == 1},
            1, true);
}

static void half_a_write_never_comes_back(void **state)
{
    (void)state;
    sweep(seed_base + 3,
          (struct fs_sim_fault){.op = FS_SIM_WRITE, .errnum = EIO, .write_bytes = 700}, 1);
}

static void a_sync_that_fails_for_ever_leaves_outcomes_unknown_not_wrong(void **state)
{
    (void)state;
    sweep(seed_base + 4, (struct fs_sim_fault){.op = FS_SIM_SYNC, .errnum = EIO, .for_ever = true},
          3);
    sweep(seed_base + 5,
          (struct fs_sim_fault){.op = FS_SIM_SYNC_DIR, .errnum = EIO, .for_ever = true}, 2);
    sweep(seed_base + 6,
          (struct fs_sim_fault){
              .op = FS_SIM_SYNC, .errnum = EIO, .for_ever = true, .after_effect = true},
          3);
}

static void a_read_that_fails_is_an_error_not_an_end(void **state)
{
    (void)state;
    sweep(seed_base + 7, (struct fs_sim_fault){.op = FS_SIM_READ, .errnum = EIO}, 1);
}

/* --- the failures one by one ------------------------------------------------------------------ */

static void setup_log(void)
{
    workload_init(&r, seed_base, WAL_SYNC_FDATASYNC);
    test_log_open_checked(&r.log);
    test_log_append(&r.log, 5);
}

static void teardown_log(void)
{
    test_log_close(&r.log);
    workload_fini(&r);
}

static void reopen_after_power_cut(void)
{
    fs_sim_power_cut(r.sim, NULL);
    test_log_close(&r.log);
    test_log_open_checked(&r.log);
}

static void a_failed_sync_refuses_and_goes_on_in_a_successor(void **state)
{
    char path[FS_PATH_BYTES];
    struct ledger_entry *e;

    (void)state;
    setup_log();
    fs_sim_fail_nth(r.sim, FS_SIM_SYNC, 1, EIO);
    assert_st_ok(ledger_submit(&r.ledger, r.log.wal));
    ledger_wait(&r.ledger);
    e = &r.ledger.at[5];
    assert_int_equal(e->st, ST_IO);
    assert_int_equal(e->lsn, 6);
    while (ledger_submit(&r.ledger, r.log.wal) == ST_UNAVAILABLE) /* until on_cut returned */
        ;
    ledger_wait(&r.ledger);
    assert_int_equal(r.ledger.cuts, 1);
    assert_int_equal(r.ledger.cut_lsn, 5);
    e = &r.ledger.at[r.ledger.count - 1];
    assert_int_equal(e->st, ST_OK);
    assert_int_equal(e->lsn, 6); /* used again */
    assert_int_equal(test_wal_files(r.log.fs, 0, path), 2);
    reopen_after_power_cut();
    assert_int_equal(r.log.report.last_lsn, 6);
    teardown_log();
}

static void no_successor_means_unknown_and_closed(void **state)
{
    struct err err;

    (void)state;
    setup_log();
    fs_sim_fail(r.sim, &(struct fs_sim_fault){
                           .op = FS_SIM_SYNC, .nth = 1, .errnum = EIO, .for_ever = true});
    assert_st_ok(ledger_submit(&r.ledger, r.log.wal));
    ledger_wait(&r.ledger);
    assert_int_equal(r.ledger.at[5].st, ST_UNKNOWN);
    while (ledger_submit(&r.ledger, r.log.wal) == ST_UNAVAILABLE)
        ;
    assert_int_equal(r.ledger.at[r.ledger.count - 1].st, ST_CLOSED);
    assert_int_equal(wal_state(r.log.wal, &err), ST_CLOSED);
    assert_non_null(strstr(err.text, "no writes until the disk is well"));
    assert_int_equal(wal_durable_lsn(r.log.wal), 5);
    assert_int_equal(r.ledger.cuts, 1);
    reopen_after_power_cut();
    test_log_append(&r.log, 3);
    teardown_log();
}

/* A write that failed under the process before is told once more to the next who syncs the folder:
 * that is no reason. Where it stays so, the log is read and takes no writes. */
static void a_disk_that_fails_at_the_open_is_read_all_the_same(void **state)
{
    struct err err;

    (void)state;
    for (int i = 0; i < 2; i++) {
        bool stays = i == 1;

        setup_log();
        fs_sim_power_cut(r.sim, NULL);
        test_log_close(&r.log);
        fs_sim_fail(r.sim, &(struct fs_sim_fault){
                               .op = FS_SIM_SYNC_DIR, .nth = 1, .errnum = EIO, .for_ever = stays});
        test_log_open_checked(&r.log);
        assert_int_equal(r.log.report.last_lsn, 5);
        if (stays) {
            assert_int_equal(wal_state(r.log.wal, &err), ST_CLOSED);
            assert_non_null(strstr(err.text, "no writes until the disk is well"));
        } else {
            test_log_append(&r.log, 2);
        }
        reopen_after_power_cut();
        test_log_append(&r.log, 3);
        teardown_log();
    }
}

static void append_until_full(void)
{
    for (;;) {
        status st = ledger_submit(&r.ledger, r.log.wal);

        ledger_wait(&r.ledger);
        if (st == ST_UNAVAILABLE)
            continue;
        assert_int_equal(st, ST_OK);
        if (r.ledger.at[r.ledger.count - 1].st == ST_NOSPACE)
            return;
        assert_int_equal(r.ledger.at[r.ledger.count - 1].st, ST_OK);
    }
}

static void append_one_more(void)
{
    while (ledger_submit(&r.ledger, r.log.wal) == ST_UNAVAILABLE)
        ;
    ledger_wait(&r.ledger);
}

static void a_full_disk_refuses_and_space_brings_it_back(void **state)
{
    uint64_t durable;

    (void)state;
    setup_log();
    fs_sim_space_limit(r.sim, 60 * 1024);
    append_until_full();
    durable = wal_durable_lsn(r.log.wal);
    for (int i = 0; i < 5; i++) { /* still full, still alive */
        append_until_full();
        assert_int_equal(wal_state(r.log.wal, NULL), ST_OK);
    }
    assert_true(wal_durable_lsn(r.log.wal) >= durable); /* smaller ones may have fitted */
    assert_int_equal(r.ledger.cut_lsn, wal_durable_lsn(r.log.wal));

    fs_sim_space_limit(r.sim, 0);
    append_one_more();
    test_log_append(&r.log, 100);
    reopen_after_power_cut();
    teardown_log();
}

/* Opens after a crash on a disk without a free byte: what was acknowledged is served, writes are
 * refused until there is room. */
static void a_log_opens_on_a_full_disk(void **state)
{
    (void)state;
    for (int kill = 0; kill < 2; kill++) {
        setup_log();
        test_log_append(&r.log, 50);
        if (kill)
            fs_sim_process_crash(r.sim);
        else
            fs_sim_power_cut(r.sim, &r.rng.source);
        test_log_close(&r.log);
        fs_sim_space_limit(r.sim, fs_sim_space_used(r.sim));
        test_log_open_checked(&r.log);
        assert_int_equal(r.log.report.last_lsn, 55);
        append_until_full();
        append_until_full();
        fs_sim_process_crash(r.sim); /* and once more, with nothing changed */
        test_log_close(&r.log);
        test_log_open_checked(&r.log);
        append_until_full();
        fs_sim_space_limit(r.sim, 0);
        append_one_more();
        test_log_append(&r.log, 50);
        reopen_after_power_cut();
        teardown_log();
    }
}

/* One record that the kernel shows and the disk has not: its sync failed, the process was killed.
 * It has sectors of its own. Returns its lsn; the log is open, and its disk full. */
static uint64_t leave_a_tail_nobody_vouches_for(void)
{
    uint64_t lsn;

    setup_log();
    while (test_payload_bytes(r.ledger.count) < 2048)
        test_log_append(&r.log, 1);
    lsn = r.ledger.count + 1;
    fs_sim_fail(r.sim, &(struct fs_sim_fault){
                           .op = FS_SIM_SYNC, .nth = 1, .errnum = EIO, .for_ever = true});
    assert_st_ok(ledger_submit(&r.ledger, r.log.wal));
    ledger_wait(&r.ledger);
    assert_int_equal(r.ledger.at[lsn - 1].st, ST_UNKNOWN);
    fs_sim_process_crash(r.sim);
    test_log_close(&r.log);
    fs_sim_space_limit(r.sim, fs_sim_space_used(r.sim));
    test_log_open_checked(&r.log);
    assert_int_equal(r.log.report.last_lsn, lsn);
    return lsn;
}

/* There is no room for a copy: the same bytes are written once more where they are. */
static void what_a_log_opens_with_on_a_full_disk_is_durable(void **state)
{
    uint64_t lsn = leave_a_tail_nobody_vouches_for();

    (void)state;
    assert_int_equal(wal_durable_lsn(r.log.wal), lsn);
    reopen_after_power_cut();
    assert_int_equal(r.log.report.last_lsn, lsn);
    fs_sim_space_limit(r.sim, 0);
    test_log_append(&r.log, 3);
    reopen_after_power_cut();
    assert_int_equal(r.log.report.last_lsn, lsn + 3);
    teardown_log();
}

/* A checkpoint that has seen the record says nothing about the log's bytes. */
static void a_tail_is_copied_whatever_a_checkpoint_has_seen(void **state)
{
    uint64_t lsn = leave_a_tail_nobody_vouches_for();

    (void)state;
    fs_sim_process_crash(r.sim);
    test_log_close(&r.log);
    fs_sim_space_limit(r.sim, 0);
    r.log.expect_lsn = lsn;
    test_log_open_checked(&r.log);
    test_log_append(&r.log, 3);
    reopen_after_power_cut();
    assert_int_equal(r.log.report.last_lsn, lsn + 3);
    teardown_log();
}

/* What a checkpoint is about to name is on disk, or it is not written. */
static void a_log_that_opened_on_a_full_disk_settles_its_tail(void **state)
{
    uint64_t lsn = leave_a_tail_nobody_vouches_for();
    struct err err;

    (void)state;
    assert_int_equal(wal_settle(r.log.wal, &err), ST_NOSPACE);
    fs_sim_space_limit(r.sim, 0);
    assert_st_ok(wal_settle(r.log.wal, &err));
    r.log.expect_lsn = lsn;
    reopen_after_power_cut();
    assert_int_equal(r.log.report.last_lsn, lsn);
    test_log_append(&r.log, 3);
    assert_st_ok(wal_settle(r.log.wal, &err));
    teardown_log();
}

/* Spares are given back before a record is refused. */
static void spares_make_room_on_a_full_disk(void **state)
{
    (void)state;
    setup_log();
    test_log_append(&r.log, 500);
    r.ledger.trimmed_lsn = wal_durable_lsn(r.log.wal);
    assert_st_ok(wal_trim(r.log.wal, r.ledger.trimmed_lsn, NULL));
    assert_true(r.log.wal->shared.spares.count == WAL_SPARES_MAX);
    fs_sim_space_limit(r.sim, fs_sim_space_used(r.sim));
    test_log_append(&r.log, 60);
    reopen_after_power_cut();
    teardown_log();
}

/* --- allocations ------------------------------------------------------------------------------ */

static status count_read(void *arg, uint64_t lsn, struct slice payload, struct err *err)
{
    (void)lsn;
    (void)payload;
    (void)err;
    ++*(unsigned *)arg;
    return ST_OK;
}

static status use_log(void *arg)
{
    bool met = false;
    unsigned records = 0;
    status st;

    (void)arg;
    st = test_log_open(&r.log);
    if (st != ST_OK)
        return st;
    if (!ledger_check(&r.ledger, &r.log.report, wal_state(r.log.wal, NULL) == ST_OK))
        fail_msg("%s", r.ledger.wrong);
    for (int i = 0; i < 20; i++) {
        met = ledger_submit(&r.ledger, r.log.wal) == ST_NOMEM || met;
        ledger_wait(&r.ledger);
        met = r.ledger.at[r.ledger.count - 1].st == ST_IO || met;
    }
    r.ledger.trimmed_lsn = wal_durable_lsn(r.log.wal) - 5;
    if (wal_trim(r.log.wal, r.ledger.trimmed_lsn, NULL) != ST_OK)
        met = true;
    st =
        wal_read(r.log.wal, wal_durable_lsn(r.log.wal) - 3, UINT64_MAX, count_read, &records, NULL);
    if (st == ST_OK)
        assert_int_equal(records, 4);
    else
        met = true;
    fs_sim_process_crash(r.sim); /* so that the next open copies its tail */
    test_log_close(&r.log);
    return met ? ST_NOMEM : ST_OK;
}

static void each_allocation_may_fail(void **state)
{
    (void)state;
    workload_init(&r, seed_base, WAL_SYNC_FDATASYNC);
    assert_true(alloc_sweep(use_log, NULL) >= 10);
    test_log_open_checked(&r.log);
    teardown_log();
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_failed_sync_refuses_and_goes_on_in_a_successor),
        cmocka_unit_test(no_successor_means_unknown_and_closed),
        cmocka_unit_test(a_disk_that_fails_at_the_open_is_read_all_the_same),
        cmocka_unit_test(a_full_disk_refuses_and_space_brings_it_back),
        cmocka_unit_test(a_log_opens_on_a_full_disk),
        cmocka_unit_test(what_a_log_opens_with_on_a_full_disk_is_durable),
        cmocka_unit_test(a_tail_is_copied_whatever_a_checkpoint_has_seen),
        cmocka_unit_test(a_log_that_opened_on_a_full_disk_settles_its_tail),
        cmocka_unit_test(spares_make_room_on_a_full_disk),
        cmocka_unit_test(each_allocation_may_fail),
        cmocka_unit_test(an_effect_that_fails_once_costs_only_what_was_in_flight),
        cmocka_unit_test(an_effect_that_fails_after_it_was_done_never_comes_back),
        cmocka_unit_test(a_failure_and_a_crash_soon_after_lose_nothing),
        cmocka_unit_test(half_a_write_never_comes_back),
        cmocka_unit_test(a_sync_that_fails_for_ever_leaves_outcomes_unknown_not_wrong),
        cmocka_unit_test(a_read_that_fails_is_an_error_not_an_end),
    };

    if (argc > 1)
        seed_base = strtoull(argv[1], NULL, 10);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
