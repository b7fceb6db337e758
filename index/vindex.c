#include "index/vindex_internal.h"

#include <inttypes.h>
#include <math.h>

const char *vmetric_name(enum vmetric m)
{
    switch (m) {
    case VMETRIC_COSINE:
        return "cosine";
    case VMETRIC_DOT:
        return "dot";
    case VMETRIC_L2:
        return "l2";
    case VMETRIC_L1:
        return "l1";
    }
    return "unknown";
}

bool vmetric_parse(const char *name, enum vmetric *out)
{
    static const enum vmetric all[] = {VMETRIC_COSINE, VMETRIC_DOT, VMETRIC_L2, VMETRIC_L1};

    for (size_t i = 0; i < COUNT_OF(all); i++) {
        if (strcmp(name, vmetric_name(all[i])) != 0)
            continue;
        *out = all[i];
        return true;
    }
    return false;
}

static const char *const quantization_names[] = {
    [VQUANT_SCALAR] = "scalar",
    [VQUANT_NONE] = "none",
    [VQUANT_BINARY] = "binary",
    [VQUANT_PRODUCT] = "product",
};

const char *vquantization_name(enum vquantization q)
{
    return (size_t)q < COUNT_OF(quantization_names) ? quantization_names[q] : "unknown";
}

bool vquantization_parse(const char *name, enum vquantization *out)
{
    if (strcmp(name, "rabitq") == 0)
        name = vquantization_name(VQUANT_BINARY);
    for (size_t i = 0; i < COUNT_OF(quantization_names); i++) {
        if (strcmp(name, quantization_names[i]) != 0)
            continue;
        *out = (enum vquantization)i;
        return true;
    }
    return false;
}

status vquantization_check(enum vquantization q, struct err *err)
{
    if (q == VQUANT_SCALAR || q == VQUANT_NONE || q == VQUANT_BINARY)
        return ST_OK;
    return err_set(err, ST_INVALID,
                   "no index has the quantization %s: it is none, scalar or binary",
                   vquantization_name(q));
}

bool vindex_normalise(float *v, uint32_t dim)
{
    double sum = 0, per;

    for (uint32_t i = 0; i < dim; i++)
        sum += (double)v[i] * (double)v[i];
    if (!(sum > 0))
        return false;
    /* Rounding to floats moves the square of a unit vector's norm by 2^-23 at most: one that was
     * normalised before stays as it is, bit by bit. */
    if (fabs(sum - 1.0) <= 0x1p-22)
        return true;
    per = 1.0 / sqrt(sum);
    for (uint32_t i = 0; i < dim; i++)
        v[i] = (float)((double)v[i] * per);
    return true;
}

static status options_check(const struct vindex_options *o, struct err *err)
{
    if (o->dim == 0 || o->dim > VINDEX_DIM_MAX)
        return err_set(err, ST_INVALID, "dim must be 1..%d, it is %" PRIu32, VINDEX_DIM_MAX,
                       o->dim);
    if (o->metric < VMETRIC_COSINE || o->metric > VMETRIC_L1)
        return err_set(err, ST_INVALID, "unknown metric %d", (int)o->metric);
    if (o->m < VINDEX_M_MIN || o->m > VINDEX_M_MAX)
        return err_set(err, ST_INVALID, "m must be %d..%d, it is %u", VINDEX_M_MIN, VINDEX_M_MAX,
                       o->m);
    if (o->ef_construction == 0 || o->ef_construction > VINDEX_EF_MAX)
        return err_set(err, ST_INVALID, "ef_construction must be 1..%d, it is %u", VINDEX_EF_MAX,
                       o->ef_construction);
    if (o->ef_search == 0 || o->ef_search > VINDEX_EF_MAX)
        return err_set(err, ST_INVALID, "ef_search must be 1..%d, it is %u", VINDEX_EF_MAX,
                       o->ef_search);
    return vquantization_check(o->quantization, err);
}

