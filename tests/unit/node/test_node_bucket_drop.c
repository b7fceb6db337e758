/* A drop that is cut short between the bucket's catalog and the local one: nothing is acknowledged
 * onto a collection that may be dropped already, and in the end it is there or it is not. */
#include "tests/unit/node/nbucket.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>

static struct collection *begin(struct nworld *w, const char *bucket, uint64_t seed)
{
    struct collection *c;

    nworld_init(w, true, seed);
    nworld_bucket(w, bucket);
    nworld_open(w);
    c = nmake(w, "docs", NODE_LOCAL);
    nput_range(c, 1, 5, 1);
    nall_shipped(w);
    nsettled(w);
    return c;
}

static struct objstore_fault of_catalog(enum objstore_op op, enum objstore_fault_kind kind)
{
    return (struct objstore_fault){
        .kind = kind, .ops = 1u << op, .key_prefix = OBJKEY_CATALOG, .nth = 1, .times = 1};
}

static struct objstore_fault no_more(enum objstore_op op, uint32_t nth)
{
    struct objstore_fault f = objstore_fault_outage();

    f.ops = 1u << op;
    f.key_prefix = OBJKEY_CATALOG;
    f.nth = nth;
    return f;
}

/* The process dies when the PUT of the catalog was sent as `kind` says; the bucket is away then. */
static void die_dropping(struct nworld *w, struct collection *c, enum objstore_fault_kind kind,
                         uint64_t delay_ms)
{
    struct objstore_fault put = of_catalog(OBJSTORE_PUT, kind);
    struct call call;
    unsigned sent;

    put.delay_ms = delay_ms;
    sent = nfault(w, put);
    (void)nfault(w, no_more(OBJSTORE_PUT, 1));
    (void)nfault(w, no_more(OBJSTORE_GET, 2));
    call_init(&call);
    node_collection_drop(w->node, c, call_admin_done, &call);
    neventually(objstore_faults_met(w->bucket, sent) > 0);
    fs_sim_stop_after(w->sim, 0);
    node_collection_unpin(c);
    nworld_power_cut(w);
    call_wait(&call);
    assert_int_not_equal(call.st, ST_OK);
    if (kind != OBJSTORE_FAULT_LATE)
        objstore_faults_clear(w->bucket);
}

static unsigned bucket_away(struct nworld *w)
{
    return nfault(w, objstore_fault_outage());
}

/* Read-only, and said so; what is there is read. */
static void takes_no_writes(struct nworld *w)
{
    struct collection *c = npin(w, "docs");
    struct err err = {0};

    nstate(c, "read_only", "dropped");
    assert_true(nhealth_has(w, "it was being dropped"));
    assert_int_equal(nput(c, 9, 9, &err), ST_UNAVAILABLE);
    assert_non_null(strstr(err.text, "being dropped"));
    nhas_range(c, 1, 5, 1);
    node_collection_unpin(c);
}

static void takes_writes(struct nworld *w, uint64_t id)
{
    struct collection *c = npin(w, "docs");

    neventually(nput(c, id, 9, NULL) == ST_OK);
    nstate(c, "serving", "");
    nhas_range(c, 1, 5, 1);
    assert_false(nhealth_has(w, "being dropped"));
    node_collection_unpin(c);
}

static void stays_gone(struct nworld *w)
{
    neventually(!nthere(w, "docs"));
    for (int i = 0; i < 2; i++) {
        if (i == 0)
            nworld_close(w);
        else
            nlose_disk(w);
        nworld_open(w);
        nsettled(w);
        assert_false(nthere(w, "docs"));
    }
}

static void nothing_is_acknowledged_onto_what_the_bucket_has_dropped(void **state)
{
    struct nworld w;
    struct collection *c = begin(&w, "drop-done", 1);

    (void)state;
    die_dropping(&w, c, OBJSTORE_FAULT_LOSE, 0);
    (void)bucket_away(&w);
    nworld_open(&w);
    takes_no_writes(&w);
    nworld_close(&w);
    nworld_open(&w); /* nor after another start */
    takes_no_writes(&w);
    objstore_faults_clear(w.bucket);
    stays_gone(&w);
    nworld_fini(&w);
}

