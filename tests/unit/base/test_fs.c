/* What is built on the table, on the real file system: whole files, trees, paths. The table itself
 * is tested by tests/conformance/fs_conformance.c over every file system. */
#include "base/fs.h"
#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

static char root[] = "/tmp/test_fs.XXXXXX";

static const char *under_root(const char *name)
{
    static char path[4][FS_PATH_BYTES];
    static unsigned next;
    char *out = path[next++ % 4];

    assert_int_equal(fs_join(out, root, name, NULL), ST_OK);
    return out;
}

static int make_root(void **state)
{
    (void)state;
    return mkdtemp(root) == NULL ? -1 : 0;
}

static int remove_root(void **state)
{
    (void)state;
    return fs_remove_all(fs_real(), root, NULL) == ST_OK ? 0 : -1;
}

static void a_join_over_the_limit_is_refused(void **state)
{
    char out[FS_PATH_BYTES];
    char name[FS_PATH_BYTES];
    struct err err;

    (void)state;
    memset(name, 'n', sizeof name);
    name[FS_PATH_BYTES - 3] = '\0'; /* "a/" and the name: exactly what fits */
    assert_int_equal(fs_join(out, "a", name, &err), ST_OK);
    assert_int_equal(strlen(out), FS_PATH_BYTES - 1);
    name[FS_PATH_BYTES - 3] = 'n';
    name[FS_PATH_BYTES - 2] = '\0';
    assert_int_equal(fs_join(out, "a", name, &err), ST_INVALID);
    assert_int_equal(fs_join(out, "a/", "b", &err), ST_OK);
    assert_string_equal(out, "a/b");
    assert_int_equal(fs_join(out, "", "b", &err), ST_OK);
    assert_string_equal(out, "b");
}

static void mkdir_all_makes_each_folder_and_is_content_when_they_are_there(void **state)
{
    struct fs *fs = fs_real();
    struct fs_stat found;
    struct err err;

    (void)state;
    assert_int_equal(fs_mkdir_all(fs, under_root("a/b//c/"), &err), ST_OK);
    assert_int_equal(fs_mkdir_all(fs, under_root("a/b/c"), &err), ST_OK);
    assert_int_equal(fs_stat(fs, under_root("a/b/c"), &found, &err), ST_OK);
    assert_true(found.is_dir);
    assert_int_equal(fs_write_file(fs, under_root("a/file"), slice_text("x"), &err), ST_OK);
    assert_int_equal(fs_mkdir_all(fs, under_root("a/file/d"), &err), ST_EXISTS);
    assert_non_null(strstr(err.text, "a folder is needed"));
    assert_int_equal(fs_mkdir_all(fs, "", &err), ST_INVALID);
}

static void a_file_is_written_whole_and_read_within_its_bound(void **state)
{
    struct fs *fs = fs_real();
    struct fs_stat found;
    struct buf b;
    struct err err;

    (void)state;
    assert_int_equal(fs_write_file(fs, under_root("w"), slice_text("first text"), &err), ST_OK);
    assert_int_equal(fs_write_file(fs, under_root("w"), slice_text("second"), &err), ST_OK);
    assert_int_equal(fs_stat(fs, under_root("w.tmp"), &found, NULL), ST_NOT_FOUND);
    buf_init(&b, 6);
    assert_int_equal(fs_read_file(fs, under_root("w"), 6, &b, &err), ST_OK);
    assert_true(slice_equal(buf_slice(&b), slice_text("second")));
    buf_reset(&b);
    assert_int_equal(fs_read_file(fs, under_root("w"), 5, &b, &err), ST_INVALID);
    assert_non_null(strstr(err.text, "6 bytes"));
    assert_int_equal(b.bytes, 0);
    assert_int_equal(fs_read_file(fs, under_root("absent"), 5, &b, &err), ST_NOT_FOUND);
    buf_free(&b);
}

static void a_write_into_a_missing_folder_leaves_nothing(void **state)
{
    struct err err;

    (void)state;
    assert_int_equal(fs_write_file(fs_real(), under_root("no/such"), slice_text("x"), &err),
                     ST_NOT_FOUND);
    assert_non_null(strstr(err.text, "no/such"));
}

static void removing_a_tree_does_not_follow_links_out_of_it(void **state)
{
    struct fs *fs = fs_real();
    struct fs_stat found;
    struct err err;

    (void)state;
    assert_int_equal(fs_mkdir_all(fs, under_root("keep"), &err), ST_OK);
    assert_int_equal(fs_write_file(fs, under_root("keep/me"), slice_text("x"), &err), ST_OK);
    assert_int_equal(fs_mkdir_all(fs, under_root("tree/sub/deep"), &err), ST_OK);
    assert_int_equal(fs_write_file(fs, under_root("tree/sub/f"), slice_text("x"), &err), ST_OK);
    assert_int_equal(symlink(under_root("keep"), under_root("tree/link")), 0);
    assert_int_equal(fs_remove_all(fs, under_root("tree"), &err), ST_OK);
    assert_int_equal(fs_stat(fs, under_root("tree"), &found, NULL), ST_NOT_FOUND);
    assert_int_equal(fs_stat(fs, under_root("keep/me"), &found, &err), ST_OK);
    assert_int_equal(fs_remove_all(fs, under_root("tree"), &err), ST_OK);
}

static void a_handle_without_memory_is_refused(void **state)
{
    struct fs_file *file = NULL;
    struct err err;

    (void)state;
    mem_test_fail_after(0);
    assert_int_equal(
        fs_open(fs_real(), under_root("m"), FS_READ | FS_WRITE | FS_CREATE, &file, &err), ST_NOMEM);
    mem_test_fail_after(-1);
    assert_null(file);
    fs_close(fs_real(), NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_join_over_the_limit_is_refused),
        cmocka_unit_test(mkdir_all_makes_each_folder_and_is_content_when_they_are_there),
        cmocka_unit_test(a_file_is_written_whole_and_read_within_its_bound),
        cmocka_unit_test(a_write_into_a_missing_folder_leaves_nothing),
        cmocka_unit_test(removing_a_tree_does_not_follow_links_out_of_it),
        cmocka_unit_test(a_handle_without_memory_is_refused),
    };

    return cmocka_run_group_tests(tests, make_root, remove_root);
}
