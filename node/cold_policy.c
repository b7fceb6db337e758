/* From RAM to S3Only and back (docs/s3only.md, "Changing the policy"); the meta thread's. */
#include "node/cold_internal.h"

#include <stdatomic.h>

enum { LEAVE_POLL_MS = 5 };

static const char LEAVING[] =
    "it is being loaded into memory, as its tiering policy was changed; try again in a moment";

bool cold_left(struct collection *c)
{
    struct bucket_marks marks;

    if (cold_is(c) || !policy_has_bucket(atomic_load(&c->policy)))
        return false;
    ship_marks(c, &marks);
    return marks.cold_floor != 0;
}

/* --- to S3Only --- */

status cold_enter_check(struct collection *c, struct err *err)
{
    if (cold_left(c))
        return err_set(err, ST_UNAVAILABLE,
                       "its rows are still being written to the bucket anew, after it left S3Only; "
                       "try again then");
    /* All rows are the head: nothing is cold. */
    return c->cold->set.now == NULL ? cold_begin(c, err) : ST_OK;
}

/* Deletes that got their lsn before leave no tombstones: the first fold lies behind them. */
void cold_enter(struct collection *c)
{
    lock_take(&c->seq.lock);
    atomic_store(&c->cold->barrier_lsn, c->seq.last_lsn);
    atomic_store_explicit(&c->policy, NODE_S3_ONLY, memory_order_release);
    lock_drop(&c->seq.lock);
    atomic_store(&c->cold->fold_wanted, true);
}

/* --- back to RAM --- */

static bool at_rest(struct collection *c, uint64_t *durable_lsn)
{
    struct wal *wal = collection_hold_log(c);
    bool rest = false;

    *durable_lsn = 0;
    if (wal != NULL) {
        *durable_lsn = wal_durable_lsn(wal);
        rest = wal_next_lsn(wal) <= *durable_lsn + 1 &&
               atomic_load_explicit(&c->applied_lsn, memory_order_acquire) >= *durable_lsn;
    }
    collection_release_log(c);
    return rest;
}

/* While the intent may stand nothing is written: a start would throw it away. */
void cold_leave_undo(struct collection *c)
{
    struct err err = {0};

    if (!atomic_load(&c->cold->leaving) || atomic_load(&c->cold->left))
        return;
    if (intent_clear(c->node, LOAD_INTENT, c->id, &err) != ST_OK) {
        log_warn("a collection stays read-only until the disk takes what is noted of it",
                 "collection_id=%s err=%s", c->id_text, err.text);
        atomic_store(&c->node->sync_later, true);
        return;
    }
    atomic_store(&c->cold->leaving, false);
    if (atomic_load(&c->seq.state) == COLLECTION_READ_ONLY)
        collection_set_state(c, COLLECTION_SERVING, NULL);
}

/* Everything that was acknowledged is in the bucket, and nothing more will be; a start loads it
 * from there. */
status cold_leave_begin(struct collection *c, struct err *err)
{
    uint64_t until_ms =
        clock_mono_ns(c->node->options.clock) / 1000000 + (uint64_t)NODE_BUCKET_WAIT_MS;
    uint64_t durable_lsn = 0;
    struct tier_stream_status s = {0};
    status st;

    if (atomic_load(&c->cold->leaving))
        return ST_OK;
    if (atomic_load(&c->seq.state) != COLLECTION_SERVING)
        return err_set(err, ST_DENIED, "the collection is not whole: see GET /health");
    atomic_store(&c->cold->leaving, true);
    collection_set_state(c, COLLECTION_READ_ONLY, LEAVING);
    while (!at_rest(c, &durable_lsn) && !atomic_load(&c->node->stopping) &&
           clock_mono_ns(c->node->options.clock) / 1000000 < until_ms)
        bucket_pause(c->node, LEAVE_POLL_MS);
    st = at_rest(c, &durable_lsn) ? ship_own(c, NODE_BUCKET_WAIT_MS, err)
                                  : err_set(err, ST_UNAVAILABLE, "writes are still under way");
    if (st == ST_OK)
        st = ship_flush(c, NODE_BUCKET_WAIT_MS, err);
    if (st == ST_OK && (!ship_status(c, &s) || s.remote_lsn < durable_lsn))
        st = err_set(err, ST_UNAVAILABLE, "the bucket has not confirmed all of it yet");
    if (st == ST_OK)
        st = intent_write(c->node, LOAD_INTENT, c->id, err);
    if (st != ST_OK)
        cold_leave_undo(c);
    return st;
}

/* The catalog says so. */
void cold_leave(struct collection *c)
{
    if (!atomic_exchange(&c->cold->left, true))
        load_diverged(c, UINT64_MAX);
}

/* --- as the catalog has it, however that came about --- */

static status follow(struct collection *c, uint8_t policy, struct err *err)
{
    bool cold = cold_is(c);
    status st = ST_OK;

    if (cold && policy == NODE_S3_ONLY) {
        cold_leave_undo(c);
    } else if (cold && policy == NODE_MEMORY_S3) {
        st = cold_leave_begin(c, err);
        if (st == ST_OK)
            cold_leave(c);
    } else if (!cold && policy == NODE_S3_ONLY && policy_has_bucket(atomic_load(&c->policy))) {
        st = cold_enter_check(c, err);
        if (st == ST_OK)
            cold_enter(c);
    }
    return st;
}

void cold_follow(struct collection *c, uint8_t policy)
{
    struct err err = {0};
    enum collection_state state = atomic_load(&c->seq.state);

    if (atomic_load(&c->policy) == policy && !atomic_load(&c->cold->leaving))
        return;
    if (atomic_load(&c->in_load) ||
        (state != COLLECTION_SERVING && state != COLLECTION_READ_ONLY)) {
        atomic_store(&c->node->sync_later, true);
        return;
    }
    if (follow(c, policy, &err) == ST_OK)
        return;
    log_warn("a collection's tiering policy is changed in a moment", "collection_id=%s err=%s",
             c->id_text, err.text);
    atomic_store(&c->node->sync_later, true);
}
