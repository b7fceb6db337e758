/* What is published and the log behind it give the exact state, whatever was written meanwhile. */
#include "tests/unit/snapshot/bucket_world.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static uint64_t seed = 20261121;
enum { HISTORIES = 40 };

static void publish(struct bucket *b, unsigned what)
{
    struct publish_report report;
    struct err err = {0};

    bucket_ok(bucket_publish(b, what, &report, &err), &err, b);
}

static void only_a_log(void **state)
{
    struct restore_into_report report;
    struct bucket b;

    (void)state;
    bucket_open(&b, seed);
    bucket_restore_and_check(&b, &report);
    assert_int_equal(report.live, 0);
    world_ops(&b.w, 200);
    bucket_ship(&b, b.w.lsn / 2);
    bucket_restore_and_check(&b, &report);
    assert_int_equal(report.bucket.records, b.w.lsn / 2);
    assert_false(report.bucket.used_image);
    bucket_ship(&b, b.w.lsn);
    bucket_restore_and_check(&b, &report);
    bucket_close(&b);
}

/* A quiet collection: every row of the image goes to its slot, and nothing is linked anew. */
static void a_graph_comes_back_with_its_links(void **state)
{
    struct restore_into_report report;
    struct bucket b;
    uint32_t linked;

    (void)state;
    bucket_open(&b, seed);
    b.busy = false;
    world_ops(&b.w, 300);
    while (vindex_link(b.w.vindex, 16) > 0)
        ;
    world_repair(&b.w); /* no dead rows: a base has none, and their nodes would be missing */
    linked = vindex_linked(b.w.vindex);
    assert_true(linked > 10);
    b.w.ops_per_step = 0;
    bucket_checkpoint(&b);
    bucket_ship(&b, b.w.lsn);
    publish(&b, PUBLISH_IMAGE);
    bucket_restore_and_check(&b, &report);
    assert_true(report.bucket.used_image);
    assert_int_equal(report.pending, 0);
    assert_true(report.nodes >= slots_live_count(b.w.slots));
    assert_int_equal(report.nodes, linked);

    publish(&b, PUBLISH_BASE);
    bucket_restore_and_check(&b, &report);
    assert_int_equal(report.bucket.records, 0);
    assert_int_equal(report.bucket.rows, slots_live_count(b.w.slots));
    assert_int_equal(report.pending, 0);
    bucket_close(&b);
}

/* Many histories: bases, images, checkpoints, epochs and restores in any order, with writes, links,
 * repairs, reuse of slots and shipping between all steps. */
static void restored_is_what_the_log_says_over_random_histories(void **state)
{
    unsigned used_image = 0, nodes = 0, placed = 0;

    (void)state;
    for (unsigned i = 0; i < HISTORIES; i++) {
        struct bucket b;

        bucket_open(&b, seed + i);
        for (unsigned round = 0; round < 12; round++) {
            uint64_t what = rand_below(&b.w.rand.source, 100);
            struct restore_into_report report;

            b.w.ops_per_step = (unsigned)rand_below(&b.w.rand.source, 4);
            b.object_bytes = 300 + rand_below(&b.w.rand.source, 3000);
            world_ops(&b.w, (unsigned)rand_below(&b.w.rand.source, 60));
            if (what < 30)
                bucket_checkpoint(&b);
            else if (what < 50)
                publish(&b, PUBLISH_BASE);
            else if (what < 60)
                publish(&b, 0);
            else if (what < 70 && b.shipped_lsn > b.root.floor.lsn && b.next_seq > 1)
                bucket_take(&b, false);
            else if (b.w.lsn > b.shipped_lsn)
                bucket_ship(&b, b.shipped_lsn +
                                    rand_below(&b.w.rand.source, b.w.lsn - b.shipped_lsn + 1));
            if (what % 4 == 0 && b.has_checkpoint)
                publish(&b, what % 8 == 0 ? PUBLISH_IMAGE : PUBLISH_IMAGE | PUBLISH_BASE);
            bucket_restore_and_check(&b, &report);
            used_image += report.bucket.used_image;
            nodes += report.nodes > 0;
            placed += report.placed > 0;
        }
        bucket_close(&b);
    }
    assert_true(used_image > HISTORIES && nodes > HISTORIES && placed > HISTORIES);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_a_log),
        cmocka_unit_test(a_graph_comes_back_with_its_links),
        cmocka_unit_test(restored_is_what_the_log_says_over_random_histories),
    };

    if (argc > 1)
        seed = strtoull(argv[1], NULL, 10);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
