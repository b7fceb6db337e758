/* Another graph in the place of the one that serves, while it serves.
 *
 * Rows, vectors, codes and slots stay; the new graph has planes of its own beside the old one's.
 *
 *   begin   `next` is there: every row published from now on is pending in both graphs
 *   seed    after a wait for epochs whoever publishes knows it: the rows present before are made
 *           pending in it too. From here on each row is linked or pending in it, as in any graph
 *           that serves, and so it stays: linkers, writers and repair treat both alike
 *   swap    once hardly more is pending in it than is in a graph that serves: one store. Searches
 *           that began before it go on in the old graph, which knows every row that was there when
 *           they began; it is freed when they have left
 *
 * One thread takes all these steps, the one that repairs. Nothing is kept of a graph that is not
 * done: whoever loads the index begins anew. */
#include "index/vindex_internal.h"

#include <inttypes.h>

enum {
    SEED_WORDS = 64,    /* looked at in one guard */
    SWAP_PENDING = 256, /* rows that may still be pending in a graph that comes to serve */
};

/* The graph, whatever it is walked on. */
static bool same(const struct vgraph *a, const struct vgraph *b)
{
    return a->m == b->m && a->ef_construction == b->ef_construction;
}

/* About what the upper lists will take: a node has 1 / (m - 1) levels above the lowest. */
static uint64_t uppers_about(const struct vgraph *made, uint64_t rows)
{
    uint64_t lists = rows * made->m * sizeof(uint32_t) / (made->m - 1u);

    return lists + lists / 16 + rows * sizeof(struct node_upper) / made->m;
}

static uint64_t bytes_needed(const struct vindex *v, const struct vgraph *want)
{
    return atomic_load_explicit(&v->slot_end, memory_order_relaxed) * graph_slot_bytes(want) +
           uppers_about(want, vindex_rows(v));
}

static uint64_t charged_locked(const struct hnsw *g)
{
    return g->claims.charged + atomic_load_explicit(&g->upper_room, memory_order_relaxed) +
           atomic_load_explicit(&g->upper_bytes, memory_order_relaxed);
}

static status charge_locked(struct vindex *v, const struct vgraph *want, uint64_t more,
                            struct err *err)
{
    status st = mem_reserve(v->options.budget, more, err);

    if (st != ST_OK)
        (void)err_wrap(err, st,
                       "a graph of m %u beside the one that serves takes %" PRIu64
                       " bytes, codes %" PRIu64 ", %" PRIu64 " more than are set aside",
                       want->m, bytes_needed(v, want), recode_bytes_needed(v, want->quantization),
                       more);
    return st;
}

status vindex_rebuild_reserve(struct vindex *v, const struct vgraph *want, uint64_t *added,
                              struct err *err)
{
    const struct hnsw *next;
    uint64_t need = 0, have;
    status st = quantization_check(v, want->quantization, err);

    if (st != ST_OK)
        return st;
    lock_take(&v->shared.lock);
    next = graph_next(v);
    have = v->shared.promised + (next == NULL ? 0 : charged_locked(next)) + recode_charged(v);
    if (!same(want, &graph_served(v)->made))
        need = bytes_needed(v, want);
    need += recode_bytes_needed(v, want->quantization);
    need = need > have ? need - have : 0;
    st = charge_locked(v, want, need, err);
    if (st == ST_OK) {
        v->shared.promised += need;
        v->shared.deciding++;
        *added = need;
    }
    lock_drop(&v->shared.lock);
    return st;
}

void vindex_rebuild_settle(struct vindex *v, uint64_t give_back)
{
    lock_take(&v->shared.lock);
    v->shared.deciding--;
    v->shared.settled++;
    v->shared.promised -= give_back;
    mem_release(v->options.budget, give_back);
    lock_drop(&v->shared.lock);
}

uint64_t vindex_rebuild_settled(struct vindex *v)
{
    uint64_t settled;

    lock_take(&v->shared.lock);
    settled = v->shared.settled;
    lock_drop(&v->shared.lock);
    return settled;
}

bool rebuild_may_use_locked(const struct vindex *v, uint64_t settled)
{
    return v->shared.deciding == 0 && v->shared.settled == settled;
}

/* --- begin --- */

