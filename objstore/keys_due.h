/* keys_due.h - when a provider of keys is asked: a pure core, state and event to effect.
 *
 * Keys that end are renewed ahead: from 15 minutes before their end something is tried (advisory,
 * at a moment drawn from those 5 minutes, so that many nodes do not come together), from 10 minutes
 * before it is tried harder (mandatory). Of keys that live shortly the windows are a quarter and a
 * sixth of what is left of them. Old keys stay in use until new ones came or they ended. A provider
 * that fails is asked again after a pause that doubles; never twice at once.
 *
 * Times are of one clock that does not jump, in ns; KEYS_NEVER is the end of keys without one.
 *
 * Threads    none of it is shared: the caller's lock. */
#ifndef OBJSTORE_KEYS_DUE_H
#define OBJSTORE_KEYS_DUE_H

#include "base/status.h"

#define KEYS_NEVER UINT64_MAX

enum { /* seconds */
       KEYS_ADVISORY_S = 15 * 60,
       KEYS_MANDATORY_S = 10 * 60,
       KEYS_PAUSE_MIN_S = 1,
       KEYS_PAUSE_MAX_S = 60,  /* while the old ones are good for long */
       KEYS_URGENT_MAX_S = 15, /* mandatory, ended, or none at all */
       KEYS_LIFE_MAX_S = 36 * 60 * 60,
       KEYS_REFUSED_PAUSE_S = 1, /* between two refreshes that a store's refusals ask for */
};

enum keys_phase { KEYS_NONE = 0, KEYS_FRESH, KEYS_ADVISORY, KEYS_MANDATORY, KEYS_ENDED };

struct keys_due { /* a zeroed one has no keys and is asked at once */
    bool has;
    bool running; /* a provider is being asked */
    bool again;   /* and once more behind it: what it reads may have changed since */
    uint64_t end_ns;
    uint64_t advisory_ns, mandatory_ns; /* KEYS_NEVER: of keys that stay */
    uint64_t next_ns;                   /* when the provider is asked; KEYS_NEVER */
    uint64_t refused_ns;                /* no refusal asks before */
    uint32_t failures;                  /* in a row */
};

enum keys_event_kind {
    KEYS_TICK = 0,
    KEYS_RELOAD,  /* a person asks */
    KEYS_REFUSED, /* the store says that these keys have ended */
    KEYS_CAME,
    KEYS_FAILED,
};
struct keys_event {
    enum keys_event_kind kind;
    uint64_t now_ns;
    uint64_t life_ns; /* KEYS_CAME: what is left of them; KEYS_NEVER */
    uint64_t random;
};
struct keys_effect {
    bool ask;         /* the provider, now; ends in KEYS_CAME or KEYS_FAILED */
    bool refused;     /* KEYS_REFUSED: nothing will come of it */
    uint64_t wake_ns; /* a KEYS_TICK is due; KEYS_NEVER */
};
struct keys_effect keys_due_step(struct keys_due *d, const struct keys_event *event);
enum keys_phase keys_due_phase(const struct keys_due *d, uint64_t now_ns);

#endif
