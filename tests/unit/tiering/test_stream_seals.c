/* When a group is sealed, and when it is not: each bound to the millisecond. */
#include "stream_case.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
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

static void a_record_is_sealed_when_it_is_rpo_ms_old(void **state)
{
    (void)state;
    case_log(&c, 1, 10);
    case_tick(&c, 999);
    assert_int_equal(c.log_count, 0);
    case_tick(&c, 1);
    assert_int_equal(case_effect(&c, STREAM_DO_ENCODE)->first_lsn, 1);
    assert_int_equal(case_effect(&c, STREAM_DO_ENCODE)->last_lsn, 1);
}

static void the_oldest_record_counts(void **state)
{
    (void)state;
    case_log(&c, 1, 10);
    case_tick(&c, 900);
    case_log(&c, 2, 20);
    case_tick(&c, 99);
    assert_int_equal(c.log_count, 0);
    case_tick(&c, 1);
    assert_int_equal(case_effect(&c, STREAM_DO_ENCODE)->last_lsn, 2);
}

static void a_tick_is_asked_for_when_a_record_will_be_old(void **state)
{
    (void)state;
    case_log(&c, 1, 10);
    assert_int_equal(case_effect(&c, STREAM_DO_TIMER)->at_ms, c.now_ms + 1000);
}

static void group_bytes_are_sealed_at_once(void **state)
{
    (void)state;
    case_log(&c, 5, 999);
    assert_int_equal(c.log_count, 0);
    case_log(&c, 6, 1000);
    assert_int_equal(case_effect(&c, STREAM_DO_ENCODE)->last_lsn, 6);
}

/* What was not taken into the group counts on towards the next. */
static void the_rest_of_a_large_log_follows_at_once(void **state)
{
    (void)state;
    case_log(&c, 30, 3000);
    case_encoded(&c, case_effect(&c, STREAM_DO_ENCODE), 10, 1000);
    assert_true(case_has(&c, STREAM_DO_PUT_GROUP));
    assert_int_equal(case_effect(&c, STREAM_DO_ENCODE)->first_lsn, 11);
    assert_int_equal(case_effect(&c, STREAM_DO_ENCODE)->chain_before, case_chain(10));
    case_encoded(&c, case_effect(&c, STREAM_DO_ENCODE), 21, 1100);
    assert_false(case_has(&c, STREAM_DO_ENCODE)); /* 900 are left */
}

static void only_so_many_are_in_flight(void **state)
{
    (void)state;
    case_log(&c, 100, 10000);
    for (uint64_t i = 1; i <= 4; i++)
        case_encoded(&c, case_effect(&c, STREAM_DO_ENCODE), i * 10, 1000);
    assert_false(case_has(&c, STREAM_DO_ENCODE));
    assert_int_equal(case_count(&c, STREAM_DO_PUT_GROUP), 4);
}

static void a_waiting_write_is_sealed_at_once_when_nothing_is_in_flight(void **state)
{
    (void)state;
    case_log(&c, 1, 10);
    assert_false(case_has(&c, STREAM_DO_ENCODE));
    case_step(&c, (struct stream_event){.kind = STREAM_WANT_REMOTE, .lsn = 1});
    assert_true(case_has(&c, STREAM_DO_ENCODE));
}

static void a_waiting_write_lingers_while_a_group_is_in_flight(void **state)
{
    struct stream_effect put;

    (void)state;
    case_seal(&c, 5, &put);
    case_log(&c, 6, 1010);
    case_step(&c, (struct stream_event){.kind = STREAM_WANT_REMOTE, .lsn = 6});
    assert_false(case_has(&c, STREAM_DO_ENCODE));
    case_tick(&c, STREAM_REMOTE_LINGER_MS - 1);
    assert_false(case_has(&c, STREAM_DO_ENCODE));
    case_tick(&c, 1);
    assert_int_equal(case_effect(&c, STREAM_DO_ENCODE)->first_lsn, 6);
}

