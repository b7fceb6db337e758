/* Whatever goes wrong while something is published, the bucket gives back the collection: as it was
 * before, or as it is now. */
#include "base/mem.h"
#include "tests/support/alloc_sweep.h"
#include "tests/unit/snapshot/bucket_world.h"
#include "tests/unit/snapshot/counting_store.h"

#include <stdio.h>
#include <stdlib.h>

static uint64_t seed = 20261122;

/* A collection with a graph, a checkpoint, a log in the bucket, and writes after all of it. */
static void open_full(struct bucket *b, uint64_t s)
{
    bucket_open(b, s);
    b->object_bytes = 300;
    world_ops(&b->w, 120);
    b->w.ops_per_step = 0;
    bucket_checkpoint(b);
    b->w.ops_per_step = 2;
    world_ops(&b->w, 20);
    bucket_ship(b, b->w.lsn);
    world_ops(&b->w, 10);
}

static struct objstore_fault at_put(uint32_t nth, enum objstore_fault_kind kind)
{
    return (struct objstore_fault){
        .kind = kind, .ops = 1u << OBJSTORE_PUT, .nth = nth, .class = OBJSTORE_TRANSIENT};
}

/* The process dies after each request in turn: what it had put is orphans, or named. */
static void a_stop_after_every_request_leaves_the_old_or_the_new_state(void **state)
{
    unsigned stopped = 0, done = 0;

    (void)state;
    for (uint64_t n = 1; done == 0; n++) {
        struct restore_into_report restored;
        struct publish_report report;
        struct counting_store counting;
        struct err err = {0};
        struct bucket b;
        status st;

        open_full(&b, seed);
        counting_store_init(&counting, b.faults);
        counting.stop = &b.stop;
        counting.stop_at = n;
        b.store = &counting.store;
        st = bucket_publish(&b, PUBLISH_BASE | PUBLISH_IMAGE, &report, &err);
        if (st != ST_OK && st != ST_CLOSED)
            fail_msg("%s", err.text);
        stopped += st == ST_CLOSED;
        done += !b.stop;
        b.store = b.faults;
        assert_true(b.stop == (st != ST_OK) || st == ST_OK);
        bucket_restore_and_check(&b, &restored);
        assert_int_equal(restored.bucket.used_image, st == ST_OK);
        b.stop = false; /* the next process */
        bucket_ok(bucket_publish(&b, PUBLISH_BASE | PUBLISH_IMAGE, &report, &err), &err, &b);
        bucket_restore_and_check(&b, &restored);
        assert_true(restored.bucket.used_image);
        bucket_close(&b);
    }
    assert_true(stopped >= 4);
}

/* Each PUT in turn: refused for now, or carried out with its answer lost (then the same name comes
 * again, and 412 is fine). */
static void transient_failures_and_lost_answers_are_sent_again(void **state)
{
    const enum objstore_fault_kind kinds[] = {OBJSTORE_FAULT_REFUSE, OBJSTORE_FAULT_LOSE,
                                              OBJSTORE_FAULT_TWICE};

    (void)state;
    for (size_t k = 0; k < COUNT_OF(kinds); k++) {
        uint64_t met = 1;

        for (uint32_t n = 1; met > 0; n++) {
            const struct objstore_fault fault = at_put(n, kinds[k]);
            struct restore_into_report restored;
            struct publish_report report;
            struct err err = {0};
            struct bucket b;
            unsigned id;

            open_full(&b, seed);
            assert_int_equal(objstore_faults_add(b.faults, &fault, &id, NULL), ST_OK);
            bucket_ok(bucket_publish(&b, PUBLISH_BASE | PUBLISH_IMAGE, &report, &err), &err, &b);
            met = objstore_faults_met(b.faults, id);
            assert_true(met > 0 || n > 5);
            bucket_restore_and_check(&b, &restored);
            bucket_close(&b);
        }
    }
}

