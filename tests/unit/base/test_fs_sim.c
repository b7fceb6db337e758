/* The file system that forgets must forget what it should and nothing else: tests of durability are
 * worth what this is worth. A seed may be given as the only argument. */
#include "base/lock.h"
#include "tests/support/fs_sim.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

enum { CUTS = 400 };
static uint64_t first_seed = 1;

struct subject {
    struct fs_sim *sim;
    struct fs *fs;
};

static int setup(void **state)
{
    struct subject *s = calloc(1, sizeof *s);

    if (s == NULL)
        return -1;
    s->sim = fs_sim_create();
    s->fs = fs_sim_fs(s->sim);
    *state = s;
    return 0;
}

static int teardown(void **state)
{
    struct subject *s = *state;

    fs_sim_destroy(s->sim);
    free(s);
    return 0;
}

static struct fs_file *open_rw(struct subject *s, const char *path)
{
    struct fs_file *file = NULL;

    assert_int_equal(fs_open(s->fs, path, FS_READ | FS_WRITE | FS_CREATE, &file, NULL), ST_OK);
    return file;
}

static void put(struct subject *s, struct fs_file *file, char fill, size_t bytes, uint64_t offset)
{
    char *data = malloc(bytes);

    assert_non_null(data);
    memset(data, fill, bytes);
    assert_int_equal(fs_pwrite(s->fs, file, data, bytes, offset, NULL), ST_OK);
    free(data);
}

static bool exists(struct subject *s, const char *path)
{
    struct fs_stat found;

    return fs_stat(s->fs, path, &found, NULL) == ST_OK;
}

static void content(struct subject *s, const char *path, struct buf *out)
{
    buf_reset(out);
    assert_int_equal(fs_read_file(s->fs, path, 1 << 20, out, NULL), ST_OK);
}

/* Which of `seeds` outcomes were seen: a torn variant that never comes up tests nothing. */
struct outcomes {
    unsigned seen[8];
};

static void a_cut_keeps_what_was_synced_and_only_that(void **state)
{
    struct subject *s = *state;
    struct fs_file *file = open_rw(s, "/a");
    struct buf b;

    buf_init(&b, 1 << 20);
    put(s, file, 'x', 1000, 0);
    assert_int_equal(fs_sync(s->fs, file, NULL), ST_OK);
    assert_int_equal(fs_sync_dir(s->fs, "/", NULL), ST_OK);
    put(s, file, 'y', 3000, 500);
    fs_close(s->fs, file);
    file = open_rw(s, "/unsynced_name");
    assert_int_equal(fs_sync(s->fs, file, NULL), ST_OK);
    fs_close(s->fs, file);
    fs_sim_power_cut(s->sim, NULL);
    content(s, "/a", &b);
    assert_int_equal(b.bytes, 1000);
    for (size_t i = 0; i < b.bytes; i++)
        assert_int_equal(b.data[i], 'x');
    assert_false(exists(s, "/unsynced_name"));
    buf_free(&b);
}

/* 64 synced sectors of 'x' are overwritten with 'y': after a cut each is one or the other, whole.
 */
static void sectors_are_torn_apart_one_by_one(void **state)
{
    struct outcomes outcomes = {0};
    struct buf b;

    buf_init(&b, 1 << 20);
    for (uint64_t seed = first_seed; seed < first_seed + CUTS; seed++) {
        struct subject *s;
        struct rand_seeded rng;
        struct fs_file *file;
        size_t kept = 0;

        assert_int_equal(setup(state), 0);
        s = *state;
        rand_seeded_init(&rng, seed);
        file = open_rw(s, "/a");
        put(s, file, 'x', 64 * 512, 0);
        assert_int_equal(fs_sync(s->fs, file, NULL), ST_OK);
        assert_int_equal(fs_sync_dir(s->fs, "/", NULL), ST_OK);
        put(s, file, 'y', 64 * 512, 0);
        fs_close(s->fs, file);
        fs_sim_power_cut(s->sim, &rng.source);
        content(s, "/a", &b);
        assert_int_equal(b.bytes, 64 * 512);
        for (size_t i = 0; i < 64; i++) {
            assert_true(b.data[i * 512] == 'x' || b.data[i * 512] == 'y');
            for (size_t j = 1; j < 512; j++)
                assert_int_equal(b.data[i * 512 + j], b.data[i * 512]);
            kept += b.data[i * 512] == 'y';
        }
        outcomes.seen[kept == 0 ? 0 : kept == 64 ? 1 : 2]++;
        assert_int_equal(teardown(state), 0);
    }
    for (size_t i = 0; i < 3; i++)
        if (outcomes.seen[i] < CUTS / 20)
            fail_msg("outcome %zu seen %u times, first seed %llu", i, outcomes.seen[i],
                     (unsigned long long)first_seed);
    buf_free(&b);
}

