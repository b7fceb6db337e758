/* Answering a query: choose between walking the graph and scanning, collect candidates on codes,
 * re-rank the best of them on the full vectors, and look once more who is still current.
 *
 * Pending rows are scanned before the graph is walked. A row leaves the pending ones after its
 * links are in: whoever misses it in the scan finds its links. */
#include "base/bits.h"
#include "base/clock.h"
#include "index/vindex_internal.h"

#include <inttypes.h>
#include <math.h>

enum {
    SCAN_BATCH = 16,
    WALK_FLAT_MAX = 4096, /* steps; a walk of more keeps its candidates in heaps */
    WALK_ROOM_MIN = 1024, /* candidates of a flat walk that not all may be returned of */
    SCAN_SPARE = 32,      /* a scan on codes re-ranks 2 k + SCAN_SPARE, and more where there are */
    SCAN_ROWS = 64,       /* many rows: one for so many, */
    SCAN_MORE_MAX = 224,  /* at most; far from the query hardly anything tells them apart */
    COARSE_TIMES = 16,    /* on codes of one bit 16 k + COARSE_SPARE */
    COARSE_SPARE = 256,
    RERANK_SPARE_MIN = 8,   /* a walk re-ranks k + max(ef / 4, RERANK_SPARE_MIN) at first */
    SCAN_PER_WALK = 2,      /* rows scanned in the time of one distance of a walk */
    RERANK_DOUBT = 2,       /* see rerank() */
    FULL_AHEAD = 2,         /* full vectors prefetched ahead while re-ranking */
    FULL_SCAN_AHEAD = 4,    /* and while the rows of a bitmap are scanned */
    COST_SAMPLE_EVERY = 16, /* searches per look at the clock */
    COST_PS_FIRST = 50000,  /* picoseconds a distance, until measured */
    SEARCH_ATTEMPTS_MAX = 3,
};

struct plan {
    bool graph;
    uint32_t k, ef;
    uint32_t rows;    /* about how many may match */
    uint32_t scanned; /* how many a scan looks at */
    uint32_t present; /* rows there are */
};

static uint64_t word_allowed(const struct walk *w, uint32_t word)
{
    uint64_t first = (uint64_t)word * 64, bits;

    if (w->allow == NULL)
        return UINT64_MAX;
    if (first >= w->allow_slots)
        return 0;
    bits = w->allow[word];
    if (w->allow_slots - first < 64)
        bits &= ((uint64_t)1 << (w->allow_slots - first)) - 1;
    return bits;
}

static uint32_t slot_end_of(const struct vindex *v)
{
    return atomic_load_explicit(&v->slot_end, memory_order_acquire);
}

static uint32_t count_matches(const struct walk *w)
{
    uint32_t words = (slot_end_of(w->v) + 63) / 64;
    uint32_t count = 0;

    if ((w->allow_slots + 63) / 64 < words)
        words = (w->allow_slots + 63) / 64;
    for (uint32_t at = 0; at < words;) {
        const _Atomic uint64_t *present = plane_row(&w->v->present, at);
        uint32_t run = plane_run(&w->v->present, at);

        for (uint32_t i = 0; i < run && at < words; i++, at++) {
            uint64_t bits = atomic_load_explicit(&present[i], memory_order_relaxed);

            count += bits_in_word(bits & word_allowed(w, at));
        }
    }
    return count;
}

/* What a walk costs in distances: it meets about m new nodes a step and makes ef steps, more by as
 * much as a filter lets fewer of them count. */
static uint64_t walk_distances(const struct hnsw *g, const struct plan *p)
{
    uint64_t steps = p->ef;

    if (p->rows < p->present)
        steps = steps * p->present / (p->rows == 0 ? 1 : p->rows);
    return 100 + steps * g->made.m;
}

static struct plan plan_make(const struct walk *w, const struct vsearch *s)
{
    const struct vindex *v = w->v;
    struct plan p = {.k = s->k, .ef = s->ef == 0 ? vindex_ef_search(v) : s->ef};

    p.ef = p.ef < p.k ? p.k : p.ef;
    p.ef = p.ef > VINDEX_EF_MAX ? VINDEX_EF_MAX : p.ef;
    p.present = atomic_load_explicit(&v->present_count, memory_order_relaxed);
    p.scanned = w->allow == NULL ? p.present : count_matches(w);
    p.rows = s->check != NULL && s->check_rows < p.scanned ? s->check_rows : p.scanned;
    p.graph = !s->exact && atomic_load_explicit(&w->g->entry, memory_order_relaxed) != 0 &&
              p.scanned > SCAN_PER_WALK * walk_distances(w->g, &p);
    return p;
}

