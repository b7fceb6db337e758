/* The collector over real histories of a bucket: what is left restores to the same state, what is
 * pinned is whole, and in the end nothing is left that nobody needs. */
#include "base/mem.h"
#include "segment/objkey.h"
#include "snapshot/collect_run.h"
#include "snapshot/pin.h"
#include "snapshot/restore_internal.h"
#include "tests/unit/snapshot/bucket_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static uint64_t seed = 20261127;
enum { STEPS = 25, PINS = 3 };
static uint64_t histories = 20; /* more by argument */

struct world_gc {
    struct bucket b;
    struct collect c;
    struct collect_shell shell;
    struct pin pins[PINS];
    bool pinned[PINS];
};

static status on_mark(void *arg, uint64_t revision, struct err *err)
{
    struct bucket *b = arg;

    (void)err;
    assert_true(revision >= b->root.gc_mark && revision <= b->root.manifest_revision);
    if (revision != b->root.gc_mark) {
        b->root.gc_mark = revision;
        bucket_root_put(b);
    }
    return ST_OK;
}

static void open_world(struct world_gc *w, uint64_t s)
{
    struct collect_options options = {.keep_versions = 1, .batch = 5};

    memset(w, 0, sizeof *w);
    bucket_open(&w->b, s);
    memcpy(options.collection, w->b.root.collection, 16);
    memcpy(options.session, w->b.root.session, 16);
    collect_init(&w->c, &options);
    w->shell = (struct collect_shell){
        .ask = {.store = w->b.store,
                .clock = clock_real(),
                .rand = &w->b.w.rand.source,
                .stop = &w->b.stop,
                .policy = objstore_retry_background(1, 2, 1),
                .give_up_ms = 2000},
        .mark = on_mark,
        .arg = &w->b,
    };
}

static void close_world(struct world_gc *w)
{
    collect_fini(&w->c);
    bucket_close(&w->b);
}

static status collect(struct world_gc *w, unsigned *turns, struct err *err)
{
    uint64_t again_ms = 1;
    status st = ST_OK;

    *turns = 0;
    memcpy(w->c.options.session, w->b.root.session, 16);
    while (st == ST_OK && again_ms > 0) {
        st = collect_turn(&w->c, &w->shell, &again_ms, err);
        ++*turns;
    }
    return st;
}

static bool has_key(struct bucket *b, const char *key)
{
    struct objstore_req req = {.op = OBJSTORE_HEAD, .key = key};
    status st = objstore_wait(b->direct, &req, NULL);

    objstore_result_fini(&req.result);
    return st == ST_OK;
}

static uint64_t below(struct world_gc *w, uint64_t bound)
{
    return rand_below(&w->b.w.rand.source, bound);
}

/* --- pins --- */

static void make_pin(struct world_gc *w, size_t i)
{
    struct bucket *b = &w->b;
    struct pin *p = &w->pins[i];
    struct err err = {0};

    *p = (struct pin){.root_revision = b->root.revision,
                      .manifest_revision = b->root.manifest_revision,
                      .manifest = b->root.manifest,
                      .lsn = b->shipped_lsn};
    memcpy(p->collection, b->root.collection, 16);
    uuid_make_v4(&b->w.rand.source, p->id);
    if (b->next_seq > 1) {
        p->epoch = b->root.epoch;
        p->seq = b->next_seq - 1;
    }
    bucket_ok(pin_put(&w->shell.ask, p, &err), &err, b);
    w->pinned[i] = true;
}

static void pin_out(struct world_gc *w, size_t i)
{
    char key[OBJKEY_BYTES];

    objkey_pin(w->pins[i].collection, w->pins[i].id, key);
    bucket_delete(&w->b, key);
    w->pinned[i] = false;
}

static void data_is_there(struct bucket *b, const uint8_t uuid[16])
{
    char key[OBJKEY_BYTES];

    objkey_data(b->root.collection, uuid, key);
    if (!has_key(b, key))
        fail_msg("%s is gone, and pinned, seed=%llu", key, (unsigned long long)b->w.seed);
}

static void pin_is_whole(struct world_gc *w, const struct pin *p)
{
    struct bucket *b = &w->b;
    struct manifest m;
    struct buf bytes;
    char key[OBJKEY_BYTES];
    struct err err = {0};

    if (p->manifest_revision == 0)
        return;
    objkey_manifest(b->root.collection, p->manifest_revision, p->manifest.uuid, key);
    bytes = bucket_get(b, key);
    manifest_init(&m);
    bucket_ok(manifest_decode(buf_slice(&bytes), b->root.collection, &m, &err), &err, b);
    buf_free(&bytes);
    for (size_t i = 0; i < m.segment_count; i++)
        data_is_there(b, m.segments[i].object.uuid);
    for (size_t i = 0; i < m.image_count; i++)
        data_is_there(b, m.images[i].object.uuid);
    for (uint64_t seq = m.floor.epoch == p->epoch ? m.floor.seq : 1; p->epoch > 0 && seq <= p->seq;
         seq++) {
        objkey_group(b->root.collection, p->epoch, seq, key);
        if (!has_key(b, key))
            fail_msg("%s is gone, and pinned, seed=%llu", key, (unsigned long long)b->w.seed);
    }
    manifest_free(&m);
}

