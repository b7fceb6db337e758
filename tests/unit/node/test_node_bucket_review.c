/* What went wrong between a node and its bucket once, or nearly: each test is named after what must
 * not happen. The store is in memory, behind faults. */
#include "tests/unit/node/nworld.h"

#include <stdatomic.h>
#include <stdio.h>

enum { DIM = 8 };

/* --- helpers --- */

static void put_range(struct collection *c, uint64_t first, uint64_t last, uint32_t version)
{
    struct err err = {0};

    for (uint64_t id = first; id <= last; id++) {
        if (nput(c, id, version, &err) != ST_OK)
            fail_msg("put %llu: %s", (unsigned long long)id, err.text);
    }
}

/* One record. */
static void put_batch(struct collection *c, uint64_t first, uint64_t last, uint32_t version)
{
    size_t count = (size_t)(last - first + 1);
    struct write_row *rows = mem_zero_array(count, sizeof *rows);
    float *vectors = mem_alloc_array(count * DIM, sizeof *vectors);
    struct buf payload;

    assert_true(rows != NULL && vectors != NULL);
    npayload(version, &payload);
    for (size_t i = 0; i < count; i++) {
        nvector(first + i, version, DIM, vectors + i * DIM);
        rows[i] = (struct write_row){.id = docid_u64(first + i),
                                     .vector = vectors + i * DIM,
                                     .payload = buf_slice(&payload)};
    }
    assert_int_equal(nwrite(c, rows, count, NULL, NULL), ST_OK);
    buf_free(&payload);
    mem_free(vectors);
    mem_free(rows);
}

static void has_range(struct collection *c, uint64_t first, uint64_t last, uint32_t version)
{
    for (uint64_t id = first; id <= last; id++)
        assert_int_equal(nversion(c, id), version);
}

static bool is_shipped(struct collection *c)
{
    struct collection_info info = ninfo(c);

    return info.shipped_lsn >= info.last_lsn && info.unshipped_bytes == 0;
}

static bool is_confirmed(struct collection *c)
{
    struct bucket_marks marks;

    ship_marks(c, &marks);
    return marks.hint_lsn >= ninfo(c).last_lsn;
}

static bool has_state(struct nworld *w, const char *name, const char *state)
{
    struct collection *c = node_collection_pin(w->node, name, strlen(name));
    bool is = c != NULL && strcmp(ninfo(c).state, state) == 0;

    node_collection_unpin(c);
    return is;
}

static bool has_phase(struct nworld *w, const char *name, const char *phase)
{
    struct collection *c = node_collection_pin(w->node, name, strlen(name));
    bool is =
        c != NULL && strcmp(ninfo(c).phase, phase) == 0 && strcmp(ninfo(c).state, "loading") != 0;

    node_collection_unpin(c);
    return is;
}

static struct collection *make(struct nworld *w, const char *name, enum node_durability durability)
{
    struct err err = {0};

    if (ncreate_s3(w, name, DIM, durability, &err) != ST_OK)
        fail_msg("create: %s", err.text);
    return npin(w, name);
}

static void disk_lost(struct nworld *w)
{
    nworld_close(w);
    assert_int_equal(fs_remove_all(fs_real(), w->dir, NULL), ST_OK);
    assert_int_equal(fs_mkdir_all(fs_real(), w->dir, NULL), ST_OK);
}

static unsigned fault(struct nworld *w, struct objstore_fault f)
{
    unsigned id = 0;

    assert_int_equal(objstore_faults_add(w->bucket, &f, &id, NULL), ST_OK);
    return id;
}

struct dlq_call {
    struct call call;
    struct node_dlq_result result;
};

static void dlq_done(void *arg, status st, const struct node_dlq_result *result,
                     const struct err *err)
{
    struct dlq_call *d = arg;

    if (result != NULL)
        d->result = *result;
    call_admin_done(&d->call, st, NULL, err);
}

/* All letters of the collection; the range is asked for first. */
static status ndiscard(struct collection *c, bool drop, struct err *err)
{
    struct dlq_call d = {0};

    call_init(&d.call);
    node_dlq_discard(c, NULL, 0, 0, 0, drop, dlq_done, &d);
    call_wait(&d.call);
    if (d.call.st == ST_CONFLICT) {
        uint64_t first = d.result.lsn_first;
        uint64_t last = d.result.lsn_last;

        call_init(&d.call);
        node_dlq_discard(c, NULL, 0, first, last, drop, dlq_done, &d);
        call_wait(&d.call);
    }
    *err = d.call.err;
    return d.call.st;
}

