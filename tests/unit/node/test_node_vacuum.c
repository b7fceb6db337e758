/* What was dropped leaves a node's bucket by command, and nothing else does: not with named
 * snapshots, lost answers, a process that dies at any request, or another collection of the name.
 */
#include "tests/unit/node/nbucket.h"

#include <stdio.h>

static bool has_ended(struct nworld *w, struct node_vacuum *out)
{
    return node_vacuum_shown(w->node, out) && !out->running;
}

/* To its end; a refusal is an end too. */
static status vacuum(struct nworld *w, bool dry_run, struct node_vacuum *out)
{
    struct err err = {0};
    status st = node_vacuum(w->node, dry_run, &err);

    memset(out, 0, sizeof *out);
    if (st != ST_OK) {
        (void)snprintf(out->error, sizeof out->error, "%.319s", err.text);
        return st;
    }
    neventually(has_ended(w, out));
    assert_int_equal(out->dry_run, dry_run);
    assert_true(out->ended_at_ns >= out->started_at_ns);
    return out->st;
}

static void make(struct nworld *w, const char *name, uint32_t version)
{
    struct collection *c = nmake(w, name, NODE_LOCAL);

    for (int i = 0; i < 3; i++)
        nput_range(c, 1, 20, version);
    assert_int_equal(ncompact_anew(c, NULL), ST_OK);
    nput_range(c, 21, 25, version);
    assert_int_equal(nsnapshot(c, NULL, NULL, NULL), ST_OK); /* shipped at once */
    node_collection_unpin(c);
}

static void drop(struct nworld *w, const char *name)
{
    struct collection *c = npin(w, name);
    struct err err = {0};

    if (ndrop(w, c, &err) != ST_OK)
        fail_msg("%s", err.text);
    node_collection_unpin(c);
}

static void open_world(struct nworld *w, const char *bucket, uint64_t seed)
{
    nworld_init(w, true, seed);
    nworld_bucket(w, bucket);
    w->options.keep_versions = 1;
    nworld_open(w);
}

static void id_of(struct nworld *w, const char *name, uint8_t out[16])
{
    struct collection *c = npin(w, name);

    memcpy(out, c->id, 16);
    node_collection_unpin(c);
}

static char gone[UUID_TEXT_BYTES]; /* the id of what drop_gone() dropped */

/* Of it; those of "docs" have a collector. */
static size_t left(struct nworld *w, const char *part)
{
    struct objstore_req list = {.op = OBJSTORE_LIST, .key = "c/"};
    size_t count = 0;

    assert_int_equal(objstore_wait(w->bucket, &list, NULL), ST_OK);
    assert_false(list.result.truncated);
    for (size_t i = 0; i < list.result.entry_count; i++)
        count += strstr(list.result.entries[i].key, gone) != NULL &&
                 strstr(list.result.entries[i].key, part) != NULL;
    objstore_result_fini(&list.result);
    return count;
}

static void drop_gone(struct nworld *w)
{
    uint8_t id[16];

    id_of(w, "gone", id);
    uuid_format(id, gone);
    drop(w, "gone");
}

/* "docs" is there, "gone" was dropped. */
static void begin(struct nworld *w, const char *bucket, uint64_t seed)
{
    open_world(w, bucket, seed);
    make(w, "docs", 1);
    make(w, "gone", 2);
    nsettled(w);
    drop_gone(w);
}

/* A delete of what was dropped; the collector of "docs" has its own. */
static void hold_a_delete(struct nworld *w, uint32_t nth)
{
    const struct objstore_fault held = {.kind = OBJSTORE_FAULT_DELAY,
                                        .ops = 1u << OBJSTORE_DELETE,
                                        .key_part = gone,
                                        .nth = nth,
                                        .times = 1,
                                        .delay_ms = OBJSTORE_FAULT_HOLD};

    (void)nfault(w, held);
}

static void docs_come_back(struct nworld *w)
{
    struct collection *c;

    nlose_disk(w);
    nworld_open(w);
    nsettled(w);
    c = npin(w, "docs");
    nhas_range(c, 1, 25, 1);
    ninvariants(c);
    node_collection_unpin(c);
}

