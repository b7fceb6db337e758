/* S3Only: head, tombstones, folds and cold set together. Each test is named after what holds. */
#include "tests/unit/node/nhead.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>

static struct nworld w;

static int set_up(void **state)
{
    (void)state;
    nlog();
    nworld_init(&w, true, 811);
    nworld_bucket(&w, "cold");
    w.options.wal_file_bytes = 4096; /* what is trimmed goes */
    w.options.no_background_compaction = true;
    nworld_open(&w);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    nworld_fini(&w);
    return 0;
}

static void a_new_collection_waits_for_the_bucket(void **state)
{
    struct collection *c = nhead_make(&w, "docs", 0);

    (void)state;
    assert_string_equal(ninfo(c).durability, "remote");
    assert_string_equal(ninfo(c).policy, "S3Only");
    assert_int_equal(nhead_version(c, 1), 0); /* known at once: nothing is there */
    node_collection_unpin(c);
}

static void what_is_folded_leaves_the_head_and_is_there(void **state)
{
    struct collection *c = nhead_make(&w, "docs", NODE_LOCAL);
    struct nhead_facts facts;

    (void)state;
    nput_range(c, 1, 100, 1);
    nhead_has_range(c, 1, 100, 1);
    nhead_folded(c);
    facts = nhead_facts(c);
    assert_int_equal(facts.floor, 100);
    assert_int_equal(facts.given_up, 100);
    assert_int_equal(facts.rows, 100);
    assert_int_equal(facts.live, 0);
    nhead_has_range(c, 1, 100, 1);
    neventually(slots_dead_count(c->slots) == 0); /* their memory is back */

    nput_range(c, 1, 10, 2);
    assert_int_equal(nhead_delete(c, 11, 20, NULL), ST_OK); /* none of them in the head */
    assert_int_equal(nhead_facts(c).tombstones, 10);
    nhead_has_range(c, 1, 10, 2);
    nhead_has_range(c, 11, 20, 0);
    nhead_has_range(c, 21, 100, 1);
    nhead_folded(c);
    facts = nhead_facts(c);
    assert_int_equal(facts.tombstones, 0);
    assert_int_equal(facts.live, 0);
    nhead_has_range(c, 1, 10, 2);
    nhead_has_range(c, 11, 20, 0);
    nhead_has_range(c, 21, 100, 1);
    assert_int_equal(nhead_fold(c, true, NULL), ST_OK);
    facts = nhead_facts(c);
    assert_int_equal(facts.segments, 1);
    assert_int_equal(facts.rows, 90);
    node_collection_unpin(c);
}

static void a_start_replays_the_head_and_nothing_else(void **state)
{
    struct collection *c = nhead_make(&w, "docs", NODE_LOCAL);
    struct nhead_facts facts;
    uint64_t first;

    (void)state;
    nput_range(c, 1, 200, 1);
    nhead_folded(c);
    nput_range(c, 150, 160, 2);
    assert_int_equal(nhead_delete(c, 190, 210, NULL), ST_OK);
    neventually(nconfirmed(c));
    assert_int_equal(nhead_facts(c).trimmed, 200);
    assert_false(nhead_has_checkpoint(&w, c));
    node_collection_unpin(c);
    nworld_close(&w);
    nworld_open(&w);
    c = npin(&w, "docs");
    first = nhead_first_in_log(&w, c);
    assert_true(first > 1 && first <= 201);
    facts = nhead_facts(c);
    assert_int_equal(facts.live, 11);
    assert_int_equal(facts.tombstones, 11); /* of those that were there */
    nhead_open(c);
    nhead_has_range(c, 1, 149, 1);
    nhead_has_range(c, 150, 160, 2);
    nhead_has_range(c, 161, 189, 1);
    nhead_has_range(c, 190, 210, 0);
    nhead_folded(c);
    nhead_has_range(c, 190, 210, 0);
    nhead_has_range(c, 150, 160, 2);
    assert_int_equal(nhead_facts(c).live, 0);
    node_collection_unpin(c);
}

static void a_lost_machine_has_head_and_segments_again(void **state)
{
    struct collection *c = nhead_make(&w, "docs", NODE_LOCAL);
    struct nhead_facts facts;

    (void)state;
    nput_range(c, 1, 60, 1);
    nhead_folded(c);
    nput_range(c, 50, 70, 2);
    assert_int_equal(nhead_delete(c, 1, 5, NULL), ST_OK);
    neventually(nconfirmed(c));
    node_collection_unpin(c);
    nlose_disk(&w);
    nworld_open(&w);
    nsettled(&w);
    for (int round = 0; round < 2; round++) { /* the second time from its own log */
        c = npin(&w, "docs");
        nstate(c, "serving", "");
        nhead_open(c);
        facts = nhead_facts(c);
        assert_int_equal(facts.live, 21);
        assert_int_equal(facts.tombstones, round == 0 ? 5 : 0);
        nhead_has_range(c, 1, 5, 0);
        nhead_has_range(c, 6, 49, 1);
        nhead_has_range(c, 50, 70, 2);
        assert_false(nhead_has_checkpoint(&w, c));
        assert_int_equal(nput(c, 100 + (uint64_t)round, 1, NULL), ST_OK);
        assert_int_equal(ndel(c, 100 + (uint64_t)round, NULL), ST_OK);
        neventually(nconfirmed(c));
        assert_int_equal(nhead_delete(c, 100, 101, NULL), ST_OK);
        if (round == 0) {
            node_collection_unpin(c);
            nworld_close(&w);
            nworld_open(&w);
            c = npin(&w, "docs");
            assert_int_equal(nhead_facts(c).tombstones, 6);
            nhead_folded(c);
            nhead_has_range(c, 1, 5, 0);
            nhead_has_range(c, 50, 70, 2);
            nput_range(c, 50, 70, 2);
            assert_int_equal(nhead_delete(c, 1, 5, NULL), ST_OK);
            neventually(nconfirmed(c));
        }
        node_collection_unpin(c);
    }
}

