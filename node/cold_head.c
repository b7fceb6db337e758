/* What the head hands to a fold, and what it gives up once the fold's rows are read from the
 * bucket: rows and tombstones at or below the floor of every set that somebody may still hold. */
#include "node/cold_internal.h"
#include "node/fields.h"
#include "snapshot/fold.h"

#include <inttypes.h>
#include <stdatomic.h>

enum {
    HEAD_SLICE_ROWS = 64,   /* read, or given up, in one guard */
    HEAD_SLICE_LOOK = 4096, /* slots looked at in one guard */
};

/* --- for a fold --- */

/* Inside a guard: the row of the slot, if that is what its id names and it is not newer. */
static bool row_at(const struct collection *c, uint32_t slot, uint64_t lsn, struct row *out)
{
    if (!slots_current(c->slots, slot))
        return false;
    slots_row(c->slots, slot, out);
    return out->lsn <= lsn;
}

static void vectors_at(const struct collection *c, uint32_t slot, const float **out)
{
    for (size_t i = 0; i < c->field_count; i++)
        out[i] = vindex_filled(c->fields[i].vindex, slot) ? vindex_vector(c->fields[i].vindex, slot)
                                                          : NULL;
}

status cold_each_row(void *source, status (*fn)(void *, const struct fold_row *, struct err *),
                     void *fn_arg, struct err *err)
{
    const struct cold_source *from = source;
    struct collection *c = from->c;
    const float *vectors[NODE_FIELDS_MAX];
    uint32_t end = slots_end(c->slots); /* what comes later is newer */
    status st = ST_OK;

    for (uint32_t slot = 0; st == ST_OK && slot < end;) {
        struct epoch_guard guard = epoch_enter(c->node->epoch);
        uint32_t rows = 0;

        for (uint32_t looked = 0;
             st == ST_OK && slot < end && rows < HEAD_SLICE_ROWS && looked < HEAD_SLICE_LOOK;
             slot++, looked++) {
            struct fold_row out = {.vectors = vectors};
            struct row row;

            if (!row_at(c, slot, from->lsn, &row) || row.lsn <= from->above)
                continue;
            rows++;
            vectors_at(c, slot, vectors);
            out.lsn = row.lsn;
            out.inserted_at_ns = row.inserted_at_ns;
            out.id = row.id;
            out.external_id = row.external_id;
            out.payload = row.payload;
            st = fn(fn_arg, &out, err);
        }
        epoch_leave(c->node->epoch, guard);
        if (st == ST_OK && atomic_load(&c->node->stopping))
            st = err_set(err, ST_CLOSED, "the node is stopping");
    }
    return st;
}

struct passing {
    struct collection *c;
    uint64_t above, lsn;
    status (*fn)(void *, const struct docid *, uint64_t, struct err *);
    void *arg;
};

/* An id that was written again at or below the fold's lsn is a row of the fold. */
static status pass_tombstone(void *arg, const struct docid *id, uint64_t lsn, struct err *err)
{
    const struct passing *p = arg;
    struct epoch_guard guard;
    struct row row = {0};
    uint32_t slot;

    if (lsn <= p->above)
        return ST_OK;
    guard = epoch_enter(p->c->node->epoch);
    slot = slots_find(p->c->slots, id);
    if (slot != SLOT_NONE)
        slots_row(p->c->slots, slot, &row);
    epoch_leave(p->c->node->epoch, guard);
    return row.lsn > lsn && row.lsn <= p->lsn ? ST_OK : p->fn(p->arg, id, lsn, err);
}

status cold_each_tombstone(void *source,
                           status (*fn)(void *, const struct docid *, uint64_t, struct err *),
                           void *fn_arg, struct err *err)
{
    const struct cold_source *from = source;
    struct passing p = {
        .c = from->c, .above = from->above, .lsn = from->lsn, .fn = fn, .arg = fn_arg};

    return tombstones_each(from->c, from->lsn, pass_tombstone, &p, err);
}

uint64_t cold_head_rows(struct collection *c)
{
    return slots_live_count(c->slots) + tombstones_count(c);
}

void cold_count_head(struct collection *c, uint64_t log_bytes)
{
    if (!cold_is(c))
        return;
    atomic_store(&c->ops_since_fold, cold_head_rows(c));
    atomic_store(&c->bytes_since_fold, log_bytes);
}

/* --- giving up --- */

/* The lowest floor that counts for somebody. Those before that are free go. */
static uint64_t lowest_floor(struct cold *cold)
{
    uint64_t lowest = cold->set.floor; /* this thread alone changes it */
    struct cold_past **at = &cold->past;

    while (*at != NULL) {
        struct cold_past *past = *at;

        if (atomic_load(&past->free)) {
            *at = past->next;
            mem_free(past);
            continue;
        }
        lowest = past->floor < lowest ? past->floor : lowest;
        at = &past->next;
    }
    return lowest;
}

