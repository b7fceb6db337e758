/* When the records that are not shipped became durable, in a fixed number of marks: an outage of
 * hours makes them coarser, never more. Ages are never told too low. */
#include "tiering/stream_internal.h"

#include <string.h>

static void halve(struct stream_private *c)
{
    size_t kept = 0;

    for (size_t i = 0; i + 1 < c->mark_count; i += 2) {
        uint64_t at_ms = c->marks[i].at_ms;

        c->marks[kept] = c->marks[i + 1];
        c->marks[kept++].at_ms = at_ms;
    }
    if (c->mark_count % 2 != 0)
        c->marks[kept++] = c->marks[c->mark_count - 1];
    c->mark_count = kept;
}

static void fall_back(struct stream_private *c, uint64_t lsn, uint64_t bytes)
{
    while (c->mark_count > 0 && c->marks[c->mark_count - 1].lsn > lsn) {
        struct stream_mark *last = &c->marks[c->mark_count - 1];

        if (c->mark_count > 1 && c->marks[c->mark_count - 2].lsn >= lsn) {
            c->mark_count--;
            continue;
        }
        last->lsn = lsn;
        last->bytes = bytes;
    }
}

void marks_log(struct stream *s, uint64_t lsn, uint64_t bytes)
{
    struct stream_private *c = &s->core;
    struct stream_mark *last = c->mark_count > 0 ? &c->marks[c->mark_count - 1] : NULL;
    uint64_t fine_ms = s->options.rpo_ms / 16;

    if (lsn < s->durable_lsn)
        fall_back(c, lsn, bytes);
    if (lsn > s->durable_lsn) {
        if (last != NULL && last->lsn > s->sealed_lsn && c->now_ms - last->at_ms <= fine_ms) {
            last->lsn = lsn;
            last->bytes = bytes;
        } else {
            if (c->mark_count == STREAM_MARKS_MAX)
                halve(c);
            c->marks[c->mark_count++] =
                (struct stream_mark){.lsn = lsn, .bytes = bytes, .at_ms = c->now_ms};
        }
    }
    s->durable_lsn = lsn;
    s->durable_bytes = bytes;
}

void marks_shipped(struct stream *s)
{
    struct stream_private *c = &s->core;
    size_t gone = 0;

    while (gone < c->mark_count && c->marks[gone].lsn <= s->shipped_lsn)
        gone++;
    c->mark_count -= gone;
    memmove(c->marks, c->marks + gone, c->mark_count * sizeof c->marks[0]);
}

uint64_t marks_durable_at(const struct stream *s, uint64_t lsn)
{
    for (size_t i = 0; i < s->core.mark_count; i++)
        if (s->core.marks[i].lsn > lsn)
            return s->core.marks[i].at_ms;
    return STREAM_NEVER;
}

uint64_t marks_bytes_at(const struct stream *s, uint64_t lsn, uint64_t least)
{
    for (size_t i = 0; i < s->core.mark_count && s->core.marks[i].lsn <= lsn; i++)
        if (s->core.marks[i].bytes > least)
            least = s->core.marks[i].bytes;
    return least;
}
