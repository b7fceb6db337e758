/* A node and its bucket: what was acknowledged reaches it in order, comes back from it alone, and
 * nobody else writes there unnoticed. The store is in memory, behind faults. */
#include "tests/unit/node/nbucket.h"

#include <stdio.h>
#include <stdlib.h>

/* Inserts, replacements and deletes, the machine lost, everything back from the bucket alone. */
static void comes_back_from_the_bucket_alone(void **state)
{
    struct nworld w;
    struct collection *c;

    (void)state;
    nworld_init(&w, false, 1);
    nworld_bucket(&w, "alone");
    nworld_open(&w);
    c = nmake(&w, "docs", NODE_LOCAL);
    nput_range(c, 1, 300, 1);
    nput_range(c, 50, 100, 2);
    for (uint64_t id = 10; id < 20; id++)
        assert_int_equal(ndel(c, id, NULL), ST_OK);
    neventually(nshipped(c));
    node_collection_unpin(c);
    nlose_disk(&w);

    nworld_open(&w);
    c = npin(&w, "docs");
    assert_int_equal(ncount(c), 290);
    nhas_range(c, 1, 9, 1);
    nhas_range(c, 10, 19, 0);
    nhas_range(c, 20, 49, 1);
    nhas_range(c, 50, 100, 2);
    nhas_range(c, 101, 300, 1);
    neventually(strcmp(ninfo(c).state, "serving") == 0); /* our node id: writes are taken again */
    nput_range(c, 301, 310, 1);
    neventually(nshipped(c));
    ninvariants(c);
    node_collection_unpin(c);
    nlose_disk(&w);

    nworld_open(&w);
    c = npin(&w, "docs");
    assert_int_equal(ncount(c), 300);
    node_collection_unpin(c);
    nworld_fini(&w);
}

/* A record of which no object can be made would stand before all that follows it for ever. */
static void a_write_that_fits_into_no_object_is_refused(void **state)
{
    enum { WIDE = 65535, ROWS = 260, FEWER = 20 };
    struct nworld w;
    struct collection *c;
    struct write_row *rows = calloc(ROWS, sizeof *rows);
    float *vector = malloc(WIDE * sizeof *vector);
    struct buf payload;
    struct err err = {0};

    (void)state;
    assert_non_null(rows);
    assert_non_null(vector);
    nworld_init(&w, false, 12);
    nworld_bucket(&w, "too-large");
    nworld_open(&w);
    assert_int_equal(ncreate_s3(&w, "docs", WIDE, NODE_LOCAL, NULL), ST_OK);
    c = npin(&w, "docs");
    nvector(1, 1, WIDE, vector);
    npayload(1, &payload);
    for (uint64_t i = 0; i < ROWS; i++)
        rows[i] = (struct write_row){
            .id = docid_u64(i + 1), .vector = vector, .payload = buf_slice(&payload)};
    assert_int_equal(nwrite(c, rows, ROWS, NULL, &err), ST_INVALID);
    assert_non_null(strstr(err.text, "in parts"));
    assert_int_equal(ncount(c), 0);
    assert_int_equal(nwrite(c, rows, FEWER, NULL, &err), ST_OK);
    neventually(nshipped(c));
    assert_int_equal(ncount(c), FEWER);
    node_collection_unpin(c);
    buf_free(&payload);
    free(vector);
    free(rows);
    nworld_fini(&w);
}

struct seen {
    uint64_t lsn, inserted_at_ns;
};

static struct seen see(struct collection *c, uint64_t id)
{
    const struct docid doc = docid_u64(id);
    struct document found = {0};
    struct arena arena;
    struct seen seen;

    arena_init(&arena, 1 << 20);
    assert_int_equal(node_get(c, &doc, &arena, &found, NULL), ST_OK);
    seen = (struct seen){found.lsn, found.inserted_at_ns};
    arena_free(&arena);
    return seen;
}

/* A row comes back with the lsn and the time it was written with, out of the log as out of a base.
 */
