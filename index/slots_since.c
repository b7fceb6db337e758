/* What was published since a moment: whoever looked at rows one by one meanwhile looks at these
 * too, and has then met every id that was there all along.
 *
 * A publish raises the count before the old row dies, so who meets a row dead and asks then finds
 * its successor. At most one publish is under way; its count may be raised already while the old
 * row is live still, so a moment taken then is one publish earlier. Dead rows are given as well:
 * they were live within the time, and the one that replaced them may be retired by now. */
#include "index/slots_internal.h"

static bool settled(const struct slots *s)
{
    return atomic_load_explicit(&s->settling, memory_order_acquire) == SLOT_NONE &&
           atomic_load_explicit(&s->settled_old, memory_order_acquire) == SLOT_NONE;
}

uint64_t slots_moment(const struct slots *s)
{
    uint64_t publishes = atomic_load_explicit(&s->publishes, memory_order_acquire);

    return settled(s) || publishes == 0 ? publishes : publishes - 1;
}

bool slots_quiet_since(const struct slots *s, uint64_t moment)
{
    return settled(s) && atomic_load_explicit(&s->publishes, memory_order_acquire) == moment;
}

static bool published_since(const struct place *p, uint64_t moment)
{
    uint8_t state = atomic_load_explicit(&p->piece->states[p->at], memory_order_acquire);

    return (state == SLOT_LIVE || state == SLOT_DEAD) &&
           (int32_t)(p->piece->rows[p->at].sequence - (uint32_t)moment) > 0;
}

bool slots_is_since(const struct slots *s, uint32_t slot, uint64_t moment)
{
    struct place p = place_of(s, slot);

    return published_since(&p, moment);
}

uint32_t slots_since(const struct slots *s, uint64_t moment, uint32_t *at, uint32_t *out,
                     uint32_t max)
{
    uint32_t end = slots_end(s);
    uint32_t count = 0;
    uint32_t slot = *at;

    while (slot < end && count < max) {
        struct place p = place_of(s, slot);
        uint64_t stamp =
            atomic_load_explicit(&p.piece->stamps[p.at >> BLOCK_BITS], memory_order_relaxed);
        uint32_t stop = block_end(slot) < end ? block_end(slot) : end;

        if (stamp <= moment)
            slot = stop;
        for (; slot < stop && count < max; slot++, p.at++)
            if (published_since(&p, moment))
                out[count++] = slot;
    }
    *at = slot;
    return count;
}