static void what_was_dropped_leaves_the_bucket(void **state)
{
    static struct node_vacuum t;
    struct nworld w;
    size_t all;

    (void)state;
    begin(&w, "vacuum", 1);
    all = left(&w, "/");
    assert_int_equal(vacuum(&w, true, &t), ST_OK);
    assert_int_equal(t.served, 1);
    assert_int_equal(t.goes.collections, 1);
    assert_int_equal(t.goes.objects, all - 1);
    assert_true(t.goes.bytes > 20 * NDIM * sizeof(float));
    assert_string_equal(t.items[0].fate, "goes");
    assert_string_equal(t.items[0].collection_id, gone);
    assert_int_equal(left(&w, "/"), all);
    assert_int_equal(vacuum(&w, false, &t), ST_OK);
    assert_int_equal(t.deleted, all - 1);
    assert_int_equal(left(&w, "/"), 1);
    assert_int_equal(left(&w, "/root"), 1);
    assert_int_equal(vacuum(&w, false, &t), ST_OK);
    assert_int_equal(t.deleted, 0);
    docs_come_back(&w);
    assert_false(nthere(&w, "gone"));
    nworld_fini(&w);
}

static struct objstore_result get(struct nworld *w, const char *key)
{
    struct objstore_req req = {.op = OBJSTORE_GET, .key = key};

    if (objstore_wait(w->bucket, &req, NULL) != ST_OK)
        fail_msg("%s is gone", key);
    return req.result;
}

/* The last step of its drop is missing: the root is as it was. */
static void a_root_that_does_not_say_so_yet_is_made_to(void **state)
{
    static struct node_vacuum t;
    struct objstore_result root;
    char key[OBJKEY_BYTES];
    struct objstore_req put = {.op = OBJSTORE_PUT, .key = key};
    uint8_t id[16];
    struct nworld w;

    (void)state;
    open_world(&w, "vacuum-unmarked", 2);
    make(&w, "docs", 1);
    make(&w, "gone", 2);
    nsettled(&w);
    id_of(&w, "gone", id);
    objkey_root(id, key);
    root = get(&w, key);
    drop_gone(&w);
    put.body = buf_slice(&root.body);
    assert_int_equal(objstore_wait(w.bucket, &put, NULL), ST_OK);
    objstore_result_fini(&put.result);
    objstore_result_fini(&root);
    assert_int_equal(vacuum(&w, true, &t), ST_OK);
    assert_int_equal(t.waits.collections, 1);
    assert_int_equal(t.goes.objects, 0);
    assert_int_equal(vacuum(&w, false, &t), ST_OK);
    assert_int_equal(t.marked, 1);
    assert_int_equal(t.goes.collections, 1);
    assert_int_equal(vacuum(&w, false, &t), ST_OK);
    assert_int_equal(t.deleted, 0);
    docs_come_back(&w);
    nworld_fini(&w);
}

/* What a pin of `gone` names is there. */
static void pin_is_whole(struct nworld *w, const char *pin_text)
{
    struct objstore_result r;
    struct manifest m;
    struct pin pin;
    uint8_t id[16], pin_id[16];
    char key[OBJKEY_BYTES];

    assert_true(uuid_parse(gone, strlen(gone), id));
    assert_true(uuid_parse(pin_text, strlen(pin_text), pin_id));
    objkey_pin(id, pin_id, key);
    r = get(w, key);
    assert_int_equal(pin_decode(buf_slice(&r.body), &pin, NULL), ST_OK);
    objstore_result_fini(&r);
    objkey_manifest(id, pin.manifest_revision, pin.manifest.uuid, key);
    r = get(w, key);
    assert_int_equal(manifest_decode(buf_slice(&r.body), id, &m, NULL), ST_OK);
    objstore_result_fini(&r);
    assert_true(m.segment_count > 0);
    for (size_t i = 0; i < m.segment_count; i++) {
        objkey_data(id, m.segments[i].object.uuid, key);
        r = get(w, key);
        objstore_result_fini(&r);
    }
    manifest_free(&m);
    for (uint64_t seq = m.floor.seq; m.floor.epoch == pin.epoch && seq <= pin.seq; seq++) {
        objkey_group(id, pin.epoch, seq, key);
        r = get(w, key);
        objstore_result_fini(&r);
    }
}

