/* A container in a file: how much of it the kernel may have to keep. */
#include "segment/container_file.h"
#include "tests/support/fs_sim.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct counting {
    struct fs fs;
    struct fs *under;
    uint64_t unsynced, most, syncs;
};

static status count_open(struct fs *fs, const char *path, unsigned flags, struct fs_file **out,
                         struct err *err)
{
    struct fs *under = ((struct counting *)fs)->under;

    return under->open(under, path, flags, out, err);
}

static void count_close(struct fs *fs, struct fs_file *file)
{
    struct fs *under = ((struct counting *)fs)->under;

    under->close(under, file);
}

static status count_pwrite(struct fs *fs, struct fs_file *file, const void *data, size_t bytes,
                           uint64_t offset, struct err *err)
{
    struct counting *c = (struct counting *)fs;

    c->unsynced += bytes;
    if (c->unsynced > c->most)
        c->most = c->unsynced;
    return c->under->pwrite(c->under, file, data, bytes, offset, err);
}

static status count_sync(struct fs *fs, struct fs_file *file, struct err *err)
{
    struct counting *c = (struct counting *)fs;

    c->unsynced = 0;
    c->syncs++;
    return c->under->sync(c->under, file, err);
}

/* In a cgroup whose memory is all but used, pages that wait for the disk cannot be given back: the
 * kernel ends the process for them. */
static void few_pages_wait_for_the_disk(void **state)
{
    enum { WRITE_BYTES = 100000, WRITES = 300 };
    struct fs_sim *sim = fs_sim_create();
    struct counting c = {.fs = {.open = count_open,
                                .close = count_close,
                                .pwrite = count_pwrite,
                                .sync = count_sync},
                         .under = fs_sim_fs(sim)};
    uint8_t *bytes = calloc(1, WRITE_BYTES);
    struct container_file_sink sink;
    struct err err;

    (void)state;
    assert_int_equal(container_file_create(&c.fs, "/file", &sink, &err), ST_OK);
    for (int i = 0; i < WRITES; i++)
        assert_int_equal(sink.sink.write(&sink.sink, slice_make(bytes, (size_t)WRITE_BYTES), &err),
                         ST_OK);
    assert_in_range(c.most, 1, CONTAINER_FILE_UNSYNCED_MAX + WRITE_BYTES);
    assert_in_range(c.syncs, 1, 2 * (uint64_t)WRITES * WRITE_BYTES / CONTAINER_FILE_UNSYNCED_MAX);
    fs_sim_fail_nth(sim, FS_SIM_SYNC, 1, EIO);
    for (int i = 0; i < WRITES; i++)
        if (sink.sink.write(&sink.sink, slice_make(bytes, (size_t)WRITE_BYTES), &err) != ST_OK)
            break;
    assert_int_equal(err.code, ST_IO); /* what did not reach the disk is told at once */
    container_file_sink_close(&sink);
    free(bytes);
    fs_sim_destroy(sim);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(few_pages_wait_for_the_disk),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
