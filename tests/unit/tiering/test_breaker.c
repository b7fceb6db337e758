/* The breaker's rules: what opens it, who may ask meanwhile, how long it waits. */
#include "tiering/breaker.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static struct breaker b;

static int fresh(void **state)
{
    (void)state;
    breaker_init(&b, 1000, 64000, 3);
    return 0;
}

static void open_it(uint64_t now_ms)
{
    for (int i = 0; i < BREAKER_FAILURES; i++)
        breaker_answer(&b, OBJSTORE_TRANSIENT, 0, now_ms);
    assert_int_equal(b.state, BREAKER_OPEN);
}

static void answers_that_say_not_now_open_it(void **state)
{
    static const struct {
        enum objstore_class class;
        bool opens;
    } TABLE[] = {
        {OBJSTORE_TRANSIENT, true},     {OBJSTORE_THROTTLE, true},
        {OBJSTORE_CAPACITY, true},      {OBJSTORE_OK, false},
        {OBJSTORE_NOT_MODIFIED, false}, {OBJSTORE_NOT_FOUND, false},
        {OBJSTORE_PRECONDITION, false}, {OBJSTORE_CONFLICT, false},
        {OBJSTORE_REFRESHABLE, false},  {OBJSTORE_PERMANENT, false},
        {OBJSTORE_INTEGRITY, false},    {OBJSTORE_CANCELLED, false},
    };

    (void)state;
    assert_int_equal(COUNT_OF(TABLE), OBJSTORE_CLASSES);
    for (size_t i = 0; i < COUNT_OF(TABLE); i++) {
        (void)fresh(NULL);
        for (int k = 0; k < BREAKER_FAILURES; k++) {
            assert_true(breaker_admit(&b, 5));
            breaker_answer(&b, TABLE[i].class, 0, 5);
        }
        assert_int_equal(b.state != BREAKER_CLOSED, TABLE[i].opens);
    }
}

static void one_answer_in_between_begins_the_count_again(void **state)
{
    (void)state;
    for (int i = 0; i < 20; i++) {
        for (int k = 0; k + 1 < BREAKER_FAILURES; k++)
            breaker_answer(&b, OBJSTORE_THROTTLE, 0, 5);
        breaker_answer(&b, OBJSTORE_PERMANENT, 0, 5);
        assert_int_equal(b.state, BREAKER_CLOSED);
    }
}

static void one_probe_goes_at_a_time(void **state)
{
    uint64_t at;

    (void)state;
    open_it(5);
    at = breaker_next_ms(&b);
    assert_in_range(at, 6, 1005);
    assert_false(breaker_admit(&b, at - 1));
    assert_true(breaker_admit(&b, at));
    assert_int_equal(b.state, BREAKER_HALF_OPEN);
    assert_false(breaker_admit(&b, at));
    assert_false(breaker_admit(&b, at + 1000000));
    breaker_answer(&b, OBJSTORE_OK, 0, at + 3);
    assert_int_equal(b.state, BREAKER_CLOSED);
    assert_true(breaker_admit(&b, at + 3));
    assert_int_equal(breaker_next_ms(&b), 0);
}

static void waits_double_up_to_the_maximum(void **state)
{
    uint64_t now = 5, cap = 1000, longest = 0;

    (void)state;
    open_it(now);
    for (int i = 0; i < 200; i++) {
        uint64_t wait = breaker_next_ms(&b) - now;

        assert_in_range(wait, 1, cap);
        longest = wait > longest ? wait : longest;
        now += wait;
        assert_true(breaker_admit(&b, now));
        breaker_answer(&b, OBJSTORE_TRANSIENT, 0, now);
        assert_int_equal(b.state, BREAKER_OPEN);
        cap = cap * 2 > 64000 ? 64000 : cap * 2;
    }
    assert_in_range(longest, 32000, 64000);
}

static void the_stores_wish_is_kept(void **state)
{
    (void)state;
    for (int i = 0; i < BREAKER_FAILURES; i++)
        breaker_answer(&b, OBJSTORE_THROTTLE, 90000, 5);
    assert_int_equal(breaker_next_ms(&b), 90005);
    assert_true(breaker_admit(&b, 90005));
    breaker_answer(&b, OBJSTORE_THROTTLE, UINT64_MAX, 90005);
    assert_int_equal(breaker_next_ms(&b), 90005 + 300000);
}

static void a_cancelled_probe_gives_its_place_back(void **state)
{
    (void)state;
    open_it(5);
    assert_true(breaker_admit(&b, 5000));
    breaker_answer(&b, OBJSTORE_CANCELLED, 0, 5001);
    assert_true(breaker_admit(&b, 5001));
    assert_false(breaker_admit(&b, 5001));
}

/* Those that were under way when it opened. */
static void late_failures_change_nothing_and_a_late_success_closes(void **state)
{
    uint64_t at;

    (void)state;
    open_it(5);
    at = breaker_next_ms(&b);
    for (int i = 0; i < 50; i++)
        breaker_answer(&b, OBJSTORE_TRANSIENT, 0, 6);
    assert_int_equal(breaker_next_ms(&b), at);
    breaker_answer(&b, OBJSTORE_OK, 0, 7);
    assert_int_equal(b.state, BREAKER_CLOSED);
}

static void a_reset_closes_it(void **state)
{
    (void)state;
    open_it(5);
    assert_true(breaker_admit(&b, 5000));
    breaker_reset(&b);
    assert_string_equal(breaker_state_name(b.state), "closed");
    assert_true(breaker_admit(&b, 5000));
    breaker_answer(&b, OBJSTORE_TRANSIENT, 0, 5000);
    assert_int_equal(b.state, BREAKER_CLOSED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(answers_that_say_not_now_open_it, fresh),
        cmocka_unit_test_setup(one_answer_in_between_begins_the_count_again, fresh),
        cmocka_unit_test_setup(one_probe_goes_at_a_time, fresh),
        cmocka_unit_test_setup(waits_double_up_to_the_maximum, fresh),
        cmocka_unit_test_setup(the_stores_wish_is_kept, fresh),
        cmocka_unit_test_setup(a_cancelled_probe_gives_its_place_back, fresh),
        cmocka_unit_test_setup(late_failures_change_nothing_and_a_late_success_closes, fresh),
        cmocka_unit_test_setup(a_reset_closes_it, fresh),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
