/* Starting, loading and stopping beside a bucket that is damaged, away or another's: each test is
 * named after what must not happen. */
#include "tests/unit/node/nbucket.h"

#include <stdatomic.h>
#include <stdio.h>

enum { MANY = 24 };

/* A node whose tail is not the bucket's loads the bucket's state; where that is damaged, what lies
 * on its own disk stays: it may be all there is. An operator who asks for something meanwhile gets
 * an answer. */
static void a_damaged_bucket_does_not_take_the_local_files(void **state)
{
    struct nworld a;
    struct nworld b;
    struct collection *c;
    struct objstore_fault damage = {.kind = OBJSTORE_FAULT_CORRUPT,
                                    .ops = 1u << OBJSTORE_GET,
                                    .key_part = "/g/",
                                    .times = OBJSTORE_FAULT_FOR_EVER};
    struct err err = {0};
    char path[FS_PATH_BYTES];

    (void)state;
    nworld_init(&a, false, 23);
    nworld_init(&b, false, 24);
    nworld_bucket(&a, "damaged");
    nworld_bucket(&b, "damaged");
    a.options.node_id = "node-a";
    b.options.node_id = "node-b";
    nworld_open(&a);
    c = nmake(&a, "docs", NODE_LOCAL);
    for (uint32_t version = 1; version <= 4; version++)
        nput_range(c, 1, 100, version);
    neventually(nconfirmed(c));
    assert_int_equal(ncompact(c, NULL, NULL), ST_OK);
    assert_true(ninfo(c).segments > 0);
    (void)nfault(&a, objstore_fault_outage());
    nput_range(c, 101, 110, 1);
    nfile(&a, "wal", c, ".wal", false, path);
    node_collection_unpin(c);
    nworld_close(&a);

    b.options.take_ownership = true;
    nworld_open(&b);
    neventually(nphase_is(&b, "docs", "owned"));
    c = npin(&b, "docs");
    nput_range(c, 200, 210, 1);
    neventually(nconfirmed(c));
    node_collection_unpin(c);
    nworld_close(&b);

    objstore_faults_clear(a.bucket);
    (void)nfault(&a, damage);
    a.options.take_ownership = true;
    nworld_open(&a);
    neventually(nstate_is(&a, "docs", "failed"));
    c = npin(&a, "docs");
    assert_int_equal(ninfo(c).dlq, 1); /* the tail; and its log is there as well */
    assert_int_equal(nrepublish(c, &err), ST_UNAVAILABLE);
    assert_int_not_equal(ndiscard_all(c, false, &err), ST_NOT_FOUND);
    nfile(&a, "wal", c, ".wal", false, path);
    node_collection_unpin(c);
    nworld_close(&a);

    objstore_faults_clear(a.bucket);
    nworld_open(&a);
    neventually(nphase_is(&a, "docs", "owned"));
    c = npin(&a, "docs");
    nhas_range(c, 1, 100, 4);
    nhas_range(c, 200, 210, 1);
    node_collection_unpin(c);
    nworld_fini(&a);
    nworld_fini(&b);
}

/* A load that met damage, or a store that denies, is tried again: neither need last. */
static void a_load_that_failed_is_tried_again(void **state)
{
    const struct objstore_fault damage = {.kind = OBJSTORE_FAULT_CORRUPT,
                                          .ops = 1u << OBJSTORE_GET,
                                          .key_part = "/w/",
                                          .times = OBJSTORE_FAULT_FOR_EVER};
    struct objstore_fault denied = objstore_fault_denied();

    (void)state;
    denied.key_part = "/w/";
    for (unsigned deny = 0; deny < 2; deny++) {
        struct nworld w;
        struct collection *c;

        nworld_init(&w, false, 45 + deny);
        nworld_bucket(&w, "again");
        w.options.load_again_ms = 20;
        nworld_open(&w);
        c = nmake(&w, "docs", NODE_LOCAL);
        nput_range(c, 1, 10, 1);
        neventually(nconfirmed(c));
        node_collection_unpin(c);
        nlose_disk(&w);
        (void)nfault(&w, deny ? denied : damage);
        nworld_open(&w);
        neventually(nstate_is(&w, "docs", "failed"));
        npause_ms(100);
        assert_true(nstate_is(&w, "docs", "failed"));
        objstore_faults_clear(w.bucket);
        neventually(nstate_is(&w, "docs", "serving"));
        c = npin(&w, "docs");
        neventually(!ninfo(c).arriving);
        nhas_range(c, 1, 10, 1);
        neventually(nput(c, 11, 1, NULL) == ST_OK);
        neventually(nconfirmed(c));
        node_collection_unpin(c);
        nworld_fini(&w);
    }
}

