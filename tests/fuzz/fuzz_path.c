/* Any text as a path, what follows the first line end as a payload blob, checked or not. What is
 * accepted, written again from its steps, is the same path and reaches the same values, all of
 * them inside the blob. */
#include "base/utf8.h"
#include "filter/filter.h"
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>

enum { ROOM = 1 << 16 };

static void print(const struct path *p, struct buf *out)
{
    for (uint32_t i = 0; i < p->count; i++) {
        const struct path_step *s = &p->steps[i];

        if (s->kind == PATH_EACH) {
            buf_put_text(out, "[]");
        } else if (s->kind == PATH_AT) {
            buf_printf(out, "[%u]", s->index);
        } else {
            buf_put_text(out, i > 0 ? ".\"" : "\"");
            buf_put_slice(out, s->key);
            buf_put_text(out, "\"");
        }
    }
}

struct reached {
    struct slice blob;
    struct buf values;
    size_t left;
};

static bool note(void *arg, const struct jbin_value *v)
{
    struct reached *r = arg;

    FUZZ_CHECK(v->type != JBIN_T_BAD);
    FUZZ_CHECK(v->bytes.data >= r->blob.data &&
               v->bytes.data + v->bytes.bytes <= r->blob.data + r->blob.bytes);
    buf_put_u64(&r->values, (uint64_t)(v->bytes.data - r->blob.data));
    return --r->left > 0;
}

static struct reached reach(const struct path *p, struct slice blob, bool opened, size_t max)
{
    struct reached r = {.blob = blob, .left = max};
    struct jbin_value root = jbin_root(blob);
    bool all;

    buf_init(&r.values, ROOM);
    all = opened ? filter_each_value(p, &root, note, &r) : path_each(p, &root, note, &r);
    FUZZ_CHECK(all == (r.left > 0));
    return r;
}

static void walk(const struct path *p, const struct path *again, struct slice blob)
{
    struct reached ends = reach(p, blob, false, ROOM);
    struct reached same = reach(again, blob, false, ROOM);
    struct reached values = reach(p, blob, true, ROOM);
    struct reached one = reach(p, blob, true, 1);

    FUZZ_CHECK(slice_equal(buf_slice(&ends.values), buf_slice(&same.values)));
    FUZZ_CHECK(one.values.bytes == (values.values.bytes > 0 ? 8u : 0u));
    buf_free(&ends.values);
    buf_free(&same.values);
    buf_free(&values.values);
    buf_free(&one.values);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    const uint8_t *end = bytes > 0 ? memchr(data, '\n', bytes) : NULL;
    size_t path_bytes = end == NULL ? bytes : (size_t)(end - data);
    size_t blob_bytes = end == NULL ? 0 : bytes - path_bytes - 1;
    uint8_t *text = fuzz_copy(data, path_bytes);
    uint8_t *blob = fuzz_copy(data + bytes - blob_bytes, blob_bytes);
    const struct path *p, *again;
    struct arena arena;
    struct err err = {0};
    struct buf printed;

    arena_init(&arena, ROOM);
    buf_init(&printed, ROOM);
    if (fuzz_said(path_parse(slice_make(text, path_bytes), &arena, &p, &err), &err) == ST_OK) {
        FUZZ_CHECK(utf8_valid(text, path_bytes) && p->count >= 1 && p->count <= PATH_STEPS_MAX);
        FUZZ_CHECK(slice_equal(p->text, slice_make(text, path_bytes)));
        print(p, &printed);
        if (printed.bytes <= PATH_BYTES_MAX) {
            FUZZ_CHECK(path_parse(buf_slice(&printed), &arena, &again, NULL) == ST_OK);
            FUZZ_CHECK(path_equal(p, again) && path_equal(again, p));
            walk(p, again, slice_make(blob, blob_bytes));
        }
    }
    buf_free(&printed);
    arena_free(&arena);
    free(text);
    free(blob);
    return 0;
}
