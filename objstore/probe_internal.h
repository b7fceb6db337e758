/* probe_internal.h - what probe.c (the run, and how requests are sent until they are answered),
 * probe_steps.c (one writer) and probe_races.c (many at once) share. */
#ifndef OBJSTORE_PROBE_INTERNAL_H
#define OBJSTORE_PROBE_INTERNAL_H

#include "base/lock.h"
#include "objstore/probe.h"

enum {
    PROBE_SENDS_MAX = 6, /* of one request that is not answered */
    PROBE_TRIES_MAX = 6, /* of one step whose answers were lost */
    PROBE_BODY_BYTES = 48,
    /* In a race: SeaweedFS lets writers of one key wait for each other, some for ten seconds. */
    PROBE_RACE_MS = 30000,
};

struct probe_shot { /* one request, sent until it is answered */
    struct objstore_req req;
    struct probe *probe;
    char text[PROBE_BODY_BYTES]; /* its body, where that is a short text */
    bool lost;                   /* an answer to it was: it may have taken effect */
    bool open;                   /* not decided yet */
    bool ended;                  /* this attempt; guarded by the probe's lock */
};

struct probe {
    struct probe_options options;
    struct probe_report *report;
    char run[17];     /* of this run, random */
    uint32_t objects; /* numbered */
    unsigned sends_max;
    uint64_t timeout_ms; /* of what is sent now */
    bool lost;           /* in this step an answer to a write was lost */
    bool create_holds;
    struct err why;       /* of what ended a step without an answer */
    uint64_t first_ns;    /* the store's clock at its first answer */
    struct {              /* guarded by lock */
        struct lock lock; /* LOCK_RANK_LEAF */
        struct cond ended;
        uint32_t under_way;
    } shared;
    struct probe_shot shots[PROBE_RACERS];
};

/* "<prefix><run>/<number>", one nobody used; `tail` behind the number, "" or "/x". */
void probe_key(struct probe *p, const char *tail, char out[OBJSTORE_KEY_BYTES_MAX + 1]);
/* All at once; each is sent again until it is decided. ST_OK: all are, and p->lost says whether an
 * answer to a write was lost on the way. The results are the caller's to look at, and to free with
 * probe_free(). */
NODISCARD
status probe_send_all(struct probe *p, struct probe_shot *shots, size_t count);
/* One; req's result is the caller's to free. */
NODISCARD
status probe_send(struct probe *p, struct objstore_req *req);
void probe_free(struct probe_shot *shots, size_t count);
/* PUT of a short text; *class: what it came to; etag may be NULL. */
NODISCARD
status probe_put(struct probe *p, const char *key, const char *text, enum objstore_condition when,
                 const char *etag, enum objstore_class *class, char new_etag[OBJSTORE_ETAG_BYTES]);
/* GET; text "" where nothing is, cut where it is longer. Something else than expected is read
 * twice; where that differs p->lost is set. */
NODISCARD
status probe_get(struct probe *p, const char *key, const char *expected,
                 char text[PROBE_BODY_BYTES]);
/* Without a condition where none can be relied on. */
NODISCARD
status probe_make(struct probe *p, const char *key, const char *text,
                  char etag[OBJSTORE_ETAG_BYTES]);

/* Removes everything of this run; or what other runs left, where now_ns (the store's) is not 0. */
void probe_sweep(struct probe *p, uint64_t now_ns);

void probe_say(struct probe_fact *fact, enum probe_answer answer, const char *format, ...)
    PRINTF_LIKE(3, 4);
/* Of a conditional request: what is neither success nor 412 is a refusal to know conditions. */
bool probe_refuses(struct probe_fact *fact, enum objstore_class class, const struct err *err);

/* Steps: ST_OK with the fact said, or with p->lost: to be done again. */
typedef status probe_step(struct probe *p, struct probe_fact *fact);
probe_step probe_step_read, probe_step_overwrite, probe_step_create_twice, probe_step_match_right,
    probe_step_match_stale, probe_step_match_missing, probe_step_list, probe_step_list_order,
    probe_step_range, probe_step_not_modified, probe_step_checksum, probe_step_complete_twice;
/* One round each. */
probe_step probe_step_create_race, probe_step_match_race;

#endif
