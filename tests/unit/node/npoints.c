#include "tests/unit/node/npoints.h"

#include <stdio.h>
#include <stdlib.h>

void ppayload(struct jdoc *doc, const char *text, struct buf *out)
{
    struct jval v;
    struct err err = {0};

    buf_init(out, 1 << 20);
    if (jdoc_parse(doc, slice_text(text), &v, &err) != ST_OK)
        fail_msg("%s: %s", text, err.text);
    jbin_put(out, v);
    assert_false(out->failed);
}

void pvector(uint64_t id, uint32_t version, uint32_t dim, float *out)
{
    nvector(id, version, dim, out);
    for (uint32_t i = 0; i < dim && id % 100 == 0; i++)
        out[i] = i == 0 ? (float)id * 1e-6f : 0;
}

void pput(struct collection *c, uint64_t first, uint32_t count, uint32_t version)
{
    struct write_row *rows = calloc(count, sizeof *rows);
    struct buf *payloads = calloc(count, sizeof *payloads);
    float *vectors = calloc((size_t)count * collection_dimension(c), sizeof *vectors);
    struct jdoc *doc = NULL;
    struct err err = {0};

    assert_int_equal(jdoc_create(&doc, NULL), ST_OK);
    assert_true(rows != NULL && payloads != NULL && vectors != NULL);
    for (uint32_t i = 0; i < count; i++) {
        uint64_t id = first + i;
        char text[256];

        (void)snprintf(text, sizeof text,
                       "{\"v\":%u,\"n\":%u,\"tags\":[\"t%u\",\"t%u\"],\"same\":true}", version,
                       (unsigned)(id % 1000), (unsigned)(id % 10), version % 7);
        ppayload(doc, text, &payloads[i]);
        pvector(id, version, collection_dimension(c),
                vectors + (size_t)i * collection_dimension(c));
        rows[i] = (struct write_row){.id = docid_u64(id),
                                     .payload = buf_slice(&payloads[i]),
                                     .vector = vectors + (size_t)i * collection_dimension(c)};
    }
    if (nwrite(c, rows, count, NULL, &err) != ST_OK)
        fail_msg("write: %s", err.text);
    for (uint32_t i = 0; i < count; i++)
        buf_free(&payloads[i]);
    jdoc_destroy(doc);
    free(rows);
    free(payloads);
    free(vectors);
}

void pindexed(struct nworld *w, struct collection *c, const char *key, enum pindex_type type)
{
    struct pindex_spec spec = {.type = type};
    struct arena arena;
    struct call call;

    arena_init(&arena, 1 << 16);
    assert_int_equal(path_parse(slice_text(key), &arena, &spec.path, NULL), ST_OK);
    call_init(&call);
    node_index_create(w->node, c, &spec, slice_text("{}"), 60000, call_admin_done, &call);
    call_wait(&call);
    assert_int_equal(call.st, ST_OK);
    arena_free(&arena);
}

struct filter *pfilter(struct collection *c, const char *text, struct arena *arena)
{
    struct jdoc *doc = NULL;
    struct filter *f = NULL;
    struct jval v;
    struct err err = {0};

    assert_int_equal(jdoc_create(&doc, NULL), ST_OK);
    if (jdoc_parse(doc, slice_text(text), &v, &err) != ST_OK ||
        filter_parse_qdrant(v, false, arena, &f, &err) != ST_OK ||
        node_filter_bind(c, f, arena, &err) != ST_OK)
        fail_msg("%s: %s", text, err.text);
    jdoc_destroy(doc);
    return f;
}