struct batch {
    uint32_t count;
    uint32_t slots[SCAN_BATCH];
    const uint8_t *rows[SCAN_BATCH];
};

static void batch_offer(struct walk *w, struct batch *b, struct cands *pool)
{
    float keys[SCAN_BATCH];

    code_keys(&w->scratch->codes->shape, w->k, &w->scratch->query, b->rows, b->count, keys);
    for (uint32_t i = 0; i < b->count; i++)
        if (cands_wants(pool, keys[i], b->slots[i]) &&
            slots_live(w->v->options.slots, b->slots[i]) && walk_asks(w, b->slots[i]))
            (void)cands_put(pool, keys[i], b->slots[i]);
    w->stats.distances += b->count;
    w->stats.scanned += b->count;
    b->count = 0;
}

/* Offers the rows of one word of a bitmap to the pool. */
static void scan_word(struct walk *w, struct batch *b, uint32_t word, uint64_t bits,
                      struct cands *pool)
{
    for (; bits != 0; bits &= bits - 1) {
        uint32_t slot = word * 64 + (uint32_t)__builtin_ctzll(bits);

        b->slots[b->count] = slot;
        b->rows[b->count] = codes_row(w->scratch->codes, slot);
        __builtin_prefetch(b->rows[b->count]);
        if (++b->count == SCAN_BATCH)
            batch_offer(w, b, pool);
    }
}

static bool scan_stopped(const struct walk *w, uint32_t word)
{
    return word % (FULL_SCAN_STOP_ROWS / 64) == 0 && walk_gives_up(w);
}

static enum walk_end scan_words(struct walk *w, const struct plane *bitmap, uint32_t from,
                                uint32_t to, struct cands *pool)
{
    struct batch b = {0};

    for (uint32_t at = from; at < to; at++) {
        uint64_t bits =
            atomic_load_explicit((_Atomic uint64_t *)plane_row(bitmap, at), memory_order_acquire);

        if (scan_stopped(w, at))
            return WALK_STOPPED;
        if (bits != 0)
            scan_word(w, &b, at, bits & word_allowed(w, at), pool);
    }
    batch_offer(w, &b, pool);
    return WALK_DONE;
}

static enum walk_end scan_present(struct walk *w)
{
    return scan_words(w, &w->v->present, 0, (slot_end_of(w->v) + 63) / 64, &w->scratch->pool);
}

static enum walk_end scan_pending(struct walk *w, struct cands *pool)
{
    const struct hnsw *g = w->g;
    uint32_t words = (atomic_load_explicit(&g->slot_end, memory_order_acquire) + 63) / 64;
    uint32_t per_group = 1u << (PENDING_GROUP_SHIFT - 6);

    if (atomic_load_explicit(&g->pending_count, memory_order_acquire) == 0)
        return WALK_DONE;
    for (uint32_t at = 0; at < words; at += per_group) {
        const _Atomic uint32_t *group = plane_row(&g->pending_groups, at / per_group);
        uint32_t to = words - at < per_group ? words : at + per_group;
        enum walk_end end;

        if (atomic_load_explicit(group, memory_order_acquire) == 0)
            continue;
        end = scan_words(w, &g->pending, at, to, pool);
        if (end != WALK_DONE)
            return end;
    }
    return WALK_DONE;
}

static void prefetch_full(const struct vindex *v, uint32_t slot)
{
    const char *row = (const char *)vindex_vector(v, slot);

    if (row == NULL)
        return;
    for (size_t at = 0; at < v->full.row_bytes && at < 4096; at += 64)
        __builtin_prefetch(row + at);
}

/* Infinitely far where it cannot be read: the search fails then. */
static float key_in_full(struct walk *w, const float *query, uint32_t slot)
{
    const struct vindex *v = w->v;
    const float *vector = vindex_vector(v, slot);

    if (vector == NULL) {
        status st = vindex_read(v, slot, w->scratch->full, w->failed == ST_OK ? w->err : NULL);

        if (st != ST_OK) {
            w->failed = w->failed == ST_OK ? st : w->failed;
            return INFINITY;
        }
        vector = w->scratch->full;
    }
    return full_key(&v->shape, w->k, query, vector);
}

