/* The way of an upsert to its lsn: what is checked, reserved and filled in slices, and what a
 * writer helps with where too much waits for the indexes. */
#include "base/json.h"
#include "filter/pindex.h"
#include "node/fields.h"
#include "node/write.h"

#include <inttypes.h>
#include <stdatomic.h>

enum {
    WRITE_HELP_ROWS_SLICE = 1,
    WRITE_HELP_INDEX_SLICE = 128,
    WRITE_RECORD_SLACK = 64 * 1024,
    WRITE_CLOCK_BYTES = 32 * 1024, /* of rows filled between looks at the clock */
};

/* Beyond VINDEX_PENDING_MAX pending rows a writer links as many vectors as it brings, before it is
 * answered; beyond NODE_INDEX_PENDING_MAX it puts twice its rows into the payload indexes. */
static task_state help(struct task *task)
{
    struct write_op *op = (struct write_op *)(void *)task;
    struct collection *c = op->c;
    uint32_t linked = op->help_left == 0 ? 0 : fields_link(c, WRITE_HELP_ROWS_SLICE);

    op->help_left = linked >= op->help_left || linked == 0 ? 0 : op->help_left - linked;
    if (op->index_left > WRITE_HELP_INDEX_SLICE && indexes_over_bound(c))
        op->index_left -= WRITE_HELP_INDEX_SLICE;
    else
        op->index_left = 0;
    if (op->index_left > 0)
        indexes_help(c, WRITE_HELP_INDEX_SLICE);
    if (((op->help_left > 0 && fields_behind(c)) || op->index_left > 0) &&
        !atomic_load(&c->node->stopping))
        return TASK_AGAIN;
    write_sequence(op);
    return TASK_DONE;
}

/* --- an upsert's rows --- */

static status check_rows(const struct write_row *rows, size_t count, struct err *err)
{
    if (count == 0 || count > RECORD_ROWS_MAX)
        return err_set(err, ST_INVALID, "a write has 1 to %d documents, this one %zu",
                       RECORD_ROWS_MAX, count);
    for (size_t i = 0; i < count; i++) {
        if (rows[i].external_id.bytes > RECORD_EXTERNAL_ID_BYTES_MAX)
            return err_set(err, ST_INVALID,
                           "document %zu: external_id has %zu bytes, at most %d are taken", i,
                           rows[i].external_id.bytes, RECORD_EXTERNAL_ID_BYTES_MAX);
        if (rows[i].payload.bytes > RECORD_PAYLOAD_BYTES_MAX)
            return err_set(err, ST_INVALID,
                           "document %zu: the payload has %zu bytes, at most %d are taken", i,
                           rows[i].payload.bytes, RECORD_PAYLOAD_BYTES_MAX);
        /* Replay looks too, and a record that it refuses costs the collection. */
        if (rows[i].payload.bytes > 0 && jbin_check(rows[i].payload, err) != ST_OK)
            return err_wrap(err, ST_INVALID, "document %zu: payload", i);
    }
    return ST_OK;
}

void write_give_ids(struct node *node, struct write_row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (rows[i].id.kind != 0)
            continue;
        rows[i].id.kind = DOCID_UUID;
        uuid_make_v7(node->options.rand, node->options.clock, rows[i].id.uuid);
    }
}

/* Of an id that comes more than once the last row counts. keep[] receives the rows that count, in
 * order; returns how many, 0 when memory is out. */
static size_t keep_last(const struct write_row *rows, size_t count, uint32_t *keep)
{
    size_t room = 1;
    size_t kept = 0;
    uint32_t *table;

    if (count == 1) {
        keep[0] = 0;
        return 1;
    }
    while (room < count * 2)
        room *= 2;
    table = mem_zero_array(room, sizeof *table);
    if (table == NULL)
        return 0;
    for (size_t i = count; i-- > 0;) {
        size_t at = docid_hash(&rows[i].id) & (room - 1);

        while (table[at] != 0 && !docid_equal(&rows[table[at] - 1].id, &rows[i].id))
            at = (at + 1) & (room - 1);
        if (table[at] != 0)
            continue;
        table[at] = (uint32_t)i + 1;
        keep[kept++] = (uint32_t)i;
    }
    mem_free(table);
    for (size_t i = 0; i < kept / 2; i++) {
        uint32_t swap = keep[i];

        keep[i] = keep[kept - 1 - i];
        keep[kept - 1 - i] = swap;
    }
    return kept;
}

static size_t vector_bytes(const struct write_op *op)
{
    const struct collection *c = op->c;
    size_t bytes = 0;

    if (c->field_count <= 1)
        return op->count * c->vector_bytes;
    for (size_t i = 0; i < op->count; i++) {
        const struct write_row *row = &op->rows[op->keep[i]];

        for (size_t k = 0; k < c->field_count; k++) {
            if (row->vectors != NULL && row->vectors[k] != NULL)
                bytes += c->fields[k].info.dimension * sizeof(float);
        }
    }
    return bytes;
}

/* What can fail before a row is touched: from here on slots are given back when the op is refused.
 */
static status reserve_rows(struct write_op *op, struct err *err)
{
    struct collection *c = op->c;
    uint32_t end = 0;
    status st = slots_reserve(c->slots, (uint32_t)op->count, op->slots, err);

    if (st != ST_OK)
        return st;
    for (size_t i = 0; i < op->count; i++)
        end = op->slots[i] >= end ? op->slots[i] + 1 : end;
    st = fields_reserve(c, end, err); /* no more: memory may be out for slots beyond */
    if (st == ST_OK)
        st = pindex_reserve(c->pindex, end, err);
    for (size_t i = 0; i < op->count && st != ST_OK; i++)
        slots_abandon(c->slots, op->slots[i]);
    if (st != ST_OK)
        return st;
    /* Most of a record is vectors: one allocation instead of a dozen doublings. */
    (void)buf_reserve(&op->record, WRITE_RECORD_SLACK);
    if (op->count > 1)
        (void)buf_reserve(&op->record, vector_bytes(op) + op->count * 64);
    record_begin(&op->writer, &op->record, RECORD_UPSERT, op->now_ns);
    return ST_OK;
}

