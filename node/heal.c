/* A collection whose local files are damaged comes from the bucket by itself, while what is whole
 * of it is served read-only. docs/protocol.md, "Healing", says why nothing is lost by it.
 *
 *   load thread     the bucket's rows into a fresh collection that nobody sees, each record
 * compared with what can still be read of the local log upkeep thread   the damaged log is closed
 *   load thread     what the bucket has not is kept as letters; the intents; the damaged files are
 *                   moved aside; a new log begins behind the bucket's end, with that tail
 *   meta thread     the fresh one into the table
 *   load thread     as any load from the bucket: checkpoint, intent out, stream open
 *
 * Until the intents nothing has changed. From there on a start finds them and loads from the
 * bucket, and the letters give it the tail. */
#include "node/node_internal.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>

enum { HEAL_GIVE_UP_MS = 5000 };

struct local_record {
    uint64_t lsn, hash;
};
struct heal_job {
    struct load_job load;   /* load.c: the fresh one; NULL while there is none */
    struct collection *old; /* pinned */
    uint64_t reach;
    char damage[160];
    struct bucket_marks marks;
    struct { /* readable in the local log, by rising lsn */
        struct local_record *at;
        size_t count, room;
    } local;
    struct wal_salvage found;
    struct restore_into_report report;
    char owner[ROOT_NODE_ID_BYTES];
};

static void heal_free(struct heal_job *h)
{
    node_collection_unpin(h->load.c);
    node_collection_unpin(h->old);
    mem_free(h->local.at);
    mem_free(h);
}

static void tell(struct heal_job *h, const char *format, ...) PRINTF_LIKE(2, 3);
static void tell(struct heal_job *h, const char *format, ...)
{
    enum collection_state state = atomic_load(&h->old->seq.state);
    char text[200];
    char reason[sizeof h->old->seq.reason];
    va_list args;

    if (state != COLLECTION_READ_ONLY && state != COLLECTION_FAILED)
        return;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    (void)snprintf(reason, sizeof reason, "%.159s; %s", h->damage, text);
    collection_set_state(h->old, state, reason);
}

/* --- what is left of the local log --- */

static uint64_t hash_record(uint64_t lsn, struct slice payload)
{
    return group_chain(0, lsn, payload);
}

static status note_record(void *arg, uint64_t lsn, struct slice payload, struct err *err)
{
    struct heal_job *h = arg;

    /* A confirmed hint stands for every record up to it. */
    if (!h->marks.hint_loaded && lsn <= h->marks.hint_lsn)
        return ST_OK;
    if (h->local.count == h->local.room) {
        size_t room = h->local.room == 0 ? 1024 : 2 * h->local.room;
        struct local_record *at = mem_resize(h->local.at, room * sizeof *at);

        if (at == NULL)
            return err_set(err, ST_NOMEM, "out of memory for %zu records", room);
        h->local.at = at;
        h->local.room = room;
    }
    h->local.at[h->local.count++] = (struct local_record){lsn, hash_record(lsn, payload)};
    return ST_OK;
}

static status look_at_log(struct heal_job *h, struct err *err)
{
    char wal_dir[FS_PATH_BYTES];
    char snapshot_dir[FS_PATH_BYTES];
    status st = collection_paths(h->old, wal_dir, snapshot_dir, err);

    h->local.count = 0;
    ship_marks_read(h->old, &h->marks);
    return st == ST_OK ? wal_salvage(h->old->node->options.fs, wal_dir, h->old->id, note_record, h,
                                     &h->found, err)
                       : st;
}

/* The first at or behind lsn. */
static size_t local_index(const struct heal_job *h, uint64_t lsn)
{
    size_t from = 0;
    size_t to = h->local.count;

    while (from < to) {
        size_t middle = from + (to - from) / 2;

        if (h->local.at[middle].lsn < lsn)
            from = middle + 1;
        else
            to = middle;
    }
    return from;
}

static status compare_record(void *arg, uint64_t lsn, struct slice payload, struct err *err)
{
    const struct heal_job *h = arg;
    size_t i = local_index(h, lsn);

    if (i < h->local.count && h->local.at[i].lsn == lsn &&
        h->local.at[i].hash != hash_record(lsn, payload))
        return err_set(err, ST_CONFLICT, "the bucket has another record %" PRIu64 " than this disk",
                       lsn);
    return ST_OK;
}

/* --- whether that is all --- */

/* Readable here without a hole from lsn + 1 on. */
static uint64_t goes_on_to(const struct heal_job *h, uint64_t lsn)
{
    for (size_t i = local_index(h, lsn + 1); i < h->local.count && h->local.at[i].lsn == lsn + 1;
         i++)
        lsn++;
    return lsn;
}

/* What was acknowledged here is in the bucket or can be read here: then, and only then, the one may
 * take the place of the other. *last: of the tail that the bucket has not. */
