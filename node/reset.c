/* A collection whose log turned out not to be the bucket's: what it has and the bucket has not is
 * in letters, then a fresh one takes its place in the table and is loaded (load.c).
 *
 *   load thread     waits until every record that was acknowledged has its letter
 *   meta thread     the fresh one into the table; reads of the old one end as they are
 *   upkeep thread   stream and log of the old one are closed */
#include "node/node_internal.h"

#include <stdatomic.h>

enum { RESET_DRAIN_MS = 20 };

struct reset_job {
    struct meta_job job;
    struct collection *old; /* pinned */
    uint64_t kept_lsn;      /* everything up to it is in the bucket or in letters */
};

/* The newest record of the log; false while one is on its way to the disk. */
static bool log_at_rest(struct collection *c, uint64_t *durable_lsn)
{
    struct wal *wal = collection_hold_log(c);
    bool rest = true;

    *durable_lsn = 0;
    if (wal != NULL) {
        *durable_lsn = wal_durable_lsn(wal);
        rest = wal_next_lsn(wal) <= *durable_lsn + 1 || wal_state(wal, NULL) != ST_OK;
    }
    collection_release_log(c);
    return rest;
}

static bool has_letter(struct collection *c, uint64_t lsn)
{
    const struct dlq_filter filter = {.collection = c->id, .kind = LETTER_DIVERGENT_TAIL};
    struct letter letter;
    uint64_t after = 0;
    size_t total;

    while (dlq_list(c->node->dlq, &filter, after, &letter, 1, &total) == 1) {
        if (letter.lsn_last >= lsn)
            return true;
        after = letter.id;
    }
    return false;
}

static void run_reset(struct meta_job *base);

static void reset_give_up(struct reset_job *reset)
{
    node_collection_unpin(reset->old);
    mem_free(reset);
}

/* On the load thread. A write that was under way when ownership was lost may become durable, and be
 * acknowledged, after the tail was kept: its own letter is waited for. Until then nothing of the
 * local files is touched, and reads go on. */
static void run_drain(struct meta_job *base)
{
    struct reset_job *reset = (struct reset_job *)(void *)base;
    struct collection *c = reset->old;
    struct node *node = c->node;
    uint64_t durable_lsn = 0;

    /* Loading: the thread that opened the stream is not done with it and its log. */
    while (!atomic_load(&node->stopping) &&
           (atomic_load(&c->seq.state) == COLLECTION_LOADING || !log_at_rest(c, &durable_lsn) ||
            (durable_lsn > reset->kept_lsn && !has_letter(c, durable_lsn))))
        bucket_pause(node, RESET_DRAIN_MS);
    reset->job.run = run_reset;
    if (atomic_load(&node->stopping) || !jobs_push(&node->meta, &reset->job))
        reset_give_up(reset); /* the next start comes here again */
}

/* On the upkeep thread, which alone uses a log without the sequencer's lock. */
static void run_retire(struct meta_job *base)
{
    struct reset_job *reset = (struct reset_job *)(void *)base;
    struct collection *fresh = node_collection_pin_id(reset->old->node, reset->old->id);
    struct err err = {0};

    collection_close_log(reset->old);
    if (fresh != NULL && load_again(fresh, true, &err) != ST_OK) {
        collection_set_state(fresh, COLLECTION_FAILED, err.text);
        atomic_fetch_sub(&fresh->node->loading, 1);
    }
    node_collection_unpin(fresh);
    node_collection_unpin(reset->old); /* the table's pin */
    node_collection_unpin(reset->old); /* ours */
    mem_free(reset);
}

/* On the meta thread: a fresh collection takes the old one's place in the table. A crash from here
 * on finds the log that was there, and compares it once more. */
static void run_reset(struct meta_job *base)
{
    struct reset_job *reset = (struct reset_job *)(void *)base;
    struct collection *old = reset->old;
    struct node *node = old->node;
    const struct catalog_collection *entry = catalog_find_id(&node->catalog, old->id);
    struct collection *fresh = NULL;
    struct err err = {0};
    status st = ST_NOT_FOUND;

    if (entry != NULL && atomic_load(&old->seq.state) != COLLECTION_DROPPED)
        st = collection_create(node, entry, &fresh, &err);
    if (st != ST_OK) {
        if (st != ST_NOT_FOUND)
            log_error("the collection cannot be loaded anew before the next start",
                      "collection_id=%s err=%s", old->id_text, err.text);
        reset_give_up(reset);
        return;
    }
    collection_set_state(old, COLLECTION_LOADING, "it is being loaded anew from the bucket");
    table_replace(node, old, fresh);
    load_count(node);
    reset->job.run = run_retire;
    if (!jobs_push(&node->upkeep, &reset->job))
        run_retire(&reset->job);
}

void load_diverged(struct collection *c, uint64_t kept_lsn)
{
    struct reset_job *reset = mem_zero(sizeof *reset);

    if (reset == NULL) {
        log_error("out of memory: the collection is loaded anew at the next start",
                  "collection_id=%s", c->id_text);
        return;
    }
    reset->job.run = run_drain;
    reset->old = c;
    reset->kept_lsn = kept_lsn;
    collection_pin(c);
    if (!jobs_push(&c->node->load, &reset->job))
        reset_give_up(reset);
}
