/* Collections with three vectors a document, of which some lack some, and with none at all: through
 * the bucket. Each test is named after what comes back. */
#include "tests/unit/node/nfields.h"

#include <stdatomic.h>
#include <stdio.h>

static void put(struct collection *c, struct nfmodel *m, uint32_t first, uint32_t end)
{
    struct err err = {0};

    if (nfput(c, m, first, end, &err) != ST_OK)
        fail_msg("put: %s", err.text);
}

static void begin(struct nworld *w, bool sim, const char *bucket)
{
    nworld_init(w, sim, 7);
    nworld_bucket(w, bucket);
    w->options.rpo_ms = 200;
    nworld_open(w);
}

static void must_be(struct nworld *w, const struct nfmodel *m)
{
    struct collection *c = npin(w, "docs");

    nstate(c, "serving", "");
    nfcheck(c, m);
    ninvariants(c);
    node_collection_unpin(c);
}

/* The disk is lost; what comes from the bucket alone is what was there, and takes writes. */
static void comes_back(struct nworld *w, struct collection *c, struct nfmodel *m)
{
    neventually(nshipped(c));
    node_collection_unpin(c);
    nlose_disk(w);
    nworld_open(w);
    nsettled(w);
    neventually(nstate_is(w, "docs", "serving"));
    must_be(w, m);
    neventually(nphase_is(w, "docs", "owned") || nphase_is(w, "docs", "idle"));
    c = npin(w, "docs");
    assert_int_equal(node_field_count(c), m->shape == NF_THREE ? 3 : 0);
    neventually(!ninfo(c).arriving);
    put(c, m, 5, 25);
    assert_int_equal(nfdel(c, m, 30, NULL), ST_OK);
    nfcheck(c, m);
    node_collection_unpin(c);
}

static void wait_linked(struct collection *c)
{
    ninvariants(c);
    for (size_t f = 0; f < c->field_count; f++)
        neventually(vindex_pending(c->fields[f].vindex) == 0 ||
                    !vindex_graph_wanted(c->fields[f].vindex));
}

static void everything_of_the_log_comes_back(void **state)
{
    (void)state;
    for (int shape = NF_THREE; shape <= NF_NONE; shape++) {
        struct nfmodel m = {.shape = (enum nf_shape)shape};
        struct collection *c;
        struct nworld w;

        begin(&w, false, "fields-log");
        c = nfmake(&w, "docs", m.shape, NODE_MEMORY_S3);
        put(c, &m, 0, 100);
        put(c, &m, 50, 150);
        assert_int_equal(nfdel(c, &m, 60, NULL), ST_OK);
        comes_back(&w, c, &m);
        nworld_fini(&w);
    }
}

/* Base segments, images of two fields, and a log behind them. */
static void bases_and_images_come_back(void **state)
{
    (void)state;
    for (int shape = NF_THREE; shape <= NF_NONE; shape++) {
        struct nfmodel m = {.shape = (enum nf_shape)shape};
        struct node_snapshot_result result;
        struct collection *c;
        struct nworld w;

        begin(&w, false, "fields-base");
        c = nfmake(&w, "docs", m.shape, NODE_MEMORY_S3);
        put(c, &m, 0, NF_DOCS);
        wait_linked(c);
        assert_int_equal(nsnapshot(c, NULL, &result, NULL), ST_OK);
        if (shape == NF_THREE)
            assert_true(result.objects >= 3 + 1); /* an image a field, the manifest */
        put(c, &m, 100, 200);
        wait_linked(c);
        assert_int_equal(ncompact_anew(c, NULL), ST_OK);
        assert_true(ninfo(c).segments > 0);
        put(c, &m, 150, 160);
        assert_int_equal(nfdel(c, &m, 155, NULL), ST_OK);
        comes_back(&w, c, &m);
        c = npin(&w, "docs"); /* once more, on what this node made of it */
        assert_int_equal(ncompact_anew(c, NULL), ST_OK);
        comes_back(&w, c, &m);
        nworld_fini(&w);
    }
}

