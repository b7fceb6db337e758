/* The way of a conditional or partial write.
 *
 *   choose   a batch of ids: the request's, or the next that a filter finds   [worker, in slices]
 *   line up  their turn is taken (turns.c): nobody else writes them now
 *   settle   until nothing in flight changes them
 *   decide   each document is read, asked, and made anew, whole               [worker, in slices]
 *   log      one record through write.c; as soon as it has its lsn the turn is left
 *   wait     until it is applied; then the next batch, or the answer          [commit thread]
 *
 * Nothing is tried twice: what was read under the turn cannot have been replaced when the record
 * gets its lsn, and turns come in the order in which they were asked for, so that a busy document
 * delays a change by those before it and no more. */
#include "node/change.h"

#include "node/cold_exec.h"

#include <assert.h>
#include <inttypes.h>
#include <stdatomic.h>

static void op_destroy(struct change_op *op)
{
    struct node *node = op->c->node;

    node_collection_unpin(op->c);
    arena_free(&op->walk.ids);
    arena_free(&op->walk.texts);
    mem_free(op->walk.found);
    arena_free(&op->batch.arena);
    arena_free(&op->cold.arena);
    buf_free(&op->batch.payload);
    mem_free(op->batch.ids);
    mem_free(op->batch.same);
    mem_free(op->batch.entries);
    mem_free(op->batch.out);
    mem_free(op->batch.out_deleted);
    mem_free(op);
    /* Pairs with node_close(): the node may be gone from here on. */
    atomic_fetch_sub_explicit(&node->ops, 1, memory_order_release);
}

static status reserve_batch(struct change_op *op)
{
    size_t room = op->count;

    if (op->by_filter)
        room = CHANGE_WALK_IDS;
    else if (op->job == JOB_CHANGE && room > CHANGE_IDS_MAX)
        room = CHANGE_IDS_MAX; /* the others have no contents of their own */
    op->batch.room = room;
    op->batch.ids = mem_alloc_array(room, sizeof *op->batch.ids);
    op->batch.entries = mem_alloc_array(room, sizeof *op->batch.entries);
    if (op->job == JOB_DELETE)
        op->batch.out_deleted = mem_alloc_array(room, sizeof *op->batch.out_deleted);
    else
        op->batch.out = mem_alloc_array(room, sizeof *op->batch.out);
    if (op->job == JOB_CHANGE && op->rows != NULL)
        op->batch.same = mem_alloc_array(room, sizeof *op->batch.same);
    return op->batch.ids != NULL && op->batch.entries != NULL &&
                   (op->batch.out != NULL || op->batch.out_deleted != NULL) &&
                   (op->batch.same != NULL || op->job != JOB_CHANGE || op->rows == NULL)
               ? ST_OK
               : ST_NOMEM;
}

static void leave_turn(struct change_op *op)
{
    struct turn_list come = {0};

    lock_take(&op->c->seq.lock);
    turn_leave_locked(op->c, &op->batch.turn, &come);
    lock_drop(&op->c->seq.lock);
    turns_come(op->c, &come);
}

static void refuse(struct change_op *op, status st, struct err *err)
{
    node_write_fn *done = op->done;
    void *arg = op->arg;

    leave_turn(op);
    if (op->changed > 0)
        (void)err_wrap(err, st, "%" PRIu64 " documents were changed, then", op->changed);
    op_destroy(op);
    done(arg, st, NULL, err);
}

static void answer(struct change_op *op, bool remote, bool short_of_remote)
{
    const struct write_result result = {.lsn = op->lsn,
                                        .count = op->changed,
                                        .durability = remote ? "remote" : "local",
                                        .short_of_remote = short_of_remote};
    char text[DOCID_TEXT_BYTES] = "";
    node_write_fn *done = op->done;
    void *arg = op->arg;
    bool missing = op->missing;
    struct err err = {0};

    if (missing)
        (void)docid_format(&op->missing_id, text);
    op_destroy(op);
    if (missing)
        done(arg, err_set(&err, ST_NOT_FOUND, "No point with id %s found", text), NULL, &err);
    else
        done(arg, ST_OK, &result, NULL);
}

static void on_remote_answer(struct remote_wait *wait, bool remote)
{
    answer((struct change_op *)(void *)((char *)(void *)wait - offsetof(struct change_op, wait)),
           remote, !remote);
}