static status begin_locked(struct vindex *v, const struct vgraph *want, uint64_t settled,
                           struct err *err)
{
    uint32_t end = atomic_load_explicit(&v->slot_end, memory_order_relaxed);
    uint64_t need = bytes_needed(v, want);
    struct hnsw *g = NULL;
    status st = ST_OK;

    if (!rebuild_may_use_locked(v, settled))
        return err_set(err, ST_CONFLICT, "memory for another graph is being set aside");
    if (need > v->shared.promised)
        st = charge_locked(v, want, need - v->shared.promised, err);
    else
        mem_release(v->options.budget, v->shared.promised - need);
    if (st != ST_OK)
        return st;
    v->shared.promised = 0;
    st = graph_create(v, want, &g, err);
    if (st == ST_OK)
        st = graph_room(g, end, err);
    if (st != ST_OK) {
        graph_destroy(g);
        mem_release(v->options.budget, need);
        return st;
    }
    graph_set_end_locked(g, end);
    atomic_store(&g->upper_room, need - g->claims.charged);
    atomic_store_explicit(&v->next, g, memory_order_release);
    return ST_OK;
}

/* It is not wanted any more. What it was charged with is for the one that is. */
static void drop_next(struct vindex *v)
{
    struct hnsw *g = graph_next(v);

    lock_take(&v->shared.lock);
    atomic_store_explicit(&v->next, NULL, memory_order_release);
    lock_drop(&v->shared.lock);
    epoch_synchronize(v->options.epoch);
    lock_take(&v->shared.lock);
    v->shared.promised += g->claims.charged + atomic_exchange(&g->upper_room, 0);
    g->claims.charged = 0;
    lock_drop(&v->shared.lock);
    graph_destroy(g);
}

static status begin(struct vindex *v, const struct vgraph *want, uint64_t settled, struct err *err)
{
    status st;

    lock_take(&v->shared.lock);
    st = begin_locked(v, want, settled, err);
    lock_drop(&v->shared.lock);
    return st;
}

static void give_back_all(struct vindex *v, uint64_t settled)
{
    lock_take(&v->shared.lock);
    if (rebuild_may_use_locked(v, settled)) {
        mem_release(v->options.budget, v->shared.promised);
        v->shared.promised = 0;
    }
    lock_drop(&v->shared.lock);
}

/* --- seed --- */

/* A row that is present and not live yet is about to be. */
static void seed_words(const struct vindex *v, struct hnsw *g, uint32_t from, uint32_t to)
{
    struct epoch_guard guard = epoch_enter(v->options.epoch);

    for (uint32_t at = from; at < to; at++) {
        uint64_t bits = atomic_load_explicit((_Atomic uint64_t *)plane_row(&v->present, at),
                                             memory_order_acquire);

        for (; bits != 0; bits &= bits - 1) {
            uint32_t slot = at * 64 + (uint32_t)__builtin_ctzll(bits);

            if (slots_state(v->options.slots, slot) != SLOT_DEAD)
                pending_set(g, slot);
        }
    }
    epoch_leave(v->options.epoch, guard);
}

static void seed(struct vindex *v, struct hnsw *g)
{
    uint32_t words;

    epoch_synchronize(v->options.epoch);
    words = (atomic_load_explicit(&g->slot_end, memory_order_acquire) + 63) / 64;
    for (uint32_t at = 0; at < words; at += SEED_WORDS)
        seed_words(v, g, at, words - at < SEED_WORDS ? words : at + SEED_WORDS);
    atomic_store_explicit(&g->open, true, memory_order_release);
}

/* --- swap --- */

static bool is_ready(const struct vindex *v, const struct hnsw *g)
{
    uint32_t pending = atomic_load_explicit(&g->pending_count, memory_order_relaxed);

    return pending <= SWAP_PENDING || graph_to_link_rows(g) == 0 ||
           pending <= atomic_load_explicit(&graph_served(v)->pending_count, memory_order_relaxed);
}

static void swap(struct vindex *v, struct hnsw *g)
{
    struct hnsw *old = graph_served(v);

    lock_take(&v->shared.lock);
    atomic_store_explicit(&v->served, g, memory_order_release);
    atomic_store_explicit(&v->next, NULL, memory_order_release);
    lock_drop(&v->shared.lock);
    mem_release(v->options.budget, atomic_exchange(&g->upper_room, 0));
    epoch_synchronize(v->options.epoch);
    graph_destroy(old);
}

