/* datetime.h - times written as text: RFC 3339 and its shorter forms.
 *
 * A time is a count of ticks of 100 ns since 1970-01-01T00:00:00Z, which holds the years 0000 to
 * 9999 in an int64_t; what is finer is cut off, towards the past.
 *
 * Threads    any. */
#ifndef FILTER_DATETIME_H
#define FILTER_DATETIME_H

#include "base/bytes.h"

enum { DATETIME_TICKS_PER_S = 10000000 };

/* 2024-02-29, then perhaps T or a blank and 12:30, :59 or :60, a fraction of 1 to 9 digits, and Z,
 * +hh, +hhmm or +hh:mm (none: UTC). False if it is no such time. */
NODISCARD
bool datetime_parse(struct slice text, int64_t *ticks);

#endif
