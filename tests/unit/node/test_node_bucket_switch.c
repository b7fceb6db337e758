/* Becoming a collection of the bucket, and ceasing to be one: each test is named after what must
 * not happen. */
#include "tests/unit/node/nbucket.h"

#include <stdatomic.h>
#include <stdio.h>

/* What was loaded at the start is freed when it is dropped. */
static void a_dropped_collection_gives_its_memory_back(void **state)
{
    struct nworld w;
    struct collection *c;
    uint64_t bytes;

    (void)state;
    nworld_init(&w, false, 33);
    nworld_open(&w);
    assert_int_equal(ncreate(&w, "docs", NDIM, VMETRIC_L2, 64, NULL), ST_OK);
    c = npin(&w, "docs");
    nput_batch(c, 1, 5000, 1);
    node_collection_unpin(c);
    nworld_close(&w);
    nworld_open(&w);
    c = npin(&w, "docs");
    bytes = mem_budget_bytes(&w.node->budget);
    assert_int_equal(ndrop(&w, c, NULL), ST_OK);
    node_collection_unpin(c);
    neventually(mem_budget_bytes(&w.node->budget) < bytes / 4);
    nworld_fini(&w);
}

/* A collection of the bucket does not come to stand in front of one that is here. */
static void a_name_of_the_bucket_hides_no_local_collection(void **state)
{
    struct nworld a;
    struct nworld b;
    struct collection *c;

    (void)state;
    nworld_init(&a, false, 34);
    nworld_init(&b, false, 35);
    nworld_bucket(&a, "names");
    nworld_bucket(&b, "names");
    nworld_open(&a);
    assert_int_equal(ncreate(&a, "docs", NDIM, VMETRIC_L2, 64, NULL), ST_OK);
    c = npin(&a, "docs");
    nput_range(c, 1, 5, 1);
    node_collection_unpin(c);
    nworld_close(&a);
    nworld_open(&b);
    c = nmake(&b, "docs", NODE_LOCAL);
    nput_range(c, 1, 5, 2);
    neventually(nconfirmed(c));
    node_collection_unpin(c);
    nworld_close(&b);
    nworld_open(&a);
    neventually(nhealth_has(&a, "not taken over"));
    c = npin(&a, "docs");
    nhas_range(c, 1, 5, 1);
    assert_int_equal(nput(c, 6, 1, NULL), ST_OK);
    node_collection_unpin(c);
    nworld_fini(&a);
    nworld_fini(&b);
}

static void put_root(struct nworld *w, const struct root *root)
{
    char key[OBJKEY_BYTES];
    struct objstore_req put = {.op = OBJSTORE_PUT, .key = key};
    struct buf bytes;

    objkey_root(root->collection, key);
    buf_init(&bytes, ROOT_BYTES_MAX);
    assert_int_equal(root_encode(root, &bytes, NULL), ST_OK);
    put.body = buf_slice(&bytes);
    assert_int_equal(objstore_wait(w->bucket, &put, NULL), ST_OK);
    objstore_result_fini(&put.result);
    buf_free(&bytes);
}

/* A switch that a crash cut short after its root, or that the bucket did not answer in time, is
 * done by asking once more. */
static void a_switch_cut_short_can_be_made_again(void **state)
{
    struct root root = {.state = ROOT_SWITCHING,
                        .revision = 1,
                        .nonce = {1},
                        .node_id = "test",
                        .session = {2},
                        .epoch = 1,
                        .floor = {.lsn = 3, .epoch = 1, .seq = 1, .chain = 77}};
    struct nworld w;
    struct collection *c;
    struct err err = {0};

    (void)state;
    nworld_init(&w, false, 36);
    nworld_bucket(&w, "again");
    nworld_open(&w);
    assert_int_equal(ncreate(&w, "docs", NDIM, VMETRIC_L2, 64, NULL), ST_OK);
    c = npin(&w, "docs");
    nput_range(c, 1, 50, 1);
    memcpy(root.collection, c->id, sizeof root.collection);
    put_root(&w, &root);
    if (npatch_policy(&w, c, NODE_MEMORY_S3, &err) != ST_OK)
        fail_msg("switch: %s", err.text);
    nput_range(c, 51, 60, 1);
    neventually(!ninfo(c).switching && ninfo(c).published_lsn > 0);
    neventually(nshipped(c));
    node_collection_unpin(c);
    nlose_disk(&w);
    nworld_open(&w);
    c = npin(&w, "docs");
    nhas_range(c, 1, 60, 1);
    node_collection_unpin(c);
    nworld_fini(&w);
}

/* Who takes a snapshot has everything in the bucket when the answer comes; of a collection that is
 * becoming the bucket's that is its base, too. */
static void a_snapshot_of_a_switch_can_be_restored(void **state)
{
    enum { ROUNDS = 6 };
    struct nworld w;

    (void)state;
    nworld_init(&w, false, 38);
    nworld_bucket(&w, "snapshot");
    nworld_open(&w);
    for (uint32_t i = 0; i < ROUNDS; i++) {
        struct collection *c;
        struct err err = {0};
        char name[16];

        (void)snprintf(name, sizeof name, "docs%u", i);
        assert_int_equal(ncreate(&w, name, NDIM, VMETRIC_L2, 64, NULL), ST_OK);
        c = npin(&w, name);
        if (i % 2 == 1)
            nput_range(c, 1, 20, 1);
        if (npatch_policy(&w, c, NODE_MEMORY_S3, &err) != ST_OK)
            fail_msg("switch: %s", err.text);
        if (nsnapshot(c, NULL, NULL, &err) != ST_OK)
            fail_msg("snapshot: %s", err.text);
        assert_false(ninfo(c).switching);
        node_collection_unpin(c);
    }
    nlose_disk(&w);
    nworld_open(&w);
    for (uint32_t i = 0; i < ROUNDS; i++) {
        char name[16];

        (void)snprintf(name, sizeof name, "docs%u", i);
        neventually(nstate_is(&w, name, "serving"));
    }
    nworld_fini(&w);
}

