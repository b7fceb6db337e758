/* Graphs with another m, made anew while the node serves: answers are complete all the time, no row
 * is missed, crashes and restores go on, and what does not fit is refused. */
#include "tests/unit/node/nfields.h"

#include <stdatomic.h>
#include <string.h>

enum { DIM = 16, DOCS = 2500, M_BEFORE = 8, M_AFTER = 24 };

static const struct hnsw_patch AS_IT_IS = {.threshold = UINT32_MAX};

/* The same for every field but those that `only` leaves out. */
static status patch_fields(struct nworld *w, struct collection *c, const struct hnsw_patch *to,
                           unsigned only, struct err *err)
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

static status patch_m(struct nworld *w, struct collection *c, uint16_t m, struct err *err)
{
    const struct hnsw_patch to = {.m = m, .threshold = UINT32_MAX};

    return patch_fields(w, c, &to, 1, err);
}

static uint16_t m_served(struct collection *c)
{
    return vindex_graph(c->fields[0].vindex).m;
}

static bool is_done(struct collection *c)
{
    return ninfo(c).rebuild.state == NULL;
}

static void put_all(struct collection *c, uint64_t first, uint64_t end, uint32_t version)
{
    enum { BATCH = 500 };
    float *vectors = mem_alloc_array((size_t)BATCH * DIM, sizeof *vectors);
    struct write_row *rows = mem_alloc_array(BATCH, sizeof *rows);

    assert_non_null(vectors);
    assert_non_null(rows);
    for (uint64_t id = first; id < end;) {
        size_t count = 0;

        for (; count < BATCH && id < end; count++, id++) {
            nvector(id, version, DIM, vectors + count * DIM);
            rows[count] = (struct write_row){.id = {.kind = DOCID_U64, .u64 = id},
                                             .vector = vectors + count * DIM};
        }
        assert_int_equal(nwrite(c, rows, count, NULL, NULL), ST_OK);
    }
    mem_free(rows);
    mem_free(vectors);
}

static uint32_t search(struct collection *c, uint64_t id, uint32_t version, bool exact,
                       uint64_t *first)
{
    struct query_options options = {.top_k = 10, .exact = exact, .ef_search = 400};
    struct query_result found;
    struct arena arena;
    float query[DIM];
    uint32_t count;

    arena_init(&arena, 1024 * 1024);
    nvector(id, version, DIM, query);
    assert_int_equal(node_query(c, query, &options, &arena, &found, NULL), ST_OK);
    count = found.count;
    *first = count == 0 ? 0 : found.matches[0].id.u64;
    arena_free(&arena);
    return count;
}

/* Each document is the nearest to its own vector; ef is large, as no recall is measured here. */
static void assert_all_found(struct collection *c, uint64_t end, uint32_t version)
{
    uint64_t first;

    for (uint64_t id = 1; id < end; id++) {
        assert_int_equal(search(c, id, version, id % 50 == 0, &first), 10);
        if (first != id)
            fail_msg("document %llu is not found", (unsigned long long)id);
    }
}

struct crowd {
    struct collection *c;
    _Atomic bool stop;
    _Atomic uint32_t searches, bad, writes;
};

static void searcher(void *arg)
{
    struct crowd *s = arg;
    uint64_t first;

    for (uint64_t i = 1; !atomic_load(&s->stop); i++) {
        uint64_t id = 1 + i * 7919 % (DOCS / 2); /* those nobody writes */

        if (search(s->c, id, 1, i % 16 == 0, &first) != 10 || first != id)
            atomic_fetch_add(&s->bad, 1);
        atomic_fetch_add(&s->searches, 1);
    }
}

static void writer(void *arg)
{
    struct crowd *s = arg;
    uint64_t first;

    for (uint64_t i = 0; !atomic_load(&s->stop); i++) {
        uint64_t id = DOCS / 2 + 1 + i % (DOCS / 2);
        uint32_t version = 2 + (uint32_t)i;
        float vector[DIM];
        struct write_row row = {.id = {.kind = DOCID_U64, .u64 = id}, .vector = vector};

        nvector(id, version, DIM, vector);
        if (i % 5 == 0 && ndelete(s->c, &row.id, 1, NULL, NULL) != ST_OK)
            atomic_fetch_add(&s->bad, 1);
        /* what was acknowledged is found, in whichever graph */
        if (nwrite(s->c, &row, 1, NULL, NULL) != ST_OK ||
            search(s->c, id, version, false, &first) != 10 || first != id)
            atomic_fetch_add(&s->bad, 1);
        atomic_fetch_add(&s->writes, 1);
    }
}

