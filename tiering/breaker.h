/* breaker.h - one circuit breaker for the store of a node: whether a background request may go out.
 *
 * Pure: times come in, decisions go out. Closed: all may. After BREAKER_FAILURES answers in a row
 * that say the store as a whole is in trouble (transient, throttle, capacity) it opens; then one
 * request at a time goes out as a probe, after a backoff with full jitter that doubles up to the
 * maximum; its success closes the breaker. Answers about one object (permanent, decided) count as a
 * store that answers.
 *
 * Threads    a value; the ship thread's. */
#ifndef TIERING_BREAKER_H
#define TIERING_BREAKER_H

#include "objstore/objstore.h"

enum breaker_state {
    BREAKER_CLOSED = 0,
    BREAKER_HALF_OPEN = 1,
    BREAKER_OPEN = 2
};                                                    /* metric values */
const char *breaker_state_name(enum breaker_state s); /* "closed", "half_open", "open" */
enum { BREAKER_FAILURES = 3 };
struct breaker {
    enum breaker_state state;
    uint32_t failures; /* in a row */
    uint32_t opened;   /* times in a row: the exponent of the backoff */
    uint64_t probe_at_ms;
    bool probing;
    uint64_t base_ms, max_ms;
    uint64_t seed;
};
void breaker_init(struct breaker *b, uint64_t base_ms, uint64_t max_ms, uint64_t seed);
/* Whether a request may go out now; true while open means it is the probe. */
bool breaker_admit(struct breaker *b, uint64_t now_ms);
/* What came of an admitted request; CANCELLED gives the probe back. */
void breaker_answer(struct breaker *b, enum objstore_class class, uint64_t retry_after_ms,
                    uint64_t now_ms);
uint64_t breaker_next_ms(const struct breaker *b); /* when to ask again; 0: now */
void breaker_reset(struct breaker *b);

#endif
