/* Graphs with another m, made anew while the node serves: the same values are nothing to do,
 * another wish begins anew, crashes and restores go on, and what does not fit is refused. */
#include "tests/unit/node/nfields.h"
#include "tests/unit/node/nrebuild.h"

#include <stdatomic.h>

#include <string.h>

enum { DOCS = 2000, M_BEFORE = 8, M_AFTER = 24 };

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
    assert_int_equal(ncreate(&w, "docs", NR_DIM, VMETRIC_L2, 64, NULL), ST_OK);
    c = npin(&w, "docs");
    nrput(c, 1, 500, 1);
    neventually(ninfo(c).pending_rows == 0);
    bytes = mem_budget_bytes(&c->budget);
    assert_int_equal(nrpatch(&w, c, &same, 1, NULL), ST_OK);
    assert_true(nrdone(c));
    /* there and back before anything came of it, or in the middle */
    assert_int_equal(nrpatch_m(&w, c, M_AFTER, NULL), ST_OK);
    assert_int_equal(nrpatch_m(&w, c, M_BEFORE, NULL), ST_OK);
    neventually(mem_budget_bytes(&c->budget) < bytes + 20000); /* set aside: 64,000 and more */
    assert_true(nrdone(c));
    assert_int_equal(nrserved(c), M_BEFORE);
    /* what is no graph's takes effect at once */
    assert_int_equal(nrpatch(&w, c, &(struct hnsw_patch){.ef_search = 99, .threshold = 7}, 1, NULL),
                     ST_OK);
    assert_int_equal(ninfo(c).ef_search, 99);
    assert_int_equal(ninfo(c).threshold, 7);
    assert_int_equal(vindex_threshold(c->fields[0].vindex), 7);
    assert_true(nrdone(c));
    assert_int_equal(nrpatch_m(&w, c, 129, NULL), ST_INVALID);
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
    assert_int_equal(ncreate(&w, "docs", NR_DIM, VMETRIC_L2, 64, NULL), ST_OK);
    c = npin(&w, "docs");
    nrput(c, 1, DOCS, 1);
    assert_int_equal(nrpatch_m(&w, c, M_AFTER, NULL), ST_OK);
    neventually(ninfo(c).rebuild.linked > 0 || nrdone(c));
    assert_int_equal(nrpatch_m(&w, c, 12, NULL), ST_OK);
    neventually(nrdone(c));
    assert_int_equal(nrserved(c), 12);
    neventually(ninfo(c).rows_to_link == 0);
    ninvariants(c);
    nrfound(c, DOCS, 1);
    /* Dropped, or the node closed, in the middle: nothing is left behind. */
    assert_int_equal(nrpatch_m(&w, c, M_AFTER, NULL), ST_OK);
    neventually(ninfo(c).rebuild.linked > 0 || nrdone(c));
    assert_int_equal(ndrop(&w, c, NULL), ST_OK);
    node_collection_unpin(c);
    assert_int_equal(ncreate(&w, "docs", NR_DIM, VMETRIC_L2, 64, NULL), ST_OK);
    c = npin(&w, "docs");
    nrput(c, 1, DOCS, 1);
    assert_int_equal(nrpatch_m(&w, c, M_AFTER, NULL), ST_OK);
    neventually(ninfo(c).rebuild.linked > 0 || nrdone(c));
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
    assert_int_equal(ncreate(&w, "docs", NR_DIM, VMETRIC_L2, 64, NULL), ST_OK);
    c = npin(&w, "docs");
    nrput(c, 1, DOCS, 1);
    neventually(ninfo(c).pending_rows == 0);
    bytes = mem_budget_bytes(&w.node->budget) + 100000;
    node_collection_unpin(c);
    nworld_close(&w);
    w.options.memory_bytes_max = bytes;
    nworld_open(&w);
    c = npin(&w, "docs");
    bytes = mem_budget_bytes(&c->budget);
    assert_int_equal(nrpatch_m(&w, c, 128, &err), ST_NOSPACE);
    assert_non_null(strstr(err.text, "m 128"));
    assert_true(mem_budget_bytes(&c->budget) < bytes + 50000);
    assert_int_equal(ninfo(c).m, M_BEFORE);
    assert_true(nrdone(c));
    nrfound(c, 200, 1);
    node_collection_unpin(c);
    nworld_close(&w);

    /* Asked for before a start that has less memory: it waits, and says so. */
    bytes = w.options.memory_bytes_max;
    w.options.memory_bytes_max = UINT64_C(4) << 30;
    nworld_open(&w);
    c = npin(&w, "docs");
    assert_int_equal(nrpatch_m(&w, c, 128, NULL), ST_OK);
    node_collection_unpin(c);
    nworld_close(&w);
    w.options.memory_bytes_max = bytes;
    nworld_open(&w);
    c = npin(&w, "docs");
    assert_int_equal(ninfo(c).m, 128);
    neventually(ninfo(c).rebuild.state != NULL && strcmp(ninfo(c).rebuild.state, "waiting") == 0);
    nrfound(c, 200, 1);
    node_collection_unpin(c);
    nworld_close(&w);
    w.options.memory_bytes_max = UINT64_C(4) << 30;
    nworld_open(&w);
    c = npin(&w, "docs");
    neventually(nrdone(c));
    assert_int_equal(nrserved(c), 128);
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
    assert_int_equal(ncreate(&w, "docs", NR_DIM, VMETRIC_L2, 64, NULL), ST_OK);
    c = npin(&w, "docs");
    nrput(c, 1, DOCS, 1);
    neventually(ninfo(c).pending_rows == 0);
    assert_int_equal(ncheckpoint(c, NULL), ST_OK); /* with the old graph */
    assert_int_equal(nrpatch_m(&w, c, M_AFTER, NULL), ST_OK);
    for (int round = 0; round < 2; round++) {
        node_collection_unpin(c);
        nworld_power_cut(&w);
        nworld_open(&w);
        c = npin(&w, "docs");
        assert_int_equal(ninfo(c).m, M_AFTER);
        assert_int_equal(ninfo(c).document_count, DOCS - 1);
        if (round == 0)
            neventually(ninfo(c).rebuild.linked > 0 || nrdone(c));
    }
    /* it serves, and the news of it are out */
    neventually(nrdone(c) && atomic_load(&c->fields[0].rebuild_wall_ns) == 0);
    assert_int_equal(nrserved(c), M_AFTER);
    neventually(!atomic_load(&c->graph_news)); /* the checkpoint has it */
    nrfound(c, 300, 1);
    node_collection_unpin(c);
    nworld_power_cut(&w);
    nworld_open(&w);
    c = npin(&w, "docs");
    assert_int_equal(nrserved(c), M_AFTER);
    assert_true(nrdone(c));
    neventually(ninfo(c).pending_rows == 0);
    ninvariants(c);
    nrfound(c, DOCS, 1);
    node_collection_unpin(c);
    nworld_fini(&w);
}

