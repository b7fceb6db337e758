#include "tiering/breaker.h"

#include "base/hash.h"

#include <string.h>

enum { RETRY_AFTER_MAX_MS = 300000 };

const char *breaker_state_name(enum breaker_state s)
{
    static const char *const NAMES[] = {
        [BREAKER_CLOSED] = "closed", [BREAKER_HALF_OPEN] = "half_open", [BREAKER_OPEN] = "open"};

    return (size_t)s < COUNT_OF(NAMES) ? NAMES[s] : "unknown";
}

void breaker_init(struct breaker *b, uint64_t base_ms, uint64_t max_ms, uint64_t seed)
{
    memset(b, 0, sizeof *b);
    b->base_ms = base_ms > 0 ? base_ms : 1;
    b->max_ms = max_ms > b->base_ms ? max_ms : b->base_ms;
    b->seed = seed;
}

void breaker_reset(struct breaker *b)
{
    b->state = BREAKER_CLOSED;
    b->failures = 0;
    b->opened = 0;
    b->probe_at_ms = 0;
    b->probing = false;
}

static void open_again(struct breaker *b, uint64_t retry_after_ms, uint64_t now_ms)
{
    uint64_t cap = b->base_ms, wait;

    for (uint32_t i = 0; i < b->opened && cap < b->max_ms; i++)
        cap *= 2;
    if (cap > b->max_ms)
        cap = b->max_ms;
    if (retry_after_ms > RETRY_AFTER_MAX_MS) /* a wish, and it came from outside */
        retry_after_ms = RETRY_AFTER_MAX_MS;
    b->seed += 0x9E3779B97F4A7C15u;
    wait = 1 + hash_u64(b->seed) % cap;
    b->opened++;
    b->state = BREAKER_OPEN;
    b->probing = false;
    b->probe_at_ms = now_ms + (wait > retry_after_ms ? wait : retry_after_ms);
}

bool breaker_admit(struct breaker *b, uint64_t now_ms)
{
    if (b->state == BREAKER_CLOSED)
        return true;
    if (b->probing || now_ms < b->probe_at_ms)
        return false;
    b->state = BREAKER_HALF_OPEN;
    b->probing = true;
    return true;
}

static bool not_now(enum objstore_class class)
{
    return class == OBJSTORE_TRANSIENT || class == OBJSTORE_THROTTLE || class == OBJSTORE_CAPACITY;
}

/* Who asked before it opened may be answered while the probe is under way, and is taken for it: a
 * failure is news that is as good, and a success closes the breaker whoever had it. */
void breaker_answer(struct breaker *b, enum objstore_class class, uint64_t retry_after_ms,
                    uint64_t now_ms)
{
    if (class == OBJSTORE_CANCELLED) { /* nothing was learnt: another may be the probe */
        b->probing = false;
        return;
    }
    if (!not_now(class)) {
        breaker_reset(b);
        return;
    }
    b->failures++;
    if (b->state == BREAKER_HALF_OPEN ||
        (b->state == BREAKER_CLOSED && b->failures >= BREAKER_FAILURES))
        open_again(b, retry_after_ms, now_ms);
}

uint64_t breaker_next_ms(const struct breaker *b)
{
    if (b->state == BREAKER_CLOSED)
        return 0;
    return b->probing ? UINT64_MAX : b->probe_at_ms;
}
