/* Whatever goes wrong while rows are folded, the bucket has the collection as it was before, or as
 * it is now; nothing that was named is touched, nothing is named that is not there, and scratch
 * files go. */
#include "base/crc32c.h"
#include "base/mem.h"
#include "segment/objkey.h"
#include "tests/support/alloc_sweep.h"
#include "tests/unit/snapshot/counting_store.h"
#include "tests/unit/snapshot/fold_bucket.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

static uint64_t seed = 20261122;

static void fold(struct fold_bucket *f, struct fold_report *report)
{
    struct err err = {0};

    bucket_ok(fold_bucket_fold(f, report, &err), &err, &f->b);
    assert_false(fold_bucket_scratch_there(f));
}

/* A large segment that stays, one that is merged, dead rows in both, and a head with tombstones. */
static void open_full(struct fold_bucket *f)
{
    struct fold_report report;

    fold_bucket_open(f, seed);
    f->b.busy = false;
    for (uint32_t id = 0; id < 36; id++)
        world_upsert(&f->b.w, id);
    bucket_ship(&f->b, f->b.w.lsn);
    fold(f, &report);
    world_upsert(&f->b.w, 3);
    world_upsert(&f->b.w, 36);
    world_upsert(&f->b.w, 37);
    world_delete(&f->b.w, 4);
    bucket_ship(&f->b, f->b.w.lsn);
    fold(f, &report);
    assert_int_equal(f->b.manifest.cold_count, 2);
    assert_true(f->b.manifest.colds[0].dead_rows == 2);
    world_upsert(&f->b.w, 5);
    world_upsert(&f->b.w, 36);
    world_delete(&f->b.w, 6);
    bucket_ship(&f->b, f->b.w.lsn);
}

/* What the fold of open_full() does when nothing goes wrong. */
static void the_fold_of_these_tests_merges_one_and_leaves_one(void **state)
{
    struct fold_report report;
    struct fold_bucket f;

    (void)state;
    open_full(&f);
    fold(&f, &report);
    assert_int_equal(report.merged, 1);
    assert_int_equal(report.segments, 2);
    assert_int_equal(report.rows_dead, 2); /* 5 and 6 in the one that stays */
    assert_int_equal(f.b.manifest.colds[0].dead_rows, 4);
    fold_bucket_check(&f);
    fold_bucket_close(&f);
}

/* Memory is counted while a fold runs. Where there is none left the head is folded all the same, as
 * that gives memory back; segments are merged when there is room. */
static void a_merge_waits_for_memory_and_a_head_does_not(void **state)
{
    struct fold_report report;
    struct mem_budget budget;
    struct fold_bucket f;
    struct err err = {0};

    (void)state;
    open_full(&f);
    mem_budget_init(&budget, NULL, 1000);
    f.budget = &budget;
    fold(&f, &report);
    assert_true(report.put_off);
    assert_int_equal(report.merged, 0);
    assert_int_equal(report.segments, 3);
    assert_int_equal(atomic_load(&budget.bytes), 0);
    fold_bucket_check(&f);
    f.all = true;
    assert_int_equal(fold_bucket_fold(&f, &report, &err), ST_NOSPACE);
    assert_non_null(strstr(err.text, "rows of cold segments"));
    assert_int_equal(atomic_load(&budget.bytes), 0);
    budget.bytes_max = UINT64_C(1) << 30;
    fold(&f, &report);
    assert_int_equal(report.segments, 1);
    assert_false(report.put_off);
    assert_int_equal(atomic_load(&budget.bytes), 0);
    fold_bucket_check(&f);
    fold_bucket_close(&f);
}

/* The state is the old or the new one, whole; then a fold works. */
static void check_after(struct fold_bucket *f, struct fold_kept *before, status st)
{
    struct fold_report report;

    f->b.stop = false; /* the next process */
    if (st != ST_OK)
        fold_kept_check_and_free(f, before);
    else
        for (size_t i = 0; i < before->count; i++) {
            buf_free(&before->bodies[i]);
            free(before->keys[i]);
        }
    fold_bucket_check_named(f);
    fold_bucket_check(f);
    fold(f, &report);
    fold_bucket_check_named(f);
    fold_bucket_check(f);
}

