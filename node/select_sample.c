#include "node/node_internal.h"
#include "node/select.h"

/* Slots in steps of the golden ratio lie evenly whatever the payloads have to do with their order.
 */
uint64_t select_sample(const struct collection *c, const struct known *known,
                       bool (*admits)(void *arg, uint32_t slot), void *arg)
{
    uint64_t live = slots_live_count(c->slots), at = 0;
    uint32_t end = slots_end(c->slots), asked = 0, matches = 0;

    for (int i = 0; i < SELECT_SAMPLE_TRIES && asked < SELECT_SAMPLE_ROWS && end > 0; i++) {
        uint32_t slot;

        at += UINT64_C(0x9e3779b97f4a7c15);
        slot = (uint32_t)((at >> 32) * end >> 32);
        if (!slots_live(c->slots, slot))
            continue;
        asked++;
        if (known->bits == NULL || known_has(known, slot))
            matches += admits(arg, slot) ? 1 : 0;
    }
    return asked == 0 ? 0 : live * matches / asked;
}

static bool asks(void *asker, uint32_t slot)
{
    return asker_matches(asker, slot);
}

status select_about(struct collection *c, const struct filter *filter,
                    const struct read_limits *limits, struct arena *arena, uint64_t *matches,
                    struct err *err)
{
    uint64_t live = slots_live_count(c->slots);
    struct asker asker;
    struct known known;
    status st;

    asker_init(&asker, c, filter, limits);
    st = select_known(&asker, arena, &known, err);
    if (st != ST_OK)
        return st;
    if (known.bits != NULL && known.exact)
        *matches = known.count;
    else
        *matches = select_sample(c, &known, asks, &asker);
    if (known.bits != NULL && known.count < *matches)
        *matches = known.count;
    *matches = *matches > live ? live : *matches;
    return asker_status(&asker, err);
}
