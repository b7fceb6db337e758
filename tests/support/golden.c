#include "tests/support/golden.h"

#include "base/mem.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

enum { GOLDEN_BYTES_MAX = 1024 * 1024, BYTES_PER_LINE = 32 };

static FILE *golden_open(const char *name, const char *mode)
{
    char path[1024];
    FILE *f;

    (void)snprintf(path, sizeof path, "%s/%s", TV_GOLDEN_DIR, name);
    f = fopen(path, mode);
    if (f == NULL)
        fail_msg("cannot open golden file %s", path);
    return f;
}

static void golden_write(const char *name, struct slice bytes)
{
    FILE *f = golden_open(name, "w");

    for (size_t i = 0; i < bytes.bytes; i++)
        fprintf(f, "%02x%s", bytes.data[i],
                (i + 1) % BYTES_PER_LINE == 0 || i + 1 == bytes.bytes ? "\n" : "");
    assert_int_equal(fclose(f), 0);
}

struct slice golden_read(const char *name)
{
    FILE *f = golden_open(name, "r");
    uint8_t *data = mem_alloc(GOLDEN_BYTES_MAX);
    size_t bytes = 0;
    unsigned byte;

    assert_non_null(data);
    while (bytes < GOLDEN_BYTES_MAX && fscanf(f, "%2x", &byte) == 1)
        data[bytes++] = (uint8_t)byte;
    assert_true(feof(f));
    (void)fclose(f);
    return slice_make(data, bytes);
}

void golden_check(const char *name, struct slice bytes)
{
    struct slice want;

    if (getenv("TV_GOLDEN_WRITE") != NULL) {
        golden_write(name, bytes);
        return;
    }
    want = golden_read(name);
    for (size_t i = 0; i < want.bytes && i < bytes.bytes; i++)
        if (want.data[i] != bytes.data[i])
            fail_msg("%s: byte %zu is %02x, the golden file has %02x", name, i, bytes.data[i],
                     want.data[i]);
    if (want.bytes != bytes.bytes)
        fail_msg("%s: %zu bytes, the golden file has %zu", name, bytes.bytes, want.bytes);
    mem_free((void *)(uintptr_t)want.data);
}
