/* Codes of another quantization in the place of those that are searched, while they are.
 *
 * Links, rows and slots stay: a link is one whatever it was found on. The steps are those of a
 * graph (rebuild.c), taken by the same thread, before them where a graph is to follow:
 *
 *   begin   `codes_next` is there: whoever fills a row writes both
 *   encode  after a wait for epochs everybody knows it: rows that were filled before get theirs
 *           from here, or, where they were not published yet, from who publishes them
 *   swap    one store. Searches and linkers that began before it go on with the old codes, which
 *           are freed when they have left */
#include "index/vindex_internal.h"

enum {
    WORDS_A_GUARD = 16,  /* of 64 rows */
    WORDS_A_STEP = 1024, /* 65,536 rows */
};

static uint64_t slots_of(const struct vindex *v)
{
    return atomic_load_explicit(&v->slot_end, memory_order_relaxed);
}

uint64_t recode_bytes_needed(const struct vindex *v, enum vquantization kind)
{
    struct code_shape shape = code_shape_of(kind, v->options.metric, v->options.dim);

    if (kind == VQUANT_NONE || kind == codes_now(v)->shape.kind)
        return 0;
    return slots_of(v) * shape.row_bytes;
}

uint64_t recode_charged(const struct vindex *v)
{
    const struct codeset *next = codes_to_come(v);

    return next == NULL ? 0 : slots_of(v) * codeset_slot_bytes(next);
}

bool recode_shown(const struct vindex *v, struct vrebuild_progress *out)
{
    const struct codeset *next = codes_to_come(v);
    uint32_t rows = vindex_rows(v), done;

    *out = (struct vrebuild_progress){0};
    if (next == NULL)
        return false;
    done = atomic_load_explicit(&next->words_done, memory_order_relaxed) * 64;
    out->made = next->wanted;
    out->linked = done < rows ? done : rows;
    out->pending = rows - out->linked;
    return true;
}

/* --- begin --- */

static status begin_locked(struct vindex *v, struct codeset *c, uint64_t settled, struct err *err)
{
    uint64_t need = slots_of(v) * codeset_slot_bytes(c), more;
    status st = ST_OK;

    if (!rebuild_may_use_locked(v, settled))
        return err_set(err, ST_CONFLICT, "memory for other codes is being set aside");
    more = need > v->shared.promised ? need - v->shared.promised : 0;
    st = mem_reserve(v->options.budget, more, err);
    if (st != ST_OK)
        return err_wrap(err, st, "codes beside those that are searched");
    st = codeset_room(c, (uint32_t)slots_of(v), err);
    if (st != ST_OK) {
        mem_release(v->options.budget, more);
        return st;
    }
    v->shared.promised -= need - more;
    v->shared.charged += need;
    atomic_store_explicit(&v->codes_next, c, memory_order_release);
    return ST_OK;
}

static status begin(struct vindex *v, const struct vgraph *want, uint64_t settled, struct err *err)
{
    struct codeset *c = &v->plain;
    status st = ST_OK;

    if (want->quantization != VQUANT_NONE)
        st = codeset_create(v, want->quantization, &c, err);
    if (st != ST_OK)
        return st;
    c->wanted = *want;
    atomic_store_explicit(&c->words_done, 0, memory_order_relaxed);
    lock_take(&v->shared.lock);
    st = begin_locked(v, c, settled, err);
    lock_drop(&v->shared.lock);
    if (st != ST_OK) {
        codeset_destroy(v, c);
        return st;
    }
    epoch_synchronize(v->options.epoch);
    return ST_OK;
}

/* It is not wanted any more. What it was charged with is for what is. */
static void drop_next(struct vindex *v)
{
    struct codeset *c = codes_to_come(v);
    uint64_t bytes;

    lock_take(&v->shared.lock);
    atomic_store_explicit(&v->codes_next, NULL, memory_order_release);
    bytes = slots_of(v) * codeset_slot_bytes(c);
    v->shared.charged -= bytes;
    v->shared.promised += bytes;
    lock_drop(&v->shared.lock);
    epoch_synchronize(v->options.epoch);
    codeset_destroy(v, c);
}

/* --- encode --- */

/* Rows that are present stay so: no repair runs beside this. */
static void encode_words(const struct vindex *v, struct codeset *c, uint32_t from, uint32_t to)
{
    struct epoch_guard guard = epoch_enter(v->options.epoch);

    for (uint32_t at = from; at < to; at++) {
        uint64_t bits = atomic_load_explicit((_Atomic uint64_t *)plane_row(&v->present, at),
                                             memory_order_acquire);

        for (; bits != 0; bits &= bits - 1) {
            uint32_t slot = at * 64 + (uint32_t)__builtin_ctzll(bits);

            if (!plane_bit(&c->has, slot))
                codeset_write(c, slot, vindex_vector(v, slot));
        }
    }
    epoch_leave(v->options.epoch, guard);
}

/* True: every row that is present has its code. */
static bool encode_some(const struct vindex *v, struct codeset *c)
{
    uint32_t words = (atomic_load_explicit(&v->slot_end, memory_order_acquire) + 63) / 64;
    uint32_t at = atomic_load_explicit(&c->words_done, memory_order_relaxed);
    uint32_t end = words - at < WORDS_A_STEP ? words : at + WORDS_A_STEP;

    if (c->shape.kind == VQUANT_NONE)
        return true;
    while (at < end) {
        uint32_t to = end - at < WORDS_A_GUARD ? end : at + WORDS_A_GUARD;

        encode_words(v, c, at, to);
        at = to;
        atomic_store_explicit(&c->words_done, at, memory_order_relaxed);
    }
    return at == words;
}

/* --- swap --- */

static void swap(struct vindex *v, struct codeset *c)
{
    struct codeset *old = codes_now(v);
    uint64_t bytes;

    lock_take(&v->shared.lock);
    atomic_store_explicit(&v->codes, c, memory_order_release);
    atomic_store_explicit(&v->codes_next, NULL, memory_order_release);
    bytes = slots_of(v) * codeset_slot_bytes(old);
    v->shared.charged -= bytes;
    lock_drop(&v->shared.lock);
    epoch_synchronize(v->options.epoch);
    codeset_destroy(v, old);
    mem_release(v->options.budget, bytes);
}

status recode_step(struct vindex *v, const struct vgraph *want, uint64_t settled,
                   enum vrebuild *out, struct err *err)
{
    struct codeset *next = codes_to_come(v);

    *out = VREBUILD_NONE;
    if (next != NULL && next->shape.kind != want->quantization) {
        drop_next(v);
        next = NULL;
    }
    if (codes_now(v)->shape.kind == want->quantization)
        return ST_OK;
    if (next == NULL && want->quantization == VQUANT_BINARY &&
        vindex_rows(v) < VQUANT_BINARY_ROWS_MIN)
        return ST_OK; /* too few to learn from */
    *out = VREBUILD_LINKING;
    if (next == NULL) {
        status st = begin(v, want, settled, err);

        if (st != ST_OK)
            return st;
        next = codes_to_come(v);
        *out = VREBUILD_BEGUN;
    }
    if (!encode_some(v, next))
        return ST_OK;
    swap(v, next);
    *out = VREBUILD_DONE;
    return ST_OK;
}