/* A file of 512 synced bytes grows to 2048: it keeps its size or has the new one, and what was not
 * kept of the new part is zeros. */
static void a_grown_file_may_end_in_zeros(void **state)
{
    struct outcomes outcomes = {0};
    struct buf b;

    buf_init(&b, 1 << 20);
    for (uint64_t seed = first_seed; seed < first_seed + CUTS; seed++) {
        struct subject *s;
        struct rand_seeded rng;
        struct fs_file *file;

        assert_int_equal(setup(state), 0);
        s = *state;
        rand_seeded_init(&rng, seed);
        file = open_rw(s, "/a");
        put(s, file, 'x', 512, 0);
        assert_int_equal(fs_sync(s->fs, file, NULL), ST_OK);
        assert_int_equal(fs_sync_dir(s->fs, "/", NULL), ST_OK);
        put(s, file, 'y', 1536, 512);
        fs_close(s->fs, file);
        fs_sim_power_cut(s->sim, &rng.source);
        content(s, "/a", &b);
        assert_true(b.bytes == 512 || b.bytes == 2048);
        for (size_t i = 0; i < 512; i++)
            assert_int_equal(b.data[i], 'x');
        for (size_t i = 512; i < b.bytes; i++)
            assert_true(b.data[i] == 'y' || b.data[i] == 0);
        outcomes.seen[b.bytes == 512 ? 0 : b.data[2047] == 0 ? 1 : 2]++;
        assert_int_equal(teardown(state), 0);
    }
    for (size_t i = 0; i < 3; i++)
        if (outcomes.seen[i] < CUTS / 20)
            fail_msg("outcome %zu seen %u times, first seed %llu", i, outcomes.seen[i],
                     (unsigned long long)first_seed);
    buf_free(&b);
}

/* Five files are made in one folder and the third replaces the first by rename: what is left is the
 * state after some prefix of these six operations. */
static void names_survive_as_a_prefix(void **state)
{
    struct outcomes outcomes = {0};

    for (uint64_t seed = first_seed; seed < first_seed + CUTS; seed++) {
        static const unsigned state_after[] = {0, 1, 3, 7, 15, 31, 27};
        static const char *const name[] = {"/d/a", "/d/b", "/d/c", "/d/d", "/d/e"};
        struct subject *s;
        struct rand_seeded rng;
        unsigned left = 0;
        size_t k = 0;

        assert_int_equal(setup(state), 0);
        s = *state;
        rand_seeded_init(&rng, seed);
        assert_int_equal(fs_mkdir_all(s->fs, "/d", NULL), ST_OK);
        for (size_t i = 0; i < 5; i++)
            fs_close(s->fs, open_rw(s, name[i]));
        assert_int_equal(fs_rename(s->fs, "/d/c", "/d/a", NULL), ST_OK);
        fs_sim_power_cut(s->sim, &rng.source);
        for (unsigned i = 0; i < 5; i++)
            left |= exists(s, name[i]) ? 1u << i : 0;
        while (k < COUNT_OF(state_after) && state_after[k] != left)
            k++;
        if (k == COUNT_OF(state_after))
            fail_msg("names %x are after no prefix, seed %llu", left, (unsigned long long)seed);
        outcomes.seen[k]++;
        assert_int_equal(teardown(state), 0);
    }
    for (size_t i = 0; i < 7; i++)
        if (outcomes.seen[i] == 0)
            fail_msg("prefix of %zu never seen, first seed %llu", i,
                     (unsigned long long)first_seed);
}

