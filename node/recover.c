/* Start: every collection of the catalog is loaded from its checkpoint, then its log is replayed
 * (snapshot/replay.h). What
 * cannot be loaded whole is served as far as it is whole, read-only, and health says so; what
 * cannot be loaded at all answers 503 with the reason while the rest of the node serves. */
#include "node/cold_internal.h"
#include "node/fields.h"
#include "snapshot/replay.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>

/* The rows of this log found room once; the same is done for them here as then. */
static bool make_room(void *arg)
{
    struct collection *c = arg;

    if (slots_dead_count(c->slots) == 0)
        return false;
    collection_repair(c);
    reclaim_wait(c->node);
    return true;
}

/* Under S3Only what lies at or below the floor is in cold segments: a log may begin before it. */
struct replaying {
    struct replay r;
    uint64_t floor;
    uint64_t bytes;
};

static status replay_one(void *arg, uint64_t lsn, struct slice payload, struct err *err)
{
    struct replaying *p = arg;

    if (lsn <= p->floor)
        return ST_OK;
    p->bytes += payload.bytes;
    return replay_record(&p->r, lsn, payload, err);
}

static status on_delete(void *arg, uint64_t lsn, const struct docid *id, struct err *err)
{
    struct collection *c = arg;

    return cold_is(c) ? tombstones_replay(c, lsn, id, err) : ST_OK;
}

