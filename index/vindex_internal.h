/* vindex_internal.h - what the files of vindex share: the struct, node lists, scratch, walks.
 *
 * Per slot there are rows in these planes (planes.h), of the index:
 *
 *   full     dim f32                                   filled, present   one bit each
 *
 * of the codes that are searched, and of those that are made to follow them (recode.c):
 *
 *   rows     one code row (codes.h)                    has      one bit: it is written
 *
 * and of each graph over it:
 *
 *   lists    2 m references: the links on layer 0      upper    pointer to the links above it, or 0
 *   meta     state of the node, see META_*             pending  one bit: to be linked
 *
 * A reference is slot + 1, 0 ends a list, so rows of fresh memory are empty lists. Writers of a
 * list hold the node's lock bit; readers read references one by one and may see a mixture of an
 * older and a newer list, all of which were links once. A slot that no list, no bit of pending and
 * no entry point names is the caller's to use again once the readers of that time have left. */
#ifndef INDEX_VINDEX_INTERNAL_H
#define INDEX_VINDEX_INTERNAL_H

#include "base/lock.h"
#include "index/cands.h"
#include "index/codes.h"
#include "index/planes.h"
#include "index/ranked.h"
#include "index/vindex.h"

#include <sched.h>

/* meta: bit 0 the lock, bits 1..23 counted up by each unlock, bits 24..31 level + 1, or 0 for a
 * slot that is no node of the graph. */
#define META_LOCKED      1u
#define META_SEQ         0x00ffffffu
#define META_LEVEL_SHIFT 24

enum {
    PENDING_GROUP_SHIFT = 12,  /* a counter of pending rows for each 4,096 slots */
    FULL_SCAN_STOP_ROWS = 256, /* looks at *stop this often */
};

struct node_upper { /* freed by repair after the readers of that time, and by destroy */
    uint32_t levels;
    _Atomic uint32_t refs[]; /* levels * m */
};

/* The rows of one quantization. Of full vectors they are the index's own. */
struct codeset {
    struct code_shape shape; /* never changed */
    const struct plane *rows;
    struct plane own, has;
    struct vgraph wanted;        /* recode.c: for what it is made */
    _Atomic uint32_t words_done; /* relaxed; of `present`, by recode.c */
};

struct vindex_scratch {
    const struct codeset *codes; /* since scratch_prepare(), in whose guard it is used */
    struct cands pool;           /* by codes */
    struct cands best;           /* by full vectors */
    struct cands around;         /* linking: one node's neighbourhood */
    struct ranked ranked;        /* by codes, while a flat walk is under way */
    struct frontier frontier;
    struct visited visited;
    struct code_query query;
    struct code_query other;   /* linking: the node whose list is chosen */
    struct code_query *chosen; /* linking: the neighbours chosen so far, 2 m + 1 */
    uint32_t chosen_room;
    void *block; /* what the queries point into */
    size_t block_bytes;
    uint32_t searches;
    float *full; /* a vector that is not in RAM */
    uint32_t full_room;
    struct vindex_scratch *next; /* in the pool of linkers */
};

/* One graph over the rows of an index. What a row has in it lies in planes of its own, so that two
 * may be there at once (rebuild.c). */
struct hnsw {
    /* Set by graph_create(), never changed after it. */
    struct vindex *v;   /* rows, codes, slots, budget */
    struct vgraph made; /* with what */
    double level_scale; /* 1 / ln m */
    size_t slot_bytes;  /* charged for one slot */

    struct plane lists, upper, meta, pending, pending_groups;

    /* (top level << 32) | reference of the entry point; 0 for an empty graph. Release by linkers
     * and repair, acquire by whoever walks. */
    _Atomic uint64_t entry;
    _Atomic uint32_t slot_end; /* rows there is room for; release by who grows, acquire by scans */
    _Atomic uint32_t pending_count, linked_count; /* relaxed: numbers only */
    _Atomic uint64_t upper_bytes;                 /* relaxed */
    _Atomic uint64_t upper_room; /* relaxed: charged already, for upper lists that will come */
    _Atomic bool
        open; /* knows every row, and may be linked; release by rebuild.c, acquire by all */

    struct { /* guarded by v->shared.lock */
        uint64_t charged;
        uint32_t cursor; /* where the next row to link is looked for */
        uint32_t linking[VINDEX_LINKERS_MAX];
        uint32_t linking_count;
    } claims;
};