static status patch_kind(struct nworld *w, struct collection *c, enum vquantization kind,
                         uint16_t m, struct err *err)
{
    const struct hnsw_patch to = {
        .m = m, .threshold = UINT32_MAX, .quantization = (uint8_t)(1 + kind)};

    return nrpatch(w, c, &to, 1, err);
}

static void serves_as(struct collection *c, enum vquantization kind)
{
    struct collection_info info;

    neventually(nrdone(c));
    info = ninfo(c);
    assert_string_equal(info.quantization, vquantization_name(kind));
    assert_int_equal(vindex_graph(c->fields[0].vindex).quantization, kind);
    assert_true((info.codes_bytes == 0) == (kind == VQUANT_NONE));
    assert_true(info.vectors_bytes > 0 && info.links_bytes > 0);
    nrfound(c, 300, 1);
}

/* The quantization asked for is the collection's from the answer on, whatever happens then; links
 * stay as they are, and no image of them is due. */
static void a_quantization_is_changed_and_survives_a_crash(void **state)
{
    static const enum vquantization kinds[] = {VQUANT_NONE, VQUANT_BINARY, VQUANT_SCALAR};
    struct nworld w;
    struct collection *c;
    struct err err = {0};

    (void)state;
    nworld_init(&w, true, 10);
    nworld_open(&w);
    assert_int_equal(ncreate(&w, "docs", NR_DIM, VMETRIC_L2, 64, NULL), ST_OK);
    c = npin(&w, "docs");
    nrput(c, 1, DOCS, 1);
    neventually(ninfo(c).pending_rows == 0);
    serves_as(c, VQUANT_SCALAR);
    assert_int_equal(ncheckpoint(c, NULL), ST_OK);
    for (size_t i = 0; i < COUNT_OF(kinds); i++) {
        if (vquantization_check(kinds[i], NULL) != ST_OK) {
            assert_int_equal(patch_kind(&w, c, kinds[i], 0, &err), ST_INVALID);
            assert_non_null(strstr(err.text, vquantization_name(kinds[i])));
            assert_true(nrdone(c));
            continue;
        }
        assert_int_equal(patch_kind(&w, c, kinds[i], 0, NULL), ST_OK);
        if (i % 2 == 0) {
            serves_as(c, kinds[i]);
            assert_false(atomic_load(&c->graph_news));
        }
        node_collection_unpin(c);
        nworld_power_cut(&w);
        nworld_open(&w);
        c = npin(&w, "docs");
        assert_int_equal(ninfo(c).document_count, DOCS - 1);
        neventually(ninfo(c).pending_rows == 0);
        serves_as(c, kinds[i]);
    }
    assert_int_equal(patch_kind(&w, c, VQUANT_NONE, M_AFTER, NULL), ST_OK);
    serves_as(c, VQUANT_NONE);
    assert_int_equal(nrserved(c), M_AFTER);
    ninvariants(c);
    nrfound(c, DOCS, 1);
    node_collection_unpin(c);
    nworld_fini(&w);
}

