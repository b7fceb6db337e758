/* Folds over random histories: what was folded, the head and the log together are what was written,
 * whatever is written meanwhile. Prints its seed and takes it as an argument. */
#include "segment/objkey.h"
#include "snapshot/collect_run.h"
#include "tests/unit/snapshot/fold_bucket.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static uint64_t seed = 20261122;
enum { HISTORIES = 15, ROUNDS = 12 };

static void fold(struct fold_bucket *f, struct fold_report *report)
{
    struct err err = {0};

    bucket_ok(fold_bucket_fold(f, report, &err), &err, &f->b);
    assert_false(fold_bucket_scratch_there(f));
}

static void the_first_fold_takes_the_place_of_base_and_image(void **state)
{
    struct fold_report report;
    struct fold_bucket f;
    struct err err = {0};
    struct publish_report published;

    (void)state;
    fold_bucket_open(&f, seed);
    f.b.busy = false;
    world_ops(&f.b.w, 300);
    bucket_ship(&f.b, f.b.w.lsn);
    f.b.w.ops_per_step = 0;
    bucket_checkpoint(&f.b);
    bucket_ok(bucket_publish(&f.b, PUBLISH_BASE | PUBLISH_IMAGE, &published, &err), &err, &f.b);
    assert_true(f.b.manifest.segment_count > 0 && f.b.manifest.image_count > 0);
    fold(&f, &report);
    assert_int_equal(f.b.manifest.segment_count, 0);
    assert_int_equal(f.b.manifest.image_count, 0);
    assert_int_equal(f.b.manifest.cold_count, 1);
    assert_int_equal(f.b.manifest.rows, slots_live_count(f.b.w.slots));
    assert_int_equal(f.b.manifest.floor.lsn, f.b.w.lsn);
    assert_int_equal(report.rows_written, slots_live_count(f.b.w.slots));
    assert_int_equal(report.segments, 1);
    assert_int_equal(report.publish.revision, f.b.root.manifest_revision);
    fold_bucket_check(&f);
    fold_bucket_close(&f);
}

static void a_base_takes_the_place_of_cold_segments(void **state)
{
    struct publish_report published;
    struct fold_report report;
    struct fold_bucket f;
    struct err err = {0};

    (void)state;
    fold_bucket_open(&f, seed);
    f.b.busy = false;
    world_ops(&f.b.w, 100);
    bucket_ship(&f.b, f.b.w.lsn);
    fold(&f, &report);
    assert_int_equal(f.b.manifest.cold_count, 1);
    bucket_ok(bucket_publish(&f.b, PUBLISH_BASE, &published, &err), &err, &f.b);
    assert_int_equal(f.b.manifest.cold_count, 0);
    assert_true(f.b.manifest.segment_count > 0);
    assert_int_equal(f.b.manifest.rows, slots_live_count(f.b.w.slots));
    f.head_floor = 0;
    fold_bucket_check(&f);
    fold_bucket_close(&f);
}

static void a_collection_whose_rows_were_all_deleted_has_no_segment(void **state)
{
    struct fold_report report;
    struct fold_bucket f;

    (void)state;
    fold_bucket_open(&f, seed);
    f.b.busy = false;
    fold(&f, &report); /* of nothing */
    assert_int_equal(f.b.manifest.cold_count, 0);
    for (uint32_t id = 0; id < 20; id++)
        world_upsert(&f.b.w, id);
    bucket_ship(&f.b, f.b.w.lsn);
    fold(&f, &report);
    assert_int_equal(f.b.manifest.cold_count, 1);
    for (uint32_t id = 0; id < 20; id++)
        world_delete(&f.b.w, id);
    bucket_ship(&f.b, f.b.w.lsn);
    fold(&f, &report);
    assert_int_equal(report.rows_dead, 20);
    assert_int_equal(f.b.manifest.cold_count, 0);
    assert_int_equal(f.b.manifest.rows, 0);
    fold_bucket_check(&f);
    fold_bucket_close(&f);
}

