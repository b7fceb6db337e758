/* pindex_internal.h - what the files of the payload indexes share.
 *
 *   pindex.c           the set: which indexes there are, building, forgetting
 *   pindex_pending.c   which slots the indexes do not know yet
 *   pindex_slots.c     a set of slots: two in place, a sorted array, a Roaring bitmap
 *   pindex_tree.c      (key, slot) in order, in leaves that split
 *   pindex_keyword.c   value -> set of slots: keywords, booleans, uuids, words
 *   pindex_row.c       the values of a row into an index and out of it
 *   pindex_parts.c     which of these parts answer a condition
 *   pindex_geo.c       areas as runs of cells
 *   pindex_lookup.c    a filter tree -> bits
 *   pindex_bits.c      plain bits, for that
 *   pindex_estimate.c  a filter tree -> numbers
 *   pindex_order.c     order_by and facets
 *   pindex_stored.c    indexes of which only a part was loaded
 *
 * The functions below change nothing but what they are given; what locks they need is pindex.c's to
 * know. Memory is charged before it is taken: `false` means there is none, and nothing changed. */
#ifndef FILTER_PINDEX_INTERNAL_H
#define FILTER_PINDEX_INTERNAL_H

#include "filter/pindex.h"

#include <assert.h>
#include <stdatomic.h>

#include "base/bits.h"
#include "base/lock.h"

enum {
    PINDEX_KEY_BYTES_MAX = 1024, /* longer texts are not told apart: the caller asks their rows */
    PINDEX_BATCH_ROWS = 32,      /* in one write lock */
};

/* What one index took from the budget. */
struct charge {
    struct mem_budget *budget;
    uint64_t bytes;
};
bool charge_take(struct charge *c, uint64_t bytes);
void charge_give(struct charge *c, uint64_t bytes);

/* --- pindex_pending.c --- */

/* Pieces of 64, 64, 128, 256, ... slots up to 2^31, which never move. */
enum { PENDING_PIECES = 27 };
struct pending_piece;
struct pending {
    _Atomic(struct pending_piece *) pieces[PENDING_PIECES];
    _Atomic uint64_t count; /* counted before a bit is set, uncounted after it is cleared */
    _Atomic uint32_t sweep; /* odd while summary bits are taken back */
};
/* Not at the same time as itself. */
bool pending_reserve(struct pending *p, uint32_t slot_end, struct charge *charge);
bool pending_reserved(const struct pending *p, uint32_t slot_end);
void pending_free(struct pending *p);
void pending_add(struct pending *p, uint32_t slot);
bool pending_has(const struct pending *p, uint32_t slot);
/* These two by one thread at a time, beside any number that set. */
void pending_drop(struct pending *p, uint32_t slot);
/* Up to max pending slots from `from` on. */
uint32_t pending_find(struct pending *p, uint32_t from, uint32_t *out, uint32_t max);
void pending_bits(const struct pending *p, uint64_t *bits, uint32_t bit_count);

/* --- pindex_slots.c --- */

struct slot_map;
struct slot_set {
    uint32_t count;
    uint32_t room; /* 0: in `few`; SLOT_SET_MAP: in `map`; else of `many` */
    union {
        uint32_t few[2];
        uint32_t *many; /* rising */
        struct slot_map *map;
    };
};
static_assert(sizeof(struct slot_set) == 16, "one of these a value");
/* *added: it was not there yet. */
bool slot_set_add(struct slot_set *s, uint32_t slot, bool *added, struct charge *charge);
bool slot_set_remove(struct slot_set *s, uint32_t slot, struct charge *charge); /* it was there */
/* Rising, and above all that are there. */
bool slot_set_append(struct slot_set *s, const uint32_t *slots, uint32_t count,
                     struct charge *charge);
bool slot_set_fill(struct slot_set *s, uint32_t end, struct charge *charge); /* empty before */
/* Of a stored index: how many there are is known, which is not. */
void slot_set_make_absent(struct slot_set *s, uint32_t count);
bool slot_set_is_absent(const struct slot_set *s);
bool slot_set_has(const struct slot_set *s, uint32_t slot);
void slot_set_free(struct slot_set *s, struct charge *charge);
/* bit_count is above every slot of the set. */
void slot_set_or(const struct slot_set *s, uint64_t *bits, uint32_t bit_count);
uint64_t slot_set_count_in(const struct slot_set *s, const uint64_t *bits, uint32_t bit_count);

/* --- pindex_tree.c --- */