/* --- histories --- */

static void publish(struct world_gc *w, unsigned what)
{
    struct publish_report report;
    struct err err = {0};
    status st;

    if ((what & PUBLISH_IMAGE) != 0)
        bucket_checkpoint(&w->b);
    bucket_ship(&w->b, w->b.w.lsn);
    w->b.refuse_commit = below(w, 5) == 0;
    st = bucket_publish(&w->b, what, &report, &err);
    if (!w->b.refuse_commit)
        bucket_ok(st, &err, &w->b);
    w->b.refuse_commit = false;
}

static void step(struct world_gc *w)
{
    size_t pin = (size_t)below(w, PINS);
    unsigned turns;
    struct err err = {0};

    switch (below(w, 9)) {
    case 0:
    case 1:
        world_ops(&w->b.w, 1 + (unsigned)below(w, 30));
        break;
    case 2:
        bucket_ship(&w->b, w->b.w.lsn);
        break;
    case 3:
        publish(w, PUBLISH_BASE);
        break;
    case 4:
        publish(w, PUBLISH_IMAGE | (below(w, 2) == 0 ? PUBLISH_BASE : 0));
        break;
    case 5:
        bucket_ship(&w->b, w->b.w.lsn);
        bucket_take(&w->b, false);
        break;
    case 6:
        if (w->pinned[pin])
            pin_out(w, pin);
        else
            make_pin(w, pin);
        break;
    default:
        w->c.options.keep_versions = 1 + (uint32_t)below(w, 3);
        bucket_ok(collect(w, &turns, &err), &err, &w->b);
        break;
    }
}

static bool reachable(const struct bucket *b, const struct restore_plan *plan, const char *key)
{
    struct objkey k = objkey_parse(key);

    if (k.kind == OBJKEY_IS_MANIFEST)
        return k.revision == b->root.manifest_revision &&
               memcmp(k.uuid, b->root.manifest.uuid, 16) == 0;
    for (size_t i = 0; k.kind == OBJKEY_IS_DATA && i < plan->manifest.segment_count; i++)
        if (memcmp(plan->manifest.segments[i].object.uuid, k.uuid, 16) == 0)
            return true;
    for (size_t i = 0; k.kind == OBJKEY_IS_DATA && i < plan->manifest.image_count; i++)
        if (memcmp(plan->manifest.images[i].object.uuid, k.uuid, 16) == 0)
            return true;
    for (size_t i = 0; k.kind == OBJKEY_IS_GROUP && i < plan->run_count; i++)
        if (plan->runs[i].epoch == k.epoch && k.seq >= plan->runs[i].first_seq &&
            k.seq <= plan->runs[i].end_seq)
            return true;
    return k.kind == OBJKEY_IS_ROOT;
}

static void nothing_else_is_left(struct world_gc *w)
{
    struct restore_options options;
    struct restore_plan plan;
    struct err err = {0};
    char *key;

    bucket_restore_options(&w->b, &options);
    bucket_ok(restore_plan_read(&options, &plan, &err), &err, &w->b);
    for (size_t i = 0; (key = bucket_key(&w->b, i)) != NULL; i++) {
        if (!reachable(&w->b, &plan, key))
            fail_msg("%s is left, seed=%llu", key, (unsigned long long)w->b.w.seed);
        free(key);
    }
    restore_plan_free(&plan);
}

static uint64_t history(uint64_t s)
{
    struct restore_into_report report;
    struct world_gc w;
    struct err err = {0};
    unsigned turns;
    uint64_t deleted = 0;

    open_world(&w, s);
    for (int i = 0; i < STEPS; i++) {
        step(&w);
        deleted += w.c.report.deleted;
        w.c.report.deleted = 0;
        for (size_t p = 0; p < PINS; p++)
            if (w.pinned[p])
                pin_is_whole(&w, &w.pins[p]);
    }
    bucket_ship(&w.b, w.b.w.lsn);
    bucket_restore_and_check(&w.b, &report);
    for (size_t p = 0; p < PINS; p++)
        if (w.pinned[p])
            pin_out(&w, p);
    w.c.options.keep_versions = 1;
    bucket_ok(collect(&w, &turns, &err), &err, &w.b);
    deleted += w.c.report.deleted;
    nothing_else_is_left(&w);
    bucket_restore_and_check(&w.b, &report);
    close_world(&w);
    return deleted;
}

