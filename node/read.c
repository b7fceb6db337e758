#include "node/node_internal.h"

#include <stdatomic.h>

struct vindex_scratch *scratch_take(struct node *node, struct err *err)
{
    struct vindex_scratch *scratch = NULL;

    lock_take(&node->scratches.lock);
    if (node->scratches.count > 0)
        scratch = node->scratches.items[--node->scratches.count];
    lock_drop(&node->scratches.lock);
    if (scratch != NULL)
        return scratch;
    return vindex_scratch_create(&scratch, err) == ST_OK ? scratch : NULL;
}

void scratch_drop(struct node *node, struct vindex_scratch *scratch)
{
    lock_take(&node->scratches.lock);
    if (node->scratches.count < node->scratches.room) {
        node->scratches.items[node->scratches.count++] = scratch;
        scratch = NULL;
    }
    lock_drop(&node->scratches.lock);
    vindex_scratch_destroy(scratch);
}

static status readable(struct collection *c, struct err *err)
{
    switch (atomic_load_explicit(&c->seq.state, memory_order_acquire)) {
    case COLLECTION_SERVING:
    case COLLECTION_READ_ONLY:
        return ST_OK;
    case COLLECTION_LOADING:
        return err_set(err, ST_UNAVAILABLE,
                       "the collection is still loading; GET /ready says how far it is");
    case COLLECTION_FAILED:
        return err_set(err, ST_UNAVAILABLE,
                       "the collection could not be loaded; GET /health says why");
    case COLLECTION_DROPPED:
        return err_set(err, ST_NOT_FOUND, "the collection was dropped");
    }
    return err_set(err, ST_BUG, "collection state");
}

/* Copies into the arena; an empty slice stays empty. False when memory is out. */
static bool keep(struct arena *arena, struct slice from, struct slice *out)
{
    uint8_t *copy;

    *out = (struct slice){0};
    if (from.bytes == 0)
        return true;
    copy = arena_alloc(arena, from.bytes);
    if (copy == NULL)
        return false;
    memcpy(copy, from.data, from.bytes);
    *out = slice_make(copy, from.bytes);
    return true;
}

static bool keep_id(struct arena *arena, const struct docid *from, struct docid *out)
{
    *out = *from;
    return from->kind != DOCID_BYTES || keep(arena, from->bytes, &out->bytes);
}

static bool keep_vector(struct arena *arena, const struct collection *c, uint32_t slot,
                        const float **out)
{
    float *copy = arena_array(arena, c->dim, sizeof *copy);

    if (copy == NULL)
        return false;
    memcpy(copy, vindex_vector(c->vindex, slot), c->dim * sizeof *copy);
    *out = copy;
    return true;
}

/* As in the compatible API: cosine and dot the similarity, l2 and l1 the distance. */
static float score_of(enum vmetric metric, float distance)
{
    switch (metric) {
    case VMETRIC_COSINE:
        return 1.0f - distance;
    case VMETRIC_DOT:
        return -distance;
    case VMETRIC_L2:
    case VMETRIC_L1:
        return distance;
    }
    return distance;
}

static bool keep_match(struct arena *arena, const struct collection *c, const struct vhit *hit,
                       const struct query_options *options, struct match *out)
{
    struct row row;

    slots_row(c->slots, hit->slot, &row);
    *out = (struct match){
        .distance = hit->distance, .score = score_of(c->metric, hit->distance), .lsn = row.lsn};
    return keep_id(arena, &row.id, &out->id) && keep(arena, row.external_id, &out->external_id) &&
           (!options->with_payload || keep(arena, row.payload, &out->payload)) &&
           (!options->with_vector || keep_vector(arena, c, hit->slot, &out->vector));
}

static status search(struct collection *c, const float *query, const struct query_options *options,
                     uint64_t started_ns, struct arena *arena, struct query_result *out,
                     struct vindex_scratch *scratch, struct err *err)
{
    struct vhit *hits = arena_array(arena, options->top_k, sizeof *hits);
    struct vsearch s = {.query = query,
                        .k = options->top_k,
                        .ef = options->ef_search,
                        .exact = options->exact,
                        .stop = options->stop};
    struct vsearch_stats stats = {0};
    struct epoch_guard guard;
    status st;