static void answers_are_complete_while_a_graph_is_made_anew(void **state)
{
    struct thread threads[3] = {0};
    struct crowd crowd = {0};
    struct nworld w;
    struct collection *c;
    bool seen = false;

    (void)state;
    nworld_init(&w, false, 1);
    nworld_open(&w);
    assert_int_equal(ncreate(&w, "docs", DIM, VMETRIC_L2, 64, NULL), ST_OK);
    c = crowd.c = npin(&w, "docs");
    put_all(c, 1, DOCS + 1, 1);
    neventually(ninfo(c).pending_rows == 0);
    for (size_t i = 0; i < COUNT_OF(threads); i++)
        assert_int_equal(thread_start(&threads[i], "crowd", THREAD_NORMAL,
                                      i == 2 ? writer : searcher, &crowd, NULL),
                         ST_OK);
    assert_int_equal(patch_m(&w, c, M_AFTER, NULL), ST_OK);
    assert_int_equal(ninfo(c).m, M_AFTER);
    assert_int_equal(m_served(c), M_BEFORE);
    while (!is_done(c)) {
        struct collection_info info = ninfo(c);

        seen = seen || (info.rebuild.state != NULL && strcmp(info.rebuild.state, "linking") == 0 &&
                        info.rebuild.started_ns > 0 && info.rebuild.linked <= info.rebuild.rows &&
                        info.rebuild.m == M_AFTER);
        npause_ms(2);
    }
    assert_true(seen);
    assert_int_equal(m_served(c), M_AFTER);
    npause_ms(100);
    atomic_store(&crowd.stop, true);
    for (size_t i = 0; i < COUNT_OF(threads); i++)
        thread_join(&threads[i]);
    print_message("%u searches, %u writes\n", atomic_load(&crowd.searches),
                  atomic_load(&crowd.writes));
    assert_int_equal(atomic_load(&crowd.bad), 0);
    assert_true(atomic_load(&crowd.searches) > 20 && atomic_load(&crowd.writes) > 5);
    ninvariants(c);
    assert_int_equal(ninfo(c).document_count, DOCS);
    assert_all_found(c, DOCS / 2, 1);
    node_collection_unpin(c);
    nworld_fini(&w);
}

static void the_same_values_change_nothing(void **state)
{
    const struct hnsw_patch same = {
        .m = M_BEFORE, .ef_construction = 40, .ef_search = 60, .threshold = 64};
    struct nworld w;
    struct collection *c;
    uint64_t bytes;

    (void)state;
    nworld_init(&w, false, 2);
    nworld_open(&w);
    assert_int_equal(ncreate(&w, "docs", DIM, VMETRIC_L2, 64, NULL), ST_OK);
    c = npin(&w, "docs");
    put_all(c, 1, 500, 1);
    neventually(ninfo(c).pending_rows == 0);
    bytes = mem_budget_bytes(&c->budget);
    assert_int_equal(patch_fields(&w, c, &same, 1, NULL), ST_OK);
    assert_true(is_done(c));
    /* there and back before anything came of it, or in the middle */
    assert_int_equal(patch_m(&w, c, M_AFTER, NULL), ST_OK);
    assert_int_equal(patch_m(&w, c, M_BEFORE, NULL), ST_OK);
    neventually(mem_budget_bytes(&c->budget) < bytes + 20000); /* set aside: 64,000 and more */
    assert_true(is_done(c));
    assert_int_equal(m_served(c), M_BEFORE);
    /* what is no graph's takes effect at once */
    assert_int_equal(
        patch_fields(&w, c, &(struct hnsw_patch){.ef_search = 99, .threshold = 7}, 1, NULL), ST_OK);
    assert_int_equal(ninfo(c).ef_search, 99);
    assert_int_equal(ninfo(c).threshold, 7);
    assert_int_equal(vindex_threshold(c->fields[0].vindex), 7);
    assert_true(is_done(c));
    assert_int_equal(patch_m(&w, c, 129, NULL), ST_INVALID);
    node_collection_unpin(c);
    nworld_fini(&w);
}

static void a_second_change_begins_anew(void **state)
{
    struct nworld w;
    struct collection *c;

    (void)state;
    nworld_init(&w, false, 3);
    nworld_open(&w);
    assert_int_equal(ncreate(&w, "docs", DIM, VMETRIC_L2, 64, NULL), ST_OK);
    c = npin(&w, "docs");
    put_all(c, 1, DOCS, 1);
    assert_int_equal(patch_m(&w, c, M_AFTER, NULL), ST_OK);
    neventually(ninfo(c).rebuild.linked > 0 || is_done(c));
    assert_int_equal(patch_m(&w, c, 12, NULL), ST_OK);
    neventually(is_done(c));
    assert_int_equal(m_served(c), 12);
    neventually(ninfo(c).rows_to_link == 0);
    ninvariants(c);
    assert_all_found(c, DOCS, 1);
    /* Dropped, or the node closed, in the middle: nothing is left behind. */
    assert_int_equal(patch_m(&w, c, M_AFTER, NULL), ST_OK);
    neventually(ninfo(c).rebuild.linked > 0 || is_done(c));
    assert_int_equal(ndrop(&w, c, NULL), ST_OK);
    node_collection_unpin(c);
    assert_int_equal(ncreate(&w, "docs", DIM, VMETRIC_L2, 64, NULL), ST_OK);
    c = npin(&w, "docs");
    put_all(c, 1, DOCS, 1);
    assert_int_equal(patch_m(&w, c, M_AFTER, NULL), ST_OK);
    neventually(ninfo(c).rebuild.linked > 0 || is_done(c));
    node_collection_unpin(c);
    nworld_fini(&w);
}