static status nrepublish(struct collection *c, struct err *err)
{
    struct call call;

    call_init(&call);
    node_republish(c, call_admin_done, &call);
    call_wait(&call);
    *err = call.err;
    return call.st;
}

/* The bucket's catalog as another node would change it. */
static void change_catalog(struct nworld *w, void (*change)(struct catalog *, void *), void *arg)
{
    struct objstore_req get = {.op = OBJSTORE_GET, .key = OBJKEY_CATALOG};
    struct objstore_req put = {.op = OBJSTORE_PUT, .key = OBJKEY_CATALOG};
    struct catalog catalog;
    struct buf bytes;

    assert_int_equal(objstore_wait(w->bucket, &get, NULL), ST_OK);
    assert_int_equal(catalog_decode(buf_slice(&get.result.body), &catalog, NULL), ST_OK);
    objstore_result_fini(&get.result);
    change(&catalog, arg);
    catalog.revision++;
    w->rand.source.fill(&w->rand.source, catalog.nonce, sizeof catalog.nonce);
    buf_init(&bytes, CATALOG_BYTES_MAX);
    assert_int_equal(catalog_encode(&catalog, &bytes, NULL), ST_OK);
    put.body = buf_slice(&bytes);
    assert_int_equal(objstore_wait(w->bucket, &put, NULL), ST_OK);
    objstore_result_fini(&put.result);
    buf_free(&bytes);
    catalog_free(&catalog);
}

/* --- discarding --- */

/* The first group is refused for good; what comes behind it waits. */
static void park_first(struct nworld *w, struct collection *c, uint64_t ids)
{
    struct objstore_fault refused = objstore_fault_denied();

    refused.ops = 1u << OBJSTORE_PUT;
    refused.key_part = "/w/";
    (void)fault(w, refused);
    put_batch(c, 1, ids, 1);
    neventually(ninfo(c).dlq == 1);
}

struct overwriter {
    struct collection *c;
    uint64_t last;
    _Atomic bool go;
};

static void overwrite(void *arg)
{
    struct overwriter *o = arg;

    while (!atomic_load(&o->go))
        npause_ms(1);
    put_range(o->c, 1, o->last, 2);
}

/* A client writes to the documents of a dead letter while an operator discards it: what the client
 * was told is there afterwards. Both go through the ids in the same order. */
static void discarding_takes_back_no_write_beside_it(void **state)
{
    struct overwriter o = {.last = 300};
    struct thread thread = {0};
    struct nworld w;
    struct err err = {0};

    (void)state;
    nworld_init(&w, false, 21);
    nworld_bucket(&w, "beside");
    nworld_open(&w);
    o.c = make(&w, "docs", NODE_LOCAL);
    for (int round = 0; round < 3; round++) {
        objstore_faults_clear(w.bucket);
        park_first(&w, o.c, o.last);
        atomic_store(&o.go, false);
        assert_int_equal(thread_start(&thread, "writer", THREAD_NORMAL, overwrite, &o, NULL),
                         ST_OK);
        atomic_store(&o.go, true);
        objstore_faults_clear(w.bucket);
        if (ndiscard(o.c, false, &err) != ST_OK && err.code != ST_NOT_FOUND)
            fail_msg("discard: %s", err.text);
        thread_join(&thread);
        has_range(o.c, 1, o.last, 2);
        neventually(is_shipped(o.c));
    }
    node_collection_unpin(o.c);
    disk_lost(&w);
    nworld_open(&w);
    o.c = npin(&w, "docs");
    has_range(o.c, 1, o.last, 2);
    node_collection_unpin(o.c);
    nworld_fini(&w);
}