static void full_offer(struct walk *w, const float *query, uint32_t slot)
{
    const struct vindex *v = w->v;
    struct cands *pool = &w->scratch->pool;
    float key = key_in_full(w, query, slot);

    w->stats.scanned++;
    if (cands_wants(pool, key, slot) && slots_live(v->options.slots, slot) && walk_asks(w, slot))
        (void)cands_put(pool, key, slot);
}

/* Rows of a bitmap lie apart: they are fetched some steps before they are compared. */
static enum walk_end scan_full(struct walk *w, const float *query)
{
    const struct vindex *v = w->v;
    uint32_t ahead[FULL_SCAN_AHEAD];
    uint32_t count = 0;
    uint32_t words = (slot_end_of(v) + 63) / 64;

    for (uint32_t at = 0; at < words; at++) {
        uint64_t bits = atomic_load_explicit((_Atomic uint64_t *)plane_row(&v->present, at),
                                             memory_order_acquire) &
                        word_allowed(w, at);

        if (scan_stopped(w, at))
            return WALK_STOPPED;
        for (; bits != 0; bits &= bits - 1) {
            uint32_t slot = at * 64 + (uint32_t)__builtin_ctzll(bits);
            uint32_t *place = &ahead[count % FULL_SCAN_AHEAD];

            if (w->allow != NULL)
                prefetch_full(v, slot);
            if (count++ >= FULL_SCAN_AHEAD)
                full_offer(w, query, *place);
            *place = slot;
        }
    }
    for (uint32_t i = count < FULL_SCAN_AHEAD ? 0 : count - FULL_SCAN_AHEAD; i < count; i++)
        full_offer(w, query, ahead[i % FULL_SCAN_AHEAD]);
    w->stats.distances += w->stats.scanned;
    return WALK_DONE;
}

/* Offers candidates, which are in order, to scratch->best by their full vectors: the first `depth`,
 * and as many more as it takes to fill it. It ends before that where codes would have to be wrong
 * by RERANK_DOUBT times as much as the worst so far for one to get in. Only who is current counts,
 * asked after all was collected: so the old and the new row of one document are never both in an
 * answer. */
static void rerank(struct walk *w, const float *query, const struct cands *from, uint32_t depth)
{
    const struct vindex *v = w->v;
    struct cands *best = &w->scratch->best;
    float wrong = 0;

    for (uint32_t i = 0; i < from->count && (i < depth || best->count < best->cap); i++) {
        uint32_t slot = from->items[i].slot;
        float key, code = from->items[i].key;

        if (best->count == best->cap && !best->heap &&
            code - RERANK_DOUBT * wrong > best->items[best->count - 1].key)
            break;
        if (i + FULL_AHEAD < from->count && i + FULL_AHEAD < depth)
            prefetch_full(v, from->items[i + FULL_AHEAD].slot);
        if (!walk_accepts(w, slot))
            continue;
        key = key_in_full(w, query, slot);
        wrong = fabsf(key - code) > wrong ? fabsf(key - code) : wrong;
        w->stats.distances++;
        if (cands_wants(best, key, slot) && slots_current(v->options.slots, slot))
            (void)cands_put(best, key, slot);
    }
}

/* Of bits all that was found is ranked again, and a scan finds more. */
static bool is_coarse(const struct walk *w)
{
    return w->scratch->codes->shape.kind == VQUANT_BINARY;
}

static uint32_t scan_room(const struct walk *w, const struct plan *p, uint32_t rows)
{
    uint32_t more = rows / SCAN_ROWS < SCAN_MORE_MAX ? rows / SCAN_ROWS : SCAN_MORE_MAX;

    return is_coarse(w) ? COARSE_TIMES * p->k + COARSE_SPARE : 2 * p->k + SCAN_SPARE + more;
}

static uint32_t rerank_spare(const struct walk *w, const struct plan *p)
{
    if (is_coarse(w))
        return p->ef;
    return p->ef / 4 < RERANK_SPARE_MIN ? RERANK_SPARE_MIN : p->ef / 4;
}

static enum walk_end by_scan(struct walk *w, const struct vsearch *s, const struct plan *p)
{
    struct vindex_scratch *sc = w->scratch;
    uint32_t room = scan_room(w, p, p->scanned);
    enum walk_end end;

