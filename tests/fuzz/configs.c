#include "tests/fuzz/configs.h"

#include "config/config.h"
#include "tests/fuzz/fuzz.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

enum { ROOM = 1 << 22 };

/* A file without a folder; its path begins with /proc. */
static int file_of(struct slice bytes, char path[64])
{
    int fd = memfd_create("config", MFD_CLOEXEC);

    FUZZ_CHECK(fd >= 0);
    FUZZ_CHECK(write(fd, bytes.data, bytes.bytes) == (ssize_t)bytes.bytes);
    (void)snprintf(path, 64, "/proc/self/fd/%d", fd);
    return fd;
}

static status load(struct slice file, char *const *env, char *const *args, int argc,
                   struct config *out, struct err *err)
{
    char path[64];
    char name[] = "--config";
    char *all[16] = {name, path};
    int fd = file_of(file, path);
    status st;

    FUZZ_CHECK(argc + 2 < (int)COUNT_OF(all));
    for (int i = 0; i < argc; i++)
        all[2 + i] = args[i];
    *out = (struct config){0};
    st = config_load(2 + argc, all, env, out, err);
    (void)close(fd);
    return st;
}

static struct buf print(const struct config *c)
{
    struct buf text;
    struct err err = {0};

    buf_init(&text, ROOM);
    FUZZ_CHECK(fuzz_said(config_print(c, true, &text, &err), &err) == ST_OK);
    buf_reset(&text);
    FUZZ_CHECK(config_print(c, false, &text, &err) == ST_OK);
    return text;
}

void configs_try(struct slice file, char *const *env, char *const *args, int argc)
{
    char *const none[] = {NULL};
    struct config c, again;
    struct err err = {0};
    struct buf once, twice;

    if (fuzz_said(load(file, env, args, argc, &c, &err), &err) != ST_OK) {
        FUZZ_CHECK(c.entries == NULL);
        return;
    }
    for (size_t i = 0; i < c.warning_count; i++)
        fuzz_printable(c.warnings[i]);
    once = print(&c);
    config_free(&c);
    if (fuzz_said(load(buf_slice(&once), none, NULL, 0, &again, &err), &err) != ST_OK) {
        (void)fwrite(once.data, 1, once.bytes, stderr);
        fuzz_stop(__FILE__, __LINE__, "printed, and not accepted");
    }
    twice = print(&again);
    config_free(&again);
    FUZZ_CHECK(slice_equal(buf_slice(&once), buf_slice(&twice)));
    buf_free(&once);
    buf_free(&twice);
}