struct vindex {
    /* Set by vindex_create(), never changed after it. */
    struct vindex_options options; /* without m and ef_construction: those are the graph's */
    struct code_shape shape;       /* of full vectors */

    struct plane full, filled, present;
    struct codeset plain; /* full, as codes */

    /* Read inside an epoch guard, `next` first, as with the graphs below. Release by recode.c. */
    _Atomic(struct codeset *) codes_next; /* not complete yet; NULL: none */
    _Atomic(struct codeset *) codes;      /* of every present row; never NULL */

    /* Read inside an epoch guard. A row is published into both; who reads `next` first and then
     * `served` misses none, as `next` becomes NULL only after it has become `served`. Release by
     * rebuild.c, acquire by all. */
    _Atomic(struct hnsw *) next;   /* made beside; NULL: none */
    _Atomic(struct hnsw *) served; /* never NULL */

    _Atomic uint32_t slot_end;             /* rows reserved; release by reserve, acquire by scans */
    _Atomic uint32_t present_count;        /* relaxed: a number only */
    _Atomic uint32_t ef_search, threshold; /* relaxed */
    _Atomic bool repairing;                /* one repair, or step of a rebuild, at a time */
    struct vindex_costs *costs;

    struct {              /* guarded by lock */
        struct lock lock; /* LOCK_RANK_VINDEX */
        uint64_t charged;
        uint64_t promised; /* charged for a graph that is to be begun */
        uint32_t deciding; /* who set some of that aside and has not settled it */
        uint64_t settled;  /* how often that was done */
        struct vindex_scratch *scratches;
    } shared;
};

struct vindex_costs { /* apart, because searches, to whom the index is const, write it */
    _Atomic uint32_t distance_ps; /* relaxed: an estimate */
};

static inline bool vectors_in_ram(const struct vindex *v)
{
    return v->options.vectors.read == NULL;
}

static inline uint32_t entry_level(uint64_t entry)
{
    return (uint32_t)(entry >> 32);
}
static inline uint32_t entry_slot(uint64_t entry)
{
    return (uint32_t)entry - 1;
}
static inline uint64_t entry_make(uint32_t level, uint32_t slot)
{
    return (uint64_t)level << 32 | (slot + 1);
}

static inline const uint8_t *codes_row(const struct codeset *c, uint32_t slot)
{
    return plane_row(c->rows, slot);
}
static inline struct codeset *codes_now(const struct vindex *v)
{
    return atomic_load_explicit(&v->codes, memory_order_acquire);
}
static inline struct codeset *codes_to_come(const struct vindex *v)
{
    return atomic_load_explicit(&v->codes_next, memory_order_acquire);
}
static inline _Atomic uint32_t *node_meta(const struct hnsw *g, uint32_t slot)
{
    return plane_row(&g->meta, slot);
}
/* -1: no node of the graph. */
static inline int node_level(const struct hnsw *g, uint32_t slot)
{
    uint32_t meta = atomic_load_explicit(node_meta(g, slot), memory_order_acquire);

    return (int)(meta >> META_LEVEL_SHIFT) - 1;
}
/* A node whose links are all in. */
static inline bool node_linked(const struct hnsw *g, uint32_t slot)
{
    return node_level(g, slot) >= 0 && !plane_bit(&g->pending, slot);
}
static inline uint32_t degree_of(const struct hnsw *g, uint32_t level)
{
    return level == 0 ? 2u * g->made.m : g->made.m;
}
/* The references of a node on a level it has, or NULL. */
static inline _Atomic uint32_t *node_refs(const struct hnsw *g, uint32_t slot, uint32_t level)
{
    _Atomic(struct node_upper *) *where;
    struct node_upper *upper;

    if (level == 0)
        return plane_row(&g->lists, slot);
    where = plane_row(&g->upper, slot);
    upper = atomic_load_explicit(where, memory_order_acquire);
    if (upper == NULL || level > upper->levels)
        return NULL;
    return upper->refs + (size_t)(level - 1) * g->made.m;
}
/* Copies a list as slots; returns how many. `out` has room for degree_of(level). */
uint32_t node_links(const struct hnsw *g, uint32_t slot, uint32_t level, uint32_t *out);