    if (!cands_start_top(&sc->pool, room) || !cands_start_top(&sc->best, p->k))
        return WALK_NOMEM;
    end = s->exact ? scan_full(w, s->query) : scan_present(w);
    if (end != WALK_DONE)
        return end;
    cands_sort(&sc->pool);
    rerank(w, s->query, &sc->pool, room);
    return WALK_DONE;
}

/* Walks layer 0 past the pending rows that were found already. */
static enum walk_end walk_beside(struct walk *w, struct cands *found)
{
    uint64_t entry = atomic_load_explicit(&w->g->entry, memory_order_acquire);
    struct cand start;
    uint32_t kept = 0;

    if (entry == 0)
        return WALK_DONE;
    start = hnsw_descend(w, entry, 0);
    for (uint32_t i = 0; i < found->count; i++) {
        /* The start may be a row that was pending a moment ago: it is the walk's now. */
        if (found->items[i].slot == start.slot)
            continue;
        (void)visited_mark(&w->scratch->visited, found->items[i].slot);
        found->items[kept++] = found->items[i];
    }
    found->count = kept;
    return hnsw_walk(w, start, 0);
}

/* Nodes that may not be returned take places beside those that may. */
static bool pool_start(struct walk *w, const struct plan *p, uint64_t steps)
{
    struct vindex_scratch *sc = w->scratch;
    uint32_t room = p->ef;

    if (steps > WALK_FLAT_MAX)
        return cands_start(&sc->pool, p->ef, p->ef, true);
    if (w->check)
        room = steps < WALK_ROOM_MIN / 2 ? WALK_ROOM_MIN : 2 * (uint32_t)steps;
    return cands_start(&sc->pool, p->ef, room, false) && ranked_room(&sc->ranked, room);
}

static enum walk_end by_graph(struct walk *w, const struct vsearch *s, const struct plan *p)
{
    struct vindex_scratch *sc = w->scratch;
    uint32_t spare = rerank_spare(w, p);
    uint32_t found = scan_room(w, p, 0);
    enum walk_end end;

    w->check = w->allow != NULL || w->ask != NULL || slots_dead_count(w->v->options.slots) > 0;
    if (!pool_start(w, p, walk_distances(w->g, p) / w->g->made.m) ||
        !cands_start_top(&sc->best, p->k) || !cands_start_top(&sc->around, found))
        return WALK_NOMEM;
    w->distances_max =
        4 * walk_distances(w->g, p) + (walk_filters(w) ? p->scanned / SCAN_PER_WALK : p->rows);
    w->stats.used_graph = true;
    end = scan_pending(w, &sc->around);
    cands_sort(&sc->around);
    if (end == WALK_DONE)
        end = walk_beside(w, &sc->around);
    if (end != WALK_DONE)
        return end;
    cands_sort(&sc->pool);
    rerank(w, s->query, &sc->pool, p->k + spare);
    rerank(w, s->query, &sc->around, sc->around.count);
    return sc->best.count < p->k ? WALK_TOO_MANY : WALK_DONE;
}

static status check_args(const struct vsearch *s, struct err *err)
{
    if (s->k == 0 || s->k > VINDEX_K_MAX)
        return err_set(err, ST_INVALID, "top_k must be 1..%d, it is %" PRIu32, VINDEX_K_MAX, s->k);
    return ST_OK;
}

/* An exponential mean over every so-manieth search that costs enough to be measured. */
static void cost_learn(const struct vindex *v, uint64_t ns, uint32_t distances)
{
    _Atomic uint32_t *at = &v->costs->distance_ps;
    uint64_t before = atomic_load_explicit(at, memory_order_relaxed), now;

    if (distances == 0)
        return;
    now = ns * 1000 / distances;
    now = now > 100000000 ? 100000000 : now;
    now = before == 0 ? now : (before * 7 + now) / 8;
    atomic_store_explicit(at, (uint32_t)now, memory_order_relaxed);
}

static void best_remove(struct cands *best, uint32_t slot)
{
    for (uint32_t i = 0; i < best->count; i++) {
        if (best->items[i].slot != slot)
            continue;
        best->count--;
        memmove(&best->items[i], &best->items[i + 1], (best->count - i) * sizeof best->items[0]);
        return;
    }
}

static void leave_out(struct walk *w, float key)
{
    if (key < w->stats.left_out)
        w->stats.left_out = key;
}

