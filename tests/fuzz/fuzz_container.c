/* Any bytes under good outer checksums as a container: must not read outside, must end. */
#include "base/crc32c.h"
#include "base/mem.h"
#include "segment/container.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

enum { HEADER = 32, ENTRY = 40, TRAILER = 64 };
static const uint8_t OWNER[16] = {1};

struct memory_source {
    struct container_source source;
    const uint8_t *data;
};

static status source_read(struct container_source *source, uint64_t offset, void *out, size_t bytes,
                          struct err *err)
{
    const struct memory_source *m = (const struct memory_source *)source;

    (void)err;
    if (offset > source->bytes || bytes > source->bytes - offset)
        __builtin_trap();
    memcpy(out, m->data + offset, bytes);
    return ST_OK;
}

static void seal(uint8_t *data, size_t bytes)
{
    uint8_t *trailer = data + bytes - TRAILER;
    uint64_t table;
    uint64_t count;

    memcpy(data, "TVC1", 4);
    le_put_u16(data + 6, CONTAINER_IMAGE);
    memcpy(data + 8, OWNER, sizeof OWNER);
    le_put_u32(data + 24, 0);
    le_put_u32(data + 28, crc32c(0, data, 28));
    memcpy(trailer, "TVCE", 4);
    le_put_u16(trailer + 6, CONTAINER_IMAGE);
    le_put_u64(trailer + 24, bytes);
    memcpy(trailer + 32, data + 28, 4);
    memset(trailer + 36, 0, 24);
    table = le_u64(trailer + 8);
    count = le_u32(trailer + 16);
    if (table <= bytes && count * ENTRY <= bytes - table)
        le_put_u32(trailer + 20, crc32c(0, data + table, count * ENTRY));
    le_put_u32(trailer + 60, crc32c(0, trailer, 60));
}

static void read_all(struct container *c)
{
    for (size_t i = 0; i < container_section_count(c); i++) {
        struct container_section_info info;
        struct container_cursor cursor;
        struct slice payload;
        status st;

        container_section_at(c, i, &info);
        st = container_seek(c, info.section, &cursor, NULL);
        while (st == ST_OK)
            st = container_next(&cursor, &payload, NULL);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct memory_source m = {.source = {.read = source_read, .bytes = bytes}};
    struct container *c;
    uint8_t *copy;

    if (bytes < HEADER + TRAILER)
        return 0;
    copy = mem_alloc(bytes);
    if (copy == NULL)
        return 0;
    memcpy(copy, data, bytes);
    seal(copy, bytes);
    m.data = copy;
    if (container_open(&m.source, CONTAINER_IMAGE, OWNER, &c, NULL) == ST_OK) {
        read_all(c);
        container_close(c);
    }
    mem_free(copy);
    return 0;
}
