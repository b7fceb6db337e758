#include "tests/unit/node/nchange.h"

static struct arena arena;
static struct jdoc *doc;

void nchange_init(void)
{
    arena_init(&arena, 1 << 28);
    assert_int_equal(jdoc_create(&doc, NULL), ST_OK);
}

void nchange_free(void)
{
    jdoc_destroy(doc);
    arena_free(&arena);
}

struct slice njson(const char *text)
{
    struct jval root;
    struct buf b;
    uint8_t *copy;
    struct slice s;

    buf_init(&b, 1 << 26);
    assert_int_equal(jdoc_parse(doc, slice_text(text), &root, NULL), ST_OK);
    jbin_put(&b, root);
    assert_false(b.failed);
    copy = arena_alloc(&arena, b.bytes);
    assert_non_null(copy);
    memcpy(copy, b.data, b.bytes);
    s = slice_make(copy, b.bytes);
    buf_free(&b);
    return s;
}

const struct path *npath(const char *text)
{
    const struct path *p = NULL;

    assert_int_equal(path_parse(slice_text(text), &arena, &p, NULL), ST_OK);
    return p;
}

struct filter *nfilter(const char *key, const char *value)
{
    struct filter *f = arena_zero(&arena, sizeof *f);
    struct filter_value *v = arena_zero(&arena, sizeof *v);

    assert_true(f != NULL && v != NULL);
    *v = (struct filter_value){.type = JBIN_T_STRING, .text = slice_text(value)};
    *f = (struct filter){.kind = FILTER_ANY_OF, .path = npath(key), .values = v, .value_count = 1};
    return f;
}

struct filter *nfilter_not(struct filter *child)
{
    struct filter *f = arena_zero(&arena, sizeof *f);
    struct filter **children = arena_alloc(&arena, sizeof(struct filter *));

    assert_true(f != NULL && children != NULL);
    children[0] = child;
    *f = (struct filter){.kind = FILTER_NOT, .children = children, .child_count = 1};
    return f;
}

static status end(struct call *call, struct write_result *result, struct err *err)
{
    call_wait(call);
    if (result != NULL)
        *result = call->result;
    if (err != NULL)
        *err = call->err;
    return call->st;
}

status nwrite_with(struct collection *c, struct write_row *rows, size_t count,
                   const struct write_options *options, struct write_result *result,
                   struct err *err)
{
    struct call call;

    call_init(&call);
    node_write_with(c, rows, count, options, call_write_done, &call);
    return end(&call, result, err);
}

status ndelete_with(struct collection *c, const struct selector *which,
                    const struct write_options *options, struct write_result *result,
                    struct err *err)
{
    struct call call;

    call_init(&call);
    node_delete_with(c, which, options, call_write_done, &call);
    return end(&call, result, err);
}

status nchange(struct collection *c, const struct selector *which, const struct change *change,
               const struct write_options *options, struct write_result *result, struct err *err)
{
    static const struct write_options none;
    struct call call;

    call_init(&call);
    node_change(c, which, change, options != NULL ? options : &none, call_write_done, &call);
    return end(&call, result, err);
}

status nput_json(struct collection *c, uint64_t id, const char *json, struct write_result *result)
{
    float vector[64];
    struct write_row row = {.id = docid_u64(id), .vector = vector, .payload = njson(json)};

    assert_true(collection_dimension(c) <= COUNT_OF(vector));
    nvector(id, 1, collection_dimension(c), vector);
    return nwrite(c, &row, 1, result, NULL);
}

const char *njson_of(struct collection *c, uint64_t id, uint64_t *lsn)
{
    static char text[4096];
    const struct docid key = docid_u64(id);
    struct document document;
    struct arena a;
    struct buf b;
    status st;

    arena_init(&a, 1 << 26);
    buf_init(&b, sizeof text - 1);
    text[0] = '\0';
    st = node_get(c, &key, &a, &document, NULL);
    assert_true(st == ST_OK || st == ST_NOT_FOUND);
    if (st == ST_OK) {
        payload_print(&b, document.payload, &(struct payload_selection){.part = PAYLOAD_WHOLE});
        assert_false(b.failed);
        memcpy(text, b.data, b.bytes);
        text[b.bytes] = '\0';
    }
    if (lsn != NULL)
        *lsn = st == ST_OK ? document.lsn : 0;
    buf_free(&b);
    arena_free(&a);
    return text;
}

status nmerge(struct collection *c, uint64_t id, const char *json, struct write_result *result,
              struct err *err)
{
    const struct docid key = docid_u64(id);
    const struct selector one = {.ids = &key, .count = 1};
    const struct change change = {.kind = CHANGE_MERGE_PAYLOAD, .payload = njson(json)};

    return nchange(c, &one, &change, NULL, result, err);
}
