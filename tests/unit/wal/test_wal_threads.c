/* Many threads on one log, many logs on one engine, and the time an idle log keeps. */
#include "tests/unit/wal/wal_test.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { WRITERS = 64, EACH = 30, LOGS = 24 };

static struct fs_sim *sim;
static struct wal_engine *engine;

/* Syncs that take as long as a disk's: without it there is nothing to wait together for. */
static status (*plain_sync)(struct fs *fs, struct fs_file *file, struct err *err);
static status slow_sync(struct fs *fs, struct fs_file *file, struct err *err)
{
    struct timespec t = {.tv_nsec = 200000};

    (void)nanosleep(&t, NULL);
    return plain_sync(fs, file, err);
}

static int setup(void **state)
{
    (void)state;
    sim = fs_sim_create();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    fs_sim_destroy(sim);
    return 0;
}

static void open_engine(struct fs *fs, struct clock *clock)
{
    struct wal_engine_options o = {.fs = fs,
                                   .clock = clock,
                                   .rand = rand_kernel(),
                                   .file_bytes_first = 8 * 1024,
                                   .file_bytes_max = 64 * 1024};

    assert_st_ok(wal_engine_open(&o, &engine, NULL));
}

static struct wal *open_log(const char *dir)
{
    struct wal_options o = {.engine = engine, .dir = dir, .log_id = "threads"};
    struct wal *w = NULL;

    assert_st_ok(wal_open(&o, &w, NULL, NULL));
    return w;
}

/* --- writers ---------------------------------------------------------------------------------- */

static struct wal *logs[LOGS];
static _Atomic unsigned failures;

static void write_many(void *arg)
{
    size_t number = (size_t)(uintptr_t)arg;
    char text[64];
    uint64_t last = 0;

    for (unsigned i = 0; i < EACH; i++) {
        uint64_t lsn = 0;

        (void)snprintf(text, sizeof(text), "writer %zu record %u", number, i);
        if (wal_append_wait(logs[number % LOGS], slice_text(text), &lsn, NULL) != ST_OK ||
            lsn <= last)
            atomic_fetch_add(&failures, 1);
        last = lsn;
    }
}

static void run_writers(void)
{
    struct thread threads[WRITERS] = {{.started = false}};

    atomic_store(&failures, 0);
    for (size_t i = 0; i < WRITERS; i++)
        assert_st_ok(thread_start(&threads[i], "writer", THREAD_NORMAL, write_many,
                                  (void *)(uintptr_t)i, NULL));
    for (size_t i = 0; i < WRITERS; i++)
        thread_join(&threads[i]);
    assert_int_equal(atomic_load(&failures), 0);
}

static void open_slow(void)
{
    struct fs *fs = fs_sim_fs(sim);

    plain_sync = fs->sync;
    fs->sync = slow_sync;
    open_engine(fs, clock_real());
}

static void one_fsync_serves_all_that_wait(void **state)
{
    uint64_t syncs;

    (void)state;
    open_slow();
    logs[0] = open_log("/one");
    for (size_t i = 1; i < LOGS; i++)
        logs[i] = logs[0];
    syncs = fs_sim_calls(sim, FS_SIM_SYNC);
    run_writers();
    syncs = fs_sim_calls(sim, FS_SIM_SYNC) - syncs;
    assert_int_equal(wal_durable_lsn(logs[0]), WRITERS * EACH);
    assert_true(syncs < WRITERS * EACH / 3);
    wal_close(logs[0]);
    fs_sim_power_cut(sim, NULL);
    logs[0] = open_log("/one");
    assert_int_equal(wal_durable_lsn(logs[0]), WRITERS * EACH);
    wal_close(logs[0]);
    wal_engine_close(engine);
}

static void many_logs_share_the_threads(void **state)
{
    uint64_t records = 0;

    (void)state;
    open_engine(fs_sim_fs(sim), clock_real());
    for (size_t i = 0; i < LOGS; i++) {
        char dir[32];

        (void)snprintf(dir, sizeof(dir), "/many/%zu", i);
        logs[i] = open_log(dir);
    }
    run_writers();
    for (size_t i = 0; i < LOGS; i++) {
        records += wal_durable_lsn(logs[i]);
        wal_close(logs[i]);
    }
    assert_int_equal(records, WRITERS * EACH);
    wal_engine_close(engine);
}

