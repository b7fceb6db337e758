/* A small log of several files, cut at every byte and with every bit flipped.
 *
 * Each is opened and judged: a record that is replayed is whole; what is not replayed was reported
 * as corruption, or lay above every durable lsn that the files state. */
#include "tests/unit/wal/wal_test.h"

#include <inttypes.h>
#include <string.h>

enum { FILES_MAX = 8, RECORDS = 14 };

static struct ledger ledger;
static struct fs_sim *sim;
static struct test_log t;
static struct wal_engine *engine;

struct image { /* the log as it was before it was damaged */
    size_t files;
    char path[FILES_MAX][FS_PATH_BYTES];
    struct buf bytes[FILES_MAX];
    uint64_t last_lsn;  /* records there are */
    uint64_t claim_lsn; /* stated as durable somewhere */
};
static struct image image;

static void read_image(void)
{
    image.files = test_wal_files(t.fs, 0, image.path[0]);
    assert_in_range(image.files, 3, FILES_MAX);
    for (size_t i = 0; i < image.files; i++) {
        (void)test_wal_files(t.fs, i, image.path[i]);
        image.bytes[i] = test_read_file(t.fs, image.path[i]);
    }
}

/* With `clean`, the last marker says that all is durable; else the last record says it of the one
 * before it. */
static void make_log(bool clean)
{
    sim = fs_sim_create();
    ledger_init(&ledger);
    test_log_init(&t, fs_sim_fs(sim), &ledger, 1);
    t.file_bytes_first = 5 * 1024;
    t.file_bytes_max = 6 * 1024;
    test_log_open_checked(&t);
    test_log_append(&t, RECORDS);
    if (!clean)
        fs_sim_power_cut(sim, NULL);
    test_log_close(&t);
    image.last_lsn = RECORDS;
    image.claim_lsn = clean ? RECORDS : RECORDS - 1;
    read_image();
    assert_st_ok(wal_engine_open(
        &(struct wal_engine_options){
            .fs = t.fs, .clock = clock_real(), .rand = &t.rand.source, .file_bytes_max = 6 * 1024},
        &engine, NULL));
}

static void drop_log(void)
{
    for (size_t i = 0; i < image.files; i++)
        buf_free(&image.bytes[i]);
    wal_engine_close(engine);
    ledger_fini(&ledger);
    fs_sim_destroy(sim);
}

/* Opens for reading; every replayed record is compared with what was submitted. */
static struct wal_report look(void)
{
    struct wal_options o = {.engine = engine,
                            .dir = TEST_DIR,
                            .log_id = "0123456789abcde",
                            .replay_from = 1,
                            .replay = ledger_replay,
                            .replay_arg = &ledger,
                            .read_only = true};
    struct wal_report report;
    struct wal *w;

    for (size_t i = 0; i < ledger.count; i++)
        ledger.at[i].seen = false;
    ledger.replay_next = 0;
    assert_st_ok(wal_open(&o, &w, &report, NULL));
    wal_close(w);
    if (ledger.wrong[0] != 0)
        fail_msg("%s", ledger.wrong);
    if (report.last_lsn != 0 && report.records > 0)
        assert_int_equal(report.last_lsn, ledger.replay_next - 1);
    assert_int_equal(report.records, report.last_lsn);
    return report;
}

static void put(size_t file, size_t at, uint8_t byte)
{
    struct fs_file *f;

    assert_st_ok(fs_open(t.fs, image.path[file], FS_WRITE, &f, NULL));
    assert_st_ok(fs_pwrite(t.fs, f, &byte, 1, at, NULL));
    fs_close(t.fs, f);
}

/* Where the record's bytes lie; false: in no record. */
struct place {
    size_t file;
    size_t begin;
    size_t end;
};
static struct place places[RECORDS + 1];

static void find_places(void)
{
    for (size_t i = 0; i < image.files; i++) {
        struct wal_reader r;
        enum wal_step step = WAL_STEP_DATA;
        struct wal_rec rec;
        struct slice payload;
        uint64_t number;

        assert_true(wal_name_parse(strrchr(image.path[i], '/') + 1, "wal", &number));
        assert_st_ok(wal_reader_open(&r, t.fs, TEST_DIR, number, NULL));
        for (uint64_t lsn = r.head.first_lsn; step == WAL_STEP_DATA; lsn++) {
            size_t begin = (size_t)r.offset;

            assert_st_ok(wal_reader_next(&r, lsn, &step, &rec, &payload, NULL));
            if (step == WAL_STEP_DATA)
                places[lsn] = (struct place){i, begin, (size_t)r.offset};
        }
        wal_reader_close(&r);
    }
    assert_true(places[RECORDS].end > 0);
}

static uint64_t record_at(size_t file, size_t at)
{
    for (uint64_t lsn = 1; lsn <= RECORDS; lsn++) {
        if (places[lsn].file == file && at >= places[lsn].begin && at < places[lsn].end)
            return lsn;
    }
    return 0;
}