/* What a discard logs again waits for the disk alone: the bucket is what does not take it. */
static void discarding_does_not_wait_for_the_bucket_row_by_row(void **state)
{
    struct nworld w;
    struct collection *c;
    struct err err = {0};
    uint64_t began_ns;

    (void)state;
    nworld_init(&w, false, 22);
    nworld_bucket(&w, "rowbyrow");
    w.options.remote_wait_ms = 1500;
    nworld_open(&w);
    c = make(&w, "docs", NODE_REMOTE);
    park_first(&w, c, 10);
    began_ns = clock_mono_ns(clock_real());
    objstore_faults_clear(w.bucket);
    if (ndiscard(c, false, &err) != ST_OK && err.code != ST_NOT_FOUND)
        fail_msg("discard: %s", err.text);
    assert_true(clock_mono_ns(clock_real()) - began_ns < UINT64_C(8000000000));
    has_range(c, 1, 10, 1);
    neventually(is_shipped(c));
    node_collection_unpin(c);
    disk_lost(&w);
    nworld_open(&w);
    c = npin(&w, "docs");
    has_range(c, 1, 10, 1);
    node_collection_unpin(c);
    nworld_fini(&w);
}

/* --- loading --- */

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
    c = make(&a, "docs", NODE_LOCAL);
    for (uint32_t version = 1; version <= 4; version++)
        put_range(c, 1, 100, version);
    neventually(is_confirmed(c));
    assert_int_equal(ncompact(c, NULL, NULL), ST_OK);
    assert_true(ninfo(c).segments > 0);
    (void)fault(&a, objstore_fault_outage());
    put_range(c, 101, 110, 1);
    nfile(&a, "wal", c, ".wal", false, path);
    node_collection_unpin(c);
    nworld_close(&a);

    b.options.take_ownership = true;
    nworld_open(&b);
    neventually(has_phase(&b, "docs", "owned"));
    c = npin(&b, "docs");
    put_range(c, 200, 210, 1);
    neventually(is_confirmed(c));
    node_collection_unpin(c);
    nworld_close(&b);

    objstore_faults_clear(a.bucket);
    (void)fault(&a, damage);
    a.options.take_ownership = true;
    nworld_open(&a);
    neventually(has_state(&a, "docs", "failed"));
    c = npin(&a, "docs");
    assert_int_equal(ninfo(c).dlq, 1); /* the tail; and its log is there as well */
    assert_int_equal(nrepublish(c, &err), ST_UNAVAILABLE);
    assert_int_not_equal(ndiscard(c, false, &err), ST_NOT_FOUND);
    nfile(&a, "wal", c, ".wal", false, path);
    node_collection_unpin(c);
    nworld_close(&a);

    objstore_faults_clear(a.bucket);
    nworld_open(&a);
    neventually(has_phase(&a, "docs", "owned"));
    c = npin(&a, "docs");
    has_range(c, 1, 100, 4);
    has_range(c, 200, 210, 1);
    node_collection_unpin(c);
    nworld_fini(&a);
    nworld_fini(&b);
}

/* --- the start --- */

enum { MANY = 24 };

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
        node_collection_unpin(make(&w, name, NODE_LOCAL));
    }
    for (uint16_t ef = 20; ef < 28; ef++) {
        nworld_close(&w);
        change_catalog(&w, toggle, &ef);
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
    c = make(&w, "docs", NODE_LOCAL);
    for (uint64_t i = 0; i < 30; i++)
        put_batch(c, i * 1000, i * 1000 + 999, 1);
    neventually(is_confirmed(c));
    node_collection_unpin(c);
    nworld_power_cut(&w); /* no checkpoint: the log is replayed */
    change_catalog(&w, drop_all, NULL);
    nworld_open(&w);
    neventually((c = node_collection_pin(w.node, "docs", 4)) == NULL ||
                (node_collection_unpin(c), false));
    nworld_fini(&w);
}

/* --- the end --- */

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
    c = make(&w, "docs", NODE_LOCAL);
    put_range(c, 1, 5, 1);
    neventually(is_confirmed(c));
    node_collection_unpin(c);
    nworld_close(&w);
    w.options.rpo_ms = 60000;
    nworld_open(&w);
    c = npin(&w, "docs");
    put_range(c, 6, 9, 1);
    neventually(has_phase(&w, "docs", "owned"));
    (void)fault(&w, slow);
    node_collection_unpin(c);
    disk_lost(&w);
    objstore_faults_clear(w.bucket);
    nworld_open(&w);
    c = npin(&w, "docs");
    has_range(c, 1, 9, 1);
    node_collection_unpin(c);
    nworld_fini(&w);
}

