/* The write path of one collection.
 *
 *   node_write()  checks, reserves                                              [worker]
 *   fill          fills invisible rows, encodes the record, in slices             [worker]
 *   help          links what is pending beyond the bound, in slices               [worker, at need]
 *   sequence      under the sequencer's lock: the lsn, the log's buffer, the overlay
 *   on_logged     publishes in lsn order, answers                                 [commit thread]
 *
 * The overlay holds the ids that records in flight will change: a delete that follows an insert on
 * another connection must find it although nothing is applied yet. When the log falls back, each
 * record in flight gets its own failure first, and takes its ids out of the overlay there.
 *
 * An id that is somebody's turn (turns.c) is not written by anybody else: who comes to it gets in
 * line, and is sequenced when its own turn has come. */
#include "base/json.h"
#include "filter/pindex.h"
#include "node/fields.h"

#include <assert.h>
#include <inttypes.h>
#include <stdatomic.h>

enum {
    WRITE_HELP_ROWS_SLICE = 1,
    WRITE_HELP_INDEX_SLICE = 128,
    WRITE_RECORD_SLACK = 64 * 1024,
    WRITE_CLOCK_BYTES = 32 * 1024, /* of rows filled between looks at the clock */
    WRITE_WAIT_MS_MAX = 3600 * 1000,
};

struct write_op {
    struct task task;     /* while it fills and helps to link in slices */
    struct collection *c; /* pinned */
    bool is_delete;
    struct write_terms terms;
    const struct docid *wanted; /* of a delete: the request's, all of them */
    size_t wanted_count;
    struct turn turn; /* of one that got in line */
    uint64_t lsn;
    struct turn_list settling; /* who waits until this is not in flight any more */
    size_t count;              /* of slots, ids and overlay entries */
    size_t counted;            /* what the answer says */
    uint32_t *slots;           /* of an upsert */
    struct docid *ids;         /* of a delete: those it logs; borrow from the request */
    struct overlay_entry *overlay;
    struct buf record;
    struct record_writer writer;
    struct write_row *rows; /* of an upsert, the door's until done() */
    uint32_t *keep;         /* which of them count */
    size_t filled;          /* of count */
    uint64_t now_ns;        /* wall */
    uint32_t vectors;       /* of the rows filled */
    uint32_t help_left, index_left;
    uint64_t started_ns;
    struct remote_wait wait; /* for the bucket, once it is durable here */
    node_write_fn *done;
    void *arg;
};

/* --- the overlay; the sequencer's lock is held --- */

static void overlay_add_locked(struct write_op *op, size_t at, const struct docid *id, bool present)
{
    struct overlay_entry *e = &op->overlay[at];

    e->link.id = *id;
    e->present = present;
    e->op = op;
    id_table_add(&op->c->seq.overlay, &e->link);
}

static void overlay_remove_locked(struct write_op *op)
{
    for (size_t i = 0; i < op->count; i++)
        id_table_remove(&op->c->seq.overlay, &op->overlay[i].link);
}

/* The newest record in flight that changes the id, or NULL. */
static const struct overlay_entry *overlay_find_locked(struct collection *c, const struct docid *id)
{
    return (const struct overlay_entry *)(const void *)id_table_find(&c->seq.overlay, id);
}

bool write_settled(struct collection *c, struct turn *turn)
{
    struct write_op *last = NULL;

    lock_take(&c->seq.lock);
    for (size_t i = 0; i < turn->count && c->seq.overlay.count > 0; i++) {
        const struct overlay_entry *e = overlay_find_locked(c, &turn->entries[i].link.id);

        if (e != NULL && (last == NULL || e->op->lsn > last->lsn))
            last = e->op;
    }
    if (last != NULL)
        turn_list_add(&last->settling, turn);
    lock_drop(&c->seq.lock);
    return last == NULL;
}

/* --- one operation --- */

static struct write_op *op_create(struct collection *c, size_t count, bool is_delete,
                                  const struct write_terms *terms)
{
    struct write_op *op = mem_zero(sizeof *op);

    if (op == NULL)
        return NULL;
    op->c = c;
    op->is_delete = is_delete;
    op->terms = *terms;
    op->count = count;
    op->started_ns = clock_mono_ns(c->node->options.clock);
    buf_init(&op->record, WAL_PAYLOAD_BYTES_MAX);
    op->overlay = mem_alloc_array(count, sizeof *op->overlay);
    if (is_delete)
        op->ids = mem_alloc_array(count, sizeof *op->ids);
    else
        op->slots = mem_alloc_array(count, sizeof *op->slots);
    if (op->overlay == NULL || (is_delete ? (void *)op->ids : (void *)op->slots) == NULL) {
        mem_free(op->overlay);
        mem_free(op->ids);
        mem_free(op->slots);
        mem_free(op);
        return NULL;
    }
    collection_pin(c);
    atomic_fetch_add_explicit(&c->node->ops, 1, memory_order_relaxed);
    return op;
}