/* --- reading and trimming meanwhile ----------------------------------------------------------- */

static _Atomic bool stop;

static status check_text(void *arg, uint64_t lsn, struct slice payload, struct err *err)
{
    (void)arg;
    (void)lsn;
    if (payload.bytes < 7 || memcmp(payload.data, "writer ", 7) != 0)
        return err_set(err, ST_BUG, "not a record");
    return ST_OK;
}

static void read_and_trim(void *arg)
{
    struct wal *w = arg;

    while (!atomic_load(&stop)) {
        uint64_t durable = wal_durable_lsn(w);
        uint64_t from = durable > 60 ? durable - 60 : 1;
        status st = wal_read(w, from, durable, check_text, NULL, NULL);

        if (st != ST_OK && st != ST_NOT_FOUND)
            atomic_fetch_add(&failures, 1);
        if (wal_trim(w, from, NULL) != ST_OK)
            atomic_fetch_add(&failures, 1);
        (void)wal_bytes(w);
    }
}

static void reading_and_trimming_go_on_meanwhile(void **state)
{
    struct thread threads[2] = {{.started = false}};
    unsigned wrong;

    (void)state;
    open_engine(fs_sim_fs(sim), clock_real());
    logs[0] = open_log("/one");
    for (size_t i = 1; i < LOGS; i++)
        logs[i] = logs[0];
    atomic_store(&stop, false);
    for (size_t i = 0; i < 2; i++)
        assert_st_ok(
            thread_start(&threads[i], "reader", THREAD_NORMAL, read_and_trim, logs[0], NULL));
    run_writers();
    wrong = atomic_load(&failures);
    atomic_store(&stop, true);
    for (size_t i = 0; i < 2; i++)
        thread_join(&threads[i]);
    assert_int_equal(wrong, 0);
    assert_int_equal(atomic_load(&failures), 0);
    wal_close(logs[0]);
    wal_engine_close(engine);
}

/* --- idle ------------------------------------------------------------------------------------- */

static bool marker_stands(const char *dir, uint64_t durable_lsn)
{
    struct wal_reader r;
    enum wal_step step = WAL_STEP_DATA;
    struct wal_rec rec = {.lsn = 0};
    struct slice payload;
    uint64_t lsn = 1;

    assert_st_ok(wal_reader_open(&r, fs_sim_fs(sim), dir, 1, NULL));
    while (step == WAL_STEP_DATA)
        assert_st_ok(wal_reader_next(&r, lsn++, &step, &rec, &payload, NULL));
    wal_reader_close(&r);
    return step == WAL_STEP_MARKER && rec.durable_lsn == durable_lsn;
}

static void an_idle_log_gets_its_marker_in_time(void **state)
{
    uint64_t begin;
    uint64_t lsn;
    struct wal *w;

    (void)state;
    open_engine(fs_sim_fs(sim), clock_real());
    w = open_log("/idle");
    assert_st_ok(wal_append_wait(w, slice_text("writer"), &lsn, NULL));
    begin = clock_mono_ns(clock_real());
    while (!marker_stands("/idle", 1)) {
        /* 100 ms, and what a loaded machine may add. */
        assert_true(clock_mono_ns(clock_real()) - begin < UINT64_C(60000000000));
        (void)usleep(5000);
    }
    assert_st_ok(wal_append_wait(w, slice_text("writer"), &lsn, NULL)); /* over the marker */
    assert_false(marker_stands("/idle", 1));
    wal_close(w);
    assert_true(marker_stands("/idle", 2));
    wal_engine_close(engine);
}

/* A clock on which a tick passes between any two looks: whatever is due in a moment is due at the
 * next one. */
static _Atomic uint64_t hasty_ns;

static uint64_t hasty_mono(struct clock *clock)
{
    (void)clock;
    return atomic_fetch_add(&hasty_ns, (uint64_t)WAL_MARKER_IDLE_MS * 1000000);
}