static void a_waiting_write_goes_when_the_last_group_is_stored(void **state)
{
    struct stream_effect put;

    (void)state;
    case_seal(&c, 5, &put);
    case_log(&c, 6, 1010);
    case_step(&c, (struct stream_event){.kind = STREAM_WANT_REMOTE, .lsn = 6});
    case_tick(&c, 20);
    case_put(&c, &put, OBJSTORE_OK);
    assert_int_equal(case_effect(&c, STREAM_DO_ENCODE)->first_lsn, 6);
}

/* A flush seals what there is, and is over once a root read has confirmed it. */
static void a_flush_seals_whatever_its_age(void **state)
{
    struct stream_effect put;

    (void)state;
    case_log(&c, 3, 30);
    case_step(&c, (struct stream_event){.kind = STREAM_FLUSH});
    case_encoded(&c, case_effect(&c, STREAM_DO_ENCODE), 3, 30);
    put = case_keep(&c, STREAM_DO_PUT_GROUP);
    case_put(&c, &put, OBJSTORE_OK);
    assert_false(case_has(&c, STREAM_DO_FLUSHED));
    case_answer_root(&c);
    assert_int_equal(case_effect(&c, STREAM_DO_FLUSHED)->lsn, 3);
    case_step(&c, (struct stream_event){.kind = STREAM_FLUSH});
    assert_int_equal(case_effect(&c, STREAM_DO_FLUSHED)->lsn, 3);
}

static void nothing_is_begun_after_stop(void **state)
{
    struct stream_effect put;

    (void)state;
    case_seal(&c, 5, &put);
    case_step(&c, (struct stream_event){.kind = STREAM_STOP});
    case_log(&c, 9, 9000);
    case_put(&c, &put, OBJSTORE_OK);
    assert_int_equal(case_effect(&c, STREAM_DO_SHIPPED)->lsn, 5);
    case_tick(&c, 100000);
    assert_int_equal(c.out.count, 0);
}

/* shipped_lsn moves over a run without holes: the second group waits for the first. */
static void a_hole_holds_shipped_lsn(void **state)
{
    struct stream_effect first, second;

    (void)state;
    case_seal(&c, 5, &first);
    case_seal(&c, 9, &second);
    case_put(&c, &second, OBJSTORE_OK);
    assert_int_equal(c.s.shipped_lsn, 0);
    assert_false(case_has(&c, STREAM_DO_SHIPPED));
    case_put(&c, &first, OBJSTORE_OK);
    assert_int_equal(case_effect(&c, STREAM_DO_SHIPPED)->lsn, 9);
    assert_int_equal(case_effect(&c, STREAM_DO_SHIPPED)->chain, case_chain(9));
}

static void answers_nobody_waits_for_change_nothing(void **state)
{
    struct stream_effect put;
    struct stream before;

    (void)state;
    case_seal(&c, 5, &put);
    case_put(&c, &put, OBJSTORE_OK);
    before = c.s;
    case_put(&c, &put, OBJSTORE_OK);
    case_put(&c, &put, OBJSTORE_PERMANENT);
    assert_int_equal(c.out.count, 0);
    assert_memory_equal(&before, &c.s, offsetof(struct stream, core));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_record_is_sealed_when_it_is_rpo_ms_old, owned),
        cmocka_unit_test_setup(the_oldest_record_counts, owned),
        cmocka_unit_test_setup(a_tick_is_asked_for_when_a_record_will_be_old, owned),
        cmocka_unit_test_setup(group_bytes_are_sealed_at_once, owned),
        cmocka_unit_test_setup(the_rest_of_a_large_log_follows_at_once, owned),
        cmocka_unit_test_setup(only_so_many_are_in_flight, owned),
        cmocka_unit_test_setup(a_waiting_write_is_sealed_at_once_when_nothing_is_in_flight, owned),
        cmocka_unit_test_setup(a_waiting_write_lingers_while_a_group_is_in_flight, owned),
        cmocka_unit_test_setup(a_waiting_write_goes_when_the_last_group_is_stored, owned),
        cmocka_unit_test_setup(a_flush_seals_whatever_its_age, owned),
        cmocka_unit_test_setup(nothing_is_begun_after_stop, owned),
        cmocka_unit_test_setup(a_hole_holds_shipped_lsn, owned),
        cmocka_unit_test_setup(answers_nobody_waits_for_change_nothing, owned),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
