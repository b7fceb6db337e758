/* A catalog under a good checksum. */
#include "segment/catalog.h"
#include "tests/fuzz/frames.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/mutate.h"

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t bytes, size_t bytes_max, unsigned seed)
{
    return mutate_frame(data, bytes, bytes_max, seed, "TVCG");
}

static status again(struct slice bytes, struct buf *out, struct err *err)
{
    struct catalog c;
    status st = catalog_decode(bytes, &c, err);

    if (st == ST_OK) {
        FUZZ_CHECK(catalog_encode(&c, out, err) == ST_OK);
        catalog_free(&c);
    }
    return st;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    frame_try(data, bytes, again, false);
    return 0;
}
