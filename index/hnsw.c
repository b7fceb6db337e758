/* Walking the graph (algorithm 2 of the HNSW paper, and its greedy descent).
 *
 * A distance costs a handful of cycles once its code row is in a cache and hundreds before, so the
 * walk is written around prefetching: while eight rows are compared, the lines of the next ones are
 * on their way, and a candidate that goes to the front of the pool has its list fetched. */
#include "index/vindex_internal.h"

enum {
    PREFETCH_BYTES_MAX = 2048, /* of a row; the machine follows longer ones by itself */
    ROWS_AT_ONCE = 8,          /* one call of the kernel */
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

static inline void prefetch_row(const struct vindex *v, const uint8_t *row)
{
    for (uint32_t at = 0; at < v->shape.row_bytes && at < PREFETCH_BYTES_MAX; at += 64)
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
    uint32_t slots[LINKS_MAX];
    const uint8_t *rows[LINKS_MAX];
    float keys[LINKS_MAX];
};

/* The neighbours that were not met before, with the distances to them. */
static void measure_unseen(struct walk *w, uint32_t slot, uint32_t level, struct unseen *u)
{
    const struct vindex *v = w->v;
    uint32_t links[LINKS_MAX];
    uint32_t count = node_links(w->g, slot, level, links);

    u->count = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (!visited_mark(&w->scratch->visited, links[i]))
            continue;
        u->slots[u->count] = links[i];
        u->rows[u->count] = vindex_codes(v, links[i]);
        if (u->count < ROWS_AT_ONCE)
            prefetch_row(v, u->rows[u->count]);
        u->count++;
    }
    for (uint32_t i = 0; i < u->count; i += ROWS_AT_ONCE) {
        uint32_t left = u->count - i;
        uint32_t now = left < ROWS_AT_ONCE ? left : ROWS_AT_ONCE;

        for (uint32_t j = i + ROWS_AT_ONCE; j < i + 2 * ROWS_AT_ONCE && j < u->count; j++)
            prefetch_row(v, u->rows[j]);
        code_keys(&v->shape, w->k, &w->scratch->query, u->rows + i, now, u->keys + i);
    }
    w->stats.distances += u->count;
    w->stats.visited++;
}

struct cand hnsw_descend(struct walk *w, uint64_t entry, uint32_t level)
{
    struct cand at = {.slot = entry_slot(entry)};
    struct unseen u;

    at.key = code_key(&w->v->shape, w->k, &w->scratch->query, vindex_codes(w->v, at.slot));
    w->stats.layers = entry_level(entry) - level + 1;
    for (uint32_t l = entry_level(entry); l > level; l--) {
        (void)visited_mark(&w->scratch->visited, at.slot);
        for (bool moved = true; moved;) {
            moved = false;
            measure_unseen(w, at.slot, l, &u);
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

static bool stopped(const struct walk *w)
{
    return w->stats.visited % STOP_EVERY == 0 && walk_gives_up(w);
}

static enum walk_end walk_flat(struct walk *w, struct cand start, uint32_t level)
{
    struct cands *pool = &w->scratch->pool;
    struct unseen u;
    uint32_t at = 0;

    (void)cands_put(pool, start.key, start.slot);
    while (at < pool->count) {
        struct cand *item = &pool->items[at];
        uint32_t next = at + 1;

        if (item->expanded) {
            at++;
            continue;
        }
        item->expanded = 1;
        if (!walk_accepts(w, item->slot) && pool->cap < pool->cap_max)
            pool->cap++;
        if (next < pool->count)
            prefetch_list(w->g, pool->items[next].slot, level);
        measure_unseen(w, item->slot, level, &u);
        for (uint32_t i = 0; i < u.count; i++) {
            uint32_t place;

            if (!cands_wants(pool, u.keys[i], u.slots[i]))
                continue;
            place = cands_put(pool, u.keys[i], u.slots[i]);
            if (place > next)
                continue;
            next = place <= at ? place : next;
            prefetch_list(w->g, u.slots[i], level);
        }
        at = next;
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
        measure_unseen(w, nearest.slot, level, &u);
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