/* --- what was loaded, and what is true --- */

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
    c = make(&a, "docs", NODE_LOCAL);
    put_range(c, 1, 10, 1);
    neventually(is_confirmed(c));
    put_range(c, 11, 20, 1);
    neventually(is_confirmed(c));
    node_collection_unpin(c);
    nworld_close(&a);
    nworld_open(&b);
    neventually(has_phase(&b, "docs", "foreign") || has_phase(&b, "docs", "idle"));
    c = npin(&b, "docs");
    has_range(c, 1, 20, 1);
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
    neventually(has_phase(&b, "docs", "owned"));
    c = npin(&b, "docs");
    has_range(c, 1, 10, 1);
    has_range(c, 30, 30, 2);
    neventually(is_shipped(c));
    node_collection_unpin(c);
    nworld_fini(&a);
    nworld_fini(&b);
}

/* What was loaded at the start is freed when it is dropped. */
static void a_dropped_collection_gives_its_memory_back(void **state)
{
    struct nworld w;
    struct collection *c;
    uint64_t bytes;

    (void)state;
    nworld_init(&w, false, 33);
    nworld_open(&w);
    assert_int_equal(ncreate(&w, "docs", DIM, VMETRIC_L2, 64, NULL), ST_OK);
    c = npin(&w, "docs");
    put_batch(c, 1, 5000, 1);
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
    assert_int_equal(ncreate(&a, "docs", DIM, VMETRIC_L2, 64, NULL), ST_OK);
    c = npin(&a, "docs");
    put_range(c, 1, 5, 1);
    node_collection_unpin(c);
    nworld_close(&a);
    nworld_open(&b);
    c = make(&b, "docs", NODE_LOCAL);
    put_range(c, 1, 5, 2);
    neventually(is_confirmed(c));
    node_collection_unpin(c);
    nworld_close(&b);
    nworld_open(&a);
    neventually(nhealth_has(&a, "not taken over"));
    c = npin(&a, "docs");
    has_range(c, 1, 5, 1);
    assert_int_equal(nput(c, 6, 1, NULL), ST_OK);
    node_collection_unpin(c);
    nworld_fini(&a);
    nworld_fini(&b);
}

/* --- the switch --- */

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
    assert_int_equal(ncreate(&w, "docs", DIM, VMETRIC_L2, 64, NULL), ST_OK);
    c = npin(&w, "docs");
    put_range(c, 1, 50, 1);
    memcpy(root.collection, c->id, sizeof root.collection);
    put_root(&w, &root);
    if (npatch_policy(&w, c, NODE_MEMORY_S3, &err) != ST_OK)
        fail_msg("switch: %s", err.text);
    put_range(c, 51, 60, 1);
    neventually(!ninfo(c).switching && ninfo(c).published_lsn > 0);
    neventually(is_shipped(c));
    node_collection_unpin(c);
    disk_lost(&w);
    nworld_open(&w);
    c = npin(&w, "docs");
    has_range(c, 1, 60, 1);
    node_collection_unpin(c);
    nworld_fini(&w);
}

static status nwrite_one(struct collection *c, uint64_t id, struct write_result *result)
{
    struct write_row row = {.id = docid_u64(id)};
    float vector[DIM];
    struct buf payload;
    status st;

    npayload(1, &payload);
    nvector(id, 1, DIM, vector);
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
    assert_int_equal(ncreate(&w, "docs", DIM, VMETRIC_L2, 64, NULL), ST_OK);
    c = npin(&w, "docs");
    put_range(c, 1, 50, 1);
    refused.ops = 1u << OBJSTORE_PUT;
    refused.key_part = "/g/";
    (void)fault(&w, refused);
    assert_int_equal(npatch_policy(&w, c, NODE_MEMORY_S3, NULL), ST_OK);
    call_init(&call);
    node_collection_patch(w.node, c, &remote, call_admin_done, &call);
    call_wait(&call);
    assert_int_equal(call.st, ST_OK);
    assert_int_equal(nwrite_one(c, 51, &result), ST_OK);
    assert_true(result.short_of_remote);
    neventually(is_shipped(c));
    assert_true(ninfo(c).switching);

    objstore_faults_clear(w.bucket);
    neventually(!ninfo(c).switching);
    neventually(nwrite_one(c, 52, &result) == ST_OK && !result.short_of_remote);
    node_collection_unpin(c);
    disk_lost(&w);
    nworld_open(&w);
    c = npin(&w, "docs");
    has_range(c, 1, 52, 1);
    node_collection_unpin(c);
    nworld_fini(&w);
}

