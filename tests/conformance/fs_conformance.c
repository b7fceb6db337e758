/* One suite over every file system behind base/fs.h: the operating system's in a fresh folder, and
 * the simulated one. What holds here may be relied upon by everything above. */
#include "base/fs.h"
#include "tests/support/fs_sim.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

struct subject {
    struct fs *fs;
    struct fs_sim *sim; /* NULL: the real one */
    char root[64];
    char path[FS_PATH_BYTES];
};

static const char *at(struct subject *s, const char *name)
{
    assert_int_equal(fs_join(s->path, s->root, name, NULL), ST_OK);
    return s->path;
}

static int setup_real(void **state)
{
    struct subject *s = calloc(1, sizeof *s);

    if (s == NULL)
        return -1;
    s->fs = fs_real();
    (void)snprintf(s->root, sizeof s->root, "/tmp/fs_conformance.XXXXXX");
    *state = s;
    return mkdtemp(s->root) == NULL ? -1 : 0;
}

static int setup_sim(void **state)
{
    struct subject *s = calloc(1, sizeof *s);

    if (s == NULL)
        return -1;
    s->sim = fs_sim_create();
    s->fs = fs_sim_fs(s->sim);
    (void)snprintf(s->root, sizeof s->root, "/conformance");
    *state = s;
    return fs_mkdir_all(s->fs, s->root, NULL) == ST_OK ? 0 : -1;
}

static int teardown(void **state)
{
    struct subject *s = *state;
    status st = fs_remove_all(s->fs, s->root, NULL);

    fs_sim_destroy(s->sim);
    free(s);
    return st == ST_OK ? 0 : -1;
}

static struct fs_file *open_new(struct subject *s, const char *name)
{
    struct fs_file *file = NULL;

    assert_int_equal(
        fs_open(s->fs, at(s, name), FS_READ | FS_WRITE | FS_CREATE | FS_EXCLUSIVE, &file, NULL),
        ST_OK);
    return file;
}

static void expect_content(struct subject *s, const char *name, struct slice want)
{
    struct buf got;

    buf_init(&got, 1 << 20);
    assert_int_equal(fs_read_file(s->fs, at(s, name), 1 << 20, &got, NULL), ST_OK);
    assert_true(slice_equal(buf_slice(&got), want));
    buf_free(&got);
}

static void opening_keeps_to_its_flags(void **state)
{
    struct subject *s = *state;
    struct fs_file *file = NULL;
    struct err err;

    assert_int_equal(fs_open(s->fs, at(s, "f"), FS_READ, &file, &err), ST_NOT_FOUND);
    assert_non_null(strstr(err.text, "/f"));
    assert_int_equal(fs_open(s->fs, at(s, "f"), FS_READ | FS_WRITE, &file, &err), ST_NOT_FOUND);
    assert_null(file);
    file = open_new(s, "f");
    assert_int_equal(fs_pwrite(s->fs, file, "abc", 3, 0, &err), ST_OK);
    fs_close(s->fs, file);
    file = NULL;
    assert_int_equal(fs_open(s->fs, at(s, "f"), FS_WRITE | FS_CREATE | FS_EXCLUSIVE, &file, &err),
                     ST_EXISTS);
    assert_null(file);
    assert_int_equal(fs_open(s->fs, at(s, "f"), FS_WRITE | FS_CREATE, &file, &err), ST_OK);
    fs_close(s->fs, file);
    expect_content(s, "f", slice_text("abc"));
    assert_int_equal(fs_open(s->fs, at(s, "f"), FS_WRITE | FS_TRUNCATE, &file, &err), ST_OK);
    fs_close(s->fs, file);
    expect_content(s, "f", slice_text(""));
    assert_int_not_equal(fs_open(s->fs, at(s, "no/f"), FS_WRITE | FS_CREATE, &file, &err), ST_OK);
}

