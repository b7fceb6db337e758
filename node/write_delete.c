/* The way of a delete: under the sequencer's lock all at once. */
#include "node/cold_exec.h"
#include "node/cold_reads.h"
#include "node/write.h"

/* Whether an id that is not in the head is there all the same. A delete with a turn names those
 * alone that are. */
static bool is_cold(const struct write_op *op, size_t at)
{
    uint64_t deleted;

    if (op->cold_lsns == NULL)
        return op->terms.turn != NULL && cold_is(op->c);
    return op->cold_lsns[at] != 0 &&
           !(tombstones_find(op->c, &op->wanted[at], &deleted) && deleted > op->cold_lsns[at]);
}

/* Whether the delete names this id in its record, and whether it counts: inside an epoch guard. An
 * id that a delete in flight takes out is logged once more, uncounted: were that delete refused
 * after we had said that nothing is there, the document would be back. */
static bool delete_takes_locked(const struct write_op *op, size_t at, bool *counts)
{
    const struct docid *id = &op->wanted[at];
    const struct overlay_entry *e = write_overlay_find_locked(op->c, id);

    if (e != NULL)
        *counts = e->present;
    else
        *counts = slots_find(op->c->slots, id) != SLOT_NONE || is_cold(op, at);
    if (e != NULL && e >= op->overlay && e < op->overlay + op->count)
        return false; /* named twice in one request */
    return e != NULL || *counts || op->terms.absent_too ||
           (op->tombstones != NULL && op->cold_lsns == NULL);
}

/* Under S3Only an id that is not in RAM may be elsewhere. */
static status reserve_tombstones(struct write_op *op, struct err *err)
{
    if (!cold_is(op->c) || op->tombstones != NULL)
        return ST_OK;
    return tombstones_reserve(op->c, op->wanted, op->wanted_count, &op->tombstones, err);
}

/* Under the lock: which of the ids are there, their record, the overlay, the log. */
static status delete_locked(struct write_op *op, struct turn_list *come, struct err *err)
{
    struct collection *c = op->c;
    struct epoch_guard guard;
    struct record_writer w;
    status st = write_check_locked(c, err);

    if (st == ST_OK)
        st = write_check_newest_locked(op, &op->wanted[0], err);
    if (st == ST_OK) /* it was RAM's a moment ago */
        st = reserve_tombstones(op, err);
    if (st != ST_OK)
        return st;
    record_begin(&w, &op->record, RECORD_DELETE, clock_wall_ns(c->node->options.clock));
    op->count = 0;
    guard = epoch_enter(c->node->epoch);
    for (size_t i = 0; i < op->wanted_count; i++) {
        const struct docid *id = &op->wanted[i];
        bool counts;

        if (!delete_takes_locked(op, i, &counts))
            continue;
        op->ids[op->count] = *id;
        write_overlay_add_locked(op, op->count, id, false);
        op->count++;
        op->counted += counts;
        record_put_id(&w, id);
    }
    epoch_leave(c->node->epoch, guard);
    /* Nothing is there: unless the log has stopped, and what it does not know may be back. */
    if (op->count == 0)
        return wal_state(c->seq.wal, err);
    st = record_end(&w, err);
    if (st == ST_OK) {
        write_leave_turns_locked(op, come); /* op is another thread's from its lsn on */
        st = write_submit_locked(op, err);
    }
    if (st != ST_OK)
        write_overlay_remove_locked(op);
    return st;
}

static void sequence_delete(struct write_op *op);

static task_state sequence_delete_again(struct task *task)
{
    sequence_delete((struct write_op *)(void *)task);
    return TASK_DONE;
}

static void sequence_delete(struct write_op *op)
{
    const struct write_result nothing = {.durability = "local"};
    struct collection *c = op->c;
    struct turn_list come = {0};
    struct err err = {0};
    bool none = false;
    bool refused;
    status st;

    lock_take(&c->seq.lock);
    if (write_in_the_way_locked(op, op->wanted, op->wanted_count)) {
        lock_drop(&c->seq.lock);
        if (!write_wait_in_line(op, op->wanted, op->wanted_count, sequence_delete_again,
                                &refused) &&
            !refused)
            sequence_delete(op);
        return;
    }
    st = delete_locked(op, &come, &err);
    none = st == ST_OK && op->count == 0;
    if (st != ST_OK || none)
        write_leave_turns_locked(op, &come);
    lock_drop(&c->seq.lock);
    turns_come(c, &come);
    if (st != ST_OK) {
        write_op_refuse(op, st, &err);
    } else if (none) {
        node_write_fn *done = op->done;
        void *arg = op->arg;

        write_op_destroy(op);
        done(arg, ST_OK, &nothing, NULL);
    }
}

/* --- under S3Only --- */

/* Whether the head alone says if the id is there. What lies above the floor of the set that is
 * held stays in the head until that is let go. Where none is held, one may be opened and the head
 * give the row up before the delete has its lsn: then it is in that set, as what is told says. */
