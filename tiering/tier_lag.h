/* tier_lag.h - when the records that the bucket lacks became durable: marks over ranges of lsns,
 * never more than LAG_MARKS_MAX however long an outage lasts. The lag may be said too high, by
 * LAG_GRAIN_MS or by a thirtieth of the whole span, never too low.
 *
 * Threads    a value. Pure. */
#ifndef TIERING_TIER_LAG_H
#define TIERING_TIER_LAG_H

#include "base/status.h"

enum { LAG_MARKS_MAX = 64, LAG_GRAIN_MS = 50 /* what lies closer together is one mark */ };
#define LAG_NONE INT64_MAX

struct lag_mark { /* the records up to lsn, behind the mark before */
    uint64_t lsn;
    int64_t at_ms; /* the first of them; monotonic, and below 0 for what an earlier boot wrote */
};
struct lag {
    struct lag_mark marks[LAG_MARKS_MAX];
    size_t count;
};
void lag_init(struct lag *l);
/* lsns rise; times that fall count as those before. */
void lag_add(struct lag *l, uint64_t lsn, int64_t at_ms);
/* The records up to lsn are stored. */
void lag_drop(struct lag *l, uint64_t lsn);
/* What came earlier than anything in l goes in front of it. */
void lag_prepend(struct lag *l, const struct lag *earlier);
/* When the oldest became durable; LAG_NONE: there is none. */
int64_t lag_since(const struct lag *l);

#endif