/* Dropped between two tries, it is not brought back. */
static void a_load_that_failed_is_let_go_with_its_collection(void **state)
{
    const struct objstore_fault damage = {.kind = OBJSTORE_FAULT_CORRUPT,
                                          .ops = 1u << OBJSTORE_GET,
                                          .key_part = "/w/",
                                          .times = OBJSTORE_FAULT_FOR_EVER};
    struct nworld w;
    struct collection *c;
    status st;

    (void)state;
    nworld_init(&w, false, 47);
    nworld_bucket(&w, "letgo");
    w.options.load_again_ms = 5;
    nworld_open(&w);
    c = nmake(&w, "docs", NODE_LOCAL);
    nput_range(c, 1, 10, 1);
    neventually(nconfirmed(c));
    node_collection_unpin(c);
    nlose_disk(&w);
    (void)nfault(&w, damage);
    nworld_open(&w);
    neventually(nstate_is(&w, "docs", "failed"));
    c = npin(&w, "docs");
    neventually((st = ndrop(&w, c, NULL)) != ST_UNAVAILABLE); /* a try is under way */
    assert_int_equal(st, ST_OK);
    node_collection_unpin(c);
    objstore_faults_clear(w.bucket);
    npause_ms(100);
    assert_null(node_collection_pin(w.node, "docs", 4));
    nworld_fini(&w);
}

static void toggle(struct catalog *catalog, void *arg)
{
    for (size_t i = 0; i < catalog->collection_count; i++)
        catalog->collections[i].fields[0].ef_search = *(uint16_t *)arg;
}

/* The bucket's catalog is read while the local one is still being loaded from. */
static void the_buckets_catalog_does_not_disturb_the_start(void **state)
{
    struct nworld w;
    char name[32];

    (void)state;
    nworld_init(&w, false, 25);
    nworld_bucket(&w, "start");
    nworld_open(&w);
    for (int i = 0; i < MANY; i++) {
        (void)snprintf(name, sizeof name, "docs-%d", i);
        node_collection_unpin(nmake(&w, name, NODE_LOCAL));
    }
    for (uint16_t ef = 20; ef < 28; ef++) {
        nworld_close(&w);
        nchange_catalog(&w, toggle, &ef);
        nworld_open(&w);
        for (int i = 0; i < MANY; i++) {
            struct collection *c;

            (void)snprintf(name, sizeof name, "docs-%d", i);
            c = npin(&w, name);
            neventually(ninfo(c).ef_search == ef);
            node_collection_unpin(c);
        }
    }
    nworld_fini(&w);
}

static void drop_all(struct catalog *catalog, void *arg)
{
    (void)arg;
    while (catalog->collection_count > 0)
        assert_int_equal(catalog_remove_collection(catalog, catalog->collections[0].id, 1000, NULL),
                         ST_OK);
}

/* Dropped by another node while this one was down, and long to load: it goes when it is loaded. */
static void a_drop_elsewhere_waits_for_the_load(void **state)
{
    struct nworld w;
    struct collection *c;

    (void)state;
    nworld_init(&w, true, 26);
    nworld_bucket(&w, "dropped");
    nworld_open(&w);
    c = nmake(&w, "docs", NODE_LOCAL);
    for (uint64_t i = 0; i < 30; i++)
        nput_batch(c, i * 1000, i * 1000 + 999, 1);
    neventually(nconfirmed(c));
    node_collection_unpin(c);
    nworld_power_cut(&w); /* no checkpoint: the log is replayed */
    nchange_catalog(&w, drop_all, NULL);
    nworld_open(&w);
    neventually((c = node_collection_pin(w.node, "docs", 4)) == NULL ||
                (node_collection_unpin(c), false));
    nworld_fini(&w);
}

/* A graceful stop ships what there is, of a slow store too: whoever moves a node away loses nothing
 * by it. */
