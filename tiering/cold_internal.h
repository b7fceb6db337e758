/* cold_internal.h - what the files of a cold set share: its segments, what is asked of the cache
 * for them, and which rows count.
 *
 * cold_set.c opens and holds; cold_docs.c, cold_page.c and cold_scan.c read documents;
 * cold_select.c asks filters; cold_query.c answers queries. */
#ifndef TIERING_COLD_INTERNAL_H
#define TIERING_COLD_INTERNAL_H

#include "base/lock.h"
#include "index/cells.h"
#include "segment/cold.h"
#include "segment/objkey.h"
#include "tiering/cold_set.h"

struct cold_selection;

/* A segment, opened: shared by the sets that have it. */
struct cold_segment {
    _Atomic uint32_t refs;
    struct cache *cache;
    struct manifest_cold named;
    char key[OBJKEY_BYTES];
    struct cache_block *block; /* the footer's bytes, pinned */
    struct cold_footer footer;
    struct cells cells[COLD_FIELDS_MAX];  /* by position in the footer */
    int16_t position_of[COLD_FIELDS_MAX]; /* of a field of the collection, by its position there */
    int16_t place_of[COLD_FIELDS_MAX];    /* the other way */
    uint64_t charged;
    struct lock lock;              /* LOCK_RANK_LEAF: selections */
    struct cold_selection *newest; /* what filters let through, a few of them */
};
/* Dead rows of a segment as one manifest has them: shared too. */
struct cold_graves {
    _Atomic uint32_t refs;
    struct object_ref object; /* zero: none are dead, and bits is NULL */
    struct cold_dead dead;
    uint64_t charged;
    struct cache *cache;
};
struct cold_member {
    struct cold_segment *segment;
    struct cold_graves *graves;
};
struct cold_set {
    _Atomic uint32_t refs;
    struct cache *cache;
    struct cache_account *account;
    uint8_t collection[16];
    uint64_t floor_lsn, rows;
    _Atomic bool missing;
    struct lock lock; /* LOCK_RANK_LEAF: who is told when it is free */
    void (*on_free)(void *arg);
    void *on_free_arg;
    uint16_t field_count;
    uint16_t fields[COLD_FIELDS_MAX]; /* ids, in the collection's order */
    uint32_t count;
    struct cold_member members[]; /* as the manifest has them */
};
static inline bool cold_member_dead(const struct cold_member *m, uint32_t ordinal)
{
    return m->graves->dead.bits != NULL && cold_dead_has(&m->graves->dead, ordinal);
}
static inline bool cold_newer_than(const struct cold_terms *t, const struct docid *id, uint64_t lsn)
{
    return t->newer != NULL && t->newer(t->newer_arg, id, lsn);
}
/* Position of a vector field in a segment, or -1. */
int cold_segment_field(const struct cold_segment *s, uint16_t field);

/* --- what is asked of the cache --- */
enum cold_kind {
    COLD_RECORDS,
    COLD_CODES,
    COLD_VECTORS,
    COLD_PAYLOAD_BLOCK,
    COLD_ID_BLOCK,
    COLD_INDEX_BLOCK, /* of payload indexes */
};
/* Checked as it comes: records and vectors of positions [first, first + count), short codes of
 * coarse cell `first`, payload, id or index block `first`. Stays where it is until the read is
 * over. */
struct cold_span {
    const struct cold_segment *segment;
    enum cold_kind kind;
    uint16_t position; /* of the field, in the footer */
    uint32_t first, count;
};
/* class: of the kind; scan: CACHE_SCAN instead. want->joined is left to the caller. */
void cold_want(const struct cold_span *span, bool scan, struct cache_want *want);
/* What lies between two wants of one object, where reading over it is cheaper than another GET:
 * nobody looks at it and nothing is kept. False: they adjoin, or are too far apart. */
enum { COLD_GAP_BYTES = 16 * 1024 };
bool cold_want_gap(const struct cache_want *before, const struct cache_want *next,
                   struct cache_want *gap);
