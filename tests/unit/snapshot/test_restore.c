/* Reading a bucket back: what counts is read in order, and what does not count is not read. */
#include "base/crc32c.h"
#include "base/mem.h"
#include "segment/objkey.h"
#include "tests/unit/snapshot/bucket_world.h"
#include "tests/unit/snapshot/counting_store.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static uint64_t seed = 20261123;

static void everything_a_bucket_may_have_is_read(void **state)
{
    struct restore_into_report report;
    struct restore_report verified;
    struct restore_options options;
    struct err err = {0};
    struct bucket b;

    (void)state;
    bucket_open_full(&b, seed);
    bucket_restore_and_check(&b, &report);
    assert_true(report.bucket.used_image && report.nodes > 0 && report.bucket.rows > 0 &&
                report.bucket.records > 0);
    bucket_restore_options(&b, &options);
    bucket_ok(restore_verify(&options, &verified, &err), &err, &b);
    assert_int_equal(verified.last_lsn, b.shipped_lsn);
    assert_int_equal(verified.chain, b.chain);
    assert_int_equal(verified.rows, report.bucket.rows);
    assert_int_equal(verified.records, report.bucket.records);
    bucket_close(&b);
}

/* --- what counts --- */

static void a_dropped_collection_says_so(void **state)
{
    struct err err = {0};
    struct bucket b;

    (void)state;
    bucket_open_full(&b, seed);
    b.root.state = ROOT_DROPPED;
    b.root.dropped_at_ns = UINT64_C(1795000000000000000);
    bucket_root_put(&b);
    assert_int_equal(bucket_try_restore(&b, &err), ST_NOT_FOUND);
    assert_non_null(strstr(err.text, "dropped at 2026-"));
    bucket_close(&b);
}

static void no_root_is_not_found(void **state)
{
    char key[OBJKEY_BYTES];
    struct err err = {0};
    struct bucket b;

    (void)state;
    bucket_open(&b, seed);
    objkey_root(b.w.state.collection_id, key);
    bucket_delete(&b, key);
    assert_int_equal(bucket_try_restore(&b, &err), ST_NOT_FOUND);
    bucket_close(&b);
}

/* Late PUTs of a fenced owner: behind a hole, and behind a recorded end. */
static void groups_behind_a_hole_or_an_end_do_not_count(void **state)
{
    struct restore_into_report report;
    char from[OBJKEY_BYTES];
    char to[OBJKEY_BYTES];
    struct buf body;
    struct bucket b;

    (void)state;
    bucket_open(&b, seed);
    world_ops(&b.w, 60);
    bucket_ship(&b, b.w.lsn);
    objkey_group(b.w.state.collection_id, 1, b.next_seq - 1, from);
    body = bucket_get(&b, from);
    objkey_group(b.w.state.collection_id, 1, b.next_seq + 2, to);
    bucket_put(&b, to, buf_slice(&body));
    bucket_restore_and_check(&b, &report);
    bucket_take(&b, false);
    objkey_group(b.w.state.collection_id, 1, b.root.lineages[0].end_seq + 1, to);
    bucket_put(&b, to, buf_slice(&body));
    world_ops(&b.w, 20);
    bucket_ship(&b, b.w.lsn);
    bucket_restore_and_check(&b, &report);
    buf_free(&body);
    bucket_close(&b);
}

/* Takers that died between their two CAS, with and without groups in between. */
static void open_epochs_are_read_in_order(void **state)
{
    struct restore_into_report report;
    struct bucket b;

    (void)state;
    bucket_open(&b, seed);
    for (unsigned i = 0; i < 12; i++) {
        if (i % 3 != 1) {
            world_ops(&b.w, 15);
            bucket_ship(&b, b.w.lsn);
        }
        bucket_take(&b, true);
        bucket_restore_and_check(&b, &report);
    }
    bucket_close(&b);
}