/* Everything is durable here. What is in the bucket up to the last record is all of it. */
static void finish(struct change_op *op)
{
    struct collection *c = op->c;
    enum node_durability durability =
        op->options.durability != 0
            ? op->options.durability
            : (enum node_durability)atomic_load_explicit(&c->durability, memory_order_relaxed);
    bool remote = durability == NODE_REMOTE && op->lsn != 0;
    bool possible;

    if (!remote) {
        answer(op, false, false);
        return;
    }
    lock_take(&c->seq.lock);
    possible = c->seq.stream != NULL;
    if (possible)
        tier_stream_want_remote(c->seq.stream, op->lsn);
    lock_drop(&c->seq.lock);
    if (!possible) {
        answer(op, false, true);
        return;
    }
    op->wait = (struct remote_wait){
        .lsn = op->lsn,
        .deadline_ns =
            clock_mono_ns(c->node->options.clock) + write_wait_ns(c->node, op->options.wait_ms),
        .answer = on_remote_answer,
    };
    ship_wait(c, &op->wait);
}

/* Behind a record: what it left of the batch, or the next one. */
static void go_on(struct change_op *op)
{
    arena_reset(&op->batch.arena);
    op->batch.bytes = 0;
    op->batch.out_count = 0;
    op->step = STEP_LINE_UP;
    if (op->batch.at < op->batch.count)
        return;
    arena_reset(&op->walk.ids);
    op->batch.count = 0;
    op->batch.at = 0;
    op->step = STEP_CHOOSE;
}

/* On the commit thread, or on a worker when refused: possibly inside log_batch(). */
static void on_logged(void *arg, status st, const struct write_result *result,
                      const struct err *err)
{
    struct change_op *op = arg;

    if (st != ST_OK) {
        struct err why = *err;

        refuse(op, st, &why);
        return;
    }
    if (result->lsn != 0)
        op->lsn = result->lsn;
    op->changed += result->count;
    go_on(op);
    if (op->step == STEP_CHOOSE && change_chosen(op))
        finish(op);
    else
        exec_resubmit(op->c->node->options.exec, &op->task);
}

/* op may be gone when this returns. */
static void log_batch(struct change_op *op)
{
    const struct write_terms terms = {.durability = NODE_LOCAL, .turn = &op->batch.turn};

    op->step = STEP_WAIT;
    if (op->job == JOB_DELETE)
        delete_on_terms(op->c, op->batch.out_deleted, op->batch.out_count, &terms, on_logged, op);
    else
        write_on_terms(op->c, op->batch.out, op->batch.out_count, &terms, on_logged, op);
}

/* False: the task is resubmitted when the turn has come, and may run already. */
static bool line_up(struct change_op *op)
{
    struct collection *c = op->c;
    bool come;

    op->cold.count = 0; /* what was read is true under one turn alone */
    op->batch.turn.task = &op->task;
    op->batch.turn.entries = op->batch.entries;
    op->step = STEP_SETTLE;
    lock_take(&c->seq.lock);
    come = turn_take_locked(c, &op->batch.turn, op->batch.ids + op->batch.at,
                            op->batch.count - op->batch.at);
    lock_drop(&c->seq.lock);
    return come;
}

/* Until the record is full, all are decided, or the slice is used up: *again. */
static status decide(struct change_op *op, uint64_t until_ns, bool *again, struct err *err)
{
    size_t most = op->by_filter ? CHANGE_WALK_BYTES : CHANGE_BYTES;
    size_t looked = op->batch.bytes;
    struct epoch_guard guard = epoch_enter(op->c->node->epoch);
    status st = ST_OK;

    *again = false;
    while (st == ST_OK && !*again && op->batch.at < op->batch.count && op->batch.bytes < most) {
        st = change_decide(op, err);
        op->batch.at++;
        if (op->batch.bytes - looked < CHANGE_CLOCK_BYTES)
            continue;
        looked = op->batch.bytes;
        *again = clock_mono_ns(op->c->node->options.clock) >= until_ns;
    }
    epoch_leave(op->c->node->epoch, guard);
    return st;
}

