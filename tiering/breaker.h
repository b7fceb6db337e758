/* breaker.h - one for the whole node: when the store does not answer, one request asks now and then
 * instead of all of them.
 *
 * Closed: everything goes. After `failures` answers in a row that say "not now" (transient,
 * throttle, capacity) it is open: nothing goes until a wait is over, then it is half open and one
 * real request goes as the probe. Any other answer, a refusal too, shows that the store is there
 * and closes it. The wait doubles with every failed probe, with full jitter, from base to max.
 *
 * Effects of the cores wait with the shell meanwhile; a core does not mind when it is answered.
 *
 * Threads    a value; one thread changes it.
 * Time       monotonic milliseconds, given. */
#ifndef TIERING_BREAKER_H
#define TIERING_BREAKER_H

#include "objstore/objstore.h"

enum { BREAKER_FAILURES = 5 };

enum breaker_state { BREAKER_CLOSED = 0, BREAKER_OPEN, BREAKER_HALF_OPEN };
const char *breaker_state_name(enum breaker_state s);

struct breaker {
    /* Set by breaker_init(). */
    uint64_t base_ms, max_ms;
    uint32_t failures_max;
    /* Read by anyone who may read the breaker. */
    enum breaker_state state;
    uint32_t failures;      /* in a row; while it is not closed, those that opened it, and probes */
    uint64_t opened_at_ms;  /* when it left closed */
    uint64_t next_probe_ms; /* while open */
    uint64_t opened_count;  /* how often it left closed */
    enum objstore_class why;
    /* Its own. */
    uint32_t probes_failed;
    uint64_t random;
};
/* failures_max 0: BREAKER_FAILURES. */
void breaker_init(struct breaker *b, uint32_t failures_max, uint64_t base_ms, uint64_t max_ms,
                  uint64_t seed);

enum breaker_answer { BREAKER_GO = 0, BREAKER_GO_AS_PROBE, BREAKER_WAIT };
/* Before a request is sent. BREAKER_WAIT: ask again in *wait_ms (UINT64_MAX: when the probe that is
 * under way has ended). */
enum breaker_answer breaker_ask(struct breaker *b, uint64_t now_ms, uint64_t *wait_ms);
/* After every request that was let through; probe: it went as one. retry_after_ms: the store's
 * wish. True: the state changed. */
bool breaker_told(struct breaker *b, enum objstore_class class, bool probe, uint64_t retry_after_ms,
                  uint64_t now_ms);
/* By command: closed, as if nothing had failed. */
void breaker_reset(struct breaker *b);

#endif
