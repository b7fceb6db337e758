#include "index/slots_internal.h"

#include <inttypes.h>

#include "base/rand.h"

status slots_create(const struct slots_options *options, struct slots **out, struct err *err)
{
    struct slots *s = mem_zero(sizeof *s);
    status st;

    if (s == NULL)
        return err_set(err, ST_NOMEM, "out of memory for a table of rows");
    s->epoch = options->epoch;
    s->budget = options->budget;
    s->hash_seed = rand_u64(rand_kernel());
    atomic_init(&s->settling, SLOT_NONE);
    atomic_init(&s->settled_old, SLOT_NONE);
    st = pool_create(s, &s->pool, err);
    if (st != ST_OK) {
        mem_free(s);
        return st;
    }
    lock_init(&s->order_lock, LOCK_RANK_ORDER, "order");
    *out = s;
    return ST_OK;
}

void slots_destroy(struct slots *s)
{
    if (s == NULL)
        return;
    pool_disown(s->pool);
    order_free(s);
    lock_fini(&s->order_lock);
    rows_free(s);
    mem_free(s);
}

status slots_fill(struct slots *s, uint32_t slot, const struct docid *id, struct slice external_id,
                  struct slice payload, uint64_t inserted_at_ns, struct err *err)
{
    const struct row row = {
        .id = *id,
        .inserted_at_ns = inserted_at_ns,
        .external_id = external_id,
        .payload = payload,
    };
    status st;

    assert(slots_state(s, slot) == SLOT_RESERVED);
    st = row_fill(s, row_at(s, slot), &row, err);
    if (st == ST_OK)
        state_store(s, slot, SLOT_FILLED);
    return st;
}

/* Before the row is seen dead: whoever retires it counts it out again. */
static void count_death(struct slots *s)
{
    atomic_fetch_add_explicit(&s->dead, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&s->deaths, 1, memory_order_relaxed);
}

/* Numbers the publish; pages find what is newer than their order by it. */
static uint64_t stamp_row(struct slots *s, uint32_t slot)
{
    uint64_t number = atomic_load_explicit(&s->publishes, memory_order_relaxed) + 1;
    struct place p = place_of(s, slot);

    p.piece->rows[p.at].sequence = (uint32_t)number;
    atomic_store_explicit(&p.piece->stamps[p.at >> BLOCK_BITS], number, memory_order_relaxed);
    return number;
}

static void note_replacement(struct slots *s, uint32_t old, uint32_t slot)
{
    uint64_t n = atomic_load_explicit(&s->replaced_count, memory_order_relaxed);

    atomic_store_explicit(&s->replaced[n % SLOTS_REPLACED_KEPT], (uint64_t)old << 32 | slot,
                          memory_order_release);
    atomic_store_explicit(&s->replaced_count, n + 1, memory_order_release);
}

uint64_t slots_replacements(const struct slots *s)
{
    return atomic_load_explicit(&s->replaced_count, memory_order_acquire);
}

bool slots_replacement(const struct slots *s, uint64_t n, uint32_t *old, uint32_t *new_slot)
{
    uint64_t pair =
        atomic_load_explicit(&s->replaced[n % SLOTS_REPLACED_KEPT], memory_order_acquire);

    /* The applier writes a pair before it counts it: at n + KEPT the place may be another's
     * already. */
    if (slots_replacements(s) >= n + SLOTS_REPLACED_KEPT)
        return false;
    *old = (uint32_t)(pair >> 32);
    *new_slot = (uint32_t)pair;
    return true;
}

bool slots_replacing(const struct slots *s, uint32_t old, uint32_t new_slot)
{
    return atomic_load_explicit(&s->settling, memory_order_acquire) == new_slot &&
           atomic_load_explicit(&s->settled_old, memory_order_acquire) == old;
}