/* The same, of documents that are read a few at a time. */
static status decide_cold(struct change_op *op, uint64_t until_ns, bool *again, struct err *err)
{
    size_t most = op->by_filter ? CHANGE_WALK_BYTES : CHANGE_BYTES;
    status st = ST_OK;

    *again = false;
    while (st == ST_OK && !*again && op->batch.at < op->batch.count && op->batch.bytes < most) {
        if (op->batch.at < op->cold.at || op->batch.at >= op->cold.at + op->cold.count)
            st = change_read_cold(op, err);
        if (st == ST_OK)
            st = change_decide(op, err);
        op->batch.at++;
        *again = clock_mono_ns(op->c->node->options.clock) >= until_ns;
    }
    return st;
}

/* Documents are read where that may wait. True: it goes on there, or was refused. */
static bool moves(struct change_op *op)
{
    struct err err = {0};
    status st;

    if (!cold_is(op->c) || node_cold_thread())
        return false;
    st = node_cold_resubmit(op->c->node, &op->task, &err);
    if (st != ST_OK)
        refuse(op, st, &err);
    return true;
}

enum next { GO_ON, LATER, GONE };

static enum next after(struct change_op *op, status st, bool again, enum change_step step,
                       struct err *err)
{
    if (st != ST_OK) {
        refuse(op, st, err);
        return GONE;
    }
    if (again)
        return LATER;
    op->step = step;
    return GO_ON;
}

static enum next one_step(struct change_op *op, uint64_t until_ns)
{
    struct err err = {0};
    bool again = false;
    status st;

    switch (op->step) {
    case STEP_CHOOSE:
        st = atomic_load(&op->c->node->stopping)
                 ? err_set(&err, ST_UNAVAILABLE,
                           "the node is stopping; send the write again once it is back")
                 : change_choose(op, &again, &err);
        if (st == ST_OK && !again && op->batch.count == 0) {
            finish(op);
            return GONE;
        }
        return after(op, st, again, STEP_LINE_UP, &err);
    case STEP_LINE_UP:
        return line_up(op) ? GO_ON : GONE;
    case STEP_SETTLE:
        op->step = STEP_DECIDE;
        return write_settled(op->c, &op->batch.turn) ? GO_ON : GONE;
    case STEP_DECIDE:
        st = cold_is(op->c) ? decide_cold(op, until_ns, &again, &err)
                            : decide(op, until_ns, &again, &err);
        return after(op, st, again, STEP_LOG, &err);
    case STEP_LOG:
        if (op->batch.out_count > 0) {
            log_batch(op);
            return GONE;
        }
        leave_turn(op);
        go_on(op);
        return GO_ON;
    case STEP_WAIT:
        break;
    }
    assert(false);
    return GONE;
}

static task_state run(struct task *task)
{
    struct change_op *op = (struct change_op *)(void *)task;
    struct clock *clock = op->c->node->options.clock;
    uint64_t until_ns = clock_mono_ns(clock) + EXEC_SLICE_NS;

    for (;;) {
        if (moves(op))
            return TASK_DONE;
        switch (one_step(op, until_ns)) {
        case GONE:
            return TASK_DONE;
        case LATER:
            return TASK_AGAIN;
        case GO_ON:
            if (clock_mono_ns(clock) >= until_ns)
                return TASK_AGAIN;
        }
    }
}

static status check_options(struct collection *c, const struct write_options *options, size_t count,
                            struct err *err)
{
    if (options->only_if && count != 1)
        return err_set(err, ST_INVALID, "if_lsn is for a request that names one document");
    if (count > RECORD_ROWS_MAX)
        return err_set(err, ST_INVALID, "a write has 1 to %d documents, this one %zu",
                       RECORD_ROWS_MAX, count);
    return write_check_durability(c, options->durability, err);
}

/* What waits for its turn and goes on is interactive if it is small. */
static uint64_t cost_ns(const struct change_op *op)
{
    return op->by_filter ? 2 * EXEC_INTERACTIVE_NS : (1 + op->count) * CHANGE_COST_NS;
}

static status create(struct collection *c, const struct change_op *from, struct change_op **out,
                     struct err *err)
{
    struct change_op *op = mem_alloc(sizeof *op);

