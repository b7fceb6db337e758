/* retry.h - when a request may be made again: a pure function of what it came to. The store makes
 * one attempt; shipping, publishing and reading ask here and make the next.
 *
 * Delays have full jitter: uniform between nothing and a ceiling that doubles with each attempt.
 * What the store wished for (Retry-After) is waited for at least. Units: milliseconds. */
#ifndef OBJSTORE_RETRY_H
#define OBJSTORE_RETRY_H

#include "objstore/objstore.h"

enum { OBJSTORE_RETRY_FOR_EVER = UINT32_MAX };

struct objstore_retry_policy {
    uint64_t base_ms;          /* ceiling of the first delay: transient, conflict */
    uint64_t throttle_base_ms; /* of the first delay when throttled */
    uint64_t max_ms;           /* no ceiling grows beyond it */
    uint64_t capacity_ms;      /* a full store: about so long, whatever the attempt */
    /* How often in all, 1: never again. */
    uint32_t attempts_max;           /* transient, throttle, conflict */
    uint32_t capacity_attempts_max;  /* full */
    uint32_t permanent_attempts_max; /* what a person has to mend may mend itself; then a letter */
    uint32_t integrity_attempts_max; /* by another connection it may be right */
};

/* Reads that a query waits for, and requests a person waits for: 50 ms doubling to 5 s (a throttled
 * one from 1 s), four attempts, a full store not at all. */
struct objstore_retry_policy objstore_retry_foreground(void);
/* Shipping and publishing, from [storage.retry]: base_backoff_secs, max_backoff_secs, max_retries.
 * Transient answers, throttling and a full store for ever, permanent ones max_retries times. */
struct objstore_retry_policy objstore_retry_background(uint64_t base_ms, uint64_t max_ms,
                                                       uint32_t max_retries);

/* Whether a request that came to `c` on its attempt number `attempt` (1: the first) is made again,
 * and in how long. random: 64 bits of the caller's. */
NODISCARD
bool objstore_retry_next(const struct objstore_retry_policy *policy, enum objstore_class c,
                         uint32_t attempt, uint64_t retry_after_ms, uint64_t random,
                         uint64_t *delay_ms);

/* Retries of all foreground requests together (the study, 2.5): a bucket of 500 that a retry takes
 * 14 from (5 when throttled) and a success gives 1 back to, so that a store in trouble is not made
 * to bear more. One an endpoint; any thread. */
struct objstore_retry_budget {
    _Atomic uint32_t tokens;
};
void objstore_retry_budget_init(struct objstore_retry_budget *budget);
NODISCARD
bool objstore_retry_budget_take(struct objstore_retry_budget *budget, enum objstore_class c);
void objstore_retry_budget_success(struct objstore_retry_budget *budget);

#endif
