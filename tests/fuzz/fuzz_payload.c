/* Any bytes as a payload blob: what is accepted prints as JSON, which read again is the same blob
 * (or a shorter one: of doubled keys, which a blob may have, the last stays) and stays it. */
#include "base/json.h"
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>

enum { ROOM = 1 << 22 };

/* What blob is after printing and reading; the caller frees it. */
static struct buf once_more(struct slice blob)
{
    static struct jdoc *doc;
    struct buf text, again;
    struct jval root;

    if (doc == NULL)
        FUZZ_CHECK(jdoc_create(&doc, NULL) == ST_OK);
    buf_init(&text, ROOM);
    buf_init(&again, ROOM);
    jbin_print(&text, blob);
    FUZZ_CHECK(!text.failed);
    FUZZ_CHECK(jdoc_parse(doc, buf_slice(&text), &root, NULL) == ST_OK);
    jbin_put(&again, root);
    FUZZ_CHECK(!again.failed && jbin_check(buf_slice(&again), NULL) == ST_OK);
    buf_free(&text);
    return again;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    uint8_t *copy = fuzz_copy(data, bytes);
    struct err err = {0};

    if (fuzz_said(jbin_check(slice_make(copy, bytes), &err), &err) == ST_OK) {
        struct buf once = once_more(slice_make(copy, bytes));
        struct buf twice = once_more(buf_slice(&once));

        FUZZ_CHECK(once.bytes <= bytes);
        FUZZ_CHECK(once.bytes < bytes || memcmp(once.data, copy, bytes) == 0);
        FUZZ_CHECK(slice_equal(buf_slice(&once), buf_slice(&twice)));
        buf_free(&once);
        buf_free(&twice);
    }
    free(copy);
    return 0;
}