static void a_stop_at_every_request_leaves_the_old_or_the_new_state(void **state)
{
    unsigned stopped = 0, done = 0;

    (void)state;
    for (uint64_t n = 1; done == 0; n++) {
        struct counting_store counting;
        struct fold_report report;
        struct fold_bucket f;
        struct fold_kept before;
        struct err err = {0};
        status st;

        open_full(&f);
        fold_kept_take(&f, &before);
        counting_store_init(&counting, f.b.faults);
        counting.stop = &f.b.stop;
        counting.stop_at = n;
        f.b.store = &counting.store;
        st = fold_bucket_fold(&f, &report, &err);
        if (st != ST_OK && st != ST_CLOSED)
            fail_msg("%s", err.text);
        stopped += st == ST_CLOSED;
        done += !f.b.stop;
        f.b.store = f.b.faults;
        assert_false(fold_bucket_scratch_there(&f));
        check_after(&f, &before, st);
        fold_bucket_close(&f);
    }
    assert_true(stopped >= 6);
}

static void a_stop_at_every_step_leaves_the_old_state(void **state)
{
    unsigned stopped = 0;
    bool more = true;

    (void)state;
    for (unsigned n = 1; more; n++) {
        struct fold_report report;
        struct fold_bucket f;
        struct fold_kept before;
        struct err err = {0};
        status st;

        open_full(&f);
        fold_kept_take(&f, &before);
        f.stop_at = n;
        st = fold_bucket_fold(&f, &report, &err);
        more = f.stop_at == 0;
        assert_int_equal(st, more ? ST_CLOSED : ST_OK);
        stopped += more;
        f.stop_at = 0;
        check_after(&f, &before, st);
        fold_bucket_close(&f);
    }
    assert_true(stopped >= 4);
}

/* The process dies at each effect on the disk: the next one clears up. */
static void a_crash_at_every_effect_on_the_disk_leaves_the_old_state(void **state)
{
    unsigned crashed = 0;
    bool more = true;

    (void)state;
    for (uint64_t n = 0; more; n++) {
        struct fold_report report;
        struct fold_bucket f;
        struct fold_kept before;
        struct err err = {0};
        status st;

        open_full(&f);
        fold_kept_take(&f, &before);
        fs_sim_stop_after(f.b.w.sim, n);
        st = fold_bucket_fold(&f, &report, &err);
        more = fs_sim_stopped(f.b.w.sim);
        if (st != ST_OK)
            assert_int_equal(st, ST_IO);
        crashed += st != ST_OK;
        if (n % 2 == 0)
            fs_sim_power_cut(f.b.w.sim, &f.b.w.rand.source);
        else
            fs_sim_process_crash(f.b.w.sim);
        check_after(&f, &before, st);
        fold_bucket_close(&f);
    }
    assert_true(crashed >= 8);
}

/* One call fails, as of a disk that is full or breaks, and the process goes on. */
static void each_call_of_the_disk_that_fails_ends_it_without_a_trace(void **state)
{
    unsigned failed = 0;
    uint64_t calls = 1;

    (void)state;
    for (uint64_t n = 1; n <= calls; n += 1 + n / 60) { /* vectors are read one by one */
        struct fold_report report;
        struct fold_bucket f;
        struct fold_kept before;
        struct err err = {0};
        uint64_t at;
        status st;

        open_full(&f);
        fold_kept_take(&f, &before);
        at = fs_sim_calls(f.b.w.sim, FS_SIM_ANY);
        fs_sim_fail_nth(f.b.w.sim, FS_SIM_ANY, n, n % 2 == 0 ? ENOSPC : EIO);
        st = fold_bucket_fold(&f, &report, &err);
        calls = fs_sim_calls(f.b.w.sim, FS_SIM_ANY) - at + 1;
        fs_sim_fail_clear(f.b.w.sim);
        if (st != ST_OK && st != ST_IO && st != ST_NOSPACE)
            fail_msg("%s: %s", status_name(st), err.text);
        failed += st != ST_OK;
        check_after(&f, &before, st);
        fold_bucket_close(&f);
        if (n > 3000)
            fail_msg("still at it");
    }
    assert_true(failed >= 10);
}

/* A disk that fails under the vectors' scratch file is an error and not the end of the process:
 * while cells are made, while records are written, while vectors are. */
