/* The collector over a small bucket: what goes, what stays, and in which order it asks. */
#include "tests/unit/snapshot/gc_case.h"

/* --- what goes --- */

static void an_empty_collection_keeps_all(void **state)
{
    (void)state;
    gc_group(3, 1);
    assert_int_equal(gc_run(), OBJSTORE_OK);
    assert_int_equal(gc_asked(COLLECT_DELETE), 0);
    assert_int_equal(gc.c.report.listed, 2);
}

static void what_was_replaced_goes(void **state)
{
    (void)state;
    gc_two_versions();
    assert_int_equal(gc_run(), OBJSTORE_OK);
    assert_int_equal(gc.root.gc_mark, 9);
    assert_false(gc_manifest_there(5, 11));
    assert_false(gc_data_there(21));
    assert_false(gc_group_there(1, 1));
    assert_false(gc_group_there(1, 2));
    assert_false(gc_group_there(2, 2));
    assert_true(gc_manifest_there(9, 12));
    assert_true(gc_data_there(22));
    assert_true(gc_group_there(2, 3));
    assert_true(gc_group_there(2, 4));
    assert_true(gc_group_there(3, 1));
    assert_int_equal(gc.c.report.deleted, 6);
    assert_int_equal(gc.c.report.planned_bytes, 60);
    assert_int_equal(gc_run(), OBJSTORE_OK);
    assert_int_equal(gc.c.report.planned, 0);
    assert_int_equal(gc_asked(COLLECT_DELETE), 0);
}

static void versions_are_kept(void **state)
{
    (void)state;
    gc_two_versions();
    gc.c.options.keep_versions = 2;
    assert_int_equal(gc_run(), OBJSTORE_OK);
    assert_int_equal(gc.root.gc_mark, 5);
    assert_int_equal(gc.c.report.planned, 0);
}

/* It was written ten hours ago and replaced two hours ago. */
static void age_counts_from_the_replacement(void **state)
{
    (void)state;
    gc_two_versions();
    gc.c.options.keep_ms = 3 * HOUR;
    assert_int_equal(gc_run(), OBJSTORE_OK);
    assert_true(gc_manifest_there(5, 11));
    gc.date_ns += 2ull * HOUR * MS;
    assert_int_equal(gc_run(), OBJSTORE_OK);
    assert_false(gc_manifest_there(5, 11));
    assert_false(gc_data_there(21));
}

static void a_store_without_time_keeps_by_age(void **state)
{
    (void)state;
    gc_two_versions();
    gc.c.options.keep_ms = 1;
    gc.date_ns = 0;
    assert_int_equal(gc_run(), OBJSTORE_OK);
    assert_true(gc_manifest_there(5, 11));
    gc.c.options.keep_ms = 0;
    gc.c.options.grace_ms = 1;
    assert_int_equal(gc_run(), OBJSTORE_PERMANENT);
    assert_true(gc_manifest_there(5, 11));
}

/* What a publish left that was cut short: with the revision of one that was named, too. */
static void orphans_go_and_shorten_nothing(void **state)
{
    (void)state;
    gc_two_versions();
    gc_manifest(5, 0, 13, 31, gc_at(1, 1), GC_NOON_NS - 9ull * HOUR * MS);
    gc_manifest(7, 5, 14, 32, gc_at(1, 2), GC_NOON_NS - 8ull * HOUR * MS);
    gc_manifest(10, 9, 15, 33, gc_at(2, 3), GC_NOON_NS);
    gc_data(31);
    gc_data(32);
    gc_data(33);
    gc.c.options.keep_versions = 2;
    assert_int_equal(gc_run(), OBJSTORE_OK);
    assert_int_equal(gc.root.gc_mark, 5);
    assert_true(gc_manifest_there(5, 11));
    assert_true(gc_data_there(21));
    assert_true(gc_manifest_there(5, 13)); /* cannot be told from it */
    assert_false(gc_manifest_there(7, 14));
    assert_false(gc_data_there(32));
    assert_false(gc_manifest_there(10, 15));
    assert_false(gc_data_there(33));
}