void cold_count_doubled(struct collection *c)
{
    uint64_t floor = c->cold->set.floor; /* who works on it alone changes it */
    uint32_t end = c->slots != NULL ? slots_end(c->slots) : 0;
    uint32_t count = 0;

    for (uint32_t slot = 0; slot < end && floor > c->cold->given_up_lsn;) {
        struct epoch_guard guard = epoch_enter(c->node->epoch);

        for (uint32_t looked = 0; slot < end && looked < HEAD_SLICE_LOOK; slot++, looked++) {
            struct row row;

            count += row_at(c, slot, floor, &row);
        }
        epoch_leave(c->node->epoch, guard);
    }
    atomic_store(&c->cold->doubled, count);
}

/* The applier may replace or delete the row at this moment: one after the other, and only what its
 * id names still is taken out. No record, no tombstone: it is in the set. */
static uint32_t give_up_slice(struct collection *c, uint32_t *slot, uint32_t end, uint64_t lsn)
{
    struct epoch_guard guard = epoch_enter(c->node->epoch);
    uint32_t rows = 0;

    cold_apply_begin(c);
    for (uint32_t looked = 0; *slot < end && rows < HEAD_SLICE_ROWS && looked < HEAD_SLICE_LOOK;
         (*slot)++, looked++) {
        struct row row;

        if (row_at(c, *slot, lsn, &row)) {
            (void)slots_erase(c->slots, &row.id);
            rows++;
        }
    }
    cold_apply_end(c);
    epoch_leave(c->node->epoch, guard);
    return rows;
}

void cold_give_up_turn(struct collection *c)
{
    struct cold *cold = c->cold;
    uint64_t lsn = lowest_floor(cold);
    uint32_t end = slots_end(c->slots);
    uint64_t rows = 0;

    if (cold->set.now == NULL || lsn <= cold->given_up_lsn)
        return;
    for (uint32_t slot = 0; slot < end;)
        rows += give_up_slice(c, &slot, end, lsn);
    tombstones_give_up(c, lsn);
    cold->given_up_lsn = lsn;
    cold_count_doubled(c);
    if (rows == 0)
        return;
    atomic_store(&cold->repair, true);
    log_info("rows of the head are read from the bucket now",
             "collection_id=%s lsn=%" PRIu64 " rows=%" PRIu64 " left=%u", c->id_text, lsn, rows,
             slots_live_count(c->slots));
}

bool cold_repair_due(struct collection *c, uint32_t dead)
{
    if (!atomic_load(&c->cold->repair))
        return false;
    if (dead == 0)
        atomic_store(&c->cold->repair, false);
    return dead > 0;
}

/* After a load from base segments, whose rows are in no log here, one is written all the same. */
bool cold_instead_of_checkpoint(struct collection *c)
{
    if (!cold_is(c) || atomic_exchange(&c->cold->checkpoint, false))
        return false;
    atomic_store(&c->cold->fold_wanted, true);
    c->checkpoint_log_bytes = wal_bytes(c->seq.wal); /* not again at every tick */
    return true;
}

/* --- the log, and a checkpoint of the time in RAM; the upkeep thread --- */

static status drop_checkpoint(struct collection *c, struct err *err)
{
    char wal_dir[FS_PATH_BYTES];
    char snapshot_dir[FS_PATH_BYTES];
    status st = collection_paths(c, wal_dir, snapshot_dir, err);

    if (st == ST_OK)
        st = fs_remove_all(c->node->options.fs, snapshot_dir, err);
    if (st != ST_OK)
        return st;
    atomic_store(&c->snapshot_lsn, 0);
    atomic_store(&c->checkpoint_bytes, 0);
    atomic_store(&c->checkpoint_wall_ns, 0);
    return ST_OK;
}

/* In this order: a start that finds the floor noted leaves a checkpoint alone, one that does not
 * finds it whole, and the log behind it. */
static status do_settle(void *arg, struct err *err)
{
    struct collection *c = arg;
    uint64_t limit;
    status st;

    if (atomic_load(&c->seq.state) != COLLECTION_SERVING)
        return err_set(err, ST_DENIED, "the collection is not serving writes");
    limit = ship_trim_limit(c); /* the marks are on disk then */
    if (limit == 0)
        return err_set(err, ST_IO, "the local metadata could not be written");
    st = drop_checkpoint(c, err);
    if (st == ST_OK)
        st = wal_trim(c->seq.wal, limit < c->cold->committed ? limit : c->cold->committed, err);
    c->checkpoint_log_bytes = wal_bytes(c->seq.wal);
    return st;
}

struct floor_note {
    uint64_t floor;
};

static void note_floor(const void *arg, struct bucket_marks *marks)
{
    const struct floor_note *note = arg;

    if (note->floor > marks->cold_floor)
        marks->cold_floor = note->floor;
}

status cold_settle_log(struct collection *c, struct err *err)
{
    const struct floor_note note = {c->cold->committed};
    status st;

    ship_change_marks(c, note_floor, &note);
    st = jobs_run(&c->node->upkeep, do_settle, c, err);
    if (st == ST_OK)
        c->cold->trimmed = note.floor;
    return st;
}