static void op_destroy(struct write_op *op)
{
    struct node *node = op->c->node;

    node_collection_unpin(op->c);
    buf_free(&op->record);
    mem_free(op->overlay);
    mem_free(op->ids);
    mem_free(op->slots);
    mem_free(op->keep);
    mem_free(op->turn.entries);
    mem_free(op);
    /* Pairs with node_close(): the node may be gone from here on. */
    atomic_fetch_sub_explicit(&node->ops, 1, memory_order_release);
}

/* Where memory is full, upkeep takes out what dead rows there are, before they are many. */
static void want_room(struct collection *c, status st)
{
    if (st == ST_NOSPACE)
        atomic_store_explicit(&c->room_wanted, true, memory_order_relaxed);
}

static void op_refuse(struct write_op *op, status st, const struct err *err)
{
    node_write_fn *done = op->done;
    void *arg = op->arg;

    want_room(op->c, st);

    for (size_t i = 0; !op->is_delete && i < op->count; i++)
        slots_abandon(op->c->slots, op->slots[i]);
    op_destroy(op);
    done(arg, st, NULL, err);
}

static void publish(struct write_op *op, uint64_t lsn)
{
    struct collection *c = op->c;

    for (size_t i = 0; i < op->count; i++) {
        if (op->is_delete) {
            (void)slots_erase(c->slots, &op->ids[i]);
            continue;
        }
        fields_publish(c, op->slots[i]);
        pindex_publish(c->pindex, op->slots[i]);
        (void)slots_publish(c->slots, op->slots[i], lsn);
    }
    atomic_store_explicit(&c->applied_lsn, lsn, memory_order_release);
}

static void count_inserts(const struct write_op *op)
{
    struct collection *c = op->c;
    uint64_t ns = clock_mono_ns(c->node->options.clock) - op->started_ns;
    struct epoch_guard guard = epoch_enter(c->node->epoch);

    stats_observe(atomic_load_explicit(&c->stats, memory_order_acquire)->insert_seconds,
                  (double)ns * 1e-9);
    epoch_leave(c->node->epoch, guard);
    atomic_fetch_add_explicit(&c->inserted, op->count, memory_order_relaxed);
}

static void on_remote_answer(struct remote_wait *wait, bool remote)
{
    struct write_op *op =
        (struct write_op *)(void *)((char *)(void *)wait - offsetof(struct write_op, wait));
    struct write_result result = {.lsn = wait->lsn,
                                  .count = op->counted,
                                  .durability = remote ? "remote" : "local",
                                  .short_of_remote = !remote};
    node_write_fn *done = op->done;
    void *arg = op->arg;

    op_destroy(op);
    done(arg, ST_OK, &result, NULL);
}

uint64_t write_wait_ns(const struct node *node, uint64_t wait_ms)
{
    if (wait_ms == 0)
        wait_ms = node->options.remote_wait_ms != 0 ? node->options.remote_wait_ms : 20000;
    return (wait_ms < WRITE_WAIT_MS_MAX ? wait_ms : WRITE_WAIT_MS_MAX) * 1000000;
}

/* Durable here; the bucket is asked for as well. */
static void wait_for_bucket(struct write_op *op, uint64_t lsn)
{
    struct node *node = op->c->node;

    buf_free(&op->record);
    buf_init(&op->record, 0);
    op->wait = (struct remote_wait){
        .lsn = lsn,
        .deadline_ns = clock_mono_ns(node->options.clock) + write_wait_ns(node, op->terms.wait_ms),
        .answer = on_remote_answer,
    };
    ship_wait(op->c, &op->wait);
}