/* Writers of one node's lists. Short: nothing is waited for while it is held. */
static inline void node_lock(const struct hnsw *g, uint32_t slot)
{
    _Atomic uint32_t *meta = node_meta(g, slot);

    for (unsigned spins = 0;; spins++) {
        uint32_t now = atomic_load_explicit(meta, memory_order_relaxed);

        if ((now & META_LOCKED) == 0 &&
            atomic_compare_exchange_weak_explicit(meta, &now, now | META_LOCKED,
                                                  memory_order_acquire, memory_order_relaxed))
            return;
        if (spins % 64 == 63)
            sched_yield();
    }
}
static inline void node_unlock(const struct hnsw *g, uint32_t slot)
{
    _Atomic uint32_t *meta = node_meta(g, slot);
    uint32_t now = atomic_load_explicit(meta, memory_order_relaxed);
    uint32_t seq = (now + 1) & META_SEQ; /* clears the lock bit and counts */

    atomic_store_explicit(meta, (now & ~META_SEQ) | seq, memory_order_release);
}
/* With the lock held: the list becomes these slots. */
void node_links_set_locked(const struct hnsw *g, uint32_t slot, uint32_t level,
                           const struct cand *links, uint32_t count);

/* Room for a search, or for linking, in this graph, on the codes of this moment. False: no memory.
 */
bool scratch_prepare(struct vindex_scratch *s, const struct hnsw *g, bool linking);

/* What a walk or a scan may return, and when it gives up. */
struct walk {
    const struct vindex *v;
    const struct hnsw *g;
    const struct kernels *k;
    struct vindex_scratch *scratch;
    const uint64_t *allow; /* NULL: all live rows */
    uint32_t allow_slots;
    bool (*ask)(void *arg, uint32_t slot); /* NULL, or says the last word on a live row */
    void *ask_arg;
    const bool *give_up;      /* or NULL */
    bool check;               /* look at liveness or allow or ask at all */
    bool crowded;             /* a flat walk has no room for as many that do not count as it met */
    uint64_t distances_max;   /* gives up beyond it */
    const _Atomic bool *stop; /* or NULL */
    uint32_t stop_looked;     /* after so many expansions it was looked at */
    struct err *err;          /* of the first vector that could not be read */
    status failed;
    struct vsearch_stats stats;
};
enum walk_end { WALK_DONE = 0, WALK_TOO_MANY, WALK_STOPPED, WALK_NOMEM };

/* What can be said without the row. */
static inline bool walk_allows_slot(const struct walk *w, uint32_t slot)
{
    if (w->allow == NULL)
        return true;
    return slot < w->allow_slots && (w->allow[slot >> 6] >> (slot & 63) & 1) != 0;
}
static inline bool walk_asks(const struct walk *w, uint32_t slot)
{
    return w->ask == NULL || w->ask(w->ask_arg, slot);
}
static inline bool walk_allows(const struct walk *w, uint32_t slot)
{
    return walk_allows_slot(w, slot) && walk_asks(w, slot);
}
static inline bool walk_accepts(const struct walk *w, uint32_t slot)
{
    return !w->check || (walk_allows_slot(w, slot) && slots_live(w->v->options.slots, slot) &&
                         walk_asks(w, slot));
}
static inline bool walk_filters(const struct walk *w)
{
    return w->allow != NULL || w->ask != NULL;
}
static inline bool walk_gives_up(const struct walk *w)
{
    return (w->give_up != NULL && *w->give_up) ||
           (w->stop != NULL && atomic_load_explicit(w->stop, memory_order_relaxed));
}

/* Goes down greedily from the entry point, over all levels above `level`: where a walk on it is to
 * start. Leaves no marks. */
struct cand hnsw_descend(struct walk *w, uint64_t entry, uint32_t level);
/* Fills scratch->pool, which is empty, from `start` until nothing nearer is left. Slots that are
 * marked as visited are passed by. In a flat pool rows that are not accepted take a place, but make
 * room for themselves; a heap holds accepted rows only. */
enum walk_end hnsw_walk(struct walk *w, struct cand start, uint32_t level);

/* Pending bits. Clearing returns whether it was set. */
void pending_set(struct hnsw *g, uint32_t slot);
bool pending_clear(struct hnsw *g, uint32_t slot);

/* Links one claimed row; in hnsw_link.c. Chooses from scratch->around, best first, up to `max`
 * that are nearer to the middle than to each other; they are moved to its front. */
