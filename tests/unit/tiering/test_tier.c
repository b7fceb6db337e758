/* The shell with a real log over a bucket in memory: what is written comes to the bucket in order,
 * is counted as the store saw it, and nothing is sent without need. */
#include "tests/unit/tiering/ship_world.h"

static struct ship_world w;

static int setup(void **state)
{
    (void)state;
    ship_world_init(&w, 1);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    ship_world_fini(&w);
    return 0;
}

static void all_that_is_written_lies_in_the_bucket_in_order(void **state)
{
    struct ship_node *n = ship_node(&w, "one");
    struct ship_content got;
    struct tier_stream_status now;

    (void)state;
    ship_create(n);
    for (int i = 0; i < 20; i++) {
        ship_append(n, 37);
        ship_run(&w, 400, 20);
    }
    ship_run(&w, 8000, 100);
    ship_read_bucket(&w, n, &got);
    assert_int_equal(got.last_lsn, 740);
    assert_int_equal(got.records, 740);
    assert_int_equal(got.root.epoch, 1);
    now = ship_status(n);
    assert_int_equal(now.phase, STREAM_OWNED);
    assert_string_equal(now.owner, "one");
    assert_int_equal(now.shipped_lsn, 740);
    assert_int_equal(now.remote_lsn, 740);
    assert_int_equal(now.unshipped_bytes, 0);
    assert_int_equal(now.unshipped_records, 0);
    assert_int_equal(now.lag_ms, 0);
    assert_int_equal(now.uploads, got.groups);
    assert_int_equal(now.uploads, ship_store_counts(w.store).group_puts);
    assert_int_equal(now.retries, 0);
    assert_int_equal(n->hint_lsn, 740);
    assert_int_equal(n->remote_lsn, 740);
    assert_int_equal(n->remote_without_read, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(all_that_is_written_lies_in_the_bucket_in_order, setup,
                                        teardown),
    };

    return cmocka_run_group_tests_name("tier", tests, NULL, NULL);
}
