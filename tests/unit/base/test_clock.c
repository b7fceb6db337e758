#include "base/clock.h"

#include <setjmp.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void assert_text(uint64_t wall_ns, const char *want)
{
    char text[CLOCK_TEXT_BYTES];

    memset(text, 'x', sizeof text);
    clock_format_rfc3339(wall_ns, text);
    assert_string_equal(text, want);
}

static void known_times(void **state)
{
    const uint64_t s = 1000000000;

    (void)state;
    assert_text(0, "1970-01-01T00:00:00.000000000Z");
    assert_text(1, "1970-01-01T00:00:00.000000001Z");
    assert_text(951782399 * s + 999999999, "2000-02-28T23:59:59.999999999Z");
    assert_text(951782400 * s, "2000-02-29T00:00:00.000000000Z"); /* a 400th year has one */
    assert_text(951868800 * s, "2000-03-01T00:00:00.000000000Z");
    assert_text(1767323045 * s + 6, "2026-01-02T03:04:05.000000006Z");
    assert_text(4107542400 * s, "2100-03-01T00:00:00.000000000Z"); /* a 100th has not */
    assert_text(4107542399 * s, "2100-02-28T23:59:59.000000000Z");
    assert_text(UINT64_MAX, "2554-07-21T23:34:33.709551615Z");
}

static bool leap(unsigned year)
{
    return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

/* Walks a calendar beside it, day by day, to the end of what 64 bits of nanoseconds hold. */
static void every_day_there_is(void **state)
{
    static const unsigned char month_days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    const uint64_t day_ns = 86400ull * 1000000000;
    unsigned year = 1970;
    unsigned month = 1;
    unsigned day = 1;

    (void)state;
    for (uint64_t days = 0; days < UINT64_MAX / day_ns; days++) {
        char want[64];

        (void)snprintf(want, sizeof want, "%04u-%02u-%02uT23:59:59.999999999Z", year, month, day);
        assert_text(days * day_ns + day_ns - 1, want);
        if (++day > month_days[month - 1] + (month == 2 && leap(year) ? 1u : 0u)) {
            day = 1;
            month++;
        }
        if (month > 12) {
            month = 1;
            year++;
        }
    }
    assert_int_equal(year, 2554);
}

static void real_time_goes_on(void **state)
{
    struct clock *c = clock_real();
    uint64_t before = clock_mono_ns(c);
    const uint64_t year_2024_ns = 1704067200000000000;

    (void)state;
    for (unsigned i = 0; i < 1000; i++) {
        uint64_t now = clock_mono_ns(c);

        assert_true(now >= before);
        before = now;
    }
    assert_true(clock_wall_ns(c) > year_2024_ns);
}

static void a_manual_clock_moves_when_told(void **state)
{
    struct clock_manual m;

    (void)state;
    clock_manual_init(&m, 10, 20);
    assert_int_equal(clock_mono_ns(&m.clock), 10);
    assert_int_equal(clock_wall_ns(&m.clock), 20);
    clock_manual_advance(&m, 5);
    assert_int_equal(clock_mono_ns(&m.clock), 15);
    assert_int_equal(clock_wall_ns(&m.clock), 25);
    assert_int_equal(clock_mono_ns(&m.clock), 15);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_times),
        cmocka_unit_test(every_day_there_is),
        cmocka_unit_test(real_time_goes_on),
        cmocka_unit_test(a_manual_clock_moves_when_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