static void rows_keep_their_lsn_and_time(void **state)
{
    struct nworld w;
    struct collection *c;
    struct seen before[3];

    (void)state;
    nworld_init(&w, false, 11);
    nworld_bucket(&w, "times");
    nworld_open(&w);
    c = nmake(&w, "docs", NODE_LOCAL);
    for (int i = 0; i < 6; i++)
        nput_range(c, 1, 40, 2);
    nput_range(c, 1, 30, 3);
    assert_int_equal(ncompact(c, NULL, NULL), ST_OK);
    assert_true(ninfo(c).segments >= 1);
    nput_range(c, 3, 3, 4);
    for (uint64_t id = 1; id <= 3; id++)
        before[id - 1] = see(c, id);
    neventually(nshipped(c));
    node_collection_unpin(c);
    nlose_disk(&w);
    nworld_open(&w);
    c = npin(&w, "docs");
    for (uint64_t id = 1; id <= 3; id++) {
        struct seen now = see(c, id);

        assert_int_equal(now.lsn, before[id - 1].lsn);
        assert_int_equal(now.inserted_at_ns, before[id - 1].inserted_at_ns);
    }
    nhas_range(c, 4, 30, 3);
    nhas_range(c, 31, 40, 2);
    node_collection_unpin(c);
    nworld_fini(&w);
}

/* Tenants and databases of the bucket's catalog are the node's after a start on an empty disk. */
static void tenants_come_back(void **state)
{
    static const uint8_t tenant[16] = {7};
    static const uint8_t database[16] = {8};
    char path[FS_PATH_BYTES];
    struct nworld w;
    struct catalog catalog;
    struct buf bytes;
    struct objstore_req put = {.op = OBJSTORE_PUT, .key = OBJKEY_CATALOG};

    (void)state;
    nworld_init(&w, false, 12);
    nworld_bucket(&w, "tenants");
    catalog_init(&catalog);
    buf_init(&bytes, CATALOG_BYTES_MAX);
    assert_int_equal(catalog_add_tenant(&catalog, tenant, "acme", NULL), ST_OK);
    assert_int_equal(catalog_add_database(&catalog, database, tenant, "prod", NULL), ST_OK);
    assert_int_equal(catalog_encode(&catalog, &bytes, NULL), ST_OK);
    put.body = buf_slice(&bytes);
    assert_int_equal(objstore_wait(w.bucket, &put, NULL), ST_OK);
    objstore_result_fini(&put.result);
    catalog_free(&catalog);
    nworld_open(&w);
    nworld_close(&w);
    assert_int_equal(fs_join(path, w.dir, "catalog", NULL), ST_OK);
    buf_reset(&bytes);
    assert_int_equal(fs_read_file(fs_real(), path, CATALOG_BYTES_MAX, &bytes, NULL), ST_OK);
    assert_int_equal(catalog_decode(buf_slice(&bytes), &catalog, NULL), ST_OK);
    assert_int_equal(catalog.tenant_count, 1);
    assert_string_equal(catalog.tenants[0].name, "acme");
    assert_int_equal(catalog.database_count, 1);
    assert_string_equal(catalog.databases[0].name, "prod");
    catalog_free(&catalog);
    buf_free(&bytes);
    nworld_fini(&w);
}

/* The same with an image: the graph is taken over, not built again. */
static void an_image_spares_linking(void **state)
{
    struct nworld w;
    struct collection *c;
    struct node_snapshot_result snapshot = {0};
    struct collection_info info;

    (void)state;
    nworld_init(&w, false, 2);
    nworld_bucket(&w, "image");
    nworld_open(&w);
    c = nmake(&w, "docs", NODE_LOCAL);
    nput_range(c, 1, 1500, 1);
    neventually(ninfo(c).pending_rows == 0);
    assert_int_equal(nsnapshot(c, NULL, &snapshot, NULL), ST_OK);
    assert_true(snapshot.objects >= 1);
    assert_int_equal(snapshot.lsn, ninfo(c).last_lsn);
    nput_range(c, 1501, 1520, 1);
    neventually(nshipped(c));
    node_collection_unpin(c);
    nlose_disk(&w);

    nworld_open(&w);
    c = npin(&w, "docs");
    info = ninfo(c);
    assert_int_equal(info.document_count, 1520);
    neventually(ninfo(c).pending_rows == 0);
    ninvariants(c);
    nhas_range(c, 1, 1520, 1);
    node_collection_unpin(c);
    nworld_fini(&w);
}