static void an_unsynced_removal_may_come_back(void **state)
{
    struct outcomes outcomes = {0};

    for (uint64_t seed = first_seed; seed < first_seed + 64; seed++) {
        struct subject *s;
        struct rand_seeded rng;

        assert_int_equal(setup(state), 0);
        s = *state;
        rand_seeded_init(&rng, seed);
        assert_int_equal(fs_write_file(s->fs, "/a", slice_text("keep"), NULL), ST_OK);
        assert_int_equal(fs_unlink(s->fs, "/a", NULL), ST_OK);
        fs_sim_power_cut(s->sim, &rng.source);
        outcomes.seen[exists(s, "/a")]++;
        if (exists(s, "/a")) {
            struct buf b;

            buf_init(&b, 16);
            content(s, "/a", &b);
            assert_true(slice_equal(buf_slice(&b), slice_text("keep")));
            buf_free(&b);
        }
        assert_int_equal(teardown(state), 0);
    }
    assert_true(outcomes.seen[0] > 0 && outcomes.seen[1] > 0);
}

/* Whichever folder is synced or not, the file is in one of the two, or in both. */
static void a_rename_between_folders_never_loses_the_file(void **state)
{
    struct outcomes outcomes = {0};

    for (uint64_t seed = first_seed; seed < first_seed + CUTS; seed++) {
        struct subject *s;
        struct rand_seeded rng;
        bool here;
        bool there;

        assert_int_equal(setup(state), 0);
        s = *state;
        rand_seeded_init(&rng, seed);
        assert_int_equal(fs_mkdir_all(s->fs, "/one", NULL), ST_OK);
        assert_int_equal(fs_mkdir_all(s->fs, "/two", NULL), ST_OK);
        assert_int_equal(fs_write_file(s->fs, "/one/f", slice_text("x"), NULL), ST_OK);
        assert_int_equal(fs_rename(s->fs, "/one/f", "/two/f", NULL), ST_OK);
        if (seed % 3 != 0)
            assert_int_equal(fs_sync_dir(s->fs, seed % 3 == 1 ? "/one" : "/two", NULL), ST_OK);
        fs_sim_power_cut(s->sim, &rng.source);
        here = exists(s, "/one/f");
        there = exists(s, "/two/f");
        assert_true(here || there);
        assert_false(seed % 3 == 1 && (here || !there));
        assert_false(seed % 3 == 2 && !there);
        outcomes.seen[here + 2 * there]++;
        assert_int_equal(teardown(state), 0);
    }
    assert_true(outcomes.seen[1] > 0 && outcomes.seen[2] > 0 && outcomes.seen[3] > 0);
}

static void a_file_in_a_lost_folder_is_lost(void **state)
{
    struct subject *s = *state;

    assert_int_equal(fs_mkdir(s->fs, "/d", NULL), ST_OK);
    assert_int_equal(fs_write_file(s->fs, "/d/f", slice_text("x"), NULL), ST_OK);
    fs_sim_power_cut(s->sim, NULL);
    assert_false(exists(s, "/d"));
    assert_int_equal(fs_mkdir_all(s->fs, "/d", NULL), ST_OK);
    assert_int_equal(fs_write_file(s->fs, "/d/f", slice_text("x"), NULL), ST_OK);
    fs_sim_power_cut(s->sim, NULL);
    assert_true(exists(s, "/d/f"));
}

/* The trap: after a failed sync the bytes are readable and the next sync says it went well. */
static void bytes_of_a_failed_sync_are_readable_and_gone_after_the_cut(void **state)
{
    struct subject *s = *state;
    struct fs_file *file = open_rw(s, "/a");
    struct buf b;
    struct err err;

    buf_init(&b, 1 << 20);
    put(s, file, 'x', 600, 0);
    assert_int_equal(fs_sync(s->fs, file, &err), ST_OK);
    assert_int_equal(fs_sync_dir(s->fs, "/", &err), ST_OK);
    put(s, file, 'y', 2048, 0);
    fs_sim_fail_nth(s->sim, FS_SIM_SYNC, 1, EIO);
    assert_int_equal(fs_sync(s->fs, file, &err), ST_IO);
    assert_non_null(strstr(err.text, "/a"));
    put(s, file, 'z', 512, 512);
    assert_int_equal(fs_sync(s->fs, file, &err), ST_OK);
    fs_close(s->fs, file);
    content(s, "/a", &b);
    assert_int_equal(b.data[0], 'y');
    assert_int_equal(b.data[512], 'z');
    fs_sim_power_cut(s->sim, NULL);
    content(s, "/a", &b);
    assert_int_equal(b.bytes, 2048);
    assert_int_equal(b.data[0], 'x');   /* what was synced before */
    assert_int_equal(b.data[512], 'z'); /* what was synced after */
    assert_int_equal(b.data[1024], 0);  /* never written */
    buf_free(&b);
}