/* Few rows are no codes to learn, and nothing to wait for. */
static void codes_to_learn_come_with_the_rows(void **state)
{
    struct nworld w;
    struct collection *c;

    (void)state;
    nworld_init(&w, false, 11);
    nworld_open(&w);
    assert_int_equal(ncreate(&w, "docs", NR_DIM, VMETRIC_L2, 64, NULL), ST_OK);
    c = npin(&w, "docs");
    nrput(c, 1, 500, 1);
    neventually(ninfo(c).pending_rows == 0);
    assert_int_equal(patch_kind(&w, c, VQUANT_BINARY, 0, NULL), ST_OK);
    assert_true(nrdone(c));
    assert_string_equal(ninfo(c).quantization, "binary");
    nrfound(c, 300, 1);
    nrput(c, 500, DOCS, 1);
    serves_as(c, VQUANT_BINARY);
    node_collection_unpin(c);
    nworld_fini(&w);
}

/* What a newer program left in the catalog serves as 8-bit codes, and stays there. */
static void an_unknown_quantization_serves_as_scalar(void **state)
{
    (void)state;
    for (unsigned byte = 1; byte <= QUANTIZATION_SCALAR; byte++)
        assert_int_equal(vquantization_check(schema_quantization((uint8_t)byte), NULL), ST_OK);
    assert_int_equal(schema_quantization(QUANTIZATION_SCALAR), VQUANT_SCALAR);
    assert_int_equal(schema_quantization(QUANTIZATION_NONE), VQUANT_NONE);
    assert_int_equal(schema_quantization(5), VQUANT_SCALAR);
    assert_int_equal(schema_byte_of(0), QUANTIZATION_SCALAR);
    assert_int_equal(schema_byte_of(1 + VQUANT_BINARY), QUANTIZATION_BINARY);
    assert_int_equal(schema_byte_of(255), QUANTIZATION_SCALAR);
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
    assert_int_equal(ncreate_s3(&w, "docs", NR_DIM, NODE_LOCAL, NULL), ST_OK);
    c = npin(&w, "docs");
    nrput(c, 1, DOCS, 1);
    neventually(ninfo(c).pending_rows == 0);
    assert_int_equal(nsnapshot(c, NULL, &snapshot, NULL), ST_OK);
    assert_int_equal(nrpatch_m(&w, c, M_AFTER, NULL), ST_OK);
    node_collection_unpin(c);
    nlose_disk(&w);

    nworld_open(&w);
    c = npin(&w, "docs");
    assert_int_equal(ninfo(c).m, M_AFTER);
    neventually(nrdone(c) && ninfo(c).rows_to_link == 0);
    assert_int_equal(nrserved(c), M_AFTER);
    ninvariants(c);
    nrfound(c, 300, 1);
    neventually(nsnapshot(c, NULL, &snapshot, NULL) == ST_OK);
    node_collection_unpin(c);
    nlose_disk(&w);

    nworld_open(&w);
    c = npin(&w, "docs");
    assert_int_equal(nrserved(c), M_AFTER); /* at once: the manifest says so */
    assert_true(nrdone(c));
    neventually(ninfo(c).pending_rows == 0);
    ninvariants(c);
    nrfound(c, DOCS, 1);
    node_collection_unpin(c);
    nworld_fini(&w);
}

