/* cold_internal.h - struct cold, and what the files of cold.h share. */
#ifndef NODE_COLD_INTERNAL_H
#define NODE_COLD_INTERNAL_H

#include "node/cold.h"

struct tombstones;
struct cold_spool;

/* A set that another took the place of: as long as somebody holds it the head keeps what is above
 * its floor. */
struct cold_past {
    struct cold_past *next; /* who works on it has it */
    struct collection *c;   /* pinned until it is free */
    uint64_t floor;
    _Atomic bool free;
};

struct cold {
    struct lock apply; /* LOCK_RANK_COLD_APPLY */
    struct tombstones *tombstones;
    struct cache_account account;

    struct {                  /* guarded by lock */
        struct lock lock;     /* LOCK_RANK_COLD */
        struct cold_set *now; /* NULL: not open */
        uint64_t floor;       /* of `now` */
        char reason[256];     /* why there is none */
    } set;

    /* Records up to it may have been applied without tombstones: a fold lies behind it. */
    _Atomic uint64_t barrier_lsn;
    _Atomic bool fold_wanted; /* whatever the thresholds say */
    _Atomic bool open_wanted; /* the root may name another manifest */
    _Atomic bool undecided;   /* since the start no try to open it came to an end */
    _Atomic bool repair;      /* rows were given up and are dead still */
    _Atomic uint32_t doubled; /* rows of the head that the set has, too: not given up yet; about */
    _Atomic bool checkpoint;  /* one is to be written all the same: of rows the log has not */
    _Atomic bool leaving;     /* it is to be RAM's: no writes any more */
    _Atomic bool left;        /* another takes its place */
    uint64_t loaded_floor;    /* the loader's: of the manifest's cold segments */
    struct cold_spool *spool; /* the loader's: records behind the floor, for the new log */

    _Atomic uint64_t revision; /* of the manifest whose set this is */
    _Atomic bool foreign;      /* the root named another node when it was last read */
    _Atomic bool worked_on;    /* cold_work_try() */

    /* Who works on it has these; before that, who loads. */
    struct cold_past *past;
    uint64_t given_up_lsn; /* the head has everything above it */
    uint64_t committed;    /* the largest floor that a root was seen to name */
    uint64_t trimmed;      /* the log, up to this */
    uint64_t settle_next_ms;
    bool merge_due; /* dead rows of the segments say so */
    bool went_back; /* the bucket's floor is behind ours */
    uint64_t open_next_ms;
    uint64_t follow_due_ms;  /* while another node owns it */
    uint64_t follow_next_ms; /* where an object was missing */
    uint32_t open_failures;
};

/* Of the set, about: before what the head overrides. 0: none, or it is not open. */
uint64_t cold_rows_now(struct collection *c);
NODISCARD
status cold_create(struct collection *c, struct err *err);
void cold_destroy(struct collection *c); /* nobody holds a set; after a failed _create too */
/* `set` is what is read from now on; it is c's then. Who works on it, or before any reader. */
NODISCARD
status cold_swap(struct collection *c, struct cold_set *set, uint64_t floor, struct err *err);
bool cold_set_is(struct collection *c, const struct cold_set *set); /* that is the one now */
/* A set of no segments over a floor of 0: what there is, is the head. */
NODISCARD
status cold_begin(struct collection *c, struct err *err);

/* cold_start.c */
/* Before a log is replayed: the floor that is known here, which the head lies above. 0: a
 * checkpoint, if there is one, counts. */
uint64_t cold_start(struct collection *c);
/* A try is to come, which reads may wait for. */
void cold_await(struct collection *c);
/* The first try is over, one way or the other, or there will be none. */
void cold_decided(struct collection *c);
/* What the floor of a manifest says of cold rows; NULL: there is none. */
uint64_t cold_floor_of(const struct manifest *m);
struct cold_open_terms {
    uint64_t deadline_ns;
    const _Atomic bool *stop;
};
struct cold_open_terms cold_open_patiently(const struct collection *c);
NODISCARD
status cold_open_set(struct collection *c, const struct manifest *m, struct err *err);
/* What the root names, if that is another manifest; who works on it. */
NODISCARD
status cold_open_now(struct collection *c, const struct cold_open_terms *terms, struct err *err);
void cold_open_failed(struct collection *c, const struct err *err); /* it is tried again later */
void cold_open_turn(struct collection *c);                          /* cold_follow.c */
/* The bucket names less than it did: rows between are nowhere. */
NODISCARD
status cold_check_floor(struct collection *c, uint64_t floor, struct err *err);

/* cold_head.c: what the head gives up */
void cold_count_head(struct collection *c,
                     uint64_t log_bytes); /* it was loaded: for the next fold */
void cold_give_up_turn(struct collection *c);
void cold_count_doubled(struct collection *c); /* who works on it; there is another floor */
NODISCARD
status cold_settle_log(struct collection *c, struct err *err);
uint64_t cold_head_rows(struct collection *c);
/* fold_source, of what lies above one lsn and at or below another. */
struct cold_source {
    struct collection *c;
    uint64_t above; /* what is at or below is in a segment already, and not given up yet */
    uint64_t lsn;
};
status cold_each_row(void *source, status (*fn)(void *, const struct fold_row *, struct err *),
                     void *fn_arg, struct err *err);
status cold_each_tombstone(void *source,
                           status (*fn)(void *, const struct docid *, uint64_t, struct err *),
                           void *fn_arg, struct err *err);

/* cold_spool.c; the load thread's. Between _begin and _append, which may be repeated. */
#define COLD_SCRATCH "fold" /* in the data directory; removed at every start */
NODISCARD
status cold_spool_begin(struct collection *c, uint64_t floor, struct err *err);
/* Nothing without _begin. */
NODISCARD
status cold_spool_put(struct collection *c, uint64_t lsn, struct slice payload, struct err *err);
/* Into the log, which is open and empty behind the floor; lsns up to last_lsn. */
NODISCARD
status cold_spool_append(struct collection *c, uint64_t last_lsn, struct err *err);
void cold_spool_drop(struct collection *c);
bool cold_spool_floor(const struct collection *c, uint64_t *floor); /* false: there is none */

/* tombstones.c */
NODISCARD
status tombstones_create(struct mem_budget *budget, struct tombstones **out, struct err *err);
void tombstones_destroy(struct tombstones *t); /* accepts NULL */
uint64_t tombstones_bytes(struct collection *c);
void tombstones_give_up(struct collection *c, uint64_t lsn); /* those at or below */
/* Every one at or below lsn, without a lock held; ids that come meanwhile may be left out. fn's
 * status but ST_OK ends it. */
typedef status tombstone_fn(void *arg, const struct docid *id, uint64_t lsn, struct err *err);
NODISCARD
status tombstones_each(struct collection *c, uint64_t lsn, tombstone_fn *fn, void *arg,
                       struct err *err);

#endif