static void best_insert(struct walk *w, float key, uint32_t slot)
{
    struct cands *best = &w->scratch->best;
    uint32_t at = best->count;

    for (uint32_t i = 0; i < best->count; i++)
        if (best->items[i].slot == slot)
            return;
    while (at > 0 && cand_before(key, slot, &best->items[at - 1]))
        at--;
    if (at == best->cap) {
        leave_out(w, key);
        return;
    }
    if (best->count == best->cap)
        leave_out(w, best->items[--best->count].key);
    memmove(&best->items[at + 1], &best->items[at], (best->count - at) * sizeof best->items[0]);
    best->items[at] = (struct cand){.key = key, .slot = slot};
    best->count++;
}

/* Rows of the same document that died after they were ranked: deleted, say, and written anew. */
static void best_remove_dead_of(const struct slots *slots, struct cands *best, uint32_t slot)
{
    struct row row, other;

    slots_row(slots, slot, &row);
    for (uint32_t i = best->count; i-- > 0;) {
        if (slots_live(slots, best->items[i].slot))
            continue;
        slots_row(slots, best->items[i].slot, &other);
        if (docid_equal(&row.id, &other.id))
            best_remove(best, best->items[i].slot);
    }
}

enum succession { OLD_STAYS, NEW_FOLLOWS, BOTH_GONE };

/* Which of a pair its id names. Once a row was current and is not any more it never is again. */
static enum succession who_is_current(const struct slots *slots, uint32_t old, uint32_t new_slot)
{
    for (;;) {
        bool was = slots_current(slots, old);

        if (slots_current(slots, new_slot))
            return NEW_FOLLOWS;
        if (!was)
            return BOTH_GONE;
        if (slots_current(slots, old))
            return OLD_STAYS; /* counted, but not named yet */
    }
}

/* Rows that were replaced while the search ran: it may have met the old one dead and come by the
 * new one's place before it was there, or met both. Each new row takes the place of its old one in
 * `best`, which is in order. False: more were replaced than slots remember. */
static bool catch_up(struct walk *w, const float *query, uint64_t from)
{
    const struct vindex *v = w->v;
    const struct slots *slots = v->options.slots;
    struct cands *best = &w->scratch->best;

    for (uint64_t n = from; n != slots_replacements(slots); n++) {
        enum succession now;
        uint32_t old, slot;

        if (!slots_replacement(slots, n, &old, &slot))
            return false;
        now = who_is_current(slots, old, slot);
        if (now == OLD_STAYS)
            continue;
        best_remove(best, old);
        if (now == BOTH_GONE || !walk_allows(w, slot) || !vindex_filled(v, slot))
            continue; /* deleted, or what replaced the new one comes later in this loop */
        w->stats.distances++;
        best_remove_dead_of(slots, best, slot);
        best_insert(w, key_in_full(w, query, slot), slot);
    }
    return true;
}

/* Where catch_up() has to begin: with the last pair counted if its id may not name the new row yet.
 * A pair before that has nothing to say here: its slots may have other rows since. */
static uint64_t replaced_so_far(const struct slots *slots)
{
    uint64_t count = slots_replacements(slots);
    uint32_t old, slot;

    if (count > 0 && slots_replacement(slots, count - 1, &old, &slot) &&
        slots_replacing(slots, old, slot))
        return count - 1;
    return count;
}

static void hits_write(const struct vindex *v, const struct cands *best, struct vhit *out)
{
    for (uint32_t i = 0; i < best->count; i++)
        out[i] = (struct vhit){
            .slot = best->items[i].slot,
            .distance = key_distance(v->options.metric, best->items[i].key),
        };
}

static enum walk_end search_once(struct walk *w, const struct vsearch *s)
{
    struct plan p = plan_make(w, s);
    enum walk_end end = p.graph ? by_graph(w, s, &p) : by_scan(w, s, &p);

    /* The walk found fewer than were asked for, or gave up: a scan answers completely. */
    if (end == WALK_TOO_MANY)
        end = by_scan(w, s, &p);
    return end;
}

/* How near what was not kept may be, before hits are moved by catch_up(). */
static float key_left_out(const struct vindex_scratch *sc)
{
    const struct cands *best = &sc->best;

    if (best->count < best->cap && sc->pool.count < sc->pool.cap)
        return INFINITY;
    return best->count > 0 ? best->items[best->count - 1].key : -INFINITY;
}

