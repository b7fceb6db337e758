/* Any bytes under a good checksum as a catalog: what is accepted can be written again. */
#include "base/crc32c.h"
#include "base/mem.h"
#include "segment/catalog.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void decode(uint8_t *copy, size_t bytes)
{
    struct catalog c;
    struct buf again;

    memcpy(copy, "TVCG", 4);
    le_put_u32(copy + 8, (uint32_t)bytes);
    le_put_u32(copy + 12, crc32c(crc32c(0, copy, 12), copy + 16, bytes - 16));
    if (catalog_decode(slice_make(copy, bytes), &c, NULL) != ST_OK)
        return;
    buf_init(&again, CATALOG_BYTES_MAX);
    if (catalog_encode(&c, &again, NULL) != ST_OK ||
        !slice_equal(buf_slice(&again), slice_make(copy, bytes)))
        __builtin_trap();
    buf_free(&again);
    catalog_free(&c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    uint8_t *copy;

    if (bytes < 40)
        return 0;
    copy = mem_alloc(bytes);
    if (copy == NULL)
        return 0;
    memcpy(copy, data, bytes);
    decode(copy, bytes);
    mem_free(copy);
    return 0;
}