static void a_disk_that_fails_under_the_vectors_ends_it(void **state)
{
    unsigned failed = 0;

    (void)state;
    for (uint64_t n = 1; n < 1000; n = 2 * n + 1) {
        const struct fs_sim_fault fault = {
            .op = FS_SIM_READ, .nth = n, .errnum = EIO, .for_ever = true, .path_part = "vectors"};
        struct fold_report report;
        struct fold_bucket f;
        struct fold_kept before;
        struct err err = {0};
        status st;

        open_full(&f);
        fold_kept_take(&f, &before);
        fs_sim_fail(f.b.w.sim, &fault);
        st = fold_bucket_fold(&f, &report, &err);
        fs_sim_fail_clear(f.b.w.sim);
        if (st != ST_OK && (st != ST_IO || strstr(err.text, "vectors") == NULL))
            fail_msg("%s: %s", status_name(st), err.text);
        failed += st != ST_OK;
        check_after(&f, &before, st);
        fold_bucket_close(&f);
    }
    assert_true(failed >= 3);
}

/* Each request in turn: refused for now, throttled, carried out with its answer lost, answered with
 * a flipped bit or too little. */
static void what_the_store_answers_for_now_is_asked_again(void **state)
{
    const struct objstore_fault faults[] = {
        {.kind = OBJSTORE_FAULT_REFUSE, .class = OBJSTORE_TRANSIENT},
        {.kind = OBJSTORE_FAULT_REFUSE,
         .class = OBJSTORE_THROTTLE,
         .http_status = 503,
         .s3_code = "SlowDown",
         .retry_after_ms = 2,
         .times = 3},
        {.kind = OBJSTORE_FAULT_LOSE, .class = OBJSTORE_TRANSIENT},
        {.kind = OBJSTORE_FAULT_CORRUPT},
        {.kind = OBJSTORE_FAULT_TRUNCATE},
    };

    (void)state;
    for (size_t k = 0; k < COUNT_OF(faults); k++) {
        uint64_t met = 1;

        for (uint32_t n = 1; met > 0; n++) {
            struct objstore_fault fault = faults[k];
            struct fold_report report;
            struct fold_bucket f;
            unsigned id;

            fault.nth = n;
            open_full(&f);
            assert_int_equal(objstore_faults_add(f.b.faults, &fault, &id, NULL), ST_OK);
            fold(&f, &report);
            met = objstore_faults_met(f.b.faults, id);
            assert_true(met > 0 || n > 5);
            objstore_faults_clear(f.b.faults);
            fold_bucket_check_named(&f);
            fold_bucket_check(&f);
            fold_bucket_close(&f);
        }
    }
}

static void a_refusal_of_any_request_leaves_the_old_state(void **state)
{
    unsigned refused = 0;
    uint64_t met = 1;

    (void)state;
    for (uint32_t n = 1; met > 0; n++) {
        struct objstore_fault fault = objstore_fault_denied();
        struct fold_report report;
        struct fold_bucket f;
        struct fold_kept before;
        struct err err = {0};
        unsigned id;
        status st;

        fault.nth = n;
        open_full(&f);
        fold_kept_take(&f, &before);
        assert_int_equal(objstore_faults_add(f.b.faults, &fault, &id, NULL), ST_OK);
        st = fold_bucket_fold(&f, &report, &err);
        met = objstore_faults_met(f.b.faults, id);
        objstore_faults_clear(f.b.faults);
        assert_int_equal(st, met > 0 ? ST_DENIED : ST_OK);
        refused += met > 0;
        assert_false(fold_bucket_scratch_there(&f));
        check_after(&f, &before, st);
        fold_bucket_close(&f);
    }
    assert_true(refused >= 6);
}

