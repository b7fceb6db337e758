/* pindex.h - payload indexes of one collection: for each indexed path, which slots have which
 * values.
 *
 * An index never changes which rows match a condition; it finds them faster. Keywords, booleans and
 * uuids are compressed bitmaps (Roaring, Chambi et al. 2016, arXiv 1402.6407) per value; integers,
 * floats and datetimes are kept in order; geo points by cell; text by word. Slots are rows of
 * index/slots.h, but this folder only knows them as numbers.
 *
 * A slot is *pending* from before its row goes live until the indexer has put its values into every
 * index: pindex_lookup() says which slots the indexes know nothing of, and the caller asks those
 * rows themselves. So an answer is exact from the first write on, and publishing costs one bit.
 * Before a slot may be used again its values are taken out (pindex_forget(), while the row can
 * still be read). Dead rows may be in the answer: liveness is asked of slots.
 *
 * Threads    pindex_publish: the applier, never waits. pindex_step, _forget, _add, _remove: any
 *            thread, one at a time by a lock inside. Lookups: any, at the same time.
 * Memory     against the budget; without room an index stops being used (state PINDEX_FULL), never
 *            wrong. */
#ifndef FILTER_PINDEX_H
#define FILTER_PINDEX_H

#include "base/mem.h"
#include "filter/filter.h"

struct pindex_set;

enum pindex_type {
    PINDEX_KEYWORD = 1,
    PINDEX_INTEGER,
    PINDEX_FLOAT,
    PINDEX_BOOL,
    PINDEX_GEO,
    PINDEX_DATETIME,
    PINDEX_UUID,
    PINDEX_TEXT
};
const char *pindex_type_name(enum pindex_type t); /* "keyword", ... */
NODISCARD
bool pindex_type_parse(struct slice text, enum pindex_type *out);

enum pindex_state { PINDEX_BUILDING, PINDEX_READY, PINDEX_FULL };
enum { PINDEX_COUNT_MAX = 256 };

/* How rows are read: called inside the caller's epoch guard. */
enum pindex_row { PINDEX_ROW_NONE, PINDEX_ROW_LIVE, PINDEX_ROW_DEAD };
struct pindex_rows {
    uint32_t (*end)(void *arg); /* every slot is below */
    /* NONE: free, or filled and not live yet. */
    enum pindex_row (*state)(void *arg, uint32_t slot);
    struct slice (*payload)(void *arg, uint32_t slot); /* of a live or dead row */
    void *arg;
};
NODISCARD
status pindex_create(const struct pindex_rows *rows, struct mem_budget *budget,
                     struct pindex_set **out, struct err *err);
void pindex_destroy(struct pindex_set *set); /* accepts NULL */

struct pindex_spec {
    const struct path *path; /* copied */
    enum pindex_type type;
    struct filter_words words; /* PINDEX_TEXT */
};
/* Begins an index; it is built by pindex_step(). One that is there with the same spec stays (if it
 * is FULL it begins anew); with another it is replaced. ST_LIMIT: too many; ST_NOMEM. */
NODISCARD
status pindex_add(struct pindex_set *set, const struct pindex_spec *spec, struct err *err);
bool pindex_remove(struct pindex_set *set, const struct path *path); /* false: there was none */

/* Room for slots below slot_end, before they are published. */
NODISCARD
status pindex_reserve(struct pindex_set *set, uint32_t slot_end, struct err *err);
void pindex_publish(struct pindex_set *set, uint32_t slot);
/* Inside a guard: works on up to max pending or unbuilt rows. left 0: all indexes know all rows.
 * What is pending and not live yet is left for another time, and what finds no memory. */
struct pindex_progress {
    uint32_t done, left;
};
struct pindex_progress pindex_step(struct pindex_set *set, uint32_t max);
bool pindex_any(const struct pindex_set *set);      /* there are indexes, in whatever state */
bool pindex_building(const struct pindex_set *set); /* one of them is being built */
/* Begins FULL indexes again for which there is room now, as far as their last try tells; after each
 * that fails twice as much is asked for. True: it began one. */
bool pindex_retry(struct pindex_set *set);
uint32_t pindex_pending(const struct pindex_set *set);
/* Dead rows whose slots will be used again; their payloads are still there. */
void pindex_forget(struct pindex_set *set, const uint32_t *slots, uint32_t count);

