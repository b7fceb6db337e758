/* A payload, a patch and paths as texts, a line each: what becomes of the payload is a payload
 * again, and prints the same whole as in two parts that together are everything. */
#include "filter/payload.h"
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>

enum { ROOM = 1 << 22, PATHS = 6 };

static struct slice line(struct slice *rest)
{
    const uint8_t *end = rest->bytes == 0 ? NULL : memchr(rest->data, '\n', rest->bytes);
    size_t bytes = end == NULL ? rest->bytes : (size_t)(end - rest->data);
    struct slice s = slice_make(rest->data, bytes);

    *rest = end == NULL ? slice_make(NULL, 0) : slice_make(end + 1, rest->bytes - bytes - 1);
    return s;
}

static bool read_blob(struct slice text, struct buf *out)
{
    static struct jdoc *doc;
    struct jval root;

    if (doc == NULL)
        FUZZ_CHECK(jdoc_create(&doc, NULL) == ST_OK);
    if (text.bytes == 0 || jdoc_parse(doc, text, &root, NULL) != ST_OK)
        return false;
    jbin_put(out, root);
    return !out->failed;
}

static void change(struct slice payload, struct slice patch, const struct path *const *paths,
                   size_t count, struct buf *out)
{
    const struct payload_selection included = {PAYLOAD_INCLUDE, paths, count};
    const struct payload_selection excluded = {PAYLOAD_EXCLUDE, paths, count};
    struct buf text;
    struct err err = {0};

    buf_init(&text, ROOM);
    payload_delete(out, payload, paths, count);
    FUZZ_CHECK(!out->failed && jbin_check(buf_slice(out), NULL) == ST_OK);
    payload_print(&text, payload, &excluded);
    FUZZ_CHECK(!text.failed);
    buf_reset(out);
    FUZZ_CHECK(read_blob(buf_slice(&text), out));
    buf_reset(&text);
    payload_print(&text, payload, &included);
    buf_reset(out);
    FUZZ_CHECK(!text.failed && read_blob(buf_slice(&text), out));
    buf_reset(out);
    if (fuzz_said(payload_merge(out, payload, patch, count > 0 ? paths[0] : NULL, &err), &err) ==
        ST_OK)
        FUZZ_CHECK(jbin_check(buf_slice(out), NULL) == ST_OK);
    buf_free(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    uint8_t *copy = fuzz_copy(data, bytes);
    struct slice rest = slice_make(copy, bytes);
    const struct path *paths[PATHS];
    struct buf payload, patch, out;
    struct arena arena;
    size_t count = 0;

    arena_init(&arena, ROOM);
    buf_init(&payload, ROOM);
    buf_init(&patch, ROOM);
    buf_init(&out, ROOM);
    if (read_blob(line(&rest), &payload) && read_blob(line(&rest), &patch)) {
        while (rest.bytes > 0 && count < PATHS)
            count += path_parse(line(&rest), &arena, &paths[count], NULL) == ST_OK;
        change(buf_slice(&payload), buf_slice(&patch), paths, count, &out);
    }
    buf_free(&payload);
    buf_free(&patch);
    buf_free(&out);
    arena_free(&arena);
    free(copy);
    return 0;
}
