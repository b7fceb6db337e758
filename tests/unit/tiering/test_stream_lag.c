/* How old what the bucket lacks is: never told too low, in a fixed number of marks. */
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

static void nothing_unshipped_is_no_lag(void **state)
{
    struct stream_effect put;

    (void)state;
    assert_int_equal(stream_lag_ms(&c.s, c.now_ms + 5000), 0);
    case_seal(&c, 5, &put);
    assert_int_equal(stream_lag_ms(&c.s, c.now_ms + 700), 700);
    case_put(&c, &put, OBJSTORE_OK);
    assert_int_equal(stream_lag_ms(&c.s, c.now_ms + 5000), 0);
}

static void the_oldest_record_behind_shipped_lsn_counts(void **state)
{
    struct stream_effect put;

    (void)state;
    case_seal(&c, 5, &put);
    case_tick(&c, 300);
    case_log(&c, 6, 1010);
    assert_int_equal(stream_lag_ms(&c.s, c.now_ms), 300);
    case_put(&c, &put, OBJSTORE_OK);
    assert_int_equal(stream_lag_ms(&c.s, c.now_ms), 0);
    assert_int_equal(stream_lag_ms(&c.s, c.now_ms + 40), 40);
}

/* An outage of a day, a record a second: the marks stay as many as they are, the oldest age is
 * exact, and what is behind any lsn is told at most too old. */
static void a_long_outage_makes_marks_coarser_not_more(void **state)
{
    enum { SECONDS = 86400 };
    struct stream_effect put;
    uint64_t began = 0, since;

    (void)state;
    case_seal(&c, 1, &put);
    began = c.now_ms;
    c.s.options.max_in_flight = 1; /* nothing else is sealed */
    for (uint64_t i = 1; i <= SECONDS; i++) {
        c.now_ms += 1000;
        c.log_count = 0;
        case_log(&c, 1 + i, 1000 + i);
    }
    assert_in_range(c.s.core.mark_count, STREAM_MARKS_MAX / 2, STREAM_MARKS_MAX);
    assert_int_equal(stream_lag_ms(&c.s, c.now_ms), c.now_ms - began);
    for (uint64_t lsn = 1; lsn < SECONDS; lsn += 7) {
        c.s.shipped_lsn = lsn;
        since = c.now_ms - stream_lag_ms(&c.s, c.now_ms);
        assert_true(since <= began + lsn * 1000);
    }
}

static void bytes_at_risk_are_what_is_not_shipped(void **state)
{
    struct stream_effect first, second;

    (void)state;
    case_seal(&c, 5, &first);
    case_seal(&c, 9, &second);
    assert_int_equal(c.s.durable_bytes - c.s.shipped_bytes, 2000);
    case_put(&c, &first, OBJSTORE_OK);
    assert_int_equal(c.s.durable_bytes - c.s.shipped_bytes, 1000);
    case_put(&c, &second, OBJSTORE_OK);
    assert_int_equal(c.s.durable_bytes - c.s.shipped_bytes, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(nothing_unshipped_is_no_lag, owned),
        cmocka_unit_test_setup(the_oldest_record_behind_shipped_lsn_counts, owned),
        cmocka_unit_test_setup(a_long_outage_makes_marks_coarser_not_more, owned),
        cmocka_unit_test_setup(bytes_at_risk_are_what_is_not_shipped, owned),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
