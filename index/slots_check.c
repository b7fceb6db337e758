/* What must always hold. No writer may run. */
#include "index/slots_internal.h"

#include <inttypes.h>

struct census {
    uint32_t states[SLOT_RETIRED + 1];
    uint64_t bytes; /* of blobs */
};

static status row_check(const struct slots *s, uint32_t slot, struct err *err)
{
    enum slot_state state = slots_state(s, slot);
    struct row row;

    if (state == SLOT_FREE || state == SLOT_RESERVED) {
        if (row_at(s, slot)->blob != NULL)
            return err_set(err, ST_CORRUPT, "an empty slot holds a payload slot=%" PRIu32, slot);
        return ST_OK;
    }
    slots_row(s, slot, &row);
    if (row.id.kind < DOCID_U64 || row.id.kind > DOCID_BYTES)
        return err_set(err, ST_CORRUPT, "a row without an id slot=%" PRIu32, slot);
    if (state != SLOT_LIVE)
        return ST_OK;
    if (idmap_find(s, &row.id) != slot)
        return err_set(err, ST_CORRUPT, "id map does not name the live slot=%" PRIu32, slot);
    return ST_OK;
}

static status rows_census(const struct slots *s, struct census *c, struct err *err)
{
    uint32_t end = slots_end(s);

    for (uint32_t slot = 0; slot < end; slot++) {
        enum slot_state state = state_load(s, slot);
        status st;

        if (state > SLOT_RETIRED)
            return err_set(err, ST_CORRUPT, "a slot without a state slot=%" PRIu32, slot);
        st = row_check(s, slot, err);
        if (st != ST_OK)
            return st;
        c->states[state]++;
        c->bytes += row_blob_bytes(row_at(s, slot));
    }
    return ST_OK;
}

static status count_check(const char *what, uint64_t counted, uint64_t kept, struct err *err)
{
    if (counted == kept)
        return ST_OK;
    return err_set(err, ST_CORRUPT, "%s: counted %" PRIu64 ", kept %" PRIu64, what, counted, kept);
}

/* Every slot of the list is in `state`; a list that runs in a circle is longer than it says. */
static status list_check(const struct slots *s, const struct list *list, enum slot_state state,
                         struct err *err)
{
    uint32_t link = list->first;
    uint32_t count = 0;
    uint32_t last = 0;

    for (; link != LINK_END && count <= list->count; count++) {
        if (link - 1 >= slots_end(s) || slots_state(s, link - 1) != state)
            return err_set(err, ST_CORRUPT, "a list names a slot of another state slot=%" PRIu32,
                           link - 1);
        last = link;
        link = *link_at(s, link - 1);
    }
    if (last != list->last)
        return err_set(err, ST_CORRUPT, "a list of slots does not end where it says");
    return count_check("slots in a list", count, list->count, err);
}

static status pool_check(const struct slots *s, const struct census *c, struct err *err)
{
    struct pool *p = s->pool;
    uint64_t retired;
    status st;

    lock_take(&p->shared.lock);
    retired =
        (uint64_t)p->shared.gathered.count + p->shared.waiting.count + p->shared.reusable.count;
    st = list_check(s, &p->shared.free, SLOT_FREE, err);
    if (st == ST_OK)
        st = list_check(s, &p->shared.gathered, SLOT_RETIRED, err);
    if (st == ST_OK)
        st = list_check(s, &p->shared.waiting, SLOT_RETIRED, err);
    if (st == ST_OK)
        st = list_check(s, &p->shared.reusable, SLOT_RETIRED, err);
    if (st == ST_OK)
        st = count_check("free slots", c->states[SLOT_FREE], p->shared.free.count, err);
    if (st == ST_OK)
        st = count_check("retired slots", c->states[SLOT_RETIRED], retired, err);
    lock_drop(&p->shared.lock);
    return st;
}

status slots_check(const struct slots *s, struct err *err)
{
    struct census c = {0};
    uint32_t mapped;
    status st = idmap_check(s, &mapped, err); /* first: the census walks the chains */

    if (st == ST_OK)
        st = rows_census(s, &c, err);
    if (st == ST_OK)
        st = count_check("ids in the map", mapped, c.states[SLOT_LIVE], err);
    if (st == ST_OK)
        st = count_check("live rows", c.states[SLOT_LIVE], slots_live_count(s), err);
    if (st == ST_OK)
        st = count_check("dead rows", c.states[SLOT_DEAD], slots_dead_count(s), err);
    if (st == ST_OK)
        st = pool_check(s, &c, err);
    if (st == ST_OK)
        st = count_check("bytes charged",
                         c.bytes + (uint64_t)s->pool->shared.charged_rows * ROW_BYTES,
                         slots_bytes(s), err);
    return st;
}
