#include "snapshot/replay.h"

#include "base/mem.h"

#include <inttypes.h>

status replay_init(struct replay *r, struct err *err)
{
    size_t floats = 0;

    for (size_t i = 0; i < r->field_count; i++)
        floats += r->fields[i].dim;
    r->vectors = mem_alloc_array(floats, sizeof *r->vectors);
    return r->vectors == NULL ? err_set(err, ST_NOMEM, "out of memory for replaying a log") : ST_OK;
}

void replay_fini(struct replay *r)
{
    mem_free(r->vectors);
    r->vectors = NULL;
}

uint64_t replay_live_lsn(const struct replay *r, const struct docid *id)
{
    struct epoch_guard guard = epoch_enter(r->epoch);
    uint32_t slot = slots_find(r->slots, id);
    struct row row = {0};

    if (slot != SLOT_NONE)
        slots_row(r->slots, slot, &row);
    epoch_leave(r->epoch, guard);
    return row.lsn;
}

status replay_vectors(struct replay *r, const struct record_row *row, bool has[RECORD_FIELDS_MAX],
                      struct err *err)
{
    float *at = r->vectors;
    uint16_t found = 0;

    for (size_t i = 0; i < r->field_count; at += r->fields[i++].dim) {
        status st = record_row_vector(row, r->fields[i].id, at, r->fields[i].dim, err);

        if (st != ST_OK && st != ST_NOT_FOUND)
            return st;
        has[i] = st == ST_OK;
        found = (uint16_t)(found + has[i]);
    }
    if (found != row->vector_count)
        return err_set(err, ST_CORRUPT,
                       "a row has %u vectors, %u of them of the collection's fields",
                       row->vector_count, found);
    return ST_OK;
}

status replay_reserve(const struct replay *r, uint32_t slot, struct err *err)
{
    status st = ST_OK;

    for (size_t i = 0; st == ST_OK && i < r->field_count; i++)
        st = vindex_reserve(r->fields[i].vindex, slot + 1, err);
    return st;
}

void replay_fill(const struct replay *r, uint32_t slot, const bool has[RECORD_FIELDS_MAX])
{
    const float *at = r->vectors;

    for (size_t i = 0; i < r->field_count; at += r->fields[i++].dim)
        if (has[i])
            vindex_fill(r->fields[i].vindex, slot, at);
}

static status place_row(struct replay *r, uint64_t inserted_at_ns, const struct record_row *row,
                        uint32_t *out, struct err *err)
{
    uint32_t slot = SLOT_NONE;
    status st = slots_reserve(r->slots, 1, &slot, err);

    if (st != ST_OK)
        return st;
    st = replay_reserve(r, slot, err);
    if (st == ST_OK)
        st = slots_fill(r->slots, slot, &row->id, row->external_id, row->payload, inserted_at_ns,
                        err);
    if (st != ST_OK) {
        slots_abandon(r->slots, slot);
        return st;
    }
    *out = slot;
    return ST_OK;
}

/* The rows of a log found room once, because those that later ones replaced were taken out in
 * between. The same is done here when memory is full. */
static status place_row_at_need(struct replay *r, uint64_t inserted_at_ns,
                                const struct record_row *row, uint32_t *out, struct err *err)
{
    status st = place_row(r, inserted_at_ns, row, out, err);

    if (st != ST_NOSPACE || r->make_room == NULL || !r->make_room(r->arg))
        return st;
    return place_row(r, inserted_at_ns, row, out, err);
}

status replay_row(struct replay *r, uint64_t lsn, uint64_t inserted_at_ns,
                  const struct record_row *row, struct err *err)
{
    bool has[RECORD_FIELDS_MAX];
    uint32_t slot = SLOT_NONE;
    uint32_t old;
    status st;

    if (replay_live_lsn(r, &row->id) >= lsn)
        return ST_OK;
    st = replay_vectors(r, row, has, err);
    if (st == ST_OK)
        st = place_row_at_need(r, inserted_at_ns, row, &slot, err);
    if (st != ST_OK)
        return st;
    replay_fill(r, slot, has);
    for (size_t i = 0; i < r->field_count; i++)
        if (has[i])
            vindex_publish(r->fields[i].vindex, slot);
    old = slots_publish(r->slots, slot, lsn);
    r->rows++;
    if (old != SLOT_NONE && r->on_dead != NULL)
        r->on_dead(r->arg, old);
    return ST_OK;
}

static status replay_upsert(struct replay *r, struct record *record, uint64_t lsn, struct err *err)
{
    struct record_row row;
    status st;

    while ((st = record_next_row(record, &row, err)) == ST_OK) {
        st = r->put_row != NULL ? r->put_row(r->arg, lsn, record->inserted_at_ns, &row, err)
                                : replay_row(r, lsn, record->inserted_at_ns, &row, err);
        if (st != ST_OK)
            return st;
    }
    return st == ST_NOT_FOUND ? ST_OK : st;
}

static status replay_delete(struct replay *r, struct record *record, uint64_t lsn, struct err *err)
{
    struct docid id;
    status st;

    while ((st = record_next_id(record, &id, err)) == ST_OK) {
        uint32_t slot;

        if (replay_live_lsn(r, &id) > lsn)
            continue;
        if (r->on_delete != NULL && (st = r->on_delete(r->arg, lsn, &id, err)) != ST_OK)
            return st;
        slot = slots_erase(r->slots, &id);
        if (slot != SLOT_NONE && r->on_dead != NULL)
            r->on_dead(r->arg, slot);
    }
    return st == ST_NOT_FOUND ? ST_OK : st;
}

status replay_record(void *replay, uint64_t lsn, struct slice payload, struct err *err)
{
    struct replay *r = replay;
    struct record record;
    status st = record_open(payload, &record, err);

    if (st != ST_OK)
        return err_wrap(err, st, "record at lsn %" PRIu64, lsn);
    if (r->first_lsn == 0)
        r->first_lsn = lsn;
    r->last_lsn = lsn;
    r->records++;
    switch (record.kind) {
    case RECORD_UPSERT:
        st = replay_upsert(r, &record, lsn, err);
        break;
    case RECORD_DELETE:
        st = replay_delete(r, &record, lsn, err);
        break;
    case RECORD_SETTINGS:
        st = ST_OK;
        break;
    }
    return st == ST_OK ? ST_OK : err_wrap(err, st, "record at lsn %" PRIu64, lsn);
}
