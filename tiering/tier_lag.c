#include "tiering/tier_lag.h"

#include <string.h>

void lag_init(struct lag *l)
{
    l->count = 0;
    l->grain_ms = LAG_GRAIN_MS;
}

/* Two and two become one, with the time of the first and the end of the second. */
static void halve(struct lag *l)
{
    for (size_t i = 0; i < LAG_MARKS_MAX / 2; i++)
        l->marks[i] = (struct lag_mark){l->marks[2 * i + 1].lsn, l->marks[2 * i].at_ms};
    l->count = LAG_MARKS_MAX / 2;
    l->grain_ms *= 2;
}

void lag_add(struct lag *l, uint64_t lsn, int64_t at_ms)
{
    struct lag_mark *last = l->count > 0 ? &l->marks[l->count - 1] : NULL;

    if (last != NULL && at_ms - last->at_ms < l->grain_ms) {
        last->lsn = lsn;
        return;
    }
    if (l->count == LAG_MARKS_MAX)
        halve(l);
    l->marks[l->count++] = (struct lag_mark){lsn, at_ms};
}

void lag_drop(struct lag *l, uint64_t lsn)
{
    size_t gone = 0;

    while (gone < l->count && l->marks[gone].lsn <= lsn)
        gone++;
    l->count -= gone;
    memmove(l->marks, l->marks + gone, l->count * sizeof l->marks[0]);
    if (l->count == 0)
        l->grain_ms = LAG_GRAIN_MS;
}

void lag_prepend(struct lag *l, const struct lag *earlier)
{
    struct lag later = *l;

    *l = *earlier;
    for (size_t i = 0; i < later.count; i++)
        lag_add(l, later.marks[i].lsn, later.marks[i].at_ms);
}

int64_t lag_since(const struct lag *l)
{
    return l->count > 0 ? l->marks[0].at_ms : LAG_NONE;
}