static void faults_come_when_planned(void **state)
{
    struct subject *s = *state;
    struct fs_file *file = open_rw(s, "/a");
    struct fs_file *other = NULL;
    struct err err;

    fs_sim_fail_nth(s->sim, FS_SIM_WRITE, 2, ENOSPC);
    put(s, file, 'x', 10, 0);
    assert_int_equal(fs_pwrite(s->fs, file, "y", 1, 0, &err), ST_NOSPACE);
    put(s, file, 'x', 10, 0); /* once */
    fs_sim_fail(s->sim, &(struct fs_sim_fault){
                            .op = FS_SIM_WRITE, .nth = 1, .errnum = EIO, .write_bytes = 3});
    assert_int_equal(fs_pwrite(s->fs, file, "zzzzz", 5, 0, &err), ST_IO);
    {
        char got[5];

        assert_int_equal(fs_pread_full(s->fs, file, got, 5, 0, &err), ST_OK);
        assert_memory_equal(got, "zzzxx", 5);
    }
    fs_sim_fail(s->sim, &(struct fs_sim_fault){
                            .op = FS_SIM_RENAME, .nth = 1, .errnum = EIO, .after_effect = true});
    assert_int_equal(fs_rename(s->fs, "/a", "/b", &err), ST_IO);
    assert_true(exists(s, "/b"));
    assert_false(exists(s, "/a"));
    fs_sim_fail(
        s->sim,
        &(struct fs_sim_fault){
            .op = FS_SIM_ANY, .nth = 1, .errnum = EACCES, .for_ever = true, .path_part = "denied"});
    for (int i = 0; i < 3; i++)
        assert_int_equal(fs_open(s->fs, "/denied", FS_WRITE | FS_CREATE, &other, &err), ST_DENIED);
    assert_null(other);
    fs_sim_fail_clear(s->sim);
    assert_int_equal(fs_open(s->fs, "/denied", FS_WRITE | FS_CREATE, &other, &err), ST_OK);
    fs_close(s->fs, other);
    fs_close(s->fs, file);
}

static void the_stop_lets_so_many_effects_through(void **state)
{
    struct subject *s = *state;
    struct fs_file *file = open_rw(s, "/a");
    uint64_t effects = fs_sim_calls(s->sim, FS_SIM_EFFECT);
    char got;
    size_t done;

    assert_int_equal(effects, 1);
    fs_sim_stop_after(s->sim, 2);
    put(s, file, 'x', 1, 0);
    assert_int_equal(fs_pread(s->fs, file, &got, 1, 0, &done, NULL), ST_OK); /* no effect */
    put(s, file, 'y', 1, 0);
    assert_int_equal(fs_pread(s->fs, file, &got, 1, 0, &done, NULL), ST_OK);
    assert_false(fs_sim_stopped(s->sim));
    assert_int_equal(fs_sync(s->fs, file, NULL), ST_IO);
    assert_true(fs_sim_stopped(s->sim));
    assert_int_equal(fs_pread(s->fs, file, &got, 1, 0, &done, NULL), ST_IO);
    fs_sim_process_crash(s->sim);
    assert_int_equal(fs_pread(s->fs, file, &got, 1, 0, &done, NULL), ST_IO); /* an old handle */
    fs_close(s->fs, file);
    file = open_rw(s, "/a");
    assert_int_equal(fs_pread(s->fs, file, &got, 1, 0, &done, NULL), ST_OK);
    assert_int_equal(got, 'y'); /* the kernel lived on */
    fs_close(s->fs, file);
}

