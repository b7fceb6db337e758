#include "node/refill.h"

#include <inttypes.h>
#include <stdatomic.h>

enum { REFILL_PAUSE_MS = 2 };

void refill_begin(struct refill *r, struct collection *c, uint64_t first_lsn)
{
    *r = (struct refill){.c = c, .next_lsn = first_lsn};
    lock_init(&r->log.lock, LOCK_RANK_LEAF, "refilling");
    cond_init(&r->log.cond);
}

static void on_appended(void *arg, uint64_t lsn, status st, const struct err *err)
{
    struct refill *r = arg;

    (void)lsn;
    lock_take(&r->log.lock);
    if (st != ST_OK && r->log.failed.code == ST_OK)
        r->log.failed = *err;
    r->log.under_way--;
    cond_broadcast(&r->log.cond);
    lock_drop(&r->log.lock);
}

status refill_put(struct refill *r, struct slice payload, struct err *err)
{
    struct collection *c = r->c;
    uint64_t given = 0;
    status st;

    lock_take(&r->log.lock);
    r->log.under_way++;
    lock_drop(&r->log.lock);
    while ((st = wal_submit(c->seq.wal, &payload, 1, on_appended, r, &given, err)) == ST_LIMIT &&
           !atomic_load(&c->node->stopping))
        bucket_pause(c->node, REFILL_PAUSE_MS); /* the disk is behind */
    if (st != ST_OK) {
        lock_take(&r->log.lock);
        r->log.under_way--;
        lock_drop(&r->log.lock);
        return st;
    }
    if (given != r->next_lsn)
        return err_set(err, ST_CORRUPT, "record %" PRIu64 " came to lie at %" PRIu64, r->next_lsn,
                       given);
    r->next_lsn++;
    return ST_OK;
}

status refill_end(struct refill *r, status st, struct err *err)
{
    struct collection *c = r->c;

    lock_take(&r->log.lock);
    while (r->log.under_way > 0)
        cond_wait(&r->log.cond, &r->log.lock);
    if (st == ST_OK && r->log.failed.code != ST_OK) {
        st = r->log.failed.code;
        if (err != NULL)
            *err = r->log.failed;
    }
    lock_drop(&r->log.lock);
    cond_fini(&r->log.cond);
    lock_fini(&r->log.lock);
    if (st != ST_OK)
        return st;
    lock_take(&c->seq.lock);
    c->seq.last_lsn = r->next_lsn - 1;
    atomic_store(&c->applied_lsn, r->next_lsn - 1);
    lock_drop(&c->seq.lock);
    return ST_OK;
}
