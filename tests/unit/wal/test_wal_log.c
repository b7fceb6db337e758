/* A log written, closed, opened, read and trimmed; what its options and limits say. */
#include "base/crc32c.h"
#include "tests/unit/wal/wal_test.h"

#include <string.h>

static struct ledger ledger;
static struct fs_sim *sim;
static struct test_log t;

static int setup(void **state)
{
    (void)state;
    sim = fs_sim_create();
    ledger_init(&ledger);
    test_log_init(&t, fs_sim_fs(sim), &ledger, 1);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    ledger_fini(&ledger);
    fs_sim_destroy(sim);
    return 0;
}

static void a_closed_log_replays_every_record(void **state)
{
    (void)state;
    test_log_open_checked(&t);
    assert_int_equal(wal_next_lsn(t.wal), 1);
    test_log_append(&t, 200);
    assert_int_equal(wal_durable_lsn(t.wal), 200);
    test_log_close(&t);
    for (int i = 0; i < 3; i++) {
        test_log_open_checked(&t);
        assert_int_equal(t.report.last_lsn, 200 + i * 10);
        assert_int_equal(t.report.records, 200 + i * 10);
        assert_false(t.report.torn);
        test_log_append(&t, 10);
        test_log_close(&t);
    }
}

/* A clean close leaves nothing to repair: the same file is written on. */
static void a_clean_restart_makes_no_file(void **state)
{
    char path[FS_PATH_BYTES];

    (void)state;
    test_log_open_checked(&t);
    test_log_append(&t, 3);
    test_log_close(&t);
    for (int i = 0; i < 3; i++) {
        fs_sim_power_cut(sim, NULL); /* the last marker was synced */
        test_log_open_checked(&t);
        test_log_append(&t, 1);
        test_log_close(&t);
    }
    assert_int_equal(test_wal_files(t.fs, 0, path), 1);
}

static void records_larger_than_a_file_get_their_own(void **state)
{
    static uint8_t big[100 * 1024];
    uint64_t lsn;
    struct err err;

    (void)state;
    test_log_open_checked(&t);
    memset(big, 'x', sizeof(big));
    assert_st_ok(wal_append_wait(t.wal, slice_make(big, 100), &lsn, &err));
    assert_st_ok(wal_append_wait(t.wal, slice_make(big, sizeof(big)), &lsn, &err));
    assert_int_equal(lsn, 2);
    assert_st_ok(wal_append_wait(t.wal, slice_make(big, 100), &lsn, &err));
    assert_int_equal(test_wal_files(t.fs, 0, (char[FS_PATH_BYTES]){0}), 3);
    wal_close(t.wal);
    t.wal = NULL;
    wal_engine_close(t.engine);

    assert_st_ok(test_log_open(&t));
    assert_int_equal(t.report.last_lsn, 3);
    assert_int_equal(t.report.bytes, sizeof(big) + 200);
    test_log_close(&t);
}

static void payloads_have_bounds(void **state)
{
    uint8_t byte = 1;
    struct slice none = slice_make(&byte, 0);
    struct slice huge[2] = {slice_make(&byte, WAL_PAYLOAD_BYTES_MAX), slice_make(&byte, 1)};
    struct slice wrap[2] = {slice_make(&byte, SIZE_MAX), slice_make(&byte, 2)};
    uint64_t lsn;
    struct err err;

    (void)state;
    test_log_open_checked(&t);
    assert_int_equal(wal_submit(t.wal, &none, 1, NULL, NULL, &lsn, &err), ST_INVALID);
    assert_int_equal(wal_submit(t.wal, NULL, 0, NULL, NULL, &lsn, &err), ST_INVALID);
    assert_int_equal(wal_submit(t.wal, huge, 2, NULL, NULL, &lsn, &err), ST_INVALID);
    assert_int_equal(wal_submit(t.wal, wrap, 2, NULL, NULL, &lsn, &err), ST_INVALID);
    assert_int_equal(wal_next_lsn(t.wal), 1);
    test_log_append(&t, 1);
    test_log_close(&t);
}

static status count_one(void *arg, uint64_t lsn, struct slice payload, struct err *err)
{
    uint64_t *next = arg;

    (void)err;
    assert_true(payload.bytes > 0);
    assert_int_equal(lsn, *next);
    (*next)++;
    return ST_OK;
}