/* So that a document that is replaced meanwhile is in the answer, as its old row or as its new one.
 * Where too many were replaced to catch up the search runs again, a bounded number of times. */
static enum walk_end search(struct walk *w, const struct vsearch *s)
{
    enum walk_end end = WALK_DONE;

    for (int i = 0; i < SEARCH_ATTEMPTS_MAX; i++) {
        uint64_t replaced = replaced_so_far(w->v->options.slots);

        if (!scratch_prepare(w->scratch, w->g, false))
            return WALK_NOMEM;
        code_query_set(&w->scratch->codes->shape, s->query, &w->scratch->query);
        end = search_once(w, s);
        if (end != WALK_DONE)
            return end;
        cands_sort(&w->scratch->best);
        w->stats.left_out = key_left_out(w->scratch);
        if (catch_up(w, s->query, replaced))
            break;
    }
    return end;
}

status vindex_search(const struct vindex *v, struct vindex_scratch *scratch,
                     const struct vsearch *s, struct vhit *out, uint32_t *count,
                     struct vsearch_stats *stats, struct err *err)
{
    struct walk w = {.v = v,
                     .g = graph_served(v),
                     .k = kernels_get(),
                     .scratch = scratch,
                     .allow = s->allow,
                     .allow_slots = s->allow_slots,
                     .ask = s->check,
                     .ask_arg = s->check_arg,
                     .give_up = s->give_up,
                     .stop = s->stop,
                     .distances_max = UINT64_MAX,
                     .err = err};
    bool sampled = scratch->searches++ % COST_SAMPLE_EVERY == 0;
    uint64_t started = sampled ? clock_mono_ns(clock_real()) : 0;
    enum walk_end end;
    status st;

    st = check_args(s, err);
    if (st != ST_OK)
        return st;
    end = search(&w, s);
    if (end == WALK_DONE && s->give_up != NULL && *s->give_up)
        end = WALK_STOPPED; /* rows were answered for that nobody asked any more */
    if (w.failed != ST_OK)
        return err_wrap(err, w.failed, "rank rows on their full vectors");
    if (end == WALK_STOPPED)
        return err_set(err, ST_TIMEOUT, "the search was stopped after %" PRIu32 " distances",
                       w.stats.distances);
    if (end == WALK_NOMEM)
        return err_set(err, ST_NOMEM, "no memory for a search");
    if (sampled)
        cost_learn(v, clock_mono_ns(clock_real()) - started, w.stats.distances);
    hits_write(v, &scratch->best, out);
    *count = scratch->best.count;
    if (isfinite(w.stats.left_out))
        w.stats.left_out = key_distance(v->options.metric, w.stats.left_out);
    if (stats != NULL)
        *stats = w.stats;
    return ST_OK;
}

float vindex_distance(const struct vindex *v, const float *query, uint32_t slot)
{
    const float *vector = vindex_vector(v, slot);
    float *copy = NULL, distance = NAN;

    if (vector == NULL) {
        copy = mem_alloc_array(v->options.dim, sizeof(*copy));
        if (copy != NULL && vindex_read(v, slot, copy, NULL) == ST_OK)
            vector = copy;
    }
    if (vector != NULL)
        distance =
            key_distance(v->options.metric, full_key(&v->shape, kernels_get(), query, vector));
    mem_free(copy);
    return distance;
}

static uint64_t search_distances(const struct vindex *v, const struct vsearch *s)
{
    struct walk w = {
        .v = v, .g = graph_served(v), .allow = s->allow, .allow_slots = s->allow_slots};
    struct plan p = plan_make(&w, s);

    if (p.graph)
        return walk_distances(w.g, &p) +
               atomic_load_explicit(&w.g->pending_count, memory_order_relaxed) / SCAN_PER_WALK;
    return s->exact ? (uint64_t)p.scanned * 4 : p.scanned;
}

uint64_t vindex_search_cost_ns(const struct vindex *v, const struct vsearch *s)
{
    struct epoch_guard guard = epoch_enter(v->options.epoch);
    uint64_t ps = atomic_load_explicit(&v->costs->distance_ps, memory_order_relaxed);
    uint64_t distances = search_distances(v, s);

    epoch_leave(v->options.epoch, guard);
    return distances * (ps == 0 ? COST_PS_FIRST : ps) / 1000;
}