static void another_history_is_refused(void **state)
{
    struct err err = {0};
    struct bucket b;

    (void)state;
    bucket_open(&b, seed);
    world_ops(&b.w, 30);
    bucket_ship(&b, b.w.lsn);
    bucket_take(&b, false);
    b.chain ^= 1;
    world_ops(&b.w, 30);
    bucket_ship(&b, b.w.lsn);
    assert_int_equal(bucket_try_restore(&b, &err), ST_CORRUPT);
    assert_non_null(strstr(err.text, "another history"));
    bucket_close(&b);
}

static void a_log_that_ends_before_the_manifest_rests_on_it_is_refused(void **state)
{
    struct publish_report report;
    struct err err = {0};
    struct bucket b;
    char key[OBJKEY_BYTES];

    (void)state;
    bucket_open(&b, seed);
    world_ops(&b.w, 60);
    bucket_ship(&b, b.w.lsn);
    b.w.ops_per_step = 3;
    bucket_ok(bucket_publish(&b, PUBLISH_BASE, &report, &err), &err, &b);
    assert_true(b.manifest.lsn > b.manifest.floor.lsn);
    objkey_group(b.w.state.collection_id, 1, b.next_seq - 1, key);
    bucket_delete(&b, key);
    assert_int_equal(bucket_try_restore(&b, &err), ST_CORRUPT);
    assert_non_null(strstr(err.text, "the log ends at lsn"));
    bucket_close(&b);
}

struct gap_seen {
    uint64_t first, last;
};
static void see_gap(void *arg, uint64_t first, uint64_t last)
{
    *(struct gap_seen *)arg = (struct gap_seen){first, last};
}

/* What an operator discarded is missing, and everything else is there. */
static void a_gap_is_told_and_the_log_goes_on(void **state)
{
    struct gap_seen gap = {0};
    struct restore_options options;
    struct restore_report report;
    struct restore_plan plan;
    struct err err = {0};
    struct bucket b;
    uint64_t first;

    (void)state;
    bucket_open(&b, seed);
    world_ops(&b.w, 40);
    bucket_ship(&b, b.w.lsn);
    first = b.shipped_lsn + 1;
    world_ops(&b.w, 40);
    bucket_gap(&b, b.w.lsn - 1);
    bucket_ship(&b, b.w.lsn);
    bucket_restore_options(&b, &options);
    bucket_ok(restore_plan_read(&options, &plan, &err), &err, &b);
    bucket_ok(restore_run(&options, &plan, &(struct restore_sink){.arg = &gap, .on_gap = see_gap},
                          &report, &err),
              &err, &b);
    assert_int_equal(report.gaps, 1);
    assert_int_equal(gap.first, first);
    assert_int_equal(gap.last, b.w.lsn - 1);
    assert_int_equal(report.last_lsn, b.w.lsn);
    assert_int_equal(report.records, first);
    restore_plan_free(&plan);
    bucket_ok(bucket_try_restore(&b, &err), &err, &b);
    bucket_close(&b);
}

/* More groups than one answer names; two requests list them, and each is read once. */
static void listings_of_many_groups_go_on(void **state)
{
    struct counting_store counting;
    struct restore_into_report report;
    struct bucket b;

    (void)state;
    bucket_open(&b, seed);
    b.group_records_max = 1;
    while (b.w.lsn < OBJSTORE_LIST_MAX + 200)
        world_ops(&b.w, 100);
    bucket_ship(&b, b.w.lsn);
    counting_store_init(&counting, b.direct);
    b.store = &counting.store;
    bucket_restore_and_check(&b, &report);
    assert_int_equal(counting.counts[OBJSTORE_LIST], 2);
    assert_int_equal(counting.counts[OBJSTORE_GET], b.w.lsn + 1);
    assert_int_equal(counting.counts[OBJSTORE_HEAD], 0);
    assert_int_equal(counting.counts[OBJSTORE_PUT], 0);
    bucket_close(&b);
}

static void a_root_in_order_lists_one_epoch(void **state)
{
    struct counting_store counting;
    struct err err = {0};
    struct bucket b;

    (void)state;
    bucket_open_full(&b, seed);
    b.root.open_count = 0; /* as after the second CAS, but for its lineage */
    b.root.epoch = 3;
    bucket_root_put(&b);
    counting_store_init(&counting, b.direct);
    b.store = &counting.store;
    bucket_ok(bucket_try_read(&b, &err), &err, &b);
    assert_int_equal(counting.counts[OBJSTORE_LIST], 1);
    bucket_close(&b);
}