static struct wal_options options_of(struct wal_engine *engine)
{
    struct wal_options o = {.engine = engine, .dir = TEST_DIR, .log_id = "0123456789abcde"};

    return o;
}

static struct wal_engine *engine_on(struct fs *fs, enum wal_sync sync)
{
    struct wal_engine_options o = {.fs = fs,
                                   .clock = clock_real(),
                                   .rand = rand_kernel(),
                                   .sync = sync,
                                   .file_bytes_first = 8 * 1024,
                                   .file_bytes_max = 32 * 1024};
    struct wal_engine *engine = NULL;

    assert_st_ok(wal_engine_open(&o, &engine, NULL));
    return engine;
}

static void replay_begins_where_it_is_told(void **state)
{
    struct wal_engine *engine;
    struct wal_options o;
    struct wal_report report;
    struct wal *w;
    uint64_t next = 51;

    (void)state;
    test_log_open_checked(&t);
    test_log_append(&t, 100);
    test_log_close(&t);
    engine = engine_on(t.fs, WAL_SYNC_FDATASYNC);
    o = options_of(engine);
    o.replay_from = 51;
    o.expect_lsn = 100;
    o.replay = count_one;
    o.replay_arg = &next;
    assert_st_ok(wal_open(&o, &w, &report, NULL));
    assert_int_equal(next, 101);
    assert_int_equal(report.records, 50);
    assert_false(report.corrupt);
    wal_close(w);

    o.expect_lsn = 101; /* a checkpoint knows of a record that is not there */
    o.replay = NULL;
    assert_st_ok(wal_open(&o, &w, &report, NULL));
    assert_true(report.corrupt);
    assert_int_equal(wal_state(w, NULL), ST_CORRUPT);
    wal_close(w);
    wal_engine_close(engine);
}

static void a_missing_log_is_corruption_when_a_checkpoint_knew_it(void **state)
{
    struct wal_engine *engine = engine_on(t.fs, WAL_SYNC_FDATASYNC);
    struct wal_options o = options_of(engine);
    struct wal_report report;
    struct wal *w;
    uint64_t lsn;

    (void)state;
    o.replay_from = 8;
    o.expect_lsn = 7;
    assert_st_ok(wal_open(&o, &w, &report, NULL));
    assert_true(report.corrupt);
    assert_int_equal(wal_append_wait(w, slice_text("x"), &lsn, NULL), ST_CORRUPT);
    wal_close(w);

    o.expect_lsn = 0; /* a log that is to begin there is made */
    assert_st_ok(wal_open(&o, &w, &report, NULL));
    assert_false(report.corrupt);
    assert_st_ok(wal_append_wait(w, slice_text("x"), &lsn, NULL));
    assert_int_equal(lsn, 8);
    wal_close(w);

    o.replay_from = 5; /* records 5 to 7 are nowhere */
    assert_st_ok(wal_open(&o, &w, &report, NULL));
    assert_true(report.corrupt);
    wal_close(w);
    wal_engine_close(engine);
}

static void a_log_of_another_collection_is_refused(void **state)
{
    struct wal_engine *engine;
    struct wal_options o;
    struct wal *w = NULL;

    (void)state;
    test_log_open_checked(&t);
    test_log_append(&t, 1);
    test_log_close(&t);
    engine = engine_on(t.fs, WAL_SYNC_FDATASYNC);
    o = options_of(engine);
    o.log_id[3] ^= 1;
    assert_int_equal(wal_open(&o, &w, NULL, NULL), ST_CORRUPT);
    assert_null(w);
    wal_engine_close(engine);
}

static void a_file_of_a_later_version_is_refused(void **state)
{
    char path[FS_PATH_BYTES];
    struct buf b;

    (void)state;
    test_log_open_checked(&t);
    test_log_append(&t, 1);
    test_log_close(&t);
    (void)test_wal_files(t.fs, 0, path);
    b = test_read_file(t.fs, path);
    le_put_u32(b.data + WAL_HEAD_VERSION, WAL_VERSION + 1);
    le_put_u32(b.data + WAL_HEAD_CRC, crc32c(0, b.data, WAL_HEAD_CRC));
    test_write_file(t.fs, path, buf_slice(&b));
    buf_free(&b);
    assert_int_equal(test_log_open(&t), ST_UNSUPPORTED);
}

