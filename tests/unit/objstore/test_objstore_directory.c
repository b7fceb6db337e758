/* What the suite over every store does not ask of a directory: what is no bucket, disks that fill,
 * vanish or rot, restarts, and other processes. */
#include "objstore/directory.h"

#include "base/mem.h"
#include "tests/support/alloc_sweep.h"
#include "tests/support/fs_sim.h"
#include "tests/support/golden.h"
#include "tests/unit/objstore/store_script.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define ROOT   "/disk/bucket"
#define OBJECT ROOT "/objects/c/00/x@"

static struct fs_sim *sim;
static struct fs *fs;
static struct clock_manual hands;

static int setup(void **state)
{
    (void)state;
    sim = fs_sim_create();
    fs = fs_sim_fs(sim);
    clock_manual_init(&hands, 1, 1700000000000000000u);
    return fs_mkdir_all(fs, "/disk", NULL) == ST_OK ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    fs_sim_destroy(sim);
    return 0;
}

static struct objstore *open_it(void)
{
    struct objstore *s = NULL;
    struct err err = {0};

    if (objstore_directory_open(ROOT, fs, &hands.clock, rand_kernel(), &s, &err) != ST_OK)
        fail_msg("%s", err.text);
    return s;
}

static enum objstore_class run(struct objstore *s, struct objstore_req *req)
{
    struct err err;
    status st = objstore_wait(s, req, &err);

    assert_int_equal(st, objstore_class_status(req->result.class));
    return req->result.class;
}

static enum objstore_class run_free(struct objstore *s, struct objstore_req req)
{
    enum objstore_class c = run(s, &req);

    objstore_result_fini(&req.result);
    return c;
}

static struct objstore_req put_of(const char *key, const char *text)
{
    return (struct objstore_req){.op = OBJSTORE_PUT, .key = key, .body = slice_text(text)};
}

static struct objstore_req get_of(const char *key)
{
    return (struct objstore_req){.op = OBJSTORE_GET, .key = key};
}

static void refused(const char *root, const char *says)
{
    struct objstore *s = NULL;
    struct err err = {0};

    assert_int_equal(objstore_directory_open(root, fs, &hands.clock, rand_kernel(), &s, &err),
                     ST_INVALID);
    assert_null(s);
    if (strstr(err.text, says) == NULL)
        fail_msg("%s", err.text);
}

static void what_is_no_bucket_is_left_alone(void **state)
{
    char long_root[DIRECTORY_ROOT_BYTES_MAX + 2];
    struct fs_stat found;

    (void)state;
    assert_int_equal(fs_write_file(fs, "/disk/thesis.txt", slice_text("x"), NULL), ST_OK);
    refused("/disk", "thesis.txt lies there");
    assert_int_equal(fs_stat(fs, "/disk/locks", &found, NULL), ST_NOT_FOUND);
    memset(long_root, 'd', sizeof long_root);
    long_root[0] = '/';
    long_root[sizeof long_root - 1] = '\0';
    refused(long_root, "at most 96 bytes");
    objstore_close(open_it());
    assert_int_equal(
        fs_write_file(fs, ROOT "/format", slice_text("tiervec directory store 2\n"), NULL), ST_OK);
    refused(ROOT, "another version");
}

static void objects_and_etags_outlive_the_handle(void **state)
{
    struct objstore *s = open_it();
    struct objstore_req put = put_of("c/00/x", "text");
    struct objstore_req get = get_of("c/00/x");
    struct objstore_req list = {.op = OBJSTORE_LIST, .key = "c/"};

    (void)state;
    assert_int_equal(run(s, &put), OBJSTORE_OK);
    clock_manual_advance(&hands, 1000);
    objstore_close(s);
    s = open_it();
    assert_int_equal(run(s, &get), OBJSTORE_OK);
    assert_string_equal(get.result.etag, put.result.etag);
    assert_int_equal(run(s, &list), OBJSTORE_OK);
    assert_int_equal(list.result.entry_count, 1);
    assert_int_equal(list.result.entries[0].bytes, 4);
    assert_int_equal(list.result.entries[0].modified_ns, 1700000000000000000u);
    objstore_result_fini(&put.result);
    objstore_result_fini(&get.result);
    objstore_result_fini(&list.result);
    objstore_close(s);
}

