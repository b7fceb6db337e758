#include "objstore/keys_due.h"

#define SECOND_NS UINT64_C(1000000000)

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* Behind `at`, never beyond what a clock can show. */
static uint64_t later(uint64_t at, uint64_t by)
{
    return by < KEYS_NEVER - 1 - at ? at + by : KEYS_NEVER - 1;
}

enum keys_phase keys_due_phase(const struct keys_due *d, uint64_t now_ns)
{
    if (!d->has)
        return KEYS_NONE;
    if (d->end_ns == KEYS_NEVER || now_ns < d->advisory_ns)
        return KEYS_FRESH;
    if (now_ns < d->mandatory_ns)
        return KEYS_ADVISORY;
    return now_ns < d->end_ns ? KEYS_MANDATORY : KEYS_ENDED;
}

static void take_life(struct keys_due *d, const struct keys_event *e)
{
    uint64_t life = least(e->life_ns, KEYS_LIFE_MAX_S * SECOND_NS);
    uint64_t window;

    d->has = true;
    d->failures = 0;
    if (e->life_ns == KEYS_NEVER) {
        d->end_ns = d->advisory_ns = d->mandatory_ns = d->next_ns = KEYS_NEVER;
        return;
    }
    d->end_ns = later(e->now_ns, life);
    d->advisory_ns = d->end_ns - least(life / 4, KEYS_ADVISORY_S * SECOND_NS);
    d->mandatory_ns = d->end_ns - least(life / 6, KEYS_MANDATORY_S * SECOND_NS);
    window = d->mandatory_ns - d->advisory_ns;
    d->next_ns = d->advisory_ns + (window > 0 ? e->random % window : 0);
}

/* Half to the whole of a ceiling that doubles. */
static void pause_behind_failure(struct keys_due *d, const struct keys_event *e)
{
    enum keys_phase phase = keys_due_phase(d, e->now_ns);
    bool calm = phase == KEYS_FRESH || phase == KEYS_ADVISORY;
    uint64_t most = (calm ? KEYS_PAUSE_MAX_S : KEYS_URGENT_MAX_S) * SECOND_NS;
    uint64_t ceiling = KEYS_PAUSE_MIN_S * SECOND_NS;

    for (uint32_t i = 0; i < d->failures && ceiling < most; i++)
        ceiling *= 2;
    ceiling = least(ceiling, most);
    if (d->failures < UINT32_MAX)
        d->failures++;
    d->next_ns = later(e->now_ns, ceiling / 2 + e->random % (ceiling / 2));
    /* Keys that were good for long before a person asked need nothing until they are due. */
    if (phase == KEYS_FRESH)
        d->next_ns = d->end_ns == KEYS_NEVER       ? KEYS_NEVER
                     : d->next_ns > d->advisory_ns ? d->next_ns
                                                   : d->advisory_ns;
    /* Keys that end soon are not slept through. */
    else if (e->now_ns < d->mandatory_ns && d->next_ns > d->mandatory_ns)
        d->next_ns = d->mandatory_ns;
}

static void settle(struct keys_due *d, const struct keys_event *e)
{
    d->running = false;
    if (e->kind == KEYS_CAME)
        take_life(d, e);
    else
        pause_behind_failure(d, e);
    if (d->again)
        d->next_ns = e->now_ns;
    d->again = false;
}

struct keys_effect keys_due_step(struct keys_due *d, const struct keys_event *e)
{
    struct keys_effect effect = {.wake_ns = KEYS_NEVER};

    switch (e->kind) {
    case KEYS_TICK:
        break;
    case KEYS_RELOAD:
        d->again = d->running;
        d->next_ns = e->now_ns;
        break;
    case KEYS_REFUSED: /* what is under way will tell */
        effect.refused = !d->running && e->now_ns < d->refused_ns;
        if (!d->running && !effect.refused) {
            d->next_ns = e->now_ns;
            d->refused_ns = later(e->now_ns, KEYS_REFUSED_PAUSE_S * SECOND_NS);
        }
        break;
    case KEYS_CAME:
    case KEYS_FAILED:
        settle(d, e);
        break;
    }
    if (d->running)
        return effect;
    effect.ask = d->next_ns != KEYS_NEVER && d->next_ns <= e->now_ns;
    d->running = effect.ask;
    if (!effect.ask)
        effect.wake_ns = d->next_ns;
    return effect;
}