void cold_want_between(const struct cache_want *before, const struct cache_want *next,
                       struct cache_want *gap); /* however far apart */
/* Records are kept in blocks of a fine cell (a large one: of so many rows), so that the ranges of
 * different queries have them in common. Splits [first, first + count) of a field, widened to whole
 * blocks, into spans in order; all but the first adjoin the one before. spans NULL: how many there
 * are. */
enum { COLD_BLOCK_ROWS_MAX = 128 };
size_t cold_cell_spans(const struct cold_segment *s, uint16_t position, uint32_t first,
                       uint32_t count, struct cold_span *spans);
/* What is there already: cache_borrow() with the set's account; hits are counted in stats. */
void cold_borrow(struct cold_set *s, const struct cold_terms *terms, struct cache_want *wants,
                 size_t count, struct cold_stats *stats);
/* cache_read() with the set's account; counts a wave, GETs, bytes, hits and misses in stats (NULL:
 * not). */
NODISCARD
status cold_read(struct cold_set *s, const struct cold_terms *terms, struct cache_want *wants,
                 size_t count, struct cold_stats *stats, struct err *err);

/* The same for a query's rows: in the foreground, also where they pass by the cache. */
NODISCARD
status cold_read_wave(struct cold_set *s, const struct cold_terms *terms, struct cache_want *wants,
                      size_t count, struct cold_stats *stats, struct err *err);

/* The bytes of an id, in the arena; false: no memory. */
bool cold_copy_id(struct arena *arena, struct docid *id);

/* --- ids --- */
struct cold_where { /* the newest row of an id that is neither dead nor overridden */
    bool found;
    uint32_t member, ordinal;
    uint64_t lsn;
};
NODISCARD
status cold_find(struct cold_set *s, const struct docid *ids, size_t count,
                 const struct cold_terms *terms, struct cold_where *where, struct cold_stats *stats,
                 struct err *err);

/* Ids of rows that stand in no record, by segment and ordinal: one wave, of payload blocks (the
 * rest of the answer asks for them anyway), or of places[i], blocks of the id index, where payload
 * is large. rows[i].found: it is named. *read: what came of reading. */
NODISCARD
status cold_name_rows(struct cold_set *s, struct cold_row *rows, const uint32_t *places,
                      size_t count, const struct cold_terms *terms, struct arena *arena,
                      struct cold_stats *stats, status *read, struct err *err);

/* --- filters --- */
/* Which rows of a segment a filter lets through, by ordinal; dead ones may be among them. */
struct cold_selection {
    struct cold_selection *older;
    _Atomic uint32_t refs;
    struct cache *cache;
    uint64_t key[2]; /* of the filter */
    uint32_t rows, matched;
    bool whole; /* else the deadline came: rows behind `asked` are not known */
    bool exact; /* else rows of bits are to be asked themselves, but those of `sure` */
    uint32_t asked;
    uint64_t *sure; /* behind bits; NULL: exact */
    uint64_t bits[];
};
/* What is known without payloads: by what is remembered, or the segment's payload indexes. *out
 * NULL: nothing. Exact or not. */
NODISCARD
status cold_narrow(struct cold_set *s, uint32_t member, const struct filter *filter,
                   const struct cold_terms *terms, struct cold_stats *stats,
                   struct cold_selection **out, struct err *err);
/* Reads the payloads of rows of which that is not known, past the cache. ST_OK with whole = false
 * where the deadline or a failure came after a part was done. */
NODISCARD
status cold_select(struct cold_set *s, uint32_t member, const struct filter *filter,
                   const struct cold_terms *terms, struct cold_stats *stats,
                   struct cold_selection **out, struct err *err);
void cold_selection_drop(struct cold_selection *s); /* accepts NULL */
static inline bool cold_selection_has(const struct cold_selection *s, uint32_t ordinal)
{
    return (s->bits[ordinal / 64] >> ordinal % 64 & 1) != 0;
}
/* What a filter is asked of a row of the segment. */
bool cold_filter_row(const struct cold_segment *s, const struct filter *filter,
                     const struct cold_payload_row *row);

#endif