static void a_named_snapshot_of_what_was_dropped_stays(void **state)
{
    static struct node_vacuum t;
    struct node_snapshot_result snapshot = {0};
    struct nworld w;
    struct collection *c;

    (void)state;
    open_world(&w, "vacuum-pin", 3);
    make(&w, "docs", 1);
    make(&w, "gone", 2);
    c = npin(&w, "gone");
    assert_int_equal(nsnapshot(c, "kept", &snapshot, NULL), ST_OK);
    node_collection_unpin(c);
    nsettled(&w);
    drop_gone(&w);
    assert_int_equal(vacuum(&w, false, &t), ST_OK);
    assert_int_equal(t.pins, 1);
    assert_int_equal(left(&w, "/pin/"), 1);
    pin_is_whole(&w, snapshot.pin);
    assert_int_equal(vacuum(&w, false, &t), ST_OK);
    assert_string_equal(t.items[0].fate, "pinned");
    assert_int_equal(t.deleted, 0);
    docs_come_back(&w);
    nworld_fini(&w);
}

/* Another collection of the name has another id. */
static void the_name_may_be_used_again_meanwhile(void **state)
{
    static struct node_vacuum t;
    struct nworld w;
    struct collection *c;

    (void)state;
    begin(&w, "vacuum-name", 4);
    make(&w, "gone", 3);
    assert_int_equal(vacuum(&w, false, &t), ST_OK);
    assert_int_equal(t.served, 2);
    assert_int_equal(t.goes.collections, 1);
    docs_come_back(&w);
    c = npin(&w, "gone");
    nhas_range(c, 1, 25, 3);
    node_collection_unpin(c);
    nworld_fini(&w);
}

static void what_was_cold_leaves_too(void **state)
{
    static struct node_vacuum t;
    struct nworld w;
    struct collection *c;

    (void)state;
    open_world(&w, "vacuum-cold", 10);
    make(&w, "docs", 1);
    make(&w, "gone", 2);
    nsettled(&w);
    c = npin(&w, "gone");
    assert_int_equal(npatch_policy(&w, c, NODE_S3_ONLY, NULL), ST_OK);
    node_collection_unpin(c);
    c = npin(&w, "gone");
    nput_range(c, 1, 30, 3);
    assert_int_equal(ncompact(c, NULL, NULL), ST_OK);
    node_collection_unpin(c);
    drop_gone(&w);
    assert_true(left(&w, "/g/") > 0);
    assert_int_equal(vacuum(&w, false, &t), ST_OK);
    assert_int_equal(t.failed, 0);
    assert_int_equal(left(&w, "/"), 1);
    docs_come_back(&w);
    nworld_fini(&w);
}

static void it_stays_as_long_as_versions_are_kept(void **state)
{
    static struct node_vacuum t;
    struct nworld w;

    (void)state;
    nworld_init(&w, false, 5);
    nworld_bucket(&w, "vacuum-young");
    w.options.keep_versions = 1;
    w.options.keep_ms = 3600000;
    nworld_open(&w);
    make(&w, "gone", 2);
    nsettled(&w);
    drop_gone(&w);
    assert_int_equal(vacuum(&w, false, &t), ST_OK);
    assert_int_equal(t.deleted, 0);
    assert_int_equal(t.waits.collections, 1);
    assert_string_equal(t.items[0].fate, "waits");
    nworld_fini(&w);
}

static void who_may_not_delete_is_refused(void **state)
{
    struct objstore_req del = {.op = OBJSTORE_DELETE, .key = OBJKEY_CATALOG};
    static struct node_vacuum t;
    struct nworld w;

    (void)state;
    nworld_init(&w, false, 6);
    nworld_open(&w);
    assert_int_equal(vacuum(&w, true, &t), ST_INVALID); /* no bucket */
    nworld_close(&w);
    nworld_bucket(&w, "vacuum-refused");
    nworld_open(&w);
    assert_int_equal(vacuum(&w, false, &t), ST_INVALID);
    assert_non_null(strstr(t.error, "keep_versions"));
    assert_int_equal(vacuum(&w, true, &t), ST_OK);
    nworld_close(&w);
    w.options.keep_versions = 1;
    nworld_open(&w);
    make(&w, "gone", 2);
    nsettled(&w);
    drop_gone(&w);
    node_set_readonly(w.node, true);
    assert_int_equal(vacuum(&w, false, &t), ST_DENIED);
    assert_int_equal(vacuum(&w, true, &t), ST_OK);
    node_set_readonly(w.node, false);
    assert_int_equal(objstore_wait(w.bucket, &del, NULL), ST_OK);
    objstore_result_fini(&del.result);
    assert_int_equal(vacuum(&w, false, &t), ST_DENIED);
    assert_non_null(strstr(t.error, "no meta/catalog"));
    nworld_fini(&w);
}

