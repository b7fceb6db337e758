/* Taking: what each open epoch is asked, where it is closed, and what the local log is to it. */
#include "stream_case.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct stream_case c;

static int fresh(void **state)
{
    (void)state;
    case_init(&c);
    case_bucket(&c, "a");
    return 0;
}

static void begin(void)
{
    case_step(&c, (struct stream_event){.kind = STREAM_OWN});
    case_answer_root(&c);
    case_answer_root(&c);
}

static void listed(uint64_t epoch, uint64_t seq, uint64_t end_seq)
{
    const struct stream_effect *list = case_effect(&c, STREAM_DO_LIST);

    assert_int_equal(list->epoch, epoch);
    assert_int_equal(list->seq, seq);
    case_step(
        &c, (struct stream_event){.kind = STREAM_LISTED, .token = list->token, .end_seq = end_seq});
}

static void group(uint64_t epoch, uint64_t seq, uint64_t first_lsn, uint64_t last_lsn)
{
    const struct stream_effect *read = case_effect(&c, STREAM_DO_READ_GROUP);

    assert_int_equal(read->epoch, epoch);
    assert_int_equal(read->seq, seq);
    case_step(&c, (struct stream_event){.kind = STREAM_GROUP_READ,
                                        .token = read->token,
                                        .first_lsn = first_lsn,
                                        .last_lsn = last_lsn,
                                        .chain_before = case_chain(first_lsn - 1),
                                        .chain = case_chain(last_lsn)});
}

static void local(enum stream_local is, uint64_t lsn)
{
    case_step(&c, (struct stream_event){.kind = STREAM_LOCAL_CHECKED,
                                        .token = case_effect(&c, STREAM_DO_CHECK_LOCAL)->token,
                                        .local = is,
                                        .lsn = lsn});
}

/* Two epochs are open, the second without groups: the first is closed where its run ends, the
 * second gets no lineage, and the log goes on behind. */
static void open_epochs_are_closed_in_order(void **state)
{
    (void)state;
    c.bucket.epoch = 3;
    c.bucket.open[c.bucket.open_count++] = 2;
    case_open(&c, 40, 0);
    begin();
    assert_int_equal(c.bucket.epoch, 4);
    assert_int_equal(c.bucket.open_count, 2);
    listed(2, 1, 7);
    group(2, 1, 1, 5);
    group(2, 7, 31, 36);
    listed(3, 1, 0);
    case_answer_root(&c);
    assert_int_equal(c.bucket.open_count, 0);
    assert_int_equal(c.bucket.lineage_count, 1);
    assert_int_equal(c.bucket.lineages[0].epoch, 2);
    assert_int_equal(c.bucket.lineages[0].end_seq, 7);
    assert_int_equal(c.bucket.lineages[0].last_lsn, 36);
    assert_int_equal(c.bucket.lineages[0].chain, case_chain(36));
    assert_int_equal(case_effect(&c, STREAM_DO_CHECK_LOCAL)->last_lsn, 36);
    local(STREAM_LOCAL_SAME, 0);
    assert_int_equal(case_effect(&c, STREAM_DO_REMOTE)->lsn, 36);
    case_run(&c, 2000);
    assert_int_equal(case_effect(&c, STREAM_DO_ENCODE)->epoch, 4);
    assert_int_equal(case_effect(&c, STREAM_DO_ENCODE)->seq, 1);
    assert_int_equal(case_effect(&c, STREAM_DO_ENCODE)->first_lsn, 37);
}

static void one_group_is_read_once(void **state)
{
    (void)state;
    case_open(&c, 9, 0);
    begin();
    listed(1, 1, 1);
    group(1, 1, 1, 9);
    case_answer_root(&c);
    assert_int_equal(c.bucket.lineages[0].last_lsn, 9);
    assert_int_equal(case_count(&c, STREAM_DO_READ_GROUP), 1);
}