/* What replaced the base: a cold segment with dead rows, one without; other ones are orphans. */
static void cold_segments_and_their_dead_rows_are_kept(void **state)
{
    struct manifest_cold with = {.object = {.bytes = 1}, .dead = {.bytes = 1}};
    struct manifest_cold without = {.object = {.bytes = 1}};

    (void)state;
    gc_two_versions();
    gc_name(41, with.object.uuid);
    gc_name(42, with.dead.uuid);
    gc_name(43, without.object.uuid);
    assert_int_equal(manifest_add_cold(&gc.manifests[1], &with, NULL), ST_OK);
    assert_int_equal(manifest_add_cold(&gc.manifests[1], &without, NULL), ST_OK);
    for (uint64_t n = 41; n <= 45; n++)
        gc_data(n);
    assert_int_equal(gc_run(), OBJSTORE_OK);
    assert_true(gc_data_there(41) && gc_data_there(42) && gc_data_there(43));
    assert_false(gc_data_there(44) || gc_data_there(45));
}

static void the_mark_never_goes_back(void **state)
{
    (void)state;
    gc_two_versions();
    gc.root.gc_mark = 9;
    gc.c.options.keep_versions = 5;
    assert_int_equal(gc_run(), OBJSTORE_OK);
    assert_int_equal(gc.root.gc_mark, 9);
    assert_false(gc_manifest_there(5, 11));
}

static void zombies_groups_go_and_open_epochs_stay(void **state)
{
    (void)state;
    gc_two_versions();
    gc_group(2, 5); /* behind the recorded end */
    gc_group(4, 1); /* of an owner we do not know */
    gc.root.epoch = 3;
    gc.root.open[gc.root.open_count++] = 1;
    assert_int_equal(gc_run(), OBJSTORE_OK);
    assert_false(gc_group_there(2, 5));
    assert_true(gc_group_there(4, 1));
    assert_true(gc_group_there(1, 1));
    assert_false(gc_group_there(2, 1));
}

/* --- pins --- */

static void a_pin_keeps_what_it_needs(void **state)
{
    (void)state;
    gc_two_versions();
    gc_pin(1, 5, 11, 1, 2);
    assert_int_equal(gc_run(), OBJSTORE_OK);
    assert_true(gc_manifest_there(5, 11));
    assert_true(gc_data_there(21));
    assert_true(gc_group_there(1, 1));
    assert_true(gc_group_there(1, 2));
    assert_false(gc_group_there(2, 1));
    assert_int_equal(gc.c.report.pins, 1);
    assert_int_equal(gc.c.report.manifests, 2);
}

static void a_pin_of_a_log_without_manifest_keeps_it_from_the_start(void **state)
{
    (void)state;
    gc_two_versions();
    gc_pin(1, 0, 0, 2, 1);
    assert_int_equal(gc_run(), OBJSTORE_OK);
    assert_true(gc_group_there(1, 1));
    assert_true(gc_group_there(2, 1));
    assert_false(gc_group_there(2, 2));
    assert_false(gc_data_there(21));
}

/* Its maker died before it read the root again. */
static void a_pin_that_never_held_stops_nothing(void **state)
{
    (void)state;
    gc_two_versions();
    gc_pin(1, 2, 99, 1, 2);
    assert_int_equal(gc_run(), OBJSTORE_OK);
    assert_int_equal(gc.c.report.dead_pins, 1);
    assert_false(gc_data_there(21));
    assert_true(gc_data_there(22));
}

static void a_pin_that_cannot_be_read_ends_the_run(void **state)
{
    (void)state;
    gc_two_versions();
    gc_pin(1, 5, 11, 1, 2);
    gc.fault_kind = COLLECT_READ_PIN;
    gc.fault = OBJSTORE_INTEGRITY;
    gc.faults = 1;
    assert_int_equal(gc_run(), OBJSTORE_INTEGRITY);
    assert_non_null(strstr(gc.last.text, "what it said"));
    assert_int_equal(gc_asked(COLLECT_DELETE), 0);
}

