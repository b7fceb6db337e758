/* dlq.h - dead letters: what could not be uploaded and will not get better by itself, kept until a
 * person decides. A letter is a pointer and a reason; the bytes are pinned in the local log, or lie
 * in the letter's own file (divergent tails).
 *
 * The table is in RAM and in LMDB (docs/formats/dlq.md); a letter that is listed is on disk or
 * about to be: `persist` is handed every change in order, and the caller's one writing thread
 * applies it.
 *
 * Threads    any; a lock inside. persist is called without it, in the order of changes.
 * Ownership  letters are values, copied in and out.
 * Limits     no letter is ever dropped for room: their number is bounded by backpressure, as each
 *            stands for log that waits.
 * Failure    a damaged entry is reported by dlq_open() and kept aside, the others are served. */
#ifndef DLQ_DLQ_H
#define DLQ_DLQ_H

#include "base/clock.h"
#include "base/kv.h"

enum letter_kind { /* on disk, never renumbered */
                   LETTER_WAL_GROUP = 1,
                   LETTER_SEGMENT = 2,
                   LETTER_MANIFEST_COMMIT = 3,
                   LETTER_DIVERGENT_TAIL = 4,
                   LETTER_RESTORE_FETCH = 5,
                   LETTER_GC_DELETE = 6
};
enum letter_state { LETTER_PARKED = 1, LETTER_RETRYING = 2 };
const char *letter_kind_name(enum letter_kind k); /* "wal_group", ... */
bool letter_kind_parse(const char *name, enum letter_kind *out);
const char *letter_state_name(enum letter_state s);

enum {
    LETTER_KEY_BYTES = 192,
    LETTER_TEXT_BYTES = 512,
    LETTER_NAME_BYTES = 64,
    LETTER_ID_BYTES = 24
};
struct letter {
    uint64_t id; /* given by dlq_put(); rises; shown as decimal text */
    enum letter_kind kind;
    enum letter_state state;
    uint8_t collection[16];
    uint64_t epoch, seq;
    uint64_t lsn_first, lsn_last;
    uint64_t bytes;              /* of log it stands for */
    char key[LETTER_KEY_BYTES];  /* of the object, relative to the prefix */
    char file[LETTER_KEY_BYTES]; /* of its own copy, relative to the data directory; "": the log */
    char class[LETTER_NAME_BYTES];
    char s3_code[LETTER_NAME_BYTES];
    char request_id[LETTER_NAME_BYTES];
    int http_status;
    char message[LETTER_TEXT_BYTES];
    uint32_t attempts;
    uint64_t first_failed_ns, last_failed_ns; /* wall */
    bool blocking;                            /* later groups wait for it */
};

struct dlq;
/* Takes the writes in order; they borrow until it returns. Must not fail: it keeps what it cannot
 * apply yet. */
typedef void dlq_persist_fn(void *arg, const struct kv_write *writes, size_t count);
struct dlq_options {
    struct kv *kv; /* read at open only */
    dlq_persist_fn *persist;
    void *persist_arg;
};
/* *damaged: entries that could not be read; they stay in LMDB, and health should say so. */
NODISCARD
status dlq_open(const struct dlq_options *options, struct dlq **out, size_t *damaged,
                struct err *err);
void dlq_close(struct dlq *dlq);
/* A letter of the same collection, kind and lsn range is updated (its id, first failure stay), else
 * one is made. *id: its id. */
NODISCARD
status dlq_put(struct dlq *dlq, const struct letter *letter, uint64_t *id, struct err *err);
NODISCARD
status dlq_get(struct dlq *dlq, uint64_t id, struct letter *out, struct err *err);
/* ST_NOT_FOUND. */
NODISCARD
status dlq_set_state(struct dlq *dlq, uint64_t id, enum letter_state state, struct err *err);
NODISCARD
status dlq_remove(struct dlq *dlq, uint64_t id, struct err *err);
/* Letters of kind wal_group whose lsn_last <= lsn are removed: what they stood for is stored. */
void dlq_remove_shipped(struct dlq *dlq, const uint8_t collection[16], uint64_t lsn);
void dlq_remove_collection(struct dlq *dlq, const uint8_t collection[16]);
struct dlq_filter {
    const uint8_t *collection; /* NULL: all */
    int kind;                  /* 0: all */
    const char *class;         /* NULL: all */
};
/* Up to max letters by rising id, behind `after` (0: from the first); returns how many. *total: of
 * all that pass the filter. */
size_t dlq_list(struct dlq *dlq, const struct dlq_filter *filter, uint64_t after,
                struct letter *out, size_t max, size_t *total);
struct dlq_counts {
    size_t letters, blocking, divergent;
    uint64_t bytes;
    uint64_t oldest_failed_ns;
};
void dlq_count(struct dlq *dlq, const uint8_t *collection, struct dlq_counts *out);

#endif
