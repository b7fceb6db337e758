/* Collections with three vectors a document, of which some lack some, and with none at all: through
 * everything that happens to a collection on its disk. */
#include "tests/unit/node/nfields.h"

#include "tests/support/alloc_sweep.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

static uint64_t seed = 20261121;

static void put(struct collection *c, struct nfmodel *m, uint32_t first, uint32_t end)
{
    struct err err = {0};

    if (nfput(c, m, first, end, &err) != ST_OK)
        fail_msg("put: %s", err.text);
}

static void must_be(struct nworld *w, const struct nfmodel *m)
{
    struct collection *c = npin(w, "docs");

    nstate(c, "serving", "");
    nfcheck(c, m);
    ninvariants(c);
    node_collection_unpin(c);
}

static void what_it_is_made_of_stays(void **state)
{
    struct nworld w;

    (void)state;
    nworld_init(&w, true, seed);
    nworld_open(&w);
    node_collection_unpin(nfmake(&w, "three", NF_THREE, NODE_MEMORY));
    node_collection_unpin(nfmake(&w, "none", NF_NONE, NODE_MEMORY));
    for (int round = 0; round < 2; round++) {
        struct collection *c = npin(&w, "three");

        assert_int_equal(node_field_count(c), 3);
        assert_string_equal(node_field(c, 0)->name, "image");
        assert_int_equal(node_field(c, 0)->metric, VMETRIC_L2);
        assert_int_equal(node_field(c, 0)->m, w.options.m);
        assert_int_equal(node_field(c, 1)->dimension, 6);
        assert_int_equal(node_field(c, 1)->threshold, w.options.threshold);
        assert_int_equal(node_field(c, 2)->m, 4);
        assert_int_equal(node_field_position(c, slice_text("sound")), 2);
        assert_int_equal(node_field_position(c, slice_text("")), 1);
        assert_int_equal(c->fields[1].id, 0);
        assert_int_equal(collection_dimension(c), 3);
        assert_int_equal(npatch(&w, c, NULL, (uint16_t)(77 + round), NULL), ST_OK);
        for (size_t f = 0; f < 3; f++)
            assert_int_equal(vindex_ef_search(c->fields[f].vindex), 77 + round);
        node_collection_unpin(c);
        c = npin(&w, "none");
        assert_int_equal(node_field_count(c), 0);
        assert_int_equal(collection_dimension(c), 0);
        assert_false(collection_needs_nonzero(c));
        assert_int_equal(npatch(&w, c, NULL, 78, NULL), ST_OK);
        assert_int_equal(ninfo(c).dimension, 0);
        node_collection_unpin(c);
        nworld_close(&w);
        nworld_open(&w);
    }
    nworld_fini(&w);
}

static status create_spec(struct nworld *w, const struct field_info *fields, size_t count,
                          struct err *err)
{
    const struct collection_spec spec = {.name = "docs", .fields = fields, .field_count = count};
    struct call call;

    call_init(&call);
    node_collection_create(w->node, &spec, call_admin_done, &call);
    call_wait(&call);
    *err = call.err;
    return call.st;
}

static void fields_that_cannot_be_are_refused(void **state)
{
    const struct field_info good = {.name = "a", .dimension = 3, .metric = VMETRIC_L2};
    struct field_info many[NODE_FIELDS_MAX + 1];
    char names[NODE_FIELDS_MAX + 1][8];
    struct field_info two[2] = {good, good};
    struct err err = {0};
    struct nworld w;

    (void)state;
    nworld_init(&w, true, seed);
    nworld_open(&w);
    assert_int_equal(create_spec(&w, two, 2, &err), ST_INVALID); /* one name twice */
    two[1].name = "b";
    two[1].dimension = 0;
    assert_int_equal(create_spec(&w, two, 2, &err), ST_INVALID);
    assert_non_null(strstr(err.text, "vector b"));
    two[1].dimension = VINDEX_DIM_MAX + 1;
    assert_int_equal(create_spec(&w, two, 2, &err), ST_INVALID);
    two[1] = (struct field_info){.name = "\xC3", .dimension = 3, .metric = VMETRIC_L2};
    assert_int_equal(create_spec(&w, two, 2, &err), ST_INVALID);
    two[1] = (struct field_info){.name = "b", .dimension = 3, .metric = 9};
    assert_int_equal(create_spec(&w, two, 2, &err), ST_INVALID);
    for (size_t i = 0; i < COUNT_OF(many); i++) {
        (void)snprintf(names[i], sizeof names[i], "f%zu", i);
        many[i] = good;
        many[i].name = names[i];
    }
    assert_int_equal(create_spec(&w, many, NODE_FIELDS_MAX + 1, &err), ST_INVALID);
    assert_false(nthere(&w, "docs"));
    assert_int_equal(create_spec(&w, many, NODE_FIELDS_MAX, &err), ST_OK);
    nworld_fini(&w);
}

