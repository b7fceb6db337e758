#include "base/clock.h"

#include <stdatomic.h>
#include <time.h>

enum { NS_PER_S = 1000000000, S_PER_DAY = 86400 };

static uint64_t read_clock(clockid_t id)
{
    struct timespec ts;

    /* Cannot fail: the clock ids are Linux's own and ts is ours. */
    (void)clock_gettime(id, &ts);
    return (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
}

static uint64_t real_mono_ns(struct clock *c)
{
    (void)c;
    return read_clock(CLOCK_MONOTONIC);
}

static uint64_t real_wall_ns(struct clock *c)
{
    (void)c;
    return read_clock(CLOCK_REALTIME);
}

struct clock *clock_real(void)
{
    static struct clock real = {.mono_ns = real_mono_ns, .wall_ns = real_wall_ns};

    return &real;
}

/* `clock` is the first member, so a pointer to it is a pointer to the manual clock. */
static uint64_t manual_mono_ns(struct clock *c)
{
    return atomic_load(&((struct clock_manual *)c)->mono_ns);
}

static uint64_t manual_wall_ns(struct clock *c)
{
    return atomic_load(&((struct clock_manual *)c)->wall_ns);
}

void clock_manual_init(struct clock_manual *m, uint64_t mono_ns, uint64_t wall_ns)
{
    m->clock = (struct clock){.mono_ns = manual_mono_ns, .wall_ns = manual_wall_ns};
    atomic_init(&m->mono_ns, mono_ns);
    atomic_init(&m->wall_ns, wall_ns);
}

void clock_manual_advance(struct clock_manual *m, uint64_t ns)
{
    atomic_fetch_add(&m->mono_ns, ns);
    atomic_fetch_add(&m->wall_ns, ns);
}

struct civil_date {
    unsigned year;
    unsigned month; /* 1..12 */
    unsigned day;   /* 1..31 */
};

/* Days since 1970-01-01 to a date. Years are counted from the first of March, so that the leap day
 * is the last of its year: then a month's first day is a linear function of the month, and 400
 * years are always 146097 days. */
static struct civil_date civil_of_days(uint64_t days)
{
    uint64_t since_0000_03_01 = days + 719468;
    uint64_t era = since_0000_03_01 / 146097;
    unsigned day_of_era = (unsigned)(since_0000_03_01 % 146097);
    unsigned year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    unsigned day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    unsigned march_month = (5 * day_of_year + 2) / 153;
    struct civil_date date = {
        .year = (unsigned)(era * 400) + year_of_era,
        .month = march_month < 10 ? march_month + 3 : march_month - 9,
        .day = day_of_year - (153 * march_month + 2) / 5 + 1,
    };

    if (date.month <= 2)
        date.year++;
    return date;
}

static char *put_digits(char *at, unsigned v, unsigned digits, char end)
{
    for (unsigned i = digits; i > 0; i--) {
        at[i - 1] = (char)('0' + v % 10);
        v /= 10;
    }
    at[digits] = end;
    return at + digits + 1;
}

void clock_format_rfc3339(uint64_t wall_ns, char text[CLOCK_TEXT_BYTES])
{
    uint64_t seconds = wall_ns / NS_PER_S;
    unsigned in_day = (unsigned)(seconds % S_PER_DAY);
    struct civil_date date = civil_of_days(seconds / S_PER_DAY);
    char *at = text;

    at = put_digits(at, date.year, 4, '-');
    at = put_digits(at, date.month, 2, '-');
    at = put_digits(at, date.day, 2, 'T');
    at = put_digits(at, in_day / 3600, 2, ':');
    at = put_digits(at, in_day / 60 % 60, 2, ':');
    at = put_digits(at, in_day % 60, 2, '.');
    at = put_digits(at, (unsigned)(wall_ns % NS_PER_S), 9, 'Z');
    *at = '\0';
}