    out->matches = arena_array(arena, options->top_k, sizeof *out->matches);
    if (hits == NULL || out->matches == NULL)
        return err_set(err, ST_NOMEM, "out of memory for %u matches", options->top_k);
    guard = epoch_enter(c->node->epoch);
    st = vindex_search(c->vindex, scratch, &s, hits, &out->count, &stats, err);
    for (uint32_t i = 0; st == ST_OK && i < out->count; i++) {
        if (!keep_match(arena, c, &hits[i], options, &out->matches[i]))
            st = err_set(err, ST_NOMEM,
                         "out of memory for the payloads of %u matches; ask for fewer", out->count);
    }
    stats_observe(atomic_load_explicit(&c->stats, memory_order_acquire)->search_seconds,
                  (double)(clock_mono_ns(c->node->options.clock) - started_ns) * 1e-9);
    epoch_leave(c->node->epoch, guard);
    out->visited = stats.visited;
    out->distances = stats.distances;
    out->scanned = stats.scanned;
    out->used_graph = stats.used_graph;
    stats_add(c->node->distance_computations, stats.distances);
    return st;
}

status node_query(struct collection *c, float *query, const struct query_options *options,
                  struct arena *arena, struct query_result *out, struct err *err)
{
    uint64_t started_ns = clock_mono_ns(c->node->options.clock);
    struct vindex_scratch *scratch;
    status st = readable(c, err);

    *out = (struct query_result){0};
    if (st != ST_OK)
        return st;
    if (options->deadline_ns != 0 && started_ns > options->deadline_ns)
        return err_set(err, ST_TIMEOUT,
                       "the deadline passed before the search began; the node is busy");
    if (options->top_k == 0 || options->top_k > VINDEX_K_MAX)
        return err_set(err, ST_INVALID, "top_k is %u, 1 to %d is taken", options->top_k,
                       VINDEX_K_MAX);
    if (c->metric == VMETRIC_COSINE)
        (void)vindex_normalise(query, c->dim);
    scratch = scratch_take(c->node, err);
    if (scratch == NULL)
        return ST_NOMEM;
    st = search(c, query, options, started_ns, arena, out, scratch, err);
    scratch_drop(c->node, scratch);
    return st;
}

uint64_t node_query_cost_ns(struct collection *c, const struct query_options *options)
{
    const struct vsearch s = {
        .k = options->top_k, .ef = options->ef_search, .exact = options->exact};

    return readable(c, NULL) == ST_OK ? vindex_search_cost_ns(c->vindex, &s) : 0;
}

static bool keep_document(struct arena *arena, const struct collection *c, uint32_t slot,
                          bool with_vector, struct document *out)
{
    struct row row;

    slots_row(c->slots, slot, &row);
    *out = (struct document){.inserted_at_ns = row.inserted_at_ns, .lsn = row.lsn};
    return keep_id(arena, &row.id, &out->id) && keep(arena, row.external_id, &out->external_id) &&
           keep(arena, row.payload, &out->payload) &&
           (!with_vector || keep_vector(arena, c, slot, &out->vector));
}

status node_get(struct collection *c, const struct docid *id, struct arena *arena,
                struct document *out, struct err *err)
{
    status st = readable(c, err);
    struct epoch_guard guard;
    uint32_t slot;

    if (st != ST_OK)
        return st;
    guard = epoch_enter(c->node->epoch);
    slot = slots_find(c->slots, id);
    if (slot == SLOT_NONE)
        st = err_set(err, ST_NOT_FOUND, "no document with this id");
    else if (!keep_document(arena, c, slot, true, out))
        st = err_set(err, ST_NOMEM, "out of memory for one document");
    epoch_leave(c->node->epoch, guard);
    return st;
}

status node_list(struct collection *c, const struct docid *after, uint32_t limit, bool with_vector,
                 struct arena *arena, struct document **out, uint32_t *count, bool *more,
                 struct err *err)
{
    uint32_t *slots = arena_array(arena, (size_t)limit + 1, sizeof *slots);
    struct document *page = arena_array(arena, limit, sizeof *page);
    struct epoch_guard guard;
    uint32_t found = 0;
    status st = readable(c, err);

    if (st != ST_OK)
        return st;
    if (slots == NULL || page == NULL)
        return err_set(err, ST_NOMEM, "out of memory for a page of %u documents", limit);
    guard = epoch_enter(c->node->epoch);
    st = slots_page(c->slots, after, limit + 1, slots, &found, err);
    *more = st == ST_OK && found > limit;
    *count = *more ? limit : found;
    for (uint32_t i = 0; st == ST_OK && i < *count; i++) {
        if (!keep_document(arena, c, slots[i], with_vector, &page[i]))
            st = err_set(err, ST_NOMEM, "out of memory for a page of %u documents; ask for fewer",
                         limit);
    }
    epoch_leave(c->node->epoch, guard);
    *out = page;
    return st;
}
