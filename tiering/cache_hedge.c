/* Durations of GETs by their size, in steps of a quarter octave; old ones fade. */
#include "tiering/cache_internal.h"

enum {
    FADE_AT = 1024,
    STEP_FIRST_BIT = 16, /* durations below 65 us are the first step */
    STEPS_AN_OCTAVE = 4,
    TOKENS_A_HEDGE = 100,
    TOKENS_MAX = 1000,
    KIND_FIRST_BIT = 14, /* up to 16 KiB, 128 KiB, 1 MiB, 8 MiB, more */
    KIND_BITS = 3,
};

static unsigned kind_of(uint64_t bytes)
{
    unsigned kind = 0;

    while (kind + 1 < HEDGE_KINDS && bytes > (uint64_t)1 << (KIND_FIRST_BIT + kind * KIND_BITS))
        kind++;
    return kind;
}

/* Where a step ends. */
static uint64_t end_of(unsigned step)
{
    uint64_t base = (uint64_t)1 << (STEP_FIRST_BIT + step / STEPS_AN_OCTAVE);

    return base + base / STEPS_AN_OCTAVE * (step % STEPS_AN_OCTAVE);
}

void cache_hedge_took(struct cache_hedge *h, uint64_t bytes, uint64_t ns)
{
    unsigned kind = kind_of(bytes), step = 0;

    while (step + 1 < HEDGE_STEPS && ns > end_of(step))
        step++;
    h->kinds[kind].count[step]++;
    if (++h->kinds[kind].all < FADE_AT)
        return;
    h->kinds[kind].all = 0;
    for (unsigned i = 0; i < HEDGE_STEPS; i++) {
        h->kinds[kind].count[i] /= 2;
        h->kinds[kind].all += h->kinds[kind].count[i];
    }
}

uint64_t cache_hedge_after_ns(const struct cache_hedge *h, uint64_t bytes)
{
    const uint64_t min_ns = (uint64_t)CACHE_HEDGE_MIN_MS * 1000000;
    unsigned kind = kind_of(bytes), step = HEDGE_STEPS;
    uint32_t all = h->kinds[kind].all, above = 0;

    if (all < HEDGE_SAMPLES_MIN)
        return UINT64_MAX;
    while (step > 0 && above + h->kinds[kind].count[step - 1] <= all / 20)
        above += h->kinds[kind].count[--step];
    if (step == 0)
        return min_ns;
    return end_of(step - 1) > min_ns ? end_of(step - 1) : min_ns;
}

void cache_hedge_earn(struct cache_hedge *h)
{
    if (h->tokens < TOKENS_MAX)
        h->tokens += CACHE_HEDGE_PERCENT;
}

bool cache_hedge_spend(struct cache_hedge *h)
{
    if (h->tokens < TOKENS_A_HEDGE)
        return false;
    h->tokens -= TOKENS_A_HEDGE;
    return true;
}
