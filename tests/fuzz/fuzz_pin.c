/* A pin, and meta/format, each under a good checksum: the magic says which. */
#include "segment/manifest.h"
#include "tests/fuzz/frames.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/mutate.h"

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t bytes, size_t bytes_max, unsigned seed)
{
    bool is_pin = bytes >= 4 && memcmp(data, "TVPN", 4) == 0;

    return mutate_frame(data, bytes, bytes_max, seed, is_pin != (seed % 64 == 3) ? "TVPN" : "TVBF");
}

static status pin_again(struct slice bytes, struct buf *out, struct err *err)
{
    struct pin p;
    status st = pin_decode(bytes, &p, err);

    if (st == ST_OK)
        FUZZ_CHECK(pin_encode(&p, out, err) == ST_OK);
    return st;
}

static status format_again(struct slice bytes, struct buf *out, struct err *err)
{
    struct bucket_format f;
    status st = bucket_format_decode(bytes, &f, err);

    if (st == ST_OK)
        FUZZ_CHECK(bucket_format_encode(&f, out, err) == ST_OK);
    return st;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    frame_try(data, bytes, pin_again, true);
    frame_try(data, bytes, format_again, true);
    return 0;
}