static void reading_only_writes_nothing(void **state)
{
    struct wal_engine *engine;
    struct wal_options o;
    struct wal_report report;
    struct wal *w;
    uint64_t effects;
    uint64_t next = 1;

    (void)state;
    test_log_open_checked(&t);
    test_log_append(&t, 20);
    fs_sim_process_crash(sim);
    test_log_close(&t);
    engine = engine_on(t.fs, WAL_SYNC_FDATASYNC);
    o = options_of(engine);
    o.read_only = true;
    effects = fs_sim_calls(sim, FS_SIM_EFFECT);
    assert_st_ok(wal_open(&o, &w, &report, NULL));
    assert_int_equal(wal_append_wait(w, slice_text("x"), NULL, NULL), ST_DENIED);
    assert_int_equal(wal_trim(w, 10, NULL), ST_DENIED);
    assert_st_ok(wal_read(w, 1, 1000, count_one, &next, NULL));
    assert_int_equal(next, 21);
    wal_close(w);
    assert_int_equal(fs_sim_calls(sim, FS_SIM_EFFECT), effects);
    o.dir = "/none";
    assert_int_equal(wal_open(&o, &w, &report, NULL), ST_NOT_FOUND);
    wal_engine_close(engine);
}

struct piece {
    uint64_t next;
    unsigned left;
};
static status take_piece(void *arg, uint64_t lsn, struct slice payload, struct err *err)
{
    struct piece *p = arg;

    (void)payload;
    if (p->left == 0)
        return err_set(err, ST_LIMIT, "enough");
    p->left--;
    assert_int_equal(lsn, p->next++);
    return ST_OK;
}

/* Who stops a read goes on from there later, without reading the file again from its beginning. */
static void a_read_that_is_stopped_goes_on_where_it_stopped(void **state)
{
    struct piece piece = {.next = 1};

    (void)state;
    test_log_open_checked(&t);
    test_log_append(&t, 600);
    while (piece.next <= 600) {
        status st;

        piece.left = 9;
        st = wal_read(t.wal, piece.next, UINT64_MAX, take_piece, &piece, NULL);
        assert_int_equal(st, piece.next <= 600 ? ST_LIMIT : ST_OK);
        assert_int_equal(t.wal->shared.hint.lsn, piece.next);
    }
    assert_int_equal(piece.next, 601);
    test_log_close(&t);
}

static void trimmed_records_are_not_found_the_others_are(void **state)
{
    uint64_t next;
    uint64_t begin;
    uint64_t bytes;
    struct wal_entries *files;

    (void)state;
    test_log_open_checked(&t);
    test_log_append(&t, 600);
    bytes = wal_bytes(t.wal);
    files = &t.wal->shared.files;
    assert_true(files->count > 5);
    begin = files->at[3].first_lsn;
    assert_st_ok(wal_trim(t.wal, begin - 2, NULL)); /* one record of the third is needed */
    assert_true(files->at[0].first_lsn < begin);
    assert_st_ok(wal_trim(t.wal, begin - 1, NULL));
    assert_int_equal(files->at[0].first_lsn, begin);
    assert_int_equal(t.wal->shared.spares.count, WAL_SPARES_MAX);
    assert_true(wal_bytes(t.wal) < bytes);
    ledger.trimmed_lsn = begin - 1;

    next = begin - 1;
    assert_int_equal(wal_read(t.wal, next, 600, count_one, &next, NULL), ST_NOT_FOUND);
    next = begin;
    assert_st_ok(wal_read(t.wal, begin, UINT64_MAX, count_one, &next, NULL));
    assert_int_equal(next, 601);
    for (uint64_t lsn = begin; lsn <= 600; lsn += 7) { /* in pieces, by the hint */
        next = lsn;
        assert_st_ok(wal_read(t.wal, lsn, lsn + 6, count_one, &next, NULL));
    }
    next = 450; /* and backwards */
    assert_st_ok(wal_read(t.wal, 450, 460, count_one, &next, NULL));
    next = 420;
    assert_st_ok(wal_read(t.wal, 420, 430, count_one, &next, NULL));
    assert_int_equal(wal_read(t.wal, 0, 1, count_one, &next, NULL), ST_INVALID);
    next = 700;
    assert_st_ok(wal_read(t.wal, 700, 800, count_one, &next, NULL));

    assert_st_ok(wal_trim(t.wal, UINT64_MAX, NULL)); /* the newest stays */
    assert_int_equal(files->count, 1);
    ledger.trimmed_lsn = files->at[0].first_lsn - 1;
    test_log_close(&t);
    test_log_open_checked(&t);
    test_log_close(&t);
}