/* A named snapshot right after a start: the new epoch has no group of its own yet. */
static void a_snapshot_is_named_in_an_empty_epoch(void **state)
{
    struct nworld w;
    struct collection *c;
    struct node_snapshot_result snapshot = {0};

    (void)state;
    nworld_init(&w, false, 2);
    nworld_bucket(&w, "named");
    nworld_open(&w);
    c = nmake(&w, "docs", NODE_LOCAL);
    nput_range(c, 1, 50, 1);
    neventually(nconfirmed(c));
    node_collection_unpin(c);
    nworld_close(&w);
    nworld_open(&w);
    c = npin(&w, "docs");
    assert_int_equal(nsnapshot(c, "morning", &snapshot, NULL), ST_OK);
    assert_true(snapshot.pin[0] != '\0');
    assert_int_equal(snapshot.lsn, ninfo(c).last_lsn);
    node_collection_unpin(c);
    nworld_fini(&w);
}

/* A restart on the same directory sends nothing for what is shipped, and ships the rest. */
static void a_restart_goes_on(void **state)
{
    struct nworld w;
    struct collection *c;

    (void)state;
    nworld_init(&w, false, 3);
    nworld_bucket(&w, "restart");
    nworld_open(&w);
    c = nmake(&w, "docs", NODE_LOCAL);
    nput_range(c, 1, 50, 1);
    neventually(nconfirmed(c));
    node_collection_unpin(c);
    nworld_close(&w);
    nworld_open(&w);
    c = npin(&w, "docs");
    npause_ms(200);
    assert_true(strcmp(ninfo(c).phase, "idle") == 0); /* nothing to ship, nothing asked */
    nput_range(c, 51, 100, 1);
    neventually(nshipped(c));
    assert_true(strcmp(ninfo(c).phase, "owned") == 0);
    assert_int_equal(ninfo(c).epoch, 2);
    node_collection_unpin(c);
    nlose_disk(&w);
    nworld_open(&w);
    c = npin(&w, "docs");
    nhas_range(c, 1, 100, 1);
    node_collection_unpin(c);
    nworld_fini(&w);
}

/* The bucket is away: writes go on, nothing is lost, and it drains when it is back. */
static void an_outage_is_lived_through(void **state)
{
    const struct objstore_fault outage = objstore_fault_outage();
    struct nworld w;
    struct collection *c;
    struct err err = {0};

    (void)state;
    nworld_init(&w, false, 4);
    nworld_bucket(&w, "outage");
    nworld_open(&w);
    c = nmake(&w, "docs", NODE_LOCAL);
    nput_range(c, 1, 20, 1);
    neventually(nshipped(c));
    assert_int_equal(objstore_faults_add(w.bucket, &outage, NULL, NULL), ST_OK);
    nput_range(c, 21, 200, 1);
    neventually(nhealth_has(&w, "bucket"));
    assert_true(ninfo(c).lag_ms > 0);
    assert_int_equal(ncreate_s3(&w, "other", NDIM, NODE_LOCAL, &err), ST_UNAVAILABLE);
    node_collection_unpin(c);
    nworld_close(&w); /* and a restart in the middle of it */
    nworld_open(&w);
    c = npin(&w, "docs");
    nhas_range(c, 1, 200, 1);
    nput_range(c, 201, 220, 1);
    objstore_faults_clear(w.bucket);
    neventually(nshipped(c));
    neventually(!nhealth_has(&w, "bucket"));
    assert_int_equal(ninfo(c).lag_ms, 0);
    node_collection_unpin(c);
    nlose_disk(&w);
    nworld_open(&w);
    c = npin(&w, "docs");
    nhas_range(c, 1, 220, 1);
    node_collection_unpin(c);
    nworld_fini(&w);
}

