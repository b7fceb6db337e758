/* Which slots are free, and how a dead one becomes free.
 *
 * Retired slots are gathered in a list. One batch at a time is with the epoch; when its callback
 * comes, no reader of the time of retiring is inside any more, and the next batch goes. So retiring
 * needs no memory and cannot fail, and the epoch sees one entry a batch, not one a slot. */
#include "index/slots_internal.h"

#include <inttypes.h>

enum { RECLAIM_STEP = 256 }; /* slots made free in one hold of the lock */

static void list_push(struct slots *s, struct list *list, uint32_t slot)
{
    *link_at(s, slot) = list->first;
    list->first = slot + 1;
    if (list->count++ == 0)
        list->last = slot + 1;
}

static void list_append(struct slots *s, struct list *list, uint32_t slot)
{
    if (list->count == 0) {
        list_push(s, list, slot);
        return;
    }
    *link_at(s, slot) = 0;
    *link_at(s, list->last - 1) = slot + 1;
    list->last = slot + 1;
    list->count++;
}

static uint32_t list_pop(struct slots *s, struct list *list)
{
    uint32_t slot = list->first - 1;

    assert(list->count > 0);
    list->first = *link_at(s, slot);
    if (--list->count == 0)
        *list = (struct list){0};
    return slot;
}

/* Moves all of `from` in front of `to`. */
static void list_move(struct slots *s, struct list *to, struct list *from)
{
    if (from->count == 0)
        return;
    *link_at(s, from->last - 1) = to->first;
    if (to->count == 0)
        to->last = from->last;
    to->first = from->first;
    to->count += from->count;
    *from = (struct list){0};
}

status pool_create(struct slots *owner, struct pool **out, struct err *err)
{
    struct pool *p = mem_zero(sizeof *p);

    if (p == NULL)
        return err_set(err, ST_NOMEM, "out of memory for a table of rows");
    lock_init(&p->shared.lock, LOCK_RANK_ROWS, "rows");
    cond_init(&p->shared.idle);
    p->shared.owner = owner;
    *out = p;
    return ST_OK;
}

static void pool_free(struct pool *p)
{
    cond_fini(&p->shared.idle);
    lock_fini(&p->shared.lock);
    mem_free(p);
}

void pool_disown(struct pool *p)
{
    bool with_epoch;

    lock_take(&p->shared.lock);
    while (p->shared.reclaiming)
        cond_wait(&p->shared.idle, &p->shared.lock);
    p->shared.owner = NULL;
    with_epoch = p->shared.with_epoch;
    lock_drop(&p->shared.lock);
    if (!with_epoch) /* else the callback frees it */
        pool_free(p);
}

void pool_give_back_locked(struct slots *s, uint32_t slot)
{
    list_push(s, &s->pool->shared.free, slot);
}

/* Makes up to RECLAIM_STEP reusable slots free; their blobs go to the caller. */
static uint32_t reclaim_step_locked(struct pool *p, uint8_t *blobs[RECLAIM_STEP], uint64_t *bytes)
{
    struct slots *s = p->shared.owner;
    uint32_t count = 0;

    for (*bytes = 0; count < RECLAIM_STEP && p->shared.reusable.count > 0; count++) {
        uint32_t slot = list_pop(s, &p->shared.reusable);
        struct row_store *row = row_at(s, slot);

        *bytes += row_blob_bytes(row);
        blobs[count] = row->blob;
        row->blob = NULL;
        state_store(s, slot, SLOT_FREE);
        list_push(s, &p->shared.free, slot);
    }
    return count;
}

/* Frees what may be freed. The lock is held on entry and return and let go in between, so that a
 * large batch does not make writers wait; `reclaiming` keeps the table alive meanwhile. */
static void reclaim_locked(struct pool *p)
{
    uint8_t *blobs[RECLAIM_STEP];

    if (p->shared.reclaiming)
        return; /* whoever it is takes ours along */
    p->shared.reclaiming = true;
    while (p->shared.pauses == 0 && p->shared.reusable.count > 0) {
        uint64_t bytes;
        uint32_t count = reclaim_step_locked(p, blobs, &bytes);

        lock_drop(&p->shared.lock);
        for (uint32_t i = 0; i < count; i++)
            mem_free(blobs[i]);
        rows_refund(p->shared.owner, bytes);
        lock_take(&p->shared.lock);
    }
    p->shared.reclaiming = false;
    cond_broadcast(&p->shared.idle);
}

