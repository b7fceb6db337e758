/* Discarding a parked seal: a gap under its name, or it had been stored after all. */
#include "stream_case.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "segment/group.h"

static struct stream_case c;

static struct stream_effect parked, behind;

/* lsns 1 to 5 are parked, 6 to 9 stored behind them. */
static int one_is_parked(void **state)
{
    (void)state;
    case_init(&c);
    c.options.max_retries = 0;
    case_owned(&c);
    case_seal(&c, 5, &parked);
    case_seal(&c, 9, &behind);
    case_put(&c, &behind, OBJSTORE_OK);
    case_put(&c, &parked, OBJSTORE_PERMANENT);
    assert_true(case_has(&c, STREAM_DO_LETTER));
    return 0;
}

static void discard(uint64_t first_lsn, uint64_t last_lsn)
{
    case_step(&c, (struct stream_event){.kind = STREAM_DISCARD,
                                        .first_lsn = first_lsn,
                                        .last_lsn = last_lsn,
                                        .drop = true});
}

/* The group behind it is stored already and begins with the records' chain: so the gap ends in it.
 */
static void a_gap_takes_its_place_and_its_chain(void **state)
{
    struct stream_effect gap;

    (void)state;
    discard(1, 5);
    gap = case_keep(&c, STREAM_DO_PUT_GROUP);
    assert_true(gap.gap);
    assert_int_equal(gap.seq, parked.seq);
    assert_int_equal(gap.first_lsn, 1);
    assert_int_equal(gap.last_lsn, 5);
    assert_int_equal(gap.chain, case_chain(5));
    assert_int_equal(gap.chain_before, case_chain(0));
    case_put(&c, &gap, OBJSTORE_OK);
    assert_true(case_effect(&c, STREAM_DO_DISCARDED)->gap);
    assert_true(case_effect(&c, STREAM_DO_DISCARDED)->drop);
    assert_true(case_has(&c, STREAM_DO_LETTER_OUT));
    assert_int_equal(case_effect(&c, STREAM_DO_SHIPPED)->lsn, 9);
}

static void only_the_exact_range_is_discarded(void **state)
{
    (void)state;
    discard(1, 4);
    assert_int_equal(case_effect(&c, STREAM_DO_DISCARDED)->class, OBJSTORE_NOT_FOUND);
    discard(6, 9);
    assert_int_equal(case_effect(&c, STREAM_DO_DISCARDED)->class, OBJSTORE_NOT_FOUND);
    assert_int_equal(c.s.seals[0].gap, false);
}

static void what_had_been_stored_is_no_gap(void **state)
{
    struct stream_effect gap;

    (void)state;
    discard(1, 5);
    gap = case_keep(&c, STREAM_DO_PUT_GROUP);
    case_put(&c, &gap, OBJSTORE_PRECONDITION);
    assert_true(case_effect(&c, STREAM_DO_COMPARE)->gap);
    case_step(&c, (struct stream_event){.kind = STREAM_COMPARED,
                                        .token = case_effect(&c, STREAM_DO_COMPARE)->token,
                                        .original = true});
    assert_false(case_effect(&c, STREAM_DO_DISCARDED)->gap);
    assert_int_equal(case_effect(&c, STREAM_DO_DISCARDED)->class, OBJSTORE_OK);
    assert_int_equal(case_effect(&c, STREAM_DO_SHIPPED)->lsn, 9);
}

/* A first attempt at the gap had its answer lost. */
static void a_gap_that_is_there_is_a_gap(void **state)
{
    struct stream_effect gap;

    (void)state;
    discard(1, 5);
    gap = case_keep(&c, STREAM_DO_PUT_GROUP);
    case_put(&c, &gap, OBJSTORE_TRANSIENT);
    case_run(&c, 2000);
    gap = case_keep(&c, STREAM_DO_PUT_GROUP);
    assert_true(gap.gap);
    case_put(&c, &gap, OBJSTORE_PRECONDITION);
    case_step(&c, (struct stream_event){.kind = STREAM_COMPARED,
                                        .token = case_effect(&c, STREAM_DO_COMPARE)->token});
    assert_true(case_effect(&c, STREAM_DO_DISCARDED)->gap);
}

/* The first attempt of the group itself is answered while its gap is under way. */
static void an_old_answer_does_not_count_for_the_gap(void **state)
{
    struct stream_effect retry;

    (void)state;
    case_step(&c, (struct stream_event){.kind = STREAM_RETRY});
    retry = case_keep(&c, STREAM_DO_PUT_GROUP);
    discard(1, 5);
    case_put(&c, &retry, OBJSTORE_OK);
    assert_false(case_has(&c, STREAM_DO_DISCARDED));
    assert_int_equal(c.s.shipped_lsn, 0);
}

static void what_could_not_be_read_has_the_gaps_own_chain(void **state)
{
    struct stream_effect gap;

    (void)state;
    case_init(&c);
    c.options.max_retries = 0;
    case_owned(&c);
    case_log(&c, 5, 1000);
    case_fail(&c, case_effect(&c, STREAM_DO_ENCODE), OBJSTORE_INTEGRITY, false);
    discard(1, 5);
    gap = case_keep(&c, STREAM_DO_PUT_GROUP);
    assert_int_equal(gap.chain, group_chain_gap(case_chain(0), 1, 5));
    case_put(&c, &gap, OBJSTORE_OK);
    case_log(&c, 9, 2000);
    assert_int_equal(case_effect(&c, STREAM_DO_ENCODE)->first_lsn, 6);
    assert_int_equal(case_effect(&c, STREAM_DO_ENCODE)->chain_before, gap.chain);
}

static void losing_ownership_ends_a_discard(void **state)
{
    (void)state;
    discard(1, 5);
    case_tick(&c, STREAM_FENCE_READ_MS);
    c.bucket.epoch++;
    memset(c.bucket.session, 4, sizeof c.bucket.session);
    (void)snprintf(c.etag, sizeof c.etag, "taken");
    case_answer_root(&c);
    assert_int_equal(case_effect(&c, STREAM_DO_DISCARDED)->class, OBJSTORE_CANCELLED);
    assert_true(case_has(&c, STREAM_DO_LETTER_OUT));
    assert_int_equal(case_effect(&c, STREAM_DO_DIVERGED)->first_lsn, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_gap_takes_its_place_and_its_chain, one_is_parked),
        cmocka_unit_test_setup(only_the_exact_range_is_discarded, one_is_parked),
        cmocka_unit_test_setup(what_had_been_stored_is_no_gap, one_is_parked),
        cmocka_unit_test_setup(a_gap_that_is_there_is_a_gap, one_is_parked),
        cmocka_unit_test_setup(an_old_answer_does_not_count_for_the_gap, one_is_parked),
        cmocka_unit_test_setup(what_could_not_be_read_has_the_gaps_own_chain, one_is_parked),
        cmocka_unit_test_setup(losing_ownership_ends_a_discard, one_is_parked),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