uint32_t hnsw_choose(struct vindex_scratch *s, uint32_t max);
/* Adds a link from `from` to `to`, choosing anew among all when the list is full. */
void hnsw_connect(const struct hnsw *g, struct vindex_scratch *s, uint32_t from, uint32_t to,
                  uint32_t level);
/* A scratch for a linker, ready for this graph; NULL: no memory. */
struct vindex_scratch *linker_scratch_take(struct hnsw *g);
void linker_scratch_give(struct vindex *v, struct vindex_scratch *s);
/* An upper block for a node of this level; NULL: no memory or over budget. */
struct node_upper *node_upper_alloc(struct hnsw *g, uint32_t levels);
void node_upper_free(struct hnsw *g, struct node_upper *upper);
/* Makes a node the entry point if it stands higher, or as high with a smaller slot: so the entry
 * point follows from the nodes alone, and an imported graph has the same one. */
void entry_raise(struct hnsw *g, uint32_t slot, uint32_t level);

/* graph.c: the life of a graph. An empty one, nothing is charged yet. */
NODISCARD
status graph_create(struct vindex *v, const struct vgraph *made, struct hnsw **out,
                    struct err *err);
void graph_destroy(struct hnsw *g); /* nobody reads it; accepts NULL */
/* Planes for every slot below slot_end. ST_NOMEM: nothing is lost. */
NODISCARD
status graph_room(struct hnsw *g, uint32_t slot_end, struct err *err);
/* There is room, and the budget was charged with slot_bytes for each slot. The index's lock is
 * held, or nobody else knows the graph. */
void graph_set_end_locked(struct hnsw *g, uint32_t slot_end);
uint64_t graph_slot_bytes(const struct vgraph *made); /* what a slot takes in such a graph */
/* Inside a guard, or where nothing is rebuilt. */
static inline struct hnsw *graph_served(const struct vindex *v)
{
    return atomic_load_explicit(&v->served, memory_order_acquire);
}
static inline struct hnsw *graph_next(const struct vindex *v)
{
    return atomic_load_explicit(&v->next, memory_order_acquire);
}
/* codeset.c. Codes of a kind other than VQUANT_NONE; nothing is charged yet. */
NODISCARD
status codeset_create(const struct vindex *v, enum vquantization kind, struct codeset **out,
                      struct err *err);
void codeset_destroy(const struct vindex *v, struct codeset *c); /* accepts NULL, v->plain */
NODISCARD
status codeset_room(struct codeset *c, uint32_t slot_end, struct err *err);
/* Charged for one slot; 0 for full vectors, which are the index's. */
static inline size_t codeset_slot_bytes(const struct codeset *c)
{
    return c->shape.kind == VQUANT_NONE ? 0 : c->shape.row_bytes;
}
/* The row of a slot whose full vector is there. */
void codeset_write(struct codeset *c, uint32_t slot, const float *vector);
static inline size_t full_slot_bytes(const struct vindex *v)
{
    return vectors_in_ram(v) ? v->full.row_bytes : 0;
}
/* ST_INVALID for a quantization that this index cannot have. */
NODISCARD
status quantization_check(const struct vindex *v, enum vquantization q, struct err *err);
/* What one slot takes now, without graphs. */
uint64_t row_bytes_locked(const struct vindex *v);

/* recode.c. Codes of another kind, a step at a time, as vindex_rebuild_step(): VREBUILD_NONE where
 * they are what is wanted, or cannot be made yet. */
NODISCARD
status recode_step(struct vindex *v, const struct vgraph *want, uint64_t settled,
                   enum vrebuild *out, struct err *err);
/* Bytes that codes of that kind take beside those that serve. */
uint64_t recode_bytes_needed(const struct vindex *v, enum vquantization kind);
/* Bytes that codes under way are charged with. The index's lock is held. */
uint64_t recode_charged(const struct vindex *v);
/* In a guard: whether codes are under way, and how far. */
bool recode_shown(const struct vindex *v, struct vrebuild_progress *out);
/* rebuild.c: what is set aside is for a wish that is known here, or for none. */
bool rebuild_may_use_locked(const struct vindex *v, uint64_t settled);
/* How many rows wait to be linked in it; 0 too where it is no time for it. */
uint32_t graph_to_link_rows(const struct hnsw *g);

#endif