static void a_cut_takes_handles_and_locks(void **state)
{
    struct subject *s = *state;
    struct fs_file *file = open_rw(s, "/a");
    struct fs_file *again;

    assert_int_equal(fs_sync_dir(s->fs, "/", NULL), ST_OK);
    assert_int_equal(fs_lock(s->fs, file, NULL), ST_OK);
    fs_sim_power_cut(s->sim, NULL);
    assert_int_equal(fs_pwrite(s->fs, file, "x", 1, 0, NULL), ST_IO);
    assert_int_equal(fs_sync(s->fs, file, NULL), ST_IO);
    assert_int_equal(fs_allocate(s->fs, file, 100, NULL), ST_IO);
    again = open_rw(s, "/a");
    assert_int_equal(fs_lock(s->fs, again, NULL), ST_OK);
    fs_close(s->fs, file); /* must not take the new lock along */
    file = open_rw(s, "/a");
    assert_int_equal(fs_lock(s->fs, file, NULL), ST_CONFLICT);
    fs_close(s->fs, file);
    fs_close(s->fs, again);
}

static void a_full_disk_takes_what_fits_and_goes_on_after_a_removal(void **state)
{
    struct subject *s = *state;
    struct fs_file *a = open_rw(s, "/a");
    struct fs_file *b = open_rw(s, "/b");
    struct fs_space space;
    uint64_t bytes = 0;
    char data[600] = {0};

    fs_sim_space_limit(s->sim, 1000);
    assert_int_equal(fs_allocate(s->fs, a, 600, NULL), ST_OK);
    assert_int_equal(fs_allocate(s->fs, b, 600, NULL), ST_NOSPACE);
    assert_int_equal(fs_size(s->fs, b, &bytes, NULL), ST_OK);
    assert_int_equal(bytes, 0);
    assert_int_equal(fs_pwrite(s->fs, b, data, 600, 0, NULL), ST_NOSPACE);
    assert_int_equal(fs_size(s->fs, b, &bytes, NULL), ST_OK);
    assert_int_equal(bytes, 400);
    assert_int_equal(fs_pwrite(s->fs, a, data, 600, 0, NULL), ST_OK); /* its own room */
    assert_int_equal(fs_space(s->fs, "/", &space, NULL), ST_OK);
    assert_int_equal(space.bytes_free, 0);
    assert_int_equal(fs_unlink(s->fs, "/a", NULL), ST_OK);
    assert_int_equal(fs_sim_space_used(s->sim), 1000); /* still open */
    fs_close(s->fs, a);
    assert_int_equal(fs_sim_space_used(s->sim), 400);
    assert_int_equal(fs_pwrite(s->fs, b, data, 600, 0, NULL), ST_OK);
    fs_close(s->fs, b);
    fs_sim_power_cut(s->sim, NULL);
    assert_int_equal(fs_sim_space_used(s->sim), 0);
}

static void a_lying_sync_saves_nothing(void **state)
{
    struct subject *s = *state;

    fs_sim_sync_lies(s->sim, true);
    assert_int_equal(fs_write_file(s->fs, "/a", slice_text("x"), NULL), ST_OK);
    fs_sim_power_cut(s->sim, NULL);
    assert_true(exists(s, "/a"));
    {
        struct fs_stat found = {0};

        assert_int_equal(fs_stat(s->fs, "/a", &found, NULL), ST_OK);
        assert_int_equal(found.bytes, 0);
    }
}