/* `remote`: what was answered so survives the loss of the disk at that very moment. */
static void remote_means_remote(void **state)
{
    const struct objstore_fault outage = objstore_fault_outage();
    struct nworld w;
    struct collection *c;
    struct write_result result = {0};
    struct write_row row;
    float vector[NDIM];
    struct buf payload;

    (void)state;
    nworld_init(&w, false, 5);
    nworld_bucket(&w, "remote");
    w.options.remote_wait_ms = 300;
    nworld_open(&w);
    c = nmake(&w, "docs", NODE_REMOTE);
    npayload(1, &payload);
    for (uint64_t id = 1; id <= 20; id++) {
        nvector(id, 1, NDIM, vector);
        row = (struct write_row){
            .id = docid_u64(id), .vector = vector, .payload = buf_slice(&payload)};
        assert_int_equal(nwrite(c, &row, 1, &result, NULL), ST_OK);
        if (result.short_of_remote) /* a slow machine: the bound is the test's own */
            neventually(nshipped(c));
        else
            assert_string_equal(result.durability, "remote");
    }
    assert_int_equal(objstore_faults_add(w.bucket, &outage, NULL, NULL), ST_OK);
    nvector(21, 1, NDIM, vector);
    row = (struct write_row){.id = docid_u64(21), .vector = vector, .payload = buf_slice(&payload)};
    assert_int_equal(nwrite(c, &row, 1, &result, NULL), ST_OK);
    assert_true(result.short_of_remote);
    assert_string_equal(result.durability, "local");
    node_collection_unpin(c);
    nlose_disk(&w);
    objstore_faults_clear(w.bucket);
    nworld_open(&w);
    c = npin(&w, "docs");
    nhas_range(c, 1, 20, 1);
    assert_int_equal(nversion(c, 21), 0);
    node_collection_unpin(c);
    buf_free(&payload);
    nworld_fini(&w);
}

/* Never taken; the reason has the owner's name a moment after the phase is told. */
static bool is_denied_by(struct collection *c, const char *owner)
{
    struct err err = {0};

    assert_int_equal(nput(c, 500, 1, &err), ST_DENIED);
    return strstr(err.text, owner) != NULL;
}

/* A second node on the bucket reads and does not write; with --take-ownership it does, and the
 * first is fenced with what it had not shipped as a letter that can be replayed. */
static void a_second_node_does_not_disturb_the_first(void **state)
{
    struct nworld a;
    struct nworld b;
    struct collection *ca;
    struct collection *cb;
    struct err err = {0};

    (void)state;
    nworld_init(&a, false, 6);
    nworld_init(&b, false, 7);
    nworld_bucket(&a, "second");
    nworld_bucket(&b, "second");
    a.options.node_id = "node-a";
    b.options.node_id = "node-b";
    nworld_open(&a);
    ca = nmake(&a, "docs", NODE_LOCAL);
    nput_range(ca, 1, 100, 1);
    neventually(nshipped(ca));

    nworld_open(&b);
    cb = npin(&b, "docs");
    nhas_range(cb, 1, 100, 1);
    neventually(nphase_is(&b, "docs", "foreign"));
    neventually(is_denied_by(cb, "node-a"));
    node_collection_unpin(cb);
    nworld_close(&b);
    nworld_open(&b); /* now from its own disk: still not ours */
    cb = npin(&b, "docs");
    neventually(nphase_is(&b, "docs", "foreign"));
    assert_int_equal(nput(cb, 500, 1, &err), ST_DENIED);
    node_collection_unpin(cb);
    nworld_close(&b);

    nput_range(ca, 101, 120, 1); /* the first never noticed */
    neventually(nshipped(ca));   /* and what it remembers of it may lag behind */
    assert_int_equal(ninfo(ca).epoch, 1);

    b.options.take_ownership = true;
    {
        const struct objstore_fault outage = objstore_fault_outage();

        assert_int_equal(objstore_faults_add(a.bucket, &outage, NULL, NULL), ST_OK);
        nput_range(ca, 121, 130, 2); /* acknowledged by the first, cut off from the bucket */
    }
    nworld_open(&b);
    neventually(nphase_is(&b, "docs", "owned"));
    cb = npin(&b, "docs");
    nput_range(cb, 200, 210, 3);
    neventually(nshipped(cb));
    nhas_range(cb, 1, 120, 1);
    nhas_range(cb, 121, 130, 0);

    objstore_faults_clear(a.bucket);
    neventually(nphase_is(&a, "docs", "fenced"));
    assert_int_equal(nput(ca, 131, 1, &err), ST_DENIED);
    neventually(ninfo(ca).dlq == 1);
    node_collection_unpin(ca);
    node_collection_unpin(cb);
    nworld_close(&b);

    a.options.take_ownership = true; /* back to the first, which takes the bucket's state */
    nworld_close(&a);
    nworld_open(&a);
    neventually(nphase_is(&a, "docs", "owned"));
    ca = npin(&a, "docs");
    nhas_range(ca, 1, 120, 1);
    nhas_range(ca, 200, 210, 3);
    nhas_range(ca, 121, 130, 0);
    assert_int_equal(ninfo(ca).dlq, 1);
    node_collection_unpin(ca);
    nworld_fini(&a);
    nworld_fini(&b);
}

