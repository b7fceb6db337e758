/* A catalog under a good checksum. */
#include "segment/catalog.h"
#include "tests/fuzz/frames.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/mutate.h"
#include "tests/support/seal.h"

enum { VERSION = 4 };

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t bytes, size_t bytes_max, unsigned seed)
{
    return mutate_frame(data, bytes, bytes_max, seed, "TVCG");
}

/* Version 1 is version 2 without settings: their empty list taken off, it says the same. */
static void as_version_1(struct buf *out)
{
    FUZZ_CHECK(le_u16(out->data + VERSION) == 2 && le_u32(out->data + out->bytes - 4) == 0);
    out->bytes -= 4;
    out->data[VERSION] = 1;
    seal_frame(out->data, out->bytes);
}

static status again(struct slice bytes, struct buf *out, struct err *err)
{
    struct catalog c;
    status st = catalog_decode(bytes, &c, err);

    if (st == ST_OK) {
        FUZZ_CHECK(catalog_encode(&c, out, err) == ST_OK);
        catalog_free(&c);
        if (le_u16(bytes.data + VERSION) == 1)
            as_version_1(out);
    }
    return st;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    frame_try(data, bytes, again, false);
    return 0;
}