static bool head_knows(struct write_op *op, size_t at)
{
    struct collection *c = op->c;
    uint64_t floor = op->cold == NULL ? 0 : cold_set_floor(op->cold), deleted = 0;
    struct epoch_guard guard = epoch_enter(c->node->epoch);
    uint32_t slot = slots_find(c->slots, &op->wanted[at]);
    struct row row = {0};

    if (slot != SLOT_NONE)
        slots_row(c->slots, slot, &row);
    epoch_leave(c->node->epoch, guard);
    if (row.lsn > floor)
        op->cold_lsns[at] = row.lsn;
    return row.lsn > floor || (tombstones_find(c, &op->wanted[at], &deleted) && deleted > floor);
}

/* Which of the ids the set has, that the head knows nothing of: asked[] in `wanted`. */
static status ask_set(struct write_op *op, const size_t *asked, size_t count, struct err *err)
{
    struct docid *ids = mem_alloc_array(count, sizeof *ids);
    uint64_t *lsns = mem_zero_array(count, sizeof *lsns);
    struct cold_reads r = {0};
    status st = ids == NULL || lsns == NULL
                    ? err_set(err, ST_NOMEM, "out of memory for a delete of %zu ids", count)
                    : cold_reads_begin(op->c, &(struct read_limits){.stop = &op->c->node->stopping},
                                       &r, err);

    for (size_t i = 0; st == ST_OK && i < count; i++)
        ids[i] = op->wanted[asked[i]];
    r.terms.newer = NULL;
    if (st == ST_OK && r.set != NULL)
        do
            st = cold_set_find(r.set, ids, count, &r.terms, lsns, err);
        while (cold_reads_again(&r, st));
    for (size_t i = 0; st == ST_OK && i < count; i++)
        op->cold_lsns[asked[i]] = lsns[i];
    cold_set_drop(op->cold);
    op->cold = r.set;
    mem_free(ids);
    mem_free(lsns);
    return cold_reads_outcome(st, err);
}

/* The set is held until the lsn is given: what the head says then of those it has a record of goes
 * before it. Where another one takes the place of the first, all are asked of that. */
static status ask_cold(struct write_op *op, struct err *err)
{
    size_t *asked = mem_alloc_array(op->wanted_count, sizeof *asked);
    size_t count = 0;
    uint64_t floor;
    status st = ST_OK;

    op->cold_lsns = mem_zero_array(op->wanted_count, sizeof *op->cold_lsns);
    if (asked == NULL || op->cold_lsns == NULL)
        st = err_set(err, ST_NOMEM, "out of memory for a delete of %zu ids", op->wanted_count);
    else if (cold_hold(op->c, &op->cold, NULL) != ST_OK)
        op->cold = NULL; /* all there is known of is the head */
    floor = op->cold == NULL ? 0 : cold_set_floor(op->cold);
    for (size_t i = 0; st == ST_OK && i < op->wanted_count; i++)
        if (!head_knows(op, i))
            asked[count++] = i;
    if (st == ST_OK && count > 0)
        st = ask_set(op, asked, count, err);
    if (st == ST_OK && count > 0 && op->cold != NULL && cold_set_floor(op->cold) != floor) {
        for (count = 0; count < op->wanted_count; count++)
            asked[count] = count;
        st = ask_set(op, asked, count, err);
    }
    mem_free(asked);
    return st;
}

static task_state run_cold(struct task *task)
{
    struct write_op *op = (struct write_op *)(void *)task;
    struct err err = {0};
    status st = ask_cold(op, &err);

    if (st == ST_OK)
        sequence_delete(op);
    else
        write_op_refuse(op, st, &err);
    return TASK_DONE;
}

static void delete_cold(struct write_op *op)
{
    struct err err = {0};
    status st;

    op->task = (struct task){.run = run_cold, .fair_key = op->c->fair_key};
    if (node_cold_thread()) {
        (void)run_cold(&op->task);
        return;
    }
    st = node_cold_resubmit(op->c->node, &op->task, &err);
    if (st != ST_OK)
        write_op_refuse(op, st, &err);
}

void delete_on_terms(struct collection *c, const struct docid *ids, size_t count,
                     const struct write_terms *terms, node_write_fn *done, void *arg)
{
    struct write_op *op =
        count == 0 || count > RECORD_ROWS_MAX ? NULL : write_op_create(c, count, true, terms);
    struct err err = {0};
    status st;

    if (op == NULL) {
        st = count == 0 || count > RECORD_ROWS_MAX
                 ? err_set(&err, ST_INVALID, "a delete names 1 to %d ids, this one %zu",
                           RECORD_ROWS_MAX, count)
                 : err_set(&err, ST_NOMEM, "out of memory for a delete of %zu ids", count);
        done(arg, st, NULL, &err);
        return;
    }
    op->done = done;
    op->arg = arg;
    op->wanted = ids;
    op->wanted_count = count;
    st = reserve_tombstones(op, &err);
    if (st != ST_OK) {
        write_op_refuse(op, st, &err);
        return;
    }
    if (cold_is(c) && terms->turn == NULL && !terms->uncounted)
        delete_cold(op);
    else
        sequence_delete(op);
}

void node_delete(struct collection *c, const struct docid *ids, size_t count, node_write_fn *done,
                 void *arg)
{
    const struct write_terms terms = {0};

    delete_on_terms(c, ids, count, &terms, done, arg);
}
