#include "tests/unit/node/nfields.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { DIM_MAX = 9 };

static const struct field_info FIELDS[NF_FIELDS] = {
    {.name = "image", .dimension = 3, .metric = VMETRIC_L2, .threshold = 32},
    {.name = "", .dimension = 6, .metric = VMETRIC_COSINE, .threshold = UINT32_MAX},
    {.name = "sound", .dimension = DIM_MAX, .metric = VMETRIC_DOT, .m = 4, .threshold = 32},
};

struct collection *nfmake(struct nworld *w, const char *name, enum nf_shape shape,
                          enum node_policy policy)
{
    const struct collection_spec spec = {.name = name,
                                         .fields = FIELDS,
                                         .field_count = shape == NF_THREE ? NF_FIELDS : 0,
                                         .string_ids = true,
                                         .policy = policy};
    struct call call;

    call_init(&call);
    node_collection_create(w->node, &spec, call_admin_done, &call);
    call_wait(&call);
    if (call.st != ST_OK)
        fail_msg("create: %s", call.err.text);
    return npin(w, name);
}

struct docid nfid(uint32_t doc, char text[16])
{
    struct docid id = docid_u64(doc + 1);

    if (doc % 3 == 0) {
        (void)snprintf(text, 16, "doc-%u", doc);
        id = (struct docid){.kind = DOCID_BYTES, .bytes = slice_text(text)};
    }
    return id;
}

unsigned nfbits(const struct nfmodel *m, uint32_t doc, uint32_t version)
{
    return m->shape == NF_NONE ? 0 : (doc * 31 + version * 7 + doc / 8) % 8;
}

static void components(uint32_t doc, uint32_t version, size_t field, float *out)
{
    nvector(doc * 8 + field + 1, version, FIELDS[field].dimension, out);
}

/* Of documents [first, end), one behind the other. */
struct batch {
    struct write_row *rows;
    float *floats;
    float **lists;
    struct buf payload;
    char (*texts)[16];
    size_t count;
};

static void batch_make(struct batch *b, const struct nfmodel *m, uint32_t first, uint32_t end)
{
    b->count = end - first;
    b->rows = calloc(b->count, sizeof *b->rows);
    b->floats = calloc(b->count * NF_FIELDS * DIM_MAX, sizeof *b->floats);
    b->lists = calloc(b->count * NF_FIELDS, sizeof *b->lists);
    b->texts = calloc(b->count, sizeof *b->texts);
    assert_true(b->rows && b->floats && b->lists && b->texts);
    npayload(m->version, &b->payload);
    for (uint32_t i = 0; i < b->count; i++) {
        unsigned bits = nfbits(m, first + i, m->version);
        float **list = b->lists + (size_t)i * NF_FIELDS;

        b->rows[i] = (struct write_row){
            .id = nfid(first + i, b->texts[i]), .payload = buf_slice(&b->payload), .vectors = list};
        for (size_t f = 0; f < NF_FIELDS; f++) {
            if ((bits >> f & 1) == 0)
                continue;
            list[f] = b->floats + ((size_t)i * NF_FIELDS + f) * DIM_MAX;
            components(first + i, m->version, f, list[f]);
        }
    }
}

static void batch_free(struct batch *b)
{
    free(b->rows);
    free(b->floats);
    free(b->lists);
    free(b->texts);
    buf_free(&b->payload);
}

status nfput(struct collection *c, struct nfmodel *m, uint32_t first, uint32_t end, struct err *err)
{
    struct batch b;
    status st;

    m->version++;
    batch_make(&b, m, first, end);
    st = nwrite(c, b.rows, b.count, NULL, err);
    batch_free(&b);
    for (uint32_t doc = first; st == ST_OK && doc < end; doc++)
        m->versions[doc] = m->version;
    return st;
}

status nfdel(struct collection *c, struct nfmodel *m, uint32_t doc, struct err *err)
{
    char text[16];
    const struct docid id = nfid(doc, text);
    status st = ndelete(c, &id, 1, NULL, err);

    if (st == ST_OK)
        m->versions[doc] = 0;
    return st;
}

/* --- looking --- */

static void vector_is(const float *got, uint32_t doc, uint32_t version, size_t field, bool there)
{
    float want[DIM_MAX];

    if ((got != NULL) != there)
        fail_msg("document %u version %u: vector %zu is %s", doc, version, field,
                 there ? "missing" : "somebody else's");
    if (!there)
        return;
    components(doc, version, field, want);
    if (FIELDS[field].metric == VMETRIC_COSINE)
        (void)vindex_normalise(want, FIELDS[field].dimension);
    for (uint32_t i = 0; i < FIELDS[field].dimension; i++)
        assert_true(fabsf(want[i] - got[i]) < 1e-6f);
}

