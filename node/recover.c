/* Start: every collection of the catalog is loaded from its checkpoint, then its log is replayed.
 *
 * A replayed row is skipped if its id is live with this lsn or a later one: the fuzzy image may
 * hold what came after its start lsn already (docs/formats/checkpoint.md has the reasoning). What
 * cannot be loaded whole is served as far as it is whole, read-only, and health says so; what
 * cannot be loaded at all answers 503 with the reason while the rest of the node serves. */
#include "node/node_internal.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>

struct replay {
    struct collection *c;
    float *vector; /* dim floats */
    uint64_t first_lsn;
    uint64_t last_lsn;
    uint64_t records;
};

static uint64_t live_lsn(struct collection *c, const struct docid *id)
{
    struct epoch_guard guard = epoch_enter(c->node->epoch);
    uint32_t slot = slots_find(c->slots, id);
    struct row row = {0};

    if (slot != SLOT_NONE)
        slots_row(c->slots, slot, &row);
    epoch_leave(c->node->epoch, guard);
    return row.lsn; /* 0: not there; lsns begin at 1 */
}

static status place_row(struct replay *r, const struct record *record, const struct record_row *row,
                        uint32_t *out, struct err *err)
{
    struct collection *c = r->c;
    uint32_t slot = SLOT_NONE;
    status st = slots_reserve(c->slots, 1, &slot, err);

    if (st != ST_OK)
        return st;
    st = vindex_reserve(c->vindex, slot + 1, err);
    if (st == ST_OK)
        st = slots_fill(c->slots, slot, &row->id, row->external_id, row->payload,
                        record->inserted_at_ns, err);
    if (st != ST_OK) {
        slots_abandon(c->slots, slot);
        return st;
    }
    *out = slot;
    return ST_OK;
}

/* The rows of this log found room once, because those that later ones replaced were taken out in
 * between. The same is done here when memory is full. */
static status place_row_at_need(struct replay *r, const struct record *record,
                                const struct record_row *row, uint32_t *out, struct err *err)
{
    struct collection *c = r->c;
    status st = place_row(r, record, row, out, err);

    if (st != ST_NOSPACE || slots_dead_count(c->slots) == 0)
        return st;
    collection_repair(c);
    reclaim_wait(c->node);
    return place_row(r, record, row, out, err);
}

static status replay_row(struct replay *r, const struct record *record,
                         const struct record_row *row, uint64_t lsn, struct err *err)
{
    struct collection *c = r->c;
    uint32_t slot = SLOT_NONE;
    status st;

    if (live_lsn(c, &row->id) >= lsn)
        return ST_OK;
    st = record_row_vector(row, 0, r->vector, c->dim, err);
    if (st == ST_NOT_FOUND)
        st = err_set(err, ST_CORRUPT, "lsn %" PRIu64 ": a row without its vector", lsn);
    if (st == ST_OK)
        st = place_row_at_need(r, record, row, &slot, err);
    if (st != ST_OK)
        return st;
    vindex_fill(c->vindex, slot, r->vector);
    vindex_publish(c->vindex, slot);
    (void)slots_publish(c->slots, slot, lsn);
    return ST_OK;
}

static status replay_upsert(struct replay *r, struct record *record, uint64_t lsn, struct err *err)
{
    struct record_row row;
    status st;

    while ((st = record_next_row(record, &row, err)) == ST_OK) {
        st = replay_row(r, record, &row, lsn, err);
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
        if (live_lsn(r->c, &id) <= lsn)
            (void)slots_erase(r->c->slots, &id);
    }
    return st == ST_NOT_FOUND ? ST_OK : st;
}

static status replay_record(void *arg, uint64_t lsn, struct slice payload, struct err *err)
{
    struct replay *r = arg;
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
    case RECORD_SETTINGS: /* the catalog holds them on this node */
        st = ST_OK;
        break;
    }
    return st == ST_OK ? ST_OK : err_wrap(err, st, "record at lsn %" PRIu64, lsn);
}