static void a_log_found_at_work_when_its_time_comes_gets_its_marker_later(void **state)
{
    struct clock clock = *clock_real();
    struct wal *w;

    (void)state;
    clock.mono_ns = hasty_mono;
    open_engine(fs_sim_fs(sim), &clock);
    w = open_log("/idle");
    for (uint64_t lsn = 0, i = 1; i <= 300; i++) {
        assert_st_ok(wal_append_wait(w, slice_text("writer"), &lsn, NULL));
        for (int tries = 0; !marker_stands("/idle", lsn); tries++) {
            assert_true(tries < 10000);
            (void)usleep(1000);
        }
    }
    wal_close(w);
    wal_engine_close(engine);
}

/* Moves the clock and works on another log, with a sync, so that the commit thread looks at it. */
static void pass_time(struct clock_manual *clock, struct wal *busy, uint64_t ms)
{
    uint64_t lsn;

    clock_manual_advance(clock, ms * 1000000);
    assert_st_ok(wal_append_wait(busy, slice_text("writer"), &lsn, NULL));
    (void)usleep(5000);
}

static void wait_for_marker(struct clock_manual *clock, struct wal *busy, uint64_t durable_lsn)
{
    for (int tries = 0; !marker_stands("/idle", durable_lsn); tries++) {
        assert_true(tries < 1000);
        pass_time(clock, busy, 60);
    }
}

static void an_idle_log_closes_its_file_and_opens_it_again(void **state)
{
    struct clock_manual clock;
    struct wal *busy;
    struct wal *w;
    uint64_t lsn;
    uint64_t opens;
    uint64_t waited_ms = 0;
    uint64_t syncs;

    (void)state;
    clock_manual_init(&clock, 1000, 1000);
    open_engine(fs_sim_fs(sim), &clock.clock);
    busy = open_log("/busy");
    w = open_log("/idle");
    assert_st_ok(wal_append_wait(w, slice_text("writer"), &lsn, NULL));
    wait_for_marker(&clock, busy, 1);
    opens = fs_sim_calls(sim, FS_SIM_OPEN);
    assert_st_ok(wal_append_wait(w, slice_text("writer"), &lsn, NULL));
    opens = fs_sim_calls(sim, FS_SIM_OPEN) - opens;
    assert_int_equal(opens, 0); /* it had not been closed yet */
    wait_for_marker(&clock, busy, 2);
    syncs = fs_sim_calls(sim, FS_SIM_SYNC);
    do {
        pass_time(&clock, busy, 1000);
        waited_ms += 1000;
        assert_true(waited_ms < 1000 * 1000);
    } while (fs_sim_calls(sim, FS_SIM_SYNC) - syncs == waited_ms / 1000); /* the marker's own comes
                                                                             with the close */
    assert_true(waited_ms >= WAL_CLOSE_IDLE_MS);
    fs_sim_power_cut(sim, NULL);
    assert_true(marker_stands("/idle", 2));
    assert_st_ok(wal_append_wait(w, slice_text("writer"), &lsn, NULL)); /* by a new handle */
    wal_close(w);
    wal_close(busy);
    wal_engine_close(engine);

    open_engine(fs_sim_fs(sim), clock_real());
    w = open_log("/idle");
    assert_int_equal(wal_durable_lsn(w), 3);
    wal_close(w);
    wal_engine_close(engine);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(one_fsync_serves_all_that_wait, setup, teardown),
        cmocka_unit_test_setup_teardown(many_logs_share_the_threads, setup, teardown),
        cmocka_unit_test_setup_teardown(reading_and_trimming_go_on_meanwhile, setup, teardown),
        cmocka_unit_test_setup_teardown(an_idle_log_gets_its_marker_in_time, setup, teardown),
        cmocka_unit_test_setup_teardown(
            a_log_found_at_work_when_its_time_comes_gets_its_marker_later, setup, teardown),
        cmocka_unit_test_setup_teardown(an_idle_log_closes_its_file_and_opens_it_again, setup,
                                        teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
