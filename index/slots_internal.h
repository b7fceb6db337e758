/* slots_internal.h - what the files of the slot table share.
 *
 *   slots_rows.c   where rows lie: pieces that never move, and the blob of a row
 *   slots_pool.c   which slots are free; retiring, and reuse after the readers are gone
 *   slots_idmap.c  id -> live slot, chained through the rows
 *   slots_order.c  the order of ids: a sorted array and a sorted tail
 *   slots_news.c   what an order lacks: rows published since
 *   slots_page.c   live slots in that order
 *   slots_since.c  what was published since a moment
 *   slots_load.c   loading a checkpoint
 *   slots_check.c  invariants
 *   slots.c        the life of a row, over all of these
 *
 * Rows lie in pieces: 64 rows, 64, 128, 256, ... up to 32,768, which together are the first 65,536
 * slots, then SLOTS_PER_CHUNK each. So ten rows cost one small piece, no row ever moves, and a slot
 * finds its piece with one shift. Pieces of MAPPED_ROWS_MIN rows and more come from the kernel and
 * are not resident until touched; smaller ones from the heap, because a process has only some
 * 65,000 mappings and a node 10,000 collections. The budget is charged as slots are handed out. */
#ifndef INDEX_SLOTS_INTERNAL_H
#define INDEX_SLOTS_INTERNAL_H

#include "index/slots.h"

#include <assert.h>
#include <stdatomic.h>

#include "base/lock.h"

enum {
    FIRST_PIECE_ROWS = 64,
    FIRST_PIECE_BITS = 6,
    CHUNK_BITS = 16,
    SMALL_PIECES = 1 + CHUNK_BITS - FIRST_PIECE_BITS, /* of the first chunk */
    MAPPED_ROWS_MIN = 8192,
    CHUNKS_MAX = (int)((SLOTS_MAX + (uint64_t)SLOTS_PER_CHUNK - 1) / SLOTS_PER_CHUNK),
    CHARGE_ROWS = 64, /* the step in which rows are charged against the budget */
    BLOCK_BITS = 12,  /* publishes are stamped per block of 4,096 slots */
    BLOCKS_PER_CHUNK = SLOTS_PER_CHUNK >> BLOCK_BITS,
    TEXT_PREFIX_BYTES = 14,
};
static_assert(1 << CHUNK_BITS == SLOTS_PER_CHUNK, "a chunk is 64 Ki slots");
static_assert(FIRST_PIECE_ROWS == 1 << FIRST_PIECE_BITS, "the first piece");

/* Links and bucket heads hold slot + 1, so that zeroed memory is an end. */
#define LINK_END 0u

struct row_store {
    union {
        uint64_t u64;
        uint8_t uuid[16];
        struct { /* DOCID_BYTES: the whole id is in the blob */
            uint16_t bytes;
            uint8_t prefix[TEXT_PREFIX_BYTES];
        } text;
    } id;
    uint64_t lsn : 56; /* at most SLOTS_LSN_MAX */
    uint64_t kind : 8; /* enum docid_kind of id; here, a find touches no line more */
    uint64_t inserted_at_ns;
    uint8_t *blob; /* owned; NULL when all that would be in it is empty */
    /* The next row in the id map's bucket. Written by the applier, read by any reader; kept when
     * the row is unlinked, for those who stand on it. */
    _Atomic uint32_t chain;
    uint32_t sequence; /* low bits of the count of publishes that made it live */
};
static_assert(sizeof(struct row_store) == 48, "five words and two links a row");

struct piece {
    size_t bytes;
    struct row_store *rows;
    _Atomic uint32_t *heads; /* bucket i of the id map is at slot i */
    uint32_t *links;         /* free and retired lists; guarded by the pool's lock */
    _Atomic uint8_t *states; /* enum slot_state */
    /* The publish that last touched each block; written by the applier. */
    _Atomic uint64_t stamps[BLOCKS_PER_CHUNK];
};
struct order_entry {
    uint32_t slot;
    uint32_t sequence;
};

/* Charged with a row: its place in the order of ids too, so that a full memory can be listed. */
enum { ROW_BYTES = sizeof(struct row_store) + 4 + 4 + 1 + sizeof(struct order_entry) };

struct chunk_table { /* behind the first chunk; entry 0 stays empty */
    _Atomic(struct piece *) pieces[CHUNKS_MAX];
};

struct list { /* of slots, through piece.links */
    uint32_t first;
    uint32_t last;
    uint32_t count;
};

/* The free slots and those on their way there. Its own allocation, because the epoch may hold
 * `retired` beyond slots_destroy(). */