static void a_graceful_stop_ships_the_rest(void **state)
{
    const struct objstore_fault slow = {.kind = OBJSTORE_FAULT_DELAY,
                                        .ops = 1u << OBJSTORE_PUT,
                                        .key_part = "/w/",
                                        .times = OBJSTORE_FAULT_FOR_EVER,
                                        .delay_ms = 700};
    struct nworld w;
    struct collection *c;

    (void)state;
    nworld_init(&w, false, 27);
    nworld_bucket(&w, "stop");
    nworld_open(&w);
    c = nmake(&w, "docs", NODE_LOCAL);
    nput_range(c, 1, 5, 1);
    neventually(nconfirmed(c));
    node_collection_unpin(c);
    nworld_close(&w);
    w.options.rpo_ms = 60000;
    nworld_open(&w);
    c = npin(&w, "docs");
    nput_range(c, 6, 9, 1);
    neventually(nphase_is(&w, "docs", "owned"));
    (void)nfault(&w, slow);
    node_collection_unpin(c);
    nlose_disk(&w);
    objstore_faults_clear(w.bucket);
    nworld_open(&w);
    c = npin(&w, "docs");
    nhas_range(c, 1, 9, 1);
    node_collection_unpin(c);
    nworld_fini(&w);
}

static status ntake(struct collection *c, struct err *err)
{
    struct call call;

    call_init(&call);
    node_take_ownership(c, call_admin_done, &call);
    call_wait(&call);
    *err = call.err;
    return call.st;
}

/* The last object under a prefix is gone, as if it had never counted. */
static void remove_last(struct nworld *w, const uint8_t id[16], const char *part)
{
    struct objstore_req list = {.op = OBJSTORE_LIST, .key = "c/"};
    struct objstore_req get = {.op = OBJSTORE_GET};
    struct objstore_req del = {.op = OBJSTORE_DELETE};
    char key[OBJKEY_BYTES + 8] = "";
    char id_text[UUID_TEXT_BYTES];

    uuid_format(id, id_text);
    assert_int_equal(objstore_wait(w->bucket, &list, NULL), ST_OK);
    for (size_t i = 0; i < list.result.entry_count; i++) {
        if (strstr(list.result.entries[i].key, id_text) != NULL &&
            strstr(list.result.entries[i].key, part) != NULL)
            (void)snprintf(key, sizeof key, "%s", list.result.entries[i].key);
    }
    objstore_result_fini(&list.result);
    assert_true(key[0] != '\0');
    get.key = del.key = key;
    assert_int_equal(objstore_wait(w->bucket, &get, NULL), ST_OK);
    objstore_result_fini(&get.result);
    assert_int_equal(objstore_wait(w->bucket, &del, NULL), ST_OK);
    objstore_result_fini(&del.result);
}

/* Who loads while another takes over may read a group that the taker did not list. It never was
 * confirmed to us: we load once more, and no person has to look. */
static void what_was_only_loaded_halts_nobody(void **state)
{
    struct nworld a;
    struct nworld b;
    struct collection *c;
    struct err err = {0};

    (void)state;
    nworld_init(&a, false, 31);
    nworld_init(&b, false, 32);
    nworld_bucket(&a, "loaded");
    nworld_bucket(&b, "loaded");
    a.options.node_id = "node-a";
    b.options.node_id = "node-b";
    nworld_open(&a);
    c = nmake(&a, "docs", NODE_LOCAL);
    nput_range(c, 1, 10, 1);
    neventually(nconfirmed(c));
    nput_range(c, 11, 20, 1);
    neventually(nconfirmed(c));
    node_collection_unpin(c);
    nworld_close(&a);
    nworld_open(&b);
    neventually(nphase_is(&b, "docs", "foreign") || nphase_is(&b, "docs", "idle"));
    c = npin(&b, "docs");
    nhas_range(c, 1, 20, 1);
    neventually(!ninfo(c).arriving);
    remove_last(&b, c->id, "/w/");
    (void)ntake(c, &err);
    node_collection_unpin(c);
    for (int i = 0; i < 3000; i++) {
        status st;

        c = npin(&b, "docs");
        assert_string_not_equal(ninfo(c).phase, "halted");
        st = nput(c, 30, 2, &err);
        node_collection_unpin(c);
        if (st == ST_OK)
            break;
        npause_ms(10);
    }
    neventually(nphase_is(&b, "docs", "owned"));
    c = npin(&b, "docs");
    nhas_range(c, 1, 10, 1);
    nhas_range(c, 30, 30, 2);
    neventually(nshipped(c));
    node_collection_unpin(c);
    nworld_fini(&a);
    nworld_fini(&b);
}