static void snapshot_told(void *arg, status st, const struct node_snapshot_result *result,
                          const struct err *err)
{
    (void)result;
    call_admin_done(arg, st, NULL, err);
}

/* Another graph comes to serve when all of an image is in the bucket and only the note of it is
 * missing: the image is due again. */
static void an_image_of_the_old_graph_is_not_noted_as_the_new_ones(void **state)
{
    const struct objstore_fault manifest = {.kind = OBJSTORE_FAULT_DELAY,
                                            .ops = 1u << OBJSTORE_PUT,
                                            .key_part = "/m/",
                                            .delay_ms = OBJSTORE_FAULT_HOLD};
    const struct objstore_fault root = {
        .kind = OBJSTORE_FAULT_DELAY, .ops = 1u << OBJSTORE_PUT, .key_part = "/root"};
    struct bucket_marks marks;
    struct nworld w;
    struct collection *c;
    struct call call;
    unsigned committed;

    (void)state;
    nworld_init(&w, false, 9);
    nworld_bucket(&w, "rebuild-noted");
    nworld_open(&w);
    assert_int_equal(ncreate_s3(&w, "docs", NR_DIM, NODE_LOCAL, NULL), ST_OK);
    c = npin(&w, "docs");
    nrput(c, 1, DOCS, 1);
    neventually(ninfo(c).pending_rows == 0);
    nall_shipped(&w);
    (void)nfault(&w, manifest);
    call_init(&call);
    node_snapshot(c, NULL, snapshot_told, &call);
    neventually(objstore_faults_held(w.bucket) == 1);
    committed = nfault(&w, root);
    lock_take(&c->bucket.lock);
    assert_int_equal(objstore_faults_release(w.bucket), 1);
    neventually(objstore_faults_met(w.bucket, committed) == 1);
    npause_ms(100); /* it waits to note it */
    atomic_fetch_add(&c->graphs_made, 1);
    c->bucket.marks.image_rows = 0;
    lock_drop(&c->bucket.lock);
    call_wait(&call);
    assert_int_equal(call.st, ST_OK);
    ship_marks(c, &marks);
    assert_int_equal(marks.image_rows, 0);
    assert_true(marks.image_lsn > 0);
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
    assert_int_equal(nrpatch(&w, c, &to, 1u << NF_SOUND, NULL), ST_OK);
    nfcheck(c, &model);
    neventually(nrdone(c));
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
    assert_int_equal(ncreate(&w, "docs", NR_DIM, VMETRIC_L2, 64, NULL), ST_OK);
    c = npin(&w, "docs");
    nrput(c, 1, 400, 1);
    neventually(ninfo(c).pending_rows == 0);
    for (; failed; n++) {
        uint16_t other = m == M_BEFORE ? M_AFTER : M_BEFORE;
        status st;

        mem_test_fail_after(n);
        st = nrpatch_m(&w, c, other, NULL);
        if (n % 16 == 0) /* beginning and linking meet it too */
            npause_ms(700);
        failed = mem_test_count() > n;
        mem_test_fail_after(-1);
        assert_true(st == ST_OK || st == ST_NOMEM || st == ST_UNAVAILABLE);
        m = ninfo(c).m;
        assert_true(st == ST_OK ? m == other : m != other);
        assert_true(n < 300);
    }
    neventually(nrdone(c));
    assert_int_equal(nrserved(c), m);
    neventually(ninfo(c).rows_to_link == 0);
    ninvariants(c);
    nrfound(c, 400, 1);
    node_collection_unpin(c);
    nworld_fini(&w);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_same_values_change_nothing),
        cmocka_unit_test(a_second_change_begins_anew),
        cmocka_unit_test(without_memory_it_is_refused_and_nothing_changes),
        cmocka_unit_test(a_crash_in_the_middle_goes_on),
        cmocka_unit_test(a_quantization_is_changed_and_survives_a_crash),
        cmocka_unit_test(codes_to_learn_come_with_the_rows),
        cmocka_unit_test(an_unknown_quantization_serves_as_scalar),
        cmocka_unit_test(a_restore_takes_an_image_of_other_making),
        cmocka_unit_test(an_image_of_the_old_graph_is_not_noted_as_the_new_ones),
        cmocka_unit_test(each_vector_has_its_own),
        cmocka_unit_test(failing_allocations_are_survived),
    };

    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    nlog();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