/* The records a spare still holds must not be replayed from the file it becomes. */
static void stale_records_of_recycled_files_never_replay(void **state)
{
    (void)state;
    for (int round = 0; round < 12; round++) {
        test_log_open_checked(&t);
        assert_false(t.report.torn); /* nothing was under way, whatever stands behind the end */
        test_log_append(&t, 70);
        ledger.trimmed_lsn = t.ledger->at[ledger.count - 1].lsn - 20;
        assert_st_ok(wal_trim(t.wal, ledger.trimmed_lsn, NULL));
        if (round % 2 == 0)
            fs_sim_process_crash(sim);
        test_log_close(&t);
    }
    assert_true(fs_sim_space_used(sim) < 6 * 32 * 1024);
}

static void a_full_buffer_refuses_and_recovers(void **state)
{
    struct wal_engine *engine = engine_on(t.fs, WAL_SYNC_FDATASYNC);
    struct wal_options o = options_of(engine);
    struct wal *w;
    static uint8_t payload[4096];
    uint64_t lsn;

    (void)state;
    o.buffer_bytes_max = 4096;
    assert_st_ok(wal_open(&o, &w, NULL, NULL));
    memset(payload, 1, sizeof(payload));
    assert_int_equal(wal_append_wait(w, slice_make(payload, 4096), &lsn, NULL), ST_LIMIT);
    for (int i = 0; i < 20; i++)
        assert_st_ok(wal_append_wait(w, slice_make(payload, 4096 - 32), &lsn, NULL));
    assert_int_equal(lsn, 20);
    wal_close(w);
    wal_engine_close(engine);
}

/* sync = "none": a power cut takes records that a checkpoint has. The log goes on behind it. */
static void without_fdatasync_a_checkpoint_ahead_of_the_log_is_no_damage(void **state)
{
    struct wal_engine *engine;
    struct wal_options o;
    struct wal_report report;
    struct wal *w;
    uint64_t lsn;

    (void)state;
    for (int round = 0; round < 2; round++) {
        engine = engine_on(t.fs, WAL_SYNC_NONE);
        o = options_of(engine);
        o.dir = round == 0 ? "/a" : "/b";
        assert_st_ok(wal_open(&o, &w, &report, NULL));
        for (int i = 0; i < 50; i++)
            assert_st_ok(wal_append_wait(w, slice_text("0123456789"), &lsn, NULL));
        fs_sim_power_cut(sim, NULL);
        wal_close(w);
        wal_engine_close(engine);

        /* The setting may have been changed meanwhile; the file says how it was written. */
        engine = engine_on(t.fs, round == 0 ? WAL_SYNC_NONE : WAL_SYNC_FDATASYNC);
        o.engine = engine;
        o.expect_lsn = 30;
        o.replay_from = 31;
        assert_st_ok(wal_open(&o, &w, &report, NULL));
        assert_false(report.corrupt);
        assert_int_equal(report.last_lsn, 30);
        assert_st_ok(wal_append_wait(w, slice_text("x"), &lsn, NULL));
        assert_int_equal(lsn, 31);
        wal_close(w);
        assert_st_ok(wal_open(&o, &w, &report, NULL));
        assert_false(report.corrupt);
        assert_int_equal(report.last_lsn, 31);
        assert_int_equal(report.records, 1);
        wal_close(w);
        wal_engine_close(engine);
    }
}

/* The checkpoint of before the power cut says that its rows are exact from lsn 10 on, and that it
 * has seen 30. Until the next one it says so at every start, also at one after a start that was cut
 * short while it gave the old files up. Returns false when that needed no more effects. */