/* An image that is all holes, or most of whose rows are gone, is not used. */
static void an_image_of_rows_that_are_gone_is_not_taken_over(void **state)
{
    struct restore_into_report report;
    struct publish_report published;
    struct err err = {0};
    struct bucket b;

    (void)state;
    bucket_open(&b, seed);
    b.busy = false;
    b.w.ops_per_step = 0;
    for (uint32_t id = 0; id < WORLD_IDS; id++)
        world_upsert(&b.w, id);
    while (vindex_link(b.w.vindex, 16) > 0)
        ;
    bucket_checkpoint(&b);
    bucket_ship(&b, b.w.lsn);
    bucket_ok(bucket_publish(&b, PUBLISH_IMAGE, &published, &err), &err, &b);
    assert_int_equal(published.image_nodes, WORLD_IDS);
    for (uint32_t id = 0; id < WORLD_IDS - 5; id++)
        world_upsert(&b.w, id);
    bucket_ship(&b, b.w.lsn);
    bucket_restore_and_check(&b, &report); /* the rows of the image are in the log */
    assert_false(report.graph_left_out);
    assert_int_equal(report.nodes, WORLD_IDS);
    bucket_ok(bucket_publish(&b, PUBLISH_BASE, &published, &err), &err, &b);
    bucket_restore_and_check(&b, &report); /* and now they are not */
    assert_true(report.graph_left_out);
    assert_int_equal(report.placed, 5);
    assert_int_equal(report.nodes, 0);
    bucket_close(&b);
}

static void the_bucket_s_catalog_is_read(void **state)
{
    struct catalog c;
    struct catalog read;
    struct err err = {0};
    struct bucket b;
    struct buf bytes;
    char etag[OBJSTORE_ETAG_BYTES];

    (void)state;
    bucket_open(&b, seed);
    assert_int_equal(restore_catalog(b.store, &read, etag, &err), ST_NOT_FOUND);
    assert_int_equal(read.collection_count, 0);
    catalog_init(&c);
    c.revision = 7;
    buf_init(&bytes, CATALOG_BYTES_MAX);
    assert_int_equal(catalog_encode(&c, &bytes, &err), ST_OK);
    bucket_put(&b, OBJKEY_CATALOG, buf_slice(&bytes));
    assert_int_equal(restore_catalog(b.store, &read, etag, &err), ST_OK);
    assert_int_equal(read.revision, 7);
    assert_true(etag[0] != '\0');
    catalog_free(&read);
    bytes.data[bytes.bytes - 1] ^= 1;
    bucket_put(&b, OBJKEY_CATALOG, buf_slice(&bytes));
    assert_int_equal(restore_catalog(b.store, &read, NULL, &err), ST_CORRUPT);
    buf_free(&bytes);
    catalog_free(&c);
    bucket_close(&b);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(everything_a_bucket_may_have_is_read),
        cmocka_unit_test(a_dropped_collection_says_so),
        cmocka_unit_test(no_root_is_not_found),
        cmocka_unit_test(groups_behind_a_hole_or_an_end_do_not_count),
        cmocka_unit_test(open_epochs_are_read_in_order),
        cmocka_unit_test(another_history_is_refused),
        cmocka_unit_test(a_log_that_ends_before_the_manifest_rests_on_it_is_refused),
        cmocka_unit_test(a_gap_is_told_and_the_log_goes_on),
        cmocka_unit_test(listings_of_many_groups_go_on),
        cmocka_unit_test(a_root_in_order_lists_one_epoch),
        cmocka_unit_test(an_image_of_rows_that_are_gone_is_not_taken_over),
        cmocka_unit_test(the_bucket_s_catalog_is_read),
    };

    if (argc > 1)
        seed = strtoull(argv[1], NULL, 10);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