/* A live Memory collection becomes MemoryS3: rows of before and of meanwhile are in the bucket. */
static void a_live_switch_publishes_the_base(void **state)
{
    struct nworld w;
    struct collection *c;
    struct err err = {0};

    (void)state;
    nworld_init(&w, false, 8);
    nworld_bucket(&w, "switch");
    nworld_open(&w);
    assert_int_equal(ncreate(&w, "docs", NDIM, VMETRIC_L2, 64, &err), ST_OK);
    c = npin(&w, "docs");
    nput_range(c, 1, 200, 1);
    nput_range(c, 1, 50, 2);
    assert_int_equal(ncheckpoint(c, NULL), ST_OK);
    if (npatch_policy(&w, c, NODE_MEMORY_S3, &err) != ST_OK)
        fail_msg("switch: %s", err.text);
    nput_range(c, 201, 260, 1);
    assert_int_equal(ndel(c, 60, NULL), ST_OK);
    neventually(!ninfo(c).switching && ninfo(c).published_lsn > 0);
    neventually(nshipped(c));
    node_collection_unpin(c);
    nlose_disk(&w);
    nworld_open(&w);
    c = npin(&w, "docs");
    assert_int_equal(ncount(c), 259);
    nhas_range(c, 1, 50, 2);
    nhas_range(c, 51, 59, 1);
    nhas_range(c, 60, 60, 0);
    nhas_range(c, 61, 260, 1);
    node_collection_unpin(c);
    nworld_fini(&w);
}

/* Names, aliases and drops come back from the bucket alone too. */
static void the_catalog_comes_back(void **state)
{
    struct nworld w;
    struct collection *c;
    struct collection *dropped;
    struct node_alias aliases[4];
    struct call call;

    (void)state;
    nworld_init(&w, false, 9);
    nworld_bucket(&w, "catalog");
    nworld_open(&w);
    c = nmake(&w, "first", NODE_LOCAL);
    dropped = nmake(&w, "second", NODE_LOCAL);
    assert_int_equal(npatch(&w, c, "renamed", 77, NULL), ST_OK);
    call_init(&call);
    node_alias_set(w.node, "alias", c, call_admin_done, &call);
    call_wait(&call);
    assert_int_equal(call.st, ST_OK);
    assert_int_equal(ndrop(&w, dropped, NULL), ST_OK);
    node_collection_unpin(dropped);
    nput_range(c, 1, 5, 1);
    neventually(nshipped(c));
    node_collection_unpin(c);
    nlose_disk(&w);
    nworld_open(&w);
    c = npin(&w, "renamed");
    assert_int_equal(ninfo(c).ef_search, 77);
    nhas_range(c, 1, 5, 1);
    assert_null(node_collection_pin(w.node, "second", 6));
    neventually(node_alias_list(w.node, NULL, aliases, 4) == 1);
    assert_string_equal(aliases[0].alias, "alias");
    assert_string_equal(aliases[0].collection, "renamed");
    node_collection_unpin(c);
    c = npin(&w, "alias");
    assert_int_equal(ncount(c), 5);
    node_collection_unpin(c);
    nworld_fini(&w);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(comes_back_from_the_bucket_alone),
        cmocka_unit_test(a_write_that_fits_into_no_object_is_refused),
        cmocka_unit_test(an_image_spares_linking),
        cmocka_unit_test(a_snapshot_is_named_in_an_empty_epoch),
        cmocka_unit_test(a_restart_goes_on),
        cmocka_unit_test(an_outage_is_lived_through),
        cmocka_unit_test(remote_means_remote),
        cmocka_unit_test(a_second_node_does_not_disturb_the_first),
        cmocka_unit_test(a_live_switch_publishes_the_base),
        cmocka_unit_test(the_catalog_comes_back),
        cmocka_unit_test(rows_keep_their_lsn_and_time),
        cmocka_unit_test(tenants_come_back),
    };

    if (argc > 1)
        cmocka_set_test_filter(argv[1]); /* one test by name */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
