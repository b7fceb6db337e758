#include "filter/datetime.h"

static bool take(struct slice *s, char c)
{
    if (s->bytes == 0 || s->data[0] != (uint8_t)c)
        return false;
    s->data++;
    s->bytes--;
    return true;
}

static bool digits(struct slice *s, size_t count, int *out)
{
    int value = 0;

    if (s->bytes < count)
        return false;
    for (size_t i = 0; i < count; i++) {
        if (s->data[i] < '0' || s->data[i] > '9')
            return false;
        value = value * 10 + (s->data[i] - '0');
    }
    s->data += count;
    s->bytes -= count;
    *out = value;
    return true;
}

static int days_of_month(int year, int month)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);

    return month == 2 && leap ? 29 : days[month - 1];
}

/* Days since 1970-01-01 of a date of the Gregorian calendar. Years begin in March here, so that the
 * leap day is the last of its year. */
static int64_t days_of_date(int year, int month, int day)
{
    static const int before[] = {306, 337, 0, 31, 61, 92, 122, 153, 184, 214, 245, 275};
    int64_t y = year - (month <= 2 ? 1 : 0) + 400; /* never negative */
    int64_t days = 365 * y + y / 4 - y / 100 + y / 400;

    return days + before[month - 1] + day - 1 - (719468 + 146097);
}

static bool read_date(struct slice *s, int64_t *days)
{
    int year, month, day;

    if (!digits(s, 4, &year) || !take(s, '-') || !digits(s, 2, &month) || !take(s, '-') ||
        !digits(s, 2, &day))
        return false;
    if (month < 1 || month > 12 || day < 1 || day > days_of_month(year, month))
        return false;
    *days = days_of_date(year, month, day);
    return true;
}

static bool read_fraction(struct slice *s, int64_t *ticks)
{
    int64_t unit = DATETIME_TICKS_PER_S;
    size_t count = 0;
    int digit;

    for (; digits(s, 1, &digit); count++) {
        unit /= 10;
        *ticks += digit * unit;
    }
    return count >= 1 && count <= 9;
}

static bool read_clock(struct slice *s, int64_t *ticks)
{
    int hour, minute;
    int second = 0;
    int64_t fraction = 0;

    if (!digits(s, 2, &hour) || !take(s, ':') || !digits(s, 2, &minute))
        return false;
    if (take(s, ':') && (!digits(s, 2, &second) || (take(s, '.') && !read_fraction(s, &fraction))))
        return false;
    if (hour > 23 || minute > 59 || second > 60)
        return false;
    *ticks = ((int64_t)hour * 3600 + minute * 60 + second) * DATETIME_TICKS_PER_S + fraction;
    return true;
}

static bool read_offset(struct slice *s, int64_t *seconds)
{
    int64_t sign = 1;
    int hour;
    int minute = 0;

    *seconds = 0;
    if (s->bytes == 0 || take(s, 'Z') || take(s, 'z'))
        return true;
    if (!take(s, '+')) {
        sign = -1;
        if (!take(s, '-'))
            return false;
    }
    if (!digits(s, 2, &hour))
        return false;
    if (s->bytes > 0) {
        (void)take(s, ':');
        if (!digits(s, 2, &minute))
            return false;
    }
    *seconds = sign * (hour * 3600 + minute * 60);
    return hour <= 23 && minute <= 59;
}

bool datetime_parse(struct slice text, int64_t *ticks)
{
    int64_t days;
    int64_t offset = 0;
    int64_t clock = 0;

    if (!read_date(&text, &days))
        return false;
    if (text.bytes > 0) {
        if (!take(&text, 'T') && !take(&text, 't') && !take(&text, ' '))
            return false;
        if (!read_clock(&text, &clock) || !read_offset(&text, &offset) || text.bytes > 0)
            return false;
    }
    *ticks = (days * 86400 - offset) * DATETIME_TICKS_PER_S + clock;
    return true;
}
