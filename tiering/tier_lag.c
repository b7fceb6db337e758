#include "tiering/tier_lag.h"

#include <string.h>

void lag_init(struct lag *l)
{
    l->count = 0;
}

/* The two neighbours that span the shortest time become one. Of LAG_MARKS_MAX - 1 pairs that
 * together span the whole twice, that is at most a thirtieth of it. */
static void merge_two(struct lag *l, int64_t now_ms)
{
    size_t best = 0;
    int64_t best_ms = INT64_MAX;

    for (size_t i = 0; i + 1 < l->count; i++) {
        int64_t end_ms = i + 2 < l->count ? l->marks[i + 2].at_ms : now_ms;

        if (end_ms - l->marks[i].at_ms < best_ms) {
            best_ms = end_ms - l->marks[i].at_ms;
            best = i;
        }
    }
    l->marks[best].lsn = l->marks[best + 1].lsn;
    l->count--;
    memmove(l->marks + best + 1, l->marks + best + 2, (l->count - best - 1) * sizeof l->marks[0]);
}

void lag_add(struct lag *l, uint64_t lsn, int64_t at_ms)
{
    struct lag_mark *last = l->count > 0 ? &l->marks[l->count - 1] : NULL;

    if (last != NULL && at_ms - last->at_ms < LAG_GRAIN_MS) {
        last->lsn = lsn;
        return;
    }
    if (l->count == LAG_MARKS_MAX)
        merge_two(l, at_ms);
    l->marks[l->count++] = (struct lag_mark){lsn, at_ms};
}

void lag_drop(struct lag *l, uint64_t lsn)
{
    size_t gone = 0;

    while (gone < l->count && l->marks[gone].lsn <= lsn)
        gone++;
    l->count -= gone;
    memmove(l->marks, l->marks + gone, l->count * sizeof l->marks[0]);
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