static void readers_are_gone(struct epoch_retired *retired);

static void hand_over_locked(struct pool *p)
{
    if (p->shared.with_epoch || p->shared.gathered.count == 0)
        return;
    list_move(p->shared.owner, &p->shared.waiting, &p->shared.gathered);
    p->shared.with_epoch = true;
    epoch_retire(p->shared.owner->epoch, &p->retired, readers_are_gone);
}

static void readers_are_gone(struct epoch_retired *retired)
{
    struct pool *p = (struct pool *)(void *)retired; /* its first member */

    lock_take(&p->shared.lock);
    if (p->shared.owner == NULL) {
        lock_drop(&p->shared.lock);
        pool_free(p);
        return;
    }
    list_move(p->shared.owner, &p->shared.reusable, &p->shared.waiting);
    p->shared.with_epoch = false;
    hand_over_locked(p);
    reclaim_locked(p);
    lock_drop(&p->shared.lock);
}
static_assert(offsetof(struct pool, retired) == 0, "readers_are_gone() casts");

void slots_retire(struct slots *s, uint32_t slot)
{
    struct pool *p = s->pool;

    assert(state_load(s, slot) == SLOT_DEAD);
    lock_take(&p->shared.lock);
    state_store(s, slot, SLOT_RETIRED);
    list_push(s, &p->shared.gathered, slot);
    hand_over_locked(p);
    lock_drop(&p->shared.lock);
    atomic_fetch_sub_explicit(&s->dead, 1, memory_order_relaxed);
}

void slots_reuse_pause(struct slots *s)
{
    lock_take(&s->pool->shared.lock);
    s->pool->shared.pauses++;
    lock_drop(&s->pool->shared.lock);
}

void slots_reuse_resume(struct slots *s)
{
    lock_take(&s->pool->shared.lock);
    assert(s->pool->shared.pauses > 0);
    s->pool->shared.pauses--;
    reclaim_locked(s->pool);
    lock_drop(&s->pool->shared.lock);
}

status slots_reserve(struct slots *s, uint32_t count, uint32_t *out, struct err *err)
{
    struct pool *p = s->pool;
    uint32_t end = atomic_load_explicit(&s->end, memory_order_relaxed);
    uint32_t reused;
    status st;

    lock_take(&p->shared.lock);
    end = atomic_load_explicit(&s->end, memory_order_relaxed);
    reused = count < p->shared.free.count ? count : p->shared.free.count;
    if (count - reused > SLOTS_MAX - end)
        st = err_set(err, ST_NOSPACE, "a collection holds at most %" PRIu32 " rows", SLOTS_MAX);
    else
        st = rows_extend_locked(s, end + (count - reused), err);
    if (st == ST_OK) {
        for (uint32_t i = 0; i < reused; i++)
            state_store(s, out[i] = list_pop(s, &p->shared.free), SLOT_RESERVED);
        for (uint32_t i = reused; i < count; i++)
            state_store(s, out[i] = end++, SLOT_RESERVED);
        atomic_store_explicit(&s->end, end, memory_order_release);
    }
    lock_drop(&p->shared.lock);
    return st;
}

void slots_abandon(struct slots *s, uint32_t slot)
{
    struct row_store *row = row_at(s, slot);

    assert(state_load(s, slot) == SLOT_RESERVED || state_load(s, slot) == SLOT_FILLED);
    rows_refund(s, row_blob_bytes(row));
    mem_free(row->blob);
    row->blob = NULL;
    lock_take(&s->pool->shared.lock);
    state_store(s, slot, SLOT_FREE);
    /* Last in line: a slot that was given back because memory was out may be one that the vector
     * index has none for, and those that rows lived in before must not wait behind it. */
    list_append(s, &s->pool->shared.free, slot);
    lock_drop(&s->pool->shared.lock);
}