static void what_the_bucket_has_not_dropped_takes_writes_again(void **state)
{
    struct nworld w;
    struct collection *c = begin(&w, "drop-not-done", 2);

    (void)state;
    die_dropping(&w, c, OBJSTORE_FAULT_LATE, OBJSTORE_FAULT_HOLD); /* and never arrives */
    objstore_faults_clear(w.bucket);
    (void)bucket_away(&w);
    nworld_open(&w);
    takes_no_writes(&w);
    objstore_faults_clear(w.bucket);
    takes_writes(&w, 9);
    nworld_close(&w);
    (void)bucket_away(&w);
    nworld_open(&w); /* and it is over for good */
    takes_writes(&w, 10);
    nworld_fini(&w);
}

/* The request of the dead process arrives when the collection takes writes again. */
static void a_drop_that_arrives_late_finds_another_catalog(void **state)
{
    struct nworld w;
    struct collection *c = begin(&w, "drop-late", 3);

    (void)state;
    die_dropping(&w, c, OBJSTORE_FAULT_LATE, OBJSTORE_FAULT_HOLD);
    assert_int_equal(objstore_faults_held(w.bucket), 1);
    objstore_faults_clear(w.bucket);
    nworld_open(&w);
    takes_writes(&w, 9);
    assert_int_equal(objstore_faults_release(w.bucket), 1);
    neventually(objstore_faults_late_effects(w.bucket) == 1);
    c = npin(&w, "docs");
    nall_shipped(&w);
    node_collection_unpin(c);
    nlose_disk(&w);
    nworld_open(&w);
    nsettled(&w);
    c = npin(&w, "docs");
    assert_int_equal(nversion(c, 9), 9);
    node_collection_unpin(c);
    nworld_fini(&w);
}

static void full(struct nworld *w)
{
    const struct fs_sim_fault fault = {
        .op = FS_SIM_EFFECT, .nth = 1, .errnum = ENOSPC, .for_ever = true, .path_part = "catalog"};

    fs_sim_fail(w->sim, &fault);
}

/* Told as what it is, and done as soon as there is room. */
static void a_drop_on_a_full_disk_is_done_when_there_is_room(void **state)
{
    struct nworld w;
    struct collection *c = begin(&w, "drop-full", 4);
    struct err err = {0};

    (void)state;
    full(&w);
    assert_int_equal(ndrop(&w, c, &err), ST_UNKNOWN);
    assert_non_null(strstr(err.text, "the bucket has the change"));
    takes_no_writes(&w);
    assert_int_equal(ndrop(&w, c, &err), ST_UNKNOWN);
    npause_ms(10);
    takes_no_writes(&w);
    fs_sim_fail_clear(w.sim);
    node_collection_unpin(c);
    stays_gone(&w);
    nworld_fini(&w);
}

/* The bucket's answer is lost for longer than a drop waits for it. */
static void a_drop_whose_answer_is_lost_is_settled_without_a_start(void **state)
{
    struct nworld w;
    struct collection *c = begin(&w, "drop-lost", 5);
    struct err err = {0};

    (void)state;
    (void)nfault(&w, of_catalog(OBJSTORE_PUT, OBJSTORE_FAULT_LOSE));
    (void)nfault(&w, no_more(OBJSTORE_PUT, 1));
    assert_int_equal(ndrop(&w, c, &err), ST_UNKNOWN);
    takes_no_writes(&w);
    node_collection_unpin(c);
    objstore_faults_clear(w.bucket);
    stays_gone(&w);
    nworld_fini(&w);
}

