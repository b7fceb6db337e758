/* faults.h - a store around a store in which things go wrong as they do: for tests and trials.
 *
 * A fault names which requests it meets (operation, key, the nth from now, how many) and what
 * happens to them. Faults add up; the first that is due decides, every one counts what it sees.
 * Beside them a latency profile delays every request as a store on the same switch, or in the
 * region, would (the study, 2.1). All of it is switched while requests run.
 *
 * Threads    any. done() runs on the inner store's thread, or on `objfault-0` for what was refused
 *            or delayed.
 * Ownership  texts of a fault are copied.
 * Limits     OBJSTORE_FAULTS_MAX faults at a time. */
#ifndef OBJSTORE_FAULTS_H
#define OBJSTORE_FAULTS_H

#include "base/rand.h"
#include "objstore/objstore.h"

enum { OBJSTORE_FAULTS_MAX = 64 };
#define OBJSTORE_FAULT_HOLD     UINT64_MAX /* delay_ms: until objstore_faults_release() */
#define OBJSTORE_FAULT_FOR_EVER UINT32_MAX /* times */

enum objstore_fault_kind {
    OBJSTORE_FAULT_REFUSE = 0, /* answered with `class`; the store never hears of it */
    OBJSTORE_FAULT_LOSE,       /* takes effect; the answer is lost */
    OBJSTORE_FAULT_LATE,       /* answered as lost at once; takes effect delay_ms later */
    OBJSTORE_FAULT_TWICE,      /* answered truthfully; takes effect again delay_ms later */
    OBJSTORE_FAULT_DELAY,      /* waits delay_ms, then goes its way */
    OBJSTORE_FAULT_CORRUPT,    /* GET: OK with one bit flipped */
    OBJSTORE_FAULT_TRUNCATE,   /* GET: OK with the last byte or more missing */
};

struct objstore_fault {
    enum objstore_fault_kind kind;
    unsigned ops;           /* 1u << OBJSTORE_PUT | ...; 0: every one */
    const char *key_prefix; /* NULL: any; of a listing its prefix */
    const char *key_part;   /* NULL: any; anywhere in the key */
    uint32_t nth;           /* 0 and 1: from the next such request on */
    uint32_t times;         /* 0: once */
    /* What a refused or lost request came to; OBJSTORE_OK: TRANSIENT without an HTTP status. */
    enum objstore_class class;
    int http_status;
    const char *s3_code;
    uint64_t retry_after_ms;
    uint64_t delay_ms;
};

/* Takes inner on ST_OK and closes it with itself. seed: of latencies and of what is corrupted. */
NODISCARD
status objstore_faults_open(struct objstore *inner, uint64_t seed, struct objstore **out,
                            struct err *err);

/* The ones everybody needs, of every operation and for ever. */
struct objstore_fault objstore_fault_outage(void);                      /* connection refused */
struct objstore_fault objstore_fault_denied(void);                      /* 403 AccessDenied */
struct objstore_fault objstore_fault_bucket_gone(void);                 /* 404 NoSuchBucket */
struct objstore_fault objstore_fault_full(void);                        /* 507 */
struct objstore_fault objstore_fault_throttle(uint64_t retry_after_ms); /* 503 SlowDown */

/* id: for the calls below; may be NULL. ST_LIMIT, ST_NOMEM. */
NODISCARD
status objstore_faults_add(struct objstore *s, const struct objstore_fault *fault, unsigned *id,
                           struct err *err);
void objstore_faults_remove(struct objstore *s, unsigned id);
void objstore_faults_clear(struct objstore *s);
/* How many requests the fault has met. */
uint64_t objstore_faults_met(struct objstore *s, unsigned id);

/* What is held goes on: requests as well as late and second effects. Returns how many. */
size_t objstore_faults_release(struct objstore *s);
size_t objstore_faults_held(struct objstore *s);
/* Late and second effects that have taken place. What is still to come when the store is closed
 * never does. */
uint64_t objstore_faults_late_effects(struct objstore *s);

enum objstore_profile { OBJSTORE_PROFILE_NONE = 0, OBJSTORE_PROFILE_LAN, OBJSTORE_PROFILE_S3 };
void objstore_faults_profile(struct objstore *s, enum objstore_profile profile);
/* Pure: what a request takes in this profile; bytes of its body either way; u uniform in [0, 1). */
uint64_t objstore_profile_ns(enum objstore_profile profile, enum objstore_op op, bool not_modified,
                             uint64_t bytes, double u);

#endif