struct pindex_info {
    struct slice path; /* valid until the index is removed */
    enum pindex_type type;
    enum pindex_state state;
    uint64_t points; /* rows with a value, dead ones that were not forgotten among them */
    uint64_t bytes;
};
size_t pindex_list(const struct pindex_set *set, struct pindex_info *out, size_t max);
/* Whether there is one of this spec, in whatever state. */
bool pindex_has(const struct pindex_set *set, const struct pindex_spec *spec);
/* Of the index on that path, which out->path then is; false: there is none. */
bool pindex_info_of(const struct pindex_set *set, const struct path *path, struct pindex_info *out);
/* How many of these slots are among its points; 0 without such an index. */
uint32_t pindex_points_among(const struct pindex_set *set, const struct path *path,
                             const uint32_t *slots, uint32_t count);
bool pindex_words_of(const struct pindex_set *set, const struct path *path,
                     struct filter_words *out);

/* What the indexes know of a filter. bits: a superset of the matching slots among those that are
 * not pending (exact: precisely those); slots at or above bit_count are not set. sure: those of
 * them that match for sure, and need not be asked; NULL: none; exact: the same as bits. Memory of
 * the arena. used false: no index helps, bits is NULL. */
struct pindex_answer {
    bool used, exact;
    uint64_t *bits;
    const uint64_t *sure;
    uint32_t bit_count; /* a multiple of 64 */
    uint64_t count;     /* bits set */
    uint32_t indexes;   /* how many were asked */
};
NODISCARD
status pindex_lookup(const struct pindex_set *set, const struct filter *f, struct arena *arena,
                     struct pindex_answer *out, struct err *err);
/* The same; goes_on() is asked at each condition, each of which may take long where rows are many.
 * ST_TIMEOUT: it said no. */
NODISCARD
status pindex_lookup_while(const struct pindex_set *set, const struct filter *f,
                           struct arena *arena, bool (*goes_on)(void *arg), void *arg,
                           struct pindex_answer *out, struct err *err);
/* Slots that are pending now, below bit_count, ORed into bits. Ask before pindex_lookup(): what is
 * indexed in between is then in both. */
void pindex_pending_bits(const struct pindex_set *set, uint64_t *bits, uint32_t bit_count);
/* About how many rows match: low, likely, high; of `rows` live ones. Without an index that helps
 * low is 0 and high is rows. */
struct pindex_estimate {
    uint64_t low, likely, high;
    bool known; /* an index was asked */
};
void pindex_estimate(const struct pindex_set *set, const struct filter *f, uint64_t rows,
                     struct pindex_estimate *out);
/* Slots by rising (or falling) value of a READY integer, float or datetime index, for order_by:
 * one call per distinct value of a row, until fn returns false; slots of one value in no order. fn
 * runs without a lock: rows that come in meanwhile may be told or not. from: NULL or where to
 * begin, inclusive; of times as I64. ST_NOT_FOUND: no such index; ST_NOMEM. */
struct pindex_order_value {
    enum jbin_type type; /* U64, I64, F64; I64 of a datetime: ticks of filter/datetime.h */
    uint64_t u64;
    int64_t i64;
    double f64;
};
typedef bool pindex_order_fn(void *arg, uint32_t slot, const struct pindex_order_value *v);
NODISCARD
status pindex_ordered(const struct pindex_set *set, const struct path *path, bool falling,
                      const struct filter_value *from, pindex_order_fn *fn, void *arg,
                      struct err *err);
/* Distinct values of a READY keyword, bool, uuid or integer index, each with how many of the set
 * bits of `among` have it (NULL: all, dead ones too); floats are none. fn runs under the indexes'
 * lock and asks them nothing. ST_NOT_FOUND: no such index, or some of these rows have values that
 * it does not tell apart. */
typedef bool pindex_facet_fn(void *arg, const struct filter_value *value, uint64_t count);
NODISCARD
status pindex_facet(const struct pindex_set *set, const struct path *path, const uint64_t *among,
                    uint32_t bit_count, pindex_facet_fn *fn, void *arg, struct err *err);

#endif