struct tree_leaf;
struct tree_top {
    uint64_t key; /* of the first entry */
    uint32_t slot;
    uint32_t count;
    struct tree_leaf *leaf;
};
struct tree { /* entries are (key, slot), each once, in order of key, then of slot */
    struct tree_top *tops;
    uint32_t leaves, room;
    uint64_t count;
};
bool tree_insert(struct tree *t, uint64_t key, uint32_t slot, bool *added, struct charge *charge);
bool tree_remove(struct tree *t, uint64_t key, uint32_t slot, struct charge *charge);
/* Above all that is there; slots rising. */
bool tree_append(struct tree *t, uint64_t key, const uint32_t *slots, uint32_t count,
                 struct charge *charge);
void tree_free(struct tree *t, struct charge *charge);
/* Of keys from low to high, both included. */
uint64_t tree_count(const struct tree *t, uint64_t low, uint64_t high);
void tree_or(const struct tree *t, uint64_t low, uint64_t high, uint64_t *bits);
struct tree_at {
    uint32_t leaf, at;
};
struct tree_entry {
    uint64_t key;
    uint32_t slot;
};
/* The first entry that is not below (key, slot); the last that is not above. */
struct tree_at tree_seek(const struct tree *t, uint64_t key, uint32_t slot);
struct tree_at tree_seek_back(const struct tree *t, uint64_t key, uint32_t slot);
bool tree_get(const struct tree *t, struct tree_at at, struct tree_entry *out); /* false: the end */
void tree_next(const struct tree *t, struct tree_at *at);
void tree_prev(const struct tree *t, struct tree_at *at);

/* --- pindex_keyword.c --- */

struct value_entry {
    struct slot_set slots;
    uint32_t hash;
    uint32_t key_bytes;
    uint8_t key[];
};
struct value_map {
    struct value_entry **entries; /* open addressing, a power of two, linear probing */
    uint32_t room, count;
};
const struct slot_set *value_map_find(const struct value_map *m, struct slice key); /* or NULL */
bool value_map_add(struct value_map *m, struct slice key, uint32_t slot, bool *added,
                   struct charge *charge);
bool value_map_remove(struct value_map *m, struct slice key, uint32_t slot, struct charge *charge);
void value_map_free(struct value_map *m, struct charge *charge);
/* Keys: a text as it is; a boolean as one byte; a uuid in its usual spelling as 16 bytes, in
 * another as its text. */
struct value_key {
    struct slice bytes;
    uint8_t room[16];
};
/* Whether the index tells such values apart; then its key. */
bool value_key_of(enum pindex_type type, const struct filter_value *v, struct value_key *out);

/* --- one index --- */

enum { TREE_NEGATIVE, TREE_POSITIVE, TREE_FLOAT, TREE_COUNT }; /* times and cells: POSITIVE */

struct pindex {
    struct arena arena; /* of path */
    const struct path *path;
    enum pindex_type type;
    struct filter_words words;
    enum pindex_state state;
    uint32_t built; /* rows below are in it, or pending, or dead */
    struct charge charge;
    uint64_t room_wanted; /* FULL: it is not begun again before there is so much */
    /* Rows with a value that the index can tell from others; with another one, null apart; with a
     * null; PINDEX_TEXT: with more than one text; PINDEX_GEO: with a point beyond 90 or 180 degrees
     * (those match as the numbers say). */
    struct slot_set indexed, other, nulls, special;
    uint64_t entries; /* values over all rows */
    struct value_map values;
    struct tree trees[TREE_COUNT];
    struct pindex_loading { /* of a stored one */
        uint32_t sets[4];   /* rows that `indexed`, `other`, `nulls` and `special` are to have */
        uint8_t key[9];     /* the last of trees; its last row */
        uint32_t row;
        bool begun;
    } loading;
};

struct pindex_set {
    /* Set by pindex_create(), never changed after it. */
    struct pindex_rows rows;
    struct pending pending;
    struct charge charge; /* of pending; guarded by work */

    struct lock work;   /* LOCK_RANK_PINDEX_WORK: one thread at a time changes what follows */
    struct rwlock lock; /* LOCK_RANK_PINDEX; written with both held, read with either */
    struct pindex *indexes[PINDEX_COUNT_MAX];
    _Atomic uint32_t count; /* also read without a lock, as a hint */
    _Atomic uint32_t building, full;
    /* Slots whose rows went live, are not pending and were not forgotten. */
    struct slot_set known;
    struct charge known_charge;
    uint32_t known_end; /* above every slot that any index names */
    bool stored;        /* what is there was paid for: no lookup stops early */
};