/* A disk that lied about its syncs: the log ends before what the bucket has confirmed. No lsn is
 * used again before the collection was loaded anew, however often it is started meanwhile. */
static void a_log_shorter_than_its_hint_takes_no_writes(void **state)
{
    const struct objstore_fault outage = objstore_fault_outage();
    struct nworld w;
    struct collection *c;
    struct err err = {0};

    (void)state;
    nworld_init(&w, true, 33);
    nworld_bucket(&w, "short");
    nworld_open(&w);
    c = nmake(&w, "docs", NODE_LOCAL);
    nput_range(c, 1, 10, 1);
    neventually(nconfirmed(c));
    fs_sim_sync_lies(w.sim, true);
    nput_range(c, 11, 20, 1);
    neventually(nconfirmed(c));
    assert_int_equal(ship_store_marks(c, &err), ST_OK);
    node_collection_unpin(c);
    fs_sim_stop_after(w.sim, 0);
    nworld_close(&w);
    fs_sim_power_cut(w.sim, NULL);
    fs_sim_sync_lies(w.sim, false);
    assert_int_equal(objstore_faults_add(w.bucket, &outage, NULL, NULL), ST_OK);
    for (int start = 0; start < 2; start++) {
        nworld_open(&w);
        c = npin(&w, "docs");
        assert_int_equal(nput(c, 30, 2, &err), ST_DENIED);
        assert_non_null(strstr(err.text, "read-only"));
        node_collection_unpin(c);
        nworld_close(&w);
    }
    objstore_faults_clear(w.bucket);
    nworld_open(&w);
    for (int i = 0; i < 3000; i++) {
        status st;

        c = npin(&w, "docs");
        st = nput(c, 30, 2, &err);
        node_collection_unpin(c);
        if (st == ST_OK)
            break;
        npause_ms(10);
    }
    c = npin(&w, "docs");
    nhas_range(c, 1, 20, 1);
    nhas_range(c, 30, 30, 2);
    neventually(nshipped(c));
    node_collection_unpin(c);
    nworld_fini(&w);
}

/* A collection that another node owns is not dropped by one that could not load it. */
static void who_could_not_load_it_does_not_drop_it(void **state)
{
    const struct objstore_fault damage = {.kind = OBJSTORE_FAULT_CORRUPT,
                                          .ops = 1u << OBJSTORE_GET,
                                          .key_part = "/w/",
                                          .times = OBJSTORE_FAULT_FOR_EVER};
    struct nworld a;
    struct nworld b;
    struct collection *c;
    struct err err = {0};

    (void)state;
    nworld_init(&a, false, 40);
    nworld_init(&b, false, 41);
    nworld_bucket(&a, "notmine");
    nworld_bucket(&b, "notmine");
    a.options.node_id = "node-a";
    b.options.node_id = "node-b";
    nworld_open(&a);
    c = nmake(&a, "docs", NODE_LOCAL);
    nput_range(c, 1, 10, 1);
    neventually(nconfirmed(c));
    node_collection_unpin(c);
    nworld_open(&b);
    neventually(nphase_is(&b, "docs", "foreign"));
    c = npin(&b, "docs");
    neventually(!ninfo(c).arriving);
    {
        char wal[FS_PATH_BYTES];
        char snapshot[FS_PATH_BYTES];

        assert_int_equal(collection_paths(c, wal, snapshot, NULL), ST_OK);
        node_collection_unpin(c);
        nworld_close(&b);
        assert_int_equal(fs_remove_all(fs_real(), wal, NULL), ST_OK);
    }
    (void)nfault(&b, damage);
    nworld_open(&b);
    neventually(nstate_is(&b, "docs", "failed"));
    c = npin(&b, "docs");
    assert_int_equal(ndrop(&b, c, &err), ST_DENIED);
    assert_non_null(strstr(err.text, "node-a"));
    node_collection_unpin(c);
    nworld_close(&b);
    c = npin(&a, "docs");
    nput_range(c, 11, 12, 1);
    neventually(nconfirmed(c));
    node_collection_unpin(c);
    nworld_fini(&a);
    nworld_fini(&b);
}

/* A group whose bytes are wrong halts the taking. When it can be read again, `dlq retry` goes on,
 * and its letters leave. */