static void an_object_is_the_bytes_of_version_1(void **state)
{
    struct objstore *s = open_it();
    struct buf file;
    struct slice golden;
    struct objstore_req get = get_of("c/00/y");

    (void)state;
    assert_int_equal(run_free(s, put_of("c/00/x", "golden")), OBJSTORE_OK);
    buf_init(&file, 4096);
    assert_int_equal(fs_read_file(fs, OBJECT, 4096, &file, NULL), ST_OK);
    golden_check("directory-object-v1.hex", buf_slice(&file));
    buf_free(&file);
    golden = golden_read("directory-object-v1.hex");
    assert_int_equal(fs_write_file(fs, ROOT "/objects/c/00/y@", golden, NULL), ST_OK);
    assert_int_equal(run(s, &get), OBJSTORE_OK);
    assert_true(slice_equal(buf_slice(&get.result.body), slice_text("golden")));
    objstore_result_fini(&get.result);
    mem_free((void *)(uintptr_t)golden.data);
    objstore_close(s);
}

static void expect_damage(struct objstore *s, struct slice bytes)
{
    struct objstore_req get = get_of("c/00/x");

    assert_int_equal(fs_write_file(fs, OBJECT, bytes, NULL), ST_OK);
    assert_int_equal(run(s, &get), OBJSTORE_INTEGRITY);
    assert_int_equal(get.result.body.bytes, 0);
    objstore_result_fini(&get.result);
}