static void what_is_left_is_what_is_needed(void **state)
{
    uint64_t deleted = 0;

    (void)state;
    for (uint64_t i = 0; i < histories; i++)
        deleted += history(seed + i);
    assert_true(deleted > 20 * histories);
}

/* --- beside others --- */

/* A restore that began before the collector, and is not done when it deletes. */
static void a_restore_that_is_overtaken_begins_again(void **state)
{
    struct restore_options options;
    struct restore_into_report report;
    struct restore_report done;
    const struct restore_sink sink = {.arg = NULL};
    struct restore_plan plan;
    struct world_gc w;
    struct err err = {0};
    unsigned turns;

    (void)state;
    open_world(&w, seed);
    world_ops(&w.b.w, 50);
    publish(&w, PUBLISH_BASE);
    while (!w.b.root.has_manifest)
        publish(&w, PUBLISH_BASE);
    bucket_restore_options(&w.b, &options);
    bucket_ok(restore_plan_read(&options, &plan, &err), &err, &w.b);
    world_ops(&w.b.w, 50);
    for (uint64_t before = w.b.root.manifest_revision; w.b.root.manifest_revision == before;)
        publish(&w, PUBLISH_BASE);
    bucket_ok(collect(&w, &turns, &err), &err, &w.b);
    assert_true(w.c.report.deleted > 0);
    assert_int_equal(restore_run_deep(&options, &plan, &sink, true, &done, &err), ST_UNAVAILABLE);
    assert_non_null(strstr(err.text, "collected meanwhile"));
    restore_plan_free(&plan);
    bucket_restore_and_check(&w.b, &report);
    close_world(&w);
}

static void batches_give_others_their_turn(void **state)
{
    struct world_gc w;
    struct err err = {0};
    unsigned turns;

    (void)state;
    open_world(&w, seed + 1);
    w.b.group_records_max = 1;
    world_ops(&w.b.w, 60);
    for (uint64_t before = w.b.root.manifest_revision; w.b.root.manifest_revision == before;)
        publish(&w, PUBLISH_BASE);
    bucket_ok(collect(&w, &turns, &err), &err, &w.b);
    assert_true(w.c.report.deleted >= 20);
    assert_true(turns >= w.c.report.deleted / w.c.options.batch);
    close_world(&w);
}

/* A policy that lets nobody delete: said, and nothing else. The next run goes on where it can. */
static void what_may_not_be_deleted_stays(void **state)
{
    struct objstore_fault denied = objstore_fault_denied();
    struct world_gc w;
    struct err err = {0};
    unsigned turns;

    (void)state;
    open_world(&w, seed + 2);
    world_ops(&w.b.w, 60);
    for (uint64_t before = w.b.root.manifest_revision; w.b.root.manifest_revision == before;)
        publish(&w, PUBLISH_BASE);
    denied.ops = 1u << OBJSTORE_DELETE;
    assert_int_equal(objstore_faults_add(w.b.faults, &denied, NULL, NULL), ST_OK);
    assert_int_equal(collect(&w, &turns, &err), ST_DENIED);
    assert_non_null(strstr(err.text, "delete c/"));
    objstore_faults_clear(w.b.faults);
    bucket_ok(collect(&w, &turns, &err), &err, &w.b);
    assert_true(w.c.report.deleted > 0);
    nothing_else_is_left(&w);
    close_world(&w);
}

/* In an outage a run ends; what it had planned is planned anew. */
static void an_outage_ends_the_run(void **state)
{
    struct world_gc w;
    struct err err = {0};
    unsigned turns;

    (void)state;
    for (unsigned nth = 1; nth < 12; nth++) {
        struct objstore_fault outage = objstore_fault_outage();

        open_world(&w, seed + 3);
        world_ops(&w.b.w, 60);
        for (uint64_t before = w.b.root.manifest_revision; w.b.root.manifest_revision == before;)
            publish(&w, PUBLISH_BASE);
        w.shell.ask.give_up_ms = 20;
        outage.nth = nth;
        assert_int_equal(objstore_faults_add(w.b.faults, &outage, NULL, NULL), ST_OK);
        assert_int_equal(collect(&w, &turns, &err), ST_UNAVAILABLE);
        assert_true(err.text[0] != '\0');
        objstore_faults_clear(w.b.faults);
        bucket_ok(collect(&w, &turns, &err), &err, &w.b);
        nothing_else_is_left(&w);
        close_world(&w);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_left_is_what_is_needed),
        cmocka_unit_test(a_restore_that_is_overtaken_begins_again),
        cmocka_unit_test(batches_give_others_their_turn),
        cmocka_unit_test(what_may_not_be_deleted_stays),
        cmocka_unit_test(an_outage_ends_the_run),
    };

    if (argc > 2) { /* test_collect_run SEED HISTORIES */
        seed = strtoull(argv[1], NULL, 10);
        histories = strtoull(argv[2], NULL, 10);
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