/* fs_write_file() stopped at each of its effects and cut there: the old text or the new, whole. */
static void a_file_written_whole_is_old_or_new_after_any_crash(void **state)
{
    bool done = false;

    for (uint64_t stop = 0; !done; stop++) {
        bool saw_new = false;

        for (uint64_t seed = first_seed; seed < first_seed + 40; seed++) {
            struct subject *s;
            struct rand_seeded rng;
            struct buf b;
            bool new_text;

            assert_int_equal(setup(state), 0);
            s = *state;
            rand_seeded_init(&rng, seed);
            assert_int_equal(fs_write_file(s->fs, "/a", slice_text("the old text"), NULL), ST_OK);
            fs_sim_stop_after(s->sim, stop);
            done = fs_write_file(s->fs, "/a", slice_text("new"), NULL) == ST_OK;
            fs_sim_power_cut(s->sim, &rng.source);
            buf_init(&b, 64);
            content(s, "/a", &b);
            new_text = slice_equal(buf_slice(&b), slice_text("new"));
            if (!new_text && !slice_equal(buf_slice(&b), slice_text("the old text")))
                fail_msg("neither old nor new: stop %llu seed %llu", (unsigned long long)stop,
                         (unsigned long long)seed);
            assert_false(done && !new_text);
            saw_new |= new_text;
            buf_free(&b);
            assert_int_equal(teardown(state), 0);
        }
        assert_true(saw_new == (stop >= 4)); /* open, write, sync, rename, sync of the folder */
    }
}

struct busy {
    struct fs *fs;
    unsigned number;
};

static void be_busy(void *arg)
{
    struct busy *busy = arg;
    char path[2][32];

    (void)snprintf(path[0], sizeof path[0], "/%u.a", busy->number);
    (void)snprintf(path[1], sizeof path[1], "/%u.b", busy->number);
    for (unsigned i = 0; i < 200; i++) {
        struct fs_file *file = NULL;

        if (busy->fs->open(busy->fs, path[0], FS_WRITE | FS_CREATE, &file, NULL) != ST_OK)
            continue;
        (void)busy->fs->pwrite(busy->fs, file, path, sizeof path, i, NULL);
        (void)busy->fs->sync(busy->fs, file, NULL);
        (void)busy->fs->rename(busy->fs, path[0], path[1], NULL);
        (void)busy->fs->sync_dir(busy->fs, "/", NULL);
        fs_close(busy->fs, file);
    }
}

/* Cuts and crashes while others work: no more is asked than that all of it ends well. */
static void threads_go_on_through_cuts(void **state)
{
    struct subject *s = *state;
    struct rand_seeded rng;
    struct thread threads[3] = {0};
    struct busy busy[3];

    rand_seeded_init(&rng, first_seed);
    for (unsigned i = 0; i < 3; i++) {
        busy[i] = (struct busy){s->fs, i};
        assert_int_equal(thread_start(&threads[i], "busy", THREAD_NORMAL, be_busy, &busy[i], NULL),
                         ST_OK);
    }
    for (unsigned i = 0; i < 100; i++) {
        fs_sim_power_cut(s->sim, &rng.source);
        fs_sim_process_crash(s->sim);
        fs_sim_fail_nth(s->sim, FS_SIM_ANY, 3, EIO);
    }
    for (unsigned i = 0; i < 3; i++)
        thread_join(&threads[i]);
    assert_true(fs_sim_calls(s->sim, FS_SIM_SYNC) > 0);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_cut_keeps_what_was_synced_and_only_that, setup, teardown),
        cmocka_unit_test(sectors_are_torn_apart_one_by_one),
        cmocka_unit_test(a_grown_file_may_end_in_zeros),
        cmocka_unit_test(names_survive_as_a_prefix),
        cmocka_unit_test(an_unsynced_removal_may_come_back),
        cmocka_unit_test(a_rename_between_folders_never_loses_the_file),
        cmocka_unit_test_setup_teardown(a_file_in_a_lost_folder_is_lost, setup, teardown),
        cmocka_unit_test_setup_teardown(bytes_of_a_failed_sync_are_readable_and_gone_after_the_cut,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(faults_come_when_planned, setup, teardown),
        cmocka_unit_test_setup_teardown(the_stop_lets_so_many_effects_through, setup, teardown),
        cmocka_unit_test_setup_teardown(a_cut_takes_handles_and_locks, setup, teardown),
        cmocka_unit_test_setup_teardown(a_full_disk_takes_what_fits_and_goes_on_after_a_removal,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(a_lying_sync_saves_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(threads_go_on_through_cuts, setup, teardown),
        cmocka_unit_test(a_file_written_whole_is_old_or_new_after_any_crash),
    };

    if (argc > 1)
        first_seed = strtoull(argv[1], NULL, 10);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