static status nothing_is_lost(const struct heal_job *h, uint64_t *last, struct err *err)
{
    uint64_t end = h->report.bucket.last_lsn;
    uint64_t durable = h->reach > h->found.durable_lsn ? h->reach : h->found.durable_lsn;

    *last = goes_on_to(h, end);
    if (strcmp(h->owner, h->old->node->owner_id) != 0)
        return err_set(err, ST_DENIED, "the bucket has it as %.60s's; ask there", h->owner);
    if (h->found.unknown)
        return err_set(err, ST_CORRUPT,
                       "what %.100s held cannot be told, so the bucket, which ends at lsn %" PRIu64
                       ", may lack some of it",
                       h->found.file, end);
    if (!h->marks.hint_loaded && h->marks.hint_lsn > end)
        return err_set(err, ST_CORRUPT,
                       "the bucket ends at lsn %" PRIu64 " and had confirmed %" PRIu64, end,
                       h->marks.hint_lsn);
    if (*last < durable)
        return err_set(err, ST_CORRUPT,
                       "lsn %" PRIu64 " is whole neither here nor in the bucket, and records up to "
                       "%" PRIu64 " were acknowledged",
                       *last + 1, durable);
    return ST_OK;
}

/* --- steps of other threads --- */

/* Meta: nobody drops it while there is a fresh one. */
static status do_begin(void *arg, struct err *err)
{
    struct heal_job *h = arg;
    enum collection_state state = atomic_load(&h->old->seq.state);
    const struct catalog_collection *entry = catalog_find_id(&h->old->node->catalog, h->old->id);
    status st;

    if (entry == NULL || (state != COLLECTION_READ_ONLY && state != COLLECTION_FAILED))
        return err_set(err, ST_NOT_FOUND, "it was dropped");
    st = collection_create(h->old->node, entry, &h->load.c, err);
    if (st == ST_OK)
        atomic_store(&h->old->in_load, true);
    return st;
}

static void end_try(struct heal_job *h)
{
    node_collection_unpin(h->load.c);
    h->load.c = NULL;
    atomic_store(&h->old->in_load, false);
}

/* Upkeep. */
static status do_close_log(void *arg, struct err *err)
{
    (void)err;
    collection_close_log(((struct heal_job *)arg)->old);
    return ST_OK;
}

/* Meta. It may have a new name by now. */
static status do_replace(void *arg, struct err *err)
{
    struct heal_job *h = arg;
    struct node *node = h->old->node;
    struct collection *fresh = h->load.c;
    const struct catalog_collection *entry = catalog_find_id(&node->catalog, h->old->id);
    struct collection_stats *stats;
    bool dropping;

    (void)err;
    collection_pin(fresh); /* the table's */
    atomic_store(&fresh->in_load, true);
    atomic_store(&fresh->arriving, true);
    lock_take(&h->old->seq.lock);
    dropping = h->old->seq.dropping;
    lock_drop(&h->old->seq.lock);
    lock_take(&fresh->seq.lock);
    fresh->seq.dropping = dropping; /* what became of a drop may be known by now */
    lock_drop(&fresh->seq.lock);
    table_replace(node, h->old, fresh);
    if (entry != NULL && strcmp(entry->name, fresh->table.name) != 0 &&
        (stats = collection_stats_create(node, fresh->id_text, entry->name)) != NULL) {
        table_rename(node, fresh, entry->name);
        collection_stats_replace(fresh, stats);
    }
    if (entry != NULL) {
        collection_take_hnsw(fresh, entry);
        atomic_store(&fresh->durability, entry->durability);
        collection_settings_take(fresh, entry);
    }
    node_collection_unpin(h->old); /* the table's */
    return ST_OK;
}

/* --- files --- */

static const char INTENT[] = "heal/";

bool heal_intended(struct node *node, const uint8_t id[16])
{
    return intent_stands(node, INTENT, id);
}

static status move_one(struct node *node, const char *dir, const char *id_text, struct err *err)
{
    struct fs *fs = node->options.fs;
    char from[FS_PATH_BYTES];
    char name[UUID_TEXT_BYTES + 16];
    char to[FS_PATH_BYTES];
    struct fs_stat found;
    status st = fs_join(from, dir, id_text, err);

    (void)snprintf(name, sizeof name, "%s" NODE_ASIDE, id_text);
    if (st == ST_OK)
        st = fs_join(to, dir, name, err);
    if (st == ST_OK && fs_stat(fs, from, &found, NULL) == ST_NOT_FOUND)
        return ST_OK; /* moved by a try before, or never there */
    if (st == ST_OK)  /* of a healing before this one: only the newest is kept */
        st = fs_remove_all(fs, to, err);
    if (st == ST_OK)
        st = fs_rename(fs, from, to, err);
    return st == ST_OK ? fs_sync_dir(fs, dir, err) : st;
}

/* Nothing new is in their place until the intent is out: what is moved is what was damaged. */
status heal_move_aside(struct node *node, const struct collection *c, struct err *err)
{
    status st = move_one(node, node->wal_dir, c->id_text, err);

    if (st == ST_OK)
        st = move_one(node, node->snapshot_dir, c->id_text, err);
    return st == ST_OK ? intent_clear(node, INTENT, c->id, err) : st;
}