static status fill_row(struct write_op *op, size_t at, struct err *err)
{
    struct collection *c = op->c;
    struct write_row *row = &op->rows[op->keep[at]];
    struct record_vector vectors[NODE_FIELDS_MAX];
    uint16_t count = fields_take(c, row, vectors);
    status st;

    op->vectors += count;
    record_put_row(&op->writer, &row->id, row->external_id, row->payload, vectors, count);
    st = slots_fill(c->slots, op->slots[at], &row->id, row->external_id, row->payload, op->now_ns,
                    err);
    if (st == ST_OK)
        fields_fill(c, op->slots[at], vectors, count);
    return st;
}

/* Fills rows until the slice is used up or none is left. */
static status fill_slice(struct write_op *op, struct err *err)
{
    struct clock *clock = op->c->node->options.clock;
    uint64_t until_ns = clock_mono_ns(clock) + EXEC_SLICE_NS;
    size_t bytes = 0;
    status st = ST_OK;

    while (st == ST_OK && op->filled < op->count) {
        bytes += op->c->vector_bytes + op->rows[op->keep[op->filled]].payload.bytes + 256;
        st = fill_row(op, op->filled++, err);
        if (bytes < WRITE_CLOCK_BYTES)
            continue;
        bytes = 0;
        if (clock_mono_ns(clock) >= until_ns)
            break;
    }
    return st == ST_OK && op->filled == op->count ? record_end(&op->writer, err) : st;
}

/* TASK_DONE: the op has moved on, or was refused. */
static task_state fill(struct task *task)
{
    struct write_op *op = (struct write_op *)(void *)task;
    struct collection *c = op->c;
    struct err err = {0};
    status st = fill_slice(op, &err);

    if (st != ST_OK) {
        write_op_refuse(op, st, &err);
        return TASK_DONE;
    }
    if (op->filled < op->count)
        return TASK_AGAIN;
    op->help_left = fields_behind(c) ? op->vectors : 0;
    op->index_left = indexes_over_bound(c) ? WRITE_HELP_INDEX_SLICE + 2 * (uint32_t)op->count : 0;
    if (op->help_left == 0 && op->index_left == 0) {
        write_sequence(op);
        return TASK_DONE;
    }
    op->task.run = help;
    return TASK_AGAIN;
}

static status prepare(struct collection *c, struct write_row *rows, size_t count,
                      const struct write_terms *terms, struct write_op **out, struct err *err)
{
    struct write_op *op = NULL;
    status st = check_rows(rows, count, err);

    if (st == ST_OK && !terms->local) /* what relieves the pressure is not kept out by it */
        st = ship_pressure(c, count, err);
    if (st != ST_OK)
        return st;
    lock_take(
        &c->seq.lock); /* asked again when the lsn is given: this spares a refused write its work */
    st = write_check_locked(c, err);
    lock_drop(&c->seq.lock);
    if (st != ST_OK)
        return st;
    write_give_ids(c->node, rows, count);
    op = write_op_create(c, count, false, terms);
    if (op != NULL) {
        op->rows = rows;
        op->now_ns = clock_wall_ns(c->node->options.clock);
        op->keep = mem_alloc_array(count, sizeof *op->keep);
        op->ids = mem_alloc_array(count, sizeof *op->ids);
    }
    if (op == NULL || op->keep == NULL || op->ids == NULL ||
        (op->count = keep_last(rows, count, op->keep)) == 0) {
        st = err_set(err, ST_NOMEM, "out of memory for a write of %zu documents", count);
        goto out;
    }
    op->counted = op->count;
    for (size_t i = 0; i < op->count; i++)
        op->ids[i] = rows[op->keep[i]].id;
    st = reserve_rows(op, err);
    if (st == ST_OK) {
        *out = op;
        op = NULL;
    }
out:
    if (op != NULL)
        write_op_destroy(op);
    return st;
}

/* The first slice runs here, so that a small write needs no second turn. */
void write_on_terms(struct collection *c, struct write_row *rows, size_t count,
                    const struct write_terms *terms, node_write_fn *done, void *arg)
{
    struct exec *exec = c->node->options.exec;
    struct write_op *op = NULL;
    struct err err = {0};
    status st = prepare(c, rows, count, terms, &op, &err);

    if (st != ST_OK) {
        write_want_room(c, st);
        done(arg, st, NULL, &err);
        return;
    }
    op->done = done;
    op->arg = arg;
    op->task =
        (struct task){.run = fill, .fair_key = c->fair_key, .cost_ns = 2 * EXEC_INTERACTIVE_NS};
    if (fill(&op->task) == TASK_AGAIN)
        exec_resubmit(exec, &op->task);
}

void node_write(struct collection *c, struct write_row *rows, size_t count, node_write_fn *done,
                void *arg)
{
    const struct write_terms terms = {0};

    write_on_terms(c, rows, count, &terms, done, arg);
}

uint64_t node_write_cost_ns(struct collection *c, size_t rows)
{
    /* Normalise, code, copy twice: about 4 ns a dimension and row here; linking is asked for apart.
     */
    return rows * (2000 + c->vector_bytes);
}