/* The graphs are the image's: nothing is linked anew. */
static void each_field_has_its_graph_back(void **state)
{
    struct nfmodel m = {.shape = NF_THREE};
    uint32_t linked[NF_FIELDS];
    struct collection *c;
    struct nworld w;

    (void)state;
    begin(&w, false, "fields-graph");
    c = nfmake(&w, "docs", m.shape, NODE_MEMORY_S3);
    put(c, &m, 0, NF_DOCS);
    wait_linked(c);
    assert_int_equal(ncompact_anew(c, NULL), ST_OK);
    for (size_t f = 0; f < NF_FIELDS; f++) {
        linked[f] = vindex_linked(c->fields[f].vindex);
        assert_true(linked[f] > 100 && linked[f] < NF_DOCS);
    }
    neventually(nshipped(c));
    node_collection_unpin(c);
    {
        struct err err = {0};
        struct collection *fresh = NULL;
        struct restore_into_report report = {0};
        const struct load_terms terms = {0};
        char owner[ROOT_NODE_ID_BYTES];
        struct catalog_collection *entry;

        c = npin(&w, "docs");
        entry = catalog_find_id(&w.node->catalog, c->id);
        assert_int_equal(collection_create(w.node, entry, &fresh, &err), ST_OK);
        if (load_read_rows(fresh, &terms, &report, owner, &err) != ST_OK)
            fail_msg("load: %s", err.text);
        assert_true(report.bucket.used_image);
        assert_false(report.graph_left_out);
        assert_int_equal(report.live, NF_DOCS);
        assert_int_equal(report.pending, 0);
        for (size_t f = 0; f < NF_FIELDS; f++)
            assert_int_equal(vindex_linked(fresh->fields[f].vindex), linked[f]);
        collection_rows_drop(fresh);
        collection_destroy(fresh);
        node_collection_unpin(c);
    }
    nworld_fini(&w);
}

static void a_memory_collection_is_switched_whole(void **state)
{
    (void)state;
    for (int shape = NF_THREE; shape <= NF_NONE; shape++) {
        struct nfmodel m = {.shape = (enum nf_shape)shape};
        struct collection *c;
        struct nworld w;

        begin(&w, false, "fields-switch");
        c = nfmake(&w, "docs", m.shape, NODE_MEMORY);
        put(c, &m, 0, NF_DOCS);
        put(c, &m, 0, 100);
        assert_int_equal(npatch_policy(&w, c, NODE_MEMORY_S3, NULL), ST_OK);
        put(c, &m, 300, NF_DOCS);
        comes_back(&w, c, &m);
        nworld_fini(&w);
    }
}

/* --- letters --- */

static unsigned refuse_groups(struct nworld *w)
{
    struct objstore_fault fault = objstore_fault_denied();

    fault.ops = 1u << OBJSTORE_PUT;
    fault.key_part = "/w/";
    return nfault(w, fault);
}

static void has_text(const struct buf *text, const char *part, bool wanted)
{
    bool there = memmem(text->data, text->bytes, part, strlen(part)) != NULL;

    if (there != wanted)
        fail_msg("%s is %s in: %.*s", part, wanted ? "not" : "", (int)text->bytes,
                 (const char *)text->data);
}

static void letters_tell_every_vector_and_are_discarded_or_retried(void **state)
{
    (void)state;
    for (int way = 0; way < 3; way++) {
        struct nfmodel m = {.shape = way == 2 ? NF_NONE : NF_THREE};
        struct node_dlq_result asked = {0}, result = {0};
        struct letter letter = {0};
        struct collection *c;
        struct err err = {0};
        struct nworld w;
        struct buf text;
        unsigned fault;

        begin(&w, false, "fields-letters");
        c = nfmake(&w, "docs", m.shape, NODE_MEMORY_S3);
        put(c, &m, 0, 20);
        neventually(nshipped(c));
        fault = refuse_groups(&w);
        put(c, &m, 5, 30);
        neventually(nletter(c, 0, &letter) > 0);
        buf_init(&text, 1 << 24);
        assert_int_equal(ndlq_export(c, letter.id, &text, &err), ST_OK);
        has_text(&text, "\"doc-6\"", true);
        has_text(&text, "\"vectors\":{", true);
        has_text(&text, "\"image\":[", m.shape == NF_THREE);
        has_text(&text, "\"\":[", m.shape == NF_THREE);
        has_text(&text, "\"sound\":[", m.shape == NF_THREE);
        has_text(&text, "\"vector\":", false);
        buf_free(&text);
        if (way == 0) {
            objstore_faults_remove(w.bucket, fault);
            assert_int_equal(ndlq_retry(c, NULL, 0, &result, &err), ST_OK);
            assert_int_equal(result.failed, 0);
        } else {
            assert_int_equal(ndlq_discard(c, 0, 0, false, &asked, &err), ST_CONFLICT);
            objstore_faults_remove(w.bucket, fault);
            if (ndlq_discard(c, asked.lsn_first, asked.lsn_last, false, &result, &err) != ST_OK)
                fail_msg("discard: %s", err.text);
        }
        nfcheck(c, &m);
        comes_back(&w, c, &m);
        nworld_fini(&w);
    }
}