static bool begins_anew_again(enum wal_sync then, uint64_t effects)
{
    struct wal_engine *engine = engine_on(t.fs, WAL_SYNC_NONE);
    struct wal_options o = options_of(engine);
    struct wal_report report;
    struct wal *w = NULL;
    bool stopped;
    uint64_t lsn;

    assert_st_ok(fs_remove_all(t.fs, TEST_DIR, NULL));
    assert_st_ok(wal_open(&o, &w, &report, NULL));
    for (int i = 0; i < 15; i++)
        assert_st_ok(wal_append_wait(
            w, (struct slice){.data = (const uint8_t *)&ledger, .bytes = 4000}, &lsn, NULL));
    wal_close(w);
    wal_engine_close(engine);
    assert_true(test_wal_files(t.fs, 0, (char[FS_PATH_BYTES]){0}) > 1);

    engine = engine_on(t.fs, then);
    o.engine = engine;
    o.replay_from = 11;
    o.expect_lsn = 30;
    fs_sim_stop_after(sim, effects);
    if (wal_open(&o, &w, &report, NULL) == ST_OK)
        wal_close(w);
    stopped = fs_sim_stopped(sim);
    fs_sim_process_crash(sim);

    for (unsigned i = 0; i < 2; i++) {
        assert_st_ok(wal_open(&o, &w, &report, NULL));
        if (report.corrupt)
            fail_msg("start %u effects=%llu: %s", i, (unsigned long long)effects, report.text);
        assert_int_equal(report.last_lsn, 30 + i);
        assert_st_ok(wal_append_wait(w, slice_text("x"), &lsn, NULL));
        assert_int_equal(lsn, 31 + i);
        wal_close(w);
    }
    /* But not for a checkpoint that ends before it begins. */
    o.expect_lsn = 29;
    assert_st_ok(wal_open(&o, &w, &report, NULL));
    assert_true(report.corrupt);
    wal_close(w);
    wal_engine_close(engine);
    return stopped;
}

static void a_log_begun_anew_behind_a_checkpoint_opens_again_before_the_next_one(void **state)
{
    uint64_t n = 0;

    (void)state;
    while (begins_anew_again(WAL_SYNC_NONE, n) && begins_anew_again(WAL_SYNC_FDATASYNC, n))
        n++;
    assert_true(n > 3);
}

static void twins_need_a_word_from_a_test(void **state)
{
    struct wal_engine_options o = {.fs = t.fs, .clock = clock_real(), .rand = rand_kernel()};
    struct wal_engine *engine = NULL;

    (void)state;
    o.sync = WAL_SYNC_TWIN_SKIP;
    assert_int_equal(wal_engine_open(&o, &engine, NULL), ST_INVALID);
    o.sync = WAL_SYNC_TWIN_ACK_FIRST;
    assert_int_equal(wal_engine_open(&o, &engine, NULL), ST_INVALID);
    assert_null(engine);
    wal_engine_close(NULL);
    wal_close(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_closed_log_replays_every_record, setup, teardown),
        cmocka_unit_test_setup_teardown(a_clean_restart_makes_no_file, setup, teardown),
        cmocka_unit_test_setup_teardown(records_larger_than_a_file_get_their_own, setup, teardown),
        cmocka_unit_test_setup_teardown(payloads_have_bounds, setup, teardown),
        cmocka_unit_test_setup_teardown(replay_begins_where_it_is_told, setup, teardown),
        cmocka_unit_test_setup_teardown(a_missing_log_is_corruption_when_a_checkpoint_knew_it,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(a_log_of_another_collection_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(a_file_of_a_later_version_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(reading_only_writes_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(a_read_that_is_stopped_goes_on_where_it_stopped, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(trimmed_records_are_not_found_the_others_are, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(stale_records_of_recycled_files_never_replay, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_full_buffer_refuses_and_recovers, setup, teardown),
        cmocka_unit_test_setup_teardown(
            without_fdatasync_a_checkpoint_ahead_of_the_log_is_no_damage, setup, teardown),
        cmocka_unit_test_setup_teardown(
            a_log_begun_anew_behind_a_checkpoint_opens_again_before_the_next_one, setup, teardown),
        cmocka_unit_test_setup_teardown(twins_need_a_word_from_a_test, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