status quantization_check(const struct vindex *v, enum vquantization q, struct err *err)
{
    status st = vquantization_check(q, err);

    if (st == ST_OK && q != VQUANT_SCALAR && !vectors_in_ram(v))
        return err_set(err, ST_INVALID,
                       "the quantization of an index without vectors in RAM is scalar, not %s",
                       vquantization_name(q));
    return st;
}

static status codes_first(struct vindex *v, enum vquantization kind, struct err *err)
{
    struct codeset *c = &v->plain;

    if (kind != VQUANT_NONE && kind != VQUANT_BINARY) {
        status st = codeset_create(v, kind, &c, err);

        if (st != ST_OK)
            return st;
    }
    atomic_store(&v->codes, c);
    return ST_OK;
}

status vindex_create(const struct vindex_options *options, struct vindex **out, struct err *err)
{
    const struct vgraph made = {.m = options->m,
                                .ef_construction = options->ef_construction,
                                .quantization = options->quantization};
    struct hnsw *g = NULL;
    struct vindex *v;
    status st = options_check(options, err);

    if (st != ST_OK)
        return st;
    v = mem_zero(sizeof(*v));
    if (v != NULL)
        v->costs = mem_zero(sizeof(*v->costs));
    if (v == NULL || v->costs == NULL) {
        mem_free(v);
        return err_set(err, ST_NOMEM, "no memory for a vector index");
    }
    v->options = *options;
    v->shape = code_shape_of(VQUANT_NONE, options->metric, options->dim);
    plane_init(&v->full, v->shape.row_bytes);
    v->plain = (struct codeset){.shape = v->shape, .rows = &v->full};
    plane_init(&v->filled, sizeof(uint64_t));
    plane_init(&v->present, sizeof(uint64_t));
    lock_init(&v->shared.lock, LOCK_RANK_VINDEX, "vindex");
    atomic_store(&v->ef_search, options->ef_search);
    atomic_store(&v->threshold, options->threshold);
    st = quantization_check(v, options->quantization, err);
    if (st == ST_OK)
        st = graph_create(v, &made, &g, err);
    if (st == ST_OK)
        st = codes_first(v, options->quantization, err);
    if (st != ST_OK) {
        graph_destroy(g);
        vindex_destroy(v);
        return st;
    }
    atomic_store(&g->open, true);
    atomic_store(&v->served, g);
    *out = v;
    return ST_OK;
}

void vindex_destroy(struct vindex *v)
{
    if (v == NULL)
        return;
    graph_destroy(graph_served(v));
    graph_destroy(graph_next(v));
    for (struct vindex_scratch *s = v->shared.scratches; s != NULL;) {
        struct vindex_scratch *next = s->next;

        vindex_scratch_destroy(s);
        s = next;
    }
    codeset_destroy(v, codes_now(v));
    codeset_destroy(v, codes_to_come(v));
    plane_fini(&v->full);
    plane_fini(&v->filled);
    plane_fini(&v->present);
    mem_release(v->options.budget, v->shared.charged + v->shared.promised);
    lock_fini(&v->shared.lock);
    mem_free(v->costs);
    mem_free(v);
}

static status planes_grow(struct vindex *v, uint32_t slot_end, struct err *err)
{
    struct {
        struct plane *plane;
        uint32_t rows;
    } all[] = {
        {&v->full, vectors_in_ram(v) ? slot_end : 0},
        {&v->filled, (slot_end + 63) / 64},
        {&v->present, (slot_end + 63) / 64},
    };

    for (size_t i = 0; i < COUNT_OF(all); i++) {
        status st = plane_grow(all[i].plane, all[i].rows, err);

        if (st != ST_OK)
            return st;
    }
    return ST_OK;
}

static status planes_grow_all(struct vindex *v, struct hnsw *const graphs[], uint32_t slot_end,
                              struct err *err)
{
    status st = planes_grow(v, slot_end, err);

    if (st == ST_OK)
        st = codeset_room(codes_now(v), slot_end, err);
    if (st == ST_OK && codes_to_come(v) != NULL)
        st = codeset_room(codes_to_come(v), slot_end, err);
    for (size_t i = 0; st == ST_OK && graphs[i] != NULL; i++)
        st = graph_room(graphs[i], slot_end, err);
    return st;
}

