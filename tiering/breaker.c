#include "tiering/breaker.h"

#include "base/hash.h"

#include <string.h>

const char *breaker_state_name(enum breaker_state s)
{
    static const char *const NAMES[] = {
        [BREAKER_CLOSED] = "closed", [BREAKER_OPEN] = "open", [BREAKER_HALF_OPEN] = "half_open"};

    return (size_t)s < COUNT_OF(NAMES) ? NAMES[s] : "unknown";
}

void breaker_init(struct breaker *b, uint32_t failures_max, uint64_t base_ms, uint64_t max_ms,
                  uint64_t seed)
{
    memset(b, 0, sizeof *b);
    b->failures_max = failures_max > 0 ? failures_max : BREAKER_FAILURES;
    b->base_ms = base_ms > 0 ? base_ms : 1;
    b->max_ms = max_ms > b->base_ms ? max_ms : b->base_ms;
    b->random = seed;
}

static void close_again(struct breaker *b)
{
    b->state = BREAKER_CLOSED;
    b->failures = 0;
    b->probes_failed = 0;
    b->why = OBJSTORE_OK;
}

void breaker_reset(struct breaker *b)
{
    close_again(b);
}

static void open_until(struct breaker *b, uint64_t retry_after_ms, uint64_t now_ms)
{
    uint64_t cap = b->base_ms, wait;

    for (uint32_t i = 0; i < b->probes_failed && cap < b->max_ms; i++)
        cap *= 2;
    if (cap > b->max_ms)
        cap = b->max_ms;
    b->random += 0x9E3779B97F4A7C15u;
    wait = 1 + hash_u64(b->random) % cap;
    b->state = BREAKER_OPEN;
    b->next_probe_ms = now_ms + (wait > retry_after_ms ? wait : retry_after_ms);
}

enum breaker_answer breaker_ask(struct breaker *b, uint64_t now_ms, uint64_t *wait_ms)
{
    *wait_ms = 0;
    if (b->state == BREAKER_CLOSED)
        return BREAKER_GO;
    if (b->state == BREAKER_HALF_OPEN) {
        *wait_ms = UINT64_MAX;
        return BREAKER_WAIT;
    }
    if (now_ms < b->next_probe_ms) {
        *wait_ms = b->next_probe_ms - now_ms;
        return BREAKER_WAIT;
    }
    b->state = BREAKER_HALF_OPEN;
    return BREAKER_GO_AS_PROBE;
}

static bool not_now(enum objstore_class class)
{
    return class == OBJSTORE_TRANSIENT || class == OBJSTORE_THROTTLE || class == OBJSTORE_CAPACITY;
}

/* The answer to a request that was sent before it opened says nothing new when it is a failure. */
static void failed(struct breaker *b, enum objstore_class class, bool probe,
                   uint64_t retry_after_ms, uint64_t now_ms)
{
    if (b->state != BREAKER_CLOSED && !probe)
        return;
    b->failures++;
    b->why = class;
    if (probe) {
        b->probes_failed++;
        open_until(b, retry_after_ms, now_ms);
    } else if (b->failures >= b->failures_max) {
        b->opened_at_ms = now_ms;
        b->opened_count++;
        open_until(b, retry_after_ms, now_ms);
    }
}

bool breaker_told(struct breaker *b, enum objstore_class class, bool probe, uint64_t retry_after_ms,
                  uint64_t now_ms)
{
    enum breaker_state before = b->state;

    if (not_now(class)) {
        failed(b, class, probe && b->state == BREAKER_HALF_OPEN, retry_after_ms, now_ms);
    } else if (class == OBJSTORE_CANCELLED) { /* nothing was learnt; the next may be the probe */
        if (probe && b->state == BREAKER_HALF_OPEN)
            b->state = BREAKER_OPEN;
    } else {
        close_again(b);
    }
    return b->state != before;
}
