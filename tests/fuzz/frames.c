#include "tests/fuzz/frames.h"

#include "tests/fuzz/fuzz.h"
#include "tests/support/seal.h"

#include <stdlib.h>

enum { ROOM = 1 << 24 };

static status try_one(struct slice from, frame_again_fn *again, struct buf *out)
{
    uint8_t *copy = fuzz_copy(from.data, from.bytes);
    struct err err = {0};
    status st;

    buf_init(out, ROOM);
    st = fuzz_said(again(slice_make(copy, from.bytes), out, &err), &err);
    free(copy);
    FUZZ_CHECK(st == ST_OK || st == ST_CORRUPT || st == ST_UNSUPPORTED);
    return st;
}

void frame_try(const uint8_t *data, size_t bytes, frame_again_fn *again, bool extensions)
{
    struct buf once, twice;
    size_t same;

    if (try_one(slice_make(data, bytes), again, &once) == ST_OK) {
        same = once.bytes - SEAL_FRAME_BYTES - (extensions ? 4 : 0);
        FUZZ_CHECK(once.bytes <= bytes && (extensions || once.bytes == bytes));
        FUZZ_CHECK(memcmp(once.data + SEAL_FRAME_BYTES, data + SEAL_FRAME_BYTES, same) == 0);
        FUZZ_CHECK(try_one(buf_slice(&once), again, &twice) == ST_OK);
        FUZZ_CHECK(slice_equal(buf_slice(&once), buf_slice(&twice)));
        buf_free(&twice);
    }
    buf_free(&once);
}