static status reserve_locked(struct vindex *v, uint32_t slot_end, struct err *err)
{
    struct hnsw *graphs[] = {graph_served(v), graph_next(v), NULL};
    uint64_t more;
    status st;

    if (slot_end <= atomic_load_explicit(&v->slot_end, memory_order_relaxed))
        return ST_OK;
    if (slot_end > SLOTS_MAX)
        return err_set(err, ST_LIMIT, "more than %u rows", SLOTS_MAX);
    /* Pieces are larger than what is asked for, but cost memory only where rows are written: rows
     * are what is charged. */
    more = slot_end * row_bytes_locked(v) - v->shared.charged;
    for (size_t i = 0; graphs[i] != NULL; i++)
        more += (uint64_t)slot_end * graphs[i]->slot_bytes - graphs[i]->claims.charged;
    st = mem_reserve(v->options.budget, more, err);
    if (st != ST_OK)
        return st;
    st = planes_grow_all(v, graphs, slot_end, err);
    if (st != ST_OK) {
        mem_release(v->options.budget, more);
        return st;
    }
    v->shared.charged = slot_end * row_bytes_locked(v);
    for (size_t i = 0; graphs[i] != NULL; i++)
        graph_set_end_locked(graphs[i], slot_end);
    atomic_store_explicit(&v->slot_end, slot_end, memory_order_release);
    return ST_OK;
}

status vindex_reserve(struct vindex *v, uint32_t slot_end, struct err *err)
{
    status st;

    if (slot_end <= atomic_load_explicit(&v->slot_end, memory_order_acquire))
        return ST_OK;
    lock_take(&v->shared.lock);
    st = reserve_locked(v, slot_end, err);
    lock_drop(&v->shared.lock);
    return st;
}

void vindex_fill(struct vindex *v, uint32_t slot, const float *vector)
{
    struct epoch_guard guard = epoch_enter(v->options.epoch);
    struct codeset *next = codes_to_come(v); /* before the other */
    struct codeset *now = codes_now(v);

    if (vectors_in_ram(v))
        memcpy(plane_row(&v->full, slot), vector, (size_t)v->options.dim * sizeof(float));
    codeset_write(now, slot, vector);
    if (next != NULL && next != now)
        codeset_write(next, slot, vector);
    (void)plane_bit_set(&v->filled, slot);
    epoch_leave(v->options.epoch, guard);
}

/* Codes that came after the row was filled. */
static void codes_complete(struct codeset *c, uint32_t slot, const float *vector)
{
    if (c != NULL && c->shape.kind != VQUANT_NONE && !plane_bit(&c->has, slot))
        codeset_write(c, slot, vector);
}

void vindex_clear(struct vindex *v, uint32_t slot)
{
    if (plane_bit(&v->filled, slot))
        (void)plane_bit_clear(&v->filled, slot);
}

void vindex_publish(struct vindex *v, uint32_t slot)
{
    struct epoch_guard guard = epoch_enter(v->options.epoch);
    struct hnsw *next = graph_next(v); /* before the other */
    struct hnsw *served = graph_served(v);
    struct codeset *codes_next = codes_to_come(v); /* likewise */

    codes_complete(codes_now(v), slot, vindex_vector(v, slot));
    codes_complete(codes_next, slot, vindex_vector(v, slot));
    if (plane_bit_set(&v->present, slot))
        atomic_fetch_add_explicit(&v->present_count, 1, memory_order_relaxed);
    pending_set(served, slot);
    if (next != NULL && next != served)
        pending_set(next, slot);
    epoch_leave(v->options.epoch, guard);
}

const float *vindex_vector(const struct vindex *v, uint32_t slot)
{
    return vectors_in_ram(v) ? plane_row(&v->full, slot) : NULL;
}

status vindex_read(const struct vindex *v, uint32_t slot, float *out, struct err *err)
{
    if (!vectors_in_ram(v))
        return v->options.vectors.read(v->options.vectors.arg, slot, out, err);
    memcpy(out, vindex_vector(v, slot), (size_t)v->options.dim * sizeof(float));
    return ST_OK;
}

