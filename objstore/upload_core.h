/* upload_core.h - the decisions of an upload (upload.h), without a request, a clock or a byte: what
 * to send next, and what an answer means. Pure.
 *
 * An object that fits one part is one PUT. A larger one is begun, its parts go side by side, and a
 * completion puts them together. What an answer leaves open is looked up: where the upload is gone,
 * or the name is taken, the object that is there is read and compared with the one to be stored.
 * An upload that cannot be completed is aborted, and begun anew as often as restarts_max says. */
#ifndef OBJSTORE_UPLOAD_CORE_H
#define OBJSTORE_UPLOAD_CORE_H

#include "objstore/retry.h"

enum {
    UPLOAD_PART_BYTES = 16 * 1024 * 1024,
    UPLOAD_SLOTS_MAX = 16,
    UPLOAD_ABORTS_MAX = 4, /* attempts */
};

enum upload_step {
    UPLOAD_PUT = 0, /* all of it in one request */
    UPLOAD_BEGIN,
    UPLOAD_PARTS,
    UPLOAD_COMPLETE,
    UPLOAD_HEAD,    /* what is there? */
    UPLOAD_COMPARE, /* are its bytes ours? */
    UPLOAD_DRAIN,   /* until the parts under way have ended */
    UPLOAD_ABORT,
    UPLOAD_DONE,
};

struct upload_slot { /* one request at a time */
    enum { UPLOAD_SLOT_IDLE = 0, UPLOAD_SLOT_DUE, UPLOAD_SLOT_SENT } state;
    uint32_t part; /* index */
    uint64_t at_ms;
    bool fresh;
    uint32_t tries[OBJSTORE_CLASSES];
};

struct upload_core {
    /* Set by upload_core_init(). */
    uint64_t bytes;
    uint32_t part_bytes, part_count, slot_count, restarts_max;
    enum objstore_condition condition;
    struct objstore_retry_policy policy;
    struct objstore_part *parts; /* borrowed, part_count of them */
    /* How it stands. */
    enum upload_step step;
    enum upload_step drained; /* DRAIN: what was under way */
    struct upload_slot slots[UPLOAD_SLOTS_MAX];
    uint32_t parts_begun, parts_done;
    uint32_t restarts;
    bool live; /* upload_id names an upload that has to be completed or aborted */
    char upload_id[OBJSTORE_UPLOAD_BYTES];
    bool begins_again; /* behind an abort */
    uint64_t begins_ms;
    uint64_t compared; /* bytes found equal */
    char seen_etag[OBJSTORE_ETAG_BYTES];
    /* How it ended. */
    enum objstore_class class;
    bool maybe_applied; /* the object may be there all the same, or come to be */
    bool found;         /* it is there, and none of the answers said that we stored it */
    bool left_behind;   /* parts stay in the store: neither completed nor aborted */
    char etag[OBJSTORE_ETAG_BYTES];
};

/* How large each part is, so that they are not too many; 0: the object is too large. */
uint32_t upload_part_bytes(uint64_t bytes, uint32_t wanted);
/* part_bytes as upload_part_bytes() has it. IF_MATCH and IF_ABSENT as of a PUT. */
void upload_core_init(struct upload_core *u, uint64_t bytes, uint32_t part_bytes,
                      uint32_t slot_count, enum objstore_condition condition,
                      const struct objstore_retry_policy *policy, uint32_t restarts_max,
                      struct objstore_part *parts);

struct upload_want {
    enum objstore_op op;
    uint32_t slot;
    uint32_t part_number;   /* UPLOAD_PART */
    uint64_t offset, bytes; /* PUT, UPLOAD_PART, GET: of the object */
    bool fresh;
};
/* True: send it (the slot is taken until its answer). False: *wake_ms says when to ask again,
 * UINT64_MAX: behind an answer; or the step is UPLOAD_DONE. */
NODISCARD
bool upload_core_next(struct upload_core *u, uint64_t now_ms, struct upload_want *want,
                      uint64_t *wake_ms);

struct upload_answer {
    const struct objstore_result *result;
    bool equal; /* GET: its bytes are those of the object to be stored */
};
/* True: this answer is why the upload has failed; its text is the one to show. */
bool upload_core_answer(struct upload_core *u, uint32_t slot, const struct upload_answer *answer,
                        uint64_t now_ms, uint64_t random);
/* Ends early: what is under way is waited for (and should be cancelled), then aborted. */
void upload_core_stop(struct upload_core *u, enum objstore_class c);

#endif