void slots_publish_over(struct slots *s, uint32_t slot, uint64_t lsn, uint32_t old)
{
    struct row_store *row = row_at(s, slot);
    uint64_t number;

    assert(state_load(s, slot) == SLOT_FILLED && lsn <= SLOTS_LSN_MAX);
    row->lsn = lsn & SLOTS_LSN_MAX;
    number = stamp_row(s, slot);
    /* From here until both are withdrawn slots_current() asks the map about these two. */
    atomic_store_explicit(&s->settled_old, old, memory_order_release);
    atomic_store_explicit(&s->settling, slot, memory_order_release);
    if (old != SLOT_NONE)
        note_replacement(s, old,
                         slot); /* who meets the new row current, or the old one dead, knows */
    state_store(s, slot, SLOT_LIVE);
    (void)idmap_put(s, slot);
    if (old == SLOT_NONE)
        atomic_fetch_add_explicit(&s->live, 1, memory_order_relaxed);
    /* Before the old row dies: a page that meets it dead then knows that there is something new. */
    atomic_store_explicit(&s->publishes, number, memory_order_release);
    if (old != SLOT_NONE) {
        count_death(s);
        state_store(s, old, SLOT_DEAD);
    }
    atomic_store_explicit(&s->settling, SLOT_NONE, memory_order_release);
    atomic_store_explicit(&s->settled_old, SLOT_NONE, memory_order_release);
}

uint32_t slots_publish(struct slots *s, uint32_t slot, uint64_t lsn)
{
    struct docid id = row_docid(row_at(s, slot));
    uint32_t old = idmap_find(s, &id);

    slots_publish_over(s, slot, lsn, old);
    return old;
}

uint32_t slots_erase(struct slots *s, const struct docid *id)
{
    uint32_t slot = idmap_find(s, id);

    if (slot == SLOT_NONE)
        return SLOT_NONE;
    atomic_store_explicit(&s->settled_old, slot, memory_order_release);
    (void)idmap_remove(s, id);
    atomic_fetch_sub_explicit(&s->live, 1, memory_order_relaxed);
    count_death(s);
    state_store(s, slot, SLOT_DEAD);
    atomic_store_explicit(&s->settled_old, SLOT_NONE, memory_order_release);
    return slot;
}

uint32_t slots_find(const struct slots *s, const struct docid *id)
{
    return idmap_find(s, id);
}

enum slot_state slots_state(const struct slots *s, uint32_t slot)
{
    return state_load(s, slot);
}

bool slots_live(const struct slots *s, uint32_t slot)
{
    return slots_state(s, slot) == SLOT_LIVE;
}

/* A live slot is what its id names, except while the applier is at it: then the map says. The state
 * is read again at the end because the applier may have finished between the first two looks. */
bool slots_current(const struct slots *s, uint32_t slot)
{
    struct docid id;

    if (state_load(s, slot) != SLOT_LIVE)
        return false;
    if (atomic_load_explicit(&s->settling, memory_order_acquire) != slot &&
        atomic_load_explicit(&s->settled_old, memory_order_acquire) != slot)
        return slots_live(s, slot);
    id = row_docid(row_at(s, slot));
    return idmap_find(s, &id) == slot;
}

void slots_row(const struct slots *s, uint32_t slot, struct row *out)
{
    const struct row_store *row = row_at(s, slot);

    out->id = row_docid(row);
    out->lsn = row->lsn;
    out->inserted_at_ns = row->inserted_at_ns;
    row_contents(row, &out->external_id, &out->payload);
}

uint32_t slots_end(const struct slots *s)
{
    return atomic_load_explicit(&s->end, memory_order_acquire);
}

uint32_t slots_live_count(const struct slots *s)
{
    return atomic_load_explicit(&s->live, memory_order_relaxed);
}

uint32_t slots_dead_count(const struct slots *s)
{
    return atomic_load_explicit(&s->dead, memory_order_relaxed);
}

uint32_t slots_dead_list(const struct slots *s, uint32_t *out, uint32_t max)
{
    uint32_t end = slots_end(s);
    uint32_t wanted = slots_dead_count(s) < max ? slots_dead_count(s) : max;
    uint32_t count = 0;

    for (uint32_t slot = 0; slot < end && count < wanted; slot++)
        if (slots_state(s, slot) == SLOT_DEAD)
            out[count++] = slot;
    return count;
}

uint64_t slots_bytes(const struct slots *s)
{
    return atomic_load_explicit(&s->charged, memory_order_relaxed);
}