/* A base was published within the epoch: groups before the floor may be gone. */
static void the_floors_epoch_is_looked_at_from_the_floor_on(void **state)
{
    (void)state;
    c.bucket.floor = (struct log_floor){.lsn = 50, .epoch = 1, .seq = 6, .chain = case_chain(50)};
    case_open(&c, 70, 0);
    begin();
    listed(1, 6, 8);
    group(1, 6, 51, 55);
    group(1, 8, 60, 66);
    case_answer_root(&c);
    assert_int_equal(c.bucket.lineages[0].end_seq, 8);
    assert_int_equal(case_effect(&c, STREAM_DO_CHECK_LOCAL)->last_lsn, 66);
}

static void nothing_behind_the_floor_is_no_lineage(void **state)
{
    (void)state;
    c.bucket.floor = (struct log_floor){.lsn = 50, .epoch = 1, .seq = 6, .chain = case_chain(50)};
    case_open(&c, 50, 0);
    begin();
    listed(1, 6, 0);
    case_answer_root(&c);
    assert_int_equal(c.bucket.lineage_count, 0);
    assert_int_equal(case_effect(&c, STREAM_DO_CHECK_LOCAL)->last_lsn, 50);
    assert_int_equal(case_effect(&c, STREAM_DO_CHECK_LOCAL)->chain, case_chain(50));
    assert_int_equal(case_effect(&c, STREAM_DO_CHECK_LOCAL)->seq, 0);
}

static void a_group_that_is_not_found_is_read_again(void **state)
{
    (void)state;
    case_open(&c, 9, 0);
    begin();
    listed(1, 1, 1);
    case_fail(&c, case_effect(&c, STREAM_DO_READ_GROUP), OBJSTORE_NOT_FOUND, false);
    case_run(&c, 2000);
    group(1, 1, 1, 9);
    case_answer_root(&c);
    assert_int_equal(c.bucket.lineages[0].last_lsn, 9);
}

/* Still not found: perhaps a later owner collected it. The root says so. */
static void a_group_that_stays_away_makes_the_root_be_read(void **state)
{
    (void)state;
    case_open(&c, 9, 0);
    begin();
    listed(1, 1, 1);
    for (int i = 0; i < 3; i++) {
        case_fail(&c, case_effect(&c, STREAM_DO_READ_GROUP), OBJSTORE_NOT_FOUND, false);
        case_run(&c, 100000);
    }
    c.bucket.epoch++;
    memset(c.bucket.session, 8, sizeof c.bucket.session);
    (void)snprintf(c.etag, sizeof c.etag, "taken");
    case_answer_root(&c);
    assert_int_equal(c.s.phase, STREAM_FENCED);
}

static void wrong_bytes_halt_the_second_time_with_a_letter(void **state)
{
    (void)state;
    case_open(&c, 9, 0);
    begin();
    listed(1, 1, 1);
    case_fail(&c, case_effect(&c, STREAM_DO_READ_GROUP), OBJSTORE_INTEGRITY, false);
    assert_int_equal(c.s.phase, STREAM_TAKING);
    case_run(&c, 2000);
    case_fail(&c, case_effect(&c, STREAM_DO_READ_GROUP), OBJSTORE_INTEGRITY, false);
    assert_int_equal(c.s.phase, STREAM_HALTED);
    assert_int_equal(case_effect(&c, STREAM_DO_LETTER)->seq, 1);
    assert_int_equal(c.bucket.lineage_count, 0);
    case_step(&c, (struct stream_event){.kind = STREAM_RETRY}); /* a person looked */
    case_answer_root(&c);
    case_answer_root(&c);
    assert_int_equal(c.bucket.epoch, 3);
    listed(1, 1, 1);
    group(1, 1, 1, 9);
    listed(2, 1, 0);
    case_answer_root(&c);
    assert_int_equal(c.bucket.lineages[0].last_lsn, 9);
}

static void a_run_that_does_not_go_on_halts(void **state)
{
    (void)state;
    case_open(&c, 9, 0);
    begin();
    listed(1, 1, 2);
    group(1, 1, 2, 9);
    assert_int_equal(c.s.phase, STREAM_HALTED);
    assert_int_equal(c.bucket.open_count, 1); /* nothing was cut away */
}

