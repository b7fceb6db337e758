/* replay.h - records of a log put into slots and vindexes, by the rule of
 * docs/formats/checkpoint.md: a row is skipped if its id is live with this lsn or a later one, a
 * delete if its id is live with a later one. That rule is here alone; a start and a restore from
 * the bucket both use it.
 *
 * Threads    one, before any reader.
 * Ownership  everything is borrowed but the buffer for vectors.
 * Failure    ST_CORRUPT: a record that cannot be; ST_NOSPACE, ST_NOMEM: no room, also after
 *            make_room(). What was put stays. */
#ifndef SNAPSHOT_REPLAY_H
#define SNAPSHOT_REPLAY_H

#include "segment/record.h"
#include "snapshot/checkpoint.h"

struct replay {
    /* The caller's, before replay_init(). */
    struct slots *slots;
    struct epoch *epoch;
    const struct checkpoint_field *fields;
    size_t field_count;
    /* Memory is full: frees what it can; false when there was nothing. NULL for none. */
    bool (*make_room)(void *arg);
    /* This slot was replaced or deleted just now. NULL for none. */
    void (*on_dead)(void *arg, uint32_t slot);
    /* This id was deleted by the record of this lsn, whether or not it had a row; not of one that
     * is live with a later lsn. NULL for none. */
    status (*on_delete)(void *arg, uint64_t lsn, const struct docid *id, struct err *err);
    /* Instead of replay_row(), which it may call. NULL for none. */
    status (*put_row)(void *arg, uint64_t lsn, uint64_t inserted_at_ns,
                      const struct record_row *row, struct err *err);
    void *arg;

    /* Its own. */
    float *vectors;     /* of one row, field after field */
    uint64_t first_lsn; /* of records seen; 0: none */
    uint64_t last_lsn;
    uint64_t records;
    uint64_t rows; /* published */
};
NODISCARD
status replay_init(struct replay *r, struct err *err);
void replay_fini(struct replay *r); /* fine on a zeroed one */

/* 0: not there; lsns begin at 1. */
uint64_t replay_live_lsn(const struct replay *r, const struct docid *id);
NODISCARD
status replay_row(struct replay *r, uint64_t lsn, uint64_t inserted_at_ns,
                  const struct record_row *row, struct err *err);
/* A whole record. Settings are not applied: the catalog holds them. `replay` is a struct replay. */
NODISCARD
status replay_record(void *replay, uint64_t lsn, struct slice payload, struct err *err);

/* The row's vectors into r->vectors, field after field; has[i]: field i has one. ST_CORRUPT:
 * it has one of a field that is not there. */
NODISCARD
status replay_vectors(struct replay *r, const struct record_row *row, bool has[RECORD_FIELDS_MAX],
                      struct err *err);
/* Memory of every field for the slot, and then what replay_vectors() found. */
NODISCARD
status replay_reserve(const struct replay *r, uint32_t slot, struct err *err);
void replay_fill(const struct replay *r, uint32_t slot, const bool has[RECORD_FIELDS_MAX]);

#endif
