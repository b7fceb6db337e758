/* What becomes of one document: left alone, deleted, or written anew with everything it has. */
#include "node/change.h"

#include <inttypes.h>

/* --- the document as it is --- */

struct now {
    const struct docid *id;
    uint64_t lsn; /* 0: it is not there */
    struct slice external_id, payload;
    uint32_t slot;
    const struct document *read; /* a copy, where rows are not in RAM; else slot */
};

static const float *vector_at(const struct collection *c, const struct now *now, size_t field)
{
    const struct vindex *v = c->fields[field].vindex;

    if (now->read != NULL)
        return now->read->vectors == NULL ? NULL : now->read->vectors[field];
    return vindex_filled(v, now->slot) ? vindex_vector(v, now->slot) : NULL;
}

static uint64_t vectors_of_now(const struct collection *c, const struct now *now)
{
    uint64_t bits = 0;

    if (now->read == NULL)
        return row_vectors(c, now->slot);
    for (size_t i = 0; i < c->field_count; i++)
        bits |= (uint64_t)(vector_at(c, now, i) != NULL) << i;
    return bits;
}

static void look_at(const struct change_op *op, size_t at, struct now *out)
{
    const struct docid *id = &op->batch.ids[at];
    struct row row = {0};

    *out = (struct now){.id = id, .slot = SLOT_NONE};
    if (cold_is(op->c)) {
        const struct cold_doc *doc = &op->cold.docs[at - op->cold.at];

        if (!doc->found)
            return;
        out->read = &doc->document;
        out->lsn = doc->document.lsn;
        out->external_id = doc->document.external_id;
        out->payload = doc->document.payload;
        return;
    }
    out->slot = slots_find(op->c->slots, id);
    if (out->slot == SLOT_NONE)
        return;
    slots_row(op->c->slots, out->slot, &row);
    out->lsn = row.lsn;
    out->external_id = row.external_id;
    out->payload = row.payload;
}

/* --- a changed row; what it points to is in the batch's arena --- */

static status no_memory(struct err *err)
{
    return err_set(err, ST_NOMEM, "out of memory for a changed document");
}

static bool keep(struct change_op *op, struct slice from, struct slice *out)
{
    uint8_t *copy;

    *out = (struct slice){0};
    if (from.bytes == 0)
        return true;
    copy = arena_alloc(&op->batch.arena, from.bytes);
    if (copy == NULL)
        return false;
    memcpy(copy, from.data, from.bytes);
    *out = slice_make(copy, from.bytes);
    op->batch.bytes += from.bytes;
    return true;
}

static status made_payload(struct change_op *op, struct slice *out, struct err *err)
{
    struct buf *made = &op->batch.payload;

    if (made->failed && made->over)
        return err_set(err, ST_INVALID, "a payload would have more than %d bytes",
                       RECORD_PAYLOAD_BYTES_MAX);
    return !made->failed && keep(op, buf_slice(made), out) ? ST_OK : no_memory(err);
}

static status change_payload(struct change_op *op, struct slice now, struct slice *out,
                             struct err *err)
{
    const struct change *change = &op->change;
    struct buf *made = &op->batch.payload;
    status st;

    buf_reset(made);
    switch (change->kind) {
    case CHANGE_MERGE_PAYLOAD:
        st = payload_merge(made, now, change->payload, change->at, err);
        return st == ST_INVALID ? st : made_payload(op, out, err);
    case CHANGE_DELETE_KEYS:
        payload_delete(made, now, change->keys, change->key_count);
        return made_payload(op, out, err);
    case CHANGE_REPLACE_PAYLOAD:
        *out = change->payload;
        op->batch.bytes += change->payload.bytes;
        return ST_OK;
    case CHANGE_CLEAR_PAYLOAD:
        *out = (struct slice){0};
        return ST_OK;
    case CHANGE_VECTORS:
    case CHANGE_DELETE_VECTORS:
        break;
    }
    return keep(op, now, out) ? ST_OK : no_memory(err);
}

/* The vectors that rows of the request bring for this document take the place of its own. */
static void take_vectors(const struct change_op *op, size_t at, struct write_row *out)
{
    for (size_t i = at;; i = (op->batch.same[i] & ~CHANGE_FOLLOWS) - 1) {
        const struct write_row *row = &op->rows[op->batch.first + i];

        for (size_t field = 0; field < op->c->field_count; field++) {
            float *vector = row->vectors != NULL ? row->vectors[field]
                            : field == 0         ? row->vector
                                                 : NULL;

            if (vector == NULL)
                continue;
            out->vectors[field] = vector;
            out->as_stored &= ~(UINT64_C(1) << field);
        }
        if ((op->batch.same[i] & ~CHANGE_FOLLOWS) == 0)
            return;
    }
}