static void a_full_open_list_halts(void **state)
{
    (void)state;
    c.bucket.epoch = 40;
    for (uint64_t i = 0; i < ROOT_OPEN_MAX; i++)
        c.bucket.open[c.bucket.open_count++] = i + 1;
    case_open(&c, 9, 0);
    case_step(&c, (struct stream_event){.kind = STREAM_OWN});
    case_answer_root(&c);
    assert_int_equal(c.s.phase, STREAM_HALTED);
    assert_int_equal(case_count(&c, STREAM_DO_PUT_ROOT), 0);
}

/* The CAS that closes makes room where lineages lie before the floor, and says so where none do. */
static void full_lineages_lose_those_before_the_floor(void **state)
{
    (void)state;
    c.bucket.epoch = 200;
    for (uint64_t i = 0; i < ROOT_LINEAGES_MAX; i++)
        c.bucket.lineages[c.bucket.lineage_count++] =
            (struct lineage){i + 1, 1, i + 1, case_chain(i + 1)};
    c.bucket.floor = (struct log_floor){.lsn = 90, .epoch = 91, .seq = 1, .chain = case_chain(90)};
    case_open(&c, 200, 0);
    begin();
    listed(200, 1, 1);
    group(200, 1, 129, 140);
    case_answer_root(&c);
    assert_int_equal(c.bucket.lineages[c.bucket.lineage_count - 1].epoch, 200);
    assert_in_range(c.bucket.lineages[0].epoch, 65, 91);
}

static void full_lineages_behind_the_floor_halt(void **state)
{
    (void)state;
    c.bucket.epoch = 200;
    for (uint64_t i = 0; i < ROOT_LINEAGES_MAX; i++)
        c.bucket.lineages[c.bucket.lineage_count++] =
            (struct lineage){i + 1, 1, i + 1, case_chain(i + 1)};
    case_open(&c, 200, 0);
    begin();
    listed(200, 1, 1);
    group(200, 1, 129, 140);
    assert_int_equal(c.s.phase, STREAM_HALTED);
}

static void end_at_9(void)
{
    begin();
    listed(1, 1, 1);
    group(1, 1, 1, 9);
    case_answer_root(&c);
}

static void a_log_that_ends_before_is_loaded_anew(void **state)
{
    (void)state;
    case_open(&c, 5, 5);
    end_at_9();
    local(STREAM_LOCAL_BEHIND, 0);
    assert_int_equal(c.s.phase, STREAM_DIVERGED);
    assert_int_equal(case_count(&c, STREAM_DO_DIVERGED), 0);
    case_log(&c, 6, 60); /* it was on its way to the disk */
    assert_int_equal(case_effect(&c, STREAM_DO_DIVERGED)->first_lsn, 6);
}

/* It was compared, and before the verdict came another record was on the disk. */
static void what_became_durable_beside_the_comparison_has_a_letter(void **state)
{
    struct stream_effect check;

    (void)state;
    case_open(&c, 5, 5);
    begin();
    listed(1, 1, 1);
    group(1, 1, 1, 9);
    case_answer_root(&c);
    check = case_keep(&c, STREAM_DO_CHECK_LOCAL);
    case_log(&c, 6, 60);
    case_step(&c, (struct stream_event){.kind = STREAM_LOCAL_CHECKED,
                                        .token = check.token,
                                        .local = STREAM_LOCAL_BEHIND});
    assert_int_equal(case_effect(&c, STREAM_DO_DIVERGED)->first_lsn, 6);
    assert_int_equal(case_effect(&c, STREAM_DO_DIVERGED)->last_lsn, 6);
}