    if (op != NULL) {
        *op = *from;
        op->c = c;
        op->task = (struct task){.run = run, .fair_key = c->fair_key, .cost_ns = cost_ns(op)};
        collection_pin(c);
        atomic_fetch_add_explicit(&c->node->ops, 1, memory_order_relaxed);
        arena_init(&op->walk.ids, (size_t)2 * CHANGE_WALK_IDS * DOCID_BYTES_MAX);
        arena_init(&op->walk.texts, SIZE_MAX);  /* CHANGE_KNOWN_MAX bounds it */
        arena_init(&op->batch.arena, SIZE_MAX); /* CHANGE_BYTES and a row bound it */
        arena_init(&op->cold.arena, SIZE_MAX);  /* CHANGE_COLD_DOCS bounds it */
        buf_init(&op->batch.payload, RECORD_PAYLOAD_BYTES_MAX);
        *out = op;
        if (reserve_batch(op) == ST_OK)
            return ST_OK;
        op_destroy(op);
    }
    return err_set(err, ST_NOMEM, "out of memory for a change of %zu documents", from->count);
}

/* The first slice runs here, so that a small change needs no second turn. */
static void begin(struct collection *c, const struct change_op *from)
{
    const struct write_result nothing = {.durability = "local"};
    struct change_op *op = NULL;
    struct err err = {0};
    status st = check_options(c, &from->options, from->count, &err);

    if (st == ST_OK && from->count == 0 && !from->by_filter) {
        from->done(from->arg, ST_OK, &nothing, NULL);
        return;
    }
    if (st == ST_OK)
        st = collection_check_loaded(c, &err);
    if (st == ST_OK)
        st = create(c, from, &op, &err);
    if (st != ST_OK)
        from->done(from->arg, st, NULL, &err);
    else if (run(&op->task) == TASK_AGAIN)
        exec_resubmit(c->node->options.exec, &op->task); /* which moves it, if it has to be */
}

static bool unconditional(const struct write_options *o)
{
    return o->mode == WRITE_UPSERT && o->update_filter == NULL && !o->only_if;
}

void node_write_with(struct collection *c, struct write_row *rows, size_t count,
                     const struct write_options *options, node_write_fn *done, void *arg)
{
    const struct write_terms terms = {.durability = options->durability,
                                      .wait_ms = options->wait_ms};
    struct err err = {0};
    status st = write_check_durability(c, options->durability, &err);

    if (st != ST_OK) {
        done(arg, st, NULL, &err);
    } else if (unconditional(options) || count == 0) {
        write_on_terms(c, rows, count, &terms, done, arg);
    } else {
        write_give_ids(c->node, rows, count);
        begin(c, &(struct change_op){.job = JOB_WRITE,
                                     .options = *options,
                                     .rows = rows,
                                     .count = count,
                                     .done = done,
                                     .arg = arg});
    }
}

void node_delete_with(struct collection *c, const struct selector *which,
                      const struct write_options *options, node_write_fn *done, void *arg)
{
    const struct write_terms terms = {.durability = options->durability,
                                      .wait_ms = options->wait_ms,
                                      .uncounted = options->uncounted};
    struct err err = {0};
    status st = write_check_durability(c, options->durability, &err);

    if (st != ST_OK) {
        done(arg, st, NULL, &err);
    } else if (which->filter == NULL && which->count > 0 && options->update_filter == NULL &&
               !options->only_if) {
        delete_on_terms(c, which->ids, which->count, &terms, done, arg);
    } else {
        begin(c, &(struct change_op){.job = JOB_DELETE,
                                     .options = *options,
                                     .ids = which->ids,
                                     .count = which->filter == NULL ? which->count : 0,
                                     .by_filter = which->filter != NULL,
                                     .which = which->filter,
                                     .done = done,
                                     .arg = arg});
    }
}

void node_change(struct collection *c, const struct selector *which, const struct change *change,
                 const struct write_options *options, node_write_fn *done, void *arg)
{
    bool vectors = change->kind == CHANGE_VECTORS;
    const struct change_op from = {
        .job = JOB_CHANGE,
        .options = *options,
        .change = *change,
        .rows = vectors ? change->rows : NULL,
        .ids = vectors ? NULL : which->ids,
        .count = vectors                 ? change->row_count
                 : which->filter == NULL ? which->count
                                         : 0,
        .by_filter = !vectors && which->filter != NULL,
        .which = vectors ? NULL : which->filter,
        .done = done,
        .arg = arg,
    };

    begin(c, &from);
}