/* 404 is no proof: the listing had it. */
static void a_pin_that_is_not_found_once_is_asked_for_again(void **state)
{
    (void)state;
    gc_two_versions();
    gc_pin(1, 5, 11, 1, 2);
    gc.fault_kind = COLLECT_READ_PIN;
    gc.fault = OBJSTORE_NOT_FOUND;
    gc.faults = COLLECT_TRIES;
    assert_int_equal(gc_run(), OBJSTORE_OK);
    assert_true(gc_manifest_there(5, 11));
    assert_true(gc_data_there(21));
    gc.faults = UINT32_MAX; /* it was taken back meanwhile */
    assert_int_equal(gc_run(), OBJSTORE_OK);
    assert_false(gc_manifest_there(5, 11));
}

/* --- order --- */

static size_t first(enum collect_effect_kind kind, size_t from)
{
    while (from < gc.asked_count && gc.asked[from] != kind)
        from++;
    return from;
}

static void the_pins_are_listed_behind_the_mark(void **state)
{
    size_t mark;

    (void)state;
    gc_two_versions();
    gc_pin(1, 5, 11, 1, 2);
    assert_int_equal(gc_run(), OBJSTORE_OK);
    mark = first(COLLECT_MARK, 0);
    assert_int_equal(gc.asked[mark + 1], COLLECT_READ_ROOT);
    assert_int_equal(gc.asked[mark + 2], COLLECT_LIST);
    assert_int_equal(gc.asked[mark + 3], COLLECT_READ_PIN);
}

static void each_batch_is_behind_a_look_at_the_root(void **state)
{
    (void)state;
    gc_two_versions();
    gc.c.options.batch = 2;
    assert_int_equal(gc_run(), OBJSTORE_OK);
    assert_int_equal(gc_asked(COLLECT_DELETE), 3);
    for (size_t i = first(COLLECT_DELETE, 0); i < gc.asked_count; i++)
        if (gc.asked[i] == COLLECT_DELETE)
            assert_int_equal(gc.asked[i - 1], COLLECT_READ_ROOT);
}

static void a_new_owner_ends_the_run(void **state)
{
    (void)state;
    gc_two_versions();
    gc.taken_before_delete = true;
    assert_int_equal(gc_run(), OBJSTORE_PRECONDITION);
    assert_int_equal(gc_asked(COLLECT_DELETE), 0);
    assert_true(gc_data_there(21));
}

static void another_owners_collection_is_left_alone(void **state)
{
    (void)state;
    gc_two_versions();
    memset(gc.root.session, 9, sizeof gc.root.session);
    assert_int_equal(gc_run(), OBJSTORE_PRECONDITION);
    assert_non_null(strstr(gc.last.text, "node b owns"));
    assert_int_equal(gc_asked(COLLECT_LIST), 0);
}

static void readers_have_their_time(void **state)
{
    size_t timer;

    (void)state;
    gc_two_versions();
    gc.c.options.grace_ms = HOUR;
    assert_int_equal(gc_run(), OBJSTORE_OK);
    timer = first(COLLECT_TIMER, 0);
    assert_int_equal(gc.asked[timer + 1], COLLECT_READ_ROOT);
    assert_true(first(COLLECT_DELETE, 0) > timer);
    assert_int_equal(gc.now_ms, 5 + HOUR);
    assert_int_equal(gc.c.report.deleted, 6);
}

static void listings_go_on_page_by_page(void **state)
{
    (void)state;
    gc_two_versions();
    gc.page = 1;
    assert_int_equal(gc_run(), OBJSTORE_OK);
    assert_int_equal(gc.c.report.deleted, 6);
    assert_true(gc_asked(COLLECT_LIST) > 12);
}

static void a_listing_without_the_roots_manifest_is_not_believed(void **state)
{
    (void)state;
    gc_two_versions();
    gc_root_names(9, 77, gc_at(2, 3));
    assert_int_equal(gc_run(), OBJSTORE_INTEGRITY);
    assert_non_null(strstr(gc.last.text, "manifest 9"));
    assert_true(gc_data_there(22));
}

/* --- failures --- */

