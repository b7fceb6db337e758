/* Walking the graph (algorithm 2 of the HNSW paper, and its greedy descent).
 *
 * A distance costs a handful of cycles once its code row is in a cache and hundreds before, so the
 * walk is written around prefetching: the nearest few nodes are expanded together, the next few are
 * picked and their lists on their way before these are compared, and so are the lines of rows some
 * time before they are needed. What was tried: docs/decisions/graph-speed.md. */
#include "index/vindex_internal.h"

#include <math.h>

enum {
    PREFETCH_BYTES_MAX = 2048, /* of a row; the machine follows longer ones by itself */
    ROWS_AT_ONCE = 8,          /* one call of the kernel */
    ROWS_AHEAD = 16,           /* on their way before the first is compared */
    BEAM_MAX = 4,              /* nodes expanded together by a flat walk */
    BEAM_SMALL = 2,            /* where few candidates are kept */
    CANDS_SMALL = 128,
    STOP_EVERY = 32, /* expansions between looks at *stop */
    LINKS_MAX = 2 * VINDEX_M_MAX,
    KEEP_TIMES = 2, /* under a filter so many times the goal are kept */
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
    uint32_t ahead; /* so many rows are on their way */
    uint32_t slots[BEAM_MAX * LINKS_MAX];
    const uint8_t *rows[BEAM_MAX * LINKS_MAX];
    float keys[BEAM_MAX * LINKS_MAX];
};

/* Adds the neighbours that were not met before. */
static void unseen_gather(struct walk *w, uint32_t slot, uint32_t level, struct unseen *u)
{
    const _Atomic uint32_t *refs = node_refs(w->g, slot, level);

    w->stats.visited++;
    if (refs == NULL)
        return;
    u->count +=
        visited_mark_refs(&w->scratch->visited, refs, degree_of(w->g, level), u->slots + u->count);
}

/* Another row is on its way. */
static inline void unseen_fetch(const struct walk *w, struct unseen *u)
{
    const struct codeset *codes = w->scratch->codes;

    u->rows[u->ahead] = codes_row(codes, u->slots[u->ahead]);
    prefetch_row(codes, u->rows[u->ahead++]);
}

static void unseen_begin(const struct walk *w, struct unseen *u)
{
    u->ahead = 0;
    while (u->ahead < u->count && u->ahead < ROWS_AHEAD)
        unseen_fetch(w, u);
}

/* The distances to them. */
static void unseen_measure(struct walk *w, struct unseen *u)
{
    const struct codeset *codes = w->scratch->codes;

    for (uint32_t i = 0; i < u->count; i += ROWS_AT_ONCE) {
        uint32_t left = u->count - i;
        uint32_t now = left < ROWS_AT_ONCE ? left : ROWS_AT_ONCE;

        for (uint32_t j = 0; j < ROWS_AT_ONCE && u->ahead < u->count; j++)
            unseen_fetch(w, u);
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
            unseen_begin(w, &u);
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

struct beam { /* nodes that are expanded together */
    uint32_t count;
    uint32_t slots[BEAM_MAX];
};

/* One that may not be returned was expanded, so one more has to be. Those behind the goal are kept
 * under a filter, as nobody knows yet how many in front of them do not count. */
static void goal_raise(struct walk *w, struct ranked *r)
{
    const struct cands *pool = &w->scratch->pool;
    uint32_t kept;

    if (r->goal == pool->cap_max) {
        w->crowded = walk_filters(w);
        return;
    }
    r->goal++;
    kept = walk_filters(w) ? KEEP_TIMES * r->goal : r->goal;
    r->cap = kept < pool->cap_max ? kept : pool->cap_max;
}

/* Takes the nearest ones that were not expanded yet; their lists are on their way. */
static void beam_pick(struct walk *w, uint32_t level, struct beam *b)
{
    struct ranked *r = &w->scratch->ranked;
    const struct cands *pool = &w->scratch->pool;
    uint32_t width = pool->cap < CANDS_SMALL ? BEAM_SMALL : BEAM_MAX;
    uint32_t at = r->next;

    b->count = 0;
    for (; at < r->count && at < r->goal && b->count < width; at++) {
        uint32_t slot = ranked_slot(r->words[at]);

        if (r->words[at] & RANKED_EXPANDED)
            continue;
        r->words[at] |= RANKED_EXPANDED;
        b->slots[b->count++] = slot;
        prefetch_list(w->g, slot, level);
        if (!walk_accepts(w, slot))
            goal_raise(w, r);
    }
    r->next = at;
}

static void beam_expand(struct walk *w, const struct beam *b, uint32_t level, struct unseen *u)
{
    u->count = 0;
    for (uint32_t i = 0; i < b->count; i++)
        unseen_gather(w, b->slots[i], level, u);
    unseen_begin(w, u);
}

/* Puts in those that are wanted. */
static void flat_take_in(struct walk *w, const struct unseen *u)
{
    struct ranked *r = &w->scratch->ranked;
    uint64_t wanted[BEAM_MAX * LINKS_MAX], bound = ranked_bound(r);
    uint32_t count = 0;

    for (uint32_t i = 0; i < u->count; i++) {
        wanted[count] = ranked_word(u->keys[i], u->slots[i]);
        count += wanted[count] < bound;
    }
    ranked_merge(r, wanted, count);
}

static void flat_hand_over(const struct ranked *r, struct cands *pool)
{
    pool->cap = r->cap;
    pool->count = r->count;
    for (uint32_t i = 0; i < r->count; i++)
        pool->items[i] =
            (struct cand){.key = ranked_key(r->words[i]), .slot = ranked_slot(r->words[i])};
}

/* Two beams are under way: the rows of one are fetched while those of the one before are compared,
 * so it is picked without knowing what that one finds. */
static enum walk_end walk_flat(struct walk *w, struct cand start, uint32_t level)
{
    struct ranked *r = &w->scratch->ranked;
    uint64_t first = ranked_word(start.key, start.slot);
    struct beam beam;
    struct unseen under_way[2], *u = &under_way[0], *next = &under_way[1];
    enum walk_end end = WALK_DONE;

    w->crowded = false;
    ranked_clear(r, w->scratch->pool.cap);
    if (walk_filters(w)) {
        r->cap = KEEP_TIMES * r->goal;
        r->cap = r->cap < w->scratch->pool.cap_max ? r->cap : w->scratch->pool.cap_max;
    }
    ranked_merge(r, &first, 1);
    beam_pick(w, level, &beam);
    beam_expand(w, &beam, level, u);
    beam.count = 0;
    while (end == WALK_DONE && (u->count > 0 || beam.count > 0)) {
        struct unseen *done = u;

        unseen_measure(w, u);
        beam_expand(w, &beam, level, next);
        flat_take_in(w, u);
        beam_pick(w, level, &beam);
        u = next;
        next = done;
        if (w->stats.distances > w->distances_max)
            end = WALK_TOO_MANY;
        else if (stopped(w))
            end = WALK_STOPPED;
    }
    flat_hand_over(r, &w->scratch->pool);
    return end == WALK_DONE && w->crowded ? WALK_TOO_MANY : end;
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
        unseen_begin(w, &u);
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