static void judge_flip(size_t file, size_t at, unsigned bit, const struct wal_report *report)
{
    uint64_t lsn = record_at(file, at);
    bool bad = false;

    if (!report->corrupt && report->last_lsn < image.claim_lsn)
        bad = true; /* lost in silence */
    if (at < WAL_HEAD_BYTES && !report->corrupt)
        bad = true;
    if (lsn != 0 && lsn <= image.claim_lsn && !report->corrupt)
        bad = true;
    if (lsn != 0 && report->last_lsn != lsn - 1)
        bad = true; /* all before it, and not itself */
    if (lsn == 0 && at >= WAL_HEAD_BYTES && (report->corrupt || report->last_lsn != image.last_lsn))
        bad = true; /* a marker, an end mark or nothing: harmless */
    if ((report->corrupt || report->torn) && report->text[0] == 0)
        bad = true;
    if (bad)
        fail_msg("file %zu byte %zu bit %u (record %" PRIu64 "): corrupt=%d torn=%d last=%" PRIu64
                 " %s",
                 file, at, bit, lsn, report->corrupt, report->torn, report->last_lsn, report->text);
}

/* Zeros of the header block get one bit each, everything else all of them. */
static void flip_all(void)
{
    for (size_t file = 0; file < image.files; file++) {
        for (size_t at = 0; at < image.bytes[file].bytes; at++) {
            bool plain = at >= WAL_HEAD_ZERO && at < WAL_HEAD_CRC;
            uint8_t byte = image.bytes[file].data[at];

            if (plain && at % 4 != 0)
                continue;
            for (unsigned bit = 0; bit < 8; bit += plain ? 8 : 1) {
                struct wal_report report;
                unsigned flipped = plain ? (unsigned)(at / 4 % 8) : bit;

                put(file, at, byte ^ (uint8_t)(1u << flipped));
                report = look();
                judge_flip(file, at, flipped, &report);
            }
            put(file, at, byte);
        }
    }
}

static void every_flipped_bit_of_a_closed_log_is_found_or_harmless(void **state)
{
    (void)state;
    make_log(true);
    find_places();
    flip_all();
    drop_log();
}

static void every_flipped_bit_of_a_killed_log_is_found_or_harmless(void **state)
{
    (void)state;
    make_log(false);
    find_places();
    flip_all();
    drop_log();
}

/* Before the cut: whole. Behind it: gone, and known unless nothing that is left says so. */
static void judge_cut(size_t file, size_t bytes, const struct wal_report *report)
{
    bool last_file = file + 1 == image.files;
    uint64_t whole = 0;

    while (whole < RECORDS && (places[whole + 1].file < file ||
                               (places[whole + 1].file == file && places[whole + 1].end <= bytes)))
        whole++;
    if (bytes < WAL_HEAD_BYTES) {
        assert_true(report->corrupt);
        assert_true(report->last_lsn <= whole);
        return;
    }
    if (last_file || record_at(file, bytes) != 0) {
        /* No crash leaves such a length; at a whole sector it is a torn tail. */
        bool cut = bytes % WAL_LENGTH_GRAIN != 0 &&
                   (whole < RECORDS || bytes < places[RECORDS].end + WAL_END_MARK_BYTES);

        if (report->last_lsn != whole || report->corrupt != (!last_file || cut))
            fail_msg("file %zu cut at %zu: last %" PRIu64 ", whole %" PRIu64 ", corrupt %d: %s",
                     file, bytes, report->last_lsn, whole, report->corrupt, report->text);
        return;
    }
    assert_false(report->corrupt);
    assert_int_equal(report->last_lsn, image.last_lsn);
}

static void a_file_cut_at_any_byte_gives_whole_records_only(void **state)
{
    (void)state;
    make_log(true);
    find_places();
    for (size_t file = 0; file < image.files; file++) {
        for (size_t bytes = image.bytes[file].bytes; bytes-- > 0;) {
            struct wal_report report;
            struct fs_file *f;

            if (bytes > 128 && bytes < WAL_HEAD_BYTES - 128)
                continue; /* the zeros of the header block */
            assert_st_ok(fs_open(t.fs, image.path[file], FS_WRITE, &f, NULL));
            assert_st_ok(fs_truncate(t.fs, f, bytes, NULL));
            fs_close(t.fs, f);
            report = look();
            judge_cut(file, bytes, &report);
        }
        test_write_file(t.fs, image.path[file], buf_slice(&image.bytes[file]));
    }
    drop_log();
}

static void a_missing_file_is_corruption(void **state)
{
    (void)state;
    make_log(true);
    for (size_t file = 0; file + 1 < image.files; file++) {
        struct wal_report report;

        assert_st_ok(fs_unlink(t.fs, image.path[file], NULL));
        if (file > 0) {
            report = look();
            assert_true(report.corrupt);
        } else { /* records are needed from 1 on */
            struct wal_options o = {
                .engine = engine, .dir = TEST_DIR, .log_id = "0123456789abcde", .replay_from = 1};
            struct wal *w;

            assert_st_ok(wal_open(&o, &w, &report, NULL));
            assert_true(report.corrupt);
            assert_int_equal(report.last_lsn, 0);
            wal_close(w);
        }
        test_write_file(t.fs, image.path[file], buf_slice(&image.bytes[file]));
    }
    drop_log();
}