/* A start may replay what was folded long ago: it is neither written again nor believed dead. */
static void what_was_folded_and_is_replayed_is_written_once(void **state)
{
    struct fold_report report;
    struct fold_bucket f;

    (void)state;
    fold_bucket_open(&f, seed);
    f.b.busy = false;
    for (uint32_t id = 0; id < 30; id++)
        world_upsert(&f.b.w, id);
    bucket_ship(&f.b, f.b.w.lsn);
    fold(&f, &report);
    fold_bucket_replays_from(&f, f.b.w.lsn - 5); /* five rows again: too few for a merge */
    world_upsert(&f.b.w, 30);
    bucket_ship(&f.b, f.b.w.lsn);
    fold(&f, &report);
    assert_int_equal(report.merged, 0);
    assert_int_equal(report.rows_written, 1);
    assert_int_equal(report.rows_dead, 0);
    assert_int_equal(f.b.manifest.cold_count, 2);
    fold_bucket_check(&f);
    fold_bucket_replays_from(&f, 0); /* all of them: merged, and still each once */
    fold(&f, &report);
    assert_int_equal(report.rows_written, 31);
    assert_int_equal(f.b.manifest.cold_count, 1);
    fold_bucket_check(&f);
    fold_bucket_close(&f);
}

/* --- what folds leave is collected --- */

static status on_mark(void *arg, uint64_t revision, struct err *err)
{
    struct bucket *b = arg;

    (void)err;
    if (revision != b->root.gc_mark) {
        b->root.gc_mark = revision;
        bucket_root_put(b);
    }
    return ST_OK;
}

static void collect(struct fold_bucket *f)
{
    struct collect_options options = {.keep_versions = 1, .batch = 5};
    struct collect_shell shell = {.ask = {.store = f->b.store,
                                          .clock = clock_real(),
                                          .rand = &f->b.w.rand.source,
                                          .policy = objstore_retry_background(1, 2, 1)},
                                  .mark = on_mark,
                                  .arg = &f->b};
    struct collect *c = calloc(1, sizeof *c);
    struct err err = {0};
    uint64_t again_ms = 1;

    assert_non_null(c);
    memcpy(options.collection, f->b.root.collection, 16);
    memcpy(options.session, f->b.root.session, 16);
    collect_init(c, &options);
    while (again_ms > 0)
        bucket_ok(collect_turn(c, &shell, &again_ms, &err), &err, &f->b);
    collect_fini(c);
    free(c);
}

static bool is_named(const struct manifest *m, const uint8_t uuid[16])
{
    for (size_t i = 0; i < m->cold_count; i++)
        if (memcmp(m->colds[i].object.uuid, uuid, 16) == 0 ||
            (m->colds[i].dead.bytes > 0 && memcmp(m->colds[i].dead.uuid, uuid, 16) == 0))
            return true;
    return false;
}

/* Data objects that the manifest does not name. */
static unsigned orphans(struct fold_bucket *f)
{
    unsigned count = 0;
    char *name;

    for (size_t n = 0; (name = bucket_key(&f->b, n)) != NULL; n++) {
        struct objkey key = objkey_parse(name);

        count += key.kind == OBJKEY_IS_DATA && !is_named(&f->b.manifest, key.uuid);
        free(name);
    }
    return count;
}

static void one_round(struct fold_bucket *f, struct fold_report *report)
{
    struct rand_source *rand = &f->b.w.rand.source;
    uint64_t what = rand_below(rand, 100);

    f->b.w.ops_per_step = (unsigned)rand_below(rand, 3);
    f->all = what % 7 == 0;
    world_ops(&f->b.w, (unsigned)rand_below(rand, what % 5 == 0 ? 60 : 6));
    if (what < 15 && f->b.shipped_lsn > f->b.root.floor.lsn && f->b.next_seq > 1)
        bucket_take(&f->b, false);
    else if (f->b.w.lsn > f->b.shipped_lsn)
        bucket_ship(&f->b, f->b.shipped_lsn + rand_below(rand, f->b.w.lsn - f->b.shipped_lsn + 1));
    if (what >= 90)
        fold_bucket_replays_from(f, rand_below(rand, f->head_floor + 1));
    if (what >= 95)
        world_delete(&f->b.w, (uint32_t)rand_below(rand, WORLD_IDS));
    fold(f, report);
}

