/* cold_set.h - the cold segments of one manifest, opened: queries, documents by id, rows in id
 * order, scans. docs/s3only.md.
 *
 * A set knows nothing of the head: what overrides a cold row is asked through `newer`, at any time
 * while the set is held. All that is handed over has passed it.
 *
 * Threads    any, beside each other; calls block on the network (cold threads, never workers).
 * Ownership  counted: cold_set_hold / _drop. Results live in the caller's arena.
 * Memory     footers and dead rows, pinned in the cache; short codes in the cache where they fit;
 *            one wave a call.
 * Failure    as tiering/cache.h. A query whose deadline comes, or some of whose ranges fail, has
 *            partial = true and what it could find; nothing at all: the status. */
#ifndef TIERING_COLD_SET_H
#define TIERING_COLD_SET_H

#include "base/arena.h"
#include "filter/filter.h"
#include "segment/manifest.h"
#include "tiering/cache.h"

struct cold_set;
struct cold_set_options {
    struct cache *cache;
    struct cache_account *account;
    uint8_t collection[16];
    const struct manifest *manifest; /* borrowed for the call; its cold segments are opened */
    const struct cold_set *before; /* NULL, or the set this one follows: what both have is shared */
    uint64_t deadline_ns;
    const _Atomic bool *stop;
};
/* One wave: all footers and dead rows. */
NODISCARD
status cold_set_open(const struct cold_set_options *options, struct cold_set **out,
                     struct err *err);
struct cold_set *cold_set_hold(struct cold_set *s);
void cold_set_drop(struct cold_set *s); /* accepts NULL */
/* on_free runs when the last holder is gone (on its thread; must not wait). One a set; by somebody
 * who holds it. */
void cold_set_when_free(struct cold_set *s, void (*on_free)(void *arg), void *arg);
/* An object of it was asked for and is not in the bucket: the root may name others by now. */
bool cold_set_missing(const struct cold_set *s);
uint64_t cold_set_floor(const struct cold_set *s);    /* lsn: S of docs/s3only.md */
uint64_t cold_set_rows(const struct cold_set *s);     /* not dead, before `newer` */
bool cold_set_external_ids(const struct cold_set *s); /* some row may have one */
uint32_t cold_set_segments(const struct cold_set *s);
uint64_t cold_set_resident_bytes(const struct cold_set *s);

struct cold_terms {
    /* Whether something newer than (id, lsn) is known: the row is left out. NULL: never. Any
     * thread; must not wait. */
    bool (*newer)(void *arg, const struct docid *id, uint64_t lsn);
    void *newer_arg;
    uint64_t deadline_ns; /* monotonic; 0: none */
    const _Atomic bool *stop;
    /* What the calls of one request may ask together; one thread's. A query sets it by its caps, or
     * stays within it where one set it before; rows of the answer are then read in as few GETs as
     * are left. NULL: each call by itself. */
    struct cache_budget *budget;
};
static inline struct cache_budget cold_no_budget(void)
{
    return (struct cache_budget){UINT32_MAX, UINT64_MAX};
}

/* --- queries --- */
struct cold_query {
    uint16_t field;      /* id of the vector field */
    const float *vector; /* normalised for cosine */
    uint32_t limit;      /* candidates wanted: offset + limit */
    uint32_t spare;      /* so many of them are not wanted, but told if they are there: what is read
                          * does not grow by them. Below limit */
    uint32_t rest;       /* rows of the answer that are read afterwards: GETs are kept for them */
    bool exact;
    float recall;                /* 0: the default caps; above 0.95 more may be read */
    const struct filter *filter; /* bound; NULL or all: none */
};
struct cold_hit {
    struct docid id; /* bytes in the arena */
    uint64_t lsn;
    float key;                           /* codes.h: smaller is nearer */
    uint32_t segment, ordinal, position; /* for cold_set_rows_at() */
};
struct cold_stats { /* of one call */
    uint32_t gets, waves;
    uint64_t bytes, cache_hits, cache_misses, rows_scanned, cells;
    bool codes_resident;
    uint64_t filter_rows;
};
/* *hits: at most limit, nearest first, one an id. */
NODISCARD
status cold_set_query(struct cold_set *s, const struct cold_query *query,
                      const struct cold_terms *terms, struct arena *arena, struct cold_hit **hits,
                      uint32_t *count, bool *partial, struct cold_stats *stats, struct err *err);