static void files_under_each_others_names_are_corruption(void **state)
{
    struct wal_report report;

    (void)state;
    make_log(true);
    test_write_file(t.fs, image.path[1], buf_slice(&image.bytes[2]));
    test_write_file(t.fs, image.path[2], buf_slice(&image.bytes[1]));
    report = look();
    assert_true(report.corrupt);
    drop_log();
}

/* Damage is served up to the break, and nothing is written: a second look finds the same bytes. */
static void a_corrupt_log_serves_what_is_whole_and_writes_nothing(void **state)
{
    struct wal_options o = {.dir = TEST_DIR, .log_id = "0123456789abcde"};
    struct wal_report report;
    struct buf after;
    struct wal *w;
    uint64_t lsn;
    struct err err;
    size_t at;

    (void)state;
    make_log(true);
    find_places();
    o.engine = engine;
    at = places[5].begin + 40;
    put(places[5].file, at, image.bytes[places[5].file].data[at] ^ 4);
    assert_st_ok(wal_open(&o, &w, &report, NULL));
    assert_true(report.corrupt);
    assert_int_equal(report.last_lsn, 4);
    assert_int_equal(wal_durable_lsn(w), 4);
    assert_int_equal(wal_state(w, &err), ST_CORRUPT);
    assert_non_null(strstr(err.text, "record 5"));
    assert_int_equal(wal_append_wait(w, slice_text("x"), &lsn, NULL), ST_CORRUPT);
    assert_int_equal(wal_trim(w, 4, NULL), ST_CORRUPT);
    wal_close(w);
    for (size_t i = 0; i < image.files; i++) {
        after = test_read_file(t.fs, image.path[i]);
        if (i == places[5].file)
            after.data[at] ^= 4;
        assert_true(slice_equal(buf_slice(&after), buf_slice(&image.bytes[i])));
        buf_free(&after);
    }
    drop_log();
}

struct left {
    bool seen[RECORDS + 1];
    size_t count;
};

static status note_left(void *arg, uint64_t lsn, struct slice payload, struct err *err)
{
    struct left *left = arg;

    (void)err;
    if (lsn < 1 || lsn > RECORDS || left->seen[lsn])
        fail_msg("record %" PRIu64 " out of nothing", lsn);
    if (payload.bytes != test_payload_bytes(lsn - 1))
        fail_msg("record %" PRIu64 " has %zu bytes", lsn, payload.bytes);
    left->seen[lsn] = true;
    left->count++;
    return ST_OK;
}

/* Over one flipped bit, wherever it is, all other records are read, and what the log states of its
 * end is known, or one record short of it. */
static void salvage_reads_all_records_but_the_damaged_one(void **state)
{
    (void)state;
    make_log(true);
    find_places();
    for (size_t file = 0; file < image.files; file++) {
        size_t bytes = image.bytes[file].bytes;

        for (size_t at = 0; at < bytes; at += at < 64 ? 1 : 3) {
            uint64_t hit = record_at(file, at);
            struct left left = {0};
            struct wal_salvage found;

            put(file, at, image.bytes[file].data[at] ^ (uint8_t)(1u << (at * 7 % 8)));
            assert_st_ok(wal_salvage(t.fs, TEST_DIR, (const uint8_t *)"0123456789abcde", note_left,
                                     &left, &found, NULL));
            put(file, at, image.bytes[file].data[at]);
            if (found.unknown || left.count < RECORDS - (hit != 0))
                fail_msg("file %zu byte %zu: %zu records of %d, hit %" PRIu64, file, at, left.count,
                         RECORDS, hit);
            if (found.durable_lsn > RECORDS || found.durable_lsn + 1 < image.claim_lsn)
                fail_msg("file %zu byte %zu: durable %" PRIu64, file, at, found.durable_lsn);
        }
    }
    drop_log();
}

/* A header beyond mending: what was in its file, and what it voided, is said not to be known. */
static void salvage_says_which_header_is_beyond_mending(void **state)
{
    struct wal_salvage found;

    (void)state;
    make_log(true);
    put(1, 8, 0xff);
    put(1, 44, (uint8_t)~image.bytes[1].data[44]);
    assert_st_ok(
        wal_salvage(t.fs, TEST_DIR, (const uint8_t *)"0123456789abcde", NULL, NULL, &found, NULL));
    assert_true(found.unknown);
    assert_string_equal(found.file, image.path[1]);
    drop_log();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_flipped_bit_of_a_closed_log_is_found_or_harmless),
        cmocka_unit_test(every_flipped_bit_of_a_killed_log_is_found_or_harmless),
        cmocka_unit_test(a_file_cut_at_any_byte_gives_whole_records_only),
        cmocka_unit_test(a_missing_file_is_corruption),
        cmocka_unit_test(files_under_each_others_names_are_corruption),
        cmocka_unit_test(salvage_reads_all_records_but_the_damaged_one),
        cmocka_unit_test(salvage_says_which_header_is_beyond_mending),
        cmocka_unit_test(a_corrupt_log_serves_what_is_whole_and_writes_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