static void a_halted_collection_goes_on_after_a_retry(void **state)
{
    const struct objstore_fault damage = {.kind = OBJSTORE_FAULT_CORRUPT,
                                          .ops = 1u << OBJSTORE_GET,
                                          .key_part = "/w/",
                                          .times = OBJSTORE_FAULT_FOR_EVER};
    struct node_dlq_result result = {0};
    struct nworld w;
    struct collection *c;

    (void)state;
    nworld_init(&w, false, 42);
    nworld_bucket(&w, "halted");
    nworld_open(&w);
    c = nmake(&w, "docs", NODE_LOCAL);
    nput_range(c, 1, 10, 1);
    neventually(nconfirmed(c));
    node_collection_unpin(c);
    nworld_close(&w);
    (void)nfault(&w, damage);
    nworld_open(&w);
    c = npin(&w, "docs");
    nput_range(c, 11, 20, 1);
    neventually(strcmp(ninfo(c).phase, "halted") == 0);
    neventually(ninfo(c).dlq > 0);
    assert_true(nhealth_has(&w, "nothing is shipped"));
    objstore_faults_clear(w.bucket);
    assert_int_equal(ndlq_retry(c, NULL, 0, &result, NULL), ST_OK);
    assert_int_equal(result.failed, 0);
    assert_string_equal(ninfo(c).phase, "owned");
    assert_int_equal(ninfo(c).dlq, 0);
    neventually(nshipped(c));
    node_collection_unpin(c);
    nlose_disk(&w);
    nworld_open(&w);
    c = npin(&w, "docs");
    nhas_range(c, 1, 20, 1);
    node_collection_unpin(c);
    nworld_fini(&w);
}

static void rename_it(struct collection *c, struct call *call)
{
    const struct collection_patch patch = {.name = "other"};

    call_init(call);
    node_collection_patch(c->node, c, &patch, call_admin_done, call);
}

/* The bucket takes requests and answers none: a stop ends all the same, and whoever waits is
 * answered. */
static void an_outage_does_not_hold_up_the_stop(void **state)
{
    const struct objstore_fault outage = objstore_fault_outage();
    struct write_row row = {.id = docid_u64(7)};
    struct nworld w;
    struct collection *c;
    struct call write;
    struct call rename;
    float vector[NDIM];
    struct buf payload;
    uint64_t began_ns;

    (void)state;
    nworld_init(&w, false, 43);
    nworld_bucket(&w, "holdup");
    w.options.remote_wait_ms = 60000;
    nworld_open(&w);
    c = nmake(&w, "docs", NODE_REMOTE);
    nput_range(c, 1, 3, 1);
    (void)nfault(&w, outage);
    npayload(1, &payload);
    nvector(7, 1, NDIM, vector);
    row.vector = vector;
    row.payload = buf_slice(&payload);
    call_init(&write);
    node_write(c, &row, 1, call_write_done, &write);
    rename_it(c, &rename);
    npause_ms(100);
    node_collection_unpin(c);
    began_ns = clock_mono_ns(clock_real());
    nworld_close(&w);
    assert_true(clock_mono_ns(clock_real()) - began_ns < UINT64_C(45000000000));
    call_wait(&write);
    assert_int_equal(write.st, ST_OK);
    assert_true(write.result.short_of_remote);
    call_wait(&rename);
    assert_int_not_equal(rename.st, ST_OK);
    buf_free(&payload);
    nworld_fini(&w);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_damaged_bucket_does_not_take_the_local_files),
        cmocka_unit_test(a_load_that_failed_is_tried_again),
        cmocka_unit_test(a_load_that_failed_is_let_go_with_its_collection),
        cmocka_unit_test(the_buckets_catalog_does_not_disturb_the_start),
        cmocka_unit_test(a_drop_elsewhere_waits_for_the_load),
        cmocka_unit_test(a_graceful_stop_ships_the_rest),
        cmocka_unit_test(what_was_only_loaded_halts_nobody),
        cmocka_unit_test(a_log_shorter_than_its_hint_takes_no_writes),
        cmocka_unit_test(who_could_not_load_it_does_not_drop_it),
        cmocka_unit_test(a_halted_collection_goes_on_after_a_retry),
        cmocka_unit_test(an_outage_does_not_hold_up_the_stop),
    };

    if (argc > 1)
        cmocka_set_test_filter(argv[1]); /* one test by name */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
