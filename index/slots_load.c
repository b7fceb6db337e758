/* Loading a checkpoint: no readers yet. */
#include "index/slots_internal.h"

#include <inttypes.h>

enum { SETTLE_AHEAD = 16 }; /* rows whose bucket is fetched before its turn */

status slots_load_begin(struct slots *s, uint32_t end, struct err *err)
{
    status st;

    assert(slots_end(s) == 0 && end <= SLOTS_MAX);
    lock_take(&s->pool->shared.lock);
    st = rows_extend_locked(s, end, err);
    if (st == ST_OK) {
        atomic_store_explicit(&s->end, end, memory_order_release);
        s->load_begun = true;
        s->load_end = end;
    }
    lock_drop(&s->pool->shared.lock);
    return st;
}

/* Rows come in any order, and from several threads: what lies below the end is never behind it
 * again. */
static status load_extend(struct slots *s, uint32_t slot, struct err *err)
{
    status st = ST_OK;

    lock_take(&s->pool->shared.lock);
    if (slot >= atomic_load_explicit(&s->end, memory_order_relaxed)) {
        st = rows_extend_locked(s, slot + 1, err);
        if (st == ST_OK)
            atomic_store_explicit(&s->end, slot + 1, memory_order_release);
    }
    lock_drop(&s->pool->shared.lock);
    return st;
}

static status load_room(struct slots *s, uint32_t slot, struct err *err)
{
    if (slot >= (s->load_begun ? s->load_end : SLOTS_MAX))
        return err_set(err, ST_CORRUPT, "slot out of range slot=%" PRIu32, slot);
    if (slot >= atomic_load_explicit(&s->end, memory_order_acquire))
        return load_extend(s, slot, err);
    if (state_load(s, slot) != SLOT_FREE)
        return err_set(err, ST_CORRUPT, "two rows for one slot slot=%" PRIu32, slot);
    return ST_OK;
}

static void load_dead(struct slots *s, uint32_t slot)
{
    state_store(s, slot, SLOT_DEAD);
    atomic_fetch_add_explicit(&s->dead, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&s->deaths, 1, memory_order_relaxed);
}

status slots_load_fill(struct slots *s, uint32_t slot, const struct row *row, struct err *err)
{
    status st;

    if (row->lsn > SLOTS_LSN_MAX)
        return err_set(err, ST_CORRUPT, "lsn out of range slot=%" PRIu32 " lsn=%" PRIu64, slot,
                       row->lsn);
    st = load_room(s, slot, err);
    if (st != ST_OK)
        return st;
    st = row_fill(s, row_at(s, slot), row, err);
    if (st == ST_INVALID)
        return err_wrap(err, ST_CORRUPT, "row slot=%" PRIu32, slot);
    if (st == ST_OK)
        state_store(s, slot, SLOT_FILLED);
    return st;
}

static void settle_one(struct slots *s, uint32_t slot, bool dead)
{
    const struct row_store *row = row_at(s, slot);
    struct docid id = row_docid(row);
    uint32_t other = dead ? SLOT_NONE : idmap_find(s, &id);

    if (dead || (other != SLOT_NONE && row_at(s, other)->lsn > row->lsn))
        load_dead(s, slot);
    else
        slots_publish_over(s, slot, row->lsn, other);
}

void slots_load_settle(struct slots *s, uint32_t first, uint32_t count, const bool *dead)
{
    for (uint32_t at = 0; at < count; at++) {
        if (at + SETTLE_AHEAD < count)
            idmap_prefetch(s, first + at + SETTLE_AHEAD);
        if (first + at < slots_end(s) && state_load(s, first + at) == SLOT_FILLED)
            settle_one(s, first + at, dead[at]);
    }
}

status slots_load(struct slots *s, uint32_t slot, bool dead, const struct row *row, struct err *err)
{
    status st = slots_load_fill(s, slot, row, err);

    if (st == ST_OK)
        settle_one(s, slot, dead);
    return st;
}

status slots_load_finish(struct slots *s, struct err *err)
{
    uint32_t end = s->load_begun ? s->load_end : slots_end(s);

    (void)err;
    s->load_begun = false;
    lock_take(&s->pool->shared.lock);
    /* From the last to the first: the low slots are handed out first. */
    for (uint32_t slot = end; slot-- > 0;)
        if (slots_state(s, slot) == SLOT_FREE)
            pool_give_back_locked(s, slot);
    lock_drop(&s->pool->shared.lock);
    return ST_OK;
}