static status open_log(struct collection *c, struct replaying *r, uint64_t replay_from,
                       uint64_t expect_lsn, struct wal_report *report, struct err *err)
{
    char wal_dir[FS_PATH_BYTES];
    char snapshot_dir[FS_PATH_BYTES];
    struct wal_options options = {
        .engine = c->node->engine,
        .dir = wal_dir,
        .replay_from = replay_from,
        .expect_lsn = expect_lsn,
        .replay = replay_one,
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
    struct replaying r = {0}; /* there is nothing to replay */
    struct wal_report report;
    status st = open_log(c, &r, 1, 0, &report, err);

    if (st == ST_OK && wal_state(c->seq.wal, err) != ST_OK)
        st = err_wrap(err, ST_IO, "its log cannot be written");
    if (st == ST_OK && wal_bytes(c->seq.wal) == 0)
        st = err_set(err, ST_NOSPACE, "the disk has no room for its log");
    return st;
}

status collection_open_log_at(struct collection *c, uint64_t lsn, struct err *err)
{
    struct replaying r = {0};
    struct wal_report report;
    status st = open_log(c, &r, lsn + 1, 0, &report, err);

    if (st == ST_OK && wal_state(c->seq.wal, err) != ST_OK)
        st = err_wrap(err, ST_IO, "its log cannot be written");
    if (st != ST_OK)
        return st;
    lock_take(&c->seq.lock);
    c->seq.last_lsn = lsn;
    atomic_store(&c->applied_lsn, lsn);
    lock_drop(&c->seq.lock);
    return ST_OK;
}

/* The checkpoint, if there is one. *start_lsn: replay from the next; *lsn_max: what the log must
 * reach. A damaged one is told in `damage` and left out: a log that reaches back to lsn 1 makes it
 * good. */
static status load_checkpoint(struct collection *c, const char *dir, uint64_t *start_lsn,
                              uint64_t *lsn_max, struct err *damage, struct err *err)
{
    struct checkpoint_field fields[NODE_FIELDS_MAX];
    struct checkpoint_state state = {
        .fs = c->node->options.fs,
        .dir = dir,
        .slots = c->slots,
        .fields = fields,
        .field_count = fields_list(c, fields),
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
static bool has_hole(struct collection *c, const struct replaying *p, uint64_t start_lsn,
                     uint64_t *first)
{
    *first = p->r.first_lsn != 0 ? p->r.first_lsn : wal_next_lsn(c->seq.wal);
    return start_lsn == 0 && *first > p->floor + 1;
}

/* A collection whose files are not there, or are to be thrown away, comes from the bucket. */
static bool comes_from_bucket(struct collection *c)
{
    char wal_dir[FS_PATH_BYTES];
    char snapshot_dir[FS_PATH_BYTES];

    if (!policy_has_bucket(atomic_load(&c->policy)) || c->node->tier == NULL)
        return false;
    if (load_intended(c->node, c->id))
        return true;
    return collection_paths(c, wal_dir, snapshot_dir, NULL) == ST_OK &&
           log_must_be_there(c->node->options.fs, wal_dir, NULL) == ST_CORRUPT;
}

/* Served as far as it is whole, or not at all; one that has a bucket is healed from it. */
static void is_damaged(struct collection *c, enum collection_state state, uint64_t reach,
                       const char *reason)
{
    collection_set_state(c, state, reason);
    if (policy_has_bucket(atomic_load(&c->policy)) && c->node->tier != NULL)
        heal_start(c, reach, reason);
}

/* Only what was durable here is shipped: a log that ends before that has lost records. */
static uint64_t at_least_what_was_shipped(struct collection *c, uint64_t lsn_max)
{
    struct bucket_marks marks = {0};

    if (policy_has_bucket(atomic_load(&c->policy)))
        ship_marks_read(c, &marks);
    return marks.hint_lsn > lsn_max ? marks.hint_lsn : lsn_max;
}

/* *reach: what the checkpoint or the log knew of its end, if it fails. */
static status load(struct collection *c, uint64_t *reach, struct err *err)
{
    char wal_dir[FS_PATH_BYTES];
    char snapshot_dir[FS_PATH_BYTES];
    struct checkpoint_field fields[NODE_FIELDS_MAX];
    struct replaying p = {.r = {.epoch = c->node->epoch, .fields = fields}};
    struct wal_report report = {0};
    struct err damage = {0};
    uint64_t start_lsn = 0;
    uint64_t lsn_max = 0;
    uint64_t first;
    char reason[256];
    status st = collection_paths(c, wal_dir, snapshot_dir, err);

    if (st == ST_OK)
        st = log_must_be_there(c->node->options.fs, wal_dir, err);
    p.floor = cold_start(c);
    if (st == ST_OK && p.floor == 0)
        st = load_checkpoint(c, snapshot_dir, &start_lsn, &lsn_max, &damage, err);
    lsn_max = at_least_what_was_shipped(c, lsn_max);
    *reach = lsn_max;
    p.r.field_count = fields_list(c, fields); /* a damaged checkpoint leaves others */
    p.r.slots = c->slots;
    p.r.make_room = make_room;
    p.r.on_delete = on_delete;
    p.r.arg = c;
    if (st == ST_OK)
        st = replay_init(&p.r, err);
    if (st == ST_OK)
        st = open_log(c, &p, start_lsn == 0 ? 0 : start_lsn + 1, lsn_max, &report, err);
    replay_fini(&p.r);
    if (st != ST_OK)
        return st;
    cold_count_head(c, p.bytes);

    log_info("collection loaded",
             "collection_id=%s documents=%u checkpoint_lsn=%" PRIu64 " replayed=%" PRIu64
             " last_lsn=%" PRIu64 " torn=%s",
             c->id_text, slots_live_count(c->slots), start_lsn, p.r.records, c->seq.last_lsn,
             report.torn ? "true" : "false");
    if (report.corrupt) {
        (void)snprintf(reason, sizeof reason,
                       "its log is damaged, read-only up to lsn %" PRIu64 ": %.160s",
                       report.last_lsn, report.text);
        is_damaged(c, COLLECTION_READ_ONLY, c->seq.last_lsn, reason);
    } else if (has_hole(c, &p, start_lsn, &first)) {
        (void)snprintf(reason, sizeof reason,
                       "documents before lsn %" PRIu64 " are missing, read-only: %.140s", first,
                       damage.text[0] != '\0' ? damage.text : "its checkpoint is gone");
        is_damaged(c, COLLECTION_READ_ONLY, c->seq.last_lsn, reason);
    } else {
        st = ship_open(c, err);
        if (st == ST_OK)
            collection_set_state(c, COLLECTION_SERVING, NULL);
    }
    return st;
}

static void recover_one(struct collection *c)
{
    struct err err = {0};
    uint64_t reach = 0;
    status st;

    log_context_set(NULL, c->id_text);
    if (comes_from_bucket(c) && load_again(c, false, &err) == ST_OK) {
        log_context_set(NULL, NULL);
        return; /* the load thread counts it */
    }
    st = load(c, &reach, &err);
    if (st != ST_OK) {
        log_error("collection could not be loaded", "err=%s", err.text);
        collection_rows_drop(c); /* the memory is the others' */
        if (st == ST_CORRUPT)
            is_damaged(c, COLLECTION_FAILED, reach, err.text);
        else
            collection_set_state(c, COLLECTION_FAILED, err.text);
    } else {
        atomic_store(&c->checkpoint_mono_ns, clock_mono_ns(c->node->options.clock));
        if (fields_to_link(c) > 0)
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
        /* Else it would not be freed when it is dropped or loaded anew. */
        node_collection_unpin(node->recovery.items[i]);
        node->recovery.items[i] = NULL;
    }
}

status recover_list(struct node *node, struct err *err)
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
    return st;
}

status recover_start(struct node *node, struct err *err)
{
    status st = ST_OK;

    for (size_t i = 0; i < NODE_RECOVER_THREADS && st == ST_OK; i++)
        st = thread_start(&node->recover_threads[i], "recover", THREAD_NORMAL, recover_loop, node,
                          err);
    return st;
}