static void there_is_one_at_a_time(void **state)
{
    static struct node_vacuum t;
    struct nworld w;

    (void)state;
    begin(&w, "vacuum-one", 7);
    assert_false(node_vacuum_shown(w.node, &t));
    hold_a_delete(&w, 1);
    assert_int_equal(node_vacuum(w.node, false, NULL), ST_OK);
    neventually(objstore_faults_held(w.bucket) == 1);
    assert_true(node_vacuum_shown(w.node, &t));
    assert_true(t.running);
    assert_int_equal(t.ended_at_ns, 0);
    assert_int_equal(vacuum(&w, false, &t), ST_CONFLICT);
    assert_int_equal(objstore_faults_release(w.bucket), 1);
    neventually(has_ended(&w, &t));
    assert_int_equal(t.st, ST_OK);
    assert_true(t.deleted > 0);
    assert_int_equal(vacuum(&w, false, &t), ST_OK);
    assert_int_equal(t.deleted, 0);
    nworld_fini(&w);
}

/* The node stops while one is under way, and the next start goes on. */
static void a_stop_ends_it(void **state)
{
    static struct node_vacuum t;
    struct nworld w;

    (void)state;
    begin(&w, "vacuum-stop", 8);
    hold_a_delete(&w, 2);
    assert_int_equal(node_vacuum(w.node, false, NULL), ST_OK);
    neventually(objstore_faults_held(w.bucket) == 1);
    nworld_close(&w);
    objstore_faults_clear(w.bucket);
    nworld_open(&w);
    nsettled(&w);
    assert_int_equal(vacuum(&w, false, &t), ST_OK);
    assert_true(t.deleted > 0);
    docs_come_back(&w);
    nworld_fini(&w);
}

static void forget_root(struct nworld *w, const uint8_t id[16])
{
    char key[OBJKEY_BYTES];
    struct objstore_req del = {.op = OBJSTORE_DELETE, .key = key};

    objkey_root(id, key);
    assert_int_equal(objstore_wait(w->bucket, &del, NULL), ST_OK);
    objstore_result_fini(&del.result);
}

/* Behind each request of a vacuum the process is dead (which is before the next one); another
 * vacuum does the rest. */
static void it_dies_at_each_request(void **state)
{
    bool died = true;
    static struct node_vacuum t;
    struct nkill kill;
    struct nworld w;
    uint8_t id[16];
    uint64_t n;

    (void)state;
    nworld_init(&w, true, 9);
    nworld_bucket(&w, "vacuum-dies");
    w.options.keep_versions = 1;
    nkill_init(&kill, &w);
    nworld_open(&w);
    make(&w, "docs", 1);
    for (n = 1; died; n++) {
        make(&w, "gone", 2);
        nsettled(&w);
        id_of(&w, "gone", id);
        drop_gone(&w);
        nkill_arm(&kill, n, true);
        assert_int_equal(node_vacuum(w.node, false, NULL), ST_OK);
        neventually(nkill_dead(&kill) || has_ended(&w, &t));
        died = nkill_dead(&kill);
        nkill_bury(&kill);
        nworld_open(&w);
        nsettled(&w);
        neventually(vacuum(&w, false, &t) == ST_OK);
        assert_int_equal(t.failed, 0);
        assert_int_equal(vacuum(&w, true, &t), ST_OK);
        assert_int_equal(t.goes.objects, 0);
        assert_int_equal(t.waits.objects, 0);
        assert_int_equal(t.served, 1);
        assert_false(nthere(&w, "gone"));
        forget_root(&w, id); /* which is a request of the next vacuum */
        assert_true(n < 100);
    }
    docs_come_back(&w);
    nworld_fini(&w);
    assert_true(n > 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_dropped_leaves_the_bucket),
        cmocka_unit_test(a_root_that_does_not_say_so_yet_is_made_to),
        cmocka_unit_test(a_named_snapshot_of_what_was_dropped_stays),
        cmocka_unit_test(the_name_may_be_used_again_meanwhile),
        cmocka_unit_test(what_was_cold_leaves_too),
        cmocka_unit_test(it_stays_as_long_as_versions_are_kept),
        cmocka_unit_test(who_may_not_delete_is_refused),
        cmocka_unit_test(there_is_one_at_a_time),
        cmocka_unit_test(a_stop_ends_it),
        cmocka_unit_test(it_dies_at_each_request),
    };

    nlog();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