static void a_permanent_answer_ends_it_with_what_a_letter_says(void **state)
{
    struct objstore_fault denied = objstore_fault_denied();
    struct fold_report report;
    struct fold_bucket f;
    struct fold_kept before;
    struct err err = {0};

    (void)state;
    open_full(&f);
    fold_kept_take(&f, &before);
    denied.ops = 1u << OBJSTORE_PUT;
    denied.nth = 2; /* the segment; the first is dead rows */
    assert_int_equal(objstore_faults_add(f.b.faults, &denied, NULL, NULL), ST_OK);
    assert_int_equal(fold_bucket_fold(&f, &report, &err), ST_DENIED);
    assert_int_equal(report.publish.class, OBJSTORE_PERMANENT);
    assert_non_null(strstr(report.publish.key, "/g/"));
    assert_non_null(strstr(err.text, report.publish.key));
    objstore_faults_clear(f.b.faults);
    assert_false(fold_bucket_scratch_there(&f));
    check_after(&f, &before, ST_DENIED);
    fold_bucket_close(&f);
}

static void a_refused_commit_leaves_everything_as_it_was(void **state)
{
    struct fold_report report;
    struct fold_bucket f;
    struct fold_kept before;
    struct err err = {0};

    (void)state;
    open_full(&f);
    fold_kept_take(&f, &before);
    f.b.refuse_commit = true;
    assert_int_equal(fold_bucket_fold(&f, &report, &err), ST_CLOSED);
    f.b.refuse_commit = false;
    check_after(&f, &before, ST_CLOSED);
    fold_bucket_close(&f);
}

/* --- damage --- */

static void flip(struct fold_bucket *f, const uint8_t uuid[16], uint64_t at, char key[OBJKEY_BYTES])
{
    struct buf body;

    objkey_data(f->b.w.state.collection_id, uuid, key);
    body = bucket_get(&f->b, key);
    body.data[at] ^= 0x10;
    bucket_put(&f->b, key, buf_slice(&body));
    buf_free(&body);
}

/* Every part of an old segment, read because it is merged: the object is named, nothing is
 * committed, and what is there stays as it is. */
static void damage_of_a_segment_that_is_merged_names_it(void **state)
{
    unsigned refused = 0;
    uint64_t bytes = 1;

    (void)state;
    for (uint64_t at = 0; at < bytes; at += 41) {
        char key[OBJKEY_BYTES];
        struct fold_report report;
        struct fold_bucket f;
        struct fold_kept before;
        struct err err = {0};
        status st;

        open_full(&f);
        f.all = true;
        bytes = f.b.manifest.colds[0].object.bytes;
        flip(&f, f.b.manifest.colds[0].object.uuid, at, key);
        fold_kept_take(&f, &before);
        st = fold_bucket_fold(&f, &report, &err);
        assert_true(st == ST_OK || st == ST_CORRUPT); /* codes are made again, not read */
        refused += st == ST_CORRUPT;
        if (st == ST_CORRUPT) {
            assert_non_null(strstr(err.text, key));
            fold_kept_check_and_free(&f, &before);
            assert_int_equal(f.b.manifest.cold_count, 2);
            assert_int_equal(bucket_try_read(&f.b, &err), ST_CORRUPT);
        } else {
            check_after(&f, &before, st);
        }
        assert_false(fold_bucket_scratch_there(&f));
        fold_bucket_close(&f);
    }
    assert_true(refused >= 10);
}

static void damage_of_a_segment_that_stays_names_it(void **state)
{
    unsigned refused = 0;

    (void)state;
    for (unsigned what = 0; what < 3; what++) {
        const struct manifest_cold *cold;
        char key[OBJKEY_BYTES];
        struct fold_report report;
        struct fold_bucket f;
        struct err err = {0};

        open_full(&f);
        cold = &f.b.manifest.colds[0];
        if (what == 0)
            flip(&f, cold->object.uuid, cold->footer_offset + 20, key);
        else if (what == 1)
            flip(&f, cold->dead.uuid, cold->dead.bytes - 5, key);
        else
            flip(&f, cold->object.uuid, cold->footer_offset - 4096 + 30, key); /* an id block */
        assert_int_equal(fold_bucket_fold(&f, &report, &err), ST_CORRUPT);
        refused += strstr(err.text, key) != NULL;
        assert_false(fold_bucket_scratch_there(&f));
        assert_int_equal(bucket_try_read(&f.b, &err), ST_CORRUPT);
        fold_bucket_close(&f);
    }
    assert_int_equal(refused, 3);
}