struct pool {
    struct epoch_retired retired; /* of `waiting` */
    struct {                      /* guarded by lock */
        struct lock lock;         /* LOCK_RANK_ROWS */
        struct cond idle;         /* reclaiming became false */
        struct slots *owner;      /* NULL after slots_destroy() */
        struct list free;
        struct list gathered;  /* retired, not yet handed to the epoch */
        struct list waiting;   /* with the epoch: readers may see them */
        struct list reusable;  /* the readers are gone */
        uint32_t pauses;       /* while > 0 `reusable` stays as it is */
        uint32_t charged_rows; /* a multiple of CHARGE_ROWS; what the budget was charged for */
        bool with_epoch;       /* `retired` is the epoch's now */
        bool reclaiming;
    } shared;
};

struct order;

struct slots {
    /* Set by slots_create(), never changed after it. */
    struct epoch *epoch;       /* borrowed */
    struct mem_budget *budget; /* borrowed */
    struct pool *pool;         /* owned */
    uint64_t hash_seed;

    /* Written under the pool's lock (release), read by anyone (acquire). */
    _Atomic(struct piece *) small[SMALL_PIECES];
    _Atomic(struct chunk_table *) chunks; /* NULL up to SLOTS_PER_CHUNK rows */
    _Atomic uint32_t end;

    /* Written by the applier, read by anyone. */
    _Atomic uint32_t buckets;     /* of the id map; grows only, never beyond `end` */
    _Atomic uint32_t settling;    /* slot being published: live, but the map may not name it yet */
    _Atomic uint32_t settled_old; /* slot being replaced or erased: live, but perhaps not named */
    _Atomic uint64_t publishes;
    _Atomic uint64_t replaced_count; /* slots_replacements(), the applier's to raise */
    _Atomic uint64_t replaced[SLOTS_REPLACED_KEPT]; /* old << 32 | new */
    _Atomic uint64_t deaths;
    _Atomic uint32_t live;
    _Atomic uint32_t dead;    /* risen by the applier, lowered by who retires */
    uint32_t walked_max;      /* most rows one publish or erase ever looked at; the applier's */
    _Atomic uint64_t charged; /* bytes reserved from the budget */

    _Atomic(struct order *) order; /* read inside a guard; written under order_lock */
    struct lock order_lock;        /* LOCK_RANK_ORDER: one page call at a time rebuilds */

    bool load_begun; /* while loading: slots below load_end are slots_load()'s alone */
    uint32_t load_end;
};

/* Which piece a slot lies in, and where there. */
struct place {
    struct piece *piece;
    uint32_t at;
};
static inline uint32_t small_index(uint32_t slot)
{
    return slot < FIRST_PIECE_ROWS ? 0 : 32 - FIRST_PIECE_BITS - (uint32_t)__builtin_clz(slot);
}
static inline uint32_t small_base(uint32_t index)
{
    return index == 0 ? 0 : (uint32_t)FIRST_PIECE_ROWS << (index - 1);
}
static inline uint32_t small_rows(uint32_t index)
{
    return index == 0 ? FIRST_PIECE_ROWS : (uint32_t)FIRST_PIECE_ROWS << (index - 1);
}
static inline struct place place_of(const struct slots *s, uint32_t slot)
{
    if (slot < SLOTS_PER_CHUNK) {
        uint32_t index = small_index(slot);

        return (struct place){atomic_load_explicit(&s->small[index], memory_order_acquire),
                              slot - small_base(index)};
    }
    struct chunk_table *chunks = atomic_load_explicit(&s->chunks, memory_order_acquire);

    return (struct place){
        atomic_load_explicit(&chunks->pieces[slot >> CHUNK_BITS], memory_order_acquire),
        slot & (SLOTS_PER_CHUNK - 1)};
}
static inline struct row_store *row_at(const struct slots *s, uint32_t slot)
{
    struct place p = place_of(s, slot);

    return &p.piece->rows[p.at];
}
static inline _Atomic uint8_t *state_at(const struct slots *s, uint32_t slot)
{
    struct place p = place_of(s, slot);

    return &p.piece->states[p.at];
}
/* Pairs with state_store(): who reads a state sees the row as it was when the state was set. */
static inline enum slot_state state_load(const struct slots *s, uint32_t slot)
{
    return (enum slot_state)atomic_load_explicit(state_at(s, slot), memory_order_acquire);
}
static inline void state_store(struct slots *s, uint32_t slot, enum slot_state state)
{
    atomic_store_explicit(state_at(s, slot), (uint8_t)state, memory_order_release);
}

/* The end of the stretch that shares a stamp with `slot`: a block, or a piece smaller than that. */
static inline uint32_t block_end(uint32_t slot)
{
    uint32_t index = small_index(slot);

    if (slot >= UINT32_C(1) << BLOCK_BITS)
        return (slot | ((UINT32_C(1) << BLOCK_BITS) - 1)) + 1;
    return small_base(index) + small_rows(index);
}

/* As slots_publish(), for who has looked already which slot its id names, or that it names none. */
void slots_publish_over(struct slots *s, uint32_t slot, uint64_t lsn, uint32_t old);

