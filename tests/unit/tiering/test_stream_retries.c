/* What an answer does to a group: which are tried again and when, which become letters. */
#include "stream_case.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct stream_case c;

static int owned(void **state)
{
    (void)state;
    case_init(&c);
    case_owned(&c);
    return 0;
}

/* Runs to the next try of the group and takes it. That the root is still ours is asked in between.
 */
static uint64_t next_try(struct stream_effect *put)
{
    uint64_t at = c.now_ms;
    bool there = false;

    for (int guard = 0; !there; guard++) {
        assert_true(guard < 1000);
        case_run(&c, 1000000);
        there = case_has(&c, STREAM_DO_PUT_GROUP);
        if (there)
            *put = case_keep(&c, STREAM_DO_PUT_GROUP);
        if (case_has(&c, STREAM_DO_READ_ROOT))
            case_answer_root(&c);
    }
    return c.now_ms - at;
}

/* Full jitter: between nothing and base, twice base, ... up to the maximum, and never at once. */
static void waits_double_up_to_the_maximum(void **state)
{
    uint64_t cap = 1000, longest = 0, wait;
    struct stream_effect put;

    (void)state;
    case_seal(&c, 5, &put);
    for (int i = 0; i < 200; i++) {
        case_put(&c, &put, OBJSTORE_TRANSIENT);
        wait = next_try(&put);
        assert_in_range(wait, 1, cap);
        if (wait > longest)
            longest = wait;
        cap = cap * 2 > 64000 ? 64000 : cap * 2;
        assert_int_equal(put.seq, 1);
        assert_int_equal(put.crc, 5);
    }
    assert_in_range(longest, 32000, 64000);
    assert_int_equal(case_count(&c, STREAM_DO_LETTER), 0);
    case_put(&c, &put, OBJSTORE_OK);
    assert_int_equal(c.s.shipped_lsn, 5);
    assert_int_equal(c.s.trouble[0], 0);
}

static void a_throttled_group_waits_as_long_as_the_store_asks(void **state)
{
    struct stream_effect put;

    (void)state;
    case_seal(&c, 5, &put);
    case_step(&c, (struct stream_event){.kind = STREAM_PUT_DONE,
                                        .token = put.token,
                                        .class = OBJSTORE_THROTTLE,
                                        .retry_after_ms = 120000});
    assert_in_range(next_try(&put), 120000, 120000);
    case_step(&c, (struct stream_event){.kind = STREAM_PUT_DONE,
                                        .token = put.token,
                                        .class = OBJSTORE_THROTTLE,
                                        .retry_after_ms = UINT64_MAX});
    assert_in_range(next_try(&put), STREAM_PARKED_RETRY_MS, STREAM_PARKED_RETRY_MS);
}

static void full_and_conflicting_stores_make_no_letters(void **state)
{
    struct stream_effect put;

    (void)state;
    case_seal(&c, 5, &put);
    for (int i = 0; i < 50; i++) {
        case_put(&c, &put, i % 2 == 0 ? OBJSTORE_CAPACITY : OBJSTORE_CONFLICT);
        (void)next_try(&put);
    }
    assert_int_equal(case_count(&c, STREAM_DO_LETTER), 0);
    assert_int_equal(case_count(&c, STREAM_DO_COMPARE), 0);
    assert_int_not_equal(c.s.trouble[0], 0);
}

/* max_retries tries after the first, then a letter, then every five minutes. */
static void park(struct stream_effect *put)
{
    for (int i = 0; i < 5; i++) {
        case_put(&c, put, OBJSTORE_PERMANENT);
        assert_false(case_has(&c, STREAM_DO_LETTER));
        (void)next_try(put);
    }
    case_put(&c, put, OBJSTORE_PERMANENT);
    assert_int_equal(case_effect(&c, STREAM_DO_LETTER)->first_lsn, put->first_lsn);
    assert_int_equal(case_effect(&c, STREAM_DO_LETTER)->last_lsn, put->last_lsn);
    assert_int_equal(case_effect(&c, STREAM_DO_LETTER)->class, OBJSTORE_PERMANENT);
    assert_int_equal(case_effect(&c, STREAM_DO_LETTER)->attempts, 6);
}

static void a_refused_group_is_parked_after_max_retries(void **state)
{
    struct stream_effect put;
    uint64_t wait;

    (void)state;
    case_seal(&c, 5, &put);
    park(&put);
    wait = next_try(&put);
    assert_in_range(wait, STREAM_PARKED_RETRY_MS, STREAM_PARKED_RETRY_MS * 11 / 10);
    case_put(&c, &put, OBJSTORE_PERMANENT); /* parked again at once, the letter is told again */
    assert_int_equal(case_effect(&c, STREAM_DO_LETTER)->attempts, 7);
    (void)next_try(&put);
    case_put(&c, &put, OBJSTORE_OK);
    assert_true(case_has(&c, STREAM_DO_LETTER_OUT));
    assert_int_equal(case_effect(&c, STREAM_DO_SHIPPED)->lsn, 5);
}

static void no_retries_means_the_first_refusal_parks(void **state)
{
    struct stream_effect put;

    (void)state;
    c.s.options.max_retries = 0;
    case_seal(&c, 5, &put);
    case_put(&c, &put, OBJSTORE_REFRESHABLE);
    assert_true(case_has(&c, STREAM_DO_LETTER));
}

