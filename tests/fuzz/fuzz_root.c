/* A root under a good checksum. */
#include "segment/root.h"
#include "tests/fuzz/frames.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/mutate.h"

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t bytes, size_t bytes_max, unsigned seed)
{
    return mutate_frame(data, bytes, bytes_max, seed, "TVRT");
}

static status again(struct slice bytes, struct buf *out, struct err *err)
{
    struct root r;
    status st = root_decode(bytes, bytes.data + 16, &r, err);

    if (st == ST_OK)
        FUZZ_CHECK(root_encode(&r, out, err) == ST_OK && root_has_nonce(&r, r.nonce));
    return st;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    if (bytes >= 32)
        frame_try(data, bytes, again, true);
    return 0;
}