static void reads_end_at_the_end_of_the_file(void **state)
{
    struct subject *s = *state;
    struct fs_file *file = open_new(s, "f");
    char got[16] = {0};
    size_t done = 99;
    struct err err;

    assert_int_equal(fs_pwrite(s->fs, file, "0123456789", 10, 0, &err), ST_OK);
    assert_int_equal(fs_pread(s->fs, file, got, 4, 3, &done, &err), ST_OK);
    assert_int_equal(done, 4);
    assert_memory_equal(got, "3456", 4);
    assert_int_equal(fs_pread(s->fs, file, got, 16, 8, &done, &err), ST_OK);
    assert_int_equal(done, 2);
    assert_int_equal(fs_pread(s->fs, file, got, 1, 1000, &done, &err), ST_OK);
    assert_int_equal(done, 0);
    assert_int_equal(fs_pread_full(s->fs, file, got, 10, 0, &err), ST_OK);
    assert_int_equal(fs_pread_full(s->fs, file, got, 10, 1, &err), ST_CORRUPT);
    assert_non_null(strstr(err.text, "file shorter than expected"));
    fs_close(s->fs, file);
}

static void a_gap_reads_as_zeros(void **state)
{
    struct subject *s = *state;
    struct fs_file *file = open_new(s, "f");
    uint8_t got[5003];
    uint64_t bytes = 0;
    struct err err;

    assert_int_equal(fs_pwrite(s->fs, file, "end", 3, 5000, &err), ST_OK);
    assert_int_equal(fs_size(s->fs, file, &bytes, &err), ST_OK);
    assert_int_equal(bytes, 5003);
    assert_int_equal(fs_pread_full(s->fs, file, got, sizeof got, 0, &err), ST_OK);
    for (size_t i = 0; i < 5000; i++)
        assert_int_equal(got[i], 0);
    assert_memory_equal(got + 5000, "end", 3);
    fs_close(s->fs, file);
}

static void what_was_cut_off_comes_back_as_zeros(void **state)
{
    struct subject *s = *state;
    struct fs_file *file = open_new(s, "f");
    uint8_t text[2000];
    uint8_t got[2000];
    uint64_t bytes = 0;
    struct err err;

    memset(text, 'x', sizeof text);
    assert_int_equal(fs_pwrite(s->fs, file, text, sizeof text, 0, &err), ST_OK);
    assert_int_equal(fs_sync(s->fs, file, &err), ST_OK);
    assert_int_equal(fs_truncate(s->fs, file, 700, &err), ST_OK);
    assert_int_equal(fs_size(s->fs, file, &bytes, &err), ST_OK);
    assert_int_equal(bytes, 700);
    assert_int_equal(fs_truncate(s->fs, file, 2000, &err), ST_OK);
    assert_int_equal(fs_pread_full(s->fs, file, got, sizeof got, 0, &err), ST_OK);
    assert_memory_equal(got, text, 700);
    for (size_t i = 700; i < sizeof got; i++)
        assert_int_equal(got[i], 0);
    fs_close(s->fs, file);
}

static void room_is_made_without_touching_what_is_there(void **state)
{
    struct subject *s = *state;
    struct fs_file *file = open_new(s, "f");
    uint8_t got[8192];
    uint64_t bytes = 0;
    struct err err;

    assert_int_equal(fs_pwrite(s->fs, file, "abc", 3, 0, &err), ST_OK);
    assert_int_equal(fs_allocate(s->fs, file, sizeof got, &err), ST_OK);
    assert_int_equal(fs_size(s->fs, file, &bytes, &err), ST_OK);
    assert_int_equal(bytes, sizeof got);
    assert_int_equal(fs_pread_full(s->fs, file, got, sizeof got, 0, &err), ST_OK);
    assert_memory_equal(got, "abc", 3);
    for (size_t i = 3; i < sizeof got; i++)
        assert_int_equal(got[i], 0);
    assert_int_equal(fs_allocate(s->fs, file, 100, &err), ST_OK);
    assert_int_equal(fs_size(s->fs, file, &bytes, &err), ST_OK);
    assert_int_equal(bytes, sizeof got); /* never smaller */
    assert_int_equal(fs_sync(s->fs, file, &err), ST_OK);
    fs_close(s->fs, file);
}