static void document_is(const struct nfmodel *m, uint32_t doc, const struct document *d)
{
    uint32_t version = m->versions[doc];
    unsigned bits = nfbits(m, doc, version);

    assert_int_equal(npayload_version(d->payload), version);
    for (size_t f = 0; m->shape == NF_THREE && f < NF_FIELDS; f++)
        vector_is(d->vectors[f], doc, version, f, (bits >> f & 1) != 0);
}

static void by_id(struct collection *c, const struct nfmodel *m)
{
    for (uint32_t doc = 0; doc < NF_DOCS; doc++) {
        struct document d = {0};
        struct arena arena;
        char text[16];
        const struct docid id = nfid(doc, text);
        status st;

        arena_init(&arena, 1 << 20);
        st = node_get(c, &id, &arena, &d, NULL);
        if (st != (m->versions[doc] == 0 ? ST_NOT_FOUND : ST_OK))
            fail_msg("document %u, version %u: %s", doc, m->versions[doc], status_name(st));
        if (st == ST_OK)
            document_is(m, doc, &d);
        arena_free(&arena);
    }
}

static uint32_t doc_of(const struct docid *id)
{
    return id->kind == DOCID_BYTES ? (uint32_t)strtoul((const char *)id->bytes.data + 4, NULL, 10)
                                   : (uint32_t)id->u64 - 1;
}

/* Each document that has the field, once, and no other: nearest first. */
static void by_search(struct collection *c, const struct nfmodel *m, uint32_t field, bool exact,
                      uint32_t near)
{
    const struct point_query points = {.field = field, .vectors = 1u << field};
    const struct query_options options = {
        .top_k = NF_TOP, .exact = exact, .with_payload = true, .points = &points};
    struct query_result result = {0};
    bool seen[NF_DOCS] = {false};
    uint32_t want = 0;
    struct arena arena;
    float query[DIM_MAX];
    struct err err = {0};

    for (uint32_t doc = 0; doc < NF_DOCS; doc++)
        want += m->versions[doc] != 0 && (nfbits(m, doc, m->versions[doc]) >> field & 1) != 0;
    components(near, m->versions[near], field, query);
    arena_init(&arena, 1 << 24);
    if (node_query(c, query, &options, &arena, &result, &err) != ST_OK)
        fail_msg("query: %s", err.text);
    if (result.count != want)
        fail_msg("field %u: %u found of %u, exact=%d", field, result.count, want, exact);
    for (uint32_t i = 0; i < result.count; i++) {
        char id_text[24] = {0};
        struct docid id = result.matches[i].id;
        uint32_t doc;

        if (id.kind == DOCID_BYTES) {
            memcpy(id_text, id.bytes.data, id.bytes.bytes);
            id.bytes.data = (const uint8_t *)id_text;
        }
        doc = doc_of(&id);
        assert_true(doc < NF_DOCS && !seen[doc]);
        seen[doc] = true;
        assert_int_equal(npayload_version(result.matches[i].payload), m->versions[doc]);
        vector_is(result.matches[i].vectors[field], doc, m->versions[doc], field, true);
        assert_true(i == 0 || result.matches[i].distance >= result.matches[i - 1].distance);
    }
    if (want > 0 && m->versions[near] != 0 && FIELDS[field].metric != VMETRIC_DOT &&
        (nfbits(m, near, m->versions[near]) >> field & 1) != 0)
        assert_int_equal(seen[near] && result.matches[0].distance < 1e-3f, 1);
    arena_free(&arena);
}

static void no_search(struct collection *c)
{
    const struct query_options options = {.top_k = 3};
    struct query_result result;
    struct arena arena;
    float query[1] = {0};

    arena_init(&arena, 1 << 20);
    assert_int_equal(node_query(c, query, &options, &arena, &result, NULL), ST_INVALID);
    arena_free(&arena);
}

void nfcheck(struct collection *c, const struct nfmodel *m)
{
    uint64_t live = 0;

    for (uint32_t doc = 0; doc < NF_DOCS; doc++)
        live += m->versions[doc] != 0;
    assert_int_equal(ncount(c), live);
    by_id(c, m);
    if (m->shape == NF_NONE)
        no_search(c);
    for (uint32_t f = 0; f < node_field_count(c); f++) {
        by_search(c, m, f, true, 7 * f);
        by_search(c, m, f, false, 11 * f + 1);
    }
}
