/* When sending pays. Every byte of a row is sent once with the log; what is sent again is bounded
 * by a share of what has changed since:
 *
 *   base    when log and segments are seven times the live rows: rewriting one part for six written
 *   image   when as many rows changed as were in the last one: each row is in at most two images
 *           worth of growth; an idle collection gets one earlier where it costs little of what
 *           changed, so that it is linked when it comes back
 *
 * tests/unit/snapshot/test_publish_due.c has the model that says what this comes to. */
#include "snapshot/publish.h"

/* About: packed links of both layers, counts, and the slot map's entry. */
static uint64_t image_row_bytes(const struct publish_facts *f)
{
    uint64_t bits = 1;

    while (bits < 32 && f->live_rows >> bits > 0)
        bits++;
    return 2 * (uint64_t)f->m * bits / 8 + 16;
}

static bool image_pays(const struct publish_facts *f)
{
    uint64_t row_bytes = f->live_rows > 0 ? f->live_bytes / f->live_rows : 0;

    return f->live_rows * image_row_bytes(f) * 100 <=
           f->changed_rows * row_bytes * PUBLISH_IDLE_COST_PERCENT;
}

static bool image_due(const struct publish_facts *f)
{
    if (!f->has_graph || f->live_rows == 0)
        return false;
    if (f->image_rows == 0)
        return f->live_rows >= PUBLISH_IMAGE_ROWS_MIN || f->idle_ms >= PUBLISH_IDLE_MS;
    if (f->changed_rows >= f->image_rows && f->changed_rows >= PUBLISH_IMAGE_CHANGED_MIN)
        return true;
    return f->idle_ms >= PUBLISH_IDLE_MS &&
           f->changed_rows * 100 >= f->image_rows * PUBLISH_IDLE_PERCENT && image_pays(f);
}

/* live_bytes is an estimate. A log larger than the segments says that something was written since
 * the last base, so that an estimate that is too low does not write one base after the other. */
static bool base_due(const struct publish_facts *f)
{
    return f->switching || (f->log_bytes > f->segment_bytes &&
                            f->log_bytes + f->segment_bytes >
                                PUBLISH_BASE_FACTOR * f->live_bytes + PUBLISH_BASE_SLACK_BYTES);
}

unsigned publish_due(const struct publish_facts *facts, bool *absorb)
{
    unsigned what = 0;

    *absorb = facts->lineages > ROOT_LINEAGES_MAX / 2;
    if (image_due(facts))
        what |= PUBLISH_IMAGE;
    if (base_due(facts)) {
        what |= PUBLISH_BASE;
        /* Dead rows, whose nodes carry an image that is behind, go with the old log. */
        if (facts->has_graph && facts->changed_rows * 2 >= facts->image_rows)
            what |= PUBLISH_IMAGE;
    }
    return what;
}
