/* A manifest under a good checksum. */
#include "segment/manifest.h"
#include "tests/fuzz/frames.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/mutate.h"

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t bytes, size_t bytes_max, unsigned seed)
{
    return mutate_frame(data, bytes, bytes_max, seed, "TVMF");
}

static status again(struct slice bytes, struct buf *out, struct err *err)
{
    struct manifest m, copy;
    status st = manifest_decode(bytes, bytes.data + 16, &m, err);

    if (st == ST_OK) {
        FUZZ_CHECK(manifest_copy(&m, &copy, err) == ST_OK);
        manifest_free(&m);
        FUZZ_CHECK(manifest_encode(&copy, out, err) == ST_OK);
        manifest_free(&copy);
    }
    return st;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    if (bytes >= 32)
        frame_try(data, bytes, again, true);
    return 0;
}
