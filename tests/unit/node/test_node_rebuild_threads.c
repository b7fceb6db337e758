/* A graph with another m is made anew under readers and a writer: every answer is complete, and
 * what was acknowledged is found, in whichever graph. */
#include "tests/unit/node/nrebuild.h"

#include <stdatomic.h>
#include <string.h>

enum { DOCS = 800, M_BEFORE = 8, M_AFTER = 24 };

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

        if (nrsearch(s->c, id, 1, i % 16 == 0, &first) != 10 || first != id)
            atomic_fetch_add(&s->bad, 1);
        atomic_fetch_add(&s->searches, 1);
        npause_ms(1); /* the linkers are niced */
    }
}

static void writer(void *arg)
{
    struct crowd *s = arg;
    uint64_t first;

    for (uint64_t i = 0; !atomic_load(&s->stop); i++) {
        uint64_t id = DOCS / 2 + 1 + i % (DOCS / 2);
        uint32_t version = 2 + (uint32_t)i;
        float vector[NR_DIM];
        struct write_row row = {.id = {.kind = DOCID_U64, .u64 = id}, .vector = vector};

        nvector(id, version, NR_DIM, vector);
        if (i % 5 == 0 && ndelete(s->c, &row.id, 1, NULL, NULL) != ST_OK)
            atomic_fetch_add(&s->bad, 1);
        /* what was acknowledged is found, in whichever graph */
        if (nwrite(s->c, &row, 1, NULL, NULL) != ST_OK ||
            nrsearch(s->c, id, version, false, &first) != 10 || first != id)
            atomic_fetch_add(&s->bad, 1);
        atomic_fetch_add(&s->writes, 1);
        npause_ms(1);
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
    assert_int_equal(ncreate(&w, "docs", NR_DIM, VMETRIC_L2, 64, NULL), ST_OK);
    c = crowd.c = npin(&w, "docs");
    nrput(c, 1, DOCS + 1, 1);
    neventually(ninfo(c).pending_rows == 0);
    for (size_t i = 0; i < COUNT_OF(threads); i++)
        assert_int_equal(thread_start(&threads[i], "crowd", THREAD_NORMAL,
                                      i == 2 ? writer : searcher, &crowd, NULL),
                         ST_OK);
    assert_int_equal(nrpatch_m(&w, c, M_AFTER, NULL), ST_OK);
    assert_int_equal(ninfo(c).m, M_AFTER);
    assert_int_equal(nrserved(c), M_BEFORE);
    while (!nrdone(c)) {
        struct collection_info info = ninfo(c);

        seen = seen || (info.rebuild.state != NULL && strcmp(info.rebuild.state, "linking") == 0 &&
                        info.rebuild.started_ns > 0 && info.rebuild.linked <= info.rebuild.rows &&
                        info.rebuild.m == M_AFTER);
        npause_ms(2);
    }
    assert_true(seen);
    assert_int_equal(nrserved(c), M_AFTER);
    neventually(atomic_load(&crowd.searches) > 20 && atomic_load(&crowd.writes) > 5);
    atomic_store(&crowd.stop, true);
    for (size_t i = 0; i < COUNT_OF(threads); i++)
        thread_join(&threads[i]);
    print_message("%u searches, %u writes\n", atomic_load(&crowd.searches),
                  atomic_load(&crowd.writes));
    assert_int_equal(atomic_load(&crowd.bad), 0);
    ninvariants(c);
    assert_int_equal(ninfo(c).document_count, DOCS);
    nrfound(c, DOCS / 2, 1);
    node_collection_unpin(c);
    nworld_fini(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_are_complete_while_a_graph_is_made_anew),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