/* --- letters and marks --- */

/* Letters of publishing leave when it succeeds, though another process had failed. */
static void a_letter_of_publishing_leaves_after_a_restart(void **state)
{
    struct objstore_fault refused = objstore_fault_denied();
    struct nworld w;
    struct collection *c;

    (void)state;
    nworld_init(&w, false, 38);
    nworld_bucket(&w, "letters");
    nworld_open(&w);
    c = make(&w, "docs", NODE_LOCAL);
    for (uint32_t version = 1; version <= 4; version++)
        put_range(c, 1, 100, version);
    neventually(is_confirmed(c));
    refused.ops = 1u << OBJSTORE_PUT;
    refused.key_part = "/g/";
    (void)fault(&w, refused);
    assert_int_not_equal(ncompact(c, NULL, NULL), ST_OK);
    assert_int_equal(ninfo(c).dlq, 1);
    node_collection_unpin(c);
    nworld_close(&w);
    objstore_faults_clear(w.bucket);
    nworld_open(&w);
    c = npin(&w, "docs");
    assert_int_equal(ninfo(c).dlq, 1);
    assert_int_equal(ncompact(c, NULL, NULL), ST_OK);
    assert_int_equal(ninfo(c).dlq, 0);
    node_collection_unpin(c);
    nworld_fini(&w);
}

/* What cannot be remembered is tried again; whoever waits for LMDB behind it is told. */
static void a_full_lmdb_lets_nobody_wait_for_ever(void **state)
{
    struct nworld w;
    uint8_t key[16] = "x/";
    uint8_t *value = mem_zero(1 << 20);
    struct kv_write write = {.key = slice_make(key, sizeof key),
                             .value = slice_make(value, 1 << 20)};
    struct err err = {0};

    (void)state;
    assert_non_null(value);
    nworld_init(&w, false, 39);
    nworld_open(&w);
    for (uint8_t i = 0; i < 20; i++) {
        key[3] = i;
        kv_writer_put(w.node->kv_writer, &write, 1);
    }
    assert_int_not_equal(ncreate(&w, "docs", DIM, VMETRIC_L2, 64, &err), ST_OK);
    assert_true(err.text[0] != '\0');
    mem_free(value);
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
    c = make(&a, "docs", NODE_LOCAL);
    put_range(c, 1, 10, 1);
    neventually(is_confirmed(c));
    node_collection_unpin(c);
    nworld_open(&b);
    neventually(has_phase(&b, "docs", "foreign"));
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
    (void)fault(&b, damage);
    nworld_open(&b);
    neventually(has_state(&b, "docs", "failed"));
    c = npin(&b, "docs");
    assert_int_equal(ndrop(&b, c, &err), ST_DENIED);
    assert_non_null(strstr(err.text, "node-a"));
    node_collection_unpin(c);
    nworld_close(&b);
    c = npin(&a, "docs");
    put_range(c, 11, 12, 1);
    neventually(is_confirmed(c));
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
    struct dlq_call d = {0};
    struct nworld w;
    struct collection *c;

    (void)state;
    nworld_init(&w, false, 42);
    nworld_bucket(&w, "halted");
    nworld_open(&w);
    c = make(&w, "docs", NODE_LOCAL);
    put_range(c, 1, 10, 1);
    neventually(is_confirmed(c));
    node_collection_unpin(c);
    nworld_close(&w);
    (void)fault(&w, damage);
    nworld_open(&w);
    c = npin(&w, "docs");
    put_range(c, 11, 20, 1);
    neventually(strcmp(ninfo(c).phase, "halted") == 0);
    neventually(ninfo(c).dlq > 0);
    assert_true(nhealth_has(&w, "nothing is shipped"));
    objstore_faults_clear(w.bucket);
    call_init(&d.call);
    node_dlq_retry(c, NULL, 0, dlq_done, &d);
    call_wait(&d.call);
    assert_int_equal(d.call.st, ST_OK);
    assert_int_equal(d.result.failed, 0);
    assert_string_equal(ninfo(c).phase, "owned");
    assert_int_equal(ninfo(c).dlq, 0);
    neventually(is_shipped(c));
    node_collection_unpin(c);
    disk_lost(&w);
    nworld_open(&w);
    c = npin(&w, "docs");
    has_range(c, 1, 20, 1);
    node_collection_unpin(c);
    nworld_fini(&w);
}