/* wal_done_fn, on the commit thread, in lsn order: nothing here waits. */
static void on_logged(void *arg, uint64_t lsn, status st, const struct err *err)
{
    struct write_op *op = arg;
    struct collection *c = op->c;
    struct write_result result = {.lsn = lsn, .count = op->counted, .durability = "local"};
    node_write_fn *done = op->done;
    void *done_arg = op->arg;
    struct turn_list settled;
    bool remote = !op->terms.local &&
                  (op->terms.durability != 0
                       ? op->terms.durability
                       : atomic_load_explicit(&c->durability, memory_order_relaxed)) == NODE_REMOTE;

    if (st == ST_OK)
        publish(op, lsn);
    lock_take(&c->seq.lock);
    overlay_remove_locked(op);
    settled = op->settling;
    if (st == ST_OK)
        ship_logged_locked(c, lsn, op->record.bytes, op->count, remote);
    result.short_of_remote = remote && c->seq.stream == NULL;
    remote = remote && c->seq.stream != NULL;
    lock_drop(&c->seq.lock);
    turns_come(c, &settled);

    atomic_store_explicit(&c->disk_refused, st == ST_NOSPACE, memory_order_relaxed);
    if (st != ST_OK) {
        op_refuse(op, st, err);
        return;
    }
    if (!op->is_delete) {
        count_inserts(op);
        if (fields_link_wanted(c) || pindex_any(c->pindex))
            linkers_want(c);
    }
    if (remote) {
        wait_for_bucket(op, lsn);
        return;
    }
    op_destroy(op);
    done(done_arg, ST_OK, &result, NULL);
}

void write_on_cut(void *arg, uint64_t cut_lsn)
{
    static struct log_repeat repeat; /* of all collections: they share the disk */
    struct collection *c = arg;
    uint64_t left_out;

    lock_take(&c->seq.lock);
    c->seq.last_lsn = cut_lsn;
    lock_drop(&c->seq.lock);
    if (log_repeat(&repeat, &left_out))
        log_warn("the log fell back after a failed write",
                 "collection_id=%s lsn=%" PRIu64 " left_out=%" PRIu64, c->id_text, cut_lsn,
                 left_out);
}

/* ST_OK if the collection takes writes now. */
static status writable_locked(struct collection *c, struct err *err)
{
    struct node *node = c->node;

    if (atomic_load(&node->stopping))
        return err_set(err, ST_UNAVAILABLE,
                       "the node is stopping; send the write again once it is back");
    if (atomic_load(&node->readonly))
        return err_set(err, ST_DENIED,
                       "the node is read-only; POST /admin/readwrite takes writes again");
    switch (atomic_load_explicit(&c->seq.state, memory_order_acquire)) {
    case COLLECTION_SERVING:
        if (c->seq.fenced && atomic_load_explicit(&c->arriving, memory_order_relaxed))
            return err_set(err, ST_UNAVAILABLE, "%s", c->seq.fence_reason);
        if (c->seq.fenced)
            return err_set(err, ST_DENIED, "the collection is read-only here: %s",
                           c->seq.fence_reason);
        return ST_OK;
    case COLLECTION_LOADING:
        return err_set(err, ST_UNAVAILABLE, "the collection is still loading");
    case COLLECTION_READ_ONLY:
        return err_set(err, ST_DENIED, "the collection is read-only: %s", c->seq.reason);
    case COLLECTION_FAILED:
        return err_set(err, ST_UNAVAILABLE, "the collection could not be loaded: %s",
                       c->seq.reason);
    case COLLECTION_DROPPED:
        return err_set(err, ST_NOT_FOUND, "the collection was dropped");
    }
    return err_set(err, ST_BUG, "collection state");
}

status write_check_durability(struct collection *c, enum node_durability durability,
                              struct err *err)
{
    if (durability == NODE_REMOTE && !policy_has_bucket(atomic_load(&c->policy)))
        return err_set(err, ST_INVALID,
                       "durability remote needs a bucket: the tiering policy of the collection is "
                       "Memory");
    return ST_OK;
}

static status submit_locked(struct write_op *op, struct err *err)
{
    struct collection *c = op->c;
    struct slice payload = buf_slice(&op->record);
    uint64_t lsn = 0;
    status st;

    if (payload.bytes > TIER_RECORD_BYTES_MAX && policy_has_bucket(atomic_load(&c->policy)))
        return err_set(
            err, ST_INVALID,
            "a write of %zu bytes does not fit into one object of the bucket, at most %d "
            "do: send it in parts",
            payload.bytes, (int)TIER_RECORD_BYTES_MAX);
    st = wal_submit(c->seq.wal, &payload, 1, on_logged, op, &lsn, err);
    if (st == ST_OK)
        op->lsn = c->seq.last_lsn = lsn;
    return st;
}