static void what_may_succeed_later_is_asked_again(void **state)
{
    (void)state;
    gc_two_versions();
    for (int kind = COLLECT_READ_ROOT; kind < COLLECT_FINISHED; kind++) {
        if (kind == COLLECT_READ_PIN)
            continue;
        (void)gc_teardown(NULL);
        (void)gc_setup(NULL);
        gc_two_versions();
        gc.fault_kind = (enum collect_effect_kind)kind;
        gc.fault = OBJSTORE_THROTTLE;
        gc.faults = COLLECT_TRIES;
        assert_int_equal(gc_run(), OBJSTORE_OK);
        assert_int_equal(gc_asked(COLLECT_TIMER), COLLECT_TRIES);
        assert_int_equal(gc.c.report.deleted, 6);
    }
}

static void what_stays_away_ends_the_run(void **state)
{
    (void)state;
    for (int kind = COLLECT_READ_ROOT; kind < COLLECT_FINISHED; kind++) {
        if (kind == COLLECT_READ_PIN)
            continue;
        (void)gc_teardown(NULL);
        (void)gc_setup(NULL);
        gc_two_versions();
        gc.fault_kind = (enum collect_effect_kind)kind;
        gc.fault = kind % 2 == 0 ? OBJSTORE_TRANSIENT : OBJSTORE_PERMANENT;
        gc.faults = UINT32_MAX;
        assert_int_equal(gc_run(), gc.fault);
        assert_true(gc.last.text[0] != '\0');
        assert_true(gc_data_there(22));
        assert_true(kind == COLLECT_DELETE || gc_data_there(21));
    }
}

static void a_stop_ends_the_run(void **state)
{
    (void)state;
    gc_two_versions();
    collect_step(&gc.c, &(struct collect_event){.kind = COLLECT_BEGIN}, &gc.last);
    for (int i = 0; i < 4; i++)
        gc_answer();
    collect_step(&gc.c, &(struct collect_event){.kind = COLLECT_STOP}, &gc.last);
    assert_int_equal(gc.last.kind, COLLECT_FINISHED);
    assert_int_equal(gc.last.class, OBJSTORE_CANCELLED);
    assert_int_equal(gc_run(), OBJSTORE_OK);
    assert_int_equal(gc.c.report.deleted, 6);
}

static void memory_that_runs_out_ends_the_run(void **state)
{
    (void)state;
    for (int64_t n = 0;; n++) {
        enum objstore_class class;
        bool met;

        (void)gc_teardown(NULL);
        (void)gc_setup(NULL);
        gc_two_versions();
        gc_pin(1, 5, 11, 1, 2);
        mem_test_fail_after(n);
        class = gc_run();
        met = mem_test_count() > n;
        mem_test_fail_after(-1);
        if (!met)
            break;
        assert_int_equal(class, OBJSTORE_TRANSIENT);
        assert_string_equal(gc.last.text, "out of memory");
        assert_int_equal(gc_asked(COLLECT_DELETE), 0);
        assert_true(n < 100);
    }
}

/* --- dropped --- */

static void a_dropped_collection_goes_but_for_pins_and_root(void **state)
{
    char key[OBJKEY_BYTES];

    (void)state;
    gc_two_versions();
    gc_pin(1, 5, 11, 1, 2);
    objkey_orphan(GC_ID, 1, GC_ID, 3, key);
    gc_has(key, GC_NOON_NS);
    gc.root.state = ROOT_DROPPED;
    memset(gc.root.session, 9, sizeof gc.root.session); /* whoever dropped it */
    gc.c.options.dropped_too = true;
    gc.c.options.keep_dropped_ms = HOUR;
    assert_int_equal(gc_run(), OBJSTORE_OK);
    assert_int_equal(gc.c.report.planned, 0);
    gc.date_ns += 2ull * HOUR * MS;
    assert_int_equal(gc_run(), OBJSTORE_OK);
    assert_false(gc_there(key));
    assert_true(gc_manifest_there(5, 11));
    assert_true(gc_data_there(21));
    assert_true(gc_group_there(1, 2));
    assert_false(gc_group_there(3, 1));
    assert_false(gc_manifest_there(9, 12));
    assert_false(gc_data_there(22));
    objkey_root(GC_ID, key);
    assert_true(gc_there(key));
    assert_int_equal(gc_asked(COLLECT_MARK), 0);
}

