/* LMDB's pages. The input chooses one of four stores that LMDB wrote, then says which bytes of it
 * are others: u8 page, u16 offset, u8 how, u8 value. What the check lets through LMDB must survive:
 * it is opened, read to the end, changed, and passes the check once more. */
#include "base/fs.h"
#include "base/kv_internal.h"
#include "tests/fuzz/fuzz.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { SHAPES = 4, STORE_BYTES = 256 * 1024, PAGE = 4096, IMAGE_MAX = 64 * PAGE, EDITS_MAX = 64 };

static struct {
    uint8_t bytes[IMAGE_MAX];
    size_t used;      /* of the pages in use, at most IMAGE_MAX */
    uint64_t in_file; /* the whole file's */
} shapes[SHAPES];
static char dir[64];
static char path[96];

static void put(struct kv *kv, unsigned n, size_t value_bytes, bool remove)
{
    static uint8_t value[3 * PAGE];
    char key[16];
    struct kv_write w = {.value = slice_make(value, value_bytes), .remove = remove};

    (void)snprintf(key, sizeof key, "key/%05u", n);
    w.key = slice_text(key);
    FUZZ_CHECK(kv_apply(kv, &w, 1, NULL) == ST_OK);
}

/* Few entries; a tree of two levels; values in pages of their own; free pages of all three. */
static void fill(struct kv *kv, unsigned shape)
{
    for (unsigned n = 0; n < (shape == 0 ? 3u : shape == 2 ? 0u : 60u); n++)
        put(kv, n, 150, false);
    for (unsigned n = 0; n < 5 && shape >= 2; n++)
        put(kv, 100 + n, 2 * PAGE + n, false);
    for (unsigned n = 0; n < 40 && shape == 3; n++)
        put(kv, n, 0, true);
    if (shape == 3)
        put(kv, 102, 0, true);
}

static void end(void)
{
    (void)fs_remove_all(fs_real(), dir, NULL);
}

static void begin(void)
{
    if (dir[0] != '\0')
        return;
    (void)atexit(end);
    (void)snprintf(dir, sizeof dir, "/dev/shm/fuzz-kv-%d", (int)getpid());
    (void)snprintf(path, sizeof path, "%s/data.mdb", dir);
    for (unsigned i = 0; i < SHAPES; i++) {
        struct kv *kv;
        FILE *file;

        (void)fs_remove_all(fs_real(), dir, NULL);
        FUZZ_CHECK(kv_open(dir, STORE_BYTES, &kv, NULL) == ST_OK);
        fill(kv, i);
        kv_close(kv);
        file = fopen(path, "re");
        FUZZ_CHECK(file != NULL);
        shapes[i].used = fread(shapes[i].bytes, 1, IMAGE_MAX, file);
        FUZZ_CHECK(fseek(file, 0, SEEK_END) == 0);
        shapes[i].in_file = (uint64_t)ftell(file);
        (void)fclose(file);
        shapes[i].used =
            kv_check_bytes(slice_make(shapes[i].bytes, shapes[i].used), shapes[i].in_file);
        FUZZ_CHECK(shapes[i].used <= IMAGE_MAX);
        FUZZ_CHECK(kv_check(slice_make(shapes[i].bytes, shapes[i].used), NULL, NULL, NULL) ==
                   ST_OK);
    }
}

static void edit(uint8_t *image, size_t bytes, struct rd *r)
{
    for (unsigned i = 0; i < EDITS_MAX && rd_left(r) >= 5; i++) {
        size_t at = (size_t)rd_u8(r) * PAGE;
        uint8_t how, value;

        at = (at + rd_u16(r) % PAGE) % bytes;
        how = rd_u8(r);
        value = rd_u8(r);
        if (how % 3 == 0)
            image[at] ^= (uint8_t)(1u << value % 8);
        else if (how % 3 == 1)
            image[at] = value;
        else
            image[at] = (uint8_t)(image[at] + value);
    }
}

static status count_one(void *arg, struct slice key, struct slice value, struct err *err)
{
    size_t *damaged = arg;

    (void)err;
    FUZZ_CHECK(key.bytes > 0);
    *damaged += value.data == NULL;
    return ST_OK;
}

static void use(const uint8_t *image, size_t bytes, uint64_t in_file)
{
    struct kv *kv;
    struct err err = {0};
    size_t damaged = 0;
    FILE *file = fopen(path, "we");

    FUZZ_CHECK(file != NULL && fwrite(image, 1, bytes, file) == bytes && fclose(file) == 0);
    FUZZ_CHECK(truncate(path, (off_t)in_file) == 0);
    if (fuzz_said(kv_open(dir, STORE_BYTES, &kv, &err), &err) != ST_OK)
        return;
    FUZZ_CHECK(kv_each_or_damaged(kv, slice_make("", 0), count_one, &damaged, &err) == ST_OK);
    FUZZ_CHECK(damaged == kv_damaged(kv));
    put(kv, 7, 300, false);
    put(kv, 103, 2 * PAGE, false);
    put(kv, 2, 0, true);
    kv_close(kv);
    FUZZ_CHECK(fuzz_said(kv_open(dir, STORE_BYTES, &kv, &err), &err) == ST_OK);
    kv_close(kv);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static uint8_t image[IMAGE_MAX];
    struct rd r = rd_make(slice_make(data, bytes));
    unsigned shape = rd_u8(&r) % SHAPES;
    struct err err = {0};
    uint8_t *copy;

    begin();
    if (bytes == 0)
        return 0;
    memcpy(image, shapes[shape].bytes, shapes[shape].used);
    edit(image, shapes[shape].used, &r);
    copy = fuzz_copy(image, shapes[shape].used);
    if (fuzz_said(kv_check(slice_make(copy, shapes[shape].used), NULL, NULL, &err), &err) == ST_OK)
        use(copy, shapes[shape].used, shapes[shape].in_file);
    free(copy);
    return 0;
}