static void a_file_cut_anywhere_or_with_a_bit_flipped_is_damage(void **state)
{
    struct objstore *s = open_it();
    struct objstore_req list = {.op = OBJSTORE_LIST, .key = ""};
    struct buf file;

    (void)state;
    assert_int_equal(run_free(s, put_of("c/00/x", "some text")), OBJSTORE_OK);
    buf_init(&file, 4096);
    assert_int_equal(fs_read_file(fs, OBJECT, 4096, &file, NULL), ST_OK);
    for (size_t cut = 0; cut < file.bytes; cut++)
        expect_damage(s, slice_make(file.data, cut));
    for (size_t bit = 0; bit < file.bytes * 8; bit++) {
        file.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        expect_damage(s, buf_slice(&file));
        file.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    /* It can be listed, replaced and deleted. */
    assert_int_equal(fs_write_file(fs, OBJECT, slice_text("rot"), NULL), ST_OK);
    assert_int_equal(run(s, &list), OBJSTORE_OK);
    assert_int_equal(list.result.entry_count, 1);
    objstore_result_fini(&list.result);
    assert_int_equal(run_free(s, put_of("c/00/x", "new")), OBJSTORE_OK);
    assert_int_equal(run_free(s, get_of("c/00/x")), OBJSTORE_OK);
    buf_free(&file);
    objstore_close(s);
}

static void foreign_files_are_passed_over(void **state)
{
    struct objstore *s = open_it();
    struct objstore_req list = {.op = OBJSTORE_LIST, .key = ""};

    (void)state;
    assert_int_equal(run_free(s, put_of("c/00/x", "text")), OBJSTORE_OK);
    assert_int_equal(fs_write_file(fs, ROOT "/objects/README", slice_text("?"), NULL), ST_OK);
    assert_int_equal(fs_write_file(fs, ROOT "/objects/a b@", slice_text("?"), NULL), ST_OK);
    assert_int_equal(fs_write_file(fs, ROOT "/objects/@", slice_text("?"), NULL), ST_OK);
    assert_int_equal(fs_mkdir(fs, ROOT "/objects/c/lost+found", NULL), ST_OK);
    assert_int_equal(run(s, &list), OBJSTORE_OK);
    assert_int_equal(list.result.entry_count, 1);
    assert_string_equal(list.result.entries[0].key, "c/00/x");
    objstore_result_fini(&list.result);
    objstore_close(s);
}

static void a_full_disk_is_capacity_and_nothing_was_done(void **state)
{
    static char text[20000];
    struct objstore *s = open_it();
    struct objstore_req put = {
        .op = OBJSTORE_PUT, .key = "c/00/x", .body = {(const uint8_t *)text, sizeof text}};

    (void)state;
    assert_int_equal(run_free(s, put_of("c/00/x", "small")), OBJSTORE_OK);
    fs_sim_space_limit(sim, fs_sim_space_used(sim) + 5000);
    assert_int_equal(run(s, &put), OBJSTORE_CAPACITY);
    assert_false(put.result.maybe_applied);
    assert_int_equal(put.result.http_status, 507);
    objstore_req_reset(&put);
    fs_sim_space_limit(sim, 0);
    assert_int_equal(run_free(s, get_of("c/00/x")), OBJSTORE_OK);
    assert_int_equal(run(s, &put), OBJSTORE_OK);
    objstore_result_fini(&put.result);
    objstore_close(s);
}

static void a_disk_that_is_gone_is_no_empty_bucket(void **state)
{
    struct objstore *s = open_it();
    struct objstore_req all[] = {
        put_of("c/00/x", "new"),
        put_of("new/00/x", "new"),
        get_of("c/00/x"),
        {.op = OBJSTORE_HEAD, .key = "c/00/x"},
        {.op = OBJSTORE_DELETE, .key = "c/00/x"},
        {.op = OBJSTORE_LIST, .key = ""},
        {.op = OBJSTORE_UPLOAD_BEGIN, .key = "c/00/x"},
        {.op = OBJSTORE_UPLOAD_ABORT,
         .key = "c/00/x",
         .upload_id = "00000000-0000-4000-8000-000000000000"},
    };

    (void)state;
    assert_int_equal(run_free(s, put_of("c/00/x", "text")), OBJSTORE_OK);
    assert_int_equal(fs_rename(fs, ROOT, "/disk/elsewhere", NULL), ST_OK);
    for (size_t i = 0; i < COUNT_OF(all); i++) {
        if (run(s, &all[i]) != OBJSTORE_PERMANENT)
            fail_msg("%s: %s", objstore_op_name(all[i].op), all[i].result.err.text);
        assert_string_equal(all[i].result.s3_code, "NoSuchBucket");
        assert_non_null(strstr(all[i].result.err.text, ROOT));
        objstore_result_fini(&all[i].result);
    }
    assert_int_equal(fs_rename(fs, "/disk/elsewhere", ROOT, NULL), ST_OK);
    assert_int_equal(run_free(s, get_of("c/00/x")), OBJSTORE_OK);
    objstore_close(s);
}

/* Whether anything lies in temporary/ beside the folder of a handle that is open. */
static status count_folders(void *arg, const char *name, bool is_dir, struct err *err)
{
    (void)name;
    (void)err;
    *(unsigned *)arg += is_dir;
    return ST_OK;
}

static unsigned temporary_folders(void)
{
    unsigned count = 0;

    assert_int_equal(fs_list(fs, ROOT "/temporary", count_folders, &count, NULL), ST_OK);
    return count;
}

static void remains_of_a_crash_are_cleared_and_those_of_the_living_are_not(void **state)
{
    struct objstore *alive = open_it();
    struct objstore *s;

    (void)state;
    assert_int_equal(fs_mkdir(fs, ROOT "/temporary/00000000-0000-4000-8000-00000000dead", NULL),
                     ST_OK);
    assert_int_equal(fs_write_file(fs, ROOT "/temporary/00000000-0000-4000-8000-00000000dead/7",
                                   slice_text("half"), NULL),
                     ST_OK);
    s = open_it();
    assert_int_equal(temporary_folders(), 2);
    assert_int_equal(run_free(alive, put_of("c/00/x", "text")), OBJSTORE_OK);
    objstore_close(alive);
    assert_int_equal(temporary_folders(), 1);
    objstore_close(s);
    assert_int_equal(temporary_folders(), 0);
}

static void ids_of_uploads_never_become_paths(void **state)
{
    static const char *const ids[] = {"../objects/c/00", "x", "..", "/etc",
                                      "00000000-0000-4000-8000-000000000000"};
    struct objstore *s = open_it();

    (void)state;
    for (size_t i = 0; i < COUNT_OF(ids); i++)
        assert_int_equal(run_free(s, (struct objstore_req){.op = OBJSTORE_UPLOAD_PART,
                                                           .key = "k",
                                                           .upload_id = ids[i],
                                                           .part_number = 1}),
                         OBJSTORE_NOT_FOUND);
    objstore_close(s);
}

static status sweep(void *arg)
{
    struct objstore *s = NULL;
    status st = objstore_directory_open(ROOT, fs, &hands.clock, rand_kernel(), &s, NULL);

    (void)arg;
    if (st == ST_OK)
        st = store_script(s);
    objstore_close(s);
    return st;
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    assert_true(alloc_sweep(sweep, NULL) >= 10);
}

enum { CHILDREN = 3, STEPS = 20 };

static bool step(struct objstore *s, int child)
{
    struct objstore_req get = get_of("counter");
    struct objstore_req put = {
        .op = OBJSTORE_PUT, .key = "counter", .condition = OBJSTORE_IF_MATCH};
    char text[64] = {0};
    bool ok = objstore_wait(s, &get, NULL) == ST_OK && get.result.body.bytes < sizeof text;

    if (ok) {
        memcpy(text, get.result.body.data, get.result.body.bytes);
        (void)snprintf(text, sizeof text, "%lu by %d", strtoul(text, NULL, 10) + 1, child);
        put.body = slice_text(text);
        put.etag = get.result.etag;
        ok = objstore_wait(s, &put, NULL) == ST_OK;
    }
    objstore_result_fini(&get.result);
    objstore_result_fini(&put.result);
    return ok;
}

static int count_in_child(const char *root, int child)
{
    struct objstore *s = NULL;

    if (objstore_directory_open(root, fs_real(), clock_real(), rand_kernel(), &s, NULL) != ST_OK)
        return 1;
    for (int i = 0; i < STEPS; i++)
        while (!step(s, child))
            ;
    objstore_close(s);
    return 0;
}

static void processes_that_count_together_lose_no_step(void **state)
{
    char root[] = "/tmp/objstore_directory.XXXXXX";
    struct objstore *s = NULL;
    struct objstore_req get = get_of("counter");
    pid_t children[CHILDREN];
    char text[64] = {0};

    (void)state;
    assert_non_null(mkdtemp(root));
    assert_int_equal(
        objstore_directory_open(root, fs_real(), clock_real(), rand_kernel(), &s, NULL), ST_OK);
    assert_int_equal(run_free(s, put_of("counter", "0")), OBJSTORE_OK);
    objstore_close(s);
    for (int i = 0; i < CHILDREN; i++) {
        children[i] = fork();
        assert_true(children[i] >= 0);
        if (children[i] == 0)
            _exit(count_in_child(root, i));
    }
    for (int i = 0; i < CHILDREN; i++) {
        int how = -1;

        assert_int_equal(waitpid(children[i], &how, 0), children[i]);
        assert_int_equal(how, 0);
    }
    assert_int_equal(
        objstore_directory_open(root, fs_real(), clock_real(), rand_kernel(), &s, NULL), ST_OK);
    assert_int_equal(run(s, &get), OBJSTORE_OK);
    memcpy(text, get.result.body.data, get.result.body.bytes);
    assert_int_equal(strtoul(text, NULL, 10), CHILDREN * STEPS);
    objstore_result_fini(&get.result);
    objstore_close(s);
    assert_int_equal(fs_remove_all(fs_real(), root, NULL), ST_OK);
}

#define ON_SIM(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_SIM(what_is_no_bucket_is_left_alone),
        ON_SIM(objects_and_etags_outlive_the_handle),
        ON_SIM(an_object_is_the_bytes_of_version_1),
        ON_SIM(a_file_cut_anywhere_or_with_a_bit_flipped_is_damage),
        ON_SIM(foreign_files_are_passed_over),
        ON_SIM(a_full_disk_is_capacity_and_nothing_was_done),
        ON_SIM(a_disk_that_is_gone_is_no_empty_bucket),
        ON_SIM(remains_of_a_crash_are_cleared_and_those_of_the_living_are_not),
        ON_SIM(ids_of_uploads_never_become_paths),
        ON_SIM(every_allocation_may_fail),
        cmocka_unit_test(processes_that_count_together_lose_no_step),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