/* The bucket learns the aliases with the collection: else a start takes them for removed there. */
static void aliases_go_with_a_switch(void **state)
{
    struct nworld w;
    struct collection *c;
    struct err err = {0};

    (void)state;
    nworld_init(&w, false, 39);
    nworld_bucket(&w, "aliases");
    nworld_open(&w);
    assert_int_equal(ncreate(&w, "docs", NDIM, VMETRIC_L2, 64, NULL), ST_OK);
    c = npin(&w, "docs");
    nput_range(c, 1, 20, 1);
    assert_int_equal(nalias(&w, "other", c, NULL), ST_OK);
    if (npatch_policy(&w, c, NODE_MEMORY_S3, &err) != ST_OK)
        fail_msg("switch: %s", err.text);
    if (nsnapshot(c, NULL, NULL, &err) != ST_OK)
        fail_msg("snapshot: %s", err.text);
    node_collection_unpin(c);
    nlose_disk(&w);
    nworld_open(&w);
    neventually(nstate_is(&w, "docs", "serving"));
    neventually(nthere(&w, "other"));
    nworld_fini(&w);
}

static status nwrite_one(struct collection *c, uint64_t id, struct write_result *result)
{
    struct write_row row = {.id = docid_u64(id)};
    float vector[NDIM];
    struct buf payload;
    status st;

    npayload(1, &payload);
    nvector(id, 1, NDIM, vector);
    row.vector = vector;
    row.payload = buf_slice(&payload);
    st = nwrite(c, &row, 1, result, NULL);
    buf_free(&payload);
    return st;
}

/* As long as the base is on its way nothing can be restored: nothing is remote yet. */
static void nothing_is_remote_before_the_base_is(void **state)
{
    struct objstore_fault refused = objstore_fault_denied();
    const struct collection_patch remote = {.durability = NODE_REMOTE};
    struct write_result result = {0};
    struct nworld w;
    struct collection *c;
    struct call call;

    (void)state;
    nworld_init(&w, false, 37);
    nworld_bucket(&w, "base");
    w.options.remote_wait_ms = 1000;
    nworld_open(&w);
    assert_int_equal(ncreate(&w, "docs", NDIM, VMETRIC_L2, 64, NULL), ST_OK);
    c = npin(&w, "docs");
    nput_range(c, 1, 50, 1);
    refused.ops = 1u << OBJSTORE_PUT;
    refused.key_part = "/g/";
    (void)nfault(&w, refused);
    assert_int_equal(npatch_policy(&w, c, NODE_MEMORY_S3, NULL), ST_OK);
    call_init(&call);
    node_collection_patch(w.node, c, &remote, call_admin_done, &call);
    call_wait(&call);
    assert_int_equal(call.st, ST_OK);
    assert_int_equal(nwrite_one(c, 51, &result), ST_OK);
    assert_true(result.short_of_remote);
    neventually(ninfo(c).shipped_lsn == ninfo(c).last_lsn);
    assert_true(ninfo(c).switching);

    objstore_faults_clear(w.bucket);
    neventually(!ninfo(c).switching);
    neventually(nwrite_one(c, 52, &result) == ST_OK && !result.short_of_remote);
    node_collection_unpin(c);
    nlose_disk(&w);
    nworld_open(&w);
    c = npin(&w, "docs");
    nhas_range(c, 1, 52, 1);
    node_collection_unpin(c);
    nworld_fini(&w);
}

/* A bucket that newer programs write is not written by this one, which says so. */
static void a_bucket_of_newer_programs_is_left_alone(void **state)
{
    const struct bucket_format format = {
        .version = 2, .reader_min = 1, .writer_min = 2, .cluster_id = {1}, .created_at_ns = 1};
    struct objstore_req put = {.op = OBJSTORE_PUT, .key = OBJKEY_FORMAT};
    struct nworld w;
    struct buf bytes;
    struct err err = {0};

    (void)state;
    nworld_init(&w, false, 45);
    nworld_bucket(&w, "newer");
    buf_init(&bytes, 4096);
    assert_int_equal(bucket_format_encode(&format, &bytes, NULL), ST_OK);
    put.body = buf_slice(&bytes);
    assert_int_equal(objstore_wait(w.bucket, &put, NULL), ST_OK);
    objstore_result_fini(&put.result);
    buf_free(&bytes);
    nworld_open(&w);
    neventually(nhealth_has(&w, "newer programs"));
    assert_int_equal(ncreate_s3(&w, "docs", NDIM, NODE_LOCAL, &err), ST_UNSUPPORTED);
    assert_non_null(strstr(err.text, "newer programs"));
    nworld_fini(&w);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_dropped_collection_gives_its_memory_back),
        cmocka_unit_test(a_name_of_the_bucket_hides_no_local_collection),
        cmocka_unit_test(a_switch_cut_short_can_be_made_again),
        cmocka_unit_test(a_snapshot_of_a_switch_can_be_restored),
        cmocka_unit_test(aliases_go_with_a_switch),
        cmocka_unit_test(nothing_is_remote_before_the_base_is),
        cmocka_unit_test(a_bucket_of_newer_programs_is_left_alone),
    };

    if (argc > 1)
        cmocka_set_test_filter(argv[1]); /* one test by name */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