/* The file of a divergent tail is gone or damaged: an operator can get rid of its letter. */
static void a_letter_without_its_file_can_be_discarded(void **state)
{
    struct nworld w;
    struct collection *c;
    struct letter letter = {.kind = LETTER_DIVERGENT_TAIL,
                            .state = LETTER_PARKED,
                            .epoch = 1,
                            .seq = 1,
                            .lsn_first = 5,
                            .lsn_last = 6,
                            .class = "divergent"};
    struct err err = {0};
    uint64_t id;

    (void)state;
    nworld_init(&w, false, 44);
    nworld_bucket(&w, "nofile");
    nworld_open(&w);
    c = make(&w, "docs", NODE_LOCAL);
    put_range(c, 1, 10, 1);
    memcpy(letter.collection, c->id, sizeof letter.collection);
    (void)snprintf(letter.file, sizeof letter.file, "letters/%s/1-5.group", c->id_text);
    assert_int_equal(dlq_put(w.node->dlq, &letter, &id, NULL), ST_OK);
    assert_int_equal(ninfo(c).dlq, 1);
    if (ndiscard(c, false, &err) != ST_OK)
        fail_msg("discard: %s", err.text);
    assert_int_equal(ninfo(c).dlq, 0);
    has_range(c, 1, 10, 1);
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
    assert_int_equal(ncreate_s3(&w, "docs", DIM, NODE_LOCAL, &err), ST_UNSUPPORTED);
    assert_non_null(strstr(err.text, "newer programs"));
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
    float vector[DIM];
    struct buf payload;
    uint64_t began_ns;

    (void)state;
    nworld_init(&w, false, 43);
    nworld_bucket(&w, "holdup");
    w.options.remote_wait_ms = 60000;
    nworld_open(&w);
    c = make(&w, "docs", NODE_REMOTE);
    put_range(c, 1, 3, 1);
    (void)fault(&w, outage);
    npayload(1, &payload);
    nvector(7, 1, DIM, vector);
    row.vector = vector;
    row.payload = buf_slice(&payload);
    call_init(&write);
    node_write(c, &row, 1, call_write_done, &write);
    rename_it(c, &rename);
    npause_ms(100);
    node_collection_unpin(c);
    began_ns = clock_mono_ns(clock_real());
    nworld_close(&w);
    assert_true(clock_mono_ns(clock_real()) - began_ns < UINT64_C(15000000000));
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
        cmocka_unit_test(discarding_takes_back_no_write_beside_it),
        cmocka_unit_test(discarding_does_not_wait_for_the_bucket_row_by_row),
        cmocka_unit_test(a_damaged_bucket_does_not_take_the_local_files),
        cmocka_unit_test(the_buckets_catalog_does_not_disturb_the_start),
        cmocka_unit_test(a_drop_elsewhere_waits_for_the_load),
        cmocka_unit_test(a_graceful_stop_ships_the_rest),
        cmocka_unit_test(what_was_only_loaded_halts_nobody),
        cmocka_unit_test(a_dropped_collection_gives_its_memory_back),
        cmocka_unit_test(a_name_of_the_bucket_hides_no_local_collection),
        cmocka_unit_test(a_switch_cut_short_can_be_made_again),
        cmocka_unit_test(nothing_is_remote_before_the_base_is),
        cmocka_unit_test(a_letter_of_publishing_leaves_after_a_restart),
        cmocka_unit_test(a_full_lmdb_lets_nobody_wait_for_ever),
        cmocka_unit_test(who_could_not_load_it_does_not_drop_it),
        cmocka_unit_test(a_halted_collection_goes_on_after_a_retry),
        cmocka_unit_test(a_letter_without_its_file_can_be_discarded),
        cmocka_unit_test(a_bucket_of_newer_programs_is_left_alone),
        cmocka_unit_test(an_outage_does_not_hold_up_the_stop),
    };

    if (argc > 1)
        cmocka_set_test_filter(argv[1]); /* one test by name */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