/* Whether the newest record of the id is still the one that the terms name. What is in flight may
 * fail, and counts as another one until it did. */
static status check_newest_locked(const struct write_op *op, const struct docid *id,
                                  struct err *err)
{
    struct collection *c = op->c;
    struct epoch_guard guard;
    struct row row = {0};
    uint32_t slot;

    if (!op->terms.only_if)
        return ST_OK;
    guard = epoch_enter(c->node->epoch);
    slot = slots_find(c->slots, id);
    if (slot != SLOT_NONE)
        slots_row(c->slots, slot, &row);
    epoch_leave(c->node->epoch, guard);
    if (row.lsn == op->terms.newest_lsn && overlay_find_locked(c, id) == NULL)
        return ST_OK;
    return err_set(err, ST_CONFLICT, "the document was written again meanwhile");
}

/* Whether op must wait: its ids are somebody's turn, and it has no turn of its own. */
static bool in_the_way_locked(struct write_op *op, const struct docid *ids, size_t count)
{
    return op->terms.turn == NULL && !op->turn.held && turns_meet_locked(op->c, ids, count);
}

static void leave_turns_locked(struct write_op *op, struct turn_list *come)
{
    if (op->terms.turn != NULL)
        turn_leave_locked(op->c, op->terms.turn, come);
    turn_leave_locked(op->c, &op->turn, come);
}

/* Gets in line. False: its turn has come already, or memory is out and op was refused (*refused).
 */
static bool wait_in_line(struct write_op *op, const struct docid *ids, size_t count, task_fn *then,
                         bool *refused)
{
    struct collection *c = op->c;
    struct err err = {0};
    bool come;

    op->turn.entries = mem_alloc_array(count, sizeof *op->turn.entries);
    *refused = op->turn.entries == NULL;
    if (*refused) {
        status st = err_set(&err, ST_NOMEM, "out of memory for a write of %zu documents", count);

        op_refuse(op, st, &err);
        return false;
    }
    op->task = (struct task){.run = then, .fair_key = c->fair_key};
    op->turn.task = &op->task;
    lock_take(&c->seq.lock);
    come = turn_take_locked(c, &op->turn, ids, count);
    lock_drop(&c->seq.lock);
    return !come;
}

static void sequence(struct write_op *op);

static task_state sequence_again(struct task *task)
{
    sequence((struct write_op *)(void *)task);
    return TASK_DONE;
}

/* Gives an upsert its place in the log. */
static void sequence(struct write_op *op)
{
    struct collection *c = op->c;
    struct turn_list come = {0};
    struct err err = {0};
    bool refused;
    status st;

    lock_take(&c->seq.lock);
    if (in_the_way_locked(op, op->ids, op->count)) {
        lock_drop(&c->seq.lock);
        if (!wait_in_line(op, op->ids, op->count, sequence_again, &refused) && !refused)
            sequence(op);
        return;
    }
    st = writable_locked(c, &err);
    if (st == ST_OK)
        st = check_newest_locked(op, &op->ids[0], &err);
    if (st == ST_OK) {
        for (size_t i = 0; i < op->count; i++)
            overlay_add_locked(op, i, &op->ids[i], true);
        leave_turns_locked(op, &come); /* op is another thread's from its lsn on */
        st = submit_locked(op, &err);
        if (st != ST_OK)
            overlay_remove_locked(op);
    } else {
        leave_turns_locked(op, &come);
    }
    lock_drop(&c->seq.lock);
    turns_come(c, &come);
    if (st != ST_OK)
        op_refuse(op, st, &err);
}

static bool too_many_to_index(const struct collection *c)
{
    return pindex_any(c->pindex) && pindex_pending(c->pindex) > NODE_INDEX_PENDING_MAX;
}

/* Beyond VINDEX_PENDING_MAX pending rows a writer links as many vectors as it brings, before it is
 * answered; beyond NODE_INDEX_PENDING_MAX it puts twice its rows into the payload indexes. */