/* What another owner's history left behind is applied again, as it was stored. */
static void a_tail_of_before_is_replayed(void **state)
{
    struct nfmodel m = {.shape = NF_THREE};
    struct node_dlq_result result = {0};
    struct letter letter = {0};
    struct collection *c;
    struct err err = {0};
    struct nworld a, b;

    (void)state;
    nworld_init(&a, false, 8);
    nworld_init(&b, false, 9);
    nworld_bucket(&a, "fields-tail");
    nworld_bucket(&b, "fields-tail");
    a.options.node_id = "node-a";
    b.options.node_id = "node-b";
    nworld_open(&a);
    c = nfmake(&a, "docs", NF_THREE, NODE_MEMORY_S3);
    put(c, &m, 0, 50);
    neventually(nconfirmed(c));
    (void)nfault(&a, objstore_fault_outage());
    put(c, &m, 40, 90); /* on a's disk alone */
    node_collection_unpin(c);
    nworld_close(&a);

    b.options.take_ownership = true;
    nworld_open(&b);
    neventually(nphase_is(&b, "docs", "owned"));
    c = npin(&b, "docs");
    assert_int_equal(nput(c, 5000, 1, NULL), ST_OK);
    assert_int_equal(ndel(c, 5000, NULL), ST_OK);
    neventually(nconfirmed(c));
    node_collection_unpin(c);
    nworld_close(&b);

    objstore_faults_clear(a.bucket);
    a.options.take_ownership = true;
    nworld_open(&a);
    neventually(nphase_is(&a, "docs", "owned"));
    c = npin(&a, "docs");
    assert_true(nletter(c, 0, &letter) == 1);
    assert_int_equal(letter.kind, LETTER_DIVERGENT_TAIL);
    if (ndlq_replay(c, &result, &err) != ST_OK)
        fail_msg("replay: %s", err.text);
    nfcheck(c, &m);
    node_collection_unpin(c);
    nworld_fini(&a);
    nworld_fini(&b);
}

/* --- healing --- */

static void a_damaged_log_is_healed_with_its_tail(void **state)
{
    (void)state;
    for (int shape = NF_THREE; shape <= NF_NONE; shape++) {
        struct nfmodel m = {.shape = (enum nf_shape)shape};
        char path[FS_PATH_BYTES];
        struct collection *c;
        struct nworld w;

        begin(&w, true, "fields-heal");
        c = nfmake(&w, "docs", m.shape, NODE_MEMORY_S3);
        put(c, &m, 0, 60);
        put(c, &m, 30, 90);
        neventually(nshipped(c));
        neventually(nconfirmed(c));
        (void)nfault(&w, objstore_fault_outage());
        put(c, &m, 80, 120);
        neventually(ninfo(c).trouble[0] != '\0');
        nfile(&w, "wal", c, ".wal", true, path);
        node_collection_unpin(c);
        nworld_power_cut(&w);
        nflip(&w, path, 600);
        objstore_faults_clear(w.bucket);
        nworld_open(&w);
        neventually(nhealth_has(&w, "healed from the bucket"));
        neventually(nstate_is(&w, "docs", "serving"));
        must_be(&w, &m);
        c = npin(&w, "docs");
        neventually(!ninfo(c).arriving);
        comes_back(&w, c, &m);
        nworld_fini(&w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(everything_of_the_log_comes_back),
        cmocka_unit_test(bases_and_images_come_back),
        cmocka_unit_test(each_field_has_its_graph_back),
        cmocka_unit_test(a_memory_collection_is_switched_whole),
        cmocka_unit_test(letters_tell_every_vector_and_are_discarded_or_retried),
        cmocka_unit_test(a_tail_of_before_is_replayed),
        cmocka_unit_test(a_damaged_log_is_healed_with_its_tail),
    };

    nlog();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
