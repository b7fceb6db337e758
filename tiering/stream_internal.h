/* stream_internal.h - what the files of the core share. Each part has an `_advance` that starts
 * whatever is due and nothing else, so that events only write down what happened. */
#ifndef TIERING_STREAM_INTERNAL_H
#define TIERING_STREAM_INTERNAL_H

#include "tiering/stream.h"

#define STREAM_NEVER UINT64_MAX

enum op_purpose {
    OP_NONE = 0,
    OP_TAKE_READ,   /* whose is it? */
    OP_TAKE,        /* first CAS */
    OP_TAKE_AGAIN,  /* still ours, while groups of it are not found? */
    OP_CLOSE,       /* second CAS */
    OP_FENCE,       /* does it still show our epoch? */
    OP_FENCED_READ, /* is our old epoch closed? */
    OP_LOST_READ,   /* is it there again? */
    OP_CREATE,
    OP_REPLACE, /* the same, where a root of ours is in the way */
    OP_COMMIT,
    OP_MARK,
    OP_DROP_READ,
    OP_DROP,
};
enum take_step {
    TAKE_ROOT = 0, /* an op is under way */
    TAKE_LIST,
    TAKE_FIRST, /* group 1 of the epoch */
    TAKE_LAST,  /* the last group of its run */
    TAKE_TAIL,  /* the last group there is, where taking did not read it */
    TAKE_CHECK, /* against the local log */
};

/* stream.c: what all use */
struct stream_effect *stream_emit(struct stream_effects *out, enum stream_effect_kind kind);
uint64_t stream_token(struct stream *s);
void stream_wake(struct stream *s, uint64_t at_ms);
bool stream_hard(enum objstore_class class);
uint64_t stream_backoff_ms(struct stream *s, uint32_t failures, uint64_t retry_after_ms);
uint64_t stream_random_below(struct stream *s, uint64_t bound);
void stream_trouble(struct stream *s, const char *what, const struct stream_event *e);
void stream_set_phase(struct stream *s, struct stream_effects *out, enum stream_phase phase,
                      const char *format, ...) PRINTF_LIKE(4, 5);
bool stream_twin(const struct stream *s, enum stream_twin twin);
/* A new wait that is due now. */
void stream_wait_start(struct stream *s, struct stream_wait *w);
/* Whether it is to be sent now; else when it will be is noted. */
bool stream_wait_due(struct stream *s, const struct stream_wait *w);
void stream_wait_failed(struct stream *s, struct stream_wait *w, const char *what,
                        const struct stream_event *e);

/* stream_marks.c: when the records that are not shipped became durable */
void marks_log(struct stream *s, uint64_t lsn, uint64_t bytes);
void marks_shipped(struct stream *s);
/* Of the first record behind lsn; STREAM_NEVER: there is none. */
uint64_t marks_durable_at(const struct stream *s, uint64_t lsn);
/* Cumulative bytes of the last mark at or before lsn; `least` if there is none. */
uint64_t marks_bytes_at(const struct stream *s, uint64_t lsn, uint64_t least);

/* stream_root.c: the one request on the root that is under way */
bool op_idle(const struct stream *s);
void op_stop(struct stream *s);
void op_read(struct stream *s, enum op_purpose purpose, uint64_t at_ms);
/* op.next must be complete; it is given revision and nonce here. */
void op_write(struct stream *s, enum op_purpose purpose);
void op_advance(struct stream *s, struct stream_effects *out);
void op_on_read(struct stream *s, const struct stream_event *e, struct stream_effects *out);
void op_on_written(struct stream *s, const struct stream_event *e, struct stream_effects *out);

/* stream_owner.c */
void owner_take(struct stream *s, struct stream_effects *out);
bool owner_root_is_ours(const struct stream *s);
void owner_root_known(struct stream *s, struct stream_effects *out);
void owner_taken(struct stream *s, struct stream_effects *out, bool won);
void owner_closed(struct stream *s, struct stream_effects *out, bool won);
void owner_still_taking(struct stream *s, struct stream_effects *out);
void owner_root_lost(struct stream *s, struct stream_effects *out);
void owner_fenced(struct stream *s, struct stream_effects *out);
void owner_fenced_read(struct stream *s, struct stream_effects *out);
void owner_halt(struct stream *s, struct stream_effects *out, const char *format, ...)
    PRINTF_LIKE(3, 4);
/* Letters for what is durable behind lsn and not the collection's. */
void owner_raise_tail(struct stream *s, struct stream_effects *out, uint64_t lsn);
void owner_owned(struct stream *s, struct stream_effects *out, uint64_t lsn, uint64_t chain);
void take_advance(struct stream *s, struct stream_effects *out);
void take_on_listed(struct stream *s, const struct stream_event *e, struct stream_effects *out);
void take_on_group(struct stream *s, const struct stream_event *e, struct stream_effects *out);
void take_on_local(struct stream *s, const struct stream_event *e, struct stream_effects *out);
void take_begin(struct stream *s, struct stream_effects *out);
void take_finish(struct stream *s, struct stream_effects *out);

/* stream_ship.c */
void ship_advance(struct stream *s, struct stream_effects *out);
void ship_reset(struct stream *s, struct stream_effects *out);
void ship_on_encoded(struct stream *s, const struct stream_event *e, struct stream_effects *out);
void ship_on_put(struct stream *s, const struct stream_event *e, struct stream_effects *out);
void ship_on_compared(struct stream *s, const struct stream_event *e, struct stream_effects *out);
void ship_retry(struct stream *s);
void ship_discard(struct stream *s, const struct stream_event *e, struct stream_effects *out);

/* stream_remote.c: who waits for the bucket */
void remote_advance(struct stream *s, struct stream_effects *out);
void remote_fence_seen(struct stream *s, struct stream_effects *out);
void remote_moved(struct stream *s, struct stream_effects *out, uint64_t lsn, uint64_t chain);
void remote_wanted(struct stream *s, uint64_t lsn, struct stream_effects *out);
void remote_flush(struct stream *s, struct stream_effects *out);
void remote_refuse(struct stream *s, struct stream_effects *out);

/* stream_commit.c */
void commit_wanted(struct stream *s, const struct stream_event *e, struct stream_effects *out);
void commit_advance(struct stream *s, struct stream_effects *out);
void commit_done(struct stream *s, struct stream_effects *out, bool won);
/* Nobody will carry it out any more. */
void commit_refuse(struct stream *s, struct stream_effects *out, enum objstore_class class,
                   const char *text);
void mark_wanted(struct stream *s, const struct stream_event *e, struct stream_effects *out);
void mark_advance(struct stream *s, struct stream_effects *out);
void mark_done(struct stream *s, struct stream_effects *out, bool won);
void mark_refuse(struct stream *s, struct stream_effects *out, enum objstore_class class,
                 const char *text);
void create_start(struct stream *s, const struct stream_event *e, struct stream_effects *out);
void create_done(struct stream *s, struct stream_effects *out, bool won);
void create_refuse(struct stream *s, struct stream_effects *out, enum objstore_class class,
                   const char *text);
void drop_start(struct stream *s, const struct stream_event *e, struct stream_effects *out);
void drop_root_known(struct stream *s, struct stream_effects *out);
void drop_done(struct stream *s, struct stream_effects *out, bool won);

#endif
