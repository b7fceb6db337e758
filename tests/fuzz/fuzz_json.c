/* Any bytes as JSON. What is accepted is a blob that passes its own check, prints, and reads back
 * as the same blob; padded or copied, whole or element by element, it is the same. */
#include "api/split.h"
#include "base/json.h"
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>

enum { ROOM = 1 << 22, FLOATS = 64, DEPTH = 8 };

static struct jdoc *doc, *other;

static void walk(struct jval v, unsigned depth)
{
    float floats[FLOATS];
    size_t count = 0;
    size_t members = 0;
    struct err err = {0};
    enum jtype t = jval_type(v);
    double d;
    uint64_t u;
    int64_t i;

    FUZZ_CHECK(jtype_name(t)[0] != '\0');
    FUZZ_CHECK(jval_u64(v, &u) == (t == J_U64));
    FUZZ_CHECK(jval_i64(v, &i) == (t == J_I64 || (t == J_U64 && u <= INT64_MAX)));
    FUZZ_CHECK(jval_f64(v, &d) == (t == J_U64 || t == J_I64 || t == J_F64));
    if (t != J_ARRAY && t != J_OBJECT)
        return;
    if (t == J_ARRAY && fuzz_said(jval_floats(v, floats, FLOATS, &count, &err), &err) == ST_OK)
        FUZZ_CHECK(count == jval_count(v) && count <= FLOATS);
    for (struct jiter it = jval_iter(v); jiter_next(&it); members++)
        if (depth < DEPTH)
            walk(it.value, depth + 1);
    FUZZ_CHECK(members == jval_count(v));
}

static struct buf blob_of(struct jval v)
{
    struct buf blob;

    buf_init(&blob, ROOM);
    jbin_put(&blob, v);
    FUZZ_CHECK(!blob.failed && jbin_check(buf_slice(&blob), NULL) == ST_OK);
    return blob;
}

static void print_and_read(const struct buf *blob)
{
    struct buf text, again;
    struct jval root;

    buf_init(&text, ROOM);
    jbin_print(&text, buf_slice(blob));
    FUZZ_CHECK(jdoc_parse(other, buf_slice(&text), &root, NULL) == ST_OK);
    again = blob_of(root);
    FUZZ_CHECK(slice_equal(buf_slice(&again), buf_slice(blob)));
    buf_free(&text);
    buf_free(&again);
}

/* The same text with room behind it. */
static void read_padded(struct slice text, status want, const struct buf *blob)
{
    struct buf padded, again;
    struct jval root;
    struct err err = {0};

    buf_init(&padded, ROOM);
    buf_put_slice(&padded, text);
    FUZZ_CHECK(buf_reserve(&padded, JSON_PADDING_BYTES));
    FUZZ_CHECK(fuzz_said(jdoc_parse_buf(other, &padded, &root, &err), &err) == want);
    if (want == ST_OK) {
        again = blob_of(root);
        FUZZ_CHECK(slice_equal(buf_slice(&again), buf_slice(blob)));
        buf_free(&again);
    }
    buf_free(&padded);
}

/* A list that splits into elements of which each is JSON is JSON, and says the same. */
static void read_split(struct slice text, status want, struct jval root)
{
    struct split s;
    struct slice element;
    struct jval list, part;
    struct jiter it = {0};
    enum split_step step = SPLIT_OTHER;
    bool fine = split_begin(&s, text, "documents");
    size_t count = 0;

    if (!fine)
        return;
    if (want == ST_OK && jval_member(root, "documents", &list) && jval_type(list) == J_ARRAY)
        it = jval_iter(list);
    while (fine && (step = split_next(&s, &element)) == SPLIT_ELEMENT) {
        fine = jdoc_parse(other, element, &part, NULL) == ST_OK;
        count++;
        if (fine && want == ST_OK) {
            struct buf one = blob_of(part);
            struct buf two;

            FUZZ_CHECK(jiter_next(&it));
            two = blob_of(it.value);
            FUZZ_CHECK(slice_equal(buf_slice(&one), buf_slice(&two)));
            buf_free(&one);
            buf_free(&two);
        }
    }
    if (fine && step == SPLIT_END)
        FUZZ_CHECK(want == ST_OK && jval_count(list) == count);
}

static void read_small(struct slice text)
{
    struct json_small *small;
    struct err err = {0};
    double d;

    if (fuzz_said(json_small_parse(text, &small, &err), &err) != ST_OK)
        return;
    (void)json_small_text(small, "documents.0.a");
    (void)json_small_number(small, "a.1", &d);
    json_small_free(small);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    uint8_t *copy = fuzz_copy(data, bytes);
    struct slice text = slice_make(copy, bytes);
    struct err err = {0};
    struct jval root = {0};
    struct buf blob = {0};
    status st;

    if (doc == NULL)
        FUZZ_CHECK(jdoc_create(&doc, NULL) == ST_OK && jdoc_create(&other, NULL) == ST_OK);
    st = fuzz_said(jdoc_parse(doc, text, &root, &err), &err);
    FUZZ_CHECK(st == ST_OK || st == ST_INVALID);
    if (st == ST_OK) {
        walk(root, 0);
        blob = blob_of(root);
        print_and_read(&blob);
    }
    read_padded(text, st, &blob);
    read_split(text, st, root);
    read_small(text);
    buf_free(&blob);
    free(copy);
    return 0;
}