static void before_its_first_fold_a_lost_machine_has_all_of_the_log(void **state)
{
    struct collection *c = nhead_make(&w, "docs", NODE_LOCAL);

    (void)state;
    nput_range(c, 1, 30, 1);
    assert_int_equal(nhead_delete(c, 3, 4, NULL), ST_OK);
    neventually(nconfirmed(c));
    node_collection_unpin(c);
    nlose_disk(&w);
    nworld_open(&w);
    nsettled(&w);
    c = npin(&w, "docs");
    nhead_open(c);
    nhead_has_range(c, 3, 4, 0);
    nhead_has_range(c, 5, 30, 1);
    nhead_folded(c);
    nhead_has_range(c, 3, 4, 0);
    nhead_has_range(c, 5, 30, 1);
    node_collection_unpin(c);
}

static void with_the_bucket_away_the_head_serves_and_takes_writes(void **state)
{
    const struct objstore_fault gone = objstore_fault_outage();
    struct collection *c = nhead_make(&w, "docs", NODE_LOCAL);
    struct cold_set *set = NULL;
    struct err err = {0};

    (void)state;
    nput_range(c, 1, 40, 1);
    nhead_folded(c);
    nput_range(c, 41, 50, 1);
    neventually(nconfirmed(c));
    node_collection_unpin(c);
    nworld_close(&w);
    assert_int_equal(objstore_faults_add(w.bucket, &gone, NULL, NULL), ST_OK);
    nworld_open(&w);
    c = npin(&w, "docs");
    nstate(c, "serving", "");
    assert_int_equal(cold_hold(c, &set, &err), ST_UNAVAILABLE);
    nput_range(c, 51, 60, 1);
    assert_int_equal(nhead_delete(c, 1, 2, NULL), ST_UNAVAILABLE); /* are they there? */
    assert_int_equal(slots_live_count(c->slots), 20);
    neventually(cold_hold(c, &set, &err) == ST_UNAVAILABLE &&
                strstr(err.text, "cannot be read now") != NULL);
    objstore_faults_clear(w.bucket);
    nhead_open(c);
    assert_int_equal(nhead_delete(c, 1, 2, NULL), ST_OK);
    nhead_has_range(c, 1, 2, 0);
    nhead_has_range(c, 3, 60, 1);
    node_collection_unpin(c);
}

static void who_holds_the_set_before_misses_nothing(void **state)
{
    struct collection *c = nhead_make(&w, "docs", NODE_LOCAL);
    struct cold_set *first = NULL;
    struct cold_set *second = NULL;

    (void)state;
    nput_range(c, 1, 20, 1);
    assert_int_equal(cold_hold(c, &first, NULL), ST_OK);
    nhead_folded(c);
    assert_int_equal(nhead_facts(c).live, 20);
    assert_int_equal(nhead_facts(c).past, 1);
    assert_int_equal(cold_hold(c, &second, NULL), ST_OK);
    nput_range(c, 1, 5, 2);
    assert_int_equal(nhead_delete(c, 6, 7, NULL), ST_OK);
    nhead_folded(c);
    for (int round = 0; round < 2; round++) {
        struct cold_set *set = round == 0 ? first : second;

        for (uint64_t id = 1; id <= 20; id++)
            assert_int_equal(nhead_version_in(c, set, id), id <= 5 ? 2 : id <= 7 ? 0 : 1);
        cold_set_drop(set);
        (void)nhead_fold(c, false, NULL);
        /* Those of the first fold go when nobody holds a set from before it. */
        assert_int_equal(nhead_facts(c).given_up, round == 0 ? 20 : 26);
    }
    assert_int_equal(nhead_facts(c).live, 0);
    nhead_has_range(c, 1, 5, 2);
    nhead_has_range(c, 6, 7, 0);
    node_collection_unpin(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_new_collection_waits_for_the_bucket, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_folded_leaves_the_head_and_is_there, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_start_replays_the_head_and_nothing_else, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_lost_machine_has_head_and_segments_again, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(before_its_first_fold_a_lost_machine_has_all_of_the_log,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(with_the_bucket_away_the_head_serves_and_takes_writes,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(who_holds_the_set_before_misses_nothing, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