bool vindex_filled(const struct vindex *v, uint32_t slot)
{
    return slot < atomic_load_explicit(&v->slot_end, memory_order_acquire) &&
           plane_bit(&v->filled, slot);
}

/* Numbers of graphs are read in a guard: another one may come to serve. */
uint32_t vindex_pending(const struct vindex *v)
{
    struct epoch_guard guard = epoch_enter(v->options.epoch);
    uint32_t count = atomic_load_explicit(&graph_served(v)->pending_count, memory_order_relaxed);

    epoch_leave(v->options.epoch, guard);
    return count;
}

uint32_t vindex_linked(const struct vindex *v)
{
    struct epoch_guard guard = epoch_enter(v->options.epoch);
    uint32_t count = atomic_load_explicit(&graph_served(v)->linked_count, memory_order_relaxed);

    epoch_leave(v->options.epoch, guard);
    return count;
}

uint32_t vindex_to_link(const struct vindex *v)
{
    struct epoch_guard guard = epoch_enter(v->options.epoch);
    const struct hnsw *next = graph_next(v);
    const struct hnsw *served = graph_served(v);
    uint32_t count = graph_to_link_rows(served);

    count += next == NULL || next == served ? 0 : graph_to_link_rows(next);
    epoch_leave(v->options.epoch, guard);
    return count;
}

uint32_t vindex_rows(const struct vindex *v)
{
    return atomic_load_explicit(&v->present_count, memory_order_relaxed);
}

static bool has_graph(const struct hnsw *g)
{
    return atomic_load_explicit(&g->entry, memory_order_relaxed) != 0;
}

bool vindex_graph_wanted(const struct vindex *v)
{
    struct epoch_guard guard = epoch_enter(v->options.epoch);
    bool wanted = has_graph(graph_served(v)) || vindex_rows(v) >= vindex_threshold(v);

    epoch_leave(v->options.epoch, guard);
    return wanted;
}

void vindex_set_threshold(struct vindex *v, uint32_t rows)
{
    atomic_store_explicit(&v->threshold, rows, memory_order_relaxed);
}

uint32_t vindex_threshold(const struct vindex *v)
{
    return atomic_load_explicit(&v->threshold, memory_order_relaxed);
}

void vindex_set_ef_search(struct vindex *v, uint16_t ef)
{
    atomic_store_explicit(&v->ef_search, ef, memory_order_relaxed);
}

uint16_t vindex_ef_search(const struct vindex *v)
{
    return (uint16_t)atomic_load_explicit(&v->ef_search, memory_order_relaxed);
}

static uint64_t graph_bytes(const struct hnsw *g)
{
    return (uint64_t)atomic_load_explicit(&g->slot_end, memory_order_relaxed) * g->slot_bytes +
           atomic_load_explicit(&g->upper_bytes, memory_order_relaxed);
}

void vindex_sizes(const struct vindex *v, struct vindex_sizes *out)
{
    struct epoch_guard guard = epoch_enter(v->options.epoch);
    const struct hnsw *next = graph_next(v);
    uint64_t slots = atomic_load_explicit(&v->slot_end, memory_order_relaxed);
    const struct codeset *to_come = codes_to_come(v), *now = codes_now(v);

    *out = (struct vindex_sizes){.vectors = slots * full_slot_bytes(v),
                                 .codes = slots * codeset_slot_bytes(now),
                                 .links = graph_bytes(graph_served(v))};
    if (to_come != NULL && to_come != now)
        out->codes += slots * codeset_slot_bytes(to_come);
    out->links += next == NULL ? 0 : graph_bytes(next);
    epoch_leave(v->options.epoch, guard);
}

uint64_t vindex_bytes(const struct vindex *v)
{
    struct vindex_sizes sizes;

    vindex_sizes(v, &sizes);
    return sizes.vectors + sizes.codes + sizes.links;
}

const char *vindex_kernel(void)
{
    return kernels_get()->name;
}

bool vindex_kernel_choose(const char *name)
{
    return kernels_choose(name);
}