static void a_segment_that_is_gone_is_damage(void **state)
{
    char key[OBJKEY_BYTES];
    struct fold_report report;
    struct fold_bucket f;
    struct err err = {0};

    (void)state;
    open_full(&f);
    objkey_data(f.b.w.state.collection_id, f.b.manifest.colds[0].object.uuid, key);
    bucket_delete(&f.b, key);
    assert_int_equal(fold_bucket_fold(&f, &report, &err), ST_CORRUPT);
    assert_non_null(strstr(err.text, key));
    assert_non_null(strstr(err.text, "missing"));
    fold_bucket_close(&f);
}

/* verify: each segment is whole, and an id lives in both. */
static void an_id_that_lives_twice_is_found(void **state)
{
    struct fold_report report;
    struct fold_bucket f;
    struct err err = {0};
    char text[64];

    (void)state;
    open_full(&f);
    bucket_ok(bucket_try_read(&f.b, &err), &err, &f.b);
    f.b.manifest.colds[0].dead_rows = 0; /* what was replaced by the other segment lives again */
    f.b.manifest.colds[0].dead = (struct object_ref){.bytes = 0};
    {
        struct buf bytes;
        char key[OBJKEY_BYTES];

        buf_init(&bytes, MANIFEST_BYTES_MAX);
        assert_int_equal(manifest_encode(&f.b.manifest, &bytes, NULL), ST_OK);
        objkey_manifest(f.b.w.state.collection_id, f.b.root.manifest_revision,
                        f.b.root.manifest.uuid, key);
        bucket_put(&f.b, key, buf_slice(&bytes));
        f.b.root.manifest.bytes = bytes.bytes;
        f.b.root.manifest.crc = crc32c(0, bytes.data, bytes.bytes);
        bucket_root_put(&f.b);
        buf_free(&bytes);
    }
    assert_int_equal(bucket_try_read(&f.b, &err), ST_CORRUPT);
    (void)snprintf(text, sizeof text, "id 3 lives in two cold segments");
    assert_non_null(strstr(err.text, text));
    f.all = true; /* a fold that meets both says it too */
    assert_int_equal(fold_bucket_fold(&f, &report, &err), ST_CORRUPT);
    assert_non_null(strstr(err.text, text));
    fold_bucket_close(&f);
}

/* --- memory --- */

static status fold_again(void *arg)
{
    struct fold_bucket *f = arg;
    struct fold_report report;
    status st;

    f->all = true;
    f->b.refuse_commit = true; /* the test's own needs memory too */
    st = fold_bucket_fold(f, &report, NULL);
    assert_false(fold_bucket_scratch_there(f));
    return st == ST_CLOSED ? ST_OK : st;
}

static void each_allocation_may_fail(void **state)
{
    struct fold_bucket f;

    (void)state;
    open_full(&f);
    assert_true(alloc_sweep(fold_again, &f) > 60);
    fold_bucket_check(&f);
    fold_bucket_close(&f);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_fold_of_these_tests_merges_one_and_leaves_one),
        cmocka_unit_test(a_merge_waits_for_memory_and_a_head_does_not),
        cmocka_unit_test(a_stop_at_every_request_leaves_the_old_or_the_new_state),
        cmocka_unit_test(a_stop_at_every_step_leaves_the_old_state),
        cmocka_unit_test(a_crash_at_every_effect_on_the_disk_leaves_the_old_state),
        cmocka_unit_test(each_call_of_the_disk_that_fails_ends_it_without_a_trace),
        cmocka_unit_test(a_disk_that_fails_under_the_vectors_ends_it),
        cmocka_unit_test(what_the_store_answers_for_now_is_asked_again),
        cmocka_unit_test(a_refusal_of_any_request_leaves_the_old_state),
        cmocka_unit_test(a_permanent_answer_ends_it_with_what_a_letter_says),
        cmocka_unit_test(a_refused_commit_leaves_everything_as_it_was),
        cmocka_unit_test(damage_of_a_segment_that_is_merged_names_it),
        cmocka_unit_test(damage_of_a_segment_that_stays_names_it),
        cmocka_unit_test(a_segment_that_is_gone_is_damage),
        cmocka_unit_test(an_id_that_lives_twice_is_found),
        cmocka_unit_test(each_allocation_may_fail),
    };

    if (argc > 1)
        seed = strtoull(argv[1], NULL, 0);
    print_message("seed=%llu\n", (unsigned long long)seed);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