/* --- slots_rows.c --- */

/* Memory and budget for every slot below end. The pool's lock is held. ST_NOSPACE, ST_NOMEM. */
NODISCARD
status rows_extend_locked(struct slots *s, uint32_t end, struct err *err);
void rows_free(struct slots *s);
/* Reserves from the budget and counts it in s->charged; gives it back. */
NODISCARD
status rows_charge(struct slots *s, uint64_t bytes, struct err *err);
void rows_refund(struct slots *s, uint64_t bytes);
/* The id of a row that may be read; bytes borrow from its blob. */
struct docid row_docid(const struct row_store *row);
bool row_has_id(const struct row_store *row, const struct docid *id);
/* Fills everything of a row but chain, lsn and sequence. ST_NOSPACE, ST_NOMEM, ST_INVALID. */
NODISCARD
status row_fill(struct slots *s, struct row_store *row, const struct row *from, struct err *err);
/* external_id and payload of a row; id_bytes of a DOCID_BYTES id lie in front of them. */
void row_contents(const struct row_store *row, struct slice *external_id, struct slice *payload);
/* What the budget was charged for the row's blob. */
uint64_t row_blob_bytes(const struct row_store *row);

/* --- slots_pool.c --- */

NODISCARD
status pool_create(struct slots *owner, struct pool **out, struct err *err);
/* Waits for a reclaim that runs; what waits for readers is the caller's to free. */
void pool_disown(struct pool *p);
/* Puts a slot that nobody ever saw back, or one that a load left out. */
void pool_give_back_locked(struct slots *s, uint32_t slot);
static inline uint32_t *link_at(const struct slots *s, uint32_t slot)
{
    struct place p = place_of(s, slot);

    return &p.piece->links[p.at];
}

/* --- slots_idmap.c --- */

uint32_t idmap_find(const struct slots *s, const struct docid *id);
/* Fetches what a put of this slot looks at first; nothing if it has no row. */
void idmap_prefetch(const struct slots *s, uint32_t slot);
/* Makes the map name `slot` under its id; returns the slot it named before, or SLOT_NONE. The
 * applier's. Cannot fail: the room is in the rows. */
uint32_t idmap_put(struct slots *s, uint32_t slot);
/* Takes the id out; returns the slot it named, or SLOT_NONE. */
uint32_t idmap_remove(struct slots *s, const struct docid *id);
/* Every chain in order and in its bucket; *count is how many rows are in chains. */
NODISCARD
status idmap_check(const struct slots *s, uint32_t *count, struct err *err);

/* --- slots_order.c --- */

/* A slot and the publish that made it live. They name one row for as long as the order is younger
 * than 2^31 publishes, which order_refresh() sees to: a slot that was reused since differs. */
struct order_run { /* sorted by id; immutable once published */
    struct epoch_retired retired;
    size_t capacity;
    uint32_t count;
    struct order_entry entries[];
};
struct order {
    struct epoch_retired retired;
    uint64_t publishes;      /* every row live at this publish is in it */
    uint64_t main_publishes; /* when main was built */
    uint64_t main_deaths;
    struct order_run *main; /* NULL: empty */
    struct order_run *tail; /* likewise */
};

/* Walks a run. `id` is that of the entry it stands on; bytes borrow from the row or from `text`. */
struct order_cursor {
    const struct order_run *run; /* not NULL */
    uint32_t at;
    struct docid id;
    uint8_t text[DOCID_BYTES_MAX];
};
/* run may be NULL, for an empty one. */
void cursor_init(struct order_cursor *c, const struct order_run *run);
/* Stands on the first entry from `at` on whose row has not been freed since. */
void cursor_seek(struct order_cursor *c, const struct slots *s, uint32_t at);
static inline bool cursor_done(const struct order_cursor *c)
{
    return c->at >= c->run->count;
}

/* Inside a guard: the order with everything in it that is live now. It lives as long as the guard.
 * ST_NOMEM. */
NODISCARD
status order_refresh(struct slots *s, const struct order **out, struct err *err);
void order_free(struct slots *s); /* no reader inside */
/* Room for `capacity` entries; what it takes was charged with the rows. Freed with mem_free(). */
NODISCARD
status run_create(size_t capacity, struct order_run **out, struct err *err);
/* There is room. One that equals the last is left out. */
void run_add(struct order_run *run, const struct order_entry *e);

/* --- slots_news.c --- */

/* Inside a guard: rows published after *since up to *until, which it sets; since NULL: all. They
 * are live, or their ids name a newer one: every id which has a row all the time is in the run, or
 * is listed up to *since. One pass. NULL: no rows. ST_NOMEM. */
NODISCARD
status news_run(struct slots *s, const uint64_t *since, uint64_t *until, struct order_run **out,
                struct err *err);

#endif