/* What fails for sure says nothing of the one before it. */
static void a_drop_that_fails_behind_one_that_is_unsure_leaves_it_so(void **state)
{
    struct nworld w;
    struct collection *c = begin(&w, "drop-again", 7);
    struct err err = {0};

    (void)state;
    (void)nfault(&w, of_catalog(OBJSTORE_PUT, OBJSTORE_FAULT_LOSE));
    (void)nfault(&w, no_more(OBJSTORE_PUT, 1));
    (void)nfault(&w, no_more(OBJSTORE_GET, 2));
    assert_int_equal(ndrop(&w, c, &err), ST_UNKNOWN);
    assert_int_equal(ndrop(&w, c, &err), ST_UNAVAILABLE);
    takes_no_writes(&w);
    node_collection_unpin(c);
    objstore_faults_clear(w.bucket);
    stays_gone(&w);
    nworld_fini(&w);
}

/* As one whose switch was cut short before the bucket's catalog had it. */
static void a_drop_of_what_the_bucket_lacks_is_settled_once_it_was_told(void **state)
{
    struct objstore_req del = {.op = OBJSTORE_DELETE, .key = OBJKEY_CATALOG};
    struct nworld w;
    struct collection *c = begin(&w, "drop-untold", 8);

    (void)state;
    assert_int_equal(objstore_wait(w.bucket, &del, NULL), ST_OK);
    objstore_result_fini(&del.result);
    assert_int_equal(drop_begin(c, NULL), ST_OK);
    node_collection_unpin(c);
    nworld_close(&w);
    nworld_open(&w);
    takes_writes(&w, 9);
    nworld_fini(&w);
}

static struct root *read_root(struct nworld *w, struct collection *c,
                              char etag[OBJSTORE_ETAG_BYTES])
{
    struct root *root = mem_zero(sizeof *root);
    char key[OBJKEY_BYTES];
    struct objstore_req get = {.op = OBJSTORE_GET, .key = key};

    assert_non_null(root);
    objkey_root(c->id, key);
    assert_int_equal(objstore_wait(w->bucket, &get, NULL), ST_OK);
    assert_int_equal(root_decode(buf_slice(&get.result.body), c->id, root, NULL), ST_OK);
    memcpy(etag, get.result.etag, OBJSTORE_ETAG_BYTES);
    objstore_result_fini(&get.result);
    return root;
}

/* It was begun when the collection was ours. */
static void a_drop_that_is_unsure_does_not_reach_another_owner(void **state)
{
    char etag[OBJSTORE_ETAG_BYTES];
    char key[OBJKEY_BYTES];
    struct objstore_req put = {.op = OBJSTORE_PUT, .key = key};
    struct nworld w;
    struct collection *c = begin(&w, "drop-foreign", 6);
    struct err err = {0};
    struct root *root = read_root(&w, c, etag);
    struct buf bytes;

    (void)state;
    objkey_root(c->id, key);
    (void)snprintf(root->node_id, sizeof root->node_id, "other");
    buf_init(&bytes, ROOT_BYTES_MAX);
    assert_int_equal(root_encode(root, &bytes, NULL), ST_OK);
    put.body = buf_slice(&bytes);
    assert_int_equal(objstore_wait(w.bucket, &put, NULL), ST_OK);
    objstore_result_fini(&put.result);
    drop_is_unsure(c); /* settled in two seconds */
    assert_int_equal(ndrop(&w, c, &err), ST_DENIED);
    assert_non_null(strstr(err.text, "other's"));
    node_collection_unpin(c);
    buf_free(&bytes);
    mem_free(root);
    nworld_fini(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_acknowledged_onto_what_the_bucket_has_dropped),
        cmocka_unit_test(what_the_bucket_has_not_dropped_takes_writes_again),
        cmocka_unit_test(a_drop_that_arrives_late_finds_another_catalog),
        cmocka_unit_test(a_drop_on_a_full_disk_is_done_when_there_is_room),
        cmocka_unit_test(a_drop_whose_answer_is_lost_is_settled_without_a_start),
        cmocka_unit_test(a_drop_that_fails_behind_one_that_is_unsure_leaves_it_so),
        cmocka_unit_test(a_drop_of_what_the_bucket_lacks_is_settled_once_it_was_told),
        cmocka_unit_test(a_drop_that_is_unsure_does_not_reach_another_owner),
    };

    nlog();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