static void a_rename_replaces_and_open_handles_follow_the_file(void **state)
{
    struct subject *s = *state;
    struct fs_file *old = open_new(s, "target");
    struct fs_file *file = open_new(s, "source");
    char from[FS_PATH_BYTES];
    char got[3];
    struct fs_stat found;
    struct err err;

    assert_int_equal(fs_pwrite(s->fs, old, "old", 3, 0, &err), ST_OK);
    assert_int_equal(fs_pwrite(s->fs, file, "new", 3, 0, &err), ST_OK);
    assert_int_equal(fs_join(from, s->root, "source", &err), ST_OK);
    assert_int_equal(fs_rename(s->fs, from, at(s, "target"), &err), ST_OK);
    assert_int_equal(fs_sync_dir(s->fs, s->root, &err), ST_OK);
    assert_int_equal(fs_stat(s->fs, from, &found, &err), ST_NOT_FOUND);
    expect_content(s, "target", slice_text("new"));
    assert_int_equal(fs_pread_full(s->fs, old, got, 3, 0, &err), ST_OK);
    assert_memory_equal(got, "old", 3);
    assert_int_equal(fs_pwrite(s->fs, file, "NEW", 3, 0, &err), ST_OK);
    expect_content(s, "target", slice_text("NEW"));
    assert_int_equal(fs_rename(s->fs, from, at(s, "x"), &err), ST_NOT_FOUND);
    fs_close(s->fs, old);
    fs_close(s->fs, file);
}

static void a_removed_file_lives_as_long_as_its_handle(void **state)
{
    struct subject *s = *state;
    struct fs_file *file = open_new(s, "f");
    char got[3];
    struct fs_stat found;
    struct err err;

    assert_int_equal(fs_pwrite(s->fs, file, "abc", 3, 0, &err), ST_OK);
    assert_int_equal(fs_unlink(s->fs, at(s, "f"), &err), ST_OK);
    assert_int_equal(fs_stat(s->fs, at(s, "f"), &found, &err), ST_NOT_FOUND);
    assert_int_equal(fs_unlink(s->fs, at(s, "f"), &err), ST_NOT_FOUND);
    assert_int_equal(fs_pread_full(s->fs, file, got, 3, 0, &err), ST_OK);
    fs_close(s->fs, file);
}

static void folders_are_made_listed_and_removed(void **state)
{
    struct subject *s = *state;
    struct fs_stat found;
    struct err err;

    assert_int_equal(fs_mkdir(s->fs, at(s, "d"), &err), ST_OK);
    assert_int_equal(fs_mkdir(s->fs, at(s, "d"), &err), ST_OK);
    assert_int_equal(fs_write_file(s->fs, at(s, "d/f"), slice_text("x"), &err), ST_OK);
    assert_int_equal(fs_mkdir(s->fs, at(s, "d/f"), &err), ST_EXISTS);
    assert_int_equal(fs_mkdir(s->fs, at(s, "no/d"), &err), ST_NOT_FOUND);
    assert_int_equal(fs_stat(s->fs, at(s, "d"), &found, &err), ST_OK);
    assert_true(found.is_dir);
    assert_int_equal(fs_stat(s->fs, at(s, "d/f"), &found, &err), ST_OK);
    assert_false(found.is_dir);
    assert_int_equal(found.bytes, 1);
    assert_int_not_equal(fs_rmdir(s->fs, at(s, "d"), &err), ST_OK); /* not empty */
    assert_int_not_equal(fs_unlink(s->fs, at(s, "d"), &err), ST_OK);
    assert_int_not_equal(fs_rmdir(s->fs, at(s, "d/f"), &err), ST_OK);
    assert_int_equal(fs_unlink(s->fs, at(s, "d/f"), &err), ST_OK);
    assert_int_equal(fs_rmdir(s->fs, at(s, "d"), &err), ST_OK);
    assert_int_equal(fs_rmdir(s->fs, at(s, "d"), &err), ST_NOT_FOUND);
    assert_int_equal(fs_sync_dir(s->fs, at(s, "d"), &err), ST_NOT_FOUND);
}