static status copy_vectors(struct change_op *op, const struct now *now, struct write_row *out,
                           struct err *err)
{
    size_t fields = op->c->field_count;

    out->vectors = arena_zero(&op->batch.arena, (fields + 1) * sizeof *out->vectors);
    if (out->vectors == NULL)
        return no_memory(err);
    for (size_t i = 0; i < fields; i++) {
        const float *vector = vector_at(op->c, now, i);
        size_t bytes = op->c->fields[i].info.dimension * sizeof *vector;

        if (vector == NULL ||
            (op->change.kind == CHANGE_DELETE_VECTORS && (op->change.fields >> i & 1) != 0))
            continue;
        out->vectors[i] = arena_alloc(&op->batch.arena, bytes);
        if (out->vectors[i] == NULL)
            return no_memory(err);
        memcpy(out->vectors[i], vector, bytes);
        out->as_stored |= UINT64_C(1) << i;
        op->batch.bytes += bytes;
    }
    return ST_OK;
}

static status make_row(struct change_op *op, size_t at, const struct now *now, struct err *err)
{
    struct write_row *out = &op->batch.out[op->batch.out_count];
    status st;

    *out = (struct write_row){.id = op->batch.ids[at]};
    if (!keep(op, now->external_id, &out->external_id))
        return no_memory(err);
    st = change_payload(op, now->payload, &out->payload, err);
    if (st == ST_OK)
        st = copy_vectors(op, now, out, err);
    if (st != ST_OK)
        return st;
    if (op->change.kind == CHANGE_VECTORS)
        take_vectors(op, at, out);
    out->vector = out->vectors[0];
    op->batch.out_count++;
    return ST_OK;
}

/* --- the decision --- */

static status check_lsn(const struct change_op *op, uint64_t lsn, struct err *err)
{
    uint64_t wanted = op->options.if_lsn;

    if (!op->options.only_if || lsn == wanted)
        return ST_OK;
    if (lsn == 0)
        return err_set(err, ST_CONFLICT, "the document is not there, it should have lsn %" PRIu64,
                       wanted);
    if (wanted == 0)
        return err_set(err, ST_CONFLICT, "the document is there already, with lsn %" PRIu64, lsn);
    return err_set(err, ST_CONFLICT, "the document has lsn %" PRIu64 ", not %" PRIu64, lsn, wanted);
}

static void put_through(struct change_op *op, size_t at)
{
    if (op->job == JOB_DELETE)
        op->batch.out_deleted[op->batch.out_count++] = op->batch.ids[at];
    else
        op->batch.out[op->batch.out_count++] = op->rows[op->batch.first + at];
}

static void decide_absent(struct change_op *op, size_t at)
{
    switch (op->job) {
    case JOB_WRITE:
        if (op->options.mode != WRITE_UPDATE_ONLY)
            put_through(op, at);
        return;
    case JOB_DELETE:
        return;
    case JOB_CHANGE:
        if (op->by_filter || op->missing)
            return;
        op->missing = true;
        op->missing_id = op->batch.ids[at];
    }
}

static bool is_wanted(const struct change_op *op, const struct now *now)
{
    const struct filter_row asked = {now->id, now->payload, vectors_of_now(op->c, now)};

    if (op->job == JOB_WRITE && op->options.mode == WRITE_INSERT_ONLY)
        return false;
    return (op->which == NULL || filter_match(op->which, &asked)) &&
           (op->options.update_filter == NULL || filter_match(op->options.update_filter, &asked));
}

/* Comes with an earlier row of the same id. */
static bool is_done(const struct change_op *op, size_t at)
{
    return op->batch.same != NULL && (op->batch.same[at] & CHANGE_FOLLOWS) != 0;
}

status change_decide(struct change_op *op, struct err *err)
{
    size_t at = op->batch.at;
    struct now now;
    status st;

    op->batch.bytes += 64;
    if (is_done(op, at))
        return ST_OK;
    look_at(op, at, &now);
    st = check_lsn(op, now.lsn, err);
    if (st != ST_OK)
        return st;
    if (now.lsn == 0) {
        decide_absent(op, at);
        return ST_OK;
    }
    if (!is_wanted(op, &now))
        return ST_OK;
    if (op->job == JOB_CHANGE)
        return make_row(op, at, &now, err);
    put_through(op, at);
    return ST_OK;
}