/* --- documents --- */
struct cold_row {
    bool found;
    struct docid id;
    uint64_t lsn, inserted_at_ns;
    struct slice external_id, payload; /* arena */
    const float **vectors; /* by position in the collection's list; NULL: not there, not asked */
    uint32_t segment, ordinal;
    bool placed; /* its vector of `field` (id) is at `position`: where a query has found it */
    uint16_t field;
    uint32_t position;
};
/* what; vectors by the mask. Payload comes with inserted_at and the external id. This alone costs
 * nothing of a segment whose footer says that no row has one. */
enum { COLD_PAYLOAD = 1, COLD_EXTERNAL_ID = 2 };
/* Rows by id: two waves, and a third where vectors of fields but the first are asked for. Absent
 * ones have found = false. */
NODISCARD
status cold_set_get(struct cold_set *s, const struct docid *ids, size_t count, unsigned what,
                    uint64_t vectors, const struct cold_terms *terms, struct arena *arena,
                    struct cold_row *out, struct cold_stats *stats, struct err *err);
/* The rest of rows whose segment and ordinal are known (rows[i].segment, .ordinal; id and lsn are
 * filled already): one wave, or two as above; one where the only vectors asked for are of the
 * first field and of the one that rows say a position of. found = false: something newer came
 * meanwhile. */
NODISCARD
status cold_set_rows_at(struct cold_set *s, struct cold_row *rows, size_t count, unsigned what,
                        uint64_t vectors, const struct cold_terms *terms, struct arena *arena,
                        struct cold_stats *stats, struct err *err);
/* Which of the ids are here and not dead: lsn[i], 0: not. What the resolver asks. One wave. */
NODISCARD
status cold_set_find(struct cold_set *s, const struct docid *ids, size_t count,
                     const struct cold_terms *terms, uint64_t *lsns, struct err *err);
/* Up to max rows in id order behind `after` (NULL: from the first): ids, lsns, segment, ordinal. */
NODISCARD
status cold_set_page(struct cold_set *s, const struct docid *after, uint32_t max,
                     const struct cold_terms *terms, struct arena *arena, struct cold_row *out,
                     uint32_t *count, struct err *err);
/* Every row, in segments' order, streaming, past the cache; those that the filter lets through
 * (bound; NULL: all). Of what = 0 without vectors nothing but id, lsn, segment and ordinal is told.
 * row and what it points to are valid during fn; fn's status but ST_OK ends it. */
typedef status cold_row_fn(void *arg, const struct cold_row *row, struct err *err);
NODISCARD
status cold_set_each(struct cold_set *s, const struct filter *filter, unsigned what,
                     uint64_t vectors, const struct cold_terms *terms, cold_row_fn *fn, void *arg,
                     struct cold_stats *stats, struct err *err);

/* --- rows that match --- */
/* Which rows of the set a filter lets through, where payload indexes say so of every segment, or
 * what was asked before does: NULL where they do not. Who is newer is not asked. */
struct cold_matches;
NODISCARD
status cold_set_matches(struct cold_set *s, const struct filter *filter,
                        const struct cold_terms *terms, struct cold_stats *stats,
                        struct cold_matches **out, struct err *err);
void cold_matches_drop(struct cold_matches *m); /* accepts NULL */
uint64_t cold_matches_count(const struct cold_matches *m);
bool cold_matches_has(const struct cold_matches *m, uint32_t segment, uint32_t ordinal);

/* --- the cache by hand --- */
NODISCARD
status cold_set_warm(struct cold_set *s, const struct cold_terms *terms, uint64_t *bytes,
                     struct err *err);        /* codes, then rows, as far as they fit */
uint64_t cold_set_unload(struct cold_set *s); /* what is not pinned */

#endif
