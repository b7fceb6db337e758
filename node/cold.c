/* What a collection under S3Only has beside its rows: deleted ids, and the cold set it reads. */
#include "node/cold_internal.h"

#include <stdatomic.h>
#include <stdio.h>

enum { WORK_POLL_MS = 5 };

static const char NOT_YET[] = "what the collection has in the bucket is not known yet: the bucket "
                              "was not reached since the start";

status cold_create(struct collection *c, struct err *err)
{
    struct cold *cold = mem_zero(sizeof *cold);

    if (cold == NULL)
        return err_set(err, ST_NOMEM, "out of memory");
    lock_init(&cold->apply, LOCK_RANK_COLD_APPLY, "head of a collection");
    lock_init(&cold->set.lock, LOCK_RANK_COLD, "cold set of a collection");
    (void)snprintf(cold->set.reason, sizeof cold->set.reason, "%s", NOT_YET);
    c->cold = cold;
    return tombstones_create(&c->budget, &cold->tombstones, err);
}

void cold_destroy(struct collection *c)
{
    struct cold *cold = c->cold;

    if (cold == NULL)
        return;
    if (c->node != NULL)
        cold_decided(c);
    cold_spool_drop(c);
    cold_set_drop(cold->set.now);
    while (cold->past != NULL) { /* free: each had a pin */
        struct cold_past *past = cold->past;

        cold->past = past->next;
        mem_free(past);
    }
    if (c->node != NULL && c->node->cache != NULL)
        cache_account_leave(c->node->cache, &cold->account);
    tombstones_destroy(cold->tombstones);
    lock_fini(&cold->set.lock);
    lock_fini(&cold->apply);
    mem_free(cold);
    c->cold = NULL;
}

bool cold_is(const struct collection *c)
{
    return atomic_load_explicit(&c->policy, memory_order_acquire) == NODE_S3_ONLY;
}

bool cold_work_try(struct collection *c)
{
    return !atomic_exchange_explicit(&c->cold->worked_on, true, memory_order_acquire);
}

bool cold_work_begin(struct collection *c)
{
    while (!cold_work_try(c)) {
        if (atomic_load(&c->node->stopping))
            return false;
        bucket_pause(c->node, WORK_POLL_MS);
    }
    return true;
}

void cold_work_end(struct collection *c)
{
    atomic_store_explicit(&c->cold->worked_on, false, memory_order_release);
}

void cold_apply_begin(struct collection *c)
{
    lock_take(&c->cold->apply);
}

void cold_apply_end(struct collection *c)
{
    lock_drop(&c->cold->apply);
}

/* --- the set --- */

status cold_hold(struct collection *c, struct cold_set **out, struct err *err)
{
    struct cold *cold = c->cold;

    lock_take(&cold->set.lock);
    *out = cold->set.now == NULL ? NULL : cold_set_hold(cold->set.now);
    if (*out == NULL)
        (void)err_set(err, ST_UNAVAILABLE, "%s", cold->set.reason);
    lock_drop(&cold->set.lock);
    return *out == NULL ? ST_UNAVAILABLE : ST_OK;
}

bool cold_set_is(struct collection *c, const struct cold_set *set)
{
    bool is;

    lock_take(&c->cold->set.lock);
    is = c->cold->set.now == set;
    lock_drop(&c->cold->set.lock);
    return is;
}

static void on_free(void *arg)
{
    struct cold_past *past = arg;
    struct collection *c = past->c;

    atomic_store(&past->free, true); /* who works on the collection frees it */
    node_collection_unpin(c);
}

status cold_swap(struct collection *c, struct cold_set *set, uint64_t floor, struct err *err)
{
    struct cold *cold = c->cold;
    struct cold_past *past = mem_zero(sizeof *past);
    struct cold_set *old;

    if (past == NULL)
        return err_set(err, ST_NOMEM, "out of memory");
    lock_take(&cold->set.lock);
    old = cold->set.now;
    past->floor = cold->set.floor;
    cold->set.now = set;
    cold->set.floor = floor;
    lock_drop(&cold->set.lock);
    cold_decided(c);
    if (old == NULL) {
        mem_free(past);
        return ST_OK;
    }
    past->c = c;
    past->next = cold->past;
    cold->past = past;
    collection_pin(c);
    cold_set_when_free(old, on_free, past);
    cold_set_drop(old);
    return ST_OK;
}

status cold_begin(struct collection *c, struct err *err)
{
    struct tier_stream_status s;
    struct manifest none;
    status st;

    manifest_init(&none);
    memcpy(none.collection, c->id, sizeof none.collection);
    st = cold_open_set(c, &none, err);
    manifest_free(&none);
    if (st == ST_OK && ship_status(c, &s)) /* what the root names has rows of the head */
        atomic_store(&c->cold->revision, s.manifest_revision);
    return st;
}

/* The row first, then the tombstones: who deletes goes the other way. */
bool cold_newer(void *collection, const struct docid *id, uint64_t lsn)
{
    struct collection *c = collection;
    struct epoch_guard guard = epoch_enter(c->node->epoch);
    uint32_t slot = slots_find(c->slots, id);
    struct row row = {0};
    uint64_t deleted;

    if (slot != SLOT_NONE)
        slots_row(c->slots, slot, &row);
    epoch_leave(c->node->epoch, guard);
    return row.lsn > lsn || (tombstones_find(c, id, &deleted) && deleted > lsn);
}