static status open_log(struct collection *c, struct replay *r, uint64_t replay_from,
                       uint64_t expect_lsn, struct wal_report *report, struct err *err)
{
    char wal_dir[FS_PATH_BYTES];
    char snapshot_dir[FS_PATH_BYTES];
    struct wal_options options = {
        .engine = c->node->engine,
        .dir = wal_dir,
        .replay_from = replay_from,
        .expect_lsn = expect_lsn,
        .replay = replay_record,
        .replay_arg = r,
        .on_cut = write_on_cut,
        .cut_arg = c,
    };
    struct wal *wal = NULL;
    status st = collection_paths(c, wal_dir, snapshot_dir, err);

    memcpy(options.log_id, c->id, sizeof options.log_id);
    if (st == ST_OK)
        st = wal_open(&options, &wal, report, err);
    if (st != ST_OK)
        return st;
    lock_take(&c->seq.lock);
    c->seq.wal = wal;
    c->seq.last_lsn = report->last_lsn > expect_lsn ? report->last_lsn : expect_lsn;
    atomic_store(&c->applied_lsn, c->seq.last_lsn);
    lock_drop(&c->seq.lock);
    return ST_OK;
}

static status see_file(void *arg, const char *name, bool is_dir, struct err *err)
{
    const char *suffix = strrchr(name, '.');

    (void)err;
    if (!is_dir && suffix != NULL && strcmp(suffix, ".wal") == 0)
        *(bool *)arg = true;
    return ST_OK;
}

/* A log has a file from before its collection is in the catalog: without one it was lost, and to
 * go on with a new one would be to serve a collection that is empty, or not as new as it was. */
static status log_must_be_there(struct fs *fs, const char *dir, struct err *err)
{
    bool any = false;
    status st = fs_list(fs, dir, see_file, &any, err);

    if (st == ST_NOT_FOUND)
        return err_set(err, ST_CORRUPT,
                       "its log directory %s is missing: put it back, or drop the collection", dir);
    if (st == ST_OK && !any)
        return err_set(err, ST_CORRUPT,
                       "its log directory %s is empty: put the files back, or drop the collection",
                       dir);
    return st;
}

/* A log opens without a file too, on a disk that is full or fails; a new collection needs one
 * before it is in the catalog. */
status collection_open_log(struct collection *c, struct err *err)
{
    struct replay r = {.c = c};
    struct wal_report report;
    status st = open_log(c, &r, 1, 0, &report, err);

    if (st == ST_OK && wal_state(c->seq.wal, err) != ST_OK)
        st = err_wrap(err, ST_IO, "its log cannot be written");
    if (st == ST_OK && wal_bytes(c->seq.wal) == 0)
        st = err_set(err, ST_NOSPACE, "the disk has no room for its log");
    return st;
}

/* The checkpoint, if there is one. *start_lsn: replay from the next; *lsn_max: what the log must
 * reach. A damaged one is told in `damage` and left out: a log that reaches back to lsn 1 makes it
 * good. */
static status load_checkpoint(struct collection *c, const char *dir, uint64_t *start_lsn,
                              uint64_t *lsn_max, struct err *damage, struct err *err)
{
    const struct checkpoint_field field = {.id = 0, .vindex = c->vindex, .dim = c->dim};
    struct checkpoint_state state = {
        .fs = c->node->options.fs,
        .dir = dir,
        .slots = c->slots,
        .fields = &field,
        .field_count = 1,
        .epoch = c->node->epoch,
    };
    struct checkpoint_info info = {0};
    status st;

    memcpy(state.collection_id, c->id, sizeof state.collection_id);
    *start_lsn = 0;
    *lsn_max = 0;
    st = checkpoint_load(&state, false, &info, err);
    if (st == ST_NOT_FOUND)
        return ST_OK;
    if (st == ST_OK) {
        *start_lsn = info.start_lsn;
        *lsn_max = info.lsn_max;
        atomic_store(&c->snapshot_lsn, info.start_lsn);
        atomic_store(&c->checkpoint_bytes, info.bytes_total);
        atomic_store(&c->checkpoint_wall_ns, info.created_at_ns);
        return ST_OK;
    }
    if (st != ST_CORRUPT)
        return st;
    *damage = *err;
    atomic_store(&c->checkpoint_damaged, true);
    log_error("a checkpoint is damaged; the log is replayed without it", "collection_id=%s err=%s",
              c->id_text, err->text);
    return collection_rows_renew(c, err);
}

/* What is missing when the log does not reach back to where the rows in RAM end. */
static bool has_hole(struct collection *c, const struct replay *r, uint64_t start_lsn,
                     uint64_t *first)
{
    *first = r->first_lsn != 0 ? r->first_lsn : wal_next_lsn(c->seq.wal);
    return start_lsn == 0 && *first > 1;
}

