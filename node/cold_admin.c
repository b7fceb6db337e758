/* The cold set by hand, and what is told of it. */
#include "node/cold_internal.h"
#include "node/cold_reads.h"

#include <stdatomic.h>

uint64_t cold_rows_now(struct collection *c)
{
    struct cold_set *set = NULL;
    uint64_t rows, doubled;

    if (!cold_is(c) || cold_hold(c, &set, NULL) != ST_OK || set == NULL)
        return 0;
    rows = cold_set_rows(set);
    cold_set_drop(set);
    doubled = atomic_load(&c->cold->doubled);
    return rows > doubled ? rows - doubled : 0;
}

void node_cold_state(struct collection *c, struct node_cold_state *out)
{
    const struct cache_account *a = &c->cold->account;
    struct cold_set *set = NULL;

    *out = (struct node_cold_state){.waits = cold_is(c),
                                    .hits = atomic_load(&a->hits),
                                    .misses = atomic_load(&a->misses),
                                    .ghost_hits = atomic_load(&a->ghost_hits),
                                    .cached_bytes = atomic_load(&a->resident_bytes)};
    if (!out->waits || cold_hold(c, &set, NULL) != ST_OK || set == NULL)
        return;
    out->is_open = true;
    out->rows = cold_set_rows(set);
    out->segments = cold_set_segments(set);
    out->resident_bytes = cold_set_resident_bytes(set);
    cold_set_drop(set);
}

static status begin(struct collection *c, uint64_t deadline_ns, const _Atomic bool *stop,
                    struct cold_reads *r, struct err *err)
{
    const struct read_limits limits = {.deadline_ns = deadline_ns, .stop = stop};
    status st = collection_check_readable(c, err);

    *r = (struct cold_reads){.c = c};
    if (st == ST_OK && !cold_is(c))
        return err_set(err, ST_UNSUPPORTED,
                       "the collection is all in memory: its tiering_policy "
                       "is not S3Only");
    return st == ST_OK ? cold_reads_begin(c, &limits, r, err) : st;
}

status node_cold_warm(struct collection *c, uint64_t deadline_ns, const _Atomic bool *stop,
                      uint64_t *bytes, struct err *err)
{
    struct cold_reads r;
    status st = begin(c, deadline_ns, stop, &r, err);

    *bytes = 0;
    if (st != ST_OK)
        return st;
    if (r.set != NULL)
        do
            st = cold_set_warm(r.set, &r.terms, bytes, err);
        while (cold_reads_again(&r, st));
    return cold_reads_end(&r, st, err);
}

status node_cold_unload(struct collection *c, uint64_t *bytes, struct err *err)
{
    struct cold_reads r;
    status st = begin(c, 0, NULL, &r, err);

    *bytes = 0;
    if (st != ST_OK)
        return st;
    if (r.set != NULL)
        *bytes = cold_set_unload(r.set);
    return cold_reads_end(&r, st, err);
}