static void without_memory_it_is_refused_and_nothing_changes(void **state)
{
    struct nworld w;
    struct collection *c;
    struct err err = {0};
    uint64_t bytes;

    (void)state;
    nworld_init(&w, false, 4);
    nworld_open(&w);
    assert_int_equal(ncreate(&w, "docs", DIM, VMETRIC_L2, 64, NULL), ST_OK);
    c = npin(&w, "docs");
    put_all(c, 1, DOCS, 1);
    neventually(ninfo(c).pending_rows == 0);
    bytes = mem_budget_bytes(&w.node->budget);
    w.node->budget.bytes_max = bytes + 100000;
    assert_int_equal(patch_m(&w, c, 128, &err), ST_NOSPACE);
    assert_non_null(strstr(err.text, "m 128"));
    assert_int_equal(mem_budget_bytes(&w.node->budget), bytes);
    assert_int_equal(ninfo(c).m, M_BEFORE);
    assert_true(is_done(c));
    node_collection_unpin(c);
    nworld_close(&w);

    /* Asked for before a start that has less memory: it waits, and says so. */
    nworld_open(&w);
    c = npin(&w, "docs");
    assert_int_equal(ninfo(c).m, M_BEFORE);
    atomic_store(&c->fields[0].m, 128);
    w.node->budget.bytes_max = mem_budget_bytes(&w.node->budget) + 100000;
    neventually(ninfo(c).rebuild.state != NULL && strcmp(ninfo(c).rebuild.state, "waiting") == 0);
    assert_all_found(c, 200, 1);
    w.node->budget.bytes_max = 0;
    neventually(is_done(c));
    assert_int_equal(m_served(c), 128);
    node_collection_unpin(c);
    nworld_fini(&w);
}

/* After a power cut at any time the graph that was asked for is there in the end, with every row;
 * once it served it is not made again. */
static void a_crash_in_the_middle_goes_on(void **state)
{
    struct nworld w;
    struct collection *c;

    (void)state;
    nworld_init(&w, true, 5);
    nworld_open(&w);
    assert_int_equal(ncreate(&w, "docs", DIM, VMETRIC_L2, 64, NULL), ST_OK);
    c = npin(&w, "docs");
    put_all(c, 1, DOCS, 1);
    neventually(ninfo(c).pending_rows == 0);
    assert_int_equal(ncheckpoint(c, NULL), ST_OK); /* with the old graph */
    assert_int_equal(patch_m(&w, c, M_AFTER, NULL), ST_OK);
    for (int round = 0; round < 2; round++) {
        node_collection_unpin(c);
        nworld_power_cut(&w);
        nworld_open(&w);
        c = npin(&w, "docs");
        assert_int_equal(ninfo(c).m, M_AFTER);
        assert_int_equal(ninfo(c).document_count, DOCS - 1);
        if (round == 0)
            neventually(ninfo(c).rebuild.linked > 0 || is_done(c));
    }
    neventually(is_done(c));
    assert_int_equal(m_served(c), M_AFTER);
    neventually(!atomic_load(&c->graph_news)); /* the checkpoint has it */
    assert_all_found(c, 300, 1);
    node_collection_unpin(c);
    nworld_power_cut(&w);
    nworld_open(&w);
    c = npin(&w, "docs");
    assert_int_equal(m_served(c), M_AFTER);
    assert_true(is_done(c));
    neventually(ninfo(c).pending_rows == 0);
    ninvariants(c);
    assert_all_found(c, DOCS, 1);
    node_collection_unpin(c);
    nworld_fini(&w);
}

/* The image in the bucket is of the old graph when the disk is lost: it is taken over, and made
 * anew; later it is of the new one. */
