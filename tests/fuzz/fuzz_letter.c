/* Any bytes as a dead letter in the small store: what is accepted is written to the same bytes. */
#include "dlq/dlq_internal.h"
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static const uint8_t COLLECTION[16] = {1, 2, 3};
    uint8_t key[DLQ_KEY_BYTES];
    uint8_t *copy = fuzz_copy(data, bytes);
    struct letter l;
    struct err err = {0};
    struct buf out;

    letter_key(COLLECTION, 7, key);
    buf_init(&out, DLQ_VALUE_BYTES_MAX);
    if (fuzz_said(letter_decode(slice_make(key, sizeof key), slice_make(copy, bytes), &l, &err),
                  &err) == ST_OK) {
        FUZZ_CHECK(l.id == 7 && memcmp(l.collection, COLLECTION, 16) == 0);
        FUZZ_CHECK(letter_encode(&l, &out, &err) == ST_OK);
        FUZZ_CHECK(out.bytes == bytes);
        if (l.state == LETTER_PARKED && copy[3] == LETTER_PARKED)
            FUZZ_CHECK(memcmp(out.data, copy, bytes) == 0);
    }
    buf_free(&out);
    free(copy);
    return 0;
}
