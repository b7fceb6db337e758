/* Walking the graph (algorithm 2 of the HNSW paper, and its greedy descent).
 *
 * A distance costs a handful of cycles once its code row is in a cache and hundreds before, so the
 * walk is written around prefetching: the nearest few nodes are expanded together, while eight rows
 * are compared the lines of the next ones are on their way, and a candidate that goes to the front
 * of the pool has its list fetched. What was tried: docs/decisions/graph-speed.md. */
#include "index/vindex_internal.h"

#include <math.h>

enum {
    PREFETCH_BYTES_MAX = 2048, /* of a row; the machine follows longer ones by itself */
    ROWS_AT_ONCE = 8,          /* one call of the kernel */
    ROWS_AHEAD = 16,           /* on their way before the first is compared */
    BEAM = 4,                  /* nodes expanded together by a flat walk */
    STOP_EVERY = 32,           /* expansions between looks at *stop */
    LINKS_MAX = 2 * VINDEX_M_MAX,
};

uint32_t node_links(const struct hnsw *g, uint32_t slot, uint32_t level, uint32_t *out)
{
    _Atomic uint32_t *refs = node_refs(g, slot, level);
    uint32_t degree = degree_of(g, level), count = 0;

    if (refs == NULL)
        return 0;
    while (count < degree) {
        uint32_t ref = atomic_load_explicit(&refs[count], memory_order_acquire);

        if (ref == 0)
            break;
        out[count++] = ref - 1;
    }
    return count;
}

void node_links_set_locked(const struct hnsw *g, uint32_t slot, uint32_t level,
                           const struct cand *links, uint32_t count)
{
    _Atomic uint32_t *refs = node_refs(g, slot, level);
    uint32_t degree = degree_of(g, level);

    if (refs == NULL)
        return;
    for (uint32_t i = 0; i < degree; i++)
        atomic_store_explicit(&refs[i], i < count ? links[i].slot + 1 : 0, memory_order_release);
}

static inline void prefetch_row(const struct codeset *codes, const uint8_t *row)
{
    for (uint32_t at = 0; at < codes->shape.row_bytes && at < PREFETCH_BYTES_MAX; at += 64)
        __builtin_prefetch(row + at);
}

static inline void prefetch_list(const struct hnsw *g, uint32_t slot, uint32_t level)
{
    const char *refs;

    if (level != 0)
        return;
    refs = plane_row(&g->lists, slot);
    __builtin_prefetch(refs);
    __builtin_prefetch(refs + 64);
}

struct unseen {
    uint32_t count;
    uint32_t slots[BEAM * LINKS_MAX];
    const uint8_t *rows[BEAM * LINKS_MAX];
    float keys[BEAM * LINKS_MAX];
};

/* Adds the neighbours that were not met before. Whether one was is as good as a coin's toss to a
 * processor, so nothing is branched on it. */
static void unseen_gather(struct walk *w, uint32_t slot, uint32_t level, struct unseen *u)
{
    struct visited *visited = &w->scratch->visited;
    const _Atomic uint32_t *refs = node_refs(w->g, slot, level);
    uint32_t degree = degree_of(w->g, level), count = u->count;

    w->stats.visited++;
    if (refs == NULL)
        return;
    for (uint32_t i = 0; i < degree; i++) {
        uint32_t ref = atomic_load_explicit(&refs[i], memory_order_acquire);

        if (ref == 0)
            break;
        u->slots[count] = ref - 1;
        count += visited_mark(visited, ref - 1);
    }
    u->count = count;
}

/* The distances to them. */
static void unseen_measure(struct walk *w, struct unseen *u)
{
    const struct codeset *codes = w->scratch->codes;
    uint32_t ahead = u->count < ROWS_AHEAD ? u->count : ROWS_AHEAD;

    for (uint32_t i = 0; i < ahead; i++) {
        u->rows[i] = codes_row(codes, u->slots[i]);
        prefetch_row(codes, u->rows[i]);
    }
    for (uint32_t i = 0; i < u->count; i += ROWS_AT_ONCE) {
        uint32_t left = u->count - i;
        uint32_t now = left < ROWS_AT_ONCE ? left : ROWS_AT_ONCE;

        for (uint32_t j = 0; j < ROWS_AT_ONCE && ahead < u->count; j++, ahead++) {
            u->rows[ahead] = codes_row(codes, u->slots[ahead]);
            prefetch_row(codes, u->rows[ahead]);
        }
        code_keys(&codes->shape, w->k, &w->scratch->query, u->rows + i, now, u->keys + i);
    }
    w->stats.distances += u->count;
}

struct cand hnsw_descend(struct walk *w, uint64_t entry, uint32_t level)
{
    const struct codeset *codes = w->scratch->codes;
    struct cand at = {.slot = entry_slot(entry)};
    struct unseen u;