static void a_log_that_parted_has_its_tail_in_a_letter(void **state)
{
    (void)state;
    case_open(&c, 15, 4);
    end_at_9();
    local(STREAM_LOCAL_DIVERGED, 4);
    assert_int_equal(c.s.phase, STREAM_DIVERGED);
    assert_int_equal(case_effect(&c, STREAM_DO_DIVERGED)->first_lsn, 5);
    assert_int_equal(case_effect(&c, STREAM_DO_DIVERGED)->last_lsn, 15);
    assert_int_equal(case_count(&c, STREAM_DO_ENCODE), 0);
}

static void a_bucket_that_lost_something_halts(void **state)
{
    (void)state;
    case_open(&c, 15, 12);
    end_at_9();
    local(STREAM_LOCAL_AHEAD, 0);
    assert_int_equal(c.s.phase, STREAM_HALTED);
    assert_int_equal(case_count(&c, STREAM_DO_DIVERGED), 0);
}

/* There is no base in the bucket yet: nothing to load from, so nothing is thrown away. */
static void a_switching_collection_is_never_loaded_anew(void **state)
{
    (void)state;
    c.bucket.state = ROOT_SWITCHING;
    case_open(&c, 15, 4);
    end_at_9();
    local(STREAM_LOCAL_DIVERGED, 4);
    assert_int_equal(c.s.phase, STREAM_HALTED);
}

static void a_log_that_ends_before_its_hint_is_looked_at_at_once(void **state)
{
    (void)state;
    case_open(&c, 5, 5);
    case_tick(&c, 1);
    assert_int_equal(c.log_count, 0);
    stream_init(&c.s, &c.options, 4, 0, 5, c.now_ms);
    case_tick(&c, 1);
    assert_true(case_has(&c, STREAM_DO_READ_ROOT));
}

/* Nothing was open: where the log ends is read from the last group there is. */
static void the_tail_is_read_where_taking_did_not(void **state)
{
    (void)state;
    c.bucket.lineages[0] = (struct lineage){1, 4, 30, case_chain(30)};
    c.bucket.lineage_count = 1;
    c.bucket.epoch = 2;
    case_open(&c, 31, 0);
    begin();
    listed(2, 1, 0);
    case_answer_root(&c);
    group(1, 4, 25, 30);
    assert_int_equal(case_effect(&c, STREAM_DO_CHECK_LOCAL)->first_lsn, 25);
    local(STREAM_LOCAL_SAME, 0);
    assert_int_equal(c.s.phase, STREAM_OWNED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(open_epochs_are_closed_in_order, fresh),
        cmocka_unit_test_setup(one_group_is_read_once, fresh),
        cmocka_unit_test_setup(the_floors_epoch_is_looked_at_from_the_floor_on, fresh),
        cmocka_unit_test_setup(nothing_behind_the_floor_is_no_lineage, fresh),
        cmocka_unit_test_setup(a_group_that_is_not_found_is_read_again, fresh),
        cmocka_unit_test_setup(a_group_that_stays_away_makes_the_root_be_read, fresh),
        cmocka_unit_test_setup(wrong_bytes_halt_the_second_time_with_a_letter, fresh),
        cmocka_unit_test_setup(a_run_that_does_not_go_on_halts, fresh),
        cmocka_unit_test_setup(a_full_open_list_halts, fresh),
        cmocka_unit_test_setup(full_lineages_lose_those_before_the_floor, fresh),
        cmocka_unit_test_setup(full_lineages_behind_the_floor_halt, fresh),
        cmocka_unit_test_setup(a_log_that_ends_before_is_loaded_anew, fresh),
        cmocka_unit_test_setup(what_became_durable_beside_the_comparison_has_a_letter, fresh),
        cmocka_unit_test_setup(a_log_that_parted_has_its_tail_in_a_letter, fresh),
        cmocka_unit_test_setup(a_bucket_that_lost_something_halts, fresh),
        cmocka_unit_test_setup(a_switching_collection_is_never_loaded_anew, fresh),
        cmocka_unit_test_setup(a_log_that_ends_before_its_hint_is_looked_at_at_once, fresh),
        cmocka_unit_test_setup(the_tail_is_read_where_taking_did_not, fresh),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
