/* probe.h - what a store really does, found out by trying: whether it keeps the conditions of
 * writes, also where many write at once, gives the ranges that were asked for, and lists what was
 * written. docs/protocol.md, "What a store must do", says why each is asked and what follows.
 *
 * Each question is a step on keys nobody used before. What was answered is a fact; an answer that
 * was lost is none: the step is done again on other keys, and where that goes on there is no
 * grade. So nothing a network or a busy store does makes a store look better or worse than it is.
 * Found wanting is only who said so: a condition that did not hold was answered with success, or
 * what a refused request brought stands there.
 *
 * Threads    objstore_probe() waits for the network; never on workers or a store's own thread.
 * Leaves     nothing, if it comes to its end; else objects under the prefix, which nobody reads and
 *            a later probe removes once they are an hour old by the store's own clock (one that
 * runs beside this one keeps its own). Cost       about 260 requests, as many PUTs as two races of
 * 32 and three rounds take. */
#ifndef OBJSTORE_PROBE_H
#define OBJSTORE_PROBE_H

#include "base/clock.h"
#include "base/rand.h"
#include "objstore/objstore.h"

enum {
    PROBE_RACERS = 32, /* one connection each: as many as the pools have together */
    PROBE_ROUNDS = 3,
    PROBE_TEXT_BYTES = 160,
    PROBE_PREFIX_BYTES_MAX = 320,
};

enum probe_fact_id {
    PROBE_READ = 0,       /* an object that was put is read back */
    PROBE_OVERWRITE,      /* and once it was put anew, the new one */
    PROBE_CREATE_TWICE,   /* If-None-Match: * succeeds once, then is 412 and changes nothing */
    PROBE_CREATE_RACE,    /* of many at once exactly one wins, and what stands there is its */
    PROBE_MATCH_RIGHT,    /* If-Match with the newest etag succeeds */
    PROBE_MATCH_STALE,    /* with an older one is 412 and changes nothing */
    PROBE_MATCH_MISSING,  /* where nothing is: 412 or 404, and nothing is made */
    PROBE_MATCH_RACE,     /* of many with the same etag exactly one wins */
    PROBE_LIST,           /* a listing has what was written, and not what was deleted, at once */
    PROBE_RANGE,          /* exactly the bytes asked for, the last ones too */
    PROBE_LIST_ORDER,     /* listings rise */
    PROBE_NOT_MODIFIED,   /* a GET of what is known already is 304 */
    PROBE_CHECKSUM,       /* x-amz-checksum-crc32c is compared */
    PROBE_COMPLETE_TWICE, /* the completion of an upload in parts keeps If-None-Match: * */
    PROBE_CLOCK,          /* within five minutes of ours */
    PROBE_FACTS,
};
enum probe_answer {
    PROBE_UNKNOWN = 0,
    PROBE_HOLDS,
    PROBE_BROKEN,  /* it said yes and did something else */
    PROBE_REFUSED, /* it said that it cannot */
};
struct probe_fact {
    enum probe_answer answer;
    char text[PROBE_TEXT_BYTES]; /* what was seen; "" where it holds and there is nothing to say */
};
const char *probe_fact_name(enum probe_fact_id id);      /* "create_twice": in JSON and tables */
const char *probe_fact_says(enum probe_fact_id id);      /* what it asks, for people */
const char *probe_answer_name(enum probe_answer answer); /* "holds", "broken", ... */
/* Whether the grade hangs on it; the others are worth knowing. */
bool probe_fact_counts(enum probe_fact_id id);

/* From best to worst; on disk in a node's memory of it, never renumbered. */
enum probe_grade {
    PROBE_GRADE_NONE = 0,  /* not known: something that counts was not answered */
    PROBE_GRADE_A = 1,     /* everything that counts */
    PROBE_GRADE_B = 2,     /* only create-if-absent */
    PROBE_GRADE_C = 3,     /* no condition can be relied on */
    PROBE_GRADE_UNFIT = 4, /* not even reading, listing or ranges can */
};
const char *probe_grade_name(enum probe_grade grade); /* "none", "A", "B", "C", "unfit" */

struct probe_report {
    enum probe_grade grade;
    struct probe_fact facts[PROBE_FACTS];
    char server[64];       /* as it calls itself; "" */
    int64_t clock_skew_ms; /* the store's clock minus ours */
    uint32_t requests;
    uint64_t took_ms;
};

/* Pure. */
enum probe_grade probe_grade(const struct probe_fact facts[PROBE_FACTS]);
/* One line for a person: what the store did, why that matters, what to do. */
enum { PROBE_VERDICT_BYTES = 480 };
void probe_verdict(const struct probe_report *report, char text[PROBE_VERDICT_BYTES]);

struct probe_options {
    struct objstore *store;
    struct clock *clock;
    struct rand_source *rand;
    const char *prefix;    /* of all its keys, with the '/' at its end: one a prober */
    const char *leftovers; /* under which old ones of any prober go, '/' at its end; NULL: prefix */
    const _Atomic bool *stop; /* NULL: nobody stops it; looked at between requests */
    uint64_t attempt_ms;      /* of one request; 0: 10,000 */
    uint32_t racers;          /* 0: PROBE_RACERS */
    uint32_t pause_ms;        /* before a request is sent again, doubling; 0: 100 */
};
/* ST_OK: *out has a grade. ST_UNAVAILABLE: the store did not answer, or answers were lost again and
 * again: no grade, try later. ST_DENIED: it does not let us write, read, list or delete under the
 * prefix, and err says what it said. ST_NOSPACE: it is full. ST_CLOSED: stopped. ST_INVALID: the
 * prefix. */
NODISCARD
status objstore_probe(const struct probe_options *options, struct probe_report *out,
                      struct err *err);

#endif