/* Writes, stops, cuts and checkpoints in any order; what was acknowledged is there. */
static void random_life(enum nf_shape shape, uint64_t number)
{
    struct nfmodel m = {.shape = shape};
    struct collection *c;
    struct rand_seeded rand;
    struct nworld w;

    rand_seeded_init(&rand, number);
    nworld_init(&w, true, number);
    w.options.wal_file_bytes = 64 * 1024;
    nworld_open(&w);
    c = nfmake(&w, "docs", shape, NODE_MEMORY);
    for (int step = 0; step < 60; step++) {
        uint32_t first = (uint32_t)rand_below(&rand.source, NF_DOCS);
        uint32_t end = first + 1 + (uint32_t)rand_below(&rand.source, 60);

        switch (rand_below(&rand.source, 8)) {
        case 0:
        case 1:
        case 2:
        case 3:
            put(c, &m, first, end < NF_DOCS ? end : NF_DOCS);
            break;
        case 4:
            assert_int_equal(nfdel(c, &m, first, NULL), ST_OK);
            break;
        case 5:
            (void)ncheckpoint(c, NULL);
            break;
        case 6: /* slots of dead rows are used again */
            atomic_store(&c->room_wanted, true);
            neventually(slots_dead_count(c->slots) == 0 || !atomic_load(&c->room_wanted));
            break;
        default:
            node_collection_unpin(c);
            if (rand_below(&rand.source, 2) == 0)
                nworld_close(&w);
            else
                nworld_power_cut(&w);
            nworld_open(&w);
            must_be(&w, &m);
            c = npin(&w, "docs");
            break;
        }
        nfcheck(c, &m);
    }
    node_collection_unpin(c);
    nworld_power_cut(&w);
    nworld_open(&w);
    must_be(&w, &m);
    nworld_fini(&w);
}

static void three_vectors_live_through_stops_and_cuts(void **state)
{
    (void)state;
    for (uint64_t i = 0; i < 3; i++)
        random_life(NF_THREE, seed + i);
}

static void documents_without_vectors_live_through_stops_and_cuts(void **state)
{
    (void)state;
    random_life(NF_NONE, seed);
}

/* A write is refused after its rows were filled: their slots go to others. */
static void a_slot_used_again_keeps_no_vector_of_a_refused_write(void **state)
{
    const struct write_terms terms = {.only_if = true, .newest_lsn = 1000};
    struct nfmodel m = {.shape = NF_THREE};
    float image[3] = {0, 0, 0};
    float unnamed[6] = {1, 1, 1, 1, 1, 1};
    float sound[9] = {1, 2, 3};
    float *all[NF_FIELDS] = {image, unnamed, sound};
    struct collection *c;
    struct nworld w;
    uint32_t end;

    (void)state;
    nworld_init(&w, true, seed);
    nworld_open(&w);
    c = nfmake(&w, "docs", NF_THREE, NODE_MEMORY);
    put(c, &m, 0, 20);
    end = slots_end(c->slots);
    for (uint64_t id = 0; id < 8; id++) {
        struct write_row row = {.id = docid_u64(1000 + id), .vectors = all};
        struct call call;

        call_init(&call);
        write_on_terms(c, &row, 1, &terms, call_write_done, &call);
        call_wait(&call);
        assert_int_equal(call.st, ST_CONFLICT);
    }
    assert_true(slots_end(c->slots) > end);
    put(c, &m, 20, 60); /* some of them on slots that had all three for a moment */
    nfcheck(c, &m);
    assert_int_equal(ncheckpoint(c, NULL), ST_OK);
    node_collection_unpin(c);
    nworld_close(&w);
    nworld_open(&w);
    must_be(&w, &m);
    nworld_fini(&w);
}

/* The same through the graph's repair: a document that had a vector and has it no more. */
static void a_vector_that_was_taken_away_is_found_nowhere(void **state)
{
    struct nfmodel m = {.shape = NF_THREE};
    struct collection *c;
    struct nworld w;

    (void)state;
    nworld_init(&w, true, seed);
    nworld_open(&w);
    c = nfmake(&w, "docs", NF_THREE, NODE_MEMORY);
    for (int round = 0; round < 12; round++) {
        put(c, &m, 0, NF_DOCS);
        nfcheck(c, &m);
        if (round % 3 != 2)
            continue;
        ninvariants(c);
        atomic_store(&c->room_wanted, true);
        neventually(slots_dead_count(c->slots) == 0);
        reclaim_wait(w.node);
    }
    assert_true(ninfo(c).linked_rows > 0);
    assert_true(slots_end(c->slots) < 12 * NF_DOCS);
    node_collection_unpin(c);
    nworld_fini(&w);
}

