/* Any text as a filter of both dialects, what follows the first line end as a payload: as JSON, and
 * as a blob that nobody checked. What is accepted answers the same twice, the same inside another
 * filter, the contrary under a negation, and whatever a text index on its paths says. */
#include "filter/words.h"
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>

enum { ROOM = 1 << 20 };

static struct jdoc *doc, *other;
static int tokenizer;

typedef status parse_fn(struct jval v, bool string_ids, struct arena *arena, struct filter **out,
                        struct err *err);

static int vector_of(void *arg, struct slice name)
{
    (void)arg;
    return (int)name.bytes - 1;
}

static bool words_of(void *arg, const struct path *path, struct filter_words *out)
{
    (void)arg;
    (void)path;
    *out = (struct filter_words){.tokenizer = tokenizer, .min_bytes = 2, .max_bytes = 5};
    return true;
}

static bool parse_around(const char *before, struct slice text, const char *after, parse_fn *parse,
                         struct arena *arena, struct filter **out)
{
    struct buf around;
    struct jval v;
    struct err err = {0};
    status st;

    buf_init(&around, ROOM);
    buf_put_text(&around, before);
    buf_put_slice(&around, text);
    buf_put_text(&around, after);
    st = jdoc_parse(other, buf_slice(&around), &v, NULL);
    if (st == ST_OK)
        st = fuzz_said(parse(v, true, arena, out, &err), &err);
    buf_free(&around);
    return st == ST_OK; /* deeper by one, or too long, may be too much */
}

static void ask(struct slice text, parse_fn *parse, const struct filter_row *row)
{
    static const char *const frames[2][2] = {{"{\"must\":[", "{\"must_not\":["},
                                             {"{\"$and\":[", "{\"$not\":{\"$and\":["}};
    const struct filter_binding binding = {vector_of, words_of, NULL};
    const struct filter_binding vectors = {vector_of, NULL, NULL};
    bool ours = parse == filter_parse_native;
    struct filter *f, *inside, *denied;
    struct arena arena;
    struct err err = {0};
    struct jval v;
    bool yes;

    arena_init(&arena, 16 * ROOM);
    if (jdoc_parse(doc, text, &v, NULL) == ST_OK &&
        fuzz_said(parse(v, true, &arena, &f, &err), &err) == ST_OK) {
        FUZZ_CHECK(filter_bind(f, &vectors, &arena, NULL) == ST_OK);
        FUZZ_CHECK(filter_is_all(f) == (filter_cost_ns(f) == 0));
        yes = filter_match(f, row);
        FUZZ_CHECK(yes == filter_match(f, row));
        FUZZ_CHECK(!filter_is_all(f) || yes);
        if (jval_type(v) != J_NULL &&
            parse_around(frames[ours][0], text, "]}", parse, &arena, &inside)) {
            FUZZ_CHECK(filter_bind(inside, &vectors, &arena, NULL) == ST_OK);
            FUZZ_CHECK(filter_match(inside, row) == yes);
        }
        if (jval_type(v) != J_NULL &&
            parse_around(frames[ours][1], text, ours ? "]}}" : "]}", parse, &arena, &denied)) {
            FUZZ_CHECK(filter_bind(denied, &vectors, &arena, NULL) == ST_OK);
            FUZZ_CHECK(filter_match(denied, row) == !yes);
        }
        if (fuzz_said(filter_bind(f, &binding, &arena, &err), &err) == ST_OK)
            (void)filter_match(f, row);
    }
    arena_free(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    const uint8_t *end = bytes > 0 ? memchr(data, '\n', bytes) : NULL;
    size_t filter_bytes = end == NULL ? bytes : (size_t)(end - data);
    size_t rest_bytes = end == NULL ? 0 : bytes - filter_bytes - 1;
    uint8_t *text = fuzz_copy(data, filter_bytes);
    uint8_t *rest = fuzz_copy(data + bytes - rest_bytes, rest_bytes);
    struct docid id = docid_u64(filter_bytes % 4);
    struct filter_row row = {.id = &id, .payload = slice_make(rest, rest_bytes), .vectors = 5};
    struct slice filter = slice_make(text, filter_bytes);
    struct jval v;
    struct buf blob;

    if (doc == NULL)
        FUZZ_CHECK(jdoc_create(&doc, NULL) == ST_OK && jdoc_create(&other, NULL) == ST_OK);
    tokenizer = (int)(bytes % 4);
    buf_init(&blob, ROOM);
    ask(filter, filter_parse_qdrant, &row);
    ask(filter, filter_parse_native, &row);
    if (jdoc_parse(doc, row.payload, &v, NULL) == ST_OK) {
        jbin_put(&blob, v);
        row.payload = buf_slice(&blob);
        ask(filter, filter_parse_qdrant, &row);
        ask(filter, filter_parse_native, &row);
    }
    buf_free(&blob);
    free(text);
    free(rest);
    return 0;
}