static void a_permanent_answer_ends_it_with_what_a_letter_says(void **state)
{
    const struct objstore_fault denied = objstore_fault_denied();
    struct restore_into_report restored;
    struct publish_report report;
    struct counting_store counting;
    struct err err = {0};
    struct bucket b;

    (void)state;
    open_full(&b, seed);
    counting_store_init(&counting, b.faults);
    b.store = &counting.store;
    assert_int_equal(objstore_faults_add(b.faults, &denied, NULL, NULL), ST_OK);
    assert_int_equal(bucket_publish(&b, PUBLISH_BASE, &report, &err), ST_DENIED);
    assert_int_equal(report.class, OBJSTORE_PERMANENT);
    assert_int_equal(report.http_status, 403);
    assert_string_equal(report.s3_code, "AccessDenied");
    assert_int_equal(report.attempts, 3); /* once and max_retries */
    assert_non_null(strstr(report.key, "/g/"));
    assert_non_null(strstr(err.text, report.key));
    assert_int_equal(counting.counts[OBJSTORE_PUT], 3);
    objstore_faults_clear(b.faults);
    bucket_restore_and_check(&b, &restored);
    bucket_close(&b);
}

static void a_refused_commit_leaves_everything_as_it_was(void **state)
{
    struct restore_into_report restored;
    struct publish_report report;
    struct err err = {0};
    struct bucket b;

    (void)state;
    open_full(&b, seed);
    b.refuse_commit = true;
    assert_int_equal(bucket_publish(&b, PUBLISH_BASE, &report, &err), ST_CLOSED);
    assert_false(b.root.has_manifest);
    bucket_restore_and_check(&b, &restored);
    bucket_close(&b);
}

/* The next checkpoint takes the files away, at every step of the image. */
static void a_checkpoint_in_between_takes_nothing_away(void **state)
{
    bool reached = true;

    (void)state;
    for (unsigned n = 1; reached; n++) {
        struct restore_into_report restored;
        struct publish_report report;
        struct err err = {0};
        struct bucket b;

        open_full(&b, seed);
        b.w.ops_per_step = 0;
        b.checkpoint_at = n;
        bucket_ok(bucket_publish(&b, PUBLISH_IMAGE, &report, &err), &err, &b);
        reached = b.checkpoint_at == 0;
        assert_true(reached || n > 2);
        bucket_restore_and_check(&b, &restored);
        assert_true(restored.bucket.used_image && restored.nodes > 0);
        bucket_close(&b);
    }
}

static void without_a_checkpoint_there_is_no_image_yet(void **state)
{
    struct publish_report report;
    struct err err = {0};
    struct bucket b;

    (void)state;
    bucket_open(&b, seed);
    world_ops(&b.w, 50);
    bucket_ship(&b, b.w.lsn);
    assert_int_equal(bucket_publish(&b, PUBLISH_IMAGE, &report, &err), ST_UNAVAILABLE);
    bucket_close(&b);
}

/* An index below its threshold has a checkpoint and no graph. */
static void without_a_graph_the_manifest_names_no_image(void **state)
{
    struct restore_into_report restored;
    struct publish_report report;
    struct err err = {0};
    struct bucket b;

    (void)state;
    bucket_open(&b, seed);
    b.busy = false;
    b.w.ops_per_step = 0;
    world_upsert(&b.w, 1);
    bucket_checkpoint(&b);
    bucket_ship(&b, b.w.lsn);
    bucket_ok(bucket_publish(&b, PUBLISH_IMAGE | PUBLISH_BASE, &report, &err), &err, &b);
    assert_int_equal(b.manifest.image_count, 0);
    assert_int_equal(b.manifest.segment_count, 1);
    bucket_restore_and_check(&b, &restored);
    assert_int_equal(restored.live, 1);
    bucket_close(&b);
}

/* A lost root CAS, a crash before the base: published again it is whole. */
static void a_switching_collection_becomes_restorable_with_its_base(void **state)
{
    struct restore_into_report restored;
    struct publish_report report;
    struct err err = {0};
    struct bucket b;
    struct world to;

    (void)state;
    bucket_open(&b, seed);
    world_ops(&b.w, 80); /* as a Memory collection: the log before this never goes to the bucket */
    b.shipped_lsn = b.w.lsn;
    b.chain = 4711;
    b.root.state = ROOT_SWITCHING;
    b.root.floor = (struct log_floor){.lsn = b.w.lsn, .epoch = 1, .seq = 1, .chain = b.chain};
    bucket_root_put(&b);
    world_ops(&b.w, 20);
    bucket_ship(&b, b.w.lsn);
    world_open(&to, seed);
    assert_int_equal(bucket_restore_into(&b, &to, &restored, &err), ST_UNAVAILABLE);
    assert_non_null(strstr(err.text, "not yet restorable"));
    world_close(&to);
    bucket_ok(bucket_publish(&b, PUBLISH_BASE, &report, &err), &err, &b);
    bucket_restore_and_check(&b, &restored);
    bucket_close(&b);
}