/* What keys of a stored index begin with. */
enum stored_key {
    STORED_INDEXED,
    STORED_OTHER,
    STORED_NULLS,
    STORED_SPECIAL,
    STORED_SETS,
    STORED_VALUES = 0x10,
    STORED_TREES = 0x20, /* + the tree */
};
static inline struct slot_set *pindex_set_of(struct pindex *index, unsigned which)
{
    struct slot_set *const sets[STORED_SETS] = {&index->indexed, &index->other, &index->nulls,
                                                &index->special};

    return sets[which];
}

/* The READY index on a path, or NULL; `lock` is held. */
const struct pindex *pindex_on_locked(const struct pindex_set *set, const struct path *path);

/* --- pindex_row.c --- */

/* Puts the values of a row in or takes them out. False: no memory; the index is then good for
 * nothing. */
bool pindex_put_row(struct pindex *index, uint32_t slot, struct slice payload);
void pindex_take_row(struct pindex *index, uint32_t slot, struct slice payload);
void pindex_clear(struct pindex *index); /* all of it, the memory given back */

/* The same told to fn, as keys of a stored index. */
bool pindex_tell_row(const struct pindex *index, struct slice payload,
                     bool (*fn)(void *arg, struct slice key), void *arg);

/* Keys of trees: of numbers in the tree of their kind; ordered as the values are. */
uint64_t key_of_double(double v);
double double_of_key(uint64_t key);
uint64_t key_of_time(int64_t v);
int64_t time_of_key(uint64_t key);

/* --- pindex_parts.c, pindex_geo.c --- */

/* What of an index answers a condition, told piece by piece: the union of the pieces are the rows
 * that match, as far as `verdict` says. */
struct parts {
    void (*slots)(void *arg, const struct slot_set *s);
    void (*range)(void *arg, const struct tree *t, uint64_t low, uint64_t high); /* inclusive */
    void *arg;
};
enum verdict {
    VERDICT_EXACT,   /* the union */
    VERDICT_OTHER,   /* these, and maybe some of index->other */
    VERDICT_INDEXED, /* these, and maybe some of index->indexed and index->other */
    VERDICT_MAYBE,   /* none but these; each is to be asked */
    VERDICT_BUT,     /* all of index->indexed but the union */
    VERDICT_UNKNOWN, /* the index does not help */
};
enum verdict parts_of(const struct pindex *index, const struct filter *f, const struct parts *out);
/* Whether the index cut its texts as the condition wants them cut. */
bool parts_words_fit(const struct pindex *index, const struct filter *f);
/* Whether rows that have all of f->words are what the condition wants. */
bool parts_words_help(const struct pindex *index, const struct filter *f);
/* The areas a geo condition may be in. */
void geo_parts(const struct pindex *index, const struct filter *f, const struct parts *out);
/* False: not on the map (beyond 90 or 180 degrees). */
bool geo_key(double lat, double lon, uint64_t *out);

/* --- pindex_bits.c --- */

enum { LOOKUP_SPARE_MAX = 32 };
struct lookup {
    const struct pindex_set *set;
    struct arena *arena;
    uint32_t bit_count;
    uint32_t words;
    uint32_t indexes;
    bool failed; /* out of memory, or stopped */
    bool stopped;
    bool (*goes_on)(void *arg); /* NULL: always */
    void *arg;
    uint64_t *spare[LOOKUP_SPARE_MAX];
    size_t spare_count;
};
/* Zeros, from the arena or used before; NULL: l->failed. */
uint64_t *lookup_take(struct lookup *l);
void lookup_give(struct lookup *l, uint64_t *bits); /* NULL is fine */
uint64_t *lookup_copy(struct lookup *l, const uint64_t *from);
void lookup_and(const struct lookup *l, uint64_t *a, const uint64_t *b);
void lookup_or(const struct lookup *l, uint64_t *a, const uint64_t *b);
void lookup_minus(const struct lookup *l, uint64_t *a, const uint64_t *b);
uint64_t lookup_count(const struct lookup *l, const uint64_t *a);
/* How often a bit is set, in binary, one buffer a digit. */
struct tally {
    uint64_t *digits[16];
    uint32_t count;
};
void lookup_tally(struct lookup *l, struct tally *t, const uint64_t *bits);
/* Bits that were in at least so many; gives the tally's buffers back. */
uint64_t *lookup_tally_least(struct lookup *l, struct tally *t, uint64_t least);

#endif