/* An owner's collector that meets the drop of its own collection. */
static void what_was_dropped_meanwhile_is_left_to_the_vacuum(void **state)
{
    (void)state;
    gc_two_versions();
    gc.root.state = ROOT_DROPPED;
    gc.date_ns += 2ull * HOUR * MS;
    assert_int_equal(gc_run(), OBJSTORE_OK);
    assert_int_equal(gc.c.report.planned, 0);
    assert_int_equal(gc_asked(COLLECT_DELETE), 0);
    assert_true(gc_data_there(21));
    assert_true(gc_data_there(22));
    assert_true(gc_group_there(3, 1));
}

/* Both manifests name segment 31, each with dead rows of its own; 33 is the second's alone. */
static void cold_segments_and_their_dead_rows_stay_while_they_are_named(void **state)
{
    (void)state;
    gc_two_versions();
    gc_cold(&gc.manifests[0], 31, 41);
    gc_cold(&gc.manifests[0], 32, 0);
    gc_cold(&gc.manifests[1], 31, 42);
    gc_cold(&gc.manifests[1], 33, 0);
    for (uint64_t n = 31; n <= 33; n++)
        gc_data(n);
    gc_data(41);
    gc_data(42);
    assert_int_equal(gc_run(), OBJSTORE_OK);
    assert_true(gc_data_there(31));
    assert_true(gc_data_there(33));
    assert_true(gc_data_there(42));
    assert_false(gc_data_there(32));
    assert_false(gc_data_there(41));
}

static void a_switching_collection_is_left_alone(void **state)
{
    (void)state;
    gc_data(1);
    gc.root.state = ROOT_SWITCHING;
    assert_int_equal(gc_run(), OBJSTORE_OK);
    assert_true(gc_data_there(1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        GC_TRIAL(an_empty_collection_keeps_all),
        GC_TRIAL(what_was_replaced_goes),
        GC_TRIAL(versions_are_kept),
        GC_TRIAL(age_counts_from_the_replacement),
        GC_TRIAL(a_store_without_time_keeps_by_age),
        GC_TRIAL(orphans_go_and_shorten_nothing),
        GC_TRIAL(cold_segments_and_their_dead_rows_are_kept),
        GC_TRIAL(the_mark_never_goes_back),
        GC_TRIAL(zombies_groups_go_and_open_epochs_stay),
        GC_TRIAL(a_pin_keeps_what_it_needs),
        GC_TRIAL(a_pin_of_a_log_without_manifest_keeps_it_from_the_start),
        GC_TRIAL(a_pin_that_never_held_stops_nothing),
        GC_TRIAL(a_pin_that_is_not_found_once_is_asked_for_again),
        GC_TRIAL(a_pin_that_cannot_be_read_ends_the_run),
        GC_TRIAL(the_pins_are_listed_behind_the_mark),
        GC_TRIAL(each_batch_is_behind_a_look_at_the_root),
        GC_TRIAL(a_new_owner_ends_the_run),
        GC_TRIAL(another_owners_collection_is_left_alone),
        GC_TRIAL(readers_have_their_time),
        GC_TRIAL(listings_go_on_page_by_page),
        GC_TRIAL(a_listing_without_the_roots_manifest_is_not_believed),
        GC_TRIAL(what_may_succeed_later_is_asked_again),
        GC_TRIAL(what_stays_away_ends_the_run),
        GC_TRIAL(a_stop_ends_the_run),
        GC_TRIAL(memory_that_runs_out_ends_the_run),
        GC_TRIAL(a_dropped_collection_goes_but_for_pins_and_root),
        GC_TRIAL(what_was_dropped_meanwhile_is_left_to_the_vacuum),
        GC_TRIAL(cold_segments_and_their_dead_rows_stay_while_they_are_named),
        GC_TRIAL(a_switching_collection_is_left_alone),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