static status load(struct collection *c, struct err *err)
{
    char wal_dir[FS_PATH_BYTES];
    char snapshot_dir[FS_PATH_BYTES];
    struct replay r = {.c = c};
    struct wal_report report = {0};
    struct err damage = {0};
    uint64_t start_lsn = 0;
    uint64_t lsn_max = 0;
    uint64_t first;
    char reason[256];
    status st = collection_paths(c, wal_dir, snapshot_dir, err);

    if (st == ST_OK)
        st = log_must_be_there(c->node->options.fs, wal_dir, err);
    if (st == ST_OK)
        st = load_checkpoint(c, snapshot_dir, &start_lsn, &lsn_max, &damage, err);
    r.vector = st == ST_OK ? mem_alloc_array(c->dim, sizeof *r.vector) : NULL;
    if (st == ST_OK && r.vector == NULL)
        st = err_set(err, ST_NOMEM, "out of memory");
    if (st == ST_OK)
        st = open_log(c, &r, start_lsn == 0 ? 0 : start_lsn + 1, lsn_max, &report, err);
    mem_free(r.vector);
    if (st != ST_OK)
        return st;

    log_info("collection loaded",
             "collection_id=%s documents=%u checkpoint_lsn=%" PRIu64 " replayed=%" PRIu64
             " last_lsn=%" PRIu64 " torn=%s",
             c->id_text, slots_live_count(c->slots), start_lsn, r.records, c->seq.last_lsn,
             report.torn ? "true" : "false");
    if (report.corrupt) {
        (void)snprintf(reason, sizeof reason,
                       "its log is damaged, read-only up to lsn %" PRIu64 ": %.160s",
                       report.last_lsn, report.text);
        collection_set_state(c, COLLECTION_READ_ONLY, reason);
    } else if (has_hole(c, &r, start_lsn, &first)) {
        (void)snprintf(reason, sizeof reason,
                       "documents before lsn %" PRIu64 " are missing, read-only: %.140s", first,
                       damage.text[0] != '\0' ? damage.text : "its checkpoint is gone");
        collection_set_state(c, COLLECTION_READ_ONLY, reason);
    } else {
        collection_set_state(c, COLLECTION_SERVING, NULL);
    }
    return ST_OK;
}

static void recover_one(struct collection *c)
{
    struct err err = {0};
    char reason[256];

    log_context_set(NULL, c->id_text);
    if (load(c, &err) != ST_OK) {
        log_error("collection could not be loaded", "err=%s", err.text);
        (void)snprintf(reason, sizeof reason, "%.255s", err.text);
        collection_rows_drop(c); /* the memory is the others' */
        collection_set_state(c, COLLECTION_FAILED, reason);
    } else {
        atomic_store(&c->checkpoint_mono_ns, clock_mono_ns(c->node->options.clock));
        if (vindex_pending(c->vindex) > 0 && vindex_graph_wanted(c->vindex))
            linkers_want(c);
    }
    log_context_set(NULL, NULL);
    atomic_fetch_sub(&c->node->loading, 1);
}

static void recover_loop(void *arg)
{
    struct node *node = arg;

    for (;;) {
        size_t i = atomic_fetch_add(&node->recovery.next, 1);

        if (i >= node->recovery.count)
            break;
        if (atomic_load(&node->stopping))
            atomic_fetch_sub(&node->loading, 1);
        else
            recover_one(node->recovery.items[i]);
    }
}

status recover_start(struct node *node, struct err *err)
{
    status st = ST_OK;

    for (size_t i = 0; i < node->catalog.collection_count && st == ST_OK; i++) {
        struct collection *c = NULL;

        st = collection_create(node, &node->catalog.collections[i], &c, err);
        if (st == ST_OK)
            table_add(node, c);
    }
    if (st == ST_OK)
        st = table_snapshot(node, &node->recovery.items, &node->recovery.count, err);
    atomic_store(&node->loading, (uint32_t)node->recovery.count);
    atomic_store(&node->loaded_total, (uint32_t)node->recovery.count);
    for (size_t i = 0; i < NODE_RECOVER_THREADS && st == ST_OK; i++)
        st = thread_start(&node->recover_threads[i], "recover", THREAD_NORMAL, recover_loop, node,
                          err);
    return st;
}
