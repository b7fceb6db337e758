#include "objstore/retry.h"

#include <stdatomic.h>

enum {
    FOREGROUND_BASE_MS = 50,
    FOREGROUND_THROTTLE_MS = 1000,
    FOREGROUND_MAX_MS = 5000,
    FOREGROUND_ATTEMPTS = 4,
    CAPACITY_MS = 30000, /* a slow probe: full disks are emptied by people */
    INTEGRITY_ATTEMPTS = 2,
    RETRY_AFTER_MAX_MS = 300000, /* more than that is no wish of a healthy store */
    TOKENS = 500,
    TOKENS_TRANSIENT = 14,
    TOKENS_THROTTLE = 5,
};

struct objstore_retry_policy objstore_retry_foreground(void)
{
    return (struct objstore_retry_policy){
        .base_ms = FOREGROUND_BASE_MS,
        .throttle_base_ms = FOREGROUND_THROTTLE_MS,
        .max_ms = FOREGROUND_MAX_MS,
        .capacity_ms = CAPACITY_MS,
        .attempts_max = FOREGROUND_ATTEMPTS,
        .capacity_attempts_max = 1,
        .permanent_attempts_max = 1,
        .integrity_attempts_max = INTEGRITY_ATTEMPTS,
    };
}

struct objstore_retry_policy objstore_retry_background(uint64_t base_ms, uint64_t max_ms,
                                                       uint32_t max_retries)
{
    return (struct objstore_retry_policy){
        .base_ms = base_ms,
        .throttle_base_ms = base_ms > FOREGROUND_THROTTLE_MS ? base_ms : FOREGROUND_THROTTLE_MS,
        .max_ms = max_ms,
        .capacity_ms = CAPACITY_MS,
        .attempts_max = OBJSTORE_RETRY_FOR_EVER,
        .capacity_attempts_max = OBJSTORE_RETRY_FOR_EVER,
        .permanent_attempts_max =
            max_retries == OBJSTORE_RETRY_FOR_EVER ? max_retries : max_retries + 1,
        .integrity_attempts_max = INTEGRITY_ATTEMPTS,
    };
}

/* Uniform in [0, bound]. */
static uint64_t below(uint64_t random, uint64_t bound)
{
    return bound == UINT64_MAX ? random : random % (bound + 1);
}

static uint64_t ceiling(uint64_t base_ms, uint64_t max_ms, uint32_t attempt)
{
    uint64_t at = base_ms;

    for (uint32_t i = 1; i < attempt && at < max_ms && at != 0; i++)
        at = at > max_ms / 2 ? max_ms : at * 2;
    return at < max_ms ? at : max_ms;
}

static uint64_t jitter(uint64_t base_ms, const struct objstore_retry_policy *p, uint32_t attempt,
                       uint64_t random)
{
    return below(random, ceiling(base_ms, p->max_ms, attempt));
}

bool objstore_retry_next(const struct objstore_retry_policy *policy, enum objstore_class c,
                         uint32_t attempt, uint64_t retry_after_ms, uint64_t random,
                         uint64_t *delay_ms)
{
    uint64_t delay = 0;
    uint32_t attempts_max = 0;

    switch (c) {
    case OBJSTORE_TRANSIENT:
    case OBJSTORE_CONFLICT:
        attempts_max = policy->attempts_max;
        delay = jitter(policy->base_ms, policy, attempt, random);
        break;
    case OBJSTORE_THROTTLE:
        attempts_max = policy->attempts_max;
        delay = jitter(policy->throttle_base_ms, policy, attempt, random);
        break;
    case OBJSTORE_CAPACITY: /* half to the whole: probes of many do not come together */
        attempts_max = policy->capacity_attempts_max;
        delay = policy->capacity_ms / 2 + below(random, policy->capacity_ms / 2);
        break;
    case OBJSTORE_PERMANENT:
    case OBJSTORE_REFRESHABLE:
        attempts_max = policy->permanent_attempts_max;
        delay = jitter(policy->throttle_base_ms, policy, attempt, random);
        break;
    case OBJSTORE_INTEGRITY:
        attempts_max = policy->integrity_attempts_max;
        delay = jitter(policy->base_ms, policy, attempt, random);
        break;
    case OBJSTORE_OK:
    case OBJSTORE_NOT_MODIFIED:
    case OBJSTORE_NOT_FOUND:
    case OBJSTORE_PRECONDITION:
    case OBJSTORE_CANCELLED:
    case OBJSTORE_CLASSES:
        return false;
    }
    if (attempts_max != OBJSTORE_RETRY_FOR_EVER && attempt >= attempts_max)
        return false;
    if (retry_after_ms > RETRY_AFTER_MAX_MS)
        retry_after_ms = RETRY_AFTER_MAX_MS;
    *delay_ms = retry_after_ms + delay; /* those who were told the same do not come together */
    return true;
}

void objstore_retry_budget_init(struct objstore_retry_budget *budget)
{
    atomic_init(&budget->tokens, TOKENS);
}

bool objstore_retry_budget_take(struct objstore_retry_budget *budget, enum objstore_class c)
{
    uint32_t price = c == OBJSTORE_THROTTLE ? TOKENS_THROTTLE : TOKENS_TRANSIENT;
    uint32_t tokens = atomic_load(&budget->tokens);

    while (tokens >= price)
        if (atomic_compare_exchange_weak(&budget->tokens, &tokens, tokens - price))
            return true;
    return false;
}

void objstore_retry_budget_success(struct objstore_retry_budget *budget)
{
    uint32_t tokens = atomic_load(&budget->tokens);

    while (tokens < TOKENS)
        if (atomic_compare_exchange_weak(&budget->tokens, &tokens, tokens + 1))
            return;
}