/* The root has room for 128 lineages: its oldest move, its newest stays. */
static void lineages_move_into_the_manifest_and_go_with_the_floor(void **state)
{
    struct restore_into_report restored;
    struct publish_report report;
    struct err err = {0};
    struct bucket b;

    (void)state;
    bucket_open(&b, seed);
    b.busy = false;
    for (unsigned i = 0; i < 90; i++) {
        world_upsert(&b.w, i % WORLD_IDS);
        if (i % 3 == 0)
            world_delete(&b.w, (i * 7) % WORLD_IDS);
        bucket_ship(&b, b.w.lsn);
        bucket_take(&b, false);
    }
    assert_int_equal(b.root.lineage_count, 90);
    bucket_ok(bucket_publish(&b, 0, &report, &err), &err, &b);
    assert_int_equal(b.root.lineage_count, 1);
    assert_int_equal(b.manifest.lineage_count, 89);
    bucket_restore_and_check(&b, &restored);
    world_upsert(&b.w, 3);
    bucket_ship(&b, b.w.lsn);
    bucket_take(&b, false);
    bucket_ok(bucket_publish(&b, 0, &report, &err), &err, &b);
    assert_int_equal(b.root.lineage_count, 2);
    bucket_restore_and_check(&b, &restored);
    bucket_ok(bucket_publish(&b, PUBLISH_BASE, &report, &err), &err, &b);
    assert_int_equal(b.manifest.lineage_count, 0);
    assert_int_equal(b.root.lineage_count, 1);
    bucket_restore_and_check(&b, &restored);
    bucket_close(&b);
}

/* The commit and the log are the world's, whose own failures are not the question. */
static status no_commit(void *arg, uint64_t revision, const struct object_ref *manifest,
                        const struct log_floor *floor, size_t absorbed, bool base_complete,
                        struct err *err)
{
    (void)arg;
    (void)revision;
    (void)manifest;
    (void)floor;
    (void)absorbed;
    (void)base_complete;
    (void)err;
    return ST_OK;
}

static status publish_once(void *arg)
{
    const struct publish_tuning tuning = {.object_bytes = 1500, .batch_rows = 16};
    struct bucket *b = arg;
    struct publish_options options;
    struct publish_report report;
    struct manifest after;
    status st;

    bucket_options(b, PUBLISH_BASE | PUBLISH_IMAGE, &options);
    options.commit = no_commit;
    options.settle = NULL;
    st = publish_run_tuned(&options, &b->manifest, &tuning, &after, &report, NULL);
    if (st == ST_OK)
        manifest_free(&after);
    return st;
}

static void each_allocation_may_fail(void **state)
{
    struct publish_report report;
    struct err err = {0};
    struct bucket b;

    (void)state;
    open_full(&b, seed);
    b.busy = false;
    bucket_ok(bucket_publish(&b, PUBLISH_BASE, &report, &err), &err, &b);
    assert_true(alloc_sweep(publish_once, &b) > 20);
    bucket_close(&b);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_stop_after_every_request_leaves_the_old_or_the_new_state),
        cmocka_unit_test(transient_failures_and_lost_answers_are_sent_again),
        cmocka_unit_test(a_permanent_answer_ends_it_with_what_a_letter_says),
        cmocka_unit_test(a_refused_commit_leaves_everything_as_it_was),
        cmocka_unit_test(a_checkpoint_in_between_takes_nothing_away),
        cmocka_unit_test(without_a_checkpoint_there_is_no_image_yet),
        cmocka_unit_test(without_a_graph_the_manifest_names_no_image),
        cmocka_unit_test(a_switching_collection_becomes_restorable_with_its_base),
        cmocka_unit_test(lineages_move_into_the_manifest_and_go_with_the_floor),
        cmocka_unit_test(each_allocation_may_fail),
    };

    if (argc > 1)
        seed = strtoull(argv[1], NULL, 10);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