static void a_restore_takes_an_image_of_other_making(void **state)
{
    struct node_snapshot_result snapshot = {0};
    struct nworld w;
    struct collection *c;

    (void)state;
    nworld_init(&w, false, 6);
    nworld_bucket(&w, "rebuild");
    nworld_open(&w);
    assert_int_equal(ncreate_s3(&w, "docs", DIM, NODE_LOCAL, NULL), ST_OK);
    c = npin(&w, "docs");
    put_all(c, 1, DOCS, 1);
    neventually(ninfo(c).pending_rows == 0);
    assert_int_equal(nsnapshot(c, NULL, &snapshot, NULL), ST_OK);
    assert_int_equal(patch_m(&w, c, M_AFTER, NULL), ST_OK);
    node_collection_unpin(c);
    nlose_disk(&w);

    nworld_open(&w);
    c = npin(&w, "docs");
    assert_int_equal(ninfo(c).m, M_AFTER);
    neventually(is_done(c) && ninfo(c).rows_to_link == 0);
    assert_int_equal(m_served(c), M_AFTER);
    ninvariants(c);
    assert_all_found(c, 300, 1);
    neventually(nsnapshot(c, NULL, &snapshot, NULL) == ST_OK);
    node_collection_unpin(c);
    nlose_disk(&w);

    nworld_open(&w);
    c = npin(&w, "docs");
    assert_int_equal(m_served(c), M_AFTER); /* at once: the manifest says so */
    assert_true(is_done(c));
    neventually(ninfo(c).pending_rows == 0);
    ninvariants(c);
    assert_all_found(c, DOCS, 1);
    node_collection_unpin(c);
    nworld_fini(&w);
}

static void each_vector_has_its_own(void **state)
{
    const struct hnsw_patch to = {.m = M_AFTER, .ef_construction = 77, .threshold = UINT32_MAX};
    struct nfmodel model = {.shape = NF_THREE};
    struct nworld w;
    struct collection *c;
    struct field_info now;

    (void)state;
    nworld_init(&w, false, 7);
    nworld_open(&w);
    c = nfmake(&w, "docs", NF_THREE, NODE_MEMORY);
    assert_int_equal(nfput(c, &model, 0, NF_DOCS, NULL), ST_OK);
    assert_int_equal(patch_fields(&w, c, &to, 1u << NF_SOUND, NULL), ST_OK);
    nfcheck(c, &model);
    neventually(is_done(c));
    nfcheck(c, &model);
    assert_int_equal(vindex_graph(c->fields[NF_SOUND].vindex).m, M_AFTER);
    assert_int_equal(vindex_graph(c->fields[NF_SOUND].vindex).ef_construction, 77);
    assert_int_not_equal(vindex_graph(c->fields[NF_IMAGE].vindex).m, M_AFTER);
    assert_int_not_equal(vindex_graph(c->fields[NF_UNNAMED].vindex).m, M_AFTER);
    node_field_now(c, NF_SOUND, &now);
    assert_int_equal(now.m, M_AFTER);
    node_collection_unpin(c);
    nworld_fini(&w);
}

/* The change itself: it is there, or it is not, and the collection serves. */
static void failing_allocations_are_survived(void **state)
{
    struct nworld w;
    struct collection *c;
    uint16_t m = M_BEFORE;
    bool failed = true;
    int64_t n = 0;

    (void)state;
    nworld_init(&w, false, 8);
    nworld_open(&w);
    assert_int_equal(ncreate(&w, "docs", DIM, VMETRIC_L2, 64, NULL), ST_OK);
    c = npin(&w, "docs");
    put_all(c, 1, 400, 1);
    neventually(ninfo(c).pending_rows == 0);
    for (; failed; n++) {
        uint16_t other = m == M_BEFORE ? M_AFTER : M_BEFORE;
        status st;

        mem_test_fail_after(n);
        st = patch_m(&w, c, other, NULL);
        if (n % 16 == 0) /* beginning and linking meet it too */
            npause_ms(700);
        failed = mem_test_count() > n;
        mem_test_fail_after(-1);
        assert_true(st == ST_OK || st == ST_NOMEM || st == ST_UNAVAILABLE);
        m = ninfo(c).m;
        assert_true(st == ST_OK ? m == other : m != other);
        assert_true(n < 300);
    }
    neventually(is_done(c));
    assert_int_equal(m_served(c), m);
    neventually(ninfo(c).rows_to_link == 0);
    ninvariants(c);
    assert_all_found(c, 400, 1);
    node_collection_unpin(c);
    nworld_fini(&w);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_are_complete_while_a_graph_is_made_anew),
        cmocka_unit_test(the_same_values_change_nothing),
        cmocka_unit_test(a_second_change_begins_anew),
        cmocka_unit_test(without_memory_it_is_refused_and_nothing_changes),
        cmocka_unit_test(a_crash_in_the_middle_goes_on),
        cmocka_unit_test(a_restore_takes_an_image_of_other_making),
        cmocka_unit_test(each_vector_has_its_own),
        cmocka_unit_test(failing_allocations_are_survived),
    };

    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    nlog();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
