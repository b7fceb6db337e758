/* Any bytes under good checksums as a container: what is accepted is read to the end section by
 * section, as units and as a stream, which give the same bytes. */
#include "segment/container_memory.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/mutate.h"
#include "tests/support/seal.h"

#include <stdlib.h>

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t bytes, size_t bytes_max, unsigned seed)
{
    return mutate_container(data, bytes, bytes_max, seed, CONTAINER_IMAGE, NULL);
}

/* Of a section's payload; false when it is damaged. */
static bool read_units(struct container *c, uint16_t section, uint64_t *bytes, uint32_t *crc)
{
    struct container_cursor cursor;
    struct slice payload;
    struct err err = {0};
    status st = container_seek(c, section, &cursor, &err);

    *bytes = 0;
    *crc = 0;
    FUZZ_CHECK(st == ST_OK);
    while (st == ST_OK) {
        st = container_next(&cursor, &payload, &err);
        if (st == ST_OK) {
            FUZZ_CHECK(payload.bytes > 0 && payload.bytes <= CONTAINER_UNIT_BYTES_MAX);
            *bytes += payload.bytes;
            *crc = crc32c(*crc, payload.data, payload.bytes);
        }
    }
    return st == ST_NOT_FOUND || fuzz_said(st, &err) == ST_OK;
}

static void read_stream(struct container *c, uint16_t section, uint64_t bytes, uint32_t want)
{
    struct container_stream s;
    struct slice piece;
    struct err err = {0};
    uint32_t crc = 0;
    size_t step = 1;

    FUZZ_CHECK(container_stream_open(c, section, &s, &err) == ST_OK);
    FUZZ_CHECK(container_stream_left(&s) == bytes);
    for (; container_stream_left(&s) > 0; step = step * 3 + 1) {
        if (step > container_stream_left(&s))
            step = (size_t)container_stream_left(&s);
        FUZZ_CHECK(container_stream_take(&s, step, &piece, &err) == ST_OK);
        crc = crc32c(crc, piece.data, piece.bytes);
    }
    FUZZ_CHECK(container_stream_end(&s, &err) == ST_OK && crc == want);
    FUZZ_CHECK(fuzz_said(container_stream_take(&s, 1, &piece, &err), &err) == ST_CORRUPT);
    container_stream_close(&s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    uint8_t *copy = fuzz_copy(data, bytes);
    struct container_memory_source m;
    struct container *c;
    struct err err = {0};

    container_memory_source_init(&m, slice_make(copy, bytes));
    if (bytes >= SEAL_HEADER_BYTES &&
        fuzz_said(container_open(&m.source, CONTAINER_IMAGE, copy + 8, &c, &err), &err) == ST_OK) {
        for (size_t i = 0; i < container_section_count(c); i++) {
            struct container_section_info info;
            uint64_t payload;
            uint32_t crc;

            container_section_at(c, i, &info);
            if (read_units(c, info.section, &payload, &crc)) {
                FUZZ_CHECK(payload == info.bytes);
                read_stream(c, info.section, payload, crc);
            }
        }
        container_close(c);
    }
    free(copy);
    return 0;
}