static task_state help(struct task *task)
{
    struct write_op *op = (struct write_op *)(void *)task;
    struct collection *c = op->c;
    uint32_t linked = op->help_left == 0 ? 0 : fields_link(c, WRITE_HELP_ROWS_SLICE);

    op->help_left = linked >= op->help_left || linked == 0 ? 0 : op->help_left - linked;
    if (op->index_left > WRITE_HELP_INDEX_SLICE && too_many_to_index(c))
        op->index_left -= WRITE_HELP_INDEX_SLICE;
    else
        op->index_left = 0;
    if (op->index_left > 0)
        (void)indexes_turn(c, WRITE_HELP_INDEX_SLICE);
    if (((op->help_left > 0 && fields_behind(c)) || op->index_left > 0) &&
        !atomic_load(&c->node->stopping))
        return TASK_AGAIN;
    sequence(op);
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
        op_refuse(op, st, &err);
        return TASK_DONE;
    }
    if (op->filled < op->count)
        return TASK_AGAIN;
    op->help_left = fields_behind(c) ? op->vectors : 0;
    op->index_left = too_many_to_index(c) ? WRITE_HELP_INDEX_SLICE + 2 * (uint32_t)op->count : 0;
    if (op->help_left == 0 && op->index_left == 0) {
        sequence(op);
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
    st = writable_locked(c, err);
    lock_drop(&c->seq.lock);
    if (st != ST_OK)
        return st;
    write_give_ids(c->node, rows, count);
    op = op_create(c, count, false, terms);
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
        op_destroy(op);
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
        want_room(c, st);
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

/* --- deletes --- */

/* Whether the delete names this id in its record, and whether it counts: inside an epoch guard. An
 * id that a delete in flight takes out is logged once more, uncounted: were that delete refused
 * after we had said that nothing is there, the document would be back. */
static bool delete_takes_locked(const struct write_op *op, const struct docid *id, bool *counts)
{
    const struct overlay_entry *e = overlay_find_locked(op->c, id);

    *counts = e != NULL ? e->present : slots_find(op->c->slots, id) != SLOT_NONE;
    if (e != NULL && e >= op->overlay && e < op->overlay + op->count)
        return false; /* named twice in one request */
    return e != NULL || *counts || op->terms.absent_too;
}

/* Under the lock: which of the ids are there, their record, the overlay, the log. */
static status delete_locked(struct write_op *op, struct turn_list *come, struct err *err)
{
    struct collection *c = op->c;
    struct epoch_guard guard;
    struct record_writer w;
    status st = writable_locked(c, err);

    if (st == ST_OK)
        st = check_newest_locked(op, &op->wanted[0], err);
    if (st != ST_OK)
        return st;
    record_begin(&w, &op->record, RECORD_DELETE, clock_wall_ns(c->node->options.clock));
    op->count = 0;
    guard = epoch_enter(c->node->epoch);
    for (size_t i = 0; i < op->wanted_count; i++) {
        const struct docid *id = &op->wanted[i];
        bool counts;

        if (!delete_takes_locked(op, id, &counts))
            continue;
        op->ids[op->count] = *id;
        overlay_add_locked(op, op->count, id, false);
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
        leave_turns_locked(op, come); /* op is another thread's from its lsn on */
        st = submit_locked(op, err);
    }
    if (st != ST_OK)
        overlay_remove_locked(op);
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
    if (in_the_way_locked(op, op->wanted, op->wanted_count)) {
        lock_drop(&c->seq.lock);
        if (!wait_in_line(op, op->wanted, op->wanted_count, sequence_delete_again, &refused) &&
            !refused)
            sequence_delete(op);
        return;
    }
    st = delete_locked(op, &come, &err);
    none = st == ST_OK && op->count == 0;
    if (st != ST_OK || none)
        leave_turns_locked(op, &come);
    lock_drop(&c->seq.lock);
    turns_come(c, &come);
    if (st != ST_OK) {
        op_refuse(op, st, &err);
    } else if (none) {
        node_write_fn *done = op->done;
        void *arg = op->arg;

        op_destroy(op);
        done(arg, ST_OK, &nothing, NULL);
    }
}

void delete_on_terms(struct collection *c, const struct docid *ids, size_t count,
                     const struct write_terms *terms, node_write_fn *done, void *arg)
{
    struct write_op *op =
        count == 0 || count > RECORD_ROWS_MAX ? NULL : op_create(c, count, true, terms);
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
    sequence_delete(op);
}

void node_delete(struct collection *c, const struct docid *ids, size_t count, node_write_fn *done,
                 void *arg)
{
    const struct write_terms terms = {0};

    delete_on_terms(c, ids, count, &terms, done, arg);
}

uint64_t node_write_cost_ns(struct collection *c, size_t rows)
{
    /* Normalise, code, copy twice: about 4 ns a dimension and row here; linking is asked for apart.
     */
    return rows * (2000 + c->vector_bytes);
}