    at.key = code_key(&codes->shape, w->k, &w->scratch->query, codes_row(codes, at.slot));
    w->stats.layers = entry_level(entry) - level + 1;
    for (uint32_t l = entry_level(entry); l > level; l--) {
        (void)visited_mark(&w->scratch->visited, at.slot);
        for (bool moved = true; moved;) {
            moved = false;
            u.count = 0;
            unseen_gather(w, at.slot, l, &u);
            unseen_measure(w, &u);
            for (uint32_t i = 0; i < u.count; i++) {
                if (!(u.keys[i] < at.key))
                    continue;
                at.key = u.keys[i];
                at.slot = u.slots[i];
                moved = true;
            }
        }
        /* What was too far on this level may be on the way on the next one. */
        visited_clear(&w->scratch->visited);
    }
    return at;
}

static bool stopped(struct walk *w)
{
    if (w->stats.visited < w->stop_looked + STOP_EVERY)
        return false;
    w->stop_looked = w->stats.visited;
    return walk_gives_up(w);
}

/* The nearest ones that were not expanded yet, from `at` on, become so, and what they lead to is
 * gathered. Returns where to look on. */
static uint32_t flat_expand(struct walk *w, uint32_t at, uint32_t level, struct unseen *u)
{
    struct cands *pool = &w->scratch->pool;
    uint32_t taken = 0;

    u->count = 0;
    for (; at < pool->count && taken < BEAM; at++) {
        struct cand *item = &pool->items[at];

        if (item->expanded)
            continue;
        item->expanded = 1;
        taken++;
        if (!walk_accepts(w, item->slot) && pool->cap < pool->cap_max)
            pool->cap++;
        unseen_gather(w, item->slot, level, u);
    }
    for (uint32_t i = at; i < pool->count && i < at + BEAM; i++)
        prefetch_list(w->g, pool->items[i].slot, level);
    return at;
}

/* Puts in those that are wanted. Returns the first place that changed. */
static uint32_t flat_take_in(struct walk *w, const struct unseen *u, uint32_t at, uint32_t level)
{
    struct cands *pool = &w->scratch->pool;
    uint32_t wanted[BEAM * LINKS_MAX], count = 0, first = at;
    float bound = pool->count < pool->cap ? INFINITY : pool->items[pool->count - 1].key;

    for (uint32_t i = 0; i < u->count; i++) {
        wanted[count] = i;
        count += u->keys[i] <= bound;
    }
    for (uint32_t i = 0; i < count; i++) {
        float key = u->keys[wanted[i]];
        uint32_t slot = u->slots[wanted[i]], place;

        if (!cands_wants(pool, key, slot))
            continue;
        place = cands_put(pool, key, slot);
        if (place <= first + BEAM)
            prefetch_list(w->g, slot, level);
        first = place < first ? place : first;
    }
    return first;
}

static enum walk_end walk_flat(struct walk *w, struct cand start, uint32_t level)
{
    struct cands *pool = &w->scratch->pool;
    struct unseen u;
    uint32_t at = 0;

    (void)cands_put(pool, start.key, start.slot);
    while (at < pool->count) {
        at = flat_expand(w, at, level, &u);
        unseen_measure(w, &u);
        at = flat_take_in(w, &u, at, level);
        if (w->stats.distances > w->distances_max)
            return WALK_TOO_MANY;
        if (stopped(w))
            return WALK_STOPPED;
    }
    return WALK_DONE;
}

static enum walk_end walk_heap(struct walk *w, struct cand start, uint32_t level)
{
    struct cands *pool = &w->scratch->pool;
    struct frontier *frontier = &w->scratch->frontier;
    struct unseen u;

    frontier->count = 0;
    if (!frontier_push(frontier, start.key, start.slot))
        return WALK_NOMEM;
    if (walk_accepts(w, start.slot))
        (void)cands_put(pool, start.key, start.slot);
    while (frontier->count > 0) {
        struct cand nearest = frontier_pop(frontier);

        if (pool->count == pool->cap && pool->items[0].key < nearest.key)
            break;
        u.count = 0;
        unseen_gather(w, nearest.slot, level, &u);
        unseen_measure(w, &u);
        for (uint32_t i = 0; i < u.count; i++) {
            if (!cands_wants(pool, u.keys[i], u.slots[i]))
                continue;
            if (!frontier_push(frontier, u.keys[i], u.slots[i]))
                return WALK_NOMEM;
            if (walk_accepts(w, u.slots[i]))
                (void)cands_put(pool, u.keys[i], u.slots[i]);
        }
        if (w->stats.distances > w->distances_max)
            return WALK_TOO_MANY;
        if (stopped(w))
            return WALK_STOPPED;
    }
    return WALK_DONE;
}

enum walk_end hnsw_walk(struct walk *w, struct cand start, uint32_t level)
{
    (void)visited_mark(&w->scratch->visited, start.slot);
    return w->scratch->pool.heap ? walk_heap(w, start, level) : walk_flat(w, start, level);
}