static void what_is_folded_is_what_was_written_over_random_histories(void **state)
{
    uint64_t merged = 0, dead = 0, most = 0, collected = 0;

    (void)state;
    for (unsigned i = 0; i < HISTORIES; i++) {
        struct fold_bucket f;

        fold_bucket_open(&f, seed + i);
        for (unsigned round = 0; round < ROUNDS; round++) {
            struct fold_report report;

            one_round(&f, &report);
            merged += report.merged;
            dead += report.rows_dead;
            most = report.segments > most ? report.segments : most;
            assert_int_equal(report.segments, f.b.manifest.cold_count);
            fold_bucket_check(&f);
            if (round % 4 != 3)
                continue;
            collected += orphans(&f);
            collect(&f);
            assert_int_equal(orphans(&f), 0);
            fold_bucket_check(&f);
        }
        fold_bucket_close(&f);
    }
    assert_true(merged > HISTORIES && dead > HISTORIES && most >= 2 && collected > HISTORIES);
}

/* Under S3Only a start has the head alone. */
static status count_row(void *arg, const struct segment_row *row, struct err *err)
{
    (void)row;
    (void)err;
    ++*(unsigned *)arg;
    return ST_OK;
}

static void without_cold_segments_a_restore_is_the_head(void **state)
{
    struct restore_report restored;
    struct restore_options options;
    struct fold_report report;
    struct restore_plan plan;
    struct fold_bucket f;
    unsigned rows = 0;
    const struct restore_sink sink = {.arg = &rows, .on_row = count_row};
    uint64_t whole;

    (void)state;
    fold_bucket_open(&f, seed);
    f.b.busy = false;
    for (uint32_t id = 0; id < 30; id++)
        world_upsert(&f.b.w, id);
    bucket_ship(&f.b, f.b.w.lsn);
    fold(&f, &report);
    world_ops(&f.b.w, 10);
    bucket_ship(&f.b, f.b.w.lsn);
    bucket_restore_options(&f.b, &options);
    assert_int_equal(restore_plan_read(&options, &plan, NULL), ST_OK);
    assert_true(plan.cold_bytes == f.b.manifest.colds[0].object.bytes);
    whole = plan.bytes;
    assert_int_equal(restore_run(&options, &plan, &sink, &restored, NULL), ST_OK);
    assert_int_equal(rows, 30);
    assert_int_equal(restored.rows, 30);
    restore_plan_free(&plan);

    options.without_colds = true;
    rows = 0;
    assert_int_equal(restore_plan_read(&options, &plan, NULL), ST_OK);
    assert_int_equal(plan.bytes, whole - f.b.manifest.colds[0].object.bytes);
    assert_int_equal(restore_run(&options, &plan, &sink, &restored, NULL), ST_OK);
    assert_int_equal(rows, 0);
    assert_int_equal(restored.last_lsn, f.b.w.lsn);
    assert_int_equal(restored.records, f.b.w.lsn - f.b.manifest.floor.lsn);
    restore_plan_free(&plan);
    fold_bucket_close(&f);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_fold_takes_the_place_of_base_and_image),
        cmocka_unit_test(a_base_takes_the_place_of_cold_segments),
        cmocka_unit_test(a_collection_whose_rows_were_all_deleted_has_no_segment),
        cmocka_unit_test(what_was_folded_and_is_replayed_is_written_once),
        cmocka_unit_test(what_is_folded_is_what_was_written_over_random_histories),
        cmocka_unit_test(without_cold_segments_a_restore_is_the_head),
    };

    if (argc > 1)
        seed = strtoull(argv[1], NULL, 0);
    print_message("seed=%llu\n", (unsigned long long)seed);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
