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
#include "node/write.h"

#include "filter/pindex.h"
#include "node/cold.h"
#include "node/fields.h"

#include <inttypes.h>
#include <stdatomic.h>

enum { WRITE_WAIT_MS_MAX = 3600 * 1000 };

/* --- the overlay; the sequencer's lock is held --- */

void write_overlay_add_locked(struct write_op *op, size_t at, const struct docid *id, bool present)
{
    struct overlay_entry *e = &op->overlay[at];

    e->link.id = *id;
    e->present = present;
    e->op = op;
    id_table_add(&op->c->seq.overlay, &e->link);
}

void write_overlay_remove_locked(struct write_op *op)
{
    for (size_t i = 0; i < op->count; i++)
        id_table_remove(&op->c->seq.overlay, &op->overlay[i].link);
}

/* The newest record in flight that changes the id, or NULL. */
const struct overlay_entry *write_overlay_find_locked(struct collection *c, const struct docid *id)
{
    return (const struct overlay_entry *)(const void *)id_table_find(&c->seq.overlay, id);
}

bool write_settled(struct collection *c, struct turn *turn)
{
    struct write_op *last = NULL;

    lock_take(&c->seq.lock);
    for (size_t i = 0; i < turn->count && c->seq.overlay.count > 0; i++) {
        const struct overlay_entry *e = write_overlay_find_locked(c, &turn->entries[i].link.id);

        if (e != NULL && (last == NULL || e->op->lsn > last->lsn))
            last = e->op;
    }
    if (last != NULL)
        turn_list_add(&last->settling, turn);
    lock_drop(&c->seq.lock);
    return last == NULL;
}

/* --- one operation --- */

struct write_op *write_op_create(struct collection *c, size_t count, bool is_delete,
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

void write_op_destroy(struct write_op *op)
{
    struct node *node = op->c->node;

    tombstones_release(op->c, op->tombstones);
    cold_set_drop(op->cold);
    mem_free(op->cold_lsns);
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
void write_want_room(struct collection *c, status st)
{
    if (st == ST_NOSPACE)
        atomic_store_explicit(&c->room_wanted, true, memory_order_relaxed);
}

void write_op_refuse(struct write_op *op, status st, const struct err *err)
{
    node_write_fn *done = op->done;
    void *arg = op->arg;

    write_want_room(op->c, st);

    for (size_t i = 0; !op->is_delete && i < op->count; i++)
        slots_abandon(op->c->slots, op->slots[i]);
    write_op_destroy(op);
    done(arg, st, NULL, err);
}

/* A tombstone comes before its row is gone: who asks the row first and then the tombstones
 * (cold_newer()) finds one of them. */
static void publish(struct write_op *op, uint64_t lsn)
{
    struct collection *c = op->c;
    bool head = cold_is(c);

    if (head)
        cold_apply_begin(c);
    tombstones_put(c, op->tombstones, lsn);
    op->tombstones = NULL;
    for (size_t i = 0; i < op->count; i++) {
        if (op->is_delete) {
            (void)slots_erase(c->slots, &op->ids[i]);
            continue;
        }
        fields_publish(c, op->slots[i]);
        pindex_publish(c->pindex, op->slots[i]);
        (void)slots_publish(c->slots, op->slots[i], lsn);
    }
    if (head)
        cold_apply_end(c);
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

    write_op_destroy(op);
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
    write_overlay_remove_locked(op);
    settled = op->settling;
    if (st == ST_OK)
        ship_logged_locked(c, lsn, op->record.bytes, op->count, remote);
    result.short_of_remote = remote && c->seq.stream == NULL;
    remote = remote && c->seq.stream != NULL;
    lock_drop(&c->seq.lock);
    turns_come(c, &settled);

    atomic_store_explicit(&c->disk_refused, st == ST_NOSPACE, memory_order_relaxed);
    if (st != ST_OK) {
        write_op_refuse(op, st, err);
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
    write_op_destroy(op);
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
status write_check_locked(struct collection *c, struct err *err)
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
        if (c->seq.dropping)
            return err_set(err, ST_UNAVAILABLE, "%s", DROP_REASON);
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

status write_submit_locked(struct write_op *op, struct err *err)
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
status write_check_newest_locked(const struct write_op *op, const struct docid *id, struct err *err)
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
    if (row.lsn == op->terms.newest_lsn && write_overlay_find_locked(c, id) == NULL)
        return ST_OK;
    return err_set(err, ST_CONFLICT, "the document was written again meanwhile");
}

/* Whether op must wait: its ids are somebody's turn, and it has no turn of its own. */
bool write_in_the_way_locked(struct write_op *op, const struct docid *ids, size_t count)
{
    return op->terms.turn == NULL && !op->turn.held && turns_meet_locked(op->c, ids, count);
}

void write_leave_turns_locked(struct write_op *op, struct turn_list *come)
{
    if (op->terms.turn != NULL)
        turn_leave_locked(op->c, op->terms.turn, come);
    turn_leave_locked(op->c, &op->turn, come);
}

/* Gets in line. False: its turn has come already, or memory is out and op was refused (*refused).
 */
bool write_wait_in_line(struct write_op *op, const struct docid *ids, size_t count, task_fn *then,
                        bool *refused)
{
    struct collection *c = op->c;
    struct err err = {0};
    bool come;

    op->turn.entries = mem_alloc_array(count, sizeof *op->turn.entries);
    *refused = op->turn.entries == NULL;
    if (*refused) {
        status st = err_set(&err, ST_NOMEM, "out of memory for a write of %zu documents", count);

        write_op_refuse(op, st, &err);
        return false;
    }
    op->task = (struct task){.run = then, .fair_key = c->fair_key};
    op->turn.task = &op->task;
    lock_take(&c->seq.lock);
    come = turn_take_locked(c, &op->turn, ids, count);
    lock_drop(&c->seq.lock);
    return !come;
}

static task_state sequence_again(struct task *task)
{
    write_sequence((struct write_op *)(void *)task);
    return TASK_DONE;
}

/* Gives an upsert its place in the log. */
void write_sequence(struct write_op *op)
{
    struct collection *c = op->c;
    struct turn_list come = {0};
    struct err err = {0};
    bool refused;
    status st;

    lock_take(&c->seq.lock);
    if (write_in_the_way_locked(op, op->ids, op->count)) {
        lock_drop(&c->seq.lock);
        if (!write_wait_in_line(op, op->ids, op->count, sequence_again, &refused) && !refused)
            write_sequence(op);
        return;
    }
    st = write_check_locked(c, &err);
    if (st == ST_OK)
        st = write_check_newest_locked(op, &op->ids[0], &err);
    if (st == ST_OK) {
        for (size_t i = 0; i < op->count; i++)
            write_overlay_add_locked(op, i, &op->ids[i], true);
        write_leave_turns_locked(op, &come); /* op is another thread's from its lsn on */
        st = write_submit_locked(op, &err);
        if (st != ST_OK)
            write_overlay_remove_locked(op);
    } else {
        write_leave_turns_locked(op, &come);
    }
    lock_drop(&c->seq.lock);
    turns_come(c, &come);
    if (st != ST_OK)
        write_op_refuse(op, st, &err);
}