/* Letters and intents are written in their order: who finds the intent has the letters. */
static status change_files(struct heal_job *h, uint64_t last, struct err *err)
{
    uint64_t end = h->report.bucket.last_lsn;
    status st = heal_tail_keep(h->old, end + 1, last, err);

    if (st == ST_OK)
        st = intent_write(h->old->node, INTENT, h->old->id, err);
    return st == ST_OK ? load_begin_log(&h->load, end, err) : st;
}

/* --- one try --- */

static status read_bucket(struct heal_job *h, struct err *err)
{
    struct load_terms terms = {
        .give_up_ms = HEAL_GIVE_UP_MS, .on_record = compare_record, .arg = h};
    status st = load_read_rows(h->load.c, &terms, &h->report, h->owner, err);

    if (st != ST_CORRUPT)
        return st;
    log_error("the bucket's collection is damaged; it is read again without its graph",
              "collection_id=%s err=%s", h->old->id_text, err->text);
    terms.without_image = true;
    st = collection_rows_renew(h->load.c, err);
    return st == ST_OK ? load_read_rows(h->load.c, &terms, &h->report, h->owner, err) : st;
}

static void tell_healed(struct heal_job *h)
{
    struct node *node = h->old->node;
    char text[256];

    log_warn("a damaged collection was healed from the bucket; its old files are kept",
             "collection_id=%s damage=%s directory=%s/%s" NODE_ASIDE, h->old->id_text, h->damage,
             node->wal_dir, h->old->id_text);
    (void)snprintf(text, sizeof text,
                   "collection %.40s was damaged on this disk and healed from the bucket: look at "
                   "the disk, then remove wal/ and snapshots/%s" NODE_ASIDE,
                   h->load.c->table.name, h->old->id_text);
    node_add_reason(node, text);
}

static status heal_once(struct heal_job *h, struct err *err)
{
    struct node *node = h->old->node;
    uint64_t last = 0;
    status st = jobs_run(&node->meta, do_begin, h, err);

    if (st != ST_OK)
        return st;
    st = look_at_log(h, err);
    if (st == ST_OK)
        st = read_bucket(h, err);
    if (st == ST_OK)
        st = nothing_is_lost(h, &last, err);
    if (st == ST_OK)
        st = jobs_run(&node->upkeep, do_close_log, h, err);
    if (st == ST_OK)
        st = change_files(h, last, err);
    if (st != ST_OK)
        return st;
    ship_refuse_writes(h->load.c, "it was healed from the bucket; writes are taken in a moment");
    collection_set_state(h->load.c, COLLECTION_SERVING, NULL);
    st = jobs_run(&node->meta, do_replace, h, err);
    if (st != ST_OK)
        collection_close_log(h->load.c);
    return st;
}

static bool worth_another_try(struct node *node, status st)
{
    return !atomic_load(&node->stopping) && (status_is_transient(st) || st == ST_IO);
}

/* On the load thread; others come in between two tries. */
static void run_heal(struct meta_job *base)
{
    struct heal_job *h = (struct heal_job *)(void *)base;
    struct node *node = h->old->node;
    struct err err = {0};
    status st;

    log_context_set(NULL, h->old->id_text);
    st = heal_once(h, &err);
    if (st == ST_OK) {
        tell_healed(h);
        load_finish(&h->load, &h->report, h->owner);
        atomic_store(&h->load.c->in_load, false);
    } else {
        end_try(h);
        if (worth_another_try(node, st)) {
            tell(h, "healing waits for the bucket: %.120s", err.text);
            bucket_pause(node, NODE_BUCKET_RETRY_MS);
            if (jobs_push(&node->load, &h->load.job)) {
                log_context_set(NULL, NULL);
                return;
            }
        } else if (!atomic_load(&node->stopping) &&
                   atomic_load(&h->old->seq.state) != COLLECTION_DROPPED) {
            log_error("a damaged collection cannot be healed from the bucket",
                      "collection_id=%s damage=%s err=%s", h->old->id_text, h->damage, err.text);
            tell(h, "not healed: %.180s", err.text);
        }
    }
    heal_free(h);
    log_context_set(NULL, NULL);
}

void heal_start(struct collection *c, uint64_t reach, const char *damage)
{
    struct heal_job *h = mem_zero(sizeof *h);

    if (h == NULL) {
        log_error("out of memory: the collection is healed at the next start", "collection_id=%s",
                  c->id_text);
        return;
    }
    h->load.job.run = run_heal;
    h->load.node = c->node;
    h->load.heals = true;
    h->old = c;
    h->reach = reach;
    (void)snprintf(h->damage, sizeof h->damage, "%s", damage);
    collection_pin(c);
    tell(h, "it is being healed from the bucket");
    if (!jobs_push(&c->node->load, &h->load.job))
        heal_free(h);
}
