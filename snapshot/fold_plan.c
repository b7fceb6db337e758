/* Which cold segments are read and written again. A pile begins with the head's rows; a segment
 * joins it when the pile has a FOLD_RATIO-th of its rows, when too many of its rows are dead, or
 * when there would be too many segments else, the smallest first. What joins makes the pile larger,
 * so it is asked again until nothing joins.
 *
 * What stays is then more than FOLD_RATIO times all that is smaller together, so the largest has
 * four fifths of the rows. tests/unit/snapshot/test_fold_plan.c says what is written for it. */
#include "snapshot/fold.h"

static uint64_t live_rows(const struct manifest_cold *s)
{
    return s->rows - s->dead_rows;
}

static bool is_stale(const struct manifest_cold *s)
{
    return (uint64_t)s->dead_rows * 100 >= (uint64_t)s->rows * FOLD_DEAD_PERCENT;
}

static uint64_t pile_of(const struct fold_facts *f, const bool *merge)
{
    uint64_t pile = f->head_rows;

    for (size_t i = 0; i < f->segment_count; i++)
        pile += merge[i] ? live_rows(&f->segments[i]) : 0;
    return pile;
}

static void take_in(const struct fold_facts *f, bool *merge)
{
    for (size_t i = 0; i < f->segment_count;) {
        uint64_t pile = pile_of(f, merge);

        if (!merge[i] && pile > 0 && pile * FOLD_RATIO >= live_rows(&f->segments[i])) {
            merge[i] = true;
            i = 0;
        } else {
            i++;
        }
    }
}

static size_t smallest(const struct fold_facts *f, const bool *merge)
{
    size_t found = f->segment_count;

    for (size_t i = 0; i < f->segment_count; i++)
        if (!merge[i] && (found == f->segment_count ||
                          live_rows(&f->segments[i]) < live_rows(&f->segments[found])))
            found = i;
    return found;
}

static bool too_many(const struct fold_facts *f, const bool *merge)
{
    uint64_t pile = pile_of(f, merge), rows = f->head_rows;
    size_t stay = pile > 0;

    for (size_t i = 0; i < f->segment_count; i++) {
        rows += live_rows(&f->segments[i]);
        stay += !merge[i];
    }
    return rows < FOLD_ROWS_MANY && stay > FOLD_SEGMENTS_MAX;
}

static bool nothing_to_do(const struct fold_facts *f)
{
    return f->head_rows == 0 && f->segment_count == 1 && f->segments[0].dead_rows == 0;
}

void fold_plan(const struct fold_facts *facts, bool *merge)
{
    for (size_t i = 0; i < facts->segment_count; i++)
        merge[i] = facts->all ? !nothing_to_do(facts) : is_stale(&facts->segments[i]);
    take_in(facts, merge);
    while (too_many(facts, merge)) {
        merge[smallest(facts, merge)] = true;
        take_in(facts, merge);
    }
}
