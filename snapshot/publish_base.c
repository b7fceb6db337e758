/* The live rows as segments, read while the collection serves.
 *
 * S, the new floor, was applied and stored before the first row is read. A row with a later lsn is
 * left out: its record lies behind the floor. A row at or below S that is live all the time is read
 * once: it stays in its slot. One that dies before its slot is looked at is in no segment; the
 * record that killed it is behind S and in the bucket before the root names any of this (settle).
 *
 * The slots need not be kept from reuse, as they must for a checkpoint: a segment names rows by id
 * and lsn, never by slot, and a slot that is used again holds a row above S. Rows are copied inside
 * the guard under which they were seen live, so neither payload nor vector goes away meanwhile. */
#include "snapshot/publish_internal.h"

#include <assert.h>
#include <inttypes.h>

enum {
    GUARD_BYTES = 256 * 1024,     /* a guard is left when so much was copied */
    ROW_SLACK_BYTES = 128 * 1024, /* what a segment adds to what its rows hold */
};

struct base {
    struct publisher *p;
    struct segment_writer *writer;
    uint64_t rows; /* in it */
    uint32_t slot, end;
    bool full;
};

/* A row may be as large as a segment is meant to be: then it begins one. */
static bool fits(const struct base *b, const struct row *row, const struct record_vector *vectors,
                 uint16_t count)
{
    size_t bytes = row->external_id.bytes + row->payload.bytes + DOCID_BYTES_MAX + ROW_SLACK_BYTES;

    for (uint16_t i = 0; i < count; i++)
        bytes += vectors[i].dim * sizeof(float);
    return b->rows == 0 || segment_bytes(b->writer) + bytes <= SEGMENT_BYTES_MAX;
}

/* Moves on behind the slot, unless it is for the next segment. */
static status add_slot(struct base *b, struct err *err)
{
    const struct publish_options *o = b->p->options;
    struct record_vector vectors[RECORD_FIELDS_MAX];
    uint32_t slot = b->slot;
    uint16_t count = 0;
    struct row row;

    b->slot++;
    if (slots_state(o->slots, slot) != SLOT_LIVE)
        return ST_OK;
    slots_row(o->slots, slot, &row);
    if (row.lsn > o->shipped.lsn)
        return ST_OK;
    for (size_t i = 0; i < o->field_count; i++) {
        const struct checkpoint_field *f = &o->fields[i];

        if (vindex_filled(f->vindex, slot))
            vectors[count++] = (struct record_vector){
                .field = f->id, .dim = f->dim, .values = vindex_vector(f->vindex, slot)};
    }
    if (!fits(b, &row, vectors, count)) {
        b->slot = slot;
        b->full = true;
        return ST_OK;
    }
    b->rows++;
    return segment_add_row(b->writer, row.lsn, row.inserted_at_ns, &row.id, row.external_id,
                           row.payload, vectors, count, err);
}

/* Some slots in one guard. */
static status add_batch(struct base *b, struct err *err)
{
    const struct publish_options *o = b->p->options;
    struct epoch_guard guard = epoch_enter(o->epoch);
    size_t before = segment_bytes(b->writer);
    status st = ST_OK;

    for (uint32_t looked = 0; st == ST_OK && looked < b->p->tuning->batch_rows; looked++) {
        if (b->slot == b->end || b->full || segment_bytes(b->writer) - before >= GUARD_BYTES)
            break;
        st = add_slot(b, err);
        b->full = b->full || segment_bytes(b->writer) >= b->p->tuning->object_bytes;
    }
    epoch_leave(o->epoch, guard);
    return st;
}

static status end_segment(struct base *b, struct err *err)
{
    struct manifest_segment item = {.level = 0};
    struct segment_head head = {.rows = 0};
    struct slice bytes;
    status st = segment_finish(b->writer, &head, &bytes, err);

    if (st == ST_OK)
        st = publish_data(b->p, bytes, &item.object, err);
    if (st != ST_OK)
        return st;
    item.start_lsn = head.start_lsn;
    item.lsn_min = head.lsn_min;
    item.lsn_max = head.lsn_max;
    item.rows = head.rows;
    b->p->report.rows += head.rows;
    return manifest_add_segment(&b->p->now, &item, err);
}

static status write_segment(struct base *b, struct err *err)
{
    const struct publish_options *o = b->p->options;
    status st = segment_create(o->collection, o->shipped.lsn, &b->writer, err);

    b->rows = 0;
    b->full = false;
    while (st == ST_OK && b->slot < b->end && !b->full) {
        st = add_batch(b, err);
        if (st == ST_OK)
            st = publish_step(b->p, err);
    }
    if (st == ST_OK && b->rows > 0)
        st = end_segment(b, err);
    segment_writer_destroy(b->writer);
    b->writer = NULL;
    return st;
}

status publish_base(struct publisher *p, struct err *err)
{
    struct base b = {.p = p, .end = slots_end(p->options->slots)};
    status st = ST_OK;

    assert(p->options->field_count <= RECORD_FIELDS_MAX);
    p->now.segment_count = 0;
    p->now.cold_count = 0; /* their rows are in RAM again */
    p->now.rows = slots_live_count(p->options->slots);
    while (st == ST_OK && b.slot < b.end)
        st = write_segment(&b, err);
    if (st == ST_OK)
        p->now.floor = p->options->shipped;
    return st == ST_OK ? ST_OK : err_wrap(err, st, "base segments");
}