struct seen {
    unsigned files, dirs, left;
};

static status count_entry(void *arg, const char *name, bool is_dir, struct err *err)
{
    struct seen *seen = arg;

    assert_true(name[0] == 'e');
    seen->files += !is_dir;
    seen->dirs += is_dir;
    if (--seen->left == 0)
        return err_set(err, ST_LIMIT, "enough");
    return ST_OK;
}

static void a_listing_gives_every_entry_and_stops_when_told(void **state)
{
    struct subject *s = *state;
    struct seen seen = {.left = 1000};
    char name[16];
    struct err err;

    for (int i = 0; i < 150; i++) {
        (void)snprintf(name, sizeof name, "l/e%d", i);
        if (i == 0)
            assert_int_equal(fs_mkdir(s->fs, at(s, "l"), &err), ST_OK);
        if (i % 3 == 0)
            assert_int_equal(fs_mkdir(s->fs, at(s, name), &err), ST_OK);
        else
            assert_int_equal(fs_write_file(s->fs, at(s, name), slice_text(""), &err), ST_OK);
    }
    assert_int_equal(fs_list(s->fs, at(s, "l"), count_entry, &seen, &err), ST_OK);
    assert_int_equal(seen.files, 100);
    assert_int_equal(seen.dirs, 50);
    seen = (struct seen){.left = 7};
    assert_int_equal(fs_list(s->fs, at(s, "l"), count_entry, &seen, &err), ST_LIMIT);
    assert_string_equal(err.text, "enough");
    assert_int_equal(seen.files + seen.dirs, 7);
    assert_int_equal(fs_list(s->fs, at(s, "none"), count_entry, &seen, &err), ST_NOT_FOUND);
    assert_int_equal(fs_remove_all(s->fs, at(s, "l"), &err), ST_OK);
}

static void a_second_lock_is_refused_until_the_first_is_closed(void **state)
{
    struct subject *s = *state;
    struct fs_file *first = open_new(s, "lock");
    struct fs_file *second = NULL;
    struct err err;

    assert_int_equal(fs_open(s->fs, at(s, "lock"), FS_READ | FS_WRITE, &second, &err), ST_OK);
    assert_int_equal(fs_lock(s->fs, first, &err), ST_OK);
    assert_int_equal(fs_lock(s->fs, first, &err), ST_OK);
    assert_int_equal(fs_lock(s->fs, second, &err), ST_CONFLICT);
    assert_non_null(strstr(err.text, "locked by another"));
    fs_close(s->fs, first);
    assert_int_equal(fs_lock(s->fs, second, &err), ST_OK);
    fs_close(s->fs, second);
}

static void space_is_told(void **state)
{
    struct subject *s = *state;
    struct fs_space space;
    struct err err;

    assert_int_equal(fs_space(s->fs, s->root, &space, &err), ST_OK);
    assert_true(space.bytes_total > 0);
    assert_true(space.bytes_free <= space.bytes_total);
    assert_int_equal(fs_space(s->fs, at(s, "none"), &space, &err), ST_NOT_FOUND);
}

#define BOTH(test)                                                                                 \
    {#test " (real)", test, setup_real, teardown, NULL},                                           \
    {                                                                                              \
#test " (sim)", test, setup_sim, teardown, NULL                                            \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(opening_keeps_to_its_flags),
        BOTH(reads_end_at_the_end_of_the_file),
        BOTH(a_gap_reads_as_zeros),
        BOTH(what_was_cut_off_comes_back_as_zeros),
        BOTH(room_is_made_without_touching_what_is_there),
        BOTH(a_rename_replaces_and_open_handles_follow_the_file),
        BOTH(a_removed_file_lives_as_long_as_its_handle),
        BOTH(folders_are_made_listed_and_removed),
        BOTH(a_listing_gives_every_entry_and_stops_when_told),
        BOTH(a_second_lock_is_refused_until_the_first_is_closed),
        BOTH(space_is_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