static void a_parked_group_is_tried_on_command(void **state)
{
    struct stream_effect put;

    (void)state;
    case_seal(&c, 5, &put);
    park(&put);
    case_tick(&c, 7);
    assert_false(case_has(&c, STREAM_DO_PUT_GROUP));
    case_step(&c, (struct stream_event){.kind = STREAM_RETRY});
    assert_true(case_has(&c, STREAM_DO_PUT_GROUP));
}

/* Those in flight go on and are stored; nothing new is sealed; the log may grow. */
static void nothing_is_sealed_while_one_is_parked(void **state)
{
    struct stream_effect first, second;

    (void)state;
    case_seal(&c, 5, &first);
    case_seal(&c, 9, &second);
    park(&first);
    case_put(&c, &second, OBJSTORE_OK);
    assert_int_equal(c.s.shipped_lsn, 0);
    case_log(&c, 100, 100000);
    assert_false(case_has(&c, STREAM_DO_ENCODE));
    (void)next_try(&first);
    case_put(&c, &first, OBJSTORE_OK);
    assert_int_equal(case_effect(&c, STREAM_DO_SHIPPED)->lsn, 9);
    assert_int_equal(case_effect(&c, STREAM_DO_ENCODE)->first_lsn, 10);
}

static void wrong_bytes_park_the_second_time(void **state)
{
    struct stream_effect put;

    (void)state;
    case_seal(&c, 5, &put);
    case_put(&c, &put, OBJSTORE_INTEGRITY);
    assert_false(case_has(&c, STREAM_DO_LETTER));
    (void)next_try(&put);
    case_put(&c, &put, OBJSTORE_INTEGRITY);
    assert_true(case_has(&c, STREAM_DO_LETTER));
}

/* The log cannot be read: the seal has no end yet, and is a letter all the same. */
static void a_group_that_cannot_be_encoded_is_parked(void **state)
{
    (void)state;
    c.s.options.max_retries = 0;
    case_log(&c, 5, 1000);
    case_fail(&c, case_effect(&c, STREAM_DO_ENCODE), OBJSTORE_INTEGRITY, false);
    assert_int_equal(case_effect(&c, STREAM_DO_LETTER)->last_lsn, 5);
    case_step(&c, (struct stream_event){.kind = STREAM_RETRY});
    case_encoded(&c, case_effect(&c, STREAM_DO_ENCODE), 5, 1000);
    assert_true(case_has(&c, STREAM_DO_PUT_GROUP));
}

static void a_412_is_compared_and_the_same_bytes_are_stored(void **state)
{
    struct stream_effect put;

    (void)state;
    case_seal(&c, 5, &put);
    case_put(&c, &put, OBJSTORE_PRECONDITION);
    assert_int_equal(case_effect(&c, STREAM_DO_COMPARE)->seq, 1);
    case_step(&c, (struct stream_event){.kind = STREAM_COMPARED,
                                        .token = case_effect(&c, STREAM_DO_COMPARE)->token});
    assert_int_equal(case_effect(&c, STREAM_DO_SHIPPED)->lsn, 5);
}

static void a_412_with_other_bytes_halts(void **state)
{
    struct stream_effect put;

    (void)state;
    case_seal(&c, 5, &put);
    case_put(&c, &put, OBJSTORE_PRECONDITION);
    case_fail(&c, case_effect(&c, STREAM_DO_COMPARE), OBJSTORE_PRECONDITION, false);
    assert_int_equal(c.s.phase, STREAM_HALTED);
    assert_int_equal(c.s.shipped_lsn, 0);
}

static void a_412_with_nothing_there_is_put_again(void **state)
{
    struct stream_effect put;

    (void)state;
    case_seal(&c, 5, &put);
    case_put(&c, &put, OBJSTORE_PRECONDITION);
    case_fail(&c, case_effect(&c, STREAM_DO_COMPARE), OBJSTORE_NOT_FOUND, false);
    assert_in_range(next_try(&put), 1, 1000);
    assert_int_equal(put.seq, 1);
}

static void a_comparison_that_fails_is_made_again(void **state)
{
    struct stream_effect put;

    (void)state;
    case_seal(&c, 5, &put);
    case_put(&c, &put, OBJSTORE_PRECONDITION);
    case_fail(&c, case_effect(&c, STREAM_DO_COMPARE), OBJSTORE_TRANSIENT, false);
    case_run(&c, 1000);
    assert_true(case_has(&c, STREAM_DO_COMPARE));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(waits_double_up_to_the_maximum, owned),
        cmocka_unit_test_setup(a_throttled_group_waits_as_long_as_the_store_asks, owned),
        cmocka_unit_test_setup(full_and_conflicting_stores_make_no_letters, owned),
        cmocka_unit_test_setup(a_refused_group_is_parked_after_max_retries, owned),
        cmocka_unit_test_setup(no_retries_means_the_first_refusal_parks, owned),
        cmocka_unit_test_setup(a_parked_group_is_tried_on_command, owned),
        cmocka_unit_test_setup(nothing_is_sealed_while_one_is_parked, owned),
        cmocka_unit_test_setup(wrong_bytes_park_the_second_time, owned),
        cmocka_unit_test_setup(a_group_that_cannot_be_encoded_is_parked, owned),
        cmocka_unit_test_setup(a_412_is_compared_and_the_same_bytes_are_stored, owned),
        cmocka_unit_test_setup(a_412_with_other_bytes_halts, owned),
        cmocka_unit_test_setup(a_412_with_nothing_there_is_put_again, owned),
        cmocka_unit_test_setup(a_comparison_that_fails_is_made_again, owned),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
