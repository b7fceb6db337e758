#include "tests/unit/node/nrebuild.h"

static const struct hnsw_patch AS_IT_IS = {.threshold = UINT32_MAX};

status nrpatch(struct nworld *w, struct collection *c, const struct hnsw_patch *to, unsigned only,
               struct err *err)
{
    struct hnsw_patch hnsw[NODE_FIELDS_MAX];
    const struct collection_patch patch = {.hnsw = hnsw};
    struct call call;

    for (size_t i = 0; i < NODE_FIELDS_MAX; i++)
        hnsw[i] = i < 32 && (only >> i & 1) != 0 ? *to : AS_IT_IS;
    call_init(&call);
    node_collection_patch(w->node, c, &patch, call_admin_done, &call);
    call_wait(&call);
    if (err != NULL)
        *err = call.err;
    return call.st;
}

status nrpatch_m(struct nworld *w, struct collection *c, uint16_t m, struct err *err)
{
    const struct hnsw_patch to = {.m = m, .threshold = UINT32_MAX};

    return nrpatch(w, c, &to, 1, err);
}

uint16_t nrserved(struct collection *c)
{
    return vindex_graph(c->fields[0].vindex).m;
}

bool nrdone(struct collection *c)
{
    return ninfo(c).rebuild.state == NULL;
}

void nrput(struct collection *c, uint64_t first, uint64_t end, uint32_t version)
{
    enum { BATCH = 500 };
    float *vectors = mem_alloc_array((size_t)BATCH * NR_DIM, sizeof *vectors);
    struct write_row *rows = mem_alloc_array(BATCH, sizeof *rows);

    assert_non_null(vectors);
    assert_non_null(rows);
    for (uint64_t id = first; id < end;) {
        size_t count = 0;

        for (; count < BATCH && id < end; count++, id++) {
            nvector(id, version, NR_DIM, vectors + count * NR_DIM);
            rows[count] = (struct write_row){.id = {.kind = DOCID_U64, .u64 = id},
                                             .vector = vectors + count * NR_DIM};
        }
        assert_int_equal(nwrite(c, rows, count, NULL, NULL), ST_OK);
    }
    mem_free(rows);
    mem_free(vectors);
}

uint32_t nrsearch(struct collection *c, uint64_t id, uint32_t version, bool exact, uint64_t *first)
{
    struct query_options options = {.top_k = 10, .exact = exact, .ef_search = 400};
    struct query_result found;
    struct arena arena;
    float query[NR_DIM];
    uint32_t count;

    arena_init(&arena, 1024 * 1024);
    nvector(id, version, NR_DIM, query);
    assert_int_equal(node_query(c, query, &options, &arena, &found, NULL), ST_OK);
    count = found.count;
    *first = count == 0 ? 0 : found.matches[0].id.u64;
    arena_free(&arena);
    return count;
}

void nrfound(struct collection *c, uint64_t end, uint32_t version)
{
    uint64_t first;

    for (uint64_t id = 1; id < end; id++) {
        assert_int_equal(nrsearch(c, id, version, id % 50 == 0, &first), 10);
        if (first != id)
            fail_msg("document %llu is not found", (unsigned long long)id);
    }
}