static status step(struct vindex *v, const struct vgraph *want, uint64_t settled,
                   enum vrebuild *out, struct err *err)
{
    struct hnsw *next = graph_next(v);
    enum vrebuild codes = VREBUILD_NONE;
    status st = recode_step(v, want, settled, &codes, err);

    *out = codes;
    if (st != ST_OK || codes == VREBUILD_BEGUN || codes == VREBUILD_LINKING)
        return st;
    *out = VREBUILD_LINKING;
    if (next != NULL && !same(&next->made, want)) {
        drop_next(v);
        next = NULL;
    }
    if (next == NULL && same(&graph_served(v)->made, want)) {
        give_back_all(v, settled);
        *out = codes;
        return ST_OK;
    }
    if (next == NULL) {
        st = begin(v, want, settled, err);
        if (st != ST_OK)
            return st;
        next = graph_next(v);
        seed(v, next);
        *out = VREBUILD_BEGUN;
    }
    if (is_ready(v, next)) {
        swap(v, next);
        *out = VREBUILD_DONE;
    }
    return ST_OK;
}

status vindex_rebuild_step(struct vindex *v, const struct vgraph *want, uint64_t settled,
                           enum vrebuild *out, struct err *err)
{
    bool running = false;
    status st = quantization_check(v, want->quantization, err);

    if (st != ST_OK)
        return st;
    if (!atomic_compare_exchange_strong(&v->repairing, &running, true))
        return err_set(err, ST_CONFLICT, "a repair of this graph is running");
    st = step(v, want, settled, out, err);
    atomic_store(&v->repairing, false);
    return st;
}

bool vindex_rebuild_shown(const struct vindex *v, struct vrebuild_progress *out)
{
    struct epoch_guard guard = epoch_enter(v->options.epoch);
    const struct hnsw *next = graph_next(v);
    bool recoding = recode_shown(v, out);

    if (next != NULL && !recoding) {
        out->made = next->made;
        out->made.quantization = codes_now(v)->shape.kind;
        out->linked = atomic_load_explicit(&next->linked_count, memory_order_relaxed);
        out->pending = atomic_load_explicit(&next->pending_count, memory_order_relaxed);
    }
    epoch_leave(v->options.epoch, guard);
    return next != NULL || recoding;
}

struct vgraph vindex_graph(const struct vindex *v)
{
    struct epoch_guard guard = epoch_enter(v->options.epoch);
    struct vgraph made = graph_served(v)->made;

    made.quantization = codes_now(v)->shape.kind;

    epoch_leave(v->options.epoch, guard);
    return made;
}

/* --- loading --- */

status vindex_graph_load(struct vindex *v, const struct vgraph *made, struct err *err)
{
    struct hnsw *old = graph_served(v), *g = NULL;
    uint32_t end = atomic_load_explicit(&v->slot_end, memory_order_relaxed);
    uint64_t bytes = end * graph_slot_bytes(made), had = old->claims.charged;
    uint64_t more = bytes > had ? bytes - had : 0;
    status st;

    if (same(made, &old->made))
        return ST_OK;
    if (made->m < VINDEX_M_MIN || made->m > VINDEX_M_MAX || made->ef_construction == 0 ||
        made->ef_construction > VINDEX_EF_MAX || atomic_load(&old->linked_count) > 0)
        return err_set(err, ST_INVALID, "no graph to take over: m %u, ef_construction %u", made->m,
                       made->ef_construction);
    st = mem_reserve(v->options.budget, more, err);
    if (st != ST_OK)
        return st;
    st = graph_create(v, made, &g, err);
    if (st == ST_OK)
        st = graph_room(g, end, err);
    if (st != ST_OK) {
        graph_destroy(g);
        mem_release(v->options.budget, more);
        return st;
    }
    graph_set_end_locked(g, end);
    atomic_store(&g->open, true);
    atomic_store_explicit(&v->served, g, memory_order_release);
    old->claims.charged -= bytes - more; /* has become the new one's */
    graph_destroy(old);
    return ST_OK;
}
