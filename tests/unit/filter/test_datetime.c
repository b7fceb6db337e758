/* Times as text: what is one, what is none, and that they order as time goes. */
#include "filter/datetime.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static void expect(const char *text, int64_t seconds, int64_t ticks)
{
    int64_t got = 0;

    if (!datetime_parse(slice_text(text), &got))
        fail_msg("%s is no time", text);
    if (got != seconds * DATETIME_TICKS_PER_S + ticks)
        fail_msg("%s is %" PRId64, text, got);
}

/* The seconds are what `date -u -d` says. */
static void the_forms_that_are_times(void **state)
{
    static const struct {
        const char *text;
        int64_t seconds, ticks;
    } cases[] = {
        {"1970-01-01", 0, 0},
        {"1970-01-01T00:00", 0, 0},
        {"1969-12-31T23:59:59.9999999Z", -1, 9999999},
        {"2024-02-29", 1709164800, 0},
        {"2024-02-29T12:30", 1709209800, 0},
        {"2024-02-29 12:30", 1709209800, 0},
        {"2024-02-29T12:30:05", 1709209805, 0},
        {"2024-02-29t12:30:05z", 1709209805, 0},
        {"2024-02-29T12:30:05Z", 1709209805, 0},
        {"2024-02-29T12:30:05.5", 1709209805, 5000000},
        {"2024-02-29T12:30:05.123456789Z", 1709209805, 1234567},
        {"2024-02-29 12:30:05.000000199", 1709209805, 1},
        {"2024-02-29T12:30Z", 1709209800, 0},
        {"2024-02-29T12:30+02", 1709202600, 0},
        {"2024-02-29T12:30:05+0200", 1709202605, 0},
        {"2024-02-29T12:30:05.25+02:00", 1709202605, 2500000},
        {"2024-02-29T12:30:05-05:45", 1709230505, 0},
        {"2024-02-29T12:30:05-00:00", 1709209805, 0},
        {"2024-02-29T00:30:00+23:59", 1709080260, 0},
        {"2016-12-31T23:59:60Z", 1483228800, 0},
        {"2038-01-19T03:14:08Z", 2147483648, 0},
        {"0001-01-01", -62135596800, 0},
        {"0000-01-01", -62167219200, 0},
        {"0000-01-01T00:00+23:59", -62167219200 - 86340, 0},
        {"9999-12-31T23:59:59.999999999-23:59", 253402300799 + 86340, 9999999},
        {"2000-02-29", 951782400, 0},
        {"1900-03-01", -2203891200, 0},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        expect(cases[i].text, cases[i].seconds, cases[i].ticks);
}

static void what_is_no_time_is_refused(void **state)
{
    static const char *const bad[] = {
        "",
        "2024",
        "2024-02",
        "2024-2-29",
        "24-02-29",
        "2023-02-29",
        "1900-02-29",
        "2024-00-01",
        "2024-13-01",
        "2024-01-00",
        "2024-01-32",
        "2024-04-31",
        "2024-06-31",
        "2024-02-30",
        "2024-02-29T",
        "2024-02-29 ",
        "2024-02-29Z",
        "2024-02-29+02:00",
        "2024-02-29T12",
        "2024-02-29T12Z",
        "2024-02-29T12:3",
        "2024-02-29T24:00",
        "2024-02-29T12:60",
        "2024-02-29T12:30:61",
        "2024-02-29T12:30:",
        "2024-02-29T12:30:5",
        "2024-02-29T12:30:05.",
        "2024-02-29T12:30:05.Z",
        "2024-02-29T12:30:05.1234567890",
        "2024-02-29T12:30.5",
        "2024-02-29T12:30:05+",
        "2024-02-29T12:30:05+2",
        "2024-02-29T12:30:05+02:",
        "2024-02-29T12:30:05+02:0",
        "2024-02-29T12:30:05+020",
        "2024-02-29T12:30:05+24:00",
        "2024-02-29T12:30:05+02:60",
        "2024-02-29T12:30:05+02:00Z",
        "2024-02-29T12:30:05ZZ",
        "2024-02-29T12:30:05 Z",
        "2024-02-29  12:30",
        " 2024-02-29",
        "2024-02-29\n",
        "2024/02/29",
        "20240229",
        "20240229T123005Z",
        "12024-02-29",
        "-2024-02-29",
        "+2024-02-29",
        "2024-02-29T-2:30",
        "2024-02-29T12:30:05,5",
        "now",
        "1709209805",
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        int64_t ticks;

        if (datetime_parse(slice_text(bad[i]), &ticks))
            fail_msg("'%s' is taken for a time", bad[i]);
    }
}

/* A calendar that counts by itself agrees on each day of ten thousand years. */
static void each_day_follows_the_one_before(void **state)
{
    static const int lengths[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    int64_t seconds = -62167219200;
    char text[40];

    (void)state;
    for (int year = 0; year <= 9999; year++) {
        int leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

        for (int month = 1; month <= 12; month++) {
            int days = lengths[month - 1] + (month == 2 ? leap : 0);

            for (int day = 1; day <= days; day++, seconds += 86400) {
                (void)snprintf(text, sizeof text, "%04d-%02d-%02d", year, month, day);
                expect(text, seconds, 0);
            }
        }
    }
    assert_int_equal(seconds, 253402300800);
}

/* On exact copies, for the sanitizer. */
static void a_time_cut_anywhere_is_read_within_its_bytes(void **state)
{
    static const char text[] = "2024-02-29T12:30:05.123456789+02:00";

    (void)state;
    for (size_t bytes = 0; bytes < sizeof text; bytes++) {
        uint8_t *copy = test_malloc(bytes + (bytes == 0));
        int64_t ticks;
        bool want = bytes == 10 || bytes == 16 || bytes == 19 || (bytes >= 21 && bytes <= 29) ||
                    bytes == 32 || bytes == 35;

        memcpy(copy, text, bytes);
        if (datetime_parse(slice_make(copy, bytes), &ticks) != want)
            fail_msg("%.*s", (int)bytes, text);
        test_free(copy);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_forms_that_are_times),
        cmocka_unit_test(what_is_no_time_is_refused),
        cmocka_unit_test(each_day_follows_the_one_before),
        cmocka_unit_test(a_time_cut_anywhere_is_read_within_its_bytes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