struct sweep {
    struct nworld *w;
    struct collection *c;
};

static const struct field_info SWEPT[] = {
    {.name = "a", .dimension = 4, .metric = VMETRIC_L2, .threshold = UINT32_MAX},
    {.name = "", .dimension = 2, .metric = VMETRIC_COSINE, .threshold = UINT32_MAX},
    {.name = "c", .dimension = 3, .metric = VMETRIC_DOT, .threshold = UINT32_MAX}};

static status make_one(void *arg)
{
    const struct collection_spec spec = {.name = "docs",
                                         .fields = SWEPT,
                                         .field_count = COUNT_OF(SWEPT),
                                         .setting_key = "qdrant",
                                         .setting_value = slice_text("{}")};
    struct sweep *s = arg;
    struct catalog_collection entry;
    struct collection *c = NULL;
    status st = schema_entry(s->w->node, &spec, &entry, NULL);

    if (st != ST_OK)
        return st;
    st = collection_create(s->w->node, &entry, &c, NULL);
    collection_destroy(c);
    catalog_collection_free(&entry);
    return st;
}

static status write_two(void *arg)
{
    struct sweep *s = arg;
    float a[3] = {1}, b[6] = {1, 1}, d[9] = {2};
    float *all[3] = {a, b, d}, *some[3] = {NULL, b, NULL};
    struct write_row rows[2] = {{.id = docid_u64(1), .vectors = all},
                                {.id = docid_u64(2), .vectors = some}};

    return nwrite(s->c, rows, 2, NULL, NULL);
}

static void each_allocation_of_making_and_writing_may_fail(void **state)
{
    struct nfmodel m = {.shape = NF_THREE};
    struct sweep s = {0};
    struct nworld w;

    (void)state;
    nworld_init(&w, true, seed);
    nworld_open(&w);
    s.w = &w;
    assert_true(alloc_sweep(make_one, &s) >= 20);
    s.c = nfmake(&w, "docs", NF_NONE, NODE_MEMORY);
    node_collection_unpin(s.c);
    s.c = nfmake(&w, "three", NF_THREE, NODE_MEMORY);
    put(s.c, &m, 0, 10);
    assert_true(alloc_sweep(write_two, &s) >= 5);
    assert_int_equal(ncount(s.c), 10 + 1); /* number 2 is the model's document 1 */
    node_collection_unpin(s.c);
    nworld_fini(&w);
}

static void repair(void *arg)
{
    collection_repair(arg);
}

/* Who looks at rows one by one finds those that die meanwhile, or what replaced them: with a graph
 * to repair and without. */
static void a_row_that_died_within_a_guard_is_not_retired_in_it(void **state)
{
    static const enum nf_shape shapes[] = {NF_NONE, NF_THREE};
    struct nworld w;

    (void)state;
    nworld_init(&w, true, seed);
    nworld_open(&w);
    for (size_t i = 0; i < COUNT_OF(shapes); i++) {
        struct nfmodel m = {.shape = shapes[i]};
        struct collection *c = nfmake(&w, i == 0 ? "none" : "three", shapes[i], NODE_MEMORY);
        struct epoch_guard guard;
        struct thread t = {0};
        uint32_t dead;

        put(c, &m, 0, 1);
        guard = epoch_enter(w.node->epoch);
        put(c, &m, 0, 1);
        assert_int_equal(slots_dead_list(c->slots, &dead, 1), 1);
        assert_int_equal(thread_start(&t, "repair", THREAD_NORMAL, repair, c, NULL), ST_OK);
        npause_ms(200);
        assert_int_equal(slots_state(c->slots, dead), SLOT_DEAD);
        epoch_leave(w.node->epoch, guard);
        thread_join(&t);
        assert_int_not_equal(slots_state(c->slots, dead), SLOT_DEAD);
        node_collection_unpin(c);
    }
    nworld_fini(&w);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_it_is_made_of_stays),
        cmocka_unit_test(fields_that_cannot_be_are_refused),
        cmocka_unit_test(a_slot_used_again_keeps_no_vector_of_a_refused_write),
        cmocka_unit_test(a_vector_that_was_taken_away_is_found_nowhere),
        cmocka_unit_test(three_vectors_live_through_stops_and_cuts),
        cmocka_unit_test(documents_without_vectors_live_through_stops_and_cuts),
        cmocka_unit_test(each_allocation_of_making_and_writing_may_fail),
        cmocka_unit_test(a_row_that_died_within_a_guard_is_not_retired_in_it),
    };

    if (argc > 1)
        seed = strtoull(argv[1], NULL, 10);
    print_message("seed=%llu\n", (unsigned long long)seed);
    nlog();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
